/* yaml_load.h - reading YAML in a library that does not depend on a YAML parser: libfyaml is loaded for the call. */
#pragma once
#include "base/yaml.h"

/* yaml_parse(), see there. ERR_UNSUPPORTED: there is no libfyaml here; the message says what to install. */
MUST_USE bool yaml_load(sv text, const char *file, struct arena *a, struct yaml **ret, struct err *e);
void yaml_library_for_test(const char *name); /* NULL: the real one */

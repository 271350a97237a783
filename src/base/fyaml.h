/* fyaml.h - what yaml.c needs of libfyaml, as a table of functions: a program that links the library hands over its own
 * (yaml_linked.c), one that must not depend on it loads it when there is a file to read. */
#pragma once
#include "base/yaml.h"
#include <libfyaml.h>

#define FYAML_CALLS(X)                                                                                            \
    X(fy_diag_cfg_default) X(fy_diag_create) X(fy_diag_destroy) X(fy_diag_errors_iterate)                         \
    X(fy_diag_set_collect_errors) X(fy_event_get_anchor_token) X(fy_event_start_mark) X(fy_parser_create)         \
    X(fy_parser_destroy) X(fy_parser_event_free) X(fy_parser_get_stream_error) X(fy_parser_parse)                 \
    X(fy_parser_set_string) X(fy_tag_token_suffix) X(fy_token_get_text) X(fy_token_scalar_style)

struct fyaml {
#define FYAML_FIELD(name) __typeof__(&(name)) name;
    FYAML_CALLS(FYAML_FIELD)
#undef FYAML_FIELD
};

/* yaml_parse() by these functions. */
MUST_USE bool yaml_parse_by(const struct fyaml *fy, sv text, const char *file, struct arena *a, struct yaml **ret, struct err *e);

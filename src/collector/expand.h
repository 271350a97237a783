/* expand.h - ${env:X}, ${env:X:-default}, ${file:…}, ${yaml:…} in the values of a configuration. */
#pragma once
#include "collector/section.h"

/* Replaces references in every scalar value below `root` (never in keys). Problems and warnings go to ps. `root` itself may
 * change its kind. getenv_fn: NULL for the process's environment. */
typedef const char *expand_getenv_fn(const char *name);
void expand_tree(struct yaml *root, struct problems *ps, expand_getenv_fn *getenv_fn);

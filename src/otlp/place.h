/* place.h - where in a request something was found wrong. Internal to the module.
 * A chain of stack frames from the innermost field outwards: cheap to keep, read only when there is an error. */
#pragma once
#include "base/def.h"

struct place {
    const struct place *up;
    const char *name;
    int64_t index; /* -1: a singular field */
};

#define PLACE_MAX 160
/* "resource_logs[2].scope_logs[0].log_records[7].body"; the inner end of a very long path becomes "...". */
void place_path(const struct place *in, char out[PLACE_MAX]);

/* json_path.h - where an extraction looks: a.b[0]["c d"]. */
#pragma once
#include "base/arena.h"

struct json_step {
    sv field; /* when index is -1 */
    int64_t index;
};
struct json_path {
    struct json_step *at;
    size_t n, cap;
};
/* ERR_PARSE: cannot parse expression [<text>]: syntax error: … */
MUST_USE bool json_path_parse(sv text, struct arena *a, struct json_path *ret, struct err *e);

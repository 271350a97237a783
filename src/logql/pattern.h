/* pattern.h - `<ip> - <_> [<ts>]`: the pattern parser's and the pattern line filter's little language. */
#pragma once
#include "base/arena.h"

struct pattern_piece {
    sv literal; /* a literal when capture is false */
    sv name;    /* of the capture; "_" is anonymous */
    bool capture;
};
struct pattern {
    struct pattern_piece *at;
    size_t n, cap;
};
/* ERR_PARSE: "at least one capture is required", "found consecutive capture '<a><b>': invalid expression", …
 * With `filter` (|>) captures must be anonymous and may be missing. */
MUST_USE bool pattern_parse(sv text, bool filter, struct arena *a, struct pattern *ret, struct err *e);
/* The filter's rule: no backtracking, the first literal may start anywhere, the last must end the line. */
bool pattern_matches(const struct pattern *pt, sv line);

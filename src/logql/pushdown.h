/* pushdown.h - which stages of a pipeline the scan does: they need not be done for each row again. */
#pragma once
#include "logql/ast.h"

struct pushdown {
    struct scan_filter filters[16];
    struct scan_key_filter keys[16];
    size_t n_filters, n_keys;
    struct log_query rest; /* the query without the stages that the scan does in full */
};
/* Everything in `a` or `q`, which must outlive it. False: out of memory. */
MUST_USE bool pushdown_plan(const struct log_query *q, struct arena *a, struct pushdown *ret);
void pushdown_request(const struct pushdown *pd, struct scan_request *req);

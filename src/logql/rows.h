/* rows.h - where a query's rows come from. The store in production, a fixed set of rows in tests and fuzzing. The functions
 * are those of store/scan.h with the store as `ctx`. */
#pragma once
#include "logql/logql.h"

struct row_source {
    bool (*open)(void *ctx, const struct scan_request *req, void **ret, struct err *e);
    int (*next)(void *scan, struct scan_batch *ret, struct err *e);
    void (*stats)(const void *scan, struct scan_stats *ret);
    void (*close)(void *scan);
    void *ctx;
    /* Whole blocks on several threads, as scan_each(); NULL: it cannot. A source that can also does the filters of open()'s requests, and
     * exactly; one that cannot may ignore them. */
    bool (*each)(void *ctx, const struct scan_request *req, const struct scan_sink *sink, struct scan_stats *ret, struct err *e);
    unsigned slots; /* of `each` */
};
/* The store as such a source. */
struct row_source store_rows(struct store *st);
MUST_USE bool logql_run_rows(const struct row_source *rows, const struct logql_expr *x, const struct logql_params *p,
                             struct arena *a, struct logql_result *ret, struct err *e);

/* run_store.c - the store as a query's source of rows. */
#include "logql/rows.h"

static bool store_rows_open(void *ctx, const struct scan_request *req, void **ret, struct err *e)
{
    struct scan *sc = NULL;
    if (!scan_open(ctx, req, &sc, e))
        return false;
    *ret = sc;
    return true;
}

static int store_rows_next(void *scan, struct scan_batch *ret, struct err *e)
{
    return scan_next(scan, ret, e);
}

static void store_rows_stats(const void *scan, struct scan_stats *ret)
{
    scan_stats(scan, ret);
}

static void store_rows_close(void *scan)
{
    scan_close(scan);
}

static bool store_rows_each(void *ctx, const struct scan_request *req, const struct scan_sink *sink, struct scan_stats *ret,
                            struct err *e)
{
    return scan_each(ctx, req, sink, ret, e);
}

struct row_source store_rows(struct store *st)
{
    return (struct row_source){.open = store_rows_open,
                               .next = store_rows_next,
                               .stats = store_rows_stats,
                               .close = store_rows_close,
                               .ctx = st,
                               .each = store_rows_each,
                               .slots = scan_slots(st)};
}

bool logql_run(struct store *st, const struct logql_expr *x, const struct logql_params *p, struct arena *a,
               struct logql_result *ret, struct err *e)
{
    struct row_source rows = store_rows(st);
    return logql_run_rows(&rows, x, p, a, ret, e);
}

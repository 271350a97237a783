/* logql.h - LogQL: text to AST, AST to result. Grammar and error texts are Loki's; docs/logql.md.
 * What is parsed but not evaluated yet fails with ERR_UNSUPPORTED "not supported yet: …", never with wrong data. */
#pragma once
#include "base/arena.h"
#include "store/scan.h"
#include "store/store.h"

struct logql_expr; /* AST; defined in logql/ast.h, lives in the arena it was parsed into */

/* ERR_PARSE: msg is Loki's text ("parse error at line 1, col 12: syntax error: …"), pos the byte offset. Regexes are
 * compiled here; logql_free() releases them (arena memory alone is not enough). */
MUST_USE bool logql_parse(sv text, struct arena *a, struct logql_expr **ret, struct err *e);
void logql_free(struct logql_expr *x); /* NULL is fine */
bool logql_is_metric(const struct logql_expr *x);
/* A stream selector alone ("{a="b"}"), for labels, series, stats; a pipeline behind it is ERR_INVALID "only label matchers
 * are supported". With `allow_empty` {} and {a=~".*"} are accepted (series, volume). */
MUST_USE bool logql_parse_selector(sv text, bool allow_empty, struct arena *a, struct matcher **ret, size_t *ret_n,
                                   struct err *e);
void logql_free_matchers(struct matcher *m, size_t n);
void logql_print(const struct logql_expr *x, struct buf *out); /* canonical one-line text */

struct logql_measure {
    size_t matchers;  /* of the selector with the most */
    int64_t range_ns; /* the longest [range] */
};
struct logql_measure logql_measure(const struct logql_expr *x);

struct delete_request;
/* The matchers and filters of *ret, from a query that is a selector and line filters alone; else ERR_UNSUPPORTED. They point
 * into x and `a`. */
MUST_USE bool logql_to_delete(const struct logql_expr *x, struct arena *a, struct delete_request *ret, struct err *e);

struct logql_params {
    sv tenant;
    int64_t start_ns, end_ns, step_ns; /* instant: start == end, step 0. Metric ranges are aligned by the caller */
    bool instant, backward;
    uint64_t limit;       /* entries, log queries only */
    int64_t interval_ns;  /* log queries: entries at least this far apart; 0: all */
    uint64_t max_series;  /* ERR_LIMIT beyond */
    int64_t deadline_mono_ns;
    const _Atomic bool *cancel;
    uint64_t max_memory;
};

struct logql_entry {
    int64_t ts;
    sv line;
    struct labels metadata, parsed; /* what survived the pipeline, by category */
};
struct logql_stream {
    struct labels labels; /* of the stored stream, as far as they survive the pipeline */
    struct logql_entry *entries;
    size_t n, cap;
};
struct logql_sample {
    int64_t ts_ns;
    double v;
};
struct logql_series {
    struct labels labels;
    struct logql_sample *samples; /* ascending */
    size_t n, cap;
};
enum logql_kind { LOGQL_STREAMS, LOGQL_MATRIX, LOGQL_VECTOR, LOGQL_SCALAR };
struct logql_result { /* everything lives in the arena given to logql_run */
    enum logql_kind kind;
    struct logql_stream *streams; /* entries in the asked direction; grouped by stored stream labels after the pipeline */
    size_t n_streams;
    struct logql_series *series; /* matrix, vector (one sample each), scalar (one series) */
    size_t n_series;
    struct scan_stats stats;
    uint64_t lines_after_filter;
    double exec_s;
};
/* Runs on the calling thread (a pool worker), reading through store/scan.h. */
MUST_USE bool logql_run(struct store *st, const struct logql_expr *x, const struct logql_params *p, struct arena *a,
                        struct logql_result *ret, struct err *e);

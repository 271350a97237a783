/* run.h - what the parts of the executor share. run.c has the way in, run_logs.c log queries, run_range.c range
 * aggregations (rows to samples), run_vector.c everything above them. */
#pragma once
#include "base/map.h"
#include "logql/pipeline.h"
#include "logql/rows.h"

/* Label sets of a run, each once; a set's id is its place. */
struct label_sets {
    struct arena *a;
    struct map ids;    /* encoded set -> id + 1 */
    struct labels *at; /* deep copies in `a` */
    size_t n, cap;
    struct buf key;
};
bool label_sets_put(struct label_sets *ls, struct labels l, uint32_t *ret); /* false: out of memory */
void label_sets_done(struct label_sets *ls);

struct run {
    const struct row_source *rows;
    const struct logql_params *p;
    struct arena *result; /* the caller's */
    struct arena work;    /* everything else; capped by max_memory */
    size_t result_before; /* bytes in `result` when the run began */
    struct label_sets sets;
    size_t n_steps;
    struct scan_stats stats;
    uint64_t lines_after_filter;
    size_t unchecked; /* bytes handled since the last look at the clock */
    struct account account; /* memory of all threads and scans of the run; max_memory */
    size_t published;       /* of `work` and `result`, in the account */
    struct err *e;
};
/* Deadline, cancel flag and memory; called per batch, per step and by run_pipeline(). */
bool run_check(struct run *r);
/* A row through the pipeline, as pipeline_row() does; looks at the limits when rows since then were many or large. */
int run_pipeline(struct run *r, struct pipeline *pl, const struct scan_batch *b, size_t i);
bool run_nomem(struct run *r); /* an arena is exhausted: fills the error, false */
/* The same for other threads of the run: cancel flag and deadline; the message about too much memory. */
bool run_may_go_on(const struct run *r, struct err *e);
bool run_limit(const struct run *r, struct err *e);
static inline int64_t run_clamp_ns(__int128 v)
{
    return v < INT64_MIN ? INT64_MIN : v > INT64_MAX ? INT64_MAX : (int64_t)v;
}
static inline int64_t run_step_ns(const struct run *r, size_t k)
{
    return r->p->start_ns + (int64_t)k * r->p->step_ns;
}
/* Opens the scan with the limits of the run. */
bool run_scan_open(struct run *r, struct scan_request *req, void **ret);
int run_scan_next(struct run *r, void *scan, struct scan_batch *ret);
void run_scan_close(struct run *r, void *scan); /* adds its stats; NULL is fine */
bool run_scan_each(struct run *r, const struct scan_request *req, const struct scan_sink *sink);

bool run_logs(struct run *r, const struct log_query *q, struct logql_result *ret);

struct vec_sample {
    uint32_t set;
    double v;
};
struct vec { /* the samples of one step */
    struct vec_sample *at;
    size_t n, cap;
};
bool vec_push(struct run *r, struct vec *v, uint32_t set, double value);

/* A range aggregation with its rows read and sorted into series; steps are then asked in order. `outer`: the grouping of a
 * sum around it that may be applied to rows already; NULL when there is none. */
struct range_node;
bool range_open(struct run *r, const struct range_agg *agg, const struct grouping *outer, struct range_node **ret);
bool range_step(struct run *r, struct range_node *n, size_t k, struct vec *out);

bool run_metric(struct run *r, const struct logql_expr *x, struct logql_result *ret);

/* Labels of `l` that a grouping keeps, into `to` (room for l.n); sorted as before. */
struct labels group_labels(struct labels l, const struct grouping *by, struct label *to);
bool name_listed(const sv *names, size_t n, sv name);

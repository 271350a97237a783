/* run.c - the way into the executor, and what its parts share. */
#include "logql/run.h"
#include "base/clock.h"

bool name_listed(const sv *names, size_t n, sv name)
{
    for (size_t i = 0; i < n; i++)
        if (sv_eq(names[i], name))
            return true;
    return false;
}

struct labels group_labels(struct labels l, const struct grouping *by, struct label *to)
{
    size_t n = 0;
    for (size_t i = 0; i < l.n; i++)
        if (name_listed(by->names, by->n, l.at[i].name) != by->without)
            to[n++] = l.at[i];
    return (struct labels){to, n};
}

/* ---- label sets ---- */

static void put_part(struct buf *key, sv s)
{
    uint32_t n = (uint32_t)s.n;
    buf_put(key, &n, sizeof n);
    buf_sv(key, s);
}

bool label_sets_put(struct label_sets *ls, struct labels l, uint32_t *ret)
{
    buf_reset(&ls->key);
    for (size_t i = 0; i < l.n; i++) {
        put_part(&ls->key, l.at[i].name);
        put_part(&ls->key, l.at[i].value);
    }
    if (ls->key.failed || ls->n == UINT32_MAX)
        return false;
    struct map_slot *slot = map_put(&ls->ids, buf_view(&ls->key));
    if (!slot)
        return false;
    if (!slot->value) {
        sv kept = arena_sv(ls->a, buf_view(&ls->key));
        struct labels copy = labels_copy(ls->a, l);
        struct labels *grown = arena_grow(ls->a, ls->at, ls->n, &ls->cap, sizeof *grown);
        if (!kept.p || (l.n && !copy.at) || !grown) {
            map_remove(&ls->ids, buf_view(&ls->key));
            return false;
        }
        slot->key = kept;
        slot->value = (void *)(uintptr_t)(ls->n + 1);
        ls->at = grown;
        ls->at[ls->n++] = copy;
    }
    *ret = (uint32_t)((uintptr_t)slot->value - 1);
    return true;
}

void label_sets_done(struct label_sets *ls)
{
    map_done(&ls->ids);
    buf_done(&ls->key);
}

/* ---- limits ---- */

bool run_limit(const struct run *r, struct err *e)
{
    return err_set(e, ERR_LIMIT,
                   "the query needs more than %llu bytes of memory (max_query_memory); narrow the time range or the "
                   "stream selector, or aggregate away labels",
                   (unsigned long long)r->p->max_memory);
}

bool run_nomem(struct run *r)
{
    if (r->work.failed == ERR_LIMIT || r->result->failed == ERR_LIMIT)
        return run_limit(r, r->e);
    return err_nomem(r->e);
}

bool run_may_go_on(const struct run *r, struct err *e)
{
    const struct logql_params *p = r->p;
    if (p->cancel && atomic_load_explicit(p->cancel, memory_order_relaxed))
        return err_set(e, ERR_CANCELLED, "the query was cancelled");
    if (p->deadline_mono_ns && clock_mono_ns() > p->deadline_mono_ns)
        return err_set(e, ERR_TIMEOUT, "the query took longer than query_timeout allows");
    return true;
}

bool run_check(struct run *r)
{
    size_t used = r->work.used + (r->result->used - r->result_before);
    bool fits = true;
    if (used > r->published) {
        fits = account_add(&r->account, used - r->published);
        r->published = used;
    }
    return run_may_go_on(r, r->e) && (fits || run_limit(r, r->e));
}

/* ---- scans ---- */

bool run_scan_open(struct run *r, struct scan_request *req, void **ret)
{
    req->tenant = r->p->tenant;
    req->deadline_mono_ns = r->p->deadline_mono_ns;
    req->cancel = r->p->cancel;
    req->account = &r->account;
    return run_check(r) && r->rows->open(r->rows->ctx, req, ret, r->e);
}

static void add_stats(struct run *r, const struct scan_stats *one)
{
    uint64_t *sum = (uint64_t *)&r->stats;
    const uint64_t *add = (const uint64_t *)one;
    _Static_assert(sizeof *one % sizeof *sum == 0, "scan_stats holds counters only");
    for (size_t i = 0; i < sizeof *one / sizeof *sum; i++)
        sum[i] += add[i];
}

bool run_scan_each(struct run *r, const struct scan_request *req, const struct scan_sink *sink)
{
    struct scan_request full = *req;
    struct scan_stats one = {0};
    full.tenant = r->p->tenant;
    full.deadline_mono_ns = r->p->deadline_mono_ns;
    full.cancel = r->p->cancel;
    full.account = &r->account;
    bool ok = run_check(r) && r->rows->each(r->rows->ctx, &full, sink, &one, r->e);
    add_stats(r, &one);
    return ok;
}

/* A batch may hold many rows, and a row may take long (a wide JSON document, a template that repeats itself). */
int run_pipeline(struct run *r, struct pipeline *pl, const struct scan_batch *b, size_t i)
{
    enum { ROW_COST = 256, CHECK_COST = 64 << 10 };
    sv line = b->line ? b->line[i] : SV_NULL;
    struct labels metadata = b->metadata ? b->metadata[i] : (struct labels){0};
    size_t before = pl->scratch.used;
    int pass = pipeline_row(pl, b->ts[i], line, b->stream[i]->labels, metadata, r->e);
    size_t after = pl->scratch.used; /* less than before: it was released in between */
    r->unchecked += ROW_COST + line.n + (after < before ? after : after - before);
    if (pass >= 0 && r->unchecked >= CHECK_COST) {
        r->unchecked = 0;
        return run_check(r) ? pass : -1;
    }
    return pass;
}

int run_scan_next(struct run *r, void *scan, struct scan_batch *ret)
{
    return run_check(r) ? r->rows->next(scan, ret, r->e) : -1;
}

void run_scan_close(struct run *r, void *scan)
{
    if (!scan)
        return;
    struct scan_stats one = {0};
    r->rows->stats(scan, &one);
    r->rows->close(scan);
    add_stats(r, &one);
}

/* ---- the way in ---- */

static bool check_templates(const struct logql_expr *x, struct err *e)
{
    switch (x->kind) {
    case EXPR_LOG:
        return pipeline_check(&x->log, e);
    case EXPR_RANGE:
        return pipeline_check(&x->range.log, e);
    case EXPR_VECTOR_AGG:
        return check_templates(x->agg.inner, e);
    case EXPR_BINARY:
        return check_templates(x->bin.left, e) && check_templates(x->bin.right, e);
    case EXPR_LABEL_REPLACE:
        return check_templates(x->replace.inner, e);
    case EXPR_LITERAL:
    case EXPR_VECTOR:
        return true;
    }
    return true;
}

static bool check_params(const struct logql_expr *x, const struct logql_params *p, struct err *e)
{
    if (p->end_ns < p->start_ns)
        return err_set(e, ERR_INVALID, "end timestamp must not be before or equal to start time");
    if (x->kind == EXPR_LOG)
        return !p->instant ? true
                           : err_set(e, ERR_INVALID, "log queries are not supported as an instant query type, please "
                                                     "change your query to a range query type");
    if (!p->instant && p->step_ns <= 0)
        return err_set(e, ERR_INVALID, "zero or negative query resolution step widths are not accepted. Try a positive "
                                       "integer ");
    if (!p->instant && ((__int128)p->end_ns - p->start_ns) / p->step_ns >= 1000000)
        return err_set(e, ERR_LIMIT, "exceeded maximum resolution of 11,000 points per time series. Try increasing the "
                                     "value of the step parameter ");
    return true;
}

bool logql_run_rows(const struct row_source *rows, const struct logql_expr *x, const struct logql_params *p,
                    struct arena *a, struct logql_result *ret, struct err *e)
{
    struct err local = {0};
    struct logql_result res = {0};
    int64_t began = clock_mono_ns();
    if (!e)
        e = &local;
    if (!check_params(x, p, e) || !check_templates(x, e))
        return false;
    struct run r = {.rows = rows, .p = p, .result = a, .result_before = a->used, .e = e};
    arena_init(&r.work, p->max_memory);
    r.account.max = p->max_memory;
    r.sets.a = &r.work;
    r.n_steps = p->instant || p->step_ns <= 0 ? 1 : (size_t)(((__int128)p->end_ns - p->start_ns) / p->step_ns) + 1;
    bool ok = run_check(&r) && (x->kind == EXPR_LOG ? run_logs(&r, &x->log, &res) : run_metric(&r, x, &res));
    label_sets_done(&r.sets);
    arena_done(&r.work);
    if (!ok)
        return false;
    res.stats = r.stats;
    res.lines_after_filter = r.lines_after_filter;
    res.exec_s = (double)(clock_mono_ns() - began) / 1e9;
    *ret = res;
    return true;
}

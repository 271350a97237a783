/* run_range.c - range aggregations: rows to series, series to one value per step.
 * (1) The window of step t is (t - range - offset, t - offset]. A row therefore counts in a run of consecutive steps, so a series
 *     without unwrap is two short lists: from which step on how much is added, and from which step on it is taken away again. A
 *     row costs O(1) whatever the overlap of the windows.
 * (2) With unwrap the samples themselves are kept, and each step looks at its slice of them.
 * (3) A series is the label set that comes out of the pipeline, or what a grouping keeps of it.
 * (4) Rows may come in any order, so the store is read block by block on several threads (range_rows.c), each with series of its
 *     own; filters that the scan can do are left to it. A source of rows that cannot do that is read in order.
 * (5) Parsers run only as far as the grouping and the filters need (hints), as in Loki; a row that reaches a window with
 *     __error__ set fails the query. */
#include "logql/range_int.h"
#include <math.h>
#include <stdlib.h>

/* ---- planning ---- */

struct names {
    struct arena *a;
    sv *at;
    size_t n, cap;
    bool failed;
};

static void add_name(void *ctx, sv name)
{
    struct names *ns = ctx;
    if (name_listed(ns->at, ns->n, name))
        return;
    sv *grown = arena_grow(ns->a, ns->at, ns->n, &ns->cap, sizeof *grown);
    if (!grown) {
        ns->failed = true;
        return;
    }
    ns->at = grown;
    ns->at[ns->n++] = name;
    if (sv_ends(name, SV("_extracted"))) /* its source */
        add_name(ctx, sv_sub(name, 0, name.n - 10));
}

static int by_name(const void *a, const void *b)
{
    return sv_cmp(*(const sv *)a, *(const sv *)b);
}

static bool plan_hints(struct range_node *n, struct parse_hints *ret)
{
    struct names ns = {.a = &n->r->work};
    *ret = (struct parse_hints){.all = true};
    if (!n->no_labels && (!n->by.present || n->by.without))
        return true;
    for (size_t i = 0; i < n->by.n; i++)
        add_name(&ns, n->by.names[i]);
    pipeline_needed_names(&n->agg->log, add_name, &ns);
    if (n->agg->unwrap.present)
        add_name(&ns, n->agg->unwrap.name);
    for (size_t i = 0; i < n->agg->unwrap.n; i++)
        label_filter_names(n->agg->unwrap.filters[i], add_name, &ns);
    if (ns.n)
        qsort(ns.at, ns.n, sizeof *ns.at, by_name); /* labels made of them are sorted, then */
    parse_hints_set(ret, ns.at, ns.n);
    return !ns.failed;
}

static bool plan_stages(struct range_node *n, struct pushdown *pd)
{
    if (!n->r->rows->each) {
        n->stages = &n->agg->log;
        return true;
    }
    n->stages = &pd->rest;
    return pushdown_plan(&n->agg->log, &n->r->work, pd);
}

/* What is needed of rows: lines, and their metadata as columns or as a whole. */
static unsigned plan_columns(struct range_node *n, size_t n_filter_keys)
{
    const struct log_query *q = n->stages;
    bool skip = n->hints.skip, parses = pipeline_parses(q) && !skip, lines = false, stages = false;
    for (size_t i = 0; i < q->n_stages; i++) {
        struct log_query one = {.stages = &q->stages[i], .n_stages = 1};
        bool parser = pipeline_parses(&one);
        lines |= pipeline_reads_lines(&one) && (!parser || !skip);
        stages |= !parser || !skip;
    }
    bool metadata = !n->no_labels || n->agg->unwrap.present || parses;
    for (size_t i = 0; i < q->n_stages && !metadata; i++) {
        struct log_query one = {.stages = &q->stages[i], .n_stages = 1};
        metadata = pipeline_reads_labels(&one) && !pipeline_parses(&one);
    }
    n->changes_lines = pipeline_changes_lines(&n->agg->log);
    n->wants_bytes = n->agg->op == RANGE_BYTES || n->agg->op == RANGE_BYTES_RATE;
    n->whole_metadata = false;
    n->keys = NULL;
    n->n_keys = 0;
    n->plain = !stages && !n->agg->unwrap.present && !n->hints.all;
    unsigned columns = (lines ? SCAN_LINES : 0u) | (n->wants_bytes ? SCAN_LENGTHS : 0u);
    if (!metadata && !n->plain)
        return columns;
    n->keys = n->plain ? n->by.names : n->hints.names;
    n->n_keys = n->plain ? (n->no_labels ? 0 : n->by.n) : n->hints.n;
    if (n->n_keys + n_filter_keys <= SCAN_MAX_KEYS && !n->hints.all && n->r->rows->each)
        return columns;
    n->keys = NULL;
    n->n_keys = 0;
    n->plain = false;
    n->whole_metadata = metadata;
    return columns | (metadata ? SCAN_METADATA : 0u);
}

static bool plan_grouping(struct range_node *n, const struct grouping *outer)
{
    n->by = n->agg->by;
    if (outer && !n->by.present)
        n->by = (struct grouping){.present = true, .without = outer->without, .names = outer->names, .n = outer->n};
    n->no_labels = n->agg->op == RANGE_ABSENT || (n->by.present && !n->by.without && !n->by.n);
    n->by_sorted = arena_alloc(&n->r->work, n->by.n * sizeof(sv));
    if (!n->by_sorted)
        return false;
    size_t kept = 0;
    if (n->by.n)
        memcpy(n->by_sorted, n->by.names, n->by.n * sizeof(sv));
    qsort(n->by_sorted, n->by.n, sizeof(sv), by_name);
    for (size_t i = 0; i < n->by.n; i++)
        if (!i || !sv_eq(n->by_sorted[i], n->by_sorted[i - 1]))
            n->by_sorted[kept++] = n->by_sorted[i];
    n->by.names = n->by_sorted;
    n->by.n = n->by.n ? kept : 0;
    return true;
}

static bool read_in_order(struct range_node *n, struct scan_request req)
{
    struct range_reader rr;
    struct scan_batch b;
    void *scan = NULL;
    int got = -1;
    n->stages = &n->agg->log; /* nothing is left to the scan: whatever it makes of filters, this is right */
    n->plain = false;
    req.columns = plan_columns(n, SCAN_MAX_KEYS);
    req.n_keys = req.n_key_filters = req.n_filters = 0;
    range_reader_init(&rr, n, false);
    bool ok = run_scan_open(n->r, &req, &scan);
    while (ok && (got = run_scan_next(n->r, scan, &b)) > 0)
        for (size_t i = 0; i < b.n && ok; i++)
            ok = range_row(&rr, &b, i, n->r->e);
    n->r->lines_after_filter += (uint64_t)rr.lines_after_filter;
    range_reader_done(&rr); /* before the scan: it knows streams of it */
    run_scan_close(n->r, scan);
    return ok && got == 0;
}

struct block_readers {
    struct range_reader *at; /* by slot */
};

static bool take_block(void *ctx, unsigned slot, const struct scan_rows *rows, struct err *e)
{
    return range_block(&((struct block_readers *)ctx)->at[slot], rows, e);
}

/* *ret_in_order: a row is in error, and the query has to be run in order to say which. */
static bool read_blocks(struct range_node *n, const struct scan_request *req, bool *ret_in_order)
{
    struct run *r = n->r;
    unsigned n_slots = r->rows->slots;
    struct block_readers readers = {arena_array(&r->work, n_slots, sizeof *readers.at)};
    struct scan_sink sink = {take_block, &readers};
    if (!readers.at)
        return run_nomem(r);
    for (unsigned i = 0; i < n_slots; i++)
        range_reader_init(&readers.at[i], n, true);
    bool ok = run_scan_each(r, req, &sink);
    for (unsigned i = 0; i < n_slots; i++)
        *ret_in_order |= readers.at[i].error_row;
    for (unsigned i = 0; i < n_slots; i++) {
        if (ok && !tally_join(&n->tally, &readers.at[i].own))
            ok = run_nomem(r);
        r->lines_after_filter += (uint64_t)readers.at[i].lines_after_filter;
        range_reader_done(&readers.at[i]);
    }
    return ok;
}

static bool read_all(struct range_node *n)
{
    const struct range_agg *agg = n->agg;
    const struct logql_params *p = n->r->p;
    struct pushdown pd = {0};
    bool in_order = !n->r->rows->each;
    if (!agg->range_ns)
        return true;
    if (!plan_hints(n, &n->hints) || !plan_stages(n, &pd))
        return run_nomem(n->r);
    struct scan_request req = {
        .matchers = agg->log.matchers,
        .n_matchers = agg->log.n_matchers,
        .start_ns = run_clamp_ns((__int128)p->start_ns - agg->offset_ns - agg->range_ns + 1),
        .end_ns = run_clamp_ns((__int128)(p->instant ? p->start_ns : p->end_ns) - agg->offset_ns + 1),
        .columns = plan_columns(n, pd.n_keys),
    };
    pushdown_request(&pd, &req);
    req.keys = n->keys;
    req.n_keys = n->n_keys;
    bool ok = !in_order && read_blocks(n, &req, &in_order);
    if (in_order) {
        *n->r->e = (struct err){0};
        ok = read_in_order(n, req);
    }
    return ok && (tally_finish(&n->tally) || run_nomem(n->r));
}

/* absent_over_time names what it missed: the labels of the = matchers, unless another matcher is on the same label. */
static bool absent_labels(struct range_node *n)
{
    const struct log_query *q = &n->agg->log;
    struct label *at = arena_alloc(&n->r->work, q->n_matchers * sizeof *at);
    size_t kept = 0;
    if (!at)
        return run_nomem(n->r);
    for (size_t i = 0; i < q->n_matchers; i++) {
        bool alone = q->matchers[i].op == MATCH_EQ && q->matchers[i].value.n;
        for (size_t j = 0; j < q->n_matchers && alone; j++)
            alone = j == i || !sv_eq(q->matchers[j].name, q->matchers[i].name);
        if (alone)
            at[kept++] = (struct label){q->matchers[i].name, q->matchers[i].value};
    }
    labels_sort(at, kept);
    return label_sets_put(&n->r->sets, (struct labels){at, kept}, &n->absent_set) ? true : run_nomem(n->r);
}

bool range_open(struct run *r, const struct range_agg *agg, const struct grouping *outer, struct range_node **ret)
{
    struct range_node *n = ARENA_NEW(&r->work, struct range_node);
    if (!n)
        return run_nomem(r);
    n->r = r;
    n->agg = agg;
    n->tally = (struct tally){.a = &r->work, .sets = &r->sets};
    if (!plan_grouping(n, outer))
        return run_nomem(r);
    if (agg->op == RANGE_ABSENT && !absent_labels(n))
        return false;
    *ret = n;
    return read_all(n);
}

/* ---- steps ---- */

static void apply(struct deltas *d, size_t k, int sign, struct series *s)
{
    for (; d->read < d->n && d->at[d->read].k <= k; d->read++) {
        s->rows += sign * d->at[d->read].rows;
        s->bytes += sign * d->at[d->read].bytes;
    }
}

/* NaN comes first. */
static bool is_less(double a, double b)
{
    return isnan(a) ? !isnan(b) : a < b;
}

/* Puts the k-th least value at at[k], none greater in front of it and none less behind. */
static void select_value(double *at, size_t n, size_t k)
{
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        double pivot = at[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        for (;;) {
            while (is_less(at[i], pivot))
                i++;
            while (is_less(pivot, at[j]))
                j--;
            if (i >= j)
                break;
            double t = at[i];
            at[i++] = at[j];
            at[j--] = t;
        }
        /* at[lo..i) is not greater than the pivot, at(j..hi] not less */
        if (k <= j)
            hi = j;
        else
            lo = MAX(i, j + 1);
    }
}

static bool quantile(struct range_node *n, const struct sample *at, size_t count, double q, double *ret)
{
    if (q < 0 || q > 1 || isnan(q)) {
        *ret = isnan(q) ? NAN : q < 0 ? -INFINITY : INFINITY;
        return true;
    }
    if (n->cap_sorted < count) {
        n->sorted = arena_alloc(&n->r->work, count * 2 * sizeof(double));
        n->cap_sorted = count * 2;
        if (!n->sorted)
            return run_nomem(n->r);
    }
    for (size_t i = 0; i < count; i++)
        n->sorted[i] = at[i].v;
    double rank = q * (double)(count - 1), lower = floor(rank), weight = rank - lower;
    size_t i = (size_t)lower, j = MIN(i + 1, count - 1);
    select_value(n->sorted, count, i);
    for (size_t k = i + 1; k < count; k++)
        if (is_less(n->sorted[k], n->sorted[j])) {
            double t = n->sorted[j];
            n->sorted[j] = n->sorted[k];
            n->sorted[k] = t;
        }
    *ret = n->sorted[i] * (1 - weight) + n->sorted[j] * weight;
    return true;
}

static double variance(const struct sample *at, size_t count)
{
    double mean = 0, m2 = 0;
    for (size_t i = 0; i < count; i++) {
        double delta = at[i].v - mean;
        mean += delta / (double)(i + 1);
        m2 += delta * (at[i].v - mean);
    }
    return m2 / (double)count;
}

/* How much a counter grew; a drop is a restart from zero. */
static double increase(const struct sample *at, size_t count)
{
    double grown = count ? at[count - 1].v - at[0].v : 0;
    for (size_t i = 1; i < count; i++)
        if (at[i].v < at[i - 1].v)
            grown += at[i - 1].v;
    return grown;
}

static double extreme(const struct sample *at, size_t count, bool max)
{
    double best = at[0].v;
    for (size_t i = 1; i < count; i++)
        if (isnan(best) || (max ? at[i].v > best : at[i].v < best))
            best = at[i].v;
    return best;
}

static bool over_samples(struct range_node *n, const struct sample *at, size_t count, double *ret)
{
    double sum = 0, seconds = (double)n->agg->range_ns / 1e9;
    for (size_t i = 0; i < count; i++)
        sum += at[i].v;
    switch (n->agg->op) {
    case RANGE_SUM:
        *ret = sum;
        return true;
    case RANGE_RATE:
        *ret = sum / seconds;
        return true;
    case RANGE_AVG:
        *ret = sum / (double)count;
        return true;
    case RANGE_MIN:
    case RANGE_MAX:
        *ret = extreme(at, count, n->agg->op == RANGE_MAX);
        return true;
    case RANGE_FIRST:
        *ret = at[0].v;
        return true;
    case RANGE_LAST:
        *ret = at[count - 1].v;
        return true;
    case RANGE_STDVAR:
        *ret = variance(at, count);
        return true;
    case RANGE_STDDEV:
        *ret = sqrt(variance(at, count));
        return true;
    case RANGE_RATE_COUNTER:
        *ret = increase(at, count) / seconds;
        return true;
    case RANGE_QUANTILE:
        return quantile(n, at, count, n->agg->param, ret);
    case RANGE_COUNT:
    case RANGE_BYTES:
    case RANGE_BYTES_RATE:
    case RANGE_ABSENT:
        break; /* these never keep samples, see unwrapped() */
    }
    ASSERT(!"an operation without samples");
    return false;
}

static double over_rows(const struct range_node *n, const struct series *s)
{
    double seconds = (double)n->agg->range_ns / 1e9;
    switch (n->agg->op) {
    case RANGE_RATE:
        return (double)s->rows / seconds;
    case RANGE_BYTES:
        return (double)s->bytes;
    case RANGE_BYTES_RATE:
        return (double)s->bytes / seconds;
    default:
        return (double)s->rows;
    }
}

/* Moves the series to step k: how many entries its window has. */
static size_t advance(struct range_node *n, struct series *s, size_t k)
{
    if (!n->agg->unwrap.present) {
        apply(&s->add, k, 1, s);
        apply(&s->sub, k, -1, s);
        return (size_t)s->rows;
    }
    __int128 to = (__int128)run_step_ns(n->r, k) - n->agg->offset_ns, from = to - n->agg->range_ns;
    while (s->hi < s->n && s->samples[s->hi].ts <= to)
        s->hi++;
    while (s->lo < s->hi && s->samples[s->lo].ts <= from)
        s->lo++;
    return s->hi - s->lo;
}

bool range_step(struct run *r, struct range_node *n, size_t k, struct vec *out)
{
    bool any = false;
    for (size_t i = 0; i < n->tally.n; i++) {
        struct series *s = &n->tally.series[i];
        size_t count = advance(n, s, k);
        double v = 0;
        if (!count)
            continue;
        any = true;
        if (n->agg->op == RANGE_ABSENT)
            continue;
        if (!n->agg->unwrap.present)
            v = over_rows(n, s);
        else if (!over_samples(n, s->samples + s->lo, count, &v))
            return false;
        if (!vec_push(r, out, s->set, v))
            return false;
    }
    return n->agg->op != RANGE_ABSENT || any || vec_push(r, out, n->absent_set, 1);
}

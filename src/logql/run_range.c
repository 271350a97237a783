/* run_range.c - range aggregations: rows to series, series to one value per step.
 * (1) The window of step t is (t - range - offset, t - offset]. A row therefore counts in a run of consecutive steps, and
 *     rows come in time order, so a series without unwrap is two short lists: from which step on how much is added, and
 *     from which step on it is taken away again. A row costs O(1) whatever the overlap of the windows.
 * (2) With unwrap the samples themselves are kept, and each step looks at its slice of them.
 * (3) A series is the label set that comes out of the pipeline, or what a grouping keeps of it. For rows that no stage
 *     changed and that carry no metadata the series is a function of the stored stream and looked up by pointer.
 * (4) Parsers run only as far as the grouping and the filters need (hints), as in Loki; a row that reaches a window with
 *     __error__ set fails the query. */
#include "logql/run.h"
#include "logql/units.h"
#include <math.h>
#include <stdlib.h>

struct delta { /* from step k on */
    size_t k;
    int64_t rows, bytes;
};
struct deltas {
    struct delta *at;
    size_t n, cap, read; /* read: those that steps already passed */
};
struct sample {
    int64_t ts;
    double v;
};
struct series {
    uint32_t set;
    struct deltas add, sub;
    int64_t rows, bytes; /* of the current window */
    struct sample *samples;
    size_t n, cap, lo, hi; /* samples[lo..hi) is the current window */
};
struct span { /* times lo..hi (both included) count in steps first..last; none when first > last */
    int64_t lo, hi;
    size_t first, last;
};
struct range_node {
    struct run *r;
    const struct range_agg *agg;
    struct grouping by;   /* what identifies a series; by.present false: all labels */
    sv *by_sorted;        /* by.names in label order */
    bool no_labels;       /* one series without labels */
    struct series *series;
    size_t n, cap;
    uint32_t *series_of; /* by label set id, + 1; 0: none yet */
    size_t n_series_of, cap_series_of;
    struct map by_stream; /* stream_info pointer -> series + 1; see (3) */
    const struct stream_info *last_info;
    size_t last_series;
    struct span span; /* of the last row */
    uint32_t absent_set;
    double *sorted; /* room for quantiles */
    size_t cap_sorted;
};

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
    *ret = (struct parse_hints){.skip = !ns.n, .names = ns.at, .n = ns.n};
    return !ns.failed;
}

static unsigned plan_columns(const struct range_node *n, const struct parse_hints *h)
{
    const struct log_query *q = &n->agg->log;
    bool parses = pipeline_parses(q) && !h->skip, lines = false;
    for (size_t i = 0; i < q->n_stages && !lines; i++) {
        struct log_query one = {.stages = &q->stages[i], .n_stages = 1};
        lines = pipeline_reads_lines(&one) && (!pipeline_parses(&one) || !h->skip);
    }
    bool metadata = !n->no_labels || n->agg->unwrap.present || parses;
    for (size_t i = 0; i < q->n_stages && !metadata; i++) {
        struct log_query one = {.stages = &q->stages[i], .n_stages = 1};
        metadata = pipeline_reads_labels(&one) && !pipeline_parses(&one);
    }
    return (lines ? SCAN_LINES : 0) | (metadata ? SCAN_METADATA : 0);
}

static int by_name(const void *a, const void *b)
{
    return sv_cmp(*(const sv *)a, *(const sv *)b);
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

/* ---- series ---- */

static bool series_of_set(struct range_node *n, uint32_t set, size_t *ret)
{
    struct arena *a = &n->r->work;
    while (n->n_series_of <= set) {
        uint32_t *grown = arena_grow(a, n->series_of, n->n_series_of, &n->cap_series_of, sizeof *grown);
        if (!grown)
            return false;
        n->series_of = grown;
        n->series_of[n->n_series_of++] = 0;
    }
    if (!n->series_of[set]) {
        struct series *grown = arena_grow(a, n->series, n->n, &n->cap, sizeof *grown);
        if (!grown)
            return false;
        n->series = grown;
        n->series[n->n++] = (struct series){.set = set};
        n->series_of[set] = (uint32_t)n->n;
    }
    *ret = n->series_of[set] - 1;
    return true;
}

/* The labels that identify the row's series, in the row's memory or the node's. */
static struct labels identity(struct range_node *n, const struct label_row *row)
{
    if (n->no_labels)
        return (struct labels){0};
    if (n->by.present && !n->by.without) {
        struct label *to = arena_alloc(row->a, n->by.n * sizeof *to);
        size_t kept = 0;
        for (size_t i = 0; to && i < n->by.n; i++) {
            sv v = label_row_get(row, n->by.names[i]);
            if (v.n)
                to[kept++] = (struct label){n->by.names[i], v};
        }
        return (struct labels){to, kept};
    }
    struct labels all = label_row_labels(row, LABEL_STREAM | LABEL_METADATA | LABEL_PARSED, row->a);
    struct label *at = (struct label *)(uintptr_t)all.at; /* ours: just made */
    size_t kept = 0;
    for (size_t i = 0; i < all.n; i++) {
        bool unwrapped = n->agg->unwrap.present && sv_eq(at[i].name, n->agg->unwrap.name);
        if (at[i].value.n && !unwrapped && !(n->by.present && name_listed(n->by.names, n->by.n, at[i].name)))
            at[kept++] = at[i];
    }
    return (struct labels){at, kept};
}

/* Does the stored stream alone tell the series? */
static bool series_is_of_stream(const struct range_node *n, const struct label_row *row)
{
    if (n->no_labels)
        return true;
    if (row->n_parsed || row->stream_gone)
        return false;
    if (!row->metadata.n || !n->by.present || n->by.without)
        return !row->metadata.n;
    for (size_t i = 0; i < n->by.n; i++)
        if (labels_get(row->metadata, n->by.names[i]).p)
            return false;
    return true;
}

static bool find_series(struct range_node *n, const struct label_row *row, const struct stream_info *info, size_t *ret)
{
    bool plain = series_is_of_stream(n, row);
    if (plain && (info == n->last_info || (n->no_labels && n->n))) {
        *ret = n->last_series;
        return true;
    }
    struct map_slot *slot = plain ? map_put(&n->by_stream, sv_make(&info, sizeof info)) : NULL;
    if (plain && !slot)
        return run_nomem(n->r);
    if (slot && slot->value) {
        *ret = (uintptr_t)slot->value - 1;
    } else {
        uint32_t set;
        struct labels id = identity(n, row);
        if (row->a->failed)
            return arena_err(row->a, n->r->e, "memory of one entry");
        bool ok = label_sets_put(&n->r->sets, id, &set) && series_of_set(n, set, ret);
        if (slot) {
            slot->key = arena_sv(&n->r->work, sv_make(&info, sizeof info));
            slot->value = (void *)(uintptr_t)(ok ? *ret + 1 : 0);
            ok = ok && slot->key.p;
        }
        if (!ok)
            return run_nomem(n->r);
    }
    if (plain) {
        n->last_info = info;
        n->last_series = *ret;
    }
    return true;
}

static bool add_delta(struct range_node *n, struct deltas *d, size_t k, int64_t bytes)
{
    if (d->n && d->at[d->n - 1].k == k) {
        d->at[d->n - 1].rows++;
        d->at[d->n - 1].bytes += bytes;
        return true;
    }
    struct delta *grown = arena_grow(&n->r->work, d->at, d->n, &d->cap, sizeof *grown);
    if (!grown)
        return run_nomem(n->r);
    d->at = grown;
    d->at[d->n++] = (struct delta){k, 1, bytes};
    return true;
}

static bool add_sample(struct range_node *n, struct series *s, int64_t ts, double v)
{
    struct sample *grown = arena_grow(&n->r->work, s->samples, s->n, &s->cap, sizeof *grown);
    if (!grown)
        return run_nomem(n->r);
    s->samples = grown;
    s->samples[s->n++] = (struct sample){ts, v};
    return true;
}

/* ---- rows ---- */

static int64_t clamp_ns(__int128 v)
{
    return v < INT64_MIN ? INT64_MIN : v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

/* The steps whose window holds ts, worked out with divisions, and for which other times the same would come out. */
static struct span span_of(const struct range_node *n, int64_t ts)
{
    const struct logql_params *p = n->r->p;
    __int128 step = p->instant || !p->step_ns ? (__int128)1 << 100 : p->step_ns; /* an only step has no neighbours */
    __int128 base = (__int128)p->start_ns - n->agg->offset_ns, from = ts - base, to = from + n->agg->range_ns - 1;
    __int128 most = (__int128)n->r->n_steps - 1;
    __int128 first = from <= 0 ? 0 : (from + step - 1) / step, last = to < 0 ? -1 : MIN(to / step, most);
    __int128 lo = from <= 0 ? INT64_MIN : (first - 1) * step + 1 + base; /* where `first` begins to hold */
    __int128 hi = first * step + base;                                  /* and where it ends */
    if (last >= 0)
        lo = MAX(lo, last * step + 1 - n->agg->range_ns + base);
    if (last < most)
        hi = MIN(hi, (last + 1) * step - n->agg->range_ns + base);
    bool none = first > last || first > most;
    return (struct span){clamp_ns(lo), clamp_ns(hi), none ? 1 : (size_t)first, none ? 0 : (size_t)last};
}

/* False when no window holds ts. Rows come in time order, so most have the answer of the row before. */
static bool steps_of(struct range_node *n, int64_t ts, size_t *first, size_t *last)
{
    if (ts < n->span.lo || ts > n->span.hi)
        n->span = span_of(n, ts);
    *first = n->span.first;
    *last = n->span.last;
    return n->span.first <= n->span.last;
}

static bool pipeline_error(struct range_node *n, const struct label_row *row)
{
    enum { SHOWN = 220 }; /* of the series: the advice below it must fit, too */
    sv error = row->error;
    SCOPED(buf_done) struct buf text = {0};
    labels_text(label_row_labels(row, LABEL_STREAM | LABEL_METADATA | LABEL_PARSED | LABEL_ERRORS, row->a), &text);
    sv series = sv_sub(buf_view(&text), 0, SHOWN);
    series.n = sv_utf8_prefix(series);
    return err_set(n->r->e, ERR_INVALID,
                   "pipeline error: '" SV_FMT "' for series: '" SV_FMT "%s'.\n"
                   "Use a label filter to intentionally skip this error. (e.g | __error__!=\"" SV_FMT "\").\n"
                   "To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n"
                   "The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )",
                   SV_ARG(error), SV_ARG(series), text.n > series.n ? "…" : "", SV_ARG(error));
}

static bool convert(enum unwrap_conv conv, sv text, double *ret, struct err *cause)
{
    int64_t ns;
    switch (conv) {
    case UNWRAP_NUMBER:
        return float_go(text, ret, cause);
    case UNWRAP_BYTES:
        return bytes_humanised(text, ret, cause);
    case UNWRAP_DURATION:
    case UNWRAP_DURATION_SECONDS:
        if (!duration_go(text, &ns, cause))
            return false;
        *ret = (double)ns / 1e9;
        return true;
    }
    return false;
}

/* The value to aggregate; false: the row is left out. */
static bool unwrap_row(const struct unwrap *uw, struct label_row *row, double *ret)
{
    struct err cause = {0};
    sv text = label_row_get(row, uw->name);
    if (!text.n)
        return false;
    if (!convert(uw->conv, text, ret, &cause)) {
        *ret = 0;
        label_row_set_error(row, SV("SampleExtractionErr"), arena_sv(row->a, sv_of(cause.msg)));
    }
    for (size_t i = 0; i < uw->n; i++)
        if (!label_filter_row(uw->filters[i], row))
            return false;
    return true;
}

static bool add_row(struct range_node *n, struct pipeline *pl, const struct stream_info *info, int64_t bytes)
{
    struct label_row *row = &pl->row;
    size_t first = 0, last = 0, at = 0;
    double v = 0;
    n->r->lines_after_filter++;
    if (n->agg->unwrap.present && !unwrap_row(&n->agg->unwrap, row, &v))
        return true;
    if (!steps_of(n, pl->ts, &first, &last))
        return true;
    if (row->error.p)
        return pipeline_error(n, row);
    if (!find_series(n, row, info, &at))
        return false;
    struct series *s = &n->series[at];
    if (n->agg->unwrap.present)
        return add_sample(n, s, pl->ts, v);
    return add_delta(n, &s->add, first, bytes) && (last + 1 >= n->r->n_steps || add_delta(n, &s->sub, last + 1, bytes));
}

static bool read_rows(struct range_node *n, struct pipeline *pl, void *scan)
{
    struct scan_batch b;
    bool changes = pipeline_changes_lines(&n->agg->log);
    int got;
    while ((got = run_scan_next(n->r, scan, &b)) > 0)
        for (size_t i = 0; i < b.n; i++) {
            int pass = run_pipeline(n->r, pl, &b, i);
            if (pass < 0 || (pass && !add_row(n, pl, b.stream[i], changes ? (int64_t)pl->line.n : b.line_bytes[i])))
                return false;
        }
    return got == 0;
}

static bool read_all(struct range_node *n)
{
    const struct range_agg *agg = n->agg;
    const struct logql_params *p = n->r->p;
    struct scan_filter filters[16];
    struct parse_hints hints;
    struct pipeline pl;
    void *scan = NULL;
    if (!agg->range_ns)
        return true;
    if (!plan_hints(n, &hints))
        return run_nomem(n->r);
    struct scan_request req = {
        .matchers = agg->log.matchers,
        .n_matchers = agg->log.n_matchers,
        .start_ns = clamp_ns((__int128)p->start_ns - agg->offset_ns - agg->range_ns + 1),
        .end_ns = clamp_ns((__int128)(p->instant ? p->start_ns : p->end_ns) - agg->offset_ns + 1),
        .columns = plan_columns(n, &hints),
        .filters = filters,
        .n_filters = pipeline_scan_filters(&agg->log, filters, ARRAY_LEN(filters)),
    };
    pipeline_init(&pl, &agg->log, hints);
    bool ok = run_scan_open(n->r, &req, &scan) && read_rows(n, &pl, scan);
    map_done(&n->by_stream); /* streams live as long as their scan */
    n->last_info = NULL;
    run_scan_close(n->r, scan);
    pipeline_done(&pl);
    return ok;
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
    n->span = (struct span){.lo = INT64_MAX, .hi = INT64_MIN};
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

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return isnan(x) ? (isnan(y) ? 0 : -1) : isnan(y) ? 1 : (x > y) - (x < y);
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
    qsort(n->sorted, count, sizeof(double), by_value);
    double rank = q * (double)(count - 1), lower = floor(rank), weight = rank - lower;
    size_t i = (size_t)lower, j = MIN(i + 1, count - 1);
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
    for (size_t i = 0; i < n->n; i++) {
        struct series *s = &n->series[i];
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

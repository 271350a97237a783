/* range_rows.c - rows on their way into a range aggregation: row by row through what is left of the pipeline, or, where nothing is left,
 * block by block over the ids of streams and metadata values.
 * (1) Readers share nothing but the plan. Each has its own series; they are joined when all rows are read.
 * (2) A row that reaches a window with __error__ set fails the query. Which row is named must not depend on which thread was first:
 *     reading blocks only notes that there is one, and the query is then run in order (run_range.c). */
#include "logql/range_int.h"
#include "base/clock.h"
#include "logql/units.h"

void range_reader_init(struct range_reader *rr, struct range_node *n, bool shared)
{
    *rr = (struct range_reader){.n = n, .span = {.lo = INT64_MAX, .hi = INT64_MIN}};
    arena_init(&rr->work, n->r->p->max_memory);
    arena_init(&rr->labels, n->r->p->max_memory);
    rr->sets.a = &rr->work;
    rr->own = (struct tally){.a = &rr->work, .sets = &rr->sets};
    rr->tally = shared ? &rr->own : &n->tally;
    pipeline_init(&rr->pl, n->stages, n->hints);
}

void range_reader_done(struct range_reader *rr)
{
    if (!rr->n)
        return;
    account_sub(&rr->n->r->account, rr->published);
    pipeline_done(&rr->pl);
    label_sets_done(&rr->sets);
    map_done(&rr->by_stream);
    free(rr->table);
    free(rr->counts);
    arena_done(&rr->labels);
    arena_done(&rr->work);
}

static bool nomem(struct range_reader *rr, struct err *e)
{
    bool limit = rr->tally->a->failed == ERR_LIMIT || rr->labels.failed == ERR_LIMIT;
    return limit ? run_limit(rr->n->r, e) : err_nomem(e);
}

/* Now and then: memory, clock and cancel flag. */
static bool check(struct range_reader *rr, struct err *e)
{
    size_t used = rr->work.used;
    if (used > rr->published) {
        bool fits = account_add(&rr->n->r->account, used - rr->published);
        rr->published = used;
        if (!fits)
            return run_limit(rr->n->r, e);
    }
    return run_may_go_on(rr->n->r, e);
}

/* ---- windows ---- */

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
    return (struct span){run_clamp_ns(lo), run_clamp_ns(hi), none ? 1 : (size_t)first, none ? 0 : (size_t)last};
}

/* False when no window holds ts. Most rows have the answer of the row before. */
static bool steps_of(struct range_reader *rr, int64_t ts)
{
    if (ts < rr->span.lo || ts > rr->span.hi)
        rr->span = span_of(rr->n, ts);
    return rr->span.first <= rr->span.last;
}

/* ---- series ---- */

/* The labels that identify the row's series, in the row's memory or the node's. */
static struct labels identity(const struct range_node *n, const struct label_row *row)
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

static bool series_of_labels(struct range_reader *rr, struct labels id, size_t *ret)
{
    uint32_t set;
    return label_sets_put(rr->tally->sets, id, &set) && tally_series(rr->tally, set, ret);
}

static bool find_series(struct range_reader *rr, const struct label_row *row, const struct stream_info *info, size_t *ret,
                        struct err *e)
{
    bool plain = series_is_of_stream(rr->n, row);
    if (plain && (info == rr->last_info || (rr->n->no_labels && rr->last_info))) {
        *ret = rr->last_series;
        return true;
    }
    struct map_slot *slot = plain ? map_put(&rr->by_stream, sv_make(&info, sizeof info)) : NULL;
    if (plain && !slot)
        return nomem(rr, e);
    if (slot && slot->value) {
        *ret = (uintptr_t)slot->value - 1;
    } else {
        struct labels id = identity(rr->n, row);
        if (row->a->failed)
            return arena_err(row->a, e, "memory of one entry");
        bool ok = series_of_labels(rr, id, ret);
        if (slot) {
            slot->key = arena_sv(rr->tally->a, sv_make(&info, sizeof info));
            slot->value = (void *)(uintptr_t)(ok ? *ret + 1 : 0);
            ok = ok && slot->key.p;
        }
        if (!ok)
            return nomem(rr, e);
    }
    if (plain) {
        rr->last_info = info;
        rr->last_series = *ret;
    }
    return true;
}

/* ---- one row ---- */

static bool pipeline_error(const struct label_row *row, struct err *e)
{
    enum { SHOWN = 220 }; /* of the series: the advice below it must fit, too */
    sv error = row->error;
    SCOPED(buf_done) struct buf text = {0};
    labels_text(label_row_labels(row, LABEL_STREAM | LABEL_METADATA | LABEL_PARSED | LABEL_ERRORS, row->a), &text);
    sv series = sv_sub(buf_view(&text), 0, SHOWN);
    series.n = sv_utf8_prefix(series);
    return err_set(e, ERR_INVALID,
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

struct place { /* of a row, for the order of samples */
    uint32_t rank, order, row;
    int sign;
};

/* A row that came out of the pipeline. */
static bool add_row(struct range_reader *rr, const struct stream_info *info, int64_t bytes, struct place at, struct err *e)
{
    struct range_node *n = rr->n;
    struct label_row *row = &rr->pl.row;
    size_t series = 0;
    double v = 0;
    rr->lines_after_filter += at.sign;
    if (n->agg->unwrap.present && !unwrap_row(&n->agg->unwrap, row, &v))
        return true;
    if (!steps_of(rr, rr->pl.ts))
        return true;
    if (row->error.p) {
        rr->error_row = true;
        return pipeline_error(row, e);
    }
    if (!find_series(rr, row, info, &series, e))
        return false;
    struct sample s = {rr->pl.ts, v, at.rank, at.order, at.row, at.sign};
    bool ok = n->agg->unwrap.present
                  ? tally_sample(rr->tally, series, &s)
                  : tally_rows(rr->tally, series, rr->span.first, rr->span.last, n->r->n_steps, at.sign, at.sign * bytes);
    return ok || nomem(rr, e);
}

/* A block may hold many rows, and a row may take long (a wide JSON document, a template that repeats itself). */
static int pipeline_of(struct range_reader *rr, int64_t ts, sv line, struct labels stream, struct labels metadata, struct err *e)
{
    enum { ROW_COST = 256, CHECK_COST = 64 << 10 };
    size_t before = rr->pl.scratch.used;
    int pass = pipeline_row(&rr->pl, ts, line, stream, metadata, e);
    size_t after = rr->pl.scratch.used; /* less than before: it was released in between */
    rr->unchecked += ROW_COST + line.n + (after < before ? after : after - before);
    if (pass >= 0 && rr->unchecked >= CHECK_COST) {
        rr->unchecked = 0;
        return check(rr, e) ? pass : -1;
    }
    return pass;
}

bool range_row(struct range_reader *rr, const struct scan_batch *b, size_t i, struct err *e)
{
    struct labels metadata = b->metadata ? b->metadata[i] : (struct labels){0};
    int pass = pipeline_of(rr, b->ts[i], b->line ? b->line[i] : SV_NULL, b->stream[i]->labels, metadata, e);
    if (pass <= 0)
        return pass == 0;
    struct place at = {.row = rr->n_rows++, .sign = 1}; /* they come in the order that is wanted */
    return add_row(rr, b->stream[i], rr->n->changes_lines ? (int64_t)rr->pl.line.n : b->line_bytes[i], at, e);
}

/* ---- blocks, row by row ---- */

static int64_t line_bytes(const struct scan_rows *rows, uint32_t row)
{
    if (!rows->line_end)
        return 0; /* nobody asked */
    return rows->line_end[row] - (row ? rows->line_end[row - 1] : 0);
}

/* The metadata that the plan needs of a row. */
static bool metadata_of(struct range_reader *rr, const struct scan_rows *rows, uint32_t row, struct labels *ret)
{
    const struct range_node *n = rr->n;
    size_t k = 0;
    *ret = (struct labels){0};
    if (n->whole_metadata) {
        if (rr->labels.used > 32 << 10)
            arena_reset(&rr->labels);
        return scan_labels(rows->c, row, &rr->labels, ret);
    }
    for (size_t i = 0; i < n->n_keys; i++) {
        uint32_t id = key_column_id(&rows->keys[i], row);
        if (id)
            rr->key_labels[k++] = (struct label){n->keys[i], rows->keys[i].values[id - 1]};
    }
    *ret = (struct labels){rr->key_labels, k};
    return true;
}

static bool block_rows(struct range_reader *rr, const struct scan_rows *rows, struct err *e)
{
    for (uint32_t i = 0; i < rows->n; i++) {
        uint32_t row = rows->at ? rows->at[i] : i, from = row && rows->lines ? rows->line_end[row - 1] : 0;
        const struct stream_info *info = rows->streams[rows->stream[row]];
        sv line = rows->lines ? sv_make(rows->lines + from, rows->line_end[row] - from) : SV_NULL;
        struct labels metadata;
        if (!metadata_of(rr, rows, row, &metadata))
            return nomem(rr, e);
        int pass = pipeline_of(rr, rows->ts[row], line, info->labels, metadata, e);
        if (pass < 0)
            return false;
        struct place at = {info->rank, rows->order, row, rows->sign};
        if (pass && !add_row(rr, info, rr->n->changes_lines ? (int64_t)rr->pl.line.n : line_bytes(rows, row), at, e))
            return false;
    }
    return true;
}

/* ---- blocks, by ids: a table tells the series of each stream and combination of values ---- */

enum { TABLE_MAX = 1 << 16 };

static size_t table_size(const struct range_reader *rr, const struct scan_rows *rows)
{
    size_t size = rr->n->no_labels ? 1 : rows->n_streams;
    for (size_t i = 0; !rr->n->no_labels && i < rr->n->by.n && size <= TABLE_MAX; i++)
        size *= (size_t)rows->keys[i].n_values + 1;
    return size;
}

/* Where a row stands in the table. */
static size_t table_at(const struct range_node *n, const struct scan_rows *rows, uint32_t row)
{
    size_t at = rows->stream[row];
    if (n->no_labels)
        return 0;
    for (size_t i = 0; i < n->by.n; i++) {
        const struct key_column *k = &rows->keys[i];
        at = at * ((size_t)k->n_values + 1) + key_column_id(k, row);
    }
    return at;
}

static bool table_series(struct range_reader *rr, const struct scan_rows *rows, uint32_t row, size_t at, size_t *ret)
{
    const struct range_node *n = rr->n;
    struct label id[SCAN_MAX_KEYS];
    size_t kept = 0;
    if (rr->table[at]) {
        *ret = rr->table[at] - 1;
        return true;
    }
    for (size_t i = 0; !n->no_labels && i < n->by.n; i++) {
        const struct key_column *k = &rows->keys[i];
        uint32_t value = key_column_id(k, row);
        sv v = value ? k->values[value - 1] : labels_get(rows->streams[rows->stream[row]]->labels, n->by.names[i]);
        if (v.n)
            id[kept++] = (struct label){n->by.names[i], v};
    }
    if (!series_of_labels(rr, (struct labels){id, kept}, ret))
        return false;
    rr->table[at] = (uint32_t)*ret + 1;
    return true;
}

/* The rows from i on that are of one stream and count in the same steps: where they end. */
static uint32_t same_steps(const struct range_reader *rr, const struct scan_rows *rows, uint32_t i)
{
    int64_t lo = rr->span.lo, hi = rr->span.hi;
    uint32_t stream = rows->stream[rows->at ? rows->at[i] : i], end = i + 1;
    if (rows->at) {
        for (; end < rows->n; end++) {
            uint32_t row = rows->at[end];
            if (rows->stream[row] != stream || rows->ts[row] < lo || rows->ts[row] > hi)
                break;
        }
        return end;
    }
    while (end < rows->n && rows->stream[end] == stream && rows->ts[end] >= lo && rows->ts[end] <= hi)
        end++;
    return end;
}

static bool add_to_table(struct range_reader *rr, const struct scan_rows *rows, uint32_t row, size_t at, int64_t n, int64_t bytes)
{
    size_t series;
    return table_series(rr, rows, row, at, &series) &&
           tally_rows(rr->tally, series, rr->span.first, rr->span.last, rr->n->r->n_steps, rows->sign * n, rows->sign * bytes);
}

/* Rows i to end, of one stream: no key has values in this block, so they are of one series. */
static bool add_run(struct range_reader *rr, const struct scan_rows *rows, uint32_t i, uint32_t end)
{
    uint32_t first = rows->at ? rows->at[i] : i;
    int64_t bytes = 0;
    if (!rows->line_end)
        bytes = 0;
    else if (!rows->at)
        bytes = rows->line_end[end - 1] - (i ? rows->line_end[i - 1] : 0);
    else
        for (uint32_t k = i; k < end; k++)
            bytes += line_bytes(rows, rows->at[k]);
    return add_to_table(rr, rows, first, table_at(rr->n, rows, first), end - i, bytes);
}

/* The same with one key of few values: counted by id. */
static bool add_by_id(struct range_reader *rr, const struct scan_rows *rows, const struct key_column *k, uint32_t i, uint32_t end)
{
    size_t n = (size_t)k->n_values + 1;
    int64_t *count = rr->counts, *bytes = count + n;
    uint32_t *last = (uint32_t *)(void *)(bytes + n); /* the id's last row */
    memset(count, 0, 2 * n * sizeof *count);
    for (uint32_t j = i; j < end; j++) {
        uint32_t row = rows->at ? rows->at[j] : j;
        count[k->id[row]]++;
        last[k->id[row]] = row;
    }
    for (uint32_t j = i; rr->n->wants_bytes && j < end; j++) {
        uint32_t row = rows->at ? rows->at[j] : j;
        bytes[k->id[row]] += line_bytes(rows, row);
    }
    for (size_t id = 0; id < n; id++)
        if (count[id] && !add_to_table(rr, rows, last[id], table_at(rr->n, rows, last[id]), count[id], bytes[id]))
            return false;
    return true;
}

static bool add_each(struct range_reader *rr, const struct scan_rows *rows, uint32_t i, uint32_t end)
{
    for (uint32_t j = i; j < end; j++) {
        uint32_t row = rows->at ? rows->at[j] : j;
        if (!add_to_table(rr, rows, row, table_at(rr->n, rows, row), 1, line_bytes(rows, row)))
            return false;
    }
    return true;
}

static bool room(void **at, size_t *cap, size_t bytes)
{
    void *grown = bytes <= *cap ? *at : realloc(*at, bytes);
    if (!grown)
        return false;
    *at = grown;
    *cap = MAX(*cap, bytes);
    return true;
}

static bool block_plain(struct range_reader *rr, const struct scan_rows *rows, size_t size, struct err *e)
{
    enum { FEW = 256 };
    const struct range_node *n = rr->n;
    const struct key_column *only = NULL; /* the one key with values here */
    size_t n_keys = 0;
    for (size_t i = 0; !n->no_labels && i < n->by.n; i++)
        if (rows->keys[i].n_values && rows->keys[i].id) {
            only = &rows->keys[i];
            n_keys++;
        }
    bool by_id = n_keys == 1 && only->n_values < FEW;
    if (!room((void **)&rr->table, &rr->table_cap, size * sizeof *rr->table) ||
        (by_id && !room((void **)&rr->counts, &rr->counts_cap, 3 * ((size_t)only->n_values + 1) * sizeof *rr->counts)))
        return err_nomem(e);
    memset(rr->table, 0, size * sizeof *rr->table);
    rr->lines_after_filter += rows->sign * (int64_t)rows->n;
    for (uint32_t i = 0, end; i < rows->n; i = end) {
        bool counts = steps_of(rr, rows->ts[rows->at ? rows->at[i] : i]);
        end = same_steps(rr, rows, i);
        if (counts && !(n_keys == 0 ? add_run(rr, rows, i, end)
                        : by_id     ? add_by_id(rr, rows, only, i, end)
                                    : add_each(rr, rows, i, end)))
            return nomem(rr, e);
    }
    return true;
}

bool range_block(struct range_reader *rr, const struct scan_rows *rows, struct err *e)
{
    size_t size = rr->n->plain ? table_size(rr, rows) : 0;
    bool ok = rr->n->plain && size <= TABLE_MAX ? block_plain(rr, rows, size, e) : block_rows(rr, rows, e);
    return ok && check(rr, e);
}

/* series.c - streams, label names and values, totals: what store.h answers beside rows. Streams are told from the tables of
 * parts and chunks alone; no block is read. */
#include "store/scan.h"
#include "store/store_int.h"

/* Are there entries in [start, end) among those from `min` to `max`, as far as is known without reading them? */
static bool shows(const struct store_view *v, const struct stream *st, int64_t min_ts, int64_t max_ts, int64_t start_ns,
                  int64_t end_ns)
{
    if (max_ts < start_ns || min_ts >= end_ns)
        return false;
    min_ts = MAX(min_ts, start_ns);
    max_ts = MIN(max_ts, end_ns - 1);
    return !v->deletes || deletes_leave(v->deletes, st, &min_ts, &max_ts);
}

/* Marks, by rank, the chosen streams that may have entries in [start, end). */
static void mark_present(const struct store_view *v, const struct stream_choice *c, int64_t start_ns, int64_t end_ns,
                         bool *present)
{
    for (size_t p = 0; p < v->n_parts; p++)
        for (uint32_t i = 0; i < v->parts[p]->n_streams; i++) {
            const struct part_stream *ps = &v->parts[p]->streams[i];
            uint32_t rank = stream_rank(c, ps->st);
            if (rank != NO_RANK && !present[rank])
                present[rank] = shows(v, ps->st, ps->min_ts, ps->max_ts, stream_from(c, rank, start_ns), end_ns);
        }
    for (size_t k = 0; k < v->n_chunks; k++)
        for (uint32_t i = 0; i < v->chunks[k]->n_streams; i++) {
            const struct chunk_stream *cs = &v->chunks[k]->streams[i];
            uint32_t rank = stream_rank(c, cs->st);
            if (rank != NO_RANK && !present[rank])
                present[rank] = shows(v, cs->st, cs->min_ts, cs->max_ts, stream_from(c, rank, start_ns), end_ns);
        }
}

bool store_series(struct store *st, sv tenant, const struct matcher *m, size_t n_matchers, int64_t start_ns,
                  int64_t end_ns, bool (*fn)(void *ctx, struct labels l), void *ctx, struct err *e)
{
    struct store_view v;
    struct stream_choice c;
    if (!store_view_take(st, &v, e))
        return false;
    if (!stream_choice_make(st, tenant, m, n_matchers, &c, e)) {
        store_view_done(&v);
        return false;
    }
    bool *present = calloc(c.n + 1, sizeof *present), more = present;
    if (present)
        mark_present(&v, &c, start_ns, end_ns, present);
    for (size_t i = 0; more && i < c.n; i++)
        if (present[i])
            more = fn(ctx, c.labels[i]);
    bool ok = present || err_nomem(e);
    free(present);
    stream_choice_done(&c);
    store_view_done(&v);
    return ok;
}

/* A set of strings, collected over streams. */
struct collect {
    sv name; /* of the label whose values are wanted; p NULL: names are */
    struct map seen;
    struct arena *a;
    bool failed;
};

static bool collect_one(struct collect *c, sv s)
{
    struct map_slot *slot = map_put(&c->seen, s);
    if (slot && !slot->value) {
        slot->key = arena_sv(c->a, s);
        slot->value = c;
    }
    c->failed |= !slot || !slot->key.p;
    return !c->failed;
}

static bool collect_stream(void *ctx, struct labels l)
{
    struct collect *c = ctx;
    if (c->name.p) {
        sv value = labels_get(l, c->name);
        return !value.p || collect_one(c, value);
    }
    for (size_t i = 0; i < l.n; i++)
        if (!collect_one(c, l.at[i].name))
            return false;
    return true;
}

static int by_bytes(const void *a, const void *b)
{
    return sv_cmp(*(const sv *)a, *(const sv *)b);
}

static bool collect_sorted(struct collect *c, sv **ret, size_t *ret_n, struct err *e)
{
    sv *at = c->failed ? NULL : arena_array(c->a, c->seen.n ? c->seen.n : 1, sizeof *at);
    if (!at)
        return arena_err(c->a, e, "label values");
    size_t n = 0;
    for (struct map_slot *s = NULL; (s = map_next(&c->seen, s));)
        at[n++] = s->key;
    qsort(at, n, sizeof *at, by_bytes);
    *ret = at;
    *ret_n = n;
    return true;
}

static bool collect(struct store *st, sv tenant, struct collect *c, const struct matcher *m, size_t n_matchers,
                    int64_t start_ns, int64_t end_ns, sv **ret, size_t *ret_n, struct err *e)
{
    bool ok = store_series(st, tenant, m, n_matchers, start_ns, end_ns, collect_stream, c, e) &&
              collect_sorted(c, ret, ret_n, e);
    map_done(&c->seen);
    return ok;
}

bool store_label_names(struct store *st, sv tenant, const struct matcher *m, size_t n_matchers, int64_t start_ns,
                       int64_t end_ns, struct arena *a, sv **ret, size_t *ret_n, struct err *e)
{
    struct collect c = {.a = a};
    return collect(st, tenant, &c, m, n_matchers, start_ns, end_ns, ret, ret_n, e);
}

bool store_label_values(struct store *st, sv tenant, sv name, const struct matcher *m, size_t n_matchers,
                        int64_t start_ns, int64_t end_ns, struct arena *a, sv **ret, size_t *ret_n, struct err *e)
{
    struct collect c = {.a = a, .name = name.p ? name : SV("")};
    return collect(st, tenant, &c, m, n_matchers, start_ns, end_ns, ret, ret_n, e);
}

static bool add_bytes(void *ctx, unsigned slot, const struct scan_rows *r, struct err *e)
{
    int64_t *bytes = (int64_t *)ctx + slot * 8; /* a cache line each */
    (void)e;
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t row = r->at ? r->at[i] : i;
        *bytes += r->sign * (int64_t)(r->line_end[row] - (row ? r->line_end[row - 1] : 0));
    }
    return true;
}

/* Exact: copies of rows are told apart. But for their times, streams and lengths nothing of the others is read. */
bool store_totals(struct store *st, sv tenant, const struct matcher *m, size_t n_matchers, int64_t start_ns,
                  int64_t end_ns, struct store_totals *ret, struct err *e)
{
    struct scan_request rq = {
        .tenant = tenant, .matchers = m, .n_matchers = n_matchers, .start_ns = start_ns, .end_ns = end_ns,
        .columns = SCAN_LENGTHS};
    int64_t bytes[CREW_MAX * 8] = {0};
    struct scan_sink sink = {add_bytes, bytes};
    struct scan_stats stats;
    if (!scan_each(st, &rq, &sink, &stats, e))
        return false;
    struct store_totals t = {.entries = stats.rows_returned, .streams = stats.streams_returned,
                             .chunks = stats.blocks_decoded + stats.head_chunks};
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++)
        t.bytes += (uint64_t)bytes[i];
    *ret = t;
    return true;
}

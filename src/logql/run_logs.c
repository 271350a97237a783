/* run_logs.c - log queries: rows through the pipeline, into streams.
 * (1) The scan's order is the answer's order; the query ends with the limit-th entry that comes out of the pipeline.
 * (2) Entries are grouped by what the pipeline left of the stored stream's labels.
 * (3) Entries equal in all that is shown (time, stream, line, metadata, parsed labels) are shown once. */
#include "logql/pushdown.h"
#include "logql/run.h"
#include <stdlib.h>

struct log_run {
    struct run *r;
    struct logql_stream *streams; /* by label set id */
    size_t n, cap;
    uint64_t n_entries;
    struct logql_entry **same_ts; /* the entries of the newest time, for (3) */
    uint32_t *same_set;
    size_t n_same, cap_same, cap_same_set;
    const struct stream_info *last_info; /* and its set, when nothing was dropped from it */
    uint32_t last_set;
    struct arena *kept; /* entries live here: the result */
};

/* The stream an entry belongs to. */
static bool find_set(struct log_run *lr, const struct label_row *row, const struct stream_info *info, uint32_t *ret)
{
    if (!row->stream_gone && info == lr->last_info) {
        *ret = lr->last_set;
        return true;
    }
    struct labels l = row->stream_gone ? label_row_labels(row, LABEL_STREAM, &lr->r->work) : row->stream;
    if ((row->stream_gone && !l.at) || !label_sets_put(&lr->r->sets, l, ret))
        return run_nomem(lr->r);
    if (!row->stream_gone) {
        lr->last_info = info;
        lr->last_set = *ret;
    }
    while (lr->n <= *ret) {
        struct logql_stream *grown = arena_grow(&lr->r->work, lr->streams, lr->n, &lr->cap, sizeof *grown);
        if (!grown)
            return run_nomem(lr->r);
        lr->streams = grown;
        lr->streams[lr->n++] = (struct logql_stream){0};
    }
    return true;
}

static bool shown_already(struct log_run *lr, uint32_t set, const struct logql_entry *en)
{
    if (lr->n_same && lr->same_ts[0]->ts != en->ts)
        lr->n_same = 0;
    for (size_t i = 0; i < lr->n_same; i++) {
        const struct logql_entry *x = lr->same_ts[i];
        if (lr->same_set[i] == set && sv_eq(x->line, en->line) && labels_eq(x->metadata, en->metadata) &&
            labels_eq(x->parsed, en->parsed))
            return true;
    }
    return false;
}

static bool remember(struct log_run *lr, uint32_t set, struct logql_entry *en)
{
    struct logql_entry **grown =
        arena_grow(&lr->r->work, lr->same_ts, lr->n_same, &lr->cap_same, sizeof(struct logql_entry *));
    uint32_t *sets = arena_grow(&lr->r->work, lr->same_set, lr->n_same, &lr->cap_same_set, sizeof *sets);
    if (!grown || !sets)
        return false;
    lr->same_ts = grown;
    lr->same_set = sets;
    lr->same_ts[lr->n_same] = en;
    lr->same_set[lr->n_same++] = set;
    return true;
}

/* A deep copy of the row's outcome at the end of its stream. */
static bool add_entry(struct log_run *lr, const struct pipeline *pl, const struct stream_info *info)
{
    struct run *r = lr->r;
    const struct label_row *row = &pl->row;
    struct logql_entry en = {.ts = pl->ts, .line = pl->line};
    uint32_t set;
    if (!find_set(lr, row, info, &set))
        return false;
    en.metadata = row->metadata;
    if (row->metadata_gone)
        en.metadata = label_row_labels(row, LABEL_METADATA, row->a);
    if (row->n_parsed || row->error.p || row->error_details.p)
        en.parsed = label_row_labels(row, LABEL_PARSED | LABEL_ERRORS, row->a);
    if (row->a->failed)
        return arena_err(row->a, r->e, "memory of one entry");
    if (shown_already(lr, set, &en))
        return true;
    struct logql_stream *st = &lr->streams[set];
    struct logql_entry *grown = arena_grow(lr->kept, st->entries, st->n, &st->cap, sizeof *grown);
    struct logql_entry *copy = ARENA_NEW(&r->work, struct logql_entry); /* the stream's array moves as it grows */
    if (!grown || !copy)
        return run_nomem(r);
    st->entries = grown;
    *copy = (struct logql_entry){.ts = en.ts,
                                 .line = arena_sv(lr->kept, en.line),
                                 .metadata = labels_copy(lr->kept, en.metadata),
                                 .parsed = labels_copy(lr->kept, en.parsed)};
    if (lr->kept->failed || !remember(lr, set, copy))
        return run_nomem(r);
    st->entries[st->n++] = *copy;
    lr->n_entries++;
    return true;
}

static int by_labels(const void *a, const void *b)
{
    return labels_cmp(((const struct logql_stream *)a)->labels, ((const struct logql_stream *)b)->labels);
}

static bool give(struct log_run *lr, struct logql_result *ret)
{
    struct logql_stream *out = arena_array(lr->kept, lr->n + 1, sizeof *out);
    size_t n = 0;
    if (!out)
        return run_nomem(lr->r);
    for (size_t i = 0; i < lr->n; i++) {
        if (!lr->streams[i].n)
            continue;
        out[n] = lr->streams[i];
        out[n++].labels = labels_copy(lr->kept, lr->r->sets.at[i]);
    }
    if (lr->kept->failed)
        return run_nomem(lr->r);
    qsort(out, n, sizeof *out, by_labels);
    ret->kind = LOGQL_STREAMS;
    ret->streams = out;
    ret->n_streams = n;
    return true;
}

/* True when the interval asks to leave an entry of this time out. */
static bool too_close(const struct logql_params *p, int64_t ts, bool any, int64_t last)
{
    if (!p->interval_ns || !any)
        return false;
    __int128 apart = p->backward ? (__int128)last - ts : (__int128)ts - last;
    return apart < p->interval_ns;
}

static bool read_rows(struct log_run *lr, struct pipeline *pl, void *scan)
{
    struct run *r = lr->r;
    const struct logql_params *p = r->p;
    struct scan_batch b;
    int64_t last = 0;
    bool any = false;
    int got;
    while ((got = run_scan_next(r, scan, &b)) > 0)
        for (size_t i = 0; i < b.n; i++) {
            int pass = run_pipeline(r, pl, &b, i);
            if (pass < 0)
                return false;
            if (!pass)
                continue;
            r->lines_after_filter++;
            if (too_close(p, b.ts[i], any, last))
                continue;
            uint64_t before = lr->n_entries;
            if (!add_entry(lr, pl, b.stream[i]))
                return false;
            any = true;
            last = b.ts[i];
            if (lr->n_entries > before && p->limit && lr->n_entries == p->limit)
                return true;
        }
    return got == 0;
}

bool run_logs(struct run *r, const struct log_query *q, struct logql_result *ret)
{
    struct log_run lr = {.r = r, .kept = r->result};
    struct pushdown pd = {0};
    struct pipeline pl;
    void *scan = NULL;
    struct scan_request req = {.matchers = q->matchers,
                               .n_matchers = q->n_matchers,
                               .start_ns = r->p->start_ns,
                               .end_ns = r->p->end_ns,
                               .backward = r->p->backward,
                               .columns = SCAN_LINES | SCAN_METADATA};
    if (r->rows->each) { /* filters are left to the scan */
        if (!pushdown_plan(q, &r->work, &pd))
            return run_nomem(r);
        pushdown_request(&pd, &req);
        q = &pd.rest;
    }
    if (!q->n_stages && !r->p->interval_ns)
        req.limit = r->p->limit;
    pipeline_init(&pl, q, (struct parse_hints){.all = true});
    bool ok = run_scan_open(r, &req, &scan) && read_rows(&lr, &pl, scan);
    run_scan_close(r, scan);
    pipeline_done(&pl);
    return ok && run_check(r) && give(&lr, ret);
}

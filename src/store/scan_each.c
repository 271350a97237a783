/* scan_each.c - every row once, in no order; see scan.h. Blocks are worked on by themselves, on all threads of the crew.
 * (1) Rows go to the sink at once. Those in a contest (scan_plan.c), where another source may have a copy, are noted: time, stream
 *     and place, 24 bytes each.
 * (2) When all blocks are done the notes are sorted. Rows of one stream and time from different sources are read again and compared in
 *     full, and the copies are taken back from the sink. So what costs nothing for a store without copies is exact with them.
 * (3) The first error ends the scan; blocks under way are finished first. */
#include "store/scan_int.h"

struct note {
    int64_t ts;
    uint32_t rank, run, row;
};
struct notes {
    VEC(struct note) v;
};

struct each {
    struct plan pl;
    const struct scan_sink *sink;
    struct crew_job job;
    size_t per_item;
    struct notes *notes;   /* by slot */
    struct lock mu;
    struct err err;        /* under mu: the first */
    uint64_t notes_bytes;  /* under mu: in the account */
};

unsigned scan_slots(const struct store *st)
{
    return crew_slots(st->crew);
}

static bool failed(struct each *x, const struct err *e)
{
    LOCK_SCOPED(&x->mu);
    if (!x->err.code)
        x->err = *e;
    return false;
}

static bool give(struct each *x, unsigned slot, const struct run *r, int sign, const uint32_t *at, uint32_t n, struct err *e)
{
    bool lengths = x->pl.rq.columns & (SCAN_LINES | SCAN_LENGTHS);
    struct scan_rows rows = {.sign = sign, .n = n, .at = at, .ts = r->c->ts, .stream = r->c->stream, .streams = r->streams,
                             .n_streams = r->c->n_streams, .keys = r->keys, .order = r->order,
                             .line_end = lengths ? r->c->line_end : NULL, .lines = x->pl.rq.columns & SCAN_LINES ? r->c->lines : NULL, .c = r->c};
    x->pl.hands[slot].stats.rows_returned += (uint64_t)(int64_t)sign * n;
    return x->sink->rows(x->sink->ctx, slot, &rows, e);
}

static void mark_shown(struct hand *h, const struct run *r)
{
    uint32_t last = UINT32_MAX, n = r->c->n_streams == 1 ? 1 : r->n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t s = r->c->stream[r->at ? r->at[i] : i];
        if (s != last)
            h->shown[r->streams[s]->rank] = true;
        last = s;
    }
}

/* ---- notes ---- */

static bool note_row(struct each *x, unsigned slot, const struct run *r, uint32_t row, struct err *e)
{
    struct notes *ns = &x->notes[slot];
    size_t before = ns->v.cap;
    struct note *room = vec_push(&ns->v);
    if (!room)
        return err_nomem(e);
    *room = (struct note){r->c->ts[row], r->streams[r->c->stream[row]]->rank, (uint32_t)(r - x->pl.runs.at), row};
    if (ns->v.cap == before)
        return true;
    LOCK_SCOPED(&x->mu);
    x->notes_bytes += (ns->v.cap - before) * sizeof *room;
    return account_add(x->pl.account, (ns->v.cap - before) * sizeof *room) ||
           err_set(e, ERR_LIMIT, "the query needs more than %llu bytes of memory (max_query_memory)",
                   (unsigned long long)x->pl.account->max);
}

/* The rows that may have copies elsewhere. */
static bool note_contested(struct each *x, unsigned slot, const struct run *r, struct err *e)
{
    const struct chunk *c = r->c;
    const struct contest *first = NULL;
    uint32_t last = UINT32_MAX;
    size_t n = 0, any = 0;
    for (uint32_t s = 0; s < c->n_streams && !any; s++)
        if (r->streams[s])
            (void)plan_contests(&x->pl, r->streams[s]->rank, c->min_ts, c->max_ts, &any);
    for (uint32_t i = 0; any && i < r->n; i++) {
        uint32_t row = r->at ? r->at[i] : i, s = c->stream[row];
        if (s != last)
            first = x->pl.contests.at + plan_contests(&x->pl, r->streams[s]->rank, c->min_ts, c->max_ts, &n);
        last = s;
        bool contested = false;
        for (size_t k = 0; k < n && !contested; k++)
            contested = c->ts[row] >= first[k].min_ts && c->ts[row] <= first[k].max_ts;
        if (contested && !note_row(x, slot, r, row, e))
            return false;
    }
    return true;
}

static int by_time(const void *a, const void *b)
{
    const struct note *x = a, *y = b;
    if (x->ts != y->ts)
        return x->ts < y->ts ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->run != y->run)
        return x->run < y->run ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int by_run(const void *a, const void *b)
{
    const struct note *x = a, *y = b;
    if (x->run != y->run)
        return x->run < y->run ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* ---- the blocks ---- */

static bool read_run(struct each *x, unsigned slot, struct run *r, struct err *e)
{
    struct plan *pl = &x->pl;
    struct hand *h = &pl->hands[slot];
    bool ok = plan_may_go_on(pl, e) && run_open(pl, h, r, pl->rq.columns, true, e);
    if (ok && r->n) {
        mark_shown(h, r);
        ok = give(x, slot, r, 1, r->at, r->n, e) && (!pl->contests.n || note_contested(x, slot, r, e));
    }
    run_over(pl, r);
    return ok;
}

static bool read_item(struct crew_job *job, size_t item, unsigned slot)
{
    struct each *x = CONTAINER_OF(job, struct each, job);
    size_t from = item * x->per_item, to = MIN(from + x->per_item, x->pl.runs.n);
    struct err e = {0};
    for (size_t i = from; i < to; i++)
        if (!read_run(x, slot, &x->pl.runs.at[i], &e))
            return failed(x, &e);
    return true;
}

/* ---- copies ---- */

static bool compare(struct each *x, struct dedup *seen, const struct note *n, bool *ret_twice, struct err *e)
{
    struct run *r = &x->pl.runs.at[n->run];
    struct err why = {0};
    *ret_twice = false;
    if (run_reopen(&x->pl, &x->pl.hands[0], r, SCAN_LINES | SCAN_METADATA, false, &why))
        return dedup_row(seen, n->ts, r->c, n->row, ret_twice) || err_nomem(e);
    if (part_damaged(&why)) { /* it counts as new: better twice than never */
        run_damaged(&x->pl, &x->pl.hands[0], r);
        return true;
    }
    if (e)
        *e = why;
    return false;
}

/* Runs that end before `ts` have no further rows to compare. */
static void close_past(struct each *x, uint32_t *open, size_t *n_open, int64_t ts)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n_open; i++) {
        struct run *r = &x->pl.runs.at[open[i]];
        if (r->max_ts < ts)
            run_close(&x->pl, r);
        else
            open[kept++] = open[i];
    }
    *n_open = kept;
}

/* Of the rows at[from, to), which are of one stream and time: copies go to the front of `at`, behind the *n_copies there. */
static bool find_copies(struct each *x, struct note *at, size_t from, size_t to, size_t *n_copies, uint32_t *open,
                        size_t *n_open, struct err *e)
{
    struct dedup *seen = &x->pl.hands[0].seen;
    bool mixed = false, twice;
    for (size_t i = from + 1; i < to; i++)
        mixed |= x->pl.runs.at[at[i].run].source != x->pl.runs.at[at[from].run].source;
    if (!mixed)
        return true;
    close_past(x, open, n_open, at[from].ts);
    dedup_reset(seen);
    for (size_t i = from; i < to; i++) {
        bool fresh = !x->pl.runs.at[at[i].run].c;
        if (!compare(x, seen, &at[i], &twice, e))
            return false;
        if (fresh && x->pl.runs.at[at[i].run].c)
            open[(*n_open)++] = at[i].run;
        if (twice)
            at[(*n_copies)++] = at[i];
    }
    return true;
}

static bool take_back(struct each *x, const struct note *at, size_t n, struct err *e)
{
    struct plan *pl = &x->pl;
    uint32_t *rows = malloc((n ? n : 1) * sizeof *rows);
    bool ok = rows || err_nomem(e);
    for (size_t i = 0, end; ok && i < n; i = end) {
        struct run *r = &pl->runs.at[at[i].run];
        for (end = i; end < n && at[end].run == at[i].run; end++)
            rows[end - i] = at[end].row;
        ok = plan_may_go_on(pl, e) && run_reopen(pl, &pl->hands[0], r, pl->rq.columns, true, e) &&
             give(x, 0, r, -1, rows, (uint32_t)(end - i), e);
        run_close(pl, r);
    }
    pl->stats.duplicates += n;
    free(rows);
    return ok;
}

static bool settle(struct each *x, struct notes *all, struct err *e)
{
    uint32_t *open = malloc((x->pl.runs.n + 1) * sizeof *open);
    size_t n_open = 0, n_copies = 0;
    struct note *at = all->v.at;
    bool ok = open || err_nomem(e);
    qsort(at, all->v.n, sizeof *at, by_time);
    for (size_t i = 0, end; ok && i < all->v.n; i = end) {
        for (end = i + 1; end < all->v.n && at[end].ts == at[i].ts && at[end].rank == at[i].rank; end++)
            ;
        if (end > i + 1)
            ok = plan_may_go_on(&x->pl, e) && find_copies(x, at, i, end, &n_copies, open, &n_open, e);
    }
    close_past(x, open, &n_open, INT64_MAX);
    for (size_t i = 0; i < n_open; i++)
        run_close(&x->pl, &x->pl.runs.at[open[i]]);
    free(open);
    if (!ok || !n_copies)
        return ok;
    qsort(at, n_copies, sizeof *at, by_run);
    return take_back(x, at, n_copies, e);
}

static bool remove_copies(struct each *x, struct err *e)
{
    struct notes *all = &x->notes[0];
    for (unsigned i = 1; i < x->pl.n_hands; i++) {
        struct notes *ns = &x->notes[i];
        if (!vec_reserve(&all->v, all->v.n + ns->v.n))
            return err_nomem(e);
        if (ns->v.n)
            memcpy(all->v.at + all->v.n, ns->v.at, ns->v.n * sizeof *ns->v.at);
        all->v.n += ns->v.n;
        vec_done(&ns->v);
    }
    return !all->v.n || settle(x, all, e);
}

bool scan_each(struct store *st, const struct scan_request *req, const struct scan_sink *sink, struct scan_stats *ret,
               struct err *e)
{
    enum { ITEMS = 16, PER_ITEM_MAX = 8 }; /* items for each thread, so that all end at about the same time */
    struct each *x = calloc(1, sizeof *x);
    if (!x)
        return err_nomem(e);
    x->sink = sink;
    lock_init(&x->mu);
    bool ok = plan_make(&x->pl, st, req, true, e);
    if (ok)
        ok = (x->notes = calloc(x->pl.n_hands, sizeof *x->notes)) || err_nomem(e);
    if (ok) {
        x->per_item = MAX(MIN(x->pl.runs.n / ((size_t)x->pl.n_hands * ITEMS), (size_t)PER_ITEM_MAX), (size_t)1);
        x->job = (struct crew_job){.fn = read_item, .n_items = (x->pl.runs.n + x->per_item - 1) / x->per_item};
        crew_run(st->crew, &x->job);
        ok = !x->err.code && remove_copies(x, &x->err);
        if (!ok && e)
            *e = x->err;
    }
    plan_stats(&x->pl, 0, ret);
    for (unsigned i = 0; x->pl.hands && i < x->pl.n_hands; i++)
        ret->rows_returned += x->pl.hands[i].stats.rows_returned;
    account_sub(x->pl.account, x->notes_bytes);
    for (unsigned i = 0; x->notes && i < x->pl.n_hands; i++)
        vec_done(&x->notes[i].v);
    free(x->notes);
    plan_done(&x->pl);
    lock_done(&x->mu);
    free(x);
    return ok;
}

/* scan.c - reading in order; see scan.h. A head chunk and a block of a part are the same here: a run of rows with bounds in time.
 * (1) Runs wait sorted by where they begin (in the asked direction) and are opened only when the merge gets there: a limit
 *     stops before most are read. They are opened a few ahead, on several threads; ever more, the longer the query goes on.
 * (2) Opening picks the rows that pass and puts them in order; then a heap of open runs gives row after row.
 * (3) The merge takes all rows of one stream and time together. Rows of one source are known to differ; others are compared,
 *     and the one accepted first stands for its equals.
 * (4) Lines and metadata are read for the runs that have rows in the batch at hand, again on several threads.
 * (5) What a batch points at lives until the next call: runs that are used up wait in `retired`. */
#include "store/scan_int.h"

enum { BATCH_ROWS = 1024, AHEAD = 4 }; /* AHEAD: runs opened ahead at most, for each thread */

struct member { /* a row of the group at hand */
    struct run *run;
    struct row_key key;
    bool twice;               /* equal to one accepted earlier */
};

struct scan {
    struct plan pl;
    VEC(struct run *) waiting;     /* the next to open is the last */
    VEC(struct run *) heap;
    VEC(struct run *) retired;
    VEC(struct run *) late;        /* runs of the batch whose columns are to be read */
    size_t window;                 /* how many to open at a time */
    VEC(struct member) group;      /* all rows of one stream and time, in the asked direction */
    size_t group_at;               /* the next to come out */
    size_t n_batch;                /* rows of the batch whose columns are being read */
    struct dedup seen;
    uint64_t returned;
    struct arena labels;           /* of the batch */
    int64_t ts[BATCH_ROWS];
    const struct stream_info *stream[BATCH_ROWS];
    uint32_t line_bytes[BATCH_ROWS];
    sv line[BATCH_ROWS];
    struct labels metadata[BATCH_ROWS];
    struct run *run[BATCH_ROWS];
    uint32_t row[BATCH_ROWS];
};

static int opens_later(const void *a, const void *b)
{
    const struct run *const *x = a, *const *y = b;
    return ((*x)->min_ts < (*y)->min_ts) - ((*x)->min_ts > (*y)->min_ts);
}

static int opens_later_backward(const void *a, const void *b)
{
    const struct run *const *x = a, *const *y = b;
    return ((*x)->max_ts > (*y)->max_ts) - ((*x)->max_ts < (*y)->max_ts);
}

bool scan_open(struct store *st, const struct scan_request *req, struct scan **ret, struct err *e)
{
    struct scan *sc = calloc(1, sizeof *sc);
    if (!sc)
        return err_nomem(e);
    arena_init(&sc->labels, 0);
    bool ok = plan_make(&sc->pl, st, req, false, e) && (vec_reserve(&sc->waiting, sc->pl.runs.n) || err_nomem(e));
    if (!ok) {
        scan_close(sc);
        return false;
    }
    for (size_t i = 0; i < sc->pl.runs.n; i++)
        sc->waiting.at[sc->waiting.n++] = &sc->pl.runs.at[i];
    if (sc->waiting.n)
        qsort(sc->waiting.at, sc->waiting.n, sizeof *sc->waiting.at, req->backward ? opens_later_backward : opens_later);
    sc->window = 1;
    if (!req->limit || req->n_filters || req->n_key_filters)
        sc->window = (size_t)sc->pl.n_hands * AHEAD;
    *ret = sc;
    return true;
}

void scan_close(struct scan *sc)
{
    if (!sc)
        return;
    plan_done(&sc->pl);
    vec_done(&sc->waiting);
    vec_done(&sc->heap);
    vec_done(&sc->retired);
    vec_done(&sc->late);
    vec_done(&sc->group);
    dedup_done(&sc->seen);
    arena_done(&sc->labels);
    free(sc);
}

/* ---- opening ---- */

struct scan_job {
    struct crew_job job;
    struct scan *sc;
};

static bool sort_rows(struct plan *pl, struct hand *h, struct run *r, struct err *e)
{
    const struct chunk *c = r->c;
    if (!(r->sorted = malloc(r->n * sizeof *r->sorted)) || !vec_reserve(&h->spare, r->n))
        return err_nomem(e);
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t row = r->at ? r->at[i] : i;
        r->sorted[i] = (struct row_key){c->ts[row], r->streams[c->stream[row]]->rank, row};
    }
    row_keys_sort(r->sorted, r->n, h->spare.at);
    r->row = pl->rq.backward ? r->n : 0;
    return run_charge(pl, r, r->n * sizeof *r->sorted, e);
}

static bool open_item(struct crew_job *job, size_t item, unsigned slot)
{
    struct scan *sc = CONTAINER_OF(job, struct scan_job, job)->sc;
    struct plan *pl = &sc->pl;
    struct run *r = sc->waiting.at[sc->waiting.n - 1 - item];
    struct hand *h = &pl->hands[slot];
    if (r->opened)
        return true;
    bool ok = plan_may_go_on(pl, &r->err) && run_open(pl, h, r, 0, false, &r->err) && (!r->n || sort_rows(pl, h, r, &r->err));
    r->opened = true;
    if (!ok || !r->n)
        run_close(pl, r);
    if (!ok && r->err.code == ERR_LIMIT && item) { /* without those ahead of it there may be room */
        r->err = (struct err){0};
        r->opened = false;
    }
    return ok;
}

static void open_ahead(struct scan *sc)
{
    struct scan_job job = {{.fn = open_item, .n_items = MIN(sc->window, sc->waiting.n)}, sc};
    crew_run(sc->pl.st->crew, &job.job);
    sc->window = MIN(sc->window * 2, (size_t)sc->pl.n_hands * AHEAD);
}

/* ---- merging ---- */

static const struct row_key *run_row(const struct scan *sc, const struct run *r)
{
    return sc->pl.rq.backward ? &r->sorted[r->row - 1] : &r->sorted[r->row];
}

static bool run_ended(const struct scan *sc, const struct run *r)
{
    return sc->pl.rq.backward ? r->row == 0 : r->row == r->n;
}

/* Does x's next row come before y's? By time, stream, then order of acceptance; all reversed going backward. */
static bool run_before(const struct scan *sc, const struct run *x, const struct run *y)
{
    const struct row_key *a = run_row(sc, x), *b = run_row(sc, y);
    int c = (a->ts > b->ts) - (a->ts < b->ts);
    if (!c)
        c = (a->rank > b->rank) - (a->rank < b->rank);
    if (!c)
        c = (x->order > y->order) - (x->order < y->order);
    return sc->pl.rq.backward ? c > 0 : c < 0;
}

static void sift_down(struct scan *sc, size_t i)
{
    struct run **h = sc->heap.at;
    for (;;) {
        size_t least = i, l = 2 * i + 1;
        if (l < sc->heap.n && run_before(sc, h[l], h[least]))
            least = l;
        if (l + 1 < sc->heap.n && run_before(sc, h[l + 1], h[least]))
            least = l + 1;
        if (least == i)
            return;
        struct run *t = h[i];
        h[i] = h[least];
        h[least] = t;
        i = least;
    }
}

static bool heap_push(struct scan *sc, struct run *r)
{
    struct run **room = vec_push(&sc->heap);
    if (!room)
        return false;
    *room = r;
    struct run **h = sc->heap.at;
    for (size_t i = sc->heap.n - 1; i > 0 && run_before(sc, h[i], h[(i - 1) / 2]); i = (i - 1) / 2) {
        struct run *t = h[i];
        h[i] = h[(i - 1) / 2];
        h[(i - 1) / 2] = t;
    }
    return true;
}

/* Opens every run that may hold a row before the heap's first. */
static bool open_due(struct scan *sc, struct err *e)
{
    while (sc->waiting.n) {
        struct run *r = sc->waiting.at[sc->waiting.n - 1];
        if (sc->heap.n) {
            int64_t next = run_row(sc, sc->heap.at[0])->ts;
            if (sc->pl.rq.backward ? r->max_ts < next : r->min_ts > next)
                return true;
        }
        if (!r->opened)
            open_ahead(sc);
        if (r->err.code) {
            if (e)
                *e = r->err;
            return false;
        }
        sc->waiting.n--;
        if (!r->n)
            run_over(&sc->pl, r);
        else if (!heap_push(sc, r))
            return err_nomem(e);
    }
    return true;
}

/* The heap's first row; its run moves on, to `retired` when it is used up. */
static bool pop(struct scan *sc, struct run **ret, struct row_key *ret_key, struct err *e)
{
    struct run *r = sc->heap.at[0];
    *ret = r;
    *ret_key = *run_row(sc, r);
    if (sc->pl.rq.backward)
        r->row--;
    else
        r->row++;
    if (run_ended(sc, r)) {
        struct run **room = vec_push(&sc->retired);
        if (!room)
            return err_nomem(e);
        *room = r;
        sc->heap.at[0] = sc->heap.at[--sc->heap.n];
    }
    if (sc->heap.n)
        sift_down(sc, 0);
    return true;
}

/* Is it equal to a row seen before? One whose damaged columns cannot be compared counts as new: better twice than never. */
static bool compare(struct scan *sc, struct member *m, struct err *e)
{
    struct err why = {0};
    if (run_need(&sc->pl, &sc->pl.hands[0], m->run, SCAN_LINES | SCAN_METADATA, &why))
        return dedup_row(&sc->seen, m->key.ts, m->run->c, m->key.row, &m->twice) || err_nomem(e);
    if (part_damaged(&why)) {
        run_damaged(&sc->pl, &sc->pl.hands[0], m->run);
        return true;
    }
    if (e)
        *e = why;
    return false;
}

/* The rows of the heap's first stream and time. Every run that has one is open: see open_due(). */
static bool group_next(struct scan *sc, struct err *e)
{
    bool mixed = false; /* rows that might be equal */
    sc->group.n = sc->group_at = 0;
    do {
        struct member *room = vec_push(&sc->group);
        if (!room)
            return err_nomem(e);
        room->twice = false;
        if (!pop(sc, &room->run, &room->key, e))
            return false;
        mixed |= room->run->source != sc->group.at[0].run->source;
    } while (sc->heap.n && run_row(sc, sc->heap.at[0])->ts == sc->group.at[0].key.ts &&
             run_row(sc, sc->heap.at[0])->rank == sc->group.at[0].key.rank);
    if (!mixed)
        return true;
    dedup_reset(&sc->seen);
    for (size_t i = 0; i < sc->group.n; i++) { /* in the order of acceptance */
        struct member *m = &sc->group.at[sc->pl.rq.backward ? sc->group.n - 1 - i : i];
        if (!compare(sc, m, e))
            return false;
        sc->pl.stats.duplicates += m->twice;
    }
    return true;
}

/* ---- batches ---- */

static void emit(struct scan *sc, const struct member *m, size_t at)
{
    sc->ts[at] = m->key.ts;
    sc->stream[at] = &sc->pl.info[m->key.rank];
    sc->run[at] = m->run;
    sc->row[at] = m->key.row;
}

/* With a limit that the next rows will reach, only the lines of this batch are made; else those of all rows that pass, at once. */
static bool need_of_batch(struct scan *sc, struct hand *h, struct run *r, struct err *e)
{
    if (!sc->pl.rq.limit || sc->pl.rq.limit > 4 * BATCH_ROWS)
        return run_need(&sc->pl, h, r, sc->pl.rq.columns | SCAN_LENGTHS, e);
    if (!vec_reserve(&h->pass, r->c->n))
        return err_nomem(e);
    memset(h->pass.at, 0, r->c->n);
    for (size_t i = 0; i < sc->n_batch; i++)
        if (sc->run[i] == r)
            h->pass.at[sc->row[i]] = 1;
    return run_need_some(&sc->pl, h, r, sc->pl.rq.columns | SCAN_LENGTHS, h->pass.at, e);
}

static bool late_item(struct crew_job *job, size_t item, unsigned slot)
{
    struct scan *sc = CONTAINER_OF(job, struct scan_job, job)->sc;
    struct run *r = sc->late.at[item];
    struct err *e = &r->err;
    if (plan_may_go_on(&sc->pl, e) && need_of_batch(sc, &sc->pl.hands[slot], r, e))
        return true;
    if (!part_damaged(e))
        return false;
    run_damaged(&sc->pl, &sc->pl.hands[slot], r);
    *e = (struct err){0};
    r->gone = true;
    return true;
}

static bool read_late(struct scan *sc, size_t n, struct err *e)
{
    bool lines = sc->pl.rq.columns & SCAN_LINES, metadata = sc->pl.rq.columns & SCAN_METADATA;
    sc->late.n = 0;
    sc->n_batch = n;
    for (size_t i = 0; i < n; i++) {
        struct run *r = sc->run[i];
        bool all = (!lines || r->lines_read) && (!metadata || r->metadata_read) && (r->base & BLOCK_LENGTHS);
        if (r->gone || r->in_late || all || run_is_head(&sc->pl, r))
            continue;
        struct run **room = vec_push(&sc->late);
        if (!room)
            return err_nomem(e);
        *room = r;
        r->in_late = true;
    }
    struct scan_job job = {{.fn = late_item, .n_items = sc->late.n}, sc};
    crew_run(sc->pl.st->crew, &job.job);
    bool ok = true;
    for (size_t i = 0; i < sc->late.n; i++) {
        struct run *r = sc->late.at[i];
        r->in_late = false;
        if (r->err.code && ok && e)
            *e = r->err;
        ok &= !r->err.code;
    }
    return ok;
}

/* Fills in what was left for later; rows whose columns are damaged go. */
static bool finish_batch(struct scan *sc, size_t *n, struct err *e)
{
    size_t kept = 0;
    if (!read_late(sc, *n, e))
        return false;
    for (size_t i = 0; i < *n; i++) {
        struct run *r = sc->run[i];
        if (r->gone)
            continue;
        sc->pl.hands[0].shown[sc->stream[i]->rank] = true;
        sc->ts[kept] = sc->ts[i];
        sc->stream[kept] = sc->stream[i];
        sc->line_bytes[kept] = r->c->line_end[sc->row[i]] - (sc->row[i] ? r->c->line_end[sc->row[i] - 1] : 0);
        if (sc->pl.rq.columns & SCAN_LINES)
            sc->line[kept] = chunk_line(r->c, sc->row[i]);
        if ((sc->pl.rq.columns & SCAN_METADATA) && !scan_labels(r->c, sc->row[i], &sc->labels, &sc->metadata[kept]))
            return err_nomem(e);
        kept++;
    }
    *n = kept;
    return true;
}

/* Runs used up that the last batch was the last to show. */
static void free_retired(struct scan *sc)
{
    if (sc->group_at < sc->group.n)
        return; /* rows of theirs are still to come */
    for (size_t i = 0; i < sc->retired.n; i++)
        run_over(&sc->pl, sc->retired.at[i]);
    sc->retired.n = 0;
}

static bool fill_batch(struct scan *sc, size_t max, size_t *ret_n, struct err *e)
{
    size_t n = 0;
    while (n < max) {
        if (sc->group_at < sc->group.n) {
            const struct member *m = &sc->group.at[sc->group_at++];
            if (!m->twice && !m->run->gone)
                emit(sc, m, n++);
            continue;
        }
        if (!open_due(sc, e))
            return false;
        if (!sc->heap.n)
            break;
        if (!group_next(sc, e))
            return false;
    }
    *ret_n = n;
    return true;
}

int scan_next(struct scan *sc, struct scan_batch *ret, struct err *e)
{
    size_t n, max = BATCH_ROWS;
    if (sc->pl.rq.limit)
        max = MIN(max, sc->pl.rq.limit - sc->returned);
    if (!max)
        return 0;
    do {
        free_retired(sc);
        arena_reset(&sc->labels);
        if (!plan_may_go_on(&sc->pl, e) || !fill_batch(sc, max, &n, e))
            return -1;
        if (!n)
            return 0;
        if (!finish_batch(sc, &n, e))
            return -1;
    } while (!n);
    sc->returned += n;
    *ret = (struct scan_batch){.n = n, .ts = sc->ts, .stream = sc->stream, .line_bytes = sc->line_bytes};
    if (sc->pl.rq.columns & SCAN_LINES)
        ret->line = sc->line;
    if (sc->pl.rq.columns & SCAN_METADATA)
        ret->metadata = sc->metadata;
    return 1;
}

void scan_stats(const struct scan *sc, struct scan_stats *ret)
{
    plan_stats(&sc->pl, sc->returned, ret);
}

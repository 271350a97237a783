/* scan.c - see scan.h. A head chunk and a block of a part are the same to a scan: a run of rows with bounds in time.
 * (1) Runs wait sorted by where they begin (in the asked direction) and are opened only when the merge gets there: a limit
 *     stops before most are read.
 * (2) Opening picks the rows of the chosen streams and times and puts them in order; then a heap of open runs gives row
 *     after row. Lines and metadata are read when they are wanted, or needed to tell duplicates apart.
 * (3) The merge takes all rows of one stream and time together. Rows of one part are known to differ; others are compared,
 *     and the one accepted first stands for its equals.
 * (4) What a batch points at lives until the next call: runs that are used up wait in `retired`. */
#include "base/clock.h"
#include "store/dedup.h"
#include "store/rows.h"
#include "store/scan.h"
#include "store/store_int.h"
#include <inttypes.h>

enum { BATCH_ROWS = 1024, HEAD_SOURCE = UINT32_MAX };

struct run {
    struct chunk *c;          /* a block's once opened */
    uint32_t source;          /* index of the part, or HEAD_SOURCE */
    uint32_t block;
    uint32_t order;           /* among runs: rows of an earlier one were accepted earlier */
    int64_t min_ts, max_ts;
    struct row_key *keys;     /* ascending; once opened */
    size_t n, at;             /* at: next row; backward it counts down from n */
    size_t memory;
};

struct member { /* a row of the group at hand */
    struct run *run;
    struct row_key key;
    bool twice;               /* equal to one accepted earlier */
};

struct scan {
    struct store *st;
    struct scan_request rq;
    struct store_view view;
    struct stream_choice choice;
    struct stream_info *info;      /* by rank */
    bool *shown;                   /* by rank: a row of it came out */
    struct part_reader **readers;  /* by part; open while runs of the part are */
    uint32_t *runs_left;           /* by part */
    VEC(struct run *) waiting;     /* the next to open is the last */
    VEC(struct run *) heap;
    VEC(struct run *) retired;
    VEC(struct row_key) spare;
    VEC(uint8_t) pass;             /* per row of the run being opened */
    VEC(struct member) group;      /* all rows of one stream and time, in the asked direction */
    size_t group_at;               /* the next to come out */
    struct dedup seen;
    uint64_t memory, returned;
    struct scan_stats stats;
    struct arena labels;           /* of the batch */
    int64_t ts[BATCH_ROWS];
    const struct stream_info *stream[BATCH_ROWS];
    uint32_t line_bytes[BATCH_ROWS];
    sv line[BATCH_ROWS];
    struct labels metadata[BATCH_ROWS];
};

/* ---- opening a scan: which runs there are ---- */

static bool range_overlaps(const struct scan_request *rq, int64_t min_ts, int64_t max_ts)
{
    return max_ts >= rq->start_ns && min_ts < rq->end_ns;
}

static bool add_run(struct scan *sc, struct run r, struct err *e)
{
    struct run **room = vec_push(&sc->waiting), *made = malloc(sizeof *made);
    if (!room || !made) {
        sc->waiting.n -= room != NULL;
        free(made);
        return err_nomem(e);
    }
    *made = r;
    *room = made;
    if (r.source != HEAD_SOURCE)
        sc->runs_left[r.source]++;
    return true;
}

static bool add_part(struct scan *sc, uint32_t p, uint32_t *order, struct err *e)
{
    const struct part *part = sc->view.parts[p];
    sc->stats.blocks_total += part->n_blocks;
    if (!range_overlaps(&sc->rq, part->min_ts, part->max_ts)) {
        sc->stats.blocks_pruned_time += part->n_blocks;
        *order += part->n_blocks;
        return true;
    }
    /* chosen[i]: how many of the ordinals below i are chosen */
    uint32_t *chosen = malloc(((size_t)part->n_streams + 1) * sizeof *chosen);
    if (!chosen)
        return err_nomem(e);
    chosen[0] = 0;
    for (uint32_t i = 0; i < part->n_streams; i++)
        chosen[i + 1] = chosen[i] + (stream_rank(&sc->choice, part->streams[i].st) != NO_RANK &&
                                     range_overlaps(&sc->rq, part->streams[i].min_ts, part->streams[i].max_ts));
    bool ok = true, any = false;
    for (uint32_t b = 0; ok && b < part->n_blocks; b++, ++*order) {
        const struct part_block *pb = &part->blocks[b];
        if (!range_overlaps(&sc->rq, pb->min_ts, pb->max_ts))
            sc->stats.blocks_pruned_time++;
        else if (chosen[pb->last + 1] == chosen[pb->first])
            sc->stats.blocks_pruned_stream++;
        else
            ok = any = add_run(sc, (struct run){.source = p, .block = b, .order = *order, .min_ts = pb->min_ts,
                                                .max_ts = pb->max_ts}, e);
    }
    sc->stats.parts += any;
    free(chosen);
    return ok;
}

static bool add_chunk(struct scan *sc, struct chunk *c, uint32_t order, struct err *e)
{
    if (!range_overlaps(&sc->rq, c->min_ts, c->max_ts))
        return true;
    for (uint32_t i = 0; i < c->n_streams; i++)
        if (stream_rank(&sc->choice, c->streams[i].st) != NO_RANK)
            return add_run(sc, (struct run){.c = chunk_ref(c), .source = HEAD_SOURCE, .order = order,
                                            .min_ts = c->min_ts, .max_ts = c->max_ts}, e);
    return true;
}

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
    sc->st = st;
    sc->rq = *req;
    arena_init(&sc->labels, 0);
    uint32_t order = 0;
    /* the view first: a stream its rows belong to is then known to the registry */
    bool ok = store_view_take(st, &sc->view, e) &&
              stream_choice_make(st, req->tenant, req->matchers, req->n_matchers, &sc->choice, e);
    if (ok) {
        sc->info = calloc(sc->choice.n + 1, sizeof *sc->info);
        sc->readers = calloc(sc->view.n_parts + 1, sizeof *sc->readers);
        sc->runs_left = calloc(sc->view.n_parts + 1, sizeof *sc->runs_left);
        sc->shown = calloc(sc->choice.n + 1, sizeof *sc->shown);
        ok = (sc->info && sc->readers && sc->runs_left && sc->shown) || err_nomem(e);
    }
    for (size_t i = 0; ok && i < sc->choice.n; i++)
        sc->info[i] = (struct stream_info){sc->choice.streams[i]->labels, sc->choice.streams[i]->hash};
    sc->stats.streams = sc->choice.n;
    bool empty = !sc->choice.n || req->start_ns >= req->end_ns;
    for (uint32_t i = 0; ok && !empty && i < sc->view.n_parts; i++)
        ok = add_part(sc, i, &order, e);
    for (size_t i = 0; ok && !empty && i < sc->view.n_chunks; i++)
        ok = add_chunk(sc, sc->view.chunks[i], order++, e);
    if (!ok) {
        scan_close(sc);
        return false;
    }
    if (sc->waiting.n)
        qsort(sc->waiting.at, sc->waiting.n, sizeof *sc->waiting.at, req->backward ? opens_later_backward : opens_later);
    *ret = sc;
    return true;
}

static void reader_close(struct scan *sc, size_t part)
{
    if (!sc->readers[part])
        return;
    sc->stats.bytes_stored_read += part_reader_bytes(sc->readers[part]);
    part_reader_close(sc->readers[part]);
    sc->readers[part] = NULL;
}

/* With its last run a part's file is closed: a scan over thousands of parts holds the few open that overlap in time. */
static void run_free(struct scan *sc, struct run *r)
{
    if (r->source != HEAD_SOURCE && --sc->runs_left[r->source] == 0)
        reader_close(sc, r->source);
    sc->memory -= r->memory;
    chunk_unref(r->c);
    free(r->keys);
    free(r);
}

void scan_close(struct scan *sc)
{
    if (!sc)
        return;
    for (size_t i = 0; i < sc->waiting.n; i++)
        run_free(sc, sc->waiting.at[i]);
    for (size_t i = 0; i < sc->heap.n; i++)
        run_free(sc, sc->heap.at[i]);
    for (size_t i = 0; i < sc->retired.n; i++)
        run_free(sc, sc->retired.at[i]);
    vec_done(&sc->waiting);
    vec_done(&sc->heap);
    vec_done(&sc->retired);
    vec_done(&sc->spare);
    vec_done(&sc->pass);
    vec_done(&sc->group);
    dedup_done(&sc->seen);
    free(sc->info);
    free(sc->shown);
    free(sc->readers);
    free(sc->runs_left);
    stream_choice_done(&sc->choice);
    store_view_done(&sc->view);
    arena_done(&sc->labels);
    free(sc);
}

/* ---- opening a run: which of its rows, in which order ---- */

static bool charge(struct scan *sc, struct run *r, size_t bytes, struct err *e)
{
    r->memory += bytes;
    sc->memory += bytes;
    if (!sc->rq.max_memory || sc->memory <= sc->rq.max_memory)
        return true;
    return err_set(e, ERR_LIMIT, "the query needs more than %" PRIu64 " bytes of memory (max_query_memory)",
                   sc->rq.max_memory);
}

static bool reader_of(struct scan *sc, const struct run *r, struct part_reader **ret, struct err *e)
{
    struct part_reader **rd = &sc->readers[r->source];
    if (!*rd && !part_reader_open(sc->view.parts[r->source], rd, e))
        return false;
    *ret = *rd;
    return true;
}

/* Makes these columns of the run's rows be there; a head chunk has them all. */
static bool need(struct scan *sc, struct run *r, unsigned columns, struct err *e)
{
    struct part_reader *rd;
    bool lines = (columns & SCAN_LINES) && !r->c->lines, metadata = (columns & SCAN_METADATA) && !r->c->meta_end;
    if (r->source == HEAD_SOURCE || (!lines && !metadata))
        return true;
    size_t before = r->c->memory;
    if (!reader_of(sc, r, &rd, e) || (lines && !part_read_lines(rd, r->block, r->c, e)))
        return false;
    size_t with_lines = r->c->memory;
    if (metadata && !part_read_metadata(rd, r->block, r->c, e))
        return false;
    sc->stats.metadata_bytes += r->c->memory - with_lines;
    sc->stats.bytes_decoded += r->c->memory - before;
    return charge(sc, r, r->c->memory - before, e);
}

static bool load(struct scan *sc, struct run *r, struct err *e)
{
    struct part_reader *rd;
    if (r->source == HEAD_SOURCE)
        return true;
    if (!reader_of(sc, r, &rd, e) || !part_read_block(rd, r->block, &r->c, e))
        return false;
    sc->stats.bytes_decoded += r->c->memory;
    return charge(sc, r, r->c->memory, e) && need(sc, r, sc->rq.columns, e);
}

/* Which rows contain `needle`: one search over all lines, so that the usual miss costs one pass over the block. */
static void mark_containing(const struct chunk *c, sv needle, bool keep, uint8_t *pass)
{
    sv all = {c->lines, c->n ? c->line_end[c->n - 1] : 0};
    size_t from = 0;
    uint32_t row = 0;
    if (!keep && !needle.n)
        memset(pass, 0, c->n);
    if (!needle.n)
        return;
    uint8_t *hit = keep ? pass : NULL;
    uint32_t kept_below = 0; /* rows below are settled */
    for (;;) {
        size_t at = sv_find(sv_from(all, from), needle);
        if (at == SV_NPOS)
            break;
        at += from;
        while (c->line_end[row] <= at)
            row++;
        if (at + needle.n > c->line_end[row]) { /* it runs over the line's end: no match, look on behind its start */
            from = at + 1;
            continue;
        }
        if (hit)
            memset(pass + kept_below, 0, row - kept_below);
        else
            pass[row] = 0;
        kept_below = row + 1;
        from = c->line_end[row];
    }
    if (hit)
        memset(pass + kept_below, 0, c->n - kept_below);
}

/* sc->pass[row]: may pass the caller's line filters. Regexes are left to the caller, who evaluates them anyway. */
static bool mark_rows(struct scan *sc, struct run *r, bool *ret_filtered, struct err *e)
{
    *ret_filtered = false;
    for (size_t i = 0; i < sc->rq.n_filters; i++) {
        const struct scan_filter *f = &sc->rq.filters[i];
        if (f->op != SCAN_CONTAINS && f->op != SCAN_NOT_CONTAINS)
            continue;
        if (!need(sc, r, SCAN_LINES, e))
            return false;
        if (!*ret_filtered) {
            if (!vec_reserve(&sc->pass, r->c->n))
                return err_nomem(e);
            memset(sc->pass.at, 1, r->c->n);
            *ret_filtered = true;
        }
        mark_containing(r->c, f->text, f->op == SCAN_CONTAINS, sc->pass.at);
    }
    return true;
}

static bool pick_rows(struct scan *sc, struct run *r, struct err *e)
{
    const struct chunk *c = r->c;
    bool filtered, head = r->source == HEAD_SOURCE;
    uint32_t *rank = malloc((c->n_streams ? c->n_streams : 1) * sizeof *rank);
    r->keys = malloc((c->n ? c->n : 1) * sizeof *r->keys);
    if (!rank || !r->keys) {
        free(rank);
        return err_nomem(e);
    }
    for (uint32_t i = 0; i < c->n_streams; i++)
        rank[i] = stream_rank(&sc->choice, c->streams[i].st);
    bool ok = mark_rows(sc, r, &filtered, e);
    uint64_t bytes = 0, rows = 0;
    for (uint32_t i = 0; ok && i < c->n; i++) {
        uint32_t k = rank[c->stream[i]];
        if (k == NO_RANK || c->ts[i] < sc->rq.start_ns || c->ts[i] >= sc->rq.end_ns)
            continue;
        rows++;
        bytes += c->line_end[i] - (i ? c->line_end[i - 1] : 0);
        if (!filtered || sc->pass.at[i])
            r->keys[r->n++] = (struct row_key){c->ts[i], k, i};
    }
    free(rank);
    sc->stats.rows_considered += rows;
    sc->stats.bytes_considered += bytes;
    sc->stats.head_rows += head ? rows : 0;
    sc->stats.head_bytes += head ? bytes : 0;
    sc->stats.blocks_pruned_filter += ok && !head && rows && !r->n;
    return ok && charge(sc, r, r->n * sizeof *r->keys, e);
}

static void count_damage(struct scan *sc)
{
    sc->stats.blocks_damaged++;
    metric_add(sc->st->m.damaged_blocks, 1);
}

/* A damaged block is left out of the answer and counted; everything else ends the scan. */
static bool run_open(struct scan *sc, struct run *r, struct err *e)
{
    struct err why = {0};
    if (!load(sc, r, &why) || !pick_rows(sc, r, &why)) {
        r->n = 0;
        if (part_damaged(&why)) {
            count_damage(sc);
            return true;
        }
        if (e)
            *e = why;
        return false;
    }
    sc->stats.blocks_decoded += r->source != HEAD_SOURCE;
    sc->stats.head_chunks += r->source == HEAD_SOURCE;
    if (!vec_reserve(&sc->spare, r->n))
        return err_nomem(e);
    row_keys_sort(r->keys, r->n, sc->spare.at);
    r->at = sc->rq.backward ? r->n : 0;
    return true;
}

/* ---- merging ---- */

static const struct row_key *run_row(const struct scan *sc, const struct run *r)
{
    return sc->rq.backward ? &r->keys[r->at - 1] : &r->keys[r->at];
}

static bool run_ended(const struct scan *sc, const struct run *r)
{
    return sc->rq.backward ? r->at == 0 : r->at == r->n;
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
    return sc->rq.backward ? c > 0 : c < 0;
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

static bool may_go_on(const struct scan *sc, struct err *e)
{
    if (sc->rq.cancel && atomic_load_explicit(sc->rq.cancel, memory_order_relaxed))
        return err_set(e, ERR_CANCELLED, "the query was cancelled");
    if (sc->rq.deadline_mono_ns && clock_mono_ns() > sc->rq.deadline_mono_ns)
        return err_set(e, ERR_TIMEOUT, "the query took longer than it may (query_timeout)");
    return true;
}

/* Opens every run that may hold a row before the heap's first. */
static bool open_due(struct scan *sc, struct err *e)
{
    while (sc->waiting.n) {
        struct run *r = sc->waiting.at[sc->waiting.n - 1];
        if (sc->heap.n) {
            int64_t next = run_row(sc, sc->heap.at[0])->ts;
            if (sc->rq.backward ? r->max_ts < next : r->min_ts > next)
                return true;
        }
        if (!may_go_on(sc, e) || !run_open(sc, r, e))
            return false;
        sc->waiting.n--;
        if (run_ended(sc, r))
            run_free(sc, r);
        else if (!heap_push(sc, r)) {
            run_free(sc, r);
            return err_nomem(e);
        }
    }
    return true;
}

/* The heap's first row; its run moves on, to `retired` when it is used up. */
static bool pop(struct scan *sc, struct run **ret, struct row_key *ret_key, struct err *e)
{
    struct run *r = sc->heap.at[0];
    *ret = r;
    *ret_key = *run_row(sc, r);
    if (sc->rq.backward)
        r->at--;
    else
        r->at++;
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
    if (need(sc, m->run, SCAN_LINES | SCAN_METADATA, &why))
        return dedup_row(&sc->seen, m->key.ts, m->run->c, m->key.row, &m->twice) || err_nomem(e);
    if (part_damaged(&why)) {
        count_damage(sc);
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
        const struct member *first = &sc->group.at[0];
        mixed |= sc->group.n > 1 && (room->run->source == HEAD_SOURCE || room->run->source != first->run->source);
    } while (sc->heap.n && run_row(sc, sc->heap.at[0])->ts == sc->group.at[0].key.ts &&
             run_row(sc, sc->heap.at[0])->rank == sc->group.at[0].key.rank);
    if (!mixed)
        return true;
    dedup_reset(&sc->seen);
    for (size_t i = 0; i < sc->group.n; i++) { /* in the order of acceptance */
        struct member *m = &sc->group.at[sc->rq.backward ? sc->group.n - 1 - i : i];
        if (!compare(sc, m, e))
            return false;
        sc->stats.duplicates += m->twice;
    }
    return true;
}

static bool metadata_of(struct scan *sc, const struct chunk *c, uint32_t row, struct labels *ret, struct err *e)
{
    uint32_t n;
    const uint32_t *ids = chunk_meta(c, row, &n);
    struct label *at = arena_alloc(&sc->labels, (n ? n : 1) * sizeof *at);
    if (!at)
        return err_nomem(e);
    for (uint32_t i = 0; i < n; i++)
        at[i] = chunk_pair(c, ids[i]);
    *ret = (struct labels){at, n};
    return true;
}

static bool emit(struct scan *sc, struct run *r, const struct row_key *k, size_t at, struct err *e)
{
    const struct chunk *c = r->c;
    uint32_t from = k->row ? c->line_end[k->row - 1] : 0;
    sc->stats.streams_returned += !sc->shown[k->rank];
    sc->shown[k->rank] = true;
    sc->ts[at] = k->ts;
    sc->stream[at] = &sc->info[k->rank];
    sc->line_bytes[at] = c->line_end[k->row] - from;
    if (sc->rq.columns & SCAN_LINES)
        sc->line[at] = chunk_line(c, k->row);
    return !(sc->rq.columns & SCAN_METADATA) || metadata_of(sc, c, k->row, &sc->metadata[at], e);
}

/* Runs used up that the last batch was the last to show. */
static void free_retired(struct scan *sc)
{
    if (sc->group_at < sc->group.n)
        return; /* rows of theirs are still to come */
    for (size_t i = 0; i < sc->retired.n; i++)
        run_free(sc, sc->retired.at[i]);
    sc->retired.n = 0;
}

int scan_next(struct scan *sc, struct scan_batch *ret, struct err *e)
{
    size_t n = 0, max = BATCH_ROWS;
    free_retired(sc);
    arena_reset(&sc->labels);
    if (!may_go_on(sc, e))
        return -1;
    if (sc->rq.limit)
        max = MIN(max, sc->rq.limit - sc->returned);
    while (n < max) {
        if (sc->group_at < sc->group.n) {
            const struct member *m = &sc->group.at[sc->group_at++];
            if (!m->twice && !emit(sc, m->run, &m->key, n++, e))
                return -1;
            continue;
        }
        if (!open_due(sc, e))
            return -1;
        if (!sc->heap.n)
            break;
        if (!group_next(sc, e))
            return -1;
    }
    if (!n)
        return 0;
    sc->returned += n;
    *ret = (struct scan_batch){.n = n, .ts = sc->ts, .stream = sc->stream, .line_bytes = sc->line_bytes};
    if (sc->rq.columns & SCAN_LINES)
        ret->line = sc->line;
    if (sc->rq.columns & SCAN_METADATA)
        ret->metadata = sc->metadata;
    return 1;
}

void scan_stats(const struct scan *sc, struct scan_stats *ret)
{
    *ret = sc->stats;
    ret->rows_returned = sc->returned;
    for (size_t i = 0; i < sc->view.n_parts; i++)
        ret->bytes_stored_read += sc->readers[i] ? part_reader_bytes(sc->readers[i]) : 0;
}

/* scan_plan.c - which blocks and head chunks a scan has to read, and where copies of a row can be.
 * Copies lie in different sources (no two rows of a part are equal, and those within a chunk are told apart when it is opened), and
 * a part's table says from when to when each stream has rows. So only where two sources' times of one stream overlap ("a
 * contest") do rows have to be compared. In a store that is written in order these are the few seconds around each flush. */
#include "store/scan_int.h"
#include "base/clock.h"
#include <inttypes.h>

static bool range_overlaps(const struct scan_request *rq, int64_t min_ts, int64_t max_ts)
{
    return max_ts >= rq->start_ns && min_ts < rq->end_ns;
}

/* May rows of the stream between these times be shown? */
static bool stream_wanted(const struct plan *pl, const struct stream *st, int64_t min_ts, int64_t max_ts)
{
    uint32_t k = stream_rank(&pl->choice, st);
    return k != NO_RANK && max_ts >= stream_from(&pl->choice, k, pl->rq.start_ns) && min_ts < pl->rq.end_ns;
}

static bool add_run(struct plan *pl, struct run r, struct err *e)
{
    struct run *room = vec_push(&pl->runs);
    if (!room)
        return err_nomem(e);
    *room = r;
    if (r.source < pl->view.n_parts)
        pl->readers[r.source].runs_left++;
    return true;
}

static bool add_part(struct plan *pl, uint32_t p, uint32_t *order, struct err *e)
{
    const struct part *part = pl->view.parts[p];
    pl->stats.blocks_total += part->n_blocks;
    if (!range_overlaps(&pl->rq, part->min_ts, part->max_ts)) {
        pl->stats.blocks_pruned_time += part->n_blocks;
        *order += part->n_blocks;
        return true;
    }
    /* chosen[i]: how many of the ordinals below i are chosen */
    uint32_t *chosen = malloc(((size_t)part->n_streams + 1) * sizeof *chosen);
    if (!chosen)
        return err_nomem(e);
    chosen[0] = 0;
    for (uint32_t i = 0; i < part->n_streams; i++)
        chosen[i + 1] = chosen[i] + stream_wanted(pl, part->streams[i].st, part->streams[i].min_ts, part->streams[i].max_ts);
    bool ok = true, any = false;
    for (uint32_t b = 0; ok && b < part->n_blocks; b++, ++*order) {
        const struct part_block *pb = &part->blocks[b];
        if (!range_overlaps(&pl->rq, pb->min_ts, pb->max_ts))
            pl->stats.blocks_pruned_time++;
        else if (chosen[pb->last + 1] == chosen[pb->first])
            pl->stats.blocks_pruned_stream++;
        else
            ok = any = add_run(pl, (struct run){.source = p, .block = b, .order = *order, .min_ts = pb->min_ts,
                                                .max_ts = pb->max_ts}, e);
    }
    pl->stats.parts += any;
    free(chosen);
    return ok;
}

static bool add_chunk(struct plan *pl, uint32_t i, uint32_t order, struct err *e)
{
    struct chunk *c = pl->view.chunks[i];
    if (!range_overlaps(&pl->rq, c->min_ts, c->max_ts))
        return true;
    for (uint32_t s = 0; s < c->n_streams; s++)
        if (stream_wanted(pl, c->streams[s].st, c->streams[s].min_ts, c->streams[s].max_ts))
            return add_run(pl, (struct run){.source = (uint32_t)pl->view.n_parts + i, .order = order,
                                            .min_ts = c->min_ts, .max_ts = c->max_ts}, e);
    return true;
}

/* ---- contests ---- */

static int by_start(const void *a, const void *b)
{
    const struct contest *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return (x->min_ts > y->min_ts) - (x->min_ts < y->min_ts);
}

/* From when to when each source has a stream becomes, in place, where they overlap. */
static void overlaps(struct plan *pl)
{
    struct contest *at = pl->contests.at;
    size_t n = pl->contests.n, kept = 0;
    uint32_t rank = NO_RANK;
    int64_t seen_to = 0; /* the stream is in some source until then */
    for (size_t i = 0; i < n; i++) {
        struct contest x = at[i];
        if (x.rank == rank && x.min_ts <= seen_to) {
            struct contest both = {rank, x.min_ts, MIN(x.max_ts, seen_to)};
            if (kept && at[kept - 1].rank == rank && both.min_ts <= at[kept - 1].max_ts)
                at[kept - 1].max_ts = MAX(at[kept - 1].max_ts, both.max_ts);
            else
                at[kept++] = both;
        }
        seen_to = x.rank == rank ? MAX(seen_to, x.max_ts) : x.max_ts;
        rank = x.rank;
    }
    pl->contests.n = kept;
}

static bool add_extent(struct plan *pl, const struct stream *st, int64_t min_ts, int64_t max_ts)
{
    uint32_t rank = stream_rank(&pl->choice, st);
    if (rank == NO_RANK || !range_overlaps(&pl->rq, min_ts, max_ts))
        return true;
    struct contest *room = vec_push(&pl->contests);
    if (room)
        *room = (struct contest){rank, min_ts, max_ts};
    return room;
}

struct origin {
    int64_t min_ts, max_ts;
    uint32_t at; /* parts, then chunks */
    bool alone;
};

static int by_begin(const void *a, const void *b)
{
    const struct origin *x = a, *y = b;
    return (x->min_ts > y->min_ts) - (x->min_ts < y->min_ts);
}

static int by_place(const void *a, const void *b)
{
    const struct origin *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* Which sources overlap no other in time: their streams need no looking at. */
static void find_alone(struct origin *at, size_t n)
{
    size_t longest = 0; /* of those before: the one that ends last */
    qsort(at, n, sizeof *at, by_begin);
    for (size_t i = 0; i < n; i++) {
        at[i].alone = !i || at[i].min_ts > at[longest].max_ts;
        if (!at[i].alone)
            at[longest].alone = false;
        if (!i || at[i].max_ts > at[longest].max_ts)
            longest = i;
    }
    qsort(at, n, sizeof *at, by_place);
}

static bool add_source(struct plan *pl, const struct origin *src)
{
    const struct store_view *v = &pl->view;
    bool ok = true;
    if (src->alone || !range_overlaps(&pl->rq, src->min_ts, src->max_ts))
        return true;
    if (src->at < v->n_parts) {
        const struct part *p = v->parts[src->at];
        for (uint32_t i = 0; ok && i < p->n_streams; i++)
            ok = add_extent(pl, p->streams[i].st, p->streams[i].min_ts, p->streams[i].max_ts);
        return ok;
    }
    const struct chunk *c = v->chunks[src->at - v->n_parts];
    for (uint32_t i = 0; ok && i < c->n_streams; i++)
        ok = add_extent(pl, c->streams[i].st, c->streams[i].min_ts, c->streams[i].max_ts);
    return ok;
}

static bool find_contests(struct plan *pl, struct err *e)
{
    const struct store_view *v = &pl->view;
    size_t n = v->n_parts + v->n_chunks;
    struct origin *at = malloc((n + 1) * sizeof *at);
    bool ok = at;
    for (uint32_t i = 0; ok && i < n; i++)
        at[i] = i < v->n_parts ? (struct origin){v->parts[i]->min_ts, v->parts[i]->max_ts, i, false}
                               : (struct origin){v->chunks[i - v->n_parts]->min_ts, v->chunks[i - v->n_parts]->max_ts, i, false};
    if (ok)
        find_alone(at, n);
    for (size_t i = 0; ok && i < n; i++)
        ok = add_source(pl, &at[i]);
    free(at);
    if (!ok)
        return err_nomem(e);
    if (pl->contests.n)
        qsort(pl->contests.at, pl->contests.n, sizeof *pl->contests.at, by_start);
    overlaps(pl);
    return true;
}

size_t plan_contests(const struct plan *pl, uint32_t rank, int64_t min_ts, int64_t max_ts, size_t *ret_n)
{
    size_t lo = 0, hi = pl->contests.n;
    while (lo < hi) { /* the first of the stream that ends at min_ts or later */
        size_t mid = lo + (hi - lo) / 2;
        const struct contest *x = &pl->contests.at[mid];
        if (x->rank < rank || (x->rank == rank && x->max_ts < min_ts))
            lo = mid + 1;
        else
            hi = mid;
    }
    size_t n = 0;
    while (lo + n < pl->contests.n && pl->contests.at[lo + n].rank == rank && pl->contests.at[lo + n].min_ts <= max_ts)
        n++;
    *ret_n = n;
    return lo;
}

/* ---- the plan ---- */

static bool add_names(struct plan *pl, struct err *e)
{
    const struct scan_request *rq = &pl->rq;
    if (rq->n_keys + rq->n_key_filters > SCAN_MAX_KEYS)
        return err_set(e, ERR_LIMIT, "a scan for more than %d names", SCAN_MAX_KEYS);
    for (size_t i = 0; i < rq->n_keys; i++)
        pl->names[pl->n_names++] = rq->keys[i];
    for (size_t i = 0; i < rq->n_key_filters; i++) {
        size_t k = 0;
        while (k < pl->n_names && !sv_eq(pl->names[k], rq->key_filters[i].name))
            k++;
        if (k == pl->n_names)
            pl->names[pl->n_names++] = rq->key_filters[i].name;
    }
    return true;
}

static bool make_room(struct plan *pl, struct err *e)
{
    pl->n_hands = crew_slots(pl->st->crew);
    pl->info = calloc(pl->choice.n + 1, sizeof *pl->info);
    pl->readers = calloc(pl->view.n_parts + 1, sizeof *pl->readers);
    pl->hands = calloc(pl->n_hands, sizeof *pl->hands);
    if (!pl->info || !pl->readers || !pl->hands)
        return err_nomem(e);
    for (unsigned i = 0; i < pl->n_hands; i++)
        if (!(pl->hands[i].shown = calloc(pl->choice.n + 1, sizeof(bool))))
            return err_nomem(e);
    for (size_t i = 0; i < pl->choice.n; i++)
        pl->info[i] = (struct stream_info){pl->choice.labels[i], stream_choice_hash(&pl->choice, i), (uint32_t)i};
    return true;
}

bool plan_make(struct plan *pl, struct store *st, const struct scan_request *rq, bool contests, struct err *e)
{
    uint32_t order = 0;
    *pl = (struct plan){.st = st, .rq = *rq, .own = {.max = rq->max_memory}};
    pl->account = rq->account ? rq->account : &pl->own;
    lock_init(&pl->mu);
    /* the view first: a stream its rows belong to is then known to the registry */
    bool ok = add_names(pl, e) && store_view_take(st, &pl->view, e) &&
              stream_choice_make(st, rq->tenant, rq->matchers, rq->n_matchers, &pl->choice, e) && make_room(pl, e) &&
              hidden_make(pl->view.deletes, rq->tenant, pl->choice.streams, pl->choice.n, rq->start_ns, rq->end_ns, &pl->hidden, e);
    pl->stats.streams = pl->choice.n;
    if (!ok || !pl->choice.n || rq->start_ns >= rq->end_ns)
        return ok;
    for (uint32_t i = 0; ok && i < pl->view.n_parts; i++)
        ok = add_part(pl, i, &order, e);
    for (uint32_t i = 0; ok && i < pl->view.n_chunks; i++)
        ok = add_chunk(pl, i, order++, e);
    return ok && (!contests || find_contests(pl, e));
}

void plan_done(struct plan *pl)
{
    for (size_t i = 0; i < pl->runs.n; i++)
        run_close(pl, &pl->runs.at[i]);
    for (size_t p = 0; pl->readers && p < pl->view.n_parts; p++) {
        for (size_t i = 0; i < pl->readers[p].idle.n; i++)
            part_reader_close(pl->readers[p].idle.at[i]);
        vec_done(&pl->readers[p].idle);
    }
    for (unsigned i = 0; pl->hands && i < pl->n_hands; i++) {
        free(pl->hands[i].shown);
        dedup_done(&pl->hands[i].seen);
        vec_done(&pl->hands[i].pass);
        vec_done(&pl->hands[i].sorted);
        vec_done(&pl->hands[i].spare);
    }
    vec_done(&pl->runs);
    vec_done(&pl->contests);
    free(pl->hands);
    free(pl->info);
    hidden_free(pl->hidden);
    free(pl->readers);
    stream_choice_done(&pl->choice);
    store_view_done(&pl->view);
    lock_done(&pl->mu);
}

void plan_stats(const struct plan *pl, uint64_t returned, struct scan_stats *ret)
{
    _Static_assert(sizeof *ret % sizeof(uint64_t) == 0, "scan_stats holds counters only");
    *ret = pl->stats;
    for (unsigned i = 0; pl->hands && i < pl->n_hands; i++)
        for (size_t k = 0; k < sizeof *ret / sizeof(uint64_t); k++)
            ((uint64_t *)ret)[k] += ((const uint64_t *)&pl->hands[i].stats)[k];
    for (size_t s = 0; pl->hands && s < pl->choice.n; s++) {
        bool shown = false;
        for (unsigned i = 0; i < pl->n_hands; i++)
            shown |= pl->hands[i].shown && pl->hands[i].shown[s];
        ret->streams_returned += shown;
    }
    ret->rows_returned = returned;
}

bool plan_may_go_on(const struct plan *pl, struct err *e)
{
    if (pl->rq.cancel && atomic_load_explicit(pl->rq.cancel, memory_order_relaxed))
        return err_set(e, ERR_CANCELLED, "the query was cancelled");
    if (pl->rq.deadline_mono_ns && clock_mono_ns() > pl->rq.deadline_mono_ns)
        return err_set(e, ERR_TIMEOUT, "the query took longer than it may (query_timeout)");
    return true;
}

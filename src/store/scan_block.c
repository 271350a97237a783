/* scan_block.c - the rows of one block or head chunk that pass: times, streams and line lengths first, then filters on lines, then
 * filters on metadata, each only where rows are left; other columns last, and only if any row passed.
 * Filters on metadata are asked once for each different value of the block. */
#include "store/scan_int.h"
#include "store/line_filter.h"
#include <inttypes.h>

/* ---- readers: one for each thread in a part at the same time, kept for the next run ---- */

static bool reader_take(struct plan *pl, const struct run *r, struct part_reader **ret, struct err *e)
{
    struct part_readers *pr = &pl->readers[r->source];
    lock_acquire(&pl->mu);
    struct part_reader *rd = pr->idle.n ? pr->idle.at[--pr->idle.n] : NULL;
    lock_release(&pl->mu);
    if (rd)
        *ret = rd;
    return rd || part_reader_open(pl->view.parts[r->source], ret, e);
}

static void reader_put(struct plan *pl, const struct run *r, struct part_reader *rd)
{
    struct part_readers *pr = &pl->readers[r->source];
    lock_acquire(&pl->mu);
    struct part_reader **room = vec_push(&pr->idle);
    if (room)
        *room = rd;
    lock_release(&pl->mu);
    if (!room)
        part_reader_close(rd);
}

/* With its last run a part's file is closed: a scan over thousands of parts holds the few open that overlap in time. */
static void readers_close(struct plan *pl, const struct run *r)
{
    struct part_readers *pr = &pl->readers[r->source];
    lock_acquire(&pl->mu);
    if (--pr->runs_left == 0) {
        for (size_t i = 0; i < pr->idle.n; i++)
            part_reader_close(pr->idle.at[i]);
        vec_done(&pr->idle);
    }
    lock_release(&pl->mu);
}

/* ---- columns ---- */

bool run_charge(struct plan *pl, struct run *r, size_t bytes, struct err *e)
{
    r->memory += bytes;
    if (account_add(pl->account, bytes))
        return true;
    return err_set(e, ERR_LIMIT,
                   "the query needs more than %" PRIu64 " bytes of memory (max_query_memory); narrow the time range or the "
                   "stream selector, or aggregate away labels",
                   pl->account->max);
}

/* What the chunk holds more than `before`, into the statistics and the account. */
static bool count_more(struct plan *pl, struct hand *h, struct run *r, size_t before, struct err *e)
{
    size_t more = r->c->memory > before ? r->c->memory - before : 0;
    h->stats.bytes_decoded += more;
    return run_charge(pl, r, more, e);
}

static bool read_lines(struct plan *pl, struct hand *h, struct run *r, struct part_reader *rd, const uint8_t *want, struct err *e)
{
    size_t before = r->c->memory;
    h->stats.blocks_lines += !r->c->lines;
    return part_read_some_lines(rd, r->block, r->c, want, e) && count_more(pl, h, r, before, e);
}

static bool read_metadata(struct plan *pl, struct hand *h, struct run *r, struct part_reader *rd, const uint8_t *want, struct err *e)
{
    size_t before = r->c->memory;
    h->stats.blocks_metadata += !r->metadata_counted;
    r->metadata_counted = true;
    if (!part_read_some_metadata(rd, r->block, r->c, want, e))
        return false;
    h->stats.metadata_bytes += r->c->memory > before ? r->c->memory - before : 0;
    return count_more(pl, h, r, before, e);
}

bool run_need_some(struct plan *pl, struct hand *h, struct run *r, unsigned columns, const uint8_t *want, struct err *e)
{
    struct part_reader *rd;
    bool lines = (columns & SCAN_LINES) && !r->lines_read, metadata = (columns & SCAN_METADATA) && !r->metadata_read;
    if ((columns & (SCAN_LINES | SCAN_LENGTHS)) && !run_base(pl, h, r, BLOCK_LENGTHS, e))
        return false;
    if (run_is_head(pl, r) || (!lines && !metadata)) /* a head chunk has them all */
        return true;
    if (!reader_take(pl, r, &rd, e))
        return false;
    uint64_t stored = part_reader_bytes(rd);
    bool ok = (!lines || read_lines(pl, h, r, rd, want, e)) && (!metadata || read_metadata(pl, h, r, rd, want, e));
    h->stats.bytes_stored_read += part_reader_bytes(rd) - stored;
    reader_put(pl, r, rd);
    return ok;
}

bool run_need(struct plan *pl, struct hand *h, struct run *r, unsigned columns, struct err *e)
{
    const uint8_t *want = NULL;
    if (!run_is_head(pl, r) && r->at && (columns & SCAN_LINES) && !r->lines_read) {
        if (!vec_reserve(&h->pass, r->c->n))
            return err_nomem(e);
        memset(h->pass.at, 0, r->c->n);
        for (uint32_t i = 0; i < r->n; i++)
            h->pass.at[r->at[i]] = 1;
        want = h->pass.at;
    }
    if (!run_need_some(pl, h, r, columns, want, e))
        return false;
    r->lines_read |= (columns & SCAN_LINES) != 0;
    r->metadata_read |= (columns & SCAN_METADATA) != 0;
    return true;
}

bool run_base(struct plan *pl, struct hand *h, struct run *r, unsigned base, struct err *e)
{
    struct part_reader *rd;
    if (run_is_head(pl, r) || !(base & ~r->base))
        return true;
    if (!reader_take(pl, r, &rd, e))
        return false;
    uint64_t stored = part_reader_bytes(rd);
    bool ok = part_read_columns(rd, r->block, r->c, base, e);
    h->stats.bytes_stored_read += part_reader_bytes(rd) - stored;
    reader_put(pl, r, rd);
    unsigned more = ok ? base & ~r->base : 0;
    size_t row = (more & BLOCK_TIMES ? sizeof *r->c->ts : 0) + (more & BLOCK_STREAMS ? sizeof *r->c->stream : 0) +
                 (more & BLOCK_LENGTHS ? sizeof *r->c->line_end : 0);
    h->stats.bytes_decoded += row * r->c->n;
    r->base |= more;
    return ok;
}

/* The chunk, or a block of which nothing is read yet. */
static bool load(struct plan *pl, struct run *r, struct err *e)
{
    struct part_reader *rd;
    if (run_is_head(pl, r)) {
        r->c = chunk_ref(pl->view.chunks[r->source - pl->view.n_parts]);
        return true;
    }
    if (!reader_take(pl, r, &rd, e))
        return false;
    bool ok = part_open_block(rd, r->block, &r->c, e);
    reader_put(pl, r, rd);
    return ok && run_charge(pl, r, r->c->memory, e);
}

/* The column of the plan's name `i`. */
static bool need_key(struct plan *pl, struct hand *h, struct run *r, size_t i, struct err *e)
{
    struct key_column *k = &r->keys[i];
    struct part_reader *rd;
    if (r->keys_read & 1ull << i)
        return true;
    r->keys_read |= 1ull << i;
    if (run_is_head(pl, r))
        return (chunk_key(r->c, pl->names[i], k) || err_nomem(e)) && run_charge(pl, r, k->memory, e);
    if (!reader_take(pl, r, &rd, e))
        return false;
    uint64_t stored = part_reader_bytes(rd);
    size_t before = r->c->memory;
    bool ok = part_read_key(rd, r->block, r->c, pl->names[i], k, e);
    h->stats.bytes_stored_read += part_reader_bytes(rd) - stored;
    reader_put(pl, r, rd);
    if (!ok)
        return false;
    h->stats.blocks_metadata += !r->metadata_counted;
    r->metadata_counted = true;
    h->stats.metadata_bytes += (r->c->memory > before ? r->c->memory - before : 0) + k->memory;
    h->stats.bytes_decoded += k->memory;
    return run_charge(pl, r, k->memory, e) && count_more(pl, h, r, before, e);
}

static bool keys_room(struct plan *pl, struct run *r, struct err *e)
{
    if (!r->keys && pl->n_names && !(r->keys = calloc(pl->n_names, sizeof *r->keys)))
        return err_nomem(e);
    return true;
}

bool run_keys(struct plan *pl, struct hand *h, struct run *r, struct err *e)
{
    bool ok = keys_room(pl, r, e);
    for (size_t i = 0; ok && i < pl->rq.n_keys; i++)
        ok = need_key(pl, h, r, i, e);
    return ok;
}

/* ---- which rows ---- */

static bool find_streams(struct plan *pl, struct run *r, bool *ret_all, struct err *e)
{
    const struct chunk *c = r->c;
    r->streams = malloc((c->n_streams ? c->n_streams : 1) * sizeof *r->streams);
    if (!r->streams)
        return err_nomem(e);
    *ret_all = true;
    for (uint32_t i = 0; i < c->n_streams; i++) {
        uint32_t rank = stream_rank(&pl->choice, c->streams[i].st);
        r->streams[i] = rank == NO_RANK ? NULL : &pl->info[rank];
        *ret_all &= rank != NO_RANK && c->min_ts >= stream_from(&pl->choice, rank, pl->rq.start_ns);
    }
    return run_charge(pl, r, c->n_streams * sizeof *r->streams, e);
}

/* pass[]: the rows of the chosen streams and times. For a block that lies within the query nothing need be read for that. */
static bool pick_rows(struct plan *pl, struct hand *h, struct run *r, bool all_streams, struct err *e)
{
    const struct chunk *c = r->c;
    uint8_t *pass = h->pass.at;
    uint64_t bytes = 0, rows = 0;
    if (all_streams && c->max_ts < pl->rq.end_ns) {
        memset(pass, 1, c->n);
        rows = c->n;
        bytes = c->line_bytes;
    } else {
        if (!run_base(pl, h, r, BLOCK_TIMES | BLOCK_STREAMS | BLOCK_LENGTHS, e))
            return false;
        for (uint32_t i = 0; i < c->n; i++) {
            const struct stream_info *si = r->streams[c->stream[i]];
            pass[i] = si && c->ts[i] >= stream_from(&pl->choice, si->rank, pl->rq.start_ns) && c->ts[i] < pl->rq.end_ns;
            rows += pass[i];
            bytes += pass[i] ? c->line_end[i] - (i ? c->line_end[i - 1] : 0) : 0;
        }
    }
    r->n = (uint32_t)rows;
    h->stats.rows_considered += rows;
    h->stats.bytes_considered += bytes;
    if (run_is_head(pl, r)) {
        h->stats.head_rows += rows;
        h->stats.head_bytes += bytes;
    }
    return true;
}

/* pass[] holds zeros and ones: eight at a time. */
static void count_pass(const struct hand *h, struct run *r)
{
    const uint8_t *pass = h->pass.at;
    uint32_t i = 0, n = 0;
    for (uint64_t eight; i + 8 <= r->c->n; i += 8) {
        memcpy(&eight, pass + i, sizeof eight);
        n += (uint32_t)(eight * 0x0101010101010101u >> 56);
    }
    for (; i < r->c->n; i++)
        n += pass[i];
    r->n = n;
}

static bool filter_block_lines(struct plan *pl, struct hand *h, struct run *r, struct err *e)
{
    const struct scan_request *rq = &pl->rq;
    struct part_reader *rd;
    bool exact = false, before = r->c->lines != NULL;
    if (!reader_take(pl, r, &rd, e))
        return false;
    uint64_t stored = part_reader_bytes(rd);
    size_t memory = r->c->memory;
    bool ok = part_filter_lines(rd, r->block, r->c, rq->filters, rq->n_filters, h->pass.at, &exact, e);
    h->stats.bytes_stored_read += part_reader_bytes(rd) - stored;
    reader_put(pl, r, rd);
    h->stats.blocks_lines += !before && r->c->lines;
    ok = ok && count_more(pl, h, r, memory, e);
    if (ok && !exact)
        ok = run_need(pl, h, r, SCAN_LINES, e) && (lines_pass(r->c, rq->filters, rq->n_filters, h->pass.at) || err_nomem(e));
    return ok;
}

static bool filter_lines(struct plan *pl, struct hand *h, struct run *r, struct err *e)
{
    if (!pl->rq.n_filters || !r->n)
        return true;
    bool ok = run_is_head(pl, r) ? lines_pass(r->c, pl->rq.filters, pl->rq.n_filters, h->pass.at) || err_nomem(e)
                                 : filter_block_lines(pl, h, r, e);
    count_pass(h, r);
    return ok;
}

/* What the filter says of the value of each id, and, for rows without one, of each stream's label. */
static bool filter_key(struct plan *pl, struct hand *h, struct run *r, const struct scan_key_filter *f, struct err *e)
{
    enum { UNKNOWN = 2 };
    const struct chunk *c = r->c;
    size_t name = 0;
    while (!sv_eq(pl->names[name], f->name))
        name++;
    if (!keys_room(pl, r, e) || !need_key(pl, h, r, name, e))
        return false;
    const struct key_column *k = &r->keys[name];
    uint8_t *of_value = malloc((size_t)k->n_values + c->n_streams + 2), *of_stream;
    if (!of_value)
        return err_nomem(e);
    of_stream = of_value + k->n_values + 1;
    memset(of_value, UNKNOWN, (size_t)k->n_values + c->n_streams + 2);
    bool ok = c->n_streams == 1 || run_base(pl, h, r, BLOCK_STREAMS, e);
    for (uint32_t i = 0; ok && i < c->n; i++) {
        if (!h->pass.at[i])
            continue;
        uint32_t id = key_column_id(k, i), s = c->n_streams == 1 ? 0 : c->stream[i];
        uint8_t *known = id ? &of_value[id] : &of_stream[s];
        if (*known == UNKNOWN && id && f->equal.p)
            *known = sv_eq(k->values[id - 1], f->equal);
        else if (*known == UNKNOWN)
            *known = f->accept(f->ctx, id ? k->values[id - 1] : labels_get(r->streams[s]->labels, f->name));
        h->pass.at[i] = *known;
    }
    free(of_value);
    count_pass(h, r);
    return ok;
}

/* Deleted rows are not there. */
static bool drop_hidden(struct plan *pl, struct hand *h, struct run *r, struct err *e)
{
    bool any = false;
    const struct stream_deletes **of = malloc((r->c->n_streams + 1) * sizeof *of);
    if (!of)
        return err_nomem(e);
    for (uint32_t i = 0; i < r->c->n_streams; i++) {
        of[i] = r->streams[i] ? hidden_of(pl->hidden, r->streams[i]->rank) : NULL;
        if (of[i] && (of[i]->min_ts > r->c->max_ts || of[i]->max_ts < r->c->min_ts))
            of[i] = NULL;
        any |= of[i] != NULL;
    }
    bool ok = !any || (run_base(pl, h, r, BLOCK_TIMES | BLOCK_STREAMS, e) &&
                       (!hidden_needs_lines(of, r->c, h->pass.at) || run_need(pl, h, r, SCAN_LINES, e)));
    if (ok && any) {
        hidden_clear(of, r->c, h->pass.at);
        count_pass(h, r);
    }
    free(of);
    return ok;
}

static bool same_place(const struct row_key *a, const struct row_key *b)
{
    return a->ts == b->ts && a->rank == b->rank;
}

/* The same record may have come twice in one chunk; a part's rows are known to differ. */
static bool drop_copies(struct hand *h, struct run *r, struct err *e)
{
    const struct chunk *c = r->c;
    if (!vec_reserve(&h->sorted, r->n) || !vec_reserve(&h->spare, r->n))
        return err_nomem(e);
    h->sorted.n = 0;
    for (uint32_t i = 0; i < c->n; i++)
        if (h->pass.at[i])
            h->sorted.at[h->sorted.n++] = (struct row_key){c->ts[i], r->streams[c->stream[i]]->rank, i};
    row_keys_sort(h->sorted.at, h->sorted.n, h->spare.at);
    for (size_t i = 0, end; i < h->sorted.n; i = end) {
        for (end = i + 1; end < h->sorted.n && same_place(&h->sorted.at[i], &h->sorted.at[end]); end++)
            ;
        if (end == i + 1)
            continue;
        dedup_reset(&h->seen);
        for (size_t k = i; k < end; k++) {
            bool twice;
            if (!dedup_row(&h->seen, h->sorted.at[k].ts, c, h->sorted.at[k].row, &twice))
                return err_nomem(e);
            h->pass.at[h->sorted.at[k].row] = !twice;
            h->stats.duplicates += twice;
            r->n -= twice;
        }
    }
    return true;
}

static bool keep_places(struct plan *pl, struct hand *h, struct run *r, struct err *e)
{
    uint32_t n = 0;
    if (!r->n || r->n == r->c->n)
        return true;
    if (!(r->at = malloc(r->n * sizeof *r->at)))
        return err_nomem(e);
    for (uint32_t i = 0; n < r->n; i++)
        if (h->pass.at[i])
            r->at[n++] = i;
    return run_charge(pl, r, r->n * sizeof *r->at, e);
}

/* Does a stream of the block have this label, so that rows may have the name without metadata? */
static bool is_label(const struct part *p, const struct part_block *b, sv name)
{
    for (uint32_t s = b->first; s <= b->last; s++)
        if (labels_get(p->streams[s].st->labels, name).p)
            return true;
    return false;
}

/* May a row of the block pass at all? Reads its dictionaries at most, and none without filters. */
static bool may_pass(struct plan *pl, struct hand *h, struct run *r, bool *ret, struct err *e)
{
    const struct scan_request *rq = &pl->rq;
    struct part_asked asked[SCAN_MAX_KEYS];
    struct part_reader *rd;
    size_t n = 0;
    *ret = true;
    if (run_is_head(pl, r) || (!rq->n_filters && !rq->n_key_filters))
        return true;
    const struct part *p = pl->view.parts[r->source];
    for (size_t i = 0; i < rq->n_key_filters; i++)
        if (rq->key_filters[i].equal.n && !is_label(p, &p->blocks[r->block], rq->key_filters[i].name))
            asked[n++] = (struct part_asked){.name = rq->key_filters[i].name, .value = rq->key_filters[i].equal};
    if (!reader_take(pl, r, &rd, e))
        return false;
    uint64_t stored = part_reader_bytes(rd);
    bool ok = part_may_pass(rd, r->block, rq->filters, rq->n_filters, asked, n, ret, e);
    h->stats.bytes_stored_read += part_reader_bytes(rd) - stored;
    reader_put(pl, r, rd);
    for (size_t i = 0; ok && i < n; i++)
        *ret = *ret && !asked[i].absent; /* a value that is asked for is not that of nothing */
    if (ok && !*ret) {
        h->stats.rows_considered += p->blocks[r->block].rows; /* all: which are the query's would have to be read */
        h->stats.bytes_considered += p->blocks[r->block].line_bytes;
        h->stats.blocks_pruned_content++;
    }
    return ok;
}

static bool open_rows(struct plan *pl, struct hand *h, struct run *r, unsigned columns, bool keys, struct err *e)
{
    bool all, may, ok = may_pass(pl, h, r, &may, e);
    if (!ok || !may) {
        r->n = 0;
        return ok;
    }
    if (!load(pl, r, e) || !find_streams(pl, r, &all, e) || (!vec_reserve(&h->pass, r->c->n) && !err_nomem(e)))
        return false;
    if (!pick_rows(pl, h, r, all, e))
        return false;
    bool some = r->n;
    ok = filter_lines(pl, h, r, e);
    for (size_t i = 0; ok && r->n && i < pl->rq.n_key_filters; i++)
        ok = filter_key(pl, h, r, &pl->rq.key_filters[i], e);
    if (ok && r->n && pl->hidden)
        ok = drop_hidden(pl, h, r, e);
    if (ok && r->n > 1 && run_is_head(pl, r))
        ok = drop_copies(h, r, e);
    if (!ok || !keep_places(pl, h, r, e) ||
        (r->n && (!run_base(pl, h, r, BLOCK_TIMES | BLOCK_STREAMS, e) || !run_need(pl, h, r, columns, e) || (keys && !run_keys(pl, h, r, e)))))
        return false;
    h->stats.blocks_pruned_filter += !run_is_head(pl, r) && some && !r->n;
    return true;
}

void run_damaged(struct plan *pl, struct hand *h, struct run *r)
{
    if (r->damage_counted)
        return;
    r->damage_counted = true;
    h->stats.blocks_damaged++;
    metric_add(pl->st->m.damaged_blocks, 1);
}

bool run_open(struct plan *pl, struct hand *h, struct run *r, unsigned columns, bool keys, struct err *e)
{
    struct err why = {0};
    if (open_rows(pl, h, r, columns, keys, &why)) {
        h->stats.blocks_decoded += r->c && !run_is_head(pl, r);
        h->stats.head_chunks += run_is_head(pl, r);
        return true;
    }
    r->n = 0;
    if (part_damaged(&why)) {
        run_damaged(pl, h, r);
        return true;
    }
    if (e)
        *e = why;
    return false;
}

bool run_reopen(struct plan *pl, struct hand *h, struct run *r, unsigned columns, bool keys, struct err *e)
{
    bool all;
    return (r->c || (load(pl, r, e) && find_streams(pl, r, &all, e))) && run_base(pl, h, r, BLOCK_TIMES | BLOCK_STREAMS, e) &&
           run_need(pl, h, r, columns, e) &&
           (!keys || run_keys(pl, h, r, e));
}

void run_close(struct plan *pl, struct run *r)
{
    account_sub(pl->account, r->memory);
    for (size_t i = 0; r->keys && i < pl->n_names; i++)
        key_column_done(&r->keys[i]);
    chunk_unref(r->c);
    free(r->keys);
    free(r->at);
    free(r->streams);
    free(r->sorted);
    r->c = NULL;
    r->keys = NULL;
    r->at = NULL;
    r->streams = NULL;
    r->sorted = NULL;
    r->keys_read = 0;
    r->base = 0;
    r->lines_read = r->metadata_read = r->metadata_counted = false;
    r->n = 0;
    r->memory = 0;
}

void run_over(struct plan *pl, struct run *r)
{
    run_close(pl, r);
    if (!run_is_head(pl, r))
        readers_close(pl, r);
}

bool scan_labels(const struct chunk *c, uint32_t row, struct arena *a, struct labels *ret)
{
    uint32_t n;
    const uint32_t *ids = chunk_meta(c, row, &n);
    struct label *at = arena_alloc(a, (n ? n : 1) * sizeof *at);
    if (!at)
        return false;
    for (uint32_t i = 0; i < n; i++)
        at[i] = chunk_pair(c, ids[i]);
    *ret = (struct labels){at, n};
    return true;
}

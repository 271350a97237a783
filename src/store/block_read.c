/* block_read.c - see part.h: reading the blocks of a part, column by column, as they are asked for. What of a block is open (its
 * lines' dictionary, its metadata's columns) hangs on the chunk that it became, and goes with it. */
#include "base/endian.h"
#include "base/io.h"
#include "base/varint.h"
#include "store/ints.h"
#include "store/keys.h"
#include "store/line_filter.h"
#include "store/lines.h"
#include "store/page_cache.h"
#include "store/part.h"
#include "store/part_meta.h"
#include <fcntl.h>

struct reader {
    const uint8_t *at, *end;
};
#define LEFT(r) ((uint64_t)((r)->end - (r)->at))

static bool get_number(struct reader *r, uint64_t max, uint64_t *ret)
{
    return varint_get(&r->at, r->end, ret) && *ret <= max;
}

struct part_reader {
    struct part *p;
    int fd;
    struct page_reader *pages;
    struct buf stored, raw;
    uint64_t bytes;
};

bool part_reader_open(struct part *p, struct part_reader **ret, struct err *e)
{
    struct part_reader *r = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(e);
    r->fd = -1;
    r->p = part_ref(p);
    r->pages = page_reader_new();
    bool ok = r->pages ? io_openat(p->dirfd, p->name, O_RDONLY, 0, &r->fd, e) : err_nomem(e);
    if (!ok) {
        part_reader_close(r);
        return false;
    }
    *ret = r;
    return true;
}

void part_reader_close(struct part_reader *r)
{
    if (!r)
        return;
    io_close(r->fd);
    part_unref(r->p);
    page_reader_free(r->pages);
    buf_done(&r->stored);
    buf_done(&r->raw);
    free(r);
}

uint64_t part_reader_bytes(const struct part_reader *r)
{
    return r->bytes;
}

void part_reader_forget(struct part_reader *r, uint32_t block)
{
    const struct part_block *b = &r->p->blocks[block];
    uint64_t n = 0;
    for (int i = 0; i < COL_COUNT; i++)
        n += b->stored[i];
    (void)!posix_fadvise(r->fd, (off_t)b->offset, (off_t)n, POSIX_FADV_DONTNEED); /* advice: nothing hangs on it */
}

bool part_read_stored(struct part_reader *r, uint32_t block, struct buf *to, struct err *e)
{
    const struct part_block *b = &r->p->blocks[block];
    uint64_t n = 0;
    for (int i = 0; i < COL_COUNT; i++)
        n += b->stored[i];
    char *room = buf_reserve(to, n);
    if (!room)
        return buf_ok(to, e);
    if (!io_pread_all(r->fd, room, n, b->offset, r->p->name, e))
        return false;
    r->bytes += n;
    for (int i = 0; i < COL_COUNT; room += b->stored[i++])
        if (b->stored[i] && !page_intact(sv_make(room, b->stored[i]), b->rows))
            return err_set(e, ERR_CORRUPT, "part '%s': a page of block %u is damaged", r->p->name, block);
    to->n += n;
    return true;
}

/* One column of a block into *raw; one without a page is empty. */
static bool column_into(struct part_reader *r, const struct part_block *b, enum part_column col, enum page_encoding enc,
                        struct buf *raw, struct err *e)
{
    uint64_t at = b->offset;
    struct page_head h;
    for (int i = 0; i < (int)col; i++)
        at += b->stored[i];
    buf_reset(&r->stored);
    if (!b->stored[col]) {
        static const char none[PAGE_SLACK];
        buf_reset(raw);
        buf_put(raw, none, sizeof none);
        raw->n = 0;
        return buf_ok(raw, e);
    }
    if (!buf_reserve(&r->stored, b->stored[col]))
        return err_nomem(e);
    if (!io_pread_all(r->fd, r->stored.p, b->stored[col], at, r->p->name, e))
        return false;
    r->stored.n = b->stored[col];
    r->bytes += b->stored[col];
    if (!page_read(r->pages, buf_view(&r->stored), enc, raw, &h, e))
        return err_ctx(e, "part '%s' at %llu", r->p->name, (unsigned long long)at);
    return h.rows == b->rows || err_set(e, ERR_CORRUPT, "part '%s' at %llu: rows of a page", r->p->name,
                                        (unsigned long long)at);
}

static bool column_read(struct part_reader *r, const struct part_block *b, enum part_column col, enum page_encoding enc,
                        struct err *e)
{
    return column_into(r, b, col, enc, &r->raw, e);
}

static struct reader raw_reader(const struct part_reader *r)
{
    return (struct reader){(const uint8_t *)r->raw.p, (const uint8_t *)r->raw.p + r->raw.n};
}

static bool times_decode(struct reader r, const struct part_block *b, int64_t *ts)
{
    static const int64_t unit[] = {1, 1000, 1000000, 1000000000};
    uint64_t v, last = 0;
    if (!LEFT(&r) || *r.at > 9 || *r.at % 3)
        return false;
    uint64_t scale = (uint64_t)unit[*r.at++ / 3];
    for (uint32_t i = 0; i < b->rows; i++) {
        if (!varint_get(&r.at, r.end, &v))
            return false;
        last += (uint64_t)unzigzag(v);
        ts[i] = (int64_t)(last * scale);
        if (ts[i] < b->min_ts || ts[i] > b->max_ts)
            return false;
    }
    return r.at == r.end;
}

static bool steps_decode(struct reader r, const struct part_block *b, int64_t *ts)
{
    if (!times_get(r.at, r.end, ts, b->rows))
        return false;
    bool within = true;
    for (uint32_t i = 0; i < b->rows; i++)
        within &= ts[i] >= b->min_ts && ts[i] <= b->max_ts;
    return within;
}

static bool ordinals_decode(struct reader r, const struct part_block *b, uint32_t *stream)
{
    uint64_t v, n;
    uint32_t at = 0;
    while (at < b->rows) {
        if (!get_number(&r, b->last - b->first, &v) || !get_number(&r, b->rows - at, &n) || !n)
            return false;
        for (uint64_t i = 0; i < n; i++)
            stream[at++] = (uint32_t)v;
    }
    return r.at == r.end;
}

static bool lengths_decode(struct reader r, const struct part_block *b, uint32_t *line_end)
{
    uint64_t v, total = 0;
    for (uint32_t i = 0; i < b->rows; i++) {
        if (!get_number(&r, b->line_bytes - total, &v))
            return false;
        line_end[i] = (uint32_t)(total += v);
    }
    return r.at == r.end && total == b->line_bytes;
}

static bool ints_decode(struct reader r, const struct part_block *b, uint32_t *line_end, struct err *e)
{
    uint64_t *v = malloc(b->rows * sizeof *v), total = 0;
    if (!v)
        return err_nomem(e);
    bool ok = ints_get(&r.at, r.end, v, b->rows) && r.at == r.end;
    for (uint32_t i = 0; ok && i < b->rows; i++) {
        ok = v[i] <= b->line_bytes - total;
        line_end[i] = (uint32_t)(total += ok ? v[i] : 0);
    }
    free(v);
    return ok && total == b->line_bytes;
}

/* ---- what hangs on a chunk ---- */

struct chunk_block {
    struct chunk_aside aside;
    struct part_reader *r; /* of the call at hand */
    struct chunk *c;
    uint32_t block;
    unsigned have; /* BLOCK_… columns that are read */
    struct lines *lines;
    struct keys *keys;
    size_t metadata_held;
    bool some_lines, some_metadata; /* c->lines, c->meta are not those of all rows */
    struct buf dict, ids, slots, text, key_dict, key_ids, key_wide;
};

static void chunk_block_free(struct chunk_aside *a)
{
    struct chunk_block *cb = CONTAINER_OF(a, struct chunk_block, aside);
    lines_close(cb->lines);
    keys_close(cb->keys);
    struct buf *all[] = {&cb->dict, &cb->ids, &cb->slots, &cb->text, &cb->key_dict, &cb->key_ids, &cb->key_wide};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_done(all[i]);
    free(cb);
}

static struct chunk_block *chunk_block_of(struct part_reader *r, uint32_t block, struct chunk *c, struct err *e)
{
    struct chunk_block *cb = c->aside ? CONTAINER_OF(c->aside, struct chunk_block, aside) : calloc(1, sizeof *cb);
    if (!cb) {
        (void)!err_nomem(e);
        return NULL;
    }
    cb->aside.free = chunk_block_free;
    cb->r = r;
    cb->c = c;
    cb->block = block;
    c->aside = &cb->aside;
    return cb;
}

/* ---- times, streams, lengths ---- */

static bool times_read(struct part_reader *r, const struct part_block *b, struct chunk *c, struct err *e)
{
    bool steps = r->p->columns;
    return column_read(r, b, COL_TIME, steps ? PAGE_STEPS : PAGE_TIMES, e) &&
           ((steps ? steps_decode(raw_reader(r), b, c->ts) : times_decode(raw_reader(r), b, c->ts)) ||
            err_set(e, ERR_CORRUPT, "part '%s': times of a block", r->p->name));
}

static bool streams_read(struct part_reader *r, const struct part_block *b, struct chunk *c, struct err *e)
{
    return column_read(r, b, COL_STREAM, PAGE_RLE, e) &&
           (ordinals_decode(raw_reader(r), b, c->stream) || err_set(e, ERR_CORRUPT, "part '%s': streams of a block", r->p->name));
}

static bool lengths_read(struct part_reader *r, const struct part_block *b, struct chunk *c, struct err *e)
{
    bool ints = r->p->columns;
    return column_read(r, b, COL_LENGTH, ints ? PAGE_INTS : PAGE_VARINT, e) &&
           ((ints ? ints_decode(raw_reader(r), b, c->line_end, e) : lengths_decode(raw_reader(r), b, c->line_end)) ||
            err_set(e, ERR_CORRUPT, "part '%s': line lengths of a block", r->p->name));
}

bool part_read_columns(struct part_reader *r, uint32_t block, struct chunk *c, unsigned columns, struct err *e)
{
    static bool (*const read[])(struct part_reader *, const struct part_block *, struct chunk *, struct err *) = {
        times_read, streams_read, lengths_read};
    struct chunk_block *cb = chunk_block_of(r, block, c, e);
    if (!cb)
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(read); i++)
        if (columns & ~cb->have & 1u << i) {
            if (!read[i](r, &r->p->blocks[block], c, e))
                return false;
            cb->have |= 1u << i;
        }
    return true;
}

static bool block_room(struct part_reader *r, const struct part_block *b, struct chunk *c, struct err *e)
{
    c->n = b->rows;
    c->min_ts = b->min_ts;
    c->max_ts = b->max_ts;
    c->line_bytes = b->line_bytes;
    c->n_streams = b->last - b->first + 1;
    c->ts = malloc(c->n * sizeof *c->ts);
    c->stream = malloc(c->n * sizeof *c->stream);
    c->line_end = malloc(c->n * sizeof *c->line_end);
    c->streams = calloc(c->n_streams, sizeof *c->streams);
    c->memory = sizeof *c + c->n * (sizeof *c->ts + sizeof *c->stream + sizeof *c->line_end) +
                c->n_streams * sizeof *c->streams;
    if (!c->ts || !c->stream || !c->line_end || !c->streams)
        return err_nomem(e);
    for (uint32_t i = 0; i < c->n_streams; i++)
        c->streams[i].st = r->p->streams[b->first + i].st;
    return true;
}

bool part_open_block(struct part_reader *r, uint32_t block, struct chunk **ret, struct err *e)
{
    struct chunk *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    atomic_init(&c->refs, 1);
    if (!block_room(r, &r->p->blocks[block], c, e) || !chunk_block_of(r, block, c, e)) {
        chunk_unref(c);
        return false;
    }
    *ret = c;
    return true;
}

bool part_read_block(struct part_reader *r, uint32_t block, struct chunk **ret, struct err *e)
{
    struct chunk *c;
    if (!part_open_block(r, block, &c, e))
        return false;
    if (!part_read_columns(r, block, c, BLOCK_TIMES | BLOCK_STREAMS | BLOCK_LENGTHS, e)) {
        chunk_unref(c);
        return false;
    }
    *ret = c;
    return true;
}

static bool fetch(struct chunk_block *cb, enum part_column col, enum page_encoding enc, struct buf *to, sv *ret, struct err *e)
{
    bool ok = column_into(cb->r, &cb->r->p->blocks[cb->block], col, enc, to, e);
    *ret = buf_view(to);
    return ok;
}
static bool fetch_ids(void *ctx, sv *ret, struct err *e)
{
    struct chunk_block *cb = ctx;
    return fetch(cb, COL_IDS, PAGE_IDS, &cb->ids, ret, e);
}
static bool fetch_slots(void *ctx, sv *ret_slots, sv *ret_text, struct err *e)
{
    struct chunk_block *cb = ctx; /* what was borrowed at lines_open() is read now */
    return part_read_columns(cb->r, cb->block, cb->c, BLOCK_LENGTHS, e) && fetch(cb, COL_SLOTS, PAGE_SLOTS, &cb->slots, ret_slots, e) && fetch(cb, COL_TEXT, PAGE_TEXT, &cb->text, ret_text, e);
}
static bool fetch_key_ids(void *ctx, sv *ret, struct err *e)
{
    struct chunk_block *cb = ctx;
    return fetch(cb, COL_KEY_IDS, PAGE_KEY_IDS, &cb->key_ids, ret, e);
}
static bool fetch_key_wide(void *ctx, sv *ret, struct err *e)
{
    struct chunk_block *cb = ctx; /* times may be told by how far they are from the row's */
    return part_read_columns(cb->r, cb->block, cb->c, BLOCK_TIMES, e) && fetch(cb, COL_KEY_WIDE, PAGE_KEY_WIDE, &cb->key_wide, ret, e);
}

/* What the chunk holds changed: its account does. */
static size_t held(const struct chunk_block *cb)
{
    const struct buf *all[] = {&cb->dict, &cb->ids, &cb->slots, &cb->text, &cb->key_dict, &cb->key_ids, &cb->key_wide};
    size_t n = (cb->lines ? lines_memory(cb->lines) : 0) + (cb->keys ? keys_memory(cb->keys) : 0);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        n += all[i]->cap;
    return n;
}

void part_close_block(struct chunk *c)
{
    if (!c->aside)
        return;
    c->memory -= held(CONTAINER_OF(c->aside, struct chunk_block, aside));
    c->aside->free(c->aside);
    c->aside = NULL;
}

static bool lines_of(struct chunk_block *cb, struct chunk *c, struct err *e)
{
    sv dict;
    struct lines_source from = {fetch_ids, fetch_slots, cb};
    return cb->lines || (fetch(cb, COL_DICT, PAGE_DICT, &cb->dict, &dict, e) &&
                         lines_open(dict, &from, c->line_end, c->n, &cb->lines, e));
}

static bool keys_of(struct chunk_block *cb, struct chunk *c, struct err *e)
{
    sv keys;
    struct keys_source from = {fetch_key_ids, fetch_key_wide, cb};
    return cb->keys || (fetch(cb, COL_KEYS, PAGE_KEYS, &cb->key_dict, &keys, e) && keys_open(keys, &from, c->ts, c->n, &cb->keys, e));
}

/* ---- lines ---- */

static bool plain_lines(struct part_reader *r, const struct part_block *b, struct chunk *c, struct err *e)
{
    if (!column_read(r, b, COL_LINE, PAGE_BYTES, e))
        return false;
    if (r->raw.n != b->line_bytes)
        return err_set(e, ERR_CORRUPT, "part '%s': lines of a block", r->p->name);
    c->lines = buf_take(&r->raw, &(size_t){0}); /* handed over: no copy */
    c->memory += b->line_bytes;
    return true;
}

bool part_read_some_lines(struct part_reader *r, uint32_t block, struct chunk *c, const uint8_t *want, struct err *e)
{
    const struct part_block *b = &r->p->blocks[block];
    struct chunk_block *cb;
    if (!r->p->columns)
        return c->lines || plain_lines(r, b, c, e);
    if (!(cb = chunk_block_of(r, block, c, e)))
        return false;
    if (c->lines && !cb->some_lines)
        return true;
    size_t before = held(cb);
    if (!c->lines) {
        if (!(c->lines = malloc(b->line_bytes + 1)))
            return err_nomem(e);
        c->memory += b->line_bytes;
        cb->some_lines = true;
    }
    if (!lines_of(cb, c, e) || !lines_build(cb->lines, want, c->lines, e))
        return err_ctx(e, "part '%s'", r->p->name);
    cb->some_lines = want;
    c->memory += held(cb) - before;
    return true;
}

bool part_read_lines(struct part_reader *r, uint32_t block, struct chunk *c, struct err *e)
{
    return part_read_some_lines(r, block, c, NULL, e);
}

bool part_filter_lines(struct part_reader *r, uint32_t block, struct chunk *c, const struct scan_filter *f, size_t n,
                       uint8_t *pass, bool *ret_exact, struct err *e)
{
    struct chunk_block *cb;
    *ret_exact = true;
    if (!r->p->columns)
        return part_read_lines(r, block, c, e) && part_read_columns(r, block, c, BLOCK_LENGTHS, e) && (lines_pass(c, f, n, pass) || err_nomem(e));
    if (!(cb = chunk_block_of(r, block, c, e)))
        return false;
    size_t before = held(cb);
    if (!lines_of(cb, c, e) || !lines_filter(cb->lines, f, n, pass, e))
        return err_ctx(e, "part '%s'", r->p->name);
    c->memory += held(cb) - before;
    return true;
}

bool part_count_templates(struct part_reader *r, uint32_t block, struct chunk *c, uint32_t *ret_templates, uint32_t *ret_whole_rows,
                          struct err *e)
{
    struct chunk_block *cb;
    *ret_templates = *ret_whole_rows = 0;
    if (!r->p->columns)
        return true;
    if (!(cb = chunk_block_of(r, block, c, e)))
        return false;
    size_t before = held(cb);
    if (!lines_of(cb, c, e))
        return err_ctx(e, "part '%s'", r->p->name);
    c->memory += held(cb) - before;
    lines_count(cb->lines, ret_templates, ret_whole_rows);
    return true;
}

/* ---- metadata ---- */

bool part_read_key(struct part_reader *r, uint32_t block, struct chunk *c, sv name, struct key_column *ret, struct err *e)
{
    struct chunk_block *cb = chunk_block_of(r, block, c, e);
    *ret = (struct key_column){0};
    if (!cb)
        return false;
    size_t at = SIZE_MAX, before = held(cb);
    if (r->p->columns && (!keys_of(cb, c, e) || ((at = keys_find(cb->keys, name)) != SIZE_MAX && !keys_column(cb->keys, at, NULL, ret, e))))
        return err_ctx(e, "part '%s'", r->p->name);
    c->memory += held(cb) - before;
    if (at != SIZE_MAX || (r->p->columns && !r->p->blocks[block].stored[COL_META]))
        return true;
    return part_read_metadata(r, block, c, e) && (chunk_key(c, name, ret) || err_nomem(e));
}

/* A page that queries ask again and again. */
static struct cached_page *page_of(struct part_reader *r, uint32_t block, enum part_column col, enum page_encoding enc, struct err *e)
{
    SCOPED(buf_done) struct buf raw = {0};
    struct page_key key = {get_le64(r->p->uuid) ^ get_le64(r->p->uuid + 8), block, col};
    struct cached_page *p = page_cache_get(&key);
    if (p || !column_into(r, &r->p->blocks[block], col, enc, &raw, e))
        return p;
    p = page_cache_put(&key, &raw);
    if (!p)
        (void)!err_nomem(e);
    return p;
}

/* Names that rows have, or have not, with these values. */
static bool keys_may_pass(struct part_reader *r, uint32_t block, const struct sieve *sieve, struct part_asked *asked, size_t n,
                          bool *ret, struct err *e)
{
    const struct part_block *b = &r->p->blocks[block];
    SCOPED(cached_page_unref) struct cached_page *page = page_of(r, block, COL_KEYS, PAGE_KEYS, e);
    struct keys_source from = {0};
    struct keys *k;
    if (!page || !keys_open(cached_page_bytes(page), &from, NULL, b->rows, &k, e))
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t at = keys_find(k, asked[i].name);
        asked[i].absent = at == SIZE_MAX && !b->stored[COL_META];
        if (asked[i].value.p && at != SIZE_MAX && !keys_may_have(k, at, sieve, asked[i].value))
            *ret = false;
    }
    keys_close(k);
    return true;
}

static bool lines_may(struct part_reader *r, uint32_t block, const struct sieve *sieve, const struct scan_filter *f, size_t n,
                      bool *ret, struct err *e)
{
    SCOPED(cached_page_unref) struct cached_page *page = page_of(r, block, COL_DICT, PAGE_DICT, e);
    struct lines_source from = {0};
    struct lines *l;
    if (!page || !lines_open(cached_page_bytes(page), &from, NULL, r->p->blocks[block].rows, &l, e))
        return false;
    *ret = lines_may_pass(l, sieve, f, n);
    lines_close(l);
    return true;
}

bool part_may_pass(struct part_reader *r, uint32_t block, const struct scan_filter *f, size_t n, struct part_asked *asked,
                   size_t n_asked, bool *ret, struct err *e)
{
    struct sieve sieve;
    *ret = true;
    if (!r->p->columns || (!n && !n_asked))
        return true;
    SCOPED(cached_page_unref) struct cached_page *page = page_of(r, block, COL_SIEVE, PAGE_SIEVE, e);
    if (!page)
        return false;
    if (!sieve_open(cached_page_bytes(page), &sieve))
        return err_set(e, ERR_CORRUPT, "part '%s': content filter of a block", r->p->name);
    if ((n_asked && !keys_may_pass(r, block, &sieve, asked, n_asked, ret, e)) || (*ret && n && !lines_may(r, block, &sieve, f, n, ret, e)))
        return err_ctx(e, "part '%s'", r->p->name);
    return true;
}

/* All columns, and what has none, as pairs of the chunk. */
struct pairs_maker {
    struct chunk *c;
    struct chunk tail;
    VEC(struct pair) pairs;
    struct buf strings;
    uint32_t *at; /* by row: where its next pair goes */
    const uint8_t *want; /* rows that are to have theirs; NULL: all */
};

static bool string_put(struct buf *b, sv s, uint32_t *ret_at)
{
    *ret_at = (uint32_t)b->n;
    buf_sv(b, s);
    return !b->failed && b->n <= UINT32_MAX;
}

static bool make_pairs(struct pairs_maker *m, struct keys *k, struct err *e)
{
    for (size_t i = 0; i < keys_count(k); i++) {
        struct key_column col;
        uint32_t name_at;
        sv name = keys_name(k, i);
        if (!keys_column(k, i, m->want, &col, e))
            return false;
        uint32_t first = (uint32_t)m->pairs.n;
        if (!vec_reserve(&m->pairs, m->pairs.n + col.n_values) || !string_put(&m->strings, name, &name_at))
            return err_nomem(e);
        for (uint32_t v = 0; v < col.n_values; v++) {
            struct pair p = {.name_at = name_at, .name_n = (uint32_t)name.n, .value_n = (uint32_t)col.values[v].n};
            if (!string_put(&m->strings, col.values[v], &p.value_at))
                return err_nomem(e);
            m->pairs.at[m->pairs.n++] = p;
        }
        for (uint32_t r = 0; r < m->c->n; r++)
            if (col.id[r])
                m->c->meta[m->at[r]++] = first + col.id[r] - 1;
    }
    return true;
}

/* Pairs of the tail join those of the row, by name. */
static bool make_tail(struct pairs_maker *m, struct err *e)
{
    const struct chunk *t = &m->tail;
    uint32_t first = (uint32_t)m->pairs.n;
    if (!t->meta_end)
        return true;
    if (!vec_reserve(&m->pairs, m->pairs.n + t->n_pairs))
        return err_nomem(e);
    for (uint32_t i = 0; i < t->n_pairs; i++) {
        struct label l = chunk_pair(t, i);
        struct pair p = {.name_n = (uint32_t)l.name.n, .value_n = (uint32_t)l.value.n};
        if (!string_put(&m->strings, l.name, &p.name_at) || !string_put(&m->strings, l.value, &p.value_at))
            return err_nomem(e);
        m->pairs.at[m->pairs.n++] = p;
    }
    for (uint32_t r = 0; r < m->c->n; r++) {
        uint32_t n, from = r ? m->c->meta_end[r - 1] : 0;
        if (m->want && !m->want[r])
            continue;
        const uint32_t *ids = chunk_meta(t, r, &n);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t at = m->at[r]++, id = first + ids[i];
            struct pair *p = &m->pairs.at[id];
            sv name = sv_make(m->strings.p + p->name_at, p->name_n);
            for (; at > from; at--) {
                struct pair *before = &m->pairs.at[m->c->meta[at - 1]];
                if (sv_cmp(sv_make(m->strings.p + before->name_at, before->name_n), name) <= 0)
                    break;
                m->c->meta[at] = m->c->meta[at - 1];
            }
            m->c->meta[at] = id;
        }
    }
    return true;
}

/* Where each row's pairs begin and end. */
static bool count_pairs(struct pairs_maker *m, struct keys *k, struct err *e)
{
    struct chunk *c = m->c;
    uint64_t sum = 0;
    if (!(m->at = calloc(c->n + 1, sizeof *m->at)) || !(c->meta_end = malloc((c->n + 1) * sizeof *c->meta_end)))
        return err_nomem(e);
    for (size_t i = 0; i < keys_count(k); i++) {
        struct key_column col;
        if (!keys_column(k, i, m->want, &col, e))
            return false;
        for (uint32_t r = 0; r < c->n; r++)
            m->at[r] += col.id[r] != 0;
    }
    for (uint32_t r = 0; r < c->n; r++) {
        uint32_t n = 0;
        if (m->tail.meta_end && (!m->want || m->want[r]))
            (void)chunk_meta(&m->tail, r, &n);
        n += m->at[r];
        m->at[r] = (uint32_t)sum;
        c->meta_end[r] = (uint32_t)(sum += n);
        if (sum > UINT32_MAX)
            return err_set(e, ERR_CORRUPT, "metadata of a block");
    }
    c->meta = malloc((sum + 1) * sizeof *c->meta);
    return c->meta || err_nomem(e);
}

static bool metadata_of_columns(struct part_reader *r, uint32_t block, struct chunk *c, struct chunk_block *cb, const uint8_t *want,
                                struct err *e)
{
    struct pairs_maker m = {.c = c, .tail = {.n = c->n}, .want = want};
    bool ok = keys_of(cb, c, e);
    if (ok && r->p->blocks[block].stored[COL_META])
        ok = column_read(r, &r->p->blocks[block], COL_META, PAGE_META, e) && meta_read(buf_view(&r->raw), &m.tail, e);
    ok = ok && count_pairs(&m, cb->keys, e) && make_pairs(&m, cb->keys, e) && make_tail(&m, e);
    free(m.at);
    free(m.tail.meta_end);
    free(m.tail.meta);
    free(m.tail.pairs);
    free(m.tail.strings);
    if (!ok) {
        vec_done(&m.pairs);
        buf_done(&m.strings);
        free(TAKE(c->meta_end));
        free(TAKE(c->meta));
        return false;
    }
    c->pairs = m.pairs.at ? m.pairs.at : calloc(1, sizeof *c->pairs);
    c->n_pairs = (uint32_t)m.pairs.n;
    cb->metadata_held = m.strings.n + c->n * sizeof *c->meta_end + (c->n ? c->meta_end[c->n - 1] : 0) * sizeof *c->meta + c->n_pairs * sizeof *c->pairs;
    c->memory += cb->metadata_held;
    c->strings = buf_take(&m.strings, &(size_t){0});
    return true;
}

bool part_read_some_metadata(struct part_reader *r, uint32_t block, struct chunk *c, const uint8_t *want, struct err *e)
{
    if (!r->p->columns)
        return c->meta_end || (column_read(r, &r->p->blocks[block], COL_META, PAGE_META, e) &&
                               (meta_read(buf_view(&r->raw), c, e) || err_ctx(e, "part '%s'", r->p->name)));
    struct chunk_block *cb = chunk_block_of(r, block, c, e);
    if (!cb)
        return false;
    if (c->meta_end && !cb->some_metadata)
        return true;
    if (c->meta_end) { /* of some rows only, and others are wanted now */
        c->memory -= cb->metadata_held;
        free(TAKE(c->meta_end));
        free(TAKE(c->meta));
        free(TAKE(c->pairs));
        free(TAKE(c->strings));
    }
    size_t before = held(cb);
    if (!metadata_of_columns(r, block, c, cb, want, e))
        return err_ctx(e, "part '%s'", r->p->name);
    cb->some_metadata = want;
    c->memory += held(cb) - before;
    return true;
}

bool part_read_metadata(struct part_reader *r, uint32_t block, struct chunk *c, struct err *e)
{
    return part_read_some_metadata(r, block, c, NULL, e);
}

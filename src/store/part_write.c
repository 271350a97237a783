/* part_write.c - see part.h: from the head's chunks to files.
 * Publication so far as it is done here: temporary name, write, datasync, rename, sync directory. The catalog lists the part
 * afterwards; a crash in between leaves a file nobody lists, which recovery removes. */
#include "store/part.h"
#include "base/base.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include "base/varint.h"
#include "store/dedup.h"
#include "store/part_format.h"
#include "store/part_meta.h"
#include "store/rows.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

enum { WRITE_BYTES = 4 << 20 };
#define DAY_NS (86400 * NS_PER_S)

struct row_at {
    uint32_t chunk, row;
};

struct stream_rows { /* one stream of the flush */
    struct stream *st;
    struct row_key *keys; /* into writer.keys; sorted by time once sort_stream() ran */
    size_t n;
    uint64_t bytes;
};

struct writer {
    const struct part_flush *f;
    struct row_at *rows;         /* every row, in the order of acceptance */
    struct row_key *keys, *spare;
    struct stream_rows *streams; /* in the part's order */
    size_t n_streams, n_rows;
    struct page_writer *pages;
    struct meta_writer *meta;
    struct buf times, ords, lengths, lines, meta_raw; /* columns of the block at hand */
    int64_t last_ts;
    /* the part at hand */
    struct buf file;             /* what is not written yet */
    uint64_t file_at;            /* where `file` begins */
    int fd;
    const char *what;
    VEC(struct part_block) blocks;
    VEC(struct part_stream) table;
    uint64_t duplicates;
    struct part_block block;
    VEC(int64_t) block_ts;
    uint32_t ord_run, ord_value;
    struct dedup seen;
};

static void put_number(struct buf *b, uint64_t v)
{
    uint8_t bytes[VARINT_MAX];
    buf_put(b, bytes, varint_put(bytes, v));
}

void part_name(uint64_t id, char to[static 32])
{
    snprintf(to, 32, "%016" PRIx64 ".part", id);
}

/* Order of streams in a part: tenant, locality (service_name), labels. */
static int stream_order(const void *a, const void *b)
{
    const struct stream *x = ((const struct stream_rows *)a)->st, *y = ((const struct stream_rows *)b)->st;
    int c = sv_cmp(tenant_name(x->tenant), tenant_name(y->tenant));
    if (!c)
        c = sv_cmp(labels_get(x->labels, SV("service_name")), labels_get(y->labels, SV("service_name")));
    return c ? c : labels_cmp(x->labels, y->labels);
}

/* Every stream of the flush once, in order; and its rows' keys, in the order of acceptance. */
static bool collect(struct writer *w, struct err *e)
{
    struct map by_stream = {0};
    bool ok = true;
    size_t cap = 0;
    for (size_t i = 0; i < w->f->n_chunks; i++) {
        const struct chunk *c = w->f->chunks[i];
        w->n_rows += c->n;
        cap += c->n_streams;
    }
    if (w->n_rows >= UINT32_MAX)
        return err_set(e, ERR_LIMIT, "%zu rows are too many for one flush", w->n_rows);
    w->rows = calloc(w->n_rows ? w->n_rows : 1, sizeof *w->rows);
    w->keys = calloc(w->n_rows ? w->n_rows : 1, sizeof *w->keys);
    w->spare = calloc(w->n_rows ? w->n_rows : 1, sizeof *w->spare);
    w->streams = calloc(cap ? cap : 1, sizeof *w->streams);
    ok = w->rows && w->keys && w->spare && w->streams;
    for (size_t i = 0; ok && i < w->f->n_chunks; i++)
        for (uint32_t s = 0; ok && s < w->f->chunks[i]->n_streams; s++) {
            const struct chunk_stream *cs = &w->f->chunks[i]->streams[s];
            struct map_slot *slot = map_put(&by_stream, sv_make(&cs->st, sizeof cs->st));
            if (!(ok = slot))
                break;
            if (!slot->value) {
                w->streams[w->n_streams].st = cs->st;
                slot->key = sv_make(&cs->st, sizeof cs->st);
                slot->value = &w->streams[w->n_streams++];
            }
            struct stream_rows *sr = slot->value;
            sr->n += cs->rows;
            sr->bytes += cs->bytes;
        }
    map_done(&by_stream);
    if (!ok)
        return err_nomem(e);
    qsort(w->streams, w->n_streams, sizeof *w->streams, stream_order);
    return true;
}

static bool place_rows(struct writer *w, struct err *e)
{
    struct map by_stream = {0};
    struct row_key *at = w->keys;
    bool ok = true;
    for (size_t i = 0; ok && i < w->n_streams; i++) {
        struct stream_rows *sr = &w->streams[i];
        struct map_slot *slot = map_put(&by_stream, sv_make(&sr->st, sizeof sr->st));
        if ((ok = slot))
            slot->value = sr;
        sr->keys = at;
        at += sr->n;
        sr->n = 0;
    }
    uint32_t r = 0;
    for (size_t i = 0; ok && i < w->f->n_chunks; i++) {
        const struct chunk *c = w->f->chunks[i];
        struct stream_rows **of = calloc(c->n_streams ? c->n_streams : 1, sizeof *of);
        if (!(ok = of))
            break;
        for (uint32_t s = 0; s < c->n_streams; s++)
            of[s] = map_get(&by_stream, sv_make(&c->streams[s].st, sizeof c->streams[s].st));
        for (uint32_t k = 0; k < c->n; k++, r++) {
            struct stream_rows *sr = of[c->stream[k]];
            w->rows[r] = (struct row_at){(uint32_t)i, k};
            sr->keys[sr->n++] = (struct row_key){.ts = c->ts[k], .row = r};
        }
        free(of);
    }
    map_done(&by_stream);
    if (!ok)
        return err_nomem(e);
    for (size_t i = 0; i < w->n_streams; i++)
        row_keys_sort(w->streams[i].keys, w->streams[i].n, w->spare);
    return true;
}

static bool file_drain(struct writer *w, size_t keep_below, struct err *e)
{
    if (w->file.n <= keep_below)
        return true;
    if (!io_write_all(w->fd, buf_view(&w->file), w->what, e))
        return false;
    w->file_at += w->file.n;
    buf_reset(&w->file);
    return true;
}

static bool page_out(struct writer *w, enum page_encoding enc, uint32_t rows, const struct buf *raw, uint32_t *ret_stored,
                     struct err *e)
{
    return buf_ok(raw, e) && page_write(w->pages, enc, rows, buf_view(raw), &w->file, ret_stored, e);
}

/* Times as differences in the coarsest of 1, 10^3, 10^6, 10^9 ns that divides them all: clocks of ms cost no zeros. */
static void encode_times(struct writer *w)
{
    static const int64_t unit[] = {1, 1000, 1000000, 1000000000};
    int k = 3;
    for (size_t i = 0; k > 0 && i < w->block_ts.n; i++)
        while (k > 0 && w->block_ts.at[i] % unit[k])
            k--;
    buf_char(&w->times, (char)(k * 3));
    int64_t last = 0;
    for (size_t i = 0; i < w->block_ts.n; i++) {
        int64_t t = w->block_ts.at[i] / unit[k];
        put_number(&w->times, zigzag((int64_t)((uint64_t)t - (uint64_t)last)));
        last = t;
    }
}

static void end_ord_run(struct writer *w)
{
    if (!w->ord_run)
        return;
    put_number(&w->ords, w->ord_value);
    put_number(&w->ords, w->ord_run);
    w->ord_run = 0;
}

static bool block_end(struct writer *w, struct err *e)
{
    struct part_block *b = &w->block, *room;
    if (!b->rows)
        return true;
    end_ord_run(w);
    encode_times(w);
    b->offset = w->file_at + w->file.n;
    if (!meta_writer_take(w->meta, &w->meta_raw, e) ||
        !page_out(w, PAGE_TIMES, b->rows, &w->times, &b->stored[COL_TIME], e) ||
        !page_out(w, PAGE_RLE, b->rows, &w->ords, &b->stored[COL_STREAM], e) ||
        !page_out(w, PAGE_VARINT, b->rows, &w->lengths, &b->stored[COL_LENGTH], e) ||
        !page_out(w, PAGE_BYTES, b->rows, &w->lines, &b->stored[COL_LINE], e) ||
        !page_out(w, PAGE_META, b->rows, &w->meta_raw, &b->stored[COL_META], e))
        return false;
    if (!(room = vec_push(&w->blocks)))
        return err_nomem(e);
    *room = *b;
    *b = (struct part_block){0};
    w->block_ts.n = 0;
    struct buf *columns[] = {&w->times, &w->ords, &w->lengths, &w->lines, &w->meta_raw};
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        buf_reset(columns[i]);
    return file_drain(w, WRITE_BYTES, e);
}

static bool row_put(struct writer *w, uint32_t ordinal, struct row_at at, struct err *e)
{
    const struct chunk *c = w->f->chunks[at.chunk];
    struct part_block *b = &w->block;
    sv line = chunk_line(c, at.row);
    int64_t ts = c->ts[at.row], *room;
    if (!b->rows) {
        b->first = ordinal;
        b->min_ts = b->max_ts = ts;
    }
    if (w->ord_run && w->ord_value != ordinal - b->first)
        end_ord_run(w);
    w->ord_value = ordinal - b->first;
    w->ord_run++;
    b->last = ordinal;
    b->rows++;
    b->line_bytes += (uint32_t)line.n;
    b->min_ts = MIN(b->min_ts, ts);
    b->max_ts = MAX(b->max_ts, ts);
    put_number(&w->lengths, line.n);
    buf_sv(&w->lines, line);
    if (!(room = vec_push(&w->block_ts)) || !meta_writer_row(w->meta, c, at.row))
        return err_nomem(e);
    *room = ts;
    struct part_stream *ps = &w->table.at[ordinal];
    ps->rows++;
    ps->bytes += line.n;
    ps->min_ts = MIN(ps->min_ts, ts);
    ps->max_ts = MAX(ps->max_ts, ts);
    if (b->rows < PART_BLOCK_ROWS && b->line_bytes < PART_BLOCK_BYTES && !meta_writer_full(w->meta))
        return true;
    return block_end(w, e);
}

/* The stream's rows in [from, to] become the next ordinal, when there are any. */
static bool stream_put(struct writer *w, const struct stream_rows *sr, int64_t from, int64_t to, struct err *e)
{
    bool any = false;
    dedup_reset(&w->seen);
    for (size_t i = 0; i < sr->n; i++) {
        if (sr->keys[i].ts < from || sr->keys[i].ts > to)
            continue;
        struct row_at at = w->rows[sr->keys[i].row];
        if (!any) {
            struct part_stream *room = vec_push(&w->table);
            if (!room)
                return err_nomem(e);
            *room = (struct part_stream){.st = sr->st, .min_ts = INT64_MAX, .max_ts = INT64_MIN};
            any = true;
            /* a fat stream begins a block of its own */
            if (w->block.rows && sr->bytes > PART_BLOCK_BYTES / 2 && !block_end(w, e))
                return false;
        }
        bool twice;
        if (!dedup_row(&w->seen, sr->keys[i].ts, w->f->chunks[at.chunk], at.row, &twice))
            return err_nomem(e);
        if (twice)
            w->duplicates++;
        else if (!row_put(w, (uint32_t)w->table.n - 1, at, e))
            return false;
    }
    return true;
}

static void put_sv(struct buf *b, sv s)
{
    put_number(b, s.n);
    buf_sv(b, s);
}

static void encode_streams(struct writer *w, struct buf *out)
{
    const struct tenant *last = NULL;
    for (size_t i = 0; i < w->table.n; i++) {
        const struct part_stream *ps = &w->table.at[i];
        buf_char(out, ps->st->tenant == last ? 0 : 1);
        if (ps->st->tenant != last)
            put_sv(out, tenant_name(ps->st->tenant));
        last = ps->st->tenant;
        put_number(out, ps->st->labels.n);
        for (size_t k = 0; k < ps->st->labels.n; k++) {
            put_sv(out, ps->st->labels.at[k].name);
            put_sv(out, ps->st->labels.at[k].value);
        }
        put_number(out, ps->rows);
        put_number(out, ps->bytes);
        put_number(out, zigzag(ps->min_ts));
        put_number(out, (uint64_t)ps->max_ts - (uint64_t)ps->min_ts);
    }
}

static void encode_blocks(struct writer *w, struct buf *out)
{
    for (size_t i = 0; i < w->blocks.n; i++) {
        const struct part_block *b = &w->blocks.at[i];
        for (int c = 0; c < COL_COUNT; c++)
            put_number(out, b->stored[c]);
        put_number(out, b->rows);
        put_number(out, b->line_bytes);
        put_number(out, b->first);
        put_number(out, b->last - b->first);
        put_number(out, zigzag(b->min_ts));
        put_number(out, (uint64_t)b->max_ts - (uint64_t)b->min_ts);
    }
}

static void file_begin(struct writer *w)
{
    uint8_t h[PART_HEAD] = {0};
    memcpy(h, PART_MAGIC, 8);
    put_le16(h + 8, PART_MAJOR);
    put_le16(h + 10, PART_MINOR);
    put_le64(h + 16, rand_u64());
    put_le64(h + 24, rand_u64());
    snprintf((char *)h + 32, 24, "weir %s", weir_version_text());
    put_le32(h + 60, crc32c(0, h, 60));
    buf_put(&w->file, h, sizeof h);
}

static bool file_end(struct writer *w, uint16_t index, uint16_t of, struct err *e)
{
    SCOPED(buf_done) struct buf raw = {0};
    uint8_t f[PART_FOOTER] = {0}, t[PART_TRAILER] = {0};
    uint32_t stored;
    uint64_t rows = 0, bytes = 0;
    int64_t min_ts = INT64_MAX, max_ts = INT64_MIN;
    encode_streams(w, &raw);
    put_le64(f, w->file_at + w->file.n);
    if (!page_out(w, PAGE_TABLE, (uint32_t)w->table.n, &raw, &stored, e))
        return false;
    put_le32(f + 8, stored);
    put_le32(f + 12, (uint32_t)w->table.n);
    buf_reset(&raw);
    encode_blocks(w, &raw);
    put_le64(f + 16, w->file_at + w->file.n);
    if (!page_out(w, PAGE_TABLE, (uint32_t)w->blocks.n, &raw, &stored, e))
        return false;
    put_le32(f + 24, stored);
    put_le32(f + 28, (uint32_t)w->blocks.n);
    for (size_t i = 0; i < w->blocks.n; i++) {
        rows += w->blocks.at[i].rows;
        bytes += w->blocks.at[i].line_bytes;
        min_ts = MIN(min_ts, w->blocks.at[i].min_ts);
        max_ts = MAX(max_ts, w->blocks.at[i].max_ts);
    }
    put_le64(f + 32, rows);
    put_le64(f + 40, bytes);
    put_le64(f + 48, (uint64_t)min_ts);
    put_le64(f + 56, (uint64_t)max_ts);
    put_le64(f + 64, w->f->first_seq);
    put_le64(f + 72, w->f->end_seq);
    put_le16(f + 80, index);
    put_le16(f + 82, of);
    put_le64(f + 96, w->duplicates);
    put_le32(t, sizeof f);
    put_le16(t + 8, PART_MAJOR);
    put_le16(t + 10, PART_MINOR);
    put_le64(t + 16, w->file_at + w->file.n + sizeof f + sizeof t);
    memcpy(t + 24, PART_MAGIC, 8);
    put_le32(t + 4, crc32c(crc32c(crc32c(0, f, sizeof f), t, 4), t + 8, sizeof t - 8));
    buf_put(&w->file, f, sizeof f);
    buf_put(&w->file, t, sizeof t);
    return buf_ok(&w->file, e) && file_drain(w, 0, e) && io_datasync(w->fd, w->what, e);
}

static void part_reset(struct writer *w)
{
    struct buf *columns[] = {&w->times, &w->ords, &w->lengths, &w->lines, &w->meta_raw, &w->file};
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        buf_reset(columns[i]);
    w->file_at = w->duplicates = 0;
    w->blocks.n = w->table.n = w->block_ts.n = 0;
    w->block = (struct part_block){0};
    w->ord_run = 0;
}

struct part_plan { /* rows of [from, to] of the streams [first, end) */
    int64_t from, to;
    size_t first, end;
};
struct plan {
    VEC(struct part_plan) parts;
};

/* One part, under its final name but with the directory not yet synced. */
static bool part_make(struct writer *w, int dirfd, uint64_t id, const struct part_plan *pl, uint16_t index, uint16_t of,
                      struct err *e)
{
    char name[32], temp[40];
    part_name(id, name);
    snprintf(temp, sizeof temp, "%s.tmp", name);
    SCOPED(io_close) int fd = -1;
    if (!io_openat(dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC, 0640, &fd, e))
        return false;
    part_reset(w);
    w->fd = fd;
    w->what = temp;
    file_begin(w);
    bool ok = true;
    for (size_t i = pl->first; ok && i < pl->end; i++)
        ok = stream_put(w, &w->streams[i], pl->from, pl->to, e);
    ok = ok && block_end(w, e) && file_end(w, index, of, e) && io_renameat(dirfd, temp, name, e);
    struct err ignored;
    if (!ok && !io_unlinkat(dirfd, temp, &ignored))
        return false; /* recovery removes it */
    return ok;
}

/* Time of the stream's first row from `at` on. */
static bool first_from(const struct stream_rows *sr, int64_t at, int64_t *ret)
{
    size_t lo = 0, hi = sr->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (sr->keys[mid].ts < at)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < sr->n)
        *ret = sr->keys[lo].ts;
    return lo < sr->n;
}

/* Most that the stream takes in a part's table. */
static size_t table_bytes(const struct stream *st)
{
    size_t n = tenant_name(st->tenant).n + 8 * VARINT_MAX;
    for (size_t i = 0; i < st->labels.n; i++)
        n += st->labels.at[i].name.n + st->labels.at[i].value.n + 2 * VARINT_MAX;
    return n;
}

/* The parts of the rows in [from, to]: cut where the streams met so far would pass the size of a table. A stream alone is a
 * part whatever its size: its labels are less than a request. */
static bool plan_streams(const struct writer *w, int64_t from, int64_t to, struct plan *ret, struct err *e)
{
    size_t max = w->f->table_max ? w->f->table_max : (size_t)PART_TABLE_BYTES, bytes = 0;
    struct part_plan *pl = NULL;
    for (size_t i = 0; i < w->n_streams; i++) {
        int64_t ts;
        if (!first_from(&w->streams[i], from, &ts) || ts > to)
            continue;
        size_t more = table_bytes(w->streams[i].st);
        if (!pl || bytes + more > max) {
            if (ret->parts.n == PART_FLUSH_MAX)
                return err_set(e, ERR_LIMIT, "more than %d parts of one flush", PART_FLUSH_MAX);
            if (!(pl = vec_push(&ret->parts)))
                return err_nomem(e);
            *pl = (struct part_plan){.from = from, .to = to, .first = i};
            bytes = 0;
        }
        bytes += more;
        pl->end = i + 1;
    }
    return true;
}

/* By the UTC days that have rows, the last of them open-ended beyond PART_FLUSH_DAYS. */
static bool plan_days(const struct writer *w, struct plan *ret, struct err *e)
{
    int64_t at = INT64_MIN;
    for (int day = 1;; day++) {
        int64_t first = INT64_MAX, ts, next;
        bool any = false;
        for (size_t i = 0; i < w->n_streams; i++)
            if (first_from(&w->streams[i], at, &ts) && ts <= first) {
                first = ts;
                any = true;
            }
        if (!any)
            return true;
        int64_t number = first / DAY_NS - (first % DAY_NS < 0);
        if (day == PART_FLUSH_DAYS || __builtin_mul_overflow(number + 1, DAY_NS, &next))
            return plan_streams(w, first, INT64_MAX, ret, e);
        if (!plan_streams(w, first, next - 1, ret, e))
            return false;
        at = next;
    }
}

static void writer_done(struct writer *w)
{
    struct buf *all[] = {&w->times, &w->ords, &w->lengths, &w->lines, &w->meta_raw, &w->file};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_done(all[i]);
    free(w->rows);
    free(w->keys);
    free(w->spare);
    free(w->streams);
    page_writer_free(w->pages);
    meta_writer_free(w->meta);
    vec_done(&w->blocks);
    vec_done(&w->table);
    vec_done(&w->block_ts);
    dedup_done(&w->seen);
}

static bool write_plan(struct writer *w, int dirfd, const struct plan *plan, uint64_t next_id, struct parts_written *ret,
                       struct err *e)
{
    if (!vec_reserve(&ret->v, ret->v.n + plan->parts.n))
        return err_nomem(e);
    for (size_t i = 0; i < plan->parts.n; i++) {
        if (!part_make(w, dirfd, next_id + i, &plan->parts.at[i], (uint16_t)i, (uint16_t)plan->parts.n, e))
            return false;
        ret->v.at[ret->v.n++] = (struct part_written){next_id + i, w->duplicates};
    }
    return io_sync_dir(dirfd, "parts", e);
}

bool part_write(int dirfd, const struct part_flush *f, uint64_t *next_id, struct parts_written *ret, struct err *e)
{
    struct writer w = {.f = f, .fd = -1, .pages = page_writer_new(), .meta = meta_writer_new()};
    struct plan plan = {0};
    size_t before = ret->v.n;
    bool ok = (w.pages && w.meta) || err_nomem(e);
    ok = ok && collect(&w, e) && place_rows(&w, e) && plan_days(&w, &plan, e) &&
         write_plan(&w, dirfd, &plan, *next_id, ret, e);
    writer_done(&w);
    for (; !ok && ret->v.n > before; ret->v.n--) {
        char name[32];
        struct err ignored;
        part_name(ret->v.at[ret->v.n - 1].id, name);
        (void)!io_unlinkat(dirfd, name, &ignored); /* recovery removes what nobody lists */
    }
    *next_id += plan.parts.n; /* also after a failure: a name is never used twice */
    vec_done(&plan.parts);
    return ok ? true : err_ctx(e, "cannot write a part");
}

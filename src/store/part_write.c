/* part_write.c - see part_write.h: the file around the blocks. */
#include "store/part_write.h"
#include "base/base.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include "base/varint.h"
#include "store/block_write.h"
#include "store/part_format.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

enum { WRITE_BYTES = 4 << 20 };

struct part_writer {
    int dirfd; /* borrowed */
    int fd;
    char name[32], temp[40];
    struct page_writer *pages;
    struct block_writer *block;
    struct buf file;  /* what is not written yet */
    uint64_t file_at; /* where `file` begins */
    VEC(struct part_block) blocks;
    VEC(struct part_stream) table;
    struct part_writer_options o;
    uint64_t synced; /* bytes of the file */
    bool finished;
};

void part_name(uint64_t id, char to[static 32])
{
    snprintf(to, 32, "%016" PRIx64 ".part", id);
}

static void put_sv(struct buf *b, sv s)
{
    buf_varint(b, s.n);
    buf_sv(b, s);
}

static void file_begin(struct part_writer *w)
{
    uint8_t h[PART_HEAD] = {0};
    memcpy(h, PART_MAGIC, 8);
    put_le16(h + 8, PART_MAJOR);
    put_le16(h + 10, PART_MINOR);
    put_le32(h + 12, PART_FEATURE_COLUMNS);
    put_le64(h + 16, rand_u64());
    put_le64(h + 24, rand_u64());
    snprintf((char *)h + 32, 24, "weir %s", weir_version_text());
    put_le32(h + 60, crc32c(0, h, 60));
    buf_put(&w->file, h, sizeof h);
}

static bool file_drain(struct part_writer *w, size_t keep_below, struct err *e)
{
    if (w->file.n <= keep_below)
        return true;
    if (!io_write_all(w->fd, buf_view(&w->file), w->temp, e))
        return false;
    w->file_at += w->file.n;
    buf_reset(&w->file);
    if (!w->o.sync_every || w->file_at - w->synced < w->o.sync_every)
        return true;
    if (!io_datasync(w->fd, w->temp, e))
        return false;
    if (w->o.drop_cache)
        (void)!posix_fadvise(w->fd, (off_t)w->synced, (off_t)(w->file_at - w->synced), POSIX_FADV_DONTNEED);
    w->synced = w->file_at;
    return true;
}

bool part_writer_open(int dirfd, uint64_t id, const struct part_writer_options *o, struct part_writer **ret, struct err *e)
{
    struct part_writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(e);
    w->dirfd = dirfd;
    w->fd = -1;
    w->o = *o;
    part_name(id, w->name);
    snprintf(w->temp, sizeof w->temp, "%s.tmp", w->name);
    w->pages = page_writer_new(o->compression);
    w->block = w->pages ? block_writer_new(w->pages) : NULL;
    bool ok = w->block ? io_openat(dirfd, w->temp, O_WRONLY | O_CREAT | O_TRUNC, 0640, &w->fd, e) : err_nomem(e);
    ok = ok && (!o->reserve || io_allocate(w->fd, o->reserve, w->temp, e));
    if (!ok) {
        part_writer_close(w);
        return false;
    }
    file_begin(w);
    *ret = w;
    return true;
}

void part_writer_close(struct part_writer *w)
{
    if (!w)
        return;
    struct err ignored;
    if (w->fd >= 0 && !w->finished)
        (void)!io_unlinkat(w->dirfd, w->temp, &ignored); /* recovery removes it otherwise */
    io_close(w->fd);
    block_writer_free(w->block);
    page_writer_free(w->pages);
    buf_done(&w->file);
    vec_done(&w->blocks);
    vec_done(&w->table);
    free(w);
}

uint32_t part_writer_blocks(const struct part_writer *w)
{
    return (uint32_t)w->blocks.n;
}

uint64_t part_writer_bytes(const struct part_writer *w)
{
    return w->file_at + w->file.n;
}

static bool block_end(struct part_writer *w, struct err *e)
{
    if (!block_writer_rows(w->block))
        return true;
    struct part_block *room = vec_push(&w->blocks);
    if (!room)
        return err_nomem(e);
    uint64_t offset = part_writer_bytes(w);
    if (!block_writer_end(w->block, &w->file, room, e))
        return false;
    room->offset = offset;
    return file_drain(w, WRITE_BYTES, e);
}

bool part_writer_stream(struct part_writer *w, struct stream *st, uint64_t bytes, struct err *e)
{
    if (bytes > PART_BLOCK_BYTES / 8 && !block_end(w, e))
        return false;
    struct part_stream *room = vec_push(&w->table);
    if (!room)
        return err_nomem(e);
    *room = (struct part_stream){.st = st, .min_ts = INT64_MAX, .max_ts = INT64_MIN};
    return true;
}

bool part_writer_row(struct part_writer *w, const struct chunk *c, uint32_t row, struct err *e)
{
    struct part_stream *ps = &w->table.at[w->table.n - 1];
    int64_t ts = c->ts[row];
    bool full;
    if (!block_writer_row(w->block, (uint32_t)w->table.n - 1, c, row, &full, e))
        return false;
    ps->rows++;
    ps->bytes += chunk_line(c, row).n;
    ps->min_ts = MIN(ps->min_ts, ts);
    ps->max_ts = MAX(ps->max_ts, ts);
    return !full || block_end(w, e);
}

bool part_writer_block(struct part_writer *w, const struct part_block *b, sv stored, struct err *e)
{
    ASSERT(b->first == b->last);
    if (!block_end(w, e))
        return false;
    struct part_stream *ps = &w->table.at[w->table.n - 1];
    struct part_block *room = vec_push(&w->blocks);
    if (!room)
        return err_nomem(e);
    *room = *b;
    room->offset = part_writer_bytes(w);
    room->first = room->last = (uint32_t)w->table.n - 1;
    ps->rows += b->rows;
    ps->bytes += b->line_bytes;
    ps->min_ts = MIN(ps->min_ts, b->min_ts);
    ps->max_ts = MAX(ps->max_ts, b->max_ts);
    buf_sv(&w->file, stored);
    return buf_ok(&w->file, e) && file_drain(w, WRITE_BYTES, e);
}

static void encode_streams(const struct part_writer *w, struct buf *out)
{
    const struct tenant *last = NULL;
    for (size_t i = 0; i < w->table.n; i++) {
        const struct part_stream *ps = &w->table.at[i];
        buf_char(out, ps->st->tenant == last ? 0 : 1);
        if (ps->st->tenant != last)
            put_sv(out, tenant_name(ps->st->tenant));
        last = ps->st->tenant;
        buf_varint(out, ps->st->labels.n);
        for (size_t k = 0; k < ps->st->labels.n; k++) {
            put_sv(out, ps->st->labels.at[k].name);
            put_sv(out, ps->st->labels.at[k].value);
        }
        buf_varint(out, ps->rows);
        buf_varint(out, ps->bytes);
        buf_varint(out, zigzag(ps->min_ts));
        buf_varint(out, (uint64_t)ps->max_ts - (uint64_t)ps->min_ts);
    }
}

static void encode_blocks(const struct part_writer *w, struct buf *out)
{
    for (size_t i = 0; i < w->blocks.n; i++) {
        const struct part_block *b = &w->blocks.at[i];
        for (int c = 0; c < COL_COUNT; c++)
            if (c != COL_LINE)
                buf_varint(out, b->stored[c]);
        buf_varint(out, b->rows);
        buf_varint(out, b->line_bytes);
        buf_varint(out, b->first);
        buf_varint(out, b->last - b->first);
        buf_varint(out, zigzag(b->min_ts));
        buf_varint(out, (uint64_t)b->max_ts - (uint64_t)b->min_ts);
    }
}

static bool table_out(struct part_writer *w, size_t n, const struct buf *raw, uint8_t section[static 16], struct err *e)
{
    uint32_t stored;
    put_le64(section, part_writer_bytes(w));
    if (!buf_ok(raw, e) || !page_write(w->pages, PAGE_TABLE, (uint32_t)n, buf_view(raw), &w->file, &stored, e))
        return false;
    put_le32(section + 8, stored);
    put_le32(section + 12, (uint32_t)n);
    return true;
}

static void put_totals(const struct part_writer *w, uint8_t f[static PART_FOOTER])
{
    uint64_t rows = 0, bytes = 0;
    int64_t min_ts = INT64_MAX, max_ts = INT64_MIN;
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
}

static void put_inputs(const struct part_tail *tail, struct buf *out)
{
    uint8_t h[8] = {PART_ITEM_INPUTS};
    size_t n = 8 * tail->n_inputs;
    ASSERT(tail->n_inputs <= PART_INPUTS_MAX);
    if (!n)
        return;
    h[1] = (uint8_t)n;
    h[2] = (uint8_t)(n >> 8);
    h[3] = (uint8_t)(n >> 16);
    buf_put(out, h, PART_ITEM_HEAD);
    for (size_t i = 0; i < tail->n_inputs; i++) {
        put_le64(h, tail->inputs[i]);
        buf_put(out, h, 8);
    }
}

static bool file_end(struct part_writer *w, const struct part_tail *tail, struct err *e)
{
    SCOPED(buf_done) struct buf raw = {0};
    uint8_t f[PART_FOOTER] = {0}, t[PART_TRAILER] = {0};
    encode_streams(w, &raw);
    if (!table_out(w, w->table.n, &raw, f, e))
        return false;
    buf_reset(&raw);
    encode_blocks(w, &raw);
    if (!table_out(w, w->blocks.n, &raw, f + 16, e))
        return false;
    put_totals(w, f);
    put_le64(f + 64, tail->first_seq);
    put_le64(f + 72, tail->end_seq);
    put_le16(f + 80, tail->index);
    put_le16(f + 82, tail->of);
    put_le32(f + 84, tail->level);
    put_le64(f + 88, tail->deletes_applied);
    put_le64(f + 96, tail->duplicates);
    buf_reset(&raw);
    buf_put(&raw, f, sizeof f);
    put_inputs(tail, &raw);
    if (!buf_ok(&raw, e))
        return false;
    put_le32(t, (uint32_t)raw.n);
    put_le16(t + 8, PART_MAJOR);
    put_le16(t + 10, PART_MINOR);
    put_le32(t + 12, PART_FEATURE_COLUMNS);
    put_le64(t + 16, part_writer_bytes(w) + raw.n + sizeof t);
    memcpy(t + 24, PART_MAGIC, 8);
    put_le32(t + 4, crc32c(crc32c(crc32c(0, raw.p, raw.n), t, 4), t + 8, sizeof t - 8));
    buf_sv(&w->file, buf_view(&raw));
    buf_put(&w->file, t, sizeof t);
    return buf_ok(&w->file, e) && file_drain(w, 0, e) && (!w->o.reserve || io_truncate(w->fd, w->file_at, w->temp, e)) &&
           io_datasync(w->fd, w->temp, e);
}

bool part_writer_finish(struct part_writer *w, const struct part_tail *tail, struct err *e)
{
    if (!block_end(w, e) || !file_end(w, tail, e) || !io_renameat(w->dirfd, w->temp, w->name, e))
        return false;
    w->finished = true;
    return true;
}

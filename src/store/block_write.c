/* block_write.c - see block_write.h: columns of the block at hand, and how each becomes a page. */
#include "store/block_write.h"
#include "base/varint.h"
#include "store/part_meta.h"

struct block_writer {
    struct page_writer *pages; /* borrowed */
    struct meta_writer *meta;
    struct buf times, ords, lengths, lines, meta_raw; /* columns */
    VEC(int64_t) ts;
    uint32_t ord_run, ord_value;
    struct part_block block;
};

struct block_writer *block_writer_new(struct page_writer *pages)
{
    struct block_writer *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->pages = pages;
    if (!(b->meta = meta_writer_new())) {
        free(b);
        return NULL;
    }
    return b;
}

void block_writer_free(struct block_writer *b)
{
    if (!b)
        return;
    struct buf *all[] = {&b->times, &b->ords, &b->lengths, &b->lines, &b->meta_raw};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_done(all[i]);
    meta_writer_free(b->meta);
    vec_done(&b->ts);
    free(b);
}

static void columns_reset(struct block_writer *b)
{
    struct buf *columns[] = {&b->times, &b->ords, &b->lengths, &b->lines, &b->meta_raw};
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        buf_reset(columns[i]);
    b->ts.n = 0;
    b->ord_run = 0;
    b->block = (struct part_block){0};
}

uint32_t block_writer_rows(const struct block_writer *b)
{
    return b->block.rows;
}

static void put_number(struct buf *b, uint64_t v)
{
    uint8_t bytes[VARINT_MAX];
    buf_put(b, bytes, varint_put(bytes, v));
}

static bool page_out(struct block_writer *b, enum page_encoding enc, const struct buf *raw, struct buf *out,
                     enum part_column col, struct err *e)
{
    return buf_ok(raw, e) && page_write(b->pages, enc, b->block.rows, buf_view(raw), out, &b->block.stored[col], e);
}

/* Times as differences in the coarsest of 1, 10^3, 10^6, 10^9 ns that divides them all: clocks of ms cost no zeros. */
static void encode_times(struct block_writer *b)
{
    static const int64_t unit[] = {1, 1000, 1000000, 1000000000};
    int k = 3;
    for (size_t i = 0; k > 0 && i < b->ts.n; i++)
        while (k > 0 && b->ts.at[i] % unit[k])
            k--;
    buf_char(&b->times, (char)(k * 3));
    int64_t last = 0;
    for (size_t i = 0; i < b->ts.n; i++) {
        int64_t t = b->ts.at[i] / unit[k];
        put_number(&b->times, zigzag((int64_t)((uint64_t)t - (uint64_t)last)));
        last = t;
    }
}

static void end_ord_run(struct block_writer *b)
{
    if (!b->ord_run)
        return;
    put_number(&b->ords, b->ord_value);
    put_number(&b->ords, b->ord_run);
    b->ord_run = 0;
}

bool block_writer_end(struct block_writer *b, struct buf *out, struct part_block *ret, struct err *e)
{
    ASSERT(b->block.rows);
    end_ord_run(b);
    encode_times(b);
    if (!meta_writer_take(b->meta, &b->meta_raw, e) || !page_out(b, PAGE_TIMES, &b->times, out, COL_TIME, e) ||
        !page_out(b, PAGE_RLE, &b->ords, out, COL_STREAM, e) ||
        !page_out(b, PAGE_VARINT, &b->lengths, out, COL_LENGTH, e) ||
        !page_out(b, PAGE_BYTES, &b->lines, out, COL_LINE, e) || !page_out(b, PAGE_META, &b->meta_raw, out, COL_META, e))
        return false;
    *ret = b->block;
    columns_reset(b);
    return true;
}

bool block_writer_row(struct block_writer *b, uint32_t ordinal, const struct chunk *c, uint32_t row, bool *ret_full,
                      struct err *e)
{
    struct part_block *pb = &b->block;
    sv line = chunk_line(c, row);
    int64_t ts = c->ts[row], *room;
    if (!pb->rows) {
        pb->first = ordinal;
        pb->min_ts = pb->max_ts = ts;
    }
    if (b->ord_run && b->ord_value != ordinal - pb->first)
        end_ord_run(b);
    b->ord_value = ordinal - pb->first;
    b->ord_run++;
    pb->last = ordinal;
    pb->rows++;
    pb->line_bytes += (uint32_t)line.n;
    pb->min_ts = MIN(pb->min_ts, ts);
    pb->max_ts = MAX(pb->max_ts, ts);
    put_number(&b->lengths, line.n);
    buf_sv(&b->lines, line);
    if (!(room = vec_push(&b->ts)) || !meta_writer_row(b->meta, c, row))
        return err_nomem(e);
    *room = ts;
    *ret_full = pb->rows >= PART_BLOCK_ROWS || pb->line_bytes >= PART_BLOCK_BYTES || meta_writer_full(b->meta);
    return true;
}

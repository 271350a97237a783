/* block_write.c - see block_write.h. Rows are only noted as they come; the columns are made when the block ends. */
#include "store/block_write.h"
#include "store/ints.h"
#include "store/keys.h"
#include "store/lines.h"
#include "store/part_meta.h"

enum { BLOCK_META_BYTES = 16 << 20 }; /* of metadata, after which a block ends */

struct block_writer {
    struct page_writer *pages; /* borrowed */
    struct lines_encoder *lines;
    struct keys_writer *keys;
    struct meta_writer *tail;
    VEC(struct row_ref) rows;
    VEC(int64_t) ts;
    VEC(uint64_t) numbers;
    VEC(uint32_t) line_end, ids;
    struct buf times, ords, lengths, text, meta, sieve; /* columns */
    uint32_t ord_run, ord_value;
    uint64_t meta_bytes;
    struct part_block block;
};

struct block_writer *block_writer_new(struct page_writer *pages)
{
    struct block_writer *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->pages = pages;
    b->lines = lines_encoder_new();
    b->keys = keys_writer_new();
    b->tail = meta_writer_new();
    if (!b->lines || !b->keys || !b->tail) {
        block_writer_free(b);
        return NULL;
    }
    return b;
}

void block_writer_free(struct block_writer *b)
{
    if (!b)
        return;
    struct buf *all[] = {&b->times, &b->ords, &b->lengths, &b->text, &b->meta, &b->sieve};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_done(all[i]);
    lines_encoder_free(b->lines);
    keys_writer_free(b->keys);
    meta_writer_free(b->tail);
    vec_done(&b->rows);
    vec_done(&b->ts);
    vec_done(&b->numbers);
    vec_done(&b->line_end);
    vec_done(&b->ids);
    free(b);
}

static void columns_reset(struct block_writer *b)
{
    struct buf *columns[] = {&b->times, &b->ords, &b->lengths, &b->text, &b->meta, &b->sieve};
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        buf_reset(columns[i]);
    b->rows.n = b->ts.n = b->line_end.n = 0;
    b->ord_run = 0;
    b->meta_bytes = 0;
    b->block = (struct part_block){0};
}

uint32_t block_writer_rows(const struct block_writer *b)
{
    return b->block.rows;
}

static void end_ord_run(struct block_writer *b)
{
    if (!b->ord_run)
        return;
    buf_varint(&b->ords, b->ord_value);
    buf_varint(&b->ords, b->ord_run);
    b->ord_run = 0;
}

static bool page_out(struct block_writer *b, enum page_encoding enc, const struct buf *raw, struct buf *out,
                     enum part_column col, struct err *e)
{
    b->block.stored[col] = 0;
    if (!raw->n)
        return buf_ok(raw, e);
    return buf_ok(raw, e) && page_write(b->pages, enc, b->block.rows, buf_view(raw), out, &b->block.stored[col], e);
}

static bool lengths_out(struct block_writer *b, struct buf *out, struct err *e)
{
    if (!vec_reserve(&b->numbers, b->rows.n))
        return err_nomem(e);
    for (size_t i = 0; i < b->rows.n; i++)
        b->numbers.at[i] = b->line_end.at[i] - (i ? b->line_end.at[i - 1] : 0);
    ints_put(&b->lengths, b->numbers.at, b->rows.n);
    return page_out(b, PAGE_INTS, &b->lengths, out, COL_LENGTH, e);
}

static bool lines_out(struct block_writer *b, struct buf *out, const struct sieve_keys **ret, struct err *e)
{
    const struct lines_encoded *x = buf_ok(&b->text, e) ? lines_encode(b->lines, b->text.p, b->line_end.at, b->block.rows) : NULL;
    if (!x)
        return b->text.failed ? false : err_nomem(e);
    *ret = &x->tokens;
    return page_out(b, PAGE_DICT, &x->dict, out, COL_DICT, e) && page_out(b, PAGE_IDS, &x->ids, out, COL_IDS, e) &&
           page_out(b, PAGE_SLOTS, &x->slots, out, COL_SLOTS, e) && page_out(b, PAGE_TEXT, &x->text, out, COL_TEXT, e);
}

/* Metadata that has no column. */
static bool tail_out(struct block_writer *b, struct buf *out, struct err *e)
{
    for (size_t i = 0; i < b->rows.n; i++) {
        uint32_t n;
        (void)chunk_meta(b->rows.at[i].c, b->rows.at[i].row, &n);
        if (!vec_reserve(&b->ids, n))
            return err_nomem(e);
        size_t left = keys_tail(b->keys, &b->rows.at[i], b->ids.at);
        if (!meta_writer_row(b->tail, b->rows.at[i].c, b->ids.at, left))
            return err_nomem(e);
    }
    return meta_writer_take(b->tail, &b->meta, e) && page_out(b, PAGE_META, &b->meta, out, COL_META, e);
}

static bool sieve_out(struct block_writer *b, struct buf *out, const struct sieve_keys *const keys[static 2], struct err *e)
{
    sieve_put(&b->sieve, keys, 2);
    return page_out(b, PAGE_SIEVE, &b->sieve, out, COL_SIEVE, e);
}

static bool keys_out(struct block_writer *b, struct buf *out, const struct sieve_keys *tokens, struct err *e)
{
    const struct keys_written *k = keys_write(b->keys, b->rows.at, b->block.rows);
    if (!k)
        return err_nomem(e);
    return page_out(b, PAGE_KEYS, &k->keys, out, COL_KEYS, e) && page_out(b, PAGE_KEY_IDS, &k->ids, out, COL_KEY_IDS, e) &&
           page_out(b, PAGE_KEY_WIDE, &k->wide, out, COL_KEY_WIDE, e) &&
           sieve_out(b, out, (const struct sieve_keys *const[]){tokens, &k->values}, e) && (!k->tail || tail_out(b, out, e));
}

bool block_writer_end(struct block_writer *b, struct buf *out, struct part_block *ret, struct err *e)
{
    ASSERT(b->block.rows);
    const struct sieve_keys *tokens = NULL;
    end_ord_run(b);
    times_put(&b->times, b->ts.at, b->ts.n);
    if (!page_out(b, PAGE_STEPS, &b->times, out, COL_TIME, e) || !page_out(b, PAGE_RLE, &b->ords, out, COL_STREAM, e) ||
        !lengths_out(b, out, e) || !lines_out(b, out, &tokens, e) || !keys_out(b, out, tokens, e))
        return false;
    *ret = b->block;
    columns_reset(b);
    return true;
}

static uint64_t meta_bytes(const struct chunk *c, uint32_t row)
{
    uint32_t n;
    const uint32_t *ids = chunk_meta(c, row, &n);
    uint64_t bytes = 8 * (uint64_t)n;
    for (uint32_t i = 0; i < n; i++)
        bytes += c->pairs[ids[i]].value_n;
    return bytes;
}

bool block_writer_row(struct block_writer *b, uint32_t ordinal, const struct chunk *c, uint32_t row, bool *ret_full,
                      struct err *e)
{
    struct part_block *pb = &b->block;
    sv line = chunk_line(c, row);
    int64_t ts = c->ts[row];
    size_t n = b->rows.n;
    if (!vec_reserve(&b->rows, n + 1) || !vec_reserve(&b->ts, n + 1) || !vec_reserve(&b->line_end, n + 1))
        return err_nomem(e);
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
    buf_sv(&b->text, line);
    b->rows.at[n] = (struct row_ref){c, row};
    b->ts.at[n] = ts;
    b->line_end.at[n] = pb->line_bytes;
    b->rows.n = b->ts.n = b->line_end.n = n + 1;
    b->meta_bytes += meta_bytes(c, row);
    *ret_full = pb->rows >= PART_BLOCK_ROWS || pb->line_bytes >= PART_BLOCK_BYTES || b->meta_bytes >= BLOCK_META_BYTES;
    return true;
}

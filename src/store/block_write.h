/* block_write.h - the bytes of a part's blocks: takes rows one by one, says when the block should end, gives its pages. What a part
 * is around its blocks (streams, tables, footer, file) is part_write.h's. */
#pragma once
#include "store/part.h"

struct block_writer; /* reused from block to block; after a failure it is only good for block_writer_free() */
/* `pages` is borrowed. NULL: out of memory. */
struct block_writer *block_writer_new(struct page_writer *pages);
void block_writer_free(struct block_writer *b);
/* The next row of the block: row `row` of `c`, whose metadata must live until the block has ended; the line is copied. `ordinal` is its stream's; ordinals do
 * not fall. *ret_full: the block should end behind it. */
MUST_USE bool block_writer_row(struct block_writer *b, uint32_t ordinal, const struct chunk *c, uint32_t row, bool *ret_full,
                               struct err *e);
uint32_t block_writer_rows(const struct block_writer *b); /* of the block at hand */
/* Appends the block's pages to `out`, fills *ret (but for its offset) and begins the next block. There must be rows. */
MUST_USE bool block_writer_end(struct block_writer *b, struct buf *out, struct part_block *ret, struct err *e);

/* part_meta.h - structured metadata of a block as one page, where it has no columns (keys.h). Its raw bytes:
 *   names   count, then length and bytes of each, sorted
 *   shapes  count, then for each: how many names, their indexes as gaps (the first from 0)
 *   rows    pairs of shape index and how many rows have it, until all rows are told
 *   values  for each name: how many distinct values | bytes of its ids | ids, one per row that has the name: 0 the next value
 *           not seen before, else 1 + its index | lengths of the values | their bytes
 * All numbers are varints. Ids by first appearance turn both a constant and a value new in every row (a trace id) into
 * long runs of one byte, which zstd takes for nothing. */
#pragma once
#include "store/chunk.h"

struct meta_writer;
struct meta_writer *meta_writer_new(void);
void meta_writer_free(struct meta_writer *w);
/* The next row: those of row's pairs of `c`, which must live until meta_writer_take(). False: out of memory. */
MUST_USE bool meta_writer_row(struct meta_writer *w, const struct chunk *c, const uint32_t *ids, size_t n);
/* Writes the page's raw bytes and empties the writer. */
MUST_USE bool meta_writer_take(struct meta_writer *w, struct buf *out, struct err *e);

/* Fills c->meta_end, meta, pairs, strings for its c->n rows. ERR_CORRUPT, ERR_NOMEM; then *c is as before. */
MUST_USE bool meta_read(sv raw, struct chunk *c, struct err *e);

/* part_write.h - making a part, row by row in the part's order (part.h (2)): what a flush and a merge both end in. Memory is a block
 * and the tables, whatever the size of the part.
 * Publication so far as it is done here: temporary name, write, datasync, rename. The caller syncs the directory and tells the
 * catalog; a crash in between leaves a file nobody lists, which recovery removes. Blocks' bytes: block_write.h. */
#pragma once
#include "store/part.h"

struct part_writer_options {
    int compression;     /* level of zstd */
    uint64_t reserve;    /* bytes of disk to ask for at once, so that a full one shows before the work is done */
    uint64_t sync_every; /* so many bytes are synced behind each other, for a finish that stalls nobody's fsync; 0: at the end */
    bool drop_cache;     /* and need not stay in memory */
};

struct part_writer;
/* Begins part `id` in `dirfd` (borrowed), under a temporary name. */
MUST_USE bool part_writer_open(int dirfd, uint64_t id, const struct part_writer_options *o, struct part_writer **ret,
                               struct err *e);
/* The next stream; at least one row must follow. `bytes`: of its lines, about; a fat stream begins a block of its own. */
MUST_USE bool part_writer_stream(struct part_writer *w, struct stream *st, uint64_t bytes, struct err *e);
/* Its next row: row `row` of `c`. That no two are equal is the caller's business. The metadata of `c`
 * must live until part_writer_blocks() is more than right after this call. */
MUST_USE bool part_writer_row(struct part_writer *w, const struct chunk *c, uint32_t row, struct err *e);
/* The stream's next rows: a block of a part of the format that is written now, as it is stored there, which has no other stream. The
 * block at hand ends before it. */
MUST_USE bool part_writer_block(struct part_writer *w, const struct part_block *b, sv stored, struct err *e);
uint32_t part_writer_blocks(const struct part_writer *w); /* that are complete */
uint64_t part_writer_bytes(const struct part_writer *w);  /* of the file so far */

struct part_tail { /* what the footer says beside the rows */
    uint64_t first_seq, end_seq, duplicates;
    uint64_t deletes_applied; /* deletes.h */
    uint16_t index, of;
    uint32_t level;
    const uint64_t *inputs; /* ids of the parts it stands for, at most PART_INPUTS_MAX */
    size_t n_inputs;
};
/* Afterwards the file is complete, synced, and has its name. There must be rows. */
MUST_USE bool part_writer_finish(struct part_writer *w, const struct part_tail *tail, struct err *e);
/* Frees it; a part that is not finished is removed. NULL is fine. */
void part_writer_close(struct part_writer *w);
DEFINE_SCOPED(struct part_writer *, part_writer_close)

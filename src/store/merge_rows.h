/* merge_rows.h - several parts into one: the rows, and nothing of the store. Files go from directory to directory stream by stream
 * and block by block; memory is a few blocks for each input, and the tables.
 * (1) Inputs are told in part_order(); rows of one stream and time come out in the order they were accepted in.
 * (2) Rows equal in stream, time, line and metadata come out once: the one accepted first.
 * (3) Every row of the inputs comes out, is a duplicate, is past its stream's cutoff, or is deleted: the counts are checked against each other.
 *     A damaged block fails the merge; it is no reason to lose what can be read. */
#pragma once
#include "store/deletes.h"
#include "store/part_write.h"

enum { MERGE_INPUTS_MAX = 16 };

struct merge_job {
    int dirfd;
    struct part *const *in; /* borrowed */
    size_t n;
    uint32_t level;         /* of what comes out */
    _Atomic uint64_t *next_id;
    struct part_writer_options writer;
    size_t table_max;       /* as in flush_rows.h; 0: PART_TABLE_BYTES */
    uint64_t memory_max;    /* bytes of blocks held at once, beyond which the merge fails with ERR_LIMIT */
    /* Rows of the stream before this time are left out; INT64_MIN: none. NULL: no rows are. */
    int64_t (*cutoff)(void *ctx, const struct stream *st);
    const struct deletes *deletes; /* borrowed; rows they mean are left out; NULL: none are */
    /* Called about once a block with the bytes read and written since. False (with *e) ends the merge. NULL: nobody asks. */
    bool (*tick)(void *ctx, uint64_t bytes, struct err *e);
    void *ctx;
};

struct merge_result {
    VEC(uint64_t) ids; /* parts written; none when no row is left */
    uint64_t rows_in, rows_out, duplicates, expired, deleted;
    uint64_t rows_copied;         /* of those out: blocks that went through as they were */
    uint64_t bytes_in, bytes_out; /* of files */
    uint64_t memory_peak;         /* of blocks */
};
void merge_result_done(struct merge_result *r);

/* The files are complete, synced and named when this returns; nothing lists them yet. On failure none is left. ERR_CORRUPT: an
 * input is damaged. ERR_LIMIT: blocks, or rows of one stream and time, for which memory_max has no room. */
MUST_USE bool merge_rows(const struct merge_job *job, struct merge_result *ret, struct err *e);

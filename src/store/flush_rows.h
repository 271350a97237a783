/* flush_rows.h - the rows of a flush, put in order and written as parts. */
#pragma once
#include "store/part.h"

/* The rows of these chunks, as one part per UTC day (a flush of very many days lumps the last ones together), or
 * several where the labels of a day's streams are too much for one table. The files are complete, synced and named when this
 * returns; nothing lists them yet. ids are taken from *next_id. On failure files already made are removed. */
struct part_flush {
    struct chunk *const *chunks;
    size_t n_chunks;
    uint64_t first_seq, end_seq;
    int compression;  /* level of zstd; 0: 1 */
    size_t table_max; /* bytes of streams in a part behind which another begins; 0: PART_TABLE_BYTES */
};
struct part_written {
    uint64_t id, duplicates;
};
struct parts_written {
    VEC(struct part_written) v;
};
/* Adds to *ret (vec_done() is the caller's). */
MUST_USE bool part_write(int dirfd, const struct part_flush *f, _Atomic uint64_t *next_id, struct parts_written *ret, struct err *e);

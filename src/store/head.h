/* head.h - the rows that are in no part yet. Two lists of chunks: `active` takes what is pushed, `sealed` is being written.
 * (1) One thread adds: the log's committer (before that, recovery). So rows are in the order of the log, and at any moment
 *     the head holds exactly the frames below end_seq that no part covers.
 * (2) Adding cannot fail once the log has the request: chunks come ready-made, room for them is made before.
 * (3) Small chunks are joined with their neighbours, so that single-record pushes do not leave a list of single rows. */
#pragma once
#include "store/chunk.h"

struct chunk_list {
    VEC(struct chunk *) chunks;
    uint64_t rows, line_bytes;
    size_t memory;
    int64_t oldest_mono_ns; /* when its first chunk came; 0: empty */
    uint64_t first_seq, end_seq; /* log frames [first, end) and no others are here */
};

struct head {
    struct lock mu;           /* also guards the store's list of parts, so that a scan sees one moment */
    struct chunk_list active; /* under mu */
    struct chunk_list sealed; /* under mu; changed by the flusher alone, which may read it without */
    size_t reserved;          /* under mu: places promised in `active` */
    uint64_t seals;           /* under mu */
    struct chunk_builder joiner; /* the adding thread's */
};

void head_init(struct head *h);
void head_done(struct head *h);
/* The frame the first rows will come from; before any are added. */
void head_start(struct head *h, uint64_t next_seq);
/* Promises places for `n` more chunks. Any thread. False: out of memory. */
MUST_USE bool head_reserve(struct head *h, size_t n);
void head_unreserve(struct head *h, size_t n);
/* Takes over the references; their places were reserved. `seq` is the frame they come from. The adding thread only. */
void head_add(struct head *h, struct chunk **chunks, size_t n, uint64_t seq, int64_t now_mono_ns);
/* Moves `active` into `sealed`, which is empty. False: out of memory. The flusher only; mu not held. */
MUST_USE bool head_seal(struct head *h);
/* Empties `sealed`; under mu. The caller unrefs what *ret holds, without the lock. */
void head_drop_sealed(struct head *h, struct chunk_list *ret);
void chunk_list_done(struct chunk_list *l);

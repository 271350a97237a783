/* queue.h - encoded records waiting to be exported: a ring of frames in one block of memory, bounded in records and in
 * bytes. Not thread-safe: its owner has a lock. Pages are touched only as far as the queue ever fills. */
#pragma once
#include "base/err.h"
#include "base/sv.h"

struct weir_logger;
struct queue {
    uint8_t *mem;
    size_t cap, head, tail, used; /* bytes, multiples of the frame header's size */
    uint32_t n, max_n;
};
struct queue_frame {
    struct weir_logger *logger;
    sv record;
};

MUST_USE bool queue_init(struct queue *q, uint32_t max_records, uint64_t max_bytes, struct err *e);
void queue_done(struct queue *q);
void queue_clear(struct queue *q);
/* Longest record it takes. */
size_t queue_max_record(const struct queue *q);
/* False: full; drop the oldest and try again. */
MUST_USE bool queue_push(struct queue *q, struct weir_logger *logger, sv record);
void queue_drop(struct queue *q); /* the oldest; the queue is not empty */
/* Walks from the oldest on, *at starting at SIZE_MAX; false at the end. */
bool queue_next(const struct queue *q, size_t *at, struct queue_frame *ret);

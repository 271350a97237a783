/* queue.h - the sending queue of one exporter: a spool of requests on disk, and the merging of what is read from it. */
#pragma once
#include "base/metrics.h"
#include "collector/plug.h"
#include "otlp/batch.h"

enum queue_sizer { SIZE_BYTES, SIZE_ITEMS, SIZE_REQUESTS };
struct queue_config {
    const char *id;  /* the exporter's, for messages */
    const char *dir; /* made when missing */
    enum queue_sizer sizer;
    uint64_t capacity; /* in units of the sizer */
    struct batching batching;
    unsigned n_takers; /* most batches out at a time */
};
struct queue;

/* Takes up what an earlier process left in `dir`. */
MUST_USE bool queue_open(const struct queue_config *cfg, struct queue **ret, struct err *e);
/* No taker may be inside any more. What was not finished stays for the next open. NULL is fine. */
void queue_close(struct queue *q);
/* Any thread; answers once the batch is on disk (on the spool's thread), or at once when it is refused: PUSH_RETRY when
 * full or the disk fails, PUSH_REJECTED when it could never fit. */
void queue_push(struct queue *q, struct batch *b, push_done_fn *done, void *ctx);

/* One or more requests of one tenant, joined. */
struct queue_part {
    size_t at, n; /* inside batch->bytes */
    uint32_t records;
};
struct queue_batch {
    struct batch *batch;
    struct queue_part *parts; /* the requests it was joined from */
    size_t n_parts;
    bool by_size;             /* else by timeout, or because nothing more waited */
    uint64_t first_seq, end_seq; /* private to queue.c, as what follows */
    uint64_t requests, items, bytes;
    unsigned slot;
};
/* Waits for the next batch; false after queue_stop(). The batch stays in the queue until queue_done(). Takers' threads. */
MUST_USE bool queue_take(struct queue *q, struct queue_batch *ret);
/* It was delivered or given up: it will not come again. */
void queue_done(struct queue *q, struct queue_batch *qb);
void queue_drop(struct queue *q, struct queue_batch *qb); /* not delivered: it stays on disk (only when stopping) */
void queue_stop(struct queue *q);

struct queue_stats {
    uint64_t requests, items, bytes; /* waiting, including what is out with takers */
    uint64_t size, capacity;         /* in units of the sizer */
    uint64_t damaged;                /* frames that could not be read, skipped */
};
void queue_stats(struct queue *q, struct queue_stats *ret);

/* The frame: 0 version u8 = 1 | 1 tenant length u8 | 2 zero u16 | 4 records u32 | 8 arrival i64 ns LE, then the tenant, then
 * the ExportLogsServiceRequest. Also the form of what lies in <data_dir>/rejected. */
#define QUEUE_HEADER 16
void queue_frame_header(const struct batch *b, uint8_t out[QUEUE_HEADER]);
struct queue_frame {
    sv tenant, bytes;
    uint32_t records;
    int64_t arrived_wall_ns;
};
MUST_USE bool queue_frame_read(sv frame, struct queue_frame *ret, struct err *e);

/* batch.h - what travels between stages: an immutable, ref-counted run of serialized ExportLogsServiceRequest bytes
 * (validated once, by the receiver), and the sink it is pushed into.
 * (1) Bytes never change after batch_new(): any thread may read them while it holds a reference.
 * (2) Two batches of one tenant join by concatenating their bytes (protobuf encoding guide).
 * (3) A sink answers each push exactly once, from any thread, possibly before push() returns. PUSH_SENT means: safe. */
#pragma once
#include "base/err.h"
#include "base/sv.h"
#include <stdatomic.h>

struct batch {
    _Atomic uint32_t refs;
    uint32_t n_records;
    int64_t arrived_wall_ns;
    sv tenant; /* points behind the bytes */
    sv bytes;
};

/* Copies bytes and tenant; one reference. NULL when out of memory. */
struct batch *batch_new(sv bytes, sv tenant, uint32_t n_records, int64_t arrived_wall_ns);
struct batch *batch_ref(struct batch *b);
void batch_unref(struct batch *b); /* NULL is fine */

enum push_code {
    PUSH_SENT,     /* safe downstream; n_rejected of the records were refused for good (partial success) */
    PUSH_RETRY,    /* not taken, the same batch may succeed later: UNAVAILABLE, 429, 503, full queue */
    PUSH_REJECTED, /* not taken, and never will be: malformed, too large, refused */
};
struct push_result {
    enum push_code code;
    int64_t retry_after_ms; /* what the peer asked for; -1 when it did not say */
    uint32_t n_rejected;    /* with PUSH_SENT */
    struct err err;         /* why, unless all went well */
};
typedef void push_done_fn(void *ctx, const struct push_result *r); /* r is valid during the call */

struct log_sink {
    /* Borrows `b` for the call: takes its own reference to keep it. */
    void (*push)(void *self, struct batch *b, push_done_fn *done, void *ctx);
    void *self;
};
static inline void sink_push(const struct log_sink *s, struct batch *b, push_done_fn *done, void *ctx)
{
    s->push(s->self, b, done, ctx);
}

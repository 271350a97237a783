/* buf.h - a growable run of bytes that we own.
 * Appending never has to be checked one by one: the first failure (no memory, or the cap) sticks, later appends are
 * ignored, and buf_ok() at the end says whether all went in. A zeroed struct is an empty buffer without a cap. */
#pragma once
#include "base/err.h"
#include "base/sv.h"

struct buf {
    char *p;
    size_t n, cap;
    size_t max;           /* most bytes it may hold; 0: no cap */
    enum err_code failed; /* ERR_NONE, ERR_NOMEM or ERR_LIMIT */
};

static inline struct buf buf_capped(size_t max)
{
    return (struct buf){.max = max};
}
void buf_done(struct buf *b); /* frees; the struct is empty and usable again */
static inline UNUSED void buf_done_scoped(struct buf *b)
{
    buf_done(b);
}
static inline void buf_reset(struct buf *b) /* keeps the memory */
{
    b->n = 0;
    b->failed = ERR_NONE;
}
/* Room for `n` more bytes at b->p + b->n; NULL (and sticky) on failure. The caller then adds to b->n. */
char *buf_reserve(struct buf *b, size_t n);
void buf_put(struct buf *b, const void *p, size_t n);
static inline void buf_sv(struct buf *b, sv s)
{
    buf_put(b, s.p, s.n);
}
static inline void buf_char(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}
void buf_fmt(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_u64(struct buf *b, uint64_t v); /* decimal */
void buf_i64(struct buf *b, int64_t v);
void buf_varint(struct buf *b, uint64_t v); /* varint.h */
static inline sv buf_view(const struct buf *b) /* until the next append */
{
    return (sv){b->p, b->n};
}
/* False when an append failed; then fills `e` ("… exceeds N bytes" or out of memory). */
MUST_USE bool buf_ok(const struct buf *b, struct err *e);
/* Hands the memory over (free() it); the struct is empty. */
char *buf_take(struct buf *b, size_t *ret_n);

/* buf.c - see buf.h. */
#include "base/buf.h"
#include "base/varint.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_done(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->failed)
        return NULL;
    size_t need;
    if (__builtin_add_overflow(b->n, n, &need) || (b->max && need > b->max)) {
        b->failed = ERR_LIMIT;
        return NULL;
    }
    if (need > b->cap || !b->p) {
        size_t cap = MAX(MAX(need, b->cap + b->cap / 2), (size_t)64);
        char *p = realloc(b->p, cap);
        if (!p) {
            b->failed = ERR_NOMEM;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    char *to = buf_reserve(b, n);
    if (to) {
        memcpy(to, p, n);
        b->n += n;
    }
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    size_t room = b->failed ? 0 : b->cap - b->n;
    int n = vsnprintf(room ? b->p + b->n : NULL, room, fmt, ap);
    va_end(ap);
    if (n >= 0 && !b->failed) {
        if ((size_t)n < room && !(b->max && b->n + (size_t)n > b->max)) {
            b->n += (size_t)n;
        } else if (buf_reserve(b, (size_t)n + 1)) {
            vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
            b->n += (size_t)n;
        }
    }
    va_end(again);
}

void buf_u64(struct buf *b, uint64_t v)
{
    char text[20];
    size_t i = sizeof text;
    do
        text[--i] = (char)('0' + v % 10);
    while (v /= 10);
    buf_put(b, text + i, sizeof text - i);
}

void buf_i64(struct buf *b, int64_t v)
{
    if (v < 0)
        buf_char(b, '-');
    buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

bool buf_ok(const struct buf *b, struct err *e)
{
    if (b->failed == ERR_LIMIT)
        return err_set(e, ERR_LIMIT, "more than %zu bytes", b->max);
    if (b->failed)
        return err_nomem(e);
    return true;
}

char *buf_take(struct buf *b, size_t *ret_n)
{
    char *p = b->p;
    if (ret_n)
        *ret_n = b->n;
    *b = (struct buf){.max = b->max};
    return p;
}

void buf_varint(struct buf *b, uint64_t v)
{
    uint8_t bytes[VARINT_MAX];
    buf_put(b, bytes, varint_put(bytes, v));
}

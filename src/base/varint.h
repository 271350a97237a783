/* varint.h - base-128 varints as in protobuf, and zigzag; used by OTLP, Loki push and our own formats. */
#pragma once
#include "base/def.h"

/* Reads one varint at *p, not past end; at most 10 bytes. Advances *p. False when truncated or too long. */
static inline bool varint_get(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    const uint8_t *at = *p;
    if (at < end && *at < 0x80) { /* the usual case: one byte */
        *ret = *at;
        *p = at + 1;
        return true;
    }
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && at < end; shift += 7) {
        uint8_t b = *at++;
        v |= (uint64_t)(b & 0x7f) << shift; /* past bit 63 the tenth byte's bits fall off, as in every decoder */
        if (b < 0x80) {
            *ret = v;
            *p = at;
            return true;
        }
    }
    return false;
}

#define VARINT_MAX 10
/* Writes v at p (room for VARINT_MAX bytes); returns the number of bytes. */
static inline size_t varint_put(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}
static inline size_t varint_size(uint64_t v)
{
    return (size_t)(70 - __builtin_clzll(v | 1)) / 7;
}
static inline uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}
static inline int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* bits.h - numbers of `bits` bits each, end to end, the first one in the low bits of the first byte; the same on every host. */
#pragma once
#include "base/buf.h"
#include "base/endian.h"

#define BITS_SLACK 16 /* bytes that must be readable behind packed numbers */

static inline unsigned bits_for(uint64_t max) /* the bits that hold 0 … max */
{
    return max ? 64u - (unsigned)__builtin_clzll(max) : 0;
}
static inline uint64_t bits_mask(unsigned bits)
{
    return bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}
static inline uint64_t bits_bytes(uint64_t n, unsigned bits)
{
    return (n * bits + 7) / 8;
}

/* Number i. */
static inline uint64_t bits_get(const uint8_t *p, uint64_t i, unsigned bits)
{
    uint64_t at = i * bits;
    unsigned shift = at & 7;
    uint64_t v = get_le64(p + (at >> 3)) >> shift;
    if (bits + shift > 64)
        v |= (uint64_t)p[(at >> 3) + 8] << (64 - shift);
    return v & bits_mask(bits);
}

/* Appends v[i] - base for all i. */
static inline void bits_pack(struct buf *out, const uint64_t *v, size_t n, uint64_t base, unsigned bits)
{
    size_t bytes = bits_bytes(n, bits);
    char *p = bytes ? buf_reserve(out, bytes + 8) : NULL;
    uint64_t acc = 0;
    unsigned fill = 0;
    if (!p)
        return;
    for (size_t i = 0; i < n; i++) {
        uint64_t x = v[i] - base;
        acc |= x << fill;
        fill += bits;
        if (fill >= 64) {
            put_le64(p, acc);
            p += 8;
            fill -= 64;
            acc = fill ? x >> (bits - fill) : 0;
        }
    }
    put_le64(p, acc);
    out->n += bytes;
}

/* hash.h - XXH3-64, compiled in: short keys dominate here, and a call per key would cost more than the hash. */
#pragma once
#include "base/sv.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t hash_bytes(sv s)
{
    return XXH3_64bits(s.p ? s.p : "", s.n);
}
static inline uint64_t hash_join(uint64_t a, uint64_t b) /* order matters */
{
    __uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15u) * (b | 1);
    return (uint64_t)m ^ (uint64_t)(m >> 64) ^ b;
}

/* hash.h - XXH3-64, compiled in: short keys dominate here, and a call per key would cost more than the hash.
 * What peers choose is hashed with a seed that they cannot know, new in every process: without one, keys made to meet in
 * the low bits would turn a table with linear probing into a list. So these hashes are for memory only. What is on disk
 * (pages, labels_hash()) is hashed without. */
#pragma once
#include "base/sv.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

extern uint64_t hash_seed; /* read-only once hash_start() returned */
void hash_start(void);     /* before anything is hashed: registry_new() calls it */

static inline uint64_t hash_bytes(sv s)
{
    return XXH3_64bits_withSeed(s.p ? s.p : "", s.n, hash_seed);
}
static inline uint64_t hash_join(uint64_t a, uint64_t b) /* order matters */
{
    __uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15u) * (b | 1);
    return (uint64_t)m ^ (uint64_t)(m >> 64) ^ b;
}
static inline uint64_t hash_pointer(const void *p)
{
    return hash_join(hash_seed, (uintptr_t)p);
}

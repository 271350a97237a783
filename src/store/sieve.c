/* sieve.c - see sieve.h. Keys are hashed without a seed: they are on disk. */
#include "store/sieve.h"
#include "base/endian.h"
#include "store/hash.h"

uint64_t sieve_key(sv name, sv value)
{
    uint64_t seed = name.n ? XXH3_64bits(name.p, name.n) | 1 : 0;
    return XXH3_64bits_withSeed(value.p ? value.p : "", value.n, seed);
}

static uint32_t block_of(uint64_t key, uint32_t n_blocks)
{
    return (uint32_t)((key >> 32) * n_blocks >> 32);
}
/* Probe i of the key in its block: a bit of 512. */
static uint32_t bit_of(uint64_t key, unsigned i)
{
    uint32_t a = (uint32_t)key & 511, b = ((uint32_t)key >> 9 & 511) | 1, c = (uint32_t)key >> 18 & 63;
    return (a + i * b + i * i * c) & 511;
}

void sieve_put(struct buf *out, const struct sieve_keys *const *from, size_t n)
{
    uint64_t keys = 0;
    uint32_t longest = 0;
    uint8_t flags = 0;
    for (size_t i = 0; i < n; i++) {
        keys += from[i]->keys.n;
        longest = MAX(longest, from[i]->longest);
        flags |= from[i]->flags;
    }
    if (!keys && !flags)
        return;
    uint32_t n_blocks = (uint32_t)((keys * SIEVE_BITS + 8 * SIEVE_BLOCK - 1) / (8 * SIEVE_BLOCK));
    size_t bytes = SIEVE_HEAD + (size_t)n_blocks * SIEVE_BLOCK;
    char *p = buf_reserve(out, bytes);
    if (!p)
        return;
    memset(p, 0, bytes);
    p[0] = (char)flags;
    put_le16(p + 2, (uint16_t)MIN(longest, (uint32_t)UINT16_MAX));
    put_le32(p + 4, n_blocks);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < from[i]->keys.n; k++) {
            uint64_t key = from[i]->keys.at[k];
            char *block = p + SIEVE_HEAD + (size_t)block_of(key, n_blocks) * SIEVE_BLOCK;
            for (unsigned j = 0; j < SIEVE_PROBES; j++)
                block[bit_of(key, j) / 8] |= (char)(1 << bit_of(key, j) % 8);
        }
    out->n += bytes;
}

bool sieve_open(sv bytes, struct sieve *ret)
{
    *ret = (struct sieve){0};
    if (!bytes.n)
        return true;
    if (bytes.n < SIEVE_HEAD)
        return false;
    *ret = (struct sieve){(uint8_t)bytes.p[0], get_le16(bytes.p + 2), get_le32(bytes.p + 4), (const uint8_t *)bytes.p + SIEVE_HEAD};
    return bytes.n == SIEVE_HEAD + (uint64_t)ret->n_blocks * SIEVE_BLOCK;
}

bool sieve_may_have(const struct sieve *s, uint64_t key)
{
    const uint8_t *block = s->blocks + (s->n_blocks ? (size_t)block_of(key, s->n_blocks) * SIEVE_BLOCK : 0);
    bool all = s->n_blocks;
    for (unsigned j = 0; all && j < SIEVE_PROBES; j++)
        all = block[bit_of(key, j) / 8] >> bit_of(key, j) % 8 & 1;
    return all;
}

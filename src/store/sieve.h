/* sieve.h - a block's content filter: says of an id that it is not in the block, and is nearly always right when it does not.
 * In it: the ids and words that the lines' slots hold and no dictionary does (lines.h), and metadata values that are in no dictionary
 * (keys.h). It answers whole tokens; parts of them are left to what lines_filter() sees.
 * A Bloom filter in blocks of a cache line: SIEVE_BITS bits a key, SIEVE_PROBES probes, all in one block. Bytes: docs/formats.md. */
#pragma once
#include "base/buf.h"
#include "base/vec.h"

enum { SIEVE_HEAD = 8, SIEVE_BLOCK = 64, SIEVE_BITS = 12, SIEVE_PROBES = 7 };
enum { /* flags */
    SIEVE_PARTIAL = 1,  /* lines' tokens are not all in it */
    SIEVE_UUIDS = 2,    /* some line has a UUID */
    SIEVE_ODD_UUID = 4, /* some line has one that is part of a longer word */
};

/* The key of a token of a line (name: SV_NULL), or of a metadata value. */
uint64_t sieve_key(sv name, sv value);

struct sieve_keys {
    VEC(uint64_t) keys;
    uint8_t flags;
    uint32_t longest; /* token of a line */
    bool failed;      /* no memory */
};
static inline void sieve_add(struct sieve_keys *s, uint64_t key)
{
    uint64_t *room = vec_push(&s->keys);
    if (room)
        *room = key;
    s->failed |= !room;
}
/* Appends the filter of these keys; nothing when there are none and no flags. */
void sieve_put(struct buf *out, const struct sieve_keys *const *from, size_t n);

struct sieve {
    uint8_t flags;
    uint32_t longest, n_blocks;
    const uint8_t *blocks;
};
/* False: bytes that are no filter. */
MUST_USE bool sieve_open(sv bytes, struct sieve *ret);
bool sieve_may_have(const struct sieve *s, uint64_t key);

/* map.h - a hash map from bytes to one pointer-sized value; open addressing, no order.
 * Keys are borrowed: the caller keeps their bytes alive (usually inside the value or an arena). Hash values are keyed
 * with a per-process random seed, so a peer cannot aim for collisions. Not thread-safe. */
#pragma once
#include "base/err.h"
#include "base/sv.h"

struct map_slot {
    sv key;
    uint64_t hash; /* 0: free */
    void *value;
};
struct map {
    struct map_slot *slots;
    size_t n, cap; /* cap is 0 or a power of two */
};

uint64_t map_hash(sv key); /* never 0 */
void map_done(struct map *m);
void *map_get(const struct map *m, sv key); /* NULL when absent */
/* The slot for `key`, made with value NULL if new (then slot->key is the given view: point it at lasting bytes).
 * Valid until the next put or remove. NULL when out of memory. */
struct map_slot *map_put(struct map *m, sv key);
bool map_remove(struct map *m, sv key);
/* Iteration: for (struct map_slot *s = NULL; (s = map_next(m, s));) … */
struct map_slot *map_next(const struct map *m, struct map_slot *after);

/* map.c - linear probing with backward-shift deletion; at most 3/4 full. The hash is wyhash-like mixing of our own. */
#include "base/map.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint64_t seed;
static void seed_make(void)
{
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
        seed = (uint64_t)time(NULL) * 0x9e3779b97f4a7c15u;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t map_hash(sv key)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, seed_make);
    uint64_t h = seed ^ key.n, word;
    size_t i = 0;
    for (; i + 8 <= key.n; i += 8) {
        memcpy(&word, key.p + i, 8);
        h = mix(h ^ word, 0xa0761d6478bd642fu);
    }
    if (i < key.n) {
        word = 0;
        memcpy(&word, key.p + i, key.n - i);
        h = mix(h ^ word, 0xe7037ed1a0b428dbu);
    }
    h = mix(h, 0x8ebc6af09c88c6e3u);
    return h ? h : 1;
}

void map_done(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

static struct map_slot *find(const struct map *m, sv key, uint64_t h)
{
    size_t mask = m->cap - 1;
    for (size_t i = h & mask;; i = (i + 1) & mask) {
        struct map_slot *s = &m->slots[i];
        if (!s->hash || (s->hash == h && sv_eq(s->key, key)))
            return s;
    }
}

void *map_get(const struct map *m, sv key)
{
    if (!m->cap)
        return NULL;
    struct map_slot *s = find(m, key, map_hash(key));
    return s->hash ? s->value : NULL;
}

static bool grow(struct map *m)
{
    struct map bigger = {.cap = m->cap ? m->cap * 2 : 16, .n = m->n};
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].hash)
            *find(&bigger, m->slots[i].key, m->slots[i].hash) = m->slots[i];
    free(m->slots);
    *m = bigger;
    return true;
}

struct map_slot *map_put(struct map *m, sv key)
{
    uint64_t h = map_hash(key);
    if (m->cap) {
        struct map_slot *s = find(m, key, h);
        if (s->hash)
            return s;
    }
    if ((m->n + 1) * 4 > m->cap * 3 && !grow(m))
        return NULL;
    struct map_slot *s = find(m, key, h);
    *s = (struct map_slot){.key = key, .hash = h};
    m->n++;
    return s;
}

bool map_remove(struct map *m, sv key)
{
    if (!m->cap)
        return false;
    struct map_slot *s = find(m, key, map_hash(key));
    if (!s->hash)
        return false;
    size_t mask = m->cap - 1, hole = (size_t)(s - m->slots);
    for (size_t i = (hole + 1) & mask; m->slots[i].hash; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){0};
    m->n--;
    return true;
}

struct map_slot *map_next(const struct map *m, struct map_slot *after)
{
    for (size_t i = after ? (size_t)(after - m->slots) + 1 : 0; i < m->cap; i++)
        if (m->slots[i].hash)
            return &m->slots[i];
    return NULL;
}

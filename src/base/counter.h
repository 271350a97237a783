/* counter.h - a count that many threads add to without meeting: it lies in several places, each of a cache line of its own, and a
 * thread keeps to one of them. Reading adds them up. */
#pragma once
#include "base/def.h"
#include <stdatomic.h>

#define COUNTER_PLACES 8
struct counter {
    struct {
        _Atomic uint64_t n;
        char apart[56];
    } at[COUNTER_PLACES];
};

unsigned counter_place(void); /* the calling thread's, below COUNTER_PLACES */

static inline void counter_add(struct counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(&c->at[counter_place()].n, n, memory_order_relaxed);
}
static inline uint64_t counter_sum(const struct counter *c)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < COUNTER_PLACES; i++)
        sum += atomic_load_explicit(&c->at[i].n, memory_order_relaxed);
    return sum;
}
static inline void counter_clear(struct counter *c)
{
    for (unsigned i = 0; i < COUNTER_PLACES; i++)
        atomic_store_explicit(&c->at[i].n, 0, memory_order_relaxed);
}

/* counter.h - a count that many threads add to without meeting. Each of the first threads of a process has a place of its own, and
 * adds to it by an ordinary load and store; those after them share the last place, atomically. Places are not given back when
 * their thread ends: what it counted stays counted. Reading adds them up. */
#pragma once
#include "base/def.h"
#include <stdatomic.h>

#define COUNTER_OWN 31 /* places with one owner; a cache line each */
struct counter {
    struct {
        _Atomic uint64_t n;
        char apart[56];
    } at[COUNTER_OWN + 1];
};

unsigned counter_place(void); /* the calling thread's; COUNTER_OWN: the shared one */

static inline void counter_add(struct counter *c, uint64_t n)
{
    unsigned place = counter_place();
    _Atomic uint64_t *at = &c->at[place].n;
    if (place < COUNTER_OWN)
        atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(at, n, memory_order_relaxed);
}
static inline uint64_t counter_sum(const struct counter *c)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i <= COUNTER_OWN; i++)
        sum += atomic_load_explicit(&c->at[i].n, memory_order_relaxed);
    return sum;
}
static inline void counter_clear(struct counter *c)
{
    for (unsigned i = 0; i <= COUNTER_OWN; i++)
        atomic_store_explicit(&c->at[i].n, 0, memory_order_relaxed);
}

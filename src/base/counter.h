/* counter.h - a count that many threads add to without meeting: it lies in several places, each of a cache line of its own, and a
 * thread keeps to one of them. Reading adds them up. The process's first threads have a place for themselves, and need no atomic
 * addition there; those that come later share the other places. */
#pragma once
#include "base/def.h"
#include <stdatomic.h>

#define COUNTER_PLACES 32
#define COUNTER_OWN 24 /* places below belong to one thread each, for as long as the process lives */
struct counter {
    struct {
        _Atomic uint64_t n;
        char apart[56];
    } at[COUNTER_PLACES];
};

extern _Thread_local unsigned counter_mine; /* + 1; 0: not yet taken */
unsigned counter_take_place(void);
static inline unsigned counter_place(void) /* the calling thread's, below COUNTER_PLACES */
{
    unsigned mine = counter_mine;
    return mine ? mine - 1 : counter_take_place();
}

/* Adds to a number that only threads of this place write; releases what came before. Returns the sum. Not for signal handlers: one
 * that interrupts an addition of its own thread takes it back. */
static inline uint64_t counter_add_at(_Atomic uint64_t *at, unsigned place, uint64_t n)
{
    if (place >= COUNTER_OWN)
        return atomic_fetch_add_explicit(at, n, memory_order_release) + n;
    uint64_t sum = atomic_load_explicit(at, memory_order_relaxed) + n;
    atomic_store_explicit(at, sum, memory_order_release);
    return sum;
}
static inline void counter_add(struct counter *c, uint64_t n)
{
    unsigned place = counter_place();
    (void)counter_add_at(&c->at[place].n, place, n);
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

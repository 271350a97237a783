/* rate.h - a token bucket that is one number: the time at which it will be full again. No lock, one compare-and-swap for each
 * request that is let through. A zeroed bucket is full. */
#pragma once
#include "base/def.h"
#include <stdatomic.h>

/* May `n` be taken at `now` from a bucket that gains `per_s` a second and holds `burst`? More than it holds: never. */
static inline bool rate_take(_Atomic int64_t *full_at, int64_t now, double per_s, double burst, uint64_t n)
{
    double cost = (double)n / per_s * 1e9, room = burst / per_s * 1e9;
    int64_t seen = atomic_load_explicit(full_at, memory_order_relaxed), want;
    if (cost > room)
        return false;
    do {
        int64_t from = MAX(seen, now);
        if ((double)(from - now) + cost > room)
            return false;
        want = from + (int64_t)MIN(cost, 4e18);
    } while (!atomic_compare_exchange_weak_explicit(full_at, &seen, want, memory_order_relaxed, memory_order_relaxed));
    return true;
}

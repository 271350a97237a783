/* account.h - how much memory a query holds, over all its threads and layers, against one cap. */
#pragma once
#include "base/def.h"
#include <stdatomic.h>

struct account {
    _Atomic uint64_t used;
    uint64_t max; /* 0: no cap */
};
/* Counts `n` bytes more, also when that passes the cap: then false, and the caller gives up what it began. */
static inline MUST_USE bool account_add(struct account *a, uint64_t n)
{
    uint64_t used = atomic_fetch_add_explicit(&a->used, n, memory_order_relaxed) + n;
    return !a->max || used <= a->max;
}
static inline void account_sub(struct account *a, uint64_t n)
{
    atomic_fetch_sub_explicit(&a->used, n, memory_order_relaxed);
}

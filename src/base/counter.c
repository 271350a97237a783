/* counter.c - see counter.h. Threads take the places in turn. */
#include "base/counter.h"

unsigned counter_place(void)
{
    static _Atomic unsigned threads;
    static _Thread_local unsigned mine; /* + 1 */
    if (!mine)
        mine = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % COUNTER_PLACES + 1;
    return mine - 1;
}

/* counter.c - see counter.h. Threads take the places in turn, those that are shared again and again. */
#include "base/counter.h"

_Thread_local unsigned counter_mine;

unsigned counter_take_place(void)
{
    static _Atomic uint64_t threads;
    uint64_t n = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
    unsigned place = (unsigned)(n < COUNTER_PLACES ? n : COUNTER_OWN + n % (COUNTER_PLACES - COUNTER_OWN));
    counter_mine = place + 1;
    return place;
}

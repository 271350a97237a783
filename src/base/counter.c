/* counter.c - see counter.h. A place belongs to a thread, whatever counter it adds to. */
#include "base/counter.h"

unsigned counter_place(void)
{
    static _Atomic unsigned threads;
    static _Thread_local unsigned mine; /* + 1 */
    if (!mine)
        mine = MIN(atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed), (unsigned)COUNTER_OWN) + 1;
    return mine - 1;
}

/* lock.h - a mutex that knows its holder, so that "call with the lock held" is checked and not hoped for. */
#pragma once
#include "base/def.h"
#include <pthread.h>
#include <stdatomic.h>

struct lock {
    pthread_mutex_t mu;
    _Atomic(const void *) holder; /* address unique to the holding thread */
};
#define LOCK_INIT {.mu = PTHREAD_MUTEX_INITIALIZER}

void lock_init(struct lock *l);
void lock_done(struct lock *l);
void lock_acquire(struct lock *l);
void lock_release(struct lock *l);
bool lock_held(const struct lock *l);
#define lock_assert_held(l) ASSERT(lock_held(l))

/* Condition variables wait on the monotonic clock. */
struct cond {
    pthread_cond_t cv;
};
void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_wait(struct cond *c, struct lock *l);
bool cond_wait_until(struct cond *c, struct lock *l, int64_t mono_ns); /* false: the time passed */
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

/* LOCK_SCOPED(&x->mu): held until the end of the enclosing block. */
static inline UNUSED void lock_release_scoped(struct lock **l)
{
    lock_release(*l);
}
#define LOCK_SCOPED(l) LOCK_SCOPED_AT(l, __COUNTER__)
#define LOCK_SCOPED_AT(l, id) LOCK_SCOPED_AS(l, id)
#define LOCK_SCOPED_AS(l, id)                                                                                     \
    SCOPED(lock_release) struct lock *lock_scoped_##id = (l);                                                     \
    lock_acquire(lock_scoped_##id)

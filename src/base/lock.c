/* lock.c - see lock.h. */
#include "base/lock.h"
#include "base/clock.h"
#include <errno.h>
#include <time.h>

static const void *self(void)
{
    static _Thread_local char here;
    return &here;
}

void lock_init(struct lock *l)
{
    pthread_mutex_init(&l->mu, NULL);
    atomic_init(&l->holder, NULL);
}

void lock_done(struct lock *l)
{
    pthread_mutex_destroy(&l->mu);
}

void lock_acquire(struct lock *l)
{
    pthread_mutex_lock(&l->mu);
    atomic_store_explicit(&l->holder, self(), memory_order_relaxed);
}

void lock_release(struct lock *l)
{
    atomic_store_explicit(&l->holder, NULL, memory_order_relaxed);
    pthread_mutex_unlock(&l->mu);
}

bool lock_held(const struct lock *l)
{
    return atomic_load_explicit(&l->holder, memory_order_relaxed) == self();
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->cv, &attr);
    pthread_condattr_destroy(&attr);
}

void cond_done(struct cond *c)
{
    pthread_cond_destroy(&c->cv);
}

void cond_wait(struct cond *c, struct lock *l)
{
    lock_assert_held(l);
    pthread_cond_wait(&c->cv, &l->mu);
    atomic_store_explicit(&l->holder, self(), memory_order_relaxed);
}

bool cond_wait_until(struct cond *c, struct lock *l, int64_t mono_ns)
{
    lock_assert_held(l);
    mono_ns = MAX(mono_ns, (int64_t)0);
    struct timespec t = {.tv_sec = mono_ns / NS_PER_S, .tv_nsec = mono_ns % NS_PER_S};
    int rc = pthread_cond_timedwait(&c->cv, &l->mu, &t);
    atomic_store_explicit(&l->holder, self(), memory_order_relaxed);
    return rc != ETIMEDOUT;
}

void cond_signal(struct cond *c)
{
    pthread_cond_signal(&c->cv);
}

void cond_broadcast(struct cond *c)
{
    pthread_cond_broadcast(&c->cv);
}

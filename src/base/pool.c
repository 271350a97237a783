/* pool.c - see pool.h. */
#include "base/pool.h"
#include "base/lock.h"
#include <stdio.h>
#include <stdlib.h>

struct pool {
    struct lock mu;
    struct cond wake;
    struct pool_task *first, **last; /* under mu */
    size_t queued, queue_max;        /* under mu */
    bool closing;                    /* under mu */
    unsigned n_threads;
    pthread_t threads[];
};

static void *worker(void *arg)
{
    struct pool *p = arg;
    lock_acquire(&p->mu);
    for (;;) {
        while (!p->first && !p->closing)
            cond_wait(&p->wake, &p->mu);
        struct pool_task *t = p->first;
        if (!t)
            break;
        p->first = t->next;
        if (!p->first)
            p->last = &p->first;
        p->queued--;
        lock_release(&p->mu);
        t->fn(t);
        lock_acquire(&p->mu);
    }
    lock_release(&p->mu);
    return NULL;
}

bool pool_open(const char *name, unsigned n_threads, size_t queue_max, struct pool **ret, struct err *e)
{
    struct pool *p = calloc(1, sizeof *p + n_threads * sizeof p->threads[0]);
    if (!p)
        return err_nomem(e);
    lock_init(&p->mu);
    cond_init(&p->wake);
    p->last = &p->first;
    p->queue_max = queue_max;
    for (; p->n_threads < n_threads; p->n_threads++) {
        int rc = pthread_create(&p->threads[p->n_threads], NULL, worker, p);
        if (rc) {
            pool_close(p);
            return err_sys_code(e, rc, "cannot start worker thread '%s'", name);
        }
        char label[16];
        snprintf(label, sizeof label, "%s", name);
        pthread_setname_np(p->threads[p->n_threads], label);
    }
    *ret = p;
    return true;
}

void pool_close(struct pool *p)
{
    if (!p)
        return;
    lock_acquire(&p->mu);
    p->closing = true;
    cond_broadcast(&p->wake);
    lock_release(&p->mu);
    for (unsigned i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    cond_done(&p->wake);
    lock_done(&p->mu);
    free(p);
}

bool pool_submit(struct pool *p, struct pool_task *t)
{
    LOCK_SCOPED(&p->mu);
    if (p->closing || p->queued >= p->queue_max)
        return false;
    t->next = NULL;
    *p->last = t;
    p->last = &t->next;
    p->queued++;
    cond_signal(&p->wake);
    return true;
}

size_t pool_queued(struct pool *p)
{
    LOCK_SCOPED(&p->mu);
    return p->queued;
}

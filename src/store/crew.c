/* crew.c - see crew.h. One lock; it is held for handing out an item and for taking it back. */
#include "store/crew.h"
#include "base/lock.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct crew {
    struct lock mu;
    struct cond wake;              /* for members without work */
    struct crew_job *first, **last; /* under mu: jobs with items to hand out, in turn */
    unsigned running, idle;        /* under mu: threads inside items; members asleep */
    bool closing;                  /* under mu */
    unsigned n, n_threads;
    pthread_t threads[];
};

static void job_push(struct crew *c, struct crew_job *job)
{
    job->next_job = NULL;
    job->waiting = true;
    *c->last = job;
    c->last = &job->next_job;
}

static struct crew_job *job_pop(struct crew *c)
{
    struct crew_job *job = c->first;
    c->first = job->next_job;
    if (!c->first)
        c->last = &c->first;
    job->waiting = false;
    return job;
}

static void job_remove(struct crew *c, struct crew_job *job)
{
    struct crew_job **at = &c->first;
    while (*at != job)
        at = &(*at)->next_job;
    *at = job->next_job;
    if (!*at)
        c->last = at;
    job->waiting = false;
}

/* One item of the job whose turn it is. There is one, and fewer than n threads are inside items. */
static void work_one(struct crew *c)
{
    struct crew_job *job = job_pop(c);
    size_t item = job->next++;
    unsigned slot = (unsigned)__builtin_ctzll(job->slots_free);
    job->slots_free &= ~(1ull << slot);
    job->running++;
    c->running++;
    if (job->next < job->n_items)
        job_push(c, job);
    if (c->first && c->idle && c->running < c->n)
        cond_signal(&c->wake);
    lock_release(&c->mu);
    bool more = job->fn(job, item, slot);
    lock_acquire(&c->mu);
    c->running--;
    job->running--;
    job->slots_free |= 1ull << slot;
    if (!more) {
        job->next = job->n_items;
        if (job->waiting)
            job_remove(c, job);
    }
    if (!job->running && job->next == job->n_items)
        cond_signal(job->done);
}

static void *member(void *arg)
{
    struct crew *c = arg;
    lock_acquire(&c->mu);
    for (;;) {
        while (c->first && c->running < c->n)
            work_one(c);
        if (c->closing)
            break;
        c->idle++;
        cond_wait(&c->wake, &c->mu);
        c->idle--;
    }
    lock_release(&c->mu);
    return NULL;
}

void crew_run(struct crew *c, struct crew_job *job)
{
    struct cond done;
    if (!job->n_items)
        return;
    cond_init(&done);
    job->next = job->running = 0;
    job->slots_free = c->n == CREW_MAX ? UINT64_MAX : (1ull << c->n) - 1;
    job->done = &done;
    lock_acquire(&c->mu);
    job_push(c, job);
    while (job->running || job->next < job->n_items) {
        if (c->first && c->running < c->n)
            work_one(c);
        else
            cond_wait(&done, &c->mu);
    }
    if (c->first && c->idle) /* this thread worked for others, too: its place is free */
        cond_signal(&c->wake);
    lock_release(&c->mu);
    cond_done(&done);
}

unsigned crew_slots(const struct crew *c)
{
    return c->n;
}

static unsigned cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (unsigned)MIN(n, (long)CREW_MAX);
}

bool crew_open(unsigned n_threads, struct crew **ret, struct err *e)
{
    unsigned n = n_threads ? MIN(n_threads, (unsigned)CREW_MAX) : cores();
    struct crew *c = calloc(1, sizeof *c + n * sizeof c->threads[0]);
    if (!c)
        return err_nomem(e);
    lock_init(&c->mu);
    cond_init(&c->wake);
    c->last = &c->first;
    c->n = n;
    for (; c->n_threads < n; c->n_threads++) {
        int rc = pthread_create(&c->threads[c->n_threads], NULL, member, c);
        if (rc) {
            crew_close(c);
            return err_sys_code(e, rc, "cannot start a thread for queries (query_threads)");
        }
        pthread_setname_np(c->threads[c->n_threads], "scan");
    }
    *ret = c;
    return true;
}

void crew_close(struct crew *c)
{
    if (!c)
        return;
    lock_acquire(&c->mu);
    c->closing = true;
    cond_broadcast(&c->wake);
    lock_release(&c->mu);
    for (unsigned i = 0; i < c->n_threads; i++)
        pthread_join(c->threads[i], NULL);
    cond_done(&c->wake);
    lock_done(&c->mu);
    free(c);
}

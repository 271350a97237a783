/* pool.h - a fixed set of worker threads with one bounded queue, for work that must not run on an event loop
 * (queries, decompressing a large body, building a part). */
#pragma once
#include "base/err.h"

struct pool;
struct pool_task { /* embedded in the caller's job; lives until fn has been called */
    void (*fn)(struct pool_task *t);
    struct pool_task *next;
};

/* `name` shows in thread listings (15 characters). queue_max: tasks waiting at most. */
MUST_USE bool pool_open(const char *name, unsigned n_threads, size_t queue_max, struct pool **ret, struct err *e);
/* Runs what is queued, then joins. NULL is fine. Not from a worker. */
void pool_close(struct pool *p);
/* Any thread. False: the queue is full or the pool is closing, the task was not taken. */
MUST_USE bool pool_submit(struct pool *p, struct pool_task *t);
size_t pool_queued(struct pool *p);

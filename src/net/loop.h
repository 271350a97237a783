/* loop.h - one event loop per thread (libevent). Nothing blocking runs on it; other threads talk to it by
 * posting. */
#pragma once
#include "base/err.h"

struct loop;
struct event_base;

struct loop_task { /* embedded in the caller's object; free to reuse once fn runs */
    void (*fn)(struct loop_task *t);
    struct loop_task *next;
};

MUST_USE bool loop_open(const char *name, struct loop **ret, struct err *e); /* starts the thread */
/* Runs posted tasks that are already there, stops, joins. NULL is fine. Not from the loop itself. */
void loop_close(struct loop *l);
/* Any thread, any number: runs t->fn soon, in order of posting. */
void loop_post(struct loop *l, struct loop_task *t);
/* Runs fn(ctx) on the loop and waits for it. Not from the loop itself. */
void loop_run_and_wait(struct loop *l, void (*fn)(void *ctx), void *ctx);
bool loop_is_current(const struct loop *l);
struct event_base *loop_base(struct loop *l);

/* A one-shot timer; loop thread only. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *ctx), void *ctx); /* NULL: out of memory */
void loop_timer_set(struct loop_timer *t, int64_t delay_ms); /* again: moves it; < 0: stops it */
void loop_timer_free(struct loop_timer *t);

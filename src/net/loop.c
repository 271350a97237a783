/* loop.c - see loop.h.
 * (1) libevent runs without its own locks: everything that touches the base does so on the loop's thread. The
 * only way in from outside is the task list, under `mu`, and the eventfd that says it is no longer empty. (2)
 * Loop threads block all signals: the program's main thread gets them, and a write to a closed pipe inside a
 * TLS library is an error code and not the end of the process. (3) loop_close() runs what was posted before
 * it, and what those tasks post in turn. */
#include "net/loop.h"
#include "base/clock.h"
#include "base/lock.h"
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct loop {
    struct event_base *base; /* loop thread, once started */
    struct event *wake;
    int wake_fd;
    pthread_t thread;
    char name[16]; /* as thread listings show it */

    struct lock mu;
    struct loop_task *first, **last; /* under mu */
    bool closing;                    /* under mu */
};

static _Thread_local const struct loop *current;

static void run_tasks(struct loop *l)
{
    lock_acquire(&l->mu);
    struct loop_task *t = l->first;
    l->first = NULL;
    l->last = &l->first;
    bool stop = l->closing && !t;
    lock_release(&l->mu);
    while (t) {
        struct loop_task *next = t->next; /* fn may free or reuse the task */
        t->fn(t);
        t = next;
    }
    if (stop)
        event_base_loopbreak(l->base);
}

static void wake(struct loop *l)
{
    uint64_t one = 1;
    while (write(l->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    struct loop *l = ctx;
    uint64_t n;
    while (read(fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
    run_tasks(l);
    lock_acquire(&l->mu);
    bool again = l->closing;
    lock_release(&l->mu);
    if (again)
        wake(l); /* until a round finds nothing posted */
}

static void *loop_main(void *ctx)
{
    struct loop *l = ctx;
    current = l;
    pthread_setname_np(pthread_self(), l->name);
    event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static struct event_base *base_new(void)
{
    struct event_config *cfg = event_config_new();
    if (!cfg)
        return NULL;
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    struct event_base *base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

static void loop_free(struct loop *l)
{
    if (!l)
        return;
    if (l->wake)
        event_free(l->wake);
    if (l->base)
        event_base_free(l->base);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    lock_done(&l->mu);
    free(l);
}
DEFINE_SCOPED(struct loop *, loop_free)

bool loop_open(const char *name, struct loop **ret, struct err *e)
{
    SCOPED(loop_free) struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return err_nomem(e);
    lock_init(&l->mu);
    l->last = &l->first;
    size_t n = MIN(strlen(name), sizeof l->name - 1);
    memcpy(l->name, name, n);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0)
        return err_sys(e, "event loop '%s': cannot create an eventfd", name);
    l->base = base_new();
    l->wake = l->base ? event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l) : NULL;
    if (!l->wake || event_add(l->wake, NULL) < 0)
        return err_set(e, ERR_IO, "event loop '%s': cannot create an event base", name);

    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread inherits it */
    int rc = pthread_create(&l->thread, NULL, loop_main, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        return err_sys_code(e, rc, "event loop '%s': cannot start a thread", name);
    *ret = TAKE(l);
    return true;
}

void loop_close(struct loop *l)
{
    if (!l)
        return;
    ASSERT(!loop_is_current(l));
    lock_acquire(&l->mu);
    l->closing = true;
    lock_release(&l->mu);
    wake(l);
    pthread_join(l->thread, NULL);
    loop_free(l);
}

void loop_post(struct loop *l, struct loop_task *t)
{
    t->next = NULL;
    lock_acquire(&l->mu);
    bool was_empty = !l->first;
    *l->last = t;
    l->last = &t->next;
    lock_release(&l->mu);
    if (was_empty)
        wake(l);
}

struct wait_task {
    struct loop_task task;
    void (*fn)(void *ctx);
    void *ctx;
    struct lock mu;
    struct cond cv;
    bool done; /* under mu */
};

static void run_and_signal(struct loop_task *t)
{
    struct wait_task *w = CONTAINER_OF(t, struct wait_task, task);
    w->fn(w->ctx);
    LOCK_SCOPED(&w->mu);
    w->done = true;
    cond_signal(&w->cv);
}

void loop_run_and_wait(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
    ASSERT(!loop_is_current(l));
    struct wait_task w = {.task.fn = run_and_signal, .fn = fn, .ctx = ctx};
    lock_init(&w.mu);
    cond_init(&w.cv);
    loop_post(l, &w.task);
    lock_acquire(&w.mu);
    while (!w.done)
        cond_wait(&w.cv, &w.mu);
    lock_release(&w.mu);
    cond_done(&w.cv);
    lock_done(&w.mu);
}

bool loop_is_current(const struct loop *l)
{
    return current == l;
}

struct event_base *loop_base(struct loop *l)
{
    return l->base;
}

struct loop_timer {
    struct event ev;
    struct loop *l;
    void (*fn)(void *ctx);
    void *ctx;
};

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct loop_timer *t = ctx;
    t->fn(t->ctx);
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
    struct loop_timer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->l = l;
    t->fn = fn;
    t->ctx = ctx;
    evtimer_assign(&t->ev, l->base, on_timer, t);
    return t;
}

void loop_timer_set(struct loop_timer *t, int64_t delay_ms)
{
    ASSERT(loop_is_current(t->l));
    if (delay_ms < 0) {
        evtimer_del(&t->ev);
        return;
    }
    delay_ms = MIN(delay_ms, (int64_t)INT32_MAX * 1000); /* libevent refuses absurd times; 68 years will do */
    struct timeval tv = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
    evtimer_add(&t->ev, &tv);
}

void loop_timer_free(struct loop_timer *t)
{
    if (!t)
        return;
    ASSERT(loop_is_current(t->l));
    evtimer_del(&t->ev);
    free(t);
}

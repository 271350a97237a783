/* host_thread.h - work on files and connections on a thread of the host, who is not to notice it. Between enter and leave
 * (1) SIGPIPE, which a write raises when the peer has gone, and SIGXFSZ, which one raises when a file would grow over
 *     RLIMIT_FSIZE, do not reach the host: the write fails instead. One that was pending before still is afterwards.
 * (2) the thread is not cancelled: pthread_cancel() would take it away in the middle of a system call, with our lock held.
 * Nests. */
#pragma once
#include "base/def.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

struct host_guard {
    sigset_t before, pending;
    int cancel;
};

static inline UNUSED void host_enter(struct host_guard *g)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    sigaddset(&ours, SIGXFSZ);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &g->cancel);
    sigpending(&g->pending);
    pthread_sigmask(SIG_BLOCK, &ours, &g->before);
}

static inline UNUSED void host_take_away(int sig, const sigset_t *pending_before)
{
    sigset_t one, pending;
    sigpending(&pending);
    if (sigismember(pending_before, sig) || !sigismember(&pending, sig))
        return;
    sigemptyset(&one);
    sigaddset(&one, sig);
    while (sigtimedwait(&one, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
        ;
}

static inline UNUSED void host_leave(const struct host_guard *g)
{
    host_take_away(SIGPIPE, &g->pending);
    host_take_away(SIGXFSZ, &g->pending);
    pthread_sigmask(SIG_SETMASK, &g->before, NULL);
    pthread_setcancelstate(g->cancel, NULL);
}

/* HOST_GUARDED: until the end of the enclosing block. */
static inline UNUSED void host_leave_scoped(struct host_guard *g)
{
    host_leave(g);
}
#define HOST_GUARDED                                                                                              \
    SCOPED(host_leave) struct host_guard host_guard_;                                                             \
    host_enter(&host_guard_)

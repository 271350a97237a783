/* sigpipe.h - a write to a connection or pipe that the peer closed raises SIGPIPE; on a thread of the host (simple processor) it
 * must not be seen. Between block and restore it is taken away, unless it was there before. */
#pragma once
#include "base/def.h"
#include <errno.h>
#include <signal.h>
#include <time.h>

struct pipe_guard {
    sigset_t before;
    bool was_pending;
};
static inline UNUSED void sigpipe_block(struct pipe_guard *g)
{
    sigset_t pipe, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    g->was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &g->before);
}
static inline UNUSED void sigpipe_restore(const struct pipe_guard *g)
{
    sigset_t pipe, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    if (!g->was_pending && sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &g->before, NULL);
}

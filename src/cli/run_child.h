/* run_child.h - the program that `weir run` runs: started in two steps, so that its pid is known before it does anything; its
 * signals; its end. */
#pragma once
#include "base/err.h"
#include <signal.h>
#include <sys/types.h>

/* The process's signals as they were and as they are now. */
struct run_signals {
    sigset_t mask_before;
    struct sigaction pipe_before, child_before;
    int fd; /* a signalfd, not blocking: SIGCHLD and what is handed on */
};
/* From here on the signals that are handed on, and SIGCHLD, come through `fd`; SIGPIPE is ignored. Before any thread starts. */
MUST_USE bool run_signals_take(struct run_signals *ret, struct err *e);

struct run_child {
    pid_t pid;
    int out, err; /* ends of its stdout and stderr to read from, not blocking; the caller closes them */
    int gate, verdict;
    bool ended;
    int status; /* of waitpid(), when ended */
};
/* Forks. The child waits; its signals will be as they were before run_signals_take(), its group is ours. */
MUST_USE bool run_child_fork(char **argv, const struct run_signals *sg, struct run_child *ret, struct err *e);
/* Lets it become argv. False: it cannot be run; e->sys says why, and it is over. */
MUST_USE bool run_child_go(struct run_child *c, const char *name, struct err *e);
/* Ends it before it was anything. */
void run_child_forget(struct run_child *c);

/* Handles what has come through sg->fd: hands signals on, collects what ended. Returns the last signal that asks for an end
 * (SIGINT, SIGTERM, SIGHUP, SIGQUIT), 0 if none; whether or not it was handed on. */
int run_child_signals(struct run_child *c, const struct run_signals *sg);
int run_child_exit_code(const struct run_child *c); /* as a shell has it: 128 + n after signal n */

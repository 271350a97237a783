/* run_child.c - see run_child.h.
 * (1) Between fork() and exec the child only makes system calls. It waits at a gate, a pipe: a byte lets it go, the end of the
 *     pipe (we gave up, or died) ends it. Whether exec worked comes through a pipe that exec closes.
 * (2) When we die, by whatever means, the kernel sends it SIGTERM (PR_SET_PDEATHSIG). That is bound to the thread that forked:
 *     ours is the first one, which lives as long as the process; and a parent that dies before the call is noticed by
 *     getppid(). It does not reach programs with the set-user-ID bit, nor grandchildren.
 * (3) The terminal's Ctrl-C goes to the whole group, the child included: the kernel marks such signals as its own, and they are not
 *     handed on. One that somebody sent to the group with kill() looks like one sent to us; the child then gets it twice. */
#include "cli/run_child.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a program that writes in bursts may have under way before it waits for us. The system may allow less. */
#define PIPE_BYTES (1 << 20)

static const int handed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

bool run_signals_take(struct run_signals *ret, struct err *e)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, usual = {.sa_handler = SIG_DFL};
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGCHLD);
    for (size_t i = 0; i < ARRAY_LEN(handed_on); i++)
        sigaddset(&ours, handed_on[i]);
    sigprocmask(SIG_BLOCK, &ours, &ret->mask_before);
    sigaction(SIGPIPE, &ignore, &ret->pipe_before);
    sigaction(SIGCHLD, &usual, &ret->child_before); /* ignored, it would leave nothing to wait for */
    ret->fd = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
    return ret->fd >= 0 || err_sys(e, "cannot receive signals");
}

/* ---- start ---- */

/* The child's side: never returns. */
static void become(char **argv, const struct run_signals *sg, pid_t parent, const int out[2], const int err[2], const int gate[2],
                   const int verdict[2])
{
    char go;
    ssize_t n;
    close(gate[1]);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent || dup2(out[1], STDOUT_FILENO) < 0 || dup2(err[1], STDERR_FILENO) < 0)
        _exit(126);
    while ((n = read(gate[0], &go, 1)) < 0 && errno == EINTR)
        ;
    if (n != 1)
        _exit(126);
    sigaction(SIGPIPE, &sg->pipe_before, NULL);
    sigaction(SIGCHLD, &sg->child_before, NULL);
    sigprocmask(SIG_SETMASK, &sg->mask_before, NULL);
    execvp(argv[0], argv);
    int why = errno;
    if (write(verdict[1], &why, sizeof why) != sizeof why)
        _exit(126);
    _exit(why == ENOENT ? 127 : 126);
}

static void close_pair(const int fds[2])
{
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

bool run_child_fork(char **argv, const struct run_signals *sg, struct run_child *ret, struct err *e)
{
    enum { OUT, ERR, GATE, VERDICT, PIPES };
    int fds[PIPES][2] = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    pid_t parent = getpid(), pid = -1;
    bool ok = true;
    for (int i = 0; ok && i < PIPES; i++)
        ok = pipe2(fds[i], O_CLOEXEC) == 0;
    fflush(NULL); /* what we have printed stands before what it prints */
    if (ok)
        pid = fork();
    if (pid < 0) {
        err_sys(e, "cannot start a process");
        for (int i = 0; i < PIPES; i++)
            close_pair(fds[i]);
        return false;
    }
    if (pid == 0)
        become(argv, sg, parent, fds[OUT], fds[ERR], fds[GATE], fds[VERDICT]);
    close(fds[OUT][1]);
    close(fds[ERR][1]);
    close(fds[GATE][0]);
    close(fds[VERDICT][1]);
    *ret = (struct run_child){.pid = pid, .out = fds[OUT][0], .err = fds[ERR][0], .gate = fds[GATE][1], .verdict = fds[VERDICT][0]};
    fcntl(ret->out, F_SETFL, O_NONBLOCK);
    fcntl(ret->err, F_SETFL, O_NONBLOCK);
    fcntl(ret->out, F_SETPIPE_SZ, PIPE_BYTES);
    fcntl(ret->err, F_SETPIPE_SZ, PIPE_BYTES);
    return true;
}

/* Waits for the end of a child that is about to end. */
static void wait_end(struct run_child *c)
{
    while (!c->ended && (waitpid(c->pid, &c->status, 0) == c->pid || errno != EINTR))
        c->ended = true;
}

bool run_child_go(struct run_child *c, const char *name, struct err *e)
{
    int why = 0;
    ssize_t n = write(c->gate, "g", 1);
    close(c->gate);
    while ((n = read(c->verdict, &why, sizeof why)) < 0 && errno == EINTR)
        ;
    close(c->verdict);
    if (n != sizeof why)
        return true; /* exec closed the pipe; or a signal ended it, which is an end like any other */
    wait_end(c);
    return err_sys_code(e, why, "cannot run '%s'", name);
}

void run_child_forget(struct run_child *c)
{
    close(c->gate);
    close(c->verdict);
    wait_end(c);
}

/* ---- signals ---- */

/* SIGHUP of a terminal that goes away is sent to the session's leader alone. */
static bool has_it_already(const struct signalfd_siginfo *si)
{
    return si->ssi_code == SI_KERNEL && !(si->ssi_signo == SIGHUP && getsid(0) == getpid());
}

/* As the first process of a container we are given orphans as well: they are collected and forgotten. */
static void reap(struct run_child *c)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == c->pid) {
            c->ended = true;
            c->status = status;
        }
}

int run_child_signals(struct run_child *c, const struct run_signals *sg)
{
    struct signalfd_siginfo si;
    int asked = 0;
    while (read(sg->fd, &si, sizeof si) == sizeof si) {
        int sig = (int)si.ssi_signo;
        if (sig == SIGCHLD) {
            reap(c);
            continue;
        }
        if (sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT)
            asked = sig;
        if (!c->ended && !has_it_already(&si))
            kill(c->pid, sig);
    }
    return asked;
}

int run_child_exit_code(const struct run_child *c)
{
    return WIFSIGNALED(c->status) ? 128 + WTERMSIG(c->status) : WEXITSTATUS(c->status);
}

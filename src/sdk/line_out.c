/* line_out.c - see line_out.h. Two ways:
 * (1) A regular file that we opened: one write at its end, under flock(), so that several processes may share it. What fails
 *     half-way is truncated away, at the latest before the next write. A file that was moved away (logrotate) is opened anew. A
 *     line that somebody else left torn is ended first.
 * (2) Everything else is a stream that others write to as well, and that may block: it is written piece by piece, as poll()
 *     says that there is room, and nothing that left can be taken back. */
#include "sdk/line_out.h"
#include "base/io.h"
#include "sdk/pipeline.h"
#include "sdk/host_thread.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* PIPE_BUF of Linux: what poll() sees room for in a pipe. */
#define PIECE 4096

struct line_out {
    char *path; /* NULL: standard output */
    int fd;     /* -1: to be opened */
    bool regular;
    struct stat at; /* of the descriptor, when it was opened */
    _Atomic bool stopped;
    uint64_t torn_at, torn_end; /* (1) what could not be truncated away; equal: nothing */
    struct buf unfinished;      /* (2) lines of which `done` bytes are out */
    size_t done;
};

static bool reopen(struct line_out *o, struct err *e)
{
    if (!o->path) {
        o->fd = STDOUT_FILENO;
        return true;
    }
    if (o->fd >= 0)
        io_close(TAKE_FD(o->fd));
    o->torn_at = o->torn_end = 0;
    if (!io_openat(AT_FDCWD, o->path, O_RDWR | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK, 0640, &o->fd, e))
        return false;
    if (fstat(o->fd, &o->at) != 0)
        return err_sys(e, "cannot look at '%s'", o->path);
    o->regular = S_ISREG(o->at.st_mode);
    return !S_ISDIR(o->at.st_mode) || err_set(e, ERR_INVALID, "'%s' is a directory", o->path);
}

bool line_out_open(const char *path, struct line_out **ret, struct err *e)
{
    struct line_out *o = calloc(1, sizeof *o);
    if (!o)
        return err_nomem(e);
    o->fd = -1;
    o->path = path ? sv_dup(sv_of(path)) : NULL;
    if ((path && !o->path && !err_nomem(e)) || !reopen(o, e)) {
        line_out_close(o);
        return false;
    }
    *ret = o;
    return true;
}

void line_out_close(struct line_out *o)
{
    if (!o)
        return;
    if (o->path)
        io_close(o->fd);
    free(o->path);
    buf_done(&o->unfinished);
    free(o);
}

void line_out_stop(struct line_out *o)
{
    atomic_store(&o->stopped, true);
}

/* The child's file is its own, so that the two lock each other out; what was begun is the parent's to finish. */
void line_out_after_fork(struct line_out *o)
{
    if (o->path && o->fd >= 0)
        io_close(TAKE_FD(o->fd));
    o->unfinished = (struct buf){0};
    o->done = 0;
}

static bool may_wait(struct line_out *o, const weir_batch *batch, int64_t deadline)
{
    weir_batch_tend(batch);
    return ms_left(deadline) > 0 && !atomic_load(&o->stopped);
}

/* ---- a regular file ---- */

static bool lock_file(struct line_out *o, const weir_batch *batch, int64_t deadline, struct err *e)
{
    while (flock(o->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == ENOLCK || errno == EOPNOTSUPP) /* this file system has no locks: alone, then */
            return true;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_sys(e, "cannot lock '%s'", o->path);
        if (!may_wait(o, batch, deadline))
            return err_set(e, ERR_TIMEOUT, "'%s' is locked by another process", o->path);
        poll(NULL, 0, 5);
    }
    return true;
}

/* Is the descriptor still what the path leads to? */
static bool in_place(const struct line_out *o)
{
    struct stat now;
    return o->fd >= 0 && stat(o->path, &now) == 0 && now.st_dev == o->at.st_dev && now.st_ino == o->at.st_ino;
}

/* The file's end, where a line may begin: behind a newline, if need be one of ours. */
static bool find_end(struct line_out *o, uint64_t *ret, struct err *e)
{
    struct stat now;
    char last = '\n';
    if (fstat(o->fd, &now) != 0)
        return err_sys(e, "cannot look at '%s'", o->path);
    uint64_t end = (uint64_t)now.st_size;
    if (o->torn_end > o->torn_at && end == o->torn_end) {
        if (!io_truncate(o->fd, o->torn_at, o->path, e))
            return false;
        end = o->torn_at;
    }
    o->torn_at = o->torn_end = 0;
    if (end && !io_pread_all(o->fd, &last, 1, end - 1, o->path, e))
        return false;
    if (last != '\n') {
        if (!io_write_all(o->fd, SV("\n"), o->path, e))
            return false;
        end++;
    }
    *ret = end;
    return true;
}

static bool append(struct line_out *o, sv lines, struct err *e)
{
    uint64_t end = 0;
    struct stat now;
    if (!find_end(o, &end, e))
        return false;
    if (io_write_all(o->fd, lines, o->path, e))
        return true;
    if (fstat(o->fd, &now) == 0 && (uint64_t)now.st_size > end && !io_truncate(o->fd, end, o->path, NULL)) {
        o->torn_at = end;
        o->torn_end = (uint64_t)now.st_size;
    }
    return false;
}

static bool put_file(struct line_out *o, sv lines, const weir_batch *batch, int64_t deadline, struct err *e)
{
    if (!lock_file(o, batch, deadline, e))
        return false;
    bool ok = append(o, lines, e);
    flock(o->fd, LOCK_UN);
    return ok;
}

/* ---- a stream ---- */

/* Writes what there is room for. False: an error, or the time is over; *done counts either way. */
static bool write_some(struct line_out *o, sv text, size_t *done, const weir_batch *batch, int64_t deadline, struct err *e)
{
    const char *name = o->path ? o->path : "standard output";
    while (*done < text.n) {
        struct pollfd p = {.fd = o->fd, .events = POLLOUT};
        int n = poll(&p, 1, (int)MIN(ms_left(deadline), (int64_t)TEND_EVERY_MS));
        if (n <= 0 && !may_wait(o, batch, deadline))
            return err_set(e, ERR_TIMEOUT, "%s: nobody makes room", name);
        if (n <= 0)
            continue;
        /* where poll() sees room, this much does not block */
        ssize_t k = write(o->fd, text.p + *done, MIN(text.n - *done, (size_t)PIECE));
        if (k > 0)
            *done += (size_t)k;
        else if (k < 0 && errno != EINTR && errno != EAGAIN)
            return err_sys(e, "cannot write to %s", name);
    }
    return true;
}

/* What was begun comes first, unless it is what is to be written now. */
static bool put_stream(struct line_out *o, sv lines, const weir_batch *batch, int64_t deadline, struct err *e)
{
    if (o->done && !sv_eq(buf_view(&o->unfinished), lines)) {
        if (!write_some(o, buf_view(&o->unfinished), &o->done, batch, deadline, e))
            return false;
        o->done = 0;
    }
    if (!o->done) { /* a copy before the first byte leaves: afterwards there is no way back */
        buf_reset(&o->unfinished);
        buf_sv(&o->unfinished, lines);
        if (!buf_ok(&o->unfinished, e))
            return false;
    }
    bool ok = write_some(o, lines, &o->done, batch, deadline, e);
    if (ok)
        o->done = 0;
    return ok;
}

void line_out_put(struct line_out *o, sv lines, const weir_batch *batch, int64_t timeout_ms, weir_export_result *ret)
{
    struct err e = {0};
    struct host_guard guard;
    int64_t deadline = deadline_in(timeout_ms);
    *ret = (weir_export_result){.code = WEIR_EXPORT_OK, .retry_after_ms = -1};
    host_enter(&guard);
    bool ok = (!o->path || in_place(o) || reopen(o, &e)) &&
              (o->path && o->regular ? put_file(o, lines, batch, deadline, &e) : put_stream(o, lines, batch, deadline, &e));
    host_leave(&guard);
    if (ok)
        return;
    ret->code = e.sys == EPIPE || e.sys == EBADF ? WEIR_EXPORT_FAILED : WEIR_EXPORT_RETRY;
    if (ret->code == WEIR_EXPORT_FAILED)
        o->done = 0; /* nobody is there to read the rest */
    snprintf(ret->message, sizeof ret->message, "%.200s", e.msg);
}

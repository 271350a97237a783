/* io.c - see io.h. The fault table costs one relaxed load per call when empty. */
#include "base/io.h"
#include "base/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define FAULTS_MAX 16

static struct {
    struct lock mu;
    struct io_fault at[FAULTS_MAX]; /* under mu */
    size_t n;                       /* under mu */
    _Atomic bool any;
    _Atomic uint64_t calls[IO_OP_COUNT];
} faults = {.mu = LOCK_INIT};

void io_faults_set(const struct io_fault *rules, size_t n)
{
    ASSERT(n <= FAULTS_MAX);
    LOCK_SCOPED(&faults.mu);
    faults.n = n;
    if (n)
        memcpy(faults.at, rules, n * sizeof *rules);
    atomic_store(&faults.any, n > 0);
}

uint64_t io_op_count(enum io_op op)
{
    return atomic_load(&faults.calls[op]);
}

/* Returns the errno to fail with, or 0; *short_by says how many bytes a write should leave out first. */
static int fault_for(enum io_op op, const char *what, size_t *short_by)
{
    atomic_fetch_add_explicit(&faults.calls[op], 1, memory_order_relaxed);
    if (!atomic_load_explicit(&faults.any, memory_order_relaxed))
        return 0;
    LOCK_SCOPED(&faults.mu);
    for (size_t i = 0; i < faults.n; i++) {
        struct io_fault *f = &faults.at[i];
        if (f->op != op || !f->sys || (f->match && !(what && strstr(what, f->match))))
            continue;
        if (f->skip) {
            f->skip--;
            continue;
        }
        int sys = f->sys;
        if (short_by)
            *short_by = f->short_by;
        if (f->times && --f->times == 0)
            f->sys = 0;
        return sys;
    }
    return 0;
}

/* ---- opening ---- */

static bool is_plain_file(int fd, const char *name, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_sys(e, "cannot stat '%s'", name);
    return S_ISREG(st.st_mode) || err_set(e, ERR_CORRUPT, "'%s' is not a regular file", name);
}

bool io_openat(int dirfd, const char *name, int flags, mode_t mode, int *ret_fd, struct err *e)
{
    bool ours = dirfd != AT_FDCWD; /* rule (1) */
    if (ours)
        flags |= O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    int sys = flags & (O_CREAT | O_WRONLY | O_RDWR) ? fault_for(IO_OPEN, name, NULL) : 0;
    int fd = -1;
    if (!sys) {
        do
            fd = openat(dirfd, name, flags | O_CLOEXEC, mode);
        while (fd < 0 && errno == EINTR);
        sys = fd < 0 ? errno : 0;
    }
    if (sys)
        return err_sys_code(e, sys, "cannot open '%s'%s", name,
                            flags & O_NOFOLLOW && (sys == ELOOP || sys == ENOTDIR) ? " (links are not followed)" : "");
    if (ours && !(flags & O_DIRECTORY) && !is_plain_file(fd, name, e)) {
        io_close(fd);
        return false;
    }
    *ret_fd = fd;
    return true;
}

/* ---- growing files: rule (2) ---- */

/* Around a call that may raise SIGXFSZ. The signal goes to the thread that made the call, so blocking it here is enough. */
struct size_guard {
    sigset_t before;
    bool was_pending;
};

static sigset_t size_signal(void)
{
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGXFSZ);
    return s;
}

static void size_guard_begin(struct size_guard *g)
{
    sigset_t xfsz = size_signal(), pending;
    g->was_pending = false;
    pthread_sigmask(SIG_BLOCK, &xfsz, &g->before);
    if (sigismember(&g->before, SIGXFSZ)) { /* else none of the thread's own can wait */
        sigpending(&pending);
        g->was_pending = sigismember(&pending, SIGXFSZ);
    }
}

/* Leaves errno as it is. */
static void size_guard_end(const struct size_guard *g, bool too_large)
{
    int sys = errno;
    sigset_t xfsz = size_signal();
    if (too_large && !g->was_pending)
        while (sigtimedwait(&xfsz, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &g->before, NULL);
    errno = sys;
}

/* Like write(2) and pwrite(2) of all bytes. Returns errno, 0: all are written. */
static int write_bytes(int fd, const char *p, size_t n, bool at_off, uint64_t off)
{
    struct size_guard g;
    int sys = 0;
    size_guard_begin(&g);
    for (size_t done = 0; !sys && done < n;) {
        ssize_t k = at_off ? pwrite(fd, p + done, n - done, (off_t)(off + done)) : write(fd, p + done, n - done);
        if (k >= 0)
            done += (size_t)k;
        else if (errno != EINTR)
            sys = errno;
    }
    size_guard_end(&g, sys == EFBIG);
    return sys;
}

/* Returns errno, as the next. */
static int allocate_bytes(int fd, uint64_t size)
{
    struct size_guard g;
    size_guard_begin(&g);
    int sys = fallocate(fd, 0, 0, (off_t)size) == 0 ? 0 : errno;
    size_guard_end(&g, sys == EFBIG);
    return sys;
}

static int resize(int fd, uint64_t size)
{
    struct size_guard g;
    size_guard_begin(&g);
    int sys = ftruncate(fd, (off_t)size) == 0 ? 0 : errno;
    size_guard_end(&g, sys == EFBIG);
    return sys;
}

static bool write_loop(int fd, sv bytes, bool at_off, uint64_t off, const char *what, struct err *e)
{
    size_t short_by = 0;
    int sys = fault_for(IO_WRITE, what, &short_by);
    size_t todo = sys ? (short_by && short_by < bytes.n ? bytes.n - short_by : 0) : bytes.n;
    int wrote = todo ? write_bytes(fd, bytes.p, todo, at_off, off) : 0;
    sys = wrote ? wrote : sys;
    return sys ? err_sys_code(e, sys, "cannot write %zu bytes to '%s'", bytes.n, what) : true;
}

bool io_write_all(int fd, sv bytes, const char *what, struct err *e)
{
    return write_loop(fd, bytes, false, 0, what, e);
}

bool io_pwrite_all(int fd, sv bytes, uint64_t off, const char *what, struct err *e)
{
    return write_loop(fd, bytes, true, off, what, e);
}

bool io_pread_all(int fd, void *to, size_t n, uint64_t off, const char *what, struct err *e)
{
    int sys = fault_for(IO_PREAD, what, NULL);
    if (sys)
        return err_sys_code(e, sys, "cannot read %zu bytes at %llu of '%s'", n, (unsigned long long)off, what);
    for (size_t done = 0; done < n;) {
        ssize_t k = pread(fd, (char *)to + done, n - done, (off_t)(off + done));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return err_sys(e, "cannot read %zu bytes at %llu of '%s'", n, (unsigned long long)off, what);
        if (k == 0)
            return err_at(e, ERR_CORRUPT, off + done, "'%s' ends early: %zu of %zu bytes at offset %llu", what, done,
                          n, (unsigned long long)off);
        done += (size_t)k;
    }
    return true;
}

bool io_datasync(int fd, const char *what, struct err *e)
{
    int sys = fault_for(IO_SYNC, what, NULL);
    if (!sys && fdatasync(fd) != 0)
        sys = errno;
    return sys ? err_sys_code(e, sys, "cannot sync '%s'", what) : true;
}

bool io_sync_dir(int dirfd, const char *what, struct err *e)
{
    int sys = fault_for(IO_SYNC_DIR, what, NULL);
    if (!sys && fsync(dirfd) != 0)
        sys = errno;
    return sys ? err_sys_code(e, sys, "cannot sync directory '%s'", what) : true;
}

bool io_allocate(int fd, uint64_t size, const char *what, struct err *e)
{
    int sys = fault_for(IO_ALLOCATE, what, NULL);
    if (!sys && ((sys = allocate_bytes(fd, size)) == EOPNOTSUPP || sys == ENOSYS))
        sys = 0;
    return sys ? err_sys_code(e, sys, "cannot allocate %llu bytes for '%s'", (unsigned long long)size, what) : true;
}

bool io_reserve(int fd, uint64_t size, const char *what, struct err *e)
{
    static const char zeros[1 << 16];
    int sys = fault_for(IO_ALLOCATE, what, NULL);
    if (!sys && (sys = allocate_bytes(fd, size)) == 0)
        return true;
    bool ok = sys == EOPNOTSUPP || sys == ENOSYS || err_sys_code(e, sys, "cannot allocate %llu bytes for '%s'",
                                                                  (unsigned long long)size, what);
    for (uint64_t at = 0; ok && at < size; at += sizeof zeros)
        ok = io_pwrite_all(fd, sv_make(zeros, MIN(sizeof zeros, (size_t)(size - at))), at, what, e);
    return ok;
}

bool io_truncate(int fd, uint64_t size, const char *what, struct err *e)
{
    int sys = fault_for(IO_TRUNCATE, what, NULL);
    if (!sys)
        sys = resize(fd, size);
    return sys ? err_sys_code(e, sys, "cannot truncate '%s'", what) : true;
}

bool io_renameat(int dirfd, const char *from, const char *to, struct err *e)
{
    int sys = fault_for(IO_RENAME, to, NULL);
    if (!sys && renameat(dirfd, from, dirfd, to) != 0)
        sys = errno;
    return sys ? err_sys_code(e, sys, "cannot rename '%s' to '%s'", from, to) : true;
}

bool io_disk_free(int dirfd, const char *what, uint64_t *ret, struct err *e)
{
    struct statvfs v;
    int sys = fault_for(IO_STATFS, what, NULL);
    if (sys == ENOSPC) {
        *ret = 0;
        return true;
    }
    if (!sys && fstatvfs(dirfd, &v) != 0)
        sys = errno;
    if (sys)
        return err_sys_code(e, sys, "cannot ask for the free space of '%s'", what);
    *ret = (uint64_t)v.f_bavail * v.f_frsize;
    return true;
}

bool io_unlinkat(int dirfd, const char *name, struct err *e)
{
    int sys = fault_for(IO_UNLINK, name, NULL);
    if (!sys && unlinkat(dirfd, name, 0) != 0 && errno != ENOENT)
        sys = errno;
    return sys ? err_sys_code(e, sys, "cannot remove '%s'", name) : true;
}

bool io_mkdirat(int dirfd, const char *name, mode_t mode, struct err *e)
{
    int sys = fault_for(IO_OPEN, name, NULL);
    if (!sys && mkdirat(dirfd, name, mode) != 0)
        sys = errno;
    return sys ? err_sys_code(e, sys, "cannot make directory '%s'", name) : true;
}

bool io_rmdirat(int dirfd, const char *name, struct err *e)
{
    int sys = fault_for(IO_UNLINK, name, NULL);
    if (!sys && unlinkat(dirfd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        sys = errno;
    return sys ? err_sys_code(e, sys, "cannot remove directory '%s'", name) : true;
}

/* The name of a new directory lasts once the directory that holds it is synced. */
static bool sync_parent(const char *path, struct err *e)
{
    sv all = sv_of(path);
    size_t slash = sv_rfind_char(all, '/');
    SCOPED(mem_free) char *parent = sv_dup(slash == SV_NPOS ? SV(".") : sv_sub(all, 0, MAX(slash, (size_t)1)));
    SCOPED(io_close) int fd = -1;
    if (!parent)
        return err_nomem(e);
    return io_open_dir(parent, &fd, e) && io_sync_dir(fd, parent, e);
}

bool io_mkdir_all(const char *path, struct err *e)
{
    SCOPED(mem_free) char *copy = sv_dup(sv_of(path));
    if (!copy)
        return err_nomem(e);
    for (char *p = copy + (*copy == '/');; p++) {
        if (*p && *p != '/')
            continue;
        char was = *p;
        *p = 0;
        bool made = *copy && mkdir(copy, 0750) == 0;
        if (*copy && !made && errno != EEXIST)
            return err_sys(e, "cannot make directory '%s'", copy);
        if (made && !sync_parent(copy, e)) {
            if (rmdir(copy) != 0)
                errno = 0; /* the first error is the one to report; removed, so that the next try syncs again */
            return err_ctx(e, "cannot make directory '%s'", copy);
        }
        if (!was)
            return true;
        *p = was;
    }
}

bool io_open_dir(const char *path, int *ret_fd, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, "cannot open directory '%s'", path);
    *ret_fd = fd;
    return true;
}

bool io_lock_file(int fd, const char *what, struct err *e)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (errno == EWOULDBLOCK)
        return err_set(e, ERR_UNAVAILABLE, "%s is in use by another process", what);
    return err_sys(e, "cannot lock %s", what);
}

bool io_lock_dir(int dirfd, const char *dir, int *ret_fd, struct err *e)
{
    SCOPED(io_close) int fd = -1;
    char what[320];
    snprintf(what, sizeof what, "directory '%.300s'", dir);
    if (!io_openat(dirfd, "LOCK", O_RDWR | O_CREAT, 0640, &fd, e))
        return err_ctx(e, "%s", what);
    if (!io_lock_file(fd, what, e))
        return false;
    *ret_fd = TAKE_FD(fd);
    return true;
}

bool io_replace_file(int dirfd, const char *name, sv bytes, struct err *e)
{
    char temp[256];
    if (snprintf(temp, sizeof temp, "%s.tmp", name) >= (int)sizeof temp)
        return err_set(e, ERR_INVALID, "file name '%s' is too long", name);
    SCOPED(io_close) int fd = -1;
    if (unlinkat(dirfd, temp, 0) != 0)
        errno = 0; /* none is there, or opening says why not */
    bool ok = io_openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL, 0640, &fd, e) &&
              io_write_all(fd, bytes, temp, e) && io_datasync(fd, temp, e) && io_renameat(dirfd, temp, name, e);
    if (!ok) {
        if (unlinkat(dirfd, temp, 0) != 0)
            errno = 0; /* the first error is the one to report */
        return false;
    }
    return io_sync_dir(dirfd, name, e);
}

bool io_read_file(int dirfd, const char *name, struct buf *ret, struct err *e)
{
    SCOPED(io_close) int fd = -1;
    if (!io_openat(dirfd, name, O_RDONLY, 0, &fd, e))
        return false;
    for (;;) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, "cannot read '%s'", name);
        if (n == 0)
            return buf_ok(ret, e) || err_ctx(e, "file '%s'", name);
        buf_put(ret, chunk, (size_t)n);
        if (ret->failed)
            return buf_ok(ret, e) || err_ctx(e, "file '%s'", name);
    }
}

void io_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

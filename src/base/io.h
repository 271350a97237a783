/* io.h - every system call that changes a disk goes through here, so that tests can make any of them fail: a table of
 * faults (which call, which path, the how-manieth, what errno or short count) instead of luck.
 * (1) A name in an open directory (dirfd is not AT_FDCWD) is one of ours, whoever may have put something else there: a link in
 *     its place is not followed, and what is opened is a regular file, or with O_DIRECTORY a directory, else ERR_CORRUPT. So
 *     no FIFO or device stops us, and nobody makes us write elsewhere. Paths (AT_FDCWD) are the user's, and taken as they are.
 * (2) A file that would outgrow RLIMIT_FSIZE is EFBIG and nothing else: the SIGXFSZ that comes with it, which kills a process
 *     that is not ours to kill, is taken away before anybody sees it.
 * All functions retry EINTR, set O_CLOEXEC and report the path. Any thread. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <sys/types.h>

/* flags as open(2); `mode` for O_CREAT. `what` is the name used in errors. */
MUST_USE bool io_openat(int dirfd, const char *name, int flags, mode_t mode, int *ret_fd, struct err *e);
/* All of it, at the file position or at `off`. */
MUST_USE bool io_write_all(int fd, sv bytes, const char *what, struct err *e);
MUST_USE bool io_pwrite_all(int fd, sv bytes, uint64_t off, const char *what, struct err *e);
/* Exactly n bytes, ERR_CORRUPT "ends early" when the file is shorter. */
MUST_USE bool io_pread_all(int fd, void *to, size_t n, uint64_t off, const char *what, struct err *e);
MUST_USE bool io_datasync(int fd, const char *what, struct err *e);
MUST_USE bool io_sync_dir(int dirfd, const char *what, struct err *e);
MUST_USE bool io_allocate(int fd, uint64_t size, const char *what, struct err *e); /* fallocate; ok when unsupported */
/* The same, but the space is there afterwards: where fallocate is unsupported, zeros are written. For files that are mapped,
 * where a full disk would otherwise show as SIGBUS. */
MUST_USE bool io_reserve(int fd, uint64_t size, const char *what, struct err *e);
MUST_USE bool io_truncate(int fd, uint64_t size, const char *what, struct err *e);
MUST_USE bool io_renameat(int dirfd, const char *from, const char *to, struct err *e);
MUST_USE bool io_unlinkat(int dirfd, const char *name, struct err *e); /* a missing file is fine */
MUST_USE bool io_mkdirat(int dirfd, const char *name, mode_t mode, struct err *e); /* fails when it exists */
MUST_USE bool io_rmdirat(int dirfd, const char *name, struct err *e);              /* a missing one is fine */
MUST_USE bool io_mkdir_all(const char *path, struct err *e);           /* like mkdir -p, mode 0750; what is new is synced */
MUST_USE bool io_open_dir(const char *path, int *ret_fd, struct err *e);
/* Takes an exclusive lock file (flock on dir/LOCK); ERR_UNAVAILABLE names the directory when another process has it. */
MUST_USE bool io_lock_dir(int dirfd, const char *dir, int *ret_fd, struct err *e);
/* flock(2) on an open file: exclusive, without waiting. It lasts until the last copy of the descriptor is closed, also in
 * forked children. ERR_UNAVAILABLE: another process has it. */
MUST_USE bool io_lock_file(int fd, const char *what, struct err *e);
/* temp file → datasync → rename → sync directory: afterwards `name` holds these bytes, or the old ones. The temp file is always
 * new: what a crash, or somebody else, left under its name goes first. */
MUST_USE bool io_replace_file(int dirfd, const char *name, sv bytes, struct err *e);
MUST_USE bool io_read_file(int dirfd, const char *name, struct buf *ret, struct err *e); /* capped by ret->max; opens as (1) */
/* Bytes that may still be written to the file system of `dirfd`. A fault with ENOSPC gives 0. */
MUST_USE bool io_disk_free(int dirfd, const char *what, uint64_t *ret, struct err *e);
void io_close(int fd); /* -1 is fine */
static inline UNUSED void io_close_scoped(int *fd)
{
    io_close(*fd);
}

/* Faults, for tests. A rule fires on calls of `op` whose path or name contains `match` (NULL: any), after `skip` such
 * calls, `times` times (0: for ever). sys: errno to fail with; for writes `short_by` > 0 first writes that much less. */
enum io_op { IO_OPEN, IO_WRITE, IO_SYNC, IO_SYNC_DIR, IO_ALLOCATE, IO_TRUNCATE, IO_RENAME, IO_UNLINK, IO_PREAD, IO_STATFS, IO_OP_COUNT };
struct io_fault {
    enum io_op op;
    const char *match;
    uint32_t skip, times;
    int sys;
    size_t short_by;
};
void io_faults_set(const struct io_fault *faults, size_t n); /* copies; NULL, 0 clears */
uint64_t io_op_count(enum io_op op);                         /* calls so far: lets a test fail "each write in turn" */

/* place.c - the directory of a backlog: made, found, locked, removed.
 * (1) A backlog is made under a name that nobody looks at, ".new-…", and gets its own name when its ring is there, locked and
 *     filled in. So one that is seen without a lock has lost its owner, and can be adopted.
 * (2) A lock on a file that has no name any more is worth nothing: it is looked at again after locking.
 * (3) The ring goes last: a removal that was cut short is found and finished by the next adopter.
 * (4) The base directory may be shared with others. What belongs to another user is left to them, unless we are root, who sends
 *     for all; and what is found is nobody's word: links are not followed, and a ring is a regular file or none. */
#include "backlog/backlog_int.h"
#include "base/clock.h"
#include "base/io.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_PREFIX ".new-"
#define SERVICE_MAX 100
#define STALE_S 60 /* a ".new-…" as old as this was left by a process that died while it made it */

void place_init(struct place *p)
{
    *p = (struct place){.base_fd = -1, .dir_fd = -1, .ring_fd = -1};
}

/* Unlocked by name: closing does not do it while the mapping keeps the file open. */
void place_unlock(struct place *p)
{
    if (p->ring_fd >= 0)
        flock(p->ring_fd, LOCK_UN);
    io_close(TAKE_FD(p->ring_fd));
    io_close(TAKE_FD(p->dir_fd));
    io_close(TAKE_FD(p->base_fd));
}

void place_done(struct place *p)
{
    if (p->map)
        munmap(p->map, p->map_bytes);
    io_close(p->ring_fd);
    io_close(p->dir_fd);
    io_close(p->base_fd);
    free(p->base);
    free(p->name);
    free(p->dir);
    place_init(p);
}

static bool set_names(struct place *p, const char *base, const char *name, struct err *e)
{
    SCOPED(buf_done) struct buf dir = {0};
    buf_fmt(&dir, "%s/%s", base, name);
    buf_char(&dir, 0);
    if (!buf_ok(&dir, e))
        return false;
    p->base = sv_dup(sv_of(base));
    p->name = sv_dup(sv_of(name));
    p->dir = buf_take(&dir, NULL);
    return (p->base && p->name) || err_nomem(e);
}

/* ---- making ---- */

/* The service's name as part of a file name: what is not plain is %XX, so that different services stay different. */
static void put_service(char *out, size_t size, sv service)
{
    size_t n = 0;
    if (!service.n)
        out[n++] = '%'; /* alone, as no name gives it */
    for (size_t i = 0; i < service.n && n + 4 < size; i++) {
        unsigned char c = (unsigned char)service.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (c == '.' && i) ||
                     (c == '-' && i);
        if (plain)
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, size - n, "%%%02x", c);
    }
    out[n] = 0;
}

static bool map_ring(struct place *p, size_t n, struct err *e)
{
    void *map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, p->ring_fd, 0);
    if (map == MAP_FAILED)
        return err_sys(e, "cannot map %zu bytes of '%s/" RING_NAME "'", n, p->dir);
    p->map = map;
    p->map_bytes = n;
    return true;
}

static bool make_ring(struct place *p, size_t map_bytes, struct err *e)
{
    return io_openat(p->base_fd, p->temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &p->dir_fd, e) &&
           io_openat(p->dir_fd, RING_NAME, O_RDWR | O_CREAT | O_EXCL, 0600, &p->ring_fd, e) &&
           io_lock_file(p->ring_fd, p->dir, e) && io_reserve(p->ring_fd, map_bytes, RING_NAME, e) && map_ring(p, map_bytes, e);
}

static void remove_dir(int base_fd, int dir_fd, const char *name)
{
    if (dir_fd >= 0)
        (void)!io_unlinkat(dir_fd, RING_NAME, NULL);
    (void)!io_rmdirat(base_fd, name, NULL); /* what stays is found again by its ring, or is an empty directory */
}

bool place_make(struct place *p, const char *base, sv service, size_t map_bytes, struct err *e)
{
    char name[NAME_BYTES], plain[SERVICE_MAX];
    uint32_t random = (uint32_t)(rand_u64() ^ (uint64_t)clock_mono_ns()); /* forked siblings have the same random numbers */
    put_service(plain, sizeof plain, service);
    snprintf(name, sizeof name, "%s-%d-%08x", plain, (int)getpid(), random);
    snprintf(p->temp, sizeof p->temp, NEW_PREFIX "%d-%08x", (int)getpid(), random);
    if (!set_names(p, base, name, e) || !io_mkdir_all(base, e) || !io_open_dir(base, &p->base_fd, e) ||
        !io_mkdirat(p->base_fd, p->temp, 0700, e)) {
        p->temp[0] = 0;
        return err_ctx(e, "backlog in '%s'", base);
    }
    if (make_ring(p, map_bytes, e))
        return true;
    place_remove(p);
    return err_ctx(e, "backlog in '%s'", base);
}

bool place_show(struct place *p, bool durable, struct err *e)
{
    if ((!durable || (io_datasync(p->ring_fd, RING_NAME, e) && io_sync_dir(p->dir_fd, p->dir, e))) &&
        io_renameat(p->base_fd, p->temp, p->name, e)) {
        p->temp[0] = 0;
        if (!durable || io_sync_dir(p->base_fd, p->base, e))
            return true;
    }
    place_remove(p);
    return err_ctx(e, "backlog in '%s'", p->base);
}

bool place_make_memory(struct place *p, size_t map_bytes, struct err *e)
{
    void *map = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return err_sys(e, "cannot reserve %zu bytes for the ring", map_bytes);
    p->map = map;
    p->map_bytes = map_bytes;
    p->dir = sv_dup(SV(""));
    return p->dir || err_nomem(e);
}

/* ---- taking over ---- */

static bool refuse_anothers(const struct place *p, const struct stat *st, struct err *e)
{
    uid_t me = geteuid();
    return me == 0 || st->st_uid == me || err_set(e, ERR_UNAVAILABLE, "backlog '%s' belongs to another user", p->dir);
}

/* Is the ring one whose header never reached the disk, because the machine lost power soon after? Without a spool nothing in it
 * can be read. */
static bool never_written(const struct place *p, const struct stat *ring)
{
    static const char zeros[RING_PAGE];
    char page[RING_PAGE];
    struct stat spool;
    if (!S_ISREG(ring->st_mode) || fstatat(p->dir_fd, SPOOL_NAME, &spool, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
        return false;
    return ring->st_size == 0 ||
           (io_pread_all(p->ring_fd, page, sizeof page, 0, RING_NAME, NULL) && memcmp(page, zeros, sizeof page) == 0);
}

/* Opens BASE/name/ring and locks it, if it is still what has that name. */
static bool open_and_lock(struct place *p, struct err *e)
{
    struct stat st, named;
    struct err why = {0};
    if (fstatat(p->base_fd, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !refuse_anothers(p, &st, e))
        return false;
    if (!io_openat(p->base_fd, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &p->dir_fd, &why) ||
        !io_openat(p->dir_fd, RING_NAME, O_RDWR | O_NOFOLLOW, 0, &p->ring_fd, &why)) {
        if (why.sys == ENOENT || why.sys == ENOTDIR || why.sys == ELOOP)
            return err_set(e, ERR_NOT_FOUND, "'%s' is not a backlog", p->dir);
        if (e)
            *e = why;
        return err_ctx(e, "backlog '%s'", p->dir);
    }
    if (!io_lock_file(p->ring_fd, p->dir, e))
        return false;
    if (fstat(p->ring_fd, &st) != 0 || fstatat(p->dir_fd, RING_NAME, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
        st.st_ino != named.st_ino || st.st_nlink == 0)
        return err_set(e, ERR_NOT_FOUND, "backlog '%s' was finished by somebody else", p->dir);
    if (!refuse_anothers(p, &st, e))
        return false;
    if (never_written(p, &st)) {
        place_remove(p);
        return err_set(e, ERR_NOT_FOUND, "backlog '%s' was empty: nothing of it had reached the disk", p->dir);
    }
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)RING_PAGE || (uint64_t)st.st_size > RING_DATA_MAX + RING_DICT_MAX + RING_PAGE)
        return err_set(e, ERR_CORRUPT, "'%s/" RING_NAME "' is no ring", p->dir);
    return map_ring(p, (size_t)st.st_size, e);
}

bool place_take(struct place *p, const char *base, const char *name, struct err *e)
{
    return set_names(p, base, name, e) && io_open_dir(base, &p->base_fd, e) && open_and_lock(p, e);
}

bool place_has_spool(const struct place *p)
{
    struct stat st;
    return p->dir_fd >= 0 && fstatat(p->dir_fd, SPOOL_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

bool place_is_gone(const struct place *p)
{
    struct stat st;
    return p->dir_fd >= 0 && fstat(p->dir_fd, &st) == 0 && st.st_nlink == 0;
}

/* ---- finding ---- */

static DIR *open_list(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        io_close(fd);
    return d;
}

/* Nothing was made in it, or removed, for a while. */
static bool is_stale(int dir_fd)
{
    struct stat st;
    return fstat(dir_fd, &st) == 0 && clock_wall_ns() / NS_PER_S - st.st_mtime >= STALE_S;
}

/* A half-made backlog whose maker is gone: one with a ring that nobody holds, or without a ring, and empty. Its age is looked at
 * under the lock: between making a ring and locking it, a living maker has just changed the directory. */
static void sweep(int base_fd, const char *name)
{
    SCOPED(io_close) int dir_fd = -1;
    SCOPED(io_close) int ring_fd = -1;
    struct err e = {0};
    if (!io_openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &dir_fd, NULL) || !is_stale(dir_fd))
        return;
    if (!io_openat(dir_fd, RING_NAME, O_RDWR | O_NOFOLLOW, 0, &ring_fd, &e)) {
        if (e.sys == ENOENT)
            (void)!io_rmdirat(base_fd, name, NULL); /* refused when somebody made something in it meanwhile */
        return;
    }
    if (io_lock_file(ring_fd, name, NULL) && is_stale(dir_fd))
        remove_dir(base_fd, dir_fd, name);
}

/* "SERVICE-PID-RANDOM": is it of this service? */
static bool is_of(sv name, sv plain)
{
    size_t dash = sv_rfind_char(name, '-');
    sv rest = sv_sub(name, 0, dash == SV_NPOS ? 0 : dash);
    dash = sv_rfind_char(rest, '-');
    return dash != SV_NPOS && (!plain.p || sv_eq(sv_sub(rest, 0, dash), plain));
}

bool backlog_list(const char *base, sv service, bool (*fn)(void *ctx, const char *name), void *ctx, struct err *e)
{
    char plain[SERVICE_MAX];
    put_service(plain, sizeof plain, service);
    SCOPED(io_close) int base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base_fd < 0)
        return errno == ENOENT || err_sys(e, "cannot open directory '%s'", base);
    DIR *d = open_list(base_fd);
    if (!d)
        return err_sys(e, "cannot list directory '%s'", base);
    bool go_on = true;
    for (struct dirent *entry; go_on && (entry = readdir(d));) {
        sv name = sv_of(entry->d_name);
        if (sv_starts(name, SV(NEW_PREFIX)))
            sweep(base_fd, entry->d_name);
        else if (name.p[0] != '.' && is_of(name, service.p ? sv_of(plain) : SV_NULL))
            go_on = fn(ctx, entry->d_name);
    }
    closedir(d);
    return true;
}

/* ---- removing ---- */

void place_remove(struct place *p)
{
    SCOPED(io_close) int spool_fd = -1;
    if (p->base_fd < 0)
        return;
    if (p->dir_fd >= 0 && io_openat(p->dir_fd, SPOOL_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &spool_fd, NULL)) {
        DIR *d = open_list(spool_fd);
        for (struct dirent *entry; d && (entry = readdir(d));)
            if (entry->d_type != DT_DIR)
                (void)!io_unlinkat(spool_fd, entry->d_name, NULL);
        if (d)
            closedir(d);
        if (!io_rmdirat(p->dir_fd, SPOOL_NAME, NULL))
            return; /* the next adopter finds it empty, and finishes */
    }
    remove_dir(p->base_fd, p->dir_fd, *p->temp ? p->temp : p->name);
}

/* ---- the default directory ---- */

/* Made if need be; ours alone? */
static bool usable(const char *dir, struct err *e)
{
    struct stat st;
    if (!io_mkdir_all(dir, e))
        return false;
    if (lstat(dir, &st) != 0)
        return err_sys(e, "cannot stat '%s'", dir);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
        return err_set(e, ERR_INVALID, "'%s' is not a directory of this user alone", dir);
    if (access(dir, W_OK | X_OK) != 0)
        return err_sys(e, "cannot write to '%s'", dir);
    return true;
}

/* head + tail, when it is usable; NULL: *e says why not. */
static char *try_dir(const char *head, const char *tail, struct err *e)
{
    SCOPED(buf_done) struct buf dir = {0};
    buf_fmt(&dir, "%s%s", head, tail);
    buf_char(&dir, 0);
    return buf_ok(&dir, e) && usable(dir.p, e) ? buf_take(&dir, NULL) : NULL;
}

char *backlog_default_dir(struct err *e)
{
    const char *given = secure_getenv("WEIR_SPOOL_DIR"), *state = secure_getenv("XDG_STATE_HOME"), *home = secure_getenv("HOME");
    char last[40], *dir = NULL;
    if (given && *given)
        return strcmp(given, "none") == 0 ? NULL : sv_dup(sv_of(given));
    if (state && *state == '/')
        dir = try_dir(state, "/weir/spool", e);
    if (!dir && home && *home == '/')
        dir = try_dir(home, "/.local/state/weir/spool", e);
    snprintf(last, sizeof last, "/tmp/weir-spool-%u", (unsigned)geteuid());
    dir = dir ? dir : try_dir(last, "", e);
    if (dir && e)
        *e = (struct err){0};
    return dir;
}

/* peek.c - see peek.h. The ring is copied, header twice: between the two looks nothing at or above the second tail was given
 * back, and everything below the first head had been reserved. The spool is looked at after the ring; its frames say how far the
 * ring's records are in it, so that what was spilled in between is not counted twice. */
#include "backlog/peek.h"
#include "backlog/backlog_int.h"
#include "base/endian.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CHUNK (64u << 10)

static bool is_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (!p[0] && memcmp(p, p + 1, n - 1) == 0);
}

/* Rings are mostly zeros: those cost no memory. */
static bool copy_body(int fd, const char *what, uint8_t *to, size_t n, struct err *e)
{
    SCOPED(mem_free) uint8_t *chunk = malloc(CHUNK);
    if (!chunk)
        return err_nomem(e);
    for (size_t off = RING_PAGE; off < n;) {
        size_t want = MIN(n - off, (size_t)CHUNK);
        if (!io_pread_all(fd, chunk, want, off, what, e))
            return false;
        if (!is_zero(chunk, want))
            memcpy(to + off, chunk, want);
        off += want;
    }
    return true;
}

static bool copy_all(int fd, const char *what, struct ring_copy *c, struct err *e)
{
    struct ring_head *h = c->map;
    if (!io_pread_all(fd, h, RING_PAGE, 0, what, e))
        return false;
    uint64_t head = atomic_load(&h->head);
    if (!copy_body(fd, what, c->map, c->map_bytes, e) || !io_pread_all(fd, h, RING_PAGE, 0, what, e))
        return false;
    uint64_t tail = atomic_load(&h->tail), end = head & ~RING_CLOSED;
    atomic_store(&h->head, MAX(end, tail) | (head & RING_CLOSED));
    return ring_attach(&c->ring, c->map, c->map_bytes, e) || err_ctx(e, "'%s'", what);
}

bool ring_copy(int fd, const char *what, struct ring_copy *ret, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_sys(e, "cannot stat '%s'", what);
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)RING_PAGE || (uint64_t)st.st_size > RING_DATA_MAX + RING_DICT_MAX + RING_PAGE)
        return err_set(e, ERR_CORRUPT, "'%s' is no ring", what);
    struct ring_copy c = {.map_bytes = (size_t)st.st_size};
    c.map = mmap(NULL, c.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c.map == MAP_FAILED)
        return err_sys(e, "cannot reserve %zu bytes for a copy of '%s'", c.map_bytes, what);
    if (!copy_all(fd, what, &c, e)) {
        ring_copy_done(&c);
        return false;
    }
    *ret = c;
    return true;
}

void ring_copy_done(struct ring_copy *c)
{
    if (c->map)
        munmap(c->map, c->map_bytes);
    *c = (struct ring_copy){0};
}

void ring_walk(struct ring *r, uint64_t from, const struct ring_walk_fns *fns, void *ctx, struct ring_walked *ret)
{
    uint64_t limit = ring_tail(r) + r->cap, last_put = ring_end(r);
    struct ring_walked n = {0};
    struct ring_frame f;
    for (uint64_t pos = from; pos < limit;) {
        enum ring_got got = ring_look(r, pos, limit, &f);
        if (got == RING_END)
            break;
        pos = got == RING_PENDING ? ring_pass(r, f.pos, limit) : f.next;
        if (got == RING_RECORD) {
            n.records++;
            if (fns->record)
                fns->record(ctx, &f);
        } else if (f.pos < last_put) {
            n.torn += got == RING_TORN;
            n.unfinished += got == RING_PENDING;
            if (fns->gap)
                fns->gap(ctx, f.pos, MIN(pos, last_put), got == RING_PENDING);
        }
    }
    *ret = n;
}

/* ---- a whole backlog ---- */

struct spool_look {
    uint64_t tail, cap; /* of the ring; the tail moves as frames say */
    uint64_t records, torn;
};

static void look_at_frame(void *ctx, uint64_t seq, sv frame, bool waits)
{
    struct spool_look *l = ctx;
    uint32_t n;
    uint64_t below;
    sv request;
    if (!waits)
        return;
    if (!backlog_frame(frame, &n, &below, &request)) {
        l->torn++;
        return;
    }
    l->records += n;
    if (below > l->tail && below - l->tail <= l->cap && below % RING_ALIGN == 0)
        l->tail = below;
}

static bool look_at_spool(const char *base, const char *name, struct spool_look *l, struct backlog_peek *ret, struct err *e)
{
    static const struct spool_peek_fns fns = {.frame = look_at_frame};
    SCOPED(buf_done) struct buf path = {0};
    struct spool_peek sp;
    buf_fmt(&path, "%s/%s/" SPOOL_NAME, base, name);
    buf_char(&path, 0);
    if (!buf_ok(&path, e) || !spool_peek(path.p, &fns, l, &sp, e))
        return false;
    ret->spool_records = l->records;
    ret->spool_frames = sp.frames;
    ret->bytes += sp.frames ? sp.bytes : 0;
    ret->torn += l->torn + sp.bad_frames;
    return true;
}

static bool look(const char *base, const char *name, int dir_fd, int ring_fd, struct backlog_peek *ret, struct err *e)
{
    static const struct ring_walk_fns fns = {0};
    struct ring_copy c;
    struct ring_walked w;
    struct stat st;
    if (!ring_copy(ring_fd, RING_NAME, &c, e))
        return false;
    struct spool_look l = {.tail = ring_tail(&c.ring), .cap = c.ring.cap};
    bool ok = fstatat(dir_fd, SPOOL_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode) ||
              look_at_spool(base, name, &l, ret, e);
    if (ok) {
        ring_walk(&c.ring, l.tail, &fns, NULL, &w);
        ret->pid = c.ring.h->pid;
        ret->created_wall_ns = (int64_t)c.ring.h->created_wall_ns;
        ret->ring_records = w.records;
        ret->torn += w.torn + (ret->live ? 0 : w.unfinished);
        ret->bytes += w.records ? ring_end(&c.ring) - MIN(l.tail, ring_end(&c.ring)) : 0;
        ret->waiting = ret->ring_records + ret->spool_records;
    }
    ring_copy_done(&c);
    return ok;
}

bool backlog_peek(const char *base, const char *name, struct backlog_peek *ret, struct err *e)
{
    SCOPED(io_close) int base_fd = -1;
    SCOPED(io_close) int dir_fd = -1;
    SCOPED(io_close) int ring_fd = -1;
    struct backlog_peek p = {0};
    struct err why = {0};
    if (!io_open_dir(base, &base_fd, &why) || !io_openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &dir_fd, &why) ||
        !io_openat(dir_fd, RING_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &ring_fd, &why)) {
        if (why.sys == ENOENT || why.sys == ENOTDIR || why.sys == ELOOP)
            return err_set(e, ERR_NOT_FOUND, "'%s/%s' is not a backlog", base, name);
        if (e)
            *e = why;
        return err_ctx(e, "backlog '%s/%s'", base, name);
    }
    p.live = flock(ring_fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    flock(ring_fd, LOCK_UN);
    if (!look(base, name, dir_fd, ring_fd, &p, e))
        return err_ctx(e, "backlog '%s/%s'", base, name);
    *ret = p;
    return true;
}

/* ---- names ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void backlog_service(const char *name, char ret[static BACKLOG_SERVICE_MAX])
{
    sv rest = sv_of(name);
    size_t n = 0;
    for (int i = 0; i < 2; i++) { /* without -PID-RANDOM */
        size_t dash = sv_rfind_char(rest, '-');
        rest = dash == SV_NPOS ? rest : sv_sub(rest, 0, dash);
    }
    if (sv_eq(rest, SV("%"))) /* of a service without a name */
        rest = SV("");
    for (size_t i = 0; i < rest.n && n + 1 < BACKLOG_SERVICE_MAX; i++) {
        int hi = i + 2 < rest.n && rest.p[i] == '%' ? hex_digit(rest.p[i + 1]) : -1, lo = hi >= 0 ? hex_digit(rest.p[i + 2]) : -1;
        ret[n++] = lo >= 0 ? (char)(hi << 4 | lo) : rest.p[i];
        i += lo >= 0 ? 2 : 0;
    }
    ret[n] = 0;
}

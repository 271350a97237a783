/* peek.c - looking into a spool that may be somebody else's, and open there: it takes no lock, changes nothing, and makes of the
 * headers what recover.c would. What a living owner appends or trims meanwhile may be seen or not. */
#include "spool/spool_int.h"
#include "base/io.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

struct seen {
    struct spool_peek_segment s;
    uint64_t end_seq; /* UINT64_MAX: no header says */
};
struct seen_list {
    VEC(struct seen) v;
};
static inline void seen_done_scoped(struct seen_list *l)
{
    vec_done(&l->v);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct seen *)a)->s.no, y = ((const struct seen *)b)->s.no;
    return (x > y) - (x < y);
}

static bool list(int dirfd, const char *dir, struct seen_list *ret, struct err *e)
{
    int fd;
    if (!io_openat(dirfd, ".", O_RDONLY | O_DIRECTORY, 0, &fd, e))
        return false;
    DIR *d = fdopendir(fd);
    if (!d) {
        io_close(fd);
        return err_sys(e, "cannot list directory '%s'", dir);
    }
    bool ok = true;
    uint64_t no;
    for (struct dirent *entry; ok && (entry = readdir(d));) {
        if (!seg_number_of(sv_of(entry->d_name), &no))
            continue;
        struct seen *s = vec_push(&ret->v);
        ok = s || err_nomem(e);
        if (s)
            *s = (struct seen){.s.no = no, .end_seq = UINT64_MAX};
    }
    closedir(d);
    if (ret->v.n)
        qsort(ret->v.at, ret->v.n, sizeof *ret->v.at, by_number);
    return ok;
}

static bool open_segment(int dirfd, uint64_t no, int *ret, uint64_t *ret_size)
{
    char name[SEG_NAME_BYTES];
    struct stat st;
    seg_name(no, name);
    if (!io_openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, ret, NULL))
        return false;
    if (fstat(*ret, &st) == 0 && S_ISREG(st.st_mode)) {
        *ret_size = (uint64_t)st.st_size;
        return true;
    }
    io_close(TAKE_FD(*ret));
    return false;
}

static void read_header(int dirfd, struct spool_peek_segment *s)
{
    SCOPED(io_close) int fd = -1;
    char b[SEG_HEADER_BYTES];
    struct seg_header h;
    if (!open_segment(dirfd, s->no, &fd, &s->size)) {
        err_set(&s->header_err, ERR_IO, "cannot be read");
        return;
    }
    if (s->size < sizeof b)
        err_set(&s->header_err, ERR_CORRUPT, "shorter than a header");
    else if (io_pread_all(fd, b, sizeof b, 0, "spool segment", &s->header_err) &&
             seg_header_get(sv_make(b, sizeof b), &h, &s->header_err) &&
             (h.no == s->no || err_set(&s->header_err, ERR_CORRUPT, "the header is that of segment %" PRIu64, h.no)) &&
             (h.len <= s->size || err_set(&s->header_err, ERR_CORRUPT, "ends inside its header"))) {
        s->first_seq = h.first_seq;
        s->prev_no = h.prev_no;
        s->prev_end_seq = h.prev_end_seq;
        s->cursor = h.cursor;
        s->header_len = h.len;
    }
}

/* What the headers say about each other, as recover.c has it: which segments were abandoned, where each ends, and where one
 * without a sound header begins at the least. */
static void chain(struct seen_list *l, struct spool_peek *ret)
{
    uint64_t low_seq = 1;
    const struct seen *next = NULL;
    for (size_t i = l->v.n; i-- > 0;) {
        struct seen *s = &l->v.at[i];
        s->s.abandoned = next && s->s.no > next->s.prev_no;
        if (s->s.abandoned)
            continue;
        if (next)
            s->end_seq = next->s.prev_no == s->s.no ? next->s.prev_end_seq : next->s.first_seq;
        if (next && next->s.prev_no != s->s.no)
            ret->missing_segments++;
        next = s->s.header_err.code ? NULL : s;
    }
    for (size_t i = 0; i < l->v.n; i++) {
        struct seen *s = &l->v.at[i];
        if (s->s.abandoned)
            continue;
        if (s->s.header_err.code) {
            s->s.first_seq = low_seq;
            s->s.header_len = SEG_HEADER_BYTES;
        }
        low_seq = MAX(low_seq, s->s.first_seq);
        s->end_seq = MAX(s->end_seq, s->s.first_seq);
        ret->cursor = MAX(ret->cursor, s->s.cursor);
    }
}

/* Walks the frames of one segment that counts. */
static bool walk(int dirfd, const struct seen *s, const struct spool_peek_fns *fns, void *ctx, struct spool_peek *ret, struct err *e)
{
    SCOPED(io_close) int fd = -1;
    uint64_t size;
    if (s->s.abandoned || s->s.size < s->s.header_len || !open_segment(dirfd, s->s.no, &fd, &size))
        return true;
    struct seg_walk w;
    seg_walk_init(&w, fd, SV_NULL, s->s.no, s->s.header_len, s->s.first_seq);
    w.anchored = !s->s.header_err.code;
    w.seq_end = s->end_seq;
    w.end_known = s->end_seq != UINT64_MAX;
    seg_walk_extend(&w, MIN(s->s.size, size));
    enum seg_step step;
    while ((step = seg_walk_step(&w, e)) == SEG_FRAME || step == SEG_BAD) {
        bool waits = step == SEG_FRAME && w.frame_seq >= ret->cursor;
        ret->frames += waits;
        ret->bad_frames += step == SEG_BAD ? w.bad_frames : 0;
        ret->bad_bytes += step == SEG_BAD ? w.bad_bytes : 0;
        if (step == SEG_FRAME && fns->frame)
            fns->frame(ctx, w.frame_seq, w.frame, waits);
        else if (step == SEG_BAD && fns->bad)
            fns->bad(ctx, w.bad_off, w.bad_bytes, w.bad_frames);
    }
    seg_walk_done(&w);
    return step == SEG_END || err_ctx(e, "segment %" PRIu64, s->s.no);
}

bool spool_peek(const char *dir, const struct spool_peek_fns *fns, void *ctx, struct spool_peek *ret, struct err *e)
{
    SCOPED(seen_done) struct seen_list l = {0};
    SCOPED(io_close) int dirfd = -1;
    SCOPED(buf_done) struct buf cursor = buf_capped(CURSOR_FILE_BYTES);
    struct spool_peek p = {.cursor = 1};
    uint64_t stored;
    if (!io_open_dir(dir, &dirfd, e) || !list(dirfd, dir, &l, e))
        return false;
    for (size_t i = 0; i < l.v.n; i++) {
        read_header(dirfd, &l.v.at[i].s);
        if (l.v.at[i].s.header_err.code == ERR_UNSUPPORTED) {
            if (e)
                *e = l.v.at[i].s.header_err;
            return err_ctx(e, "spool '%s' segment %" PRIu64, dir, l.v.at[i].s.no);
        }
    }
    chain(&l, &p);
    if (io_read_file(dirfd, CURSOR_NAME, &cursor, NULL) && cursor_get(buf_view(&cursor), &stored))
        p.cursor = MAX(p.cursor, stored);
    if (l.v.n)
        p.cursor = MAX(p.cursor, l.v.at[0].s.first_seq);
    for (size_t i = 0; i < l.v.n; i++) {
        p.segments++;
        p.bytes += l.v.at[i].s.size;
        if (fns->segment)
            fns->segment(ctx, &l.v.at[i].s);
        if (!walk(dirfd, &l.v.at[i], fns, ctx, &p, e))
            return err_ctx(e, "spool '%s'", dir);
    }
    *ret = p;
    return true;
}

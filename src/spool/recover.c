/* recover.c - what opening a spool finds in its directory, and what it makes of it.
 * (1) Only the last segment, and one whose end no header states, is read through; the others are trusted from header to
 *     header until a reader meets damage. So opening is quick however long the queue.
 * (2) Each header names the segment before it and where that one ended. A segment that its successor passes over was
 *     abandoned by a failed append: nothing in it was acknowledged, it is removed. A named one that is not there is lost.
 * (3) Bytes behind the last good frame of the last segment are a torn append: cut off and counted. Bytes between good
 *     frames are damage: counted, and passed over by the readers.
 * (4) A last segment without a sound header and without frames was being made when the process died: removed.
 * (5) A segment of a newer version stops the opening: guessing at it would lose or repeat frames. */
#include "spool/spool_int.h"
#include "base/io.h"
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct found {
    uint64_t no, size, end_seq;
    struct seg_header h;
    bool header_ok, end_known;
};
struct found_list {
    VEC(struct found) v;
};
static inline void found_done_scoped(struct found_list *l)
{
    vec_done(&l->v);
}
static inline void dir_close_scoped(DIR **d)
{
    if (*d)
        closedir(*d);
}

bool seg_number_of(sv name, uint64_t *ret)
{
    char want[SEG_NAME_BYTES];
    if (!sv_to_u64(sv_sub(name, 0, 20), ret) || *ret == 0 || *ret >= UINT64_MAX / 2)
        return false;
    seg_name(*ret, want);
    return sv_eq(name, sv_of(want));
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct found *)a)->no, y = ((const struct found *)b)->no;
    return (x > y) - (x < y);
}

static bool list_segments(struct spool *sp, struct found_list *ret, struct err *e)
{
    int fd;
    if (!io_openat(sp->dirfd, ".", O_RDONLY | O_DIRECTORY, 0, &fd, e))
        return false;
    SCOPED(dir_close) DIR *d = fdopendir(fd);
    if (!d) {
        io_close(fd);
        return err_sys(e, "cannot list the directory");
    }
    struct dirent *entry;
    uint64_t no;
    while ((entry = readdir(d))) {
        if (!seg_number_of(sv_of(entry->d_name), &no))
            continue;
        struct found *f = vec_push(&ret->v);
        if (!f)
            return err_nomem(e);
        *f = (struct found){.no = no};
    }
    if (ret->v.n)
        qsort(ret->v.at, ret->v.n, sizeof *ret->v.at, by_number);
    return true;
}

static bool open_segment(struct spool *sp, uint64_t no, int flags, int *ret, struct err *e)
{
    char name[SEG_NAME_BYTES];
    seg_name(no, name);
    return io_openat(sp->dirfd, name, flags, 0, ret, e);
}

/* Size and header. A damaged header is noted, not an error. */
static bool look_at(struct spool *sp, struct found *f, struct err *e)
{
    SCOPED(io_close) int fd = -1;
    struct stat st;
    if (!open_segment(sp, f->no, O_RDONLY, &fd, e))
        return false;
    if (fstat(fd, &st) != 0)
        return err_sys(e, "cannot stat segment %" PRIu64, f->no);
    f->size = (uint64_t)st.st_size;
    char b[SEG_HEADER_BYTES];
    struct err why = {0};
    if (f->size < sizeof b)
        return true;
    if (!io_pread_all(fd, b, sizeof b, 0, "spool segment", e))
        return false;
    f->header_ok = seg_header_get(sv_make(b, sizeof b), &f->h, &why) && f->h.no == f->no && f->h.len <= f->size;
    if (why.code == ERR_UNSUPPORTED) {
        if (e)
            *e = why;
        return err_ctx(e, "segment %" PRIu64, f->no);
    }
    return true;
}

/* Removes what rule (2) calls abandoned. A header that contradicts the one before it does not count as sound. */
static bool check_chain(struct spool *sp, struct found_list *l, struct spool_recovery *rec, struct err *e)
{
    size_t kept = 0;
    uint64_t low_seq = 1;
    for (size_t i = 0; i < l->v.n; i++) {
        struct found f = l->v.at[i];
        if (f.header_ok && (f.h.first_seq < low_seq || f.h.first_seq - low_seq > SEG_SEQ_MAX / 2))
            f.header_ok = false;
        if (f.header_ok) {
            while (kept && l->v.at[kept - 1].no > f.h.prev_no) {
                char name[SEG_NAME_BYTES];
                seg_name(l->v.at[--kept].no, name);
                if (!io_unlinkat(sp->dirfd, name, e))
                    return false;
            }
            low_seq = f.h.first_seq;
            if (kept && l->v.at[kept - 1].no != f.h.prev_no)
                rec->missing_segments++;
        }
        l->v.at[kept++] = f;
    }
    l->v.n = kept;
    return true;
}

/* From the headers: where each segment ends, and a lower bound for where one with a lost header starts. */
static void fill_bounds(struct found_list *l)
{
    uint64_t low_seq = 1;
    for (size_t i = 0; i < l->v.n; i++) {
        struct found *f = &l->v.at[i], *next = i + 1 < l->v.n ? f + 1 : NULL;
        if (!f->header_ok)
            f->h = (struct seg_header){.no = f->no, .first_seq = low_seq, .len = SEG_HEADER_BYTES};
        low_seq = f->h.first_seq;
        if (next && next->header_ok) {
            f->end_known = true;
            f->end_seq = next->h.prev_no == f->no ? next->h.prev_end_seq : next->h.first_seq;
            f->end_seq = MAX(f->end_seq, f->h.first_seq);
        }
    }
}

/* Reads a segment through to learn its end. Counts damage in `rec` and puts it on the segment's books. */
static bool scan(struct spool *sp, struct segment *sg, const struct found *f, bool last, struct spool_recovery *rec,
                 struct err *e)
{
    SCOPED(io_close) int fd = -1;
    if (f->size < sg->header_len)
        return true;
    if (!open_segment(sp, f->no, last ? O_RDWR : O_RDONLY, &fd, e))
        return false;
    struct seg_walk w;
    seg_walk_init(&w, fd, SV_NULL, f->no, sg->header_len, sg->first_seq);
    w.anchored = f->header_ok;
    w.seq_end = f->end_known ? f->end_seq : UINT64_MAX;
    seg_walk_extend(&w, f->size);
    uint64_t good_end = sg->header_len, end_seq = sg->first_seq, held_bytes = 0, held_frames = 0, held_off = 0;
    enum seg_step step;
    while ((step = seg_walk_step(&w, e)) == SEG_FRAME || step == SEG_BAD) {
        if (step == SEG_BAD) { /* a torn tail or damage? the next frame, if any, tells */
            held_off = w.bad_off, held_bytes = w.bad_bytes, held_frames = w.bad_frames;
            continue;
        }
        if (held_bytes)
            segment_count_damage(sp, sg, held_off, held_bytes, held_frames);
        held_bytes = 0;
        good_end = w.off;
        end_seq = w.seq;
    }
    seg_walk_done(&w);
    if (step == SEG_FAILED)
        return false;
    atomic_store(&sg->end, good_end);
    atomic_store(&sg->end_seq, end_seq);
    if (!last) {
        atomic_store(&sg->end, f->size); /* readers meet the damage at its end again: the books know it */
        if (held_bytes)
            segment_count_damage(sp, sg, held_off, held_bytes, held_frames);
        return true;
    }
    rec->torn_bytes += held_bytes;
    if (!f->header_ok && end_seq == sg->first_seq)
        return true; /* goes as a whole, rule (4): not ours to cut, should it be another's file under a second name */
    if (f->size > good_end && !io_truncate(fd, good_end, "spool segment", NULL))
        return true; /* a read-only or failing disk: `end` keeps readers away from the rest */
    return true;
}

/* Puts one found segment into the table. */
static bool adopt(struct spool *sp, const struct found *f, bool last, struct spool_recovery *rec, struct err *e)
{
    struct segment **slot = vec_push(&sp->segs);
    struct segment *sg = slot ? segment_new(f->no, f->h.first_seq, f->h.len) : NULL;
    if (!sg) {
        sp->segs.n -= slot != NULL;
        return err_nomem(e);
    }
    *slot = sg;
    sg->header_lost = !f->header_ok;
    atomic_store(&sg->sealed, true);
    atomic_store(&sg->end, f->size);
    if (f->end_known)
        atomic_store(&sg->end_seq, f->end_seq);
    if (!f->end_known && !scan(sp, sg, f, last, rec, e))
        return err_ctx(e, "segment %" PRIu64, f->no);
    bool no_frames = atomic_load(&sg->end_seq) == sg->first_seq;
    if (!f->header_ok && !(last && no_frames))
        segment_count_damage(sp, sg, 0, MIN(f->size, (uint64_t)SEG_HEADER_BYTES), 0);
    if (last && !f->header_ok && no_frames) { /* rule (4) */
        char name[SEG_NAME_BYTES];
        seg_name(f->no, name);
        rec->torn_bytes += MIN(f->size, (uint64_t)sg->header_len);
        segment_unref(sp, sg);
        sp->segs.n--;
        return io_unlinkat(sp->dirfd, name, e);
    }
    sp->disk_bytes += atomic_load(&sg->end);
    return true;
}

bool spool_recover(struct spool *sp, struct spool_recovery *ret, struct err *e)
{
    SCOPED(found_done) struct found_list l = {0};
    uint64_t cursor;
    if (!list_segments(sp, &l, e))
        return false;
    sp->next_no = l.v.n ? l.v.at[l.v.n - 1].no + 1 : 1;
    for (size_t i = 0; i < l.v.n; i++)
        if (!look_at(sp, &l.v.at[i], e))
            return false;
    if (!cursor_open(sp, &cursor, e) || !check_chain(sp, &l, ret, e))
        return false;
    fill_bounds(&l);
    LOCK_SCOPED(&sp->mu);
    for (size_t i = 0; i < l.v.n; i++)
        if (!adopt(sp, &l.v.at[i], i + 1 == l.v.n, ret, e))
            return false;
    uint64_t end_seq = 1;
    for (size_t i = 0; i < sp->segs.n; i++)
        end_seq = MAX(end_seq, atomic_load(&sp->segs.at[i]->end_seq));
    for (size_t i = 0; i < l.v.n; i++)
        cursor = MAX(cursor, l.v.at[i].header_ok ? l.v.at[i].h.cursor : 0);
    if (sp->segs.n)
        cursor = MAX(cursor, sp->segs.at[0]->first_seq);
    sp->cursor = MAX(cursor, (uint64_t)1);
    sp->next_seq = MAX(MAX(end_seq, sp->cursor), MAX(sp->cfg.next_seq_min, (uint64_t)1));
    ret->bad_bytes = sp->stats.bad_bytes;
    ret->bad_frames = sp->stats.bad_frames;
    for (size_t i = 0; i < sp->segs.n; i++) {
        uint64_t from = MAX(sp->segs.at[i]->first_seq, sp->cursor), to = atomic_load(&sp->segs.at[i]->end_seq);
        ret->frames += to > from ? to - from : 0;
        ret->bytes += to > from ? atomic_load(&sp->segs.at[i]->end) : 0;
    }
    return true;
}

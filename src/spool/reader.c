/* reader.c - walking forward through the segments. A reader looks at `end` and at its own descriptor; the spool's lock is
 * taken only to go to another segment and to book damage. */
#include "spool/spool_int.h"
#include "base/io.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

struct spool_reader {
    struct spool *sp;
    struct segment *sg; /* a reference; NULL: none yet */
    int fd;
    uint64_t next_seq; /* frames below are passed over */
    struct seg_walk w;
};

bool spool_reader_open(struct spool *sp, uint64_t from_seq, struct spool_reader **ret, struct err *e)
{
    struct spool_reader *rd = calloc(1, sizeof *rd);
    if (!rd)
        return err_nomem(e);
    rd->sp = sp;
    rd->fd = -1;
    rd->next_seq = from_seq;
    *ret = rd;
    return true;
}

static void leave_segment(struct spool_reader *rd)
{
    seg_walk_done(&rd->w);
    io_close(rd->fd);
    rd->fd = -1;
    LOCK_SCOPED(&rd->sp->mu);
    segment_unref(rd->sp, rd->sg);
    rd->sg = NULL;
}

void spool_reader_close(struct spool_reader *rd)
{
    if (!rd)
        return;
    leave_segment(rd);
    free(rd);
}

/* Takes the first segment above number `after_no` that may hold next_seq. False: there is none yet. */
static bool pick_segment(struct spool_reader *rd, uint64_t after_no)
{
    struct spool *sp = rd->sp;
    LOCK_SCOPED(&sp->mu);
    for (size_t i = 0; i < sp->segs.n; i++) {
        struct segment *sg = sp->segs.at[i];
        if (sg->no <= after_no || atomic_load(&sg->gone) ||
            (atomic_load(&sg->sealed) && atomic_load(&sg->end_seq) <= rd->next_seq))
            continue;
        sg->refs++;
        rd->sg = sg;
        return true;
    }
    return false;
}

/* 1: on a segment; 0: no segment yet, or it was removed meanwhile (*ret_again); -1: error. */
static int enter_segment(struct spool_reader *rd, uint64_t after_no, bool *ret_again, struct err *e)
{
    *ret_again = false;
    if (!pick_segment(rd, after_no))
        return 0;
    struct segment *sg = rd->sg;
    char name[SEG_NAME_BYTES];
    seg_name(sg->no, name);
    struct err why = {0};
    if (!io_openat(rd->sp->dirfd, name, O_RDONLY, 0, &rd->fd, &why)) {
        *ret_again = atomic_load(&sg->gone);
        leave_segment(rd);
        if (!*ret_again && e)
            *e = why;
        return *ret_again ? 0 : -1;
    }
    uint64_t start = MIN((uint64_t)sg->header_len, atomic_load(&sg->end));
    seg_walk_init(&rd->w, rd->fd, SV_NULL, sg->no, start, sg->first_seq);
    rd->w.anchored = !sg->header_lost;
    return 1;
}

/* Brings the walk up to what the committer published. True: the segment is final. */
static bool catch_up(struct spool_reader *rd)
{
    struct segment *sg = rd->sg;
    bool sealed = atomic_load_explicit(&sg->sealed, memory_order_acquire);
    uint64_t end = atomic_load_explicit(&sg->end, memory_order_acquire);
    if (sealed) {
        rd->w.seq_end = atomic_load_explicit(&sg->end_seq, memory_order_acquire);
        rd->w.end_known = true;
    }
    seg_walk_extend(&rd->w, end);
    return sealed;
}

int spool_read(struct spool_reader *rd, sv *ret_frame, uint64_t *ret_seq, struct err *e)
{
    uint64_t after_no = 0;
    for (;;) {
        bool again, sealed;
        if (rd->sg && atomic_load(&rd->sg->gone)) {
            after_no = rd->sg->no;
            leave_segment(rd);
        }
        if (!rd->sg) {
            int got = enter_segment(rd, after_no, &again, e);
            if (got < 0)
                return err_ctx(e, "spool '%s'", rd->sp->dir), -1;
            if (got == 0 && !again)
                return 0;
            continue;
        }
        sealed = catch_up(rd);
        switch (seg_walk_step(&rd->w, e)) {
        case SEG_FRAME:
            if (rd->w.frame_seq < rd->next_seq)
                continue;
            rd->next_seq = rd->w.frame_seq + 1;
            *ret_frame = rd->w.frame;
            *ret_seq = rd->w.frame_seq;
            return 1;
        case SEG_BAD: {
            LOCK_SCOPED(&rd->sp->mu);
            segment_count_damage(rd->sp, rd->sg, rd->w.bad_off, rd->w.bad_bytes, rd->w.bad_frames);
            continue;
        }
        case SEG_END:
            if (!sealed)
                return 0;
            after_no = rd->sg->no;
            leave_segment(rd);
            continue;
        case SEG_FAILED:
            err_ctx(e, "spool '%s' segment %" PRIu64, rd->sp->dir, rd->sg->no);
            return -1;
        }
    }
}


bool spool_scan_segment(sv bytes, void (*frame)(void *ctx, uint64_t seq, sv frame),
                        void (*bad)(void *ctx, size_t offset, size_t n, const char *why), void *ctx, struct err *e)
{
    struct seg_header h;
    if (!seg_header_get(bytes, &h, e))
        return false;
    if (h.len > bytes.n)
        return err_at(e, ERR_CORRUPT, 12, "spool segment ends inside its header");
    struct seg_walk w;
    seg_walk_init(&w, -1, bytes, h.no, h.len, h.first_seq);
    seg_walk_extend(&w, bytes.n);
    enum seg_step step;
    while ((step = seg_walk_step(&w, e)) == SEG_FRAME || step == SEG_BAD) {
        if (step == SEG_FRAME)
            frame(ctx, w.frame_seq, w.frame);
        else
            bad(ctx, (size_t)w.bad_off, (size_t)w.bad_bytes, w.off < bytes.n ? "damaged" : "no frame up to the end");
    }
    seg_walk_done(&w);
    return step == SEG_END;
}

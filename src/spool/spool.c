/* spool.c - see spool.h. Appends are queued under the lock; one committer at a time takes all that is queued, stamps and
 * writes it with one write per segment, syncs once, publishes the new end to the readers, then calls back.
 * (1) The committer is the spool's thread, or (without own_thread) whoever appends and finds the role free.
 * (2) `end` moves only over bytes that are as safe as the sync mode promises; readers never look beyond it.
 * (3) After a failed write or sync the segment is closed for good and its file cut back to `end`; the frames' numbers
 *     stay used, so a frame that survives a failed cut cannot be mistaken for a later one.
 * (4) The last segment is never removed before the next one exists: its header carries the numbering on. */
#include "spool/spool_int.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define QUEUE_BYTES_MAX ((size_t)64 << 20)
#define QUEUE_KEEP_BYTES ((size_t)8 << 20) /* a queue that grew above this is given back after the commit */
#define SEGMENT_BYTES_DEFAULT ((uint64_t)64 << 20)
#define SEGMENT_BYTES_MIN ((uint64_t)4 << 10)
#define FRAME_BYTES_DEFAULT ((uint64_t)128 << 20)
#define SEGMENTS_PER_CAP 8   /* segments are at most this part of max_bytes, so that trimming frees space in steps */
#define ALLOCATE_STEPS 16    /* space is reserved in this many steps per segment */

void seg_name(uint64_t no, char out[static SEG_NAME_BYTES])
{
    snprintf(out, SEG_NAME_BYTES, "%020" PRIu64 ".seg", no);
}

struct segment *segment_new(uint64_t no, uint64_t first_seq, uint32_t header_len)
{
    struct segment *sg = calloc(1, sizeof *sg);
    if (!sg)
        return NULL;
    sg->no = no;
    sg->first_seq = first_seq;
    sg->header_len = header_len;
    sg->refs = 1;
    atomic_init(&sg->end_seq, first_seq);
    atomic_init(&sg->end, header_len);
    return sg;
}

void segment_unref(struct spool *sp, struct segment *sg)
{
    lock_assert_held(&sp->mu);
    if (sg && --sg->refs == 0)
        free(sg);
}

void segment_count_damage(struct spool *sp, struct segment *sg, uint64_t off, uint64_t bytes, uint64_t frames)
{
    lock_assert_held(&sp->mu);
    if (off < sg->bad_upto)
        return;
    sg->bad_upto = off + MAX(bytes, (uint64_t)1);
    sp->stats.bad_bytes += bytes;
    sp->stats.bad_frames += frames;
}

/* ---- segments: making, sealing, removing (the committer) ---- */

static void count_failure(struct spool *sp)
{
    LOCK_SCOPED(&sp->mu);
    sp->stats.failures++;
}

/* Takes it, which is marked gone, out of the table (index i). */
static void table_remove(struct spool *sp, size_t i)
{
    lock_assert_held(&sp->mu);
    struct segment *sg = sp->segs.at[i];
    ASSERT(atomic_load(&sg->gone));
    sp->disk_bytes -= atomic_load(&sg->end);
    memmove(&sp->segs.at[i], &sp->segs.at[i + 1], (sp->segs.n - i - 1) * sizeof *sp->segs.at);
    sp->segs.n--;
    segment_unref(sp, sg);
}

static bool sync_active(struct spool *sp, struct err *e)
{
    char name[SEG_NAME_BYTES];
    seg_name(sp->active->no, name);
    if (!io_datasync(sp->fd, name, e) || (sp->dir_dirty && !io_sync_dir(sp->dirfd, sp->dir, e)))
        return false;
    sp->dir_dirty = sp->dirty = false;
    sp->synced_ns = clock_mono_ns();
    LOCK_SCOPED(&sp->mu);
    sp->stats.syncs++;
    return true;
}

/* Closes the active segment for good. Frames that are not safe go; a segment without any other frame goes with them. */
static void seal(struct spool *sp)
{
    struct segment *sg = sp->active;
    if (!sg)
        return;
    char name[SEG_NAME_BYTES];
    seg_name(sg->no, name);
    if (sp->dirty && !sync_active(sp, NULL))
        count_failure(sp); /* acknowledged without a promise (interval): all that can be done is to say so */
    uint64_t end = atomic_load(&sg->end);
    bool empty = atomic_load(&sg->end_seq) == sg->first_seq;
    atomic_store(&sg->gone, empty);
    bool cut = empty ? io_unlinkat(sp->dirfd, name, NULL) : io_truncate(sp->fd, end, name, NULL);
    if (!cut)
        count_failure(sp); /* harmless: the next header says where this segment ended, or passes over it */
    io_close(sp->fd);
    sp->fd = -1;
    sp->active = NULL;
    sp->dirty = false;
    atomic_store(&sg->sealed, true);
    LOCK_SCOPED(&sp->mu);
    if (empty)
        table_remove(sp, sp->segs.n - 1);
}

/* Makes the next segment, whose first frame will be `first_seq`. Its name and header become durable with the first sync. */
static bool start_segment(struct spool *sp, uint64_t first_seq, struct err *e)
{
    char name[SEG_NAME_BYTES], header[SEG_HEADER_BYTES];
    struct seg_header h = {.no = sp->next_no++, .first_seq = first_seq};
    lock_acquire(&sp->mu);
    struct segment *prev = sp->segs.n ? sp->segs.at[sp->segs.n - 1] : NULL;
    h.prev_no = prev ? prev->no : 0;
    h.prev_end_seq = prev ? atomic_load(&prev->end_seq) : 0;
    h.cursor = MIN(sp->cursor, first_seq);
    bool room = vec_reserve(&sp->segs, sp->segs.n + 1);
    lock_release(&sp->mu);
    struct segment *sg = room ? segment_new(h.no, first_seq, SEG_HEADER_BYTES) : NULL;
    if (!sg)
        return err_nomem(e);
    seg_name(h.no, name);
    seg_header_put(header, &h);
    SCOPED(io_close) int fd = -1;
    if (!io_openat(sp->dirfd, name, O_RDWR | O_CREAT | O_EXCL, 0640, &fd, e)) {
        free(sg);
        return false;
    }
    if (!io_pwrite_all(fd, sv_make(header, sizeof header), 0, name, e)) {
        free(sg);
        if (!io_unlinkat(sp->dirfd, name, NULL))
            count_failure(sp); /* no header names it: the next opening removes it */
        return false;
    }
    sp->fd = TAKE_FD(fd);
    sp->active = sg;
    sp->allocated = SEG_HEADER_BYTES;
    sp->dirty = false;
    sp->dir_dirty = true;
    LOCK_SCOPED(&sp->mu);
    *vec_push(&sp->segs) = sg;
    sp->disk_bytes += SEG_HEADER_BYTES;
    return true;
}

/* Reserves space ahead of the writing, in steps: a file that need not grow syncs faster, and a full disk shows early.
 * A refusal is no error yet: the write itself may still fit. */
static void allocate_ahead(struct spool *sp, uint64_t want_end)
{
    uint64_t step = MAX(sp->cfg.segment_bytes / ALLOCATE_STEPS, SEGMENT_BYTES_MIN);
    if (want_end <= sp->allocated || sp->cfg.sync == SPOOL_SYNC_OFF)
        return;
    uint64_t size = MIN((want_end + step - 1) / step * step, MAX(sp->cfg.segment_bytes, want_end));
    char name[SEG_NAME_BYTES];
    seg_name(sp->active->no, name);
    sp->allocated = io_allocate(sp->fd, size, name, NULL) ? size : want_end;
}

/* Removes the oldest segment's file, then its entry. It must not be the last one. Marked first: a reader that finds no
 * file must find that it is gone. */
static bool remove_oldest(struct spool *sp, struct err *e)
{
    char name[SEG_NAME_BYTES];
    lock_acquire(&sp->mu);
    struct segment *sg = sp->segs.at[0]; /* only the committer removes: it stays the oldest */
    atomic_store(&sg->gone, true);
    lock_release(&sp->mu);
    seg_name(sg->no, name);
    if (!io_unlinkat(sp->dirfd, name, e)) {
        atomic_store(&sg->gone, false); /* nothing in it is wanted any more, so it does no harm to have passed over it */
        return false;
    }
    LOCK_SCOPED(&sp->mu);
    table_remove(sp, 0);
    return true;
}

static bool oldest_is_consumed(struct spool *sp)
{
    LOCK_SCOPED(&sp->mu);
    return sp->segs.n > 1 && atomic_load(&sp->segs.at[0]->end_seq) <= sp->cursor;
}

static void trim(struct spool *sp)
{
    if (!oldest_is_consumed(sp))
        return;
    bool ok = cursor_store(sp, NULL) && cursor_sync(sp, NULL);
    while (ok && oldest_is_consumed(sp))
        ok = remove_oldest(sp, NULL);
    if (!ok)
        count_failure(sp); /* space is freed a little later: the next trim tries again */
}

/* Moves the cursor over the oldest segment, whose frames are given up, and removes it. */
static bool drop_oldest(struct spool *sp, struct err *e)
{
    lock_acquire(&sp->mu);
    struct segment *sg = sp->segs.at[0];
    uint64_t from = MAX(sg->first_seq, sp->cursor), to = atomic_load(&sg->end_seq);
    if (to > from) {
        sp->stats.dropped_frames += to - from;
        sp->stats.dropped_bytes += atomic_load(&sg->end) - sg->header_len;
        sp->cursor = to;
    }
    lock_release(&sp->mu);
    return cursor_store(sp, e) && cursor_sync(sp, e) && remove_oldest(sp, e);
}

static bool over_cap(struct spool *sp, uint64_t more)
{
    LOCK_SCOPED(&sp->mu);
    return sp->segs.n > 1 && sp->disk_bytes + more > sp->cfg.max_bytes;
}

/* An active segment with room for the frame at `first`; makes room under the cap first. */
static bool prepare(struct spool *sp, const struct append *first, struct err *e)
{
    struct segment *sg = sp->active;
    uint64_t end = sg ? atomic_load(&sg->end) : 0;
    bool has_frames = sg && atomic_load(&sg->end_seq) > sg->first_seq;
    bool full = has_frames && end + first->n > sp->cfg.segment_bytes;
    if (has_frames && sp->cfg.max_bytes) { /* this segment itself may be what is in the way under the cap */
        LOCK_SCOPED(&sp->mu);
        full |= sp->disk_bytes + first->n > sp->cfg.max_bytes &&
                (atomic_load(&sg->end_seq) <= sp->cursor || end + first->n + SEG_HEADER_BYTES > sp->cfg.max_bytes);
    }
    if (full)
        seal(sp);
    if (!sp->active && !start_segment(sp, first->seq, e))
        return false;
    trim(sp);
    while (sp->cfg.max_bytes && sp->cfg.when_full == SPOOL_DROP_OLDEST && over_cap(sp, first->n))
        if (!drop_oldest(sp, e))
            return false;
    return true;
}

/* ---- committing ---- */

/* Appends [from, to) of the batch, which are neighbours in its buffer, to the active segment. */
static bool write_run(struct spool *sp, struct batch *b, size_t from, size_t to, struct err *e)
{
    struct segment *sg = sp->active;
    uint32_t seed = seg_seed(sg->no);
    for (size_t i = from; i < to; i++)
        seg_frame_put(b->bytes.p + b->appends.at[i].off, seed, b->appends.at[i].seq, b->appends.at[i].n - SEG_FRAME_BYTES);
    struct append *first = &b->appends.at[from], *last = &b->appends.at[to - 1];
    sv run = {b->bytes.p + first->off, last->off + last->n - first->off};
    uint64_t end = atomic_load(&sg->end);
    char name[SEG_NAME_BYTES];
    seg_name(sg->no, name);
    allocate_ahead(sp, end + run.n);
    if (!io_pwrite_all(sp->fd, run, end, name, e))
        return false;
    if (sp->cfg.sync == SPOOL_SYNC_ALWAYS && !sync_active(sp, e))
        return false;
    sp->dirty = sp->cfg.sync == SPOOL_SYNC_INTERVAL;
    atomic_store_explicit(&sg->end_seq, last->seq + 1, memory_order_release);
    atomic_store_explicit(&sg->end, end + run.n, memory_order_release);
    LOCK_SCOPED(&sp->mu);
    sp->disk_bytes += run.n;
    sp->inflight_bytes -= run.n;
    sp->stats.appended += to - from;
    return true;
}

/* How many appends from `from` on go into the active segment: at least one, the rest as far as it has room. */
static size_t run_end(struct spool *sp, const struct batch *b, size_t from)
{
    uint64_t end = atomic_load(&sp->active->end) + b->appends.at[from].n;
    size_t to = from + 1;
    while (to < b->appends.n && end + b->appends.at[to].n <= sp->cfg.segment_bytes)
        end += b->appends.at[to++].n;
    return to;
}

static void call_readable(struct spool *sp)
{
    LOCK_SCOPED(&sp->notify_mu);
    if (sp->on_readable)
        sp->on_readable(sp->on_readable_ctx);
}

static void call_done(struct batch *b, size_t from, size_t to, const struct err *e)
{
    for (size_t i = from; i < to; i++)
        b->appends.at[i].done(b->appends.at[i].ctx, b->appends.at[i].seq, e);
}

static void commit(struct spool *sp, struct batch *b)
{
    struct err e = {0};
    size_t i = 0;
    while (i < b->appends.n) {
        if (!prepare(sp, &b->appends.at[i], &e))
            break;
        size_t to = run_end(sp, b, i);
        if (!write_run(sp, b, i, to, &e)) {
            seal(sp);
            break;
        }
        call_readable(sp);
        call_done(b, i, to, NULL);
        i = to;
    }
    if (i < b->appends.n) {
        err_ctx(&e, "spool '%s'", sp->dir);
        count_failure(sp);
        call_done(b, i, b->appends.n, &e);
    }
}

static void batch_reset(struct batch *b)
{
    if (b->bytes.cap > QUEUE_KEEP_BYTES)
        buf_done(&b->bytes);
    buf_reset(&b->bytes);
    b->appends.n = 0;
}

static void batch_done(struct batch *b)
{
    buf_done(&b->bytes);
    vec_done(&b->appends);
}

/* With mu held and the role free: takes the role, does what is to be done, gives the role back. mu is held again after. */
static void do_work(struct spool *sp)
{
    lock_assert_held(&sp->mu);
    ASSERT(!sp->committing);
    sp->committing = true;
    struct batch b = sp->queue;
    sp->queue = sp->spare;
    sp->inflight_bytes = b.bytes.n;
    sp->trim_wanted = false;
    lock_release(&sp->mu);
    commit(sp, &b);
    trim(sp);
    if (sp->dirty && clock_mono_ns() - sp->synced_ns >= sp->cfg.interval_ns && !sync_active(sp, NULL)) {
        count_failure(sp);
        sp->dirty = false; /* the descriptor is not to be trusted with another sync */
        seal(sp);
    }
    batch_reset(&b);
    lock_acquire(&sp->mu);
    sp->spare = b;
    sp->inflight_bytes = 0;
    sp->committing = false;
    cond_broadcast(&sp->idle);
}

static void *committer(void *arg)
{
    struct spool *sp = arg;
    LOCK_SCOPED(&sp->mu);
    while (!sp->closing || sp->queue.appends.n) {
        int64_t due = sp->synced_ns + sp->cfg.interval_ns;
        if (sp->queue.appends.n || sp->trim_wanted || (sp->dirty && clock_mono_ns() >= due))
            do_work(sp);
        else if (sp->dirty)
            cond_wait_until(&sp->work, &sp->mu, due);
        else
            cond_wait(&sp->work, &sp->mu);
    }
    return NULL;
}

/* ---- appending ---- */

/* Bytes on disk that are not consumed: a segment without anything left to consume goes when it is in the way. */
static uint64_t held_bytes(struct spool *sp)
{
    lock_assert_held(&sp->mu);
    uint64_t held = sp->disk_bytes;
    for (size_t i = 0; i < sp->segs.n && atomic_load(&sp->segs.at[i]->end_seq) <= sp->cursor; i++)
        held -= atomic_load(&sp->segs.at[i]->end);
    return held;
}

static bool admit(struct spool *sp, size_t frame_n, bool may_wait, struct err *e)
{
    lock_assert_held(&sp->mu);
    size_t need = frame_n + SEG_FRAME_BYTES;
    const struct spool_config *c = &sp->cfg;
    if (frame_n > c->max_frame_bytes)
        return err_set(e, ERR_LIMIT, "frame of %zu bytes is above the limit of %" PRIu64 " (max_frame_bytes)", frame_n,
                       c->max_frame_bytes);
    if (c->max_bytes && need + SEG_HEADER_BYTES > c->max_bytes)
        return err_set(e, ERR_LIMIT, "frame of %zu bytes is above the spool's cap of %" PRIu64 " (max_bytes)", frame_n,
                       c->max_bytes);
    while (sp->queue.appends.n && sp->queue.bytes.n + need > QUEUE_BYTES_MAX) {
        if (!may_wait)
            return err_set(e, ERR_FULL, "spool '%s': %zu bytes wait for the disk already", sp->dir, sp->queue.bytes.n);
        if (sp->closing)
            break;
        if (!c->own_thread && !sp->committing)
            do_work(sp);
        else
            cond_wait(&sp->idle, &sp->mu);
    }
    if (sp->closing)
        return err_set(e, ERR_CLOSED, "spool '%s' is closed", sp->dir);
    if (c->max_bytes && c->when_full == SPOOL_REFUSE &&
        held_bytes(sp) + sp->queue.bytes.n + sp->inflight_bytes + need + SEG_HEADER_BYTES > c->max_bytes)
        return err_set(e, ERR_FULL, "spool '%s' is full: its cap is %" PRIu64 " bytes (max_bytes)", sp->dir, c->max_bytes);
    return true;
}

static bool enqueue(struct spool *sp, const sv *parts, size_t n_parts, spool_done_fn *done, void *ctx, bool may_wait,
                    struct err *e)
{
    lock_assert_held(&sp->mu);
    size_t n = 0;
    for (size_t i = 0; i < n_parts; i++)
        if (__builtin_add_overflow(n, parts[i].n, &n))
            return err_set(e, ERR_LIMIT, "frame is larger than memory");
    if (!admit(sp, n, may_wait, e))
        return false;
    struct batch *q = &sp->queue;
    char *to = buf_reserve(&q->bytes, SEG_FRAME_BYTES + n);
    struct append *a = to ? vec_push(&q->appends) : NULL;
    if (!a) {
        q->bytes.failed = ERR_NONE;
        return err_nomem(e);
    }
    *a = (struct append){sp->next_seq++, q->bytes.n, SEG_FRAME_BYTES + n, done, ctx};
    q->bytes.n += SEG_FRAME_BYTES; /* filled by the committer, who knows the segment */
    for (size_t i = 0; i < n_parts; i++)
        buf_sv(&q->bytes, parts[i]);
    ASSERT(q->bytes.n == a->off + a->n);
    cond_signal(&sp->work);
    return true;
}

/* An appender that waits for its frame. Each has a lock and condition of its own: a commit of many frames wakes just
 * those it was for, and they do not meet again at the spool's lock. */
struct waiter {
    struct lock mu;
    struct cond cv;
    struct err err;   /* under mu, as the next two */
    uint64_t seq;
    bool ok;
    _Atomic bool done; /* set under mu, last */
};

static void waiter_done(void *ctx, uint64_t seq, const struct err *e)
{
    struct waiter *w = ctx;
    LOCK_SCOPED(&w->mu);
    w->seq = seq;
    w->ok = !e;
    if (e)
        w->err = *e;
    atomic_store(&w->done, true);
    cond_signal(&w->cv);
}

/* Without a committer thread: leads the commit, or waits for the one under way to end. */
static void lead_until_done(struct spool *sp, struct waiter *w)
{
    lock_assert_held(&sp->mu);
    while (!atomic_load(&w->done)) {
        if (!sp->committing)
            do_work(sp);
        else
            cond_wait(&sp->idle, &sp->mu);
    }
}

static bool append_and_wait(struct spool *sp, sv frame, struct waiter *w, struct err *e)
{
    {
        LOCK_SCOPED(&sp->mu);
        if (!enqueue(sp, &frame, 1, waiter_done, w, true, e))
            return false;
        if (!sp->cfg.own_thread)
            lead_until_done(sp, w);
    }
    LOCK_SCOPED(&w->mu);
    while (!atomic_load(&w->done))
        cond_wait(&w->cv, &w->mu);
    if (!w->ok && e)
        *e = w->err;
    return w->ok;
}

bool spool_append(struct spool *sp, sv frame, uint64_t *ret_seq, struct err *e)
{
    struct waiter w = {0};
    lock_init(&w.mu);
    cond_init(&w.cv);
    bool ok = append_and_wait(sp, frame, &w, e);
    if (ok && ret_seq)
        *ret_seq = w.seq;
    cond_done(&w.cv);
    lock_done(&w.mu);
    return ok;
}

bool spool_append_async(struct spool *sp, const sv *parts, size_t n_parts, spool_done_fn *done, void *ctx, struct err *e)
{
    if (!sp->cfg.own_thread)
        return err_set(e, ERR_INVALID, "spool '%s' has no committer thread", sp->dir);
    LOCK_SCOPED(&sp->mu);
    return enqueue(sp, parts, n_parts, done, ctx, false, e);
}

/* ---- the consumer and the watchers ---- */

void spool_on_readable(struct spool *sp, void (*fn)(void *ctx), void *ctx)
{
    LOCK_SCOPED(&sp->notify_mu);
    sp->on_readable = fn;
    sp->on_readable_ctx = ctx;
}

bool spool_consume(struct spool *sp, uint64_t below_seq, struct err *e)
{
    lock_acquire(&sp->mu);
    bool ok = below_seq <= sp->next_seq;
    if (ok && below_seq > sp->cursor)
        sp->cursor = below_seq;
    lock_release(&sp->mu);
    if (!ok)
        return err_set(e, ERR_INVALID, "spool '%s': sequence %" PRIu64 " is not appended yet", sp->dir, below_seq);
    if (!cursor_store(sp, e))
        return err_ctx(e, "spool '%s'", sp->dir);
    if (!oldest_is_consumed(sp))
        return true;
    LOCK_SCOPED(&sp->mu);
    sp->trim_wanted = true;
    cond_signal(&sp->work);
    if (!sp->cfg.own_thread && !sp->committing) /* else: the present committer, or the next, sees to it */
        do_work(sp);
    return true;
}

uint64_t spool_first_seq(struct spool *sp)
{
    LOCK_SCOPED(&sp->mu);
    return sp->cursor;
}

uint64_t spool_next_seq(struct spool *sp)
{
    LOCK_SCOPED(&sp->mu);
    return sp->next_seq;
}

void spool_stats(struct spool *sp, struct spool_stats *ret)
{
    LOCK_SCOPED(&sp->mu);
    *ret = sp->stats;
    ret->segments = sp->segs.n;
    ret->bytes = sp->disk_bytes;
    for (size_t i = 0; i < sp->segs.n; i++) {
        uint64_t from = MAX(sp->segs.at[i]->first_seq, sp->cursor), to = atomic_load(&sp->segs.at[i]->end_seq);
        ret->frames += to > from ? to - from : 0;
    }
}

/* ---- opening and closing ---- */

static void config_fill(struct spool_config *c)
{
    c->segment_bytes = c->segment_bytes ? c->segment_bytes : SEGMENT_BYTES_DEFAULT;
    if (c->max_bytes)
        c->segment_bytes = MIN(c->segment_bytes, c->max_bytes / SEGMENTS_PER_CAP);
    c->segment_bytes = MAX(c->segment_bytes, SEGMENT_BYTES_MIN);
    c->max_frame_bytes = MIN(c->max_frame_bytes ? c->max_frame_bytes : FRAME_BYTES_DEFAULT, SEG_FRAME_MAX);
}

static void spool_free(struct spool *sp)
{
    if (!sp)
        return;
    lock_acquire(&sp->mu);
    for (size_t i = 0; i < sp->segs.n; i++)
        segment_unref(sp, sp->segs.at[i]);
    lock_release(&sp->mu);
    vec_done(&sp->segs);
    batch_done(&sp->queue);
    batch_done(&sp->spare);
    io_close(sp->fd);
    io_close(sp->cursor_fd);
    io_close(sp->dirfd);
    io_close(sp->lock_fd);
    cond_done(&sp->work);
    cond_done(&sp->idle);
    lock_done(&sp->mu);
    lock_done(&sp->cursor_mu);
    lock_done(&sp->notify_mu);
    free(sp->dir);
    free(sp);
}
DEFINE_SCOPED(struct spool *, spool_free)

/* Makes at_name, whose name is durable afterwards. */
static bool make_at(const struct spool_config *c, struct err *e)
{
    struct err why = {0};
    if (io_mkdirat(c->at_fd, c->at_name, 0750, &why)) {
        if (io_sync_dir(c->at_fd, c->at_name, e))
            return true;
        (void)!io_rmdirat(c->at_fd, c->at_name, NULL); /* so that the next try syncs again */
        return false;
    }
    if (why.sys == EEXIST)
        return true;
    if (e)
        *e = why;
    return false;
}

static bool open_dir(struct spool *sp, struct err *e)
{
    const struct spool_config *c = &sp->cfg;
    bool made = c->at_name ? make_at(c, e) : io_mkdir_all(c->dir, e);
    return made && io_openat(c->at_name ? c->at_fd : AT_FDCWD, c->at_name ? c->at_name : c->dir,
                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &sp->dirfd, e);
}

bool spool_open(const struct spool_config *cfg, struct spool **ret, struct spool_recovery *ret_recovery, struct err *e)
{
    struct spool_recovery rec = {0};
    SCOPED(spool_free) struct spool *sp = calloc(1, sizeof *sp);
    if (!sp)
        return err_nomem(e);
    sp->cfg = *cfg;
    sp->fd = sp->cursor_fd = sp->dirfd = sp->lock_fd = -1;
    sp->synced_ns = clock_mono_ns();
    lock_init(&sp->mu);
    lock_init(&sp->cursor_mu);
    lock_init(&sp->notify_mu);
    cond_init(&sp->work);
    cond_init(&sp->idle);
    config_fill(&sp->cfg);
    sp->dir = sv_dup(sv_of(cfg->dir));
    if (!sp->dir)
        return err_nomem(e);
    sp->cfg.dir = sp->dir;
    if (!open_dir(sp, e) || !io_lock_dir(sp->dirfd, sp->dir, &sp->lock_fd, e) || !spool_recover(sp, &rec, e))
        return err_ctx(e, "spool '%s'", sp->dir);
    sp->cfg.at_name = NULL; /* the caller's */
    trim(sp);
    if (cfg->own_thread) {
        int sys = pthread_create(&sp->thread, NULL, committer, sp);
        if (sys)
            return err_sys_code(e, sys, "spool '%s': cannot start its thread", sp->dir);
        sp->thread_started = true;
    }
    if (ret_recovery)
        *ret_recovery = rec;
    *ret = TAKE(sp);
    return true;
}

void spool_close(struct spool *sp)
{
    if (!sp)
        return;
    lock_acquire(&sp->mu);
    sp->closing = true;
    cond_broadcast(&sp->work);
    cond_broadcast(&sp->idle);
    lock_release(&sp->mu);
    if (sp->thread_started)
        pthread_join(sp->thread, NULL);
    seal(sp);
    if (!cursor_store(sp, NULL) || !cursor_sync(sp, NULL))
        count_failure(sp); /* some frames may be delivered again */
    spool_free(sp);
}

void spool_forget(struct spool *sp)
{
    ASSERT(!sp || !sp->thread_started);
    spool_free(sp);
}

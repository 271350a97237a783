/* queue.c - see queue.h.
 * (1) Batching happens here, behind the disk: what a sender was told is safe has never waited in a merge buffer.
 * (2) Takers read in order, one at a time (read_mu). Each batch covers a range of sequence numbers; the spool's cursor
 *     follows the lowest range that is still out. A crash repeats at most what was out.
 * (3) A request cut by send_batch_max_size is carried over to the next batch; its number counts as read, and its size is
 *     given back, with its last piece: the cursor never passes records that were not delivered. The cuts of one request
 *     go on where the last one ended (split.h), so that many small pieces cost no more than few large ones.
 * (4) Sizes are reserved before the append and given back by queue_done(): the capacity holds without a lock.
 * Not here: attempts, waits between them, what becomes of a refused batch (sender.c). */
#include "collector/queue.h"
#include "base/clock.h"
#include "base/endian.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/vec.h"
#include "collector/split.h"
#include "spool/spool.h"
#include <inttypes.h>
#include <stdlib.h>

#define MERGE_BYTES ((size_t)4 << 20) /* a batch of several requests is at most this large: receivers have limits */
#define TENANT_MAX 255
#define READ_RETRY_MS 1000
#define KEEP_BYTES ((size_t)256 << 10) /* larger buffers are given back when nothing waits */

struct range {
    bool out;
    uint64_t first;
};

struct queue {
    char *id;                 /* set by queue_open(), then read-only */
    enum queue_sizer sizer;
    uint64_t capacity;
    struct batching batching;
    struct spool *spool;
    unsigned n_takers;

    _Atomic uint64_t requests, items, bytes, damaged;
    _Atomic bool stopping;

    struct lock wake_mu;
    struct cond wake;
    uint64_t wakes; /* under wake_mu: changes when frames became readable */

    struct lock read_mu; /* what follows */
    struct spool_reader *reader;
    sv frame; /* what the reader gave last, until it is in the carry */
    bool has_frame;
    struct buf merge;
    int64_t merged_ns; /* when the last batch was closed */
    VEC(struct queue_part) parts;
    struct buf carry; /* a request read, but not (wholly) given out: the next batch starts with it */
    sv carry_tenant;  /* into carry */
    sv carry_bytes;
    uint32_t carry_records;
    int64_t carry_arrived;
    uint64_t carry_seq;
    bool has_carry, is_cut; /* is_cut: a part of the carry was given out, `cut` says where the rest begins */
    struct split cut;

    struct lock done_mu;
    struct range *ranges; /* under done_mu: n_takers of them */
    uint64_t next_first;  /* under done_mu: where the next range begins */
};

/* ---- frames ---- */

void queue_frame_header(const struct batch *b, uint8_t out[QUEUE_HEADER])
{
    memset(out, 0, QUEUE_HEADER);
    out[0] = 1;
    out[1] = (uint8_t)b->tenant.n;
    put_le32(out + 4, b->n_records);
    put_le64(out + 8, (uint64_t)b->arrived_wall_ns);
}

bool queue_frame_read(sv frame, struct queue_frame *ret, struct err *e)
{
    const uint8_t *p = (const uint8_t *)frame.p;
    if (frame.n < QUEUE_HEADER || p[0] != 1 || p[2] || p[3])
        return err_set(e, ERR_CORRUPT, "not a queued request of a version we know");
    if (frame.n - QUEUE_HEADER < p[1])
        return err_set(e, ERR_CORRUPT, "a queued request ends early");
    ret->tenant = sv_make(p + QUEUE_HEADER, p[1]);
    ret->bytes = sv_from(frame, QUEUE_HEADER + (size_t)p[1]);
    ret->records = get_le32(p + 4);
    ret->arrived_wall_ns = (int64_t)get_le64(p + 8);
    return true;
}

/* ---- opening ---- */

static void on_readable(void *ctx)
{
    struct queue *q = ctx;
    LOCK_SCOPED(&q->wake_mu);
    q->wakes++;
    cond_broadcast(&q->wake);
}

static void count_waiting(struct queue *q, uint64_t requests, uint64_t items, uint64_t bytes)
{
    atomic_fetch_add(&q->requests, requests);
    atomic_fetch_add(&q->items, items);
    atomic_fetch_add(&q->bytes, bytes);
}

static void release(struct queue *q, uint64_t requests, uint64_t items, uint64_t bytes)
{
    atomic_fetch_sub(&q->requests, requests);
    atomic_fetch_sub(&q->items, items);
    atomic_fetch_sub(&q->bytes, bytes);
}

/* Walks over what is waiting: the capacity and the metrics count it from the first moment. */
static bool count_left_over(struct queue *q, struct err *e)
{
    struct spool_reader *rd;
    if (!spool_reader_open(q->spool, spool_first_seq(q->spool), &rd, e))
        return false;
    sv frame;
    uint64_t seq;
    int r;
    while ((r = spool_read(rd, &frame, &seq, e)) == 1) {
        struct queue_frame f;
        if (queue_frame_read(frame, &f, NULL))
            count_waiting(q, 1, f.records, f.bytes.n);
    }
    spool_reader_close(rd);
    return r == 0;
}

static bool open_spool(struct queue *q, const char *dir, struct err *e)
{
    struct spool_config sc = {.dir = dir, .segment_bytes = (uint64_t)16 << 20, .when_full = SPOOL_REFUSE,
                              .sync = SPOOL_SYNC_ALWAYS, .own_thread = true};
    struct spool_recovery rec;
    if (!spool_open(&sc, &q->spool, &rec, e))
        return false;
    if (rec.frames)
        log_info(q->id, "%" PRIu64 " requests (%" PRIu64 " bytes) wait in the queue from before", rec.frames, rec.bytes);
    if (rec.torn_bytes)
        log_info(q->id, "%" PRIu64 " bytes of an unfinished write cut from the queue", rec.torn_bytes);
    if (rec.bad_frames) {
        log_error(q->id, "%" PRIu64 " damaged requests (%" PRIu64 " bytes) in the queue were skipped", rec.bad_frames,
                  rec.bad_bytes);
        atomic_fetch_add(&q->damaged, rec.bad_frames);
    }
    return true;
}

bool queue_open(const struct queue_config *cfg, struct queue **ret, struct err *e)
{
    struct queue *q = calloc(1, sizeof *q);
    if (!q)
        return err_nomem(e);
    lock_init(&q->wake_mu);
    lock_init(&q->read_mu);
    lock_init(&q->done_mu);
    cond_init(&q->wake);
    q->sizer = cfg->sizer;
    q->capacity = cfg->capacity;
    q->batching = cfg->batching;
    q->n_takers = cfg->n_takers;
    q->id = sv_dup(sv_of(cfg->id));
    q->ranges = calloc(cfg->n_takers, sizeof *q->ranges);
    bool ok = q->id && q->ranges ? true : err_nomem(e);
    ok = ok && open_spool(q, cfg->dir, e) && count_left_over(q, e) &&
         spool_reader_open(q->spool, spool_first_seq(q->spool), &q->reader, e);
    if (!ok) {
        queue_close(q);
        return err_ctx(e, "sending queue of \"%s\"", cfg->id);
    }
    q->next_first = spool_first_seq(q->spool);
    spool_on_readable(q->spool, on_readable, q);
    *ret = q;
    return true;
}

void queue_close(struct queue *q)
{
    if (!q)
        return;
    spool_reader_close(q->reader);
    spool_close(q->spool);
    buf_done(&q->merge);
    buf_done(&q->carry);
    split_done(&q->cut);
    vec_done(&q->parts);
    free(q->ranges);
    free(q->id);
    cond_done(&q->wake);
    lock_done(&q->wake_mu);
    lock_done(&q->read_mu);
    lock_done(&q->done_mu);
    free(q);
}

/* ---- pushing ---- */

struct append {
    struct queue *q;
    push_done_fn *done;
    void *ctx;
    uint64_t items, bytes;
};

static void refuse(push_done_fn *done, void *ctx, enum push_code code, const struct err *why)
{
    struct push_result r = {.code = code, .retry_after_ms = -1, .err = *why};
    done(ctx, &r);
}

/* A frame the spool will never take is the sender's to split; anything else may pass. */
static enum push_code code_of(const struct err *e)
{
    return e->code == ERR_LIMIT ? PUSH_REJECTED : PUSH_RETRY;
}

static void appended(void *ctx, uint64_t seq, const struct err *e)
{
    (void)seq;
    struct append *ap = ctx;
    struct append was = *ap;
    free(ap);
    if (e) {
        release(was.q, 1, was.items, was.bytes);
        refuse(was.done, was.ctx, code_of(e), e);
        return;
    }
    struct push_result r = {.code = PUSH_SENT, .retry_after_ms = -1};
    was.done(was.ctx, &r);
}

static uint64_t size_of(const struct queue *q)
{
    return q->sizer == SIZE_BYTES   ? atomic_load(&q->bytes)
           : q->sizer == SIZE_ITEMS ? atomic_load(&q->items)
                                    : atomic_load(&q->requests);
}

void queue_push(struct queue *q, struct batch *b, push_done_fn *done, void *ctx)
{
    struct err e = {0};
    uint64_t size = q->sizer == SIZE_BYTES ? b->bytes.n : q->sizer == SIZE_ITEMS ? b->n_records : 1;
    if (size > q->capacity || b->tenant.n > TENANT_MAX) {
        err_set(&e, ERR_LIMIT, "element size too large: %" PRIu64 " is more than sending_queue::queue_size", size);
        refuse(done, ctx, PUSH_REJECTED, &e);
        return;
    }
    count_waiting(q, 1, b->n_records, b->bytes.n);
    struct append *ap = NULL;
    if (size_of(q) > q->capacity)
        err_set(&e, ERR_FULL, "sending queue is full");
    else if (!(ap = malloc(sizeof *ap)))
        err_nomem(&e);
    if (ap) {
        uint8_t header[QUEUE_HEADER];
        queue_frame_header(b, header);
        *ap = (struct append){q, done, ctx, b->n_records, b->bytes.n};
        const sv parts[] = {sv_make(header, sizeof header), b->tenant, b->bytes};
        if (spool_append_async(q->spool, parts, ARRAY_LEN(parts), appended, ap, &e))
            return;
    }
    free(ap);
    release(q, 1, b->n_records, b->bytes.n);
    refuse(done, ctx, code_of(&e), &e);
}

/* ---- taking ---- */

/* Waits until frames may have become readable, `until` (0: no limit) passed, or the queue stops. */
static void wait_readable(struct queue *q, uint64_t seen, int64_t until)
{
    LOCK_SCOPED(&q->wake_mu);
    while (q->wakes == seen && !atomic_load(&q->stopping)) {
        if (!until)
            cond_wait(&q->wake, &q->wake_mu);
        else if (!cond_wait_until(&q->wake, &q->wake_mu, until))
            return;
    }
}

static uint64_t wakes_now(struct queue *q)
{
    LOCK_SCOPED(&q->wake_mu);
    return q->wakes;
}

/* The next request into the carry. 1: there is one; 0: nothing waits; -1: try again later. */
static int fill_carry(struct queue *q)
{
    lock_assert_held(&q->read_mu);
    while (!q->has_carry) {
        struct err e = {0};
        int r = q->has_frame ? 1 : spool_read(q->reader, &q->frame, &q->carry_seq, &e);
        if (r < 0)
            log_error(q->id, "cannot read the queue: %s", e.msg);
        if (r <= 0)
            return r;
        struct queue_frame f;
        q->has_frame = false;
        if (!queue_frame_read(q->frame, &f, &e)) {
            log_error(q->id, "request %" PRIu64 " in the queue is skipped: %s", q->carry_seq, e.msg);
            atomic_fetch_add(&q->damaged, 1);
            continue;
        }
        buf_reset(&q->carry);
        buf_sv(&q->carry, f.tenant);
        buf_sv(&q->carry, f.bytes);
        if (!buf_ok(&q->carry, &e)) {
            log_error(q->id, "cannot read the queue: %s", e.msg);
            q->has_frame = true; /* the reader has passed it, and the cursor would with the next batch */
            return -1;
        }
        q->carry_tenant = sv_sub(buf_view(&q->carry), 0, f.tenant.n);
        q->carry_bytes = sv_from(buf_view(&q->carry), f.tenant.n);
        q->carry_records = f.records;
        q->carry_arrived = f.arrived_wall_ns;
        q->has_carry = true;
    }
    return 1;
}

struct merging {
    char tenant[TENANT_MAX];
    size_t tenant_n;
    uint64_t records;
    int64_t arrived_wall_ns;
    uint64_t end_seq, requests, items, bytes;
};

/* The carry, or its next `n` records, onto the merge. */
static void put_carry(struct queue *q, uint32_t n)
{
    if (n == q->carry_records && !q->is_cut) {
        buf_sv(&q->merge, q->carry_bytes);
        return;
    }
    if (!q->is_cut)
        split_start(&q->cut, q->carry_bytes);
    split_take(&q->cut, n == q->carry_records ? UINT64_MAX : n, &q->merge);
    q->is_cut = true;
}

/* Moves the carry (or as much as fits) into the merge. False: the batch is complete without it, or q->merge has failed. */
static bool merge_carry(struct queue *q, struct merging *m)
{
    const struct batching *bt = &q->batching;
    bool first = q->parts.n == 0;
    if (!first && (!sv_eq(q->carry_tenant, sv_make(m->tenant, m->tenant_n)) ||
                   q->merge.n + q->carry_bytes.n > MERGE_BYTES))
        return false;
    struct queue_part *part = vec_push(&q->parts);
    if (!part) {
        if (first)
            q->merge.failed = ERR_NOMEM;
        return false;
    }
    if (first) {
        memcpy(m->tenant, q->carry_tenant.p, q->carry_tenant.n);
        m->tenant_n = q->carry_tenant.n;
        m->arrived_wall_ns = q->carry_arrived;
    }
    uint64_t room = bt->max_records ? bt->max_records - m->records : UINT64_MAX; /* > 0: a full batch takes no more */
    bool whole = q->carry_records <= room;
    *part = (struct queue_part){.at = q->merge.n, .records = whole ? q->carry_records : (uint32_t)room};
    put_carry(q, part->records);
    q->carry_records -= part->records;
    m->end_seq = q->carry_seq;
    if (whole) {
        m->end_seq++;
        m->requests++;
        m->bytes += q->carry_bytes.n;
        q->has_carry = q->is_cut = false;
    }
    part->n = q->merge.n - part->at;
    m->records += part->records;
    m->items += part->records;
    return true;
}

static bool is_full(const struct queue *q, const struct merging *m)
{
    const struct batching *bt = &q->batching;
    return m->records >= bt->min_records || (bt->max_records && m->records >= bt->max_records) ||
           q->merge.n >= MERGE_BYTES;
}

/* Nothing waits: what the largest request needed is not kept for ever. */
static void shrink(struct queue *q)
{
    if (q->merge.cap > KEEP_BYTES)
        buf_done(&q->merge);
    if (q->carry.cap > KEEP_BYTES)
        buf_done(&q->carry);
    split_done(&q->cut);
}

/* Joins requests until the batch is full, its time is up, or (without a timeout) nothing more waits. The time runs from
 * the batch before, as upstream's timer does: after a pause the first request goes at once, and a steady trickle is
 * sent once per timeout. False: stopping. Without memory q->merge has failed. */
static bool merge(struct queue *q, struct merging *m, bool *ret_by_size)
{
    int64_t until = 0;
    buf_reset(&q->merge);
    q->parts.n = 0;
    for (;;) {
        if (atomic_load(&q->stopping))
            return false;
        uint64_t seen = wakes_now(q);
        int r = fill_carry(q);
        if (r == 1) {
            bool taken = merge_carry(q, m);
            if (taken && q->parts.n == 1)
                until = q->merged_ns + q->batching.timeout_ns;
            if (!taken || is_full(q, m)) {
                *ret_by_size = true;
                q->merged_ns = clock_mono_ns();
                return q->parts.n || q->merge.failed;
            }
            continue;
        }
        if (q->parts.n && (r < 0 || clock_mono_ns() >= until)) {
            *ret_by_size = false;
            q->merged_ns = clock_mono_ns();
            return true;
        }
        if (q->parts.n == 0)
            shrink(q);
        wait_readable(q, seen, r < 0 ? clock_mono_ns() + READ_RETRY_MS * NS_PER_MS : q->parts.n ? until : 0);
    }
}

static bool finish_take(struct queue *q, const struct merging *m, struct queue_batch *ret)
{
    struct err e = {0};
    struct batch *b = NULL;
    struct queue_part *parts = buf_ok(&q->merge, &e) ? malloc(q->parts.n * sizeof *parts) : NULL;
    if (parts)
        b = batch_new(buf_view(&q->merge), sv_make(m->tenant, m->tenant_n), (uint32_t)m->records, m->arrived_wall_ns);
    if (!b) {
        free(parts);
        return false;
    }
    memcpy(parts, q->parts.at, q->parts.n * sizeof *parts);
    ret->batch = b;
    ret->parts = parts;
    ret->n_parts = q->parts.n;
    ret->requests = m->requests;
    ret->items = m->items;
    ret->bytes = m->bytes;
    ret->end_seq = m->end_seq;
    LOCK_SCOPED(&q->done_mu);
    ret->first_seq = q->next_first;
    q->next_first = m->end_seq;
    for (ret->slot = 0; ret->slot < q->n_takers && q->ranges[ret->slot].out; ret->slot++)
        ;
    ASSERT(ret->slot < q->n_takers);
    q->ranges[ret->slot] = (struct range){true, ret->first_seq};
    return true;
}

bool queue_take(struct queue *q, struct queue_batch *ret)
{
    *ret = (struct queue_batch){0};
    LOCK_SCOPED(&q->read_mu);
    struct merging m = {0};
    if (!merge(q, &m, &ret->by_size))
        return false;
    if (finish_take(q, &m, ret))
        return true;
    log_error(q->id, "out of memory for a batch; the queue stops until the next start");
    queue_stop(q);
    return false;
}

static void give_back(struct queue *q, struct queue_batch *qb)
{
    (void)q;
    batch_unref(qb->batch);
    free(qb->parts);
    qb->batch = NULL;
    qb->parts = NULL;
}

void queue_done(struct queue *q, struct queue_batch *qb)
{
    release(q, qb->requests, qb->items, qb->bytes);
    struct err e = {0};
    {
        LOCK_SCOPED(&q->done_mu);
        q->ranges[qb->slot].out = false;
        uint64_t below = q->next_first;
        for (unsigned i = 0; i < q->n_takers; i++)
            if (q->ranges[i].out)
                below = MIN(below, q->ranges[i].first);
        if (!spool_consume(q->spool, below, &e))
            log_error(q->id, "cannot move the queue's cursor: %s", e.msg);
    }
    give_back(q, qb);
}

void queue_drop(struct queue *q, struct queue_batch *qb)
{
    ASSERT(atomic_load(&q->stopping)); /* its range stays out: the cursor never passes it again */
    give_back(q, qb);
}

void queue_stop(struct queue *q)
{
    LOCK_SCOPED(&q->wake_mu);
    atomic_store(&q->stopping, true);
    cond_broadcast(&q->wake);
}

void queue_stats(struct queue *q, struct queue_stats *ret)
{
    *ret = (struct queue_stats){.requests = atomic_load(&q->requests), .items = atomic_load(&q->items),
                                .bytes = atomic_load(&q->bytes), .size = size_of(q), .capacity = q->capacity,
                                .damaged = atomic_load(&q->damaged)};
}

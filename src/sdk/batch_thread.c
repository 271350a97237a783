/* batch_thread.c - the batch processor's thread: exports what is due, moves what piles up to disk, says once in a while what was
 * lost. See batcher.h for who may touch what. */
#include "base/clock.h"
#include "base/log.h"
#include "sdk/batcher.h"
#include <inttypes.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RETRY_MS 5000       /* longest wait after a failed export whose receiver did not say, */
#define RETRY_MIN_MS 100    /* and the shortest */
#define ORPHAN_TRIES 5      /* a backlog that cannot be read this often in a row is left to somebody else */
#define ORPHANS_AT_END_MS 1000 /* how long an end in time waits to deliver what others left */
#define FORESEE_MS 1000     /* longest that the thread trusts its guess when a batch will be full */
#define SPILL_RETRY_MS 1000 /* after a spill that failed, while there is room in the ring */

/* ---- waking and sleeping ---- */

void batcher_wake(struct batcher *b)
{
    if (atomic_load(&b->doze) == AWAKE)
        return;
    uint32_t was = atomic_exchange(&b->doze, AWAKE);
    if (was == ASLEEP)
        syscall(SYS_futex, &b->doze, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    else if (was == EXPORTING && b->exporter->wake)
        b->exporter->wake(b->exporter->self);
}

/* Sleeps until `at` (mono ms) or a wake; the lock is open meanwhile. `doze` was set before the last look at what is to be done,
 * so nothing that came after it is slept over. */
static void nap(struct batcher *b, int64_t at)
{
    int64_t ms = at == INT64_MAX ? INT32_MAX : MIN(at - clock_mono_ms(), (int64_t)INT32_MAX);
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS};
    lock_release(&b->mu);
    if (ms > 0)
        syscall(SYS_futex, &b->doze, FUTEX_WAIT_PRIVATE, ASLEEP, &ts, NULL, 0);
    atomic_store(&b->doze, AWAKE);
    lock_acquire(&b->mu);
}

static void waiting(struct batcher *b, struct backlog_stats *ret)
{
    backlog_stats(b->own, ret);
}

void batcher_progress(struct batcher *b, uint64_t *ret_accepted, uint64_t *ret_gone)
{
    struct backlog_stats st = {0};
    lock_assert_held(&b->mu);
    if (b->own)
        waiting(b, &st);
    *ret_accepted = st.accepted;
    *ret_gone = st.accepted - MIN(st.waiting, st.accepted);
}

void batcher_book(struct batcher *b)
{
    struct backlog_stats st;
    lock_assert_held(&b->mu);
    if (!b->own)
        return;
    waiting(b, &st);
    drop_count(&b->drops, DROP_QUEUE_FULL, st.dropped - b->dropped_seen);
    drop_count(&b->drops, DROP_TORN, st.torn - b->torn_seen);
    b->dropped_seen = st.dropped;
    b->torn_seen = st.torn;
    atomic_store_explicit(&b->n_left, ring_puts(backlog_ring(b->own)) - st.ring_records, memory_order_relaxed);
}

/* ---- making room ---- */

static uint64_t used_bytes(const struct batcher *b)
{
    const struct ring *r = backlog_ring(b->own);
    return ring_end(r) - ring_tail(r);
}

static void note(struct batcher *b, const struct err *e)
{
    drop_note(&b->drops, e->msg);
}

/* Disk: what is in the ring moves there. Without one, or when it refuses, the policy decides. */
static void make_room(struct batcher *b)
{
    struct err e = {0};
    bool tight = used_bytes(b) > backlog_ring(b->own)->cap / 4 * 3, disk = *backlog_dir(b->own);
    if (disk && (clock_mono_ms() >= b->spill_at_ms || tight)) {
        if (backlog_spill(b->own, tight, &e))
            return;
        note(b, &e);
        b->spill_at_ms = clock_mono_ms() + SPILL_RETRY_MS;
    }
    if (b->when_full != WEIR_DROP_OLDEST || (disk && !tight))
        return;
    struct backlog_stats st;
    waiting(b, &st);
    (void)backlog_drop(b->own, used_bytes(b) > b->high_bytes ? MIN(st.ring_records / 2, (uint64_t)b->max_queue) : b->max_queue);
}

/* With the lock open, as it takes the disk's time. A put that is under way meanwhile may be counted and not be whole on the disk
 * yet: so once more after the last one. */
static void sync_ring(struct batcher *b)
{
    struct err e = {0};
    uint64_t put = ring_puts(backlog_ring(b->own));
    b->sync_at_ms = clock_mono_ms() + b->sync_ms;
    if (put == b->synced_put && b->synced_twice)
        return;
    struct backlog *own = b->own;
    lock_release(&b->mu);
    bool ok = backlog_sync(own, &e);
    lock_acquire(&b->mu);
    if (!ok) {
        note(b, &e);
        return;
    }
    b->synced_twice = put == b->synced_put;
    b->synced_put = put;
}

/* What cannot wait for the end of an export. */
static void look_after(struct batcher *b)
{
    struct backlog_stats st;
    lock_assert_held(&b->mu);
    waiting(b, &st);
    if (used_bytes(b) > b->high_bytes || (!*backlog_dir(b->own) && st.ring_records > b->max_queue))
        make_room(b);
    batcher_book(b);
    if (b->sync_ms && clock_mono_ms() >= b->sync_at_ms)
        sync_ring(b);
}

/* When the next batch will be full, if records go on coming as they did; INT64_MAX: not soon. Being woken costs the emitting
 * thread more than all the rest of its call, so in a steady stream the thread comes by itself. */
static int64_t foresee_full(struct batcher *b, uint64_t put, uint64_t waits)
{
    int64_t now = clock_mono_ms();
    if (now > b->looked_ms) {
        double rate = (double)(put - b->looked_put) / (double)(now - b->looked_ms);
        b->put_per_ms = b->looked_ms ? (b->put_per_ms + rate) / 2 : 0;
        b->looked_ms = now;
        b->looked_put = put;
    }
    double ms = 1 + (double)(b->max_batch - MIN(waits, (uint64_t)b->max_batch)) * 1.05 / b->put_per_ms;
    return b->put_per_ms > 0 && ms <= FORESEE_MS ? now + (int64_t)ms : INT64_MAX;
}

/* When emitters are to wake us: for a full batch, unless it could not be sent anyway or we come by ourselves; for a ring that fills
 * up. Where no room can be made, not for every record. */
static void set_alarms(struct batcher *b, bool sendable)
{
    struct backlog_stats st;
    struct ring *r = backlog_ring(b->own);
    waiting(b, &st);
    uint64_t put = ring_puts(r), used = used_bytes(b), at = UINT64_MAX;
    b->full_ms = sendable && b->delay_ms ? foresee_full(b, put, st.waiting) : INT64_MAX;
    if (sendable && !b->delay_ms)
        at = put + 1;
    else if (sendable)
        at = put + b->max_batch * (b->full_ms == INT64_MAX ? 1u : 2u) - MIN(st.waiting, (uint64_t)b->max_batch - 1);
    if (!*backlog_dir(b->own)) {
        uint64_t limit = (uint64_t)b->max_queue + MAX(b->max_queue / 8, 1u);
        at = MIN(at, put + limit - MIN(st.ring_records, limit - 1));
    }
    ring_alarm(r, at, used > b->high_bytes ? used + r->cap / 16 : b->high_bytes);
}

static void tend(void *ctx)
{
    struct batcher *b = ctx;
    LOCK_SCOPED(&b->mu);
    look_after(b);
    set_alarms(b, false);
    atomic_store(&b->doze, EXPORTING);
}

void batcher_tend_exporter(struct batcher *b)
{
    if (b->exporter->set_tend)
        b->exporter->set_tend(b->exporter->self, tend, b);
}

/* ---- exporting ---- */

static int64_t retry_at(const struct batcher *b, const weir_export_result *r)
{
    int64_t wait = MIN(MAX(b->delay_ms, (int64_t)RETRY_MIN_MS), (int64_t)RETRY_MS);
    return clock_mono_ms() + (r->retry_after_ms >= 0 ? r->retry_after_ms : wait);
}

static void put_off(struct batcher *b, struct backlog *from, const weir_export_result *r)
{
    if (from == b->own) {
        b->retry_at_ms = retry_at(b, r);
        b->retry_asked = r->retry_after_ms >= 0;
        b->own_retrying = true;
    } else {
        b->orphans.retry_at_ms = retry_at(b, r);
    }
}

static void settle(struct batcher *b, struct backlog *from, uint32_t n, const weir_export_result *r)
{
    lock_assert_held(&b->mu);
    if (r->code == WEIR_EXPORT_RETRY) {
        put_off(b, from, r);
    } else {
        bool foreign = from != b->own || backlog_is_foreign(from);
        uint64_t rejected = MIN(r->n_rejected, (uint64_t)n), sent = r->code == WEIR_EXPORT_OK ? n - rejected : 0;
        if (foreign) {
            b->adopted += sent;
            b->adopted_lost += n - sent;
        } else {
            drop_count(&b->drops, r->code == WEIR_EXPORT_FAILED ? DROP_EXPORT_FAILED : DROP_REJECTED, n - sent);
            atomic_fetch_add(&b->drops.exported, sent);
        }
        backlog_settle(from);
        if (from == b->own) {
            b->retry_at_ms = 0;
            b->own_retrying = false;
        }
        batcher_book(b);
        cond_broadcast(&b->progress);
    }
    if (*r->message)
        drop_note(&b->drops, r->message);
}

enum sent { NOTHING_THERE, SENT, UNREADABLE };

/* One batch of this backlog, if it has one. */
static enum sent export_from(struct batcher *b, struct backlog *from)
{
    sv request;
    uint32_t n;
    struct err e = {0};
    int got = backlog_take(from, &request, &n, &e);
    if (got < 0)
        note(b, &e);
    if (got <= 0)
        return got < 0 ? UNREADABLE : NOTHING_THERE;
    struct weir_batch batch = {request, n, tend, b};
    weir_export_result r = {.retry_after_ms = -1};
    int64_t timeout = b->export_timeout_ms;
    if (b->closing)
        timeout = MIN(timeout, ms_left(b->close_at_ms));
    set_alarms(b, false);
    atomic_store(&b->doze, EXPORTING);
    lock_release(&b->mu);
    exporter_export(b->exporter, &batch, timeout, &r);
    atomic_store(&b->doze, AWAKE);
    lock_acquire(&b->mu);
    settle(b, from, n, &r);
    return SENT;
}

/* When our own records are to be exported (mono ms), retries aside. */
static int64_t own_due(struct batcher *b)
{
    struct backlog_stats st;
    uint64_t accepted, gone;
    waiting(b, &st);
    batcher_progress(b, &accepted, &gone);
    if (!st.waiting)
        return INT64_MAX;
    bool now = b->closing || !b->delay_ms || gone < MIN(b->flush_to, accepted) || st.waiting >= b->max_batch ||
               st.waiting > st.ring_records;
    return now ? 0 : b->due_ms;
}

/* When the thread must act next (mono ms). The timer runs also when there is nothing: a record does not start it, so that
 * emitting one costs no system call; without a delay each record wakes us. */
static int64_t next_action(struct batcher *b)
{
    int64_t at = own_due(b), orphans = orphans_next(b) ? b->orphans.retry_at_ms : INT64_MAX;
    if (!b->own_retrying)
        at = MIN(at, orphans);
    if (b->delay_ms)
        at = MIN(at, b->due_ms);
    if (b->retry_at_ms > at)
        at = b->retry_at_ms;
    if (b->own_retrying)
        at = MIN(at, orphans); /* to be taken over, not sent */
    if (b->sync_ms)
        at = MIN(at, b->sync_at_ms);
    if (b->closing)
        at = MIN(at, b->close_at_ms);
    return at;
}

static void export_own(struct batcher *b)
{
    switch (export_from(b, b->own)) {
    case SENT:
        b->due_ms = clock_mono_ms() + b->delay_ms;
        break;
    case NOTHING_THERE: /* put, but not finished: the emitting thread will be done in no time */
        b->retry_at_ms = clock_mono_ms() + 1;
        b->retry_asked = false;
        break;
    case UNREADABLE:
        b->retry_at_ms = clock_mono_ms() + SPILL_RETRY_MS;
        b->retry_asked = false;
    }
}

/* While our own cannot be sent, a batch of a dead process's goes into our spool, so that one cap bounds what all of them left. Only
 * then: one that the receiver alone will not have stays where it is, or it would be in the way of ours. */
static enum sent take_over(struct batcher *b, struct backlog *orphan)
{
    sv request;
    uint32_t n;
    struct err e = {0};
    int got = backlog_take(orphan, &request, &n, &e);
    if (got <= 0)
        return got < 0 ? UNREADABLE : NOTHING_THERE;
    if (backlog_put_batch(b->own, request, n, &e)) {
        backlog_settle(orphan);
        return SENT;
    }
    note(b, &e);
    b->orphans.retry_at_ms = clock_mono_ms() + SPILL_RETRY_MS;
    return SENT;
}

static void export_orphan(struct batcher *b)
{
    struct backlog *orphan = orphans_next(b);
    if (!orphan || clock_mono_ms() < b->orphans.retry_at_ms)
        return;
    switch (b->own_retrying ? take_over(b, orphan) : export_from(b, orphan)) {
    case SENT:
        break;
    case NOTHING_THERE:
        orphans_close(b);
        break;
    case UNREADABLE:
        b->orphans.retry_at_ms = clock_mono_ms() + SPILL_RETRY_MS;
        if (++b->orphans.failures >= ORPHAN_TRIES)
            orphans_close(b);
    }
}

static void export_due(struct batcher *b)
{
    int64_t now = clock_mono_ms();
    if (now >= b->retry_at_ms) {
        if (own_due(b) <= now)
            export_own(b);
        if (now >= b->due_ms)
            b->due_ms = clock_mono_ms() + b->delay_ms;
    }
    export_orphan(b);
}

/* ---- ending ---- */

/* What could not be delivered in time stays on disk, or is lost. */
static void finish(struct batcher *b)
{
    char dir[200];
    snprintf(dir, sizeof dir, "%.199s", backlog_dir(b->own));
    batcher_book(b);
    uint64_t lost, left = (uint64_t)MAX(backlog_finish(b->own, &lost), (int64_t)0);
    drop_count(&b->drops, DROP_SHUTDOWN, lost);
    b->left_behind = left;
    orphans_done(&b->orphans, false);
    if (!left)
        return;
    lock_release(&b->mu);
    log_warn("sdk", "%" PRIu64 " log records could not be delivered in time; they are kept in %s: the next start of the service, "
                    "weir collector, weir up or weir recover sends them", left, dir);
    lock_acquire(&b->mu);
}

/* Says what was lost, with the lock open. */
static void report(struct batcher *b, int64_t now_ms)
{
    char text[DROP_REPORT_MAX];
    if (!drop_report(&b->drops, now_ms, text))
        return;
    lock_release(&b->mu);
    log_warn("sdk", "%s", text);
    lock_acquire(&b->mu);
}

/* Nothing more to do for an end: our own is delivered, and what others left, if that does not take long. Short-lived processes are
 * the ones that find it. */
static bool all_done(struct batcher *b)
{
    struct backlog_stats st;
    int64_t now = clock_mono_ms();
    waiting(b, &st);
    if (st.waiting)
        return now >= b->close_at_ms;
    if (!b->empty_ms)
        b->empty_ms = now;
    return now >= MIN(b->close_at_ms, b->empty_ms + ORPHANS_AT_END_MS) || b->orphans.retry_at_ms > now || !orphans_next(b);
}

/* A broken invariant on our thread is no reason to end the host: this processor stops, what it holds stays on disk, and whoever
 * waits for it is let go. The thread stays where it is, as others may hold what it was in the middle of. */
static _Thread_local struct batcher *mine;
static void switch_off(void)
{
    struct batcher *b = mine;
    if (!b)
        return; /* not our thread: there is no way back from here */
    mine = NULL;
    if (!lock_held(&b->mu))
        lock_acquire(&b->mu);
    ring_close(backlog_ring(b->own));
    b->closing = b->ended = b->broken = true;
    cond_broadcast(&b->progress);
    lock_release(&b->mu);
    for (;;)
        pause();
}

static void *batcher_main(void *arg)
{
    struct batcher *b = arg;
    mine = b;
    lock_acquire(&b->mu);
    b->due_ms = clock_mono_ms() + b->delay_ms;
    for (;;) {
        atomic_store(&b->doze, ASLEEP); /* before the look around: see nap() */
        look_after(b);
        set_alarms(b, clock_mono_ms() >= b->retry_at_ms);
        report(b, clock_mono_ms());
        if (b->closing && all_done(b))
            break;
        int64_t at = MIN(MIN(next_action(b), b->full_ms), drop_report_at(&b->drops));
        if (at > clock_mono_ms()) {
            cond_broadcast(&b->progress);
            nap(b, at);
        } else {
            atomic_store(&b->doze, AWAKE);
        }
        export_due(b);
    }
    atomic_store(&b->doze, AWAKE);
    finish(b);
    report(b, INT64_MAX);
    b->ended = true;
    cond_broadcast(&b->progress);
    lock_release(&b->mu);
    return NULL;
}

/* The host's signals are not for our thread. */
bool batcher_start(struct batcher *b)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    assert_on_failure(switch_off);
    bool ok = pthread_create(&b->thread, NULL, batcher_main, b) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ok)
        pthread_setname_np(b->thread, "weir-logs");
    atomic_store(&b->started, ok);
    return ok;
}

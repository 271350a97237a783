/* batch_processor.c - weir_batch_processor_new(): a bounded queue, and one thread that sends from it.
 * (1) on_emit() encodes, takes the lock for a copy into the queue, and is done: it waits for nobody.
 * (2) The thread takes up to one batch out of the queue and keeps it until it is delivered or refused for good. A batch that
 *     cannot be sent for now is offered again, while the queue behind it goes on dropping its oldest when full.
 * (3) `gone` counts the records that are no longer ours, `taken` those that ever were: a flush waits until `gone` has passed
 *     what `taken` was when it began.
 * (4) After fork() the child has no thread and an empty queue.
 * Not here: how to retry one call (exporters), what a record looks like (encode.c). */
#include "base/clock.h"
#include "base/log.h"
#include "sdk/env.h"
#include "sdk/pipeline.h"
#include "sdk/queue.h"
#include "sdk/stats.h"
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

struct batcher {
    struct weir_exporter *exporter;
    uint32_t max_batch;
    int64_t delay_ms, export_timeout_ms;
    uint64_t max_batch_bytes; /* all above: set when made, then read-only */
    struct fork_hook fork;

    struct lock mu;
    struct cond work, progress; /* for the thread; for flush and shutdown */
    struct queue queue;         /* under mu, as everything below */
    uint64_t taken, gone, flush_to;
    int64_t oldest_ms;     /* when the oldest in the queue came, roughly */
    int64_t retry_at_ms;   /* the pending batch is not offered before */
    bool retry_asked;      /* because the receiver said so */
    bool started, ended;   /* the thread */
    bool closing;
    int64_t close_at_ms; /* with closing: give up then */
    pthread_t thread;
    struct drop_counts drops;

    struct buf request; /* the thread's: the batch out of the queue */
    size_t request_n;   /* written under mu: its records */
};

/* ---- the thread ---- */

/* Distinct loggers of a batch; more than these are sent in further batches. */
#define SCOPES_MAX 32

/* Moves up to a batch from the queue into the request. */
static void take_batch(struct batcher *b)
{
    struct weir_logger *scopes[SCOPES_MAX] = {0};
    size_t n_scopes = 0, at = SIZE_MAX, n = 0, bytes = 0, s;
    struct queue_frame f;
    lock_assert_held(&b->mu);
    while (n < b->max_batch && queue_next(&b->queue, &at, &f)) {
        if (n && bytes + f.record.n > b->max_batch_bytes)
            break;
        for (s = 0; s < n_scopes && scopes[s] != f.logger; s++)
            ;
        if (s == SCOPES_MAX)
            break;
        if (s == n_scopes)
            scopes[n_scopes++] = f.logger;
        bytes += f.record.n + 16;
        n++;
    }
    buf_reset(&b->request);
    struct batch_writer w;
    batch_begin(&w, &b->request, scopes[0]->provider);
    for (s = 0; s < n_scopes; s++) {
        batch_open_scope(&w, &b->request, scopes[s]);
        at = SIZE_MAX;
        for (size_t i = 0; i < n && queue_next(&b->queue, &at, &f); i++)
            if (f.logger == scopes[s])
                batch_record(&b->request, f.record);
        batch_close_scope(&w, &b->request);
    }
    batch_end(&w, &b->request);
    for (size_t i = 0; i < n; i++)
        queue_drop(&b->queue);
    b->request_n = n;
    b->oldest_ms = clock_mono_ms();
    b->retry_at_ms = 0;
    if (b->request.failed) { /* no memory for the copy */
        drop_count(&b->drops, DROP_NO_MEMORY, n);
        b->gone += n;
        b->request_n = 0;
    }
}

static void settle(struct batcher *b, const weir_export_result *r)
{
    lock_assert_held(&b->mu);
    if (r->code == WEIR_EXPORT_RETRY) {
        int64_t wait = r->retry_after_ms >= 0 ? r->retry_after_ms : MIN(b->delay_ms, (int64_t)5000);
        b->retry_at_ms = clock_mono_ms() + wait;
        b->retry_asked = r->retry_after_ms >= 0;
    } else {
        uint64_t rejected = MIN(r->n_rejected, (uint64_t)b->request_n);
        if (r->code == WEIR_EXPORT_FAILED)
            drop_count(&b->drops, DROP_EXPORT_FAILED, b->request_n);
        else
            drop_count(&b->drops, DROP_REJECTED, rejected);
        if (r->code == WEIR_EXPORT_OK)
            b->drops.exported += b->request_n - rejected;
        b->gone += b->request_n;
        b->request_n = 0;
        cond_broadcast(&b->progress);
    }
    if (*r->message)
        drop_note(&b->drops, r->message);
}

/* Sends the pending batch; the lock is open meanwhile. */
static void send_batch(struct batcher *b)
{
    struct weir_batch batch = {buf_view(&b->request), b->request_n};
    weir_export_result r = {.retry_after_ms = -1};
    int64_t timeout = b->export_timeout_ms;
    if (b->closing)
        timeout = MIN(timeout, ms_left(b->close_at_ms));
    lock_release(&b->mu);
    b->exporter->ops.export_logs(b->exporter->self, &batch, timeout, &r);
    lock_acquire(&b->mu);
    settle(b, &r);
}

/* When the thread must act next (mono ms); INT64_MAX: when woken. */
static int64_t next_action(const struct batcher *b)
{
    if (b->request_n)
        return b->closing ? MIN(b->retry_at_ms, b->close_at_ms) : b->retry_at_ms;
    if (b->queue.n == 0)
        return INT64_MAX;
    if (b->closing || b->gone < b->flush_to || b->queue.n >= b->max_batch)
        return 0;
    return b->oldest_ms + b->delay_ms;
}

static void give_up(struct batcher *b)
{
    uint64_t left = b->request_n + b->queue.n;
    drop_count(&b->drops, DROP_SHUTDOWN, left);
    b->gone += left;
    b->request_n = 0;
    queue_clear(&b->queue);
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

static void *batcher_main(void *arg)
{
    struct batcher *b = arg;
    lock_acquire(&b->mu);
    for (;;) {
        report(b, clock_mono_ms());
        if (b->closing && !b->request_n && !b->queue.n)
            break;
        if (b->closing && clock_mono_ms() >= b->close_at_ms) {
            give_up(b);
            break;
        }
        int64_t at = MIN(next_action(b), drop_report_at(&b->drops));
        if (at > clock_mono_ms()) {
            if (at == INT64_MAX)
                cond_wait(&b->work, &b->mu);
            else
                cond_wait_until(&b->work, &b->mu, at * NS_PER_MS);
        }
        if (next_action(b) > clock_mono_ms() || (b->closing && clock_mono_ms() >= b->close_at_ms))
            continue;
        if (!b->request_n)
            take_batch(b);
        if (b->request_n)
            send_batch(b);
    }
    report(b, INT64_MAX);
    b->ended = true;
    cond_broadcast(&b->progress);
    lock_release(&b->mu);
    return NULL;
}

/* The host's signals are not for our thread. */
static bool start_thread(struct batcher *b)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = pthread_create(&b->thread, NULL, batcher_main, b) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ok)
        pthread_setname_np(b->thread, "weir-logs");
    return ok;
}

/* ---- emitting ---- */

static void batcher_on_emit(void *self, struct weir_record *rec)
{
    struct batcher *b = self;
    sv bytes;
    bool encoded = record_encode(rec, &bytes);
    LOCK_SCOPED(&b->mu);
    if (!encoded || b->closing || bytes.n > queue_max_record(&b->queue)) {
        drop_count(&b->drops, !encoded ? DROP_NO_MEMORY : b->closing ? DROP_AFTER_SHUTDOWN : DROP_TOO_LARGE, 1);
        return;
    }
    while (!queue_push(&b->queue, rec->logger, bytes)) {
        queue_drop(&b->queue);
        drop_count(&b->drops, DROP_QUEUE_FULL, 1);
        b->gone++;
    }
    b->taken++;
    if (b->queue.n == 1)
        b->oldest_ms = clock_mono_ms();
    if (!b->started)
        b->started = start_thread(b); /* when there is no room for a thread now, the next record tries again */
    else if (b->queue.n == 1 || b->queue.n == b->max_batch)
        cond_signal(&b->work);
}

/* ---- flush, shutdown ---- */

/* Somebody waits: a pending batch is tried at once, unless the receiver asked for patience. */
static void hurry(struct batcher *b)
{
    if (!b->retry_asked)
        b->retry_at_ms = 0;
    cond_signal(&b->work);
}

static weir_result batcher_flush(void *self, int64_t timeout_ms)
{
    struct batcher *b = self;
    int64_t deadline = deadline_in(timeout_ms);
    bool in_time = true;
    lock_acquire(&b->mu);
    uint64_t to = b->taken;
    uint64_t lost = drop_lost(&b->drops);
    b->flush_to = MAX(b->flush_to, to);
    hurry(b);
    while (b->gone < to && !b->ended && in_time)
        in_time = cond_wait_until(&b->progress, &b->mu, deadline * NS_PER_MS);
    bool done = b->gone >= to;
    lost = drop_lost(&b->drops) - lost;
    lock_release(&b->mu);
    if (!done)
        return WEIR_TIMEOUT;
    weir_result r = b->exporter->ops.force_flush ? b->exporter->ops.force_flush(b->exporter->self, ms_left(deadline))
                                                 : WEIR_OK;
    return lost ? WEIR_FAILED : r;
}

/* How long past its time a shutdown waits for an exporter to notice that it was stopped. */
#define STOP_GRACE_MS 1000

static weir_result batcher_shutdown(void *self, int64_t timeout_ms)
{
    struct batcher *b = self;
    lock_acquire(&b->mu);
    uint64_t lost = drop_lost(&b->drops);
    b->closing = true;
    b->close_at_ms = deadline_in(timeout_ms);
    if (!b->started) { /* nothing was emitted, or no thread could be started */
        give_up(b);
        b->ended = true;
    }
    hurry(b);
    bool in_time = true;
    while (!b->ended && in_time)
        in_time = cond_wait_until(&b->progress, &b->mu, b->close_at_ms * NS_PER_MS);
    lock_release(&b->mu);
    if (b->exporter->ops.shutdown)
        (void)b->exporter->ops.shutdown(b->exporter->self, ms_left(b->close_at_ms));
    lock_acquire(&b->mu);
    int64_t until = clock_mono_ms() + STOP_GRACE_MS;
    bool waiting = true;
    while (!b->ended && waiting)
        waiting = cond_wait_until(&b->progress, &b->mu, until * NS_PER_MS);
    bool ended = b->ended, started = b->started;
    lost = drop_lost(&b->drops) - lost;
    in_time = in_time && !b->drops.n[DROP_SHUTDOWN];
    lock_release(&b->mu);
    if (ended && started)
        pthread_join(b->thread, NULL);
    return !in_time || !ended ? WEIR_TIMEOUT : lost ? WEIR_FAILED : WEIR_OK;
}

/* ---- fork ---- */

static struct batcher *batcher_of(struct fork_hook *h)
{
    return CONTAINER_OF(h, struct batcher, fork);
}
static void before_fork(struct fork_hook *h)
{
    lock_acquire(&batcher_of(h)->mu);
}
static void after_fork_parent(struct fork_hook *h)
{
    lock_release(&batcher_of(h)->mu);
}
static void after_fork_child(struct fork_hook *h)
{
    struct batcher *b = batcher_of(h);
    lock_init(&b->mu);
    cond_init(&b->work);
    cond_init(&b->progress);
    queue_clear(&b->queue);
    b->taken = b->gone = b->flush_to = 0;
    b->request_n = 0;
    b->request = (struct buf){0}; /* the parent's thread may have been using it: the copy is left alone */
    b->started = false;
    b->drops = (struct drop_counts){0};
    if (b->exporter->ops.after_fork)
        b->exporter->ops.after_fork(b->exporter->self);
}

/* ---- making ---- */

static void batcher_destroy(void *self)
{
    struct batcher *b = self;
    if (!b->closing)
        (void)batcher_shutdown(b, 0);
    fork_hook_remove(&b->fork);
    if (!b->ended)
        return; /* an exporter that does not return still uses all this: better lost than freed */
    weir_exporter_free(b->exporter);
    queue_done(&b->queue);
    buf_done(&b->request);
    cond_done(&b->work);
    cond_done(&b->progress);
    lock_done(&b->mu);
    free(b);
}

static void batcher_add_stats(void *self, weir_stats *s)
{
    struct batcher *b = self;
    LOCK_SCOPED(&b->mu);
    drop_add_stats(&b->drops, s);
    s->queued += b->taken - b->gone;
}

/* The option, else the variable, else the default. */
static int64_t setting(int64_t given, const char *variable, int64_t min, int64_t fallback)
{
    int64_t v = fallback;
    if (given > 0)
        return MIN(given, (int64_t)UINT32_MAX); /* as milliseconds: 49 days */
    env_i64(variable, NULL, min, INT32_MAX, &v);
    return v;
}

weir_processor *weir_batch_processor_new(weir_exporter *exporter, const weir_batch_options *options,
                                         weir_error *ret_error)
{
    weir_batch_options o;
    struct err e = {0};
    if (!exporter) {
        if (ret_error && !*ret_error->message)
            error_set(ret_error, "a batch processor needs an exporter");
        return NULL;
    }
    options_copy(&o, sizeof o, options);
    struct batcher *b = calloc(1, sizeof *b);
    int64_t max_queue = setting(o.max_queue_size, "OTEL_BLRP_MAX_QUEUE_SIZE", 1, 2048);
    int64_t max_batch = setting(o.max_export_batch_size, "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", 1, MIN(max_queue, (int64_t)512));
    if (max_batch > max_queue) {
        log_warn("sdk", "a batch of %" PRId64 " records is larger than the queue of %" PRId64 ": %" PRId64 " are used",
                 max_batch, max_queue, max_queue);
        max_batch = max_queue;
    }
    if (!b || !queue_init(&b->queue, (uint32_t)max_queue, o.max_queue_bytes ? o.max_queue_bytes : 16 << 20, &e)) {
        error_set(ret_error, "%s", b ? e.msg : "out of memory");
        free(b);
        weir_exporter_free(exporter);
        return NULL;
    }
    b->exporter = exporter;
    b->max_batch = (uint32_t)max_batch;
    b->delay_ms = setting(o.schedule_delay_ms, "OTEL_BLRP_SCHEDULE_DELAY", 0, 5000);
    b->export_timeout_ms = setting(o.export_timeout_ms, "OTEL_BLRP_EXPORT_TIMEOUT", 0, 30000);
    if (!b->export_timeout_ms) /* no limit */
        b->export_timeout_ms = INT32_MAX;
    b->max_batch_bytes = o.max_export_batch_bytes ? o.max_export_batch_bytes : 3 << 20;
    lock_init(&b->mu);
    cond_init(&b->work);
    cond_init(&b->progress);
    b->fork = (struct fork_hook){before_fork, after_fork_parent, after_fork_child, NULL};
    fork_hook_add(&b->fork);
    weir_processor_ops ops = {sizeof ops, batcher_on_emit, NULL, batcher_flush, batcher_shutdown, batcher_destroy};
    struct weir_processor *p = weir_processor_new(&ops, b);
    if (p)
        p->add_stats = batcher_add_stats;
    else
        error_set(ret_error, "out of memory");
    return p;
}

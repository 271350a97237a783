/* batch_processor.c - weir_batch_processor_new(): emitting, flushing, and the life of it. See batcher.h for the whole. */
#include "base/clock.h"
#include "base/log.h"
#include "sdk/batcher.h"
#include "sdk/encode.h"
#include "sdk/env.h"
#include "sdk/host_thread.h"
#include "sdk/simple_record.h"
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#define DICT_BYTES (60u << 10)
#define WAKE_STEP_MAX 16 /* puts of a thread that the count for a full batch may lag behind, */
#define WAKE_STEPS 32    /* as a part of the batch */
#define RECORD_ROOM 1024 /* bytes that a record of max_queue_size is given in the ring */

/* ---- opening: with the first record of a process ---- */

static const char *service_of(const struct weir_provider *p)
{
    size_t n;
    const weir_attr *attrs = weir_resource_attributes(p->resource, &n);
    for (size_t i = 0; i < n; i++)
        if (sv_eq(sv_of_weir(attrs[i].key), SV("service.name")) && attrs[i].value.kind == WEIR_STRING)
            return sv_dup(sv_of_weir(attrs[i].value.as.string));
    return sv_dup(SV("unknown_service"));
}

/* A backlog on disk, else one in memory. */
static bool open_backlog(struct batcher *b, const struct weir_provider *p)
{
    struct err e = {0};
    if (!b->service)
        b->service = (char *)service_of(p);
    b->cfg.service = sv_of(b->service);
    b->cfg.base = b->base;
    if (b->base && backlog_new(&b->cfg, buf_view(&p->head), &b->own, &e))
        return true;
    if (b->base && !b->said_memory)
        log_warn("sdk", "records will not survive a crash of this process, the queue is in memory: %s "
                        "(WEIR_SPOOL_DIR names another directory)", e.msg);
    b->said_memory = true;
    b->cfg.base = NULL;
    return backlog_new(&b->cfg, buf_view(&p->head), &b->own, &e);
}

/* NULL: counted, there is nowhere to put the record. */
__attribute__((noinline, cold)) static struct ring *open_ring(struct batcher *b, const struct weir_record *rec)
{
    HOST_GUARDED;
    LOCK_SCOPED(&b->mu);
    struct ring *r = atomic_load(&b->ring);
    if (r)
        return r;
    if (b->closing || (!b->own && !open_backlog(b, rec->logger->provider))) {
        drop_count(&b->drops, b->closing ? DROP_AFTER_SHUTDOWN : DROP_NO_MEMORY, 1);
        return NULL;
    }
    r = backlog_ring(b->own);
    b->high_bytes = r->cap / 2;
    b->counted = !*backlog_dir(b->own) && b->when_full != WEIR_DROP_OLDEST;
    ring_coarse(r, b->counted || !b->delay_ms ? 1 : MIN(b->max_batch / WAKE_STEPS, (uint32_t)WAKE_STEP_MAX));
    ring_alarm(r, UINT64_MAX, b->high_bytes);
    if (batcher_start(b)) /* else the next record tries again */
        atomic_store_explicit(&b->ring, r, memory_order_release);
    return r;
}

/* The scope's reference in the ring's dictionary; 0: it has to stand with the record. */
static uint32_t scope_of(struct batcher *b, struct ring *r, const struct weir_logger *lg)
{
    if (lg->index >= SCOPE_SLOTS)
        return 0;
    uint32_t ref = atomic_load_explicit(&b->scopes[lg->index], memory_order_acquire);
    if (!ref) {
        LOCK_SCOPED(&b->dict_mu);
        ref = atomic_load(&b->scopes[lg->index]);
        if (!ref) {
            ref = ring_define(r, buf_view(&lg->scope));
            ref = ref ? ref : SCOPE_INLINE;
            atomic_store_explicit(&b->scopes[lg->index], ref, memory_order_release);
        }
    }
    return ref == SCOPE_INLINE ? 0 : ref;
}

/* ---- emitting ---- */

static bool over_count(const struct batcher *b, const struct ring *r)
{
    uint64_t put = atomic_load_explicit(&r->n_told, memory_order_relaxed);
    return put - atomic_load_explicit(&b->n_left, memory_order_relaxed) >= b->max_queue;
}

/* Room for n bytes. RING_FULL: and nobody is to wait for it. */
static enum ring_put reserve(struct batcher *b, struct ring *r, uint32_t n, struct ring_slot *ret)
{
    for (;;) {
        enum ring_put got = b->counted && over_count(b, r) ? RING_FULL : ring_reserve(r, n, ret);
        if (got == RING_PUT || got == RING_IS_CLOSED)
            return got;
        batcher_wake(b);
        if (b->when_full != WEIR_BLOCK || !atomic_load(&b->started) || pthread_equal(pthread_self(), b->thread))
            return RING_FULL;
        if (atomic_load(&r->h->head) & RING_CLOSED)
            return RING_IS_CLOSED;
        nanosleep(&(struct timespec){.tv_nsec = NS_PER_MS}, NULL);
    }
}

/* A record that no ring of this size takes. */
__attribute__((noinline, cold)) static void emit_large(struct batcher *b, const struct weir_record *rec, sv bytes)
{
    struct err e = {0};
    HOST_GUARDED;
    {
        LOCK_SCOPED(&b->mu);
        bool closed = b->closing || !b->own, put = !closed && backlog_put_large(b->own, buf_view(&rec->logger->scope), bytes, &e);
        if (!put)
            drop_count(&b->drops, closed                         ? DROP_AFTER_SHUTDOWN
                                  : e.code == ERR_FULL           ? DROP_QUEUE_FULL
                                  : e.code == ERR_NOMEM          ? DROP_NO_MEMORY
                                                                 : DROP_TOO_LARGE, 1);
    }
    batcher_wake(b);
}

static void batcher_foresee(void *self)
{
    const struct ring *r = atomic_load_explicit(&((struct batcher *)self)->ring, memory_order_acquire);
    if (r)
        ring_foresee(r);
}

static void batcher_on_emit(void *self, struct weir_record *rec)
{
    struct batcher *b = self;
    struct ring *r = atomic_load_explicit(&b->ring, memory_order_acquire);
    if (!r && !(r = open_ring(b, rec)))
        return;
    uint32_t scope = scope_of(b, r, rec->logger);
    sv inline_scope = scope ? SV_NULL : buf_view(&rec->logger->scope), bytes = SV_NULL;
    sv site = rec->site ? site_bytes(rec->site) : SV_NULL;
    struct simple plan;
    bool simple = (!rec->site || site.n) &&
                  simple_plan(&rec->r, site, &rec->logger->provider->limits, &plan) &&
                  plan.n + inline_scope.n <= ring_record_max(r);
    if (!simple && !record_encode(rec, &bytes)) {
        drop_count(&b->drops, DROP_NO_MEMORY, 1);
        return;
    }
    size_t n = inline_scope.n + (simple ? plan.n : bytes.n);
    if (n > ring_record_max(r)) {
        emit_large(b, rec, bytes);
        return;
    }
    struct ring_slot slot;
    enum ring_put got = reserve(b, r, (uint32_t)n, &slot);
    if (got != RING_PUT) {
        drop_count(&b->drops, got == RING_FULL ? b->counted ? DROP_QUEUE_FULL : DROP_RING_FULL : DROP_AFTER_SHUTDOWN, 1);
        return;
    }
    if (inline_scope.n)
        memcpy(slot.record, inline_scope.p, inline_scope.n);
    if (simple)
        simple_put(slot.record + inline_scope.n, &rec->r, site, &plan);
    else
        memcpy(slot.record + inline_scope.n, bytes.p, bytes.n);
    if (!ring_publish(r, &slot, scope, (uint32_t)inline_scope.n))
        return; /* the consumer counted it as torn */
    if (slot.alarm)
        batcher_wake(b);
}

/* ---- flush, shutdown ---- */

/* Somebody waits: a batch that failed is tried at once, unless the receiver asked for patience. */
static void hurry(struct batcher *b)
{
    if (!b->retry_asked)
        b->retry_at_ms = 0;
    batcher_wake(b);
}

static uint64_t lost_so_far(struct batcher *b)
{
    batcher_book(b);
    return drop_lost(&b->drops);
}

static weir_result batcher_flush(void *self, int64_t timeout_ms)
{
    struct batcher *b = self;
    int64_t deadline = deadline_in(timeout_ms);
    uint64_t to, gone, put;
    bool in_time = true;
    lock_acquire(&b->mu);
    uint64_t lost = lost_so_far(b);
    batcher_progress(b, &to, &gone);
    b->flush_to = MAX(b->flush_to, to);
    hurry(b);
    while (gone < to && !b->ended && in_time) {
        in_time = cond_wait_until(&b->progress, &b->mu, deadline * NS_PER_MS);
        batcher_progress(b, &put, &gone);
    }
    lost = lost_so_far(b) - lost;
    bool broken = b->broken;
    lock_release(&b->mu);
    if (gone < to || broken)
        return broken ? WEIR_FAILED : WEIR_TIMEOUT;
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
    uint64_t lost = lost_so_far(b);
    b->closing = true;
    b->close_at_ms = deadline_in(timeout_ms);
    if (b->own)
        ring_close(backlog_ring(b->own));
    if (!b->started) { /* nothing was emitted, or no thread could be started */
        uint64_t lost = 0;
        b->left_behind = b->own ? (uint64_t)MAX(backlog_finish(b->own, &lost), (int64_t)0) : 0;
        drop_count(&b->drops, DROP_SHUTDOWN, lost);
        b->ended = true;
    }
    hurry(b);
    bool in_time = true;
    while (!b->ended && in_time)
        in_time = cond_wait_until(&b->progress, &b->mu, b->close_at_ms * NS_PER_MS);
    lock_release(&b->mu);
    if (b->exporter->ops.shutdown)
        (void)b->exporter->ops.shutdown(b->exporter->self, ms_left(b->close_at_ms));
    batcher_wake(b);
    lock_acquire(&b->mu);
    int64_t until = clock_mono_ms() + STOP_GRACE_MS;
    bool waiting = true;
    while (!b->ended && waiting)
        waiting = cond_wait_until(&b->progress, &b->mu, until * NS_PER_MS);
    bool ended = b->ended, started = b->started && !b->broken;
    lost = drop_lost(&b->drops) - lost;
    in_time = in_time && !b->drops.n[DROP_SHUTDOWN] && !b->left_behind;
    lock_release(&b->mu);
    if (ended && started)
        pthread_join(b->thread, NULL);
    return !in_time || !ended ? WEIR_TIMEOUT : lost || b->broken ? WEIR_FAILED : WEIR_OK;
}

/* ---- fork ---- */

static struct batcher *batcher_of(struct fork_hook *h)
{
    return CONTAINER_OF(h, struct batcher, fork);
}
static void before_fork(struct fork_hook *h)
{
    lock_acquire(&batcher_of(h)->mu);
    lock_acquire(&batcher_of(h)->dict_mu);
}
static void after_fork_parent(struct fork_hook *h)
{
    lock_release(&batcher_of(h)->dict_mu);
    lock_release(&batcher_of(h)->mu);
}
static void after_fork_child(struct fork_hook *h)
{
    struct batcher *b = batcher_of(h);
    lock_init(&b->mu);
    lock_init(&b->dict_mu);
    cond_init(&b->progress);
    atomic_store(&b->ring, NULL);
    for (size_t i = 0; i < SCOPE_SLOTS; i++)
        atomic_store_explicit(&b->scopes[i], 0, memory_order_relaxed);
    atomic_store(&b->doze, AWAKE);
    atomic_store(&b->n_left, 0);
    backlog_forget(b->own);
    b->own = NULL;
    orphans_done(&b->orphans, true);
    b->orphans.look_at_ms = b->orphans.retry_at_ms = 0;
    b->orphans.failures = 0;
    b->flush_to = b->synced_put = b->dropped_seen = b->torn_seen = b->left_behind = b->adopted = b->adopted_lost = 0;
    b->retry_at_ms = b->spill_at_ms = b->sync_at_ms = b->looked_ms = 0;
    b->looked_put = 0;
    b->synced_twice = false;
    b->empty_ms = 0;
    atomic_store(&b->started, false);
    memset(&b->drops, 0, sizeof b->drops);
    if (b->exporter->ops.after_fork)
        b->exporter->ops.after_fork(b->exporter->self);
}

/* ---- making ---- */

static void batcher_free(struct batcher *b)
{
    backlog_free(b->own);
    cond_done(&b->progress);
    lock_done(&b->dict_mu);
    lock_done(&b->mu);
    free(b->base);
    free(b->service);
    free(b);
}

static void batcher_destroy(void *self)
{
    struct batcher *b = self;
    if (!b->closing)
        (void)batcher_shutdown(b, 0);
    fork_hook_remove(&b->fork);
    if (!b->ended || b->broken)
        return; /* an exporter that does not return still uses all this: better lost than freed */
    weir_exporter_free(b->exporter);
    batcher_free(b);
}

static void batcher_add_stats(void *self, weir_stats *s)
{
    struct batcher *b = self;
    struct backlog_stats st = {0};
    LOCK_SCOPED(&b->mu);
    batcher_book(b);
    drop_add_stats(&b->drops, s);
    if (b->own)
        backlog_stats(b->own, &st);
    s->queued += b->ended ? 0 : st.waiting;
    s->spilled += st.spilled;
    s->spool_bytes += st.spool_bytes;
    s->left_behind += b->left_behind;
    s->adopted += b->adopted;
    s->adopted_lost += b->adopted_lost;
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
static uint64_t bytes_setting(uint64_t given, const char *variable, uint64_t fallback)
{
    int64_t v = (int64_t)fallback;
    if (given)
        return given;
    env_i64(variable, NULL, 1, INT64_MAX, &v);
    return (uint64_t)v;
}

static weir_when_full when_full_setting(weir_when_full given)
{
    static const struct {
        const char *name;
        weir_when_full value;
    } rows[] = {{"drop_oldest", WEIR_DROP_OLDEST}, {"drop_newest", WEIR_DROP_NEWEST}, {"block", WEIR_BLOCK}};
    const char *text = env_get("WEIR_SPOOL_WHEN_FULL");
    if (given != WEIR_WHEN_FULL_DEFAULT || !text)
        return given == WEIR_DROP_NEWEST || given == WEIR_BLOCK ? given : WEIR_DROP_OLDEST;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (sv_eq_nocase(sv_of(text), sv_of(rows[i].name)))
            return rows[i].value;
    log_warn("sdk", "WEIR_SPOOL_WHEN_FULL: '%s' is none of drop_oldest, drop_newest, block: drop_oldest is used", text);
    return WEIR_DROP_OLDEST;
}

static char *spool_dir_setting(const char *given)
{
    struct err e = {0};
    if (given && *given)
        return strcmp(given, "none") == 0 ? NULL : sv_dup(sv_of(given));
    char *dir = backlog_default_dir(&e);
    if (!dir && e.code != ERR_NONE)
        log_warn("sdk", "records will not survive a crash of this process, there is no directory for them: %s (WEIR_SPOOL_DIR "
                        "names one)", e.msg);
    return dir;
}

static void configure(struct batcher *b, const weir_batch_options *o)
{
    int64_t max_queue = setting(o->max_queue_size, "OTEL_BLRP_MAX_QUEUE_SIZE", 1, 2048);
    int64_t max_batch = setting(o->max_export_batch_size, "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", 1, MIN(max_queue, (int64_t)512));
    if (max_batch > max_queue) {
        log_warn("sdk", "a batch of %" PRId64 " records is larger than the queue of %" PRId64 ": %" PRId64 " are used",
                 max_batch, max_queue, max_queue);
        max_batch = max_queue;
    }
    b->max_queue = (uint32_t)max_queue;
    b->max_batch = (uint32_t)max_batch;
    b->delay_ms = setting(o->schedule_delay_ms, "OTEL_BLRP_SCHEDULE_DELAY", 0, 5000);
    b->export_timeout_ms = setting(o->export_timeout_ms, "OTEL_BLRP_EXPORT_TIMEOUT", 0, 30000);
    if (!b->export_timeout_ms) /* no limit */
        b->export_timeout_ms = INT32_MAX;
    b->sync_ms = setting(o->sync_interval_ms, "WEIR_SPOOL_SYNC_INTERVAL", 0, 0);
    b->when_full = when_full_setting(o->when_full);
    b->base = spool_dir_setting(o->spool_dir);
    b->cfg = (struct backlog_config){
        .ring_bytes = bytes_setting(o->ring_bytes, "WEIR_RING_BYTES", MAX((uint64_t)4 << 20, (uint64_t)max_queue * RECORD_ROOM)),
        .dict_bytes = DICT_BYTES,
        .spill_max_bytes = bytes_setting(o->spool_max_bytes, "WEIR_SPOOL_MAX_BYTES", (uint64_t)256 << 20),
        .durable = b->sync_ms > 0,
        .drop_oldest = b->when_full == WEIR_DROP_OLDEST,
        .batch_records = b->max_batch,
        .batch_bytes = o->max_export_batch_bytes ? o->max_export_batch_bytes : 3 << 20,
    };
    b->cfg.base = b->base;
}

weir_processor *weir_batch_processor_new(weir_exporter *exporter, const weir_batch_options *options,
                                         weir_error *ret_error)
{
    weir_batch_options o;
    if (!exporter) {
        if (ret_error && !*ret_error->message)
            error_set(ret_error, "a batch processor needs an exporter");
        return NULL;
    }
    options_copy(&o, sizeof o, options);
    struct batcher *b = calloc(1, sizeof *b);
    if (!b) {
        error_set(ret_error, "out of memory");
        weir_exporter_free(exporter);
        return NULL;
    }
    b->exporter = exporter;
    configure(b, &o);
    lock_init(&b->mu);
    lock_init(&b->dict_mu);
    cond_init(&b->progress);
    batcher_tend_exporter(b);
    b->fork = (struct fork_hook){before_fork, after_fork_parent, after_fork_child, NULL};
    fork_hook_add(&b->fork);
    weir_processor_ops ops = {sizeof ops, batcher_on_emit, NULL, batcher_flush, batcher_shutdown, batcher_destroy};
    struct weir_processor *p = weir_processor_new(&ops, b);
    if (!p) {
        error_set(ret_error, "out of memory");
        return NULL;
    }
    p->add_stats = batcher_add_stats;
    p->foresee = batcher_foresee;
    p->component = "batching_log_processor";
    p->exporter = exporter;
    p->queue_capacity = b->max_queue;
    return p;
}

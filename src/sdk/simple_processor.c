/* simple_processor.c - weir_simple_processor_new(): each record is a batch of its own, sent on the emitting thread, one at a
 * time. A record whose export fails, for now or for good, is dropped and counted: there is no queue to keep it in. */
#include "base/clock.h"
#include "base/log.h"
#include "sdk/pipeline.h"
#include "sdk/stats.h"
#include <stdlib.h>

/* Longest an emitter is held up. */
#define EXPORT_TIMEOUT_MS 30000

struct simple {
    struct weir_exporter *exporter;
    struct fork_hook fork;
    struct lock mu; /* held while exporting: serialises, as the specification asks */
    struct buf request;
    struct drop_counts drops;
};

static void export_one(struct simple *s, struct weir_record *rec)
{
    struct batch_writer w;
    sv bytes;
    bool encoded = record_encode(rec, &bytes);
    buf_reset(&s->request);
    batch_begin(&w, &s->request, rec->logger->provider);
    batch_open_scope(&w, &s->request, rec->logger);
    if (encoded)
        batch_record(&s->request, bytes);
    batch_close_scope(&w, &s->request);
    batch_end(&w, &s->request);
    if (!encoded || s->request.failed) {
        drop_count(&s->drops, DROP_NO_MEMORY, 1);
        return;
    }
    struct weir_batch batch = {buf_view(&s->request), 1};
    weir_export_result r = {.retry_after_ms = -1};
    exporter_export(s->exporter, &batch, EXPORT_TIMEOUT_MS, &r);
    if (r.code != WEIR_EXPORT_OK)
        drop_count(&s->drops, DROP_EXPORT_FAILED, 1);
    else if (r.n_rejected)
        drop_count(&s->drops, DROP_REJECTED, 1);
    else
        s->drops.exported++;
    if (*r.message)
        drop_note(&s->drops, r.message);
}

static void simple_on_emit(void *self, struct weir_record *rec)
{
    struct simple *s = self;
    char text[DROP_REPORT_MAX] = "";
    if (lock_held(&s->mu)) { /* an exporter that logs: its own records are not sent through itself */
        drop_count(&s->drops, DROP_EXPORT_FAILED, 1);
        return;
    }
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* an exporter waits, and nobody else would release the lock */
    lock_acquire(&s->mu);
    export_one(s, rec);
    drop_report(&s->drops, clock_mono_ms(), text);
    lock_release(&s->mu);
    pthread_setcancelstate(cancel, NULL);
    if (*text)
        log_warn("sdk", "%s", text);
}
static weir_result simple_flush(void *self, int64_t timeout_ms)
{
    struct simple *s = self;
    return s->exporter->ops.force_flush ? s->exporter->ops.force_flush(s->exporter->self, timeout_ms) : WEIR_OK;
}

static weir_result simple_shutdown(void *self, int64_t timeout_ms)
{
    struct simple *s = self;
    return s->exporter->ops.shutdown ? s->exporter->ops.shutdown(s->exporter->self, timeout_ms) : WEIR_OK;
}

/* No lock is taken before a fork: it may be held for as long as an export takes. The child's request is built anew. */
static void after_fork_child(struct fork_hook *h)
{
    struct simple *s = CONTAINER_OF(h, struct simple, fork);
    lock_init(&s->mu);
    s->request = (struct buf){0};
    s->drops = (struct drop_counts){0};
    if (s->exporter->ops.after_fork)
        s->exporter->ops.after_fork(s->exporter->self);
}

static void simple_destroy(void *self)
{
    struct simple *s = self;
    fork_hook_remove(&s->fork);
    weir_exporter_free(s->exporter);
    buf_done(&s->request);
    lock_done(&s->mu);
    free(s);
}

static void simple_add_stats(void *self, weir_stats *ret)
{
    struct simple *s = self;
    LOCK_SCOPED(&s->mu);
    drop_add_stats(&s->drops, ret);
}

weir_processor *weir_simple_processor_new(weir_exporter *exporter, weir_error *ret_error)
{
    if (!exporter) {
        if (ret_error && !*ret_error->message)
            error_set(ret_error, "a simple processor needs an exporter");
        return NULL;
    }
    struct simple *s = calloc(1, sizeof *s);
    if (!s) {
        error_set(ret_error, "out of memory");
        weir_exporter_free(exporter);
        return NULL;
    }
    s->exporter = exporter;
    lock_init(&s->mu);
    s->fork.child = after_fork_child;
    fork_hook_add(&s->fork);
    weir_processor_ops ops = {sizeof ops, simple_on_emit, NULL, simple_flush, simple_shutdown, simple_destroy};
    struct weir_processor *p = weir_processor_new(&ops, s);
    if (!p) {
        error_set(ret_error, "out of memory");
        return NULL;
    }
    p->add_stats = simple_add_stats;
    p->component = "simple_log_processor";
    p->exporter = exporter;
    return p;
}

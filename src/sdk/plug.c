/* plug.c - exporters and processors as tables of functions, batches, and small things all of the SDK uses. */
#include "base/clock.h"
#include "otlp/write.h"
#include "sdk/pipeline.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *weir_version(void)
{
    return WEIR_VERSION;
}

void error_set(weir_error *e, const char *fmt, ...)
{
    if (!e)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->message, sizeof e->message, fmt, ap);
    va_end(ap);
}

void options_copy(void *to, size_t size, const void *from)
{
    size_t theirs = 0;
    memset(to, 0, size);
    if (from)
        memcpy(&theirs, from, sizeof theirs); /* struct_size comes first */
    if (theirs)
        memcpy(to, from, MIN(theirs, size));
    memcpy(to, &size, sizeof size);
}

int64_t deadline_in(int64_t timeout_ms)
{
    return clock_mono_ms() + MIN(MAX(timeout_ms, (int64_t)0), (int64_t)UINT32_MAX * 1000); /* 136 years: sums do not overflow */
}

int64_t ms_left(int64_t deadline_ms)
{
    int64_t left = deadline_ms - clock_mono_ms();
    return MAX(left, (int64_t)0);
}

static void exporter_after_fork(struct fork_hook *h)
{
    struct weir_exporter *e = CONTAINER_OF(h, struct weir_exporter, fork);
    atomic_store(&e->in_flight, 0);
    durations_after_fork(&e->durations);
}

weir_exporter *weir_exporter_new(const weir_exporter_ops *ops, void *self)
{
    struct weir_exporter *e = calloc(1, sizeof *e);
    if (!e) {
        if (ops->destroy)
            ops->destroy(self);
        return NULL;
    }
    options_copy(&e->ops, sizeof e->ops, ops);
    e->self = self;
    durations_init(&e->durations);
    e->fork.child = exporter_after_fork;
    fork_hook_add(&e->fork);
    return e;
}

void exporter_export(struct weir_exporter *e, const weir_batch *batch, int64_t timeout_ms, weir_export_result *ret)
{
    struct outcome how = {0};
    atomic_fetch_add(&e->in_flight, batch->n);
    int64_t began = clock_mono_ns();
    e->ops.export_logs(e->self, batch, timeout_ms, ret);
    int64_t took = clock_mono_ns() - began;
    atomic_fetch_sub(&e->in_flight, batch->n);
    if (e->outcome)
        e->outcome(e->self, &how);
    if (ret->code == WEIR_EXPORT_OK)
        how.error = ret->n_rejected ? "rejected" : NULL;
    else if (!how.error)
        how.error = "export_failed";
    durations_add(&e->durations, &how, took);
}

void weir_exporter_free(weir_exporter *e)
{
    if (!e)
        return;
    fork_hook_remove(&e->fork);
    if (e->ops.destroy)
        e->ops.destroy(e->self);
    durations_done(&e->durations);
    free(e);
}

weir_processor *weir_processor_new(const weir_processor_ops *ops, void *self)
{
    struct weir_processor *p = calloc(1, sizeof *p);
    if (!p) {
        if (ops->destroy)
            ops->destroy(self);
        return NULL;
    }
    options_copy(&p->ops, sizeof p->ops, ops);
    p->self = self;
    return p;
}

void weir_processor_free(weir_processor *p)
{
    if (p && p->ops.destroy)
        p->ops.destroy(p->self);
    free(p);
}

size_t weir_batch_size(const weir_batch *b)
{
    return b->n;
}

weir_string weir_batch_otlp(const weir_batch *b)
{
    return (weir_string){b->bytes.p, b->bytes.n};
}

void weir_batch_tend(const weir_batch *b)
{
    if (b->tend)
        b->tend(b->tend_ctx);
}

/* ---- writing a batch: ExportLogsServiceRequest.resource_logs, ResourceLogs.scope_logs, ScopeLogs.log_records ---- */

void batch_begin(struct batch_writer *w, struct buf *out, const struct weir_provider *p)
{
    w->resource = otlp_open(out, 1);
    buf_sv(out, buf_view(&p->head));
}
void batch_open_scope(struct batch_writer *w, struct buf *out, const struct weir_logger *lg)
{
    w->scope = otlp_open(out, 2);
    buf_sv(out, buf_view(&lg->scope));
}
void batch_record(struct buf *out, sv record)
{
    otlp_put_bytes(out, 2, record);
}
void batch_close_scope(struct batch_writer *w, struct buf *out)
{
    otlp_close(out, w->scope);
}
void batch_end(struct batch_writer *w, struct buf *out)
{
    otlp_close(out, w->resource);
}

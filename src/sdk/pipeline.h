/* pipeline.h - the parts behind weir/sdk.h as the SDK's own files see them. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/counter.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/vec.h"
#include "sdk/durations.h"
#include "sdk/fork.h"
#include "sdk/limits.h"
#include "sdk/resource.h"
#include <weir/log.h>
#include <weir/sdk.h>

struct weir_exporter {
    weir_exporter_ops ops;
    void *self;
    /* Exporters that wait within export_logs, for a peer or before another attempt; else NULL. set_tend: before the first
     * export; from then on tend(ctx) runs on the exporting thread at least every TEND_EVERY_MS of such a wait, and soon after
     * wake(), which any thread may call. tend() must not call the exporter. */
    void (*set_tend)(void *self, void (*tend)(void *ctx), void *ctx);
    void (*wake)(void *self);
    const char *component; /* otel.component.type of metrics; NULL: another's, counted as "custom_log_exporter" */
    const char *server;    /* the address all its exports go to, and its port; NULL: there are several, or none */
    uint16_t port;
    /* How the export ended that has just returned, for metrics; called on its thread. NULL: only its result tells. */
    void (*outcome)(void *self, struct outcome *ret);
    struct durations durations;
    _Atomic uint64_t in_flight; /* records of the call under way */
    struct fork_hook fork;      /* an export under way is the parent's */
};
#define TEND_EVERY_MS 20
/* How processors export: ops.export_logs, counted and timed. */
void exporter_export(struct weir_exporter *e, const weir_batch *batch, int64_t timeout_ms, weir_export_result *ret);

struct weir_processor {
    weir_processor_ops ops;
    void *self;
    /* Of built-in ones; else NULL. */
    void (*add_stats)(void *self, weir_stats *ret);
    void (*foresee)(void *self); /* a record is about to come */
    /* what metrics need of built-in ones */
    const char *component; /* otel.component.type */
    struct weir_exporter *exporter;
    uint64_t queue_capacity; /* records; 0: it has no queue */
};
struct weir_batch {
    sv bytes; /* ExportLogsServiceRequest */
    size_t n;
    void (*tend)(void *ctx); /* weir_batch_tend(); NULL: nothing to do meanwhile */
    void *tend_ctx;
};

struct weir_logger {
    struct weir_provider *provider;
    struct buf scope; /* what stands before the records of a ScopeLogs message: scope and schema URL; the key in the map */
    char *name, *version;
    uint32_t index; /* counts the provider's loggers from 0 */
    _Atomic uint64_t gate; /* the LoggerConfig in force: see logger_config.h */
    weir_scope asked;      /* for the configurator; in `mem` */
    struct arena mem;
};

struct weir_provider {
    struct weir_resource *resource;
    struct buf head; /* what stands before the scopes of a ResourceLogs message; changes only in a forked child */
    struct limits limits;
    int32_t minimum_severity;
    weir_logger_configurator configure_logger; /* may be NULL */
    void *configure_context;
    struct weir_processor **processors;
    size_t n_processors;
    struct fork_hook fork;
    _Atomic bool shut_down;
    struct counter emitted;
    _Atomic uint64_t after_shutdown, discarded_attributes;
    struct lock mu;
    struct map loggers; /* under mu: by scope bytes */
};

struct weir_record {
    weir_log_record r;
    const weir_site *site; /* until the attributes are our own: then they hold it */
    struct weir_logger *logger;
    struct arena mem; /* what processors set */
    weir_attr *attrs; /* r.attributes, once they are our own */
    size_t cap;
    bool discarded;
};

const weir_trace_context *trace_current(void); /* the calling thread's, all zero when there is none */

/* Encodes a record into a buffer of the calling thread. False: no memory. *ret lives until the thread's next call. */
MUST_USE bool record_encode(struct weir_record *rec, sv *ret);

/* Puts r.exception among the attributes, where they do not say the same already. Without memory the record goes without. */
void record_add_exception(struct weir_record *rec);

/* A request of records of one provider: begin, then for each logger: open, records, close; end. */
struct batch_writer {
    size_t resource, scope;
};
void batch_begin(struct batch_writer *w, struct buf *out, const struct weir_provider *p);
void batch_open_scope(struct batch_writer *w, struct buf *out, const struct weir_logger *lg);
void batch_record(struct buf *out, sv record);
void batch_close_scope(struct batch_writer *w, struct buf *out);
void batch_end(struct batch_writer *w, struct buf *out);

void error_set(weir_error *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Copies a caller's options struct into ours: as much as both know, the rest zero. */
void options_copy(void *to, size_t size, const void *from);
/* The deadline (mono ms) of an operation with this time limit; a limit beyond any process's life is none. */
int64_t deadline_in(int64_t timeout_ms);
/* The time limit of a part of an operation that must end at `deadline` (mono ms); at least 0. */
int64_t ms_left(int64_t deadline_ms);

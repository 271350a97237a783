/** @file sdk.h
 *  The Logs SDK (OpenTelemetry specification, "Logs SDK" and "Resource SDK"): what becomes of the records.
 *
 *      weir_provider *provider = weir_start("shop", NULL);   // from OTEL_* variables, sets the global provider
 *      weir_logger *lg = weir_logger_get("shop.orders");
 *      ...
 *      weir_stop(5000);
 *
 *  or piece by piece: exporter -> processor -> provider. Each piece takes ownership of the ones put into it, also when
 *  it then fails.
 *
 *  Process: the library starts one thread, when the first record is emitted; it installs no signal handlers and
 *  prints nothing but rate-limited warnings on stderr. After fork() the child starts with an empty queue and a thread of
 *  its own; what was queued before is sent once, by the parent; a service.instance.id that was made up is made anew, and a
 *  process.pid that was detected is the child's.
 *  Threads: unless a function says otherwise, any. Option structs start from their ..._init() function; 0 and NULL in a
 *  field mean "take the environment variable, else the default". */
#ifndef WEIR_SDK_H
#define WEIR_SDK_H

#include <weir/logs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- resource ---- */

/** What emits: immutable attributes and an optional schema URL. */
typedef struct weir_resource weir_resource;

/** Copies. NULL when out of memory. */
WEIR_API weir_resource *weir_resource_new(const weir_attr *attributes, size_t n_attributes, const char *schema_url);
/** The SDK's defaults under the environment's: telemetry.sdk.{name,language,version}, service.name
 *  (`unknown_service:<executable>`), service.instance.id (a random UUID), what the detectors of
 *  OTEL_EXPERIMENTAL_RESOURCE_DETECTORS find, then OTEL_RESOURCE_ATTRIBUTES (as a whole or, when a part of it cannot be read, with
 *  a warning not at all), then OTEL_SERVICE_NAME. NULL when out of memory. */
WEIR_API weir_resource *weir_resource_default(void);
/** What detectors find, as attributes of the semantic conventions. `names` is a comma list; NULL: the one of
 *  OTEL_EXPERIMENTAL_RESOURCE_DETECTORS; `all` or `*`: each of these:
 *    service    service.name as OTEL_SERVICE_NAME says, service.instance.id (a random UUID)
 *    process    process.pid, .parent_pid, .executable.name, .executable.path, .command, .command_args (which may hold
 *               secrets), .owner. In a forked child the pids are the child's
 *    host       host.name, host.id (from /etc/machine-id), host.arch
 *    os         os.type, os.name, os.version, os.description (from /etc/os-release)
 *    container  container.id, where docker, containerd, cri-o, podman and the like let it be seen from inside
 *  What cannot be found out is left out. NULL: a name is unknown (in the environment's list that is a warning), or out of
 *  memory; `ret_error` (may be NULL) says which. */
WEIR_API weir_resource *weir_resource_detect(const char *names, weir_error *ret_error);
/** A new resource with the attributes of both; `updating` wins, also with an empty value. Two different non-empty
 *  schema URLs: a warning, and the result has none. NULL inputs count as empty. */
WEIR_API weir_resource *weir_resource_merge(const weir_resource *old, const weir_resource *updating);
/** The attributes, valid as long as the resource. */
WEIR_API const weir_attr *weir_resource_attributes(const weir_resource *resource, size_t *ret_n);
WEIR_API const char *weir_resource_schema_url(const weir_resource *resource); /* "" when none */
WEIR_API void weir_resource_free(weir_resource *resource);

/* ---- exporters ---- */

/** A run of records of one provider, to be sent somewhere. Valid during the export call only. */
typedef struct weir_batch weir_batch;
WEIR_API size_t weir_batch_size(const weir_batch *batch); /* records */
/** The batch as serialized ExportLogsServiceRequest (opentelemetry-proto), which is also a LogsData message. */
WEIR_API weir_string weir_batch_otlp(const weir_batch *batch);
/** A custom exporter that waits long (for a peer, a disk) calls this every now and then while it waits: the processor then
 *  moves records that pile up behind it to disk. Only inside export_logs, on its thread. */
WEIR_API void weir_batch_tend(const weir_batch *batch);

typedef enum weir_export_code {
    WEIR_EXPORT_OK = 0, /**< delivered, but for `n_rejected` records */
    WEIR_EXPORT_RETRY,  /**< not delivered, the same batch may be offered again later */
    WEIR_EXPORT_FAILED  /**< not delivered and never will be: the records are dropped and counted */
} weir_export_code;

typedef struct weir_export_result {
    weir_export_code code;
    uint64_t n_rejected;    /**< records that the receiver refused for good (partial success) */
    int64_t retry_after_ms; /**< with RETRY: not before; -1: the receiver did not say */
    char message[256];      /**< why, unless all went well */
} weir_export_result;

/** An exporter, as a table of functions. The processors never call export_logs twice at a time; force_flush and shutdown
 *  may come from another thread meanwhile. Each must return within timeout_ms. shutdown makes an export under way return
 *  soon, and later ones fail. Any pointer but export_logs may be NULL. */
typedef struct weir_exporter_ops {
    size_t struct_size; /**< sizeof(weir_exporter_ops) */
    void (*export_logs)(void *self, const weir_batch *batch, int64_t timeout_ms, weir_export_result *ret);
    weir_result (*force_flush)(void *self, int64_t timeout_ms);
    weir_result (*shutdown)(void *self, int64_t timeout_ms);
    void (*after_fork)(void *self); /**< in the child: forget connections and threads of the parent */
    void (*destroy)(void *self);    /**< last call */
} weir_exporter_ops;
typedef struct weir_exporter weir_exporter;
/** `ops` is copied. NULL when out of memory (then destroy was called). */
WEIR_API weir_exporter *weir_exporter_new(const weir_exporter_ops *ops, void *self);
WEIR_API void weir_exporter_free(weir_exporter *exporter); /* one that was not put into a processor */

typedef enum weir_otlp_protocol {
    WEIR_OTLP_DEFAULT = 0, /**< OTEL_EXPORTER_OTLP_LOGS_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL, else gRPC */
    WEIR_OTLP_GRPC,
    WEIR_OTLP_HTTP_PROTOBUF,
    WEIR_OTLP_HTTP_JSON
} weir_otlp_protocol;

/** How several endpoints are used. A batch goes to one of them: to the next when one fails for now, to nobody else once one
 *  took it or refused it for good. Only when all failed the exporter waits (1 s, growing to 5 s) before it asks again. */
typedef enum weir_otlp_balance {
    WEIR_OTLP_BALANCE_DEFAULT = 0, /**< WEIR_EXPORTER_OTLP_BALANCE (failover, round_robin), else failover */
    WEIR_OTLP_FAILOVER,            /**< the first that works; one that failed is asked again after failback_ms */
    WEIR_OTLP_ROUND_ROBIN          /**< another one for each batch; those that failed less than failback_ms ago last */
} weir_otlp_balance;

/** The OTLP exporter (specification, "OpenTelemetry Protocol Exporter"). Strings are copied. In brackets: the variables,
 *  of which the one with LOGS_ wins, and the default. */
typedef struct weir_otlp_options {
    size_t struct_size;
    weir_otlp_protocol protocol;
    const char *endpoint;    /**< [OTEL_EXPORTER_OTLP_{LOGS_,}ENDPOINT; http://localhost:4317, for HTTP :4318] with HTTP
                                  the full URL, or without a path. https:// for TLS. Several with commas between: see
                                  `balance` */
    const char *headers;     /**< [..._HEADERS] "key=value,key2=value2", values percent-encoded */
    int64_t timeout_ms;      /**< [..._TIMEOUT; 10000] of one export with all its retries */
    const char *compression; /**< [..._COMPRESSION; none] "gzip" or "none". gzip is done by the zlib that libcurl brings along;
                                  without one it is an error here, and a warning and "none" when asked for by the
                                  environment */
    const char *certificate;        /**< [..._CERTIFICATE] PEM file of trusted CAs; else the system's */
    const char *client_certificate; /**< [..._CLIENT_CERTIFICATE] PEM file */
    const char *client_key;         /**< [..._CLIENT_KEY] PEM file */
    int insecure; /**< [..._INSECURE; no] for gRPC endpoints without a scheme: > 0 plain text, < 0 TLS */
    weir_otlp_balance balance;
    int64_t failback_ms;        /**< [30000] how long an endpoint that failed comes after the others */
    int64_t max_retry_after_ms; /**< [300000] longest wait a receiver may ask for (Retry-After, RetryInfo); more counts as this */
} weir_otlp_options;
static inline weir_otlp_options weir_otlp_options_init(void)
{
    weir_otlp_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}
/** Opens no connection yet. NULL: an option is wrong, `ret_error` (may be NULL) says which. */
WEIR_API weir_exporter *weir_otlp_exporter_new(const weir_otlp_options *options, weir_error *ret_error);

/** The OTLP file exporter (specification, "OpenTelemetry Protocol File Exporter"): each batch becomes one line of OTLP/JSON
 *  (a LogsData message) at the end of the file, by one write; a line that a full disk cuts short is cut off again, and the batch
 *  may be offered again. `path`: a file, made with mode 0640 or appended to, and opened anew when it was moved away; processes
 *  may share it. NULL or "stdout": standard output. Written is not synced: it survives the process, not a power cut.
 *  NULL: `ret_error` (may be NULL) says why. */
WEIR_API weir_exporter *weir_otlp_file_exporter_new(const char *path, weir_error *ret_error);

/** For people, on standard output, one line a record:
 *      2026-08-21T10:00:00.123456Z INFO  shop.orders: order 7 accepted order=7 by="a b" trace_id=… span_id=… service.name=shop
 *  time (or, without one, when it was observed), severity text or name, scope ("-" without a name), body, attributes, ids, event
 *  name, and of the resource service.name. Maps and arrays are JSON; values with blanks, quotes or '=' are in quotes; control
 *  characters are \xNN. Meant for the simple processor. */
WEIR_API weir_exporter *weir_console_exporter_new(weir_error *ret_error);

/* ---- processors ---- */

/** A record on its way through the processors: what the emitter gave, resolved (times, trace context). Belongs to the
 *  call of on_emit; not for other threads. */
typedef struct weir_record weir_record;
/** A view of all fields; valid until the next change. */
WEIR_API const weir_log_record *weir_record_get(weir_record *record);
WEIR_API const weir_resource *weir_record_resource(const weir_record *record);
WEIR_API weir_string weir_record_scope_name(const weir_record *record);
WEIR_API weir_string weir_record_scope_version(const weir_record *record);
/** Changes, seen by the processors after this one. Views passed in are copied. False: out of memory, nothing changed. */
WEIR_API bool weir_record_set_attribute(weir_record *record, weir_attr attribute); /* adds or overwrites */
WEIR_API bool weir_record_remove_attribute(weir_record *record, weir_string key); /* false also: not there */
WEIR_API bool weir_record_set_body(weir_record *record, weir_value body);
WEIR_API void weir_record_set_severity(weir_record *record, int32_t severity_number);
WEIR_API bool weir_record_set_severity_text(weir_record *record, weir_string text);
/** Later processors do not get this record. */
WEIR_API void weir_record_discard(weir_record *record);

/** A processor, as a table of functions. on_emit runs on the emitting thread, in registration order, and must neither
 *  block nor throw; it may be called from several threads at once. Any pointer may be NULL; without `enabled` it counts
 *  as enabled. */
typedef struct weir_processor_ops {
    size_t struct_size; /**< sizeof(weir_processor_ops) */
    void (*on_emit)(void *self, weir_record *record);
    bool (*enabled)(void *self, int severity_number, const char *event_name);
    weir_result (*force_flush)(void *self, int64_t timeout_ms);
    weir_result (*shutdown)(void *self, int64_t timeout_ms); /**< once; includes what force_flush does */
    void (*destroy)(void *self);                             /**< last call */
} weir_processor_ops;
typedef struct weir_processor weir_processor;
/** `ops` is copied. NULL when out of memory (then destroy was called). */
WEIR_API weir_processor *weir_processor_new(const weir_processor_ops *ops, void *self);
WEIR_API void weir_processor_free(weir_processor *processor); /* one that was not put into a provider */

/** What gives way when there is no room left. */
typedef enum weir_when_full {
    WEIR_WHEN_FULL_DEFAULT = 0, /**< WEIR_SPOOL_WHEN_FULL ("drop_oldest", "drop_newest", "block"), else drop_oldest */
    WEIR_DROP_OLDEST,           /**< the oldest records */
    WEIR_DROP_NEWEST,           /**< the records that are being emitted */
    WEIR_BLOCK                  /**< nobody: emitting waits until there is room, or the provider is shut down */
} weir_when_full;

/** The batching processor.
 *
 *  A record is written into a ring in a memory-mapped file below `spool_dir`; when emitting returns, it is there, and survives
 *  the process: a kill -9, abort(), a crash, the OOM killer. When the exporter does not keep up and the ring is half full, its
 *  records move into a spool on disk beside it, up to `spool_max_bytes`; then `when_full` says what gives way. Order is kept,
 *  and every record that is dropped is counted. What a process leaves behind is sent by the next start of the same service
 *  (service.name), by `weir collector`, `weir up` or `weir recover`.
 *
 *  Where no directory can be had, the ring is plain memory: said once on stderr, and then `max_queue_size` bounds it and
 *  nothing survives. A batch leaves the queue when it is delivered or refused for good, not when sending fails for now. */
typedef struct weir_batch_options {
    size_t struct_size;
    uint32_t max_queue_size;        /**< records [OTEL_BLRP_MAX_QUEUE_SIZE; 2048] that the ring has room for at the least, at
                                         1 KiB each; without a directory: that it holds at the most */
    uint32_t max_export_batch_size; /**< records [OTEL_BLRP_MAX_EXPORT_BATCH_SIZE; 512, at most max_queue_size] */
    int64_t schedule_delay_ms;      /**< longest a record waits for others [OTEL_BLRP_SCHEDULE_DELAY; 5000] */
    int64_t export_timeout_ms;      /**< of one call of the exporter [OTEL_BLRP_EXPORT_TIMEOUT; 30000] */
    uint64_t ring_bytes;             /**< [WEIR_RING_BYTES; 4 MiB] a record larger than a quarter of it goes to the
                                         spool by itself; without a directory it is dropped */
    uint64_t max_export_batch_bytes; /**< [3 MiB] below what gRPC servers take (4 MiB); a larger record goes alone */
    const char *spool_dir;    /**< [WEIR_SPOOL_DIR; $XDG_STATE_HOME/weir/spool, ~/.local/state/weir/spool or
                                   /tmp/weir-spool-UID] "none": no directory, memory only */
    uint64_t spool_max_bytes; /**< on disk, behind the ring [WEIR_SPOOL_MAX_BYTES; 256 MiB] */
    weir_when_full when_full; /**< [WEIR_SPOOL_WHEN_FULL; drop_oldest] */
    int64_t sync_interval_ms; /**< [WEIR_SPOOL_SYNC_INTERVAL; 0: never] how often what was emitted is brought to the disk itself,
                                   so that a power cut costs no more than what came since. A crash of the process costs nothing
                                   either way */
} weir_batch_options;
static inline weir_batch_options weir_batch_options_init(void)
{
    weir_batch_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}
/** Takes `exporter` (NULL gives an error, so calls nest). NULL: `ret_error` says why. */
WEIR_API weir_processor *weir_batch_processor_new(weir_exporter *exporter, const weir_batch_options *options,
                                                  weir_error *ret_error);
/** Exports each record at once, on the emitting thread, one at a time: for tests and tools. */
WEIR_API weir_processor *weir_simple_processor_new(weir_exporter *exporter, weir_error *ret_error);

/* ---- provider ---- */

/** Limits of record attributes ("Common", Attribute Limits); bodies and resources are exempt. */
typedef struct weir_limits {
    int64_t attribute_count;        /**< [OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT, OTEL_ATTRIBUTE_COUNT_LIMIT; 128] */
    int64_t attribute_value_length; /**< characters, bytes of byte values [..._VALUE_LENGTH_LIMIT; none]; < 0: none */
    int64_t attribute_value_depth;  /**< [30] a deeper array or map becomes the empty value; at most 64. Usual
                                         protobuf decoders refuse the request that holds a deeper one */
} weir_limits;

/** Who a logger logs for, as it was asked for: what a configurator decides by. */
typedef struct weir_scope {
    weir_string name, version, schema_url;
    const weir_attr *attributes;
    size_t n_attributes;
} weir_scope;

/** What a logger lets through (specification, "LoggerConfig"), in this order. Made by the library, which may add fields. */
typedef struct weir_logger_config {
    bool enabled;             /**< false: nothing */
    int32_t minimum_severity; /**< records with a severity below it are dropped; those without one pass */
    bool trace_based;         /**< records of a span that is not sampled are dropped */
} weir_logger_config;

/** Decides for one logger: *config holds the defaults (enabled, the provider's minimum_severity, not trace based) and is changed
 *  in place. Called when the logger is made and in weir_provider_update_loggers(), one call at a time, with a lock of the
 *  provider held: it must not ask the provider for loggers. `scope` is valid during the call. */
typedef void (*weir_logger_configurator)(void *context, const weir_scope *scope, weir_logger_config *config);

typedef struct weir_provider_options {
    size_t struct_size;
    const weir_resource *resource; /**< borrowed; merged over weir_resource_default() */
    weir_limits limits;
    int32_t minimum_severity; /**< records with a severity below it are not enabled; 0: all */
    weir_logger_configurator configure_logger; /**< NULL: all loggers have the defaults */
    void *configure_context;
} weir_provider_options;
static inline weir_provider_options weir_provider_options_init(void)
{
    weir_provider_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}
/** Takes the processors, also when it fails. `options` may be NULL. NULL: a processor is NULL, or out of memory. */
WEIR_API weir_provider *weir_provider_new(const weir_provider_options *options, weir_processor *const *processors,
                                          size_t n_processors, weir_error *ret_error);
/** Asks the configurator again, for every logger there is; records emitted after the call follow the new answers. */
WEIR_API void weir_provider_update_loggers(weir_provider *provider);
/** Delivers what was emitted before the call; WEIR_OK only if every processor says so within timeout_ms. */
WEIR_API weir_result weir_provider_force_flush(weir_provider *provider, int64_t timeout_ms);
/** Delivers what is left, then stops: later records are dropped and counted. What cannot be delivered within timeout_ms stays on
 *  disk (weir_batch_options), or else is dropped, and counted either way. The second call does nothing and returns
 *  WEIR_SHUT_DOWN. */
WEIR_API weir_result weir_provider_shutdown(weir_provider *provider, int64_t timeout_ms);
/** Shuts down (at most 5 s) unless that was done, then frees the provider, its loggers and processors. No other thread may
 *  use them any more. NULL is fine. */
WEIR_API void weir_provider_free(weir_provider *provider);

/** Where the records went, since the provider was made (in a forked child: since the fork). */
typedef struct weir_stats {
    size_t struct_size;
    uint64_t emitted;  /**< given to weir_logger_emit() of an enabled logger */
    uint64_t exported; /**< delivered */
    uint64_t dropped_queue_full; /**< gave way under spool_max_bytes, a full disk, or (without a directory) max_queue_size */
    uint64_t dropped_too_large, dropped_no_memory, dropped_after_shutdown;
    uint64_t dropped_at_shutdown;   /**< undelivered when the time of the shutdown was over, with no directory to keep them */
    uint64_t dropped_export_failed; /**< the exporter gave up for good */
    uint64_t dropped_rejected;      /**< refused by the receiver (partial success) */
    uint64_t discarded_attributes;  /**< over the limits; counted in their records too */
    uint64_t queued;                /**< waiting, or being sent */
    uint64_t dropped_ring_full; /**< found no room in the ring: emitted faster than records can move to disk */
    uint64_t torn;              /**< damaged in the ring, or never finished by the thread that emitted them */
    uint64_t spilled;           /**< moved from the ring to disk on their way */
    uint64_t spool_bytes;       /**< on disk behind the ring, now */
    uint64_t left_behind;       /**< undelivered at shutdown and kept on disk for the next start, or a collector; with those
                                     that were taken over from the dead */
    uint64_t adopted;           /**< delivered for processes of this service that had died; not in `emitted`, `exported` */
    uint64_t adopted_lost;      /**< of theirs: refused for good, damaged, or never finished */
} weir_stats;
/** Fills as many fields as ret->struct_size says; sums over the built-in processors. */
WEIR_API void weir_provider_stats(weir_provider *provider, weir_stats *ret);

typedef enum weir_metric_kind {
    WEIR_COUNTER = 0,  /**< only grows, but for a fork: then it begins again */
    WEIR_UPDOWN_COUNTER, /**< what there is now */
    WEIR_HISTOGRAM      /**< a distribution; begins again after a fork */
} weir_metric_kind;

/** One point of one metric. Made by the library, which may add fields. */
typedef struct weir_metric {
    const char *name, *unit;
    weir_metric_kind kind;
    const weir_attr *attributes;
    size_t n_attributes;
    uint64_t value; /**< of a histogram: how many observations */
    /* of a histogram; else 0 */
    double sum;
    const double *bounds;    /**< n_bounds of them: bucket i has what is <= bounds[i] and > the one before; one more has the rest */
    const uint64_t *buckets; /**< n_bounds + 1 */
    size_t n_bounds;
} weir_metric;

/** The SDK's own metrics in the words of the semantic conventions ("OpenTelemetry SDK metrics"), for a program that has a place to
 *  put metrics: visit() is called for each point there is now. Points and texts are valid during the call.
 *    otel.sdk.log.created                      counter
 *    otel.sdk.processor.log.queue.size         up-down counter; batch processors, as the next
 *    otel.sdk.processor.log.queue.capacity     up-down counter
 *    otel.sdk.processor.log.processed          counter; counted when its export has ended; drops have error.type
 *    otel.sdk.exporter.log.inflight            up-down counter
 *    otel.sdk.exporter.log.exported            counter; failures have error.type
 *    otel.sdk.exporter.operation.duration      histogram, s: an export with its retries; a batch that is offered again is another
 *  Attributes: otel.component.type, otel.component.name ("batching_log_processor/0", counted from 0 within the provider), error.type;
 *  of exporters with one endpoint server.address, server.port; of durations these of the endpoint asked last, and
 *  http.response.status_code (a number) or rpc.response.status_code ("OK") of its answer.
 *  Only the built-in processors and their exporters have such. */
WEIR_API void weir_provider_metrics(weir_provider *provider, void (*visit)(void *context, const weir_metric *metric),
                                    void *context);

/* ---- what dead processes left ---- */

/** What one process has accepted and not delivered: a directory of its own below a spool_dir (weir_batch_options). Made by the
 *  library, which may add fields. */
typedef struct weir_backlog {
    const char *name;    /**< of its directory */
    const char *service; /**< service.name, as far as it fits into a file name */
    int64_t pid;         /**< of the process that made it, as it saw itself */
    uint64_t created_ns; /**< since 1970 */
    bool live;           /**< it has an owner: its process, or one that is delivering it for a dead one */
    uint64_t waiting;    /**< records */
    uint64_t torn;       /**< records that are damaged, or were never finished; as far as that shows */
    uint64_t bytes;      /**< in use for what waits */
    const char *trouble; /**< why it cannot be read, and then there are no numbers; else "" */
} weir_backlog;
/** Calls visit() for each backlog below `dir` (NULL: the default spool_dir; or the directory of one backlog), those of `service`
 *  alone unless that is NULL. Takes nothing from anybody; the living may be looked at. Text is valid during the call.
 *  False: the directory cannot be read, `ret_error` (may be NULL) says why. */
WEIR_API bool weir_backlogs(const char *dir, const char *service, void (*visit)(void *context, const weir_backlog *backlog),
                            void *context, weir_error *ret_error);

/** What weir_recover() has done. Made by the library, which may add fields. */
typedef struct weir_recover_report {
    size_t struct_size; /**< sizeof(weir_recover_report), set by the caller */
    uint64_t delivered; /**< records */
    uint64_t refused;   /**< records that the receiver will never take; they are gone */
    uint64_t torn;      /**< records that were damaged, or never finished by the process that died */
    uint64_t left;      /**< records that could not be delivered now, and stay for the next attempt */
    uint64_t backlogs;  /**< found without an owner */
    uint64_t finished;  /**< of them, delivered to the end and removed */
    uint64_t unreadable; /**< of them, not to be read: they stay as they are */
    uint64_t busy;      /**< skipped, as they have an owner */
} weir_recover_report;

typedef struct weir_recover_options {
    size_t struct_size;
    const char *service;            /**< that service's alone; NULL: all */
    uint32_t max_export_batch_size; /**< records [512] */
    uint64_t max_export_batch_bytes; /**< [3 MiB] */
    int64_t export_timeout_ms;      /**< of one call of the exporter [30000] */
    int64_t timeout_ms;             /**< gives up when nothing could be delivered for this long [30000] */
    bool discard_refused;           /**< A receiver that refuses for good what it is offered first, and has taken nothing, may be
                                         the wrong one: those records are left, and offered again once others were taken.
                                         true: they are gone, as those that are refused later are */
    /** Called after each batch, and before each wait for another attempt. May be NULL. */
    void (*on_progress)(void *context, const weir_recover_report *so_far);
    /** Something is lost or left: `records` of the backlog `name` were refused for good and are gone, or (0) it cannot be read,
     *  or delivering it was given up. May be NULL. */
    void (*on_trouble)(void *context, const char *name, uint64_t records, const char *message);
    void *context;
} weir_recover_options;
static inline weir_recover_options weir_recover_options_init(void)
{
    weir_recover_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}
/** Delivers what dead processes left below `dir` (as weir_backlogs() takes it) through `exporter`, which stays the caller's, and
 *  removes what is finished. The backlogs of the living are left alone; whoever adopts one holds its lock, so two that recover at
 *  the same time never both send it. Killed in the middle, all that was not delivered stays; the last batch may be sent again.
 *  Blocks the calling thread. True: nothing is left. False: something is, or nothing could be done: `ret_error` (may be NULL)
 *  says why. `options`, `ret_report` may be NULL. */
WEIR_API bool weir_recover(const char *dir, weir_exporter *exporter, const weir_recover_options *options,
                           weir_recover_report *ret_report, weir_error *ret_error);

/* ---- all in one ---- */

/** A provider as the environment describes it, set as the global one: OTEL_SDK_DISABLED, OTEL_LOGS_EXPORTER (a list of
 *  otlp, console, otlp/stdout, none), OTEL_EXPORTER_OTLP_*, OTEL_BLRP_*, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME,
 *  OTEL_LOG_LEVEL (debug, info, warn, error: which of its own messages the library prints); or OTEL_CONFIG_FILE, and then as
 *  weir_start_from_file() has it. `service_name` (NULL: leave it to the environment) wins over the environment. At exit(), what is queued is delivered within 5 s. NULL: `ret_error` says
 *  why; logging is then a no-op. */
WEIR_API weir_provider *weir_start(const char *service_name, weir_error *ret_error);
/** The same as a file describes it: YAML (or JSON) in the format of the specification's "Declarative configuration", version 1.x, as
 *  far as it is about logs and the resource. weir_start() does this with the file that OTEL_CONFIG_FILE names. Of the environment
 *  only WEIR_* variables count, and those that the file refers to as ${NAME}. `service_name` (NULL: leave it to the file) wins
 *  over the file. Needs libfyaml.so.0, which is loaded for the time of the call. NULL: the file cannot be used; why is in the library's log
 *  too. */
WEIR_API weir_provider *weir_start_from_file(const char *path, const char *service_name, weir_error *ret_error);
/** Shuts the provider of weir_start() down within timeout_ms. Its loggers stay valid: what is emitted with them, macros included, is
 *  dropped and counted (dropped_after_shutdown). A logger that is asked for from now on is NULL: a no-op that counts nothing. */
WEIR_API weir_result weir_stop(int64_t timeout_ms);

#ifdef __cplusplus
}
#endif
#endif

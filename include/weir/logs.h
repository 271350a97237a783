/** @file logs.h
 *  The Logs API (OpenTelemetry specification, "Logs API" and "Logs Data Model"): get a logger, emit records.
 *
 *  Threads: everything here may be called from any thread at any time. Nothing here blocks on the network or the
 *  disk, and nothing here fails visibly: a record that cannot be taken is counted (weir_provider_stats(), sdk.h).
 *  A NULL logger is a working no-op: emitting to it does nothing, it is never enabled. */
#ifndef WEIR_LOGS_H
#define WEIR_LOGS_H

#include <weir/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Makes loggers and owns their pipeline; made with sdk.h. */
typedef struct weir_provider weir_provider;
/** Emits records on behalf of one instrumentation scope. Belongs to its provider and lives as long. */
typedef struct weir_logger weir_logger;

/** SeverityNumber: six ranges of four; a plain level is the first of its range. */
typedef enum weir_severity {
    WEIR_SEVERITY_UNSPECIFIED = 0,
    WEIR_SEVERITY_TRACE = 1,
    WEIR_SEVERITY_TRACE2,
    WEIR_SEVERITY_TRACE3,
    WEIR_SEVERITY_TRACE4,
    WEIR_SEVERITY_DEBUG = 5,
    WEIR_SEVERITY_DEBUG2,
    WEIR_SEVERITY_DEBUG3,
    WEIR_SEVERITY_DEBUG4,
    WEIR_SEVERITY_INFO = 9,
    WEIR_SEVERITY_INFO2,
    WEIR_SEVERITY_INFO3,
    WEIR_SEVERITY_INFO4,
    WEIR_SEVERITY_WARN = 13,
    WEIR_SEVERITY_WARN2,
    WEIR_SEVERITY_WARN3,
    WEIR_SEVERITY_WARN4,
    WEIR_SEVERITY_ERROR = 17,
    WEIR_SEVERITY_ERROR2,
    WEIR_SEVERITY_ERROR3,
    WEIR_SEVERITY_ERROR4,
    WEIR_SEVERITY_FATAL = 21,
    WEIR_SEVERITY_FATAL2,
    WEIR_SEVERITY_FATAL3,
    WEIR_SEVERITY_FATAL4
} weir_severity;

/** The short name, "INFO", "WARN2"; "" for 0 and for numbers that are none. Never freed. */
WEIR_API const char *weir_severity_text(int severity_number);

/* ---- trace context ---- */

/** Which trace and span a record belongs to (W3C Trace Context). An all-zero id is no id. */
typedef struct weir_trace_context {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t flags; /**< bit 0: sampled */
} weir_trace_context;

/** Sets the calling thread's context; records without one of their own take it. NULL: none. */
WEIR_API void weir_trace_context_set_current(const weir_trace_context *context);
/** Copies the calling thread's context; all zero when there is none. */
WEIR_API void weir_trace_context_current(weir_trace_context *ret);
/** A new trace: random ids, sampled. */
WEIR_API void weir_trace_context_new(weir_trace_context *ret);
/** The same trace with a new random span id. */
WEIR_API void weir_trace_context_child(const weir_trace_context *parent, weir_trace_context *ret);
/** Reads a `traceparent` header, "00-<32 hex>-<16 hex>-<2 hex>". False, and *ret untouched, if it is none. */
WEIR_API bool weir_traceparent_parse(const char *text, weir_trace_context *ret);
/** Writes a `traceparent` header with its NUL; `out` has room for 56 bytes. */
WEIR_API void weir_traceparent_format(const weir_trace_context *context, char out[56]);

/* ---- records ---- */

/** What was thrown, or went wrong in the manner of an exception: becomes the attributes exception.type, exception.message and
 *  exception.stacktrace (semantic conventions, "Exceptions in logs"), those of them that are not empty. */
typedef struct weir_exception {
    weir_string type;       /**< "std::out_of_range", "ENOENT" */
    weir_string message;
    weir_string stacktrace; /**< in the language's own form; weir_backtrace() makes one */
} weir_exception;

/** The calling thread's stack as text, one frame a line, from the caller of this function outwards:
 *      "#0 0x55d0c1 shop_open+0x1f (/usr/bin/shop+0x40c1)"
 *  Functions that are not exported (link with -rdynamic) have no name; `addr2line -e FILE 0xOFFSET` finds them. Always
 *  NUL-terminated when size > 0, cut after a whole line when there is no room. Returns the length. Allocates nothing itself; the
 *  first call in a process may make libc load its unwinder, so call it once at the start if it must work without memory. */
WEIR_API size_t weir_backtrace(char *buffer, size_t size);

/** A record to emit. Start from weir_log_record_init(); every field may stay zero. All views are borrowed until
 *  weir_logger_emit() returns. */
typedef struct weir_log_record {
    size_t struct_size;            /**< set by weir_log_record_init() */
    uint64_t timestamp_ns;         /**< when it happened, ns since 1970 UTC; 0: unknown */
    uint64_t observed_timestamp_ns; /**< when it was seen; 0: now */
    int32_t severity_number;       /**< weir_severity; 0: unspecified, as is what is less */
    weir_string severity_text;     /**< the level's own name at its source; may be empty */
    weir_value body;               /**< of any kind; exempt from attribute limits */
    const weir_attr *attributes;
    size_t n_attributes;
    weir_string event_name;            /**< not empty: the record is an event of that class */
    const weir_trace_context *trace;   /**< NULL: the calling thread's current one */
    const weir_exception *exception;   /**< NULL: none; attributes that are there already win over what it says */
} weir_log_record;

static inline weir_log_record weir_log_record_init(void)
{
    weir_log_record r;
    memset(&r, 0, sizeof r);
    r.struct_size = sizeof r;
    return r;
}

/* ---- providers and loggers ---- */

/** The logger of a scope. The same name, version, schema URL and attributes give the same logger. `version` and
 *  `schema_url` may be NULL. An empty or NULL name is kept as it is (and warned about once). NULL when `provider` is
 *  NULL or shut down, or memory is short: a no-op logger, as the specification asks. */
WEIR_API weir_logger *weir_provider_logger(weir_provider *provider, const char *name, const char *version,
                                           const char *schema_url, const weir_attr *attributes, size_t n_attributes);

/** The global provider; NULL until one was set. The caller of set keeps owning it. */
WEIR_API void weir_provider_set_global(weir_provider *provider);
WEIR_API weir_provider *weir_provider_global(void);
/** The global provider's logger of this name; NULL (a no-op) while there is no global provider. */
WEIR_API weir_logger *weir_logger_get(const char *name);

/** Hands a record to the provider's processors. When it returns, the record is theirs. */
WEIR_API void weir_logger_emit(weir_logger *logger, const weir_log_record *record);

/** Whether a record of this severity (0: unspecified) and event name (NULL: none) would go anywhere: spares building
 *  an expensive one. May change over time: ask each time. */
WEIR_API bool weir_logger_enabled(const weir_logger *logger, int severity_number, const char *event_name);
/** The same for a record with this trace context (NULL: the calling thread's current one, as above). */
WEIR_API bool weir_logger_enabled_in(const weir_logger *logger, const weir_trace_context *trace, int severity_number,
                                     const char *event_name);

#ifdef __cplusplus
}
#endif
#endif

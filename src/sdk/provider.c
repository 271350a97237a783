/* provider.c - providers and loggers: see weir/logs.h and weir/sdk.h.
 * (1) Processors, resource and limits are fixed when the provider is made, so emitting reads them without a lock.
 * (2) A logger lives as long as its provider: records in a queue point at it. */
#include "base/clock.h"
#include "base/log.h"
#include "otlp/write.h"
#include "sdk/encode.h"
#include "sdk/env.h"
#include "sdk/host_thread.h"
#include "sdk/logger_config.h"
#include "sdk/pipeline.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic(struct weir_provider *) global;

void weir_provider_set_global(weir_provider *provider)
{
    atomic_store(&global, provider);
}

weir_provider *weir_provider_global(void)
{
    return atomic_load(&global);
}

weir_logger *weir_logger_get(const char *name)
{
    return weir_provider_logger(weir_provider_global(), name, NULL, NULL, NULL, 0);
}

/* ---- making ---- */

static void limits_resolve(struct limits *l, const weir_limits *given)
{
    *l = (struct limits){.count = 128, .length = INT64_MAX, .depth = DEPTH_SAFE};
    if (given->attribute_count > 0)
        l->count = given->attribute_count;
    else
        env_i64("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT", 0, INT32_MAX, &l->count);
    if (given->attribute_value_length > 0)
        l->length = given->attribute_value_length;
    else if (given->attribute_value_length == 0)
        env_i64("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", 0, INT64_MAX,
                &l->length);
    if (given->attribute_value_depth > 0)
        l->depth = MIN(given->attribute_value_depth, (int64_t)64);
}

static struct weir_provider *provider_of(struct fork_hook *h)
{
    return CONTAINER_OF(h, struct weir_provider, fork);
}
static void before_fork(struct fork_hook *h)
{
    lock_acquire(&provider_of(h)->mu);
}
static void after_fork_parent(struct fork_hook *h)
{
    lock_release(&provider_of(h)->mu);
}
/* The child counts from zero, and is another process and another instance of the service. */
static void after_fork_child(struct fork_hook *h)
{
    struct weir_provider *p = provider_of(h);
    struct buf head = {0};
    lock_init(&p->mu);
    counter_clear(&p->emitted);
    atomic_store(&p->after_shutdown, 0);
    atomic_store(&p->discarded_attributes, 0);
    resource_renew(p->resource);
    resource_encode(p->resource, &head); /* a pid has any number of digits: no replacing in place */
    if (head.failed) { /* no memory: it goes on as its parent */
        buf_done(&head);
        return;
    }
    buf_done(&p->head);
    p->head = head;
}

static struct weir_provider *provider_alloc(const weir_provider_options *o)
{
    struct weir_provider *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    lock_init(&p->mu);
    struct weir_resource *defaults = weir_resource_default();
    p->resource = o->resource ? weir_resource_merge(defaults, o->resource) : defaults;
    if (p->resource != defaults)
        weir_resource_free(defaults);
    if (p->resource && p->resource->made_in != getpid()) /* given by a parent process */
        resource_renew(p->resource);
    if (p->resource)
        resource_encode(p->resource, &p->head);
    limits_resolve(&p->limits, &o->limits);
    p->minimum_severity = o->minimum_severity;
    p->configure_logger = o->configure_logger;
    p->configure_context = o->configure_context;
    p->fork = (struct fork_hook){before_fork, after_fork_parent, after_fork_child, NULL};
    return p;
}

static void logger_free(struct weir_logger *lg)
{
    buf_done(&lg->scope);
    arena_done(&lg->mem);
    free(lg->name);
    free(lg->version);
    free(lg);
}

static void provider_release(struct weir_provider *p)
{
    for (size_t i = 0; i < p->n_processors; i++)
        weir_processor_free(p->processors[i]);
    for (struct map_slot *s = NULL; (s = map_next(&p->loggers, s));)
        logger_free(s->value);
    map_done(&p->loggers);
    lock_done(&p->mu);
    buf_done(&p->head);
    weir_resource_free(p->resource);
    free(p->processors);
    free(p);
}

weir_provider *weir_provider_new(const weir_provider_options *options, weir_processor *const *processors,
                                 size_t n_processors, weir_error *ret_error)
{
    weir_provider_options o;
    options_copy(&o, sizeof o, options);
    struct weir_provider *p = provider_alloc(&o);
    struct weir_processor **own = calloc(n_processors + 1, sizeof *own);
    bool missing = false;
    for (size_t i = 0; i < n_processors; i++) {
        if (own)
            own[i] = processors[i];
        missing |= !processors[i];
    }
    if (p && own && p->resource && !p->head.failed && !missing) {
        p->processors = own;
        p->n_processors = n_processors;
        fork_hook_add(&p->fork);
        return p;
    }
    if (!missing)
        error_set(ret_error, "out of memory");
    else if (ret_error && !*ret_error->message) /* else it says why there is no processor */
        error_set(ret_error, "a processor is NULL");
    for (size_t i = 0; i < n_processors; i++)
        weir_processor_free(processors[i]);
    free(own);
    if (p)
        provider_release(p);
    return NULL;
}

/* ---- loggers ---- */

static void scope_encode(struct buf *out, const char *name, const char *version, const char *schema_url,
                         const weir_attr *attributes, size_t n)
{
    size_t scope = otlp_open(out, 1);
    encode_text(out, 1, sv_of(name));
    encode_text(out, 2, sv_of(version));
    encode_attrs(out, 3, attributes, attributes ? n : 0);
    otlp_close(out, scope);
    encode_text(out, 3, sv_of(schema_url));
}

/* Takes `scope` when it succeeds. */
static struct weir_logger *logger_new(struct weir_provider *p, struct buf *scope, const weir_scope *asked)
{
    struct weir_logger *lg = calloc(1, sizeof *lg);
    if (!lg)
        return NULL;
    *lg = (struct weir_logger){.provider = p, .name = sv_dup(sv_of_weir(asked->name)), .version = sv_dup(sv_of_weir(asked->version))};
    arena_init(&lg->mem, 0);
    bool ok = lg->name && lg->version && (!p->configure_logger || scope_copy(&lg->mem, asked, &lg->asked));
    struct map_slot *slot = ok ? map_put(&p->loggers, buf_view(scope)) : NULL;
    if (!slot) {
        logger_free(lg);
        return NULL;
    }
    lg->scope = *scope;
    lg->index = (uint32_t)p->loggers.n - 1;
    *scope = (struct buf){0};
    slot->value = lg;
    logger_configure(lg);
    return lg;
}

weir_logger *weir_provider_logger(weir_provider *p, const char *name, const char *version, const char *schema_url,
                                  const weir_attr *attributes, size_t n_attributes)
{
    if (!p || atomic_load_explicit(&p->shut_down, memory_order_relaxed))
        return NULL;
    static _Atomic bool said;
    if ((!name || !*name) && !atomic_exchange(&said, true))
        log_warn("sdk", "a logger without a name was asked for: it works, but nobody will know whose records these are");
    SCOPED(buf_done) struct buf scope = {0};
    scope_encode(&scope, name, version, schema_url, attributes, n_attributes);
    if (scope.failed)
        return NULL;
    LOCK_SCOPED(&p->mu);
    struct weir_logger *lg = map_get(&p->loggers, buf_view(&scope));
    weir_scope asked = {weir_string_of(name ? name : ""), weir_string_of(version ? version : ""),
                        weir_string_of(schema_url ? schema_url : ""), attributes, attributes ? n_attributes : 0};
    return lg ? lg : logger_new(p, &scope, &asked);
}

static inline bool enabled(const weir_logger *lg, const weir_trace_context *trace, int severity_number, const char *event_name)
{
    if (!lg || !logger_admits(lg, severity_number, trace))
        return false;
    const struct weir_provider *p = lg->provider;
    if (atomic_load_explicit(&p->shut_down, memory_order_relaxed))
        return false;
    for (size_t i = 0; i < p->n_processors; i++) {
        const struct weir_processor *pr = p->processors[i];
        if (!pr->ops.enabled || pr->ops.enabled(pr->self, severity_number, event_name))
            return true;
    }
    return false;
}

bool weir_logger_enabled(const weir_logger *lg, int severity_number, const char *event_name)
{
    return enabled(lg, NULL, severity_number, event_name);
}

bool weir_log_wanted(weir_logger *lg, int severity_number, const char *event_name)
{
    if (enabled(lg, NULL, severity_number, event_name))
        return true;
    if (lg && atomic_load_explicit(&lg->provider->shut_down, memory_order_relaxed) && logger_admits(lg, severity_number, NULL))
        atomic_fetch_add_explicit(&lg->provider->after_shutdown, 1, memory_order_relaxed);
    return false;
}

bool weir_logger_enabled_in(const weir_logger *lg, const weir_trace_context *trace, int severity_number, const char *event_name)
{
    return enabled(lg, trace, severity_number, event_name);
}

/* ---- emitting ---- */

/* By severity number, with their lengths. */
static const weir_string severity_texts[] = {
#define TEXT(text) {text, sizeof(text) - 1}
    TEXT(""),      TEXT("TRACE"),  TEXT("TRACE2"), TEXT("TRACE3"), TEXT("TRACE4"), TEXT("DEBUG"),  TEXT("DEBUG2"),
    TEXT("DEBUG3"), TEXT("DEBUG4"), TEXT("INFO"),  TEXT("INFO2"),  TEXT("INFO3"),  TEXT("INFO4"),  TEXT("WARN"),
    TEXT("WARN2"), TEXT("WARN3"),  TEXT("WARN4"),  TEXT("ERROR"),  TEXT("ERROR2"), TEXT("ERROR3"), TEXT("ERROR4"),
    TEXT("FATAL"), TEXT("FATAL2"), TEXT("FATAL3"), TEXT("FATAL4"),
#undef TEXT
};

static weir_string severity_text(int severity_number)
{
    return severity_texts[severity_number > 0 && severity_number < (int)ARRAY_LEN(severity_texts) ? severity_number : 0];
}

const char *weir_severity_text(int severity_number)
{
    return severity_text(severity_number).data;
}

/* A record to fill in: what is not in `r` is as it has to be. Cheaper than clearing all of it. */
static void record_begin(struct weir_record *rec, struct weir_logger *lg, const weir_site *site)
{
    const struct weir_provider *p = lg->provider;
    for (size_t i = 0; i < p->n_processors; i++)
        if (p->processors[i]->foresee)
            p->processors[i]->foresee(p->processors[i]->self);
    rec->site = site;
    rec->logger = lg;
    arena_init(&rec->mem, 0);
    rec->attrs = NULL;
    rec->cap = 0;
    rec->discarded = false;
}

static void emit(struct weir_record *rec)
{
    struct weir_provider *p = rec->logger->provider;
    if (atomic_load_explicit(&p->shut_down, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&p->after_shutdown, 1, memory_order_relaxed);
        return;
    }
    if (!logger_admits(rec->logger, rec->r.severity_number, rec->r.trace))
        return;
    counter_add(&p->emitted, 1);
    if (rec->r.severity_number < 0)
        rec->r.severity_number = 0;
    if (!rec->r.observed_timestamp_ns)
        rec->r.observed_timestamp_ns = (uint64_t)clock_wall_ns();
    if (!rec->r.trace)
        rec->r.trace = trace_current();
    if (rec->r.exception)
        record_add_exception(rec);
    for (size_t i = 0; i < p->n_processors && !rec->discarded; i++)
        if (p->processors[i]->ops.on_emit)
            p->processors[i]->ops.on_emit(p->processors[i]->self, rec);
    if (rec->mem.head)
        arena_done(&rec->mem);
}

void weir_logger_emit(weir_logger *lg, const weir_log_record *record)
{
    struct weir_record rec;
    if (!lg || !record)
        return;
    record_begin(&rec, lg, NULL);
    if (record->struct_size == sizeof rec.r)
        rec.r = *record;
    else
        options_copy(&rec.r, sizeof rec.r, record);
    emit(&rec);
}

static void emit_now(struct weir_logger *lg, weir_site *site, int severity, weir_kind kind, sv body, const char *event_name,
                     const weir_attr *attributes, size_t n_attributes)
{
    struct weir_record rec;
    record_begin(&rec, lg, site);
    uint64_t now = (uint64_t)clock_wall_ns();
    /* field by field: clearing the whole struct first costs as much as all of this */
    rec.r.struct_size = sizeof rec.r;
    rec.r.timestamp_ns = rec.r.observed_timestamp_ns = now;
    rec.r.severity_number = severity;
    rec.r.severity_text = severity_text(severity);
    rec.r.body.kind = kind;
    rec.r.body.as.string.data = body.p;
    rec.r.body.as.string.size = body.n;
    rec.r.attributes = attributes;
    rec.r.n_attributes = n_attributes;
    rec.r.event_name = weir_string_of(event_name);
    rec.r.trace = NULL;
    rec.r.exception = NULL;
    emit(&rec);
}

static void emit_text(struct weir_logger *lg, weir_site *site, int severity, sv text, const weir_attr *attributes,
                      size_t n_attributes)
{
    emit_now(lg, site, severity, WEIR_STRING, text, NULL, attributes, n_attributes);
}

/* The message with each {key} replaced by the attribute of that key. A message may hold what a user typed: no brace makes
 * us look further than the longest key. */
static void fill_in(struct buf *out, sv message, const weir_attr *attrs, size_t n)
{
    size_t longest = 0;
    for (size_t i = 0; i < n; i++)
        longest = MAX(longest, sv_of_weir(attrs[i].key).n);
    while (message.n) {
        size_t open = sv_find_char(message, '{');
        buf_sv(out, sv_sub(message, 0, open));
        if (open == SV_NPOS)
            return;
        message = sv_from(message, open);
        size_t close = sv_find_char(sv_sub(message, 0, longest + 2), '}'), i = 0;
        sv key = sv_sub(message, 1, close == SV_NPOS ? 0 : close - 1);
        while (i < n && !(close != SV_NPOS && sv_eq(sv_of_weir(attrs[i].key), key)))
            i++;
        if (i == n) {
            buf_char(out, '{');
            message = sv_from(message, 1);
            continue;
        }
        value_text(out, attrs[i].value);
        message = sv_from(message, close + 1);
    }
}

void weir_log_at(weir_logger *lg, weir_site *site, int severity, const char *message, const weir_attr *attributes,
                 size_t n_attributes)
{
    if (!lg)
        return;
    sv text = sv_of(message);
    SCOPED(buf_done) struct buf filled = {0};
    if (n_attributes && sv_find_char(text, '{') != SV_NPOS) {
        fill_in(&filled, text, attributes, n_attributes);
        if (!filled.failed)
            text = buf_view(&filled);
    }
    emit_text(lg, site, severity, text, attributes, n_attributes);
}

void weir_logf_at(weir_logger *lg, weir_site *site, int severity, const char *format, ...)
{
    if (!lg)
        return;
    char room[512], *text = room;
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(room, sizeof room, format, ap);
    va_end(ap);
    if (n >= (int)sizeof room && (text = malloc((size_t)n + 1))) {
        va_start(ap, format);
        n = vsnprintf(text, (size_t)n + 1, format, ap);
        va_end(ap);
    } else if (n >= (int)sizeof room) { /* no memory: what fits */
        text = room;
        n = sizeof room - 1;
    }
    emit_text(lg, site, severity, n < 0 ? sv_of(format) : sv_make(text, (size_t)n), NULL, 0);
    if (text != room)
        free(text);
}

void weir_event_at(weir_logger *lg, weir_site *site, int severity, const char *event_name, const weir_attr *attributes,
                   size_t n_attributes)
{
    if (lg)
        emit_now(lg, site, severity, WEIR_EMPTY, SV_NULL, event_name, attributes, n_attributes);
}

/* ---- ending ---- */

static weir_result each_processor(struct weir_provider *p, bool shutdown, int64_t timeout_ms)
{
    HOST_GUARDED; /* processors wait, and work on files, with locks of theirs held */
    int64_t deadline = deadline_in(timeout_ms);
    weir_result worst = WEIR_OK;
    for (size_t i = 0; i < p->n_processors; i++) {
        const struct weir_processor *pr = p->processors[i];
        weir_result (*fn)(void *, int64_t) = shutdown ? pr->ops.shutdown : pr->ops.force_flush;
        weir_result r = fn ? fn(pr->self, ms_left(deadline)) : WEIR_OK;
        if (worst == WEIR_OK)
            worst = r;
    }
    return worst;
}

weir_result weir_provider_force_flush(weir_provider *p, int64_t timeout_ms)
{
    if (!p)
        return WEIR_OK;
    return atomic_load(&p->shut_down) ? WEIR_SHUT_DOWN : each_processor(p, false, timeout_ms);
}

weir_result weir_provider_shutdown(weir_provider *p, int64_t timeout_ms)
{
    if (!p)
        return WEIR_OK;
    return atomic_exchange(&p->shut_down, true) ? WEIR_SHUT_DOWN : each_processor(p, true, timeout_ms);
}

void weir_provider_free(weir_provider *p)
{
    if (!p)
        return;
    (void)weir_provider_shutdown(p, 5000);
    struct weir_provider *was = p;
    atomic_compare_exchange_strong(&global, &was, NULL);
    fork_hook_remove(&p->fork);
    provider_release(p);
}

void weir_provider_stats(weir_provider *p, weir_stats *ret)
{
    weir_stats s = {.emitted = counter_sum(&p->emitted),
                    .dropped_after_shutdown = atomic_load(&p->after_shutdown),
                    .discarded_attributes = atomic_load(&p->discarded_attributes)};
    for (size_t i = 0; i < p->n_processors; i++)
        if (p->processors[i]->add_stats)
            p->processors[i]->add_stats(p->processors[i]->self, &s);
    size_t size = MIN(ret->struct_size, sizeof s);
    s.struct_size = ret->struct_size;
    memcpy(ret, &s, size);
}

/* metrics.c - weir_provider_metrics(): weir_stats in the words of the semantic conventions ("OpenTelemetry SDK metrics"). A counter
 * of weir_stats that shows up in a metric is one row of the table below; rows of one metric and error.type are added up.
 * otel.sdk.processor.log.processed is to count when export is called; a batch that cannot be sent for now is offered again,
 * which would count twice, so it counts when the export has ended. Durations are kept by the exporter: durations.c. */
#include "sdk/pipeline.h"
#include <stdio.h>

#define CREATED "otel.sdk.log.created"
#define QUEUE_SIZE "otel.sdk.processor.log.queue.size"
#define QUEUE_CAPACITY "otel.sdk.processor.log.queue.capacity"
#define PROCESSED "otel.sdk.processor.log.processed"
#define IN_FLIGHT "otel.sdk.exporter.log.inflight"
#define EXPORTED "otel.sdk.exporter.log.exported"
#define DURATION "otel.sdk.exporter.operation.duration"

static const struct row {
    size_t field;
    bool of_exporter;
    const char *metric, *error_type; /* NULL: no error */
} rows[] = {
#define PROCESSOR_ROW(field, error_type) {offsetof(weir_stats, field), false, PROCESSED, error_type}
#define EXPORTER_ROW(field, error_type) {offsetof(weir_stats, field), true, EXPORTED, error_type}
    PROCESSOR_ROW(exported, NULL),
    PROCESSOR_ROW(dropped_export_failed, NULL),
    PROCESSOR_ROW(dropped_rejected, NULL),
    PROCESSOR_ROW(dropped_queue_full, "queue_full"),
    PROCESSOR_ROW(dropped_after_shutdown, "already_shutdown"),
    PROCESSOR_ROW(dropped_ring_full, "ring_full"),
    PROCESSOR_ROW(torn, "torn"),
    PROCESSOR_ROW(dropped_too_large, "too_large"),
    PROCESSOR_ROW(dropped_no_memory, "no_memory"),
    PROCESSOR_ROW(dropped_at_shutdown, "shutdown_timeout"),
    EXPORTER_ROW(exported, NULL),
    EXPORTER_ROW(dropped_export_failed, "export_failed"),
    EXPORTER_ROW(dropped_rejected, "rejected"),
};

struct visitor {
    void (*visit)(void *context, const weir_metric *metric);
    void *context;
    const char *component; /* of the points to come; NULL: of none */
    char name[64];
    const char *server; /* and where it is; NULL: nowhere */
    uint16_t port;
};

/* The attributes that all points of a component have; room for as many, and for ATTRS_MORE of its own. */
enum { ATTRS_COMMON = 4, ATTRS_MORE = 2 };
static size_t common_attrs(const struct visitor *v, const char *server, uint16_t port, weir_attr *attrs)
{
    size_t n = 0;
    if (v->component) {
        attrs[n++] = weir_str("otel.component.type", v->component);
        attrs[n++] = weir_str("otel.component.name", v->name);
    }
    if (server) {
        attrs[n++] = weir_str("server.address", server);
        attrs[n++] = weir_i64("server.port", port);
    }
    return n;
}

static void point(const struct visitor *v, const char *name, weir_metric_kind kind, const char *error_type, uint64_t value)
{
    weir_attr attrs[ATTRS_COMMON + ATTRS_MORE];
    size_t n = common_attrs(v, v->server, v->port, attrs);
    if (error_type)
        attrs[n++] = weir_str("error.type", error_type);
    v->visit(v->context, &(weir_metric){.name = name, .unit = "{log_record}", .kind = kind, .attributes = attrs, .n_attributes = n,
                                        .value = value});
}

static void duration_point(const struct visitor *v, const struct duration_series *s)
{
    char status[16];
    weir_attr attrs[ATTRS_COMMON + ATTRS_MORE];
    size_t n = common_attrs(v, s->how.server, s->how.port, attrs);
    if (s->how.http_status)
        attrs[n++] = weir_i64("http.response.status_code", s->how.http_status);
    else if (s->how.rpc_status)
        attrs[n++] = weir_str("rpc.response.status_code", s->how.rpc_status);
    snprintf(status, sizeof status, "%d", s->how.http_status);
    if (s->how.error)
        attrs[n++] = weir_str("error.type", *s->how.error ? s->how.error : status);
    v->visit(v->context, &(weir_metric){.name = DURATION, .unit = "s", .kind = WEIR_HISTOGRAM, .attributes = attrs, .n_attributes = n,
                                        .value = s->count, .sum = s->sum, .bounds = duration_bounds, .buckets = s->buckets,
                                        .n_bounds = DURATION_BOUNDS});
}

static bool same_point(const struct row *a, const struct row *b)
{
    return a->of_exporter == b->of_exporter && (a->error_type == b->error_type ||
                                                (a->error_type && b->error_type && strcmp(a->error_type, b->error_type) == 0));
}

static void row_points(const struct visitor *v, bool of_exporter, const weir_stats *s)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t sum = 0;
        bool first = rows[i].of_exporter == of_exporter;
        for (size_t j = 0; j < ARRAY_LEN(rows); j++) {
            uint64_t field;
            if (!same_point(&rows[i], &rows[j]))
                continue;
            memcpy(&field, (const char *)s + rows[j].field, sizeof field);
            sum += field;
            first = first && j >= i;
        }
        if (first && (sum || !rows[i].error_type))
            point(v, rows[i].metric, WEIR_COUNTER, rows[i].error_type, sum);
    }
}

static const char *exporter_type(const struct weir_exporter *e)
{
    return e->component ? e->component : "custom_log_exporter";
}

/* "type/n": n others of the type come before it in the provider. */
static void name_component(struct visitor *v, const struct weir_provider *p, size_t at, bool exporter)
{
    int before = 0;
    const struct weir_processor *me = p->processors[at];
    v->component = exporter ? exporter_type(me->exporter) : me->component;
    for (size_t i = 0; i < at; i++) {
        const struct weir_processor *pr = p->processors[i];
        before += pr->component && strcmp(exporter ? exporter_type(pr->exporter) : pr->component, v->component) == 0;
    }
    snprintf(v->name, sizeof v->name, "%s/%d", v->component, before);
}

static void processor_points(struct visitor *v, const struct weir_provider *p, size_t at)
{
    const struct weir_processor *pr = p->processors[at];
    weir_stats s = {.struct_size = sizeof s};
    uint64_t in_flight = atomic_load(&pr->exporter->in_flight);
    pr->add_stats(pr->self, &s);
    s.dropped_after_shutdown += atomic_load(&p->after_shutdown); /* each processor would have got it */
    name_component(v, p, at, false);
    if (pr->queue_capacity) { /* weir_stats counts what is being sent as queued too */
        point(v, QUEUE_SIZE, WEIR_UPDOWN_COUNTER, NULL, s.queued - MIN(in_flight, s.queued));
        point(v, QUEUE_CAPACITY, WEIR_UPDOWN_COUNTER, NULL, pr->queue_capacity);
    }
    row_points(v, false, &s);
    name_component(v, p, at, true);
    v->server = pr->exporter->server;
    v->port = pr->exporter->port;
    point(v, IN_FLIGHT, WEIR_UPDOWN_COUNTER, NULL, in_flight);
    row_points(v, true, &s);
    struct duration_series took[DURATION_SERIES_MAX];
    size_t n = durations_read(&pr->exporter->durations, took);
    for (size_t i = 0; i < n; i++)
        duration_point(v, &took[i]);
    v->server = NULL;
}

void weir_provider_metrics(weir_provider *p, void (*visit)(void *context, const weir_metric *metric), void *context)
{
    struct visitor v = {.visit = visit, .context = context};
    if (!p)
        return;
    point(&v, CREATED, WEIR_COUNTER, NULL, counter_sum(&p->emitted));
    for (size_t i = 0; i < p->n_processors; i++)
        if (p->processors[i]->component)
            processor_points(&v, p, i);
}

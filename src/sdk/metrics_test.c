/* metrics_test.c - the SDK's own metrics, against what was done to an exporter that answers as told. */
#include "base/buf.h"
#include "base/lock.h"
#include "base/test.h"
#include "sdk/durations.h"
#include "sdk/encode.h"
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

struct sink { /* an exporter */
    struct lock mu;
    struct cond cv;
    weir_export_code answer;
    uint64_t n_rejected;
    bool stall;
};

static void sink_export(void *self, const weir_batch *batch UNUSED, int64_t timeout_ms UNUSED, weir_export_result *ret)
{
    struct sink *s = self;
    LOCK_SCOPED(&s->mu);
    while (s->stall)
        cond_wait(&s->cv, &s->mu);
    ret->code = s->answer;
    ret->n_rejected = s->n_rejected;
}
static weir_exporter *sink_exporter(struct sink *s)
{
    static const weir_exporter_ops ops = {.struct_size = sizeof ops, .export_logs = sink_export};
    *s = (struct sink){0};
    lock_init(&s->mu);
    cond_init(&s->cv);
    return weir_exporter_new(&ops, s);
}
static void sink_set(struct sink *s, bool stall, weir_export_code answer, uint64_t n_rejected)
{
    LOCK_SCOPED(&s->mu);
    s->stall = stall;
    s->answer = answer;
    s->n_rejected = n_rejected;
    cond_broadcast(&s->cv);
}

/* "metric{component.name,error.type} value\n" of each point; up-down counters have a ~ before the value. Histograms: below. */
static void show(void *context, const weir_metric *m)
{
    struct buf *out = context;
    if (m->kind == WEIR_HISTOGRAM)
        return;
    buf_fmt(out, "%s{", m->name);
    for (size_t i = 0; i < m->n_attributes; i++) {
        sv key = sv_of_weir(m->attributes[i].key), value = sv_of_weir(m->attributes[i].value.as.string);
        if (sv_eq(key, SV("otel.component.type")) || sv_starts(key, SV("server.")))
            continue;
        buf_fmt(out, sv_eq(key, SV("error.type")) ? "," SV_FMT : SV_FMT, SV_ARG(value));
    }
    buf_fmt(out, "} %s%" PRIu64 "\n", m->kind == WEIR_COUNTER ? "" : "~", m->value);
    CHECK_STR(m->unit, "{log_record}");
}

static void check_metrics(int line, weir_provider *p, const char *want)
{
    struct buf got = {0};
    weir_provider_metrics(p, show, &got);
    test_check_eq_sv(__FILE__, line, "the metrics", buf_view(&got), sv_of(want));
    buf_done(&got);
}

static uint64_t value_of(weir_provider *p, const char *point)
{
    struct buf got = {0};
    uint64_t value = UINT64_MAX;
    weir_provider_metrics(p, show, &got);
    for (sv rest = buf_view(&got); rest.n;) {
        sv line = sv_cut(&rest, '\n');
        size_t space = sv_rfind_char(line, ' ');
        sv number = sv_from(line, space + 1);
        if (sv_eq(sv_sub(line, 0, space), sv_of(point)))
            (void)!sv_to_u64(sv_from(number, number.p[0] == '~'), &value);
    }
    buf_done(&got);
    return value;
}
#define B "batching_log_processor/0"
#define X "custom_log_exporter/0"

TEST(a_batch_processor_and_its_exporter)
{
    struct sink s;
    weir_batch_options bo = weir_batch_options_init();
    bo.max_queue_size = 4;
    bo.max_export_batch_size = 2;
    bo.schedule_delay_ms = 60000; /* what is sent is sent by a flush */
    bo.ring_bytes = 64 << 10;
    weir_processor *pr = weir_batch_processor_new(sink_exporter(&s), &bo, NULL);
    weir_provider *p = weir_provider_new(NULL, &pr, 1, NULL);
    weir_logger *lg = weir_provider_logger(p, "m", NULL, NULL, NULL, 0);
    check_metrics(__LINE__, p,
                  "otel.sdk.log.created{} 0\notel.sdk.processor.log.queue.size{" B "} ~0\n"
                  "otel.sdk.processor.log.queue.capacity{" B "} ~4\notel.sdk.processor.log.processed{" B "} 0\n"
                  "otel.sdk.exporter.log.inflight{" X "} ~0\notel.sdk.exporter.log.exported{" X "} 0\n");
    sink_set(&s, true, WEIR_EXPORT_OK, 0);
    weir_info(lg, "first");
    CHECK_EQ(weir_provider_force_flush(p, 0), WEIR_TIMEOUT);
    CHECK_SOON(value_of(p, "otel.sdk.exporter.log.inflight{" X "}") == 1, 10000);
    CHECK_EQ(value_of(p, "otel.sdk.processor.log.queue.size{" B "}"), 0); /* it is out of the queue */
    weir_info(lg, "second");
    CHECK_EQ(value_of(p, "otel.sdk.processor.log.queue.size{" B "}"), 1);
    sink_set(&s, false, WEIR_EXPORT_OK, 0);
    CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_OK);
    CHECK_EQ(value_of(p, "otel.sdk.exporter.log.exported{" X "}"), 2);

    sink_set(&s, false, WEIR_EXPORT_FAILED, 0);
    weir_info(lg, "fails");
    CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_FAILED);
    sink_set(&s, false, WEIR_EXPORT_OK, 1);
    weir_info(lg, "is refused");
    CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_FAILED);
    weir_infof(lg, "%060000d", 1); /* does not fit */
    CHECK_EQ(weir_provider_shutdown(p, 10000), WEIR_OK);
    weir_log_record r = weir_log_record_init();
    weir_logger_emit(lg, &r);
    check_metrics(__LINE__, p,
                  "otel.sdk.log.created{} 5\notel.sdk.processor.log.queue.size{" B "} ~0\n"
                  "otel.sdk.processor.log.queue.capacity{" B "} ~4\notel.sdk.processor.log.processed{" B "} 4\n"
                  "otel.sdk.processor.log.processed{" B ",already_shutdown} 1\notel.sdk.processor.log.processed{" B ",too_large} 1\n"
                  "otel.sdk.exporter.log.inflight{" X "} ~0\notel.sdk.exporter.log.exported{" X "} 2\n"
                  "otel.sdk.exporter.log.exported{" X ",export_failed} 1\notel.sdk.exporter.log.exported{" X ",rejected} 1\n");
    weir_provider_metrics(NULL, show, NULL);
    weir_provider_free(p);
}

/* "{component.name|key=value,...} count\n" of each duration; sums, bounds and buckets fit together. */
static void show_durations(void *context, const weir_metric *m)
{
    struct buf *out = context;
    uint64_t sum = 0;
    if (m->kind != WEIR_HISTOGRAM)
        return;
    CHECK_STR(m->name, "otel.sdk.exporter.operation.duration");
    CHECK_STR(m->unit, "s");
    CHECK_EQ(m->n_bounds, 14);
    for (size_t i = 0; i <= m->n_bounds; i++)
        sum += m->buckets[i];
    CHECK_EQ(sum, m->value);
    CHECK(m->bounds[0] == 0.005 && m->bounds[13] == 10 && m->sum >= 0);
    buf_char(out, '{');
    for (size_t i = 0; i < m->n_attributes; i++) {
        const weir_attr *a = &m->attributes[i];
        if (sv_eq(sv_of_weir(a->key), SV("otel.component.type")))
            continue;
        buf_fmt(out, "%s" SV_FMT "=", i > 1 ? "," : "", SV_ARG(sv_of_weir(a->key)));
        if (a->value.kind == WEIR_STRING)
            buf_sv(out, sv_of_weir(a->value.as.string));
        else
            buf_fmt(out, "%" PRId64, a->value.as.integer);
    }
    buf_fmt(out, "} %" PRIu64 "\n", m->value);
}

static void check_durations(int line, weir_provider *p, const char *want)
{
    struct buf got = {0};
    weir_provider_metrics(p, show_durations, &got);
    test_check_eq_sv(__FILE__, line, "the durations", buf_view(&got), sv_of(want));
    buf_done(&got);
}

TEST(durations_by_how_exports_end)
{
    struct sink s;
    weir_batch_options bo = weir_batch_options_init();
    bo.schedule_delay_ms = 60000;
    weir_processor *pr = weir_batch_processor_new(sink_exporter(&s), &bo, NULL);
    weir_provider *p = weir_provider_new(NULL, &pr, 1, NULL);
    weir_logger *lg = weir_provider_logger(p, "m", NULL, NULL, NULL, 0);
    check_durations(__LINE__, p, "");
    for (int i = 0; i < 2; i++) {
        weir_info(lg, "fine");
        CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_OK);
    }
    sink_set(&s, false, WEIR_EXPORT_FAILED, 0);
    weir_info(lg, "fails");
    CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_FAILED);
    sink_set(&s, false, WEIR_EXPORT_OK, 1);
    weir_info(lg, "is refused");
    CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_FAILED);
    check_durations(__LINE__, p,
                    "{otel.component.name=" X "} 2\n{otel.component.name=" X ",error.type=export_failed} 1\n"
                    "{otel.component.name=" X ",error.type=rejected} 1\n");
#ifndef __SANITIZE_THREAD__
    pid_t child = fork();
    if (child == 0) {
        struct buf got = {0};
        weir_provider_metrics(p, show_durations, &got);
        _exit(got.n ? 1 : 0);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
#endif
    weir_provider_free(p);
}

TEST(a_duration_is_in_its_bucket)
{
    struct durations d;
    struct duration_series got[DURATION_SERIES_MAX];
    durations_init(&d);
    CHECK_EQ(durations_read(&d, got), 0);
    const struct outcome fine = {.server = "a", .port = 1, .http_status = 200};
    const int64_t ms[] = {0, 5, 6, 10000, 10001, -1}; /* a bound is in the bucket it ends */
    for (size_t i = 0; i < ARRAY_LEN(ms); i++)
        durations_add(&d, &fine, ms[i] * 1000000);
    CHECK_EQ(durations_read(&d, got), 1);
    CHECK_EQ(got[0].count, 6);
    CHECK_EQ(got[0].buckets[0], 3);
    CHECK_EQ(got[0].buckets[1], 1);
    CHECK_EQ(got[0].buckets[DURATION_BOUNDS - 1], 1);
    CHECK_EQ(got[0].buckets[DURATION_BOUNDS], 1);
    CHECK(got[0].sum > 20.011 && got[0].sum < 20.013);
    for (int i = 0; i < 40; i++) /* a server that answers all kinds of things */
        durations_add(&d, &(struct outcome){.server = "a", .port = 1, .http_status = 400 + i, .error = ""}, 1);
    CHECK_EQ(durations_read(&d, got), DURATION_SERIES_MAX);
    CHECK_STR(got[DURATION_SERIES_MAX - 1].how.error, "_OTHER");
    CHECK_EQ(got[DURATION_SERIES_MAX - 1].count, 40 - (DURATION_SERIES_MAX - 2));
    durations_done(&d);
}

TEST(components_are_numbered_by_type)
{
    static const weir_processor_ops custom = {.struct_size = sizeof custom};
    struct sink s[2];
    weir_otlp_options grpc = weir_otlp_options_init(), http = weir_otlp_options_init();
    grpc.protocol = WEIR_OTLP_GRPC;
    grpc.endpoint = http.endpoint = "http://127.0.0.1:9";
    http.protocol = WEIR_OTLP_HTTP_PROTOBUF;
    weir_processor *ps[] = {
        weir_simple_processor_new(sink_exporter(&s[0]), NULL),
        weir_processor_new(&custom, NULL),
        weir_batch_processor_new(weir_otlp_exporter_new(&grpc, NULL), NULL, NULL),
        weir_simple_processor_new(sink_exporter(&s[1]), NULL),
        weir_batch_processor_new(weir_otlp_exporter_new(&http, NULL), NULL, NULL),
    };
    weir_provider *p = weir_provider_new(NULL, ps, ARRAY_LEN(ps), NULL);
    REQUIRE(p != NULL);
    CHECK_EQ(value_of(p, "otel.sdk.processor.log.processed{simple_log_processor/0}"), 0);
    CHECK_EQ(value_of(p, "otel.sdk.processor.log.processed{simple_log_processor/1}"), 0);
    CHECK_EQ(value_of(p, "otel.sdk.processor.log.queue.capacity{batching_log_processor/1}"), 2048);
    CHECK_EQ(value_of(p, "otel.sdk.processor.log.queue.capacity{simple_log_processor/0}"), -1); /* has none */
    CHECK_EQ(value_of(p, "otel.sdk.exporter.log.exported{otlp_grpc_log_exporter/0}"), 0);
    CHECK_EQ(value_of(p, "otel.sdk.exporter.log.exported{otlp_http_log_exporter/0}"), 0);
    CHECK_EQ(value_of(p, "otel.sdk.exporter.log.exported{custom_log_exporter/1}"), 0);
    weir_provider_free(p);
}

TEST(what_is_in_flight_is_the_parents)
{
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer cannot follow the threads of a forked child");
#endif
    struct sink s;
    weir_processor *pr = weir_batch_processor_new(sink_exporter(&s), NULL, NULL);
    weir_provider *p = weir_provider_new(NULL, &pr, 1, NULL);
    sink_set(&s, true, WEIR_EXPORT_OK, 0);
    weir_info(weir_provider_logger(p, "m", NULL, NULL, NULL, 0), "x");
    CHECK_EQ(weir_provider_force_flush(p, 0), WEIR_TIMEOUT);
    CHECK_SOON(value_of(p, "otel.sdk.exporter.log.inflight{" X "}") == 1, 10000);
    pid_t child = fork();
    if (child == 0)
        _exit(value_of(p, "otel.sdk.exporter.log.inflight{" X "}") == 0 && value_of(p, "otel.sdk.log.created{}") == 0 ? 0 : 1);
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    sink_set(&s, false, WEIR_EXPORT_OK, 0);
    CHECK_EQ(weir_provider_shutdown(p, 10000), WEIR_OK);
    CHECK_EQ(value_of(p, "otel.sdk.exporter.log.exported{" X "}"), 1);
    weir_provider_free(p);
}

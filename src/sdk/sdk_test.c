/* sdk_test.c - the SDK with exporters of our own: what is encoded, queued, batched, dropped and counted. */
#include "base/buf.h"
#include "base/lock.h"
#include "base/test.h"
#include "otlp/walk.h"
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

/* An exporter that keeps what it gets, and answers as told. */
struct sink {
    struct lock mu;
    struct cond cv;
    struct buf bytes;
    size_t batches, records, largest;
    weir_export_code answer;
    uint64_t n_rejected;
    bool stall; /* until unstalled or shut down */
    _Atomic bool down, destroyed;
    weir_exporter *exporter;
};

static void sink_export(void *self, const weir_batch *batch, int64_t timeout_ms, weir_export_result *ret)
{
    struct sink *s = self;
    int64_t until = clock_mono_ns() + timeout_ms * NS_PER_MS;
    LOCK_SCOPED(&s->mu);
    while (s->stall && !s->down && clock_mono_ns() < until) {
        cond_wait_until(&s->cv, &s->mu, MIN(until, clock_mono_ns() + NS_PER_MS));
        lock_release(&s->mu);
        weir_batch_tend(batch);
        lock_acquire(&s->mu);
    }
    s->batches++;
    ret->code = s->stall ? WEIR_EXPORT_RETRY : s->answer;
    ret->n_rejected = s->n_rejected;
    if (ret->code == WEIR_EXPORT_RETRY) {
        ret->retry_after_ms = 1;
        return;
    }
    s->records += weir_batch_size(batch);
    s->largest = MAX(s->largest, weir_batch_size(batch));
    weir_string b = weir_batch_otlp(batch);
    buf_put(&s->bytes, b.data, b.size);
}
static weir_result sink_shutdown(void *self, int64_t timeout_ms)
{
    struct sink *s = self;
    LOCK_SCOPED(&s->mu);
    s->down = true;
    cond_broadcast(&s->cv);
    return WEIR_OK;
}
static void sink_destroy(void *self)
{
    ((struct sink *)self)->destroyed = true;
}
static void sink_after_fork(void *self)
{
    struct sink *s = self;
    lock_init(&s->mu);
    cond_init(&s->cv);
    buf_reset(&s->bytes);
    s->records = 0;
}
static void sink_stall(struct sink *s, bool on)
{
    LOCK_SCOPED(&s->mu);
    s->stall = on;
    cond_broadcast(&s->cv);
}
static void sink_init(struct sink *s)
{
    static const weir_exporter_ops ops = {sizeof ops, sink_export, NULL, sink_shutdown, sink_after_fork, sink_destroy};
    *s = (struct sink){0};
    lock_init(&s->mu);
    cond_init(&s->cv);
    s->exporter = weir_exporter_new(&ops, s);
}
static void sink_done(struct sink *s)
{
    CHECK(s->destroyed);
    buf_done(&s->bytes);
    lock_done(&s->mu);
    cond_done(&s->cv);
}

/* A provider with a batch processor over `s`. */
static weir_provider *provider(struct sink *s, const weir_batch_options *bo, const weir_provider_options *po)
{
    weir_error e = {""};
    sink_init(s);
    weir_processor *p = weir_batch_processor_new(s->exporter, bo, &e);
    weir_provider *got = weir_provider_new(po, &p, 1, &e);
    if (!got)
        test_fail(__FILE__, __LINE__, "no provider: %s", e.message);
    return got;
}

static weir_stats stats(weir_provider *p)
{
    weir_stats s = {.struct_size = sizeof s};
    weir_provider_stats(p, &s);
    return s;
}

/* The n-th record of all that arrived. */
static bool nth(struct sink *s, size_t n, struct otlp_record *ret, struct otlp_scope_logs *ret_scope,
                struct otlp_resource_logs *ret_resource)
{
    for (struct otlp_iter i = otlp_resources(buf_view(&s->bytes)); otlp_next_resource(&i, ret_resource);)
        for (struct otlp_iter j = otlp_scopes(ret_resource); otlp_next_scope(&j, ret_scope);)
            for (struct otlp_iter k = otlp_records(ret_scope); otlp_next_record(&k, ret);)
                if (n-- == 0)
                    return true;
    return false;
}

static bool attr(sv message, uint32_t field, const char *key, struct otlp_value *ret)
{
    struct otlp_attr a;
    for (struct otlp_attr_iter it = otlp_attrs(message, field); otlp_next_attr(&it, &a);)
        if (sv_eq(a.key, sv_of(key))) {
            *ret = otlp_read_value(a.value);
            return true;
        }
    return false;
}
#define CHECK_ATTR_STR(message, field, key, want)                                                                    \
    do {                                                                                                             \
        struct otlp_value v_ = {0};                                                                                  \
        CHECK(attr((message), (field), (key), &v_) && v_.kind == OTLP_STRING);                                       \
        CHECK_SV(v_.text, sv_of(want));                                                                              \
    } while (0)

TEST(a_record_arrives_with_all_its_fields)
{
    struct sink s;
    weir_provider *p = provider(&s, NULL, NULL);
    weir_attr scope_attr = weir_str("team", "a");
    weir_logger *lg = weir_provider_logger(p, "lib", "1.2", "https://schema", &scope_attr, 1);
    weir_value items[2] = {weir_value_i64(-1), weir_value_bytes("\0x", 2)};
    weir_attr inner[2] = {weir_bool("b", true), weir_array("list", items, 2)};
    weir_attr attrs[3] = {weir_f64("d", 0.5), weir_map("m", inner, 2), weir_any("nothing", weir_value_empty())};
    weir_trace_context trace = {{1, 2}, {3}, 1};
    weir_log_record r = weir_log_record_init();
    r.timestamp_ns = 5;
    r.observed_timestamp_ns = 6;
    r.severity_number = WEIR_SEVERITY_ERROR2;
    r.severity_text = weir_string_of("ouch");
    r.body = weir_value_map(inner, 2);
    r.attributes = attrs;
    r.n_attributes = 3;
    r.event_name = weir_string_of("order.lost");
    r.trace = &trace;
    weir_logger_emit(lg, &r);
    CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_OK);

    struct otlp_counts counts;
    struct err e = {0};
    struct otlp_record got;
    struct otlp_scope_logs sl;
    struct otlp_resource_logs rl;
    struct otlp_scope scope;
    REQUIRE_OK(otlp_check(buf_view(&s.bytes), NULL, &counts, &e), &e);
    CHECK_EQ(counts.records, 1);
    REQUIRE(nth(&s, 0, &got, &sl, &rl));
    CHECK_EQ(got.time_ns, 5);
    CHECK_EQ(got.observed_ns, 6);
    CHECK_EQ(got.severity_number, 18);
    CHECK_SV(got.severity_text, SV("ouch"));
    CHECK_SV(got.event_name, SV("order.lost"));
    CHECK_SV(got.trace_id, sv_make(trace.trace_id, 16));
    CHECK_SV(got.span_id, sv_make(trace.span_id, 8));
    CHECK_EQ(got.flags, 1);
    CHECK_EQ(got.dropped_attributes, 0);
    SCOPED(buf_done) struct buf text = {0};
    otlp_value_text(got.body, 0, &text);
    CHECK_SV(buf_view(&text), SV("{\"b\":true,\"list\":[-1,\"AHg=\"]}"));
    struct otlp_value v;
    CHECK(attr(got.raw, OTLP_RECORD_ATTRS, "nothing", &v) && v.kind == OTLP_EMPTY);
    CHECK(attr(got.raw, OTLP_RECORD_ATTRS, "m", &v) && v.kind == OTLP_KVLIST);
    otlp_read_scope(sl.scope, &scope);
    CHECK_SV(scope.name, SV("lib"));
    CHECK_SV(scope.version, SV("1.2"));
    CHECK_SV(sl.schema_url, SV("https://schema"));
    CHECK_ATTR_STR(sl.scope, OTLP_SCOPE_ATTRS, "team", "a");
    CHECK_ATTR_STR(rl.resource, OTLP_RESOURCE_ATTRS, "telemetry.sdk.name", "weir");
    CHECK_ATTR_STR(rl.resource, OTLP_RESOURCE_ATTRS, "telemetry.sdk.language", "c");
    CHECK_EQ(stats(p).exported, 1);
    weir_provider_free(p);
    sink_done(&s);
}

TEST(the_macros_say_where_and_what)
{
    struct sink s;
    weir_provider *p = provider(&s, NULL, NULL);
    weir_logger *lg = weir_provider_logger(p, "m", NULL, NULL, NULL, 0);
    weir_trace_context trace, child;
    weir_trace_context_new(&trace);
    weir_trace_context_child(&trace, &child);
    weir_trace_context_set_current(&child);
    weir_info(lg, "user {user} took {ms} ms {unknown} {", weir_str("user", "ann\xff"), weir_i64("ms", 12));
    weir_trace_context_set_current(NULL);
    weir_warn(lg, "as {it} is");
    weir_errorf(lg, "%s of %d", "three", 4);
    weir_provider_force_flush(p, 10000);
    struct otlp_record got;
    struct otlp_scope_logs sl;
    struct otlp_resource_logs rl;
    struct otlp_value v;
    REQUIRE(nth(&s, 0, &got, &sl, &rl));
    CHECK_SV(otlp_read_value(got.body).text, SV("user ann\xef\xbf\xbd took 12 ms {unknown} {"));
    CHECK_EQ(got.severity_number, 9);
    CHECK_SV(got.severity_text, SV("INFO"));
    CHECK(got.time_ns > 0 && got.time_ns == got.observed_ns);
    CHECK_SV(got.trace_id, sv_make(trace.trace_id, 16));
    CHECK_SV(got.span_id, sv_make(child.span_id, 8));
    CHECK_ATTR_STR(got.raw, OTLP_RECORD_ATTRS, "user", "ann\xef\xbf\xbd");
    CHECK_ATTR_STR(got.raw, OTLP_RECORD_ATTRS, "code.function.name", __func__);
    CHECK_ATTR_STR(got.raw, OTLP_RECORD_ATTRS, "code.file.path", __FILE__);
    CHECK(attr(got.raw, OTLP_RECORD_ATTRS, "code.line.number", &v) && v.i > 100);
    REQUIRE(nth(&s, 1, &got, &sl, &rl));
    CHECK_SV(otlp_read_value(got.body).text, SV("as {it} is"));
    CHECK_EQ(got.trace_id.n, 0);
    REQUIRE(nth(&s, 2, &got, &sl, &rl));
    CHECK_SV(otlp_read_value(got.body).text, SV("three of 4"));
    CHECK_EQ(got.severity_number, 17);
    weir_provider_free(p);
    sink_done(&s);
}

/* Takes many seconds when each brace is looked after to the end. */
TEST(a_message_of_braces_costs_no_more_than_another)
{
    enum { N = 1 << 19 };
    struct sink s;
    weir_provider *p = provider(&s, NULL, NULL);
    weir_logger *lg = weir_provider_logger(p, "m", NULL, NULL, NULL, 0);
    char *text = malloc(N + 1);
    REQUIRE(text);
    memset(text, '{', N);
    text[N] = 0;
    weir_info(lg, text, weir_i64("ms", 12));
    weir_info(lg, "{ms}{{m}{ms }{}", weir_i64("ms", 12));
    weir_provider_force_flush(p, 10000);
    struct otlp_record got;
    struct otlp_scope_logs sl;
    struct otlp_resource_logs rl;
    REQUIRE(nth(&s, 0, &got, &sl, &rl));
    CHECK_SV(otlp_read_value(got.body).text, sv_of(text));
    REQUIRE(nth(&s, 1, &got, &sl, &rl));
    CHECK_SV(otlp_read_value(got.body).text, SV("12{{m}{ms }{}"));
    free(text);
    weir_provider_free(p);
    sink_done(&s);
}

TEST(arguments_of_a_disabled_level_are_not_evaluated)
{
    struct sink s;
    weir_provider_options po = weir_provider_options_init();
    po.minimum_severity = WEIR_SEVERITY_WARN;
    weir_provider *p = provider(&s, NULL, &po);
    weir_logger *lg = weir_provider_logger(p, "m", NULL, NULL, NULL, 0);
    int evaluated = 0;
    weir_info(lg, "x", weir_i64("n", ++evaluated));
    weir_warn(lg, "x", weir_i64("n", ++evaluated));
    weir_warn(NULL, "x", weir_i64("n", ++evaluated));
    CHECK_EQ(evaluated, 1);
    CHECK(!weir_logger_enabled(lg, WEIR_SEVERITY_DEBUG, NULL));
    CHECK(weir_logger_enabled(lg, 0, NULL));
    CHECK(!weir_logger_enabled(NULL, 0, NULL));
    weir_log_record r = weir_log_record_init();
    r.severity_number = WEIR_SEVERITY_INFO; /* filtered also when nobody asked before */
    weir_logger_emit(lg, &r);
    CHECK_EQ(stats(p).emitted, 1);
    weir_provider_free(p);
    sink_done(&s);
}

TEST(limits_discard_and_count)
{
    struct sink s;
    weir_provider_options po = weir_provider_options_init();
    po.limits = (weir_limits){.attribute_count = 2, .attribute_value_length = 3, .attribute_value_depth = 1};
    weir_provider *p = provider(&s, NULL, &po);
    weir_logger *lg = weir_provider_logger(p, "m", NULL, NULL, NULL, 0);
    weir_value deep = weir_value_array(NULL, 0), list = weir_value_array(&deep, 1);
    weir_info(lg, "the body {a} is exempt", weir_str("a", "first"), weir_str("\xc3\xa4", "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f"),
              weir_any("list", list), weir_str("a", "second"));
    weir_provider_force_flush(p, 10000);
    struct otlp_record got;
    struct otlp_scope_logs sl;
    struct otlp_resource_logs rl;
    struct otlp_value v;
    REQUIRE(nth(&s, 0, &got, &sl, &rl));
    CHECK_SV(otlp_read_value(got.body).text, SV("the body first is exempt"));
    CHECK_ATTR_STR(got.raw, OTLP_RECORD_ATTRS, "\xc3\xa4", "\xc3\xa4\xc3\xb6\xc3\xbc"); /* three characters, not bytes */
    REQUIRE(attr(got.raw, OTLP_RECORD_ATTRS, "list", &v) && v.kind == OTLP_ARRAY);
    struct otlp_iter it = otlp_array(v);
    sv item;
    REQUIRE(otlp_next_value(&it, &item));
    CHECK_EQ(otlp_read_value(item).kind, OTLP_EMPTY); /* too deep */
    CHECK(!attr(got.raw, OTLP_RECORD_ATTRS, "a", &v)); /* the third */
    CHECK(attr(got.raw, OTLP_RECORD_ATTRS, "code.line.number", &v)); /* not counted */
    CHECK_EQ(got.dropped_attributes, 1);
    CHECK_EQ(stats(p).discarded_attributes, 1);
    weir_provider_free(p);
    sink_done(&s);
}

TEST(batches_have_a_size_and_keep_the_order)
{
    struct sink s;
    weir_batch_options bo = weir_batch_options_init();
    bo.max_export_batch_size = 10;
    bo.schedule_delay_ms = 60000;
    weir_provider *p = provider(&s, &bo, NULL);
    weir_logger *a = weir_provider_logger(p, "a", NULL, NULL, NULL, 0), *b = weir_provider_logger(p, "b", NULL, NULL, NULL, 0);
    for (int i = 0; i < 25; i++)
        weir_infof(i % 2 ? b : a, "%d", i);
    CHECK_SOON(stats(p).exported == 20, 10000); /* full batches go at once, the rest waits for its delay */
    CHECK_EQ(stats(p).queued, 5);
    CHECK_EQ(weir_provider_shutdown(p, 10000), WEIR_OK);
    CHECK_EQ(s.records, 25);
    CHECK_EQ(s.largest, 10);
    CHECK_EQ(s.batches, 3);
    int last_a = -2, last_b = -1;
    struct otlp_record got;
    struct otlp_scope_logs sl;
    struct otlp_resource_logs rl;
    for (size_t i = 0; nth(&s, i, &got, &sl, &rl); i++) {
        struct otlp_scope scope;
        otlp_read_scope(sl.scope, &scope);
        int *last = sv_eq(scope.name, SV("a")) ? &last_a : &last_b;
        int64_t n = -1;
        CHECK(sv_to_i64(otlp_read_value(got.body).text, &n));
        CHECK_EQ(n, *last + 2);
        *last = (int)n;
    }
    weir_provider_free(p);
    sink_done(&s);
}

TEST(batches_are_split_by_bytes)
{
    struct sink s;
    weir_batch_options bo = weir_batch_options_init();
    bo.schedule_delay_ms = 60000;
    bo.max_export_batch_bytes = 10000;
    bo.ring_bytes = 1 << 20;
    weir_provider *p = provider(&s, &bo, NULL);
    weir_logger *lg = weir_provider_logger(p, "a", NULL, NULL, NULL, 0);
    char *text = calloc(1, 300001);
    REQUIRE(text != NULL);
    memset(text, 'x', 300000);
    for (int i = 0; i < 12; i++)
        weir_infof(lg, "%.4000s", text);
    weir_infof(lg, "%s", text);            /* larger than a quarter of the ring */
    weir_infof(lg, "%.100000s", text);     /* larger than a batch: goes alone */
    CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_OK);
    CHECK_EQ(s.largest, 2);
    CHECK_EQ(s.records, 13);
    CHECK_EQ(stats(p).dropped_too_large, 1);
    free(text);
    weir_provider_free(p);
    sink_done(&s);
}

TEST(a_full_queue_drops_its_oldest_and_says_so)
{
    struct sink s;
    weir_batch_options bo = weir_batch_options_init();
    bo.max_queue_size = 8;
    bo.max_export_batch_size = 4;
    bo.schedule_delay_ms = 1;
    weir_provider *p = provider(&s, &bo, NULL);
    sink_stall(&s, true);
    weir_logger *lg = weir_provider_logger(p, "a", NULL, NULL, NULL, 0);
    weir_infof(lg, "%d", 0);
    CHECK_SOON(stats(p).queued == 1, 5000);
    test_sleep_ms(20); /* likely in the exporter's hands by now; either way nothing below depends on it */
    for (int i = 1; i <= 100; i++)
        weir_infof(lg, "%d", i);
    CHECK_SOON(stats(p).queued <= 12, 10000);
    weir_stats st = stats(p);
    CHECK(st.queued >= 8);
    CHECK_EQ(st.dropped_queue_full + st.queued, 101);
    sink_stall(&s, false);
    weir_provider_force_flush(p, 10000);
    st = stats(p);
    CHECK_EQ(st.exported + st.dropped_queue_full, st.emitted);
    CHECK_EQ(st.queued, 0);
    struct otlp_record got;
    struct otlp_scope_logs sl;
    struct otlp_resource_logs rl;
    REQUIRE(nth(&s, s.records - 1, &got, &sl, &rl));
    CHECK_SV(otlp_read_value(got.body).text, SV("100")); /* the newest are kept */
    weir_provider_free(p);
    sink_done(&s);
}

TEST(what_cannot_be_sent_for_now_is_sent_later)
{
    struct sink s;
    weir_provider *p = provider(&s, NULL, NULL);
    s.answer = WEIR_EXPORT_RETRY;
    weir_logger *lg = weir_provider_logger(p, "a", NULL, NULL, NULL, 0);
    for (int i = 0; i < 5; i++)
        weir_infof(lg, "%d", i);
    CHECK_EQ(weir_provider_force_flush(p, 50), WEIR_TIMEOUT);
    CHECK_EQ(stats(p).queued, 5);
    lock_acquire(&s.mu);
    s.answer = WEIR_EXPORT_OK;
    lock_release(&s.mu);
    CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_OK);
    CHECK_EQ(s.records, 5);
    CHECK(s.batches > 1);
    weir_provider_free(p);
    sink_done(&s);
}

TEST(failures_and_rejections_are_counted)
{
    struct sink s;
    weir_provider *p = provider(&s, NULL, NULL);
    weir_logger *lg = weir_provider_logger(p, "a", NULL, NULL, NULL, 0);
    s.n_rejected = 2;
    for (int i = 0; i < 5; i++)
        weir_infof(lg, "%d", i);
    CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_FAILED);
    CHECK_EQ(stats(p).exported, 3);
    CHECK_EQ(stats(p).dropped_rejected, 2);
    lock_acquire(&s.mu);
    s.answer = WEIR_EXPORT_FAILED;
    lock_release(&s.mu);
    weir_infof(lg, "x");
    CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_FAILED);
    CHECK_EQ(stats(p).dropped_export_failed, 1);
    weir_provider_free(p);
    sink_done(&s);
}

TEST(shutdown_is_bounded_and_counts_what_is_left)
{
    struct sink s;
    weir_provider *p = provider(&s, NULL, NULL);
    weir_logger *lg = weir_provider_logger(p, "a", NULL, NULL, NULL, 0);
    sink_stall(&s, true);
    for (int i = 0; i < 5; i++)
        weir_infof(lg, "%d", i);
    CHECK_EQ(weir_provider_shutdown(p, 50), WEIR_TIMEOUT);
    CHECK_EQ(stats(p).dropped_at_shutdown, 5);
    CHECK_EQ(stats(p).queued, 0);
    CHECK_EQ(weir_provider_shutdown(p, 50), WEIR_SHUT_DOWN);
    CHECK_EQ(weir_provider_force_flush(p, 50), WEIR_SHUT_DOWN);
    CHECK(!weir_logger_enabled(lg, 9, NULL));
    weir_log_record r = weir_log_record_init();
    weir_logger_emit(lg, &r);
    CHECK_EQ(stats(p).dropped_after_shutdown, 1);
    CHECK(weir_provider_logger(p, "b", NULL, NULL, NULL, 0) == NULL);
    weir_provider_free(p);
    sink_done(&s);
}

/* "As long as it takes" is INT64_MAX for some. */
TEST(the_longest_timeout_is_not_none)
{
    struct sink s;
    weir_batch_options bo = weir_batch_options_init();
    bo.schedule_delay_ms = bo.export_timeout_ms = INT64_MAX;
    weir_provider *p = provider(&s, &bo, NULL);
    weir_logger *lg = weir_provider_logger(p, "a", NULL, NULL, NULL, 0);
    weir_infof(lg, "1");
    CHECK_EQ(weir_provider_force_flush(p, INT64_MAX), WEIR_OK);
    weir_infof(lg, "2");
    CHECK_EQ(weir_provider_shutdown(p, INT64_MAX), WEIR_OK);
    CHECK_EQ(s.records, 2);
    weir_provider_free(p);
    sink_done(&s);
}

TEST(loggers_are_the_same_for_the_same_scope)
{
    struct sink s;
    weir_provider *p = provider(&s, NULL, NULL);
    weir_attr x = weir_str("x", "1");
    weir_logger *a = weir_provider_logger(p, "a", "1", NULL, NULL, 0);
    CHECK(a == weir_provider_logger(p, "a", "1", NULL, NULL, 0));
    CHECK(a != weir_provider_logger(p, "a", "2", NULL, NULL, 0));
    CHECK(a != weir_provider_logger(p, "a", "1", "s", NULL, 0));
    CHECK(a != weir_provider_logger(p, "a", "1", NULL, &x, 1));
    CHECK(weir_provider_logger(p, NULL, NULL, NULL, NULL, 0) != NULL);
    CHECK(weir_logger_get("a") == NULL);
    weir_provider_set_global(p);
    CHECK(weir_logger_get("g") != NULL);
    weir_provider_free(p);
    CHECK(weir_provider_global() == NULL);
    sink_done(&s);
}

/* ---- processors of others ---- */

static void redact(void *self, weir_record *r)
{
    const weir_log_record *view = weir_record_get(r);
    if (view->severity_number == WEIR_SEVERITY_DEBUG)
        weir_record_discard(r);
    CHECK(weir_record_remove_attribute(r, weir_string_of("password")));
    CHECK(!weir_record_remove_attribute(r, weir_string_of("password")));
    CHECK(weir_record_set_attribute(r, weir_str("user", "somebody")));
    CHECK(weir_record_set_attribute(r, weir_str("scope", weir_record_scope_name(r).data)));
    CHECK(weir_record_set_body(r, weir_value_str("hidden")));
    weir_record_set_severity(r, WEIR_SEVERITY_INFO4);
    CHECK(weir_record_set_severity_text(r, weir_string_of("note")));
}

TEST(a_processor_changes_what_the_next_one_sees)
{
    struct sink s;
    sink_init(&s);
    weir_processor_ops ops = {sizeof ops, redact, NULL, NULL, NULL, NULL};
    weir_processor *ps[2] = {weir_processor_new(&ops, NULL), weir_batch_processor_new(s.exporter, NULL, NULL)};
    weir_provider *p = weir_provider_new(NULL, ps, 2, NULL);
    weir_logger *lg = weir_provider_logger(p, "lib", NULL, NULL, NULL, 0);
    weir_info(lg, "{user} {password}", weir_str("user", "ann"), weir_str("password", "secret"));
    weir_debug(lg, "gone", weir_str("password", "secret"));
    weir_provider_force_flush(p, 10000);
    struct otlp_record got;
    struct otlp_scope_logs sl;
    struct otlp_resource_logs rl;
    struct otlp_value v;
    CHECK_EQ(s.records, 1);
    REQUIRE(nth(&s, 0, &got, &sl, &rl));
    CHECK_SV(otlp_read_value(got.body).text, SV("hidden"));
    CHECK_EQ(got.severity_number, 12);
    CHECK_SV(got.severity_text, SV("note"));
    CHECK_ATTR_STR(got.raw, OTLP_RECORD_ATTRS, "user", "somebody");
    CHECK_ATTR_STR(got.raw, OTLP_RECORD_ATTRS, "scope", "lib");
    CHECK_ATTR_STR(got.raw, OTLP_RECORD_ATTRS, "code.file.path", __FILE__);
    CHECK(!attr(got.raw, OTLP_RECORD_ATTRS, "password", &v));
    CHECK(sv_find(buf_view(&s.bytes), SV("secret")) == SV_NPOS);
    weir_provider_free(p);
    sink_done(&s);
}

TEST(the_simple_processor_sends_at_once)
{
    struct sink s;
    sink_init(&s);
    weir_processor *sp = weir_simple_processor_new(s.exporter, NULL);
    weir_provider *p = weir_provider_new(NULL, &sp, 1, NULL);
    weir_logger *lg = weir_provider_logger(p, "lib", NULL, NULL, NULL, 0);
    weir_info(lg, "a");
    CHECK_EQ(s.records, 1);
    s.answer = WEIR_EXPORT_RETRY;
    weir_info(lg, "b");
    CHECK_EQ(stats(p).exported, 1);
    CHECK_EQ(stats(p).dropped_export_failed, 1);
    weir_provider_free(p);
    sink_done(&s);
}

static weir_logger *logging_exporters_logger;
static void log_and_export(void *self UNUSED, const weir_batch *batch UNUSED, int64_t timeout_ms UNUSED,
                           weir_export_result *ret)
{
    weir_info(logging_exporters_logger, "exporting");
    ret->code = WEIR_EXPORT_OK;
}

TEST(what_an_exporter_logs_through_itself_is_counted)
{
    static const weir_exporter_ops ops = {.struct_size = sizeof ops, .export_logs = log_and_export};
    weir_processor *sp = weir_simple_processor_new(weir_exporter_new(&ops, NULL), NULL);
    weir_provider *p = weir_provider_new(NULL, &sp, 1, NULL);
    logging_exporters_logger = weir_provider_logger(p, "lib", NULL, NULL, NULL, 0);
    weir_info(logging_exporters_logger, "a");
    CHECK_EQ(stats(p).emitted, 2);
    CHECK_EQ(stats(p).exported, 1);
    CHECK_EQ(stats(p).dropped_export_failed, 1);
    weir_provider_free(p);
}

TEST(wrong_parts_are_refused_with_a_reason)
{
    weir_error e = {""};
    CHECK(weir_batch_processor_new(NULL, NULL, &e) == NULL);
    CHECK(strstr(e.message, "needs an exporter") != NULL);
    weir_processor *none = NULL;
    e.message[0] = 0;
    CHECK(weir_provider_new(NULL, &none, 1, &e) == NULL);
    CHECK(strstr(e.message, "a processor is NULL") != NULL);
    /* an error of the innermost part survives nested calls */
    weir_otlp_options o = weir_otlp_options_init();
    o.endpoint = "ftp://x";
    e.message[0] = 0;
    weir_processor *p = weir_batch_processor_new(weir_otlp_exporter_new(&o, &e), NULL, &e);
    CHECK(weir_provider_new(NULL, &p, 1, &e) == NULL);
    CHECK(strstr(e.message, "begins with neither http:// nor https://") != NULL);
}

/* ---- threads and processes ---- */

static void *emitter(void *arg)
{
    for (int i = 0; i < 2000; i++)
        weir_info(arg, "{i}", weir_i64("i", i));
    return NULL;
}

TEST(many_threads_lose_nothing_uncounted)
{
    struct sink s;
    weir_batch_options bo = weir_batch_options_init();
    bo.max_queue_size = 100;
    bo.max_export_batch_size = 50;
    weir_provider *p = provider(&s, &bo, NULL);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, emitter, weir_provider_logger(p, "t", NULL, NULL, NULL, 0)) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    weir_provider_shutdown(p, 10000);
    weir_stats st = stats(p);
    CHECK_EQ(st.emitted, 8000);
    CHECK_EQ(st.exported + st.dropped_queue_full + st.dropped_ring_full, 8000);
    CHECK_EQ(s.records, st.exported);
    weir_provider_free(p);
    sink_done(&s);
}

static sv instance_id(struct sink *s)
{
    struct otlp_resource_logs rl;
    struct otlp_iter it = otlp_resources(buf_view(&s->bytes));
    struct otlp_value v = {0};
    if (!otlp_next_resource(&it, &rl) || !attr(rl.resource, OTLP_RESOURCE_ATTRS, "service.instance.id", &v))
        return SV_NULL;
    return v.text;
}

TEST(a_forked_child_sends_only_its_own)
{
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer cannot follow the threads of a forked child");
#endif
    struct sink s;
    int fds[2];
    char theirs[64] = "";
    REQUIRE(pipe(fds) == 0);
    weir_provider *p = provider(&s, NULL, NULL);
    weir_logger *lg = weir_provider_logger(p, "f", NULL, NULL, NULL, 0);
    weir_info(lg, "parent");
    pid_t child = fork();
    if (child == 0) {
        weir_info(lg, "child");
        bool ok = weir_provider_force_flush(p, 10000) == WEIR_OK && s.records == 1 &&
                  sv_find(buf_view(&s.bytes), SV("child")) != SV_NPOS && stats(p).emitted == 1 &&
                  write(fds[1], instance_id(&s).p, 36) == 36;
        _exit(ok ? 0 : 1);
    }
    REQUIRE(child > 0);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_OK);
    CHECK_EQ(s.records, 1);
    CHECK(sv_find(buf_view(&s.bytes), SV("parent")) != SV_NPOS);
    CHECK_EQ(read(fds[0], theirs, 36), 36);
    CHECK_EQ(instance_id(&s).n, 36);
    CHECK(memcmp(theirs, instance_id(&s).p, 36) != 0); /* another process is another instance */
    close(fds[0]);
    close(fds[1]);
    weir_provider_free(p);
    sink_done(&s);
}

TEST(traceparent_both_ways)
{
    weir_trace_context t = {{0}, {0}, 0}, back;
    char text[56];
    CHECK(weir_traceparent_parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &t));
    CHECK_EQ(t.trace_id[0], 0x4b);
    CHECK_EQ(t.span_id[7], 0xb7);
    CHECK_EQ(t.flags, 1);
    weir_traceparent_format(&t, text);
    CHECK_STR(text, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    CHECK(weir_traceparent_parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", &back));
    static const char *const bad[] = {
        "", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!weir_traceparent_parse(bad[i], &back));
    CHECK(!weir_traceparent_parse(NULL, &back));
    CHECK_STR(weir_severity_text(24), "FATAL4");
    CHECK_STR(weir_severity_text(25), "");
    CHECK_STR(weir_severity_text(-1), "");
}

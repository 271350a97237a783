/* weirspool_test.c - the weirspool receiver between backlogs of dead processes and a sink that does as told. */
#include "backlog/peek.h"
#include "collector/collector.h"
#include "collector/test_util.h"
#include "otlp/request.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- backlogs ---- */

static const char *dir(void)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/spool", test_dir());
    return path;
}

static sv resource_of(const char *service)
{
    static struct buf b;
    buf_reset(&b);
    size_t mark = otlp_open(&b, 1);
    otlp_put_attr_str(&b, 1, SV("service.name"), sv_of(service));
    otlp_close(&b, mark);
    return buf_view(&b);
}

static struct backlog *make(const char *service)
{
    struct backlog_config cfg = {.base = dir(), .service = sv_of(service), .ring_bytes = 64 << 10, .dict_bytes = 4096,
                                 .spill_max_bytes = 4 << 20, .batch_records = 10, .batch_bytes = 1 << 20};
    struct backlog *bl = NULL;
    struct err e = {0};
    if (!backlog_new(&cfg, resource_of(service), &bl, &e))
        test_fail(__FILE__, __LINE__, "no backlog: %s", e.msg);
    ASSERT(bl);
    return bl;
}

static void put_bytes(struct backlog *bl, sv record)
{
    struct ring_slot slot;
    ASSERT(ring_reserve(backlog_ring(bl), (uint32_t)record.n, &slot) == RING_PUT);
    if (record.n)
        memcpy(slot.record, record.p, record.n);
    CHECK(ring_publish(backlog_ring(bl), &slot, RING_FIRST, 0));
}

/* A record with the body "SERVICE-i". */
static void put(struct backlog *bl, const char *service, unsigned i)
{
    struct buf b = {0};
    char text[100];
    snprintf(text, sizeof text, "%s-%u", service, i);
    otlp_put_fixed64(&b, 1, 1700000000000000000ull + i);
    size_t body = otlp_open(&b, 5);
    otlp_put_bytes(&b, 1, sv_of(text));
    otlp_close(&b, body);
    put_bytes(bl, buf_view(&b));
    buf_done(&b);
}

/* Records 0 to n - 1 of a process that is gone: the first half in its spool, the others in its ring. */
static void leave(const char *service, unsigned n)
{
    struct backlog *bl = make(service);
    for (unsigned i = 0; i < n; i++) {
        put(bl, service, i);
        if (i == n / 2)
            CHECK(backlog_spill(bl, false, NULL));
    }
    CHECK_EQ(backlog_close(bl), n);
}

struct left {
    uint64_t backlogs, waiting;
};
static bool add_left(void *ctx, const char *name)
{
    struct left *l = ctx;
    struct backlog_peek p;
    if (backlog_peek(dir(), name, &p, NULL)) {
        l->backlogs++;
        l->waiting += p.waiting;
    }
    return true;
}
static struct left left_now(void)
{
    struct left l = {0};
    CHECK(backlog_list(dir(), SV_NULL, add_left, &l, NULL));
    return l;
}

/* ---- a collector that ends in a script ---- */

struct rig {
    struct script script;
    struct metrics *metrics;
    struct collector_config *config;
    struct collector *c;
};

static void rig_open(struct rig *g, const struct script_step *steps, size_t n, const char *more)
{
    char yaml[1000], data[300];
    struct err e = {0};
    SCOPED(buf_done) struct buf problems = {0};
    *g = (struct rig){.metrics = metrics_new()};
    script_init(&g->script, steps, n);
    struct collector_sink sink = {"store", {script_push, &g->script}};
    snprintf(data, sizeof data, "%s/data", test_dir());
    snprintf(yaml, sizeof yaml,
             "receivers: {weirspool: {directory: '%s', poll_interval: 20ms%s}}\n"
             "exporters: {store: {}}\n"
             "service: {telemetry: {metrics: {level: none}}, pipelines: {logs: {receivers: [weirspool], exporters: [store]}}}\n",
             dir(), more);
    if (!collector_config_parse(sv_of(yaml), "test", &sink, 1, &g->config, &problems, &problems, &e)) {
        test_fail(__FILE__, __LINE__, "%s: " SV_FMT, e.msg, SV_ARG(buf_view(&problems)));
        return;
    }
    CHECK_OK(collector_open(g->config, &(struct collector_options){.data_dir = data, .metrics = g->metrics}, &g->c, &e), &e);
}

static void rig_close(struct rig *g)
{
    collector_close(g->c, 10000);
    collector_config_free(g->config);
    metrics_free(g->metrics);
    script_done(&g->script);
}

static int64_t counted(struct rig *g, const char *name)
{
    const char *labels[] = {"receiver", "weirspool", "transport", "spool", NULL};
    return metric_value(metrics_get(g->metrics, METRIC_COUNTER, name, "", labels));
}

/* All bodies that were pushed, in order. */
static struct buf bodies(struct rig *g)
{
    struct buf b = {0};
    LOCK_SCOPED(&g->script.mu);
    for (size_t i = 0; i < g->script.got.n; i++)
        put_bodies(g->script.got.at[i]->bytes, &b);
    return b;
}

static bool each_once(struct rig *g, const char *service, unsigned n)
{
    SCOPED(buf_done) struct buf got = bodies(g), want = {0};
    for (unsigned i = 0; i < n; i++)
        buf_fmt(&want, "%s-%u ", service, i);
    return sv_find(buf_view(&got), buf_view(&want)) != SV_NPOS && got.n == want.n;
}

/* ---- tests ---- */

TEST(what_dead_processes_left_is_pushed_in_order_and_removed)
{
    struct rig g;
    leave("shop", 75);
    rig_open(&g, NULL, 0, "");
    CHECK_SOON(script_sent(&g.script) == 75, 20000);
    CHECK(each_once(&g, "shop", 75));
    CHECK_SOON(left_now().backlogs == 0, 20000);
    leave("later", 5); /* while it runs */
    CHECK_SOON(script_sent(&g.script) == 80, 20000);
    CHECK_SOON(left_now().backlogs == 0, 20000);
    CHECK_EQ(counted(&g, "otelcol_receiver_accepted_log_records"), 80);
    CHECK_EQ(counted(&g, "otelcol_receiver_refused_log_records"), 0);
    CHECK_EQ(counted(&g, "otelcol_receiver_weirspool_torn_log_records"), 0);
    CHECK_EQ(counted(&g, "otelcol_receiver_weirspool_adopted_backlogs"), 2);
    rig_close(&g);
}

TEST(the_living_are_left_alone_and_so_are_other_services)
{
    struct rig g;
    struct backlog *alive = make("mine");
    put(alive, "mine", 0);
    leave("theirs", 4);
    leave("mine", 3);
    rig_open(&g, NULL, 0, ", services: [mine, other]");
    CHECK_SOON(script_sent(&g.script) == 3, 20000);
    usleep(100000);
    CHECK_EQ(left_now().waiting, 5);
    CHECK_EQ(script_sent(&g.script), 3);
    CHECK_EQ(backlog_close(alive), 1);
    CHECK_SOON(script_sent(&g.script) == 4, 20000);
    rig_close(&g);
}

TEST(a_pipeline_that_cannot_take_it_now_is_asked_again)
{
    static const struct script_step steps[] = {
        {.code = PUSH_RETRY, .retry_after_ms = 5}, {.code = PUSH_RETRY, .retry_after_ms = -1}, {.code = PUSH_SENT}};
    struct rig g;
    leave("shop", 10);
    rig_open(&g, steps, ARRAY_LEN(steps), "");
    CHECK_SOON(left_now().backlogs == 0, 20000);
    CHECK_EQ(script_sent(&g.script), 10);
    CHECK_EQ(counted(&g, "otelcol_receiver_accepted_log_records"), 10);
    rig_close(&g);
}

TEST(what_is_refused_for_good_is_counted_and_gone)
{
    static const struct script_step steps[] = {{.code = PUSH_REJECTED, .err = ERR_INVALID}};
    struct rig g;
    leave("shop", 20); /* 11 in the spool, in frames of 10 and 1, 9 in the ring */
    rig_open(&g, steps, ARRAY_LEN(steps), "");
    CHECK_SOON(left_now().backlogs == 0, 20000);
    CHECK_EQ(counted(&g, "otelcol_receiver_refused_log_records"), 10);
    CHECK_EQ(counted(&g, "otelcol_receiver_accepted_log_records"), 10);
    rig_close(&g);
}

TEST(nothing_is_settled_before_the_answer)
{
    static const struct script_step steps[] = {{.code = PUSH_SENT, .hold = true}};
    struct rig g;
    leave("shop", 5);
    rig_open(&g, steps, ARRAY_LEN(steps), "");
    CHECK_SOON(script_pushes(&g.script) == 1, 20000);
    CHECK_EQ(left_now().waiting, 5);
    script_release(&g.script, PUSH_SENT, ERR_NONE);
    CHECK_SOON(left_now().backlogs == 0, 20000);
    rig_close(&g);
}

/* An answer that does not come in time is not waited for: the batch stays, for whoever comes next. */
static void *release_late(void *arg)
{
    struct rig *g = arg;
    usleep(200000);
    script_release(&g->script, PUSH_SENT, ERR_NONE);
    return NULL;
}
TEST(stopping_leaves_unanswered_batches_unsettled)
{
    static const struct script_step steps[] = {{.code = PUSH_SENT, .hold = true}};
    struct rig g, next;
    pthread_t t;
    leave("shop", 5);
    rig_open(&g, steps, ARRAY_LEN(steps), "");
    CHECK_SOON(script_pushes(&g.script) == 1, 20000);
    REQUIRE(pthread_create(&t, NULL, release_late, &g) == 0);
    collector_close(g.c, 20); /* frees only when the answer has come, as every receiver */
    g.c = NULL;
    pthread_join(t, NULL);
    CHECK_EQ(left_now().waiting, 5);
    rig_close(&g);
    rig_open(&next, NULL, 0, "");
    CHECK_SOON(left_now().backlogs == 0, 20000);
    CHECK(each_once(&next, "shop", 5));
    rig_close(&next);
}

TEST(stopping_waits_for_an_answer_that_comes_in_time)
{
    static const struct script_step steps[] = {{.code = PUSH_SENT, .hold = true}};
    struct rig g;
    pthread_t t;
    leave("shop", 5);
    rig_open(&g, steps, ARRAY_LEN(steps), "");
    CHECK_SOON(script_pushes(&g.script) == 1, 20000);
    REQUIRE(pthread_create(&t, NULL, release_late, &g) == 0);
    collector_close(g.c, 10000);
    g.c = NULL;
    pthread_join(t, NULL);
    CHECK_EQ(left_now().waiting, 2); /* the spool's three are settled; the ring's were not begun */
    rig_close(&g);
}

TEST(damage_is_counted_and_holds_up_no_other)
{
    struct rig g;
    struct backlog *bl = make("shop");
    char path[600];
    struct ring_slot slot;
    put(bl, "shop", 0);
    put_bytes(bl, SV("\x0a")); /* whole, but no OTLP: takes its batch along */
    CHECK(backlog_spill(bl, false, NULL));
    put(bl, "shop", 1);
    CHECK(ring_reserve(backlog_ring(bl), 30, &slot) == RING_PUT); /* never finished */
    put(bl, "shop", 2);
    snprintf(path, sizeof path, "%s/ring", backlog_dir(bl));
    backlog_close(bl);
    struct backlog *broken = make("broken"); /* its ring cannot be read at all */
    put(broken, "broken", 0);
    snprintf(path, sizeof path, "%s/ring", backlog_dir(broken));
    backlog_close(broken);
    int fd = open(path, O_WRONLY);
    CHECK(pwrite(fd, "!", 1, 24) == 1);
    close(fd);
    rig_open(&g, NULL, 0, "");
    CHECK_SOON(script_sent(&g.script) == 2, 20000);
    CHECK_SOON(left_now().backlogs == 0, 20000); /* the broken one is not counted: it cannot be looked at */
    CHECK_EQ(access(path, F_OK), 0);
    CHECK_EQ(counted(&g, "otelcol_receiver_weirspool_torn_log_records"), 3);
    CHECK_EQ(counted(&g, "otelcol_receiver_malformed_requests"), 1);
    CHECK_EQ(counted(&g, "otelcol_receiver_accepted_log_records"), 2);
    rig_close(&g);
}

TEST(two_adopters_push_each_record_once)
{
    struct rig a, b;
    for (int i = 0; i < 20; i++)
        leave(i % 2 ? "odd" : "even", 15);
    rig_open(&a, NULL, 0, "");
    rig_open(&b, NULL, 0, "");
    CHECK_SOON(left_now().backlogs == 0, 20000);
    CHECK_EQ(script_sent(&a.script) + script_sent(&b.script), 300);
    rig_close(&a);
    rig_close(&b);
}

TEST(a_directory_that_is_not_there_may_come)
{
    struct rig g;
    rig_open(&g, NULL, 0, "");
    usleep(50000);
    leave("shop", 3);
    CHECK_SOON(script_sent(&g.script) == 3, 20000);
    rig_close(&g);
}

TEST(configuration_is_checked)
{
    static const char yaml[] = "receivers: {weirspool: {poll_interval: 0s, direktory: x}}\nexporters: {debug: {}}\n"
                               "service: {pipelines: {logs: {receivers: [weirspool], exporters: [debug]}}}\n";
    struct collector_config *cfg;
    struct err e = {0};
    SCOPED(buf_done) struct buf problems = {0};
    CHECK(!collector_config_parse(sv_of(yaml), "f", NULL, 0, &cfg, &problems, &problems, &e));
    CHECK(sv_find(buf_view(&problems), SV("'poll_interval' must be at least 1ms")) != SV_NPOS);
    CHECK(sv_find(buf_view(&problems), SV("direktory")) != SV_NPOS && sv_find(buf_view(&problems), SV("directory")) != SV_NPOS);
}

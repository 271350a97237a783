/* sender_test.c - queues, merging, splitting, attempts, and what becomes of what is refused. */
#include "collector/retry.h"
#include "collector/sender.h"
#include "collector/split.h"
#include "collector/test_util.h"
#include "base/io.h"
#include "spool/spool.h"
#include <errno.h>

#define SOON_MS 25000 /* a busy machine's disk may take many seconds for one sync */

static sv bodies(sv request, struct buf *b)
{
    buf_reset(b);
    put_bodies(request, b);
    return buf_view(b);
}

static void check_pieces(sv request, uint64_t n, const char *const *want)
{
    SCOPED(buf_done) struct buf out = {0}, text = {0};
    struct split sp = {0};
    split_start(&sp, request);
    for (; *want; want++) {
        buf_reset(&out);
        uint64_t given = split_take(&sp, n, &out);
        struct otlp_counts counts = {0};
        struct err e = {0};
        CHECK_OK(otlp_check(buf_view(&out), &(struct otlp_limits){0}, &counts, &e), &e);
        CHECK_EQ(counts.records, given);
        CHECK_SV(bodies(buf_view(&out), &text), sv_of(*want));
    }
    buf_reset(&out);
    CHECK_EQ(split_take(&sp, n, &out), 0);
    CHECK_EQ(out.n, 0);
    split_done(&sp);
}

TEST(a_split_keeps_groups_and_their_fields)
{
    SCOPED(buf_done) struct buf in = {0}, out = {0}, text = {0};
    put_request(&in, "a", 0, 3);
    put_request(&in, "none", 0, 0);
    put_request(&in, "b", 0, 2);
    otlp_put_varint(&in, 99, 7); /* a field nobody knows, at the top: it belongs to no record */
    check_pieces(buf_view(&in), 1, (const char *[]){"a-0 ", "a-1 ", "a-2 ", "b-0 ", "b-1 ", NULL});
    check_pieces(buf_view(&in), 2, (const char *[]){"a-0 a-1 ", "a-2 b-0 ", "b-1 ", NULL});
    check_pieces(buf_view(&in), 5, (const char *[]){"a-0 a-1 a-2 b-0 b-1 ", NULL});
    check_pieces(buf_view(&in), UINT64_MAX, (const char *[]){"a-0 a-1 a-2 b-0 b-1 ", NULL});
    check_pieces(SV("\x0a\xff\x01garbage"), 10, (const char *[]){NULL}); /* hostile bytes: nothing, and no crash */

    struct split sp = {0};
    split_start(&sp, buf_view(&in));
    split_take(&sp, 1, &out);
    buf_reset(&out);
    split_take(&sp, 3, &out);
    split_done(&sp);
    CHECK_SV(bodies(buf_view(&out), &text), SV("a-1 a-2 b-0 "));
    struct otlp_iter it = otlp_resources(buf_view(&out));
    struct otlp_resource_logs rl;
    struct otlp_scope_logs sl;
    REQUIRE(otlp_next_resource(&it, &rl));
    CHECK_SV(rl.schema_url, SV("http://schema/resource"));
    CHECK(rl.resource.n > 0);
    struct otlp_iter si = otlp_scopes(&rl);
    REQUIRE(otlp_next_scope(&si, &sl));
    CHECK_SV(sl.schema_url, SV("http://schema/scope"));
    CHECK(sl.scope.n > 0);
    REQUIRE(otlp_next_resource(&it, &rl));
    CHECK(!otlp_next_resource(&it, &rl)); /* the one without records is gone */
}

TEST(a_group_with_a_records_number_is_no_record)
{
    SCOPED(buf_done) struct buf in = {0};
    size_t rl = otlp_open(&in, 1), sl = otlp_open(&in, 2);
    buf_sv(&in, SV("\x13\x12\x01x\x14")); /* field 2 as a group with a text inside: unknown, so of the scope */
    for (unsigned i = 0; i < 2; i++) {
        size_t lr = otlp_open(&in, 2), body = otlp_open(&in, 5);
        otlp_put_bytes(&in, 1, i ? SV("b") : SV("a"));
        otlp_close(&in, body);
        otlp_close(&in, lr);
    }
    otlp_close(&in, sl);
    otlp_close(&in, rl);
    check_pieces(buf_view(&in), 1, (const char *[]){"a ", "b ", NULL});
}

TEST(without_memory_a_split_says_so)
{
    SCOPED(buf_done) struct buf in = {0}, out = buf_capped(100);
    struct split sp = {0};
    put_request(&in, "a", 0, 10);
    split_start(&sp, buf_view(&in));
    split_take(&sp, 5, &out);
    CHECK(out.failed);
    split_done(&sp);
}

static const struct retry_settings usual = {.enabled = true, .initial_interval = 5 * NS_PER_S,
                                            .max_interval = 30 * NS_PER_S, .multiplier = 1.5, .randomization_factor = 0.5};

TEST(waits_grow_as_upstream_s)
{
    struct retry_state st = {0};
    static const double want[] = {5, 7.5, 11.25, 16.875, 25.3125, 30, 30};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        int64_t w = retry_next(&usual, &st, false, 0, 0, 0.5);
        CHECK(w > (want[i] - 0.01) * 1e9 && w < (want[i] + 0.01) * 1e9);
    }
    CHECK_EQ(retry_next(&usual, &st, false, 0, 0, 0.0), 15 * NS_PER_S);
    CHECK_EQ(retry_next(&usual, &st, false, 99 * NS_PER_S, 0, 0.0), 99 * NS_PER_S); /* the peer asked for more */
}

TEST(an_unreachable_peer_is_tried_soon)
{
    struct retry_state st = {0};
    static const double want[] = {1, 1.5, 2.25, 3.375, 5, 5};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        int64_t w = retry_next(&usual, &st, true, 0, 0, 0.5);
        CHECK(w > (want[i] - 0.01) * 1e9 && w < (want[i] + 0.01) * 1e9);
    }
    CHECK_EQ(retry_next(&usual, &st, false, 0, 0, 0.5), 5 * NS_PER_S); /* it is there, and says later: from the start */
    struct retry_settings quick = usual;
    quick.initial_interval = 10 * NS_PER_MS;
    st = (struct retry_state){0};
    CHECK_EQ(retry_next(&quick, &st, true, 0, 0, 0.5), 10 * NS_PER_MS);
}

TEST(retries_end_when_told)
{
    struct retry_settings rs = usual;
    struct retry_state st = {0};
    rs.max_elapsed_time = 60 * NS_PER_S;
    CHECK(retry_next(&rs, &st, false, 0, 50 * NS_PER_S, 0.5) == 5 * NS_PER_S);
    CHECK_EQ(retry_next(&rs, &st, false, 0, 58 * NS_PER_S, 0.5), RETRY_NO_MORE);
}

/* ---- queue ---- */

static const char *queue_dir(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    return path;
}

static struct queue *open_queue(struct batching bt, enum queue_sizer sizer, uint64_t capacity, unsigned takers)
{
    struct queue_config qc = {.id = "test", .dir = queue_dir("q"), .sizer = sizer, .capacity = capacity, .batching = bt,
                              .n_takers = takers};
    struct queue *q = NULL;
    struct err e = {0};
    CHECK_OK(queue_open(&qc, &q, &e), &e);
    return q;
}

static void push(struct queue *q, const char *prefix, unsigned from, unsigned n, const char *tenant, struct answers *an)
{
    struct batch *b = make_batch(prefix, from, n, tenant);
    queue_push(q, b, answer, an);
    batch_unref(b);
}

static void check_take(struct queue *q, const char *want, size_t n_parts, const char *tenant)
{
    struct queue_batch qb;
    SCOPED(buf_done) struct buf text = {0};
    REQUIRE(queue_take(q, &qb));
    CHECK_SV(bodies(qb.batch->bytes, &text), sv_of(want));
    CHECK_EQ(qb.n_parts, n_parts);
    CHECK_SV(qb.batch->tenant, sv_of(tenant));
    CHECK_EQ(qb.batch->arrived_wall_ns, 42);
    queue_done(q, &qb);
}

TEST(what_waits_is_joined_up_to_the_size)
{
    struct answers an = {0};
    struct queue *q = open_queue((struct batching){.min_records = 4}, SIZE_BYTES, 1 << 20, 1);
    REQUIRE(q);
    for (unsigned i = 0; i < 6; i++)
        push(q, "a", 2 * i, 2, i == 5 ? "other" : "", &an);
    CHECK_SOON(an.sent == 6, SOON_MS);
    struct queue_stats st;
    queue_stats(q, &st);
    CHECK_EQ(st.requests, 6);
    CHECK_EQ(st.items, 12);
    check_take(q, "a-0 a-1 a-2 a-3 ", 2, "");
    check_take(q, "a-4 a-5 a-6 a-7 ", 2, "");
    check_take(q, "a-8 a-9 ", 1, ""); /* another tenant's request is never joined */
    check_take(q, "a-10 a-11 ", 1, "other");
    queue_stats(q, &st);
    CHECK_EQ(st.requests + st.items + st.bytes, 0);
    queue_close(q);
}

TEST(large_requests_are_cut_and_the_rest_carried_over)
{
    struct answers an = {0};
    struct queue *q = open_queue((struct batching){.min_records = 4, .max_records = 4}, SIZE_ITEMS, 1000, 1);
    REQUIRE(q);
    push(q, "a", 0, 3, "", &an);
    push(q, "b", 0, 6, "", &an);
    CHECK_SOON(an.sent == 2, SOON_MS);
    check_take(q, "a-0 a-1 a-2 b-0 ", 2, "");
    check_take(q, "b-1 b-2 b-3 b-4 ", 1, "");
    struct queue_stats st;
    queue_stats(q, &st);
    CHECK_EQ(st.items, 1);
    CHECK_EQ(st.requests, 1);
    check_take(q, "b-5 ", 1, "");
    queue_stats(q, &st);
    CHECK_EQ(st.requests + st.items + st.bytes, 0);
    queue_close(q);
}

TEST(many_small_pieces_cost_no_more_than_few)
{
    enum { RECORDS = 1 << 20, PIECE = 8 }; /* walked anew for each piece they would outlast the test */
    struct answers an = {0};
    SCOPED(buf_done) struct buf in = {0};
    size_t rl = otlp_open(&in, 1), sl = otlp_open(&in, 2);
    for (unsigned i = 0; i < RECORDS; i++)
        buf_sv(&in, SV("\x12\x00"));
    otlp_close(&in, sl);
    otlp_close(&in, rl);
    struct queue *q = open_queue((struct batching){.min_records = PIECE, .max_records = PIECE}, SIZE_BYTES, 4 << 20, 1);
    struct batch *b = batch_new(buf_view(&in), SV(""), RECORDS, 0);
    REQUIRE(q && b);
    queue_push(q, b, answer, &an);
    batch_unref(b);
    CHECK_SOON(an.sent == 1, SOON_MS);
    struct queue_stats st;
    struct queue_batch qb;
    uint64_t got = 0;
    for (unsigned i = 0; i < RECORDS / PIECE; i++) {
        queue_stats(q, &st);
        CHECK(st.requests == 1 && st.bytes == in.n && st.items == RECORDS - got);
        REQUIRE(queue_take(q, &qb));
        CHECK(qb.batch->bytes.n <= 2 * PIECE + 20);
        got += qb.batch->n_records;
        queue_done(q, &qb);
    }
    CHECK_EQ(got, RECORDS);
    queue_stats(q, &st);
    CHECK_EQ(st.requests + st.items + st.bytes, 0);
    queue_close(q);
}

TEST(a_timeout_sends_what_is_there)
{
    struct answers an = {0};
    struct queue *q = open_queue((struct batching){.min_records = 1000, .timeout_ns = 20 * NS_PER_MS}, SIZE_BYTES, 1 << 20, 1);
    REQUIRE(q);
    push(q, "a", 0, 1, "", &an);
    struct queue_batch qb;
    REQUIRE(queue_take(q, &qb));
    CHECK(!qb.by_size);
    CHECK_EQ(qb.batch->n_records, 1);
    queue_done(q, &qb);
    queue_close(q);
}

TEST(after_a_pause_the_first_request_goes_at_once)
{
    const int64_t hour = 3600 * NS_PER_S;
    struct answers an = {0};
    struct queue *q = open_queue((struct batching){.min_records = 1000, .timeout_ns = hour}, SIZE_BYTES, 1 << 20, 1);
    REQUIRE(q);
    clock_shift_for_test(0, hour);
    push(q, "a", 0, 1, "", &an);
    check_take(q, "a-0 ", 1, ""); /* the last batch was over an hour ago */
    push(q, "b", 0, 1, "", &an);
    push(q, "c", 0, 1, "", &an);
    CHECK_SOON(atomic_load(&an.sent) == 3, 5000);
    clock_shift_for_test(0, hour);
    check_take(q, "b-0 c-0 ", 2, ""); /* these waited for one another */
    clock_shift_for_test(0, -2 * hour);
    queue_close(q);
}

TEST(a_full_queue_refuses_for_now_and_the_impossible_for_good)
{
    struct answers an = {0};
    struct queue *q = open_queue((struct batching){.min_records = 1}, SIZE_ITEMS, 10, 1);
    REQUIRE(q);
    push(q, "a", 0, 11, "", &an);
    CHECK_EQ(an.rejected, 1);
    push(q, "a", 0, 6, "", &an);
    CHECK_SOON(an.sent == 1, SOON_MS);
    push(q, "a", 6, 5, "", &an);
    CHECK_EQ(an.retry, 1);
    struct queue_batch qb;
    REQUIRE(queue_take(q, &qb));
    push(q, "a", 6, 5, "", &an); /* out with a taker still counts */
    CHECK_EQ(an.retry, 2);
    queue_done(q, &qb);
    push(q, "a", 6, 5, "", &an);
    CHECK_SOON(an.sent == 2, SOON_MS);
    queue_close(q);
}

TEST(what_was_not_finished_comes_again_after_a_restart)
{
    struct answers an = {0};
    struct queue *q = open_queue((struct batching){.min_records = 1}, SIZE_BYTES, 1 << 20, 3);
    REQUIRE(q);
    for (unsigned i = 0; i < 4; i++)
        push(q, "a", i, 1, "t", &an);
    CHECK_SOON(an.sent == 4, SOON_MS);
    struct queue_batch qb[3];
    for (unsigned i = 0; i < 3; i++)
        REQUIRE(queue_take(q, &qb[i]));
    queue_done(q, &qb[0]);
    queue_done(q, &qb[2]); /* out of order: the cursor waits for the one between */
    queue_stop(q);
    queue_drop(q, &qb[1]);
    struct queue_batch none;
    CHECK(!queue_take(q, &none));
    queue_close(q);

    q = open_queue((struct batching){.min_records = 1}, SIZE_BYTES, 1 << 20, 1);
    REQUIRE(q);
    struct queue_stats st;
    queue_stats(q, &st);
    CHECK_EQ(st.requests, 3);
    CHECK_EQ(st.items, 3);
    check_take(q, "a-1 ", 1, "t");
    check_take(q, "a-2 ", 1, "t"); /* delivered before: at least once */
    check_take(q, "a-3 ", 1, "t");
    queue_close(q);
    q = open_queue((struct batching){.min_records = 1}, SIZE_BYTES, 1 << 20, 1);
    REQUIRE(q);
    queue_stats(q, &st);
    CHECK_EQ(st.requests, 0);
    queue_close(q);
}

TEST(a_cut_request_is_done_with_its_last_piece)
{
    struct answers an = {0};
    struct batching bt = {.min_records = 2, .max_records = 2};
    struct queue *q = open_queue(bt, SIZE_BYTES, 1 << 20, 1);
    REQUIRE(q);
    push(q, "a", 0, 5, "", &an);
    CHECK_SOON(an.sent == 1, SOON_MS);
    check_take(q, "a-0 a-1 ", 1, "");
    check_take(q, "a-2 a-3 ", 1, "");
    queue_close(q);
    q = open_queue(bt, SIZE_BYTES, 1 << 20, 1);
    REQUIRE(q);
    check_take(q, "a-0 a-1 ", 1, ""); /* the last record was never out: all of the request comes again */
    check_take(q, "a-2 a-3 ", 1, "");
    check_take(q, "a-4 ", 1, "");
    queue_close(q);
}

/* One push at a time, however slow the disk is. False: it was never answered. */
static bool push_and_wait(struct queue *q, const char *prefix, unsigned from, struct answers *an)
{
    unsigned before = an->sent + an->retry + an->rejected;
    push(q, prefix, from, 1, "", an);
    CHECK_SOON(an->sent + an->retry + an->rejected == before + 1, SOON_MS);
    return an->sent + an->retry + an->rejected == before + 1;
}

TEST(a_full_disk_refuses_for_now)
{
    struct answers an = {0};
    struct queue *q = open_queue((struct batching){.min_records = 1}, SIZE_BYTES, 1 << 20, 1);
    REQUIRE(q);
    static const struct io_fault faults[] = {{.op = IO_WRITE, .times = 0, .sys = ENOSPC}, {.op = IO_SYNC, .times = 0, .sys = EIO}};
    for (unsigned i = 0; i < ARRAY_LEN(faults); i++) {
        unsigned retry = an.retry;
        io_faults_set(&faults[i], 1);
        bool answered = push_and_wait(q, "lost", 0, &an);
        io_faults_set(NULL, 0);
        REQUIRE(answered);
        CHECK_EQ(an.retry, retry + 1);
        for (unsigned n = 0; an.sent == i && n < 1000; n++) /* the spool may need another try to start afresh */
            REQUIRE(push_and_wait(q, "a", i, &an));
        REQUIRE(an.sent == i + 1);
    }
    struct queue_stats st;
    queue_stats(q, &st);
    CHECK_EQ(st.requests, 2); /* what was refused is not counted as waiting */
    check_take(q, "a-0 ", 1, "");
    check_take(q, "a-1 ", 1, "");
    queue_close(q);
}

TEST(hostile_frames_are_errors)
{
    struct queue_frame f;
    struct err e = {0};
    uint8_t frame[64] = {1, 50};
    CHECK(!queue_frame_read(SV(""), &f, &e));
    CHECK_EQ(e.code, ERR_CORRUPT);
    CHECK(queue_frame_read(sv_make(frame, 66 - 50 + 50 - 2), &f, &e) == (64 - 16 >= 50));
    CHECK(queue_frame_read((frame[1] = 48, sv_make(frame, sizeof frame)), &f, &e));
    CHECK_EQ(f.bytes.n, 0);
    frame[0] = 2;
    CHECK(!queue_frame_read(sv_make(frame, sizeof frame), &f, &e));
}

/* ---- sender ---- */

struct bench {
    struct script script;
    struct metrics *metrics;
    struct sender_settings settings;
    struct sender *sd;
    struct answers an;
};

static bool bench_open(struct bench *b, const struct script_step *steps, size_t n)
{
    struct err e = {0};
    if (!b->metrics) {
        b->metrics = metrics_new();
        script_init(&b->script, steps, n);
        b->settings.retry = (struct retry_settings){.enabled = !b->settings.retry.multiplier, .initial_interval = NS_PER_MS,
                                                    .max_interval = 5 * NS_PER_MS, .multiplier = 1.5,
                                                    .max_elapsed_time = b->settings.retry.max_elapsed_time};
        if (!b->settings.queue.num_consumers)
            b->settings.queue = (struct queue_settings){.enabled = true, .num_consumers = 1};
    }
    struct sender_config sc = {.id = "otlphttp/test", .settings = &b->settings, .batching = {.min_records = 4, .processor = "batch"},
                               .data_dir = test_dir(), .metrics = b->metrics};
    CHECK_OK(sender_open(&sc, &(struct log_sink){script_push, &b->script}, &b->sd, &e), &e);
    return b->sd != NULL;
}

static void bench_push(struct bench *b, const char *prefix, unsigned from, unsigned n)
{
    struct log_sink sink = sender_sink(b->sd);
    struct batch *batch = make_batch(prefix, from, n, "");
    sink_push(&sink, batch, answer, &b->an);
    batch_unref(batch);
}

static void bench_close(struct bench *b)
{
    sender_stop(b->sd, clock_mono_ns() + 5 * NS_PER_S);
    sender_close(b->sd);
    metrics_free(b->metrics);
    script_done(&b->script);
}

static int64_t value(struct bench *b, const char *name, bool queue_labels)
{
    const char *labels[] = {"exporter", "otlphttp/test", queue_labels ? "data_type" : NULL, "logs", NULL};
    return metric_value(metrics_get(b->metrics, METRIC_COUNTER, name, "", labels));
}
static int64_t gauge(struct bench *b, const char *name)
{
    const char *labels[] = {"exporter", "otlphttp/test", "data_type", "logs", NULL};
    return metric_value(metrics_get(b->metrics, METRIC_GAUGE, name, "", labels));
}

TEST(retries_until_the_peer_has_it)
{
    static const struct script_step steps[] = {{PUSH_RETRY, ERR_UNAVAILABLE, -1}, {PUSH_RETRY, ERR_TIMEOUT, 3},
                                               {PUSH_RETRY, ERR_TIMEOUT, -1}};
    struct bench b = {0};
    REQUIRE(bench_open(&b, steps, ARRAY_LEN(steps)));
    bench_push(&b, "a", 0, 4);
    CHECK_SOON(b.an.sent == 1, SOON_MS);
    CHECK_SOON(script_sent(&b.script) == 4, SOON_MS);
    CHECK_EQ(script_pushes(&b.script), 4);
    CHECK_SOON(gauge(&b, "otelcol_exporter_queue_log_records") == 0, SOON_MS);
    CHECK_EQ(value(&b, "otelcol_exporter_sent_log_records", false), 4);
    CHECK_EQ(value(&b, "otelcol_exporter_send_failed_log_records", false), 0);
    bench_close(&b);
}

TEST(partial_success_is_sent_and_counted)
{
    static const struct script_step steps[] = {{PUSH_SENT, ERR_NONE, -1, 3}};
    struct bench b = {0};
    REQUIRE(bench_open(&b, steps, 1));
    bench_push(&b, "a", 0, 4);
    CHECK_SOON(value(&b, "otelcol_exporter_sent_log_records", false) == 4, SOON_MS);
    CHECK_SOON(value(&b, "otelcol_exporter_partial_rejected_log_records", false) == 3, SOON_MS);
    bench_close(&b);
}

/* Records in <data>/rejected. */
static void check_rejected(uint64_t want_frames, const char *want)
{
    char dir[200];
    snprintf(dir, sizeof dir, "%s/rejected/otlphttp~002Ftest", test_dir());
    struct spool *sp;
    struct spool_reader *rd;
    struct err e = {0};
    REQUIRE_OK(spool_open(&(struct spool_config){.dir = dir}, &sp, NULL, &e), &e);
    REQUIRE_OK(spool_reader_open(sp, 0, &rd, &e), &e);
    SCOPED(buf_done) struct buf text = {0};
    sv frame;
    uint64_t seq, n = 0;
    while (spool_read(rd, &frame, &seq, &e) == 1) {
        struct queue_frame f;
        CHECK_OK(queue_frame_read(frame, &f, &e), &e);
        put_bodies(f.bytes, &text);
        n++;
    }
    CHECK_EQ(n, want_frames);
    CHECK_SV(buf_view(&text), sv_of(want));
    spool_reader_close(rd);
    spool_close(sp);
}

TEST(a_refused_batch_costs_only_the_request_that_is_wrong)
{
    struct bench b = {0};
    static const struct script_step steps[] = {{PUSH_RETRY, ERR_TIMEOUT, 100}}; /* so that the three are joined */
    REQUIRE(bench_open(&b, steps, 1));
    b.script.poison = "bad-0";
    bench_push(&b, "first", 0, 4);
    CHECK_SOON(script_pushes(&b.script) == 1, SOON_MS);
    bench_push(&b, "a", 0, 1);
    bench_push(&b, "bad", 0, 1);
    bench_push(&b, "b", 0, 2);
    CHECK_SOON(script_sent(&b.script) == 7, SOON_MS);
    CHECK_SOON(value(&b, "otelcol_exporter_send_failed_log_records", false) == 1, SOON_MS);
    CHECK_EQ(value(&b, "otelcol_exporter_sent_log_records", false), 7);
    CHECK_EQ(script_pushes(&b.script), 2 + 1 + 3);
    bench_close(&b);
    check_rejected(1, "bad-0 ");
}

TEST(a_batch_too_large_is_halved)
{
    struct bench b = {0};
    REQUIRE(bench_open(&b, NULL, 0));
    b.script.max_records = 3;
    bench_push(&b, "a", 0, 10);
    CHECK_SOON(script_sent(&b.script) == 10, SOON_MS);
    SCOPED(buf_done) struct buf text = {0};
    for (size_t i = 0; i < script_pushes(&b.script); i++)
        if (b.script.got.at[i]->n_records <= 3)
            put_bodies(b.script.got.at[i]->bytes, &text);
    CHECK_SV(buf_view(&text), SV("a-0 a-1 a-2 a-3 a-4 a-5 a-6 a-7 a-8 a-9 ")); /* in order */
    CHECK_EQ(value(&b, "otelcol_exporter_send_failed_log_records", false), 0);
    bench_close(&b);
}

TEST(without_retries_a_failure_is_final)
{
    static const struct script_step steps[] = {{PUSH_RETRY, ERR_TIMEOUT, -1}};
    struct bench b = {.settings.retry.multiplier = 1};
    REQUIRE(bench_open(&b, steps, 1));
    bench_push(&b, "a", 0, 4);
    CHECK_SOON(value(&b, "otelcol_exporter_send_failed_log_records", false) == 4, SOON_MS);
    CHECK_EQ(script_pushes(&b.script), 1);
    bench_close(&b);
    check_rejected(1, "a-0 a-1 a-2 a-3 ");
}

TEST(stopping_keeps_what_is_not_delivered)
{
    static const struct script_step steps[] = {{.hold = true}};
    struct bench b = {0};
    REQUIRE(bench_open(&b, steps, 1));
    bench_push(&b, "a", 0, 4);
    bench_push(&b, "a", 4, 4);
    CHECK_SOON(b.an.sent == 2 && script_pushes(&b.script) == 1, SOON_MS);
    sender_stop(b.sd, clock_mono_ns() + 10 * NS_PER_MS); /* does not wait for ever */
    script_release(&b.script, PUSH_RETRY, ERR_CANCELLED); /* as closing the exporter does */
    sender_close(b.sd);
    CHECK_EQ(value(&b, "otelcol_exporter_send_failed_log_records", false), 0);
    b.sd = NULL;
    REQUIRE(bench_open(&b, NULL, 0));
    CHECK_SOON(script_sent(&b.script) == 8, SOON_MS);
    bench_close(&b);
}

/* A sink whose pushes take a moment, as compressing a large batch does. */
struct slow {
    _Atomic unsigned entered, left;
};
static void slow_push(void *self, struct batch *b, push_done_fn *done, void *ctx)
{
    struct slow *sl = self;
    struct push_result r = {.code = PUSH_RETRY, .retry_after_ms = -1};
    (void)b;
    atomic_fetch_add(&sl->entered, 1);
    test_sleep_ms(50);
    atomic_fetch_add(&sl->left, 1);
    err_set(&r.err, ERR_CANCELLED, "closed");
    done(ctx, &r);
}
static void *push_one(void *ctx)
{
    struct bench *b = ctx;
    bench_push(b, "a", 0, 4);
    return NULL;
}

TEST(stopping_waits_for_whoever_is_inside_the_exporter)
{
    for (int with_queue = 0; with_queue < 2; with_queue++) {
        struct slow sl = {0};
        struct bench b = {.metrics = metrics_new(), .settings.queue = {.enabled = with_queue, .num_consumers = 1}};
        struct sender_config sc = {.id = "otlphttp/test", .settings = &b.settings, .batching = {.min_records = 4},
                                   .data_dir = test_dir(), .metrics = b.metrics};
        struct err e = {0};
        pthread_t pusher;
        REQUIRE_OK(sender_open(&sc, &(struct log_sink){slow_push, &sl}, &b.sd, &e), &e);
        REQUIRE(pthread_create(&pusher, NULL, push_one, &b) == 0);
        CHECK_SOON(sl.entered == 1, SOON_MS);
        sender_stop(b.sd, 0); /* there is no time left: the exporter is closed next all the same */
        CHECK_EQ(sl.left, 1);
        bench_push(&b, "late", 0, 4);
        CHECK_EQ(sl.entered, 1); /* and nobody goes in any more */
        CHECK(b.an.retry >= 1);
        pthread_join(pusher, NULL);
        sender_close(b.sd);
        metrics_free(b.metrics);
    }
}

TEST(without_a_queue_the_peers_answer_is_the_answer)
{
    static const struct script_step steps[] = {{PUSH_RETRY, ERR_UNAVAILABLE, -1}, {PUSH_REJECTED, ERR_INVALID, -1}};
    struct bench b = {.settings.queue = {.enabled = false, .num_consumers = 1}};
    REQUIRE(bench_open(&b, steps, 2));
    bench_push(&b, "a", 0, 4);
    bench_push(&b, "a", 0, 4);
    bench_push(&b, "a", 0, 4);
    CHECK(b.an.retry == 1 && b.an.rejected == 1 && b.an.sent == 1);
    bench_close(&b);
}

TEST(many_consumers_deliver_everything_once)
{
    struct bench b = {.settings.queue = {.enabled = true, .num_consumers = 8}};
    REQUIRE(bench_open(&b, NULL, 0));
    for (unsigned i = 0; i < 100; i++)
        bench_push(&b, "a", 3 * i, 3);
    CHECK_SOON(script_sent(&b.script) == 300, SOON_MS);
    CHECK_SOON(gauge(&b, "otelcol_exporter_queue_log_records") == 0, SOON_MS);
    CHECK_EQ(gauge(&b, "otelcol_exporter_queue_size"), 0);
    bench_close(&b);
}

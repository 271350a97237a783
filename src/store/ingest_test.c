/* What a request turns into, through the whole store: labels, metadata, times, limits and their texts. */
#include "store/store_int.h"
#include "store/store_test.h"
#include "base/io.h"
#include "base/varint.h"
#include <errno.h>

/* One ResourceLogs with hand-made resource, scope and record. */
struct raw {
    struct buf b;
    size_t rl, sl, lr;
};
static void raw_begin(struct raw *r)
{
    *r = (struct raw){0};
    r->rl = otlp_open(&r->b, 1);
}

TEST(metadata_is_ordered_by_name_and_later_additions_win)
{
    struct fixture f;
    struct raw r;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    raw_begin(&r);
    size_t res = otlp_open(&r.b, 1);
    otlp_put_attr_str(&r.b, 1, SV("service.name"), SV("web"));
    otlp_put_attr_str(&r.b, 1, SV("host.name"), SV("from resource"));
    otlp_put_attr_str(&r.b, 1, SV("cloud.region"), SV("eu"));
    size_t kv = otlp_open(&r.b, 1);
    otlp_put_bytes(&r.b, 1, SV("nested"));
    size_t any = otlp_open(&r.b, 2), list = otlp_open(&r.b, 6);
    otlp_put_attr_str(&r.b, 1, SV("x.y"), SV("1"));
    otlp_put_attr_i64(&r.b, 1, SV("n"), 7);
    otlp_close(&r.b, list);
    otlp_close(&r.b, any);
    otlp_close(&r.b, kv);
    otlp_close(&r.b, res);
    size_t sl = otlp_open(&r.b, 2), scope = otlp_open(&r.b, 1);
    otlp_put_bytes(&r.b, 1, SV("lib"));
    otlp_put_bytes(&r.b, 2, SV("1.2"));
    otlp_put_attr_str(&r.b, 3, SV("scope_attr"), SV("s"));
    otlp_close(&r.b, scope);
    size_t lr = otlp_open(&r.b, 2);
    otlp_put_fixed64(&r.b, 1, 5);
    otlp_put_fixed64(&r.b, 11, 6);
    otlp_put_varint(&r.b, 2, 17);
    otlp_put_bytes(&r.b, 3, SV("ERROR"));
    otlp_put_attr_str(&r.b, 6, SV("host.name"), SV("from record"));
    otlp_put_attr_str(&r.b, 6, SV("severity_text"), SV("overridden"));
    otlp_put_attr_bool(&r.b, 6, SV("ok"), true);
    otlp_put_attr_double(&r.b, 6, SV("d"), 1.5);
    otlp_put_varint(&r.b, 7, 3);
    otlp_put_fixed32(&r.b, 8, 1);
    otlp_put_bytes(&r.b, 9, SV("\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"));
    otlp_put_bytes(&r.b, 10, SV("\x01\x23\x45\x67\x89\xab\xcd\xef"));
    otlp_put_bytes(&r.b, 12, SV("evt"));
    otlp_close(&r.b, lr);
    otlp_close(&r.b, sl);
    otlp_close(&r.b, r.rl);
    CHECK_EQ(push_bytes(f.st, "fake", buf_view(&r.b), 1).code, PUSH_SENT);
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA | SHOW_LABELS,
               "{cloud_region=\"eu\", level=\"ERROR\", service_name=\"web\"} 5  d=1.5,detected_level=error,"
               "dropped_attributes_count=3,event_name=evt,flags=1,host_name=from resource,nested_n=7,nested_x_y=1,"
               "observed_timestamp=6,ok=true,scope_attr=s,scope_name=lib,scope_version=1.2,severity_number=17,"
               "severity_text=ERROR,span_id=0123456789abcdef,trace_id=0123456789abcdef0123456789abcdef\n");
    buf_done(&r.b);
    fixture_done(&f);
}

TEST(time_falls_back_to_observed_and_then_to_arrival)
{
    struct fixture f;
    SCOPED(buf_done) struct buf b = {0};
    fixture_config(&f);
    f.cfg.limits.discover_log_levels = false;
    REQUIRE(fixture_open(&f));
    size_t rl = otlp_open(&b, 1), sl = otlp_open(&b, 2), lr = otlp_open(&b, 2);
    otlp_put_fixed64(&b, 11, 70);
    otlp_close(&b, lr);
    lr = otlp_open(&b, 2);
    otlp_close(&b, lr);
    otlp_close(&b, sl);
    otlp_close(&b, rl);
    CHECK_EQ(push_bytes(f.st, "fake", buf_view(&b), 4242).code, PUSH_SENT);
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, "70 \n4242 \n");
    fixture_close(&f); /* the arrival time is in the log: the row is the same after a restart */
    REQUIRE(fixture_open(&f));
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA | SHOW_LABELS,
               "{service_name=\"unknown_service\"} 70 \n{service_name=\"unknown_service\"} 4242 \n");
    fixture_done(&f);
}

TEST(level_label_is_the_severity_text_when_there_is_one)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_records(f.st, "web",
                 (struct rec[]){{.ts = 1, .line = "a", .severity_text = "Warning"},
                                {.ts = 2, .line = "b", .severity_number = 9},
                                {.ts = 3, .line = "level=debug c"}},
                 3);
    CHECK_ROWS(&f, NULL, 0, SHOW_LABELS | SHOW_METADATA,
               "{level=\"Warning\", service_name=\"web\"} 1 a detected_level=warn,severity_text=Warning\n"
               "{service_name=\"web\"} 2 b detected_level=info,severity_number=9\n"
               "{service_name=\"web\"} 3 level=debug c detected_level=debug\n");
    fixture_done(&f);
}

TEST(level_label_may_be_off)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.limits.level_label = false;
    REQUIRE(fixture_open(&f));
    push_records(f.st, "web", (struct rec[]){{.ts = 1, .line = "a", .severity_text = "INFO"}}, 1);
    CHECK_ROWS(&f, NULL, 0, SHOW_LABELS, "{service_name=\"web\"} 1 a\n");
    fixture_done(&f);
}

TEST(a_detected_level_that_came_along_is_kept_as_a_word)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_records(f.st, "web", (struct rec[]){{.ts = 1, .line = "error", .attrs = {"detected_level", "WRN"}}}, 1);
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, "1 error detected_level=warn\n");
    fixture_done(&f);
}

TEST(limits_refuse_records_and_keep_the_rest)
{
    struct fixture f;
    char big[300];
    fixture_config(&f);
    f.cfg.limits.max_line_size = 100;
    f.cfg.limits.max_structured_metadata_size = 200;
    f.cfg.limits.max_structured_metadata_entries_count = 3;
    REQUIRE(fixture_open(&f));
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    struct push_result r = push_records(f.st, "web",
                                        (struct rec[]){{.ts = 1, .line = big},
                                                       {.ts = 2, .line = "fine"},
                                                       {.ts = 3, .line = "m", .attrs = {"k", big}},
                                                       {.ts = 4, .line = big},
                                                       {.ts = 5, .line = "n", .attrs = {"a", "1", "b", "2", "c", "3", "d"}},
                                                       {.ts = 6, .line = "o", .attrs = {"a", "1", "b", "2", "c", "3"}}},
                                        6);
    CHECK_EQ(r.code, PUSH_SENT);
    CHECK_EQ(r.n_rejected, 4);
    CHECK_EQ(r.err.code, ERR_INVALID);
    CHECK_STR(r.err.msg, "2 errors like: max entry size '100' bytes exceeded for stream '{service_name=\"web\"}' while adding "
                         "an entry with length '299' bytes; 1 errors like: stream '{service_name=\"web\"}' has structured "
                         "metadata too large: '300' bytes, limit: '200' bytes, see max_structured_metadata_size; 1 errors "
                         "like: stream '{service_name=\"web\"}' has too many structured metadata labels: '4', limit: '3', "
                         "see max_structured_metadata_entries_count");
    CHECK_ROWS(&f, NULL, 0, 0, "2 fine\n6 o\n");
    SCOPED(buf_done) struct buf m = {0};
    metrics_print(f.metrics, &m);
    CHECK(sv_find(buf_view(&m), SV("loki_discarded_samples_total{reason=\"line_too_long\",tenant=\"fake\"} 2\n")) != SV_NPOS);
    fixture_close(&f);
    f.cfg.limits.max_line_size = 0; /* what was refused then stays refused after a restart with other limits */
    REQUIRE(fixture_open(&f));
    CHECK_ROWS(&f, NULL, 0, 0, "2 fine\n6 o\n");
    fixture_done(&f);
}

TEST(a_request_refused_whole_is_rejected)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.limits.max_line_size = 2;
    REQUIRE(fixture_open(&f));
    struct push_result r = push_records(f.st, "web", (struct rec[]){{.ts = 1, .line = "long"}}, 1);
    CHECK_EQ(r.code, PUSH_REJECTED);
    CHECK_STR(r.err.msg, "max entry size '2' bytes exceeded for stream '{service_name=\"web\"}' while adding an entry with "
                         "length '4' bytes");
    r = push_bytes(f.st, "fake", SV(""), 1);
    CHECK_EQ(r.code, PUSH_REJECTED);
    CHECK_ERR(&r.err, ERR_NOT_FOUND, "error at least one valid stream is required for ingestion");
    fixture_done(&f);
}

TEST(age_limits)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.limits.reject_old_samples_max_age = 3600 * NS_PER_S;
    f.cfg.limits.creation_grace_period = 600 * NS_PER_S;
    REQUIRE(fixture_open(&f));
    int64_t now = clock_wall_ns();
    struct push_result r = push_records(f.st, "web",
                                        (struct rec[]){{.ts = now - 7200 * NS_PER_S, .line = "old"},
                                                       {.ts = now, .line = "now"},
                                                       {.ts = now + 1200 * NS_PER_S, .line = "new"}},
                                        3);
    CHECK_EQ(r.n_rejected, 2);
    CHECK(sv_find(sv_of(r.err.msg), SV("has timestamp too old: ")) != SV_NPOS);
    CHECK(sv_find(sv_of(r.err.msg), SV("has timestamp too new: ")) != SV_NPOS);
    fixture_done(&f);
}

TEST(streams_of_a_tenant_are_limited)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.limits.max_streams_per_user = 2;
    REQUIRE(fixture_open(&f));
    CHECK_EQ(push_records(f.st, "a", (struct rec[]){{.ts = 1, .line = "x"}}, 1).code, PUSH_SENT);
    CHECK_EQ(push_records(f.st, "b", (struct rec[]){{.ts = 1, .line = "x"}}, 1).code, PUSH_SENT);
    struct push_result r = push_records(f.st, "c", (struct rec[]){{.ts = 1, .line = "x"}}, 1);
    CHECK_EQ(r.code, PUSH_REJECTED);
    CHECK_ERR(&r.err, ERR_LIMIT, "maximum active stream limit exceeded when trying to create stream {service_name=\"c\"}");
    CHECK_EQ(push_records(f.st, "a", (struct rec[]){{.ts = 2, .line = "x"}}, 1).code, PUSH_SENT);
    clock_shift_for_test(0, 2 * 3600 * NS_PER_S); /* streams unused for an hour make room */
    CHECK_EQ(push_records(f.st, "c", (struct rec[]){{.ts = 1, .line = "x"}}, 1).code, PUSH_SENT);
    clock_shift_for_test(0, -2 * 3600 * NS_PER_S);
    fixture_done(&f);
}

/* Pushes a record of each of `n` services with names of 2000 bytes: returns how many were refused for lack of memory. */
static unsigned push_fat_streams(struct fixture *f, const char *tenant, unsigned n)
{
    unsigned refused = 0;
    char name[2001];
    for (unsigned i = 0; i < n; i++) {
        SCOPED(buf_done) struct buf b = {0};
        memset(name, 'a', sizeof name);
        snprintf(name + sizeof name - 5, 5, "%04u", i);
        put_records(&b, name, (struct rec[]){{.ts = 1, .line = "x"}}, 1);
        struct push_result r = push_bytes(f->st, tenant, buf_view(&b), 1000);
        if (r.code == PUSH_REJECTED)
            CHECK_ERR(&r.err, ERR_LIMIT, "memory for streams is full (streams_max_bytes=65536)");
        else
            CHECK_EQ(r.code, PUSH_SENT);
        refused += r.code == PUSH_REJECTED;
    }
    return refused;
}

TEST(memory_for_streams_is_limited_over_all_tenants)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.streams_max_bytes = 64 << 10;
    REQUIRE(fixture_open(&f));
    CHECK_EQ(push_fat_streams(&f, "fake", 8), 0);
    unsigned refused = push_fat_streams(&f, "other", 32);
    CHECK(refused > 16 && refused < 32);
    const char *labels[] = {"reason", "stream_memory_full", "tenant", "other", NULL};
    CHECK_EQ(metric_value(metrics_get(f.metrics, METRIC_COUNTER, "loki_discarded_samples_total", "", labels)), refused);
    CHECK_EQ(push_fat_streams(&f, "fake", 8), 0); /* known streams go on */
    for (int way = 0; way < 2; way++) { /* and what is stored is read whatever the limit: from the log, from parts */
        struct err e = {0};
        struct store_totals t;
        fixture_close(&f);
        REQUIRE(fixture_open(&f));
        CHECK_OK(store_totals(f.st, SV("other"), NULL, 0, INT64_MIN, INT64_MAX, &t, &e), &e);
        CHECK_EQ(t.streams, 32 - refused);
        CHECK_OK(store_flush(f.st, &e), &e);
    }
    CHECK_EQ(push_fat_streams(&f, "third", 2), 2);
    fixture_done(&f);
}

/* Records of two bytes: `n` of them. */
static struct push_result push_empty_records(struct fixture *f, size_t n)
{
    SCOPED(buf_done) struct buf b = {0};
    size_t rl = otlp_open(&b, 1), sl = otlp_open(&b, 2);
    for (size_t i = 0; i < n; i++)
        otlp_close(&b, otlp_open(&b, 2));
    otlp_close(&b, sl);
    otlp_close(&b, rl);
    return push_bytes(f->st, "fake", buf_view(&b), 1000);
}

TEST(records_of_a_request_are_limited)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.max_records_per_request = 100;
    REQUIRE(fixture_open(&f));
    CHECK_EQ(push_empty_records(&f, 100).code, PUSH_SENT);
    struct push_result r = push_empty_records(&f, 101);
    CHECK_EQ(r.code, PUSH_REJECTED);
    CHECK_ERR(&r.err, ERR_INVALID, "request has more than 100 records, see max_records_per_request");
    fixture_close(&f);
    f.cfg.max_records_per_request = 1; /* what was taken once is read again */
    REQUIRE(fixture_open(&f));
    CHECK_EQ(f.st->head.active.rows, 100);
    fixture_done(&f);
}

TEST(rows_count_before_they_are_made)
{
    struct fixture f;
    static char line[190000];
    fixture_config(&f);
    f.cfg.head_max_bytes = f.cfg.memory_max_bytes = 1 << 20;
    REQUIRE(fixture_open(&f));
    CHECK_EQ(push_empty_records(&f, 20000).code, PUSH_SENT); /* 40 kB, and more than 1 MiB of rows: alone, it is taken */
    struct err e = {0};
    CHECK_OK(store_flush(f.st, &e), &e);
    io_faults_set(&(struct io_fault){.op = IO_WRITE, .match = ".part", .sys = ENOSPC}, 1);
    memset(line, 'x', sizeof line - 1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(push_records(f.st, "web", &(struct rec){.ts = i + 1, .line = line}, 1).code, PUSH_SENT);
    struct push_result r = push_empty_records(&f, 20000);
    CHECK_EQ(r.code, PUSH_RETRY);
    CHECK_ERR(&r.err, ERR_FULL, "memory_max_bytes");
    CHECK_EQ(push_empty_records(&f, 10).code, PUSH_SENT);
    io_faults_set(NULL, 0);
    fixture_done(&f);
}

TEST(label_limits_refuse_a_source)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.limits.max_label_value_length = 4;
    f.cfg.limits.discover_service_name = false;
    REQUIRE(fixture_open(&f));
    for (int i = 0; i < 2; i++) { /* the second time from the cache */
        struct push_result r = push_records(f.st, "toolong", (struct rec[]){{.ts = 1, .line = "x"}, {.ts = 2}}, 2);
        CHECK_EQ(r.code, PUSH_REJECTED);
        CHECK_STR(r.err.msg, "2 errors like: stream '{service_name=\"toolong\"}' has label value too long: 'toolong'");
    }
    struct push_result r = push_records(f.st, NULL, (struct rec[]){{.ts = 1, .line = "x"}}, 1);
    CHECK_EQ(r.code, PUSH_REJECTED);
    CHECK_STR(r.err.msg, "error at least one label pair is required per stream");
    r = push_records(f.st, "ok", (struct rec[]){{.ts = 1, .line = "x", .severity_text = "toolong"}, {.ts = 2}}, 2);
    CHECK_EQ(r.n_rejected, 1);
    fixture_done(&f);
}

TEST(an_attribute_without_a_name_refuses_its_record)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    struct push_result r = push_records(
        f.st, "web", (struct rec[]){{.ts = 1, .line = "bad", .attrs = {"", "v"}}, {.ts = 2, .line = "good"}}, 2);
    CHECK_EQ(r.n_rejected, 1);
    CHECK_STR(r.err.msg, "label name is empty");
    CHECK_ROWS(&f, NULL, 0, 0, "2 good\n");
    fixture_done(&f);
}

/* A map under a long name, of entries without a key: two bytes each, and each would be a name of 3.9 KB. */
TEST(names_made_from_maps_are_limited)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    static char long_name[3900];
    memset(long_name, 'a', sizeof long_name);
    SCOPED(buf_done) struct buf b = {0};
    size_t rl = otlp_open(&b, 1), sl = otlp_open(&b, 2), lr = otlp_open(&b, 2), attr = otlp_open(&b, 6);
    otlp_put_bytes(&b, 1, sv_make(long_name, sizeof long_name));
    size_t value = otlp_open(&b, 2), map = otlp_open(&b, 6);
    for (int i = 0; i < 1000; i++)
        otlp_put_bytes(&b, 1, SV_NULL);
    otlp_close(&b, map);
    otlp_close(&b, value);
    otlp_close(&b, attr);
    otlp_close(&b, lr);
    otlp_close(&b, sl);
    otlp_close(&b, rl);
    put_records(&b, "web", (struct rec[]){{.ts = 2, .line = "good"}}, 1);
    struct push_result r = push_bytes(f.st, "fake", buf_view(&b), 1);
    CHECK_EQ(r.code, PUSH_SENT);
    CHECK_EQ(r.n_rejected, 1);
    CHECK(strstr(r.err.msg, "bytes of names"));
    CHECK_ROWS(&f, NULL, 0, 0, "2 good\n");
    fixture_close(&f);
    REQUIRE(fixture_open(&f)); /* and when the log is read back */
    CHECK_ROWS(&f, NULL, 0, 0, "2 good\n");
    fixture_done(&f);
}

TEST(hostile_attributes_cost_their_record_only)
{
    struct fixture f;
    SCOPED(buf_done) struct buf b = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    enum { DEPTH = 200 };
    size_t marks[DEPTH][3];
    size_t rl = otlp_open(&b, 1), sl = otlp_open(&b, 2), lr = otlp_open(&b, 2);
    for (int i = 0; i < DEPTH; i++) { /* {"": {"": {"": ...}}} below a name: it does not grow */
        marks[i][0] = otlp_open(&b, i ? 1 : 6);
        otlp_put_bytes(&b, 1, i ? SV("") : SV("a"));
        marks[i][1] = otlp_open(&b, 2);
        marks[i][2] = otlp_open(&b, 6);
    }
    for (int i = DEPTH; i-- > 0;)
        for (int k = 2; k >= 0; k--)
            otlp_close(&b, marks[i][k]);
    otlp_close(&b, lr);
    lr = otlp_open(&b, 2);
    otlp_put_fixed64(&b, 1, 9);
    otlp_close(&b, lr);
    otlp_close(&b, sl);
    otlp_close(&b, rl);
    struct push_result r = push_bytes(f.st, "fake", buf_view(&b), 1);
    CHECK_EQ(r.code, PUSH_SENT);
    CHECK_EQ(r.n_rejected, 1);
    CHECK_STR(r.err.msg, "attribute nested deeper than 64");
    buf_reset(&b);
    rl = otlp_open(&b, 1);
    size_t res = otlp_open(&b, 1);
    for (int i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "attr%d", i);
        otlp_put_attr_str(&b, 1, sv_of(name), SV("some value"));
    }
    otlp_close(&b, res);
    sl = otlp_open(&b, 2);
    for (int i = 0; i < 3; i++)
        otlp_close(&b, otlp_open(&b, 2));
    otlp_close(&b, sl);
    otlp_close(&b, rl);
    r = push_bytes(f.st, "fake", buf_view(&b), 1);
    CHECK_EQ(r.code, PUSH_REJECTED);
    CHECK(sv_starts(sv_of(r.err.msg), SV("3 errors like: stream '{service_name=\"unknown_service\"}' has structured metadata")));
    fixture_done(&f);
}

TEST(bad_utf8_in_metadata_becomes_a_space_and_lines_stay)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_records(f.st, "web", (struct rec[]){{.ts = 1, .line = "l\xff", .attrs = {"k", "a\xff\xfe" "b"}}}, 1);
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, "1 l\xff detected_level=unknown,k=a b\n");
    fixture_done(&f);
}

TEST(tenants_do_not_see_each_other)
{
    struct fixture f;
    SCOPED(buf_done) struct buf b = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    put_records(&b, "web", (struct rec[]){{.ts = 1, .line = "secret"}}, 1);
    CHECK_EQ(push_bytes(f.st, "other", buf_view(&b), 1).code, PUSH_SENT);
    CHECK_ROWS(&f, NULL, 0, 0, "");
    struct err e = {0};
    CHECK_OK(store_flush(f.st, &e), &e);
    CHECK_ROWS(&f, NULL, 0, 0, "");
    fixture_done(&f);
}

/* ---- Loki push ---- */

static void put_loki_entry(struct buf *b, int64_t s, int32_t ns, const char *line, const char *name, const char *value)
{
    size_t en = otlp_open(b, 2), t = otlp_open(b, 1);
    otlp_put_varint(b, 1, (uint64_t)s);
    otlp_put_varint(b, 2, (uint64_t)(int64_t)ns);
    otlp_close(b, t);
    otlp_put_bytes(b, 2, sv_of(line));
    if (name) {
        size_t sm = otlp_open(b, 3);
        otlp_put_bytes(b, 1, sv_of(name));
        otlp_put_bytes(b, 2, sv_of(value));
        otlp_close(b, sm);
    }
    otlp_close(b, en);
}

static struct push_result push_loki(struct store *st, struct buf *b)
{
    return PUSH_WAIT(store_push_request(
        st, &(struct store_request){.tenant = SV("fake"), .bytes = buf_view(b), .loki = true, .arrived_wall_ns = 1}, waiting_done, &w_));
}

TEST(loki_push_labels_may_follow_entries)
{
    struct fixture f;
    SCOPED(buf_done) struct buf b = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    size_t s = otlp_open(&b, 1);
    put_loki_entry(&b, 1, 5, "level=warn one", "trace.id", "t1");
    put_loki_entry(&b, 1, 5, "two", "severity_number", "18");
    otlp_put_bytes(&b, 1, SV("{app=\"web\", env='dev'}"));
    otlp_close(&b, s);
    s = otlp_open(&b, 1);
    otlp_put_bytes(&b, 1, SV("{nothing=\"here\"}"));
    otlp_close(&b, s);
    CHECK_EQ(push_loki(f.st, &b).code, PUSH_SENT);
    const char *want =
        "{app=\"web\", env=\"dev\", service_name=\"web\"} 1000000005 level=warn one detected_level=warn,trace_id=t1\n"
        "{app=\"web\", env=\"dev\", service_name=\"web\"} 1000000005 two detected_level=error,severity_number=18\n";
    CHECK_ROWS(&f, NULL, 0, SHOW_LABELS | SHOW_METADATA, want);
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    CHECK_ROWS(&f, NULL, 0, SHOW_LABELS | SHOW_METADATA, want);
    fixture_done(&f);
}

TEST(loki_push_with_bad_labels_is_refused_whole)
{
    struct fixture f;
    SCOPED(buf_done) struct buf b = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    size_t s = otlp_open(&b, 1);
    otlp_put_bytes(&b, 1, SV("{app=\"fine\"}"));
    put_loki_entry(&b, 1, 0, "x", NULL, NULL);
    otlp_close(&b, s);
    s = otlp_open(&b, 1);
    otlp_put_bytes(&b, 1, SV("{a-b=\"x\"}"));
    put_loki_entry(&b, 1, 0, "y", NULL, NULL);
    otlp_close(&b, s);
    struct push_result r = push_loki(f.st, &b);
    CHECK_EQ(r.code, PUSH_REJECTED);
    CHECK_ERR(&r.err, ERR_PARSE, "couldn't parse labels: 1:3: parse error: unexpected character inside braces: '-'");
    CHECK_ROWS(&f, NULL, 0, 0, "");
    fixture_done(&f);
}

TEST(loki_push_refuses_a_stream_and_keeps_the_others)
{
    struct fixture f;
    SCOPED(buf_done) struct buf b = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    size_t s = otlp_open(&b, 1);
    otlp_put_bytes(&b, 1, SV("{a=\"1\",a=\"2\"}"));
    put_loki_entry(&b, 1, 0, "x", NULL, NULL);
    otlp_close(&b, s);
    s = otlp_open(&b, 1);
    otlp_put_bytes(&b, 1, SV("{job=\"j\"}"));
    put_loki_entry(&b, 2, 0, "y", NULL, NULL);
    otlp_close(&b, s);
    struct push_result r = push_loki(f.st, &b);
    CHECK_EQ(r.code, PUSH_SENT);
    CHECK_EQ(r.n_rejected, 1);
    CHECK_STR(r.err.msg, "stream '{a=\"1\",a=\"2\"}' has duplicate label name: 'a'");
    CHECK_ROWS(&f, NULL, 0, SHOW_LABELS, "{job=\"j\", service_name=\"j\"} 2000000000 y\n");
    fixture_done(&f);
}

TEST(loki_push_that_is_no_protobuf_is_refused)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    static const char *const bad[] = {"\x0a\x05" "x", "\xff\xff", "\x0a\x03\x12\x05" "x"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct buf b = {.p = (char *)(uintptr_t)bad[i], .n = strlen(bad[i])};
        struct push_result r = push_loki(f.st, &b);
        CHECK_EQ(r.code, PUSH_REJECTED);
        CHECK_ERR(&r.err, ERR_PARSE, "malformed push request");
    }
    fixture_done(&f);
}

#include "store/store_test.h"

TEST(pushed_rows_are_seen_at_once)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    struct push_result r = push_records(f.st, "web", (struct rec[]){{.ts = 20, .line = "two"}, {.ts = 10, .line = "one"}}, 2);
    CHECK_EQ(r.code, PUSH_SENT);
    CHECK_EQ(r.n_rejected, 0);
    CHECK_ROWS(&f, NULL, 0, SHOW_LABELS, "{service_name=\"web\"} 10 one\n{service_name=\"web\"} 20 two\n");
    fixture_done(&f);
}

static int64_t counted(struct fixture *f, const char *name, const char *tenant)
{
    return metric_value(metrics_get(f->metrics, METRIC_COUNTER, name, "", (const char *[]){"tenant", tenant, NULL}));
}

TEST(what_comes_in_is_counted_by_tenant)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.limits.max_line_size = 10;
    REQUIRE(fixture_open(&f));
    SCOPED(buf_done) struct buf b = {0};
    put_records(&b, "web",
                (struct rec[]){{.ts = 1, .line = "abc"}, {.ts = 2, .line = "defg", .attrs = {"k", "v"}},
                               {.ts = 3, .line = "much too long"}}, 3);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(push_bytes(f.st, "a", buf_view(&b), 1000).code, PUSH_SENT);
        CHECK_EQ(push_bytes(f.st, "b", buf_view(&b), 1000).code, PUSH_SENT);
    }
    for (int i = 0; i < 2; i++) {
        const char *who = i ? "b" : "a", *refused[] = {"reason", "line_too_long", "tenant", who, NULL};
        int64_t metadata = counted(&f, "loki_distributor_structured_metadata_bytes_received_total", who);
        CHECK_EQ(counted(&f, "loki_distributor_lines_received_total", who), 4);
        CHECK(metadata >= 4);
        CHECK_EQ(counted(&f, "loki_distributor_bytes_received_total", who), 14 + metadata);
        CHECK_EQ(metric_value(metrics_get(f.metrics, METRIC_COUNTER, "loki_discarded_samples_total", "", refused)), 2);
        CHECK_EQ(metric_value(metrics_get(f.metrics, METRIC_COUNTER, "loki_discarded_bytes_total", "", refused)), 26);
    }
    fixture_done(&f);
}

TEST(rows_survive_a_restart)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_records(f.st, "web", (struct rec[]){{.ts = 10, .line = "one", .attrs = {"http.method", "GET"}}}, 1);
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, "10 one detected_level=unknown,http_method=GET\n");
    fixture_done(&f);
}

TEST(rows_move_into_a_part_and_stay)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_records(f.st, "web", (struct rec[]){{.ts = 10, .line = "one", .severity_text = "INFO", .severity_number = 9}, {.ts = 11}}, 2);
    push_records(f.st, "api", (struct rec[]){{.ts = 9, .line = "zero"}}, 1);
    const char *want = "9 zero detected_level=unknown\n"
                       "10 one detected_level=info,severity_number=9,severity_text=INFO\n"
                       "11  detected_level=unknown\n";
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, want);
    CHECK_OK(store_flush(f.st, &e), &e);
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, want);
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, want);
    push_records(f.st, "web", (struct rec[]){{.ts = 10, .line = "one more"}}, 1);
    CHECK_ROWS(&f, NULL, 0, 0, "9 zero\n10 one\n10 one more\n11 \n");
    fixture_done(&f);
}

TEST(equal_rows_are_shown_once_wherever_they_lie)
{
    struct fixture f;
    struct err e = {0};
    struct scan_stats s;
    fixture_config(&f);
    f.cfg.limits.discover_log_levels = false;
    REQUIRE(fixture_open(&f));
    struct rec same = {.ts = 5, .line = "x", .attrs = {"k", "v"}}, other = {.ts = 5, .line = "x", .attrs = {"k", "w"}};
    push_records(f.st, "web", (struct rec[]){same, same}, 2); /* in one request */
    push_records(f.st, "web", &same, 1);                      /* in another */
    CHECK_OK(store_flush(f.st, &e), &e);
    push_records(f.st, "web", &same, 1);                      /* across parts */
    push_records(f.st, "web", &other, 1);                     /* metadata counts */
    push_records(f.st, "api", &same, 1);                      /* the stream counts */
    CHECK_OK(store_flush(f.st, &e), &e);
    push_records(f.st, "web", &same, 1);                      /* part and head */
    const char *want = "{service_name=\"api\"} 5 x k=v\n{service_name=\"web\"} 5 x k=v\n{service_name=\"web\"} 5 x k=w\n";
    CHECK_ROWS(&f, NULL, 0, SHOW_LABELS | SHOW_METADATA, want);
    SCOPED(buf_done) struct buf b = {0};
    struct scan_request rq = {.tenant = SV("fake"), .start_ns = 0, .end_ns = 100, .backward = true};
    CHECK_OK(scan_text(f.st, &rq, SHOW_METADATA, &b, &s, &e), &e);
    CHECK_SV(buf_view(&b), SV("5 x k=w\n5 x k=v\n5 x k=v\n"));
    CHECK_EQ(s.duplicates, 2);
    struct store_totals t; /* without lines being asked for */
    CHECK_OK(store_totals(f.st, SV("fake"), NULL, 0, 0, 100, &t, &e), &e);
    CHECK_EQ(t.entries, 3);
    CHECK_EQ(t.streams, 2);
    CHECK_EQ(t.bytes, 3);
    fixture_done(&f);
}

TEST(many_rows_of_one_time)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    struct rec rows[300];
    char lines[300][16];
    for (int i = 0; i < 300; i++) {
        snprintf(lines[i], sizeof lines[i], "%d", i % 200);
        rows[i] = (struct rec){.ts = 7, .line = lines[i]};
    }
    push_records(f.st, "web", rows, 300);
    for (int i = 0; i < 3; i++) {
        struct store_totals t;
        CHECK_OK(store_totals(f.st, SV("fake"), NULL, 0, 0, 100, &t, &e), &e);
        CHECK_EQ(t.entries, 200);
        if (i == 0)
            CHECK_OK(store_flush(f.st, &e), &e);
        else
            push_records(f.st, "web", rows, 300);
    }
    fixture_done(&f);
}

static void many_parts(struct fixture *f, int parts, int rows)
{
    struct err e = {0};
    for (int p = 0; p < parts; p++) {
        SCOPED(buf_done) struct buf b = {0};
        for (int i = 0; i < rows; i++) {
            char line[32];
            snprintf(line, sizeof line, "part %d row %d", p, i);
            put_records(&b, "web", &(struct rec){.ts = p * 1000 + i + 1, .line = line}, 1);
        }
        CHECK_EQ(push_bytes(f->st, "fake", buf_view(&b), 1).code, PUSH_SENT);
        CHECK_OK(store_flush(f->st, &e), &e);
    }
}

TEST(a_limit_reads_only_what_it_needs)
{
    struct fixture f;
    struct err e = {0};
    struct scan_stats s;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    many_parts(&f, 10, 20);
    for (int backward = 0; backward < 2; backward++) {
        SCOPED(buf_done) struct buf b = {0};
        struct scan_request rq = {.tenant = SV("fake"), .start_ns = 0, .end_ns = INT64_MAX, .backward = backward, .limit = 2};
        CHECK_OK(scan_text(f.st, &rq, 0, &b, &s, &e), &e);
        CHECK_SV(buf_view(&b), backward ? SV("9020 part 9 row 19\n9019 part 9 row 18\n") : SV("1 part 0 row 0\n2 part 0 row 1\n"));
        CHECK_EQ(s.blocks_total, 10);
        CHECK_EQ(s.blocks_decoded, 1);
        CHECK_EQ(s.rows_returned, 2);
        CHECK(s.bytes_stored_read > 0);
    }
    fixture_done(&f);
}

TEST(blocks_are_left_out_by_time_stream_and_line)
{
    struct fixture f;
    struct err e = {0};
    struct scan_stats s;
    SCOPED(buf_done) struct buf b = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    many_parts(&f, 4, 10);
    push_records(f.st, "api", (struct rec[]){{.ts = 1500, .line = "only"}}, 1);
    CHECK_OK(store_flush(f.st, &e), &e);
    struct matcher api = {SV("service_name"), SV("api"), MATCH_EQ, NULL};
    struct scan_request rq = {.tenant = SV("fake"), .matchers = &api, .n_matchers = 1, .start_ns = 1000, .end_ns = 2000};
    CHECK_OK(scan_text(f.st, &rq, 0, &b, &s, &e), &e);
    CHECK_SV(buf_view(&b), SV("1500 only\n"));
    CHECK_EQ(s.blocks_pruned_time, 3);
    CHECK_EQ(s.blocks_pruned_stream, 1);
    CHECK_EQ(s.blocks_decoded, 1);
    CHECK_EQ(s.rows_considered, 1);
    CHECK_EQ(s.bytes_considered, 4);
    struct scan_filter has = {SCAN_CONTAINS, SV("part 2 row 3"), NULL}, hasnt = {SCAN_NOT_CONTAINS, SV("row"), NULL};
    rq = (struct scan_request){.tenant = SV("fake"), .start_ns = 1, .end_ns = INT64_MAX, .filters = &has, .n_filters = 1};
    buf_reset(&b);
    CHECK_OK(scan_text(f.st, &rq, 0, &b, &s, &e), &e);
    CHECK_SV(buf_view(&b), SV("2004 part 2 row 3\n"));
    CHECK_EQ(s.blocks_pruned_filter + s.blocks_pruned_content, 4);
    CHECK_EQ(s.rows_considered, 4 * 10 + 1);
    rq.filters = &hasnt;
    buf_reset(&b);
    CHECK_OK(scan_text(f.st, &rq, 0, &b, &s, &e), &e);
    CHECK_SV(buf_view(&b), SV("1500 only\n"));
    fixture_done(&f);
}

TEST(filters_see_single_lines)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_records(f.st, "web",
                 (struct rec[]){{.ts = 1, .line = "ab"}, {.ts = 2, .line = "cab"}, {.ts = 3, .line = ""}, {.ts = 4, .line = "caab"},
                                {.ts = 5, .line = "b"}},
                 5);
    static const struct {
        int op;
        const char *text, *want;
    } rows[] = {
        {SCAN_CONTAINS, "bc", ""},           {SCAN_CONTAINS, "ab", "1 ab\n2 cab\n4 caab\n"},
        {SCAN_CONTAINS, "bb", ""},           {SCAN_NOT_CONTAINS, "ca", "1 ab\n3 \n5 b\n"},
        {SCAN_CONTAINS, "", "1 ab\n2 cab\n3 \n4 caab\n5 b\n"}, {SCAN_NOT_CONTAINS, "", ""},
        {SCAN_CONTAINS, "aab", "4 caab\n"},  {SCAN_NOT_CONTAINS, "b", "3 \n"},
    };
    for (int flushed = 0; flushed < 2; flushed++) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            SCOPED(buf_done) struct buf b = {0};
            struct scan_filter fl = {.text = sv_of(rows[i].text)};
            fl.op = rows[i].op;
            struct scan_request rq = {.tenant = SV("fake"), .start_ns = 0, .end_ns = 100, .filters = &fl, .n_filters = 1};
            CHECK_OK(scan_text(f.st, &rq, 0, &b, NULL, &e), &e);
            CHECK_SV(buf_view(&b), sv_of(rows[i].want));
        }
        CHECK_OK(store_flush(f.st, &e), &e);
    }
    fixture_done(&f);
}

TEST(a_scan_stops_when_told)
{
    struct fixture f;
    struct err e = {0};
    SCOPED(buf_done) struct buf b = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    many_parts(&f, 2, 5);
    _Atomic bool cancel = true;
    struct scan_request rq = {.tenant = SV("fake"), .start_ns = 0, .end_ns = INT64_MAX, .cancel = &cancel};
    CHECK(!scan_text(f.st, &rq, 0, &b, NULL, &e));
    CHECK_EQ(e.code, ERR_CANCELLED);
    rq.cancel = NULL;
    rq.deadline_mono_ns = clock_mono_ns() - 1;
    CHECK(!scan_text(f.st, &rq, 0, &b, NULL, &e));
    CHECK_EQ(e.code, ERR_TIMEOUT);
    rq.deadline_mono_ns = 0;
    rq.max_memory = 10;
    CHECK(!scan_text(f.st, &rq, 0, &b, NULL, &e));
    CHECK_ERR(&e, ERR_LIMIT, "max_query_memory");
    fixture_done(&f);
}

struct each_sum {
    _Atomic int64_t rows;
    _Atomic bool cancel, fail;
};

static bool sum_rows(void *ctx, unsigned slot, const struct scan_rows *r, struct err *e)
{
    struct each_sum *sum = ctx;
    (void)slot;
    atomic_fetch_add(&sum->rows, r->sign * (int64_t)r->n);
    if (atomic_load(&sum->fail))
        return err_set(e, ERR_INVALID, "enough");
    return true;
}

TEST(blocks_read_each_by_itself_obey_the_limits_too)
{
    struct fixture f;
    struct err e = {0};
    struct scan_stats s;
    struct each_sum sum = {0};
    struct scan_sink sink = {sum_rows, &sum};
    fixture_config(&f);
    f.cfg.query_threads = 3;
    REQUIRE(fixture_open(&f));
    many_parts(&f, 6, 20);
    struct scan_request rq = {.tenant = SV("fake"), .start_ns = 0, .end_ns = INT64_MAX, .cancel = &sum.cancel};
    CHECK_OK(scan_each(f.st, &rq, &sink, &s, &e), &e);
    CHECK_EQ(sum.rows, 120);
    CHECK_EQ(s.rows_returned, 120);
    CHECK_EQ(s.blocks_decoded, 6);
    CHECK_EQ(s.streams_returned, 1);
    atomic_store(&sum.cancel, true);
    CHECK(!scan_each(f.st, &rq, &sink, &s, &e));
    CHECK_ERR(&e, ERR_CANCELLED, "cancelled");
    atomic_store(&sum.cancel, false);
    rq.deadline_mono_ns = 1;
    CHECK(!scan_each(f.st, &rq, &sink, &s, &e));
    CHECK_ERR(&e, ERR_TIMEOUT, "query_timeout");
    rq.deadline_mono_ns = 0;
    rq.max_memory = 10;
    CHECK(!scan_each(f.st, &rq, &sink, &s, &e));
    CHECK_ERR(&e, ERR_LIMIT, "max_query_memory");
    struct account shared = {.max = 1000000, .used = 999999};
    rq.max_memory = 0;
    rq.account = &shared;
    CHECK(!scan_each(f.st, &rq, &sink, &s, &e));
    CHECK_ERR(&e, ERR_LIMIT, "1000000 bytes");
    CHECK_EQ(shared.used, 999999); /* what the scan held is given back */
    shared.used = 0;
    atomic_store(&sum.fail, true);
    CHECK(!scan_each(f.st, &rq, &sink, &s, &e));
    CHECK_ERR(&e, ERR_INVALID, "enough");
    CHECK_EQ(shared.used, 0);
    fixture_done(&f);
}

TEST(a_scan_sees_what_was_there_when_it_was_opened)
{
    struct fixture f;
    struct err e = {0};
    struct scan *sc;
    struct scan_batch b;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_records(f.st, "web", (struct rec[]){{.ts = 1, .line = "a"}}, 1);
    struct scan_request rq = {.tenant = SV("fake"), .start_ns = 0, .end_ns = 100, .columns = SCAN_LINES};
    REQUIRE_OK(scan_open(f.st, &rq, &sc, &e), &e);
    push_records(f.st, "web", (struct rec[]){{.ts = 2, .line = "b"}}, 1);
    CHECK_OK(store_flush(f.st, &e), &e);
    CHECK_EQ(scan_next(sc, &b, &e), 1);
    CHECK_EQ(b.n, 1);
    CHECK_SV(b.line[0], SV("a"));
    CHECK(!b.metadata);
    CHECK_EQ(scan_next(sc, &b, &e), 0);
    scan_close(sc);
    fixture_done(&f);
}

static bool join_labels(void *ctx, struct labels l)
{
    labels_text(l, ctx);
    return true;
}

TEST(series_and_label_values_by_time)
{
    struct fixture f;
    struct err e = {0};
    SCOPED(buf_done) struct buf b = {0};
    SCOPED(arena_done) struct arena a;
    sv *at;
    size_t n;
    arena_init(&a, 0);
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_records(f.st, "web", (struct rec[]){{.ts = 100, .line = "x", .severity_text = "INFO"}}, 1);
    CHECK_OK(store_flush(f.st, &e), &e);
    push_records(f.st, "api", (struct rec[]){{.ts = 200, .line = "y"}}, 1);
    CHECK_OK(store_series(f.st, SV("fake"), NULL, 0, 0, 1000, join_labels, &b, &e), &e);
    CHECK_SV(buf_view(&b), SV("{level=\"INFO\", service_name=\"web\"}{service_name=\"api\"}"));
    buf_reset(&b);
    CHECK_OK(store_series(f.st, SV("fake"), NULL, 0, 150, 1000, join_labels, &b, &e), &e);
    CHECK_SV(buf_view(&b), SV("{service_name=\"api\"}"));
    CHECK_OK(store_label_names(f.st, SV("fake"), NULL, 0, 0, 1000, &a, &at, &n, &e), &e);
    REQUIRE(n == 2);
    CHECK_SV(at[0], SV("level"));
    CHECK_SV(at[1], SV("service_name"));
    CHECK_OK(store_label_values(f.st, SV("fake"), SV("service_name"), NULL, 0, 0, 1000, &a, &at, &n, &e), &e);
    REQUIRE(n == 2);
    CHECK_SV(at[0], SV("api"));
    struct matcher m = {SV("level"), SV("INFO"), MATCH_EQ, NULL};
    CHECK_OK(store_label_values(f.st, SV("fake"), SV("service_name"), &m, 1, 0, 1000, &a, &at, &n, &e), &e);
    REQUIRE(n == 1);
    CHECK_SV(at[0], SV("web"));
    CHECK_OK(store_label_values(f.st, SV("nobody"), SV("service_name"), NULL, 0, 0, 1000, &a, &at, &n, &e), &e);
    CHECK_EQ(n, 0);
    fixture_done(&f);
}

TEST(rows_of_many_days_go_to_parts_of_their_day)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    struct rec rows[40];
    for (int i = 0; i < 40; i++)
        rows[i] = (struct rec){.ts = (i - 5) * 86400 * NS_PER_S + 1, .line = "x"};
    struct push_result r = push_records(f.st, "web", rows + 6, 34);
    CHECK_EQ(r.code, PUSH_SENT);
    CHECK_OK(store_flush(f.st, &e), &e);
    struct store_totals t;
    CHECK_OK(store_totals(f.st, SV("fake"), NULL, 0, INT64_MIN, INT64_MAX, &t, &e), &e);
    CHECK_EQ(t.entries, 34);
    CHECK_EQ(t.chunks, 16); /* a block each; the last part holds the days beyond */
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    CHECK_OK(store_totals(f.st, SV("fake"), NULL, 0, 3 * 86400 * NS_PER_S, 4 * 86400 * NS_PER_S, &t, &e), &e);
    CHECK_EQ(t.entries, 1);
    fixture_done(&f);
}

TEST(a_small_head_flushes_by_itself)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.head_max_bytes = 64 << 10;
    REQUIRE(fixture_open(&f));
    char big[10000];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = 0;
    for (int i = 1; i <= 20; i++)
        CHECK_EQ(push_records(f.st, "web", &(struct rec){.ts = i, .line = big}, 1).code, PUSH_SENT);
    struct metric *parts = metrics_get(f.metrics, METRIC_GAUGE, "weir_store_parts", "", (const char *[]){NULL});
    CHECK_SOON(metric_value(parts) > 0, 5000);
    struct store_totals t;
    struct err e = {0};
    CHECK_OK(store_totals(f.st, SV("fake"), NULL, 0, 0, 100, &t, &e), &e);
    CHECK_EQ(t.entries, 20);
    fixture_done(&f);
}

/* Short lines make many rows before they make many bytes, and each costs time at the next start. */
TEST(many_rows_flush_by_themselves)
{
    struct fixture f;
    struct rec r[100];
    fixture_config(&f);
    f.cfg.head_max_rows = 1000;
    REQUIRE(fixture_open(&f));
    for (int k = 0; k < 10; k++) {
        for (size_t i = 0; i < ARRAY_LEN(r); i++)
            r[i] = (struct rec){.ts = k * 1000 + (int64_t)i + 1, .line = "x"};
        CHECK_EQ(push_records(f.st, "a", r, ARRAY_LEN(r)).code, PUSH_SENT);
    }
    struct metric *flushes = metrics_get(f.metrics, METRIC_COUNTER, "weir_store_flushes_total", "", (const char *[]){NULL});
    CHECK_SOON(metric_value(flushes) == 1, 5000);
    fixture_done(&f);
}

TEST(bad_settings_are_named)
{
    static const struct {
        const char *name, *value, *error;
        enum err_code code; /* ERR_NONE: ERR_INVALID */
    } rows[] = {
        {"durability", "sometimes", "'durability': 'sometimes' is none of"},
        {"durability", "interval=5", "'durability'", ERR_PARSE},
        {"durability", "interval=1h", "between 1ms and 1m"},
        {"head_max_bytes", "1", "'head_max_bytes' must be at least"},
        {"memory_max_bytes", "1MiB", "'memory_max_bytes' must not be below"},
        {"data_dir", "", "'data_dir' is empty"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        struct err e = {0};
        fixture_config(&f);
        CHECK_OK(option_set(options_find(store_options, sv_of(rows[i].name)), &f.cfg, sv_of(rows[i].value), &e), &e);
        CHECK(!store_open(&f.cfg, f.metrics, &f.st, &e));
        CHECK_ERR(&e, rows[i].code ? rows[i].code : ERR_INVALID, rows[i].error);
        f.st = NULL;
        fixture_done(&f);
    }
}

TEST(other_durabilities_work_too)
{
    static const char *const modes[] = {"interval=10ms", "off"};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        struct fixture f;
        fixture_config(&f);
        free(f.cfg.durability);
        f.cfg.durability = sv_dup(sv_of(modes[i]));
        REQUIRE(fixture_open(&f));
        CHECK_EQ(push_records(f.st, "web", &(struct rec){.ts = 1, .line = "x"}, 1).code, PUSH_SENT);
        fixture_close(&f);
        REQUIRE(fixture_open(&f));
        CHECK_ROWS(&f, NULL, 0, 0, "1 x\n");
        fixture_done(&f);
    }
}

/* ---- threads ---- */

enum { PUSHERS = 3, PUSHES = 60 };
struct crowd {
    struct store *st;
    _Atomic uint32_t acked;
    _Atomic int pushing;
};
struct pusher {
    struct crowd *c;
    int id;
};

static void *crowd_push(void *ctx)
{
    struct pusher *p = ctx;
    char service[8];
    snprintf(service, sizeof service, "svc%d", p->id);
    for (int i = 1; i <= PUSHES; i++) {
        struct rec rows[3];
        for (int k = 0; k < 3; k++)
            rows[k] = (struct rec){.ts = i * 10 + k, .line = "a line", .severity_text = k ? "INFO" : "WARN"};
        struct push_result r = push_records(p->c->st, service, rows, 3);
        if (r.code == PUSH_SENT)
            atomic_fetch_add(&p->c->acked, 3);
    }
    atomic_fetch_sub(&p->c->pushing, 1);
    return NULL;
}

static void *crowd_scan(void *ctx)
{
    struct crowd *c = ctx;
    while (atomic_load(&c->pushing)) {
        uint32_t before = atomic_load(&c->acked);
        struct store_totals t;
        struct err e = {0};
        CHECK_OK(store_totals(c->st, SV("fake"), NULL, 0, INT64_MIN, INT64_MAX, &t, &e), &e);
        CHECK(t.entries >= before);
    }
    return NULL;
}

static void *crowd_flush(void *ctx)
{
    struct crowd *c = ctx;
    while (atomic_load(&c->pushing)) {
        struct err e = {0};
        CHECK_OK(store_flush(c->st, &e), &e);
        test_sleep_ms(2);
    }
    return NULL;
}

TEST(pushes_scans_and_flushes_at_once)
{
    struct fixture f;
    struct pusher p[PUSHERS];
    pthread_t t[PUSHERS + 3];
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    struct crowd c = {.st = f.st};
    atomic_init(&c.pushing, PUSHERS);
    for (int i = 0; i < PUSHERS; i++) {
        p[i] = (struct pusher){&c, i};
        REQUIRE(pthread_create(&t[i], NULL, crowd_push, &p[i]) == 0);
    }
    REQUIRE(pthread_create(&t[PUSHERS], NULL, crowd_scan, &c) == 0);
    REQUIRE(pthread_create(&t[PUSHERS + 1], NULL, crowd_scan, &c) == 0);
    REQUIRE(pthread_create(&t[PUSHERS + 2], NULL, crowd_flush, &c) == 0);
    for (int i = 0; i < PUSHERS + 3; i++)
        pthread_join(t[i], NULL);
    struct store_totals all;
    struct err e = {0};
    CHECK_OK(store_totals(f.st, SV("fake"), NULL, 0, INT64_MIN, INT64_MAX, &all, &e), &e);
    CHECK_EQ(all.entries, PUSHERS * PUSHES * 3);
    CHECK_EQ(all.streams, PUSHERS * 2);
    fixture_done(&f);
}

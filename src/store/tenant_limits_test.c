/* What limits do to pushes, through the whole store. */
#include "store/store_int.h"
#include "base/clock.h"
#include "store/store_test.h"

static struct push_result push_as(struct fixture *f, const char *tenant, const char *service, const struct rec *r, size_t n)
{
    SCOPED(buf_done) struct buf b = {0};
    put_records(&b, service, r, n);
    return push_bytes(f->st, tenant, buf_view(&b), 1000);
}

static bool metrics_have(struct fixture *f, const char *want)
{
    SCOPED(buf_done) struct buf b = {0};
    metrics_print(f->metrics, &b);
    return sv_find(buf_view(&b), sv_of(want)) != SV_NPOS;
}

TEST(a_tenant_over_its_rate_is_refused_whole)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.limits.ingestion_rate_mb = 100.0 / 1048576; /* 100 bytes a second, 150 at once */
    REQUIRE(fixture_open(&f));
    static char line[101];
    memset(line, 'x', 100);
    struct rec r = {.ts = 1, .line = line};
    CHECK_EQ(push_as(&f, "fake", "web", &r, 1).code, PUSH_SENT);
    struct push_result got = push_as(&f, "fake", "web", &r, 1);
    CHECK_EQ(got.code, PUSH_REJECTED);
    CHECK_ERR(&got.err, ERR_LIMIT, "Ingestion rate limit exceeded for user fake (limit: 100 bytes/sec) while attempting to ingest '1' "
                                   "lines totaling '100' bytes, reduce log volume");
    CHECK_EQ(push_as(&f, "other", "web", &r, 1).code, PUSH_SENT); /* each has its own */
    CHECK(metrics_have(&f, "loki_discarded_samples_total{reason=\"rate_limited\",tenant=\"fake\"} 1\n"));
    CHECK(metrics_have(&f, "loki_discarded_bytes_total{reason=\"rate_limited\",tenant=\"fake\"} 100\n"));
    CHECK(!metrics_have(&f, "reason=\"rate_limited\",tenant=\"other\""));
    fixture_done(&f);
}

TEST(a_stream_over_its_rate_is_refused_and_the_others_stored)
{
    struct fixture f;
    SCOPED(buf_done) struct buf b = {0};
    fixture_config(&f);
    f.cfg.limits.per_stream_rate_limit = 20;
    f.cfg.limits.per_stream_rate_limit_burst = 30;
    f.cfg.limits.discover_log_levels = false;
    REQUIRE(fixture_open(&f));
    struct rec many[4] = {{.ts = 1, .line = "0123456789"}, {.ts = 2, .line = "0123456789"}, {.ts = 3, .line = "0123456789"},
                          {.ts = 4, .line = "0123456789"}};
    put_records(&b, "db", many, 2);
    put_records(&b, "web", many, 4);
    put_records(&b, "db", many + 2, 1);
    struct push_result r = push_bytes(f.st, "fake", buf_view(&b), 1000);
    CHECK_EQ(r.code, PUSH_SENT);
    CHECK_EQ(r.n_rejected, 4);
    CHECK_ERR(&r.err, ERR_LIMIT, "4 errors like: Per stream rate limit exceeded (limit: 20B/sec) while attempting to ingest for stream "
                                 "'{service_name=\"web\"}' totaling 40B, consider splitting a stream");
    const char *want = "1 0123456789\n2 0123456789\n3 0123456789\n";
    CHECK_ROWS(&f, NULL, 0, 0, want);
    CHECK(metrics_have(&f, "loki_discarded_samples_total{reason=\"per_stream_rate_limit\",tenant=\"fake\"} 4\n"));
    r = push_as(&f, "fake", "db", many + 3, 1); /* db has taken its burst */
    CHECK_EQ(r.code, PUSH_REJECTED);
    CHECK_EQ(r.err.code, ERR_LIMIT);
    fixture_close(&f);
    f.cfg.limits.per_stream_rate_limit = 0;
    REQUIRE(fixture_open(&f)); /* what was refused then stays refused */
    CHECK_ROWS(&f, NULL, 0, 0, want);
    fixture_done(&f);
}

TEST(long_lines_are_cut_when_that_is_asked_for)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.limits.max_line_size = 6;
    f.cfg.limits.max_line_size_truncate = true;
    f.cfg.limits.discover_log_levels = false;
    REQUIRE(fixture_open(&f));
    struct rec r[] = {{.ts = 1, .line = "123456"}, {.ts = 2, .line = "1234567"}, {.ts = 3, .line = "1234567890"}};
    struct push_result got = push_as(&f, "fake", "web", r, 3);
    CHECK_EQ(got.code, PUSH_SENT);
    CHECK_EQ(got.n_rejected, 0);
    CHECK_ROWS(&f, NULL, 0, 0, "1 123456\n2 123456\n3 123456\n");
    CHECK(metrics_have(&f, "loki_mutated_samples_total{reason=\"line_too_long\",tenant=\"fake\"} 2\n"));
    CHECK(metrics_have(&f, "loki_mutated_bytes_total{reason=\"line_too_long\",tenant=\"fake\"} 5\n"));
    fixture_close(&f);
    f.cfg.limits.max_line_size = 3; /* from the log they come as they were cut then */
    REQUIRE(fixture_open(&f));
    CHECK_ROWS(&f, NULL, 0, 0, "1 123456\n2 123456\n3 123456\n");
    fixture_done(&f);
}

TEST(metadata_can_be_disallowed)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.limits.allow_structured_metadata = false;
    REQUIRE(fixture_open(&f));
    struct rec with = {.ts = 1, .line = "with", .attrs = {"a", "b"}}, without = {.ts = 2, .line = "without"};
    struct push_result got = push_as(&f, "fake", "web", &with, 1);
    CHECK_EQ(got.code, PUSH_REJECTED);
    CHECK_ERR(&got.err, ERR_INVALID, "stream '{service_name=\"web\"}' includes structured metadata, but this feature is disallowed");
    CHECK_EQ(push_as(&f, "fake", "web", &without, 1).code, PUSH_SENT);
    CHECK_ROWS(&f, NULL, 0, 0, "2 without\n");
    fixture_done(&f);
}

TEST(old_samples_can_be_taken_by_a_switch)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.limits.reject_old_samples_max_age = NS_PER_S;
    REQUIRE(fixture_open(&f));
    struct rec old = {.ts = 1, .line = "old"};
    CHECK_EQ(push_as(&f, "fake", "web", &old, 1).code, PUSH_REJECTED);
    fixture_close(&f);
    f.cfg.limits.reject_old_samples = false;
    REQUIRE(fixture_open(&f));
    CHECK_EQ(push_as(&f, "fake", "web", &old, 1).code, PUSH_SENT);
    fixture_done(&f);
}

static void overrides(struct fixture *f, const char *text)
{
    char tmp[600];
    snprintf(tmp, sizeof tmp, "%s.tmp", f->cfg.overrides.per_tenant_override_config);
    FILE *to = fopen(tmp, "w");
    REQUIRE(to != NULL);
    fputs(text, to);
    fclose(to);
    CHECK(rename(tmp, f->cfg.overrides.per_tenant_override_config) == 0);
}

TEST(a_file_gives_tenants_other_limits_and_changes_them_while_the_store_runs)
{
    struct fixture f;
    char path[600];
    fixture_config(&f);
    snprintf(path, sizeof path, "%s/limits.yaml", test_dir());
    f.cfg.overrides.per_tenant_override_config = sv_dup(sv_of(path));
    overrides(&f, "overrides:\n  small: {max_line_size: 4, max_label_value_length: 5, max_global_streams_per_user: 1}\n");
    REQUIRE(fixture_open(&f));
    struct rec r = {.ts = 1, .line = "12345"}, ok = {.ts = 1, .line = "1234"};
    CHECK_EQ(push_as(&f, "fake", "web", &r, 1).code, PUSH_SENT);
    struct push_result got = push_as(&f, "small", "web", &r, 1);
    CHECK_ERR(&got.err, ERR_INVALID, "size '4' bytes exceeded");
    CHECK_EQ(push_as(&f, "small", "web", &ok, 1).code, PUSH_SENT);
    got = push_as(&f, "small", "db", &ok, 1);
    CHECK_ERR(&got.err, ERR_LIMIT, "maximum active stream limit exceeded");
    got = push_as(&f, "small", "long-name", &ok, 1); /* a decision that is remembered with the resource … */
    CHECK_ERR(&got.err, ERR_INVALID, "label value too long");
    overrides(&f, "overrides: {small: {max_line_size: 100, level_label: false}}\n");
    struct err e = {0};
    CHECK_OK(limits_reload(f.st->limits, &e), &e);
    CHECK_EQ(push_as(&f, "small", "long-name", &r, 1).code, PUSH_SENT); /* … and not beyond the limits it was made under */
    r.severity_text = "warn";
    CHECK_EQ(push_as(&f, "small", "web", &r, 1).code, PUSH_SENT);
    SCOPED(buf_done) struct buf rows = {0};
    struct matcher m = {.name = SV("level"), .value = SV("warn"), .op = MATCH_EQ};
    struct scan_request rq = {.tenant = SV("small"), .matchers = &m, .n_matchers = 1, .end_ns = 100};
    CHECK_OK(scan_text(f.st, &rq, 0, &rows, NULL, &e), &e);
    CHECK_SV(buf_view(&rows), SV("")); /* level is no index label of this tenant */
    fixture_done(&f);
}

/* ---- many at once ---- */

struct pusher {
    struct fixture *f;
    const char *tenant;
    uint64_t taken;
};

static void *push_many(void *ctx)
{
    struct pusher *p = ctx;
    struct rec r = {.ts = 1, .line = "0123456789"};
    for (int i = 0; i < 200; i++)
        p->taken += push_as(p->f, p->tenant, "web", &r, 1).code == PUSH_SENT ? 10 : 0;
    return NULL;
}

TEST(rates_hold_for_many_threads)
{
    struct fixture f;
    char path[600];
    fixture_config(&f);
    snprintf(path, sizeof path, "%s/rates.yaml", test_dir());
    f.cfg.overrides.per_tenant_override_config = sv_dup(sv_of(path));
    f.cfg.overrides.per_tenant_override_period = NS_PER_MS;
    f.cfg.limits.ingestion_rate_mb = 1.0 / 1048576; /* a byte a second: what is taken is the burst */
    f.cfg.limits.ingestion_burst_size_mb = 500.0 / 1048576;
    overrides(&f, "overrides:\n  b: {per_stream_rate_limit: 1, per_stream_rate_limit_burst: 300, ingestion_rate_mb: 0}\n");
    REQUIRE(fixture_open(&f));
    struct pusher p[] = {{&f, "a", 0}, {&f, "a", 0}, {&f, "b", 0}, {&f, "b", 0}};
    pthread_t threads[ARRAY_LEN(p)];
    int64_t started = clock_mono_ns();
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        pthread_create(&threads[i], NULL, push_many, &p[i]);
    for (int i = 0; i < 20; i++)
        overrides(&f, i % 2 ? "overrides:\n  b: {per_stream_rate_limit: 1, per_stream_rate_limit_burst: 300, ingestion_rate_mb: 0}\n"
                            : "overrides:\n  b: {per_stream_rate_limit: 1, per_stream_rate_limit_burst: 300, ingestion_rate_mb: 0.0}\n");
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        pthread_join(threads[i], NULL);
    uint64_t more = (uint64_t)((clock_mono_ns() - started) / NS_PER_S) + 11;
    CHECK(p[0].taken + p[1].taken >= 490 && p[0].taken + p[1].taken <= 500 + more);
    CHECK(p[2].taken + p[3].taken >= 290 && p[2].taken + p[3].taken <= 300 + more);
    fixture_done(&f);
}

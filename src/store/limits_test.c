#include "store/limits_int.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/test.h"
#include "store/rate.h"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const struct limits *defaults(void)
{
    static struct limits l;
    CHECK(options_defaults(limits_options, &l, NULL));
    return &l;
}

static struct limits_table *read_table(const char *text)
{
    struct limits_table *t = NULL;
    struct err e = {0};
    CHECK_OK(limits_table_read(sv_of(text), "f.yaml", defaults(), &t, &e), &e);
    return t;
}

TEST(a_tenant_has_its_own_limits_and_else_everybodys)
{
    struct limits_table *t = read_table("overrides:\n"
                                        "  a:\n"
                                        "    ingestion_rate_mb: 1.5\n"
                                        "    max_line_size: 1KiB\n"
                                        "    max_query_length: 30d1h\n"
                                        "    query_timeout: 90s\n"
                                        "    retention_period: 1y2w3d4h\n"
                                        "    discover_service_name: []\n"
                                        "    max_line_size_truncate: true\n"
                                        "    deletion_mode: filter-only\n"
                                        "  b:\n"
                                        "  'c|d': {max_query_series: 7}\n");
    REQUIRE(t != NULL);
    const struct limits *d = defaults();
    const struct tenant_limits *a = limits_table_get(t, SV("a")), *b = limits_table_get(t, SV("b")),
                               *c = limits_table_get(t, SV("c|d"));
    REQUIRE(a && b && c);
    CHECK(a->limits.ingestion_rate_mb > 1.49 && a->limits.ingestion_rate_mb < 1.51);
    CHECK_EQ(a->limits.max_line_size, 1024);
    CHECK_EQ(a->limits.max_query_length, 721 * 3600 * NS_PER_S);
    CHECK_EQ(a->limits.query_timeout, 90 * NS_PER_S);
    CHECK_EQ(a->limits.retention_period, ((365 + 14 + 3) * 24 + 4) * 3600 * NS_PER_S);
    CHECK(!a->limits.discover_service_name && a->limits.max_line_size_truncate && a->limits.discover_log_levels);
    CHECK_EQ(a->limits.deletion_mode, DELETION_FILTER_ONLY);
    CHECK_EQ(a->limits.max_query_series, d->max_query_series);
    CHECK(a->limits.version != 0 && a->limits.version == b->limits.version && d->version == 0);
    CHECK_EQ(b->limits.max_line_size, d->max_line_size);
    CHECK_EQ(c->limits.max_query_series, 7);
    CHECK(!limits_table_get(t, SV("e")) && !limits_table_get(NULL, SV("a")));
    limits_table_free(t);
}

TEST(files_without_tenants)
{
    static const char *const texts[] = {"", "# nothing\n", "overrides:\n", "overrides: {}\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct limits_table *t = read_table(texts[i]);
        CHECK(t && !limits_table_get(t, SV("a")));
        limits_table_free(t);
    }
}

TEST(files_that_are_wrong_say_where)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"overrides: {a: {max_line_sise: 1}}", "f.yaml:1:17: there is no limit 'max_line_sise'; did you mean 'max_line_size'?"},
        {"overrides: {a: {ruler_max_rules_per_rule_group: 1}}", "there is no limit 'ruler_max_rules_per_rule_group' here"},
        {"overrides:\n  a:\n    max_query_series: many", "f.yaml:3:5: 'max_query_series': not a whole number: 'many'"},
        {"overrides: {a: {max_query_series: [1]}}", "a limit wants a single value"},
        {"overrides: {a: {query_timeout: 1 fortnight}}", "'query_timeout': not a duration: '1 fortnight'"},
        {"overrides: {a: {query_timeout: ''}}", "'query_timeout': not a duration"},
        {"overrides: {a: {retention_period: 101y}}", "more than a hundred years"},
        {"overrides: {a: {deletion_mode: maybe}}", "'maybe' is none of disabled|filter-only|filter-and-delete"},
        {"overrides: {a: {max_line_size_truncate: yes}}", "neither true nor false: 'yes'"},
        {"overrides: {a: {ingestion_rate_mb: -1}}", "must not be negative"},
        {"overrides: {a: 5}", "f.yaml:1:13: a tenant has limits, as 'name: value'"},
        {"overrides: 5", "'overrides' has tenants under it"},
        {"limits_config: {}", "only 'overrides:' stands at the top"},
        {"[]", "expected 'overrides:'"},
        {"overrides: {", "f.yaml:"},
        {"overrides: {a: {}, a: {}}", "f.yaml:1:"},
        {"overrides: {a: {retention_stream: 1}}", "'retention_stream' is a list"},
        {"overrides: {a: {retention_stream: [{selector: '{a=\"b\"}'}]}}", "has a selector, a period and a priority"},
        {"overrides: {a: {retention_stream: [{selector: '{a=\"b\"}', period: 24h, prio: 1}]}}", "nothing else"},
        {"overrides: {a: {retention_stream: [{selector: '{a=\"b\"}', period: 1h}]}}", "'period' must be at least 24h"},
        {"overrides: {a: {retention_stream: [{selector: '{a=\"b\"}', period: 24h, priority: high}]}}", "'priority': not a whole number"},
        {"overrides: {a: {retention_stream: [{selector: '{a=b}', period: 24h}]}}", "expected a quoted value"},
        {"overrides: {a: {retention_stream: [{selector: '{a=~\"(\"}', period: 24h}]}}", "error parsing regexp"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct limits_table *t = NULL;
        struct err e = {0};
        if (limits_table_read(sv_of(cases[i].text), "f.yaml", defaults(), &t, &e))
            test_fail(__FILE__, __LINE__, "'%s' was taken", cases[i].text);
        else if (!strstr(e.msg, cases[i].want))
            test_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\"", e.msg, cases[i].want);
    }
}

static void write_file(const char *path, const char *text)
{
    char tmp[600];
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    FILE *f = fopen(tmp, "w");
    REQUIRE(f != NULL);
    fputs(text, f);
    fclose(f);
    CHECK(rename(tmp, path) == 0);
}

static struct labels web(struct label at[2], const char *env)
{
    at[0] = (struct label){SV("app"), SV("web")};
    at[1] = (struct label){SV("env"), sv_of(env)};
    return (struct labels){at, 2};
}

TEST(retention_of_a_stream_is_the_first_rule_that_fits)
{
    char path[512];
    struct err e = {0};
    struct label at[2];
    snprintf(path, sizeof path, "%s/overrides.yaml", test_dir());
    write_file(path, "overrides:\n"
                     "  a:\n"
                     "    retention_period: 240h\n"
                     "    retention_stream:\n"
                     "    - {selector: '{app=\"web\"}', period: 48h, priority: 1}\n"
                     "    - {selector: '{app=\"web\", env!=\"prod\"}', period: 24h, priority: 5}\n"
                     "    - {selector: '{env=~\"pr.*\", app!~\"d.*\"}', period: 72h, priority: 1}\n"
                     "    - {selector: '{env=\"keep\"}', period: 0s, priority: 9}\n");
    struct limits_config cfg = {.per_tenant_override_config = path, .per_tenant_override_period = 3600 * NS_PER_S};
    struct metrics *m = metrics_new();
    struct limits_book *b;
    REQUIRE_OK(limits_open(defaults(), &cfg, m, &b, &e), &e);
    CHECK_EQ(limits_retention(b, SV("a"), web(at, "dev")), 24 * 3600 * NS_PER_S);
    CHECK_EQ(limits_retention(b, SV("a"), web(at, "prod")), 48 * 3600 * NS_PER_S); /* of equal ones the first */
    CHECK_EQ(limits_retention(b, SV("a"), web(at, "keep")), 0);
    CHECK_EQ(limits_retention(b, SV("a"), (struct labels){0}), 240 * 3600 * NS_PER_S);
    CHECK_EQ(limits_retention(b, SV("other"), web(at, "dev")), 0);
    CHECK_EQ(limits_shortest_retention(b), 24 * 3600 * NS_PER_S);
    limits_close(b);
    metrics_free(m);
}

static bool series_are(struct limits_book *b, uint64_t want)
{
    for (int i = 0; i < 20000; i++) {
        struct limits l;
        limits_find(b, SV("a"), &l);
        if (l.max_query_series == want)
            return true;
        usleep(1000);
    }
    return false;
}

static bool reload_is(struct metrics *m, const char *want)
{
    for (int i = 0; i < 20000; i++) {
        SCOPED(buf_done) struct buf out = {0};
        metrics_print(m, &out);
        if (sv_find(buf_view(&out), sv_of(want)) != SV_NPOS)
            return true;
        usleep(1000);
    }
    return false;
}

TEST(a_changed_file_is_read_and_a_wrong_one_changes_nothing)
{
    char path[512];
    struct err e = {0};
    snprintf(path, sizeof path, "%s/overrides.yaml", test_dir());
    struct limits_config cfg = {.per_tenant_override_config = path, .per_tenant_override_period = 2 * NS_PER_MS};
    struct metrics *m = metrics_new();
    struct limits_book *b = NULL;
    CHECK(!limits_open(defaults(), &cfg, m, &b, &e));
    CHECK_ERR(&e, ERR_NOT_FOUND, "per_tenant_override_config");
    write_file(path, "overrides: {a: {max_query_series: x}}");
    CHECK(!limits_open(defaults(), &cfg, m, &b, &e));
    CHECK_ERR(&e, ERR_INVALID, "not a whole number");
    write_file(path, "overrides: {a: {max_query_series: 3}}");
    REQUIRE_OK(limits_open(defaults(), &cfg, m, &b, &e), &e);
    CHECK(series_are(b, 3));
    write_file(path, "overrides: {a: {max_query_series: 4}}");
    CHECK(series_are(b, 4));
    write_file(path, "overrides: {a: {max_query_series: 5");
    CHECK(reload_is(m, "loki_runtime_config_last_reload_successful 0\n"));
    CHECK(series_are(b, 4));
    unlink(path);
    CHECK(!limits_reload(b, &e) && e.code == ERR_NOT_FOUND);
    CHECK(series_are(b, 4));
    write_file(path, "overrides: {b: {max_query_series: 6}}");
    CHECK(series_are(b, defaults()->max_query_series));
    CHECK(reload_is(m, "loki_runtime_config_last_reload_successful 1\n"));
    limits_close(b);
    metrics_free(m);
}

TEST(a_bucket_gives_what_flows_in_and_a_burst)
{
    _Atomic int64_t b = 0;
    int64_t t = 1000 * NS_PER_S;
    CHECK(!rate_take(&b, t, 100, 150, 151)); /* more than it holds: never */
    CHECK(rate_take(&b, t, 100, 150, 100) && rate_take(&b, t, 100, 150, 50));
    CHECK(!rate_take(&b, t, 100, 150, 1));
    CHECK(!rate_take(&b, t + NS_PER_S / 100 * 9, 100, 150, 10));
    CHECK(rate_take(&b, t + NS_PER_S / 10 + 1000, 100, 150, 10));
    CHECK(rate_take(&b, t + 100 * NS_PER_S, 100, 150, 150) && !rate_take(&b, t + 100 * NS_PER_S, 100, 150, 1)); /* no more for waiting */
    CHECK(rate_take(&b, t + 100 * NS_PER_S, 100, 150, 0));
    uint64_t taken = 0;
    for (int i = 0; i < 10000; i++) /* ten seconds of asking */
        taken += rate_take(&b, t + 200 * NS_PER_S + i * NS_PER_MS, 100, 150, 10) ? 10 : 0;
    CHECK(taken >= 1100 && taken <= 1150);
}

TEST(sizes_in_messages)
{
    static const struct {
        double bytes;
        const char *text;
    } cases[] = {{0, "0B"}, {512, "512B"}, {1536, "1.5KB"}, {3 << 20, "3MB"}, {1000, "1000B"}, {5e9, "4.66GB"}, {1ull << 50, "1024TB"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[24];
        limits_size_text(cases[i].bytes, text);
        CHECK_SV(sv_of(text), sv_of(cases[i].text));
    }
}

TEST(streams_take_the_smaller_bound)
{
    struct limits l = {0};
    CHECK_EQ(limits_streams(&l), 0);
    l.max_streams_per_user = 5;
    CHECK_EQ(limits_streams(&l), 5);
    l.max_global_streams_per_user = 3;
    CHECK_EQ(limits_streams(&l), 3);
    l.max_streams_per_user = 0;
    CHECK_EQ(limits_streams(&l), 3);
}

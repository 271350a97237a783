/* codec_test.c - what needs no server: parameters, push JSON, answers. */
#include "base/test.h"
#include "store/limits.h"
#include "api/encode.h"
#include "api/page.h"
#include "api/params.h"
#include "api/push_json.h"
#include "otlp/write.h"
#include <math.h>

/* ---- parameters ---- */

#define NOW (1700000000 * NS_PER_S)

static const struct limits cfg = {.max_query_length = 721 * 3600 * NS_PER_S, .max_entries_limit_per_query = 5000};

/* "a=b&c=d" as URL parameters. */
static struct params params_of(const char *text, struct arena *a)
{
    struct params p = {0};
    struct http_request r = {.method = SV("GET"), .query = sv_of(text)};
    struct err e = {0};
    CHECK_OK(params_read(&r, a, &p, &e), &e);
    return p;
}

TEST(times)
{
    static const struct {
        const char *text;
        int64_t want;
    } good[] = {
        {"", 42},
        {"1700000000", 1700000000 * NS_PER_S},
        {"0", 0},
        {"-1", -NS_PER_S},
        {"1700000000.5", 1700000000 * NS_PER_S + 500 * NS_PER_MS},
        {"1700000000.1239", 1700000000 * NS_PER_S + 124 * NS_PER_MS},
        {"17000000001", 17000000001},
        {"1700000000000000001", 1700000000000000001},
        {"4000000000", 4000000000 * NS_PER_S},
        {"9999999999", INT64_MAX},
        {"99999999999999.5", INT64_MAX},
        {"2023-11-14T22:13:20Z", 1700000000 * NS_PER_S},
        {"2023-11-14T22:13:20.123456789Z", 1700000000 * NS_PER_S + 123456789},
        {"2023-11-15T00:13:20.5+02:00", 1700000000 * NS_PER_S + 500 * NS_PER_MS},
        {"2023-11-14T21:43:20-00:30", 1700000000 * NS_PER_S},
        {"1970-01-01T00:00:00Z", 0},
        {"1969-12-31T23:59:59.25Z", -750 * NS_PER_MS},
        {"9999-12-31T23:59:59Z", INT64_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        int64_t got = 0;
        struct err e = {0};
        CHECK_OK(param_time(sv_of(good[i].text), 42, &got, &e), &e);
        if (got != good[i].want)
            test_fail(__FILE__, __LINE__, "'%s' is %" PRId64 ", not %" PRId64, good[i].text, got, good[i].want);
    }
    static const char *const bad[] = {"zzz", "12x", "2023-11-14", "2023-13-14T22:13:20Z", "2023-02-29T00:00:00Z",
                                      "2023-11-14T22:13:20", "2023-11-14T22:13:20.Z", "2023-11-14T24:13:20Z",
                                      "2023-11-14 22:13:20Z", "1.2.3", "nan.", "99999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t got;
        struct err e = {0};
        if (param_time(sv_of(bad[i]), 0, &got, &e))
            test_fail(__FILE__, __LINE__, "'%s' was accepted", bad[i]);
    }
}

TEST(range_query_defaults)
{
    struct arena a = {0};
    struct err e = {0};
    struct query_params q;
    struct params p = params_of("query=%7Ba%3D%22b%22%7D", &a);
    REQUIRE_OK(params_range_query(&p, &cfg, NOW, &q, &e), &e);
    CHECK_SV(q.query, SV("{a=\"b\"}"));
    CHECK_EQ(q.end_ns, NOW);
    CHECK_EQ(q.start_ns, NOW - 3600 * NS_PER_S);
    CHECK_EQ(q.step_ns, 14 * NS_PER_S);
    CHECK_EQ(q.limit, 100);
    CHECK(q.backward);
    CHECK_EQ(q.interval_ns, 0);

    p = params_of("since=2d&end=1600000000&direction=FORWARD&limit=7&step=1500ms&interval=0.5&step=9", &a);
    CHECK(!params_range_query(&p, &cfg, NOW, &q, &e)); /* 115200 points */
    CHECK_ERR(&e, ERR_LIMIT, "exceeded maximum resolution of 11,000 points");
    p = params_of("since=2h&end=1600000000&direction=FORWARD&limit=7&step=1500ms&interval=0.5", &a);
    REQUIRE_OK(params_range_query(&p, &cfg, NOW, &q, &e), &e);
    CHECK_EQ(q.end_ns, 1600000000 * NS_PER_S);
    CHECK_EQ(q.start_ns, (1600000000 - 7200) * NS_PER_S);
    CHECK_EQ(q.step_ns, 1500 * NS_PER_MS);
    CHECK_EQ(q.interval_ns, 500 * NS_PER_MS);
    CHECK_EQ(q.limit, 7);
    CHECK(!q.backward);

    p = params_of("end=1800000000", &a); /* start counts from now when the end is in the future */
    REQUIRE_OK(params_range_query(&p, &(struct limits){0}, NOW, &q, &e), &e);
    CHECK_EQ(q.start_ns, NOW - 3600 * NS_PER_S);
    arena_done(&a);
}

TEST(range_query_errors)
{
    static const struct {
        const char *text, *want;
    } bad[] = {
        {"start=zzz", "could not parse 'start' parameter: strconv.ParseInt: parsing \"zzz\": invalid syntax"},
        {"end=99999999999999999999", "could not parse 'end' parameter: strconv.ParseInt: parsing \"99999999999999999999\": value out of range"},
        {"since=x", "could not parse 'since' parameter: not a valid duration string: \"x\""},
        {"start=2&end=1", "end timestamp must not be before or equal to start time"},
        {"limit=0", "limit must be a positive value"},
        {"limit=-3", "limit must be a positive value"},
        {"limit=x", "strconv.Atoi: parsing \"x\": invalid syntax"},
        {"limit=1.5", "strconv.Atoi: parsing \"1.5\": invalid syntax"},
        {"direction=up", "invalid direction 'up'"},
        {"step=0", "zero or negative query resolution step widths are not accepted. Try a positive integer "},
        {"step=-1", "zero or negative query resolution"},
        {"step=abc", "cannot parse \"abc\" to a valid duration "},
        {"step=1e300", "cannot parse \"1e300\" to a valid duration. It overflows int64"},
        {"step=nan", "cannot parse \"nan\" to a valid duration"},
        {"interval=-1", "interval must be >= 0"},
        {"start=0&end=1700000000&step=7d", "the query time range exceeds the limit (query length: 472222h13m20s, limit: 30d1h)"},
        {"start=-9223372036854775808&end=9223372036854775807&step=1", "exceeded maximum resolution"},
        {"step=%22%0a", "cannot parse \"\\\"\\n\" to a valid duration"},
    };
    struct arena a = {0};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        struct query_params q;
        struct params p = params_of(bad[i].text, &a);
        CHECK(!params_range_query(&p, &cfg, NOW, &q, &e));
        if (sv_find(sv_of(e.msg), sv_of(bad[i].want)) == SV_NPOS)
            test_fail(__FILE__, __LINE__, "'%s' gave \"%s\", not \"%s\"", bad[i].text, e.msg, bad[i].want);
    }
    struct err e = {0};
    struct query_params q;
    struct params p = params_of("time=zzz", &a);
    CHECK(!params_instant_query(&p, &cfg, NOW, &q, &e));
    CHECK_STR(e.msg, "strconv.ParseInt: parsing \"zzz\": invalid syntax");
    p = params_of("time=4000000000&limit=3&query=x", &a);
    CHECK_OK(params_instant_query(&p, &cfg, NOW, &q, &e), &e);
    CHECK_EQ(q.start_ns, 4000000000 * NS_PER_S);
    CHECK_EQ(q.end_ns, q.start_ns);
    int64_t start, end;
    p = params_of("start=2&end=1", &a);
    CHECK(!params_bounds(&p, &cfg, NOW, &start, &end, &e));
    CHECK_ERR(&e, ERR_INVALID, "this data is no longer available");
    arena_done(&a);
}

TEST(a_form_body_comes_before_the_url)
{
    struct arena a = {0};
    struct params p;
    struct err e = {0};
    const struct http_header h = {SV("content-type"), SV("application/x-www-form-urlencoded; charset=UTF-8")};
    struct http_request r = {.method = SV("POST"), .query = SV("a=url&match=1&b=2"), .body = SV("a=body&match=3&match=4"),
                             .headers = &h, .n_headers = 1};
    REQUIRE_OK(params_read(&r, &a, &p, &e), &e);
    CHECK_SV(params_get(&p, SV("a")), SV("body"));
    CHECK_SV(params_get(&p, SV("b")), SV("2"));
    CHECK_SV(params_nth(&p, SV("match"), 0), SV("3"));
    CHECK_SV(params_nth(&p, SV("match"), 2), SV("1"));
    CHECK(!params_nth(&p, SV("match"), 3).p);
    r.method = SV("GET"); /* a GET has no form */
    REQUIRE_OK(params_read(&r, &a, &p, &e), &e);
    CHECK_SV(params_get(&p, SV("a")), SV("url"));
    r.query = SV("a=%zz");
    CHECK(!params_read(&r, &a, &p, &e));
    arena_done(&a);
}

TEST(ranges_align_to_the_step)
{
    static const struct {
        int64_t start, end, step, want_start, want_end;
    } cases[] = {
        {3, 58, 10, 0, 60}, {0, 60, 10, 0, 60}, {5, 5, 10, 0, 10}, {-3, -1, 10, -10, 0}, {-10, -10, 10, -10, -10},
        {INT64_MIN, INT64_MAX, 7, INT64_MIN, INT64_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct query_params q = {.start_ns = cases[i].start, .end_ns = cases[i].end, .step_ns = cases[i].step};
        params_align(&q);
        CHECK_EQ(q.start_ns, cases[i].want_start);
        CHECK_EQ(q.end_ns, cases[i].want_end);
    }
}

/* ---- push JSON ---- */

static struct buf transcode(const char *json, bool legacy, struct err *e)
{
    struct json_parser *p;
    struct buf out = {0};
    CHECK(json_parser_new(1 << 20, 64, &p, NULL));
    *e = (struct err){0};
    if (!push_json_to_proto(p, sv_of(json), legacy, &out, e))
        buf_reset(&out);
    json_parser_free(p);
    return out;
}

/* Builds what is expected. */
static size_t stream(struct buf *b, sv labels)
{
    size_t mark = otlp_open(b, 1);
    otlp_put_bytes(b, 1, labels);
    return mark;
}
static size_t entry(struct buf *b, int64_t seconds, int64_t nanos, sv line)
{
    size_t mark = otlp_open(b, 2), ts = otlp_open(b, 1);
    otlp_put_varint(b, 1, (uint64_t)seconds);
    otlp_put_varint(b, 2, (uint64_t)nanos);
    otlp_close(b, ts);
    otlp_put_bytes(b, 2, line);
    return mark;
}

TEST(push_json_becomes_protobuf)
{
    struct err e;
    struct buf want = {0};
    struct buf got = transcode("{\"streams\":[{\"values\":[[\"1700000000000000001\",\"first\"],"
                               "[\"-1\",\"sec\\nond\",{\"k\":\"v\\\"\",\"id\":\"\"},4,[5]]],"
                               "\"stream\":{\"b\":\"x\\\"y\",\"a\":5,\"c\":true,\"e\":\"\",\"f\":null,\"d\":1.5}},"
                               "{\"values\":[[\"7\"]]},{\"stream\":{\"z\":\"1\"},\"values\":null}],\"other\":{}}",
                               false, &e);
    size_t s = stream(&want, SV("{a=\"5\", b=\"x\\\"y\", c=\"true\", d=\"1.5\"}"));
    otlp_close(&want, entry(&want, 1700000000, 1, SV("first")));
    size_t en = entry(&want, -1, 999999999, SV("sec\nond"));
    size_t pair = otlp_open(&want, 3);
    otlp_put_bytes(&want, 1, SV("k"));
    otlp_put_bytes(&want, 2, SV("v\""));
    otlp_close(&want, pair);
    pair = otlp_open(&want, 3);
    otlp_put_bytes(&want, 1, SV("id"));
    otlp_put_bytes(&want, 2, SV(""));
    otlp_close(&want, pair);
    otlp_close(&want, en);
    otlp_close(&want, s);
    s = stream(&want, SV("{}"));
    size_t mark = otlp_open(&want, 2), ts = otlp_open(&want, 1);
    otlp_put_varint(&want, 1, 0);
    otlp_put_varint(&want, 2, 7);
    otlp_close(&want, ts);
    otlp_close(&want, mark);
    otlp_close(&want, s);
    CHECK_EQ(e.code, ERR_NONE);
    CHECK(sv_eq(buf_view(&got), buf_view(&want)));
    buf_done(&got);
    buf_done(&want);
}

TEST(legacy_push_json)
{
    static const char text[] = "{\"streams\":[{\"labels\":\"{app=\\\"x\\\"}\",\"entries\":"
                               "[{\"ts\":\"2023-11-14T22:13:20.5Z\",\"line\":\"l\"}]}]}";
    struct err e;
    struct buf want = {0}, got = transcode(text, true, &e);
    size_t s = stream(&want, SV("{app=\"x\"}"));
    otlp_close(&want, entry(&want, 1700000000, 500000000, SV("l")));
    otlp_close(&want, s);
    CHECK_EQ(e.code, ERR_NONE);
    CHECK(sv_eq(buf_view(&got), buf_view(&want)));
    buf_done(&got);
    got = transcode(text, false, &e); /* elsewhere the old shape means nothing */
    CHECK_EQ(got.n, 0);
    buf_done(&got);
    buf_done(&want);
}

TEST(push_json_that_is_refused)
{
    static const struct {
        const char *json, *want;
    } bad[] = {
        {"[]", "expected an object, got an array"},
        {"5", "expected an object, got"},
        {"{\"streams\":{}}", "streams: expected an array, got an object"},
        {"{\"streams\":[null]}", "expected an object"},
        {"{\"streams\":[{\"values\":{}}]}", "values: expected an array"},
        {"{\"streams\":[{\"values\":[{}]}]}", "values: entry: expected an array"},
        {"{\"streams\":[{\"values\":[[1700000000,\"x\"]]}]}", "values: timestamp: expected a string"},
        {"{\"streams\":[{\"values\":[[\"2023-11-14T22:13:20Z\",\"x\"]]}]}", "not a number of nanoseconds: '2023"},
        {"{\"streams\":[{\"values\":[[\"1.5\",\"x\"]]}]}", "not a number of nanoseconds"},
        {"{\"streams\":[{\"values\":[[\"99999999999999999999\",\"x\"]]}]}", "not a number of nanoseconds"},
        {"{\"streams\":[{\"values\":[[\"1\",5]]}]}", "values: line: expected a string"},
        {"{\"streams\":[{\"values\":[[\"1\",\"x\",5]]}]}", "structured metadata: expected an object"},
        {"{\"streams\":[{\"values\":[[\"1\",\"x\",{\"a\":5}]]}]}", "structured metadata value: expected a string"},
        {"{\"streams\":[{\"values\":[[\"1\",\"x\",{\"a\":{}}]]}]}", "structured metadata value: expected a string, got an object"},
        {"{\"streams\":[{\"stream\":{\"a-b\":\"x\"},\"values\":[]}]}", "couldn't parse labels: 1:3: parse error: unexpected character inside braces: '-'"},
        {"{\"streams\":[{\"stream\":{\"a=\\\"x\\\",b\":\"x\"},\"values\":[]}]}", "couldn't parse labels: 1:3"},
        {"{\"streams\":[{\"stream\":{\"\":\"x\"},\"values\":[]}]}", "couldn't parse labels"},
        {"{\"streams\":[{\"stream\":{\"a\":[]},\"values\":[]}]}", "label values must be strings, got an array"},
        {"{\"streams\":[{\"stream\":\"{}\",\"values\":[]}]}", "stream: expected an object"},
        {"{\"streams\":[", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e;
        struct buf got = transcode(bad[i].json, false, &e);
        CHECK(e.code == ERR_INVALID || e.code == ERR_PARSE);
        if (sv_find(sv_of(e.msg), sv_of(bad[i].want)) == SV_NPOS)
            test_fail(__FILE__, __LINE__, "%s gave \"%s\", not \"%s\"", bad[i].json, e.msg, bad[i].want);
        buf_done(&got);
    }
    static const char *const nothing[] = {"null", "{}", "{\"streams\":null}", "{\"streams\":[]}"};
    for (size_t i = 0; i < ARRAY_LEN(nothing); i++) {
        struct err e;
        struct buf got = transcode(nothing[i], false, &e);
        CHECK_EQ(e.code, ERR_NONE);
        CHECK_EQ(got.n, 0);
        buf_done(&got);
    }
    struct err e;
    struct buf got = transcode("{\"streams\":[{\"stream\":{\"a\":\"1\",\"a\":\"2\"},\"values\":[]}]}", false, &e);
    CHECK(sv_find(buf_view(&got), SV("{a=\"2\"}")) != SV_NPOS); /* the last one counts */
    buf_done(&got);
}

/* ---- answers ---- */

#define LABELS(...)                                                                                               \
    ((struct labels){(const struct label[]){__VA_ARGS__}, sizeof((const struct label[]){__VA_ARGS__}) / sizeof(struct label)})
#define L(name, value) {{name, sizeof(name) - 1}, {value, sizeof(value) - 1}}

static void check_query(const struct logql_result *r, const struct encode_opts *o, const char *want)
{
    struct arena a = {0};
    struct buf out = {0};
    struct err e = {0};
    CHECK_OK(encode_query(r, o, &a, &out, &e), &e);
    sv text = buf_view(&out);
    size_t stats = sv_find(text, SV(",\"stats\":{"));
    CHECK(stats != SV_NPOS && sv_ends(text, SV("}}\n")));
    CHECK_SV(sv_sub(text, 0, stats), sv_of(want));
    struct json_parser *p;
    struct json v;
    REQUIRE_OK(json_parser_new(1 << 20, 64, &p, &e), &e);
    CHECK_OK(json_parse(p, text, &v, &e), &e);
    json_parser_free(p);
    arena_done(&a);
    buf_done(&out);
}

TEST(streams_merged_and_categorized)
{
    struct logql_entry web[] = {
        {.ts = 1700000000000000003, .line = SV("c \"q\"\n"), .metadata = LABELS(L("user", "u2"))},
        {.ts = 1700000000000000002, .line = SV("b"), .metadata = LABELS(L("user", "u1")), .parsed = LABELS(L("lvl", "warn"))},
        {.ts = 1700000000000000001, .line = SV("a"), .metadata = LABELS(L("user", "u2"))},
    };
    struct logql_entry db[] = {
        {.ts = 5, .line = SV("d"), .metadata = LABELS(L("app", "meta"), L("zone", "1")), .parsed = LABELS(L("app", "parsed"))},
        {.ts = 4, .line = SV("e")},
    };
    struct logql_stream streams[] = {{LABELS(L("app", "web"), L("env", "dev")), web, 3, 3}, {LABELS(L("app", "db")), db, 2, 2}};
    struct logql_result r = {.kind = LOGQL_STREAMS, .streams = streams, .n_streams = 2};
    check_query(&r, &(struct encode_opts){.backward = true},
                "{\"status\":\"success\",\"data\":{\"resultType\":\"streams\",\"result\":["
                "{\"stream\":{\"app\":\"db\"},\"values\":[[\"4\",\"e\"]]},"
                "{\"stream\":{\"app\":\"parsed\",\"zone\":\"1\"},\"values\":[[\"5\",\"d\"]]},"
                "{\"stream\":{\"app\":\"web\",\"env\":\"dev\",\"lvl\":\"warn\",\"user\":\"u1\"},\"values\":[[\"1700000000000000002\",\"b\"]]},"
                "{\"stream\":{\"app\":\"web\",\"env\":\"dev\",\"user\":\"u2\"},"
                "\"values\":[[\"1700000000000000003\",\"c \\\"q\\\"\\n\"],[\"1700000000000000001\",\"a\"]]}]");
    check_query(&r, &(struct encode_opts){.backward = true, .categorize = true, .flags = SV("categorize-labels,new")},
                "{\"status\":\"success\",\"data\":{\"resultType\":\"streams\",\"encodingFlags\":[\"categorize-labels\",\"new\"],\"result\":["
                "{\"stream\":{\"app\":\"db\"},\"values\":["
                "[\"5\",\"d\",{\"structuredMetadata\":{\"app\":\"meta\",\"zone\":\"1\"},\"parsed\":{\"app\":\"parsed\"}}],[\"4\",\"e\",{}]]},"
                "{\"stream\":{\"app\":\"web\",\"env\":\"dev\"},\"values\":["
                "[\"1700000000000000003\",\"c \\\"q\\\"\\n\",{\"structuredMetadata\":{\"user\":\"u2\"}}],"
                "[\"1700000000000000002\",\"b\",{\"structuredMetadata\":{\"user\":\"u1\"},\"parsed\":{\"lvl\":\"warn\"}}],"
                "[\"1700000000000000001\",\"a\",{\"structuredMetadata\":{\"user\":\"u2\"}}]]}]");
    check_query(&(struct logql_result){.kind = LOGQL_STREAMS}, &(struct encode_opts){0},
                "{\"status\":\"success\",\"data\":{\"resultType\":\"streams\",\"result\":[]");
}

TEST(entries_of_two_streams_under_the_same_labels_are_in_order)
{
    struct logql_entry one[] = {{.ts = 1, .line = SV("1")}, {.ts = 3, .line = SV("3a")}, {.ts = 3, .line = SV("3b")}};
    struct logql_entry two[] = {{.ts = 2, .line = SV("2"), .metadata = LABELS(L("b", "2"))},
                                {.ts = 4, .line = SV("4"), .metadata = LABELS(L("b", "2"))}};
    struct logql_stream streams[] = {{LABELS(L("a", "1"), L("b", "2")), one, 3, 3}, {LABELS(L("a", "1")), two, 2, 2}};
    struct logql_result r = {.kind = LOGQL_STREAMS, .streams = streams, .n_streams = 2};
    check_query(&r, &(struct encode_opts){0},
                "{\"status\":\"success\",\"data\":{\"resultType\":\"streams\",\"result\":[{\"stream\":{\"a\":\"1\",\"b\":\"2\"},"
                "\"values\":[[\"1\",\"1\"],[\"2\",\"2\"],[\"3\",\"3a\"],[\"3\",\"3b\"],[\"4\",\"4\"]]}]");
}

TEST(many_groups)
{
    enum { N = 3000 };
    static struct logql_entry en[N];
    static struct label labels[N];
    static char text[N][8];
    for (size_t i = 0; i < N; i++) {
        int n = snprintf(text[i], sizeof text[i], "%06zu", i / 2);
        labels[i] = (struct label){SV("id"), {text[i], (size_t)n}};
        en[i] = (struct logql_entry){.ts = (int64_t)i, .line = SV("x"), .metadata = {&labels[i], 1}};
    }
    struct logql_stream s = {LABELS(L("app", "x")), en, N, N};
    struct arena a = {0};
    struct buf out = {0};
    struct err e = {0};
    CHECK_OK(encode_query(&(struct logql_result){.streams = &s, .n_streams = 1}, &(struct encode_opts){0}, &a, &out, &e), &e);
    size_t n = 0;
    for (sv rest = buf_view(&out); sv_find(rest, SV("\"stream\":")) != SV_NPOS; n++)
        rest = sv_from(rest, sv_find(rest, SV("\"stream\":")) + 1);
    CHECK_EQ(n, N / 2);
    buf_done(&out);
    arena_done(&a);
    arena_init(&a, 10000);
    CHECK(!encode_query(&(struct logql_result){.streams = &s, .n_streams = 1}, &(struct encode_opts){0}, &a, &out, &e));
    CHECK_ERR(&e, ERR_LIMIT, "max_query_memory");
    buf_done(&out);
    arena_done(&a);
}

TEST(metric_answers)
{
    struct logql_sample points[] = {{1700000000 * NS_PER_S, 12}, {1700000060 * NS_PER_S + 500 * NS_PER_MS, 3.5}};
    struct logql_sample odd[] = {{-1500 * NS_PER_MS, NAN}, {1, INFINITY}, {1123 * NS_PER_MS, -INFINITY}};
    struct logql_series series[] = {{LABELS(L("app", "web")), points, 2, 2}, {{0}, odd, 3, 3}, {LABELS(L("no", "points")), NULL, 0, 0}};
    struct logql_result r = {.kind = LOGQL_MATRIX, .series = series, .n_series = 3};
    check_query(&r, &(struct encode_opts){.flags = SV("categorize-labels"), .categorize = true},
                "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":["
                "{\"metric\":{\"app\":\"web\"},\"values\":[[1700000000,\"12\"],[1700000060.5,\"3.5\"]]},"
                "{\"metric\":{},\"values\":[[-1.5,\"NaN\"],[0,\"+Inf\"],[1.123,\"-Inf\"]]}]");
    r.kind = LOGQL_VECTOR;
    r.n_series = 1;
    check_query(&r, &(struct encode_opts){0},
                "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"app\":\"web\"},\"value\":[1700000000,\"12\"]}]");
    r.kind = LOGQL_SCALAR;
    check_query(&r, &(struct encode_opts){0},
                "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1700000000,\"12\"]");
}

TEST(sample_values_have_no_exponent)
{
    static const struct {
        double v;
        const char *want;
    } cases[] = {
        {0, "\"0\""}, {-0.0, "\"-0\""}, {1, "\"1\""}, {-2.5, "\"-2.5\""}, {1e21, "\"1000000000000000000000\""},
        {1.5e22, "\"15000000000000000000000\""}, {1e-7, "\"0.0000001\""}, {-1.25e-9, "\"-0.00000000125\""},
        {123456789.125, "\"123456789.125\""}, {0.1, "\"0.1\""}, {1e15, "\"1000000000000000\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = {0};
        encode_sample_value(&out, cases[i].v);
        CHECK_SV(buf_view(&out), sv_of(cases[i].want));
        buf_done(&out);
    }
    static const double extreme[] = {1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 9007199254740993.0, 1.2345e100};
    for (size_t i = 0; i < ARRAY_LEN(extreme); i++) {
        struct buf out = {0};
        double back = 0;
        encode_sample_value(&out, extreme[i]);
        CHECK(sv_to_double(sv_sub(buf_view(&out), 1, out.n - 2), &back) && back == extreme[i]);
        buf_done(&out);
    }
}

TEST(stats_name_every_member)
{
    static const char *const members[] = {
        "\"summary\":{\"bytesProcessedPerSecond\":2000,", "\"linesProcessedPerSecond\":20,", "\"totalBytesProcessed\":1000,",
        "\"totalLinesProcessed\":10,", "\"execTime\":0.5,", "\"queueTime\":0.25,", "\"subqueries\":0,",
        "\"totalEntriesReturned\":1,", "\"totalPostFilterLines\":4,", "\"totalStructuredMetadataBytesProcessed\":7}",
        "\"querier\":{\"store\":{\"totalChunksRef\":9,", "\"decompressedLines\":7,", "\"headChunkLines\":3,",
        "\"ingester\":{\"totalReached\":1,", "\"cache\":{\"chunk\":{\"entriesFound\":0,", "\"instantMetricResult\":{",
        "\"index\":{\"totalChunks\":9,\"postFilterChunks\":4,\"shardsDuration\":0,\"usedBloomFilters\":true}",
        "\"weir\":{\"streams\":0,", "\"blocks\":9,\"blocksOutsideTime\":0,", "\"blocksFilteredOut\":5,", "\"rowsConsidered\":10,",
        "\"rowsAfterPipeline\":4}",
    };
    struct logql_result r = {.kind = LOGQL_VECTOR, .n_series = 1, .series = &(struct logql_series){.n = 0}, .exec_s = 0.5,
                             .lines_after_filter = 4,
                             .stats = {.rows_considered = 10, .bytes_considered = 1000, .head_rows = 3, .head_bytes = 300,
                                       .metadata_bytes = 7, .blocks_total = 9, .blocks_pruned_filter = 5}};
    struct arena a = {0};
    struct buf out = {0};
    struct err e = {0};
    CHECK_OK(encode_query(&r, &(struct encode_opts){.queue_s = 0.25}, &a, &out, &e), &e);
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (sv_find(buf_view(&out), sv_of(members[i])) == SV_NPOS)
            test_fail(__FILE__, __LINE__, "stats lack %s", members[i]);
    buf_done(&out);
    out.max = 50;
    CHECK(!encode_query(&r, &(struct encode_opts){0}, &a, &out, &e));
    CHECK_EQ(e.code, ERR_LIMIT);
    buf_done(&out);
    arena_done(&a);
}

TEST(string_lists)
{
    struct buf out = {0};
    encode_strings(&out, (const sv[]){SV("app"), SV("a\"b")}, 2);
    CHECK_SV(buf_view(&out), SV("{\"status\":\"success\",\"data\":[\"app\",\"a\\\"b\"]}\n"));
    buf_reset(&out);
    encode_strings(&out, NULL, 0);
    CHECK_SV(buf_view(&out), SV("{\"status\":\"success\"}\n"));
    buf_done(&out);
}

/* ---- the page's negotiation ---- */

TEST(accept_encoding_and_etags)
{
    CHECK(page_accepts(SV("gzip, deflate, br"), SV("gzip")));
    CHECK(page_accepts(SV("br;q=1.0, GZIP;q=0.8, *;q=0.1"), SV("gzip")));
    CHECK(page_accepts(SV("*"), SV("gzip")));
    CHECK(page_accepts(SV("gzip;q=0.001"), SV("gzip")));
    CHECK(!page_accepts(SV(""), SV("gzip")));
    CHECK(!page_accepts(SV("identity"), SV("gzip")));
    CHECK(!page_accepts(SV("gzip;q=0"), SV("gzip")));
    CHECK(!page_accepts(SV("*, gzip; q=0.000"), SV("gzip")));
    CHECK(!page_accepts(SV("*;q=0"), SV("gzip")));
    CHECK(page_has_etag(SV("W/\"abc\""), SV("W/\"abc\"")));
    CHECK(page_has_etag(SV("\"x\", \"abc\""), SV("W/\"abc\"")));
    CHECK(page_has_etag(SV("*"), SV("W/\"abc\"")));
    CHECK(!page_has_etag(SV("\"ab\""), SV("W/\"abc\"")));
    CHECK(!page_has_etag(SV(""), SV("W/\"abc\"")));
}

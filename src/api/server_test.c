/* server_test.c - the API over loopback, with a real store: what clients send, what they get back. */
#include "base/test.h"
#include "api/api.h"
#include "api/call.h"
#include "base/compress.h"
#include "base/io.h"
#include "otlp/write.h"
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    struct loop *loop;
    struct metrics *metrics;
    struct store *store;
    struct api *api;
    struct http_server *server, *page;
    struct store_config store_cfg;
    struct api_config cfg;
} t;

static bool start(void)
{
    struct err e = {0};
    struct http_server_config h = {.address = "127.0.0.1:0", .name = "api", .max_body_bytes = 8 << 20};
    free(t.store_cfg.data_dir);
    t.store_cfg.data_dir = sv_dup(sv_of(test_dir()));
    t.metrics = metrics_new();
    bool ok = store_open(&t.store_cfg, t.metrics, &t.store, &e) && loop_open("test", &t.loop, &e) &&
              api_open(t.store, t.metrics, &t.cfg, &t.api, &e) &&
              http_server_open(&h, &t.loop, 1, t.metrics, api_handle, t.api, &t.server, &e) &&
              http_server_open(&h, &t.loop, 1, t.metrics, api_handle_with_page, t.api, &t.page, &e);
    CHECK_OK(ok, &e);
    return ok;
}

static void defaults(void)
{
    memset(&t, 0, sizeof t);
    CHECK(options_defaults(store_options, &t.store_cfg, NULL));
    CHECK(options_defaults(api_options, &t.cfg, NULL));
    CHECK(options_defaults(limits_options, &t.store_cfg.limits, NULL));
    CHECK(options_defaults(limits_config_options, &t.store_cfg.overrides, NULL));
}

static bool start_default(void)
{
    defaults();
    return start();
}

static void stop(void)
{
    http_server_close(t.page, 1000);
    http_server_close(t.server, 1000);
    api_close(t.api);
    loop_close(t.loop);
    store_close(t.store);
    metrics_free(t.metrics);
    options_done(store_options, &t.store_cfg);
    options_done(api_options, &t.cfg);
    options_done(limits_config_options, &t.store_cfg.overrides);
}

/* ---- a client ---- */

struct reply {
    int status;
    sv head, body;
    struct buf raw;
};

static int dial(const struct http_server *s)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t port = 0;
    CHECK(sv_to_u64(sv_of(strrchr(http_server_address(s), ':') + 1), &port));
    sa.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval wait = {20, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    CHECK(connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0);
    return fd;
}

/* `headers`: lines with \r\n. The reply's views live until the next call. */
static struct reply ask_at(const struct http_server *s, const char *method, const char *target, const char *headers, sv body)
{
    static struct buf last;
    struct buf out = {0};
    char chunk[16384];
    ssize_t n;
    int fd = dial(s);
    buf_fmt(&out, "%s %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", method, target, body.n,
            headers);
    buf_sv(&out, body);
    for (size_t at = 0; at < out.n && (n = send(fd, out.p + at, out.n - at, MSG_NOSIGNAL)) > 0;)
        at += (size_t)n;
    buf_done(&out);
    buf_done(&last);
    while ((n = recv(fd, chunk, sizeof chunk, 0)) > 0)
        buf_put(&last, chunk, (size_t)n);
    close(fd);
    struct reply r = {.raw = last};
    size_t end = sv_find(buf_view(&last), SV("\r\n\r\n"));
    uint64_t status = 0;
    if (end == SV_NPOS || !sv_to_u64(sv_sub(buf_view(&last), 9, 3), &status)) {
        test_fail(__FILE__, __LINE__, "%s %s: no answer", method, target);
        return r;
    }
    r.status = (int)status;
    r.head = sv_sub(buf_view(&last), 0, end + 2);
    r.body = sv_from(buf_view(&last), end + 4);
    return r;
}

static struct reply ask(const char *method, const char *target, const char *headers, sv body)
{
    return ask_at(t.server, method, target, headers, body);
}

static struct reply get(const char *target)
{
    return ask("GET", target, "", SV_NULL);
}

static bool has_line(sv head, const char *line)
{
    char want[300];
    int n = snprintf(want, sizeof want, "\r\n%s\r\n", line);
    return sv_find(head, sv_make(want, (size_t)n)) != SV_NPOS;
}

#define CHECK_REPLY(r, want_status, want_body)                                                                    \
    do {                                                                                                          \
        CHECK_EQ((r).status, want_status);                                                                        \
        CHECK_SV((r).body, sv_of(want_body));                                                                     \
    } while (0)
#define CHECK_HAS(r, want_status, part)                                                                           \
    do {                                                                                                          \
        CHECK_EQ((r).status, want_status);                                                                        \
        if (sv_find((r).body, sv_of(part)) == SV_NPOS)                                                            \
            test_fail(__FILE__, __LINE__, "\"" SV_FMT "\" lacks \"%s\"", SV_ARG((r).body), (part));               \
    } while (0)

/* ---- what is sent ---- */

#define PROTOBUF "Content-Type: application/x-protobuf\r\n"
#define JSON "Content-Type: application/json\r\n"
#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"
#define NO_STREAM "error at least one valid stream is required for ingestion"

static void any_string(struct buf *b, uint32_t field, sv s)
{
    size_t mark = otlp_open(b, field);
    otlp_put_bytes(b, 1, s);
    otlp_close(b, mark);
}

static void otlp_record(struct buf *b, const char *service, int64_t ns, sv line)
{
    size_t rl = otlp_open(b, 1), res = otlp_open(b, 1), kv = otlp_open(b, 1);
    otlp_put_bytes(b, 1, SV("service.name"));
    any_string(b, 2, sv_of(service));
    otlp_close(b, kv);
    otlp_close(b, res);
    size_t sl = otlp_open(b, 2), rec = otlp_open(b, 2);
    otlp_put_fixed64(b, 1, (uint64_t)ns);
    any_string(b, 5, line);
    otlp_close(b, rec);
    otlp_close(b, sl);
    otlp_close(b, rl);
}

static void loki_stream(struct buf *b, const char *labels, int64_t seconds, sv line)
{
    size_t s = otlp_open(b, 1);
    otlp_put_bytes(b, 1, sv_of(labels));
    size_t en = otlp_open(b, 2), ts = otlp_open(b, 1);
    otlp_put_varint(b, 1, (uint64_t)seconds);
    otlp_close(b, ts);
    otlp_put_bytes(b, 2, line);
    otlp_close(b, en);
    otlp_close(b, s);
}

static struct buf packed(enum codec codec, sv body)
{
    struct buf out = {0};
    CHECK(compress(codec, 0, body, &out, NULL));
    return out;
}

static const char *const range = "start=1700000000&end=1700001000";
static struct reply ask_range(const char *query, const char *more)
{
    char target[600];
    snprintf(target, sizeof target, "/loki/api/v1/query_range?query=%s&%s%s", query, range, more);
    return get(target);
}

/* How many entries the service has. */
static uint64_t entries_of(const char *service)
{
    char query[100];
    snprintf(query, sizeof query, "%%7Bservice_name%%3D%%22%s%%22%%7D", service);
    struct reply r = ask_range(query, "");
    CHECK_EQ(r.status, 200);
    uint64_t n = 0;
    for (sv rest = r.body; sv_find(rest, SV("[\"17")) != SV_NPOS; n++)
        rest = sv_from(rest, sv_find(rest, SV("[\"17")) + 1);
    return n;
}

/* ---- pushes ---- */

TEST(otlp_in_every_dress)
{
    REQUIRE(start_default());
    static const struct {
        const char *service, *headers;
        enum codec codec;
    } cases[] = {
        {"plain", PROTOBUF, CODEC_NONE},
        {"gzip", PROTOBUF "Content-Encoding: gzip\r\n", CODEC_GZIP},
        {"zstd", PROTOBUF "Content-Encoding: zstd\r\n", CODEC_ZSTD},
        {"lz4", PROTOBUF "Content-Encoding: lz4\r\n", CODEC_LZ4},
        {"deflate", PROTOBUF "Content-Encoding: deflate\r\n", CODEC_ZLIB},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = {0};
        otlp_record(&b, cases[i].service, 1700000000 * NS_PER_S, SV("a line"));
        struct buf body = cases[i].codec ? packed(cases[i].codec, buf_view(&b)) : b;
        struct reply r = ask("POST", "/otlp/v1/logs", cases[i].headers, buf_view(&body));
        CHECK_REPLY(r, 204, "");
        CHECK_EQ(entries_of(cases[i].service), 1);
        buf_done(&body);
        if (cases[i].codec)
            buf_done(&b);
    }
    struct buf big = {0}; /* decoded on the pool */
    for (int i = 0; i < 2000; i++)
        otlp_record(&big, "big", (1700000000 + i % 900) * NS_PER_S + i, SV("one of many lines of a large request"));
    struct reply r = ask("POST", "/otlp/v1/logs", PROTOBUF, buf_view(&big));
    CHECK_REPLY(r, 204, "");
    r = ask_range("sum(count_over_time(%7Bservice_name%3D%22big%22%7D%5B2000s%5D))", "&step=1000");
    CHECK_HAS(r, 200, "\"2000\"]");
    buf_done(&big);
    r = ask("POST", "/otlp/v1/logs", "Content-Type: application/json; charset=utf-8\r\n",
            SV("{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"json\"}}]},"
               "\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"1700000000000000000\",\"body\":{\"stringValue\":\"x\"}}]}]}]}"));
    CHECK_REPLY(r, 204, "");
    CHECK_EQ(entries_of("json"), 1);
    stop();
}

TEST(otlp_that_is_refused)
{
    defaults();
    t.cfg.max_recv_msg_size = 3000;
    t.cfg.max_decompressed_size = 100000;
    REQUIRE(start());
    struct buf good = {0}, bomb;
    otlp_record(&good, "bad", 1700000000 * NS_PER_S, SV("must not get in"));
    bomb = packed(CODEC_GZIP, sv_make(memset((char[200000]){0}, 0, 200000), 200000));
    const struct {
        const char *headers;
        sv body;
        int status;
        const char *want;
    } cases[] = {
        {PROTOBUF, sv_sub(buf_view(&good), 0, good.n - 3), 400, ""},
        {PROTOBUF, SV_NULL, 422, NO_STREAM},
        {JSON, SV("{}"), 422, NO_STREAM},
        {JSON, SV("{\"resourceLogs\":[{}]}"), 422, NO_STREAM},
        {JSON, SV("{\"resourceLogs\":[{"), 400, "\"message\":"},
        {JSON, SV("[]"), 400, "\"code\":3"},
        {"Content-Type: text/plain\r\n", buf_view(&good), 400, "content type: text/plain is not supported"},
        {"", buf_view(&good), 400, "content type:  is not supported"},
        {PROTOBUF "Content-Encoding: br\r\n", buf_view(&good), 400, "unsupported content encoding br"},
        {PROTOBUF "Content-Encoding: gzip\r\n", SV("this is no gzip"), 400, "gzip"},
        {PROTOBUF "Content-Encoding: gzip\r\n", buf_view(&bomb), 413, "decompressed message size too large (max_decompressed_size)"},
        {PROTOBUF, sv_make((char[4000]){0}, 4000), 413, "request body too large: message size too large than max (4000 vs 3000) (max_recv_msg_size)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reply r = ask("POST", "/otlp/v1/logs", cases[i].headers, cases[i].body);
        CHECK_HAS(r, cases[i].status, cases[i].want);
        bool json = *cases[i].headers != 'C' || !strstr(cases[i].headers, "protobuf");
        CHECK(has_line(r.head, json ? "content-type: application/json" : "content-type: application/x-protobuf"));
        if (!json)
            CHECK(r.body.n > 4 && r.body.p[0] == 1 << 3 && r.body.p[2] == (2 << 3 | 2)); /* google.rpc.Status */
    }
    CHECK_EQ(entries_of("bad"), 0);
    struct reply r = ask("GET", "/otlp/v1/logs", "", SV_NULL);
    CHECK_EQ(r.status, 405);
    CHECK(has_line(r.head, "allow: POST"));
    buf_done(&good);
    buf_done(&bomb);
    stop();
}

TEST(some_records_refused_others_stored)
{
    defaults();
    t.store_cfg.limits.max_line_size = 20;
    REQUIRE(start());
    struct buf b = {0};
    otlp_record(&b, "mixed", 1700000000 * NS_PER_S, SV("short"));
    otlp_record(&b, "mixed", 1700000001 * NS_PER_S, SV("a line of more than twenty bytes"));
    struct reply r = ask("POST", "/otlp/v1/logs", PROTOBUF, buf_view(&b));
    CHECK_HAS(r, 400, "size '20' bytes exceeded for stream '{service_name=\"mixed\"}'");
    CHECK(sv_find(r.head, SV("retry-after")) == SV_NPOS);
    CHECK_EQ(entries_of("mixed"), 1);
    buf_done(&b);
    stop();
}

TEST(a_full_disk_asks_to_come_back)
{
    REQUIRE(start_default());
    struct buf b = {0};
    otlp_record(&b, "full", 1700000000 * NS_PER_S, SV("line"));
    io_faults_set(&(struct io_fault){.op = IO_WRITE, .match = ".seg", .sys = ENOSPC}, 1);
    struct reply r = ask("POST", "/otlp/v1/logs", PROTOBUF, buf_view(&b));
    CHECK_HAS(r, 503, "No space left on device");
    CHECK(has_line(r.head, "retry-after: 1"));
    r = ask("POST", "/loki/api/v1/push", JSON, SV("{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1700000000000000000\",\"x\"]]}]}"));
    CHECK_HAS(r, 503, "No space left on device");
    io_faults_set(NULL, 0);
    r = ask("POST", "/otlp/v1/logs", PROTOBUF, buf_view(&b));
    CHECK_REPLY(r, 204, "");
    CHECK_EQ(entries_of("full"), 1);
    buf_done(&b);
    stop();
}

#define ONE_STREAM(app) "{\"streams\":[{\"stream\":{\"service_name\":\"" app "\"},\"values\":[[\"1700000000000000000\",\"x\"]]}]}"

TEST(loki_push_in_every_dress)
{
    REQUIRE(start_default());
    struct buf b = {0};
    struct reply r = ask("POST", "/loki/api/v1/push", "Content-Type: application/json; charset=utf-8\r\n", SV(ONE_STREAM("json")));
    CHECK_REPLY(r, 204, "");
    CHECK_EQ(entries_of("json"), 1);
    struct buf gz = packed(CODEC_GZIP, SV(ONE_STREAM("gz"))), raw = packed(CODEC_DEFLATE_RAW, SV(ONE_STREAM("raw")));
    r = ask("POST", "/loki/api/v1/push", JSON "Content-Encoding: gzip\r\n", buf_view(&gz));
    CHECK_REPLY(r, 204, "");
    CHECK_EQ(entries_of("gz"), 1);
    r = ask("POST", "/loki/api/v1/push", JSON "Content-Encoding: deflate\r\n", buf_view(&raw));
    CHECK_REPLY(r, 204, "");
    CHECK_EQ(entries_of("raw"), 1);
    loki_stream(&b, "{service_name=\"proto\", z=\"1\"}", 1700000000, SV("line"));
    struct buf snappy = packed(CODEC_SNAPPY, buf_view(&b));
    r = ask("POST", "/loki/api/v1/push", PROTOBUF "Content-Encoding: snappy\r\n", buf_view(&snappy));
    CHECK_REPLY(r, 204, "");
    CHECK_EQ(entries_of("proto"), 1);
    r = ask("POST", "/api/prom/push", JSON,
            SV("{\"streams\":[{\"labels\":\"{service_name=\\\"old\\\"}\",\"entries\":[{\"ts\":\"2023-11-14T22:13:20Z\",\"line\":\"l\"}]}]}"));
    CHECK_REPLY(r, 204, "");
    CHECK_EQ(entries_of("old"), 1);
    buf_done(&b);
    buf_done(&gz);
    buf_done(&raw);
    buf_done(&snappy);
    stop();
}

TEST(loki_push_that_is_refused)
{
    REQUIRE(start_default());
    struct buf b = {0};
    loki_stream(&b, "{a-b=\"x\"}", 1700000000, SV("line"));
    struct buf bad_labels = packed(CODEC_SNAPPY, buf_view(&b)), cut = packed(CODEC_SNAPPY, sv_sub(buf_view(&b), 0, b.n - 2));
    const struct {
        const char *headers;
        sv body;
        int status;
        const char *want;
    } cases[] = {
        {JSON, SV("{\"streams\":[]}"), 422, NO_STREAM "\n"},
        {JSON, SV("null"), 422, NO_STREAM "\n"},
        {JSON, SV_NULL, 400, "EOF\n"},
        {JSON, SV("{\"streams\":["), 400, ""},
        {JSON, SV("{\"streams\":[{\"stream\":{\"a-b\":\"x\"},\"values\":[[\"1\",\"x\"]]}]}"), 400, "couldn't parse labels: 1:3"},
        {JSON, SV("{\"streams\":[{\"values\":[[1,\"x\"]]}]}"), 400, "values: timestamp: expected a string"},
        {JSON "Content-Encoding: br\r\n", SV("{}"), 400, "Content-Encoding \"br\" not supported\n"},
        {JSON "Content-Encoding: gzip\r\n", SV("{}"), 400, "gzip"},
        {"", SV("{}"), 400, "mime: no media type\n"},
        {PROTOBUF, SV("\xff\xff\xff\xff\xff nonsense"), 400, "snappy: corrupt input\n"},
        {PROTOBUF, buf_view(&bad_labels), 400, "couldn't parse labels"},
        {PROTOBUF, buf_view(&cut), 400, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reply r = ask("POST", "/loki/api/v1/push", cases[i].headers, cases[i].body);
        CHECK_HAS(r, cases[i].status, cases[i].want);
        CHECK(has_line(r.head, "content-type: text/plain; charset=utf-8"));
        CHECK(has_line(r.head, "x-content-type-options: nosniff"));
    }
    struct reply r = get("/loki/api/v1/labels?start=1&end=1700001000000000000");
    CHECK_EQ(r.status, 400); /* too long a range */
    r = get("/loki/api/v1/labels?start=0&end=1000000");
    CHECK_REPLY(r, 200, "{\"status\":\"success\"}\n");
    buf_done(&b);
    buf_done(&bad_labels);
    buf_done(&cut);
    stop();
}

/* ---- queries ---- */

static void fill(void)
{
    struct reply r = ask("POST", "/loki/api/v1/push", JSON,
                         SV("{\"streams\":[{\"stream\":{\"app\":\"web\",\"env\":\"dev\"},\"values\":["
                            "[\"1700000001000000000\",\"first status=200\",{\"user\":\"u1\"}],"
                            "[\"1700000002000000000\",\"second status=500\",{\"user\":\"u2\"}]]},"
                            "{\"stream\":{\"app\":\"db\"},\"values\":[[\"1700000003000000000\",\"third\"]]}]}"));
    CHECK_REPLY(r, 204, "");
}

TEST(log_queries)
{
    REQUIRE(start_default());
    fill();
    struct reply r = ask_range("%7Bapp%3D%22web%22%7D", "");
    CHECK_HAS(r, 200,
              "{\"status\":\"success\",\"data\":{\"resultType\":\"streams\",\"result\":["
              "{\"stream\":{\"app\":\"web\",\"detected_level\":\"unknown\",\"env\":\"dev\",\"service_name\":\"web\",\"user\":\"u1\"},"
              "\"values\":[[\"1700000001000000000\",\"first status=200\"]]},");
    CHECK(has_line(r.head, "content-type: application/json; charset=UTF-8"));
    CHECK(sv_ends(r.body, SV("}}\n")));
    CHECK_HAS(r, 200, "\"totalEntriesReturned\":2,");
    r = ask_range("%7Bapp%3D%22web%22%7D", "&limit=1&direction=FORWARD");
    CHECK_HAS(r, 200, "first");
    CHECK(sv_find(r.body, SV("second")) == SV_NPOS);
    r = ask("GET", "/loki/api/v1/query_range?query=%7Bapp%3D%22web%22%7D&start=1700000000&end=1700001000",
            "X-Loki-Response-Encoding-Flags: categorize-labels\r\n", SV_NULL);
    CHECK_HAS(r, 200,
              "\"encodingFlags\":[\"categorize-labels\"],\"result\":[{\"stream\":{\"app\":\"web\",\"env\":\"dev\",\"service_name\":\"web\"},"
              "\"values\":[[\"1700000002000000000\",\"second status=500\",{\"structuredMetadata\":{");
    r = ask("POST", "/loki/api/v1/query_range?start=1&end=2", FORM, SV("query=%7Bapp%3D%22db%22%7D&start=1700000000&end=1700001000"));
    CHECK_HAS(r, 200, "third");
    r = ask_range("%7Bapp%3D%22none%22%7D", "");
    CHECK_HAS(r, 200, "\"result\":[],\"stats\":{");
    stop();
}

TEST(metric_queries)
{
    REQUIRE(start_default());
    fill();
    struct reply r = ask_range("sum%20by%20(app)(count_over_time(%7Bapp%3D~%22.%2B%22%7D%5B1000s%5D))", "&step=1000");
    CHECK_HAS(r, 200, "\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"app\":\"db\"},\"values\":[[1700001000,\"1\"]]},"
                      "{\"metric\":{\"app\":\"web\"},\"values\":[[1700001000,\"2\"]]}],");
    r = get("/loki/api/v1/query?query=vector(1)%2Bvector(1)&direction=backward&time=4000000000");
    CHECK_HAS(r, 200, "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[4000000000,\"2\"]}],");
    r = get("/loki/api/v1/query?query=1%2B1&time=1700000000.5");
    CHECK_HAS(r, 200, "{\"resultType\":\"scalar\",\"result\":[1700000000.5,\"2\"],");
    stop();
}

TEST(queries_that_are_refused)
{
    defaults();
    t.store_cfg.limits.max_query_series = 1;
    REQUIRE(start());
    fill();
    static const struct {
        const char *target;
        const char *want;
    } cases[] = {
        {"/loki/api/v1/query_range", "parse error : syntax error: unexpected $end"},
        {"/loki/api/v1/query_range?query=%7B", "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }"},
        {"/loki/api/v1/query_range?query=%7Bapp%3D~%22.*%22%7D", "parse error : queries require at least one regexp or equality matcher"},
        {"/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D&limit=0", "limit must be a positive value"},
        {"/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D&limit=5001", "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)"},
        {"/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D&start=zzz", "could not parse 'start' parameter: strconv.ParseInt: parsing \"zzz\": invalid syntax"},
        {"/loki/api/v1/query?query=%7Bapp%3D%22x%22%7D", "log queries are not supported as an instant query type, please change your query to a range query type"},
        {"/loki/api/v1/query_range?query=count_over_time(%7Bapp%3D~%22.%2B%22%7D%5B1h%5D)&start=1700000000&end=1700001000", "maximum number of series (1) reached for a single query"},
        {"/loki/api/v1/labels?query=%7Bapp%3D%22x%22%7D%20%7C%3D%20%22y%22", "only label matchers are supported"},
        {"/loki/api/v1/labels?start=2&end=1", "this data is no longer available, it is past now - max_query_lookback (0s)"},
        {"/loki/api/v1/series?match[]=%7B", "parse error"},
        {"/loki/api/v1/index/stats", "parse error"},
        {"/loki/api/v1/query_range?query=%zz", "invalid URL escape"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reply r = get(cases[i].target);
        CHECK_HAS(r, 400, cases[i].want);
        CHECK(has_line(r.head, "content-type: text/plain; charset=utf-8"));
        CHECK(!sv_ends(r.body, SV("\n")));
    }
    CHECK_EQ(ask("DELETE", "/loki/api/v1/query_range", "", SV_NULL).status, 405);
    struct reply r = get("/loki/api/v1/nothing");
    CHECK_REPLY(r, 404, "404 page not found\n");
    stop();
}

TEST(a_query_that_takes_too_long)
{
    defaults();
    t.store_cfg.limits.query_timeout = 1;
    REQUIRE(start());
    fill();
    struct reply r = ask_range("%7Bapp%3D%22web%22%7D", "");
    CHECK_HAS(r, 504, "request timed out, decrease the duration of the request");
    stop();
}

TEST(a_query_that_needs_too_much_memory)
{
    defaults();
    t.cfg.max_query_memory = 2000;
    REQUIRE(start());
    fill();
    struct reply r = ask_range("%7Bapp%3D%22web%22%7D", "");
    CHECK_HAS(r, 400, "max_query_memory");
    stop();
}

TEST(labels_values_series_stats)
{
    REQUIRE(start_default());
    fill();
    struct reply r = get("/loki/api/v1/labels?start=1700000000&end=1700001000");
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[\"app\",\"env\",\"service_name\"]}\n");
    r = get("/loki/api/v1/label?start=1700000000&end=1700001000&query=%7Bapp%3D%22db%22%7D");
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[\"app\",\"service_name\"]}\n");
    r = get("/loki/api/v1/label/app/values?start=1700000000&end=1700001000");
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[\"db\",\"web\"]}\n");
    r = get("/loki/api/v1/label/app/values?start=1700000000&end=1700001000&query=%7Benv%3D%22dev%22%7D");
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[\"web\"]}\n");
    r = get("/loki/api/v1/label/none/values?start=1700000000&end=1700001000");
    CHECK_REPLY(r, 200, "{\"status\":\"success\"}\n");
    r = get("/loki/api/v1/series?start=1700000000&end=1700001000&match[]=%7Bapp%3D%22web%22%7D&match[]=%7Benv%3D%22dev%22%7D");
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[{\"app\":\"web\",\"env\":\"dev\",\"service_name\":\"web\"}]}\n");
    r = get("/loki/api/v1/series?start=1700000000&end=1700001000&match=%7Bapp%3D~%22.*%22%7D");
    CHECK_HAS(r, 200, "{\"app\":\"db\",\"service_name\":\"db\"}");
    CHECK_HAS(r, 200, "\"env\":\"dev\"");
    r = get("/loki/api/v1/series?start=1700000000&end=1700001000");
    CHECK_HAS(r, 200, "{\"app\":\"db\",\"service_name\":\"db\"}");
    r = get("/loki/api/v1/series?start=1700000000&end=1700001000&match=%7Bapp%3D%22none%22%7D");
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[]}\n");
    r = get("/loki/api/v1/index/stats?query=%7Bapp%3D%22web%22%7D&start=1700000000&end=1700001000");
    CHECK_HAS(r, 200, "{\"streams\":1,\"chunks\":");
    CHECK_HAS(r, 200, "\"entries\":2}\n");
    r = get("/loki/api/v1/format_query?query=%7B%20app%20%3D%20%22x%22%20%7D");
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":\"{app=\\\"x\\\"}\"}\n");
    r = get("/loki/api/v1/format_query?query=%7B");
    CHECK_HAS(r, 400, "{\"status\":\"invalid-query\",\"error\":\"parse error at line 1, col 2");
    stop();
}

/* ---- when there is too much to do ---- */

struct blocker {
    struct pool_task task;
    _Atomic bool started, go;
};
static void block(struct pool_task *task)
{
    struct blocker *b = CONTAINER_OF(task, struct blocker, task);
    b->started = true;
    while (!b->go)
        test_sleep_ms(1);
}

/* Keeps the one query worker busy until b->go. */
static void block_queries(struct blocker *b)
{
    *b = (struct blocker){.task = {.fn = block}};
    CHECK(pool_submit(t.api->queries, &b->task));
    CHECK_SOON(b->started, 5000);
}

static int64_t inflight(const char *route)
{
    return metric_value(metrics_get(t.metrics, METRIC_GAUGE, "loki_inflight_requests", "Current number of inflight requests.",
                                    (const char *[]){"route", route, NULL}));
}

/* Sends a query and does not wait. */
static int ask_later(void)
{
    static const char text[] = "GET /loki/api/v1/query?query=1%2B1 HTTP/1.1\r\nHost: t\r\n\r\n";
    int fd = dial(t.server);
    CHECK_EQ(send(fd, text, sizeof text - 1, MSG_NOSIGNAL), sizeof text - 1);
    return fd;
}

TEST(more_queries_than_may_wait)
{
    defaults();
    t.cfg.max_concurrent_queries = 1;
    REQUIRE(start());
    struct blocker b;
    block_queries(&b);
    int waiting = ask_later();
    CHECK_SOON(inflight("loki_api_v1_query") == 1, 5000);
    struct reply r = get("/loki/api/v1/query?query=1%2B1");
    CHECK_REPLY(r, 429, "too many outstanding requests (max_concurrent_queries)");
    CHECK(has_line(r.head, "retry-after: 1"));
    r = get("/loki/api/v1/format_query?query=1"); /* reading a query is work, too: not for the loop */
    CHECK_REPLY(r, 429, "too many outstanding requests (max_concurrent_queries)");
    r = ask("POST", "/loki/api/v1/push", JSON, SV(ONE_STREAM("web"))); /* pushes have their own workers */
    CHECK_REPLY(r, 204, "");
    b.go = true;
    char answer[400] = "";
    CHECK(recv(waiting, answer, sizeof answer - 1, 0) > 0);
    CHECK(strncmp(answer, "HTTP/1.1 200 ", 13) == 0);
    close(waiting);
    stop();
}

TEST(a_client_that_goes_away_while_its_query_waits)
{
    defaults();
    t.cfg.max_concurrent_queries = 1;
    REQUIRE(start());
    struct blocker b;
    block_queries(&b);
    int gone = ask_later();
    CHECK_SOON(inflight("loki_api_v1_query") == 1, 5000);
    close(gone);
    b.go = true;
    CHECK_SOON(inflight("loki_api_v1_query") == 0, 5000);
    CHECK_HAS(get("/loki/api/v1/query?query=1%2B1"), 200, "\"2\"]");
    stop();
}

TEST(closing_while_a_query_waits)
{
    defaults();
    t.cfg.max_concurrent_queries = 1;
    REQUIRE(start());
    struct blocker b;
    block_queries(&b);
    int fd = ask_later();
    CHECK_SOON(inflight("loki_api_v1_query") == 1, 5000);
    http_server_close(t.server, 0);
    t.server = NULL;
    b.go = true;
    stop();
    close(fd);
}

/* ---- tenants, operators, the page ---- */

TEST(tenants_see_their_own)
{
    defaults();
    t.cfg.auth_enabled = true;
    REQUIRE(start());
    struct reply r = ask("POST", "/loki/api/v1/push", JSON "X-Scope-OrgID: one\r\n", SV(ONE_STREAM("web")));
    CHECK_REPLY(r, 204, "");
    static const char target[] = "/loki/api/v1/label/service_name/values?start=1700000000&end=1700001000";
    r = ask("GET", target, "X-Scope-OrgID: one\r\n", SV_NULL);
    CHECK_HAS(r, 200, "\"web\"");
    r = ask("GET", target, "X-Scope-OrgID: two\r\n", SV_NULL);
    CHECK_REPLY(r, 200, "{\"status\":\"success\"}\n");
    r = get(target);
    CHECK_REPLY(r, 401, "no org id");
    r = ask("POST", "/otlp/v1/logs", PROTOBUF, SV_NULL);
    CHECK_REPLY(r, 401, "no org id");
    r = ask("GET", target, "X-Scope-OrgID: a|b\r\n", SV_NULL);
    CHECK_HAS(r, 400, "contains unsupported character '|'");
    r = ask("GET", target, "X-Scope-OrgID: ..\r\n", SV_NULL);
    CHECK_EQ(r.status, 400);
    char long_id[300];
    snprintf(long_id, sizeof long_id, "X-Scope-OrgID: %0151d\r\n", 1);
    r = ask("GET", target, long_id, SV_NULL);
    CHECK_HAS(r, 400, "tenant ID is too long: max 150 characters");
    r = get("/ready");
    CHECK_EQ(r.status, 200);
    stop();
}

TEST(for_operators)
{
    REQUIRE(start_default());
    fill();
    struct reply r = get("/ready");
    CHECK_REPLY(r, 200, "ready\n");
    r = ask("POST", "/flush", "", SV_NULL);
    CHECK_REPLY(r, 204, "");
    r = ask("POST", "/merge", "", SV_NULL);
    CHECK_REPLY(r, 202, "");
    r = ask_range("%7Bapp%3D%22web%22%7D", "");
    CHECK_HAS(r, 200, "first");
    r = get("/metrics");
    CHECK_HAS(r, 200, "weir_store_merge_asked ");
    CHECK_HAS(r, 200, "loki_request_duration_seconds_count{method=\"POST\",route=\"loki_api_v1_push\",status_code=\"204\",ws=\"false\"} 1\n");
    CHECK_HAS(r, 200, "loki_inflight_requests{route=\"loki_api_v1_query_range\"} 0\n");
    CHECK_HAS(r, 200, "loki_build_info{");
    r = get("/loki/api/v1/status/buildinfo");
    CHECK_HAS(r, 200, "{\"version\":\"3.");
    CHECK(has_line(r.head, "content-type: application/json"));
    r = get("/loki/api/v1/detected_fields?query=x");
    CHECK_REPLY(r, 404, "not supported yet: /loki/api/v1/detected_fields");
    stop();
}

TEST(the_page_and_the_api_on_one_port)
{
    REQUIRE(start_default());
    struct reply r = ask_at(t.page, "GET", "/", "", SV_NULL);
    CHECK_HAS(r, 200, "<!doctype html>");
    CHECK(has_line(r.head, "x-content-type-options: nosniff"));
    CHECK(sv_find(r.head, SV("content-security-policy: default-src 'none'; ")) != SV_NPOS);
    CHECK(sv_find(r.head, SV("content-encoding")) == SV_NPOS);
    size_t at = sv_find(r.head, SV("\r\netag: "));
    REQUIRE(at != SV_NPOS);
    char headers[200];
    sv rest = sv_from(r.head, at + 8), etag = sv_cut(&rest, '\r');
    snprintf(headers, sizeof headers, "If-None-Match: " SV_FMT "\r\n", SV_ARG(etag));
    r = ask_at(t.page, "GET", "/", headers, SV_NULL);
    CHECK_REPLY(r, 304, "");
    CHECK(sv_find(r.head, SV("\r\netag: ")) != SV_NPOS);
    r = ask_at(t.page, "HEAD", "/", "", SV_NULL);
    CHECK_REPLY(r, 200, "");
    r = ask_at(t.page, "GET", "/ready", "", SV_NULL);
    CHECK_REPLY(r, 200, "ready\n");
    r = ask_at(t.page, "GET", "/nothing", "", SV_NULL);
    CHECK_REPLY(r, 404, "404 page not found\n");
    r = get("/"); /* the store's port has no page */
    CHECK_EQ(r.status, 404);
    stop();
}

/* ---- deletes ---- */

#define WEB "%7Bapp%3D%22web%22%7D"

static void push_line(const char *headers, const char *app, const char *line)
{
    struct buf body = {0};
    char all[200];
    snprintf(all, sizeof all, JSON "%s", headers);
    buf_fmt(&body, "{\"streams\":[{\"stream\":{\"app\":\"%s\"},\"values\":[[\"1700000000000000000\",\"%s\"]]}]}", app, line);
    struct reply r = ask("POST", "/loki/api/v1/push", all, buf_view(&body));
    CHECK_REPLY(r, 204, "");
    buf_done(&body);
}

TEST(deletes_are_asked_for_listed_and_cancelled)
{
    REQUIRE(start_default());
    push_line("", "web", "keep");
    push_line("", "web", "drop me");
    struct reply r = get("/loki/api/v1/delete");
    CHECK_REPLY(r, 200, "[]\n");
    r = ask("POST", "/loki/api/v1/delete?query=" WEB "%7C%3D%22drop%22&start=1699999999&end=2023-11-14T22:13:21.5Z", "", SV_NULL);
    CHECK_REPLY(r, 204, "");
    r = ask_range(WEB, "");
    CHECK(sv_find(r.body, SV("keep")) != SV_NPOS && sv_find(r.body, SV("drop me")) == SV_NPOS);
    r = get("/loki/api/v1/delete");
    CHECK_HAS(r, 200, "[{\"request_id\":\"00000001\",\"start_time\":1699999999,\"end_time\":1700000001.5,"
                      "\"query\":\"{app=\\\"web\\\"}|=\\\"drop\\\"\",\"status\":\"received\",\"created_at\":");
    CHECK(has_line(r.head, "content-type: application/json"));
    r = ask("DELETE", "/loki/api/v1/delete?request_id=00000002", "", SV_NULL);
    CHECK_REPLY(r, 404, "could not find delete request with given id\n");
    r = ask("DELETE", "/loki/api/v1/delete", "", SV_NULL);
    CHECK_REPLY(r, 404, "could not find delete request with given id\n");
    r = ask("DELETE", "/loki/api/v1/delete?request_id=00000001", "", SV_NULL);
    CHECK_REPLY(r, 204, "");
    r = ask_range(WEB, "");
    CHECK_HAS(r, 200, "drop me");
    r = ask("PUT", "/loki/api/v1/delete?query=" WEB "&start=1699999999", "", SV_NULL); /* till now */
    CHECK_REPLY(r, 204, "");
    CHECK_EQ(entries_of("web"), 0);
    r = ask("POST", "/loki/api/v1/delete", FORM, SV("query=%7Bapp%3D~%22.%2B%22%7D&start=1699999999&max_interval=1h"));
    CHECK_REPLY(r, 204, "");
    r = get("/metrics");
    CHECK_HAS(r, 200, "loki_compactor_pending_delete_requests_count 2\n");
    CHECK_HAS(r, 200, "loki_compactor_delete_requests_received_total{user=\"fake\"} 3\n");
    stop();
}

TEST(deletes_that_are_refused)
{
    defaults();
    t.store_cfg.max_delete_requests = 1;
    REQUIRE(start());
    static const struct {
        const char *params, *want;
    } cases[] = {
        {"", "query not set\n"},
        {"?query=" WEB, "start time not set\n"},
        {"?query=" WEB "&start=yesterday", "invalid start time: require unix seconds or RFC3339 format\n"},
        {"?query=" WEB "&start=1700000000000000000", "invalid start time: require unix seconds or RFC3339 format\n"},
        {"?query=" WEB "&start=1700000000&end=x", "invalid end time: require unix seconds or RFC3339 format\n"},
        {"?query=" WEB "&start=1700000000&end=9999999999", "deletes in the future are not allowed\n"},
        {"?query=" WEB "&start=1700000001&end=1700000000", "start time can't be greater than end time\n"},
        {"?query=" WEB "&start=1700000000&max_interval=1x", "invalid max_interval: valid time units are 's', 'm', 'h'\n"},
        {"?query=" WEB "&start=1700000000&max_interval=25h", "max_interval can't be greater than 24h0m0s\n"},
        {"?query=" WEB "&start=1700000000&end=1700000060&max_interval=2m",
         "max_interval can't be greater than the interval to be deleted (1m0s)\n"},
        {"?query=%7B%7D&start=1700000000", "parse error : queries require at least one regexp or equality matcher"},
        {"?query=%7Ba&start=1700000000", "parse error at line 1"},
        {"?query=rate(" WEB "%5B1m%5D)&start=1700000000", "only log queries can be deleted"},
        {"?query=" WEB "%7Cjson&start=1700000000", "delete requests are a selector and line filters |=, !=, |~, !~, without '| json'"},
        {"?query=" WEB "%7C%3D%20ip(%2210.0.0.1%22)&start=1700000000", "without '|= ip("},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char target[300];
        snprintf(target, sizeof target, "/loki/api/v1/delete%s", cases[i].params);
        struct reply r = ask("POST", target, "", SV_NULL);
        CHECK_HAS(r, 400, cases[i].want);
    }
    struct reply r = get("/loki/api/v1/delete");
    CHECK_REPLY(r, 200, "[]\n");
    r = ask("POST", "/loki/api/v1/delete?query=" WEB "&start=1700000000", "", SV_NULL);
    CHECK_REPLY(r, 204, "");
    r = ask("POST", "/loki/api/v1/delete?query=" WEB "&start=1700000000", "", SV_NULL);
    CHECK_HAS(r, 400, "max_delete_requests");
    io_faults_set(&(struct io_fault){.op = IO_SYNC, .match = "MANIFEST", .sys = EIO, .times = 1}, 1);
    r = ask("DELETE", "/loki/api/v1/delete?request_id=00000001", "", SV_NULL);
    CHECK_HAS(r, 500, "Input/output error");
    io_faults_set(NULL, 0);
    r = ask("DELETE", "/loki/api/v1/delete?request_id=00000001", "", SV_NULL);
    CHECK_REPLY(r, 204, "");
    stop();
}

/* ---- limits and tenants ---- */

static void overrides(const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/limits.yaml", test_dir());
    FILE *f = fopen(path, "w");
    REQUIRE(f != NULL);
    fputs(text, f);
    fclose(f);
    free(t.store_cfg.overrides.per_tenant_override_config);
    t.store_cfg.overrides.per_tenant_override_config = sv_dup(sv_of(path));
}

#define AS(tenant) "X-Scope-OrgID: " tenant "\r\n"

static struct reply ask_as(const char *tenant, const char *target)
{
    char headers[1000];
    snprintf(headers, sizeof headers, "X-Scope-OrgID: %s\r\n", tenant);
    return ask("GET", target, headers, SV_NULL);
}

TEST(query_limits_are_the_tenants)
{
    defaults();
    t.cfg.auth_enabled = true;
    overrides("overrides:\n"
              "  small:\n"
              "    max_entries_limit_per_query: 5\n"
              "    max_query_series: 1\n"
              "    max_query_length: 1h\n"
              "    max_query_range: 5m\n"
              "    max_streams_matchers_per_query: 1\n"
              "  recent: {max_query_lookback: 1d}\n"
              "  slow: {query_timeout: 1ns}\n");
    REQUIRE(start());
    push_line(AS("small"), "web", "a");
    push_line(AS("small"), "db", "b");
    push_line(AS("big"), "web", "a");
    push_line(AS("big"), "db", "b");
    push_line(AS("slow"), "web", "a");
    static const struct {
        const char *target, *want;
    } cases[] = {
        {"/loki/api/v1/query_range?query=" WEB "&start=1700000000&end=1700001000&limit=6",
         "max entries limit per query exceeded, limit > max_entries_limit_per_query (6 > 5)"},
        {"/loki/api/v1/query?query=count_over_time(%7Bapp%3D~%22.%2B%22%7D%5B1m%5D)&time=1700000010",
         "maximum number of series (1) reached for a single query"},
        {"/loki/api/v1/query_range?query=" WEB "&start=1700000000&end=1700004000",
         "the query time range exceeds the limit (query length: 1h6m40s, limit: 1h)"},
        {"/loki/api/v1/labels?start=1700000000&end=1700004000", "the query time range exceeds the limit"},
        {"/loki/api/v1/query?query=count_over_time(" WEB "%5B6m%5D)%2B1&time=1700000010",
         "[interval] value exceeds limit: [6m] > [5m]"},
        {"/loki/api/v1/query_range?query=%7Bapp%3D%22web%22%2Cx%3D%22%22%7D&start=1700000000&end=1700001000",
         "max streams matchers per query exceeded, matchers-count > limit (2 > 1)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reply r = ask_as("small", cases[i].target);
        CHECK_HAS(r, 400, cases[i].want);
        r = ask_as("big", cases[i].target);
        CHECK_EQ(r.status, 200);
    }
    struct reply r = ask_as("recent", "/loki/api/v1/query_range?query=" WEB "&start=1700000000&end=1700001000");
    CHECK_HAS(r, 400, "this data is no longer available, it is past now - max_query_lookback (1d)");
    r = ask_as("recent", "/loki/api/v1/series?start=1700000000&end=1700001000");
    CHECK_HAS(r, 400, "max_query_lookback (1d)");
    r = ask_as("recent", "/loki/api/v1/query?query=count_over_time(" WEB "%5B5m%5D)&time=1700000010");
    CHECK_HAS(r, 400, "max_query_lookback (1d)");
    r = ask_as("recent", "/loki/api/v1/labels?since=700h"); /* moved up to a day ago */
    CHECK_EQ(r.status, 200);
    r = ask_as("slow", "/loki/api/v1/query?query=count_over_time(" WEB "%5B5m%5D)&time=1700000010");
    CHECK_EQ(r.status, 504);
    r = ask_as("small", "/config/tenant/v1/limits");
    CHECK_HAS(r, 200, "max_query_series: 1\n");
    CHECK_HAS(r, 200, "deletion_mode: filter-and-delete\n");
    r = ask_as("big", "/config/tenant/v1/limits");
    CHECK_HAS(r, 200, "max_query_series: 500\n");
    stop();
}

TEST(tenants_see_and_delete_their_own)
{
    defaults();
    t.cfg.auth_enabled = true;
    overrides("overrides:\n  hide: {deletion_mode: filter-only}\n  no: {deletion_mode: disabled}\n");
    REQUIRE(start());
    struct buf otlp = {0};
    otlp_record(&otlp, "api", 1700000000 * NS_PER_S, SV("theirs over OTLP"));
    static const char *const tenants[] = {"a", "b", "hide", "no"};
    for (size_t i = 0; i < ARRAY_LEN(tenants); i++) {
        char headers[100], app[20];
        snprintf(headers, sizeof headers, "X-Scope-OrgID: %s\r\n", tenants[i]);
        snprintf(app, sizeof app, "app-%s", tenants[i]);
        push_line(headers, app, "line");
        snprintf(headers, sizeof headers, PROTOBUF "X-Scope-OrgID: %s\r\n", tenants[i]);
        if (i == 1) {
            struct reply r = ask("POST", "/otlp/v1/logs", headers, buf_view(&otlp));
            CHECK_REPLY(r, 204, "");
        }
    }
    buf_done(&otlp);
#define RANGE "start=1700000000&end=1700001000"
#define ANY "%7Bservice_name%3D~%22.%2B%22%7D"
    struct reply r = ask_as("a", "/loki/api/v1/label/service_name/values?" RANGE);
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[\"app-a\"]}\n");
    r = ask_as("b", "/loki/api/v1/label/service_name/values?" RANGE);
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[\"api\",\"app-b\"]}\n");
    r = ask_as("a", "/loki/api/v1/series?" RANGE);
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[{\"app\":\"app-a\",\"service_name\":\"app-a\"}]}\n");
    r = ask_as("a", "/loki/api/v1/index/stats?query=" ANY "&" RANGE);
    CHECK_HAS(r, 200, "{\"streams\":1,");
    r = ask_as("a", "/loki/api/v1/query_range?query=" ANY "&" RANGE);
    CHECK(sv_find(r.body, SV("app-a")) != SV_NPOS && sv_find(r.body, SV("app-b")) == SV_NPOS);
    r = ask("GET", "/loki/api/v1/query_range?query=" ANY "&" RANGE, "", SV_NULL);
    CHECK_REPLY(r, 401, "no org id");
    r = ask("POST", "/loki/api/v1/delete?query=" ANY "&start=1699999999", "", SV_NULL);
    CHECK_REPLY(r, 401, "no org id");
    r = ask("POST", "/loki/api/v1/delete?query=" ANY "&start=1699999999", AS("a"), SV_NULL);
    CHECK_REPLY(r, 204, "");
    r = ask("POST", "/loki/api/v1/delete?query=" ANY "&start=1699999999", AS("hide"), SV_NULL);
    CHECK_REPLY(r, 204, "");
    r = ask("POST", "/loki/api/v1/delete?query=" ANY "&start=1699999999", AS("no"), SV_NULL);
    CHECK_REPLY(r, 403, "deletion is not available for this tenant\n");
    r = ask_as("a", "/loki/api/v1/index/stats?query=" ANY "&" RANGE);
    CHECK_HAS(r, 200, "{\"streams\":0,");
    r = ask_as("a", "/loki/api/v1/series?" RANGE);
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[]}\n");
    r = ask_as("b", "/loki/api/v1/index/stats?query=" ANY "&" RANGE);
    CHECK_HAS(r, 200, "{\"streams\":2,");
    r = ask_as("no", "/loki/api/v1/index/stats?query=" ANY "&" RANGE);
    CHECK_HAS(r, 200, "{\"streams\":1,");
    r = ask_as("b", "/loki/api/v1/delete");
    CHECK_REPLY(r, 200, "[]\n");
    r = ask("DELETE", "/loki/api/v1/delete?request_id=00000001", AS("b"), SV_NULL);
    CHECK_EQ(r.status, 404);
    r = ask("DELETE", "/loki/api/v1/delete?request_id=00000001", AS("a"), SV_NULL);
    CHECK_REPLY(r, 204, "");
    r = ask_as("a", "/loki/api/v1/index/stats?query=" ANY "&" RANGE);
    CHECK_HAS(r, 200, "{\"streams\":1,");
    stop();
}

TEST(rates_are_answered_with_429)
{
    defaults();
    t.store_cfg.limits.ingestion_rate_mb = 10.0 / 1048576;
    REQUIRE(start());
    struct reply r = ask("POST", "/loki/api/v1/push", JSON,
                         SV("{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1700000000000000000\",\"a line of more than fifteen\"]]}]}"));
    CHECK_HAS(r, 429, "Ingestion rate limit exceeded for user fake (limit: 10 bytes/sec) while attempting to ingest '1' lines totaling '27' bytes");
    CHECK(has_line(r.head, "retry-after: 1"));
    struct buf b = {0};
    otlp_record(&b, "rate", 1700000000 * NS_PER_S, SV("a line of more than fifteen"));
    r = ask("POST", "/otlp/v1/logs", PROTOBUF, buf_view(&b));
    CHECK_HAS(r, 429, "Ingestion rate limit exceeded");
    buf_done(&b);
    CHECK_EQ(entries_of("rate"), 0);
    stop();
}

TEST(queries_over_several_tenants)
{
    defaults();
    t.cfg.auth_enabled = t.cfg.multi_tenant_queries_enabled = true;
    overrides("overrides:\n  b: {max_entries_limit_per_query: 50}\n  c: {max_entries_limit_per_query: 70}\n");
    REQUIRE(start());
    push_line(AS("a"), "web", "from a");
    push_line(AS("b"), "web", "from b");
    push_line(AS("c"), "db", "from c");
    struct buf odd = {0};
    buf_sv(&odd, SV("{\"streams\":[{\"stream\":{\"app\":\"odd\",\"__tenant_id__\":\"x\"},\"values\":[[\"1700000000000000000\",\"odd\"]]}]}"));
    struct reply r = ask("POST", "/loki/api/v1/push", JSON AS("c"), buf_view(&odd));
    CHECK_REPLY(r, 204, "");
    buf_done(&odd);
    r = ask_as("b|a|b", "/loki/api/v1/series?" RANGE);
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[{\"__tenant_id__\":\"a\",\"app\":\"web\",\"service_name\":\"web\"},"
                        "{\"__tenant_id__\":\"b\",\"app\":\"web\",\"service_name\":\"web\"}]}\n");
    r = ask_as("a|b|c|nobody", "/loki/api/v1/label/__tenant_id__/values?" RANGE);
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[\"a\",\"b\",\"c\"]}\n");
    r = ask_as("a|c", "/loki/api/v1/labels?" RANGE);
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[\"__tenant_id__\",\"app\",\"original___tenant_id__\",\"service_name\"]}\n");
    r = ask_as("a|b", "/loki/api/v1/query_range?query=" WEB "&direction=forward&limit=50&" RANGE);
    CHECK_HAS(r, 200, "\"__tenant_id__\":\"a\"");
    CHECK_HAS(r, 200, "from a");
    CHECK_HAS(r, 200, "from b");
    r = ask_as("a|b|c", "/loki/api/v1/query_range?query=%7B__tenant_id__%3D~%22b%7Cc%22%7D%7C%3D%22from%22&limit=50&" RANGE);
    CHECK(sv_find(r.body, SV("from a")) == SV_NPOS && sv_find(r.body, SV("from b")) != SV_NPOS && sv_find(r.body, SV("from c")) != SV_NPOS);
    r = ask_as("a|b|c", "/loki/api/v1/query?query=sum%20by(__tenant_id__)(count_over_time(%7Bapp%3D~%22.%2B%22%7D%5B1m%5D))&time=1700000010");
    CHECK_HAS(r, 200, "{\"metric\":{\"__tenant_id__\":\"c\"},\"value\":[1700000010,\"2\"]}");
    r = ask_as("c|b|a", "/loki/api/v1/query_range?query=" WEB "&limit=51&" RANGE); /* the strictest limit counts */
    CHECK_HAS(r, 400, "(51 > 50)");
    r = ask("POST", "/loki/api/v1/delete?query=" WEB "&start=1699999999", AS("b"), SV_NULL);
    CHECK_REPLY(r, 204, "");
    r = ask_as("a|b", "/loki/api/v1/index/stats?query=" ANY "&" RANGE);
    CHECK_HAS(r, 200, "{\"streams\":1,");
    r = ask_as("a|a", "/loki/api/v1/series?" RANGE); /* one */
    CHECK_REPLY(r, 200, "{\"status\":\"success\",\"data\":[{\"app\":\"web\",\"service_name\":\"web\"}]}\n");
    static const struct {
        const char *method, *target, *headers, *want;
    } refused[] = {
        {"POST", "/loki/api/v1/push", JSON AS("a|b"), "multiple org IDs present"},
        {"POST", "/loki/api/v1/delete?query=" WEB "&start=1699999999", AS("a|b"), "multiple org IDs present"},
        {"GET", "/loki/api/v1/series", AS("a|"), "no org id"},
        {"GET", "/loki/api/v1/series", AS("a|b/c"), "tenant ID 'b/c' contains unsupported character '/'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        r = ask(refused[i].method, refused[i].target, refused[i].headers, SV("{}"));
        CHECK_HAS(r, i == 2 ? 401 : 400, refused[i].want);
    }
    char many[800] = "t0";
    for (size_t i = 1; i < 101; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "|t%zu", i);
    r = ask_as(many, "/loki/api/v1/series");
    CHECK_EQ(r.status, 400);
    stop();
    defaults();
    t.cfg.auth_enabled = true;
    REQUIRE(start());
    r = ask_as("a|b", "/loki/api/v1/series");
    CHECK_HAS(r, 400, "tenant ID 'a|b' contains unsupported character '|'");
    stop();
}

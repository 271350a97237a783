/* collector_test.c - a whole collector between a client and a store that misbehaves: what was acknowledged arrives. */
#include "collector/collector.h"
#include "base/compress.h"
#include "collector/test_util.h"
#include "net/client.h"
#include "net/server.h"
#include "otlp/json.h"
#include "otlp/request.h"
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a store ---- */

enum store_mode { STORE_OK, STORE_LATER, STORE_LATER_ASKS, STORE_HOLD, STORE_PARTIAL, STORE_TOO_LARGE, STORE_REFUSE,
                  STORE_TALKS, STORE_MUMBLES };
struct store {
    struct loop *loop;
    struct http_server *server;
    struct metrics *metrics;
    char address[64];
    struct lock mu;
    enum store_mode mode;            /* under mu, as the rest */
    unsigned left;                   /* answers in this mode; then STORE_OK */
    struct buf bodies;               /* of what was taken */
    size_t n_requests, n_records;
    char tenant[32], encoding[32], type[64], header[32];
    VEC(struct http_exchange *) held;
};

static void store_take(struct store *s, struct http_exchange *x)
{
    const struct http_request *r = http_request_of(x);
    enum otlp_encoding enc = OTLP_PROTOBUF;
    enum codec codec = CODEC_NONE;
    struct batch *b;
    struct err e = {0};
    snprintf(s->tenant, sizeof s->tenant, SV_FMT, SV_ARG(http_header(r, SV("x-scope-orgid"))));
    snprintf(s->encoding, sizeof s->encoding, SV_FMT, SV_ARG(http_header(r, SV("content-encoding"))));
    snprintf(s->type, sizeof s->type, SV_FMT, SV_ARG(http_header(r, SV("content-type"))));
    snprintf(s->header, sizeof s->header, SV_FMT, SV_ARG(http_header(r, SV("x-test"))));
    CHECK(sv_eq(r->path, SV("/otlp/v1/logs")));
    CHECK(otlp_encoding_of(sv_of(s->type), &enc) && codec_of_name(sv_of(s->encoding), &codec));
    if (!otlp_decode_request(enc, codec, r->body, 0, &(struct otlp_limits){0}, SV_NULL, 0, &b, &e)) {
        test_fail(__FILE__, __LINE__, "the store got: %s", e.msg);
        return;
    }
    put_bodies(b->bytes, &s->bodies);
    s->n_records += b->n_records;
    batch_unref(b);
}

static void on_store(void *ctx, struct http_exchange *x)
{
    struct store *s = ctx;
    enum store_mode mode;
    {
        LOCK_SCOPED(&s->mu);
        mode = s->mode;
        s->n_requests++;
        if (s->left && --s->left == 0)
            s->mode = STORE_OK;
        if (mode == STORE_OK || mode == STORE_PARTIAL)
            store_take(s, x);
        if (mode == STORE_HOLD) {
            struct http_exchange **slot = vec_push(&s->held);
            if (slot)
                *slot = x;
            return;
        }
    }
    struct buf body = {0};
    const struct http_header later[] = {{SV("content-type"), SV("text/plain")}, {SV("retry-after"), SV("0")}};
    const struct http_header proto[] = {{SV("content-type"), SV("application/x-protobuf")}};
    switch (mode) {
    case STORE_PARTIAL:
        otlp_put_response(&body, 1, SV("one was odd"));
        http_reply(x, 200, proto, 1, &body);
        break;
    case STORE_LATER_ASKS:
        http_reply(x, 429, later, 2, NULL);
        break;
    case STORE_LATER:
        http_reply_text(x, 503, SV("not now"));
        break;
    case STORE_TOO_LARGE:
        http_reply_text(x, 413, SV("too large"));
        break;
    case STORE_MUMBLES: { /* OK, with something that is no message */
        const struct http_header grpc[] = {{SV("content-type"), SV("application/grpc")}}, ok[] = {{SV("grpc-status"), SV("0")}};
        buf_fmt(&body, "hm");
        http_reply_trailers(x, 200, grpc, 1, &body, ok, 1);
        break;
    }
    case STORE_TALKS: /* more than any exporter takes in */
        for (unsigned i = 0; i < 5 << 14; i++)
            buf_fmt(&body, "%64s", "");
        http_reply(x, 200, proto, 1, &body);
        break;
    case STORE_REFUSE:
        otlp_put_status(&body, GRPC_INVALID_ARGUMENT, SV("timestamp too old"), -1);
        http_reply(x, 400, proto, 1, &body);
        break;
    default:
        http_reply(x, 204, NULL, 0, NULL); /* as Loki does */
    }
}

static bool store_listen(struct store *s)
{
    struct err e = {0};
    struct http_server_config sc = {.address = *s->address ? s->address : "127.0.0.1:0", .name = "store"};
    bool ok = http_server_open(&sc, &s->loop, 1, s->metrics, on_store, s, &s->server, &e);
    for (int i = 0; !ok && *s->address && i < 100; i++) { /* its port again, which a passing client may have for a moment */
        usleep(100000);
        ok = http_server_open(&sc, &s->loop, 1, s->metrics, on_store, s, &s->server, &e);
    }
    CHECK_OK(ok, &e);
    if (s->server)
        snprintf(s->address, sizeof s->address, "%s", http_server_address(s->server));
    return s->server;
}

static bool store_open(struct store *s)
{
    struct err e = {0};
    *s = (struct store){.metrics = metrics_new()};
    lock_init(&s->mu);
    CHECK_OK(loop_open("store", &s->loop, &e), &e);
    return s->loop && store_listen(s);
}

static void store_mode(struct store *s, enum store_mode mode, unsigned times)
{
    LOCK_SCOPED(&s->mu);
    s->mode = mode;
    s->left = times;
}

static size_t store_records(struct store *s)
{
    LOCK_SCOPED(&s->mu);
    return s->n_records;
}
static size_t store_requests(struct store *s)
{
    LOCK_SCOPED(&s->mu);
    return s->n_requests;
}

static bool store_has(struct store *s, const char *body)
{
    LOCK_SCOPED(&s->mu);
    return sv_find(buf_view(&s->bodies), sv_of(body)) != SV_NPOS;
}

static void store_hang_up(struct store *s)
{
    VEC(struct http_exchange *) held;
    {
        LOCK_SCOPED(&s->mu);
        held.at = s->held.at;
        held.n = s->held.n;
        s->held.at = NULL;
        s->held.n = s->held.cap = 0;
    }
    for (size_t i = 0; i < held.n; i++)
        http_reply_text(held.at[i], 503, SV("held"));
    free(held.at);
    http_server_close(s->server, 0);
    s->server = NULL;
}

static void store_close(struct store *s)
{
    store_hang_up(s);
    loop_close(s->loop);
    metrics_free(s->metrics);
    buf_done(&s->bodies);
    lock_done(&s->mu);
}

/* ---- a client ---- */

struct client {
    struct loop *loop;
    struct http_client *http, *grpc;
};
struct reply {
    struct lock mu;
    struct cond got;
    bool done;
    int status;
    char type[64], retry_after[16], allow[16];
    char body[32768];
    size_t body_n;
    int64_t retry_ms;
};

static bool client_open(struct client *c)
{
    struct err e = {0};
    *c = (struct client){0};
    CHECK_OK(loop_open("client", &c->loop, &e), &e);
    CHECK_OK(http_client_open(&(struct http_client_config){.name = "test"}, c->loop, &c->http, &e), &e);
    CHECK_OK(http_client_open(&(struct http_client_config){.name = "test", .http2_prior_knowledge = true}, c->loop, &c->grpc,
                              &e),
             &e);
    return c->http && c->grpc;
}

static void client_close(struct client *c)
{
    http_client_close(c->http);
    http_client_close(c->grpc);
    loop_close(c->loop);
}

static void reply_end(struct reply *r, int status, sv body)
{
    LOCK_SCOPED(&r->mu);
    r->status = status;
    r->body_n = MIN(body.n, sizeof r->body - 1);
    if (r->body_n)
        memcpy(r->body, body.p, r->body_n);
    r->body[r->body_n] = 0;
    r->done = true;
    cond_broadcast(&r->got);
}

static void reply_wait(struct reply *r)
{
    LOCK_SCOPED(&r->mu);
    while (!r->done)
        cond_wait(&r->got, &r->mu);
}

static void reply_init(struct reply *r)
{
    *r = (struct reply){0};
    lock_init(&r->mu);
    cond_init(&r->got);
}

static void http_done(void *ctx, const struct client_response *res)
{
    struct reply *r = ctx;
    snprintf(r->type, sizeof r->type, SV_FMT, SV_ARG(client_header(res, SV("content-type"))));
    snprintf(r->retry_after, sizeof r->retry_after, SV_FMT, SV_ARG(client_header(res, SV("retry-after"))));
    snprintf(r->allow, sizeof r->allow, SV_FMT, SV_ARG(client_header(res, SV("allow"))));
    reply_end(r, res->status, res->body);
}

static void grpc_done(void *ctx, const struct grpc_client_response *res)
{
    struct reply *r = ctx;
    r->retry_ms = res->retry_after_ms;
    reply_end(r, res->status, res->status ? res->message : res->body);
}

/* headers: pairs of name and value, NULL-terminated. */
static void http_call(struct client *c, const char *method, const char *address, const char *path, const char *const *headers,
                      sv body, struct reply *r)
{
    struct http_header hs[8];
    size_t n = 0;
    for (; headers && headers[2 * n]; n++)
        hs[n] = (struct http_header){sv_of(headers[2 * n]), sv_of(headers[2 * n + 1])};
    char url[200];
    snprintf(url, sizeof url, "http://%s%s", address, path);
    reply_init(r);
    struct client_request req = {.method = method, .url = url, .headers = hs, .n_headers = n, .body = body,
                                 .timeout_ms = 10000};
    http_client_send(c->http, &req, http_done, r);
    reply_wait(r);
}

/* Without waiting: reply_wait() does. */
static void post_later(struct client *c, const char *address, const char *type, const char *encoding, sv body, struct reply *r)
{
    char url[200];
    snprintf(url, sizeof url, "http://%s/v1/logs", address);
    reply_init(r);
    const struct http_header hs[] = {{SV("content-type"), sv_of(type)}, {SV("content-encoding"), sv_of(encoding)}};
    struct client_request req = {.method = "POST", .url = url, .headers = hs, .n_headers = ARRAY_LEN(hs), .body = body,
                                 .timeout_ms = 30000};
    http_client_send(c->http, &req, http_done, r);
}

static bool reply_came(struct reply *r)
{
    LOCK_SCOPED(&r->mu);
    return r->done;
}

static int post_records(struct client *c, const char *address, const char *prefix, unsigned from, unsigned n,
                        const char *tenant)
{
    SCOPED(buf_done) struct buf b = {0};
    struct reply r;
    put_request(&b, prefix, from, n);
    const char *headers[] = {"content-type", "application/x-protobuf", *tenant ? "x-scope-orgid" : NULL, tenant, NULL};
    http_call(c, "POST", address, "/v1/logs", headers, buf_view(&b), &r);
    return r.status;
}

static int grpc_export(struct client *c, const char *address, sv message, struct reply *r)
{
    char url[100];
    snprintf(url, sizeof url, "http://%s", address);
    reply_init(r);
    struct grpc_client_request req = {.url = url, .method = "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
                                      .message = message, .gzip = true, .timeout_ms = 10000};
    grpc_client_call(c->grpc, &req, grpc_done, r);
    reply_wait(r);
    return r->status;
}

/* ---- a collector ---- */

struct rig {
    struct collector_config *cfg;
    struct collector *c;
    const char *http, *grpc, *metrics;
};

#define FAST_RETRY "retry_on_failure: {initial_interval: 5ms, max_interval: 20ms}"

static bool rig_open(struct rig *g, const char *yaml)
{
    SCOPED(buf_done) struct buf problems = {0};
    struct err e = {0};
    *g = (struct rig){0};
    CHECK_OK(collector_config_parse(sv_of(yaml), "test.yaml", NULL, 0, &g->cfg, &problems, &problems, &e), &e);
    CHECK_SV(buf_view(&problems), SV(""));
    if (!g->cfg)
        return false;
    struct collector_options opt = {.data_dir = test_dir()};
    CHECK_OK(collector_open(g->cfg, &opt, &g->c, &e), &e);
    if (!g->c)
        return false;
    g->http = collector_address(g->c, "otlp", "http");
    g->grpc = collector_address(g->c, "otlp", "grpc");
    g->metrics = collector_address(g->c, "telemetry", "metrics");
    return g->http && g->grpc && g->metrics;
}

static void rig_close(struct rig *g)
{
    collector_close(g->c, 5000);
    collector_config_free(g->cfg);
    *g = (struct rig){0};
}

/* The usual chain; `exporter` more keys of it, starting with a comma. */
static const char *chain(const struct store *s, const char *exporter)
{
    static char yaml[2000];
    snprintf(yaml, sizeof yaml,
             "receivers: {otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}, http: {endpoint: 127.0.0.1:0}}}}\n"
             "processors: {batch: {timeout: 10ms}}\n"
             "exporters: {otlphttp/logs: {endpoint: \"http://%s/otlp\", " FAST_RETRY "%s}}\n"
             "service:\n"
             "  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]}}\n"
             "  pipelines: {logs: {receivers: [otlp], processors: [batch], exporters: [otlphttp/logs]}}\n",
             s->address, exporter);
    return yaml;
}

/* The value of one series of /metrics ("name{labels}"), -1 when it is not there. */
static int64_t scrape(struct client *c, struct rig *g, const char *series)
{
    struct reply r;
    int64_t v = -1;
    http_call(c, "GET", g->metrics, "/metrics", NULL, SV_NULL, &r);
    CHECK_EQ(r.status, 200);
    for (sv rest = {r.body, r.body_n}; rest.p;) {
        sv line = sv_cut(&rest, '\n');
        if (sv_starts(line, sv_of(series)) && !sv_to_i64(sv_trim(sv_from(line, strlen(series))), &v))
            v = -1;
    }
    return v;
}

TEST(records_go_through_over_http_and_grpc)
{
    struct store s;
    struct client c;
    struct rig g;
    struct reply r;
    REQUIRE(store_open(&s) && client_open(&c) && rig_open(&g, chain(&s, ", headers: {X-Test: yes}")));
    CHECK_EQ(post_records(&c, g.http, "http", 0, 10, ""), 200);
    SCOPED(buf_done) struct buf b = {0}, json = {0};
    put_request(&b, "grpc", 0, 10);
    CHECK_EQ(grpc_export(&c, g.grpc, buf_view(&b), &r), 0);
    CHECK_EQ(r.body_n, 0); /* full success: partial_success is not set */
    otlp_to_json(buf_view(&b), &json);
    http_call(&c, "POST", g.http, "/v1/logs", (const char *[]){"content-type", "application/json; charset=utf-8", NULL},
              buf_view(&json), &r);
    CHECK_EQ(r.status, 200);
    CHECK_STR(r.body, "{}");
    CHECK_STR(r.type, "application/json");
    CHECK_SOON(store_records(&s) == 30, 5000);
    CHECK(store_has(&s, "http-9") && store_has(&s, "grpc-0"));
    CHECK_STR(s.encoding, "gzip");
    CHECK_STR(s.type, "application/x-protobuf");
    CHECK_STR(s.header, "yes");
    CHECK_STR(s.tenant, "");
    CHECK_SOON(scrape(&c, &g, "otelcol_exporter_sent_log_records{exporter=\"otlphttp/logs\"}") == 30, 5000);
    CHECK_EQ(scrape(&c, &g, "otelcol_receiver_accepted_log_records{receiver=\"otlp\",transport=\"http\"}"), 20);
    CHECK_EQ(scrape(&c, &g, "otelcol_receiver_accepted_log_records{receiver=\"otlp\",transport=\"grpc\"}"), 10);
    CHECK_EQ(scrape(&c, &g, "otelcol_exporter_queue_log_records{exporter=\"otlphttp/logs\",data_type=\"logs\"}"), 0);
    CHECK_EQ(scrape(&c, &g, "otelcol_exporter_queue_capacity{exporter=\"otlphttp/logs\",data_type=\"logs\"}"), 1 << 30);
    CHECK(scrape(&c, &g, "otelcol_processor_batch_batch_send_size_count{processor=\"batch\"}") > 0);
    CHECK(scrape(&c, &g, "otelcol_process_memory_rss") > 0);
    rig_close(&g);
    client_close(&c);
    store_close(&s);
}

TEST(encodings_and_tenants_pass)
{
    static const enum codec codecs[] = {CODEC_GZIP, CODEC_ZSTD, CODEC_ZLIB, CODEC_SNAPPY, CODEC_LZ4};
    struct store s;
    struct client c;
    struct rig g;
    struct reply r;
    REQUIRE(store_open(&s) && client_open(&c) && rig_open(&g, chain(&s, ", encoding: json, compression: zstd")));
    SCOPED(buf_done) struct buf b = {0}, packed = {0};
    struct err e = {0};
    put_request(&b, "a", 0, 5);
    for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
        buf_reset(&packed);
        REQUIRE_OK(compress(codecs[i], 0, buf_view(&b), &packed, &e), &e);
        http_call(&c, "POST", g.http, "/v1/logs",
                  (const char *[]){"content-type", "application/x-protobuf", "content-encoding", codec_name(codecs[i]),
                                   "x-scope-orgid", "team-a", NULL},
                  buf_view(&packed), &r);
        CHECK_EQ(r.status, 200);
    }
    CHECK_SOON(store_records(&s) == 25, 5000);
    CHECK_STR(s.tenant, "team-a");
    CHECK_STR(s.encoding, "zstd");
    CHECK_STR(s.type, "application/json");
    rig_close(&g);
    client_close(&c);
    store_close(&s);
}

TEST(every_wrong_request_has_its_answer)
{
    struct store s;
    struct client c;
    struct rig g;
    struct reply r;
    REQUIRE(store_open(&s) && client_open(&c) && rig_open(&g, chain(&s, "")));
    static const struct {
        const char *method, *path, *type, *encoding, *tenant, *body;
        int status;
        const char *answer_type, *answer;
    } cases[] = {
        {"POST", "/v1/logz", "application/json", "", "", "{}", 404, "text/plain; charset=utf-8", "404 page not found"},
        {"PUT", "/v1/logs", "application/json", "", "", "{}", 405, "text/plain; charset=utf-8",
         "405 method not allowed, supported: [POST]"},
        {"POST", "/v1/logs", "application/protobuf", "", "", "x", 415, "text/plain; charset=utf-8",
         "415 unsupported media type, supported: [application/json, application/x-protobuf]"},
        {"POST", "/v1/logs", "application/json", "rar", "", "{}", 400, "application/json",
         "{\"code\":3,\"message\":\"unsupported Content-Encoding: rar\"}"},
        {"POST", "/v1/logs", "application/json", "gzip", "", "{}", 400, "application/json",
         "{\"code\":3,\"message\":\"gzip: invalid header\"}"},
        {"POST", "/v1/logs", "application/json", "", "", "{]", 400, "application/json", "{\"code\":3,"},
        {"POST", "/v1/logs", "application/json", "", "a/b", "{}", 400, "application/json", "{\"code\":3,"},
        {"POST", "/v1/logs", "application/x-protobuf", "", "", "garbage", 400, "application/x-protobuf", "\x08\x03\x12"},
        {"POST", "/v1/logs", "application/json", "", "", "{}", 200, "application/json", "{}"},
        {"POST", "/v1/logs", "application/json", "", "", "{\"resourceLogs\":[{}]}", 200, "application/json", "{}"},
        {"POST", "/v1/logs", "application/x-protobuf", "", "", "", 200, "application/x-protobuf", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int before = test_failures;
        http_call(&c, cases[i].method, g.http, cases[i].path,
                  (const char *[]){"content-type", cases[i].type, "content-encoding", cases[i].encoding, "x-scope-orgid",
                                   cases[i].tenant, NULL},
                  sv_of(cases[i].body), &r);
        CHECK_EQ(r.status, cases[i].status);
        CHECK_STR(r.type, cases[i].answer_type);
        CHECK(sv_starts((sv){r.body, r.body_n}, sv_of(cases[i].answer)));
        if (cases[i].status == 405)
            CHECK_STR(r.allow, "POST");
        if (test_failures > before)
            printf("#   in case %zu: %s\n", i, r.body);
    }
    CHECK_EQ(grpc_export(&c, g.grpc, SV("garbage"), &r), GRPC_INTERNAL);
    CHECK_EQ(grpc_export(&c, g.grpc, SV(""), &r), 0);
    CHECK_EQ(store_requests(&s), 0); /* nothing of this went on */
    rig_close(&g);
    client_close(&c);
    store_close(&s);
}

TEST(a_body_over_the_limit_is_refused_before_and_after_decompression)
{
    struct store s;
    struct client c;
    struct rig g;
    struct reply r;
    char yaml[1000];
    REQUIRE(store_open(&s) && client_open(&c));
    snprintf(yaml, sizeof yaml,
             "receivers: {otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0, max_recv_msg_size_mib: 1}, http: {endpoint: "
             "127.0.0.1:0, max_request_body_size: 20000}}}}\n"
             "exporters: {otlphttp: {endpoint: \"http://%s/otlp\"}}\n"
             "service: {telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {port: 0}}}}]}}, pipelines: {logs: "
             "{receivers: [otlp], exporters: [otlphttp]}}}\n",
             s.address);
    REQUIRE(rig_open(&g, yaml));
    SCOPED(buf_done) struct buf b = {0}, packed = {0};
    struct err e = {0};
    put_request(&b, "a", 0, 60000);
    http_call(&c, "POST", g.http, "/v1/logs", (const char *[]){"content-type", "application/x-protobuf", NULL}, buf_view(&b),
              &r);
    CHECK_EQ(r.status, 413);
    buf_reset(&b);
    put_request(&b, "a", 0, 1000);
    CHECK(b.n > 20000);
    REQUIRE_OK(compress(CODEC_GZIP, 0, buf_view(&b), &packed, &e), &e);
    http_call(&c, "POST", g.http, "/v1/logs",
              (const char *[]){"content-type", "application/x-protobuf", "content-encoding", "gzip", NULL},
              buf_view(&packed), &r);
    CHECK_EQ(r.status, 413);
    buf_reset(&b);
    put_request(&b, "a", 0, 60000);
    CHECK_EQ(grpc_export(&c, g.grpc, buf_view(&b), &r), GRPC_RESOURCE_EXHAUSTED);
    rig_close(&g);
    client_close(&c);
    store_close(&s);
}

TEST(a_request_of_too_many_records_is_refused_for_good)
{
    struct store s;
    struct client c;
    struct rig g;
    struct reply r;
    char yaml[1000];
    REQUIRE(store_open(&s) && client_open(&c));
    snprintf(yaml, sizeof yaml,
             "receivers: {otlp: {max_records: 20, protocols: {grpc: {endpoint: 127.0.0.1:0}, http: {endpoint: 127.0.0.1:0}}}}\n"
             "exporters: {otlphttp: {endpoint: \"http://%s/otlp\"}}\n"
             "service: {telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {port: 0}}}}]}}, pipelines: {logs: "
             "{receivers: [otlp], exporters: [otlphttp]}}}\n",
             s.address);
    REQUIRE(rig_open(&g, yaml));
    SCOPED(buf_done) struct buf b = {0}, json = {0};
    put_request(&b, "a", 0, 21);
    CHECK_EQ(post_records(&c, g.http, "a", 0, 21, ""), 413);
    otlp_to_json(buf_view(&b), &json);
    http_call(&c, "POST", g.http, "/v1/logs", (const char *[]){"content-type", "application/json", NULL}, buf_view(&json), &r);
    CHECK_EQ(r.status, 413);
    CHECK(sv_find(sv_of(r.body), SV("max_records")) != SV_NPOS);
    CHECK_EQ(grpc_export(&c, g.grpc, buf_view(&b), &r), GRPC_RESOURCE_EXHAUSTED);
    CHECK_EQ(r.retry_ms, -1);
    CHECK_EQ(post_records(&c, g.http, "a", 0, 20, ""), 200);
    CHECK_SOON(store_records(&s) == 20, 10000);
    rig_close(&g);
    client_close(&c);
    store_close(&s);
}

/* An exporter that keeps whoever pushes until it is opened. */
struct gate {
    struct lock mu;
    struct cond changed;
    bool is_open; /* under mu */
    _Atomic unsigned entered, records;
};
static void gate_push(void *self, struct batch *b, push_done_fn *done, void *ctx)
{
    struct gate *ga = self;
    atomic_fetch_add(&ga->entered, 1);
    {
        LOCK_SCOPED(&ga->mu);
        while (!ga->is_open)
            cond_wait(&ga->changed, &ga->mu);
    }
    atomic_fetch_add(&ga->records, b->n_records);
    done(ctx, &(struct push_result){.code = PUSH_SENT, .retry_after_ms = -1});
}
static void gate_open(struct gate *ga)
{
    LOCK_SCOPED(&ga->mu);
    ga->is_open = true;
    cond_broadcast(&ga->changed);
}

TEST(decoding_holds_up_nobody_else)
{
    struct gate ga = {0};
    struct client c;
    struct reply zipped, one, two, r;
    lock_init(&ga.mu);
    cond_init(&ga.changed);
    struct collector_sink sink = {"gate", {gate_push, &ga}};
    struct collector_options opt = {.data_dir = test_dir(), .n_loops = 1, .metrics = metrics_new()};
    struct collector_config *cfg = NULL;
    struct collector *cl = NULL;
    SCOPED(buf_done) struct buf problems = {0}, small = {0}, large = {0}, json = {0}, gzip = {0};
    struct err e = {0};
    REQUIRE(client_open(&c));
    REQUIRE_OK(collector_config_parse(SV("receivers: {otlp: {decoding_queue_size: 1, protocols: {grpc: {endpoint: "
                                         "127.0.0.1:0}, http: {endpoint: 127.0.0.1:0}}}}\n"
                                         "exporters: {gate: }\n"
                                         "service: {telemetry: {metrics: {level: none}}, pipelines: {logs: {receivers: "
                                         "[otlp], exporters: [gate]}}}\n"),
                                      "test.yaml", &sink, 1, &cfg, &problems, &problems, &e),
               &e);
    REQUIRE_OK(collector_open(cfg, &opt, &cl, &e), &e);
    const char *http = collector_address(cl, "otlp", "http"), *grpc = collector_address(cl, "otlp", "grpc");
    put_request(&small, "a", 0, 1);
    put_request(&large, "b", 0, 4000);
    otlp_to_json(buf_view(&small), &json);
    REQUIRE_OK(compress(CODEC_GZIP, 0, buf_view(&small), &gzip, &e), &e);

    post_later(&c, http, "application/x-protobuf", "gzip", buf_view(&gzip), &zipped);
    CHECK_SOON(ga.entered == 1, 10000); /* the only thread for decoding is busy now */
    post_later(&c, http, "application/json", "identity", buf_view(&json), &one);
    post_later(&c, http, "application/json", "identity", buf_view(&json), &two);
    CHECK_SOON(reply_came(&one) || reply_came(&two), 10000); /* one waits, the other finds no place */
    struct reply *busy = reply_came(&one) ? &one : &two, *waits = busy == &one ? &two : &one;
    CHECK_EQ(busy->status, 503);
    CHECK_STR(busy->retry_after, "1");
    CHECK(sv_find(sv_of(busy->body), SV("decoding_queue_size")) != SV_NPOS);
    CHECK_EQ(grpc_export(&c, grpc, buf_view(&large), &r), GRPC_UNAVAILABLE);
    CHECK_EQ(r.retry_ms, 1000);
    http_call(&c, "GET", http, "/v1/logs", NULL, SV_NULL, &r); /* the loop has time for others */
    CHECK_EQ(r.status, 405);
    CHECK(!reply_came(waits) && !reply_came(&zipped));
    const char *labels[] = {"receiver", "otlp", "transport", "http", NULL};
    CHECK_EQ(metric_value(metrics_get(opt.metrics, METRIC_COUNTER, "otelcol_receiver_busy_requests", "", labels)), 1);

    gate_open(&ga);
    reply_wait(&zipped);
    reply_wait(waits);
    CHECK_EQ(zipped.status, 200);
    CHECK_EQ(waits->status, 200);
    CHECK_EQ(grpc_export(&c, grpc, buf_view(&large), &r), GRPC_OK);
    CHECK_EQ(ga.records, 4002);
    collector_close(cl, 5000);
    collector_config_free(cfg);
    client_close(&c);
    metrics_free(opt.metrics);
    cond_done(&ga.changed);
    lock_done(&ga.mu);
}

TEST(a_store_that_misbehaves_loses_nothing)
{
    struct store s;
    struct client c;
    struct rig g;
    REQUIRE(store_open(&s) && client_open(&c));
    REQUIRE(rig_open(&g, chain(&s, ", timeout: 100ms")));
    unsigned sent = 0;
    static const struct {
        enum store_mode mode;
        unsigned times;
    } troubles[] = {{STORE_LATER, 3}, {STORE_LATER_ASKS, 2}, {STORE_HOLD, 2}, {STORE_TOO_LARGE, 2}};
    for (size_t i = 0; i < ARRAY_LEN(troubles); i++) {
        store_mode(&s, troubles[i].mode, troubles[i].times);
        CHECK_EQ(post_records(&c, g.http, "a", sent, 10, ""), 200);
        sent += 10;
        CHECK_SOON(store_records(&s) == sent, 10000);
    }
    store_mode(&s, STORE_PARTIAL, 1);
    CHECK_EQ(post_records(&c, g.http, "a", sent, 10, ""), 200);
    sent += 10;
    CHECK_SOON(store_records(&s) == sent, 10000);
    for (unsigned i = 0; i < sent; i++) {
        char body[20];
        snprintf(body, sizeof body, "a-%u ", i);
        CHECK(store_has(&s, body));
    }
    rig_close(&g);
    client_close(&c);
    store_close(&s);
}

/* A collector with one exporter of `type` to the store gets ten records; then `series` of it is ten, and it asked once. */
static void check_asked_once(enum store_mode mode, const char *type, const char *endpoint, const char *series)
{
    struct store s;
    struct client c;
    struct rig g;
    char exporter[200], yaml[2000], name[200];
    REQUIRE(store_open(&s) && client_open(&c));
    store_mode(&s, mode, 0);
    snprintf(exporter, sizeof exporter, endpoint, s.address);
    snprintf(yaml, sizeof yaml,
             "receivers: {otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}, http: {endpoint: 127.0.0.1:0}}}}\n"
             "exporters: {%s: {%s, timeout: 10s, " FAST_RETRY "}}\n"
             "service:\n"
             "  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]}}\n"
             "  pipelines: {logs: {receivers: [otlp], exporters: [%s]}}\n",
             type, exporter, type);
    REQUIRE(rig_open(&g, yaml));
    CHECK_EQ(post_records(&c, g.http, "a", 0, 10, ""), 200);
    snprintf(name, sizeof name, "%s{exporter=\"%s\"}", series, type);
    CHECK_SOON(scrape(&c, &g, name) == 10, 10000);
    CHECK_EQ(store_requests(&s), 1);
    rig_close(&g);
    client_close(&c);
    store_close(&s);
}
#define TO_HTTP "endpoint: \"http://%s/otlp\""
#define TO_GRPC "endpoint: \"http://%s\", tls: {insecure: true}"

TEST(a_store_that_answers_too_much_is_asked_once)
{
    /* it may have taken them: halves would be taken again */
    check_asked_once(STORE_TALKS, "otlphttp/logs", TO_HTTP, "otelcol_exporter_send_failed_log_records");
    check_asked_once(STORE_TALKS, "otlp/logs", TO_GRPC, "otelcol_exporter_send_failed_log_records");
}

TEST(an_ok_without_a_readable_message_is_an_ok)
{
    check_asked_once(STORE_MUMBLES, "otlp/logs", TO_GRPC, "otelcol_exporter_sent_log_records");
}

TEST(a_store_that_is_away_is_found_when_it_is_back)
{
    struct store s;
    struct client c;
    struct rig g;
    REQUIRE(store_open(&s) && client_open(&c));
    http_server_close(s.server, 0);
    s.server = NULL;
    REQUIRE(rig_open(&g, chain(&s, "")));
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQ(post_records(&c, g.http, "a", i, 1, ""), 200);
    REQUIRE(store_listen(&s));
    CHECK_SOON(store_records(&s) == 5, 10000);
    rig_close(&g);
    client_close(&c);
    store_close(&s);
}

TEST(what_is_queued_survives_a_restart)
{
    struct store s;
    struct client c;
    struct rig g;
    REQUIRE(store_open(&s) && client_open(&c));
    store_mode(&s, STORE_HOLD, 0);
    REQUIRE(rig_open(&g, chain(&s, "")));
    for (unsigned i = 0; i < 20; i++)
        CHECK_EQ(post_records(&c, g.http, "a", i, 1, i % 2 ? "odd" : "even"), 200);
    CHECK_SOON(store_requests(&s) > 0, 5000);
    collector_close(g.c, 50); /* does not wait for a store that never answers */
    g.c = NULL;
    rig_close(&g);
    store_hang_up(&s);
    store_mode(&s, STORE_OK, 0);
    CHECK_EQ(store_records(&s), 0);
    REQUIRE(store_listen(&s) && rig_open(&g, chain(&s, "")));
    CHECK_SOON(store_records(&s) == 20, 10000);
    CHECK_STR(s.tenant, "odd");
    CHECK(sv_starts(buf_view(&s.bodies), SV("a-0 a-1 a-2 a-3 "))); /* in order */
    rig_close(&g);
    client_close(&c);
    store_close(&s);
}

TEST(a_full_queue_tells_the_client_to_come_back)
{
    struct store s;
    struct client c;
    struct rig g;
    struct reply r;
    REQUIRE(store_open(&s) && client_open(&c));
    store_mode(&s, STORE_HOLD, 0);
    REQUIRE(rig_open(&g, chain(&s, ", sending_queue: {queue_size: 25, sizer: items}")));
    CHECK_EQ(post_records(&c, g.http, "a", 0, 10, ""), 200);
    CHECK_EQ(post_records(&c, g.http, "a", 10, 10, ""), 200);
    CHECK_EQ(post_records(&c, g.http, "a", 20, 10, ""), 503);
    SCOPED(buf_done) struct buf b = {0};
    put_request(&b, "a", 20, 10);
    CHECK_EQ(grpc_export(&c, g.grpc, buf_view(&b), &r), GRPC_UNAVAILABLE);
    CHECK_STR(r.body, "sending queue is full");
    collector_close(g.c, 0);
    g.c = NULL;
    rig_close(&g);
    client_close(&c);
    store_close(&s);
}

TEST(without_a_queue_the_client_hears_the_store)
{
    struct store s;
    struct client c;
    struct rig g;
    REQUIRE(store_open(&s) && client_open(&c));
    REQUIRE(rig_open(&g, chain(&s, ", sending_queue: {enabled: false}")));
    store_mode(&s, STORE_LATER, 1);
    CHECK_EQ(post_records(&c, g.http, "a", 0, 1, ""), 503);
    store_mode(&s, STORE_REFUSE, 1);
    CHECK_EQ(post_records(&c, g.http, "a", 0, 1, ""), 400);
    CHECK_EQ(post_records(&c, g.http, "a", 0, 1, ""), 200);
    CHECK_EQ(store_records(&s), 1);
    rig_close(&g);
    client_close(&c);
    store_close(&s);
}

TEST(a_dead_exporter_delays_no_other)
{
    struct store dead, alive;
    struct client c;
    struct rig g;
    char yaml[1500];
    REQUIRE(store_open(&dead) && store_open(&alive) && client_open(&c));
    store_mode(&dead, STORE_HOLD, 0);
    snprintf(yaml, sizeof yaml,
             "receivers: {otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}, http: {endpoint: 127.0.0.1:0}}}}\n"
             "processors: {memory_limiter: {check_interval: 1s, limit_percentage: 90}}\n"
             "extensions: {health_check: {endpoint: 127.0.0.1:0, path: /health}}\n"
             "exporters: {otlphttp/dead: {endpoint: \"http://%s/otlp\"}, otlphttp/alive: {endpoint: \"http://%s/otlp\"}, debug: "
             "{sampling_initial: 0, sampling_thereafter: 0}}\n"
             "service: {extensions: [health_check], telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {port: "
             "0}}}}]}}, pipelines: {\n"
             "  logs: {receivers: [otlp], processors: [memory_limiter], exporters: [otlphttp/dead, otlphttp/alive]},\n"
             "  logs/look: {receivers: [otlp], exporters: [debug]}}}\n",
             dead.address, alive.address);
    REQUIRE(rig_open(&g, yaml));
    for (unsigned i = 0; i < 10; i++)
        CHECK_EQ(post_records(&c, g.http, "a", i, 1, ""), 200);
    CHECK_SOON(store_records(&alive) == 10, 5000);
    CHECK_EQ(store_records(&dead), 0);
    struct reply r;
    http_call(&c, "GET", collector_address(g.c, "health_check", "http"), "/health", NULL, SV_NULL, &r);
    CHECK_EQ(r.status, 200);
    CHECK(sv_starts(sv_of(r.body), SV("{\"status\":\"Server available\",\"upSince\":\"20")));
    http_call(&c, "GET", collector_address(g.c, "health_check", "http"), "/", NULL, SV_NULL, &r);
    CHECK_EQ(r.status, 404);
    collector_close(g.c, 0);
    g.c = NULL;
    rig_close(&g);
    client_close(&c);
    store_close(&dead);
    store_close(&alive);
}

TEST(collectors_chain_over_grpc)
{
    struct store s;
    struct client c;
    struct rig first, second;
    char yaml[1500];
    REQUIRE(store_open(&s) && client_open(&c) && rig_open(&second, chain(&s, ", sending_queue: {queue_size: 25, sizer: items}")));
    store_mode(&s, STORE_HOLD, 0);
    snprintf(yaml, sizeof yaml,
             "receivers: {otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}, http: {endpoint: 127.0.0.1:0}}}}\n"
             "exporters: {otlp/next: {endpoint: \"%s\", tls: {insecure: true}, " FAST_RETRY "}}\n"
             "service: {telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {port: 0}}}}]}}, pipelines: {logs: "
             "{receivers: [otlp], exporters: [otlp/next]}}}\n",
             second.grpc);
    REQUIRE(rig_open(&first, yaml));
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQ(post_records(&c, first.http, "a", 10 * i, 10, "me"), 200);
    /* the second's queue is full: the first keeps what it has, and tries again */
    CHECK_SOON(scrape(&c, &second, "otelcol_exporter_enqueue_failed_log_records{exporter=\"otlphttp/logs\"}") > 0, 5000);
    CHECK(store_records(&s) == 0);
    store_mode(&s, STORE_OK, 0);
    store_hang_up(&s);
    REQUIRE(store_listen(&s));
    CHECK_SOON(store_records(&s) == 50, 10000);
    CHECK_STR(s.tenant, "me");
    CHECK_EQ(scrape(&c, &first, "otelcol_exporter_send_failed_log_records{exporter=\"otlp/next\"}"), 0);
    rig_close(&first);
    rig_close(&second);
    client_close(&c);
    store_close(&s);
}

TEST(a_taken_metrics_port_is_said_clearly)
{
    struct store s;
    SCOPED(buf_done) struct buf problems = {0};
    struct collector_config *cfg;
    struct collector *c;
    struct err e = {0};
    REQUIRE(store_open(&s));
    char yaml[600];
    snprintf(yaml, sizeof yaml,
             "receivers: {otlp: {protocols: {http: {endpoint: 127.0.0.1:0}}}}\nexporters: {debug: }\n"
             "service: {telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}}, "
             "pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n",
             strchr(s.address, ':') + 1);
    REQUIRE_OK(collector_config_parse(sv_of(yaml), "c", NULL, 0, &cfg, &problems, &problems, &e), &e);
    CHECK(!collector_open(cfg, &(struct collector_options){.data_dir = test_dir()}, &c, &e));
    CHECK(sv_find(sv_of(e.msg), SV("service::telemetry::metrics")) != SV_NPOS);
    CHECK(sv_find(sv_of(e.msg), SV("in use")) != SV_NPOS);
    collector_config_free(cfg);
    store_close(&s);
}

/* ---- kill -9 ---- */

/* A collector in a process of its own: this program, told so by its environment, before any test runs. */
__attribute__((constructor)) static void be_a_collector(void)
{
    const char *path = getenv("WEIR_TEST_COLLECTOR"), *data = getenv("WEIR_TEST_DATA");
    if (!path || !data)
        return;
    struct collector_config *cfg;
    struct collector *c;
    struct buf problems = {0};
    struct err e = {0};
    if (!collector_config_load(path, NULL, 0, &cfg, &problems, &problems, &e) ||
        !collector_open(cfg, &(struct collector_options){.data_dir = data}, &c, &e)) {
        printf("%s\n", e.msg);
        _exit(1);
    }
    printf("%s\n", collector_address(c, "otlp", "http"));
    fflush(stdout);
    for (;;)
        pause();
}

static pid_t spawn_collector(const char *path, char *address, size_t cap)
{
    int fds[2];
    if (pipe(fds) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        setenv("WEIR_TEST_COLLECTOR", path, 1);
        setenv("WEIR_TEST_DATA", test_dir(), 1);
        execl("/proc/self/exe", "collector", NULL);
        _exit(127);
    }
    close(fds[1]);
    FILE *f = fdopen(fds[0], "r");
    if (pid < 0 || !f || !fgets(address, (int)cap, f))
        address[0] = 0;
    address[strcspn(address, "\n")] = 0;
    if (f)
        fclose(f);
    return pid;
}

TEST(kill_9_loses_nothing_that_was_acknowledged)
{
    struct store s;
    struct client c;
    char path[200], address[100];
    unsigned sent = 0;
    REQUIRE(store_open(&s) && client_open(&c));
    store_mode(&s, STORE_LATER, 0);
    snprintf(path, sizeof path, "%s/c.yaml", test_dir());
    FILE *f = fopen(path, "w");
    REQUIRE(f);
    fputs(chain(&s, ""), f);
    fclose(f);
    for (int life = 0; life < 3; life++) {
        pid_t pid = spawn_collector(path, address, sizeof address);
        REQUIRE(pid > 0 && *address);
        for (unsigned i = 0; i < 10; i++, sent++)
            CHECK_EQ(post_records(&c, address, "a", sent, 1, ""), 200);
        kill(pid, SIGKILL);
        CHECK_EQ(waitpid(pid, NULL, 0), pid);
    }
    CHECK_EQ(store_records(&s), 0);
    store_mode(&s, STORE_OK, 0);
    struct rig g;
    REQUIRE(rig_open(&g, chain(&s, "")));
    CHECK_SOON(store_records(&s) >= sent, 10000);
    for (unsigned i = 0; i < sent; i++) {
        char body[20];
        snprintf(body, sizeof body, "a-%u ", i);
        CHECK(store_has(&s, body));
    }
    rig_close(&g);
    client_close(&c);
    store_close(&s);
}

/* The outgoing client and gRPC, against our own server over loopback. */
#include "base/test.h"
#include "base/lock.h"
#include "net/client.h"
#include "net/grpc.h"
#include "net/server.h"
#include <stdatomic.h>

static struct {
    struct loop *loop, *client_loop;
    struct metrics *metrics;
    struct http_server *server;
    struct http_client *client;
    char url[100];
    _Atomic(struct grpc_call *) held;
} t;

/* --- the server's side --- */

static void m_echo(void *ctx, struct grpc_call *c)
{
    struct buf body = {0};
    buf_sv(&body, grpc_message(c));
    grpc_reply(c, GRPC_OK, SV_NULL, &body, -1);
}

static void m_empty(void *ctx, struct grpc_call *c)
{
    grpc_reply(c, GRPC_OK, SV_NULL, NULL, -1);
}

static void m_throttle(void *ctx, struct grpc_call *c)
{
    grpc_reply(c, GRPC_RESOURCE_EXHAUSTED, SV("queue is full: 100 % \n"), NULL, 1500);
}

static void m_hold(void *ctx, struct grpc_call *c)
{
    atomic_store(&t.held, c);
}

static const struct grpc_method methods[] = {{"/t.T/Echo", m_echo},
                                             {"/t.T/Empty", m_empty},
                                             {"/t.T/Throttle", m_throttle},
                                             {"/t.T/Hold", m_hold},
                                             {0}};

static void handle(void *ctx, struct http_exchange *x)
{
    static const struct grpc_config cfg = {.max_recv_bytes = 1 << 20};
    const struct http_request *r = http_request_of(x);
    if (sv_starts(r->path, SV("/http/"))) {
        struct buf body = {0};
        struct http_header h = {SV("X-Method"), r->method};
        buf_sv(&body, sv_eq(r->path, SV("/http/ua")) ? http_header(r, SV("user-agent")) : r->body);
        if (sv_eq(r->path, SV("/http/large")))
            for (int i = 0; i < 100; i++)
                buf_fmt(&body, "%01000d", i);
        http_reply(x, sv_eq(r->path, SV("/http/503")) ? 503 : 200, &h, 1, &body);
    } else {
        grpc_serve(&cfg, methods, NULL, x);
    }
}

static bool start(struct http_client_config cfg)
{
    struct err e = {0};
    struct http_server_config sc = {.address = "127.0.0.1:0", .idle_timeout_ms = 300};
    memset(&t, 0, sizeof t);
    cfg.name = "t";
    sc.name = "s";
    t.metrics = metrics_new();
    bool ok = loop_open("server", &t.loop, &e) && loop_open("client", &t.client_loop, &e) &&
              http_server_open(&sc, &t.loop, 1, t.metrics, handle, NULL, &t.server, &e) &&
              http_client_open(&cfg, t.client_loop, &t.client, &e);
    if (!ok) {
        fprintf(stderr, "# %s\n", e.msg);
        return false;
    }
    snprintf(t.url, sizeof t.url, "http://%s", http_server_address(t.server));
    return true;
}

static void stop(void)
{
    http_client_close(t.client);
    http_server_close(t.server, 1000);
    loop_close(t.client_loop);
    loop_close(t.loop);
    metrics_free(t.metrics);
}

/* --- waiting for an answer --- */

struct answer {
    struct lock mu;
    struct cond cv;
    bool done;
    int status, http_status;
    bool answered;
    struct err err;
    int64_t retry_after_ms;
    struct buf text, body, header;
};

static void answer_init(struct answer *a)
{
    memset(a, 0, sizeof *a);
    lock_init(&a->mu);
    cond_init(&a->cv);
}

static void answer_done(struct answer *a)
{
    buf_done(&a->text);
    buf_done(&a->body);
    buf_done(&a->header);
    lock_done(&a->mu);
    cond_done(&a->cv);
}
static void answer_done_scoped(struct answer *a)
{
    answer_done(a);
}

static void set_done(struct answer *a)
{
    LOCK_SCOPED(&a->mu);
    a->done = true;
    cond_signal(&a->cv);
}

static void wait_for(struct answer *a)
{
    LOCK_SCOPED(&a->mu);
    while (!a->done)
        cond_wait(&a->cv, &a->mu);
}

static void on_http(void *ctx, const struct client_response *r)
{
    struct answer *a = ctx;
    a->http_status = r->status;
    a->err = r->err;
    buf_sv(&a->body, r->body);
    buf_sv(&a->header, client_header(r, SV("x-method")));
    buf_sv(&a->text, client_header(r, SV("grpc-status")));
    set_done(a);
}

static void on_grpc(void *ctx, const struct grpc_client_response *r)
{
    struct answer *a = ctx;
    a->status = r->status;
    a->answered = r->answered;
    a->err = r->err;
    a->retry_after_ms = r->retry_after_ms;
    buf_sv(&a->text, r->message);
    buf_sv(&a->body, r->body);
    set_done(a);
}

static void http(struct answer *a, const char *method, const char *path, sv body)
{
    char url[200];
    snprintf(url, sizeof url, "%s%s", t.url, path);
    answer_init(a);
    struct client_request req = {.method = method, .url = url, .body = body, .timeout_ms = 10000};
    http_client_send(t.client, &req, on_http, a);
    wait_for(a);
}

static void call_with(struct answer *a, struct grpc_client_request req)
{
    req.url = t.url;
    if (!req.timeout_ms)
        req.timeout_ms = 10000;
    answer_init(a);
    grpc_client_call(t.client, &req, on_grpc, a);
    wait_for(a);
}
#define CALL(a, ...) call_with(a, (struct grpc_client_request){__VA_ARGS__})

TEST(http_methods_and_headers)
{
    REQUIRE(start((struct http_client_config){0}));
    static const char *const names[] = {"GET", "POST", "PUT", "DELETE", "PATCH"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        SCOPED(answer_done) struct answer a;
        http(&a, names[i], "/http/x", i ? SV("body") : SV_NULL);
        CHECK_EQ(a.http_status, 200);
        CHECK_SV(buf_view(&a.header), sv_of(names[i]));
        CHECK_SV(buf_view(&a.body), i ? SV("body") : SV_NULL);
    }
    SCOPED(answer_done) struct answer a, b, c;
    http(&a, "GET", "/http/503", SV_NULL);
    CHECK_EQ(a.http_status, 503); /* an answer like any other */
    CHECK_EQ(a.err.code, ERR_NONE);
    http(&b, "GET", "/http/ua", SV_NULL);
    CHECK_SV(buf_view(&b.body), SV("weir/" WEIR_VERSION));
    http(&c, "HEAD", "/http/x", SV_NULL);
    CHECK_SV(buf_view(&c.header), SV("HEAD"));
    stop();
}

TEST(http_failures_have_codes)
{
    REQUIRE(start((struct http_client_config){.max_response_bytes = 1000}));
    SCOPED(answer_done) struct answer a, b, c;
    http(&a, "GET", "/http/large", SV_NULL);
    CHECK_EQ(a.http_status, 0);
    CHECK_ERR(&a.err, ERR_LIMIT, "max_response_bytes");
    snprintf(t.url, sizeof t.url, "http://user:secret@127.0.0.1:1");
    http(&b, "GET", "/http/x?token=secret", SV_NULL);
    CHECK_ERR(&b.err, ERR_UNAVAILABLE, "GET 127.0.0.1:1/http/x: ");
    CHECK(!strstr(b.err.msg, "secret"));
    snprintf(t.url, sizeof t.url, "gopher://127.0.0.1:1");
    http(&c, "GET", "/", SV_NULL);
    CHECK_EQ(c.err.code, ERR_INVALID);
    stop();
}

static const struct http_client_config h2 = {.http2_prior_knowledge = true};

TEST(grpc_calls)
{
    REQUIRE(start(h2));
    for (int gzip = 0; gzip < 2; gzip++)
        for (int again = 0; again < 3; again++) {
            SCOPED(answer_done) struct answer a;
            CALL(&a, .method = "/t.T/Echo", .message = SV("hello hello hello hello"), .gzip = gzip);
            CHECK_EQ(a.status, GRPC_OK);
            CHECK(a.answered);
            CHECK_SV(buf_view(&a.body), SV("hello hello hello hello"));
        }
    SCOPED(answer_done) struct answer a, b, c, d, f;
    CALL(&a, .method = "/t.T/Empty");
    CHECK_EQ(a.status, GRPC_OK);
    CHECK_EQ(a.body.n, 0);
    CALL(&b, .method = "/t.T/Throttle");
    CHECK_EQ(b.status, GRPC_RESOURCE_EXHAUSTED);
    CHECK_SV(buf_view(&b.text), SV("queue is full: 100 % \n"));
    CHECK_EQ(b.retry_after_ms, 1500);
    CALL(&c, .method = "/t.T/Nope");
    CHECK_EQ(c.status, GRPC_UNIMPLEMENTED);
    CHECK_SV(buf_view(&c.text), SV("unknown method /t.T/Nope"));
    CHECK_EQ(c.retry_after_ms, -1);

    size_t n = (1 << 20) + 1;
    char *large = calloc(1, n);
    CALL(&d, .method = "/t.T/Echo", .message = sv_make(large, n));
    CHECK_EQ(d.status, GRPC_RESOURCE_EXHAUSTED);
    CHECK_SV(buf_view(&d.text), SV("grpc: received message larger than max (1048577 vs. 1048576)"));
    CALL(&f, .method = "/t.T/Echo", .message = sv_make(large, n), .gzip = true);
    CHECK_EQ(f.status, GRPC_RESOURCE_EXHAUSTED);
    free(large);
    stop();
}

/* A POST by hand; the HTTP status in a->http_status, grpc-status in a->text. */
static void raw_call(struct answer *a, const char *method, const char *path, struct http_header *h, size_t n,
                     sv body)
{
    char url[200];
    snprintf(url, sizeof url, "%s%s", t.url, path);
    answer_init(a);
    struct client_request req = {
        .method = method, .url = url, .headers = h, .n_headers = n, .body = body, .timeout_ms = 10000};
    http_client_send(t.client, &req, on_http, a);
    wait_for(a);
}

TEST(grpc_bad_requests)
{
    static const struct {
        const char *type, *name, *value;
        sv body;
        int http_status;
        const char *grpc_status;
    } cases[] = {
        {"application/grpc+proto", "x", "y", {"\0\0\0\0\0", 5}, 200, "0"},
        {"application/grpc;x=y", "grpc-encoding", "identity", {"\0\0\0\0\0", 5}, 200, "0"},
        {"application/grpc-web", "x", "y", {"\0\0\0\0\0", 5}, 415, "13"},
        {"application/json", "x", "y", {"{}", 2}, 415, "13"},
        {"application/grpc", "x", "y", {"", 0}, 200, "13"},       /* no message */
        {"application/grpc", "x", "y", {"\0\0\0", 3}, 200, "13"}, /* cut short */
        {"application/grpc", "x", "y", {"\0\0\0\0\2x", 6}, 200, "13"},
        {"application/grpc", "x", "y", {"\0\0\0\0\0more", 9}, 200, "13"},
        {"application/grpc", "x", "y", {"\0\xff\xff\xff\xff", 5}, 200, "8"},
        {"application/grpc", "x", "y", {"\1\0\0\0\1x", 6}, 200, "13"}, /* compressed, but how? */
        {"application/grpc", "grpc-encoding", "gzip", {"\1\0\0\0\1x", 6}, 200, "13"},
        {"application/grpc", "grpc-encoding", "br", {"\0\0\0\0\0", 5}, 200, "12"},
        {"application/grpc", "grpc-timeout", "soon", {"\0\0\0\0\0", 5}, 200, "13"},
        {"application/grpc", "grpc-timeout", "99999999H", {"\0\0\0\0\0", 5}, 200, "0"},
    };
    REQUIRE(start(h2));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SCOPED(answer_done) struct answer a;
        struct http_header h[] = {{SV("content-type"), sv_of(cases[i].type)},
                                  {sv_of(cases[i].name), sv_of(cases[i].value)}};
        raw_call(&a, "POST", "/t.T/Empty", h, 2, cases[i].body);
        CHECK_EQ(a.http_status, cases[i].http_status);
        if (!sv_eq(buf_view(&a.text), sv_of(cases[i].grpc_status)))
            test_fail(__FILE__, __LINE__, "case %zu: grpc-status " SV_FMT ", not %s", i,
                      SV_ARG(buf_view(&a.text)), cases[i].grpc_status);
    }
    SCOPED(answer_done) struct answer a;
    struct http_header h = {SV("content-type"), SV("application/grpc")};
    raw_call(&a, "GET", "/t.T/Empty", &h, 1, SV_NULL);
    CHECK_EQ(a.http_status, 405);
    stop();
}

TEST(grpc_needs_http2)
{
    REQUIRE(start((struct http_client_config){0}));
    SCOPED(answer_done) struct answer a;
    struct http_header h = {SV("content-type"), SV("application/grpc")};
    raw_call(&a, "POST", "/t.T/Empty", &h, 1, sv_make("\0\0\0\0\0", 5));
    CHECK_EQ(a.http_status, 505);
    stop();
}

static int64_t connections(void)
{
    return metric_value(metrics_get(t.metrics, METRIC_GAUGE, "weir_http_connections", "Open connections",
                                    (const char *[]){"server", "s", NULL}));
}

TEST(grpc_connections_are_kept_and_renewed)
{
    REQUIRE(start(h2));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++) {
            SCOPED(answer_done) struct answer a;
            CALL(&a, .method = "/t.T/Echo", .message = SV("hello"));
            CHECK_EQ(a.status, GRPC_OK);
            CHECK_EQ(connections(), 1);
        }
        CHECK_SOON(connections() == 0, 5000); /* the server closes idle ones; the next call must not notice */
    }
    struct answer many[50];
    struct grpc_client_request req = {.url = t.url, .method = "/t.T/Echo", .message = SV("x")};
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        answer_init(&many[i]);
        grpc_client_call(t.client, &req, on_grpc, &many[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        wait_for(&many[i]);
        CHECK_EQ(many[i].status, GRPC_OK);
        answer_done(&many[i]);
    }
    stop();
}

TEST(grpc_deadline_answers_for_a_slow_method)
{
    REQUIRE(start(h2));
    SCOPED(answer_done) struct answer a;
    answer_init(&a);
    /* grpc-timeout by hand, so that the server's clock decides and not the client's */
    struct http_header headers[] = {{SV("content-type"), SV("application/grpc")},
                                    {SV("grpc-timeout"), SV("50m")}};
    char url[200];
    snprintf(url, sizeof url, "%s/t.T/Hold", t.url);
    struct client_request req = {.method = "POST",
                                 .url = url,
                                 .headers = headers,
                                 .n_headers = 2,
                                 .body = sv_make("\0\0\0\0\2hi", 7),
                                 .timeout_ms = 10000};
    http_client_send(t.client, &req, on_http, &a);
    wait_for(&a);
    CHECK_EQ(a.http_status, 200);
    CHECK_SV(buf_view(&a.text), SV("4"));
    struct grpc_call *c = atomic_load(&t.held);
    REQUIRE(c);
    CHECK(atomic_load(grpc_cancelled(c)));
    CHECK_SV(grpc_message(c), SV("hi")); /* still there for the method */
    grpc_reply(c, GRPC_OK, SV_NULL, NULL, -1);
    stop();
}

TEST(closing_cancels_calls)
{
    REQUIRE(start(h2));
    struct answer a;
    answer_init(&a);
    struct grpc_client_request req = {.url = t.url, .method = "/t.T/Hold", .message = SV("x")};
    grpc_client_call(t.client, &req, on_grpc, &a);
    CHECK_SOON(atomic_load(&t.held), 5000);
    http_client_close(t.client);
    t.client = NULL;
    wait_for(&a);
    CHECK_EQ(a.status, GRPC_CANCELLED);
    CHECK(!a.answered);
    struct grpc_call *c = atomic_load(&t.held);
    CHECK_SOON(atomic_load(grpc_cancelled(c)), 5000);
    grpc_reply(c, GRPC_OK, SV_NULL, NULL, -1);
    answer_done(&a);
    stop();
}

/* The server over loopback: raw sockets for what no decent client does, libcurl for what decent clients do. */
#include "base/test.h"
#include "base/lock.h"
#include "net/grpc.h"
#include "net/server.h"
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- a server that does as the path says ------------------------------------------------------------------------------------- */

static struct {
    struct loop *loops[2];
    struct metrics *metrics;
    struct http_server *server;
    int port;
    struct lock mu;
    struct http_exchange *held[512]; /* of /hold, under mu */
    size_t n_held;
} t;

static void echo(void *ctx, struct http_exchange *x)
{
    const struct http_request *r = http_request_of(x);
    struct buf body = {0};
    struct http_header h = {SV("content-type"), SV("application/octet-stream")};
    buf_sv(&body, r->body);
    http_reply(x, 200, &h, 1, &body);
}

static void describe(void *ctx, struct http_exchange *x)
{
    const struct http_request *r = http_request_of(x);
    struct buf body = {0};
    buf_fmt(&body, SV_FMT " " SV_FMT " " SV_FMT " %d " SV_FMT, SV_ARG(r->method), SV_ARG(r->path), SV_ARG(r->query),
            r->version, SV_ARG(http_header(r, SV("x-test"))));
    http_reply(x, 200, NULL, 0, &body);
}

static void hold(void *ctx, struct http_exchange *x)
{
    LOCK_SCOPED(&t.mu);
    if (t.n_held < ARRAY_LEN(t.held))
        t.held[t.n_held++] = x;
}

static void big(void *ctx, struct http_exchange *x)
{
    struct buf body = {0};
    char *to = buf_reserve(&body, 5 << 20);
    memset(to, 'b', 5 << 20);
    body.n = 5 << 20;
    http_reply(x, 200, NULL, 0, &body);
}

static void inject(void *ctx, struct http_exchange *x)
{
    struct http_header h = {SV("X-Evil"), SV("a\r\nset-cookie: b")};
    http_reply(x, 200, &h, 1, NULL);
}

static const struct http_route routes[] = {
    {"POST GET", "/echo", echo}, {"GET", "/describe/**", describe}, {"GET POST", "/hold", hold}, {"GET", "/big", big},
    {"GET", "/inject", inject},  {"GET", "/one/*/x", describe},     {0},
};

static void handle(void *ctx, struct http_exchange *x)
{
    http_route(routes, ctx, x);
}

static size_t held(void)
{
    LOCK_SCOPED(&t.mu);
    return t.n_held;
}

static struct http_exchange *take_held(void)
{
    LOCK_SCOPED(&t.mu);
    return t.n_held ? t.held[--t.n_held] : NULL;
}

static bool start(struct http_server_config cfg)
{
    struct err e = {0};
    memset(&t, 0, sizeof t);
    lock_init(&t.mu);
    t.metrics = metrics_new();
    for (size_t i = 0; i < ARRAY_LEN(t.loops); i++)
        if (!loop_open("test", &t.loops[i], &e))
            return false;
    cfg.address = "127.0.0.1:0";
    cfg.name = "t";
    if (!http_server_open(&cfg, t.loops, ARRAY_LEN(t.loops), t.metrics, handle, NULL, &t.server, &e)) {
        fprintf(stderr, "# %s\n", e.msg);
        return false;
    }
    t.port = atoi(strrchr(http_server_address(t.server), ':') + 1);
    return true;
}

static void stop(void)
{
    http_server_close(t.server, 1000);
    for (struct http_exchange *x; (x = take_held());)
        http_reply_text(x, 500, SV("late"));
    for (size_t i = 0; i < ARRAY_LEN(t.loops); i++)
        loop_close(t.loops[i]);
    metrics_free(t.metrics);
    lock_done(&t.mu);
}

static int64_t rejected(const char *reason)
{
    return metric_value(metrics_get(t.metrics, METRIC_COUNTER, "weir_http_rejected_total",
                                    "Connections and requests refused, by reason",
                                    (const char *[]){"server", "t", "reason", reason, NULL}));
}

static int64_t connections(void)
{
    return metric_value(metrics_get(t.metrics, METRIC_GAUGE, "weir_http_connections", "Open connections",
                                    (const char *[]){"server", "t", NULL}));
}

/* --- raw clients --------------------------------------------------------------------------------------------------------------- */

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)t.port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
        close(fd);
        return -1;
    }
    struct timeval tv = {5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    return fd;
}

static void say(int fd, sv text)
{
    while (text.n) {
        ssize_t n = send(fd, text.p, text.n, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text = sv_from(text, (size_t)n);
    }
}

/* Reads until the peer closes. */
static sv hear_all(int fd, struct buf *into)
{
    char piece[4096];
    ssize_t n;
    while ((n = recv(fd, piece, sizeof piece, 0)) > 0)
        buf_put(into, piece, (size_t)n);
    if (n < 0 && errno == EAGAIN)
        buf_sv(into, SV("<timeout>"));
    return buf_view(into);
}

static size_t count(sv text, sv what)
{
    size_t n = 0;
    for (size_t at; what.n && (at = sv_find(text, what)) != SV_NPOS; n++)
        text = sv_from(text, at + what.n);
    return n;
}

/* Sends, hears everything up to the close, checks the status line. */
static void check_exchange(sv request, const char *status_line, const char *contains)
{
    SCOPED(buf_done) struct buf got = {0};
    int fd = dial();
    say(fd, request);
    sv answer = hear_all(fd, &got);
    close(fd);
    CHECK_SV(sv_sub(answer, 0, strlen(status_line)), sv_of(status_line));
    if (sv_find(answer, sv_of(contains)) == SV_NPOS)
        test_fail(__FILE__, __LINE__, "answer lacks '%s': " SV_FMT, contains, SV_ARG(answer));
}

TEST(http1_get_and_routes)
{
    REQUIRE(start((struct http_server_config){0}));
    check_exchange(SV("GET /describe/a%20b?q=1 HTTP/1.1\r\nHost: x\r\nX-Test:  v \r\nConnection: close\r\n\r\n"),
                   "HTTP/1.1 200 OK\r\n", "GET /describe/a b q=1 11 v");
    check_exchange(SV("GET /describe/ HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK\r\n", "connection: close");
    check_exchange(SV("GET /nowhere HTTP/1.0\r\n\r\n"), "HTTP/1.1 404 ", "404 page not found");
    check_exchange(SV("PUT /echo HTTP/1.0\r\n\r\n"), "HTTP/1.1 405 ", "allow: POST, GET\r\n");
    check_exchange(SV("GET /one//x HTTP/1.0\r\n\r\n"), "HTTP/1.1 404 ", "");
    check_exchange(SV("GET /one/2/x HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 ", "/one/2/x");
    check_exchange(SV("GET /inject HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 ", "x-evil: a  set-cookie: b\r\n");
    stop();
}

TEST(http1_pipelining_keeps_the_order)
{
    REQUIRE(start((struct http_server_config){0}));
    SCOPED(buf_done) struct buf got = {0};
    int fd = dial();
    say(fd, SV("GET /describe/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /hold HTTP/1.1\r\nHost: x\r\n\r\n"
               "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
               "GET /big HTTP/1.1\r\nHost: x\r\n\r\n"
               "GET /describe/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n"));
    CHECK_SOON(held() == 1, 5000);
    struct http_exchange *x = take_held();
    REQUIRE(x);
    http_reply_text(x, 200, SV("second")); /* from another thread */
    sv all = hear_all(fd, &got);
    close(fd);
    size_t a = sv_find(all, SV("/describe/1")), b = sv_find(all, SV("second")), c = sv_find(all, SV("\r\n\r\nabc")),
           d = sv_find(all, SV("bbbbbb")), f = sv_find(all, SV("/describe/last"));
    CHECK(a < b && b < c && c < d && d < f && f != SV_NPOS);
    CHECK_EQ(count(all, SV("HTTP/1.1 200 OK")), 5);
    stop();
}

/* --- curl ---------------------------------------------------------------------------------------------------------------------- */

static size_t collect(char *p, size_t size, size_t n, void *ctx)
{
    buf_put(ctx, p, size * n);
    return size * n;
}

static CURL *curl_to(const char *path, long version, struct buf *into)
{
    char url[200];
    CURL *c = curl_easy_init();
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", t.port, path);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, version);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, into);
    return c;
}

static long curl_status(CURL *c)
{
    long status = 0;
    CURLcode rc = curl_easy_perform(c);
    if (rc != CURLE_OK)
        test_fail(__FILE__, __LINE__, "curl: %s", curl_easy_strerror(rc));
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static const long versions[] = {CURL_HTTP_VERSION_1_1, CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE};

TEST(bodies_go_both_ways)
{
    REQUIRE(start((struct http_server_config){0}));
    size_t n = 20 << 20; /* at the cap */
    char *body = malloc(n);
    for (size_t i = 0; i < n; i++)
        body[i] = (char)(i * 2654435761u >> 13);
    for (size_t v = 0; v < ARRAY_LEN(versions); v++) {
        SCOPED(buf_done) struct buf got = {0};
        CURL *c = curl_to("/echo", versions[v], &got);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
        CHECK_EQ(curl_status(c), 200);
        CHECK(got.n == n && memcmp(got.p, body, n) == 0);
        curl_easy_cleanup(c);
    }
    free(body);
    stop();
}

TEST(refusals_have_status_and_counter)
{
    REQUIRE(start((struct http_server_config){
        .max_body_bytes = 1000, .max_header_bytes = 500, .max_headers = 8, .max_inflight_bytes = 900}));
    check_exchange(SV("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"), "HTTP/1.1 413 ",
                   "max_body_bytes");
    CHECK_EQ(rejected("body_too_large"), 1);
    check_exchange(SV("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3E9\r\n"), "HTTP/1.1 413 ",
                   "max_body_bytes");
    CHECK_EQ(rejected("body_too_large"), 2);
    SCOPED(buf_done) struct buf text = {0};
    buf_fmt(&text, "GET /echo HTTP/1.1\r\nHost: x\r\nX: %0600d\r\n\r\n", 1);
    check_exchange(buf_view(&text), "HTTP/1.1 431 ", "max_header_bytes");
    CHECK_EQ(rejected("header_too_large"), 1);
    buf_reset(&text);
    buf_fmt(&text, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 950\r\n\r\n%0950d", 1);
    check_exchange(buf_view(&text), "HTTP/1.1 503 ", "retry-after: 1\r\n");
    CHECK_EQ(rejected("inflight_bytes"), 1);
    check_exchange(SV("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400 ", "Host");
    CHECK_EQ(rejected("bad_request"), 1);
    check_exchange(SV("GET / HTTP/3.0\r\n\r\n"), "HTTP/1.1 505 ", "");
    CHECK_SOON(connections() == 0, 3000);
    stop();
}

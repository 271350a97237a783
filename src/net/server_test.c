/* The server over loopback: raw sockets for what no decent client does, libcurl for what decent clients do.
 */
#include "base/test.h"
#include "base/lock.h"
#include "net/grpc.h"
#include "net/server.h"
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- a server that does as the path says --- */

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
    buf_fmt(&body, SV_FMT " " SV_FMT " " SV_FMT " %d " SV_FMT, SV_ARG(r->method), SV_ARG(r->path),
            SV_ARG(r->query), r->version, SV_ARG(http_header(r, SV("x-test"))));
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
    {"POST GET", "/echo", echo},
    {"GET", "/describe/**", describe},
    {"GET POST", "/hold", hold},
    {"GET", "/big", big},
    {"GET", "/inject", inject},
    {"GET", "/one/*/x", describe},
    {0},
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
    uint64_t port;
    if (!sv_to_u64(sv_of(strrchr(http_server_address(t.server), ':') + 1), &port))
        return false;
    t.port = (int)port;
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

/* --- raw clients --- */

static bool dial_with(int fd)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)t.port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval tv = {5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    return connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0;
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (dial_with(fd))
        return fd;
    close(fd);
    return -1;
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
    check_exchange(
        SV("GET /describe/a%20b?q=1 HTTP/1.1\r\nHost: x\r\nX-Test:  v \r\nConnection: close\r\n\r\n"),
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
    size_t a = sv_find(all, SV("/describe/1")), b = sv_find(all, SV("second")),
           c = sv_find(all, SV("\r\n\r\nabc")), d = sv_find(all, SV("bbbbbb")),
           f = sv_find(all, SV("/describe/last"));
    CHECK(a < b && b < c && c < d && d < f && f != SV_NPOS);
    CHECK_EQ(count(all, SV("HTTP/1.1 200 OK")), 5);
    stop();
}

/* --- curl --- */

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
    check_exchange(SV("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3E9\r\n"),
                   "HTTP/1.1 413 ", "max_body_bytes");
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

/* --- hostile and unlucky peers --- */

TEST(slow_requests_end)
{
    REQUIRE(start((struct http_server_config){.read_timeout_ms = 100, .idle_timeout_ms = 100}));
    check_exchange(SV("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Le"), "HTTP/1.1 408 ", "read_timeout");
    check_exchange(SV("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na"), "HTTP/1.1 408 ",
                   "connection: close");
    check_exchange(SV("PRI * HTTP"), "HTTP/1.1 408 ", "");
    CHECK_EQ(rejected("read_timeout"), 3);
    check_exchange(SV(""), "", ""); /* idle: closed without a word */
    check_exchange(SV("GET /describe/ HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 ", "");
    CHECK_EQ(rejected("read_timeout"), 3);
    stop();
}

TEST(a_half_closed_client_still_gets_its_answer)
{
    REQUIRE(start((struct http_server_config){0}));
    SCOPED(buf_done) struct buf got = {0};
    int fd = dial();
    say(fd, SV("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"));
    shutdown(fd, SHUT_WR);
    CHECK_SOON(held() == 1, 5000);
    struct http_exchange *x = take_held();
    REQUIRE(x);
    CHECK_SOON(atomic_load(http_cancelled(x)), 5000); /* it may have gone: a long query would stop here */
    http_reply_text(x, 200, SV("here"));
    CHECK(sv_ends(hear_all(fd, &got), SV("here")));
    close(fd);
    stop();
}

TEST(clients_that_leave)
{
    REQUIRE(start((struct http_server_config){0}));
    int fd = dial();
    say(fd, SV("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"));
    shutdown(fd, SHUT_WR);
    CHECK_SOON(rejected("truncated") == 1, 5000);
    close(fd);
    for (int i = 0; i < 20; i++) { /* with a request under way, by reset */
        fd = dial();
        say(fd, SV("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"));
        CHECK_SOON(held() == (size_t)i + 1, 5000);
        struct linger now = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(fd);
    }
    CHECK_SOON(connections() == 0, 5000);
    while (held())
        http_reply_text(take_held(), 200, SV("nobody reads this"));
    check_exchange(SV("GET /describe/ HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 ", "");
    stop();
}

TEST(a_client_that_does_not_read_is_dropped)
{
    REQUIRE(start((struct http_server_config){.read_timeout_ms = 200}));
    int fd = dial(), small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 4; i++)
        say(fd, SV("GET /big HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK_SOON(rejected("stalled") == 1, 5000);
    CHECK_SOON(connections() == 0, 5000);
    close(fd);
    stop();
}

TEST(a_client_that_talks_on_but_does_not_read_is_dropped)
{
    REQUIRE(start((struct http_server_config){.read_timeout_ms = 200}));
    int fd = dial(), small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(fd, SV("GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    int64_t until = clock_mono_ms() + 5000;
    while (!rejected("stalled") && clock_mono_ms() < until) {
        say(fd, SV("more"));
        test_sleep_ms(10);
    }
    CHECK_EQ(rejected("stalled"), 1);
    close(fd);
    stop();
}

TEST(connections_are_capped)
{
    REQUIRE(start((struct http_server_config){.max_connections = 2}));
    int a = dial(), b = dial();
    CHECK_SOON(connections() == 2, 5000);
    int c = dial();
    char byte;
    CHECK_EQ(recv(c, &byte, 1, 0), 0);
    CHECK_EQ(rejected("max_connections"), 1);
    close(a);
    CHECK_SOON(connections() == 1, 5000);
    check_exchange(SV("GET /describe/ HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 ", "");
    close(b);
    close(c);
    stop();
}

TEST(running_out_of_descriptors_is_waited_out)
{
    REQUIRE(start((struct http_server_config){0}));
    int fds[4];
    struct rlimit before, tight;
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    tight = before;
    tight.rlim_cur = (rlim_t)fds[3] + 1; /* all lower ones are in use */
    REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        dial_with(fds[i]);
        say(fds[i], SV("GET /describe/ HTTP/1.0\r\n\r\n"));
    }
    CHECK_SOON(rejected("accept") >= 2, 5000);
    CHECK(rejected("accept") < 100); /* it rests in between */
    setrlimit(RLIMIT_NOFILE, &before);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        SCOPED(buf_done) struct buf got = {0};
        CHECK(sv_starts(hear_all(fds[i], &got), SV("HTTP/1.1 200 ")));
        close(fds[i]);
    }
    stop();
}

static void *reply_later(void *ctx)
{
    test_sleep_ms(100);
    http_reply_text(ctx, 200, SV("finished"));
    return NULL;
}

TEST(closing_waits_for_requests_under_way)
{
    REQUIRE(start((struct http_server_config){0}));
    SCOPED(buf_done) struct buf got = {0};
    int fd = dial(), idle = dial();
    say(fd, SV("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK_SOON(held() == 1, 5000);
    pthread_t thread;
    pthread_create(&thread, NULL, reply_later, take_held());
    http_server_close(t.server, 10000);
    t.server = NULL;
    sv answer = hear_all(fd, &got);
    CHECK(sv_ends(answer, SV("finished")));
    CHECK(sv_find(answer, SV("connection: close")) != SV_NPOS);
    char byte;
    CHECK_EQ(recv(idle, &byte, 1, 0), 0);
    pthread_join(thread, NULL);
    close(fd);
    close(idle);
    stop();
}

TEST(closing_gives_up_in_the_end)
{
    REQUIRE(start((struct http_server_config){0}));
    int fd = dial();
    say(fd, SV("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK_SOON(held() == 1, 5000);
    http_server_close(t.server, 20);
    t.server = NULL;
    char byte;
    CHECK(recv(fd, &byte, 1, 0) <= 0);
    struct http_exchange *x = take_held(); /* outlives its server */
    REQUIRE(x);
    CHECK(atomic_load(http_cancelled(x)));
    CHECK_SV(http_request_of(x)->path, SV("/hold"));
    http_reply_text(x, 200, SV("dropped"));
    close(fd);
    stop();
}

TEST(addresses)
{
    static const struct {
        const char *address, *error;
    } cases[] = {{"127.0.0.1", "expected host:port"},
                 {"127.0.0.1:99999", "expected host:port"},
                 {"::1:80", "expected host:port"},
                 {"no.such.host.invalid:0", "no.such.host.invalid"},
                 {"192.0.2.1:0", "cannot listen on 192"}};
    struct loop *l;
    struct err e = {0};
    REQUIRE_OK(loop_open("t", &l, &e), &e);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_server *s = NULL;
        struct http_server_config cfg = {.address = cases[i].address, .name = "web"};
        e = (struct err){0};
        CHECK(!http_server_open(&cfg, &l, 1, NULL, handle, NULL, &s, &e));
        CHECK_ERR(&e, e.code, cases[i].error);
        CHECK_ERR(&e, e.code, "server 'web'");
        CHECK(!s);
    }
    struct http_server *s = NULL;
    struct http_server_config cfg = {.address = "localhost:0"};
    REQUIRE_OK(http_server_open(&cfg, &l, 1, NULL, handle, NULL, &s, &e), &e);
    CHECK(sv_starts(sv_of(http_server_address(s)), SV("127.0.0.1:")));
    struct http_server *again = NULL;
    cfg.address = http_server_address(s);
    CHECK(!http_server_open(&cfg, &l, 1, NULL, handle, NULL, &again, &e));
    CHECK_ERR(&e, ERR_IO, "in use");
    http_server_close(s, 0);
    loop_close(l);
}

/* --- HTTP/2 by hand --- */

enum {
    F_DATA = 0,
    F_HEADERS = 1,
    F_RST = 3,
    F_SETTINGS = 4,
    F_PING = 6,
    F_GOAWAY = 7,
    END_STREAM = 1,
    END_HEADERS = 4
};

static void put_frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t stream, sv payload)
{
    char head[9] = {
        (char)(payload.n >> 16), (char)(payload.n >> 8), (char)payload.n,     (char)type,  (char)flags,
        (char)(stream >> 24),    (char)(stream >> 16),   (char)(stream >> 8), (char)stream};
    buf_put(b, head, sizeof head);
    buf_sv(b, payload);
}

static void put_request(struct buf *b, uint32_t stream, const char *path, bool post)
{
    SCOPED(buf_done) struct buf h = {0};
    buf_put(&h, post ? "\x83\x86\x41\x01x\x04" : "\x82\x86\x41\x01x\x04",
            6); /* :method, :scheme, :authority, :path */
    buf_char(&h, (char)strlen(path));
    buf_sv(&h, sv_of(path));
    put_frame(b, F_HEADERS, post ? END_HEADERS : END_HEADERS | END_STREAM, stream, buf_view(&h));
}

static int dial_h2(struct buf *first)
{
    int fd = dial();
    SCOPED(buf_done) struct buf b = {0};
    buf_sv(&b, SV("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    put_frame(&b, F_SETTINGS, 0, 0, SV_NULL);
    buf_sv(&b, buf_view(first));
    say(fd, buf_view(&b));
    return fd;
}

struct frame {
    uint8_t type, flags;
    uint32_t stream;
    char payload[16384];
    size_t n;
};

static bool hear_exactly(int fd, char *to, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = recv(fd, to + at, n - at, 0);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

static bool hear_frame(int fd, struct frame *f)
{
    uint8_t h[9];
    if (!hear_exactly(fd, (char *)h, sizeof h))
        return false;
    f->n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
    f->type = h[3];
    f->flags = h[4];
    f->stream = (uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8];
    return f->n <= sizeof f->payload && hear_exactly(fd, f->payload, f->n);
}

static bool hear_type(int fd, uint8_t type, struct frame *f)
{
    while (hear_frame(fd, f))
        if (f->type == type)
            return true;
    return false;
}

static uint32_t code_at(const struct frame *f, size_t at)
{
    const uint8_t *p = (const uint8_t *)f->payload + at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

TEST(h2_many_streams_at_once)
{
    REQUIRE(start((struct http_server_config){0}));
    SCOPED(buf_done) struct buf b = {0};
    enum { N = 200 };
    for (uint32_t i = 0; i < N; i++)
        put_request(&b, 2 * i + 1, "/hold", false);
    int fd = dial_h2(&b);
    CHECK_SOON(held() == N, 5000);
    while (held())
        http_reply_text(take_held(), 200, SV("x"));
    static struct frame f;
    size_t ends = 0;
    while (ends < N && hear_frame(fd, &f))
        ends += (f.type == F_DATA || f.type == F_HEADERS) && f.flags & END_STREAM;
    CHECK_EQ(ends, N);
    close(fd);
    stop();
}

TEST(h2_resets_do_not_lift_the_cap_of_streams)
{
    REQUIRE(start((struct http_server_config){.max_concurrent_streams = 50}));
    SCOPED(buf_done) struct buf b = {0};
    for (uint32_t i = 0; i < 200; i++) {
        put_request(&b, 2 * i + 1, "/hold", false);
        put_frame(&b, F_RST, 0, 2 * i + 1, SV("\0\0\0\x08"));
    }
    put_frame(&b, F_PING, 0, 0, SV("12345678"));
    int fd = dial_h2(&b);
    static struct frame f;
    REQUIRE(hear_type(fd, F_PING, &f));
    CHECK_EQ(held(), 50);
    CHECK(atomic_load(http_cancelled(t.held[0])));
    while (held())
        http_reply_text(take_held(), 200, SV("nobody"));
    uint32_t stream =
        401; /* the answers may still be on their way to the loop: then it is refused, and may try again */
    do {
        b.n = 0;
        put_request(&b, stream += 2, "/describe/again", false);
        say(fd, buf_view(&b));
        while (hear_frame(fd, &f) && f.stream != stream)
            ;
    } while (f.stream == stream && f.type == F_RST);
    CHECK_EQ(f.stream, stream);
    CHECK_EQ(f.type, F_HEADERS);
    close(fd);
    stop();
}

TEST(h2_refusals)
{
    REQUIRE(start((struct http_server_config){.max_body_bytes = 1000, .read_timeout_ms = 200}));
    SCOPED(buf_done) struct buf b = {0};
    char body[600] = {0};
    put_request(&b, 1, "/echo", true);
    put_frame(&b, F_DATA, 0, 1, sv_make(body, sizeof body));
    put_frame(&b, F_DATA, 0, 1, sv_make(body, sizeof body));
    put_request(&b, 3, "/echo", true); /* never ends */
    int fd = dial_h2(&b);
    static struct frame f;
    REQUIRE(hear_type(fd, F_DATA, &f));
    CHECK(sv_find(sv_make(f.payload, f.n), SV("max_body_bytes")) != SV_NPOS);
    REQUIRE(hear_type(fd, F_RST, &f));
    CHECK_EQ(code_at(&f, 0), 0); /* NO_ERROR: stop sending, all is said */
    REQUIRE(hear_type(fd, F_DATA, &f));
    CHECK_EQ(f.stream, 3);
    CHECK(sv_find(sv_make(f.payload, f.n), SV("read_timeout")) != SV_NPOS);
    CHECK_EQ(rejected("body_too_large"), 1);
    CHECK_EQ(rejected("read_timeout"), 1);
    close(fd);
    stop();
}

/* Each request but the first says fifteen times "that header again": 60 KiB for 23 bytes. */
TEST(h2_headers_out_of_the_table_count_against_the_budget)
{
    REQUIRE(start((struct http_server_config){.max_inflight_bytes = 500 << 10}));
    SCOPED(buf_done) struct buf b = {0}, h = {0};
    static char value[3990];
    memset(value, 'v', sizeof value);
    buf_put(&h, "\x83\x86\x84\x01\x01x", 6); /* :method, :scheme, :path, :authority */
    buf_put(&h, "\x40\x01y\x7f\x97\x1e", 6);  /* y: 3990 bytes, put into the table */
    buf_put(&h, value, sizeof value);
    put_frame(&b, F_HEADERS, END_HEADERS, 1, buf_view(&h));
    buf_reset(&h);
    buf_put(&h, "\x83\x86\x84\x01\x01x", 6);
    for (int i = 0; i < 15; i++)
        buf_char(&h, (char)0xbe); /* the newest entry of the table */
    for (uint32_t i = 1; i < 20; i++)
        put_frame(&b, F_HEADERS, END_HEADERS, 2 * i + 1, buf_view(&h));
    int fd = dial_h2(&b);
    CHECK_SOON(rejected("inflight_bytes") == 20 - 1 - 8, 5000);
    close(fd);
    CHECK_SOON(connections() == 0, 3000);
    check_exchange(SV("GET /describe/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200 ", "");
    stop();
}

/* Streams above the cap are refused by frames that wait to be sent: no peer may pile these up by not reading. */
TEST(h2_refused_streams_do_not_pile_up)
{
    enum { ENOUGH = 64 << 20, BATCH = 4000 };
    REQUIRE(start((struct http_server_config){.max_concurrent_streams = 1}));
    SCOPED(buf_done) struct buf b = {0};
    int fd = dial_h2(&b), small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    size_t sent = 0, at = 0;
    uint32_t stream = 1;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    while (sent < ENOUGH && poll(&p, 1, 1000) == 1) {
        if (at == b.n) {
            buf_reset(&b);
            for (int i = at = 0; i < BATCH; i++, stream += 2)
                put_request(&b, stream, "/hold", true);
        }
        ssize_t n = send(fd, b.p + at, b.n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        REQUIRE(n > 0 || errno == EAGAIN);
        at += n > 0 ? (size_t)n : 0;
        sent += n > 0 ? (size_t)n : 0;
    }
    CHECK(sent < ENOUGH);
    close(fd);
    stop();
}

TEST(h2_too_many_pings)
{
    REQUIRE(start((struct http_server_config){0}));
    SCOPED(buf_done) struct buf b = {0};
    for (int i = 0; i < 1100; i++)
        put_frame(&b, F_PING, 0, 0, SV("12345678"));
    int fd = dial_h2(&b);
    static struct frame f;
    REQUIRE(hear_type(fd, F_GOAWAY, &f));
    CHECK_EQ(code_at(&f, 4), 11); /* ENHANCE_YOUR_CALM */
    CHECK_SV(sv_make(f.payload + 8, f.n - 8), SV("too_many_pings"));
    while (hear_frame(fd, &f))
        ;
    CHECK_EQ(rejected("protocol_error"), 1);
    close(fd);
    stop();
}

TEST(h2_protocol_errors_end_the_connection)
{
    REQUIRE(start((struct http_server_config){0}));
    SCOPED(buf_done) struct buf b = {0};
    put_frame(&b, F_DATA, 0, 1, SV("on a stream that was never opened"));
    int fd = dial_h2(&b);
    static struct frame f;
    REQUIRE(hear_type(fd, F_GOAWAY, &f));
    CHECK_EQ(code_at(&f, 4), 1); /* PROTOCOL_ERROR */
    CHECK(!hear_frame(fd, &f));
    CHECK_EQ(rejected("protocol_error"), 1);
    close(fd);
    b.n = 0;
    put_frame(&b, F_GOAWAY, 0, 0, SV("\0\0\0\0\0\0\0\0")); /* a proper farewell */
    fd = dial_h2(&b);
    while (hear_frame(fd, &f))
        ;
    CHECK_SOON(connections() == 0, 5000);
    CHECK_EQ(rejected("protocol_error"), 1);
    close(fd);
    stop();
}

TEST(h2_answers_nobody_takes_are_dropped)
{
    REQUIRE(start((struct http_server_config){.read_timeout_ms = 200}));
    SCOPED(buf_done) struct buf b = {0};
    put_frame(&b, F_SETTINGS, 0, 0, SV("\0\4\0\0\0\0")); /* a window of nothing */
    put_request(&b, 1, "/big", false);
    int fd = dial_h2(&b);
    static struct frame f;
    REQUIRE(hear_type(fd, F_RST, &f));
    CHECK_EQ(code_at(&f, 0), 8); /* CANCEL */
    close(fd);
    stop();
}

TEST(h2_closing_says_goaway)
{
    REQUIRE(start((struct http_server_config){0}));
    SCOPED(buf_done) struct buf b = {0};
    put_request(&b, 1, "/hold", false);
    int fd = dial_h2(&b);
    CHECK_SOON(held() == 1, 5000);
    pthread_t thread;
    pthread_create(&thread, NULL, reply_later, take_held());
    http_server_close(t.server, 10000);
    t.server = NULL;
    static struct frame f;
    REQUIRE(hear_type(fd, F_GOAWAY, &f));
    CHECK_EQ(code_at(&f, 4), 0);
    REQUIRE(hear_type(fd, F_DATA, &f));
    CHECK_SV(sv_make(f.payload, f.n), SV("finished"));
    CHECK(!hear_frame(fd, &f));
    pthread_join(thread, NULL);
    close(fd);
    stop();
}

TEST(h2_only_ports)
{
    REQUIRE(start((struct http_server_config){.http2_only = true}));
    check_exchange(SV("GET /describe/ HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 505 ", "connection: close");
    stop();
}

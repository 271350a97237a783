/* The codecs without a socket: HTTP/1 framing, header and path decoding, gRPC frames and values. */
#include "base/test.h"
#include "net/grpc.h"
#include "net/http1.h"

static struct http_budget budget;
static struct http_limits lim;

static void limits_reset(void)
{
    budget.used = 0;
    budget.max = 1 << 20;
    lim = (struct http_limits){
        .max_body_bytes = 1000, .max_header_bytes = 2000, .max_headers = 10, .budget = &budget};
}

/* Feeds `in` in pieces of at most `piece` bytes and writes what comes out: "method path [body]" per request,
 * then the refusal's status, or "…" when more is awaited. */
static void transcript(sv in, size_t piece, struct buf *out)
{
    struct http1 *h = http1_new(&lim);
    bool refused = false;
    while (in.n && !refused) {
        sv now = sv_sub(in, 0, piece);
        in = sv_from(in, now.n);
        while (now.n && !refused) {
            struct http_message *m = NULL;
            const char *why;
            switch (http1_feed(h, &now, &m)) {
            case HTTP1_MORE:
                CHECK_EQ(now.n, 0);
                break;
            case HTTP1_CONTINUE:
                buf_sv(out, SV("(100)"));
                break;
            case HTTP1_REQUEST:
                buf_fmt(out, SV_FMT " " SV_FMT " [" SV_FMT "]%s\n", SV_ARG(m->req.method),
                        SV_ARG(m->req.path), SV_ARG(m->req.body), m->keep_alive ? "" : " close");
                http_message_free(m);
                break;
            case HTTP1_REFUSED:
                buf_fmt(out, "%d", http_refusal_status(http1_refusal(h, &why)));
                CHECK(*why);
                refused = true;
                break;
            }
        }
    }
    if (!refused && !http1_idle(h))
        buf_sv(out, SV("..."));
    http1_free(h);
    CHECK_EQ(budget.used, 0);
}

/* The same, whole and byte by byte. */
static void check_http1(int line, sv in, const char *want)
{
    static const size_t pieces[] = {SIZE_MAX, 1, 7};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        SCOPED(buf_done) struct buf got = {0};
        limits_reset();
        transcript(in, pieces[i], &got);
        if (!sv_eq(buf_view(&got), sv_of(want)))
            test_fail(__FILE__, line, "in pieces of %zu: got \"" SV_FMT "\", want \"%s\"", pieces[i],
                      SV_ARG(buf_view(&got)), want);
    }
}
#define H1(text, want) check_http1(__LINE__, SV(text), want)
#define GET(headers) "GET / HTTP/1.1\r\nHost: x\r\n" headers "\r\n"
#define POST(headers, body) "POST /p HTTP/1.1\r\nHost: x\r\n" headers "\r\n" body

TEST(http1_requests)
{
    H1(GET(""), "GET / []\n");
    H1("\r\n\r\n" GET("") GET("Connection: close\r\n"), "GET / []\nGET / [] close\n");
    H1("GET /a%2Fb%20c?x=%zz HTTP/1.1\r\nhOsT:x\r\n\r\n", "GET /a/b c []\n");
    H1("GET http://h:1/p?q HTTP/1.1\r\nHost: x\r\n\r\n", "GET /p []\n");
    H1("GET http://h?q HTTP/1.1\r\nHost: x\r\n\r\n", "GET / []\n");
    H1("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * []\n");
    H1("GET / HTTP/1.0\r\n\r\n", "GET / [] close\n");
    H1("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / []\n");
    H1("GET / HTTP/1.9\r\nHost: x\r\n\r\n", "GET / []\n");
    H1(POST("Content-Length: 3\r\n", "abc") GET(""), "POST /p [abc]\nGET / []\n");
    H1(POST("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), "POST /p [abc]\n");
    H1(POST("Content-Length: 3\r\n", "ab"), "...");
    H1("GET /", "...");
}

TEST(http1_chunked)
{
#define CHUNKED "Transfer-Encoding: chunked\r\n"
    H1(POST(CHUNKED, "3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\n") GET(""),
       "POST /p [abc0123456789]\nGET / []\n");
    H1(POST("Transfer-Encoding: Chunked\r\n", "3 ;a=b\r\nabc\r\n0;x\r\nTrailer: v\r\n\r\n") GET(""),
       "POST /p [abc]\nGET / []\n");
    H1(POST(CHUNKED, "0\r\n\r\n"), "POST /p []\n");
    H1(POST(CHUNKED, "3\r\nabcd\r\n0\r\n\r\n"), "400");
    H1(POST(CHUNKED, "3\nabc\r\n0\r\n\r\n"), "400");
    H1(POST(CHUNKED, "3\r\nabc\n0\r\n\r\n"), "400");
    H1(POST(CHUNKED, "\r\n"), "400");
    H1(POST(CHUNKED, "-1\r\n"), "400");
    H1(POST(CHUNKED, "0x3\r\nabc\r\n"), "400");
    H1(POST(CHUNKED, "+3\r\nabc\r\n"), "400");
    H1(POST(CHUNKED, "3,\r\nabc\r\n"), "400");
    H1(POST(CHUNKED, "ffffffffffffffff\r\n"), "400");
    H1(POST(CHUNKED, "fffffffffffffff\r\n"), "413");
    H1(POST(CHUNKED, "3e9\r\n"), "413");
    H1(POST(CHUNKED, "0\r\nbad trailer\r\n\r\n"), "400");
    H1(POST(CHUNKED, "0\r\n: v\r\n\r\n"), "400");
    H1(POST(CHUNKED, "3;a\x01\r\nabc\r\n"), "400");
    H1(POST(CHUNKED, "3\r\nab"), "...");
}

TEST(http1_smuggling)
{
    H1(POST("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400");
    H1(POST("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"), "400");
    H1(POST("Content-Length: 3, 3\r\n", "abc"), "400");
    H1(POST("Content-Length: +3\r\n", "abc"), "400");
    H1(POST("Content-Length: 0x3\r\n", "abc"), "400");
    H1(POST("Content-Length:\r\n", ""), "400");
    H1(POST("Content-Length: 99999999999999999999999\r\n", ""), "400");
    H1(POST("Transfer-Encoding: gzip, chunked\r\n", ""), "501");
    H1(POST("Transfer-Encoding: identity\r\n", ""), "501");
    H1(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""), "400");
    H1(POST("Transfer-Encoding: \x0b"
            "chunked\r\n",
            ""),
       "400");
    H1(POST("Transfer-Encoding : chunked\r\n", ""), "400");
    H1("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400");
    H1(GET("X: a\r\n b\r\n"), "400"); /* folded */
    H1(GET(" X: a\r\n"), "400");
    H1("GET / HTTP/1.1\nHost: x\r\n\r\n", "400");
    H1("GET / HTTP/1.1\r\nHost: x\n\r\n\r\n", "400");
    H1("GET / HTTP/1.1\r\nHost: x\r\n\n\r\n\r\n", "400");
    H1(GET("X: a\rb\r\n"), "400");
    H1(GET("X: a\r\r\n"), "400");
    H1(GET("X: a\0b\r\n"), "400");
    H1("\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "400");
    H1("\r\n\r\n\r\n\r\n\r\n", "400");
    H1("GET / HTTP/1.1\r\n\r\n", "400");
    H1(GET("Host: y\r\n"), "400");
}

TEST(http1_malformed)
{
    H1("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "400");
    H1("GET / HTTP/1.1 \r\nHost: x\r\n\r\n", "400");
    H1("GET /\r\nHost: x\r\n\r\n", "400");
    H1("G(T / HTTP/1.1\r\nHost: x\r\n\r\n", "400");
    H1("GET x HTTP/1.1\r\nHost: x\r\n\r\n", "400");
    H1("GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", "400");
    H1("GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", "400");
    H1("GET /%4 HTTP/1.1\r\nHost: x\r\n\r\n", "400");
    H1("GET ftp://h/ HTTP/1.1\r\nHost: x\r\n\r\n", "400");
    H1("CONNECT h:1 HTTP/1.1\r\nHost: x\r\n\r\n", "400");
    H1("GET / http/1.1\r\nHost: x\r\n\r\n", "400");
    H1("GET / HTTP/2.0\r\n\r\n", "505");
    H1("\x16\x03\x01\x02", "400"); /* TLS on a plain port: known by its first byte, no line need end */
    H1(GET("no colon\r\n"), "400");
    H1(GET(": no name\r\n"), "400");
    H1(GET("a: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\ne: 1\r\nf: 1\r\ng: 1\r\nh: 1\r\ni: 1\r\n"), "GET / []\n");
    H1(GET("a: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\ne: 1\r\nf: 1\r\ng: 1\r\nh: 1\r\ni: 1\r\nj: 1\r\n"), "431");
}

TEST(http1_expect)
{
    limits_reset();
    SCOPED(buf_done) struct buf got = {0};
    transcript(SV(POST("Content-Length: 3\r\nExpect: 100-continue\r\n", "")), SIZE_MAX, &got);
    CHECK_SV(buf_view(&got), SV("(100)..."));
    H1(POST("Content-Length: 3\r\nExpect: 200-ok\r\n", ""), "417");
    H1(POST("Content-Length: 1001\r\nExpect: 100-continue\r\n", ""), "413"); /* before the body is sent */
    buf_reset(&got);
    transcript(SV(POST("Content-Length: 3\r\nExpect: 100-continue\r\n", "abc")), SIZE_MAX, &got);
    CHECK_SV(buf_view(&got), SV("POST /p [abc]\n")); /* it did not wait */
}

TEST(http1_head_cap_is_exact)
{
    for (size_t total = 1999; total <= 2001; total++) {
        SCOPED(buf_done) struct buf in = {0}, got = {0};
        limits_reset();
        buf_sv(&in, SV("GET /"));
        while (in.n < total - 13)
            buf_char(&in, 'a');
        buf_sv(&in, SV(" HTTP/1.0\r\n\r\n"));
        transcript(buf_view(&in), SIZE_MAX, &got);
        CHECK_EQ(sv_eq(buf_view(&got), SV("431")), total > 2000);
    }
}

TEST(http1_budget)
{
    limits_reset();
    budget.max = 5 + (4 + 1 + 32) + (14 + 1 + 32); /* a body, and the headers host and content-length */
    SCOPED(buf_done) struct buf got = {0};
    transcript(SV(POST("Content-Length: 3\r\n", "abc") POST("Content-Length: 6\r\n", "abcdef")), SIZE_MAX,
               &got);
    CHECK_SV(buf_view(&got), SV("POST /p [abc]\n503"));
}

TEST(http1_heads)
{
    SCOPED(buf_done) struct buf out = {0};
    struct http_header h = {SV("x"), SV("y")};
    http1_put_head(&out, &(struct http1_head){.version = 11,
                                              .status = 200,
                                              .headers = &h,
                                              .n_headers = 1,
                                              .body_n = 7,
                                              .date = SV("D"),
                                              .keep_alive = true});
    CHECK_SV(buf_view(&out), SV("HTTP/1.1 200 OK\r\ndate: D\r\nx: y\r\ncontent-length: 7\r\n\r\n"));
    buf_reset(&out);
    http1_put_head(&out, &(struct http1_head){.version = 10, .status = 204, .keep_alive = true});
    CHECK_SV(buf_view(&out), SV("HTTP/1.1 204 No Content\r\nconnection: keep-alive\r\n\r\n"));
    buf_reset(&out);
    http1_put_head(&out, &(struct http1_head){.version = 11, .status = 599});
    CHECK_SV(buf_view(&out), SV("HTTP/1.1 599 Unknown\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
}

TEST(params)
{
    SCOPED(arena_done) struct arena a;
    arena_init(&a, 1 << 20);
    struct http_params p;
    struct err e = {0};
    REQUIRE_OK(http_parse_params(SV("a=1&&b=x+y%26z&a=2&flag&=v"), 10, &a, &p, &e), &e);
    CHECK_EQ(p.n, 5);
    CHECK_SV(http_param(&p, SV("a"), 0), SV("1"));
    CHECK_SV(http_param(&p, SV("a"), 1), SV("2"));
    CHECK(http_param(&p, SV("a"), 2).p == NULL);
    CHECK_SV(http_param(&p, SV("b"), 0), SV("x y&z"));
    CHECK(http_param(&p, SV("flag"), 0).p != NULL);
    CHECK(!http_parse_params(SV("a=%4"), 10, &a, &p, &e));
    CHECK_ERR(&e, ERR_PARSE, "parameter 'a'");
    CHECK(!http_parse_params(SV("a&b&c"), 2, &a, &p, &e));
    CHECK_ERR(&e, ERR_LIMIT, "more than 2 parameters");
}

TEST(grpc_frames)
{
    SCOPED(buf_done) struct buf b = {0};
    struct err e = {0};
    bool compressed = false;
    sv m;
    grpc_frame(&b, true, SV("hello"));
    CHECK_SV(buf_view(&b), sv_make("\1\0\0\0\5hello", 10));
    CHECK_OK(grpc_unframe(buf_view(&b), 5, &compressed, &m, &e), &e);
    CHECK(compressed);
    CHECK_SV(m, SV("hello"));
    CHECK(!grpc_unframe(sv_sub(buf_view(&b), 0, 5), 4, &compressed, &m, &e)); /* on the prefix alone */
    CHECK_ERR(&e, ERR_LIMIT, "grpc: received message larger than max (5 vs. 4)");
    for (size_t n = 0; n < b.n; n++) {
        CHECK(!grpc_unframe(sv_sub(buf_view(&b), 0, n), 100, &compressed, &m, &e));
        CHECK_EQ(e.code, ERR_PARSE);
    }
    buf_char(&b, 'x');
    CHECK(!grpc_unframe(buf_view(&b), 100, &compressed, &m, &e));
    CHECK_ERR(&e, ERR_PARSE, "more than one message");
    CHECK(!grpc_unframe(sv_make("\2\0\0\0\0", 5), 100, &compressed, &m, &e));
    CHECK_ERR(&e, ERR_PARSE, "unexpected payload format 2");
}

TEST(grpc_values)
{
    SCOPED(buf_done) struct buf b = {0}, back = {0};
    grpc_put_message(&b, SV("50% of \xc3\xa9\n"));
    CHECK_SV(buf_view(&b), SV("50%25 of %C3%A9%0A"));
    grpc_get_message(buf_view(&b), &back);
    CHECK_SV(buf_view(&back), SV("50% of \xc3\xa9\n"));
    buf_reset(&back);
    grpc_get_message(SV("%zz%4%41%c3"), &back);
    CHECK_SV(buf_view(&back), SV("%zz%4A\xc3"));

    int64_t ns = 0;
    CHECK(grpc_parse_timeout(SV("5S"), &ns));
    CHECK_EQ(ns, 5 * NS_PER_S);
    CHECK(grpc_parse_timeout(SV("200m"), &ns));
    CHECK_EQ(ns, 200 * NS_PER_MS);
    CHECK(grpc_parse_timeout(SV("99999999H"), &ns));
    CHECK_EQ(ns, INT64_MAX);
    static const char *const bad[] = {"", "S", "5", "5s", "-5S", "999999999S", " 5S", "5 S"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!grpc_parse_timeout(sv_of(bad[i]), &ns));
}

TEST(grpc_retry_info_round_trip)
{
    static const int64_t delays[] = {0, 1, 1500, 60000, 86400000};
    for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
        SCOPED(buf_done) struct buf b = {0};
        int64_t ms = -1;
        grpc_put_status_details(&b, 8, SV("full"), delays[i]);
        CHECK(grpc_get_retry_info(buf_view(&b), &ms));
        CHECK_EQ(ms, delays[i]);
        while (b.n % 4)
            buf_char(&b, '='); /* as others pad */
        CHECK(grpc_get_retry_info(buf_view(&b), &ms));
        for (size_t n = 0; n + 4 < b.n; n++) /* damage is not a delay, and no crash */
            (void)!grpc_get_retry_info(sv_sub(buf_view(&b), 0, n), &ms);
    }
    SCOPED(buf_done) struct buf none = {0};
    int64_t ms = -1;
    grpc_put_status_details(&none, 14, SV("x"), -1);
    CHECK(!grpc_get_retry_info(buf_view(&none), &ms));
    CHECK(!grpc_get_retry_info(SV("!!!"), &ms));
    CHECK(!grpc_get_retry_info(SV_NULL, &ms));
    SCOPED(buf_done) struct buf retry = {0};
    grpc_put_retry_info(&retry, 1500); /* RetryInfo { retry_delay { seconds: 1 nanos: 500000000 } } */
    CHECK_SV(buf_view(&retry), SV("CggIARCAyrXuAQ"));
}

/* endpoints_test.c - whom the OTLP exporter asks: several endpoints, those that fail, rest, or ask for time. */
#include "base/clock.h"
#include "sdk/pipeline.h"
#include "sdk/test_peer.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS 3
struct house {
    struct peer peer[PEERS];
    char urls[PEERS * 80];
    weir_exporter *ex;
    struct buf request;
};

/* `first`: an address before those of the peers; or NULL. */
static bool house_open(struct house *h, weir_otlp_options o, const char *first)
{
    weir_error e = {""};
    *h = (struct house){0};
    size_t n = first ? (size_t)snprintf(h->urls, sizeof h->urls, "%s", first) : 0;
    for (int i = 0; i < PEERS; i++) {
        if (!peer_open(&h->peer[i]))
            return false;
        const char *url = o.protocol == WEIR_OTLP_GRPC ? h->peer[i].grpc_url : h->peer[i].http_url;
        n += (size_t)snprintf(h->urls + n, sizeof h->urls - n, "%s%s", n ? "," : "", url);
    }
    o.struct_size = sizeof o;
    o.endpoint = h->urls;
    h->ex = weir_otlp_exporter_new(&o, &e);
    if (!h->ex)
        test_fail(__FILE__, __LINE__, "no exporter: %s", e.message);
    sv one = SV("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"x\"}}]}]}]}");
    return h->ex && otlp_from_json(one, NULL, &h->request, NULL);
}

static void house_close(struct house *h)
{
    weir_exporter_free(h->ex);
    for (int i = 0; i < PEERS; i++)
        peer_close(&h->peer[i]);
    buf_done(&h->request);
}

static weir_export_result export_one(struct house *h)
{
    struct weir_batch batch = {.bytes = buf_view(&h->request), .n = 1};
    weir_export_result r = {.code = 77};
    h->ex->ops.export_logs(h->ex->self, &batch, 60000, &r);
    return r;
}

static void check_ok(struct house *h)
{
    weir_export_result r = export_one(h);
    if (r.code != WEIR_EXPORT_OK)
        test_fail(__FILE__, __LINE__, "export: %d, %s", (int)r.code, r.message);
}

/* "calls/records" of each peer */
static void check_peers(struct house *h, int line, const char *want)
{
    char got[100] = "";
    size_t n = 0;
    for (int i = 0; i < PEERS; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%d/%d", i ? " " : "", h->peer[i].calls, h->peer[i].records);
    if (strcmp(got, want) != 0)
        test_fail(__FILE__, line, "calls/records are %s, not %s", got, want);
}
#define CHECK_PEERS(h, want) check_peers(h, __LINE__, want)

static void minutes_pass(int n)
{
    clock_shift_for_test(0, n * 60 * NS_PER_S);
}

TEST(the_first_that_works_is_used)
{
    static const weir_otlp_protocol protocols[] = {WEIR_OTLP_GRPC, WEIR_OTLP_HTTP_PROTOBUF, WEIR_OTLP_HTTP_JSON};
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        struct house h;
        REQUIRE(house_open(&h, (weir_otlp_options){.protocol = protocols[i]}, NULL));
        check_ok(&h);
        CHECK_PEERS(&h, "1/1 0/0 0/0");
        h.peer[0].mode = BUSY;
        check_ok(&h);
        CHECK_PEERS(&h, "2/1 1/1 0/0");
        check_ok(&h); /* the first rests */
        CHECK_PEERS(&h, "2/1 2/2 0/0");
        h.peer[1].mode = BUSY;
        check_ok(&h);
        CHECK_PEERS(&h, "2/1 3/2 1/1");
        minutes_pass(1);
        check_ok(&h); /* both are asked again, in vain: the batch is not lost by that */
        CHECK_PEERS(&h, "3/1 4/2 2/2");
        h.peer[0].mode = ACCEPT;
        minutes_pass(1);
        check_ok(&h);
        check_ok(&h);
        CHECK_PEERS(&h, "5/3 4/2 2/2");
        house_close(&h);
    }
}

TEST(an_answer_settles_it)
{
    struct house h;
    REQUIRE(house_open(&h, (weir_otlp_options){.protocol = WEIR_OTLP_GRPC}, NULL));
    h.peer[0].mode = PARTIAL;
    weir_export_result r = export_one(&h);
    CHECK_EQ(r.code, WEIR_EXPORT_OK);
    CHECK_EQ(r.n_rejected, 2);
    h.peer[0].mode = REFUSE;
    CHECK_EQ(export_one(&h).code, WEIR_EXPORT_FAILED);
    CHECK_PEERS(&h, "2/1 0/0 0/0");
    house_close(&h);
}

/* Those that rest are tried when nobody else works, and again in the next round. */
TEST(when_all_fail_another_round_follows)
{
    struct house h;
    REQUIRE(house_open(&h, (weir_otlp_options){.protocol = WEIR_OTLP_GRPC}, "http://127.0.0.1:1"));
    for (int i = 0; i < PEERS; i++)
        h.peer[i].mode = BUSY_ONCE;
    check_ok(&h);
    CHECK_PEERS(&h, "2/1 1/0 1/0");
    house_close(&h);
    REQUIRE(house_open(&h, (weir_otlp_options){.protocol = WEIR_OTLP_HTTP_PROTOBUF, .timeout_ms = 2500}, NULL));
    for (int i = 0; i < PEERS; i++)
        h.peer[i].mode = BUSY;
    weir_export_result r = export_one(&h);
    CHECK_EQ(r.code, WEIR_EXPORT_RETRY);
    CHECK_EQ(r.retry_after_ms, -1);
    CHECK(strstr(r.message, "HTTP status 502") != NULL);
    CHECK(h.peer[0].calls >= 1 && h.peer[0].calls == h.peer[1].calls && h.peer[1].calls == h.peer[2].calls);
    h.peer[2].mode = ACCEPT;
    check_ok(&h);
    CHECK_EQ(h.peer[2].records, 1);
    house_close(&h);
}

TEST(round_robin_takes_turns)
{
    struct house h;
    REQUIRE(house_open(&h, (weir_otlp_options){.protocol = WEIR_OTLP_GRPC, .balance = WEIR_OTLP_ROUND_ROBIN}, NULL));
    for (int i = 0; i < 9; i++)
        check_ok(&h);
    CHECK_PEERS(&h, "3/3 3/3 3/3");
    h.peer[1].mode = BUSY;
    for (int i = 0; i < 6; i++)
        check_ok(&h);
    CHECK_PEERS(&h, "5/5 4/3 7/7");
    h.peer[1].mode = ACCEPT;
    minutes_pass(1);
    for (int i = 0; i < 3; i++)
        check_ok(&h);
    CHECK_PEERS(&h, "6/6 5/4 8/8");
    house_close(&h);
}

TEST(a_silent_endpoint_leaves_time_for_the_others)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* accepts in the kernel, never answers */
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    char url[64];
    REQUIRE(bind(fd, (void *)&a, len) == 0 && listen(fd, 4) == 0 && getsockname(fd, (void *)&a, &len) == 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(a.sin_port));
    for (int i = 0; i < 2; i++) {
        struct house h;
        weir_otlp_protocol protocol = i ? WEIR_OTLP_HTTP_PROTOBUF : WEIR_OTLP_GRPC;
        REQUIRE(house_open(&h, (weir_otlp_options){.protocol = protocol, .timeout_ms = 8000}, url));
        check_ok(&h);
        CHECK_PEERS(&h, "1/1 0/0 0/0");
        house_close(&h);
    }
    close(fd);
}

TEST(an_endpoint_that_asks_for_time_gets_it)
{
    for (int i = 0; i < 2; i++) {
        struct house h;
        REQUIRE(house_open(&h, (weir_otlp_options){.protocol = i ? WEIR_OTLP_HTTP_PROTOBUF : WEIR_OTLP_GRPC}, NULL));
        h.peer[0].mode = BUSY_FOR_YEARS;
        check_ok(&h);
        CHECK_PEERS(&h, "1/0 1/1 0/0");
        minutes_pass(4); /* its rest is over, its time is not */
        check_ok(&h);
        CHECK_PEERS(&h, "1/0 2/2 0/0");
        minutes_pass(1); /* what it may ask for at most */
        check_ok(&h);
        CHECK_PEERS(&h, "2/1 2/2 0/0");
        house_close(&h);
    }
}

/* Nobody can silence an app for longer than max_retry_after_ms. */
TEST(what_peers_may_ask_for_is_capped)
{
    for (int i = 0; i < 2; i++) {
        struct house h;
        weir_otlp_options o = {.protocol = i ? WEIR_OTLP_HTTP_JSON : WEIR_OTLP_GRPC};
        REQUIRE(house_open(&h, o, NULL));
        for (int k = 0; k < PEERS; k++)
            h.peer[k].mode = BUSY_FOR_YEARS;
        weir_export_result r = export_one(&h);
        CHECK_EQ(r.code, WEIR_EXPORT_RETRY);
        CHECK(r.retry_after_ms > 240000 && r.retry_after_ms <= 300000);
        CHECK_PEERS(&h, "1/0 1/0 1/0");
        check_ok(&h); /* the caller insists */
        CHECK_PEERS(&h, "2/1 1/0 1/0");
        house_close(&h);
        o.max_retry_after_ms = 20;
        REQUIRE(house_open(&h, o, NULL));
        for (int k = 0; k < PEERS; k++)
            h.peer[k].mode = BUSY_FOR_YEARS;
        check_ok(&h);
        CHECK_PEERS(&h, "2/1 1/0 1/0");
        house_close(&h);
    }
}

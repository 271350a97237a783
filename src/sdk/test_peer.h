/* test_peer.h - a server of ours that answers exporters as it is told, over gRPC and HTTP, for the tests of the exporters. */
#pragma once
#include "base/lock.h"
#include "base/test.h"
#include "net/grpc.h"
#include "net/server.h"
#include "otlp/json.h"
#include "otlp/request.h"
#include "otlp/walk.h"
#include "otlp/write.h"
#include <stdatomic.h>
#include <weir/weir.h>

enum mode { ACCEPT, PARTIAL, BUSY_ONCE, BUSY, BUSY_FOR_YEARS /* so it says, once */, REFUSE, HOLD };

struct peer {
    struct loop *loop;
    struct metrics *metrics;
    struct http_server *server;
    char grpc_url[80], http_url[80];
    _Atomic int mode, calls, records, bad;
    struct lock mu;
    char header[64], agent[64], instance[64], encoding[64]; /* of the last call, under mu */
    struct grpc_call *held;                   /* under mu */
};

static inline UNUSED void count(struct peer *p, const struct http_request *r, sv message)
{
    struct otlp_counts counts = {0};
    struct otlp_resource_logs rl;
    struct otlp_attr a;
    if (!otlp_check(message, NULL, &counts, NULL))
        p->bad++;
    LOCK_SCOPED(&p->mu);
    snprintf(p->header, sizeof p->header, SV_FMT, SV_ARG(http_header(r, SV("x-key"))));
    sv encoding = http_header(r, SV("content-encoding"));
    if (!encoding.n)
        encoding = http_header(r, SV("grpc-encoding"));
    snprintf(p->encoding, sizeof p->encoding, SV_FMT, SV_ARG(encoding));
    snprintf(p->agent, sizeof p->agent, SV_FMT, SV_ARG(http_header(r, SV("user-agent"))));
    for (struct otlp_iter it = otlp_resources(message); otlp_next_resource(&it, &rl);)
        for (struct otlp_attr_iter at = otlp_attrs(rl.resource, OTLP_RESOURCE_ATTRS); otlp_next_attr(&at, &a);)
            if (sv_eq(a.key, SV("service.instance.id")))
                snprintf(p->instance, sizeof p->instance, SV_FMT, SV_ARG(otlp_read_value(a.value).text));
    p->records += (int)counts.records;
}

/* A copy of one of the texts, for the test's thread. */
static inline UNUSED const char *seen(struct peer *p, const char *text, char room[64])
{
    LOCK_SCOPED(&p->mu);
    snprintf(room, 64, "%s", text);
    return room;
}

static inline UNUSED void export_call(void *ctx, struct grpc_call *c)
{
    struct peer *p = ctx;
    struct buf body = {0};
    int call = p->calls++;
    switch ((enum mode)p->mode) {
    case BUSY_ONCE:
        if (call == 0) {
            grpc_reply(c, 14, SV("busy 100%"), NULL, 20);
            return;
        }
        break;
    case BUSY:
        grpc_reply(c, 14, SV("busy"), NULL, -1);
        return;
    case BUSY_FOR_YEARS:
        if (call == 0) {
            grpc_reply(c, 8, SV("busy"), NULL, 1000000000000);
            return;
        }
        break;
    case REFUSE:
        grpc_reply(c, 3, SV("bad \xc3\xa4"), NULL, -1);
        return;
    case HOLD:
        lock_acquire(&p->mu);
        p->held = c;
        lock_release(&p->mu);
        return;
    case PARTIAL:
        otlp_put_response(&body, 2, SV("too old"));
        break;
    case ACCEPT:
        break;
    }
    count(p, grpc_request(c), grpc_message(c));
    grpc_reply(c, 0, SV_NULL, &body, -1);
}

/* An HTTP body of either encoding, compressed or not. */
static inline UNUSED void count_body(struct peer *p, const struct http_request *r)
{
    enum otlp_encoding encoding;
    enum codec codec;
    struct batch *b = NULL;
    struct err e = {0};
    if (!otlp_encoding_of(http_header(r, SV("content-type")), &encoding) ||
        !codec_of_name(http_header(r, SV("content-encoding")), &codec) ||
        !otlp_decode_request(encoding, codec, r->body, 0, NULL, SV_NULL, 0, &b, &e)) {
        p->bad++;
        return;
    }
    count(p, r, b->bytes);
    batch_unref(b);
}

static inline UNUSED void http_call(void *ctx, struct http_exchange *x)
{
    struct peer *p = ctx;
    struct buf body = {0};
    int call = p->calls++;
    bool json = sv_eq(http_header(http_request_of(x), SV("content-type")), SV("application/json"));
    if (p->mode == REFUSE) {
        if (json)
            otlp_status_json(&body, 3, SV("bad line"), -1);
        else
            otlp_put_status(&body, 3, SV("bad line"), -1);
        http_reply(x, 400, NULL, 0, &body);
    } else if (p->mode == BUSY_ONCE && call == 0) {
        http_reply(x, 503, &(struct http_header){SV("retry-after"), SV("0")}, 1, NULL);
    } else if (p->mode == BUSY) {
        http_reply(x, 502, NULL, 0, NULL);
    } else if (p->mode == BUSY_FOR_YEARS && call == 0) {
        http_reply(x, 429, &(struct http_header){SV("retry-after"), SV("1000000000")}, 1, NULL);
    } else {
        count_body(p, http_request_of(x));
        if (p->mode == PARTIAL && json)
            otlp_response_json(&body, 2, SV("too old"));
        else if (p->mode == PARTIAL)
            otlp_put_response(&body, 2, SV("too old"));
        http_reply(x, 200, NULL, 0, &body);
    }
}

static inline UNUSED void handle(void *ctx, struct http_exchange *x)
{
    static const struct grpc_method methods[] = {
        {"/opentelemetry.proto.collector.logs.v1.LogsService/Export", export_call}, {0}};
    static const struct grpc_config cfg = {0};
    if (sv_eq(http_request_of(x)->path, SV("/v1/logs")))
        http_call(ctx, x);
    else
        grpc_serve(&cfg, methods, ctx, x);
}

/* Plain text without a certificate; client_ca: asks for the client's as well, or NULL. */
static inline UNUSED bool peer_open_tls(struct peer *p, char *cert_file, char *key_file, char *client_ca)
{
    struct err e = {0};
    struct http_server_config cfg = {.address = "127.0.0.1:0", .name = "peer",
                                     .tls = {.cert_file = cert_file, .key_file = key_file, .client_ca_file = client_ca}};
    const char *scheme = cert_file ? "https" : "http";
    *p = (struct peer){0};
    lock_init(&p->mu);
    p->metrics = metrics_new();
    CHECK_OK(loop_open("peer", &p->loop, &e), &e);
    CHECK_OK(http_server_open(&cfg, &p->loop, 1, p->metrics, handle, p, &p->server, &e), &e);
    if (!p->server)
        return false;
    snprintf(p->grpc_url, sizeof p->grpc_url, "%s://%s", scheme, http_server_address(p->server));
    snprintf(p->http_url, sizeof p->http_url, "%s://%s/v1/logs", scheme, http_server_address(p->server));
    return true;
}

static inline UNUSED bool peer_open(struct peer *p)
{
    return peer_open_tls(p, NULL, NULL, NULL);
}

static inline UNUSED void peer_close(struct peer *p)
{
    CHECK_EQ(p->bad, 0);
    http_server_close(p->server, 1000);
    loop_close(p->loop);
    metrics_free(p->metrics);
    lock_done(&p->mu);
}

static inline UNUSED weir_provider *provider_of(const weir_otlp_options *o)
{
    weir_error e = {""};
    weir_processor *p = weir_batch_processor_new(weir_otlp_exporter_new(o, &e), NULL, &e);
    weir_provider *got = weir_provider_new(NULL, &p, 1, &e);
    if (!got)
        test_fail(__FILE__, __LINE__, "no provider: %s", e.message);
    return got;
}

static inline UNUSED weir_otlp_options options(const char *url, weir_otlp_protocol protocol, int64_t timeout_ms)
{
    weir_otlp_options o = weir_otlp_options_init();
    o.endpoint = url;
    o.protocol = protocol;
    o.headers = "x-key=se%20cret";
    o.timeout_ms = timeout_ms;
    return o;
}

static inline UNUSED weir_provider *provider(const char *url, weir_otlp_protocol protocol, int64_t timeout_ms)
{
    weir_otlp_options o = options(url, protocol, timeout_ms);
    return provider_of(&o);
}

static inline UNUSED weir_stats stats(weir_provider *p)
{
    weir_stats s = {.struct_size = sizeof s};
    weir_provider_stats(p, &s);
    return s;
}

static inline UNUSED void emit(weir_provider *p, int n)
{
    weir_logger *lg = weir_provider_logger(p, "t", NULL, NULL, NULL, 0);
    for (int i = 0; i < n; i++)
        weir_info(lg, "{i}", weir_i64("i", i));
}

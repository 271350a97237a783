/* receiver_otlp.c - OTLP in, over gRPC and HTTP.
 * (1) One validating walk here (otlp_decode_request) lets everyone behind trust the bytes.
 * (2) A request is answered when the pipeline answers for it: on any thread, at any time. Nothing blocks a loop: what may
 *     take long to decode (anything compressed, JSON, large) goes to a pool of threads, as many as there are loops; when
 *     decoding_queue_size requests wait there, the next is told to come back. The threads also bound the memory: a body
 *     grows while it is unpacked, and JSON needs many times its size while it is read.
 * (3) Answers are those of the OTLP specification; where the Collector's differ (413 for a body over the limit, which it
 *     answers with 400), the specification wins.
 * (4) X-Scope-OrgID names the tenant of a request; requests of different tenants are never joined. */
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/pool.h"
#include "collector/plug.h"
#include "net/grpc.h"
#include "net/server.h"
#include "otlp/json.h"
#include "otlp/request.h"
#include "otlp/write.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TENANT_MAX 150
#define INLINE_BODY_MAX (64 << 10) /* of plain protobuf: checked in less time than it takes to read it from the socket */
#define BUSY_RETRY_MS 1000

/* ---- configuration ---- */

struct server_parameters {
    int64_t max_connection_idle, time;
};
struct keepalive_cfg {
    struct server_parameters server_parameters;
};
struct grpc_cfg {
    char *endpoint, *transport;
    uint64_t max_recv_msg_size_mib, max_concurrent_streams;
    struct keepalive_cfg keepalive;
    bool tls_set;
    struct tls_server_config tls;
};
struct http_cfg {
    char *endpoint, *logs_url_path;
    uint64_t max_request_body_size;
    int64_t read_timeout, idle_timeout;
    struct strings compression_algorithms;
    bool tls_set;
    struct tls_server_config tls;
};
struct protocols_cfg {
    bool grpc_set, http_set;
    struct grpc_cfg grpc;
    struct http_cfg http;
};
struct otlp_cfg {
    struct protocols_cfg protocols;
    uint64_t max_records, decoding_queue_size;
};

static const struct other_key tls_others[] = {
    {"ca_file", KEY_NO_EFFECT, "it is for outgoing connections; clients are checked with client_ca_file"},
    {"ca_pem", KEY_UNSUPPORTED, "use client_ca_file"},
    {"cert_pem", KEY_UNSUPPORTED, "use cert_file"},
    {"key_pem", KEY_UNSUPPORTED, "use key_file"},
    {"client_ca_file_reload", KEY_UNSUPPORTED, "certificates are read again on SIGHUP"},
    {"max_version", KEY_UNSUPPORTED, "the newest both sides know is used"},
    {"cipher_suites", KEY_UNSUPPORTED, "the library's choice is used"},
    {"curve_preferences", KEY_UNSUPPORTED, "the library's choice is used"},
    {"reload_interval", KEY_UNSUPPORTED, "certificates are read again on SIGHUP"},
    {"tpm", KEY_UNSUPPORTED, "keys come from files"},
    {0}};
static void tls_check(const struct reading *rd, void *cfg)
{
    const struct tls_server_config *t = cfg;
    bool cert = t->cert_file && *t->cert_file, key = t->key_file && *t->key_file;
    if (cert != key || (!cert && section_has(rd, "client_ca_file")))
        section_problem(rd, NULL, "provide both certificate and key: 'cert_file' and 'key_file'");
    sv min = sv_of(t->min_version);
    if (min.n && !sv_eq(min, SV("1.2")) && !sv_eq(min, SV("1.3")))
        section_problem(rd, "min_version", "unsupported TLS version: \"%s\" (1.2, 1.3)", t->min_version);
}
static const struct section tls_section = {.options = tls_server_options, .others = tls_others, .check = tls_check};

static const struct option parameters_options[] = {
    OPT(DURATION, struct server_parameters, max_connection_idle, "0s", "close a connection idle this long; 0: 2 minutes"),
    OPT(DURATION, struct server_parameters, time, "2h", "ping a silent peer after this long"),
    {0}};
static const struct other_key parameters_others[] = {
    {"max_connection_age", KEY_UNSUPPORTED, "connections have no greatest age"},
    {"max_connection_age_grace", KEY_UNSUPPORTED, "connections have no greatest age"},
    {"timeout", KEY_UNSUPPORTED, "a ping is waited for 20 s"},
    {0}};
static const struct section parameters_section = {.options = parameters_options, .others = parameters_others};
static const struct sub keepalive_subs[] = {
    {.name = "server_parameters", .offset = offsetof(struct keepalive_cfg, server_parameters), .set = NO_FLAG,
     .section = &parameters_section, .help = "what the server does"},
    {0}};
static const struct other_key keepalive_others[] = {
    {"enforcement_policy", KEY_NO_EFFECT, "peers may ping as often as they like"}, {0}};
static const struct section keepalive_section = {.subs = keepalive_subs, .others = keepalive_others};

#define SERVER_OTHERS                                                                                             \
    {"auth", KEY_UNSUPPORTED, "there are no authenticators yet"}, {"middlewares", KEY_UNSUPPORTED, "there are none"},  \
        {"include_metadata", KEY_UNSUPPORTED, "only the tenant (X-Scope-OrgID) travels with a request"}

static const struct option grpc_options[] = {
    OPT(STR, struct grpc_cfg, endpoint, "localhost:4317", "where to listen; port 0 picks one"),
    OPT(STR, struct grpc_cfg, transport, "tcp", "tcp"),
    OPT(U64, struct grpc_cfg, max_recv_msg_size_mib, "0", "largest message after decompression; 0: 4 MiB"),
    OPT(U64, struct grpc_cfg, max_concurrent_streams, "0", "of one connection; 0: 256"),
    {0}};
static const struct sub grpc_subs[] = {
    {.name = "tls", .offset = offsetof(struct grpc_cfg, tls), .set = offsetof(struct grpc_cfg, tls_set),
     .section = &tls_section, .help = "serve TLS"},
    {.name = "keepalive", .offset = offsetof(struct grpc_cfg, keepalive), .set = NO_FLAG, .section = &keepalive_section,
     .help = "of idle connections"},
    {0}};
static const struct other_key grpc_others[] = {
    {"read_buffer_size", KEY_NO_EFFECT, "buffers grow as needed"},
    {"write_buffer_size", KEY_NO_EFFECT, "buffers grow as needed"},
    SERVER_OTHERS,
    {0}};
static void grpc_check(const struct reading *rd, void *cfg)
{
    const struct grpc_cfg *c = cfg;
    section_check_endpoint(rd, c->endpoint);
    if (!sv_eq(sv_of(c->transport), SV("tcp")))
        section_problem(rd, "transport", "transport \"%s\" is not supported (tcp)", c->transport);
    if (c->max_recv_msg_size_mib > 1024)
        section_problem(rd, "max_recv_msg_size_mib", "'max_recv_msg_size_mib' must be at most 1024");
    if (c->max_concurrent_streams > UINT32_MAX)
        section_problem(rd, "max_concurrent_streams", "'max_concurrent_streams' must be at most 4294967295");
}
static const struct section grpc_section = {
    .options = grpc_options, .subs = grpc_subs, .others = grpc_others, .check = grpc_check};

static const struct option http_options[] = {
    OPT(STR, struct http_cfg, endpoint, "localhost:4318", "where to listen; port 0 picks one"),
    OPT(STR, struct http_cfg, logs_url_path, "/v1/logs", "where logs are posted"),
    OPT(U64, struct http_cfg, max_request_body_size, "20971520", "largest body in bytes, as sent and after decompression"),
    OPT(DURATION, struct http_cfg, read_timeout, "0s", "longest time for one request to arrive; 0: 60 s"),
    OPT(DURATION, struct http_cfg, idle_timeout, "0s", "close a connection idle this long; 0: 2 minutes"),
    {0}};
static const struct sub http_subs[] = {
    {.name = "compression_algorithms", .kind = SUB_STRINGS, .offset = offsetof(struct http_cfg, compression_algorithms),
     .set = NO_FLAG, .help = "the ones accepted; unset: gzip, zstd, zlib, snappy, deflate, lz4, x-snappy-framed"},
    {.name = "tls", .offset = offsetof(struct http_cfg, tls), .set = offsetof(struct http_cfg, tls_set),
     .section = &tls_section, .help = "serve TLS"},
    {0}};
static const struct other_key http_others[] = {
    {"cors", KEY_UNSUPPORTED, "requests of web pages from elsewhere are not answered yet"},
    {"response_headers", KEY_UNSUPPORTED, "answers have no extra headers"},
    {"traces_url_path", KEY_NO_EFFECT, "only logs are received"},
    {"metrics_url_path", KEY_NO_EFFECT, "only logs are received"},
    {"profiles_url_path", KEY_NO_EFFECT, "only logs are received"},
    {"read_header_timeout", KEY_NO_EFFECT, "read_timeout covers the whole request"},
    {"write_timeout", KEY_NO_EFFECT, "answers are short"},
    {"keep_alives_enabled", KEY_ALWAYS_ON, "connections are kept"},
    SERVER_OTHERS,
    {0}};
static bool known_codec(const char *name)
{
    enum codec codec;
    return codec_of_name(sv_of(name), &codec);
}
static void http_check(const struct reading *rd, void *cfg)
{
    struct http_cfg *c = cfg;
    section_check_endpoint(rd, c->endpoint);
    for (size_t i = 0; i < c->compression_algorithms.n; i++)
        if (!known_codec(c->compression_algorithms.at[i]))
            section_problem(rd, "compression_algorithms", "unsupported compression type \"%s\"",
                            c->compression_algorithms.at[i]);
    if (c->max_request_body_size > (uint64_t)1 << 30)
        section_problem(rd, "max_request_body_size", "'max_request_body_size' must be at most 1073741824");
    if (!c->logs_url_path || *c->logs_url_path == '/')
        return;
    size_t n = strlen(c->logs_url_path);
    char *path = malloc(n + 2);
    if (!path) {
        section_problem(rd, NULL, "out of memory");
        return;
    }
    snprintf(path, n + 2, "/%s", c->logs_url_path); /* as upstream, a missing slash is added */
    free(c->logs_url_path);
    c->logs_url_path = path;
}
static const struct section http_section = {
    .options = http_options, .subs = http_subs, .others = http_others, .check = http_check};

static const struct sub protocols_subs[] = {
    {.name = "grpc", .offset = offsetof(struct protocols_cfg, grpc), .set = offsetof(struct protocols_cfg, grpc_set),
     .section = &grpc_section, .help = "OTLP/gRPC"},
    {.name = "http", .offset = offsetof(struct protocols_cfg, http), .set = offsetof(struct protocols_cfg, http_set),
     .section = &http_section, .help = "OTLP/HTTP, protobuf and JSON"},
    {0}};
static const struct section protocols_section = {.subs = protocols_subs};
static const struct option otlp_options[] = {
    OPT(U64, struct otlp_cfg, max_records, "1000000", "most records of one request, however small; 0: no limit"),
    OPT(U64, struct otlp_cfg, decoding_queue_size, "256", "large, compressed and JSON requests that may wait to be decoded"),
    {0}};
static const struct sub otlp_subs[] = {
    {.name = "protocols", .offset = offsetof(struct otlp_cfg, protocols), .set = NO_FLAG, .section = &protocols_section,
     .help = "at least one of them"},
    {0}};
static void otlp_check_cfg(const struct reading *rd, void *cfg)
{
    const struct otlp_cfg *c = cfg;
    if (!c->protocols.grpc_set && !c->protocols.http_set)
        section_problem(rd, "protocols", "must specify at least one protocol when using the OTLP receiver");
    if (c->max_records > UINT32_MAX)
        section_problem(rd, "max_records", "'max_records' must be at most 4294967295");
    if (c->decoding_queue_size == 0 || c->decoding_queue_size > 1000000)
        section_problem(rd, "decoding_queue_size", "'decoding_queue_size' must be from 1 to 1000000");
}
static const struct section otlp_section = {.options = otlp_options, .subs = otlp_subs, .check = otlp_check_cfg};

/* ---- receiving ---- */

struct transport { /* counters of one protocol */
    struct metric *accepted, *refused, *malformed, *busy;
};
struct receiver {
    const struct otlp_cfg *cfg; /* set by open_receiver(), then read-only; so what follows */
    struct log_sink to;
    struct http_server *grpc_server, *http_server;
    struct pool *decoders;
    struct transport by_grpc, by_http;
    uint64_t max_http_bytes, max_grpc_bytes;
    struct otlp_limits limits;
    struct lock mu;
    struct cond idle;
    size_t under_way; /* under mu: requests not yet answered */
};

/* One request, from its arrival to its answer. Exactly one of x and call is set. */
struct request {
    struct receiver *rc;
    struct http_exchange *x;
    struct grpc_call *call;
    enum otlp_encoding encoding;
    enum codec codec;
    uint32_t n; /* records, once the pipeline has it */
    struct pool_task task;
};

/* A tenant as Loki accepts it; it becomes part of headers and directory names further on. */
static bool tenant_ok(sv t)
{
    if (t.n > TENANT_MAX || sv_eq(t, SV(".")) || sv_eq(t, SV("..")))
        return false;
    for (size_t i = 0; i < t.n; i++) {
        char c = t.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !(c && strchr("!-_.*'()", c)))
            return false;
    }
    return true;
}

static void reply_status(struct http_exchange *x, enum otlp_encoding encoding, int status, int grpc_code, sv message,
                         int64_t after_ms)
{
    struct buf body = {0};
    if (encoding == OTLP_JSON)
        otlp_status_json(&body, grpc_code, message, after_ms);
    else
        otlp_put_status(&body, grpc_code, message, after_ms);
    char seconds[24];
    snprintf(seconds, sizeof seconds, "%" PRId64, (after_ms + 999) / 1000);
    const struct http_header headers[] = {
        {SV("content-type"), encoding == OTLP_JSON ? SV("application/json") : SV("application/x-protobuf")},
        {SV("retry-after"), sv_of(seconds)}};
    http_reply(x, status, headers, after_ms >= 0 && (status == 429 || status == 503) ? 2 : 1, &body);
}

static void reply_ok(struct http_exchange *x, enum otlp_encoding encoding, uint32_t n_rejected, sv message)
{
    struct buf body = {0};
    if (encoding == OTLP_JSON)
        otlp_response_json(&body, n_rejected, message);
    else
        otlp_put_response(&body, n_rejected, message);
    const struct http_header headers[] = {
        {SV("content-type"), encoding == OTLP_JSON ? SV("application/json") : SV("application/x-protobuf")}};
    http_reply(x, 200, headers, 1, &body);
}

/* ---- a request's way ---- */

/* NULL: out of memory, and nothing has been answered. */
static struct request *request_new(struct receiver *rc, struct http_exchange *x, struct grpc_call *call)
{
    struct request *rq = malloc(sizeof *rq);
    if (!rq)
        return NULL;
    *rq = (struct request){.rc = rc, .x = x, .call = call};
    LOCK_SCOPED(&rc->mu);
    rc->under_way++;
    return rq;
}

/* After its answer. */
static void request_end(struct request *rq)
{
    struct receiver *rc = rq->rc;
    free(rq);
    LOCK_SCOPED(&rc->mu);
    if (--rc->under_way == 0)
        cond_broadcast(&rc->idle);
}

static struct transport *transport_of(const struct request *rq)
{
    return rq->call ? &rq->rc->by_grpc : &rq->rc->by_http;
}

static void end_ok(struct request *rq, uint32_t n_rejected, sv message)
{
    struct buf body = {0};
    if (rq->call) {
        otlp_put_response(&body, n_rejected, message);
        grpc_reply(rq->call, GRPC_OK, SV_NULL, &body, -1);
    } else {
        reply_ok(rq->x, rq->encoding, n_rejected, message);
    }
    request_end(rq);
}

static void end_error(struct request *rq, int http_status, int code, sv message, int64_t after_ms)
{
    if (rq->call)
        grpc_reply(rq->call, code, message, NULL, after_ms);
    else
        reply_status(rq->x, rq->encoding, http_status, code, message, after_ms);
    request_end(rq);
}

/* Why a request does not get to the pipeline, as statuses. */
static void end_refused(struct request *rq, const struct err *e)
{
    sv message = sv_of(e->msg);
    if (e->code == ERR_NOMEM) {
        end_error(rq, 503, GRPC_UNAVAILABLE, message, -1);
        return;
    }
    metric_add(transport_of(rq)->malformed, 1);
    if (e->code == ERR_LIMIT) /* without RetryInfo: for good, as a message too large */
        end_error(rq, 413, rq->call ? GRPC_RESOURCE_EXHAUSTED : GRPC_INVALID_ARGUMENT, message, -1);
    else if (rq->call && e->code != ERR_INVALID) /* no message of the service: the answer of every gRPC library */
        end_error(rq, 400, GRPC_INTERNAL, message, -1);
    else
        end_error(rq, 400, GRPC_INVALID_ARGUMENT, message, -1);
}

/* The pipeline's answer. */
static void pushed(void *ctx, const struct push_result *r)
{
    struct request *rq = ctx;
    struct transport *tp = transport_of(rq);
    sv message = sv_of(r->err.msg);
    metric_add(r->code == PUSH_SENT ? tp->accepted : tp->refused, rq->n);
    if (r->code == PUSH_SENT)
        end_ok(rq, r->n_rejected, message);
    else
        end_error(rq, http_status_of_push(r), grpc_code_of_push(r), message, r->retry_after_ms);
}

static void decode_and_push(struct request *rq)
{
    struct receiver *rc = rq->rc;
    const struct http_request *r = rq->call ? grpc_request(rq->call) : http_request_of(rq->x);
    sv body = rq->call ? grpc_message(rq->call) : r->body;
    struct err e = {0};
    struct batch *b;
    if (!otlp_decode_request(rq->encoding, rq->codec, body, rq->call ? 0 : rc->max_http_bytes, &rc->limits,
                             http_header(r, SV("x-scope-orgid")), r->received_wall_ns, &b, &e)) {
        end_refused(rq, &e);
        return;
    }
    if (b->n_records) {
        rq->n = b->n_records;
        sink_push(&rc->to, b, pushed, rq);
    } else {
        end_ok(rq, 0, SV_NULL);
    }
    batch_unref(b);
}

static void decode_task(struct pool_task *t)
{
    struct request *rq = CONTAINER_OF(t, struct request, task);
    if (atomic_load(rq->call ? grpc_cancelled(rq->call) : http_cancelled(rq->x))) /* nobody waits for it any more */
        end_error(rq, 503, GRPC_UNAVAILABLE, SV("nobody waits for the answer"), -1);
    else
        decode_and_push(rq);
}

static void start_request(struct request *rq, size_t body_bytes)
{
    if (rq->encoding == OTLP_PROTOBUF && rq->codec == CODEC_NONE && body_bytes <= INLINE_BODY_MAX) {
        decode_and_push(rq);
        return;
    }
    rq->task.fn = decode_task;
    if (!pool_submit(rq->rc->decoders, &rq->task)) {
        metric_add(transport_of(rq)->busy, 1);
        end_error(rq, 503, GRPC_UNAVAILABLE, SV("too many requests wait to be decoded (decoding_queue_size)"), BUSY_RETRY_MS);
    }
}

static bool codec_accepted(const struct http_cfg *cfg, sv name, enum codec *ret)
{
    *ret = CODEC_NONE;
    if (name.n == 0 || sv_eq_nocase(name, SV("identity")))
        return true;
    const struct strings *only = &cfg->compression_algorithms;
    bool listed = only->n == 0;
    for (size_t i = 0; i < only->n; i++)
        listed |= sv_eq_nocase(name, sv_of(only->at[i]));
    return listed && codec_of_name(name, ret);
}

static void on_http(void *ctx, struct http_exchange *x)
{
    struct receiver *rc = ctx;
    const struct http_cfg *cfg = &rc->cfg->protocols.http;
    const struct http_request *r = http_request_of(x);
    enum otlp_encoding encoding;
    struct err e = {0};
    if (!sv_eq(r->path, sv_of(cfg->logs_url_path))) {
        http_reply_text(x, 404, SV("404 page not found"));
        return;
    }
    if (!sv_eq(r->method, SV("POST"))) {
        struct buf body = {0};
        buf_sv(&body, SV("405 method not allowed, supported: [POST]"));
        const struct http_header headers[] = {{SV("content-type"), SV("text/plain; charset=utf-8")},
                                              {SV("allow"), SV("POST")}};
        http_reply(x, 405, headers, ARRAY_LEN(headers), &body);
        return;
    }
    if (!otlp_encoding_of(http_header(r, SV("content-type")), &encoding)) {
        http_reply_text(x, 415,
                        SV("415 unsupported media type, supported: [application/json, application/x-protobuf]"));
        return;
    }
    struct request *rq = request_new(rc, x, NULL);
    if (!rq) {
        reply_status(x, encoding, 503, GRPC_UNAVAILABLE, SV("out of memory"), -1);
        return;
    }
    rq->encoding = encoding;
    sv coding = http_header(r, SV("content-encoding"));
    if (!codec_accepted(cfg, coding, &rq->codec))
        err_set(&e, ERR_UNSUPPORTED, "unsupported Content-Encoding: " SV_FMT, SV_ARG(sv_sub(coding, 0, 40)));
    else if (!tenant_ok(http_header(r, SV("x-scope-orgid"))))
        err_set(&e, ERR_INVALID, "X-Scope-OrgID holds characters that no tenant may have, or is too long");
    if (e.code)
        end_refused(rq, &e);
    else
        start_request(rq, r->body.n);
}

static void on_export(void *ctx, struct grpc_call *call)
{
    struct request *rq = request_new(ctx, NULL, call);
    struct err e = {0};
    if (!rq) {
        grpc_reply(call, GRPC_UNAVAILABLE, SV("out of memory"), NULL, -1);
        return;
    }
    if (tenant_ok(http_header(grpc_request(call), SV("x-scope-orgid")))) {
        start_request(rq, grpc_message(call).n);
        return;
    }
    err_set(&e, ERR_INVALID, "x-scope-orgid holds characters that no tenant may have, or is too long");
    end_refused(rq, &e);
}

static void on_grpc(void *ctx, struct http_exchange *x)
{
    static const struct grpc_method methods[] = {
        {"/opentelemetry.proto.collector.logs.v1.LogsService/Export", on_export}, {0}};
    const struct receiver *rc = ctx;
    grpc_serve(&(struct grpc_config){.max_recv_bytes = rc->max_grpc_bytes}, methods, ctx, x);
}

/* ---- life ---- */

static void declare_metrics(struct transport *tp, struct metrics *m, const char *id, const char *transport)
{
    const char *labels[] = {"receiver", id, "transport", transport, NULL};
    tp->accepted = metrics_get(m, METRIC_COUNTER, "otelcol_receiver_accepted_log_records",
                               "Records the pipeline took: safe here, or at the next stage.", labels);
    tp->refused = metrics_get(m, METRIC_COUNTER, "otelcol_receiver_refused_log_records",
                              "Records the pipeline did not take; their sender was told so.", labels);
    tp->malformed = metrics_get(m, METRIC_COUNTER, "otelcol_receiver_malformed_requests",
                                "Requests that are not OTLP, or over a limit.", labels);
    tp->busy = metrics_get(m, METRIC_COUNTER, "otelcol_receiver_busy_requests",
                           "Requests told to come back, as too many waited to be decoded.", labels);
}

static bool open_grpc(struct receiver *rc, const struct component *cp, const struct runtime *rt, struct err *e)
{
    const struct grpc_cfg *c = &rc->cfg->protocols.grpc;
    uint64_t max = c->max_recv_msg_size_mib ? c->max_recv_msg_size_mib << 20 : (uint64_t)4 << 20;
    rc->max_grpc_bytes = max;
    char name[100];
    snprintf(name, sizeof name, "%.80s/grpc", cp->id);
    struct http_server_config sc = {
        .address = c->endpoint, .name = name, .max_body_bytes = max + 5 /* the frame's prefix */,
        .max_concurrent_streams = (uint32_t)c->max_concurrent_streams,
        .idle_timeout_ms = c->keepalive.server_parameters.max_connection_idle / NS_PER_MS,
        .keepalive_ms = c->keepalive.server_parameters.time / NS_PER_MS, .http2_only = true};
    if (c->tls_set)
        sc.tls = c->tls;
    declare_metrics(&rc->by_grpc, rt->metrics, cp->id, "grpc");
    return http_server_open(&sc, rt->loops, rt->n_loops, rt->metrics, on_grpc, rc, &rc->grpc_server, e) ||
           err_ctx(e, "receiver \"%s\"", cp->id);
}

static bool open_http(struct receiver *rc, const struct component *cp, const struct runtime *rt, struct err *e)
{
    const struct http_cfg *c = &rc->cfg->protocols.http;
    rc->max_http_bytes = c->max_request_body_size ? c->max_request_body_size : (uint64_t)20 << 20;
    char name[100];
    snprintf(name, sizeof name, "%.80s/http", cp->id);
    struct http_server_config sc = {.address = c->endpoint, .name = name, .max_body_bytes = rc->max_http_bytes,
                                    .read_timeout_ms = c->read_timeout / NS_PER_MS,
                                    .idle_timeout_ms = c->idle_timeout / NS_PER_MS};
    if (c->tls_set)
        sc.tls = c->tls;
    declare_metrics(&rc->by_http, rt->metrics, cp->id, "http");
    return http_server_open(&sc, rt->loops, rt->n_loops, rt->metrics, on_http, rc, &rc->http_server, e) ||
           err_ctx(e, "receiver \"%s\"", cp->id);
}

static void stop_receiver(void *self, int64_t drain_ms)
{
    struct receiver *rc = self;
    int64_t until = clock_mono_ms() + drain_ms;
    http_server_close(TAKE(rc->grpc_server), drain_ms);
    http_server_close(TAKE(rc->http_server), MAX(until - clock_mono_ms(), (int64_t)0));
    pool_close(TAKE(rc->decoders)); /* what still waits there was cancelled with its server */
}

static void free_receiver(void *self)
{
    struct receiver *rc = self;
    if (!rc)
        return;
    {
        LOCK_SCOPED(&rc->mu);
        while (rc->under_way)
            cond_wait(&rc->idle, &rc->mu);
    }
    cond_done(&rc->idle);
    lock_done(&rc->mu);
    free(rc);
}

static bool open_receiver(const struct component *cp, const struct runtime *rt, const struct log_sink *to, void **ret,
                          struct err *e)
{
    struct receiver *rc = calloc(1, sizeof *rc);
    if (!rc)
        return err_nomem(e);
    rc->cfg = cp->cfg;
    rc->to = *to;
    rc->limits = (struct otlp_limits){.max_records = (uint32_t)rc->cfg->max_records};
    lock_init(&rc->mu);
    cond_init(&rc->idle);
    if (!pool_open("decode", (unsigned)rt->n_loops, rc->cfg->decoding_queue_size, &rc->decoders, e) ||
        (rc->cfg->protocols.grpc_set && !open_grpc(rc, cp, rt, e)) ||
        (rc->cfg->protocols.http_set && !open_http(rc, cp, rt, e))) {
        stop_receiver(rc, 0);
        free_receiver(rc);
        return false;
    }
    *ret = rc;
    return true;
}

static const char *address_of(const void *self, const char *protocol)
{
    const struct receiver *rc = self;
    const struct http_server *s = NULL;
    if (strcmp(protocol, "grpc") == 0)
        s = rc->grpc_server;
    else if (strcmp(protocol, "http") == 0)
        s = rc->http_server;
    return s ? http_server_address(s) : NULL;
}

const struct plug receiver_otlp = {
    .kind = PLUG_RECEIVER, .type = "otlp", .help = "OTLP over gRPC and HTTP.", .section = &otlp_section,
    .cfg_size = sizeof(struct otlp_cfg), .sender = NO_FLAG,
    .receiver = {.open = open_receiver, .stop = stop_receiver, .free = free_receiver, .address = address_of}};

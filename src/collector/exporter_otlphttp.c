/* exporter_otlphttp.c - OTLP over HTTP: one POST per push, protobuf or JSON, compressed.
 * The answer is classified as the OTLP specification has it: 429, 502, 503, 504 and no answer mean later; any other 4xx or
 * 5xx means never. 413 comes back as ERR_LIMIT, so that the sender may try halves. */
#include "base/clock.h"
#include "base/compress.h"
#include "base/log.h"
#include "collector/outgoing.h"
#include "collector/sender.h"
#include "net/client.h"
#include "otlp/json.h"
#include "otlp/request.h"
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_MAX ((uint64_t)4 << 20)

struct compression_cfg {
    uint64_t level;
};
struct otlphttp_cfg {
    char *endpoint, *logs_endpoint, *compression, *encoding;
    int64_t timeout;
    uint64_t max_conns_per_host;
    struct compression_cfg compression_params;
    struct pairs headers;
    struct tls_client_config tls;
    struct sender_settings sender;
};

static const struct option options[] = {
    OPT(STR, struct otlphttp_cfg, endpoint, NULL, "base URL; /v1/logs is appended"),
    OPT(STR, struct otlphttp_cfg, logs_endpoint, NULL, "the whole URL instead"),
    OPT(STR, struct otlphttp_cfg, compression, "gzip", "gzip, zstd, snappy, zlib, deflate, lz4, none"),
    OPT(STR, struct otlphttp_cfg, encoding, "proto", "proto or json"),
    OPT(DURATION, struct otlphttp_cfg, timeout, "30s", "of one attempt"),
    OPT(U64, struct otlphttp_cfg, max_conns_per_host, "0", "connections at a time; 0: 16"),
    {0}};
static const struct option compression_options[] = {
    OPT(U64, struct compression_cfg, level, "0", "0: the library's own choice"), {0}};
static const struct section compression_section = {.options = compression_options};
static const struct sub subs[] = {
    {.name = "compression_params", .offset = offsetof(struct otlphttp_cfg, compression_params), .set = NO_FLAG,
     .section = &compression_section, .help = "how hard to try"},
    {.name = "headers", .kind = SUB_PAIRS, .offset = offsetof(struct otlphttp_cfg, headers), .set = NO_FLAG,
     .help = "added to every request; values are never shown"},
    {.name = "tls", .offset = offsetof(struct otlphttp_cfg, tls), .set = NO_FLAG, .section = &outgoing_tls_section,
     .help = "for https:// endpoints"},
    SENDER_SUBS(struct otlphttp_cfg, sender),
    {0}};
static const struct other_key others[] = {
    {"auth", KEY_UNSUPPORTED, "put the credentials into headers"},
    {"middlewares", KEY_UNSUPPORTED, "there are none"},
    {"cookies", KEY_UNSUPPORTED, "cookies are not kept"},
    {"proxy_url", KEY_UNSUPPORTED, "set HTTPS_PROXY or HTTP_PROXY"},
    {"traces_endpoint", KEY_NO_EFFECT, "only logs are sent"},
    {"metrics_endpoint", KEY_NO_EFFECT, "only logs are sent"},
    {"profiles_endpoint", KEY_NO_EFFECT, "only logs are sent"},
    {"disable_keep_alives", KEY_UNSUPPORTED, "connections are kept"},
    {"read_buffer_size", KEY_NO_EFFECT, "buffers grow as needed"},
    {"write_buffer_size", KEY_NO_EFFECT, "buffers grow as needed"},
    {"max_idle_conns", KEY_NO_EFFECT, "idle connections are kept as long as the peer does"},
    {"max_idle_conns_per_host", KEY_NO_EFFECT, "idle connections are kept as long as the peer does"},
    {"idle_conn_timeout", KEY_NO_EFFECT, "idle connections are kept as long as the peer does"},
    {"force_attempt_http2", KEY_NO_EFFECT, "HTTP/1.1 is spoken, over one kept connection per request under way"},
    {"http2_read_idle_timeout", KEY_NO_EFFECT, "each attempt has its timeout"},
    {"http2_ping_timeout", KEY_NO_EFFECT, "each attempt has its timeout"},
    {0}};

static bool codec_of(sv name, enum codec *ret)
{
    if (name.n == 0 || sv_eq(name, SV("none"))) {
        *ret = CODEC_NONE;
        return true;
    }
    return codec_of_name(name, ret) && *ret != CODEC_SNAPPY_FRAMED; /* read, but not written here */
}

static bool is_url(sv s)
{
    sv rest = sv_starts(s, SV("http://")) ? sv_from(s, 7) : sv_starts(s, SV("https://")) ? sv_from(s, 8) : SV_NULL;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    return rest.n > 0 && rest.p[0] != '/';
}

static void check(const struct reading *rd, void *cfg)
{
    const struct otlphttp_cfg *c = cfg;
    sv endpoint = sv_of(c->endpoint), logs = sv_of(c->logs_endpoint);
    enum codec codec;
    if (!endpoint.n && !logs.n)
        section_problem(rd, NULL, "at least one endpoint must be specified");
    if (endpoint.n && !is_url(endpoint))
        section_problem(rd, "endpoint", "'endpoint' must be a URL such as http://127.0.0.1:4318, not \"%s\"", c->endpoint);
    if (logs.n && !is_url(logs))
        section_problem(rd, "logs_endpoint", "'logs_endpoint' must be a URL, not \"%s\"", c->logs_endpoint);
    if (!codec_of(sv_of(c->compression), &codec))
        section_problem(rd, "compression", "unsupported compression type \"%s\"", c->compression);
    if (!sv_eq(sv_of(c->encoding), SV("proto")) && !sv_eq(sv_of(c->encoding), SV("json")))
        section_problem(rd, "encoding", "invalid encoding type: %s", c->encoding);
    if (c->timeout < 0)
        section_problem(rd, "timeout", "'timeout' must be non-negative");
    outgoing_check_headers(rd, &c->headers);
    if (c->max_conns_per_host > 10000)
        section_problem(rd, "max_conns_per_host", "'max_conns_per_host' must be at most 10000");
    if (c->compression_params.level > 22)
        section_problem(rd, "compression_params", "'level' is more than any compression has");
}
static const struct section section = {.options = options, .subs = subs, .others = others, .check = check};

struct otlphttp {
    const struct otlphttp_cfg *cfg;
    const char *id;
    struct http_client *client;
    char *url;
    enum codec codec;
    bool json;
    struct outgoing_headers headers;
};

struct post { /* one request under way */
    struct otlphttp *ex;
    struct batch *batch;
    struct buf body;
    push_done_fn *done;
    void *ctx;
};

static void finish(struct post *p, const struct push_result *r)
{
    p->done(p->ctx, r);
    batch_unref(p->batch);
    buf_done(&p->body);
    free(p);
}

/* The reason in an error's body: a google.rpc.Status in the request's encoding, or text as it is. */
static void put_reason(sv body, sv content_type, char *out, size_t cap)
{
    sv text = sv_trim(body);
    SCOPED(buf_done) struct buf message = buf_capped(4096);
    enum otlp_encoding enc;
    struct err e = {0};
    int code;
    int64_t retry_ms;
    if (otlp_encoding_of(content_type, &enc) && otlp_read_status(body, enc == OTLP_JSON, &code, &message, &retry_ms, &e))
        text = buf_view(&message);
    text = sv_sub(text, 0, 160);
    snprintf(out, cap, SV_FMT, SV_ARG(sv_sub(text, 0, sv_utf8_prefix(text))));
}

static void answered_error(const struct post *p, const struct client_response *r, struct push_result *res)
{
    char reason[200];
    put_reason(r->body, client_header(r, SV("content-type")), reason, sizeof reason);
    res->code = push_code_of_http(r->status);
    res->retry_after_ms = r->status == 429 || r->status == 503
                              ? retry_after_ms(client_header(r, SV("retry-after")), clock_wall_ns())
                              : -1;
    /* ERR_TIMEOUT, not ERR_UNAVAILABLE: the peer is there, and has its own idea of when to come back */
    err_set(&res->err, r->status == 413 ? ERR_LIMIT : res->code == PUSH_RETRY ? ERR_TIMEOUT : ERR_INVALID,
            "%s: HTTP Status Code %d%s%s", p->ex->url, r->status, *reason ? ", " : "", reason);
}

static void answered_ok(const struct post *p, const struct client_response *r, struct push_result *res)
{
    SCOPED(buf_done) struct buf message = buf_capped(4096);
    uint64_t rejected = 0;
    enum otlp_encoding enc = p->ex->json ? OTLP_JSON : OTLP_PROTOBUF;
    sv type = client_header(r, SV("content-type"));
    res->code = PUSH_SENT;
    if (r->body.n == 0 || (type.n && !otlp_encoding_of(type, &enc)))
        return; /* a 2xx is a success; what is not OTLP has nothing more to say (Loki answers 204 without a body) */
    if (!otlp_read_response(r->body, enc == OTLP_JSON, &rejected, &message, &res->err)) {
        log_warn(p->ex->id, "%s: unreadable body of a %d answer: %s", p->ex->url, r->status, res->err.msg);
        res->err = (struct err){0};
        return;
    }
    res->n_rejected = (uint32_t)MIN(rejected, (uint64_t)p->batch->n_records);
    sv text = buf_view(&message);
    if (text.n)
        err_set(&res->err, ERR_NONE, SV_FMT, SV_ARG(sv_sub(text, 0, 200)));
}

static void answered(void *ctx, const struct client_response *r)
{
    struct post *p = ctx;
    struct push_result res = {.code = PUSH_RETRY, .retry_after_ms = -1};
    if (r->status == 0) {
        res.err = r->err; /* names the URL */
        if (r->err.code == ERR_LIMIT)
            sender_unreadable_answer(&res);
    } else if (r->status >= 200 && r->status < 300) {
        answered_ok(p, r, &res);
    } else {
        answered_error(p, r, &res);
    }
    finish(p, &res);
}

/* The body in p->body, or left empty when the batch's own bytes are it. */
static bool encode(struct otlphttp *ex, struct post *p, sv *ret, struct err *e)
{
    SCOPED(buf_done) struct buf text = {0};
    sv plain = p->batch->bytes;
    if (ex->json) {
        otlp_to_json(plain, &text);
        if (!buf_ok(&text, e))
            return false;
        plain = buf_view(&text);
    }
    if (ex->codec == CODEC_NONE && !ex->json) {
        *ret = plain;
        return true;
    }
    if (ex->codec == CODEC_NONE)
        buf_sv(&p->body, plain);
    else if (!compress(ex->codec, (int)ex->cfg->compression_params.level, plain, &p->body, e))
        return false;
    *ret = buf_view(&p->body);
    return buf_ok(&p->body, e);
}

static void push(void *self, struct batch *b, push_done_fn *done, void *ctx)
{
    struct otlphttp *ex = self;
    struct push_result r = {.code = PUSH_RETRY, .retry_after_ms = -1};
    struct post *p = calloc(1, sizeof *p);
    if (!p) {
        err_nomem(&r.err);
        done(ctx, &r);
        return;
    }
    *p = (struct post){.ex = ex, .batch = batch_ref(b), .done = done, .ctx = ctx};
    sv body;
    if (!encode(ex, p, &body, &r.err)) {
        r.code = r.err.code == ERR_NOMEM ? PUSH_RETRY : PUSH_REJECTED;
        finish(p, &r);
        return;
    }
    struct http_header headers[OUTGOING_HEADERS_MAX + 4];
    size_t n = outgoing_headers_for(&ex->headers, b->tenant, headers);
    struct client_request req = {.method = "POST", .url = ex->url, .headers = headers, .n_headers = n, .body = body,
                                 .timeout_ms = ex->cfg->timeout / NS_PER_MS};
    http_client_send(ex->client, &req, answered, p);
}

static char *make_url(const struct otlphttp_cfg *c)
{
    if (c->logs_endpoint && *c->logs_endpoint)
        return sv_dup(sv_of(c->logs_endpoint));
    sv base = sv_of(c->endpoint);
    while (sv_ends(base, SV("/")))
        base.n--;
    char *url = malloc(base.n + sizeof "/v1/logs");
    if (url)
        snprintf(url, base.n + sizeof "/v1/logs", SV_FMT "/v1/logs", SV_ARG(base));
    return url;
}

static bool make_headers(struct otlphttp *ex, struct err *e)
{
    struct outgoing_headers *h = &ex->headers;
    h->at[h->n++] = (struct http_header){SV("content-type"),
                                         ex->json ? SV("application/json") : SV("application/x-protobuf")};
    if (ex->codec != CODEC_NONE)
        h->at[h->n++] = (struct http_header){SV("content-encoding"), sv_of(codec_name(ex->codec))};
    return outgoing_add_headers(h, &ex->cfg->headers, e);
}

static void close_otlphttp(void *self)
{
    struct otlphttp *ex = self;
    if (!ex)
        return;
    http_client_close(ex->client);
    free(ex->url);
    outgoing_headers_done(&ex->headers);
    free(ex);
}
DEFINE_SCOPED(struct otlphttp *, close_otlphttp)

static bool open_otlphttp(const struct component *cp, const struct runtime *rt, struct log_sink *ret, struct err *e)
{
    SCOPED(close_otlphttp) struct otlphttp *ex = calloc(1, sizeof *ex);
    if (!ex)
        return err_nomem(e);
    ex->cfg = cp->cfg;
    ex->id = cp->id;
    ex->json = sv_eq(sv_of(ex->cfg->encoding), SV("json"));
    ex->url = make_url(ex->cfg);
    if (!ex->url)
        return err_nomem(e);
    if (!codec_of(sv_of(ex->cfg->compression), &ex->codec))
        return err_set(e, ERR_INVALID, "unsupported compression type \"%s\"", ex->cfg->compression);
    char agent[200];
    outgoing_user_agent(agent);
    struct http_client_config cc = {.name = cp->id, .user_agent = agent, .tls = ex->cfg->tls,
                                    .max_connections = (uint32_t)ex->cfg->max_conns_per_host,
                                    .max_response_bytes = ANSWER_MAX};
    if (!make_headers(ex, e) || !http_client_open(&cc, rt->export_loop, &ex->client, e))
        return false;
    *ret = (struct log_sink){push, TAKE(ex)};
    return true;
}

const struct plug exporter_otlphttp = {
    .kind = PLUG_EXPORTER, .type = "otlp_http", .alias = "otlphttp",
    .help = "Sends OTLP over HTTP: to Weir's store, Loki, a Collector, most vendors.",
    .section = &section, .cfg_size = sizeof(struct otlphttp_cfg), .sender = offsetof(struct otlphttp_cfg, sender),
    .exporter = {.open = open_otlphttp, .close = close_otlphttp}};

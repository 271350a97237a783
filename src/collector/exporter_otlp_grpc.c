/* exporter_otlp_grpc.c - OTLP over gRPC: one Export call per push.
 * Answers are classified by the OTLP specification's table. RESOURCE_EXHAUSTED without RetryInfo means too large (gRPC
 * servers answer so past their message limit), so the sender is told ERR_LIMIT and may try halves. */
#include "base/clock.h"
#include "base/log.h"
#include "collector/outgoing.h"
#include "collector/sender.h"
#include "net/client.h"
#include "otlp/reply.h"
#include <stdio.h>
#include <stdlib.h>

struct otlp_grpc_cfg {
    char *endpoint, *compression;
    int64_t timeout;
    struct pairs headers;
    struct tls_client_config tls;
    struct sender_settings sender;
};

static const struct option options[] = {
    OPT(STR, struct otlp_grpc_cfg, endpoint, NULL, "host:port; http:// is plain text, https:// is TLS"),
    OPT(STR, struct otlp_grpc_cfg, compression, "gzip", "gzip or none"),
    OPT(DURATION, struct otlp_grpc_cfg, timeout, "5s", "of one attempt"),
    {0}};
static const struct sub subs[] = {
    {.name = "headers", .kind = SUB_PAIRS, .offset = offsetof(struct otlp_grpc_cfg, headers), .set = NO_FLAG,
     .help = "metadata of every call; values are never shown"},
    {.name = "tls", .offset = offsetof(struct otlp_grpc_cfg, tls), .set = NO_FLAG, .section = &outgoing_tls_section,
     .help = "insecure: true for plain text"},
    SENDER_SUBS(struct otlp_grpc_cfg, sender),
    {0}};
static const struct other_key others[] = {
    {"auth", KEY_UNSUPPORTED, "put the credentials into headers"},
    {"authority", KEY_UNSUPPORTED, "the endpoint's is used"},
    {"middlewares", KEY_UNSUPPORTED, "there are none"},
    {"user_agent", KEY_UNSUPPORTED, "it names this program"},
    {"balancer_name", KEY_NO_EFFECT, "there is one connection"},
    {"keepalive", KEY_NO_EFFECT, "a dead connection is found by the attempt's timeout"},
    {"wait_for_ready", KEY_NO_EFFECT, "failed attempts are repeated"},
    {"read_buffer_size", KEY_NO_EFFECT, "buffers grow as needed"},
    {"write_buffer_size", KEY_NO_EFFECT, "buffers grow as needed"},
    {0}};

/* "host:port" of the endpoint, with what its scheme says. False: a scheme we do not do. */
static bool split_endpoint(sv endpoint, bool insecure, sv *ret_authority, bool *ret_tls)
{
    size_t scheme = sv_find(endpoint, SV("://"));
    *ret_tls = !insecure;
    *ret_authority = endpoint;
    if (scheme == SV_NPOS)
        return true;
    sv name = sv_sub(endpoint, 0, scheme);
    *ret_authority = sv_from(endpoint, scheme + 3);
    while (sv_ends(*ret_authority, SV("/")))
        ret_authority->n--;
    *ret_tls = sv_eq(name, SV("https"));
    return *ret_tls || sv_eq(name, SV("http"));
}

static void check(const struct reading *rd, void *cfg)
{
    const struct otlp_grpc_cfg *c = cfg;
    sv endpoint = sv_of(c->endpoint), authority;
    bool tls;
    uint64_t port;
    if (!endpoint.n) {
        section_problem(rd, "endpoint", "requires a non-empty \"endpoint\"");
    } else if (!split_endpoint(endpoint, c->tls.insecure, &authority, &tls)) {
        section_problem(rd, "endpoint", "'endpoint' must be host:port, http:// or https://, not \"%s\"", c->endpoint);
    } else {
        size_t colon = sv_rfind_char(authority, ':');
        sv text = colon == SV_NPOS ? SV("") : sv_from(authority, colon + 1);
        if (!sv_to_u64(text, &port) || !port || port > 65535 || colon == 0)
            section_problem(rd, "endpoint", "invalid port \"" SV_FMT "\" in endpoint \"%s\" (write host:port)", SV_ARG(text),
                            c->endpoint);
    }
    if (!sv_eq(sv_of(c->compression), SV("gzip")) && !sv_eq(sv_of(c->compression), SV("none")) && sv_of(c->compression).n)
        section_problem(rd, "compression", "unsupported compression type \"%s\" (gzip, none)", c->compression);
    if (c->timeout < 0)
        section_problem(rd, "timeout", "'timeout' must be non-negative");
    outgoing_check_headers(rd, &c->headers);
}
static const struct section section = {.options = options, .subs = subs, .others = others, .check = check};

struct otlp_grpc {
    const struct otlp_grpc_cfg *cfg;
    struct http_client *client;
    char *url;
    bool gzip;
    struct outgoing_headers headers;
};

struct call { /* one under way */
    struct otlp_grpc *ex;
    struct batch *batch;
    push_done_fn *done;
    void *ctx;
};

static void read_answer(const struct call *k, const struct grpc_client_response *r, struct push_result *res)
{
    SCOPED(buf_done) struct buf message = buf_capped(4096);
    uint64_t rejected = 0;
    struct err e = {0};
    res->code = PUSH_SENT;
    if (!otlp_read_response_pb(r->body, &rejected, &message, &e)) {
        log_warn(k->ex->url, "unreadable answer: %s", e.msg);
        return;
    }
    res->n_rejected = (uint32_t)MIN(rejected, (uint64_t)k->batch->n_records);
    if (message.n)
        err_set(&res->err, ERR_NONE, SV_FMT, SV_ARG(sv_sub(buf_view(&message), 0, 200)));
}

static void answered(void *ctx, const struct grpc_client_response *r)
{
    struct call *k = ctx;
    struct push_result res = {.code = PUSH_RETRY, .retry_after_ms = -1};
    if (r->status == GRPC_OK) {
        read_answer(k, r, &res);
    } else if (!r->answered && r->err.code) {
        res.err = r->err; /* no answer: the transport's own words */
        if (r->err.code == ERR_LIMIT) {
            sender_unreadable_answer(&res);
        } else if (r->err.code == ERR_PARSE) { /* grpc-status said OK, only the message behind it is none */
            log_warn(k->ex->url, "unreadable answer: %s", r->err.msg);
            res = (struct push_result){.code = PUSH_SENT, .retry_after_ms = -1};
        }
    } else {
        res.code = push_code_of_grpc(r->status, r->retry_after_ms >= 0);
        res.retry_after_ms = r->retry_after_ms;
        bool too_large = r->status == GRPC_RESOURCE_EXHAUSTED && res.code == PUSH_REJECTED;
        err_set(&res.err, too_large ? ERR_LIMIT : res.code == PUSH_RETRY ? ERR_TIMEOUT : ERR_INVALID, "%s: %s: " SV_FMT,
                k->ex->url, grpc_code_name(r->status), SV_ARG(sv_sub(r->message, 0, 160)));
    }
    k->done(k->ctx, &res);
    batch_unref(k->batch);
    free(k);
}

static void push(void *self, struct batch *b, push_done_fn *done, void *ctx)
{
    struct otlp_grpc *ex = self;
    struct call *k = malloc(sizeof *k);
    if (!k) {
        struct push_result r = {.code = PUSH_RETRY, .retry_after_ms = -1};
        err_nomem(&r.err);
        done(ctx, &r);
        return;
    }
    *k = (struct call){ex, batch_ref(b), done, ctx};
    struct http_header headers[OUTGOING_HEADERS_MAX + 4];
    size_t n = outgoing_headers_for(&ex->headers, b->tenant, headers);
    struct grpc_client_request req = {.url = ex->url, .method = "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
                                      .headers = headers, .n_headers = n, .message = b->bytes, .gzip = ex->gzip,
                                      .timeout_ms = ex->cfg->timeout / NS_PER_MS};
    grpc_client_call(ex->client, &req, answered, k);
}

static void close_otlp_grpc(void *self)
{
    struct otlp_grpc *ex = self;
    if (!ex)
        return;
    http_client_close(ex->client);
    outgoing_headers_done(&ex->headers);
    free(ex->url);
    free(ex);
}
DEFINE_SCOPED(struct otlp_grpc *, close_otlp_grpc)

static bool open_otlp_grpc(const struct component *cp, const struct runtime *rt, struct log_sink *ret, struct err *e)
{
    SCOPED(close_otlp_grpc) struct otlp_grpc *ex = calloc(1, sizeof *ex);
    if (!ex)
        return err_nomem(e);
    ex->cfg = cp->cfg;
    ex->gzip = sv_eq(sv_of(ex->cfg->compression), SV("gzip"));
    sv authority;
    bool tls;
    if (!split_endpoint(sv_of(ex->cfg->endpoint), ex->cfg->tls.insecure, &authority, &tls))
        return err_set(e, ERR_INVALID, "'endpoint' is not usable: %s", ex->cfg->endpoint);
    size_t room = authority.n + sizeof "https://";
    ex->url = malloc(room);
    if (!ex->url)
        return err_nomem(e);
    snprintf(ex->url, room, "http%s://" SV_FMT, tls ? "s" : "", SV_ARG(authority));
    char agent[200];
    outgoing_user_agent(agent);
    struct http_client_config cc = {.name = cp->id, .user_agent = agent, .tls = ex->cfg->tls,
                                    .http2_prior_knowledge = true /* over TLS: HTTP/2 is negotiated */};
    if (!outgoing_add_headers(&ex->headers, &ex->cfg->headers, e) ||
        !http_client_open(&cc, rt->export_loop, &ex->client, e))
        return false;
    *ret = (struct log_sink){push, TAKE(ex)};
    return true;
}

const struct plug exporter_otlp_grpc = {
    .kind = PLUG_EXPORTER, .type = "otlp_grpc", .alias = "otlp", .help = "Sends OTLP over gRPC: to a Collector, most vendors.",
    .section = &section, .cfg_size = sizeof(struct otlp_grpc_cfg), .sender = offsetof(struct otlp_grpc_cfg, sender),
    .exporter = {.open = open_otlp_grpc, .close = close_otlp_grpc}};

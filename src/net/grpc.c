/* grpc.c - the server's side of grpc.h: one unary call over one HTTP exchange.
 * (1) Errors of a call are trailers-only answers with HTTP 200; only requests that are not gRPC get another
 * HTTP status. Codes and texts are those of grpc-go, which clients' dashboards know. (2) The deadline answers
 * while the method still runs. The call and its message stay alive until the method replies; that late reply
 * is dropped. */
#include "net/grpc.h"
#include "base/clock.h"
#include "net/exchange.h"
#include <stdio.h>

struct grpc_call { /* in the exchange's arena */
    struct http_exchange *x;
    sv message;
    struct buf plain; /* what `message` points into when it came compressed */
    int64_t deadline_mono_ns;
};

static const struct http_header grpc_headers[] = {
    {{"content-type", 12}, {"application/grpc", 16}},
    {{"grpc-accept-encoding", 20}, {"identity,gzip,snappy,zstd", 25}},
};

sv grpc_message(const struct grpc_call *c)
{
    return c->message;
}

const struct http_request *grpc_request(const struct grpc_call *c)
{
    return http_request_of(c->x);
}

const _Atomic bool *grpc_cancelled(const struct grpc_call *c)
{
    return http_cancelled(c->x);
}

int64_t grpc_deadline_mono_ns(const struct grpc_call *c)
{
    return c->deadline_mono_ns;
}

/* --- replies --- */

static void reply_error(struct http_exchange *x, int http_status, int status, sv message,
                        int64_t retry_after_ms)
{
    SCOPED(buf_done) struct buf code = {0}, text = {0}, details = {0}, retry = {0};
    struct http_header trailers[4];
    size_t n = 0;
    buf_i64(&code, status);
    grpc_put_message(&text, message);
    trailers[n++] = (struct http_header){SV("grpc-status"), buf_view(&code)};
    trailers[n++] = (struct http_header){SV("grpc-message"), buf_view(&text)};
    if (retry_after_ms >= 0) {
        grpc_put_status_details(&details, status, message, retry_after_ms);
        grpc_put_retry_info(&retry, retry_after_ms);
        trailers[n++] = (struct http_header){SV("grpc-status-details-bin"), buf_view(&details)};
        trailers[n++] = (struct http_header){SV("google.rpc.retryinfo-bin"), buf_view(&retry)};
    }
    http_reply_trailers(x, http_status, grpc_headers, ARRAY_LEN(grpc_headers), NULL, trailers, n);
}

void grpc_reply(struct grpc_call *c, int status, sv message, struct buf *body, int64_t retry_after_ms)
{
    struct http_exchange *x = c->x;
    buf_done(&c->plain);
    if (status != GRPC_OK) {
        if (body)
            buf_done(body);
        reply_error(x, 200, status, message, retry_after_ms);
        return;
    }
    static const struct http_header ok = {{"grpc-status", 11}, {"0", 1}};
    struct buf framed = {0};
    grpc_frame(&framed, false, body ? buf_view(body) : SV_NULL);
    if (body)
        buf_done(body);
    if (framed.failed) {
        buf_done(&framed);
        reply_error(x, 200, GRPC_RESOURCE_EXHAUSTED, SV("out of memory"), -1);
        return;
    }
    http_reply_trailers(x, 200, grpc_headers, ARRAY_LEN(grpc_headers), &framed, &ok, 1);
}

static void deadline_exceeded(struct http_exchange *x)
{
    static const struct http_header trailers[] = {
        {{"grpc-status", 11}, {"4", 1}},
        {{"grpc-message", 12}, {"deadline exceeded", 17}},
    };
    http_exchange_give_up(x, 200, grpc_headers, ARRAY_LEN(grpc_headers), trailers, ARRAY_LEN(trailers));
}

/* --- requests --- */

static bool fail(struct http_exchange *x, int status, const char *text)
{
    reply_error(x, 200, status, sv_of(text), -1);
    return false;
}

/* "application/grpc", "application/grpc+proto", "application/grpc;…", but not "application/grpc-web". */
static bool is_grpc(sv content_type)
{
    sv rest = sv_from(content_type, 16);
    return sv_eq_nocase(sv_sub(content_type, 0, 16), SV("application/grpc")) &&
           (!rest.n || rest.p[0] == '+' || rest.p[0] == ';');
}

static bool check_request(struct http_exchange *x)
{
    const struct http_request *r = http_request_of(x);
    SCOPED(buf_done) struct buf text = {0};
    if (r->version != 20) {
        x->msg->keep_alive = false; /* what follows on that connection will be no better */
        http_reply_text(x, 505, SV("gRPC is spoken over HTTP/2\n"));
        return false;
    }
    sv type = http_header(r, SV("content-type"));
    if (!is_grpc(type)) {
        buf_fmt(&text, "invalid gRPC request content-type \"" SV_FMT "\"", SV_ARG(sv_sub(type, 0, 100)));
        reply_error(x, 415, GRPC_INTERNAL, buf_view(&text), -1);
        return false;
    }
    if (!sv_eq(r->method, SV("POST"))) {
        buf_fmt(&text, "received a " SV_FMT " request, gRPC uses POST", SV_ARG(sv_sub(r->method, 0, 20)));
        reply_error(x, 405, GRPC_INTERNAL, buf_view(&text), -1);
        return false;
    }
    return true;
}

static const struct grpc_method *find_method(const struct grpc_method *methods, struct http_exchange *x)
{
    sv path = http_request_of(x)->raw_path;
    for (; methods->fn; methods++)
        if (sv_eq(path, sv_of(methods->path)))
            return methods;
    SCOPED(buf_done) struct buf text = {0};
    buf_fmt(&text, "unknown method " SV_FMT, SV_ARG(sv_sub(path, 0, 200)));
    reply_error(x, 200, GRPC_UNIMPLEMENTED, buf_view(&text), -1);
    return NULL;
}

static bool unpack(struct grpc_call *c, enum codec codec, uint64_t max)
{
    struct err e = {0};
    SCOPED(buf_done) struct buf plain = buf_capped(max);
    if (!decompress(codec, c->message, &plain, &e)) {
        if (e.code != ERR_LIMIT)
            return fail(c->x, GRPC_INTERNAL, e.msg);
        char text[120];
        snprintf(text, sizeof text, "grpc: received message after decompression larger than max %llu",
                 (unsigned long long)max);
        return fail(c->x, GRPC_RESOURCE_EXHAUSTED, text);
    }
    if (!http_exchange_charge(c->x, plain.n))
        return fail(c->x, GRPC_UNAVAILABLE, http_refusal_text(HTTP_BUDGET_EXHAUSTED));
    c->plain = plain;
    plain = (struct buf){0};
    c->message = buf_view(&c->plain);
    return true;
}

static bool read_message(struct grpc_call *c, uint64_t max)
{
    const struct http_request *r = http_request_of(c->x);
    struct err e = {0};
    bool compressed;
    enum codec codec;
    sv name = http_header(r, SV("grpc-encoding"));
    if (!grpc_codec(name, &codec)) {
        char text[120];
        snprintf(text, sizeof text, "grpc: Decompressor is not installed for grpc-encoding \"" SV_FMT "\"",
                 SV_ARG(sv_sub(name, 0, 40)));
        return fail(c->x, GRPC_UNIMPLEMENTED, text);
    }
    if (!grpc_unframe(r->body, max, &compressed, &c->message, &e))
        return fail(c->x, e.code == ERR_LIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL, e.msg);
    if (!compressed)
        return true;
    if (codec == CODEC_NONE)
        return fail(c->x, GRPC_INTERNAL, "grpc: compressed flag set with identity or empty encoding");
    return unpack(c, codec, max);
}

static bool read_deadline(struct grpc_call *c)
{
    sv value = http_header(http_request_of(c->x), SV("grpc-timeout"));
    int64_t ns;
    if (!value.p)
        return true;
    if (!grpc_parse_timeout(value, &ns))
        return fail(c->x, GRPC_INTERNAL, "malformed grpc-timeout");
    if (__builtin_add_overflow(clock_mono_ns(), ns, &c->deadline_mono_ns))
        c->deadline_mono_ns = 0;
    else
        http_exchange_deadline(c->x, c->deadline_mono_ns, deadline_exceeded);
    return true;
}

void grpc_serve(const struct grpc_config *cfg, const struct grpc_method *methods, void *ctx,
                struct http_exchange *x)
{
    if (!check_request(x))
        return;
    const struct grpc_method *m = find_method(methods, x);
    if (!m)
        return;
    struct grpc_call *c = ARENA_NEW(http_request_of(x)->arena, struct grpc_call);
    if (!c) {
        fail(x, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    c->x = x;
    if (!read_deadline(c))
        return;
    if (!read_message(c, cfg->max_recv_bytes ? cfg->max_recv_bytes : 4 << 20))
        return; /* the reply is under way; c->plain is empty on failure */
    m->fn(ctx, c);
}

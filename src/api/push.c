/* push.c - logs in: OTLP and Loki push. Decoding a small plain body is done where it arrives; larger or compressed ones go
 * to the pool, so that they hold up nobody else on the loop. The store answers when the rows are safe.
 * (1) 204 only after the store's acknowledgement; what was refused for good is 400 (429 for a limit that passes, 422 for
 *     nothing at all, 413 for size), what may work later is 503 with Retry-After.
 * (2) Some rows refused, others stored: still 400 with the reasons, as Loki does.
 * (3) OTLP errors are a google.rpc.Status in the client's encoding, Loki's are plain text with a newline. */
#include "api/call.h"
#include "api/push_json.h"
#include "base/clock.h"
#include "otlp/json.h"
#include "otlp/request.h"
#include "otlp/write.h"
#include "store/store.h"
#include <inttypes.h>

#define INLINE_BODY_MAX (64 << 10)
#define JSON_DEPTH_MAX 64
#define RETRY_DEFAULT_MS 1000
#define TEXT_NO_STREAM "error at least one valid stream is required for ingestion"

enum { STATUS_CODE = 1, STATUS_MESSAGE = 2 }; /* fields of google.rpc.Status */

struct push_call { /* c->own */
    bool otlp, json, legacy;
    enum codec codec;
    enum otlp_encoding encoding;
};

static void refuse_otlp(struct call *c, int status, sv message, int64_t retry_ms)
{
    const struct push_call *p = c->own;
    struct buf body = {0};
    int code = status == 429 ? GRPC_RESOURCE_EXHAUSTED
               : status == 503 ? GRPC_UNAVAILABLE
               : status == 415 ? GRPC_UNIMPLEMENTED
                               : GRPC_INVALID_ARGUMENT;
    if (p->encoding == OTLP_JSON) {
        otlp_status_json(&body, code, message, retry_ms);
        call_reply_retry(c, status, "application/json", &body, retry_ms);
        return;
    }
    otlp_put_varint(&body, STATUS_CODE, (uint64_t)code);
    otlp_put_bytes(&body, STATUS_MESSAGE, message);
    call_reply_retry(c, status, "application/x-protobuf", &body, retry_ms);
}

/* retry_ms < 0: no Retry-After. */
static void refuse(struct call *c, int status, sv message, int64_t retry_ms)
{
    if (((const struct push_call *)c->own)->otlp) {
        refuse_otlp(c, status, message, retry_ms);
        return;
    }
    struct buf body = {0};
    buf_sv(&body, message);
    buf_char(&body, '\n');
    call_reply_retry(c, status, "text/plain; charset=utf-8", &body, retry_ms);
}

/* The store's answer; any thread. */
static void pushed(void *ctx, const struct push_result *r)
{
    struct call *c = ctx;
    int64_t retry = r->retry_after_ms >= 0 ? r->retry_after_ms : RETRY_DEFAULT_MS;
    if (r->code == PUSH_SENT && !r->n_rejected)
        call_empty(c, 204);
    else if (r->code == PUSH_RETRY)
        refuse(c, 503, sv_of(r->err.msg), retry);
    else if (r->code == PUSH_REJECTED && r->err.code == ERR_NOT_FOUND)
        refuse(c, 422, SV(TEXT_NO_STREAM), -1);
    else if (r->err.code == ERR_LIMIT)
        refuse(c, 429, sv_of(r->err.msg), retry);
    else
        refuse(c, 400, sv_of(r->err.msg), -1);
}

/* A body that could not be decoded. */
static void undecodable(struct call *c, const struct err *e)
{
    if (e->code == ERR_NOMEM)
        refuse(c, 503, sv_of(e->msg), RETRY_DEFAULT_MS);
    else
        refuse(c, 400, sv_of(e->msg), -1);
}

/* The body without its Content-Encoding; *ret points into `plain` or is the body itself. False: answered. */
static bool unpack(struct call *c, struct buf *plain, sv *ret)
{
    const struct push_call *p = c->own;
    struct err e = {0};
    *ret = c->req->body;
    if (p->codec == CODEC_NONE)
        return true;
    if (decompress(p->codec, c->req->body, plain, &e)) {
        *ret = buf_view(plain);
        return true;
    }
    if (e.code == ERR_LIMIT) {
        err_ctx(&e, "decompressed message size too large (max_decompressed_size)");
        refuse(c, 413, sv_of(e.msg), -1);
    } else {
        undecodable(c, &e);
    }
    return false;
}

/* ---- OTLP ---- */

/* The store checks what it reads anyway, in the same pass. */
static void decode_otlp(struct call *c)
{
    const struct push_call *p = c->own;
    SCOPED(buf_done) struct buf plain = buf_capped(c->api->cfg.max_decompressed_size);
    SCOPED(buf_done) struct buf transcoded = {0};
    struct store_request rq = {.tenant = c->tenant, .arrived_wall_ns = c->req->received_wall_ns};
    struct err e = {0};
    if (!unpack(c, &plain, &rq.bytes))
        return;
    if (p->encoding == OTLP_JSON) {
        if (!otlp_from_json(rq.bytes, NULL, &transcoded, &e)) {
            undecodable(c, &e);
            return;
        }
        rq.bytes = buf_view(&transcoded);
    } else if (p->codec != CODEC_NONE) {
        rq.codec = p->codec;
        rq.packed = c->req->body;
    }
    store_push_request(c->api->st, &rq, pushed, c);
}

/* ---- Loki ---- */

static bool from_json(const struct push_call *p, sv body, struct buf *out, struct err *e)
{
    struct json_parser *parser;
    if (!body.n)
        return err_set(e, ERR_PARSE, "EOF");
    if (!json_parser_new(body.n, JSON_DEPTH_MAX, &parser, e))
        return false;
    bool ok = push_json_to_proto(parser, body, p->legacy, out, e);
    json_parser_free(parser);
    return ok;
}

static void decode_loki(struct call *c)
{
    struct push_call *p = c->own;
    SCOPED(buf_done) struct buf plain = buf_capped(c->api->cfg.max_decompressed_size);
    SCOPED(buf_done) struct buf request = buf_capped(c->api->cfg.max_decompressed_size);
    struct err e = {0};
    sv body;
    if (!unpack(c, &plain, &body))
        return;
    /* protobuf is always in snappy's block format, whatever is around it */
    if (p->json ? from_json(p, body, &request, &e) : decompress(CODEC_SNAPPY, body, &request, &e)) {
        store_push_request(c->api->st,
                           &(struct store_request){.tenant = c->tenant,
                                                   .bytes = buf_view(&request),
                                                   .loki = true,
                                                   .codec = p->json || p->codec != CODEC_NONE ? CODEC_NONE : CODEC_SNAPPY,
                                                   .packed = body,
                                                   .arrived_wall_ns = c->req->received_wall_ns},
                           pushed, c);
    } else if (e.code == ERR_LIMIT && !p->json) {
        err_ctx(&e, "decompressed message size too large (max_decompressed_size)");
        refuse(c, 413, sv_of(e.msg), -1);
    } else {
        undecodable(c, &e);
    }
}

/* ---- what both have in front ---- */

/* Size as sent, then on to the decoding, here or on the pool. */
static void start(struct call *c, void (*decode)(struct call *c))
{
    const struct push_call *p = c->own;
    uint64_t max = c->api->cfg.max_recv_msg_size;
    if (max && c->req->body.n > max) {
        struct err e = {0};
        err_set(&e, ERR_LIMIT,
                "request body too large: message size too large than max (%zu vs %" PRIu64 ") (max_recv_msg_size)",
                c->req->body.n, max);
        refuse(c, 413, sv_of(e.msg), -1);
    } else if (p->codec == CODEC_NONE && c->req->body.n <= INLINE_BODY_MAX) {
        decode(c);
    } else {
        call_run(c, c->api->pushes, decode, 503, "too many requests wait to be decoded");
    }
}

static struct push_call *push_call_new(struct call *c)
{
    struct push_call *p = ARENA_NEW(c->req->arena, struct push_call);
    c->own = p;
    if (!p)
        call_text(c, 503, SV("out of memory"));
    return p;
}

void push_otlp(struct call *c)
{
    struct push_call *p = push_call_new(c);
    struct err e = {0};
    if (!p)
        return;
    p->otlp = true;
    sv type = http_header(c->req, SV("content-type")), encoding = http_header(c->req, SV("content-encoding"));
    if (!otlp_encoding_of(type, &p->encoding)) {
        p->encoding = OTLP_JSON; /* an answer a person can read */
        err_set(&e, ERR_UNSUPPORTED, "content type: " SV_FMT " is not supported", SV_ARG(sv_sub(type, 0, 100)));
        refuse(c, 400, sv_of(e.msg), -1);
    } else if (!codec_of_name(encoding, &p->codec)) {
        err_set(&e, ERR_UNSUPPORTED,
                "unsupported content encoding " SV_FMT ": only gzip, zstd, lz4, deflate, snappy and x-snappy-framed are "
                "supported", SV_ARG(sv_sub(encoding, 0, 40)));
        refuse(c, 400, sv_of(e.msg), -1);
    } else {
        start(c, decode_otlp);
    }
}

/* Loki's reading of Content-Encoding: none, gzip, deflate without zlib's wrapping; snappy says nothing. */
static bool loki_codec(sv encoding, enum codec *ret)
{
    if (!encoding.n || sv_eq(encoding, SV("identity")) || sv_eq(encoding, SV("snappy")))
        *ret = CODEC_NONE;
    else if (sv_eq(encoding, SV("gzip")))
        *ret = CODEC_GZIP;
    else if (sv_eq(encoding, SV("deflate")))
        *ret = CODEC_DEFLATE_RAW;
    else
        return false;
    return true;
}

static void push_any_loki(struct call *c, bool legacy)
{
    struct push_call *p = push_call_new(c);
    struct err e = {0};
    if (!p)
        return;
    p->legacy = legacy;
    sv rest = http_header(c->req, SV("content-type")), encoding = http_header(c->req, SV("content-encoding"));
    sv type = sv_trim(sv_cut(&rest, ';'));
    p->json = sv_eq_nocase(type, SV("application/json"));
    if (!type.n) {
        refuse(c, 400, SV("mime: no media type"), -1);
    } else if (!loki_codec(encoding, &p->codec)) {
        err_set(&e, ERR_UNSUPPORTED, "Content-Encoding \"" SV_FMT "\" not supported", SV_ARG(sv_sub(encoding, 0, 40)));
        refuse(c, 400, sv_of(e.msg), -1);
    } else {
        start(c, decode_loki);
    }
}

void push_loki(struct call *c)
{
    push_any_loki(c, false);
}

void push_loki_legacy(struct call *c)
{
    push_any_loki(c, true);
}

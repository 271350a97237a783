/* grpc_client.c - grpc_client_call(): a unary gRPC call as one HTTP/2 request of http_client. */
#include "net/client.h"
#include "net/grpc.h"
#include <stdio.h>
#include <stdlib.h>

struct grpc_client_state {
    struct buf frame, url;
    uint64_t max;
    grpc_client_done_fn *done;
    void *ctx;
};

static void state_free(struct grpc_client_state *s)
{
    buf_done(&s->frame);
    buf_done(&s->url);
    free(s);
}

static int status_of_err(enum err_code code)
{
    switch (code) {
    case ERR_TIMEOUT:
        return GRPC_DEADLINE_EXCEEDED;
    case ERR_LIMIT:
    case ERR_NOMEM:
        return GRPC_RESOURCE_EXHAUSTED;
    case ERR_CANCELLED:
        return GRPC_CANCELLED;
    case ERR_INVALID:
        return GRPC_INTERNAL;
    default:
        return GRPC_UNAVAILABLE;
    }
}

static bool read_body(const struct client_response *hr, uint64_t max, struct buf *plain, sv *ret,
                      struct err *e)
{
    bool compressed;
    enum codec codec;
    if (!grpc_unframe(hr->body, max, &compressed, ret, e))
        return false;
    if (!compressed)
        return true;
    sv name = client_header(hr, SV("grpc-encoding"));
    if (!grpc_codec(name, &codec) || codec == CODEC_NONE)
        return err_set(e, ERR_PARSE, "compressed response with grpc-encoding \"" SV_FMT "\"",
                       SV_ARG(sv_sub(name, 0, 40)));
    plain->max = max;
    if (!decompress(codec, *ret, plain, e))
        return false;
    *ret = buf_view(plain);
    return true;
}

static void read_status(const struct client_response *hr, struct grpc_client_response *r, struct buf *text)
{
    uint64_t status;
    sv value = client_header(hr, SV("grpc-status"));
    if (value.p && sv_to_u64(value, &status) && status <= INT32_MAX) {
        r->answered = true;
        r->status = (int)status;
        grpc_get_message(client_header(hr, SV("grpc-message")), text);
    } else if (hr->status != 200) {
        r->status = grpc_status_of_http(hr->status);
        buf_fmt(text, "unexpected HTTP status %d", hr->status);
    } else {
        r->status = GRPC_UNKNOWN;
        buf_fmt(text, "the answer has no grpc-status");
    }
    r->message = buf_view(text);
    if (r->status != GRPC_OK &&
        !grpc_get_retry_info(client_header(hr, SV("grpc-status-details-bin")), &r->retry_after_ms))
        r->retry_after_ms = -1;
}

static void on_done(void *ctx, const struct client_response *hr)
{
    struct grpc_client_state *s = ctx;
    struct grpc_client_response r = {.retry_after_ms = -1, .err = hr->err};
    SCOPED(buf_done) struct buf text = {0}, plain = {0};
    if (hr->status == 0) {
        r.status = status_of_err(hr->err.code);
        r.message = sv_of(hr->err.msg);
    } else {
        read_status(hr, &r, &text);
        if (r.status == GRPC_OK && !read_body(hr, s->max, &plain, &r.body, &r.err)) {
            r.status = r.err.code == ERR_LIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL;
            r.answered = false;
            r.message = sv_of(r.err.msg);
        }
    }
    s->done(s->ctx, &r);
    state_free(s);
}

static bool build_frame(struct grpc_client_state *s, const struct grpc_client_request *req)
{
    if (!req->gzip) {
        grpc_frame(&s->frame, false, req->message);
        return !s->frame.failed;
    }
    SCOPED(buf_done) struct buf packed = {0};
    if (!compress(CODEC_GZIP, 0, req->message, &packed, NULL))
        return false;
    grpc_frame(&s->frame, true, buf_view(&packed));
    return !s->frame.failed;
}

void grpc_client_call(struct http_client *c, const struct grpc_client_request *req, grpc_client_done_fn *done,
                      void *ctx)
{
    struct grpc_client_state *s = calloc(1, sizeof *s);
    struct http_header *headers = calloc(req->n_headers + 5, sizeof *headers);
    if (s) {
        sv base = sv_of(req->url);
        while (base.n && base.p[base.n - 1] == '/')
            base.n--;
        buf_fmt(&s->url, SV_FMT "%s", SV_ARG(base), req->method);
        buf_char(&s->url, '\0');
    }
    if (!s || !headers || s->url.failed || !build_frame(s, req)) {
        struct grpc_client_response r = {.status = GRPC_RESOURCE_EXHAUSTED, .retry_after_ms = -1};
        err_nomem(&r.err);
        r.message = sv_of(r.err.msg);
        done(ctx, &r);
        if (s)
            state_free(s);
        free(headers);
        return;
    }
    s->done = done;
    s->ctx = ctx;
    s->max = http_client_max_response(c);
    int64_t timeout_ms = req->timeout_ms ? req->timeout_ms : 30000;
    char timeout[24];
    snprintf(timeout, sizeof timeout, "%lldm", (long long)MIN(timeout_ms, (int64_t)99999999));
    size_t n = 0;
    headers[n++] = (struct http_header){SV("content-type"), SV("application/grpc")};
    headers[n++] = (struct http_header){SV("te"), SV("trailers")};
    headers[n++] = (struct http_header){SV("grpc-timeout"), sv_of(timeout)};
    headers[n++] = (struct http_header){SV("grpc-accept-encoding"), SV("identity,gzip")};
    if (req->gzip)
        headers[n++] = (struct http_header){SV("grpc-encoding"), SV("gzip")};
    for (size_t i = 0; i < req->n_headers; i++)
        headers[n++] = req->headers[i];
    struct client_request hr = {.method = "POST",
                                .url = s->url.p,
                                .headers = headers,
                                .n_headers = n,
                                .body = buf_view(&s->frame),
                                .timeout_ms = timeout_ms};
    http_client_send(c, &hr, on_done, s);
    free(headers);
}

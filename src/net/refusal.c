/* refusal.c - what a peer is told when its request is refused before any handler saw it: status, text naming
 * the setting, and for gRPC the error its clients understand (a plain 413 would reach the application as
 * "unknown"). */
#include "base/endian.h"
#include "net/message.h"
#include <stdio.h>

static const struct {
    int status, grpc_status;
    const char *label, *text;
} refusals[HTTP_REFUSALS] = {
    [HTTP_FINE] = {200, 0, "none", ""},
    [HTTP_BAD_REQUEST] = {400, 13, "bad_request", "malformed request"},
    [HTTP_BODY_TOO_LARGE] = {413, 8, "body_too_large", "request body too large (limit: max_body_bytes)"},
    [HTTP_HEADER_TOO_LARGE] = {431, 8, "header_too_large",
                               "request header too large (limits: max_header_bytes, max_headers)"},
    [HTTP_BUDGET_EXHAUSTED] = {503, 14, "inflight_bytes",
                               "too many request bytes in flight (limit: max_inflight_bytes)"},
    [HTTP_BAD_EXPECTATION] = {417, 13, "expectation", "the only Expect spoken here is 100-continue"},
    [HTTP_BAD_CODING] = {501, 12, "transfer_coding", "the only Transfer-Encoding spoken here is chunked"},
    [HTTP_BAD_VERSION] = {505, 12, "version", "this HTTP version is not spoken here"},
    [HTTP_TOO_SLOW] = {408, 4, "read_timeout", "the request took too long to arrive (limit: read_timeout)"},
    [HTTP_OUT_OF_MEMORY] = {503, 14, "out_of_memory", "out of memory"},
};

int http_refusal_status(enum http_refusal why)
{
    return refusals[why].status;
}

const char *http_refusal_text(enum http_refusal why)
{
    return refusals[why].text;
}

const char *http_refusal_label(enum http_refusal why)
{
    return refusals[why].label;
}

static void refuse_grpc(enum http_refusal why, const struct http_message *m, uint64_t max_body,
                        struct http_refused *r)
{
    struct http_answer *a = &r->answer;
    a->status = 200;
    r->headers[a->n_headers++] = (struct http_header){SV("content-type"), SV("application/grpc")};
    if (why == HTTP_BODY_TOO_LARGE && m->body.n >= 5 &&
        max_body >= 5) /* the prefix says how large it was to be */
        buf_fmt(&r->message, "grpc: received message larger than max (%u vs. %llu)", get_be32(m->body.p + 1),
                (unsigned long long)max_body - 5);
    else
        buf_sv(&r->message, sv_of(refusals[why].text));
    snprintf(r->code, sizeof r->code, "%d", refusals[why].grpc_status);
    r->trailers[a->n_trailers++] = (struct http_header){SV("grpc-status"), sv_of(r->code)};
    r->trailers[a->n_trailers++] = (struct http_header){SV("grpc-message"), buf_view(&r->message)};
}

static void refuse_plain(enum http_refusal why, const char *text, struct http_refused *r)
{
    struct http_answer *a = &r->answer;
    a->status = refusals[why].status;
    r->headers[a->n_headers++] = (struct http_header){SV("content-type"), SV("text/plain; charset=utf-8")};
    r->headers[a->n_headers++] = (struct http_header){SV("x-content-type-options"), SV("nosniff")};
    if (a->status == 503)
        r->headers[a->n_headers++] = (struct http_header){SV("retry-after"), SV("1")};
    buf_fmt(&a->body, "%d %s: %s\n", a->status, http_status_text(a->status), text);
    a->text = buf_view(&a->body);
}

void http_refused_init(struct http_refused *r, enum http_refusal why, const char *text,
                       const struct http_message *m, uint64_t max_body)
{
    memset(r, 0, sizeof *r);
    r->answer.headers = r->headers;
    r->answer.trailers = r->trailers;
    if (m && sv_starts(http_header(&m->req, SV("content-type")), SV("application/grpc")))
        refuse_grpc(why, m, max_body, r);
    else
        refuse_plain(why, text, r);
}

void http_refused_done(struct http_refused *r)
{
    buf_done(&r->answer.body);
    buf_done(&r->message);
}

/* http.h - what HTTP/1.1 and HTTP/2 have in common: a request and how it is answered. A handler never learns
 * which version, and never touches a socket. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

struct http_header {
    sv name; /* lower case */
    sv value;
};
struct http_request { /* views live as long as the exchange */
    sv method, path /* decoded, without query */, raw_path, query /* raw */, authority, scheme;
    const struct http_header *headers;
    size_t n_headers;
    sv body;          /* as sent: still content-encoded */
    int version;      /* 10, 11, 20 */
    const char *peer; /* "127.0.0.1:53412" */
    int64_t received_wall_ns;
    struct arena *arena; /* of the exchange, for the handler's own needs */
};
sv http_header(const struct http_request *r, sv lower_case_name); /* first such header; SV_NULL when absent */

/* application/x-www-form-urlencoded: decodes into `a`. One parameter by name (the n-th of that name, from 0).
 */
struct http_params {
    struct http_param {
        sv name, value;
    } * at;
    size_t n;
};
MUST_USE bool http_parse_params(sv text, size_t max_params, struct arena *a, struct http_params *ret,
                                struct err *e);
sv http_param(const struct http_params *p, sv name, size_t nth); /* SV_NULL when absent */

/* One request waiting for its one answer. From the handler's call until the answer it belongs to the handler,
 * which may answer later and from any thread. If the client goes away meanwhile, the answer is dropped
 * quietly. */
struct http_exchange;
typedef void http_handler_fn(void *ctx,
                             struct http_exchange *x); /* on the connection's loop: must not block */
const struct http_request *http_request_of(const struct http_exchange *x);

/* Answers and ends the exchange (x is gone afterwards). `headers` are copied; content-length is added. The
 * body's memory is taken over and the buf left empty; NULL for none. Any thread. */
void http_reply(struct http_exchange *x, int status, const struct http_header *headers, size_t n_headers,
                struct buf *body);
/* The same for a short text: content-type text/plain; charset=utf-8, x-content-type-options nosniff. */
void http_reply_text(struct http_exchange *x, int status, sv text);
/* Bytes that outlive the process (embedded files): not copied. */
void http_reply_static(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t n_headers, sv body);
/* With trailers behind the body (gRPC): HTTP/2 only; trailers-only when body is NULL or empty and
 * `n_trailers` > 0. */
void http_reply_trailers(struct http_exchange *x, int status, const struct http_header *headers,
                         size_t n_headers, struct buf *body, const struct http_header *trailers,
                         size_t n_trailers);
/* Set to true when the client went away or the server is closing; long handlers look at it. Lives as long as
 * x. */
const _Atomic bool *http_cancelled(const struct http_exchange *x);
const char *http_status_text(int status);

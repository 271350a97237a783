/* client.h - outgoing HTTP/1.1, HTTP/2 and gRPC (libcurl multi on our loop): keep-alive, TLS, proxies from
 * the environment, caps on what a peer may send back. */
#pragma once
#include "base/metrics.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

struct http_client;

struct http_client_config {
    const char *name;
    const char *user_agent;       /* NULL: weir/<version> */
    struct tls_client_config tls; /* for https URLs; `insecure` is for those who make the URL */
    uint32_t max_connections;     /* per host; 0: 16 */
    uint64_t max_response_bytes;  /* 0: 4 MiB */
    int64_t connect_timeout_ms;   /* 0: 5 s */
    bool http2_prior_knowledge;   /* gRPC in plain text */
};
MUST_USE bool http_client_open(const struct http_client_config *cfg, struct loop *l, struct http_client **ret,
                               struct err *e);
/* Requests under way fail with ERR_CANCELLED first. NULL is fine. Not from the loop itself. */
void http_client_close(struct http_client *c);

struct client_request { /* copied, except body: it must live until done is called */
    const char *method, *url;
    const struct http_header *headers; /* beyond those we set */
    size_t n_headers;
    sv body;
    int64_t timeout_ms; /* whole exchange; 0: 30 s */
};
struct client_response { /* views are valid during the call of done */
    int status;          /* 0: no answer, see err */
    struct http_header *headers;
    size_t n_headers;
    struct http_header *trailers;
    size_t n_trailers;
    sv body;
    struct err err; /* ERR_TIMEOUT, ERR_UNAVAILABLE (connect, reset), ERR_LIMIT (response too large) */
};
typedef void client_done_fn(void *ctx, const struct client_response *r); /* on the loop, exactly once */
/* Any thread. Without memory to even post it, `done` is called before this returns. */
void http_client_send(struct http_client *c, const struct client_request *req, client_done_fn *done,
                      void *ctx);
uint64_t http_client_max_response(const struct http_client *c);
sv client_header(const struct client_response *r, sv lower_case_name); /* headers, then trailers */

/* A unary gRPC call over such a client (http2_prior_knowledge for plain text). */
struct grpc_client_request {           /* copied, except message: it must live until done is called */
    const char *url;                   /* "http://host:4317", with https for TLS */
    const char *method;                /* "/package.Service/Method" */
    const struct http_header *headers; /* metadata; -bin values in base64 */
    size_t n_headers;
    sv message;
    bool gzip;
    int64_t timeout_ms; /* also sent as grpc-timeout; 0: 30 s */
};
struct grpc_client_response { /* views are valid during the call of done */
    int status;               /* enum grpc_status */
    bool answered;            /* the server said so; false: derived from `err` or from an HTTP status */
    sv message;               /* why, when status is not 0 */
    sv body;                  /* the response message, when it is */
    int64_t retry_after_ms;   /* from RetryInfo; -1: none */
    struct err err;           /* of the transport */
};
/* On the loop, exactly once. */
typedef void grpc_client_done_fn(void *ctx, const struct grpc_client_response *r);
void grpc_client_call(struct http_client *c, const struct grpc_client_request *req, grpc_client_done_fn *done,
                      void *ctx);

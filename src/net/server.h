/* server.h - a listener that speaks HTTP/1.1, HTTP/2 (prior knowledge or ALPN) and TLS when configured, on
 * one port, and hands whole requests to a handler. Connections are spread over the given loops. Hostile
 * peers: every length, count and wait has a cap below; past it the peer gets the right status (400, 408, 413,
 * 431, 503) or its connection closed, a counter rises, and nobody else notices. */
#pragma once
#include "base/metrics.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

struct http_server;

struct http_server_config {
    const char *address; /* "127.0.0.1:4317", "[::1]:0", "localhost:3100"; port 0 picks one */
    const char *name;    /* for messages and the metric label `server` */
    struct tls_server_config tls;
    uint64_t max_body_bytes;         /* as sent; 0: 20 MiB. 413 */
    uint64_t max_header_bytes;       /* 0: 64 KiB. 431 */
    uint32_t max_headers;            /* 0: 128 */
    uint32_t max_connections;        /* 0: 4096; further ones are closed at once and counted */
    uint32_t max_concurrent_streams; /* HTTP/2, per connection; 0: 256 */
    uint64_t
        max_inflight_bytes;  /* requests held by this server in all; 0: 256 MiB. 503 + Retry-After: 1 */
    int64_t idle_timeout_ms; /* 0: 120 s */
    int64_t read_timeout_ms; /* from the first byte of a request to its last; 0: 60 s. 408 */
    int64_t keepalive_ms;    /* HTTP/2 PING when silent this long, closed after 20 s without answer; 0: 2 h */
    bool http2_only;         /* a gRPC port: HTTP/1.1 requests get 505 */
};

/* `metrics` may be NULL. Errors name the server and its address or file. */
MUST_USE bool http_server_open(const struct http_server_config *cfg, struct loop *const *loops,
                               size_t n_loops, struct metrics *metrics, http_handler_fn *handler, void *ctx,
                               struct http_server **ret, struct err *e);
const char *http_server_address(const struct http_server *s); /* with the real port */
/* Stops accepting, waits up to drain_ms for exchanges under way, closes the rest, frees. NULL is fine. Not
 * from a loop. What handlers still hold then is cancelled; it must be answered before its loop and `metrics`
 * go. */
void http_server_close(struct http_server *s, int64_t drain_ms);

/* Routes, so that every server answers unknown paths (404) and methods (405 + Allow) alike. A pattern is a
 * path whose segments may be "*" (".../label/<star>/values" with a star); a last segment of two stars matches
 * any rest. */
struct http_route {
    const char *methods; /* "GET", "GET POST" */
    const char *pattern;
    http_handler_fn *handler;
};
/* Calls the matching route's handler or answers 404/405 itself. Table ends with {0}. */
void http_route(const struct http_route *table, void *ctx, struct http_exchange *x);

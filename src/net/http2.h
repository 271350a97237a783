/* http2.h - HTTP/2, the server's side, over nghttp2's session: bytes in, whole requests out through
 * callbacks; answers in, bytes out. Time comes in as a number. */
#pragma once
#include "net/message.h"

struct http2;

/* Called from within http2_feed(), http2_pull() and http2_expire(). http2_answer() may be called inside. */
struct http2_events {
    void (*request)(void *ctx, int32_t stream, struct http_message *m); /* m is the callee's now */
    /* `m` is what is known of it; the callee answers (http2_answer with m NULL). */
    void (*refused)(void *ctx, int32_t stream, enum http_refusal why, const struct http_message *m);
    /* A stream whose request was handed over is gone before its answer: nobody wants it any more. */
    void (*closed)(void *ctx, int32_t stream);
};
struct http2_config {
    const struct http_limits *lim; /* outlives the session */
    uint32_t max_concurrent_streams;
    struct http2_events on;
    void *ctx;
};
struct http2 *http2_new(const struct http2_config *cfg); /* NULL: out of memory */
void http2_free(struct http2 *h);                        /* calls nothing */

/* False: the connection is over (send what http2_pull() still gives, then close). The client's preface is
 * part of `in`. */
MUST_USE bool http2_feed(struct http2 *h, sv in, int64_t now_ms);
/* Appends frames to `out` until it holds `want` bytes or nothing is left to say. False: as for http2_feed. */
MUST_USE bool http2_pull(struct http2 *h, struct buf *out, size_t want);
/* Answers. Takes a->body over, and m, where the answer's headers and trailers live (NULL: they are literals).
 * A stream that is gone is fine. False: out of memory, the stream was reset. */
bool http2_answer(struct http2 *h, int32_t stream, struct http_answer *a, sv date, struct http_message *m);
/* To be called once for each `request` event, when its answer was given or is not coming: requests whose
 * streams were reset still count as concurrent until then, so that resetting is no way around
 * max_concurrent_streams. */
void http2_request_done(struct http2 *h);

/* Refuses requests that are not whole `patience_ms` after they began, resets streams whose answer the peer's
 * flow control has not let move for that long. To be called now and then. */
void http2_expire(struct http2 *h, int64_t now_ms, int64_t patience_ms);
void http2_ping(struct http2 *h);
void http2_goaway(struct http2 *h);       /* no new streams; those under way go on */
bool http2_idle(const struct http2 *h);   /* no stream is open */
bool http2_failed(const struct http2 *h); /* the connection is over because the peer broke the protocol */

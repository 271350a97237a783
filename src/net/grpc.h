/* grpc.h - gRPC unary calls over net/server.h: framing, gzip, deadlines, and the right status and trailers on
 * every error (the gRPC over HTTP/2 protocol; codes and texts where it leaves them open: grpc-go's). The codec part (grpc_frame, grpc_unframe, percent-encoding) knows no socket
 * and is shared with clients. */
#pragma once
#include "base/compress.h"
#include "base/grpc_status.h"
#include "net/http.h"

/* Codec. 5-byte prefix: flag (1: compressed), length big-endian. */
void grpc_frame(struct buf *out, bool compressed, sv message);
/* Exactly one message in `body`. ERR_LIMIT past max (measured on the prefix, before reading on). */
MUST_USE bool grpc_unframe(sv body, uint64_t max, bool *ret_compressed, sv *ret, struct err *e);
void grpc_put_message(struct buf *out, sv text);             /* grpc-message percent-encoding */
void grpc_get_message(sv value, struct buf *out);            /* bad escapes stay as they are */
MUST_USE bool grpc_parse_timeout(sv value, int64_t *ret_ns); /* "5S", "200m": <at most 8 digits><HMSmun> */
/* grpc-encoding names: identity, gzip, snappy (framed, as Go's), zstd. False: unknown. */
MUST_USE bool grpc_codec(sv name, enum codec *ret);
/* The value of grpc-status-details-bin: base64 of google.rpc.Status with a RetryInfo when retry_after_ms >=
 * 0; and that of google.rpc.retryinfo-bin. */
void grpc_put_status_details(struct buf *out, int status, sv message, int64_t retry_after_ms);
void grpc_put_retry_info(struct buf *out, int64_t retry_after_ms);
/* Finds a RetryInfo in a grpc-status-details-bin value, padded or not. */
MUST_USE bool grpc_get_retry_info(sv details_base64, int64_t *ret_ms);

struct grpc_call; /* belongs to the method until grpc_reply() */
struct grpc_method {
    const char *path;                           /* "/package.Service/Method" */
    void (*fn)(void *ctx, struct grpc_call *c); /* on the connection's loop */
};
struct grpc_config {
    /* After decompression; 0: 4 MiB. Past it RESOURCE_EXHAUSTED "grpc: received message larger than max …".
     * The server's max_body_bytes should be this plus the prefix of 5. */
    uint64_t max_recv_bytes;
};
/* The http handler's body: serves `methods` (ends with {0}); others get UNIMPLEMENTED. Non-gRPC content
 * types: HTTP 415. */
void grpc_serve(const struct grpc_config *cfg, const struct grpc_method *methods, void *ctx,
                struct http_exchange *x);

sv grpc_message(const struct grpc_call *c); /* decompressed request message */
const struct http_request *grpc_request(const struct grpc_call *c);
/* As http_cancelled(); also when the deadline passes. */
const _Atomic bool *grpc_cancelled(const struct grpc_call *c);
/* 0: none. When it passes the caller gets DEADLINE_EXCEEDED, whatever the method does. */
int64_t grpc_deadline_mono_ns(const struct grpc_call *c);
/* Answers. status 0: `body` is the response message. Otherwise `message` explains; retry_after_ms >= 0 adds
 * RetryInfo in grpc-status-details-bin and google.rpc.retryinfo-bin (Python's SDK reads only the latter). Any
 * thread; ends the call. */
void grpc_reply(struct grpc_call *c, int status, sv message, struct buf *body, int64_t retry_after_ms);

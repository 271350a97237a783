/* receiver_grpc.h - LogsService/Export as a function call: the one place that sees net/grpc.h, whose status names would
 * otherwise meet those of otlp/reply.h. */
#pragma once
#include "net/http.h"

struct grpc_call;
/* `message`: the decompressed request. Must see to one receiver_grpc_reply(), from any thread. */
typedef void receiver_export_fn(void *ctx, struct grpc_call *call, sv message, const struct http_request *r);
struct receiver_grpc {
    uint64_t max_message_bytes;
    receiver_export_fn *on_export;
    void *ctx;
};
void receiver_grpc_serve(const struct receiver_grpc *rg, struct http_exchange *x);
/* status 0: body is the response message. Else message says why; retry_after_ms >= 0 adds RetryInfo. */
void receiver_grpc_reply(struct grpc_call *call, int status, sv message, struct buf *body, int64_t retry_after_ms);

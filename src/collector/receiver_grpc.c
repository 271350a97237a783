/* receiver_grpc.c - see receiver_grpc.h. */
#include "collector/receiver_grpc.h"
#include "net/grpc.h"

static void on_export(void *ctx, struct grpc_call *call)
{
    const struct receiver_grpc *rg = ctx;
    rg->on_export(rg->ctx, call, grpc_message(call), grpc_request(call));
}

void receiver_grpc_serve(const struct receiver_grpc *rg, struct http_exchange *x)
{
    static const struct grpc_method methods[] = {
        {"/opentelemetry.proto.collector.logs.v1.LogsService/Export", on_export}, {0}};
    const struct grpc_config cfg = {.max_recv_bytes = rg->max_message_bytes};
    grpc_serve(&cfg, methods, (void *)rg, x);
}

void receiver_grpc_reply(struct grpc_call *call, int status, sv message, struct buf *body, int64_t retry_after_ms)
{
    grpc_reply(call, status, message, body, retry_after_ms);
}

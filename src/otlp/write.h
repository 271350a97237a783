/* write.h - building OTLP log bytes by appending. Lengths of nested messages are back-patched as five-byte varints
 * (legal, protobuf encoding guide), so one pass suffices and nothing is measured first. */
#pragma once
#include "base/buf.h"

/* Nested message of `field`: open, append its content, close. */
size_t otlp_open(struct buf *out, uint32_t field);
void otlp_close(struct buf *out, size_t mark);
void otlp_put_varint(struct buf *out, uint32_t field, uint64_t v);
void otlp_put_fixed64(struct buf *out, uint32_t field, uint64_t v);
void otlp_put_fixed32(struct buf *out, uint32_t field, uint32_t v);
void otlp_put_bytes(struct buf *out, uint32_t field, sv v); /* strings too */
void otlp_put_double(struct buf *out, uint32_t field, double v);

/* A whole KeyValue message as `field` of the message being written. */
void otlp_put_attr_str(struct buf *out, uint32_t field, sv key, sv value);
void otlp_put_attr_i64(struct buf *out, uint32_t field, sv key, int64_t value);
void otlp_put_attr_double(struct buf *out, uint32_t field, sv key, double value);
void otlp_put_attr_bool(struct buf *out, uint32_t field, sv key, bool value);
void otlp_put_attr_bytes(struct buf *out, uint32_t field, sv key, sv value);
/* value: a serialized AnyValue. */
void otlp_put_attr_any(struct buf *out, uint32_t field, sv key, sv value);

/* ExportLogsServiceResponse; rejected 0 and no message gives an empty message (full success). */
void otlp_put_response(struct buf *out, uint64_t rejected, sv message);
/* google.rpc.Status {code, message}, with a RetryInfo detail when retry_after_ms >= 0. */
void otlp_put_status(struct buf *out, int grpc_code, sv message, int64_t retry_after_ms);

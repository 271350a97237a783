/* request.h - from an HTTP body or gRPC message to a checked batch: decompress, transcode JSON, validate, count.
 * Shared by the collector's receiver and the store's endpoint, which differ in how they word the answer. Also the
 * classification of a peer's answer into sent, retry and rejected (otel.md §2.2), shared by all exporters. */
#pragma once
#include "base/compress.h"
#include "otlp/batch.h"
#include "otlp/walk.h"

enum otlp_encoding { OTLP_PROTOBUF, OTLP_JSON };

/* "application/x-protobuf" or "application/json", any parameters; false for others. */
bool otlp_encoding_of(sv content_type, enum otlp_encoding *ret);
/* max_bytes caps the decompressed size (ERR_LIMIT). ERR_PARSE: bad compression or bad OTLP. */
MUST_USE bool otlp_decode_request(enum otlp_encoding encoding, enum codec codec, sv body, uint64_t max_bytes,
                                  const struct otlp_limits *limits, sv tenant, int64_t arrived_wall_ns,
                                  struct batch **ret, struct err *e);

/* gRPC status codes we use by name. */
enum grpc_code {
    GRPC_OK = 0, GRPC_CANCELLED, GRPC_UNKNOWN, GRPC_INVALID_ARGUMENT, GRPC_DEADLINE_EXCEEDED, GRPC_NOT_FOUND,
    GRPC_ALREADY_EXISTS, GRPC_PERMISSION_DENIED, GRPC_RESOURCE_EXHAUSTED, GRPC_FAILED_PRECONDITION, GRPC_ABORTED,
    GRPC_OUT_OF_RANGE, GRPC_UNIMPLEMENTED, GRPC_INTERNAL, GRPC_UNAVAILABLE, GRPC_DATA_LOSS, GRPC_UNAUTHENTICATED
};
/* has_retry_info: the status carried RetryInfo (decides RESOURCE_EXHAUSTED). */
enum push_code push_code_of_grpc(int grpc_code, bool has_retry_info);
enum push_code push_code_of_http(int status);
/* "Retry-After: 120" or an HTTP date, as ms from now; -1 when absent or unreadable. */
int64_t retry_after_ms(sv value, int64_t now_wall_ns);
/* What a receiver answers for a failed push. */
int grpc_code_of_push(const struct push_result *r);
int http_status_of_push(const struct push_result *r);

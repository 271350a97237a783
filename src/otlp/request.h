/* request.h - from an HTTP body or gRPC message to a checked batch: decompress, transcode JSON, validate, count.
 * Shared by the collector's receiver and the store's endpoint, which differ in how they word the answer. The other
 * direction, what a peer's answer means, is reply.h. */
#pragma once
#include "base/compress.h"
#include "otlp/reply.h"
#include "otlp/walk.h"

enum otlp_encoding { OTLP_PROTOBUF, OTLP_JSON };

/* "application/x-protobuf" or "application/json", any parameters; false for others. */
bool otlp_encoding_of(sv content_type, enum otlp_encoding *ret);
/* max_bytes caps the size after decompression (ERR_LIMIT; 0: no cap). ERR_PARSE: bad compression or bad OTLP.
 * Trace and span ids of a wrong length are left out of the batch (walk.h (4)). */
MUST_USE bool otlp_decode_request(enum otlp_encoding encoding, enum codec codec, sv body, uint64_t max_bytes,
                                  const struct otlp_limits *limits, sv tenant, int64_t arrived_wall_ns,
                                  struct batch **ret, struct err *e);

/* What a receiver answers for a failed push. */
int grpc_code_of_push(const struct push_result *r);
int http_status_of_push(const struct push_result *r);

/* json.h - OTLP/JSON to OTLP bytes and back (protobuf's JSON mapping with the deviations of the OTLP specification).
 * What cannot be said in protobuf is an error on the way in; on the way out, fields that are unknown to us are left out. */
#pragma once
#include "otlp/walk.h"
#include "base/buf.h"

/* ExportLogsServiceRequest. Accepts lowerCamelCase and snake_case keys, numbers as strings, enum names; ignores unknown
 * keys; ids are hex. Errors name the path: "resourceLogs[0].scopeLogs[0].logRecords[2].traceId: not 32 hex digits".
 * Appends; on failure `out` holds what it held before. */
MUST_USE bool otlp_from_json(sv json, const struct otlp_limits *limits, struct buf *out, struct err *e);
void otlp_to_json(sv request, struct buf *out); /* compact, one line; zero scalars left out */
/* ExportLogsServiceResponse and google.rpc.Status as JSON. */
void otlp_response_json(struct buf *out, uint64_t rejected, sv message);
void otlp_status_json(struct buf *out, int grpc_code, sv message, int64_t retry_after_ms);
/* The peer's ExportLogsServiceResponse (protobuf or JSON); ERR_PARSE when it is neither. */
MUST_USE bool otlp_read_response(sv body, bool json, uint64_t *ret_rejected, struct buf *ret_message, struct err *e);
/* google.rpc.Status of an error answer: message, and RetryInfo's delay (-1 when absent). */
MUST_USE bool otlp_read_status(sv body, bool json, int *ret_code, struct buf *ret_message, int64_t *ret_retry_ms,
                               struct err *e);

/* reply.h - what a peer's answer means: reading protobuf responses and statuses, and sorting answers into sent, retry
 * and rejected (OTLP specification, "Failures"). Needs base_core alone: the SDK uses it too. */
#pragma once
#include "base/buf.h"
#include "base/grpc_status.h"
#include "otlp/batch.h"

const char *grpc_code_name(int grpc_code); /* enum grpc_status: "UNAVAILABLE"; "UNKNOWN" for numbers that are none */

/* has_retry_info: the status carried RetryInfo (decides RESOURCE_EXHAUSTED). */
enum push_code push_code_of_grpc(int grpc_code, bool has_retry_info);
enum push_code push_code_of_http(int status);
/* "Retry-After: 120" or an HTTP date, as ms from now; -1 when absent or unreadable. */
int64_t retry_after_ms(sv value, int64_t now_wall_ns);

/* ExportLogsServiceResponse. The message is appended to *ret_message. ERR_PARSE: not one. */
MUST_USE bool otlp_read_response_pb(sv body, uint64_t *ret_rejected, struct buf *ret_message, struct err *e);
/* google.rpc.Status: code, message, and RetryInfo's delay (-1 when absent). ERR_PARSE: not one. */
MUST_USE bool otlp_read_status_pb(sv body, int *ret_code, struct buf *ret_message, int64_t *ret_retry_ms,
                                  struct err *e);

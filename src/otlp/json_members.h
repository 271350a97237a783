/* json_members.h - OTLP/JSON as tables: one per message, with its JSON members, their protobuf fields and kinds. Both directions
 * (json.c, json_write.c) run over the same tables, so they cannot disagree. Internal to the module. */
#pragma once
#include "base/def.h"

enum json_member_kind {
    KIND_STRING,
    KIND_STRINGS, /* repeated */
    KIND_BYTES,   /* base64 */
    KIND_TRACE_ID,
    KIND_SPAN_ID,
    KIND_BOOL,
    KIND_INT64,
    KIND_UINT32,
    KIND_FIXED64,
    KIND_FIXED32,
    KIND_DOUBLE,
    KIND_SEVERITY,
    KIND_MESSAGE,
    KIND_MESSAGES, /* repeated */
};
struct json_member {
    const char *name; /* lowerCamelCase */
    uint32_t field;
    enum json_member_kind kind;
    const struct json_member *inner; /* of messages */
};

extern const struct json_member otlp_json_request[]; /* the root; each table ends with a nameless row */
/* Those that either direction treats apart: */
extern const struct json_member otlp_json_record[], otlp_json_any[] /* a oneof */, otlp_json_array[], otlp_json_kvlist[];

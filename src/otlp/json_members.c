/* json_members.c - see json_members.h. Source: opentelemetry-proto. */
#include "otlp/json_members.h"

static const struct json_member kv_members[];
const struct json_member otlp_json_array[] = {{"values", 1, KIND_MESSAGES, otlp_json_any}, {0}};
const struct json_member otlp_json_kvlist[] = {{"values", 1, KIND_MESSAGES, kv_members}, {0}};
const struct json_member otlp_json_any[] = { /* a oneof */
    {"stringValue", 1, KIND_STRING, NULL},
    {"boolValue", 2, KIND_BOOL, NULL},
    {"intValue", 3, KIND_INT64, NULL},
    {"doubleValue", 4, KIND_DOUBLE, NULL},
    {"arrayValue", 5, KIND_MESSAGE, otlp_json_array},
    {"kvlistValue", 6, KIND_MESSAGE, otlp_json_kvlist},
    {"bytesValue", 7, KIND_BYTES, NULL},
    {0},
};
static const struct json_member kv_members[] = {
    {"key", 1, KIND_STRING, NULL},
    {"value", 2, KIND_MESSAGE, otlp_json_any},
    {0},
};
const struct json_member otlp_json_record[] = {
    {"timeUnixNano", 1, KIND_FIXED64, NULL},
    {"observedTimeUnixNano", 11, KIND_FIXED64, NULL},
    {"severityNumber", 2, KIND_SEVERITY, NULL},
    {"severityText", 3, KIND_STRING, NULL},
    {"eventName", 12, KIND_STRING, NULL},
    {"body", 5, KIND_MESSAGE, otlp_json_any},
    {"attributes", 6, KIND_MESSAGES, kv_members},
    {"droppedAttributesCount", 7, KIND_UINT32, NULL},
    {"flags", 8, KIND_FIXED32, NULL},
    {"traceId", 9, KIND_TRACE_ID, NULL},
    {"spanId", 10, KIND_SPAN_ID, NULL},
    {0},
};
static const struct json_member scope_members[] = {
    {"name", 1, KIND_STRING, NULL},
    {"version", 2, KIND_STRING, NULL},
    {"attributes", 3, KIND_MESSAGES, kv_members},
    {"droppedAttributesCount", 4, KIND_UINT32, NULL},
    {0},
};
static const struct json_member scope_logs_members[] = {
    {"scope", 1, KIND_MESSAGE, scope_members},
    {"logRecords", 2, KIND_MESSAGES, otlp_json_record},
    {"schemaUrl", 3, KIND_STRING, NULL},
    {0},
};
static const struct json_member entity_members[] = {
    {"schemaUrl", 1, KIND_STRING, NULL},
    {"type", 2, KIND_STRING, NULL},
    {"idKeys", 3, KIND_STRINGS, NULL},
    {"descriptionKeys", 4, KIND_STRINGS, NULL},
    {0},
};
static const struct json_member resource_members[] = {
    {"attributes", 1, KIND_MESSAGES, kv_members},
    {"droppedAttributesCount", 2, KIND_UINT32, NULL},
    {"entityRefs", 3, KIND_MESSAGES, entity_members},
    {0},
};
static const struct json_member resource_logs_members[] = {
    {"resource", 1, KIND_MESSAGE, resource_members},
    {"scopeLogs", 2, KIND_MESSAGES, scope_logs_members},
    {"schemaUrl", 3, KIND_STRING, NULL},
    {0},
};
const struct json_member otlp_json_request[] = {{"resourceLogs", 1, KIND_MESSAGES, resource_logs_members}, {0}};

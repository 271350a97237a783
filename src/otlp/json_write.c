/* json_write.c - the half of json.h that writes JSON; needs libc alone, as the SDK does. Zero scalars are left out, but members
 * of a oneof (AnyValue) have presence and are always written.
 * Sources: protobuf's JSON mapping; OTLP specification, "JSON Protobuf Encoding". */
#include "otlp/json.h"
#include "base/json_out.h"
#include "otlp/json_members.h"
#include "otlp/wire.h"
#include <inttypes.h>

static void print_message(struct buf *out, sv message, const struct json_member *table, uint32_t depth);

static void print_key(struct buf *out, const char *name, bool *first)
{
    buf_char(out, *first ? '{' : ',');
    *first = false;
    buf_char(out, '"');
    buf_sv(out, sv_of(name));
    buf_sv(out, SV("\":"));
}

static void print_i64_string(struct buf *out, int64_t v)
{
    buf_char(out, '"');
    buf_i64(out, v);
    buf_char(out, '"');
}

static void print_any(struct buf *out, sv any_value, uint32_t depth)
{
    struct otlp_value v = otlp_read_value(any_value);
    bool first = true;
    if (v.kind == OTLP_EMPTY || depth > OTLP_MAX_DEPTH) {
        buf_sv(out, SV("{}"));
        return;
    }
    static const char *const names[] = {
        [OTLP_STRING] = "stringValue", [OTLP_BOOL] = "boolValue", [OTLP_INT] = "intValue", [OTLP_DOUBLE] = "doubleValue",
        [OTLP_ARRAY] = "arrayValue", [OTLP_KVLIST] = "kvlistValue", [OTLP_BYTES] = "bytesValue",
    };
    print_key(out, names[v.kind], &first);
    switch (v.kind) {
    case OTLP_STRING:
        json_put_string(out, v.text);
        break;
    case OTLP_BOOL:
        buf_sv(out, v.b ? SV("true") : SV("false"));
        break;
    case OTLP_INT:
        print_i64_string(out, v.i);
        break;
    case OTLP_DOUBLE:
        json_put_double(out, v.d);
        break;
    case OTLP_BYTES:
        buf_char(out, '"');
        base64_put(out, v.text);
        buf_char(out, '"');
        break;
    default:
        print_message(out, v.text, v.kind == OTLP_ARRAY ? otlp_json_array : otlp_json_kvlist, depth);
    }
    buf_char(out, '}');
}

static void print_item(struct buf *out, sv item, const struct json_member *m, uint32_t depth)
{
    if (m->kind == KIND_STRINGS)
        json_put_string(out, item);
    else if (m->inner == otlp_json_any)
        print_any(out, item, depth + 1);
    else
        print_message(out, item, m->inner, depth);
}

static void print_repeated(struct buf *out, sv message, const struct json_member *m, bool *first, uint32_t depth)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field f;
    bool none = true;
    while (wire_next(&at, end, &f) == WIRE_GOT) {
        if (f.tag != WIRE_TAG(m->field, WIRE_LEN))
            continue;
        if (none) {
            print_key(out, m->name, first);
            buf_char(out, '[');
        } else {
            buf_char(out, ',');
        }
        none = false;
        print_item(out, wire_sv(&f), m, depth);
    }
    if (!none)
        buf_char(out, ']');
}

static uint32_t wire_of(enum json_member_kind k)
{
    switch (k) {
    case KIND_BOOL:
    case KIND_INT64:
    case KIND_UINT32:
    case KIND_SEVERITY:
        return WIRE_VARINT;
    case KIND_FIXED64:
    case KIND_DOUBLE:
        return WIRE_FIXED64;
    case KIND_FIXED32:
        return WIRE_FIXED32;
    default:
        return WIRE_LEN;
    }
}

/* A singular member outside of AnyValue, unless it is absent or zero. */
static void print_singular(struct buf *out, const struct wire_field *f, const struct json_member *m, bool *first,
                           uint32_t depth)
{
    sv text = wire_of(m->kind) == WIRE_LEN ? wire_sv(f) : SV_NULL;
    size_t id_n = m->kind == KIND_TRACE_ID ? 16 : 8;
    switch (m->kind) {
    case KIND_MESSAGE:
        print_key(out, m->name, first);
        print_item(out, text, m, depth);
        break;
    case KIND_STRING:
        if (!text.n)
            break;
        print_key(out, m->name, first);
        json_put_string(out, text);
        break;
    case KIND_TRACE_ID:
    case KIND_SPAN_ID:
        if (text.n != id_n)
            break;
        print_key(out, m->name, first);
        buf_char(out, '"');
        hex_put(out, text);
        buf_char(out, '"');
        break;
    case KIND_FIXED64:
        if (!f->num)
            break;
        print_key(out, m->name, first);
        buf_char(out, '"');
        buf_u64(out, f->num);
        buf_char(out, '"');
        break;
    case KIND_SEVERITY:
        if (!(int32_t)f->num)
            break;
        print_key(out, m->name, first);
        buf_i64(out, (int32_t)f->num);
        break;
    default: /* 32-bit unsigned: no table has other kinds outside of AnyValue */
        if (!(uint32_t)f->num)
            break;
        print_key(out, m->name, first);
        buf_u64(out, (uint32_t)f->num);
    }
}

static void print_message(struct buf *out, sv message, const struct json_member *table, uint32_t depth)
{
    bool first = true;
    for (const struct json_member *m = table; m->name; m++) {
        if (m->kind == KIND_MESSAGES || m->kind == KIND_STRINGS) {
            print_repeated(out, message, m, &first, depth);
            continue;
        }
        const uint8_t *at = wire_begin(message), *end = wire_end(message);
        struct wire_field f, last = {0};
        while (wire_next(&at, end, &f) == WIRE_GOT)
            if (f.tag == WIRE_TAG(m->field, wire_of(m->kind)))
                last = f;
        if (last.tag)
            print_singular(out, &last, m, &first, depth);
    }
    if (first)
        buf_char(out, '{');
    buf_char(out, '}');
}

void otlp_to_json(sv request, struct buf *out)
{
    print_message(out, request, otlp_json_request, 0);
}

/* ---- answers ---- */

void otlp_response_json(struct buf *out, uint64_t rejected, sv message)
{
    bool first = true;
    if (!rejected && !message.n) {
        buf_sv(out, SV("{}"));
        return;
    }
    buf_sv(out, SV("{\"partialSuccess\":"));
    if (rejected) {
        print_key(out, "rejectedLogRecords", &first);
        print_i64_string(out, (int64_t)MIN(rejected, (uint64_t)INT64_MAX));
    }
    if (message.n) {
        print_key(out, "errorMessage", &first);
        json_put_string(out, message);
    }
    buf_sv(out, SV("}}"));
}

void otlp_status_json(struct buf *out, int grpc_code, sv message, int64_t retry_after_ms)
{
    buf_fmt(out, "{\"code\":%d,\"message\":", grpc_code);
    json_put_string(out, message);
    if (retry_after_ms >= 0)
        buf_fmt(out,
                ",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"%" PRId64
                ".%03" PRId64 "s\"}]",
                retry_after_ms / 1000, retry_after_ms % 1000);
    buf_char(out, '}');
}

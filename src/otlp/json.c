/* json.c - see json.h. One table per message names its JSON members, their protobuf fields and kinds; both directions
 * run over the same tables, so they cannot disagree.
 * (1) JSON in: a member of the wrong type is an error that names its path; unknown members are ignored; null is absence.
 * (2) JSON out: zero scalars are left out, but members of a oneof (AnyValue) have presence and are always written.
 * Sources: protobuf's JSON mapping; OTLP specification, "JSON Protobuf Encoding". */
#include "otlp/json.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/json_out.h"
#include "otlp/place.h"
#include "otlp/reply.h"
#include "otlp/wire.h"
#include "otlp/write.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum kind {
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
struct member {
    const char *name; /* lowerCamelCase */
    uint32_t field;
    enum kind kind;
    const struct member *inner; /* of messages */
};

static const struct member any_members[], kv_members[];
static const struct member array_members[] = {{"values", 1, KIND_MESSAGES, any_members}, {0}};
static const struct member kvlist_members[] = {{"values", 1, KIND_MESSAGES, kv_members}, {0}};
static const struct member any_members[] = { /* a oneof */
    {"stringValue", 1, KIND_STRING, NULL},
    {"boolValue", 2, KIND_BOOL, NULL},
    {"intValue", 3, KIND_INT64, NULL},
    {"doubleValue", 4, KIND_DOUBLE, NULL},
    {"arrayValue", 5, KIND_MESSAGE, array_members},
    {"kvlistValue", 6, KIND_MESSAGE, kvlist_members},
    {"bytesValue", 7, KIND_BYTES, NULL},
    {0},
};
static const struct member kv_members[] = {
    {"key", 1, KIND_STRING, NULL},
    {"value", 2, KIND_MESSAGE, any_members},
    {0},
};
static const struct member record_members[] = {
    {"timeUnixNano", 1, KIND_FIXED64, NULL},
    {"observedTimeUnixNano", 11, KIND_FIXED64, NULL},
    {"severityNumber", 2, KIND_SEVERITY, NULL},
    {"severityText", 3, KIND_STRING, NULL},
    {"eventName", 12, KIND_STRING, NULL},
    {"body", 5, KIND_MESSAGE, any_members},
    {"attributes", 6, KIND_MESSAGES, kv_members},
    {"droppedAttributesCount", 7, KIND_UINT32, NULL},
    {"flags", 8, KIND_FIXED32, NULL},
    {"traceId", 9, KIND_TRACE_ID, NULL},
    {"spanId", 10, KIND_SPAN_ID, NULL},
    {0},
};
static const struct member scope_members[] = {
    {"name", 1, KIND_STRING, NULL},
    {"version", 2, KIND_STRING, NULL},
    {"attributes", 3, KIND_MESSAGES, kv_members},
    {"droppedAttributesCount", 4, KIND_UINT32, NULL},
    {0},
};
static const struct member scope_logs_members[] = {
    {"scope", 1, KIND_MESSAGE, scope_members},
    {"logRecords", 2, KIND_MESSAGES, record_members},
    {"schemaUrl", 3, KIND_STRING, NULL},
    {0},
};
static const struct member entity_members[] = {
    {"schemaUrl", 1, KIND_STRING, NULL},
    {"type", 2, KIND_STRING, NULL},
    {"idKeys", 3, KIND_STRINGS, NULL},
    {"descriptionKeys", 4, KIND_STRINGS, NULL},
    {0},
};
static const struct member resource_members[] = {
    {"attributes", 1, KIND_MESSAGES, kv_members},
    {"droppedAttributesCount", 2, KIND_UINT32, NULL},
    {"entityRefs", 3, KIND_MESSAGES, entity_members},
    {0},
};
static const struct member resource_logs_members[] = {
    {"resource", 1, KIND_MESSAGE, resource_members},
    {"scopeLogs", 2, KIND_MESSAGES, scope_logs_members},
    {"schemaUrl", 3, KIND_STRING, NULL},
    {0},
};
static const struct member request_members[] = {{"resourceLogs", 1, KIND_MESSAGES, resource_logs_members}, {0}};

/* ---- JSON in ---- */

struct in {
    struct buf *out;
    struct err *e;
    uint32_t max_depth, max_records, n_records;
};

static void json_parser_free_scoped(struct json_parser **p)
{
    json_parser_free(*p);
}

__attribute__((cold)) static bool fail(struct in *in, const struct place *at, enum err_code code, const char *why)
{
    char path[PLACE_MAX];
    place_path(at, path);
    return err_set(in->e, code, "%s: %s", path, why);
}
__attribute__((cold)) static bool fail_kind(struct in *in, const struct place *at, const char *want, struct json v)
{
    char why[80];
    snprintf(why, sizeof why, "%s, not %s", json_kind_name(json_kind(v)), want);
    return fail(in, at, ERR_PARSE, why);
}

/* "time_unix_nano" as "timeUnixNano"; other keys as they are. `room` holds what had to be rewritten. */
static sv camel(sv key, char room[64])
{
    if (key.n > 64 || sv_find_char(key, '_') == SV_NPOS)
        return key;
    size_t n = 0;
    for (size_t i = 0; i < key.n; i++) {
        bool up = key.p[i] == '_' && i + 1 < key.n && key.p[i + 1] >= 'a' && key.p[i + 1] <= 'z';
        room[n++] = up ? (char)(key.p[++i] - 'a' + 'A') : key.p[i];
    }
    return sv_make(room, n);
}

/* A number, or a string that holds one. */
static bool get_i64(struct json v, int64_t *ret)
{
    switch (json_kind(v)) {
    case JSON_I64:
        *ret = json_i64(v);
        return true;
    case JSON_STRING:
        return sv_to_i64(json_string(v), ret);
    case JSON_DOUBLE: {
        double d = json_double(v);
        if (!(d >= -0x1p63 && d < 0x1p63) || d != floor(d))
            return false;
        *ret = (int64_t)d;
        return true;
    }
    default:
        return false;
    }
}
static bool get_u64(struct json v, uint64_t *ret)
{
    int64_t i;
    if (json_kind(v) == JSON_U64) {
        *ret = json_u64(v);
        return true;
    }
    if (json_kind(v) == JSON_STRING)
        return sv_to_u64(json_string(v), ret);
    if (!get_i64(v, &i) || i < 0)
        return false;
    *ret = (uint64_t)i;
    return true;
}
static bool get_double(struct json v, double *ret)
{
    switch (json_kind(v)) {
    case JSON_I64:
    case JSON_U64:
    case JSON_DOUBLE:
        *ret = json_double(v);
        return true;
    case JSON_STRING: {
        sv s = json_string(v);
        if (sv_eq(s, SV("NaN")))
            *ret = (double)NAN;
        else if (sv_eq(s, SV("Infinity")))
            *ret = (double)INFINITY;
        else if (sv_eq(s, SV("-Infinity")))
            *ret = (double)-INFINITY;
        else
            return sv_to_double(s, ret) && isfinite(*ret);
        return true;
    }
    default:
        return false;
    }
}

/* A number, or a name of the SeverityNumber enum: SEVERITY_NUMBER_WARN, SEVERITY_NUMBER_WARN2 … */
static bool get_severity(struct json v, int64_t *ret)
{
    static const char *const ranges[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};
    if (get_i64(v, ret))
        return *ret >= INT32_MIN && *ret <= INT32_MAX;
    if (json_kind(v) != JSON_STRING || !sv_starts(json_string(v), SV("SEVERITY_NUMBER_")))
        return false;
    sv name = sv_from(json_string(v), strlen("SEVERITY_NUMBER_"));
    if (sv_eq(name, SV("UNSPECIFIED"))) {
        *ret = 0;
        return true;
    }
    int64_t step = 0;
    if (name.n && name.p[name.n - 1] >= '2' && name.p[name.n - 1] <= '4')
        step = name.p[--name.n] - '1';
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (sv_eq(name, sv_of(ranges[i]))) {
            *ret = (int64_t)(4 * i) + 1 + step;
            return true;
        }
    return false;
}

static bool put_message(struct in *in, const struct place *at, struct json v, const struct member *table,
                        uint32_t depth);

static bool put_id(struct in *in, const struct place *at, struct json v, uint32_t field, size_t n)
{
    uint8_t id[16];
    if (json_kind(v) != JSON_STRING)
        return fail_kind(in, at, "a string of hex digits", v);
    sv text = json_string(v);
    if (text.n == 0)
        return true;
    if (!hex_get(text, id, n, NULL))
        return fail(in, at, ERR_PARSE, n == 16 ? "not 32 hex digits" : "not 16 hex digits");
    otlp_put_bytes(in->out, field, sv_make(id, n));
    return true;
}

static bool put_base64(struct in *in, const struct place *at, struct json v, uint32_t field)
{
    struct err why = {0};
    if (json_kind(v) != JSON_STRING)
        return fail_kind(in, at, "a string of base64", v);
    SCOPED(buf_done) struct buf raw = {0};
    if (!base64_get(json_string(v), &raw, &why))
        return fail(in, at, why.code, why.msg);
    if (!buf_ok(&raw, in->e))
        return false;
    otlp_put_bytes(in->out, field, buf_view(&raw));
    return true;
}

static bool put_string(struct in *in, const struct place *at, struct json v, uint32_t field, bool zero_too)
{
    if (json_kind(v) != JSON_STRING)
        return fail_kind(in, at, "a string", v);
    if (zero_too || json_string(v).n)
        otlp_put_bytes(in->out, field, json_string(v));
    return true;
}

static bool put_nested(struct in *in, const struct place *at, struct json v, const struct member *m, uint32_t depth)
{
    if (json_kind(v) != JSON_OBJECT)
        return fail_kind(in, at, "an object", v);
    if (m->inner == any_members && ++depth > in->max_depth)
        return fail(in, at, ERR_LIMIT, "nested deeper than max_depth");
    if (m->inner == record_members && in->max_records && in->n_records++ >= in->max_records)
        return fail(in, at, ERR_LIMIT, "more records than max_records");
    size_t mark = otlp_open(in->out, m->field);
    if (!put_message(in, at, v, m->inner, depth))
        return false;
    otlp_close(in->out, mark);
    return true;
}

static bool put_repeated(struct in *in, const struct place *at, struct json v, const struct member *m, uint32_t depth)
{
    struct place item = *at;
    if (json_kind(v) != JSON_ARRAY)
        return fail_kind(in, at, "an array", v);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        item.index++;
        if (m->kind == KIND_STRINGS ? !put_string(in, &item, it.value, m->field, true)
                                    : !put_nested(in, &item, it.value, m, depth))
            return false;
    }
    return true;
}

/* `one_of`: the member has presence, zero values are written. */
static bool put_member(struct in *in, const struct place *at, struct json v, const struct member *m, bool one_of,
                       uint32_t depth)
{
    uint64_t u;
    int64_t i;
    double d;
    switch (m->kind) {
    case KIND_STRING:
        return put_string(in, at, v, m->field, one_of);
    case KIND_BYTES:
        return put_base64(in, at, v, m->field);
    case KIND_TRACE_ID:
        return put_id(in, at, v, m->field, 16);
    case KIND_SPAN_ID:
        return put_id(in, at, v, m->field, 8);
    case KIND_MESSAGE:
        return put_nested(in, at, v, m, depth);
    case KIND_STRINGS:
    case KIND_MESSAGES:
        return put_repeated(in, at, v, m, depth);
    case KIND_BOOL:
        if (json_kind(v) != JSON_BOOL)
            return fail_kind(in, at, "true or false", v);
        otlp_put_varint(in->out, m->field, json_bool(v));
        return true;
    case KIND_INT64:
        if (!get_i64(v, &i))
            return fail(in, at, ERR_PARSE, "not a 64-bit integer");
        otlp_put_varint(in->out, m->field, (uint64_t)i);
        return true;
    case KIND_SEVERITY:
        if (!get_severity(v, &i))
            return fail(in, at, ERR_PARSE, "not a severity number");
        if (i)
            otlp_put_varint(in->out, m->field, (uint64_t)i);
        return true;
    case KIND_UINT32:
    case KIND_FIXED32:
        if (!get_u64(v, &u) || u > UINT32_MAX)
            return fail(in, at, ERR_PARSE, "not an unsigned 32-bit number");
        if (u && m->kind == KIND_UINT32)
            otlp_put_varint(in->out, m->field, u);
        else if (u)
            otlp_put_fixed32(in->out, m->field, (uint32_t)u);
        return true;
    case KIND_FIXED64:
        if (!get_u64(v, &u))
            return fail(in, at, ERR_PARSE, "not an unsigned 64-bit number");
        if (u)
            otlp_put_fixed64(in->out, m->field, u);
        return true;
    case KIND_DOUBLE:
        if (!get_double(v, &d))
            return fail(in, at, ERR_PARSE, "not a number");
        otlp_put_double(in->out, m->field, d);
        return true;
    }
    return true;
}

static bool put_message(struct in *in, const struct place *at, struct json v, const struct member *table,
                        uint32_t depth)
{
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        char room[64];
        sv key = camel(it.key, room);
        const struct member *m = table;
        while (m->name && !sv_eq(key, sv_of(m->name)))
            m++;
        if (!m->name || json_kind(it.value) == JSON_NULL)
            continue;
        if (!put_member(in, &(struct place){at, m->name, -1}, it.value, m, table == any_members, depth))
            return false;
    }
    return true;
}

bool otlp_from_json(sv json, const struct otlp_limits *limits, struct buf *out, struct err *e)
{
    struct in in = {.out = out, .e = e, .max_depth = 64};
    if (limits && limits->max_depth)
        in.max_depth = MIN(limits->max_depth, (uint32_t)OTLP_MAX_DEPTH);
    if (limits)
        in.max_records = limits->max_records;
    SCOPED(json_parser_free) struct json_parser *p = NULL;
    struct json v;
    size_t was = out->n;
    /* a map in a map is four brackets deeper; those around the outermost value are fewer than 16 */
    if (!json_parser_new(SIZE_MAX, 16 + 4 * (size_t)in.max_depth, &p, e) || !json_parse(p, json, &v, e))
        return false;
    if (json_kind(v) != JSON_OBJECT)
        return err_set(e, ERR_PARSE, "%s, not an object with resourceLogs", json_kind_name(json_kind(v)));
    if (put_message(&in, NULL, v, request_members, 0) && buf_ok(out, e))
        return true;
    out->n = MIN(was, out->n);
    return false;
}

/* ---- JSON out ---- */

static void print_message(struct buf *out, sv message, const struct member *table, uint32_t depth);

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
        print_message(out, v.text, v.kind == OTLP_ARRAY ? array_members : kvlist_members, depth);
    }
    buf_char(out, '}');
}

static void print_item(struct buf *out, sv item, const struct member *m, uint32_t depth)
{
    if (m->kind == KIND_STRINGS)
        json_put_string(out, item);
    else if (m->inner == any_members)
        print_any(out, item, depth + 1);
    else
        print_message(out, item, m->inner, depth);
}

static void print_repeated(struct buf *out, sv message, const struct member *m, bool *first, uint32_t depth)
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

static uint32_t wire_of(enum kind k)
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
static void print_singular(struct buf *out, const struct wire_field *f, const struct member *m, bool *first,
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

static void print_message(struct buf *out, sv message, const struct member *table, uint32_t depth)
{
    bool first = true;
    for (const struct member *m = table; m->name; m++) {
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
    print_message(out, request, request_members, 0);
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

static bool parse_answer(sv body, struct json_parser **p, struct json *ret, struct err *e)
{
    if (!json_parser_new(4 << 20, 64, p, e) || !json_parse(*p, body, ret, e))
        return false;
    if (json_kind(*ret) != JSON_OBJECT)
        return err_set(e, ERR_PARSE, "the answer is %s, not an object", json_kind_name(json_kind(*ret)));
    return true;
}

static void get_text(struct json object, sv key, struct buf *out)
{
    struct json v;
    if (json_get(object, key, &v) && json_kind(v) == JSON_STRING)
        buf_sv(out, json_string(v));
}

bool otlp_read_response(sv body, bool json, uint64_t *ret_rejected, struct buf *ret_message, struct err *e)
{
    if (!json)
        return otlp_read_response_pb(body, ret_rejected, ret_message, e);
    SCOPED(json_parser_free) struct json_parser *p = NULL;
    struct json v, partial, n;
    uint64_t rejected = 0;
    int64_t i;
    if (!parse_answer(body, &p, &v, e))
        return err_ctx(e, "not an ExportLogsServiceResponse");
    if (json_get(v, SV("partialSuccess"), &partial) && json_kind(partial) == JSON_OBJECT) {
        if (json_get(partial, SV("rejectedLogRecords"), &n)) {
            if (!get_i64(n, &i))
                return err_set(e, ERR_PARSE, "partialSuccess.rejectedLogRecords: not a 64-bit integer");
            rejected = i > 0 ? (uint64_t)i : 0;
        }
        get_text(partial, SV("errorMessage"), ret_message);
    }
    *ret_rejected = rejected;
    return true;
}

/* protobuf's JSON form of a Duration: seconds with a fraction, then "s". */
static int64_t delay_ms(sv text)
{
    double s;
    if (!sv_ends(text, SV("s")) || !sv_to_double(sv_sub(text, 0, text.n - 1), &s) || !isfinite(s))
        return -1;
    return s <= 0 ? 0 : (int64_t)(MIN(s, (double)INT32_MAX) * 1000 + 0.5);
}

bool otlp_read_status(sv body, bool json, int *ret_code, struct buf *ret_message, int64_t *ret_retry_ms, struct err *e)
{
    if (!json)
        return otlp_read_status_pb(body, ret_code, ret_message, ret_retry_ms, e);
    SCOPED(json_parser_free) struct json_parser *p = NULL;
    struct json v, member, delay;
    int64_t code = 0, retry_ms = -1;
    if (!parse_answer(body, &p, &v, e))
        return err_ctx(e, "not a google.rpc.Status");
    if (json_get(v, SV("code"), &member) && (!get_i64(member, &code) || code < INT32_MIN || code > INT32_MAX))
        return err_set(e, ERR_PARSE, "code: not a 32-bit integer");
    if (json_get(v, SV("details"), &member) && json_kind(member) == JSON_ARRAY)
        for (struct json_iter it = json_iter(member); retry_ms < 0 && json_next(&it);)
            if (json_get(it.value, SV("retryDelay"), &delay) && json_kind(delay) == JSON_STRING)
                retry_ms = delay_ms(json_string(delay));
    get_text(v, SV("message"), ret_message);
    *ret_code = (int)code;
    *ret_retry_ms = retry_ms;
    return true;
}

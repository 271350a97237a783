/* json.c - the half of json.h that reads requests: a member of the wrong type is an error that names its path; unknown members
 * are ignored; null is absence. The other halves: json_write.c, json_reply.c.
 * Sources: protobuf's JSON mapping; OTLP specification, "JSON Protobuf Encoding". */
#include "otlp/json.h"
#include "base/json.h"
#include "base/json_out.h"
#include "otlp/json_members.h"
#include "otlp/place.h"
#include "otlp/write.h"
#include <math.h>
#include <stdio.h>

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

static bool put_message(struct in *in, const struct place *at, struct json v, const struct json_member *table,
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

static bool put_nested(struct in *in, const struct place *at, struct json v, const struct json_member *m, uint32_t depth)
{
    if (json_kind(v) != JSON_OBJECT)
        return fail_kind(in, at, "an object", v);
    if (m->inner == otlp_json_any && ++depth > in->max_depth)
        return fail(in, at, ERR_LIMIT, "nested deeper than max_depth");
    if (m->inner == otlp_json_record && in->max_records && in->n_records++ >= in->max_records)
        return fail(in, at, ERR_LIMIT, "more records than max_records");
    size_t mark = otlp_open(in->out, m->field);
    if (!put_message(in, at, v, m->inner, depth))
        return false;
    otlp_close(in->out, mark);
    return true;
}

static bool put_repeated(struct in *in, const struct place *at, struct json v, const struct json_member *m, uint32_t depth)
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
static bool put_member(struct in *in, const struct place *at, struct json v, const struct json_member *m, bool one_of,
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

static bool put_message(struct in *in, const struct place *at, struct json v, const struct json_member *table,
                        uint32_t depth)
{
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        char room[64];
        sv key = camel(it.key, room);
        const struct json_member *m = table;
        while (m->name && !sv_eq(key, sv_of(m->name)))
            m++;
        if (!m->name || json_kind(it.value) == JSON_NULL)
            continue;
        if (!put_member(in, &(struct place){at, m->name, -1}, it.value, m, table == otlp_json_any, depth))
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
    if (put_message(&in, NULL, v, otlp_json_request, 0) && buf_ok(out, e))
        return true;
    out->n = MIN(was, out->n);
    return false;
}

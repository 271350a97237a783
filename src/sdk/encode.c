/* encode.c - see encode.h. */
#include "sdk/encode.h"
#include "otlp/walk.h"
#include "otlp/write.h"

/* Field numbers of LogRecord and AnyValue (opentelemetry-proto, logs.proto and common.proto). */
enum { LR_TIME = 1, LR_SEVERITY = 2, LR_SEVERITY_TEXT = 3, LR_BODY = 5, LR_ATTRS = 6, LR_DROPPED = 7, LR_FLAGS = 8,
       LR_TRACE = 9, LR_SPAN = 10, LR_OBSERVED = 11, LR_EVENT = 12 };
enum { ANY_STRING = 1, ANY_BOOL = 2, ANY_INT = 3, ANY_DOUBLE = 4, ANY_ARRAY = 5, ANY_MAP = 6, ANY_BYTES = 7 };

static const struct limits unlimited = {INT64_MAX, INT64_MAX, DEPTH_SAFE};

/* The first `max` characters of valid UTF-8. */
static sv cut_chars(sv s, int64_t max)
{
    if ((uint64_t)max >= s.n)
        return s;
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] & 0xc0) != 0x80 && max-- == 0)
            return sv_sub(s, 0, i);
    return s;
}

/* A text that may be sent: itself, or a cleaned copy in `room`. */
static sv clean(sv s, struct buf *room)
{
    size_t n = sv_utf8_prefix(s);
    if (n == s.n)
        return s;
    while (s.n) {
        buf_put(room, s.p, n);
        if (n < s.n)
            buf_sv(room, SV("\xef\xbf\xbd"));
        s = sv_from(s, n + 1);
        n = sv_utf8_prefix(s);
    }
    return buf_view(room);
}

static void put_text(struct buf *out, uint32_t field, sv s, int64_t max)
{
    SCOPED(buf_done) struct buf room = {0};
    otlp_put_bytes(out, field, cut_chars(clean(s, &room), max));
    if (room.failed)
        out->failed = room.failed;
}

void encode_text(struct buf *out, uint32_t field, sv text)
{
    if (text.n)
        put_text(out, field, text, INT64_MAX);
}

static void put_any(struct buf *out, weir_value v, const struct limits *limits, int64_t depth);

static void put_kv(struct buf *out, uint32_t field, weir_attr a, const struct limits *limits, int64_t depth)
{
    sv key = sv_of_weir(a.key), text = sv_of_weir(a.value.as.string);
    SCOPED(buf_done) struct buf room = {0};
    if (!sv_is_utf8(key))
        key = clean(key, &room);
    switch (a.value.kind) {
    case WEIR_BOOL:
        otlp_put_attr_bool(out, field, key, a.value.as.boolean);
        break;
    case WEIR_INT:
        otlp_put_attr_i64(out, field, key, a.value.as.integer);
        break;
    case WEIR_DOUBLE:
        otlp_put_attr_double(out, field, key, a.value.as.number);
        break;
    case WEIR_STRING:
        if (sv_is_utf8(text)) {
            otlp_put_attr_str(out, field, key, cut_chars(text, limits->length));
            break;
        }
        __attribute__((fallthrough));
    default: {
        size_t kv = otlp_open(out, field);
        otlp_put_bytes(out, 1, key);
        size_t value = otlp_open(out, 2);
        put_any(out, a.value, limits, depth);
        otlp_close(out, value);
        otlp_close(out, kv);
    }
    }
    if (room.failed)
        out->failed = room.failed;
}

/* The content of an AnyValue; `depth` 1 is the outermost value. */
static void put_any(struct buf *out, weir_value v, const struct limits *limits, int64_t depth)
{
    bool container = v.kind == WEIR_ARRAY || v.kind == WEIR_MAP;
    if (container && depth > limits->depth)
        return;
    size_t mark;
    switch (v.kind) {
    case WEIR_STRING:
        put_text(out, ANY_STRING, sv_of_weir(v.as.string), limits->length);
        break;
    case WEIR_BOOL:
        otlp_put_varint(out, ANY_BOOL, v.as.boolean);
        break;
    case WEIR_INT:
        otlp_put_varint(out, ANY_INT, (uint64_t)v.as.integer);
        break;
    case WEIR_DOUBLE:
        otlp_put_double(out, ANY_DOUBLE, v.as.number);
        break;
    case WEIR_BYTES:
        otlp_put_bytes(out, ANY_BYTES, sv_sub(sv_of_weir(v.as.string), 0, (size_t)limits->length));
        break;
    case WEIR_ARRAY:
        mark = otlp_open(out, ANY_ARRAY);
        for (size_t i = 0; v.as.array.data && i < v.as.array.size; i++) {
            size_t item = otlp_open(out, 1);
            put_any(out, v.as.array.data[i], limits, depth + 1);
            otlp_close(out, item);
        }
        otlp_close(out, mark);
        break;
    case WEIR_MAP:
        mark = otlp_open(out, ANY_MAP);
        for (size_t i = 0; v.as.map.data && i < v.as.map.size; i++)
            put_kv(out, 1, v.as.map.data[i], limits, depth + 1);
        otlp_close(out, mark);
        break;
    default:
        break;
    }
}

static bool comes_again(const weir_attr *attrs, size_t i, size_t n)
{
    for (size_t j = i + 1; j < n; j++)
        if (sv_eq(sv_of_weir(attrs[i].key), sv_of_weir(attrs[j].key)))
            return true;
    return false;
}

void encode_attrs(struct buf *out, uint32_t field, const weir_attr *attrs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!comes_again(attrs, i, n))
            put_kv(out, field, attrs[i], &unlimited, 1);
}

void encode_site(struct buf *out, const weir_site *site)
{
    if (site->file)
        put_kv(out, LR_ATTRS, weir_str("code.file.path", site->file), &unlimited, 1);
    otlp_put_attr_i64(out, LR_ATTRS, SV("code.line.number"), site->line);
    if (site->function)
        put_kv(out, LR_ATTRS, weir_str("code.function.name", site->function), &unlimited, 1);
}

static bool is_zero(const uint8_t *p, size_t n)
{
    while (n && !*p)
        p++, n--;
    return n == 0;
}

static void put_trace(struct buf *out, const weir_trace_context *t)
{
    if (t->flags)
        otlp_put_fixed32(out, LR_FLAGS, t->flags);
    if (!is_zero(t->trace_id, sizeof t->trace_id))
        otlp_put_bytes(out, LR_TRACE, sv_make(t->trace_id, sizeof t->trace_id));
    if (!is_zero(t->span_id, sizeof t->span_id))
        otlp_put_bytes(out, LR_SPAN, sv_make(t->span_id, sizeof t->span_id));
}

/* How many attributes are looked at: finding a key again compares all pairs, so a list is capped far above any limit
 * that makes sense. */
#define ATTRS_MAX 4096

uint32_t encode_record(struct buf *out, const weir_log_record *r, const weir_site *site, uint32_t dropped,
                       const struct limits *limits)
{
    int64_t kept = 0;
    if (r->timestamp_ns)
        otlp_put_fixed64(out, LR_TIME, r->timestamp_ns);
    if (r->severity_number)
        otlp_put_varint(out, LR_SEVERITY, (uint64_t)(int64_t)r->severity_number);
    encode_text(out, LR_SEVERITY_TEXT, sv_of_weir(r->severity_text));
    if (r->body.kind != WEIR_EMPTY) {
        size_t body = otlp_open(out, LR_BODY);
        put_any(out, r->body, &unlimited, 1);
        otlp_close(out, body);
    }
    size_t n = r->attributes ? MIN(r->n_attributes, (size_t)ATTRS_MAX) : 0;
    if (r->attributes)
        dropped += (uint32_t)MIN(r->n_attributes - n, (size_t)UINT32_MAX / 2);
    for (size_t i = 0; i < n; i++) {
        if (comes_again(r->attributes, i, n))
            continue;
        if (kept >= limits->count) {
            dropped++;
            continue;
        }
        put_kv(out, LR_ATTRS, r->attributes[i], limits, 1);
        kept++;
    }
    if (site)
        encode_site(out, site);
    if (dropped)
        otlp_put_varint(out, LR_DROPPED, dropped);
    if (r->trace)
        put_trace(out, r->trace);
    otlp_put_fixed64(out, LR_OBSERVED, r->observed_timestamp_ns);
    encode_text(out, LR_EVENT, sv_of_weir(r->event_name));
    return dropped;
}

void value_text(struct buf *out, weir_value v)
{
    SCOPED(buf_done) struct buf any = {0};
    put_any(&any, v, &unlimited, 1);
    otlp_value_text(buf_view(&any), 0, out);
}

/* ---- copies ---- */

static bool text_copy(struct arena *a, weir_string s, weir_string *ret)
{
    sv copy = arena_sv(a, sv_of_weir(s));
    *ret = (weir_string){copy.p, copy.n};
    return copy.p != NULL;
}

static bool copy_at(struct arena *a, weir_value v, weir_value *ret, int depth);

static bool copy_attr_at(struct arena *a, weir_attr attr, weir_attr *ret, int depth)
{
    return text_copy(a, attr.key, &ret->key) && copy_at(a, attr.value, &ret->value, depth);
}

static bool copy_at(struct arena *a, weir_value v, weir_value *ret, int depth)
{
    *ret = v;
    if ((v.kind == WEIR_ARRAY || v.kind == WEIR_MAP) && depth > unlimited.depth) {
        *ret = weir_value_empty();
        return true;
    }
    if (v.kind == WEIR_STRING || v.kind == WEIR_BYTES)
        return text_copy(a, v.as.string, &ret->as.string);
    if (v.kind == WEIR_ARRAY) {
        weir_value *items = arena_array(a, v.as.array.size, sizeof *items);
        for (size_t i = 0; items && v.as.array.data && i < v.as.array.size; i++)
            if (!copy_at(a, v.as.array.data[i], &items[i], depth + 1))
                return false;
        ret->as.array.data = items;
        return items != NULL;
    }
    if (v.kind == WEIR_MAP) {
        weir_attr *items = arena_array(a, v.as.map.size, sizeof *items);
        for (size_t i = 0; items && v.as.map.data && i < v.as.map.size; i++)
            if (!copy_attr_at(a, v.as.map.data[i], &items[i], depth + 1))
                return false;
        ret->as.map.data = items;
        return items != NULL;
    }
    return true;
}

bool value_copy(struct arena *a, weir_value v, weir_value *ret)
{
    return copy_at(a, v, ret, 1);
}

bool attr_copy(struct arena *a, weir_attr attr, weir_attr *ret)
{
    return copy_attr_at(a, attr, ret, 1);
}

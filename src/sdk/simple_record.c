/* simple_record.c - see simple_record.h. Both passes make the same decisions from lengths alone, so that a text which another
 * thread changes meanwhile (a bug of the caller's) garbles its record and nothing else. */
#include "sdk/simple_record.h"
#include "base/endian.h"
#include "base/varint.h"
#include "sdk/encode.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ATTRS_MAX = 16, TEXT_MAX = 1 << 20 };
/* Tags: field << 3 | wire type. LogRecord, KeyValue, AnyValue. */
enum { TIME = 0x09, SEVERITY = 0x10, SEVERITY_TEXT = 0x1a, BODY = 0x2a, ATTRIBUTE = 0x32, FLAGS = 0x45, TRACE_ID = 0x4a,
       SPAN_ID = 0x52, OBSERVED = 0x59, EVENT_NAME = 0x62 };
enum { KEY = 0x0a, VALUE = 0x12 };
enum { A_STRING = 0x0a, A_BOOL = 0x10, A_INT = 0x18, A_DOUBLE = 0x21 };

static size_t len_size(size_t n) /* a length-delimited field of n bytes whose tag is one byte */
{
    return 1 + varint_size(n) + n;
}

/* Bytes of the AnyValue; SIZE_MAX: not a plain value. */
static inline size_t any_size(const weir_value *v)
{
    switch (v->kind) {
    case WEIR_STRING:
        return len_size(v->as.string.data ? v->as.string.size : 0);
    case WEIR_BOOL:
        return 2;
    case WEIR_INT:
        return 1 + varint_size((uint64_t)v->as.integer);
    case WEIR_DOUBLE:
        return 9;
    default:
        return v->kind == WEIR_EMPTY ? 0 : SIZE_MAX;
    }
}

static bool plain_text(weir_string s, int64_t max)
{
    return !s.size || !s.data || ((uint64_t)max >= s.size && s.size <= TEXT_MAX && sv_is_utf8(sv_make(s.data, s.size)));
}

static bool same_key(weir_string a, weir_string b)
{
    return a.size == b.size && (a.data == b.data || memcmp(a.data, b.data, a.size) == 0);
}

static size_t attrs_size(const weir_log_record *r, const struct limits *limits)
{
    size_t sum = 0;
    for (size_t i = 0; i < r->n_attributes; i++) {
        const weir_attr *a = &r->attributes[i];
        size_t any = any_size(&a->value);
        if (any == SIZE_MAX || !a->key.data || !plain_text(a->key, INT64_MAX) ||
            (a->value.kind == WEIR_STRING && !plain_text(a->value.as.string, limits->length)))
            return SIZE_MAX;
        for (size_t k = 0; k < i; k++)
            if (same_key(a->key, r->attributes[k].key))
                return SIZE_MAX;
        sum += len_size(len_size(a->key.size) + len_size(any));
    }
    return sum;
}

static bool is_set(const uint8_t *id, size_t words)
{
    uint64_t any = 0, w;
    for (size_t i = 0; i < words; i++) {
        memcpy(&w, id + 8 * i, 8);
        any |= w;
    }
    return any != 0;
}

static size_t trace_size(const weir_trace_context *t)
{
    return (t->flags ? 5 : 0) + (is_set(t->trace_id, 2) ? 18 : 0) + (is_set(t->span_id, 1) ? 10 : 0);
}

size_t simple_size(const weir_log_record *r, sv site, const struct limits *limits)
{
    size_t n = 9 + site.n, attrs = 0, body = any_size(&r->body);
    if (r->n_attributes && r->attributes) {
        if (r->n_attributes > ATTRS_MAX || (int64_t)r->n_attributes > limits->count ||
            (attrs = attrs_size(r, limits)) == SIZE_MAX)
            return 0;
    }
    if (body == SIZE_MAX || !plain_text(r->severity_text, INT64_MAX) || !plain_text(r->event_name, INT64_MAX) ||
        (r->body.kind == WEIR_STRING && !plain_text(r->body.as.string, INT64_MAX)))
        return 0;
    n += attrs + (r->timestamp_ns ? 9 : 0);
    if (r->severity_number)
        n += 1 + varint_size((uint64_t)(int64_t)r->severity_number);
    if (r->severity_text.size && r->severity_text.data)
        n += len_size(r->severity_text.size);
    if (r->body.kind != WEIR_EMPTY)
        n += len_size(body);
    if (r->trace)
        n += trace_size(r->trace);
    if (r->event_name.size && r->event_name.data)
        n += len_size(r->event_name.size);
    return n;
}

static uint8_t *put_head(uint8_t *p, uint8_t tag, size_t n)
{
    *p++ = tag;
    return p + varint_put(p, n);
}
static uint8_t *put_bytes(uint8_t *p, uint8_t tag, const void *bytes, size_t n)
{
    p = put_head(p, tag, n);
    memcpy(p, bytes, n);
    return p + n;
}
static uint8_t *put_text(uint8_t *p, uint8_t tag, weir_string s)
{
    return s.data ? put_bytes(p, tag, s.data, s.size) : put_head(p, tag, 0);
}
static uint8_t *put_fixed64(uint8_t *p, uint8_t tag, uint64_t v)
{
    *p = tag;
    put_le64(p + 1, v);
    return p + 9;
}

static inline uint8_t *put_any(uint8_t *p, const weir_value *v)
{
    uint64_t bits;
    switch (v->kind) {
    case WEIR_STRING:
        return put_text(p, A_STRING, v->as.string);
    case WEIR_BOOL:
        *p++ = A_BOOL;
        *p++ = v->as.boolean;
        return p;
    case WEIR_INT:
        *p++ = A_INT;
        return p + varint_put(p, (uint64_t)v->as.integer);
    case WEIR_DOUBLE:
        memcpy(&bits, &v->as.number, sizeof bits);
        return put_fixed64(p, A_DOUBLE, bits);
    default:
        return p;
    }
}

uint8_t *simple_put(uint8_t *p, const weir_log_record *r, sv site)
{
    if (r->timestamp_ns)
        p = put_fixed64(p, TIME, r->timestamp_ns);
    if (r->severity_number) {
        *p++ = SEVERITY;
        p += varint_put(p, (uint64_t)(int64_t)r->severity_number);
    }
    if (r->severity_text.size && r->severity_text.data)
        p = put_text(p, SEVERITY_TEXT, r->severity_text);
    if (r->body.kind != WEIR_EMPTY)
        p = put_any(put_head(p, BODY, any_size(&r->body)), &r->body);
    for (size_t i = 0; r->attributes && i < r->n_attributes; i++) {
        const weir_attr *a = &r->attributes[i];
        size_t any = any_size(&a->value);
        p = put_head(p, ATTRIBUTE, len_size(a->key.size) + len_size(any));
        p = put_text(p, KEY, a->key);
        p = put_any(put_head(p, VALUE, any), &a->value);
    }
    if (site.n) {
        memcpy(p, site.p, site.n);
        p += site.n;
    }
    const weir_trace_context *t = r->trace;
    if (t && t->flags) {
        *p = FLAGS;
        put_le32(p + 1, t->flags);
        p += 5;
    }
    if (t && is_set(t->trace_id, 2))
        p = put_bytes(p, TRACE_ID, t->trace_id, 16);
    if (t && is_set(t->span_id, 1))
        p = put_bytes(p, SPAN_ID, t->span_id, 8);
    p = put_fixed64(p, OBSERVED, r->observed_timestamp_ns);
    if (r->event_name.size && r->event_name.data)
        p = put_text(p, EVENT_NAME, r->event_name);
    return p;
}

/* ---- places in the source ---- */

struct site_cache {
    size_t n;
    char bytes[];
};

sv site_bytes(const weir_site *site)
{
    _Atomic(struct site_cache *) *slot = (_Atomic(struct site_cache *) *)(void *)&((weir_site *)(uintptr_t)site)->cache;
    struct site_cache *c = atomic_load_explicit(slot, memory_order_acquire), *none = NULL;
    if (c)
        return sv_make(c->bytes, c->n);
    SCOPED(buf_done) struct buf b = {0};
    encode_site(&b, site);
    if (b.failed || !(c = malloc(sizeof *c + b.n)))
        return SV_NULL;
    c->n = b.n;
    memcpy(c->bytes, b.p, b.n);
    if (!atomic_compare_exchange_strong(slot, &none, c)) { /* another thread was here first */
        free(c);
        c = none;
    }
    return sv_make(c->bytes, c->n);
}

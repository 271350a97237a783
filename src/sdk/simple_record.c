/* simple_record.c - see simple_record.h. Both passes make the same decisions from lengths alone, so that a text which another
 * thread changes meanwhile (a bug of the caller's) garbles its record and nothing else. */
#include "sdk/simple_record.h"
#include "base/endian.h"
#include "base/varint.h"
#include "sdk/encode.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 20 };
/* Tags: field << 3 | wire type. LogRecord, KeyValue, AnyValue. */
enum { TIME = 0x09, SEVERITY = 0x10, SEVERITY_TEXT = 0x1a, BODY = 0x2a, ATTRIBUTE = 0x32, FLAGS = 0x45, TRACE_ID = 0x4a,
       SPAN_ID = 0x52, OBSERVED = 0x59, EVENT_NAME = 0x62 };
enum { KEY = 0x0a, VALUE = 0x12 };
enum { A_STRING = 0x0a, A_BOOL = 0x10, A_INT = 0x18, A_DOUBLE = 0x21 };
#define NOT_PLAIN UINT32_MAX

/* ---- small things, many times ---- */

static inline uint64_t load8(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}
static inline uint32_t load4(const char *p)
{
    uint32_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* The last words overlap those before them, so that no text is looked at byte by byte. */
static inline bool is_ascii(const char *p, size_t n)
{
    uint64_t any = 0;
    if (n >= 16) {
        for (size_t i = 0; i + 16 < n; i += 16)
            any |= load8(p + i) | load8(p + i + 8);
        any |= load8(p + n - 16) | load8(p + n - 8);
    } else if (n >= 8) {
        any = load8(p) | load8(p + n - 8);
    } else if (n >= 4) {
        any = load4(p) | load4(p + n - 4);
    } else if (n) {
        any = (uint8_t)(p[0] | p[n / 2] | p[n - 1]);
    }
    return !(any & 0x8080808080808080u);
}

static inline void copy(uint8_t *to, const char *from, size_t n)
{
    if (n > 32) {
        memcpy(to, from, n);
    } else if (n >= 16) {
        memcpy(to, from, 16);
        memcpy(to + n - 16, from + n - 16, 16);
    } else if (n >= 8) {
        memcpy(to, from, 8);
        memcpy(to + n - 8, from + n - 8, 8);
    } else if (n >= 4) {
        memcpy(to, from, 4);
        memcpy(to + n - 4, from + n - 4, 4);
    } else if (n) {
        to[0] = (uint8_t)from[0];
        to[n / 2] = (uint8_t)from[n / 2];
        to[n - 1] = (uint8_t)from[n - 1];
    }
}

static inline uint32_t len_size(uint32_t n) /* a length-delimited field of n bytes whose tag is one byte */
{
    return n < 128 ? 2 + n : 1 + (uint32_t)varint_size(n) + n;
}
static inline uint8_t *put_head(uint8_t *p, uint8_t tag, uint32_t n)
{
    *p++ = tag;
    if (n < 128) {
        *p = (uint8_t)n;
        return p + 1;
    }
    return p + varint_put(p, n);
}

/* ---- the first pass ---- */

static inline bool plain_text(weir_string s, int64_t max)
{
    return !s.size || !s.data || (s.size <= TEXT_MAX && s.size <= (uint64_t)max &&
                                  (is_ascii(s.data, s.size) || sv_is_utf8(sv_make(s.data, s.size))));
}

/* Bytes of the AnyValue; NOT_PLAIN: somebody else's. */
static inline uint32_t any_size(const weir_value *v, int64_t max)
{
    switch (v->kind) {
    case WEIR_STRING:
        return plain_text(v->as.string, max) ? len_size(v->as.string.data ? (uint32_t)v->as.string.size : 0) : NOT_PLAIN;
    case WEIR_BOOL:
        return 2;
    case WEIR_INT:
        return 1 + (uint32_t)((uint64_t)v->as.integer < 128 ? 1 : varint_size((uint64_t)v->as.integer));
    case WEIR_DOUBLE:
        return 9;
    default:
        return v->kind == WEIR_EMPTY ? 0 : NOT_PLAIN;
    }
}

static inline bool same_key(weir_string a, weir_string b)
{
    return a.size == b.size && (a.data == b.data || memcmp(a.data, b.data, a.size) == 0);
}

static bool plan_attrs(const weir_log_record *r, const struct limits *limits, struct simple *s)
{
    for (size_t i = 0; i < r->n_attributes; i++) {
        const weir_attr *a = &r->attributes[i];
        uint32_t any = any_size(&a->value, limits->length);
        if (any == NOT_PLAIN || !a->key.data || !plain_text(a->key, INT64_MAX))
            return false;
        for (size_t k = 0; k < i; k++)
            if (same_key(a->key, r->attributes[k].key))
                return false;
        s->values[i] = any;
        s->n += len_size(len_size((uint32_t)a->key.size) + len_size(any));
        if (s->n > 8 * TEXT_MAX) /* the sum stays far from its type's limits */
            return false;
    }
    return true;
}

static bool is_set(const uint8_t *id, size_t words)
{
    uint64_t any = 0;
    for (size_t i = 0; i < words; i++)
        any |= load8((const char *)id + 8 * i);
    return any != 0;
}
enum { HAS_FLAGS = 1, HAS_TRACE = 2, HAS_SPAN = 4 };

bool simple_plan(const weir_log_record *r, sv site, const struct limits *limits, struct simple *s)
{
    s->n = 9 + (uint32_t)site.n + (r->timestamp_ns ? 9 : 0);
    s->body = any_size(&r->body, INT64_MAX);
    s->trace = 0;
    if (s->body == NOT_PLAIN || !plain_text(r->severity_text, INT64_MAX) || !plain_text(r->event_name, INT64_MAX))
        return false;
    if (r->n_attributes && r->attributes &&
        (r->n_attributes > SIMPLE_ATTRS_MAX || (int64_t)r->n_attributes > limits->count || !plan_attrs(r, limits, s)))
        return false;
    if (r->severity_number)
        s->n += 1 + (uint32_t)varint_size((uint64_t)(int64_t)r->severity_number);
    if (r->severity_text.size && r->severity_text.data)
        s->n += len_size((uint32_t)r->severity_text.size);
    if (r->body.kind != WEIR_EMPTY)
        s->n += len_size(s->body);
    if (r->trace) {
        s->trace = (r->trace->flags ? HAS_FLAGS : 0) | (is_set(r->trace->trace_id, 2) ? HAS_TRACE : 0) |
                   (is_set(r->trace->span_id, 1) ? HAS_SPAN : 0);
        s->n += (s->trace & HAS_FLAGS ? 5 : 0) + (s->trace & HAS_TRACE ? 18 : 0) + (s->trace & HAS_SPAN ? 10 : 0);
    }
    if (r->event_name.size && r->event_name.data)
        s->n += len_size((uint32_t)r->event_name.size);
    return true;
}

/* ---- the second pass ---- */

static inline uint8_t *put_text(uint8_t *p, uint8_t tag, weir_string s)
{
    uint32_t n = s.data ? (uint32_t)s.size : 0;
    p = put_head(p, tag, n);
    copy(p, s.data, n);
    return p + n;
}
static inline uint8_t *put_fixed64(uint8_t *p, uint8_t tag, uint64_t v)
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

static uint8_t *put_trace(uint8_t *p, const weir_trace_context *t, uint32_t has)
{
    if (has & HAS_FLAGS) {
        *p = FLAGS;
        put_le32(p + 1, t->flags);
        p += 5;
    }
    if (has & HAS_TRACE) {
        p = put_head(p, TRACE_ID, 16);
        memcpy(p, t->trace_id, 16);
        p += 16;
    }
    if (has & HAS_SPAN) {
        p = put_head(p, SPAN_ID, 8);
        memcpy(p, t->span_id, 8);
        p += 8;
    }
    return p;
}

uint8_t *simple_put(uint8_t *p, const weir_log_record *r, sv site, const struct simple *s)
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
        p = put_any(put_head(p, BODY, s->body), &r->body);
    for (size_t i = 0; r->attributes && i < r->n_attributes; i++) {
        const weir_attr *a = &r->attributes[i];
        p = put_head(p, ATTRIBUTE, len_size((uint32_t)a->key.size) + len_size(s->values[i]));
        p = put_text(p, KEY, a->key);
        p = put_any(put_head(p, VALUE, s->values[i]), &a->value);
    }
    copy(p, site.p, site.n);
    p += site.n;
    if (s->trace)
        p = put_trace(p, r->trace, s->trace);
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

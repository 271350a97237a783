/* write.c - see write.h. A failed buffer (no memory, cap) swallows further appends; marks stay harmless then. */
#include "otlp/write.h"
#include "otlp/wire.h"

/* Length and tag of everything we write fit these: field numbers below 2^13, see the static sizes below. */
enum { TAG_MAX = 5, PATCHED_LEN = 5 };

size_t otlp_open(struct buf *out, uint32_t field)
{
    uint8_t *p = (uint8_t *)buf_reserve(out, TAG_MAX + PATCHED_LEN);
    if (p) {
        out->n += varint_put(p, WIRE_TAG(field, WIRE_LEN));
        out->n += PATCHED_LEN;
    }
    return out->n;
}

void otlp_close(struct buf *out, size_t mark)
{
    if (out->failed)
        return;
    size_t n = out->n - mark;
    if (n > INT32_MAX) { /* what protobuf decoders accept */
        out->failed = ERR_LIMIT;
        return;
    }
    uint8_t *p = (uint8_t *)out->p + mark - PATCHED_LEN;
    for (int i = 0; i < PATCHED_LEN - 1; i++, n >>= 7)
        *p++ = (uint8_t)(n | 0x80);
    *p = (uint8_t)n;
}

void otlp_put_varint(struct buf *out, uint32_t field, uint64_t v)
{
    uint8_t *p = (uint8_t *)buf_reserve(out, TAG_MAX + VARINT_MAX);
    if (!p)
        return;
    size_t n = varint_put(p, WIRE_TAG(field, WIRE_VARINT));
    out->n += n + varint_put(p + n, v);
}

void otlp_put_fixed64(struct buf *out, uint32_t field, uint64_t v)
{
    uint8_t *p = (uint8_t *)buf_reserve(out, TAG_MAX + 8);
    if (!p)
        return;
    size_t n = varint_put(p, WIRE_TAG(field, WIRE_FIXED64));
    put_le64(p + n, v);
    out->n += n + 8;
}

void otlp_put_fixed32(struct buf *out, uint32_t field, uint32_t v)
{
    uint8_t *p = (uint8_t *)buf_reserve(out, TAG_MAX + 4);
    if (!p)
        return;
    size_t n = varint_put(p, WIRE_TAG(field, WIRE_FIXED32));
    put_le32(p + n, v);
    out->n += n + 4;
}

void otlp_put_double(struct buf *out, uint32_t field, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    otlp_put_fixed64(out, field, bits);
}

static uint8_t *put_len(uint8_t *p, uint32_t field, size_t n)
{
    p += varint_put(p, WIRE_TAG(field, WIRE_LEN));
    return p + varint_put(p, n);
}
static uint8_t *put_sv(uint8_t *p, uint32_t field, sv v)
{
    p = put_len(p, field, v.n);
    if (v.n)
        memcpy(p, v.p, v.n);
    return p + v.n;
}

/* Room for `fixed` bytes of tags and lengths and two texts; NULL when there is none or a text is absurdly long. */
static uint8_t *room(struct buf *out, size_t fixed, sv a, sv b)
{
    if (a.n > INT32_MAX / 2 || b.n > INT32_MAX / 2) {
        out->failed = ERR_LIMIT;
        return NULL;
    }
    return (uint8_t *)buf_reserve(out, fixed + a.n + b.n);
}

void otlp_put_bytes(struct buf *out, uint32_t field, sv v)
{
    uint8_t *p = room(out, TAG_MAX + VARINT_MAX, v, SV_NULL);
    if (p)
        out->n += (size_t)(put_sv(p, field, v) - p);
}

/* Tag and length of the KeyValue, of its key, of its value, and of the string in it. */
enum { ATTR_FIXED = 4 * (TAG_MAX + VARINT_MAX) };

/* A KeyValue whose value is the AnyValue member `head` (its tag and length, or its whole scalar) followed by `tail`. */
static void put_attr(struct buf *out, uint32_t field, sv key, const uint8_t *head, size_t head_n, sv tail)
{
    uint8_t *p = room(out, ATTR_FIXED, key, tail);
    if (!p)
        return;
    size_t value_n = head_n + tail.n;
    uint8_t *at = put_len(p, field, 1 + varint_size(key.n) + key.n + 1 + varint_size(value_n) + value_n);
    at = put_sv(at, 1, key);
    at = put_len(at, 2, value_n);
    memcpy(at, head, head_n);
    at += head_n;
    if (tail.n)
        memcpy(at, tail.p, tail.n);
    out->n += (size_t)(at + tail.n - p);
}

static void put_attr_len(struct buf *out, uint32_t field, sv key, uint32_t member, sv value)
{
    uint8_t head[TAG_MAX + VARINT_MAX];
    put_attr(out, field, key, head, (size_t)(put_len(head, member, value.n) - head), value);
}

void otlp_put_attr_str(struct buf *out, uint32_t field, sv key, sv value)
{
    put_attr_len(out, field, key, 1, value);
}

void otlp_put_attr_bytes(struct buf *out, uint32_t field, sv key, sv value)
{
    put_attr_len(out, field, key, 7, value);
}

void otlp_put_attr_any(struct buf *out, uint32_t field, sv key, sv value)
{
    put_attr(out, field, key, (const uint8_t *)"", 0, value);
}

void otlp_put_attr_i64(struct buf *out, uint32_t field, sv key, int64_t value)
{
    uint8_t head[1 + VARINT_MAX] = {WIRE_TAG(3, WIRE_VARINT)};
    put_attr(out, field, key, head, 1 + varint_put(head + 1, (uint64_t)value), SV_NULL);
}

void otlp_put_attr_double(struct buf *out, uint32_t field, sv key, double value)
{
    uint8_t head[9] = {WIRE_TAG(4, WIRE_FIXED64)};
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_le64(head + 1, bits);
    put_attr(out, field, key, head, sizeof head, SV_NULL);
}

void otlp_put_attr_bool(struct buf *out, uint32_t field, sv key, bool value)
{
    uint8_t head[2] = {WIRE_TAG(2, WIRE_VARINT), value};
    put_attr(out, field, key, head, sizeof head, SV_NULL);
}

void otlp_put_response(struct buf *out, uint64_t rejected, sv message)
{
    if (!rejected && !message.n)
        return;
    size_t mark = otlp_open(out, 1);
    if (rejected)
        otlp_put_varint(out, 1, rejected);
    if (message.n)
        otlp_put_bytes(out, 2, message);
    otlp_close(out, mark);
}

void otlp_put_status(struct buf *out, int grpc_code, sv message, int64_t retry_after_ms)
{
    if (grpc_code)
        otlp_put_varint(out, 1, (uint64_t)(int64_t)grpc_code);
    if (message.n)
        otlp_put_bytes(out, 2, message);
    if (retry_after_ms < 0)
        return;
    size_t any = otlp_open(out, 3);
    otlp_put_bytes(out, 1, SV("type.googleapis.com/google.rpc.RetryInfo"));
    size_t info = otlp_open(out, 2);
    size_t delay = otlp_open(out, 1);
    if (retry_after_ms >= 1000)
        otlp_put_varint(out, 1, (uint64_t)retry_after_ms / 1000);
    if (retry_after_ms % 1000)
        otlp_put_varint(out, 2, (uint64_t)retry_after_ms % 1000 * 1000000);
    otlp_close(out, delay);
    otlp_close(out, info);
    otlp_close(out, any);
}

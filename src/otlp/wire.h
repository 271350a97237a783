/* wire.h - one protobuf field at a time, shared by everything in otlp that reads bytes. Internal to the module. */
#pragma once
#include "base/endian.h"
#include "base/sv.h"
#include "base/varint.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LEN = 2, WIRE_GROUP = 3, WIRE_GROUP_END = 4, WIRE_FIXED32 = 5 };
#define WIRE_TAG(field, wire) ((uint32_t)(field) << 3 | (wire))

struct wire_field {
    uint32_t tag;     /* field << 3 | wire type */
    uint64_t num;     /* varint and fixed fields */
    const uint8_t *p; /* length-delimited fields */
    size_t n;
};
enum wire_got { WIRE_BAD = -1, WIRE_END = 0, WIRE_GOT = 1 };

/* Passes over the group whose opening tag was just read; *at is behind that tag. */
enum wire_got wire_skip_group(const uint8_t **at, const uint8_t *end, uint32_t field);
/* Why wire_next() said WIRE_BAD at `at`. */
const char *wire_why(const uint8_t *at, const uint8_t *end);

/* The next field at *at; *at moves only when there is one. A group comes as its opening tag, already passed over. */
static inline enum wire_got wire_next(const uint8_t **at, const uint8_t *end, struct wire_field *f)
{
    const uint8_t *p = *at;
    if (p >= end)
        return WIRE_END;
    /* most fields: a tag of one byte, a length of one byte */
    if (end - p >= 2 && (p[0] & 0x87) == WIRE_LEN && p[0] >= 8 && p[1] < 0x80 && p[1] <= (size_t)(end - p) - 2) {
        *f = (struct wire_field){.tag = p[0], .p = p + 2, .n = p[1]};
        *at = p + 2 + p[1];
        return WIRE_GOT;
    }
    uint64_t tag;
    if (!varint_get(&p, end, &tag) || tag > UINT32_MAX || tag < 8)
        return WIRE_BAD;
    *f = (struct wire_field){.tag = (uint32_t)tag, .p = p};
    switch (tag & 7) {
    case WIRE_LEN: {
        uint64_t n;
        if (!varint_get(&p, end, &n) || n > (size_t)(end - p))
            return WIRE_BAD;
        f->p = p;
        f->n = (size_t)n;
        p += n;
        break;
    }
    case WIRE_VARINT:
        if (!varint_get(&p, end, &f->num))
            return WIRE_BAD;
        break;
    case WIRE_FIXED64:
        if (end - p < 8)
            return WIRE_BAD;
        f->num = get_le64(p);
        p += 8;
        break;
    case WIRE_FIXED32:
        if (end - p < 4)
            return WIRE_BAD;
        f->num = get_le32(p);
        p += 4;
        break;
    case WIRE_GROUP:
        if (wire_skip_group(&p, end, (uint32_t)tag >> 3) != WIRE_GOT)
            return WIRE_BAD;
        break;
    default: /* 6, 7, and the end of a group that was never opened */
        return WIRE_BAD;
    }
    *at = p;
    return WIRE_GOT;
}

/* Where a message's bytes begin and end; also for a view without bytes, whose p may be NULL. */
static inline const uint8_t *wire_begin(sv message)
{
    return message.n ? (const uint8_t *)message.p : (const uint8_t *)"";
}
static inline const uint8_t *wire_end(sv message)
{
    return wire_begin(message) + message.n;
}
static inline sv wire_sv(const struct wire_field *f)
{
    return sv_make(f->p, f->n);
}

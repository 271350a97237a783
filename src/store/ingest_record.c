/* ingest_record.c - the usual log record, read in one pass: most of what the store does per record is done here.
 * (1) Fields and attributes are looked up by their bytes on the wire, tag included. The same bytes within a request and a chunk
 *     are the same pair: its name is not normalised again, its value not checked, formatted or hashed again. What is found
 *     is compared in full; what is not found costs what it would cost anyway.
 * (2) Whatever is not usual (maps and lists, a field that comes twice, a name that is refused, other encodings of the same, damage)
 *     is left to ingest_otlp.c, which reads the record from its beginning. So both must make the same row of it; a test
 *     reads records both ways. */
#include "store/ingest_row.h"
#include "otlp/wire.h"

struct reading {
    struct ingest_run *run;
    const uint8_t *base, *end; /* of the request */
};

enum { /* what is known of a record, as tags of one byte */
    TIME = WIRE_TAG(1, WIRE_FIXED64),
    SEVERITY_NUMBER = WIRE_TAG(2, WIRE_VARINT),
    SEVERITY_TEXT = WIRE_TAG(3, WIRE_LEN),
    BODY = WIRE_TAG(5, WIRE_LEN),
    ATTRIBUTE = WIRE_TAG(6, WIRE_LEN),
    DROPPED = WIRE_TAG(7, WIRE_VARINT),
    FLAGS = WIRE_TAG(8, WIRE_FIXED32),
    TRACE_ID = WIRE_TAG(9, WIRE_LEN),
    SPAN_ID = WIRE_TAG(10, WIRE_LEN),
    OBSERVED = WIRE_TAG(11, WIRE_FIXED64),
    EVENT_NAME = WIRE_TAG(12, WIRE_LEN),
};
struct field {
    uint8_t tag;
    const uint8_t *from; /* its tag and what follows: n bytes */
    size_t n;
    uint64_t num;
    sv content;          /* of a length-delimited one */
};

/* ---- what was seen ---- */

/* The first eight bytes, or as many as there are: [p, p + n) is in the request. */
static inline uint64_t first_bytes(const struct reading *rd, const uint8_t *p, size_t n)
{
    uint64_t w = 0;
    if (rd->end - p >= 8)
        return n < 8 ? get_le64(p) & ((1ull << 8 * n) - 1) : get_le64(p);
    memcpy(&w, p, MIN(n, sizeof w));
    return w;
}

/* Where these bytes have their place: by their first, middle and last eight. */
static inline struct seen *seen_place(const struct reading *rd, const uint8_t *p, size_t n)
{
    uint64_t h = (hash_seed ^ first_bytes(rd, p, n)) * 0x9e3779b97f4a7c15u + n;
    if (n >= 8)
        h += get_le64(p + n - 8) * 0xc2b2ae3d27d4eb4fu + get_le64(p + (n - 8) / 2) * 0x165667b19e3779f9u;
    h ^= h >> 32;
    return &rd->run->seen[h * 0x9e3779b97f4a7c15u >> (64 - SEEN_BITS)];
}

static inline bool same_bytes(const struct reading *rd, const uint8_t *a, const uint8_t *b, size_t n)
{
    if (n < 8)
        return first_bytes(rd, a, n) == first_bytes(rd, b, n);
    for (size_t i = 0; i + 8 < n; i += 8)
        if (get_le64(a + i) != get_le64(b + i))
            return false;
    return get_le64(a + n - 8) == get_le64(b + n - 8);
}

/* The slot that a field's bytes, not seen before, turned out to be. */
static bool add_slot(const struct reading *rd, struct seen *place, const struct field *f, const struct name *name, uint32_t pair)
{
    if (f->n <= SEEN_MAX_BYTES)
        *place = (struct seen){.at = (uint32_t)(f->from - rd->base), .pair = pair, .name = name->id, .n = (uint16_t)f->n,
                               .epoch = rd->run->epoch};
    return run_slot(rd->run, name->id, pair);
}

/* ---- fields that were not seen before ---- */

static enum record_read add_text(const struct reading *rd, struct seen *place, const struct field *f, const struct name *name, sv text)
{
    struct ingest_run *run = rd->run;
    uint32_t pair;
    struct label l = {name->text, text.p ? clean_text(text, &run->row_mem) : text};
    if (!l.value.p || !chunk_builder_pair(&run->b, l, row_hash_pair(l), &pair)) {
        err_nomem(&run->err);
        return READ_FAILED;
    }
    return add_slot(rd, place, f, name, pair) ? READ_DONE : READ_FAILED;
}

static enum record_read add_fixed(const struct reading *rd, struct seen *place, const struct field *f, enum fixed_name which, sv text)
{
    const struct name *name;
    return run_fixed_name(rd->run, which, &name) ? add_text(rd, place, f, name, text) : READ_FAILED;
}

/* A trace or span id. Spans log more than once, so it is looked up among what was seen; but a new one is new. */
static enum record_read add_id(const struct reading *rd, struct seen *place, const struct field *f, enum fixed_name which)
{
    struct ingest_run *run = rd->run;
    const struct name *name;
    uint32_t pair;
    uint64_t any = 0;
    for (size_t i = 0; i < f->content.n; i++)
        any |= (unsigned char)f->content.p[i];
    if (f->content.n != (which == FIXED_TRACE_ID ? 16 : 8) || !any)
        return READ_DONE; /* no id at all (walk.h (4)) */
    if (!run_fixed_name(run, which, &name))
        return READ_FAILED;
    char hex[32];
    struct label l = {name->text, hex_digits(f->content, hex)};
    if (!chunk_builder_new_pair(&run->b, l, &pair)) {
        err_nomem(&run->err);
        return READ_FAILED;
    }
    return add_slot(rd, place, f, name, pair) ? READ_DONE : READ_FAILED;
}

/* A value in the one encoding that everybody writes. False: another, or a map or list. */
static bool plain_value(sv any_value)
{
    const uint8_t *at = wire_begin(any_value), *end = wire_end(any_value);
    struct wire_field f;
    if (wire_next(&at, end, &f) != WIRE_GOT || at != end)
        return false;
    return f.tag == WIRE_TAG(1, WIRE_LEN) || f.tag == WIRE_TAG(2, WIRE_VARINT) || f.tag == WIRE_TAG(3, WIRE_VARINT) ||
           f.tag == WIRE_TAG(4, WIRE_FIXED64) || f.tag == WIRE_TAG(7, WIRE_LEN);
}

/* A key and a plain value, and nothing else. */
static bool plain_attribute(sv kv, sv *ret_key, sv *ret_value)
{
    const uint8_t *at = wire_begin(kv), *end = wire_end(kv);
    struct wire_field key, value;
    if (wire_next(&at, end, &key) != WIRE_GOT || key.tag != WIRE_TAG(1, WIRE_LEN) || wire_next(&at, end, &value) != WIRE_GOT ||
        value.tag != WIRE_TAG(2, WIRE_LEN) || at != end)
        return false;
    *ret_key = wire_sv(&key);
    *ret_value = wire_sv(&value);
    return plain_value(*ret_value);
}

/* The name that stood here in the row before: a value that is new seldom has a new name. */
static bool name_as_before(const struct ingest_run *run, sv key, const struct name **ret)
{
    size_t n = run->slots.n;
    const struct name *name = n < run->n_before ? run->name_list.at[run->slots.at[n]] : NULL;
    if (!name || name->fixed || !sv_eq(name->raw, key))
        return false;
    *ret = name;
    return true;
}

static enum record_read add_attribute(const struct reading *rd, struct seen *place, const struct field *f)
{
    struct ingest_run *run = rd->run;
    struct err bad;
    const struct name *name;
    sv key, value;
    if (!plain_attribute(f->content, &key, &value))
        return READ_OTHERWISE;
    if (!name_as_before(run, key, &name) && !run_name(run, key, &name, &bad))
        return run->err.code ? READ_FAILED : READ_OTHERWISE;
    return add_text(rd, place, f, name, value_text(value, &run->row_mem));
}

static __attribute__((noinline)) enum record_read add_new(const struct reading *rd, struct seen *place, const struct field *f)
{
    struct arena *a = &rd->run->row_mem;
    switch (f->tag) {
    case SEVERITY_NUMBER:
        return (int32_t)f->num ? add_fixed(rd, place, f, FIXED_SEVERITY_NUMBER, severity_text((int32_t)f->num, a)) : READ_DONE;
    case DROPPED:
        return (uint32_t)f->num ? add_fixed(rd, place, f, FIXED_DROPPED, number_text((uint32_t)f->num, a)) : READ_DONE;
    case FLAGS:
        return f->num ? add_fixed(rd, place, f, FIXED_FLAGS, number_text(f->num, a)) : READ_DONE;
    case SEVERITY_TEXT:
        return f->content.n ? add_fixed(rd, place, f, FIXED_SEVERITY_TEXT, f->content) : READ_DONE;
    case EVENT_NAME:
        return f->content.n ? add_fixed(rd, place, f, FIXED_EVENT_NAME, f->content) : READ_DONE;
    case TRACE_ID:
        return add_id(rd, place, f, FIXED_TRACE_ID);
    case SPAN_ID:
        return add_id(rd, place, f, FIXED_SPAN_ID);
    default:
        return add_attribute(rd, place, f);
    }
}

/* ---- records ---- */

/* The digits of a time, of which most are those of the time before. */
static inline sv clock_text(struct ingest_run *run, uint64_t ns)
{
    enum { LOW = 100000000 };
    uint64_t high = ns / LOW;
    if (high != run->clock.high || !high) {
        char to[NUMBER_MAX];
        sv digits = number_digits(high ? high : ns, to);
        memcpy(run->clock.digits, digits.p, digits.n);
        run->clock.n = digits.n;
        run->clock.high = high;
        if (!high)
            return sv_make(run->clock.digits, digits.n);
    }
    eight_digits((uint32_t)(ns % LOW), run->clock.digits + run->clock.n);
    return sv_make(run->clock.digits, run->clock.n + 8);
}

/* New in nearly every record, unless a clock stands still. */
static bool add_observed(struct ingest_run *run, uint64_t ns)
{
    const struct name *name;
    if (!run_fixed_name(run, FIXED_OBSERVED, &name))
        return false;
    if (run->observed.epoch != run->epoch || run->observed.ns != ns) {
        struct label l = {name->text, clock_text(run, ns)};
        if (!chunk_builder_new_pair(&run->b, l, &run->observed.pair))
            return err_nomem(&run->err);
        run->observed.ns = ns;
        run->observed.epoch = run->epoch;
    }
    return run_slot(run, name->id, run->observed.pair);
}

/* The string that is all of an AnyValue. */
static inline bool body_text(sv any, sv *ret)
{
    const uint8_t *p = wire_begin(any) + 1, *end = wire_end(any);
    uint64_t n;
    if (!any.n || *wire_begin(any) != WIRE_TAG(1, WIRE_LEN) || !varint_get(&p, end, &n) || n != (size_t)(end - p))
        return false;
    *ret = sv_make(p, (size_t)n);
    return true;
}

/* The field at *at. False: its tag is not of one byte, or it is malformed, or a group. */
static inline bool next_field(const uint8_t **at, const uint8_t *end, struct field *f)
{
    const uint8_t *p = *at;
    f->from = p;
    f->tag = *p++;
    if (f->tag >= 0x80 || f->tag < 8)
        return false;
    switch (f->tag & 7) {
    case WIRE_LEN:
        if (!varint_get(&p, end, &f->num) || f->num > (size_t)(end - p))
            return false;
        f->content = sv_make(p, (size_t)f->num);
        p += f->num;
        break;
    case WIRE_VARINT:
        if (!varint_get(&p, end, &f->num))
            return false;
        break;
    case WIRE_FIXED64:
        if (end - p < 8)
            return false;
        f->num = get_le64(p);
        p += 8;
        break;
    case WIRE_FIXED32:
        if (end - p < 4)
            return false;
        f->num = get_le32(p);
        p += 4;
        break;
    default:
        return false;
    }
    f->n = (size_t)(p - f->from);
    *at = p;
    return true;
}

/* A field that is metadata: seen before, or new. */
static inline enum record_read field_slot(const struct reading *rd, const struct field *f)
{
    struct ingest_run *run = rd->run;
    struct seen *s = seen_place(rd, f->from, f->n);
    if (s->epoch == run->epoch && s->n == f->n && same_bytes(rd, rd->base + s->at, f->from, f->n))
        return run_slot(run, s->name, s->pair) ? READ_DONE : READ_FAILED;
    return add_new(rd, s, f);
}

enum record_read record_read(struct ingest_run *run, sv raw, struct otlp_record *ret, sv *ret_line)
{
    struct reading rd = {run, wire_begin(run->rq->bytes), wire_end(run->rq->bytes)};
    const uint8_t *at = wire_begin(raw), *end = wire_end(raw);
    unsigned had = 0; /* fields by number, of those that may come once */
    struct field f;
    *ret = (struct otlp_record){.raw = raw};
    *ret_line = SV("");
    while (at < end) {
        if (!next_field(&at, end, &f))
            return READ_OTHERWISE;
        unsigned bit = f.tag == ATTRIBUTE ? 0 : 1u << (f.tag >> 3);
        if (had & bit)
            return READ_OTHERWISE;
        had |= bit;
        switch (f.tag) {
        case TIME:
            ret->time_ns = f.num;
            continue;
        case OBSERVED:
            ret->observed_ns = f.num;
            continue;
        case BODY:
            if (!body_text(f.content, ret_line))
                return READ_OTHERWISE;
            continue;
        case SEVERITY_NUMBER:
            ret->severity_number = (int32_t)f.num;
            break;
        case SEVERITY_TEXT:
            ret->severity_text = f.content;
            break;
        case ATTRIBUTE:
        case DROPPED:
        case FLAGS:
        case TRACE_ID:
        case SPAN_ID:
        case EVENT_NAME:
            break;
        default:
            continue;
        }
        enum record_read got = field_slot(&rd, &f);
        if (got != READ_DONE)
            return got;
    }
    return !ret->time_ns || !ret->observed_ns || add_observed(run, ret->observed_ns) ? READ_DONE : READ_FAILED;
}

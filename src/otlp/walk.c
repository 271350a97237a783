/* walk.c - see walk.h. The hot path of the product: every record is walked here at least twice (checked by the receiver,
 * read by the store), so nothing allocates, the usual shapes run without recursion, and where something is wrong is
 * worked out only once it is known to be wrong.
 * Not here: UTF-8. Receivers of OTLP differ; failing a whole request for one bad byte in one line would lose the good
 * records beside it, so bytes pass as they are and whoever prints them replaces what is invalid (json_out.h). */
#include "otlp/walk.h"
#include "otlp/place.h"
#include "otlp/wire.h"

/* Groups (deprecated, skipped) may hold groups: this many deep. */
#define GROUP_DEPTH 32
#define DEPTH_DEFAULT 64

__attribute__((cold)) enum wire_got wire_skip_group(const uint8_t **at, const uint8_t *end, uint32_t field)
{
    uint32_t open[GROUP_DEPTH] = {field};
    size_t depth = 1;
    const uint8_t *p = *at;
    while (depth) {
        uint64_t tag, n;
        if (!varint_get(&p, end, &tag) || tag > UINT32_MAX || tag < 8)
            return WIRE_BAD;
        switch (tag & 7) {
        case WIRE_VARINT:
            if (!varint_get(&p, end, &n))
                return WIRE_BAD;
            continue;
        case WIRE_FIXED64:
            n = 8;
            break;
        case WIRE_LEN:
            if (!varint_get(&p, end, &n))
                return WIRE_BAD;
            break;
        case WIRE_GROUP:
            if (depth == GROUP_DEPTH)
                return WIRE_BAD;
            open[depth++] = (uint32_t)tag >> 3;
            continue;
        case WIRE_GROUP_END:
            if (open[--depth] != tag >> 3)
                return WIRE_BAD;
            continue;
        case WIRE_FIXED32:
            n = 4;
            break;
        default:
            return WIRE_BAD;
        }
        if (n > (size_t)(end - p))
            return WIRE_BAD;
        p += n;
    }
    *at = p;
    return WIRE_GOT;
}

__attribute__((cold)) const char *wire_why(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *p = at;
    uint64_t tag, v;
    if (!varint_get(&p, end, &tag))
        return end - at >= VARINT_MAX ? "tag longer than 10 bytes" : "truncated in a tag";
    if (tag > UINT32_MAX)
        return "field number too large";
    if (tag < 8)
        return "field number 0";
    switch (tag & 7) {
    case WIRE_VARINT:
        return end - p >= VARINT_MAX ? "varint longer than 10 bytes" : "truncated in a varint";
    case WIRE_LEN:
        if (!varint_get(&p, end, &v))
            return end - p >= VARINT_MAX ? "length longer than 10 bytes" : "truncated in a length";
        return "truncated: a length reaches past the end";
    case WIRE_FIXED64:
    case WIRE_FIXED32:
        return "truncated in a number";
    case WIRE_GROUP:
        return "group that is malformed, not closed or nested too deep";
    case WIRE_GROUP_END:
        return "end of a group that was not opened";
    default:
        return "wire type that does not exist";
    }
}

/* ---- check ---- */

struct check {
    const uint8_t *base;
    uint32_t max_depth, max_records;
    bool not_records;
    struct otlp_counts counts;
    struct err *e;
};

__attribute__((cold, noinline)) static bool fail(struct check *c, const struct place *in, enum err_code code,
                                                 const uint8_t *at, const char *why)
{
    char path[PLACE_MAX];
    place_path(in, path);
    return err_at(c->e, code, (size_t)(at - c->base), "%s%s%s", path, *path ? ": " : "", why);
}
__attribute__((cold, noinline)) static bool fail_wire(struct check *c, const struct place *in, const uint8_t *at,
                                                      const uint8_t *end)
{
    return fail(c, in, ERR_PARSE, at, wire_why(at, end));
}

static bool check_kvs(struct check *c, const struct place *in, const uint8_t *at, const uint8_t *end, uint32_t depth);
static bool check_values(struct check *c, const struct place *in, const uint8_t *at, const uint8_t *end, uint32_t depth);

static bool check_any(struct check *c, const struct place *in, const uint8_t *at, const uint8_t *end, uint32_t depth)
{
    struct wire_field f;
    enum wire_got got;
    if (depth > c->max_depth)
        return fail(c, in, ERR_LIMIT, at, "nested deeper than max_depth");
    while ((got = wire_next(&at, end, &f)) == WIRE_GOT) {
        if (f.tag == WIRE_TAG(5, WIRE_LEN)) {
            if (!check_values(c, &(struct place){in, "array_value", -1}, f.p, f.p + f.n, depth + 1))
                return false;
        } else if (f.tag == WIRE_TAG(6, WIRE_LEN)) {
            if (!check_kvs(c, &(struct place){in, "kvlist_value", -1}, f.p, f.p + f.n, depth + 1))
                return false;
        }
    }
    return got == WIRE_END || fail_wire(c, in, at, end);
}

static bool check_values(struct check *c, const struct place *in, const uint8_t *at, const uint8_t *end, uint32_t depth)
{
    struct place here = {in, "values", -1};
    struct wire_field f;
    enum wire_got got;
    while ((got = wire_next(&at, end, &f)) == WIRE_GOT) {
        if (f.tag != WIRE_TAG(1, WIRE_LEN))
            continue;
        here.index++;
        if (!check_any(c, &here, f.p, f.p + f.n, depth))
            return false;
    }
    return got == WIRE_END || fail_wire(c, in, at, end);
}

static bool check_kv_slow(struct check *c, const struct place *in, const uint8_t *at, const uint8_t *end, uint32_t depth)
{
    struct wire_field f;
    enum wire_got got;
    while ((got = wire_next(&at, end, &f)) == WIRE_GOT)
        if (f.tag == WIRE_TAG(2, WIRE_LEN) &&
            !check_any(c, &(struct place){in, "value", -1}, f.p, f.p + f.n, depth))
            return false;
    return got == WIRE_END || fail_wire(c, in, at, end);
}

/* The usual KeyValue: key, then a string value, each shorter than 128 bytes. True: it is exactly that. */
static inline bool is_short_pair(const uint8_t *p, size_t n)
{
    if (n < 4 || p[0] != WIRE_TAG(1, WIRE_LEN) || p[1] >= 0x80)
        return false;
    size_t at = 2u + p[1];
    if (n < at + 4 || p[at] != WIRE_TAG(2, WIRE_LEN) || p[at + 1] >= 0x80 || n != at + 2 + p[at + 1])
        return false;
    return p[at + 2] == WIRE_TAG(1, WIRE_LEN) && p[at + 3] < 0x80 && n == at + 4 + p[at + 3];
}

static inline bool check_kv(struct check *c, const struct place *in, const uint8_t *at, const uint8_t *end,
                            uint32_t depth)
{
    return is_short_pair(at, (size_t)(end - at)) || check_kv_slow(c, in, at, end, depth);
}

static bool check_kvs(struct check *c, const struct place *in, const uint8_t *at, const uint8_t *end, uint32_t depth)
{
    struct place here = {in, "values", -1};
    struct wire_field f;
    enum wire_got got;
    while ((got = wire_next(&at, end, &f)) == WIRE_GOT) {
        if (f.tag != WIRE_TAG(1, WIRE_LEN))
            continue;
        here.index++;
        if (!check_kv(c, &here, f.p, f.p + f.n, depth))
            return false;
    }
    return got == WIRE_END || fail_wire(c, in, at, end);
}

static bool is_bad_id(const struct wire_field *f, size_t want)
{
    return f->n != 0 && f->n != want;
}

static bool check_record(struct check *c, const struct place *in, const uint8_t *at, const uint8_t *end)
{
    struct place attr = {in, "attributes", -1};
    struct wire_field f;
    enum wire_got got;
    if (c->max_records && c->counts.records >= c->max_records)
        return fail(c, in, ERR_LIMIT, at, "more records than max_records");
    c->counts.records++;
    if (c->not_records)
        return true;
    while ((got = wire_next(&at, end, &f)) == WIRE_GOT) {
        switch (f.tag) {
        case WIRE_TAG(6, WIRE_LEN):
            attr.index++;
            if (!check_kv(c, &attr, f.p, f.p + f.n, 1))
                return false;
            break;
        case WIRE_TAG(5, WIRE_LEN):
            if (!check_any(c, &(struct place){in, "body", -1}, f.p, f.p + f.n, 1))
                return false;
            break;
        case WIRE_TAG(9, WIRE_LEN):
            c->counts.bad_ids += is_bad_id(&f, 16);
            break;
        case WIRE_TAG(10, WIRE_LEN):
            c->counts.bad_ids += is_bad_id(&f, 8);
            break;
        }
    }
    return got == WIRE_END || fail_wire(c, in, at, end);
}

/* Resource and InstrumentationScope: attributes in `field`, the rest is scalars. (Entity references hold only strings;
 * as nothing here reads them, they are passed over like unknown fields.) */
static bool check_attrs(struct check *c, const struct place *in, const uint8_t *at, const uint8_t *end, uint32_t field)
{
    struct place attr = {in, "attributes", -1};
    struct wire_field f;
    enum wire_got got;
    while ((got = wire_next(&at, end, &f)) == WIRE_GOT) {
        if (f.tag != WIRE_TAG(field, WIRE_LEN))
            continue;
        attr.index++;
        if (!check_kv(c, &attr, f.p, f.p + f.n, 1))
            return false;
    }
    return got == WIRE_END || fail_wire(c, in, at, end);
}

static bool check_scope_logs(struct check *c, const struct place *in, const uint8_t *at, const uint8_t *end)
{
    struct place record = {in, "log_records", -1};
    const uint8_t *first = at, *from = at;
    struct wire_field f;
    enum wire_got got;
    c->counts.scopes++;
    for (; (got = wire_next(&at, end, &f)) == WIRE_GOT; from = at) {
        switch (f.tag) {
        case WIRE_TAG(2, WIRE_LEN):
            record.index++;
            if (!check_record(c, &record, f.p, f.p + f.n))
                return false;
            break;
        case WIRE_TAG(1, WIRE_LEN):
            c->counts.unordered += from != first;
            if (!check_attrs(c, &(struct place){in, "scope", -1}, f.p, f.p + f.n, OTLP_SCOPE_ATTRS))
                return false;
            break;
        }
    }
    return got == WIRE_END || fail_wire(c, in, at, end);
}

static bool check_resource_logs(struct check *c, const struct place *in, const uint8_t *at, const uint8_t *end)
{
    struct place scope = {in, "scope_logs", -1};
    const uint8_t *first = at, *from = at;
    struct wire_field f;
    enum wire_got got;
    c->counts.resources++;
    for (; (got = wire_next(&at, end, &f)) == WIRE_GOT; from = at) {
        switch (f.tag) {
        case WIRE_TAG(2, WIRE_LEN):
            scope.index++;
            if (!check_scope_logs(c, &scope, f.p, f.p + f.n))
                return false;
            break;
        case WIRE_TAG(1, WIRE_LEN):
            c->counts.unordered += from != first;
            if (!check_attrs(c, &(struct place){in, "resource", -1}, f.p, f.p + f.n, OTLP_RESOURCE_ATTRS))
                return false;
            break;
        }
    }
    return got == WIRE_END || fail_wire(c, in, at, end);
}

bool otlp_check(sv request, const struct otlp_limits *limits, struct otlp_counts *ret, struct err *e)
{
    const uint8_t *at = wire_begin(request), *end = wire_end(request);
    struct check c = {.base = at, .max_depth = DEPTH_DEFAULT, .e = e};
    if (limits && limits->max_depth)
        c.max_depth = MIN(limits->max_depth, (uint32_t)OTLP_MAX_DEPTH);
    if (limits)
        c.max_records = limits->max_records;
    c.not_records = limits && limits->not_records;
    if (request.n > UINT32_MAX) /* so that no 32-bit count can overflow */
        return err_set(e, ERR_LIMIT, "request of %zu bytes: more than 4 GiB", request.n);
    struct place resource = {NULL, "resource_logs", -1};
    struct wire_field f;
    enum wire_got got;
    while ((got = wire_next(&at, end, &f)) == WIRE_GOT) {
        if (f.tag != WIRE_TAG(1, WIRE_LEN))
            continue;
        resource.index++;
        if (!check_resource_logs(&c, &resource, f.p, f.p + f.n))
            return false;
    }
    if (got == WIRE_BAD)
        return fail_wire(&c, NULL, at, end);
    *ret = c.counts;
    return true;
}

bool otlp_check_record(sv raw)
{
    struct check c = {.base = wire_begin(raw), .max_depth = DEPTH_DEFAULT};
    return check_record(&c, NULL, wire_begin(raw), wire_end(raw));
}

/* ---- walk ---- */

static struct otlp_iter iter_of(sv message)
{
    return (struct otlp_iter){wire_begin(message), wire_end(message)};
}

/* The next length-delimited field with this number; false at the end and at anything malformed. */
static inline bool next_of(const uint8_t **at, const uint8_t *end, uint32_t field, struct wire_field *f)
{
    while (wire_next(at, end, f) == WIRE_GOT)
        if (f->tag == WIRE_TAG(field, WIRE_LEN))
            return true;
    *at = end;
    return false;
}

struct otlp_iter otlp_resources(sv request)
{
    return iter_of(request);
}

bool otlp_next_resource(struct otlp_iter *it, struct otlp_resource_logs *ret)
{
    struct wire_field f;
    if (!next_of(&it->at, it->end, 1, &f))
        return false;
    *ret = (struct otlp_resource_logs){.raw = wire_sv(&f)};
    const uint8_t *at = f.p, *end = f.p + f.n;
    while (wire_next(&at, end, &f) == WIRE_GOT) {
        if (f.tag == WIRE_TAG(1, WIRE_LEN))
            ret->resource = wire_sv(&f);
        else if (f.tag == WIRE_TAG(3, WIRE_LEN))
            ret->schema_url = wire_sv(&f);
    }
    return true;
}

struct otlp_iter otlp_scopes(const struct otlp_resource_logs *r)
{
    return iter_of(r->raw);
}

bool otlp_next_scope(struct otlp_iter *it, struct otlp_scope_logs *ret)
{
    struct wire_field f;
    if (!next_of(&it->at, it->end, 2, &f))
        return false;
    *ret = (struct otlp_scope_logs){.raw = wire_sv(&f)};
    const uint8_t *at = f.p, *end = f.p + f.n;
    while (wire_next(&at, end, &f) == WIRE_GOT) {
        if (f.tag == WIRE_TAG(1, WIRE_LEN))
            ret->scope = wire_sv(&f);
        else if (f.tag == WIRE_TAG(3, WIRE_LEN))
            ret->schema_url = wire_sv(&f);
    }
    return true;
}

bool otlp_next_ordered_scope(struct otlp_iter *it, struct otlp_scope_logs *ret)
{
    struct wire_field f;
    if (!next_of(&it->at, it->end, 2, &f))
        return false;
    *ret = (struct otlp_scope_logs){.raw = wire_sv(&f)};
    const uint8_t *at = f.p, *end = f.p + f.n;
    if (wire_next(&at, end, &f) == WIRE_GOT && f.tag == WIRE_TAG(1, WIRE_LEN))
        ret->scope = wire_sv(&f);
    return true;
}

struct otlp_iter otlp_records(const struct otlp_scope_logs *s)
{
    return iter_of(s->raw);
}

/* A valid id: of the right length and not all zero (OpenTelemetry data model, "TraceId", "SpanId"). */
static sv id_of(const struct wire_field *f, size_t want)
{
    if (f->n == want)
        for (size_t i = 0; i < want; i++)
            if (f->p[i])
                return wire_sv(f);
    return SV_NULL;
}

bool otlp_next_raw_record(struct otlp_iter *it, sv *ret)
{
    struct wire_field f;
    if (!next_of(&it->at, it->end, 2, &f))
        return false;
    *ret = wire_sv(&f);
    return true;
}

bool otlp_next_record(struct otlp_iter *it, struct otlp_record *ret)
{
    sv raw;
    if (!otlp_next_raw_record(it, &raw))
        return false;
    otlp_read_record(raw, ret);
    return true;
}

void otlp_read_record(sv raw, struct otlp_record *ret)
{
    struct wire_field f;
    *ret = (struct otlp_record){.raw = raw};
    const uint8_t *at = wire_begin(raw), *end = wire_end(raw);
    while (wire_next(&at, end, &f) == WIRE_GOT) {
        switch (f.tag) {
        case WIRE_TAG(1, WIRE_FIXED64):
            ret->time_ns = f.num;
            break;
        case WIRE_TAG(11, WIRE_FIXED64):
            ret->observed_ns = f.num;
            break;
        case WIRE_TAG(2, WIRE_VARINT):
            ret->severity_number = (int32_t)f.num;
            break;
        case WIRE_TAG(3, WIRE_LEN):
            ret->severity_text = wire_sv(&f);
            break;
        case WIRE_TAG(5, WIRE_LEN):
            ret->body = wire_sv(&f);
            break;
        case WIRE_TAG(7, WIRE_VARINT):
            ret->dropped_attributes = (uint32_t)f.num;
            break;
        case WIRE_TAG(8, WIRE_FIXED32):
            ret->flags = (uint32_t)f.num;
            break;
        case WIRE_TAG(9, WIRE_LEN):
            ret->trace_id = id_of(&f, 16);
            break;
        case WIRE_TAG(10, WIRE_LEN):
            ret->span_id = id_of(&f, 8);
            break;
        case WIRE_TAG(12, WIRE_LEN):
            ret->event_name = wire_sv(&f);
            break;
        }
    }
}

void otlp_read_scope(sv scope, struct otlp_scope *ret)
{
    struct otlp_iter it = iter_of(scope);
    struct wire_field f;
    *ret = (struct otlp_scope){0};
    while (wire_next(&it.at, it.end, &f) == WIRE_GOT) {
        if (f.tag == WIRE_TAG(1, WIRE_LEN))
            ret->name = wire_sv(&f);
        else if (f.tag == WIRE_TAG(2, WIRE_LEN))
            ret->version = wire_sv(&f);
        else if (f.tag == WIRE_TAG(4, WIRE_VARINT))
            ret->dropped_attributes = (uint32_t)f.num;
    }
}

uint32_t otlp_resource_dropped(sv resource)
{
    struct otlp_iter it = iter_of(resource);
    struct wire_field f;
    uint32_t dropped = 0;
    while (wire_next(&it.at, it.end, &f) == WIRE_GOT)
        if (f.tag == WIRE_TAG(2, WIRE_VARINT))
            dropped = (uint32_t)f.num;
    return dropped;
}

struct otlp_attr_iter otlp_attrs(sv message, uint32_t field)
{
    return (struct otlp_attr_iter){wire_begin(message), wire_end(message), field};
}

bool otlp_next_attr(struct otlp_attr_iter *it, struct otlp_attr *ret)
{
    struct wire_field f;
    if (!next_of(&it->at, it->end, it->field, &f))
        return false;
    if (is_short_pair(f.p, f.n)) {
        size_t n = f.p[1];
        *ret = (struct otlp_attr){sv_make(f.p + 2, n), sv_make(f.p + 4 + n, f.n - 4 - n)};
        return true;
    }
    *ret = (struct otlp_attr){0};
    const uint8_t *at = f.p, *end = f.p + f.n;
    while (wire_next(&at, end, &f) == WIRE_GOT) {
        if (f.tag == WIRE_TAG(1, WIRE_LEN))
            ret->key = wire_sv(&f);
        else if (f.tag == WIRE_TAG(2, WIRE_LEN))
            ret->value = wire_sv(&f);
    }
    return true;
}

struct otlp_value otlp_read_value(sv any_value)
{
    struct otlp_value v = {.kind = OTLP_EMPTY};
    const uint8_t *p = (const uint8_t *)any_value.p;
    if (any_value.n >= 2 && p[0] == WIRE_TAG(1, WIRE_LEN) && p[1] < 0x80 && p[1] == any_value.n - 2)
        return (struct otlp_value){.kind = OTLP_STRING, .text = sv_make(p + 2, p[1])}; /* the usual one */
    struct otlp_iter it = iter_of(any_value);
    struct wire_field f;
    while (wire_next(&it.at, it.end, &f) == WIRE_GOT) {
        switch (f.tag) {
        case WIRE_TAG(1, WIRE_LEN):
            v = (struct otlp_value){.kind = OTLP_STRING, .text = wire_sv(&f)};
            break;
        case WIRE_TAG(2, WIRE_VARINT):
            v = (struct otlp_value){.kind = OTLP_BOOL, .b = f.num != 0};
            break;
        case WIRE_TAG(3, WIRE_VARINT):
            v = (struct otlp_value){.kind = OTLP_INT, .i = (int64_t)f.num};
            break;
        case WIRE_TAG(4, WIRE_FIXED64):
            v.kind = OTLP_DOUBLE;
            memcpy(&v.d, &f.num, sizeof v.d);
            break;
        case WIRE_TAG(5, WIRE_LEN):
            v = (struct otlp_value){.kind = OTLP_ARRAY, .text = wire_sv(&f)};
            break;
        case WIRE_TAG(6, WIRE_LEN):
            v = (struct otlp_value){.kind = OTLP_KVLIST, .text = wire_sv(&f)};
            break;
        case WIRE_TAG(7, WIRE_LEN):
            v = (struct otlp_value){.kind = OTLP_BYTES, .text = wire_sv(&f)};
            break;
        }
    }
    return v;
}

struct otlp_iter otlp_array(struct otlp_value array)
{
    return array.kind == OTLP_ARRAY ? iter_of(array.text) : (struct otlp_iter){0};
}

bool otlp_next_value(struct otlp_iter *it, sv *ret_any_value)
{
    struct wire_field f;
    if (!next_of(&it->at, it->end, 1, &f))
        return false;
    *ret_any_value = wire_sv(&f);
    return true;
}

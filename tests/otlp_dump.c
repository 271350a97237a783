/* otlp_dump.c - for otlp_differential.py: reads requests from stdin (length as 32 bits, little endian, then the bytes) and
 * prints for each "bad" or what our walker sees in it, in a form that a dozen lines of Python can produce too. */
#include "base/buf.h"
#include "base/endian.h"
#include "base/json_out.h"
#include "otlp/walk.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void put_hex(struct buf *out, sv s)
{
    buf_char(out, '\'');
    hex_put(out, s);
    buf_char(out, '\'');
}

static void put_attrs(struct buf *out, sv message, uint32_t field);

static void put_value(struct buf *out, sv any)
{
    struct otlp_value v = otlp_read_value(any);
    struct otlp_iter it;
    uint64_t bits;
    sv item;
    switch (v.kind) {
    case OTLP_EMPTY:
        buf_char(out, 'e');
        break;
    case OTLP_STRING:
    case OTLP_BYTES:
        buf_char(out, v.kind == OTLP_STRING ? 's' : 'y');
        put_hex(out, v.text);
        break;
    case OTLP_BOOL:
        buf_fmt(out, "b%d", v.b);
        break;
    case OTLP_INT:
        buf_fmt(out, "i%" PRId64, v.i);
        break;
    case OTLP_DOUBLE:
        memcpy(&bits, &v.d, sizeof bits);
        buf_fmt(out, "d%016" PRIx64, bits);
        break;
    case OTLP_ARRAY:
        buf_char(out, '[');
        for (it = otlp_array(v); otlp_next_value(&it, &item); buf_char(out, ','))
            put_value(out, item);
        buf_char(out, ']');
        break;
    case OTLP_KVLIST:
        put_attrs(out, v.text, OTLP_KVLIST_VALUES);
        break;
    }
}

static void put_attrs(struct buf *out, sv message, uint32_t field)
{
    struct otlp_attr_iter it = otlp_attrs(message, field);
    struct otlp_attr a;
    buf_char(out, '{');
    while (otlp_next_attr(&it, &a)) {
        put_hex(out, a.key);
        buf_char(out, '=');
        put_value(out, a.value);
        buf_char(out, ',');
    }
    buf_char(out, '}');
}

static void put_record(struct buf *out, const struct otlp_record *r)
{
    buf_fmt(out, " L %" PRIu64 " %" PRIu64 " %" PRId32 " %" PRIu32 " %" PRIu32 " ", r->time_ns, r->observed_ns, r->severity_number,
            r->flags, r->dropped_attributes);
    put_hex(out, r->severity_text);
    put_hex(out, r->event_name);
    put_hex(out, r->trace_id);
    put_hex(out, r->span_id);
    if (r->body.p)
        put_value(out, r->body);
    else
        buf_char(out, '-');
    put_attrs(out, r->raw, OTLP_RECORD_ATTRS);
}

static void put_request(struct buf *out, sv request)
{
    struct otlp_resource_logs rl;
    struct otlp_scope_logs sl;
    struct otlp_record r;
    struct otlp_scope scope;
    for (struct otlp_iter i = otlp_resources(request); otlp_next_resource(&i, &rl);) {
        buf_fmt(out, " R %" PRIu32, otlp_resource_dropped(rl.resource));
        put_hex(out, rl.schema_url);
        put_attrs(out, rl.resource, OTLP_RESOURCE_ATTRS);
        for (struct otlp_iter j = otlp_scopes(&rl); otlp_next_scope(&j, &sl);) {
            otlp_read_scope(sl.scope, &scope);
            buf_fmt(out, " S %" PRIu32, scope.dropped_attributes);
            put_hex(out, sl.schema_url);
            put_hex(out, scope.name);
            put_hex(out, scope.version);
            put_attrs(out, sl.scope, OTLP_SCOPE_ATTRS);
            for (struct otlp_iter k = otlp_records(&sl); otlp_next_record(&k, &r);)
                put_record(out, &r);
        }
    }
}

int main(void)
{
    uint8_t head[4];
    SCOPED(buf_done) struct buf in = {0}, out = {0};
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        size_t n = get_le32(head);
        struct otlp_counts counts;
        struct err e = {0};
        buf_reset(&in);
        buf_reset(&out);
        if (!buf_reserve(&in, n) || fread(in.p, 1, n, stdin) != n)
            return 1;
        if (otlp_check(sv_make(in.p, n), NULL, &counts, &e))
            put_request(&out, sv_make(in.p, n));
        else
            buf_fmt(&out, "bad, %zu: %s", e.pos, e.msg);
        printf(SV_FMT "\n", SV_ARG(buf_view(&out)));
    }
    return 0;
}

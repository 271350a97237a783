/* debug_print.c - see debug_print.h. */
#include "collector/debug_print.h"
#include "base/clock.h"
#include "base/json_out.h"
#include "otlp/walk.h"
#include <inttypes.h>

static void put_attrs_line(struct buf *out, sv message, uint32_t field)
{
    struct otlp_attr_iter it = otlp_attrs(message, field);
    struct otlp_attr at;
    while (otlp_next_attr(&it, &at)) {
        buf_fmt(out, " " SV_FMT "=", SV_ARG(at.key));
        otlp_value_text(at.value, 0, out);
    }
    buf_char(out, '\n');
}

void debug_print_normal(sv request, struct buf *out)
{
    unsigned i = 0;
    struct otlp_iter resources = otlp_resources(request);
    struct otlp_resource_logs rl;
    while (otlp_next_resource(&resources, &rl)) {
        buf_fmt(out, "ResourceLog #%u%s" SV_FMT, i++, rl.schema_url.n ? " " : "", SV_ARG(rl.schema_url));
        put_attrs_line(out, rl.resource, OTLP_RESOURCE_ATTRS);
        unsigned k = 0;
        struct otlp_iter scopes = otlp_scopes(&rl);
        struct otlp_scope_logs sl;
        while (otlp_next_scope(&scopes, &sl)) {
            struct otlp_scope sc = {0};
            otlp_read_scope(sl.scope, &sc);
            buf_fmt(out, "ScopeLog #%u " SV_FMT "%s" SV_FMT, k++, SV_ARG(sc.name), sc.version.n ? "@" : "",
                    SV_ARG(sc.version));
            put_attrs_line(out, sl.scope, OTLP_SCOPE_ATTRS);
            struct otlp_iter records = otlp_records(&sl);
            struct otlp_record r;
            while (otlp_next_record(&records, &r)) {
                otlp_value_text(r.body, 0, out);
                put_attrs_line(out, r.raw, OTLP_RECORD_ATTRS);
            }
        }
    }
}

static void put_value(struct buf *out, sv any)
{
    static const char *const kinds[] = {[OTLP_EMPTY] = "Empty", [OTLP_STRING] = "Str",  [OTLP_BOOL] = "Bool",
                                        [OTLP_INT] = "Int",     [OTLP_DOUBLE] = "Double", [OTLP_ARRAY] = "Slice",
                                        [OTLP_KVLIST] = "Map",  [OTLP_BYTES] = "Bytes"};
    buf_fmt(out, "%s(", kinds[otlp_read_value(any).kind]);
    otlp_value_text(any, 0, out);
    buf_sv(out, SV(")\n"));
}

static void put_attrs(struct buf *out, const char *title, sv message, uint32_t field)
{
    struct otlp_attr_iter it = otlp_attrs(message, field);
    struct otlp_attr at;
    for (bool first = true; otlp_next_attr(&it, &at); first = false) {
        if (first)
            buf_fmt(out, "%s:\n", title);
        buf_fmt(out, "     -> " SV_FMT ": ", SV_ARG(at.key));
        put_value(out, at.value);
    }
}

/* As Go prints a time: "2020-02-11 20:26:13.000000789 +0000 UTC", without trailing zeros of the fraction. */
static void put_time(struct buf *out, const char *title, uint64_t ns)
{
    char text[36];
    clock_format_rfc3339((int64_t)MIN(ns, (uint64_t)INT64_MAX), 9, text);
    sv date = {text, 10}, time = sv_sub(sv_of(text), 11, 18);
    while (time.n > 8 && time.p[time.n - 1] == '0')
        time.n--;
    if (time.n == 9)
        time.n--; /* the point */
    buf_fmt(out, "%s: " SV_FMT " " SV_FMT " +0000 UTC\n", title, SV_ARG(date), SV_ARG(time));
}

static void put_severity(struct buf *out, int32_t number)
{
    static const char *const names[] = {"Trace", "Debug", "Info", "Warn", "Error", "Fatal"};
    if (number < 1 || number > 24)
        buf_fmt(out, "SeverityNumber: Unspecified(%" PRId32 ")\n", number);
    else if ((number - 1) % 4)
        buf_fmt(out, "SeverityNumber: %s%d(%" PRId32 ")\n", names[(number - 1) / 4], (number - 1) % 4 + 1, number);
    else
        buf_fmt(out, "SeverityNumber: %s(%" PRId32 ")\n", names[(number - 1) / 4], number);
}

static void put_id(struct buf *out, const char *title, sv id)
{
    buf_fmt(out, "%s: ", title);
    hex_put(out, id);
    buf_char(out, '\n');
}

static void put_record(struct buf *out, unsigned k, const struct otlp_record *r)
{
    buf_fmt(out, "LogRecord #%u\n", k);
    put_time(out, "ObservedTimestamp", r->observed_ns);
    put_time(out, "Timestamp", r->time_ns);
    buf_fmt(out, "SeverityText: " SV_FMT "\n", SV_ARG(r->severity_text));
    put_severity(out, r->severity_number);
    if (r->event_name.n)
        buf_fmt(out, "EventName: " SV_FMT "\n", SV_ARG(r->event_name));
    buf_sv(out, SV("Body: "));
    put_value(out, r->body);
    put_attrs(out, "Attributes", r->raw, OTLP_RECORD_ATTRS);
    put_id(out, "Trace ID", r->trace_id);
    put_id(out, "Span ID", r->span_id);
    buf_fmt(out, "Flags: %" PRIu32 "\n", r->flags);
}

void debug_print_detailed(sv request, struct buf *out)
{
    unsigned i = 0;
    struct otlp_iter resources = otlp_resources(request);
    struct otlp_resource_logs rl;
    while (otlp_next_resource(&resources, &rl)) {
        buf_fmt(out, "ResourceLog #%u\nResource SchemaURL: " SV_FMT "\n", i++, SV_ARG(rl.schema_url));
        put_attrs(out, "Resource attributes", rl.resource, OTLP_RESOURCE_ATTRS);
        unsigned j = 0;
        struct otlp_iter scopes = otlp_scopes(&rl);
        struct otlp_scope_logs sl;
        while (otlp_next_scope(&scopes, &sl)) {
            struct otlp_scope sc = {0};
            otlp_read_scope(sl.scope, &sc);
            buf_fmt(out, "ScopeLogs #%u\nScopeLogs SchemaURL: " SV_FMT "\nInstrumentationScope " SV_FMT " " SV_FMT "\n", j++,
                    SV_ARG(sl.schema_url), SV_ARG(sc.name), SV_ARG(sc.version));
            put_attrs(out, "InstrumentationScope attributes", sl.scope, OTLP_SCOPE_ATTRS);
            unsigned k = 0;
            struct otlp_iter records = otlp_records(&sl);
            struct otlp_record r;
            while (otlp_next_record(&records, &r))
                put_record(out, k++, &r);
        }
    }
}

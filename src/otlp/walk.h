/* walk.h - reading serialized OTLP logs in place: no tree, no copies, views into the request.
 * (1) otlp_check() validates a whole request once; walkers may then trust its shape, yet stay memory-safe on any bytes.
 * (2) Fields come in any order and may repeat: singular fields, last one wins; oneofs, last one wins.
 * (3) Unknown fields of wire types 0, 1, 2, 5 and balanced groups are skipped; field 0, wire types 6 and 7, overlong
 *     varints, truncated lengths and nesting deeper than the limit are errors. A known field with another wire type
 *     than its own counts as unknown.
 * (4) A trace or span id of the wrong length, or all zero, is an absent id (data model: "not associated with a
 *     trace"): it costs the record its link to a trace, not the record, and not the request. otlp_counts.bad_ids says
 *     that a request holds such; request.h takes them out, as some receivers refuse whole requests over them.
 * (5) Strings are not checked for UTF-8: see walk.c.
 * Source: opentelemetry-proto 1.11, protobuf encoding guide. */
#pragma once
#include "base/err.h"
#include "base/sv.h"

#define OTLP_MAX_DEPTH 200 /* most that max_depth may be */
struct otlp_limits {
    uint32_t max_depth;   /* AnyValue nesting; 0: 64; larger than OTLP_MAX_DEPTH counts as that */
    uint32_t max_records; /* per request; 0: no cap */
    bool not_records;     /* what is in the records is left to otlp_check_record(); bad_ids stays 0 */
};
struct otlp_counts {
    uint32_t records, resources, scopes;
    uint32_t bad_ids; /* trace and span ids of a wrong length (empty ones are not) */
    uint32_t unordered; /* resources and scopes that do not stand once and first in their message, as everybody writes them */
};
/* ERR_PARSE with pos and the path ("resource_logs[2].scope_logs[0].log_records[7].body: truncated"); ERR_LIMIT. */
MUST_USE bool otlp_check(sv request, const struct otlp_limits *limits, struct otlp_counts *ret, struct err *e);

/* One LogRecord message, by the default limits; why it is wrong, otlp_check() says. */
bool otlp_check_record(sv raw);

/* Walk: for (each otlp_resource) for (each otlp_scope) for (each otlp_record). */
struct otlp_resource_logs {
    sv raw;             /* the ResourceLogs message */
    sv resource;        /* the Resource message's bytes (attributes in field 1); its hash identifies the source */
    sv schema_url;
};
struct otlp_scope_logs {
    sv raw;
    sv scope; /* the InstrumentationScope message's bytes */
    sv schema_url;
};
struct otlp_record {
    sv raw; /* the LogRecord message */
    uint64_t time_ns, observed_ns; /* 0: unknown */
    int32_t severity_number;
    uint32_t flags, dropped_attributes;
    sv severity_text, event_name;
    sv trace_id, span_id; /* 16 and 8 bytes, else n = 0 */
    sv body;              /* AnyValue message; p NULL when absent */
};
struct otlp_iter {
    const uint8_t *at, *end;
};
struct otlp_iter otlp_resources(sv request);
bool otlp_next_resource(struct otlp_iter *it, struct otlp_resource_logs *ret);
struct otlp_iter otlp_scopes(const struct otlp_resource_logs *r);
bool otlp_next_scope(struct otlp_iter *it, struct otlp_scope_logs *ret);
/* The same when none is unordered: its records are not passed over for what may stand behind them. No schema_url. */
bool otlp_next_ordered_scope(struct otlp_iter *it, struct otlp_scope_logs *ret);
struct otlp_iter otlp_records(const struct otlp_scope_logs *s);
bool otlp_next_record(struct otlp_iter *it, struct otlp_record *ret);
/* The same in two steps. */
bool otlp_next_raw_record(struct otlp_iter *it, sv *ret);
void otlp_read_record(sv raw, struct otlp_record *ret);

struct otlp_scope {
    sv name, version;
    uint32_t dropped_attributes;
};
void otlp_read_scope(sv scope, struct otlp_scope *ret);
uint32_t otlp_resource_dropped(sv resource);

/* Attributes. `message` and the number of its repeated KeyValue field: Resource 1, InstrumentationScope 3,
 * LogRecord 6, KeyValueList 1. */
enum { OTLP_RESOURCE_ATTRS = 1, OTLP_SCOPE_ATTRS = 3, OTLP_RECORD_ATTRS = 6, OTLP_KVLIST_VALUES = 1 };
struct otlp_attr {
    sv key;
    sv value; /* AnyValue message, possibly empty */
};
struct otlp_attr_iter {
    const uint8_t *at, *end;
    uint32_t field;
};
struct otlp_attr_iter otlp_attrs(sv message, uint32_t field);
bool otlp_next_attr(struct otlp_attr_iter *it, struct otlp_attr *ret);

enum otlp_kind { OTLP_EMPTY, OTLP_STRING, OTLP_BOOL, OTLP_INT, OTLP_DOUBLE, OTLP_ARRAY, OTLP_KVLIST, OTLP_BYTES };
struct otlp_value {
    enum otlp_kind kind;
    union {
        bool b;
        int64_t i;
        double d;
        sv text; /* string, bytes; ArrayValue or KeyValueList message */
    };
};
struct otlp_value otlp_read_value(sv any_value);
struct otlp_iter otlp_array(struct otlp_value array);
bool otlp_next_value(struct otlp_iter *it, sv *ret_any_value);

struct buf;
/* The text of a value as Loki shows it (its OTLP endpoint): strings as they are, numbers shortest, bytes base64, arrays and
 * maps compact JSON (keys of a map sorted when `sort_keys`), empty "". HTML-escapes < > & inside JSON when `html`. */
enum { OTLP_TEXT_SORT_KEYS = 1, OTLP_TEXT_HTML = 2 };
void otlp_value_text(sv any_value, unsigned flags, struct buf *out);

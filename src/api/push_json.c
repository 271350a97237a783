/* push_json.c - see push_json.h.
 * (1) What Loki takes leniently we take too: label values that are numbers or booleans become their text, empty label
 *     values go, a null list of values is no values, elements behind the third of an entry are ignored.
 * (2) What it refuses we refuse: times that are not strings, metadata values that are not strings, label names that are no
 *     identifiers (the whole request, nothing is stored). */
#include "api/push_json.h"
#include "api/params.h"
#include "base/clock.h"
#include "base/json_out.h"
#include "base/vec.h"
#include "otlp/write.h"
#include "store/labels.h"
#include <inttypes.h>

/* Fields of logproto.PushRequest, StreamAdapter, EntryAdapter, LabelPairAdapter, google.protobuf.Timestamp */
enum { REQUEST_STREAMS = 1 };
enum { STREAM_LABELS = 1, STREAM_ENTRIES = 2 };
enum { ENTRY_TIMESTAMP = 1, ENTRY_LINE = 2, ENTRY_METADATA = 3 };
enum { PAIR_NAME = 1, PAIR_VALUE = 2 };
enum { TIMESTAMP_SECONDS = 1, TIMESTAMP_NANOS = 2 };

struct push {
    struct buf *out;
    struct buf text;        /* of numbers among the label values; `labels` points into it */
    struct buf labels_text; /* of the stream at hand */
    VEC(struct label) labels;
    struct err *e;
};

static bool expect(struct push *p, struct json v, enum json_kind want, const char *what)
{
    if (json_kind(v) == want)
        return true;
    static const char *const wanted[] = {[JSON_STRING] = "a string", [JSON_ARRAY] = "an array", [JSON_OBJECT] = "an object"};
    return err_set(p->e, ERR_INVALID, "%s: expected %s, got %s", what, wanted[want], json_kind_name(json_kind(v)));
}

static bool is_null(struct json v)
{
    return json_kind(v) == JSON_NULL;
}

/* ---- labels ---- */

static bool name_char(char c, size_t i)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (i && c >= '0' && c <= '9');
}

static bool check_name(struct push *p, sv name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!name_char(name.p[i], i))
            return err_set(p->e, ERR_INVALID,
                           "couldn't parse labels: 1:%zu: parse error: unexpected character inside braces: '%c'", i + 2,
                           name.p[i] >= 0x20 && name.p[i] < 0x7f ? name.p[i] : '?');
    return name.n || err_set(p->e, ERR_INVALID, "couldn't parse labels: 1:2: parse error: empty label name");
}

/* Scalars as text, appended to p->text; strings as they are. */
static bool label_value(struct push *p, struct json v, sv *ret)
{
    size_t at = p->text.n;
    switch (json_kind(v)) {
    case JSON_STRING:
        *ret = json_string(v);
        return true;
    case JSON_NULL:
        *ret = SV_NULL;
        return true;
    case JSON_BOOL:
        buf_sv(&p->text, json_bool(v) ? SV("true") : SV("false"));
        break;
    case JSON_I64:
        buf_i64(&p->text, json_i64(v));
        break;
    case JSON_U64:
        buf_u64(&p->text, json_u64(v));
        break;
    case JSON_DOUBLE:
        json_put_double(&p->text, json_double(v));
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return err_set(p->e, ERR_INVALID, "stream: label values must be strings, got %s", json_kind_name(json_kind(v)));
    }
    *ret = (sv){p->text.p + at, p->text.n - at};
    return buf_ok(&p->text, p->e);
}

/* Of equal names the last one counts, as in a Go map. */
static void drop_repeats(struct push *p)
{
    size_t n = 0;
    labels_sort(p->labels.at, p->labels.n);
    for (size_t i = 0; i < p->labels.n; i++) {
        if (i + 1 < p->labels.n && sv_eq(p->labels.at[i].name, p->labels.at[i + 1].name))
            continue;
        if (p->labels.at[i].value.n)
            p->labels.at[n++] = p->labels.at[i];
    }
    p->labels.n = n;
}

/* The labels of {"a":"b"} as text in p->labels_text. */
static bool read_labels(struct push *p, struct json object)
{
    enum { NUMBER_TEXT_MAX = 32 }; /* room for all of them at once, so that p->text does not move */
    size_t n = 0;
    p->labels.n = 0;
    buf_reset(&p->text);
    buf_reset(&p->labels_text);
    if (!expect(p, object, JSON_OBJECT, "stream"))
        return false;
    for (struct json_iter it = json_iter(object); json_next(&it);)
        n++;
    if (!buf_reserve(&p->text, (n + 1) * NUMBER_TEXT_MAX))
        return err_nomem(p->e);
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        struct label *l = vec_push(&p->labels);
        if (!l)
            return err_nomem(p->e);
        l->name = it.key;
        if (!check_name(p, it.key) || !label_value(p, it.value, &l->value))
            return false;
    }
    drop_repeats(p);
    labels_text((struct labels){p->labels.at, p->labels.n}, &p->labels_text);
    return buf_ok(&p->labels_text, p->e);
}

/* ---- entries ---- */

static void put_timestamp(struct push *p, int64_t ns)
{
    int64_t seconds = ns / NS_PER_S, nanos = ns % NS_PER_S;
    if (nanos < 0) {
        nanos += NS_PER_S;
        seconds--;
    }
    size_t mark = otlp_open(p->out, ENTRY_TIMESTAMP);
    otlp_put_varint(p->out, TIMESTAMP_SECONDS, (uint64_t)seconds);
    otlp_put_varint(p->out, TIMESTAMP_NANOS, (uint64_t)nanos);
    otlp_close(p->out, mark);
}

static bool put_metadata(struct push *p, struct json object)
{
    if (is_null(object))
        return true;
    if (!expect(p, object, JSON_OBJECT, "structured metadata"))
        return false;
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        if (!expect(p, it.value, JSON_STRING, "structured metadata value"))
            return false;
        size_t mark = otlp_open(p->out, ENTRY_METADATA);
        otlp_put_bytes(p->out, PAIR_NAME, it.key);
        otlp_put_bytes(p->out, PAIR_VALUE, json_string(it.value));
        otlp_close(p->out, mark);
    }
    return true;
}

/* ["<ns>", "line", {metadata}] */
static bool put_entry(struct push *p, struct json entry)
{
    int64_t ns;
    size_t i = 0;
    if (!expect(p, entry, JSON_ARRAY, "values: entry"))
        return false;
    size_t mark = otlp_open(p->out, STREAM_ENTRIES);
    for (struct json_iter it = json_iter(entry); i < 3 && json_next(&it); i++) {
        if (i == 2) {
            if (!put_metadata(p, it.value))
                return false;
            continue;
        }
        if (!expect(p, it.value, JSON_STRING, i == 0 ? "values: timestamp" : "values: line"))
            return false;
        sv text = json_string(it.value);
        if (i == 1)
            otlp_put_bytes(p->out, ENTRY_LINE, text);
        else if (sv_to_i64(text, &ns))
            put_timestamp(p, ns);
        else
            return err_set(p->e, ERR_INVALID, "values: timestamp is not a number of nanoseconds: '" SV_FMT "'",
                           SV_ARG(sv_sub(text, 0, 40)));
    }
    otlp_close(p->out, mark);
    return true;
}

/* {"ts":"RFC 3339","line":"..."} */
static bool put_legacy_entry(struct push *p, struct json entry)
{
    struct json v;
    int64_t ns;
    if (!expect(p, entry, JSON_OBJECT, "entries: entry"))
        return false;
    size_t mark = otlp_open(p->out, STREAM_ENTRIES);
    if (json_get(entry, SV("ts"), &v)) {
        if (!expect(p, v, JSON_STRING, "entries: ts"))
            return false;
        if (!rfc3339_parse(json_string(v), &ns))
            return err_set(p->e, ERR_INVALID, "entries: ts is not an RFC 3339 time: '" SV_FMT "'",
                           SV_ARG(sv_sub(json_string(v), 0, 40)));
        put_timestamp(p, ns);
    }
    if (json_get(entry, SV("line"), &v)) {
        if (!expect(p, v, JSON_STRING, "entries: line"))
            return false;
        otlp_put_bytes(p->out, ENTRY_LINE, json_string(v));
    }
    if (json_get(entry, SV("structuredMetadata"), &v) && !put_metadata(p, v))
        return false;
    otlp_close(p->out, mark);
    return true;
}

static bool put_stream(struct push *p, struct json stream, bool legacy)
{
    struct json labels, values;
    if (!expect(p, stream, JSON_OBJECT, "streams: stream"))
        return false;
    bool old = legacy && json_get(stream, SV("labels"), &labels);
    if (old && !expect(p, labels, JSON_STRING, "labels"))
        return false;
    buf_reset(&p->labels_text);
    if (old)
        buf_sv(&p->labels_text, json_string(labels));
    else if (!json_get(stream, SV("stream"), &labels) || is_null(labels))
        buf_sv(&p->labels_text, SV("{}"));
    else if (!read_labels(p, labels))
        return false;
    if (!json_get(stream, old ? SV("entries") : SV("values"), &values) || is_null(values))
        return true; /* a stream without entries says nothing */
    if (!expect(p, values, JSON_ARRAY, old ? "entries" : "values"))
        return false;
    size_t mark = otlp_open(p->out, REQUEST_STREAMS);
    otlp_put_bytes(p->out, STREAM_LABELS, buf_view(&p->labels_text));
    for (struct json_iter it = json_iter(values); json_next(&it);)
        if (!(old ? put_legacy_entry(p, it.value) : put_entry(p, it.value)))
            return false;
    otlp_close(p->out, mark);
    return buf_ok(p->out, p->e);
}

static bool put_streams(struct push *p, struct json root, bool legacy)
{
    struct json streams;
    if (is_null(root))
        return true;
    if (!expect(p, root, JSON_OBJECT, "push request"))
        return false;
    if (!json_get(root, SV("streams"), &streams) || is_null(streams))
        return true;
    if (!expect(p, streams, JSON_ARRAY, "streams"))
        return false;
    for (struct json_iter it = json_iter(streams); json_next(&it);)
        if (!put_stream(p, it.value, legacy))
            return false;
    return true;
}

bool push_json_to_proto(struct json_parser *parser, sv body, bool legacy, struct buf *out, struct err *e)
{
    struct json root;
    struct push p = {.out = out, .e = e};
    bool ok = json_parse(parser, body, &root, e) && put_streams(&p, root, legacy) && buf_ok(out, e);
    buf_done(&p.text);
    buf_done(&p.labels_text);
    vec_done(&p.labels);
    return ok;
}

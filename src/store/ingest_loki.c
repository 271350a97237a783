/* ingest_loki.c - what a logproto.PushRequest means to the store (Loki HTTP API, "Ingest logs"). A stream's labels may stand
 * behind its entries on the wire, so they are looked for first. Labels that do not parse refuse the whole request, as Loki
 * does; labels that break a limit refuse their stream's entries. */
#include "store/ingest_row.h"
#include "base/clock.h"
#include "otlp/wire.h"
#include "store/rules.h"

enum { /* PushRequest, StreamAdapter, EntryAdapter, LabelPairAdapter, Timestamp */
    TAG_STREAMS = WIRE_TAG(1, WIRE_LEN),
    TAG_LABELS = WIRE_TAG(1, WIRE_LEN),
    TAG_ENTRIES = WIRE_TAG(2, WIRE_LEN),
    TAG_TIME = WIRE_TAG(1, WIRE_LEN),
    TAG_LINE = WIRE_TAG(2, WIRE_LEN),
    TAG_METADATA = WIRE_TAG(3, WIRE_LEN),
    TAG_NAME = WIRE_TAG(1, WIRE_LEN),
    TAG_VALUE = WIRE_TAG(2, WIRE_LEN),
    TAG_SECONDS = WIRE_TAG(1, WIRE_VARINT),
    TAG_NANOS = WIRE_TAG(2, WIRE_VARINT),
};

static bool malformed(struct err *e, const char *what)
{
    return err_set(e, ERR_PARSE, "malformed push request: %s", what);
}

static bool next(const uint8_t **at, sv message, struct wire_field *f, enum wire_got *got)
{
    *got = wire_next(at, wire_end(message), f);
    return *got == WIRE_GOT;
}

/* Each message is one loop over its fields; `got` tells a clean end from damage. */
#define EACH_FIELD(message, f, got)                                                                               \
    const uint8_t *at_##f = wire_begin(message);                                                                  \
    struct wire_field f;                                                                                          \
    enum wire_got got;                                                                                            \
    while (next(&at_##f, (message), &f, &got))

static bool read_time(sv message, int64_t *ret, struct err *e)
{
    int64_t seconds = 0, nanos = 0, ns;
    EACH_FIELD(message, f, got)
    {
        if (f.tag == TAG_SECONDS)
            seconds = (int64_t)f.num;
        else if (f.tag == TAG_NANOS)
            nanos = (int32_t)f.num;
    }
    if (got == WIRE_BAD)
        return malformed(e, "timestamp");
    if (__builtin_mul_overflow(seconds, NS_PER_S, &ns) || __builtin_add_overflow(ns, nanos, &ns))
        return malformed(e, "timestamp out of range");
    *ret = ns;
    return true;
}

/* The stream's labels with service_name; *ret NULL: refused (*ret_why, e). False: the request ends (run->err). */
static bool read_labels(struct ingest_run *run, sv text, struct arena *a, struct stream **ret,
                        enum reject_reason *ret_why, struct err *e)
{
    struct labels l;
    *ret = NULL;
    if (!labels_parse(text.p ? text : SV("{}"), a, &l, e)) {
        *ret_why = REJECT_DUPLICATE_NAME;
        if (e->code == ERR_INVALID)
            return true;
        if (e->code == ERR_PARSE)
            err_ctx(e, "couldn't parse labels");
        run->err = *e;
        return false;
    }
    struct label *at = arena_array(a, l.n + 1, sizeof *at);
    if (!at)
        return err_nomem(&run->err);
    size_t n = 0;
    for (; n < l.n; n++) {
        at[n] = (struct label){l.at[n].name, clean_text(l.at[n].value, a)};
        if (!at[n].value.p)
            return err_nomem(&run->err);
    }
    if ((run->rq->rules & RULE_SERVICE_NAME) && !labels_get(l, SV("service_name")).n) {
        sv name = rules_service_name(at, n);
        at[n++] = (struct label){SV("service_name"), name.n ? name : SV("unknown_service")};
        labels_sort(at, n);
    }
    const struct limits *lim = run->rq->limits;
    struct labels full = {at, n};
    if (lim && !labels_within(lim, full, l.n, ret_why, e))
        return true;
    return stream_get(run->rq->tenant, full, run_max_streams(run), ret, e) || run_stream_refused(e, ret_why) ||
           err_nomem(&run->err);
}

static bool read_pair(struct ingest_run *run, sv message, struct err *bad)
{
    sv name = SV(""), value = SV("");
    const struct name *normal;
    EACH_FIELD(message, f, got)
    {
        if (f.tag == TAG_NAME)
            name = wire_sv(&f);
        else if (f.tag == TAG_VALUE)
            value = wire_sv(&f);
    }
    if (got == WIRE_BAD)
        return malformed(&run->err, "structured metadata");
    if (!run_name(run, name, &normal, bad))
        return !run->err.code;
    return run_pair(run, normal, value);
}

/* A severity number among the metadata, as find_level() wants it: 0 none, -1 "unknown"; no number counts as info. */
static int32_t severity_of(const struct ingest_run *run)
{
    for (size_t i = run->slots.n; i-- > 0;) {
        int64_t v;
        if (!sv_eq(run->name_list.at[run->slots.at[i]]->text, SV("severity_number")))
            continue;
        if (!sv_to_i64(chunk_builder_label(&run->b, run->ids.at[run->n_base + i]).value, &v))
            return 9;
        return v >= 1 && v <= 24 ? (int32_t)v : -1;
    }
    return 0;
}

struct push_stream {
    struct stream *st; /* NULL: refused */
    enum reject_reason why;
    struct err bad;
};

static bool read_entry(struct ingest_run *run, const struct push_stream *ps, const void *key, sv message)
{
    static const struct source no_source;
    struct err bad = {0};
    int64_t ts = 0;
    sv line = SV("");
    if (!run_begin(run, &no_source))
        return false;
    EACH_FIELD(message, f, got)
    {
        if (f.tag == TAG_TIME && !read_time(wire_sv(&f), &ts, &run->err))
            return false;
        if (f.tag == TAG_LINE)
            line = wire_sv(&f);
        if (f.tag == TAG_METADATA && !read_pair(run, wire_sv(&f), &bad))
            return false;
    }
    if (got == WIRE_BAD)
        return malformed(&run->err, "entry");
    if (run_was_refused(run))
        return true;
    if (!ps->st)
        return run_refuse(run, ps->why, key, line.n, "%s", ps->bad.msg);
    if (bad.code)
        return run_refuse(run, REJECT_INVALID_LABELS, ps->st, line.n, "%s", bad.msg);
    return run_row(run, &no_source, ps->st, ts, line, severity_of(run));
}

static bool read_stream(struct ingest_run *run, sv message, struct arena *a)
{
    sv labels = SV_NULL;
    bool entries = false;
    EACH_FIELD(message, f, got)
    {
        if (f.tag == TAG_LABELS)
            labels = wire_sv(&f);
        entries |= f.tag == TAG_ENTRIES;
    }
    if (got == WIRE_BAD)
        return malformed(&run->err, "stream");
    struct push_stream ps = {0};
    if (!entries)
        return true;
    if (!read_labels(run, labels, a, &ps.st, &ps.why, &ps.bad))
        return false;
    EACH_FIELD(message, g, got_entry)
    {
        if (g.tag != TAG_ENTRIES)
            continue;
        arena_reset(&run->row_mem);
        run_forget_names(run);
        if (!read_entry(run, &ps, message.p, wire_sv(&g)))
            return false;
        run->record++;
        if (!run_settle(run))
            return false;
    }
    return true;
}

bool ingest_loki(struct ingest_run *run, struct err *e)
{
    SCOPED(arena_done) struct arena a;
    arena_init(&a, 0);
    EACH_FIELD(run->rq->bytes, f, got)
    {
        arena_reset(&a);
        if (f.tag == TAG_STREAMS && !read_stream(run, wire_sv(&f), &a))
            return false;
    }
    return got == WIRE_BAD ? malformed(e, "streams") : true;
}

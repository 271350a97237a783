/* ingest_otlp.c - what an ExportLogsServiceRequest means to the store (Loki documentation, "Ingesting logs to Loki using
 * OpenTelemetry Collector": which attributes become labels, which structured metadata, under which names, in which order).
 * (1) Of equal names the later addition wins: record attributes, the record's fixed fields, resource attributes, scope
 *     attributes, scope fields.
 * (2) A resource or attribute whose name cannot be a label refuses its records, not the request. */
#include "store/ingest_row.h"
#include "base/json_out.h"
#include "otlp/walk.h"
#include "store/rules.h"
#include <inttypes.h>
#include <stdio.h>

enum {
    LEVELS_MAX = 8,
    NAME_MAX_BYTES = 4096,
    DEPTH_MAX = 64,
    FLAT_MAX_BYTES = 1 << 20, /* names made out of one record's, or one source's, maps: two bytes can ask for 4 KiB */
};

struct pair_list {
    VEC(struct label) v;
    size_t flat_bytes; /* of the names made for it */
};

/* Two digits at a time: a number is formatted for nearly every record. */
static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354"
                            "5556575859606162636465666768697071727374757677787980818283848586878889909192939495969798" "99";

void eight_digits(uint32_t v, char to[static 8])
{
    uint32_t high = v / 10000, low = v % 10000;
    memcpy(to, &pairs[high / 100 * 2], 2);
    memcpy(to + 2, &pairs[high % 100 * 2], 2);
    memcpy(to + 4, &pairs[low / 100 * 2], 2);
    memcpy(to + 6, &pairs[low % 100 * 2], 2);
}

sv number_digits(uint64_t v, char to[static NUMBER_MAX])
{
    char *p = to + NUMBER_MAX;
    for (; v >= 100; v /= 100)
        memcpy(p -= 2, &pairs[v % 100 * 2], 2);
    if (v >= 10)
        memcpy(p -= 2, &pairs[v * 2], 2);
    else
        *--p = (char)('0' + v);
    return sv_make(p, (size_t)(to + NUMBER_MAX - p));
}

sv number_text(uint64_t v, struct arena *a)
{
    char digits[NUMBER_MAX];
    return arena_sv(a, number_digits(v, digits));
}

sv value_text(sv any_value, struct arena *a)
{
    struct otlp_value v = otlp_read_value(any_value);
    switch (v.kind) {
    case OTLP_STRING:
        return v.text.p ? v.text : SV("");
    case OTLP_EMPTY:
        return SV("");
    case OTLP_BOOL:
        return v.b ? SV("true") : SV("false");
    default: {
        if (v.kind == OTLP_INT && v.i >= 0)
            return number_text((uint64_t)v.i, a);
        SCOPED(buf_done) struct buf b = {0};
        otlp_value_text(any_value, OTLP_TEXT_SORT_KEYS | OTLP_TEXT_HTML, &b);
        return b.failed ? SV_NULL : arena_sv(a, buf_view(&b));
    }
    }
}

sv severity_text(int32_t v, struct arena *a)
{
    char digits[12];
    return v >= 0 ? number_text((uint32_t)v, a)
                  : arena_sv(a, sv_make(digits, (size_t)snprintf(digits, sizeof digits, "%d", v)));
}

/* One attribute, maps flattened: parent_child. `raw` is the name so far. False: e has why (an invalid name), or run->err. */
static bool add_nested(struct ingest_run *run, sv raw, sv any_value, int depth, struct arena *a, struct pair_list *out,
                       struct err *e)
{
    struct otlp_value v = otlp_read_value(any_value);
    if (v.kind != OTLP_KVLIST) {
        struct label *room;
        const struct name *name;
        sv text = value_text(any_value, a);
        if (!run_name(run, raw, &name, e))
            return false;
        if (!text.p || !(text = clean_text(text, a)).p || !(room = vec_push(&out->v)))
            return err_nomem(&run->err);
        *room = (struct label){name->text, text};
        return true;
    }
    const struct name *normal;
    if (depth == DEPTH_MAX)
        return err_set(e, ERR_INVALID, "attribute nested deeper than %d", DEPTH_MAX);
    if (!run_name(run, raw, &normal, e))
        return false;
    sv parent = normal->text;
    struct otlp_attr_iter it = otlp_attrs(v.text, OTLP_KVLIST_VALUES);
    struct otlp_attr child;
    while (otlp_next_attr(&it, &child)) {
        if (parent.n + 1 + child.key.n > NAME_MAX_BYTES)
            return err_set(e, ERR_INVALID, "attribute name longer than %d bytes", NAME_MAX_BYTES);
        out->flat_bytes += parent.n + 1 + child.key.n;
        if (out->flat_bytes > FLAT_MAX_BYTES)
            return err_set(e, ERR_INVALID, "maps among the attributes make more than %d bytes of names", FLAT_MAX_BYTES);
        char *name = arena_alloc(a, parent.n + 1 + child.key.n);
        if (!name)
            return err_nomem(&run->err);
        memcpy(name, parent.p, parent.n);
        name[parent.n] = '_';
        if (child.key.n)
            memcpy(name + parent.n + 1, child.key.p, child.key.n);
        if (!add_nested(run, sv_make(name, parent.n + 1 + child.key.n), child.value, depth + 1, a, out, e))
            return false;
    }
    return true;
}

static bool add_attribute(struct ingest_run *run, const struct otlp_attr *at, struct arena *a, struct pair_list *out,
                          struct err *e)
{
    return add_nested(run, at->key, at->value, 0, a, out, e);
}

static bool add_text(struct ingest_run *run, struct pair_list *out, sv name, sv value, struct arena *a)
{
    struct label *room = vec_push(&out->v);
    if (!room || !(value = clean_text(value, a)).p)
        return err_nomem(&run->err);
    *room = (struct label){name, value};
    return true;
}

static bool source_pairs(struct ingest_run *run, sv resource, sv scope, struct pair_list *labels,
                         struct pair_list *pairs, struct arena *a, struct err *e)
{
    struct otlp_attr at;
    struct otlp_attr_iter it = otlp_attrs(resource, OTLP_RESOURCE_ATTRS);
    while (otlp_next_attr(&it, &at))
        if (!add_attribute(run, &at, a, rules_index_attribute(at.key) ? labels : pairs, e))
            return false;
    it = otlp_attrs(scope, OTLP_SCOPE_ATTRS);
    while (otlp_next_attr(&it, &at))
        if (!add_attribute(run, &at, a, pairs, e))
            return false;
    struct otlp_scope sc;
    otlp_read_scope(scope, &sc);
    return (!sc.name.n || add_text(run, pairs, SV("scope_name"), sc.name, a)) &&
           (!sc.version.n || add_text(run, pairs, SV("scope_version"), sc.version, a)) &&
           (!sc.dropped_attributes || add_text(run, pairs, SV("scope_dropped_attributes_count"),
                                               number_text(sc.dropped_attributes, a), a));
}

static size_t without_empty(struct label *at, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (at[i].value.n)
            at[kept++] = at[i];
    return kept;
}

/* Copies what the lists point at into the source. */
static bool source_fill(struct ingest_run *run, struct source *s, struct pair_list *labels, struct pair_list *pairs)
{
    labels->v.n = without_empty(labels->v.at, labels->v.n);
    s->n_counted_labels = pairs_unique(labels->v.at, labels->v.n);
    labels->v.n = s->n_counted_labels;
    struct labels have = {labels->v.at, labels->v.n};
    if ((run->rq->rules & RULE_SERVICE_NAME) && !labels_get(have, SV("service_name")).n) {
        sv name = rules_service_name(have.at, have.n);
        struct label *room = vec_push(&labels->v);
        if (!room)
            return err_nomem(&run->err);
        *room = (struct label){SV("service_name"), name.n ? name : SV("unknown_service")};
        labels_sort(labels->v.at, labels->v.n);
    }
    pairs->v.n = pairs_unique(pairs->v.at, pairs->v.n);
    struct labels l = labels_copy(&s->a, (struct labels){labels->v.at, labels->v.n}),
                  p = labels_copy(&s->a, (struct labels){pairs->v.at, pairs->v.n});
    if (!l.at || !p.at)
        return err_nomem(&run->err);
    s->labels = (struct label *)l.at;
    s->n_labels = l.n;
    s->pairs = (struct label *)p.at;
    s->n_pairs = p.n;
    return true;
}

static bool source_build(struct ingest_run *run, sv resource, sv scope, struct source *s)
{
    SCOPED(arena_done) struct arena a;
    arena_init(&a, 0);
    struct pair_list labels = {0}, pairs = {0};
    struct err bad = {0};
    bool ok = source_pairs(run, resource, scope, &labels, &pairs, &a, &bad);
    if (!ok && !run->err.code) {
        s->bad = bad;
        s->bad_why = REJECT_INVALID_LABELS;
    }
    if (ok)
        ok = source_fill(run, s, &labels, &pairs);
    enum reject_reason why;
    struct labels l = {s->labels, s->n_labels};
    if (ok && run->rq->limits &&
        (!labels_within(run->rq->limits, l, s->n_counted_labels, &why, &bad) ||
         !metadata_within(run->rq->limits, l, s->pairs, s->n_pairs, &why, &bad))) {
        s->bad = bad; /* told once: merging a huge resource into each of its records only to refuse them costs too much */
        s->bad_why = why;
    }
    vec_done(&labels.v);
    vec_done(&pairs.v);
    return !run->err.code;
}

/* The source for a resource and scope: cached under their bytes. Replay leaves the cache alone, since it checks no limits
 * and a later push must. */
static struct source *source_for(struct ingest_run *run, sv resource, sv scope)
{
    SCOPED(buf_done) struct buf key = {0};
    uint8_t head[9];
    uint32_t n = (uint32_t)resource.n, version = run->rq->limits ? run->rq->limits->version : 0; /* what is refused hangs on it */
    memcpy(head, &n, 4);
    memcpy(head + 4, &version, 4);
    head[8] = (uint8_t)run->rq->rules;
    buf_put(&key, head, sizeof head);
    buf_sv(&key, resource);
    buf_sv(&key, scope);
    struct source *s = key.failed ? NULL : source_find(run->rq->tenant, buf_view(&key));
    if (s || key.failed)
        return s;
    s = source_new();
    if (s && !source_build(run, resource, scope, s)) {
        source_unref(s);
        return NULL;
    }
    if (s && run->rq->limits)
        source_keep(run->rq->tenant, buf_view(&key), s);
    return s;
}

/* The streams of one source by severity, as met in the request: no lock and no lookup for the usual record. */
struct level_streams {
    struct source *src;
    size_t n;
    struct {
        sv text;
        struct stream *st;
    } at[LEVELS_MAX];
};

/* The stream is not among those met: it may be new, or refused (*ret NULL). */
static __attribute__((noinline)) bool stream_find(struct ingest_run *run, struct level_streams *ls, sv level, struct stream **ret)
{
    const struct limits *lim = run->rq->limits;
    struct source *s = ls->src;
    enum reject_reason why = REJECT_STREAM_LIMIT;
    struct err e = {0};
    sv clean = clean_text(level, &run->row_mem);
    struct label extra = {SV("level"), clean};
    *ret = NULL;
    if (level.n && !clean.p)
        return err_nomem(&run->err);
    if (lim && level.n && !labels_within(lim, (struct labels){&extra, 1}, s->n_counted_labels + 1, &why, &e))
        return run_refuse(run, why, s, 0, "%s", e.msg);
    if (!source_stream(run->rq->tenant, s, clean, run_max_streams(run), ret, &e)) {
        *ret = NULL;
        return run_stream_refused(&e, &why) ? run_refuse(run, why, s, 0, "%s", e.msg) : err_nomem(&run->err);
    }
    if (ls->n == LEVELS_MAX)
        ls->n = 0;
    ls->at[ls->n].text = level;
    ls->at[ls->n++].st = *ret;
    return true;
}

/* ROW refused for its label: *ret is NULL and the run goes on. False: run->err. */
static inline bool stream_for(struct ingest_run *run, struct level_streams *ls, const struct otlp_record *r, struct stream **ret)
{
    sv level = run->rq->rules & RULE_LEVEL_LABEL ? r->severity_text : SV_NULL;
    for (size_t i = 0; i < ls->n; i++)
        if (sv_eq(ls->at[i].text, level)) {
            *ret = ls->at[i].st;
            return true;
        }
    return stream_find(run, ls, level, ret);
}

sv hex_digits(sv id, char to[static 32])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < MIN(id.n, (size_t)16); i++) {
        unsigned char c = (unsigned char)id.p[i];
        to[2 * i] = hex[c >> 4];
        to[2 * i + 1] = hex[c & 15];
    }
    return sv_make(to, 2 * MIN(id.n, (size_t)16));
}

static sv hex_text(sv id, struct arena *a)
{
    char digits[32];
    return arena_sv(a, hex_digits(id, digits));
}

static bool fixed_text(struct ingest_run *run, enum fixed_name f, sv text)
{
    const struct name *name;
    return run_fixed_name(run, f, &name) && (text.p ? run_pair(run, name, text) : err_nomem(&run->err));
}

static bool fixed_number(struct ingest_run *run, enum fixed_name f, uint64_t v)
{
    return !v || fixed_text(run, f, number_text(v, &run->row_mem));
}

/* The record's slots, whatever it has: its attributes, then its fixed fields. False: e (an invalid name) or run->err. */
static bool record_pairs(struct ingest_run *run, const struct otlp_record *r, struct err *e)
{
    struct arena *a = &run->row_mem;
    struct pair_list out = {.v = {run->row.at, 0, run->row.cap}};
    struct otlp_attr_iter it = otlp_attrs(r->raw, OTLP_RECORD_ATTRS);
    struct otlp_attr at;
    bool ok = true;
    while (ok && otlp_next_attr(&it, &at))
        ok = add_attribute(run, &at, a, &out, e);
    run->row.at = out.v.at;
    run->row.n = out.v.n;
    run->row.cap = out.v.cap;
    for (size_t i = 0; ok && i < run->row.n; i++) {
        const struct name *name;
        ok = run_name(run, run->row.at[i].name, &name, e) && run_pair(run, name, run->row.at[i].value);
    }
    return ok && (!r->time_ns || fixed_number(run, FIXED_OBSERVED, r->observed_ns)) &&
           (!r->severity_number || fixed_text(run, FIXED_SEVERITY_NUMBER, severity_text(r->severity_number, a))) &&
           (!r->severity_text.n || fixed_text(run, FIXED_SEVERITY_TEXT, r->severity_text)) &&
           fixed_number(run, FIXED_DROPPED, r->dropped_attributes) && fixed_number(run, FIXED_FLAGS, r->flags) &&
           (!r->trace_id.n || fixed_text(run, FIXED_TRACE_ID, hex_text(r->trace_id, a))) &&
           (!r->span_id.n || fixed_text(run, FIXED_SPAN_ID, hex_text(r->span_id, a))) &&
           (!r->event_name.n || fixed_text(run, FIXED_EVENT_NAME, r->event_name));
}

/* The row of a record that record_read() has left to us. */
static __attribute__((noinline)) bool record_row_slow(struct ingest_run *run, const struct source *src, struct stream *st, int64_t ns,
                                                      const struct otlp_record *r)
{
    struct err e = {0};
    run->slots.n = 0;
    if (!record_pairs(run, r, &e))
        return !run->err.code && run_refuse(run, REJECT_INVALID_LABELS, st, 0, "%s", e.msg);
    sv line = value_text(r->body, &run->row_mem);
    return line.p ? run_row(run, src, st, ns, line, r->severity_number) : err_nomem(&run->err);
}

static bool record_row(struct ingest_run *run, struct level_streams *ls, sv raw)
{
    struct source *src = ls->src;
    struct stream *st;
    struct otlp_record r;
    sv line;
    if (src->bad.code && run->rq->check && !otlp_check_record(raw))
        return run_malformed(run);
    if (src->bad.code)
        return run_refuse(run, src->bad_why, src, 0, "%s", src->bad.msg);
    if (!run_begin(run, src))
        return false;
    enum record_read got = record_read(run, raw, &r, &line);
    if (got == READ_FAILED)
        return false;
    if (got == READ_OTHERWISE) {
        if (run->rq->check && !otlp_check_record(raw))
            return run_malformed(run);
        otlp_read_record(raw, &r);
    }
    uint64_t ns = r.time_ns ? r.time_ns : r.observed_ns ? r.observed_ns : (uint64_t)run->rq->arrived_wall_ns;
    if (ns > INT64_MAX)
        return run_refuse(run, REJECT_TOO_NEW, src, 0, "entry has timestamp too new: %" PRIu64 " ns", ns);
    if (!stream_for(run, ls, &r, &st))
        return false;
    if (!st) /* refused */
        return true;
    return got == READ_DONE ? run_row(run, src, st, (int64_t)ns, line, r.severity_number)
                            : record_row_slow(run, src, st, (int64_t)ns, &r);
}

static bool scope_rows(struct ingest_run *run, struct source *src, const struct otlp_scope_logs *sl)
{
    struct level_streams ls = {.src = src};
    struct otlp_iter it = otlp_records(sl);
    sv raw;
    for (; otlp_next_raw_record(&it, &raw); run->record++) {
        arena_reset(&run->row_mem);
        run_forget_names(run);
        if ((!run_was_refused(run) && !record_row(run, &ls, raw)) || !run_settle(run))
            return false;
    }
    return true;
}

bool ingest_otlp(struct ingest_run *run, struct err *e)
{
    struct otlp_iter resources = otlp_resources(run->rq->bytes);
    struct otlp_resource_logs rl;
    while (otlp_next_resource(&resources, &rl)) {
        struct otlp_iter scopes = otlp_scopes(&rl);
        struct otlp_scope_logs sl;
        while (run->rq->ordered ? otlp_next_ordered_scope(&scopes, &sl) : otlp_next_scope(&scopes, &sl)) {
            run_forget_names(run);
            SCOPED(source_unref) struct source *src = source_for(run, rl.resource, sl.scope);
            if (!src)
                return run->err.code ? false : err_nomem(e);
            run->base = NULL; /* a new source may stand where a freed one stood */
            if (!scope_rows(run, src, &sl))
                return false;
        }
    }
    return true;
}

/* ingest.c - see ingest.h. Here: limits, metadata, rows. What a request's bytes mean is in ingest_otlp.c and
 * ingest_loki.c. */
#include "store/ingest_row.h"
#include "base/clock.h"
#include "otlp/wire.h"
#include "store/rules.h"
#include <stdarg.h>
#include <stdio.h>

unsigned rules_of_config(const struct store_config *cfg)
{
    return (cfg->level_label ? RULE_LEVEL_LABEL : 0u) | (cfg->discover_service_name ? RULE_SERVICE_NAME : 0u) |
           (cfg->discover_log_levels ? RULE_LEVELS : 0u);
}

void ingest_result_done(struct ingest_result *r)
{
    for (size_t i = 0; i < r->chunks.n; i++)
        chunk_unref(r->chunks.at[i]);
    vec_done(&r->chunks);
    vec_done(&r->refused);
}

struct name_entry { /* a peer may send millions: small when nothing is wrong */
    sv name;
    const struct err *bad; /* NULL: fine */
};

static bool name_check(struct ingest_run *run, sv raw, struct name_entry *en)
{
    struct err bad = {0};
    if (rules_name(raw, &run->names_mem, &en->name, &bad))
        return true;
    struct err *kept = bad.code == ERR_INVALID ? ARENA_NEW(&run->names_mem, struct err) : NULL;
    if (!kept)
        return err_nomem(&run->err);
    *kept = bad;
    en->bad = kept;
    return true;
}

bool run_name(struct ingest_run *run, sv raw, sv *ret, struct err *e)
{
    struct map_slot *slot = map_put(&run->names, raw);
    if (!slot)
        return err_nomem(&run->err);
    struct name_entry *en = slot->value;
    if (!en) {
        en = ARENA_NEW(&run->names_mem, struct name_entry);
        slot->value = en;
        if (!en)
            return err_nomem(&run->err);
        if (!name_check(run, raw, en))
            return false;
    }
    if (en->bad) {
        *e = *en->bad;
        return false;
    }
    *ret = en->name;
    return true;
}

sv clean_text(sv s, struct arena *a)
{
    size_t good = sv_utf8_prefix(s);
    if (good == s.n)
        return s;
    char *out = arena_alloc(a, s.n);
    if (!out)
        return SV_NULL;
    size_t n = 0;
    while (s.n) {
        memcpy(out + n, s.p, good);
        n += good;
        s = sv_from(s, good);
        bool bad = false;
        while (s.n && (good = sv_utf8_prefix(sv_sub(s, 0, 4))) == 0) {
            s = sv_from(s, 1);
            bad = true;
        }
        if (bad)
            out[n++] = ' ';
        good = sv_utf8_prefix(s);
    }
    return sv_make(out, n);
}

bool run_pair(struct ingest_run *run, sv name, sv value)
{
    struct label *room = vec_push(&run->row);
    if (!room || !(value = clean_text(value, &run->row_mem)).p)
        return err_nomem(&run->err);
    *room = (struct label){name, value};
    return true;
}

size_t pairs_unique(struct label *at, size_t n)
{
    labels_sort(at, n);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (i + 1 == n || !sv_eq(at[i].name, at[i + 1].name))
            at[kept++] = at[i];
    return kept;
}

bool run_refuse(struct ingest_run *run, enum reject_reason why, const void *key, uint64_t bytes, const char *fmt, ...)
{
    char *text;
    if (!vec_push(&run->out->refused))
        return err_nomem(&run->err);
    run->out->refused.at[run->out->refused.n - 1] = run->record;
    if (!rejects_add(&run->out->rejects, why, key, bytes, &text))
        return true;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, REJECT_TEXT, fmt, ap);
    va_end(ap);
    return true;
}

bool run_was_refused(struct ingest_run *run)
{
    if (run->next_refused >= run->rq->n_refused || run->rq->refused[run->next_refused] != run->record)
        return false;
    run->next_refused++;
    return true;
}

bool labels_within(const struct store_config *limits, struct labels l, size_t n_counted, enum reject_reason *ret_why,
                   struct err *e)
{
    SCOPED(buf_done) struct buf b = {0};
    labels_text(l, &b);
    sv text = sv_sub(buf_view(&b), 0, 120);
    if (!l.n) {
        *ret_why = REJECT_MISSING_LABELS;
        return err_set(e, ERR_INVALID, "error at least one label pair is required per stream");
    }
    if (limits->max_label_names_per_series && n_counted > limits->max_label_names_per_series) {
        *ret_why = REJECT_LABEL_COUNT;
        return err_set(e, ERR_INVALID, "entry for stream '" SV_FMT "' has %zu label names; limit %llu", SV_ARG(text),
                       n_counted, (unsigned long long)limits->max_label_names_per_series);
    }
    for (size_t i = 0; i < l.n; i++) {
        if (limits->max_label_name_length && l.at[i].name.n > limits->max_label_name_length) {
            *ret_why = REJECT_LABEL_NAME;
            return err_set(e, ERR_INVALID, "stream '" SV_FMT "' has label name too long: '" SV_FMT "'", SV_ARG(text),
                           SV_ARG(sv_sub(l.at[i].name, 0, 40)));
        }
        if (limits->max_label_value_length && l.at[i].value.n > limits->max_label_value_length) {
            *ret_why = REJECT_LABEL_VALUE;
            return err_set(e, ERR_INVALID, "stream '" SV_FMT "' has label value too long: '" SV_FMT "'", SV_ARG(text),
                           SV_ARG(sv_sub(l.at[i].value, 0, 40)));
        }
    }
    return true;
}

static size_t pairs_bytes(const struct label *at, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += at[i].name.n + at[i].value.n;
    return bytes;
}

bool metadata_within(const struct store_config *limits, struct labels stream, const struct label *at, size_t n,
                     enum reject_reason *ret_why, struct err *e)
{
    size_t bytes = pairs_bytes(at, n);
    bool size = limits->max_structured_metadata_size && bytes > limits->max_structured_metadata_size;
    if (!size &&
        !(limits->max_structured_metadata_entries_count && n > limits->max_structured_metadata_entries_count))
        return true;
    SCOPED(buf_done) struct buf b = {0};
    labels_text(stream, &b);
    sv text = sv_sub(buf_view(&b), 0, 100);
    *ret_why = size ? REJECT_METADATA_SIZE : REJECT_METADATA_COUNT;
    if (size)
        return err_set(e, ERR_INVALID,
                       "stream '" SV_FMT "' has structured metadata too large: '%zu' bytes, limit: '%llu' bytes, see "
                       "max_structured_metadata_size",
                       SV_ARG(text), bytes, (unsigned long long)limits->max_structured_metadata_size);
    return err_set(e, ERR_INVALID,
                   "stream '" SV_FMT "' has too many structured metadata labels: '%zu', limit: '%llu', see "
                   "max_structured_metadata_entries_count",
                   SV_ARG(text), n, (unsigned long long)limits->max_structured_metadata_entries_count);
}

/* The record's own pairs under the source's, which win: run->merged, sorted by name. */
static bool merge_pairs(struct ingest_run *run, const struct source *src)
{
    size_t n_row = pairs_unique(run->row.at, run->row.n), i = 0, k = 0;
    run->merged.n = 0;
    if (!vec_reserve(&run->merged, n_row + src->n_pairs + 1)) /* + 1: detected_level */
        return err_nomem(&run->err);
    while (i < n_row || k < src->n_pairs) {
        int c = i == n_row ? 1 : k == src->n_pairs ? -1 : sv_cmp(run->row.at[i].name, src->pairs[k].name);
        i += c == 0;
        run->merged.at[run->merged.n++] = c < 0 ? run->row.at[i++] : src->pairs[k++];
    }
    return true;
}

static sv detect_level(struct ingest_run *run, const struct stream *st, sv line, int32_t severity_number)
{
    if (st->level.p)
        return st->level;
    sv level = rules_level_of_labels(run->merged.at, run->merged.n);
    if (level.p)
        return level;
    if (severity_number)
        return rules_level_of_number(severity_number);
    return rules_level_of_line(line);
}

/* Puts detected_level in its place among the sorted pairs; one that came along is kept, as a word. */
static void add_level(struct ingest_run *run, const struct stream *st, sv line, int32_t severity_number)
{
    struct label *at = run->merged.at;
    size_t i = run->merged.n;
    for (; i > 0; i--) {
        int c = sv_cmp(at[i - 1].name, SV("detected_level"));
        if (c == 0) {
            at[i - 1].value = rules_level_word(at[i - 1].value);
            return;
        }
        if (c < 0)
            break;
    }
    struct label level = {SV("detected_level"), detect_level(run, st, line, severity_number)};
    memmove(at + i + 1, at + i, (run->merged.n - i) * sizeof *at);
    at[i] = level;
    run->merged.n++;
}

enum verdict { ROW_TAKEN, ROW_REFUSED };

static bool check_row(struct ingest_run *run, const struct stream *st, int64_t ts, sv line, enum verdict *ret)
{
    const struct store_config *lim = run->rq->limits;
    sv labels = sv_sub(st->text, 0, 100);
    char when[36], bound[36];
    *ret = ROW_REFUSED;
    if (lim->reject_old_samples_max_age && ts < run->rq->now_wall_ns - lim->reject_old_samples_max_age) {
        clock_format_rfc3339(ts, 0, when);
        clock_format_rfc3339(run->rq->now_wall_ns - lim->reject_old_samples_max_age, 0, bound);
        return run_refuse(run, REJECT_TOO_OLD, st, line.n,
               "entry for stream '" SV_FMT "' has timestamp too old: %s, oldest acceptable timestamp is: %s",
               SV_ARG(labels), when, bound);
    }
    if (lim->creation_grace_period && ts > run->rq->now_wall_ns + lim->creation_grace_period) {
        clock_format_rfc3339(ts, 0, when);
        return run_refuse(run, REJECT_TOO_NEW, st, line.n, "entry for stream '" SV_FMT "' has timestamp too new: %s", SV_ARG(labels), when);
    }
    if (lim->max_line_size && line.n > lim->max_line_size)
        return run_refuse(run, REJECT_LINE, st, line.n,
               "max entry size '%llu' bytes exceeded for stream '" SV_FMT
               "' while adding an entry with length '%zu' bytes",
               (unsigned long long)lim->max_line_size, SV_ARG(labels), line.n);
    enum reject_reason why;
    struct err e = {0};
    if (!metadata_within(lim, st->labels, run->merged.at, run->merged.n, &why, &e))
        return run_refuse(run, why, st, line.n, "%s", e.msg);
    *ret = ROW_TAKEN;
    return true;
}

static bool chunk_close(struct ingest_run *run)
{
    if (!run->b.n)
        return true;
    struct chunk **room = vec_push(&run->out->chunks);
    if (!room)
        return err_nomem(&run->err);
    *room = chunk_builder_take(&run->b);
    run->base = NULL;
    if (!*room) {
        run->out->chunks.n--;
        return err_nomem(&run->err);
    }
    return true;
}

/* Ids of the source's pairs in the chunk being built, found once for all its records in a row. */
static bool base_ids(struct ingest_run *run, const struct source *src)
{
    if (run->base == src)
        return true;
    if (!vec_reserve(&run->base_ids, src->n_pairs))
        return err_nomem(&run->err);
    for (size_t i = 0; i < src->n_pairs; i++)
        if (!chunk_builder_pair(&run->b, src->pairs[i], row_hash_pair(src->pairs[i]), &run->base_ids.at[i]))
            return err_nomem(&run->err);
    run->base = src;
    return true;
}

static bool pair_ids(struct ingest_run *run, const struct source *src)
{
    if (!base_ids(run, src) || !vec_reserve(&run->ids, run->merged.n))
        return err_nomem(&run->err);
    for (size_t i = 0, k = 0; i < run->merged.n; i++) {
        struct label l = run->merged.at[i];
        while (k < src->n_pairs && sv_cmp(src->pairs[k].name, l.name) < 0)
            k++;
        if (k < src->n_pairs && src->pairs[k].value.p == l.value.p && src->pairs[k].name.p == l.name.p)
            run->ids.at[i] = run->base_ids.at[k];
        else if (!chunk_builder_pair(&run->b, l, row_hash_pair(l), &run->ids.at[i]))
            return err_nomem(&run->err);
    }
    return true;
}

bool run_row(struct ingest_run *run, const struct source *src, struct stream *st, int64_t ts, sv line,
             int32_t severity_number)
{
    if (!merge_pairs(run, src))
        return false;
    size_t meta_bytes = pairs_bytes(run->merged.at, run->merged.n);
    if (run->rq->limits) {
        enum verdict v;
        if (!check_row(run, st, ts, line, &v))
            return false;
        if (v == ROW_REFUSED)
            return true;
    }
    if (run->rq->rules & RULE_LEVELS)
        add_level(run, st, line, severity_number);
    if (!pair_ids(run, src))
        return false;
    if (!chunk_builder_add(&run->b, ts, st, line, run->ids.at, run->merged.n))
        return err_nomem(&run->err);
    run->out->n_rows++;
    run->out->line_bytes += line.n;
    run->out->metadata_bytes += meta_bytes;
    return !chunk_builder_full(&run->b) || chunk_close(run);
}

static uint64_t count_nested(sv message, const uint32_t *path, size_t n_path, uint64_t max)
{
    const uint8_t *at = wire_begin(message);
    struct wire_field f;
    uint64_t n = 0;
    while (n <= max && wire_next(&at, wire_end(message), &f) == WIRE_GOT)
        if (f.tag == path[0])
            n += n_path == 1 ? 1 : count_nested(wire_sv(&f), path + 1, n_path - 1, max - n);
    return n;
}

uint64_t ingest_count(const struct ingest_request *rq, uint64_t max)
{
    /* resource_logs, scope_logs, log_records; streams, entries */
    static const uint32_t otlp[] = {WIRE_TAG(1, WIRE_LEN), WIRE_TAG(2, WIRE_LEN), WIRE_TAG(2, WIRE_LEN)},
                          loki[] = {WIRE_TAG(1, WIRE_LEN), WIRE_TAG(2, WIRE_LEN)};
    return rq->loki ? count_nested(rq->bytes, loki, ARRAY_LEN(loki), max)
                    : count_nested(rq->bytes, otlp, ARRAY_LEN(otlp), max);
}

bool ingest(const struct ingest_request *rq, struct ingest_result *ret, struct err *e)
{
    struct ingest_result out = {0};
    struct ingest_run run = {.rq = rq, .out = &out};
    arena_init(&run.names_mem, 0);
    arena_init(&run.row_mem, 0);
    bool ok = (rq->loki ? ingest_loki : ingest_otlp)(&run, &run.err) && chunk_close(&run);
    chunk_builder_done(&run.b);
    map_done(&run.names);
    arena_done(&run.names_mem);
    arena_done(&run.row_mem);
    vec_done(&run.row);
    vec_done(&run.merged);
    vec_done(&run.ids);
    vec_done(&run.base_ids);
    if (!ok) {
        ingest_result_done(&out);
        if (e)
            *e = run.err;
        return false;
    }
    out.n_records = run.record;
    *ret = out;
    return true;
}

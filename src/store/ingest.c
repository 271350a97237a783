/* ingest.c - see ingest.h. Here: limits, metadata, rows. What a request's bytes mean is in ingest_otlp.c and
 * ingest_loki.c. */
#include "store/ingest_row.h"
#include "base/clock.h"
#include "base/lock.h"
#include "otlp/wire.h"
#include "store/rules.h"
#include <stdarg.h>
#include <stdio.h>

unsigned rules_of_limits(const struct limits *l)
{
    return (l->level_label ? RULE_LEVEL_LABEL : 0u) | (l->discover_service_name ? RULE_SERVICE_NAME : 0u) |
           (l->discover_log_levels ? RULE_LEVELS : 0u);
}

void ingest_result_done(struct ingest_result *r)
{
    for (size_t i = 0; i < r->chunks.n; i++)
        chunk_unref(r->chunks.at[i]);
    vec_done(&r->chunks);
    vec_done(&r->refused);
}

/* Nothing that was seen counts any more: another chunk is built, or another request read. */
static void next_epoch(struct ingest_run *run)
{
    run->base = NULL;
    if (++run->epoch)
        return;
    memset(run->seen, 0, ((size_t)1 << SEEN_BITS) * sizeof *run->seen);
    memset(run->levels, 0, sizeof run->levels);
    run->observed.epoch = 0;
    run->epoch = 1;
}

/* A new entry of the list; why a bad name is bad stays with it. */
static struct name *name_new(struct ingest_run *run, sv raw, bool fixed)
{
    struct err bad = {0};
    struct name *n = ARENA_NEW(&run->names_mem, struct name), **room = n ? vec_push(&run->name_list) : NULL;
    if (!room)
        return NULL;
    *room = n;
    n->id = (uint32_t)run->name_list.n - 1;
    n->raw = raw;
    n->fixed = fixed;
    if (rules_name(raw, &run->names_mem, &n->text, &bad))
        return n;
    struct err *kept = bad.code == ERR_INVALID ? ARENA_NEW(&run->names_mem, struct err) : NULL;
    if (!kept)
        return NULL;
    *kept = bad;
    n->bad = kept;
    return n;
}

bool run_name(struct ingest_run *run, sv raw, const struct name **ret, struct err *e)
{
    struct map_slot *slot = map_put(&run->names, raw);
    if (!slot)
        return err_nomem(&run->err);
    struct name *n = slot->value;
    if (!n) {
        sv kept = arena_sv(&run->names_mem, raw);
        n = kept.p ? name_new(run, kept, false) : NULL;
        if (!n) {
            map_remove(&run->names, raw);
            return err_nomem(&run->err);
        }
        slot->key = kept;
        slot->value = n;
    }
    if (n->bad) {
        *e = *n->bad;
        return false;
    }
    *ret = n;
    return true;
}

bool run_fixed_name(struct ingest_run *run, enum fixed_name f, const struct name **ret)
{
    static const sv texts[FIXED_NAMES] = {
        [FIXED_OBSERVED] = SV("observed_timestamp"),    [FIXED_SEVERITY_NUMBER] = SV("severity_number"),
        [FIXED_SEVERITY_TEXT] = SV("severity_text"),    [FIXED_DROPPED] = SV("dropped_attributes_count"),
        [FIXED_FLAGS] = SV("flags"),                    [FIXED_TRACE_ID] = SV("trace_id"),
        [FIXED_SPAN_ID] = SV("span_id"),                [FIXED_EVENT_NAME] = SV("event_name"),
    };
    if (!run->fixed[f] && !(run->fixed[f] = name_new(run, texts[f], true)))
        return err_nomem(&run->err);
    *ret = run->fixed[f];
    return true;
}

void run_forget_names(struct ingest_run *run)
{
    enum { NAMES_KEEP_BYTES = 1 << 20 };
    if (run->names_mem.used <= NAMES_KEEP_BYTES)
        return;
    map_done(&run->names);
    arena_reset(&run->names_mem);
    run->name_list.n = run->slots.n = 0;
    memset(run->fixed, 0, sizeof run->fixed);
    memset(run->plans, 0, sizeof run->plans);
    run->plan = NULL;
    next_epoch(run);
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

bool run_pair(struct ingest_run *run, const struct name *name, sv value)
{
    uint32_t id;
    struct label l = {name->text, clean_text(value, &run->row_mem)};
    if (!l.value.p || !chunk_builder_pair(&run->b, l, row_hash_pair(l), &id))
        return err_nomem(&run->err);
    return run_slot(run, name->id, id);
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

bool labels_within(const struct limits *limits, struct labels l, size_t n_counted, enum reject_reason *ret_why,
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

bool metadata_within(const struct limits *limits, struct labels stream, const struct label *at, size_t n,
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

/* The row's metadata as texts, without a level that is added: for what seldom happens. */
static bool texts(struct ingest_run *run, const struct plan *p)
{
    if (!vec_reserve(&run->merged, p->n_out))
        return err_nomem(&run->err);
    run->merged.n = 0;
    for (uint32_t i = 0; i < p->n_out; i++)
        if (i != p->level_at || p->own_level)
            run->merged.at[run->merged.n++] = chunk_builder_label(&run->b, run->ids.at[p->from[i]]);
    return true;
}

static bool find_level(struct ingest_run *run, const struct plan *p, const struct stream *st, sv line, int32_t severity_number,
                       sv *ret)
{
    sv level = st->level;
    if (!level.p && p->states_level) {
        if (!texts(run, p))
            return false;
        level = rules_level_of_labels(run->merged.at, run->merged.n);
    }
    if (!level.p)
        level = severity_number ? rules_level_of_number(severity_number) : rules_level_of_line(line);
    *ret = level;
    return true;
}

/* The id of detected_level=word. A stream's level, and the words of the rules, keep their place in memory: that tells them apart. */
static bool level_id(struct ingest_run *run, sv word, uint32_t *ret)
{
    size_t i = ((uintptr_t)word.p >> 4) % LEVELS_SEEN;
    if (run->levels[i].word == word.p && run->levels[i].epoch == run->epoch) {
        *ret = run->levels[i].pair;
        return true;
    }
    struct label l = {SV("detected_level"), word};
    if (!chunk_builder_pair(&run->b, l, row_hash_pair(l), ret))
        return err_nomem(&run->err);
    run->levels[i].word = word.p;
    run->levels[i].pair = *ret;
    run->levels[i].epoch = run->epoch;
    return true;
}

/* Puts the level's id where the plan wants it; a detected_level that came along is kept, as a word. */
static bool put_level(struct ingest_run *run, const struct plan *p, const struct stream *st, sv line, int32_t severity_number,
                      uint32_t *ids)
{
    sv level;
    if (p->own_level) {
        struct label own = chunk_builder_label(&run->b, ids[p->level_at]);
        sv word = rules_level_word(own.value);
        return word.p == own.value.p || level_id(run, word, &ids[p->level_at]);
    }
    if (!find_level(run, p, st, line, severity_number, &level))
        return false;
    if (level.p == st->level.p || !p->states_level)
        return level_id(run, level, &ids[p->level_at]);
    struct label l = {SV("detected_level"), level}; /* it may be one of the row's own texts, which move when the chunk grows */
    struct label copy = {l.name, arena_sv(&run->row_mem, level)};
    return (copy.value.p && chunk_builder_pair(&run->b, copy, row_hash_pair(copy), &ids[p->level_at])) || err_nomem(&run->err);
}

/* Is the row refused? Only asked where a bound is passed; words it. */
static __attribute__((noinline)) bool refuse_row(struct ingest_run *run, const struct plan *p, const struct stream *st, int64_t ts,
                                                 sv line)
{
    const struct limits *lim = run->rq->limits;
    sv labels = sv_sub(st->text, 0, 100);
    char when[36], bound[36];
    if (ts < run->oldest_ns) {
        clock_format_rfc3339(ts, 0, when);
        clock_format_rfc3339(run->oldest_ns, 0, bound);
        return run_refuse(run, REJECT_TOO_OLD, st, line.n,
               "entry for stream '" SV_FMT "' has timestamp too old: %s, oldest acceptable timestamp is: %s",
               SV_ARG(labels), when, bound);
    }
    if (ts > run->newest_ns) {
        clock_format_rfc3339(ts, 0, when);
        return run_refuse(run, REJECT_TOO_NEW, st, line.n, "entry for stream '" SV_FMT "' has timestamp too new: %s", SV_ARG(labels), when);
    }
    if (line.n > run->max_line)
        return run_refuse(run, REJECT_LINE, st, line.n,
               "max entry size '%llu' bytes exceeded for stream '" SV_FMT
               "' while adding an entry with length '%zu' bytes",
               (unsigned long long)lim->max_line_size, SV_ARG(labels), line.n);
    if (!lim->allow_structured_metadata && p->n_meta)
        return run_refuse(run, REJECT_METADATA, st, line.n,
               "stream '" SV_FMT "' includes structured metadata, but this feature is disallowed. Please see "
               "`limits_config.allow_structured_metadata` or contact your Loki administrator to enable it.", SV_ARG(labels));
    enum reject_reason why = REJECT_METADATA_SIZE;
    struct err e = {0};
    if (!texts(run, p))
        return false;
    bool fits = metadata_within(lim, st->labels, run->merged.at, run->merged.n, &why, &e);
    ASSERT(!fits);
    return run_refuse(run, why, st, line.n, "%s", e.msg);
}

static bool refuse_over_rate(struct ingest_run *run, const struct stream *st, sv line, uint64_t bytes)
{
    char limit[24], total[24];
    limits_size_text((double)run->rq->limits->per_stream_rate_limit, limit);
    limits_size_text((double)bytes, total);
    return run_refuse(run, REJECT_STREAM_RATE, st, line.n,
                      "Per stream rate limit exceeded (limit: %s/sec) while attempting to ingest for stream '" SV_FMT
                      "' totaling %s, consider splitting a stream via additional labels or contact your Loki administrator to "
                      "see if the limit can be increased", limit, SV_ARG(sv_sub(st->text, 0, 100)), total);
}

/* What the stream brings when that is too much; 0: it may. */
static uint64_t over_rate(const struct ingest_request *rq, const struct stream *st)
{
    size_t lo = 0, hi = rq->n_over;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (rq->over[mid].st < st)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < rq->n_over && rq->over[lo].st == st ? rq->over[lo].bytes : 0;
}

static inline bool within(const struct ingest_run *run, const struct plan *p, size_t meta_bytes, int64_t ts, sv line)
{
    return ts >= run->oldest_ns && ts <= run->newest_ns && line.n <= run->max_line && meta_bytes <= run->max_meta_bytes &&
           p->n_meta <= run->max_meta;
}

/* Bounds of a row, so that no limit is asked for twice; replay has none. */
static void bounds_set(struct ingest_run *run)
{
    const struct limits *lim = run->rq->limits;
    int64_t now = run->rq->now_wall_ns;
    run->oldest_ns = INT64_MIN;
    run->newest_ns = INT64_MAX;
    run->max_line = run->max_meta_bytes = run->max_meta = UINT64_MAX;
    if (!lim)
        return;
    if (lim->reject_old_samples && lim->reject_old_samples_max_age)
        run->oldest_ns = now - lim->reject_old_samples_max_age;
    if (lim->creation_grace_period)
        run->newest_ns = now + lim->creation_grace_period;
    if (lim->max_line_size)
        run->max_line = lim->max_line_size;
    if (lim->max_structured_metadata_size)
        run->max_meta_bytes = lim->max_structured_metadata_size;
    if (lim->max_structured_metadata_entries_count)
        run->max_meta = lim->max_structured_metadata_entries_count;
    if (!lim->allow_structured_metadata)
        run->max_meta = 0;
}

static bool chunk_close(struct ingest_run *run)
{
    if (!run->b.n)
        return true;
    struct chunk **room = vec_push(&run->out->chunks);
    if (!room)
        return err_nomem(&run->err);
    *room = chunk_builder_take(&run->b);
    next_epoch(run);
    if (!*room) {
        run->out->chunks.n--;
        return err_nomem(&run->err);
    }
    return true;
}

bool run_settle(struct ingest_run *run)
{
    if (!chunk_builder_full(&run->b))
        return true;
    if (run->b.n)
        return chunk_close(run);
    chunk_builder_reset(&run->b);
    next_epoch(run);
    return true;
}

bool run_begin(struct ingest_run *run, const struct source *src)
{
    run->n_before = run->slots.n;
    run->slots.n = 0;
    if (run->base == src)
        return true;
    if (!vec_reserve(&run->ids, src->n_pairs + 1))
        return err_nomem(&run->err);
    for (size_t i = 0; i < src->n_pairs; i++)
        if (!chunk_builder_pair(&run->b, src->pairs[i], row_hash_pair(src->pairs[i]), &run->ids.at[i]))
            return err_nomem(&run->err);
    run->n_base = src->n_pairs;
    run->base = src;
    return true;
}

static size_t metadata_bytes(const struct ingest_run *run, const struct plan *p)
{
    size_t n = p->source_bytes;
    for (uint32_t i = 0; i < p->n_used; i++) {
        const struct pair *pair = &run->b.pairs.at[run->ids.at[p->used[i]]];
        n += pair->name_n + pair->value_n;
    }
    return n;
}

bool run_row(struct ingest_run *run, const struct source *src, struct stream *st, int64_t ts, sv line,
             int32_t severity_number)
{
    if (run->rq->cut && line.n > run->rq->cut) {
        run->out->n_cut++;
        run->out->cut_bytes += line.n - run->rq->cut;
        line.n = run->rq->cut;
    }
    const struct plan *p;
    if (!run_plan(run, src, &p))
        return false;
    size_t meta_bytes = metadata_bytes(run, p);
    if (!within(run, p, meta_bytes, ts, line))
        return refuse_row(run, p, st, ts, line);
    uint64_t over = run->rq->n_over ? over_rate(run->rq, st) : 0;
    if (over)
        return refuse_over_rate(run, st, line, over);
    uint32_t *ids = chunk_builder_ids(&run->b, p->n_out);
    if (!ids)
        return err_nomem(&run->err);
    for (uint32_t i = 0; i < p->n_out; i++)
        ids[i] = run->ids.at[p->from[i]];
    if (p->level_at != UINT32_MAX && !put_level(run, p, st, line, severity_number, ids))
        return false;
    if (!chunk_builder_row(&run->b, ts, st, line, p->n_out))
        return err_nomem(&run->err);
    run->out->n_rows++;
    run->out->line_bytes += line.n;
    run->out->metadata_bytes += meta_bytes;
    return true;
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

/* Words what is wrong with a request, by its first fault. Nested too deep is a limit that no later attempt will pass. */
static bool word_fault(sv request, struct err *e)
{
    struct otlp_counts counts;
    struct err why;
    if (otlp_check(request, NULL, &counts, &why))
        err_set(&why, ERR_PARSE, "malformed");
    if (why.code == ERR_LIMIT)
        why.code = ERR_INVALID;
    if (e)
        *e = why;
    return false;
}

bool ingest_count(struct ingest_request *rq, uint64_t max, uint64_t *ret, struct err *e)
{
    /* resource_logs, scope_logs, log_records; streams, entries */
    static const uint32_t otlp[] = {WIRE_TAG(1, WIRE_LEN), WIRE_TAG(2, WIRE_LEN), WIRE_TAG(2, WIRE_LEN)},
                          loki[] = {WIRE_TAG(1, WIRE_LEN), WIRE_TAG(2, WIRE_LEN)};
    struct otlp_counts counts;
    if (rq->loki) {
        *ret = count_nested(rq->bytes, loki, ARRAY_LEN(loki), max);
    } else if (!rq->check) {
        *ret = count_nested(rq->bytes, otlp, ARRAY_LEN(otlp), max);
    } else {
        if (!otlp_check(rq->bytes, &(struct otlp_limits){.not_records = true}, &counts, NULL))
            return word_fault(rq->bytes, e);
        *ret = counts.records;
        rq->ordered = !counts.unordered;
    }
    return true;
}

bool run_malformed(struct ingest_run *run)
{
    return word_fault(run->rq->bytes, &run->err);
}

/* ---- working memory ---- */

struct ingest_pool {
    struct lock mu;
    struct ingest_run *free; /* under mu */
    size_t n_free;           /* under mu */
};
enum { POOL_KEEP = 8 };

static void run_free(struct ingest_run *run)
{
    if (!run)
        return;
    chunk_builder_done(&run->b);
    map_done(&run->names);
    arena_done(&run->names_mem);
    arena_done(&run->row_mem);
    vec_done(&run->name_list);
    vec_done(&run->row);
    vec_done(&run->merged);
    vec_done(&run->ids);
    vec_done(&run->slots);
    free(run->seen);
    free(run);
}

static struct ingest_run *run_new(void)
{
    struct ingest_run *run = calloc(1, sizeof *run);
    if (!run)
        return NULL;
    arena_init(&run->names_mem, 0);
    arena_init(&run->row_mem, 0);
    run->seen = calloc((size_t)1 << SEEN_BITS, sizeof *run->seen);
    if (!run->seen) {
        run_free(run);
        return NULL;
    }
    return run;
}

bool ingest_pool_new(struct ingest_pool **ret, struct err *e)
{
    struct ingest_pool *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(e);
    lock_init(&p->mu);
    *ret = p;
    return true;
}

void ingest_pool_free(struct ingest_pool *p)
{
    if (!p)
        return;
    for (struct ingest_run *run = p->free, *next; run; run = next) {
        next = run->next;
        run_free(run);
    }
    lock_done(&p->mu);
    free(p);
}

static struct ingest_run *run_take(struct ingest_pool *p)
{
    if (!p)
        return run_new();
    lock_acquire(&p->mu);
    struct ingest_run *run = p->free;
    if (run) {
        p->free = run->next;
        p->n_free--;
    }
    lock_release(&p->mu);
    return run ? run : run_new();
}

/* Of a giant request nothing is kept but what the columns and names themselves keep. */
static void run_give(struct ingest_pool *p, struct ingest_run *run)
{
    chunk_builder_reset(&run->b);
    arena_reset(&run->row_mem);
    run_forget_names(run);
    bool large = (run->row.cap + run->merged.cap) * sizeof(struct label) + (run->ids.cap + run->slots.cap) * sizeof(uint32_t) > 1 << 20;
    if (p && !large) {
        LOCK_SCOPED(&p->mu);
        if (p->n_free < POOL_KEEP) {
            run->next = p->free;
            p->free = run;
            p->n_free++;
            return;
        }
    }
    run_free(run);
}

bool ingest(const struct ingest_request *rq, struct ingest_result *ret, struct err *e)
{
    struct ingest_result out = {0};
    struct ingest_run *run = run_take(rq->pool);
    if (!run)
        return err_nomem(e);
    run->rq = rq;
    run->out = &out;
    run->record = 0;
    run->next_refused = 0;
    run->err = (struct err){0};
    run->plan = NULL; /* rules may differ */
    bounds_set(run);
    next_epoch(run);
    bool ok = (rq->loki ? ingest_loki : ingest_otlp)(run, &run->err) && chunk_close(run);
    out.n_records = run->record;
    if (!ok && e)
        *e = run->err;
    run_give(rq->pool, run);
    if (!ok) {
        ingest_result_done(&out);
        return false;
    }
    *ret = out;
    return true;
}

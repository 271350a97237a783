/* record.c - a record on its way through the processors. Untouched, it borrows all from the emitter; the first change copies
 * the attributes into an arena of its own. */
#include "sdk/encode.h"
#include "sdk/pipeline.h"
#include <stdlib.h>

/* The calling thread's buffer for encoding, freed when the thread ends. */
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static _Thread_local struct buf *scratch;

static void scratch_free(void *p)
{
    struct buf *b = p;
    buf_done(b);
    free(b);
    scratch = NULL;
}

static void scratch_key_make(void)
{
    pthread_key_create(&scratch_key, scratch_free);
}

static struct buf *scratch_get(void)
{
    if (scratch)
        return scratch;
    pthread_once(&scratch_once, scratch_key_make);
    struct buf *b = calloc(1, sizeof *b);
    if (b && pthread_setspecific(scratch_key, b) != 0) {
        free(b);
        b = NULL;
    }
    return scratch = b;
}

/* What a thread keeps for its next record. */
#define SCRATCH_KEEP (64 << 10)

bool record_encode(struct weir_record *rec, sv *ret)
{
    struct buf *b = scratch_get();
    if (!b)
        return false;
    if (b->cap > SCRATCH_KEEP)
        buf_done(b);
    buf_reset(b);
    struct weir_provider *p = rec->logger->provider;
    uint32_t dropped = encode_record(b, &rec->r, rec->site, 0, &p->limits);
    if (dropped)
        atomic_fetch_add_explicit(&p->discarded_attributes, dropped, memory_order_relaxed);
    *ret = buf_view(b);
    return !b->failed;
}

/* Makes the attributes our own, with the place in the source among them. */
static bool own_attributes(struct weir_record *rec)
{
    if (rec->attrs)
        return true;
    const weir_site *site = rec->site;
    size_t n = rec->r.attributes ? rec->r.n_attributes : 0, total = 0;
    weir_attr *attrs = arena_array(&rec->mem, n + 4, sizeof *attrs);
    if (!attrs)
        return false;
    for (size_t i = 0; i < n; i++)
        attrs[total++] = rec->r.attributes[i];
    if (site) {
        attrs[total++] = weir_str("code.file.path", site->file);
        attrs[total++] = weir_i64("code.line.number", site->line);
        attrs[total++] = weir_str("code.function.name", site->function);
    }
    rec->attrs = attrs;
    rec->cap = n + 4;
    rec->site = NULL;
    rec->r.attributes = attrs;
    rec->r.n_attributes = total;
    return true;
}

const weir_log_record *weir_record_get(weir_record *rec)
{
    /* without memory the reader sees the record without its place in the source, which is sent all the same */
    (void)!own_attributes(rec);
    return &rec->r;
}

const weir_resource *weir_record_resource(const weir_record *rec)
{
    return rec->logger->provider->resource;
}

weir_string weir_record_scope_name(const weir_record *rec)
{
    return weir_string_of(rec->logger->name);
}

weir_string weir_record_scope_version(const weir_record *rec)
{
    return weir_string_of(rec->logger->version);
}

static size_t find(const struct weir_record *rec, weir_string key)
{
    size_t i = rec->r.n_attributes;
    while (i-- > 0) /* of equal keys the last counts */
        if (sv_eq(sv_of_weir(rec->attrs[i].key), sv_of_weir(key)))
            return i;
    return SIZE_MAX;
}

bool weir_record_set_attribute(weir_record *rec, weir_attr attribute)
{
    weir_attr copy;
    if (!own_attributes(rec) || !attr_copy(&rec->mem, attribute, &copy))
        return false;
    size_t at = find(rec, copy.key);
    if (at == SIZE_MAX) {
        weir_attr *grown = arena_grow(&rec->mem, rec->attrs, rec->r.n_attributes, &rec->cap, sizeof *grown);
        if (!grown)
            return false;
        rec->attrs = grown;
        rec->r.attributes = grown;
        at = rec->r.n_attributes++;
    }
    rec->attrs[at] = copy;
    return true;
}

bool weir_record_remove_attribute(weir_record *rec, weir_string key)
{
    bool found = false;
    if (!own_attributes(rec))
        return false;
    for (size_t at; (at = find(rec, key)) != SIZE_MAX; found = true) {
        memmove(rec->attrs + at, rec->attrs + at + 1, (rec->r.n_attributes - at - 1) * sizeof *rec->attrs);
        rec->r.n_attributes--;
    }
    return found;
}

bool weir_record_set_body(weir_record *rec, weir_value body)
{
    return value_copy(&rec->mem, body, &rec->r.body);
}

void weir_record_set_severity(weir_record *rec, int32_t severity_number)
{
    rec->r.severity_number = MAX(severity_number, 0);
}

bool weir_record_set_severity_text(weir_record *rec, weir_string text)
{
    sv copy = arena_sv(&rec->mem, sv_of_weir(text));
    if (!copy.p)
        return false;
    rec->r.severity_text = (weir_string){copy.p, copy.n};
    return true;
}

void weir_record_discard(weir_record *rec)
{
    rec->discarded = true;
}

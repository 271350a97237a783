/* stream.c - see stream.h. */
#include "store/stream.h"
#include "base/clock.h"
#include "store/hash.h"
#include "store/rules.h"
#include <inttypes.h>
#include <stdlib.h>

enum {
    TENANTS_MAX = 65535,
    SOURCES_MAX = 8192,             /* cached per tenant; then the cache starts over */
    SOURCES_MAX_BYTES = 16 << 20,
    SOURCES_ALL_MAX_BYTES = 64 << 20, /* of all tenants together */
    SOURCE_BASE_BYTES = 4096,       /* an arena touches a page at least */
    TENANT_BASE_BYTES = 8192,
    STREAM_BASE_BYTES = 128,        /* its places in the list and in the table by labels */
    LEVELS_MAX = 32,                /* remembered per source; more are found by their labels */
};
#define ACTIVE_NS (3600 * NS_PER_S)

struct tenant {
    sv name;
    struct registry *reg;
    struct counters counters;
    _Atomic int64_t rate_full_at;
    struct lock mu;
    struct arena a;              /* under mu: streams and their labels */
    struct map by_text;          /* under mu: canonical labels -> stream */
    VEC(struct stream *) list;   /* under mu */
    struct map sources;          /* under mu: resource and scope bytes -> source_entry */
    size_t source_bytes;         /* under mu */
    int64_t counted_mono_ns;     /* under mu: when n_active was counted */
    uint64_t n_active;           /* under mu */
};

struct source_entry {
    struct source *source;
    size_t key_n;
    char key[];
};

struct registry {
    uint64_t max_bytes;
    _Atomic uint64_t bytes;        /* of tenants and streams */
    _Atomic uint64_t source_bytes; /* of all tenants' caches */
    struct lock mu;
    struct map tenants;          /* under mu */
};

bool registry_new(uint64_t max_bytes, struct registry **ret, struct err *e)
{
    struct registry *r = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(e);
    hash_start();
    r->max_bytes = max_bytes;
    lock_init(&r->mu);
    *ret = r;
    return true;
}

static void sources_drop(struct tenant *t)
{
    for (struct map_slot *s = NULL; (s = map_next(&t->sources, s));) {
        struct source_entry *en = s->value;
        source_unref(en->source);
        free(en);
    }
    map_done(&t->sources);
    atomic_fetch_sub_explicit(&t->reg->source_bytes, t->source_bytes, memory_order_relaxed);
    t->source_bytes = 0;
}

static void tenant_free(struct tenant *t)
{
    sources_drop(t);
    map_done(&t->by_text);
    vec_done(&t->list);
    arena_done(&t->a);
    lock_done(&t->mu);
    free(t);
}

void registry_free(struct registry *r)
{
    if (!r)
        return;
    for (struct map_slot *s = NULL; (s = map_next(&r->tenants, s));)
        tenant_free(s->value);
    map_done(&r->tenants);
    lock_done(&r->mu);
    free(r);
}

struct tenant *registry_find(struct registry *r, sv name)
{
    LOCK_SCOPED(&r->mu);
    return map_get(&r->tenants, name);
}

bool registry_tenant(struct registry *r, sv name, struct tenant **ret, struct err *e)
{
    LOCK_SCOPED(&r->mu);
    struct tenant *t = map_get(&r->tenants, name);
    if (t) {
        *ret = t;
        return true;
    }
    if (r->tenants.n >= TENANTS_MAX)
        return err_set(e, ERR_LIMIT, "more than %d tenants", TENANTS_MAX);
    t = calloc(1, sizeof *t + name.n);
    if (!t)
        return err_nomem(e);
    char *text = (char *)(t + 1);
    if (name.n)
        memcpy(text, name.p, name.n);
    t->name = sv_make(text, name.n);
    t->reg = r;
    struct map_slot *slot = map_put(&r->tenants, t->name);
    if (!slot) {
        free(t);
        return err_nomem(e);
    }
    lock_init(&t->mu);
    arena_init(&t->a, 0);
    slot->value = t;
    atomic_fetch_add_explicit(&r->bytes, TENANT_BASE_BYTES + name.n, memory_order_relaxed);
    *ret = t;
    return true;
}

sv tenant_name(const struct tenant *t)
{
    return t->name;
}

_Atomic int64_t *tenant_rate(struct tenant *t)
{
    return &t->rate_full_at;
}

struct counters *tenant_counters(struct tenant *t)
{
    return &t->counters;
}

/* Streams used within the hour, counted again at most once a second. */
static uint64_t active_streams(struct tenant *t, int64_t now)
{
    lock_assert_held(&t->mu);
    if (t->counted_mono_ns && now - t->counted_mono_ns < NS_PER_S)
        return t->n_active;
    t->n_active = 0;
    for (size_t i = 0; i < t->list.n; i++)
        if (now - atomic_load_explicit(&t->list.at[i]->last_used_mono_ns, memory_order_relaxed) < ACTIVE_NS)
            t->n_active++;
    t->counted_mono_ns = now;
    return t->n_active;
}

static struct stream *stream_make(struct tenant *t, struct labels labels, sv text)
{
    struct stream *st = ARENA_NEW(&t->a, struct stream);
    if (!st)
        return NULL;
    st->text = arena_sv(&t->a, text);
    st->labels = labels_copy(&t->a, labels);
    if (!st->text.p || !st->labels.at)
        return NULL;
    struct stream **room = vec_push(&t->list);
    if (!room)
        return NULL;
    struct map_slot *slot = map_put(&t->by_text, st->text);
    if (!slot) {
        t->list.n--;
        return NULL;
    }
    st->hash = labels_hash(labels);
    st->level = rules_level_of_labels(st->labels.at, st->labels.n);
    st->tenant = t;
    st->index = (uint32_t)t->list.n - 1;
    *room = slot->value = st;
    return st;
}

/* What a failed attempt left in the arena counts, too: it stays. */
static struct stream *stream_new(struct tenant *t, struct labels labels, sv text)
{
    lock_assert_held(&t->mu);
    size_t before = t->a.used;
    struct stream *st = stream_make(t, labels, text);
    atomic_fetch_add_explicit(&t->reg->bytes, t->a.used - before + (st ? STREAM_BASE_BYTES : 0), memory_order_relaxed);
    return st;
}

/* May a push make this stream? */
static bool room_for_stream(struct tenant *t, sv text, uint64_t max_active, int64_t now, struct err *e)
{
    lock_assert_held(&t->mu);
    if (active_streams(t, now) >= max_active)
        return err_set(e, ERR_LIMIT,
                       "maximum active stream limit exceeded when trying to create stream " SV_FMT ", user: '" SV_FMT
                       "'",
                       SV_ARG(sv_sub(text, 0, 120)), SV_ARG(sv_sub(t->name, 0, 64)));
    if (registry_memory(t->reg) >= t->reg->max_bytes)
        return err_set(e, ERR_FULL,
                       "memory for streams is full (streams_max_bytes=%" PRIu64 ") when trying to create stream " SV_FMT,
                       t->reg->max_bytes, SV_ARG(sv_sub(text, 0, 120)));
    return true;
}

static bool stream_get_locked(struct tenant *t, struct labels labels, uint64_t max_active, struct stream **ret,
                              struct err *e)
{
    lock_assert_held(&t->mu);
    SCOPED(buf_done) struct buf text = {0};
    labels_text(labels, &text);
    if (!buf_ok(&text, e))
        return false;
    struct stream *st = map_get(&t->by_text, buf_view(&text));
    if (!st) {
        int64_t now = clock_mono_ns();
        if (t->list.n >= UINT32_MAX - 1)
            return err_set(e, ERR_LIMIT, "tenant has %zu streams", t->list.n);
        if (max_active != STREAMS_STORED && !room_for_stream(t, buf_view(&text), max_active, now, e))
            return false;
        st = stream_new(t, labels, buf_view(&text));
        if (!st)
            return err_nomem(e);
        /* one made for stored rows counts as used once a push brings it rows */
        bool in_use = max_active != STREAMS_STORED;
        t->n_active += in_use;
        atomic_store_explicit(&st->last_used_mono_ns, in_use ? now : now - ACTIVE_NS, memory_order_relaxed);
    }
    *ret = st;
    return true;
}

bool stream_get(struct tenant *t, struct labels labels, uint64_t max_active, struct stream **ret, struct err *e)
{
    LOCK_SCOPED(&t->mu);
    return stream_get_locked(t, labels, max_active, ret, e);
}

uint32_t tenant_streams(struct tenant *t)
{
    LOCK_SCOPED(&t->mu);
    return (uint32_t)t->list.n;
}

void tenant_list(struct tenant *t, struct stream **to, uint32_t n)
{
    LOCK_SCOPED(&t->mu);
    ASSERT(n <= t->list.n);
    if (n)
        memcpy(to, t->list.at, n * sizeof *to);
}

uint64_t registry_memory(const struct registry *r)
{
    return atomic_load_explicit(&r->bytes, memory_order_relaxed);
}

uint64_t registry_streams(struct registry *r)
{
    LOCK_SCOPED(&r->mu);
    uint64_t n = 0;
    for (struct map_slot *s = NULL; (s = map_next(&r->tenants, s));)
        n += tenant_streams(s->value);
    return n;
}

struct source *source_new(void)
{
    static _Atomic uint64_t serials;
    struct source *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->serial = 1 + atomic_fetch_add_explicit(&serials, 1, memory_order_relaxed);
    atomic_init(&s->refs, 1);
    arena_init(&s->a, 0);
    return s;
}

void source_unref(struct source *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    vec_done(&s->by_level);
    arena_done(&s->a);
    free(s);
}

struct source *source_find(struct tenant *t, sv key)
{
    LOCK_SCOPED(&t->mu);
    struct source_entry *en = map_get(&t->sources, key);
    if (!en)
        return NULL;
    atomic_fetch_add_explicit(&en->source->refs, 1, memory_order_relaxed);
    return en->source;
}

void source_keep(struct tenant *t, sv key, struct source *s)
{
    size_t bytes = sizeof(struct source_entry) + key.n + sizeof *s + SOURCE_BASE_BYTES + s->a.used;
    if (bytes > SOURCES_MAX_BYTES / 4) /* one giant resource must not empty the cache for the others */
        return;
    struct source_entry *en = malloc(sizeof *en + key.n);
    if (!en)
        return;
    *en = (struct source_entry){.source = s, .key_n = key.n};
    memcpy(en->key, key.p, key.n);
    LOCK_SCOPED(&t->mu);
    if (t->sources.n >= SOURCES_MAX || t->source_bytes + bytes > SOURCES_MAX_BYTES)
        sources_drop(t);
    if (atomic_load_explicit(&t->reg->source_bytes, memory_order_relaxed) + bytes > SOURCES_ALL_MAX_BYTES)
        sources_drop(t);
    bool room = atomic_load_explicit(&t->reg->source_bytes, memory_order_relaxed) + bytes <= SOURCES_ALL_MAX_BYTES;
    struct map_slot *slot = room ? map_put(&t->sources, sv_make(en->key, key.n)) : NULL;
    if (!slot || slot->value) { /* no room, or another thread was first */
        free(en);
        return;
    }
    atomic_fetch_add_explicit(&t->reg->source_bytes, bytes, memory_order_relaxed);
    slot->value = en;
    t->source_bytes += bytes;
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

/* The labels of `s` with level=`level` put in order; a label of that name from the resource gives way. */
static struct labels with_level(struct source *s, sv level, struct arena *a)
{
    struct label *at = arena_array(a, s->n_labels + 1, sizeof *at);
    size_t n = 0;
    for (size_t i = 0; at && i < s->n_labels; i++)
        if (!sv_eq(s->labels[i].name, SV("level")))
            at[n++] = s->labels[i];
    if (!at)
        return (struct labels){0};
    at[n++] = (struct label){SV("level"), level};
    labels_sort(at, n);
    return (struct labels){at, n};
}

bool source_stream(struct tenant *t, struct source *s, sv level, uint64_t max_active, struct stream **ret, struct err *e)
{
    LOCK_SCOPED(&t->mu);
    if (!level.n) {
        if (!s->plain && !stream_get_locked(t, (struct labels){s->labels, s->n_labels}, max_active, &s->plain, e))
            return false;
        *ret = s->plain;
        return true;
    }
    for (size_t i = 0; i < s->by_level.n; i++)
        if (sv_eq(s->by_level.at[i].text, level)) {
            *ret = s->by_level.at[i].st;
            return true;
        }
    SCOPED(arena_done) struct arena a;
    arena_init(&a, 0);
    struct labels l = with_level(s, level, &a);
    struct stream *st;
    if (!l.at)
        return err_nomem(e);
    if (!stream_get_locked(t, l, max_active, &st, e))
        return false;
    if (s->by_level.n < LEVELS_MAX && vec_push(&s->by_level)) {
        s->by_level.at[s->by_level.n - 1].text = labels_get(st->labels, SV("level"));
        s->by_level.at[s->by_level.n - 1].st = st;
    }
    *ret = st;
    return true;
}

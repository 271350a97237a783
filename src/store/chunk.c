/* chunk.c - see chunk.h. */
#include "store/chunk.h"
#include "store/hash.h"
#include <sys/mman.h>

/* Chunks come and go by the hundred, and what a head took is to go back to the system after its flush: in the heap, a few other
 * allocations in between would keep most of it. Pages are asked for all at once, which is cheaper than touching them one by one.
 * Checkers of memory see more in the heap. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MAP_FROM SIZE_MAX
#else
#define MAP_FROM ((size_t)128 << 10)
#endif

static struct chunk *block_new(size_t n, bool *ret_mapped)
{
    *ret_mapped = n >= MAP_FROM;
    if (!*ret_mapped)
        return malloc(n);
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

struct chunk *chunk_ref(struct chunk *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void chunk_unref(struct chunk *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (c->aside)
        c->aside->free(c->aside);
    if (!c->whole) {
        free(c->ts);
        free(c->stream);
        free(c->line_end);
        free(c->meta_end);
        free(c->lines);
        free(c->meta);
        free(c->pairs);
        free(c->strings);
        free(c->streams);
    }
    if (c->mapped)
        munmap(c, c->memory);
    else
        free(c);
}

bool chunk_key(const struct chunk *c, sv name, struct key_column *ret)
{
    size_t n = 0, id_bytes = (c->n + (c->n & 1)) * sizeof(uint32_t); /* keeps what follows aligned */
    uint32_t *value_of = calloc(c->n_pairs + 1, sizeof *value_of); /* by pair: 1 + index among the name's values */
    for (uint32_t p = 0; value_of && p < c->n_pairs; p++)
        if (sv_eq(chunk_pair(c, p).name, name))
            value_of[p] = (uint32_t)++n;
    size_t memory = id_bytes + (n + 1) * sizeof(sv);
    char *owned = value_of ? calloc(1, memory) : NULL;
    if (!owned) {
        free(value_of);
        return false;
    }
    uint32_t *id = (uint32_t *)(void *)owned;
    sv *values = (sv *)(void *)(owned + id_bytes);
    for (uint32_t p = 0; n && p < c->n_pairs; p++)
        if (value_of[p])
            values[value_of[p] - 1] = chunk_pair(c, p).value;
    for (uint32_t r = 0, k = 0; n && r < c->n; r++)
        for (; k < c->meta_end[r]; k++)
            if (!id[r])
                id[r] = value_of[c->meta[k]];
    free(value_of);
    *ret = (struct key_column){(uint32_t)n, values, id, owned, memory};
    return true;
}

void key_column_done(struct key_column *k)
{
    free(k->owned);
    *k = (struct key_column){0};
}

uint64_t row_hash_line(sv line)
{
    return hash_bytes(line);
}

uint64_t row_hash_pair(struct label l)
{
    return hash_join(hash_bytes(l.name), hash_bytes(l.value));
}

void chunk_builder_done(struct chunk_builder *b)
{
    free(b->ts);
    free(b->stream);
    free(b->line_end);
    free(b->meta_end);
    vec_done(&b->meta);
    vec_done(&b->pairs);
    vec_done(&b->streams);
    buf_done(&b->lines);
    buf_done(&b->strings);
    free(b->slots);
    free(b->stream_slots);
    *b = (struct chunk_builder){0};
}

static bool pair_is(const struct chunk_builder *b, const struct pair *p, struct label l)
{
    return sv_eq(sv_make(b->strings.p + p->name_at, p->name_n), l.name) &&
           sv_eq(sv_make(b->strings.p + p->value_at, p->value_n), l.value);
}

/* Open addressing with numbers: a slot holds 1 + the index of an item, whose hash `hash_of` tells. */
static bool slots_grow(uint32_t **slots, size_t *n_slots, size_t n_used, size_t n_items, uint64_t (*hash_of)(const void *, size_t),
                       const void *items)
{
    if ((n_used + 1) * 2 <= *n_slots)
        return true;
    size_t n = *n_slots ? *n_slots * 2 : 64;
    uint32_t *bigger = calloc(n, sizeof *bigger);
    if (!bigger)
        return false;
    for (size_t k = 0; k < n_items; k++) {
        uint64_t h = hash_of(items, k);
        if (!h) /* a pair that nobody will look for */
            continue;
        size_t i = h & (n - 1);
        while (bigger[i])
            i = (i + 1) & (n - 1);
        bigger[i] = (uint32_t)k + 1;
    }
    free(*slots);
    *slots = bigger;
    *n_slots = n;
    return true;
}

static uint64_t pair_hash_at(const void *pairs, size_t i)
{
    return ((const struct pair *)pairs)[i].hash;
}

static uint64_t stream_hash(const struct stream *st)
{
    return hash_pointer(st) | 1; /* 0 would be nobody's */
}

static uint64_t stream_hash_at(const void *streams, size_t i)
{
    return stream_hash(((const struct chunk_stream *)streams)[i].st);
}

static bool string_put(struct chunk_builder *b, sv s, uint32_t *ret_at)
{
    if (b->strings.n + s.n > UINT32_MAX)
        return false;
    *ret_at = (uint32_t)b->strings.n;
    buf_sv(&b->strings, s);
    bool ok = !b->strings.failed;
    b->strings.failed = ERR_NONE;
    return ok;
}

/* Names repeat from pair to pair (trace_id, trace_id, ...): their bytes are kept once where that is cheap to see. */
static struct name_kept *name_place(struct chunk_builder *b, sv name)
{
    size_t at = name.n ? name.n * 31 + (unsigned char)name.p[0] * 7u + (unsigned char)name.p[name.n - 1] : 0;
    return &b->names[at % ARRAY_LEN(b->names)];
}

static bool name_put(struct chunk_builder *b, sv name, uint32_t *ret_at)
{
    struct name_kept *kept = name_place(b, name);
    if (kept->n == name.n && sv_eq(sv_make(b->strings.p + kept->at, name.n), name)) {
        *ret_at = kept->at;
        return true;
    }
    if (!string_put(b, name, ret_at))
        return false;
    *kept = (struct name_kept){*ret_at, (uint32_t)name.n};
    return true;
}

static bool pair_put(struct chunk_builder *b, struct label l, uint64_t hash)
{
    struct pair p = {.name_n = (uint32_t)l.name.n, .value_n = (uint32_t)l.value.n, .hash = hash};
    if (b->pairs.n >= UINT32_MAX - 1 || !name_put(b, l.name, &p.name_at) || !string_put(b, l.value, &p.value_at) ||
        !vec_push(&b->pairs))
        return false;
    b->pairs.at[b->pairs.n - 1] = p;
    return true;
}

bool chunk_builder_new_pair(struct chunk_builder *b, struct label l, uint32_t *ret)
{
    if (!pair_put(b, l, 0))
        return false;
    *ret = (uint32_t)b->pairs.n - 1;
    return true;
}

bool chunk_builder_pair(struct chunk_builder *b, struct label l, uint64_t hash, uint32_t *ret)
{
    hash += !hash; /* 0 is a pair's that is not looked for */
    if (!slots_grow(&b->slots, &b->n_slots, b->n_slotted, b->pairs.n, pair_hash_at, b->pairs.at))
        return false;
    size_t i = hash & (b->n_slots - 1);
    for (; b->slots[i]; i = (i + 1) & (b->n_slots - 1)) {
        struct pair *p = &b->pairs.at[b->slots[i] - 1];
        if (p->hash == hash && pair_is(b, p, l)) {
            *ret = b->slots[i] - 1;
            return true;
        }
    }
    if (!pair_put(b, l, hash))
        return false;
    *ret = (uint32_t)b->pairs.n - 1;
    b->slots[i] = (uint32_t)b->pairs.n;
    b->n_slotted++;
    return true;
}

static bool stream_slot(struct chunk_builder *b, struct stream *st, uint32_t *ret)
{
    if (b->last_stream < b->streams.n && b->streams.at[b->last_stream].st == st) {
        *ret = b->last_stream;
        return true;
    }
    if (!slots_grow(&b->stream_slots, &b->n_stream_slots, b->streams.n, b->streams.n, stream_hash_at, b->streams.at))
        return false;
    size_t i = stream_hash(st) & (b->n_stream_slots - 1);
    for (; b->stream_slots[i]; i = (i + 1) & (b->n_stream_slots - 1)) {
        uint32_t slot = b->stream_slots[i] - 1;
        if (b->streams.at[slot].st == st) {
            *ret = b->last_stream = slot;
            return true;
        }
    }
    struct chunk_stream *room = vec_push(&b->streams);
    if (!room)
        return false;
    *room = (struct chunk_stream){.st = st, .min_ts = INT64_MAX, .max_ts = INT64_MIN};
    b->stream_slots[i] = (uint32_t)b->streams.n;
    *ret = b->last_stream = (uint32_t)b->streams.n - 1;
    return true;
}

static bool column_grow(void *column, size_t cap, size_t size)
{
    void **at = column, *more = realloc(*at, cap * size);
    if (more)
        *at = more;
    return more;
}

static bool rows_grow(struct chunk_builder *b)
{
    size_t cap = b->cap ? b->cap * 2 : 256;
    if (!column_grow(&b->ts, cap, sizeof *b->ts) || !column_grow(&b->stream, cap, sizeof *b->stream) ||
        !column_grow(&b->line_end, cap, sizeof *b->line_end) || !column_grow(&b->meta_end, cap, sizeof *b->meta_end))
        return false;
    b->cap = cap;
    return true;
}

uint32_t *chunk_builder_ids(struct chunk_builder *b, size_t n_ids)
{
    /* one more than asked for: none is no reason to have no place */
    return b->meta.n + n_ids <= UINT32_MAX && vec_reserve(&b->meta, b->meta.n + n_ids + 1) ? b->meta.at + b->meta.n : NULL;
}

bool chunk_builder_row(struct chunk_builder *b, int64_t ts, struct stream *st, sv line, size_t n_ids)
{
    uint32_t slot;
    if ((b->n == b->cap && !rows_grow(b)) || b->lines.n + line.n > UINT32_MAX || !stream_slot(b, st, &slot))
        return false;
    buf_sv(&b->lines, line);
    if (b->lines.failed) {
        b->lines.failed = ERR_NONE;
        return false;
    }
    size_t r = b->n++;
    b->meta.n += n_ids;
    b->ts[r] = ts;
    b->stream[r] = slot;
    b->line_end[r] = (uint32_t)b->lines.n;
    b->meta_end[r] = (uint32_t)b->meta.n;
    struct chunk_stream *cs = &b->streams.at[slot];
    cs->rows++;
    cs->bytes += line.n;
    cs->min_ts = MIN(cs->min_ts, ts);
    cs->max_ts = MAX(cs->max_ts, ts);
    return true;
}

bool chunk_builder_add(struct chunk_builder *b, int64_t ts, struct stream *st, sv line, const uint32_t *ids, size_t n_ids)
{
    uint32_t *to = chunk_builder_ids(b, n_ids);
    if (!to)
        return false;
    if (n_ids)
        memcpy(to, ids, n_ids * sizeof *to);
    return chunk_builder_row(b, ts, st, line, n_ids);
}

/* A table that one large chunk made large is not cleared whole for each small one. */
static void slots_clear(uint32_t *slots, size_t n_slots, size_t n_items, uint64_t (*hash_of)(const void *, size_t), const void *items)
{
    if (!n_slots)
        return;
    if (n_items > n_slots / 16) {
        memset(slots, 0, n_slots * sizeof *slots);
        return;
    }
    for (size_t k = 0; k < n_items; k++) {
        uint64_t h = hash_of(items, k);
        if (!h)
            continue;
        size_t i = h & (n_slots - 1);
        while (slots[i] != k + 1)
            i = (i + 1) & (n_slots - 1);
        slots[i] = 0;
    }
}

/* What an ordinary chunk needs stays; what one giant record asked for does not. */
enum { KEEP_ROWS = 16384, KEEP_BYTES = 4 << 20, KEEP_SLOTS = 16384 };

void chunk_builder_reset(struct chunk_builder *b)
{
    if (b->cap > KEEP_ROWS || b->meta.cap * sizeof *b->meta.at > KEEP_BYTES || b->pairs.cap * sizeof *b->pairs.at > KEEP_BYTES ||
        b->streams.cap > KEEP_ROWS || b->lines.cap > KEEP_BYTES || b->strings.cap > KEEP_BYTES || b->n_slots > KEEP_SLOTS ||
        b->n_stream_slots > KEEP_SLOTS) {
        chunk_builder_done(b);
        return;
    }
    slots_clear(b->slots, b->n_slots, b->pairs.n, pair_hash_at, b->pairs.at);
    slots_clear(b->stream_slots, b->n_stream_slots, b->streams.n, stream_hash_at, b->streams.at);
    if (b->pairs.n)
        memset(b->names, 0, sizeof b->names);
    b->n = b->meta.n = b->pairs.n = b->streams.n = b->n_slotted = 0;
    buf_reset(&b->lines);
    buf_reset(&b->strings);
    b->last_stream = 0;
}

/* Puts a column behind the ones before it. */
static void *column_put(char **at, const void *from, size_t bytes)
{
    void *to = *at;
    if (bytes)
        memcpy(to, from, bytes);
    *at += bytes;
    return to;
}

struct chunk *chunk_builder_take(struct chunk_builder *b)
{
    size_t rows = b->n, ids = b->meta.n;
    /* by alignment: eight bytes, four, one */
    size_t total = sizeof(struct chunk) + rows * (sizeof *b->ts + 3 * sizeof(uint32_t)) + ids * sizeof *b->meta.at +
                   b->pairs.n * sizeof *b->pairs.at + b->streams.n * sizeof *b->streams.at + b->lines.n + b->strings.n;
    bool mapped;
    struct chunk *c = block_new(total, &mapped);
    if (!c)
        return NULL;
    *c = (struct chunk){.n = (uint32_t)rows, .n_streams = (uint32_t)b->streams.n, .n_pairs = (uint32_t)b->pairs.n,
                        .min_ts = INT64_MAX, .max_ts = INT64_MIN, .line_bytes = b->lines.n, .memory = total, .whole = true, .mapped = mapped};
    atomic_init(&c->refs, 1);
    for (uint32_t i = 0; i < c->n_streams; i++) {
        c->min_ts = MIN(c->min_ts, b->streams.at[i].min_ts);
        c->max_ts = MAX(c->max_ts, b->streams.at[i].max_ts);
    }
    char *at = (char *)(c + 1);
    c->ts = column_put(&at, b->ts, rows * sizeof *b->ts);
    c->pairs = column_put(&at, b->pairs.at, b->pairs.n * sizeof *b->pairs.at);
    c->streams = column_put(&at, b->streams.at, b->streams.n * sizeof *b->streams.at);
    c->stream = column_put(&at, b->stream, rows * sizeof *b->stream);
    c->line_end = column_put(&at, b->line_end, rows * sizeof *b->line_end);
    c->meta_end = column_put(&at, b->meta_end, rows * sizeof *b->meta_end);
    c->meta = column_put(&at, b->meta.at, ids * sizeof *b->meta.at);
    c->lines = column_put(&at, b->lines.p, b->lines.n);
    c->strings = column_put(&at, b->strings.p, b->strings.n);
    chunk_builder_reset(b);
    return c;
}

/* ---- joining ---- */

static size_t strings_bytes(const struct chunk *c)
{
    return c->memory - (size_t)(c->strings - (const char *)c); /* of a whole chunk they are the last */
}

/* The pairs of the first chunk keep their ids; those that are looked for get their places. */
static bool pairs_begin(struct chunk_builder *b, const struct chunk *c, uint32_t *ids)
{
    if (!vec_reserve(&b->pairs, c->n_pairs))
        return false;
    buf_put(&b->strings, c->strings, strings_bytes(c));
    if (b->strings.failed)
        return false;
    for (uint32_t i = 0; i < c->n_pairs; i++) {
        const struct pair *p = &c->pairs[i];
        ids[i] = i;
        if (p->hash) {
            if (!slots_grow(&b->slots, &b->n_slots, b->n_slotted, b->pairs.n, pair_hash_at, b->pairs.at))
                return false;
            size_t at = p->hash & (b->n_slots - 1);
            while (b->slots[at])
                at = (at + 1) & (b->n_slots - 1);
            b->slots[at] = i + 1;
            b->n_slotted++;
        }
        if (i + ARRAY_LEN(b->names) >= c->n_pairs)
            *name_place(b, sv_make(c->strings + p->name_at, p->name_n)) = (struct name_kept){p->name_at, p->name_n};
        b->pairs.at[b->pairs.n++] = *p;
    }
    return true;
}

static bool pairs_append(struct chunk_builder *b, const struct chunk *c, uint32_t *ids)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < c->n_pairs; i++) {
        uint64_t hash = c->pairs[i].hash;
        ok = hash ? chunk_builder_pair(b, chunk_pair(c, i), hash, &ids[i]) : chunk_builder_new_pair(b, chunk_pair(c, i), &ids[i]);
    }
    return ok;
}

static bool streams_append(struct chunk_builder *b, const struct chunk *c, uint32_t *slots)
{
    for (uint32_t i = 0; i < c->n_streams; i++) {
        const struct chunk_stream *from = &c->streams[i];
        if (!stream_slot(b, from->st, &slots[i]))
            return false;
        struct chunk_stream *to = &b->streams.at[slots[i]];
        to->rows += from->rows;
        to->bytes += from->bytes;
        to->min_ts = MIN(to->min_ts, from->min_ts);
        to->max_ts = MAX(to->max_ts, from->max_ts);
    }
    return true;
}

/* Columns are copied whole, moved by what is there already. */
static bool rows_append(struct chunk_builder *b, const struct chunk *c, const uint32_t *ids, const uint32_t *slots)
{
    size_t n_ids = c->n ? c->meta_end[c->n - 1] : 0, lines = b->lines.n;
    uint32_t *meta = chunk_builder_ids(b, n_ids);
    while (b->cap < b->n + c->n)
        if (!rows_grow(b))
            return false;
    if (!meta || lines + c->line_bytes > UINT32_MAX)
        return false;
    buf_put(&b->lines, c->lines, c->line_bytes);
    if (b->lines.failed)
        return false;
    for (size_t i = 0; i < n_ids; i++)
        meta[i] = ids[c->meta[i]];
    for (uint32_t r = 0; r < c->n; r++) {
        b->ts[b->n + r] = c->ts[r];
        b->stream[b->n + r] = slots[c->stream[r]];
        b->line_end[b->n + r] = (uint32_t)lines + c->line_end[r];
        b->meta_end[b->n + r] = (uint32_t)b->meta.n + c->meta_end[r];
    }
    b->meta.n += n_ids;
    b->n += c->n;
    return true;
}

struct chunk *chunk_join(struct chunk_builder *b, const struct chunk *x, const struct chunk *y)
{
    ASSERT(x->whole && y->whole);
    size_t n_pairs = MAX(x->n_pairs, y->n_pairs), n_streams = MAX(x->n_streams, y->n_streams);
    uint32_t *ids = malloc((n_pairs + n_streams + 1) * sizeof *ids), *slots = ids + n_pairs;
    bool ok = ids && pairs_begin(b, x, ids) && streams_append(b, x, slots) && rows_append(b, x, ids, slots) &&
              pairs_append(b, y, ids) && streams_append(b, y, slots) && rows_append(b, y, ids, slots);
    free(ids);
    struct chunk *c = ok ? chunk_builder_take(b) : NULL;
    if (!c)
        chunk_builder_reset(b);
    return c;
}

/* encode_streams.c - the streams of a log query. Loki's default form has no place for an entry's own labels: entries that
 * differ in any of them (metadata, parsed) stand in stream objects of their own, under the merged labels. With
 * categorize-labels an entry keeps its labels and says where they come from. */
#include "api/encode_int.h"
#include "base/json_out.h"
#include <stdlib.h>

struct group { /* one stream object of the answer */
    struct labels labels;
    uint64_t hash;
    const struct logql_entry **entries;
    size_t n, cap;
    bool mixed; /* of several stored streams: to be put in order */
    const struct logql_stream *from;
};
struct groups {
    struct group *at;
    size_t n, cap;
    uint32_t *index; /* hash table of group numbers + 1; 0: free */
    size_t slots;
    struct arena *a;
};

/* The union of sorted label sets; of equal names parsed wins over metadata, metadata over the stream's. */
static bool merge_labels(struct arena *a, const struct logql_stream *s, const struct logql_entry *en, struct labels *ret)
{
    if (!en->metadata.n && !en->parsed.n) {
        *ret = s->labels;
        return true;
    }
    const struct labels sets[3] = {en->parsed, en->metadata, s->labels};
    size_t at[3] = {0}, n = 0;
    struct label *out = arena_alloc(a, (sets[0].n + sets[1].n + sets[2].n) * sizeof *out);
    if (!out)
        return false;
    for (;;) {
        const struct label *least = NULL;
        for (int k = 0; k < 3; k++)
            if (at[k] < sets[k].n && (!least || sv_cmp(sets[k].at[at[k]].name, least->name) < 0))
                least = &sets[k].at[at[k]];
        if (!least)
            break;
        out[n++] = *least;
        for (int k = 0; k < 3; k++)
            at[k] += at[k] < sets[k].n && sv_eq(sets[k].at[at[k]].name, out[n - 1].name);
    }
    *ret = (struct labels){out, n};
    return true;
}

static bool grow_index(struct groups *g)
{
    size_t slots = MAX(g->slots * 2, (size_t)64);
    uint32_t *index = arena_array(g->a, slots, sizeof *index);
    if (!index)
        return false;
    for (size_t i = 0; i < g->n; i++) {
        size_t at = g->at[i].hash & (slots - 1);
        while (index[at])
            at = (at + 1) & (slots - 1);
        index[at] = (uint32_t)i + 1;
    }
    g->index = index;
    g->slots = slots;
    return true;
}

/* The group of these labels, made when new. NULL: no memory. */
static struct group *group_of(struct groups *g, struct labels l, const struct logql_stream *from)
{
    if (g->n * 2 >= g->slots && !grow_index(g))
        return NULL;
    uint64_t hash = labels_hash(l);
    size_t at = hash & (g->slots - 1);
    for (; g->index[at]; at = (at + 1) & (g->slots - 1)) {
        struct group *gr = &g->at[g->index[at] - 1];
        if (gr->hash == hash && labels_eq(gr->labels, l)) {
            gr->mixed |= gr->from != from;
            return gr;
        }
    }
    struct group *grown = arena_grow(g->a, g->at, g->n, &g->cap, sizeof *grown);
    if (!grown)
        return NULL;
    g->at = grown;
    g->at[g->n] = (struct group){.labels = l, .hash = hash, .from = from};
    g->index[at] = (uint32_t)++g->n;
    return &g->at[g->n - 1];
}

static bool add_entry(struct groups *g, const struct logql_stream *s, const struct logql_entry *en, bool categorize)
{
    struct labels l = s->labels;
    if (!categorize && !merge_labels(g->a, s, en, &l))
        return false;
    struct group *gr = group_of(g, l, s);
    const struct logql_entry **grown = gr ? arena_grow(g->a, gr->entries, gr->n, &gr->cap, sizeof *grown) : NULL;
    if (!grown)
        return false;
    gr->entries = grown;
    gr->entries[gr->n++] = en;
    return true;
}

static int by_labels(const void *a, const void *b)
{
    return labels_cmp(((const struct group *)a)->labels, ((const struct group *)b)->labels);
}

/* Entries of one stored stream are neighbours in memory, in order: the address settles ties. */
static int by_time_up(const void *a, const void *b)
{
    const struct logql_entry *x = *(const struct logql_entry *const *)a, *y = *(const struct logql_entry *const *)b;
    if (x->ts != y->ts)
        return x->ts < y->ts ? -1 : 1;
    return ((uintptr_t)x > (uintptr_t)y) - ((uintptr_t)x < (uintptr_t)y);
}
static int by_time_down(const void *a, const void *b)
{
    const struct logql_entry *x = *(const struct logql_entry *const *)a, *y = *(const struct logql_entry *const *)b;
    if (x->ts != y->ts)
        return x->ts > y->ts ? -1 : 1;
    return ((uintptr_t)x > (uintptr_t)y) - ((uintptr_t)x < (uintptr_t)y);
}

static void put_value(struct buf *out, const struct logql_entry *en, bool categorize)
{
    buf_sv(out, SV("[\""));
    buf_i64(out, en->ts);
    buf_sv(out, SV("\","));
    json_put_string(out, en->line);
    if (categorize) {
        buf_sv(out, SV(",{"));
        if (en->metadata.n) {
            buf_sv(out, SV("\"structuredMetadata\":"));
            encode_labels(out, en->metadata);
        }
        if (en->parsed.n) {
            buf_sv(out, en->metadata.n ? SV(",\"parsed\":") : SV("\"parsed\":"));
            encode_labels(out, en->parsed);
        }
        buf_char(out, '}');
    }
    buf_char(out, ']');
}

static void put_group(struct buf *out, const struct group *g, bool categorize)
{
    buf_sv(out, SV("{\"stream\":"));
    encode_labels(out, g->labels);
    buf_sv(out, SV(",\"values\":["));
    for (size_t i = 0; i < g->n && !out->failed; i++) {
        if (i)
            buf_char(out, ',');
        put_value(out, g->entries[i], categorize);
    }
    buf_sv(out, SV("]}"));
}

bool encode_streams(const struct logql_result *r, const struct encode_opts *o, struct arena *a, struct buf *out,
                    struct err *e)
{
    struct groups g = {.a = a};
    for (size_t i = 0; i < r->n_streams; i++)
        for (size_t k = 0; k < r->streams[i].n; k++)
            if (!add_entry(&g, &r->streams[i], &r->streams[i].entries[k], o->categorize))
                return arena_err(a, e, "max_query_memory");
    if (g.n)
        qsort(g.at, g.n, sizeof *g.at, by_labels);
    buf_char(out, '[');
    for (size_t i = 0; i < g.n; i++) {
        struct group *gr = &g.at[i];
        if (gr->mixed)
            qsort(gr->entries, gr->n, sizeof *gr->entries, o->backward ? by_time_down : by_time_up);
        if (i)
            buf_char(out, ',');
        put_group(out, gr, o->categorize);
    }
    buf_char(out, ']');
    return buf_ok(out, e);
}

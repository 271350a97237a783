/* view.c - what a reader starts from: one moment of parts and head, and the streams its selector picks. */
#include "base/clock.h"
#include "store/store_int.h"

bool store_view_take(struct store *st, struct store_view *ret, struct err *e)
{
    struct store_view v = {0};
    LOCK_SCOPED(&st->head.mu);
    const struct chunk_list *lists[] = {&st->head.sealed, &st->head.active};
    size_t n_chunks = lists[0]->chunks.n + lists[1]->chunks.n;
    v.parts = calloc(st->parts.parts.n + 1, sizeof *v.parts);
    v.chunks = calloc(n_chunks + 1, sizeof *v.chunks);
    if (!v.parts || !v.chunks) {
        store_view_done(&v);
        return err_nomem(e);
    }
    v.deletes = deletes_ref(st->deletes.in_force);
    for (; v.n_parts < st->parts.parts.n; v.n_parts++)
        v.parts[v.n_parts] = part_ref(st->parts.parts.at[v.n_parts]);
    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        for (size_t i = 0; i < lists[l]->chunks.n; i++)
            v.chunks[v.n_chunks++] = chunk_ref(lists[l]->chunks.at[i]);
    *ret = v;
    return true;
}

void store_view_done(struct store_view *v)
{
    for (size_t i = 0; i < v->n_parts; i++)
        part_unref(v->parts[i]);
    for (size_t i = 0; i < v->n_chunks; i++)
        chunk_unref(v->chunks[i]);
    deletes_unref(v->deletes);
    free(v->parts);
    free(v->chunks);
    *v = (struct store_view){0};
}

struct choosing {
    struct stream_choice c;
    VEC(struct chosen {
        struct stream *st;
        struct labels labels;
    }) v;
    bool several;
};

static int by_labels(const void *a, const void *b)
{
    const struct chosen *x = a, *y = b;
    return labels_cmp(x->labels, y->labels);
}

/* The labels with __tenant_id__; a stream's own of that name is kept under another. */
static struct labels with_tenant(const struct stream *st, struct arena *a)
{
    struct label *at = arena_array(a, st->labels.n + 1, sizeof *at);
    if (!at)
        return (struct labels){0};
    for (size_t i = 0; i < st->labels.n; i++) {
        at[i] = st->labels.at[i];
        if (sv_eq(at[i].name, SV("__tenant_id__")))
            at[i].name = SV("original___tenant_id__");
    }
    at[st->labels.n] = (struct label){SV("__tenant_id__"), tenant_name(st->tenant)};
    labels_sort(at, st->labels.n + 1);
    return (struct labels){at, st->labels.n + 1};
}

static bool choose_of(struct choosing *ch, struct tenant *t, const struct matcher *m, size_t n_matchers, struct err *e)
{
    struct tenant_ranks *r = &ch->c.of[ch->c.n_of];
    uint32_t n = tenant_streams(t);
    SCOPED(mem_free) struct stream **all = malloc(((size_t)n + 1) * sizeof *all);
    uint32_t *rank = malloc(((size_t)n + 1) * sizeof *rank);
    *r = (struct tenant_ranks){t, rank, n};
    ch->c.n_of++;
    if (!all || !rank || !vec_reserve(&ch->v, ch->v.n + n))
        return err_nomem(e);
    if (n)
        tenant_list(t, all, n);
    for (uint32_t i = 0; i < n; i++) {
        struct labels l = ch->several ? with_tenant(all[i], &ch->c.a) : all[i]->labels;
        if (!l.at && ch->several)
            return arena_err(&ch->c.a, e, "labels of tenants");
        r->rank[i] = NO_RANK;
        if (matchers_accept(m, n_matchers, l))
            ch->v.at[ch->v.n++] = (struct chosen){all[i], l};
    }
    return true;
}

static uint32_t *place_of(struct stream_choice *c, const struct stream *st)
{
    size_t i = 0;
    while (c->of[i].tenant != st->tenant)
        i++;
    return &c->of[i].rank[st->index];
}

static bool settle_order(struct choosing *ch, struct err *e)
{
    struct stream_choice *c = &ch->c;
    c->streams = malloc((ch->v.n + 1) * sizeof *c->streams);
    c->labels = malloc((ch->v.n + 1) * sizeof *c->labels);
    if (!c->streams || !c->labels)
        return err_nomem(e);
    if (ch->v.n)
        qsort(ch->v.at, ch->v.n, sizeof *ch->v.at, by_labels);
    for (; c->n < ch->v.n; c->n++) {
        c->streams[c->n] = ch->v.at[c->n].st;
        c->labels[c->n] = ch->v.at[c->n].labels;
        *place_of(c, c->streams[c->n]) = (uint32_t)c->n;
    }
    return true;
}

static bool find_shown(struct stream_choice *c, const struct store *st, struct err *e)
{
    if (!retention_shortest(st))
        return true;
    int64_t now = clock_wall_ns();
    c->shown_from = malloc((c->n + 1) * sizeof *c->shown_from);
    for (size_t i = 0; c->shown_from && i < c->n; i++)
        c->shown_from[i] = retention_shown_from(st, c->streams[i], now);
    return c->shown_from || err_nomem(e);
}

static bool choose(struct choosing *ch, struct store *st, sv tenants, const struct matcher *m, size_t n_matchers, struct err *e)
{
    size_t n = 1;
    for (size_t i = 0; i < tenants.n; i++)
        n += tenants.p[i] == '|';
    ch->several = n > 1;
    ch->c.of = calloc(n, sizeof *ch->c.of);
    if (!ch->c.of)
        return err_nomem(e);
    for (bool more = true; more;) {
        more = sv_find_char(tenants, '|') != SV_NPOS;
        struct tenant *t = registry_find(st->reg, more ? sv_cut(&tenants, '|') : tenants);
        bool twice = false;
        for (size_t i = 0; i < ch->c.n_of; i++)
            twice |= ch->c.of[i].tenant == t;
        if (t && !twice && !choose_of(ch, t, m, n_matchers, e))
            return false;
    }
    return settle_order(ch, e) && find_shown(&ch->c, st, e);
}

bool stream_choice_make(struct store *st, sv tenant, const struct matcher *m, size_t n_matchers,
                        struct stream_choice *ret, struct err *e)
{
    struct choosing ch = {0};
    arena_init(&ch.c.a, 0);
    bool ok = choose(&ch, st, tenant, m, n_matchers, e);
    vec_done(&ch.v);
    if (ok)
        *ret = ch.c;
    else
        stream_choice_done(&ch.c);
    return ok;
}

void stream_choice_done(struct stream_choice *c)
{
    for (size_t i = 0; i < c->n_of; i++)
        free(c->of[i].rank);
    free(c->of);
    free(c->streams);
    free(c->labels);
    free(c->shown_from);
    arena_done(&c->a);
    *c = (struct stream_choice){0};
}

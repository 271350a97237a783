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

static int by_labels(const void *a, const void *b)
{
    const struct stream *const *x = a, *const *y = b;
    return labels_cmp((*x)->labels, (*y)->labels);
}

bool stream_choice_make(struct store *st, sv tenant, const struct matcher *m, size_t n_matchers,
                        struct stream_choice *ret, struct err *e)
{
    struct stream_choice c = {.tenant = registry_find(st->reg, tenant)};
    uint32_t n = c.tenant ? tenant_streams(c.tenant) : 0;
    c.streams = calloc(n + 1, sizeof *c.streams);
    c.rank = malloc((n + 1) * sizeof *c.rank);
    if (!c.streams || !c.rank) {
        stream_choice_done(&c);
        return err_nomem(e);
    }
    if (n)
        tenant_list(c.tenant, c.streams, n);
    for (uint32_t i = 0; i < n; i++) {
        c.rank[i] = NO_RANK;
        if (matchers_accept(m, n_matchers, c.streams[i]->labels))
            c.streams[c.n++] = c.streams[i];
    }
    qsort(c.streams, c.n, sizeof *c.streams, by_labels);
    for (size_t i = 0; i < c.n; i++)
        c.rank[c.streams[i]->index] = (uint32_t)i;
    c.n_rank = n;
    if (retention_shortest(st) && !(c.shown_from = calloc(c.n + 1, sizeof *c.shown_from))) {
        stream_choice_done(&c);
        return err_nomem(e);
    }
    int64_t now = clock_wall_ns();
    for (size_t i = 0; c.shown_from && i < c.n; i++)
        c.shown_from[i] = retention_shown_from(st, c.streams[i], now);
    *ret = c;
    return true;
}

void stream_choice_done(struct stream_choice *c)
{
    free(c->streams);
    free(c->rank);
    free(c->shown_from);
    *c = (struct stream_choice){0};
}

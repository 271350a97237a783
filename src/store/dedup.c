/* dedup.c - see dedup.h. */
#include "store/dedup.h"
#include "store/hash.h"

enum { LINEAR_MAX = 16 }; /* hashing a row costs more than comparing it with a few, of which most differ in length */

/* The table is filled anew when a crowd passes LINEAR_MAX, so nothing need be cleared here. */
void dedup_reset(struct dedup *d)
{
    d->rows.n = 0;
    free(d->slots);
    d->slots = NULL;
    d->n_slots = 0;
}

void dedup_done(struct dedup *d)
{
    vec_done(&d->rows);
    free(d->slots);
    *d = (struct dedup){0};
}

static uint64_t row_hash(const struct chunk *c, uint32_t row)
{
    uint32_t n;
    const uint32_t *ids = chunk_meta(c, row, &n);
    uint64_t h = row_hash_line(chunk_line(c, row));
    for (uint32_t i = 0; i < n; i++)
        h = hash_join(h, chunk_pair_hash(c, ids[i]));
    return h;
}

static bool rows_equal(const struct dedup_row *a, const struct dedup_row *b)
{
    uint32_t na, nb;
    const uint32_t *x = chunk_meta(a->c, a->row, &na), *y = chunk_meta(b->c, b->row, &nb);
    if (a->hash != b->hash || na != nb || !sv_eq(chunk_line(a->c, a->row), chunk_line(b->c, b->row)))
        return false;
    for (uint32_t i = 0; i < na; i++) {
        if (a->c == b->c && x[i] == y[i])
            continue;
        struct label p = chunk_pair(a->c, x[i]), q = chunk_pair(b->c, y[i]);
        if (!sv_eq(p.name, q.name) || !sv_eq(p.value, q.value))
            return false;
    }
    return true;
}

static bool slots_fill(struct dedup *d)
{
    size_t n = MAX(d->n_slots * 2, (size_t)64);
    uint32_t *slots = calloc(n, sizeof *slots);
    if (!slots)
        return false;
    for (size_t k = d->n_slots ? d->rows.n : 0; k < d->rows.n; k++)
        d->rows.at[k].hash = row_hash(d->rows.at[k].c, d->rows.at[k].row);
    for (size_t k = 0; k < d->rows.n; k++) {
        size_t i = d->rows.at[k].hash & (n - 1);
        while (slots[i])
            i = (i + 1) & (n - 1);
        slots[i] = (uint32_t)k + 1;
    }
    free(d->slots);
    d->slots = slots;
    d->n_slots = n;
    return true;
}

static bool push(struct dedup *d, struct dedup_row r)
{
    struct dedup_row *room = vec_push(&d->rows);
    if (room)
        *room = r;
    return room;
}

bool dedup_row(struct dedup *d, int64_t ts, const struct chunk *c, uint32_t row, bool *ret_twice)
{
    if (d->rows.n && d->ts != ts)
        dedup_reset(d);
    d->ts = ts;
    struct dedup_row r = {c, row, 0};
    *ret_twice = false;
    if (d->rows.n < LINEAR_MAX) {
        for (size_t i = 0; i < d->rows.n; i++)
            if (rows_equal(&d->rows.at[i], &r)) {
                *ret_twice = true;
                return true;
            }
        return push(d, r);
    }
    if ((d->rows.n + 1) * 2 > d->n_slots && !slots_fill(d))
        return false;
    r.hash = row_hash(c, row);
    size_t i = r.hash & (d->n_slots - 1);
    for (; d->slots[i]; i = (i + 1) & (d->n_slots - 1))
        if (rows_equal(&d->rows.at[d->slots[i] - 1], &r)) {
            *ret_twice = true;
            return true;
        }
    if (!push(d, r))
        return false;
    d->slots[i] = (uint32_t)d->rows.n;
    return true;
}

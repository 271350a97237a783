/* run_tally.c - see run_tally.h. */
#include "logql/run_tally.h"
#include <stdlib.h>

enum { TIDY_MIN = 64 };

bool tally_series(struct tally *t, uint32_t set, size_t *ret)
{
    while (t->n_series_of <= set) {
        uint32_t *grown = arena_grow(t->a, t->series_of, t->n_series_of, &t->cap_series_of, sizeof *grown);
        if (!grown)
            return false;
        t->series_of = grown;
        t->series_of[t->n_series_of++] = 0;
    }
    if (!t->series_of[set]) {
        struct series *grown = arena_grow(t->a, t->series, t->n, &t->cap, sizeof *grown);
        if (!grown)
            return false;
        t->series = grown;
        t->series[t->n++] = (struct series){.set = set};
        t->series_of[set] = (uint32_t)t->n;
    }
    *ret = t->series_of[set] - 1;
    return true;
}

static int by_step(const void *a, const void *b)
{
    const struct delta *x = a, *y = b;
    return (x->k > y->k) - (x->k < y->k);
}

/* Sorted, and one for each step. */
static void tidy(struct deltas *d)
{
    size_t kept = 0;
    bool sorted = true;
    for (size_t i = 1; i < d->n && sorted; i++)
        sorted = d->at[i - 1].k < d->at[i].k;
    if (!sorted) {
        qsort(d->at, d->n, sizeof *d->at, by_step);
        for (size_t i = 0; i < d->n; i++) {
            if (kept && d->at[kept - 1].k == d->at[i].k) {
                d->at[kept - 1].rows += d->at[i].rows;
                d->at[kept - 1].bytes += d->at[i].bytes;
            } else {
                d->at[kept++] = d->at[i];
            }
        }
        d->n = kept;
    }
    d->tidy_at = MAX(2 * d->n, (size_t)TIDY_MIN);
}

static bool add_delta(struct tally *t, struct deltas *d, size_t k, int64_t rows, int64_t bytes)
{
    if (d->n && d->at[d->n - 1].k == k) {
        d->at[d->n - 1].rows += rows;
        d->at[d->n - 1].bytes += bytes;
        return true;
    }
    if (d->n >= MAX(d->tidy_at, (size_t)TIDY_MIN))
        tidy(d);
    struct delta *grown = arena_grow(t->a, d->at, d->n, &d->cap, sizeof *grown);
    if (!grown)
        return false;
    d->at = grown;
    d->at[d->n++] = (struct delta){k, rows, bytes};
    return true;
}

bool tally_rows(struct tally *t, size_t series, size_t first, size_t last, size_t n_steps, int64_t rows, int64_t bytes)
{
    struct series *s = &t->series[series];
    return add_delta(t, &s->add, first, rows, bytes) && (last + 1 >= n_steps || add_delta(t, &s->sub, last + 1, rows, bytes));
}

bool tally_sample(struct tally *t, size_t series, const struct sample *one)
{
    struct series *s = &t->series[series];
    struct sample *grown = arena_grow(t->a, s->samples, s->n, &s->cap, sizeof *grown);
    if (!grown)
        return false;
    s->samples = grown;
    s->samples[s->n++] = *one;
    return true;
}

static bool join_deltas(struct tally *t, struct deltas *to, const struct deltas *from)
{
    for (size_t i = 0; i < from->n; i++)
        if (!add_delta(t, to, from->at[i].k, from->at[i].rows, from->at[i].bytes))
            return false;
    return true;
}

bool tally_join(struct tally *t, const struct tally *other)
{
    for (size_t i = 0; i < other->n; i++) {
        const struct series *from = &other->series[i];
        uint32_t set;
        size_t at;
        if (!label_sets_put(t->sets, other->sets->at[from->set], &set) || !tally_series(t, set, &at) ||
            !join_deltas(t, &t->series[at].add, &from->add) || !join_deltas(t, &t->series[at].sub, &from->sub))
            return false;
        for (size_t k = 0; k < from->n; k++)
            if (!tally_sample(t, at, &from->samples[k]))
                return false;
    }
    return true;
}

static inline int by_time(const struct sample *x, const struct sample *y)
{
    if (x->ts != y->ts)
        return x->ts < y->ts ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return (x->sign < y->sign) - (x->sign > y->sign); /* what is taken back comes second */
}

static size_t run_end(const struct sample *at, size_t from, size_t n)
{
    size_t i = from + 1;
    while (i < n && by_time(&at[i - 1], &at[i]) <= 0)
        i++;
    return MIN(i, n);
}

static void merge(const struct sample *a, size_t na, const struct sample *b, size_t nb, struct sample *to)
{
    size_t i = 0, k = 0;
    while (i < na && k < nb)
        *to++ = by_time(&b[k], &a[i]) < 0 ? b[k++] : a[i++];
    if (i < na)
        memcpy(to, a + i, (na - i) * sizeof *to);
    if (k < nb)
        memcpy(to, b + k, (nb - k) * sizeof *to);
}

/* By merging the runs that are there: blocks are in order by themselves. */
static bool sort_runs(struct series *s, struct arena *a)
{
    struct sample *from = s->samples, *to = arena_alloc(a, s->n * sizeof *to);
    for (size_t runs = 2; to && runs > 1;) {
        runs = 0;
        for (size_t i = 0; i < s->n; runs++) {
            size_t mid = run_end(from, i, s->n), end = mid < s->n ? run_end(from, mid, s->n) : s->n;
            merge(from + i, mid - i, from + mid, end - mid, to + i);
            i = end;
        }
        struct sample *t = from;
        from = to;
        to = t;
    }
    s->samples = from;
    return to;
}

static bool sort_samples(struct series *s, struct arena *a)
{
    size_t kept = 0;
    bool sorted = true;
    for (size_t i = 0; i < s->n && sorted; i++)
        sorted = s->samples[i].sign > 0 && (!i || by_time(&s->samples[i - 1], &s->samples[i]) <= 0);
    if (sorted)
        return true;
    if (!sort_runs(s, a))
        return false;
    for (size_t i = 0; i < s->n; i++) {
        if (s->samples[i].sign < 0) {
            ASSERT(kept);
            kept--;
        } else {
            s->samples[kept++] = s->samples[i];
        }
    }
    s->n = kept;
    return true;
}

static int by_labels(const void *a, const void *b, void *sets)
{
    const struct series *x = a, *y = b;
    const struct label_sets *ls = sets;
    return labels_cmp(ls->at[x->set], ls->at[y->set]);
}

bool tally_finish(struct tally *t)
{
    bool ok = true;
    for (size_t i = 0; i < t->n; i++) {
        tidy(&t->series[i].add);
        tidy(&t->series[i].sub);
        ok = ok && sort_samples(&t->series[i], t->a);
    }
    if (t->n)
        qsort_r(t->series, t->n, sizeof *t->series, by_labels, t->sets);
    t->series_of = NULL; /* it would name other places now */
    t->n_series_of = t->cap_series_of = 0;
    return ok;
}

/* delete_rows.c - see deletes.h: which rows requests mean. */
#include "store/delete_int.h"

bool tombstone_means(const struct tombstone *t, const struct stream *st)
{
    return sv_eq(t->tenant, tenant_name(st->tenant)) && matchers_accept(t->matchers, t->n_matchers, st->labels);
}

bool tombstone_concerns_part(const struct tombstone *t, const struct part *p)
{
    if (p->deletes_applied >= t->id || !tombstone_in_range(t, p->min_ts, p->max_ts))
        return false;
    for (uint32_t i = 0; i < p->n_streams; i++)
        if (tombstone_in_range(t, p->streams[i].min_ts, p->streams[i].max_ts) && tombstone_means(t, p->streams[i].st))
            return true;
    return false;
}

bool deletes_concern_part(const struct deletes *d, const struct part *p)
{
    for (size_t i = 0; d && i < d->n; i++)
        if (tombstone_concerns_part(d->at[i], p))
            return true;
    return false;
}

static bool has_text(const struct line_test *x, size_t i, sv line)
{
    return x->regex ? regex_match(x->re[i], line) : sv_find(line, x->texts[i]) != SV_NPOS;
}

static bool test_passes(const struct line_test *x, sv line)
{
    for (size_t i = 0; i < x->n; i++)
        if (has_text(x, i, line))
            return !x->negative;
    return x->negative;
}

static bool line_means(const struct tombstone *t, sv line)
{
    for (size_t i = 0; i < t->n_tests; i++)
        if (!test_passes(&t->tests[i], line))
            return false;
    return true;
}

/* ---- of one stream ---- */

static void widen(struct stream_deletes *sd, const struct tombstone *t)
{
    sd->min_ts = sd->n ? MIN(sd->min_ts, t->start_ns) : t->start_ns;
    sd->max_ts = sd->n ? MAX(sd->max_ts, t->end_ns) : t->end_ns;
    sd->lines |= t->n_tests > 0;
    sd->at[sd->n++] = t;
}

bool deletes_of_stream(const struct deletes *d, const struct stream *st, struct stream_deletes *ret, struct err *e)
{
    struct stream_deletes sd = {0};
    for (size_t i = 0; d && i < d->n; i++) {
        if (!tombstone_means(d->at[i], st))
            continue;
        if (!sd.at && !(sd.at = malloc((d->n - i) * sizeof *sd.at)))
            return err_nomem(e);
        widen(&sd, d->at[i]);
    }
    *ret = sd;
    return true;
}

void stream_deletes_done(struct stream_deletes *sd)
{
    free(sd->at);
    *sd = (struct stream_deletes){0};
}

bool deletes_hide_slow(const struct stream_deletes *sd, int64_t ts, sv line)
{
    for (size_t i = 0; i < sd->n; i++)
        if (tombstone_in_range(sd->at[i], ts, ts) && line_means(sd->at[i], line))
            return true;
    return false;
}

bool deletes_leave(const struct deletes *d, const struct stream *st, int64_t *min_ts, int64_t *max_ts)
{
    bool moved = true;
    while (moved) { /* ranges may meet in any order */
        moved = false;
        for (size_t i = 0; d && i < d->n; i++) {
            const struct tombstone *t = d->at[i];
            bool left = t->start_ns <= *min_ts && t->end_ns >= *min_ts, right = t->start_ns <= *max_ts && t->end_ns >= *max_ts;
            if (t->n_tests || !(left || right) || !tombstone_means(t, st))
                continue;
            if ((left && t->end_ns >= *max_ts) || (right && t->start_ns <= *min_ts))
                return false;
            if (left)
                *min_ts = t->end_ns + 1;
            else
                *max_ts = t->start_ns - 1;
            moved = true;
        }
    }
    return true;
}

/* ---- of a scan ---- */

struct hidden {
    size_t n;
    struct stream_deletes of[]; /* by rank */
};

/* "a|b" */
static bool in_list(sv tenants, sv tenant)
{
    while (tenants.n) {
        bool more = sv_find_char(tenants, '|') != SV_NPOS;
        if (sv_eq(more ? sv_cut(&tenants, '|') : tenants, tenant))
            return true;
        if (!more)
            return false;
    }
    return !tenant.n;
}

bool hidden_make(const struct deletes *d, sv tenants, struct stream *const *streams, size_t n, int64_t start_ns, int64_t end_ns,
                 struct hidden **ret, struct err *e)
{
    *ret = NULL;
    if (!d || !n || start_ns >= end_ns)
        return true;
    struct deletes *mine = malloc(sizeof *mine + d->n * sizeof *mine->at); /* borrows d's references */
    if (!mine)
        return err_nomem(e);
    mine->n = 0;
    for (size_t i = 0; i < d->n; i++)
        if (tombstone_in_range(d->at[i], start_ns, end_ns - 1) && in_list(tenants, d->at[i]->tenant))
            mine->at[mine->n++] = d->at[i];
    struct hidden *h = mine->n ? calloc(1, sizeof *h + n * sizeof *h->of) : NULL;
    bool ok = h || !mine->n || err_nomem(e), any = false;
    for (; ok && h && h->n < n; h->n++) {
        ok = deletes_of_stream(mine, streams[h->n], &h->of[h->n], e);
        any |= ok && h->of[h->n].n;
    }
    free(mine);
    if (ok && any)
        *ret = TAKE(h);
    hidden_free(h);
    return ok;
}

void hidden_free(struct hidden *h)
{
    for (size_t i = 0; h && i < h->n; i++)
        stream_deletes_done(&h->of[i]);
    free(h);
}

const struct stream_deletes *hidden_of(const struct hidden *h, uint32_t rank)
{
    return h->of[rank].n ? &h->of[rank] : NULL;
}

bool hidden_needs_lines(const struct stream_deletes *const *of, const struct chunk *c, const uint8_t *pass)
{
    for (uint32_t i = 0; i < c->n; i++) {
        const struct stream_deletes *sd = pass[i] ? of[c->stream[i]] : NULL;
        if (sd && sd->lines && c->ts[i] >= sd->min_ts && c->ts[i] <= sd->max_ts)
            return true;
    }
    return false;
}

void hidden_clear(const struct stream_deletes *const *of, const struct chunk *c, uint8_t *pass)
{
    for (uint32_t i = 0; i < c->n; i++) {
        const struct stream_deletes *sd = pass[i] ? of[c->stream[i]] : NULL;
        if (sd && deletes_hide(sd, c->ts[i], sd->lines && c->lines ? chunk_line(c, i) : SV("")))
            pass[i] = 0;
    }
}

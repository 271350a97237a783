/* merge_choose.c - see merge_choose.h. */
#include "store/merge_choose.h"
#include "base/clock.h"

#define DAY_NS (86400 * NS_PER_S)

void survey_done(struct survey *s)
{
    part_set_done(&s->parts);
    vec_done(&s->entries);
    vec_done(&s->plan);
}

static int64_t day_of(int64_t ts)
{
    return ts / DAY_NS - (ts % DAY_NS < 0);
}

uint64_t part_raw_bytes(const struct part *p)
{
    return MAX(p->line_bytes, p->file_bytes * 4); /* the second where metadata is most of it */
}

static int entry_cmp(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->day != y->day)
        return x->day < y->day ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static bool add_entry(struct survey *s, int64_t day, size_t at, bool fixed)
{
    struct entry *room = vec_push(&s->entries);
    if (room)
        *room = (struct entry){day, (uint32_t)at, fixed};
    return room;
}

bool survey_make(struct store *st, struct survey *s, struct err *e)
{
    bool ok = true;
    *s = (struct survey){0};
    lock_acquire(&st->head.mu);
    ok = vec_reserve(&s->parts.parts, st->parts.parts.n + 1);
    for (size_t i = 0; ok && i < st->parts.parts.n; i++)
        s->parts.parts.at[s->parts.parts.n++] = part_ref(st->parts.parts.at[i]);
    lock_release(&st->head.mu);
    for (size_t i = 0; ok && i < s->parts.parts.n; i++) {
        const struct part *p = s->parts.parts.at[i];
        if (day_of(p->min_ts) == day_of(p->max_ts))
            ok = add_entry(s, day_of(p->min_ts), i, p->keep_as_is || p->busy);
    }
    if (s->entries.n)
        qsort(s->entries.at, s->entries.n, sizeof *s->entries.at, entry_cmp);
    size_t single = s->entries.n;
    for (size_t i = 0; ok && i < s->parts.parts.n; i++) { /* parts of several days are in the way in each of them */
        const struct part *p = s->parts.parts.at[i];
        int64_t first = day_of(p->min_ts), last = day_of(p->max_ts);
        for (size_t k = 0; ok && first != last && k < single; k++) {
            int64_t day = s->entries.at[k].day;
            if (day >= first && day <= last && (!k || s->entries.at[k - 1].day != day))
                ok = add_entry(s, day, i, true);
        }
    }
    if (s->entries.n > single)
        qsort(s->entries.at, s->entries.n, sizeof *s->entries.at, entry_cmp);
    return ok || err_nomem(e);
}

static bool choose_day(struct survey *s, size_t first, size_t end, const struct plan_limits *l, struct choice *best, uint64_t *debt)
{
    s->plan.n = 0;
    if (!vec_reserve(&s->plan, end - first))
        return false;
    for (size_t i = first; i < end; i++) {
        const struct part *p = s->parts.parts.at[s->entries.at[i].at];
        s->plan.at[s->plan.n++] = (struct plan_part){part_raw_bytes(p), s->entries.at[i].fixed, p->added_mono_ns};
    }
    struct plan_window w = plan_pick(s->plan.at, s->plan.n, l);
    *debt += w.n ? w.bytes : 0;
    if (!w.n || (best->n && best->gain >= w.gain))
        return true;
    *best = (struct choice){.n = w.n, .settles = w.settles, .gain = w.gain};
    for (size_t i = 0; i < w.n; i++)
        best->in[i] = s->parts.parts.at[s->entries.at[first + w.first + i].at];
    return true;
}

bool survey_choose(struct survey *s, const struct plan_limits *l, struct choice *ret, uint64_t *ret_debt, struct err *e)
{
    *ret = (struct choice){0};
    *ret_debt = 0;
    for (size_t i = 0, end; i < s->entries.n; i = end) {
        for (end = i + 1; end < s->entries.n && s->entries.at[end].day == s->entries.at[i].day;)
            end++;
        if (!choose_day(s, i, end, l, ret, ret_debt))
            return err_nomem(e);
    }
    return true;
}

/* ingest_plan.c - in which order a row's metadata stands, worked out once for all rows that have the same names from the same source.
 * Records of one place in a program have the same names in the same order, so next to nothing of sorting, merging and comparing
 * names is left for the usual row: its plan is found by the numbers of its names, and says for each of its pairs where the id
 * is to be taken from.
 * (1) Of equal names one stays: the source's, else a fixed field's, else the one added last.
 * (2) Whoever makes plans meet in one place pays with making them anew each time, which is what every row cost without them. */
#include "store/ingest_row.h"
#include "store/rules.h"

struct entry {
    sv text;
    bool fixed;
    uint32_t slot;
};

static int entry_cmp(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = sv_cmp(x->text, y->text);
    if (c)
        return c;
    return x->fixed != y->fixed ? (x->fixed ? 1 : -1) : (x->slot > y->slot) - (x->slot < y->slot);
}

/* The slots in order of names, each name once. Returns their count. */
static size_t entries_make(const struct ingest_run *run, struct entry *at)
{
    size_t kept = 0;
    for (uint32_t i = 0; i < run->slots.n; i++) {
        const struct name *n = run->name_list.at[run->slots.at[i]];
        at[i] = (struct entry){n->text, n->fixed, i};
    }
    if (run->slots.n)
        qsort(at, run->slots.n, sizeof *at, entry_cmp);
    for (size_t i = 0; i < run->slots.n; i++)
        if (i + 1 == run->slots.n || !sv_eq(at[i].text, at[i + 1].text))
            at[kept++] = at[i];
    return kept;
}

/* Room in the row for its level: where its name belongs, or where it is already. */
static void place_level(struct plan *p, sv name, uint32_t from)
{
    int c = sv_cmp(name, SV("detected_level"));
    p->states_level |= rules_is_level_name(name);
    if (c >= 0 && p->level_at == UINT32_MAX) {
        p->level_at = p->n_out;
        p->own_level = c == 0;
        if (c)
            p->n_out++;
    }
    p->from[p->n_out++] = from;
}

static void merge(const struct ingest_run *run, const struct source *src, const struct entry *at, size_t n, struct plan *p)
{
    size_t i = 0, k = 0;
    p->level_at = UINT32_MAX;
    while (i < n || k < src->n_pairs) {
        int c = i == n ? 1 : k == src->n_pairs ? -1 : sv_cmp(at[i].text, src->pairs[k].name);
        if (c < 0) {
            p->used[p->n_used++] = (uint32_t)src->n_pairs + at[i].slot;
            place_level(p, at[i].text, p->used[p->n_used - 1]);
            i++;
            continue;
        }
        i += c == 0;
        p->source_bytes += (uint32_t)(src->pairs[k].name.n + src->pairs[k].value.n);
        place_level(p, src->pairs[k].name, (uint32_t)k);
        k++;
    }
    if (p->level_at == UINT32_MAX)
        p->level_at = p->n_out++;
    p->n_meta = p->n_out - !p->own_level;
    if (!p->own_level)
        p->from[p->level_at] = (uint32_t)(src->n_pairs + run->slots.n);
    if (run->rq->rules & RULE_LEVELS)
        return;
    if (!p->own_level) {
        p->n_out--;
        memmove(p->from + p->level_at, p->from + p->level_at + 1, (p->n_out - p->level_at) * sizeof *p->from);
    }
    p->own_level = false;
    p->level_at = UINT32_MAX;
}

static bool plan_make(struct ingest_run *run, const struct source *src, uint64_t key, struct plan **ret)
{
    size_t n = run->slots.n;
    struct arena *a = &run->names_mem;
    struct plan *p = ARENA_NEW(a, struct plan);
    uint32_t *names = arena_alloc(a, n * sizeof *names), *used = arena_alloc(a, n * sizeof *used),
             *from = arena_alloc(a, (n + src->n_pairs + 1) * sizeof *from);
    SCOPED(mem_free) struct entry *entries = calloc(n ? n : 1, sizeof *entries);
    if (!p || !names || !used || !from || !entries)
        return err_nomem(&run->err);
    if (n)
        memcpy(names, run->slots.at, n * sizeof *names);
    *p = (struct plan){.key = key, .source = src->serial, .n_slots = (uint32_t)n, .names = names, .from = from, .used = used};
    merge(run, src, entries, entries_make(run, entries), p);
    *ret = p;
    return true;
}

static inline bool same_names(const uint32_t *a, const uint32_t *b, size_t n)
{
    size_t i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i == n;
}

bool run_plan(struct ingest_run *run, const struct source *src, const struct plan **ret)
{
    size_t n = run->slots.n;
    const struct plan *last = run->plan;
    if (last && last->source == src->serial && last->n_slots == n && same_names(last->names, run->slots.at, n)) {
        *ret = last;
        return true;
    }
    uint64_t key = hash_seed ^ src->serial * 64 ^ run->rq->rules;
    for (size_t i = 0; i < n; i++) {
        key = (key ^ run->slots.at[i]) * 0x9e3779b97f4a7c15u;
        key ^= key >> 32;
    }
    struct plan **at = &run->plans[key % PLAN_SLOTS], *p = *at;
    if (p && p->key == key && p->source == src->serial && p->n_slots == n &&
        same_names(p->names, run->slots.at, n)) {
        *ret = run->plan = p;
        return true;
    }
    if (!plan_make(run, src, key, at))
        return false;
    *ret = run->plan = *at;
    return true;
}

/* run_vector.c - metric expressions above range aggregations, step by step.
 * (1) The tree is opened first: every range aggregation reads its rows. Then all nodes give their samples of step 0, 1, 2 …
 *     in order, so that only one step of every node is in memory besides the answer.
 * (2) A sample names its label set by id. What a node makes of a set (a group, a matching key, a new name) is worked out
 *     once and remembered by id. */
#include "logql/run.h"
#include <math.h>
#include <stdlib.h>

#define NO_SET UINT32_MAX

/* A memo from label set ids to label set ids; grows with the ids it is asked for. */
struct set_memo {
    uint32_t *at; /* NO_SET: not known yet */
    size_t n, cap;
};

struct group {
    uint32_t set;
    size_t step; /* the last step with samples, + 1 */
    double value, mean;
    uint64_t count;
};

struct node {
    const struct logql_expr *x;
    struct range_node *range;
    struct node *left, *right; /* right: binary operations only */
    struct vec out;            /* of the current step */
    struct set_memo memo;      /* agg: groups by set; binary: matching keys; label_replace: results */
    struct set_memo by_key;    /* agg: groups by what the grouping keeps */
    struct group *groups;
    size_t n_groups, cap_groups;
    struct vec_order *order; /* agg: for topk */
    size_t cap_order;
    struct vec_key *keys; /* binary: by key id, what the step has seen */
    size_t n_keys, cap_keys;
    struct label *joined; /* binary: room for the labels of one result */
    size_t cap_joined;
    uint32_t empty_set; /* vector() */
};

struct vec_order {
    uint32_t group, at;
    double v;
};
struct vec_key {
    size_t one_step, used_step, any_step; /* steps + 1 */
    size_t one;                           /* index of the sample on the one side */
};

bool vec_push(struct run *r, struct vec *v, uint32_t set, double value)
{
    struct vec_sample *grown = arena_grow(&r->work, v->at, v->n, &v->cap, sizeof *grown);
    if (!grown)
        return run_nomem(r);
    v->at = grown;
    v->at[v->n++] = (struct vec_sample){set, value};
    return true;
}

static uint32_t *memo_at(struct run *r, struct set_memo *m, uint32_t set)
{
    while (m->n <= set) {
        uint32_t *grown = arena_grow(&r->work, m->at, m->n, &m->cap, sizeof *grown);
        if (!grown) {
            run_nomem(r);
            return NULL;
        }
        m->at = grown;
        m->at[m->n++] = NO_SET;
    }
    return &m->at[set];
}

/* ---- opening ---- */

static bool sum_can_be_pushed(const struct vector_agg *v)
{
    if (v->op != VECTOR_SUM || v->inner->kind != EXPR_RANGE || v->inner->range.by.present)
        return false;
    switch (v->inner->range.op) {
    case RANGE_COUNT:
    case RANGE_RATE:
    case RANGE_BYTES:
    case RANGE_BYTES_RATE:
    case RANGE_SUM:
        return true;
    default:
        return false;
    }
}

static bool node_open(struct run *r, const struct logql_expr *x, const struct grouping *outer, struct node **ret)
{
    struct node *n = *ret = ARENA_NEW(&r->work, struct node);
    if (!n)
        return run_nomem(r);
    n->x = x;
    switch (x->kind) {
    case EXPR_RANGE:
        return range_open(r, &x->range, outer, &n->range);
    case EXPR_VECTOR_AGG:
        return node_open(r, x->agg.inner, sum_can_be_pushed(&x->agg) ? &x->agg.by : NULL, &n->left);
    case EXPR_LABEL_REPLACE:
        return node_open(r, x->replace.inner, NULL, &n->left);
    case EXPR_BINARY:
        return node_open(r, x->bin.left, NULL, &n->left) && node_open(r, x->bin.right, NULL, &n->right);
    case EXPR_VECTOR:
        return label_sets_put(&r->sets, (struct labels){0}, &n->empty_set) ? true : run_nomem(r);
    case EXPR_LITERAL:
        return true;
    case EXPR_LOG:
        break;
    }
    return err_set(r->e, ERR_INVALID, "a log query cannot be part of a metric query");
}

static bool node_step(struct run *r, struct node *n, size_t k);

/* ---- aggregations ---- */

static bool find_group(struct run *r, struct node *n, uint32_t set, uint32_t *ret)
{
    const struct grouping *by = &n->x->agg.by;
    uint32_t *known = memo_at(r, &n->memo, set), key;
    if (!known)
        return false;
    if (*known != NO_SET) {
        *ret = *known;
        return true;
    }
    struct labels l = r->sets.at[set];
    struct label *to = arena_alloc(&r->work, l.n * sizeof *to);
    struct labels kept = to && by->present ? group_labels(l, by, to) : (struct labels){0};
    if (!to || !label_sets_put(&r->sets, kept, &key))
        return run_nomem(r);
    uint32_t *group = memo_at(r, &n->by_key, key);
    if (!group)
        return false;
    if (*group == NO_SET) {
        struct group *grown = arena_grow(&r->work, n->groups, n->n_groups, &n->cap_groups, sizeof *grown);
        if (!grown)
            return run_nomem(r);
        n->groups = grown;
        n->groups[n->n_groups] = (struct group){.set = key};
        *group = (uint32_t)n->n_groups++;
    }
    *ret = *known = *group;
    return true;
}

static void group_add(enum vector_op op, struct group *g, double v)
{
    double delta = v - g->mean;
    g->count++;
    g->mean += delta / (double)g->count;
    if (op == VECTOR_STDDEV || op == VECTOR_STDVAR)
        g->value = g->count == 1 ? 0 : g->value + delta * (v - g->mean);
    else if (g->count == 1)
        g->value = v;
    else if (op == VECTOR_SUM)
        g->value += v;
    else if (isnan(g->value) || (op == VECTOR_MAX ? v > g->value : v < g->value))
        g->value = v;
}

static double group_value(enum vector_op op, const struct group *g)
{
    switch (op) {
    case VECTOR_AVG:
        return g->mean;
    case VECTOR_COUNT:
        return (double)g->count;
    case VECTOR_STDVAR:
        return g->value / (double)g->count;
    case VECTOR_STDDEV:
        return sqrt(g->value / (double)g->count);
    default:
        return g->value;
    }
}

static bool step_groups(struct run *r, struct node *n, size_t k)
{
    enum vector_op op = n->x->agg.op;
    const struct vec *in = &n->left->out;
    for (size_t i = 0; i < in->n; i++) {
        uint32_t at = 0;
        if (!find_group(r, n, in->at[i].set, &at))
            return false;
        struct group *g = &n->groups[at];
        if (g->step != k + 1)
            *g = (struct group){.set = g->set, .step = k + 1};
        group_add(op, g, in->at[i].v);
    }
    for (size_t i = 0; i < n->n_groups; i++)
        if (n->groups[i].step == k + 1 && !vec_push(r, &n->out, n->groups[i].set, group_value(op, &n->groups[i])))
            return false;
    return true;
}

/* By group, then best value first; ties as they came. NaN is the worst. */
static int order_cmp(const struct vec_order *a, const struct vec_order *b, bool top)
{
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    bool na = isnan(a->v), nb = isnan(b->v);
    if (na != nb)
        return na ? 1 : -1;
    if (!na && a->v != b->v)
        return (a->v > b->v) == top ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}
static int order_top(const void *a, const void *b)
{
    return order_cmp(a, b, true);
}
static int order_bottom(const void *a, const void *b)
{
    return order_cmp(a, b, false);
}

static bool step_ranked(struct run *r, struct node *n)
{
    const struct vector_agg *agg = &n->x->agg;
    const struct vec *in = &n->left->out;
    if (n->cap_order < in->n) {
        n->cap_order = in->n * 2;
        n->order = arena_alloc(&r->work, n->cap_order * sizeof *n->order);
        if (!n->order)
            return run_nomem(r);
    }
    for (size_t i = 0; i < in->n; i++) {
        n->order[i] = (struct vec_order){.at = (uint32_t)i, .v = in->at[i].v};
        if (agg->k && !find_group(r, n, in->at[i].set, &n->order[i].group))
            return false;
    }
    bool top = agg->op == VECTOR_TOPK || agg->op == VECTOR_APPROX_TOPK || agg->op == VECTOR_SORT_DESC;
    if (in->n)
        qsort(n->order, in->n, sizeof *n->order, top ? order_top : order_bottom);
    int64_t taken = 0;
    for (size_t i = 0; i < in->n; i++) {
        taken = i && n->order[i].group == n->order[i - 1].group ? taken + 1 : 1;
        const struct vec_sample *s = &in->at[n->order[i].at];
        if ((!agg->k || taken <= agg->k) && !vec_push(r, &n->out, s->set, s->v))
            return false;
    }
    return true;
}

static bool step_agg(struct run *r, struct node *n, size_t k)
{
    if (!node_step(r, n->left, k))
        return false;
    switch (n->x->agg.op) {
    case VECTOR_TOPK:
    case VECTOR_BOTTOMK:
    case VECTOR_APPROX_TOPK:
    case VECTOR_SORT:
    case VECTOR_SORT_DESC:
        return step_ranked(r, n);
    default:
        return step_groups(r, n, k);
    }
}

/* ---- label_replace ---- */

static bool replaced_set(struct run *r, struct node *n, uint32_t set, uint32_t *ret)
{
    const struct label_replace *rep = &n->x->replace;
    uint32_t *known = memo_at(r, &n->memo, set);
    if (!known)
        return false;
    if (*known == NO_SET) {
        struct labels l = r->sets.at[set];
        sv src = labels_get(l, rep->src);
        if (!regex_match(rep->re, src)) {
            *known = set;
        } else {
            SCOPED(buf_done) struct buf value = {0};
            struct label *to = arena_alloc(&r->work, (l.n + 1) * sizeof *to);
            size_t kept = 0;
            regex_replace_all(rep->re, src, rep->replacement, false, &value);
            if (!to || value.failed)
                return run_nomem(r);
            for (size_t i = 0; i < l.n; i++)
                if (!sv_eq(l.at[i].name, rep->dst))
                    to[kept++] = l.at[i];
            if (value.n)
                to[kept++] = (struct label){rep->dst, buf_view(&value)};
            labels_sort(to, kept);
            if (!label_sets_put(&r->sets, (struct labels){to, kept}, known))
                return run_nomem(r);
        }
    }
    *ret = *known;
    return true;
}

static bool step_replace(struct run *r, struct node *n, size_t k)
{
    if (!node_step(r, n->left, k))
        return false;
    for (size_t i = 0; i < n->left->out.n; i++) {
        uint32_t set = 0;
        if (!replaced_set(r, n, n->left->out.at[i].set, &set) || !vec_push(r, &n->out, set, n->left->out.at[i].v))
            return false;
    }
    return true;
}

/* ---- binary operations ---- */

/* The set that samples are matched by. */
static bool match_key(struct run *r, struct node *n, uint32_t set, uint32_t *ret)
{
    const struct binary *b = &n->x->bin;
    if (b->match == MATCH_ALL) {
        *ret = set;
        return true;
    }
    uint32_t *known = memo_at(r, &n->memo, set);
    if (!known)
        return false;
    if (*known == NO_SET) {
        struct grouping by = {.without = b->match == MATCH_IGNORING, .names = b->names, .n = b->n_names};
        struct labels l = r->sets.at[set];
        struct label *to = arena_alloc(&r->work, l.n * sizeof *to);
        if (!to || !label_sets_put(&r->sets, group_labels(l, &by, to), known))
            return run_nomem(r);
    }
    *ret = *known;
    return true;
}

static struct vec_key *key_at(struct run *r, struct node *n, uint32_t key)
{
    while (n->n_keys <= key) {
        struct vec_key *grown = arena_grow(&r->work, n->keys, n->n_keys, &n->cap_keys, sizeof *grown);
        if (!grown) {
            run_nomem(r);
            return NULL;
        }
        n->keys = grown;
        n->keys[n->n_keys++] = (struct vec_key){0};
    }
    return &n->keys[key];
}

static struct vec_key *key_of(struct run *r, struct node *n, uint32_t set)
{
    uint32_t key = 0;
    return match_key(r, n, set, &key) ? key_at(r, n, key) : NULL;
}

static bool mark_keys(struct run *r, struct node *n, const struct vec *v, size_t k)
{
    for (size_t i = 0; i < v->n; i++) {
        struct vec_key *key = key_of(r, n, v->at[i].set);
        if (!key)
            return false;
        key->any_step = k + 1;
    }
    return true;
}

/* Copies the samples of `v` whose key was marked in this step, or was not. */
static bool copy_marked(struct run *r, struct node *n, const struct vec *v, size_t k, bool marked)
{
    for (size_t i = 0; i < v->n; i++) {
        struct vec_key *key = key_of(r, n, v->at[i].set);
        if (!key || ((key->any_step == k + 1) == marked && !vec_push(r, &n->out, v->at[i].set, v->at[i].v)))
            return false;
    }
    return true;
}

static bool step_set_op(struct run *r, struct node *n, size_t k)
{
    const struct vec *left = &n->left->out, *right = &n->right->out;
    if (n->x->bin.op != BIN_OR)
        return mark_keys(r, n, right, k) && copy_marked(r, n, left, k, n->x->bin.op == BIN_AND);
    for (size_t i = 0; i < left->n; i++)
        if (!vec_push(r, &n->out, left->at[i].set, left->at[i].v))
            return false;
    return mark_keys(r, n, left, k) && copy_marked(r, n, right, k, false);
}

/* The value of one pair; false: a comparison filters it out. */
static bool pair_value(const struct binary *b, double left, double right, double *ret)
{
    double v = bin_op_numbers(b->op, left, right);
    if (!bin_op_is_comparison(b->op) || b->returns_bool) {
        *ret = v;
        return true;
    }
    *ret = left;
    return v != 0;
}

/* All labels of the many side, with the included ones from the one side. */
static bool group_result_set(struct run *r, struct node *node, uint32_t many, uint32_t one, uint32_t *ret)
{
    const struct binary *b = &node->x->bin;
    if (!b->n_include) {
        *ret = many;
        return true;
    }
    struct labels m = r->sets.at[many], o = r->sets.at[one];
    size_t n = 0, most = m.n + b->n_include;
    if (most > node->cap_joined) {
        node->joined = arena_alloc(&r->work, most * 2 * sizeof *node->joined);
        node->cap_joined = node->joined ? most * 2 : 0;
    }
    struct label *to = node->joined;
    if (!to)
        return run_nomem(r);
    for (size_t i = 0; i < m.n; i++)
        if (!name_listed(b->include, b->n_include, m.at[i].name))
            to[n++] = m.at[i];
    for (size_t i = 0; i < b->n_include; i++) {
        sv v = labels_get(o, b->include[i]);
        if (v.n && !name_listed(b->include, i, b->include[i]))
            to[n++] = (struct label){b->include[i], v};
    }
    labels_sort(to, n);
    return label_sets_put(&r->sets, (struct labels){to, n}, ret) ? true : run_nomem(r);
}

static bool index_one_side(struct run *r, struct node *n, const struct vec *one, size_t k, const char *side)
{
    for (size_t i = 0; i < one->n; i++) {
        struct vec_key *key = key_of(r, n, one->at[i].set);
        if (!key)
            return false;
        if (key->one_step == k + 1)
            return err_set(r->e, ERR_INVALID,
                           "found duplicate series on the %s hand-side;many-to-many matching not allowed: matching labels "
                           "must be unique on one side",
                           side);
        key->one_step = k + 1;
        key->one = i;
    }
    return true;
}

static bool step_vectors(struct run *r, struct node *n, size_t k)
{
    const struct binary *b = &n->x->bin;
    bool one_is_left = b->group == GROUP_RIGHT;
    const struct vec *one = one_is_left ? &n->left->out : &n->right->out;
    const struct vec *many = one_is_left ? &n->right->out : &n->left->out;
    if (!index_one_side(r, n, one, k, one_is_left ? "left" : "right"))
        return false;
    for (size_t i = 0; i < many->n; i++) {
        uint32_t key_set = 0, set = 0;
        double v = 0;
        if (!match_key(r, n, many->at[i].set, &key_set))
            return false;
        struct vec_key *key = key_at(r, n, key_set);
        if (!key)
            return false;
        if (key->one_step != k + 1)
            continue;
        const struct vec_sample *m = &many->at[i], *o = &one->at[key->one];
        if (!pair_value(b, one_is_left ? o->v : m->v, one_is_left ? m->v : o->v, &v))
            continue;
        if (b->group == GROUP_NONE) {
            if (key->used_step == k + 1)
                return err_set(r->e, ERR_INVALID, "multiple matches for labels: many-to-one matching must be explicit "
                                                  "(group_left/group_right)");
            key->used_step = k + 1;
            set = key_set;
        } else {
            if (!group_result_set(r, n, m->set, o->set, &set))
                return false;
            struct vec_key *result = key_at(r, n, set);
            if (!result)
                return false;
            if (result->any_step == k + 1)
                return err_set(r->e, ERR_INVALID,
                               "multiple matches for labels: grouping labels must ensure unique matches");
            result->any_step = k + 1;
        }
        if (!vec_push(r, &n->out, set, v))
            return false;
    }
    return true;
}

/* A vector and a number: the vector's value is what a filter keeps, on whichever side it stands. */
static bool step_number(struct run *r, struct node *n)
{
    const struct binary *b = &n->x->bin;
    bool number_left = b->left->kind == EXPR_LITERAL;
    const struct vec *in = number_left ? &n->right->out : &n->left->out;
    double number = number_left ? b->left->value : b->right->value;
    for (size_t i = 0; i < in->n; i++) {
        double v = 0, x = in->at[i].v;
        bool keep = pair_value(b, number_left ? number : x, number_left ? x : number, &v);
        if (bin_op_is_comparison(b->op) && !b->returns_bool)
            v = x;
        if (keep && !vec_push(r, &n->out, in->at[i].set, v))
            return false;
    }
    return true;
}

static bool step_binary(struct run *r, struct node *n, size_t k)
{
    const struct binary *b = &n->x->bin;
    if (!node_step(r, n->left, k) || !node_step(r, n->right, k))
        return false;
    if (bin_op_is_set(b->op))
        return step_set_op(r, n, k);
    if (b->left->kind == EXPR_LITERAL || b->right->kind == EXPR_LITERAL)
        return step_number(r, n);
    return step_vectors(r, n, k);
}

static bool node_step(struct run *r, struct node *n, size_t k)
{
    n->out.n = 0;
    switch (n->x->kind) {
    case EXPR_RANGE:
        return range_step(r, n->range, k, &n->out);
    case EXPR_VECTOR_AGG:
        return step_agg(r, n, k);
    case EXPR_BINARY:
        return step_binary(r, n, k);
    case EXPR_VECTOR:
        return vec_push(r, &n->out, n->empty_set, n->x->value);
    case EXPR_LABEL_REPLACE:
        return step_replace(r, n, k);
    case EXPR_LITERAL: /* its operation reads the number itself */
    case EXPR_LOG:
        return true;
    }
    return true;
}

/* ---- the answer ---- */

struct answer {
    struct run *r;
    struct logql_series *series;
    size_t n, cap;
    struct set_memo first; /* series by label set; those with equal labels are chained */
    size_t *next;
    size_t cap_next;
};

static bool new_series(struct answer *an, uint32_t set, size_t *ret)
{
    struct run *r = an->r;
    if (r->p->max_series && an->n == r->p->max_series)
        return err_set(r->e, ERR_LIMIT,
                       "maximum number of series (%llu) reached for a single query; consider reducing query cardinality by "
                       "adding more specific stream selectors, reducing the time range, or aggregating results with "
                       "functions like sum(), count() or topk()",
                       (unsigned long long)r->p->max_series);
    struct logql_series *grown = arena_grow(r->result, an->series, an->n, &an->cap, sizeof *grown);
    size_t *next = arena_grow(&r->work, an->next, an->n, &an->cap_next, sizeof *next);
    if (!grown || !next)
        return run_nomem(r);
    an->series = grown;
    an->next = next;
    an->next[an->n] = SIZE_MAX;
    an->series[an->n] = (struct logql_series){.labels = labels_copy(r->result, r->sets.at[set])};
    *ret = an->n++;
    return r->result->failed ? run_nomem(r) : true;
}

/* label_replace may give two samples of a step the same labels: each then has a series of its own. */
static bool answer_add(struct answer *an, uint32_t set, int64_t ts, double v)
{
    uint32_t *first = memo_at(an->r, &an->first, set);
    if (!first)
        return false;
    size_t at = *first, last = SIZE_MAX;
    for (; *first != NO_SET && at != SIZE_MAX; last = at, at = an->next[at])
        if (an->series[at].samples[an->series[at].n - 1].ts_ns != ts)
            break;
    if (*first == NO_SET || at == SIZE_MAX) {
        if (!new_series(an, set, &at))
            return false;
        if (*first == NO_SET)
            *first = (uint32_t)at;
        else
            an->next[last] = at;
    }
    struct logql_series *s = &an->series[at];
    struct logql_sample *grown = arena_grow(an->r->result, s->samples, s->n, &s->cap, sizeof *grown);
    if (!grown)
        return run_nomem(an->r);
    s->samples = grown;
    s->samples[s->n++] = (struct logql_sample){ts, v};
    return true;
}

static int series_by_labels(const void *a, const void *b)
{
    return labels_cmp(((const struct logql_series *)a)->labels, ((const struct logql_series *)b)->labels);
}

static bool is_sort(const struct logql_expr *x)
{
    return x->kind == EXPR_VECTOR_AGG && (x->agg.op == VECTOR_SORT || x->agg.op == VECTOR_SORT_DESC);
}

static bool run_literal(struct run *r, double v, struct logql_result *ret)
{
    struct logql_series *s = ARENA_NEW(r->result, struct logql_series);
    struct logql_sample *at = arena_array(r->result, r->n_steps, sizeof *at);
    if (!s || !at)
        return run_nomem(r);
    for (size_t k = 0; k < r->n_steps; k++)
        at[k] = (struct logql_sample){run_step_ns(r, k), v};
    *s = (struct logql_series){.samples = at, .n = r->n_steps, .cap = r->n_steps};
    ret->kind = r->p->instant ? LOGQL_SCALAR : LOGQL_MATRIX;
    ret->series = s;
    ret->n_series = 1;
    return run_check(r);
}

bool run_metric(struct run *r, const struct logql_expr *x, struct logql_result *ret)
{
    struct answer an = {.r = r};
    struct node *root;
    if (x->kind == EXPR_LITERAL)
        return run_literal(r, x->value, ret);
    if (!node_open(r, x, NULL, &root))
        return false;
    for (size_t k = 0; k < r->n_steps; k++) {
        if (!run_check(r) || !node_step(r, root, k))
            return false;
        for (size_t i = 0; i < root->out.n; i++)
            if (!answer_add(&an, root->out.at[i].set, run_step_ns(r, k), root->out.at[i].v))
                return false;
    }
    if (an.n && !(r->p->instant && is_sort(x)))
        qsort(an.series, an.n, sizeof *an.series, series_by_labels);
    ret->kind = r->p->instant ? LOGQL_VECTOR : LOGQL_MATRIX;
    ret->series = an.series;
    ret->n_series = an.n;
    return run_check(r);
}

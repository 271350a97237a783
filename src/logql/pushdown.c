/* pushdown.c - see pushdown.h.
 * (1) A line filter looks at the line alone, so it may be done first, wherever it stands, as long as no stage in front of it changes lines.
 * (2) A label filter may be done first if no stage in front of it makes, changes or drops labels: then it sees the metadata or else the
 *     stream's label, as the scan does. Not __error__, which stages set.
 * (3) A filter on a quantity sets __error__ where the value is none. The scan leaves such rows, and the stage stays. */
#include "logql/pipeline.h"
#include "logql/pushdown.h"

/* ---- what a regex must have ---- */

enum { TEXT_MIN = 3, TEXTS_MAX = 8 };

struct reading {
    sv re;
    size_t i;
    char *text; /* of the literal at hand; room for the whole regex */
    size_t n;
    sv *found;
    size_t n_found;
    struct arena *a;
};

static void text_ends(struct reading *r)
{
    if (r->n >= TEXT_MIN && r->n_found < TEXTS_MAX) {
        sv kept = arena_sv(r->a, sv_make(r->text, r->n));
        if (kept.p)
            r->found[r->n_found++] = kept;
    }
    r->n = 0;
}

static bool is_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* Behind a group or class whose opening bracket stands at i; false: it does not end, or holds what is not read here. */
static bool skip_brackets(struct reading *r)
{
    size_t depth = 0;
    bool class = false;
    for (; r->i < r->re.n; r->i++) {
        char c = r->re.p[r->i];
        if (c == '\\') {
            if (r->i + 1 < r->re.n && r->re.p[r->i + 1] == 'Q')
                return false;
            r->i++;
        } else if (class) {
            if (c == '[')
                return false; /* [[:alpha:]], [[]: seldom */
            if (c == ']') {
                class = false;
                if (!depth) {
                    r->i++;
                    return true;
                }
            }
        } else if (c == '[') {
            class = true;
            if (r->i + 1 < r->re.n && r->re.p[r->i + 1] == '^')
                r->i++;
            if (r->i + 1 < r->re.n && r->re.p[r->i + 1] == ']')
                r->i++; /* a ] that comes first stands for itself */
        } else if (c == '(') {
            depth++;
        } else if (c == ')' && --depth == 0) {
            r->i++;
            return true;
        }
    }
    return false;
}

/* A quantifier behind what stands in front of i: its least number of times is 0 (the last character is not needed) or not. */
static bool take_quantifier(struct reading *r, bool of_character)
{
    char c = r->i < r->re.n ? r->re.p[r->i] : 0;
    if (c != '*' && c != '?' && c != '+' && c != '{')
        return false;
    if (of_character && c != '+')
        r->n--;
    text_ends(r);
    while (r->i < r->re.n && strchr("*?+{}0123456789,", r->re.p[r->i]))
        r->i++;
    return true;
}

/* The texts that every match of a regex contains, as far as they are easy to see: outside of brackets, in a regex without
 * alternatives or flags at its outermost level. None is always right. */
static size_t required_texts(sv re, struct arena *a, const sv **ret)
{
    struct reading r = {.re = re, .a = a, .text = arena_alloc(a, re.n + 1), .found = arena_array(a, TEXTS_MAX, sizeof(sv))};
    if (!r.text || !r.found)
        return 0;
    while (r.i < re.n) {
        char c = re.p[r.i];
        if (c == '|' || (c == '(' && r.i + 2 < re.n && re.p[r.i + 1] == '?' && re.p[r.i + 2] != ':' && re.p[r.i + 2] != 'P'))
            return 0;
        if (c == '(' || c == '[') {
            text_ends(&r);
            if (!skip_brackets(&r))
                return 0;
            take_quantifier(&r, false);
        } else if (c == '\\') {
            if (r.i + 1 >= re.n || re.p[r.i + 1] == 'Q')
                return 0;
            char next = re.p[r.i + 1];
            r.i += 2;
            if (next == 'p' || next == 'P' || next == 'x' || (next >= '0' && next <= '9'))
                return 0;
            if (is_word(next) || (unsigned char)next >= 0x80) {
                text_ends(&r);
                take_quantifier(&r, false);
            } else {
                r.text[r.n++] = next;
                take_quantifier(&r, true);
            }
        } else if (c == '.' || c == '^' || c == '$' || (unsigned char)c >= 0x80) {
            text_ends(&r);
            r.i++;
            take_quantifier(&r, false);
        } else {
            if (strchr("*?+{})", c))
                return 0; /* a quantifier of nothing: not understood */
            r.text[r.n++] = c;
            r.i++;
            take_quantifier(&r, true);
        }
    }
    text_ends(&r);
    *ret = r.found;
    return r.n_found;
}

/* ---- line filters ---- */

static bool negates(enum line_op op)
{
    return op == LINE_NOT_CONTAINS || op == LINE_NOT_MATCH || op == LINE_NOT_PATTERN;
}

static struct scan_filter filter_of(const struct line_arg *arg, bool negated, struct arena *a)
{
    struct scan_filter f = {.text = arg->text, .re = arg->re};
    if (!arg->re) {
        f.op = negated ? SCAN_NOT_CONTAINS : SCAN_CONTAINS;
        return f;
    }
    f.op = negated ? SCAN_NOT_REGEX : SCAN_REGEX;
    f.literals = arg->literals;
    f.n_literals = arg->n_literals;
    if (!f.n_literals)
        f.n_required = required_texts(arg->text, a, &f.required);
    return f;
}

/* Several alternatives of which one must be there: one filter, when all of them are plain texts. */
static bool push_alternatives(const struct line_filter *f, struct arena *a, struct pushdown *pd)
{
    size_t n = 0, room = 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct line_arg *arg = &f->args[i];
        if (arg->ip || (arg->re && !arg->n_literals))
            return false;
        room += arg->re ? arg->n_literals : 1;
    }
    sv *texts = pd->n_filters < ARRAY_LEN(pd->filters) ? arena_alloc(a, room * sizeof *texts) : NULL;
    if (!texts)
        return false;
    for (size_t i = 0; i < f->n; i++) {
        const struct line_arg *arg = &f->args[i];
        for (size_t k = 0; arg->re && k < arg->n_literals; k++)
            texts[n++] = arg->literals[k];
        if (!arg->re)
            texts[n++] = arg->text;
    }
    pd->filters[pd->n_filters++] = (struct scan_filter){.op = SCAN_REGEX, .literals = texts, .n_literals = n};
    return true;
}

/* One filter for each argument, when the arguments stand for themselves: one alternative, or several that all must be absent. True when
 * that is all of the stage. */
static bool push_line_filter(const struct line_filter *f, struct arena *a, struct pushdown *pd)
{
    bool negated = negates(f->op), all = true;
    if (f->op == LINE_PATTERN || f->op == LINE_NOT_PATTERN)
        return false;
    if (f->n > 1 && !negated)
        return push_alternatives(f, a, pd);
    for (size_t i = 0; i < f->n; i++) {
        bool fits = !f->args[i].ip && pd->n_filters < ARRAY_LEN(pd->filters);
        if (fits)
            pd->filters[pd->n_filters++] = filter_of(&f->args[i], negated, a);
        all &= fits;
    }
    return all;
}

/* ---- label filters ---- */

struct one_name {
    sv name;
    bool fits, exact; /* exact: it sets no errors */
};

static void look(const struct label_filter *f, struct one_name *o)
{
    for (size_t i = 0; i < f->n; i++)
        look(f->kids[i], o);
    if (f->kind <= LF_OR)
        return;
    if (!o->name.p)
        o->name = f->m.name;
    o->fits &= f->kind != LF_IP && sv_eq(o->name, f->m.name) && !sv_starts(f->m.name, SV("__"));
    o->exact &= f->kind == LF_STRING;
}

static bool accept(const void *ctx, sv value)
{
    return label_filter_may_accept(ctx, value);
}

/* True when the scan does all of it. */
static bool push_label_filter(const struct label_filter *f, struct pushdown *pd)
{
    struct one_name o = {.fits = true, .exact = true};
    look(f, &o);
    if (o.fits && o.name.p) {
        if (pd->n_keys == ARRAY_LEN(pd->keys))
            return false;
        struct scan_key_filter k = {.name = o.name, .accept = accept, .ctx = f};
        if (f->kind == LF_STRING && f->m.op == MATCH_EQ && f->m.value.n)
            k.equal = f->m.value;
        pd->keys[pd->n_keys++] = k;
        return o.exact;
    }
    bool all = f->kind == LF_AND;
    for (size_t i = 0; f->kind == LF_AND && i < f->n; i++)
        all &= push_label_filter(f->kids[i], pd);
    return all;
}

/* ---- the plan ---- */

bool pushdown_plan(const struct log_query *q, struct arena *a, struct pushdown *ret)
{
    bool lines = true, labels = true; /* still as they are stored */
    *ret = (struct pushdown){.rest = {.matchers = q->matchers, .n_matchers = q->n_matchers}};
    ret->rest.stages = arena_array(a, q->n_stages + 1, sizeof *ret->rest.stages);
    if (!ret->rest.stages)
        return false;
    for (size_t i = 0; i < q->n_stages; i++) {
        const struct stage *s = &q->stages[i];
        bool done = false;
        if (s->kind == STAGE_LINE_FILTER)
            done = lines && push_line_filter(&s->line, a, ret);
        else if (s->kind == STAGE_LABEL_FILTER)
            done = labels && push_label_filter(s->filter, ret);
        else if (s->kind == STAGE_DECOLORIZE)
            lines = false;
        else
            labels = false;
        if (s->kind == STAGE_LINE_FORMAT || s->kind == STAGE_UNPACK)
            lines = false;
        if (!done)
            ret->rest.stages[ret->rest.n_stages++] = *s;
    }
    return !a->failed;
}

void pushdown_request(const struct pushdown *pd, struct scan_request *req)
{
    req->filters = pd->filters;
    req->n_filters = pd->n_filters;
    req->key_filters = pd->keys;
    req->n_key_filters = pd->n_keys;
}

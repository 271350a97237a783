/* parse_pipeline.c - selectors, stages and label filters; see parse.c for how messages come about. */
#include "logql/parser.h"
#include "logql/template.h"
#include "logql/units.h"
#include <stdio.h>

/* ---- selectors ---- */

static bool token_match_op(const struct token *t, enum match_op *ret)
{
    switch (t->kind) {
    case T_EQ:
        *ret = MATCH_EQ;
        return true;
    case T_NEQ:
        *ret = MATCH_NEQ;
        return true;
    case T_RE:
        *ret = MATCH_RE;
        return true;
    case T_NRE:
        *ret = MATCH_NRE;
        return true;
    default:
        return false;
    }
}

/* op STRING behind the name. */
static bool p_matcher_tail(struct parser *p, struct matcher *m)
{
    if (!token_match_op(&p->t, &m->op))
        return p_unexpected(p, "= or =~ or !~ or !=");
    if (!p_next(p) || !p_take_text(p, T_STRING, "STRING", &m->value))
        return false;
    return m->op == MATCH_EQ || m->op == MATCH_NEQ || p_regex(p, m->value, REGEX_FULL, &m->re);
}

bool p_selector(struct parser *p, struct log_query *q)
{
    struct {
        struct matcher *at;
        size_t n, cap;
    } list = {0};
    if (!p_next(p))
        return false;
    if (p->t.kind == T_RBRACE)
        return p_next(p);
    const char *expecting = "IDENTIFIER or }";
    for (;;) {
        struct matcher *m = p_push(p, list);
        if (!m || !p_take_text(p, T_IDENT, expecting, &m->name) || !p_matcher_tail(p, m))
            return false;
        if (++p->n_matchers > LOGQL_MAX_MATCHERS)
            return p_fail(p, "max streams matchers per query exceeded, matchers-count > limit (%zu > %d)", p->n_matchers,
                          LOGQL_MAX_MATCHERS);
        if (p->t.kind != T_COMMA)
            break;
        if (!p_next(p))
            return false;
        expecting = "IDENTIFIER";
    }
    q->matchers = list.at, q->n_matchers = list.n, q->cap_matchers = list.cap;
    return p_expect(p, T_RBRACE, "} or ,");
}

bool p_check_matchers(struct parser *p, const struct log_query *q)
{
    for (size_t i = 0; i < q->n_matchers; i++)
        if (!matcher_accepts(&q->matchers[i], SV_NULL))
            return true;
    return p_fail(p, "queries require at least one regexp or equality matcher that does not have an empty-compatible "
                     "value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will");
}

/* ---- line filters ---- */

static bool token_line_op(const struct token *t, enum line_op *ret)
{
    static const struct {
        enum token_kind kind;
        enum line_op op;
    } ops[] = {{T_PIPE_EXACT, LINE_CONTAINS}, {T_NEQ, LINE_NOT_CONTAINS},    {T_PIPE_MATCH, LINE_MATCH},
               {T_NRE, LINE_NOT_MATCH},       {T_PIPE_PATTERN, LINE_PATTERN}, {T_NOT_PATTERN, LINE_NOT_PATTERN}};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (ops[i].kind == t->kind) {
            *ret = ops[i].op;
            return true;
        }
    return false;
}

static bool p_ip_call(struct parser *p, sv *ret)
{
    return p_next(p) && p_expect(p, T_LPAREN, "(") && p_take_text(p, T_STRING, "STRING", ret) &&
           p_expect(p, T_RPAREN, ")");
}

/* A few texts are found faster one after the other than by the automaton. */
static bool find_literals(struct parser *p, struct line_arg *arg)
{
    sv found[8];
    size_t n = regex_literals(arg->re, found, ARRAY_LEN(found));
    if (!n)
        return true;
    sv *copy = arena_alloc(p->a, n * sizeof *copy);
    if (!copy)
        return p_nomem(p);
    memcpy(copy, found, n * sizeof *copy);
    arg->literals = copy;
    arg->n_literals = n;
    return true;
}

static bool p_line_arg(struct parser *p, enum line_op op, struct line_arg *arg)
{
    struct err cause = {0};
    if (p->t.kind == T_IP) {
        struct ip_range *ip = ARENA_NEW(p->a, struct ip_range);
        if (!ip)
            return p_nomem(p);
        if (!p_ip_call(p, &arg->text))
            return false;
        if (op != LINE_CONTAINS && op != LINE_NOT_CONTAINS)
            return p_fail(p, "ip: invalid operation");
        arg->ip = ip;
        return ip_range_parse(arg->text, ip, &cause) ? true : p_fail(p, "%s", cause.msg);
    }
    if (!p_take_text(p, T_STRING, "STRING or ip", &arg->text))
        return false;
    if (op == LINE_MATCH || op == LINE_NOT_MATCH)
        return p_regex(p, arg->text, 0, &arg->re) && find_literals(p, arg);
    if ((op == LINE_PATTERN || op == LINE_NOT_PATTERN) &&
        !pattern_parse(arg->text, true, p->a, &arg->pattern, &cause))
        return p_fail(p, "%s", cause.msg);
    return true;
}

/* An empty text among alternatives says nothing and is left out. */
static void drop_empty_args(struct line_filter *f)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->n; i++)
        if (f->args[i].text.n || (i + 1 == f->n && !kept))
            f->args[kept++] = f->args[i];
    f->n = kept;
}

static bool p_line_filter(struct parser *p, struct stage *s)
{
    struct {
        struct line_arg *at;
        size_t n, cap;
    } list = {0};
    s->kind = STAGE_LINE_FILTER;
    do {
        struct line_arg *arg = p_next(p) ? p_push(p, list) : NULL;
        if (!arg || !p_line_arg(p, s->line.op, arg))
            return false;
    } while (p->t.kind == T_OR);
    s->line.args = list.at, s->line.n = list.n;
    drop_empty_args(&s->line);
    return true;
}

/* ---- label filters ---- */

static struct label_filter *lf_node(struct parser *p, enum label_filter_kind kind)
{
    struct label_filter *f = ARENA_NEW(p->a, struct label_filter);
    if (!f) {
        p_nomem(p);
        return NULL;
    }
    f->kind = kind;
    f->depth = 1;
    return f;
}

/* `left` joined with `right`; nodes of one kind are flattened, so chains stay shallow. */
static struct label_filter *lf_join(struct parser *p, enum label_filter_kind kind, struct label_filter *left,
                                    struct label_filter *right)
{
    struct label_filter *both[] = {left, right}, *f = left->kind == kind ? left : lf_node(p, kind);
    for (size_t side = f == left; f && side < 2; side++) {
        struct label_filter *x = both[side];
        bool flat = x->kind == kind;
        for (size_t i = 0; i < (flat ? x->n : 1); i++) {
            struct label_filter **grown = arena_grow(p->a, f->kids, f->n, &f->cap, sizeof(struct label_filter *));
            if (!grown) {
                p_nomem(p);
                return NULL;
            }
            f->kids = grown;
            f->kids[f->n] = flat ? x->kids[i] : x;
            f->depth = MAX(f->depth, f->kids[f->n]->depth + 1);
            f->n++;
        }
    }
    if (f && f->depth > LOGQL_MAX_DEPTH) {
        p_fail(p, "expression is nested more than %d levels deep", LOGQL_MAX_DEPTH);
        return NULL;
    }
    return f;
}

static bool token_cmp_op(const struct token *t, enum cmp_op *ret)
{
    static const struct {
        enum token_kind kind;
        enum cmp_op op;
    } ops[] = {{T_EQ, CMP_EQ}, {T_CMP_EQ, CMP_EQ}, {T_NEQ, CMP_NEQ}, {T_GT, CMP_GT},
               {T_GTE, CMP_GTE}, {T_LT, CMP_LT},   {T_LTE, CMP_LTE}};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (ops[i].kind == t->kind) {
            *ret = ops[i].op;
            return true;
        }
    return false;
}

static bool p_ip_filter(struct parser *p, struct label_filter *f)
{
    f->kind = LF_IP;
    struct err cause = {0};
    if (!p_ip_call(p, &f->text))
        return false;
    return ip_range_parse(f->text, &f->ip, &cause)
               ? true
               : p_fail(p, "stage '| " SV_FMT "%sip(\"" SV_FMT "\")' : %s", SV_ARG(f->m.name), cmp_op_names[f->cmp],
                        SV_ARG(f->text), cause.msg);
}

/* A number, duration or size, perhaps with a sign. */
static bool p_quantity(struct parser *p, struct label_filter *f)
{
    struct token sign = p->t;
    bool has_sign = sign.kind == T_ADD || sign.kind == T_SUB;
    if (has_sign && !p_next(p))
        return false;
    if (has_sign && p->t.kind != T_NUMBER)
        return p_unexpected(p, "NUMBER");
    size_t from = has_sign ? sign.pos : p->t.pos;
    f->text = sv_sub(p->lx.src, from, p->t.end - from);
    switch (p->t.kind) {
    case T_NUMBER:
        f->kind = LF_NUMBER;
        if (!float_go(p->t.text, &f->value, NULL))
            f->value = 0; /* as Loki does with 0x10 */
        if (sign.kind == T_SUB)
            f->value = -f->value;
        break;
    case T_DURATION:
        f->kind = LF_DURATION;
        f->value = (double)p->t.ns / 1e9;
        break;
    case T_BYTES:
        f->kind = LF_BYTES;
        f->value = p->t.value;
        break;
    default:
        return p_unexpected(p, NULL);
    }
    return p_next(p);
}

static bool p_leaf(struct parser *p, struct label_filter *f)
{
    if (!p_take_text(p, T_IDENT, "IDENTIFIER or (", &f->m.name))
        return false;
    bool string_op = token_match_op(&p->t, &f->m.op);
    if (!token_cmp_op(&p->t, &f->cmp)) {
        if (!string_op)
            return p_unexpected(p, NULL);
        f->kind = LF_STRING;
        return p_matcher_tail(p, &f->m);
    }
    struct parser before = *p; /* one token back, should a matcher follow */
    if (!p_next(p))
        return false;
    if (string_op && p->t.kind == T_STRING) {
        *p = before;
        f->kind = LF_STRING;
        return p_matcher_tail(p, &f->m);
    }
    if (string_op && p->t.kind == T_IP)
        return p_ip_filter(p, f);
    return p_quantity(p, f);
}

/* A filter, and by the grammar's greed everything to its right when a comma or nothing stands between. */
static struct label_filter *lf_sequence(struct parser *p)
{
    struct label_filter *f;
    if (!p_enter(p))
        return NULL;
    if (p->t.kind == T_LPAREN) {
        if (!p_next(p) || !p_label_filter(p, &f) || !p_expect(p, T_RPAREN, NULL))
            return NULL;
    } else if (!(f = lf_node(p, LF_STRING)) || !p_leaf(p, f)) {
        return NULL;
    }
    bool comma = p->t.kind == T_COMMA;
    if (comma && !p_next(p))
        return NULL;
    if (comma || p->t.kind == T_IDENT || p->t.kind == T_LPAREN) {
        struct label_filter *rest;
        if (!p_label_filter(p, &rest))
            return NULL;
        f = lf_join(p, LF_AND, f, rest);
    }
    p->nesting--;
    return f;
}

static struct label_filter *lf_and(struct parser *p)
{
    struct label_filter *f = lf_sequence(p), *right;
    while (f && p->t.kind == T_AND)
        f = p_next(p) && (right = lf_sequence(p)) ? lf_join(p, LF_AND, f, right) : NULL;
    return f;
}

bool p_label_filter(struct parser *p, struct label_filter **ret)
{
    struct label_filter *f = lf_and(p), *right;
    while (f && p->t.kind == T_OR)
        f = p_next(p) && (right = lf_and(p)) ? lf_join(p, LF_OR, f, right) : NULL;
    *ret = f;
    return f != NULL;
}

/* ---- stages ---- */

static bool p_extracts(struct parser *p, struct stage *s)
{
    struct {
        struct extract *at;
        size_t n, cap;
    } list = {0};
    while (p->t.kind == T_IDENT || list.n) {
        struct extract *x = p_push(p, list);
        struct err cause = {0};
        if (!x || !p_take_text(p, T_IDENT, "IDENTIFIER", &x->name))
            return false;
        x->text = x->name;
        if (p->t.kind == T_EQ && (!p_next(p) || !p_take_text(p, T_STRING, "STRING", &x->text)))
            return false;
        if (s->kind == STAGE_JSON && !json_path_parse(x->text, p->a, &x->path, &cause))
            return p_fail(p, "%s", cause.msg);
        if (p->t.kind != T_COMMA)
            break;
        if (!p_next(p))
            return false;
    }
    s->extracts = list.at, s->n = list.n, s->cap = list.cap;
    return true;
}

static bool p_logfmt(struct parser *p, struct stage *s)
{
    for (; p->t.kind == T_FLAG;) {
        *(sv_eq(p->t.text, SV("--strict")) ? &s->strict : &s->keep_empty) = true;
        if (!p_next(p))
            return false;
    }
    return p_extracts(p, s);
}

static bool valid_label_name(sv s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c != '_' && !((c | 32) >= 'a' && (c | 32) <= 'z') && !(i && c >= '0' && c <= '9'))
            return false;
    }
    return s.n > 0;
}

static bool p_regexp(struct parser *p, struct stage *s)
{
    struct err cause = {0};
    struct regex_owner *o = ARENA_NEW(p->a, struct regex_owner);
    if (!o)
        return p_nomem(p);
    if (!p_take_text(p, T_STRING, "STRING", &s->text))
        return false;
    if (!regex_compile(s->text, 0, &o->re, &cause))
        return p_fail(p, "invalid regexp parser: %s", cause.msg);
    o->next = p->regexes;
    p->regexes = o;
    s->re = o->re;
    size_t named = 0;
    for (size_t i = 1; i <= regex_groups(s->re); i++) {
        sv name = regex_group_name(s->re, i);
        if (!name.p)
            continue;
        named++;
        if (!valid_label_name(name))
            return p_fail(p, "invalid regexp parser: invalid extracted label name '" SV_FMT "'", SV_ARG(name));
    }
    return named ? true : p_fail(p, "invalid regexp parser: at least one named capture must be supplied");
}

static bool p_pattern(struct parser *p, struct stage *s)
{
    struct err cause = {0};
    if (!p_take_text(p, T_STRING, "STRING", &s->text))
        return false;
    return pattern_parse(s->text, false, p->a, &s->pattern, &cause)
               ? true
               : p_fail(p, "invalid pattern parser: %s", cause.msg);
}

static bool stage_error(struct parser *p, const struct stage *s, const char *what, const struct err *cause)
{
    if (cause->code == ERR_NOMEM || cause->code == ERR_LIMIT) {
        *p->e = *cause;
        return false;
    }
    SCOPED(buf_done) struct buf text = {0};
    print_stage(s, &text);
    return p_fail(p, "stage '%.*s' : %s: %s", (int)MIN(text.n, (size_t)120), text.p ? text.p : "", what, cause->msg);
}

static bool p_line_format(struct parser *p, struct stage *s)
{
    struct err cause = {0};
    if (!p_take_text(p, T_STRING, "STRING", &s->text))
        return false;
    return template_compile(s->text, "line", p->a, &s->tmpl, &cause) ? true
                                                                     : stage_error(p, s, "invalid line template", &cause);
}

static bool check_formats(struct parser *p, struct stage *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct label_format *f = &s->formats[i];
        if (sv_eq(f->dst, SV("__error__")))
            return p_fail(p, "__error__ cannot be formatted");
        for (size_t j = 0; j < i; j++)
            if (sv_eq(s->formats[j].dst, f->dst))
                return p_fail(p, "multiple label name '" SV_FMT "' not allowed in a single format operation",
                              SV_ARG(f->dst));
    }
    return true;
}

static bool p_label_format(struct parser *p, struct stage *s)
{
    struct {
        struct label_format *at;
        size_t n, cap;
    } list = {0};
    for (;;) {
        struct label_format *f = p_push(p, list);
        struct err cause = {0};
        if (!f || !p_take_text(p, T_IDENT, "IDENTIFIER", &f->dst) || !p_expect(p, T_EQ, "="))
            return false;
        s->formats = list.at, s->n = list.n, s->cap = list.cap;
        bool is_template = p->t.kind == T_STRING;
        if (!p_take_text(p, is_template ? T_STRING : T_IDENT, "IDENTIFIER or STRING", &f->src))
            return false;
        if (is_template && !template_compile(f->src, "label", p->a, &f->tmpl, &cause)) {
            char what[128];
            snprintf(what, sizeof what, "invalid template for label '%.*s'", (int)MIN(f->dst.n, (size_t)60), f->dst.p);
            return stage_error(p, s, what, &cause);
        }
        if (p->t.kind != T_COMMA)
            return check_formats(p, s);
        if (!p_next(p))
            return false;
    }
}

static bool p_name_matches(struct parser *p, struct stage *s)
{
    struct {
        struct name_match *at;
        size_t n, cap;
    } list = {0};
    for (;;) {
        struct name_match *m = p_push(p, list);
        enum match_op op;
        if (!m || !p_take_text(p, T_IDENT, "IDENTIFIER", &m->m.name))
            return false;
        m->has_matcher = token_match_op(&p->t, &op);
        if (m->has_matcher && !p_matcher_tail(p, &m->m))
            return false;
        s->names = list.at, s->n = list.n, s->cap = list.cap;
        if (p->t.kind != T_COMMA)
            return true;
        if (!p_next(p))
            return false;
    }
}

/* What stands behind `|`. */
static bool p_stage(struct parser *p, struct stage *s)
{
    static const struct {
        enum token_kind token;
        enum stage_kind kind;
        bool (*parse)(struct parser *p, struct stage *s);
    } stages[] = {
        {T_JSON, STAGE_JSON, p_extracts},
        {T_LOGFMT, STAGE_LOGFMT, p_logfmt},
        {T_REGEXP, STAGE_REGEXP, p_regexp},
        {T_PATTERN, STAGE_PATTERN, p_pattern},
        {T_LINE_FORMAT, STAGE_LINE_FORMAT, p_line_format},
        {T_LABEL_FORMAT, STAGE_LABEL_FORMAT, p_label_format},
        {T_DROP, STAGE_DROP, p_name_matches},
        {T_KEEP, STAGE_KEEP, p_name_matches},
        {T_UNPACK, STAGE_UNPACK, NULL},
        {T_DECOLORIZE, STAGE_DECOLORIZE, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(stages); i++)
        if (stages[i].token == p->t.kind) {
            s->kind = stages[i].kind;
            return p_next(p) && (!stages[i].parse || stages[i].parse(p, s));
        }
    if (p->t.kind != T_IDENT && p->t.kind != T_LPAREN)
        return p_unexpected(p, NULL);
    s->kind = STAGE_LABEL_FILTER;
    return p_label_filter(p, &s->filter);
}

/* ---- unwrap ---- */

bool p_unwrap_filters(struct parser *p, struct unwrap *uw)
{
    while (p->t.kind == T_PIPE) {
        if (!p_next(p))
            return false;
        if (uw->n == LOGQL_MAX_STAGES)
            return p_fail(p, "a pipeline has more than %d stages", LOGQL_MAX_STAGES);
        if (p->t.kind != T_IDENT && p->t.kind != T_LPAREN)
            return p_unexpected(p, "IDENTIFIER or (");
        struct label_filter *f;
        if (!p_label_filter(p, &f))
            return false;
        struct label_filter **grown = arena_grow(p->a, uw->filters, uw->n, &uw->cap, sizeof(struct label_filter *));
        if (!grown)
            return p_nomem(p);
        uw->filters = grown;
        uw->filters[uw->n++] = f;
    }
    return true;
}

static bool p_unwrap(struct parser *p, struct unwrap *uw)
{
    uw->present = true;
    if (!p_next(p))
        return false;
    if (p->t.kind != T_CONV)
        return p_take_text(p, T_IDENT, "IDENTIFIER or bytes or duration or duration_seconds", &uw->name) &&
               p_unwrap_filters(p, uw);
    uw->conv = (enum unwrap_conv)p->t.op;
    return p_next(p) && p_expect(p, T_LPAREN, "(") && p_take_text(p, T_IDENT, "IDENTIFIER", &uw->name) &&
           p_expect(p, T_RPAREN, ")") && p_unwrap_filters(p, uw);
}

bool p_starts_stage(const struct parser *p)
{
    enum line_op op;
    return p->t.kind == T_PIPE || token_line_op(&p->t, &op);
}

bool p_pipeline(struct parser *p, struct log_query *q, struct unwrap *uw)
{
    struct {
        struct stage *at;
        size_t n, cap;
    } list = {0};
    while (p_starts_stage(p)) {
        enum line_op op = LINE_CONTAINS;
        bool is_filter = token_line_op(&p->t, &op);
        if (!is_filter) {
            if (!p_next(p))
                return false;
            if (uw && p->t.kind == T_UNWRAP) {
                if (!p_unwrap(p, uw))
                    return false;
                break;
            }
        }
        if (list.n == LOGQL_MAX_STAGES)
            return p_fail(p, "a pipeline has more than %d stages", LOGQL_MAX_STAGES);
        struct stage *s = p_push(p, list);
        if (!s)
            return false;
        s->line.op = op;
        if (!(is_filter ? p_line_filter(p, s) : p_stage(p, s)))
            return false;
    }
    q->stages = list.at, q->n_stages = list.n, q->cap_stages = list.cap;
    return true;
}

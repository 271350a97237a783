/* parse.c - LogQL expressions by recursive descent; parse_binary.c climbs the operators, parse_pipeline.c has what is in a
 * log query.
 * (1) Messages are those of Loki's table-driven parser, whose users search the web for them: a syntax error names the
 *     token and, when the state it would be in allows at most four, the alternatives in the order of its token table.
 *     After an optional part that is absent that parser reduces first, so only what is mandatory next is listed.
 * (2) The first error wins. What a node is checked for when it is complete has no position: "parse error : …".
 * (3) Depth is capped twice: nesting while descending, tree height when a node is made (a chain of operators grows the
 *     tree without nesting), so that every later walk may recurse. */
#include "logql/parser.h"
#include "logql/units.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

const char *const range_op_names[] = {
    [RANGE_COUNT] = "count_over_time",    [RANGE_RATE] = "rate",
    [RANGE_RATE_COUNTER] = "rate_counter", [RANGE_BYTES] = "bytes_over_time",
    [RANGE_BYTES_RATE] = "bytes_rate",    [RANGE_AVG] = "avg_over_time",
    [RANGE_SUM] = "sum_over_time",        [RANGE_MIN] = "min_over_time",
    [RANGE_MAX] = "max_over_time",        [RANGE_STDVAR] = "stdvar_over_time",
    [RANGE_STDDEV] = "stddev_over_time",  [RANGE_QUANTILE] = "quantile_over_time",
    [RANGE_FIRST] = "first_over_time",    [RANGE_LAST] = "last_over_time",
    [RANGE_ABSENT] = "absent_over_time",
};
const char *const vector_op_names[] = {
    [VECTOR_SUM] = "sum",       [VECTOR_AVG] = "avg",         [VECTOR_COUNT] = "count",
    [VECTOR_MAX] = "max",       [VECTOR_MIN] = "min",         [VECTOR_STDDEV] = "stddev",
    [VECTOR_STDVAR] = "stdvar", [VECTOR_TOPK] = "topk",       [VECTOR_BOTTOMK] = "bottomk",
    [VECTOR_SORT] = "sort",     [VECTOR_SORT_DESC] = "sort_desc", [VECTOR_APPROX_TOPK] = "approx_topk",
};
const char *const cmp_op_names[] = {
    [CMP_EQ] = "=", [CMP_NEQ] = "!=", [CMP_GT] = ">", [CMP_GTE] = ">=", [CMP_LT] = "<", [CMP_LTE] = "<="};
const char *const line_op_names[] = {
    [LINE_CONTAINS] = "|=",  [LINE_NOT_CONTAINS] = "!=", [LINE_MATCH] = "|~",
    [LINE_NOT_MATCH] = "!~", [LINE_PATTERN] = "|>",      [LINE_NOT_PATTERN] = "!>",
};
const char *const match_op_names[] = {
    [MATCH_EQ] = "=", [MATCH_NEQ] = "!=", [MATCH_RE] = "=~", [MATCH_NRE] = "!~"};
const char *const unwrap_conv_names[] = {
    [UNWRAP_NUMBER] = "",
    [UNWRAP_BYTES] = "bytes",
    [UNWRAP_DURATION] = "duration",
    [UNWRAP_DURATION_SECONDS] = "duration_seconds",
};

/* ---- the parser's hands ---- */

bool p_next(struct parser *p)
{
    return lex_next(&p->lx, &p->t, p->e);
}

bool p_unexpected(struct parser *p, const char *expecting)
{
    sv name = token_name(&p->lx, &p->t);
    return lex_error(&p->lx, &p->t, p->e, "syntax error: unexpected " SV_FMT "%s%s", SV_ARG(name),
                     expecting ? ", expecting " : "", expecting ? expecting : "");
}

bool p_expect(struct parser *p, enum token_kind kind, const char *expecting)
{
    return p->t.kind == kind ? p_next(p) : p_unexpected(p, expecting);
}

bool p_take_text(struct parser *p, enum token_kind kind, const char *expecting, sv *ret)
{
    if (p->t.kind != kind)
        return p_unexpected(p, expecting);
    *ret = p->t.text;
    return p_next(p);
}

bool p_fail(struct parser *p, const char *fmt, ...)
{
    if (p->a->failed) /* the cause of whatever the caller is about to say */
        return p_nomem(p);
    char msg[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return err_at(p->e, ERR_PARSE, p->t.pos, "parse error : %s", msg);
}

bool p_nomem(struct parser *p)
{
    return arena_err(p->a, p->e, "query text");
}

void *p_push_(struct parser *p, void **at, size_t *n, size_t *cap, size_t size)
{
    void *grown = arena_grow(p->a, *at, *n, cap, size);
    if (!grown) {
        p_nomem(p);
        return NULL;
    }
    *at = grown;
    return memset((char *)grown + (*n)++ * size, 0, size);
}

bool p_enter(struct parser *p)
{
    if (++p->nesting > LOGQL_MAX_NESTING) /* wider than the tree's cap, so that what was printed can be read */
        return p_fail(p, "expression is nested more than %d levels deep", LOGQL_MAX_DEPTH);
    return true;
}

bool p_regex(struct parser *p, sv pattern, unsigned flags, struct regex **ret)
{
    struct regex_owner *o = ARENA_NEW(p->a, struct regex_owner);
    if (!o)
        return p_nomem(p);
    struct err cause = {0};
    if (!regex_compile(pattern, flags, &o->re, &cause))
        return p_fail(p, "%s", cause.msg);
    o->next = p->regexes;
    p->regexes = o;
    *ret = o->re;
    return true;
}

bool p_names(struct parser *p, sv **names, size_t *n, size_t *cap)
{
    struct {
        sv *at;
        size_t n, cap;
    } list = {*names, *n, *cap};
    if (!p_expect(p, T_LPAREN, "("))
        return false;
    while (p->t.kind == T_IDENT) {
        sv *name = p_push(p, list);
        if (!name || !p_take_text(p, T_IDENT, NULL, name))
            return false;
        if (p->t.kind == T_RPAREN)
            break;
        if (!p_expect(p, T_COMMA, ", or )"))
            return false;
        if (p->t.kind != T_IDENT)
            return p_unexpected(p, "IDENTIFIER");
    }
    *names = list.at, *n = list.n, *cap = list.cap;
    return p_expect(p, T_RPAREN, "IDENTIFIER or )");
}

/* ---- nodes ---- */

struct logql_expr *p_node(struct parser *p, enum expr_kind kind, size_t depth)
{
    if (depth > LOGQL_MAX_DEPTH) {
        p_fail(p, "expression is nested more than %d levels deep", LOGQL_MAX_DEPTH);
        return NULL;
    }
    struct logql_expr *x = ARENA_NEW(p->a, struct logql_expr);
    if (!x) {
        p_nomem(p);
        return NULL;
    }
    x->kind = kind;
    x->depth = depth;
    return x;
}

static bool read_number(struct parser *p, double *ret)
{
    struct err cause = {0};
    if (p->t.kind != T_NUMBER)
        return p_unexpected(p, "NUMBER");
    if (!float_go(p->t.text, ret, &cause))
        return p_fail(p, "unable to parse literal as a float: %s", cause.msg);
    return p_next(p);
}

static struct logql_expr *p_literal(struct parser *p, bool negative)
{
    double v;
    if (!read_number(p, &v))
        return NULL;
    struct logql_expr *x = p_node(p, EXPR_LITERAL, 1);
    if (x)
        x->value = negative ? -v : v;
    return x;
}

static bool p_grouping(struct parser *p, struct grouping *by)
{
    if (p->t.kind != T_BY && p->t.kind != T_WITHOUT)
        return true;
    by->present = true;
    by->without = p->t.kind == T_WITHOUT;
    return p_next(p) && p_names(p, &by->names, &by->n, &by->cap);
}

/* NUMBER "," in front of an operand; otherwise nothing is taken. */
static bool p_param(struct parser *p, bool *has, double *ret)
{
    *has = false;
    if (p->t.kind != T_NUMBER)
        return true;
    struct lexer ahead = p->lx;
    struct token follows;
    struct err ignored;
    if (!lex_next(&ahead, &follows, &ignored) || follows.kind != T_COMMA)
        return true;
    *has = true;
    return read_number(p, ret) && p_next(p);
}

/* ---- ranges ---- */

static bool p_offset(struct parser *p, struct range_agg *r)
{
    if (p->t.kind != T_OFFSET)
        return true;
    if (!p_next(p))
        return false;
    if (p->t.kind != T_DURATION)
        return p_unexpected(p, "DURATION");
    r->offset_ns = p->t.ns;
    return p_next(p);
}

static bool p_range(struct parser *p, struct range_agg *r)
{
    r->range_ns = p->t.ns;
    return p_next(p) && p_offset(p, r);
}

/* What stands where the range should be. */
static bool range_missing(struct parser *p, const struct range_agg *r, bool in_parens)
{
    return p_unexpected(p, !r->unwrap.present ? NULL : in_parens ? "RANGE or ) or |" : "RANGE or |");
}

/* selector, stages, unwrap and the range in either place. With `in_parens` the range may be missing before `)`. */
static bool p_operand(struct parser *p, struct range_agg *r, bool in_parens, bool *has_range)
{
    *has_range = false;
    if (!p_selector(p, &r->log))
        return false;
    if (p->t.kind == T_RANGE) {
        *has_range = true;
        return p_range(p, r) && p_pipeline(p, &r->log, &r->unwrap);
    }
    if (!p_pipeline(p, &r->log, &r->unwrap))
        return false;
    if (in_parens && p->t.kind == T_RPAREN)
        return true;
    if (p->t.kind != T_RANGE)
        return range_missing(p, r, in_parens);
    *has_range = true;
    return p_range(p, r);
}

static bool p_log_range(struct parser *p, struct range_agg *r)
{
    bool has_range;
    if (p->t.kind != T_LPAREN) {
        if (p->t.kind != T_LBRACE)
            return p_unexpected(p, "{ or (");
        return p_operand(p, r, false, &has_range);
    }
    if (!p_enter(p) || !p_next(p))
        return false;
    if (p->t.kind == T_LPAREN) {
        if (!p_log_range(p, r))
            return false;
        p->nesting--;
        return p_expect(p, T_RPAREN, ")");
    }
    if (p->t.kind != T_LBRACE)
        return p_unexpected(p, "{ or (");
    if (!p_operand(p, r, true, &has_range) || !p_expect(p, T_RPAREN, ")"))
        return false;
    p->nesting--;
    if (has_range)
        return true;
    if (p->t.kind != T_RANGE)
        return p_unexpected(p, "RANGE");
    bool bare = !r->log.n_stages && !r->unwrap.present;
    if (!p_range(p, r))
        return false;
    if (bare && p->t.kind == T_PIPE) {
        if (!p_pipeline(p, &r->log, &r->unwrap))
            return false;
        if (r->log.n_stages)
            return p_unexpected(p, "unwrap");
    }
    return true;
}

static bool unwrap_required(enum range_op op)
{
    switch (op) {
    case RANGE_COUNT:
    case RANGE_RATE:
    case RANGE_BYTES:
    case RANGE_BYTES_RATE:
    case RANGE_ABSENT:
        return false;
    default:
        return true;
    }
}

static bool check_range_agg(struct parser *p, const struct range_agg *r)
{
    const char *name = range_op_names[r->op];
    if (r->has_param && r->op != RANGE_QUANTILE) {
        SCOPED(buf_done) struct buf number = {0};
        print_float(r->param, &number);
        return p_fail(p, "parameter " SV_FMT " not supported for operation %s", SV_ARG(buf_view(&number)), name);
    }
    if (!r->has_param && r->op == RANGE_QUANTILE)
        return p_fail(p, "parameter required for operation %s", name);
    bool forbidden = r->op == RANGE_COUNT || r->op == RANGE_BYTES || r->op == RANGE_BYTES_RATE;
    if (r->unwrap.present && forbidden)
        return p_fail(p, "invalid aggregation %s with unwrap", name);
    if (!r->unwrap.present && unwrap_required(r->op))
        return p_fail(p, "invalid aggregation %s without unwrap", name);
    bool groups = unwrap_required(r->op) && r->op != RANGE_SUM && r->op != RANGE_RATE_COUNTER;
    if (r->by.present && !groups)
        return p_fail(p, "grouping not allowed for %s aggregation", name);
    return true;
}

static struct logql_expr *p_range_agg(struct parser *p)
{
    struct logql_expr *x = p_node(p, EXPR_RANGE, 1);
    if (!x)
        return NULL;
    struct range_agg *r = &x->range;
    r->op = (enum range_op)p->t.op;
    if (!p_next(p) || !p_expect(p, T_LPAREN, "(") || !p_enter(p) || !p_param(p, &r->has_param, &r->param))
        return NULL;
    if (p->t.kind == T_NUMBER && (!p_next(p) || !p_expect(p, T_COMMA, ",")))
        return NULL;
    if (!r->has_param && p->t.kind != T_LPAREN && p->t.kind != T_LBRACE) {
        p_unexpected(p, "NUMBER or { or (");
        return NULL;
    }
    if (!p_log_range(p, r) || !p_expect(p, T_RPAREN, ")") || !p_grouping(p, &r->by) || !check_range_agg(p, r))
        return NULL;
    p->nesting--;
    return x;
}

/* ---- vectors ---- */

/* A metric expression where a log expression cannot stand. */
static struct logql_expr *p_metric(struct parser *p)
{
    struct logql_expr *x = p_expr(p);
    if (x && x->kind == EXPR_LOG) {
        p_unexpected(p, NULL);
        return NULL;
    }
    return x;
}

static bool check_vector_agg(struct parser *p, struct vector_agg *v, bool has_param, double param)
{
    const char *name = vector_op_names[v->op];
    SCOPED(buf_done) struct buf number = {0};
    print_float(param, &number);
    bool takes_k = v->op == VECTOR_TOPK || v->op == VECTOR_BOTTOMK || v->op == VECTOR_APPROX_TOPK;
    if (takes_k && !has_param)
        return p_fail(p, "parameter required for operation %s", name);
    if (!takes_k && has_param)
        return p_fail(p, "unsupported parameter for operation %s(" SV_FMT ",", name, SV_ARG(buf_view(&number)));
    if (takes_k && (param != floor(param) || fabs(param) > 1e15))
        return p_fail(p, "invalid parameter %s(" SV_FMT ",", name, SV_ARG(buf_view(&number)));
    if (takes_k && param <= 0)
        return p_fail(p, "invalid parameter (must be greater than 0) %s(" SV_FMT, name, SV_ARG(buf_view(&number)));
    if (v->by.present && (v->op == VECTOR_SORT || v->op == VECTOR_SORT_DESC))
        return p_fail(p, "sort and sort_desc doesn't allow grouping by ");
    if (v->by.present && v->op == VECTOR_APPROX_TOPK)
        return p_fail(p, "grouping not allowed for %s aggregation", name);
    if (v->inner->kind == EXPR_LITERAL)
        return p_fail(p, "%s() needs a vector, not a number; vector(…) makes one", name);
    if (takes_k)
        v->k = (int64_t)param;
    return true;
}

static struct logql_expr *p_vector_agg(struct parser *p)
{
    struct vector_agg v = {.op = (enum vector_op)p->t.op};
    bool has_param;
    double param = 0;
    if (!p_next(p) || !p_grouping(p, &v.by) || !p_expect(p, T_LPAREN, v.by.present ? "(" : "( or by or without") ||
        !p_enter(p) || !p_param(p, &has_param, &param))
        return NULL;
    v.inner = p_metric(p);
    if (!v.inner || !p_expect(p, T_RPAREN, NULL) || (!v.by.present && !p_grouping(p, &v.by)) ||
        !check_vector_agg(p, &v, has_param, param))
        return NULL;
    p->nesting--;
    struct logql_expr *x = p_node(p, EXPR_VECTOR_AGG, v.inner->depth + 1);
    if (x)
        x->agg = v;
    return x;
}

static struct logql_expr *p_vector(struct parser *p)
{
    struct logql_expr *x = p_node(p, EXPR_VECTOR, 1);
    if (!x || !p_next(p) || !p_expect(p, T_LPAREN, "(") || !read_number(p, &x->value) || !p_expect(p, T_RPAREN, ")"))
        return NULL;
    return x;
}

static struct logql_expr *p_label_replace(struct parser *p)
{
    struct label_replace r = {0};
    sv *const texts[] = {&r.dst, &r.replacement, &r.src, &r.pattern};
    if (!p_next(p) || !p_expect(p, T_LPAREN, "(") || !p_enter(p) || !(r.inner = p_metric(p)))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (!p_expect(p, T_COMMA, i ? "," : NULL) || !p_take_text(p, T_STRING, "STRING", texts[i]))
            return NULL;
    if (!p_expect(p, T_RPAREN, ")"))
        return NULL;
    p->nesting--;
    struct regex_owner *o = ARENA_NEW(p->a, struct regex_owner);
    if (!o) {
        p_nomem(p);
        return NULL;
    }
    struct err cause = {0};
    if (!regex_compile(r.pattern, REGEX_FULL, &o->re, &cause)) {
        p_fail(p, "invalid regex in label_replace: %s", cause.msg);
        return NULL;
    }
    o->next = p->regexes;
    p->regexes = o;
    r.re = o->re;
    if (r.inner->kind == EXPR_LITERAL) {
        p_fail(p, "label_replace() needs a vector, not a number");
        return NULL;
    }
    struct logql_expr *x = p_node(p, EXPR_LABEL_REPLACE, r.inner->depth + 1);
    if (x)
        x->replace = r;
    return x;
}

/* ---- logs ---- */

static struct logql_expr *p_log(struct parser *p)
{
    struct logql_expr *x = p_node(p, EXPR_LOG, 1);
    if (!x || !p_selector(p, &x->log) || !p_pipeline(p, &x->log, NULL))
        return NULL;
    return x;
}

struct logql_expr *p_primary(struct parser *p)
{
    switch (p->t.kind) {
    case T_LBRACE:
        return p_log(p);
    case T_RANGE_OP:
        return p_range_agg(p);
    case T_VECTOR_OP:
        return p_vector_agg(p);
    case T_VECTOR:
        return p_vector(p);
    case T_LABEL_REPLACE:
        return p_label_replace(p);
    case T_NUMBER:
        return p_literal(p, false);
    case T_ADD:
    case T_SUB: {
        bool negative = p->t.kind == T_SUB;
        return p_next(p) ? p_literal(p, negative) : NULL;
    }
    case T_LPAREN: {
        if (!p_enter(p) || !p_next(p))
            return NULL;
        struct logql_expr *x = p_expr(p);
        if (!x || !p_expect(p, T_RPAREN, NULL))
            return NULL;
        p->nesting--;
        return x;
    }
    default:
        p_unexpected(p, NULL);
        return NULL;
    }
}

/* ---- the ways in ---- */

static bool check_selectors(struct parser *p, const struct logql_expr *x)
{
    switch (x->kind) {
    case EXPR_LOG:
        return p_check_matchers(p, &x->log);
    case EXPR_RANGE:
        return p_check_matchers(p, &x->range.log);
    case EXPR_VECTOR_AGG:
        return check_selectors(p, x->agg.inner);
    case EXPR_LABEL_REPLACE:
        return check_selectors(p, x->replace.inner);
    case EXPR_BINARY:
        return check_selectors(p, x->bin.left) && check_selectors(p, x->bin.right);
    case EXPR_LITERAL:
    case EXPR_VECTOR:
        return true;
    }
    return true;
}

static void regexes_free(struct regex_owner *o)
{
    for (; o; o = o->next)
        regex_free(o->re);
}

static bool start(struct parser *p, sv text, struct arena *a, struct err *e)
{
    *p = (struct parser){.lx = {.src = text, .a = a}, .a = a, .e = e};
    if (text.n >= LOGQL_MAX_TEXT)
        return err_set(p->e, ERR_PARSE, "parse error : input size too long (%zu > %d)", text.n, LOGQL_MAX_TEXT);
    size_t valid = sv_utf8_prefix(text);
    if (valid < text.n)
        return lex_error(&p->lx, &(struct token){.pos = valid}, p->e, "invalid UTF-8 rune");
    return p_next(p);
}

static struct logql_expr *parse_all(struct parser *p)
{
    struct logql_expr *x = p_expr(p);
    if (!x)
        return NULL;
    if (p->t.kind != T_END) {
        p_unexpected(p, NULL);
        return NULL;
    }
    return check_selectors(p, x) ? x : NULL;
}

bool logql_parse(sv text, struct arena *a, struct logql_expr **ret, struct err *e)
{
    struct parser p;
    struct logql_expr *x = start(&p, text, a, e) ? parse_all(&p) : NULL;
    if (!x) {
        regexes_free(p.regexes);
        return false;
    }
    x->regexes = p.regexes;
    *ret = x;
    return true;
}

void logql_free(struct logql_expr *x)
{
    if (x) {
        regexes_free(x->regexes);
        x->regexes = NULL;
    }
}

bool logql_is_metric(const struct logql_expr *x)
{
    return x->kind != EXPR_LOG;
}

static bool parse_selector(struct parser *p, struct log_query *q, bool allow_empty)
{
    if (p->t.kind != T_LBRACE)
        return p_unexpected(p, NULL);
    if (!p_selector(p, q))
        return false;
    if (p_starts_stage(p))
        return err_at(p->e, ERR_INVALID, p->t.pos, "only label matchers are supported");
    if (p->t.kind != T_END)
        return p_unexpected(p, NULL);
    return allow_empty || p_check_matchers(p, q);
}

bool logql_parse_selector(sv text, bool allow_empty, struct arena *a, struct matcher **ret, size_t *ret_n,
                          struct err *e)
{
    struct parser p;
    struct log_query q = {0};
    if (!start(&p, text, a, e) || !parse_selector(&p, &q, allow_empty)) {
        regexes_free(p.regexes);
        return false;
    }
    *ret = q.matchers;
    *ret_n = q.n_matchers;
    return true;
}

void logql_free_matchers(struct matcher *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        regex_free(m[i].re);
        m[i].re = NULL;
    }
}

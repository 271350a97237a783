/* parse_binary.c - operators between expressions, by precedence climbing.
 * Two literals are folded here: no binary node has two literal legs. */
#include "logql/parser.h"
#include <math.h>

const char *const bin_op_names[] = {
    [BIN_OR] = "or",  [BIN_AND] = "and", [BIN_UNLESS] = "unless", [BIN_EQ] = "==", [BIN_NEQ] = "!=",
    [BIN_GT] = ">",   [BIN_GTE] = ">=",  [BIN_LT] = "<",          [BIN_LTE] = "<=", [BIN_ADD] = "+",
    [BIN_SUB] = "-",  [BIN_MUL] = "*",   [BIN_DIV] = "/",         [BIN_MOD] = "%", [BIN_POW] = "^",
};

static int precedence(enum bin_op op)
{
    switch (op) {
    case BIN_OR:
        return 1;
    case BIN_AND:
    case BIN_UNLESS:
        return 2;
    case BIN_ADD:
    case BIN_SUB:
        return 4;
    case BIN_MUL:
    case BIN_DIV:
    case BIN_MOD:
        return 5;
    case BIN_POW:
        return 6;
    default:
        return 3;
    }
}

static bool token_bin_op(const struct token *t, enum bin_op *ret)
{
    static const struct {
        enum token_kind kind;
        enum bin_op op;
    } ops[] = {{T_OR, BIN_OR},   {T_AND, BIN_AND}, {T_UNLESS, BIN_UNLESS}, {T_CMP_EQ, BIN_EQ}, {T_NEQ, BIN_NEQ},
               {T_GT, BIN_GT},   {T_GTE, BIN_GTE}, {T_LT, BIN_LT},         {T_LTE, BIN_LTE},   {T_ADD, BIN_ADD},
               {T_SUB, BIN_SUB}, {T_MUL, BIN_MUL}, {T_DIV, BIN_DIV},       {T_MOD, BIN_MOD},   {T_POW, BIN_POW}};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (ops[i].kind == t->kind) {
            *ret = ops[i].op;
            return true;
        }
    return false;
}

double bin_op_numbers(enum bin_op op, double a, double b)
{
    switch (op) {
    case BIN_EQ:
        return a == b;
    case BIN_NEQ:
        return a != b;
    case BIN_GT:
        return a > b;
    case BIN_GTE:
        return a >= b;
    case BIN_LT:
        return a < b;
    case BIN_LTE:
        return a <= b;
    case BIN_ADD:
        return a + b;
    case BIN_SUB:
        return a - b;
    case BIN_MUL:
        return a * b;
    case BIN_DIV:
        return b == 0 ? NAN : a / b;
    case BIN_MOD:
        return b == 0 ? NAN : fmod(a, b);
    case BIN_POW:
        return pow(a, b);
    default:
        return NAN;
    }
}

/* [ "bool" ] [ ("on" | "ignoring") names [ ("group_left" | "group_right") [ names ] ] ] */
static bool p_modifier(struct parser *p, struct binary *b)
{
    if (p->t.kind == T_BOOL) {
        b->returns_bool = true;
        if (!p_next(p))
            return false;
    }
    if (p->t.kind != T_ON && p->t.kind != T_IGNORING)
        return true;
    b->match = p->t.kind == T_ON ? MATCH_ON : MATCH_IGNORING;
    if (!p_next(p) || !p_names(p, &b->names, &b->n_names, &b->cap_names))
        return false;
    if (p->t.kind != T_GROUP_LEFT && p->t.kind != T_GROUP_RIGHT)
        return true;
    b->group = p->t.kind == T_GROUP_LEFT ? GROUP_LEFT : GROUP_RIGHT;
    if (!p_next(p))
        return false;
    if (p->t.kind != T_LPAREN)
        return true;
    /* `group_left (names)` or the right operand in parentheses: names are identifiers up to the closing parenthesis */
    struct lexer ahead = p->lx;
    struct token t;
    struct err ignored;
    if (!lex_next(&ahead, &t, &ignored) || (t.kind != T_IDENT && t.kind != T_RPAREN))
        return true;
    return p_names(p, &b->include, &b->n_include, &b->cap_include);
}

static bool check_leg(struct parser *p, const struct binary *b, const struct logql_expr *leg, const char *side)
{
    const char *op = bin_op_names[b->op];
    if (leg->kind == EXPR_LOG)
        return p_fail(p, "unexpected type for %s leg of binary operation (%s): *syntax.%s", side, op,
                      leg->log.n_stages ? "PipelineExpr" : "MatchersExpr");
    if (leg->kind == EXPR_LITERAL && bin_op_is_set(b->op))
        return p_fail(p, "unexpected literal for %s leg of logical/set binary operation (%s): %f", side, op, leg->value);
    return true;
}

static struct logql_expr *join(struct parser *p, struct binary b)
{
    if (!check_leg(p, &b, b.left, "left") || !check_leg(p, &b, b.right, "right"))
        return NULL;
    if (b.group != GROUP_NONE && bin_op_is_set(b.op)) {
        p_fail(p, "no grouping allowed for \"%s\" operation", bin_op_names[b.op]);
        return NULL;
    }
    if (b.left->kind == EXPR_LITERAL && b.right->kind == EXPR_LITERAL) {
        struct logql_expr *x = p_node(p, EXPR_LITERAL, 1);
        if (x)
            x->value = bin_op_numbers(b.op, b.left->value, b.right->value);
        return x;
    }
    struct logql_expr *x = p_node(p, EXPR_BINARY, MAX(b.left->depth, b.right->depth) + 1);
    if (x)
        x->bin = b;
    return x;
}

static struct logql_expr *p_binary(struct parser *p, int min_precedence)
{
    struct logql_expr *left = p_primary(p);
    struct binary b = {0};
    while (left && token_bin_op(&p->t, &b.op) && precedence(b.op) >= min_precedence) {
        b = (struct binary){.op = b.op, .left = left};
        if (!p_next(p) || !p_modifier(p, &b) || !p_enter(p))
            return NULL;
        b.right = p_binary(p, precedence(b.op) + (b.op == BIN_POW ? 0 : 1));
        if (!b.right)
            return NULL;
        p->nesting--;
        left = join(p, b);
    }
    return left;
}

struct logql_expr *p_expr(struct parser *p)
{
    return p_binary(p, 1);
}

/* template_run.c - running a template: the functions there are, the walk, errors as Go words them.
 * (1) A value's type matters as in Go: all labels are strings, functions take strings or numbers and say so.
 * (2) Functions give exactly what Go's would, or they are not in the table (then the query is refused, see template.c).
 * (3) No value grows beyond TMPL_MAX_VALUE bytes. */
#include "logql/template_ast.h"
#include <stdio.h>

static TMPL_FN(fn_line)
{
    *ret = value_string(env->line);
    return true;
}

const struct tmpl_function *tmpl_function_find(sv name, bool *known)
{
    static const struct tmpl_function table[] = {
        {"__line__", 0, 0, fn_line},
        {"ToLower", 1, 1, fn_lower},
        {"ToUpper", 1, 1, fn_upper},
        {"lower", 1, 1, fn_lower},
        {"upper", 1, 1, fn_upper},
        {"TrimSpace", 1, 1, fn_trim},
        {"trim", 1, 1, fn_trim},
        {"Trim", 2, 2, fn_Trim},
        {"TrimLeft", 2, 2, fn_TrimLeft},
        {"TrimRight", 2, 2, fn_TrimRight},
        {"trimAll", 2, 2, fn_trimAll},
        {"TrimPrefix", 2, 2, fn_TrimPrefix},
        {"TrimSuffix", 2, 2, fn_TrimSuffix},
        {"trimPrefix", 2, 2, fn_trimPrefix},
        {"trimSuffix", 2, 2, fn_trimSuffix},
        {"Replace", 4, 4, fn_Replace},
        {"replace", 3, 3, fn_replace},
        {"contains", 2, 2, fn_contains},
        {"hasPrefix", 2, 2, fn_hasPrefix},
        {"hasSuffix", 2, 2, fn_hasSuffix},
        {"repeat", 2, 2, fn_repeat},
        {"trunc", 2, 2, fn_trunc},
        {"substr", 3, 3, fn_substr},
        {"indent", 2, 2, fn_indent},
        {"nindent", 2, 2, fn_nindent},
        {"alignLeft", 2, 2, fn_alignLeft},
        {"alignRight", 2, 2, fn_alignRight},
        {"regexReplaceAll", 3, 3, fn_regexReplaceAll},
        {"regexReplaceAllLiteral", 3, 3, fn_regexReplaceAllLiteral},
        {"count", 2, 2, fn_count},
        {"urlencode", 1, 1, fn_urlencode},
        {"urldecode", 1, 1, fn_urldecode},
        {"b64enc", 1, 1, fn_b64enc},
        {"int", 1, 1, fn_int},
        {"float64", 1, 1, fn_float64},
        {"add", 1, TMPL_MAX_ARGS, fn_add},
        {"sub", 2, 2, fn_sub},
        {"mul", 1, TMPL_MAX_ARGS, fn_mul},
        {"div", 2, 2, fn_div},
        {"mod", 2, 2, fn_mod},
        {"max", 1, TMPL_MAX_ARGS, fn_max},
        {"min", 1, TMPL_MAX_ARGS, fn_min},
        {"addf", 1, TMPL_MAX_ARGS, fn_addf},
        {"subf", 1, TMPL_MAX_ARGS, fn_subf},
        {"mulf", 1, TMPL_MAX_ARGS, fn_mulf},
        {"divf", 1, TMPL_MAX_ARGS, fn_divf},
        {"maxf", 1, TMPL_MAX_ARGS, fn_maxf},
        {"minf", 1, TMPL_MAX_ARGS, fn_minf},
        {"round", 2, 2, fn_round},
        {"ceil", 1, 1, fn_ceil},
        {"floor", 1, 1, fn_floor},
        {"bytes", 1, 1, fn_bytes},
        {"duration", 1, 1, fn_duration},
        {"duration_seconds", 1, 1, fn_duration},
        {"eq", 2, TMPL_MAX_ARGS, fn_eq},
        {"ne", 2, 2, fn_ne},
        {"lt", 2, 2, fn_lt},
        {"le", 2, 2, fn_le},
        {"gt", 2, 2, fn_gt},
        {"ge", 2, 2, fn_ge},
        {"and", 1, TMPL_MAX_ARGS, fn_and},
        {"or", 1, TMPL_MAX_ARGS, fn_or},
        {"not", 1, 1, fn_not},
        {"len", 1, 1, fn_len},
        {"default", 2, 2, fn_default},
        {"__timestamp__", 0, 0, fn_timestamp},
        {"date", 2, 2, fn_date},
        {"unixEpoch", 1, 1, fn_unixEpoch},
        {"unixEpochMillis", 1, 1, fn_unixEpochMillis},
        {"unixEpochNanos", 1, 1, fn_unixEpochNanos},
        {"unixToTime", 1, 1, fn_unixToTime},
        {"title", 1, 1, fn_title},
        {"print", 0, TMPL_MAX_ARGS, fn_print},
        {"println", 0, TMPL_MAX_ARGS, fn_println},
        {"printf", 1, TMPL_MAX_ARGS, fn_printf},
    };
    static const char *const others[] = {
        "b64dec", "fromJson", "now", "toDate", "toDateInZone", "index", "slice", "html", "js", "urlquery", "call",
    };
    *known = true;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (sv_eq(name, sv_of(table[i].name)))
            return &table[i];
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (sv_eq(name, sv_of(others[i])))
            return NULL;
    *known = false;
    return NULL;
}

/* ---- the walk ---- */

struct run {
    const struct template *t;
    const struct template_env *env;
    struct err *e;
};

static bool run_pipe(struct run *r, const struct tmpl_pipe *pipe, struct value *ret);

static bool run_arg(struct run *r, const struct tmpl_arg *arg, struct value *ret, const struct tmpl_function **called)
{
    switch (arg->kind) {
    case ARG_FIELD: {
        sv s = r->env->label(r->env->ctx, arg->field);
        *ret = value_string(s.p ? s : SV(""));
        return true;
    }
    case ARG_VALUE:
        *ret = arg->value;
        return true;
    case ARG_PIPE:
        return run_pipe(r, arg->pipe, ret);
    case ARG_FUNCTION:
        *called = arg->fn;
        return arg->fn->fn(r->env, NULL, 0, ret, r->e);
    }
    return true;
}

/* Puts where and what in front of a function's complaint. */
static bool run_failed(struct run *r, const struct tmpl_command *cmd, const struct tmpl_function *fn)
{
    if (!fn || !r->e || r->e->code != ERR_INVALID)
        return false;
    char cause[200];
    snprintf(cause, sizeof cause, "%.199s", r->e->msg);
    return err_set(r->e, ERR_INVALID, "template: %s:%zu:%zu: executing \"%s\" at <%.*s>: error calling %s: %s", r->t->name,
                   cmd->line, cmd->col, r->t->name, (int)MIN(cmd->text.n, (size_t)100), cmd->text.p, fn->name, cause);
}

static bool run_command(struct run *r, const struct tmpl_command *cmd, const struct value *piped, struct value *ret)
{
    const struct tmpl_function *fn = NULL;
    if (cmd->at[0].kind != ARG_FUNCTION)
        return run_arg(r, &cmd->at[0], ret, &fn);
    struct value args[TMPL_MAX_ARGS];
    size_t n = 0;
    for (size_t i = 1; i < cmd->n; i++)
        if (!run_arg(r, &cmd->at[i], &args[n++], &fn))
            return run_failed(r, cmd, fn);
    if (piped)
        args[n++] = *piped;
    fn = cmd->at[0].fn;
    return fn->fn(r->env, args, n, ret, r->e) ? true : run_failed(r, cmd, fn);
}

static bool run_pipe(struct run *r, const struct tmpl_pipe *pipe, struct value *ret)
{
    struct value v = {0};
    for (size_t i = 0; i < pipe->n; i++) {
        struct value piped = v;
        if (!run_command(r, &pipe->at[i], i ? &piped : NULL, &v))
            return false;
    }
    *ret = v;
    return true;
}

static bool run_list(struct run *r, const struct tmpl_node *n, struct buf *out)
{
    for (; n; n = n->next) {
        struct value v;
        if (n->kind == NODE_TEXT) {
            buf_sv(out, n->text);
            continue;
        }
        if (!run_pipe(r, n->pipe, &v))
            return false;
        if (n->kind == NODE_ACTION)
            value_put(&v, out);
        else if (!run_list(r, value_truth(&v) ? n->then : n->otherwise, out))
            return false;
    }
    return true;
}

bool template_run(const struct template *t, const struct template_env *env, struct buf *out, struct err *e)
{
    struct run r = {t, env, e};
    return run_list(&r, t->first, out) && buf_ok(out, e);
}

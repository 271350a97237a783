/* template_ast.h - a compiled template: what template.c parses and template_run.c walks. */
#pragma once
#include "logql/template.h"

enum value_kind { VALUE_NIL, VALUE_STRING, VALUE_INT, VALUE_FLOAT, VALUE_BOOL, VALUE_TIME };
struct value {
    enum value_kind kind;
    sv s;
    int64_t i; /* INT, BOOL, TIME (ns since 1970) */
    double f;
};

struct tmpl_function {
    const char *name;
    unsigned min_args, max_args;
    bool (*fn)(const struct template_env *env, const struct value *args, size_t n, struct value *ret, struct err *e);
};
enum { TMPL_MAX_ARGS = 32, TMPL_MAX_VALUE = 1 << 20 };
/* NULL when unknown; *known says that the language has it even when we do not. */
const struct tmpl_function *tmpl_function_find(sv name, bool *known);

enum tmpl_arg_kind { ARG_FIELD, ARG_VALUE, ARG_PIPE, ARG_FUNCTION };
struct tmpl_arg {
    enum tmpl_arg_kind kind;
    sv field;
    struct value value;
    struct tmpl_pipe *pipe;
    const struct tmpl_function *fn;
};
struct tmpl_command { /* f a b, or one operand */
    struct tmpl_arg *at;
    size_t n, cap;
    sv text; /* as written, for messages */
    size_t line, col;
};
struct tmpl_pipe { /* a | b | c */
    struct tmpl_command *at;
    size_t n, cap;
};
enum tmpl_node_kind { NODE_TEXT, NODE_ACTION, NODE_IF };
struct tmpl_node {
    enum tmpl_node_kind kind;
    sv text;
    struct tmpl_pipe *pipe;
    struct tmpl_node *then, *otherwise; /* IF */
    struct tmpl_node *next;
};
struct template {
    const char *name;
    struct tmpl_node *first;
    sv unsupported;
};

/* template_value.c */
struct value value_string(sv s);
struct value value_int(int64_t i);
struct value value_float(double f);
struct value value_bool(bool b);
const char *value_type_name(const struct value *v);
bool value_truth(const struct value *v);
void value_put(const struct value *v, struct buf *out); /* as {{.}} prints it */
/* Ends a function that built its result in `out`. */
bool value_give(const struct template_env *env, struct buf *out, struct value *ret, struct err *e);
bool want_string(const struct value *v, struct err *e); /* "wrong type for value; expected string; got int" */
bool want_int(const struct value *v, struct err *e);
bool want_strings(const struct value *v, size_t n, struct err *e);
/* One rune off the front; an invalid byte stands for itself and gives *valid false. */
sv rune_take(sv *s, uint32_t *rune, bool *valid);
void rune_put(struct buf *out, uint32_t r);
/* Does printf here know all verbs of the format? */
bool printf_format_ok(sv format);
/* A time in Go's layout; UTC unless `local`. */
void time_put(int64_t t_ns, sv layout, bool local, struct buf *out);
static inline UNUSED int hex_digit(char c) /* -1: none */
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The functions, by file: template_text.c, template_math.c, template_time.c. */
#define TMPL_FN(id)                                                                                               \
    bool id(const struct template_env *env UNUSED, const struct value *v UNUSED, size_t n UNUSED,                  \
            struct value *ret UNUSED, struct err *e UNUSED)
TMPL_FN(fn_lower);
TMPL_FN(fn_upper);
TMPL_FN(fn_trim);
TMPL_FN(fn_Trim);
TMPL_FN(fn_TrimLeft);
TMPL_FN(fn_TrimRight);
TMPL_FN(fn_trimAll);
TMPL_FN(fn_TrimPrefix);
TMPL_FN(fn_TrimSuffix);
TMPL_FN(fn_trimPrefix);
TMPL_FN(fn_trimSuffix);
TMPL_FN(fn_contains);
TMPL_FN(fn_hasPrefix);
TMPL_FN(fn_hasSuffix);
TMPL_FN(fn_replace);
TMPL_FN(fn_Replace);
TMPL_FN(fn_repeat);
TMPL_FN(fn_trunc);
TMPL_FN(fn_substr);
TMPL_FN(fn_indent);
TMPL_FN(fn_nindent);
TMPL_FN(fn_alignLeft);
TMPL_FN(fn_alignRight);
TMPL_FN(fn_regexReplaceAll);
TMPL_FN(fn_regexReplaceAllLiteral);
TMPL_FN(fn_count);
TMPL_FN(fn_urlencode);
TMPL_FN(fn_urldecode);
TMPL_FN(fn_b64enc);
TMPL_FN(fn_int);
TMPL_FN(fn_float64);
TMPL_FN(fn_add);
TMPL_FN(fn_sub);
TMPL_FN(fn_mul);
TMPL_FN(fn_div);
TMPL_FN(fn_mod);
TMPL_FN(fn_max);
TMPL_FN(fn_min);
TMPL_FN(fn_ceil);
TMPL_FN(fn_floor);
TMPL_FN(fn_bytes);
TMPL_FN(fn_duration);
TMPL_FN(fn_eq);
TMPL_FN(fn_ne);
TMPL_FN(fn_lt);
TMPL_FN(fn_le);
TMPL_FN(fn_gt);
TMPL_FN(fn_ge);
TMPL_FN(fn_and);
TMPL_FN(fn_or);
TMPL_FN(fn_not);
TMPL_FN(fn_len);
TMPL_FN(fn_default);
TMPL_FN(fn_timestamp);
TMPL_FN(fn_date);
TMPL_FN(fn_unixEpoch);
TMPL_FN(fn_unixEpochMillis);
TMPL_FN(fn_unixEpochNanos);
TMPL_FN(fn_unixToTime);
TMPL_FN(fn_title);
TMPL_FN(fn_printf);
TMPL_FN(fn_print);
TMPL_FN(fn_println);
TMPL_FN(fn_addf);
TMPL_FN(fn_subf);
TMPL_FN(fn_mulf);
TMPL_FN(fn_divf);
TMPL_FN(fn_round);
TMPL_FN(fn_maxf);
TMPL_FN(fn_minf);

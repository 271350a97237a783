/* template_ast.h - a compiled template: what template.c parses and template_run.c walks. */
#pragma once
#include "logql/template.h"

enum value_kind { VALUE_NIL, VALUE_STRING, VALUE_INT, VALUE_FLOAT, VALUE_BOOL };
struct value {
    enum value_kind kind;
    sv s;
    int64_t i; /* INT, BOOL */
    double f;
};

struct tmpl_function {
    const char *name;
    unsigned min_args, max_args;
    bool (*fn)(const struct template_env *env, const struct value *args, size_t n, struct value *ret, struct err *e);
};
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

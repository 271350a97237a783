/* template.c - template text to tree. Go's text/template without variables, loops and nested definitions: what is valid
 * there but not done here is remembered in `unsupported`, and the query that uses it is refused when it runs.
 * Nesting of actions and parentheses is capped; every walk may recurse. */
#include "logql/lex.h"
#include "logql/template_ast.h"
#include "logql/units.h"
#include <stdio.h>

enum { MAX_NESTING = 50 };

struct compiler {
    sv src;
    size_t at;  /* next byte to read */
    size_t end; /* of the current action's inside */
    size_t nesting;
    struct arena *a;
    struct err *e;
    struct template *t;
    bool trim_next; /* the last action ended with -}} */
    size_t seen, line, col; /* the place of src.p[seen], for messages; commands are met in the order of their text */
};

static bool fail(struct compiler *c, const char *what)
{
    size_t line = 1;
    for (size_t i = 0; i < c->at && i < c->src.n; i++)
        line += c->src.p[i] == '\n';
    return err_set(c->e, ERR_PARSE, "template: %s:%zu: %s", c->t->name, line, what);
}

static bool fail_text(struct compiler *c, const char *before, sv text, const char *after)
{
    char what[160];
    snprintf(what, sizeof what, "%s\"%.*s\"%s", before, (int)MIN(text.n, (size_t)80), text.p ? text.p : "", after);
    return fail(c, what);
}

static bool nomem(struct compiler *c)
{
    return arena_err(c->a, c->e, "query text");
}

static void unsupported(struct compiler *c, sv what)
{
    if (!c->t->unsupported.n)
        c->t->unsupported = what;
}

/* ---- inside an action ---- */

static bool is_space(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r';
}

static bool is_word_char(char ch)
{
    return ch == '_' || (ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z') || (unsigned char)ch >= 0x80;
}

static char peek(const struct compiler *c)
{
    return c->at < c->end ? c->src.p[c->at] : 0;
}

static bool skip_space(struct compiler *c)
{
    size_t from = c->at;
    while (c->at < c->end && is_space(c->src.p[c->at]))
        c->at++;
    return c->at > from;
}

static sv take_word(struct compiler *c)
{
    size_t from = c->at;
    while (c->at < c->end && is_word_char(c->src.p[c->at]))
        c->at++;
    return sv_sub(c->src, from, c->at - from);
}

/* A name must be followed by something that cannot be part of one. */
static bool at_terminator(struct compiler *c)
{
    char ch = peek(c);
    if (c->at >= c->end || is_space(ch) || strchr(".,|:()", ch))
        return true;
    char what[64];
    snprintf(what, sizeof what, "bad character U+%04X '%c'", (unsigned char)ch, (unsigned char)ch < 0x80 ? ch : '?');
    return fail(c, what);
}

static bool take_string(struct compiler *c, struct value *ret)
{
    SCOPED(buf_done) struct buf out = {0};
    char quote = c->src.p[c->at++];
    for (;;) {
        if (c->at >= c->end || (quote == '"' && c->src.p[c->at] == '\n'))
            return fail(c, quote == '"' ? "unterminated quoted string" : "unterminated raw quoted string");
        char ch = c->src.p[c->at++];
        if (ch == quote)
            break;
        sv rest = sv_sub(c->src, c->at, c->end - c->at);
        if (ch != '\\' || quote == '`')
            buf_char(&out, ch);
        else if (!lex_unescape(&rest, &out))
            return fail(c, "invalid syntax"); /* Go unquotes after lexing and says no more */
        else
            c->at = (size_t)(rest.p - c->src.p);
    }
    if (!buf_ok(&out, c->e))
        return false;
    *ret = (struct value){.kind = VALUE_STRING, .s = arena_sv(c->a, buf_view(&out))};
    return ret->s.p ? true : nomem(c);
}

static bool take_number(struct compiler *c, struct value *ret)
{
    size_t from = c->at;
    if (peek(c) == '-' || peek(c) == '+')
        c->at++;
    while (c->at < c->end && (is_word_char(peek(c)) || peek(c) == '.' ||
                              ((peek(c) == '-' || peek(c) == '+') && (c->src.p[c->at - 1] | 32) == 'e')))
        c->at++;
    sv text = sv_sub(c->src, from, c->at - from);
    *ret = (struct value){.kind = VALUE_INT};
    if (sv_to_i64(text, &ret->i))
        return true;
    ret->kind = VALUE_FLOAT;
    return float_go(text, &ret->f, NULL) ? true : fail_text(c, "bad number syntax: ", text, "");
}

static bool take_pipe(struct compiler *c, struct tmpl_pipe **ret);

static bool take_field(struct compiler *c, struct tmpl_arg *arg)
{
    c->at++;
    arg->kind = ARG_FIELD;
    arg->field = take_word(c);
    if (!arg->field.n) {
        unsupported(c, SV("the bare dot"));
        return at_terminator(c);
    }
    if (!at_terminator(c))
        return false;
    if (peek(c) == '.')
        unsupported(c, SV("field chains"));
    while (peek(c) == '.') {
        c->at++;
        take_word(c);
    }
    return true;
}

static bool take_name(struct compiler *c, struct tmpl_arg *arg)
{
    sv name = take_word(c);
    bool known = false;
    if (!at_terminator(c))
        return false;
    arg->kind = ARG_VALUE;
    if (sv_eq(name, SV("true")) || sv_eq(name, SV("false"))) {
        arg->value = (struct value){.kind = VALUE_BOOL, .i = name.p[0] == 't'};
        return true;
    }
    if (sv_eq(name, SV("nil"))) {
        unsupported(c, name);
        return true;
    }
    arg->kind = ARG_FUNCTION;
    arg->fn = tmpl_function_find(name, &known);
    if (!known)
        return fail_text(c, "function ", name, " not defined");
    if (!arg->fn)
        unsupported(c, name);
    return true;
}

static bool take_arg(struct compiler *c, struct tmpl_arg *arg)
{
    char ch = peek(c);
    if (ch == '.' && !(c->at + 1 < c->end && c->src.p[c->at + 1] >= '0' && c->src.p[c->at + 1] <= '9'))
        return take_field(c, arg);
    if (ch == '"' || ch == '`') {
        arg->kind = ARG_VALUE;
        return take_string(c, &arg->value);
    }
    if ((ch >= '0' && ch <= '9') || ch == '-' || ch == '+' || ch == '.') {
        arg->kind = ARG_VALUE;
        return take_number(c, &arg->value);
    }
    if (ch == '(') {
        if (++c->nesting > MAX_NESTING)
            return fail(c, "nested too deeply");
        c->at++;
        arg->kind = ARG_PIPE;
        if (!take_pipe(c, &arg->pipe))
            return false;
        if (peek(c) != ')')
            return fail(c, "unclosed left paren");
        c->at++;
        c->nesting--;
        if (peek(c) == '.')
            unsupported(c, SV("field chains"));
        while (peek(c) == '.') {
            c->at++;
            take_word(c);
        }
        return true;
    }
    if (ch == '$' || ch == '\'') {
        unsupported(c, ch == '$' ? SV("variables") : SV("character constants"));
        c->at = c->end;
        return true;
    }
    if (is_word_char(ch))
        return take_name(c, arg);
    char what[80];
    snprintf(what, sizeof what, "unrecognized character in action: U+%04X '%c'", (unsigned char)ch,
             ch >= 0x20 ? ch : '?');
    return fail(c, what);
}

/* Moves the place known for messages on to src.p[at]. */
static void walk_to(struct compiler *c, size_t at)
{
    for (; c->seen < at; c->seen++) {
        c->line += c->src.p[c->seen] == '\n';
        c->col = c->src.p[c->seen] == '\n' ? 0 : c->col + 1;
    }
}

static bool take_command(struct compiler *c, struct tmpl_command *cmd)
{
    size_t from, last;
    skip_space(c);
    from = last = c->at;
    walk_to(c, from);
    size_t line = c->line, col = c->col; /* parentheses inside walk on */
    for (; c->at < c->end && peek(c) != '|' && peek(c) != ')'; skip_space(c)) {
        struct tmpl_arg *grown = arena_grow(c->a, cmd->at, cmd->n, &cmd->cap, sizeof *grown);
        if (!grown)
            return nomem(c);
        cmd->at = grown;
        cmd->at[cmd->n] = (struct tmpl_arg){0};
        if (!take_arg(c, &cmd->at[cmd->n++]))
            return false;
        last = c->at;
    }
    cmd->text = sv_trim(sv_sub(c->src, from, last - from));
    cmd->line = line;
    cmd->col = col;
    return true;
}

/* Calls with a wrong number of arguments fail when the template is read, not line by line. */
static bool check_command(struct compiler *c, const struct tmpl_command *cmd, bool piped)
{
    const struct tmpl_arg *head = &cmd->at[0];
    if (head->kind != ARG_FUNCTION && (cmd->n > 1 || piped))
        return fail_text(c, "can't give argument to non-function ", cmd->text, "");
    if (head->kind == ARG_FUNCTION && head->fn) {
        size_t n = cmd->n - 1 + piped;
        if (n < head->fn->min_args || n > head->fn->max_args) {
            char what[120];
            snprintf(what, sizeof what, "wrong number of args for %s: want %s%u got %zu", head->fn->name,
                     head->fn->min_args != head->fn->max_args ? "at least " : "", head->fn->min_args, n);
            return fail(c, what);
        }
    }
    if (head->kind == ARG_FUNCTION && head->fn && head->fn->fn == fn_printf &&
        (cmd->n < 2 || cmd->at[1].kind != ARG_VALUE || !printf_format_ok(cmd->at[1].value.s)))
        unsupported(c, SV("this printf format"));
    for (size_t i = 1; i < cmd->n; i++)
        if (cmd->at[i].kind == ARG_FUNCTION && cmd->at[i].fn && cmd->at[i].fn->min_args)
            return fail_text(c, "wrong number of args for ", sv_of(cmd->at[i].fn->name), "");
    return true;
}

static bool take_pipe(struct compiler *c, struct tmpl_pipe **ret)
{
    struct tmpl_pipe *pipe = ARENA_NEW(c->a, struct tmpl_pipe);
    if (!pipe)
        return nomem(c);
    for (;;) {
        struct tmpl_command *grown = arena_grow(c->a, pipe->at, pipe->n, &pipe->cap, sizeof *grown);
        if (!grown)
            return nomem(c);
        pipe->at = grown;
        struct tmpl_command *cmd = &pipe->at[pipe->n];
        *cmd = (struct tmpl_command){0};
        if (!take_command(c, cmd))
            return false;
        if (!cmd->n)
            return fail(c, "missing value for command");
        if (!check_command(c, cmd, pipe->n > 0))
            return false;
        pipe->n++;
        if (peek(c) != '|')
            break;
        c->at++;
    }
    *ret = pipe;
    return true;
}

/* ---- text and actions ---- */

/* Where the action that begins at c->at ("{{") ends: quotes may hold a "}}". */
static bool find_end(struct compiler *c, size_t *inside, size_t *after)
{
    for (size_t i = c->at + 2; i < c->src.n; i++) {
        char ch = c->src.p[i];
        if (ch == '"' || ch == '`') {
            for (i++; i < c->src.n && c->src.p[i] != ch; i++)
                i += ch == '"' && c->src.p[i] == '\\';
        } else if (ch == '}' && i + 1 < c->src.n && c->src.p[i + 1] == '}') {
            *inside = i;
            *after = i + 2;
            return true;
        }
    }
    return false;
}

static sv trim_right(sv s)
{
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

static sv trim_left(sv s)
{
    while (s.n && is_space(s.p[0]))
        s = sv_from(s, 1);
    return s;
}

static struct tmpl_node *add_node(struct compiler *c, struct tmpl_node ***tail, enum tmpl_node_kind kind)
{
    struct tmpl_node *n = ARENA_NEW(c->a, struct tmpl_node);
    if (!n) {
        nomem(c);
        return NULL;
    }
    n->kind = kind;
    **tail = n;
    *tail = &n->next;
    return n;
}

static bool take_text(struct compiler *c, struct tmpl_node ***tail, size_t upto, bool trim_end)
{
    sv text = sv_sub(c->src, c->at, upto - c->at);
    if (c->trim_next)
        text = trim_left(text);
    if (trim_end)
        text = trim_right(text);
    c->trim_next = false;
    c->at = upto;
    if (!text.n)
        return true;
    struct tmpl_node *n = add_node(c, tail, NODE_TEXT);
    if (n)
        n->text = text;
    return n != NULL;
}

enum list_end { LIST_EOF, LIST_END, LIST_ELSE, LIST_ELSE_IF };
static bool take_list(struct compiler *c, struct tmpl_node **first, enum list_end *end);

/* Behind "if": the condition, both branches and the end. */
static bool take_if(struct compiler *c, struct tmpl_node *n, size_t after)
{
    enum list_end end;
    if (++c->nesting > MAX_NESTING)
        return fail(c, "nested too deeply");
    if (!take_pipe(c, &n->pipe))
        return false;
    if (c->at < c->end)
        return fail(c, "unexpected \")\" in if");
    c->at = after;
    if (!take_list(c, &n->then, &end))
        return false;
    if (end == LIST_ELSE_IF) { /* take_list stopped behind "else if": the rest is an if of its own */
        n->otherwise = ARENA_NEW(c->a, struct tmpl_node);
        if (!n->otherwise)
            return nomem(c);
        n->otherwise->kind = NODE_IF;
        if (!take_if(c, n->otherwise, c->end + (c->src.p[c->end] == '-' ? 3 : 2)))
            return false;
    } else if (end == LIST_ELSE && (!take_list(c, &n->otherwise, &end) || end != LIST_END)) {
        return c->e->code ? false : fail(c, "unexpected {{else}}");
    } else if (end == LIST_EOF) {
        return fail(c, "unexpected EOF");
    }
    c->nesting--;
    return true;
}

static bool is_keyword(sv w)
{
    static const char *const words[] = {"range", "with", "define", "template", "block", "break", "continue"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (sv_eq(w, sv_of(words[i])))
            return true;
    return false;
}

/* One {{…}}; c->at is behind the opening marks. *stop: the list ends here. */
static bool take_action(struct compiler *c, struct tmpl_node ***tail, size_t after, enum list_end *end, bool *stop)
{
    skip_space(c);
    size_t start = c->at;
    sv word = take_word(c);
    *stop = true;
    if (sv_eq(word, SV("end")) || sv_eq(word, SV("else"))) {
        *end = word.p[1] == 'n' ? LIST_END : LIST_ELSE;
        skip_space(c);
        if (*end == LIST_ELSE && c->at < c->end) {
            sv next = take_word(c);
            if (!sv_eq(next, SV("if")))
                return fail_text(c, "unexpected ", next, " in else");
            *end = LIST_ELSE_IF;
            return true;
        }
        if (c->at < c->end)
            return fail(c, "unexpected operand in end");
        c->at = after;
        return true;
    }
    *stop = false;
    if (is_keyword(word)) {
        unsupported(c, word);
        *end = LIST_EOF;
        *stop = true;
        c->at = c->src.n;
        return true;
    }
    bool is_if = sv_eq(word, SV("if"));
    struct tmpl_node *n = add_node(c, tail, is_if ? NODE_IF : NODE_ACTION);
    if (!n)
        return false;
    if (is_if)
        return take_if(c, n, after);
    c->at = start;
    if (!take_pipe(c, &n->pipe))
        return false;
    if (c->at < c->end)
        return fail(c, "unexpected right paren");
    c->at = after;
    return true;
}

static bool take_list(struct compiler *c, struct tmpl_node **first, enum list_end *end)
{
    struct tmpl_node **tail = first;
    for (;;) {
        size_t open = sv_find(sv_from(c->src, c->at), SV("{{")), inside, after;
        if (open == SV_NPOS) {
            *end = LIST_EOF;
            return take_text(c, &tail, c->src.n, false);
        }
        open += c->at;
        sv behind = sv_from(c->src, open + 2);
        bool trim = behind.n > 1 && behind.p[0] == '-' && is_space(behind.p[1]);
        if (!take_text(c, &tail, open, trim))
            return false;
        if (sv_starts(trim_left(sv_from(behind, trim)), SV("/*"))) {
            size_t close = sv_find(behind, SV("*/"));
            sv rest = close == SV_NPOS ? SV_NULL : sv_from(behind, close + 2);
            bool trims = sv_starts(trim_left(rest), SV("-}}"));
            if (!sv_starts(rest, SV("}}")) && !trims)
                return fail(c, close == SV_NPOS ? "unclosed comment" : "comment ends before closing delimiter");
            c->trim_next = trims;
            c->at = (size_t)(rest.p - c->src.p) + (trims ? (size_t)(trim_left(rest).p - rest.p) + 3 : 2);
            continue;
        }
        bool stop, closed = find_end(c, &inside, &after);
        bool trim_after = closed && inside > c->at + 3 && c->src.p[inside - 1] == '-' && is_space(c->src.p[inside - 2]);
        c->end = closed ? inside - trim_after : c->src.n;
        c->at += 2 + trim;
        if (!closed) { /* what is inside may hold the better message */
            struct tmpl_pipe *ignored;
            return take_pipe(c, &ignored) ? fail(c, "unclosed action") : false;
        }
        c->trim_next = trim_after;
        if (!take_action(c, &tail, after, end, &stop))
            return false;
        if (stop)
            return true;
    }
}

bool template_compile(sv text, const char *name, struct arena *a, struct template **ret, struct err *e)
{
    struct err cause = {0};
    struct template *t = ARENA_NEW(a, struct template);
    if (!t)
        return arena_err(a, e, "query text");
    t->name = name;
    struct compiler c = {.src = text, .a = a, .e = &cause, .t = t, .line = 1};
    enum list_end end;
    if (take_list(&c, &t->first, &end) && end != LIST_EOF)
        fail(&c, end == LIST_END ? "unexpected {{end}}" : "unexpected {{else}}");
    if (cause.code && !(t->unsupported.n && cause.code == ERR_PARSE)) {
        if (e)
            *e = cause;
        return false;
    }
    *ret = t;
    return true;
}

sv template_unsupported(const struct template *t)
{
    return t->unsupported;
}

static void pipe_fields(const struct tmpl_pipe *pipe, void (*fn)(void *ctx, sv name), void *ctx)
{
    for (size_t i = 0; i < pipe->n; i++)
        for (size_t j = 0; j < pipe->at[i].n; j++) {
            const struct tmpl_arg *arg = &pipe->at[i].at[j];
            if (arg->kind == ARG_FIELD)
                fn(ctx, arg->field);
            else if (arg->kind == ARG_PIPE)
                pipe_fields(arg->pipe, fn, ctx);
        }
}

static void list_fields(const struct tmpl_node *n, void (*fn)(void *ctx, sv name), void *ctx)
{
    for (; n; n = n->next) {
        if (n->kind == NODE_TEXT)
            continue;
        pipe_fields(n->pipe, fn, ctx);
        list_fields(n->then, fn, ctx);
        list_fields(n->otherwise, fn, ctx);
    }
}

void template_fields(const struct template *t, void (*fn)(void *ctx, sv name), void *ctx)
{
    list_fields(t->first, fn, ctx);
}

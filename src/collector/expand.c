/* expand.c - the Collector's rules for references (confmap), applied to the YAML tree.
 * (1) Find the first '}' and the last "${" before it: the innermost reference. Replace it, start over: nested references and
 *     references inside what came from the environment are expanded too, ROUNDS_MAX times at most.
 * (2) A reference that is the whole scalar is replaced by what its text says as YAML: a number, a list, a map. Its text is
 *     kept beside it, since a field that wants a string takes the text ("0123" stays "0123"). Inside a longer scalar: text.
 * (3) An odd number of '$' before "${" escapes it, and ends the search in that scalar. At the very end "$$" becomes "$".
 * (4) The default behind ":-" is for a variable that is not set; one that is set and empty stays empty. */
#include "collector/expand.h"
#include "base/io.h"
#include <fcntl.h>
#include <stdlib.h>

#define ROUNDS_MAX 1000
#define TEXT_MAX ((size_t)1 << 20)
#define DEPTH_MAX 100

struct expansion {
    struct problems *ps;
    expand_getenv_fn *getenv_fn;
    const struct yaml *at; /* the scalar, for messages */
    unsigned rounds;       /* left for this scalar */
    unsigned depth;
};

static bool fail(struct expansion *x, const char *what, sv detail)
{
    problem_at(x->ps, x->at->line, x->at->column, "%s" SV_FMT, what, SV_ARG(detail));
    return false;
}

/* The reference to replace next, "${…}" inclusive; n = 0: none. */
static sv find_reference(sv s)
{
    for (sv rest = s;;) {
        size_t close = sv_find_char(rest, '}');
        if (close == SV_NPOS)
            return SV_NULL;
        size_t open = close;
        while (open > 0 && !(rest.p[open] == '{' && rest.p[open - 1] == '$'))
            open--;
        if (open > 0) {
            const char *dollar = rest.p + open - 1;
            size_t before = 0;
            while (dollar - before > s.p && dollar[-1 - (ptrdiff_t)before] == '$')
                before++;
            return before % 2 ? SV_NULL : (sv){dollar, (size_t)(rest.p + close + 1 - dollar)};
        }
        rest = sv_from(rest, close + 1);
    }
}

static bool is_name(sv s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i && c >= '0' && c <= '9'))
            return false;
    }
    return s.n > 0;
}

static bool from_env(struct expansion *x, sv what, struct buf *out)
{
    size_t split = sv_find(what, SV(":-"));
    sv name = split == SV_NPOS ? what : sv_sub(what, 0, split);
    if (!is_name(name))
        return fail(x, "not an environment variable's name (letters, digits, '_'): ", name);
    char *z = sv_dup(name);
    if (!z)
        return fail(x, "out of memory", SV_NULL);
    const char *value = x->getenv_fn ? x->getenv_fn(z) : getenv(z);
    free(z);
    if (value)
        buf_sv(out, sv_of(value));
    else if (split != SV_NPOS)
        buf_sv(out, sv_from(what, split + 2));
    else
        warning_at(x->ps, x->at->line, x->at->column, "environment variable " SV_FMT " is not set", SV_ARG(name));
    return true;
}

static bool from_file(struct expansion *x, sv what, struct buf *out)
{
    char *path = sv_dup(what);
    struct err e = {0};
    bool ok = path ? io_read_file(AT_FDCWD, path, out, &e) : err_nomem(&e);
    free(path);
    return ok || fail(x, "", sv_of(e.msg));
}

/* What `reference` stands for, appended to `out`. */
static bool resolve(struct expansion *x, sv reference, struct buf *out)
{
    sv uri = sv_sub(reference, 2, reference.n - 3);
    if (sv_find_char(uri, '$') != SV_NPOS)
        return fail(x, "contains unsupported characters ('$'): ", reference);
    size_t colon = sv_find_char(uri, ':');
    if (colon == SV_NPOS)
        return from_env(x, uri, out);
    sv scheme = sv_sub(uri, 0, colon), rest = sv_from(uri, colon + 1);
    if (sv_eq(scheme, SV("env")))
        return from_env(x, rest, out);
    if (sv_eq(scheme, SV("file")))
        return from_file(x, rest, out);
    if (sv_eq(scheme, SV("yaml"))) {
        buf_sv(out, rest);
        return true;
    }
    if (sv_starts(rest, SV("-")) && is_name(scheme)) {
        problem_at(x->ps, x->at->line, x->at->column,
                   "scheme \"" SV_FMT "\" is not supported for uri \"" SV_FMT "\"; did you mean ${env:" SV_FMT "}?",
                   SV_ARG(scheme), SV_ARG(uri), SV_ARG(uri));
        return false;
    }
    problem_at(x->ps, x->at->line, x->at->column,
               "scheme \"" SV_FMT "\" is not supported for uri \"" SV_FMT "\" (valid: env, file, yaml)", SV_ARG(scheme),
               SV_ARG(uri));
    return false;
}

static bool take_text(struct expansion *x, const struct buf *b, sv *ret)
{
    struct err e = {0};
    *ret = arena_sv(x->ps->a, buf_view(b));
    if (!buf_ok(b, &e))
        return fail(x, "the expanded value is too long: ", sv_of(e.msg));
    return ret->p || fail(x, "out of memory for the expanded value", SV_NULL);
}

/* What came out of a reference has no place in this file but that of the reference. */
static void place_at(struct yaml *y, const struct yaml *at)
{
    y->line = y->key_line = at->line;
    y->column = y->key_column = at->column;
    for (struct yaml *c = y->first; c; c = c->next)
        place_at(c, at);
}

/* The scalar was one reference: what its text says becomes the node. Text that is no YAML is a plain string. */
static bool replace_whole(struct expansion *x, struct yaml *y, sv text)
{
    struct yaml *parsed = NULL;
    struct err e = {0};
    y->text = text;
    y->quoted = false;
    if (!yaml_parse(text, "value", x->ps->a, &parsed, &e))
        return true;
    if (parsed->kind != YAML_NULL || sv_eq(sv_trim(text), parsed->text))
        y->kind = parsed->kind;
    y->first = parsed->first;
    for (struct yaml *c = y->first; c; c = c->next)
        place_at(c, y);
    return true;
}

/* One replacement; false when nothing (more) is to be done. */
static bool replace_next(struct expansion *x, struct yaml *y)
{
    sv ref = find_reference(y->text);
    if (!ref.n)
        return false;
    if (x->rounds-- == 0)
        return fail(x, "too many recursive expansions", SV_NULL);
    SCOPED(buf_done) struct buf got = buf_capped(TEXT_MAX);
    if (!resolve(x, ref, &got))
        return false;
    sv text;
    if (ref.n == y->text.n)
        return take_text(x, &got, &text) && replace_whole(x, y, text);
    SCOPED(buf_done) struct buf joined = buf_capped(TEXT_MAX);
    for (sv rest = y->text; rest.n;) {
        size_t at = sv_find(rest, ref);
        buf_sv(&joined, sv_sub(rest, 0, at == SV_NPOS ? rest.n : at));
        if (at == SV_NPOS)
            break;
        buf_sv(&joined, buf_view(&got));
        rest = sv_from(rest, at + ref.n);
    }
    if (!take_text(x, &joined, &text))
        return false;
    y->text = text;
    return true;
}

static void unescape(struct expansion *x, struct yaml *y)
{
    if (sv_find(y->text, SV("$$")) == SV_NPOS)
        return;
    SCOPED(buf_done) struct buf b = {0};
    for (size_t i = 0; i < y->text.n; i++) {
        buf_char(&b, y->text.p[i]);
        if (y->text.p[i] == '$' && i + 1 < y->text.n && y->text.p[i + 1] == '$')
            i++;
    }
    sv text;
    if (take_text(x, &b, &text))
        y->text = text;
}

static void expand_scalar(struct expansion *x, struct yaml *y)
{
    x->at = y;
    x->rounds = ROUNDS_MAX;
    while (y->kind == YAML_SCALAR && replace_next(x, y))
        ;
    if (y->kind == YAML_SCALAR)
        unescape(x, y);
}

static void expand_node(struct expansion *x, struct yaml *y)
{
    if (x->depth >= DEPTH_MAX) { /* a variable whose list holds a reference to itself */
        x->at = y;
        fail(x, "too many recursive expansions", SV_NULL);
        return;
    }
    if (y->kind == YAML_SCALAR)
        expand_scalar(x, y);
    x->depth++;
    for (struct yaml *c = y->first; c; c = c->next)
        expand_node(x, c);
    x->depth--;
}

void expand_tree(struct yaml *root, struct problems *ps, expand_getenv_fn *getenv_fn)
{
    struct expansion x = {.ps = ps, .getenv_fn = getenv_fn, .at = root};
    expand_node(&x, root);
}

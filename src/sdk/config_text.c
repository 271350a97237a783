/* config_text.c - see config_text.h.
 * (1) "$$" is found first, from the left; what stands between two of them is searched for "${…}" up to the next '}'. So nothing
 *     nests, and neither what came from a variable nor a default is looked at again.
 * (2) References are replaced in the tree, when the YAML has been read: what a variable holds can be no more than a scalar.
 * (3) Only then plain scalars get their kind, so that a variable can say a number or a truth. */
#include "sdk/config_text.h"
#include "base/buf.h"
#include <stdlib.h>

/* ---- references ---- */

struct substitution {
    const char *file;
    const struct yaml *at; /* the scalar, for messages */
    config_getenv_fn *getenv_fn;
    struct arena *a;
    struct err *e;
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_letter(s.p[i]) && s.p[i] != '_' && !(i && is_digit(s.p[i])))
            return false;
    return s.n > 0;
}

/* A default may hold blanks and tabs, but no other control character. */
static bool is_default(sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    return true;
}

static bool take_reference(sv s, sv *name, sv *fallback)
{
    size_t split = sv_find(s, SV(":-"));
    *name = sv_sub(s, 0, split);
    *fallback = split == SV_NPOS ? SV_NULL : sv_from(s, split + 2);
    return is_name(*name) && is_default(*fallback);
}

static bool fail(const struct substitution *x, const char *what, sv reference)
{
    size_t n = 0;
    while (n < reference.n && n < 100 && (unsigned char)reference.p[n] >= 0x20)
        n++;
    return err_set(x->e, ERR_PARSE, "%s:%u:%u: ${" SV_FMT "%s: %s", x->file, x->at->line, x->at->column,
                   SV_ARG(sv_sub(reference, 0, n)), n < reference.n ? "…" : "}", what);
}

/* `inside`: what stands between "${" and "}". */
static bool replace(const struct substitution *x, sv inside, struct buf *out)
{
    sv name, fallback;
    bool ours = sv_starts(inside, SV("env:"));
    if (!take_reference(inside, &name, &fallback) && !(ours && take_reference(sv_from(inside, 4), &name, &fallback))) {
        sv prefix = sv_sub(inside, 0, sv_find_char(inside, ':'));
        sv behind = sv_from(inside, prefix.n + 1);
        if (!ours && behind.n && is_name(prefix) && behind.p[0] != '?' && behind.p[0] != '-')
            return fail(x, "only env: is known here as a prefix", inside);
        return fail(x, "a reference is ${NAME}, ${env:NAME} or ${NAME:-default}, with a name of letters, digits and '_'; "
                       "$$ is a plain $", inside);
    }
    char *z = sv_dup(name);
    if (!z)
        return err_nomem(x->e);
    sv value = sv_of(x->getenv_fn(z));
    free(z);
    if (!sv_is_utf8(value))
        return fail(x, "the variable's value is not UTF-8", inside);
    buf_sv(out, value.n ? value : fallback);
    return true;
}

static bool replace_between(const struct substitution *x, sv s, struct buf *out)
{
    for (;;) {
        size_t open = sv_find(s, SV("${")), length = sv_find_char(sv_from(s, open == SV_NPOS ? s.n : open + 2), '}');
        if (length == SV_NPOS) {
            buf_sv(out, s);
            return true;
        }
        buf_sv(out, sv_sub(s, 0, open));
        if (length == 0)
            buf_sv(out, SV("${}")); /* no reference, and so no bad one */
        else if (!replace(x, sv_sub(s, open + 2, length), out))
            return false;
        s = sv_from(s, open + 2 + length + 1);
    }
}

static bool substitute(struct substitution *x, struct yaml *y)
{
    if (sv_find_char(y->text, '$') == SV_NPOS)
        return true;
    SCOPED(buf_done) struct buf out = buf_capped((size_t)1 << 20);
    x->at = y;
    for (sv rest = y->text;;) {
        size_t escape = sv_find(rest, SV("$$"));
        if (!replace_between(x, sv_sub(rest, 0, escape), &out))
            return false;
        if (escape == SV_NPOS)
            break;
        buf_char(&out, '$');
        rest = sv_from(rest, escape + 2);
    }
    if (!buf_ok(&out, x->e))
        return err_ctx(x->e, "%s:%u:%u: with its references replaced", x->file, y->line, y->column);
    y->text = arena_sv(x->a, buf_view(&out));
    if (!y->text.p)
        return arena_err(x->a, x->e, "configuration file");
    y->kind = YAML_SCALAR;
    y->kind = scalar_of(y).kind == SCALAR_NULL ? YAML_NULL : YAML_SCALAR;
    return true;
}

static bool substitute_below(struct substitution *x, struct yaml *y) /* as deep as the YAML reader lets a file be */
{
    if (y->kind == YAML_SCALAR)
        return substitute(x, y);
    for (struct yaml *c = y->first; c; c = c->next)
        if (!substitute_below(x, c))
            return false;
    return true;
}

bool config_substitute(struct yaml *root, const char *file, config_getenv_fn *getenv_fn, struct arena *a, struct err *e)
{
    struct substitution x = {.file = file, .getenv_fn = getenv_fn, .a = a, .e = e};
    return substitute_below(&x, root);
}

/* ---- kinds ---- */

static bool is_one_of(sv s, const char *const *words)
{
    for (; *words; words++)
        if (sv_eq(s, sv_of(*words)))
            return true;
    return false;
}

static int digit_of(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* 0x… and 0o…, which have no sign. */
static bool take_based(sv s, struct scalar *ret)
{
    int base = sv_starts(s, SV("0x")) ? 16 : sv_starts(s, SV("0o")) ? 8 : 0;
    uint64_t v = 0;
    if (!base || s.n == 2)
        return false;
    ret->fits = true;
    for (size_t i = 2; i < s.n; i++) {
        int d = digit_of(s.p[i]);
        if (d >= base)
            return false;
        ret->fits = ret->fits && v <= (UINT64_MAX - (unsigned)d) / (unsigned)base;
        v = v * (unsigned)base + (unsigned)d;
        ret->number = ret->number * base + d;
    }
    ret->fits = ret->fits && v <= INT64_MAX;
    ret->integer = ret->fits ? (int64_t)v : 0;
    ret->kind = SCALAR_INT;
    return true;
}

static size_t digits(sv s, size_t *at)
{
    size_t from = *at;
    while (*at < s.n && is_digit(s.p[*at]))
        ++*at;
    return *at - from;
}

/* [-+]? ( "." digits | digits ( "." digits? )? ) ( [eE] [-+]? digits )? */
static bool take_decimal(sv s, struct scalar *ret)
{
    size_t at = s.n && (s.p[0] == '-' || s.p[0] == '+');
    size_t before = digits(s, &at), behind = 0;
    bool whole = true;
    if (at < s.n && s.p[at] == '.') {
        at++;
        whole = false;
        behind = digits(s, &at);
    }
    if (before + behind == 0)
        return false;
    if (at < s.n && (s.p[at] == 'e' || s.p[at] == 'E')) {
        at++;
        whole = false;
        at += at < s.n && (s.p[at] == '-' || s.p[at] == '+');
        if (!digits(s, &at))
            return false;
    }
    if (at != s.n || !sv_to_double(s, &ret->number))
        return false;
    ret->kind = whole ? SCALAR_INT : SCALAR_FLOAT;
    ret->fits = whole && sv_to_i64(s, &ret->integer);
    return true;
}

static bool take_special(sv s, struct scalar *ret)
{
    static const char *const infinities[] = {".inf", ".Inf", ".INF", NULL}, *const nans[] = {".nan", ".NaN", ".NAN", NULL};
    bool sign = s.n && (s.p[0] == '-' || s.p[0] == '+');
    if (is_one_of(sv_from(s, sign), infinities))
        ret->number = s.p[0] == '-' ? -__builtin_inf() : __builtin_inf();
    else if (is_one_of(s, nans))
        ret->number = __builtin_nan("");
    else
        return false;
    ret->kind = SCALAR_FLOAT;
    return true;
}

struct scalar scalar_of(const struct yaml *y)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const truths[] = {"true", "True", "TRUE", NULL}, *const lies[] = {"false", "False", "FALSE", NULL};
    struct scalar ret = {.kind = SCALAR_STRING};
    if (y->kind == YAML_NULL)
        return (struct scalar){.kind = SCALAR_NULL};
    if (y->quoted)
        return ret;
    if (is_one_of(y->text, nulls))
        return (struct scalar){.kind = SCALAR_NULL};
    if (is_one_of(y->text, truths))
        return (struct scalar){.kind = SCALAR_BOOL, .yes = true};
    if (is_one_of(y->text, lies))
        return (struct scalar){.kind = SCALAR_BOOL};
    if (take_based(y->text, &ret))
        return ret;
    ret = (struct scalar){.kind = SCALAR_STRING};
    if (take_decimal(y->text, &ret) || take_special(y->text, &ret))
        return ret;
    return (struct scalar){.kind = SCALAR_STRING};
}

/* ---- patterns ---- */

static size_t character(sv s, size_t at) /* its bytes; broken UTF-8 goes byte by byte */
{
    size_t n = 1;
    while (at + n < s.n && ((unsigned char)s.p[at + n] & 0xc0) == 0x80 && n < 4)
        n++;
    return n;
}

bool config_matches(sv pattern, sv text)
{
    size_t p = 0, t = 0, star = SV_NPOS, from = 0;
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.n && pattern.p[p] == '?') {
            p++;
            t += character(text, t);
        } else if (p < pattern.n && pattern.p[p] == text.p[t]) {
            p++;
            t++;
        } else if (star != SV_NPOS) { /* the last star takes one character more */
            p = star + 1;
            t = from += character(text, from);
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

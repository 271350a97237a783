/* labels_parse.c - labels_parse() of labels.h: a label set as senders write it. */
#include "store/labels.h"

struct reader {
    sv text;
    size_t at;
    struct arena *a;
    struct err *e;
};

static bool fail(struct reader *r, const char *what)
{
    return err_at(r->e, ERR_PARSE, r->at, "1:%zu: parse error: %s", r->at + 1, what);
}

static bool fail_char(struct reader *r, const char *where)
{
    if (r->at >= r->text.n)
        return fail(r, "unexpected end of input inside braces");
    size_t n = 1;
    while (n < 4 && !sv_is_utf8(sv_sub(r->text, r->at, n)))
        n++;
    sv c = sv_sub(r->text, r->at, n);
    return err_at(r->e, ERR_PARSE, r->at, "1:%zu: parse error: unexpected character %s: '" SV_FMT "'", r->at + 1, where,
                  SV_ARG(c));
}

static void skip_blank(struct reader *r)
{
    while (r->at < r->text.n && memchr(" \t\r\n", r->text.p[r->at], 4))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip_blank(r);
    if (r->at >= r->text.n || r->text.p[r->at] != c)
        return false;
    r->at++;
    return true;
}

static bool name_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static bool read_name(struct reader *r, sv *ret)
{
    skip_blank(r);
    size_t from = r->at;
    while (r->at < r->text.n && name_char(r->text.p[r->at], r->at == from))
        r->at++;
    if (r->at == from)
        return fail_char(r, "inside braces");
    *ret = sv_sub(r->text, from, r->at - from);
    return true;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* `n` digits of `base` at r->at. */
static bool read_digits(struct reader *r, size_t n, int base, uint32_t *ret)
{
    uint32_t v = 0;
    if (r->text.n - r->at < n)
        return fail(r, "invalid escape sequence");
    for (size_t i = 0; i < n; i++) {
        int d = digit_of(r->text.p[r->at]);
        if (d >= base)
            return fail(r, "invalid escape sequence");
        v = v * (uint32_t)base + (uint32_t)d;
        r->at++;
    }
    *ret = v;
    return true;
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 63));
        to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* Behind a backslash: writes what it stands for (at most 4 bytes, never more than the escape itself). */
static bool read_escape(struct reader *r, char *to, size_t *n)
{
    static const char letters[] = "abfnrtv\\'\"", meaning[] = "\a\b\f\n\r\t\v\\'\"";
    if (r->at >= r->text.n)
        return fail(r, "unterminated quoted string");
    char c = r->text.p[r->at];
    const char *known = memchr(letters, c, sizeof letters - 1);
    uint32_t v;
    if (known) {
        r->at++;
        to[(*n)++] = meaning[known - letters];
        return true;
    }
    if (c >= '0' && c <= '7') {
        if (!read_digits(r, 3, 8, &v))
            return false;
        if (v > 255)
            return fail(r, "octal escape value > 255");
        to[(*n)++] = (char)v;
        return true;
    }
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (!digits)
        return fail(r, "unknown escape sequence");
    r->at++;
    if (!read_digits(r, digits, 16, &v))
        return false;
    if (c == 'x') {
        to[(*n)++] = (char)v;
        return true;
    }
    if (v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
        return fail(r, "escape sequence is an invalid Unicode code point");
    *n += put_utf8(to + *n, v);
    return true;
}

static bool read_value(struct reader *r, sv *ret)
{
    skip_blank(r);
    char quote = r->at < r->text.n ? r->text.p[r->at] : 0;
    if (quote != '"' && quote != '\'' && quote != '`')
        return fail_char(r, "in label set, expected a quoted value");
    size_t from = ++r->at;
    while (r->at < r->text.n && r->text.p[r->at] != quote && (r->text.p[r->at] != '\\' || quote == '`'))
        r->at++;
    *ret = sv_sub(r->text, from, r->at - from);
    if (r->at < r->text.n && r->text.p[r->at] == quote) { /* the usual value: nothing to undo */
        r->at++;
        return true;
    }
    char *out = arena_alloc(r->a, r->text.n - from);
    size_t n = ret->n;
    if (!out)
        return arena_err(r->a, r->e, "labels");
    memcpy(out, ret->p, n);
    while (r->at < r->text.n && r->text.p[r->at] != quote) {
        char c = r->text.p[r->at++];
        if (c != '\\')
            out[n++] = c;
        else if (!read_escape(r, out, &n))
            return false;
    }
    if (r->at++ >= r->text.n) {
        r->at = from - 1;
        return fail(r, "unterminated quoted string");
    }
    *ret = sv_make(out, n);
    return true;
}

static bool read_set(struct reader *r, struct label **at, size_t *n)
{
    size_t cap = 0;
    if (!take(r, '{'))
        return fail_char(r, "before the label set");
    while (!take(r, '}')) {
        struct label l;
        if (!read_name(r, &l.name))
            return false;
        if (!take(r, '='))
            return fail_char(r, "inside braces");
        if (!read_value(r, &l.value))
            return false;
        if (l.value.n) {
            struct label *more = arena_grow(r->a, *at, *n, &cap, sizeof **at);
            if (!more)
                return arena_err(r->a, r->e, "labels");
            *at = more;
            (*at)[(*n)++] = l;
        }
        if (!take(r, ',')) {
            if (!take(r, '}'))
                return fail_char(r, "inside braces");
            break;
        }
    }
    skip_blank(r);
    return r->at == r->text.n || fail_char(r, "behind the label set");
}

bool labels_parse(sv text, struct arena *a, struct labels *ret, struct err *e)
{
    struct reader r = {.text = text, .a = a, .e = e};
    struct label *at = NULL;
    size_t n = 0;
    if (!read_set(&r, &at, &n))
        return false;
    labels_sort(at, n);
    for (size_t i = 1; i < n; i++)
        if (sv_eq(at[i - 1].name, at[i].name))
            return err_set(e, ERR_INVALID, "stream '" SV_FMT "' has duplicate label name: '" SV_FMT "'",
                           SV_ARG(sv_sub(text, 0, 120)), SV_ARG(sv_sub(at[i].name, 0, 60)));
    *ret = (struct labels){at, n};
    return true;
}

static bool read_op(struct reader *r, enum match_op *ret)
{
    bool not = take(r, '!');
    if (take(r, '=')) {
        bool regex = !not && r->at < r->text.n && r->text.p[r->at] == '~';
        r->at += regex;
        *ret = regex ? MATCH_RE : not ? MATCH_NEQ : MATCH_EQ;
        return true;
    }
    *ret = MATCH_NRE;
    return (not && take(r, '~')) || fail_char(r, "inside braces");
}

static bool read_matcher(struct reader *r, struct matcher *m)
{
    *m = (struct matcher){0};
    return read_name(r, &m->name) && read_op(r, &m->op) && read_value(r, &m->value) &&
           (m->op < MATCH_RE || regex_compile(m->value, REGEX_FULL, &m->re, r->e));
}

bool matchers_parse(sv text, struct arena *a, struct matcher **ret, size_t *ret_n, struct err *e)
{
    struct reader r = {.text = text, .a = a, .e = e};
    size_t cap = 0;
    *ret = NULL;
    *ret_n = 0;
    if (!take(&r, '{'))
        return fail_char(&r, "before the matchers");
    while (!take(&r, '}')) {
        struct matcher *more = arena_grow(a, *ret, *ret_n, &cap, sizeof **ret);
        if (!more)
            return arena_err(a, e, "matchers");
        *ret = more;
        if (!read_matcher(&r, &more[*ret_n]))
            return false; /* a regex is the last thing that is made */
        ++*ret_n;
        if (!take(&r, ',')) {
            if (!take(&r, '}'))
                return fail_char(&r, "inside braces");
            break;
        }
    }
    skip_blank(&r);
    return r.at == text.n || fail_char(&r, "behind the matchers");
}

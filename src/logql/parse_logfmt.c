/* parse_logfmt.c - labels out of logfmt lines, and the two parsers that match text: regexp and pattern. */
#include "logql/line_parse.h"
#include <stdio.h>

/* One pair off the line. *ok false: a syntax error at *at, of which `bad` is the byte (0: the line ended). */
struct pair {
    sv key, value; /* value still escaped when quoted */
    bool quoted, escaped;
};

enum { BLANK = 1, EQUALS = 2, QUOTE = 4 };
static const uint8_t kinds[256] = {[0 ... ' '] = BLANK, ['='] = EQUALS, ['"'] = QUOTE};

static bool is_blank(char c)
{
    return (unsigned char)c <= ' ';
}

/* Where a byte of one of these kinds comes, or the line's end. */
static size_t find_kind(sv line, size_t at, unsigned what)
{
    while (at < line.n && !(kinds[(unsigned char)line.p[at]] & what))
        at++;
    return at;
}

static void skip_blanks(sv line, size_t *at)
{
    while (*at < line.n && is_blank(line.p[*at]))
        (*at)++;
}

static bool take_quoted(sv line, size_t *at, struct pair *p)
{
    size_t from = ++*at;
    while (*at < line.n && line.p[*at] != '"') {
        p->escaped |= line.p[*at] == '\\';
        *at += line.p[*at] == '\\' && *at + 1 < line.n ? 2 : 1;
    }
    if (*at >= line.n) {
        *at = line.n;
        return false;
    }
    p->quoted = true;
    p->value = sv_sub(line, from, *at - from);
    (*at)++;
    return *at == line.n || is_blank(line.p[*at]);
}

/* At a byte that is no blank. False: a syntax error at *at. */
static bool take_pair(sv line, size_t *at, struct pair *p)
{
    size_t from = *at;
    *p = (struct pair){0};
    *at = find_kind(line, *at, BLANK | EQUALS | QUOTE);
    if (*at < line.n && line.p[*at] == '"')
        return false;
    p->key = sv_sub(line, from, *at - from);
    p->value = SV("");
    if (!p->key.n)
        return false; /* at the = */
    if (*at == line.n || line.p[*at] != '=')
        return true;
    (*at)++;
    if (*at < line.n && line.p[*at] == '"')
        return take_quoted(line, at, p);
    from = *at;
    *at = find_kind(line, *at, BLANK | EQUALS | QUOTE);
    if (*at < line.n && !is_blank(line.p[*at]))
        return false;
    p->value = sv_sub(line, from, *at - from);
    return true;
}

static void strict_error(sv line, size_t at, struct label_row *r)
{
    char text[80];
    int n = at < line.n ? snprintf(text, sizeof text, "logfmt syntax error at pos %zu : unexpected '%c'", at + 1, line.p[at])
                        : snprintf(text, sizeof text, "logfmt syntax error at pos %zu : unterminated quoted value", at);
    label_row_set_error(r, SV("LogfmtParserErr"), arena_sv(r->a, sv_make(text, (size_t)n)));
}

static bool is_ascii(sv s)
{
    unsigned char all = 0;
    for (size_t i = 0; i < s.n; i++)
        all |= (unsigned char)s.p[i];
    return all < 0x80;
}

/* The value as a label may hold it; "" for one that holds broken text. */
static sv pair_value(const struct pair *p, struct label_row *r, bool *ok)
{
    *ok = true;
    sv v = p->value;
    if (p->escaped) {
        v = json_decoded(r->a, p->value, ok);
        if (*ok && !v.p)
            r->failed = true;
    }
    return is_ascii(v) || (sv_is_utf8(v) && sv_find(v, SV("\xef\xbf\xbd")) == SV_NPOS) ? v : SV("");
}

/* Calls fn for each pair; fn returns false when the value is broken. */
static void each_pair(sv line, bool strict, struct label_row *r, bool (*fn)(void *ctx, const struct pair *p), void *ctx)
{
    size_t at = 0;
    for (;;) {
        struct pair p;
        bool ok = false;
        skip_blanks(line, &at);
        if (at >= line.n || r->failed)
            return;
        size_t start = at;
        if (take_pair(line, &at, &p))
            ok = fn(ctx, &p);
        if (ok)
            continue;
        if (strict) {
            strict_error(line, at == start && p.key.n ? start : at, r);
            return;
        }
        while (at < line.n && !is_blank(line.p[at]))
            at++;
    }
}

struct logfmt_all {
    struct label_row *r;
    const struct parse_hints *h;
    bool keep_empty;
};

static bool set_pair(void *ctx, const struct pair *p)
{
    struct logfmt_all *all = ctx;
    bool ok = true;
    if (!parse_may_want(all->h, p->key, false))
        return true;
    sv name = sanitised_name(all->r->a, SV_NULL, p->key);
    if (!name.n || !parse_wants(all->h, all->r, name))
        return true;
    sv value = pair_value(p, all->r, &ok);
    if (ok && (value.n || all->keep_empty))
        extract_if_wanted(all->h, all->r, name, value);
    return ok;
}

void logfmt_extract_all(sv line, bool strict, bool keep_empty, const struct parse_hints *h, struct label_row *r)
{
    struct logfmt_all all = {r, h, keep_empty};
    each_pair(line, strict, r, set_pair, &all);
}

struct logfmt_some {
    struct label_row *r;
    const struct extract *x;
    size_t n;
};

static bool set_wanted(void *ctx, const struct pair *p)
{
    struct logfmt_some *some = ctx;
    bool ok = true;
    for (size_t i = 0; i < some->n && ok; i++) {
        if (!sv_eq(some->x[i].text, p->key))
            continue;
        sv value = pair_value(p, some->r, &ok);
        if (ok)
            label_row_extract(some->r, some->x[i].name, value);
    }
    return ok;
}

void logfmt_extract(sv line, bool strict, const struct extract *x, size_t n, struct label_row *r)
{
    struct logfmt_some some = {r, x, n};
    each_pair(line, strict, r, set_wanted, &some);
    for (size_t i = 0; i < n && !r->failed; i++)
        label_row_extract(r, x[i].name, SV("")); /* unless found above */
}

void regexp_extract(sv line, const struct regex *re, struct label_row *r)
{
    size_t n = regex_groups(re) + 1;
    sv *groups = arena_alloc(r->a, n * sizeof *groups);
    if (!groups) {
        r->failed = true;
        return;
    }
    if (!regex_match_groups(re, line, groups, n))
        return;
    for (size_t i = 1; i < n; i++) {
        sv name = regex_group_name(re, i);
        if (name.p)
            label_row_extract(r, name, groups[i]);
    }
}

void pattern_extract(sv line, const struct pattern *pt, struct label_row *r)
{
    size_t i = 0;
    if (!pt->at[0].capture) {
        if (!sv_starts(line, pt->at[0].literal))
            return;
        line = sv_from(line, pt->at[0].literal.n);
        i = 1;
    }
    for (; i < pt->n; i += 2) { /* captures and literals take turns */
        sv until = i + 1 < pt->n ? pt->at[i + 1].literal : SV_NULL;
        size_t n = until.n ? sv_find(line, until) : SV_NPOS;
        if (!sv_eq(pt->at[i].name, SV("_")))
            label_row_extract(r, pt->at[i].name, sv_sub(line, 0, n));
        if (n == SV_NPOS)
            return;
        line = sv_from(line, n + until.n);
    }
}

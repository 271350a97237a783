/* pattern.c - see pattern.h. */
#include "logql/pattern.h"

static bool name_char(char c, bool first)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (!first && c >= '0' && c <= '9');
}

/* The length of "<name>" at the start of `s`; 0 when it is no capture. */
static size_t capture_length(sv s)
{
    size_t n = 1;
    if (!s.n || s.p[0] != '<')
        return 0;
    while (n < s.n && name_char(s.p[n], n == 1))
        n++;
    return n > 1 && n < s.n && s.p[n] == '>' ? n + 1 : 0;
}

static bool check(const struct pattern *pt, bool filter, struct err *e)
{
    size_t captures = 0;
    for (size_t i = 0; i < pt->n; i++) {
        const struct pattern_piece *c = &pt->at[i];
        if (!c->capture)
            continue;
        bool named = !sv_eq(c->name, SV("_"));
        if (filter && named)
            return err_set(e, ERR_PARSE, "named captures are not allowed: found '<" SV_FMT ">'", SV_ARG(c->name));
        if (i && pt->at[i - 1].capture)
            return err_set(e, ERR_PARSE, "found consecutive capture '<" SV_FMT "><" SV_FMT ">': invalid expression",
                           SV_ARG(pt->at[i - 1].name), SV_ARG(c->name));
        for (size_t j = 0; named && j < i; j++)
            if (pt->at[j].capture && sv_eq(pt->at[j].name, c->name))
                return err_set(e, ERR_PARSE, "duplicate capture name (" SV_FMT "): invalid expression", SV_ARG(c->name));
        captures += named;
    }
    if (!filter && !captures)
        return err_set(e, ERR_PARSE, "at least one capture is required");
    return true;
}

bool pattern_parse(sv text, bool filter, struct arena *a, struct pattern *ret, struct err *e)
{
    struct pattern pt = {0};
    size_t from = 0, at = 0;
    while (from < text.n) {
        size_t n = 0;
        while (at < text.n && !(n = capture_length(sv_from(text, at))))
            at++;
        for (int capture = 0; capture <= 1; capture++) {
            if (capture ? !n : at == from)
                continue;
            if (pt.n == 1000)
                return err_set(e, ERR_PARSE, "more than 1000 parts in a pattern");
            struct pattern_piece *grown = arena_grow(a, pt.at, pt.n, &pt.cap, sizeof *grown);
            if (!grown)
                return arena_err(a, e, "query text");
            pt.at = grown;
            pt.at[pt.n++] = capture ? (struct pattern_piece){.capture = true, .name = sv_sub(text, at + 1, n - 2)}
                                    : (struct pattern_piece){.literal = sv_sub(text, from, at - from)};
        }
        from = at += n;
    }
    if (!check(&pt, filter, e))
        return false;
    *ret = pt;
    return true;
}

bool pattern_matches(const struct pattern *pt, sv line)
{
    if (!pt->n)
        return !line.n;
    size_t at = 0;
    for (size_t i = 0; i < pt->n; i++) {
        const struct pattern_piece *piece = &pt->at[i];
        if (piece->capture)
            continue;
        size_t found = sv_find(sv_from(line, at), piece->literal);
        bool after_capture = i > 0; /* then something must lie in between */
        if (found == SV_NPOS || (after_capture && !found))
            return false;
        at += found + piece->literal.n;
    }
    return pt->at[pt->n - 1].capture ? at < line.n : at == line.n;
}

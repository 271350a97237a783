/* option.c - see option.h. */
#include "base/option.h"
#include <inttypes.h>
#include <stdio.h>
#include <math.h>
#include <stdlib.h>

bool parse_duration(sv text, int64_t *ret_ns, struct err *e)
{
    static const struct {
        sv name;
        double ns;
    } units[] = {{SV("ns"), 1},   {SV("us"), 1e3}, {SV("\xc2\xb5s"), 1e3}, {SV("\xce\xbcs"), 1e3},
                 {SV("ms"), 1e6}, {SV("s"), 1e9},  {SV("m"), 6e10},        {SV("h"), 3.6e12}};
    sv s = text;
    bool neg = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        s = sv_from(s, 1);
    if (sv_eq(s, SV("0"))) {
        *ret_ns = 0;
        return true;
    }
    double total = 0;
    bool any = false;
    while (s.n) {
        size_t k = 0;
        while (k < s.n && ((s.p[k] >= '0' && s.p[k] <= '9') || s.p[k] == '.'))
            k++;
        double v;
        if (k == 0 || !sv_to_double(sv_sub(s, 0, k), &v))
            break;
        s = sv_from(s, k);
        size_t u = 0, best = ARRAY_LEN(units);
        for (; u < ARRAY_LEN(units); u++)
            if (sv_starts(s, units[u].name) && (best == ARRAY_LEN(units) || units[u].name.n > units[best].name.n))
                best = u;
        if (best == ARRAY_LEN(units))
            break;
        total += v * units[best].ns;
        s = sv_from(s, units[best].name.n);
        any = true;
    }
    if (s.n || !any || total > 9.2e18)
        return err_set(e, ERR_PARSE, "not a duration: '" SV_FMT "' (write 200ms, 5s, 1h30m)", SV_ARG(text));
    *ret_ns = neg ? -(int64_t)total : (int64_t)total;
    return true;
}

bool parse_bytes(sv text, uint64_t *ret, struct err *e)
{
    size_t k = 0;
    while (k < text.n && ((text.p[k] >= '0' && text.p[k] <= '9') || text.p[k] == '.'))
        k++;
    double v, mult = 1;
    sv unit = sv_trim(sv_from(text, k));
    bool ok = k && sv_to_double(sv_sub(text, 0, k), &v);
    if (ok && unit.n) {
        static const char letters[] = "kmgtp";
        char c = unit.p[0] >= 'A' && unit.p[0] <= 'Z' ? (char)(unit.p[0] + 32) : unit.p[0];
        const char *at = strchr(letters, c);
        if (at) {
            bool binary = unit.n > 1 && unit.p[1] == 'i';
            for (const char *l = letters; l <= at; l++)
                mult *= binary ? 1024 : 1000;
            unit = sv_from(unit, binary ? 2 : 1);
        }
        ok = unit.n == 0 || sv_eq_nocase(unit, SV("b"));
    }
    if (!ok || v * mult >= 0x1p63)
        return err_set(e, ERR_PARSE, "not a size: '" SV_FMT "' (write 512, 64MiB, 20MB)", SV_ARG(text));
    *ret = (uint64_t)(v * mult);
    return true;
}

static size_t edit_distance(sv a, sv b)
{
    enum { MOST = 64 };
    if (a.n >= MOST || b.n >= MOST)
        return MOST;
    size_t row[MOST + 1];
    for (size_t k = 0; k <= b.n; k++)
        row[k] = k;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t k = 1; k <= b.n; k++) {
            size_t change = diagonal + (a.p[i - 1] != b.p[k - 1]);
            diagonal = row[k];
            row[k] = MIN(change, MIN(row[k], row[k - 1]) + 1);
        }
    }
    return row[b.n];
}

sv nearest_name(sv name, sv (*next)(void *ctx), void *ctx)
{
    sv best = SV_NULL, candidate;
    size_t best_distance = MAX(name.n / 3, (size_t)2) + 1;
    while ((candidate = next(ctx)).p) {
        size_t d = edit_distance(name, candidate);
        if (d < best_distance) {
            best_distance = d;
            best = candidate;
        }
    }
    return best;
}

static bool choice_set(const struct option *o, unsigned *field, sv text, struct err *e)
{
    sv words = sv_of(o->arg);
    for (unsigned i = 0; words.n; i++)
        if (sv_eq(sv_cut(&words, '|'), text)) {
            *field = i;
            return true;
        }
    return err_set(e, ERR_INVALID, "'%s': '" SV_FMT "' is none of %s", o->name, SV_ARG(text), o->arg);
}

const struct option *options_find(const struct option *table, sv name)
{
    for (const struct option *o = table; o->name; o++)
        if (sv_eq(name, sv_of(o->name)))
            return o;
    return NULL;
}

bool option_set(const struct option *o, void *into, sv text, struct err *e)
{
    char *field = (char *)into + o->offset;
    switch (o->kind) {
    case OPTION_BOOL:
        if (!sv_eq(text, SV("true")) && !sv_eq(text, SV("false")))
            return err_set(e, ERR_INVALID, "'%s': neither true nor false: '" SV_FMT "'", o->name, SV_ARG(text));
        *(bool *)field = sv_eq(text, SV("true"));
        return true;
    case OPTION_U64:
        if (!sv_to_u64(text, (uint64_t *)field))
            return err_set(e, ERR_INVALID, "'%s': not a whole number: '" SV_FMT "'", o->name, SV_ARG(text));
        return true;
    case OPTION_DOUBLE:
        if (!sv_to_double(text, (double *)field))
            return err_set(e, ERR_INVALID, "'%s': not a number: '" SV_FMT "'", o->name, SV_ARG(text));
        return true;
    case OPTION_DURATION:
        return parse_duration(text, (int64_t *)field, e) || err_ctx(e, "'%s'", o->name);
    case OPTION_BYTES:
        return parse_bytes(text, (uint64_t *)field, e) || err_ctx(e, "'%s'", o->name);
    case OPTION_CHOICE:
        return choice_set(o, (unsigned *)field, text, e);
    case OPTION_STR: {
        char *copy = sv_dup(text);
        if (!copy)
            return err_nomem(e);
        free(*(char **)field);
        *(char **)field = copy;
        return true;
    }
    }
    return err_set(e, ERR_INVALID, "'%s': unknown kind of option", o->name);
}

bool options_defaults(const struct option *table, void *into, struct err *e)
{
    for (const struct option *o = table; o->name; o++)
        if (o->default_text && !option_set(o, into, sv_of(o->default_text), e))
            return false;
    return true;
}

void options_done(const struct option *table, void *into)
{
    for (const struct option *o = table; o->name; o++)
        if (o->kind == OPTION_STR) {
            char **field = (char **)((char *)into + o->offset);
            free(*field);
            *field = NULL;
        }
}

void option_print_value(const struct option *o, const void *from, struct buf *out)
{
    const char *field = (const char *)from + o->offset;
    switch (o->kind) {
    case OPTION_BOOL:
        buf_fmt(out, "%s", *(const bool *)field ? "true" : "false");
        break;
    case OPTION_U64:
    case OPTION_BYTES:
        buf_u64(out, *(const uint64_t *)field);
        break;
    case OPTION_CHOICE: {
        sv words = sv_of(o->arg), word = sv_cut(&words, '|');
        for (unsigned i = *(const unsigned *)field; i > 0 && words.n; i--)
            word = sv_cut(&words, '|');
        buf_sv(out, word);
        break;
    }
    case OPTION_DOUBLE:
        buf_fmt(out, "%g", *(const double *)field);
        break;
    case OPTION_DURATION:
        buf_fmt(out, "%gs", (double)*(const int64_t *)field / 1e9);
        break;
    case OPTION_STR: {
        const char *text = *(char *const *)field;
        buf_fmt(out, "%s", text ? text : "");
        break;
    }
    }
}

struct cursor {
    const struct option_group *groups;
    size_t n_groups, group, row;
};
static sv next_option(void *ctx)
{
    struct cursor *c = ctx;
    for (; c->group < c->n_groups; c->group++, c->row = 0)
        if (c->groups[c->group].table[c->row].name)
            return sv_of(c->groups[c->group].table[c->row++].name);
    return SV_NULL;
}

static const struct option *find_in_groups(const struct option_group *groups, size_t n_groups, sv name, void **into)
{
    for (size_t i = 0; i < n_groups; i++) {
        const struct option *o = options_find(groups[i].table, name);
        if (o) {
            *into = groups[i].into;
            return o;
        }
    }
    return NULL;
}

/* `dashed`: the name is shown as on a command line. */
static bool unknown(const struct option_group *groups, size_t n_groups, sv name, sv shown, bool dashed, struct err *e)
{
    sv near = nearest_name(name, next_option, &(struct cursor){groups, n_groups, 0, 0});
    if (!near.n)
        return err_set(e, ERR_INVALID, "unknown option '" SV_FMT "'; see --help", SV_ARG(shown));
    char text[64];
    size_t n = MIN(near.n, sizeof text);
    for (size_t i = 0; i < n; i++)
        text[i] = dashed && near.p[i] == '_' ? '-' : near.p[i];
    return err_set(e, ERR_INVALID, "unknown option '" SV_FMT "'; did you mean '%s%.*s'?", SV_ARG(shown),
                   dashed ? "--" : "", (int)n, text);
}

bool options_set_by_name(const struct option_group *groups, size_t n_groups, sv name, sv value, struct err *e)
{
    void *into;
    const struct option *o = find_in_groups(groups, n_groups, name, &into);
    return o ? option_set(o, into, value, e) : unknown(groups, n_groups, name, name, false, e);
}

bool options_parse_args(const struct option_group *groups, size_t n_groups, int argc, char **argv, int *at,
                        struct err *e)
{
    for (; *at < argc; ++*at) {
        sv word = sv_of(argv[*at]);
        if (sv_eq(word, SV("--"))) {
            ++*at;
            return true;
        }
        if (!sv_starts(word, SV("--")))
            return true;
        sv rest = sv_from(word, 2), name = sv_cut(&rest, '=');
        bool has_value = rest.p != NULL;
        char key[64];
        size_t n = MIN(name.n, sizeof key);
        for (size_t i = 0; i < n; i++)
            key[i] = name.p[i] == '-' ? '_' : name.p[i];
        sv k = {key, n}, value = rest;
        void *into;
        const struct option *o = find_in_groups(groups, n_groups, k, &into);
        if (!o && sv_starts(k, SV("no_")) && !has_value) {
            o = find_in_groups(groups, n_groups, sv_from(k, 3), &into);
            if (o && o->kind != OPTION_BOOL)
                o = NULL;
            value = SV("false");
        } else if (o && !has_value && o->kind == OPTION_BOOL) {
            value = SV("true");
        } else if (o && !has_value) {
            if (*at + 1 >= argc)
                return err_set(e, ERR_INVALID, "option '" SV_FMT "' needs a value", SV_ARG(word));
            value = sv_of(argv[++*at]);
        }
        if (!o)
            return unknown(groups, n_groups, k, word, true, e);
        if (!option_set(o, into, value, e))
            return err_ctx(e, "option '--" SV_FMT "'", SV_ARG(name));
    }
    return true;
}

/* Rows that an earlier table hides (the same name) are left out. */
static void print_help_table(const struct option_group *groups, size_t n, struct buf *out)
{
    static const char *const words[] = {[OPTION_BOOL] = "",         [OPTION_U64] = "N",     [OPTION_DOUBLE] = "X",
                                        [OPTION_STR] = "TEXT",      [OPTION_DURATION] = "DURATION", [OPTION_BYTES] = "SIZE"};
    for (const struct option *o = groups[n].table; o->name; o++) {
        void *hidden_by;
        if (find_in_groups(groups, n, sv_of(o->name), &hidden_by))
            continue;
        char name[96];
        int n = snprintf(name, sizeof name, "--%s %s", o->name, o->arg ? o->arg : words[o->kind]);
        for (int i = 2; i < n && name[i] != ' '; i++)
            if (name[i] == '_')
                name[i] = '-';
        buf_fmt(out, "  %-28s %s", name, o->help);
        if (o->default_text && *o->default_text && !(o->kind == OPTION_BOOL && *o->default_text == 'f'))
            buf_fmt(out, " (default %s)", o->default_text);
        buf_char(out, '\n');
    }
}

void options_print_help(const struct option_group *groups, size_t n_groups, struct buf *out)
{
    for (size_t i = 0; i < n_groups; i++) {
        buf_fmt(out, "%s%s:\n", i ? "\n" : "", groups[i].title);
        print_help_table(groups, i, out);
    }
}

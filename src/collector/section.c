/* section.c - see section.h. */
#include "collector/section.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PROBLEMS_MAX 100
#define LIST_MAX 1000

static void put_problem(struct problems *ps, struct buf *to, unsigned line, unsigned column, const char *fmt, va_list ap)
{
    char text[1024];
    vsnprintf(text, sizeof text, fmt, ap);
    buf_fmt(to, "%s:%u:%u: %s\n", ps->file, line, column, text);
}

void problem_at(struct problems *ps, unsigned line, unsigned column, const char *fmt, ...)
{
    if (++ps->n > PROBLEMS_MAX)
        return;
    va_list ap;
    va_start(ap, fmt);
    put_problem(ps, &ps->text, line, column, fmt, ap);
    va_end(ap);
}

void warning_at(struct problems *ps, unsigned line, unsigned column, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    put_problem(ps, &ps->warnings, line, column, fmt, ap);
    va_end(ap);
}

void section_problem(const struct reading *rd, const char *key, const char *fmt, ...)
{
    char text[900];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const struct yaml *at = key ? yaml_get(rd->node, sv_of(key)) : NULL;
    if (!at)
        at = rd->node;
    problem_at(rd->ps, at ? at->line : 1, at ? at->column : 1, "%s: %s", rd->path, text);
}

bool section_has(const struct reading *rd, const char *key)
{
    const struct yaml *y = yaml_get(rd->node, sv_of(key));
    return y && y->kind != YAML_NULL;
}

void section_check_endpoint(const struct reading *rd, const char *endpoint)
{
    sv s = sv_of(endpoint);
    size_t colon = sv_rfind_char(s, ':');
    uint64_t port;
    if (!s.n)
        section_problem(rd, "endpoint", "requires a non-empty \"endpoint\"");
    else if (colon == SV_NPOS || !sv_to_u64(sv_from(s, colon + 1), &port) || port > 65535)
        section_problem(rd, "endpoint", "invalid port \"" SV_FMT "\" in endpoint \"%s\" (write host:port)",
                        SV_ARG(colon == SV_NPOS ? SV("") : sv_from(s, colon + 1)), endpoint);
}

static const char *kind_name(const struct yaml *y)
{
    switch (y->kind) {
    case YAML_NULL:
        return "nothing";
    case YAML_SCALAR:
        return y->quoted ? "a string" : "a scalar";
    case YAML_MAP:
        return "a map";
    case YAML_LIST:
        return "a list";
    }
    return "?";
}

/* The names a key could have meant, for nearest_name(). */
struct names {
    const struct section *s;
    size_t table, at;
};

static sv next_name(void *ctx)
{
    struct names *n = ctx;
    for (; n->table < 3; n->table++, n->at = 0) {
        const char *name = NULL;
        if (n->table == 0 && n->s->options)
            name = n->s->options[n->at].name;
        else if (n->table == 1 && n->s->subs)
            name = n->s->subs[n->at].name;
        else if (n->table == 2 && n->s->others)
            name = n->s->others[n->at].name;
        if (name) {
            n->at++;
            return sv_of(name);
        }
    }
    return SV_NULL;
}

static void unknown_key(const struct reading *rd, const struct section *s, const struct yaml *y)
{
    struct names n = {.s = s};
    sv near = nearest_name(y->key, next_name, &n);
    if (near.p)
        problem_at(rd->ps, y->key_line, y->key_column, "%s has invalid keys: " SV_FMT "; did you mean '" SV_FMT "'?",
                   rd->path, SV_ARG(y->key), SV_ARG(near));
    else
        problem_at(rd->ps, y->key_line, y->key_column, "%s has invalid keys: " SV_FMT, rd->path, SV_ARG(y->key));
}

/* A scalar's text; also that of a ${env:X} whose text happens to be a map or a list. */
static bool text_of(const struct yaml *y, sv *ret)
{
    *ret = y->text;
    return y->kind == YAML_SCALAR || ((y->kind == YAML_MAP || y->kind == YAML_LIST) && y->text.n);
}

static void read_option(const struct reading *rd, const struct option *o, void *cfg, const struct yaml *y)
{
    static const char *const wanted[] = {
        [OPTION_BOOL] = "true or false", [OPTION_U64] = "a whole number",        [OPTION_DOUBLE] = "a number",
        [OPTION_STR] = "a string",       [OPTION_DURATION] = "a duration (5s, 200ms)", [OPTION_BYTES] = "a number of bytes"};
    if (y->kind == YAML_NULL)
        return; /* the default stays */
    bool text_only = o->kind == OPTION_BOOL || o->kind == OPTION_U64 || o->kind == OPTION_DOUBLE;
    sv text;
    if (!text_of(y, &text) || (y->kind != YAML_SCALAR && o->kind != OPTION_STR) || (text_only && y->quoted)) {
        problem_at(rd->ps, y->line, y->column, "%s::%s: expected %s, found %s", rd->path, o->name, wanted[o->kind],
                   kind_name(y));
        return;
    }
    struct err e = {0};
    if (o->kind == OPTION_BOOL && (sv_eq(text, SV("True")) || sv_eq(text, SV("TRUE"))))
        text = SV("true");
    if (o->kind == OPTION_BOOL && (sv_eq(text, SV("False")) || sv_eq(text, SV("FALSE"))))
        text = SV("false");
    if (o->kind == OPTION_STR && sv_find_char(text, 0) != SV_NPOS)
        err_set(&e, ERR_INVALID, "'%s': holds a NUL character", o->name);
    if (e.code || !option_set(o, cfg, text, &e))
        problem_at(rd->ps, y->line, y->column, "%s: %s", rd->path, e.msg);
}

static bool check_count(const struct reading *rd, const struct yaml *y)
{
    size_t n = 0;
    for (const struct yaml *c = y->first; c; c = c->next)
        n++;
    if (n <= LIST_MAX)
        return true;
    problem_at(rd->ps, y->line, y->column, "%s::" SV_FMT ": more than %d entries", rd->path, SV_ARG(y->key), LIST_MAX);
    return false;
}

static bool has_control(sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

static void pairs_done(struct pairs *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->at[i].name);
        free(p->at[i].value);
    }
    free(p->at);
    *p = (struct pairs){0};
}

static void strings_done(struct strings *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->at[i]);
    free(s->at);
    *s = (struct strings){0};
}

static void read_pairs(const struct reading *rd, const struct sub *sub, struct pairs *to, const struct yaml *y)
{
    if (y->kind != YAML_MAP) {
        problem_at(rd->ps, y->line, y->column, "%s::%s: expected a map, found %s", rd->path, sub->name, kind_name(y));
        return;
    }
    if (!check_count(rd, y))
        return;
    pairs_done(to);
    for (const struct yaml *c = y->first; c; c = c->next) {
        sv text = SV("");
        if ((c->kind != YAML_NULL && !text_of(c, &text)) || c->key.n == 0 || has_control(c->key) || has_control(text)) {
            problem_at(rd->ps, c->line, c->column, "%s::%s::" SV_FMT ": not a name and a one-line string", rd->path,
                       sub->name, SV_ARG(c->key));
            continue;
        }
        struct pair *grown = realloc(to->at, (to->n + 1) * sizeof *grown);
        if (!grown)
            break;
        to->at = grown;
        struct pair p = {sv_dup(c->key), sv_dup(text)};
        to->at[to->n++] = p;
        if (!p.name || !p.value)
            problem_at(rd->ps, c->line, c->column, "out of memory");
    }
}

static void add_string(const struct reading *rd, struct strings *to, sv text, const struct yaml *y)
{
    char **grown = realloc(to->at, (to->n + 1) * sizeof *grown);
    char *copy = sv_dup(text);
    if (grown)
        to->at = grown;
    if (!grown || !copy) {
        free(copy);
        problem_at(rd->ps, y->line, y->column, "out of memory");
        return;
    }
    to->at[to->n++] = copy;
}

static void read_strings(const struct reading *rd, const struct sub *sub, struct strings *to, const struct yaml *y)
{
    if (y->kind == YAML_MAP) {
        problem_at(rd->ps, y->line, y->column, "%s::%s: expected a list, found a map", rd->path, sub->name);
        return;
    }
    if (!check_count(rd, y))
        return;
    strings_done(to);
    sv rest = y->text;
    while (y->kind == YAML_SCALAR && rest.p) /* "a,b": a list upstream too */
        add_string(rd, to, sv_cut(&rest, ','), y);
    for (const struct yaml *c = y->first; c; c = c->next) {
        sv text;
        if (text_of(c, &text))
            add_string(rd, to, text, c);
        else
            problem_at(rd->ps, c->line, c->column, "%s::%s: expected a string, found %s", rd->path, sub->name,
                       kind_name(c));
    }
}

static void defaults(const struct section *s, void *cfg, struct problems *ps)
{
    struct err e = {0};
    if (s->options && !options_defaults(s->options, cfg, &e))
        problem_at(ps, 1, 1, "%s", e.msg);
    for (const struct sub *sub = s->subs; sub && sub->name; sub++)
        if (sub->section)
            defaults(sub->section, (char *)cfg + sub->offset, ps);
}

static void read_members(const struct section *s, void *cfg, struct reading *rd, bool may_enable);

/* `enabled` belongs to every optional section, whether or not its rows name it. */
static bool is_disabled(const struct reading *rd, const struct section *s)
{
    const struct yaml *y = yaml_get(rd->node, SV("enabled"));
    if (!y || (s->options && options_find(s->options, SV("enabled"))))
        return false;
    if (y->kind != YAML_SCALAR || y->quoted || (!sv_eq(y->text, SV("true")) && !sv_eq(y->text, SV("false")))) {
        problem_at(rd->ps, y->line, y->column, "%s: unexpected type for 'enabled': expected true or false", rd->path);
        return false;
    }
    return sv_eq(y->text, SV("false"));
}

static void read_sub(const struct reading *rd, const struct sub *sub, void *cfg, const struct yaml *y)
{
    void *to = (char *)cfg + sub->offset;
    bool *set = sub->set == NO_FLAG ? NULL : (bool *)((char *)cfg + sub->set);
    if (sub->kind != SUB_SECTION) {
        if (y->kind == YAML_NULL)
            return;
        if (sub->kind == SUB_PAIRS)
            read_pairs(rd, sub, to, y);
        else if (sub->kind == SUB_STRINGS)
            read_strings(rd, sub, to, y);
        else
            sub->read(rd, to, y);
        if (set)
            *set = true;
        return;
    }
    char path[300];
    snprintf(path, sizeof path, "%s::%s", rd->path, sub->name);
    struct reading inner = {rd->ps, y, path};
    read_members(sub->section, to, &inner, set != NULL);
    if (set)
        *set = !is_disabled(&inner, sub->section);
}

static void read_other(const struct reading *rd, const struct other_key *k, const struct yaml *y)
{
    bool off = y->kind == YAML_NULL || (y->kind == YAML_SCALAR && (sv_eq(y->text, SV("false")) || y->text.n == 0)) ||
               (y->kind == YAML_LIST && !y->first);
    if (k->kind == KEY_ALWAYS_ON) {
        if (y->kind != YAML_NULL && !sv_eq(y->text, SV("true")))
            problem_at(rd->ps, y->key_line, y->key_column, "%s::%s can only be true: %s", rd->path, k->name, k->why);
        return;
    }
    if (k->kind == KEY_UNSUPPORTED && !off)
        problem_at(rd->ps, y->key_line, y->key_column, "%s::%s is not supported: %s", rd->path, k->name, k->why);
    else if (!off)
        warning_at(rd->ps, y->key_line, y->key_column, "%s::%s has no effect: %s", rd->path, k->name, k->why);
}

static void read_key(const struct section *s, void *cfg, const struct reading *rd, const struct yaml *y)
{
    const struct option *o = s->options ? options_find(s->options, y->key) : NULL;
    if (o) {
        read_option(rd, o, cfg, y);
        return;
    }
    for (const struct sub *sub = s->subs; sub && sub->name; sub++)
        if (sv_eq(y->key, sv_of(sub->name))) {
            read_sub(rd, sub, cfg, y);
            return;
        }
    for (const struct other_key *k = s->others; k && k->name; k++)
        if (sv_eq(y->key, sv_of(k->name))) {
            read_other(rd, k, y);
            return;
        }
    unknown_key(rd, s, y);
}

static void read_members(const struct section *s, void *cfg, struct reading *rd, bool may_enable)
{
    const struct yaml *node = rd->node;
    if (node && node->kind != YAML_NULL && node->kind != YAML_MAP) {
        problem_at(rd->ps, node->line, node->column, "%s: expected a map, found %s", rd->path, kind_name(node));
        rd->node = NULL;
    }
    bool named = s->options && options_find(s->options, SV("enabled"));
    for (const struct yaml *y = rd->node ? rd->node->first : NULL; y; y = y->next)
        if (named || !may_enable || !sv_eq(y->key, SV("enabled")))
            read_key(s, cfg, rd, y);
    if (s->check)
        s->check(rd, cfg);
}

void section_read(const struct section *s, void *cfg, struct problems *ps, const struct yaml *node, const char *path)
{
    defaults(s, cfg, ps);
    struct reading rd = {ps, node, path};
    read_members(s, cfg, &rd, false);
}

void section_read_into(const struct section *s, void *cfg, struct reading *rd)
{
    read_members(s, cfg, rd, false);
}

void section_done(const struct section *s, void *cfg)
{
    if (s->options)
        options_done(s->options, cfg);
    for (const struct sub *sub = s->subs; sub && sub->name; sub++) {
        void *at = (char *)cfg + sub->offset;
        if (sub->section)
            section_done(sub->section, at);
        else if (sub->kind == SUB_PAIRS)
            pairs_done(at);
        else if (sub->kind == SUB_STRINGS)
            strings_done(at);
    }
}

void section_print(const struct section *s, const char *prefix, struct buf *out)
{
    for (const struct option *o = s->options; o && o->name; o++)
        buf_fmt(out, "| `%s%s` | %s%s%s | %s |\n", prefix, o->name, o->default_text ? "`" : "",
                o->default_text ? o->default_text : "", o->default_text ? "`" : "", o->help);
    for (const struct sub *sub = s->subs; sub && sub->name; sub++) {
        buf_fmt(out, "| `%s%s` | | %s |\n", prefix, sub->name, sub->help);
        if (sub->kind == SUB_SECTION) {
            char inner[200];
            snprintf(inner, sizeof inner, "%s%s.", prefix, sub->name);
            section_print(sub->section, inner, out);
        }
    }
    for (const struct other_key *k = s->others; k && k->name; k++)
        buf_fmt(out, "| `%s%s` | %s | %s: %s |\n", prefix, k->name, k->kind == KEY_ALWAYS_ON ? "`true`" : "",
                k->kind == KEY_NO_EFFECT   ? "accepted, no effect"
                : k->kind == KEY_ALWAYS_ON ? "only true"
                                           : "not supported",
                k->why);
}

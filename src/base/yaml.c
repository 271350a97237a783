/* yaml.c - libfyaml's events become a plain tree in the caller's arena.
 * (1) We take events, not libfyaml's documents: anchors, merge keys and duplicates are then ours to cap and to word.
 * (2) An alias is a copy of what its anchor held. Copies count against NODES_MAX and the arena, so a "billion laughs"
 *     file is an error after at most that much work. An anchor is known only behind its value: no loops.
 * (3) A copied node keeps the line and column of where it was written, which is where it has to be corrected.
 * (4) libfyaml is reached through a table (fyaml.h): here nothing is linked.
 * (5) Which plain scalars are numbers or booleans is not decided here: option.h and the caller know what they want. */
#include "base/fyaml.h"
#include "base/map.h"
#include <stdlib.h>

#define DEPTH_MAX 64
#define NODES_MAX 100000
#define TEXT_MAX ((size_t)16 << 20)

struct loader {
    const struct fyaml *fy;
    const char *file;
    struct arena *a;
    struct err *e;
    struct fy_parser *fyp;
    struct fy_diag *diag;
    struct fy_event *ev; /* the event being looked at */
    struct map anchors;  /* name → struct yaml, finished */
    size_t n_nodes;
};

static bool fail_at(struct loader *ld, enum err_code code, unsigned line, unsigned column, const char *what, sv detail)
{
    return err_set(ld->e, code, "%s:%u:%u: %s" SV_FMT, ld->file, line, column, what, SV_ARG(detail));
}

static bool fail_here(struct loader *ld, enum err_code code, const char *what, sv detail)
{
    const struct fy_mark *m = ld->ev ? ld->fy->fy_event_start_mark(ld->ev) : NULL;
    return fail_at(ld, code, m ? (unsigned)m->line + 1 : 1, m ? (unsigned)m->column + 1 : 1, what, detail);
}

/* The library's own complaint about the text. */
static bool fail_parse(struct loader *ld)
{
    void *at = NULL;
    const struct fy_diag_error *de = ld->fy->fy_diag_errors_iterate(ld->diag, &at);
    if (!de || !de->msg)
        return err_set(ld->e, ERR_PARSE, "%s: not readable as YAML", ld->file);
    return fail_at(ld, ERR_PARSE, (unsigned)(de->line > 0 ? de->line : 1), (unsigned)(de->column > 0 ? de->column : 1),
                   "", sv_trim(sv_of(de->msg)));
}

static void drop_output(struct fy_diag *diag, void *user, const char *text, size_t n)
{
    (void)diag, (void)user, (void)text, (void)n;
}

/* Steps to the next event; at the end of the stream ev is NULL. */
static bool step(struct loader *ld)
{
    ld->fy->fy_parser_event_free(ld->fyp, ld->ev);
    ld->ev = ld->fy->fy_parser_parse(ld->fyp);
    return ld->ev || !ld->fy->fy_parser_get_stream_error(ld->fyp) || fail_parse(ld);
}

static struct yaml *node_new(struct loader *ld)
{
    if (++ld->n_nodes > NODES_MAX) {
        fail_here(ld, ERR_LIMIT, "more than 100000 values, counting each use of an anchor", SV_NULL);
        return NULL;
    }
    struct yaml *y = ARENA_NEW(ld->a, struct yaml);
    if (!y)
        arena_err(ld->a, ld->e, "YAML document");
    return y;
}

/* Key and siblings are the caller's. */
static struct yaml *copy_tree(struct loader *ld, const struct yaml *from, unsigned depth)
{
    if (depth > DEPTH_MAX) {
        fail_here(ld, ERR_LIMIT, "nested deeper than 64", SV_NULL);
        return NULL;
    }
    struct yaml *to = node_new(ld);
    if (!to)
        return NULL;
    *to = *from;
    to->first = to->next = NULL;
    struct yaml **tail = &to->first;
    for (const struct yaml *c = from->first; c; c = c->next) {
        if (!(*tail = copy_tree(ld, c, depth + 1)))
            return NULL;
        tail = &(*tail)->next;
    }
    return to;
}

static bool token_text(struct loader *ld, struct fy_token *t, sv *ret)
{
    size_t n = 0;
    const char *p = t ? ld->fy->fy_token_get_text(t, &n) : "";
    if (!p)
        return err_nomem(ld->e);
    *ret = arena_sv(ld->a, sv_make(p, n));
    return ret->p || arena_err(ld->a, ld->e, "YAML document");
}

static bool is_null_word(sv s)
{
    return s.n == 0 || sv_eq(s, SV("~")) || sv_eq(s, SV("null")) || sv_eq(s, SV("Null")) || sv_eq(s, SV("NULL"));
}

static bool take_tag(struct loader *ld, struct fy_token *tag, struct yaml *y)
{
    if (!tag)
        return true;
    size_t n = 0;
    const char *p = ld->fy->fy_tag_token_suffix(tag, &n);
    sv name = sv_make(p, p ? n : 0);
    if (sv_eq(name, SV("str"))) {
        if (y->kind == YAML_NULL)
            y->kind = YAML_SCALAR;
        y->quoted = true;
        return true;
    }
    static const sv known[] = {SV("map"), SV("seq"), SV("int"), SV("bool"), SV("float"), SV("null"), SV("")};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (sv_eq(name, known[i]))
            return true;
    return fail_here(ld, ERR_UNSUPPORTED, "unknown tag !", name);
}

static bool add_anchor(struct loader *ld, sv name, struct yaml *y)
{
    struct map_slot *s = map_put(&ld->anchors, name);
    if (!s)
        return err_nomem(ld->e);
    s->key = name;
    s->value = y; /* a later anchor of the same name replaces it, as the YAML specification has it */
    return true;
}

static bool value(struct loader *ld, unsigned depth, struct yaml **ret);

static bool scalar(struct loader *ld, struct yaml *y)
{
    struct fy_token *t = ld->ev->scalar.value;
    if (!token_text(ld, t, &y->text))
        return false;
    enum fy_scalar_style style = t ? ld->fy->fy_token_scalar_style(t) : FYSS_PLAIN;
    y->quoted = style != FYSS_PLAIN;
    if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && y->column > 1)
        y->column--; /* the mark is behind the quote */
    y->kind = !y->quoted && is_null_word(y->text) ? YAML_NULL : YAML_SCALAR;
    return take_tag(ld, ld->ev->scalar.tag, y);
}

/* A value that was left out has no mark of its own. */
static void place(struct yaml *y, unsigned line, unsigned column)
{
    if (y->line)
        return;
    y->line = line;
    y->column = column;
}

static bool list(struct loader *ld, struct yaml *y, unsigned depth)
{
    struct yaml **tail = &y->first;
    for (;;) {
        if (!step(ld))
            return false;
        if (!ld->ev)
            return fail_here(ld, ERR_PARSE, "the list does not end", SV_NULL);
        if (ld->ev->type == FYET_SEQUENCE_END)
            return true;
        if (!value(ld, depth + 1, tail))
            return false;
        place(*tail, y->line, y->column);
        tail = &(*tail)->next;
    }
}

/* The members of `from` that the map does not have, behind its own. */
static bool merge_map(struct loader *ld, struct map *seen, const struct yaml *from, struct yaml **tail, unsigned depth)
{
    if (from->kind != YAML_MAP)
        return fail_at(ld, ERR_PARSE, from->line, from->column, "<< takes a map or a list of maps", SV_NULL);
    while (*tail)
        tail = &(*tail)->next;
    for (const struct yaml *c = from->first; c; c = c->next) {
        struct map_slot *s = map_put(seen, c->key);
        if (!s)
            return err_nomem(ld->e);
        if (s->value)
            continue;
        if (!(*tail = copy_tree(ld, c, depth + 1)))
            return false;
        s->key = (*tail)->key;
        s->value = *tail;
        tail = &(*tail)->next;
    }
    return true;
}

static bool merge_all(struct loader *ld, struct map *seen, const struct yaml *merges, struct yaml **tail, unsigned depth)
{
    for (const struct yaml *m = merges; m; m = m->next) {
        if (m->kind != YAML_LIST) {
            if (!merge_map(ld, seen, m, tail, depth))
                return false;
            continue;
        }
        for (const struct yaml *c = m->first; c; c = c->next)
            if (!merge_map(ld, seen, c, tail, depth))
                return false;
    }
    return true;
}

static bool members(struct loader *ld, struct yaml *y, unsigned depth, struct map *seen)
{
    struct yaml **tail = &y->first, *merges = NULL, **merge_tail = &merges;
    for (;;) {
        if (!step(ld))
            return false;
        if (!ld->ev)
            return fail_here(ld, ERR_PARSE, "the map does not end", SV_NULL);
        if (ld->ev->type == FYET_MAPPING_END)
            return merge_all(ld, seen, merges, tail, depth);
        struct yaml key = {0}, *v = NULL;
        if (ld->ev->type != FYET_SCALAR)
            return fail_here(ld, ERR_PARSE, "a key must be a plain word", SV_NULL);
        const struct fy_mark *m = ld->fy->fy_event_start_mark(ld->ev);
        key.line = m ? (unsigned)m->line + 1 : y->line;
        key.column = m ? (unsigned)m->column + 1 : y->column;
        if (ld->ev->scalar.anchor)
            return fail_here(ld, ERR_UNSUPPORTED, "an anchor on a key", SV_NULL);
        if (!scalar(ld, &key))
            return false;
        bool merge = !key.quoted && sv_eq(key.text, SV("<<"));
        if (!merge) {
            struct map_slot *s = map_put(seen, key.text);
            if (!s)
                return err_nomem(ld->e);
            if (s->value)
                return fail_at(ld, ERR_PARSE, key.line, key.column, "duplicate key: ", key.text);
            s->key = key.text;
            s->value = y;
        }
        if (!step(ld) || !value(ld, depth + 1, &v))
            return false;
        place(v, key.line, key.column);
        v->key = key.text;
        v->key_line = key.line;
        v->key_column = key.column;
        struct yaml ***to = merge ? &merge_tail : &tail;
        **to = v;
        *to = &v->next;
    }
}

static bool map(struct loader *ld, struct yaml *y, unsigned depth)
{
    struct map seen = {0};
    bool ok = members(ld, y, depth, &seen);
    map_done(&seen);
    return ok;
}

/* The value that starts at the current event; afterwards the current event is its last. */
static bool value(struct loader *ld, unsigned depth, struct yaml **ret)
{
    if (!ld->ev)
        return err_set(ld->e, ERR_PARSE, "%s: ends in the middle of a value", ld->file);
    if (depth > DEPTH_MAX)
        return fail_here(ld, ERR_LIMIT, "nested deeper than 64", SV_NULL);
    sv name = SV_NULL;
    if (ld->ev->type == FYET_ALIAS) {
        if (!token_text(ld, ld->ev->alias.anchor, &name))
            return false;
        const struct yaml *from = map_get(&ld->anchors, name);
        if (!from) {
            const struct fy_mark *at = ld->fy->fy_event_start_mark(ld->ev); /* behind the '*' */
            return fail_at(ld, ERR_PARSE, at ? (unsigned)at->line + 1 : 1, at ? (unsigned)at->column : 1,
                           "no value is anchored before this as &", name);
        }
        return (*ret = copy_tree(ld, from, depth)) != NULL;
    }
    struct yaml *y = node_new(ld);
    if (!y)
        return false;
    const struct fy_mark *m = ld->fy->fy_event_start_mark(ld->ev);
    y->line = m ? (unsigned)m->line + 1 : 0;
    y->column = m ? (unsigned)m->column + 1 : 0;
    struct fy_token *anchor = ld->fy->fy_event_get_anchor_token(ld->ev);
    if (anchor && !token_text(ld, anchor, &name))
        return false;
    bool ok;
    switch (ld->ev->type) {
    case FYET_SCALAR:
        ok = scalar(ld, y);
        break;
    case FYET_SEQUENCE_START:
        y->kind = YAML_LIST;
        ok = take_tag(ld, ld->ev->sequence_start.tag, y) && list(ld, y, depth);
        break;
    case FYET_MAPPING_START:
        y->kind = YAML_MAP;
        ok = take_tag(ld, ld->ev->mapping_start.tag, y) && map(ld, y, depth);
        break;
    default:
        return fail_here(ld, ERR_PARSE, "a value is missing", SV_NULL);
    }
    if (ok && name.n)
        ok = add_anchor(ld, name, y);
    if (ok)
        *ret = y;
    return ok;
}

static bool stream(struct loader *ld, struct yaml **ret)
{
    struct yaml *root = NULL;
    for (;;) {
        if (!step(ld))
            return false;
        if (!ld->ev)
            break;
        if (ld->ev->type != FYET_DOCUMENT_START)
            continue;
        if (root)
            return fail_here(ld, ERR_UNSUPPORTED, "a second document in one file", SV_NULL);
        if (!step(ld) || !value(ld, 1, &root))
            return false;
    }
    if (!root && !(root = node_new(ld)))
        return false;
    place(root, 1, 1);
    *ret = root;
    return true;
}

/* What libfyaml would read silently (text behind a NUL) or guess at (other encodings). */
static bool check_text(sv text, const char *file, struct err *e)
{
    if (text.n > TEXT_MAX)
        return err_set(e, ERR_LIMIT, "%s: larger than 16 MiB", file);
    size_t good = sv_utf8_prefix(text), nul = sv_find_char(text, 0);
    bool utf8 = sv_is_utf8(text);
    if (utf8 && nul == SV_NPOS)
        return true;
    size_t at = nul != SV_NPOS ? nul : good;
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < at; i++, column++)
        if (text.p[i] == '\n') {
            line++;
            column = 0;
        }
    return err_at(e, ERR_PARSE, at, "%s:%u:%u: %s", file, line, column, nul != SV_NPOS ? "a NUL byte" : "not UTF-8");
}

bool yaml_parse_by(const struct fyaml *fy, sv text, const char *file, struct arena *a, struct yaml **ret, struct err *e)
{
    if (!check_text(text, file, e))
        return false;
    struct loader ld = {.fy = fy, .file = file, .a = a, .e = e};
    struct fy_diag_cfg dc;
    fy->fy_diag_cfg_default(&dc);
    dc.fp = NULL;
    dc.output_fn = drop_output;
    dc.level = FYET_ERROR;
    ld.diag = fy->fy_diag_create(&dc);
    struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_JSON_NONE, .diag = ld.diag};
    if (ld.diag)
        fy->fy_diag_set_collect_errors(ld.diag, true);
    ld.fyp = ld.diag ? fy->fy_parser_create(&cfg) : NULL;
    bool ok = ld.fyp && fy->fy_parser_set_string(ld.fyp, text.n ? text.p : "", text.n) == 0;
    ok = ok ? stream(&ld, ret) : err_nomem(e);
    if (ld.fyp) {
        fy->fy_parser_event_free(ld.fyp, ld.ev);
        fy->fy_parser_destroy(ld.fyp);
    }
    fy->fy_diag_destroy(ld.diag);
    map_done(&ld.anchors);
    return ok;
}

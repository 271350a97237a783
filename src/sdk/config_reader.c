/* config_reader.c - see config_reader.h. */
#include "sdk/config_reader.h"
#include "base/option.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- messages ---- */

static void put_path(struct buf *b, const struct place *at)
{
    if (!at->up) /* the root has no name */
        return;
    put_path(b, at->up);
    if (at->index >= 0)
        buf_fmt(b, "[%" PRId64 "]", at->index);
    else
        buf_fmt(b, "%s" SV_FMT, b->n ? "." : "", SV_ARG(sv_sub(at->node->key, 0, 80)));
}

/* "file:line:column: path: " */
void cfg_put_where(struct reader *r, struct buf *b, const struct place *at, bool of_key)
{
    const struct yaml *y = at->node;
    SCOPED(buf_done) struct buf path = {0};
    put_path(&path, at);
    buf_fmt(b, "%s:%u:%u: ", r->c->file, of_key ? y->key_line : y->line, of_key ? y->key_column : y->column);
    if (path.n)
        buf_fmt(b, SV_FMT ": ", SV_ARG(buf_view(&path)));
}

bool cfg_fail(struct reader *r, const struct place *at, const char *fmt, ...)
{
    SCOPED(buf_done) struct buf where = {0};
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cfg_put_where(r, &where, at, false);
    return err_set(r->e, ERR_INVALID, SV_FMT "%s", SV_ARG(buf_view(&where)), text);
}

bool cfg_note(struct reader *r, enum log_level level, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct config_note **tail = &r->c->notes, *n = ARENA_NEW(&r->c->mem, struct config_note);
    while (*tail)
        tail = &(*tail)->next;
    if (n)
        *n = (struct config_note){level, arena_sv(&r->c->mem, sv_of(text)).p, NULL};
    if (!n || !n->text)
        return cfg_nomem(r);
    *tail = n;
    return true;
}

bool cfg_nomem(struct reader *r)
{
    return arena_err(&r->c->mem, r->e, "configuration file");
}

static void put_names(struct buf *b, const struct field *fields)
{
    for (const struct field *f = fields; f->name; f++)
        buf_fmt(b, "%s%s", f == fields ? "" : f[1].name ? ", " : " and ", f->name);
}

static sv next_name(void *ctx)
{
    const struct field **f = ctx;
    return (*f)->name ? sv_of((*f)++->name) : SV_NULL;
}

const struct field *cfg_field_of(const struct field *fields, sv key)
{
    for (const struct field *f = fields; f->name; f++)
        if (sv_eq(key, sv_of(f->name)))
            return f;
    return NULL;
}

/* `at` is the unknown member: its own place, and the path of its section. */
void cfg_put_unknown(struct reader *r, struct buf *b, const struct place *at, const struct field *fields)
{
    const struct field *walk = fields;
    SCOPED(buf_done) struct buf path = {0};
    put_path(&path, at->up);
    buf_fmt(b, "%s:%u:%u: " SV_FMT "%s'" SV_FMT "' is not known here", r->c->file, at->node->key_line, at->node->key_column,
            SV_ARG(buf_view(&path)), path.n ? ": " : "", SV_ARG(sv_sub(at->node->key, 0, 80)));
    sv near = nearest_name(at->node->key, next_name, &walk);
    if (near.p)
        buf_fmt(b, "; did you mean '" SV_FMT "'?", SV_ARG(near));
    buf_sv(b, SV(" (there "));
    buf_sv(b, fields[0].name && !fields[1].name ? SV("is ") : SV("are "));
    put_names(b, fields);
    buf_char(b, ')');
}

static bool fail_unknown(struct reader *r, const struct place *at, const struct field *fields)
{
    SCOPED(buf_done) struct buf b = {0};
    cfg_put_unknown(r, &b, at, fields);
    return err_set(r->e, ERR_INVALID, SV_FMT, SV_ARG(buf_view(&b)));
}

/* ---- scalars ---- */

const char *cfg_what_is(const struct yaml *y)
{
    static const char *const scalars[] = {
        [SCALAR_NULL] = "nothing", [SCALAR_BOOL] = "true or false", [SCALAR_INT] = "a number", [SCALAR_FLOAT] = "a number",
        [SCALAR_STRING] = "a string"};
    return y->kind == YAML_MAP ? "a map" : y->kind == YAML_LIST ? "a list" : scalars[scalar_of(y).kind];
}

bool cfg_is_scalar(const struct yaml *y)
{
    return y->kind == YAML_SCALAR || y->kind == YAML_NULL;
}

bool cfg_fail_kind(struct reader *r, const struct place *at, const char *wanted)
{
    const struct yaml *y = at->node;
    bool quoted = y->kind == YAML_SCALAR && y->quoted;
    return cfg_fail(r, at, "%s is wanted here, and this is %s%s", wanted, cfg_what_is(y), quoted ? " (it is in quotes)" : "");
}

bool cfg_bool(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct scalar s = cfg_is_scalar(at->node) ? scalar_of(at->node) : (struct scalar){.kind = SCALAR_STRING};
    if (s.kind != SCALAR_BOOL)
        return cfg_fail_kind(r, at, "true or false");
    *(bool *)to = s.yes;
    return true;
}

bool cfg_number(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct scalar s = cfg_is_scalar(at->node) ? scalar_of(at->node) : (struct scalar){.kind = SCALAR_STRING};
    if (s.kind != SCALAR_INT)
        return cfg_fail_kind(r, at, "a whole number");
    if (!s.fits || s.integer < f->min || s.integer > f->max)
        return cfg_fail(r, at, SV_FMT " is not from %" PRId64 " to %" PRId64, SV_ARG(sv_sub(at->node->text, 0, 40)), f->min,
                        f->max);
    *(int64_t *)to = s.integer;
    return true;
}

bool cfg_string(struct reader *r, const struct place *at, sv *ret)
{
    const struct yaml *y = at->node;
    if (!cfg_is_scalar(y) || scalar_of(y).kind == SCALAR_NULL)
        return cfg_fail_kind(r, at, "a string");
    if (scalar_of(y).kind != SCALAR_STRING)
        return cfg_fail(r, at, "a string is wanted here, and this is %s: put it in quotes", cfg_what_is(y));
    if (sv_find_char(y->text, 0) != SV_NPOS)
        return cfg_fail(r, at, "holds a NUL character");
    *ret = arena_sv(&r->c->mem, y->text);
    return ret->p || cfg_nomem(r);
}

bool cfg_text(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    sv s;
    if (!cfg_string(r, at, &s))
        return false;
    *(const char **)to = s.p;
    return true;
}

bool cfg_name(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    return cfg_text(r, at, f, to) && (**(const char **)to || cfg_fail(r, at, "is empty"));
}

/* ---- sections, components, lists ---- */

bool cfg_member(struct reader *r, const struct place *at, const struct field *f, void *into)
{
    bool nothing = at->node->kind == YAML_NULL;
    if (nothing && f->required)
        return cfg_fail(r, at, "has no value, and must have one");
    if (nothing && !f->component)
        return true;
    return f->read(r, at, f, (char *)into + f->offset);
}

bool cfg_is_map(struct reader *r, const struct place *at)
{
    return at->node->kind == YAML_MAP || at->node->kind == YAML_NULL || cfg_fail_kind(r, at, "a map");
}

bool cfg_fields(struct reader *r, const struct place *at, const struct field *fields, void *into)
{
    if (!cfg_is_map(r, at))
        return false;
    for (const struct yaml *y = at->node->first; y; y = y->next) {
        struct place member = {at, y, -1};
        const struct field *f = cfg_field_of(fields, y->key);
        if (!f)
            return fail_unknown(r, &member, fields);
        if (!cfg_member(r, &member, f, into))
            return false;
    }
    for (const struct field *f = fields; f->name; f++)
        if (f->required && !yaml_get(at->node, sv_of(f->name)))
            return cfg_fail(r, at, "'%s' is missing", f->name);
    return true;
}

bool cfg_section(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    return cfg_fields(r, at, f->fields, to);
}

/* A map of one member, whose key says which component it is. */
bool cfg_component(struct reader *r, const struct place *at, const char *what, const struct field *kinds, void *into)
{
    const struct yaml *y = at->node->kind == YAML_MAP ? at->node->first : NULL;
    struct place member = {at, y, -1};
    if (!y || y->next) {
        SCOPED(buf_done) struct buf names = {0};
        put_names(&names, kinds);
        return cfg_fail(r, at, "a map with one key is wanted here, the kind of %s (there are " SV_FMT ")", what,
                        SV_ARG(buf_view(&names)));
    }
    const struct field *f = cfg_field_of(kinds, y->key);
    return f ? cfg_member(r, &member, f, into) : fail_unknown(r, &member, kinds);
}

/* Each entry of a list into an array of `size`d items. */
bool cfg_list(struct reader *r, const struct place *at, size_t max, size_t size,
                      bool (*read)(struct reader *r, const struct place *at, void *to), void *ret, size_t *ret_n)
{
    size_t n = 0;
    if (at->node->kind != YAML_LIST)
        return cfg_fail_kind(r, at, "a list");
    for (const struct yaml *y = at->node->first; y; y = y->next)
        n++;
    if (!n)
        return cfg_fail(r, at, "the list is empty");
    if (n > max)
        return cfg_fail(r, at, "more than %zu entries", max);
    char *items = arena_array(&r->c->mem, n, size);
    if (!items)
        return cfg_nomem(r);
    n = 0;
    for (const struct yaml *y = at->node->first; y; y = y->next, n++) {
        struct place entry = {at, y, (int64_t)n};
        if (!read(r, &entry, items + n * size))
            return false;
    }
    memcpy(ret, &items, sizeof items);
    *ret_n = n;
    return true;
}

static bool read_text_entry(struct reader *r, const struct place *at, void *to)
{
    return cfg_name(r, at, NULL, to);
}

bool cfg_texts(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct config_texts *t = to;
    return cfg_list(r, at, CONFIG_MAX_ENTRIES, sizeof *t->at, read_text_entry, &t->at, &t->n);
}

/* label_row.c - see label_row.h. */
#include "logql/label_row.h"

void label_row_start(struct label_row *r, struct labels stream, struct labels metadata, struct arena *a)
{
    struct label *parsed = r->parsed;
    size_t cap = r->cap_parsed;
    if (r->a != a || !a->used) /* the row's memory is gone, and the list with it */
        parsed = NULL, cap = 0;
    *r = (struct label_row){.stream = stream, .metadata = metadata, .parsed = parsed, .cap_parsed = cap, .a = a};
}

static size_t find(struct labels l, sv name)
{
    for (size_t i = 0; i < l.n; i++)
        if (sv_eq(l.at[i].name, name))
            return i;
    return SIZE_MAX;
}

static sv get_stored(struct labels l, const bool *gone, sv name)
{
    size_t i = find(l, name);
    return i == SIZE_MAX || (gone && gone[i]) ? SV_NULL : l.at[i].value;
}

static struct label *get_parsed(const struct label_row *r, sv name)
{
    for (size_t i = 0; i < r->n_parsed; i++)
        if (sv_eq(r->parsed[i].name, name))
            return &r->parsed[i];
    return NULL;
}

sv label_row_get(const struct label_row *r, sv name)
{
    const struct label *l = get_parsed(r, name);
    if (l)
        return l->value;
    if (name.n > 2 && name.p[0] == '_' && name.p[1] == '_') {
        if (sv_eq(name, SV("__error__")))
            return r->error;
        if (sv_eq(name, SV("__error_details__")))
            return r->error_details;
    }
    sv v = get_stored(r->metadata, r->metadata_gone, name);
    return v.p ? v : get_stored(r->stream, r->stream_gone, name);
}

bool label_row_has_parsed(const struct label_row *r, sv name)
{
    return get_parsed(r, name) != NULL;
}

static void push(struct label_row *r, sv name, sv value)
{
    struct label *grown = arena_grow(r->a, r->parsed, r->n_parsed, &r->cap_parsed, sizeof *grown);
    if (!grown) {
        r->failed = true;
        return;
    }
    r->parsed = grown;
    r->parsed[r->n_parsed++] = (struct label){name, value.p ? value : SV("")};
}

sv label_row_extracted_name(struct label_row *r, sv name)
{
    if (find(r->stream, name) == SIZE_MAX && find(r->metadata, name) == SIZE_MAX)
        return name;
    static const char suffix[] = "_extracted";
    char *p = arena_alloc(r->a, name.n + sizeof suffix);
    if (!p) {
        r->failed = true;
        return SV_NULL;
    }
    memcpy(p, name.p, name.n);
    memcpy(p + name.n, suffix, sizeof suffix);
    return sv_make(p, name.n + sizeof suffix - 1);
}

void label_row_extract(struct label_row *r, sv name, sv value)
{
    name = label_row_extracted_name(r, name);
    if (name.p && !get_parsed(r, name))
        push(r, name, value);
}

static void mark_gone(struct label_row *r, struct labels l, bool **gone, sv name)
{
    size_t i = find(l, name);
    if (i == SIZE_MAX)
        return;
    if (!*gone && !(*gone = arena_zalloc(r->a, l.n))) {
        r->failed = true;
        return;
    }
    (*gone)[i] = true;
}

void label_row_drop(struct label_row *r, sv name)
{
    struct label *l = get_parsed(r, name);
    if (l)
        *l = r->parsed[--r->n_parsed];
    mark_gone(r, r->metadata, &r->metadata_gone, name);
    mark_gone(r, r->stream, &r->stream_gone, name);
    if (sv_eq(name, SV("__error__")))
        r->error = SV_NULL;
    else if (sv_eq(name, SV("__error_details__")))
        r->error_details = SV_NULL;
}

void label_row_set(struct label_row *r, sv name, sv value)
{
    struct label *l = get_parsed(r, name);
    if (l) {
        l->value = value.p ? value : SV("");
        return;
    }
    mark_gone(r, r->metadata, &r->metadata_gone, name);
    mark_gone(r, r->stream, &r->stream_gone, name);
    push(r, name, value);
}

void label_row_set_error(struct label_row *r, sv error, sv details)
{
    r->error = error;
    r->error_details = details;
}

static size_t add_stored(struct label *to, size_t n, struct labels l, const bool *gone)
{
    for (size_t i = 0; i < l.n; i++)
        if (!gone || !gone[i])
            to[n++] = l.at[i];
    return n;
}

struct labels label_row_labels(const struct label_row *r, unsigned categories, struct arena *a)
{
    struct label *all = arena_alloc(a, (r->stream.n + r->metadata.n + r->n_parsed + 2) * sizeof *all);
    if (!all)
        return (struct labels){0};
    size_t n = 0;
    if (categories & LABEL_PARSED) {
        if (r->n_parsed)
            memcpy(all, r->parsed, r->n_parsed * sizeof *all);
        n = r->n_parsed;
    }
    if ((categories & LABEL_ERRORS) && r->error.p)
        all[n++] = (struct label){SV("__error__"), r->error};
    if ((categories & LABEL_ERRORS) && r->error_details.p)
        all[n++] = (struct label){SV("__error_details__"), r->error_details};
    if (categories & LABEL_METADATA)
        n = add_stored(all, n, r->metadata, r->metadata_gone);
    if (categories & LABEL_STREAM)
        n = add_stored(all, n, r->stream, r->stream_gone);
    labels_sort(all, n); /* stable: of two with one name the preferred category comes first */
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!kept || !sv_eq(all[kept - 1].name, all[i].name))
            all[kept++] = all[i];
    return (struct labels){all, kept};
}

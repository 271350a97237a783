/* part_meta.c - see part_meta.h. */
#include "store/part_meta.h"
#include "base/varint.h"

struct name_column {
    sv name;       /* points into a source chunk */
    struct buf ids, lengths, bytes;
    uint32_t n_values;
    uint32_t rank; /* among the sorted names */
};

struct pair_place {
    uint32_t name, value; /* index of the column; 1 + index of the value */
};

struct meta_writer {
    struct chunk_builder pairs;     /* interns (name, value) */
    VEC(struct pair_place) places;  /* of each interned pair */
    struct map names;               /* name -> 1 + column index */
    VEC(struct name_column) columns;
    struct map shapes;              /* bytes of u32 column indexes -> 1 + shape index */
    struct arena shape_mem;
    VEC(sv) shape_list;
    VEC(uint32_t) row_shape;        /* shape, count, shape, count ... */
    VEC(uint32_t) row;              /* column indexes of the row at hand */
};

struct meta_writer *meta_writer_new(void)
{
    struct meta_writer *w = calloc(1, sizeof *w);
    if (w)
        arena_init(&w->shape_mem, 0);
    return w;
}

static void empty(struct meta_writer *w)
{
    for (size_t i = 0; i < w->columns.n; i++) {
        buf_done(&w->columns.at[i].ids);
        buf_done(&w->columns.at[i].lengths);
        buf_done(&w->columns.at[i].bytes);
    }
    chunk_builder_done(&w->pairs);
    map_done(&w->names);
    map_done(&w->shapes);
    arena_reset(&w->shape_mem);
    w->places.n = w->columns.n = w->shape_list.n = w->row_shape.n = w->row.n = 0;
}

void meta_writer_free(struct meta_writer *w)
{
    if (!w)
        return;
    empty(w);
    arena_done(&w->shape_mem);
    vec_done(&w->places);
    vec_done(&w->columns);
    vec_done(&w->shape_list);
    vec_done(&w->row_shape);
    vec_done(&w->row);
    free(w);
}

static bool column_of(struct meta_writer *w, sv name, uint32_t *ret)
{
    struct map_slot *slot = map_put(&w->names, name);
    if (!slot)
        return false;
    if (!slot->value) {
        struct name_column *room = vec_push(&w->columns);
        if (!room) {
            map_remove(&w->names, name);
            return false;
        }
        *room = (struct name_column){.name = name};
        slot->value = (void *)(uintptr_t)w->columns.n;
    }
    *ret = (uint32_t)((uintptr_t)slot->value - 1);
    return true;
}

/* A pair's column and value; a new pair becomes the column's next value, and *ret_new says so. */
static bool place_of(struct meta_writer *w, const struct chunk *c, uint32_t id, struct pair_place *ret, bool *ret_new)
{
    uint32_t mine;
    struct label l = chunk_pair(c, id);
    if (!chunk_builder_pair(&w->pairs, l, chunk_pair_hash(c, id), &mine))
        return false;
    *ret_new = mine == w->places.n;
    if (*ret_new) {
        struct pair_place place;
        if (!column_of(w, l.name, &place.name) || !vec_push(&w->places))
            return false;
        struct name_column *col = &w->columns.at[place.name];
        place.value = ++col->n_values;
        w->places.at[mine] = place;
        buf_varint(&col->lengths, l.value.n);
        buf_sv(&col->bytes, l.value);
    }
    *ret = w->places.at[mine];
    return true;
}

/* The shape of the row at hand joins the run of the row before, or starts one. */
static bool shape_put(struct meta_writer *w)
{
    sv key = sv_make(w->row.at, w->row.n * sizeof *w->row.at);
    size_t last = w->row_shape.n;
    if (last && sv_eq(w->shape_list.at[w->row_shape.at[last - 2]], key)) {
        w->row_shape.at[last - 1]++;
        return true;
    }
    struct map_slot *slot = map_put(&w->shapes, key);
    if (!slot)
        return false;
    if (!slot->value) {
        sv *room = vec_push(&w->shape_list), kept = arena_sv(&w->shape_mem, key);
        if (!room || !kept.p)
            return false;
        *room = slot->key = kept;
        slot->value = (void *)(uintptr_t)w->shape_list.n;
    }
    if (!vec_reserve(&w->row_shape, last + 2))
        return false;
    w->row_shape.at[last] = (uint32_t)((uintptr_t)slot->value - 1);
    w->row_shape.at[last + 1] = 1;
    w->row_shape.n = last + 2;
    return true;
}

bool meta_writer_row(struct meta_writer *w, const struct chunk *c, const uint32_t *ids, size_t n)
{
    w->row.n = 0;
    if (!vec_reserve(&w->row, n))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct pair_place place;
        bool fresh;
        if (!place_of(w, c, ids[i], &place, &fresh))
            return false;
        buf_varint(&w->columns.at[place.name].ids, fresh ? 0 : place.value);
        w->row.at[w->row.n++] = place.name;
    }
    return shape_put(w);
}

static int by_name(const void *a, const void *b)
{
    const struct name_column *const *x = a, *const *y = b;
    return sv_cmp((*x)->name, (*y)->name);
}

static void put_shape(struct buf *out, const struct meta_writer *w, sv shape)
{
    const uint32_t *cols = (const uint32_t *)(const void *)shape.p;
    size_t n = shape.n / sizeof *cols;
    uint32_t last = 0;
    buf_varint(out, n);
    for (size_t i = 0; i < n; i++) { /* a row's pairs come sorted by name, so ranks ascend */
        uint32_t rank = w->columns.at[cols[i]].rank;
        buf_varint(out, rank - last);
        last = rank;
    }
}

bool meta_writer_take(struct meta_writer *w, struct buf *out, struct err *e)
{
    struct name_column **sorted = calloc(w->columns.n ? w->columns.n : 1, sizeof *sorted);
    if (!sorted)
        return err_nomem(e);
    for (size_t i = 0; i < w->columns.n; i++)
        sorted[i] = &w->columns.at[i];
    qsort(sorted, w->columns.n, sizeof *sorted, by_name);
    buf_varint(out, w->columns.n);
    for (size_t i = 0; i < w->columns.n; i++) {
        sorted[i]->rank = (uint32_t)i;
        buf_varint(out, sorted[i]->name.n);
        buf_sv(out, sorted[i]->name);
    }
    buf_varint(out, w->shape_list.n);
    for (size_t i = 0; i < w->shape_list.n; i++)
        put_shape(out, w, w->shape_list.at[i]);
    for (size_t i = 0; i < w->row_shape.n; i++)
        buf_varint(out, w->row_shape.at[i]);
    bool failed = false;
    for (size_t i = 0; i < w->columns.n; i++) {
        struct name_column *col = sorted[i];
        failed |= col->ids.failed || col->lengths.failed || col->bytes.failed;
        buf_varint(out, col->n_values);
        buf_varint(out, col->ids.n);
        buf_sv(out, buf_view(&col->ids));
        buf_sv(out, buf_view(&col->lengths));
        buf_sv(out, buf_view(&col->bytes));
    }
    free(sorted);
    empty(w);
    return failed ? err_nomem(e) : buf_ok(out, e);
}

/* Reading. Every count is checked against the bytes that are left before memory is asked for it. */
struct meta_reader {
    const uint8_t *at, *end;
    VEC(sv) names;
    VEC(uint32_t) shape_names;   /* of all shapes */
    VEC(uint32_t) shape_end;     /* of shape i in shape_names */
    VEC(uint32_t) row_shape;
    bool nomem;                  /* it was memory, not the bytes */
    struct value_column {
        const uint8_t *ids, *ids_end;
        uint32_t first_pair, n_values, seen;
    } *columns;
};

static bool get_number(struct meta_reader *r, uint64_t max, uint64_t *ret)
{
    return varint_get(&r->at, r->end, ret) && *ret <= max;
}
#define LEFT(r) ((uint64_t)((r)->end - (r)->at))
#define RESERVE(r, v, n) (vec_reserve((v), (n)) || !((r)->nomem = true))

static bool read_names(struct meta_reader *r)
{
    uint64_t n, len;
    if (!get_number(r, LEFT(r), &n) || !RESERVE(r, &r->names, n))
        return false;
    for (uint64_t i = 0; i < n; i++) {
        if (!get_number(r, LEFT(r), &len) || len > LEFT(r))
            return false;
        sv name = sv_make(r->at, len);
        if (i && sv_cmp(r->names.at[i - 1], name) >= 0)
            return false;
        r->names.at[r->names.n++] = name;
        r->at += len;
    }
    return true;
}

static bool read_shapes(struct meta_reader *r)
{
    uint64_t n, k, gap;
    if (!get_number(r, LEFT(r), &n) || !RESERVE(r, &r->shape_end, n))
        return false;
    for (uint64_t i = 0; i < n; i++) {
        if (!get_number(r, LEFT(r), &k) || !RESERVE(r, &r->shape_names, r->shape_names.n + k))
            return false;
        uint64_t name = 0;
        for (uint64_t j = 0; j < k; j++) {
            if (!get_number(r, r->names.n, &gap) || (j && !gap) || (name += gap) >= r->names.n)
                return false;
            r->shape_names.at[r->shape_names.n++] = (uint32_t)name;
        }
        r->shape_end.at[r->shape_end.n++] = (uint32_t)r->shape_names.n;
    }
    return true;
}

static uint32_t shape_size(const struct meta_reader *r, uint32_t shape, uint32_t *ret_from)
{
    *ret_from = shape ? r->shape_end.at[shape - 1] : 0;
    return r->shape_end.at[shape] - *ret_from;
}

static bool read_rows(struct meta_reader *r, uint32_t n_rows, uint32_t *meta_end, size_t max_ids)
{
    uint64_t shape, count, ids = 0;
    uint32_t from;
    if (!RESERVE(r, &r->row_shape, n_rows))
        return false;
    while (r->row_shape.n < n_rows) {
        if (!get_number(r, UINT32_MAX, &shape) || shape >= r->shape_end.n ||
            !get_number(r, n_rows - r->row_shape.n, &count) || !count)
            return false;
        uint32_t k = shape_size(r, (uint32_t)shape, &from);
        for (uint64_t i = 0; i < count; i++) {
            if ((ids += k) > max_ids) /* each id takes a byte of the page */
                return false;
            meta_end[r->row_shape.n] = (uint32_t)ids;
            r->row_shape.at[r->row_shape.n++] = (uint32_t)shape;
        }
    }
    return true;
}

/* Values of one name become pairs; the strings stay where they are, in the copy of the page. */
static bool read_values(struct meta_reader *r, size_t name, const char *base, struct pair **pairs, size_t *n_pairs,
                        size_t *cap)
{
    uint64_t n, ids, len;
    struct value_column *col = &r->columns[name];
    if (!get_number(r, LEFT(r), &n) || !get_number(r, LEFT(r), &ids) || ids > LEFT(r))
        return false;
    col->ids = r->at;
    col->ids_end = r->at += ids;
    col->first_pair = (uint32_t)*n_pairs;
    col->n_values = (uint32_t)n;
    if (n > LEFT(r))
        return false;
    if (!vec_reserve_((void **)pairs, cap, *n_pairs + n, sizeof **pairs))
        return !(r->nomem = true);
    for (uint64_t i = 0; i < n; i++) {
        if (!get_number(r, UINT32_MAX, &len))
            return false;
        (*pairs)[*n_pairs + i] = (struct pair){.name_at = (uint32_t)(r->names.at[name].p - base),
                                               .name_n = (uint32_t)r->names.at[name].n,
                                               .value_n = (uint32_t)len};
    }
    for (uint64_t i = 0; i < n; i++) {
        struct pair *p = &(*pairs)[*n_pairs + i];
        if (p->value_n > LEFT(r))
            return false;
        p->value_at = (uint32_t)((const char *)r->at - base);
        r->at += p->value_n;
    }
    *n_pairs += n;
    return true;
}

static bool read_ids(struct meta_reader *r, uint32_t *meta)
{
    size_t at = 0;
    for (size_t row = 0; row < r->row_shape.n; row++) {
        uint32_t from, k = shape_size(r, r->row_shape.at[row], &from);
        for (uint32_t i = 0; i < k; i++) {
            struct value_column *col = &r->columns[r->shape_names.at[from + i]];
            uint64_t id;
            if (!varint_get(&col->ids, col->ids_end, &id))
                return false;
            if (id == 0)
                id = ++col->seen;
            if (id > col->n_values)
                return false;
            meta[at++] = col->first_pair + (uint32_t)id - 1;
        }
    }
    return true;
}

bool meta_read(sv raw, struct chunk *c, struct err *e)
{
    char *copy = malloc(raw.n ? raw.n : 1);
    uint32_t *meta_end = malloc((c->n ? c->n : 1) * sizeof *meta_end), *meta = NULL;
    struct pair *pairs = NULL;
    size_t n_pairs = 0, cap = 0;
    struct meta_reader r = {0};
    bool ok = copy && meta_end;
    r.nomem = !ok;
    if (ok) {
        memcpy(copy, raw.p, raw.n);
        r.at = (const uint8_t *)copy;
        r.end = r.at + raw.n;
        ok = read_names(&r) && read_shapes(&r) && read_rows(&r, c->n, meta_end, raw.n);
        r.columns = calloc(r.names.n ? r.names.n : 1, sizeof *r.columns);
        r.nomem |= !r.columns;
        ok = ok && r.columns;
    }
    for (size_t i = 0; ok && i < r.names.n; i++)
        ok = read_values(&r, i, copy, &pairs, &n_pairs, &cap);
    size_t n_ids = ok && c->n ? meta_end[c->n - 1] : 0;
    meta = malloc((n_ids ? n_ids : 1) * sizeof *meta);
    r.nomem |= !meta;
    ok = ok && r.at == r.end && meta && read_ids(&r, meta);
    vec_done(&r.names);
    vec_done(&r.shape_names);
    vec_done(&r.shape_end);
    vec_done(&r.row_shape);
    free(r.columns);
    if (!ok) {
        free(copy);
        free(meta_end);
        free(meta);
        free(pairs);
        return r.nomem ? err_nomem(e) : err_set(e, ERR_CORRUPT, "metadata page");
    }
    c->meta_end = meta_end;
    c->meta = meta;
    c->pairs = pairs;
    c->n_pairs = (uint32_t)n_pairs;
    c->strings = copy;
    c->memory += raw.n + n_ids * sizeof *meta + c->n * sizeof *meta_end + n_pairs * sizeof *pairs;
    return true;
}

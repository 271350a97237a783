/* keys_read.c - see keys.h. */
#include "base/varint.h"
#include "store/bits.h"
#include "store/ints.h"
#include "store/keys.h"
#include "store/keys_format.h"

struct key {
    sv name;
    uint8_t kind;
    bool sparse, made; /* made: for all rows */
    uint32_t n_values, width; /* DICT; HEX */
    uint32_t n_made;          /* values[] */
    uint64_t bytes;           /* TEXT */
    uint64_t ids_at;          /* in `ids`: bytes */
    uint64_t wide_at, wide_n; /* in `wide` */
    unsigned bits;
    const char *dict;         /* DICT: lengths and bytes, checked */
    uint32_t *id;
    sv *values;
    char *text;               /* that values point into, where they are nowhere else */
    size_t held;              /* of the above */
};

struct keys {
    struct keys_source from;
    const int64_t *ts;
    uint32_t n_rows;
    struct key *at;
    size_t n;
    uint64_t ids_n, wide_n;
    sv ids, wide;
    bool has_ids, has_wide;
    size_t memory;
};

static bool corrupt(struct err *e)
{
    return err_set(e, ERR_CORRUPT, "metadata columns");
}

struct reader {
    const uint8_t *at, *end;
};
static bool get(struct reader *r, uint64_t max, uint64_t *ret)
{
    return varint_get(&r->at, r->end, ret) && *ret <= max;
}
static bool get_sv(struct reader *r, sv *ret)
{
    uint64_t n;
    if (!get(r, (uint64_t)(r->end - r->at), &n) || n > (uint64_t)(r->end - r->at))
        return false;
    *ret = sv_make(r->at, n);
    r->at += n;
    return true;
}

static bool key_open(struct keys *k, struct reader *r, struct key *key)
{
    uint64_t v;
    sv s;
    if (!get_sv(r, &key->name) || r->end - r->at < 2 || *r->at > KEY_LAG || r->at[1] > 1)
        return false;
    key->kind = *r->at++;
    key->sparse = *r->at++;
    key->bits = key->sparse;
    key->ids_at = k->ids_n;
    if (key->kind == KEY_DICT) {
        if (!get(r, (uint64_t)(r->end - r->at), &v) || !v)
            return false;
        key->n_values = (uint32_t)v;
        key->bits = bits_for(key->n_values - 1 + key->sparse);
        key->dict = (const char *)r->at;
        for (uint32_t i = 0; i < key->n_values; i++)
            if (!get_sv(r, &s))
                return false;
    } else if (key->kind == KEY_HEX) {
        if (!get(r, 256, &v) || !v)
            return false;
        key->width = (uint32_t)v;
    } else if (key->kind == KEY_TEXT && !get(r, UINT32_MAX, &key->bytes)) {
        return false;
    }
    k->ids_n += bits_bytes(k->n_rows, key->bits);
    key->wide_at = k->wide_n;
    if (key->kind != KEY_DICT && !get(r, UINT32_MAX, &key->wide_n))
        return false;
    k->wide_n += key->wide_n;
    return true;
}

bool keys_open(sv keys, const struct keys_source *from, const int64_t *ts, uint32_t n_rows, struct keys **ret, struct err *e)
{
    struct reader r = {(const uint8_t *)keys.p, (const uint8_t *)keys.p + keys.n};
    uint64_t n;
    struct keys *k = calloc(1, sizeof *k);
    if (!k)
        return err_nomem(e);
    k->from = *from;
    k->ts = ts;
    k->n_rows = n_rows;
    bool ok = get(&r, KEYS_MAX, &n) || corrupt(e);
    if (ok && !(k->at = calloc(n + 1, sizeof *k->at)))
        ok = err_nomem(e);
    for (; ok && k->n < n; k->n++)
        ok = (key_open(k, &r, &k->at[k->n]) && (!k->n || sv_cmp(k->at[k->n - 1].name, k->at[k->n].name) < 0)) || corrupt(e);
    if (!ok || (r.at != r.end && !corrupt(e))) {
        keys_close(k);
        return false;
    }
    *ret = k;
    return true;
}

void keys_close(struct keys *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->n; i++) {
        free(k->at[i].id);
        free(k->at[i].values);
        free(k->at[i].text);
    }
    free(k->at);
    free(k);
}

size_t keys_count(const struct keys *k)
{
    return k->n;
}

sv keys_name(const struct keys *k, size_t i)
{
    return k->at[i].name;
}

size_t keys_find(const struct keys *k, sv name)
{
    for (size_t i = 0; i < k->n; i++)
        if (sv_eq(k->at[i].name, name))
            return i;
    return SIZE_MAX;
}

size_t keys_memory(const struct keys *k)
{
    return sizeof *k + k->n * sizeof *k->at + k->memory;
}

bool keys_may_have(const struct keys *k, size_t i, const struct sieve *s, sv value)
{
    const struct key *key = &k->at[i];
    if (key->kind == KEY_INT || key->kind == KEY_LAG)
        return true;
    if (key->kind != KEY_DICT)
        return sieve_may_have(s, sieve_key(key->name, value));
    const uint8_t *at = (const uint8_t *)key->dict;
    for (uint32_t v = 0; v < key->n_values; v++) { /* was checked by key_open() */
        uint64_t n = 0;
        (void)!varint_get(&at, at + VARINT_MAX, &n);
        if (sv_eq(sv_make(at, n), value))
            return true;
        at += n;
    }
    return false;
}

/* ---- columns ---- */

static bool need_ids(struct keys *k, struct err *e)
{
    if (!k->has_ids && !k->from.ids(k->from.ctx, &k->ids, e))
        return false;
    k->has_ids = true;
    return k->ids.n == k->ids_n || corrupt(e);
}

/* A value that is wanted: of the key's how many-th value, in which row. */
struct wanted {
    uint32_t place, row;
};

/* Which rows have the key and are wanted (NULL: all): id[], and the values to be made. */
static struct wanted *pick(struct keys *k, struct key *key, const uint8_t *want, uint32_t *ret_all, struct err *e)
{
    uint32_t n = 0, all = 0;
    struct wanted *w = malloc((k->n_rows + 1) * sizeof *w);
    if (!w) {
        (void)!err_nomem(e);
        return NULL;
    }
    for (uint32_t r = 0; r < k->n_rows; r++) {
        bool there = !key->sparse || bits_get((const uint8_t *)k->ids.p + key->ids_at, r, 1), wanted = there && (!want || want[r]);
        if (wanted)
            w[n] = (struct wanted){all, r};
        key->id[r] = wanted ? ++n : 0;
        all += there;
    }
    key->n_made = n;
    *ret_all = all;
    return w;
}

static bool dict_make(struct keys *k, struct key *key, const uint8_t *want, struct err *e)
{
    const uint8_t *at = (const uint8_t *)key->dict;
    if (!(key->values = malloc(key->n_values * sizeof *key->values)))
        return err_nomem(e);
    key->held += key->n_values * sizeof *key->values;
    for (uint32_t i = 0; i < key->n_values; i++) { /* was checked by key_open() */
        uint64_t n = 0;
        (void)!varint_get(&at, at + VARINT_MAX, &n);
        key->values[i] = sv_make(at, n);
        at += n;
    }
    for (uint32_t r = 0; r < k->n_rows; r++) {
        uint64_t id = !want || want[r] ? bits_get((const uint8_t *)k->ids.p + key->ids_at, r, key->bits) + !key->sparse : 0;
        if (id > key->n_values)
            return corrupt(e);
        key->id[r] = (uint32_t)id;
    }
    key->n_made = key->n_values;
    return true;
}

static bool text_room(struct key *key, size_t n, struct err *e)
{
    if (!(key->text = malloc(n + 1)))
        return err_nomem(e);
    key->held += n;
    return true;
}

static sv digits_put(char *to, uint64_t v)
{
    char digits[20], *d = digits + sizeof digits;
    do
        *--d = (char)('0' + v % 10);
    while (v /= 10);
    size_t n = (size_t)(digits + sizeof digits - d);
    memcpy(to, d, n);
    return sv_make(to, n);
}

static bool ints_make(struct keys *k, struct key *key, const struct wanted *w, const uint64_t *v, struct err *e)
{
    if (!text_room(key, 20 * (size_t)key->n_made, e))
        return false;
    char *to = key->text;
    for (uint32_t i = 0; i < key->n_made; i++) {
        uint64_t x = v[w[i].place];
        key->values[i] = digits_put(to, key->kind == KEY_LAG ? (uint64_t)k->ts[w[i].row] + (uint64_t)unzigzag(x) : x);
        to += key->values[i].n;
    }
    return true;
}

static bool hex_make(struct key *key, const struct wanted *w, const uint8_t *at, struct err *e)
{
    static const char digits[] = "0123456789abcdef";
    if (!text_room(key, (size_t)key->width * key->n_made, e))
        return false;
    char *to = key->text;
    for (uint32_t i = 0; i < key->n_made; i++) {
        const uint8_t *from = at + (key->width + 1) / 2 * (size_t)w[i].place;
        key->values[i] = sv_make(to, key->width);
        for (uint32_t d = 0; d < key->width; d++)
            *to++ = digits[d % 2 ? from[d / 2] & 15 : from[d / 2] >> 4];
    }
    return true;
}

/* v[]: lengths. */
static bool text_make(struct key *key, const struct wanted *w, uint64_t *v, uint32_t all, const uint8_t *at, const uint8_t *end, struct err *e)
{
    uint64_t sum = 0;
    if (key->bytes != (uint64_t)(end - at))
        return corrupt(e);
    for (uint32_t i = 0; i < all; i++) {
        if (v[i] > key->bytes - sum)
            return corrupt(e);
        v[i] = sum += v[i];
    }
    for (uint32_t i = 0; i < key->n_made; i++) {
        uint64_t from = w[i].place ? v[w[i].place - 1] : 0;
        key->values[i] = sv_make(at + from, v[w[i].place] - from);
    }
    return sum == key->bytes || corrupt(e);
}

static bool wide_values(struct keys *k, struct key *key, const struct wanted *w, uint32_t all, uint64_t *v, struct err *e)
{
    const uint8_t *at = (const uint8_t *)k->wide.p + key->wide_at, *end = at + key->wide_n;
    if (key->kind == KEY_HEX)
        return (key->wide_n == (key->width + 1) / 2 * (uint64_t)all || corrupt(e)) && hex_make(key, w, at, e);
    if (!ints_get(&at, end, v, all))
        return corrupt(e);
    return key->kind == KEY_TEXT ? text_make(key, w, v, all, at, end, e) : (at == end || corrupt(e)) && ints_make(k, key, w, v, e);
}

static bool wide_make(struct keys *k, struct key *key, const uint8_t *want, struct err *e)
{
    uint32_t all;
    struct wanted *w = pick(k, key, want, &all, e);
    uint64_t *v = malloc((k->n_rows + 1) * sizeof *v);
    bool ok = w && v && (key->values = malloc((key->n_made + 1) * sizeof *key->values));
    if (w && !ok)
        (void)!err_nomem(e);
    if (ok) {
        key->held += key->n_made * sizeof *key->values;
        ok = wide_values(k, key, w, all, v, e);
    }
    free(w);
    free(v);
    return ok;
}

static void key_reset(struct keys *k, struct key *key)
{
    k->memory -= key->held;
    key->held = 0;
    free(TAKE(key->id));
    free(TAKE(key->values));
    free(TAKE(key->text));
    key->made = false;
}

static bool make(struct keys *k, struct key *key, const uint8_t *want, struct err *e)
{
    if (!need_ids(k, e))
        return false;
    if (key->kind != KEY_DICT && !k->has_wide) {
        if (!k->from.wide(k->from.ctx, &k->wide, e))
            return false;
        if (k->wide.n != k->wide_n)
            return corrupt(e);
        k->has_wide = true;
    }
    key_reset(k, key);
    if (!(key->id = malloc((k->n_rows + 1) * sizeof *key->id)))
        return err_nomem(e);
    key->held = k->n_rows * sizeof *key->id;
    bool ok = key->kind == KEY_DICT ? dict_make(k, key, want, e) : wide_make(k, key, want, e);
    k->memory += key->held;
    if (!ok)
        key_reset(k, key);
    key->made = ok && !want;
    return ok;
}

bool keys_column(struct keys *k, size_t i, const uint8_t *want, struct key_column *ret, struct err *e)
{
    struct key *key = &k->at[i];
    if (!key->made && !make(k, key, want, e))
        return false;
    *ret = (struct key_column){.n_values = key->n_made, .values = key->values, .id = key->id};
    return true;
}

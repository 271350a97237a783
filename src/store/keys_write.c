/* keys_write.c - see keys.h. A pair of a chunk gets its column and its value's number once; rows then only look those up. */
#include "base/varint.h"
#include "store/bits.h"
#include "store/hash.h"
#include "store/ints.h"
#include "store/keys.h"
#include "store/keys_format.h"

enum { NO_PLACE = 0, DICT_MIN = 16, DICT_MAX = 1 << 16 };

struct place { /* of a chunk's pair; column + 1, 0: not looked up yet */
    uint32_t column, value;
};
struct known_chunk {
    const struct chunk *c;
    size_t places_at;
};
struct value {
    sv text;
    uint64_t hash;
    uint32_t column;
};
struct key {
    sv name;
    uint32_t n_values;
    uint32_t rows;      /* that have it */
    uint32_t ids_at;    /* in `ids`, when it has a column; else UINT32_MAX */
    uint32_t first;     /* in `by_key` */
};

struct keys_writer {
    VEC(struct place) places;
    VEC(struct known_chunk) chunks;
    VEC(uint32_t) chunk_slots; /* open addressing: index + 1 */
    VEC(struct value) values;
    VEC(uint32_t) value_slots;
    VEC(struct key) keys;
    VEC(uint32_t) order;  /* keys with columns, by name */
    VEC(uint32_t) ids;    /* a row's value number + 1 in its key's column, column by column */
    VEC(sv) texts;        /* of one column */
    VEC(int64_t) times;   /* of the rows that have them */
    VEC(uint64_t) numbers, lags;
    VEC(uint32_t) number_of; /* by value: which of its key's */
    struct keys_written out;
};

struct keys_writer *keys_writer_new(void)
{
    return calloc(1, sizeof(struct keys_writer));
}

void keys_writer_free(struct keys_writer *w)
{
    if (!w)
        return;
    vec_done(&w->places);
    vec_done(&w->chunks);
    vec_done(&w->chunk_slots);
    vec_done(&w->values);
    vec_done(&w->value_slots);
    vec_done(&w->keys);
    vec_done(&w->order);
    vec_done(&w->ids);
    vec_done(&w->texts);
    vec_done(&w->times);
    vec_done(&w->numbers);
    vec_done(&w->lags);
    vec_done(&w->number_of);
    buf_done(&w->out.keys);
    buf_done(&w->out.ids);
    buf_done(&w->out.wide);
    vec_done(&w->out.values.keys);
    free(w);
}

static void put_sv(struct buf *b, sv s)
{
    buf_varint(b, s.n);
    buf_sv(b, s);
}

/* ---- numbering ---- */

/* Makes the table twice as large when it is half full; hash_at tells an item's hash. */
#define SLOTS_READY(slots, n_items, hash_at)                                                                      \
    ({                                                                                                            \
        bool ok_ = true;                                                                                          \
        if (2 * ((n_items) + 1) > (slots)->n) {                                                                   \
            size_t n_ = (slots)->n ? 2 * (slots)->n : 256;                                                        \
            ok_ = vec_reserve((slots), n_);                                                                       \
            if (ok_) {                                                                                            \
                (slots)->n = n_;                                                                                  \
                memset((slots)->at, 0, n_ * sizeof *(slots)->at);                                                 \
                for (size_t i_ = 0; i_ < (n_items); i_++) {                                                       \
                    size_t at_ = (hash_at(i_)) & (n_ - 1);                                                        \
                    while ((slots)->at[at_])                                                                      \
                        at_ = (at_ + 1) & (n_ - 1);                                                               \
                    (slots)->at[at_] = (uint32_t)i_ + 1;                                                          \
                }                                                                                                 \
            }                                                                                                     \
        }                                                                                                         \
        ok_;                                                                                                      \
    })

/* The chunk's places; they move when another chunk comes. */
static struct place *places_of(struct keys_writer *w, const struct chunk *c)
{
    if (w->chunks.n && w->chunks.at[w->chunks.n - 1].c == c)
        return w->places.at + w->chunks.at[w->chunks.n - 1].places_at;
#define CHUNK_HASH(i) hash_pointer(w->chunks.at[i].c)
    if (!SLOTS_READY(&w->chunk_slots, w->chunks.n, CHUNK_HASH))
        return NULL;
    size_t mask = w->chunk_slots.n - 1, at = hash_pointer(c) & mask;
    for (; w->chunk_slots.at[at]; at = (at + 1) & mask)
        if (w->chunks.at[w->chunk_slots.at[at] - 1].c == c)
            return w->places.at + w->chunks.at[w->chunk_slots.at[at] - 1].places_at;
    struct known_chunk *room = vec_push(&w->chunks);
    if (!room || !vec_reserve(&w->places, w->places.n + c->n_pairs))
        return NULL;
    *room = (struct known_chunk){c, w->places.n};
    if (c->n_pairs)
        memset(w->places.at + w->places.n, 0, c->n_pairs * sizeof *w->places.at);
    w->places.n += c->n_pairs;
    w->chunk_slots.at[at] = (uint32_t)w->chunks.n;
    return w->places.at + room->places_at;
}

static bool key_of(struct keys_writer *w, sv name, uint32_t *ret)
{
    for (size_t i = w->keys.n; i-- > 0;)
        if (sv_eq(w->keys.at[i].name, name)) {
            *ret = (uint32_t)i;
            return true;
        }
    struct key *room = vec_push(&w->keys);
    if (!room)
        return false;
    *room = (struct key){.name = name, .ids_at = UINT32_MAX};
    *ret = (uint32_t)w->keys.n - 1;
    return true;
}

static bool place_find(struct keys_writer *w, const struct chunk *c, uint32_t id, struct place *ret)
{
    struct label l = chunk_pair(c, id);
    uint64_t hash = chunk_pair_hash(c, id);
    uint32_t key;
#define VALUE_HASH(i) w->values.at[i].hash
    if (!SLOTS_READY(&w->value_slots, w->values.n, VALUE_HASH))
        return false;
    size_t mask = w->value_slots.n - 1, at = hash & mask;
    for (; w->value_slots.at[at]; at = (at + 1) & mask) {
        uint32_t v = w->value_slots.at[at] - 1;
        const struct value *is = &w->values.at[v];
        if (is->hash == hash && sv_eq(is->text, l.value) && sv_eq(w->keys.at[is->column].name, l.name)) {
            *ret = (struct place){is->column + 1, w->number_of.at[v]};
            return true;
        }
    }
    if (!key_of(w, l.name, &key) || !vec_reserve(&w->number_of, w->values.n + 1))
        return false;
    struct value *room = vec_push(&w->values);
    if (!room)
        return false;
    *room = (struct value){l.value, hash, key};
    w->number_of.at[w->values.n - 1] = w->keys.at[key].n_values;
    *ret = (struct place){key + 1, w->keys.at[key].n_values++};
    w->value_slots.at[at] = (uint32_t)w->values.n;
    return true;
}

/* All pairs of all rows get their places; counts how many rows have each key. */
static bool number(struct keys_writer *w, const struct row_ref *rows, uint32_t n)
{
    for (uint32_t r = 0; r < n; r++) {
        uint32_t n_ids;
        const uint32_t *ids = chunk_meta(rows[r].c, rows[r].row, &n_ids);
        struct place *places = n_ids ? places_of(w, rows[r].c) : NULL;
        if (n_ids && !places)
            return false;
        for (uint32_t i = 0; i < n_ids; i++) {
            struct place *p = &places[ids[i]];
            if (!p->column && !place_find(w, rows[r].c, ids[i], p))
                return false;
            w->keys.at[p->column - 1].rows++;
        }
    }
    return true;
}

/* ---- columns ---- */

static int by_rows(const void *a, const void *b, void *keys)
{
    const struct key *all = keys, *x = &all[*(const uint32_t *)a], *y = &all[*(const uint32_t *)b];
    int c = (x->rows < y->rows) - (x->rows > y->rows);
    return c ? c : sv_cmp(x->name, y->name);
}
static int by_name(const void *a, const void *b, void *keys)
{
    const struct key *all = keys;
    return sv_cmp(all[*(const uint32_t *)a].name, all[*(const uint32_t *)b].name);
}

/* The keys that get columns: those that most rows have. */
static bool choose(struct keys_writer *w, uint32_t n)
{
    if (!vec_reserve(&w->order, w->keys.n))
        return false;
    for (size_t i = 0; i < w->keys.n; i++)
        w->order.at[i] = (uint32_t)i;
    w->order.n = MIN(w->keys.n, (size_t)KEYS_MAX);
    if (w->keys.n)
        qsort_r(w->order.at, w->keys.n, sizeof *w->order.at, by_rows, w->keys.at);
    if (w->order.n)
        qsort_r(w->order.at, w->order.n, sizeof *w->order.at, by_name, w->keys.at);
    w->out.tail = w->keys.n > KEYS_MAX;
    for (size_t i = 0; i < w->order.n; i++)
        w->keys.at[w->order.at[i]].ids_at = (uint32_t)i;
    if (!vec_reserve(&w->ids, w->order.n * n))
        return false;
    if (w->order.n)
        memset(w->ids.at, 0, w->order.n * n * sizeof *w->ids.at);
    return true;
}

static bool spread(struct keys_writer *w, const struct row_ref *rows, uint32_t n)
{
    for (uint32_t r = 0; r < n; r++) {
        uint32_t n_ids;
        const uint32_t *ids = chunk_meta(rows[r].c, rows[r].row, &n_ids);
        const struct place *places = n_ids ? places_of(w, rows[r].c) : NULL;
        if (n_ids && !places)
            return false;
        for (uint32_t i = 0; i < n_ids; i++) {
            const struct place *p = &places[ids[i]];
            uint32_t column = w->keys.at[p->column - 1].ids_at;
            if (column != UINT32_MAX)
                w->ids.at[(size_t)column * n + r] = p->value + 1;
        }
    }
    return true;
}

size_t keys_tail(const struct keys_writer *w, const struct row_ref *row, uint32_t *to)
{
    uint32_t n;
    size_t found = 0;
    const uint32_t *ids = chunk_meta(row->c, row->row, &n);
    const struct place *places = n ? places_of((struct keys_writer *)w, row->c) : NULL;
    for (uint32_t i = 0; places && i < n; i++)
        if (w->keys.at[places[ids[i]].column - 1].ids_at == UINT32_MAX)
            to[found++] = ids[i];
    return found;
}

/* ---- forms of values that hardly repeat ---- */

static bool all_hex(const sv *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i].n != s[0].n || s[i].n < 8 || s[i].n > 256)
            return false;
        for (size_t k = 0; k < s[i].n; k++)
            if (!((s[i].p[k] >= '0' && s[i].p[k] <= '9') || (s[i].p[k] >= 'a' && s[i].p[k] <= 'f')))
                return false;
    }
    return true;
}

static bool all_ints(struct keys_writer *w, size_t n)
{
    if (!vec_reserve(&w->numbers, n))
        return false;
    for (size_t i = 0; i < n; i++) {
        sv s = w->texts.at[i];
        if (s.n > 19 || (s.n > 1 && s.p[0] == '0') || !sv_to_u64(s, &w->numbers.at[i]))
            return false;
    }
    return true;
}

static void hex_out(struct buf *out, sv s)
{
    char *to = buf_reserve(out, s.n / 2 + 1);
    if (!to)
        return;
    for (size_t i = 0; i < s.n; i += 2) {
        int hi = s.p[i] <= '9' ? s.p[i] - '0' : s.p[i] - 'a' + 10;
        int lo = i + 1 == s.n ? 0 : s.p[i + 1] <= '9' ? s.p[i + 1] - '0' : s.p[i + 1] - 'a' + 10;
        *to++ = (char)(hi << 4 | lo);
    }
    out->n += (s.n + 1) / 2;
}

/* The numbers, or their distances to the rows' times, whatever is less. */
static bool ints_out(struct keys_writer *w, bool sparse, size_t n)
{
    struct buf *keys = &w->out.keys, *wide = &w->out.wide;
    size_t from = wide->n;
    if (!vec_reserve(&w->lags, n))
        return false;
    for (size_t i = 0; i < n; i++)
        w->lags.at[i] = zigzag((int64_t)(w->numbers.at[i] - (uint64_t)w->times.at[i]));
    ints_put(wide, w->lags.at, n);
    size_t lag_bytes = wide->n - from;
    ints_put(wide, w->numbers.at, n);
    bool lag = lag_bytes < wide->n - from - lag_bytes;
    if (!lag && wide->n > from + lag_bytes)
        memmove(wide->p + from, wide->p + from + lag_bytes, wide->n - from - lag_bytes);
    if (!wide->failed)
        wide->n = lag ? from + lag_bytes : wide->n - lag_bytes;
    buf_char(keys, lag ? KEY_LAG : KEY_INT);
    buf_char(keys, sparse);
    return true;
}

static bool wide_out(struct keys_writer *w, bool sparse, size_t n)
{
    struct buf *keys = &w->out.keys, *wide = &w->out.wide;
    if (all_ints(w, n)) {
        return ints_out(w, sparse, n);
    } else if (all_hex(w->texts.at, n)) {
        buf_char(keys, KEY_HEX);
        buf_char(keys, sparse);
        buf_varint(keys, w->texts.at[0].n);
        for (size_t i = 0; i < n; i++)
            hex_out(wide, w->texts.at[i]);
    } else {
        uint64_t bytes = 0;
        if (!vec_reserve(&w->numbers, n))
            return false;
        for (size_t i = 0; i < n; i++)
            bytes += w->numbers.at[i] = w->texts.at[i].n;
        buf_char(keys, KEY_TEXT);
        buf_char(keys, sparse);
        buf_varint(keys, bytes);
        ints_put(wide, w->numbers.at, n);
        for (size_t i = 0; i < n; i++)
            buf_sv(wide, w->texts.at[i]);
    }
    return true;
}

/* Numbers have no keys: they are looked at as fast, and would be most of the keys. */
static bool all_short_ints(const sv *values, size_t n)
{
    uint64_t v;
    for (size_t i = 0; i < n; i++)
        if (values[i].n > 19 || (values[i].n > 1 && values[i].p[0] == '0') || !sv_to_u64(values[i], &v))
            return false;
    return true;
}

/* Appends ids[], each of `bits` bits, to `ids`. */
static bool ids_out(struct keys_writer *w, const uint32_t *ids, uint32_t n, uint32_t less, unsigned bits)
{
    if (!vec_reserve(&w->numbers, n))
        return false;
    for (uint32_t r = 0; r < n; r++)
        w->numbers.at[r] = ids[r] - less;
    bits_pack(&w->out.ids, w->numbers.at, n, 0, bits);
    return true;
}

static bool column_out(struct keys_writer *w, const struct row_ref *rows, const struct key *key, const sv *values, uint32_t *ids, uint32_t n)
{
    bool sparse = key->rows < n;
    put_sv(&w->out.keys, key->name);
    if (key->n_values <= DICT_MIN || (key->n_values <= DICT_MAX && key->n_values <= key->rows / 4)) {
        buf_char(&w->out.keys, KEY_DICT);
        buf_char(&w->out.keys, sparse);
        buf_varint(&w->out.keys, key->n_values);
        for (uint32_t i = 0; i < key->n_values; i++)
            put_sv(&w->out.keys, values[i]);
        return ids_out(w, ids, n, !sparse, bits_for(key->n_values - 1 + sparse));
    }
    if (!vec_reserve(&w->texts, key->rows) || !vec_reserve(&w->times, key->rows))
        return false;
    w->texts.n = 0;
    bool sift = !all_short_ints(values, key->n_values);
    for (uint32_t r = 0; r < n; r++) {
        if (ids[r]) {
            if (sift)
                sieve_add(&w->out.values, sieve_key(key->name, values[ids[r] - 1]));
            w->times.at[w->texts.n] = rows[r].c->ts[rows[r].row];
            w->texts.at[w->texts.n++] = values[ids[r] - 1];
        }
        ids[r] = ids[r] != 0;
    }
    size_t from = w->out.wide.n;
    if ((sparse && !ids_out(w, ids, n, 0, 1)) || !wide_out(w, sparse, w->texts.n))
        return false;
    buf_varint(&w->out.keys, w->out.wide.n - from);
    return true;
}

/* Each key's values, one behind the other. */
static sv *values_by_key(struct keys_writer *w)
{
    uint32_t at = 0;
    sv *by_key = malloc((w->values.n + 1) * sizeof *by_key);
    if (!by_key)
        return NULL;
    for (size_t i = 0; i < w->keys.n; i++) {
        w->keys.at[i].first = at;
        at += w->keys.at[i].n_values;
    }
    for (size_t i = 0; i < w->values.n; i++)
        by_key[w->keys.at[w->values.at[i].column].first + w->number_of.at[i]] = w->values.at[i].text;
    return by_key;
}

const struct keys_written *keys_write(struct keys_writer *w, const struct row_ref *rows, uint32_t n)
{
    w->places.n = w->chunks.n = w->chunk_slots.n = w->values.n = w->value_slots.n = w->keys.n = w->order.n = 0;
    buf_reset(&w->out.keys);
    buf_reset(&w->out.ids);
    buf_reset(&w->out.wide);
    w->out.values.keys.n = 0;
    if (!number(w, rows, n) || !choose(w, n) || !spread(w, rows, n))
        return NULL;
    sv *by_key = values_by_key(w);
    bool ok = by_key;
    buf_varint(&w->out.keys, w->order.n);
    for (size_t i = 0; ok && i < w->order.n; i++) {
        const struct key *key = &w->keys.at[w->order.at[i]];
        ok = column_out(w, rows, key, by_key + key->first, w->ids.at + i * n, n);
    }
    free(by_key);
    return ok && !w->out.values.failed && !w->out.keys.failed && !w->out.ids.failed && !w->out.wide.failed ? &w->out : NULL;
}

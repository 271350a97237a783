/* lines_read.c - opening a block's dictionary, and putting lines together again. */
#include "base/varint.h"
#include "store/lines_int.h"

enum { COLUMNS_MAX = 1 << 19 };

static bool corrupt(struct err *e, const char *what)
{
    return err_set(e, ERR_CORRUPT, "templates: %s", what);
}

/* ---- the dictionary ---- */

struct reader {
    const uint8_t *at, *end;
};

static bool get(struct reader *r, uint64_t max, uint64_t *ret)
{
    return varint_get(&r->at, r->end, ret) && *ret <= max;
}
static bool get32(struct reader *r, uint64_t max, uint32_t *ret)
{
    uint64_t v;
    if (!get(r, max, &v))
        return false;
    *ret = (uint32_t)v;
    return true;
}
static bool get8(struct reader *r, uint64_t max, uint8_t *ret)
{
    if (r->at == r->end || *r->at > max)
        return false;
    *ret = *r->at++;
    return true;
}
static bool get_bytes(struct reader *r, uint64_t n, const char **ret)
{
    if (n > (uint64_t)(r->end - r->at))
        return false;
    *ret = (const char *)r->at;
    r->at += n;
    return true;
}

/* Room for n numbers of `bits` bits, next in `slots`. */
static uint64_t slots_take(struct lines *l, uint64_t n, unsigned bits)
{
    uint64_t at = l->slots_n;
    l->slots_n += bits_bytes(n, bits);
    return at;
}

static bool numbers_open(struct lines *l, struct reader *r, struct column *c, uint32_t n)
{
    uint64_t v, last = 0;
    if (!get32(r, 4096, &c->n_dict) || !c->n_dict || !vec_reserve(&l->numbers, l->numbers.n + c->n_dict))
        return false;
    c->dict_at = (uint32_t)l->numbers.n;
    for (uint32_t i = 0; i < c->n_dict; i++) {
        if (!get(r, UINT64_MAX - last, &v))
            return false;
        l->numbers.at[l->numbers.n++] = last += v;
    }
    c->bits = (uint8_t)bits_for(c->n_dict - 1);
    c->values_at = slots_take(l, n, c->bits);
    c->max_len = lines_digits(last);
    return true;
}

static bool digits_open(struct lines *l, struct reader *r, struct column *c, uint32_t n)
{
    uint64_t v;
    c->chars = CHARS_DIGITS;
    c->min_len = 1;
    c->max_len = 20;
    switch (c->enc) {
    case COLUMN_PADDED:
        if (!get8(r, DIGITS_MAX, &c->width) || !c->width)
            return false;
        __attribute__((fallthrough));
    case COLUMN_INT:
        if (!get(r, UINT64_MAX, &c->base) || !get8(r, 64, &c->bits))
            return false;
        c->values_at = slots_take(l, n, c->bits);
        if (c->base <= UINT64_MAX - bits_mask(c->bits))
            c->max_len = lines_digits(c->base + bits_mask(c->bits));
        break;
    case COLUMN_WIDTHS:
        if (!get8(r, DIGITS_MAX, &c->width) || !c->width || !get8(r, 8, &c->width_bits) || !get(r, UINT64_MAX, &c->base) ||
            !get8(r, 64, &c->bits))
            return false;
        c->slots_at = slots_take(l, n, c->width_bits);
        c->values_at = slots_take(l, n, c->bits);
        return true;
    case COLUMN_DELTA:
        if (!get8(r, DIGITS_MAX, &c->width) || !get(r, UINT64_MAX, &c->base) || !get(r, UINT64_MAX, &v) || !get8(r, 64, &c->bits))
            return false;
        c->step = unzigzag(v);
        c->values_at = slots_take(l, n - 1, c->bits);
        break;
    case COLUMN_DICT:
        if (!get8(r, DIGITS_MAX, &c->width) || !numbers_open(l, r, c, n))
            return false;
        break;
    default:
        return false;
    }
    if (c->width)
        c->min_len = c->max_len = c->width;
    return true;
}

static bool words_open(struct lines *l, struct reader *r, struct column *c, uint32_t n)
{
    uint32_t len;
    const char *p;
    if (!get32(r, 4096, &c->n_dict) || !c->n_dict || !vec_reserve(&l->words, l->words.n + c->n_dict))
        return false;
    c->dict_at = (uint32_t)l->words.n;
    c->min_len = UINT32_MAX;
    for (uint32_t i = 0; i < c->n_dict; i++) {
        if (!get32(r, WORD_MAX, &len) || !len || !get_bytes(r, len, &p))
            return false;
        l->words.at[l->words.n++] = sv_make(p, len);
        for (uint32_t k = 0; k < len; k++)
            c->chars |= lines_char_bit((uint8_t)p[k]);
        c->min_len = MIN(c->min_len, len);
        c->max_len = MAX(c->max_len, len);
    }
    c->bits = (uint8_t)bits_for(c->n_dict - 1);
    c->values_at = slots_take(l, n, c->bits);
    return true;
}

static bool text_open(struct lines *l, struct reader *r, struct column *c, uint32_t n)
{
    uint64_t sum;
    const char *p;
    if (!get32(r, WORD_MAX, &c->min_len) || !get8(r, 8, &c->bits) || !get(r, (uint64_t)n * WORD_MAX, &sum) ||
        !get32(r, WORD_MAX, &c->max_len) || !c->min_len || c->max_len < c->min_len || !get_bytes(r, 8, &p))
        return false;
    c->chars = get_le64(p) & CHARS_WORD;
    c->values_at = slots_take(l, n, c->bits);
    c->text_at = l->text_n;
    l->text_n += sum;
    return true;
}

static bool column_open(struct lines *l, struct reader *r, enum lines_slot kind, uint32_t n, struct column *c)
{
    uint8_t enc;
    bool ok;
    if (!get8(r, COLUMN_TEXT, &enc))
        return false;
    c->enc = enc;
    if (kind == SLOT_DIGITS) {
        ok = digits_open(l, r, c, n);
    } else if (enc == COLUMN_UUID) {
        ok = kind == SLOT_UUID;
        c->min_len = c->max_len = UUID_BYTES;
        c->chars = CHARS_HEX | CHARS_DASH;
        c->values_at = slots_take(l, 16 * (uint64_t)n, 8);
    } else if (enc == COLUMN_HEX) {
        ok = kind == SLOT_HEX && get32(r, WORD_MAX, &c->min_len) && c->min_len;
        c->max_len = c->min_len;
        c->chars = CHARS_HEX;
        c->values_at = slots_take(l, (c->min_len + 1) / 2 * (uint64_t)n, 8);
    } else {
        ok = kind != SLOT_UUID && (enc == COLUMN_WORDS ? words_open(l, r, c, n) : enc == COLUMN_TEXT && text_open(l, r, c, n));
    }
    return ok && !(c->chars & ~l->chars);
}

static bool template_open(struct lines *l, struct reader *r, struct template *t, uint32_t *text_at, struct err *e)
{
    uint32_t at = 0, more;
    if (!get32(r, LINES_TEMPLATE_BYTES, &t->text_n) || t->text_n >= l->texts_n - *text_at || !get32(r, l->n_rows, &t->rows) || !t->rows ||
        !get32(r, LINES_SLOTS_MAX, &t->n_slots) || l->n_columns + t->n_slots > COLUMNS_MAX)
        return corrupt(e, "a template");
    t->text_at = *text_at;
    t->slot_at = l->n_columns;
    *text_at += t->text_n + 1;
    for (uint32_t i = 0; i < t->n_slots; i++) {
        if (!get32(r, t->text_n, &more) || (i && !more) || (at += more) >= t->text_n || l->texts[t->text_at + at] < SLOT_DIGITS ||
            l->texts[t->text_at + at] > SLOT_WORD)
            return corrupt(e, "a template's slots");
        l->places[l->n_columns++] = at;
    }
    return true;
}

static bool templates_open(struct lines *l, struct err *e)
{
    struct reader r = {(const uint8_t *)l->rest.p, (const uint8_t *)l->rest.p + l->rest.n};
    uint32_t text_at = 0, most = (uint32_t)MIN((uint64_t)l->rest.n, (uint64_t)COLUMNS_MAX); /* a slot takes a byte at least */
    uint64_t rows = l->raw_rows;
    l->templates = calloc(l->n_templates + 1, sizeof *l->templates);
    l->places = malloc((most + 1) * sizeof *l->places);
    if (!l->templates || !l->places)
        return err_nomem(e);
    l->templates[0].rows = l->raw_rows;
    for (uint32_t i = 1; i <= l->n_templates; i++) {
        if (!template_open(l, &r, &l->templates[i], &text_at, e))
            return false;
        rows += l->templates[i].rows;
    }
    if (rows != l->n_rows || text_at != l->texts_n)
        return corrupt(e, "rows or texts do not add up");
    l->columns = calloc(l->n_columns + 1, sizeof *l->columns);
    if (!l->columns)
        return err_nomem(e);
    for (uint32_t i = 1; i <= l->n_templates; i++) {
        const struct template *t = &l->templates[i];
        for (uint32_t s = 0; s < t->n_slots; s++)
            if (!column_open(l, &r, (enum lines_slot)l->texts[t->text_at + l->places[t->slot_at + s]], t->rows, &l->columns[t->slot_at + s]))
                return corrupt(e, "a column");
    }
    l->raw_at = l->text_n;
    return r.at == r.end || corrupt(e, "bytes behind the columns");
}

bool lines_need_templates(struct lines *l, struct err *e)
{
    if (l->templates || templates_open(l, e))
        return true;
    free(TAKE(l->templates)); /* what was half read is not looked at again */
    free(TAKE(l->places));
    free(TAKE(l->columns));
    l->numbers.n = l->words.n = 0;
    l->n_columns = 0;
    l->slots_n = l->text_n = 0;
    return false;
}

bool lines_open(sv dict, const struct lines_source *from, const uint32_t *line_end, uint32_t n_rows, struct lines **ret, struct err *e)
{
    struct lines *l = calloc(1, sizeof *l);
    if (!l)
        return err_nomem(e);
    l->from = *from;
    l->line_end = line_end;
    l->n_rows = n_rows;
    struct reader r = {(const uint8_t *)dict.p, (const uint8_t *)dict.p + dict.n};
    const char *chars;
    if (!get_bytes(&r, 8, &chars) || !get32(&r, n_rows, &l->raw_rows) || !get32(&r, LINES_TEMPLATES_MAX, &l->n_templates) ||
        !get32(&r, (uint64_t)(r.end - r.at), &l->texts_n) || !get_bytes(&r, l->texts_n, &l->texts)) {
        lines_close(l);
        return corrupt(e, "the dictionary's size");
    }
    l->chars = get_le64(chars);
    l->rest = sv_make(r.at, (size_t)(r.end - r.at));
    *ret = l;
    return true;
}

void lines_close(struct lines *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->made.n; i++)
        free(l->made.at[i]);
    vec_done(&l->made);
    vec_done(&l->numbers);
    vec_done(&l->words);
    free(l->templates);
    free(l->places);
    free(l->columns);
    free(l->id);
    free(l->rank);
    free(l->raw_end);
    free(l);
}

void lines_count(const struct lines *l, uint32_t *ret_templates, uint32_t *ret_whole_rows)
{
    *ret_templates = l->n_templates;
    *ret_whole_rows = l->raw_rows;
}

size_t lines_memory(const struct lines *l)
{
    return sizeof *l + (l->templates ? l->n_templates + 1 : 0) * sizeof *l->templates + l->n_columns * (sizeof *l->columns + sizeof *l->places) +
           l->numbers.cap * sizeof *l->numbers.at + l->words.cap * sizeof *l->words.at + l->made_bytes +
           (l->id ? l->n_rows * (sizeof *l->id + sizeof *l->rank) : 0);
}

uint64_t lines_rows_built(const struct lines *l)
{
    return l->built;
}

/* ---- the rest ---- */

bool lines_need_ids(struct lines *l, struct err *e)
{
    sv ids;
    bool wide = l->n_templates + 1 > 256;
    if (l->id)
        return true;
    if (!lines_need_templates(l, e))
        return false;
    if (!l->from.ids(l->from.ctx, &ids, e))
        return false;
    if (ids.n != (uint64_t)l->n_rows * (wide ? 2 : 1))
        return corrupt(e, "size of the rows' templates");
    uint16_t *id = malloc((l->n_rows + 1) * sizeof *id);
    uint32_t *rank = malloc((l->n_rows + 1) * sizeof *rank), *seen = calloc(l->n_templates + 1, sizeof *seen);
    bool ok = (id && rank && seen) || err_nomem(e);
    for (uint32_t r = 0; ok && r < l->n_rows; r++) {
        id[r] = wide ? get_le16(ids.p + 2 * (size_t)r) : (uint8_t)ids.p[r];
        ok = id[r] <= l->n_templates || corrupt(e, "a row's template");
        if (ok)
            rank[r] = seen[id[r]]++;
    }
    for (uint32_t t = 0; ok && t <= l->n_templates; t++)
        ok = seen[t] == l->templates[t].rows || corrupt(e, "rows of a template");
    free(seen);
    if (!ok) {
        free(id);
        free(rank);
        return false;
    }
    l->id = id;
    l->rank = rank;
    return true;
}

bool lines_need_columns(struct lines *l, struct err *e)
{
    sv slots, text;
    if (!lines_need_ids(l, e))
        return false;
    if (l->slots)
        return true;
    if (!l->from.columns(l->from.ctx, &slots, &text, e))
        return false;
    if (!l->raw_end && !(l->raw_end = malloc((l->templates[0].rows + 1) * sizeof *l->raw_end)))
        return err_nomem(e);
    uint64_t sum = 0;
    for (uint32_t r = 0, k = 0; r < l->n_rows; r++)
        if (!l->id[r])
            l->raw_end[k++] = (uint32_t)(sum += l->line_end[r] - lines_row_from(l, r));
    if (slots.n != l->slots_n || text.n != l->text_n + sum)
        return corrupt(e, "size of the slots");
    l->slots = (const uint8_t *)slots.p;
    l->text = text.p;
    return true;
}

/* Numbers of a DELTA column, ends of a TEXT column. */
static const uint64_t *column_made(struct lines *l, struct column *c, uint32_t n, struct err *e)
{
    if (c->made_at)
        return l->made.at[c->made_at - 1];
    uint64_t *v = malloc(n * sizeof *v), **room = v ? vec_push(&l->made) : NULL;
    if (!room) {
        free(v);
        (void)!err_nomem(e);
        return NULL;
    }
    uint64_t last = c->enc == COLUMN_DELTA ? c->base : 0;
    for (uint32_t i = 0; i < n; i++) {
        if (c->enc == COLUMN_DELTA)
            last += i ? bits_get(l->slots + c->values_at, i - 1, c->bits) + (uint64_t)c->step : 0;
        else
            last += c->min_len + bits_get(l->slots + c->values_at, i, c->bits);
        v[i] = last;
    }
    *room = v;
    l->made_bytes += n * sizeof *v;
    c->made_at = (uint32_t)l->made.n;
    return v;
}

/* `width` digits of v; false when it has more. */
static inline bool put_digits(char *to, uint64_t v, unsigned width)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960"
                                "61626364656667686970717273747576777879808182838485868788899091929394959697989900";
    while (width >= 2) {
        width -= 2;
        memcpy(to + width, pairs + 2 * (v % 100), 2);
        v /= 100;
    }
    if (width) {
        to[0] = (char)('0' + v % 10);
        v /= 10;
    }
    return !v;
}

static void put_hex(char *to, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++)
        to[i] = digits[i % 2 ? p[i / 2] & 15 : p[i / 2] >> 4];
}

static void put_uuid(char *to, const uint8_t *p)
{
    static const uint8_t at[] = {0, 9, 14, 19, 24}, from[] = {0, 4, 6, 8, 10}, n[] = {8, 4, 4, 4, 12};
    memset(to, '-', UUID_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(at); i++)
        put_hex(to + at[i], p + from[i], n[i]);
}

/* Value k of n as text, at `to`, before `end`. NULL: it has no place there, or cannot be. */
static char *put_value(struct lines *l, struct column *c, uint32_t k, uint32_t n, char *to, char *end, struct err *e)
{
    const uint8_t *values = l->slots + c->values_at;
    const uint64_t *made;
    uint64_t v = 0, room = (uint64_t)(end - to);
    unsigned width = c->width;
    switch (c->enc) {
    case COLUMN_INT:
    case COLUMN_PADDED:
        v = c->base + bits_get(values, k, c->bits);
        break;
    case COLUMN_WIDTHS:
        v = c->base + bits_get(values, k, c->bits);
        width += (unsigned)bits_get(l->slots + c->slots_at, k, c->width_bits);
        break;
    case COLUMN_DELTA:
        if (!(made = column_made(l, c, n, e)))
            return NULL;
        v = made[k];
        break;
    case COLUMN_DICT:
        v = bits_get(values, k, c->bits);
        if (v >= c->n_dict)
            return NULL;
        v = l->numbers.at[c->dict_at + v];
        break;
    case COLUMN_HEX:
        if (room < c->min_len)
            return NULL;
        put_hex(to, values + (c->min_len + 1) / 2 * (uint64_t)k, c->min_len);
        return to + c->min_len;
    case COLUMN_UUID:
        if (room < UUID_BYTES)
            return NULL;
        put_uuid(to, values + 16 * (uint64_t)k);
        return to + UUID_BYTES;
    case COLUMN_WORDS:
        v = bits_get(values, k, c->bits);
        if (v >= c->n_dict || room < l->words.at[c->dict_at + v].n)
            return NULL;
        memcpy(to, l->words.at[c->dict_at + v].p, l->words.at[c->dict_at + v].n);
        return to + l->words.at[c->dict_at + v].n;
    case COLUMN_TEXT:
        if (!(made = column_made(l, c, n, e)))
            return NULL;
        v = k ? made[k - 1] : 0;
        if (made[k] > l->text_n - c->text_at || room < made[k] - v)
            return NULL;
        memcpy(to, l->text + c->text_at + v, made[k] - v);
        return to + (made[k] - v);
    }
    if (!width)
        width = lines_digits(v);
    return room >= width && put_digits(to, v, width) ? to + width : NULL;
}

bool lines_row(struct lines *l, uint32_t row, char *to, struct err *e)
{
    const struct template *t = &l->templates[l->id[row]];
    uint32_t from = lines_row_from(l, row), k = l->rank[row], done = 0;
    char *end = to + (l->line_end[row] - from);
    l->built++;
    if (!l->id[row]) {
        uint32_t at = k ? l->raw_end[k - 1] : 0;
        if (end > to)
            memcpy(to, l->text + l->raw_at + at, (size_t)(end - to));
        return true;
    }
    const char *text = l->texts + t->text_at;
    for (uint32_t s = 0; s < t->n_slots; s++) {
        uint32_t n = l->places[t->slot_at + s] - done;
        if (n > (size_t)(end - to))
            return corrupt(e, "a line's length");
        memcpy(to, text + done, n);
        done += n + 1;
        if (!(to = put_value(l, &l->columns[t->slot_at + s], k, t->rows, to + n, end, e)))
            return (e && e->code == ERR_NOMEM) ? false : corrupt(e, "a slot's value");
    }
    if (t->text_n - done != (size_t)(end - to))
        return corrupt(e, "a line's length");
    memcpy(to, text + done, t->text_n - done);
    return true;
}

bool lines_build(struct lines *l, const uint8_t *want, char *to, struct err *e)
{
    if (!lines_need_columns(l, e))
        return false;
    for (uint32_t r = 0; r < l->n_rows; r++)
        if ((!want || want[r]) && !lines_row(l, r, to + lines_row_from(l, r), e))
            return false;
    return true;
}

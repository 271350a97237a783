/* lines_encode.c - lines into templates and columns. One pass over the text finds the slots and looks the template up; then the rows
 * of each template, gathered, give its columns one after the other. */
#include "base/log.h"
#include "base/varint.h"
#include "store/bits.h"
#include "store/hash.h"
#include "store/lines.h"
#include "store/lines_format.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define D (CLASS_DIGIT)
#define H (CLASS_HEX | CLASS_LETTER)
#define L (CLASS_LETTER)
const uint8_t lines_class[256] = {
    ['0'] = D, ['1'] = D, ['2'] = D, ['3'] = D, ['4'] = D, ['5'] = D, ['6'] = D, ['7'] = D, ['8'] = D, ['9'] = D, ['a'] = H, ['b'] = H,
    ['c'] = H, ['d'] = H, ['e'] = H, ['f'] = H, ['g'] = L, ['h'] = L, ['i'] = L, ['j'] = L, ['k'] = L, ['l'] = L, ['m'] = L, ['n'] = L,
    ['o'] = L, ['p'] = L, ['q'] = L, ['r'] = L, ['s'] = L, ['t'] = L, ['u'] = L, ['v'] = L, ['w'] = L, ['x'] = L, ['y'] = L, ['z'] = L,
    ['A'] = L, ['B'] = L, ['C'] = L, ['D'] = L, ['E'] = L, ['F'] = L, ['G'] = L, ['H'] = L, ['I'] = L, ['J'] = L, ['K'] = L, ['L'] = L,
    ['M'] = L, ['N'] = L, ['O'] = L, ['P'] = L, ['Q'] = L, ['R'] = L, ['S'] = L, ['T'] = L, ['U'] = L, ['V'] = L, ['W'] = L, ['X'] = L,
    ['Y'] = L, ['Z'] = L,
};
#undef D
#undef H
#undef L

/* Templates that a block may have: so many, and one more for so many rows. Lines that would need others are kept whole. */
enum { TEMPLATES_FREE = 1024, ROWS_EACH = 8 };

struct template {
    uint32_t text_at, text_n; /* in `texts` */
    uint32_t slots_at, n_slots; /* in `places` */
    uint32_t rows, first_row; /* of `order` */
    uint64_t hash;
};

struct lines_encoder {
    const uint8_t *bytes;
    size_t n_bytes; /* of the block */
    VEC(struct template) templates; /* 0 stands for whole lines */
    struct buf texts;
    VEC(uint32_t) places; /* of slots, in their template's text */
    uint32_t *table;      /* open addressing over templates */
    size_t table_n;
    VEC(uint32_t) id;      /* by row */
    VEC(uint32_t) first;   /* by row: its slots, in `values` */
    VEC(uint64_t) values;  /* of digits the number, else where in `bytes` it begins */
    VEC(uint32_t) widths;  /* bytes in the line */
    VEC(uint32_t) order;   /* rows by template */
    VEC(uint64_t) columns;   /* of one template, one behind the other */
    VEC(uint32_t) columns_w;
    VEC(uint64_t) spare;     /* of one column */
    struct buf key, directory, back;
    uint64_t chars; /* that slots hold */
    bool odd_uuid, many_slots, whole; /* whole: no templates */
    uint32_t key_places[LINES_SLOTS_MAX];
    uint64_t key_values[LINES_SLOTS_MAX];
    uint32_t key_widths[LINES_SLOTS_MAX];
    uint32_t n_key;
    struct lines_encoded out;
};

struct lines_encoder *lines_encoder_new(void)
{
    return calloc(1, sizeof(struct lines_encoder));
}

void lines_encoder_free(struct lines_encoder *x)
{
    if (!x)
        return;
    struct buf *all[] = {&x->texts, &x->key, &x->directory, &x->back, &x->out.dict, &x->out.ids, &x->out.slots, &x->out.text};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_done(all[i]);
    vec_done(&x->templates);
    vec_done(&x->places);
    vec_done(&x->id);
    vec_done(&x->first);
    vec_done(&x->values);
    vec_done(&x->widths);
    vec_done(&x->order);
    vec_done(&x->columns);
    vec_done(&x->columns_w);
    vec_done(&x->spare);
    vec_done(&x->out.tokens.keys);
    free(x->table);
    free(x);
}

/* ---- finding slots ---- */

/* The next digit at or behind `at`; n when there is none. `room`: bytes that may be read from p on. */
static inline size_t next_digit(const uint8_t *p, size_t at, size_t n, size_t room)
{
#if defined(__SSE2__)
    for (; at + 16 <= room && at < n; at += 16) {
        __m128i x = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + at)), _mm_set1_epi8('0'));
        unsigned hits = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(9)), x));
        if (hits)
            return MIN(at + (unsigned)__builtin_ctz(hits), n);
    }
#else
    (void)room;
#endif
    while (at < n && !(lines_class[p[at]] & CLASS_DIGIT))
        at++;
    return MIN(at, n);
}

static bool is_uuid(const uint8_t *p)
{
    for (size_t i = 0; i < UUID_BYTES; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? p[i] != '-' : !(lines_class[p[i]] & (CLASS_DIGIT | CLASS_HEX)))
            return false;
    }
    return true;
}

struct slot {
    size_t from, to;
    enum lines_slot kind;
};

/* The slot in the word around the digit at `d`, which begins no earlier than `least`. A word's kind follows from its bytes alone. */
static inline struct slot slot_around(const uint8_t *p, size_t least, size_t d, size_t n, bool *odd_uuid)
{
    size_t from = d, end = d + 1, run;
    uint8_t any = CLASS_DIGIT, all = CLASS_HEX | CLASS_DIGIT;
    while (from > least && lines_class[p[from - 1]]) {
        from--;
        all &= lines_class[p[from]] & CLASS_HEX ? 0xff : 0;
    }
    while (end < n && lines_class[p[end]] & CLASS_DIGIT)
        end++;
    for (run = end; end < n && lines_class[p[end]]; end++) {
        any |= lines_class[p[end]];
        all &= lines_class[p[end]] & (CLASS_HEX | CLASS_DIGIT) ? 0xff : 0;
    }
    bool before = from < d, behind = run < end, hex = all && end - from >= HEX_MIN;
    if (end < n && p[end] == '-' && end - from >= 8 && n - (end - 8) >= UUID_BYTES && is_uuid(p + end - 8)) {
        if (end - from == 8 && (n - from == UUID_BYTES || !lines_class[p[from + UUID_BYTES]]))
            return (struct slot){from, from + UUID_BYTES, SLOT_UUID};
        *odd_uuid = true;
    }
    if (hex && (before || behind))
        return (struct slot){from, end, SLOT_HEX};
    if (behind) /* digits, then letters only: a unit */
        for (size_t i = run; i < end; i++)
            before |= (lines_class[p[i]] & CLASS_DIGIT) != 0;
    if ((!before || !behind) && run - d <= DIGITS_MAX)
        return (struct slot){d, run, SLOT_DIGITS};
    return (struct slot){from, end, SLOT_WORD};
}

/* Eight digits at once: pairs, then fours, then all. */
static inline uint64_t eight_digits(uint64_t w)
{
    w &= 0x0f0f0f0f0f0f0f0fu;
    w = (w * 10 + (w >> 8)) & 0x00ff00ff00ff00ffu;
    w = (w * 100 + (w >> 16)) & 0x0000ffff0000ffffu;
    return (w * 10000 + (w >> 32)) & 0xffffffffu;
}

/* The number that n digits make, 1 to DIGITS_MAX of them. `room`: bytes that may be read from p on. */
static inline uint64_t number_of(const uint8_t *p, size_t n, size_t room)
{
    static const uint64_t pow10[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
    uint64_t v = 0;
    for (; n >= 8; n -= 8, p += 8, room -= 8)
        v = v * 100000000 + eight_digits(get_le64(p));
    if (n && room >= 8) /* zeros in front make them eight */
        return v * pow10[n] + eight_digits(get_le64(p) << (64 - 8 * n));
    for (size_t i = 0; i < n; i++)
        v = v * 10 + (p[i] & 0xf);
    return v;
}

/* What is written beyond n bytes is written over by what follows; there is room for it. */
enum { COPY_SLACK = 16 };
static inline char *copy_text(char *to, const uint8_t *p, size_t n, size_t room)
{
    if (n <= COPY_SLACK && room >= COPY_SLACK)
        memcpy(to, p, COPY_SLACK);
    else if (n)
        memcpy(to, p, n);
    return to + n;
}

/* The line's template and slots, as the key. False: it is to be kept whole. */
static bool take_apart(struct lines_encoder *x, size_t from, size_t n)
{
    const uint8_t *p = x->bytes + from;
    size_t room = x->n_bytes - from, done = 0;
    x->n_key = 0;
    buf_reset(&x->key);
    char *to = n <= LINES_TEMPLATE_BYTES && !x->whole ? buf_reserve(&x->key, n + LINES_SLOTS_MAX + COPY_SLACK) : NULL;
    if (!to)
        return false;
    for (size_t d; x->n_key < LINES_SLOTS_MAX && (d = next_digit(p, done, n, room)) < n;) {
        struct slot s = slot_around(p, done, d, n, &x->odd_uuid);
        if (s.to - s.from > WORD_MAX)
            return false;
        to = copy_text(to, p + done, s.from - done, room - done);
        x->key_places[x->n_key] = (uint32_t)(to - x->key.p);
        x->key_widths[x->n_key] = (uint32_t)(s.to - s.from);
        x->key_values[x->n_key++] = s.kind == SLOT_DIGITS ? number_of(p + s.from, s.to - s.from, room - s.from) : from + s.from;
        *to++ = (char)s.kind;
        done = s.to;
    }
    x->many_slots |= x->n_key == LINES_SLOTS_MAX;
    x->key.n = (size_t)(copy_text(to, p + done, n - done, room - done) - x->key.p);
    return true;
}

/* ---- templates ---- */

static bool is_template(const struct lines_encoder *x, const struct template *t)
{
    return t->text_n == x->key.n && t->n_slots == x->n_key && memcmp(x->texts.p + t->text_at, x->key.p, t->text_n) == 0 &&
           (!x->n_key || memcmp(x->places.at + t->slots_at, x->key_places, x->n_key * sizeof *x->key_places) == 0);
}

static bool table_grow(struct lines_encoder *x)
{
    size_t n = x->table_n ? 2 * x->table_n : 1024;
    uint32_t *table = calloc(n, sizeof *table);
    if (!table)
        return false;
    for (uint32_t i = 1; i < x->templates.n; i++) {
        size_t at = x->templates.at[i].hash & (n - 1);
        while (table[at])
            at = (at + 1) & (n - 1);
        table[at] = i;
    }
    free(x->table);
    x->table = table;
    x->table_n = n;
    return true;
}

/* The template of the key, made when there is room for another; 0: none. `rows`: how many came before. False: no memory. */
static bool template_of(struct lines_encoder *x, uint32_t rows, uint32_t *ret)
{
    uint64_t hash = hash_bytes(buf_view(&x->key));
    if (2 * (x->templates.n + 1) > x->table_n && !table_grow(x))
        return false;
    size_t at = hash & (x->table_n - 1);
    for (; x->table[at]; at = (at + 1) & (x->table_n - 1)) {
        const struct template *t = &x->templates.at[x->table[at]];
        if (t->hash == hash && is_template(x, t)) {
            *ret = x->table[at];
            return true;
        }
    }
    *ret = 0;
    if (x->templates.n >= MIN(TEMPLATES_FREE + rows / ROWS_EACH, (uint32_t)LINES_TEMPLATES_MAX) || !x->key.n)
        return true;
    struct template *t = vec_push(&x->templates);
    if (!t || !vec_reserve(&x->places, x->places.n + x->n_key))
        return false;
    *t = (struct template){.text_at = (uint32_t)x->texts.n, .text_n = (uint32_t)x->key.n, .slots_at = (uint32_t)x->places.n,
                           .n_slots = x->n_key, .hash = hash};
    buf_sv(&x->texts, buf_view(&x->key));
    buf_char(&x->texts, 0);
    if (x->n_key)
        memcpy(x->places.at + x->places.n, x->key_places, x->n_key * sizeof *x->key_places);
    x->places.n += x->n_key;
    *ret = x->table[at] = (uint32_t)x->templates.n - 1;
    return !x->texts.failed;
}

static bool row_take(struct lines_encoder *x, uint32_t row, size_t from, size_t n)
{
    uint32_t id = 0;
    if (take_apart(x, from, n) && !template_of(x, row, &id))
        return false;
    size_t at = x->values.n, more = id ? x->n_key : 0;
    if (x->key.failed || !vec_reserve(&x->values, at + more) || !vec_reserve(&x->widths, at + more))
        return false;
    x->id.at[row] = id;
    x->first.at[row] = (uint32_t)at;
    x->templates.at[id].rows++;
    if (more) {
        memcpy(x->values.at + at, x->key_values, more * sizeof *x->key_values);
        memcpy(x->widths.at + at, x->key_widths, more * sizeof *x->key_widths);
    }
    x->values.n = x->widths.n = at + more;
    return true;
}

/* ---- columns ---- */

struct numbers { /* what a column of digits looks like */
    uint64_t min, max;
    int64_t min_step, max_step; /* between neighbours */
    uint32_t min_w, max_w;
    bool padded;    /* some have leading zeros */
    bool far_steps; /* no differences of 63 bits */
};

static struct numbers look_at(const uint64_t *v, const uint32_t *w, size_t n)
{
    struct numbers s = {.min = v[0], .max = v[0], .min_w = w[0], .max_w = w[0], .min_step = INT64_MAX, .max_step = INT64_MIN};
    for (size_t i = 0; i < n; i++) {
        s.min = MIN(s.min, v[i]);
        s.max = MAX(s.max, v[i]);
        s.min_w = MIN(s.min_w, w[i]);
        s.max_w = MAX(s.max_w, w[i]);
        s.padded |= w[i] != lines_digits(v[i]);
        if (i) {
            int64_t step = (int64_t)(v[i] - v[i - 1]);
            s.min_step = MIN(s.min_step, step);
            s.max_step = MAX(s.max_step, step);
        }
    }
    s.far_steps = s.max > INT64_MAX;
    return s;
}

enum { DICT_MAX = 128, DICT_SLOTS = 512 };
struct number_dict {
    uint64_t at[DICT_MAX];
    uint32_t n;
};

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The different numbers, ascending; false when there are too many. */
static bool distinct(const uint64_t *v, size_t n, struct number_dict *ret)
{
    uint8_t slots[DICT_SLOTS] = {0}; /* index + 1 */
    ret->n = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = (v[i] * 0x9e3779b97f4a7c15u) >> 55;
        while (slots[at] && ret->at[slots[at] - 1] != v[i])
            at = (at + 1) % DICT_SLOTS;
        if (slots[at])
            continue;
        if (ret->n == DICT_MAX)
            return false;
        ret->at[ret->n++] = v[i];
        slots[at] = (uint8_t)ret->n;
    }
    qsort(ret->at, ret->n, sizeof *ret->at, by_number);
    return true;
}

static void dict_out(struct lines_encoder *x, const struct number_dict *d, uint64_t *v, size_t n)
{
    uint64_t last = 0;
    buf_varint(&x->directory, d->n);
    for (uint32_t i = 0; i < d->n; i++) {
        buf_varint(&x->directory, d->at[i] - last);
        last = d->at[i];
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t lo = 0, hi = d->n - 1;
        while (lo < hi) {
            uint32_t mid = (lo + hi) / 2;
            if (d->at[mid] < v[i])
                lo = mid + 1;
            else
                hi = mid;
        }
        v[i] = lo;
    }
    bits_pack(&x->out.slots, v, n, 0, bits_for(d->n - 1));
}

static void digits_out(struct lines_encoder *x, uint64_t *v, uint32_t *w, size_t n)
{
    struct numbers s = look_at(v, w, n);
    struct buf *dir = &x->directory;
    struct number_dict d;
    unsigned bits = bits_for(s.max - s.min), step_bits = 64;
    bool one_form = !s.padded || s.min_w == s.max_w;
    uint8_t width = s.padded ? (uint8_t)s.min_w : 0;
    if (one_form && n > 8 && !s.far_steps)
        step_bits = bits_for((uint64_t)s.max_step - (uint64_t)s.min_step);
    if (step_bits + 2 <= bits) {
        buf_char(dir, COLUMN_DELTA);
        buf_char(dir, (char)width);
        buf_varint(dir, v[0]);
        buf_varint(dir, zigzag(s.min_step));
        buf_char(dir, (char)step_bits);
        for (size_t i = n - 1; i > 0; i--)
            v[i] = v[i] - v[i - 1] - (uint64_t)s.min_step;
        bits_pack(&x->out.slots, v + 1, n - 1, 0, step_bits);
    } else if (one_form && n >= 32 && bits > 2 && distinct(v, n, &d) &&
               bits_bytes(n, bits_for(d.n - 1)) + d.n * (bits / 7 + 1) < bits_bytes(n, bits)) {
        buf_char(dir, COLUMN_DICT);
        buf_char(dir, (char)width);
        dict_out(x, &d, v, n);
    } else if (one_form) {
        buf_char(dir, s.padded ? COLUMN_PADDED : COLUMN_INT);
        if (s.padded)
            buf_char(dir, (char)width);
        buf_varint(dir, s.min);
        buf_char(dir, (char)bits);
        bits_pack(&x->out.slots, v, n, s.min, bits);
    } else {
        buf_char(dir, COLUMN_WIDTHS);
        buf_char(dir, (char)s.min_w);
        buf_char(dir, (char)bits_for(s.max_w - s.min_w));
        buf_varint(dir, s.min);
        buf_char(dir, (char)bits);
        uint64_t *wide = x->spare.at;
        for (size_t i = 0; i < n; i++)
            wide[i] = w[i];
        bits_pack(&x->out.slots, wide, n, s.min_w, bits_for(s.max_w - s.min_w));
        bits_pack(&x->out.slots, v, n, s.min, bits);
    }
}

static void token(struct lines_encoder *x, const uint8_t *p, size_t n, enum lines_slot kind)
{
    sieve_add(&x->out.tokens, sieve_key(SV_NULL, sv_make(p, n)));
    if (kind != SLOT_UUID)
        x->out.tokens.longest = MAX(x->out.tokens.longest, (uint32_t)n);
}

static uint8_t nibble(uint8_t c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void hex_out(struct buf *out, const uint8_t *p, size_t n)
{
    char *to = buf_reserve(out, n / 2 + 1);
    if (!to)
        return;
    for (size_t i = 0; i < n; i += 2)
        *to++ = (char)(nibble(p[i]) << 4 | (i + 1 < n ? nibble(p[i + 1]) : 0));
    out->n += (n + 1) / 2;
}

static void uuid_out(struct buf *out, const uint8_t *p)
{
    static const uint8_t at[] = {0, 9, 14, 19, 24}, n[] = {8, 4, 4, 4, 12};
    for (size_t i = 0; i < ARRAY_LEN(at); i++)
        hex_out(out, p + at[i], n[i]);
}

/* Different words, when there are few of them. v[] becomes their numbers. */
enum { WORDS_MAX = 1024, WORDS_SLOTS = 2 * WORDS_MAX };
static bool words_out(struct lines_encoder *x, uint64_t *v, const uint32_t *w, size_t n)
{
    uint16_t slots[WORDS_SLOTS];
    struct {
        uint64_t at;
        uint32_t n;
    } words[WORDS_MAX];
    uint32_t n_words = 0;
    size_t most = MIN(n / 2, (size_t)WORDS_MAX), bytes = 0, n_slots = 4;
    uint64_t *id = x->spare.at;
    while (n_slots < 2 * most)
        n_slots *= 2;
    memset(slots, 0, n_slots * sizeof *slots);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = x->bytes + v[i];
        size_t at = hash_bytes(sv_make(p, w[i])) % n_slots;
        for (; slots[at]; at = (at + 1) % n_slots)
            if (words[slots[at] - 1].n == w[i] && memcmp(x->bytes + words[slots[at] - 1].at, p, w[i]) == 0)
                break;
        if (!slots[at]) {
            if (n_words == most)
                return false;
            words[n_words].at = v[i];
            words[n_words].n = w[i];
            slots[at] = (uint16_t)++n_words;
            bytes += w[i];
        }
        id[i] = slots[at] - 1u;
    }
    if (bytes + n_words > LINES_TEMPLATE_BYTES)
        return false;
    buf_char(&x->directory, COLUMN_WORDS);
    buf_varint(&x->directory, n_words);
    for (uint32_t i = 0; i < n_words; i++) {
        token(x, x->bytes + words[i].at, words[i].n, SLOT_WORD);
        for (uint32_t k = 0; k < words[i].n; k++)
            x->chars |= lines_char_bit(x->bytes[words[i].at + k]);
        buf_varint(&x->directory, words[i].n);
        buf_put(&x->directory, x->bytes + words[i].at, words[i].n);
    }
    bits_pack(&x->out.slots, id, n, 0, bits_for(n_words - 1));
    return true;
}

static void text_out(struct lines_encoder *x, const uint64_t *v, const uint32_t *w, size_t n)
{
    uint64_t *wide = x->spare.at, sum = 0, chars = 0;
    uint32_t min = UINT32_MAX, max = 0;
    for (size_t i = 0; i < n; i++) {
        wide[i] = w[i];
        sum += w[i];
        min = MIN(min, w[i]);
        max = MAX(max, w[i]);
        for (uint32_t k = 0; k < w[i]; k++)
            chars |= lines_char_bit(x->bytes[v[i] + k]);
        buf_put(&x->out.text, x->bytes + v[i], w[i]);
        token(x, x->bytes + v[i], w[i], SLOT_WORD);
    }
    buf_char(&x->directory, COLUMN_TEXT);
    buf_varint(&x->directory, min);
    buf_char(&x->directory, (char)bits_for(max - min));
    buf_varint(&x->directory, sum);
    buf_varint(&x->directory, max);
    char bits[8];
    put_le64(bits, chars);
    x->chars |= chars;
    buf_put(&x->directory, bits, sizeof bits);
    bits_pack(&x->out.slots, wide, n, min, bits_for(max - min));
}

static void column_out(struct lines_encoder *x, enum lines_slot kind, uint64_t *v, uint32_t *w, size_t n)
{
    bool same = true;
    for (size_t i = 1; i < n; i++)
        same &= w[i] == w[0];
    if (kind == SLOT_DIGITS) {
        x->chars |= CHARS_DIGITS;
        digits_out(x, v, w, n);
    } else if (kind == SLOT_UUID) {
        buf_char(&x->directory, COLUMN_UUID);
        x->chars |= CHARS_HEX | CHARS_DASH;
        x->out.tokens.flags |= SIEVE_UUIDS;
        for (size_t i = 0; i < n; i++) {
            uuid_out(&x->out.slots, x->bytes + v[i]);
            token(x, x->bytes + v[i], UUID_BYTES, kind);
        }
    } else if (words_out(x, v, w, n)) {
        return;
    } else if (kind == SLOT_HEX && same) {
        buf_char(&x->directory, COLUMN_HEX);
        x->chars |= CHARS_HEX;
        buf_varint(&x->directory, w[0]);
        for (size_t i = 0; i < n; i++) {
            hex_out(&x->out.slots, x->bytes + v[i], w[i]);
            token(x, x->bytes + v[i], w[i], kind);
        }
    } else {
        text_out(x, v, w, n);
    }
}

static void template_columns(struct lines_encoder *x, const struct template *t)
{
    const uint32_t *rows = x->order.at + t->first_row;
    for (uint32_t i = 0; i < t->rows; i++) {
        const uint64_t *v = x->values.at + x->first.at[rows[i]];
        const uint32_t *w = x->widths.at + x->first.at[rows[i]];
        for (uint32_t s = 0; s < t->n_slots; s++) {
            x->columns.at[(size_t)s * t->rows + i] = v[s];
            x->columns_w.at[(size_t)s * t->rows + i] = w[s];
        }
    }
    for (uint32_t s = 0; s < t->n_slots; s++)
        column_out(x, (enum lines_slot)x->texts.p[t->text_at + x->places.at[t->slots_at + s]], x->columns.at + (size_t)s * t->rows,
                   x->columns_w.at + (size_t)s * t->rows, t->rows);
}

/* ---- a block ---- */

/* Rows by template, in their order. */
static bool gather(struct lines_encoder *x, uint32_t n)
{
    uint32_t at = 0, rows = 0;
    size_t values = 0;
    for (size_t t = 0; t < x->templates.n; t++) {
        x->templates.at[t].first_row = at;
        at += x->templates.at[t].rows;
        rows = MAX(rows, x->templates.at[t].rows);
        values = MAX(values, (size_t)x->templates.at[t].rows * x->templates.at[t].n_slots);
        x->templates.at[t].rows = 0;
    }
    if (!vec_reserve(&x->order, n) || !vec_reserve(&x->columns, values + 1) || !vec_reserve(&x->columns_w, values + 1) ||
        !vec_reserve(&x->spare, rows + 1))
        return false;
    for (uint32_t r = 0; r < n; r++) {
        struct template *t = &x->templates.at[x->id.at[r]];
        x->order.at[t->first_row + t->rows++] = r;
    }
    return true;
}

static void dict_begin(struct lines_encoder *x)
{
    struct buf *out = &x->out.dict;
    char chars[8];
    put_le64(chars, x->chars);
    buf_put(out, chars, sizeof chars);
    buf_varint(out, x->templates.at[0].rows);
    buf_varint(out, x->templates.n - 1);
    buf_varint(out, x->texts.n);
    buf_sv(out, buf_view(&x->texts));
    for (size_t i = 1; i < x->templates.n; i++) {
        const struct template *t = &x->templates.at[i];
        uint32_t last = 0;
        buf_varint(out, t->text_n);
        buf_varint(out, t->rows);
        buf_varint(out, t->n_slots);
        for (uint32_t s = 0; s < t->n_slots; s++) {
            buf_varint(out, x->places.at[t->slots_at + s] - last);
            last = x->places.at[t->slots_at + s];
        }
    }
}

static void ids_out(struct lines_encoder *x, uint32_t n)
{
    bool wide = x->templates.n > 256;
    char *to = buf_reserve(&x->out.ids, (size_t)n * (wide ? 2 : 1) + 1);
    if (!to)
        return;
    for (uint32_t r = 0; r < n; r++)
        if (wide)
            put_le16(to + 2 * (size_t)r, (uint16_t)x->id.at[r]);
        else
            to[r] = (char)x->id.at[r];
    x->out.ids.n = (size_t)n * (wide ? 2 : 1);
}

static bool begin(struct lines_encoder *x, const char *bytes, size_t n_bytes, uint32_t n)
{
    struct buf *all[] = {&x->texts, &x->key, &x->directory, &x->out.dict, &x->out.ids, &x->out.slots, &x->out.text};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_reset(all[i]);
    x->bytes = (const uint8_t *)bytes;
    x->n_bytes = n_bytes;
    x->templates.n = x->places.n = x->values.n = x->widths.n = 0;
    x->chars = 0;
    x->odd_uuid = x->many_slots = false;
    x->out.tokens.keys.n = x->out.tokens.flags = x->out.tokens.longest = 0;
    if (x->table)
        memset(x->table, 0, x->table_n * sizeof *x->table);
    struct template *whole = vec_push(&x->templates);
    if (!whole || !vec_reserve(&x->id, n) || !vec_reserve(&x->first, n))
        return false;
    *whole = (struct template){0};
    return true;
}

static const struct lines_encoded *encode(struct lines_encoder *x, const char *bytes, const uint32_t *end, uint32_t n)
{
    bool ok = begin(x, bytes, n ? end[n - 1] : 0, n);
    for (uint32_t r = 0; ok && r < n; r++)
        ok = row_take(x, r, r ? end[r - 1] : 0, end[r] - (r ? end[r - 1] : 0));
    if (!ok || !gather(x, n))
        return NULL;
    ids_out(x, n);
    for (size_t t = 1; t < x->templates.n; t++)
        template_columns(x, &x->templates.at[t]);
    for (uint32_t i = 0; i < x->templates.at[0].rows; i++) {
        uint32_t r = x->order.at[i], from = r ? end[r - 1] : 0;
        buf_put(&x->out.text, bytes + from, end[r] - from);
    }
    dict_begin(x);
    buf_sv(&x->out.dict, buf_view(&x->directory));
    x->out.n_templates = (uint32_t)x->templates.n - 1;
    x->out.raw_rows = x->templates.at[0].rows;
    x->out.tokens.flags |= (x->out.raw_rows || x->many_slots ? SIEVE_PARTIAL : 0) | (x->odd_uuid ? SIEVE_ODD_UUID : 0);
    struct buf *all[] = {&x->texts, &x->directory, &x->out.dict, &x->out.ids, &x->out.slots, &x->out.text};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i]->failed)
            return NULL;
    return x->out.tokens.failed ? NULL : &x->out;
}

static bool made_ids(void *ctx, sv *ret, struct err *e UNUSED)
{
    *ret = buf_view(&((struct lines_encoder *)ctx)->out.ids);
    return true;
}
static bool made_columns(void *ctx, sv *ret_slots, sv *ret_text, struct err *e UNUSED)
{
    struct lines_encoder *x = ctx;
    *ret_slots = buf_view(&x->out.slots);
    *ret_text = buf_view(&x->out.text);
    return true;
}

/* Do the lines come back? */
static bool comes_back(struct lines_encoder *x, const char *bytes, const uint32_t *end, uint32_t n, struct err *e)
{
    struct lines_source from = {made_ids, made_columns, x};
    struct lines *l;
    size_t total = n ? end[n - 1] : 0;
    buf_reset(&x->back);
    char *to = buf_reserve(&x->back, total + 1), *slack = buf_reserve(&x->out.slots, BITS_SLACK);
    if (!to || !slack)
        return err_nomem(e);
    memset(slack, 0, BITS_SLACK);
    if (!lines_open(buf_view(&x->out.dict), &from, end, n, &l, e))
        return false;
    bool ok = lines_build(l, NULL, to, e);
    lines_close(l);
    return ok && (!total || memcmp(to, bytes, total) == 0 || err_set(e, ERR_CORRUPT, "other lines than those that went in"));
}

const struct lines_encoded *lines_encode(struct lines_encoder *x, const char *bytes, const uint32_t *end, uint32_t n)
{
    struct err e = {0};
    x->whole = false;
    const struct lines_encoded *made = encode(x, bytes, end, n);
    if (!made || comes_back(x, bytes, end, n, &e))
        return made;
    if (e.code == ERR_NOMEM)
        return NULL;
    log_error("store", "a block's lines are kept whole, their templates give: %s. This is a bug in weir; please report it", e.msg);
    x->whole = true;
    return encode(x, bytes, end, n);
}

size_t lines_tokens(sv text, struct lines_token *ret, size_t max)
{
    const uint8_t *p = (const uint8_t *)text.p;
    size_t n = 0;
    bool ignored;
    for (size_t done = 0, d; n < max && (d = next_digit(p, done, text.n, text.n)) < text.n;) {
        struct slot s = slot_around(p, done, d, text.n, &ignored);
        done = s.to;
        if (s.kind == SLOT_DIGITS)
            continue;
        bool hex = true;
        for (size_t i = s.from; hex && i < s.to; i++)
            hex = lines_class[p[i]] & (CLASS_DIGIT | CLASS_HEX);
        ret[n++] = (struct lines_token){sv_sub(text, s.from, s.to - s.from), s.kind == SLOT_UUID, hex, s.from > 0 && s.to < text.n};
    }
    return n;
}

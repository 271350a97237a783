/* labels.c - see labels.h. The canonical text is both what people read in messages and what labels_hash() hashes, so its
 * escapes are frozen: \\ \" \a \b \f \n \r \t \v, \xNN for other control bytes and for bytes that are not UTF-8. */
#include "store/labels.h"
#include "store/hash.h"
#include <stdlib.h>

sv labels_get(struct labels l, sv name)
{
    for (size_t lo = 0, hi = l.n; lo < hi;) {
        size_t mid = lo + (hi - lo) / 2;
        int c = sv_cmp(l.at[mid].name, name);
        if (c == 0)
            return l.at[mid].value;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return SV_NULL;
}

int labels_cmp(struct labels a, struct labels b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        int c = sv_cmp(a.at[i].name, b.at[i].name);
        if (!c)
            c = sv_cmp(a.at[i].value, b.at[i].value);
        if (c)
            return c;
    }
    return (a.n > b.n) - (a.n < b.n);
}

bool labels_eq(struct labels a, struct labels b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (!sv_eq(a.at[i].name, b.at[i].name) || !sv_eq(a.at[i].value, b.at[i].value))
            return false;
    return true;
}

/* The text goes into a buffer or straight into the hash: hashing needs no memory, so it cannot fail. */
struct text_out {
    struct buf *text;
    XXH3_state_t *hash;
};

static void put(struct text_out *o, sv s)
{
    if (o->text)
        buf_sv(o->text, s);
    else
        XXH3_64bits_update(o->hash, s.p, s.n);
}

static sv escape_of(unsigned char c, char out[static 4])
{
    static const char letters[] = "abtnvfr"; /* 7 .. 13 */
    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        return sv_make(out, 2);
    }
    if (c >= 7 && c <= 13) {
        out[0] = '\\';
        out[1] = letters[c - 7];
        return sv_make(out, 2);
    }
    static const char hex[] = "0123456789abcdef";
    memcpy(out, (char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
    return sv_make(out, 4);
}

static bool plain(unsigned char c)
{
    return c >= ' ' && c != '"' && c != '\\' && c != 0x7f;
}

static void put_quoted(struct text_out *o, sv s)
{
    put(o, SV("\""));
    size_t good = sv_utf8_prefix(s); /* bytes of s known to be UTF-8 */
    while (s.n) {
        size_t run = 0;
        while (run < good && plain((unsigned char)s.p[run]))
            run++;
        if (run) {
            put(o, sv_sub(s, 0, run));
        } else {
            char room[4];
            put(o, escape_of((unsigned char)*s.p, room));
            run = 1;
        }
        s = sv_from(s, run);
        good = good > run ? good - run : sv_utf8_prefix(s);
    }
    put(o, SV("\""));
}

static void put_labels(struct text_out *o, struct labels l)
{
    put(o, SV("{"));
    for (size_t i = 0; i < l.n; i++) {
        if (i)
            put(o, SV(", "));
        put(o, l.at[i].name);
        put(o, SV("="));
        put_quoted(o, l.at[i].value);
    }
    put(o, SV("}"));
}

uint64_t labels_hash(struct labels l)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    put_labels(&(struct text_out){.hash = &state}, l);
    return XXH3_64bits_digest(&state);
}

void labels_text(struct labels l, struct buf *out)
{
    put_labels(&(struct text_out){.text = out}, l);
}

struct labels labels_copy(struct arena *a, struct labels l)
{
    struct label *at = arena_array(a, l.n ? l.n : 1, sizeof *at);
    for (size_t i = 0; at && i < l.n; i++) {
        at[i] = (struct label){arena_sv(a, l.at[i].name), arena_sv(a, l.at[i].value)};
        if (!at[i].name.p || !at[i].value.p)
            return (struct labels){0};
    }
    return at ? (struct labels){at, l.n} : (struct labels){0};
}

static void insertion_sort(struct label *at, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct label x = at[i];
        size_t j = i;
        for (; j > 0 && sv_cmp(at[j - 1].name, x.name) > 0; j--)
            at[j] = at[j - 1];
        at[j] = x;
    }
}

/* Sets are small, tens at most, unless a peer is hostile: then halves are sorted and merged. */
void labels_sort(struct label *at, size_t n)
{
    struct label *half = n > 32 ? malloc(n / 2 * sizeof *half) : NULL;
    if (!half) {
        insertion_sort(at, n);
        return;
    }
    size_t n_half = n / 2;
    labels_sort(at, n_half);
    labels_sort(at + n_half, n - n_half);
    memcpy(half, at, n_half * sizeof *half);
    for (size_t i = 0, j = n_half, k = 0; i < n_half;)
        at[k++] = j < n && sv_cmp(at[j].name, half[i].name) < 0 ? at[j++] : half[i++];
    free(half);
}

bool matcher_accepts(const struct matcher *m, sv value)
{
    switch (m->op) {
    case MATCH_EQ:
        return sv_eq(m->value, value);
    case MATCH_NEQ:
        return !sv_eq(m->value, value);
    case MATCH_RE:
        return regex_match(m->re, value);
    case MATCH_NRE:
        return !regex_match(m->re, value);
    }
    return false;
}

bool matchers_accept(const struct matcher *m, size_t n, struct labels l)
{
    for (size_t i = 0; i < n; i++)
        if (!matcher_accepts(&m[i], labels_get(l, m[i].name)))
            return false;
    return true;
}

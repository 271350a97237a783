/* parse_json.c - labels out of JSON lines.
 * One pass over the bytes, recursive for nested objects with a depth cap; values are views into the line unless an escape
 * has to be decoded. A nested member's name holds those of all around it, so a short line can ask for very long names: what
 * they take together has a cap, too. Lenient where jsonparser, which Loki uses, is: text after the object is ignored, control characters
 * may stand in strings. */
#include "logql/line_parse.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { MAX_DEPTH = 64, MAX_NESTED_NAMES = 1 << 20 };

enum json_type { TYPE_BAD, TYPE_STRING, TYPE_NUMBER, TYPE_BOOL, TYPE_NULL, TYPE_OBJECT, TYPE_ARRAY };
struct cursor {
    const char *p, *end;
};

static bool hinted(const struct parse_hints *h, sv name)
{
    for (size_t i = 0; i < h->n; i++)
        if (sv_eq(h->names[i], name))
            return true;
    return false;
}

void parse_hints_set(struct parse_hints *h, const sv *names, size_t n)
{
    *h = (struct parse_hints){.skip = !n, .names = names, .n = n};
    for (size_t i = 0; i < n; i++)
        if (names[i].n) {
            h->first[(unsigned char)names[i].p[0]] = true;
            h->last[(unsigned char)names[i].p[names[i].n - 1]] = true;
        }
}

bool parse_wants(const struct parse_hints *h, const struct label_row *r, sv name)
{
    return h->all || (hinted(h, name) && !label_row_has_parsed(r, name));
}

bool extract_if_wanted(const struct parse_hints *h, struct label_row *r, sv name, sv value)
{
    if (!h->all) {
        sv as = label_row_extracted_name(r, name);
        if (!hinted(h, as) || label_row_has_parsed(r, as))
            return false;
    }
    label_row_extract(r, name, value);
    return true;
}

static const bool name_bytes[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['_'] = true,
};

static bool is_name_byte(unsigned char c)
{
    return name_bytes[c];
}

/* Is it a label name as it is? */
static bool is_clean_name(sv name)
{
    bool clean = name.n && !(name.p[0] >= '0' && name.p[0] <= '9');
    for (size_t i = 0; i < name.n; i++)
        clean &= name_bytes[(unsigned char)name.p[i]];
    return clean;
}

sv sanitised_name(struct arena *a, sv prefix, sv name)
{
    if (!prefix.n && is_clean_name(name))
        return name;
    name = sv_trim(name);
    bool digit = !prefix.n && name.n && name.p[0] >= '0' && name.p[0] <= '9';
    if (!prefix.n && is_clean_name(name))
        return name;
    if (!name.n)
        return SV_NULL;
    char *p = arena_alloc(a, prefix.n + 1 + name.n);
    size_t n = 0;
    if (!p)
        return SV_NULL;
    if (prefix.n) {
        memcpy(p, prefix.p, prefix.n);
        n = prefix.n;
    }
    if (prefix.n || digit)
        p[n++] = '_';
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (is_name_byte(c))
            p[n++] = (char)c;
        else if ((c & 0xc0) != 0x80) /* one for the character, not for each of its bytes */
            p[n++] = '_';
    }
    return sv_make(p, n);
}

/* ---- scanning ---- */

static void blanks(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
        c->p++;
}

static inline bool take(struct cursor *c, char ch)
{
    if (c->p < c->end && *c->p == ch) {
        c->p++;
        return true;
    }
    blanks(c);
    if (c->p == c->end || *c->p != ch)
        return false;
    c->p++;
    return true;
}

/* Where the next quote or backslash is, or the end. */
static inline const char *string_mark(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), back = _mm_set1_epi8('\\');
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, back)));
        if (found)
            return p + __builtin_ctz(found);
    }
#endif
    while (p < end && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* Behind the opening quote; *ret is what lies between the quotes, still escaped. */
static bool string_body(struct cursor *c, sv *ret, bool *escaped)
{
    const char *from = c->p;
    *escaped = false;
    for (;;) {
        c->p = string_mark(c->p, c->end);
        if (c->p == c->end)
            return false;
        if (*c->p == '"')
            break;
        *escaped = true;
        if (c->end - c->p < 2)
            return false;
        c->p += 2;
    }
    *ret = sv_make(from, (size_t)(c->p - from));
    c->p++;
    return true;
}

/* A value that is no container: its type and text. */
static enum json_type scalar(struct cursor *c, sv *text, bool *escaped)
{
    *escaped = false;
    if (c->p == c->end)
        return TYPE_BAD;
    if (*c->p == '"') {
        c->p++;
        return string_body(c, text, escaped) ? TYPE_STRING : TYPE_BAD;
    }
    const char *from = c->p;
    while (c->p < c->end && (is_name_byte((unsigned char)*c->p) || *c->p == '-' || *c->p == '+' || *c->p == '.'))
        c->p++;
    *text = sv_make(from, (size_t)(c->p - from));
    if (sv_eq(*text, SV("true")) || sv_eq(*text, SV("false")))
        return TYPE_BOOL;
    if (sv_eq(*text, SV("null")))
        return TYPE_NULL;
    if (!text->n)
        return TYPE_BAD;
    for (const char *p = from; p < c->p; p++)
        if (!(*p >= '0' && *p <= '9') && !strchr("+-.eE", *p))
            return TYPE_BAD;
    return TYPE_NUMBER;
}

static bool skip_value(struct cursor *c, size_t depth);

/* Behind `{` or `[`: up to its closing mark. */
static bool skip_container(struct cursor *c, bool object, size_t depth)
{
    char close = object ? '}' : ']';
    if (depth > MAX_DEPTH)
        return false;
    if (take(c, close))
        return true;
    do {
        sv ignored;
        bool escaped;
        if (object && (!take(c, '"') || !string_body(c, &ignored, &escaped) || !take(c, ':')))
            return false;
        if (!skip_value(c, depth + 1))
            return false;
    } while (take(c, ','));
    return take(c, close);
}

static bool skip_value(struct cursor *c, size_t depth)
{
    sv text;
    bool escaped;
    if (take(c, '{'))
        return skip_container(c, true, depth);
    if (take(c, '['))
        return skip_container(c, false, depth);
    return scalar(c, &text, &escaped) != TYPE_BAD;
}

/* ---- text of values ---- */

static bool hex4(sv s, size_t at, uint32_t *ret)
{
    uint32_t v = 0;
    if (s.n < at + 4)
        return false;
    for (size_t i = at; i < at + 4; i++) {
        char c = s.p[i];
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (d < 0)
            return false;
        v = v << 4 | (uint32_t)d;
    }
    *ret = v;
    return true;
}

static size_t put_rune(char *to, uint32_t r)
{
    if (r < 0x80) {
        to[0] = (char)r;
        return 1;
    }
    size_t more = r < 0x800 ? 1 : r < 0x10000 ? 2 : 3;
    static const unsigned char head[] = {0, 0xc0, 0xe0, 0xf0};
    to[0] = (char)(head[more] | r >> 6 * more);
    for (size_t i = 1; i <= more; i++)
        to[i] = (char)(0x80 | (r >> 6 * (more - i) & 0x3f));
    return more + 1;
}

/* \uXXXX at s.p[*at] (behind the u), with the second half of a surrogate pair; lone halves become U+FFFD. */
static bool take_unicode(sv s, size_t *at, uint32_t *ret)
{
    uint32_t low;
    if (!hex4(s, *at, ret))
        return false;
    *at += 4;
    if (*ret < 0xd800 || *ret >= 0xe000)
        return true;
    if (*ret < 0xdc00 && s.n >= *at + 6 && s.p[*at] == '\\' && s.p[*at + 1] == 'u' && hex4(s, *at + 2, &low) &&
        low >= 0xdc00 && low < 0xe000) {
        *ret = 0x10000 + ((*ret - 0xd800) << 10) + (low - 0xdc00);
        *at += 6;
    } else {
        *ret = 0xfffd;
    }
    return true;
}

static void blank_bad_utf8(char *p, size_t n)
{
    for (size_t at = 0; (at += sv_utf8_prefix(sv_make(p + at, n - at))) < n;)
        p[at++] = ' ';
}

sv json_decoded(struct arena *a, sv raw, bool *ok)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char *p = arena_alloc(a, raw.n + 1);
    size_t n = 0;
    *ok = true;
    if (!p)
        return SV_NULL;
    for (size_t i = 0; i < raw.n;) {
        if (raw.p[i] != '\\') {
            p[n++] = raw.p[i++];
            continue;
        }
        char c = i + 1 < raw.n ? raw.p[i + 1] : 0;
        const char *simple = c ? strchr(from, c) : NULL;
        uint32_t r;
        i += 2;
        if (simple) {
            p[n++] = to[simple - from];
        } else if (c == 'u' && take_unicode(raw, &i, &r)) {
            n += put_rune(p + n, r);
        } else {
            *ok = false;
            return SV_NULL;
        }
    }
    blank_bad_utf8(p, n);
    return sv_make(p, n);
}

static sv value_text(struct label_row *r, enum json_type type, sv text, bool escaped, bool *ok)
{
    *ok = true;
    if (type != TYPE_STRING || (!escaped && sv_is_utf8(text)))
        return text;
    sv s = json_decoded(r->a, text, ok);
    r->failed |= *ok && !s.p;
    return s;
}

static void set_error(struct label_row *r, sv details)
{
    label_row_set_error(r, SV("JSONParserErr"), details);
}

/* ---- json: all members ---- */

struct flatten {
    struct label_row *r;
    const struct parse_hints *h;
    size_t found;
    size_t nested_names; /* bytes */
    bool done;           /* all that is wanted was found */
};

static void flatten_value(struct flatten *f, sv name, sv value)
{
    if (extract_if_wanted(f->h, f->r, name, value) && !f->h->all)
        f->done = ++f->found == f->h->n;
}

/* Behind `{`. False: broken. */
static bool flatten_object(struct flatten *f, struct cursor *c, sv prefix, size_t depth)
{
    if (depth > MAX_DEPTH)
        return false;
    if (take(c, '}'))
        return true;
    do {
        sv raw, text;
        bool escaped, ok;
        if (!take(c, '"') || !string_body(c, &raw, &escaped) || !take(c, ':'))
            return false;
        sv key = escaped ? json_decoded(f->r->a, raw, &ok) : raw;
        if (escaped && !ok)
            return false;
        f->nested_names += prefix.n ? prefix.n + key.n + 1 : 0;
        if (f->nested_names > MAX_NESTED_NAMES)
            return false;
        blanks(c);
        if (take(c, '{')) {
            sv name = sanitised_name(f->r->a, prefix, key);
            if (!flatten_object(f, c, name.n ? name : prefix, depth + 1))
                return false;
        } else if (c->p < c->end && *c->p == '[') {
            if (!skip_value(c, depth + 1))
                return false;
        } else {
            enum json_type type = scalar(c, &text, &escaped);
            if (type == TYPE_BAD)
                return false;
            bool may = type != TYPE_NULL && parse_may_want(f->h, key, prefix.n);
            sv name = may ? sanitised_name(f->r->a, prefix, key) : SV_NULL;
            if (name.n && parse_wants(f->h, f->r, name)) {
                sv value = value_text(f->r, type, text, escaped, &ok);
                if (!ok)
                    return false;
                flatten_value(f, name, value);
            }
        }
        if (f->done || f->r->failed)
            return true;
    } while (take(c, ','));
    return take(c, '}');
}

void json_extract_all(sv line, const struct parse_hints *h, struct label_row *r)
{
    struct cursor c = {line.p, line.p + line.n};
    struct flatten f = {.r = r, .h = h};
    if (!take(&c, '{') || !flatten_object(&f, &c, SV_NULL, 0))
        set_error(r, f.nested_names > MAX_NESTED_NAMES ? SV("the names of nested members take more than 1 MiB")
                                                       : SV("Value looks like object, but can't find closing '}' symbol"));
}

/* ---- json with extractions ---- */

/* Moves to the value of a path; false when it is not there. */
static bool find_path(struct cursor *c, const struct json_path *path, struct arena *a)
{
    for (size_t i = 0; i < path->n; i++) {
        const struct json_step *step = &path->at[i];
        bool object = step->index < 0, found = false;
        if (!take(c, object ? '{' : '['))
            return false;
        blanks(c);
        if (c->p < c->end && *c->p == (object ? '}' : ']'))
            return false;
        for (int64_t at = 0;; at++) {
            sv raw;
            bool escaped, ok = true;
            if (object) {
                if (!take(c, '"') || !string_body(c, &raw, &escaped) || !take(c, ':'))
                    return false;
                sv key = escaped ? json_decoded(a, raw, &ok) : raw;
                found = ok && sv_eq(key, step->field);
            } else {
                found = at == step->index;
            }
            if (found)
                break;
            if (!skip_value(c, 0) || !take(c, ','))
                return false;
        }
    }
    blanks(c);
    return true;
}

void json_extract(sv line, const struct extract *x, size_t n, struct label_row *r)
{
    struct cursor start = {line.p, line.p + line.n};
    blanks(&start);
    if (start.p == start.end || (*start.p != '{' && *start.p != '[')) {
        set_error(r, SV_NULL);
        return;
    }
    for (size_t i = 0; i < n && !r->failed; i++) {
        struct cursor c = start;
        sv text = SV("");
        bool escaped, ok = true;
        if (find_path(&c, &x[i].path, r->a)) {
            const char *from = c.p;
            if (c.p < c.end && (*c.p == '{' || *c.p == '[')) {
                text = skip_value(&c, 0) ? sv_make(from, (size_t)(c.p - from)) : SV("");
            } else {
                enum json_type type = scalar(&c, &text, &escaped);
                text = type == TYPE_BAD || type == TYPE_NULL ? SV("") : value_text(r, type, text, escaped, &ok);
            }
        }
        label_row_extract(r, x[i].name, ok ? text : SV(""));
    }
}

/* ---- unpack ---- */

void json_unpack(sv *line, struct label_row *r)
{
    struct cursor c = {line->p, line->p + line->n};
    struct label found[64];
    size_t n = 0;
    sv entry = SV_NULL;
    if (!take(&c, '{')) {
        set_error(r, SV("expecting json object(6), but it is not"));
        return;
    }
    bool ok = true, more = !take(&c, '}');
    while (more && ok) {
        sv raw, text;
        bool escaped;
        ok = take(&c, '"') && string_body(&c, &raw, &escaped) && take(&c, ':');
        sv key = !ok ? SV_NULL : escaped ? json_decoded(r->a, raw, &ok) : raw;
        blanks(&c);
        if (ok && c.p < c.end && *c.p == '"') {
            ok = scalar(&c, &text, &escaped) == TYPE_STRING;
            sv value = ok ? value_text(r, TYPE_STRING, text, escaped, &ok) : SV_NULL;
            if (ok && sv_eq(key, SV("_entry")))
                entry = value;
            else if (ok && n < ARRAY_LEN(found))
                found[n++] = (struct label){sanitised_name(r->a, SV_NULL, key), value};
        } else if (ok) {
            ok = skip_value(&c, 0);
        }
        more = ok && take(&c, ',');
        ok = ok && (more || take(&c, '}'));
    }
    if (!ok) {
        set_error(r, SV("Value looks like object, but can't find closing '}' symbol"));
        return;
    }
    if (!entry.p)
        return;
    *line = entry;
    for (size_t i = 0; i < n; i++)
        if (found[i].name.n)
            label_row_extract(r, found[i].name, found[i].value);
}

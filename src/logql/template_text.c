/* template_text.c - the text functions of templates. Go's names are there twice: the old ones take the subject first, those
 * of the sprig library last, for piping. */
#include "base/json_out.h"
#include "logql/template_ast.h"
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <wctype.h>

/* ---- case and blanks ---- */

static locale_t unicode;
static void unicode_open(void)
{
    unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static wint_t map_rune(wint_t r, bool upper)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, unicode_open);
    if (!unicode)
        return r;
    return upper ? towupper_l(r, unicode) : towlower_l(r, unicode);
}

static bool change_case(const struct template_env *env, sv s, bool upper, struct value *ret, struct err *e)
{
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    while (s.n) {
        uint32_t r;
        bool valid;
        sv as_is = rune_take(&s, &r, &valid);
        if (valid)
            rune_put(&out, (uint32_t)map_rune((wint_t)r, upper));
        else
            buf_sv(&out, as_is.n ? SV("\xef\xbf\xbd") : as_is);
    }
    return value_give(env, &out, ret, e);
}

static bool is_space_rune(uint32_t r)
{
    return (r >= 9 && r <= 13) || r == ' ' || r == 0x85 || r == 0xa0 || r == 0x1680 || (r >= 0x2000 && r <= 0x200a) ||
           r == 0x2028 || r == 0x2029 || r == 0x202f || r == 0x205f || r == 0x3000;
}

static size_t last_rune_at(sv s)
{
    size_t at = s.n - 1;
    for (int i = 0; i < 3 && at && ((unsigned char)s.p[at] & 0xc0) == 0x80; i++)
        at--;
    return at;
}

enum side { LEFT = 1, RIGHT = 2 };

/* Cuts runes of `set` (white space when SV_NULL) from the ends. */
static sv cut(sv s, sv set, int sides)
{
    while ((sides & LEFT) && s.n) {
        uint32_t r;
        bool valid;
        sv rest = s, rune = rune_take(&rest, &r, &valid);
        if (!valid || !(set.p ? sv_find(set, rune) != SV_NPOS : is_space_rune(r)))
            break;
        s = rest;
    }
    while ((sides & RIGHT) && s.n) {
        uint32_t r;
        bool valid;
        size_t at = last_rune_at(s);
        sv rest = sv_from(s, at), rune = rune_take(&rest, &r, &valid);
        if (!valid || rest.n || !(set.p ? sv_find(set, rune) != SV_NPOS : is_space_rune(r)))
            break;
        s.n = at;
    }
    return s;
}

/* ---- text functions ---- */

TMPL_FN(fn_lower)
{
    return want_string(&v[0], e) && change_case(env, v[0].s, false, ret, e);
}
TMPL_FN(fn_upper)
{
    return want_string(&v[0], e) && change_case(env, v[0].s, true, ret, e);
}
TMPL_FN(fn_trim)
{
    if (!want_string(&v[0], e))
        return false;
    *ret = value_string(cut(v[0].s, SV_NULL, LEFT | RIGHT));
    return true;
}
static bool cut_set(const struct value *v, size_t subject, int sides, struct value *ret, struct err *e)
{
    if (!want_strings(v, 2, e))
        return false;
    sv set = v[!subject].s;
    *ret = value_string(set.n ? cut(v[subject].s, set, sides) : v[subject].s);
    return true;
}
TMPL_FN(fn_Trim)
{
    return cut_set(v, 0, LEFT | RIGHT, ret, e);
}
TMPL_FN(fn_TrimLeft)
{
    return cut_set(v, 0, LEFT, ret, e);
}
TMPL_FN(fn_TrimRight)
{
    return cut_set(v, 0, RIGHT, ret, e);
}
TMPL_FN(fn_trimAll)
{
    return cut_set(v, 1, LEFT | RIGHT, ret, e);
}
static bool cut_affix(const struct value *v, size_t subject, bool prefix, struct value *ret, struct err *e)
{
    if (!want_strings(v, 2, e))
        return false;
    sv s = v[subject].s, affix = v[!subject].s;
    if (prefix && sv_starts(s, affix))
        s = sv_from(s, affix.n);
    else if (!prefix && sv_ends(s, affix))
        s.n -= affix.n;
    *ret = value_string(s);
    return true;
}
TMPL_FN(fn_TrimPrefix)
{
    return cut_affix(v, 0, true, ret, e);
}
TMPL_FN(fn_TrimSuffix)
{
    return cut_affix(v, 0, false, ret, e);
}
TMPL_FN(fn_trimPrefix)
{
    return cut_affix(v, 1, true, ret, e);
}
TMPL_FN(fn_trimSuffix)
{
    return cut_affix(v, 1, false, ret, e);
}
TMPL_FN(fn_contains)
{
    if (!want_strings(v, 2, e))
        return false;
    *ret = value_bool(sv_find(v[1].s, v[0].s) != SV_NPOS);
    return true;
}
TMPL_FN(fn_hasPrefix)
{
    if (!want_strings(v, 2, e))
        return false;
    *ret = value_bool(sv_starts(v[1].s, v[0].s));
    return true;
}
TMPL_FN(fn_hasSuffix)
{
    if (!want_strings(v, 2, e))
        return false;
    *ret = value_bool(sv_ends(v[1].s, v[0].s));
    return true;
}

/* The first `most` (-1: all) occurrences; an empty `old` matches in front of every rune and at the end. */
static bool replace(const struct template_env *env, sv s, sv old, sv with, int64_t most, struct value *ret, struct err *e)
{
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    for (int64_t done = 0; most < 0 || done < most; done++) {
        if (!old.n) {
            if (done && !s.n)
                break;
            if (done) {
                uint32_t r;
                bool valid;
                buf_sv(&out, rune_take(&s, &r, &valid));
            }
            buf_sv(&out, with);
            continue;
        }
        size_t at = sv_find(s, old);
        if (at == SV_NPOS)
            break;
        buf_sv(&out, sv_sub(s, 0, at));
        buf_sv(&out, with);
        s = sv_from(s, at + old.n);
    }
    buf_sv(&out, s);
    return value_give(env, &out, ret, e);
}
TMPL_FN(fn_replace)
{
    return want_strings(v, 3, e) && replace(env, v[2].s, v[0].s, v[1].s, -1, ret, e);
}
TMPL_FN(fn_Replace)
{
    return want_strings(v, 3, e) && want_int(&v[3], e) && replace(env, v[0].s, v[1].s, v[2].s, v[3].i, ret, e);
}
TMPL_FN(fn_repeat)
{
    if (!want_int(&v[0], e) || !want_string(&v[1], e))
        return false;
    if (v[0].i < 0)
        return err_set(e, ERR_INVALID, "strings: negative Repeat count");
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    for (int64_t i = 0; i < v[0].i && v[1].s.n && !out.failed; i++)
        buf_sv(&out, v[1].s);
    return value_give(env, &out, ret, e);
}
TMPL_FN(fn_trunc)
{
    if (!want_int(&v[0], e) || !want_string(&v[1], e))
        return false;
    sv s = v[1].s;
    int64_t k = v[0].i, len = (int64_t)s.n;
    *ret = value_string(k < 0 ? (-len < k ? sv_from(s, (size_t)(len + k)) : s) : sv_sub(s, 0, (size_t)k));
    return true;
}
TMPL_FN(fn_substr)
{
    if (!want_int(&v[0], e) || !want_int(&v[1], e) || !want_string(&v[2], e))
        return false;
    sv s = v[2].s;
    int64_t from = v[0].i, to = v[1].i, len = (int64_t)s.n;
    if (from < 0)
        from = 0;
    else if (to < 0 || to > len)
        to = len;
    if (to < 0 || to > len)
        return err_set(e, ERR_INVALID, "runtime error: slice bounds out of range [:%lld] with length %zu", (long long)to,
                       s.n);
    if (from > to)
        return err_set(e, ERR_INVALID, "runtime error: slice bounds out of range [%lld:%lld]", (long long)from,
                       (long long)to);
    *ret = value_string(sv_sub(s, (size_t)from, (size_t)(to - from)));
    return true;
}
static bool indent(const struct template_env *env, const struct value *v, bool newline, struct value *ret, struct err *e)
{
    if (!want_int(&v[0], e) || !want_string(&v[1], e))
        return false;
    if (v[0].i < 0 || v[0].i > 1000)
        return err_set(e, ERR_INVALID, "indent of %lld is out of range", (long long)v[0].i);
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    if (newline)
        buf_char(&out, '\n');
    bool at_start = true;
    for (size_t i = 0; i <= v[1].s.n; i++) {
        if (at_start)
            buf_fmt(&out, "%*s", (int)v[0].i, "");
        at_start = i < v[1].s.n && v[1].s.p[i] == '\n';
        if (i < v[1].s.n)
            buf_char(&out, v[1].s.p[i]);
    }
    return value_give(env, &out, ret, e);
}
TMPL_FN(fn_indent)
{
    return indent(env, v, false, ret, e);
}
TMPL_FN(fn_nindent)
{
    return indent(env, v, true, ret, e);
}

static bool align(const struct template_env *env, const struct value *v, bool left, struct value *ret, struct err *e)
{
    if (!want_int(&v[0], e) || !want_string(&v[1], e))
        return false;
    int64_t want = v[0].i, runes = 0;
    sv s = v[1].s;
    for (size_t i = 0; i < s.n; i++)
        runes += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    if (want < 0 || want > (int64_t)TMPL_MAX_VALUE) {
        *ret = value_string(s);
        return want < 0 ? true : err_set(e, ERR_INVALID, "result exceeds %d bytes", TMPL_MAX_VALUE);
    }
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    if (!left)
        for (int64_t i = runes; i < want; i++)
            buf_char(&out, ' ');
    for (int64_t i = 0; s.n; i++) {
        uint32_t r;
        bool valid;
        sv rune = rune_take(&s, &r, &valid);
        if (left ? i < want : i >= runes - want)
            buf_sv(&out, rune);
    }
    if (left)
        for (int64_t i = runes; i < want; i++)
            buf_char(&out, ' ');
    return value_give(env, &out, ret, e);
}
TMPL_FN(fn_alignLeft)
{
    return align(env, v, true, ret, e);
}
TMPL_FN(fn_alignRight)
{
    return align(env, v, false, ret, e);
}

/* ---- title, print, printf ---- */

/* Upper case behind everything that is neither a letter, a digit nor an underscore. */
TMPL_FN(fn_title)
{
    if (!want_string(&v[0], e))
        return false;
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    bool start = true;
    for (sv s = v[0].s; s.n;) {
        uint32_t r;
        bool valid;
        sv as_is = rune_take(&s, &r, &valid);
        if (!valid)
            buf_sv(&out, SV("\xef\xbf\xbd"));
        else if (start)
            rune_put(&out, (uint32_t)map_rune((wint_t)r, true));
        else
            buf_sv(&out, as_is);
        bool word = r == '_' || (r >= '0' && r <= '9') || (r < 0x80 && (r | 32) >= 'a' && (r | 32) <= 'z');
        start = !(word || (r >= 0x80 && !is_space_rune(r)));
    }
    return value_give(env, &out, ret, e);
}

static bool print(const struct template_env *env, const struct value *v, size_t n, bool line, struct value *ret,
                  struct err *e)
{
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    for (size_t i = 0; i < n; i++) {
        if (i && (line || (v[i].kind != VALUE_STRING && v[i - 1].kind != VALUE_STRING)))
            buf_char(&out, ' ');
        value_put(&v[i], &out);
    }
    if (line)
        buf_char(&out, '\n');
    return value_give(env, &out, ret, e);
}
TMPL_FN(fn_print)
{
    return print(env, v, n, false, ret, e);
}
TMPL_FN(fn_println)
{
    return print(env, v, n, true, ret, e);
}

struct verb {
    bool minus, plus, zero, space, has_precision;
    size_t width, precision;
    char letter;
};

static size_t take_size(sv *s)
{
    size_t v = 0;
    for (; s->n && s->p[0] >= '0' && s->p[0] <= '9'; *s = sv_from(*s, 1))
        v = MIN(v * 10 + (size_t)(s->p[0] - '0'), (size_t)10000);
    return v;
}

/* Behind the percent sign. */
static struct verb take_verb(sv *s)
{
    struct verb f = {0};
    for (; s->n && strchr("-+0 ", s->p[0]); *s = sv_from(*s, 1)) {
        f.minus |= s->p[0] == '-';
        f.plus |= s->p[0] == '+';
        f.zero |= s->p[0] == '0';
        f.space |= s->p[0] == ' ';
    }
    f.width = take_size(s);
    if (s->n && s->p[0] == '.') {
        *s = sv_from(*s, 1);
        f.has_precision = true;
        f.precision = take_size(s);
    }
    if (s->n) {
        f.letter = s->p[0];
        *s = sv_from(*s, 1);
    }
    return f;
}

bool printf_format_ok(sv format)
{
    while (format.n) {
        size_t at = sv_find_char(format, '%');
        if (at == SV_NPOS)
            return true;
        format = sv_from(format, at + 1);
        struct verb f = take_verb(&format);
        bool number = f.letter == 'd' || f.letter == 'f', flags = f.plus || f.space || f.zero;
        if (!f.letter || !strchr("svdft%", f.letter) || (flags && !number) ||
            (f.has_precision && f.letter != 's' && f.letter != 'f') || (f.letter == '%' && f.width))
            return false;
    }
    return true;
}

/* The value as the verb prints it, without padding; false when the verb is not for its type. */
static bool put_verb(const struct verb *f, const struct value *v, struct buf *out)
{
    const char *sign = f->plus ? "+" : f->space ? " " : "";
    switch (f->letter) {
    case 's':
    case 'v': {
        if (v->kind != VALUE_STRING) {
            value_put(v, out);
            return f->letter == 'v' || v->kind == VALUE_TIME;
        }
        size_t n = 0;
        for (sv s = v->s; s.n && (!f->has_precision || n < f->precision); n++) {
            uint32_t r;
            bool valid;
            buf_sv(out, rune_take(&s, &r, &valid));
        }
        return true;
    }
    case 'd':
        buf_fmt(out, "%s%lld", v->i >= 0 ? sign : "", (long long)v->i);
        return v->kind == VALUE_INT;
    case 'f':
        if (!isfinite(v->f))
            value_put(v, out);
        else
            buf_fmt(out, "%s%.*f", v->f >= 0 ? sign : "", f->has_precision ? (int)MIN(f->precision, (size_t)100) : 6, v->f);
        return v->kind == VALUE_FLOAT;
    default:
        value_put(v, out);
        return v->kind == VALUE_BOOL;
    }
}

static void put_padded(const struct verb *f, sv text, bool number, struct buf *out)
{
    size_t runes = 0;
    for (size_t i = 0; i < text.n; i++)
        runes += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    size_t pad = f->width > runes ? f->width - runes : 0;
    bool zeros = f->zero && !f->minus && number;
    if (zeros && text.n && strchr("+- ", text.p[0])) {
        buf_char(out, text.p[0]);
        text = sv_from(text, 1);
    }
    for (size_t i = 0; i < pad && !f->minus; i++)
        buf_char(out, zeros ? '0' : ' ');
    buf_sv(out, text);
    for (size_t i = 0; i < pad && f->minus; i++)
        buf_char(out, ' ');
}

/* Go's complaints are part of the text: %!d(string=x), %!d(MISSING), %!(EXTRA int=1). */
static void put_misfit(const char *what, const struct value *v, struct buf *out)
{
    buf_fmt(out, "%%!%s%s=", what, value_type_name(v));
    value_put(v, out);
}

TMPL_FN(fn_printf)
{
    if (!want_string(&v[0], e))
        return false;
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    size_t next = 1;
    for (sv s = v[0].s; s.n;) {
        size_t at = sv_find_char(s, '%');
        buf_sv(&out, sv_sub(s, 0, at));
        if (at == SV_NPOS)
            break;
        s = sv_from(s, at + 1);
        struct verb f = take_verb(&s);
        char what[] = {f.letter, '(', 0};
        SCOPED(buf_done) struct buf one = buf_capped(TMPL_MAX_VALUE);
        if (f.letter == '%')
            buf_char(&out, '%');
        else if (next >= n)
            buf_fmt(&out, "%%!%c(MISSING)", f.letter);
        else if (put_verb(&f, &v[next++], &one))
            put_padded(&f, buf_view(&one), f.letter == 'd' || f.letter == 'f', &out);
        else {
            put_misfit(what, &v[next - 1], &out);
            buf_char(&out, ')');
        }
    }
    for (size_t i = next; i < n; i++) {
        if (i == next)
            put_misfit("(EXTRA ", &v[i], &out);
        else {
            buf_fmt(&out, ", %s=", value_type_name(&v[i]));
            value_put(&v[i], &out);
        }
        if (i + 1 == n)
            buf_char(&out, ')');
    }
    return value_give(env, &out, ret, e);
}

/* ---- patterns and encodings ---- */

void template_regexes_done(struct template_regexes *c)
{
    for (size_t i = 0; i < c->n; i++) {
        regex_free(c->re[i]);
        mem_free((void *)(uintptr_t)c->pattern[i].p);
    }
    c->n = 0;
}

/* The compiled pattern; *owned when the cache is full and the caller must free it. */
static bool regex_get(const struct template_env *env, sv pattern, struct regex **ret, bool *owned, struct err *e)
{
    struct template_regexes *c = env->regexes;
    *owned = false;
    for (size_t i = 0; i < c->n; i++)
        if (sv_eq(c->pattern[i], pattern)) {
            *ret = c->re[i];
            return true;
        }
    struct err cause = {0};
    if (!regex_compile(pattern, 0, ret, &cause))
        return err_set(e, ERR_INVALID, "%s", cause.msg);
    char *copy = c->n < ARRAY_LEN(c->re) ? sv_dup(pattern) : NULL;
    *owned = !copy;
    if (copy) {
        c->re[c->n] = *ret;
        c->pattern[c->n++] = sv_make(copy, pattern.n);
    }
    return true;
}
static bool regex_replace(const struct template_env *env, const struct value *v, bool literal, struct value *ret,
                          struct err *e)
{
    struct regex *re;
    bool owned;
    if (!want_strings(v, 3, e) || !regex_get(env, v[0].s, &re, &owned, e))
        return false;
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    regex_replace_all(re, v[1].s, v[2].s, literal, &out);
    if (owned)
        regex_free(re);
    return value_give(env, &out, ret, e);
}
TMPL_FN(fn_regexReplaceAll)
{
    return regex_replace(env, v, false, ret, e);
}
TMPL_FN(fn_regexReplaceAllLiteral)
{
    return regex_replace(env, v, true, ret, e);
}
TMPL_FN(fn_count)
{
    struct regex *re;
    bool owned;
    if (!want_strings(v, 2, e) || !regex_get(env, v[0].s, &re, &owned, e))
        return false;
    /* each match becomes one NUL, everything else is known: count what was replaced */
    SCOPED(buf_done) struct buf with = {0}, without = {0};
    regex_replace_all(re, v[1].s, SV("\0"), true, &with);
    regex_replace_all(re, v[1].s, SV_NULL, true, &without);
    if (owned)
        regex_free(re);
    if (!buf_ok(&with, e) || !buf_ok(&without, e))
        return false;
    *ret = value_int((int64_t)(with.n - without.n));
    return true;
}
TMPL_FN(fn_urlencode)
{
    if (!want_string(&v[0], e))
        return false;
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    for (size_t i = 0; i < v[0].s.n; i++) {
        unsigned char c = (unsigned char)v[0].s.p[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c && strchr("-_.~", c));
        if (plain || c == ' ')
            buf_char(&out, c == ' ' ? '+' : (char)c);
        else
            buf_fmt(&out, "%%%02X", c);
    }
    return value_give(env, &out, ret, e);
}
TMPL_FN(fn_urldecode)
{
    if (!want_string(&v[0], e))
        return false;
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    sv s = v[0].s;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%') {
            buf_char(&out, s.p[i] == '+' ? ' ' : s.p[i]);
            continue;
        }
        if (i + 2 >= s.n || hex_digit(s.p[i + 1]) < 0 || hex_digit(s.p[i + 2]) < 0) {
            sv bad = sv_sub(s, i, 3);
            return err_set(e, ERR_INVALID, "invalid URL escape \"" SV_FMT "\"", SV_ARG(bad));
        }
        buf_char(&out, (char)(hex_digit(s.p[i + 1]) << 4 | hex_digit(s.p[i + 2])));
        i += 2;
    }
    return value_give(env, &out, ret, e);
}
TMPL_FN(fn_b64enc)
{
    if (!want_string(&v[0], e))
        return false;
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    base64_put(&out, v[0].s);
    return value_give(env, &out, ret, e);
}

/* template_run.c - running a template: values, functions, errors as Go words them.
 * (1) A value's type matters as in Go: all labels are strings, functions take strings or numbers and say so.
 * (2) Functions give exactly what Go's would, or they are not in the table (then the query is refused, see template.c).
 * (3) No value grows beyond max_value bytes. */
#include "logql/template_ast.h"
#include "base/json_out.h"
#include "logql/units.h"
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <wctype.h>

static const size_t max_value = 1 << 20;

/* ---- values ---- */

static struct value of_string(sv s)
{
    return (struct value){.kind = VALUE_STRING, .s = s};
}

static struct value of_int(int64_t i)
{
    return (struct value){.kind = VALUE_INT, .i = i};
}

static struct value of_float(double f)
{
    return (struct value){.kind = VALUE_FLOAT, .f = f};
}

static struct value of_bool(bool b)
{
    return (struct value){.kind = VALUE_BOOL, .i = b};
}

static const char *type_name(const struct value *v)
{
    static const char *const names[] = {"nil", "string", "int", "float64", "bool"};
    return names[v->kind];
}

static bool truth(const struct value *v)
{
    switch (v->kind) {
    case VALUE_NIL:
        return false;
    case VALUE_STRING:
        return v->s.n > 0;
    case VALUE_FLOAT:
        return v->f != 0;
    default:
        return v->i != 0;
    }
}

/* Go's %v of a float: the shortest text, exponents below 1e-4 and from 1e21. */
static void put_float(double f, struct buf *out)
{
    char text[64];
    int digits = 1;
    if (isnan(f) || isinf(f)) {
        buf_sv(out, isnan(f) ? SV("NaN") : f > 0 ? SV("+Inf") : SV("-Inf"));
        return;
    }
    for (; digits < 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, f);
        if (strtod(text, NULL) == f)
            break;
    }
    snprintf(text, sizeof text, "%.*e", digits - 1, f);
    int exponent = atoi(strchr(text, 'e') + 1);
    if (f != 0 && (exponent < -4 || exponent >= 21))
        buf_sv(out, sv_of(text)); /* C prints at least two exponent digits, as Go does */
    else
        buf_fmt(out, "%.*f", MAX(digits - 1 - exponent, 0), f);
}

static void put_value(const struct value *v, struct buf *out)
{
    switch (v->kind) {
    case VALUE_NIL:
        buf_sv(out, SV("<no value>"));
        break;
    case VALUE_STRING:
        buf_sv(out, v->s);
        break;
    case VALUE_INT:
        buf_i64(out, v->i);
        break;
    case VALUE_FLOAT:
        put_float(v->f, out);
        break;
    case VALUE_BOOL:
        buf_sv(out, v->i ? SV("true") : SV("false"));
        break;
    }
}

/* Ends a function that built its result in `out`. */
static bool give(const struct template_env *env, struct buf *out, struct value *ret, struct err *e)
{
    if (!buf_ok(out, e))
        return out->failed == ERR_LIMIT ? err_set(e, ERR_INVALID, "result exceeds %zu bytes", max_value) : false;
    *ret = of_string(arena_sv(env->a, buf_view(out)));
    return ret->s.p ? true : arena_err(env->a, e, "max_query_memory");
}

static bool want_string(const struct value *v, struct err *e)
{
    return v->kind == VALUE_STRING
               ? true
               : err_set(e, ERR_INVALID, "wrong type for value; expected string; got %s", type_name(v));
}

static bool want_int(const struct value *v, struct err *e)
{
    return v->kind == VALUE_INT ? true
                                : err_set(e, ERR_INVALID, "wrong type for value; expected int; got %s", type_name(v));
}

static bool want_strings(const struct value *v, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!want_string(&v[i], e))
            return false;
    return true;
}

#define FN(id)                                                                                                    \
    static bool id(const struct template_env *env UNUSED, const struct value *v UNUSED, size_t n UNUSED,          \
                   struct value *ret, struct err *e UNUSED)

/* ---- runes ---- */

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

/* One rune off the front; an invalid byte stands for itself and gives *valid false. */
static sv take_rune(sv *s, uint32_t *rune, bool *valid)
{
    const unsigned char *p = (const unsigned char *)s->p;
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
    *valid = n && n <= s->n && sv_is_utf8(sv_sub(*s, 0, n));
    if (!*valid)
        n = 1;
    static const unsigned char mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    *rune = p[0] & mask[n];
    for (size_t i = 1; i < n; i++)
        *rune = *rune << 6 | (p[i] & 0x3f);
    sv taken = sv_sub(*s, 0, n);
    *s = sv_from(*s, n);
    return taken;
}

static void put_rune(struct buf *out, uint32_t r)
{
    if (r < 0x80) {
        buf_char(out, (char)r);
        return;
    }
    int more = r < 0x800 ? 1 : r < 0x10000 ? 2 : 3;
    static const unsigned char head[] = {0, 0xc0, 0xe0, 0xf0};
    buf_char(out, (char)(head[more] | r >> 6 * more));
    while (more--)
        buf_char(out, (char)(0x80 | (r >> 6 * more & 0x3f)));
}

static bool change_case(const struct template_env *env, sv s, bool upper, struct value *ret, struct err *e)
{
    SCOPED(buf_done) struct buf out = buf_capped(max_value);
    while (s.n) {
        uint32_t r;
        bool valid;
        sv as_is = take_rune(&s, &r, &valid);
        if (valid)
            put_rune(&out, (uint32_t)map_rune((wint_t)r, upper));
        else
            buf_sv(&out, as_is.n ? SV("\xef\xbf\xbd") : as_is);
    }
    return give(env, &out, ret, e);
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
        sv rest = s, rune = take_rune(&rest, &r, &valid);
        if (!valid || !(set.p ? sv_find(set, rune) != SV_NPOS : is_space_rune(r)))
            break;
        s = rest;
    }
    while ((sides & RIGHT) && s.n) {
        uint32_t r;
        bool valid;
        size_t at = last_rune_at(s);
        sv rest = sv_from(s, at), rune = take_rune(&rest, &r, &valid);
        if (!valid || rest.n || !(set.p ? sv_find(set, rune) != SV_NPOS : is_space_rune(r)))
            break;
        s.n = at;
    }
    return s;
}

/* ---- text functions ---- */

FN(fn_lower)
{
    return want_string(&v[0], e) && change_case(env, v[0].s, false, ret, e);
}
FN(fn_upper)
{
    return want_string(&v[0], e) && change_case(env, v[0].s, true, ret, e);
}
FN(fn_trim)
{
    if (!want_string(&v[0], e))
        return false;
    *ret = of_string(cut(v[0].s, SV_NULL, LEFT | RIGHT));
    return true;
}
static bool cut_set(const struct value *v, size_t subject, int sides, struct value *ret, struct err *e)
{
    if (!want_strings(v, 2, e))
        return false;
    sv set = v[!subject].s;
    *ret = of_string(set.n ? cut(v[subject].s, set, sides) : v[subject].s);
    return true;
}
FN(fn_Trim)
{
    return cut_set(v, 0, LEFT | RIGHT, ret, e);
}
FN(fn_TrimLeft)
{
    return cut_set(v, 0, LEFT, ret, e);
}
FN(fn_TrimRight)
{
    return cut_set(v, 0, RIGHT, ret, e);
}
FN(fn_trimAll)
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
    *ret = of_string(s);
    return true;
}
FN(fn_TrimPrefix)
{
    return cut_affix(v, 0, true, ret, e);
}
FN(fn_TrimSuffix)
{
    return cut_affix(v, 0, false, ret, e);
}
FN(fn_trimPrefix)
{
    return cut_affix(v, 1, true, ret, e);
}
FN(fn_trimSuffix)
{
    return cut_affix(v, 1, false, ret, e);
}
FN(fn_contains)
{
    if (!want_strings(v, 2, e))
        return false;
    *ret = of_bool(sv_find(v[1].s, v[0].s) != SV_NPOS);
    return true;
}
FN(fn_hasPrefix)
{
    if (!want_strings(v, 2, e))
        return false;
    *ret = of_bool(sv_starts(v[1].s, v[0].s));
    return true;
}
FN(fn_hasSuffix)
{
    if (!want_strings(v, 2, e))
        return false;
    *ret = of_bool(sv_ends(v[1].s, v[0].s));
    return true;
}

/* The first `most` (-1: all) occurrences; an empty `old` matches in front of every rune and at the end. */
static bool replace(const struct template_env *env, sv s, sv old, sv with, int64_t most, struct value *ret, struct err *e)
{
    SCOPED(buf_done) struct buf out = buf_capped(max_value);
    for (int64_t done = 0; most < 0 || done < most; done++) {
        if (!old.n) {
            if (done && !s.n)
                break;
            if (done) {
                uint32_t r;
                bool valid;
                buf_sv(&out, take_rune(&s, &r, &valid));
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
    return give(env, &out, ret, e);
}
FN(fn_replace)
{
    return want_strings(v, 3, e) && replace(env, v[2].s, v[0].s, v[1].s, -1, ret, e);
}
FN(fn_Replace)
{
    return want_strings(v, 3, e) && want_int(&v[3], e) && replace(env, v[0].s, v[1].s, v[2].s, v[3].i, ret, e);
}
FN(fn_repeat)
{
    if (!want_int(&v[0], e) || !want_string(&v[1], e))
        return false;
    if (v[0].i < 0)
        return err_set(e, ERR_INVALID, "strings: negative Repeat count");
    SCOPED(buf_done) struct buf out = buf_capped(max_value);
    for (int64_t i = 0; i < v[0].i && v[1].s.n && !out.failed; i++)
        buf_sv(&out, v[1].s);
    return give(env, &out, ret, e);
}
FN(fn_trunc)
{
    if (!want_int(&v[0], e) || !want_string(&v[1], e))
        return false;
    sv s = v[1].s;
    int64_t k = v[0].i, len = (int64_t)s.n;
    *ret = of_string(k < 0 ? (-len < k ? sv_from(s, (size_t)(len + k)) : s) : sv_sub(s, 0, (size_t)k));
    return true;
}
FN(fn_substr)
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
    *ret = of_string(sv_sub(s, (size_t)from, (size_t)(to - from)));
    return true;
}
static bool indent(const struct template_env *env, const struct value *v, bool newline, struct value *ret, struct err *e)
{
    if (!want_int(&v[0], e) || !want_string(&v[1], e))
        return false;
    if (v[0].i < 0 || v[0].i > 1000)
        return err_set(e, ERR_INVALID, "indent of %lld is out of range", (long long)v[0].i);
    SCOPED(buf_done) struct buf out = buf_capped(max_value);
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
    return give(env, &out, ret, e);
}
FN(fn_indent)
{
    return indent(env, v, false, ret, e);
}
FN(fn_nindent)
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
    if (want < 0 || want > (int64_t)max_value) {
        *ret = of_string(s);
        return want < 0 ? true : err_set(e, ERR_INVALID, "result exceeds %zu bytes", max_value);
    }
    SCOPED(buf_done) struct buf out = buf_capped(max_value);
    if (!left)
        for (int64_t i = runes; i < want; i++)
            buf_char(&out, ' ');
    for (int64_t i = 0; s.n; i++) {
        uint32_t r;
        bool valid;
        sv rune = take_rune(&s, &r, &valid);
        if (left ? i < want : i >= runes - want)
            buf_sv(&out, rune);
    }
    if (left)
        for (int64_t i = runes; i < want; i++)
            buf_char(&out, ' ');
    return give(env, &out, ret, e);
}
FN(fn_alignLeft)
{
    return align(env, v, true, ret, e);
}
FN(fn_alignRight)
{
    return align(env, v, false, ret, e);
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
    SCOPED(buf_done) struct buf out = buf_capped(max_value);
    regex_replace_all(re, v[1].s, v[2].s, literal, &out);
    if (owned)
        regex_free(re);
    return give(env, &out, ret, e);
}
FN(fn_regexReplaceAll)
{
    return regex_replace(env, v, false, ret, e);
}
FN(fn_regexReplaceAllLiteral)
{
    return regex_replace(env, v, true, ret, e);
}
FN(fn_count)
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
    *ret = of_int((int64_t)(with.n - without.n));
    return true;
}
FN(fn_urlencode)
{
    if (!want_string(&v[0], e))
        return false;
    SCOPED(buf_done) struct buf out = buf_capped(max_value);
    for (size_t i = 0; i < v[0].s.n; i++) {
        unsigned char c = (unsigned char)v[0].s.p[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c && strchr("-_.~", c));
        if (plain || c == ' ')
            buf_char(&out, c == ' ' ? '+' : (char)c);
        else
            buf_fmt(&out, "%%%02X", c);
    }
    return give(env, &out, ret, e);
}
static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}
FN(fn_urldecode)
{
    if (!want_string(&v[0], e))
        return false;
    SCOPED(buf_done) struct buf out = buf_capped(max_value);
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
    return give(env, &out, ret, e);
}
FN(fn_b64enc)
{
    if (!want_string(&v[0], e))
        return false;
    SCOPED(buf_done) struct buf out = buf_capped(max_value);
    base64_put(&out, v[0].s);
    return give(env, &out, ret, e);
}

/* ---- numbers ---- */

/* strconv.ParseInt with base 0, "12.00" read as "12"; 0 when it is no number. */
static int64_t string_to_int(sv s)
{
    size_t dot = sv_find_char(s, '.');
    if (dot != SV_NPOS) {
        for (size_t i = dot + 1; i < s.n; i++)
            if (s.p[i] != '0')
                return 0;
        s = dot + 1 < s.n ? sv_sub(s, 0, dot) : s;
    }
    char text[40], *end;
    size_t sign = s.n && (s.p[0] == '-' || s.p[0] == '+');
    if (s.n <= sign || s.n >= sizeof text || hex_digit(s.p[sign]) < 0 || s.p[sign] > '9')
        return 0;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    int base = 0;
    if (text[sign] == '0' && ((text[sign + 1] | 32) == 'o' || (text[sign + 1] | 32) == 'b')) {
        base = (text[sign + 1] | 32) == 'o' ? 8 : 2;
        memmove(text + sign, text + sign + 2, s.n - sign - 1);
        if (hex_digit(text[sign]) < 0)
            return 0;
    }
    errno = 0;
    long long v = strtoll(text, &end, base);
    return *end || errno ? 0 : v;
}

static int64_t to_int(const struct value *v)
{
    switch (v->kind) {
    case VALUE_STRING:
        return string_to_int(v->s);
    case VALUE_FLOAT:
        return v->f >= -9.2e18 && v->f <= 9.2e18 ? (int64_t)v->f : 0;
    default:
        return v->i;
    }
}

static double to_float(const struct value *v)
{
    double f;
    switch (v->kind) {
    case VALUE_STRING:
        return float_go(v->s, &f, NULL) ? f : 0;
    case VALUE_FLOAT:
        return v->f;
    default:
        return (double)v->i;
    }
}

FN(fn_int)
{
    *ret = of_int(to_int(&v[0]));
    return true;
}
FN(fn_float64)
{
    *ret = of_float(to_float(&v[0]));
    return true;
}
FN(fn_add)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (uint64_t)to_int(&v[i]);
    *ret = of_int((int64_t)sum);
    return true;
}
FN(fn_sub)
{
    *ret = of_int((int64_t)((uint64_t)to_int(&v[0]) - (uint64_t)to_int(&v[1])));
    return true;
}
FN(fn_mul)
{
    uint64_t product = (uint64_t)to_int(&v[0]);
    for (size_t i = 1; i < n; i++)
        product *= (uint64_t)to_int(&v[i]);
    *ret = of_int((int64_t)product);
    return true;
}
static bool divide(const struct value *v, bool remainder, struct value *ret, struct err *e)
{
    int64_t a = to_int(&v[0]), b = to_int(&v[1]);
    if (!b)
        return err_set(e, ERR_INVALID, "runtime error: integer divide by zero");
    if (b == -1) /* the one quotient that overflows wraps */
        *ret = of_int(remainder ? 0 : (int64_t)(0 - (uint64_t)a));
    else
        *ret = of_int(remainder ? a % b : a / b);
    return true;
}
FN(fn_div)
{
    return divide(v, false, ret, e);
}
FN(fn_mod)
{
    return divide(v, true, ret, e);
}
FN(fn_max)
{
    *ret = of_int(to_int(&v[0]));
    for (size_t i = 1; i < n; i++)
        ret->i = MAX(ret->i, to_int(&v[i]));
    return true;
}
FN(fn_min)
{
    *ret = of_int(to_int(&v[0]));
    for (size_t i = 1; i < n; i++)
        ret->i = MIN(ret->i, to_int(&v[i]));
    return true;
}
FN(fn_ceil)
{
    *ret = of_float(ceil(to_float(&v[0])));
    return true;
}
FN(fn_floor)
{
    *ret = of_float(floor(to_float(&v[0])));
    return true;
}
FN(fn_bytes)
{
    struct err cause = {0};
    double size = 0;
    if (!want_string(&v[0], e))
        return false;
    if (!bytes_humanised(v[0].s, &size, &cause))
        return err_set(e, ERR_INVALID, "%s", cause.msg);
    *ret = of_float(size);
    return true;
}
FN(fn_duration)
{
    struct err cause = {0};
    int64_t ns = 0;
    if (!want_string(&v[0], e))
        return false;
    if (!duration_go(v[0].s, &ns, &cause))
        return err_set(e, ERR_INVALID, "%s", cause.msg);
    *ret = of_float((double)ns / 1e9);
    return true;
}

/* ---- logic ---- */

static bool equal(const struct value *a, const struct value *b, bool *ret, struct err *e)
{
    if (a->kind != b->kind)
        return err_set(e, ERR_INVALID, "incompatible types for comparison");
    *ret = a->kind == VALUE_STRING  ? sv_eq(a->s, b->s)
           : a->kind == VALUE_FLOAT ? a->f == b->f
                                    : a->i == b->i;
    return true;
}
FN(fn_eq)
{
    bool yes = false;
    for (size_t i = 1; i < n && !yes; i++)
        if (!equal(&v[0], &v[i], &yes, e))
            return false;
    *ret = of_bool(yes);
    return true;
}
FN(fn_ne)
{
    bool yes = false;
    if (!equal(&v[0], &v[1], &yes, e))
        return false;
    *ret = of_bool(!yes);
    return true;
}
static bool order(const struct value *v, int *ret, struct err *e)
{
    if (v[0].kind != v[1].kind)
        return err_set(e, ERR_INVALID, "incompatible types for comparison");
    if (v[0].kind == VALUE_STRING)
        *ret = sv_cmp(v[0].s, v[1].s);
    else if (v[0].kind == VALUE_FLOAT)
        *ret = (v[0].f > v[1].f) - (v[0].f < v[1].f);
    else if (v[0].kind == VALUE_INT)
        *ret = (v[0].i > v[1].i) - (v[0].i < v[1].i);
    else
        return err_set(e, ERR_INVALID, "invalid type for comparison");
    return true;
}
FN(fn_lt)
{
    int c;
    if (!order(v, &c, e))
        return false;
    *ret = of_bool(c < 0);
    return true;
}
FN(fn_le)
{
    int c;
    if (!order(v, &c, e))
        return false;
    *ret = of_bool(c <= 0);
    return true;
}
FN(fn_gt)
{
    int c;
    if (!order(v, &c, e))
        return false;
    *ret = of_bool(c > 0);
    return true;
}
FN(fn_ge)
{
    int c;
    if (!order(v, &c, e))
        return false;
    *ret = of_bool(c >= 0);
    return true;
}
FN(fn_and)
{
    size_t i = 0;
    while (i + 1 < n && truth(&v[i]))
        i++;
    *ret = v[i];
    return true;
}
FN(fn_or)
{
    size_t i = 0;
    while (i + 1 < n && !truth(&v[i]))
        i++;
    *ret = v[i];
    return true;
}
FN(fn_not)
{
    *ret = of_bool(!truth(&v[0]));
    return true;
}
FN(fn_len)
{
    if (v[0].kind != VALUE_STRING)
        return err_set(e, ERR_INVALID, "len of type %s", type_name(&v[0]));
    *ret = of_int((int64_t)v[0].s.n);
    return true;
}
FN(fn_default)
{
    *ret = truth(&v[1]) ? v[1] : v[0];
    return true;
}
FN(fn_line)
{
    *ret = of_string(env->line);
    return true;
}

enum { MAX_ARGS = 32 };

const struct tmpl_function *tmpl_function_find(sv name, bool *known)
{
    static const struct tmpl_function table[] = {
        {"__line__", 0, 0, fn_line},
        {"ToLower", 1, 1, fn_lower},
        {"ToUpper", 1, 1, fn_upper},
        {"lower", 1, 1, fn_lower},
        {"upper", 1, 1, fn_upper},
        {"TrimSpace", 1, 1, fn_trim},
        {"trim", 1, 1, fn_trim},
        {"Trim", 2, 2, fn_Trim},
        {"TrimLeft", 2, 2, fn_TrimLeft},
        {"TrimRight", 2, 2, fn_TrimRight},
        {"trimAll", 2, 2, fn_trimAll},
        {"TrimPrefix", 2, 2, fn_TrimPrefix},
        {"TrimSuffix", 2, 2, fn_TrimSuffix},
        {"trimPrefix", 2, 2, fn_trimPrefix},
        {"trimSuffix", 2, 2, fn_trimSuffix},
        {"Replace", 4, 4, fn_Replace},
        {"replace", 3, 3, fn_replace},
        {"contains", 2, 2, fn_contains},
        {"hasPrefix", 2, 2, fn_hasPrefix},
        {"hasSuffix", 2, 2, fn_hasSuffix},
        {"repeat", 2, 2, fn_repeat},
        {"trunc", 2, 2, fn_trunc},
        {"substr", 3, 3, fn_substr},
        {"indent", 2, 2, fn_indent},
        {"nindent", 2, 2, fn_nindent},
        {"alignLeft", 2, 2, fn_alignLeft},
        {"alignRight", 2, 2, fn_alignRight},
        {"regexReplaceAll", 3, 3, fn_regexReplaceAll},
        {"regexReplaceAllLiteral", 3, 3, fn_regexReplaceAllLiteral},
        {"count", 2, 2, fn_count},
        {"urlencode", 1, 1, fn_urlencode},
        {"urldecode", 1, 1, fn_urldecode},
        {"b64enc", 1, 1, fn_b64enc},
        {"int", 1, 1, fn_int},
        {"float64", 1, 1, fn_float64},
        {"add", 1, MAX_ARGS, fn_add},
        {"sub", 2, 2, fn_sub},
        {"mul", 1, MAX_ARGS, fn_mul},
        {"div", 2, 2, fn_div},
        {"mod", 2, 2, fn_mod},
        {"max", 1, MAX_ARGS, fn_max},
        {"min", 1, MAX_ARGS, fn_min},
        {"ceil", 1, 1, fn_ceil},
        {"floor", 1, 1, fn_floor},
        {"bytes", 1, 1, fn_bytes},
        {"duration", 1, 1, fn_duration},
        {"duration_seconds", 1, 1, fn_duration},
        {"eq", 2, MAX_ARGS, fn_eq},
        {"ne", 2, 2, fn_ne},
        {"lt", 2, 2, fn_lt},
        {"le", 2, 2, fn_le},
        {"gt", 2, 2, fn_gt},
        {"ge", 2, 2, fn_ge},
        {"and", 1, MAX_ARGS, fn_and},
        {"or", 1, MAX_ARGS, fn_or},
        {"not", 1, 1, fn_not},
        {"len", 1, 1, fn_len},
        {"default", 2, 2, fn_default},
    };
    static const char *const others[] = {
        "__timestamp__", "title",        "b64dec",        "addf",          "subf",           "mulf",  "divf",
        "maxf",          "minf",         "round",         "fromJson",      "now",            "date",  "toDate",
        "toDateInZone",  "unixEpoch",    "unixEpochMillis", "unixEpochNanos", "unixToTime", "index", "slice",
        "print",         "printf",       "println",       "html",          "js",             "urlquery", "call",
    };
    *known = true;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (sv_eq(name, sv_of(table[i].name)))
            return &table[i];
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (sv_eq(name, sv_of(others[i])))
            return NULL;
    *known = false;
    return NULL;
}

/* ---- the walk ---- */

struct run {
    const struct template *t;
    const struct template_env *env;
    struct err *e;
};

static bool run_pipe(struct run *r, const struct tmpl_pipe *pipe, struct value *ret);

static bool run_arg(struct run *r, const struct tmpl_arg *arg, struct value *ret, const struct tmpl_function **called)
{
    switch (arg->kind) {
    case ARG_FIELD: {
        sv s = r->env->label(r->env->ctx, arg->field);
        *ret = of_string(s.p ? s : SV(""));
        return true;
    }
    case ARG_VALUE:
        *ret = arg->value;
        return true;
    case ARG_PIPE:
        return run_pipe(r, arg->pipe, ret);
    case ARG_FUNCTION:
        *called = arg->fn;
        return arg->fn->fn(r->env, NULL, 0, ret, r->e);
    }
    return true;
}

/* Puts where and what in front of a function's complaint. */
static bool run_failed(struct run *r, const struct tmpl_command *cmd, const struct tmpl_function *fn)
{
    if (!fn || !r->e || r->e->code != ERR_INVALID)
        return false;
    char cause[200];
    snprintf(cause, sizeof cause, "%.199s", r->e->msg);
    return err_set(r->e, ERR_INVALID, "template: %s:%zu:%zu: executing \"%s\" at <%.*s>: error calling %s: %s", r->t->name,
                   cmd->line, cmd->col, r->t->name, (int)MIN(cmd->text.n, (size_t)100), cmd->text.p, fn->name, cause);
}

static bool run_command(struct run *r, const struct tmpl_command *cmd, const struct value *piped, struct value *ret)
{
    const struct tmpl_function *fn = NULL;
    if (cmd->at[0].kind != ARG_FUNCTION)
        return run_arg(r, &cmd->at[0], ret, &fn);
    struct value args[MAX_ARGS];
    size_t n = 0;
    for (size_t i = 1; i < cmd->n; i++)
        if (!run_arg(r, &cmd->at[i], &args[n++], &fn))
            return run_failed(r, cmd, fn);
    if (piped)
        args[n++] = *piped;
    fn = cmd->at[0].fn;
    return fn->fn(r->env, args, n, ret, r->e) ? true : run_failed(r, cmd, fn);
}

static bool run_pipe(struct run *r, const struct tmpl_pipe *pipe, struct value *ret)
{
    struct value v = {0};
    for (size_t i = 0; i < pipe->n; i++) {
        struct value piped = v;
        if (!run_command(r, &pipe->at[i], i ? &piped : NULL, &v))
            return false;
    }
    *ret = v;
    return true;
}

static bool run_list(struct run *r, const struct tmpl_node *n, struct buf *out)
{
    for (; n; n = n->next) {
        struct value v;
        if (n->kind == NODE_TEXT) {
            buf_sv(out, n->text);
            continue;
        }
        if (!run_pipe(r, n->pipe, &v))
            return false;
        if (n->kind == NODE_ACTION)
            put_value(&v, out);
        else if (!run_list(r, truth(&v) ? n->then : n->otherwise, out))
            return false;
    }
    return true;
}

bool template_run(const struct template *t, const struct template_env *env, struct buf *out, struct err *e)
{
    struct run r = {t, env, e};
    return run_list(&r, t->first, out) && buf_ok(out, e);
}

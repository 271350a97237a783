/* template_math.c - numbers, comparisons and logic of templates. Arguments are cast as the cast library of Go does: a label
 * is a string, and "010" is octal. */
#include "logql/template_ast.h"
#include "logql/units.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

TMPL_FN(fn_int)
{
    *ret = value_int(to_int(&v[0]));
    return true;
}
TMPL_FN(fn_float64)
{
    *ret = value_float(to_float(&v[0]));
    return true;
}
TMPL_FN(fn_add)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (uint64_t)to_int(&v[i]);
    *ret = value_int((int64_t)sum);
    return true;
}
TMPL_FN(fn_sub)
{
    *ret = value_int((int64_t)((uint64_t)to_int(&v[0]) - (uint64_t)to_int(&v[1])));
    return true;
}
TMPL_FN(fn_mul)
{
    uint64_t product = (uint64_t)to_int(&v[0]);
    for (size_t i = 1; i < n; i++)
        product *= (uint64_t)to_int(&v[i]);
    *ret = value_int((int64_t)product);
    return true;
}
static bool divide(const struct value *v, bool remainder, struct value *ret, struct err *e)
{
    int64_t a = to_int(&v[0]), b = to_int(&v[1]);
    if (!b)
        return err_set(e, ERR_INVALID, "runtime error: integer divide by zero");
    if (b == -1) /* the one quotient that overflows wraps */
        *ret = value_int(remainder ? 0 : (int64_t)(0 - (uint64_t)a));
    else
        *ret = value_int(remainder ? a % b : a / b);
    return true;
}
TMPL_FN(fn_div)
{
    return divide(v, false, ret, e);
}
TMPL_FN(fn_mod)
{
    return divide(v, true, ret, e);
}
TMPL_FN(fn_max)
{
    *ret = value_int(to_int(&v[0]));
    for (size_t i = 1; i < n; i++)
        ret->i = MAX(ret->i, to_int(&v[i]));
    return true;
}
TMPL_FN(fn_min)
{
    *ret = value_int(to_int(&v[0]));
    for (size_t i = 1; i < n; i++)
        ret->i = MIN(ret->i, to_int(&v[i]));
    return true;
}
TMPL_FN(fn_ceil)
{
    *ret = value_float(ceil(to_float(&v[0])));
    return true;
}
TMPL_FN(fn_floor)
{
    *ret = value_float(floor(to_float(&v[0])));
    return true;
}
TMPL_FN(fn_bytes)
{
    struct err cause = {0};
    double size = 0;
    if (!want_string(&v[0], e))
        return false;
    if (!bytes_humanised(v[0].s, &size, &cause))
        return err_set(e, ERR_INVALID, "%s", cause.msg);
    *ret = value_float(size);
    return true;
}
TMPL_FN(fn_duration)
{
    struct err cause = {0};
    int64_t ns = 0;
    if (!want_string(&v[0], e))
        return false;
    if (!duration_go(v[0].s, &ns, &cause))
        return err_set(e, ERR_INVALID, "%s", cause.msg);
    *ret = value_float((double)ns / 1e9);
    return true;
}

/* ---- decimals ---- */

/* Go's decimal library computes with the shortest decimal text of each float, exactly; quotients have 16 places. Here a
 * coefficient has 128 bits: what does not fit is an error, not a rounded answer. */
struct decimal {
    __int128 coef;
    int exp;
};

static bool overflows(struct err *e)
{
    return err_set(e, ERR_INVALID, "a decimal with more than 38 digits");
}

static bool decimal_of(const struct value *v, struct decimal *ret, struct err *e)
{
    char text[40];
    double f = to_float(v);
    if (!isfinite(f))
        return err_set(e, ERR_INVALID, "Cannot create a Decimal from %s", isnan(f) ? "NaN" : f > 0 ? "+Inf" : "-Inf");
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, f);
        if (strtod(text, NULL) == f)
            break;
    }
    *ret = (struct decimal){0};
    bool fraction = false;
    const char *p = text + (*text == '-');
    for (; *p != 'e'; p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        ret->coef = ret->coef * 10 + (*p - '0');
        ret->exp -= fraction;
    }
    int64_t exponent = 0;
    bool ok = sv_to_i64(sv_of(p + 1), &exponent);
    ASSERT(ok); /* %e always prints one */
    ret->exp += (int)exponent;
    if (*text == '-')
        ret->coef = -ret->coef;
    return true;
}

/* Multiplies by 10^n. */
static bool scale_up(__int128 *coef, int n)
{
    for (; n > 0 && *coef; n--)
        if (__builtin_mul_overflow(*coef, (__int128)10, coef))
            return false;
    return true;
}

static __int128 divide_rounded(__int128 a, __int128 b) /* half away from zero */
{
    __int128 q = a / b, r = a % b;
    bool up = (r < 0 ? -r : r) >= (b < 0 ? -b : b) - (r < 0 ? -r : r);
    return up && r ? q + ((a < 0) == (b < 0) ? 1 : -1) : q;
}

/* Drops digits until there are at most `places` behind the point. */
static void decimal_round(struct decimal *d, int places)
{
    __int128 by = 1;
    int n = -places - d->exp;
    if (n <= 0)
        return;
    for (int i = 0; i < n && by; i++)
        by = i < 38 ? by * 10 : 0;
    d->coef = by ? divide_rounded(d->coef, by) : 0;
    d->exp = -places;
}

static bool decimal_add(struct decimal *a, struct decimal b, struct err *e)
{
    int exp = MIN(a->exp, b.exp);
    if (!scale_up(&a->coef, a->exp - exp) || !scale_up(&b.coef, b.exp - exp) ||
        __builtin_add_overflow(a->coef, b.coef, &a->coef))
        return overflows(e);
    a->exp = exp;
    return true;
}

static bool decimal_sub(struct decimal *a, struct decimal b, struct err *e)
{
    b.coef = -b.coef;
    return decimal_add(a, b, e);
}

static bool decimal_mul(struct decimal *a, struct decimal b, struct err *e)
{
    a->exp += b.exp;
    return __builtin_mul_overflow(a->coef, b.coef, &a->coef) ? overflows(e) : true;
}

static bool decimal_div(struct decimal *a, struct decimal b, struct err *e)
{
    enum { PLACES = 16 };
    if (!b.coef)
        return err_set(e, ERR_INVALID, "decimal division by 0");
    int shift = a->exp - b.exp + PLACES;
    if (!scale_up(shift > 0 ? &a->coef : &b.coef, shift > 0 ? shift : -shift))
        return overflows(e);
    a->coef = divide_rounded(a->coef, b.coef);
    a->exp = -PLACES;
    return true;
}

static double decimal_double(struct decimal d)
{
    char digits[48], text[64];
    size_t at = sizeof digits - 1;
    unsigned __int128 v = d.coef < 0 ? -(unsigned __int128)d.coef : (unsigned __int128)d.coef;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + (int)(v % 10));
        v /= 10;
    } while (v);
    snprintf(text, sizeof text, "%s%se%d", d.coef < 0 ? "-" : "", digits + at, d.exp);
    return strtod(text, NULL);
}

static bool fold(const struct value *v, size_t n, bool (*op)(struct decimal *a, struct decimal b, struct err *e),
                 struct value *ret, struct err *e)
{
    struct decimal sum = {0}, next;
    for (size_t i = 0; i < n; i++)
        if (!decimal_of(&v[i], i ? &next : &sum, e) || (i && !op(&sum, next, e)))
            return false;
    *ret = value_float(decimal_double(sum));
    return true;
}
TMPL_FN(fn_addf)
{
    return fold(v, n, decimal_add, ret, e);
}
TMPL_FN(fn_subf)
{
    return fold(v, n, decimal_sub, ret, e);
}
TMPL_FN(fn_mulf)
{
    return fold(v, n, decimal_mul, ret, e);
}
TMPL_FN(fn_divf)
{
    return fold(v, n, decimal_div, ret, e);
}
TMPL_FN(fn_round)
{
    struct decimal d;
    int64_t places = to_int(&v[1]);
    if (!decimal_of(&v[0], &d, e))
        return false;
    decimal_round(&d, (int)MAX(MIN(places, (int64_t)400), (int64_t)-400));
    *ret = value_float(decimal_double(d));
    return true;
}
static bool extremef(const struct value *v, size_t n, bool max, struct value *ret)
{
    double best = to_float(&v[0]);
    for (size_t i = 1; i < n; i++) {
        double x = to_float(&v[i]);
        best = isnan(best) || isnan(x) ? NAN : max ? fmax(best, x) : fmin(best, x);
    }
    *ret = value_float(best);
    return true;
}
TMPL_FN(fn_maxf)
{
    return extremef(v, n, true, ret);
}
TMPL_FN(fn_minf)
{
    return extremef(v, n, false, ret);
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
TMPL_FN(fn_eq)
{
    bool yes = false;
    for (size_t i = 1; i < n && !yes; i++)
        if (!equal(&v[0], &v[i], &yes, e))
            return false;
    *ret = value_bool(yes);
    return true;
}
TMPL_FN(fn_ne)
{
    bool yes = false;
    if (!equal(&v[0], &v[1], &yes, e))
        return false;
    *ret = value_bool(!yes);
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
TMPL_FN(fn_lt)
{
    int c;
    if (!order(v, &c, e))
        return false;
    *ret = value_bool(c < 0);
    return true;
}
TMPL_FN(fn_le)
{
    int c;
    if (!order(v, &c, e))
        return false;
    *ret = value_bool(c <= 0);
    return true;
}
TMPL_FN(fn_gt)
{
    int c;
    if (!order(v, &c, e))
        return false;
    *ret = value_bool(c > 0);
    return true;
}
TMPL_FN(fn_ge)
{
    int c;
    if (!order(v, &c, e))
        return false;
    *ret = value_bool(c >= 0);
    return true;
}
TMPL_FN(fn_and)
{
    size_t i = 0;
    while (i + 1 < n && value_truth(&v[i]))
        i++;
    *ret = v[i];
    return true;
}
TMPL_FN(fn_or)
{
    size_t i = 0;
    while (i + 1 < n && !value_truth(&v[i]))
        i++;
    *ret = v[i];
    return true;
}
TMPL_FN(fn_not)
{
    *ret = value_bool(!value_truth(&v[0]));
    return true;
}
TMPL_FN(fn_len)
{
    if (v[0].kind != VALUE_STRING)
        return err_set(e, ERR_INVALID, "len of type %s", value_type_name(&v[0]));
    *ret = value_int((int64_t)v[0].s.n);
    return true;
}
TMPL_FN(fn_default)
{
    *ret = value_truth(&v[1]) ? v[1] : v[0];
    return true;
}

/* units.c - see units.h. */
#include "logql/units.h"
#include <math.h>
#include <stdio.h>

/* Quoted parts of messages are cut here, so that a hostile operand cannot push the cause out of the message. */
#define QUOTE_ARG(s) (int)MIN((s).n, (size_t)80), (s).p ? (s).p : ""

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes a run of digits off *s; false when there is none or it overflows. */
static bool take_u64(sv *s, uint64_t *ret)
{
    size_t n = 0;
    while (n < s->n && is_digit(s->p[n]))
        n++;
    if (!sv_to_u64(sv_sub(*s, 0, n), ret))
        return false;
    *s = sv_from(*s, n);
    return true;
}

bool duration_prometheus(sv text, int64_t *ret_ns, struct err *e)
{
    static const struct {
        sv name;
        uint64_t ns;
    } units[] = {
        {{"y", 1}, 365ull * 86400 * 1000000000},
        {{"w", 1}, 7ull * 86400 * 1000000000},
        {{"d", 1}, 86400ull * 1000000000},
        {{"h", 1}, 3600ull * 1000000000},
        {{"m", 1}, 60ull * 1000000000},
        {{"s", 1}, 1000000000},
        {{"ms", 2}, 1000000},
    };
    if (!text.n)
        return err_set(e, ERR_PARSE, "empty duration string");
    sv rest = text;
    uint64_t total = 0;
    size_t next_unit = 0;
    while (rest.n && !sv_eq(text, SV("0"))) {
        uint64_t v;
        if (!take_u64(&rest, &v))
            return err_set(e, ERR_PARSE, "not a valid duration string: \"%.*s\"", QUOTE_ARG(text));
        size_t n = 0, u = 0;
        while (n < rest.n && !is_digit(rest.p[n]))
            n++;
        sv unit = sv_sub(rest, 0, n);
        while (u < ARRAY_LEN(units) && !sv_eq(units[u].name, unit))
            u++;
        if (n && u == ARRAY_LEN(units))
            return err_set(e, ERR_PARSE, "unknown unit \"%.*s\" in duration \"%.*s\"", QUOTE_ARG(unit), QUOTE_ARG(text));
        if (!n || u < next_unit)
            return err_set(e, ERR_PARSE, "not a valid duration string: \"%.*s\"", QUOTE_ARG(text));
        next_unit = u + 1;
        rest = sv_from(rest, n);
        if (__builtin_mul_overflow(v, units[u].ns, &v) || __builtin_add_overflow(total, v, &total) ||
            total > INT64_MAX)
            return err_set(e, ERR_PARSE, "duration out of range");
    }
    *ret_ns = (int64_t)total;
    return true;
}

static bool go_unit(sv u, double *ret_ns)
{
    static const struct {
        sv name;
        double ns;
    } units[] = {{{"ns", 2}, 1},          {{"us", 2}, 1e3},        {{"\xc2\xb5s", 3}, 1e3}, {{"\xce\xbcs", 3}, 1e3},
                 {{"ms", 2}, 1e6},        {{"s", 1}, 1e9},         {{"m", 1}, 60e9},        {{"h", 1}, 3600e9}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (sv_eq(units[i].name, u)) {
            *ret_ns = units[i].ns;
            return true;
        }
    return false;
}

bool duration_go(sv text, int64_t *ret_ns, struct err *e)
{
    sv rest = text;
    bool negative = rest.n && rest.p[0] == '-';
    if (rest.n && (rest.p[0] == '-' || rest.p[0] == '+'))
        rest = sv_from(rest, 1);
    if (!rest.n)
        return err_set(e, ERR_PARSE, "time: invalid duration \"%.*s\"", QUOTE_ARG(text));
    __int128 total = 0;
    while (rest.n && !sv_eq(rest, SV("0"))) {
        uint64_t whole = 0;
        bool digits = is_digit(rest.p[0]);
        if (digits && !take_u64(&rest, &whole))
            return err_set(e, ERR_PARSE, "time: invalid duration \"%.*s\"", QUOTE_ARG(text));
        double fraction = 0, scale = 1;
        if (rest.n && rest.p[0] == '.') {
            for (rest = sv_from(rest, 1); rest.n && is_digit(rest.p[0]); rest = sv_from(rest, 1)) {
                digits = true;
                if (scale < 1e18) {
                    fraction = fraction * 10 + (rest.p[0] - '0');
                    scale *= 10;
                }
            }
        }
        if (!digits)
            return err_set(e, ERR_PARSE, "time: invalid duration \"%.*s\"", QUOTE_ARG(text));
        size_t n = 0;
        while (n < rest.n && !is_digit(rest.p[n]) && rest.p[n] != '.')
            n++;
        sv unit = sv_sub(rest, 0, n);
        double ns;
        if (!n)
            return err_set(e, ERR_PARSE, "time: missing unit in duration \"%.*s\"", QUOTE_ARG(text));
        if (!go_unit(unit, &ns))
            return err_set(e, ERR_PARSE, "time: unknown unit \"%.*s\" in duration \"%.*s\"", QUOTE_ARG(unit),
                           QUOTE_ARG(text));
        rest = sv_from(rest, n);
        total += (__int128)whole * (int64_t)ns + (int64_t)(fraction * (ns / scale));
        if (total > INT64_MAX)
            return err_set(e, ERR_PARSE, "time: invalid duration \"%.*s\"", QUOTE_ARG(text));
    }
    *ret_ns = negative ? -(int64_t)total : (int64_t)total;
    return true;
}

bool bytes_humanised(sv text, double *ret, struct err *e)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"", 1},
                 {"b", 1},
                 {"k", 1e3},
                 {"kb", 1e3},
                 {"ki", 1024},
                 {"kib", 1024},
                 {"m", 1e6},
                 {"mb", 1e6},
                 {"mi", 1048576},
                 {"mib", 1048576},
                 {"g", 1e9},
                 {"gb", 1e9},
                 {"gi", 1073741824},
                 {"gib", 1073741824},
                 {"t", 1e12},
                 {"tb", 1e12},
                 {"ti", 1099511627776},
                 {"tib", 1099511627776},
                 {"p", 1e15},
                 {"pb", 1e15},
                 {"pi", 1125899906842624},
                 {"pib", 1125899906842624}};
    size_t n = 0;
    while (n < text.n && (is_digit(text.p[n]) || text.p[n] == '.' || text.p[n] == ','))
        n++;
    char number[64];
    size_t len = 0;
    for (size_t i = 0; i < n && len < sizeof number; i++)
        if (text.p[i] != ',')
            number[len++] = text.p[i];
    double v;
    if (len == sizeof number || !sv_to_double(sv_make(number, len), &v))
        return err_set(e, ERR_PARSE, "strconv.ParseFloat: parsing \"%.*s\": invalid syntax", (int)len, number);
    sv unit = sv_trim(sv_from(text, n));
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (sv_eq_nocase(unit, sv_of(units[i].name))) {
            if (v * units[i].factor >= 18446744073709551616.0)
                return err_set(e, ERR_PARSE, "too large: %.*s", QUOTE_ARG(text));
            *ret = floor(v * units[i].factor);
            return true;
        }
    return err_set(e, ERR_PARSE, "unhandled size name: %.*s", QUOTE_ARG(unit));
}

bool float_go(sv text, double *ret, struct err *e)
{
    double v;
    if (!sv_to_double(text, &v))
        return err_set(e, ERR_PARSE, "strconv.ParseFloat: parsing \"%.*s\": invalid syntax", QUOTE_ARG(text));
    if (isinf(v) && text.n && (is_digit(text.p[0]) || (text.n > 1 && (is_digit(text.p[1]) || text.p[1] == '.')) ||
                               text.p[0] == '.'))
        return err_set(e, ERR_PARSE, "strconv.ParseFloat: parsing \"%.*s\": value out of range", QUOTE_ARG(text));
    *ret = v;
    return true;
}

void print_duration_prometheus(int64_t ns, struct buf *out)
{
    static const struct {
        const char *unit;
        int64_t ms;
        bool exact; /* used only when nothing smaller remains: weeks read badly otherwise */
    } units[] = {{"y", 365ll * 86400000, true}, {"w", 7ll * 86400000, true}, {"d", 86400000, false}, {"h", 3600000, false},
                 {"m", 60000, false},           {"s", 1000, false},          {"ms", 1, false}};
    int64_t ms = ns / 1000000;
    if (ms == 0) {
        buf_sv(out, SV("0s"));
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (ms >= units[i].ms && (!units[i].exact || ms % units[i].ms == 0)) {
            buf_i64(out, ms / units[i].ms);
            buf_sv(out, sv_of(units[i].unit));
            ms %= units[i].ms;
        }
}

/* `v` thousandths (of 10^digits) without trailing zeros. */
static void put_fraction(uint64_t v, int digits, struct buf *out)
{
    char text[20];
    int n = snprintf(text, sizeof text, "%0*llu", digits, (unsigned long long)v);
    while (n > 0 && text[n - 1] == '0')
        n--;
    if (n) {
        buf_char(out, '.');
        buf_put(out, text, (size_t)n);
    }
}

void print_duration_go(int64_t ns, struct buf *out)
{
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (ns < 0)
        buf_char(out, '-');
    if (v < 1000000000) {
        static const char *const unit[] = {"ns", "us", "ms"};
        uint64_t scale = v < 1000 ? 1 : v < 1000000 ? 1000 : 1000000;
        int digits = v < 1000 ? 0 : v < 1000000 ? 3 : 6;
        buf_u64(out, v / scale);
        if (digits)
            put_fraction(v % scale, digits, out);
        buf_sv(out, v ? sv_of(unit[digits / 3]) : SV("s"));
        return;
    }
    uint64_t s = v / 1000000000;
    if (s >= 3600) {
        buf_u64(out, s / 3600);
        buf_char(out, 'h');
    }
    if (s >= 60) {
        buf_u64(out, s / 60 % 60);
        buf_char(out, 'm');
    }
    buf_u64(out, s % 60);
    put_fraction(v % 1000000000, 9, out);
    buf_char(out, 's');
}

void print_float(double v, struct buf *out)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        double back;
        int n = snprintf(text, sizeof text, "%.*g", digits, v);
        if (sv_to_double(sv_make(text, (size_t)n), &back) && back == v)
            break;
    }
    buf_sv(out, sv_of(text));
}

/* json_out.c - see json_out.h. Needs libc alone, and no locale: the SDK runs inside programs that set one. */
#include "base/json_out.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char hex_digits[] = "0123456789abcdef";

/* What stands behind the backslash for a character that may not stand in a string: 'u' for \u00xx, 0 for none. */
static const char escapes[256] = {
    ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\', [0x7f] = 'u',
    [0x00] = 'u', [0x01] = 'u', [0x02] = 'u', [0x03] = 'u', [0x04] = 'u', [0x05] = 'u', [0x06] = 'u', [0x07] = 'u',
    [0x0b] = 'u', [0x0e] = 'u', [0x0f] = 'u', [0x10] = 'u', [0x11] = 'u', [0x12] = 'u', [0x13] = 'u', [0x14] = 'u',
    [0x15] = 'u', [0x16] = 'u', [0x17] = 'u', [0x18] = 'u', [0x19] = 'u', [0x1a] = 'u', [0x1b] = 'u', [0x1c] = 'u',
    [0x1d] = 'u', [0x1e] = 'u', [0x1f] = 'u',
};

static void put_valid(struct buf *out, sv s)
{
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        char how = escapes[c];
        if (!how)
            continue;
        buf_put(out, s.p + from, i - from);
        from = i + 1;
        char text[6] = {'\\', how, '0', '0', hex_digits[c >> 4], hex_digits[c & 15]};
        buf_put(out, text, how == 'u' ? 6 : 2);
    }
    buf_put(out, s.p + from, s.n - from);
}

void json_put_escaped(struct buf *out, sv s)
{
    for (;;) {
        size_t n = sv_utf8_prefix(s);
        if (n)
            put_valid(out, sv_sub(s, 0, n));
        if (n == s.n)
            return;
        buf_sv(out, SV("\xef\xbf\xbd"));
        s = sv_from(s, n + 1);
    }
}

void json_put_string(struct buf *out, sv s)
{
    buf_char(out, '"');
    json_put_escaped(out, s);
    buf_char(out, '"');
}

void json_put_double(struct buf *out, double v)
{
    char text[32];
    size_t n = double_to_text(v, text);
    if (isfinite(v))
        buf_put(out, text, n);
    else
        json_put_string(out, sv_make(text, n));
}

/* The decimal digits of v > 0 rounded to `n_digits`, and its decimal exponent: 0.d1d2d3... * 10^*exp10. The separator
 * that the process's locale writes is passed over. */
static void digits_of(double v, int n_digits, char digits[20], int *exp10)
{
    char text[64];
    snprintf(text, sizeof text, "%.*e", n_digits - 1, v);
    int n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9' && n < 18)
            digits[n++] = *p;
    digits[n] = 0;
    *exp10 = *p == 'e' ? (int)strtol(p + 1, NULL, 10) + 1 : 1;
}

static bool reads_back(const char *digits, int exp10, double v)
{
    char text[40];
    snprintf(text, sizeof text, "%se%d", digits, exp10 - (int)strlen(digits)); /* no separator: any locale reads it */
    return strtod(text, NULL) == v;
}

/* The next larger number of as many digits; false when all are nines. */
static bool digits_up(char *digits)
{
    for (size_t i = strlen(digits); i-- > 0; digits[i] = '0')
        if (digits[i]++ != '9')
            return true;
    return false;
}

/* The fewest digits that read back as v. Fifteen always survive, so a shorter number shows up there as trailing zeros;
 * denormals hold fewer and start at one. Below a power of two the doubles lie closer than above it, so the nearest
 * short number may miss where the next one up hits. */
static void shortest(double v, char digits[20], int *exp10)
{
    int exp2;
    bool power_of_two = frexp(v, &exp2) == 0.5;
    for (int n = v < 0x1p-1022 ? 1 : 15; n <= 17; n++) {
        digits_of(v, n, digits, exp10);
        if (reads_back(digits, *exp10, v))
            break;
        if (power_of_two && n < 17 && digits_up(digits) && reads_back(digits, *exp10, v))
            break;
    }
    for (size_t n = strlen(digits); n > 1 && digits[n - 1] == '0'; n--)
        digits[n - 1] = 0;
}

/* Lays digits out as ECMAScript's Number::toString does (ECMA-262, 6.1.6.1.20). */
static size_t lay_out(const char *digits, int exp10, char *out)
{
    int k = (int)strlen(digits), n = 0;
    if (exp10 > 21 || exp10 <= -6) {
        out[n++] = digits[0];
        if (k > 1)
            out[n++] = '.';
        memcpy(out + n, digits + 1, (size_t)k - 1);
        n += k - 1;
        return (size_t)(n + snprintf(out + n, 8, "e%+d", exp10 - 1));
    }
    if (exp10 <= 0) {
        memcpy(out, "0.", 2);
        memset(out + 2, '0', (size_t)-exp10);
        n = 2 - exp10;
        memcpy(out + n, digits, (size_t)k);
        return (size_t)(n + k);
    }
    for (int i = 0; i < exp10 || i < k; i++) {
        if (i == exp10)
            out[n++] = '.';
        out[n++] = i < k ? digits[i] : '0';
    }
    return (size_t)n;
}

size_t double_to_text(double v, char out[32])
{
    if (!isfinite(v)) {
        const char *text = isnan(v) ? "NaN" : v < 0 ? "-Infinity" : "Infinity";
        strncpy(out, text, 32);
        return strlen(text);
    }
    if (v == 0) { /* also -0, as ECMAScript does */
        memcpy(out, "0", 2);
        return 1;
    }
    size_t n = 0;
    if (v < 0) {
        out[n++] = '-';
        v = -v;
    }
    if (v < 1e15 && v == (double)(int64_t)v)
        return n + (size_t)snprintf(out + n, 24, "%" PRId64, (int64_t)v);
    char digits[20];
    int exp10;
    shortest(v, digits, &exp10);
    n += lay_out(digits, exp10, out + n);
    out[n] = 0;
    return n;
}

void base64_put(struct buf *out, sv bytes)
{
    static const char table[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = (const uint8_t *)bytes.p;
    size_t whole = bytes.n / 3, need;
    if (__builtin_mul_overflow(whole + 1, (size_t)4, &need)) {
        out->failed = ERR_LIMIT;
        return;
    }
    for (; whole; whole--, p += 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        char four[4] = {table[v >> 18], table[v >> 12 & 63], table[v >> 6 & 63], table[v & 63]};
        buf_put(out, four, 4);
    }
    size_t rest = bytes.n % 3;
    if (rest) {
        uint32_t v = (uint32_t)p[0] << 16 | (rest == 2 ? (uint32_t)p[1] << 8 : 0);
        char four[4] = {table[v >> 18], table[v >> 12 & 63], rest == 2 ? table[v >> 6 & 63] : '=', '='};
        buf_put(out, four, 4);
    }
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

bool base64_get(sv text, struct buf *out, struct err *e)
{
    size_t n = text.n, was = out->n;
    while (n && text.n - n < 2 && text.p[n - 1] == '=')
        n--;
    if (n % 4 == 1 || (n != text.n && text.n % 4 != 0))
        return err_at(e, ERR_PARSE, n, "base64: wrong length");
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++) {
        int digit = base64_digit(text.p[i]);
        if (digit < 0) {
            out->n = was;
            return err_at(e, ERR_PARSE, i, "base64: character %zu is not of its alphabet", i);
        }
        v = v << 6 | (uint32_t)digit;
        if (i % 4 == 3) {
            char three[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
            buf_put(out, three, 3);
            v = 0;
        }
    }
    if (n % 4 == 2)
        buf_char(out, (char)(v >> 4));
    if (n % 4 == 3) {
        buf_char(out, (char)(v >> 10));
        buf_char(out, (char)(v >> 2));
    }
    return true;
}

void hex_put(struct buf *out, sv bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        char two[2] = {hex_digits[c >> 4], hex_digits[c & 15]};
        buf_put(out, two, 2);
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool hex_get(sv text, uint8_t *to, size_t n, struct err *e)
{
    if (text.n != 2 * n)
        return err_at(e, ERR_PARSE, 0, "not %zu hex digits", 2 * n);
    for (size_t i = 0; i < text.n; i++)
        if (hex_digit(text.p[i]) < 0)
            return err_at(e, ERR_PARSE, i, "not %zu hex digits", 2 * n);
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(hex_digit(text.p[2 * i]) << 4 | hex_digit(text.p[2 * i + 1]));
    return true;
}

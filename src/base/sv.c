/* sv.c - string views; see sv.h. */
#include "base/sv.h"
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool sv_eq_nocase(sv a, sv b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

size_t sv_find(sv s, sv needle)
{
    if (needle.n == 0)
        return 0;
    if (s.n < needle.n)
        return SV_NPOS;
    const char *at = memmem(s.p, s.n, needle.p, needle.n);
    return at ? (size_t)(at - s.p) : SV_NPOS;
}

size_t sv_find_char(sv s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : SV_NPOS;
}

size_t sv_rfind_char(sv s, char c)
{
    const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : SV_NPOS;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

sv sv_trim(sv s)
{
    while (s.n && is_blank(s.p[0]))
        s.p++, s.n--;
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

sv sv_cut(sv *rest, char sep)
{
    sv s = *rest;
    size_t at = sv_find_char(s, sep);
    if (at == SV_NPOS) {
        *rest = SV_NULL;
        return s;
    }
    *rest = sv_from(s, at + 1);
    return sv_sub(s, 0, at);
}

bool sv_to_u64(sv s, uint64_t *ret)
{
    if (s.n == 0)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            return false;
    }
    *ret = v;
    return true;
}

bool sv_to_i64(sv s, int64_t *ret)
{
    bool neg = s.n && s.p[0] == '-';
    uint64_t v;
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        s = sv_from(s, 1);
    if (!sv_to_u64(s, &v) || v > (uint64_t)INT64_MAX + neg)
        return false;
    *ret = neg ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static locale_t c_locale;
static void c_locale_make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool sv_to_double(sv s, double *ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char text[512];
    if (s.n == 0 || s.n >= sizeof text || is_blank(s.p[0]) || memchr(s.p, 'x', s.n) || memchr(s.p, 'X', s.n))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    pthread_once(&once, c_locale_make);
    char *end;
    double v = strtod_l(text, &end, c_locale);
    if (end != text + s.n)
        return false;
    *ret = v;
    return true;
}

char *sv_dup(sv s)
{
    char *p = malloc(s.n + 1);
    if (p) {
        if (s.n)
            memcpy(p, s.p, s.n);
        p[s.n] = 0;
    }
    return p;
}

/* One well-formed sequence at p (RFC 3629: no overlongs, no surrogates, at most U+10FFFF); its length, or 0. */
static size_t utf8_one(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        return n >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (p[0] >= 0xe0 && p[0] <= 0xef) {
        if (n < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
            return 0;
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
            return 0;
        return 3;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        if (n < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80)
            return 0;
        if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
            return 0;
        return 4;
    }
    return 0;
}

size_t sv_utf8_prefix(sv s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;
    while (i < s.n) {
        uint64_t eight;
        while (s.n - i >= 8 && (memcpy(&eight, p + i, 8), (eight & 0x8080808080808080u) == 0))
            i += 8;
        if (i == s.n)
            break;
        size_t step = utf8_one(p + i, s.n - i);
        if (!step)
            break;
        i += step;
    }
    return i;
}

bool sv_is_utf8(sv s)
{
    return sv_utf8_prefix(s) == s.n;
}

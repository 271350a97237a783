/* sv.c - string views; see sv.h. */
#include "base/sv.h"
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

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

#if defined(__SSE2__)
/* Places where both the first and the last byte of the needle stand are looked at, 16 at a time: several times as fast as memmem on
 * text. Where that finds too many of them (a text made for it would cost the product of the lengths), memmem goes on. */
static size_t find_from(sv s, sv needle, size_t *at)
{
    const __m128i first = _mm_set1_epi8(needle.p[0]), last = _mm_set1_epi8(needle.p[needle.n - 1]);
    size_t in_vain = 0;
    for (; *at + needle.n - 1 + 16 <= s.n; *at += 16) {
        const char *p = s.p + *at;
        __m128i x = _mm_cmpeq_epi8(first, _mm_loadu_si128((const __m128i *)(const void *)p));
        __m128i y = _mm_cmpeq_epi8(last, _mm_loadu_si128((const __m128i *)(const void *)(p + needle.n - 1)));
        for (unsigned hits = (unsigned)_mm_movemask_epi8(_mm_and_si128(x, y)); hits; hits &= hits - 1) {
            unsigned i = (unsigned)__builtin_ctz(hits);
            if (memcmp(p + i, needle.p, needle.n) == 0)
                return *at + i;
            in_vain += needle.n;
        }
        if (in_vain > 4096 + 2 * *at)
            break;
    }
    return SV_NPOS;
}
#else
static size_t find_from(sv s UNUSED, sv needle UNUSED, size_t *at UNUSED)
{
    return SV_NPOS;
}
#endif

size_t sv_find(sv s, sv needle)
{
    size_t at = 0, found;
    if (needle.n == 0)
        return 0;
    if (s.n < needle.n)
        return SV_NPOS;
    if ((found = find_from(s, needle, &at)) != SV_NPOS)
        return found;
    const char *p = memmem(s.p + at, s.n - at, needle.p, needle.n);
    return p ? (size_t)(p - s.p) : SV_NPOS;
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

/* Up to 15 digits, with a point among them or not: both numbers are exact, so the division rounds as strtod() does. */
static bool short_decimal(sv s, double *ret)
{
    static const double tens[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    size_t i = s.p[0] == '-', from = i, point = s.n;
    uint64_t v = 0;
    if (s.n - i > 16)
        return false;
    for (; i < s.n; i++) {
        if (s.p[i] == '.' && point == s.n && i > from)
            point = i;
        else if (s.p[i] >= '0' && s.p[i] <= '9')
            v = v * 10 + (uint64_t)(s.p[i] - '0');
        else
            return false;
    }
    size_t digits = s.n - from - (point < s.n), decimals = point < s.n ? s.n - point - 1 : 0;
    if (!digits || digits > 15 || (point < s.n && !decimals))
        return false;
    *ret = (double)v / tens[decimals];
    *ret = from ? -*ret : *ret;
    return true;
}

bool sv_to_double(sv s, double *ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char text[512];
    if (s.n && short_decimal(s, ret))
        return true;
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

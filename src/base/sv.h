/* sv.h - a string view: borrowed bytes with a length. No NUL is promised, no ownership implied.
 * Whoever stores an sv must know what keeps its bytes alive. */
#pragma once
#include "base/def.h"
#include <string.h>

typedef struct sv {
    const char *p;
    size_t n;
} sv;

#define SV(lit) ((sv){"" lit, sizeof(lit) - 1})
#define SV_NULL ((sv){NULL, 0})
#define SV_FMT "%.*s"
#define SV_ARG(s) (int)((s).n > INT32_MAX ? INT32_MAX : (s).n), (s).p ? (s).p : ""

static inline sv sv_of(const char *cstr)
{
    return cstr ? (sv){cstr, strlen(cstr)} : SV_NULL;
}
static inline sv sv_make(const void *p, size_t n)
{
    return (sv){(const char *)p, n};
}
static inline bool sv_eq(sv a, sv b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
/* Byte order; a proper prefix sorts first. */
static inline int sv_cmp(sv a, sv b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}
bool sv_eq_nocase(sv a, sv b); /* ASCII case */
static inline bool sv_starts(sv s, sv prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}
static inline bool sv_ends(sv s, sv suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}
/* `from` and `n` are clamped to the view. */
static inline sv sv_sub(sv s, size_t from, size_t n)
{
    if (from > s.n)
        from = s.n;
    return (sv){from ? s.p + from : s.p, n < s.n - from ? n : s.n - from}; /* NULL + 0 is undefined in C */
}
static inline sv sv_from(sv s, size_t from)
{
    return sv_sub(s, from, SIZE_MAX);
}
#define SV_NPOS SIZE_MAX
size_t sv_find(sv s, sv needle); /* SV_NPOS when absent; an empty needle is found at 0 */
size_t sv_find_char(sv s, char c);
size_t sv_rfind_char(sv s, char c);
sv sv_trim(sv s); /* ASCII space, tab, CR, LF */
/* Splits at the first `sep`: returns what is before it and leaves what follows in *rest (all consumed: n = 0, p NULL). */
sv sv_cut(sv *rest, char sep);

/* Whole-view decimal numbers: no blanks, no sign for u64, an optional '-' or '+' for i64; false on anything else
 * or overflow, then *ret is untouched. */
MUST_USE bool sv_to_u64(sv s, uint64_t *ret);
MUST_USE bool sv_to_i64(sv s, int64_t *ret);
MUST_USE bool sv_to_double(sv s, double *ret); /* strtod's decimal grammar plus inf/nan, whole view, any locale */

/* A NUL-terminated copy for the system's edges (paths, argv). malloc'd; NULL when out of memory. */
char *sv_dup(sv s);

bool sv_is_utf8(sv s);
/* Length in bytes of the longest prefix that is valid UTF-8. */
size_t sv_utf8_prefix(sv s);

/* template_value.c - what templates compute with: values, their Go text, runes. */
#include "logql/template_ast.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- values ---- */

struct value value_string(sv s)
{
    return (struct value){.kind = VALUE_STRING, .s = s};
}

struct value value_int(int64_t i)
{
    return (struct value){.kind = VALUE_INT, .i = i};
}

struct value value_float(double f)
{
    return (struct value){.kind = VALUE_FLOAT, .f = f};
}

struct value value_bool(bool b)
{
    return (struct value){.kind = VALUE_BOOL, .i = b};
}

const char *value_type_name(const struct value *v)
{
    static const char *const names[] = {"nil", "string", "int", "float64", "bool", "time.Time"};
    return names[v->kind];
}

bool value_truth(const struct value *v)
{
    switch (v->kind) {
    case VALUE_NIL:
        return false;
    case VALUE_STRING:
        return v->s.n > 0;
    case VALUE_FLOAT:
        return v->f != 0;
    case VALUE_TIME:
        return true;
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
    int64_t exponent = 0;
    bool ok = sv_to_i64(sv_of(strchr(text, 'e') + 1), &exponent);
    ASSERT(ok); /* %e always prints one */
    if (f != 0 && (exponent < -4 || exponent >= 21))
        buf_sv(out, sv_of(text)); /* C prints at least two exponent digits, as Go does */
    else
        buf_fmt(out, "%.*f", MAX(digits - 1 - (int)exponent, 0), f);
}

void value_put(const struct value *v, struct buf *out)
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
    case VALUE_TIME:
        time_put(v->i, SV("2006-01-02 15:04:05.999999999 -0700 MST"), false, out);
        break;
    }
}

bool value_give(const struct template_env *env, struct buf *out, struct value *ret, struct err *e)
{
    if (!buf_ok(out, e))
        return out->failed == ERR_LIMIT ? err_set(e, ERR_INVALID, "result exceeds %d bytes", TMPL_MAX_VALUE) : false;
    *ret = value_string(arena_sv(env->a, buf_view(out)));
    return ret->s.p ? true : arena_err(env->a, e, "max_query_memory");
}

bool want_string(const struct value *v, struct err *e)
{
    return v->kind == VALUE_STRING
               ? true
               : err_set(e, ERR_INVALID, "wrong type for value; expected string; got %s", value_type_name(v));
}

bool want_int(const struct value *v, struct err *e)
{
    return v->kind == VALUE_INT ? true
                                : err_set(e, ERR_INVALID, "wrong type for value; expected int; got %s", value_type_name(v));
}

bool want_strings(const struct value *v, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!want_string(&v[i], e))
            return false;
    return true;
}

/* ---- runes ---- */

sv rune_take(sv *s, uint32_t *rune, bool *valid)
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

void rune_put(struct buf *out, uint32_t r)
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

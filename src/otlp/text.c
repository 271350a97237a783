/* text.c - a value as text: otlp_value_text() of walk.h. */
#include "otlp/walk.h"
#include "base/json_out.h"
#include "base/vec.h"
#include <math.h>

static void put_json(struct buf *out, sv any_value, unsigned flags, uint32_t depth);

/* A JSON string; with OTLP_TEXT_HTML also < > & and the two line separators U+2028 and U+2029 are escaped, so that the
 * text may stand inside a script element. */
static void put_string(struct buf *out, sv s, unsigned flags)
{
    if (!(flags & OTLP_TEXT_HTML)) {
        json_put_string(out, s);
        return;
    }
    buf_char(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        size_t n = c == '<' || c == '>' || c == '&' ? 1 : 0;
        if (c == '\xe2' && s.n - i >= 3 && s.p[i + 1] == '\x80' && (s.p[i + 2] == '\xa8' || s.p[i + 2] == '\xa9'))
            n = 3;
        if (!n)
            continue;
        json_put_escaped(out, sv_sub(s, from, i - from));
        buf_fmt(out, "\\u%04x", n == 1 ? (unsigned)c : s.p[i + 2] == '\xa8' ? 0x2028u : 0x2029u);
        from = i + n;
        i = from - 1;
    }
    json_put_escaped(out, sv_from(s, from));
    buf_char(out, '"');
}

static void put_pair(struct buf *out, const struct otlp_attr *a, bool first, unsigned flags, uint32_t depth)
{
    if (!first)
        buf_char(out, ',');
    put_string(out, a->key, flags);
    buf_char(out, ':');
    put_json(out, a->value, flags, depth);
}

struct ranked {
    struct otlp_attr attr;
    size_t rank; /* place in the message: of equal keys the last one counts */
};

static int by_key(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int c = sv_cmp(x->attr.key, y->attr.key);
    return c ? c : (x->rank > y->rank) - (x->rank < y->rank);
}

static void put_map(struct buf *out, sv kvlist, unsigned flags, uint32_t depth)
{
    struct otlp_attr_iter it = otlp_attrs(kvlist, OTLP_KVLIST_VALUES);
    struct otlp_attr a;
    VEC(struct ranked) all = {0};
    bool first = true;
    buf_char(out, '{');
    while (otlp_next_attr(&it, &a)) {
        if (!(flags & OTLP_TEXT_SORT_KEYS)) {
            put_pair(out, &a, first, flags, depth);
            first = false;
            continue;
        }
        struct ranked *r = vec_push(&all);
        if (!r) {
            out->failed = ERR_NOMEM;
            break;
        }
        *r = (struct ranked){a, all.n};
    }
    if (all.n > 1)
        qsort(all.at, all.n, sizeof *all.at, by_key);
    for (size_t i = 0; i < all.n && !out->failed; i++) {
        if (i + 1 < all.n && sv_eq(all.at[i].attr.key, all.at[i + 1].attr.key))
            continue;
        put_pair(out, &all.at[i].attr, first, flags, depth);
        first = false;
    }
    vec_done(&all);
    buf_char(out, '}');
}

static void put_array(struct buf *out, struct otlp_value v, unsigned flags, uint32_t depth)
{
    struct otlp_iter it = otlp_array(v);
    sv item;
    bool first = true;
    buf_char(out, '[');
    while (otlp_next_value(&it, &item)) {
        if (!first)
            buf_char(out, ',');
        first = false;
        put_json(out, item, flags, depth);
    }
    buf_char(out, ']');
}

static void put_json(struct buf *out, sv any_value, unsigned flags, uint32_t depth)
{
    struct otlp_value v = otlp_read_value(any_value);
    if (depth > OTLP_MAX_DEPTH) /* only bytes that otlp_check() never saw get here */
        v.kind = OTLP_EMPTY;
    switch (v.kind) {
    case OTLP_EMPTY:
        buf_sv(out, SV("null"));
        break;
    case OTLP_STRING:
        put_string(out, v.text, flags);
        break;
    case OTLP_BOOL:
        buf_sv(out, v.b ? SV("true") : SV("false"));
        break;
    case OTLP_INT:
        buf_i64(out, v.i);
        break;
    case OTLP_DOUBLE:
        json_put_double(out, v.d);
        break;
    case OTLP_BYTES:
        buf_char(out, '"');
        base64_put(out, v.text);
        buf_char(out, '"');
        break;
    case OTLP_ARRAY:
        put_array(out, v, flags, depth + 1);
        break;
    case OTLP_KVLIST:
        put_map(out, v.text, flags, depth + 1);
        break;
    }
}

void otlp_value_text(sv any_value, unsigned flags, struct buf *out)
{
    struct otlp_value v = otlp_read_value(any_value);
    switch (v.kind) {
    case OTLP_EMPTY:
        break;
    case OTLP_STRING:
        buf_sv(out, v.text);
        break;
    case OTLP_BYTES:
        base64_put(out, v.text);
        break;
    case OTLP_DOUBLE:
        if (isfinite(v.d)) {
            char text[32];
            buf_put(out, text, double_to_text(v.d, text));
        } else {
            buf_fmt(out, "json: unsupported value: %s", isnan(v.d) ? "NaN" : v.d > 0 ? "+Inf" : "-Inf");
        }
        break;
    default:
        put_json(out, any_value, flags, 1);
    }
}

/* label_filter.c - `| status >= 500 and path=~"/api.*"` on the labels of a row.
 * (1) A missing label compares as "" in string filters and makes every other filter false, also `!=`.
 * (2) A value that does not read as the filter wants keeps the row and sets __error__, unless one is set already.
 * (3) Both legs of `and` and `or` see the row as the leg before left it; evaluation stops as soon as the result is known. */
#include "logql/pipeline.h"
#include "logql/units.h"

static bool compare(enum cmp_op op, double a, double b)
{
    switch (op) {
    case CMP_EQ:
        return a == b;
    case CMP_NEQ:
        return a != b;
    case CMP_GT:
        return a > b;
    case CMP_GTE:
        return a >= b;
    case CMP_LT:
        return a < b;
    case CMP_LTE:
        return a <= b;
    }
    return false;
}

static bool quantity(enum label_filter_kind kind, sv text, double *ret, struct err *e)
{
    int64_t ns;
    if (kind == LF_NUMBER)
        return float_go(text, ret, e);
    if (kind == LF_BYTES)
        return bytes_humanised(text, ret, e);
    if (!duration_go(text, &ns, e))
        return false;
    *ret = (double)ns / 1e9;
    return true;
}

static bool filter_quantity(const struct label_filter *f, struct label_row *r)
{
    struct err cause = {0};
    double v = 0;
    sv text = label_row_get(r, f->m.name);
    if (!text.p)
        return false;
    if (quantity(f->kind, text, &v, &cause))
        return compare(f->cmp, v, f->value);
    if (!r->error.p)
        label_row_set_error(r, SV("LabelFilterErr"), arena_sv(r->a, sv_of(cause.msg)));
    return true;
}

static bool filter_ip(const struct label_filter *f, struct label_row *r)
{
    if (r->error.p)
        return true;
    sv text = label_row_get(r, f->m.name);
    return text.p && ip_range_has(&f->ip, text) == (f->cmp == CMP_EQ);
}

bool label_filter_row(const struct label_filter *f, struct label_row *r)
{
    switch (f->kind) {
    case LF_AND:
        for (size_t i = 0; i < f->n; i++)
            if (!label_filter_row(f->kids[i], r))
                return false;
        return true;
    case LF_OR:
        for (size_t i = 0; i < f->n; i++)
            if (label_filter_row(f->kids[i], r))
                return true;
        return false;
    case LF_STRING:
        return matcher_accepts(&f->m, label_row_get(r, f->m.name));
    case LF_IP:
        return filter_ip(f, r);
    case LF_NUMBER:
    case LF_DURATION:
    case LF_BYTES:
        return filter_quantity(f, r);
    }
    return false;
}

static bool quantity_may_accept(const struct label_filter *f, sv value)
{
    struct err cause = {0};
    double v = 0;
    return value.p && (!quantity(f->kind, value, &v, &cause) || compare(f->cmp, v, f->value));
}

bool label_filter_may_accept(const struct label_filter *f, sv value)
{
    switch (f->kind) {
    case LF_AND:
        for (size_t i = 0; i < f->n; i++)
            if (!label_filter_may_accept(f->kids[i], value))
                return false;
        return true;
    case LF_OR:
        for (size_t i = 0; i < f->n; i++)
            if (label_filter_may_accept(f->kids[i], value))
                return true;
        return false;
    case LF_STRING:
        return matcher_accepts(&f->m, value);
    case LF_NUMBER:
    case LF_DURATION:
    case LF_BYTES:
        return quantity_may_accept(f, value);
    case LF_IP:
        break;
    }
    return true;
}

void label_filter_names(const struct label_filter *f, void (*fn)(void *ctx, sv name), void *ctx)
{
    for (size_t i = 0; i < f->n; i++)
        label_filter_names(f->kids[i], fn, ctx);
    if (f->kind > LF_OR)
        fn(ctx, f->m.name);
}

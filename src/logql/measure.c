/* measure.c - how much a query asks for, as far as its text says. The parser bounds how deep it is. */
#include "logql/ast.h"

static void measure_log(const struct log_query *q, struct logql_measure *m)
{
    m->matchers = MAX(m->matchers, q->n_matchers);
}

static void measure(const struct logql_expr *x, struct logql_measure *m)
{
    switch (x->kind) {
    case EXPR_LOG:
        measure_log(&x->log, m);
        break;
    case EXPR_RANGE:
        measure_log(&x->range.log, m);
        m->range_ns = MAX(m->range_ns, x->range.range_ns);
        break;
    case EXPR_VECTOR_AGG:
        measure(x->agg.inner, m);
        break;
    case EXPR_BINARY:
        measure(x->bin.left, m);
        measure(x->bin.right, m);
        break;
    case EXPR_LABEL_REPLACE:
        measure(x->replace.inner, m);
        break;
    case EXPR_LITERAL:
    case EXPR_VECTOR:
        break;
    }
}

struct logql_measure logql_measure(const struct logql_expr *x)
{
    struct logql_measure m = {0};
    measure(x, &m);
    return m;
}

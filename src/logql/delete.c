/* delete.c - a log query as a request to delete: a selector and line filters, nothing else. What is deleted must be told for
 * each stored row alone, and must not change with the language. */
#include "logql/ast.h"
#include "store/deletes.h"

static bool filter_of(const struct line_filter *f, struct arena *a, struct delete_filter *ret, struct err *e)
{
    sv *texts = arena_array(a, f->n, sizeof *texts);
    if (!texts)
        return arena_err(a, e, "the delete request");
    *ret = (struct delete_filter){.negative = f->op == LINE_NOT_CONTAINS || f->op == LINE_NOT_MATCH,
                                  .regex = f->op == LINE_MATCH || f->op == LINE_NOT_MATCH,
                                  .texts = texts,
                                  .n = f->n};
    for (size_t i = 0; i < f->n; i++)
        texts[i] = f->args[i].text;
    return true;
}

/* |=, !=, |~, !~ and no ip() */
static bool plain(const struct stage *s)
{
    if (s->kind != STAGE_LINE_FILTER || s->line.op == LINE_PATTERN || s->line.op == LINE_NOT_PATTERN)
        return false;
    for (size_t i = 0; i < s->line.n; i++)
        if (s->line.args[i].ip)
            return false;
    return true;
}

bool logql_to_delete(const struct logql_expr *x, struct arena *a, struct delete_request *ret, struct err *e)
{
    if (logql_is_metric(x))
        return err_set(e, ERR_UNSUPPORTED, "only log queries can be deleted: a selector, and line filters");
    const struct log_query *q = &x->log;
    struct delete_filter *filters = arena_array(a, q->n_stages + 1, sizeof *filters);
    if (!filters)
        return arena_err(a, e, "the delete request");
    for (size_t i = 0; i < q->n_stages; i++) {
        if (!plain(&q->stages[i])) {
            SCOPED(buf_done) struct buf text = {0};
            print_stage(&q->stages[i], &text);
            return err_set(e, ERR_UNSUPPORTED, "delete requests are a selector and line filters |=, !=, |~, !~, without '" SV_FMT "'",
                           SV_ARG(sv_sub(sv_trim(buf_view(&text)), 0, 100)));
        }
        if (!filter_of(&q->stages[i].line, a, &filters[i], e))
            return false;
    }
    ret->matchers = q->matchers;
    ret->n_matchers = q->n_matchers;
    ret->filters = filters;
    ret->n_filters = q->n_stages;
    return true;
}

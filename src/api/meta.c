/* meta.c - labels, label values, series, index/stats: what streams there are. On the query workers, since a store with
 * many streams takes its time. And format_query. */
#include "api/call.h"
#include "api/encode.h"
#include "base/clock.h"
#include "base/json_out.h"
#include "base/map.h"
#include "logql/logql.h"
#include <inttypes.h>

struct meta_call { /* c->own */
    int64_t start_ns, end_ns;
    /* Writes the answer; `m` may be empty. */
    bool (*answer)(struct call *c, const struct matcher *m, size_t n, struct arena *a, struct buf *out, struct err *e);
    sv selector_param; /* where the selector is; SV_NULL: the answer reads its own */
    bool selector_needed;
};

static bool with_selector(struct call *c, struct arena *a, struct buf *out, struct err *e)
{
    const struct meta_call *own = c->own;
    sv text = own->selector_param.n ? params_get(&c->params, own->selector_param) : SV_NULL;
    struct matcher *m = NULL;
    size_t n = 0;
    if ((text.n || own->selector_needed) && !logql_parse_selector(text, !own->selector_needed, a, &m, &n, e))
        return false;
    bool ok = own->answer(c, m, n, a, out, e);
    logql_free_matchers(m, n);
    return ok;
}

static void work(struct call *c)
{
    struct err e = {0};
    struct arena a;
    struct buf out = buf_capped(c->api->cfg.max_query_memory);
    arena_init(&a, c->api->cfg.max_query_memory);
    bool ok = with_selector(c, &a, &out, &e);
    arena_done(&a);
    if (ok) {
        call_json(c, &out);
        return;
    }
    buf_done(&out);
    call_query_error(c, &e);
}

static void start(struct call *c, const struct meta_call *how)
{
    struct meta_call *own = ARENA_NEW(c->req->arena, struct meta_call);
    struct err e = {0};
    if (!own) {
        err_nomem(&e);
        call_query_error(c, &e);
        return;
    }
    *own = *how;
    c->own = own;
    if (params_bounds(&c->params, &c->limits, clock_wall_ns(), &own->start_ns, &own->end_ns, &e))
        call_run(c, c->api->queries, work, 429, "too many outstanding requests (max_concurrent_queries)");
    else
        call_query_error(c, &e);
}

/* ---- labels, values ---- */

static bool answer_labels(struct call *c, const struct matcher *m, size_t n, struct arena *a, struct buf *out,
                          struct err *e)
{
    const struct meta_call *own = c->own;
    sv *names;
    size_t n_names;
    if (!store_label_names(c->api->st, c->tenant, m, n, own->start_ns, own->end_ns, a, &names, &n_names, e))
        return false;
    encode_strings(out, names, n_names);
    return true;
}

void meta_labels(struct call *c)
{
    start(c, &(struct meta_call){.answer = answer_labels, .selector_param = SV("query")});
}

static bool answer_values(struct call *c, const struct matcher *m, size_t n, struct arena *a, struct buf *out,
                          struct err *e)
{
    const struct meta_call *own = c->own;
    sv name = sv_from(c->req->path, sizeof "/loki/api/v1/label/" - 1), *values;
    size_t n_values;
    name.n -= sizeof "/values" - 1;
    if (!store_label_values(c->api->st, c->tenant, name, m, n, own->start_ns, own->end_ns, a, &values, &n_values, e))
        return false;
    encode_strings(out, values, n_values);
    return true;
}

void meta_label_values(struct call *c)
{
    start(c, &(struct meta_call){.answer = answer_values, .selector_param = SV("query")});
}

/* ---- series ---- */

struct series {
    struct buf *out;
    struct arena *a;
    struct map seen; /* label sets already written, by their JSON; only with several selectors */
    bool several, nomem;
    size_t n;
};

static bool put_series(void *ctx, struct labels l)
{
    struct series *s = ctx;
    size_t mark = s->out->n;
    if (s->n)
        buf_char(s->out, ',');
    size_t from = s->out->n;
    encode_labels(s->out, l);
    if (s->out->failed)
        return false;
    s->n++;
    if (!s->several)
        return true;
    sv text = arena_sv(s->a, sv_from(buf_view(s->out), from));
    struct map_slot *slot = text.p ? map_put(&s->seen, text) : NULL;
    s->nomem = !slot;
    if (s->nomem)
        return false;
    if (slot->value) {
        s->out->n = mark;
        s->n--;
    }
    slot->value = s;
    return true;
}

/* "match" or "match[]": the n-th of either name. */
static sv match_param(const struct params *p, size_t n_bracketed, size_t nth)
{
    return nth < n_bracketed ? params_nth(p, SV("match[]"), nth) : params_nth(p, SV("match"), nth - n_bracketed);
}

static bool series_of(struct call *c, sv selector, struct series *s, struct err *e)
{
    const struct meta_call *own = c->own;
    struct matcher *m = NULL;
    size_t n = 0;
    if (selector.n && !logql_parse_selector(selector, true, s->a, &m, &n, e))
        return false;
    bool ok = store_series(c->api->st, c->tenant, m, n, own->start_ns, own->end_ns, put_series, s, e);
    logql_free_matchers(m, n);
    return ok && (!s->nomem || err_nomem(e));
}

static bool answer_series(struct call *c, const struct matcher *m, size_t n, struct arena *a, struct buf *out,
                          struct err *e)
{
    size_t n_bracketed = 0;
    while (params_nth(&c->params, SV("match[]"), n_bracketed).p)
        n_bracketed++;
    struct series s = {.out = out, .a = a, .several = match_param(&c->params, n_bracketed, 1).p != NULL};
    buf_sv(out, SV("{\"status\":\"success\",\"data\":["));
    size_t i = 0;
    bool ok;
    do
        ok = series_of(c, match_param(&c->params, n_bracketed, i), &s, e);
    while (ok && match_param(&c->params, n_bracketed, ++i).p);
    map_done(&s.seen);
    buf_sv(out, SV("]}\n"));
    return ok;
}

void meta_series(struct call *c)
{
    start(c, &(struct meta_call){.answer = answer_series});
}

/* ---- index/stats ---- */

static bool answer_stats(struct call *c, const struct matcher *m, size_t n, struct arena *a, struct buf *out,
                         struct err *e)
{
    const struct meta_call *own = c->own;
    struct store_totals t;
    if (!store_totals(c->api->st, c->tenant, m, n, own->start_ns, own->end_ns, &t, e))
        return false;
    buf_fmt(out,
            "{\"streams\":%" PRIu64 ",\"chunks\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"entries\":%" PRIu64 "}\n",
            t.streams, t.chunks, t.bytes, t.entries);
    return true;
}

void meta_index_stats(struct call *c)
{
    start(c, &(struct meta_call){.answer = answer_stats, .selector_param = SV("query"), .selector_needed = true});
}

/* ---- format_query ---- */

/* On a query worker: a long query with many expressions in it takes its time, and the loop has other connections. */
static void format(struct call *c)
{
    struct err e = {0};
    struct logql_expr *x = NULL;
    struct buf text = {0}, out = {0};
    bool ok = logql_parse(params_get(&c->params, SV("query")), c->req->arena, &x, &e);
    if (ok)
        logql_print(x, &text);
    logql_free(x);
    buf_sv(&out, ok ? SV("{\"status\":\"success\",\"data\":") : SV("{\"status\":\"invalid-query\",\"error\":"));
    json_put_string(&out, ok ? buf_view(&text) : sv_of(e.msg));
    buf_sv(&out, SV("}\n"));
    buf_done(&text);
    call_reply(c, ok ? 200 : 400, "application/json; charset=UTF-8", &out);
}

void meta_format_query(struct call *c)
{
    call_run(c, c->api->queries, format, 429, "too many outstanding requests (max_concurrent_queries)");
}

/* query.c - query_range and query: parameters on the loop, the rest on a query worker. */
#include "api/call.h"
#include "api/encode.h"
#include "base/clock.h"
#include "logql/logql.h"
#include "logql/units.h"
#include <inttypes.h>

#define HEADER_FLAGS SV("x-loki-response-encoding-flags")

struct query_call { /* c->own */
    struct query_params q;
    bool instant;
};

static bool check_measure(const struct limits *l, const struct logql_expr *x, struct err *e)
{
    struct logql_measure m = logql_measure(x);
    if (l->max_streams_matchers_per_query && m.matchers > l->max_streams_matchers_per_query)
        return err_set(e, ERR_LIMIT, "max streams matchers per query exceeded, matchers-count > limit (%zu > %" PRIu64 ")",
                       m.matchers, l->max_streams_matchers_per_query);
    if (l->max_query_range <= 0 || m.range_ns <= l->max_query_range)
        return true;
    SCOPED(buf_done) struct buf have = {0}, limit = {0};
    print_duration_prometheus(m.range_ns, &have);
    print_duration_prometheus(l->max_query_range, &limit);
    return err_set(e, ERR_LIMIT, "[interval] value exceeds limit: [" SV_FMT "] > [" SV_FMT "]", SV_ARG(buf_view(&have)),
                   SV_ARG(buf_view(&limit)));
}

/* Limits that depend on the kind of query, and what the frontend does to its range. */
static bool prepare(struct call *c, const struct logql_expr *x, struct query_params *q, bool instant, struct err *e)
{
    uint64_t max = c->limits.max_entries_limit_per_query;
    if (!check_measure(&c->limits, x, e))
        return false;
    if (logql_is_metric(x)) {
        if (!instant)
            params_align(q);
        return true;
    }
    if (instant)
        return err_set(e, ERR_INVALID,
                       "log queries are not supported as an instant query type, please change your query to a range "
                       "query type");
    if (max && q->limit > max)
        return err_set(e, ERR_LIMIT,
                       "max entries limit per query exceeded, limit > max_entries_limit_per_query (%" PRIu64 " > %" PRIu64
                       ")", q->limit, max);
    return true;
}

static void observe(struct call *c, const struct logql_result *r, bool instant)
{
    static const double seconds[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60};
    static const double rates[] = {1e6, 1e7, 5e7, 1e8, 2e8, 5e8, 1e9, 2e9, 5e9, 1e10};
    const char *labels[] = {"status_code", "200", "type", r->kind == LOGQL_STREAMS ? "limited" : "metric", "range",
                            instant ? "instant" : "range", NULL};
    metric_observe(metrics_histogram(c->api->metrics, "loki_logql_querystats_latency_seconds",
                                     "Distribution of latency for LogQL queries.", labels, seconds, ARRAY_LEN(seconds)),
                   r->exec_s);
    if (r->exec_s > 0)
        metric_observe(metrics_histogram(c->api->metrics, "loki_logql_querystats_bytes_processed_per_seconds",
                                         "Distribution of bytes processed per second for LogQL queries.", labels, rates,
                                         ARRAY_LEN(rates)),
                       (double)r->stats.bytes_considered / r->exec_s);
}

static bool evaluate(struct call *c, const struct logql_expr *x, struct arena *a, int64_t queued_ns, struct buf *out,
                     struct err *e)
{
    const struct query_call *own = c->own;
    const struct api_config *cfg = &c->api->cfg;
    struct query_params q = own->q;
    struct logql_result r = {0};
    if (!prepare(c, x, &q, own->instant, e))
        return false;
    struct logql_params p = {
        .tenant = c->tenant,
        .start_ns = q.start_ns,
        .end_ns = q.end_ns,
        .step_ns = q.step_ns,
        .instant = own->instant,
        .backward = q.backward,
        .limit = q.limit,
        .interval_ns = q.interval_ns,
        .max_series = c->limits.max_query_series,
        .deadline_mono_ns = c->limits.query_timeout > 0 ? c->started_ns + c->limits.query_timeout : 0,
        .cancel = http_cancelled(c->x),
        .max_memory = cfg->max_query_memory,
    };
    if (!logql_run(c->api->st, x, &p, a, &r, e))
        return false;
    observe(c, &r, own->instant);
    sv flags = http_header(c->req, HEADER_FLAGS);
    struct encode_opts o = {.flags = flags,
                            .categorize = encode_has_flag(flags, SV("categorize-labels")),
                            .backward = q.backward,
                            .queue_s = (double)queued_ns / NS_PER_S};
    return encode_query(&r, &o, a, out, e);
}

static void work(struct call *c)
{
    int64_t queued_ns = clock_mono_ns() - c->started_ns;
    struct err e = {0};
    struct arena a;
    struct buf out = buf_capped(c->api->cfg.max_query_memory);
    struct logql_expr *x = NULL;
    arena_init(&a, c->api->cfg.max_query_memory);
    bool ok = logql_parse(((const struct query_call *)c->own)->q.query, &a, &x, &e) &&
              evaluate(c, x, &a, queued_ns, &out, &e);
    logql_free(x);
    arena_done(&a);
    if (ok) {
        call_json(c, &out);
        return;
    }
    buf_done(&out);
    call_query_error(c, &e);
}

static void start(struct call *c, bool instant)
{
    struct query_call *own = ARENA_NEW(c->req->arena, struct query_call);
    struct err e = {0};
    if (!own) {
        err_nomem(&e);
        call_query_error(c, &e);
        return;
    }
    c->own = own;
    own->instant = instant;
    int64_t now = clock_wall_ns();
    if (instant ? params_instant_query(&c->params, &c->limits, now, &own->q, &e)
                : params_range_query(&c->params, &c->limits, now, &own->q, &e))
        call_run(c, c->api->queries, work, 429, "too many outstanding requests (max_concurrent_queries)");
    else
        call_query_error(c, &e);
}

void query_range(struct call *c)
{
    start(c, false);
}

void query_instant(struct call *c)
{
    start(c, true);
}

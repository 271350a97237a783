/* api.c - see api.h: settings, routes, whose request it is, how it is counted. */
#include "api/api.h"
#include "api/call.h"
#include "api/page.h"
#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PUSH_QUEUE_MAX 1024
#define TENANT_MAX 150
enum { TENANTS_MAX = 100 };

enum { OPEN = 1 /* needs no tenant */, PARAMS = 2 /* read the parameters first */, TENANTS = 4 /* there may be several */ };

const struct option api_options[] = {
    OPT(BOOL, struct api_config, auth_enabled, "false",
        "require the tenant in the header X-Scope-OrgID; otherwise every request is tenant fake"),
    OPT(BOOL, struct api_config, multi_tenant_queries_enabled, "false",
        "let queries name several tenants, \"a|b\"; series then have the label __tenant_id__"),
    OPT(BYTES, struct api_config, max_recv_msg_size, "100MiB", "largest push body as sent"),
    OPT(BYTES, struct api_config, max_decompressed_size, "100MiB", "largest push body after decompression"),
    OPT(BYTES, struct api_config, max_query_memory, "256MiB", "memory one query may use; 0: no cap"),
    OPT(DURATION, struct api_config, delete_max_interval, "24h", "largest `max_interval` of a delete request; 0: any"),
    OPT(U64, struct api_config, max_concurrent_queries, "4", "queries running at a time; as many again may wait"),
    {0},
};

/* ---- counting and answering ---- */

static void count(struct call *c, int status)
{
    static const double bounds[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100};
    char code[12];
    snprintf(code, sizeof code, "%d", status);
    sv known[] = {SV("GET"), SV("POST"), SV("HEAD"), SV("PUT"), SV("DELETE")};
    const char *method = "other";
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        method = sv_eq(c->req->method, known[i]) ? known[i].p : method;
    const char *labels[] = {"method", method, "route", c->route, "status_code", code, "ws", "false", NULL};
    struct metric *m = metrics_histogram(c->api->metrics, "loki_request_duration_seconds",
                                         "Time (in seconds) spent serving HTTP requests.", labels, bounds,
                                         ARRAY_LEN(bounds));
    metric_observe(m, (double)(clock_mono_ns() - c->started_ns) / NS_PER_S);
    metric_add(c->inflight, -1);
}

void call_reply_retry(struct call *c, int status, const char *content_type, struct buf *body, int64_t retry_after_ms)
{
    struct http_header headers[3];
    size_t n = 0;
    char seconds[24];
    if (content_type) {
        headers[n++] = (struct http_header){SV("content-type"), sv_of(content_type)};
        headers[n++] = (struct http_header){SV("x-content-type-options"), SV("nosniff")};
    }
    if (retry_after_ms >= 0) {
        snprintf(seconds, sizeof seconds, "%lld", (long long)MAX((retry_after_ms + 999) / 1000, (int64_t)1));
        headers[n++] = (struct http_header){SV("retry-after"), sv_of(seconds)};
    }
    count(c, status);
    http_reply(c->x, status, headers, n, body);
}

void call_reply(struct call *c, int status, const char *content_type, struct buf *body)
{
    call_reply_retry(c, status, content_type, body, -1);
}

void call_text(struct call *c, int status, sv text)
{
    struct buf body = {0};
    buf_sv(&body, text);
    call_reply(c, status, "text/plain; charset=utf-8", &body);
}

void call_empty(struct call *c, int status)
{
    call_reply(c, status, NULL, NULL);
}

void call_json(struct call *c, struct buf *body)
{
    struct err e = {0};
    if (buf_ok(body, &e)) {
        call_reply(c, 200, "application/json; charset=UTF-8", body);
        return;
    }
    buf_done(body);
    if (e.code == ERR_LIMIT)
        err_ctx(&e, "the answer is too large (max_query_memory)");
    call_query_error(c, &e);
}

void call_query_error(struct call *c, const struct err *e)
{
    switch (e->code) {
    case ERR_PARSE:
    case ERR_INVALID:
    case ERR_LIMIT:
    case ERR_UNSUPPORTED:
    case ERR_NOT_FOUND:
        call_text(c, 400, sv_of(e->msg));
        break;
    case ERR_CANCELLED:
        call_text(c, 499, SV("the request was cancelled by the client"));
        break;
    case ERR_TIMEOUT:
        call_text(c, 504,
                  SV("request timed out, decrease the duration of the request or add more label matchers (prefer exact "
                     "match over regex match) to reduce the amount of data processed"));
        break;
    case ERR_UNAVAILABLE:
    case ERR_NOMEM:
        call_text(c, 503, sv_of(e->msg));
        break;
    default:
        call_text(c, 500, sv_of(e->msg));
    }
}

static void run_task(struct pool_task *t)
{
    struct call *c = CONTAINER_OF(t, struct call, task);
    c->work(c);
}

void call_run(struct call *c, struct pool *p, void (*work)(struct call *c), int status, const char *text)
{
    c->task.fn = run_task;
    c->work = work;
    if (pool_submit(p, &c->task))
        return;
    struct buf body = {0};
    buf_sv(&body, sv_of(text));
    call_reply_retry(c, status, "text/plain; charset=utf-8", &body, 1000);
}

/* ---- tenants ---- */

static bool tenant_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!-_.*'()", c) != NULL);
}

static int check_tenant(sv id, struct err *e)
{
    if (!id.n)
        return err_set(e, ERR_INVALID, "no org id"), 401;
    if (id.n > TENANT_MAX)
        return err_set(e, ERR_LIMIT, "tenant ID is too long: max %d characters", TENANT_MAX), 400;
    for (size_t i = 0; i < id.n; i++)
        if (!tenant_char(id.p[i]))
            return err_set(e, ERR_INVALID, "tenant ID '" SV_FMT "' contains unsupported character '%c'", SV_ARG(id),
                           id.p[i] >= 0x20 && id.p[i] < 0x7f ? id.p[i] : '?'), 400;
    if (sv_eq(id, SV(".")) || sv_eq(id, SV("..")))
        return err_set(e, ERR_INVALID, "tenant ID is '.' or '..'"), 400;
    return 0;
}

/* "b|a|b" as "a|b", in *ret; every name is checked. */
static int tenant_list_of(struct call *c, sv ids, sv *ret, struct err *e)
{
    sv at[TENANTS_MAX];
    size_t n = 0;
    for (bool more = true; more;) {
        more = sv_find_char(ids, '|') != SV_NPOS;
        sv id = more ? sv_cut(&ids, '|') : ids;
        int status = check_tenant(id, e);
        if (status)
            return status;
        size_t i = n;
        while (i > 0 && sv_cmp(at[i - 1], id) > 0)
            i--;
        if (i > 0 && sv_eq(at[i - 1], id))
            continue;
        if (n == TENANTS_MAX)
            return err_set(e, ERR_LIMIT, "a query names more than %d tenants", TENANTS_MAX), 400;
        memmove(&at[i + 1], &at[i], (n - i) * sizeof *at);
        at[i] = id;
        n++;
    }
    struct buf b = {0};
    for (size_t i = 0; i < n; i++) {
        buf_sv(&b, i ? SV("|") : SV(""));
        buf_sv(&b, at[i]);
    }
    *ret = arena_sv(c->req->arena, buf_view(&b));
    buf_done(&b);
    return ret->p ? 0 : (err_nomem(e), 503);
}

/* 0, or the status to answer with. */
static int find_tenant(struct call *c, unsigned flags, struct err *e)
{
    c->tenant = STORE_TENANT_SINGLE;
    if (!c->api->cfg.auth_enabled)
        return 0;
    c->tenant = http_header(c->req, SV("x-scope-orgid"));
    if (!c->api->cfg.multi_tenant_queries_enabled || sv_find_char(c->tenant, '|') == SV_NPOS)
        return check_tenant(c->tenant, e);
    int status = tenant_list_of(c, c->tenant, &c->tenant, e);
    if (!status && !(flags & TENANTS) && sv_find_char(c->tenant, '|') != SV_NPOS)
        return err_set(e, ERR_INVALID, "multiple org IDs present"), 400;
    return status;
}

/* The stricter of two limits of which 0 is none. */
#define STRICTER(field) l->field = !l->field || !more.field ? MAX(l->field, more.field) : MIN(l->field, more.field)

/* Of several tenants the strictest counts. */
static void find_limits(struct call *c)
{
    sv rest = c->tenant;
    struct limits *l = &c->limits, more;
    store_limits(c->api->st, sv_cut(&rest, '|'), l);
    while (rest.n) {
        store_limits(c->api->st, sv_cut(&rest, '|'), &more);
        STRICTER(max_entries_limit_per_query);
        STRICTER(max_query_series);
        STRICTER(max_streams_matchers_per_query);
        STRICTER(max_query_length);
        STRICTER(max_query_lookback);
        STRICTER(max_query_range);
        STRICTER(query_timeout);
    }
}

/* ---- routes ---- */

static void begin(struct api *api, struct http_exchange *x, const char *route, unsigned flags, call_fn *fn)
{
    const struct http_request *req = http_request_of(x);
    struct call *c = ARENA_NEW(req->arena, struct call);
    struct err e = {0};
    if (!c) {
        http_reply_text(x, 503, SV("out of memory"));
        return;
    }
    c->api = api;
    c->x = x;
    c->req = req;
    c->route = route;
    c->started_ns = clock_mono_ns();
    c->inflight = metrics_get(api->metrics, METRIC_GAUGE, "loki_inflight_requests", "Current number of inflight requests.",
                              (const char *[]){"route", route, NULL});
    metric_add(c->inflight, 1);
    int status = flags & OPEN ? 0 : find_tenant(c, flags, &e);
    if (!status)
        find_limits(c);
    if (!status && flags & PARAMS && !params_read(req, req->arena, &c->params, &e))
        status = 400;
    if (status)
        call_text(c, status, sv_of(e.msg));
    else
        fn(c);
}

/* id (the metric label `route`, formed as Loki does), methods, path, flags, handler */
#define ROUTES(X)                                                                                                \
    X(otlp_v1_logs, "POST", "/otlp/v1/logs", 0, push_otlp)                                                       \
    X(loki_api_v1_push, "POST", "/loki/api/v1/push", 0, push_loki)                                               \
    X(api_prom_push, "POST", "/api/prom/push", 0, push_loki_legacy)                                              \
    X(loki_api_v1_query_range, "GET POST", "/loki/api/v1/query_range", PARAMS | TENANTS, query_range)            \
    X(loki_api_v1_query, "GET POST", "/loki/api/v1/query", PARAMS | TENANTS, query_instant)                      \
    X(loki_api_v1_labels, "GET POST", "/loki/api/v1/labels", PARAMS | TENANTS, meta_labels)                      \
    X(loki_api_v1_label, "GET POST", "/loki/api/v1/label", PARAMS | TENANTS, meta_labels)                        \
    X(loki_api_v1_label_name_values, "GET POST", "/loki/api/v1/label/*/values", PARAMS | TENANTS, meta_label_values) \
    X(loki_api_v1_series, "GET POST", "/loki/api/v1/series", PARAMS | TENANTS, meta_series)                      \
    X(loki_api_v1_index_stats, "GET POST", "/loki/api/v1/index/stats", PARAMS | TENANTS, meta_index_stats)       \
    X(loki_api_v1_format_query, "GET POST", "/loki/api/v1/format_query", OPEN | PARAMS, meta_format_query)       \
    X(loki_api_v1_status_buildinfo, "GET", "/loki/api/v1/status/buildinfo", OPEN, ops_buildinfo)                 \
    X(config_tenant_v1_limits, "GET", "/config/tenant/v1/limits", 0, ops_tenant_limits)                          \
    X(ready, "GET", "/ready", OPEN, ops_ready)                                                                   \
    X(metrics, "GET", "/metrics", OPEN, ops_metrics)                                                             \
    X(flush, "GET POST", "/flush", OPEN, ops_flush)                                                              \
    X(merge, "POST", "/merge", OPEN, ops_merge)                                                                  \
    X(loki_api_v1_index_volume, "GET POST", "/loki/api/v1/index/volume", OPEN, ops_not_yet)                      \
    X(loki_api_v1_index_volume_range, "GET POST", "/loki/api/v1/index/volume_range", OPEN, ops_not_yet)          \
    X(loki_api_v1_detected_labels, "GET POST", "/loki/api/v1/detected_labels", OPEN, ops_not_yet)                \
    X(loki_api_v1_detected_fields, "GET POST", "/loki/api/v1/detected_fields", OPEN, ops_not_yet)                \
    X(loki_api_v1_detected_field_values, "GET POST", "/loki/api/v1/detected_field/*/values", OPEN, ops_not_yet)  \
    X(loki_api_v1_patterns, "GET POST", "/loki/api/v1/patterns", OPEN, ops_not_yet)                              \
    X(loki_api_v1_tail, "GET", "/loki/api/v1/tail", OPEN, ops_not_yet)                                           \
    X(loki_api_v1_delete, "GET POST PUT DELETE", "/loki/api/v1/delete", PARAMS, deletes_any)                     \
    X(loki_api_v1_rules, "GET POST DELETE", "/loki/api/v1/rules/**", OPEN, ops_not_yet)                          \
    X(prometheus_api_v1_rules, "GET", "/prometheus/api/v1/*", OPEN, ops_not_yet)

/* A handler is not told which route it serves: one small function for each. */
#define ROUTE_FN(id, methods, path, flags, fn)                                                                    \
    static void route_##id(void *ctx, struct http_exchange *x)                                                    \
    {                                                                                                             \
        begin(ctx, x, #id, flags, fn);                                                                            \
    }
ROUTES(ROUTE_FN)

#define ROUTE_ROW(id, methods, path, flags, fn) {methods, path, route_##id},
static const struct http_route routes[] = {ROUTES(ROUTE_ROW){0}};

void api_handle(void *ctx, struct http_exchange *x)
{
    http_route(routes, ctx, x);
}

void api_handle_with_page(void *ctx, struct http_exchange *x)
{
    if (!page_reply(x))
        api_handle(ctx, x);
}

/* ---- opening and closing ---- */

bool api_open(struct store *st, struct metrics *metrics, const struct api_config *cfg, struct api **ret, struct err *e)
{
    if (!cfg->max_concurrent_queries)
        return err_set(e, ERR_INVALID, "'max_concurrent_queries': at least 1");
    struct api *api = calloc(1, sizeof *api);
    if (!api)
        return err_nomem(e);
    api->cfg = *cfg;
    api->st = st;
    api->metrics = metrics;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n_queries = (unsigned)MIN(cfg->max_concurrent_queries, (uint64_t)1024);
    unsigned n_pushes = (unsigned)MAX(MIN(cpus, 16l), 1l);
    if (!pool_open("query", n_queries, n_queries, &api->queries, e) ||
        !pool_open("push", n_pushes, PUSH_QUEUE_MAX, &api->pushes, e)) {
        api_close(api);
        return false;
    }
    struct metric *info = metrics_get(metrics, METRIC_GAUGE, "loki_build_info", "A metric with a constant '1' value.",
                                      (const char *[]){"version", WEIR_VERSION, NULL});
    metric_set(info, 1);
    *ret = api;
    return true;
}

void api_close(struct api *api)
{
    if (!api)
        return;
    pool_close(api->queries);
    pool_close(api->pushes);
    free(api);
}

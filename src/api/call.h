/* call.h - one request on its way through the API: whose it is, where it runs, how it is answered and counted.
 * (1) A call lives in its exchange's arena and ends with its answer: after call_reply() and the like it is gone.
 * (2) Handlers start on an event loop; what may take long goes to a pool with call_run(). */
#pragma once
#include "api/api.h"
#include "api/params.h"

struct api {
    struct api_config cfg; /* set by api_open(), then read-only; so the next four */
    struct store *st;
    struct metrics *metrics;
    struct pool *queries; /* max_concurrent_queries threads */
    struct pool *pushes;  /* decoding of large bodies */
};

struct call {
    struct api *api;
    struct http_exchange *x;
    const struct http_request *req;
    const char *route; /* for metrics */
    sv tenant;
    struct limits limits; /* the tenant's; of an open route everybody's */
    int64_t started_ns; /* monotonic */
    struct params params; /* of the query routes */
    struct pool_task task;
    void (*work)(struct call *c);
    struct metric *inflight;
    void *own; /* the handler's, in req->arena */
};

/* Runs `work` on a pool; when its queue is full the caller is told to come back: `status`, Retry-After and `text`. */
void call_run(struct call *c, struct pool *p, void (*work)(struct call *c), int status, const char *text);

/* Answers; each ends the call. The body's memory is taken over. */
void call_reply(struct call *c, int status, const char *content_type, struct buf *body);
void call_reply_retry(struct call *c, int status, const char *content_type, struct buf *body, int64_t retry_after_ms);
void call_text(struct call *c, int status, sv text);
void call_empty(struct call *c, int status);
void call_json(struct call *c, struct buf *body); /* 200, or 500/400 when the buffer failed */
/* A failed query in Loki's words and status. */
void call_query_error(struct call *c, const struct err *e);

/* Handlers. They start on the loop. */
typedef void call_fn(struct call *c);
call_fn push_otlp, push_loki, push_loki_legacy;
call_fn query_range, query_instant;
call_fn meta_labels, meta_label_values, meta_series, meta_index_stats, meta_format_query;
call_fn deletes_any;
call_fn ops_tenant_limits, ops_ready, ops_metrics, ops_buildinfo, ops_flush, ops_merge, ops_not_yet;

/* params.h - parameters of the query API: times, durations, steps, limits, with Loki's defaults, readings and error texts.
 * No sockets and no clock: the caller says what time it is. */
#pragma once
#include "net/http.h"

struct limits;

/* The parameters of one request. Values of a form body come before those of the URL. */
struct params {
    struct http_params body, url;
};
MUST_USE bool params_read(const struct http_request *r, struct arena *a, struct params *ret, struct err *e);
sv params_get(const struct params *p, sv name);             /* SV_NULL when absent */
sv params_nth(const struct params *p, sv name, size_t nth); /* the n-th of that name, body first */

/* A point in time: empty gives `fallback`; with a '.' float seconds; up to ten characters seconds, longer nanoseconds;
 * else RFC 3339. Seconds beyond the range of nanoseconds are clamped. */
MUST_USE bool param_time(sv text, int64_t fallback, int64_t *ret_ns, struct err *e);
/* Float seconds or a Prometheus duration. */
MUST_USE bool param_duration(sv text, int64_t *ret_ns, struct err *e);

struct query_params {
    sv query;
    int64_t start_ns, end_ns, step_ns, interval_ns;
    uint64_t limit;
    bool backward;
};
/* query_range; of the limits, those that need no look at the query. */
MUST_USE bool params_range_query(const struct params *p, const struct limits *lim, int64_t now_ns,
                                 struct query_params *ret, struct err *e);
/* query: start and end are `time`. */
MUST_USE bool params_instant_query(const struct params *p, const struct limits *lim, int64_t now_ns,
                                   struct query_params *ret, struct err *e);
/* start, end, since of labels, values, series, index/stats. */
MUST_USE bool params_bounds(const struct params *p, const struct limits *lim, int64_t now_ns, int64_t *ret_start,
                            int64_t *ret_end, struct err *e);
/* Start down and end up to a multiple of step, as metric queries are evaluated. */
void params_align(struct query_params *q);

/* "2026-01-02T03:04:05.678+02:00"; clamped to what nanoseconds can say. */
MUST_USE bool rfc3339_parse(sv text, int64_t *ret_ns);
/* Go's %q, for messages: in quotes, at most 100 bytes of it. */
void put_quoted(struct buf *out, sv s);

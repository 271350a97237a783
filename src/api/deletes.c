/* deletes.c - Loki's delete API on /loki/api/v1/delete: POST or PUT asks, GET lists, DELETE cancels. Statuses and texts are
 * Loki's. On the pool: a request is on disk before it is answered. */
#include "api/call.h"
#include "api/encode.h"
#include "base/clock.h"
#include "base/json_out.h"
#include "logql/logql.h"
#include "logql/units.h"
#include "store/deletes.h"
#include <inttypes.h>
#include <stdio.h>

/* Seconds since 1970 in ten digits, or RFC 3339; to the millisecond, as Loki keeps it. */
static bool read_time(sv text, int64_t *ret_ns)
{
    int64_t v, ns;
    if (rfc3339_parse(text, &ns)) {
        int64_t over = (ns % NS_PER_MS + NS_PER_MS) % NS_PER_MS;
        *ret_ns = ns > INT64_MIN + NS_PER_MS ? ns - over : INT64_MIN;
        return true;
    }
    if (text.n != 10 || !sv_to_i64(text, &v))
        return false;
    if (__builtin_mul_overflow(v, NS_PER_S, ret_ns))
        *ret_ns = INT64_MAX;
    return true;
}

static bool check_interval(const struct call *c, const struct delete_request *rq, struct err *e)
{
    sv text = params_get(&c->params, SV("max_interval"));
    int64_t interval, most = c->api->cfg.delete_max_interval, span;
    SCOPED(buf_done) struct buf b = {0};
    if (!text.n)
        return true;
    if (!parse_duration(text, &interval, NULL) || interval < NS_PER_S)
        return err_set(e, ERR_INVALID, "invalid max_interval: valid time units are 's', 'm', 'h'");
    if (most && interval > most) {
        print_duration_go(most, &b);
        return err_set(e, ERR_INVALID, "max_interval can't be greater than " SV_FMT, SV_ARG(buf_view(&b)));
    }
    if (!__builtin_sub_overflow(rq->end_ns, rq->start_ns, &span) && interval > span) {
        print_duration_go(span, &b);
        return err_set(e, ERR_INVALID, "max_interval can't be greater than the interval to be deleted (" SV_FMT ")",
                       SV_ARG(buf_view(&b)));
    }
    return true;
}

static bool read_request(struct call *c, struct delete_request *rq, struct err *e)
{
    sv start = params_get(&c->params, SV("start")), end = params_get(&c->params, SV("end"));
    rq->query = params_get(&c->params, SV("query"));
    if (!rq->query.n)
        return err_set(e, ERR_INVALID, "query not set");
    if (!start.n)
        return err_set(e, ERR_INVALID, "start time not set");
    if (!read_time(start, &rq->start_ns))
        return err_set(e, ERR_INVALID, "invalid start time: require unix seconds or RFC3339 format");
    rq->end_ns = rq->created_ns;
    if (end.n && !read_time(end, &rq->end_ns))
        return err_set(e, ERR_INVALID, "invalid end time: require unix seconds or RFC3339 format");
    if (rq->end_ns > rq->created_ns)
        return err_set(e, ERR_INVALID, "deletes in the future are not allowed");
    if (rq->start_ns > rq->end_ns)
        return err_set(e, ERR_INVALID, "start time can't be greater than end time");
    return check_interval(c, rq, e);
}

/* What the client did wrong is 400, or 404; what is wrong here 500 or 503. */
static void refuse(struct call *c, const struct err *e)
{
    int status = e->code == ERR_NOT_FOUND                             ? 404
                 : e->code == ERR_NOMEM || e->code == ERR_FULL || e->code == ERR_CLOSED ? 503
                 : e->code == ERR_IO || e->code == ERR_CORRUPT        ? 500
                                                                      : 400;
    struct buf body = {0};
    buf_sv(&body, sv_of(e->msg));
    buf_char(&body, '\n');
    call_reply(c, status, "text/plain; charset=utf-8", &body);
}

static void add(struct call *c)
{
    struct delete_request rq = {.tenant = c->tenant,
                                .created_ns = clock_wall_ns(),
                                .hide_only = c->limits.deletion_mode == DELETION_FILTER_ONLY};
    struct logql_expr *x = NULL;
    struct err e = {0};
    struct arena a;
    uint64_t id;
    arena_init(&a, 4 << 20);
    bool ok = read_request(c, &rq, &e) && logql_parse(rq.query, &a, &x, &e) && logql_to_delete(x, &a, &rq, &e) &&
              store_delete(c->api->st, &rq, &id, &e);
    logql_free(x);
    arena_done(&a);
    if (ok)
        call_empty(c, 204);
    else
        refuse(c, &e);
}

struct listing {
    struct buf out;
    bool some;
};

static void put_time(struct buf *out, const char *name, int64_t ns)
{
    buf_fmt(out, ",\"%s\":", name);
    encode_seconds(out, ns);
}

static void put_request(void *ctx, const struct delete_info *d)
{
    struct listing *l = ctx;
    buf_fmt(&l->out, "%s{\"request_id\":\"%08" PRIx64 "\"", l->some ? "," : "", d->id);
    put_time(&l->out, "start_time", d->start_ns);
    put_time(&l->out, "end_time", d->end_ns);
    buf_sv(&l->out, SV(",\"query\":"));
    json_put_string(&l->out, d->query);
    buf_fmt(&l->out, ",\"status\":\"%s\"", d->processed ? "processed" : "received");
    put_time(&l->out, "created_at", d->created_ns);
    buf_char(&l->out, '}');
    l->some = true;
}

static void list(struct call *c)
{
    struct listing l = {0};
    struct err e = {0};
    buf_char(&l.out, '[');
    store_deletes(c->api->st, c->tenant, put_request, &l);
    buf_sv(&l.out, SV("]\n"));
    if (buf_ok(&l.out, &e)) {
        call_reply(c, 200, "application/json", &l.out);
        return;
    }
    buf_done(&l.out);
    refuse(c, &e);
}

static bool read_id(sv text, uint64_t *ret)
{
    char digits[17];
    char *end;
    if (!text.n || text.n >= sizeof digits)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (!((text.p[i] >= '0' && text.p[i] <= '9') || (text.p[i] >= 'a' && text.p[i] <= 'f')))
            return false;
    snprintf(digits, sizeof digits, SV_FMT, SV_ARG(text));
    *ret = strtoull(digits, &end, 16);
    return true;
}

static void cancel(struct call *c)
{
    struct err e = {0};
    uint64_t id = 0;
    (void)read_id(params_get(&c->params, SV("request_id")), &id); /* 0 is no request's */
    bool force = sv_eq(params_get(&c->params, SV("force")), SV("true"));
    if (store_delete_cancel(c->api->st, c->tenant, id, force, &e))
        call_empty(c, 204);
    else
        refuse(c, &e);
}

void deletes_any(struct call *c)
{
    if (c->limits.deletion_mode == DELETION_DISABLED) {
        call_text(c, 403, SV("deletion is not available for this tenant\n"));
        return;
    }
    void (*work)(struct call *c) = sv_eq(c->req->method, SV("GET"))      ? list
                                   : sv_eq(c->req->method, SV("DELETE")) ? cancel
                                                                         : add;
    call_run(c, c->api->pushes, work, 503, "too many requests wait");
}

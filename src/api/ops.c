/* ops.c - routes for operators: readiness, metrics, build, flush; and those of Loki's that are not there yet. */
#include "api/call.h"
#include "base/json_out.h"

/* Clients choose features by Loki's version number: the one whose API this is. Our own version is beside it. */
#define API_VERSION "3.4.6"

void ops_ready(struct call *c)
{
    struct err e = {0};
    if (store_ready(c->api->st, &e))
        call_text(c, 200, SV("ready\n"));
    else
        call_text(c, 503, sv_of(e.msg));
}

void ops_metrics(struct call *c)
{
    struct buf out = {0};
    metrics_print(c->api->metrics, &out);
    call_reply(c, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

void ops_buildinfo(struct call *c)
{
    struct buf out = {0};
    buf_sv(&out, SV("{\"version\":\"" API_VERSION "\",\"revision\":\"\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\","
                    "\"goVersion\":\"\",\"weirVersion\":\"" WEIR_VERSION "\"}\n"));
    call_reply(c, 200, "application/json", &out);
}

/* Names and values as the file of limits has them. */
void ops_tenant_limits(struct call *c)
{
    struct buf out = {0};
    for (const struct option *o = limits_options; o->name; o++) {
        buf_fmt(&out, "%s: ", o->name);
        option_print_value(o, &c->limits, &out);
        buf_char(&out, '\n');
    }
    call_reply(c, 200, "text/plain; charset=utf-8", &out);
}

static void flush(struct call *c)
{
    struct err e = {0};
    if (store_flush(c->api->st, &e))
        call_empty(c, 204);
    else
        call_text(c, 500, sv_of(e.msg));
}

void ops_flush(struct call *c)
{
    call_run(c, c->api->pushes, flush, 503, "too many requests wait");
}

/* A merge may take minutes, for which nobody's thread is kept: metrics tell when it is done. */
void ops_merge(struct call *c)
{
    store_merge_ask(c->api->st, true);
    call_empty(c, 202);
}

void ops_not_yet(struct call *c)
{
    struct buf text = {0};
    buf_sv(&text, SV("not supported yet: "));
    buf_sv(&text, c->req->path);
    call_reply(c, 404, "text/plain; charset=utf-8", &text);
}

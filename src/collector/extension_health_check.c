/* extension_health_check.c - answers "are you ready?" over HTTP, for orchestrators: 200 while all pipelines run, else 503. */
#include "base/clock.h"
#include "base/json_out.h"
#include "collector/plug.h"
#include "net/server.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct body_cfg {
    char *healthy, *unhealthy;
};
struct health_cfg {
    char *endpoint, *path;
    struct body_cfg response_body;
};

static const struct option body_options[] = {
    OPT(STR, struct body_cfg, healthy, NULL, "body of a 200; unset: JSON with status, upSince, uptime"),
    OPT(STR, struct body_cfg, unhealthy, NULL, "body of a 503"),
    {0}};
static const struct section body_section = {.options = body_options};
static const struct option options[] = {
    OPT(STR, struct health_cfg, endpoint, "localhost:13133", "where to listen; port 0 picks one"),
    OPT(STR, struct health_cfg, path, "/", "the one path that is answered"),
    {0}};
static const struct sub subs[] = {
    {.name = "response_body", .offset = offsetof(struct health_cfg, response_body), .set = NO_FLAG, .section = &body_section,
     .help = "other texts to answer with"},
    {0}};
static const struct other_key others[] = {
    {"check_collector_pipeline", KEY_NO_EFFECT, "upstream does nothing with it either"},
    {"tls", KEY_UNSUPPORTED, "it is served in plain text"},
    {"auth", KEY_UNSUPPORTED, "there are no authenticators yet"},
    {"cors", KEY_UNSUPPORTED, "web pages do not ask"},
    {"use_v2", KEY_UNSUPPORTED, "the first version of the extension is served"},
    {"http", KEY_UNSUPPORTED, "the first version of the extension is served"},
    {"grpc", KEY_UNSUPPORTED, "the first version of the extension is served"},
    {"component_health", KEY_UNSUPPORTED, "the first version of the extension is served"},
    {0}};
static void check(const struct reading *rd, void *cfg)
{
    const struct health_cfg *c = cfg;
    section_check_endpoint(rd, c->endpoint);
    if (!c->path || *c->path != '/')
        section_problem(rd, "path", "path must start with /");
}
static const struct section section = {.options = options, .subs = subs, .others = others, .check = check};

struct health {
    const struct health_cfg *cfg;
    struct http_server *server;
    _Atomic int64_t up_since_wall_ns; /* 0: not ready */
};

static void put_default(struct buf *out, int64_t up_since)
{
    char since[36] = "0001-01-01T00:00:00Z";
    if (!up_since) {
        buf_fmt(out, "{\"status\":\"Server not available\",\"upSince\":\"%s\",\"uptime\":\"\"}", since);
        return;
    }
    clock_format_rfc3339(up_since, 9, since);
    buf_fmt(out, "{\"status\":\"Server available\",\"upSince\":\"%s\",\"uptime\":\"%.9gs\"}", since,
            (double)MAX(clock_wall_ns() - up_since, (int64_t)0) / NS_PER_S);
}

static void on_health(void *ctx, struct http_exchange *x)
{
    struct health *h = ctx;
    if (!sv_eq(http_request_of(x)->path, sv_of(h->cfg->path))) {
        http_reply_text(x, 404, SV("404 page not found"));
        return;
    }
    int64_t up_since = atomic_load(&h->up_since_wall_ns);
    const char *own = up_since ? h->cfg->response_body.healthy : h->cfg->response_body.unhealthy;
    struct buf body = {0};
    if (own)
        buf_sv(&body, sv_of(own));
    else
        put_default(&body, up_since);
    const struct http_header json[] = {{SV("content-type"), own ? SV("text/plain; charset=utf-8") : SV("application/json")}};
    http_reply(x, up_since ? 200 : 503, json, 1, &body);
}

static bool open_health(const struct component *cp, const struct runtime *rt, void **ret, struct err *e)
{
    struct health *h = calloc(1, sizeof *h);
    if (!h)
        return err_nomem(e);
    h->cfg = cp->cfg;
    struct http_server_config sc = {.address = h->cfg->endpoint, .name = cp->id, .max_connections = 64, .max_body_bytes = 1024};
    if (!http_server_open(&sc, rt->loops, rt->n_loops, rt->metrics, on_health, h, &h->server, e)) {
        free(h);
        return false;
    }
    *ret = h;
    return true;
}

static void ready(void *self, bool is_ready)
{
    struct health *h = self;
    atomic_store(&h->up_since_wall_ns, is_ready ? clock_wall_ns() : 0);
}

static void close_health(void *self)
{
    struct health *h = self;
    http_server_close(h->server, 0);
    free(h);
}

static const char *address(const void *self, const char *protocol)
{
    const struct health *h = self;
    return strcmp(protocol, "http") == 0 ? http_server_address(h->server) : NULL;
}

const struct plug extension_health_check = {
    .kind = PLUG_EXTENSION, .type = "health_check", .help = "Answers 200 while the pipelines run, for orchestrators.",
    .section = &section, .cfg_size = sizeof(struct health_cfg), .sender = NO_FLAG,
    .extension = {.open = open_health, .ready = ready, .close = close_health, .address = address}};

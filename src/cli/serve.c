/* serve.c - see serve.h. Opening order: metrics, loops, store, API, listeners; so nobody is let in before the store can
 * answer. Closing runs backwards. */
#include "cli/serve.h"
#include "base/log.h"
#include <stdio.h>
#include <unistd.h>

enum { SERVE_GROUPS = 6 };

static void groups_of(struct serve_options *o, const struct option *own, struct option_group ret[static SERVE_GROUPS])
{
    ret[0] = (struct option_group){"Options", own, o};
    ret[1] = (struct option_group){"Store", store_options, &o->store};
    ret[2] = (struct option_group){"Queries and tenants", api_options, &o->limits};
    ret[3] = (struct option_group){"Limits, of each tenant", limits_options, &o->store.limits};
    ret[4] = (struct option_group){"Limits of some tenants", limits_config_options, &o->store.overrides};
    ret[5] = (struct option_group){"TLS of the API and the page", tls_server_options, &o->tls};
}

static bool set_store_dir(struct serve_options *o, struct err *e)
{
    SCOPED(buf_done) struct buf path = {0};
    buf_fmt(&path, "%s/store", o->data_dir);
    return buf_ok(&path, e) && option_set(options_find(store_options, SV("data_dir")), &o->store, buf_view(&path), e);
}

bool serve_start(const struct command *cmd, const struct option *own, int argc, char **argv, bool read_config,
                 struct serve_options *o, int *ret_exit)
{
    struct option_group groups[SERVE_GROUPS];
    groups_of(o, own, groups);
    struct err e = {0};
    const char *config = read_config ? cli_config_path(argc, argv) : NULL;
    bool ok = true;
    for (size_t i = 0; ok && i < SERVE_GROUPS; i++)
        ok = options_defaults(groups[i].table, groups[i].into, &e);
    ok = ok && (!config || cli_read_config(config, groups, SERVE_GROUPS, &e));
    int at = 1;
    if (ok && !cli_options(cmd, groups, SERVE_GROUPS, argc, argv, &at, ret_exit))
        return false;
    if (ok && at < argc)
        ok = err_set(&e, ERR_INVALID, "unexpected '%s'; see weir %s --help", argv[at], cmd->name);
    enum log_level level;
    if (ok && !log_level_of(sv_of(o->log_level), &level))
        ok = err_set(&e, ERR_INVALID, "--log-level is debug, info, warn or error, not '%s'", o->log_level);
    if (!(ok && set_store_dir(o, &e))) {
        cli_fail(cmd, &e);
        *ret_exit = EXIT_USAGE;
        return false;
    }
    log_set_level(level);
    cli_signals_block();
    return true;
}

void serve_options_done(struct serve_options *o, const struct option *own)
{
    struct option_group groups[SERVE_GROUPS];
    groups_of(o, own, groups);
    for (size_t i = 0; i < SERVE_GROUPS; i++)
        options_done(groups[i].table, groups[i].into);
}

static bool open_listener(const char *address, const char *name, const struct serve_options *o, struct serve *s,
                          http_handler_fn *handler, struct http_server **ret, struct err *e)
{
    struct http_server_config cfg = {
        .address = address, .name = name, .tls = o->tls, .max_body_bytes = o->limits.max_recv_msg_size};
    return http_server_open(&cfg, s->loops, SERVE_LOOPS, s->metrics, handler, s->api, ret, e);
}

bool serve_open(const struct serve_options *o, bool with_page, struct serve *ret, struct err *e)
{
    struct serve s = {.metrics = metrics_new()};
    bool ok = s.metrics || err_nomem(e);
    if (ok)
        metrics_add_process(s.metrics);
    for (int i = 0; ok && i < SERVE_LOOPS; i++)
        ok = loop_open("net", &s.loops[i], e);
    ok = ok && store_open(&o->store, s.metrics, &s.store, e) &&
         api_open(s.store, s.metrics, &o->limits, &s.api, e) &&
         open_listener(o->api, "api", o, &s, api_handle, &s.api_server, e) &&
         (!with_page || open_listener(o->ui, "ui", o, &s, api_handle_with_page, &s.ui_server, e));
    if (!ok) {
        serve_close(&s, 0);
        return false;
    }
    log_info("store", "data in '%s', durability: %s", o->store.data_dir, o->store.durability);
    *ret = s;
    return true;
}

void serve_close(struct serve *s, int64_t stop_by_ms)
{
    http_server_close(s->ui_server, cli_ms_left(stop_by_ms) / 2); /* a client that stalls on one leaves time for the other */
    http_server_close(s->api_server, cli_ms_left(stop_by_ms));
    api_close(s->api);
    store_close(s->store);
    for (int i = 0; i < SERVE_LOOPS; i++)
        loop_close(s->loops[i]);
    metrics_free(s->metrics);
    *s = (struct serve){0};
}

static void announce(const char *name, const struct http_server *server, const struct serve_options *o)
{
    char url[160];
    bool tls = o->tls.cert_file && *o->tls.cert_file;
    snprintf(url, sizeof url, "%s://%s", tls ? "https" : "http", http_server_address(server));
    cli_announce(name, url);
}

void serve_announce(const struct serve *s, const struct serve_options *o)
{
    announce("api", s->api_server, o);
    if (s->ui_server)
        announce("ui", s->ui_server, o);
}

void serve_wait_ready(const struct serve *s)
{
    struct err why;
    while (!store_ready(s->store, &why))
        usleep(5000);
}

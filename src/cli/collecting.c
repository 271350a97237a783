/* collecting.c - see collecting.h. */
#include "cli/collecting.h"
#include "base/log.h"
#include <stdio.h>

static bool read_config(const struct collecting *c, const struct command *cmd, struct collector_config **ret)
{
    SCOPED(buf_done) struct buf problems = {0};
    struct err e = {0};
    bool ok = c->path ? collector_config_load(c->path, c->sinks, c->n_sinks, ret, &problems, &problems, &e)
                      : collector_config_parse(c->text, "built-in", c->sinks, c->n_sinks, ret, &problems, &problems, &e);
    if (!ok)
        cli_problems(cmd, &problems, &e);
    else if (problems.n)
        fprintf(stderr, SV_FMT, SV_ARG(buf_view(&problems)));
    return ok;
}

bool collecting_start(struct collecting *c, const struct command *cmd, int *ret_exit)
{
    struct err e = {0};
    if (!read_config(c, cmd, &c->config)) {
        *ret_exit = EXIT_USAGE;
        return false;
    }
    if (collector_open(c->config, &c->options, &c->collector, &e))
        return true;
    *ret_exit = cli_fail(cmd, &e);
    return false;
}

void collecting_reload(struct collecting *c, const struct command *cmd)
{
    struct collector_config *fresh;
    struct err e = {0};
    if (!c->path) {
        log_info("collector", "nothing to reload: there is no --config file");
        return;
    }
    if (!read_config(c, cmd, &fresh)) {
        log_error("collector", "%s is not used: the running configuration goes on", c->path);
        return;
    }
    collector_close(c->collector, CLI_STOP_MS);
    c->collector = NULL;
    if (collector_open(fresh, &c->options, &c->collector, &e)) {
        collector_config_free(c->config);
        c->config = fresh;
        log_info("collector", "reloaded %s", c->path);
        return;
    }
    log_error("collector", "cannot start with the new %s (%s): going back to the old one", c->path, e.msg);
    collector_config_free(fresh);
    if (!collector_open(c->config, &c->options, &c->collector, &e))
        log_error("collector", "cannot start again: %s; nothing is received until the next SIGHUP", e.msg);
}

void collecting_stop(struct collecting *c, int64_t drain_ms)
{
    collector_close(c->collector, drain_ms);
    collector_config_free(c->config);
    c->collector = NULL;
    c->config = NULL;
}

void collecting_announce(const struct collecting *c)
{
    static const struct {
        const char *id, *protocol, *name;
    } rows[] = {{"otlp", "grpc", "grpc"}, {"otlp", "http", "http"}, {"telemetry", "metrics", "metrics"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *address = collector_address(c->collector, rows[i].id, rows[i].protocol);
        char url[160];
        if (!address)
            continue;
        snprintf(url, sizeof url, "http://%s", address);
        cli_announce(rows[i].name, url);
    }
}

/* cmd_up.c - `weir up`: collector, store, API and page in one process. The collector hands batches to the store by a
 * function call and answers its clients when the store's log is synced, so a record is written to disk once. What programs of
 * this user leave behind when they die is taken over too. */
#include "backlog/backlog.h"
#include "base/log.h"
#include "cli/collecting.h"
#include "cli/serve.h"
#include <signal.h>
#include <stdio.h>

static const struct option table[] = {
    OPT_ARG(STR, struct serve_options, config, NULL, "FILE",
            "OpenTelemetry Collector YAML instead of --grpc and --http; its exporter `store` is the store in here"),
    OPT_ARG(STR, struct serve_options, data_dir, "./weir-data", "DIR", "where everything is kept"),
    OPT_ARG(STR, struct serve_options, grpc, "127.0.0.1:4317", "ADDRESS", "listener for OTLP over gRPC"),
    OPT_ARG(STR, struct serve_options, http, "127.0.0.1:4318", "ADDRESS", "listener for OTLP over HTTP"),
    OPT_ARG(STR, struct serve_options, api, "127.0.0.1:3100", "ADDRESS", "listener for Loki push and queries"),
    OPT_ARG(STR, struct serve_options, ui, "127.0.0.1:3000", "ADDRESS", "listener for the web page"),
    OPT_ARG(STR, struct serve_options, spool_dir, NULL, "DIR",
            "where programs that crashed have left records, which are taken over; else WEIR_SPOOL_DIR, $XDG_STATE_HOME/weir/spool, "
            "~/.local/state/weir/spool or /tmp/weir-spool-UID; none: nowhere"),
    OPT_ARG(STR, struct serve_options, log_level, "info", "LEVEL", "own log: debug, info, warn, error"),
    {0},
};

/* As a YAML scalar in which nothing is expanded. */
static void put_quoted(struct buf *out, const char *text)
{
    buf_char(out, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '$')
            buf_char(out, *text);
        buf_char(out, *text);
    }
    buf_char(out, '\'');
}

/* The collector's configuration when none is given. `spool_dir` may be NULL. */
static void put_config(struct buf *out, const struct serve_options *o, const char *spool_dir)
{
    buf_fmt(out, "receivers:\n  otlp: {protocols: {grpc: {endpoint: '%s'}, http: {endpoint: '%s'}}}\n", o->grpc, o->http);
    if (spool_dir) {
        buf_fmt(out, "  weirspool: {directory: ");
        put_quoted(out, spool_dir);
        buf_fmt(out, "}\n");
    }
    buf_fmt(out,
            "exporters: {store: {}}\n"
            "service:\n"
            "  telemetry: {metrics: {level: none}}\n"
            "  pipelines: {logs: {receivers: [otlp%s], exporters: [store]}}\n",
            spool_dir ? ", weirspool" : "");
}

/* Where dead processes leave their records; NULL: nowhere that we could know. Free it. */
static char *find_spool_dir(const struct serve_options *o)
{
    struct err e = {0};
    if (o->spool_dir && *o->spool_dir)
        return strcmp(o->spool_dir, "none") == 0 ? NULL : sv_dup(sv_of(o->spool_dir));
    char *dir = backlog_default_dir(&e);
    if (!dir && e.code)
        log_warn("up", "what crashed programs have left is not taken over: %s (--spool-dir DIR, or none)", e.msg);
    return dir;
}

/* Nothing that could end the quotes around it or be expanded. */
static bool plain_address(const char *address)
{
    return !address[strcspn(address, "'\n\r\\${}")];
}

int cmd_up(const struct command *cmd, int argc, char **argv)
{
    struct serve_options o = {0};
    struct serve s = {0};
    struct collecting c = {0};
    SCOPED(buf_done) struct buf text = {0};
    SCOPED(mem_free) char *spool_dir = NULL;
    struct err e = {0};
    int rc = EXIT_USAGE;
    if (!serve_start(cmd, table, argc, argv, false, &o, &rc))
        goto out;
    if (!plain_address(o.grpc) || !plain_address(o.http)) {
        fprintf(stderr, "weir up: --grpc and --http are addresses such as 127.0.0.1:4317\n");
        goto out;
    }
    if (o.spool_dir && strpbrk(o.spool_dir, "\n\r")) {
        fprintf(stderr, "weir up: --spool-dir is a directory, or none\n");
        goto out;
    }
    if (!serve_open(&o, true, &s, &e)) {
        cli_fail(cmd, &e);
        rc = e.code == ERR_INVALID ? EXIT_USAGE : EXIT_FAILED;
        goto out;
    }
    spool_dir = find_spool_dir(&o);
    put_config(&text, &o, spool_dir);
    c = (struct collecting){.path = o.config && *o.config ? o.config : NULL,
                            .text = buf_view(&text),
                            .sinks = {{"store", store_sink(s.store)}},
                            .n_sinks = 1,
                            .options = {.data_dir = o.data_dir, .metrics = s.metrics}};
    if (collecting_start(&c, cmd, &rc)) {
        collecting_announce(&c);
        serve_announce(&s, &o);
        serve_wait_ready(&s);
        cli_announce_ready();
        while (cli_signals_wait() == SIGHUP)
            collecting_reload(&c, cmd);
        log_info("up", "stopping");
        rc = EXIT_DONE;
    }
out:;
    int64_t stop_by = cli_stop_by();
    collecting_stop(&c, CLI_STOP_MS / 2);
    serve_close(&s, stop_by);
    serve_options_done(&o, table);
    return rc;
}

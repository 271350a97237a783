/* cmd_store.c - `weir store`: the store alone. */
#include "base/log.h"
#include "cli/serve.h"
#include <signal.h>
#include <stdio.h>

static const struct option table[] = {
    OPT_ARG(STR, struct serve_options, config, NULL, "FILE", "YAML file of these options, one 'name: value' a line"),
    OPT_ARG(STR, struct serve_options, data_dir, "./weir-data", "DIR", "where everything is kept"),
    OPT_ARG(STR, struct serve_options, api, "127.0.0.1:3100", "ADDRESS", "listener for ingest and queries"),
    OPT_ARG(STR, struct serve_options, log_level, "info", "LEVEL", "own log: debug, info, warn, error"),
    {0},
};

int cmd_store(const struct command *cmd, int argc, char **argv)
{
    struct serve_options o = {0};
    struct serve s = {0};
    struct err e = {0};
    int rc = EXIT_USAGE;
    if (!serve_start(cmd, table, argc, argv, true, &o, &rc))
        goto out;
    if (!serve_open(&o, false, &s, &e)) {
        cli_fail(cmd, &e);
        rc = e.code == ERR_INVALID ? EXIT_USAGE : EXIT_FAILED;
        goto out;
    }
    serve_announce(&s, &o);
    serve_wait_ready(&s);
    cli_announce_ready();
    while (cli_signals_wait() == SIGHUP)
        log_info("store", "nothing to reload: the store's options are read at start");
    log_info("store", "stopping");
    serve_close(&s, cli_stop_by());
    rc = EXIT_DONE;
out:
    serve_options_done(&o, table);
    return rc;
}

/* cmd_collector.c - `weir collector` and `weir check`. */
#include "base/log.h"
#include "cli/collecting.h"
#include <signal.h>
#include <stdio.h>

struct collector_cmd {
    char *config, *data_dir, *log_level;
};
static const struct option table[] = {
    OPT_ARG(STR, struct collector_cmd, config, NULL, "FILE", "OpenTelemetry Collector YAML (required)"),
    OPT_ARG(STR, struct collector_cmd, data_dir, "./weir-data", "DIR", "where the sending queues are kept"),
    OPT_ARG(STR, struct collector_cmd, log_level, "info", "LEVEL", "own log: debug, info, warn, error"),
    {0},
};

static bool usage(const struct command *cmd, const struct collector_cmd *o, int argc, char **argv, int at)
{
    enum log_level level;
    if (at < argc)
        fprintf(stderr, "weir %s: unexpected '%s'; see weir %s --help\n", cmd->name, argv[at], cmd->name);
    else if (!o->config || !*o->config)
        fprintf(stderr, "weir %s: --config FILE is required\n", cmd->name);
    else if (!log_level_of(sv_of(o->log_level), &level))
        fprintf(stderr, "weir %s: --log-level is debug, info, warn or error, not '%s'\n", cmd->name, o->log_level);
    else {
        log_set_level(level);
        return true;
    }
    return false;
}

int cmd_collector(const struct command *cmd, int argc, char **argv)
{
    struct collector_cmd o = {0};
    struct option_group group = {"Options", table, &o};
    struct err e = {0};
    int at, rc = EXIT_USAGE;
    if (!options_defaults(table, &o, &e)) {
        rc = cli_fail(cmd, &e);
    } else if (cli_options(cmd, &group, 1, argc, argv, &at, &rc) && usage(cmd, &o, argc, argv, at)) {
        cli_signals_block();
        struct collecting c = {.path = o.config, .options = {.data_dir = o.data_dir}};
        if (collecting_start(&c, cmd, &rc)) {
            collecting_announce(&c);
            cli_announce_ready();
            while (cli_signals_wait() == SIGHUP)
                collecting_reload(&c, cmd);
            rc = EXIT_DONE;
        }
        collecting_stop(&c, CLI_STOP_MS);
    }
    options_done(table, &o);
    return rc;
}

int cmd_check(const struct command *cmd, int argc, char **argv)
{
    static const struct option none[] = {{0}};
    struct option_group group = {"Options", none, NULL};
    SCOPED(buf_done) struct buf problems = {0};
    struct err e = {0};
    int at, rc = EXIT_USAGE;
    if (!cli_options(cmd, &group, 1, argc, argv, &at, &rc))
        return rc;
    if (argc - at != 1) {
        fprintf(stderr, "weir check: expected one FILE\n");
        return EXIT_USAGE;
    }
    bool ok = collector_check(argv[at], &problems, &e);
    if (!ok) {
        cli_problems(cmd, &problems, &e);
        return EXIT_USAGE;
    }
    printf(SV_FMT "%s: good\n", SV_ARG(buf_view(&problems)), argv[at]);
    return EXIT_DONE;
}

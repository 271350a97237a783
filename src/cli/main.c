/* main.c - the program's commands, and what is said when none of them was meant. */
#include "cli/cli.h"
#include "base/base.h"
#include <stdio.h>

static const struct command commands[] = {
    {"up", "", "everything in one process: OTLP in, store, query API, web page",
     "Needs no configuration: send OTLP to the addresses it prints and open the page.\n", cmd_up},
    {"collector", "", "the collector alone, from an OpenTelemetry Collector YAML", NULL, cmd_collector},
    {"store", "", "the store alone: OTLP/HTTP and Loki push in, LogQL out", NULL, cmd_store},
    {"query", "QUERY", "run a LogQL query against any Loki-compatible server",
     "Example: weir query --since 15m '{service_name=\"bug_service\"} |= \"triggered\"'\n", cmd_query},
    {"labels", "[NAME]", "list label names, or the values of one label", NULL, cmd_labels},
    {"series", "[SELECTOR]", "list the streams that match a selector", NULL, cmd_series},
    {"check", "FILE", "validate a collector configuration", NULL, cmd_check},
    {"run", "[--] COMMAND [ARG...]", "run a program and ship what it prints as log records",
     "The output passes through as it is; each line, or stack trace, becomes a record with severity, time and stream.\n"
     "The exit code is the program's: 128 + n after signal n, 127 when it was not found, 126 when it cannot be run,\n"
     "2 when it was not started because the options are wrong. OTEL_* variables are honoured. More: docs/run.md.\n"
     "Example: weir run --service shop --attr deployment.environment.name=prod -- python3 shop.py\n", cmd_run},
    {"recover", "[DIR]", "deliver the records that crashed programs left on disk",
     "DIR: the spool directory they used, or one backlog in it; otherwise WEIR_SPOOL_DIR, $XDG_STATE_HOME/weir/spool,\n"
     "~/.local/state/weir/spool or /tmp/weir-spool-UID. What a living process holds is left alone.\n"
     "Exit code: 0 all is delivered, 1 something is left or was refused, 2 the options are wrong.\n", cmd_recover},
    {"inspect", "FILE|DIR", "show what is in a ring, a backlog, a spool, a segment, a part, a manifest, a store",
     "Nothing is locked or changed, so its owner may go on using it. A collector's sending queue and a store's\n"
     "write-ahead log are spools too. Of a part (*.part), a MANIFEST-* or a store's data directory every page is\n"
     "checked and every block decoded, and what the bytes are spent on is told.\n"
     "Exit code: 0; 1 when it cannot be read, or a store's file is damaged.\n", cmd_inspect},
    {"demo", "", "a small plant shop of five services that logs, and misbehaves on request", NULL, cmd_demo},
};

static void print_usage(FILE *to)
{
    fprintf(to, "weir %s - logs that survive, from the line of code to the screen\n\n"
                "Usage: weir COMMAND [OPTIONS]\n\nCommands:\n", weir_version_text());
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(to, "\nOptions of a command: weir COMMAND --help\n"
                "To see it work: weir up, then weir demo in another terminal, then http://127.0.0.1:3000\n");
}

struct cursor {
    size_t at;
};
static sv next_command(void *ctx)
{
    struct cursor *c = ctx;
    return c->at < ARRAY_LEN(commands) ? sv_of(commands[c->at++].name) : SV_NULL;
}

int main(int argc, char **argv)
{
    sv word = sv_of(argc > 1 ? argv[1] : NULL);
    if (sv_eq(word, SV("--version")) || sv_eq(word, SV("version"))) {
        printf("weir %s\n", weir_version_text());
        return EXIT_DONE;
    }
    if (sv_eq(word, SV("--help")) || sv_eq(word, SV("-h")) || sv_eq(word, SV("help"))) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (sv_eq(word, sv_of(commands[i].name)))
            return commands[i].run(&commands[i], argc - 1, argv + 1);
    if (!word.n) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    sv near = nearest_name(word, next_command, &(struct cursor){0});
    fprintf(stderr, "weir: unknown command '" SV_FMT "'", SV_ARG(word));
    if (near.n)
        fprintf(stderr, "; did you mean '" SV_FMT "'?\n", SV_ARG(near));
    else
        fprintf(stderr, "; see weir --help\n");
    return EXIT_USAGE;
}

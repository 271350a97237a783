/* cli.h - what the commands of the program share: reading options from argv, environment and a config file, waiting for
 * signals, and saying what went wrong the same way everywhere.
 * Exit codes: 0 done, 1 failed, 2 bad usage or config. */
#pragma once
#include "base/arena.h"
#include "base/option.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command {
    const char *name;
    const char *args;    /* behind the options, for --help: "QUERY" */
    const char *summary; /* one line for the list of commands */
    const char *details; /* further lines for its own --help; may be NULL */
    int (*run)(const struct command *cmd, int argc, char **argv); /* argv[0] is the command's name */
};

int cmd_up(const struct command *cmd, int argc, char **argv);
int cmd_collector(const struct command *cmd, int argc, char **argv);
int cmd_store(const struct command *cmd, int argc, char **argv);
int cmd_query(const struct command *cmd, int argc, char **argv);
int cmd_labels(const struct command *cmd, int argc, char **argv);
int cmd_series(const struct command *cmd, int argc, char **argv);
int cmd_check(const struct command *cmd, int argc, char **argv);
int cmd_recover(const struct command *cmd, int argc, char **argv);
int cmd_inspect(const struct command *cmd, int argc, char **argv);
int cmd_run(const struct command *cmd, int argc, char **argv);
int cmd_demo(const struct command *cmd, int argc, char **argv);

/* Defaults, then the command line. False when the command is over: --help was printed (*ret_exit 0) or the usage is bad
 * (*ret_exit 2, said on stderr). *ret_at is the first word behind the options. */
MUST_USE bool cli_options(const struct command *cmd, const struct option_group *groups, size_t n_groups, int argc,
                          char **argv, int *ret_at, int *ret_exit);
/* Reads "name: value" lines of a YAML file into the same groups; errors name file, line and the nearest right name. What
 * the command line sets wins, so read the file first: cli_config_path() finds --config before the options are parsed. */
MUST_USE bool cli_read_config(const char *path, const struct option_group *groups, size_t n_groups, struct err *e);
const char *cli_config_path(int argc, char **argv); /* NULL when not given */

/* "weir store: <what> <err>", to stderr; returns the exit code. */
int cli_fail(const struct command *cmd, const struct err *e);

/* Text that comes from a file's name or bytes, for a terminal: control characters become '?', in place. */
const char *cli_plain(char *text);

/* The problems of a configuration to stderr, one a line; then, unless it is among them, why that is the end. */
void cli_problems(const struct command *cmd, struct buf *problems, const struct err *e);

/* Blocks the signals we handle in this thread and those it starts later; call before any thread exists. */
void cli_signals_block(void);
/* Waits for SIGTERM, SIGINT or SIGHUP and returns it. */
int cli_signals_wait(void);

/* How long finishing what is under way may take, of the 10 s between SIGTERM and the end; the rest is for closing files. */
enum { CLI_STOP_MS = 8000 };
int64_t cli_stop_by(void);                /* CLI_STOP_MS from now, on the clock of cli_ms_left() */
int64_t cli_ms_left(int64_t stop_by_ms); /* at least 0 */

/* A line "name: value" on stdout, flushed: where we listen. Then, once everything works, the line "ready". */
void cli_announce(const char *name, const char *value);
void cli_announce_ready(void);

/* collecting.h - running a collector inside a command: read the configuration, start, announce, reload on SIGHUP. */
#pragma once
#include "cli/cli.h"
#include "collector/collector.h"

struct collecting {
    const char *path;   /* the configuration file; NULL: `text` */
    sv text;            /* built in */
    struct collector_sink sinks[1];
    size_t n_sinks;
    struct collector_options options;
    struct collector_config *config;
    struct collector *collector;
};
/* Problems of the configuration go to stderr, one a line; *ret_exit is 2 then, and 1 for what fails at run time. */
MUST_USE bool collecting_start(struct collecting *c, const struct command *cmd, int *ret_exit);
/* Reads the file again; when it is good the collector is closed and opened with it, else the old one goes on. */
void collecting_reload(struct collecting *c, const struct command *cmd);
void collecting_stop(struct collecting *c, int64_t drain_ms);
void collecting_announce(const struct collecting *c);

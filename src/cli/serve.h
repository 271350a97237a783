/* serve.h - what `weir up` and `weir store` are made of: event loops, the store, its API on one or two ports. */
#pragma once
#include "api/api.h"
#include "cli/cli.h"

struct serve_options {
    char *config, *data_dir, *api, *ui, *grpc, *http, *spool_dir, *log_level;
    struct store_config store;
    struct api_config limits;
    struct tls_server_config tls;
};
/* Defaults, the config file when `read_config`, the command line, the own log's level; the store's directory becomes
 * <data_dir>/store. Blocks signals. False: the command is over with *ret_exit; serve_options_done() is owed either way. */
MUST_USE bool serve_start(const struct command *cmd, const struct option *own, int argc, char **argv, bool read_config,
                          struct serve_options *o, int *ret_exit);
void serve_options_done(struct serve_options *o, const struct option *own);

enum { SERVE_LOOPS = 2 };
struct serve {
    struct metrics *metrics;
    struct loop *loops[SERVE_LOOPS];
    struct store *store;
    struct api *api;
    struct http_server *api_server, *ui_server;
};
/* Opens all of it; with `with_page` the page's port too. On failure what was opened is closed again; ERR_INVALID: a setting
 * is to blame. */
MUST_USE bool serve_open(const struct serve_options *o, bool with_page, struct serve *ret, struct err *e);
/* Stops accepting, finishes what is under way as far as that is done by `stop_by_ms` (cli_stop_by()), closes in the reverse
 * order. */
void serve_close(struct serve *s, int64_t stop_by_ms);
/* "api: http://127.0.0.1:3100" and so on, on stdout. */
void serve_announce(const struct serve *s, const struct serve_options *o);
/* Waits until the store answers queries over all it has. */
void serve_wait_ready(const struct serve *s);

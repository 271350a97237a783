/* api.h - the store's HTTP face: OTLP and Loki push in, the Loki query API out, health and metrics, and, where asked for, the
 * web page. One handler for net/server.h; queries run on a worker pool, never on an event loop. */
#pragma once
#include "base/option.h"
#include "base/pool.h"
#include "net/server.h"
#include "store/store.h"

struct api;

struct api_config { /* filled from api_options */
    bool multi_tenant_queries_enabled; /* X-Scope-OrgID may be "a|b" for queries */
    bool auth_enabled;               /* X-Scope-OrgID required; otherwise every request is tenant "fake" */
    uint64_t max_recv_msg_size;      /* push body as sent */
    uint64_t max_decompressed_size;  /* and decompressed */
    uint64_t max_query_memory;       /* 0: no cap; what else a query may is in store/limits.h */
    int64_t delete_max_interval;     /* most that `max_interval` of a delete request may say; 0: anything */
    uint64_t max_concurrent_queries; /* running; as many again may wait, further ones get 429 */
};
extern const struct option api_options[];

/* Borrows store and metrics, which must outlive it; opens its own worker pool. */
MUST_USE bool api_open(struct store *st, struct metrics *metrics, const struct api_config *cfg, struct api **ret,
                       struct err *e);
/* Close the servers that use the handlers first. NULL is fine. */
void api_close(struct api *api);

/* http_handler_fn with ctx = struct api: the store's port (3100). */
void api_handle(void *ctx, struct http_exchange *x);
/* The same plus the web page on "/" and its files: the page's port (3000), so that a browser needs one origin. */
void api_handle_with_page(void *ctx, struct http_exchange *x);

/* conn.h - inside net: what server.c and conn.c know of each other. */
#pragma once
#include "base/lock.h"
#include "net/exchange.h"
#include "net/server.h"

enum server_reject {                                     /* besides the refusals of requests */
                     REJECT_CONNECTIONS = HTTP_REFUSALS, /* max_connections */
                     REJECT_ACCEPT,    /* the system has no descriptor or memory for another connection */
                     REJECT_TLS,       /* handshake failed */
                     REJECT_PROTOCOL,  /* HTTP/2 connection error */
                     REJECT_TRUNCATED, /* the client left in the middle of a request */
                     REJECT_STALLED,   /* the client stopped reading its answer, or does not answer pings */
                     REJECTS
};

/* What one loop does for the server. Loop thread only, except where noted. */
struct server_loop {
    struct http_server *server;
    struct loop *loop;
    struct http_conn *first; /* its connections */
    char *scratch;           /* SCRATCH_SIZE bytes every read goes through */
    struct event *sweep;     /* timeouts: looks at all connections at sweep_ms */
    bool draining;
    char date[32]; /* for the second date_s */
    int64_t date_s;
};

struct http_server {
    struct http_server_config cfg; /* defaults filled in; name and address are ours. Read-only once open */
    struct http_limits limits;
    struct http_budget budget;
    http_handler_fn *handler;
    void *ctx;
    char address[80];
    struct ssl_ctx_st *tls;
    int64_t sweep_ms;
    struct server_loop *loops;
    size_t n_loops;

    int listen_fd; /* the first loop's thread */
    struct event *listen_ev;
    struct event *resume_ev; /* accepting again after EMFILE and its like */
    size_t next_loop;

    struct metrics *metrics, *own_metrics; /* own: when the caller gave none */
    struct metric *rejected[REJECTS], *connections;
    struct metric *_Atomic by_code[600];

    _Atomic uint32_t n_conns;
    _Atomic uint32_t refs; /* the opener, and orphaned exchanges */
    struct lock mu;
    struct cond changed; /* n_conns fell to 0 */
};

enum { SCRATCH_SIZE = 64 << 10 };

/* conn.c. Takes fd over; on the loop's thread. */
void http_conn_open(struct server_loop *sl, int fd, const char *peer);
void http_conn_drain(struct server_loop *sl); /* closes idle connections, the others when they are done */
void http_conn_close_all(struct server_loop *sl);
void http_conn_sweep(struct server_loop *sl, int64_t now_ms);
/* server.c */
void http_server_count(struct http_server *s, int reject);
void http_server_count_code(struct http_server *s, int status);
void http_server_conn_gone(struct http_server *s);
sv http_server_date(struct server_loop *sl);

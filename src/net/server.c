/* server.c - see server.h: the listener, its settings and counters, opening and closing.
 * (1) One listening socket, accepted on the first loop; connections are dealt round to all loops and stay
 * there. (2) When accept() fails for want of descriptors or memory it rests for ACCEPT_REST_MS: the socket
 * stays readable, and without a rest the loop would spin on it. (3) The server's memory outlives
 * http_server_close() while handlers still hold exchanges. */
#include "base/clock.h"
#include "net/conn.h"
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ACCEPTS_PER_WAKE = 64, ACCEPT_REST_MS = 100, BACKLOG = 1024, SWEEP_MAX_MS = 1000, SWEEP_MIN_MS = 10 };

/* --- counters --- */

void http_server_count(struct http_server *s, int reject)
{
    metric_add(s->rejected[reject], 1);
}

void http_server_count_code(struct http_server *s, int status)
{
    if (status < 100 || status >= (int)ARRAY_LEN(s->by_code))
        return;
    struct metric *x = atomic_load_explicit(&s->by_code[status], memory_order_acquire);
    if (!x) {
        char code[8];
        snprintf(code, sizeof code, "%d", status);
        x = metrics_get(s->metrics, METRIC_COUNTER, "weir_http_requests_total", "HTTP requests answered",
                        (const char *[]){"server", s->cfg.name, "code", code, NULL});
        atomic_store_explicit(&s->by_code[status], x, memory_order_release);
    }
    metric_add(x, 1);
}

static const char *reject_label(int reject)
{
    switch (reject) {
    case REJECT_CONNECTIONS:
        return "max_connections";
    case REJECT_ACCEPT:
        return "accept";
    case REJECT_TLS:
        return "tls_handshake";
    case REJECT_PROTOCOL:
        return "protocol_error";
    case REJECT_TRUNCATED:
        return "truncated";
    case REJECT_STALLED:
        return "stalled";
    default:
        return http_refusal_label((enum http_refusal)reject);
    }
}

static void counters_open(struct http_server *s)
{
    for (int i = HTTP_FINE + 1; i < REJECTS; i++)
        s->rejected[i] =
            metrics_get(s->metrics, METRIC_COUNTER, "weir_http_rejected_total",
                        "Connections and requests refused, by reason",
                        (const char *[]){"server", s->cfg.name, "reason", reject_label(i), NULL});
    s->connections = metrics_get(s->metrics, METRIC_GAUGE, "weir_http_connections", "Open connections",
                                 (const char *[]){"server", s->cfg.name, NULL});
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", made once a second. Not strftime: it follows the locale. */
sv http_server_date(struct server_loop *sl)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t now = clock_wall_ns() / NS_PER_S;
    if (now != sl->date_s) {
        time_t t = (time_t)now;
        struct tm tm = {0};
        gmtime_r(&t, &tm);
        snprintf(sl->date, sizeof sl->date, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * tm.tm_wday,
                 tm.tm_mday, months + 3 * tm.tm_mon, (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min,
                 tm.tm_sec);
        sl->date_s = now;
    }
    return sv_of(sl->date);
}

/* --- accepting --- */

struct handover { /* a new connection on its way to its loop */
    struct loop_task task;
    struct server_loop *sl;
    int fd;
    char peer[64];
};

static void print_address(const struct sockaddr *sa, socklen_t n, char *ret, size_t room)
{
    char host[48], port[8];
    if (getnameinfo(sa, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV)) {
        snprintf(ret, room, "unknown");
        return;
    }
    snprintf(ret, room, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static void sweep_later(struct server_loop *sl)
{
    struct timeval tv = {sl->server->sweep_ms / 1000, sl->server->sweep_ms % 1000 * 1000};
    if (sl->first && !evtimer_pending(sl->sweep, NULL))
        evtimer_add(sl->sweep, &tv);
}

static void conn_arrived(struct loop_task *t)
{
    struct handover *h = CONTAINER_OF(t, struct handover, task);
    http_conn_open(h->sl, h->fd, h->peer);
    sweep_later(h->sl);
    free(h);
}

void http_server_conn_gone(struct http_server *s)
{
    metric_add(s->connections, -1);
    LOCK_SCOPED(&s->mu);
    if (atomic_fetch_sub(&s->n_conns, 1) == 1)
        cond_broadcast(&s->changed);
}

static void take_connection(struct http_server *s, int fd, const struct sockaddr *sa, socklen_t n)
{
    struct handover *h = NULL;
    if (atomic_load(&s->n_conns) >= s->cfg.max_connections)
        http_server_count(s, REJECT_CONNECTIONS);
    else if (!(h = calloc(1, sizeof *h)))
        http_server_count(s, REJECT_ACCEPT);
    if (!h) {
        close(fd);
        return;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    atomic_fetch_add(&s->n_conns, 1);
    metric_add(s->connections, 1);
    h->fd = fd;
    h->sl = &s->loops[s->next_loop++ % s->n_loops];
    h->task.fn = conn_arrived;
    print_address(sa, n, h->peer, sizeof h->peer);
    if (h->sl == s->loops)
        conn_arrived(&h->task);
    else
        loop_post(h->sl->loop, &h->task);
}

static void on_acceptable(evutil_socket_t fd, short what, void *ctx)
{
    struct http_server *s = ctx;
    for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
        struct sockaddr_storage sa;
        socklen_t n = sizeof sa;
        int got = accept4(fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (got >= 0) {
            take_connection(s, got, (struct sockaddr *)&sa, n);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            http_server_count(s, REJECT_ACCEPT);
            event_del(s->listen_ev);
            static const struct timeval rest = {0, ACCEPT_REST_MS * 1000};
            evtimer_add(s->resume_ev, &rest);
            return;
        } else if (errno == EAGAIN) {
            return;
        } /* else: that connection died before we took it */
    }
}

static void on_resume(evutil_socket_t fd, short what, void *ctx)
{
    struct http_server *s = ctx;
    event_add(s->listen_ev, NULL);
}

static void on_sweep(evutil_socket_t fd, short what, void *ctx)
{
    struct server_loop *sl = ctx;
    http_conn_sweep(sl, clock_mono_ms());
    sweep_later(sl);
}

/* --- opening --- */

static bool split_address(sv address, sv *host, sv *port)
{
    size_t colon = sv_rfind_char(address, ':');
    if (colon == SV_NPOS)
        return false;
    *host = sv_sub(address, 0, colon);
    *port = sv_from(address, colon + 1);
    uint64_t n;
    if (host->n >= 2 && host->p[0] == '[' && host->p[host->n - 1] == ']')
        *host = sv_sub(*host, 1, host->n - 2);
    else if (sv_find_char(*host, ':') != SV_NPOS)
        return false;
    return sv_to_u64(*port, &n) && n <= 65535;
}

static int bind_one(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
               sizeof on); /* a restart need not wait for old connections */
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* IPv4 first: "localhost" should mean what most clients try. */
static int bind_any(const struct addrinfo *list)
{
    int fd = -1;
    for (int round = 0; round < 2 && fd < 0; round++)
        for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
            if ((ai->ai_family == AF_INET) == (round == 0))
                fd = bind_one(ai);
    return fd;
}

static bool server_listen(struct http_server *s, struct err *e)
{
    sv host, port;
    if (!split_address(sv_of(s->cfg.address), &host, &port))
        return err_set(e, ERR_INVALID, "address '%s': expected host:port, 127.0.0.1:4318 or [::1]:4318",
                       s->cfg.address);
    SCOPED(mem_free) char *h = host.n ? sv_dup(host) : NULL;
    SCOPED(mem_free) char *p = sv_dup(port);
    if (!p || (host.n && !h))
        return err_nomem(e);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *list = NULL;
    int rc = getaddrinfo(h, p, &hints, &list);
    if (rc)
        return err_set(e, ERR_INVALID, "address '%s': %s", s->cfg.address, gai_strerror(rc));
    s->listen_fd = bind_any(list);
    int why = errno;
    freeaddrinfo(list);
    if (s->listen_fd < 0)
        return err_sys_code(e, why, "cannot listen on %s", s->cfg.address);
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    if (getsockname(s->listen_fd, (struct sockaddr *)&sa, &n) < 0)
        return err_sys(e, "cannot listen on %s", s->cfg.address);
    print_address((struct sockaddr *)&sa, n, s->address, sizeof s->address);
    return true;
}

#define DEFAULT(field, value) cfg->field = cfg->field ? cfg->field : (value)
static void set_defaults(struct http_server_config *cfg)
{
    DEFAULT(name, "http");
    DEFAULT(max_body_bytes, 20 << 20);
    DEFAULT(max_header_bytes, 64 << 10);
    DEFAULT(max_headers, 128);
    DEFAULT(max_connections, 4096);
    DEFAULT(max_concurrent_streams, 256);
    DEFAULT(max_inflight_bytes, 256 << 20);
    DEFAULT(idle_timeout_ms, 120000);
    DEFAULT(read_timeout_ms, 60000);
    DEFAULT(keepalive_ms, 7200000);
}

static void server_free(struct http_server *s)
{
    if (!s)
        return;
    if (s->listen_fd >= 0)
        close(s->listen_fd);
    if (s->listen_ev)
        event_free(s->listen_ev);
    if (s->resume_ev)
        event_free(s->resume_ev);
    for (size_t i = 0; s->loops && i < s->n_loops; i++) {
        if (s->loops[i].sweep)
            event_free(s->loops[i].sweep);
        free(s->loops[i].scratch);
    }
    free(s->loops);
    tls_free(s->tls);
    metrics_free(s->own_metrics);
    free((char *)(uintptr_t)s->cfg.name);
    free((char *)(uintptr_t)s->cfg.address);
    lock_done(&s->mu);
    cond_done(&s->changed);
    free(s);
}
DEFINE_SCOPED(struct http_server *, server_free)

void http_server_unref(struct http_server *s)
{
    if (atomic_fetch_sub(&s->refs, 1) == 1)
        server_free(s);
}

static struct http_server *server_new(const struct http_server_config *cfg)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->cfg = *cfg;
    set_defaults(&s->cfg);
    s->cfg.name = sv_dup(sv_of(s->cfg.name));
    s->cfg.address = sv_dup(sv_of(s->cfg.address));
    s->listen_fd = -1;
    s->refs = 1;
    lock_init(&s->mu);
    cond_init(&s->changed);
    s->budget.max = s->cfg.max_inflight_bytes;
    s->limits =
        (struct http_limits){s->cfg.max_body_bytes, s->cfg.max_header_bytes, s->cfg.max_headers, &s->budget};
    int64_t shortest = MIN(MIN(s->cfg.idle_timeout_ms, s->cfg.read_timeout_ms), s->cfg.keepalive_ms);
    s->sweep_ms = MAX(MIN(shortest / 4, (int64_t)SWEEP_MAX_MS), (int64_t)SWEEP_MIN_MS);
    return s;
}

static bool loops_open(struct http_server *s, struct loop *const *loops, size_t n_loops)
{
    s->loops = calloc(n_loops, sizeof *s->loops);
    if (!s->loops)
        return false;
    s->n_loops = n_loops;
    for (size_t i = 0; i < n_loops; i++) {
        struct server_loop *sl = &s->loops[i];
        sl->server = s;
        sl->loop = loops[i];
        sl->scratch = malloc(SCRATCH_SIZE);
        sl->sweep = evtimer_new(loop_base(loops[i]), on_sweep, sl);
        if (!sl->scratch || !sl->sweep)
            return false;
    }
    return true;
}

static void start_accepting(void *ctx)
{
    struct http_server *s = ctx;
    event_add(s->listen_ev, NULL);
}

bool http_server_open(const struct http_server_config *cfg, struct loop *const *loops, size_t n_loops,
                      struct metrics *metrics, http_handler_fn *handler, void *ctx, struct http_server **ret,
                      struct err *e)
{
    SCOPED(server_free) struct http_server *s = server_new(cfg);
    if (!s || !s->cfg.name || !s->cfg.address || !loops_open(s, loops, n_loops))
        return err_nomem(e);
    s->metrics = metrics ? metrics : (s->own_metrics = metrics_new());
    if (!s->metrics)
        return err_nomem(e);
    s->handler = handler;
    s->ctx = ctx;
    counters_open(s);
    if (cfg->tls.cert_file && *cfg->tls.cert_file && !tls_server_new(&cfg->tls, &s->tls, e))
        return err_ctx(e, "server '%s'", s->cfg.name);
    if (!server_listen(s, e))
        return err_ctx(e, "server '%s'", s->cfg.name);
    s->listen_ev = event_new(loop_base(loops[0]), s->listen_fd, EV_READ | EV_PERSIST, on_acceptable, s);
    s->resume_ev = evtimer_new(loop_base(loops[0]), on_resume, s);
    if (!s->listen_ev || !s->resume_ev)
        return err_nomem(e);
    loop_run_and_wait(loops[0], start_accepting, s);
    *ret = TAKE(s);
    return true;
}

const char *http_server_address(const struct http_server *s)
{
    return s->address;
}

/* --- closing --- */

static void stop_accepting(void *ctx)
{
    struct http_server *s = ctx;
    event_free(TAKE(s->listen_ev));
    event_free(TAKE(s->resume_ev));
    close(TAKE_FD(s->listen_fd));
}

static void drain_loop(void *ctx)
{
    http_conn_drain(ctx);
}

static void close_loop(void *ctx)
{
    struct server_loop *sl = ctx;
    http_conn_close_all(sl);
    event_free(TAKE(sl->sweep));
}

void http_server_close(struct http_server *s, int64_t drain_ms)
{
    if (!s)
        return;
    loop_run_and_wait(s->loops[0].loop, stop_accepting, s);
    for (size_t i = 0; i < s->n_loops; i++) /* behind the connections still on their way to that loop */
        loop_run_and_wait(s->loops[i].loop, drain_loop, &s->loops[i]);
    int64_t until = clock_mono_ns() + drain_ms * NS_PER_MS;
    lock_acquire(&s->mu);
    while (atomic_load(&s->n_conns) && cond_wait_until(&s->changed, &s->mu, until))
        ;
    lock_release(&s->mu);
    for (size_t i = 0; i < s->n_loops; i++)
        loop_run_and_wait(s->loops[i].loop, close_loop, &s->loops[i]);
    http_server_unref(s);
}

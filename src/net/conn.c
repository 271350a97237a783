/* conn.c - one connection of the server: bytes between the socket (plain or TLS) and the codecs.
 * (1) Reads go through one scratch buffer of the loop, so an idle connection owns next to no memory.
 * (2) HTTP/1 requests of a connection are served one after another: bytes of the next wait in `pending`, and
 * past its cap in the kernel. While one is being served we still read, to learn that the client has gone. (3)
 * `busy` is set while input is processed: answers given meanwhile only fill `out`, one flush at the end sends
 * them, and nothing recurses. A connection that dies meanwhile is marked and freed at the end. (4) Output is
 * `out` (heads, frames, small bodies), then one large HTTP/1 body straight from its owner. (5) When we close
 * first, we shut down our side and read on for a moment: closing with unread input would reset the connection
 * and could destroy the answer on its way (RFC 9112 §9.6). Timeouts are looked at by the server's sweep. */
#include "net/conn.h"
#include "base/clock.h"
#include "net/http1.h"
#include "net/http2.h"
#include "net/stream.h"
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    READS_PER_WAKE = 8,         /* then others have their turn */
    PENDING_MAX = 64 << 10,     /* pipelined bytes taken from the kernel ahead of time */
    OUT_HIGH = 256 << 10,       /* HTTP/2 frames waiting for the socket */
    OUT_KEEP = 16 << 10,        /* output buffer kept while idle */
    COPIED_BODY_MAX = 16 << 10, /* HTTP/1 bodies up to here join their head */
    LINGER_MS = 2000,
    LINGER_BYTES = 1 << 20,
    PING_WAIT_MS = 20000,
};

enum conn_state { CONN_HANDSHAKE, CONN_DETECT, CONN_HTTP1, CONN_HTTP2, CONN_LINGER };

struct http_conn {
    struct server_loop *sl;
    struct http_conn *prev, *next;
    struct stream stream;
    struct event read_ev, write_ev;
    enum conn_state state;
    bool busy, dead;       /* (3) */
    bool reading, writing; /* events armed */
    bool peer_eof;
    bool close_after; /* once the output is sent */
    bool unread;      /* input is left that we will not read: (5) matters */
    char peer[64];

    struct buf pending, out;
    size_t out_at;
    struct http1 *h1;
    struct http2 *h2;
    struct http_exchange *first;   /* given to handlers; HTTP/1: at most one */
    struct http_exchange *sending; /* (4): its body is on its way */
    size_t sent;

    int64_t active_ms;  /* last byte in or out */
    int64_t blocked_ms; /* the socket has taken no output since then; 0: it takes all we have */
    int64_t request_ms; /* HTTP/1: when the request under way began; handshake, detection: when we accepted */
    int64_t ping_ms;    /* an unanswered PING of ours; 0: none */
    int64_t linger_until_ms;
    size_t lingered;
};

static void conn_process(struct http_conn *c);

/* --- life --- */

static void exchange_link(struct http_conn *c, struct http_exchange *x)
{
    x->next = c->first;
    if (x->next)
        x->next->prev = x;
    c->first = x;
}

static void exchange_unlink(struct http_exchange *x)
{
    *(x->prev ? &x->prev->next : &x->conn->first) = x->next;
    if (x->next)
        x->next->prev = x->prev;
    x->prev = x->next = NULL;
}

static void exchange_orphan(struct http_exchange *x)
{
    struct http_server *s = x->conn->sl->server;
    exchange_unlink(x);
    x->conn = NULL;
    x->orphan_of = s;
    atomic_fetch_add(&s->refs, 1);
    atomic_store(&x->cancelled, true);
}

static void conn_free(struct http_conn *c)
{
    struct server_loop *sl = c->sl;
    while (c->first)
        exchange_orphan(c->first);
    if (c->sending)
        http_exchange_free(c->sending);
    http1_free(c->h1);
    http2_free(c->h2);
    event_del(&c->read_ev);
    event_del(&c->write_ev);
    stream_close(&c->stream);
    buf_done(&c->pending);
    buf_done(&c->out);
    *(c->prev ? &c->prev->next : &sl->first) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    free(c);
    http_server_conn_gone(sl->server);
}

/* The connection is over, now; freed as soon as nobody further up the stack uses it. */
static void conn_kill(struct http_conn *c)
{
    c->dead = true;
}

/* Enough is taken from the peer for now: pipelined requests, or HTTP/2 frames whose answers it does not read. nghttp2 queues
 * an answer to every stream it refuses, without a bound of its own. */
static bool is_full(const struct http_conn *c)
{
    return c->pending.n >= PENDING_MAX || (c->h2 && c->out.n - c->out_at >= OUT_HIGH);
}

static void arm(struct http_conn *c)
{
    bool want_read = c->state == CONN_LINGER || (!c->peer_eof && !is_full(c)) || c->stream.write_wants_read;
    bool want_write =
        c->stream.read_wants_write || (!c->stream.write_wants_read && (c->out.n > c->out_at || c->sending));
    if (want_read != c->reading)
        (void)(want_read ? event_add(&c->read_ev, NULL) : event_del(&c->read_ev));
    if (want_write != c->writing)
        (void)(want_write ? event_add(&c->write_ev, NULL) : event_del(&c->write_ev));
    c->reading = want_read;
    c->writing = want_write;
}

static bool has_output(const struct http_conn *c)
{
    return c->out.n > c->out_at || c->sending;
}

/* --- output --- */

static void sent(struct http_conn *c, size_t n)
{
    size_t from_out = MIN(n, c->out.n - c->out_at);
    c->out_at += from_out;
    if (c->out_at == c->out.n) {
        c->out_at = 0;
        if (c->out.cap > OUT_KEEP)
            buf_done(&c->out);
        else
            buf_reset(&c->out);
    } else if (c->out_at >= OUT_HIGH) { /* never empty, yet bounded */
        c->out.n -= c->out_at;
        memmove(c->out.p, c->out.p + c->out_at, c->out.n);
        c->out_at = 0;
    }
    c->sent += n - from_out;
    if (c->sending && c->sent == c->sending->answer.text.n && c->out.n == 0)
        http_exchange_free(TAKE(c->sending));
}

/* The session has ended, properly or not. */
static void http2_over(struct http_conn *c)
{
    if (!c->close_after && http2_failed(c->h2)) {
        http_server_count(c->sl->server, REJECT_PROTOCOL);
        c->unread = true;
    }
    c->close_after = true;
}

/* Sends what the socket takes. */
static void conn_flush(struct http_conn *c)
{
    while (!c->dead) {
        if (c->h2 && c->out.n - c->out_at < OUT_HIGH && !http2_pull(c->h2, &c->out, c->out_at + OUT_HIGH))
            http2_over(c);
        struct iovec iov[2];
        int n_iov = 0;
        if (c->out.n > c->out_at)
            iov[n_iov++] = (struct iovec){c->out.p + c->out_at, c->out.n - c->out_at};
        if (c->sending) {
            sv rest = sv_from(c->sending->answer.text, c->sent);
            iov[n_iov++] = (struct iovec){(void *)(uintptr_t)rest.p, rest.n};
        }
        if (!n_iov) {
            c->blocked_ms = 0;
            return;
        }
        size_t n = 0;
        enum stream_result r = stream_send(&c->stream, iov, n_iov, &n);
        if (r == STREAM_AGAIN) {
            if (!c->blocked_ms)
                c->blocked_ms = clock_mono_ms();
            return;
        }
        if (r != STREAM_OK) {
            conn_kill(c);
            return;
        }
        c->active_ms = clock_mono_ms();
        c->blocked_ms = 0;
        sent(c, n);
    }
}

/* --- answers --- */

static void count_refusal(struct http_conn *c, enum http_refusal why, int status)
{
    http_server_count(c->sl->server, (int)why);
    http_server_count_code(c->sl->server, status);
}

static void http1_refuse(struct http_conn *c, enum http_refusal why, const char *text)
{
    SCOPED(http_refused_done) struct http_refused r;
    http_refused_init(&r, why, text, NULL, 0);
    count_refusal(c, why, r.answer.status);
    http1_put_head(&c->out, &(struct http1_head){.version = 11,
                                                 .status = r.answer.status,
                                                 .headers = r.headers,
                                                 .n_headers = r.answer.n_headers,
                                                 .body_n = r.answer.text.n,
                                                 .date = http_server_date(c->sl)});
    buf_sv(&c->out, r.answer.text);
    c->close_after = c->unread = true;
}

static void on_h2_refused(void *ctx, int32_t stream, enum http_refusal why, const struct http_message *m)
{
    struct http_conn *c = ctx;
    SCOPED(http_refused_done) struct http_refused r;
    http_refused_init(&r, why, http_refusal_text(why), m, c->sl->server->limits.max_body_bytes);
    count_refusal(c, why, r.answer.status);
    http2_answer(c->h2, stream, &r.answer, http_server_date(c->sl), NULL);
}

static void http1_answer(struct http_conn *c, struct http_exchange *x)
{
    struct http_message *m = x->msg;
    struct http_answer *a = &x->answer;
    bool keep = m->keep_alive && !c->peer_eof && !c->sl->draining && !c->close_after;
    http1_put_head(&c->out, &(struct http1_head){.version = m->req.version,
                                                 .status = a->status,
                                                 .headers = a->headers,
                                                 .n_headers = a->n_headers,
                                                 .body_n = a->text.n,
                                                 .date = http_server_date(c->sl),
                                                 .keep_alive = keep});
    c->close_after |= !keep;
    c->request_ms = clock_mono_ms(); /* a pipelined request starts its time now */
    if (m->head || a->status == 204 || a->status == 304)
        a->text = SV_NULL;
    if (a->text.n <= COPIED_BODY_MAX) {
        buf_sv(&c->out, a->text);
        http_exchange_free(x);
    } else {
        c->sending = x;
        c->sent = 0;
    }
    if (c->out.failed)
        conn_kill(c);
}

static void http2_conn_answer(struct http_conn *c, struct http_exchange *x)
{
    int32_t stream = x->stream;
    http2_request_done(c->h2);
    if (!stream) {
        http_exchange_free(x);
        return;
    }
    if (x->on_deadline)
        evtimer_del(&x->deadline);
    struct http_answer a = x->answer;
    http2_answer(c->h2, stream, &a, http_server_date(c->sl), x->msg);
}

void http_conn_answer(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    if (!c) {
        http_exchange_free(x);
        return;
    }
    exchange_unlink(x);
    http_message_release_body(x->msg);
    if (c->h2) {
        if (x->stream)
            http_server_count_code(c->sl->server, x->answer.status);
        http2_conn_answer(c, x);
    } else {
        http_server_count_code(c->sl->server, x->answer.status);
        http1_answer(c, x);
    }
    if (!c->busy)
        conn_process(c);
}

bool http_conn_busy(const struct http_exchange *x)
{
    return x->conn && x->conn->busy;
}

void http_conn_give_up(struct http_exchange *x, struct http_answer *a)
{
    struct http_conn *c = x->conn;
    int32_t stream = x->stream;
    x->stream = 0;
    http_server_count_code(c->sl->server, a->status);
    http2_answer(c->h2, stream, a, http_server_date(c->sl), NULL);
    if (!c->busy)
        conn_process(c);
}

/* --- requests --- */

static void dispatch(struct http_conn *c, struct http_message *m, int32_t stream)
{
    struct http_server *s = c->sl->server;
    if (c->stream.ssl)
        m->req.scheme = SV("https");
    sv peer = arena_sv(&m->arena, sv_of(c->peer)); /* requests may outlive their connection */
    m->req.peer = peer.p ? peer.p : "";
    struct http_exchange *x = http_exchange_new(m, c->sl->loop, c, stream);
    if (!x) {
        conn_kill(c);
        return;
    }
    exchange_link(c, x);
    if (s->cfg.http2_only && !c->h2) {
        http_server_count(s, HTTP_BAD_VERSION);
        m->keep_alive = false;
        http_reply_text(x, 505, SV("this port speaks HTTP/2 only\n"));
    } else {
        s->handler(s->ctx, x);
    }
}

static bool http1_ready(const struct http_conn *c)
{
    return !c->dead && !c->first && !c->sending && !c->close_after && c->out.n - c->out_at < OUT_HIGH;
}

/* Feeds *in to the parser until a request is waiting for its answer. */
static void http1_run(struct http_conn *c, sv *in)
{
    while (in->n && http1_ready(c)) {
        if (http1_idle(c->h1))
            c->request_ms = clock_mono_ms();
        struct http_message *m = NULL;
        const char *text;
        switch (http1_feed(c->h1, in, &m)) {
        case HTTP1_MORE:
            break;
        case HTTP1_CONTINUE:
            buf_sv(&c->out, SV("HTTP/1.1 100 Continue\r\n\r\n"));
            break;
        case HTTP1_REQUEST:
            dispatch(c, m, 0);
            break;
        case HTTP1_REFUSED: {
            enum http_refusal why = http1_refusal(c->h1, &text);
            http1_refuse(c, why, text);
            break;
        }
        }
    }
    if (c->close_after) { /* nothing more is served */
        c->unread |= in->n > 0;
        *in = SV_NULL;
    }
}

static void http1_input(struct http_conn *c, sv in)
{
    bool had = c->pending.n > 0;
    if (had) {
        buf_sv(&c->pending, in);
        in = buf_view(&c->pending);
    }
    sv rest = in;
    http1_run(c, &rest);
    if (!had) {
        buf_sv(&c->pending, rest);
    } else if (rest.n) {
        memmove(c->pending.p, rest.p, rest.n);
        c->pending.n = rest.n;
    } else {
        buf_done(&c->pending);
    }
    if (c->pending.failed)
        conn_kill(c);
}

static void on_h2_request(void *ctx, int32_t stream, struct http_message *m)
{
    dispatch(ctx, m, stream);
}

static void on_h2_closed(void *ctx, int32_t stream)
{
    struct http_conn *c = ctx;
    for (struct http_exchange *x = c->first; x; x = x->next)
        if (x->stream == stream) {
            x->stream = 0;
            atomic_store(&x->cancelled, true);
            return;
        }
}

static void http2_input(struct http_conn *c, sv in)
{
    c->ping_ms = 0;
    if (!http2_feed(c->h2, in, clock_mono_ms()))
        http2_over(c);
}

static bool start_http1(struct http_conn *c)
{
    c->state = CONN_HTTP1;
    c->h1 = http1_new(&c->sl->server->limits);
    return c->h1;
}

static bool start_http2(struct http_conn *c)
{
    const struct http_server *s = c->sl->server;
    c->state = CONN_HTTP2;
    c->h2 = http2_new(&(struct http2_config){.lim = &s->limits,
                                             .max_concurrent_streams = s->cfg.max_concurrent_streams,
                                             .on = {on_h2_request, on_h2_refused, on_h2_closed},
                                             .ctx = c});
    return c->h2;
}

/* HTTP/2 announces itself with a preface that is no HTTP/1 request (RFC 9113 §3.4). */
static void detect(struct http_conn *c, sv in)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    if (!c->pending.n)
        c->request_ms = clock_mono_ms();
    buf_sv(&c->pending, in);
    if (c->pending.failed) {
        conn_kill(c);
        return;
    }
    size_t n = MIN(c->pending.n, sizeof preface - 1);
    bool matches = memcmp(c->pending.p, preface, n) == 0;
    if (matches && n < sizeof preface - 1)
        return;
    SCOPED(buf_done) struct buf all = c->pending;
    c->pending = (struct buf){0};
    if (!(matches ? start_http2(c) : start_http1(c)))
        conn_kill(c);
    else if (matches)
        http2_input(c, buf_view(&all));
    else
        http1_input(c, buf_view(&all));
}

static void conn_input(struct http_conn *c, sv in)
{
    switch (c->state) {
    case CONN_HANDSHAKE:
        return;
    case CONN_DETECT:
        detect(c, in);
        return;
    case CONN_HTTP1:
        http1_input(c, in);
        return;
    case CONN_HTTP2:
        http2_input(c, in);
        return;
    case CONN_LINGER:
        c->lingered += in.n;
        if (c->lingered > LINGER_BYTES)
            conn_kill(c);
        return;
    }
}

/* --- events --- */

static void peer_gone(struct http_conn *c)
{
    c->peer_eof = true;
    if (c->state == CONN_HTTP1 && c->first) {
        /* it may have shut down its sending side only: the answer is still sent */
        atomic_store(&c->first->cancelled, true);
        return;
    }
    if (c->state == CONN_HTTP1 && has_output(c)) {
        c->close_after = true;
        return;
    }
    if (c->state == CONN_HTTP1 && !http1_idle(c->h1))
        http_server_count(c->sl->server, REJECT_TRUNCATED);
    conn_kill(c);
}

static void conn_finish(struct http_conn *c)
{
    stream_shutdown(&c->stream);
    if (c->peer_eof || !c->unread) {
        conn_kill(c);
        return;
    }
    c->state = CONN_LINGER;
    c->linger_until_ms = clock_mono_ms() + LINGER_MS;
    buf_done(&c->pending);
}

/* After anything happened: serve what waits, send what there is, close what is over. The last to touch c. */
static void conn_process(struct http_conn *c)
{
    c->busy = true;
    if (!c->dead && c->state != CONN_LINGER)
        conn_flush(c);
    while (!c->dead && c->state == CONN_HTTP1 && c->pending.n && http1_ready(c)) {
        http1_input(c, SV_NULL);
        conn_flush(c);
    }
    bool idle1 = c->state == CONN_HTTP1 && !c->first && !has_output(c);
    if (idle1 && c->peer_eof)
        conn_kill(c);
    bool over = c->close_after && !has_output(c) && !(c->state == CONN_HTTP1 && c->first);
    if (!c->dead && over && c->state != CONN_LINGER)
        conn_finish(c);
    c->busy = false;
    if (c->dead)
        conn_free(c);
    else
        arm(c);
}

static void handshake(struct http_conn *c)
{
    sv alpn;
    switch (stream_accept(&c->stream, &alpn)) {
    case STREAM_AGAIN:
        return;
    case STREAM_OK:
        break;
    default:
        http_server_count(c->sl->server, REJECT_TLS);
        conn_kill(c);
        return;
    }
    c->state = CONN_DETECT;
    if (sv_eq(alpn, SV("h2")) && !start_http2(c))
        conn_kill(c);
}

static void conn_read(struct http_conn *c)
{
    for (int i = 0; i < READS_PER_WAKE && !c->dead; i++) {
        if (i && c->h2)
            conn_flush(c); /* what the frames before call for */
        if (c->dead || (c->state != CONN_LINGER && is_full(c)))
            return;
        size_t n = 0;
        switch (stream_recv(&c->stream, c->sl->scratch, SCRATCH_SIZE, &n)) {
        case STREAM_OK:
            break;
        case STREAM_AGAIN:
            return;
        case STREAM_EOF:
            peer_gone(c);
            return;
        case STREAM_FAILED:
            if (c->state == CONN_HTTP1 && !http1_idle(c->h1))
                http_server_count(c->sl->server, REJECT_TRUNCATED);
            conn_kill(c);
            return;
        }
        c->active_ms = clock_mono_ms();
        conn_input(c, sv_make(c->sl->scratch, n));
        if (!c->stream.ssl && n < SCRATCH_SIZE)
            return;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conn *c = ctx;
    c->busy = true;
    if (c->state == CONN_HANDSHAKE)
        handshake(c);
    if (!c->dead && c->state != CONN_HANDSHAKE)
        conn_read(c);
    conn_process(c);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
    struct http_conn *c = ctx;
    if (c->state == CONN_HANDSHAKE || c->stream.read_wants_write)
        on_readable(fd, what, c);
    else
        conn_process(c);
}

void http_conn_open(struct server_loop *sl, int fd, const char *peer)
{
    struct http_server *s = sl->server;
    struct http_conn *c = calloc(1, sizeof *c);
    if (!c || !stream_open(&c->stream, fd, s->tls)) {
        http_server_count(s, REJECT_ACCEPT);
        if (!c)
            close(fd);
        free(c);
        http_server_conn_gone(s);
        return;
    }
    c->sl = sl;
    c->state = c->stream.ssl ? CONN_HANDSHAKE : CONN_DETECT;
    c->active_ms = c->request_ms = clock_mono_ms();
    snprintf(c->peer, sizeof c->peer, "%s", peer);
    event_assign(&c->read_ev, loop_base(sl->loop), fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->write_ev, loop_base(sl->loop), fd, EV_WRITE | EV_PERSIST, on_writable, c);
    c->next = sl->first;
    if (c->next)
        c->next->prev = c;
    sl->first = c;
    if (sl->draining) {
        conn_kill(c);
        conn_process(c);
        return;
    }
    on_readable(fd, EV_READ, c); /* the first bytes are often there already */
}

/* --- timeouts and the end --- */

static void http1_timeouts(struct http_conn *c, int64_t now)
{
    const struct http_server_config *cfg = &c->sl->server->cfg;
    if (has_output(c) || c->first || c->close_after)
        return;
    bool idle = c->state == CONN_HTTP1 ? http1_idle(c->h1) : c->state == CONN_DETECT && !c->pending.n;
    if (idle && now - c->active_ms > cfg->idle_timeout_ms) {
        conn_finish(c);
    } else if (!idle && now - c->request_ms > cfg->read_timeout_ms) {
        if (c->state == CONN_HTTP1 || c->state == CONN_DETECT) {
            http1_refuse(c, HTTP_TOO_SLOW, http_refusal_text(HTTP_TOO_SLOW));
        } else {
            http_server_count(c->sl->server, REJECT_TLS);
            conn_kill(c);
        }
    }
}

static void http2_timeouts(struct http_conn *c, int64_t now)
{
    const struct http_server_config *cfg = &c->sl->server->cfg;
    http2_expire(c->h2, now, cfg->read_timeout_ms);
    if (c->ping_ms && now - c->ping_ms > PING_WAIT_MS) {
        http_server_count(c->sl->server, REJECT_STALLED);
        conn_kill(c);
    } else if (!c->ping_ms && now - c->active_ms > cfg->keepalive_ms) {
        c->ping_ms = now;
        http2_ping(c->h2);
    } else if (http2_idle(c->h2) && !c->first && now - c->active_ms > cfg->idle_timeout_ms) {
        /* a request may be on its way: it must meet the GOAWAY, not a reset */
        http2_goaway(c->h2);
        c->close_after = c->unread = true;
    }
}

void http_conn_sweep(struct server_loop *sl, int64_t now_ms)
{
    int64_t patience = sl->server->cfg.read_timeout_ms;
    for (struct http_conn *c = sl->first, *next; c; c = next) {
        next = c->next;
        c->busy = true;
        if (c->state == CONN_LINGER) {
            if (now_ms > c->linger_until_ms)
                conn_kill(c);
        } else if (c->blocked_ms && now_ms - c->blocked_ms > patience) {
            http_server_count(sl->server, REJECT_STALLED);
            conn_kill(c);
        } else if (c->state == CONN_HTTP2) {
            http2_timeouts(c, now_ms);
        } else {
            http1_timeouts(c, now_ms);
        }
        conn_process(c);
    }
}

void http_conn_drain(struct server_loop *sl)
{
    sl->draining = true;
    for (struct http_conn *c = sl->first, *next; c; c = next) {
        next = c->next;
        c->busy = true;
        if (c->state == CONN_HTTP2)
            http2_goaway(c->h2);
        else if (c->state == CONN_HTTP1 && !c->first && http1_idle(c->h1))
            c->close_after = true;
        else if (c->state == CONN_HANDSHAKE || c->state == CONN_DETECT)
            conn_kill(c);
        conn_process(c);
    }
}

void http_conn_close_all(struct server_loop *sl)
{
    while (sl->first) {
        conn_kill(sl->first);
        conn_process(sl->first);
    }
}

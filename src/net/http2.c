/* http2.c - see http2.h. nghttp2 does frames, HPACK, flow control and the checks of RFC 9113 §8; here is what
 * is ours: (1) A stream's request gathers in an http_message under the caps of http_limits, and is handed
 * over whole. (2) The windows let a 20 MiB body flow without stalling (1 MiB per stream, 16 MiB per
 * connection); nghttp2 reopens them as data arrives, because the body cap and the server's budget, not the
 * window, bound memory. (3) A peer that makes us work without asking for anything is told to calm down: pings
 * and settings take tokens from a bucket; resets and queued acknowledgements are limited by nghttp2; refused
 * streams still count while their handlers run. (4) An answer given before the request is whole is followed
 * by RST_STREAM(NO_ERROR), as RFC 9113 §8.1 asks. */
#include "net/http2.h"
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

enum {
    STREAM_WINDOW = 1 << 20,
    CONNECTION_WINDOW = 16 << 20,
    CALM_BURST =
        500, /* pings and settings at once; nghttp2 itself gives up at 1000 queued acknowledgements */
    CALM_PER_S = 10,
    RESET_BURST = 1000,
    RESET_PER_S = 33,
    HEADERS_SENT_MAX = 100, /* per answer, with the pseudo-header */
};

struct http2_stream {
    int32_t id;
    int64_t started_ms;
    struct http_message *m; /* while it gathers, then again while the answer goes out */
    struct http2_stream *prev, *next;
    bool gathering; /* the request is not whole, nor refused */
    bool handed, answered;
    struct http_answer answer; /* body owned */
    size_t sent;
    int64_t seen_ms; /* http2_expire() saw it at seen_sent since then; 0: not yet */
    size_t seen_sent;
};

struct http2 {
    nghttp2_session *ng;
    struct http2_config cfg;
    struct http2_stream *oldest, *newest; /* all open ones */
    uint32_t n_handed;
    int64_t now_ms, calm_at_ms;
    double calm_tokens;
    bool over;   /* nothing more is taken in */
    bool failed; /* because the peer broke the rules */
};

/* --- streams --- */

static struct http2_stream *stream_of(struct http2 *h, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h->ng, id);
}

static struct http2_stream *stream_new(struct http2 *h, int32_t id)
{
    struct http2_stream *s = calloc(1, sizeof *s);
    if (!s || !(s->m = http_message_new(h->cfg.lim))) {
        free(s);
        return NULL;
    }
    s->id = id;
    s->started_ms = h->now_ms;
    s->m->req.version = 20;
    s->gathering = true;
    s->prev = h->newest;
    *(h->newest ? &h->newest->next : &h->oldest) = s;
    h->newest = s;
    return s;
}

static void stream_free(struct http2 *h, struct http2_stream *s)
{
    *(s->prev ? &s->prev->next : &h->oldest) = s->next;
    *(s->next ? &s->next->prev : &h->newest) = s->prev;
    buf_done(&s->answer.body);
    http_message_free(s->m);
    free(s);
}

static void refuse(struct http2 *h, struct http2_stream *s, enum http_refusal why)
{
    s->gathering = false;
    h->cfg.on.refused(h->cfg.ctx, s->id, why, s->m);
    if (!s->answered) /* the callee could not */
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
    http_message_free(TAKE(s->m));
}

static void hand_over(struct http2 *h, struct http2_stream *s)
{
    s->gathering = false;
    s->handed = true;
    h->n_handed++;
    h->cfg.on.request(h->cfg.ctx, s->id, TAKE(s->m));
}

/* --- what nghttp2 tells us --- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *ctx)
{
    struct http2 *h = ctx;
    if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (h->n_handed >= h->cfg.max_concurrent_streams)
        return nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_REFUSED_STREAM);
    struct http2_stream *s = stream_new(h, f->hd.stream_id);
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    nghttp2_session_set_stream_user_data(ng, s->id, s);
    return 0;
}

static enum http_refusal take_pseudo(struct http2 *h, struct http_message *m, sv name, sv value)
{
    enum http_refusal why = http_message_count_header(m, h->cfg.lim, name.n, value.n);
    if (why)
        return why;
    sv copy = arena_sv(&m->arena, value);
    if (!copy.p)
        return HTTP_OUT_OF_MEMORY;
    if (sv_eq(name, SV(":method"))) {
        m->req.method = copy;
        m->head = sv_eq(copy, SV("HEAD"));
    } else if (sv_eq(name, SV(":scheme"))) {
        m->req.scheme = copy;
    } else if (sv_eq(name, SV(":authority"))) {
        m->req.authority = copy;
    } else if (!sv_eq(name, SV(":path")) || !http_message_set_target(m, copy)) {
        return HTTP_BAD_REQUEST;
    }
    return HTTP_FINE;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct http2 *h = ctx;
    struct http2_stream *s = stream_of(h, f->hd.stream_id);
    if (!s || !s->m || !s->gathering || f->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* refused already, or trailers: nothing we serve reads them */
    sv n = sv_make(name, name_n), v = sv_make(value, value_n);
    enum http_refusal why = name_n && name[0] == ':' ? take_pseudo(h, s->m, n, v)
                                                     : http_message_add_header(s->m, h->cfg.lim, n, v);
    if (why)
        refuse(h, s, why);
    return 0;
}

/* All headers are here: whatever is wrong with them is said before the body comes. */
static void headers_complete(struct http2 *h, struct http2_stream *s)
{
    struct http_message *m = s->m;
    uint64_t n;
    sv length = http_header(&m->req, SV("content-length"));
    if (!m->req.authority.p)
        m->req.authority = http_header(&m->req, SV("host"));
    if (!m->req.path.n)
        refuse(h, s, HTTP_BAD_REQUEST);
    else if (length.p && sv_to_u64(length, &n) && n > h->cfg.lim->max_body_bytes)
        refuse(h, s, HTTP_BODY_TOO_LARGE);
}

static int calm(struct http2 *h)
{
    if (h->over)
        return 0; /* said already */
    double tokens = h->calm_tokens + (double)(h->now_ms - h->calm_at_ms) * CALM_PER_S / 1000;
    h->calm_tokens = MIN(tokens, (double)CALM_BURST);
    h->calm_at_ms = h->now_ms;
    if (h->calm_tokens < 1) {
        static const char why[] = "too_many_pings"; /* the debug data gRPC clients know */
        h->over = h->failed = true;
        return nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->ng),
                                     NGHTTP2_ENHANCE_YOUR_CALM, (const uint8_t *)why, sizeof why - 1);
    }
    h->calm_tokens -= 1;
    return 0;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *f, void *ctx)
{
    struct http2 *h = ctx;
    if (f->hd.type == NGHTTP2_PING || f->hd.type == NGHTTP2_SETTINGS)
        return f->hd.flags & NGHTTP2_FLAG_ACK ? 0 : calm(h);
    if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA)
        return 0;
    struct http2_stream *s = stream_of(h, f->hd.stream_id);
    if (!s || !s->gathering)
        return 0;
    if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST)
        headers_complete(h, s);
    if (s->gathering && f->hd.flags & NGHTTP2_FLAG_END_STREAM)
        hand_over(h, s);
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *ctx)
{
    struct http2 *h = ctx;
    struct http2_stream *s = stream_of(h, id);
    if (!s || !s->gathering)
        return 0;
    uint64_t expected = 0;
    sv length = http_header(&s->m->req, SV("content-length"));
    if (length.p && !sv_to_u64(length, &expected))
        expected = 0;
    enum http_refusal why = http_message_add_body(s->m, h->cfg.lim, sv_make(p, n), expected);
    if (why)
        refuse(h, s, why);
    return 0;
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *f, void *ctx)
{
    struct http2 *h = ctx;
    if (f->hd.type == NGHTTP2_GOAWAY && f->goaway.error_code != NGHTTP2_NO_ERROR)
        h->failed = true; /* nghttp2 found something */
    if ((f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) &&
        f->hd.flags & NGHTTP2_FLAG_END_STREAM &&
        nghttp2_session_get_stream_remote_close(ng, f->hd.stream_id) == 0)
        return nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *ctx)
{
    struct http2 *h = ctx;
    struct http2_stream *s = stream_of(h, id);
    if (!s)
        return 0;
    nghttp2_session_set_stream_user_data(ng, id, NULL);
    bool unanswered = s->handed && !s->answered;
    stream_free(h, s);
    if (unanswered)
        h->cfg.on.closed(h->cfg.ctx, id);
    return 0;
}

/* --- the session --- */

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb))
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    return cb;
}

static bool session_open(struct http2 *h)
{
    nghttp2_session_callbacks *cb = callbacks_new();
    nghttp2_option *opt = NULL;
    if (cb && nghttp2_option_new(&opt) == 0) {
        nghttp2_option_set_no_closed_streams(opt,
                                             1); /* priorities are not used: remember nothing of the dead */
        nghttp2_option_set_stream_reset_rate_limit(opt, RESET_BURST, RESET_PER_S);
        if (nghttp2_session_server_new2(&h->ng, cb, h, opt))
            h->ng = NULL;
    }
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    if (!h->ng)
        return false;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->cfg.max_concurrent_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
         (uint32_t)MIN(h->cfg.lim->max_header_bytes, (uint64_t)UINT32_MAX)},
    };
    return nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) == 0 &&
           nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) == 0;
}

struct http2 *http2_new(const struct http2_config *cfg)
{
    struct http2 *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->cfg = *cfg;
    h->calm_tokens = CALM_BURST;
    if (!session_open(h)) {
        http2_free(h);
        return NULL;
    }
    return h;
}

void http2_free(struct http2 *h)
{
    if (!h)
        return;
    while (h->oldest)
        stream_free(h, h->oldest);
    nghttp2_session_del(h->ng);
    free(h);
}

bool http2_feed(struct http2 *h, sv in, int64_t now_ms)
{
    h->now_ms = now_ms;
    if (h->over)
        return false;
    ssize_t n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)in.p, in.n);
    if (n < 0) {
        h->over = h->failed = true;
    }
    return !h->over;
}

bool http2_pull(struct http2 *h, struct buf *out, size_t want)
{
    while (out->n < want) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h->ng, &p);
        if (n < 0)
            h->over = true;
        if (n <= 0)
            break;
        buf_put(out, p, (size_t)n);
    }
    if (out->failed)
        h->over = true;
    return !h->over && (nghttp2_session_want_read(h->ng) || nghttp2_session_want_write(h->ng));
}

/* --- answers --- */

static nghttp2_nv nv_of(sv name, sv value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n, value.n,
                        NGHTTP2_NV_FLAG_NONE};
}

static size_t put_headers(nghttp2_nv *nv, size_t n, const struct http_header *headers, size_t n_headers)
{
    for (size_t i = 0; i < n_headers && n < HEADERS_SENT_MAX; i++)
        nv[n++] = nv_of(headers[i].name, headers[i].value);
    return n;
}

static ssize_t read_answer(nghttp2_session *ng, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                           nghttp2_data_source *src, void *ctx)
{
    struct http2_stream *s = src->ptr;
    sv piece = sv_sub(sv_from(s->answer.text, s->sent), 0, room);
    if (piece.n)
        memcpy(to, piece.p, piece.n);
    s->sent += piece.n;
    if (s->sent < s->answer.text.n)
        return (ssize_t)piece.n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s->answer.n_trailers) {
        nghttp2_nv nv[HEADERS_SENT_MAX];
        size_t n = put_headers(nv, 0, s->answer.trailers, s->answer.n_trailers);
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(ng, id, nv, n))
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return (ssize_t)piece.n;
}

static int submit(struct http2 *h, struct http2_stream *s, sv date, bool head)
{
    struct http_answer *a = &s->answer;
    nghttp2_nv nv[HEADERS_SENT_MAX];
    char status[4] = {(char)('0' + a->status / 100), (char)('0' + a->status / 10 % 10),
                      (char)('0' + a->status % 10)};
    char length[24];
    size_t n = 0;
    nv[n++] = nv_of(SV(":status"), sv_make(status, 3));
    if (date.n)
        nv[n++] = nv_of(SV("date"), date);
    if (!a->n_trailers && a->status != 204 && a->status != 304) {
        struct buf text = {.p = length, .cap = sizeof length};
        buf_u64(&text, a->text.n);
        nv[n++] = nv_of(SV("content-length"), buf_view(&text));
    }
    n = put_headers(nv, n, a->headers, a->n_headers);
    bool body = a->text.n && !head;
    if (!body) /* trailers-only (gRPC): one HEADERS frame says it all */
        n = put_headers(nv, n, a->trailers, a->n_trailers);
    nghttp2_data_provider data = {.source.ptr = s, .read_callback = read_answer};
    int rc = nghttp2_submit_response(h->ng, s->id, nv, n, body ? &data : NULL);
    a->headers = NULL; /* copied; trailers behind a body are read when it has been sent */
    a->n_headers = 0;
    if (!body)
        a->n_trailers = 0;
    return rc;
}

bool http2_answer(struct http2 *h, int32_t stream, struct http_answer *a, sv date, struct http_message *m)
{
    struct http2_stream *s = stream_of(h, stream);
    if (!s || s->answered) {
        buf_done(&a->body);
        http_message_free(m);
        return true;
    }
    bool head = m ? m->head : s->m && s->m->head;
    s->answered = true;
    s->answer = *a;
    a->body = (struct buf){0};
    if (m) {
        ASSERT(!s->m);
        s->m = m;
    }
    if (submit(h, s, date, head) == 0)
        return true;
    nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, stream, NGHTTP2_INTERNAL_ERROR);
    return false;
}

void http2_request_done(struct http2 *h)
{
    ASSERT(h->n_handed > 0);
    h->n_handed--;
}

static void expire(struct http2 *h, struct http2_stream *s, int64_t now_ms, int64_t patience_ms)
{
    if (s->gathering && now_ms - s->started_ms > patience_ms) {
        refuse(h, s, HTTP_TOO_SLOW);
    } else if (s->answered && (!s->seen_ms || s->seen_sent != s->sent)) {
        s->seen_ms = now_ms;
        s->seen_sent = s->sent;
    } else if (s->answered && now_ms - s->seen_ms > patience_ms) {
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
    }
}

void http2_expire(struct http2 *h, int64_t now_ms, int64_t patience_ms)
{
    h->now_ms = now_ms;
    for (struct http2_stream *s = h->oldest, *next; s; s = next) {
        next = s->next;
        expire(h, s, now_ms, patience_ms);
    }
}

void http2_ping(struct http2 *h)
{
    nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
}

void http2_goaway(struct http2 *h)
{
    nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->ng),
                          NGHTTP2_NO_ERROR, NULL, 0);
}

bool http2_idle(const struct http2 *h)
{
    return !h->oldest;
}

bool http2_failed(const struct http2 *h)
{
    return h->failed;
}

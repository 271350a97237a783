/* exchange.c - the handler's side of http.h. */
#include "net/exchange.h"
#include "base/clock.h"
#include <event2/event.h>

struct http_exchange *http_exchange_new(struct http_message *m, struct loop *l, struct http_conn *c,
                                        int32_t stream)
{
    struct http_exchange *x = ARENA_NEW(&m->arena, struct http_exchange);
    if (!x) {
        http_message_free(m);
        return NULL;
    }
    x->msg = m;
    x->loop = l;
    x->conn = c;
    x->stream = stream;
    m->req.received_wall_ns = clock_wall_ns();
    return x;
}

void http_exchange_free(struct http_exchange *x)
{
    if (x->on_deadline)
        evtimer_del(&x->deadline);
    buf_done(&x->answer.body);
    struct http_server *s = x->orphan_of;
    http_message_free(x->msg); /* x itself lives there */
    if (s)
        http_server_unref(s);
}

const struct http_request *http_request_of(const struct http_exchange *x)
{
    return &x->msg->req;
}

const _Atomic bool *http_cancelled(const struct http_exchange *x)
{
    return &x->cancelled;
}

bool http_exchange_charge(struct http_exchange *x, uint64_t n)
{
    return http_message_charge(x->msg, n);
}

/* --- deadlines --- */

static void deadline_passed(evutil_socket_t fd, short what, void *ctx)
{
    struct http_exchange *x = ctx;
    x->on_deadline(x);
}

void http_exchange_deadline(struct http_exchange *x, int64_t mono_ns, void (*fn)(struct http_exchange *x))
{
    int64_t us = MAX((mono_ns - clock_mono_ns()) / 1000, (int64_t)0);
    us = MIN(us, (int64_t)INT32_MAX * 1000000);
    struct timeval tv = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    x->on_deadline = fn;
    evtimer_assign(&x->deadline, loop_base(x->loop), deadline_passed, x);
    evtimer_add(&x->deadline, &tv);
}

void http_exchange_give_up(struct http_exchange *x, int status, const struct http_header *headers,
                           size_t n_headers, const struct http_header *trailers, size_t n_trailers)
{
    /* another thread may be at x->answer and the arena: they are left alone */
    struct http_answer a = {.status = status,
                            .headers = (struct http_header *)(uintptr_t)headers,
                            .n_headers = n_headers,
                            .trailers = (struct http_header *)(uintptr_t)trailers,
                            .n_trailers = n_trailers};
    atomic_store(&x->cancelled, true);
    if (x->conn && x->stream)
        http_conn_give_up(x, &a);
}

/* --- answers --- */

static void send_task(struct loop_task *t)
{
    http_conn_answer(CONTAINER_OF(t, struct http_exchange, task));
}

static void send_answer(struct http_exchange *x)
{
    x->task.fn = send_task;
    if (loop_is_current(x->loop) && http_conn_busy(x))
        http_conn_answer(x);
    else
        loop_post(x->loop, &x->task);
}

/* A name as HTTP/2 wants it, a value that cannot end its line: handlers may echo what a request said. */
static sv copy_clean(struct arena *a, sv s, bool name)
{
    char *to = arena_alloc(a, s.n);
    if (!to)
        return SV_NULL;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (name && c >= 'A' && c <= 'Z')
            c |= 0x20;
        to[i] = (char)(c < 0x20 || c == 0x7f ? ' ' : c);
    }
    return name ? sv_make(to, s.n) : sv_trim(sv_make(to, s.n));
}

static bool copy_headers(struct http_exchange *x, const struct http_header *from, size_t n,
                         struct http_header **ret, size_t *ret_n)
{
    struct arena *a = &x->msg->arena;
    struct http_header *to = arena_array(a, n, sizeof *to);
    if (!to)
        return false;
    for (size_t i = 0; i < n; i++) {
        to[i] = (struct http_header){copy_clean(a, from[i].name, true), copy_clean(a, from[i].value, false)};
        if (!to[i].name.p || !to[i].value.p)
            return false;
    }
    *ret = to;
    *ret_n = n;
    return true;
}

static void answer_with(struct http_exchange *x, int status, const struct http_header *headers,
                        size_t n_headers, const struct http_header *trailers, size_t n_trailers)
{
    struct http_answer *a = &x->answer;
    a->status = status;
    if (!copy_headers(x, headers, n_headers, &a->headers, &a->n_headers) ||
        !copy_headers(x, trailers, n_trailers, &a->trailers, &a->n_trailers)) {
        a->status = 500; /* out of memory: an answer without headers and body */
        a->n_headers = a->n_trailers = 0;
        buf_done(&a->body);
        a->text = SV_NULL;
    }
    send_answer(x);
}

static void take_body(struct http_answer *a, struct buf *body)
{
    if (body && body->n) {
        a->body = *body;
        a->text = buf_view(&a->body);
        *body = (struct buf){.max = body->max};
    } else if (body) {
        buf_done(body);
    }
}

void http_reply(struct http_exchange *x, int status, const struct http_header *headers, size_t n_headers,
                struct buf *body)
{
    take_body(&x->answer, body);
    answer_with(x, status, headers, n_headers, NULL, 0);
}

void http_reply_static(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t n_headers, sv body)
{
    x->answer.text = body;
    answer_with(x, status, headers, n_headers, NULL, 0);
}

void http_reply_text(struct http_exchange *x, int status, sv text)
{
    static const struct http_header headers[] = {
        {{"content-type", 12}, {"text/plain; charset=utf-8", 25}},
        {{"x-content-type-options", 22}, {"nosniff", 7}},
    };
    buf_sv(&x->answer.body, text);
    x->answer.text = buf_view(&x->answer.body);
    answer_with(x, status, headers, ARRAY_LEN(headers), NULL, 0);
}

void http_reply_trailers(struct http_exchange *x, int status, const struct http_header *headers,
                         size_t n_headers, struct buf *body, const struct http_header *trailers,
                         size_t n_trailers)
{
    take_body(&x->answer, body);
    answer_with(x, status, headers, n_headers, trailers, n_trailers);
}

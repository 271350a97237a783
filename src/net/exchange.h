/* exchange.h - inside net: an exchange's life between codec, handler and connection.
 * (1) It lives in its message's arena, so one release frees request, exchange and answer headers.
 * (2) Handler's side: `msg`, `answer`, from the handler's call to http_reply(). Loop's side: all else; `conn`
 * becomes NULL when nobody waits for the answer any more. `cancelled` is for both. (3) An exchange whose
 * connection is gone holds a reference on the server, whose budget its body still counts against. */
#pragma once
#include "net/loop.h"
#include "net/message.h"
#include <event2/event_struct.h>

struct http_conn;
struct http_server;

struct http_exchange {
    struct http_message *msg;
    struct http_answer answer;
    struct loop_task task; /* carries the answer to the loop */
    struct loop *loop;     /* read-only */
    _Atomic bool cancelled;

    struct http_conn *conn;            /* loop thread from here on */
    struct http_server *orphan_of;     /* the reference of (3) */
    int32_t stream;                    /* HTTP/2; 0: the stream is gone */
    struct http_exchange *prev, *next; /* of its connection */
    struct event deadline;
    void (*on_deadline)(struct http_exchange *x);
};

/* Loop thread. NULL: out of memory, `m` is freed. */
struct http_exchange *http_exchange_new(struct http_message *m, struct loop *l, struct http_conn *c,
                                        int32_t stream);
/* Frees it with its message; its answer is not sent. */
void http_exchange_free(struct http_exchange *x);

/* Loop thread, before the answer: fn runs on the loop when the monotonic clock reaches `mono_ns`, unless the
 * exchange has ended. */
void http_exchange_deadline(struct http_exchange *x, int64_t mono_ns, void (*fn)(struct http_exchange *x));
/* Loop thread: answers with literal trailers now, while the handler still works: its own answer will be
 * dropped. */
void http_exchange_give_up(struct http_exchange *x, int status, const struct http_header *headers,
                           size_t n_headers, const struct http_header *trailers, size_t n_trailers);
/* More memory held for this request (a decompressed body), counted against max_inflight_bytes. Handler's
 * side. */
bool http_exchange_charge(struct http_exchange *x, uint64_t n);

/* conn.c: the answer is ready (loop thread). */
void http_conn_answer(struct http_exchange *x);
/* conn.c: its connection is processing input (loop thread): answering on the spot is safe then, and only
 * then. */
bool http_conn_busy(const struct http_exchange *x);
/* conn.c: sends `a` for x now and forgets x, which stays the handler's. Takes a->body over. */
void http_conn_give_up(struct http_exchange *x, struct http_answer *a);
/* server.c */
void http_server_unref(struct http_server *s);

/* message.h - a request as the codecs hand it over, and the caps they keep while receiving it.
 * Codecs (http1, http2, grpc framing) take bytes and give facts: no socket, clock, thread or log. */
#pragma once
#include "net/http.h"
#include <stdatomic.h>

/* What requests of one server may hold in all; shared by its connections. Headers count, too: HPACK makes 64 KiB of them out
 * of some 40 bytes on the wire. */
struct http_budget {
    _Atomic uint64_t used;
    uint64_t max;
};
struct http_limits {
    uint64_t max_body_bytes;
    uint64_t max_header_bytes;
    uint32_t max_headers;
    struct http_budget *budget; /* NULL: none */
};

/* Why a request is refused. Each has a status, a text and a metric label. */
enum http_refusal {
    HTTP_FINE,
    HTTP_BAD_REQUEST,      /* 400: malformed */
    HTTP_BODY_TOO_LARGE,   /* 413 */
    HTTP_HEADER_TOO_LARGE, /* 431 */
    HTTP_BUDGET_EXHAUSTED, /* 503 */
    HTTP_BAD_EXPECTATION,  /* 417 */
    HTTP_BAD_CODING,       /* 501: a Transfer-Encoding other than chunked */
    HTTP_BAD_VERSION,      /* 505 */
    HTTP_TOO_SLOW,         /* 408 */
    HTTP_OUT_OF_MEMORY,    /* 503 */
    HTTP_REFUSALS
};
int http_refusal_status(enum http_refusal why);
const char *http_refusal_text(enum http_refusal why);  /* names the setting */
const char *http_refusal_label(enum http_refusal why); /* for weir_http_rejected_total{reason} */

struct http_message {
    struct http_request req; /* headers point into the arena, body into `body` */
    struct arena arena;
    struct buf body;
    struct http_budget *budget;
    uint64_t charged;      /* of the budget; http_message_free gives it back */
    uint64_t charged_headers; /* part of it */
    uint64_t header_bytes; /* names, values and 32 for each, as HTTP/2 counts */
    size_t headers_cap;
    bool keep_alive; /* HTTP/1: the connection may carry another request */
    bool head;       /* method is HEAD: the answer has no body */
};
struct http_message *http_message_new(const struct http_limits *lim); /* NULL: out of memory */
void http_message_free(struct http_message *m);
DEFINE_SCOPED(struct http_message *, http_message_free)
/* Takes `n` bytes from the budget in the name of m; false: exhausted. */
bool http_message_charge(struct http_message *m, uint64_t n);
/* The body, and whatever else was charged but the headers, is not needed for sending an answer: giving it back before keeps
 * the budget honest. */
void http_message_release_body(struct http_message *m);
/* One more header, or pseudo-header, of these lengths: counted, within the caps and the budget? */
enum http_refusal http_message_count_header(struct http_message *m, const struct http_limits *lim, size_t name_n,
                                            size_t value_n);
/* Copies name (lower-cased) and value. */
enum http_refusal http_message_add_header(struct http_message *m, const struct http_limits *lim, sv name,
                                          sv value);
enum http_refusal http_message_add_body(struct http_message *m, const struct http_limits *lim, sv bytes,
                                        uint64_t expected);
/* Splits and decodes req.raw_path (already set) into path and query. False: bad escapes, NUL, '#'. */
bool http_message_set_target(struct http_message *m, sv target);

/* An answer on its way out. Headers live in the message's arena. */
struct http_answer {
    int status;
    struct http_header *headers, *trailers;
    size_t n_headers, n_trailers;
    struct buf body; /* owned */
    sv text;         /* what is sent: the body, or bytes that outlive us */
};

/* The answer to a refused request. It points into itself: not to be moved. */
struct http_refused {
    struct http_answer answer;
    struct http_header headers[3], trailers[2];
    char code[4];
    struct buf message;
};
/* `text`: more exact than http_refusal_text(). `m`: what is known of the request, NULL when nothing. */
void http_refused_init(struct http_refused *r, enum http_refusal why, const char *text,
                       const struct http_message *m, uint64_t max_body);
void http_refused_done(struct http_refused *r);
static inline UNUSED void http_refused_done_scoped(struct http_refused *r)
{
    http_refused_done(r);
}

bool http_is_token(sv s);       /* RFC 9110 §5.6.2 */
bool http_is_field_value(sv s); /* no control characters but tab */
/* %XX, and '+' as a blank when `plus`. False on bad escapes. */
bool http_unescape(sv s, bool plus, struct arena *a, sv *ret);

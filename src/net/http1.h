/* http1.h - HTTP/1.0 and 1.1, the server's side: bytes in, whole requests out; answers into bytes. */
#pragma once
#include "net/message.h"

struct http1;

enum http1_event {
    HTTP1_MORE,     /* all input was taken; feed more */
    HTTP1_CONTINUE, /* the client waits for "100 Continue" before it sends the body; go on feeding */
    HTTP1_REQUEST,  /* *ret_request is a whole request, the caller's to free */
    HTTP1_REFUSED,  /* see http1_refusal(); answer it and close: what follows cannot be told apart from a body
                     */
};

struct http1 *http1_new(const struct http_limits *lim); /* `lim` outlives it. NULL: out of memory */
void http1_free(struct http1 *h);
/* Takes bytes from *in, up to the end of the request at most: what follows belongs to the next one. */
enum http1_event http1_feed(struct http1 *h, sv *in, struct http_message **ret_request);
bool http1_idle(const struct http1 *h); /* between requests: not one byte of the next has come */
enum http_refusal http1_refusal(const struct http1 *h, const char **ret_text);

/* Status line and headers. `body_n`: the content-length to announce. `date`: an IMF-fixdate. Connection:
 * close when the connection ends with this answer, keep-alive for an HTTP/1.0 client that asked for it. */
struct http1_head {
    int version; /* of the request */
    int status;
    const struct http_header *headers;
    size_t n_headers;
    uint64_t body_n;
    sv date;
    bool keep_alive;
};
void http1_put_head(struct buf *out, const struct http1_head *head);

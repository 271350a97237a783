/* stream.h - inside net: a non-blocking connected socket, plain or TLS, that never raises SIGPIPE on a loop's
 * thread. */
#pragma once
#include "base/sv.h"

struct ssl_ctx_st;
struct ssl_st;
struct iovec;

struct stream {
    int fd;
    struct ssl_st *ssl; /* NULL: plain text */
    /* TLS may have to write in order to read, and the other way round */
    bool read_wants_write, write_wants_read;
};
enum stream_result { STREAM_OK, STREAM_AGAIN, STREAM_EOF, STREAM_FAILED };

/* Takes fd over, also on failure. `tls` NULL: plain text. False: out of memory. */
MUST_USE bool stream_open(struct stream *st, int fd, struct ssl_ctx_st *tls);
void stream_close(struct stream *st);
/* TLS: the server's side of the handshake; STREAM_OK when it is done. *ret_alpn: what was agreed on, "" when
 * nothing. */
enum stream_result stream_accept(struct stream *st, sv *ret_alpn);
enum stream_result stream_recv(struct stream *st, char *to, size_t room, size_t *ret);
/* Sends the first pieces of iov, as much as fits. */
enum stream_result stream_send(struct stream *st, const struct iovec *iov, int n_iov, size_t *ret);
/* Nothing more will be sent. What the peer still sends can be read, raw, and is meant to be thrown away. */
void stream_shutdown(struct stream *st);

/* stream.c - see stream.h. */
#include "net/stream.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

bool stream_open(struct stream *st, int fd, struct ssl_ctx_st *tls)
{
    *st = (struct stream){.fd = fd};
    if (!tls)
        return true;
    st->ssl = SSL_new(tls);
    if (st->ssl && SSL_set_fd(st->ssl, fd) == 1)
        return true;
    stream_close(st);
    return false;
}

void stream_close(struct stream *st)
{
    SSL_free(st->ssl);
    close(st->fd);
}

static enum stream_result tls_result(struct stream *st, int rc, bool reading)
{
    switch (SSL_get_error(st->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        st->write_wants_read |= !reading;
        return STREAM_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        st->read_wants_write |= reading;
        return STREAM_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return STREAM_EOF;
    default:
        return STREAM_FAILED;
    }
}

enum stream_result stream_accept(struct stream *st, sv *ret_alpn)
{
    ERR_clear_error();
    st->read_wants_write = st->write_wants_read = false;
    int rc = SSL_accept(st->ssl);
    if (rc != 1)
        return tls_result(st, rc, true);
    const unsigned char *alpn = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(st->ssl, &alpn, &n);
    *ret_alpn = sv_make(alpn, n);
    return STREAM_OK;
}

enum stream_result stream_recv(struct stream *st, char *to, size_t room, size_t *ret)
{
    if (st->ssl) {
        ERR_clear_error();
        st->read_wants_write = false;
        int rc = SSL_read_ex(st->ssl, to, room, ret);
        return rc == 1 ? STREAM_OK : tls_result(st, rc, true);
    }
    ssize_t n;
    do
        n = recv(st->fd, to, room, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? STREAM_AGAIN : STREAM_FAILED;
    *ret = (size_t)n;
    return n ? STREAM_OK : STREAM_EOF;
}

enum stream_result stream_send(struct stream *st, const struct iovec *iov, int n_iov, size_t *ret)
{
    if (st->ssl) {
        ERR_clear_error();
        st->write_wants_read = false;
        int rc = SSL_write_ex(st->ssl, iov[0].iov_base, iov[0].iov_len, ret);
        return rc == 1 ? STREAM_OK : tls_result(st, rc, false);
    }
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n_iov};
    ssize_t n;
    do
        n = sendmsg(st->fd, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? STREAM_AGAIN : STREAM_FAILED;
    *ret = (size_t)n;
    return STREAM_OK;
}

void stream_shutdown(struct stream *st)
{
    if (st->ssl) {
        ERR_clear_error();
        SSL_shutdown(st->ssl); /* says goodbye if it can be said at once */
        SSL_free(st->ssl);
        st->ssl = NULL;
    }
    st->read_wants_write = st->write_wants_read = false;
    shutdown(st->fd, SHUT_WR);
}

/* http1.c - see http1.h. A parser of our own, because framing is where requests are smuggled and the
 * libraries at hand are lenient by design. RFC 9112, read strictly: (1) A head is collected whole (capped),
 * then parsed; lines end in CR LF, never in a bare LF or CR. (2) No folded lines, no blank before a colon, no
 * control characters. (3) Content-Length beside Transfer-Encoding, differing Content-Lengths, a coding other
 * than a single "chunked", more or less than one Host on 1.1: refused, and the connection ends, since nobody
 * knows where the next request starts. (4) Chunk sizes, extensions and trailers have caps; trailers are
 * checked and dropped. (5) Every byte is looked at a bounded number of times, however small the pieces it
 * comes in. */
#include "net/http1.h"
#include <stdlib.h>

enum { BLANK_LINES_MAX = 4, CHUNK_LINE_MAX = 256, CHUNK_EXTENSIONS_MAX = 16 << 10, CHUNK_DIGITS_MAX = 15 };

enum state { S_HEAD, S_BODY, S_CHUNK_LINE, S_CHUNK_DATA, S_CHUNK_END, S_TRAILERS, S_REFUSED };

struct http1 {
    const struct http_limits *lim;
    enum state state;
    struct buf text;   /* the head, chunk line or trailers collected so far */
    unsigned blank;    /* bytes of empty lines skipped before the request */
    size_t extensions; /* bytes of chunk extensions of this request */
    uint64_t left;     /* bytes of the body or chunk to come */
    struct http_message *m;
    enum http_refusal refusal;
    const char *why;
};

struct http1 *http1_new(const struct http_limits *lim)
{
    struct http1 *h = calloc(1, sizeof *h);
    if (h)
        h->lim = lim;
    return h;
}

void http1_free(struct http1 *h)
{
    if (!h)
        return;
    http_message_free(h->m);
    buf_done(&h->text);
    free(h);
}

bool http1_idle(const struct http1 *h)
{
    return h->state == S_HEAD && h->text.n == 0;
}

enum http_refusal http1_refusal(const struct http1 *h, const char **ret_text)
{
    *ret_text = h->why;
    return h->refusal;
}

static bool refuse_because(struct http1 *h, enum http_refusal refusal, const char *why)
{
    h->state = S_REFUSED;
    h->refusal = refusal;
    h->why = why;
    http_message_free(h->m);
    h->m = NULL;
    buf_done(&h->text);
    return false;
}

static bool refuse(struct http1 *h, enum http_refusal refusal)
{
    return refuse_because(h, refusal, http_refusal_text(refusal));
}

static bool bad(struct http1 *h, const char *why)
{
    return refuse_because(h, HTTP_BAD_REQUEST, why);
}

/* --- the head --- */

/* One line of *rest, without its CR LF. The head is known to end in CR LF. */
static bool take_line(struct http1 *h, sv *rest, sv *ret)
{
    *ret = sv_cut(rest, '\n');
    if (!ret->n || ret->p[ret->n - 1] != '\r')
        return bad(h, "a line does not end in CR LF");
    ret->n--;
    return true;
}

static bool set_absolute_target(struct http_message *m, sv target)
{
    sv scheme = sv_sub(target, 0, sv_find(target, SV("://")));
    if (!sv_eq_nocase(scheme, SV("http")) && !sv_eq_nocase(scheme, SV("https")))
        return false;
    sv rest = sv_from(target, scheme.n + 3);
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    m->req.authority = sv_sub(rest, 0, n); /* wins over Host (RFC 9112 §3.2.2) */
    rest = sv_from(rest, n);
    if (!m->req.authority.n)
        return false;
    if (!rest.n || rest.p[0] == '?') { /* "http://host?x": the path is "/" */
        if (!http_message_set_target(m, rest))
            return false;
        m->req.raw_path = m->req.path = SV("/");
        return true;
    }
    return http_message_set_target(m, rest);
}

static bool parse_request_line(struct http1 *h, sv line)
{
    struct http_message *m = h->m;
    sv rest = line, method = sv_cut(&rest, ' '), target = sv_cut(&rest, ' '), version = rest;
    if (!http_is_token(method) || !target.n)
        return bad(h, "malformed request line");
    for (size_t i = 0; i < target.n; i++)
        if ((unsigned char)target.p[i] <= 0x20 || target.p[i] == 0x7f)
            return bad(h, "control character in the request target");
    if (version.n != 8 || !sv_starts(version, SV("HTTP/")) || version.p[6] != '.')
        return bad(h, "malformed request line");
    if (version.p[5] != '1' || version.p[7] < '0' || version.p[7] > '9')
        return refuse(h, HTTP_BAD_VERSION);
    m->req.version = version.p[7] == '0' ? 10 : 11;
    m->req.method = method;
    m->req.scheme = SV("http");
    m->head = sv_eq(method, SV("HEAD"));
    bool ok = target.p[0] == '/' || sv_eq(target, SV("*")) ? http_message_set_target(m, target)
                                                           : set_absolute_target(m, target);
    return ok || bad(h, "malformed request target");
}

static bool parse_header_lines(struct http1 *h, sv rest)
{
    while (rest.n) {
        sv line;
        if (!take_line(h, &rest, &line))
            return false;
        if (!line.n)
            break; /* the head's last line */
        sv value = line, name = sv_cut(&value, ':');
        if (name.n == line.n)
            return bad(h, "a header line without a colon");
        if (!http_is_token(name)) /* also refuses folded lines and a blank before the colon */
            return bad(h, "malformed header name");
        if (!http_is_field_value(value))
            return bad(h, "control character in a header value");
        enum http_refusal r = http_message_add_header(h->m, h->lim, name, sv_trim(value));
        if (r)
            return refuse(h, r);
    }
    return true;
}

/* Whether a comma-separated list of tokens has this one. */
static bool has_token(sv list, sv token)
{
    while (list.n)
        if (sv_eq_nocase(sv_trim(sv_cut(&list, ',')), token))
            return true;
    return false;
}

struct framing {
    bool has_length, chunked, expect;
    uint64_t length;
    unsigned hosts;
};

static bool note_header(struct http1 *h, const struct http_header *f, struct framing *fr)
{
    struct http_message *m = h->m;
    if (sv_eq(f->name, SV("content-length"))) {
        uint64_t n;
        if (!sv_to_u64(f->value, &n))
            return bad(h, "malformed Content-Length");
        if (fr->has_length && n != fr->length)
            return bad(h, "differing Content-Length headers");
        fr->has_length = true;
        fr->length = n;
    } else if (sv_eq(f->name, SV("transfer-encoding"))) {
        if (m->req.version < 11 || fr->chunked)
            return bad(h, "unexpected Transfer-Encoding");
        if (!sv_eq_nocase(f->value, SV("chunked")))
            return refuse(h, HTTP_BAD_CODING);
        fr->chunked = true;
    } else if (sv_eq(f->name, SV("host"))) {
        fr->hosts++;
        if (!m->req.authority.p)
            m->req.authority = f->value;
    } else if (sv_eq(f->name, SV("connection"))) {
        if (has_token(f->value, SV("close")))
            m->keep_alive = false;
        else if (m->req.version == 10 && has_token(f->value, SV("keep-alive")))
            m->keep_alive = true;
    } else if (sv_eq(f->name, SV("expect")) && m->req.version >= 11) {
        if (!sv_eq_nocase(f->value, SV("100-continue")))
            return refuse(h, HTTP_BAD_EXPECTATION);
        fr->expect = true;
    }
    return true;
}

/* Decides how the body is framed. */
static bool parse_framing(struct http1 *h, bool *ret_expect)
{
    struct http_message *m = h->m;
    struct framing fr = {0};
    m->keep_alive = m->req.version >= 11;
    for (size_t i = 0; i < m->req.n_headers; i++)
        if (!note_header(h, &m->req.headers[i], &fr))
            return false;
    if (fr.hosts > 1 || (fr.hosts == 0 && m->req.version >= 11))
        return bad(h, "HTTP/1.1 wants exactly one Host header");
    if (fr.has_length && fr.chunked)
        return bad(h, "both Content-Length and Transfer-Encoding");
    if (fr.length > h->lim->max_body_bytes)
        return refuse(h, HTTP_BODY_TOO_LARGE);
    h->left = fr.length;
    h->extensions = 0;
    h->state = fr.chunked ? S_CHUNK_LINE : S_BODY;
    *ret_expect = fr.expect && (fr.chunked || fr.length);
    return true;
}

static bool parse_head(struct http1 *h, bool *ret_expect)
{
    struct http_message *m = h->m = http_message_new(h->lim);
    if (!m)
        return refuse(h, HTTP_OUT_OF_MEMORY);
    sv text = arena_sv(&m->arena, buf_view(&h->text)),
       line; /* what the views of the request line point into */
    if (!text.p)
        return refuse(h, HTTP_OUT_OF_MEMORY);
    return take_line(h, &text, &line) && parse_request_line(h, line) && parse_header_lines(h, text) &&
           parse_framing(h, ret_expect);
}

/* How many bytes of `in` belong to the head begun in h->text, its empty line included; SV_NPOS: all, and it goes on. */
static size_t head_end(const struct http1 *h, sv in)
{
    char seam[6]; /* the end of what was collected and the beginning of what came */
    size_t before = MIN(h->text.n, (size_t)3), after = MIN(in.n, (size_t)3);
    if (before)
        memcpy(seam, h->text.p + h->text.n - before, before);
    if (after)
        memcpy(seam + before, in.p, after);
    size_t at = sv_find(sv_make(seam, before + after), SV("\r\n\r\n"));
    if (at != SV_NPOS)
        return at + 4 - before;
    at = sv_find(in, SV("\r\n\r\n"));
    return at == SV_NPOS ? at : at + 4;
}

/* Collects up to and including the empty line. True: `text` holds a whole head. */
static bool collect_head(struct http1 *h, sv *in)
{
    /* RFC 9112 §2.2: empty lines before a request are ignored */
    while (h->text.n == 0 && in->n && (h->blank % 2 || in->p[0] == '\r')) {
        if (in->p[0] != (h->blank % 2 ? '\n' : '\r') || ++h->blank > 2 * BLANK_LINES_MAX)
            return bad(h, "empty lines instead of a request");
        *in = sv_from(*in, 1);
    }
    if (h->text.n == 0 && in->n && !http_is_token(sv_sub(*in, 0, 1)))
        return bad(h, "not HTTP (TLS on a port without TLS?)"); /* at once: such a peer may never send a line's end */
    size_t end = head_end(h, *in), n = MIN(end, in->n);
    if (n > h->lim->max_header_bytes - h->text.n)
        return refuse(h, HTTP_HEADER_TOO_LARGE);
    buf_sv(&h->text, sv_sub(*in, 0, n));
    if (h->text.failed)
        return refuse(h, HTTP_OUT_OF_MEMORY);
    *in = sv_from(*in, n);
    if (end != SV_NPOS)
        h->blank = 0;
    else if (h->text.n == h->lim->max_header_bytes)
        return refuse(h, HTTP_HEADER_TOO_LARGE);
    return end != SV_NPOS;
}

/* --- bodies --- */

/* Up to h->left bytes; true: all are there. */
static bool take_body(struct http1 *h, sv *in)
{
    sv piece = sv_sub(*in, 0, (size_t)MIN(h->left, (uint64_t)in->n));
    if (piece.n) {
        enum http_refusal r = http_message_add_body(h->m, h->lim, piece, h->m->body.n + h->left);
        if (r)
            return refuse(h, r);
        h->left -= piece.n;
        *in = sv_from(*in, piece.n);
    }
    return h->left == 0;
}

/* One line of at most `max` bytes into h->text, without its CR LF; true: it is whole. */
static bool collect_line(struct http1 *h, sv *in, size_t max)
{
    size_t lf = sv_find_char(*in, '\n'), n = lf == SV_NPOS ? in->n : lf + 1;
    if (n > max || h->text.n > max - n)
        return bad(h, "a line of the chunked body is too long");
    buf_sv(&h->text, sv_sub(*in, 0, n));
    *in = sv_from(*in, n);
    if (h->text.failed)
        return refuse(h, HTTP_OUT_OF_MEMORY);
    if (lf == SV_NPOS)
        return false;
    if (h->text.n < 2 || h->text.p[h->text.n - 2] != '\r')
        return bad(h, "a line does not end in CR LF");
    h->text.n -= 2;
    return true;
}

static bool parse_chunk_line(struct http1 *h)
{
    sv ext = buf_view(&h->text), digits = sv_cut(&ext, ';');
    while (digits.n && (digits.p[digits.n - 1] == ' ' || digits.p[digits.n - 1] == '\t'))
        digits.n--; /* blanks before ';' are "bad whitespace" that must be accepted (RFC 9112 §7.1.1) */
    h->extensions += ext.n;
    if (!http_is_field_value(ext) || h->extensions > CHUNK_EXTENSIONS_MAX)
        return bad(h, "malformed or oversized chunk extensions");
    if (!digits.n || digits.n > CHUNK_DIGITS_MAX)
        return bad(h, "malformed chunk size");
    uint64_t n = 0;
    for (size_t i = 0; i < digits.n; i++) {
        char c = digits.p[i], lower = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            n = n << 4 | (uint64_t)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            n = n << 4 | (uint64_t)(lower - 'a' + 10);
        else
            return bad(h, "malformed chunk size");
    }
    if (n > h->lim->max_body_bytes - h->m->body.n)
        return refuse(h, HTTP_BODY_TOO_LARGE);
    h->left = n;
    h->state = n ? S_CHUNK_DATA : S_TRAILERS;
    return true;
}

/* One trailer line is in h->text. True: it was the empty one, the request is whole. */
static bool take_trailer(struct http1 *h)
{
    sv line = buf_view(&h->text), value = line;
    if (!line.n)
        return true;
    sv name = sv_cut(&value, ':');
    h->m->header_bytes += line.n;
    if (h->m->header_bytes > h->lim->max_header_bytes)
        return refuse(h, HTTP_HEADER_TOO_LARGE);
    if (name.n == line.n || !http_is_token(name) || !http_is_field_value(value))
        return bad(h, "malformed trailer");
    return false;
}

/* --- the machine --- */

static enum http1_event whole(struct http1 *h, struct http_message **ret)
{
    h->state = S_HEAD;
    h->text.n = 0;
    *ret = TAKE(h->m);
    return HTTP1_REQUEST;
}

/* One step: false when it needs more input (or has refused). */
static bool step(struct http1 *h, sv *in, bool *ret_expect, bool *ret_whole)
{
    switch (h->state) {
    case S_HEAD:
        if (!collect_head(h, in) || !parse_head(h, ret_expect))
            return false;
        h->text.n = 0;
        *ret_whole = h->state == S_BODY && h->left == 0;
        return true;
    case S_BODY:
        *ret_whole = take_body(h, in);
        return *ret_whole;
    case S_CHUNK_LINE:
        if (!collect_line(h, in, CHUNK_LINE_MAX) || !parse_chunk_line(h))
            return false;
        h->text.n = 0;
        return true;
    case S_CHUNK_DATA:
        if (!take_body(h, in))
            return false;
        h->state = S_CHUNK_END;
        return true;
    case S_CHUNK_END:
        if (!collect_line(h, in, 2))
            return false;
        h->state = S_CHUNK_LINE;
        return true;
    case S_TRAILERS:
        if (!collect_line(h, in, h->lim->max_header_bytes))
            return false;
        *ret_whole = take_trailer(h);
        h->text.n = 0;
        return h->state != S_REFUSED;
    case S_REFUSED:
        return false;
    }
    return false;
}

enum http1_event http1_feed(struct http1 *h, sv *in, struct http_message **ret_request)
{
    for (;;) {
        bool expect = false, is_whole = false, on = step(h, in, &expect, &is_whole);
        if (h->state == S_REFUSED)
            return HTTP1_REFUSED;
        if (is_whole)
            return whole(h, ret_request);
        if (expect && !in->n) /* a client that sends its body at once does not wait for us */
            return HTTP1_CONTINUE;
        if (!on)
            return HTTP1_MORE;
    }
}

/* --- answers --- */

void http1_put_head(struct buf *out, const struct http1_head *head)
{
    buf_sv(out, SV("HTTP/1.1 "));
    buf_u64(out, (uint64_t)head->status);
    buf_char(out, ' ');
    buf_sv(out, sv_of(http_status_text(head->status)));
    if (head->date.n) {
        buf_sv(out, SV("\r\ndate: "));
        buf_sv(out, head->date);
    }
    for (size_t i = 0; i < head->n_headers; i++) {
        buf_sv(out, SV("\r\n"));
        buf_sv(out, head->headers[i].name);
        buf_sv(out, SV(": "));
        buf_sv(out, head->headers[i].value);
    }
    if (head->status >= 200 && head->status != 204 && head->status != 304) {
        buf_sv(out, SV("\r\ncontent-length: "));
        buf_u64(out, head->body_n);
    }
    if (!head->keep_alive)
        buf_sv(out, SV("\r\nconnection: close"));
    else if (head->version == 10)
        buf_sv(out, SV("\r\nconnection: keep-alive"));
    buf_sv(out, SV("\r\n\r\n"));
}

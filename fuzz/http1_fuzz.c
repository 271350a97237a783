/* However the bytes are cut into pieces, the same requests come out, with every cap kept. The first byte
 * gives the size of the pieces. */
#include "net/http1.h"

static struct http_budget budget = {.max = 4000};
static const struct http_limits lim = {
    .max_body_bytes = 3000, .max_header_bytes = 1000, .max_headers = 8, .budget = &budget};

static void put_request(struct buf *out, const struct http_message *m)
{
    ASSERT(m->body.n <= lim.max_body_bytes && m->req.n_headers <= lim.max_headers);
    ASSERT(m->req.method.n && m->req.path.n && (m->req.version == 10 || m->req.version == 11));
    buf_fmt(out, SV_FMT "|%zu|" SV_FMT "|%d|", SV_ARG(m->req.method), m->req.path.n, SV_ARG(m->req.query),
            m->keep_alive);
    for (size_t i = 0; i < m->req.n_headers; i++) {
        sv value = m->req.headers[i].value;
        ASSERT(http_is_token(m->req.headers[i].name) && http_is_field_value(value));
        buf_sv(out, m->req.headers[i].name);
        buf_sv(out, value);
    }
    buf_sv(out, m->req.body);
}

static void run(sv in, size_t piece, struct buf *out)
{
    struct http1 *h = http1_new(&lim);
    enum http1_event ev = HTTP1_MORE;
    while (h && in.n && ev != HTTP1_REFUSED) {
        sv now = sv_sub(in, 0, piece);
        in = sv_from(in, now.n);
        while (now.n && ev != HTTP1_REFUSED) {
            struct http_message *m = NULL;
            const char *why;
            size_t before = now.n;
            ev = http1_feed(h, &now, &m);
            ASSERT(now.n <= before && (ev != HTTP1_MORE || now.n == 0));
            if (ev == HTTP1_REQUEST) {
                put_request(out, m);
                http_message_free(m);
            } else if (ev == HTTP1_REFUSED) {
                buf_fmt(out, "refused %d", http1_refusal(h, &why));
                ASSERT(*why);
            }
        }
    }
    http1_free(h);
    ASSERT(budget.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    sv in = sv_make(data + 1, size - 1);
    SCOPED(buf_done) struct buf whole = {0}, pieces = {0};
    run(in, SIZE_MAX, &whole);
    run(in, (size_t)data[0] + 1, &pieces);
    ASSERT(sv_eq(buf_view(&whole), buf_view(&pieces)));
    return 0;
}

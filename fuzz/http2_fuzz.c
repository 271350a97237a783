/* A session fed hostile frames, whose requests are answered at once, later or never. The first byte says
 * which, and whether the client's preface is put in front; pieces are cut where a byte says so. */
#include "net/http2.h"

static struct http_budget budget = {.max = 8000};
static const struct http_limits lim = {
    .max_body_bytes = 3000, .max_header_bytes = 1000, .max_headers = 8, .budget = &budget};

enum { WAITING_MAX = 8 };
static struct {
    struct http2 *h;
    uint8_t mode;
    struct http_message *waiting[WAITING_MAX];
    int32_t streams[WAITING_MAX];
    size_t n;
} f;

static void answer(int32_t stream, struct http_message *m)
{
    struct http_header *h = arena_array(&m->arena, 2, sizeof *h);
    struct http_answer a = {.status = 200, .headers = h, .n_headers = 1};
    h[0] = (struct http_header){SV("x"), SV("y")};
    h[1] = (struct http_header){SV("grpc-status"), SV("0")};
    if (f.mode & 4) {
        a.trailers = h + 1;
        a.n_trailers = 1;
    }
    buf_sv(&a.body, m->req.body);
    a.text = buf_view(&a.body);
    http2_request_done(f.h);
    http2_answer(f.h, stream, &a, SV("date"), m);
}

static void on_request(void *ctx, int32_t stream, struct http_message *m)
{
    ASSERT(m->body.n <= lim.max_body_bytes && m->req.n_headers <= lim.max_headers && m->req.path.n);
    if (f.mode & 2 || f.n == WAITING_MAX) {
        answer(stream, m);
        return;
    }
    f.streams[f.n] = stream;
    f.waiting[f.n++] = m;
}

static void on_refused(void *ctx, int32_t stream, enum http_refusal why, const struct http_message *m)
{
    ASSERT(m);
    struct http_answer a = {.status = http_refusal_status(why)};
    buf_sv(&a.body, sv_of(http_refusal_text(why)));
    a.text = buf_view(&a.body);
    http2_answer(f.h, stream, &a, SV_NULL, NULL);
}

static void on_closed(void *ctx, int32_t stream)
{
    for (size_t i = 0; i < f.n; i++)
        if (f.streams[i] == stream)
            return;
    ASSERT(!"a stream that nobody waits for");
}

static bool feed(sv in)
{
    SCOPED(buf_done) struct buf out = {0};
    bool on = http2_feed(f.h, in, 1000);
    on &= http2_pull(f.h, &out, 1 << 16);
    if (f.n && f.mode & 8) {
        f.n--;
        answer(f.streams[f.n], f.waiting[f.n]);
    }
    return on;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct http2_config cfg = {
        .lim = &lim, .max_concurrent_streams = WAITING_MAX, .on = {on_request, on_refused, on_closed}};
    f.mode = data[0];
    f.n = 0;
    f.h = http2_new(&cfg);
    if (!f.h)
        return 0;
    bool on = !(f.mode & 1) || feed(SV("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"));
    for (size_t at = 1; on && at < size;) {
        size_t n = MIN((size_t)data[at] + 1, size - at);
        on = feed(sv_make(data + at, n));
        at += n;
    }
    http2_expire(f.h, 100000, 1000);
    if (on)
        on = feed(SV_NULL);
    while (f.n) {
        f.n--;
        answer(f.streams[f.n], f.waiting[f.n]);
    }
    http2_free(f.h);
    ASSERT(budget.used == 0);
    return 0;
}

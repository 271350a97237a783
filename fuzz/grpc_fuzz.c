/* gRPC frames and header values, and the form decoder beside them. */
#include "net/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sv in = sv_make(data, size), message;
    SCOPED(buf_done) struct buf out = {0}, back = {0}, details = {0};
    struct err e = {0};
    bool compressed;
    int64_t n = 0;
    if (grpc_unframe(in, 1000, &compressed, &message, &e)) {
        grpc_frame(&out, compressed, message);
        ASSERT(sv_eq(buf_view(&out), in));
    } else {
        ASSERT(e.code == ERR_LIMIT || e.code == ERR_PARSE);
    }
    buf_reset(&out);
    grpc_get_message(in, &out);
    ASSERT(out.n <= in.n);
    buf_reset(&out);
    grpc_put_message(&out, in);
    grpc_get_message(buf_view(&out), &back);
    ASSERT(sv_eq(buf_view(&back), in));
    if (grpc_parse_timeout(in, &n))
        ASSERT(n >= 0);
    if (grpc_get_retry_info(in, &n))
        ASSERT(n >= 0);
    grpc_put_status_details(&details, 14, in, (int64_t)size);
    if (details.n <= 8 << 10)
        ASSERT(grpc_get_retry_info(buf_view(&details), &n) && n == (int64_t)size);

    SCOPED(arena_done) struct arena a;
    struct http_params p;
    arena_init(&a, 1 << 20);
    if (http_parse_params(in, 100, &a, &p, &e))
        ASSERT(p.n <= 100);
    return 0;
}

/* loki_push_json_fuzz.c - hostile push bodies: whatever comes out is a well-formed run of protobuf fields. */
#include "api/push_json.h"
#include "base/varint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A sequence of `streams` messages, each whole. */
static bool well_formed(sv request)
{
    const uint8_t *at = (const uint8_t *)request.p, *end = at + request.n;
    uint64_t tag, n;
    while (at < end) {
        if (!varint_get(&at, end, &tag) || tag != (1 << 3 | 2) || !varint_get(&at, end, &n) || n > (uint64_t)(end - at))
            return false;
        at += n;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_parser *p;
    ASSERT(json_parser_new(1 << 20, 64, &p, NULL));
    for (int legacy = 0; legacy < 2; legacy++) {
        SCOPED(buf_done) struct buf out = buf_capped(1 << 22);
        struct err e = {0};
        if (push_json_to_proto(p, sv_make(data, size), legacy, &out, &e))
            ASSERT(out.n == 0 || well_formed(buf_view(&out)));
        else
            ASSERT(e.code != ERR_NONE && e.msg[0]);
    }
    json_parser_free(p);
    return 0;
}

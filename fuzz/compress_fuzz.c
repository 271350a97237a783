/* The first byte chooses the codec. What decompresses stays under the cap; what we compress comes back. */
#include "base/compress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum codec c = (enum codec)(data[0] % (CODEC_SNAPPY_FRAMED + 1));
    sv in = sv_make(data + 1, size - 1);
    SCOPED(buf_done) struct buf out = buf_capped(1 << 20), packed = {0}, back = {0};
    struct err e = {0};
    buf_sv(&out, SV("before"));
    if (decompress(c, in, &out, &e))
        ASSERT(out.n >= 6 && out.n <= 1 << 20);
    else
        ASSERT(out.n == 6 && e.code != ERR_NONE && e.msg[0]);
    ASSERT(memcmp(out.p, "before", 6) == 0);
    if (c != CODEC_SNAPPY_FRAMED) {
        ASSERT(compress(c, 0, in, &packed, &e));
        ASSERT(decompress(c, buf_view(&packed), &back, &e));
        ASSERT(sv_eq(buf_view(&back), in));
    }
    return 0;
}

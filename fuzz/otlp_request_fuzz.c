/* otlp_request_fuzz.c - any body, in any declared encoding and compression (the first byte picks them), to a batch. What
 * comes out is good OTLP with as many records as it says, no ids of a wrong length, and can be printed as JSON. */
#include "otlp/json.h"
#include "otlp/request.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct batch *b = NULL;
    struct err e = {0};
    struct otlp_counts counts;
    if (size == 0)
        return 0;
    enum otlp_encoding encoding = data[0] & 1 ? OTLP_JSON : OTLP_PROTOBUF;
    enum codec codec = (enum codec)(data[0] / 2 % 8);
    if (!otlp_decode_request(encoding, codec, sv_make(data + 1, size - 1), 1 << 20, NULL, SV("t"), 1, &b, &e)) {
        ASSERT(e.code != ERR_NONE && *e.msg);
        return 0;
    }
    bool ok = otlp_check(b->bytes, NULL, &counts, NULL);
    ASSERT(ok && counts.records == b->n_records && counts.bad_ids == 0);
    SCOPED(buf_done) struct buf text = {0};
    otlp_to_json(b->bytes, &text);
    batch_unref(b);
    return 0;
}

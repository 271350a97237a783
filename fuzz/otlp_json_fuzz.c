/* otlp_json_fuzz.c - any text as OTLP/JSON. What is accepted must be good OTLP; printed as JSON it must be accepted again and
 * print the same. */
#include "otlp/json.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answers(sv text)
{
    SCOPED(buf_done) struct buf message = {0};
    uint64_t rejected;
    int64_t retry_ms;
    int code;
    for (int json = 0; json < 2; json++) {
        (void)!otlp_read_response(text, json, &rejected, &message, NULL);
        (void)!otlp_read_status(text, json, &code, &message, &retry_ms, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(buf_done) struct buf bytes = {0}, text = {0}, again = {0}, second = {0};
    struct otlp_counts counts;
    struct err e = {0};
    sv json = sv_make(data, size);
    answers(json);
    if (!otlp_from_json(json, NULL, &bytes, &e)) {
        ASSERT(e.code != ERR_NONE && *e.msg && bytes.n == 0);
        return 0;
    }
    bool ok = otlp_check(buf_view(&bytes), NULL, &counts, NULL);
    ASSERT(ok && counts.bad_ids == 0);
    otlp_to_json(buf_view(&bytes), &text);
    ok = otlp_from_json(buf_view(&text), NULL, &again, NULL);
    ASSERT(ok);
    otlp_to_json(buf_view(&again), &second);
    ASSERT(sv_eq(buf_view(&text), buf_view(&second)));
    return 0;
}

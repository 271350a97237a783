/* otlp_json_reply_fuzz.c - any text as a peer's JSON answer. Whatever the JSON library takes for an object is one to the small
 * reader too, and both find the same message in it. */
#include "base/json.h"
#include "otlp/json.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of equal members the library gives the first, the reader the last: such texts are not compared. */
static size_t count(struct json object, sv key, struct json *ret)
{
    size_t n = 0;
    for (struct json_iter it = json_iter(object); json_next(&it);)
        if (sv_eq(it.key, key)) {
            *ret = it.value;
            n++;
        }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(buf_done) struct buf message = {0}, other = {0};
    struct json_parser *p = NULL;
    struct json v, text;
    struct err e = {0}, e2 = {0};
    uint64_t rejected;
    int64_t retry_ms = -7;
    int code;
    sv json = sv_make(data, size);
    bool is_response = otlp_read_response(json, true, &rejected, &other, &e2);
    ASSERT(is_response || (*e2.msg && other.n == 0));
    bool ok = otlp_read_status(json, true, &code, &message, &retry_ms, &e);
    ASSERT(ok ? retry_ms >= -1 : *e.msg && message.n == 0 && retry_ms == -7);
    if (!json_parser_new(4 << 20, 60, &p, NULL))
        return 0;
    if (!sv_starts(json, SV("\xef\xbb\xbf")) && json_parse(p, json, &v, NULL) && json_kind(v) == JSON_OBJECT) {
        ASSERT(ok || sv_find(sv_of(e.msg), SV("code: ")) != SV_NPOS);
        ASSERT(is_response || sv_find(sv_of(e2.msg), SV("rejectedLogRecords: ")) != SV_NPOS);
        if (ok && count(v, SV("message"), &text) == 1)
            ASSERT(sv_eq(buf_view(&message), json_kind(text) == JSON_STRING ? json_string(text) : SV_NULL));
    }
    json_parser_free(p);
    return 0;
}

/* api_params_fuzz.c - hostile query strings: what is accepted holds what later code relies on. */
#include "store/limits.h"
#include "api/page.h"
#include "api/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct limits cfg = {.max_query_length = INT64_MAX};
    sv text = sv_make(data, size), body = text;
    sv query = sv_cut(&body, '\n'); /* a second line is the form */
    const struct http_header type = {SV("content-type"), SV("application/x-www-form-urlencoded")};
    struct http_request r = {.method = body.n ? SV("POST") : SV("GET"), .query = query, .body = body, .headers = &type,
                             .n_headers = 1};
    struct arena a;
    struct params p;
    struct query_params q;
    struct err e = {0};
    int64_t start, end;
    arena_init(&a, 1 << 22);
    if (params_read(&r, &a, &p, &e)) {
        if (params_range_query(&p, &cfg, 1700000000000000000, &q, &e)) {
            ASSERT(q.start_ns <= q.end_ns && q.step_ns > 0 && q.limit > 0 && q.interval_ns >= 0);
            int64_t from = q.start_ns, to = q.end_ns;
            params_align(&q);
            ASSERT(q.start_ns <= from && q.end_ns >= to);
        }
        if (params_instant_query(&p, &cfg, 1, &q, &e))
            ASSERT(q.start_ns == q.end_ns);
        if (params_bounds(&p, &cfg, 1700000000000000000, &start, &end, &e))
            ASSERT(start <= end);
    }
    page_accepts(text, SV("gzip"));
    page_has_etag(text, SV("W/\"abc\""));
    arena_done(&a);
    return 0;
}

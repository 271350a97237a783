/* Bytes as an ExportLogsServiceRequest and as OTLP/JSON: what otlp_check() lets pass counts the same in every walk, survives
 * the way through JSON and back, and the cleaning of bad ids; what it refuses is still safe to walk. */
#include "base/json_out.h"
#include "otlp/json.h"
#include "otlp/request.h"
#include "otlp/write.h"

static const struct otlp_limits limits = {.max_depth = 20, .max_records = 1000};

static void walk_attrs(sv message, uint32_t field, struct buf *text)
{
    struct otlp_attr_iter it = otlp_attrs(message, field);
    struct otlp_attr a;
    while (otlp_next_attr(&it, &a)) {
        buf_reset(text);
        otlp_value_text(a.value, OTLP_TEXT_SORT_KEYS | (a.key.n & 1 ? OTLP_TEXT_HTML : 0), text);
    }
}

static struct otlp_counts walk(sv request)
{
    struct otlp_counts n = {0};
    SCOPED(buf_done) struct buf text = {0};
    struct otlp_resource_logs rl;
    struct otlp_scope_logs sl;
    struct otlp_scope scope;
    struct otlp_record r;
    for (struct otlp_iter a = otlp_resources(request); otlp_next_resource(&a, &rl); n.resources++) {
        walk_attrs(rl.resource, OTLP_RESOURCE_ATTRS, &text);
        for (struct otlp_iter b = otlp_scopes(&rl); otlp_next_scope(&b, &sl); n.scopes++) {
            otlp_read_scope(sl.scope, &scope);
            walk_attrs(sl.scope, OTLP_SCOPE_ATTRS, &text);
            for (struct otlp_iter c = otlp_records(&sl); otlp_next_record(&c, &r); n.records++) {
                ASSERT((!r.trace_id.n || r.trace_id.n == 16) && (!r.span_id.n || r.span_id.n == 8));
                walk_attrs(r.raw, OTLP_RECORD_ATTRS, &text);
                otlp_value_text(r.body, 0, &text);
            }
        }
    }
    return n;
}

static void same(struct otlp_counts a, struct otlp_counts b)
{
    ASSERT(a.resources == b.resources && a.scopes == b.scopes && a.records == b.records);
}

/* A request that passed the check. */
static void good(sv request, struct otlp_counts n)
{
    SCOPED(buf_done) struct buf json = {0};
    SCOPED(buf_done) struct buf back = {0};
    struct otlp_counts again;
    struct batch *b;
    same(n, walk(request));
    otlp_to_json(request, &json);
    ASSERT(!json.failed && sv_is_utf8(buf_view(&json)));
    ASSERT(otlp_from_json(buf_view(&json), &limits, &back, NULL) && otlp_check(buf_view(&back), &limits, &again, NULL));
    same(n, again);
    ASSERT(!again.bad_ids);
    ASSERT(otlp_decode_request(OTLP_PROTOBUF, CODEC_NONE, request, 0, &limits, SV("t"), 1, &b, NULL));
    ASSERT(otlp_check(b->bytes, &limits, &again, NULL) && !again.bad_ids && b->n_records == n.records);
    same(n, again);
    batch_unref(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sv in = sv_make(data, size);
    struct otlp_counts n;
    struct err e = {0};
    SCOPED(buf_done) struct buf wire = {0};
    SCOPED(buf_done) struct buf message = {0};
    int code;
    uint64_t rejected;
    int64_t retry_ms;
    if (otlp_check(in, &limits, &n, &e))
        good(in, n);
    else
        walk(in);
    for (int json = 0; json < 2; json++) {
        if (otlp_read_response(in, json, &rejected, &message, &e))
            ASSERT(rejected <= INT64_MAX);
        if (otlp_read_status(in, json, &code, &message, &retry_ms, &e))
            ASSERT(retry_ms >= -1);
    }
    if (otlp_from_json(in, &limits, &wire, &e)) {
        ASSERT(otlp_check(buf_view(&wire), &limits, &n, &e));
        good(buf_view(&wire), n);
    }
    return 0;
}

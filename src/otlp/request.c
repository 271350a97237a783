/* request.c - see request.h. */
#include "otlp/request.h"
#include "otlp/json.h"
#include "otlp/wire.h"
#include "otlp/write.h"

bool otlp_encoding_of(sv content_type, enum otlp_encoding *ret)
{
    sv rest = content_type;
    sv type = sv_trim(sv_cut(&rest, ';'));
    if (sv_eq_nocase(type, SV("application/x-protobuf")))
        *ret = OTLP_PROTOBUF;
    else if (sv_eq_nocase(type, SV("application/json")))
        *ret = OTLP_JSON;
    else
        return false;
    return true;
}

/* Copies a message of a checked request, but for the ids of a wrong length in its records. `level` 0 is the request;
 * unknown fields are copied whole. */
static void copy_without_bad_ids(struct buf *out, sv message, size_t level)
{
    static const uint32_t inner[] = {1, 2, 2}; /* resource_logs, scope_logs, log_records */
    const uint8_t *at = wire_begin(message), *end = wire_end(message), *from = at;
    struct wire_field f;
    for (; wire_next(&at, end, &f) == WIRE_GOT; from = at) {
        if (level < ARRAY_LEN(inner) && f.tag == WIRE_TAG(inner[level], WIRE_LEN)) {
            size_t mark = otlp_open(out, inner[level]);
            copy_without_bad_ids(out, wire_sv(&f), level + 1);
            otlp_close(out, mark);
            continue;
        }
        bool bad = level == ARRAY_LEN(inner) && ((f.tag == WIRE_TAG(9, WIRE_LEN) && f.n != 16) ||
                                                 (f.tag == WIRE_TAG(10, WIRE_LEN) && f.n != 8));
        if (!bad)
            buf_put(out, from, (size_t)(at - from));
    }
}

bool otlp_decode_request(enum otlp_encoding encoding, enum codec codec, sv body, uint64_t max_bytes,
                         const struct otlp_limits *limits, sv tenant, int64_t arrived_wall_ns, struct batch **ret,
                         struct err *e)
{
    SCOPED(buf_done) struct buf plain = buf_capped(max_bytes);
    SCOPED(buf_done) struct buf transcoded = buf_capped(max_bytes);
    SCOPED(buf_done) struct buf cleaned = {0};
    struct otlp_counts counts;
    if (codec != CODEC_NONE) {
        if (!decompress(codec, body, &plain, e))
            return false;
        body = buf_view(&plain);
    } else if (max_bytes && body.n > max_bytes) {
        return err_set(e, ERR_LIMIT, "request body of %zu bytes: more than %llu", body.n, (unsigned long long)max_bytes);
    }
    if (encoding == OTLP_JSON) {
        if (!otlp_from_json(body, limits, &transcoded, e))
            return false;
        body = buf_view(&transcoded);
    }
    if (!otlp_check(body, limits, &counts, e))
        return false;
    if (counts.bad_ids) {
        copy_without_bad_ids(&cleaned, body, 0);
        if (!buf_ok(&cleaned, e))
            return false;
        body = buf_view(&cleaned);
    }
    struct batch *b = batch_new(body, tenant, counts.records, arrived_wall_ns);
    if (!b)
        return err_nomem(e);
    *ret = b;
    return true;
}

int grpc_code_of_push(const struct push_result *r)
{
    switch (r->code) {
    case PUSH_SENT:
        return GRPC_OK;
    case PUSH_RETRY:
        /* UNAVAILABLE is retried by every client; RESOURCE_EXHAUSTED only with RetryInfo, and by some not even then */
        return GRPC_UNAVAILABLE;
    default:
        break;
    }
    switch (r->err.code) {
    case ERR_PARSE:
    case ERR_INVALID:
    case ERR_NOT_FOUND:
    case ERR_UNSUPPORTED:
        return GRPC_INVALID_ARGUMENT;
    case ERR_LIMIT:
        return GRPC_RESOURCE_EXHAUSTED; /* without RetryInfo: for good */
    default:
        return GRPC_INTERNAL;
    }
}

int http_status_of_push(const struct push_result *r)
{
    switch (grpc_code_of_push(r)) {
    case GRPC_OK:
        return 200;
    case GRPC_UNAVAILABLE:
        return 503;
    case GRPC_INVALID_ARGUMENT:
    case GRPC_RESOURCE_EXHAUSTED: /* not 429, which clients retry */
        return 400;
    default:
        return 500;
    }
}

/* reply.c - see reply.h. */
#include "otlp/reply.h"
#include "base/clock.h"
#include "otlp/wire.h"
#include <stdio.h>
#include <time.h>

const char *grpc_code_name(int grpc_code)
{
    static const char *const names[] = {
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
        "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
        "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
    };
    return grpc_code >= 0 && (size_t)grpc_code < ARRAY_LEN(names) ? names[grpc_code] : "UNKNOWN";
}

enum push_code push_code_of_grpc(int grpc_code, bool has_retry_info)
{
    switch (grpc_code) {
    case GRPC_OK:
        return PUSH_SENT;
    case GRPC_CANCELLED:
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_ABORTED:
    case GRPC_OUT_OF_RANGE:
    case GRPC_UNAVAILABLE:
    case GRPC_DATA_LOSS:
        return PUSH_RETRY;
    case GRPC_RESOURCE_EXHAUSTED:
        return has_retry_info ? PUSH_RETRY : PUSH_REJECTED;
    default:
        return PUSH_REJECTED;
    }
}

enum push_code push_code_of_http(int status)
{
    if (status >= 200 && status < 300)
        return PUSH_SENT;
    return status == 429 || (status >= 502 && status <= 504) ? PUSH_RETRY : PUSH_REJECTED;
}

/* The three date forms of RFC 9110, 5.6.7: IMF-fixdate, RFC 850, asctime; all UTC. False: none of them. */
static bool http_date(const char *text, time_t *ret)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
                                         "Dec"};
    struct tm tm = {0};
    char month[4] = "";
    int end = 0;
    if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month, &tm.tm_year, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &end) != 6 &&
        sscanf(text, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
               &tm.tm_sec, &tm.tm_year, &end) != 6) {
        if (sscanf(text, "%*[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &tm.tm_mday, month, &tm.tm_year,
                   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6)
            return false;
        tm.tm_year += tm.tm_year < 70 ? 2000 : 1900;
    }
    if (!end || text[end])
        return false;
    for (tm.tm_mon = 0; tm.tm_mon < 12; tm.tm_mon++)
        if (strcmp(months[tm.tm_mon], month) == 0)
            break;
    if (tm.tm_mon == 12 || tm.tm_year < 1970 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year -= 1900;
    *ret = timegm(&tm);
    return true;
}

int64_t retry_after_ms(sv value, int64_t now_wall_ns)
{
    uint64_t seconds;
    char text[64];
    time_t at;
    value = sv_trim(value);
    if (sv_to_u64(value, &seconds))
        return (int64_t)MIN(seconds, (uint64_t)INT32_MAX) * 1000;
    if (value.n == 0 || value.n >= sizeof text)
        return -1;
    memcpy(text, value.p, value.n);
    text[value.n] = 0;
    if (!http_date(text, &at))
        return -1;
    int64_t now_s = now_wall_ns / NS_PER_S;
    return at <= now_s ? 0 : MIN((int64_t)at - now_s, (int64_t)INT32_MAX) * 1000;
}

static bool bad_reply(struct err *e, const char *what, sv body, const uint8_t *at)
{
    return err_at(e, ERR_PARSE, (size_t)(at - wire_begin(body)), "not a %s: %s", what, wire_why(at, wire_end(body)));
}

bool otlp_read_response_pb(sv body, uint64_t *ret_rejected, struct buf *ret_message, struct err *e)
{
    const uint8_t *at = wire_begin(body), *end = wire_end(body);
    struct wire_field f, g;
    enum wire_got got;
    uint64_t rejected = 0;
    sv message = SV_NULL;
    while ((got = wire_next(&at, end, &f)) == WIRE_GOT) {
        if (f.tag != WIRE_TAG(1, WIRE_LEN))
            continue;
        const uint8_t *in = f.p, *in_end = f.p + f.n;
        while ((got = wire_next(&in, in_end, &g)) == WIRE_GOT) {
            if (g.tag == WIRE_TAG(1, WIRE_VARINT))
                rejected = (int64_t)g.num < 0 ? 0 : g.num;
            else if (g.tag == WIRE_TAG(2, WIRE_LEN))
                message = wire_sv(&g);
        }
        if (got == WIRE_BAD)
            return bad_reply(e, "ExportLogsServiceResponse", body, in);
    }
    if (got == WIRE_BAD)
        return bad_reply(e, "ExportLogsServiceResponse", body, at);
    *ret_rejected = rejected;
    buf_sv(ret_message, message);
    return true;
}

/* RetryInfo{1: Duration{1: seconds, 2: nanos}} as ms, rounded up; negative ones as 0. */
static int64_t retry_info_ms(sv info)
{
    const uint8_t *at = wire_begin(info), *end = wire_end(info);
    struct wire_field f, g;
    int64_t seconds = 0, nanos = 0;
    while (wire_next(&at, end, &f) == WIRE_GOT) {
        if (f.tag != WIRE_TAG(1, WIRE_LEN))
            continue;
        const uint8_t *in = f.p, *in_end = f.p + f.n;
        while (wire_next(&in, in_end, &g) == WIRE_GOT) {
            if (g.tag == WIRE_TAG(1, WIRE_VARINT))
                seconds = (int64_t)g.num;
            else if (g.tag == WIRE_TAG(2, WIRE_VARINT))
                nanos = (int32_t)g.num;
        }
    }
    if (seconds < 0 || nanos < 0)
        return 0;
    return MIN(seconds, (int64_t)INT32_MAX) * 1000 + (nanos + NS_PER_MS - 1) / NS_PER_MS;
}

static int64_t detail_retry_ms(sv any)
{
    const uint8_t *at = wire_begin(any), *end = wire_end(any);
    struct wire_field f;
    sv type = SV_NULL, value = SV_NULL;
    while (wire_next(&at, end, &f) == WIRE_GOT) {
        if (f.tag == WIRE_TAG(1, WIRE_LEN))
            type = wire_sv(&f);
        else if (f.tag == WIRE_TAG(2, WIRE_LEN))
            value = wire_sv(&f);
    }
    return sv_ends(type, SV("/google.rpc.RetryInfo")) ? retry_info_ms(value) : -1;
}

bool otlp_read_status_pb(sv body, int *ret_code, struct buf *ret_message, int64_t *ret_retry_ms, struct err *e)
{
    const uint8_t *at = wire_begin(body), *end = wire_end(body);
    struct wire_field f;
    enum wire_got got;
    int code = 0;
    int64_t retry_ms = -1;
    sv message = SV_NULL;
    while ((got = wire_next(&at, end, &f)) == WIRE_GOT) {
        if (f.tag == WIRE_TAG(1, WIRE_VARINT))
            code = (int32_t)f.num;
        else if (f.tag == WIRE_TAG(2, WIRE_LEN))
            message = wire_sv(&f);
        else if (f.tag == WIRE_TAG(3, WIRE_LEN) && retry_ms < 0)
            retry_ms = detail_retry_ms(wire_sv(&f));
    }
    if (got == WIRE_BAD)
        return bad_reply(e, "google.rpc.Status", body, at);
    *ret_code = code;
    *ret_retry_ms = retry_ms;
    buf_sv(ret_message, message);
    return true;
}

/* grpc_codec.c - the part of grpc.h that is bytes to bytes: message frames, header values, the details of a
 * status. */
#include "base/clock.h"
#include "base/endian.h"
#include "base/varint.h"
#include "net/grpc.h"

enum { PREFIX = 5, TIMEOUT_DIGITS_MAX = 8, DETAILS_MAX = 8 << 10 };

void grpc_frame(struct buf *out, bool compressed, sv message)
{
    char prefix[PREFIX] = {(char)compressed};
    ASSERT(message.n <= UINT32_MAX);
    put_be32(prefix + 1, (uint32_t)message.n);
    buf_put(out, prefix, sizeof prefix);
    buf_sv(out, message);
}

bool grpc_unframe(sv body, uint64_t max, bool *ret_compressed, sv *ret, struct err *e)
{
    if (body.n == 0)
        return err_set(e, ERR_PARSE, "grpc: no message in the body");
    if (body.n < PREFIX)
        return err_at(e, ERR_PARSE, body.n, "grpc: the message prefix is cut short");
    uint32_t n = get_be32(body.p + 1);
    if (n > max)
        return err_set(e, ERR_LIMIT, "grpc: received message larger than max (%u vs. %llu)", n,
                       (unsigned long long)max);
    if ((unsigned char)body.p[0] > 1)
        return err_set(e, ERR_PARSE, "grpc: unexpected payload format %u", (unsigned char)body.p[0]);
    if (body.n - PREFIX < n)
        return err_at(e, ERR_PARSE, body.n, "grpc: the message is cut short");
    if (body.n - PREFIX > n)
        return err_at(e, ERR_PARSE, PREFIX + (size_t)n, "grpc: more than one message in a unary call");
    *ret_compressed = body.p[0] == 1;
    *ret = sv_sub(body, PREFIX, n);
    return true;
}

bool grpc_codec(sv name, enum codec *ret)
{
    static const struct {
        const char *name;
        enum codec codec;
    } codecs[] = {{"", CODEC_NONE},
                  {"identity", CODEC_NONE},
                  {"gzip", CODEC_GZIP},
                  {"snappy", CODEC_SNAPPY_FRAMED},
                  {"zstd", CODEC_ZSTD}};
    for (size_t i = 0; i < ARRAY_LEN(codecs); i++)
        if (sv_eq(name, sv_of(codecs[i].name))) {
            *ret = codecs[i].codec;
            return true;
        }
    return false;
}

/* --- header values --- */

static const char hex[] = "0123456789ABCDEF";

void grpc_put_message(struct buf *out, sv text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c >= 0x20 && c <= 0x7e && c != '%')
            buf_char(out, (char)c);
        else
            buf_put(out, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
}

static int hex_value(char c)
{
    const char *at = c ? strchr(hex, c >= 'a' && c <= 'f' ? c - 0x20 : c) : NULL;
    return at ? (int)(at - hex) : -1;
}

void grpc_get_message(sv value, struct buf *out)
{
    for (size_t i = 0; i < value.n; i++) {
        bool whole = value.p[i] == '%' && i + 2 < value.n;
        int hi = whole ? hex_value(value.p[i + 1]) : -1, lo = whole ? hex_value(value.p[i + 2]) : -1;
        if (hi >= 0 && lo >= 0) {
            buf_char(out, (char)(hi << 4 | lo));
            i += 2;
        } else {
            buf_char(out, value.p[i]);
        }
    }
}

bool grpc_parse_timeout(sv value, int64_t *ret_ns)
{
    uint64_t n;
    if (value.n < 2 || value.n > TIMEOUT_DIGITS_MAX + 1 || !sv_to_u64(sv_sub(value, 0, value.n - 1), &n))
        return false;
    int64_t unit;
    switch (value.p[value.n - 1]) {
    case 'H':
        unit = 3600 * NS_PER_S;
        break;
    case 'M':
        unit = 60 * NS_PER_S;
        break;
    case 'S':
        unit = NS_PER_S;
        break;
    case 'm':
        unit = NS_PER_MS;
        break;
    case 'u':
        unit = 1000;
        break;
    case 'n':
        unit = 1;
        break;
    default:
        return false;
    }
    if (__builtin_mul_overflow((int64_t)n, unit, ret_ns))
        *ret_ns = INT64_MAX; /* 99999999H is 11,000 years */
    return true;
}

/* --- base64 and the three protobuf messages of google/rpc --- */

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void base64_put(struct buf *out, sv s) /* without padding, as gRPC prefers */
{
    for (size_t i = 0; i < s.n; i += 3) {
        size_t n = MIN(s.n - i, (size_t)3);
        uint32_t v = (uint32_t)(uint8_t)s.p[i] << 16;
        v |= n > 1 ? (uint32_t)(uint8_t)s.p[i + 1] << 8 : 0;
        v |= n > 2 ? (uint32_t)(uint8_t)s.p[i + 2] : 0;
        for (size_t k = 0; k <= n; k++)
            buf_char(out, base64_digits[v >> (18 - 6 * k) & 63]);
    }
}

static bool base64_get(sv s, struct buf *out)
{
    while (s.n && s.p[s.n - 1] == '=')
        s.n--;
    uint32_t v = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < s.n; i++) {
        const char *at = s.p[i] ? strchr(base64_digits, s.p[i]) : NULL;
        if (!at)
            return false;
        v = v << 6 | (uint32_t)(at - base64_digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_char(out, (char)(v >> bits & 0xff));
        }
    }
    return s.n % 4 != 1;
}

static void put_varint(struct buf *out, uint64_t v)
{
    uint8_t b[VARINT_MAX];
    buf_put(out, b, varint_put(b, v));
}

static void put_bytes(struct buf *out, unsigned field, sv s)
{
    put_varint(out, field << 3 | 2);
    put_varint(out, s.n);
    buf_sv(out, s);
}

static void put_number(struct buf *out, unsigned field, uint64_t v)
{
    if (v) {
        put_varint(out, field << 3);
        put_varint(out, v);
    }
}

#define RETRY_INFO_URL "type.googleapis.com/google.rpc.RetryInfo"

/* RetryInfo { Duration retry_delay = 1 { int64 seconds = 1; int32 nanos = 2 } }; a zero delay is present,
 * too. */
static void put_retry_info(struct buf *out, int64_t ms)
{
    SCOPED(buf_done) struct buf delay = {0};
    put_number(&delay, 1, (uint64_t)(ms / 1000));
    put_number(&delay, 2, (uint64_t)(ms % 1000 * NS_PER_MS));
    put_bytes(out, 1, buf_view(&delay));
}

void grpc_put_retry_info(struct buf *out, int64_t retry_after_ms)
{
    SCOPED(buf_done) struct buf info = {0};
    put_retry_info(&info, retry_after_ms);
    base64_put(out, buf_view(&info));
}

/* Status { int32 code = 1; string message = 2; repeated Any details = 3 { string type_url = 1; bytes value =
 * 2 } } */
void grpc_put_status_details(struct buf *out, int status, sv message, int64_t retry_after_ms)
{
    SCOPED(buf_done) struct buf st = {0}, any = {0}, info = {0};
    put_number(&st, 1, (uint64_t)status);
    if (message.n)
        put_bytes(&st, 2, message);
    if (retry_after_ms >= 0) {
        put_retry_info(&info, retry_after_ms);
        put_bytes(&any, 1, SV(RETRY_INFO_URL));
        put_bytes(&any, 2, buf_view(&info));
        put_bytes(&st, 3, buf_view(&any));
    }
    base64_put(out, buf_view(&st));
}

/* The next field: number in *ret_field, a varint's value or a length-delimited one's bytes. False: the end,
 * or damage. */
static bool next_field(sv *rest, unsigned *ret_field, uint64_t *ret_n, sv *ret)
{
    if (rest->n == 0)
        return false; /* its pointer may be NULL, to which nothing is added */
    const uint8_t *at = (const uint8_t *)rest->p, *end = at + rest->n;
    uint64_t tag;
    if (!varint_get(&at, end, &tag) || !varint_get(&at, end, ret_n))
        return false;
    *ret = SV_NULL;
    if ((tag & 7) == 2) {
        if (*ret_n > (uint64_t)(end - at))
            return false;
        *ret = sv_make(at, (size_t)*ret_n);
        at += *ret_n;
    } else if ((tag & 7) != 0) {
        return false; /* none of these messages has fixed-width fields */
    }
    *ret_field = (unsigned)MIN(tag >> 3, (uint64_t)UINT32_MAX);
    *rest = sv_make(at, (size_t)(end - at));
    return true;
}

static sv find_bytes(sv message, unsigned field)
{
    unsigned f;
    uint64_t n;
    sv value, found = SV_NULL;
    while (next_field(&message, &f, &n, &value))
        if (f == field && value.p)
            found = value;
    return found;
}

static int64_t duration_ms(sv d)
{
    unsigned f;
    uint64_t n, s = 0, ns = 0;
    sv value;
    while (next_field(&d, &f, &n, &value))
        *(f == 1 ? &s : &ns) = n;
    if (s > INT64_MAX / 1000 - 1000 || ns >= NS_PER_S)
        return 0; /* negative or absurd */
    return (int64_t)(s * 1000 + ns / NS_PER_MS);
}

bool grpc_get_retry_info(sv details_base64, int64_t *ret_ms)
{
    if (details_base64.n > DETAILS_MAX)
        return false;
    SCOPED(buf_done) struct buf st = {0};
    if (!base64_get(details_base64, &st) || st.failed)
        return false;
    sv rest = buf_view(&st), value;
    unsigned f;
    uint64_t n;
    while (next_field(&rest, &f, &n, &value))
        if (f == 3 && sv_eq(find_bytes(value, 1), SV(RETRY_INFO_URL))) {
            *ret_ms = duration_ms(find_bytes(find_bytes(value, 2), 1));
            return true;
        }
    return false;
}

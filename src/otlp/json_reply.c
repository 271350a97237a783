/* json_reply.c - the part of json.h that reads a peer's answers: ExportLogsServiceResponse and google.rpc.Status as JSON. A
 * reader of its own, small and on libc alone: the SDK links no JSON library.
 * (1) The text is strict JSON (RFC 8259) and UTF-8, at most 4 MiB and 64 brackets deep: anything else is an error.
 * (2) One pass, no tree: what is not asked for is checked and passed over. Of equal members the last counts, null is absence. */
#include "base/json_out.h"
#include "otlp/json.h"
#include "otlp/reply.h"
#include <inttypes.h>
#include <math.h>

enum { ANSWER_MAX = 4 << 20, DEPTH_MAX = 64 };

struct reader {
    const char *begin, *at, *end;
    uint32_t depth;
    struct err *e;
};

__attribute__((cold)) static bool bad(struct reader *r, const char *why)
{
    return err_at(r->e, ERR_PARSE, (size_t)(r->at - r->begin), "%s", why);
}

static void blanks(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

/* The character that comes next, behind blanks; 0 at the end. */
static char peek(struct reader *r)
{
    blanks(r);
    return r->at < r->end ? *r->at : 0;
}

static bool expect(struct reader *r, char c, const char *why)
{
    if (peek(r) != c)
        return bad(r, why);
    r->at++;
    return true;
}

/* ---- scalars ---- */

static bool four_hex(struct reader *r, uint32_t *ret)
{
    uint8_t two[2];
    if (r->end - r->at < 4 || !hex_get(sv_make(r->at, 4), two, 2, NULL))
        return bad(r, "\\u without four hex digits");
    *ret = (uint32_t)two[0] << 8 | two[1];
    r->at += 4;
    return true;
}

static void put_utf8(struct buf *out, uint32_t c)
{
    char b[4] = {(char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 63)), (char)(0x80 | (c >> 6 & 63)), (char)(0x80 | (c & 63))};
    if (c < 0x80)
        buf_char(out, (char)c);
    else if (c < 0x800)
        b[2] = (char)(0xc0 | c >> 6), buf_put(out, b + 2, 2);
    else if (c < 0x10000)
        b[1] = (char)(0xe0 | c >> 12), buf_put(out, b + 1, 3);
    else
        buf_put(out, b, 4);
}

/* Behind "\u": the character, of two escapes when it is beyond the basic plane. */
static bool unicode_escape(struct reader *r, struct buf *out)
{
    uint32_t c, low;
    if (!four_hex(r, &c))
        return false;
    if (c >= 0xdc00 && c <= 0xdfff)
        return bad(r, "half a surrogate pair");
    if (c >= 0xd800 && c <= 0xdbff) {
        if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
            return bad(r, "half a surrogate pair");
        r->at += 2;
        if (!four_hex(r, &low))
            return false;
        if (low < 0xdc00 || low > 0xdfff)
            return bad(r, "half a surrogate pair");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    put_utf8(out, c);
    return true;
}

/* A string's text into *out, which is emptied first. */
static bool read_string(struct reader *r, struct buf *out)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    buf_reset(out);
    if (!expect(r, '"', "not a string"))
        return false;
    while (r->at < r->end && *r->at != '"') {
        const char *from = r->at;
        while (r->at < r->end && *r->at != '"' && *r->at != '\\' && (unsigned char)*r->at >= 0x20)
            r->at++;
        buf_put(out, from, (size_t)(r->at - from));
        if (r->at == r->end || *r->at == '"')
            continue;
        if (*r->at != '\\')
            return bad(r, "a control character in a string");
        if (++r->at == r->end)
            break;
        char c = *r->at++;
        const char *which = c ? strchr(names, c) : NULL;
        if (which)
            buf_char(out, meant[which - names]);
        else if (c != 'u')
            return bad(r, "an unknown escape");
        else if (!unicode_escape(r, out))
            return false;
    }
    return expect(r, '"', "a string without its end") && buf_ok(out, r->e);
}

static size_t digits(struct reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return (size_t)(r->at - from);
}

static bool read_number(struct reader *r, sv *ret)
{
    const char *from = r->at;
    if (r->at < r->end && *r->at == '-')
        r->at++;
    bool zero = r->at < r->end && *r->at == '0';
    size_t n = digits(r);
    bool ok = n == 1 || (n > 1 && !zero);
    if (ok && r->at < r->end && *r->at == '.') {
        r->at++;
        ok = digits(r) > 0;
    }
    if (ok && r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        ok = digits(r) > 0;
    }
    *ret = sv_make(from, (size_t)(r->at - from));
    return ok || bad(r, "neither a value nor a number");
}

static bool word(struct reader *r, sv w)
{
    if (!sv_starts(sv_make(r->at, (size_t)(r->end - r->at)), w))
        return false;
    r->at += w.n;
    return true;
}

/* ---- values ---- */

static bool skip(struct reader *r);

static bool deeper(struct reader *r)
{
    r->at++;
    return ++r->depth <= DEPTH_MAX || err_set(r->e, ERR_LIMIT, "nested deeper than %d", DEPTH_MAX);
}

/* `member` takes each value, with skip() at the least. */
static bool read_object(struct reader *r, bool (*member)(struct reader *r, sv key, void *ctx), void *ctx)
{
    SCOPED(buf_done) struct buf key = {0};
    if (peek(r) != '{')
        return bad(r, "not an object");
    if (!deeper(r))
        return false;
    for (bool first = true; peek(r) != '}'; first = false)
        if ((!first && !expect(r, ',', "neither ',' nor '}'")) || !read_string(r, &key) || !expect(r, ':', "no ':'") ||
            !member(r, buf_view(&key), ctx))
            return false;
    r->at++;
    r->depth--;
    return true;
}

static bool read_array(struct reader *r, bool (*item)(struct reader *r, void *ctx), void *ctx)
{
    if (!deeper(r))
        return false;
    for (bool first = true; peek(r) != ']'; first = false)
        if ((!first && !expect(r, ',', "neither ',' nor ']'")) || !item(r, ctx))
            return false;
    r->at++;
    r->depth--;
    return true;
}

static bool skip_member(struct reader *r, sv key, void *ctx)
{
    return skip(r);
}
static bool skip_item(struct reader *r, void *ctx)
{
    return skip(r);
}

static bool skip(struct reader *r)
{
    SCOPED(buf_done) struct buf text = {0};
    sv number;
    switch (peek(r)) {
    case '{':
        return read_object(r, skip_member, NULL);
    case '[':
        return read_array(r, skip_item, NULL);
    case '"':
        return read_string(r, &text);
    default:
        return word(r, SV("true")) || word(r, SV("false")) || word(r, SV("null")) || read_number(r, &number);
    }
}

/* A string; anything else leaves *out empty. */
static bool read_text(struct reader *r, struct buf *out)
{
    buf_reset(out);
    return peek(r) == '"' ? read_string(r, out) : skip(r);
}

/* A whole number, or a string that holds one; null is 0. */
static bool read_i64(struct reader *r, const char *name, int64_t *ret)
{
    SCOPED(buf_done) struct buf text = {0};
    sv number;
    double d;
    *ret = 0;
    char c = peek(r);
    if (c == 'n' && word(r, SV("null")))
        return true;
    if (c == '"') {
        if (!read_string(r, &text))
            return false;
        if (sv_to_i64(buf_view(&text), ret))
            return true;
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        if (!read_number(r, &number))
            return false;
        if (sv_to_i64(number, ret))
            return true;
        if (sv_to_double(number, &d) && d >= -0x1p63 && d < 0x1p63 && d == floor(d)) {
            *ret = (int64_t)d;
            return true;
        }
    }
    return err_at(r->e, ERR_PARSE, (size_t)(r->at - r->begin), "%s: not a 64-bit integer", name);
}

static bool read_answer(sv body, bool (*member)(struct reader *r, sv key, void *ctx), void *ctx, struct err *e)
{
    struct reader r = {body.p, body.p, body.n ? body.p + body.n : body.p, 0, e};
    if (body.n > ANSWER_MAX)
        return err_set(e, ERR_LIMIT, "longer than %d bytes", ANSWER_MAX);
    if (!sv_is_utf8(body))
        return err_set(e, ERR_PARSE, "not UTF-8");
    return read_object(&r, member, ctx) && (peek(&r) == 0 && r.at == r.end ? true : bad(&r, "text behind the object"));
}

/* ---- ExportLogsServiceResponse ---- */

struct response {
    int64_t rejected;
    struct buf message;
};

static bool partial_member(struct reader *r, sv key, void *ctx)
{
    struct response *s = ctx;
    if (sv_eq(key, SV("rejectedLogRecords")))
        return read_i64(r, "partialSuccess.rejectedLogRecords", &s->rejected);
    return sv_eq(key, SV("errorMessage")) ? read_text(r, &s->message) : skip(r);
}

static bool response_member(struct reader *r, sv key, void *ctx)
{
    if (sv_eq(key, SV("partialSuccess")) && peek(r) == '{')
        return read_object(r, partial_member, ctx);
    return skip(r);
}

bool otlp_read_response(sv body, bool json, uint64_t *ret_rejected, struct buf *ret_message, struct err *e)
{
    if (!json)
        return otlp_read_response_pb(body, ret_rejected, ret_message, e);
    struct response s = {0};
    bool ok = read_answer(body, response_member, &s, e);
    if (ok) {
        *ret_rejected = s.rejected > 0 ? (uint64_t)s.rejected : 0;
        buf_sv(ret_message, buf_view(&s.message));
    }
    buf_done(&s.message);
    return ok || err_ctx(e, "not an ExportLogsServiceResponse");
}

/* ---- google.rpc.Status ---- */

struct status {
    int64_t code, retry_ms;
    struct buf message;
};

/* protobuf's JSON form of a Duration: seconds with a fraction, then "s". */
static int64_t delay_ms(sv text)
{
    double s;
    if (!sv_ends(text, SV("s")) || !sv_to_double(sv_sub(text, 0, text.n - 1), &s) || !isfinite(s))
        return -1;
    return s <= 0 ? 0 : (int64_t)(MIN(s, (double)INT32_MAX) * 1000 + 0.5);
}

static bool detail_member(struct reader *r, sv key, void *ctx)
{
    SCOPED(buf_done) struct buf text = {0};
    struct status *s = ctx;
    if (!sv_eq(key, SV("retryDelay")))
        return skip(r);
    if (!read_text(r, &text))
        return false;
    if (s->retry_ms < 0)
        s->retry_ms = delay_ms(buf_view(&text));
    return true;
}

static bool detail(struct reader *r, void *ctx)
{
    return peek(r) == '{' ? read_object(r, detail_member, ctx) : skip(r);
}

static bool status_member(struct reader *r, sv key, void *ctx)
{
    struct status *s = ctx;
    if (sv_eq(key, SV("code")))
        return read_i64(r, "code", &s->code);
    if (sv_eq(key, SV("message")))
        return read_text(r, &s->message);
    return sv_eq(key, SV("details")) && peek(r) == '[' ? read_array(r, detail, ctx) : skip(r);
}

bool otlp_read_status(sv body, bool json, int *ret_code, struct buf *ret_message, int64_t *ret_retry_ms, struct err *e)
{
    if (!json)
        return otlp_read_status_pb(body, ret_code, ret_message, ret_retry_ms, e);
    struct status s = {.retry_ms = -1};
    bool ok = read_answer(body, status_member, &s, e);
    if (ok && (s.code < INT32_MIN || s.code > INT32_MAX))
        ok = err_set(e, ERR_PARSE, "code: not a 32-bit integer");
    if (ok) {
        *ret_code = (int)s.code;
        *ret_retry_ms = s.retry_ms;
        buf_sv(ret_message, buf_view(&s.message));
    }
    buf_done(&s.message);
    return ok || err_ctx(e, "not a google.rpc.Status");
}

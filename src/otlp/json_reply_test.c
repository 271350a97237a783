/* json_reply_test.c - a peer's JSON answers: what is read, what is passed over, what is refused. The usual ones: json_test.c. */
#include "base/test.h"
#include "otlp/json.h"

static bool status(sv text, int *code, struct buf *message, int64_t *retry_ms, struct err *e)
{
    buf_reset(message);
    return otlp_read_status(text, true, code, message, retry_ms, e);
}

TEST(what_is_not_asked_for_is_passed_over)
{
    SCOPED(buf_done) struct buf message = {0};
    struct err e = {0};
    int code = 9;
    int64_t retry_ms;
    CHECK_OK(status(SV(" {\"x\":[1,-0,2.5e-3,{\"y\":[[],{}]},true,false,null,\"\\\"\"],\r\n\t\"code\" : 14 , \"message\":\"later\"} \n"),
                    &code, &message, &retry_ms, &e), &e);
    CHECK_EQ(code, 14);
    CHECK_EQ(retry_ms, -1);
    CHECK_SV(buf_view(&message), SV("later"));
    CHECK_OK(status(SV("{\"code\":null,\"message\":7,\"details\":{}}"), &code, &message, &retry_ms, &e), &e);
    CHECK_EQ(code, 0);
    CHECK_EQ(message.n, 0);
    CHECK_OK(status(SV("{\"code\":\"3\",\"details\":[{\"a\":1},{\"retryDelay\":\"2s\"},{\"retryDelay\":\"9s\"}]}"), &code, &message,
                    &retry_ms, &e), &e);
    CHECK_EQ(code, 3);
    CHECK_EQ(retry_ms, 2000);
    CHECK_OK(status(SV("{\"code\":1,\"code\":2.0,\"message\":\"a\",\"message\":\"b\"}"), &code, &message, &retry_ms, &e), &e);
    CHECK_EQ(code, 2);
    CHECK_SV(buf_view(&message), SV("b"));
    CHECK_OK(status(SV("{\"details\":[{\"retryDelay\":\"-3s\"}]}"), &code, &message, &retry_ms, &e), &e);
    CHECK_EQ(retry_ms, 0);
    CHECK_OK(status(SV("{\"details\":[{\"retryDelay\":\"1e300s\"}]}"), &code, &message, &retry_ms, &e), &e);
    CHECK_EQ(retry_ms, INT32_MAX * 1000ll);
}

TEST(strings_are_unescaped)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
        {"\\u0041\\u00e4\\u20AC\\ud83d\\ude00", "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xc3\xa4 as it is", "\xc3\xa4 as it is"},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(buf_done) struct buf text = {0}, message = {0};
        struct err e = {0};
        uint64_t rejected = 7;
        buf_fmt(&text, "{\"partialSuccess\":{\"errorMessage\":\"%s\"}}", rows[i].in);
        CHECK_OK(otlp_read_response(buf_view(&text), true, &rejected, &message, &e), &e);
        CHECK_EQ(rejected, 0);
        CHECK_SV(buf_view(&message), sv_of(rows[i].out));
    }
}

TEST(other_text_is_refused)
{
    static const char *const rows[] = {
        "", " ", "nul", "null", "5", "[]", "\"x\"", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{,}", "{\"a\" 1}",
        "{a:1}", "{'a':1}", "{\"a\":1}}", "{\"a\":1} x", "{\"a\":01}", "{\"a\":-}", "{\"a\":+1}", "{\"a\":.5}", "{\"a\":1.}", "{\"a\":1e}",
        "{\"a\":1e+}", "{\"a\":NaN}", "{\"a\":truE}", "{\"a\":[1,]}", "{\"a\":[1 2]}", "{\"a\":[}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\ud800\\u0041\"}", "{\"a\":\"\\udc00\"}", "{\"a\":\"\n\"}", "{\"a\":\"\xff\"}",
        "{\"a\":\"", "{\"a\":\"\\",
        "{\"code\":\"x\"}", "{\"code\":1.5}", "{\"code\":2147483648}", "{\"code\":1e30}", "{\"code\":true}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(buf_done) struct buf message = {0};
        struct err e = {0};
        int code = 77;
        int64_t retry_ms = 77;
        if (status(sv_of(rows[i]), &code, &message, &retry_ms, &e))
            test_fail(__FILE__, __LINE__, "accepted: %s", rows[i]);
        CHECK_ERR(&e, ERR_PARSE, "not a google.rpc.Status: ");
        CHECK(code == 77 && retry_ms == 77 && message.n == 0);
    }
    SCOPED(buf_done) struct buf message = {0};
    struct err e = {0};
    int code;
    int64_t retry_ms;
    CHECK(!status(sv_make("{\"a\":1}\0", 8), &code, &message, &retry_ms, &e)); /* a NUL is no end */
    CHECK(!status(sv_make("{\"a\":\"\\\0\"}", 9), &code, &message, &retry_ms, &e));
}

TEST(depth_and_size_are_capped)
{
    static const struct {
        int depth;
        bool ok;
    } rows[] = {{1, true}, {63, true}, {64, false}, {1000000, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(buf_done) struct buf text = {0}, message = {0};
        struct err e = {0};
        uint64_t rejected;
        buf_sv(&text, SV("{\"x\":"));
        for (int d = 0; d < rows[i].depth; d++)
            buf_char(&text, '[');
        for (int d = 0; d < rows[i].depth; d++)
            buf_char(&text, ']');
        buf_char(&text, '}');
        CHECK_EQ(otlp_read_response(buf_view(&text), true, &rejected, &message, &e), rows[i].ok);
        if (!rows[i].ok)
            CHECK_ERR(&e, ERR_LIMIT, "nested deeper than 64");
    }
    SCOPED(buf_done) struct buf text = {0}, message = {0};
    struct err e = {0};
    uint64_t rejected;
    buf_sv(&text, SV("{}"));
    memset(buf_reserve(&text, 4 << 20), ' ', 4 << 20);
    text.n += (4 << 20) - 2;
    CHECK_OK(otlp_read_response(buf_view(&text), true, &rejected, &message, &e), &e);
    text.n++;
    CHECK(!otlp_read_response(buf_view(&text), true, &rejected, &message, &e));
    CHECK_ERR(&e, ERR_LIMIT, "longer than");
}

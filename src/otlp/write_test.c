/* write_test.c - bytes we write, and answers we read. */
#include "otlp/write.h"
#include "base/test.h"
#include "otlp/reply.h"

TEST(scalars_have_the_bytes_of_protobuf)
{
    SCOPED(buf_done) struct buf b = {0};
    otlp_put_varint(&b, 2, 300);
    otlp_put_fixed64(&b, 1, 0x0102030405060708u);
    otlp_put_fixed32(&b, 8, 0x01020304);
    otlp_put_bytes(&b, 3, SV("ab"));
    otlp_put_double(&b, 4, 1.0);
    otlp_put_bytes(&b, 100, SV_NULL);
    CHECK_SV(buf_view(&b), SV("\x10\xac\x02\x09\x08\x07\x06\x05\x04\x03\x02\x01\x45\x04\x03\x02\x01\x1a\x02"
                              "ab\x21\0\0\0\0\0\0\xf0\x3f\xa2\x06\x00"));
}

TEST(attributes_have_the_bytes_of_protobuf)
{
    SCOPED(buf_done) struct buf b = {0};
    otlp_put_attr_str(&b, 6, SV("k"), SV("vv"));
    CHECK_SV(buf_view(&b), SV("\x32\x09\x0a\x01k\x12\x04\x0a\x02vv"));
    buf_reset(&b);
    otlp_put_attr_i64(&b, 1, SV("k"), -1);
    CHECK_SV(buf_view(&b), SV("\x0a\x10\x0a\x01k\x12\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    buf_reset(&b);
    otlp_put_attr_bool(&b, 1, SV(""), true);
    otlp_put_attr_any(&b, 1, SV("e"), SV_NULL);
    otlp_put_attr_bytes(&b, 1, SV("r"), SV("\x00"));
    otlp_put_attr_double(&b, 1, SV("d"), 0);
    CHECK_SV(buf_view(&b), SV("\x0a\x06\x0a\x00\x12\x02\x10\x01" "\x0a\x05\x0a\x01" "e\x12\x00"
                              "\x0a\x08\x0a\x01r\x12\x03\x3a\x01\x00" "\x0a\x0e\x0a\x01" "d\x12\x09\x21\0\0\0\0\0\0\0\0"));
}

TEST(lengths_are_patched_in_five_bytes)
{
    SCOPED(buf_done) struct buf b = {0};
    size_t outer = otlp_open(&b, 1), inner = otlp_open(&b, 2);
    otlp_put_bytes(&b, 1, SV("x"));
    otlp_close(&b, inner);
    otlp_close(&b, outer);
    CHECK_SV(buf_view(&b), SV("\x0a\x89\x80\x80\x80\x00\x12\x83\x80\x80\x80\x00\x0a\x01x"));
}

TEST(a_full_buffer_stays_failed_and_intact)
{
    for (size_t max = 1; max < 40; max++) {
        SCOPED(buf_done) struct buf b = buf_capped(max);
        struct err e = {0};
        size_t outer = otlp_open(&b, 1);
        otlp_put_attr_str(&b, 1, SV("key"), SV("value"));
        size_t inner = otlp_open(&b, 2);
        otlp_put_varint(&b, 1, 1);
        otlp_close(&b, inner);
        otlp_close(&b, outer);
        CHECK(b.n <= max);
        CHECK(!buf_ok(&b, &e));
        CHECK_EQ(e.code, ERR_LIMIT);
    }
}

static void check_response(sv body, uint64_t want_rejected, sv want_message)
{
    SCOPED(buf_done) struct buf message = {0};
    struct err e = {0};
    uint64_t rejected = 77;
    CHECK_OK(otlp_read_response_pb(body, &rejected, &message, &e), &e);
    CHECK_EQ(rejected, want_rejected);
    CHECK_SV(buf_view(&message), want_message);
}

TEST(responses_both_ways)
{
    SCOPED(buf_done) struct buf b = {0}, message = {0};
    struct err e = {0};
    uint64_t rejected;
    otlp_put_response(&b, 0, SV_NULL);
    CHECK_EQ(b.n, 0);
    check_response(SV_NULL, 0, SV_NULL);
    check_response(SV("\x0a\x00"), 0, SV_NULL); /* as the OpenTelemetry Collector answers */
    otlp_put_response(&b, 3, SV("too old"));
    check_response(buf_view(&b), 3, SV("too old"));
    CHECK(!otlp_read_response_pb(SV("<html>"), &rejected, &message, &e));
    CHECK_ERR(&e, ERR_PARSE, "not a ExportLogsServiceResponse");
}

TEST(statuses_both_ways)
{
    static const int64_t delays[] = {-1, 0, 1, 999, 1000, 61500};
    for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
        SCOPED(buf_done) struct buf b = {0}, message = {0};
        struct err e = {0};
        int code = -1;
        int64_t retry_ms = 77;
        otlp_put_status(&b, GRPC_UNAVAILABLE, SV("later"), delays[i]);
        CHECK_OK(otlp_read_status_pb(buf_view(&b), &code, &message, &retry_ms, &e), &e);
        CHECK_EQ(code, GRPC_UNAVAILABLE);
        CHECK_EQ(retry_ms, delays[i]);
        CHECK_SV(buf_view(&message), SV("later"));
    }
    SCOPED(buf_done) struct buf message = {0};
    struct err e = {0};
    int code;
    int64_t retry_ms;
    CHECK(!otlp_read_status_pb(SV("\x0a"), &code, &message, &retry_ms, &e));
    CHECK_ERR(&e, ERR_PARSE, "google.rpc.Status");
}

TEST(answers_are_classified_as_the_specification_says)
{
    static const bool retried[17] = {[1] = true, [4] = true, [10] = true, [11] = true, [14] = true, [15] = true};
    for (int code = 1; code <= 16; code++)
        CHECK_EQ(push_code_of_grpc(code, false), retried[code] ? PUSH_RETRY : PUSH_REJECTED);
    CHECK_EQ(push_code_of_grpc(0, false), PUSH_SENT);
    CHECK_EQ(push_code_of_grpc(8, true), PUSH_RETRY);
    CHECK_EQ(push_code_of_grpc(3, true), PUSH_REJECTED);
    CHECK_EQ(push_code_of_grpc(99, false), PUSH_REJECTED);
    CHECK_STR(grpc_code_name(14), "UNAVAILABLE");
    CHECK_STR(grpc_code_name(-1), "UNKNOWN");
    static const struct {
        int status;
        enum push_code code;
    } http[] = {{200, PUSH_SENT}, {204, PUSH_SENT}, {301, PUSH_REJECTED}, {400, PUSH_REJECTED}, {401, PUSH_REJECTED},
                {404, PUSH_REJECTED}, {408, PUSH_REJECTED}, {413, PUSH_REJECTED}, {429, PUSH_RETRY}, {500, PUSH_REJECTED},
                {501, PUSH_REJECTED}, {502, PUSH_RETRY}, {503, PUSH_RETRY}, {504, PUSH_RETRY}, {505, PUSH_REJECTED}};
    for (size_t i = 0; i < ARRAY_LEN(http); i++)
        CHECK_EQ(push_code_of_http(http[i].status), http[i].code);
}

TEST(retry_after_is_seconds_or_a_date)
{
    int64_t now = 784111777 * NS_PER_S; /* Sun, 06 Nov 1994 08:49:37 GMT */
    CHECK_EQ(retry_after_ms(SV("120"), now), 120000);
    CHECK_EQ(retry_after_ms(SV(" 0 "), now), 0);
    CHECK_EQ(retry_after_ms(SV("99999999999"), now), (int64_t)INT32_MAX * 1000);
    CHECK_EQ(retry_after_ms(SV("Sun, 06 Nov 1994 08:50:37 GMT"), now), 60000);
    CHECK_EQ(retry_after_ms(SV("Sunday, 06-Nov-94 08:49:47 GMT"), now), 10000);
    CHECK_EQ(retry_after_ms(SV("Sun Nov  6 08:49:38 1994"), now), 1000);
    CHECK_EQ(retry_after_ms(SV("Sun, 06 Nov 1994 08:40:37 GMT"), now), 0); /* over */
    static const sv bad[] = {SV(""), SV("soon"), SV("-5"), SV("1.5"), SV("Sun, 06 Nov 1994"), SV("Sun, 06 Nop 1994 08:50:37 GMT"),
                             SV("Sun, 06 Nov 1994 08:50:37 GMT x"), SV("Sun, 99 Nov 1994 08:50:37 GMT")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_EQ(retry_after_ms(bad[i], now), -1);
}

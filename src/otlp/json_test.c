/* json_test.c - OTLP/JSON in and out, and answers. */
#include "otlp/json.h"
#include "base/test.h"
#include "otlp/write.h"

/* Every member there is, in the compact form that we print. */
static const char example[] =
    "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}},"
    "{\"key\":\"nothing\",\"value\":{}}],\"droppedAttributesCount\":1,\"entityRefs\":[{\"schemaUrl\":\"u\",\"type\":\"service\","
    "\"idKeys\":[\"service.name\",\"\"],\"descriptionKeys\":[\"x\"]}]},\"scopeLogs\":[{\"scope\":{\"name\":\"lib\","
    "\"version\":\"1.0\",\"attributes\":[{\"key\":\"yes\",\"value\":{\"boolValue\":false}}],\"droppedAttributesCount\":2},"
    "\"logRecords\":[{\"timeUnixNano\":\"1544712660300000000\",\"observedTimeUnixNano\":\"18446744073709551615\","
    "\"severityNumber\":10,\"severityText\":\"Information\",\"eventName\":\"order.placed\",\"body\":{\"kvlistValue\":{\"values\":["
    "{\"key\":\"list\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":\"-9223372036854775808\"},{\"doubleValue\":637.704},"
    "{},{\"bytesValue\":\"AP8=\"},{\"stringValue\":\"\"},{\"arrayValue\":{}}]}}}]}},\"attributes\":[{\"key\":\"nan\",\"value\":{"
    "\"doubleValue\":\"NaN\"}}],\"droppedAttributesCount\":3,\"flags\":257,\"traceId\":\"5b8efff798038103d269b633813fc60c\","
    "\"spanId\":\"eee19b7ec3c1b174\"},{}],\"schemaUrl\":\"https://scope\"}],\"schemaUrl\":\"https://resource\"}]}";

static void check_round(sv json, sv want)
{
    SCOPED(buf_done) struct buf bytes = {0}, text = {0}, again = {0};
    struct err e = {0};
    struct otlp_counts counts;
    CHECK_OK(otlp_from_json(json, NULL, &bytes, &e), &e);
    CHECK_OK(otlp_check(buf_view(&bytes), NULL, &counts, &e), &e);
    otlp_to_json(buf_view(&bytes), &text);
    CHECK_SV(buf_view(&text), want);
    CHECK_OK(otlp_from_json(buf_view(&text), NULL, &again, &e), &e);
    CHECK_SV(buf_view(&again), buf_view(&bytes));
}

TEST(every_member_goes_round)
{
    check_round(sv_of(example), sv_of(example));
    check_round(SV("{}"), SV("{}"));
}

/* One record, given as JSON; what we print for it. */
static void check_record(const char *record, const char *want)
{
    SCOPED(buf_done) struct buf json = {0}, expected = {0};
    buf_fmt(&json, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[%s]}]}]}", record);
    buf_fmt(&expected, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[%s]}]}]}", want);
    check_round(buf_view(&json), buf_view(&expected));
}

TEST(input_is_read_liberally)
{
    check_record("{\"time_unix_nano\":5,\"observed_time_unix_nano\":\"6\",\"severity_text\":\"x\",\"trace_id\":\"\"}",
                 "{\"timeUnixNano\":\"5\",\"observedTimeUnixNano\":\"6\",\"severityText\":\"x\"}");
    check_record("{\"traceId\":\"5B8EFFF798038103D269B633813FC60C\"}", "{\"traceId\":\"5b8efff798038103d269b633813fc60c\"}");
    check_record("{\"severityNumber\":\"SEVERITY_NUMBER_WARN3\"}", "{\"severityNumber\":15}");
    check_record("{\"severityNumber\":\"SEVERITY_NUMBER_UNSPECIFIED\"}", "{}");
    check_record("{\"severityNumber\":\"9\",\"flags\":\"1\"}", "{\"severityNumber\":9,\"flags\":1}");
    check_record("{\"unknown\":{\"a\":[1,2]},\"body\":null,\"timeUnixNano\":1e3}", "{\"timeUnixNano\":\"1000\"}");
    check_record("{\"body\":{\"intValue\":5},\"attributes\":null}", "{\"body\":{\"intValue\":\"5\"}}");
    check_record("{\"body\":{\"doubleValue\":\"-Infinity\"}}", "{\"body\":{\"doubleValue\":\"-Infinity\"}}");
    check_record("{\"body\":{\"doubleValue\":\"1e3\"}}", "{\"body\":{\"doubleValue\":1000}}");
    check_record("{\"body\":{\"bytesValue\":\"_w\"}}", "{\"body\":{\"bytesValue\":\"/w==\"}}");
    check_record("{\"body\":{\"string_value\":\"\",\"future\":1}}", "{\"body\":{\"stringValue\":\"\"}}");
    check_record("{\"body\":{}}", "{\"body\":{}}");
}

TEST(errors_name_the_path)
{
    static const struct {
        const char *record, *error;
    } rows[] = {
        {"{},{},{\"traceId\":\"5b8e\"}", "logRecords[2].traceId: not 32 hex digits"},
        {"{\"spanId\":\"eee19b7ec3c1b17x\"}", "logRecords[0].spanId: not 16 hex digits"},
        {"{\"spanId\":7}", "logRecords[0].spanId: a number, not a string of hex digits"},
        {"{\"timeUnixNano\":-1}", "logRecords[0].timeUnixNano: not an unsigned 64-bit number"},
        {"{\"timeUnixNano\":\"1.5\"}", "timeUnixNano: not an unsigned"},
        {"{\"timeUnixNano\":1.5}", "timeUnixNano: not an unsigned"},
        {"{\"flags\":4294967296}", "flags: not an unsigned 32-bit number"},
        {"{\"severityNumber\":\"SEVERITY_NUMBER_LOUD\"}", "severityNumber: not a severity number"},
        {"{\"severityNumber\":\"SEVERITY_NUMBER_INFO5\"}", "severityNumber: not a severity number"},
        {"{\"severityNumber\":3000000000}", "severityNumber: not a severity number"},
        {"{\"severityText\":5}", "severityText: a number, not a string"},
        {"{\"body\":\"text\"}", "logRecords[0].body: a string, not an object"},
        {"{\"body\":{\"intValue\":\"x\"}}", "body.intValue: not a 64-bit integer"},
        {"{\"body\":{\"intValue\":9223372036854775808}}", "body.intValue: not a 64-bit integer"},
        {"{\"body\":{\"boolValue\":1}}", "body.boolValue: a number, not true or false"},
        {"{\"body\":{\"doubleValue\":\"fast\"}}", "body.doubleValue: not a number"},
        {"{\"body\":{\"doubleValue\":\"inf\"}}", "body.doubleValue: not a number"},
        {"{\"body\":{\"bytesValue\":\"*\"}}", "body.bytesValue: base64"},
        {"{\"body\":{\"arrayValue\":{\"values\":[{},5]}}}", "body.arrayValue.values[1]: a number, not an object"},
        {"{\"attributes\":[{\"key\":\"a\"},{\"key\":1}]}", "logRecords[0].attributes[1].key: a number, not a string"},
        {"{\"attributes\":{}}", "logRecords[0].attributes: an object, not an array"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(buf_done) struct buf json = {0}, bytes = {0};
        struct err e = {0};
        buf_sv(&bytes, SV("before"));
        buf_fmt(&json, "{\"resourceLogs\":[{\"scopeLogs\":[{},{\"logRecords\":[%s]}]}]}", rows[i].record);
        CHECK(!otlp_from_json(buf_view(&json), NULL, &bytes, &e));
        CHECK_ERR(&e, ERR_PARSE, rows[i].error);
        CHECK(strncmp(e.msg, "resourceLogs[0].scopeLogs[1].", 29) == 0);
        CHECK_SV(buf_view(&bytes), SV("before"));
    }
    SCOPED(buf_done) struct buf bytes = {0};
    struct err e = {0};
    CHECK(!otlp_from_json(SV("[]"), NULL, &bytes, &e));
    CHECK_ERR(&e, ERR_PARSE, "an array, not an object with resourceLogs");
    CHECK(!otlp_from_json(SV(""), NULL, &bytes, &e));
    CHECK_ERR(&e, ERR_PARSE, "empty");
}

static void put_deep(struct buf *json, int depth)
{
    buf_sv(json, SV("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":"));
    for (int i = 1; i < depth; i++)
        buf_sv(json, SV("{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":"));
    buf_sv(json, SV("{}"));
    for (int i = 1; i < depth; i++)
        buf_sv(json, SV("}]}}"));
    buf_sv(json, SV("}]}]}]}"));
}

TEST(depth_and_count_are_capped)
{
    static const struct {
        int depth;
        uint32_t max;
        bool ok;
    } rows[] = {{64, 0, true}, {65, 0, false}, {5, 5, true}, {6, 5, false}, {200, 9999, true}, {201, 9999, false}, {5000, 0, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(buf_done) struct buf json = {0}, bytes = {0};
        struct err e = {0};
        put_deep(&json, rows[i].depth);
        CHECK_EQ(otlp_from_json(buf_view(&json), &(struct otlp_limits){.max_depth = rows[i].max}, &bytes, &e), rows[i].ok);
        if (!rows[i].ok)
            CHECK_EQ(e.code, ERR_LIMIT);
    }
    SCOPED(buf_done) struct buf bytes = {0};
    struct err e = {0};
    sv three = SV("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{},{}]},{\"logRecords\":[{}]}]}]}");
    CHECK_OK(otlp_from_json(three, &(struct otlp_limits){.max_records = 3}, &bytes, &e), &e);
    CHECK(!otlp_from_json(three, &(struct otlp_limits){.max_records = 2}, &bytes, &e));
    CHECK_ERR(&e, ERR_LIMIT, "resourceLogs[0].scopeLogs[1].logRecords[0]: more records than max_records");
}

TEST(a_full_buffer_is_an_error)
{
    SCOPED(buf_done) struct buf bytes = buf_capped(100);
    struct err e = {0};
    CHECK(!otlp_from_json(sv_of(example), NULL, &bytes, &e));
    CHECK_EQ(e.code, ERR_LIMIT);
}

TEST(responses_as_json_both_ways)
{
    SCOPED(buf_done) struct buf b = {0}, message = {0};
    struct err e = {0};
    uint64_t rejected = 9;
    otlp_response_json(&b, 0, SV_NULL);
    CHECK_SV(buf_view(&b), SV("{}"));
    CHECK_OK(otlp_read_response(buf_view(&b), true, &rejected, &message, &e), &e);
    CHECK_EQ(rejected, 0);
    buf_reset(&b);
    otlp_response_json(&b, 3, SV("too \"old\""));
    CHECK_SV(buf_view(&b), SV("{\"partialSuccess\":{\"rejectedLogRecords\":\"3\",\"errorMessage\":\"too \\\"old\\\"\"}}"));
    CHECK_OK(otlp_read_response(buf_view(&b), true, &rejected, &message, &e), &e);
    CHECK_EQ(rejected, 3);
    CHECK_SV(buf_view(&message), SV("too \"old\""));
    CHECK_OK(otlp_read_response(SV("{\"partialSuccess\":{}}"), true, &rejected, &message, &e), &e);
    CHECK_EQ(rejected, 0);
    CHECK(!otlp_read_response(SV("<html>"), true, &rejected, &message, &e));
    CHECK_ERR(&e, ERR_PARSE, "not an ExportLogsServiceResponse");
    CHECK(!otlp_read_response(SV("[]"), true, &rejected, &message, &e));
    CHECK(!otlp_read_response(SV("{\"partialSuccess\":{\"rejectedLogRecords\":\"x\"}}"), true, &rejected, &message, &e));
}

TEST(statuses_as_json_both_ways)
{
    SCOPED(buf_done) struct buf b = {0}, message = {0};
    struct err e = {0};
    int code;
    int64_t retry_ms;
    otlp_status_json(&b, 14, SV("later"), 1500);
    CHECK_SV(buf_view(&b), SV("{\"code\":14,\"message\":\"later\",\"details\":[{\"@type\":"
                              "\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"1.500s\"}]}"));
    CHECK_OK(otlp_read_status(buf_view(&b), true, &code, &message, &retry_ms, &e), &e);
    CHECK_EQ(code, 14);
    CHECK_EQ(retry_ms, 1500);
    CHECK_SV(buf_view(&message), SV("later"));
    CHECK_OK(otlp_read_status(SV("{\"message\":\"m\",\"details\":[5,{\"retryDelay\":\"x\"}]}"), true, &code, &message, &retry_ms, &e), &e);
    CHECK_EQ(code, 0);
    CHECK_EQ(retry_ms, -1);
    CHECK(!otlp_read_status(SV("{\"code\":\"x\"}"), true, &code, &message, &retry_ms, &e));
}

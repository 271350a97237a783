/* Severities of plain lines, and objects as records. */
#include "cli/detect.h"
#include "base/buf.h"
#include "base/test.h"

static struct detector *new_detector(bool json, bool keep_ansi)
{
    struct detect_config cfg = {.json = json, .keep_ansi = keep_ansi, .max_bytes = 1 << 20};
    struct detector *d = NULL;
    struct err e = {0};
    CHECK_OK(detector_new(&cfg, &d, &e), &e);
    return d;
}

static sv view(weir_string s)
{
    return sv_make(s.data, s.size);
}

TEST(severity_of_lines)
{
    static const struct {
        const char *line;
        int severity;
    } cases[] = {
        /* marks */
        {"E1128 12:00:00.123456  123 x.go:1] failed", 17},
        {"I1128 12:00:00.123456  123 x.go:1] started", 9},
        {"F1128 12:00:00.1 1 x] gone", 21},
        {"[W 251128 12:00:00 web:1] 404", 13},
        {"ts=1 level=warn msg=\"no error\"", 13},
        {"level=\"error\" x=1", 17},
        {"time=x lvl=dbug msg=y", 5},
        {"a=1,severity=CRITICAL", 21},
        {"sublevel=error done", 0},
        /* words where loggers put them */
        {"INFO started", 9},
        {"WARNING:root:careful", 13},
        {"CRITICAL:shop.orders:x", 21},
        {"[error] broken", 17},
        {"[ERROR] broken", 17},
        {"<warn> odd", 13},
        {"2024/01/01 12:00:00 [error] 31#31: *1 open() failed", 17},
        {"[Mon Jan 01 12:00:00.1 2024] [core:error] [pid 1] x", 17},
        {"2024-01-01 12:00:00,123 [main] INFO  c.e.Foo - error count 0", 9},
        {"2024-01-01T12:00:00.000Z  WARN 1234 --- [main] x", 13},
        {"2024-01-01 12:00:00.000 | DEBUG    | __main__:f:3 - x", 5},
        {"2026-08-21T10:00:00.000Z info collector: error budget", 9},
        {"2026-08-21T10:00:00.000Z\terror\tx", 17},
        {"12:00:00 ERR failed", 17},
        {"2024-01-01 12:00:00.000 UTC [123] ERROR:  relation", 17},
        {"2024-01-01 12:00:00.000 UTC [123] LOG:  ready", 9},
        {"2024-01-01 12:00:00.000 UTC [123] DEBUG2:  x", 5},
        {"[12:00:00] [Server thread/INFO]: joined", 9},
        {"E, [2024-01-01T12:00:00.1 #1] ERROR -- : x", 17},
        {"npm ERR! code 1", 17},
        {"npm WARN old", 13},
        {"fail: Shop.Orders[0]", 17},
        {"info: Microsoft.Hosting[14]", 9},
        {"crit: x[0]", 21},
        {"error: no such file", 17},
        {"Error: x", 17},
        {"x.c:3:4: warning: unused", 13},
        {"x.c:3:4: fatal error: y.h: none", 21},
        {"Jan  1 12:00:00 host prog[1]: error: x", 17},
        {"error[E0308]: mismatched types", 17},
        {"fatal: not a git repository", 21},
        {"TRACE x", 1},
        {"FINE: x", 5},
        {"SEVERE: x", 17},
        {"--- FAIL: TestX (0.00s)", 17},
        {"INFO:     127.0.0.1:1 - \"GET /error HTTP/1.1\" 500", 9},
        /* failures */
        {"Traceback (most recent call last):\n  File", 17},
        {"ValueError: bad", 17},
        {"java.lang.IllegalStateException: bad\n\tat x", 17},
        {"java.lang.NullPointerException", 17},
        {"TypeError [ERR_X]: bad", 17},
        {"Exception in thread \"main\" x", 17},
        {"Unhandled exception. System.X", 17},
        {"thread 'main' panicked at src/main.rs:2:5:\nx", 17},
        {"panic: x", 21},
        {"fatal error: all goroutines are asleep", 21},
        {"x.rb:1:in `f': bad (RuntimeError)", 17},
        {"PHP Fatal error:  Uncaught x", 21},
        /* no levels */
        {"", 0},
        {"No error found", 0},
        {"0 errors, 3 warnings", 0},
        {"3 error messages", 0},
        {"there was an error in the middle", 0},
        {"debug mode is on", 0},
        {"GET /info HTTP/1.1", 0},
        {"GET /INFO HTTP/1.1", 0},
        {"error-handler installed", 0},
        {"see error.log", 0},
        {"informations", 0},
        {"I am", 0},
        {"E1", 0},
        {"fine: all is well", 0},
        {"words words words words words words words words words words words words ERROR", 0},
    };
    struct detector *d = new_detector(true, false);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        weir_log_record r;
        detect(d, sv_of(cases[i].line), &r);
        if (r.severity_number != cases[i].severity)
            test_fail(__FILE__, __LINE__, "\"%s\": %d, not %d", cases[i].line, r.severity_number, cases[i].severity);
        CHECK_SV(view(r.body.as.string), sv_of(cases[i].line));
        CHECK_EQ(r.n_attributes, 0);
        CHECK_EQ(r.severity_text.size, 0);
    }
    detector_free(d);
}

TEST(syslog_marks_are_cut_off)
{
    static const struct {
        const char *line, *body;
        int severity;
    } cases[] = {{"<0>x", "x", 21},     {"<3>x y", "x y", 17}, {"<4>", "", 13},       {"<7>DEBUG x", "DEBUG x", 5}, {"<30>x", "x", 9},
                 {"<13>x", "x", 10},    {"<192>x", "<192>x", 0}, {"<>x", "<>x", 0},   {"<3", "<3", 0},              {"<1234>", "<1234>", 0},
                 {"\033[1m<3>x", "x", 17}};
    struct detector *d = new_detector(true, false);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        weir_log_record r;
        detect(d, sv_of(cases[i].line), &r);
        CHECK_EQ(r.severity_number, cases[i].severity);
        CHECK_SV(view(r.body.as.string), sv_of(cases[i].body));
    }
    detector_free(d);
}

TEST(colours)
{
    struct detector *d = new_detector(true, false), *keep = new_detector(true, true);
    weir_log_record r;
    sv line = SV("\033[32mINFO\033[0m: \033]8;;http://x\033\\link\033]8;;\033\\\0z\033");
    detect(d, line, &r);
    CHECK_SV(view(r.body.as.string), SV("INFO: link\0z"));
    CHECK_EQ(r.severity_number, 9);
    detect(keep, line, &r);
    CHECK_SV(view(r.body.as.string), line);
    CHECK_EQ(r.severity_number, 9);
    detect(d, SV("{\"msg\":\"\\u001b[31mred\\u001b[0m\"}"), &r);
    CHECK_SV(view(r.body.as.string), SV("red"));
    detector_free(d);
    detector_free(keep);
}

/* A value in a notation of the test's own: s"text", i1, d1.5, b1, null, [..], {k=v}. */
static void put_value(struct buf *out, weir_value v)
{
    switch (v.kind) {
    case WEIR_EMPTY:
        buf_fmt(out, "null");
        return;
    case WEIR_STRING:
        buf_fmt(out, "s\"%.*s\"", (int)v.as.string.size, v.as.string.data ? v.as.string.data : "");
        return;
    case WEIR_BOOL:
        buf_fmt(out, "b%d", v.as.boolean);
        return;
    case WEIR_INT:
        buf_fmt(out, "i%" PRId64, v.as.integer);
        return;
    case WEIR_DOUBLE:
        buf_fmt(out, "d%g", v.as.number);
        return;
    case WEIR_BYTES:
        buf_fmt(out, "bytes");
        return;
    case WEIR_ARRAY:
        buf_char(out, '[');
        for (size_t i = 0; i < v.as.array.size; i++) {
            buf_fmt(out, "%s", i ? "," : "");
            put_value(out, v.as.array.data[i]);
        }
        buf_char(out, ']');
        return;
    case WEIR_MAP:
        buf_char(out, '{');
        for (size_t i = 0; i < v.as.map.size; i++) {
            buf_fmt(out, "%s%.*s=", i ? "," : "", (int)v.as.map.data[i].key.size, v.as.map.data[i].key.data);
            put_value(out, v.as.map.data[i].value);
        }
        buf_char(out, '}');
        return;
    }
}

/* "severity text @time body {attributes}" */
static void check_object(struct detector *d, const char *text, const char *want)
{
    SCOPED(buf_done) struct buf out = {0};
    weir_log_record r;
    detect(d, sv_of(text), &r);
    buf_fmt(&out, "%d " SV_FMT " @%" PRIu64 " ", r.severity_number, SV_ARG(view(r.severity_text)), r.timestamp_ns);
    put_value(&out, r.body);
    buf_char(&out, ' ');
    put_value(&out, weir_value_map(r.attributes, r.n_attributes));
    CHECK_SV(buf_view(&out), sv_of(want));
}

TEST(objects)
{
    struct detector *d = new_detector(true, false);
    check_object(d, "{\"level\":\"warn\",\"msg\":\"hi\",\"user\":{\"id\":7,\"tags\":[\"a\",null,true,1.5]}}",
                 "13 warn @0 s\"hi\" {user={id=i7,tags=[s\"a\",null,b1,d1.5]}}");
    check_object(d, "  {\"message\":\"m\",\"msg\":\"n\"} ", "0  @0 s\"m\" {msg=s\"n\"}");
    check_object(d, "{\"msg\":\"n\",\"message\":{\"a\":1}}", "0  @0 s\"n\" {message={a=i1}}");
    check_object(d, "{\"log\":\"l\"}", "0  @0 s\"l\" {}");
    check_object(d, "{\"event\":\"e\",\"level\":\"info\"}", "9 info @0 s\"e\" {}");
    check_object(d, "{\"a\":1}", "0  @0 s\"{\"a\":1}\" {a=i1}");
    check_object(d, "{}", "0  @0 s\"{}\" {}");
    check_object(d, "{\n  \"msg\": \"pretty\"\n}", "0  @0 s\"pretty\" {}");
    check_object(d, "{\"msg\":\"x\",\"big\":18446744073709551615,\"neg\":-1}", "0  @0 s\"x\" {big=s\"18446744073709551615\",neg=i-1}");
    /* levels */
    check_object(d, "{\"level\":30,\"msg\":\"x\"}", "9  @0 s\"x\" {}");
    check_object(d, "{\"level\":60,\"msg\":\"x\"}", "21  @0 s\"x\" {}");
    check_object(d, "{\"level\":35,\"msg\":\"x\"}", "9  @0 s\"x\" {}");
    check_object(d, "{\"level\":3,\"msg\":\"x\"}", "17  @0 s\"x\" {}");
    check_object(d, "{\"level\":\"50\",\"msg\":\"x\"}", "17  @0 s\"x\" {}");
    check_object(d, "{\"level\":\"bananas\",\"msg\":\"x\"}", "0  @0 s\"x\" {level=s\"bananas\"}");
    check_object(d, "{\"level\":100,\"msg\":\"x\"}", "0  @0 s\"x\" {level=i100}");
    check_object(d, "{\"severity\":\"ERROR\",\"lvl\":1}", "17 ERROR @0 s\"{\"severity\":\"ERROR\",\"lvl\":1}\" {lvl=i1}");
    check_object(d, "{\"severity_text\":\"Warn\",\"severity_number\":14,\"msg\":\"x\"}", "14 Warn @0 s\"x\" {}");
    check_object(d, "{\"log\":{\"level\":\"error\",\"f\":1},\"message\":\"x\"}", "17 error @0 s\"x\" {log={level=s\"error\",f=i1}}");
    /* not objects */
    check_object(d, "[1]", "0  @0 s\"[1]\" {}");
    check_object(d, "{\"level\":\"warn\"", "0  @0 s\"{\"level\":\"warn\"\" {}");
    check_object(d, "{not json}", "0  @0 s\"{not json}\" {}");
    check_object(d, "{\"a\":1} ERROR {}", "17  @0 s\"{\"a\":1} ERROR {}\" {}");
    detector_free(d);
    d = new_detector(false, false);
    check_object(d, "{\"msg\":\"x\"}", "0  @0 s\"{\"msg\":\"x\"}\" {}");
    detector_free(d);
}

TEST(times_of_objects)
{
    static const struct {
        const char *value;
        uint64_t ns; /* 0: not understood */
    } cases[] = {
        {"\"2024-01-02T03:04:05Z\"", 1704164645000000000},
        {"\"2024-01-02T03:04:05.123456789Z\"", 1704164645123456789},
        {"\"2024-01-02T05:04:05.5+02:00\"", 1704164645500000000},
        {"\"2024-01-02 05:04:05,5+0200\"", 1704164645500000000},
        {"\"2024-01-02t03:04:05z\"", 1704164645000000000},
        {"1704164645", 1704164645000000000},
        {"1704164645.123456", 1704164645123456000},
        {"1704164645123", 1704164645123000000},
        {"1704164645123.5", 1704164645123500000},
        {"1704164645123456", 1704164645123456000},
        {"1704164645123456789", 1704164645123456789},
        {"\"1704164645\"", 1704164645000000000},
        {"\"1704164645.5\"", 1704164645500000000},
        {"12", 0},
        {"-1704164645", 0},
        {"1e300", 0},
        {"20000000000", 0}, /* the year 2603 */
        {"18446744073709551615", 0},
        {"\"2024-01-02T03:04:05\"", 0}, /* which zone? */
        {"\"2024-13-02T03:04:05Z\"", 0},
        {"\"yesterday\"", 0},
        {"\"\"", 0},
        {"null", 0},
        {"{\"$date\":1}", 0},
    };
    struct detector *d = new_detector(true, false);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[128];
        weir_log_record r;
        snprintf(text, sizeof text, "{\"ts\":%s}", cases[i].value);
        detect(d, sv_of(text), &r);
        if (r.timestamp_ns != cases[i].ns || r.n_attributes != (cases[i].ns == 0))
            test_fail(__FILE__, __LINE__, "%s: %" PRIu64 ", not %" PRIu64, cases[i].value, r.timestamp_ns, cases[i].ns);
    }
    detector_free(d);
}

TEST(trace_context)
{
    struct detector *d = new_detector(true, false);
    weir_log_record r;
    detect(d, SV("{\"msg\":\"x\",\"trace_id\":\"0123456789abcdef0123456789ABCDEF\",\"span_id\":\"0123456789abcdef\",\"trace_flags\":\"01\"}"), &r);
    REQUIRE(r.trace);
    CHECK_EQ(r.trace->trace_id[15], 0xef);
    CHECK_EQ(r.trace->span_id[0], 0x01);
    CHECK_EQ(r.trace->flags, 1);
    CHECK_EQ(r.n_attributes, 0);
    detect(d, SV("{\"trace_id\":\"0123456789abcdef0123456789abcdef\",\"span_id\":\"12\"}"), &r);
    REQUIRE(r.trace);
    CHECK_EQ(r.trace->span_id[0], 0);
    CHECK_EQ(r.n_attributes, 1);
    detect(d, SV("{\"trace_id\":\"00000000000000000000000000000000\",\"span_id\":\"0123456789abcdef\"}"), &r);
    CHECK(!r.trace);
    CHECK_EQ(r.n_attributes, 2);
    detect(d, SV("plain"), &r);
    CHECK(!r.trace);
    detector_free(d);
}

TEST(depth_is_limited)
{
    SCOPED(buf_done) struct buf text = {0};
    struct detector *d = new_detector(true, false);
    weir_log_record r;
    for (int depth = DETECT_DEPTH_MAX - 1; depth <= DETECT_DEPTH_MAX; depth++) {
        buf_reset(&text);
        buf_fmt(&text, "{\"a\":");
        for (int i = 0; i < depth; i++)
            buf_char(&text, '[');
        for (int i = 0; i < depth; i++)
            buf_char(&text, ']');
        buf_char(&text, '}');
        detect(d, buf_view(&text), &r);
        CHECK_EQ(r.n_attributes, depth < DETECT_DEPTH_MAX);
    }
    detector_free(d);
}

TEST(room_for_more_attributes)
{
    struct detector *d = new_detector(true, false);
    for (int i = 0; i < 2; i++) {
        weir_log_record r;
        detect(d, i ? SV("{\"a\":1,\"b\":2}") : SV("plain"), &r);
        size_t own = r.n_attributes;
        for (int k = 0; k < DETECT_SPARE; k++)
            detect_add(d, &r, weir_i64("k", k));
        CHECK_EQ(r.n_attributes, own + DETECT_SPARE);
        CHECK_EQ(r.attributes[own + 3].value.as.integer, 3);
    }
    detector_free(d);
}

TEST(level_words)
{
    CHECK_EQ(detect_level_word(SV("Warn")), 13);
    CHECK_EQ(detect_level_word(SV("emergency")), 21);
    CHECK_EQ(detect_level_word(SV("")), 0);
    CHECK_EQ(detect_level_word(SV("warned")), 0);
}

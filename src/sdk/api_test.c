/* api_test.c - the API against the specification, point by point: "Logs API" and "Logs SDK" of the OpenTelemetry specification.
 * Each point is a test of that name, here or (in brackets) elsewhere.
 *
 * Exceptions: given ones become attributes; the caller's attributes win. */
#include "sdk/api_test.h"

TEST(an_exception_becomes_attributes_unless_they_are_there)
{
    struct seen s;
    weir_provider *p = seen_provider(&s, NULL);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    weir_exception x = {weir_string_of("shop::out_of_stock"), weir_string_of("no monstera"), weir_string_of("#0 buy")};
    weir_log_record r = weir_log_record_init();
    weir_attr own[] = {weir_str("exception.message", "my own"), weir_i64("n", 1)};
    r.exception = &x;
    weir_logger_emit(lg, &r);
    CHECK_SV(buf_view(&s.attrs),
             SV("exception.type=shop::out_of_stock\nexception.message=no monstera\nexception.stacktrace=#0 buy\n"));
    r.attributes = own;
    r.n_attributes = 2;
    weir_logger_emit(lg, &r);
    CHECK_SV(buf_view(&s.attrs), SV("exception.message=my own\nn=1\nexception.type=shop::out_of_stock\nexception.stacktrace=#0 buy\n"));
    x = (weir_exception){0}; /* nothing is known of it: nothing is said */
    weir_logger_emit(lg, &r);
    CHECK_SV(buf_view(&s.attrs), SV("exception.message=my own\nn=1\n"));
    weir_provider_free(p);
    seen_done(&s);
}

/* A program built against an older header has a shorter record: what lies behind it is not read. */
TEST(a_shorter_record_has_no_exception)
{
    struct seen s;
    weir_provider *p = seen_provider(&s, NULL);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    weir_log_record r = weir_log_record_init();
    r.struct_size = offsetof(weir_log_record, exception);
    r.exception = (const weir_exception *)(uintptr_t)8;
    weir_logger_emit(lg, &r);
    CHECK_EQ(s.n, 1);
    CHECK_EQ(s.attrs.n, 0);
    weir_provider_free(p);
    seen_done(&s);
}

TEST(a_backtrace_is_whole_lines)
{
    char all[8192], some[8192];
    size_t n = weir_backtrace(all, sizeof all);
    CHECK(n > 0 && n == strlen(all) && all[n - 1] == '\n');
    CHECK(sv_starts(sv_of(all), SV("#0 0x")));
    CHECK(strstr(all, "api_test") != NULL); /* the program's own frames are among them */
    CHECK(strstr(all, "\n#1 0x") != NULL);
    for (size_t room = 1; room < 300; room++) {
        memset(some, 'x', sizeof some);
        size_t got = weir_backtrace(some, room);
        CHECK(got < room && some[got] == 0 && (got == 0 || some[got - 1] == '\n'));
        CHECK(some[room] == 'x');
    }
    CHECK_EQ(weir_backtrace(NULL, 0), 0);
}

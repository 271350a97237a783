/* json_out_test.c - text forms: strings, doubles, base64, hex. */
#include "base/json_out.h"
#include "base/test.h"
#include <locale.h>
#include <math.h>

static void check_string(sv in, sv want)
{
    SCOPED(buf_done) struct buf b = {0};
    json_put_string(&b, in);
    CHECK_SV(buf_view(&b), want);
}

TEST(strings_are_escaped)
{
    check_string(SV_NULL, SV("\"\""));
    check_string(SV("plain"), SV("\"plain\""));
    check_string(SV("a\"b\\c/d"), SV("\"a\\\"b\\\\c/d\""));
    check_string(SV("\b\f\n\r\t"), SV("\"\\b\\f\\n\\r\\t\""));
    check_string(SV("\x00\x1f\x7f"), SV("\"\\u0000\\u001f\\u007f\""));
    check_string(SV("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"), SV("\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\""));
}

TEST(invalid_utf8_is_replaced)
{
    check_string(SV("a\xff"), SV("\"a\xef\xbf\xbd\""));
    check_string(SV("\xc3"), SV("\"\xef\xbf\xbd\""));
    check_string(SV("\xed\xa0\x80x"), SV("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx\"")); /* a surrogate */
    check_string(SV("\xc0\xaf\n"), SV("\"\xef\xbf\xbd\xef\xbf\xbd\\n\""));             /* an overlong '/' */
}

static const struct {
    double v;
    const char *text;
} doubles[] = {
    {0, "0"}, {-0.0, "0"}, {1, "1"}, {-3, "-3"}, {0.1, "0.1"}, {1.5, "1.5"}, {-2.25, "-2.25"}, {100, "100"},
    {123456.789, "123456.789"}, {1e-6, "0.000001"}, {1e-7, "1e-7"}, {1.5e-7, "1.5e-7"}, {1e20, "100000000000000000000"},
    {1e21, "1e+21"}, {1.25e21, "1.25e+21"}, {123456789012345680.0, "123456789012345680"}, {0.3, "0.3"},
    {0.1 + 0.2, "0.30000000000000004"}, {1.0 / 3, "0.3333333333333333"}, {5e-324, "5e-324"},
    {1.7976931348623157e308, "1.7976931348623157e+308"}, {2.2250738585072014e-308, "2.2250738585072014e-308"},
    {0x1p-44, "5.684341886080802e-14"}, {9007199254740993.0, "9007199254740992"}, {1e23, "1e+23"},
    {4.35, "4.35"}, {1e15, "1000000000000000"}, {999999999999999.9, "999999999999999.9"},
};

TEST(doubles_are_shortest)
{
    char text[32];
    for (size_t i = 0; i < ARRAY_LEN(doubles); i++)
        CHECK_SV(sv_make(text, double_to_text(doubles[i].v, text)), sv_of(doubles[i].text));
    CHECK_SV(sv_make(text, double_to_text(NAN, text)), SV("NaN"));
    CHECK_SV(sv_make(text, double_to_text(INFINITY, text)), SV("Infinity"));
    CHECK_SV(sv_make(text, double_to_text(-INFINITY, text)), SV("-Infinity"));
    SCOPED(buf_done) struct buf b = {0};
    json_put_double(&b, NAN);
    json_put_double(&b, 0.5);
    CHECK_SV(buf_view(&b), SV("\"NaN\"0.5"));
}

TEST(random_doubles_read_back)
{
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = rand_u64();
        double v, back;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        char text[32];
        size_t n = double_to_text(v, text);
        REQUIRE(n < 32);
        REQUIRE(sv_to_double(sv_make(text, n), &back));
        if (back != v)
            test_fail(__FILE__, __LINE__, "%.17g came back from '%s'", v, text);
    }
}

TEST(doubles_ignore_the_locale)
{
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8"))
        SKIP("no de_DE.UTF-8 locale here");
    char text[32];
    CHECK_SV(sv_make(text, double_to_text(1234.5625, text)), SV("1234.5625"));
    setlocale(LC_NUMERIC, "C");
}

TEST(base64_both_ways)
{
    static const struct {
        sv raw, text;
    } rows[] = {{SV(""), SV("")},         {SV("f"), SV("Zg==")},         {SV("fo"), SV("Zm8=")},
                {SV("foo"), SV("Zm9v")},  {SV("foob"), SV("Zm9vYg==")},  {SV("fooba"), SV("Zm9vYmE=")},
                {SV("\xff\xef\xbe"), SV("/+++")}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        SCOPED(buf_done) struct buf text = {0}, raw = {0};
        base64_put(&text, rows[i].raw);
        CHECK_SV(buf_view(&text), rows[i].text);
        CHECK_OK(base64_get(rows[i].text, &raw, &e), &e);
        CHECK_SV(buf_view(&raw), rows[i].raw);
    }
}

TEST(base64_is_lenient_in_alphabet_and_padding_only)
{
    struct err e = {0};
    SCOPED(buf_done) struct buf raw = {0};
    CHECK_OK(base64_get(SV("_-__"), &raw, &e), &e);
    CHECK_OK(base64_get(SV("Zg"), &raw, &e), &e);
    CHECK_OK(base64_get(SV("Zm8"), &raw, &e), &e);
    CHECK_SV(buf_view(&raw), SV("\xff\xef\xff"
                                "ffo"));
    static const sv bad[] = {SV("Z"), SV("Zg="), SV("Zg==="), SV("Z===") , SV("===="), SV("Zm9v Zg"), SV("Zm9vZ"), SV("=Zm9")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        e = (struct err){0};
        CHECK(!base64_get(bad[i], &raw, &e));
        CHECK_ERR(&e, ERR_PARSE, "base64");
    }
    CHECK_EQ(raw.n, 6); /* a failure leaves what was there */
}

TEST(hex_both_ways)
{
    struct err e = {0};
    uint8_t raw[4] = {0};
    SCOPED(buf_done) struct buf text = {0};
    hex_put(&text, SV("\x00\x9f\xAB"));
    CHECK_SV(buf_view(&text), SV("009fab"));
    CHECK_OK(hex_get(SV("DEADbeef"), raw, 4, &e), &e);
    CHECK_SV(sv_make(raw, 4), SV("\xde\xad\xbe\xef"));
    CHECK(!hex_get(SV("DEADbee"), raw, 4, &e));
    CHECK_ERR(&e, ERR_PARSE, "not 8 hex digits");
    CHECK(!hex_get(SV("DEADbeeg"), raw, 4, &e));
    CHECK_EQ(e.pos, 7);
    CHECK_SV(sv_make(raw, 4), SV("\xde\xad\xbe\xef"));
}

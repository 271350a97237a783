/* json_test.c - the C face of simdjson. */
#include "base/json.h"
#include "base/buf.h"
#include "base/test.h"

static void json_parser_free_scoped(struct json_parser **p)
{
    json_parser_free(*p);
}

static struct json_parser *parser(size_t max_bytes, size_t max_depth)
{
    struct json_parser *p = NULL;
    struct err e = {0};
    CHECK_OK(json_parser_new(max_bytes, max_depth, &p, &e), &e);
    return p;
}

TEST(values_of_every_kind)
{
    SCOPED(json_parser_free) struct json_parser *p = parser(1 << 20, 64);
    struct err e = {0};
    struct json v, m;
    REQUIRE_OK(json_parse(p, SV(" {\"n\":null,\"t\":true,\"f\":false,\"i\":-5,\"u\":18446744073709551615,\"d\":1.5e3,"
                                "\"s\":\"a\\u00e9\\n\\u0000z\",\"a\":[1,[2],{\"x\":3}],\"o\":{},\"s\":2} "), &v, &e), &e);
    CHECK_EQ(json_kind(v), JSON_OBJECT);
    REQUIRE(json_get(v, SV("n"), &m));
    CHECK_EQ(json_kind(m), JSON_NULL);
    REQUIRE(json_get(v, SV("t"), &m) && json_kind(m) == JSON_BOOL);
    CHECK(json_bool(m));
    REQUIRE(json_get(v, SV("f"), &m) && json_kind(m) == JSON_BOOL);
    CHECK(!json_bool(m));
    REQUIRE(json_get(v, SV("i"), &m) && json_kind(m) == JSON_I64);
    CHECK_EQ(json_i64(m), -5);
    CHECK(json_double(m) == -5);
    REQUIRE(json_get(v, SV("u"), &m) && json_kind(m) == JSON_U64);
    CHECK(json_u64(m) == UINT64_MAX);
    CHECK(json_double(m) == 18446744073709551615.0);
    REQUIRE(json_get(v, SV("d"), &m) && json_kind(m) == JSON_DOUBLE);
    CHECK(json_double(m) == 1500);
    REQUIRE(json_get(v, SV("s"), &m) && json_kind(m) == JSON_STRING); /* the first of two */
    CHECK_SV(json_string(m), SV("a\xc3\xa9\n\0z"));
    REQUIRE(json_get(v, SV("o"), &m) && json_kind(m) == JSON_OBJECT);
    struct json_iter it = json_iter(m);
    CHECK(!json_next(&it));
    CHECK(!json_get(v, SV("absent"), &m));
    REQUIRE(json_get(v, SV("a"), &m) && json_kind(m) == JSON_ARRAY);
    CHECK(!json_get(m, SV("x"), &v)); /* not an object */
    it = json_iter(m);
    REQUIRE(json_next(&it) && json_kind(it.value) == JSON_I64);
    REQUIRE(json_next(&it) && json_kind(it.value) == JSON_ARRAY);
    REQUIRE(json_next(&it) && json_kind(it.value) == JSON_OBJECT);
    CHECK(!json_next(&it));
}

TEST(members_come_in_document_order)
{
    SCOPED(json_parser_free) struct json_parser *p = parser(1 << 20, 64);
    SCOPED(buf_done) struct buf names = {0};
    struct err e = {0};
    struct json v;
    REQUIRE_OK(json_parse(p, SV("{\"b\":{\"z\":[1,2]},\"a\":1.5,\"c\":[],\"d\":\"x\"}"), &v, &e), &e);
    for (struct json_iter it = json_iter(v); json_next(&it);)
        buf_sv(&names, it.key);
    CHECK_SV(buf_view(&names), SV("bacd"));
    REQUIRE_OK(json_parse(p, SV("5"), &v, &e), &e); /* a parser is reusable; a scalar is a document */
    CHECK_EQ(json_i64(v), 5);
}

TEST(bad_documents_are_refused)
{
    static const struct {
        sv text;
        const char *error;
    } rows[] = {
        {SV(""), "empty"}, {SV("  "), "empty"}, {SV("{"), "malformed"}, {SV("{\"a\":1,}"), "malformed"},
        {SV("[1 2]"), "malformed"}, {SV("{a:1}"), "malformed"}, {SV("\"a"), "not closed"}, {SV("\"\\q\""), "escape"},
        {SV("\"\n\""), "control character"}, {SV("\"\xff\""), "UTF-8"}, {SV("01"), "number"}, {SV("tru"), "word"},
        {SV("nul"), "word"}, {SV("fals"), "word"}, {SV("1e999"), "number"}, {SV("[1]x"), "malformed"},
        {SV("NaN"), "malformed"}, {SV("'a'"), "malformed"}, {SV("123456789012345678901"), "number"},
    };
    SCOPED(json_parser_free) struct json_parser *p = parser(1 << 20, 64);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        struct json v;
        if (json_parse(p, rows[i].text, &v, &e))
            test_fail(__FILE__, __LINE__, "'" SV_FMT "' was accepted", SV_ARG(rows[i].text));
        else
            CHECK_ERR(&e, ERR_PARSE, rows[i].error);
    }
}

TEST(size_and_depth_are_capped)
{
    SCOPED(json_parser_free) struct json_parser *p = parser(20, 3);
    struct err e = {0};
    struct json v;
    CHECK_OK(json_parse(p, SV("[[1]]"), &v, &e), &e);
    CHECK(!json_parse(p, SV("[[[[1]]]]"), &v, &e));
    CHECK_ERR(&e, ERR_LIMIT, "deeper than 3");
    CHECK(!json_parse(p, SV("[1,1,1,1,1,1,1,1,1,1,1]"), &v, &e));
    CHECK_ERR(&e, ERR_LIMIT, "more than 20");
    CHECK_OK(json_parse(p, SV("[[1]]"), &v, &e), &e);
    json_parser_free(NULL);
}

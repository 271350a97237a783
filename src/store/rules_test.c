#include "store/rules.h"
#include "base/test.h"

TEST(names_are_normalised)
{
    static const struct {
        const char *in, *want; /* NULL: an error */
    } rows[] = {
        {"service.name", "service_name"}, {"plain", "plain"},   {"a..b", "a_b"},      {"a__b", "a_b"},
        {"5xx", "key_5xx"},               {"_u", "_u"},         {"__x", "_x"},        {"__meta__", "__meta__"},
        {"größe", "gr_e"},                {"x-y/z", "x_y_z"},   {"trailing.", "trailing_"}, {"UPPER9", "UPPER9"},
        {"9", "key_9"},                   {"", NULL},           {"___", NULL},        {"...", NULL},
        {"é", NULL},                      {"____", NULL},       {"a", "a"},           {"__a-b__", "_a_b_"},
    };
    SCOPED(arena_done) struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        sv got = SV_NULL;
        bool ok = rules_name(sv_of(rows[i].in), &a, &got, &e);
        if (ok != (rows[i].want != NULL))
            test_fail(__FILE__, __LINE__, "'%s': %s", rows[i].in, ok ? "accepted" : e.msg);
        else if (ok)
            CHECK_SV(got, sv_of(rows[i].want));
        else
            CHECK_EQ(e.code, ERR_INVALID);
    }
}

TEST(index_attributes_are_the_eighteen)
{
    CHECK(rules_index_attribute(SV("service.name")));
    CHECK(rules_index_attribute(SV("k8s.job.name")));
    CHECK(!rules_index_attribute(SV("service_name")));
    CHECK(!rules_index_attribute(SV("host.name")));
}

TEST(service_name_is_found_in_list_order)
{
    struct label at[] = {{SV("k8s_container_name"), SV("c")}, {SV("container_name"), SV("b")}, {SV("app"), SV("")}};
    CHECK_SV(rules_service_name(at, 3), SV("b"));
    CHECK(!rules_service_name(at + 2, 1).p);
}

TEST(levels_of_labels_follow_the_list)
{
    struct label both[] = {{SV("severity_text"), SV("ERROR")}, {SV("level"), SV("Warning")}};
    CHECK_SV(rules_level_of_labels(both, 2), SV("warn"));
    struct label odd[] = {{SV("lvl"), SV("Notice")}};
    CHECK_SV(rules_level_of_labels(odd, 1), SV("Notice"));
    struct label none[] = {{SV("message"), SV("error")}};
    CHECK(!rules_level_of_labels(none, 1).p);
    struct label info[] = {{SV("SeverityText"), SV("Information")}};
    CHECK_SV(rules_level_of_labels(info, 1), SV("info"));
}

TEST(levels_of_severity_numbers)
{
    static const struct {
        int64_t n;
        const char *want;
    } rows[] = {{0, "unknown"}, {1, "trace"}, {4, "trace"}, {5, "debug"},    {9, "info"},     {12, "info"},
                {13, "warn"},   {17, "error"}, {20, "error"}, {21, "fatal"}, {24, "fatal"}, {25, "unknown"}, {-1, "unknown"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_SV(rules_level_of_number(rows[i].n), sv_of(rows[i].want));
}

TEST(levels_of_lines)
{
    static const struct {
        const char *line, *want;
    } rows[] = {
        {"", "unknown"},
        {"nothing here", "unknown"},
        /* plain words: the earliest, between borders */
        {"error: no info", "error"},
        {"INFO starting", "info"},
        {"2026-01-01 [WARN] slow", "warn"},
        {"terror strikes", "unknown"},
        {"errors happened", "unknown"},
        {"an info, then an error", "info"},
        {"panic (critical)", "critical"},
        {"WARNING!", "warn"},
        {"err: bad", "error"},
        {"x|debug|y", "debug"},
        {"infos and Trace", "trace"},
        /* logfmt: the name first in the list wins, whatever comes first in the line */
        {"ts=1 level=warn msg=\"error in x\"", "warn"},
        {"severity=error lvl=debug", "error"},
        {"lvl=debug Level=ERR", "error"},
        {"msg=\"a level=info b\" level=critical", "critical"},
        {"level=notice msg=error", "error"},
        {"a=b fatal c", "fatal"},
        {"level=\"warning\"", "warn"},
        {"level=", "unknown"},
        /* JSON: two levels deep, in document order */
        {"{\"level\":\"ERROR\",\"msg\":\"info\"}", "error"},
        {" {\"a\":{\"severity\":\"warn\"}} ", "warn"},
        {"{\"a\":{\"b\":{\"level\":\"wrn\"}}}", "unknown"},
        {"{\"tags\":[\"level\",\"x\"],\"lvl\":\"dbg\"}", "debug"},
        {"{\"levels\":[{\"level\":\"error\"}],\"level\":\"info\"}", "info"},
        {"{\"level\":3,\"msg\":\"no error here\"}", "error"},
        {"{\"msg\":\"say \\\"level\\\":\", \"level\":\"trace\"}", "trace"},
        {"{\"level\":\"notice\"}", "unknown"},
        {"{\"level\" : \"Wrn\"}", "warn"},
        {"{broken \"level\":\"error\"", "error"}, /* no JSON: a word */
        {"{\"level\":\"wrn}", "unknown"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        sv got = rules_level_of_line(sv_of(rows[i].line));
        if (!sv_eq(got, sv_of(rows[i].want)))
            test_fail(__FILE__, __LINE__, "'%s' is " SV_FMT ", not %s", rows[i].line, SV_ARG(got), rows[i].want);
    }
}

TEST(label_sets_are_read)
{
    static const struct {
        const char *in, *want; /* NULL: the error is `error` */
        const char *error;
    } rows[] = {
        {"{}", "{}", NULL},
        {"{a=\"b\"}", "{a=\"b\"}", NULL},
        {" { b = 'x' , a=`y\\n` , } ", "{a=\"y\\\\n\", b=\"x\"}", NULL},
        {"{a=\"q\\\"\\\\\\n\\t\\x41\\101\\u00e9\\U0001F600\"}", "{a=\"q\\\"\\\\\\n\\tAAé😀\"}", NULL},
        {"{a=\"\",b=\"1\"}", "{b=\"1\"}", NULL},
        {"{a-b=\"x\"}", NULL, "1:3: parse error: unexpected character inside braces: '-'"},
        {"{a=\"x\"", NULL, "unexpected end of input inside braces"},
        {"{a=x}", NULL, "unexpected character in label set, expected a quoted value: 'x'"},
        {"{a=\"x}", NULL, "unterminated quoted string"},
        {"{a=\"\\q\"}", NULL, "unknown escape sequence"},
        {"{a=\"\\ud800\"}", NULL, "invalid Unicode code point"},
        {"{a=\"\\400\"}", NULL, "octal escape value > 255"},
        {"{a=\"\\x4\"}", NULL, "invalid escape sequence"},
        {"{a=\"\\", NULL, "unterminated quoted string"},
        {"{a=\"b\"} x", NULL, "behind the label set: 'x'"},
        {"a=\"b\"", NULL, "before the label set: 'a'"},
        {"", NULL, "unexpected end of input"},
        {"{a=\"b\" c=\"d\"}", NULL, "unexpected character inside braces: 'c'"},
        {"{ü=\"b\"}", NULL, "unexpected character inside braces: 'ü'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(arena_done) struct arena a;
        arena_init(&a, 0);
        SCOPED(buf_done) struct buf b = {0};
        struct err e = {0};
        struct labels l;
        bool ok = labels_parse(sv_of(rows[i].in), &a, &l, &e);
        if (ok != (rows[i].want != NULL)) {
            test_fail(__FILE__, __LINE__, "'%s': %s", rows[i].in, ok ? "accepted" : e.msg);
        } else if (ok) {
            labels_text(l, &b);
            CHECK_SV(buf_view(&b), sv_of(rows[i].want));
        } else {
            CHECK_ERR(&e, ERR_PARSE, rows[i].error);
        }
    }
}

TEST(a_label_name_comes_once)
{
    SCOPED(arena_done) struct arena a;
    arena_init(&a, 0);
    struct err e = {0};
    struct labels l;
    CHECK(!labels_parse(SV("{a=\"1\",a=\"2\"}"), &a, &l, &e));
    CHECK_ERR(&e, ERR_INVALID, "has duplicate label name: 'a'");
}

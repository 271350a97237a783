/* regex_test.c - the C face of RE2: Go's syntax, Go's error texts, Go's replacement rules. */
#include "base/regex.h"
#include "base/test.h"

static struct regex *compiled(const char *pattern, unsigned flags)
{
    struct err e = {0};
    struct regex *re = NULL;
    CHECK_OK(regex_compile(sv_of(pattern), flags, &re, &e), &e);
    return re;
}

static bool matches(const char *pattern, unsigned flags, sv text)
{
    struct regex *re = compiled(pattern, flags);
    bool yes = re && regex_match(re, text);
    regex_free(re);
    return yes;
}

TEST(anchoring_case_and_newlines)
{
    CHECK(matches("b+", 0, SV("abbbc")));
    CHECK(!matches("b+", REGEX_FULL, SV("abbbc")));
    CHECK(matches("a|abc", REGEX_FULL, SV("abc"))); /* the whole text counts, not the first alternative */
    CHECK(!matches("ERROR", 0, SV("an error")));
    CHECK(matches("ERROR", REGEX_NOCASE, SV("an error")));
    CHECK(!matches("x.*", REGEX_FULL, SV("x\ny")));
    CHECK(matches("(?s)x.*", REGEX_FULL, SV("x\ny")));
    CHECK(matches("\\p{Greek}", 0, SV("\xce\xb1")));
    CHECK(matches("a\\x00b", REGEX_FULL, SV("a\0b")));
    CHECK(matches("", REGEX_FULL, SV_NULL));
}

TEST(errors_read_as_in_go)
{
    static const struct {
        const char *pattern, *text;
    } rows[] = {
        {"*", "error parsing regexp: missing argument to repetition operator: `*`"},
        {"a**", "error parsing regexp: invalid nested repetition operator: `**`"},
        {"a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"},
        {"(a", "error parsing regexp: missing closing ): `(a`"},
        {"a)", "error parsing regexp: unexpected ): `a)`"},
        {"[a", "error parsing regexp: missing closing ]: `[a`"},
        {"[z-a]", "error parsing regexp: invalid character class range: `z-a`"},
        {"[[:foo:]]", "error parsing regexp: invalid character class range: `[:foo:]`"},
        {"\\8", "error parsing regexp: invalid escape sequence: `\\8`"},
        {"a\\", "error parsing regexp: trailing backslash at end of expression: ``"},
        {"(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
        {"(?P<n", "error parsing regexp: invalid named capture: `(?P<n`"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        struct regex *re = NULL;
        CHECK(!regex_compile(sv_of(rows[i].pattern), 0, &re, &e));
        CHECK_EQ(e.code, ERR_PARSE);
        CHECK_STR(e.msg, rows[i].text);
        CHECK(re == NULL);
    }
}

TEST(a_huge_program_is_refused)
{
    struct err e = {0};
    struct regex *re = NULL;
    CHECK(!regex_compile(SV("((a{100}){100}){100}"), 0, &re, &e));
    CHECK(e.code == ERR_LIMIT || e.code == ERR_PARSE);
    char groups[3000];
    for (size_t i = 0; i < 1000; i++)
        memcpy(groups + 3 * i, "(a)", 3);
    CHECK(!regex_compile(sv_make(groups, sizeof groups), 0, &re, &e));
    CHECK_ERR(&e, ERR_LIMIT, "expression too large");
}

TEST(groups_and_their_names)
{
    struct regex *re = compiled("(?P<key>\\w+)=(x)?(.*)", 0);
    REQUIRE(re);
    CHECK_EQ(regex_groups(re), 3);
    CHECK_SV(regex_group_name(re, 1), SV("key"));
    CHECK(regex_group_name(re, 2).p == NULL);
    sv g[4];
    REQUIRE(regex_match_groups(re, SV("-- ab=cd"), g, 4));
    CHECK_SV(g[0], SV("ab=cd"));
    CHECK_SV(g[1], SV("ab"));
    CHECK(g[2].p == NULL);
    CHECK_SV(g[3], SV("cd"));
    CHECK(!regex_match_groups(re, SV("nothing"), g, 4));
    regex_free(re);
}

TEST(empty_text)
{
    struct regex *star = compiled(".*", REGEX_FULL), *plus = compiled(".+", REGEX_FULL);
    CHECK(regex_matches_empty(star));
    CHECK(!regex_matches_empty(plus));
    regex_free(star);
    regex_free(plus);
    regex_free(NULL);
}

TEST(replacing_follows_go)
{
    static const struct {
        const char *pattern, *text, *with, *want;
        bool literal;
    } rows[] = {
        {"a(x*)b", "-ab-axxb-", "$1", "--xx-", false},
        {"a(x*)b", "-ab-axxb-", "$1W", "---", false}, /* a group named 1W, which is none */
        {"a(x*)b", "-ab-axxb-", "${1}W", "-W-xxW-", false},
        {"a(x*)b", "-ab-axxb-", "$1", "-$1-$1-", true},
        {"a(?P<in>x*)b", "axxb", "<${in}$$>", "<xx$>", false},
        {"a", "banana", "${", "b${n${n${", false},
        {"x*", "abc", "-", "-a-b-c-", false}, /* empty matches between all runes */
        {"x*", "axb", "-", "-a-b-", false},   /* but none right behind a match */
        {"x*", "\xc3\xa4", "-", "-\xc3\xa4-", false},
        {"^a", "aaa", "b", "baa", false},
        {"", "", "x", "x", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct regex *re = compiled(rows[i].pattern, 0);
        SCOPED(buf_done) struct buf out = {0};
        regex_replace_all(re, sv_of(rows[i].text), sv_of(rows[i].with), rows[i].literal, &out);
        CHECK_SV(buf_view(&out), sv_of(rows[i].want));
        regex_free(re);
    }
}

static void check_literals(const char *pattern, unsigned flags, const char *want)
{
    struct regex *re = compiled(pattern, flags);
    sv lit[8];
    size_t n = regex_literals(re, lit, 8);
    SCOPED(buf_done) struct buf out = {0};
    for (size_t i = 0; i < n; i++)
        buf_fmt(&out, "<" SV_FMT ">", SV_ARG(lit[i]));
    CHECK_SV(buf_view(&out), sv_of(want));
    regex_free(re);
}

TEST(literals_of_plain_alternations)
{
    check_literals("a|bc|d\\.e", 0, "<a><bc><d.e>");
    check_literals("pre(x|y(1|2))", REGEX_FULL, "<prex><prey1><prey2>");
    check_literals("(?:a|)", REGEX_FULL, "<a><>");
    check_literals("error", 0, "<error>");
    check_literals("", 0, "<>");
    check_literals("a|b.c", 0, "");
    check_literals("ab*", 0, "");
    check_literals("(ab)+", 0, "");
    check_literals("(?i)ab", 0, "");
    check_literals("ab", REGEX_NOCASE, "");
    check_literals("^ab$", 0, "");
    check_literals("\\d", 0, "");
    check_literals("a{2}", 0, "");
    check_literals("1|2|3|4|5|6|7|8|9", 0, ""); /* more than asked for */
    check_literals("(0|1)(0|1)(0|1)(0|1)(0|1)(0|1)(0|1)(0|1)(0|1)", 0, "");
}

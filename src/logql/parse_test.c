/* parse_test.c - the whole grammar, the error texts people search for, and the round trip through the printer. */
#include "base/test.h"
#include "logql/ast.h"

static struct arena arena;

static struct logql_expr *parsed(sv text, struct err *e)
{
    struct logql_expr *x = NULL;
    arena_done(&arena);
    arena_init(&arena, 64 << 20);
    *e = (struct err){0};
    return logql_parse(text, &arena, &x, e) ? x : NULL;
}

static void check_error(const char *query, const char *want)
{
    struct err e;
    struct logql_expr *x = parsed(sv_of(query), &e);
    if (x) {
        test_fail(__FILE__, __LINE__, "%s is accepted", query);
        logql_free(x);
        return;
    }
    CHECK_EQ(e.code, ERR_PARSE);
    if (strcmp(e.msg, want))
        test_fail(__FILE__, __LINE__, "%s\n#   got  %s\n#   want %s", query, e.msg, want);
    arena_done(&arena);
}

TEST(syntax_errors_read_as_in_loki)
{
    static const char *const rows[][2] = {
        {"", "parse error : syntax error: unexpected $end"},
        {"{", "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }"},
        {"{a=\"b\"", "parse error at line 1, col 7: syntax error: unexpected $end, expecting } or ,"},
        {"foo", "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER"},
        {"{json=\"b\"}", "parse error at line 1, col 2: syntax error: unexpected json, expecting IDENTIFIER or }"},
        {"{A_b.c=\"x\"}", "parse error at line 1, col 5: syntax error: unexpected ., expecting = or =~ or !~ or !="},
        {"{a=\"b\"} |= foo",
         "parse error at line 1, col 12: syntax error: unexpected IDENTIFIER, expecting STRING or ip"},
        {"{a=\"b\"} |= 'x'",
         "parse error at line 1, col 12: syntax error: unexpected IDENTIFIER, expecting STRING or ip"},
        {"{a=\"b\"} |= 'xyz'", "parse error at line 1, col 12: invalid char literal"},
        {"{a=\"b\"} |= \"abc", "parse error at line 1, col 12: literal not terminated"},
        {"{a=\"\\q\"}", "parse error at line 1, col 4: invalid char escape"},
        {"{a=\"b\",}", "parse error at line 1, col 8: syntax error: unexpected }, expecting IDENTIFIER"},
        {"{a=\"b\"} | jsonx", "parse error at line 1, col 16: syntax error: unexpected $end"},
        {"{a=\"b\"} | unwrap x", "parse error at line 1, col 11: syntax error: unexpected unwrap"},
        {"{a=\"b\"} | x == \"a\"", "parse error at line 1, col 16: syntax error: unexpected STRING"},
        {"{a=\"b\"} | label_format x=y,",
         "parse error at line 1, col 28: syntax error: unexpected $end, expecting IDENTIFIER"},
        {"{a=\"b\"} | logfmt | x=\"a\", , y=\"b\"",
         "parse error at line 1, col 27: syntax error: unexpected ,, expecting IDENTIFIER or ("},
        {"rate({a=\"b\"}[5x])", "parse error at line 0, col 13: unknown unit \"x\" in duration \"5x\""},
        {"rate({a=\"b\"}[5m]", "parse error at line 1, col 17: syntax error: unexpected $end, expecting )"},
        {"rate({a=\"b\"} offset 1h [5m])", "parse error at line 1, col 14: syntax error: unexpected offset"},
        {"sum by(a)(rate({a=\"b\"}[5m])) by (b)", "parse error at line 1, col 30: syntax error: unexpected by"},
        {"topk(-1, rate({a=\"b\"}[1m]))", "parse error at line 1, col 8: syntax error: unexpected ,"},
        {"vector(-1)", "parse error at line 1, col 8: syntax error: unexpected -, expecting NUMBER"},
        {"{a=~\"*\"}", "parse error : error parsing regexp: missing argument to repetition operator: `*`"},
        {"0x10", "parse error : unable to parse literal as a float: strconv.ParseFloat: parsing \"0x10\": invalid syntax"},
        {"{a=\"b\"} | line_format \"{{.x}\"", "parse error : stage '| line_format \"{{.x}\"' : invalid line template: "
                                            "template: line:1: bad character U+007D '}'"},
        {"rate({a=\"b\"}[5m", "parse error at line 0, col 13: missing closing ']' in duration"},
        {"rate({a=\"b\"}[-5m])", "parse error at line 0, col 13: not a valid duration string: \"-5m\""},
        {"vector(1) and 1",
         "parse error : unexpected literal for right leg of logical/set binary operation (and): 1.000000"},
        {"{a=\"b\"}\n|= \"x\"\n| foo bar", "parse error at line 3, col 7: syntax error: unexpected IDENTIFIER"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_error(rows[i][0], rows[i][1]);
}

TEST(more_places_where_something_is_missing)
{
    static const char *const rows[][2] = {
        {"{a}", "parse error at line 1, col 3: syntax error: unexpected }, expecting = or =~ or !~ or !="},
        {"{a=b}", "parse error at line 1, col 4: syntax error: unexpected IDENTIFIER, expecting STRING"},
        {"{a=\"b\"} foo", "parse error at line 1, col 9: syntax error: unexpected IDENTIFIER"},
        {"{a=\"\xc3\xa4\"} foo", "parse error at line 1, col 9: syntax error: unexpected IDENTIFIER"},
        {"{a=\"b\"}[5m]", "parse error at line 0, col 8: syntax error: unexpected RANGE"},
        {"{a=\"b\"} --strict", "parse error at line 0, col 9: syntax error: unexpected FUNCTION_FLAG"},
        {"rate(5, )", "parse error at line 1, col 9: syntax error: unexpected ), expecting { or ("},
        {"rate()", "parse error at line 1, col 6: syntax error: unexpected ), expecting NUMBER or { or ("},
        {"rate((({a=\"b\"}))[5m])", "parse error at line 1, col 16: syntax error: unexpected ), expecting RANGE"},
        {"sum({a=\"b\"})", "parse error at line 1, col 12: syntax error: unexpected )"},
        {"sum by (a) rate({a=\"b\"}[5m])", "parse error at line 1, col 12: syntax error: unexpected rate, expecting ("},
        {"sum by (a b) (rate({a=\"b\"}[5m]))",
         "parse error at line 1, col 11: syntax error: unexpected IDENTIFIER, expecting , or )"},
        {"{a=\"b\"} | json x=", "parse error at line 1, col 18: syntax error: unexpected $end, expecting STRING"},
        {"{a=\"b\"} | label_format x",
         "parse error at line 1, col 25: syntax error: unexpected $end, expecting ="},
        {"{a=\"b\"} | label_format x=1",
         "parse error at line 1, col 26: syntax error: unexpected NUMBER, expecting IDENTIFIER or STRING"},
        {"{a=\"b\"} | line_format x", "parse error at line 1, col 23: syntax error: unexpected IDENTIFIER, expecting STRING"},
        {"rate({a=\"b\"} | unwrap x)", "parse error at line 1, col 24: syntax error: unexpected ), expecting RANGE or |"},
        {"rate({a=\"b\"}[5m] offset x)",
         "parse error at line 1, col 25: syntax error: unexpected IDENTIFIER, expecting DURATION"},
        {"{a=\"b\"} |= ip(1)", "parse error at line 1, col 15: syntax error: unexpected NUMBER, expecting STRING"},
        {"1 +", "parse error at line 1, col 4: syntax error: unexpected $end"},
        {"-", "parse error at line 1, col 2: syntax error: unexpected $end, expecting NUMBER"},
        {"({a=\"b\"}) |= \"x\"", "parse error at line 1, col 11: syntax error: unexpected |="},
        {"{a=\"b\xff\"}", "parse error at line 1, col 6: invalid UTF-8 rune"},
        {"rate({a=\"b\"}[])", "parse error at line 0, col 13: empty duration string"},
        {"rate({a=\"b\"}[1m1h])", "parse error at line 0, col 13: not a valid duration string: \"1m1h\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_error(rows[i][0], rows[i][1]);
}

TEST(what_is_checked_when_a_node_is_complete)
{
    static const char *const rows[][2] = {
        {"{}", "parse error : queries require at least one regexp or equality matcher that does not have an "
               "empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will"},
        {"{a=\"b\"} and {a=\"c\"}",
         "parse error : unexpected type for left leg of binary operation (and): *syntax.MatchersExpr"},
        {"vector(1) > {a=\"c\"} | json",
         "parse error : unexpected type for right leg of binary operation (>): *syntax.PipelineExpr"},
        {"1 or vector(1)",
         "parse error : unexpected literal for left leg of logical/set binary operation (or): 1.000000"},
        {"sum_over_time({a=\"b\"}[1m])", "parse error : invalid aggregation sum_over_time without unwrap"},
        {"count_over_time({a=\"b\"} | unwrap x [1m])", "parse error : invalid aggregation count_over_time with unwrap"},
        {"count_over_time({a=\"b\"}[1m]) by (x)", "parse error : grouping not allowed for count_over_time aggregation"},
        {"quantile_over_time({a=\"b\"} | unwrap x [1m])",
         "parse error : parameter required for operation quantile_over_time"},
        {"rate(0.5, {a=\"b\"}[1m])", "parse error : parameter 0.5 not supported for operation rate"},
        {"topk(rate({a=\"b\"}[1m]))", "parse error : parameter required for operation topk"},
        {"topk(1.5, rate({a=\"b\"}[1m]))", "parse error : invalid parameter topk(1.5,"},
        {"topk(0, rate({a=\"b\"}[1m]))", "parse error : invalid parameter (must be greater than 0) topk(0"},
        {"sort by (a) (vector(1))", "parse error : sort and sort_desc doesn't allow grouping by "},
        {"{a=\"b\"} | label_format x=y, x=z",
         "parse error : multiple label name 'x' not allowed in a single format operation"},
        {"{a=\"b\"} | label_format __error__=y", "parse error : __error__ cannot be formatted"},
        {"{a=\"b\"} | line_format \"{{nofunc .x}}\"",
         "parse error : stage '| line_format \"{{nofunc .x}}\"' : invalid line template: template: line:1: function "
         "\"nofunc\" not defined"},
        {"{a=\"b\"} | regexp \"x\"",
         "parse error : invalid regexp parser: at least one named capture must be supplied"},
        {"{a=\"b\"} | pattern \"<a><b>\"",
         "parse error : invalid pattern parser: found consecutive capture '<a><b>': invalid expression"},
        {"{a=\"b\"} | pattern \"x\"", "parse error : invalid pattern parser: at least one capture is required"},
        {"{a=\"b\"} |> \"<a>\"", "parse error : named captures are not allowed: found '<a>'"},
        {"{a=\"b\"} | x=ip(\"zz\")", "parse error : stage '| x=ip(\"zz\")' : ip: invalid pattern: \"zz\""},
        {"{a=\"b\"} |~ ip(\"10.0.0.1\")", "parse error : ip: invalid operation"},
        {"label_replace(vector(1), \"a\", \"b\", \"c\", \"*\")",
         "parse error : invalid regex in label_replace: error parsing regexp: missing argument to repetition operator: `*`"},
        {"1e400", "parse error : unable to parse literal as a float: strconv.ParseFloat: parsing \"1e400\": value out of range"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_error(rows[i][0], rows[i][1]);
}

TEST(template_errors_read_as_in_go)
{
    static const char *const rows[][2] = {
        {"{{.x", "unclosed action"},
        {"{{ .x }", "unrecognized character in action: U+007D '}'"},
        {"a{{", "missing value for command"},
        {"{{}}", "missing value for command"},
        {"{{.x |}}", "missing value for command"},
        {"{{end}}", "unexpected {{end}}"},
        {"{{else}}", "unexpected {{else}}"},
        {"\n{{if .x}}a", "unexpected EOF"},
        {"{{if}}a{{end}}", "missing value for command"},
        {"{{if .x}}a{{else}}b{{else}}c{{end}}", "unexpected {{else}}"},
        {"{{(.x}}", "unclosed left paren"},
        {"{{.x)}}", "unexpected right paren"},
        {"{{.x .y}}", "can't give argument to non-function \".x .y\""},
        {"{{lower}}", "wrong number of args for lower: want 1 got 0"},
        {"{{.x | lower .y}}", "wrong number of args for lower: want 1 got 2"},
        {"{{nope .x}}", "function \"nope\" not defined"},
        {"{{\"abc}}", "unterminated quoted string"},
        {"{{\"\\q\"}}", "invalid syntax"},
        {"{{/* a }}", "unclosed comment"},
        {"{{1x}}", "bad number syntax: \"1x\""},
        {"{{.x~}}", "bad character U+007E '~'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(buf_done) struct buf q = {0};
        struct err e;
        char want[160];
        buf_fmt(&q, "{a=\"b\"} | line_format `%s`", rows[i][0]);
        struct logql_expr *x = parsed(buf_view(&q), &e);
        snprintf(want, sizeof want, "invalid line template: template: line:%d: %s", rows[i][0][0] == '\n' ? 2 : 1, rows[i][1]);
        if (x)
            test_fail(__FILE__, __LINE__, "%s is accepted", rows[i][0]);
        else if (!sv_ends(sv_of(e.msg), sv_of(want)))
            test_fail(__FILE__, __LINE__, "%s\n#   got  %s\n#   want %s", rows[i][0], e.msg, want);
        logql_free(x);
    }
    arena_done(&arena);
}

/* query, canonical text (NULL: the query itself) */
static const char *const good[][2] = {
    {"{a=\"b\"}", NULL},
    {"{a!=\"\"}", NULL},
    {"{ a = \"b\" , c=~\"d.+\", e!~`\\d`, f!=\"g\" }", "{a=\"b\", c=~\"d.+\", e!~\"\\\\d\", f!=\"g\"}"},
    {"{rate=\"b\", sum=\"x\", ip=\"y\", bytes=\"z\"}", NULL},
    {"({a=\"b\"})", "{a=\"b\"}"},
    {"{a=\"b\"} # a comment\n |= \"x\"", "{a=\"b\"} |= \"x\""},
    {"{a=\"\\x41\\u00e9\\U0001F600\\101\\n\\t\\\\\\\"\"}", "{a=\"A\xc3\xa9\xf0\x9f\x98\x80\x41\\n\\t\\\\\\\"\"}"},
    {"{a=`multi\nline`}", "{a=\"multi\\nline\"}"},
    {"{a=\"b\"} |= \"x\" or \"y\" != \"z\" |~ \"r\" !~ \"s\" |> \"<_>p\" !> \"q<_>\"", NULL},
    {"{a=\"b\"} |= \"\" or \"x\"", "{a=\"b\"} |= \"x\""},
    {"{a=\"b\"} |= \"\"", NULL},
    {"{a=\"b\"} |= ip(\"10.0.0.0/8\") != ip(\"::1\") |= \"x\" or ip(\"1.1.1.1-1.1.1.9\")", NULL},
    {"{a=\"b\"} | json", NULL},
    {"{a=\"b\"} | json x, y=\"a.b[0]\", z=\"[\\\"k k\\\"]\"", "{a=\"b\"} | json x=\"x\",y=\"a.b[0]\",z=\"[\\\"k k\\\"]\""},
    {"{a=\"b\"} | LOGFMT --strict --keep-empty", "{a=\"b\"} | logfmt --strict --keep-empty"},
    {"{a=\"b\"} | logfmt x, y=\"z\"", "{a=\"b\"} | logfmt x=\"x\",y=\"z\""},
    {"{a=\"b\"} | unpack | decolorize", NULL},
    {"{a=\"b\"} | regexp \"(?P<m>\\\\w+)\" | pattern \"<ip> - <_> [<ts>]\"", NULL},
    {"{a=\"b\"} | line_format \"{{.x}} {{ .y | ToLower }}\" | label_format a=b,c=\"{{.d}}\"", NULL},
    {"{a=\"b\"} | drop x, y=\"z\", w=~\"v.*\" | keep q", "{a=\"b\"} | drop x,y=\"z\",w=~\"v.*\" | keep q"},
    {"{a=\"b\"} | x=\"1\" and y!=\"2\" or z=~\"3\"", "{a=\"b\"} | ( ( x=\"1\" and y!=\"2\" ) or z=~\"3\" )"},
    {"{a=\"b\"} | x=\"1\" , y=\"2\" or z=\"3\"", "{a=\"b\"} | ( x=\"1\" and ( y=\"2\" or z=\"3\" ) )"},
    {"{a=\"b\"} | x=\"1\" or y=\"2\" , z=\"3\"", "{a=\"b\"} | ( x=\"1\" or ( y=\"2\" and z=\"3\" ) )"},
    {"{a=\"b\"} | x=\"1\" or y=\"2\" , z=\"3\" or w=\"4\"",
     "{a=\"b\"} | ( x=\"1\" or ( y=\"2\" and ( z=\"3\" or w=\"4\" ) ) )"},
    {"{a=\"b\"} | x=\"1\" y=\"2\"", "{a=\"b\"} | ( x=\"1\" and y=\"2\" )"},
    {"{a=\"b\"} | (x=\"1\" or y=\"2\") and z=\"3\"", "{a=\"b\"} | ( ( x=\"1\" or y=\"2\" ) and z=\"3\" )"},
    {"{a=\"b\"} | x>1 | x>=1.5 | x<-2 | x<=+3 | x==4 | x!=5 | x=6",
     "{a=\"b\"} | x>1 | x>=1.5 | x<-2 | x<=+3 | x=4 | x!=5 | x=6"},
    {"{a=\"b\"} | d>1h30m | d<-5ms | d=1.5s | d>=5us | s<5MB | s>1KiB | s=0B", NULL},
    {"{a=\"b\"} | rate=\"5\" | bytes>5 | addr=ip(\"10.0.0.1\") | addr!=ip(\"::/0\")", NULL},
    {"rate({a=\"b\"}[5m])", NULL},
    {"RATE({a=\"b\"} [90s] OFFSET 1h |= \"x\")", "rate({a=\"b\"} |= \"x\"[1m30s] offset 1h0m0s)"},
    {"rate(({a=\"b\"} |= \"x\")[1d])", "rate({a=\"b\"} |= \"x\"[1d])"},
    {"rate((({a=\"b\"}[1w2d])))", "rate({a=\"b\"}[9d])"},
    {"rate(({a=\"b\"})[5m] | unwrap x)", "rate({a=\"b\"} | unwrap x[5m])"},
    {"rate({a=\"b\"}[5m] offset -1m)", "rate({a=\"b\"}[5m] offset -1m0s)"},
    {"count_over_time({a=\"b\"}[0s])", NULL},
    {"sum_over_time({a=\"b\"} | json | unwrap duration(x) | y>1 | __error__=\"\" [5m])",
     "sum_over_time({a=\"b\"} | json | unwrap duration(x) | y>1 | __error__=\"\"[5m])"},
    {"quantile_over_time(0.99, {a=\"b\"} | unwrap bytes(x) [5m]) by (c)",
     "quantile_over_time(0.99,{a=\"b\"} | unwrap bytes(x)[5m]) by (c)"},
    {"absent_over_time({a=\"b\"}[1m])", NULL},
    {"sum(rate({a=\"b\"}[1m])) by (x, y)", "sum by (x,y)(rate({a=\"b\"}[1m]))"},
    {"sum without () (rate({a=\"b\"}[1m]))", "sum without ()(rate({a=\"b\"}[1m]))"},
    {"topk(3, sum by (x) (rate({a=\"b\"}[1m])))", "topk(3,sum by (x)(rate({a=\"b\"}[1m])))"},
    {"bottomk by (x) (3, rate({a=\"b\"}[1m]))", "bottomk by (x)(3,rate({a=\"b\"}[1m]))"},
    {"sort_desc(approx_topk(3, vector(1)))", "sort_desc(approx_topk(3,vector(1)))"},
    {"sum(vector(1))", NULL},
    {"vector(1)+vector(1)", "(vector(1) + vector(1))"},
    {"1 + 2 * 3 ^ 2 ^ 1", "19"},
    {"-2^2", "4"},
    {"(1 > 2) + (2 >= 2)", "1"},
    {"1 / 0", "(0 / 0)"},
    {"-5 % 3", "-2"},
    {"vector(1) - 2 - 3", "((vector(1) - 2) - 3)"},
    {"vector(1) ^ 2 ^ vector(3)", "(vector(1) ^ (2 ^ vector(3)))"},
    {"vector(1) or vector(2) and vector(3) unless vector(4)",
     "(vector(1) or ((vector(2) and vector(3)) unless vector(4)))"},
    {"vector(1) > bool 2", "(vector(1) > bool 2)"},
    {"rate({a=\"b\"}[1m]) * on (x) group_left (y) rate({a=\"c\"}[1m])",
     "(rate({a=\"b\"}[1m]) * on (x) group_left (y) rate({a=\"c\"}[1m]))"},
    {"rate({a=\"b\"}[1m]) / ignoring (x) group_right () (rate({a=\"c\"}[1m]))",
     "(rate({a=\"b\"}[1m]) / ignoring (x) group_right () rate({a=\"c\"}[1m]))"},
    {"rate({a=\"b\"}[1m]) / on () group_left (rate({a=\"c\"}[1m]))",
     "(rate({a=\"b\"}[1m]) / on () group_left () rate({a=\"c\"}[1m]))"},
    {"label_replace(rate({a=\"b\"}[1m]), \"d\", \"$1\", \"s\", \"(.*)\")",
     "label_replace(rate({a=\"b\"}[1m]),\"d\",\"$1\",\"s\",\"(.*)\")"},
    {"sum(rate({a=\"b\"}[1m])) / 2 > 0.5", "((sum(rate({a=\"b\"}[1m])) / 2) > 0.5)"},
};

TEST(good_queries_print_and_parse_again)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct err e;
        const char *want = good[i][1] ? good[i][1] : good[i][0];
        SCOPED(buf_done) struct buf once = {0}, twice = {0};
        struct logql_expr *x = parsed(sv_of(good[i][0]), &e);
        if (!x) {
            test_fail(__FILE__, __LINE__, "%s: %s", good[i][0], e.msg);
            continue;
        }
        logql_print(x, &once);
        CHECK_SV(buf_view(&once), sv_of(want));
        logql_free(x);
        x = parsed(buf_view(&once), &e);
        if (!x) {
            test_fail(__FILE__, __LINE__, "printed " SV_FMT ": %s", SV_ARG(buf_view(&once)), e.msg);
            continue;
        }
        logql_print(x, &twice);
        CHECK_SV(buf_view(&twice), buf_view(&once));
        logql_free(x);
    }
    arena_done(&arena);
}

TEST(kinds_of_queries)
{
    struct err e;
    struct logql_expr *x = parsed(SV("{a=\"b\"} | json"), &e);
    CHECK(x && !logql_is_metric(x));
    logql_free(x);
    x = parsed(SV("1+1"), &e);
    CHECK(x && logql_is_metric(x));
    logql_free(x);
    logql_free(NULL);
    arena_done(&arena);
}

TEST(selectors_alone)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct matcher *m = NULL;
    size_t n = 0;
    struct err e = {0};
    CHECK_OK(logql_parse_selector(SV("{a=\"b\", c=~\"d|e\"}"), false, &a, &m, &n, &e), &e);
    CHECK_EQ(n, 2);
    CHECK(matcher_accepts(&m[1], SV("e")) && !matcher_accepts(&m[1], SV("ee")));
    logql_free_matchers(m, n);
    CHECK(!logql_parse_selector(SV("{a=\"b\"} |= \"x\""), false, &a, &m, &n, &e));
    CHECK_ERR(&e, ERR_INVALID, "only label matchers are supported");
    CHECK(!logql_parse_selector(SV("{a=~\".*\"}"), false, &a, &m, &n, &e));
    CHECK_ERR(&e, ERR_PARSE, "queries require at least one");
    CHECK_OK(logql_parse_selector(SV("{a=~\".*\"}"), true, &a, &m, &n, &e), &e);
    logql_free_matchers(m, n);
    CHECK_OK(logql_parse_selector(SV("{}"), true, &a, &m, &n, &e), &e);
    CHECK_EQ(n, 0);
    CHECK(!logql_parse_selector(SV("rate({a=\"b\"}[5m])"), true, &a, &m, &n, &e));
    CHECK_ERR(&e, ERR_PARSE, "parse error at line 1, col 1: syntax error: unexpected rate");
    CHECK(!logql_parse_selector(SV("{a=\"b\"} x"), true, &a, &m, &n, NULL));
    arena_done(&a);
}

static void repeat(struct buf *b, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_sv(b, sv_of(text));
}

static void check_refused(struct buf *query, const char *part)
{
    struct err e;
    struct logql_expr *x = parsed(buf_view(query), &e);
    CHECK(!x);
    CHECK_ERR(&e, ERR_PARSE, part);
    logql_free(x);
    buf_done(query);
    arena_done(&arena);
}

TEST(size_and_depth_are_capped)
{
    struct buf q = {0};
    repeat(&q, " ", 131072);
    check_refused(&q, "parse error : input size too long (131072 > 131072)");
    repeat(&q, "(", 100000);
    check_refused(&q, "nested more than 100 levels deep");
    repeat(&q, "vector(1)+", 10000);
    buf_sv(&q, SV("vector(1)"));
    check_refused(&q, "nested more than 100 levels deep");
    repeat(&q, "vector(1)^", 10000);
    check_refused(&q, "nested more than 100 levels deep");
    buf_sv(&q, SV("{a=\"b\"} | "));
    repeat(&q, "(", 10000);
    check_refused(&q, "nested more than 100 levels deep");
    buf_sv(&q, SV("{a=\"b\"} | "));
    repeat(&q, "x>1,", 10000);
    check_refused(&q, "nested more than 100 levels deep");
    buf_sv(&q, SV("{"));
    repeat(&q, "a=\"b\",", 1500);
    check_refused(&q, "max streams matchers per query exceeded, matchers-count > limit (1001 > 1000)");
    buf_sv(&q, SV("{a=\"b\"}"));
    repeat(&q, "|json", 1001);
    check_refused(&q, "more than 1000 stages");
    buf_sv(&q, SV("{a=\"b\"} | line_format `{{"));
    repeat(&q, "(", 1000);
    buf_sv(&q, SV("}}`"));
    check_refused(&q, "nested too deeply");
}

TEST(long_chains_of_label_filters_are_flat)
{
    struct buf q = {0};
    struct err e;
    buf_sv(&q, SV("{a=\"b\"} | x=\"1\""));
    repeat(&q, " or x=\"1\"", 5000);
    struct logql_expr *x = parsed(buf_view(&q), &e);
    CHECK(x && x->log.stages[0].filter->n == 5001 && x->log.stages[0].filter->depth == 2);
    logql_free(x);
    buf_done(&q);
    arena_done(&arena);
}

TEST(no_memory_is_an_error)
{
    for (size_t max = 16; max < 4096; max += 16) {
        struct arena a;
        struct err e = {0};
        struct logql_expr *x = NULL;
        arena_init(&a, max);
        if (logql_parse(SV("sum by (a) (rate({a=~\"b\"} |~ \"x\" | json x=\"y\" | y>1 or z=\"2\" | line_format \"{{.x}}\"[5m])) + 1"),
                        &a, &x, &e))
            logql_free(x);
        else
            CHECK_EQ(e.code, ERR_LIMIT);
        arena_done(&a);
    }
}

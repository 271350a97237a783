/* run_test.c - queries over fixed rows: every stage, every function, limits and cancellation. */
#include "base/test.h"
#include "logql/rows_for_test.h"
#include <time.h>

#define S 1000000000ll

/* What a query gives over the rows; NULL in `want` when it must fail, then with `error`. */
static void check_run(const struct test_row *at, size_t n, const char *query, const struct logql_params *p, int line,
                      const char *want, const char *error)
{
    struct test_rows rows = {.at = at, .n = n};
    struct row_source source = test_rows_source(&rows);
    struct arena a;
    struct logql_expr *x = NULL;
    struct logql_result res;
    struct err e = {0};
    SCOPED(buf_done) struct buf text = {0};
    arena_init(&a, 0);
    if (!logql_parse(sv_of(query), &a, &x, &e)) {
        test_fail(__FILE__, line, "%s: %s", query, e.msg);
    } else if (logql_run_rows(&source, x, p, &a, &res, &e)) {
        test_result_text(&res, &text);
        if (!want)
            test_fail(__FILE__, line, "%s: no error", query);
        else if (!sv_eq(buf_view(&text), sv_of(want)))
            test_fail(__FILE__, line, "%s\n# got\n" SV_FMT "# want\n%s", query, SV_ARG(buf_view(&text)), want);
    } else if (want || strcmp(e.msg, error)) {
        test_fail(__FILE__, line, "%s: error %s\n# want %s", query, e.msg, error ? error : want);
    }
    logql_free(x);
    arena_done(&a);
}

/* ---- log queries ---- */

static const struct test_row lines[] = {
    {"app=web", 1 * S, "GET /a 200 12ms", "trace=t1"},
    {"app=web", 2 * S, "GET /b 500 1.5s", "trace=t2"},
    {"app=db,env=p", 3 * S, "slow query 2KB", NULL},
    {"app=web", 4 * S, "GET /b 500 1.5s", NULL},
    {"app=web", 4 * S, "GET /b 500 1.5s", NULL},
};

static void check_lines(const char *query, int line, const char *want)
{
    struct logql_params p = {.start_ns = 0, .end_ns = 100 * S, .step_ns = S};
    check_run(lines, ARRAY_LEN(lines), query, &p, line, want, NULL);
}
#define LINES(query, want) check_lines(query, __LINE__, want)

#define WEB1 " 1 GET /a 200 12ms{trace=\"t1\"}\n"
#define WEB2 " 2 GET /b 500 1.5s{trace=\"t2\"}\n"
#define WEB4 " 4 GET /b 500 1.5s\n"
#define WEB "{app=\"web\"}\n"
#define DB "{app=\"db\", env=\"p\"}\n 3 slow query 2KB\n"

TEST(selectors_and_line_filters)
{
    LINES("{app=~\".+\"}", DB WEB WEB1 WEB2 WEB4); /* equal entries are shown once */
    LINES("{app=\"db\"}", DB);
    LINES("{app=~\".+\", env=\"\"}", WEB WEB1 WEB2 WEB4);
    LINES("{app=\"web\"} |= \"500\" != \"zzz\"", WEB WEB2 WEB4);
    LINES("{app=~\".+\"} |= \"200\" or \"slow\"", DB WEB WEB1);
    LINES("{app=~\".+\"} != \"200\" or \"slow\"", WEB WEB2 WEB4);
    LINES("{app=\"web\"} |~ \"/[ac] \"", WEB WEB1);
    LINES("{app=~\".+\"} !~ \"GET\"", DB);
    LINES("{app=~\".+\"} |~ \"slow|/a\" !~ \"zz|12(m|x)s\"", DB); /* plain texts in regexes */
    LINES("{app=\"web\"} |~ \"(?i)get /A\"", WEB WEB1);
    LINES("{app=\"web\"} |= \"\"", WEB WEB1 WEB2 WEB4);
    LINES("{app=\"web\"} != \"\"", "");
    LINES("{app=\"web\"} |~ \"\" !~ \"\"", "");
    LINES("{app=\"none\"}", "");
}

static const struct test_row patterns[] = {
    {"a=b", 1 * S, "x abc y", NULL}, {"a=b", 2 * S, "x abc", NULL}, {"a=b", 3 * S, "abc", NULL},
    {"a=b", 4 * S, "abc x abc", NULL}, {"a=b", 5 * S, "", NULL}, {"a=b", 6 * S, "to 10.1.2.3.", NULL},
};

TEST(pattern_and_address_filters)
{
    struct logql_params p = {.end_ns = 100 * S, .step_ns = S};
#define PATTERN(query, want) check_run(patterns, ARRAY_LEN(patterns), query, &p, __LINE__, want, NULL)
    PATTERN("{a=\"b\"} |> \"abc\"", "{a=\"b\"}\n 2 x abc\n 3 abc\n");
    PATTERN("{a=\"b\"} |> \"abc<_>\"", "{a=\"b\"}\n 1 x abc y\n 4 abc x abc\n");
    PATTERN("{a=\"b\"} |> \"<_>abc\"", "{a=\"b\"}\n 2 x abc\n");
    PATTERN("{a=\"b\"} |> \"\"", "{a=\"b\"}\n 5 \n");
    PATTERN("{a=\"b\"} !> \"<_>\"", "{a=\"b\"}\n 5 \n");
    PATTERN("{a=\"b\"} |= ip(\"10.0.0.0/8\")", "{a=\"b\"}\n 6 to 10.1.2.3.\n");
    PATTERN("{a=\"b\"} |= ip(\"10.1.2.4-10.1.3.0\")", "");
    PATTERN("{a=\"b\"} |~ \"y|to\" != ip(\"10.1.2.3\")", "{a=\"b\"}\n 1 x abc y\n");
}

static void check_one(const char *row, const char *metadata, const char *stages, int line, const char *want)
{
    struct test_row one = {"app=a,env=p", S, row, metadata};
    struct logql_params p = {.end_ns = 100 * S, .step_ns = S};
    char query[600];
    snprintf(query, sizeof query, "{app=\"a\"} %s", stages);
    check_run(&one, 1, query, &p, line, want, NULL);
}
/* the line, its labels by category and the stages; what comes out behind the stream's line */
#define ONE(row, metadata, stages, want) check_one(row, metadata, stages, __LINE__, want)
#define A "{app=\"a\", env=\"p\"}\n 1 "

TEST(json)
{
    ONE("{\"x\":1,\"s\":\"v\"}", NULL, "| json", A "{\"x\":1,\"s\":\"v\"} + {s=\"v\", x=\"1\"}\n");
    ONE("{\"a\":{\"b-c\":{\"d\":true}},\"l\":[1,{\"q\":2}],\"n\":null,\"e\":\"\"}", NULL, "| json | line_format \"\"",
        A " + {a_b_c_d=\"true\", e=\"\"}\n");
    ONE("{\"app\":\"x\",\"m\":\"y\",\"1st\":\"z\", \" k k \":-1.5e3}", "m=meta", "| json | line_format \"\"",
        A "{m=\"meta\"} + {_1st=\"z\", app_extracted=\"x\", k_k=\"-1.5e3\", m_extracted=\"y\"}\n");
    ONE("{\"k\":\"first\",\"k\":\"second\"}", NULL, "| json | line_format \"\"", A " + {k=\"first\"}\n");
    ONE("{\"k\":\"a\\u00e9\\n\\ud83d\\ude00\\/\"} trailing", NULL, "| json | line_format \"\"",
        A " + {k=\"a\xc3\xa9\\n\xf0\x9f\x98\x80/\"}\n");
    ONE("{\"k\":\"a\xff\"}", NULL, "| json | line_format \"\"", A " + {k=\"a \"}\n");
#define BROKEN "__error__=\"JSONParserErr\", __error_details__=\"Value looks like object, but can't find closing '}' symbol\""
    ONE("plain", NULL, "| json", A "plain + {" BROKEN "}\n");
    ONE("{\"k\":\"v\",\"x\":", NULL, "| json | line_format \"\"", A " + {" BROKEN ", k=\"v\"}\n");
    ONE("{\"k\":tru}", NULL, "| json | __error__!=\"\" | line_format \"\"", A " + {" BROKEN "}\n");
    ONE("{\"a\":{\"a\":{\"b\":1}}", NULL, "| json | line_format \"\"", A " + {" BROKEN ", a_a_b=\"1\"}\n");
    ONE("{}", NULL, "| json", A "{}\n");
}

TEST(json_expressions_and_unpack)
{
    ONE("{\"x\":{\"y\":[1,{\"z\":\"q\"}]},\"k k\":\"v\"}", NULL,
        "| json a=\"x.y[1].z\", b=\"[\\\"k k\\\"]\", c=\"x.y\", d=\"nope\", e=\"x.y[7]\" | line_format \"\"",
        A " + {a=\"q\", b=\"v\", c=\"[1,{\\\"z\\\":\\\"q\\\"}]\", d=\"\", e=\"\"}\n");
    ONE("{\"app\":\"x\",\"y\":", NULL, "| json app, y | line_format \"\"", A " + {app_extracted=\"x\", y=\"\"}\n");
    ONE("plain", NULL, "| json a=\"x\"", A "plain + {__error__=\"JSONParserErr\"}\n");
    ONE("{\"_entry\":\"the line\",\"x\":\"y\",\"n\":1,\"o\":{}}", NULL, "| unpack", A "the line + {x=\"y\"}\n");
    ONE("{\"x\":\"y\"}", NULL, "| unpack", A "{\"x\":\"y\"}\n");
    ONE("plain", NULL, "| unpack | line_format \"\"",
        A " + {__error__=\"JSONParserErr\", __error_details__=\"expecting json object(6), but it is not\"}\n");
}

TEST(logfmt)
{
    ONE("a=1 b=\"x \\\"y\\\" z\" c d= app=q", NULL, "| logfmt | line_format \"\"",
        A " + {a=\"1\", app_extracted=\"q\", b=\"x \\\"y\\\" z\"}\n");
    ONE("a=1 c d=", NULL, "| logfmt --keep-empty | line_format \"\"", A " + {a=\"1\", c=\"\", d=\"\"}\n");
    ONE("a=1 =x b\"c=2 d=3=4 e=5", NULL, "| logfmt | line_format \"\"", A " + {a=\"1\", e=\"5\"}\n");
    ONE("a=1 b=2\" c=3", NULL, "| logfmt --strict | line_format \"\"",
        A " + {__error__=\"LogfmtParserErr\", __error_details__=\"logfmt syntax error at pos 8 : unexpected '\\\"'\", "
          "a=\"1\"}\n");
    ONE("a=1 a=2 x.y=3", NULL, "| logfmt | line_format \"\"", A " + {a=\"1\", x_y=\"3\"}\n");
    ONE("a=1 b=2", NULL, "| logfmt x=\"b\", c | line_format \"\"", A " + {c=\"\", x=\"2\"}\n");
    ONE("a=\"open", NULL, "| logfmt | line_format \"\"", A "\n");
}

TEST(regexp_and_pattern_parsers)
{
    ONE("GET /x 200", NULL, "| regexp \"(?P<method>\\\\w+) (?P<path>\\\\S+)\" | line_format \"\"",
        A " + {method=\"GET\", path=\"/x\"}\n");
    ONE("GET", NULL, "| regexp \"(?P<n>\\\\d+)\"", A "GET\n");
    ONE("1.2.3.4 - bob [now] rest", NULL, "| pattern \"<ip> - <_> [<ts>] <r>\" | line_format \"\"",
        A " + {ip=\"1.2.3.4\", r=\"rest\", ts=\"now\"}\n");
    ONE("a b", NULL, "| pattern \"<x>|<y>\" | line_format \"\"", A " + {x=\"a b\"}\n");
    ONE("a b", NULL, "| pattern \"z <x>\"", A "a b\n");
    ONE("x=1", NULL, "| logfmt | regexp \"(?P<x>.*)\" | line_format \"\"", A " + {x=\"1\"}\n"); /* the earlier one stays */
}

TEST(label_filters)
{
    static const char row[] = "n=5 d=150ms s=2KB w=word";
#define PASSES(filter) ONE(row, "m=meta", "| logfmt | " filter " | line_format \"\" | drop n,d,s,w,m", A "\n")
#define FAILS(filter) ONE(row, "m=meta", "| logfmt | " filter, "")
#define KEPT_WITH_ERROR(filter, details)                                                                          \
    ONE(row, NULL, "| logfmt | " filter " | line_format \"\" | drop n,d,s,w",                                      \
        A " + {__error__=\"LabelFilterErr\", __error_details__=\"" details "\"}\n")
    PASSES("n=5");
    PASSES("n==5.0 and n>=5 and n<6 and n!=4");
    FAILS("n>5");
    PASSES("d>100ms , d<=0.15s");
    FAILS("d>1s");
    PASSES("s>1KB s<3KB");
    FAILS("s<1KB");
    PASSES("w=\"word\" and w!=\"x\" and w=~\"w.*\" and w!~\"w\" and app=\"a\" and m=\"meta\"");
    FAILS("w=~\"wo\""); /* anchored */
    PASSES("none=\"\" and none!=\"x\"");
    FAILS("none!=5"); /* a missing label is false */
    FAILS("none=5 or none<1s or none>1B");
    PASSES("n>9 or d>1ms");
    PASSES("n>1 , n>9 or d>1ms");       /* n>1 and (n>9 or d>1ms) */
    FAILS("n>9 or d>1ms , n>9");        /* n>9 or (d>1ms and n>9) */
    PASSES("n>1 or d>1ms , n>9");
    KEPT_WITH_ERROR("w>5", "strconv.ParseFloat: parsing \\\"word\\\": invalid syntax");
    KEPT_WITH_ERROR("d>5", "strconv.ParseFloat: parsing \\\"150ms\\\": invalid syntax");
    KEPT_WITH_ERROR("w>5ms", "time: invalid duration \\\"word\\\"");
    FAILS("w>5 | __error__=\"\"");
    ONE("a=10.1.2.3 b=::1", NULL, "| logfmt | a=ip(\"10.0.0.0/8\") and b=ip(\"::1\") and a!=ip(\"10.1.2.4\") | line_format \"\"",
        A " + {a=\"10.1.2.3\", b=\"::1\"}\n");
    ONE("a=10.1.2.3", NULL, "| logfmt | a=ip(\"11.0.0.0/8\")", "");
}

TEST(line_format)
{
    setenv("TZ", "UTC0", 1); /* for date */
    tzset();
#define FORMAT(tmpl, want) ONE("x=1 y=Word z=\" pad \"", "m=meta", "| logfmt | line_format `" tmpl "` | drop x,y,z,m", A want "\n")
    FORMAT("plain", "plain");
    FORMAT("{{.x}}-{{ .y }}-{{.none}}-{{.app}}-{{.m}}", "1-Word--a-meta");
    FORMAT("{{__line__ | len}}", "20");
    FORMAT("{{ .y | lower }} {{ .y | ToUpper }} {{upper \"\xc3\xa4\"}}", "word WORD \xc3\x84");
    FORMAT("[{{trim .z}}][{{TrimLeft .z \" \"}}][{{trimAll \"Wd\" .y}}]", "[pad][pad ][or]");
    FORMAT("{{TrimPrefix .y \"Wo\"}} {{trimSuffix \"rd\" .y}}", "rd Wo");
    FORMAT("{{replace \"o\" \"0\" .y}} {{Replace \"aaa\" \"a\" \"b\" 2}} {{Replace \"ab\" \"\" \"-\" -1}}", "W0rd bba -a-b-");
    FORMAT("{{substr 1 3 .y}} {{trunc 2 .y}} {{trunc -2 .y}} {{substr 1 -1 .y}} {{trunc 9 .y}}", "or Wo rd ord Word");
    FORMAT("{{repeat 3 \"ab\"}}{{indent 2 \"a\\nb\"}}", "ababab  a\n  b");
    FORMAT("[{{alignLeft 6 .y}}][{{alignRight 6 .y}}][{{alignLeft 2 .y}}][{{alignRight 2 .y}}]", "[Word  ][  Word][Wo][rd]");
    FORMAT("{{regexReplaceAll \"(o)(r)\" .y \"$2${1}\"}} {{regexReplaceAllLiteral \"o\" .y \"$1\"}} {{count \"[a-z]\" .y}}",
           "Wrod W$1rd 3");
    FORMAT("{{urlencode \"a b&c\"}} {{urldecode \"a+b%26\"}} {{b64enc .y}}", "a+b%26c a b& V29yZA==");
    FORMAT("{{add .x 2 3}} {{sub 1 .x}} {{mul 2 3 4}} {{div 7 2}} {{mod -7 3}} {{max 1 5 2}} {{min 3 1}}", "6 0 24 3 -1 5 1");
    FORMAT("{{int \"12.7\"}} {{int \"010\"}} {{int \"08\"}} {{int \"0x10\"}} {{float64 \"1e3\"}} {{int 2.9}}", "0 8 0 16 1000 2");
    FORMAT("{{addf 0.1 0.2}} {{subf 1 0.9}} {{mulf .x 1.1 3}} {{divf 1 3}} {{divf 12345.678 1000}} {{addf 1e22 1}}",
           "0.3 0.1 3.3 0.3333333333333333 12.345678 1e+22");
    FORMAT("{{divf 2 3}} {{divf -2 3}} {{maxf 1.5 2 0.1}} {{minf 1.5 2}}", "0.6666666666666667 -0.6666666666666667 2 1.5");
    FORMAT("{{round -1.5 0}} {{round 2.345 2}} {{round 1234 -2}} {{round 0.5 0}} {{round 1.49 0}} {{round 7 300}}", "-2 2.35 1200 1 1 7");
    FORMAT("{{printf \"%.2f\" (divf 1500 1000)}}", "1.50");
    FORMAT("{{ceil 1.2}} {{floor \"1.8\"}} {{bytes \"2KB\"}} {{duration \"1m30s\"}}", "2 1 2000 90");
    FORMAT("{{if eq .x \"1\"}}one{{else}}other{{end}} {{if contains \"x\" .y}}a{{else if hasPrefix \"Wo\" .y}}b{{end}}", "one b");
    FORMAT("{{if and .x (not .none)}}yes{{end}}{{if or .none (ne .x \"1\")}}no{{end}}", "yes");
    FORMAT("{{default \"d\" .none}} {{default \"d\" .x}}", "d 1");
    FORMAT("{{title \"hello wide_world x-y \\u00e4\"}}", "Hello Wide_world X-Y \xc3\x84");
    FORMAT("{{print .x .y 1 2 \"s\" true}}|{{print}}", "1Word1 2s" "true|");
    FORMAT("{{printf \"[%s][%6s][%-6s][%.2s][%v]\" .x .y .y .y 1.5}}", "[1][  Word][Word  ][Wo][1.5]");
    FORMAT("{{printf \"%d %5d %-5d| %05d %+d %f %.1f %t 100%%\" 1 2 3 -4 5 1.5 2.25 true}}", "1     2 3    | -0004 +5 1.500000 2.2 true 100%");
    FORMAT("{{printf \"%d %s\" .x}} {{printf \"x\" 1 \"a\"}}", "%!d(string=1) %!s(MISSING) x%!(EXTRA int=1, string=a)");
    FORMAT("{{.y | printf \"<%s>\"}}", "<Word>");
    FORMAT("{{__timestamp__}}", "1970-01-01 00:00:01 +0000 UTC");
    FORMAT("{{__timestamp__ | unixEpoch}} {{unixEpochMillis __timestamp__}} {{unixEpochNanos __timestamp__}}", "1 1000 1000000000");
    FORMAT("{{unixToTime \"1700000000123\"}}", "2023-11-14 22:13:20.123 +0000 UTC");
    FORMAT("{{unixToTime \"1700000000\" | date \"Monday Mon January Jan 2 _2 02 002 15:04:05.000 3:4:5PM pm 06 Z07:00 -0700 MST Janet 1\"}}",
           "Tuesday Tue November Nov 14 14 14 318 22:13:20.000 10:13:20PM pm 23 Z +0000 UTC Janet 11");
    FORMAT("a {{- .x -}} b{{/* comment */}}c{{- /* trims */ -}} d", "a1bcd");
}

TEST(line_format_errors)
{
    ONE("x=1", NULL, "| logfmt | line_format `{{substr 3 1 .app}}` | drop x",
        A "x=1 + {__error__=\"TemplateFormatErr\", __error_details__=\"template: line:1:2: executing \\\"line\\\" at <substr 3 1 "
          ".app>: error calling substr: runtime error: slice bounds out of range [3:1]\"}\n");
    ONE("x=1", NULL, "| logfmt | line_format `{{div 1 0}}` | keep app, env",
        A "x=1 + {__error__=\"TemplateFormatErr\", __error_details__=\"template: line:1:2: executing \\\"line\\\" at <div 1 0>: "
          "error calling div: runtime error: integer divide by zero\"}\n");
    ONE("x=1", NULL, "| line_format `{{lower .app}}\n  {{upper (substr 3 1 .app)}}` | drop __error__",
        A "x=1 + {__error_details__=\"template: line:2:11: executing \\\"line\\\" at <substr 3 1 .app>: error calling substr: "
          "runtime error: slice bounds out of range [3:1]\"}\n");
    ONE("x=1", NULL, "| logfmt | line_format `{{if eq .x 1}}a{{end}}` | __error__=\"TemplateFormatErr\" | drop __error__, "
                     "__error_details__, x",
        A "x=1\n");
}

TEST(decimals_do_not_guess)
{
#define FORMAT_FAILS(tmpl, details)                                                                                \
    ONE("x", NULL, "| line_format `" tmpl "`",                                                                     \
        A "x + {__error__=\"TemplateFormatErr\", __error_details__=\"template: line:1:2: executing \\\"line\\\" at <" details "\"}\n")
    FORMAT_FAILS("{{divf 1 0}}", "divf 1 0>: error calling divf: decimal division by 0");
    FORMAT_FAILS("{{addf 1e30 1e-30}}", "addf 1e30 1e-30>: error calling addf: a decimal with more than 38 digits");
    FORMAT_FAILS("{{mulf 1.23456789012345 1.23456789012345 1.23456789012345}}",
                 "mulf 1.23456789012345 1.23456789012345 1.23456789012345>: error calling mulf: a decimal with more than 38 digits");
}

TEST(what_templates_cannot_do_is_refused_by_name)
{
    struct logql_params p = {.end_ns = 100 * S, .step_ns = S};
#define REFUSED(query, error) check_run(lines, 1, query, &p, __LINE__, NULL, error)
    REFUSED("{app=\"web\"} | line_format `{{printf \"%x\" .x}}`",
            "not supported yet: this printf format in the template of | line_format \"{{printf \\\"%x\\\" .x}}\"");
    REFUSED("{app=\"web\"} | line_format `{{fromJson .x}}`",
            "not supported yet: fromJson in the template of | line_format \"{{fromJson .x}}\"");
    REFUSED("{app=\"web\"} | line_format `{{range .x}}{{end}}`",
            "not supported yet: range in the template of | line_format \"{{range .x}}{{end}}\"");
    REFUSED("{app=\"web\"} | label_format a=`{{$x := .y}}`",
            "not supported yet: variables in the template of | label_format a=\"{{$x := .y}}\"");
    REFUSED("count_over_time({app=\"web\"} | label_format a=`{{now}}` [1m]) > 1",
            "not supported yet: now in the template of | label_format a=\"{{now}}\"");
}

TEST(label_format_drop_keep_decolorize)
{
    ONE("x=1 y=2", NULL, "| logfmt | label_format a=x, b=\"<{{.y}}>\" | line_format \"\"", A " + {a=\"1\", b=\"<2>\", y=\"2\"}\n");
    ONE("x=1", NULL, "| logfmt | label_format env=\"q{{.env}}\" | line_format \"\"",
        "{app=\"a\"}\n 1  + {env=\"qp\", x=\"1\"}\n"); /* overrides a stream label, which leaves the stream */
    ONE("x=1", NULL, "| logfmt | label_format a=none | line_format \"\"", A " + {x=\"1\"}\n");
    ONE("x=1", NULL, "| logfmt | label_format x=\"{{.none}}\" | line_format \"\"", A " + {x=\"\"}\n");
    ONE("x=1 y=2", NULL, "| logfmt | label_format x=\"b{{.x}}\", y=\"{{.x}}\" | line_format \"\"", A " + {x=\"b1\", y=\"1\"}\n");
    ONE("x=1 y=2", "m=q", "| logfmt | drop x, env, m, y=\"3\" | line_format \"\"", "{app=\"a\"}\n 1  + {y=\"2\"}\n");
    ONE("x=1 y=2", "m=q", "| logfmt | keep app, y=~\"2|3\" | line_format \"\"", "{app=\"a\"}\n 1  + {y=\"2\"}\n");
    ONE("plain", NULL, "| json | keep app | drop __error_details__ | line_format \"\"",
        "{app=\"a\"}\n 1  + {__error__=\"JSONParserErr\"}\n");
    ONE("\x1b[31mred\x1b[0m and \x1b plain", NULL, "| decolorize", A "red and \x1b plain\n");
    /* streams that differ only in a dropped label become one */
    struct test_row two[] = {{"app=a,env=p", S, "x", NULL}, {"app=a,env=q", 2 * S, "y", NULL}, {"app=a,env=q", 2 * S, "x", NULL}};
    struct logql_params p = {.end_ns = 100 * S, .step_ns = S};
    check_run(two, 3, "{app=\"a\"} | drop env", &p, __LINE__, "{app=\"a\"}\n 1 x\n 2 y\n 2 x\n", NULL);
    check_run(two, 3, "{app=\"a\"} | line_format \"same\"", &p, __LINE__,
              "{app=\"a\", env=\"p\"}\n 1 same\n{app=\"a\", env=\"q\"}\n 2 same\n", NULL);
}

TEST(direction_limit_range_and_interval)
{
    struct logql_params p = {.start_ns = 1 * S, .end_ns = 4 * S, .step_ns = S};
    check_run(lines, 5, "{app=\"web\"}", &p, __LINE__, WEB WEB1 WEB2, NULL); /* the end is exclusive */
    p.backward = true;
    check_run(lines, 5, "{app=\"web\"}", &p, __LINE__, WEB WEB2 WEB1, NULL);
    p.limit = 2;
    p.end_ns = 5 * S;
    check_run(lines, 5, "{app=~\".+\"}", &p, __LINE__, DB WEB WEB4, NULL);
    check_run(lines, 5, "{app=~\".+\"} |= \"GET\"", &p, __LINE__, WEB WEB4 WEB2, NULL);
    p.limit = 0;
    p.interval_ns = 2 * S;
    check_run(lines, 5, "{app=\"web\"}", &p, __LINE__, WEB WEB4 WEB2, NULL);
    p.backward = false;
    check_run(lines, 5, "{app=~\".+\"}", &p, __LINE__, DB WEB WEB1, NULL);
    p.end_ns = p.start_ns;
    check_run(lines, 5, "{app=\"web\"}", &p, __LINE__, "", NULL);
    p.end_ns = 0;
    check_run(lines, 5, "{app=\"web\"}", &p, __LINE__, NULL, "end timestamp must not be before or equal to start time");
    p = (struct logql_params){.instant = true};
    check_run(lines, 5, "{app=\"web\"}", &p, __LINE__, NULL,
              "log queries are not supported as an instant query type, please change your query to a range query type");
}

/* ---- metric queries ---- */

static const struct test_row samples[] = {
    {"app=a,env=p", 10 * S, "v=1 k=x", "m=1"},  {"app=a,env=p", 20 * S, "v=3 k=y", "m=1"},
    {"app=a,env=p", 30 * S, "v=2 k=x", "m=1"},  {"app=b,env=p", 30 * S, "v=10 k=x", "m=1"},
    {"app=b,env=q", 40 * S, "v=20 k=zz", "m=1"},
};

static void check_metric(const char *query, int line, const char *want, const char *error)
{
    struct logql_params p = {.start_ns = 0, .end_ns = 60 * S, .step_ns = 20 * S, .max_series = 3};
    check_run(samples, ARRAY_LEN(samples), query, &p, line, want, error);
}
#define METRIC(query, want) check_metric(query, __LINE__, want, NULL)
#define METRIC_FAILS(query, error) check_metric(query, __LINE__, NULL, error)
static void check_instant(const char *query, int line, const char *want)
{
    struct logql_params p = {.start_ns = 40 * S, .end_ns = 40 * S, .instant = true};
    check_run(samples, ARRAY_LEN(samples), query, &p, line, want, NULL);
}
#define INSTANT(query, want) check_instant(query, __LINE__, want)

#define AP "{app=\"a\", env=\"p\", m=\"1\"}"
#define BP "{app=\"b\", env=\"p\", m=\"1\"}"
#define BQ "{app=\"b\", env=\"q\", m=\"1\"}"

TEST(counts_and_windows)
{
    METRIC("count_over_time({app=\"a\"}[20s])", "matrix\n" AP " 20:2 40:1\n"); /* (0,20] (20,40]; no zeros */
    METRIC("count_over_time({app=\"a\"}[40s])", "matrix\n" AP " 20:2 40:3 60:1\n"); /* overlapping; 20 is outside (20,60] */
    METRIC("count_over_time({app=\"a\"}[5s])", "matrix\n" AP " 20:1\n"); /* gaps between windows */
    METRIC("count_over_time({app=\"a\"}[0s])", "matrix\n");
    METRIC("count_over_time({app=\"a\"}[20s] offset 20s)", "matrix\n" AP " 40:2 60:1\n");
    METRIC("count_over_time({app=\"a\"}[20s] offset -20s)", "matrix\n" AP " 0:2 20:1\n");
    METRIC("rate({app=\"b\"}[20s])", "matrix\n" BP " 40:0.05\n" BQ " 40:0.05\n");
    METRIC("bytes_over_time({app=\"a\"}[20s])", "matrix\n" AP " 20:14 40:7\n");
    METRIC("bytes_rate({app=\"a\"}[20s])", "matrix\n" AP " 20:0.7 40:0.35\n");
    METRIC("bytes_over_time({app=\"a\"} | line_format \"xx\" [20s])", "matrix\n" AP " 20:4 40:2\n");
    METRIC("count_over_time({app=\"a\"} |= \"k=x\" [1m])", "matrix\n" AP " 20:1 40:2 60:2\n");
    METRIC("count_over_time({app=\"a\"} | logfmt | v>1 | drop v, m [1m])",
           "matrix\n{app=\"a\", env=\"p\", k=\"x\"} 40:1 60:1\n{app=\"a\", env=\"p\", k=\"y\"} 20:1 40:1 60:1\n");
    METRIC("absent_over_time({app=\"a\", env!=\"q\"}[20s])", "matrix\n{app=\"a\"} 0:1 60:1\n");
    METRIC("absent_over_time({app=\"none\", app=~\"n.*\", env=\"p\"}[20s])", "matrix\n{env=\"p\"} 0:1 20:1 40:1 60:1\n");
    INSTANT("count_over_time({app=~\".+\"}[30s])", "vector\n" AP " 40:2\n" BP " 40:1\n" BQ " 40:1\n");
}

TEST(unwrapped_ranges)
{
#define UNWRAP(op, rest) op "({app=\"a\"} | logfmt v | unwrap v [1m]" rest ")"
#define V(value) "vector\n" AP " 40:" value "\n"
    INSTANT(UNWRAP("sum_over_time", ""), V("6"));
    INSTANT(UNWRAP("avg_over_time", ""), V("2"));
    INSTANT(UNWRAP("min_over_time", ""), V("1"));
    INSTANT(UNWRAP("max_over_time", ""), V("3"));
    INSTANT(UNWRAP("first_over_time", ""), V("1"));
    INSTANT(UNWRAP("last_over_time", ""), V("2"));
    INSTANT(UNWRAP("stdvar_over_time", ""), V("0.6666666667"));
    INSTANT(UNWRAP("stddev_over_time", ""), V("0.8164965809"));
    INSTANT(UNWRAP("rate", ""), V("0.1"));
    INSTANT(UNWRAP("rate_counter", ""), V("0.06666666667")); /* 2 - 1, and 3 before the restart */
    INSTANT("quantile_over_time(0.5, {app=\"a\"} | logfmt v | unwrap v [1m])", V("2"));
    INSTANT("quantile_over_time(0.75, {app=\"a\"} | logfmt v | unwrap v [1m])", V("2.5"));
    INSTANT("quantile_over_time(2, {app=\"a\"} | logfmt v | unwrap v [1m])", V("inf"));
    INSTANT("max_over_time({app=~\".+\"} | logfmt | unwrap v [1m]) by (app)", "vector\n{app=\"a\"} 40:3\n{app=\"b\"} 40:20\n");
    INSTANT("sum_over_time({app=~\".+\"} | logfmt | unwrap v | v>2 [1m]) ",
            "vector\n{app=\"a\", env=\"p\", k=\"y\", m=\"1\"} 40:3\n{app=\"b\", env=\"p\", k=\"x\", m=\"1\"} 40:10\n"
            "{app=\"b\", env=\"q\", k=\"zz\", m=\"1\"} 40:20\n");
    INSTANT("sum_over_time({app=\"a\"} | logfmt | unwrap none [1m])", "vector\n");
    /* the unwrapped label goes, whether "without" stands at the range or is pushed down from a sum around it */
    INSTANT("avg_over_time({app=\"a\"} | logfmt v | unwrap v [1m]) without (m)", "vector\n{app=\"a\", env=\"p\"} 40:2\n");
    INSTANT("sum without (m) (sum_over_time({app=\"a\"} | logfmt v | unwrap v [1m]))", "vector\n{app=\"a\", env=\"p\"} 40:6\n");
    INSTANT("sum without (m) (rate({app=\"a\"} | logfmt v | unwrap v [1m]))", "vector\n{app=\"a\", env=\"p\"} 40:0.1\n");
    INSTANT("sum by (v) (sum_over_time({app=\"a\"} | logfmt v | unwrap v [1m]))",
            "vector\n{v=\"1\"} 40:1\n{v=\"2\"} 40:2\n{v=\"3\"} 40:3\n");
    METRIC("max_over_time({app=\"a\"} | logfmt v | unwrap v [20s])", "matrix\n" AP " 20:3 40:2\n");
    struct test_row sizes[] = {{"a=b", S, "d=1.5s s=2KB", NULL}};
    struct logql_params p = {.start_ns = S, .end_ns = S, .instant = true};
    check_run(sizes, 1, "sum_over_time({a=\"b\"} | logfmt d | unwrap duration(d) [1m])", &p, __LINE__, "vector\n{a=\"b\"} 1:1.5\n",
              NULL);
    check_run(sizes, 1, "sum_over_time({a=\"b\"} | logfmt s | unwrap bytes(s) [1m])", &p, __LINE__, "vector\n{a=\"b\"} 1:2000\n",
              NULL);
}

TEST(errors_in_pipelines_fail_metric_queries)
{
#define MARK(err)                                                                                                 \
    "Use a label filter to intentionally skip this error. (e.g | __error__!=\"" err "\").\n"                      \
    "To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n"                              \
    "The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )"
    METRIC_FAILS("count_over_time({app=\"a\"} | json [1m])",
                 "pipeline error: 'JSONParserErr' for series: '{__error__=\"JSONParserErr\", __error_details__=\"Value looks like "
                 "object, but can't find closing '}' symbol\", app=\"a\", env=\"p\", m=\"1\"}'.\n" MARK("JSONParserErr"));
    METRIC("count_over_time({app=\"a\"} | json | __error__=\"\" [1m])", "matrix\n");
    METRIC("sum(count_over_time({app=\"a\"} | json [1m]))", "matrix\n{} 20:2 40:3 60:3\n"); /* nothing needs the labels */
    METRIC_FAILS("sum by (x) (count_over_time({app=\"a\"} | json [1m]))",
                 "pipeline error: 'JSONParserErr' for series: '{__error__=\"JSONParserErr\", __error_details__=\"Value looks like "
                 "object, but can't find closing '}' symbol\", app=\"a\", env=\"p\", m=\"1\"}'.\n" MARK("JSONParserErr"));
    METRIC_FAILS("sum_over_time({app=\"a\"} | logfmt | unwrap k [1m])",
                 "pipeline error: 'SampleExtractionErr' for series: '{__error__=\"SampleExtractionErr\", "
                 "__error_details__=\"strconv.ParseFloat: parsing \\\"x\\\": invalid syntax\", app=\"a\", env=\"p\", k=\"x\", "
                 "m=\"1\", v=\"1\"}'.\n" MARK("SampleExtractionErr"));
    METRIC("sum_over_time({app=\"a\"} | logfmt | unwrap k | __error__=\"\" [1m])", "matrix\n");
    METRIC_FAILS("count_over_time({app=\"a\"} | label_format long=`{{repeat 300 \"x\"}}{{div 1 0}}`, z=`{{repeat 120 \"\u00e4\"}}` [1m])",
                 "pipeline error: 'TemplateFormatErr' for series: '{__error__=\"TemplateFormatErr\", __error_details__=\"template: "
                 "label:1:20: executing \\\"label\\\" at <div 1 0>: error calling div: runtime error: integer divide by zero\", "
                 "app=\"a\", env=\"p\", m=\"1\", z=\"äääääääääääää…'.\n" MARK("TemplateFormatErr"));
}

TEST(vector_aggregations)
{
#define ALL "count_over_time({app=~\".+\"}[1m])"
    INSTANT("sum(" ALL ")", "vector\n{} 40:5\n");
    INSTANT("sum by (app) (" ALL ")", "vector\n{app=\"a\"} 40:3\n{app=\"b\"} 40:2\n");
    INSTANT("sum by (none) (" ALL ")", "vector\n{} 40:5\n");
    INSTANT("sum without (app, m) (" ALL ")", "vector\n{env=\"p\"} 40:4\n{env=\"q\"} 40:1\n");
    INSTANT("sum without () (" ALL ")", "vector\n" AP " 40:3\n" BP " 40:1\n" BQ " 40:1\n");
    INSTANT("sum by (k) (count_over_time({app=~\".+\"} | logfmt [1m]))",
            "vector\n{k=\"x\"} 40:3\n{k=\"y\"} 40:1\n{k=\"zz\"} 40:1\n");
    INSTANT("avg(" ALL ")", "vector\n{} 40:1.666666667\n");
    INSTANT("count by (app) (" ALL ")", "vector\n{app=\"a\"} 40:1\n{app=\"b\"} 40:2\n");
    INSTANT("max(" ALL ")", "vector\n{} 40:3\n");
    INSTANT("min(" ALL ")", "vector\n{} 40:1\n");
    INSTANT("stdvar(" ALL ")", "vector\n{} 40:0.8888888889\n");
    INSTANT("stddev(" ALL ")", "vector\n{} 40:0.9428090416\n");
    INSTANT("topk(1, " ALL ")", "vector\n" AP " 40:3\n");
    INSTANT("topk(2, " ALL ")", "vector\n" AP " 40:3\n" BP " 40:1\n"); /* of a tie the first met */
    INSTANT("topk by (app) (1, " ALL ")", "vector\n" AP " 40:3\n" BP " 40:1\n");
    INSTANT("bottomk(1, " ALL ")", "vector\n" BP " 40:1\n");
    INSTANT("approx_topk(1, " ALL ")", "vector\n" AP " 40:3\n");
    INSTANT("sort(" ALL ")", "vector\n" BP " 40:1\n" BQ " 40:1\n" AP " 40:3\n");
    INSTANT("sort_desc(" ALL ")", "vector\n" AP " 40:3\n" BP " 40:1\n" BQ " 40:1\n");
    INSTANT("sum(vector(2))", "vector\n{} 40:2\n");
    METRIC("sum by (app) (rate({app=~\".+\"}[20s]))", "matrix\n{app=\"a\"} 20:0.1 40:0.05\n{app=\"b\"} 40:0.1\n");
    METRIC("topk(1, sum by (app) (count_over_time({app=~\".+\"}[20s])))", "matrix\n{app=\"a\"} 20:2\n{app=\"b\"} 40:2\n");
}

TEST(binary_operations)
{
    INSTANT("1 + 1", "scalar\n{} 40:2\n");
    INSTANT("1 / 0", "scalar\n{} 40:nan\n");
    METRIC("3", "matrix\n{} 0:3 20:3 40:3 60:3\n");
    INSTANT("vector(1) + vector(1)", "vector\n{} 40:2\n");
    INSTANT("vector(7) % 4 ^ 1 - 1", "vector\n{} 40:2\n");
    INSTANT("vector(1) > 2", "vector\n");
    INSTANT("2 > vector(1)", "vector\n{} 40:1\n");
    INSTANT("vector(1) > bool 2", "vector\n{} 40:0\n");
    INSTANT("sum by (app) (" ALL ") / 2", "vector\n{app=\"a\"} 40:1.5\n{app=\"b\"} 40:1\n");
    INSTANT("sum by (app) (" ALL ") > 2", "vector\n{app=\"a\"} 40:3\n");
    INSTANT("sum by (app) (" ALL ") - sum by (app) (count_over_time({app=\"a\"}[15s]))", "vector\n{app=\"a\"} 40:2\n");
    INSTANT(ALL " * on (app) group_left () sum by (app) (" ALL ")", "vector\n" AP " 40:9\n" BP " 40:2\n" BQ " 40:2\n");
    INSTANT("sum by (app) (" ALL ") < on (app) group_right () " ALL, "vector\n");
    INSTANT("sum by (app) (" ALL ") >= on (app) group_right () " ALL, "vector\n" AP " 40:3\n" BP " 40:2\n" BQ " 40:2\n");
    INSTANT("sum by (env) (" ALL ") * ignoring (app) sum by (env) (" ALL ")", "vector\n{env=\"p\"} 40:16\n{env=\"q\"} 40:1\n");
    INSTANT("sum by (env) (" ALL ") or vector(0)", "vector\n{} 40:0\n{env=\"p\"} 40:4\n{env=\"q\"} 40:1\n");
    INSTANT("sum by (app) (" ALL ") and sum by (app) (count_over_time({app=\"b\"}[1m]))", "vector\n{app=\"b\"} 40:2\n");
    INSTANT("sum by (app) (" ALL ") unless on (app) count_over_time({app=\"b\"}[1m])", "vector\n{app=\"a\"} 40:3\n");
    INSTANT("label_replace(sum by (app) (" ALL "), \"x\", \"<$1>\", \"app\", \"(a)\")",
            "vector\n{app=\"a\", x=\"<a>\"} 40:3\n{app=\"b\"} 40:2\n");
    INSTANT("label_replace(sum by (app) (" ALL "), \"app\", \"\", \"app\", \".*\")", "vector\n{} 40:3\n{} 40:2\n");
}

TEST(matching_errors)
{
    METRIC_FAILS("sum by (app) (" ALL ") / on () " ALL,
                 "found duplicate series on the right hand-side;many-to-many matching not allowed: matching labels must be unique "
                 "on one side");
    METRIC_FAILS(ALL " / on (app) sum by (app) (" ALL ")",
                 "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)");
}

/* ---- limits ---- */

TEST(series_memory_deadline_and_cancellation)
{
    struct logql_params p = {.end_ns = 60 * S, .step_ns = 20 * S, .max_series = 2};
    check_run(samples, 5, ALL, &p, __LINE__, NULL,
              "maximum number of series (2) reached for a single query; consider reducing query cardinality by adding more "
              "specific stream selectors, reducing the time range, or aggregating results with functions like sum(), count() or "
              "topk()");
    p.max_series = 3;
    check_run(samples, 5, "sum(" ALL ")", &p, __LINE__, "matrix\n{} 20:2 40:5 60:5\n", NULL);
    p.max_memory = 4000;
    check_run(samples, 5, ALL, &p, __LINE__, NULL,
              "the query needs more than 4000 bytes of memory (max_query_memory); narrow the time range or the stream selector, "
              "or aggregate away labels");
    check_run(samples, 5, "{app=~\".+\"} | line_format `{{repeat 4000 \"x\"}}`", &p, __LINE__, NULL,
              "the query needs more than 4000 bytes of memory (max_query_memory); narrow the time range or the stream selector, "
              "or aggregate away labels");
    p.max_memory = 0;
    p.deadline_mono_ns = 1;
    check_run(samples, 5, ALL, &p, __LINE__, NULL, "the query took longer than query_timeout allows");
    p.deadline_mono_ns = 0;
    p.step_ns = 0;
    check_run(samples, 5, ALL, &p, __LINE__, NULL,
              "zero or negative query resolution step widths are not accepted. Try a positive integer ");

    _Atomic bool cancel = false;
    struct test_rows rows = {.at = samples, .n = 5, .cancel = &cancel, .batches_before_cancel = 1};
    struct row_source source = test_rows_source(&rows);
    struct arena a;
    struct logql_expr *x;
    struct logql_result res;
    struct err e = {0};
    p = (struct logql_params){.end_ns = 60 * S, .step_ns = 20 * S, .cancel = &cancel};
    arena_init(&a, 0);
    REQUIRE_OK(logql_parse(SV(ALL), &a, &x, &e), &e);
    CHECK(!logql_run_rows(&source, x, &p, &a, &res, &e));
    CHECK_EQ(e.code, ERR_CANCELLED);
    logql_free(x);
    arena_done(&a);
}

/* A short line may ask for long names: each member of an object has those around it in its own. */
TEST(names_of_nested_members_have_a_cap)
{
    enum { KEY = 20 << 10, MEMBERS = 4000 };
    struct buf line = {0};
    buf_sv(&line, SV("{\"first\":1,\""));
    for (int i = 0; i < KEY; i++)
        buf_char(&line, 'k');
    buf_sv(&line, SV("\":{"));
    for (int i = 0; i < MEMBERS; i++)
        buf_fmt(&line, "%s\"a%d\":1", i ? "," : "", i);
    buf_sv(&line, SV("}}"));
    buf_char(&line, 0);
    REQUIRE(!line.failed);
    struct test_row row = {"a=b", S, line.p, NULL};
    struct logql_params p = {.end_ns = 10 * S, .limit = 10};
    check_run(&row, 1, "{a=\"b\"} | json | keep first | line_format `x`", &p, __LINE__,
              "{}\n 1 x + {__error__=\"JSONParserErr\", __error_details__=\"the names of nested members take more than 1 MiB\", "
              "first=\"1\"}\n",
              NULL);
    buf_done(&line);
}

TEST(memory_of_one_entry_has_a_cap)
{
    struct buf query = {0};
    buf_sv(&query, SV("{a=\"b\"} | line_format `"));
    for (int i = 0; i < 80; i++)
        buf_sv(&query, SV("{{repeat 1000000 \"x\" | trunc 1}}"));
    buf_put(&query, "`", 2);
    REQUIRE(!query.failed);
    struct test_row row = {"a=b", S, "x", NULL};
    struct logql_params p = {.end_ns = 10 * S, .limit = 10};
    check_run(&row, 1, query.p, &p, __LINE__, NULL, "needs more than 67108864 bytes of memory (memory of one entry)");
    buf_done(&query);
}

/* What a join needs does not grow with the number of steps. */
TEST(memory_of_a_join)
{
    struct logql_params p = {.start_ns = 40 * S, .end_ns = 9000 * S, .step_ns = S, .max_memory = 1 << 20};
    check_run(samples, ARRAY_LEN(samples),
              "(count_over_time({app=~\".+\"}[9000s]) * on(app, env) group_left(x) sum by (app, env) (count_over_time({app=~\".+\"}"
              "[9000s]))) > 100",
              &p, __LINE__, "matrix\n", NULL);
}

/* Large rows are not first finished by the batch. */
TEST(cancellation_within_a_batch)
{
    enum { LINE = 70 << 10 };
    char *line = malloc(LINE + 1);
    REQUIRE(line);
    memset(line, 'x', LINE);
    line[LINE] = 0;
    struct test_row at[4];
    for (int i = 0; i < 4; i++)
        at[i] = (struct test_row){"a=b", i * S, line, NULL};
    _Atomic bool cancel = false;
    struct test_rows rows = {.at = at, .n = 4, .cancel = &cancel}; /* set while the first batch is fetched */
    struct row_source source = test_rows_source(&rows);
    struct logql_params p = {.end_ns = 60 * S, .limit = 4, .cancel = &cancel};
    struct arena a;
    struct logql_expr *x;
    struct logql_result res;
    struct err e = {0};
    arena_init(&a, 0);
    REQUIRE_OK(logql_parse(SV("{a=\"b\"} | line_format `y`"), &a, &x, &e), &e);
    CHECK(!logql_run_rows(&source, x, &p, &a, &res, &e));
    CHECK_EQ(e.code, ERR_CANCELLED);
    logql_free(x);
    arena_done(&a);
    free(line);
}

/* Memory may end at any point of any query: an error, never a crash or a partial answer. */
TEST(memory_may_end_anywhere)
{
    static const char *const queries[] = {
        "{app=~\".+\"} | logfmt | label_format x=`{{.v}}-{{.k}}` | keep x, env",
        "count by (k, app) (count_over_time({app=~\".+\"} | logfmt [1m])) * on (k) group_left () "
        "sum by (k) (rate({app=~\".+\"} | logfmt | v>0 [30s]))",
        "topk(2, quantile_over_time(0.5, {app=~\".+\"} | logfmt | unwrap v [1m]) by (app)) or vector(1)",
        "label_replace(sort(avg without (m) (" ALL ")), \"x\", \"$1\", \"app\", \"(.*)\") unless absent_over_time({app=\"z\"}[1m])",
    };
    for (size_t q = 0; q < ARRAY_LEN(queries); q++) {
        bool passed = false;
        for (uint64_t max = 64; max < 64 << 10; max += 160) {
            struct test_rows rows = {.at = samples, .n = ARRAY_LEN(samples)};
            struct row_source source = test_rows_source(&rows);
            struct logql_params p = {.end_ns = 60 * S, .step_ns = 20 * S, .max_memory = max};
            struct arena a;
            struct logql_expr *x = NULL;
            struct logql_result res;
            struct err e = {0};
            arena_init(&a, 0);
            REQUIRE_OK(logql_parse(sv_of(queries[q]), &a, &x, &e), &e);
            passed = logql_run_rows(&source, x, &p, &a, &res, &e);
            if (!passed)
                CHECK_ERR(&e, ERR_LIMIT, "(max_query_memory)");
            logql_free(x);
            arena_done(&a);
        }
        CHECK(passed); /* in the end there is enough */
    }
}

/* ---- what is asked of the scan ---- */

static struct scan_request asked(const char *query, struct logql_result *res)
{
    struct test_rows rows = {.at = samples, .n = ARRAY_LEN(samples)};
    struct row_source source = test_rows_source(&rows);
    struct logql_params p = {.start_ns = 10 * S, .end_ns = 60 * S, .step_ns = 20 * S, .limit = 7, .backward = true};
    static struct arena a; /* of the request's views, until the next call */
    static struct logql_expr *x;
    struct err e = {0};
    logql_free(x);
    x = NULL;
    arena_done(&a);
    CHECK_OK(logql_parse(sv_of(query), &a, &x, &e) && logql_run_rows(&source, x, &p, &a, res, &e), &e);
    return rows.last;
}

/* What a source of blocks is asked for: filters with their texts, names to filter, names wanted; written down while it is asked. */
static bool note_each(void *ctx, const struct scan_request *q, const struct scan_sink *sink, struct scan_stats *ret, struct err *e)
{
    struct buf *out = ctx;
    (void)sink, (void)e;
    *ret = (struct scan_stats){0};
    buf_fmt(out, "limit %d columns %u", (int)q->limit, q->columns);
    for (size_t i = 0; i < q->n_filters; i++) {
        const struct scan_filter *f = &q->filters[i];
        buf_fmt(out, " | %d " SV_FMT, (int)f->op, SV_ARG(f->text));
        for (size_t k = 0; k < f->n_required; k++)
            buf_fmt(out, " [" SV_FMT "]", SV_ARG(f->required[k]));
        for (size_t k = 0; k < f->n_literals; k++)
            buf_fmt(out, " <" SV_FMT ">", SV_ARG(f->literals[k]));
    }
    for (size_t i = 0; i < q->n_key_filters; i++)
        buf_fmt(out, " | " SV_FMT "=" SV_FMT, SV_ARG(q->key_filters[i].name), SV_ARG(q->key_filters[i].equal));
    for (size_t i = 0; i < q->n_keys; i++)
        buf_fmt(out, " +" SV_FMT, SV_ARG(q->keys[i]));
    return true;
}

static bool note_open(void *ctx, const struct scan_request *q, void **ret, struct err *e)
{
    struct scan_stats ignored;
    *ret = ctx;
    return note_each(ctx, q, NULL, &ignored, e);
}

static int note_next(void *scan, struct scan_batch *ret, struct err *e)
{
    (void)scan, (void)ret, (void)e;
    return 0;
}

static void note_stats(const void *scan, struct scan_stats *ret)
{
    (void)scan;
    *ret = (struct scan_stats){0};
}

static void note_close(void *scan)
{
    (void)scan;
}

static void check_asked(const char *query, int line, const char *want)
{
    SCOPED(buf_done) struct buf got = {0};
    struct row_source source = {note_open, note_next, note_stats, note_close, &got, note_each, 2};
    struct logql_params p = {.end_ns = 60 * S, .step_ns = 10 * S, .limit = 7};
    struct arena a;
    struct logql_expr *x = NULL;
    struct logql_result res;
    struct err e = {0};
    arena_init(&a, 0);
    CHECK_OK(logql_parse(sv_of(query), &a, &x, &e) && logql_run_rows(&source, x, &p, &a, &res, &e), &e);
    if (!sv_eq(buf_view(&got), sv_of(want)))
        test_fail(__FILE__, line, "%s: " SV_FMT "\n# want %s", query, SV_ARG(buf_view(&got)), want);
    logql_free(x);
    arena_done(&a);
}
#define ASKED(query, want) check_asked(query, __LINE__, want)

TEST(what_is_left_to_the_scan)
{
    ASKED("{a=\"b\"}", "limit 7 columns 3");
    ASKED("{a=\"b\"} |= \"x\" != \"y\" or \"z\"", "limit 7 columns 3 | 0 x | 1 y | 1 z");
    ASKED("{a=\"b\"} |= \"x\" | json != \"y\" | line_format \"\" |= \"w\"", "limit 0 columns 3 | 0 x | 1 y");
    ASKED("{a=\"b\"} |= \"x\" or \"y\"", "limit 7 columns 3 | 2  <x> <y>");
    ASKED("{a=\"b\"} |~ \"xx|zz\" or \"y\"", "limit 7 columns 3 | 2  <xx> <zz> <y>");
    ASKED("{a=\"b\"} |~ \"x.\" or \"y\"", "limit 0 columns 3");
    ASKED("{a=\"b\"} | trace_id=\"7\" | n > 5", "limit 0 columns 3 | trace_id=7 | n=");
    ASKED("{a=\"b\"} | x=\"1\" or y=\"2\"", "limit 0 columns 3");
    ASKED("{a=\"b\"} | x=\"1\" or x=\"2\"", "limit 7 columns 3 | x=");
    ASKED("{a=\"b\"} | x=\"1\", y=~\"2.*\"", "limit 7 columns 3 | x=1 | y=");
    ASKED("{a=\"b\"} | json | x=\"1\"", "limit 0 columns 3");
    ASKED("{a=\"b\"} | __error__=\"\"", "limit 0 columns 3");
    ASKED("sum(count_over_time({a=\"b\"} |= \"x\" [1m]))", "limit 0 columns 0 | 0 x");
    ASKED("sum by (l) (rate({a=\"b\"} | m=\"1\" [1m]))", "limit 0 columns 0 | m=1 +l");
    ASKED("sum by (l) (rate({a=\"b\"} | json | m=\"1\" [1m]))", "limit 0 columns 1 +l +m");
    ASKED("sum(count_over_time({a=\"b\"} | json [1m]))", "limit 0 columns 0");
    ASKED("sum without (l) (rate({a=\"b\"}[1m]))", "limit 0 columns 2");
    ASKED("max_over_time({a=\"b\"} | unwrap v [1m]) by (w)", "limit 0 columns 0 +v +w");
#define REGEX(re, want) ASKED("{a=\"b\"} |~ `" re "`", "limit 7 columns 3 | 2 " re want)
    REGEX("user=\\w+ .*port \\d+", " [user=] [port ]");
    REGEX("(abc|def)ghi[jkl]+mno\\.p", " [ghi] [mno.p]");
    REGEX("abc|defg", " <abc> <defg>");
    REGEX("abc.|defg", "");
    REGEX("(?i)abcdef.", "");
    REGEX("abcd*efgh?ijk{0,3}lmno+pqr", " [abc] [efg] [lmno] [pqr]");
    REGEX("abc\\x41def\\.", "");
    REGEX("abc[]d]efg[^]d]hij\\bklm", " [abc] [efg] [hij] [klm]");
    REGEX("(?:abcd)?efgh(?P<n>ijk)*", " [efgh]");
}

TEST(plans)
{
    struct logql_result res;
    struct scan_request q = asked("{app=\"a\"}", &res);
    CHECK(q.start_ns == 10 * S && q.end_ns == 60 * S && q.backward && q.limit == 7);
    CHECK_EQ(q.columns, SCAN_LINES | SCAN_METADATA);
    CHECK_EQ(res.stats.rows_returned, 3);
    CHECK_EQ(res.lines_after_filter, 3);
    q = asked("{app=\"a\"} |= \"x\"", &res);
    CHECK(q.limit == 0 && q.n_filters == 0); /* the source does not filter */
    q = asked("count_over_time({app=\"a\"}[20s] offset 5s)", &res);
    CHECK(q.start_ns == -15 * S + 1 && q.end_ns == 55 * S + 1 && !q.backward && !q.limit);
    CHECK_EQ(q.columns, SCAN_METADATA);
    q = asked("sum(bytes_over_time({app=\"a\"}[20s]))", &res);
    CHECK_EQ(q.columns, SCAN_LENGTHS);
    q = asked("sum(count_over_time({app=\"a\"} | json [20s]))", &res);
    CHECK_EQ(q.columns, 0);
    q = asked("sum(count_over_time({app=\"a\"} |= \"x\" [20s]))", &res);
    CHECK_EQ(q.columns, SCAN_LINES);
    q = asked("sum(count_over_time({app=\"a\"} | m=\"1\" [20s]))", &res);
    CHECK_EQ(q.columns, SCAN_METADATA);
    q = asked("sum by (app) (count_over_time({app=\"a\"}[20s]))", &res);
    CHECK_EQ(q.columns, SCAN_METADATA);
    q = asked("vector(1)", &res); /* nothing is scanned */
    CHECK(!q.matchers);
    asked("1", &res);
}

/* ---- windows against counting by hand ---- */

static size_t count_by_hand(const struct test_row *at, size_t n, int64_t t, int64_t range, int64_t offset)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += at[i].ts > t - range - offset && at[i].ts <= t - offset;
    return count;
}

static double sample_at(const struct logql_result *res, int64_t t)
{
    for (size_t i = 0; res->n_series && i < res->series[0].n; i++)
        if (res->series[0].samples[i].ts_ns == t)
            return res->series[0].samples[i].v;
    return 0;
}

TEST(windows_agree_with_counting_by_hand)
{
    struct test_row at[40];
    uint64_t seed = 42;
#define NEXT(n) ((int64_t)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 33) % (n))
    for (int round = 0; round < 300; round++) {
        size_t n = (size_t)NEXT(40);
        int64_t ms = 1000000, t = NEXT(20) * ms;
        for (size_t i = 0; i < n; i++, t += NEXT(12) * ms)
            at[i] = (struct test_row){"a=b", t, "v=1", NULL};
        struct logql_params p = {.start_ns = NEXT(100) * ms, .step_ns = (1 + NEXT(30)) * ms, .instant = round % 5 == 0};
        p.end_ns = p.instant ? p.start_ns : p.start_ns + NEXT(200) * ms;
        int64_t range = 1 + NEXT(60), offset = NEXT(3) ? 0 : NEXT(80) - 40;
        char query[128];
        snprintf(query, sizeof query, "%s[%" PRId64 "ms] offset %" PRId64 "ms)",
                 round % 2 ? "count_over_time({a=\"b\"}" : "sum_over_time({a=\"b\"} | logfmt | unwrap v", range, offset);
        struct test_rows rows = {.at = at, .n = n};
        struct row_source source = test_rows_source(&rows);
        struct arena a;
        struct logql_expr *x = NULL;
        struct logql_result res;
        struct err e = {0};
        arena_init(&a, 0);
        REQUIRE_OK(logql_parse(sv_of(query), &a, &x, &e) && logql_run_rows(&source, x, &p, &a, &res, &e), &e);
        for (t = p.start_ns; t <= p.end_ns; t += p.step_ns) {
            size_t want = count_by_hand(at, n, t, range * ms, offset * ms);
            if (sample_at(&res, t) != (double)want)
                test_fail(__FILE__, __LINE__, "%s at %" PRId64 ": %g, not %zu", query, t, sample_at(&res, t), want);
        }
        logql_free(x);
        arena_done(&a);
    }
}

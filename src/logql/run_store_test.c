/* run_store_test.c - queries over the store itself: what is pushed comes out, from the head and from parts. */
#include "logql/rows_for_test.h"
#include "store/store_test.h"

#define S 1000000000ll

static const struct rec recs[] = {
    {.ts = 10 * S, .line = "{\"status\":200,\"path\":\"/a\"}", .severity_text = "INFO", .attrs = {"user", "u1"}},
    {.ts = 20 * S, .line = "{\"status\":500,\"path\":\"/b\"}", .severity_text = "ERROR", .attrs = {"user", "u2"}},
    {.ts = 30 * S, .line = "plain", .severity_text = "INFO"},
};

static void check_query(struct fixture *f, const char *query, bool instant, int line, const char *want)
{
    struct logql_params p = {.tenant = SV("fake"), .end_ns = 60 * S, .step_ns = 30 * S, .limit = 10, .backward = true};
    struct arena a;
    struct logql_expr *x = NULL;
    struct logql_result res;
    struct err e = {0};
    SCOPED(buf_done) struct buf text = {0};
    if (instant)
        p = (struct logql_params){.tenant = SV("fake"), .start_ns = 60 * S, .end_ns = 60 * S, .instant = true};
    arena_init(&a, 0);
    if (!logql_parse(sv_of(query), &a, &x, &e) || !logql_run(f->st, x, &p, &a, &res, &e)) {
        test_fail(__FILE__, line, "%s: %s", query, e.msg);
    } else {
        test_result_text(&res, &text);
        if (!sv_eq(buf_view(&text), sv_of(want)))
            test_fail(__FILE__, line, "%s\n# got\n" SV_FMT "# want\n%s", query, SV_ARG(buf_view(&text)), want);
    }
    logql_free(x);
    arena_done(&a);
}

static void check_all(struct fixture *f)
{
#define QUERY(query, want) check_query(f, query, false, __LINE__, want)
#define INSTANT(query, want) check_query(f, query, true, __LINE__, want)
#define SHOP "{service_name=\"shop\"}"
    QUERY("{service_name=\"shop\"} | json | status>=500 | keep service_name, path",
          SHOP "\n 20 {\"status\":500,\"path\":\"/b\"} + {path=\"/b\"}\n");
    QUERY("{service_name=\"shop\"} != \"status\" | drop level, severity_text, detected_level, severity_number", SHOP "\n 30 plain\n");
    QUERY("{service_name=\"none\"}", "");
    INSTANT("sum by (user) (count_over_time({service_name=~\"sh.*\"} |= \"status\" [1m]))",
            "vector\n{user=\"u1\"} 60:1\n{user=\"u2\"} 60:1\n");
    INSTANT("sum(bytes_over_time({service_name=\"shop\"}[1m]))", "vector\n{} 60:57\n");
    INSTANT("sum(sum_over_time({service_name=\"shop\"} | json | unwrap status | __error__=\"\" [1m]))", "vector\n{} 60:700\n");
    INSTANT("count_over_time({service_name=\"shop\"} |= \"plain\" | keep service_name [1m]) / 2",
            "vector\n" SHOP " 60:0.5\n");
}

TEST(queries_over_the_store)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    if (fixture_open(&f)) {
        push_records(f.st, "shop", recs, ARRAY_LEN(recs));
        push_records(f.st, "shop", recs, ARRAY_LEN(recs)); /* again: shown once */
        check_all(&f);
        CHECK_OK(store_flush(f.st, &e), &e);
        check_all(&f);
    }
    fixture_done(&f);
}

/* ---- what the scan does, against the query doing it all: the same answers ---- */

static uint64_t rng_state;
static uint32_t rng(uint32_t n)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((rng_state >> 33) % n);
}

static const char *random_line(char *to, size_t n)
{
    static const char *const words[] = {"error", "timeout", "GET", "user=ann port 80", "Error", "", "caf\xc3\xa9", "\xff"};
    const char *word = words[rng(ARRAY_LEN(words))];
    int status = (int)rng(5) * 100 + 100;
    switch (rng(7)) {
    case 0:
        snprintf(to, n, "{\"status\":%d,\"path\":\"/p%u\",\"user\":{\"name\":\"u%u\"}}", status, rng(3), rng(4));
        break;
    case 1:
        snprintf(to, n, "{\"status\":\"%s\",\"stat\\u0075s\":%d,\"level\":\"json\"}", word[0] & 0x80 ? "x" : word, status);
        break;
    case 2:
        snprintf(to, n, "{\"path\":\"/q\",\"status\":%d,\"broken", status);
        break;
    case 3:
        snprintf(to, n, "status=%d took=%ums queue=q%u msg=\"%s\"", status, rng(900), rng(3), word);
        break;
    case 4:
        snprintf(to, n, "took=%s queue=q%u status=", rng(2) ? "1.5s" : "soon", rng(3));
        break;
    default:
        snprintf(to, n, "%s from host-%u %s %d", word, rng(5), words[rng(3)], status);
    }
    return to;
}

enum { ROWS = 1200 };

static void push_rows(struct fixture *f)
{
    static const char *const levels[] = {NULL, "INFO", "ERROR"};
    static char lines[ROWS][160], values[ROWS][3][24], services[ROWS][8];
    static struct rec all[ROWS];
    struct err e = {0};
    for (int i = 0; i < ROWS; i++) {
        snprintf(services[i], sizeof services[i], "svc%u", rng(4));
        snprintf(values[i][0], 24, "t%u", rng(40));
        snprintf(values[i][1], 24, rng(9) ? "%u" : "n%u", rng(7) * 100);
        snprintf(values[i][2], 24, "meta%u", rng(3));
        all[i] = (struct rec){.ts = (1 + rng(500)) * S / 10, .line = random_line(lines[i], sizeof lines[i]), .severity_text = levels[rng(3)]};
        size_t k = 0;
        static const char *const names[] = {"trace_id", "status", "path"};
        for (size_t m = 0; m < 3; m++)
            if (rng(3)) {
                all[i].attrs[k++] = names[m];
                all[i].attrs[k++] = values[i][m];
            }
    }
    for (int i = 0; i < ROWS;) {
        SCOPED(buf_done) struct buf b = {0};
        for (int k = 0, n = 1 + (int)rng(60); k < n && i < ROWS; k++, i++) {
            int again = rng(6) ? i : (int)rng((uint32_t)i + 1);
            put_records(&b, services[i], &all[i], 1);
            put_records(&b, services[again], &all[again], 1);
        }
        CHECK_EQ(push_bytes(f->st, "fake", buf_view(&b), 1).code, PUSH_SENT);
        if (rng(5) == 0)
            CHECK_OK(store_flush(f->st, &e), &e);
    }
}

static void random_stages(struct buf *q)
{
    static const char *const stages[] = {
        "|= `error`", "!= `error`", "|~ `user=\\w+ .*port \\d+`", "!~ `host-[0-3] `", "|~ `error|timeout`", "|= `error` or `GET`", "|= `GET` or ``", "|~ `GET|host-1` or `from`", "|~ `GE.` or `from`",
        "!= `error` or `GET`", "|~ `(?i)ERROR`", "|= ``", "!= ``", "|> `<_>host<_>`", "| trace_id=`t7`", "| trace_id!=`t7`",
        "| trace_id=~`t1.*`", "| trace_id=``", "| status>=300", "| status>=300 or trace_id=`t3`", "| level=`ERROR`",
        "| level=`ERROR`, path=`meta1`", "| service_name=`svc2`", "| status=`200` or status=`300`", "| __error__=``", "| json",
        "| json | status>=300", "| json status, p=`path`", "| logfmt | took>100ms", "| logfmt", "| logfmt --strict | __error__=``",
        "| json | status_extracted>=300 | __error__=``", "| pattern `<a> from <b> <_>` | a=`error`", "| drop path", "| keep trace_id, level",
        "| label_format path=`x{{.trace_id}}`", "| label_format path=trace_id", "| line_format `{{.path}} {{__line__}}` |= `t`", "| decolorize",
        "| json | user_name=`u1`", "| regexp `(?P<host>host-\\d)` | host!=``",
    };
    for (uint32_t n = rng(4); n; n--)
        buf_fmt(q, " %s", stages[rng(ARRAY_LEN(stages))]);
}

static void random_query(struct buf *q)
{
    static const char *const selectors[] = {"{service_name=~`.+`}", "{service_name=`svc1`}", "{level=`ERROR`}", "{service_name!=`svc0`, level=``}"};
    static const char *const groups[] = {"", " by (level)", " by (path)", " by (trace_id, level)", " without (trace_id)", " by (status, host, queue)",
                                         " by (service_name)", " by (detected_level, path_extracted)"};
    static const char *const counts[] = {"count_over_time", "rate", "bytes_over_time", "bytes_rate", "absent_over_time"};
    static const char *const samples[] = {"sum_over_time", "avg_over_time", "max_over_time", "min_over_time", "first_over_time",
                                          "last_over_time", "stddev_over_time", "rate_counter"};
    static const char *const unwraps[] = {"| unwrap status", "| unwrap status | __error__=``", "| unwrap duration(took) | __error__=``",
                                          "| unwrap status | trace_id=`t9`"};
    const char *selector = selectors[rng(ARRAY_LEN(selectors))];
    uint32_t kind = rng(4), range = 1 + rng(20), offset = rng(3) ? 0 : rng(9);
    if (kind == 0) {
        buf_fmt(q, "%s", selector);
        random_stages(q);
        return;
    }
    bool sum = kind < 3 || rng(2);
    if (sum)
        buf_fmt(q, "%s%s (", rng(3) ? "sum" : "max", groups[rng(ARRAY_LEN(groups))]);
    buf_fmt(q, "%s(%s", kind < 3 ? counts[rng(ARRAY_LEN(counts))] : samples[rng(ARRAY_LEN(samples))], selector);
    random_stages(q);
    if (kind == 3)
        buf_fmt(q, " %s", unwraps[rng(ARRAY_LEN(unwraps))]);
    buf_fmt(q, " [%us]", range);
    if (offset)
        buf_fmt(q, " offset %us", offset);
    buf_sv(q, sum ? SV("))") : SV(")"));
}

static void answer(struct row_source *rows, const char *query, const struct logql_params *p, struct buf *out)
{
    struct arena a;
    struct logql_expr *x = NULL;
    struct logql_result res;
    struct err e = {0};
    arena_init(&a, 0);
    if (!logql_parse(sv_of(query), &a, &x, &e) || !logql_run_rows(rows, x, p, &a, &res, &e))
        buf_fmt(out, "error: %s\n", e.msg);
    else
        test_result_text(&res, out);
    if (e.code == 0)
        buf_fmt(out, "%llu after filter\n", (unsigned long long)(x && logql_is_metric(x) ? 0 : res.lines_after_filter));
    logql_free(x);
    arena_done(&a);
}

static void compare_answers(struct fixture *f, int n_queries, size_t *ret_errors)
{
    struct row_source pushed = store_rows(f->st), plain = pushed;
    plain.each = NULL;
    for (int i = 0; i < n_queries && !test_failures; i++) {
        SCOPED(buf_done) struct buf q = {0};
        SCOPED(buf_done) struct buf got = {0};
        SCOPED(buf_done) struct buf want = {0};
        random_query(&q);
        buf_char(&q, 0);
        struct logql_params p = {.tenant = SV("fake"), .start_ns = rng(20) * S, .step_ns = (1 + rng(15)) * S, .limit = rng(3) ? 10000 : 5,
                                 .max_series = 100000, .backward = rng(2)};
        p.end_ns = p.start_ns + rng(50) * S;
        answer(&pushed, q.p, &p, &got);
        answer(&plain, q.p, &p, &want);
        *ret_errors += sv_starts(buf_view(&want), SV("error"));
        if (!sv_eq(buf_view(&got), buf_view(&want)))
            test_fail(__FILE__, __LINE__, "%s, %lld..%lld by %lld\n# got\n" SV_FMT "# want\n" SV_FMT, q.p, (long long)(p.start_ns / S),
                      (long long)(p.end_ns / S), (long long)(p.step_ns / S), SV_ARG(buf_view(&got)), SV_ARG(buf_view(&want)));
    }
}

TEST(what_the_scan_does_changes_no_answer)
{
    const char *only = getenv("WEIR_TEST_SEED");
    size_t errors = 0, queries = 0;
    uint64_t first = only ? strtoull(only, NULL, 10) : 1, last = only ? first : 5;
    for (uint64_t seed = first; seed <= last && !test_failures; seed++, queries += 200) {
        struct fixture f;
        rng_state = seed;
        fixture_config(&f);
        f.cfg.query_threads = 1 + seed % 3;
        if (fixture_open(&f)) {
            push_rows(&f);
            compare_answers(&f, 200, &errors);
        }
        fixture_done(&f);
        if (test_failures)
            test_fail(__FILE__, __LINE__, "seed %llu", (unsigned long long)seed);
    }
    CHECK(errors < queries / 2); /* most queries have an answer */
}

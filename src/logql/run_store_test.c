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

/* Any query that parses runs over a fixed set of rows, as a range and as an instant query, within its limits. */
#include "logql/rows_for_test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct test_row rows_at[] = {
    {"a=b", 1000000000, "{\"x\":1,\"y\":{\"z\":\"\\u00e9\"},\"l\":[1,{\"q\":null}],\"a\":\"s\"}", "m=1"},
    {"a=b", 2000000000, "x=1 y=\"q \\\"r\\\"\" z= bare d=150ms s=2KB", "m=2,trace=t"},
    {"a=b,c=d", 2000000000, "GET /path 200 12ms 10.0.0.1 ::1", NULL},
    {"a=c", 3000000000, "", NULL},
    {"a=c", 3000000000, "{\"x\":", "x=meta"},
    {"a=c", 4000000000, "\x1b[31mred\x1b[0m \xff\xfe x=\"", NULL},
    {"a=b", 5000000000, "{\"_entry\":\"l=1\",\"p\":\"q\"}", NULL},
};

static void run(const struct logql_expr *x, const struct logql_params *p)
{
    struct test_rows rows = {.at = rows_at, .n = ARRAY_LEN(rows_at)};
    struct row_source source = test_rows_source(&rows);
    SCOPED(arena_done) struct arena a;
    SCOPED(buf_done) struct buf text = {0};
    struct logql_result res;
    struct err e = {0};
    arena_init(&a, 16 << 20);
    if (logql_run_rows(&source, x, p, &a, &res, &e))
        test_result_text(&res, &text);
    else
        ASSERT(e.code != ERR_NONE && e.msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(arena_done) struct arena a;
    struct logql_expr *x;
    struct err e;
    arena_init(&a, 16 << 20);
    if (size > 4096 || !logql_parse(sv_make(data, size), &a, &x, &e))
        return 0;
    struct logql_params range = {.end_ns = 6000000000, .step_ns = 1000000000, .limit = 5, .max_series = 20, .max_memory = 16 << 20};
    struct logql_params instant = {.start_ns = 4000000000, .end_ns = 4000000000, .instant = true, .max_memory = 16 << 20};
    run(x, &range);
    range.backward = true;
    run(x, &range);
    run(x, &instant);
    logql_free(x);
    return 0;
}

#include "store/store_test.h"

TEST(pushed_rows_are_seen_at_once)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    struct push_result r = push_records(f.st, "web", (struct rec[]){{.ts = 20, .line = "two"}, {.ts = 10, .line = "one"}}, 2);
    CHECK_EQ(r.code, PUSH_SENT);
    CHECK_EQ(r.n_rejected, 0);
    CHECK_ROWS(&f, NULL, 0, SHOW_LABELS, "{service_name=\"web\"} 10 one\n{service_name=\"web\"} 20 two\n");
    fixture_done(&f);
}

TEST(rows_survive_a_restart)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_records(f.st, "web", (struct rec[]){{.ts = 10, .line = "one", .attrs = {"http.method", "GET"}}}, 1);
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, "10 one detected_level=unknown,http_method=GET\n");
    fixture_done(&f);
}

TEST(rows_move_into_a_part_and_stay)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_records(f.st, "web", (struct rec[]){{.ts = 10, .line = "one", .severity_text = "INFO", .severity_number = 9}, {.ts = 11}}, 2);
    push_records(f.st, "api", (struct rec[]){{.ts = 9, .line = "zero"}}, 1);
    const char *want = "9 zero detected_level=unknown\n"
                       "10 one detected_level=info,severity_number=9,severity_text=INFO\n"
                       "11  detected_level=unknown\n";
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, want);
    CHECK_OK(store_flush(f.st, &e), &e);
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, want);
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, want);
    push_records(f.st, "web", (struct rec[]){{.ts = 10, .line = "one more"}}, 1);
    CHECK_ROWS(&f, NULL, 0, 0, "9 zero\n10 one\n10 one more\n11 \n");
    fixture_done(&f);
}

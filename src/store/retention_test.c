/* Retention: what is past is not shown at once, and goes when the clock can be relied on. */
#include "store/store_test.h"
#include "base/io.h"
#include "store/store_int.h"
#include <errno.h>

#define HOUR_NS (3600 * NS_PER_S)
#define DAY_NS (24 * HOUR_NS)

TEST(a_clock_is_trusted_when_it_ran_on_evenly)
{
    struct steady_clock c;
    int64_t now = 0, wall = 1000 * DAY_NS;
    steady_clock_init(&c);
    CHECK(!steady_clock_now(&c, 0, &now));
    steady_clock_tick(&c, wall, 10, HOUR_NS);
    steady_clock_tick(&c, wall + HOUR_NS / 2, 10 + HOUR_NS / 2, HOUR_NS);
    CHECK(!steady_clock_now(&c, 10 + HOUR_NS / 2, &now));
    steady_clock_tick(&c, wall + HOUR_NS, 10 + HOUR_NS, HOUR_NS);
    CHECK(steady_clock_now(&c, 10 + HOUR_NS, &now));
    CHECK_EQ(now, wall + HOUR_NS);
    /* it jumps ahead, for less than an hour: the old one is what counts */
    for (int64_t t = HOUR_NS; t < 2 * HOUR_NS; t += HOUR_NS / 4) {
        steady_clock_tick(&c, wall + t + 5000 * DAY_NS, 10 + t, HOUR_NS);
        CHECK(steady_clock_now(&c, 10 + t, &now));
        CHECK_EQ(now, wall + t);
    }
    steady_clock_tick(&c, wall + 2 * HOUR_NS - 1, 10 + 2 * HOUR_NS - 1, HOUR_NS);
    CHECK(steady_clock_now(&c, 10 + 2 * HOUR_NS, &now));
    CHECK_EQ(now, wall + 2 * HOUR_NS - 0);
    /* ahead again, and it stays */
    steady_clock_tick(&c, wall + 3 * HOUR_NS + DAY_NS, 10 + 3 * HOUR_NS, HOUR_NS);
    steady_clock_tick(&c, wall + 4 * HOUR_NS + DAY_NS, 10 + 4 * HOUR_NS, HOUR_NS);
    CHECK(steady_clock_now(&c, 10 + 4 * HOUR_NS, &now));
    CHECK_EQ(now, wall + 4 * HOUR_NS + DAY_NS);
    /* back counts at once */
    steady_clock_tick(&c, wall + 5 * HOUR_NS, 10 + 5 * HOUR_NS, HOUR_NS);
    CHECK(steady_clock_now(&c, 10 + 5 * HOUR_NS, &now));
    CHECK_EQ(now, wall + 5 * HOUR_NS);
}

static void push_at(struct fixture *f, const char *service, int64_t ts, const char *line)
{
    CHECK_EQ(push_records(f->st, service, &(struct rec){.ts = ts, .line = line}, 1).code, PUSH_SENT);
}

/* Lines of all rows, joined. */
static void lines(struct fixture *f, struct buf *out)
{
    struct scan_request rq = {.tenant = SV("fake"), .start_ns = INT64_MIN, .end_ns = INT64_MAX, .columns = SCAN_LINES};
    struct err e = {0};
    struct scan_batch b;
    struct scan *sc;
    buf_reset(out);
    REQUIRE_OK(scan_open(f->st, &rq, &sc, &e), &e);
    while (scan_next(sc, &b, &e) > 0)
        for (size_t i = 0; i < b.n; i++)
            buf_sv(out, b.line[i]);
    scan_close(sc);
}
#define CHECK_LINES(f, want)                                                                                                   \
    do {                                                                                                                       \
        SCOPED(buf_done) struct buf lines_ = {0};                                                                              \
        lines((f), &lines_);                                                                                                   \
        CHECK_SV(buf_view(&lines_), sv_of(want));                                                                              \
    } while (0)

static bool count_stream(void *ctx, struct labels l)
{
    ++*(size_t *)ctx;
    return true;
}

static size_t streams_of(struct fixture *f)
{
    size_t n = 0;
    struct err e = {0};
    CHECK_OK(store_series(f->st, SV("fake"), NULL, 0, INT64_MIN, INT64_MAX, count_stream, &n, &e), &e);
    return n;
}

static uint64_t stored_rows(struct fixture *f)
{
    uint64_t n = 0;
    for (size_t i = 0; i < f->st->parts.parts.n; i++)
        n += f->st->parts.parts.at[i]->rows;
    return n;
}

static int64_t noon(void) /* of a day that is well past */
{
    return (clock_wall_ns() / DAY_NS - 1) * DAY_NS + DAY_NS / 2;
}

TEST(past_rows_are_not_shown_and_go_with_their_part)
{
    struct fixture f;
    struct err e = {0};
    int64_t now = clock_wall_ns();
    fixture_config(&f);
    f.cfg.limits.retention_period = 100 * DAY_NS;
    f.cfg.retention_delete_delay = 0;
    REQUIRE(fixture_open(&f));
    push_at(&f, "old", now - 200 * DAY_NS, "a");
    push_at(&f, "new", now, "b");
    CHECK_LINES(&f, "b"); /* in the head */
    CHECK_EQ(streams_of(&f), 1);
    CHECK_OK(store_flush(f.st, &e), &e);
    CHECK_EQ(stored_rows(&f), 2);
    CHECK_LINES(&f, "b");
    CHECK_EQ(streams_of(&f), 1);
    struct store_totals t;
    CHECK_OK(store_totals(f.st, SV("fake"), NULL, 0, INT64_MIN, INT64_MAX, &t, &e), &e);
    CHECK_EQ(t.entries, 1);
    CHECK_OK(store_merge(f.st, false, &e), &e);
    CHECK_EQ(stored_rows(&f), 1);
    CHECK_EQ(metric_value(f.st->m.expired_parts), 1);
    CHECK_EQ(metric_value(f.st->m.expired_rows), 1);
    fixture_close(&f);
    f.cfg.limits.retention_period = 0;
    REQUIRE(fixture_open(&f));
    CHECK_LINES(&f, "b"); /* gone for good */
    fixture_done(&f);
}

TEST(a_dropped_part_stays_dropped_when_its_file_does_not_go)
{
    struct fixture f;
    struct err e = {0};
    int64_t now = clock_wall_ns();
    fixture_config(&f);
    f.cfg.limits.retention_period = 100 * DAY_NS;
    f.cfg.retention_delete_delay = 0;
    REQUIRE(fixture_open(&f));
    push_at(&f, "old", now - 200 * DAY_NS, "a");
    push_at(&f, "new", now, "b");
    CHECK_OK(store_flush(f.st, &e), &e);
    struct io_fault fault = {.op = IO_UNLINK, .match = ".part", .sys = EIO};
    io_faults_set(&fault, 1);
    CHECK_OK(store_merge(f.st, false, &e), &e);
    CHECK_EQ(stored_rows(&f), 1);
    CHECK_EQ(metric_value(f.st->m.parts_waiting), 1);
    /* a new manifest, which no longer has the drop itself */
    for (int i = 0; i < 3; i++) {
        struct io_fault both[] = {fault, {.op = IO_SYNC, .match = "MANIFEST", .times = 1, .sys = EIO}};
        io_faults_set(both, 2);
        push_at(&f, "new", now + 1 + i, "c");
        CHECK(!store_flush(f.st, &e));
        CHECK_OK(store_flush(f.st, &e), &e);
    }
    fixture_close(&f);
    io_faults_set(NULL, 0);
    f.cfg.limits.retention_period = 0;
    for (int i = 0; i < 2; i++) {
        REQUIRE(fixture_open(&f));
        CHECK_LINES(&f, "bccc");
        CHECK_EQ(stored_rows(&f), 4);
        fixture_close(&f);
    }
    fixture_done(&f);
}

TEST(merges_leave_past_rows_out)
{
    struct fixture f;
    struct err e = {0};
    int64_t at = noon();
    fixture_config(&f);
    f.cfg.retention_delete_delay = 0;
    REQUIRE(fixture_open(&f));
    for (int i = 0; i < 3; i++) {
        char text[2][3] = {{(char)('a' + i)}, {(char)('p' + i)}};
        push_at(&f, "x", at - HOUR_NS + i, text[0]);
        push_at(&f, "x", at + HOUR_NS + i, text[1]);
        push_at(&f, "gone", at - HOUR_NS, "g"); /* all of the stream is past */
        CHECK_OK(store_flush(f.st, &e), &e);
    }
    fixture_close(&f);
    f.cfg.limits.retention_period = clock_wall_ns() - at;
    REQUIRE(fixture_open(&f));
    CHECK_LINES(&f, "pqr");
    push_at(&f, "x", clock_wall_ns(), "z"); /* the newest row: the clock is not ahead of it */
    CHECK_OK(store_merge(f.st, true, &e), &e);
    CHECK_EQ(stored_rows(&f), 3);
    CHECK_EQ(metric_value(f.st->m.expired_rows), 6);
    CHECK_LINES(&f, "pqrz");
    fixture_close(&f);
    f.cfg.limits.retention_period = 0;
    REQUIRE(fixture_open(&f));
    CHECK_LINES(&f, "pqrz");
    fixture_done(&f);
}

/* A flush of many days lumps the last together: that part has a stream that is past and one that stays for days. */
TEST(a_part_is_written_again_when_much_of_it_is_past)
{
    enum { DAYS = 17 };
    struct fixture f;
    struct err e = {0};
    int64_t at = noon() - 30 * DAY_NS;
    fixture_config(&f);
    f.cfg.retention_delete_delay = 0;
    REQUIRE(fixture_open(&f));
    for (int i = 0; i < DAYS; i++)
        push_at(&f, "early", at + i * DAY_NS, "x");
    push_at(&f, "late", at + (DAYS + 3) * DAY_NS, "y");
    CHECK_OK(store_flush(f.st, &e), &e);
    size_t n = f.st->parts.parts.n;
    CHECK_EQ(f.st->parts.parts.at[n - 1]->rows, 3); /* early, early, late */
    push_at(&f, "x", clock_wall_ns(), "z");
    CHECK_OK(store_flush(f.st, &e), &e);
    fixture_close(&f);
    for (int last_is_past = 0; last_is_past < 2; last_is_past++) {
        f.cfg.limits.retention_period = clock_wall_ns() - (at + (DAYS - 2 + last_is_past) * DAY_NS + HOUR_NS);
        REQUIRE(fixture_open(&f));
        CHECK_LINES(&f, last_is_past ? "yz" : "xyz");
        CHECK_OK(store_merge(f.st, false, &e), &e);
        CHECK_EQ(stored_rows(&f), last_is_past ? 2 : 4); /* the stream's last row keeps its others, too */
        CHECK_EQ(metric_value(f.st->m.merges), last_is_past);
        CHECK_LINES(&f, last_is_past ? "yz" : "xyz");
        fixture_close(&f);
    }
    REQUIRE(fixture_open(&f));
    CHECK_LINES(&f, "yz");
    fixture_done(&f);
}

TEST(a_clock_that_jumps_removes_nothing)
{
    struct fixture f;
    struct err e = {0};
    int64_t now = clock_wall_ns();
    fixture_config(&f);
    f.cfg.limits.retention_period = 7 * DAY_NS;
    REQUIRE(fixture_open(&f)); /* with the delay of two hours */
    for (int i = 0; i < 3; i++) {
        push_at(&f, "x", now - 3 + i, "x");
        CHECK_OK(store_flush(f.st, &e), &e);
    }
    clock_shift_for_test(0, 3 * HOUR_NS); /* the machine has been up for a while */
    CHECK_OK(store_merge(f.st, false, &e), &e);
    clock_shift_for_test(3000 * DAY_NS, HOUR_NS);
    CHECK_OK(store_merge(f.st, true, &e), &e);
    CHECK_LINES(&f, "");
    CHECK_EQ(stored_rows(&f), 3);
    clock_shift_for_test(-3000 * DAY_NS, 0);
    CHECK_LINES(&f, "xxx");
    clock_shift_for_test(0, -4 * HOUR_NS);
    fixture_done(&f);
}

/* A machine that came up years ahead: nothing new arrives with such times, so the clock has to hold for a day. */
TEST(a_clock_far_ahead_of_the_rows_waits_for_a_day)
{
    struct fixture f;
    struct err e = {0};
    int64_t now = clock_wall_ns();
    fixture_config(&f);
    f.cfg.limits.retention_period = 7 * DAY_NS;
    REQUIRE(fixture_open(&f));
    push_at(&f, "x", now, "x");
    CHECK_OK(store_flush(f.st, &e), &e);
    fixture_close(&f);
    clock_shift_for_test(3000 * DAY_NS, 0);
    REQUIRE(fixture_open(&f));
    CHECK_OK(store_merge(f.st, false, &e), &e);
    clock_shift_for_test(5 * HOUR_NS, 5 * HOUR_NS);
    CHECK_OK(store_merge(f.st, false, &e), &e);
    CHECK_EQ(stored_rows(&f), 1);
    clock_shift_for_test(20 * HOUR_NS, 20 * HOUR_NS);
    CHECK_OK(store_merge(f.st, false, &e), &e);
    CHECK_EQ(stored_rows(&f), 0);
    clock_shift_for_test(-3000 * DAY_NS - 25 * HOUR_NS, -25 * HOUR_NS);
    fixture_done(&f);
}

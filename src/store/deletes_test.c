#include "store/deletes.h"
#include "store/delete_int.h"
#include "base/clock.h"
#include "base/io.h"
#include "store/store_int.h"
#include "store/store_test.h"
#include <errno.h>

#define EQ(name_, value_) {.name = SV(name_), .value = SV(value_), .op = MATCH_EQ}

/* Deletes {service_name="web"} from `start` to `end`. */
static uint64_t delete_web(struct fixture *f, int64_t start, int64_t end, const struct delete_filter *filters, size_t n)
{
    struct matcher m = EQ("service_name", "web");
    struct delete_request rq = {.tenant = SV("fake"), .query = SV("{service_name=\"web\"}"), .matchers = &m, .n_matchers = 1,
                                .filters = filters, .n_filters = n, .start_ns = start, .end_ns = end, .created_ns = clock_wall_ns()};
    struct err e = {0};
    uint64_t id = 0;
    CHECK_OK(store_delete(f->st, &rq, &id, &e), &e);
    return id;
}

static void push_lines(struct fixture *f, const char *service, int64_t from, int64_t to)
{
    struct rec r[100];
    char lines[100][32];
    size_t n = 0;
    for (int64_t ts = from; ts <= to; ts++, n++) {
        snprintf(lines[n], sizeof lines[n], "line %lld", (long long)ts);
        r[n] = (struct rec){.ts = ts, .line = lines[n]};
    }
    CHECK_EQ(push_records(f->st, service, r, n).code, PUSH_SENT);
}

static void flush(struct fixture *f)
{
    struct err e = {0};
    CHECK_OK(store_flush(f->st, &e), &e);
}

static void put_state(void *ctx, const struct delete_info *d)
{
    buf_fmt(ctx, "%llu %lld-%lld %s\n", (unsigned long long)d->id, (long long)d->start_ns, (long long)d->end_ns,
            d->processed ? "processed" : "received");
}
#define CHECK_STATES(f, tenant_, want)                                                                            \
    do {                                                                                                          \
        SCOPED(buf_done) struct buf b_ = {0};                                                                     \
        store_deletes((f)->st, SV(tenant_), put_state, &b_);                                                      \
        CHECK_SV(buf_view(&b_), SV(want));                                                                        \
    } while (0)

TEST(deleted_rows_are_hidden_at_once_wherever_they_lie)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_lines(&f, "web", 1, 3);
    push_lines(&f, "db", 1, 3);
    flush(&f);
    push_lines(&f, "web", 4, 6);
    CHECK_EQ(delete_web(&f, 2, 5, NULL, 0), 1);
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n1 line 1\n2 line 2\n3 line 3\n6 line 6\n");
    push_lines(&f, "web", 3, 3); /* one that comes later is meant, too */
    flush(&f);
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n1 line 1\n2 line 2\n3 line 3\n6 line 6\n");
    fixture_close(&f);
    REQUIRE(fixture_open(&f)); /* and it is durable */
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n1 line 1\n2 line 2\n3 line 3\n6 line 6\n");
    CHECK_STATES(&f, "fake", "1 2-5 received\n");
    struct store_totals t;
    struct err e = {0};
    CHECK_OK(store_totals(f.st, SV("fake"), NULL, 0, 0, 100, &t, &e), &e);
    CHECK_EQ(t.entries, 5);
    CHECK_EQ(t.bytes, 30);
    CHECK_EQ(t.streams, 2);
    fixture_done(&f);
}

TEST(line_filters_say_which_lines)
{
    static const sv a[] = {SV("1"), SV("3")}, re[] = {SV("^line [45]$")};
    static const struct {
        struct delete_filter at[2];
        size_t n;
        const char *left;
    } cases[] = {
        {{{.texts = a, .n = 1}}, 1, "2 line 2\n3 line 3\n4 line 4\n5 line 5\n"},
        {{{.texts = a, .n = 2}}, 1, "2 line 2\n4 line 4\n5 line 5\n"},
        {{{.negative = true, .texts = a, .n = 2}}, 1, "1 line 1\n3 line 3\n"},
        {{{.regex = true, .texts = re, .n = 1}}, 1, "1 line 1\n2 line 2\n3 line 3\n"},
        {{{.regex = true, .negative = true, .texts = re, .n = 1}}, 1, "4 line 4\n5 line 5\n"},
        {{{.texts = a, .n = 1}, {.negative = true, .texts = a, .n = 1}}, 2, "1 line 1\n2 line 2\n3 line 3\n4 line 4\n5 line 5\n"},
        {{{.regex = true, .negative = true, .texts = re, .n = 1}, {.negative = true, .texts = a, .n = 2}}, 2,
         "1 line 1\n3 line 3\n4 line 4\n5 line 5\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int where = 0; where < 2; where++) {
            struct fixture f;
            fixture_config(&f);
            REQUIRE(fixture_open(&f));
            push_lines(&f, "web", 1, 5);
            if (where)
                flush(&f);
            delete_web(&f, 1, 5, cases[i].at, cases[i].n);
            CHECK_ROWS(&f, NULL, 0, 0, cases[i].left);
            struct err e = {0}; /* a scan that wants no lines sees the same */
            struct store_totals t;
            CHECK_OK(store_totals(f.st, SV("fake"), NULL, 0, 0, 100, &t, &e), &e);
            CHECK_EQ(t.entries, strlen(cases[i].left) / 9);
            fixture_done(&f);
        }
}

TEST(cancelling_brings_the_rows_back)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_lines(&f, "web", 1, 2);
    uint64_t first = delete_web(&f, 1, 1, NULL, 0), second = delete_web(&f, 2, 2, NULL, 0);
    CHECK_ROWS(&f, NULL, 0, 0, "");
    CHECK(!store_delete_cancel(f.st, SV("other"), first, false, &e));
    CHECK_ERR(&e, ERR_NOT_FOUND, "could not find delete request with given id");
    CHECK_OK(store_delete_cancel(f.st, SV("fake"), first, false, &e), &e);
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n");
    CHECK(!store_delete_cancel(f.st, SV("fake"), first, false, &e) && e.code == ERR_NOT_FOUND);
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n");
    CHECK_OK(store_delete_cancel(f.st, SV("fake"), second, false, &e), &e);
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n2 line 2\n");
    CHECK_EQ(delete_web(&f, 1, 1, NULL, 0), 3); /* ids are not used again */
    fixture_done(&f);
}

TEST(a_tenants_deletes_are_its_own)
{
    struct fixture f;
    SCOPED(buf_done) struct buf b = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_lines(&f, "web", 1, 1);
    put_records(&b, "web", &(struct rec){.ts = 1, .line = "theirs"}, 1);
    CHECK_EQ(push_bytes(f.st, "other", buf_view(&b), 1000).code, PUSH_SENT);
    delete_web(&f, 0, 9, NULL, 0);
    CHECK_ROWS(&f, NULL, 0, 0, "");
    SCOPED(buf_done) struct buf rows = {0};
    struct err e = {0};
    struct scan_request rq = {.tenant = SV("other"), .end_ns = 100};
    CHECK_OK(scan_text(f.st, &rq, 0, &rows, NULL, &e), &e);
    CHECK_SV(buf_view(&rows), SV("1 theirs\n"));
    CHECK_STATES(&f, "other", "");
    fixture_done(&f);
}

static bool put_labels(void *ctx, struct labels l)
{
    labels_text(l, ctx);
    return true;
}

TEST(streams_that_are_deleted_whole_are_not_listed)
{
    struct fixture f;
    struct err e = {0};
    static const sv no[] = {SV("no such text")};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_lines(&f, "web", 1, 4);
    flush(&f);
    push_lines(&f, "web", 5, 6);
    for (int step = 0; step < 4; step++) {
        static const char *const want[] = {"{service_name=\"web\"}", "{service_name=\"web\"}", "{service_name=\"web\"}", ""};
        if (step == 1)
            delete_web(&f, 3, 9, NULL, 0);
        if (step == 2)
            delete_web(&f, 0, 9, &(struct delete_filter){.texts = no, .n = 1}, 1);
        if (step == 3)
            delete_web(&f, 1, 2, NULL, 0); /* with the first one they cover it */
        SCOPED(buf_done) struct buf b = {0};
        CHECK_OK(store_series(f.st, SV("fake"), NULL, 0, 0, 100, put_labels, &b, &e), &e);
        CHECK_SV(buf_view(&b), sv_of(want[step]));
    }
    fixture_done(&f);
}

TEST(a_request_is_processed_when_nothing_it_means_is_left)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    f.cfg.delete_request_cancel_period = 0;
    REQUIRE(fixture_open(&f));
    push_lines(&f, "web", 1, 3);
    delete_web(&f, 5, 9, NULL, 0);
    delete_web(&f, 2, 2, NULL, 0);
    deletes_settle(f.st);
    CHECK_STATES(&f, "fake", "1 5-9 processed\n2 2-2 received\n"); /* the second's row is in the head */
    push_lines(&f, "web", 5, 5);
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n3 line 3\n5 line 5\n"); /* the first means nothing any more */
    CHECK(!store_delete_cancel(f.st, SV("fake"), 1, true, &e));
    CHECK_ERR(&e, ERR_INVALID, "already processed");
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    CHECK_STATES(&f, "fake", "1 5-9 processed\n2 2-2 received\n");
    fixture_done(&f);
}

TEST(nothing_is_due_within_the_cancel_period)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    struct matcher m = EQ("service_name", "web");
    struct delete_request rq = {.tenant = SV("fake"), .query = SV("q"), .matchers = &m, .n_matchers = 1, .start_ns = 1, .end_ns = 2,
                                .created_ns = clock_wall_ns() - f.cfg.delete_request_cancel_period + 3600 * NS_PER_S};
    struct err e = {0};
    uint64_t id;
    CHECK(!deletes_due(f.st));
    CHECK_OK(store_delete(f.st, &rq, &id, &e), &e);
    deletes_settle(f.st);
    CHECK(!deletes_due(f.st));
    CHECK_STATES(&f, "fake", "1 1-2 received\n");
    fixture_done(&f);
}

TEST(once_removal_may_have_begun_cancelling_needs_force)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    f.cfg.delete_request_cancel_period = 0;
    REQUIRE(fixture_open(&f));
    push_lines(&f, "web", 1, 2);
    uint64_t id = delete_web(&f, 1, 1, NULL, 0);
    struct deletes *due = deletes_due(f.st);
    REQUIRE(due != NULL);
    CHECK_EQ(deletes_last(due), id);
    deletes_unref(due);
    CHECK(!store_delete_cancel(f.st, SV("fake"), id, false, &e));
    CHECK_ERR(&e, ERR_INVALID, "Unable to cancel partially completed delete request");
    CHECK_OK(store_delete_cancel(f.st, SV("fake"), id, true, &e), &e);
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n2 line 2\n");
    fixture_done(&f);
}

static void merge(struct fixture *f)
{
    struct err e = {0};
    CHECK_OK(store_merge(f->st, false, &e), &e);
}

static uint64_t rows_on_disk(struct fixture *f)
{
    uint64_t n = 0;
    LOCK_SCOPED(&f->st->head.mu);
    for (size_t i = 0; i < f->st->parts.parts.n; i++)
        n += f->st->parts.parts.at[i]->rows;
    return n;
}

TEST(due_requests_are_carried_out_when_parts_are_written_again)
{
    static const sv text[] = {SV("1")};
    struct fixture f;
    fixture_config(&f);
    f.cfg.delete_request_cancel_period = 0;
    REQUIRE(fixture_open(&f));
    push_lines(&f, "web", 1, 20);
    push_lines(&f, "db", 1, 20);
    flush(&f);
    CHECK_EQ(rows_on_disk(&f), 40);
    delete_web(&f, 100, 200, NULL, 0);
    delete_web(&f, 2, 5, NULL, 0);
    delete_web(&f, 10, 20, &(struct delete_filter){.negative = true, .texts = text, .n = 1}, 1); /* line 20 */
    merge(&f);
    CHECK_EQ(rows_on_disk(&f), 35);
    CHECK_STATES(&f, "fake", "1 100-200 processed\n2 2-5 processed\n3 10-20 processed\n");
    struct part *p = f.st->parts.parts.at[0];
    CHECK_EQ(p->deletes_applied, 3);
    CHECK(!deletes_due(f.st));
    push_lines(&f, "web", 2, 2); /* nothing is meant any more */
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    struct store_totals t;
    struct err e = {0};
    CHECK_OK(store_totals(f.st, SV("fake"), NULL, 0, 0, 100, &t, &e), &e);
    CHECK_EQ(t.entries, 36);
    CHECK_EQ(f.st->parts.parts.at[0]->deletes_applied, 3);
    CHECK_EQ(delete_web(&f, 0, 50, NULL, 0), 4);
    flush(&f);
    merge(&f);
    CHECK_EQ(rows_on_disk(&f), 20); /* a part of nothing but deleted rows is gone */
    CHECK_STATES(&f, "fake", "1 100-200 processed\n2 2-5 processed\n3 10-20 processed\n4 0-50 processed\n");
    fixture_done(&f);
}

TEST(what_may_still_be_cancelled_is_not_removed)
{
    struct fixture f;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_lines(&f, "web", 1, 3);
    flush(&f);
    delete_web(&f, 2, 2, NULL, 0);
    push_lines(&f, "web", 4, 6);
    flush(&f);
    struct err e = {0};
    CHECK_OK(store_merge(f.st, true, &e), &e);
    CHECK_EQ(rows_on_disk(&f), 6);
    CHECK_EQ(f.st->parts.parts.at[0]->deletes_applied, 0);
    CHECK_OK(store_delete_cancel(f.st, SV("fake"), 1, false, &e), &e);
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n2 line 2\n3 line 3\n4 line 4\n5 line 5\n6 line 6\n");
    fixture_done(&f);
}

TEST(a_removal_that_fails_is_tried_again_and_hides_meanwhile)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    f.cfg.delete_request_cancel_period = 0;
    REQUIRE(fixture_open(&f));
    push_lines(&f, "web", 1, 3);
    flush(&f);
    merge(&f); /* the merger has looked: it looks again when asked */
    struct io_fault fault = {.op = IO_WRITE, .match = ".part", .sys = EIO, .times = 1};
    io_faults_set(&fault, 1);
    delete_web(&f, 2, 2, NULL, 0);
    CHECK(!store_merge(f.st, false, &e));
    io_faults_set(NULL, 0);
    CHECK_EQ(rows_on_disk(&f), 3);
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n3 line 3\n");
    CHECK_STATES(&f, "fake", "1 2-2 received\n");
    merge(&f);
    CHECK_EQ(rows_on_disk(&f), 2);
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n3 line 3\n");
    CHECK_STATES(&f, "fake", "1 2-2 processed\n");
    fixture_done(&f);
}

TEST(requests_that_only_hide_are_never_due)
{
    struct fixture f;
    struct err e = {0};
    uint64_t id;
    fixture_config(&f);
    f.cfg.delete_request_cancel_period = 0;
    REQUIRE(fixture_open(&f));
    push_lines(&f, "web", 1, 2);
    struct delete_request rq = {.tenant = SV("fake"), .start_ns = 1, .end_ns = 1, .hide_only = true};
    CHECK_OK(store_delete(f.st, &rq, &id, &e), &e);
    delete_web(&f, 50, 60, NULL, 0);
    struct deletes *due = deletes_due(f.st);
    CHECK(due && due->n == 1 && deletes_last(due) == 2);
    deletes_unref(due);
    flush(&f);
    CHECK_STATES(&f, "fake", "1 1-1 received\n2 50-60 processed\n");
    CHECK_ROWS(&f, NULL, 0, 0, "2 line 2\n");
    CHECK_OK(store_delete_cancel(f.st, SV("fake"), 1, false, &e), &e); /* nothing of it was ever removed */
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n2 line 2\n");
    fixture_done(&f);
}

TEST(requests_are_bounded)
{
    struct fixture f;
    struct err e = {0};
    uint64_t id;
    fixture_config(&f);
    f.cfg.max_delete_requests = 2;
    REQUIRE(fixture_open(&f));
    push_lines(&f, "web", 1, 9);
    delete_web(&f, 1, 1, NULL, 0);
    delete_web(&f, 2, 2, NULL, 0);
    struct delete_request rq = {.tenant = SV("fake"), .start_ns = 3, .end_ns = 3};
    CHECK(!store_delete(f.st, &rq, &id, &e));
    CHECK_ERR(&e, ERR_LIMIT, "max_delete_requests");
    rq.tenant = SV("other");
    CHECK_OK(store_delete(f.st, &rq, &id, &e), &e);
    fixture_done(&f);
}

TEST(a_request_that_is_not_safe_hides_nothing)
{
    struct fixture f;
    struct err e = {0};
    uint64_t id;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    push_lines(&f, "web", 1, 1);
    struct io_fault fault = {.op = IO_SYNC, .match = "MANIFEST", .sys = EIO, .times = 1};
    io_faults_set(&fault, 1);
    struct delete_request rq = {.tenant = SV("fake"), .end_ns = 9};
    CHECK(!store_delete(f.st, &rq, &id, &e) && e.code == ERR_IO);
    io_faults_set(NULL, 0);
    CHECK_ROWS(&f, NULL, 0, 0, "1 line 1\n");
    CHECK_STATES(&f, "fake", "");
    delete_web(&f, 0, 9, NULL, 0);
    CHECK_ROWS(&f, NULL, 0, 0, "");
    fixture_done(&f);
}

TEST(bytes_that_are_no_request_are_refused)
{
    static const sv re[] = {SV("a.c"), SV("x")};
    struct matcher m[] = {EQ("a", "b"), {.name = SV("c"), .value = SV("d.*"), .op = MATCH_NRE}};
    struct delete_filter filters[] = {{.texts = re, .n = 2}, {.regex = true, .negative = true, .texts = re, .n = 2}};
    struct delete_request rq = {.tenant = SV("t"), .query = SV("q"), .matchers = m, .n_matchers = 2, .filters = filters, .n_filters = 2};
    struct err e = {0};
    struct catalog_delete row = {.id = 1, .end_ns = 5};
    struct tombstone *t = NULL;
    REQUIRE_OK(delete_text(&rq, &row.text, &e) && tombstone_new(&row, &t, &e), &e);
    CHECK_EQ(t->n_matchers, 2);
    CHECK_EQ(t->n_tests, 2);
    tombstone_unref(t);
    sv whole = catalog_text_sv(row.text);
    for (size_t n = 0; n < whole.n; n++) { /* any beginning is no request */
        struct catalog_delete cut = row;
        cut.text = catalog_text_new(sv_sub(whole, 0, n));
        CHECK(!tombstone_new(&cut, &t, &e));
        CHECK_EQ(e.code, ERR_CORRUPT);
        catalog_text_unref(cut.text);
    }
    for (size_t i = 0; i < whole.n; i++) { /* any byte another: a request or none, and nothing is read beyond */
        SCOPED(mem_free) char *copy = sv_dup(whole);
        memcpy(copy, whole.p, whole.n);
        copy[i] ^= (char)0xff;
        struct catalog_delete other = row;
        other.text = catalog_text_new(sv_make(copy, whole.n));
        if (tombstone_new(&other, &t, &e))
            tombstone_unref(t);
        catalog_text_unref(other.text);
    }
    catalog_text_unref(row.text);
}

/* ---- many at once ---- */

struct race {
    struct fixture f;
    _Atomic bool stop;
};

static void *scans(void *ctx)
{
    struct race *r = ctx;
    while (!atomic_load(&r->stop)) {
        struct scan_request rq = {.tenant = SV("fake"), .end_ns = 1000};
        SCOPED(buf_done) struct buf b = {0};
        struct err e = {0};
        CHECK_OK(scan_text(r->f.st, &rq, 0, &b, NULL, &e), &e);
        CHECK(sv_find(buf_view(&b), SV("1 line 1\n")) != SV_NPOS);
        struct deletes *due = deletes_due(r->f.st);
        deletes_unref(due);
    }
    return NULL;
}

TEST(deleting_goes_on_beside_everything_else)
{
    struct race r = {0};
    pthread_t threads[2];
    struct err e = {0};
    fixture_config(&r.f);
    REQUIRE(fixture_open(&r.f));
    push_lines(&r.f, "web", 1, 1);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_create(&threads[i], NULL, scans, &r);
    for (int64_t i = 2; i < 60; i++) {
        push_lines(&r.f, "web", i, i);
        uint64_t id = delete_web(&r.f, i, i, NULL, 0);
        if (i % 8 == 0)
            flush(&r.f);
        if (i % 3 == 0)
            CHECK_OK(store_delete_cancel(r.f.st, SV("fake"), id, true, &e), &e);
    }
    atomic_store(&r.stop, true);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    struct store_totals t;
    CHECK_OK(store_totals(r.f.st, SV("fake"), NULL, 0, 0, 1000, &t, &e), &e);
    CHECK_EQ(t.entries, 1 + 19);
    fixture_done(&r.f);
}

TEST(removing_goes_on_beside_everything_else)
{
    struct race r = {0};
    pthread_t threads[2];
    struct err e = {0};
    fixture_config(&r.f);
    r.f.cfg.delete_request_cancel_period = 0;
    REQUIRE(fixture_open(&r.f));
    push_lines(&r.f, "web", 1, 1);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_create(&threads[i], NULL, scans, &r);
    for (int64_t i = 2; i < 60; i++) {
        push_lines(&r.f, "web", i, i);
        if (i % 3)
            delete_web(&r.f, i, i, NULL, 0);
        if (i % 8 == 0)
            flush(&r.f);
        if (i % 16 == 0)
            CHECK_OK(store_merge(r.f.st, i % 32 == 0, &e), &e);
    }
    flush(&r.f);
    CHECK_OK(store_merge(r.f.st, true, &e), &e);
    atomic_store(&r.stop, true);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(rows_on_disk(&r.f), 1 + 19);
    CHECK(!deletes_due(r.f.st)); /* all are processed */
    fixture_done(&r.f);
}

static void push_many(struct fixture *f, int64_t from, size_t n)
{
    SCOPED(buf_done) struct buf b = {0};
    struct rec *r = calloc(n, sizeof *r);
    for (size_t i = 0; i < n; i++)
        r[i] = (struct rec){.ts = from + (int64_t)i, .line = "one of many"};
    put_records(&b, "web", r, n);
    free(r);
    CHECK_EQ(push_bytes(f->st, "fake", buf_view(&b), 1000).code, PUSH_SENT);
    flush(f);
}

TEST(blocks_are_copied_whole_only_where_nothing_is_deleted)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    f.cfg.delete_request_cancel_period = 0;
    REQUIRE(fixture_open(&f));
    push_many(&f, 1, 40000);
    push_many(&f, 50001, 40000);
    delete_web(&f, 7, 7, NULL, 0);
    delete_web(&f, 45000, 46000, NULL, 0);
    CHECK_OK(store_merge(f.st, true, &e), &e);
    CHECK_EQ(rows_on_disk(&f), 79999);
    CHECK_EQ(metric_value(f.st->m.deleted_rows), 1);
    CHECK(metric_value(f.st->m.merge_copied) >= 40000);
    CHECK_STATES(&f, "fake", "1 7-7 processed\n2 45000-46000 processed\n");
    fixture_done(&f);
}

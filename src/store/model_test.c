/* Random histories (pushes with late rows, duplicates and several streams; flushes; restarts) against a plain list of rows:
 * every scan, in any range and direction, gives what the list gives. */
#include "base/vec.h"
#include "store/store_test.h"

struct model_row {
    int64_t ts;
    int stream, line, meta;
};
struct model {
    VEC(struct model_row) rows; /* in the order of acceptance, each once */
};

static uint64_t rng_state;
static uint32_t rng(uint32_t n)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((rng_state >> 33) % n);
}

static bool same(const struct model_row *a, const struct model_row *b)
{
    return a->ts == b->ts && a->stream == b->stream && a->line == b->line && a->meta == b->meta;
}

static void model_add(struct model *m, struct model_row r)
{
    for (size_t i = 0; i < m->rows.n; i++)
        if (same(&m->rows.at[i], &r))
            return;
    *vec_push(&m->rows) = r;
}

static void push_random(struct fixture *f, struct model *m, int64_t now)
{
    SCOPED(buf_done) struct buf b = {0};
    size_t n = 1 + rng(rng(4) ? 5 : 400);
    char lines[400][40], services[400][8], metas[400][24];
    for (size_t i = 0; i < n; i++) {
        struct model_row r = {now - rng(rng(8) ? 20 : 2000), (int)rng(5), (int)rng(6), (int)rng(3)};
        if (rng(10) == 0)
            r.meta = 3 + (int)rng(1000);
        snprintf(lines[i], sizeof lines[i], "line %d of some length", r.line);
        snprintf(services[i], sizeof services[i], "svc%d", r.stream);
        snprintf(metas[i], sizeof metas[i], "m%d", r.meta);
        put_records(&b, services[i], &(struct rec){.ts = r.ts, .line = lines[i], .attrs = {"k", metas[i]}}, 1);
        model_add(m, r);
    }
    CHECK_EQ(push_bytes(f->st, "fake", buf_view(&b), 1).code, PUSH_SENT);
}

static int by_time(const void *a, const void *b)
{
    const struct model_row *const *x = a, *const *y = b;
    if ((*x)->ts != (*y)->ts)
        return (*x)->ts < (*y)->ts ? -1 : 1;
    if ((*x)->stream != (*y)->stream)
        return (*x)->stream - (*y)->stream;
    return (*x > *y) - (*x < *y);
}

static void model_text(const struct model *m, const struct scan_request *rq, int stream, struct buf *out)
{
    VEC(const struct model_row *) picked = {0};
    for (size_t i = 0; i < m->rows.n; i++) {
        const struct model_row *r = &m->rows.at[i];
        if (r->ts >= rq->start_ns && r->ts < rq->end_ns && (stream < 0 || r->stream == stream))
            *vec_push(&picked) = r;
    }
    if (picked.n)
        qsort(picked.at, picked.n, sizeof *picked.at, by_time);
    size_t n = rq->limit && rq->limit < picked.n ? rq->limit : picked.n;
    for (size_t i = 0; i < n; i++) {
        const struct model_row *r = picked.at[rq->backward ? picked.n - 1 - i : i];
        buf_fmt(out, "{service_name=\"svc%d\"} %lld line %d of some length k=m%d\n", r->stream, (long long)r->ts, r->line,
                r->meta);
    }
    vec_done(&picked);
}

static void check_random_scan(struct fixture *f, const struct model *m, int64_t now)
{
    struct err e = {0};
    SCOPED(buf_done) struct buf got = {0};
    SCOPED(buf_done) struct buf want = {0};
    int stream = (int)rng(7) - 2;
    char service[8];
    snprintf(service, sizeof service, "svc%d", stream);
    struct matcher match = {SV("service_name"), sv_of(service), MATCH_EQ, NULL};
    struct scan_request rq = {.tenant = SV("fake"), .start_ns = INT64_MIN, .end_ns = INT64_MAX, .backward = rng(2)};
    if (rng(3)) {
        rq.start_ns = now - rng(2200);
        rq.end_ns = rq.start_ns + rng(1000);
    }
    if (rng(3) == 0)
        rq.limit = 1 + rng(50);
    if (stream >= 0) {
        rq.matchers = &match;
        rq.n_matchers = 1;
    }
    CHECK_OK(scan_text(f->st, &rq, SHOW_LABELS | SHOW_METADATA, &got, NULL, &e), &e);
    model_text(m, &rq, stream >= 0 ? stream : -1, &want);
    CHECK_SV(buf_view(&got), buf_view(&want));
}

static void check_totals(struct fixture *f, const struct model *m)
{
    struct store_totals t;
    struct err e = {0};
    REQUIRE_OK(store_totals(f->st, SV("fake"), NULL, 0, INT64_MIN, INT64_MAX, &t, &e), &e);
    CHECK_EQ(t.entries, m->rows.n);
    CHECK_EQ(t.bytes, m->rows.n * strlen("line 0 of some length"));
}

static void history(uint64_t seed)
{
    struct fixture f;
    struct model m = {0};
    struct err e = {0};
    rng_state = seed;
    fixture_config(&f);
    f.cfg.discover_log_levels = false;
    REQUIRE(fixture_open(&f));
    int64_t now = 1000000;
    for (int step = 0; step < 120 && !test_failures; step++, now += rng(30)) {
        uint32_t what = rng(20);
        if (what < 9) {
            push_random(&f, &m, now);
        } else if (what < 11) {
            CHECK_OK(store_flush(f.st, &e), &e);
        } else if (what == 11) {
            fixture_close(&f);
            REQUIRE(fixture_open(&f));
        } else {
            check_random_scan(&f, &m, now);
        }
    }
    check_totals(&f, &m);
    if (test_failures)
        test_fail(__FILE__, __LINE__, "seed %llu", (unsigned long long)seed);
    vec_done(&m.rows);
    fixture_done(&f);
}

TEST(random_histories_agree_with_a_plain_list)
{
    const char *only = getenv("WEIR_TEST_SEED");
    if (only) {
        history(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= 6 && !test_failures; seed++)
        history(seed);
}

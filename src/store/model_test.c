/* Random histories (pushes with late rows, duplicates and several streams; flushes; merges of any neighbours; restarts) against a plain list of rows:
 * every scan, in any range and direction, gives what the list gives. */
#include "base/regex.h"
#include "base/vec.h"
#include "store/crew.h"
#include "store/store_int.h"
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

/* Filters of a random request, and the same in the model's words. */
struct filters {
    struct scan_filter line[2];
    struct scan_key_filter key[2];
    size_t n_line, n_key;
    bool lines[6];          /* which of the six pass */
    int meta_below, odd;    /* metadata below this number; only odd ones */
    struct regex *re;
};

static bool below(const void *ctx, sv value)
{
    int64_t v;
    return value.n > 1 && sv_to_i64(sv_from(value, 1), &v) && v < ((const struct filters *)ctx)->meta_below;
}

static bool not_svc3(const void *ctx, sv value)
{
    (void)ctx;
    return !sv_eq(value, SV("svc3"));
}

static void random_filters(struct filters *x)
{
    static const sv three[] = {SV("3 of")}, some[] = {SV("line 1 "), SV("line 4 ")}, needed[] = {SV("line"), SV(" length")};
    struct err e = {0};
    *x = (struct filters){.meta_below = 10000};
    memset(x->lines, 1, sizeof x->lines);
    uint32_t kind = rng(6);
    if (kind == 0) {
        x->line[x->n_line++] = (struct scan_filter){.op = SCAN_CONTAINS, .text = three[0]};
        memcpy(x->lines, (bool[6]){[3] = true}, 6);
    } else if (kind == 1) {
        x->line[x->n_line++] = (struct scan_filter){.op = SCAN_NOT_CONTAINS, .text = three[0]};
        x->lines[3] = false;
    } else if (kind == 2) {
        bool not = rng(2);
        CHECK_OK(regex_compile(SV("line [0-2] .* length"), 0, &x->re, &e), &e);
        x->line[x->n_line++] = (struct scan_filter){.op = not ? SCAN_NOT_REGEX : SCAN_REGEX, .re = x->re, .required = needed,
                                                    .n_required = rng(3)};
        for (int i = 0; i < 6; i++)
            x->lines[i] = (i <= 2) != not;
    } else if (kind == 3) {
        x->line[x->n_line++] = (struct scan_filter){.op = SCAN_REGEX, .literals = some, .n_literals = 2};
        x->line[x->n_line++] = (struct scan_filter){.op = SCAN_NOT_CONTAINS, .text = SV("4")};
        memcpy(x->lines, (bool[6]){[1] = true}, 6);
    }
    if (rng(2)) {
        x->meta_below = rng(2) ? 2 : 500;
        x->key[x->n_key++] = (struct scan_key_filter){.name = SV("k"), .accept = below, .ctx = x};
    }
    x->odd = rng(4) == 0;
    if (x->odd) /* of the stream: no row has such metadata */
        x->key[x->n_key++] = (struct scan_key_filter){.name = SV("service_name"), .accept = not_svc3};
}

static bool passes(const struct filters *x, const struct model_row *r)
{
    return x->lines[r->line] && r->meta < x->meta_below && !(x->odd && r->stream == 3);
}

static void model_text(const struct model *m, const struct scan_request *rq, const struct filters *x, int stream,
                       struct buf *out)
{
    VEC(const struct model_row *) picked = {0};
    for (size_t i = 0; i < m->rows.n; i++) {
        const struct model_row *r = &m->rows.at[i];
        if (r->ts >= rq->start_ns && r->ts < rq->end_ns && (stream < 0 || r->stream == stream) && passes(x, r))
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

/* Rows that scan_each() gave, as text without order. */
struct collected {
    struct lock mu;
    VEC(char *) at;
    const struct scan_request *rq;
};

static bool collect(void *ctx, unsigned slot, const struct scan_rows *rows, struct err *e)
{
    struct collected *c = ctx;
    SCOPED(arena_done) struct arena a;
    SCOPED(buf_done) struct buf b = {0};
    (void)e;
    arena_init(&a, 0);
    CHECK(slot < CREW_MAX);
    LOCK_SCOPED(&c->mu);
    for (uint32_t i = 0; i < rows->n; i++) {
        uint32_t row = rows->at ? rows->at[i] : i, from = row ? rows->line_end[row - 1] : 0, id = key_column_id(&rows->keys[0], row);
        struct labels l;
        buf_reset(&b);
        labels_text(rows->streams[rows->stream[row]]->labels, &b);
        buf_fmt(&b, " %lld " SV_FMT, (long long)rows->ts[row],
                SV_ARG(sv_make(rows->lines + from, rows->line_end[row] - from)));
        CHECK(scan_labels(rows->c, row, &a, &l));
        put_metadata(&b, l);
        CHECK(id);
        CHECK_SV(id ? rows->keys[0].values[id - 1] : SV_NULL, l.at[0].value);
        if (rows->sign > 0) {
            *vec_push(&c->at) = sv_dup(buf_view(&b));
            continue;
        }
        size_t k = 0;
        while (k < c->at.n && !sv_eq(sv_of(c->at.at[k]), buf_view(&b)))
            k++;
        CHECK(k < c->at.n);
        if (k == c->at.n)
            return true;
        free(c->at.at[k]);
        c->at.at[k] = c->at.at[--c->at.n];
    }
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_text(struct buf *b)
{
    VEC(char *) lines = {0};
    for (sv rest = buf_view(b); rest.n;)
        *vec_push(&lines) = sv_dup(sv_cut(&rest, '\n'));
    if (lines.n)
        qsort(lines.at, lines.n, sizeof *lines.at, by_text);
    buf_reset(b);
    for (size_t i = 0; i < lines.n; i++) {
        buf_fmt(b, "%s\n", lines.at[i]);
        free(lines.at[i]);
    }
    vec_done(&lines);
}

static void check_each(struct fixture *f, const struct scan_request *rq, struct buf *want)
{
    struct err e = {0};
    struct scan_stats s;
    struct scan_request all = *rq;
    struct collected c = {.mu = LOCK_INIT};
    struct scan_sink sink = {collect, &c};
    sv key = SV("k");
    SCOPED(buf_done) struct buf got = {0};
    all.limit = 0;
    all.columns = SCAN_LINES | SCAN_METADATA;
    all.keys = &key;
    all.n_keys = 1;
    CHECK_OK(scan_each(f->st, &all, &sink, &s, &e), &e);
    CHECK_EQ(s.rows_returned, c.at.n);
    for (size_t i = 0; i < c.at.n; i++) {
        buf_fmt(&got, "%s\n", c.at.at[i]);
        free(c.at.at[i]);
    }
    vec_done(&c.at);
    sort_text(&got);
    sort_text(want);
    CHECK_SV(buf_view(&got), buf_view(want));
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
    struct filters x;
    random_filters(&x);
    rq.filters = x.line;
    rq.n_filters = x.n_line;
    rq.key_filters = x.key;
    rq.n_key_filters = x.n_key;
    CHECK_OK(scan_text(f->st, &rq, SHOW_LABELS | SHOW_METADATA, &got, NULL, &e), &e);
    model_text(m, &rq, &x, stream >= 0 ? stream : -1, &want);
    CHECK_SV(buf_view(&got), buf_view(&want));
    rq.limit = 0;
    buf_reset(&want);
    model_text(m, &rq, &x, stream >= 0 ? stream : -1, &want);
    check_each(f, &rq, &want);
    regex_free(x.re);
}

static void check_totals(struct fixture *f, const struct model *m)
{
    struct store_totals t;
    struct err e = {0};
    REQUIRE_OK(store_totals(f->st, SV("fake"), NULL, 0, INT64_MIN, INT64_MAX, &t, &e), &e);
    CHECK_EQ(t.entries, m->rows.n);
    CHECK_EQ(t.bytes, m->rows.n * strlen("line 0 of some length"));
}

static void merge_random(struct fixture *f)
{
    struct err e = {0};
    size_t n = f->st->parts.parts.n, first = n ? rng((uint32_t)n) : 0;
    if (rng(8) == 0)
        CHECK_OK(store_merge(f->st, rng(2), &e), &e);
    else if (n)
        CHECK_OK(merge_window(f->st, first, 1 + rng((uint32_t)MIN(n - first, (size_t)16)), &e), &e);
}

static void history(uint64_t seed)
{
    struct fixture f;
    struct model m = {0};
    struct err e = {0};
    rng_state = seed;
    fixture_config(&f);
    f.cfg.query_threads = 1 + seed % 4;
    f.cfg.limits.discover_log_levels = false;
    REQUIRE(fixture_open(&f));
    int64_t now = 1000000;
    for (int step = 0; step < 120 && !test_failures; step++, now += rng(30)) {
        uint32_t what = rng(24);
        if (what < 9) {
            push_random(&f, &m, now);
        } else if (what < 11) {
            CHECK_OK(store_flush(f.st, &e), &e);
        } else if (what >= 20) {
            merge_random(&f);
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

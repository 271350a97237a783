/* The two ways of reading a record make the same rows: requests are made twice, once with a field behind each record that nobody
 * knows and whose tag has two bytes, which the quick way leaves to the other. */
#include "base/test.h"
#include "otlp/walk.h"
#include "otlp/write.h"
#include "store/ingest.h"
#include <stdio.h>

static uint64_t rnd(uint64_t below)
{
    static uint64_t x = 0x2545f4914f6cdd1du;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x % below;
}

static sv any_of(const sv *at, size_t n)
{
    return at[rnd(n)];
}
#define ANY(...) any_of((const sv[]){__VA_ARGS__}, sizeof((const sv[]){__VA_ARGS__}) / sizeof(sv))

static void put_attribute(struct buf *b)
{
    sv name = ANY(SV("code.lineno"), SV("code_lineno"), SV("a.b"), SV("level"), SV("detected_level"), SV("severity_text"), SV("trace_id"),
                  SV("lang"), SV("1x"), SV("user name"), SV("severity_number"), SV("host"));
    if (rnd(60) == 0)
        name = ANY(SV(""), SV("%%"));
    switch (rnd(12)) {
    case 0:
        otlp_put_attr_bool(b, 6, name, rnd(2));
        return;
    case 1:
        otlp_put_attr_double(b, 6, name, (double)rnd(100) / 8);
        return;
    case 2: { /* a map, a list, nothing */
        size_t kv = otlp_open(b, 6);
        otlp_put_bytes(b, 1, name);
        size_t any = otlp_open(b, 2), in = otlp_open(b, rnd(2) ? 6 : 5);
        if (rnd(2)) /* in a list, that is a value of kinds nobody knows */
            otlp_put_attr_str(b, 1, ANY(SV("x"), SV("y.z")), SV("v"));
        otlp_close(b, in);
        otlp_close(b, any);
        otlp_close(b, kv);
        return;
    }
    case 3: /* no value; or the key behind it; or twice */
        for (uint64_t i = rnd(3); i < 3; i++) {
            size_t kv = otlp_open(b, 6);
            size_t any = i == 1 ? otlp_open(b, 2) : 0;
            if (any) {
                otlp_put_bytes(b, 1, SV("one"));
                otlp_put_bytes(b, 1, SV("two"));
                otlp_close(b, any);
            }
            otlp_put_bytes(b, 1, name);
            otlp_close(b, kv);
        }
        return;
    case 4:
    case 5:
    case 6:
        otlp_put_attr_i64(b, 6, name, (int64_t)rnd(50) - 3);
        return;
    default:
        otlp_put_attr_str(b, 6, name,
                          ANY(SV(""), SV("warn"), SV("WRN"), SV("a\xff\xfe" "b"), SV("a value of some length"), SV("a valuE of some length"), SV("7"), SV("x"),
                              SV("INFO"), SV("a very long value, longer than anything that is looked up by its bytes, which is more than two "
                                             "hundred and fifty-five of them, counted together with the name and the three lengths, and so this "
                                             "text goes on and on for a while until it has got there at last, at the end")));
    }
}

static void put_id(struct buf *b, uint32_t field, size_t n)
{
    static const char ids[3][16] = {"0123456789abcdef", "fedcba9876543210", ""};
    otlp_put_bytes(b, field, sv_make(ids[rnd(3)], rnd(12) ? n : rnd(n)));
}

static void put_body(struct buf *b)
{
    size_t body = otlp_open(b, 5), list;
    switch (rnd(8)) {
    case 0:
        otlp_put_varint(b, 3, rnd(100));
        break;
    case 1:
        list = otlp_open(b, 6);
        otlp_put_attr_str(b, 1, SV("k"), SV("v"));
        otlp_close(b, list);
        break;
    case 2:
        break;
    default:
        otlp_put_bytes(b, 1, ANY(SV("one line"), SV("level=error x"), SV("{\"level\": \"debug\"}"), SV(""), SV("WARN it is")));
    }
    otlp_close(b, body);
}

static void put_fields(struct buf *b)
{
    if (rnd(8))
        otlp_put_fixed64(b, 1, rnd(5) + 1000);
    for (uint64_t i = rnd(3); i-- > 0;)
        otlp_put_varint(b, 2, rnd(26));
    if (rnd(2))
        otlp_put_bytes(b, 3, ANY(SV("INFO"), SV("Warning"), SV(""), SV("x\xffy")));
    put_body(b);
    for (uint64_t i = rnd(6); i-- > 0;)
        put_attribute(b);
    if (rnd(4) == 0)
        otlp_put_varint(b, 7, rnd(3));
    if (rnd(4) == 0)
        otlp_put_fixed32(b, 8, (uint32_t)rnd(2));
    if (rnd(2)) {
        put_id(b, 9, 16);
        put_id(b, 10, 8);
    }
    if (rnd(3))
        otlp_put_fixed64(b, 11, (rnd(2) ? 2000 : 1795875299900000000u) + rnd(5) * 49999999);
    if (rnd(6) == 0)
        otlp_put_bytes(b, 12, ANY(SV("event"), SV("")));
    if (rnd(40) == 0)
        otlp_put_bytes(b, 12, SV("twice"));
}

static void put_scope(struct buf *b, sv name)
{
    size_t scope = otlp_open(b, 1);
    otlp_put_bytes(b, 1, name);
    otlp_close(b, scope);
}

/* The same request twice: *odd with what makes its records unusual. */
static void put_request(struct buf *plain, struct buf *odd)
{
    struct buf *both[] = {plain, odd};
    size_t rl[2], sl[2];
    bool resource = rnd(2);
    for (int k = 0; k < 2; k++) {
        rl[k] = otlp_open(both[k], 1);
        size_t res = otlp_open(both[k], 1);
        otlp_put_attr_str(both[k], 1, SV("service.name"), SV("web"));
        if (resource)
            otlp_put_attr_str(both[k], 1, SV("host"), SV("h"));
        otlp_put_attr_str(both[k], 1, SV("lang"), SV("c"));
        otlp_close(both[k], res);
        sl[k] = otlp_open(both[k], 2);
    }
    uint64_t scopes = rnd(10) ? 1 : 2; /* in front, behind, or both */
    bool in_front = rnd(5);
    for (int k = 0; k < 2 && in_front; k++)
        put_scope(both[k], SV("first"));
    for (uint64_t i = 1 + rnd(40); i-- > 0;) {
        struct buf fields = {0};
        put_fields(&fields);
        for (int k = 0; k < 2; k++) {
            size_t lr = otlp_open(both[k], 2);
            buf_sv(both[k], buf_view(&fields));
            if (k)
                otlp_put_varint(both[k], 100, 1);
            otlp_close(both[k], lr);
        }
        buf_done(&fields);
    }
    for (int k = 0; k < 2; k++) {
        if (scopes == 2 || !in_front)
            put_scope(both[k], SV("last"));
        otlp_close(both[k], sl[k]);
        otlp_close(both[k], rl[k]);
    }
}

static void show_rows(const struct ingest_result *r, struct buf *to)
{
    for (size_t i = 0; i < r->chunks.n; i++)
        for (uint32_t row = 0; row < r->chunks.at[i]->n; row++) {
            const struct chunk *c = r->chunks.at[i];
            uint32_t n;
            const uint32_t *ids = chunk_meta(c, row, &n);
            buf_fmt(to, "%lld " SV_FMT " " SV_FMT, (long long)c->ts[row], SV_ARG(c->streams[c->stream[row]].st->text),
                    SV_ARG(chunk_line(c, row)));
            for (uint32_t k = 0; k < n; k++) {
                struct label l = chunk_pair(c, ids[k]);
                CHECK(!k || sv_cmp(chunk_pair(c, ids[k - 1]).name, l.name) < 0);
                buf_fmt(to, " " SV_FMT "=" SV_FMT, SV_ARG(l.name), SV_ARG(l.value));
            }
            buf_char(to, '\n');
        }
    buf_fmt(to, "%llu rows, %llu bytes, %llu of metadata; refused", (unsigned long long)r->n_rows, (unsigned long long)r->line_bytes,
            (unsigned long long)r->metadata_bytes);
    for (size_t i = 0; i < r->refused.n; i++)
        buf_fmt(to, " %u", r->refused.at[i]);
}

static bool rows_of(const struct ingest_request *rq, struct buf *to)
{
    struct ingest_result r;
    struct err e = {0};
    if (!ingest(rq, &r, &e)) {
        test_fail(__FILE__, __LINE__, "ingest: %s", e.msg);
        return false;
    }
    show_rows(&r, to);
    ingest_result_done(&r);
    return true;
}

struct world {
    struct store_config cfg;
    struct registry *reg;
    struct tenant *t;
    struct ingest_pool *pool;
};

static bool world_make(struct world *w, struct err *e)
{
    *w = (struct world){0};
    return options_defaults(store_options, &w->cfg, e) && options_defaults(limits_options, &w->cfg.limits, e) && registry_new(1 << 20, &w->reg, e) && registry_tenant(w->reg, SV("t"), &w->t, e) &&
           ingest_pool_new(&w->pool, e);
}

static void world_done(struct world *w)
{
    ingest_pool_free(w->pool);
    registry_free(w->reg);
    options_done(store_options, &w->cfg);
}

TEST(both_ways_of_reading_make_the_same_rows)
{
    struct world w;
    struct err e = {0};
    REQUIRE_OK(world_make(&w, &e), &e);
    w.cfg.limits.max_structured_metadata_entries_count = 11;
    w.cfg.limits.max_structured_metadata_size = 400;
    w.cfg.limits.max_line_size = 13;
    w.cfg.limits.reject_old_samples_max_age = 98;
    for (int i = 0; i < 700; i++) {
        struct buf plain = {0}, odd = {0}, quick = {0}, other = {0};
        struct ingest_request rq = {.tenant = w.t, .pool = i % 3 ? w.pool : NULL, .arrived_wall_ns = 1500, .now_wall_ns = 1100,
                                    .limits = i % 2 ? &w.cfg.limits : NULL, .rules = (unsigned)i / 2 % 8};
        put_request(&plain, &odd);
        rq.bytes = buf_view(&plain);
        bool ok = rows_of(&rq, &quick);
        rq.bytes = buf_view(&odd);
        ok = ok && rows_of(&rq, &other);
        CHECK_SV(buf_view(&quick), buf_view(&other));
        buf_done(&plain);
        buf_done(&odd);
        buf_done(&quick);
        buf_done(&other);
        REQUIRE(ok);
    }
    world_done(&w);
}

/* What was seen in one request, or chunk, is nothing in the next: the numbers that tell them apart come round again, too. */
TEST(requests_do_not_see_each_other)
{
    struct world w;
    struct err e = {0};
    REQUIRE_OK(world_make(&w, &e), &e);
    for (uint32_t i = 0; i < 70000; i++) {
        struct buf b = {0}, got = {0};
        char want[64], value[16];
        snprintf(value, sizeof value, "%u", i % 3);
        snprintf(want, sizeof want, "1 {service_name=\"unknown_service\"}  n=%s\n", value);
        size_t rl = otlp_open(&b, 1), sl = otlp_open(&b, 2), lr = otlp_open(&b, 2);
        otlp_put_fixed64(&b, 1, 1);
        otlp_put_attr_str(&b, 6, SV("n"), sv_of(value));
        otlp_close(&b, lr);
        otlp_close(&b, sl);
        otlp_close(&b, rl);
        struct ingest_request rq = {.tenant = w.t, .pool = w.pool, .rules = RULE_SERVICE_NAME, .bytes = buf_view(&b)};
        bool ok = rows_of(&rq, &got) && sv_starts(buf_view(&got), sv_of(want));
        buf_done(&b);
        buf_done(&got);
        REQUIRE(ok);
    }
    world_done(&w);
}

/* Names and plans are given up when they are many; texts that refused records left do not fill memory. */
TEST(what_a_request_leaves_behind_is_bounded)
{
    struct world w;
    struct err e = {0};
    REQUIRE_OK(world_make(&w, &e), &e);
    struct buf b = {0};
    static char value[60 << 10];
    memset(value, 'v', sizeof value);
    w.cfg.limits.max_structured_metadata_entries_count = 1;
    size_t rl = otlp_open(&b, 1), sl = otlp_open(&b, 2);
    for (uint32_t i = 0; i < 200; i++) { /* refused: two of metadata; 12 MB of texts */
        size_t lr = otlp_open(&b, 2);
        memcpy(value, &i, sizeof i);
        for (int k = 0; k < 2; k++) {
            char name[300];
            memset(name, 'n', sizeof name);
            snprintf(name, 16, "%u %d", i, k);
            name[15] = '.';
            otlp_put_attr_str(&b, 6, sv_make(name, sizeof name), sv_make(value, sizeof value));
        }
        otlp_close(&b, lr);
    }
    size_t lr = otlp_open(&b, 2);
    otlp_put_attr_str(&b, 6, SV("k"), SV("v"));
    otlp_close(&b, lr);
    otlp_close(&b, sl);
    otlp_close(&b, rl);
    struct ingest_request rq = {.tenant = w.t, .pool = w.pool, .limits = &w.cfg.limits, .rules = RULE_SERVICE_NAME, .bytes = buf_view(&b), .arrived_wall_ns = 1};
    for (int i = 0; i < 4; i++) {
        struct ingest_result r;
        REQUIRE_OK(ingest(&rq, &r, &e), &e);
        CHECK_EQ(r.n_rows, 1);
        CHECK_EQ(r.refused.n, 200);
        CHECK_EQ(r.chunks.n, 1);
        CHECK(r.chunks.at[0]->memory < 5 << 20);
        ingest_result_done(&r);
    }
    buf_done(&b);
    world_done(&w);
}

/* A request that nobody has checked is refused exactly when otlp_check() refuses it, and makes the same rows otherwise. */
TEST(what_is_malformed_is_found_on_the_way)
{
    struct world w;
    struct err e = {0};
    unsigned good = 0, bad = 0;
    REQUIRE_OK(world_make(&w, &e), &e);
    for (int i = 0; i < 2000; i++) {
        struct buf plain = {0}, odd = {0}, one = {0}, two = {0};
        struct otlp_counts counts;
        put_request(&plain, &odd);
        struct buf *b = i % 2 ? &plain : &odd;
        for (uint64_t k = rnd(3); k-- > 0;)
            b->p[rnd(b->n)] ^= (char)(1 << rnd(8));
        struct ingest_request rq = {.tenant = w.t, .pool = w.pool, .bytes = sv_sub(buf_view(b), 0, rnd(20) ? b->n : rnd(b->n)),
                                    .arrived_wall_ns = 1, .check = true, .rules = RULE_SERVICE_NAME};
        struct err why = {0};
        uint64_t n;
        bool ok = otlp_check(rq.bytes, NULL, &counts, &e);
        struct ingest_result r = {0};
        bool taken = ingest_count(&rq, UINT64_MAX - 1, &n, &why) && ingest(&rq, &r, &why);
        CHECK_EQ(taken, ok);
        CHECK(ok || sv_eq(sv_of(why.msg), sv_of(e.msg)));
        CHECK(ok || why.code == ERR_PARSE || why.code == ERR_INVALID);
        if (taken && ok) {
            CHECK_EQ(n, counts.records);
            show_rows(&r, &one);
            rq.check = false;
            CHECK(rows_of(&rq, &two));
            CHECK_SV(buf_view(&one), buf_view(&two));
        }
        ingest_result_done(&r);
        good += ok;
        bad += !ok;
        buf_done(&plain);
        buf_done(&odd);
        buf_done(&one);
        buf_done(&two);
        REQUIRE(taken == ok);
    }
    CHECK(good > 300);
    CHECK(bad > 300);
    world_done(&w);
}

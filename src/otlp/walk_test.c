/* walk_test.c - good and bad bytes, what the iterators give, and that concatenation is merging. */
#include "otlp/walk.h"
#include "base/buf.h"
#include "base/test.h"
#include "otlp/write.h"
#include <math.h>

/* ---- builders ---- */

struct nest {
    size_t mark[4];
};
static struct nest open_record(struct buf *b)
{
    struct nest n;
    n.mark[0] = otlp_open(b, 1);
    n.mark[1] = otlp_open(b, 2);
    n.mark[2] = otlp_open(b, 2);
    return n;
}
static void close_record(struct buf *b, struct nest n)
{
    for (int i = 3; i-- > 0;)
        otlp_close(b, n.mark[i]);
}

/* Two resources; the second has two scopes; five records. */
static void put_example(struct buf *b)
{
    size_t rl = otlp_open(b, 1), r = otlp_open(b, 1);
    otlp_put_attr_str(b, OTLP_RESOURCE_ATTRS, SV("service.name"), SV("shop"));
    otlp_put_attr_i64(b, OTLP_RESOURCE_ATTRS, SV("pid"), -7);
    otlp_put_varint(b, 2, 3);
    otlp_close(b, r);
    size_t sl = otlp_open(b, 2), s = otlp_open(b, 1);
    otlp_put_bytes(b, 1, SV("lib"));
    otlp_put_bytes(b, 2, SV("1.0"));
    otlp_put_attr_bool(b, OTLP_SCOPE_ATTRS, SV("yes"), true);
    otlp_put_varint(b, 4, 9);
    otlp_close(b, s);
    size_t lr = otlp_open(b, 2);
    otlp_put_fixed64(b, 1, 1700000000000000001u);
    otlp_put_fixed64(b, 11, 1700000000000000002u);
    otlp_put_varint(b, 2, 17);
    otlp_put_bytes(b, 3, SV("ERROR"));
    size_t body = otlp_open(b, 5);
    otlp_put_bytes(b, 1, SV("it broke"));
    otlp_close(b, body);
    otlp_put_attr_str(b, OTLP_RECORD_ATTRS, SV("k"), SV("v"));
    otlp_put_attr_double(b, OTLP_RECORD_ATTRS, SV("d"), 0.5);
    otlp_put_attr_bytes(b, OTLP_RECORD_ATTRS, SV("raw"), SV("\x00\xff"));
    otlp_put_varint(b, 7, 2);
    otlp_put_fixed32(b, 8, 1);
    otlp_put_bytes(b, 9, SV("0123456789abcdef"));
    otlp_put_bytes(b, 10, SV("01234567"));
    otlp_put_bytes(b, 12, SV("broke"));
    otlp_close(b, lr);
    otlp_put_bytes(b, 2, SV_NULL);
    otlp_put_bytes(b, 3, SV("https://schema/scope"));
    otlp_close(b, sl);
    otlp_put_bytes(b, 3, SV("https://schema/resource"));
    otlp_close(b, rl);
    rl = otlp_open(b, 1);
    for (int i = 0; i < 2; i++) {
        sl = otlp_open(b, 2);
        otlp_put_bytes(b, 2, SV_NULL);
        otlp_close(b, sl);
    }
    sl = otlp_open(b, 2);
    otlp_put_bytes(b, 2, SV_NULL);
    otlp_close(b, sl);
    otlp_close(b, rl);
}

TEST(a_request_is_counted_and_walked)
{
    SCOPED(buf_done) struct buf b = {0};
    struct err e = {0};
    struct otlp_counts counts;
    put_example(&b);
    REQUIRE_OK(otlp_check(buf_view(&b), NULL, &counts, &e), &e);
    CHECK_EQ(counts.resources, 2);
    CHECK_EQ(counts.scopes, 4);
    CHECK_EQ(counts.records, 5);
    CHECK_EQ(counts.bad_ids, 0);

    struct otlp_iter it = otlp_resources(buf_view(&b));
    struct otlp_resource_logs rl;
    REQUIRE(otlp_next_resource(&it, &rl));
    CHECK_SV(rl.schema_url, SV("https://schema/resource"));
    CHECK_EQ(otlp_resource_dropped(rl.resource), 3);
    struct otlp_attr_iter attrs = otlp_attrs(rl.resource, OTLP_RESOURCE_ATTRS);
    struct otlp_attr a;
    REQUIRE(otlp_next_attr(&attrs, &a));
    CHECK_SV(a.key, SV("service.name"));
    CHECK_SV(otlp_read_value(a.value).text, SV("shop"));
    REQUIRE(otlp_next_attr(&attrs, &a));
    CHECK_EQ(otlp_read_value(a.value).kind, OTLP_INT);
    CHECK_EQ(otlp_read_value(a.value).i, -7);
    CHECK(!otlp_next_attr(&attrs, &a));

    struct otlp_iter scopes = otlp_scopes(&rl);
    struct otlp_scope_logs sl;
    struct otlp_scope scope;
    REQUIRE(otlp_next_scope(&scopes, &sl));
    CHECK_SV(sl.schema_url, SV("https://schema/scope"));
    otlp_read_scope(sl.scope, &scope);
    CHECK_SV(scope.name, SV("lib"));
    CHECK_SV(scope.version, SV("1.0"));
    CHECK_EQ(scope.dropped_attributes, 9);

    struct otlp_iter records = otlp_records(&sl);
    struct otlp_record r;
    REQUIRE(otlp_next_record(&records, &r));
    CHECK_EQ(r.time_ns, 1700000000000000001u);
    CHECK_EQ(r.observed_ns, 1700000000000000002u);
    CHECK_EQ(r.severity_number, 17);
    CHECK_EQ(r.flags, 1);
    CHECK_EQ(r.dropped_attributes, 2);
    CHECK_SV(r.severity_text, SV("ERROR"));
    CHECK_SV(r.event_name, SV("broke"));
    CHECK_SV(r.trace_id, SV("0123456789abcdef"));
    CHECK_SV(r.span_id, SV("01234567"));
    CHECK_SV(otlp_read_value(r.body).text, SV("it broke"));
    attrs = otlp_attrs(r.raw, OTLP_RECORD_ATTRS);
    REQUIRE(otlp_next_attr(&attrs, &a) && otlp_next_attr(&attrs, &a));
    CHECK(otlp_read_value(a.value).d == 0.5);
    REQUIRE(otlp_next_attr(&attrs, &a));
    CHECK_EQ(otlp_read_value(a.value).kind, OTLP_BYTES);
    REQUIRE(otlp_next_record(&records, &r));
    CHECK_EQ(r.time_ns, 0);
    CHECK(r.body.p == NULL);
    CHECK(!otlp_next_record(&records, &r));
    CHECK(!otlp_next_scope(&scopes, &sl));
    REQUIRE(otlp_next_resource(&it, &rl));
    CHECK_EQ(rl.resource.n, 0);
    CHECK(!otlp_next_resource(&it, &rl));
}

TEST(concatenation_is_merging)
{
    SCOPED(buf_done) struct buf b = {0};
    struct err e = {0};
    struct otlp_counts one, two;
    put_example(&b);
    CHECK_OK(otlp_check(buf_view(&b), NULL, &one, &e), &e);
    put_example(&b);
    CHECK_OK(otlp_check(buf_view(&b), NULL, &two, &e), &e);
    CHECK_EQ(two.records, 2 * one.records);
    CHECK_EQ(two.resources, 2 * one.resources);
    CHECK_EQ(two.scopes, 2 * one.scopes);
}

TEST(the_empty_request_is_good)
{
    struct err e = {0};
    struct otlp_counts c = {.records = 99};
    CHECK_OK(otlp_check(SV_NULL, NULL, &c, &e), &e);
    CHECK_EQ(c.records, 0);
    CHECK_OK(otlp_check(SV("\x0a\x00"), NULL, &c, &e), &e);
    CHECK_EQ(c.resources, 1);
    struct otlp_iter it = otlp_resources(SV_NULL);
    struct otlp_resource_logs rl;
    CHECK(!otlp_next_resource(&it, &rl));
    CHECK_EQ(otlp_read_value(SV_NULL).kind, OTLP_EMPTY);
}

/* What a LogRecord may hold, and whether it passes. */
static const struct {
    const char *what;
    sv record;
    const char *error; /* NULL: good */
} rows[] = {
    {"nothing", SV(""), NULL},
    {"unknown varint, fixed64, bytes, fixed32", SV("\xa0\x06\x05\xa1\x06" "12345678\xa2\x06\x01x\xa5\x06" "1234"), NULL},
    {"unknown group", SV("\xa3\x06\x08\x01\xa4\x06"), NULL},
    {"group in a group", SV("\xa3\x06\x0b\x0a\x02xx\x0c\xa4\x06"), NULL},
    {"known field as varint", SV("\x28\x05\x30\x01"), NULL},
    {"tag of two bytes where one would do", SV("\x90\x00\x05"), NULL},
    {"severity of ten bytes (negative)", SV("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), NULL},
    {"body without a value", SV("\x2a\x00"), NULL},
    {"attribute without key and value", SV("\x32\x00"), NULL},
    {"invalid UTF-8", SV("\x2a\x04\x0a\x02\xff\xfe\x1a\x01\xc0"), NULL},
    {"trace id of three bytes", SV("\x4a\x03" "abc"), NULL},
    {"field number 0", SV("\x00\x00"), "log_records[0]: field number 0"},
    {"field number above 2^29", SV("\x80\x80\x80\x80\x10\x01"), "log_records[0]: field number too large"},
    {"wire type 6", SV("\x0e"), "log_records[0]: wire type that does not exist"},
    {"wire type 7", SV("\x0f"), "log_records[0]: wire type that does not exist"},
    {"varint of eleven bytes", SV("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
     "log_records[0]: varint longer than 10 bytes"},
    {"varint without an end", SV("\x10\xff"), "log_records[0]: truncated in a varint"},
    {"tag without an end", SV("\x80"), "log_records[0]: truncated in a tag"},
    {"length past the end", SV("\x1a\x05" "abc"), "log_records[0]: truncated: a length reaches past the end"},
    {"length near 2^64", SV("\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "log_records[0]: truncated"},
    {"half a fixed64", SV("\x09" "1234"), "log_records[0]: truncated in a number"},
    {"half a fixed32", SV("\x45" "12"), "log_records[0]: truncated in a number"},
    {"group without an end", SV("\xa3\x06\x08\x01"), "log_records[0]: group"},
    {"end without a group", SV("\xa4\x06"), "log_records[0]: end of a group"},
    {"groups that cross", SV("\x9b\x06\xa3\x06\x9c\x06\xa4\x06"), "log_records[0]: group"},
    {"bad body", SV("\x2a\x02\x0a\x05"), "log_records[0].body: truncated"},
    {"bad second attribute", SV("\x32\x00\x32\x02\x0a\x07"), "log_records[0].attributes[1]: truncated"},
    {"bad attribute value", SV("\x32\x06\x0a\x00\x12\x02\x0a\x01"), "log_records[0].attributes[0].value: truncated"},
    {"bad item of an array", SV("\x2a\x08\x2a\x06\x0a\x00\x0a\x02\x10\x80"),
     "log_records[0].body.array_value.values[1]: truncated in a varint"},
    {"bad entry of a map", SV("\x2a\x05\x32\x03\x0a\x01\x0e"),
     "log_records[0].body.kvlist_value.values[0]: wire type that does not exist"},
};

TEST(good_and_bad_records)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(buf_done) struct buf b = {0};
        struct err e = {0};
        struct otlp_counts counts = {0};
        size_t rl = otlp_open(&b, 1), sl = otlp_open(&b, 2);
        otlp_put_bytes(&b, 2, rows[i].record);
        otlp_close(&b, sl);
        otlp_close(&b, rl);
        bool ok = otlp_check(buf_view(&b), NULL, &counts, &e);
        if (ok != !rows[i].error)
            test_fail(__FILE__, __LINE__, "%s: %s", rows[i].what, ok ? "passed" : e.msg);
        if (rows[i].error)
            CHECK_ERR(&e, ERR_PARSE, rows[i].error);
        if (rows[i].error)
            CHECK(strncmp(e.msg, "resource_logs[0].scope_logs[0].log_records[0]", 45) == 0);
    }
}

/* Cutting a good request anywhere, or changing any byte, may fail but never reads outside (ASan watches). */
TEST(damaged_requests_are_safe_to_check_and_walk)
{
    SCOPED(buf_done) struct buf b = {0}, text = {0};
    put_example(&b);
    size_t whole = b.n;
    for (size_t cut = 0; cut <= whole; cut++)
        for (int change = 0; change < 3; change++) {
            char *copy = malloc(cut ? cut : 1); /* its own allocation, so that ASan knows its end */
            REQUIRE(copy != NULL);
            memcpy(copy, b.p, cut);
            if (change && cut)
                copy[rand_u64() % cut] = (char)rand_u64();
            struct otlp_counts counts;
            struct otlp_resource_logs rl;
            struct otlp_scope_logs sl;
            struct otlp_record r;
            struct otlp_attr a;
            bool ok = otlp_check(sv_make(copy, cut), NULL, &counts, NULL);
            uint32_t seen = 0;
            for (struct otlp_iter i = otlp_resources(sv_make(copy, cut)); otlp_next_resource(&i, &rl);)
                for (struct otlp_iter j = otlp_scopes(&rl); otlp_next_scope(&j, &sl);)
                    for (struct otlp_iter k = otlp_records(&sl); otlp_next_record(&k, &r); seen++)
                        for (struct otlp_attr_iter l = otlp_attrs(r.raw, OTLP_RECORD_ATTRS); otlp_next_attr(&l, &a);) {
                            buf_reset(&text);
                            otlp_value_text(a.value, 0, &text);
                        }
            if (ok)
                CHECK_EQ(seen, counts.records);
            free(copy);
        }
}

TEST(errors_name_the_place_and_the_position)
{
    SCOPED(buf_done) struct buf b = {0};
    struct err e = {0};
    struct otlp_counts counts;
    put_example(&b);
    size_t at = b.n;
    buf_sv(&b, SV("\x0a\x06\x0a\x04\x0a\x02\x0a\x07"));
    CHECK(!otlp_check(buf_view(&b), NULL, &counts, &e));
    CHECK_ERR(&e, ERR_PARSE, "resource_logs[2].resource.attributes[0]: truncated");
    CHECK_EQ(e.pos, at + 6);
    b.n = at;
    buf_sv(&b, SV("\x0a\x06\x12\x04\x0a\x02\x1a\x07"));
    CHECK(!otlp_check(buf_view(&b), NULL, &counts, &e));
    CHECK_ERR(&e, ERR_PARSE, "resource_logs[2].scope_logs[0].scope: truncated");
    b.n = at;
    buf_sv(&b, SV("\x0a\x7f"));
    CHECK(!otlp_check(buf_view(&b), NULL, &counts, &e));
    CHECK_ERR(&e, ERR_PARSE, "truncated: a length reaches past the end");
    CHECK_EQ(e.pos, at);
}

/* A record whose body is an array in an array ... `depth` values deep. */
static void put_deep(struct buf *b, uint32_t depth)
{
    struct nest n = open_record(b);
    size_t marks[2 * 256], m = 0;
    marks[m++] = otlp_open(b, 5);
    for (uint32_t i = 1; i < depth; i++) {
        marks[m++] = otlp_open(b, i % 2 ? 5 : 6);
        marks[m++] = otlp_open(b, 1);
        if (i % 2 == 0)
            marks[m++] = otlp_open(b, 2);
    }
    while (m)
        otlp_close(b, marks[--m]);
    close_record(b, n);
}

TEST(depth_and_count_are_capped)
{
    struct err e = {0};
    struct otlp_counts counts;
    static const struct {
        uint32_t depth, max_depth;
        bool ok;
    } depths[] = {{64, 0, true}, {65, 0, false}, {3, 3, true}, {4, 3, false}, {180, 180, true}, {205, 1000, false}};
    for (size_t i = 0; i < ARRAY_LEN(depths); i++) {
        SCOPED(buf_done) struct buf b = {0}, text = {0};
        put_deep(&b, depths[i].depth);
        bool ok = otlp_check(buf_view(&b), &(struct otlp_limits){.max_depth = depths[i].max_depth}, &counts, &e);
        CHECK_EQ(ok, depths[i].ok);
        if (!ok)
            CHECK_ERR(&e, ERR_LIMIT, "max_depth");
        if (!ok)
            CHECK_ERR(&e, ERR_LIMIT, "resource_logs[0].scope_logs[0].log_records[0].body.array_value");
    }
    SCOPED(buf_done) struct buf b = {0};
    put_example(&b);
    CHECK_OK(otlp_check(buf_view(&b), &(struct otlp_limits){.max_records = 5}, &counts, &e), &e);
    CHECK(!otlp_check(buf_view(&b), &(struct otlp_limits){.max_records = 4}, &counts, &e));
    CHECK_ERR(&e, ERR_LIMIT, "resource_logs[1].scope_logs[2].log_records[0]: more records than max_records");
}

TEST(ids_that_are_no_ids_are_absent)
{
    static const struct {
        sv trace, span;
        uint32_t bad;
    } ids[] = {{SV(""), SV(""), 0},
               {SV("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), SV("\0\0\0\0\0\0\0\0"), 0},
               {SV("abc"), SV("0123456789"), 2}};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        SCOPED(buf_done) struct buf b = {0};
        struct otlp_counts counts;
        struct err e = {0};
        struct nest n = open_record(&b);
        otlp_put_bytes(&b, 9, ids[i].trace);
        otlp_put_bytes(&b, 10, ids[i].span);
        close_record(&b, n);
        CHECK_OK(otlp_check(buf_view(&b), NULL, &counts, &e), &e);
        CHECK_EQ(counts.bad_ids, ids[i].bad);
        struct otlp_resource_logs rl;
        struct otlp_scope_logs sl;
        struct otlp_record r;
        struct otlp_iter it = otlp_resources(buf_view(&b));
        REQUIRE(otlp_next_resource(&it, &rl));
        it = otlp_scopes(&rl);
        REQUIRE(otlp_next_scope(&it, &sl));
        it = otlp_records(&sl);
        REQUIRE(otlp_next_record(&it, &r));
        CHECK_EQ(r.trace_id.n, 0);
        CHECK_EQ(r.span_id.n, 0);
    }
}

TEST(the_last_of_a_repeated_field_wins)
{
    struct otlp_value v = otlp_read_value(SV("\x0a\x01" "a\x18\x05\x10\x01"));
    CHECK_EQ(v.kind, OTLP_BOOL);
    v = otlp_read_value(SV("\x10\x01\x0a\x00"));
    CHECK_EQ(v.kind, OTLP_STRING);
    CHECK_EQ(v.text.n, 0);
    v = otlp_read_value(SV("\x40\x05")); /* a field of profiles: as if empty */
    CHECK_EQ(v.kind, OTLP_EMPTY);
}

/* ---- text ---- */

static void check_text(const struct buf *any, unsigned flags, const char *want)
{
    SCOPED(buf_done) struct buf text = {0};
    otlp_value_text(buf_view(any), flags, &text);
    CHECK_SV(buf_view(&text), sv_of(want));
}

TEST(scalars_as_text)
{
    static const struct {
        double v;
        const char *text;
    } doubles[] = {{3, "3"}, {0.1, "0.1"}, {1e21, "1e+21"}, {NAN, "json: unsupported value: NaN"},
                   {INFINITY, "json: unsupported value: +Inf"}, {-INFINITY, "json: unsupported value: -Inf"}};
    SCOPED(buf_done) struct buf b = {0};
    check_text(&b, 0, "");
    for (size_t i = 0; i < ARRAY_LEN(doubles); i++) {
        buf_reset(&b);
        otlp_put_double(&b, 4, doubles[i].v);
        check_text(&b, 0, doubles[i].text);
    }
    buf_reset(&b);
    otlp_put_bytes(&b, 1, SV("as \"is\" <&>"));
    check_text(&b, OTLP_TEXT_HTML, "as \"is\" <&>");
    buf_reset(&b);
    otlp_put_varint(&b, 3, (uint64_t)INT64_MIN);
    check_text(&b, 0, "-9223372036854775808");
    buf_reset(&b);
    otlp_put_varint(&b, 2, 1);
    check_text(&b, 0, "true");
    buf_reset(&b);
    otlp_put_bytes(&b, 7, SV("\x01\x02"));
    check_text(&b, 0, "AQI=");
}

TEST(arrays_and_maps_as_json)
{
    SCOPED(buf_done) struct buf b = {0}, any = {0};
    size_t map = otlp_open(&b, 6);
    otlp_put_attr_str(&b, 1, SV("z"), SV("<a&b>\xe2\x80\xa8\n"));
    otlp_put_attr_i64(&b, 1, SV("a"), 1);
    otlp_put_attr_bool(&b, 1, SV("a"), false); /* again: the last one counts when sorted */
    otlp_put_attr_any(&b, 1, SV("empty"), SV_NULL);
    size_t arr = otlp_open(&any, 5), item = otlp_open(&any, 1);
    otlp_put_bytes(&any, 7, SV("\xff"));
    otlp_close(&any, item);
    item = otlp_open(&any, 1);
    otlp_put_double(&any, 4, 0.5);
    otlp_close(&any, item);
    otlp_put_bytes(&any, 1, SV_NULL);
    otlp_close(&any, arr);
    otlp_put_attr_any(&b, 1, SV("list"), buf_view(&any));
    otlp_close(&b, map);
    check_text(&b, OTLP_TEXT_SORT_KEYS | OTLP_TEXT_HTML,
               "{\"a\":false,\"empty\":null,\"list\":[\"/w==\",0.5,null],\"z\":\"\\u003ca\\u0026b\\u003e\\u2028\\n\"}");
    check_text(&b, 0,
               "{\"z\":\"<a&b>\xe2\x80\xa8\\n\",\"a\":1,\"a\":false,\"empty\":null,\"list\":[\"/w==\",0.5,null]}");
}

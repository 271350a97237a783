/* simple_record_test.c - the quick encoder against the one that knows every case: the same record, field by field. */
#include "sdk/simple_record.h"
#include "base/test.h"
#include "otlp/walk.h"
#include "sdk/encode.h"

static const struct limits usual = {128, INT64_MAX, 64};

/* Attributes and fields as text, in the order of the record. */
static void show(sv record, struct buf *out)
{
    struct otlp_counts counts;
    struct otlp_resource_logs rl;
    struct otlp_scope_logs sl;
    struct otlp_record r;
    struct otlp_attr a;
    SCOPED(buf_done) struct buf scope = {0}, resource = {0}, request = {0};
    char head[16];
    for (int level = 0; level < 3; level++) {
        struct buf *to = level == 0 ? &scope : level == 1 ? &resource : &request;
        sv in = level == 0 ? record : buf_view(level == 1 ? &scope : &resource);
        size_t n = 0;
        head[n++] = level == 2 ? 0x0a : 0x12;
        uint64_t len = in.n;
        do {
            head[n++] = (char)((len & 127) | (len > 127 ? 128 : 0));
            len >>= 7;
        } while (len);
        buf_put(to, head, n);
        buf_sv(to, in);
    }
    struct err e = {0};
    CHECK_OK(otlp_check(buf_view(&request), NULL, &counts, &e), &e);
    CHECK_EQ(counts.records, 1);
    struct otlp_iter i = otlp_resources(buf_view(&request));
    REQUIRE(otlp_next_resource(&i, &rl));
    struct otlp_iter j = otlp_scopes(&rl);
    REQUIRE(otlp_next_scope(&j, &sl));
    struct otlp_iter k = otlp_records(&sl);
    REQUIRE(otlp_next_record(&k, &r));
    buf_fmt(out, "%" PRIu64 " %" PRIu64 " %d %u %u '" SV_FMT "' '" SV_FMT "' ", r.time_ns, r.observed_ns, r.severity_number,
            r.flags, r.dropped_attributes, SV_ARG(r.severity_text), SV_ARG(r.event_name));
    buf_sv(out, r.trace_id);
    buf_sv(out, r.span_id);
    buf_fmt(out, " body %d ", r.body.p ? (int)otlp_read_value(r.body).kind : -1);
    otlp_value_text(r.body, 0, out);
    for (struct otlp_attr_iter it = otlp_attrs(r.raw, OTLP_RECORD_ATTRS); otlp_next_attr(&it, &a);) {
        buf_fmt(out, "\n" SV_FMT " %d ", SV_ARG(a.key), (int)otlp_read_value(a.value).kind);
        otlp_value_text(a.value, 0, out);
    }
}

static weir_value random_value(const char *texts[], size_t n)
{
    switch (rand_u64() % 7) {
    case 0:
        return weir_value_i64((int64_t)(rand_u64() >> rand_u64() % 64) * (rand_u64() % 2 ? 1 : -1));
    case 1:
        return weir_value_f64((double)(int64_t)rand_u64() / 1000);
    case 2:
        return weir_value_bool(rand_u64() % 2);
    case 3:
        return weir_value_empty();
    default:
        return weir_value_str(texts[rand_u64() % n]);
    }
}

TEST(the_quick_way_says_the_same)
{
    static char longer[20000];
    memset(longer, 'y', sizeof longer - 1);
    const char *texts[] = {"", "a", "user 4711 logged in", "gr\xc3\xbc\xc3\x9f dich", longer, longer + 19000, longer + 19872};
    static char keys[16][12];
    weir_attr attrs[16];
    uint64_t simple = 0;
    for (int round = 0; round < 20000; round++) {
        weir_trace_context trace = {{0}, {0}, 0};
        weir_site site = {"src/some/file.c", "do_it", 12, 0, NULL};
        weir_log_record r = weir_log_record_init();
        r.observed_timestamp_ns = rand_u64();
        r.timestamp_ns = rand_u64() % 4 ? rand_u64() : 0;
        r.severity_number = (int32_t)(rand_u64() % 26) - 1;
        r.severity_text = weir_string_of(texts[rand_u64() % 4]);
        r.body = random_value(texts, ARRAY_LEN(texts));
        r.n_attributes = rand_u64() % 17;
        r.attributes = attrs;
        for (size_t i = 0; i < r.n_attributes; i++) {
            snprintf(keys[i], sizeof keys[i], "key%d", (int)i);
            attrs[i] = weir_any(keys[i], random_value(texts, ARRAY_LEN(texts)));
        }
        if (rand_u64() % 2)
            r.event_name = weir_string_of("order.lost");
        if (rand_u64() % 2) {
            memset(trace.trace_id, (int)rand_u64() % 3, 16);
            memset(trace.span_id, (int)rand_u64() % 3, 8);
            trace.flags = (uint8_t)(rand_u64() % 2);
            r.trace = &trace;
        }
        bool at_site = rand_u64() % 2;
        sv place = at_site ? site_bytes(&site) : SV_NULL;
        SCOPED(buf_done) struct buf full = {0}, quick = {0}, want = {0}, got = {0};
        REQUIRE(encode_record(&full, &r, at_site ? &site : NULL, 0, &usual) == 0);
        struct simple plan;
        REQUIRE(simple_plan(&r, place, &usual, &plan));
        char *to = buf_reserve(&quick, plan.n);
        REQUIRE(to && simple_put((uint8_t *)to, &r, place, &plan) == (uint8_t *)to + plan.n);
        quick.n = plan.n;
        show(buf_view(&full), &want);
        show(buf_view(&quick), &got);
        CHECK_SV(buf_view(&got), buf_view(&want));
        CHECK(full.n >= quick.n);
        free(site.cache);
        simple++;
    }
    CHECK_EQ(simple, 20000);
}

static bool is_simple(const weir_log_record *r, const struct limits *limits)
{
    struct simple plan;
    return simple_plan(r, SV_NULL, limits, &plan);
}

TEST(what_is_not_simple_is_left_to_the_other)
{
    weir_log_record r = weir_log_record_init();
    weir_attr twice[2] = {weir_i64("a", 1), weir_i64("a", 2)}, bad = weir_str("a", "\xff"), bad_key = weir_i64("\xff", 1);
    weir_attr list = weir_array("a", NULL, 0), many[17];
    struct limits small = {1, 3, 64};
    weir_attr two[2] = {weir_i64("a", 1), weir_i64("b", 2)}, text = weir_str("a", "four");
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = weir_i64("a", 1);
    struct {
        const weir_attr *attrs;
        size_t n;
        const struct limits *limits;
    } cases[] = {{twice, 2, &usual}, {&bad, 1, &usual}, {&bad_key, 1, &usual}, {&list, 1, &usual}, {many, 17, &usual},
                 {two, 2, &small}, {&text, 1, &small}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        r.attributes = cases[i].attrs;
        r.n_attributes = cases[i].n;
        CHECK(!is_simple(&r, cases[i].limits));
    }
    r.n_attributes = 0;
    CHECK(is_simple(&r, &usual));
    r.body = weir_value_str("\xc3");
    CHECK(!is_simple(&r, &usual));
    r.body = weir_value_map(NULL, 0);
    CHECK(!is_simple(&r, &usual));
    r.body = weir_value_empty();
    r.event_name = weir_string_of("\xff");
    CHECK(!is_simple(&r, &usual));
}

/* gzip_test.c - gzip of the SDK, there and back, against zlib's own idea of it, damaged, and where there is no zlib. */
#include "sdk/gzip.h"
#include "base/test.h"
#include <stdlib.h>
#include <weir/sdk.h>

static void fill(struct buf *b, size_t n)
{
    for (size_t i = 0; b->n < n; i++)
        buf_fmt(b, "order %zu accepted by shop %zu\n", i, i * i % 7919);
}

TEST(there_and_back)
{
    struct err e = {0};
    struct gzip *g = NULL;
    CHECK_OK(gzip_open(&g, &e), &e);
    REQUIRE(g != NULL);
    static const size_t sizes[] = {0, 1, 100, 16 << 10, 3 << 20};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        SCOPED(buf_done) struct buf plain = {0}, packed = {0}, again = {0};
        fill(&plain, sizes[i]);
        CHECK(gzip_put(g, buf_view(&plain), &packed));
        CHECK(packed.n < plain.n / 2 + 100);
        CHECK(packed.n > 2 && packed.p[0] == '\x1f' && packed.p[1] == '\x8b');
        CHECK_OK(gzip_get(g, buf_view(&packed), &again, &e), &e);
        CHECK_SV(buf_view(&again), buf_view(&plain));
    }
    gzip_close(g);
}

TEST(damage_and_caps_are_errors)
{
    struct err e = {0};
    struct gzip *g = NULL;
    REQUIRE(gzip_open(&g, &e));
    SCOPED(buf_done) struct buf plain = {0}, packed = {0};
    fill(&plain, 100000);
    REQUIRE(gzip_put(g, buf_view(&plain), &packed));
    for (size_t n = 0; n < packed.n; n += 97) {
        SCOPED(buf_done) struct buf out = {0};
        CHECK(!gzip_get(g, sv_sub(buf_view(&packed), 0, n), &out, &e));
        CHECK_ERR(&e, ERR_PARSE, "cut short");
    }
    SCOPED(buf_done) struct buf small = buf_capped(plain.n - 1), exact = buf_capped(plain.n), out = {0}, tight = buf_capped(50);
    CHECK(!gzip_get(g, buf_view(&packed), &small, &e));
    CHECK_ERR(&e, ERR_LIMIT, "more than");
    CHECK_OK(gzip_get(g, buf_view(&packed), &exact, &e), &e);
    CHECK(!gzip_get(g, SV("no gzip at all"), &out, &e));
    CHECK_ERR(&e, ERR_PARSE, "damaged");
    CHECK(!gzip_put(g, buf_view(&plain), &tight));
    buf_char(&packed, 0);
    CHECK(!gzip_get(g, buf_view(&packed), &out, &e));
    CHECK_ERR(&e, ERR_PARSE, "behind its end");
    gzip_close(g);
}

/* An option in code that cannot be is an error; the environment's is done as far as it goes. */
TEST(without_a_zlib_and_with_strange_names)
{
    static const char *const libraries[] = {"libno-such-thing.so.1", "libm.so.6"};
    weir_error error;
    weir_otlp_options o = weir_otlp_options_init();
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
        gzip_library_for_test(libraries[i]);
        o.compression = "gzip";
        CHECK(weir_otlp_exporter_new(&o, &error) == NULL);
        CHECK(strstr(error.message, "compression: no gzip: ") && strstr(error.message, libraries[i]));
        o.compression = NULL;
        setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", 1);
        weir_exporter *ex = weir_otlp_exporter_new(&o, &error);
        CHECK(ex != NULL);
        weir_exporter_free(ex);
    }
    gzip_library_for_test(NULL);
    o.compression = "GZip";
    weir_exporter *ex = weir_otlp_exporter_new(&o, &error);
    CHECK(ex != NULL);
    weir_exporter_free(ex);
    o.compression = "snappy";
    CHECK(weir_otlp_exporter_new(&o, &error) == NULL);
    CHECK(strstr(error.message, "'snappy' is not known") != NULL);
    o.compression = NULL;
    setenv("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "snappy", 1);
    ex = weir_otlp_exporter_new(&o, &error);
    CHECK(ex != NULL);
    weir_exporter_free(ex);
    unsetenv("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION");
    unsetenv("OTEL_EXPORTER_OTLP_COMPRESSION");
}

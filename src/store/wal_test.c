#include "store/wal.h"
#include "base/test.h"

static void frame_bytes(const struct wal_frame *f, struct buf *out)
{
    SCOPED(buf_done) struct buf body = {0};
    struct err e = {0};
    sv rest;
    CHECK_OK(wal_frame_write(f, out, &body, &rest, &e), &e);
    buf_sv(out, rest);
}

TEST(frames_come_back_as_they_were)
{
    char big[5000];
    memset(big, 'x', sizeof big);
    sv payloads[] = {SV(""), SV("short"), {big, sizeof big}};
    for (size_t i = 0; i < ARRAY_LEN(payloads); i++) {
        SCOPED(buf_done) struct buf b = {0};
        SCOPED(buf_done) struct buf body = {0};
        struct err e = {0};
        uint32_t refused[] = {0, 3, 4000000000u};
        struct wal_frame f = {.type = WAL_LOKI, .rules = 5, .arrived_wall_ns = -7, .tenant = SV("t1"), .payload = payloads[i], .compress = true};
        f.refused.at = refused;
        f.refused.n = i;
        frame_bytes(&f, &b);
        CHECK(i < 2 || b.n < 200);
        struct wal_frame g;
        REQUIRE_OK(wal_frame_read(buf_view(&b), &body, &g, &e), &e);
        CHECK_EQ(g.type, WAL_LOKI);
        CHECK_EQ(g.rules, 5);
        CHECK_EQ(g.arrived_wall_ns, -7);
        CHECK_SV(g.tenant, SV("t1"));
        CHECK_SV(g.payload, payloads[i]);
        REQUIRE(g.refused.n == i);
        for (size_t k = 0; k < i; k++)
            CHECK_EQ(g.refused.at[k], refused[k]);
        wal_frame_done(&g);
    }
}

TEST(what_came_compressed_is_kept_so)
{
    static const struct { enum codec codec; bool kept; } codecs[] = {{CODEC_GZIP, true}, {CODEC_ZSTD, true}, {CODEC_SNAPPY, true}, {CODEC_LZ4, false}};
    char big[5000];
    memset(big, 'x', sizeof big);
    for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
        SCOPED(buf_done) struct buf b = {0};
        SCOPED(buf_done) struct buf packed = {0};
        SCOPED(buf_done) struct buf body = {0};
        struct err e = {0};
        struct wal_frame g, f = {.type = WAL_OTLP, .tenant = SV("t1"), .payload = {big, sizeof big}, .codec = codecs[i].codec};
        REQUIRE_OK(compress(codecs[i].codec, 0, f.payload, &packed, &e), &e);
        f.packed = buf_view(&packed);
        frame_bytes(&f, &b);
        CHECK_EQ(b.n < 1000, codecs[i].kept);
        REQUIRE_OK(wal_frame_read(buf_view(&b), &body, &g, &e), &e);
        CHECK_SV(g.payload, f.payload);
        wal_frame_done(&g);
        if (codecs[i].kept) { /* another length than it says; then damage */
            b.p[4]--;
            CHECK(!wal_frame_read(buf_view(&b), &body, &g, &e));
            CHECK_EQ(e.code, ERR_CORRUPT);
            b.p[4] += 2;
            CHECK(!wal_frame_read(buf_view(&b), &body, &g, &e));
            CHECK_EQ(e.code, ERR_CORRUPT);
            b.p[4]--;
            b.n -= 2;
            CHECK(!wal_frame_read(buf_view(&b), &body, &g, &e));
            CHECK_EQ(e.code, ERR_CORRUPT);
        }
    }
}

TEST(cut_frames_are_errors)
{
    SCOPED(buf_done) struct buf b = {0};
    SCOPED(buf_done) struct buf body = {0};
    char big[1000];
    memset(big, 'x', sizeof big);
    struct wal_frame f = {.type = WAL_OTLP, .tenant = SV("tenant"), .payload = {big, sizeof big}, .compress = true};
    frame_bytes(&f, &b);
    for (size_t n = 0; n < b.n; n++) {
        struct wal_frame g;
        struct err e = {0};
        CHECK(!wal_frame_read(sv_sub(buf_view(&b), 0, n), &body, &g, &e));
        CHECK_EQ(e.code, ERR_CORRUPT);
    }
}

TEST(newer_frames_are_told_from_damage)
{
    SCOPED(buf_done) struct buf b = {0};
    SCOPED(buf_done) struct buf body = {0};
    struct wal_frame f = {.type = WAL_OTLP, .tenant = SV("t"), .payload = SV("x")}, g;
    struct err e = {0};
    frame_bytes(&f, &b);
    b.p[0] = 3;
    CHECK(!wal_frame_read(buf_view(&b), &body, &g, &e));
    CHECK_ERR(&e, ERR_UNSUPPORTED, "version 3");
}

TEST(a_frame_says_at_what_length_lines_were_cut)
{
    SCOPED(buf_done) struct buf b = {0};
    SCOPED(buf_done) struct buf body = {0};
    struct wal_frame f = {.type = WAL_LOKI, .tenant = SV("t"), .payload = SV("abc"), .cut = 70000}, g;
    struct err e = {0};
    frame_bytes(&f, &b);
    REQUIRE_OK(wal_frame_read(buf_view(&b), &body, &g, &e), &e);
    CHECK_EQ(g.cut, 70000);
    CHECK_SV(g.tenant, SV("t"));
    CHECK_SV(g.payload, SV("abc"));
    wal_frame_done(&g);
    for (size_t n = 0; n < b.n; n++) {
        CHECK(!wal_frame_read(sv_sub(buf_view(&b), 0, n), &body, &g, &e));
        CHECK_EQ(e.code, ERR_CORRUPT);
    }
}

/* As release 0.1 writes it; every later release reads it. */
TEST(the_golden_frame_of_version_1_is_read)
{
    static const char bytes[] = "\x01\x01\x00\x07\x03\x00\x00\x00\x15\xcd\x5b\x07\x00\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00"
                                "fake\x02" "abc";
    SCOPED(buf_done) struct buf body = {0};
    struct wal_frame g;
    struct err e = {0};
    REQUIRE_OK(wal_frame_read(sv_make(bytes, sizeof bytes - 1), &body, &g, &e), &e);
    CHECK_EQ(g.arrived_wall_ns, 123456789);
    CHECK_EQ(g.rules, 7);
    CHECK_SV(g.tenant, SV("fake"));
    CHECK_SV(g.payload, SV("abc"));
    REQUIRE(g.refused.n == 1);
    CHECK_EQ(g.refused.at[0], 2);
    wal_frame_done(&g);
}

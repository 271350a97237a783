#include "base/compress.h"
#include "base/test.h"
#include <lz4frame.h>
#include <zstd.h>

static const enum codec both_ways[] = {CODEC_NONE, CODEC_GZIP, CODEC_ZLIB,  CODEC_DEFLATE_RAW,
                                       CODEC_ZSTD, CODEC_LZ4,  CODEC_SNAPPY};

/* Half text, half noise: all codecs have something to do. */
static void fill(struct buf *b, size_t n)
{
    uint64_t x = 88172645463325252ull;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        buf_char(b, i / 4096 % 2 ? (char)x : "level=info msg=done "[i % 20]);
    }
}

TEST(round_trips)
{
    static const size_t sizes[] = {0, 1, 100, 65536, 3000000};
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        SCOPED(buf_done) struct buf plain = {0};
        fill(&plain, sizes[s]);
        for (size_t i = 0; i < ARRAY_LEN(both_ways); i++)
            for (int level = 0; level < 2; level++) {
                SCOPED(buf_done) struct buf packed = {0}, got = buf_capped(sizes[s] + 3);
                struct err e = {0};
                buf_sv(&got, SV("abc"));
                CHECK_OK(compress(both_ways[i], level, buf_view(&plain), &packed, &e), &e);
                CHECK_OK(decompress(both_ways[i], buf_view(&packed), &got, &e), &e); /* exactly at the cap */
                CHECK(sv_eq(sv_from(buf_view(&got), 3), buf_view(&plain)));
            }
    }
}

TEST(output_stops_at_the_cap)
{
    SCOPED(buf_done) struct buf plain = {0};
    for (int i = 0; i < 1000000; i++)
        buf_char(&plain, 'a');
    for (size_t i = 0; i < ARRAY_LEN(both_ways); i++) {
        SCOPED(buf_done) struct buf packed = {0}, got = buf_capped(999999);
        struct err e = {0};
        REQUIRE_OK(compress(both_ways[i], 0, buf_view(&plain), &packed, &e), &e);
        CHECK(!decompress(both_ways[i], buf_view(&packed), &got, &e));
        CHECK_ERR(&e, ERR_LIMIT, "999999");
        CHECK_EQ(got.n, 0);
        CHECK_EQ(got.failed, ERR_NONE); /* usable again */
        if (both_ways[i] == CODEC_NONE)
            continue;
        SCOPED(buf_done) struct buf small = buf_capped(8);
        CHECK(!compress(both_ways[i], 0, buf_view(&plain), &small, &e));
        CHECK_EQ(e.code, ERR_LIMIT);
        CHECK_EQ(small.n, 0);
    }
}

TEST(every_truncation_is_an_error)
{
    SCOPED(buf_done) struct buf plain = {0};
    fill(&plain, 5000);
    for (size_t i = 1; i < ARRAY_LEN(both_ways); i++) {
        SCOPED(buf_done) struct buf packed = {0}, got = {0};
        struct err e = {0};
        REQUIRE_OK(compress(both_ways[i], 0, buf_view(&plain), &packed, &e), &e);
        for (size_t n = 0; n < packed.n; n++) {
            e = (struct err){0};
            if (decompress(both_ways[i], sv_sub(buf_view(&packed), 0, n), &got, &e))
                test_fail(__FILE__, __LINE__, "%s cut at %zu of %zu", codec_name(both_ways[i]), n, packed.n);
            if (e.code != ERR_PARSE)
                test_fail(__FILE__, __LINE__, "%s cut at %zu: %s", codec_name(both_ways[i]), n, e.msg);
            CHECK_EQ(got.n, 0);
        }
    }
}

TEST(trailing_bytes_are_an_error)
{
    for (size_t i = 1; i < ARRAY_LEN(both_ways); i++) {
        SCOPED(buf_done) struct buf packed = {0}, got = {0};
        struct err e = {0};
        REQUIRE_OK(compress(both_ways[i], 0, SV("hello"), &packed, &e), &e);
        buf_sv(&packed, SV("garbage behind it"));
        CHECK(!decompress(both_ways[i], buf_view(&packed), &got, &e));
        CHECK_EQ(e.code, ERR_PARSE);
    }
}

TEST(frames_may_follow_each_other)
{
    static const enum codec multi[] = {CODEC_GZIP, CODEC_ZSTD, CODEC_LZ4};
    for (size_t i = 0; i < ARRAY_LEN(multi); i++) {
        SCOPED(buf_done) struct buf packed = {0}, got = {0};
        struct err e = {0};
        REQUIRE_OK(compress(multi[i], 0, SV("one "), &packed, &e), &e);
        REQUIRE_OK(compress(multi[i], 0, SV(""), &packed, &e), &e);
        REQUIRE_OK(compress(multi[i], 0, SV("two"), &packed, &e), &e);
        CHECK_OK(decompress(multi[i], buf_view(&packed), &got, &e), &e);
        CHECK_SV(buf_view(&got), SV("one two"));
    }
}

TEST(errors_say_what_go_says)
{
    static const struct {
        enum codec codec;
        sv in;
        const char *want;
    } cases[] = {
        {CODEC_GZIP, {"not gzip at all", 15}, "gzip: invalid header"},
        {CODEC_GZIP, {"", 0}, "gzip: unexpected end of input"},
        {CODEC_ZLIB, {"\x1f\x8b not zlib", 11}, "zlib: invalid header"},
        {CODEC_DEFLATE_RAW, {"\xff\xff\xff", 3}, "deflate: "},
        {CODEC_ZSTD, {"not zstd", 8}, "zstd: "},
        {CODEC_LZ4, {"not lz4 frames", 14}, "lz4: "},
        {CODEC_SNAPPY, {"\xff\xff\xff\xff\xff\xff", 6}, "snappy: corrupt input"},
        {CODEC_SNAPPY, {"\xff\xff\xff\x7f\x00", 5}, "snappy: corrupt input"}, /* claims 256 MiB */
        {CODEC_SNAPPY_FRAMED, {"sNaPpY", 6}, "snappy: corrupt input"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SCOPED(buf_done) struct buf got = {0};
        struct err e = {0};
        CHECK(!decompress(cases[i].codec, cases[i].in, &got, &e));
        CHECK_ERR(&e, ERR_PARSE, cases[i].want);
        CHECK(got.cap < 1 << 20); /* nothing was believed */
    }
    SCOPED(buf_done) struct buf packed = {0}, got = {0};
    struct err e = {0};
    REQUIRE_OK(compress(CODEC_GZIP, 0, SV("hello"), &packed, &e), &e);
    packed.p[packed.n - 8] ^= 1;
    CHECK(!decompress(CODEC_GZIP, buf_view(&packed), &got, &e));
    CHECK_ERR(&e, ERR_PARSE, "gzip: invalid checksum");
}

TEST(large_zstd_windows_are_refused)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    SCOPED(buf_done) struct buf plain = {0}, packed = {0}, got = {0};
    struct err e = {0};
    for (int window = 23; window <= 24; window++) {
        buf_reset(&plain);
        buf_reset(&packed);
        for (int i = 0; i < 100; i++)
            buf_sv(&plain, SV("some text for the window"));
        ZSTD_CCtx_reset(c, ZSTD_reset_session_and_parameters);
        ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window);
        char *to = buf_reserve(&packed, 10000);
        ZSTD_outBuffer out = {to, 10000, 0};
        ZSTD_inBuffer in = {plain.p, plain.n, 0};
        while (in.pos < in.size) /* as a stream: the frame states its window */
            ZSTD_compressStream2(c, &out, &in, ZSTD_e_continue);
        ZSTD_compressStream2(c, &out, &in, ZSTD_e_end);
        packed.n = out.pos;
        CHECK_EQ(decompress(CODEC_ZSTD, buf_view(&packed), &got, &e), window == 23);
    }
    CHECK_ERR(&e, ERR_PARSE, "zstd: ");
    ZSTD_freeCCtx(c);
}

TEST(snappy_frames)
{
    /* stream identifier, plain chunk "hello" with its masked CRC-32C, padding, skippable chunk */
    static const char good[] = "\xff\x06\x00\x00sNaPpY"
                               "\x01\x09\x00\x00\xbb\x1f\x1c\x19"
                               "hello"
                               "\xfe\x02\x00\x00\x00\x00"
                               "\x80\x01\x00\x00x";
    SCOPED(buf_done) struct buf got = {0};
    struct err e = {0};
    CHECK_OK(decompress(CODEC_SNAPPY_FRAMED, sv_make(good, sizeof good - 1), &got, &e), &e);
    CHECK_SV(buf_view(&got), SV("hello"));

    char bad[sizeof good];
    memcpy(bad, good, sizeof good);
    bad[18] ^= 1; /* a byte of "hello" */
    CHECK(!decompress(CODEC_SNAPPY_FRAMED, sv_make(bad, sizeof good - 1), &got, &e));
    CHECK_ERR(&e, ERR_PARSE, "snappy: invalid checksum");
    memcpy(bad, good, sizeof good);
    bad[10] = 2; /* an unskippable chunk nobody knows */
    CHECK(!decompress(CODEC_SNAPPY_FRAMED, sv_make(bad, sizeof good - 1), &got, &e));
    CHECK_ERR(&e, ERR_PARSE, "snappy: corrupt input");
    got.max = got.n + 4;
    CHECK(!decompress(CODEC_SNAPPY_FRAMED, sv_make(good, sizeof good - 1), &got, &e));
    CHECK_EQ(e.code, ERR_LIMIT);

    SCOPED(buf_done) struct buf none = {0};
    CHECK(!compress(CODEC_SNAPPY_FRAMED, 0, SV("x"), &none, &e));
    CHECK_EQ(e.code, ERR_UNSUPPORTED);
}

TEST(names)
{
    enum codec c = CODEC_NONE;
    CHECK(codec_of_name(SV("GZip"), &c));
    CHECK_EQ(c, CODEC_GZIP);
    CHECK(codec_of_name(SV("deflate"), &c));
    CHECK_EQ(c, CODEC_ZLIB);
    CHECK(codec_of_name(SV_NULL, &c));
    CHECK_EQ(c, CODEC_NONE);
    CHECK(!codec_of_name(SV("br"), &c));
    CHECK(!codec_of_name(SV("gzip "), &c));
}

/* compress.c - see compress.h.
 * (1) Nothing is allocated on the word of the input alone: what a header claims is checked against out->max
 * and against what the input could possibly hold, and output grows as it appears. (2) A decoder's own memory
 * is bounded too: zstd windows above 8 MiB are refused (RFC 9659), lz4 blocks end at 4 MiB. (3) Input must
 * end where its last frame ends: bytes behind it are damage, not padding. */
#include "base/compress.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include <lz4frame.h>
#include <snappy-c.h>
#define Z_SOLO /* keeps zlib's own compress() undeclared */
#include <zlib.h>
#include <zstd.h>

enum { GROW_MIN = 16 << 10, ZSTD_WINDOW_LOG_MAX = 23, SNAPPY_CHUNK_MAX = 65536 };

static const struct {
    const char *name;
    enum codec codec;
} names[] = {
    {"", CODEC_NONE},        {"identity", CODEC_NONE}, {"gzip", CODEC_GZIP},
    {"deflate", CODEC_ZLIB}, {"zlib", CODEC_ZLIB},     {"zstd", CODEC_ZSTD},
    {"lz4", CODEC_LZ4},      {"snappy", CODEC_SNAPPY}, {"x-snappy-framed", CODEC_SNAPPY_FRAMED},
};

bool codec_of_name(sv name, enum codec *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (sv_eq_nocase(name, sv_of(names[i].name))) {
            *ret = names[i].codec;
            return true;
        }
    return false;
}

const char *codec_name(enum codec c)
{
    switch (c) {
    case CODEC_NONE:
        return "identity";
    case CODEC_GZIP:
        return "gzip";
    case CODEC_ZLIB:
        return "zlib";
    case CODEC_DEFLATE_RAW:
        return "deflate";
    case CODEC_ZSTD:
        return "zstd";
    case CODEC_LZ4:
        return "lz4";
    case CODEC_SNAPPY:
        return "snappy";
    case CODEC_SNAPPY_FRAMED:
        return "x-snappy-framed";
    }
    return "unknown";
}

/* Room for the next piece of output: about as much again as there is, but never past the cap. *ret_n is 0
 * when the cap is reached; false when out of memory. */
static bool grow(struct buf *out, size_t hint, char **ret, size_t *ret_n, struct err *e)
{
    size_t left = out->max ? out->max - out->n : SIZE_MAX;
    size_t want = MIN(MAX(MAX(hint, out->n / 2), (size_t)GROW_MIN), left);
    *ret_n = want;
    *ret = want ? buf_reserve(out, want) : NULL;
    return want == 0 || *ret ? true : buf_ok(out, e);
}

static bool too_large(const struct buf *out, enum codec c, struct err *e)
{
    return err_set(e, ERR_LIMIT, "%s: more than %zu bytes after decompression", codec_name(c), out->max);
}

/* --- zlib: three wrappers around one format --- */

static int zlib_window_bits(enum codec c)
{
    return c == CODEC_GZIP ? 15 + 16 : c == CODEC_ZLIB ? 15 : -15;
}

static bool zlib_bad(enum codec c, const z_stream *z, struct err *e)
{
    const char *why = z->msg ? z->msg : "damaged input";
    if (z->total_out == 0 && (strstr(why, "header") || strstr(why, "method") || strstr(why, "window")))
        why = "invalid header";
    else if (strstr(why, "data check") || strstr(why, "length check"))
        why = "invalid checksum";
    return err_at(e, ERR_PARSE, z->total_in, "%s: %s", codec_name(c), why);
}

static void zlib_feed(z_stream *z, sv *in)
{
    if (z->avail_in == 0 && in->n) {
        z->next_in = (Bytef *)(uintptr_t)in->p;
        z->avail_in = (uInt)MIN(in->n, (size_t)UINT32_MAX);
        *in = sv_from(*in, z->avail_in);
    }
}

static bool zlib_inflate(z_stream *z, enum codec c, sv in, struct buf *out, struct err *e)
{
    size_t hint = in.n <= SIZE_MAX / 4 ? in.n * 4 : in.n;
    for (;;) {
        zlib_feed(z, &in);
        char probe, *to;
        size_t room;
        if (!grow(out, hint, &to, &room, e))
            return false;
        hint = 0;
        bool full = room == 0; /* the stream may still end here without giving another byte */
        z->next_out = (Bytef *)(full ? &probe : to);
        z->avail_out = full ? 1 : (uInt)MIN(room, (size_t)UINT32_MAX);
        uInt before = z->avail_out;
        int rc = inflate(z, Z_NO_FLUSH);
        if (full && z->avail_out == 0)
            return too_large(out, c, e);
        if (!full)
            out->n += before - z->avail_out;
        if (rc == Z_STREAM_END) {
            if (z->avail_in == 0 && in.n == 0)
                return true;
            if (c != CODEC_GZIP)
                return err_at(e, ERR_PARSE, z->total_in, "%s: data after the end", codec_name(c));
            if (inflateReset(z) != Z_OK) /* the next member */
                return err_nomem(e);
        } else if (rc == Z_MEM_ERROR) {
            return err_nomem(e);
        } else if (rc == Z_BUF_ERROR || rc == Z_OK) {
            if (z->avail_in == 0 && in.n == 0 && z->avail_out)
                return err_set(e, ERR_PARSE, "%s: unexpected end of input", codec_name(c));
        } else {
            return zlib_bad(c, z, e);
        }
    }
}

static bool zlib_decompress(enum codec c, sv in, struct buf *out, struct err *e)
{
    z_stream z = {0};
    if (inflateInit2(&z, zlib_window_bits(c)) != Z_OK)
        return err_nomem(e);
    bool ok = zlib_inflate(&z, c, in, out, e);
    inflateEnd(&z);
    return ok;
}

static bool zlib_deflate(z_stream *z, enum codec c, sv in, struct buf *out, struct err *e)
{
    size_t hint = in.n / 4;
    for (int rc = Z_OK; rc != Z_STREAM_END;) {
        zlib_feed(z, &in);
        char *to;
        size_t room;
        if (!grow(out, hint, &to, &room, e))
            return false;
        if (room == 0)
            return err_set(e, ERR_LIMIT, "%s: more than %zu bytes after compression", codec_name(c),
                           out->max);
        hint = 0;
        z->next_out = (Bytef *)to;
        uInt before = z->avail_out = (uInt)MIN(room, (size_t)UINT32_MAX);
        rc = deflate(z, in.n ? Z_NO_FLUSH : Z_FINISH);
        ASSERT(rc != Z_STREAM_ERROR);
        out->n += before - z->avail_out;
    }
    return true;
}

static bool zlib_compress(enum codec c, int level, sv in, struct buf *out, struct err *e)
{
    z_stream z = {0};
    level = level <= 0 ? Z_DEFAULT_COMPRESSION : MIN(level, 9);
    if (deflateInit2(&z, level, Z_DEFLATED, zlib_window_bits(c), 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return err_nomem(e);
    bool ok = zlib_deflate(&z, c, in, out, e);
    deflateEnd(&z);
    return ok;
}

/* --- zstd --- */

static void zstd_dctx_free(ZSTD_DCtx *d)
{
    ZSTD_freeDCtx(d);
}
DEFINE_SCOPED(ZSTD_DCtx *, zstd_dctx_free)

static bool zstd_decompress(sv in, struct buf *out, struct err *e)
{
    SCOPED(zstd_dctx_free) ZSTD_DCtx *d = ZSTD_createDCtx();
    if (!d)
        return err_nomem(e);
    ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    size_t hint = in.n <= SIZE_MAX / 4 ? in.n * 4 : in.n;
    ZSTD_inBuffer src = {in.p, in.n, 0};
    for (size_t rc = 1;;) {
        char probe, *to;
        size_t room;
        if (!grow(out, hint, &to, &room, e))
            return false;
        hint = 0;
        ZSTD_outBuffer dst = {room ? to : &probe, room ? room : 1, 0};
        size_t before = src.pos;
        rc = ZSTD_decompressStream(d, &dst, &src);
        if (ZSTD_isError(rc))
            return err_at(e, ERR_PARSE, src.pos, "zstd: %s", ZSTD_getErrorName(rc));
        if (room == 0 && dst.pos)
            return too_large(out, CODEC_ZSTD, e);
        out->n += room ? dst.pos : 0;
        if (src.pos == src.size && rc == 0)
            return true;
        if (src.pos == before && dst.pos == 0)
            return err_set(e, ERR_PARSE, "zstd: unexpected end of input");
    }
}

static bool zstd_compress(int level, sv in, struct buf *out, struct err *e)
{
    size_t bound = ZSTD_compressBound(in.n);
    SCOPED(buf_done) struct buf whole = {0}; /* the bound may pass a cap that the result respects */
    char *to = buf_reserve(&whole, bound);
    if (!to)
        return err_nomem(e);
    size_t n = ZSTD_compress(to, bound, in.p, in.n, MIN(level, ZSTD_maxCLevel()));
    if (ZSTD_isError(n))
        return err_nomem(e); /* what is left to fail with room for the bound */
    buf_put(out, to, n);
    return buf_ok(out, e);
}

/* --- lz4 frames --- */

static void lz4_dctx_free(LZ4F_dctx *d)
{
    LZ4F_freeDecompressionContext(d);
}
DEFINE_SCOPED(LZ4F_dctx *, lz4_dctx_free)

static bool lz4_decompress(sv in, struct buf *out, struct err *e)
{
    SCOPED(lz4_dctx_free) LZ4F_dctx *d = NULL;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&d, LZ4F_VERSION)))
        return err_nomem(e);
    size_t hint = in.n <= SIZE_MAX / 4 ? in.n * 4 : in.n, pos = 0;
    for (;;) {
        char probe, *to;
        size_t room;
        if (!grow(out, hint, &to, &room, e))
            return false;
        hint = 0;
        size_t got = room ? room : 1, took = in.n - pos;
        size_t rc = LZ4F_decompress(d, room ? to : &probe, &got, in.p + pos, &took, NULL);
        if (LZ4F_isError(rc))
            return err_at(e, ERR_PARSE, pos, "lz4: %s", LZ4F_getErrorName(rc));
        if (room == 0 && got)
            return too_large(out, CODEC_LZ4, e);
        out->n += room ? got : 0;
        pos += took;
        if (pos == in.n && rc == 0)
            return true;
        if (took == 0 && got == 0)
            return err_set(e, ERR_PARSE, "lz4: unexpected end of input");
    }
}

static bool lz4_compress(int level, sv in, struct buf *out, struct err *e)
{
    LZ4F_preferences_t prefs = {.compressionLevel = level, .frameInfo.contentSize = in.n};
    size_t bound = LZ4F_compressFrameBound(in.n, &prefs);
    SCOPED(buf_done) struct buf whole = {0};
    char *to = buf_reserve(&whole, bound);
    if (!to)
        return err_nomem(e);
    size_t n = LZ4F_compressFrame(to, bound, in.p, in.n, &prefs);
    if (LZ4F_isError(n))
        return err_nomem(e);
    buf_put(out, to, n);
    return buf_ok(out, e);
}

/* --- snappy --- */

static bool snappy_corrupt(size_t pos, struct err *e)
{
    return err_at(e, ERR_PARSE, pos, "snappy: corrupt input");
}

static bool snappy_decompress(enum codec c, sv in, struct buf *out, struct err *e)
{
    size_t n;
    if (snappy_uncompressed_length(in.p, in.n, &n) != SNAPPY_OK)
        return snappy_corrupt(0, e);
    /* three bytes of input give at most 64 of output: a longer claim is false, and not worth allocating for
     */
    if (n / 22 > in.n)
        return snappy_corrupt(0, e);
    if (out->max && n > out->max - out->n)
        return too_large(out, c, e);
    char *to = buf_reserve(out, n);
    if (!to)
        return buf_ok(out, e);
    if (snappy_uncompress(in.p, in.n, to, &n) != SNAPPY_OK)
        return snappy_corrupt(0, e);
    out->n += n;
    return true;
}

static bool snappy_compress_block(sv in, struct buf *out, struct err *e)
{
    if (in.n > UINT32_MAX)
        return err_set(e, ERR_LIMIT, "snappy: more than 4 GiB in one block");
    size_t n = snappy_max_compressed_length(in.n);
    SCOPED(buf_done) struct buf whole = {0};
    char *to = buf_reserve(&whole, n);
    if (!to)
        return err_nomem(e);
    snappy_status rc = snappy_compress(in.p, in.n, to, &n);
    ASSERT(rc == SNAPPY_OK);
    buf_put(out, to, n);
    return buf_ok(out, e);
}

/* Framing format: chunks of type u8, length u24 LE. Data chunks start with the masked CRC-32C of what they
 * hold. */
enum { SNAPPY_COMPRESSED = 0x00, SNAPPY_PLAIN = 0x01, SNAPPY_SKIPPABLE = 0x80, SNAPPY_STREAM_ID = 0xff };

static bool snappy_chunk(uint8_t type, sv body, struct buf *out, size_t pos, struct err *e)
{
    if (body.n < 4)
        return snappy_corrupt(pos, e);
    uint32_t want = get_le32(body.p);
    size_t start = out->n, n = body.n - 4;
    body = sv_from(body, 4);
    if (type == SNAPPY_COMPRESSED && snappy_uncompressed_length(body.p, body.n, &n) != SNAPPY_OK)
        return snappy_corrupt(pos, e);
    if (n > SNAPPY_CHUNK_MAX)
        return snappy_corrupt(pos, e);
    if (type == SNAPPY_COMPRESSED) {
        if (!snappy_decompress(CODEC_SNAPPY_FRAMED, body, out, e))
            return false;
    } else if (out->max && n > out->max - out->n) {
        return too_large(out, CODEC_SNAPPY_FRAMED, e);
    } else {
        buf_sv(out, body);
        if (!buf_ok(out, e))
            return false;
    }
    uint32_t crc = crc32c(0, out->p ? out->p + start : "", out->n - start);
    if (((crc >> 15 | crc << 17) + 0xa282ead8u) != want)
        return err_at(e, ERR_PARSE, pos, "snappy: invalid checksum");
    return true;
}

static bool snappy_framed_decompress(sv in, struct buf *out, struct err *e)
{
    static const char id[] = "\xff\x06\x00\x00sNaPpY";
    if (!sv_starts(in, sv_make(id, sizeof id - 1)))
        return snappy_corrupt(0, e);
    for (size_t pos = 0; pos < in.n;) {
        sv rest = sv_from(in, pos);
        if (rest.n < 4)
            return snappy_corrupt(pos, e);
        uint32_t head = get_le32(rest.p);
        uint8_t type = head & 0xff;
        size_t n = head >> 8;
        if (n > rest.n - 4)
            return snappy_corrupt(pos, e);
        sv body = sv_sub(rest, 4, n);
        if (type == SNAPPY_COMPRESSED || type == SNAPPY_PLAIN) {
            if (!snappy_chunk(type, body, out, pos, e))
                return false;
        } else if (type < SNAPPY_SKIPPABLE || (type == SNAPPY_STREAM_ID && !sv_eq(body, SV("sNaPpY")))) {
            return snappy_corrupt(pos, e);
        }
        pos += 4 + n;
    }
    return true;
}

/* --- both --- */

static bool decompress_with(enum codec c, sv in, struct buf *out, struct err *e)
{
    switch (c) {
    case CODEC_NONE:
        if (out->max && in.n > out->max - out->n)
            return err_set(e, ERR_LIMIT, "more than %zu bytes", out->max);
        buf_sv(out, in);
        return buf_ok(out, e);
    case CODEC_GZIP:
    case CODEC_ZLIB:
    case CODEC_DEFLATE_RAW:
        return zlib_decompress(c, in, out, e);
    case CODEC_ZSTD:
        return zstd_decompress(in, out, e);
    case CODEC_LZ4:
        return lz4_decompress(in, out, e);
    case CODEC_SNAPPY:
        return snappy_decompress(c, in, out, e);
    case CODEC_SNAPPY_FRAMED:
        return snappy_framed_decompress(in, out, e);
    }
    return err_set(e, ERR_UNSUPPORTED, "unknown compression");
}

bool decompress(enum codec c, sv in, struct buf *out, struct err *e)
{
    if (out->failed)
        return buf_ok(out, e);
    size_t before = out->n;
    if (!in.p)
        in = SV("");
    if (decompress_with(c, in, out, e))
        return true;
    out->n = before;
    out->failed = ERR_NONE;
    return false;
}

static bool compress_with(enum codec c, int level, sv in, struct buf *out, struct err *e)
{
    switch (c) {
    case CODEC_NONE:
        buf_sv(out, in);
        return buf_ok(out, e);
    case CODEC_GZIP:
    case CODEC_ZLIB:
    case CODEC_DEFLATE_RAW:
        return zlib_compress(c, level, in, out, e);
    case CODEC_ZSTD:
        return zstd_compress(level, in, out, e);
    case CODEC_LZ4:
        return lz4_compress(level, in, out, e);
    case CODEC_SNAPPY:
        return snappy_compress_block(in, out, e);
    case CODEC_SNAPPY_FRAMED:
        break; /* we read it, nobody asks us to write it */
    }
    return err_set(e, ERR_UNSUPPORTED, "cannot compress to '%s'", codec_name(c));
}

bool compress(enum codec c, int level, sv in, struct buf *out, struct err *e)
{
    if (out->failed)
        return buf_ok(out, e);
    size_t before = out->n;
    if (!in.p)
        in = SV("");
    if (compress_with(c, level, in, out, e))
        return true;
    out->n = before;
    out->failed = ERR_NONE;
    return false;
}

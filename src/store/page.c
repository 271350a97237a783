/* page.c - see page.h. */
#include "store/page.h"
#include "base/endian.h"
#include "store/hash.h"
#include <stdlib.h>
#include <zstd.h>

enum { COMPRESS_FROM = 32 };

struct page_writer {
    ZSTD_CCtx *z;
    int level;
};
struct page_reader {
    ZSTD_DCtx *z;
};

static uint64_t page_hash(const uint8_t h[static PAGE_HEAD], sv stored)
{
    uint64_t seed = get_le64(h) ^ get_le64(h + 8) * 0x9e3779b97f4a7c15u;
    return XXH3_64bits_withSeed(stored.p ? stored.p : "", stored.n, seed);
}

struct page_writer *page_writer_new(int level)
{
    struct page_writer *w = calloc(1, sizeof *w);
    if (w && !(w->z = ZSTD_createCCtx())) {
        free(w);
        return NULL;
    }
    if (w)
        w->level = level;
    return w;
}

void page_writer_free(struct page_writer *w)
{
    if (w)
        ZSTD_freeCCtx(w->z);
    free(w);
}

struct page_reader *page_reader_new(void)
{
    struct page_reader *r = calloc(1, sizeof *r);
    if (r && !(r->z = ZSTD_createDCtx())) {
        free(r);
        return NULL;
    }
    return r;
}

void page_reader_free(struct page_reader *r)
{
    if (r)
        ZSTD_freeDCtx(r->z);
    free(r);
}

void page_seal(char *page, size_t n)
{
    ASSERT(n >= PAGE_HEAD);
    put_le64(page + 16, page_hash((const uint8_t *)page, sv_make(page + PAGE_HEAD, n - PAGE_HEAD)));
}

bool page_write(struct page_writer *w, enum page_encoding enc, uint32_t rows, sv raw, struct buf *out,
                uint32_t *ret_stored, struct err *e)
{
    if (raw.n > PAGE_MAX_RAW)
        return err_set(e, ERR_LIMIT, "page of %zu bytes is larger than %d", raw.n, PAGE_MAX_RAW);
    size_t from = out->n, bound = PAGE_HEAD + MAX(raw.n, ZSTD_compressBound(raw.n));
    if (!buf_reserve(out, bound))
        return buf_ok(out, e);
    char *body = out->p + from + PAGE_HEAD;
    size_t stored = raw.n;
    enum page_codec codec = PAGE_PLAIN;
    if (raw.n >= COMPRESS_FROM) {
        size_t n = ZSTD_compressCCtx(w->z, body, ZSTD_compressBound(raw.n), raw.p, raw.n, w->level);
        if (!ZSTD_isError(n) && n < raw.n - raw.n / 16) {
            stored = n;
            codec = PAGE_ZSTD;
        }
    }
    if (codec == PAGE_PLAIN && raw.n)
        memcpy(body, raw.p, raw.n);
    uint8_t h[PAGE_HEAD] = {(uint8_t)enc, (uint8_t)codec};
    put_le32(h + 4, rows);
    put_le32(h + 8, (uint32_t)raw.n);
    put_le32(h + 12, (uint32_t)stored);
    memcpy(out->p + from, h, sizeof h);
    page_seal(out->p + from, sizeof h + stored);
    out->n += PAGE_HEAD + stored;
    *ret_stored = (uint32_t)(PAGE_HEAD + stored);
    return true;
}

bool page_intact(sv bytes, uint32_t rows)
{
    return bytes.n >= PAGE_HEAD && get_le32(bytes.p + 12) == bytes.n - PAGE_HEAD && get_le32(bytes.p + 4) == rows &&
           page_hash((const uint8_t *)bytes.p, sv_from(bytes, PAGE_HEAD)) == get_le64(bytes.p + 16);
}

bool page_read(struct page_reader *r, sv bytes, enum page_encoding enc, struct buf *raw, struct page_head *ret,
               struct err *e)
{
    if (bytes.n < PAGE_HEAD)
        return err_set(e, ERR_CORRUPT, "page of %zu bytes", bytes.n);
    const uint8_t *p = (const uint8_t *)bytes.p;
    struct page_head h = {.encoding = p[0],
                          .codec = p[1],
                          .rows = get_le32(p + 4),
                          .raw = get_le32(p + 8),
                          .stored = get_le32(p + 12),
                          .hash = get_le64(p + 16)};
    sv stored = sv_from(bytes, PAGE_HEAD);
    if (h.stored != stored.n || h.raw > PAGE_MAX_RAW)
        return err_set(e, ERR_CORRUPT, "page sizes: %u stored in %zu, %u raw", h.stored, stored.n, h.raw);
    if (page_hash(p, stored) != h.hash)
        return err_set(e, ERR_CORRUPT, "page checksum");
    if (h.encoding != enc || get_le16(p + 2) != 0 || h.codec > PAGE_ZSTD)
        return err_set(e, ERR_UNSUPPORTED, "page encoding %u, codec %u where encoding %u was expected", h.encoding,
                       h.codec, enc);
    buf_reset(raw);
    char *to = buf_reserve(raw, (size_t)h.raw + PAGE_SLACK);
    if (!to)
        return buf_ok(raw, e);
    memset(to + h.raw, 0, PAGE_SLACK);
    if (h.codec == PAGE_ZSTD) {
        size_t n = ZSTD_decompressDCtx(r->z, to, h.raw, stored.p, stored.n);
        if (ZSTD_isError(n) || n != h.raw)
            return err_set(e, ERR_CORRUPT, "page compression: %s", ZSTD_isError(n) ? ZSTD_getErrorName(n) : "size");
    } else if (h.raw != h.stored) {
        return err_set(e, ERR_CORRUPT, "page sizes: %u plain bytes for %u", h.stored, h.raw);
    } else if (h.raw) {
        memcpy(to, stored.p, h.raw);
    }
    raw->n = h.raw;
    *ret = h;
    return true;
}

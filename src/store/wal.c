/* wal.c - see wal.h.
 * Frame, LE: 0 version u8 | 1 type u8 | 2 codec u8 | 3 rules u8 | 4 payload bytes u32, uncompressed | 8 arrival ns i64
 * | 16 tenant bytes u16 | 18 zero u16 | 20 refused bytes u32 | 24 tenant | refused: varint gaps | payload
 * Version 2, written only when lines were cut: 24 longest line u32 | 28 tenant and so on. */
#include "store/wal.h"
#include "base/endian.h"
#include "base/varint.h"
#include <lz4.h>

enum {
    WAL_VERSION = 1,
    WAL_VERSION_CUT = 2,
    WAL_HEAD = 24,
    WAL_HEAD_CUT = 28,
    WAL_PLAIN = 0,
    WAL_LZ4 = 1, /* a block */
    WAL_GZIP = 2,
    WAL_ZSTD = 3,
    WAL_SNAPPY = 4, /* a block */
    COMPRESS_FROM = 256, /* shorter payloads gain nothing */
};

static const struct {
    enum codec codec;
    uint8_t number;
} kept_codecs[] = {{CODEC_GZIP, WAL_GZIP}, {CODEC_ZSTD, WAL_ZSTD}, {CODEC_SNAPPY, WAL_SNAPPY}};

/* WAL_PLAIN when the log has no number for it. */
static uint8_t number_of(enum codec c)
{
    for (size_t i = 0; i < ARRAY_LEN(kept_codecs); i++)
        if (kept_codecs[i].codec == c)
            return kept_codecs[i].number;
    return WAL_PLAIN;
}

static enum codec codec_of(uint8_t number)
{
    for (size_t i = 0; i < ARRAY_LEN(kept_codecs); i++)
        if (kept_codecs[i].number == number)
            return kept_codecs[i].codec;
    return CODEC_NONE;
}

/* LZ4 and not zstd: this stands in front of every acknowledgement, and the log is short-lived. */
static bool compress_body(sv payload, struct buf *body, bool *ret_smaller, struct err *e)
{
    *ret_smaller = false;
    if (payload.n < COMPRESS_FROM)
        return true;
    int bound = LZ4_compressBound((int)payload.n);
    char *to = buf_reserve(body, (size_t)bound);
    if (!to)
        return buf_ok(body, e);
    int n = LZ4_compress_default(payload.p, to, (int)payload.n, bound);
    if (n > 0 && (size_t)n < payload.n - payload.n / 16) {
        body->n += (size_t)n;
        *ret_smaller = true;
    }
    return true;
}

bool wal_frame_write(const struct wal_frame *f, struct buf *head, struct buf *body, sv *ret_body, struct err *e)
{
    if (f->payload.n > WAL_MAX_PAYLOAD || f->tenant.n > UINT16_MAX)
        return err_set(e, ERR_INVALID, "request of %zu bytes is larger than %d", f->payload.n, WAL_MAX_PAYLOAD);
    uint8_t as = number_of(f->codec);
    sv stored = as != WAL_PLAIN ? f->packed : f->payload;
    bool smaller = false;
    if (f->compress && as == WAL_PLAIN && !compress_body(f->payload, body, &smaller, e))
        return false;
    if (smaller) {
        as = WAL_LZ4;
        stored = buf_view(body);
    }
    SCOPED(buf_done) struct buf gaps = {0};
    uint32_t last = 0;
    for (size_t i = 0; i < f->refused.n; i++) {
        uint8_t v[VARINT_MAX];
        buf_put(&gaps, v, varint_put(v, f->refused.at[i] - last));
        last = f->refused.at[i];
    }
    uint8_t h[WAL_HEAD_CUT] = {f->cut ? WAL_VERSION_CUT : WAL_VERSION, (uint8_t)f->type, as, (uint8_t)f->rules};
    put_le32(h + 4, (uint32_t)f->payload.n);
    put_le64(h + 8, (uint64_t)f->arrived_wall_ns);
    put_le16(h + 16, (uint16_t)f->tenant.n);
    put_le32(h + 20, (uint32_t)gaps.n);
    put_le32(h + 24, f->cut);
    buf_put(head, h, f->cut ? WAL_HEAD_CUT : WAL_HEAD);
    buf_sv(head, f->tenant);
    buf_sv(head, buf_view(&gaps));
    if (!buf_ok(&gaps, e) || !buf_ok(head, e))
        return false;
    *ret_body = stored;
    return true;
}

static bool refused_read(sv gaps, struct wal_frame *f, struct err *e)
{
    const uint8_t *at = (const uint8_t *)gaps.p, *end = at + gaps.n;
    uint64_t last = 0;
    while (at < end) {
        uint64_t gap;
        uint32_t *room;
        if (!varint_get(&at, end, &gap) || gap > UINT32_MAX || last + gap > UINT32_MAX)
            return err_set(e, ERR_CORRUPT, "log frame: bad list of refused records");
        if (!(room = vec_push(&f->refused)))
            return err_nomem(e);
        *room = (uint32_t)(last += gap);
    }
    return true;
}

static bool lz4_read(sv stored, uint32_t n, struct buf *body, struct err *e)
{
    char *to = buf_reserve(body, n ? n : 1);
    if (!to)
        return buf_ok(body, e);
    if (stored.n > INT32_MAX || LZ4_decompress_safe(stored.p, to, (int)stored.n, (int)n) != (int)n)
        return err_set(e, ERR_CORRUPT, "log frame: damaged compression");
    body->n = n;
    return true;
}

/* As it came; it was taken apart once already, so what fails now is damage. */
static bool packed_read(enum codec codec, sv stored, uint32_t n, struct buf *body, struct err *e)
{
    body->max = n;
    bool ok = decompress(codec, stored, body, e);
    body->max = 0;
    if (!ok && e->code != ERR_NOMEM)
        e->code = ERR_CORRUPT;
    return ok || err_ctx(e, "log frame");
}

static bool payload_read(uint8_t number, sv stored, uint32_t n, struct buf *body, sv *ret, struct err *e)
{
    enum codec codec = codec_of(number);
    if (number == WAL_PLAIN && stored.n == n) {
        *ret = stored;
        return true;
    }
    if ((number != WAL_LZ4 && codec == CODEC_NONE) || n > WAL_MAX_PAYLOAD)
        return err_set(e, ERR_CORRUPT, "log frame: codec %u, %zu bytes for %u", number, stored.n, n);
    buf_reset(body);
    if (!(codec == CODEC_NONE ? lz4_read(stored, n, body, e) : packed_read(codec, stored, n, body, e)))
        return false;
    if (body->n != n)
        return err_set(e, ERR_CORRUPT, "log frame: %zu bytes where %u were packed", body->n, n);
    *ret = buf_view(body);
    return true;
}

bool wal_frame_read(sv bytes, struct buf *body, struct wal_frame *ret, struct err *e)
{
    const uint8_t *h = (const uint8_t *)bytes.p;
    if (bytes.n < WAL_HEAD)
        return err_set(e, ERR_CORRUPT, "log frame of %zu bytes", bytes.n);
    if (h[0] < WAL_VERSION || h[0] > WAL_VERSION_CUT || (h[1] != WAL_OTLP && h[1] != WAL_LOKI))
        return err_set(e, ERR_UNSUPPORTED, "log frame of version %u, type %u: written by a newer release?", h[0], h[1]);
    uint32_t raw = get_le32(h + 4), n_gaps = get_le32(h + 20);
    uint16_t n_tenant = get_le16(h + 16);
    size_t head = h[0] == WAL_VERSION_CUT ? WAL_HEAD_CUT : WAL_HEAD;
    if (head + n_tenant + n_gaps > bytes.n)
        return err_set(e, ERR_CORRUPT, "log frame: lengths pass its end");
    struct wal_frame f = {.type = h[1],
                          .rules = h[3],
                          .arrived_wall_ns = (int64_t)get_le64(h + 8),
                          .cut = head == WAL_HEAD_CUT && bytes.n >= WAL_HEAD_CUT ? get_le32(h + 24) : 0,
                          .tenant = sv_sub(bytes, head, n_tenant)};
    if (!refused_read(sv_sub(bytes, head + n_tenant, n_gaps), &f, e) ||
        !payload_read(h[2], sv_from(bytes, head + n_tenant + n_gaps), raw, body, &f.payload, e)) {
        wal_frame_done(&f);
        return false;
    }
    *ret = f;
    return true;
}

/* segment.c - see segment.h. */
#include "spool/segment.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"

#define MAGIC "WEIRSPOL"
#define MAJOR 1
#define MINOR 0
#define HEADER_LEN_MAX 4096
#define WINDOW ((size_t)256 << 10)
#define WINDOW_KEEP ((size_t)1 << 20) /* a window that grew above this for one frame is given back */
#define GUESS_FACTOR 8                /* bytes of CRC spent on guessing per byte of segment */

/* header, 64 bytes LE: 0 magic | 8 major u16 | 10 minor u16 | 12 header length u32 | 16 segment number u64 |
 * 24 first sequence u64 | 32 previous segment u64 | 40 end sequence of the previous segment u64 | 48 cursor u64 |
 * 56 must-know features u32 | 60 crc32c u32 of bytes 0..59 */
void seg_header_put(char b[static SEG_HEADER_BYTES], const struct seg_header *h)
{
    memcpy(b, MAGIC, 8);
    put_le16(b + 8, MAJOR);
    put_le16(b + 10, MINOR);
    put_le32(b + 12, SEG_HEADER_BYTES);
    put_le64(b + 16, h->no);
    put_le64(b + 24, h->first_seq);
    put_le64(b + 32, h->prev_no);
    put_le64(b + 40, h->prev_end_seq);
    put_le64(b + 48, h->cursor);
    put_le32(b + 56, 0);
    put_le32(b + 60, crc32c(0, b, 60));
}

bool seg_header_get(sv bytes, struct seg_header *ret, struct err *e)
{
    const char *b = bytes.p;
    if (bytes.n < SEG_HEADER_BYTES || memcmp(b, MAGIC, 8) != 0)
        return err_at(e, ERR_CORRUPT, 0, "no spool segment header");
    if (get_le32(b + 60) != crc32c(0, b, 60))
        return err_at(e, ERR_CORRUPT, 60, "spool segment header fails its checksum");
    struct seg_header h = {
        .len = get_le32(b + 12),
        .no = get_le64(b + 16),
        .first_seq = get_le64(b + 24),
        .prev_no = get_le64(b + 32),
        .prev_end_seq = get_le64(b + 40),
        .cursor = get_le64(b + 48),
    };
    if (get_le16(b + 8) != MAJOR)
        return err_at(e, ERR_UNSUPPORTED, 8, "spool segment version %d, this program reads %d", get_le16(b + 8), MAJOR);
    if (get_le32(b + 56) != 0)
        return err_at(e, ERR_UNSUPPORTED, 56, "spool segment needs features 0x%x, which this program does not know",
                      get_le32(b + 56));
    if (h.len < SEG_HEADER_BYTES || h.len > HEADER_LEN_MAX || h.no == 0 || h.prev_no >= h.no || h.first_seq == 0 ||
        h.first_seq >= SEG_SEQ_MAX || h.prev_end_seq > h.first_seq || h.cursor > h.first_seq)
        return err_at(e, ERR_CORRUPT, 12, "spool segment header has impossible values");
    *ret = h;
    return true;
}

uint32_t seg_seed(uint64_t no)
{
    char b[8];
    put_le64(b, no);
    return crc32c(0, b, sizeof b);
}

/* frame, 16 bytes LE before the payload: 0 crc32c u32 of all that follows, seeded | 4 payload length u32 | 8 sequence u64 */
void seg_frame_put(char *frame, uint32_t seed, uint64_t seq, size_t n)
{
    put_le32(frame + 4, (uint32_t)n);
    put_le64(frame + 8, seq);
    put_le32(frame, crc32c(seed, frame + 4, SEG_FRAME_BYTES - 4 + n));
}

void seg_walk_init(struct seg_walk *w, int fd, sv mem, uint64_t no, uint64_t off, uint64_t first_seq)
{
    *w = (struct seg_walk){
        .fd = fd,
        .mem = mem,
        .off = off,
        .end = off,
        .seq = first_seq,
        .seq_end = UINT64_MAX,
        .anchored = true,
        .seed = seg_seed(no),
    };
}

void seg_walk_done(struct seg_walk *w)
{
    buf_done(&w->win);
}

void seg_walk_extend(struct seg_walk *w, uint64_t end)
{
    ASSERT(end >= w->end);
    w->budget += GUESS_FACTOR * (end - w->end);
    w->end = end;
}

/* `n` bytes at `off`, which lie below w->end; valid until the next call. NULL: cannot be read. */
static const char *bytes_at(struct seg_walk *w, uint64_t off, size_t n, struct err *e)
{
    if (w->fd < 0)
        return w->mem.p + off;
    if (off >= w->win_off && off + n <= w->win_off + w->win.n)
        return w->win.p + (off - w->win_off);
    if (w->win.cap > WINDOW_KEEP && n <= WINDOW)
        buf_done(&w->win);
    size_t want = (size_t)MIN(MAX((uint64_t)n, (uint64_t)WINDOW), w->end - off);
    buf_reset(&w->win);
    char *to = buf_reserve(&w->win, want);
    if (!to) {
        err_nomem(e);
        return NULL;
    }
    if (!io_pread_all(w->fd, to, want, off, "spool segment", e))
        return NULL;
    w->win.n = want;
    w->win_off = off;
    return to;
}

enum found { NO, YES, FAILED };

/* Is there a good frame at `off`, with a sequence in [lo, hi]? Then *ret_n and *ret_seq say which. */
static enum found frame_at(struct seg_walk *w, uint64_t off, uint64_t lo, uint64_t hi, bool guess, size_t *ret_n,
                           uint64_t *ret_seq, struct err *e)
{
    if (w->end - off < SEG_FRAME_BYTES)
        return NO;
    const char *b = bytes_at(w, off, SEG_FRAME_BYTES, e);
    if (!b)
        return FAILED;
    uint64_t n = get_le32(b + 4), seq = get_le64(b + 8);
    if (seq < lo || seq > hi || n > SEG_FRAME_MAX || n > w->end - off - SEG_FRAME_BYTES)
        return NO;
    size_t total = SEG_FRAME_BYTES + (size_t)n;
    if (guess) {
        if (w->budget < total)
            return NO;
        w->budget -= total;
    }
    b = bytes_at(w, off, total, e);
    if (!b)
        return FAILED;
    if (get_le32(b) != crc32c(w->seed, b + 4, total - 4))
        return NO;
    *ret_n = (size_t)n;
    *ret_seq = seq;
    return YES;
}

/* The highest sequence a frame at `off` can have when frames before it, from w->off on, were destroyed. */
static uint64_t highest_at(const struct seg_walk *w, uint64_t off)
{
    uint64_t top = w->seq_end - 1;
    if (w->anchored)
        top = MIN(top, w->seq + (off - w->off) / SEG_FRAME_BYTES);
    return MIN(top, SEG_SEQ_MAX);
}

/* Where the next good frame starts after the damage at w->off; w->end when there is none. */
static bool resync(struct seg_walk *w, uint64_t *ret_off, uint64_t *ret_seq, struct err *e)
{
    size_t n;
    *ret_off = w->end;
    if (w->end - w->off > SEG_FRAME_BYTES) {
        /* a damaged payload leaves the length: trust it first, so that bytes in a payload are not taken for a frame */
        const char *b = bytes_at(w, w->off, SEG_FRAME_BYTES, e);
        if (!b)
            return false;
        uint64_t at = w->off + SEG_FRAME_BYTES + get_le32(b + 4);
        enum found f = at < w->end ? frame_at(w, at, w->seq, highest_at(w, at), true, &n, ret_seq, e) : NO;
        if (f == YES)
            *ret_off = at;
        if (f != NO)
            return f == YES;
    }
    for (uint64_t at = w->off + 1; at < w->end; at++) {
        enum found f = frame_at(w, at, w->seq, highest_at(w, at), true, &n, ret_seq, e);
        if (f == YES)
            *ret_off = at;
        if (f != NO)
            return f == YES;
    }
    return true;
}

/* Bytes from w->off up to the last that is not zero: preallocated space behind the last frame is no damage. */
static bool tail_bytes(struct seg_walk *w, uint64_t *ret, struct err *e)
{
    *ret = 0;
    for (uint64_t off = w->off; off < w->end;) {
        size_t n = (size_t)MIN((uint64_t)WINDOW, w->end - off);
        const char *b = bytes_at(w, off, n, e);
        if (!b)
            return false;
        size_t last = n;
        while (last && !b[last - 1])
            last--;
        if (last)
            *ret = off + last - w->off;
        off += n;
    }
    return true;
}

static enum seg_step report_bad(struct seg_walk *w, uint64_t bytes, uint64_t frames, uint64_t go_on_at)
{
    w->bad_off = w->off;
    w->bad_bytes = bytes;
    w->bad_frames = frames;
    w->off = go_on_at;
    w->seq += frames;
    return SEG_BAD;
}

static enum seg_step step_bad(struct seg_walk *w, struct err *e)
{
    uint64_t at, seq = w->seq;
    if (!resync(w, &at, &seq, e))
        return SEG_FAILED;
    if (at < w->end) {
        uint64_t lost = w->anchored ? seq - w->seq : 0;
        w->seq = w->anchored ? w->seq : seq;
        w->anchored = true;
        return report_bad(w, at - w->off, lost, at);
    }
    uint64_t bytes;
    if (!tail_bytes(w, &bytes, e))
        return SEG_FAILED;
    uint64_t lost = w->end_known && w->anchored ? w->seq_end - w->seq : 0;
    if (bytes || lost)
        return report_bad(w, bytes, lost, w->end);
    w->off = w->end;
    return SEG_END;
}

enum seg_step seg_walk_step(struct seg_walk *w, struct err *e)
{
    if (w->seq >= w->seq_end)
        return SEG_END; /* what may follow was refused, not acknowledged */
    if (w->off >= w->end) {
        if (!w->end_known || !w->anchored)
            return SEG_END;
        return report_bad(w, 0, w->seq_end - w->seq, w->off);
    }
    size_t n;
    uint64_t seq;
    uint64_t hi = w->anchored ? w->seq : MIN(w->seq_end - 1, SEG_SEQ_MAX);
    switch (frame_at(w, w->off, w->seq, hi, false, &n, &seq, e)) {
    case FAILED:
        return SEG_FAILED;
    case NO:
        return step_bad(w, e);
    case YES:
        break;
    }
    w->frame = (sv){bytes_at(w, w->off, SEG_FRAME_BYTES + n, e) + SEG_FRAME_BYTES, n};
    w->frame_seq = seq;
    w->off += SEG_FRAME_BYTES + n;
    w->seq = seq + 1;
    w->anchored = true;
    return SEG_FRAME;
}

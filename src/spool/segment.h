/* segment.h - the bytes of one spool segment: header, frames, and the walk over them that survives damage.
 * (1) A frame counts only if its CRC matches. The CRC is seeded with the segment's number, so bytes of another segment
 *     (stale blocks after a crash, a file put back in the wrong place) never pass.
 * (2) Frames of a segment have consecutive sequences; after damage the walk goes on at the next frame that verifies and
 *     whose sequence is possible there, and says how many bytes and frames it lost.
 * (3) The walk treats the file as hostile: memory is bounded by the file's own size and SEG_FRAME_MAX, work by a budget
 *     proportional to the size. What may be appended now is no bound: frames of a larger earlier setting are still good.
 * Byte layout: docs/formats.md, "Spool segment". Not here: files, names, which segment comes next (spool.c, recover.c). */
#pragma once
#include "base/buf.h"
#include "base/err.h"

#define SEG_HEADER_BYTES 64
#define SEG_FRAME_BYTES 16 /* in front of each payload */
#define SEG_FRAME_MAX ((uint64_t)1 << 30) /* payload; the format's own limit, whatever the configuration */
#define SEG_SEQ_MAX (UINT64_MAX / 2)

struct seg_header {
    uint64_t no;           /* of this segment */
    uint64_t first_seq;    /* of the first frame in it */
    uint64_t prev_no;      /* the segment before it, 0: none */
    uint64_t prev_end_seq; /* one above the last good frame of the segment before */
    uint64_t cursor;       /* the consumer's, when this segment was made */
    uint32_t len;          /* frames start here; longer than ours when a later minor version added fields */
};
void seg_header_put(char b[static SEG_HEADER_BYTES], const struct seg_header *h);
/* ERR_CORRUPT: not a header; ERR_UNSUPPORTED: a sound one of a version or with a feature we do not know. */
MUST_USE bool seg_header_get(sv bytes, struct seg_header *ret, struct err *e);

uint32_t seg_seed(uint64_t no);
/* Fills the 16 bytes in front of a payload of `n` bytes that already stands behind them. */
void seg_frame_put(char *frame, uint32_t seed, uint64_t seq, size_t n);

struct seg_walk {
    int fd; /* -1: `mem` has the bytes */
    sv mem;
    uint64_t off, end;     /* next byte to look at; where the readable part ends */
    uint64_t seq, seq_end; /* next expected frame; one above the last one there should be (UINT64_MAX: not known) */
    bool anchored;         /* `seq` is exact; else a lower bound, because the header was lost */
    bool end_known;        /* a walk that ends below seq_end has lost frames */
    uint32_t seed;
    uint64_t budget; /* bytes of CRC left for guessing where a frame starts */
    struct buf win;  /* of the file, from win_off */
    uint64_t win_off;

    sv frame; /* SEG_FRAME: until the next step */
    uint64_t frame_seq;
    uint64_t bad_off, bad_bytes, bad_frames; /* SEG_BAD */
};
enum seg_step {
    SEG_FRAME,
    SEG_BAD, /* bytes that are no frame, or (bad_bytes 0) frames missing at the end */
    SEG_END,
    SEG_FAILED, /* the file cannot be read; a later step tries again */
};

/* Start at the first frame of segment `no`. `fd` is borrowed. */
void seg_walk_init(struct seg_walk *w, int fd, sv mem, uint64_t no, uint64_t off, uint64_t first_seq);
void seg_walk_done(struct seg_walk *w);
/* The readable part now ends at `end` (never less than before). */
void seg_walk_extend(struct seg_walk *w, uint64_t end);
enum seg_step seg_walk_step(struct seg_walk *w, struct err *e);

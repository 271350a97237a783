/* wal.h - what a frame of the write-ahead log says: one push request as it came, and what is needed to read it again the
 * same way. The log itself (segments, checksums, group commit) is a spool. Bytes: docs/formats.md, "WAL frame". */
#pragma once
#include "base/buf.h"
#include "base/compress.h"
#include "base/lock.h"
#include "base/vec.h"

enum wal_type { WAL_OTLP = 1, WAL_LOKI = 2 };

struct wal_frame {
    enum wal_type type;
    unsigned rules;          /* RULE_* of ingest.h in force then */
    uint32_t cut;            /* lines longer than this were cut; 0: none were */
    int64_t arrived_wall_ns; /* gives records without a time the same time again */
    sv tenant, payload;
    enum codec codec;        /* writing: not CODEC_NONE when the payload came compressed, */
    sv packed;               /* as these bytes; then they are kept, if their codec is one of the log's */
    bool compress;           /* writing: compress what is not */
    VEC(uint32_t) refused;   /* numbers of the records that were refused, ascending */
};
static inline UNUSED void wal_frame_done(struct wal_frame *f)
{
    vec_done(&f->refused);
}

enum { WAL_MAX_PAYLOAD = 256 << 20 };

/* The frame as two parts, header and body, for spool_append_async(): *head and *body hold the bytes; *ret_body is the body,
 * in *body when compression made it smaller, else the payload as it came. */
MUST_USE bool wal_frame_write(const struct wal_frame *f, struct buf *head, struct buf *body, sv *ret_body, struct err *e);
/* Views point into `bytes`; the payload into *body when it was compressed. ERR_CORRUPT, ERR_UNSUPPORTED (a newer version). */
MUST_USE bool wal_frame_read(sv bytes, struct buf *body, struct wal_frame *ret, struct err *e);

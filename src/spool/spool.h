/* spool.h - a queue of opaque byte frames that survives a crash. One implementation, three users: the SDK's spill-over,
 * the collector's sending queue, the store's WAL.
 * A spool is a directory of numbered segments: append to the highest, consume from the lowest.
 * (1) A frame counts only if its CRC matches. What is no frame is skipped and counted; behind the last good frame of the
 *     last segment it is a torn append, and cut off at opening.
 * (2) An append is acknowledged only after fdatasync (with SPOOL_SYNC_ALWAYS): what we acknowledge is on disk.
 * (3) Frames have ascending 64-bit sequence numbers from 1, never reused, also across restarts. They are consecutive but
 *     for the numbers of appends that failed.
 * (4) A failed write or sync is final for its segment: it is cut back to the last good frame when possible, and sealed;
 *     the next append starts a new one. Appends fail until that works, and nothing is acknowledged meanwhile.
 * (5) The directory is opened once, and every file by its name in it: links are not followed, and what is no regular file is
 *     refused. So a spool in somebody else's directory cannot make a mightier adopter write, or wait, elsewhere.
 * Byte layout: docs/formats.md. Not here: what a frame means, retry policy. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

struct spool;

enum spool_sync { SPOOL_SYNC_ALWAYS, SPOOL_SYNC_INTERVAL, SPOOL_SYNC_OFF };
enum spool_full { SPOOL_REFUSE /* ERR_FULL */, SPOOL_DROP_OLDEST /* whole segments, counted */ };

struct spool_config {
    const char *dir;         /* made when missing; locked while open; a link in the last place is refused */
    const char *at_name;     /* not NULL: the directory is this name in the open directory at_fd, and `dir` just its name in messages */
    int at_fd;               /* not needed any more once the spool is open */
    uint64_t segment_bytes;  /* 0: 64 MiB */
    uint64_t max_bytes;      /* of all segments; 0: no cap */
    uint64_t max_frame_bytes; /* of appends; 0: 128 MiB, 1 GiB at most. Frames stored under a larger limit are still read */
    enum spool_full when_full;
    enum spool_sync sync;
    int64_t interval_ns;     /* for SPOOL_SYNC_INTERVAL */
    uint64_t next_seq_min;   /* appends are numbered from here at least: for a user who keeps a cursor of his own */
    bool own_thread;         /* true: a committer thread does group commit; false (SDK): the appender syncs itself */
};

/* What opening found; for logs and metrics. Only the last segment is read through: damage in the others is found, and
 * counted in spool_stats, by the reader that meets it. */
struct spool_recovery {
    uint64_t frames, bytes;         /* waiting: frames not yet consumed, and the segments that hold them */
    uint64_t torn_bytes;            /* cut from the last segment's tail */
    uint64_t bad_frames, bad_bytes; /* damage seen so far */
    uint64_t missing_segments;      /* gaps in the chain of segments */
};

/* ERR_UNAVAILABLE: another process has it. Damage is no failure: it is in *ret_recovery (may be NULL). */
MUST_USE bool spool_open(const struct spool_config *cfg, struct spool **ret, struct spool_recovery *ret_recovery,
                         struct err *e);
/* Commits what was appended, stores the cursor, releases the lock. Readers are closed before, and no call is under way or
 * comes after. NULL is fine. */
void spool_close(struct spool *sp);

/* In a forked child: closes what was inherited and frees it, without a word to the disk: the spool is still the parent's.
 * Readers are closed before; the parent held no lock of it while forking. Not with own_thread. NULL is fine. */
void spool_forget(struct spool *sp);

/* Appends and waits until it is safe (and, when 64 MiB wait for the disk already, for room). Any thread; concurrent callers share one sync. Nothing is queued on failure:
 * ERR_FULL (cap reached or disk full), ERR_IO, ERR_LIMIT (frame above max_frame_bytes), ERR_CLOSED. */
MUST_USE bool spool_append(struct spool *sp, sv frame, uint64_t *ret_seq, struct err *e);

/* The same without waiting (needs own_thread): `done` is called once, on the committer thread, in sequence order, after
 * the sync or the failure. `parts` are joined into one frame (a header and a body, say); they are copied before return.
 * `done` may append further frames this way, but must not wait for the spool (spool_append, spool_close).
 * False: refused at once (queue of 64 MiB uncommitted bytes or cap reached, closed); then `done` is not called. */
typedef void spool_done_fn(void *ctx, uint64_t seq, const struct err *e /* NULL: safe */);
MUST_USE bool spool_append_async(struct spool *sp, const sv *parts, size_t n_parts, spool_done_fn *done, void *ctx,
                                 struct err *e);

/* Reading: a reader walks forward from a sequence and sees only safe frames. Readers are independent of each other and of
 * the writer; each belongs to one thread at a time. A frame trimmed away under a reader is passed over. An error leaves
 * the reader where it is: the next call tries again. */
struct spool_reader;
MUST_USE bool spool_reader_open(struct spool *sp, uint64_t from_seq, struct spool_reader **ret, struct err *e);
void spool_reader_close(struct spool_reader *rd);
/* 1: got a frame (valid until the next call); 0: nothing more yet; -1: error. */
int spool_read(struct spool_reader *rd, sv *ret_frame, uint64_t *ret_seq, struct err *e);
/* Called on the committer (or appending) thread whenever frames became readable; must be cheap and not call back into
 * the spool. One per spool; after setting another (or NULL) the old one is not called any more. */
void spool_on_readable(struct spool *sp, void (*fn)(void *ctx), void *ctx);

/* The consumer's cursor: everything below `below_seq` is done with; whole segments below it are deleted, by the committer.
 * Costs a write and no sync: a crash of the process forgets nothing; a power cut forgets what came after the last trim
 * or close, and then a little is delivered again, never less. Any thread. */
MUST_USE bool spool_consume(struct spool *sp, uint64_t below_seq, struct err *e);
uint64_t spool_first_seq(struct spool *sp); /* the cursor: first frame not consumed */
uint64_t spool_next_seq(struct spool *sp);  /* the number the next append gets */

struct spool_stats {
    uint64_t frames;          /* waiting for the consumer */
    uint64_t bytes, segments; /* on disk */
    uint64_t appended, syncs; /* since opening, as all that follow */
    uint64_t dropped_frames, dropped_bytes; /* by SPOOL_DROP_OLDEST, before they were consumed */
    uint64_t bad_frames, bad_bytes;         /* damage that readers or the opening met */
    uint64_t failures;                      /* writes, syncs, removals the system refused */
};
void spool_stats(struct spool *sp, struct spool_stats *ret);

/* ---- looking, for `weir inspect` and `weir recover --list`: no lock is taken and nothing is changed, so the spool may be open
 * elsewhere. What its owner appends or trims meanwhile may be seen or not. ---- */

struct spool_peek_segment {
    uint64_t no, size;
    uint64_t first_seq, prev_no, prev_end_seq, cursor, header_len; /* as its header says */
    struct err header_err; /* code set: the header is damaged, and the five above are not from it */
    bool abandoned;        /* left by a failed append: nothing in it counts */
};
struct spool_peek {
    uint64_t cursor; /* the first frame not consumed */
    uint64_t segments, bytes;
    uint64_t frames; /* waiting: not consumed */
    uint64_t bad_frames, bad_bytes, missing_segments;
};
struct spool_peek_fns { /* any may be NULL */
    void (*segment)(void *ctx, const struct spool_peek_segment *s); /* then come its frames */
    void (*frame)(void *ctx, uint64_t seq, sv frame, bool waits);
    void (*bad)(void *ctx, uint64_t offset, uint64_t n_bytes, uint64_t n_frames);
};
/* False: the directory or a file cannot be read, or is of a newer version. */
MUST_USE bool spool_peek(const char *dir, const struct spool_peek_fns *fns, void *ctx, struct spool_peek *ret, struct err *e);

/* Reads a segment file without opening the spool, for `weir inspect` and fuzzing: calls `frame` for each good frame and
 * `bad` for each damaged stretch. Returns false only when the file cannot be read at all. */
MUST_USE bool spool_scan_segment(sv bytes, void (*frame)(void *ctx, uint64_t seq, sv frame),
                                 void (*bad)(void *ctx, size_t offset, size_t n, const char *why), void *ctx,
                                 struct err *e);

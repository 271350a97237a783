/* spool_int.h - what the files of the spool share: the segment table, and who owns which field.
 * spool.c: appending, committing, consuming. recover.c: what opening finds. cursor.c: the consumer's position on disk.
 * reader.c: walking forward. segment.c: the bytes. */
#pragma once
#include "base/lock.h"
#include "base/vec.h"
#include "spool/segment.h"
#include "spool/spool.h"

#define SEG_NAME_BYTES 32
void seg_name(uint64_t no, char out[static SEG_NAME_BYTES]);
bool seg_number_of(sv name, uint64_t *ret); /* false: not a segment's name */

/* One segment of the table. Readers hold a reference, so that trimming does not pull it away under them. */
struct segment {
    uint64_t no, first_seq;    /* read-only */
    uint32_t header_len;       /* read-only */
    bool header_lost;          /* read-only; the header is damaged: first_seq is a lower bound */
    uint32_t refs;             /* under mu */
    uint64_t bad_upto;         /* under mu; damage below this offset is counted */
    _Atomic uint64_t end;      /* readable bytes; release by the committer, acquire by readers */
    _Atomic uint64_t end_seq;  /* one above the last good frame; stored before `end` */
    _Atomic bool sealed;       /* end and end_seq are final; stored after them */
    _Atomic bool gone;         /* trimmed or abandoned: readers pass over it. Set before its file goes */
};

struct append {
    uint64_t seq;
    size_t off, n; /* of the frame with its 16 bytes, in `bytes` */
    spool_done_fn *done;
    void *ctx;
};
struct batch {
    struct buf bytes;
    VEC(struct append) appends;
};

struct spool {
    struct spool_config cfg; /* set by spool_open(), then read-only; so the next three */
    char *dir;
    int dirfd, lock_fd;

    struct lock mu;
    VEC(struct segment *) segs; /* under mu, as all down to `stats`; ascending; only the last may be unsealed */
    struct batch queue;         /* waiting for the committer */
    size_t inflight_bytes;      /* being committed */
    uint64_t next_seq;          /* of the next append */
    uint64_t cursor;            /* first frame not consumed */
    uint64_t disk_bytes;        /* of all segments */
    bool committing;            /* somebody has the committer's role */
    bool closing, trim_wanted;
    struct spool_stats stats; /* the counters; gauges are computed when asked */
    struct cond work;         /* wakes the committer thread */
    struct cond idle;         /* wakes appenders: something was committed, or the role is free */

    /* The committer's, that is of whoever set `committing`. */
    struct segment *active; /* the last of segs when appendable; NULL: the next append starts a new one */
    int fd;                 /* of active */
    uint64_t allocated;     /* bytes of active that exist already */
    uint64_t next_no;       /* number of the next segment */
    bool dirty;             /* written and not synced (interval) */
    bool dir_dirty;         /* active's name is not synced */
    int64_t synced_ns;
    struct batch spare;

    struct lock cursor_mu; /* taken before mu, never after */
    int cursor_fd;         /* read-only after opening */
    uint64_t cursor_stored; /* under cursor_mu, as the next two */
    bool cursor_dirty, cursor_slot;

    struct lock notify_mu; /* held while the callback runs */
    void (*on_readable)(void *ctx);
    void *on_readable_ctx;

    pthread_t thread;
    bool thread_started;
};

/* A new segment with one reference (the table's); NULL: no memory. */
struct segment *segment_new(uint64_t no, uint64_t first_seq, uint32_t header_len);
void segment_unref(struct spool *sp, struct segment *sg); /* under mu; NULL is fine */
/* Damage found at `off`: counted once, however many readers meet it. */
void segment_count_damage(struct spool *sp, struct segment *sg, uint64_t off, uint64_t bytes, uint64_t frames);

/* Fills segs, cursor, next_seq, next_no and disk_bytes from the directory. */
MUST_USE bool spool_recover(struct spool *sp, struct spool_recovery *ret, struct err *e);

#define CURSOR_NAME "cursor"
#define CURSOR_FILE_BYTES 536
bool cursor_get(sv file, uint64_t *ret); /* false: no good slot in these bytes */
/* The cursor file. _open reads what is there (0: nothing usable); _store writes sp->cursor without a sync. */
MUST_USE bool cursor_open(struct spool *sp, uint64_t *ret, struct err *e);
MUST_USE bool cursor_store(struct spool *sp, struct err *e);
MUST_USE bool cursor_sync(struct spool *sp, struct err *e);

/* backlog.h - what one process has accepted and not delivered yet: a ring in a mapped file, and behind it a spool on disk into
 * which the ring's records move when they cannot be sent fast enough. A directory of its own for each:
 *
 *     BASE/SERVICE-PID-RANDOM/ring          BASE/SERVICE-PID-RANDOM/spool/…  (a spool, when there ever was a need)
 *
 * (1) Who holds the lock on `ring` owns the backlog: the process itself while it lives, then whoever adopts it. So a record
 *     has one sender, and a backlog whose owner died is found by its lock being free.
 * (2) Records leave in the order they came: the spool's first, then the ring's.
 * (3) A batch is an ExportLogsServiceRequest that stands for itself: resource and scopes are inside. It stays stored until
 *     backlog_settle().
 * (4) What is empty and not in use any more is removed with its directory.
 * (5) Without a directory, the ring is plain memory and nothing spills: the fallback where no directory can be had.
 * Threads: one at a time, but for putting into the ring (ring.h). Bytes: docs/formats.md, "Backlog".
 * Not here: when to send, retries, counters by reason (sdk, collector, cli). */
#pragma once
#include "backlog/ring.h"
#include "base/buf.h"

struct backlog;

struct backlog_config {
    const char *base;    /* directory of the backlogs, made when missing; NULL: memory only */
    sv service;          /* names the backlog, so that the next start of the service finds it */
    uint64_t ring_bytes; /* of records; rounded up to a power of two */
    uint64_t dict_bytes; /* for resource and scopes */
    uint64_t spill_max_bytes;
    bool durable;        /* what is spilled, and the backlog itself, survives a power cut (ring: backlog_sync()) */
    bool drop_oldest;    /* a full spool gives up its oldest records; else backlog_spill() fails with ERR_FULL */
    uint32_t batch_records;
    uint64_t batch_bytes; /* a larger record is a batch of its own */
};

/* The directory when none is configured: WEIR_SPOOL_DIR, else $XDG_STATE_HOME/weir/spool, ~/.local/state/weir/spool, or
 * /tmp/weir-spool-UID, the first that can be made and belongs to us. NULL: WEIR_SPOOL_DIR is "none", or none can be had (then
 * *e says why). Free it. */
char *backlog_default_dir(struct err *e);

/* A new backlog, owned by this process. `resource`: the fields of ResourceLogs in front of its scopes. */
MUST_USE bool backlog_new(const struct backlog_config *cfg, sv resource, struct backlog **ret, struct err *e);
/* Takes over BASE/name. ERR_UNAVAILABLE: its owner lives, or another adopter was quicker; ERR_NOT_FOUND: gone meanwhile, or
 * not a backlog. `cfg` gives base and the batches' sizes. */
MUST_USE bool backlog_adopt(const struct backlog_config *cfg, const char *name, struct backlog **ret, struct err *e);
/* Releases it. Empty ones are removed from disk; what is left waits for the next adopter, in as little space as can be (in memory:
 * is lost). Returns how many records stay behind on disk; -1: not known. NULL is fine. */
int64_t backlog_close(struct backlog *bl);
/* The same in two steps, for whose ring may still be looked at by threads that put: after _finish() they find it closed, after
 * _free() it is gone. */
int64_t backlog_finish(struct backlog *bl, uint64_t *ret_lost /* records that go with the process; may be NULL */);
void backlog_free(struct backlog *bl);
/* In a forked child: lets go of what belongs to the parent, without touching what is stored. */
void backlog_forget(struct backlog *bl);

/* Names of backlogs in a directory, those of one `service`, or of any (SV_NULL; an empty one is that of services without a name);
 * fn returns false to stop. A missing directory has none. A name says nothing about whether its owner lives. */
MUST_USE bool backlog_list(const char *base, sv service, bool (*fn)(void *ctx, const char *name), void *ctx, struct err *e);

struct ring *backlog_ring(struct backlog *bl);
const char *backlog_dir(const struct backlog *bl); /* BASE/name; "" for memory */

/* ---- sending ---- */

/* The oldest records as a batch, valid until settled; while one is out, the same one again. 1: there is one; 0: nothing to
 * send; -1: cannot be read now. */
int backlog_take(struct backlog *bl, sv *ret_request, uint32_t *ret_records, struct err *e);
/* The batch that is out is done with: delivered, or refused for good. Failing to note that on disk means that it may be sent
 * again after a crash; the next settle tries again. */
void backlog_settle(struct backlog *bl);

/* ---- making room ---- */

/* Moves all published records of the ring into the spool. ERR_FULL: cap or disk full. `must`: with drop_oldest, a full disk
 * costs the spool's oldest records too, as its cap does; for when the ring cannot wait for better times. */
MUST_USE bool backlog_spill(struct backlog *bl, bool must, struct err *e);
/* A record that is too large for the ring goes into the spool by itself, behind what the ring holds. `scope` as ring_define() takes
 * it. ERR_UNSUPPORTED: there is no directory. */
MUST_USE bool backlog_put_large(struct backlog *bl, sv scope, sv record, struct err *e);
/* A batch of another process's, which cannot be sent now, joins ours: one process's cap then bounds what all of them left. */
MUST_USE bool backlog_put_batch(struct backlog *bl, sv request, uint32_t n_records, struct err *e);
/* Of the batch that is out: came it by backlog_put_batch()? */
bool backlog_is_foreign(const struct backlog *bl);
/* Gives up the oldest records of the ring that are not out, until at most `keep` are left. Returns how many went. */
uint64_t backlog_drop(struct backlog *bl, uint64_t keep);
/* Brings everything that was put so far to stable storage. Any thread, while the backlog is there. */
MUST_USE bool backlog_sync(struct backlog *bl, struct err *e);

struct backlog_stats {
    uint64_t accepted;      /* puts into the ring, large records, and batches of others: what `waiting` counts down from */
    uint64_t waiting;       /* records in ring and spool, the batch that is out included; in an adopted one: not known before */
    uint64_t ring_records;  /* of them in the ring */
    uint64_t spilled;       /* moved into the spool so far */
    uint64_t dropped;       /* given up by a full spool, or by backlog_drop() */
    uint64_t torn;          /* records that were damaged or never finished */
    uint64_t spool_bytes;   /* on disk */
};
void backlog_stats(const struct backlog *bl, struct backlog_stats *ret);

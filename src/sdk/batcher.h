/* batcher.h - the batch processor's insides. batch_processor.c: emitting, flushing, its life. batch_thread.c: the one thread that
 * exports and makes room. adopt.c: what dead processes left.
 * (1) Emitting puts the record into the ring, and that is all: no lock, no system call but one futex wake when a batch is full
 *     or the ring is half full, and the thread sleeps.
 * (2) The thread owns the backlog's sending side: it takes batches, and settles them when they are delivered or refused for
 *     good. Under `mu`, which it leaves while it exports; the exporter gives it turns meanwhile (tend), so that an export that
 *     hangs does not keep records from moving to disk.
 * (3) After fork() the child has no backlog and no thread; both are made anew by its first record. */
#pragma once
#include "backlog/backlog.h"
#include "sdk/pipeline.h"
#include "sdk/stats.h"
#include "base/vec.h"

#define SCOPE_INLINE 1u  /* in `scopes`: there is no room for it in the dictionary */
#define SCOPE_SLOTS 1024 /* loggers whose scope is found without the dictionary; those after them send it with each record */

enum doze { AWAKE, ASLEEP, EXPORTING };

struct orphans { /* under mu */
    VEC(char *) names;
    struct backlog *current;
    int64_t look_at_ms;  /* next time to look for more */
    int64_t retry_at_ms; /* nothing of theirs is exported before */
    unsigned failures;   /* of the current one, in a row */
};

struct batcher {
    struct weir_exporter *exporter;
    struct backlog_config cfg; /* all down to `fork`: set when made, then read-only */
    char *base, *service;      /* service: under mu; known with the first record */
    uint32_t max_batch, max_queue;
    int64_t delay_ms, export_timeout_ms, sync_ms;
    weir_when_full when_full;
    struct fork_hook fork;

    /* What emitting threads look at. */
    _Atomic(struct ring *) ring; /* NULL: not open yet */
    uint64_t high_bytes;         /* of the ring: above, its records move to disk; set before `ring`, as the next */
    bool counted;                /* max_queue bounds the ring for emitters: no directory, and the oldest are not to be dropped */
    _Atomic uint32_t doze;       /* futex word: enum doze */
    _Atomic uint64_t n_left;     /* puts that left the ring, roughly; for `counted` */
    _Atomic uint32_t scopes[SCOPE_SLOTS]; /* by logger index: its reference in the ring's dictionary, 0: none yet */
    struct lock dict_mu;         /* of those who define scopes; never waits for the disk */
    _Atomic bool started;        /* the thread; its id is in `thread` before */
    struct drop_counts drops;

    struct lock mu;
    struct cond progress;
    struct backlog *own; /* under mu, as all below */
    struct orphans orphans;
    uint64_t flush_to; /* export all puts up to this one at once */
    int64_t looked_ms; /* when puts were counted last, and what came out */
    uint64_t looked_put;
    double put_per_ms;
    int64_t full_ms;   /* a batch is expected to be full then */
    int64_t due_ms;    /* what is there then is exported, be it ever so little */
    int64_t retry_at_ms; /* nothing is exported before */
    bool retry_asked;    /* because the receiver said so */
    bool own_retrying;   /* the last batch of our own could not be sent for now */
    int64_t spill_at_ms; /* no attempt to spill before */
    int64_t sync_at_ms;
    uint64_t synced_put; /* puts when the ring was synced last, */
    bool synced_twice;   /* and the time before */
    int64_t empty_ms;    /* with closing: our own was empty then; 0: not yet */
    uint64_t dropped_seen, torn_seen; /* of the backlog's counters, what is in `drops` */
    uint64_t left_behind, adopted, adopted_lost;
    bool ended; /* the thread */
    bool broken; /* ended by a bug of ours: the thread is still there, and may use all of this */
    bool closing;
    bool said_memory;
    int64_t close_at_ms; /* with closing: give up then */
    pthread_t thread;
};

bool batcher_start(struct batcher *b);
/* Before the thread: the exporter is to give it turns. */
void batcher_tend_exporter(struct batcher *b);
/* Makes the thread look around. Any thread, with or without the lock. */
void batcher_wake(struct batcher *b);
/* Records accepted so far, and how many of them are done with. */
void batcher_progress(struct batcher *b, uint64_t *ret_accepted, uint64_t *ret_gone);
/* Brings the backlog's own counters into `drops`. */
void batcher_book(struct batcher *b);

/* The next backlog without an owner, taken over; NULL: none for now. Looks for new ones every few minutes. */
struct backlog *orphans_next(struct batcher *b);
/* The current one is done with: empty, or left to somebody else. */
void orphans_close(struct batcher *b);
/* `forget`: in a forked child, where they are the parent's. */
void orphans_done(struct orphans *o, bool forget);

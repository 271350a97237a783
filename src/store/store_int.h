/* store_int.h - what the files of the store share: who owns which field.
 * store.c: opening, pushing. recover.c: what opening finds. flush.c: the head becomes parts. merge.c: parts become fewer. scan.c,
 * series.c: reading.
 * Lock order: flush_mu or the merger's, deletes.mu, edit_mu, head.mu; a tenant's lock is innermost. */
#pragma once
#include "base/lock.h"
#include "spool/spool.h"
#include "store/catalog.h"
#include "store/crew.h"
#include "store/deletes.h"
#include "store/head.h"
#include "store/part.h"
#include "store/rejects.h"
#include "store/retention.h"
#include "store/store.h"

struct part_set {
    VEC(struct part *) parts; /* in part_order() */
};

struct store_metrics {
    struct metric *streams, *streams_memory, *head_rows, *head_bytes, *head_memory, *wal_bytes, *wal_frames, *parts, *part_rows,
        *part_bytes, *flush_bytes, *merges, *merge_failures, *merge_rows, *merge_copied, *merge_read, *merge_written, *merge_deferred,
        *expired_rows, *expired_parts, *deleted_rows, *merge_asked, *merge_running, *merge_debt, *cache_bytes, *cache_hits, *cache_misses, *merge_memory, *parts_waiting, *disk_free, *flushes, *flush_failures, *duplicates, *quarantined, *damaged_blocks, *pushes_refused,
        *replayed_frames, *replay_skipped, *torn_bytes, *catalog_torn, *log_damaged, *deletes_pending;
};

struct store {
    const struct store_config *cfg; /* borrowed; set by store_open(), then read-only; as the next ones */
    struct metrics *metrics;
    struct store_metrics m;
    int dirfd, lock_fd, parts_fd;
    struct limits_book *limits;
    struct registry *reg;
    struct ingest_pool *ingest;
    struct spool *wal;
    struct catalog *catalog;
    struct crew *crew;             /* reads for queries */

    struct head head;              /* has its own lock */
    _Atomic uint64_t next_part_id;
    struct part_set parts;         /* under head.mu */
    struct delete_book deletes;    /* says itself what guards it */
    _Atomic int64_t pending_bytes; /* memory of pushes under way */
    _Atomic bool closing;
    _Atomic uint64_t disk_free;    /* as of the last look */

    struct lock edit_mu;           /* held from preparing a catalog edit until `parts` says the same */
    struct merging *merging;       /* merge.c's */
    struct steady_clock steady;    /* its thread's */

    struct lock flush_mu;
    struct cond flush_wake, flush_idle;
    uint64_t flush_asked, flush_done; /* under flush_mu: ticket numbers of store_flush() */
    struct err flush_err;             /* under flush_mu: of the attempt that ended last */
    bool flush_stop;                  /* under flush_mu */
    pthread_t flusher;
    bool flusher_started;

    /* the flusher's (recovery's before it starts) */
    struct part_set written;       /* parts complete on disk whose edit is not in force yet */
    bool is_written;
};

void part_set_done(struct part_set *s);
void part_set_add(struct part_set *s, struct part *p); /* takes the reference; there is room */

void store_gauges(struct store *st);
MUST_USE bool wal_open(struct store *st, uint64_t covered, struct spool_recovery *ret, struct err *e);

/* Log, parts and catalog as they lie on disk; then the head. `dir` is cfg->data_dir. */
MUST_USE bool store_recover(struct store *st, struct err *e);

MUST_USE bool flush_start(struct store *st, struct err *e);
void flush_stop(struct store *st);
void flush_poke(struct store *st);           /* conditions may be met: look */
bool flush_due(struct store *st);
bool flush_pressed(struct store *st);        /* the rows take too much memory to wait */
MUST_USE bool flush_once(struct store *st, struct err *e); /* the flusher's thread, or before it runs */

MUST_USE bool merge_start(struct store *st, struct err *e);
void merge_stop(struct store *st);
void merge_poke(struct store *st);           /* parts were added: look */
/* For tests: merges `n` neighbours from place `first` of the list of parts on, and waits for it. */
MUST_USE bool merge_window(struct store *st, size_t first, size_t n, struct err *e);

/* One moment: parts and chunks with references, head chunks in the order of acceptance. */
struct store_view {
    struct part **parts;
    struct chunk **chunks;
    struct deletes *deletes; /* in force; NULL: none */
    size_t n_parts, n_chunks;
};
MUST_USE bool store_view_take(struct store *st, struct store_view *ret, struct err *e);
void store_view_done(struct store_view *v);

/* The streams of a tenant, or of several ("a|b"), that match, sorted by labels. Those of several have the label __tenant_id__ beside
 * their own, for matchers, too. */
struct tenant_ranks {
    struct tenant *tenant;
    uint32_t *rank;  /* by stream index: place in `streams`, or NO_RANK */
    uint32_t n_rank; /* streams made later have no place */
};
struct stream_choice {
    struct stream **streams;
    size_t n;
    struct labels *labels; /* of each, as it is shown */
    int64_t *shown_from;   /* of each: rows before are past their period; NULL: none are */
    struct tenant_ranks *of;
    size_t n_of;
    struct arena a; /* labels made for the purpose */
};
#define NO_RANK UINT32_MAX
static inline uint64_t stream_choice_hash(const struct stream_choice *c, size_t i)
{
    return c->labels[i].at == c->streams[i]->labels.at ? c->streams[i]->hash : labels_hash(c->labels[i]);
}
MUST_USE bool stream_choice_make(struct store *st, sv tenant, const struct matcher *m, size_t n_matchers,
                                 struct stream_choice *ret, struct err *e);
void stream_choice_done(struct stream_choice *c);
/* The first time to show of the stream in this place, of those from `start` on. */
static inline int64_t stream_from(const struct stream_choice *c, uint32_t rank, int64_t start)
{
    return c->shown_from ? MAX(start, c->shown_from[rank]) : start;
}
static inline uint32_t stream_rank(const struct stream_choice *c, const struct stream *s)
{
    for (size_t i = 0; i < c->n_of; i++)
        if (s->tenant == c->of[i].tenant)
            return s->index < c->of[i].n_rank ? c->of[i].rank[s->index] : NO_RANK;
    return NO_RANK;
}

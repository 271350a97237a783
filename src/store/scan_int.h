/* scan_int.h - what both ways of reading share. scan_plan.c: which blocks and chunks there are to read ("runs"); scan_block.c: the
 * rows of one that pass; scan.c: in order; scan_each.c: each by itself.
 * Several threads work on one plan: a run belongs to one of them at a time, a hand to whoever has its slot. */
#pragma once
#include "base/lock.h"
#include "store/crew.h"
#include "store/dedup.h"
#include "store/rows.h"
#include "store/scan.h"
#include "store/store_int.h"

struct run { /* a head chunk or a block of a part */
    struct chunk *c;          /* a block's once opened */
    uint32_t source;          /* index of the part; from view.n_parts on: head chunks */
    uint32_t block;
    uint32_t order;           /* among runs: rows of an earlier one were accepted earlier */
    int64_t min_ts, max_ts;
    /* once opened: */
    uint32_t n;               /* rows that pass */
    uint32_t *at;             /* where they stand; NULL: everywhere */
    const struct stream_info **streams; /* by the chunk's streams; NULL: not chosen */
    struct key_column *keys;  /* by the plan's names */
    uint64_t keys_read;       /* which of them are there */
    bool lines_read;          /* of all rows that pass */
    bool metadata_read;       /* the same for metadata */
    unsigned base;            /* BLOCK_… columns that are read */
    struct row_key *sorted;   /* scan.c: the rows in ascending order */
    uint32_t row;             /* scan.c: the next; backward it counts down from n */
    bool opened, gone;        /* scan.c; gone: wanted columns are damaged, its rows are not shown */
    bool damage_counted, metadata_counted, in_late;
    struct err err;           /* scan.c: of opening; comes up when it is the run's turn */
    size_t memory;
};

struct hand { /* what one thread works with */
    struct scan_stats stats;
    bool *shown;              /* by rank: a row of it was given out */
    struct dedup seen;
    VEC(uint8_t) pass;
    VEC(struct row_key) sorted, spare;
};

struct contest { /* times of a stream that lie in more than one source */
    uint32_t rank;
    int64_t min_ts, max_ts;
};

struct plan {
    struct store *st;                  /* set by plan_make(), as all until `mu` */
    struct scan_request rq;
    struct store_view view;
    struct stream_choice choice;
    struct stream_info *info;          /* by rank */
    struct hidden *hidden;             /* what of this is deleted; NULL: nothing */
    VEC(struct run) runs;              /* parts' blocks first; in order of acceptance */
    VEC(struct contest) contests;      /* by rank, then time; they do not overlap */
    sv names[SCAN_MAX_KEYS];           /* of keys: the request's, then those of its key filters */
    size_t n_names;
    struct account own, *account;
    struct scan_stats stats;           /* of planning */
    unsigned n_hands;
    struct hand *hands;
    struct lock mu;
    struct part_readers {              /* by part */
        VEC(struct part_reader *) idle;
        uint32_t runs_left;
    } *readers;                        /* under mu */
};

MUST_USE bool plan_make(struct plan *pl, struct store *st, const struct scan_request *rq, bool contests, struct err *e);
void plan_done(struct plan *pl); /* a plan that plan_make() failed on, too; its runs are closed */
void plan_stats(const struct plan *pl, uint64_t returned, struct scan_stats *ret);
/* Cancel flag and deadline. */
bool plan_may_go_on(const struct plan *pl, struct err *e);
/* The contests of a stream that touch [min, max]: index of the first, and how many. */
size_t plan_contests(const struct plan *pl, uint32_t rank, int64_t min_ts, int64_t max_ts, size_t *ret_n);

/* Picks the run's rows and reads `columns` of the request's when there are any. A damaged block is counted and has none. */
MUST_USE bool run_open(struct plan *pl, struct hand *h, struct run *r, unsigned columns, bool keys, struct err *e);
/* Times, streams, lengths: BLOCK_… */
MUST_USE bool run_base(struct plan *pl, struct hand *h, struct run *r, unsigned base, struct err *e);
/* Makes these columns be there, for the rows that pass. Part damage is the caller's to count. */
MUST_USE bool run_need(struct plan *pl, struct hand *h, struct run *r, unsigned columns, struct err *e);
/* The same for the rows whose want[] is set only. */
MUST_USE bool run_need_some(struct plan *pl, struct hand *h, struct run *r, unsigned columns, const uint8_t *want, struct err *e);
MUST_USE bool run_keys(struct plan *pl, struct hand *h, struct run *r, struct err *e);
MUST_USE bool run_charge(struct plan *pl, struct run *r, size_t bytes, struct err *e);
void run_damaged(struct plan *pl, struct hand *h, struct run *r);
void run_close(struct plan *pl, struct run *r); /* its columns go; it may be opened again */
void run_over(struct plan *pl, struct run *r);  /* and it will not be: once for each run */
/* Everything of a run again that was closed: all its rows, whatever filters say. */
MUST_USE bool run_reopen(struct plan *pl, struct hand *h, struct run *r, unsigned columns, bool keys, struct err *e);
static inline bool run_is_head(const struct plan *pl, const struct run *r)
{
    return r->source >= pl->view.n_parts;
}

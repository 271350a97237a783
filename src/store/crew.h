/* crew.h - the threads that read for queries: a fixed number, shared by all.
 * (1) Work is cut into small items (a block or a few). Whoever is free takes an item of the job whose turn it is, so a short
 *     query behind a long one waits for one item and not for the query.
 * (2) Who asks for a job works, too, on whatever is next, until its job is done. Asking and helping threads together are
 *     never more than the crew's number. */
#pragma once
#include "base/err.h"
#include <stdatomic.h>

enum { CREW_MAX = 64 };

struct crew;
struct crew_job {
    /* Item `item` < n_items. `slot` < crew_slots(): no other call of this job has it meanwhile. False: no further items. */
    bool (*fn)(struct crew_job *job, size_t item, unsigned slot);
    size_t n_items;
    /* the crew's, under its lock */
    size_t next;
    unsigned running;
    uint64_t slots_free;
    bool waiting;             /* in the list of jobs with items to hand out */
    struct crew_job *next_job;
    struct cond *done;
};

MUST_USE bool crew_open(unsigned n_threads, struct crew **ret, struct err *e); /* 0: one for each core */
void crew_close(struct crew *c); /* NULL is fine; no job is under way */
unsigned crew_slots(const struct crew *c);
/* Returns when no item is being worked on and none is left. Any thread that is not inside an item. */
void crew_run(struct crew *c, struct crew_job *job);

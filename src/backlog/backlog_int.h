/* backlog_int.h - what the files of the backlog share. backlog.c: batches, spilling. place.c: directories, names, locks.
 * peek.c: a look at somebody else's. */
#pragma once
#include "backlog/backlog.h"
#include "spool/spool.h"

#define NAME_BYTES 256

/* Where a backlog lies and what of it is open. Memory: no base, descriptors -1. */
struct place {
    char *base, *name, *dir; /* dir: base/name */
    char temp[NAME_BYTES];   /* what it is called until place_show(); then empty */
    int base_fd, dir_fd, ring_fd;
    void *map;
    size_t map_bytes;
};
void place_init(struct place *p);
/* Makes directory and ring file, locked, where nobody looks for them yet; zeroed memory of map_bytes. */
MUST_USE bool place_make(struct place *p, const char *base, sv service, size_t map_bytes, struct err *e);
/* Its memory is filled in: from here on others find it. False: it is removed. */
MUST_USE bool place_show(struct place *p, bool durable, struct err *e);
MUST_USE bool place_make_memory(struct place *p, size_t map_bytes, struct err *e);
/* Locks and maps what is there. */
MUST_USE bool place_take(struct place *p, const char *base, const char *name, struct err *e);
bool place_has_spool(const struct place *p);
bool place_is_gone(const struct place *p); /* the directory was removed under us */
/* Removes ring, spool and directory; the spool is closed before. */
void place_remove(struct place *p);
/* Gives the lock and the directory up; what is mapped stays. */
void place_unlock(struct place *p);
void place_done(struct place *p); /* unmaps and closes; in a forked child the parent's lock stays */

#define RING_NAME "ring"
#define SPOOL_NAME "spool"

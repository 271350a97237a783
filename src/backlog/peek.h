/* peek.h - looking at a backlog that belongs to somebody else: what waits in it, while its owner may go on using it. Nothing is
 * changed, and nothing is kept from anybody; for `weir recover --list`, weir_backlogs() and `weir inspect`.
 * A look at a living process' backlog is a moment's: what it puts, sends or spills meanwhile may be seen or not, but no record is
 * seen twice. Any thread. */
#pragma once
#include "backlog/backlog.h"
#include "spool/spool.h"

/* A ring file's bytes as a ring of our own: what was put before the copy and is not released after it is whole. */
struct ring_copy {
    struct ring ring;
    void *map;
    size_t map_bytes;
};
/* `what` names the file in errors. ERR_CORRUPT, ERR_UNSUPPORTED: as ring_attach(). */
MUST_USE bool ring_copy(int fd, const char *what, struct ring_copy *ret, struct err *e);
void ring_copy_done(struct ring_copy *c);

struct ring_walk_fns { /* any may be NULL */
    void (*record)(void *ctx, const struct ring_frame *f);
    /* [pos, next) holds no record: a put that was never finished, or damage */
    void (*gap)(void *ctx, uint64_t pos, uint64_t next, bool unfinished);
};
struct ring_walked {
    uint64_t records, torn, unfinished;
};
/* What waits in a ring whose owner is not there, from position `from` on (its tail, at the least): as an adopter sees it, also
 * behind `head`, where a power cut may have left records. */
void ring_walk(struct ring *r, uint64_t from, const struct ring_walk_fns *fns, void *ctx, struct ring_walked *ret);

/* A frame of a backlog's spool. False: it is none. */
MUST_USE bool backlog_frame(sv frame, uint32_t *ret_records, uint64_t *ret_ring_below, sv *ret_request);

struct backlog_peek {
    bool live; /* somebody holds its lock: the process itself, or who adopts it */
    uint32_t pid; /* of the process that made it, as it saw itself */
    int64_t created_wall_ns;
    uint64_t waiting; /* records, in ring and spool */
    uint64_t torn;    /* records that are damaged, or (of a dead process) were never finished; as far as that can be seen */
    uint64_t bytes;   /* that wait: in use in the ring, and of the spool's files */
    uint64_t ring_records, spool_records, spool_frames;
};
/* Asks for a shared lock for a moment, which an adopter that comes just then takes for somebody else's.
 * ERR_NOT_FOUND: not there, or not a backlog; ERR_CORRUPT, ERR_UNSUPPORTED: none that we can read. */
MUST_USE bool backlog_peek(const char *base, const char *name, struct backlog_peek *ret, struct err *e);

/* The service in a backlog's name, as far as it fits there. */
#define BACKLOG_SERVICE_MAX 100
void backlog_service(const char *name, char ret[static BACKLOG_SERVICE_MAX]);

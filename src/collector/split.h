/* split.h - a request cut at records, piece by piece. Joining needs no code: two requests concatenated are one. */
#pragma once
#include "base/buf.h"

/* A request being cut: where the last piece ended, so that all pieces together cost one walk. */
struct split {
    sv rest[3];        /* what is ahead in the request, in the ResourceLogs and the ScopeLogs that are open */
    struct buf own[2]; /* what these two groups have besides groups and records */
};
/* `request` was checked, and must live while it is being cut. sp: all zero, or cut something before. */
void split_start(struct split *sp, sv request);
/* Appends the next n records (fewer when there are no more), each under its resource and scope, with all other fields of
 * these (schema URLs, unknown ones). Groups without a record in the piece are left out. Returns their number. Without
 * memory `out` has failed, and the cutting must start anew. */
uint64_t split_take(struct split *sp, uint64_t n, struct buf *out);
void split_done(struct split *sp);

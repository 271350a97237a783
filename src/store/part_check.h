/* part_check.h - a whole part looked at, for `weir inspect`: what it is, what its bytes are spent on, and where it is damaged.
 * Every page is held against its checksum and every block decoded, as a query that wants everything would. Reads only. */
#pragma once
#include "store/part.h"

/* What struct part does not keep, because nothing depends on it. */
struct part_about {
    uint16_t major, minor;
    uint32_t features;
    char creator[25];
    uint64_t duplicates; /* left out when it was written; 0 when the footer cannot be read */
};
/* Of any file with a header that is right, damaged or of a newer release behind it. ERR_CORRUPT: there is none. */
MUST_USE bool part_about(int dirfd, const char *name, struct part_about *ret, struct err *e);

struct part_sums { /* of one part or of many: what part_check() adds up */
    uint64_t parts, file_bytes, rows, line_bytes, streams, blocks;
    uint64_t bytes[COL_COUNT]; /* pages with their headers */
    uint64_t tables;           /* stream table and block index */
    uint64_t ends;             /* header, footer, trailer */
    uint64_t templates, whole_rows; /* of blocks that could be read */
};
const char *part_column_name(enum part_column c); /* "lines: slots" */

/* A stretch that cannot be used. What is said in `what` names the block and its column. */
typedef void part_damage_fn(void *ctx, uint64_t offset, uint64_t n_bytes, const char *what);
/* False: it could not be looked at (no memory, the system refuses), which says nothing about the part. */
MUST_USE bool part_check(struct part *p, struct part_sums *sums, part_damage_fn *damage, void *ctx, struct err *e);

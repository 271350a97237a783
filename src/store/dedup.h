/* dedup.h - "shown once": among rows of one stream and one time, is this one's line and metadata new? Rows are compared in
 * full; hashes only pick whom to compare with where many stand at one time, so a crafted collision costs time and never a row. */
#pragma once
#include "store/chunk.h"

struct dedup {
    int64_t ts;
    VEC(struct dedup_row { const struct chunk *c; uint32_t row; uint64_t hash; /* 0 without slots */ }) rows; /* different from each other */
    uint32_t *slots; /* over rows once there are many: 1 + index */
    size_t n_slots;
};
void dedup_reset(struct dedup *d); /* another stream or time begins; keeps the memory */
void dedup_done(struct dedup *d);
/* `c` must have its lines and metadata and live until the next reset. Another `ts` than the row before begins anew.
 * False: out of memory. */
MUST_USE bool dedup_row(struct dedup *d, int64_t ts, const struct chunk *c, uint32_t row, bool *ret_twice);

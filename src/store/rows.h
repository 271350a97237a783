/* rows.h - putting rows in order: sort keys over chunk rows. */
#pragma once
#include "base/def.h"

struct row_key {
    int64_t ts;
    uint32_t rank; /* of the stream */
    uint32_t row;
};
static inline int row_key_cmp(const struct row_key *a, const struct row_key *b)
{
    if (a->ts != b->ts)
        return a->ts < b->ts ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}
/* By time, rank, row. Linear on rows already in order, since it merges the runs it finds. `spare` has room for n. */
void row_keys_sort(struct row_key *at, size_t n, struct row_key *spare);

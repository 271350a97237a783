/* key_column.h - one name's metadata, as a column of a block: filters and groupings work on ids, and on each value once. */
#pragma once
#include "base/sv.h"

struct key_column {
    uint32_t n_values;
    const sv *values;   /* some may be equal, where looking for that would cost more than it saves */
    const uint32_t *id; /* of each row: 0 when it has no such name, else 1 + index of its value; NULL: no row has it */
    void *owned;        /* memory of the two above */
    size_t memory;
};
static inline uint32_t key_column_id(const struct key_column *k, uint32_t row)
{
    return k->id ? k->id[row] : 0;
}
void key_column_done(struct key_column *k);

/* run_tally.h - what a range aggregation collects: series, and for each either how much is added and taken away from which step on, or
 * its samples. Rows may come in any order and on several threads, each with a tally of its own: sums of whole numbers and sorted
 * samples are the same whatever the order was. */
#pragma once
#include "logql/run.h"

struct delta { /* from step k on */
    size_t k;
    int64_t rows, bytes;
};
struct deltas {
    struct delta *at;
    size_t n, cap, read; /* read: those that steps already passed */
    size_t tidy_at;      /* so many are sorted and joined */
};
struct sample {
    int64_t ts;
    double v;
    uint32_t rank, order, row; /* among those of one time: of the stream, of the block, in the block */
    int32_t sign;              /* -1: takes the same sample back */
};
struct series {
    uint32_t set;
    struct deltas add, sub;
    int64_t rows, bytes; /* of the current window */
    struct sample *samples;
    size_t n, cap, lo, hi; /* samples[lo..hi) is the current window */
};
struct tally {
    struct arena *a;
    struct label_sets *sets;
    struct series *series;
    size_t n, cap;
    uint32_t *series_of; /* by label set id, + 1; 0: none yet */
    size_t n_series_of, cap_series_of;
};

/* False, all of them: out of memory; the arena tells why. */
MUST_USE bool tally_series(struct tally *t, uint32_t set, size_t *ret);
/* `rows` rows of `bytes` bytes in all count in the steps first..last of n_steps. */
MUST_USE bool tally_rows(struct tally *t, size_t series, size_t first, size_t last, size_t n_steps, int64_t rows, int64_t bytes);
MUST_USE bool tally_sample(struct tally *t, size_t series, const struct sample *s);
MUST_USE bool tally_join(struct tally *t, const struct tally *other);
/* Puts all in order, for the steps: series by their labels, too. */
MUST_USE bool tally_finish(struct tally *t);

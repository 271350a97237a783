/* merge_plan.h - which parts to merge next: a function of sizes and ages, no files.
 * Each merge writes its rows again, so what counts is gain: the bytes of a merge by those of its largest input. Every merge multiplies
 * the size of the part a row lies in by about the gain, hence a row is written log(largest / first) / log(gain) times. Waiting for a
 * gain of PLAN_GAIN bounds both that and the number of parts that wait.
 * Only neighbours in part_order() are merged, within a UTC day: so the order of rows stays what it was. */
#pragma once
#include "base/def.h"

enum { PLAN_INPUTS = 16, PLAN_GAIN = 6 };

struct plan_part { /* of one day, in part_order() */
    uint64_t bytes;  /* of raw rows, about */
    bool fixed;      /* takes no part: nothing is merged across it */
    int64_t added_mono_ns;
};

struct plan_limits {
    uint64_t max_bytes;   /* of what comes out of a merge */
    size_t max_inputs;    /* at most PLAN_INPUTS; with few, less gain has to do */
    int64_t now_mono_ns;
    int64_t idle_ns;      /* a day that got no part for so long is settled: merged as far as the size allows */
};

struct plan_window {
    size_t first, n;     /* n 0: nothing to do */
    uint64_t bytes;
    double gain;
    bool settles;        /* the day is idle */
};

/* The best merge among these parts. */
struct plan_window plan_pick(const struct plan_part *parts, size_t n, const struct plan_limits *l);

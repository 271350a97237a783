/* merge_choose.h - the store's parts, day by day, and the merge that merge_plan.h would make of them. */
#pragma once
#include "store/merge_plan.h"
#include "store/merge_rows.h"
#include "store/store_int.h"

struct entry { /* a part in a day it has rows of */
    int64_t day;
    uint32_t at; /* in the list of parts */
    bool fixed;
};

struct survey { /* the list of parts at one moment */
    struct part_set parts; /* references */
    VEC(struct entry) entries;
    VEC(struct plan_part) plan;
};

struct choice {
    struct part *in[MERGE_INPUTS_MAX]; /* of the survey */
    size_t n;
    bool settles;
    double gain;
};

uint64_t part_raw_bytes(const struct part *p);
MUST_USE bool survey_make(struct store *st, struct survey *ret, struct err *e); /* survey_done() is owed either way */
void survey_done(struct survey *s);
/* The best merge over all days; n 0: none. *ret_debt: bytes of the best of each day. */
MUST_USE bool survey_choose(struct survey *s, const struct plan_limits *l, struct choice *ret, uint64_t *ret_debt, struct err *e);

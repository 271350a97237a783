/* range_int.h - a range aggregation's node, and those who read rows for it. run_range.c plans and steps, range_rows.c takes rows in. */
#pragma once
#include "logql/pushdown.h"
#include "logql/run_tally.h"
#include <stdlib.h>

struct span { /* times lo..hi (both included) count in steps first..last; none when first > last */
    int64_t lo, hi;
    size_t first, last;
};

struct range_node {
    struct run *r;
    const struct range_agg *agg;
    struct grouping by;   /* what identifies a series; by.present false: all labels */
    sv *by_sorted;        /* by.names in label order */
    bool no_labels;       /* one series without labels */
    struct tally tally;   /* all rows, once they are read */
    uint32_t absent_set;
    double *sorted;       /* room for quantiles */
    size_t cap_sorted;
    /* the plan: */
    struct parse_hints hints;
    const struct log_query *stages; /* what is left to be done for each row */
    bool plain;           /* nothing is, but counting by stream and metadata */
    bool changes_lines;
    bool whole_metadata;  /* of each row; else only keys[], as columns */
    const sv *keys;       /* plain: those of `by` */
    size_t n_keys;
    bool wants_bytes;
};

/* One thread's. */
struct range_reader {
    struct range_node *n;
    struct arena work;        /* of series and label sets, unless they go to the node's own */
    size_t published;         /* of it, in the query's account */
    struct label_sets sets;
    struct tally own, *tally; /* tally: where rows go */
    struct pipeline pl;
    struct span span;         /* of the last row */
    struct map by_stream;     /* stream_info pointer -> series + 1 */
    const struct stream_info *last_info;
    size_t last_series;
    int64_t lines_after_filter;
    struct arena labels;      /* of the row at hand: all its metadata */
    struct label key_labels[SCAN_MAX_KEYS];
    uint32_t *table;          /* plain: series + 1 by stream and ids of the block at hand; as `counts`, malloc'd */
    size_t table_cap;
    int64_t *counts;
    size_t counts_cap;
    size_t unchecked;
    uint32_t n_rows;          /* in order: so many came */
    bool error_row;           /* a row with __error__ reached a window */
};

void range_reader_init(struct range_reader *rr, struct range_node *n, bool shared);
void range_reader_done(struct range_reader *rr);
/* A row of a batch, in order. False: e. */
bool range_row(struct range_reader *rr, const struct scan_batch *b, size_t i, struct err *e);
/* The rows of a block. */
bool range_block(struct range_reader *rr, const struct scan_rows *rows, struct err *e);

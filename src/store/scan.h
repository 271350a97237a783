/* scan.h - reading the store: given a selector, a time range and a direction, rows come out in time order, in batches of
 * columns. The query layer above decides what rows mean; this layer decides what is not worth reading.
 * (1) Rows are ordered by time in the asked direction; rows of one time by stream, then in the order they were accepted
 *     (reversed for backward).
 * (2) Shown once: entries equal in stream, time, line and metadata come out once, wherever their copies lie (docs/store.md).
 * (3) A row is visible from the moment its push was acknowledged, and a scan sees a fixed set: what was there when it
 *     was opened. */
#pragma once
#include "store/labels.h"
#include <stdatomic.h>

struct store;

struct stream_info { /* lives until scan_close() */
    struct labels labels;
    uint64_t hash; /* labels_hash */
};

/* A line filter the caller will apply anyway; the scan may use it to skip rows that cannot pass. */
struct scan_filter {
    enum { SCAN_CONTAINS, SCAN_NOT_CONTAINS, SCAN_REGEX, SCAN_NOT_REGEX } op;
    sv text;                /* CONTAINS, NOT_CONTAINS */
    const struct regex *re; /* REGEX, NOT_REGEX */
    const sv *required;     /* with it: texts that each match contains; may be none */
    size_t n_required;
};

enum { SCAN_LINES = 1, SCAN_METADATA = 2 }; /* wanted columns; time, stream and line length always come */

struct scan_request {
    sv tenant;
    const struct matcher *matchers;
    size_t n_matchers;
    int64_t start_ns, end_ns; /* start <= ts < end */
    bool backward;
    uint64_t limit; /* the caller stops after that many rows; 0: reads all. A hint only without filters above */
    unsigned columns;
    const struct scan_filter *filters;
    size_t n_filters;
    int64_t deadline_mono_ns;    /* 0: none; past it scan_next fails with ERR_TIMEOUT */
    const _Atomic bool *cancel;  /* NULL: none; when true scan_next fails with ERR_CANCELLED */
    uint64_t max_memory;         /* bytes; 0: no cap; ERR_LIMIT */
};

struct scan_batch { /* valid until the next scan_next() or scan_close() */
    size_t n;
    const int64_t *ts;
    const struct stream_info *const *stream;
    const uint32_t *line_bytes;
    const sv *line;                /* NULL unless asked for */
    const struct labels *metadata; /* structured metadata, sorted by name; NULL unless asked for */
};

struct scan_stats {
    uint64_t rows_considered, bytes_considered; /* of lines, before filters, decoded or not */
    uint64_t rows_returned, duplicates;
    uint64_t head_rows, head_bytes;
    uint64_t blocks_total, blocks_pruned_time, blocks_pruned_stream, blocks_pruned_filter, blocks_decoded;
    uint64_t bytes_stored_read, bytes_decoded, metadata_bytes;
    uint64_t parts, head_chunks; /* that had rows to look at */
    uint64_t streams, streams_returned; /* chosen by the selector; with rows in the answer */
    uint64_t blocks_damaged; /* left out because their checksum failed */
};

struct scan;
MUST_USE bool scan_open(struct store *st, const struct scan_request *req, struct scan **ret, struct err *e);
/* 1: a batch with n > 0; 0: the end; -1: error. One thread at a time. */
int scan_next(struct scan *sc, struct scan_batch *ret, struct err *e);
void scan_stats(const struct scan *sc, struct scan_stats *ret);
void scan_close(struct scan *sc); /* NULL is fine; may come before the end */

/* scan.h - reading the store: given a selector, a time range and filters, the rows that pass. The query layer above decides what rows
 * mean; this layer decides what is not worth reading. Two ways to get the same rows: in order (scan_open), or each block by
 * itself, on several threads at once (scan_each).
 * (1) In order means: by time in the asked direction; rows of one time by stream, then as they were accepted (reversed for backward).
 * (2) Shown once: entries equal in stream, time, line and metadata come out once, wherever their copies lie (docs/store.md).
 * (3) A row is visible from the moment its push was acknowledged, and a scan sees a fixed set: what was there when it
 *     was opened.
 * (4) Filters are exact: every row that passes them all comes out, and no other. */
#pragma once
#include "base/account.h"
#include "store/key_column.h"
#include "store/labels.h"

struct store;
struct chunk;

struct stream_info { /* lives until the scan ends */
    struct labels labels;
    uint64_t hash; /* labels_hash */
    uint32_t rank; /* among the chosen streams, sorted by labels */
};

/* On a row's line. */
struct scan_filter {
    enum { SCAN_CONTAINS, SCAN_NOT_CONTAINS, SCAN_REGEX, SCAN_NOT_REGEX } op;
    sv text;                /* CONTAINS, NOT_CONTAINS */
    const struct regex *re; /* REGEX, NOT_REGEX */
    const sv *required;     /* with it: texts that each match contains; may be none */
    size_t n_required;
    const sv *literals;     /* if any, what matches is what contains one of these, and re may be NULL */
    size_t n_literals;
};

/* On a name's value: in the row's metadata, else in the stream's labels, else p is NULL. Asked for each different value of a block
 * and not for each row; on several threads at once. */
struct scan_key_filter {
    sv name;
    bool (*accept)(const void *ctx, sv value);
    const void *ctx;
    sv equal; /* p not NULL: it accepts this value alone */
};

enum { SCAN_LINES = 1, SCAN_METADATA = 2, SCAN_LENGTHS = 4 }; /* wanted columns; time and stream always come. LENGTHS goes with LINES */
enum { SCAN_MAX_KEYS = 64 };                /* keys and key filters together */

struct scan_request {
    sv tenant; /* or several, "a|b": their streams have the label __tenant_id__, too */
    const struct matcher *matchers;
    size_t n_matchers;
    int64_t start_ns, end_ns; /* start <= ts < end */
    bool backward;            /* scan_open */
    uint64_t limit;           /* scan_open: the caller stops after that many rows; 0: reads all */
    unsigned columns;
    const struct scan_filter *filters;
    size_t n_filters;
    const struct scan_key_filter *key_filters;
    size_t n_key_filters;
    const sv *keys;           /* scan_each: names whose metadata is wanted as columns */
    size_t n_keys;
    int64_t deadline_mono_ns;    /* 0: none; past it the scan fails with ERR_TIMEOUT */
    const _Atomic bool *cancel;  /* NULL: none; when true the scan fails with ERR_CANCELLED */
    uint64_t max_memory;         /* bytes; 0: no cap; ERR_LIMIT */
    struct account *account;     /* shared with what the caller holds, instead of max_memory; may be NULL */
};

struct scan_batch { /* valid until the next scan_next() or scan_close() */
    size_t n;
    const int64_t *ts;
    const struct stream_info *const *stream;
    const uint32_t *line_bytes;    /* always */
    const sv *line;                /* NULL unless asked for */
    const struct labels *metadata; /* structured metadata, sorted by name; NULL unless asked for */
};

struct scan_stats {
    uint64_t rows_considered, bytes_considered; /* of lines, before filters, decoded or not */
    uint64_t rows_returned, duplicates;
    uint64_t head_rows, head_bytes;
    uint64_t blocks_total, blocks_pruned_time, blocks_pruned_stream, blocks_pruned_filter, blocks_decoded;
    uint64_t blocks_pruned_content; /* not opened: by their content filters no row passes; blocks_pruned_filter: opened, and none did */
    uint64_t blocks_lines, blocks_metadata; /* of which lines and metadata were needed */
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

/* Rows of one block or chunk, all of which pass; views live during the call. Columns have the block's rows, of which some are meant. */
struct scan_rows {
    int sign;                 /* 1; -1: rows given before that proved to be copies of others are taken back */
    uint32_t n;               /* rows meant; at least 1 */
    const uint32_t *at;       /* where they stand, ascending; NULL: at 0 to n - 1 */
    const int64_t *ts;
    const uint32_t *stream;   /* index in streams */
    const struct stream_info *const *streams; /* NULL: not chosen, and no row of it is meant */
    uint32_t n_streams;
    const struct key_column *keys; /* of the request's keys, in its order */
    uint32_t order;           /* of the block: rows of one stream and time were accepted by order, then by place */
    const uint32_t *line_end; /* line i: lines[line_end[i - 1]] up to line_end[i]; NULL unless asked for */
    const char *lines;        /* NULL unless asked for */
    const struct chunk *c;    /* for scan_labels() */
};

/* What becomes of them. Calls with the same slot never overlap; slots are below scan_slots(). */
struct scan_sink {
    bool (*rows)(void *ctx, unsigned slot, const struct scan_rows *r, struct err *e);
    void *ctx;
};
unsigned scan_slots(const struct store *st);
/* Gives every row to the sink once, in no order. Returns when all is done; on false it may have got some. *ret in any case. */
MUST_USE bool scan_each(struct store *st, const struct scan_request *req, const struct scan_sink *sink, struct scan_stats *ret,
                        struct err *e);
/* Makes up a row's metadata, if asked for, as labels in `a`. False: out of memory. */
MUST_USE bool scan_labels(const struct chunk *c, uint32_t row, struct arena *a, struct labels *ret);

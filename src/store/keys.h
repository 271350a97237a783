/* keys.h - structured metadata of a block, a column for each key: a query that asks for one reads no other.
 * Three strings (docs/formats.md, "Metadata"): `keys`, the names, what their columns are, and values that repeat; `ids`, what a row has
 * of those; `wide`, values that hardly repeat: numbers, ids, text.
 * Keys beyond KEYS_MAX, the rarest, have no column; they are in a page of another kind (part_meta.h), the tail. */
#pragma once
#include "store/chunk.h"
#include "store/sieve.h"

enum { KEYS_MAX = 128 };

struct row_ref {
    const struct chunk *c;
    uint32_t row;
};

/* ---- writing ---- */

struct keys_writer;
struct keys_writer *keys_writer_new(void);
void keys_writer_free(struct keys_writer *w); /* NULL is fine */
struct keys_written { /* the writer's, until its next call */
    struct buf keys, ids, wide;
    bool tail; /* some pairs have no column: keys_tail() */
    struct sieve_keys values; /* that are in no dictionary and no numbers */
};
/* The rows' metadata. NULL: out of memory. */
const struct keys_written *keys_write(struct keys_writer *w, const struct row_ref *rows, uint32_t n);
/* Ids of the row's pairs that have no column, in `to`, which has room for all of the row's; how many. */
size_t keys_tail(const struct keys_writer *w, const struct row_ref *row, uint32_t *to);

/* ---- reading ---- */

struct keys_source { /* as lines_source; both have BITS_SLACK readable bytes behind them */
    bool (*ids)(void *ctx, sv *ret, struct err *e);
    bool (*wide)(void *ctx, sv *ret, struct err *e);
    void *ctx;
};

struct keys;
/* `keys` and the rows' times are borrowed. ERR_CORRUPT, ERR_NOMEM. */
MUST_USE bool keys_open(sv keys, const struct keys_source *from, const int64_t *ts, uint32_t n_rows, struct keys **ret, struct err *e);
void keys_close(struct keys *k); /* NULL is fine */
size_t keys_count(const struct keys *k);
sv keys_name(const struct keys *k, size_t i); /* sorted */
size_t keys_find(const struct keys *k, sv name); /* SIZE_MAX: there is no such column */
/* May a row have this value of column i? Reads no column. */
bool keys_may_have(const struct keys *k, size_t i, const struct sieve *s, sv value);
/* Column i, as if rows whose want[] is 0 did not have it (NULL: all do). Until it is asked for again, or keys_close(): nothing to free. */
MUST_USE bool keys_column(struct keys *k, size_t i, const uint8_t *want, struct key_column *ret, struct err *e);
size_t keys_memory(const struct keys *k);

/* chunk.h - rows in memory, by columns: what the head is made of.
 * (1) A chunk is built by one thread and immutable afterwards; references are counted. So readers take no lock and a
 *     snapshot is a list of pointers.
 * (2) Metadata pairs (name, value) are kept once per chunk; a row has the ids of its pairs, in the order of their names.
 * (3) Rows stand in the order they were accepted.
 * The builder asks for memory per column as it grows, never per row. */
#pragma once
#include "base/vec.h"
#include "store/stream.h"

enum { CHUNK_MAX_ROWS = 65536, CHUNK_MAX_BYTES = 1 << 20, CHUNK_MAX_STRINGS = 4 << 20, CHUNK_MAX_META = 1 << 20 };
/* A chunk is closed behind the row that passes one of these. */

struct pair { /* of the chunk's strings */
    uint32_t name_at, name_n, value_at, value_n;
    uint64_t hash;
};

struct chunk_stream { /* totals of one stream in a chunk */
    struct stream *st;
    uint32_t rows;
    uint64_t bytes;
    int64_t min_ts, max_ts;
};

struct chunk {
    _Atomic uint32_t refs;
    uint32_t n;
    int64_t *ts;
    uint32_t *stream;   /* index into streams */
    uint32_t *line_end; /* of row i in `lines`; it starts where row i - 1 ends */
    uint32_t *meta_end; /* of row i in `meta` */
    uint64_t *hash;     /* of line and metadata: equal rows have equal hashes */
    char *lines;
    uint32_t *meta;     /* pair ids */
    struct pair *pairs;
    char *strings;
    struct chunk_stream *streams;
    uint32_t n_streams, n_pairs;
    int64_t min_ts, max_ts;
    uint64_t line_bytes;
    size_t memory;      /* bytes it holds */
};

struct chunk *chunk_ref(struct chunk *c);
void chunk_unref(struct chunk *c); /* NULL is fine */

static inline sv chunk_line(const struct chunk *c, uint32_t row)
{
    uint32_t from = row ? c->line_end[row - 1] : 0;
    return (sv){c->lines + from, c->line_end[row] - from};
}
static inline const uint32_t *chunk_meta(const struct chunk *c, uint32_t row, uint32_t *ret_n)
{
    uint32_t from = row ? c->meta_end[row - 1] : 0;
    *ret_n = c->meta_end[row] - from;
    return c->meta + from;
}
static inline struct label chunk_pair(const struct chunk *c, uint32_t id)
{
    const struct pair *p = &c->pairs[id];
    return (struct label){{c->strings + p->name_at, p->name_n}, {c->strings + p->value_at, p->value_n}};
}

/* The hash of a row's content, from its line and its pairs' hashes in order; a part's reader makes the same. Of this process
 * only: its seed is random. */
uint64_t row_hash_line(sv line);
uint64_t row_hash_pair(struct label l);

struct chunk_builder {
    VEC(int64_t) ts;
    VEC(uint32_t) stream;
    VEC(uint32_t) line_end;
    VEC(uint32_t) meta_end;
    VEC(uint64_t) hash;
    VEC(uint32_t) meta;
    VEC(struct pair) pairs;
    VEC(struct chunk_stream) streams;
    struct buf lines, strings;
    uint32_t *slots; /* open addressing over pairs: id + 1 */
    size_t n_slots;
    uint32_t *stream_slots; /* the same over streams */
    size_t n_stream_slots;
    uint32_t last_stream; /* where the previous row's stream stands */
    struct { uint32_t at, n; } names[64]; /* names kept lately: their bytes are shared */
};
void chunk_builder_done(struct chunk_builder *b);
/* The id of a pair in the chunk being built; false when out of memory. */
MUST_USE bool chunk_builder_pair(struct chunk_builder *b, struct label l, uint64_t hash, uint32_t *ret);
/* A row whose pairs are `ids`, in order of their names. On false nothing was added. */
MUST_USE bool chunk_builder_add(struct chunk_builder *b, int64_t ts, struct stream *st, sv line, const uint32_t *ids,
                                size_t n_ids);
static inline bool chunk_builder_full(const struct chunk_builder *b)
{
    return b->ts.n >= CHUNK_MAX_ROWS || b->lines.n >= CHUNK_MAX_BYTES || b->strings.n >= CHUNK_MAX_STRINGS ||
           b->meta.n >= CHUNK_MAX_META;
}
/* Hands the rows over as a chunk and empties the builder. NULL when out of memory (the builder is then as before). */
struct chunk *chunk_builder_take(struct chunk_builder *b);
/* The rows of `x` and then those of `y`. NULL when out of memory. */
struct chunk *chunk_join(const struct chunk *x, const struct chunk *y);

/* chunk.h - rows in memory, by columns: what the head is made of.
 * (1) A chunk is built by one thread and immutable afterwards; references are counted. So readers take no lock and a
 *     snapshot is a list of pointers.
 * (2) A row has the ids of its metadata pairs (name, value), in the order of their names. Equal ids are equal pairs; a pair that
 *     is new in nearly every row (a time, a trace id) may stand more than once, since looking for it costs more than it saves.
 * (3) Rows stand in the order they were accepted.
 * The builder keeps its columns from chunk to chunk and asks for memory as they grow, never per row; a finished chunk is one
 * piece of memory of just its size. */
#pragma once
#include "base/vec.h"
#include "store/key_column.h"
#include "store/stream.h"

enum { CHUNK_MAX_ROWS = 65536, CHUNK_MAX_BYTES = 1 << 20, CHUNK_MAX_STRINGS = 4 << 20, CHUNK_MAX_META = 1 << 20 };
/* A chunk is closed behind the row that passes one of these. */

struct pair { /* of the chunk's strings */
    uint32_t name_at, name_n, value_at, value_n;
    uint64_t hash; /* 0: not computed, see chunk_pair_hash() */
};

struct chunk_stream { /* totals of one stream in a chunk */
    struct stream *st;
    uint32_t rows;
    uint64_t bytes;
    int64_t min_ts, max_ts;
};

struct chunk_aside { /* what a reader keeps with a chunk */
    void (*free)(struct chunk_aside *a);
};

struct chunk {
    _Atomic uint32_t refs;
    uint32_t n;
    int64_t *ts;
    uint32_t *stream;   /* index into streams */
    uint32_t *line_end; /* of row i in `lines`; it starts where row i - 1 ends */
    uint32_t *meta_end; /* of row i in `meta` */
    char *lines;
    uint32_t *meta;     /* pair ids */
    struct pair *pairs;
    char *strings;
    struct chunk_stream *streams;
    uint32_t n_streams, n_pairs;
    int64_t min_ts, max_ts;
    uint64_t line_bytes;
    size_t memory;      /* bytes it holds */
    struct chunk_aside *aside; /* goes with it; may be NULL */
    bool whole;         /* the columns stand behind this struct; else each has its own memory */
    bool mapped;        /* and all of it is a mapping of its own */
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

/* One name's metadata as a column. The views live as long as `c` and until key_column_done(). The chunk has its metadata. False: out of memory. */
MUST_USE bool chunk_key(const struct chunk *c, sv name, struct key_column *ret);

/* The hash of a row's content, from its line and its pairs' hashes in order. Of this process only: its seed is random. */
uint64_t row_hash_line(sv line);
uint64_t row_hash_pair(struct label l);
static inline uint64_t chunk_pair_hash(const struct chunk *c, uint32_t id)
{
    uint64_t h = c->pairs[id].hash;
    return h ? h : row_hash_pair(chunk_pair(c, id));
}

struct name_kept {
    uint32_t at, n;
};
struct chunk_builder {
    size_t n, cap; /* rows: of the four columns */
    int64_t *ts;
    uint32_t *stream, *line_end, *meta_end;
    VEC(uint32_t) meta;
    VEC(struct pair) pairs;
    VEC(struct chunk_stream) streams;
    struct buf lines, strings;
    uint32_t *slots; /* open addressing over the pairs that are looked for: id + 1 */
    size_t n_slots, n_slotted;
    uint32_t *stream_slots; /* the same over streams */
    size_t n_stream_slots;
    uint32_t last_stream; /* where the previous row's stream stands */
    struct name_kept names[64]; /* names kept lately: their bytes are shared */
};
void chunk_builder_done(struct chunk_builder *b);
/* Empties it, as chunk_builder_take() does; keeps ordinary amounts of memory for the next chunk. */
void chunk_builder_reset(struct chunk_builder *b);
/* The id of a pair in the chunk being built; false when out of memory. */
MUST_USE bool chunk_builder_pair(struct chunk_builder *b, struct label l, uint64_t hash, uint32_t *ret);
/* The same for a pair that is hardly there yet: it is not looked for. */
MUST_USE bool chunk_builder_new_pair(struct chunk_builder *b, struct label l, uint32_t *ret);
static inline struct label chunk_builder_label(const struct chunk_builder *b, uint32_t id)
{
    const struct pair *p = &b->pairs.at[id];
    return (struct label){{b->strings.p + p->name_at, p->name_n}, {b->strings.p + p->value_at, p->value_n}};
}
/* A row whose pairs are `ids`, in order of their names. On false nothing was added. */
MUST_USE bool chunk_builder_add(struct chunk_builder *b, int64_t ts, struct stream *st, sv line, const uint32_t *ids,
                                size_t n_ids);
/* The same in two steps, for ids that are put where they will stay: room for `n_ids` of them (NULL: out of memory), then the
 * row. */
uint32_t *chunk_builder_ids(struct chunk_builder *b, size_t n_ids);
MUST_USE bool chunk_builder_row(struct chunk_builder *b, int64_t ts, struct stream *st, sv line, size_t n_ids);
static inline bool chunk_builder_full(const struct chunk_builder *b)
{
    return b->n >= CHUNK_MAX_ROWS || b->lines.n >= CHUNK_MAX_BYTES || b->strings.n >= CHUNK_MAX_STRINGS ||
           b->meta.n >= CHUNK_MAX_META;
}
/* Hands the rows over as a chunk and empties the builder. NULL when out of memory (the builder is then as before). */
struct chunk *chunk_builder_take(struct chunk_builder *b);
/* The rows of `x` and then those of `y`, both built by a builder; `b` is empty before and after. NULL when out of memory. */
struct chunk *chunk_join(struct chunk_builder *b, const struct chunk *x, const struct chunk *y);

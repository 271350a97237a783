/* part.h - an immutable file of rows, and the only thing the store keeps for long. Bytes: docs/formats.md, "Part file".
 * (1) It describes itself: labels, time ranges, which log sequences it covers. The catalog only lists parts.
 * (2) Rows are sorted by tenant, service_name, labels, time; rows of one stream and time in the order they were accepted.
 *     No two rows of a part are equal.
 * (3) A reader treats the file as hostile: nothing is used before its checksum and its bounds were checked. */
#pragma once
#include "store/chunk.h"
#include "store/page.h"

enum { PART_MAJOR = 1, PART_MINOR = 1, PART_BLOCK_ROWS = 65536, PART_BLOCK_BYTES = 4 << 20 };
enum { PART_TABLE_BYTES = PAGE_MAX_RAW / 2 }; /* well within what a reader takes */

/* Columns of a block, each a page, in the order in which they lie in the file. Those that would be empty have none. */
enum part_column {
    COL_TIME, COL_STREAM, COL_LENGTH,
    COL_LINE, /* minor version 0 only: lines as they are; what follows down to COL_META came with 1 */
    COL_DICT, COL_IDS, COL_SLOTS, COL_TEXT, /* lines.h */
    COL_KEYS, COL_KEY_IDS, COL_KEY_WIDE,    /* keys.h */
    COL_SIEVE, /* sieve.h */
    COL_META, /* all metadata; since 1 only what has no column: part_meta.h */
    COL_COUNT
};

struct part_block {
    uint64_t offset;            /* of its first page; pages follow each other in column order */
    uint32_t stored[COL_COUNT]; /* bytes of each page; 0: there is none */
    uint32_t rows, line_bytes;
    uint32_t first, last;       /* stream ordinals */
    int64_t min_ts, max_ts;
};

struct part_stream {
    struct stream *st;
    uint64_t rows, bytes;
    int64_t min_ts, max_ts;
};

struct part {
    _Atomic uint32_t refs;
    uint64_t id;                /* names the file */
    char name[256];             /* of the file */
    int dirfd;                  /* the directory it lies in; borrowed */
    uint8_t uuid[16];
    bool columns;               /* since minor version 1: see part_column */
    uint64_t file_bytes, rows, line_bytes;
    uint64_t tables_end;         /* where the footer begins */
    int64_t min_ts, max_ts;
    uint64_t first_seq, end_seq; /* covers log frames [first, end), together with the other parts of its flush or merge */
    uint64_t deletes_applied;    /* its rows went through the requests to delete up to this id: deletes.h */
    uint16_t index, of;          /* which part of that; `of` 0: it is not the last */
    uint32_t level;              /* 0: from a flush */
    uint64_t *inputs;            /* ids of the parts it was merged from and stands for */
    uint32_t n_inputs;
    struct part_stream *streams;
    struct part_block *blocks;
    uint32_t n_streams, n_blocks;
    int64_t added_mono_ns; /* when it became visible; under the store's head.mu */
    bool keep_as_is, busy; /* the merger's: it cannot be merged; it is being merged */
};

void part_name(uint64_t id, char to[static 32]);     /* "0000000000000001.part" */
bool part_id_of_name(sv name, uint64_t *ret);
/* Order of streams in a part: tenant, service_name, labels. */
int part_stream_cmp(const struct stream *x, const struct stream *y);
/* Order of parts that have a day in common: rows of one stream and time in the earlier part were accepted earlier. What is merged
 * stands together in this order, so a merged part has its inputs' place in it. */
int part_order(const struct part *x, const struct part *y);
struct part *part_ref(struct part *p);
void part_unref(struct part *p); /* NULL is fine */
DEFINE_SCOPED(struct part *, part_unref)

/* Is it the file that is bad, and no lack of memory or a newer release? Its bytes, or the disk under them. */
bool part_damaged(const struct err *e);
/* Reads footer, stream table and block index; makes its streams known to the registry. ERR_CORRUPT, ERR_UNSUPPORTED. */
MUST_USE bool part_open(int dirfd, uint64_t id, struct registry *reg, struct part **ret, struct err *e);
/* The same for a file of any name; NULL: the one of the id. */
MUST_USE bool part_open_named(int dirfd, const char *name, uint64_t id, struct registry *reg, struct part **ret, struct err *e);

/* Reading blocks: one reader per scan and part. */
struct part_reader;
MUST_USE bool part_reader_open(struct part *p, struct part_reader **ret, struct err *e);
void part_reader_close(struct part_reader *r);
/* A block of which nothing is read yet but what the index says; c->streams[i].st is the stream of ordinal blocks[i].first + i. Its
 * columns have their memory, and get their values with part_read_columns(); what of them is there is not read again. */
enum { BLOCK_TIMES = 1, BLOCK_STREAMS = 2, BLOCK_LENGTHS = 4 };
MUST_USE bool part_open_block(struct part_reader *r, uint32_t block, struct chunk **ret, struct err *e);
MUST_USE bool part_read_columns(struct part_reader *r, uint32_t block, struct chunk *c, unsigned columns, struct err *e);
/* Both: times, streams and line ends. */
MUST_USE bool part_read_block(struct part_reader *r, uint32_t block, struct chunk **ret, struct err *e);
/* Adds columns to a chunk read from that block, when they are not there yet. */
MUST_USE bool part_read_lines(struct part_reader *r, uint32_t block, struct chunk *c, struct err *e);
MUST_USE bool part_read_metadata(struct part_reader *r, uint32_t block, struct chunk *c, struct err *e);
/* Only the lines of rows whose want[] is not 0; those of others are any bytes. */
MUST_USE bool part_read_some_lines(struct part_reader *r, uint32_t block, struct chunk *c, const uint8_t *want, struct err *e);
/* The same for metadata; others have none. */
MUST_USE bool part_read_some_metadata(struct part_reader *r, uint32_t block, struct chunk *c, const uint8_t *want, struct err *e);
/* Clears pass[row] of the rows whose line does not pass all filters; *ret_exact: those that are left do pass. Builds lines only where
 * that cannot be seen otherwise. */
struct scan_filter;
MUST_USE bool part_filter_lines(struct part_reader *r, uint32_t block, struct chunk *c, const struct scan_filter *f, size_t n,
                                uint8_t *pass, bool *ret_exact, struct err *e);
/* May rows of the block pass the filters, and have the value of each of these names? Reads dictionaries and the sieve alone. `absent` is
 * set of names that no row's metadata has; `value` p NULL: not asked. */
struct part_asked {
    sv name, value;
    bool absent;
};
MUST_USE bool part_may_pass(struct part_reader *r, uint32_t block, const struct scan_filter *f, size_t n, struct part_asked *asked,
                            size_t n_asked, bool *ret, struct err *e);
/* One name's metadata; views as with chunk_key(). */
MUST_USE bool part_read_key(struct part_reader *r, uint32_t block, struct chunk *c, sv name, struct key_column *ret,
                            struct err *e);
/* Nothing more will be read of the block: what is kept open for that goes. The columns that were read stay. */
void part_close_block(struct chunk *c);
/* How the lines of a block are kept: templates, and rows that have none. Both 0 in minor version 0. */
MUST_USE bool part_count_templates(struct part_reader *r, uint32_t block, struct chunk *c, uint32_t *ret_templates,
                                   uint32_t *ret_whole_rows, struct err *e);
/* Appends the block's pages as they are stored, their checksums checked. */
MUST_USE bool part_read_stored(struct part_reader *r, uint32_t block, struct buf *to, struct err *e);
uint64_t part_reader_bytes(const struct part_reader *r); /* stored bytes read so far */
/* The block will not be read again soon: the system need not keep its bytes in memory. */
void part_reader_forget(struct part_reader *r, uint32_t block);

/* page.h - the unit of a part file: one column of one block, or one table, behind a header that lets its bytes be checked
 * and sized before they are used. Header, 24 bytes LE: 0 encoding u8 | 1 codec u8 | 2 flags u16, 0 | 4 rows u32 | 8 raw
 * bytes u32 | 12 stored bytes u32 | 16 checksum u64: xxh3-64 of the stored bytes, its seed made from the 16 bytes before, so that it
 * covers the header too. */
#pragma once
#include "base/buf.h"

enum page_encoding {
    PAGE_BYTES = 0,  /* lines, end to end */
    PAGE_TIMES = 1,  /* exponent u8, then zigzag varints of the differences in 10^exponent ns */
    PAGE_RLE = 2,    /* varint value, varint count */
    PAGE_VARINT = 3,
    PAGE_META = 4,   /* part_meta.h */
    PAGE_TABLE = 5,  /* stream table, block index */
    PAGE_STEPS = 6,  /* times: ints.h */
    PAGE_INTS = 7,   /* ints.h */
    PAGE_DICT = 8, PAGE_IDS = 9, PAGE_SLOTS = 10, PAGE_TEXT = 11, /* lines.h */
    PAGE_KEYS = 12, PAGE_KEY_IDS = 13, PAGE_KEY_WIDE = 14,        /* keys.h */
    PAGE_SIEVE = 15, /* sieve.h */
};
enum page_codec { PAGE_PLAIN = 0, PAGE_ZSTD = 1 };
enum { PAGE_HEAD = 24, PAGE_MAX_RAW = 1 << 29, PAGE_SLACK = 16 };

struct page_head {
    uint8_t encoding, codec;
    uint32_t rows, raw, stored;
    uint64_t hash;
};

struct page_writer; /* compression state, reused from page to page */
struct page_writer *page_writer_new(int level); /* of zstd */
void page_writer_free(struct page_writer *w);
/* Appends a page to `out`, compressed when that saves a sixteenth; *ret_stored: its bytes with the header. */
MUST_USE bool page_write(struct page_writer *w, enum page_encoding enc, uint32_t rows, sv raw, struct buf *out,
                         uint32_t *ret_stored, struct err *e);

/* Is `bytes` a page of so many rows, and nothing else, its checksum right? For who passes it on unread. */
bool page_intact(sv bytes, uint32_t rows);
/* Sets the checksum of a page whose header and body are in place; `n` bytes in all. */
void page_seal(char *page, size_t n);

struct page_reader;
struct page_reader *page_reader_new(void);
void page_reader_free(struct page_reader *r);
/* The page that fills `bytes` exactly, of this encoding. The raw bytes replace what *raw holds. ERR_CORRUPT,
 * PAGE_SLACK zero bytes stand behind them. ERR_UNSUPPORTED (an encoding or codec of a newer release), ERR_NOMEM. */
MUST_USE bool page_read(struct page_reader *r, sv bytes, enum page_encoding enc, struct buf *raw, struct page_head *ret,
                        struct err *e);

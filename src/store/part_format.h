/* part_format.h - fixed places in a part file; shared by its writer and its reader.
 * The header's layout is the same in every version: it is where a reader learns that a file is too new for it.
 * Header, 64 bytes LE: 0 magic | 8 major u16 | 10 minor u16 | 12 features u32 | 16 uuid | 32 creator, 24 bytes, zero filled
 *   | 56 zero u32 | 60 crc32c of the 60 bytes before
 * Footer, 104 bytes LE: 0 stream table offset u64 | 8 its bytes u32 | 12 streams u32 | 16 block index offset u64 | 24 its
 *   bytes u32 | 28 blocks u32 | 32 rows u64 | 40 line bytes u64 | 48 min ts i64 | 56 max ts i64 | 64 first log sequence u64
 *   | 72 end log sequence u64 | 80 index of the part in its flush u16 | 82 parts of the flush u16 | 84 level u32 | 88 last
 *   tombstone applied u64 | 96 duplicates left out u64 | 104 items: tag u8, bytes u24, value; unknown tags are passed over.
 *   Tag 1: the parts it was merged from, ids u64.
 * Trailer, 32 bytes LE: 0 footer bytes u32 | 4 crc32c of the footer and the trailer's other bytes u32 | 8 major u16 | 10 minor u16 | 12 features u32
 *   | 16 file bytes u64 | 24 magic */
#pragma once
#define PART_MAGIC "\x89WEIRPT\n"
enum { PART_HEAD = 64, PART_FOOTER = 104, PART_FOOTER_MAX = 65536, PART_TRAILER = 32, PART_FEATURES_KNOWN = 1 };
enum { PART_FEATURE_COLUMNS = 1 }; /* lines as templates, metadata as columns, empty pages left out */
enum { PART_ITEM_INPUTS = 1, PART_ITEM_HEAD = 4, PART_INPUTS_MAX = 4096 };
enum { PART_FLUSH_DAYS = 16, PART_FLUSH_MAX = 65535 }; /* days told apart in one flush, and its parts */

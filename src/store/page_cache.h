/* page_cache.h - small pages of parts as they are after decompression: dictionaries and content filters, which every query asks before it
 * opens a block. One for the process; pages are told apart by their part's uuid, so they may outlive it, and the one not used for
 * longest goes first. Any thread. */
#pragma once
#include "base/buf.h"

struct cached_page; /* a reference to it keeps its bytes */

struct page_key {
    uint64_t part; /* of its uuid */
    uint32_t block, column;
};

/* How many bytes it may hold; 0: none, which is how it begins. Frees what is too much. */
void page_cache_limit(uint64_t max_bytes);
/* The page, or NULL. */
struct cached_page *page_cache_get(const struct page_key *key);
/* Takes over the bytes of `b`, which is empty afterwards, and gives them back as a page, kept or not. NULL: no memory; *b is as before. */
struct cached_page *page_cache_put(const struct page_key *key, struct buf *b);
sv cached_page_bytes(const struct cached_page *p);
void cached_page_unref(struct cached_page *p); /* NULL is fine */
DEFINE_SCOPED(struct cached_page *, cached_page_unref)

struct page_cache_stats {
    uint64_t hits, misses, bytes, pages;
};
void page_cache_stats(struct page_cache_stats *ret);

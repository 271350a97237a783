/* page_cache.c - see page_cache.h. A table with chains, and a list in the order of use. */
#include "store/page_cache.h"
#include "base/lock.h"
#include "store/hash.h"
#include <stdatomic.h>
#include <stdlib.h>

enum { CHAINS = 4096 };

struct cached_page {
    _Atomic uint32_t refs; /* the cache's own is one of them */
    struct page_key key;
    struct buf bytes;
    struct cached_page *next;            /* of its chain */
    struct cached_page *newer, *older;   /* by use */
};

static struct {
    struct lock mu;
    struct cached_page *chain[CHAINS];
    struct cached_page *newest, *oldest;
    uint64_t max, bytes, pages;
    _Atomic uint64_t hits, misses;
} cache;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void)
{
    lock_init(&cache.mu);
}
static void acquire(void)
{
    pthread_once(&once, start);
    lock_acquire(&cache.mu);
}

static struct cached_page **chain_of(const struct page_key *k)
{
    return &cache.chain[hash_join(k->part, (uint64_t)k->block << 8 | k->column) % CHAINS];
}
static bool same(const struct page_key *a, const struct page_key *b)
{
    return a->part == b->part && a->block == b->block && a->column == b->column;
}
static uint64_t cost(const struct cached_page *p)
{
    return sizeof *p + p->bytes.cap;
}

void cached_page_unref(struct cached_page *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    buf_done(&p->bytes);
    free(p);
}

sv cached_page_bytes(const struct cached_page *p)
{
    return buf_view(&p->bytes);
}

/* ---- under the lock ---- */

static void unlink_use(struct cached_page *p)
{
    *(p->newer ? &p->newer->older : &cache.newest) = p->older;
    *(p->older ? &p->older->newer : &cache.oldest) = p->newer;
}
static void link_newest(struct cached_page *p)
{
    p->newer = NULL;
    p->older = cache.newest;
    *(cache.newest ? &cache.newest->newer : &cache.oldest) = p;
    cache.newest = p;
}
static struct cached_page *find(const struct page_key *key)
{
    struct cached_page *p = *chain_of(key);
    while (p && !same(&p->key, key))
        p = p->next;
    return p;
}
static void trim(void)
{
    while (cache.bytes > cache.max && cache.oldest) {
        struct cached_page *p = cache.oldest, **at = chain_of(&p->key);
        while (*at != p)
            at = &(*at)->next;
        *at = p->next;
        unlink_use(p);
        cache.bytes -= cost(p);
        cache.pages--;
        cached_page_unref(p);
    }
}

/* ---- */

void page_cache_limit(uint64_t max_bytes)
{
    acquire();
    cache.max = max_bytes;
    trim();
    lock_release(&cache.mu);
}

struct cached_page *page_cache_get(const struct page_key *key)
{
    acquire();
    struct cached_page *p = find(key);
    if (p) {
        atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
        unlink_use(p);
        link_newest(p);
    }
    lock_release(&cache.mu);
    atomic_fetch_add_explicit(p ? &cache.hits : &cache.misses, 1, memory_order_relaxed);
    return p;
}

struct cached_page *page_cache_put(const struct page_key *key, struct buf *b)
{
    struct cached_page *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->key = *key;
    p->bytes = *b;
    *b = (struct buf){0};
    atomic_init(&p->refs, 1);
    acquire();
    if (cost(p) <= cache.max / 8 && !find(key)) { /* no page displaces most of the others */
        struct cached_page **chain = chain_of(key);
        atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
        p->next = *chain;
        *chain = p;
        link_newest(p);
        cache.bytes += cost(p);
        cache.pages++;
        trim();
    }
    lock_release(&cache.mu);
    return p;
}

void page_cache_stats(struct page_cache_stats *ret)
{
    acquire();
    *ret = (struct page_cache_stats){.bytes = cache.bytes, .pages = cache.pages};
    lock_release(&cache.mu);
    ret->hits = atomic_load_explicit(&cache.hits, memory_order_relaxed);
    ret->misses = atomic_load_explicit(&cache.misses, memory_order_relaxed);
}

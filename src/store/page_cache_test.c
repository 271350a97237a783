/* page_cache_test.c - what is put in comes out, the least used goes first, and a page that somebody holds stays. */
#include "store/page_cache.h"
#include "base/test.h"
#include <pthread.h>

static struct page_key key_of(uint32_t i)
{
    return (struct page_key){.part = 7, .block = i, .column = 2};
}
static struct cached_page *put(uint32_t i, size_t n)
{
    struct buf b = {0};
    char *p = buf_reserve(&b, n);
    ASSERT(p);
    memset(p, (int)('a' + i % 26), n);
    b.n = n;
    struct page_key k = key_of(i);
    struct cached_page *made = page_cache_put(&k, &b);
    ASSERT(made && !b.p);
    return made;
}
static bool is_there(uint32_t i)
{
    struct page_key k = key_of(i);
    struct cached_page *p = page_cache_get(&k);
    bool ok = p && cached_page_bytes(p).n && cached_page_bytes(p).p[0] == (char)('a' + i % 26);
    cached_page_unref(p);
    return ok;
}

TEST(nothing_is_kept_without_room)
{
    page_cache_limit(0);
    struct cached_page *p = put(1, 100);
    CHECK_EQ(cached_page_bytes(p).n, 100);
    cached_page_unref(p);
    CHECK(!is_there(1));
}

TEST(the_page_not_used_for_longest_goes_first)
{
    struct page_cache_stats s;
    page_cache_limit(128 << 10);
    for (uint32_t i = 0; i < 10; i++)
        cached_page_unref(put(i, 5000));
    CHECK(is_there(0));
    struct page_key k = key_of(1);
    struct cached_page *held = page_cache_get(&k);
    for (uint32_t i = 10; i < 45; i++) {
        CHECK(is_there(0));
        cached_page_unref(put(i, 5000));
    }
    CHECK(is_there(0));
    CHECK(is_there(44));
    CHECK(!is_there(2));
    CHECK(!is_there(1));
    CHECK(held && cached_page_bytes(held).n == 5000 && cached_page_bytes(held).p[4999] == 'b');
    cached_page_unref(held);
    cached_page_unref(put(44, 5000)); /* again */
    cached_page_unref(put(50, 40000)); /* too much of it */
    CHECK(is_there(44) && !is_there(50));
    page_cache_stats(&s);
    CHECK(s.bytes <= 128 << 10 && s.pages >= 8 && s.hits && s.misses);
    page_cache_limit(0);
    page_cache_stats(&s);
    CHECK(s.bytes == 0 && s.pages == 0);
}

static void *use(void *arg UNUSED)
{
    for (int i = 0; i < 20000; i++) {
        uint32_t k = (uint32_t)(rand_u64() % 40);
        if (!is_there(k))
            cached_page_unref(put(k, 3000));
    }
    return NULL;
}
TEST(threads_share_it)
{
    pthread_t t[4];
    struct page_cache_stats s;
    page_cache_limit(128 << 10);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        REQUIRE(pthread_create(&t[i], NULL, use, NULL) == 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        pthread_join(t[i], NULL);
    page_cache_stats(&s);
    CHECK(s.bytes <= 128 << 10 && s.pages > 0);
    page_cache_limit(0);
}

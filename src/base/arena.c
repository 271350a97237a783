/* arena.c - a list of blocks, each twice the last (64 KB to 1 MB); large requests get a block of their own. */
#include "base/arena.h"
#include <stdlib.h>

#define BLOCK_MIN (64u << 10)
#define BLOCK_MAX (1u << 20)
#define ALIGN 16u

struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(ALIGN) char bytes[];
};

void arena_init(struct arena *a, size_t max)
{
    *a = (struct arena){.max = max};
}

static void free_from(struct arena_block *b)
{
    while (b) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_done(struct arena *a)
{
    free_from(a->head);
    *a = (struct arena){.max = a->max};
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = a->head;
    if (keep && keep->size > BLOCK_MAX) {
        arena_done(a);
        return;
    }
    if (keep) {
        free_from(keep->next);
        keep->next = NULL;
        a->at = keep->bytes;
        a->end = keep->bytes + keep->size;
    }
    a->used = 0;
    a->failed = ERR_NONE;
}

static bool add_block(struct arena *a, size_t need)
{
    size_t size = a->head ? MIN(a->head->size * 2, (size_t)BLOCK_MAX) : BLOCK_MIN;
    size = MAX(size, need);
    struct arena_block *b = malloc(sizeof *b + size);
    if (!b) {
        a->failed = ERR_NOMEM;
        return false;
    }
    b->size = size;
    b->next = a->head;
    a->head = b;
    a->at = b->bytes;
    a->end = b->bytes + size;
    return true;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2) {
        a->failed = ERR_LIMIT;
        return NULL;
    }
    n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (n == 0)
        n = ALIGN;
    if (a->max && (n > a->max || a->used > a->max - n)) {
        a->failed = ERR_LIMIT;
        return NULL;
    }
    if ((!a->head || (size_t)(a->end - a->at) < n) && !add_block(a, n))
        return NULL;
    void *p = a->at;
    a->at += n;
    a->used += n;
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total)) {
        a->failed = ERR_LIMIT;
        return NULL;
    }
    return arena_zalloc(a, total);
}

sv arena_sv(struct arena *a, sv s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (!p)
        return SV_NULL;
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return (sv){p, s.n};
}

void *arena_grow(struct arena *a, void *items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return items;
    size_t want = *cap ? *cap * 2 : 8, total;
    if (__builtin_mul_overflow(want, size, &total)) {
        a->failed = ERR_LIMIT;
        return NULL;
    }
    void *p = arena_alloc(a, total);
    if (!p)
        return NULL;
    if (n)
        memcpy(p, items, n * size);
    *cap = want;
    return p;
}

bool arena_err(const struct arena *a, struct err *e, const char *what)
{
    if (a->failed == ERR_LIMIT)
        return err_set(e, ERR_LIMIT, "needs more than %zu bytes of memory (%s)", a->max, what);
    return err_nomem(e);
}

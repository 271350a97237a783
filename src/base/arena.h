/* arena.h - memory of one request, query or batch: many small allocations, one release.
 * Everything lives until arena_reset() or arena_done(). One thread at a time. The cap counts all bytes asked for; past
 * it (or when out of memory) arena_alloc() returns NULL and arena_failed() tells which. */
#pragma once
#include "base/err.h"
#include "base/sv.h"

struct arena_block;
struct arena {
    struct arena_block *head;
    char *at, *end;
    size_t used, max; /* bytes handed out; 0: no cap */
    enum err_code failed;
};

void arena_init(struct arena *a, size_t max);
void arena_done(struct arena *a);
static inline UNUSED void arena_done_scoped(struct arena *a)
{
    arena_done(a);
}
void arena_reset(struct arena *a); /* keeps one block for reuse */
void *arena_alloc(struct arena *a, size_t n);  /* aligned to 16, not cleared; n = 0 gives a valid pointer */
void *arena_zalloc(struct arena *a, size_t n); /* cleared */
/* n * size with overflow check, cleared. */
void *arena_array(struct arena *a, size_t n, size_t size);
#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))
/* A copy inside the arena, with a NUL behind it (not counted in n). p is NULL on failure. */
sv arena_sv(struct arena *a, sv s);
/* Grows a vector whose items live in the arena: returns room for item number `n`, doubling *cap as needed. */
void *arena_grow(struct arena *a, void *items, size_t n, size_t *cap, size_t size);
/* Fills `e` with why the arena failed; returns false. `what` names the limit's setting. */
bool arena_err(const struct arena *a, struct err *e, const char *what);

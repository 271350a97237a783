/* vec.h - a typed growable array: `VEC(struct foo) v = {0}; struct foo *f = vec_push(&v);`.
 * vec_push returns room for one more item (not cleared) or NULL when out of memory. Pointers move when it grows. */
#pragma once
#include "base/def.h"
#include <stdlib.h>

#define VEC(type)                                                                                                 \
    struct {                                                                                                      \
        type *at;                                                                                                 \
        size_t n, cap;                                                                                            \
    }
#define vec_push(v) ((__typeof__((v)->at))vec_push_((void **)&(v)->at, &(v)->n, &(v)->cap, sizeof *(v)->at))
#define vec_reserve(v, want) vec_reserve_((void **)&(v)->at, &(v)->cap, (want), sizeof *(v)->at)
#define vec_done(v) (free((v)->at), (v)->at = NULL, (v)->n = (v)->cap = 0)

static inline bool vec_reserve_(void **at, size_t *cap, size_t want, size_t size)
{
    if (want <= *cap)
        return true;
    size_t grown = MAX(MAX(want, *cap * 2), (size_t)8), total;
    if (__builtin_mul_overflow(grown, size, &total))
        return false;
    void *p = realloc(*at, total);
    if (!p)
        return false;
    *at = p;
    *cap = grown;
    return true;
}

static inline void *vec_push_(void **at, size_t *n, size_t *cap, size_t size)
{
    if (*n == *cap && !vec_reserve_(at, cap, *n + 1, size))
        return NULL;
    return (char *)*at + (*n)++ * size;
}

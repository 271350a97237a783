/* head.c - see head.h. */
#include "store/head.h"

/* Larger joins cost more copies than the shorter list saves: each doubling copies every row once more. */
enum { JOIN_MAX_BYTES = 1 << 20, JOIN_MAX_ROWS = 2048 };

void head_init(struct head *h)
{
    *h = (struct head){0};
    lock_init(&h->mu);
}

void head_start(struct head *h, uint64_t next_seq)
{
    LOCK_SCOPED(&h->mu);
    h->active.first_seq = h->active.end_seq = next_seq;
    h->sealed.first_seq = h->sealed.end_seq = next_seq;
}

void chunk_list_done(struct chunk_list *l)
{
    for (size_t i = 0; i < l->chunks.n; i++)
        chunk_unref(l->chunks.at[i]);
    vec_done(&l->chunks);
}

void head_done(struct head *h)
{
    chunk_list_done(&h->active);
    chunk_list_done(&h->sealed);
    chunk_builder_done(&h->joiner);
    lock_done(&h->mu);
}

bool head_reserve(struct head *h, size_t n)
{
    LOCK_SCOPED(&h->mu);
    if (!vec_reserve(&h->active.chunks, h->active.chunks.n + h->reserved + n))
        return false;
    h->reserved += n;
    return true;
}

void head_unreserve(struct head *h, size_t n)
{
    LOCK_SCOPED(&h->mu);
    ASSERT(h->reserved >= n);
    h->reserved -= n;
}

static void list_push(struct chunk_list *l, struct chunk *c)
{
    ASSERT(l->chunks.n < l->chunks.cap);
    l->chunks.at[l->chunks.n++] = c;
    l->rows += c->n;
    l->line_bytes += c->line_bytes;
    l->memory += c->memory;
}

static void list_pop(struct chunk_list *l)
{
    struct chunk *c = l->chunks.at[--l->chunks.n];
    l->rows -= c->n;
    l->line_bytes -= c->line_bytes;
    l->memory -= c->memory;
    chunk_unref(c);
}

/* The last two chunks, with references, when they are small and the older one is not much larger: joining then costs each
 * row a number of copies logarithmic in the size of the chunk it ends up in. */
static bool pair_to_join(struct head *h, uint64_t *ret_seals, struct chunk *ret[static 2])
{
    LOCK_SCOPED(&h->mu);
    size_t n = h->active.chunks.n;
    if (n < 2)
        return false;
    struct chunk *x = h->active.chunks.at[n - 2], *y = h->active.chunks.at[n - 1];
    if (x->memory + y->memory > JOIN_MAX_BYTES || x->n + y->n > JOIN_MAX_ROWS || x->n > 2 * (uint64_t)y->n)
        return false;
    ret[0] = chunk_ref(x);
    ret[1] = chunk_ref(y);
    *ret_seals = h->seals;
    return true;
}

/* Without the lock while it copies: readers see the two chunks until the one takes their place. */
static void join_tail(struct head *h)
{
    struct chunk *two[2];
    uint64_t seals;
    bool joined = true;
    while (joined && pair_to_join(h, &seals, two)) {
        struct chunk *both = chunk_join(&h->joiner, two[0], two[1]);
        lock_acquire(&h->mu);
        joined = both && h->seals == seals;
        if (joined) {
            list_pop(&h->active);
            list_pop(&h->active);
            list_push(&h->active, both);
        }
        lock_release(&h->mu);
        if (!joined)
            chunk_unref(both);
        chunk_unref(two[0]);
        chunk_unref(two[1]);
    }
}

void head_add(struct head *h, struct chunk **chunks, size_t n, uint64_t seq, int64_t now_mono_ns)
{
    lock_acquire(&h->mu);
    ASSERT(h->reserved >= n);
    for (size_t i = 0; i < n; i++)
        list_push(&h->active, chunks[i]);
    h->reserved -= n;
    h->active.end_seq = seq + 1; /* in one step with the rows: a seal takes both or none */
    if (n && !h->active.oldest_mono_ns)
        h->active.oldest_mono_ns = now_mono_ns;
    lock_release(&h->mu);
    if (n == 1)
        join_tail(h);
}

bool head_seal(struct head *h)
{
    LOCK_SCOPED(&h->mu);
    ASSERT(h->sealed.chunks.n == 0);
    struct chunk_list fresh = {.first_seq = h->active.end_seq, .end_seq = h->active.end_seq};
    if (!vec_reserve(&fresh.chunks, h->reserved))
        return false;
    vec_done(&h->sealed.chunks);
    h->sealed = h->active;
    h->active = fresh;
    h->seals++;
    return true;
}

void head_drop_sealed(struct head *h, struct chunk_list *ret)
{
    lock_assert_held(&h->mu);
    *ret = h->sealed;
    h->sealed = (struct chunk_list){.first_seq = ret->end_seq, .end_seq = ret->end_seq};
}

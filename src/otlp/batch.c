/* batch.c - see batch.h: one allocation holds the struct, the bytes and the tenant. */
#include "otlp/batch.h"
#include <stdlib.h>

struct batch *batch_new(sv bytes, sv tenant, uint32_t n_records, int64_t arrived_wall_ns)
{
    struct batch *b = malloc(sizeof *b + bytes.n + tenant.n);
    if (!b)
        return NULL;
    char *at = (char *)(b + 1);
    if (bytes.n)
        memcpy(at, bytes.p, bytes.n);
    if (tenant.n)
        memcpy(at + bytes.n, tenant.p, tenant.n);
    *b = (struct batch){.n_records = n_records,
                        .arrived_wall_ns = arrived_wall_ns,
                        .bytes = {at, bytes.n},
                        .tenant = {at + bytes.n, tenant.n}};
    atomic_init(&b->refs, 1);
    return b;
}

struct batch *batch_ref(struct batch *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void batch_unref(struct batch *b)
{
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        free(b);
}

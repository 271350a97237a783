/* durations.c - see durations.h. Once per export, so a lock and a walk over a few series do. */
#include "sdk/durations.h"
#include <stdlib.h>
#include <string.h>

const double duration_bounds[DURATION_BOUNDS] = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10};

void durations_init(struct durations *d)
{
    *d = (struct durations){0};
    lock_init(&d->mu);
}

void durations_done(struct durations *d)
{
    free(d->series);
    lock_done(&d->mu);
}

void durations_after_fork(struct durations *d)
{
    lock_init(&d->mu); /* the parent's thread may have held it: what it was writing is forgotten too */
    d->n = 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same(const struct outcome *a, const struct outcome *b)
{
    return a->http_status == b->http_status && a->port == b->port && same_text(a->server, b->server) &&
           same_text(a->rpc_status, b->rpc_status) && same_text(a->error, b->error);
}

static struct duration_series *series_of(struct durations *d, const struct outcome *how)
{
    for (size_t i = 0; i < d->n; i++)
        if (same(&d->series[i].how, how))
            return &d->series[i];
    if (d->n == DURATION_SERIES_MAX)
        return &d->series[DURATION_SERIES_MAX - 1];
    struct duration_series *s = &d->series[d->n++];
    *s = (struct duration_series){.how = *how};
    if (d->n == DURATION_SERIES_MAX)
        s->how = (struct outcome){.error = "_OTHER"};
    return s;
}

void durations_add(struct durations *d, const struct outcome *how, int64_t ns)
{
    double seconds = (double)(ns > 0 ? ns : 0) / 1e9;
    size_t bucket = 0;
    while (bucket < DURATION_BOUNDS && seconds > duration_bounds[bucket])
        bucket++;
    LOCK_SCOPED(&d->mu);
    if (!d->series && !(d->series = calloc(DURATION_SERIES_MAX, sizeof *d->series)))
        return;
    struct duration_series *s = series_of(d, how);
    s->count++;
    s->sum += seconds;
    s->buckets[bucket]++;
}

size_t durations_read(struct durations *d, struct duration_series ret[static DURATION_SERIES_MAX])
{
    LOCK_SCOPED(&d->mu);
    if (d->n)
        memcpy(ret, d->series, d->n * sizeof *ret);
    return d->n;
}

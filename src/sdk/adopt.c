/* adopt.c - what dead processes of the same service left on disk: found, taken over one at a time, and sent between our own
 * batches. Whoever gets the lock sends; a process that is killed while it does leaves it to the next. */
#include "base/clock.h"
#include "base/log.h"
#include "sdk/batcher.h"
#include <stdlib.h>

#define LOOK_EVERY_MS 300000 /* several processes of a service share this work: each adds up to half of it at random */
#define NAMES_MAX 4096

static bool keep_name(void *ctx, const char *name)
{
    struct orphans *o = ctx;
    char **slot = vec_push(&o->names);
    if (slot && !(*slot = sv_dup(sv_of(name))))
        o->names.n--;
    return o->names.n < NAMES_MAX;
}

static void look(struct batcher *b)
{
    struct err e = {0};
    struct orphans *o = &b->orphans;
    o->look_at_ms = clock_mono_ms() + LOOK_EVERY_MS + (int64_t)(rand_unit() * LOOK_EVERY_MS / 2);
    if (!backlog_list(b->base, sv_of(b->service), keep_name, o, &e))
        log_warn("sdk", "cannot look for records that a dead process left: %s", e.msg);
}

struct backlog *orphans_next(struct batcher *b)
{
    struct orphans *o = &b->orphans;
    lock_assert_held(&b->mu);
    if (o->current || !b->cfg.base || !b->service || b->broken)
        return o->current;
    if (!o->names.n && clock_mono_ms() >= o->look_at_ms)
        look(b);
    while (o->names.n && !o->current) {
        struct err e = {0};
        char *name = o->names.at[--o->names.n];
        if (!backlog_adopt(&b->cfg, name, &o->current, &e) && e.code != ERR_UNAVAILABLE && e.code != ERR_NOT_FOUND)
            log_warn("sdk", "cannot send what a dead process left: %s", e.msg);
        free(name);
    }
    return o->current;
}

void orphans_close(struct batcher *b)
{
    struct backlog_stats st;
    struct orphans *o = &b->orphans;
    backlog_stats(o->current, &st);
    b->adopted_lost += st.torn;
    backlog_close(TAKE(o->current));
    o->failures = 0;
}

void orphans_done(struct orphans *o, bool forget)
{
    while (o->names.n)
        free(o->names.at[--o->names.n]);
    vec_done(&o->names);
    if (forget)
        backlog_forget(o->current);
    else
        backlog_close(o->current);
    o->current = NULL;
}

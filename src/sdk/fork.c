/* fork.c - see fork.h. Later hooks belong to outer parts (exporter, processor, provider are made in this order), so locks
 * are taken from the newest hook on. */
#include "sdk/fork.h"
#include "base/lock.h"

static struct lock mu = LOCK_INIT;
static struct fork_hook *hooks; /* under mu; newest first */

static void before(void)
{
    lock_acquire(&mu);
    for (struct fork_hook *h = hooks; h; h = h->next)
        if (h->prepare)
            h->prepare(h);
}

static void in_parent(void)
{
    for (struct fork_hook *h = hooks; h; h = h->next)
        if (h->parent)
            h->parent(h);
    lock_release(&mu);
}

static void in_child(void)
{
    for (struct fork_hook *h = hooks; h; h = h->next)
        h->child(h);
    lock_init(&mu);
}

static void watch(void)
{
    pthread_atfork(before, in_parent, in_child);
}

void fork_hook_add(struct fork_hook *h)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch);
    LOCK_SCOPED(&mu);
    h->next = hooks;
    hooks = h;
}

void fork_hook_remove(struct fork_hook *h)
{
    LOCK_SCOPED(&mu);
    for (struct fork_hook **at = &hooks; *at; at = &(*at)->next)
        if (*at == h) {
            *at = h->next;
            return;
        }
}

/* fork.h - who must know of fork(): locks are held across it, so that the child finds everything whole, and the child lets go
 * of what belongs to its parent. */
#pragma once
#include "base/def.h"

struct fork_hook { /* embedded; prepare and parent may be NULL */
    void (*prepare)(struct fork_hook *h); /* take your locks */
    void (*parent)(struct fork_hook *h);  /* release them */
    void (*child)(struct fork_hook *h);   /* make them anew; forget threads and connections */
    struct fork_hook *next;
};
void fork_hook_add(struct fork_hook *h);
void fork_hook_remove(struct fork_hook *h);

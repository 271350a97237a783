/* retry.h - how long to wait before the next attempt; knows no clock and no thread. */
#pragma once
#include "collector/section.h"

struct retry_settings {
    bool enabled;
    int64_t initial_interval, max_interval, max_elapsed_time; /* ns; max_elapsed_time 0: for ever */
    double multiplier, randomization_factor;
};
extern const struct section retry_section;

/* The waits for one request that keeps failing. A peer that cannot be reached at all is tried more often (1 s, growing to
 * 5 s): that costs it nothing, and a short outage then costs little more than itself. A peer that answers "later" gets
 * the configured intervals, or what it asked for when that is longer. */
struct retry_state {
    double interval_ns; /* 0: no attempt has failed yet */
    bool unreachable;
};
enum { RETRY_NO_MORE = -1 };
/* elapsed_ns: since the first attempt. random: [0, 1). The wait in ns, or RETRY_NO_MORE when it would end past
 * max_elapsed_time. */
int64_t retry_next(const struct retry_settings *rs, struct retry_state *st, bool unreachable, int64_t asked_ns,
                   int64_t elapsed_ns, double random);

/* merge_plan.c - see merge_plan.h. */
#include "store/merge_plan.h"

/* Parts below are taken as equally large: what they cost is their number. */
#define SMALL_BYTES (1ull << 20)
/* Idle days: enough that a part is not written again for a crumb beside it; crumbs alone always go together. */
#define SETTLE_GAIN 1.5
#define SETTLE_CRUMBS (64ull << 20)

static bool worth_it(const struct plan_window *w, const struct plan_limits *l, bool idle)
{
    if (w->n < 2)
        return false;
    if (w->gain >= MIN((double)PLAN_GAIN, (double)l->max_inputs * 3 / 4) || (w->gain >= 2.5 && w->bytes >= l->max_bytes / 4 * 3))
        return true; /* the second: full, so that waiting for more gains nothing */
    return idle && (w->gain >= SETTLE_GAIN || w->bytes <= SETTLE_CRUMBS);
}

static bool is_idle(const struct plan_part *parts, size_t n, const struct plan_limits *l)
{
    for (size_t i = 0; i < n; i++)
        if (l->now_mono_ns - parts[i].added_mono_ns < l->idle_ns)
            return false;
    return true;
}

struct plan_window plan_pick(const struct plan_part *parts, size_t n, const struct plan_limits *l)
{
    struct plan_window best = {0};
    bool idle = is_idle(parts, n, l);
    for (size_t i = 0; i < n; i++) {
        uint64_t sum = 0, weight = 0, largest = 0;
        for (size_t k = i; k < n && k - i < MIN(l->max_inputs, (size_t)PLAN_INPUTS) && !parts[k].fixed; k++) {
            uint64_t w = MAX(parts[k].bytes, SMALL_BYTES);
            sum += parts[k].bytes;
            weight += w;
            largest = MAX(largest, w);
            if (sum > l->max_bytes)
                break;
            struct plan_window at = {i, k - i + 1, sum, (double)weight / (double)largest, idle};
            if (worth_it(&at, l, idle) && (at.gain > best.gain || (at.gain == best.gain && at.bytes < best.bytes)))
                best = at;
        }
    }
    return best;
}

/* retry.c - see retry.h. */
#include "collector/retry.h"
#include "base/clock.h"

#define UNREACHABLE_FIRST_NS (1 * NS_PER_S)
#define UNREACHABLE_MAX_NS (5 * NS_PER_S)

static const struct option retry_options[] = {
    OPT(BOOL, struct retry_settings, enabled, "true", "false: one attempt, then the records are refused for good"),
    OPT(DURATION, struct retry_settings, initial_interval, "5s",
        "first wait after an answer that says later; a peer that cannot be reached is tried after 1 s already"),
    OPT(DURATION, struct retry_settings, max_interval, "30s", "longest wait"),
    OPT(DURATION, struct retry_settings, max_elapsed_time, "0s",
        "give up after this long; 0: never, the queue is on disk (upstream: 5m, which loses what a longer outage holds up)"),
    OPT(DOUBLE, struct retry_settings, multiplier, "1.5", "growth of the wait"),
    OPT(DOUBLE, struct retry_settings, randomization_factor, "0.5", "the wait is spread by this share, both ways"),
    {0}};

static void check(const struct reading *rd, void *cfg)
{
    const struct retry_settings *rs = cfg;
    if (rs->initial_interval < 0)
        section_problem(rd, "initial_interval", "'initial_interval' must be non-negative");
    if (rs->max_interval < 0)
        section_problem(rd, "max_interval", "'max_interval' must be non-negative");
    if (rs->max_elapsed_time < 0)
        section_problem(rd, "max_elapsed_time", "'max_elapsed_time' must be non-negative");
    if (!(rs->multiplier >= 0 && rs->multiplier <= 1000))
        section_problem(rd, "multiplier", "'multiplier' must be within [0, 1000]");
    if (!(rs->randomization_factor >= 0 && rs->randomization_factor <= 1))
        section_problem(rd, "randomization_factor", "'randomization_factor' must be within [0, 1]");
    if (rs->max_elapsed_time > 0 && rs->max_elapsed_time < rs->initial_interval)
        section_problem(rd, "max_elapsed_time", "'max_elapsed_time' must not be less than 'initial_interval'");
    if (rs->max_elapsed_time > 0 && rs->max_elapsed_time < rs->max_interval)
        section_problem(rd, "max_elapsed_time", "'max_elapsed_time' must not be less than 'max_interval'");
}

const struct section retry_section = {.options = retry_options, .check = check};

int64_t retry_next(const struct retry_settings *rs, struct retry_state *st, bool unreachable, int64_t asked_ns,
                   int64_t elapsed_ns, double random)
{
    double first = (double)rs->initial_interval, most = (double)rs->max_interval;
    if (unreachable) {
        first = MIN(first, (double)UNREACHABLE_FIRST_NS);
        most = MIN(most, (double)UNREACHABLE_MAX_NS);
    }
    bool fresh = st->interval_ns == 0 || st->unreachable != unreachable;
    double interval = fresh ? first : st->interval_ns * rs->multiplier;
    interval = MIN(MAX(interval, (double)NS_PER_MS), most > 0 ? most : first);
    st->interval_ns = MAX(interval, (double)NS_PER_MS);
    st->unreachable = unreachable;
    double spread = rs->randomization_factor;
    int64_t wait = (int64_t)(st->interval_ns * (1 - spread + 2 * spread * random));
    wait = MAX(wait, asked_ns);
    if (rs->max_elapsed_time > 0 && elapsed_ns + wait > rs->max_elapsed_time)
        return RETRY_NO_MORE;
    return wait;
}

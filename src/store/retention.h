/* retention.h - how long rows are kept.
 * (1) A row is not shown from the moment it is past its stream's period, by the wall clock.
 * (2) It is removed later: with its part when all of that is past, by any merge, or when much of a part is past and the rest will stay.
 * (3) Nothing is removed because a clock jumped. What counts for removing is a clock that has run on evenly for
 *     retention_delete_delay of this process's life, and for a day when it is more than a day ahead of the newest row: that is how a
 *     machine looks that came up with a wrong date. A jump forward begins the wait anew; a jump back counts at once. */
#pragma once
#include "store/part.h"

struct store;

struct steady_clock { /* the merger's thread, but for trusted_off */
    int64_t off, since_mono_ns; /* wall minus monotonic time, and since when that is so */
    bool started;
    _Atomic int64_t trusted_off; /* INT64_MIN: none yet */
};
void steady_clock_init(struct steady_clock *c);
/* What the clocks say now, and how long a jump has to hold. */
void steady_clock_tick(struct steady_clock *c, int64_t wall_ns, int64_t mono_ns, int64_t hold_ns);
/* The wall time that may be relied on; false: none yet. */
bool steady_clock_now(const struct steady_clock *c, int64_t mono_ns, int64_t *ret_wall_ns);

/* How long rows of the stream are kept; 0: for ever. */
int64_t retention_period_of(const struct store *st, const struct stream *s);
int64_t retention_shortest(const struct store *st); /* of the periods in force; 0: everything is kept */
/* Rows of the stream before this time are not shown; INT64_MIN: all are. `now`: clock_wall_ns(), read once a query. */
int64_t retention_shown_from(const struct store *st, const struct stream *s, int64_t now_wall_ns);
/* Rows of the stream before this time may be removed; INT64_MIN: none. Any thread. */
int64_t retention_kept_from(const struct store *st, const struct stream *s);
/* Looks at the clocks. The merger's thread. */
void retention_tick(struct store *st);
enum retention_verdict { RETENTION_KEEP, RETENTION_DROP, RETENTION_REWRITE };
enum retention_verdict retention_judge(const struct store *st, const struct part *p);

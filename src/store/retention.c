/* retention.c - see retention.h. */
#include "store/retention.h"
#include "base/clock.h"
#include "store/store_int.h"

#define DAY_NS (86400 * NS_PER_S)
/* Readings of the two clocks are never of one instant, and wall clocks are slewed: less is no jump. */
#define JUMP_NS (NS_PER_S)

void steady_clock_init(struct steady_clock *c)
{
    *c = (struct steady_clock){0};
    atomic_init(&c->trusted_off, INT64_MIN);
}

void steady_clock_tick(struct steady_clock *c, int64_t wall_ns, int64_t mono_ns, int64_t hold_ns)
{
    int64_t off = wall_ns - mono_ns, trusted = atomic_load(&c->trusted_off);
    if (!c->started || off > c->off + JUMP_NS || off < c->off - JUMP_NS)
        c->since_mono_ns = mono_ns;
    c->off = off;
    c->started = true;
    if (mono_ns - c->since_mono_ns >= hold_ns || (trusted != INT64_MIN && off < trusted))
        atomic_store(&c->trusted_off, off);
}

bool steady_clock_now(const struct steady_clock *c, int64_t mono_ns, int64_t *ret_wall_ns)
{
    int64_t off = atomic_load(&c->trusted_off);
    if (off != INT64_MIN)
        *ret_wall_ns = mono_ns + off;
    return off != INT64_MIN;
}

int64_t retention_period_of(const struct store *st, const struct stream *s)
{
    return limits_retention(st->limits, tenant_name(s->tenant), s->labels);
}

int64_t retention_shortest(const struct store *st)
{
    return limits_shortest_retention(st->limits);
}

static int64_t before(const struct store *st, const struct stream *s, int64_t now)
{
    int64_t period = retention_period_of(st, s), from;
    return period <= 0 || __builtin_sub_overflow(now, period, &from) ? INT64_MIN : from;
}

int64_t retention_shown_from(const struct store *st, const struct stream *s, int64_t now_wall_ns)
{
    return before(st, s, now_wall_ns);
}

int64_t retention_kept_from(const struct store *st, const struct stream *s)
{
    int64_t now;
    return steady_clock_now(&st->steady, clock_mono_ns(), &now) ? before(st, s, now) : INT64_MIN;
}

/* Time of the newest row that is not in the future. */
static int64_t newest_row(struct store *st, int64_t now)
{
    int64_t newest = INT64_MIN;
    LOCK_SCOPED(&st->head.mu);
    for (size_t i = 0; i < st->parts.parts.n; i++)
        newest = MAX(newest, MIN(st->parts.parts.at[i]->max_ts, now));
    for (size_t i = 0; i < st->head.active.chunks.n; i++)
        newest = MAX(newest, MIN(st->head.active.chunks.at[i]->max_ts, now));
    return newest;
}

void retention_tick(struct store *st)
{
    int64_t now = clock_wall_ns(), hold = st->cfg->retention_delete_delay;
    if (!retention_shortest(st))
        return;
    if (newest_row(st, now) < now - DAY_NS)
        hold = MAX(hold, DAY_NS);
    steady_clock_tick(&st->steady, now, clock_mono_ns(), hold);
}

/* All of it past: drop. A quarter of its bytes in streams that are past, and others that stay for another day: write it again. Less is
 * left to merges; where all streams have one period, the part goes as a whole soon. */
enum retention_verdict retention_judge(const struct store *st, const struct part *p)
{
    uint64_t dead = 0, bytes = 0;
    bool live = false, lasting = false;
    int64_t now, shortest = retention_shortest(st);
    if (!shortest || !steady_clock_now(&st->steady, clock_mono_ns(), &now) || p->min_ts >= now - shortest)
        return RETENTION_KEEP;
    for (uint32_t i = 0; i < p->n_streams; i++) {
        const struct part_stream *ps = &p->streams[i];
        int64_t from = before(st, ps->st, now);
        bool past = ps->max_ts < from;
        bytes += ps->bytes + ps->rows;
        dead += past ? ps->bytes + ps->rows : 0;
        live |= !past;
        lasting |= from == INT64_MIN || ps->max_ts > from + DAY_NS;
    }
    if (!live)
        return RETENTION_DROP;
    return lasting && dead >= bytes / 4 && dead ? RETENTION_REWRITE : RETENTION_KEEP;
}

/* counters.c - see counters.h. */
#include "store/counters.h"

/* Two threads may both ask; they are given the same series. */
static struct metric *series(_Atomic(struct metric *) *at, struct metrics *m, const char *name, const char *help,
                             sv tenant, const char *reason)
{
    struct metric *x = atomic_load_explicit(at, memory_order_acquire);
    if (x)
        return x;
    SCOPED(mem_free) char *text = sv_dup(tenant);
    const char *who = text ? text : "";
    x = metrics_get(m, METRIC_COUNTER, name, help,
                    reason ? (const char *[]){"reason", reason, "tenant", who, NULL}
                           : (const char *[]){"tenant", who, NULL});
    atomic_store_explicit(at, x, memory_order_release);
    return x;
}

void counters_prepare(struct counters *c, struct metrics *m, sv tenant)
{
    series(&c->lines, m, "loki_distributor_lines_received_total", "Lines taken.", tenant, NULL);
    series(&c->bytes, m, "loki_distributor_bytes_received_total", "Bytes of lines and metadata taken.", tenant, NULL);
    series(&c->metadata_bytes, m, "loki_distributor_structured_metadata_bytes_received_total", "Bytes of metadata taken.",
           tenant, NULL);
}

void count_received(struct counters *c, uint64_t lines, uint64_t bytes, uint64_t metadata_bytes)
{
    metric_add(atomic_load_explicit(&c->lines, memory_order_acquire), (int64_t)lines);
    metric_add(atomic_load_explicit(&c->bytes, memory_order_acquire), (int64_t)bytes);
    metric_add(atomic_load_explicit(&c->metadata_bytes, memory_order_acquire), (int64_t)metadata_bytes);
}

void count_refused(struct counters *c, struct metrics *m, sv tenant, enum reject_reason why, uint64_t records, uint64_t bytes)
{
    const char *reason = reject_reason_name(why);
    metric_add(series(&c->refused[why], m, "loki_discarded_samples_total", "Log records refused by a limit or rule.", tenant,
                      reason),
               (int64_t)records);
    metric_add(series(&c->refused_bytes[why], m, "loki_discarded_bytes_total",
                      "Line bytes of log records refused by a limit or rule.", tenant, reason),
               (int64_t)bytes);
}

void count_rejects(struct counters *c, struct metrics *m, sv tenant, const struct rejects *r)
{
    for (int i = 0; r->total && i < REJECT_REASONS; i++)
        if (r->records[i])
            count_refused(c, m, tenant, i, r->records[i], r->bytes[i]);
}

void count_cut(struct metrics *m, sv tenant, uint64_t lines, uint64_t bytes)
{
    SCOPED(mem_free) char *who = sv_dup(tenant);
    const char *labels[] = {"reason", "line_too_long", "tenant", who ? who : "", NULL};
    metric_add(metrics_get(m, METRIC_COUNTER, "loki_mutated_samples_total", "Log records changed to fit a limit.", labels),
               (int64_t)lines);
    metric_add(metrics_get(m, METRIC_COUNTER, "loki_mutated_bytes_total", "Bytes cut from log records to fit a limit.", labels),
               (int64_t)bytes);
}

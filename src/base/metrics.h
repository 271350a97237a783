/* metrics.h - counters, gauges and histograms with labels, printed in the Prometheus text format.
 * A family is declared once with its name, help and label names; a series is one combination of label values. Getting a
 * series takes a lock: fetch it once and keep the pointer (it lives as long as the registry). Updating is one relaxed
 * atomic add, from any thread. */
#pragma once
#include "base/buf.h"
#include <stdatomic.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric { /* one series */
    _Atomic int64_t v;              /* counter, gauge */
    struct metric_histogram *histo; /* histogram: else NULL */
};
struct metrics; /* a registry */

struct metrics *metrics_new(void); /* NULL when out of memory */
void metrics_free(struct metrics *m);

/* The series of family `name` with these label values. `labels`: alternating names and values, NULL-terminated, e.g.
 * (const char *[]){"exporter", "otlphttp/logs", NULL}. Strings are copied, except `name` and `help`: literals.
 * The same call again gives the same series. When out of memory, or past 10,000 series of one family (a hostile label),
 * a shared series that nobody prints is returned: never NULL. */
struct metric *metrics_get(struct metrics *m, enum metric_kind kind, const char *name, const char *help,
                           const char *const *labels);
/* The same for a histogram; `bounds` ascending upper bounds (without +Inf), copied at the first call of a family. */
struct metric *metrics_histogram(struct metrics *m, const char *name, const char *help, const char *const *labels,
                                 const double *bounds, size_t n_bounds);

static inline void metric_add(struct metric *x, int64_t n)
{
    atomic_fetch_add_explicit(&x->v, n, memory_order_relaxed);
}
static inline void metric_set(struct metric *x, int64_t v)
{
    atomic_store_explicit(&x->v, v, memory_order_relaxed);
}
static inline int64_t metric_value(const struct metric *x)
{
    return atomic_load_explicit(&x->v, memory_order_relaxed);
}
void metric_observe(struct metric *x, double v);

/* Called before printing, to set gauges that are cheaper to compute then. Registered for the registry's life. */
void metrics_on_collect(struct metrics *m, void (*fn)(void *ctx), void *ctx);
void metrics_print(struct metrics *m, struct buf *out); /* Prometheus text format 0.0.4 */
/* process_cpu_seconds_total, process_resident_memory_bytes, process_start_time_seconds, process_open_fds. */
void metrics_add_process(struct metrics *m);

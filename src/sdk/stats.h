/* stats.h - what became of records, and saying so once in a while. Counting: any thread. Reporting: under the lock of its
 * owner. */
#pragma once
#include "base/def.h"
#include <stdatomic.h>
#include <weir/sdk.h>

enum drop_reason {
    DROP_QUEUE_FULL, DROP_RING_FULL, DROP_TOO_LARGE, DROP_NO_MEMORY, DROP_AFTER_SHUTDOWN, DROP_SHUTDOWN, DROP_EXPORT_FAILED,
    DROP_REJECTED, DROP_TORN,
    DROP_REASONS
};
#define DROP_REPORT_MAX 800
struct drop_counts {
    _Atomic uint64_t n[DROP_REASONS], exported;
    uint64_t reported[DROP_REASONS];
    int64_t next_report_ms; /* not before; 0: at once */
    char note[200];         /* the latest trouble of the exporter; empty: none since the last report */
};

static inline void drop_count(struct drop_counts *d, enum drop_reason why, uint64_t n)
{
    if (n)
        atomic_fetch_add_explicit(&d->n[why], n, memory_order_relaxed);
}
void drop_note(struct drop_counts *d, const char *message);
uint64_t drop_lost(const struct drop_counts *d); /* in all */
/* The text of a warning, when there is something new and the last one is long enough ago (now_ms INT64_MAX: in any case).
 * False: nothing to say. The caller logs it, without its lock: stderr may block. */
bool drop_report(struct drop_counts *d, int64_t now_ms, char out[DROP_REPORT_MAX]);
/* When drop_report() would have something to say; INT64_MAX: nothing. */
int64_t drop_report_at(const struct drop_counts *d);
void drop_add_stats(const struct drop_counts *d, weir_stats *s);

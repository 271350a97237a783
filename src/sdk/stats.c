/* stats.c - see stats.h. */
#include "sdk/stats.h"
#include <inttypes.h>
#include <stdio.h>

#define REPORT_EVERY_MS 30000

/* What a full queue, ring or disk can be given more of is named. */
static const char *const names[DROP_REASONS] = {
    [DROP_QUEUE_FULL] = "queue full (WEIR_SPOOL_MAX_BYTES; without a spool OTEL_BLRP_MAX_QUEUE_SIZE)",
    [DROP_RING_FULL] = "no room in the ring (WEIR_RING_BYTES)",
    [DROP_TOO_LARGE] = "larger than a quarter of the ring (WEIR_RING_BYTES)",
    [DROP_NO_MEMORY] = "no memory",
    [DROP_AFTER_SHUTDOWN] = "after shutdown",
    [DROP_SHUTDOWN] = "undelivered at shutdown",
    [DROP_EXPORT_FAILED] = "export failed",
    [DROP_REJECTED] = "rejected by the receiver",
    [DROP_TORN] = "damaged or never finished",
};

void drop_note(struct drop_counts *d, const char *message)
{
    snprintf(d->note, sizeof d->note, "%s", message);
}

uint64_t drop_lost(const struct drop_counts *d)
{
    uint64_t sum = 0;
    for (int i = 0; i < DROP_REASONS; i++)
        sum += atomic_load_explicit(&d->n[i], memory_order_relaxed);
    return sum;
}

static uint64_t unreported(const struct drop_counts *d)
{
    uint64_t sum = 0;
    for (int i = 0; i < DROP_REASONS; i++)
        sum += atomic_load_explicit(&d->n[i], memory_order_relaxed) - d->reported[i];
    return sum;
}

int64_t drop_report_at(const struct drop_counts *d)
{
    return unreported(d) || *d->note ? d->next_report_ms : INT64_MAX;
}

bool drop_report(struct drop_counts *d, int64_t now_ms, char out[DROP_REPORT_MAX])
{
    int64_t at = drop_report_at(d);
    if (at == INT64_MAX || now_ms < at)
        return false;
    uint64_t lost = unreported(d);
    size_t n = 0;
    if (lost)
        n = (size_t)snprintf(out, DROP_REPORT_MAX, "%" PRIu64 " log record%s dropped", lost, lost == 1 ? "" : "s");
    else
        n = (size_t)snprintf(out, DROP_REPORT_MAX, "trouble with sending log records");
    for (int i = 0; i < DROP_REASONS && n < DROP_REPORT_MAX; i++) {
        uint64_t now = d->n[i], fresh = now - d->reported[i];
        if (fresh)
            n += (size_t)snprintf(out + n, DROP_REPORT_MAX - n, ", %" PRIu64 " %s", fresh, names[i]);
        d->reported[i] = now;
    }
    if (*d->note && n < DROP_REPORT_MAX)
        snprintf(out + n, DROP_REPORT_MAX - n, ": %s", d->note);
    d->note[0] = 0;
    if (now_ms != INT64_MAX)
        d->next_report_ms = now_ms + REPORT_EVERY_MS;
    return true;
}

void drop_add_stats(const struct drop_counts *d, weir_stats *s)
{
    s->exported += d->exported;
    s->dropped_queue_full += d->n[DROP_QUEUE_FULL];
    s->dropped_ring_full += d->n[DROP_RING_FULL];
    s->dropped_too_large += d->n[DROP_TOO_LARGE];
    s->dropped_no_memory += d->n[DROP_NO_MEMORY];
    s->dropped_after_shutdown += d->n[DROP_AFTER_SHUTDOWN];
    s->dropped_at_shutdown += d->n[DROP_SHUTDOWN];
    s->dropped_export_failed += d->n[DROP_EXPORT_FAILED];
    s->dropped_rejected += d->n[DROP_REJECTED];
    s->torn += d->n[DROP_TORN];
}

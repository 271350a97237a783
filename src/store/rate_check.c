/* rate_check.c - how fast a tenant and its streams may push. Asked once per request, when its rows are made and nothing is logged.
 * A stream over its rate is refused with all it brings in the request, as Loki does where it shards streams (its default). That is
 * rare, so the request is then read a second time, without that stream; a record costs nothing for it otherwise. */
#include "store/ingest.h"
#include "store/rate.h"
#include <inttypes.h>
#include <stdlib.h>

bool rate_check_tenant(const struct ingest_request *rq, const struct ingest_result *r, int64_t now_mono_ns, struct err *e)
{
    double rate = rq->limits->ingestion_rate_mb * 1048576, burst = rq->limits->ingestion_burst_size_mb * 1048576;
    uint64_t bytes = r->line_bytes + r->metadata_bytes;
    if (!(rate > 0) || rate_take(tenant_rate(rq->tenant), now_mono_ns, rate, burst > 0 ? burst : rate * 1.5, bytes))
        return true;
    return err_set(e, ERR_LIMIT,
                   "Ingestion rate limit exceeded for user " SV_FMT " (limit: %.0f bytes/sec) while attempting to ingest '%" PRIu64
                   "' lines totaling '%" PRIu64 "' bytes, reduce log volume or contact your Loki administrator to see if the "
                   "limit can be increased",
                   SV_ARG(tenant_name(rq->tenant)), rate, r->n_rows, bytes);
}

static int by_stream(const void *a, const void *b)
{
    const struct over_rate *x = a, *y = b;
    return (x->st > y->st) - (x->st < y->st);
}

/* What each stream brings in all chunks. */
static size_t sum_up(const struct ingest_result *r, struct over_rate *at)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < r->chunks.n; i++)
        for (uint32_t k = 0; k < r->chunks.at[i]->n_streams; k++)
            at[n++] = (struct over_rate){r->chunks.at[i]->streams[k].st, r->chunks.at[i]->streams[k].bytes};
    if (r->chunks.n > 1)
        qsort(at, n, sizeof *at, by_stream);
    for (size_t i = 0; i < n; i++)
        if (kept && at[kept - 1].st == at[i].st)
            at[kept - 1].bytes += at[i].bytes;
        else
            at[kept++] = at[i];
    return kept;
}

bool rate_check_streams(struct ingest_request *rq, const struct ingest_result *r, int64_t now_mono_ns, struct err *e)
{
    double rate = (double)rq->limits->per_stream_rate_limit, burst = (double)rq->limits->per_stream_rate_limit_burst;
    size_t n = 0, over = 0;
    if (!(rate > 0))
        return true;
    for (size_t i = 0; i < r->chunks.n; i++)
        n += r->chunks.at[i]->n_streams;
    struct over_rate *at = malloc((n + 1) * sizeof *at);
    if (!at)
        return err_nomem(e);
    n = sum_up(r, at);
    for (size_t i = 0; i < n; i++)
        if (!rate_take(&at[i].st->rate_full_at, now_mono_ns, rate, burst > 0 ? burst : rate * 5, at[i].bytes))
            at[over++] = at[i];
    if (!over) {
        free(at);
        return true;
    }
    qsort(at, over, sizeof *at, by_stream);
    rq->over = at;
    rq->n_over = over;
    return true;
}

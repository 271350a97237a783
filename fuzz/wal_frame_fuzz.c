/* A log frame with any content, and what it holds read as a push request: nothing in the log may stop a start. */
#include "store/ingest.h"
#include "store/wal.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct wal_frame f;
    struct err e = {0};
    SCOPED(buf_done) struct buf body = {0};
    struct registry *reg;
    if (n >= 8 && (data[4] | data[5] << 8 | data[6] << 16) > 1 << 20)
        return 0; /* a large claim costs a large buffer: true, capped, and slow here */
    if (!wal_frame_read(sv_make(data, n), &body, &f, &e))
        return 0;
    struct ingest_request rq = {.bytes = f.payload, .loki = f.type == WAL_LOKI, .rules = f.rules, .refused = f.refused.at,
                                .n_refused = f.refused.n};
    struct ingest_result r = {0};
    if (!registry_new(1 << 30, &reg, &e))
        abort();
    if (registry_tenant(reg, f.tenant, &rq.tenant, &e) && ingest(&rq, &r, &e)) {
        uint64_t rows = 0;
        for (size_t i = 0; i < r.chunks.n; i++)
            rows += r.chunks.at[i]->n;
        if (rows != r.n_rows)
            abort();
        ingest_result_done(&r);
    }
    registry_free(reg);
    wal_frame_done(&f);
    return 0;
}

/* store_push_fuzz.c - any bytes pushed: refused exactly when otlp_check() refuses them, never with a row half made; and what the
 * store makes of them unchecked is what it makes of them checked. */
#include "otlp/walk.h"
#include "store/ingest.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct otlp_counts counts;
    struct err e = {0};
    struct registry *reg;
    struct ingest_result checked = {0}, unchecked = {0};
    struct ingest_request rq = {.bytes = sv_make(data, n), .arrived_wall_ns = 1, .check = true, .rules = RULE_SERVICE_NAME | RULE_LEVELS};
    uint64_t count;
    if (!registry_new(1 << 30, &reg, &e) || !registry_tenant(reg, SV("t"), &rq.tenant, &e))
        abort();
    bool ok = otlp_check(rq.bytes, NULL, &counts, &e);
    bool taken = ingest_count(&rq, UINT64_MAX - 1, &count, &e) && ingest(&rq, &checked, &e);
    if (ok != taken)
        abort();
    rq.check = false;
    if (ok && (!ingest(&rq, &unchecked, &e) || checked.n_rows != unchecked.n_rows || checked.line_bytes != unchecked.line_bytes ||
               checked.metadata_bytes != unchecked.metadata_bytes || checked.n_records != counts.records || count != counts.records))
        abort();
    ingest_result_done(&checked);
    ingest_result_done(&unchecked);
    registry_free(reg);
    return 0;
}

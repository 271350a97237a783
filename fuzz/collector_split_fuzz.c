/* collector_split_fuzz.c - any bytes cut at records. Of a checked request the pieces are requests again, each of as many
 * records as it was to have, and together they hold the records of the whole, in order. */
#include "collector/split.h"
#include "otlp/walk.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each record's bytes with its resource and scope: what a record must not lose by the cut. */
static void put_records(sv request, struct buf *out)
{
    struct otlp_resource_logs rl;
    struct otlp_scope_logs sl;
    struct otlp_record r;
    for (struct otlp_iter i = otlp_resources(request); otlp_next_resource(&i, &rl);)
        for (struct otlp_iter j = otlp_scopes(&rl); otlp_next_scope(&j, &sl);)
            for (struct otlp_iter k = otlp_records(&sl); otlp_next_record(&k, &r);) {
                const sv parts[] = {rl.resource, rl.schema_url, sl.scope, sl.schema_url, r.raw};
                for (size_t p = 0; p < ARRAY_LEN(parts); p++) {
                    buf_u64(out, parts[p].n);
                    buf_sv(out, parts[p]);
                }
            }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(buf_done) struct buf piece = {0}, all = {0}, again = {0};
    struct otlp_counts whole, part;
    struct split sp = {0};
    sv request = sv_make(data, size);
    uint64_t per_piece = 1 + size % 3, given, total = 0;
    bool checked = otlp_check(request, NULL, &whole, NULL);
    split_start(&sp, request);
    do {
        buf_reset(&piece);
        given = split_take(&sp, per_piece, &piece);
        total += given;
        ASSERT(!piece.failed && given <= per_piece && (given || !piece.n));
        if (!checked)
            continue;
        bool ok = otlp_check(buf_view(&piece), NULL, &part, NULL);
        ASSERT(ok && part.records == given);
        put_records(buf_view(&piece), &again);
    } while (given);
    split_done(&sp);
    if (checked) {
        put_records(request, &all);
        ASSERT(total == whole.records && sv_eq(buf_view(&all), buf_view(&again)));
    }
    return 0;
}

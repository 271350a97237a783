/* otlp_walk_fuzz.c - any bytes through the check and all walkers; and what the check promises: it counts as many records as
 * the walkers find, and two checked requests joined are one. */
#include "base/buf.h"
#include "otlp/walk.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t walk_all(sv request, struct buf *text)
{
    struct otlp_resource_logs rl;
    struct otlp_scope_logs sl;
    struct otlp_scope scope;
    struct otlp_record r;
    struct otlp_attr a;
    uint32_t n = 0;
    for (struct otlp_iter i = otlp_resources(request); otlp_next_resource(&i, &rl);) {
        (void)otlp_resource_dropped(rl.resource);
        for (struct otlp_iter j = otlp_scopes(&rl); otlp_next_scope(&j, &sl);) {
            otlp_read_scope(sl.scope, &scope);
            for (struct otlp_iter k = otlp_records(&sl); otlp_next_record(&k, &r); n++) {
                buf_reset(text);
                otlp_value_text(r.body, OTLP_TEXT_SORT_KEYS | OTLP_TEXT_HTML, text);
                for (struct otlp_attr_iter l = otlp_attrs(r.raw, OTLP_RECORD_ATTRS); otlp_next_attr(&l, &a);)
                    otlp_value_text(a.value, 0, text);
            }
        }
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(buf_done) struct buf text = buf_capped(1 << 20), twice = {0};
    struct otlp_counts one, two;
    struct err e = {0};
    sv request = sv_make(data, size);
    bool ok = otlp_check(request, NULL, &one, &e);
    uint32_t n = walk_all(request, &text);
    if (!ok) {
        ASSERT(e.code != ERR_NONE && *e.msg && e.pos <= size);
        return 0;
    }
    ASSERT(n == one.records);
    buf_sv(&twice, request);
    buf_sv(&twice, request);
    ok = otlp_check(buf_view(&twice), NULL, &two, NULL);
    ASSERT(ok && two.records == 2 * one.records && two.bad_ids == 2 * one.bad_ids);
    return 0;
}

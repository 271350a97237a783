/* otlp_bench.c - what a record costs: checking a request, walking it with all attributes, and emitting one through the SDK.
 * Prints nanoseconds per record, the best of several rounds. */
#include "base/clock.h"
#include "otlp/walk.h"
#include "otlp/write.h"
#include <stdio.h>
#include <weir/weir.h>

enum { RECORDS = 10000, ATTRS = 5, ROUNDS = 20 };

static void put_request(struct buf *out)
{
    size_t rl = otlp_open(out, 1), res = otlp_open(out, 1);
    otlp_put_attr_str(out, 1, SV("service.name"), SV("bench"));
    otlp_close(out, res);
    size_t sl = otlp_open(out, 2);
    for (int i = 0; i < RECORDS; i++) {
        size_t lr = otlp_open(out, 2);
        otlp_put_fixed64(out, 1, 1700000000000000000u + (uint64_t)i);
        otlp_put_varint(out, 2, 9);
        otlp_put_bytes(out, 3, SV("INFO"));
        size_t body = otlp_open(out, 5);
        otlp_put_bytes(out, 1, SV("10.0.3.17 - ann \"GET /api/plants/17 HTTP/1.1\" 200 512 0.012 a line of the usual length, more or less"));
        otlp_close(out, body);
        otlp_put_attr_str(out, 6, SV("http.request.method"), SV("GET"));
        otlp_put_attr_i64(out, 6, SV("http.response.status_code"), 200);
        otlp_put_attr_str(out, 6, SV("code.file.path"), SV("src/shop/plants.c"));
        otlp_put_attr_i64(out, 6, SV("code.line.number"), 123);
        otlp_put_attr_str(out, 6, SV("user.name"), SV("ann"));
        otlp_put_bytes(out, 9, SV("0123456789abcdef"));
        otlp_put_bytes(out, 10, SV("01234567"));
        otlp_put_fixed64(out, 11, 1700000000000000000u);
        otlp_close(out, lr);
    }
    otlp_close(out, sl);
    otlp_close(out, rl);
}

static uint64_t walk(sv request)
{
    struct otlp_resource_logs rl;
    struct otlp_scope_logs sl;
    struct otlp_record r;
    struct otlp_attr a;
    uint64_t sum = 0;
    for (struct otlp_iter i = otlp_resources(request); otlp_next_resource(&i, &rl);)
        for (struct otlp_iter j = otlp_scopes(&rl); otlp_next_scope(&j, &sl);)
            for (struct otlp_iter k = otlp_records(&sl); otlp_next_record(&k, &r); sum += otlp_read_value(r.body).text.n)
                for (struct otlp_attr_iter l = otlp_attrs(r.raw, OTLP_RECORD_ATTRS); otlp_next_attr(&l, &a);)
                    sum += (uint64_t)otlp_read_value(a.value).kind + a.key.n;
    return sum;
}

static void swallow(void *self, const weir_batch *batch, int64_t timeout_ms, weir_export_result *ret)
{
    *(size_t *)self += weir_batch_size(batch);
}

static int64_t emit_round(weir_logger *lg)
{
    int64_t start = clock_mono_ns();
    for (int i = 0; i < RECORDS; i++)
        weir_info(lg, "a line of the usual length, more or less, without holes", weir_str("user.name", "ann"), weir_i64("ms", i),
                  weir_f64("ratio", 0.5));
    return clock_mono_ns() - start;
}

int main(void)
{
    struct buf b = {0};
    struct otlp_counts counts;
    struct err e = {0};
    int64_t check_ns = INT64_MAX, walk_ns = INT64_MAX, emit_ns = INT64_MAX;
    uint64_t sum = 0;
    size_t exported = 0;
    put_request(&b);
    weir_exporter_ops ops = {.struct_size = sizeof ops, .export_logs = swallow};
    weir_batch_options bo = weir_batch_options_init();
    bo.max_queue_size = 2 * RECORDS;
    bo.schedule_delay_ms = 60000;
    bo.max_export_batch_size = 2 * RECORDS;
    weir_processor *bp = weir_batch_processor_new(weir_exporter_new(&ops, &exported), &bo, NULL);
    weir_provider *p = weir_provider_new(NULL, &bp, 1, NULL);
    weir_logger *lg = weir_provider_logger(p, "bench", NULL, NULL, NULL, 0);
    for (int i = 0; i < ROUNDS; i++) {
        int64_t start = clock_mono_ns();
        if (!otlp_check(buf_view(&b), NULL, &counts, &e))
            return 1;
        int64_t checked = clock_mono_ns();
        sum += walk(buf_view(&b));
        int64_t walked = clock_mono_ns();
        check_ns = MIN(check_ns, checked - start);
        walk_ns = MIN(walk_ns, walked - checked);
        emit_ns = MIN(emit_ns, emit_round(lg));
        weir_provider_force_flush(p, 10000);
    }
    weir_provider_free(p);
    printf("%zu bytes per record, %d attributes (%llu)\n", b.n / RECORDS, ATTRS, (unsigned long long)sum % 10);
    printf("otlp_check  %6.1f ns per record\n", (double)check_ns / RECORDS);
    printf("otlp walk   %6.1f ns per record\n", (double)walk_ns / RECORDS);
    printf("sdk emit    %6.1f ns per record, 3 attributes and code.*, batch processor (%s)\n", (double)emit_ns / RECORDS,
           exported == (size_t)ROUNDS * RECORDS ? "none lost" : "RECORDS LOST");
    buf_done(&b);
    return exported != (size_t)ROUNDS * RECORDS;
}

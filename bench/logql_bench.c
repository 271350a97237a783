/* logql_bench.c - rows per second of LogQL stages, on one thread, over rows that are in memory.
 * usage: logql_bench [rows]. Prints query, rows per second and nanoseconds per row. */
#include "base/clock.h"
#include "logql/rows.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 1024, STREAMS = 50 };

struct rows {
    size_t n, next;
    struct stream_info streams[STREAMS];
    struct label labels[STREAMS][3], metadata[3];
    struct labels no_labels, some_metadata;
    char names[STREAMS][16];
    sv lines[3][64];
    int format; /* of lines: 0 text, 1 JSON, 2 logfmt */
    int64_t ts[BATCH];
    const struct stream_info *stream[BATCH];
    uint32_t line_bytes[BATCH];
    sv line[BATCH];
    struct labels meta[BATCH];
};

static void rows_make(struct rows *r)
{
    static char text[3][64][300];
    for (int i = 0; i < STREAMS; i++) {
        snprintf(r->names[i], sizeof r->names[i], "service-%02d", i);
        r->labels[i][0] = (struct label){SV("env"), SV("prod")};
        r->labels[i][1] = (struct label){SV("level"), i % 5 ? SV("info") : SV("error")};
        r->labels[i][2] = (struct label){SV("service_name"), sv_of(r->names[i])};
        r->streams[i] = (struct stream_info){.labels = {r->labels[i], 3}};
        r->streams[i].hash = labels_hash(r->streams[i].labels);
    }
    r->metadata[0] = (struct label){SV("detected_level"), SV("info")};
    r->metadata[1] = (struct label){SV("trace_id"), SV("0af7651916cd43dd8448eb211c80319c")};
    r->some_metadata = (struct labels){r->metadata, 2};
    for (int i = 0; i < 64; i++) {
        int status = i % 8 ? 200 : 500, ms = i * 7 % 400;
        snprintf(text[0][i], 300, "GET /api/v1/orders/%d HTTP/1.1 %d %dms upstream=10.0.3.%d request completed%s", i * 7919,
                 status, ms, i, i % 16 ? "" : " with an error from the payment gateway");
        snprintf(text[1][i], 300,
                 "{\"ts\":\"2026-01-02T03:04:05.%03dZ\",\"level\":\"info\",\"msg\":\"request completed\",\"method\":\"GET\",\"path\":"
                 "\"/api/v1/orders/%d\",\"status\":%d,\"duration_ms\":%d,\"user\":{\"id\":%d,\"tier\":\"gold\"}}",
                 i, i * 7919, status, ms, i);
        snprintf(text[2][i], 300,
                 "ts=2026-01-02T03:04:05.%03dZ level=info msg=\"request completed\" method=GET path=/api/v1/orders/%d status=%d "
                 "duration=%dms queue=q%d",
                 i, i * 7919, status, ms, i % 4);
        for (int f = 0; f < 3; f++)
            r->lines[f][i] = sv_of(text[f][i]);
    }
}

static bool rows_open(void *ctx, const struct scan_request *req, void **ret, struct err *e)
{
    (void)req, (void)e;
    ((struct rows *)ctx)->next = 0;
    *ret = ctx;
    return true;
}

static int rows_next(void *scan, struct scan_batch *ret, struct err *e)
{
    struct rows *r = scan;
    size_t n = MIN((size_t)BATCH, r->n - r->next);
    (void)e;
    for (size_t i = 0; i < n; i++) {
        size_t row = r->next + i;
        r->ts[i] = (int64_t)row * 1000000;
        r->stream[i] = &r->streams[row / 16 % STREAMS];
        r->line[i] = r->lines[r->format][row % 64];
        r->line_bytes[i] = (uint32_t)r->line[i].n;
        r->meta[i] = r->some_metadata;
    }
    r->next += n;
    *ret = (struct scan_batch){n, r->ts, r->stream, r->line_bytes, r->line, r->meta};
    return n > 0;
}

static void rows_stats(const void *scan, struct scan_stats *ret)
{
    (void)scan, (void)ret;
}

static void rows_close(void *scan)
{
    (void)scan;
}

static void measure(struct rows *r, int format, const char *query)
{
    struct row_source source = {rows_open, rows_next, rows_stats, rows_close, r};
    struct logql_params p = {.end_ns = (int64_t)r->n * 1000000, .step_ns = 60 * NS_PER_S, .limit = 1000, .max_series = 100000};
    struct arena a;
    struct logql_expr *x = NULL;
    struct logql_result res;
    struct err e = {0};
    arena_init(&a, 0);
    r->format = format;
    int64_t began = clock_mono_ns();
    if (!logql_parse(sv_of(query), &a, &x, &e) || !logql_run_rows(&source, x, &p, &a, &res, &e)) {
        printf("%s: %s\n", query, e.msg);
    } else {
        double s = (double)(clock_mono_ns() - began) / 1e9;
        printf("%8.2f M rows/s %7.1f ns  %s\n", (double)r->n / s / 1e6, s * 1e9 / (double)r->n, query);
    }
    logql_free(x);
    arena_done(&a);
}

int main(int argc, char **argv)
{
    static struct rows r;
    r.n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    rows_make(&r);
    measure(&r, 0, "sum(count_over_time({env=\"prod\"}[1m]))");
    measure(&r, 0, "sum by (service_name) (count_over_time({env=\"prod\"}[1m]))");
    measure(&r, 0, "sum by (detected_level) (rate({env=\"prod\"}[1m]))");
    measure(&r, 0, "count_over_time({env=\"prod\"}[1m])");
    measure(&r, 0, "sum by (service_name) (count_over_time({env=\"prod\"} |= \"error\" [1m]))");
    measure(&r, 0, "sum(count_over_time({env=\"prod\"} |~ \"orders/[0-9]+ .* 500 \" [1m]))");
    measure(&r, 0, "sum(count_over_time({env=\"prod\"} |~ \"error|timeout|refused\" [1m]))");
    measure(&r, 0, "{env=\"prod\"} |= \"zzqq\"");
    measure(&r, 1, "sum(count_over_time({env=\"prod\"} | json | status >= 500 [1m]))");
    measure(&r, 1, "{env=\"prod\"} | json | status >= 600");
    measure(&r, 1, "sum by (user_tier) (count_over_time({env=\"prod\"} | json user_tier=\"user.tier\" [1m]))");
    measure(&r, 2, "quantile_over_time(0.99, {env=\"prod\"} | logfmt | unwrap duration(duration) [1m]) by (queue)");
    measure(&r, 2, "{env=\"prod\"} | logfmt | status >= 600");
    measure(&r, 2, "sum by (x) (count_over_time({env=\"prod\"} | logfmt | label_format x=`{{.method | lower}}` [1m]))");
    measure(&r, 0, "sum(count_over_time({env=\"prod\"} | pattern \"<m> <path> <_> <status> <_>\" | status=\"500\" [1m]))");
    return 0;
}

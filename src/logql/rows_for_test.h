/* rows_for_test.h - a fixed set of rows as a row source: for the tests, the fuzz target and the benchmark of this module.
 * It filters by matchers and time and knows both directions; it ignores line filters, as a scan may. */
#pragma once
#include "logql/rows.h"
#include <stdio.h>
#include <stdlib.h>

struct test_row {
    const char *stream; /* "app=a,env=p": sorted */
    int64_t ts;
    const char *line, *metadata;
};
struct test_rows {
    const struct test_row *at;
    size_t n;
    struct scan_request last; /* what was asked; views of the caller */
    int64_t batches_before_cancel;
    _Atomic bool *cancel;
};
struct test_scan {
    struct test_rows *rows;
    struct scan_request req;
    struct arena a; /* streams and metadata */
    struct stream_info **info;
    size_t next; /* rows seen */
    uint64_t returned;
    int64_t ts[4];
    const struct stream_info *stream[4];
    uint32_t line_bytes[4];
    sv line[4];
    struct labels metadata[4];
};

static struct labels test_labels(struct arena *a, const char *text)
{
    struct label *at = arena_alloc(a, 16 * sizeof *at);
    size_t n = 0;
    for (sv rest = sv_of(text ? text : ""); rest.n && n < 16; n++) {
        sv pair = sv_cut(&rest, ',');
        at[n].name = sv_cut(&pair, '=');
        at[n].value = pair;
    }
    return (struct labels){at, n};
}

static bool test_rows_open(void *ctx, const struct scan_request *req, void **ret, struct err *e)
{
    struct test_rows *rows = ctx;
    struct test_scan *sc = calloc(1, sizeof *sc);
    if (!sc)
        return err_nomem(e);
    sc->rows = rows;
    sc->req = rows->last = *req;
    arena_init(&sc->a, 0);
    sc->info = arena_array(&sc->a, rows->n + 1, sizeof(struct stream_info *));
    for (size_t i = 0; i < rows->n; i++)
        for (size_t j = 0; j <= i && !sc->info[i]; j++) {
            if (j < i && !strcmp(rows->at[j].stream, rows->at[i].stream))
                sc->info[i] = sc->info[j];
            else if (j == i) {
                sc->info[i] = ARENA_NEW(&sc->a, struct stream_info);
                sc->info[i]->labels = test_labels(&sc->a, rows->at[i].stream);
                sc->info[i]->hash = labels_hash(sc->info[i]->labels);
            }
        }
    *ret = sc;
    return true;
}

static int test_rows_next(void *scan, struct scan_batch *ret, struct err *e)
{
    struct test_scan *sc = scan;
    struct test_rows *rows = sc->rows;
    size_t n = 0;
    (void)e;
    if (rows->cancel && rows->batches_before_cancel-- == 0)
        atomic_store(rows->cancel, true);
    while (n < 4 && sc->next < rows->n) {
        size_t i = sc->req.backward ? rows->n - 1 - sc->next : sc->next;
        const struct test_row *row = &rows->at[i];
        sc->next++;
        if (row->ts < sc->req.start_ns || row->ts >= sc->req.end_ns ||
            !matchers_accept(sc->req.matchers, sc->req.n_matchers, sc->info[i]->labels))
            continue;
        sc->ts[n] = row->ts;
        sc->stream[n] = sc->info[i];
        sc->line[n] = sv_of(row->line);
        sc->line_bytes[n] = (uint32_t)strlen(row->line);
        sc->metadata[n++] = test_labels(&sc->a, row->metadata);
    }
    sc->returned += n;
    *ret = (struct scan_batch){.n = n,
                               .ts = sc->ts,
                               .stream = sc->stream,
                               .line_bytes = sc->line_bytes,
                               .line = sc->req.columns & SCAN_LINES ? sc->line : NULL,
                               .metadata = sc->req.columns & SCAN_METADATA ? sc->metadata : NULL};
    return n > 0;
}

static void test_rows_stats(const void *scan, struct scan_stats *ret)
{
    const struct test_scan *sc = scan;
    *ret = (struct scan_stats){.rows_returned = sc->returned, .streams = 1};
}

static void test_rows_close(void *scan)
{
    struct test_scan *sc = scan;
    arena_done(&sc->a);
    free(sc);
}

static inline struct row_source test_rows_source(struct test_rows *rows)
{
    return (struct row_source){test_rows_open, test_rows_next, test_rows_stats, test_rows_close, rows};
}

/* The result as text: a line for each stream or series, then its entries or samples. */
static inline void test_result_text(const struct logql_result *res, struct buf *out)
{
    static const char *const kinds[] = {"streams", "matrix", "vector", "scalar"};
    if (res->kind != LOGQL_STREAMS)
        buf_fmt(out, "%s\n", kinds[res->kind]);
    for (size_t i = 0; i < res->n_streams; i++) {
        labels_text(res->streams[i].labels, out);
        buf_char(out, '\n');
        for (size_t j = 0; j < res->streams[i].n; j++) {
            const struct logql_entry *en = &res->streams[i].entries[j];
            buf_fmt(out, " %lld ", (long long)(en->ts / 1000000000));
            buf_sv(out, en->line);
            if (en->metadata.n)
                labels_text(en->metadata, out);
            if (en->parsed.n) {
                buf_sv(out, SV(" + "));
                labels_text(en->parsed, out);
            }
            buf_char(out, '\n');
        }
    }
    for (size_t i = 0; i < res->n_series; i++) {
        labels_text(res->series[i].labels, out);
        for (size_t j = 0; j < res->series[i].n; j++)
            buf_fmt(out, " %lld:%.10g", (long long)(res->series[i].samples[j].ts_ns / 1000000000), res->series[i].samples[j].v);
        buf_char(out, '\n');
    }
}

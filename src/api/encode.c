/* encode.c - see encode.h. Envelope and stats; the shapes of streams are in encode_streams.c. */
#include "api/encode.h"
#include "api/encode_int.h"
#include "base/clock.h"
#include "base/json_out.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

void encode_labels(struct buf *out, struct labels l)
{
    buf_char(out, '{');
    for (size_t i = 0; i < l.n; i++) {
        if (i)
            buf_char(out, ',');
        json_put_string(out, l.at[i].name);
        buf_char(out, ':');
        json_put_string(out, l.at[i].value);
    }
    buf_char(out, '}');
}

void encode_strings(struct buf *out, const sv *items, size_t n)
{
    buf_sv(out, SV("{\"status\":\"success\""));
    if (n)
        buf_sv(out, SV(",\"data\":["));
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_char(out, ',');
        json_put_string(out, items[i]);
    }
    buf_sv(out, n ? SV("]}\n") : SV("}\n"));
}

/* "1.5e-7", "1e+21" → digits, written out without the exponent. */
static void put_without_exponent(struct buf *out, sv text)
{
    char digits[40];
    size_t n = 0, e = sv_find_char(text, 'e');
    int64_t point = -1, exponent = 0;
    for (size_t i = 0; i < e && n < sizeof digits; i++) {
        if (text.p[i] == '.')
            point = (int64_t)n;
        else
            digits[n++] = text.p[i];
    }
    ASSERT(sv_to_i64(sv_from(text, e + 1), &exponent));
    point = (point < 0 ? (int64_t)n : point) + exponent; /* digits in front of the decimal point */
    if (point <= 0)
        buf_sv(out, SV("0."));
    for (int64_t i = point; i < 0; i++)
        buf_char(out, '0');
    for (int64_t i = 0; i < (int64_t)n; i++) {
        if (i == point && i > 0)
            buf_char(out, '.');
        buf_char(out, digits[i]);
    }
    for (int64_t i = (int64_t)n; i < point; i++)
        buf_char(out, '0');
}

void encode_sample_value(struct buf *out, double v)
{
    char text[32];
    buf_char(out, '"');
    if (isnan(v)) {
        buf_sv(out, SV("NaN"));
    } else if (isinf(v)) {
        buf_sv(out, v > 0 ? SV("+Inf") : SV("-Inf"));
    } else {
        if (signbit(v))
            buf_char(out, '-');
        sv digits = {text, double_to_text(fabs(v), text)};
        if (sv_find_char(digits, 'e') == SV_NPOS)
            buf_sv(out, digits);
        else
            put_without_exponent(out, digits);
    }
    buf_char(out, '"');
}

void encode_seconds(struct buf *out, int64_t ns)
{
    int64_t ms = ns / NS_PER_MS;
    if (ns % NS_PER_MS < 0)
        ms--;
    uint64_t abs = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    if (ms < 0)
        buf_char(out, '-');
    buf_u64(out, abs / 1000);
    unsigned part = (unsigned)(abs % 1000);
    if (part) {
        char text[8];
        int n = snprintf(text, sizeof text, ".%03u", part);
        while (text[n - 1] == '0')
            n--;
        buf_put(out, text, (size_t)n);
    }
}

bool encode_has_flag(sv flags, sv flag)
{
    while (flags.n)
        if (sv_eq(sv_cut(&flags, ','), flag))
            return true;
    return false;
}

/* ---- matrix, vector, scalar ---- */

static void put_point(struct buf *out, const struct logql_sample *s)
{
    buf_char(out, '[');
    encode_seconds(out, s->ts_ns);
    buf_char(out, ',');
    encode_sample_value(out, s->v);
    buf_char(out, ']');
}

static void put_series(struct buf *out, const struct logql_series *s, bool matrix)
{
    buf_sv(out, SV("{\"metric\":"));
    encode_labels(out, s->labels);
    buf_sv(out, matrix ? SV(",\"values\":[") : SV(",\"value\":"));
    for (size_t i = 0; i < s->n && (matrix || i == 0); i++) {
        if (i)
            buf_char(out, ',');
        put_point(out, &s->samples[i]);
    }
    buf_sv(out, matrix ? SV("]}") : SV("}"));
}

static void put_metric_result(struct buf *out, const struct logql_result *r)
{
    if (r->kind == LOGQL_SCALAR) {
        const struct logql_sample none = {0};
        put_point(out, r->n_series && r->series->n ? r->series->samples : &none);
        return;
    }
    buf_char(out, '[');
    bool first = true;
    for (size_t i = 0; i < r->n_series; i++) {
        if (!r->series[i].n)
            continue;
        if (!first)
            buf_char(out, ',');
        first = false;
        put_series(out, &r->series[i], r->kind == LOGQL_MATRIX);
    }
    buf_char(out, ']');
}

/* ---- stats ---- */

struct stats_member {
    const char *name;
    uint64_t v;
};
static void put_members(struct buf *out, const struct stats_member *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_fmt(out, "%s\"%s\":%" PRIu64, i ? "," : "", m[i].name, m[i].v);
}
#define PUT_MEMBERS(out, ...)                                                                                     \
    put_members(out, (const struct stats_member[]){__VA_ARGS__},                                                  \
                sizeof((const struct stats_member[]){__VA_ARGS__}) / sizeof(struct stats_member))

/* Rows of the head are told as the ingester's, rows of parts as the store's. */
static void put_store(struct buf *out, const struct scan_stats *s, bool head, uint64_t post_filter)
{
    uint64_t rows = head ? s->head_rows : s->rows_considered - MIN(s->head_rows, s->rows_considered);
    uint64_t bytes = head ? s->head_bytes : s->bytes_considered - MIN(s->head_bytes, s->bytes_considered);
    buf_char(out, '{');
    PUT_MEMBERS(out, {"totalChunksRef", head ? 0 : s->blocks_total}, {"totalChunksDownloaded", head ? 0 : s->blocks_decoded},
                {"chunksDownloadTime", 0});
    buf_fmt(out, ",\"queryReferencedStructuredMetadata\":%s,\"chunk\":{", s->metadata_bytes ? "true" : "false");
    PUT_MEMBERS(out, {"headChunkBytes", head ? bytes : 0}, {"headChunkLines", head ? rows : 0},
                {"decompressedBytes", head ? 0 : bytes}, {"decompressedLines", head ? 0 : rows},
                {"compressedBytes", head ? 0 : s->bytes_stored_read}, {"totalDuplicates", head ? 0 : s->duplicates},
                {"postFilterLines", head ? 0 : post_filter}, {"headChunkStructuredMetadataBytes", 0},
                {"decompressedStructuredMetadataBytes", head ? 0 : s->metadata_bytes});
    buf_sv(out, SV("},"));
    PUT_MEMBERS(out, {"chunkRefsFetchTime", 0}, {"congestionControlLatency", 0}, {"pipelineWrapperFilteredLines", 0});
    buf_char(out, '}');
}

static uint64_t entries_of(const struct logql_result *r)
{
    uint64_t n = r->n_series;
    if (r->kind == LOGQL_STREAMS)
        for (size_t i = n = 0; i < r->n_streams; i++)
            n += r->streams[i].n;
    return n;
}

static uint64_t per_second(uint64_t n, double seconds)
{
    double rate = seconds > 0 ? (double)n / seconds : 0;
    return rate < 9e18 ? (uint64_t)rate : 0;
}

static void put_stats(struct buf *out, const struct logql_result *r, const struct encode_opts *o)
{
    const struct scan_stats *s = &r->stats;
    static const char *const caches[] = {"chunk",        "index",        "result",      "statsResult",
                                         "volumeResult", "seriesResult", "labelResult", "instantMetricResult"};
    buf_sv(out, SV("{\"summary\":{"));
    PUT_MEMBERS(out, {"bytesProcessedPerSecond", per_second(s->bytes_considered, r->exec_s)},
                {"linesProcessedPerSecond", per_second(s->rows_considered, r->exec_s)},
                {"totalBytesProcessed", s->bytes_considered}, {"totalLinesProcessed", s->rows_considered});
    buf_sv(out, SV(",\"execTime\":"));
    json_put_double(out, r->exec_s);
    buf_sv(out, SV(",\"queueTime\":"));
    json_put_double(out, o->queue_s);
    buf_char(out, ',');
    PUT_MEMBERS(out, {"subqueries", 0}, {"totalEntriesReturned", entries_of(r)}, {"splits", 0}, {"shards", 0},
                {"totalPostFilterLines", r->lines_after_filter},
                {"totalStructuredMetadataBytesProcessed", s->metadata_bytes});
    buf_sv(out, SV("},\"querier\":{\"store\":"));
    put_store(out, s, false, r->lines_after_filter);
    buf_sv(out, SV("},\"ingester\":{"));
    PUT_MEMBERS(out, {"totalReached", 1}, {"totalChunksMatched", 0}, {"totalBatches", 0}, {"totalLinesSent", 0});
    buf_sv(out, SV(",\"store\":"));
    put_store(out, s, true, 0);
    buf_sv(out, SV("},\"cache\":{"));
    for (size_t i = 0; i < ARRAY_LEN(caches); i++) {
        buf_fmt(out, "%s\"%s\":{", i ? "," : "", caches[i]);
        PUT_MEMBERS(out, {"entriesFound", 0}, {"entriesRequested", 0}, {"entriesStored", 0}, {"bytesReceived", 0},
                    {"bytesSent", 0}, {"requests", 0}, {"downloadTime", 0}, {"queryLengthServed", 0});
        buf_char(out, '}');
    }
    buf_sv(out, SV("},\"index\":{"));
    PUT_MEMBERS(out, {"totalChunks", s->blocks_total},
                {"postFilterChunks", s->blocks_total - MIN(s->blocks_total, s->blocks_pruned_filter + s->blocks_pruned_content)},
                {"shardsDuration", 0});
    buf_fmt(out, ",\"usedBloomFilters\":%s},\"weir\":{", s->blocks_pruned_filter + s->blocks_pruned_content ? "true" : "false");
    PUT_MEMBERS(out, {"streams", s->streams}, {"streamsReturned", s->streams_returned}, {"parts", s->parts},
                {"headChunks", s->head_chunks}, {"blocks", s->blocks_total}, {"blocksOutsideTime", s->blocks_pruned_time},
                {"blocksWithoutStreams", s->blocks_pruned_stream}, {"blocksWithoutContent", s->blocks_pruned_content},
                {"blocksOpened", s->blocks_decoded},
                {"blocksFilteredOut", s->blocks_pruned_filter}, {"blocksLinesRead", s->blocks_lines},
                {"blocksMetadataRead", s->blocks_metadata}, {"blocksDamaged", s->blocks_damaged},
                {"rowsConsidered", s->rows_considered}, {"bytesConsidered", s->bytes_considered},
                {"rowsGiven", s->rows_returned}, {"rowsCopies", s->duplicates}, {"bytesRead", s->bytes_stored_read},
                {"bytesDecoded", s->bytes_decoded}, {"metadataBytes", s->metadata_bytes}, {"rowsAfterPipeline", r->lines_after_filter});
    buf_sv(out, SV("}}"));
}

/* ---- the envelope ---- */

static void put_flags(struct buf *out, sv flags)
{
    buf_sv(out, SV(",\"encodingFlags\":["));
    for (bool first = true; flags.n; first = false) {
        if (!first)
            buf_char(out, ',');
        json_put_string(out, sv_cut(&flags, ','));
    }
    buf_char(out, ']');
}

bool encode_query(const struct logql_result *r, const struct encode_opts *o, struct arena *a, struct buf *out,
                  struct err *e)
{
    static const char *const types[] = {[LOGQL_STREAMS] = "streams", [LOGQL_MATRIX] = "matrix", [LOGQL_VECTOR] = "vector",
                                        [LOGQL_SCALAR] = "scalar"};
    buf_fmt(out, "{\"status\":\"success\",\"data\":{\"resultType\":\"%s\"", types[r->kind]);
    if (r->kind == LOGQL_STREAMS && o->flags.n)
        put_flags(out, o->flags); /* before the result: streaming readers must know first */
    buf_sv(out, SV(",\"result\":"));
    if (r->kind != LOGQL_STREAMS)
        put_metric_result(out, r);
    else if (!encode_streams(r, o, a, out, e))
        return false;
    buf_sv(out, SV(",\"stats\":"));
    put_stats(out, r, o);
    buf_sv(out, SV("}}\n"));
    return buf_ok(out, e);
}

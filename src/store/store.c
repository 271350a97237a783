/* store.c - see store.h: settings, opening, pushing. docs/store.md has the whole picture.
 * A push: rows are made from the request (the caller's thread), the request goes into the log, and on the committer's thread,
 * behind the sync, the rows join the head and the caller hears PUSH_SENT.
 * (1) Everything that can fail comes before the log: limits, memory for the rows, places in the head.
 * (2) Frames reach the head in the log's order, so "below this sequence" means the same in head, parts and catalog. */
#include "store/store_int.h"
#include "store/page_cache.h"
#include "base/clock.h"
#include "base/io.h"
#include "store/ingest.h"
#include "store/wal.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define O(kind, field, text, help) OPT(kind, struct store_config, field, text, help)
const struct option store_options[] = {
    OPT_ARG(STR, struct store_config, data_dir, "./weir-data", "DIR", "where logs are kept"),
    OPT_ARG(STR, struct store_config, durability, "always", "MODE",
            "when a push is answered: always (after fsync), interval=100ms (fsync at that pace), off (never waits)"),
    O(BYTES, head_max_bytes, "64MiB", "line bytes in memory that are written to a part"),
    O(U64, head_max_rows, "200000", "rows in memory that are written to a part; they bound how long a start takes"),
    O(DURATION, head_max_age, "5m", "age of rows in memory that are written to a part"),
    O(U64, flush_compression, "1", "zstd level of parts written from memory"),
    O(BOOL, merge, "true", "parts of a day are merged in the background"),
    O(U64, merge_compression, "3", "zstd level of merged parts"),
    O(U64, merge_final_compression, "6", "zstd level of merged parts that are likely not merged again"),
    O(BYTES, merge_max_bytes, "4GiB", "line bytes of a merged part, about"),
    O(BYTES, merge_max_memory, "128MiB", "memory for the rows of a merge; where it is too little, fewer parts are merged at once"),
    O(BYTES, merge_max_rate, "0", "bytes a second that merging reads and writes; 0: any"),
    O(DURATION, merge_idle, "10m", "a day without a new part for so long is merged as far as the size allows"),
    O(BYTES, merge_min_free_bytes, "1GiB", "free disk below which nothing is merged; 0: no check"),
    O(BYTES, min_free_bytes, "256MiB", "free disk below which pushes are asked to wait (503); 0: no check"),
    O(DURATION, retention_delete_delay, "2h", "how long the clock must have run evenly before what is past is removed"),
    O(BYTES, wal_max_bytes, "1GiB", "size of the write-ahead log at which memory is written to a part"),
    O(BOOL, wal_compression, "false", "requests that come uncompressed are compressed for the write-ahead log: a third of the bytes, half "
                                      "as much CPU again"),
    O(BYTES, memory_max_bytes, "96MiB", "memory for rows and requests under way above which pushes are asked to wait (503)"),
    O(BYTES, query_cache_bytes, "16MiB", "memory for dictionaries and content filters of parts, which queries ask first; 0: none"),
    O(U64, query_threads, "0", "threads that read for queries, at most 64; 0: one for each core"),
    O(DURATION, delete_request_cancel_period, "24h",
      "how long a delete request can be cancelled; rows are hidden at once and removed from disk afterwards"),
    O(U64, max_delete_requests, "1000", "most delete requests of a tenant that are not processed; 0: any"),
    O(U64, max_records_per_request, "1000000", "most records of a request, else it is refused (400); 0: any"),
    O(BYTES, streams_max_bytes, "256MiB", "memory for streams above which pushes make no new ones (429)"),
    {0},
};
#undef O

static bool durability_of(const char *text, struct spool_config *sc, struct err *e)
{
    sv s = sv_of(text);
    if (sv_eq(s, SV("always"))) {
        sc->sync = SPOOL_SYNC_ALWAYS;
    } else if (sv_eq(s, SV("off"))) {
        sc->sync = SPOOL_SYNC_OFF;
    } else if (sv_starts(s, SV("interval="))) {
        sc->sync = SPOOL_SYNC_INTERVAL;
        if (!parse_duration(sv_from(s, 9), &sc->interval_ns, e))
            return err_ctx(e, "'durability'");
        if (sc->interval_ns < NS_PER_MS || sc->interval_ns > 60 * NS_PER_S)
            return err_set(e, ERR_INVALID, "'durability': the interval must be between 1ms and 1m");
    } else {
        return err_set(e, ERR_INVALID, "'durability': '%s' is none of always, interval=100ms, off", text ? text : "");
    }
    return true;
}

static bool level_ok(uint64_t level)
{
    return level >= 1 && level <= 19;
}

static bool config_check(const struct store_config *cfg, struct err *e)
{
    if (!cfg->data_dir || !*cfg->data_dir)
        return err_set(e, ERR_INVALID, "'data_dir' is empty");
    if (cfg->head_max_bytes < 64 << 10)
        return err_set(e, ERR_INVALID, "'head_max_bytes' must be at least 64KiB");
    if (cfg->head_max_rows < 1000)
        return err_set(e, ERR_INVALID, "'head_max_rows' must be at least 1000");
    if (cfg->memory_max_bytes < cfg->head_max_bytes)
        return err_set(e, ERR_INVALID, "'memory_max_bytes' must not be below 'head_max_bytes'");
    if (cfg->streams_max_bytes < 64 << 10)
        return err_set(e, ERR_INVALID, "'streams_max_bytes' must be at least 64KiB");
    if (cfg->wal_max_bytes < 1 << 20)
        return err_set(e, ERR_INVALID, "'wal_max_bytes' must be at least 1MiB");
    if (cfg->query_threads > CREW_MAX)
        return err_set(e, ERR_INVALID, "'query_threads' must not be above %d", CREW_MAX);
    if (!level_ok(cfg->flush_compression) || !level_ok(cfg->merge_compression) || !level_ok(cfg->merge_final_compression))
        return err_set(e, ERR_INVALID, "'flush_compression', 'merge_compression' and 'merge_final_compression' must be between 1 "
                                       "and 19");
    if (cfg->merge_max_memory < 64 << 10)
        return err_set(e, ERR_INVALID, "'merge_max_memory' must be at least 64KiB");
    if (cfg->merge_max_bytes < 64 << 10)
        return err_set(e, ERR_INVALID, "'merge_max_bytes' must be at least 64KiB");
    if (cfg->limits.retention_period < 0 || cfg->retention_delete_delay < 0)
        return err_set(e, ERR_INVALID, "'retention_period' and 'retention_delete_delay' are not negative");
    if (cfg->merge_idle < 0)
        return err_set(e, ERR_INVALID, "'merge_idle' is not negative");
    if (cfg->delete_request_cancel_period < 0)
        return err_set(e, ERR_INVALID, "'delete_request_cancel_period' must not be negative");
    if (cfg->head_max_age < NS_PER_S)
        return err_set(e, ERR_INVALID, "'head_max_age' must be at least 1s");
    return true;
}

void store_gauges(struct store *st)
{
    struct page_cache_stats cache;
    struct spool_stats ws;
    uint64_t rows = 0, bytes = 0;
    page_cache_stats(&cache);
    metric_set(st->m.cache_bytes, (int64_t)cache.bytes);
    metric_set(st->m.cache_hits, (int64_t)cache.hits);
    metric_set(st->m.cache_misses, (int64_t)cache.misses);
    lock_acquire(&st->head.mu);
    uint64_t head_rows = st->head.active.rows + st->head.sealed.rows,
             head_bytes = st->head.active.line_bytes + st->head.sealed.line_bytes,
             memory = st->head.active.memory + st->head.sealed.memory, n_parts = st->parts.parts.n;
    for (size_t i = 0; i < n_parts; i++) {
        rows += st->parts.parts.at[i]->rows;
        bytes += st->parts.parts.at[i]->file_bytes;
    }
    lock_release(&st->head.mu);
    metric_set(st->m.head_rows, (int64_t)head_rows);
    metric_set(st->m.head_bytes, (int64_t)head_bytes);
    metric_set(st->m.head_memory, (int64_t)memory);
    metric_set(st->m.parts, (int64_t)n_parts);
    metric_set(st->m.part_rows, (int64_t)rows);
    metric_set(st->m.part_bytes, (int64_t)bytes);
    metric_set(st->m.streams, (int64_t)registry_streams(st->reg));
    metric_set(st->m.streams_memory, (int64_t)registry_memory(st->reg));
    spool_stats(st->wal, &ws);
    metric_set(st->m.wal_bytes, (int64_t)ws.bytes);
    metric_set(st->m.wal_frames, (int64_t)ws.frames);
}

static void metrics_make(struct store *st)
{
    const struct {
        struct metric **to;
        enum metric_kind kind;
        const char *name, *help;
    } rows[] = {
        {&st->m.streams, METRIC_GAUGE, "loki_ingester_memory_streams", "Streams the store knows."},
        {&st->m.streams_memory, METRIC_GAUGE, "weir_store_streams_memory_bytes", "Memory they take."},
        {&st->m.head_rows, METRIC_GAUGE, "weir_store_head_rows", "Rows in memory, not yet in a part."},
        {&st->m.head_bytes, METRIC_GAUGE, "weir_store_head_bytes", "Their line bytes."},
        {&st->m.head_memory, METRIC_GAUGE, "weir_store_head_memory_bytes", "Memory they take."},
        {&st->m.wal_bytes, METRIC_GAUGE, "weir_store_wal_bytes", "Size of the write-ahead log."},
        {&st->m.wal_frames, METRIC_GAUGE, "weir_store_wal_frames", "Requests in the write-ahead log that no part covers."},
        {&st->m.parts, METRIC_GAUGE, "weir_store_parts", "Part files."},
        {&st->m.part_rows, METRIC_GAUGE, "weir_store_part_rows", "Rows in part files."},
        {&st->m.part_bytes, METRIC_GAUGE, "weir_store_part_bytes", "Size of part files."},
        {&st->m.flushes, METRIC_COUNTER, "weir_store_flushes_total", "Times memory was written to parts."},
        {&st->m.flush_failures, METRIC_COUNTER, "weir_store_flush_failures_total", "Times that failed; it is tried again."},
        {&st->m.flush_bytes, METRIC_COUNTER, "weir_store_flush_written_bytes_total", "Size of the parts written from memory."},
        {&st->m.merges, METRIC_COUNTER, "weir_store_merges_total", "Merges of parts."},
        {&st->m.merge_failures, METRIC_COUNTER, "weir_store_merge_failures_total", "Merges that failed; it is tried again."},
        {&st->m.merge_rows, METRIC_COUNTER, "weir_store_merge_rows_total", "Rows that merges wrote again."},
        {&st->m.merge_copied, METRIC_COUNTER, "weir_store_merge_copied_rows_total", "Of those, rows in blocks copied as they were."},
        {&st->m.merge_read, METRIC_COUNTER, "weir_store_merge_read_bytes_total", "Size of the parts that were merged."},
        {&st->m.merge_written, METRIC_COUNTER, "weir_store_merge_written_bytes_total", "Size of what they became."},
        {&st->m.merge_deferred, METRIC_COUNTER, "weir_store_merge_deferred_total", "Merges put off for lack of free disk."},
        {&st->m.expired_rows, METRIC_COUNTER, "weir_store_retention_rows_total", "Rows removed as past their period."},
        {&st->m.deleted_rows, METRIC_COUNTER, "weir_store_deleted_rows_total", "Rows removed as asked to be deleted."},
        {&st->m.expired_parts, METRIC_COUNTER, "weir_store_retention_parts_total", "Parts dropped as a whole for that."},
        {&st->m.merge_asked, METRIC_GAUGE, "weir_store_merge_asked", "1 while a merge that was asked for is not done."},
        {&st->m.merge_running, METRIC_GAUGE, "weir_store_merge_running", "Merges under way."},
        {&st->m.cache_bytes, METRIC_GAUGE, "weir_store_query_cache_bytes", "Dictionaries and content filters kept for queries."},
        {&st->m.cache_hits, METRIC_GAUGE, "weir_store_query_cache_hits", "Of them asked for and there, since the start."},
        {&st->m.cache_misses, METRIC_GAUGE, "weir_store_query_cache_misses", "Of them asked for and read."},
        {&st->m.merge_debt, METRIC_GAUGE, "weir_store_merge_debt_bytes", "Line bytes of parts that ought to be merged."},
        {&st->m.merge_memory, METRIC_GAUGE, "weir_store_merge_memory_peak_bytes", "Most memory for rows that a merge took."},
        {&st->m.parts_waiting, METRIC_GAUGE, "weir_store_parts_dropped_waiting", "Dropped parts that queries still read."},
        {&st->m.disk_free, METRIC_GAUGE, "weir_store_disk_free_bytes", "Free space of the disk."},
        {&st->m.duplicates, METRIC_COUNTER, "weir_store_duplicates_total", "Rows left out of parts as equal to another."},
        {&st->m.quarantined, METRIC_COUNTER, "weir_store_quarantined_total", "Damaged or unreadable files set aside."},
        {&st->m.damaged_blocks, METRIC_COUNTER, "weir_store_damaged_blocks_total", "Blocks left out of answers as damaged."},
        {&st->m.pushes_refused, METRIC_COUNTER, "weir_store_pushes_deferred_total",
         "Pushes asked to come again: memory or disk full."},
        {&st->m.replayed_frames, METRIC_COUNTER, "weir_store_wal_replayed_frames_total", "Requests read back at start."},
        {&st->m.replay_skipped, METRIC_COUNTER, "weir_store_wal_skipped_frames_total",
         "Requests in the log that could not be read back."},
        {&st->m.deletes_pending, METRIC_GAUGE, "loki_compactor_pending_delete_requests_count",
         "Requests to delete rows that are not processed."},
        {&st->m.torn_bytes, METRIC_COUNTER, "weir_store_wal_torn_bytes_total", "Bytes cut from the log's end at start."},
        {&st->m.log_damaged, METRIC_COUNTER, "weir_store_wal_damaged_bytes_total", "Bytes of the log passed over as damaged."},
        {&st->m.catalog_torn, METRIC_COUNTER, "weir_store_catalog_torn_bytes_total", "Bytes cut from the catalog's end at start."},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        *rows[i].to = metrics_get(st->metrics, rows[i].kind, rows[i].name, rows[i].help, (const char *[]){NULL});
    metric_set(metrics_get(st->metrics, METRIC_GAUGE, "weir_store_durability_info", "When pushes are answered.",
                           (const char *[]){"mode", st->cfg->durability, NULL}),
               1);
}

/* Trimming frees whole segments: small ones, or what is flushed already stays on disk for long. */
#define WAL_SEGMENT_BYTES ((uint64_t)16 << 20)

bool wal_open(struct store *st, uint64_t covered, struct spool_recovery *ret, struct err *e)
{
    char dir[4096];
    struct spool_config sc = {.dir = dir,
                              .max_bytes = st->cfg->wal_max_bytes * 2 + (256ull << 20),
                              .max_frame_bytes = 2ull * WAL_MAX_PAYLOAD, /* with the list of refused records */
                              .when_full = SPOOL_REFUSE,
                              .segment_bytes = WAL_SEGMENT_BYTES,
                              .next_seq_min = covered,
                              .own_thread = true};
    if (snprintf(dir, sizeof dir, "%s/wal", st->cfg->data_dir) >= (int)sizeof dir)
        return err_set(e, ERR_INVALID, "'data_dir' is too long");
    return durability_of(st->cfg->durability, &sc, e) && spool_open(&sc, &st->wal, ret, e);
}

static bool dirs_open(struct store *st, struct err *e)
{
    char parts[4096];
    if (snprintf(parts, sizeof parts, "%s/parts", st->cfg->data_dir) >= (int)sizeof parts)
        return err_set(e, ERR_INVALID, "'data_dir' is too long");
    return io_mkdir_all(parts, e) && io_open_dir(st->cfg->data_dir, &st->dirfd, e) &&
           io_lock_dir(st->dirfd, st->cfg->data_dir, &st->lock_fd, e) && io_open_dir(parts, &st->parts_fd, e);
}

static void store_free(struct store *st)
{
    if (!st)
        return;
    merge_stop(st);
    spool_close(st->wal); /* its committer calls back until here */
    crew_close(st->crew);
    head_done(&st->head);
    part_set_done(&st->parts);
    part_set_done(&st->written);
    deletes_done(&st->deletes);
    catalog_close(st->catalog);
    ingest_pool_free(st->ingest);
    registry_free(st->reg);
    lock_done(&st->edit_mu);
    limits_close(st->limits);
    lock_done(&st->flush_mu);
    cond_done(&st->flush_wake);
    cond_done(&st->flush_idle);
    io_close(st->parts_fd);
    io_close(st->lock_fd);
    io_close(st->dirfd);
    free(st);
}
DEFINE_SCOPED(struct store *, store_free)

bool store_open(const struct store_config *cfg, struct metrics *metrics, struct store **ret, struct err *e)
{
    if (!config_check(cfg, e))
        return err_ctx(e, "store");
    SCOPED(store_free) struct store *st = calloc(1, sizeof *st);
    if (!st)
        return err_nomem(e);
    st->cfg = cfg;
    st->metrics = metrics;
    st->dirfd = st->lock_fd = st->parts_fd = -1;
    lock_init(&st->edit_mu);
    lock_init(&st->flush_mu);
    cond_init(&st->flush_wake);
    cond_init(&st->flush_idle);
    head_init(&st->head);
    steady_clock_init(&st->steady);
    deletes_init(&st->deletes);
    metrics_make(st);
    page_cache_limit(cfg->query_cache_bytes);
    if (!limits_open(&cfg->limits, &cfg->overrides, metrics, &st->limits, e) ||
        !registry_new(cfg->streams_max_bytes, &st->reg, e) || !ingest_pool_new(&st->ingest, e) || !dirs_open(st, e) ||
        !store_recover(st, e) || !crew_open((unsigned)cfg->query_threads, &st->crew, e) || !merge_start(st, e) || !flush_start(st, e))
        return err_ctx(e, "store '%s'", cfg->data_dir);
    store_gauges(st);
    *ret = TAKE(st);
    return true;
}

void store_close(struct store *st)
{
    if (!st)
        return;
    atomic_store(&st->closing, true);
    flush_stop(st);
    store_free(st);
}

void store_limits(struct store *st, sv tenant, struct limits *ret)
{
    limits_find(st->limits, tenant, ret);
}

bool store_ready(struct store *st, struct err *why_not)
{
    return !atomic_load(&st->closing) || err_set(why_not, ERR_CLOSED, "the store is closing");
}

/* ---- pushing ---- */

struct push {
    struct store *st;
    struct ingest_result rows;
    struct tenant *tenant;
    struct limits limits; /* of the tenant, as the push found them */
    int64_t pending; /* counted in st->pending_bytes */
    push_done_fn *done;
    void *ctx;
};

static void answer(push_done_fn *done, void *ctx, enum push_code code, uint32_t n_rejected, const struct err *e)
{
    struct push_result r = {.code = code, .retry_after_ms = -1, .n_rejected = n_rejected};
    if (e)
        r.err = *e;
    done(ctx, &r);
}

/* Before the answer: whoever gets it may push again at once. */
static void push_counts_no_more(struct push *p)
{
    atomic_fetch_sub(&p->st->pending_bytes, p->pending);
    p->pending = 0;
}

static void push_free(struct push *p)
{
    ingest_result_done(&p->rows);
    free(p);
}

/* On the committer's thread, in the log's order. */
static void push_logged(void *ctx, uint64_t seq, const struct err *e)
{
    struct push *p = ctx;
    struct store *st = p->st;
    size_t n = p->rows.chunks.n;
    if (e) {
        head_unreserve(&st->head, n);
        metric_add(st->m.pushes_refused, 1);
        push_counts_no_more(p);
        answer(p->done, p->ctx, PUSH_RETRY, 0, e);
        push_free(p);
        return;
    }
    head_add(&st->head, p->rows.chunks.at, n, seq, clock_mono_ns());
    p->rows.chunks.n = 0; /* the head owns them now */
    push_counts_no_more(p);
    count_received(tenant_counters(p->tenant), p->rows.n_rows, p->rows.line_bytes + p->rows.metadata_bytes,
                   p->rows.metadata_bytes);
    struct err rejected = {0};
    if (p->rows.rejects.total)
        rejects_err(&p->rows.rejects, &rejected);
    answer(p->done, p->ctx, PUSH_SENT, p->rows.rejects.total, p->rows.rejects.total ? &rejected : NULL);
    push_free(p);
    flush_poke(st);
}

static uint64_t memory_used(struct store *st)
{
    LOCK_SCOPED(&st->head.mu);
    return st->head.active.memory + st->head.sealed.memory + (uint64_t)atomic_load(&st->pending_bytes);
}

static bool disk_has_room(const struct store *st, struct err *e)
{
    uint64_t left = atomic_load_explicit(&st->disk_free, memory_order_relaxed);
    return left >= st->cfg->min_free_bytes ||
           err_set(e, ERR_FULL, "the disk under '%s' has %" PRIu64 " bytes left, less than min_free_bytes=%" PRIu64,
                   st->cfg->data_dir, left, st->cfg->min_free_bytes);
}

/* A request that hardly ever fits would come again for ever. It is taken when no other is under way and the head is at most half
 * full; how large it can be is max_recv_msg_size's and max_decompressed_size's business. */
static bool fits_alone(const struct push *p, uint64_t used)
{
    uint64_t half = p->st->cfg->memory_max_bytes / 2;
    return (uint64_t)p->pending > half && used - MIN(used, (uint64_t)p->pending) <= half &&
           atomic_load(&p->st->pending_bytes) == p->pending;
}

/* Memory a request may take, known only afterwards: texts are seldom more than three times its bytes, but a row has columns
 * even where its record is two bytes long. */
static bool admit(struct push *p, struct ingest_request *rq, struct err *e)
{
    enum { ROW_BYTES = 64 };
    struct store *st = p->st;
    uint64_t max = st->cfg->max_records_per_request, n;
    if (!ingest_count(rq, max ? max : UINT64_MAX - 1, &n, e))
        return false;
    if (max && n > max)
        return err_set(e, ERR_INVALID, "request has more than %" PRIu64 " records, see max_records_per_request", max);
    p->pending = (int64_t)rq->bytes.n * 3 + (int64_t)n * ROW_BYTES + 4096;
    atomic_fetch_add(&st->pending_bytes, p->pending);
    if (!disk_has_room(st, e))
        return false;
    uint64_t used = memory_used(st);
    if (used <= st->cfg->memory_max_bytes || fits_alone(p, used))
        return true;
    flush_poke(st);
    return err_set(e, ERR_FULL, "%" PRIu64 " bytes of rows wait in memory, more than memory_max_bytes=%" PRIu64, used,
                   st->cfg->memory_max_bytes);
}

/* The rows as they are; and until the log has it, the request, where it was read and where the log writes it from. */
static void settle_memory(struct push *p, size_t request_bytes)
{
    int64_t real = 2 * (int64_t)request_bytes;
    for (size_t i = 0; i < p->rows.chunks.n; i++)
        real += (int64_t)p->rows.chunks.at[i]->memory;
    atomic_fetch_add(&p->st->pending_bytes, real - p->pending);
    p->pending = real;
}

static void touch_streams(const struct ingest_result *rows)
{
    int64_t now = clock_mono_ns();
    for (size_t i = 0; i < rows->chunks.n; i++)
        for (uint32_t s = 0; s < rows->chunks.at[i]->n_streams; s++)
            atomic_store_explicit(&rows->chunks.at[i]->streams[s].st->last_used_mono_ns, now, memory_order_relaxed);
}

/* Hands the request to the log. False: refused, nothing will be called. */
static bool log_request(struct push *p, const struct store_request *q, const struct ingest_request *rq,
                        struct err *e)
{
    SCOPED(buf_done) struct buf head = {0};
    SCOPED(buf_done) struct buf body = {0};
    struct wal_frame f = {.type = q->loki ? WAL_LOKI : WAL_OTLP,
                          .rules = rq->rules,
                          .cut = p->rows.n_cut ? (uint32_t)rq->cut : 0,
                          .arrived_wall_ns = q->arrived_wall_ns,
                          .tenant = q->tenant,
                          .payload = q->bytes,
                          .codec = q->codec,
                          .packed = q->packed,
                          .compress = p->st->cfg->wal_compression};
    f.refused.at = p->rows.refused.at;
    f.refused.n = p->rows.refused.n;
    sv parts[2];
    if (!wal_frame_write(&f, &head, &body, &parts[1], e))
        return false;
    parts[0] = buf_view(&head);
    if (!head_reserve(&p->st->head, p->rows.chunks.n))
        return err_nomem(e);
    if (spool_append_async(p->st->wal, parts, 2, push_logged, p, e))
        return true;
    head_unreserve(&p->st->head, p->rows.chunks.n);
    return false;
}

/* Failures that a later attempt may not meet. */
static bool may_pass(enum err_code c)
{
    return c == ERR_NOMEM || c == ERR_FULL || c == ERR_IO || c == ERR_CLOSED || c == ERR_UNAVAILABLE;
}

static void push_refused(struct push *p, const struct err *e)
{
    enum push_code code = may_pass(e->code) ? PUSH_RETRY : PUSH_REJECTED;
    if (code == PUSH_RETRY)
        metric_add(p->st->m.pushes_refused, 1);
    push_counts_no_more(p);
    answer(p->done, p->ctx, code, 0, e);
    push_free(p);
}

/* False: all of the request is refused. */
static bool within_rates(struct push *p, struct ingest_request *rq, struct err *e)
{
    int64_t now = clock_mono_ns();
    if (!rate_check_tenant(rq, &p->rows, now, e)) {
        count_refused(tenant_counters(rq->tenant), p->st->metrics, tenant_name(rq->tenant), REJECT_RATE, p->rows.n_rows,
                      p->rows.line_bytes + p->rows.metadata_bytes);
        return false;
    }
    if (!rate_check_streams(rq, &p->rows, now, e))
        return false;
    if (!rq->n_over)
        return true;
    ingest_result_done(&p->rows);
    p->rows = (struct ingest_result){0};
    return ingest(rq, &p->rows, e); /* again, without them */
}

void store_push_request(struct store *st, const struct store_request *q, push_done_fn *done, void *ctx)
{
    struct err e = {0};
    struct push *p = calloc(1, sizeof *p);
    if (!p) {
        err_nomem(&e);
        answer(done, ctx, PUSH_RETRY, 0, &e);
        return;
    }
    *p = (struct push){.st = st, .done = done, .ctx = ctx};
    store_limits(st, q->tenant, &p->limits);
    struct ingest_request rq = {.bytes = q->bytes, .loki = q->loki, .check = !q->checked, .arrived_wall_ns = q->arrived_wall_ns,
                                .rules = rules_of_limits(&p->limits), .limits = &p->limits, .pool = st->ingest,
                                .now_wall_ns = clock_wall_ns()};
    if (p->limits.max_line_size_truncate)
        rq.cut = MIN(p->limits.max_line_size, (uint64_t)UINT32_MAX);
    bool ok = store_ready(st, &e) && admit(p, &rq, &e) && registry_tenant(st->reg, q->tenant, &rq.tenant, &e) &&
              ingest(&rq, &p->rows, &e) && within_rates(p, &rq, &e);
    free(rq.over);
    if (!ok) {
        push_refused(p, &e);
        return;
    }
    p->tenant = rq.tenant;
    if (p->rows.n_cut)
        count_cut(st->metrics, q->tenant, p->rows.n_cut, p->rows.cut_bytes);
    settle_memory(p, q->bytes.n);
    touch_streams(&p->rows);
    count_rejects(tenant_counters(p->tenant), st->metrics, q->tenant, &p->rows.rejects);
    if (!p->rows.n_records)
        err_set(&e, ERR_NOT_FOUND, "error at least one valid stream is required for ingestion");
    else if (!p->rows.n_rows)
        rejects_err(&p->rows.rejects, &e);
    else
        counters_prepare(tenant_counters(p->tenant), st->metrics, q->tenant);
    if (e.code || !log_request(p, q, &rq, &e))
        push_refused(p, &e);
}

static void push_batch(struct store *st, const struct batch *b, sv tenant, push_done_fn *done, void *ctx)
{
    struct store_request q = {.tenant = tenant, .bytes = b->bytes, .checked = true, .arrived_wall_ns = b->arrived_wall_ns};
    store_push_request(st, &q, done, ctx);
}

void store_push(struct store *st, struct batch *b, push_done_fn *done, void *ctx)
{
    push_batch(st, b, b->tenant, done, ctx);
}

static void sink_push_batch(void *self, struct batch *b, push_done_fn *done, void *ctx)
{
    push_batch(self, b, b->tenant.n ? b->tenant : STORE_TENANT_SINGLE, done, ctx);
}

struct log_sink store_sink(struct store *st)
{
    return (struct log_sink){sink_push_batch, st};
}

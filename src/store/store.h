/* store.h - the log store: push in, scan out. Write-ahead log in front, in-memory head, immutable parts behind; design in
 * docs/store.md, bytes in docs/formats.md.
 * (1) push answers PUSH_SENT only after the request is in the WAL and synced (durability `always`), and its rows are
 *     visible to every scan opened later.
 * (2) Nothing stored is lost by a crash at any instruction; a damaged file is set aside, counted, and the rest serves.
 * Any thread may call anything, except open and close. */
#pragma once
#include "base/compress.h"
#include "base/metrics.h"
#include "base/option.h"
#include "otlp/batch.h"
#include "store/limits.h"

struct store;

struct store_config { /* filled from store_options */
    char *data_dir;
    char *durability;         /* always | interval=100ms | off */
    uint64_t head_max_bytes;  /* raw bytes in the head that trigger a flush to a part */
    uint64_t head_max_rows;   /* rows that do: a start after a crash takes about 1 us for each */
    int64_t head_max_age;
    uint64_t flush_compression; /* levels of zstd: what a flush writes, what a merge does, and one that is likely the last */
    uint64_t merge_compression, merge_final_compression;
    bool merge;                 /* parts are merged in the background */
    uint64_t merge_max_bytes;   /* of lines in a merged part, about */
    uint64_t merge_max_memory;  /* for rows of a merge */
    uint64_t merge_max_rate;    /* bytes read and written a second; 0: any */
    int64_t merge_idle;
    uint64_t merge_min_free_bytes, min_free_bytes; /* of the disk, below which merging, then pushing stops; 0: no check */
    int64_t retention_delete_delay;
    uint64_t wal_max_bytes;
    bool wal_compression;
    uint64_t memory_max_bytes; /* push-back (503) above this */
    uint64_t query_cache_bytes; /* of parts' dictionaries and filters, decompressed */
    uint64_t query_threads;    /* that read for queries; 0: one for each core */
    uint64_t max_records_per_request;
    uint64_t streams_max_bytes; /* memory for streams, of all tenants: they stay as long as the store is open */
    int64_t delete_request_cancel_period; /* rows asked to be deleted are removed from disk no sooner */
    uint64_t max_delete_requests;         /* of a tenant, not processed yet */
    struct limits limits;           /* of tenants, from limits_options; */
    struct limits_config overrides; /* and what some have instead, from limits_config_options */
};
extern const struct option store_options[];

MUST_USE bool store_open(const struct store_config *cfg, struct metrics *metrics, struct store **ret, struct err *e);
void store_close(struct store *st); /* NULL is fine; what is in the head stays safe in the WAL */
bool store_ready(struct store *st, struct err *why_not);

/* A request, valid during the call that pushes it. */
struct store_request {
    sv tenant, bytes;
    bool loki;       /* an uncompressed logproto.PushRequest; else an ExportLogsServiceRequest */
    bool checked;    /* by otlp_check(); what is not is checked on the way */
    enum codec codec; /* not CODEC_NONE: the bytes came compressed, */
    sv packed;       /* as these, which then may go into the log in their place */
    int64_t arrived_wall_ns;
};
/* OTLP by the rules of Loki's documentation, "Ingesting logs to Loki using OpenTelemetry Collector"; of a Loki push, labels that
 * do not parse reject it whole. `done` as in otlp/batch.h: PUSH_SENT with n_rejected > 0 when some records broke a limit (err says
 * which, grouped as Loki groups them); PUSH_REJECTED when all did, or it is malformed; PUSH_RETRY when the disk is full or memory
 * short. err.code ERR_LIMIT marks what Loki answers with 429, ERR_NOT_FOUND "no records" (422). */
void store_push_request(struct store *st, const struct store_request *rq, push_done_fn *done, void *ctx);
/* A checked OTLP batch. */
void store_push(struct store *st, struct batch *b, push_done_fn *done, void *ctx);
/* The OTLP sink face of store_push, for the collector inside `weir up`. */
struct log_sink store_sink(struct store *st);
/* Whose a batch is that names no tenant: the one tenant of a store without authentication, by Loki's name for it. */
#define STORE_TENANT_SINGLE SV("fake")

/* What the tenant may do at this moment. */
void store_limits(struct store *st, sv tenant, struct limits *ret);

/* Reading. `tenant` may name several, "a|b": their streams then have the label __tenant_id__ beside their own. */

/* Streams of a tenant that match and have entries in start <= ts < end (block granularity: may return a little more).
 * n_matchers 0: all. Calls fn in label order; fn returns false to stop. The views live during the call only. */
MUST_USE bool store_series(struct store *st, sv tenant, const struct matcher *m, size_t n_matchers, int64_t start_ns,
                           int64_t end_ns, bool (*fn)(void *ctx, struct labels l), void *ctx, struct err *e);
/* Label names, and values of one label, over the same streams: sorted, without duplicates, in `a`. */
MUST_USE bool store_label_names(struct store *st, sv tenant, const struct matcher *m, size_t n_matchers,
                                int64_t start_ns, int64_t end_ns, struct arena *a, sv **ret, size_t *ret_n,
                                struct err *e);
MUST_USE bool store_label_values(struct store *st, sv tenant, sv name, const struct matcher *m, size_t n_matchers,
                                 int64_t start_ns, int64_t end_ns, struct arena *a, sv **ret, size_t *ret_n,
                                 struct err *e);
/* Exact totals for index/stats: streams, blocks, line bytes, entries. */
struct store_totals {
    uint64_t streams, chunks, bytes, entries;
};
MUST_USE bool store_totals(struct store *st, sv tenant, const struct matcher *m, size_t n_matchers, int64_t start_ns,
                           int64_t end_ns, struct store_totals *ret, struct err *e);

/* Merges what is worth merging now, or with `all` as far as the size allows, and waits for it; also where merging by itself is
 * switched off. For tests, benchmarks and operators. */
MUST_USE bool store_merge(struct store *st, bool all, struct err *e);
void store_merge_ask(struct store *st, bool all); /* the same without waiting */
/* Writes the head into parts now and waits; for tests, /flush and shutdown by operators. */
MUST_USE bool store_flush(struct store *st, struct err *e);

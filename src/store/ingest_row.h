/* ingest_row.h - what the OTLP and the Loki side of ingest share: names, checks, and a row's way into the chunk. */
#pragma once
#include "store/ingest.h"

struct ingest_run {
    const struct ingest_request *rq;
    struct ingest_result *out;
    struct chunk_builder b;
    struct arena names_mem;    /* normalised names, for the whole request */
    struct map names;          /* raw name -> struct name_entry */
    struct arena row_mem;      /* texts made for one record */
    VEC(struct label) row;     /* a record's own metadata, in order of addition */
    VEC(struct label) merged;  /* with its source's */
    VEC(uint32_t) ids;
    const struct source *base; /* whose pairs have base_ids in the chunk being built */
    VEC(uint32_t) base_ids;
    uint32_t record;           /* number of the record in the request */
    size_t next_refused;       /* replay: place in rq->refused */
    struct err err;            /* out of memory: ends the run */
};

/* A name as rules_name() has it, remembered for the request. False: invalid (e says why) or no memory (run->err). */
MUST_USE bool run_name(struct ingest_run *run, sv raw, sv *ret, struct err *e);
/* Metadata values and labels hold UTF-8: each run of other bytes becomes a space. `a` holds the copy when one is needed. */
sv clean_text(sv s, struct arena *a);
/* Adds to run->row. False: out of memory. */
MUST_USE bool run_pair(struct ingest_run *run, sv name, sv value);
/* Sorts and makes names unique: of equal names the last one stays. Returns the new count. */
size_t pairs_unique(struct label *at, size_t n);

/* Puts the record (run->row, the source's pairs, time, line) into the chunk unless a limit refuses it. False: run->err. */
MUST_USE bool run_row(struct ingest_run *run, const struct source *src, struct stream *st, int64_t ts, sv line,
                      int32_t severity_number);
/* Counts the record as refused and goes on. False: run->err. */
MUST_USE bool run_refuse(struct ingest_run *run, enum reject_reason why, const void *key, uint64_t bytes,
                         const char *fmt, ...) PRINTF_LIKE(5, 6);
/* What stream_get() may do for this run; and, when it refused, why. */
static inline uint64_t run_max_streams(const struct ingest_run *run)
{
    const struct store_config *lim = run->rq->limits;
    return !lim ? STREAMS_STORED : lim->max_streams_per_user ? lim->max_streams_per_user : STREAMS_ANY;
}
static inline bool run_stream_refused(const struct err *e, enum reject_reason *ret_why)
{
    *ret_why = e->code == ERR_FULL ? REJECT_STREAM_MEMORY : REJECT_STREAM_LIMIT;
    return e->code == ERR_FULL || e->code == ERR_LIMIT;
}
/* Replay: was this record refused when it came? */
bool run_was_refused(struct ingest_run *run);
/* Are these labels within the limits? False: *ret_why, and the text in e. n_counted leaves an added service_name out. */
bool labels_within(const struct store_config *limits, struct labels l, size_t n_counted, enum reject_reason *ret_why,
                   struct err *e);

/* The same for metadata. */
bool metadata_within(const struct store_config *limits, struct labels stream, const struct label *at, size_t n,
                     enum reject_reason *ret_why, struct err *e);

MUST_USE bool ingest_otlp(struct ingest_run *run, struct err *e);
MUST_USE bool ingest_loki(struct ingest_run *run, struct err *e);

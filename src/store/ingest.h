/* ingest.h - from request bytes to chunks of rows. Pure but for the registry: no disk, no clock, no threads of its own.
 * (1) One pass over the request; text is copied once, into the chunk.
 * (2) The same bytes, rules, arrival time and list of refused records give the same rows: that is what replaying the
 *     write-ahead log rests on. Limits are checked on the way in only. */
#pragma once
#include "store/chunk.h"
#include "store/rejects.h"
#include "store/store.h"

enum { /* rules, kept with each request in the log */
    RULE_LEVEL_LABEL = 1,
    RULE_SERVICE_NAME = 2,
    RULE_LEVELS = 4,
};
unsigned rules_of_limits(const struct limits *l);

struct ingest_request {
    struct tenant *tenant;
    sv bytes;
    bool loki;               /* logproto.PushRequest, else ExportLogsServiceRequest */
    bool check;              /* OTLP: ingest_count() alone has looked at the bytes; else otlp_check() has, or they were taken once */
    bool ordered;            /* ingest_count() found resources and scopes where they always are */
    unsigned rules;
    int64_t arrived_wall_ns; /* the time of records that have none */
    const struct limits *limits; /* NULL: replay */
    int64_t now_wall_ns;     /* for the age limits */
    struct ingest_pool *pool; /* working memory; NULL: the call's own */
    struct over_rate {         /* streams that may bring nothing now, by address; rate_check.c */
        struct stream *st;
        uint64_t bytes;
    } *over;
    size_t n_over;
    uint64_t cut;            /* lines longer than this are cut; 0: none are. Limits' or, in replay, the log's */
    const uint32_t *refused; /* replay: ascending numbers of the records refused then */
    size_t n_refused;
};

struct ingest_result {
    VEC(struct chunk *) chunks;
    VEC(uint32_t) refused;   /* numbers of the refused records, ascending */
    struct rejects rejects;
    uint64_t n_records, n_rows, line_bytes, metadata_bytes;
    uint64_t n_cut, cut_bytes; /* lines that were cut, and what went */
};

/* Working memory for some calls at a time, kept between them. Any thread. */
struct ingest_pool;
MUST_USE bool ingest_pool_new(struct ingest_pool **ret, struct err *e);
void ingest_pool_free(struct ingest_pool *p); /* NULL is fine */

/* How many records the request holds; of a checked one, counted until more than `max` are found, and an end that cannot be read
 * holds none. Costs little: fields are passed over, not read. False: what is around the records is malformed (ERR_PARSE). */
MUST_USE bool ingest_count(struct ingest_request *rq, uint64_t max, uint64_t *ret, struct err *e);

/* False: nothing of the request is taken. ERR_PARSE: malformed (labels that do not parse, too); ERR_NOMEM. */
MUST_USE bool ingest(const struct ingest_request *rq, struct ingest_result *ret, struct err *e);
void ingest_result_done(struct ingest_result *r);
/* ingestion_rate_mb. False: nothing of it may be stored, and in which words. */
MUST_USE bool rate_check_tenant(const struct ingest_request *rq, const struct ingest_result *r, int64_t now_mono_ns,
                                struct err *e);
/* per_stream_rate_limit: the streams that bring more than they may, in rq->over (malloc'd). */
MUST_USE bool rate_check_streams(struct ingest_request *rq, const struct ingest_result *r, int64_t now_mono_ns, struct err *e);
static inline UNUSED void ingest_result_done_scoped(struct ingest_result *r)
{
    ingest_result_done(r);
}

/* ingest_row.h - what the OTLP and the Loki side of ingest share: names, checks, and a row's way into the chunk. */
#pragma once
#include "otlp/walk.h"
#include "store/hash.h"
#include "store/ingest.h"

struct name { /* of metadata */
    sv raw, text;          /* as it came; as it is kept */
    const struct err *bad; /* NULL: fine */
    uint32_t id;           /* place in run->name_list */
    bool fixed;            /* of one of a record's fixed fields: wins over an attribute of that name */
};
enum fixed_name { FIXED_OBSERVED, FIXED_SEVERITY_NUMBER, FIXED_SEVERITY_TEXT, FIXED_DROPPED, FIXED_FLAGS, FIXED_TRACE_ID, FIXED_SPAN_ID,
                  FIXED_EVENT_NAME, FIXED_NAMES };

enum { NUMBER_MAX = 20 };

/* What bytes of the request became, to find them again: a small table in which a newcomer takes the place of who was there. */
enum { SEEN_BITS = 12, SEEN_MAX_BYTES = 255, LEVELS_SEEN = 8 };
struct seen {
    uint32_t at; /* in the request */
    uint32_t pair, name;
    uint16_t n, epoch;
};

struct plan;
enum { PLAN_SLOTS = 64 };

/* Lives from request to request (ingest_pool); but for the names and plans, all is of one request. */
struct ingest_run {
    struct ingest_run *next; /* in the pool */
    const struct ingest_request *rq;
    struct ingest_result *out;
    struct chunk_builder b;
    struct arena names_mem;  /* names and plans, until they are too many */
    struct map names;        /* raw name -> struct name */
    VEC(struct name *) name_list;
    struct name *fixed[FIXED_NAMES];
    struct plan *plans[PLAN_SLOTS];
    struct arena row_mem;    /* texts made for one record */
    VEC(struct label) row;   /* attributes of a record with maps */
    VEC(struct label) merged; /* a row's metadata as texts, where they are needed */
    /* the row at hand: pair ids of its source, of its slots in order of addition, of its level */
    const struct source *base; /* whose pairs are there, in the chunk being built; NULL: nobody's */
    VEC(uint32_t) ids;
    size_t n_base;
    VEC(uint32_t) slots;     /* name of each slot */
    size_t n_before;         /* slots of the row before, whose names are there until they are overwritten */
    const struct plan *plan; /* of the row before; NULL: none */
    uint16_t epoch;          /* of the chunk being built: what is below was seen in it */
    struct seen *seen;
    struct { uint64_t ns; uint32_t pair; uint16_t epoch; } observed;
    struct { uint64_t high; size_t n; char digits[NUMBER_MAX]; } clock; /* of the time before: all but its last eight digits stay for a while */
    struct { const char *word; uint32_t pair; uint16_t epoch; } levels[LEVELS_SEEN];
    uint32_t record;         /* number of the record in the request */
    int64_t oldest_ns, newest_ns; /* bounds of a row */
    uint64_t max_line, max_meta_bytes, max_meta;
    size_t next_refused;     /* replay: place in rq->refused */
    struct err err;          /* out of memory: ends the run */
};

/* A name as rules_name() has it. False: invalid (e says why) or no memory (run->err). */
MUST_USE bool run_name(struct ingest_run *run, sv raw, const struct name **ret, struct err *e);
/* Metadata values and labels hold UTF-8: each run of other bytes becomes a space. `a` holds the copy when one is needed. */
sv clean_text(sv s, struct arena *a);
/* A row begins: no slots, the source's pairs at hand. False: out of memory, as in all that follow. */
MUST_USE bool run_begin(struct ingest_run *run, const struct source *src);
/* Adds a slot: metadata of the row. */
static inline bool run_slot(struct ingest_run *run, uint32_t name, uint32_t pair)
{
    size_t n = run->slots.n;
    if ((n == run->slots.cap && !vec_reserve(&run->slots, n + 1)) ||
        (run->n_base + n + 2 > run->ids.cap && !vec_reserve(&run->ids, run->n_base + n + 2))) /* 2: a level behind it */
        return err_nomem(&run->err);
    run->slots.at[n] = name;
    run->ids.at[run->n_base + n] = pair;
    run->slots.n = n + 1;
    return true;
}
MUST_USE bool run_pair(struct ingest_run *run, const struct name *name, sv value);
MUST_USE bool run_fixed_name(struct ingest_run *run, enum fixed_name f, const struct name **ret);
/* The chunk ends where it is full, also of what refused records left in it; between rows. */
MUST_USE bool run_settle(struct ingest_run *run);
/* Between records, when no view of a name is held. */
void run_forget_names(struct ingest_run *run);
/* Sorts and makes names unique: of equal names the last one stays. Returns the new count. */
size_t pairs_unique(struct label *at, size_t n);

/* How the row's slots and its source's pairs become metadata: ordered by name, each name once. The same slots of the same source
 * have the same plan. False: run->err. */
struct plan {
    uint64_t key, source;
    uint32_t n_slots;
    uint32_t n_out;       /* pairs of the row, the level's among them */
    uint32_t n_meta;      /* without a level that is added */
    uint32_t n_used;      /* slots among them */
    uint32_t source_bytes; /* names and values that come from the source */
    uint32_t level_at;    /* UINT32_MAX: none is wanted */
    bool own_level;       /* a detected_level came along, and stands at level_at */
    bool states_level;    /* one of the names does */
    uint32_t *names;      /* of the slots */
    uint32_t *from;       /* of each pair of the row: place in run->ids */
    uint32_t *used;       /* places in run->ids of the slots used */
};
MUST_USE bool run_plan(struct ingest_run *run, const struct source *src, const struct plan **ret);

enum record_read { READ_DONE, READ_OTHERWISE, READ_FAILED };
/* The request has a record that is malformed: run->err says where. Returns false. */
bool run_malformed(struct ingest_run *run);
/* The usual record: its fields into *ret, its metadata into slots, its line. READ_OTHERWISE: it has maps, lists, a field twice,
 * names that are refused, or is malformed; then the slots are not to be used, and it has yet to be checked. READ_FAILED: run->err. */
enum record_read record_read(struct ingest_run *run, sv raw, struct otlp_record *ret, sv *ret_line);
/* The text of a value; numbers and other made texts live in `a`. p NULL: out of memory. */
sv value_text(sv any_value, struct arena *a);
sv number_text(uint64_t v, struct arena *a);
sv number_digits(uint64_t v, char to[static NUMBER_MAX]);
sv severity_text(int32_t v, struct arena *a);
void eight_digits(uint32_t v, char to[static 8]); /* zeros in front; below 10^8 */
sv hex_digits(sv id, char to[static 32]);         /* of 16 bytes at most */

/* Puts the record (its slots, the source's pairs, time, line) into the chunk unless a limit refuses it. False: run->err. */
MUST_USE bool run_row(struct ingest_run *run, const struct source *src, struct stream *st, int64_t ts, sv line,
                      int32_t severity_number);
/* Counts the record as refused and goes on. False: run->err. */
MUST_USE bool run_refuse(struct ingest_run *run, enum reject_reason why, const void *key, uint64_t bytes,
                         const char *fmt, ...) PRINTF_LIKE(5, 6);
/* What stream_get() may do for this run; and, when it refused, why. */
static inline uint64_t run_max_streams(const struct ingest_run *run)
{
    const struct limits *lim = run->rq->limits;
    uint64_t max = lim ? limits_streams(lim) : 0;
    return !lim ? STREAMS_STORED : max ? max : STREAMS_ANY;
}
static inline bool run_stream_refused(const struct err *e, enum reject_reason *ret_why)
{
    *ret_why = e->code == ERR_FULL ? REJECT_STREAM_MEMORY : REJECT_STREAM_LIMIT;
    return e->code == ERR_FULL || e->code == ERR_LIMIT;
}
/* Replay: was this record refused when it came? */
bool run_was_refused(struct ingest_run *run);
/* Are these labels within the limits? False: *ret_why, and the text in e. n_counted leaves an added service_name out. */
bool labels_within(const struct limits *limits, struct labels l, size_t n_counted, enum reject_reason *ret_why,
                   struct err *e);

/* The same for metadata. */
bool metadata_within(const struct limits *limits, struct labels stream, const struct label *at, size_t n,
                     enum reject_reason *ret_why, struct err *e);

MUST_USE bool ingest_otlp(struct ingest_run *run, struct err *e);
MUST_USE bool ingest_loki(struct ingest_run *run, struct err *e);

/* encode.h - query results as the JSON Loki's clients read. Appends to a buf whose cap bounds the answer. */
#pragma once
#include "logql/logql.h"

struct encode_opts {
    sv flags;        /* X-Loki-Response-Encoding-Flags as sent; empty: none */
    bool categorize; /* the flags hold categorize-labels: labels by origin instead of merged */
    bool backward;   /* the direction of log queries */
    double queue_s;  /* how long the query waited for a worker */
};
/* {"status":"success","data":{"resultType":…,"result":…,"stats":…}}; scratch memory from `a`. */
MUST_USE bool encode_query(const struct logql_result *r, const struct encode_opts *o, struct arena *a, struct buf *out,
                           struct err *e);
void encode_labels(struct buf *out, struct labels l);                 /* {"a":"b"} */
void encode_strings(struct buf *out, const sv *items, size_t n);      /* {"status":"success","data":[…]}; no data: left out */
void encode_sample_value(struct buf *out, double v);                  /* "0.5": shortest, never with an exponent */
void encode_seconds(struct buf *out, int64_t ns);                     /* 1700000000.5: to the millisecond */
/* The flags of the header value: is `flag` among them? */
bool encode_has_flag(sv flags, sv flag);

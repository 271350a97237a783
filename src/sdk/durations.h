/* durations.h - how long an exporter's exports took, by how they ended: the histogram otel.sdk.exporter.operation.duration. */
#pragma once
#include "base/def.h"
#include "base/lock.h"

/* How an export ended, as far as its exporter can tell. Texts are its own, or literals. */
struct outcome {
    const char *server; /* whom it asked last; NULL: nobody with an address */
    uint16_t port;
    int http_status;   /* 0: none came */
    const char *rpc_status; /* "OK", "UNAVAILABLE"; NULL: none came */
    const char *error; /* error.type; "": the HTTP status; NULL: none */
};

#define DURATION_BOUNDS 14
extern const double duration_bounds[DURATION_BOUNDS]; /* s, as the semantic conventions advise for durations of requests */
struct duration_series {
    struct outcome how;
    uint64_t count, buckets[DURATION_BOUNDS + 1];
    double sum;
};
/* Series of one exporter. What comes when there are as many goes to the last one, whose error.type says so. */
#define DURATION_SERIES_MAX 16
struct durations {
    struct lock mu;
    struct duration_series *series; /* under mu, as the rest; made by the first export */
    size_t n;
};
void durations_init(struct durations *d);
void durations_done(struct durations *d);
void durations_after_fork(struct durations *d); /* in the child: none yet */
void durations_add(struct durations *d, const struct outcome *how, int64_t ns);
/* Copies them; returns how many. */
size_t durations_read(struct durations *d, struct duration_series ret[static DURATION_SERIES_MAX]);

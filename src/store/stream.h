/* stream.h - the registry: tenant -> label sets -> streams.
 * (1) A stream is made once and lives as long as the store: rows in the head, parts and scans point at it.
 * (2) `index` numbers a tenant's streams densely, so that a query's choice of streams is an array and no hash table.
 * (3) What a resource and a scope contribute to each of their records is worked out once and cached under their bytes
 *     (struct source): no label is formatted per record.
 * (4) Memory is bounded: past `max_bytes` no push makes a stream. What is stored already is read all the same.
 * Lock order: tenant.mu is innermost; nothing else is taken under it. */
#pragma once
#include "base/lock.h"
#include "base/map.h"
#include "base/vec.h"
#include "store/counters.h"
#include "store/labels.h"

struct tenant;

struct stream { /* immutable after stream_get() returns it, but for the atomics */
    struct labels labels;
    uint64_t hash; /* labels_hash(): anybody can make it collide, so no table rests on it */
    sv text;   /* canonical labels */
    sv level;  /* what its labels say about detected_level; p NULL: nothing */
    struct tenant *tenant;
    uint32_t index;
    _Atomic int64_t last_used_mono_ns;
    _Atomic int64_t rate_full_at; /* rate.h: per_stream_rate_limit */
};

struct registry;
/* max_bytes: see stream_get(). */
MUST_USE bool registry_new(uint64_t max_bytes, struct registry **ret, struct err *e);
void registry_free(struct registry *r);

/* Any thread. Makes the tenant when it is new; ERR_LIMIT beyond 65,535 of them. */
MUST_USE bool registry_tenant(struct registry *r, sv name, struct tenant **ret, struct err *e);
struct tenant *registry_find(struct registry *r, sv name); /* NULL when it has never been seen */
sv tenant_name(const struct tenant *t);
_Atomic int64_t *tenant_rate(struct tenant *t); /* rate.h: ingestion_rate_mb */
struct counters *tenant_counters(struct tenant *t); /* live as long as the tenant */

/* `labels` sorted, unique. A new one is made within two bounds: `max_active` streams of the tenant used within the last hour
 * (ERR_LIMIT beyond), and the registry's max_bytes (ERR_FULL beyond). STREAMS_STORED: rows that are stored already, which no
 * bound may make unreadable. */
#define STREAMS_STORED 0
#define STREAMS_ANY UINT64_MAX
MUST_USE bool stream_get(struct tenant *t, struct labels labels, uint64_t max_active, struct stream **ret, struct err *e);
uint32_t tenant_streams(struct tenant *t); /* how many there are: indexes below it are valid */
/* Copies the pointers of streams [0, n); n from tenant_streams(). */
void tenant_list(struct tenant *t, struct stream **to, uint32_t n);
uint64_t registry_memory(const struct registry *r); /* bytes held by tenants and streams: what max_bytes bounds */
uint64_t registry_streams(struct registry *r);

/* What a resource and its scope give to each record under them. Immutable but for `by_level`. */
struct source {
    _Atomic uint32_t refs;
    uint64_t serial;      /* not used twice in a process; 0: the source of those that have none */
    struct arena a;
    struct label *labels; /* of the stream, without a severity's; sorted */
    size_t n_labels, n_counted_labels; /* counted: without an added service_name */
    struct label *pairs;  /* metadata: sorted, unique; wins over a record's own */
    size_t n_pairs;
    struct err bad;       /* code set: why records of this source are refused */
    int bad_why;          /* enum reject_reason of it */
    struct stream *plain; /* stream of `labels` alone, once made; under tenant.mu */
    VEC(struct { sv text; struct stream *st; }) by_level; /* under tenant.mu */
};
/* The cached source for these bytes with a reference, or NULL. */
struct source *source_find(struct tenant *t, sv key);
/* Caches it (best effort: memory may be short, caches of other tenants full); the caller keeps its reference. `key` is
 * copied. */
void source_keep(struct tenant *t, sv key, struct source *s);
struct source *source_new(void); /* NULL when out of memory; one reference */
void source_unref(struct source *s);
DEFINE_SCOPED(struct source *, source_unref)
/* The stream for records of severity `level` (n = 0: no level label). */
MUST_USE bool source_stream(struct tenant *t, struct source *s, sv level, uint64_t max_active, struct stream **ret,
                            struct err *e);

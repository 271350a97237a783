/* counters.h - what came in and what was refused, by tenant, under Loki's metric names.
 * Getting a series takes the registry's lock and a search through all tenants, so each tenant keeps its own: made once, in the
 * thread of its first push; the log's committer, which answers everybody, only adds. */
#pragma once
#include "store/rejects.h"

struct counters { /* zeroed by its owner; NULL: not met yet */
    _Atomic(struct metric *) lines, bytes, metadata_bytes;
    _Atomic(struct metric *) refused[REJECT_REASONS], refused_bytes[REJECT_REASONS];
};

/* Any thread. */
void counters_prepare(struct counters *c, struct metrics *m, sv tenant);
/* After counters_prepare(). `bytes`: lines and metadata. */
void count_received(struct counters *c, uint64_t lines, uint64_t bytes, uint64_t metadata_bytes);
/* All of a request, as refused for one reason. */
void count_refused(struct counters *c, struct metrics *m, sv tenant, enum reject_reason why, uint64_t records, uint64_t bytes);
/* Lines cut to max_line_size, and the bytes that went. */
void count_cut(struct metrics *m, sv tenant, uint64_t lines, uint64_t bytes);
/* loki_discarded_samples_total and loki_discarded_bytes_total. */
void count_rejects(struct counters *c, struct metrics *m, sv tenant, const struct rejects *r);

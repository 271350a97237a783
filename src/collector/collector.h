/* collector.h - the OpenTelemetry Collector's configuration, checked and run: receivers → processors → exporters.
 * (1) A request is answered with success only when it is safe: in the disk queue of every exporter of its pipelines, or
 *     taken by an exporter that answers for its own durability.
 * (2) What an exporter cannot deliver now waits in its queue; what it can never deliver is counted, logged and kept.
 * (3) Exporters share nothing but the bytes: a dead backend delays no other. */
#pragma once
#include "base/buf.h"
#include "base/metrics.h"
#include "otlp/batch.h"

/* An exporter the program brings along under a type name of its own, e.g. "store": configured as `exporters: {store: }`.
 * It is pushed to synchronously: its PUSH_SENT is the acknowledgement. */
struct collector_sink {
    const char *type;
    struct log_sink sink;
};

struct collector_config; /* a file that has been read and found good; immutable */

/* Reads and checks the whole text. False: ERR_INVALID with the number of problems in `e`, and all of them, one
 * "file:line:column: what" a line, in *problems. Warnings (keys without effect, unset variables) come in *warnings.
 * Both bufs are appended to; they may be the same one. The strings of `sinks` must outlive the configuration. */
MUST_USE bool collector_config_parse(sv text, const char *file, const struct collector_sink *sinks, size_t n_sinks,
                                     struct collector_config **ret, struct buf *problems, struct buf *warnings,
                                     struct err *e);
MUST_USE bool collector_config_load(const char *path, const struct collector_sink *sinks, size_t n_sinks,
                                    struct collector_config **ret, struct buf *problems, struct buf *warnings,
                                    struct err *e);
void collector_config_free(struct collector_config *cfg); /* NULL is fine */
/* For `weir check FILE`: nothing is started. Warnings are in *problems too. */
MUST_USE bool collector_check(const char *path, struct buf *problems, struct err *e);
/* The components and keys there are, as markdown tables: part of docs/collector.md. */
void collector_print_reference(struct buf *out);

struct collector_options {
    const char *data_dir;    /* queues: <data_dir>/queue/<exporter id>, refused requests: <data_dir>/rejected */
    struct metrics *metrics; /* where to count; NULL: a registry of its own. Must outlive the collector */
    unsigned n_loops;        /* threads for receivers; 0: 2 */
};
struct collector;

/* Starts sinks first, receivers last. `cfg` must outlive the collector. Errors name the component. */
MUST_USE bool collector_open(const struct collector_config *cfg, const struct collector_options *opt,
                             struct collector **ret, struct err *e);
/* Stops receiving, lets what is under way finish for up to drain_ms, leaves the rest on disk. NULL is fine. */
void collector_close(struct collector *c, int64_t drain_ms);

/* Where a receiver listens ("127.0.0.1:4317", with the real port): protocol "grpc" or "http". NULL: it does not.
 * The own-telemetry listener is ("telemetry", "metrics"). */
const char *collector_address(const struct collector *c, const char *id, const char *protocol);

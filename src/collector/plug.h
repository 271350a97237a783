/* plug.h - what a component is: a const table with its rows of keys and its functions; plugs.c lists them all. */
#pragma once
#include "base/metrics.h"
#include "collector/section.h"
#include "net/loop.h"
#include "otlp/batch.h"

enum plug_kind { PLUG_RECEIVER, PLUG_PROCESSOR, PLUG_EXPORTER, PLUG_EXTENSION, PLUG_CONNECTOR, PLUG_KINDS };

struct component { /* one entry of `receivers`, `processors`, … */
    const struct plug *plug;
    char *id;  /* as written: "otlphttp/logs" */
    void *cfg; /* plug->cfg_size bytes, filled from plug->section */
    const struct log_sink *given; /* an exporter the program brought along */
    unsigned line, column;
};

struct runtime { /* what components run on; outlives them */
    const char *data_dir;
    struct metrics *metrics;
    struct loop **loops; /* receivers */
    size_t n_loops;
    struct loop *export_loop; /* outgoing connections, timers */
};

/* Merging on the reading side of a queue. */
struct batching {
    const char *processor; /* whose metrics count; NULL: none */
    uint64_t min_records, max_records; /* max 0: no splitting */
    int64_t timeout_ns;
};

struct plug {
    enum plug_kind kind;
    const char *type;
    const char *alias; /* a second name upstream knows it by; NULL */
    const char *help;
    const struct section *section;
    size_t cfg_size;
    size_t sender; /* exporters: offset of struct sender_settings in cfg; NO_FLAG: none */
    union {
        struct {
            /* Pushes batches into `to`, which outlives it. */
            bool (*open)(const struct component *cp, const struct runtime *rt, const struct log_sink *to, void **ret,
                         struct err *e);
            void (*stop)(void *self, int64_t drain_ms); /* afterwards no new push comes */
            void (*free)(void *self);                   /* waits until every push has been answered; NULL is fine */
            const char *(*address)(const void *self, const char *protocol); /* NULL: not listening */
        } receiver;
        struct {
            /* Either: a stage in front of `next`. */
            bool (*open)(const struct component *cp, const struct runtime *rt, const struct log_sink *next,
                         struct log_sink *ret, struct err *e);
            void (*close)(void *self);
            /* Or: how the queues behind it merge. */
            void (*batching)(const struct component *cp, struct batching *ret);
        } processor;
        struct {
            /* One attempt per push; queue and retries are around it (sender.h). */
            bool (*open)(const struct component *cp, const struct runtime *rt, struct log_sink *ret, struct err *e);
            void (*close)(void *self); /* pushes under way are answered with PUSH_RETRY first */
        } exporter;
        struct {
            /* Storage: where queues that name it lie. Then there is nothing else. */
            const char *(*directory)(const struct component *cp);
            bool (*open)(const struct component *cp, const struct runtime *rt, void **ret, struct err *e);
            void (*ready)(void *self, bool is_ready); /* all pipelines run; or they are about to stop */
            void (*close)(void *self);
            const char *(*address)(const void *self, const char *protocol); /* NULL: not listening */
        } extension;
    };
};
extern const struct plug *const plugs[]; /* NULL-terminated */
extern const char *const plug_kind_names[PLUG_KINDS]; /* "receiver", … */
const struct plug *plug_find(enum plug_kind kind, sv type);

extern const struct plug receiver_otlp, receiver_weirspool, processor_batch, processor_memory_limiter, exporter_otlphttp,
    exporter_otlp_grpc, exporter_debug, extension_file_storage, extension_health_check;

/* config.h - a checked configuration, for the graph. */
#pragma once
#include "collector/collector.h"
#include "collector/plug.h"

struct pipeline {
    char *id; /* "logs", "logs/audit" */
    const struct component **receivers, **processors, **exporters;
    size_t n_receivers, n_processors, n_exporters;
};

struct telemetry {
    char *level; /* none, basic, normal, detailed */
    char *host;
    uint64_t port;
    char *log_level;
};

struct collector_config {
    struct component *components; /* all kinds, in the file's order */
    size_t n_components;
    const struct component **extensions; /* those of service::extensions */
    size_t n_extensions;
    struct pipeline *pipelines;
    size_t n_pipelines;
    struct telemetry telemetry;
};
struct sender_settings;
const struct sender_settings *component_sender(const struct component *exporter); /* NULL: its type has none */
/* Where its queue lies: a storage extension's directory, else data_dir. */
const char *config_queue_dir(const struct collector_config *cfg, const struct component *exporter, const char *data_dir);
/* How the queue of this exporter merges: the batch processor of its pipelines, or its own sending_queue.batch. */
void config_batching(const struct collector_config *cfg, const struct component *exporter, struct batching *ret);

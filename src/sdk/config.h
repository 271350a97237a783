/* config.h - declarative configuration (specification, "Configuration"): Parse makes a struct config of a file's text, Create a
 * provider of that. What belongs to other signals is read as YAML and otherwise left alone. */
#pragma once
#include "base/log.h"
#include "sdk/config_text.h"
#include <weir/sdk.h>

#define CONFIG_MAX_BYTES ((size_t)1 << 20)
#define CONFIG_MAX_ENTRIES 1000 /* of any list */
#define CONFIG_MAX_PROCESSORS 32

struct config_limits {
    int64_t count, length, depth; /* -1: not said */
};

enum config_exporter_kind { CONFIG_OTLP, CONFIG_OTLP_FILE, CONFIG_CONSOLE };
struct config_exporter {
    enum config_exporter_kind kind;
    weir_otlp_options otlp;
    const char *path; /* of OTLP_FILE; NULL: standard output */
    int64_t max_request_bytes;
    const char *where; /* "file:line:column: path", for messages */
};

struct config_processor {
    bool batch; /* else simple, and the next four say nothing */
    int64_t schedule_delay_ms, export_timeout_ms, max_queue_size, max_export_batch_size;
    struct config_exporter exporter;
};

struct config_rule { /* a LoggerConfig, and whose */
    const char *name; /* pattern */
    weir_logger_config config;
};
struct config_rules {
    weir_logger_config otherwise;
    struct config_rule *at; /* the first that matches */
    size_t n;
};

struct config_texts {
    const char **at;
    size_t n;
};
struct config_attrs {
    weir_attr *at;
    size_t n, cap;
};
struct config_resource {
    struct config_attrs list, attributes; /* the second win */
    const char *schema_url;               /* or NULL */
    struct config_texts detectors;        /* as weir_resource_detect() names them */
    struct config_texts included, excluded;
};

struct config_note { /* to be said when it is put to use */
    enum log_level level;
    const char *text;
    struct config_note *next;
};

struct config {
    struct arena mem; /* holds everything */
    const char *file; /* for messages */
    bool disabled;
    enum log_level log_level;
    struct config_limits limits, log_limits;
    struct config_resource resource;
    struct config_processor *processors;
    size_t n_processors;
    struct config_rules *rules; /* or NULL */
    struct config_note *notes;
};

/* Parse. On failure `e` names file, line, column and the path of keys: "otel.yaml:4:7: logger_provider.limits: …". */
MUST_USE bool config_parse(sv text, const char *file, config_getenv_fn *getenv_fn, struct config **ret, struct err *e);
MUST_USE bool config_read(const char *path, struct config **ret, struct err *e); /* a file, with the process's environment */
void config_free(struct config *c);                                             /* NULL is fine */

/* Create. The provider borrows `c`. No OTEL_* variable counts, but for what detectors report. service_name: may be NULL, else over
 * what the file says. */
MUST_USE bool config_create(const struct config *c, const char *service_name, weir_provider **ret, struct err *e);

/* limits.h - what a tenant may do. Loki's names, meanings and texts where Loki has the limit; our defaults are generous.
 * (1) The settings are everybody's; a file in the shape of Loki's runtime overrides, `overrides: {tenant: {limit: value}}`, says
 *     what is different for a tenant. It is read again when it changes, without a restart.
 * (2) A file that cannot be read, or names what is no limit, stops the start; later it changes nothing and is counted
 *     (loki_runtime_config_last_reload_successful).
 * (3) Whoever serves a request copies its tenant's limits once: they do not change under it. */
#pragma once
#include "base/metrics.h"
#include "base/option.h"
#include "store/labels.h"

struct limits { /* 0: no limit, where nothing else is said */
    /* pushes */
    bool level_label, discover_service_name, discover_log_levels;
    double ingestion_rate_mb, ingestion_burst_size_mb; /* of 1024 * 1024 bytes a second; burst 0: what comes in 1.5 s */
    uint64_t per_stream_rate_limit, per_stream_rate_limit_burst; /* line bytes a second; burst 0: five seconds' */
    uint64_t max_line_size;
    bool max_line_size_truncate;
    uint64_t max_label_name_length, max_label_value_length, max_label_names_per_series;
    bool allow_structured_metadata;
    uint64_t max_structured_metadata_size, max_structured_metadata_entries_count;
    uint64_t max_streams_per_user, max_global_streams_per_user; /* the smaller one counts: there is one process */
    bool reject_old_samples;
    int64_t reject_old_samples_max_age, creation_grace_period;
    /* queries */
    uint64_t max_entries_limit_per_query, max_query_series, max_streams_matchers_per_query;
    int64_t max_query_length, max_query_lookback, max_query_range, query_timeout;
    /* what is kept */
    int64_t retention_period;
    unsigned deletion_mode; /* enum deletion_mode */
    uint32_t version;       /* other limits, other number; 0: everybody's */
};
extern const struct option limits_options[];
enum deletion_mode { DELETION_DISABLED, DELETION_FILTER_ONLY, DELETION_FILTER_AND_DELETE };

struct limits_config { /* filled from limits_config_options */
    char *per_tenant_override_config; /* NULL or empty: no file */
    int64_t per_tenant_override_period;
};
extern const struct option limits_config_options[];

struct limits_book;
/* Borrows `defaults` and `cfg`. Reads the file and, when there is one, starts the thread that looks at it. */
MUST_USE bool limits_open(const struct limits *defaults, const struct limits_config *cfg, struct metrics *m,
                          struct limits_book **ret, struct err *e);
void limits_close(struct limits_book *b); /* NULL is fine */
/* Any thread; NULL book: not possible. */
void limits_find(struct limits_book *b, sv tenant, struct limits *ret);
/* How long rows of a stream are kept: the period of the first retention_stream that fits, by priority, else retention_period;
 * 0: forever. */
int64_t limits_retention(struct limits_book *b, sv tenant, struct labels stream);
/* The shortest of the periods in force; 0: everything is kept. */
int64_t limits_shortest_retention(struct limits_book *b);
/* Looks at the file now, as the thread does every per_tenant_override_period. */
MUST_USE bool limits_reload(struct limits_book *b, struct err *e);

/* Streams a tenant may have in use. */
static inline uint64_t limits_streams(const struct limits *l)
{
    uint64_t a = l->max_streams_per_user, b = l->max_global_streams_per_user;
    return !a || !b ? MAX(a, b) : MIN(a, b);
}
/* Sizes as Loki's messages have them: "3MB", "1.5KB", "512B", by 1024. */
void limits_size_text(double bytes, char to[static 24]);

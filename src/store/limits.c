/* limits.c - see limits.h: the table of limits, and who has which. The overrides file is read in limits_file.c. */
#include "store/limits_int.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/map.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX (16u << 20)

#define L(kind, field, text, help) OPT(kind, struct limits, field, text, help)
const struct option limits_options[] = {
    L(BOOL, level_label, "true", "severity text becomes the index label `level`"),
    L(BOOL, discover_service_name, "true", "streams without service_name get one from other labels"),
    L(BOOL, discover_log_levels, "true", "records get the metadata `detected_level`"),
    L(DOUBLE, ingestion_rate_mb, "0", "most MiB of lines and metadata pushed in a second (429); 0: any"),
    L(DOUBLE, ingestion_burst_size_mb, "0", "most MiB of them at once; 0: what may come in 1.5 seconds"),
    L(BYTES, per_stream_rate_limit, "0", "most bytes of lines of a stream pushed in a second (429); 0: any"),
    L(BYTES, per_stream_rate_limit_burst, "0", "most of them at once; 0: what may come in 5 seconds"),
    L(BYTES, max_line_size, "256KiB", "longest log line; 0: any"),
    L(BOOL, max_line_size_truncate, "false", "cut longer lines instead of refusing them"),
    L(U64, max_label_name_length, "1024", "longest label name; 0: any"),
    L(U64, max_label_value_length, "2048", "longest label value; 0: any"),
    L(U64, max_label_names_per_series, "64", "most index labels of a stream; 0: any"),
    L(BOOL, allow_structured_metadata, "true", "take records with metadata; OTLP's always have some"),
    L(BYTES, max_structured_metadata_size, "64KiB", "most metadata of a record, names and values; 0: any"),
    L(U64, max_structured_metadata_entries_count, "128", "most metadata entries of a record; 0: any"),
    L(U64, max_streams_per_user, "1000000", "most streams of a tenant in use within an hour; 0: any"),
    L(U64, max_global_streams_per_user, "0", "the same; the smaller one counts"),
    L(BOOL, reject_old_samples, "true", "refuse records older than reject_old_samples_max_age"),
    L(DURATION, reject_old_samples_max_age, "0", "refuse records older than this; 0: take them all"),
    L(DURATION, creation_grace_period, "0", "refuse records further in the future than this; 0: take them all"),
    L(U64, max_entries_limit_per_query, "5000", "largest `limit` of a log query; 0: no cap"),
    L(U64, max_query_series, "500", "most series a metric query may return"),
    L(U64, max_streams_matchers_per_query, "1000", "most matchers in a query; 0: no cap"),
    L(DURATION, max_query_length, "721h", "longest time range of a query; 0: no cap"),
    L(DURATION, max_query_lookback, "0", "how far back queries may look; 0: no cap"),
    L(DURATION, max_query_range, "0", "longest [range] in a metric query; 0: no cap"),
    L(DURATION, query_timeout, "1m", "longest a query may take; 0: no cap"),
    L(DURATION, retention_period, "0", "records older than this are not shown, and removed; 0: they stay for ever"),
    {"deletion_mode", OPTION_CHOICE, offsetof(struct limits, deletion_mode), "filter-and-delete",
     "may records be deleted, and are they only hidden", "disabled|filter-only|filter-and-delete"},
    {0},
};
#undef L

const struct option limits_config_options[] = {
    OPT_ARG(STR, struct limits_config, per_tenant_override_config, NULL, "FILE",
            "YAML with other limits for some tenants, in the shape of Loki's runtime overrides"),
    OPT(DURATION, struct limits_config, per_tenant_override_period, "10s", "how often that file is looked at"),
    {0},
};

struct limits_book {
    const struct limits *defaults; /* borrowed; read-only after limits_open(), as the next two */
    const struct limits_config *cfg;
    struct metric *reload_ok;
    struct lock mu;
    struct cond wake;
    bool stop;                  /* under mu */
    struct limits_table *table; /* under mu; NULL: everybody has the defaults */
    struct lock reload_mu;      /* one reload at a time; outer to mu */
    struct buf text;            /* under reload_mu: what the table was made of */
    pthread_t thread;
    bool started;
};

static bool has_file(const struct limits_book *b)
{
    return b->cfg->per_tenant_override_config && *b->cfg->per_tenant_override_config;
}

bool limits_reload(struct limits_book *b, struct err *e)
{
    const char *path = b->cfg->per_tenant_override_config;
    SCOPED(buf_done) struct buf text = buf_capped(FILE_MAX);
    struct limits_table *made = NULL;
    LOCK_SCOPED(&b->reload_mu);
    if (!has_file(b))
        return true;
    bool ok = io_read_file(AT_FDCWD, path, &text, e);
    if (ok && b->text.p && sv_eq(buf_view(&text), buf_view(&b->text)))
        return true; /* nor does it say again what was wrong with it */
    ok = ok && limits_table_read(buf_view(&text), path, b->defaults, &made, e);
    metric_set(b->reload_ok, ok);
    if (text.p) { /* also one that is wrong: it is complained about once */
        buf_done(&b->text);
        b->text = text;
        text = (struct buf){0};
    }
    if (!ok)
        return err_ctx(e, "per_tenant_override_config");
    lock_acquire(&b->mu);
    struct limits_table *before = b->table;
    b->table = made;
    lock_release(&b->mu);
    limits_table_free(before);
    return true;
}

static void *watch(void *ctx)
{
    struct limits_book *b = ctx;
    struct err told = {0}; /* a file that is away is told once */
    LOCK_SCOPED(&b->mu);
    while (!b->stop) {
        if (cond_wait_until(&b->wake, &b->mu, clock_mono_ns() + b->cfg->per_tenant_override_period))
            continue;
        lock_release(&b->mu);
        struct err e = {0};
        if (!limits_reload(b, &e) && !sv_eq(sv_of(e.msg), sv_of(told.msg)))
            log_error("limits", "the limits stay as they are: %s", e.msg);
        told = e;
        lock_acquire(&b->mu);
    }
    return NULL;
}

bool limits_open(const struct limits *defaults, const struct limits_config *cfg, struct metrics *m, struct limits_book **ret,
                 struct err *e)
{
    struct limits_book *b = calloc(1, sizeof *b);
    if (!b)
        return err_nomem(e);
    b->defaults = defaults;
    b->cfg = cfg;
    lock_init(&b->mu);
    lock_init(&b->reload_mu);
    cond_init(&b->wake);
    b->reload_ok = metrics_get(m, METRIC_GAUGE, "loki_runtime_config_last_reload_successful",
                               "Whether the file of limits could be read when it last changed.", (const char *[]){NULL});
    metric_set(b->reload_ok, 1);
    bool ok = true;
    if (has_file(b)) {
        if (cfg->per_tenant_override_period < NS_PER_MS)
            ok = err_set(e, ERR_INVALID, "'per_tenant_override_period' must be at least 1ms");
        ok = ok && limits_reload(b, e);
        int rc = ok ? pthread_create(&b->thread, NULL, watch, b) : 0;
        if (rc)
            ok = err_sys_code(e, rc, "cannot start the thread that reads limits");
        b->started = ok;
    }
    if (!ok) {
        limits_close(b);
        return false;
    }
    if (b->started)
        pthread_setname_np(b->thread, "weir-limits");
    *ret = b;
    return true;
}

void limits_close(struct limits_book *b)
{
    if (!b)
        return;
    lock_acquire(&b->mu);
    b->stop = true;
    cond_signal(&b->wake);
    lock_release(&b->mu);
    if (b->started)
        pthread_join(b->thread, NULL);
    limits_table_free(b->table);
    buf_done(&b->text);
    lock_done(&b->mu);
    lock_done(&b->reload_mu);
    cond_done(&b->wake);
    free(b);
}

void limits_find(struct limits_book *b, sv tenant, struct limits *ret)
{
    if (!has_file(b)) {
        *ret = *b->defaults;
        return;
    }
    LOCK_SCOPED(&b->mu);
    const struct tenant_limits *t = limits_table_get(b->table, tenant);
    *ret = t ? t->limits : *b->defaults;
}

int64_t limits_retention(struct limits_book *b, sv tenant, struct labels stream)
{
    if (!has_file(b))
        return b->defaults->retention_period;
    LOCK_SCOPED(&b->mu);
    const struct tenant_limits *t = limits_table_get(b->table, tenant);
    for (size_t i = 0; t && i < t->n_rules; i++)
        if (matchers_accept(t->rules[i].matchers, t->rules[i].n_matchers, stream))
            return t->rules[i].period_ns;
    return t ? t->limits.retention_period : b->defaults->retention_period;
}

int64_t limits_shortest_retention(struct limits_book *b)
{
    int64_t all = b->defaults->retention_period;
    if (!has_file(b))
        return all;
    LOCK_SCOPED(&b->mu);
    int64_t some = limits_table_shortest(b->table);
    return !all || !some ? MAX(all, some) : MIN(all, some);
}

void limits_size_text(double bytes, char to[static 24])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    size_t u = 0;
    for (; bytes >= 1024 && u + 1 < ARRAY_LEN(units); u++)
        bytes /= 1024;
    int n = snprintf(to, 20, "%.2f", bytes);
    while (n > 0 && to[n - 1] == '0')
        n--;
    n -= n > 0 && to[n - 1] == '.';
    snprintf(to + n, 4, "%s", units[u]);
}

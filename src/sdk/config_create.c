/* config_create.c - Create: a provider of what a configuration file says.
 * (1) OTEL_* variables are hidden while the parts are made: the file is in their place. WEIR_* ones hold, since no key of the
 *     schema says what they say.
 * (2) An error of a part names the exporter's place in the file. */
#include "base/log.h"
#include "sdk/config.h"
#include "sdk/env.h"
#include "sdk/pipeline.h"

/* Batches are at most this large anyway (weir_batch_options). */
#define BATCH_BYTES ((int64_t)3 << 20)

static bool take_error(struct err *e, const char *where, const weir_error *why)
{
    return err_set(e, ERR_INVALID, "%s%s%s", where, *where ? ": " : "", why->message);
}

/* ---- processors ---- */

static weir_exporter *make_exporter(const struct config_exporter *x, weir_error *why)
{
    switch (x->kind) {
    case CONFIG_OTLP:
        return weir_otlp_exporter_new(&x->otlp, why);
    case CONFIG_OTLP_FILE:
        return weir_otlp_file_exporter_new(x->path, why);
    case CONFIG_CONSOLE:
        return weir_console_exporter_new(why);
    }
    return NULL;
}

static weir_processor *make_processor(const struct config_processor *p, weir_error *why)
{
    weir_exporter *exporter = make_exporter(&p->exporter, why);
    if (!exporter || !p->batch)
        return weir_simple_processor_new(exporter, why);
    weir_batch_options o = weir_batch_options_init();
    o.schedule_delay_ms = MAX(p->schedule_delay_ms, (int64_t)1); /* 0 would be the default */
    o.export_timeout_ms = p->export_timeout_ms ? p->export_timeout_ms : INT32_MAX;
    o.max_queue_size = (uint32_t)p->max_queue_size;
    o.max_export_batch_size = (uint32_t)p->max_export_batch_size;
    if (p->exporter.max_request_bytes)
        o.max_export_batch_bytes = (uint64_t)MIN(p->exporter.max_request_bytes, BATCH_BYTES);
    return weir_batch_processor_new(exporter, &o, why);
}

struct chain {
    weir_processor *at[CONFIG_MAX_PROCESSORS];
    size_t n;
};

static bool make_chain(const struct config *c, struct chain *ret, struct err *e)
{
    weir_error why = {""};
    for (size_t i = 0; i < c->n_processors && !c->disabled; i++) {
        ret->at[ret->n] = make_processor(&c->processors[i], &why);
        if (!ret->at[ret->n]) {
            while (ret->n)
                weir_processor_free(ret->at[--ret->n]);
            return take_error(e, c->processors[i].exporter.where, &why);
        }
        ret->n++;
    }
    return true;
}

/* ---- resource ---- */

static bool any_matches(const struct config_texts *patterns, sv key)
{
    for (size_t i = 0; i < patterns->n; i++)
        if (config_matches(sv_of(patterns->at[i]), key))
            return true;
    return false;
}

/* Takes out what is not to be told. */
static void filter(const struct config_resource *from, struct weir_resource *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++) {
        sv key = sv_make(r->attrs[i].key.data, r->attrs[i].key.size);
        if ((!from->included.n || any_matches(&from->included, key)) && !any_matches(&from->excluded, key))
            r->attrs[kept++] = r->attrs[i];
    }
    r->n = kept;
}

/* The service detector reports OTEL_SERVICE_NAME: that one is asked for. */
static weir_resource *detect(const struct config_resource *from, weir_error *why)
{
    SCOPED(buf_done) struct buf names = {0};
    for (size_t i = 0; i < from->detectors.n; i++)
        buf_fmt(&names, "%s,", from->detectors.at[i]);
    buf_char(&names, 0);
    bool hidden = env_hide_otel(false);
    weir_resource *r = names.failed ? NULL : weir_resource_detect(names.p, why);
    env_hide_otel(hidden);
    if (r)
        filter(from, r);
    return r;
}

static weir_resource *merge(weir_resource *old, weir_resource *updating)
{
    weir_resource *r = old && updating ? weir_resource_merge(old, updating) : NULL;
    weir_resource_free(old);
    weir_resource_free(updating);
    return r;
}

/* Detected, under the list, under the attributes, under the program's own name. NULL: no memory. */
static weir_resource *make_resource(const struct config_resource *from, const char *service_name, weir_error *why)
{
    weir_attr name = weir_str("service.name", service_name);
    weir_resource *r = detect(from, why);
    r = merge(r, weir_resource_new(from->list.at, from->list.n, NULL));
    r = merge(r, weir_resource_new(from->attributes.at, from->attributes.n, from->schema_url));
    return merge(r, weir_resource_new(&name, service_name && *service_name, NULL));
}

/* ---- provider ---- */

static void configure_logger(void *context, const weir_scope *scope, weir_logger_config *config)
{
    const struct config_rules *rules = context;
    *config = rules->otherwise;
    for (size_t i = 0; i < rules->n; i++)
        if (config_matches(sv_of(rules->at[i].name), sv_make(scope->name.data, scope->name.size))) {
            *config = rules->at[i].config;
            return;
        }
}

static int64_t limit(int64_t of_logs, int64_t general, int64_t otherwise)
{
    return of_logs >= 0 ? of_logs : general >= 0 ? general : otherwise;
}

/* In the provider's own terms: its options cannot say zero. */
static struct limits limits_of(const struct config *c)
{
    const struct config_limits *l = &c->log_limits, *g = &c->limits;
    int64_t depth = limit(l->depth, g->depth, DEPTH_SAFE);
    if (depth > 64)
        log_warn("sdk", "%s: attribute_value_depth_limit: values deeper than 64 are not kept", c->file);
    return (struct limits){limit(l->count, g->count, 128), limit(l->length, g->length, INT64_MAX), MIN(depth, (int64_t)64)};
}

static bool create(const struct config *c, const char *service_name, weir_provider **ret, struct err *e)
{
    struct chain chain = {0};
    weir_error why = {""};
    if (!make_chain(c, &chain, e))
        return false;
    weir_provider_options o = weir_provider_options_init();
    weir_resource *own = make_resource(&c->resource, service_name, &why);
    o.resource = own;
    o.configure_logger = c->rules ? configure_logger : NULL;
    o.configure_context = c->rules;
    weir_provider *p = own ? weir_provider_new(&o, chain.at, chain.n, &why) : NULL;
    for (size_t i = 0; i < chain.n && !own; i++)
        weir_processor_free(chain.at[i]);
    weir_resource_free(own);
    if (!p)
        return *why.message ? take_error(e, c->file, &why) : err_nomem(e);
    p->limits = limits_of(c); /* no logger has been asked for yet */
    *ret = p;
    return true;
}

bool config_create(const struct config *c, const char *service_name, weir_provider **ret, struct err *e)
{
    log_set_level(c->log_level);
    for (const struct config_note *n = c->notes; n; n = n->next)
        LOG(n->level, "sdk", "%s", n->text);
    bool hidden = env_hide_otel(true);
    bool ok = create(c, service_name, ret, e);
    env_hide_otel(hidden);
    return ok;
}

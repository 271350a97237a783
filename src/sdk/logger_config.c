/* logger_config.c - see logger_config.h, and "LoggerConfig" of the specification. */
#include "sdk/logger_config.h"
#include "sdk/encode.h"

bool gate_sampled(const weir_trace_context *trace)
{
    static const uint8_t no_span[8];
    weir_trace_context current;
    if (!trace) {
        weir_trace_context_current(&current);
        trace = &current;
    }
    return (trace->flags & 1) || memcmp(trace->span_id, no_span, sizeof no_span) == 0;
}

void logger_configure(struct weir_logger *lg)
{
    const struct weir_provider *p = lg->provider;
    lock_assert_held(&p->mu);
    weir_logger_config c = {.enabled = true, .minimum_severity = p->minimum_severity};
    if (p->configure_logger)
        p->configure_logger(p->configure_context, &lg->asked, &c);
    atomic_store_explicit(&lg->gate,
                          (uint32_t)c.minimum_severity | (c.enabled ? 0 : GATE_CLOSED) | (c.trace_based ? GATE_TRACE_BASED : 0),
                          memory_order_relaxed);
}

void weir_provider_update_loggers(weir_provider *p)
{
    if (!p)
        return;
    LOCK_SCOPED(&p->mu);
    for (struct map_slot *s = NULL; (s = map_next(&p->loggers, s));)
        logger_configure(s->value);
}

static bool text_copy(struct arena *a, weir_string s, weir_string *ret)
{
    sv copy = arena_sv(a, sv_of_weir(s));
    *ret = (weir_string){copy.p, copy.n};
    return copy.p != NULL;
}

bool scope_copy(struct arena *a, const weir_scope *scope, weir_scope *ret)
{
    weir_attr *attrs = arena_array(a, scope->n_attributes, sizeof *attrs);
    bool ok = attrs && text_copy(a, scope->name, &ret->name) && text_copy(a, scope->version, &ret->version) &&
              text_copy(a, scope->schema_url, &ret->schema_url);
    for (size_t i = 0; ok && i < scope->n_attributes; i++)
        ok = attr_copy(a, scope->attributes[i], &attrs[i]);
    ret->attributes = attrs;
    ret->n_attributes = scope->n_attributes;
    return ok;
}

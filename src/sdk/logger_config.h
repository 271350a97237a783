/* logger_config.h - what a logger lets through. Its whole LoggerConfig is one atomic word, so that emitting reads it without a lock
 * and never sees half of a change. */
#pragma once
#include "sdk/pipeline.h"

/* bits 0..31: minimum severity, as int32; then: */
#define GATE_CLOSED (1ull << 32)
#define GATE_TRACE_BASED (1ull << 33)

bool gate_sampled(const weir_trace_context *trace); /* false: a valid span that is not sampled; NULL: the thread's current one */

/* A record of this severity (0, or less: none) and trace context (NULL: the current one) may go on. */
static inline bool logger_admits(const struct weir_logger *lg, int severity, const weir_trace_context *trace)
{
    uint64_t gate = atomic_load_explicit(&lg->gate, memory_order_relaxed);
    if ((gate & GATE_CLOSED) || (severity > 0 && severity < (int32_t)(uint32_t)gate))
        return false;
    return !(gate & GATE_TRACE_BASED) || gate_sampled(trace);
}

/* Asks the configurator, with the provider's lock held. */
void logger_configure(struct weir_logger *lg);
MUST_USE bool scope_copy(struct arena *a, const weir_scope *scope, weir_scope *ret);

/* trace.c - trace context of a thread, and the traceparent header (W3C Trace Context, level 1). */
#include "base/json_out.h"
#include "sdk/pipeline.h"
#include <stdio.h>
#include <weir/logs.h>

static _Thread_local weir_trace_context current;

void weir_trace_context_set_current(const weir_trace_context *context)
{
    current = context ? *context : (weir_trace_context){0};
}

const weir_trace_context *trace_current(void)
{
    return &current;
}

void weir_trace_context_current(weir_trace_context *ret)
{
    *ret = current;
}

void weir_trace_context_new(weir_trace_context *ret)
{
    random_bytes(ret->trace_id, sizeof ret->trace_id);
    random_bytes(ret->span_id, sizeof ret->span_id);
    ret->trace_id[15] |= 1; /* never all zero */
    ret->span_id[7] |= 1;
    ret->flags = 1;
}

void weir_trace_context_child(const weir_trace_context *parent, weir_trace_context *ret)
{
    *ret = *parent;
    random_bytes(ret->span_id, sizeof ret->span_id);
    ret->span_id[7] |= 1;
}

bool weir_traceparent_parse(const char *text, weir_trace_context *ret)
{
    weir_trace_context t;
    uint8_t version;
    sv s = sv_trim(sv_of(text));
    static const weir_trace_context none;
    if (s.n < 55 || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-' || !hex_get(sv_sub(s, 0, 2), &version, 1, NULL) ||
        version == 0xff || (version == 0 && s.n != 55) || (s.n > 55 && s.p[55] != '-'))
        return false;
    if (!hex_get(sv_sub(s, 3, 32), t.trace_id, 16, NULL) || !hex_get(sv_sub(s, 36, 16), t.span_id, 8, NULL) ||
        !hex_get(sv_sub(s, 53, 2), &t.flags, 1, NULL))
        return false;
    if (memcmp(t.trace_id, none.trace_id, 16) == 0 || memcmp(t.span_id, none.span_id, 8) == 0)
        return false;
    *ret = t;
    return true;
}

void weir_traceparent_format(const weir_trace_context *context, char out[56])
{
    int n = snprintf(out, 56, "00-");
    for (int i = 0; i < 16; i++)
        n += snprintf(out + n, (size_t)(56 - n), "%02x", context->trace_id[i]);
    out[n++] = '-';
    for (int i = 0; i < 8; i++)
        n += snprintf(out + n, (size_t)(56 - n), "%02x", context->span_id[i]);
    snprintf(out + n, (size_t)(56 - n), "-%02x", context->flags);
}

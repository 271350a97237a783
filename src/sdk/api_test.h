/* api_test.h - for tests of the API: a provider whose only processor notes the last record it saw. */
#pragma once
#include "base/buf.h"
#include "base/test.h"
#include "sdk/encode.h"
#include "sdk/pipeline.h"

struct seen {
    size_t n;
    weir_log_record last; /* the numbers; views point into `text` and are not to be used */
    struct buf body, attrs, event, severity_text, scope;
    weir_trace_context trace;
};

/* Attributes as "key=value\n", in their order. */
static inline void seen_on_emit(void *self, weir_record *record)
{
    struct seen *s = self;
    const weir_log_record *r = weir_record_get(record);
    struct buf *all[] = {&s->body, &s->attrs, &s->event, &s->severity_text, &s->scope};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_reset(all[i]);
    s->n++;
    s->last = *r;
    s->trace = *r->trace;
    value_text(&s->body, r->body);
    for (size_t i = 0; i < r->n_attributes; i++) {
        buf_sv(&s->attrs, sv_of_weir(r->attributes[i].key));
        buf_char(&s->attrs, '=');
        value_text(&s->attrs, r->attributes[i].value);
        buf_char(&s->attrs, '\n');
    }
    buf_sv(&s->event, sv_of_weir(r->event_name));
    buf_sv(&s->severity_text, sv_of_weir(r->severity_text));
    buf_sv(&s->scope, sv_of_weir(weir_record_scope_name(record)));
}

static inline weir_provider *seen_provider(struct seen *s, const weir_provider_options *o)
{
    static const weir_processor_ops ops = {.struct_size = sizeof ops, .on_emit = seen_on_emit};
    *s = (struct seen){0};
    weir_processor *p = weir_processor_new(&ops, s);
    return weir_provider_new(o, &p, 1, NULL);
}

static inline void seen_done(struct seen *s)
{
    buf_done(&s->body);
    buf_done(&s->attrs);
    buf_done(&s->event);
    buf_done(&s->severity_text);
    buf_done(&s->scope);
}

/* The value of an attribute of the last record, up to the end of its line; p NULL: it is not there. */
static inline sv seen_attr(const struct seen *s, const char *key)
{
    sv rest = buf_view(&s->attrs), want = sv_of(key);
    while (rest.n) {
        sv line = sv_cut(&rest, '\n');
        if (sv_starts(line, want) && line.n > want.n && line.p[want.n] == '=')
            return sv_from(line, want.n + 1);
    }
    return SV_NULL;
}

/* text_exporters.c - weir_otlp_file_exporter_new() and weir_console_exporter_new(): a batch as text, written as whole lines.
 * Where the lines go and what becomes of them on a full disk: line_out.c. */
#include "base/clock.h"
#include "base/json_out.h"
#include "otlp/json.h"
#include "sdk/line_out.h"
#include "sdk/pipeline.h"
#include <stdio.h>
#include <stdlib.h>

struct text_exporter {
    void (*print)(sv request, struct buf *out);
    struct line_out *out;
    struct lock mu;
    struct buf text; /* under mu */
    _Atomic bool down;
};

static void text_export(void *self, const weir_batch *batch, int64_t timeout_ms, weir_export_result *ret)
{
    struct text_exporter *x = self;
    LOCK_SCOPED(&x->mu);
    *ret = (weir_export_result){.code = WEIR_EXPORT_RETRY, .retry_after_ms = -1};
    buf_reset(&x->text);
    x->print(batch->bytes, &x->text);
    if (atomic_load(&x->down))
        snprintf(ret->message, sizeof ret->message, "the exporter was shut down");
    else if (x->text.failed)
        snprintf(ret->message, sizeof ret->message, "no memory for the text of a batch");
    else
        line_out_put(x->out, buf_view(&x->text), batch, timeout_ms, ret);
}

static weir_result text_shutdown(void *self, int64_t timeout_ms)
{
    struct text_exporter *x = self;
    atomic_store(&x->down, true);
    line_out_stop(x->out);
    return WEIR_OK;
}

static void text_after_fork(void *self)
{
    struct text_exporter *x = self;
    lock_init(&x->mu);
    x->text = (struct buf){0};
    line_out_after_fork(x->out);
}

static void text_destroy(void *self)
{
    struct text_exporter *x = self;
    line_out_close(x->out);
    buf_done(&x->text);
    lock_done(&x->mu);
    free(x);
}

static weir_exporter *text_exporter_new(const char *what, const char *component, const char *path, void (*print)(sv request, struct buf *out),
                                        weir_error *ret_error)
{
    struct err e = {0};
    error_set(ret_error, "%s", ""); /* the innermost part of a chain: no earlier reason to keep */
    struct text_exporter *x = calloc(1, sizeof *x);
    if (!x) {
        error_set(ret_error, "out of memory");
        return NULL;
    }
    x->print = print;
    lock_init(&x->mu);
    if (!line_out_open(path, &x->out, &e)) {
        error_set(ret_error, "%s: %s", what, e.msg);
        text_destroy(x);
        return NULL;
    }
    weir_exporter_ops ops = {sizeof ops, text_export, NULL, text_shutdown, text_after_fork, text_destroy};
    weir_exporter *ex = weir_exporter_new(&ops, x);
    if (!ex)
        error_set(ret_error, "out of memory");
    else
        ex->component = component;
    return ex;
}

/* ---- OTLP/JSON ---- */

static void print_json(sv request, struct buf *out)
{
    otlp_to_json(request, out);
    buf_char(out, '\n');
}

weir_exporter *weir_otlp_file_exporter_new(const char *path, weir_error *ret_error)
{
    bool to_stdout = !path || strcmp(path, "stdout") == 0;
    return text_exporter_new("OTLP file exporter", "otlp_file_log_exporter", to_stdout ? NULL : path, print_json, ret_error);
}

/* ---- for people ---- */

/* Control characters, C1 among them, and what is no UTF-8, as \xNN: nobody forges a line or colours a terminal. */
static void put_shown(struct buf *out, sv s)
{
    while (s.n) {
        size_t good = sv_utf8_prefix(s), from = 0;
        for (size_t i = 0; i < good; i++) {
            unsigned char c = (unsigned char)s.p[i];
            bool c1 = c == 0xc2 && (unsigned char)s.p[i + 1] < 0xa0;
            if (c >= 0x20 && c != 0x7f && !c1)
                continue;
            buf_put(out, s.p + from, i - from);
            i += c1;
            buf_fmt(out, "\\x%02x", (unsigned char)s.p[i]);
            from = i + 1;
        }
        buf_put(out, s.p + from, good - from);
        if (good < s.n)
            buf_fmt(out, "\\x%02x", (unsigned char)s.p[good++]);
        s = sv_from(s, good);
    }
}

static void put_value(struct buf *out, sv any_value, bool quote)
{
    SCOPED(buf_done) struct buf text = {0};
    struct otlp_value v = otlp_read_value(any_value);
    otlp_value_text(any_value, 0, &text);
    bool bare = text.n > 0;
    for (size_t i = 0; i < text.n && bare; i++)
        bare = text.p[i] != ' ' && text.p[i] != '"' && text.p[i] != '=' && text.p[i] != '\'';
    if (quote && v.kind == OTLP_STRING && !bare) {
        struct buf quoted = {0};
        json_put_string(&quoted, buf_view(&text));
        buf_done(&text);
        text = quoted;
    }
    if (text.failed)
        out->failed = text.failed;
    put_shown(out, buf_view(&text));
}

static void put_attr(struct buf *out, sv key, sv any_value)
{
    buf_char(out, ' ');
    put_shown(out, key);
    buf_char(out, '=');
    put_value(out, any_value, true);
}

static void put_severity(struct buf *out, const struct otlp_record *r)
{
    size_t from = out->n;
    sv text = r->severity_text.n ? r->severity_text : sv_of(weir_severity_text(r->severity_number));
    put_shown(out, text.n ? text : SV("-"));
    while (out->n - from < 5 && !out->failed)
        buf_char(out, ' ');
}

static void put_id(struct buf *out, const char *key, sv id)
{
    if (!id.n)
        return;
    buf_fmt(out, " %s=", key);
    hex_put(out, id);
}

static void print_record(struct buf *out, const struct otlp_record *r, sv scope_name, sv service_name)
{
    char when[36] = "-";
    struct otlp_attr a;
    uint64_t ns = r->time_ns ? r->time_ns : r->observed_ns;
    if (ns && ns <= INT64_MAX)
        clock_format_rfc3339((int64_t)ns, 6, when);
    buf_fmt(out, "%s ", when);
    put_severity(out, r);
    buf_char(out, ' ');
    put_shown(out, scope_name.n ? scope_name : SV("-"));
    buf_sv(out, SV(": "));
    put_value(out, r->body, false);
    for (struct otlp_attr_iter it = otlp_attrs(r->raw, OTLP_RECORD_ATTRS); otlp_next_attr(&it, &a);)
        put_attr(out, a.key, a.value);
    put_id(out, "trace_id", r->trace_id);
    put_id(out, "span_id", r->span_id);
    if (r->event_name.n) {
        buf_sv(out, SV(" event="));
        put_shown(out, r->event_name);
    }
    if (service_name.p)
        put_attr(out, SV("service.name"), service_name);
    buf_char(out, '\n');
}

static void print_records(sv request, struct buf *out)
{
    struct otlp_resource_logs rl;
    struct otlp_scope_logs sl;
    struct otlp_record r;
    struct otlp_attr a;
    for (struct otlp_iter i = otlp_resources(request); otlp_next_resource(&i, &rl);) {
        sv service_name = SV_NULL;
        for (struct otlp_attr_iter it = otlp_attrs(rl.resource, OTLP_RESOURCE_ATTRS); otlp_next_attr(&it, &a);)
            if (sv_eq(a.key, SV("service.name")))
                service_name = a.value;
        for (struct otlp_iter k = otlp_scopes(&rl); otlp_next_scope(&k, &sl);) {
            struct otlp_scope scope = {0};
            otlp_read_scope(sl.scope, &scope);
            for (struct otlp_iter n = otlp_records(&sl); otlp_next_record(&n, &r);)
                print_record(out, &r, scope.name, service_name);
        }
    }
}

weir_exporter *weir_console_exporter_new(weir_error *ret_error)
{
    return text_exporter_new("console exporter", "console_log_exporter", NULL, print_records, ret_error);
}

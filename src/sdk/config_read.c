/* config_read.c - Parse: the schema of opentelemetry-configuration, as far as it is about logs, in tables.
 * (1) A key is in the table of its section or it is an error, which names the keys there are: nothing is ignored in silence. Only
 *     the root may hold more (the schema says so); what is unknown there is warned about.
 * (2) A key without a value counts as not written, but for components (`console:`), where it means all defaults.
 * (3) Kinds are strict: where a string is wanted, 12 is none and "12" is. Values of headers and attributes are in no message.
 * (4) The first problem ends it. */
#include "base/io.h"
#include "sdk/config_reader.h"
#include "sdk/env.h"
#include "sdk/yaml_load.h"
#include <fcntl.h>
#include <stdlib.h>

/* The version of the schema that is read here. */
#define FORMAT_MAJOR 1
#define FORMAT_MINOR 1
/* What the OTLP exporter reads of an answer at the most. */
#define MAX_RESPONSE (4 << 20)

/* ---- scalars of its own ---- */

static bool read_file_name(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    sv s;
    if (!cfg_string(r, at, &s))
        return false;
    if (s.n && s.p[0] != '/')
        return cfg_fail(r, at, "'" SV_FMT "' is not an absolute path", SV_ARG(sv_sub(s, 0, 100)));
    *(const char **)to = s.p;
    return true;
}

/* trace … fatal4 as a severity number. */
static bool read_severity(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    static const char *const names[] = {"trace", "debug", "info", "warn", "error", "fatal"};
    sv s;
    if (!cfg_string(r, at, &s))
        return false;
    for (int i = 0; i < (int)ARRAY_LEN(names); i++) {
        sv behind = sv_from(s, strlen(names[i]));
        if (!sv_starts(s, sv_of(names[i])) || behind.n > 1)
            continue;
        if (!behind.n || (behind.p[0] >= '2' && behind.p[0] <= '4')) {
            *(int32_t *)to = i * 4 + (behind.n ? behind.p[0] - '0' : 1);
            return true;
        }
    }
    return cfg_fail(r, at, "'" SV_FMT "' is not a severity: trace, debug, info, warn, error and fatal are, and each with 2, 3 or 4 "
                           "behind it", SV_ARG(sv_sub(s, 0, 40)));
}

static bool read_log_level(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    static const enum log_level levels[] = {LOG_LEVEL_DEBUG, LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR,
                                            LOG_LEVEL_ERROR};
    int32_t severity;
    if (!read_severity(r, at, f, &severity))
        return false;
    *(enum log_level *)to = levels[(severity - 1) / 4];
    return true;
}

/* ---- limits ---- */

static const struct field limit_fields[] = {
    {FIELD("attribute_count_limit", cfg_number, struct config_limits, count), .max = INT32_MAX},
    {FIELD("attribute_value_length_limit", cfg_number, struct config_limits, length), .max = INT64_MAX},
    {FIELD("attribute_value_depth_limit", cfg_number, struct config_limits, depth), .min = 1, .max = INT32_MAX},
    END,
};

/* ---- exporters ---- */

struct header {
    const char *name;
    sv value; /* p NULL: none */
};
struct headers {
    struct header *at;
    size_t n;
};
/* An exporter's section as it is written. */
struct otlp_text {
    const char *endpoint, *headers_list, *compression, *ca_file, *key_file, *cert_file, *encoding;
    struct headers headers;
    int64_t timeout_ms, max_request, max_response;
    bool insecure;
};

static bool read_value(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    return cfg_string(r, at, to);
}

static const struct field header_fields[] = {
    {FIELD("name", cfg_name, struct header, name), .required = true},
    {FIELD("value", read_value, struct header, value)},
    END,
};

static bool read_header(struct reader *r, const struct place *at, void *to)
{
    return cfg_fields(r, at, header_fields, to) && (yaml_get(at->node, SV("value")) || cfg_fail(r, at, "'value' is missing"));
}

static bool read_headers(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct headers *h = to;
    return cfg_list(r, at, CONFIG_MAX_ENTRIES, sizeof *h->at, read_header, &h->at, &h->n);
}

static bool read_compression(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    const char **text = to;
    if (!cfg_text(r, at, f, to))
        return false;
    return !**text || strcmp(*text, "gzip") == 0 || strcmp(*text, "none") == 0 ||
           cfg_fail(r, at, "'%.40s' is not known (gzip and none are)", *text);
}

static bool read_encoding(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    const char **text = to;
    if (!cfg_text(r, at, f, to))
        return false;
    return strcmp(*text, "protobuf") == 0 || strcmp(*text, "json") == 0 ||
           cfg_fail(r, at, "'%.40s' is not known (protobuf and json are)", *text);
}

#define TLS_FILES                                                                                                 \
    {FIELD("ca_file", read_file_name, struct otlp_text, ca_file)},                                                \
        {FIELD("key_file", read_file_name, struct otlp_text, key_file)},                                          \
        {FIELD("cert_file", read_file_name, struct otlp_text, cert_file)}
static const struct field http_tls_fields[] = {TLS_FILES, END};
static const struct field grpc_tls_fields[] = {TLS_FILES, {FIELD("insecure", cfg_bool, struct otlp_text, insecure)}, END};

static bool read_tls(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct otlp_text *t = to;
    if (!cfg_fields(r, at, f->fields, t))
        return false;
    bool key = t->key_file && *t->key_file, cert = t->cert_file && *t->cert_file;
    return key == cert ||
           cfg_fail(r, at, "key_file and cert_file come together, and %s is missing", key ? "cert_file" : "key_file");
}

static bool read_max_response(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    if (!cfg_number(r, at, f, to))
        return false;
    return *(int64_t *)to >= MAX_RESPONSE ||
           cfg_note(r, LOG_LEVEL_WARN, "%s:%u:%u: max_response_size: answers of up to 4 MiB are read anyway", r->c->file,
                    at->node->line, at->node->column);
}

#define OTLP_FIELDS(tls_fields)                                                                                   \
    {FIELD("endpoint", cfg_text, struct otlp_text, endpoint)},                                                   \
        {.name = "tls", .read = read_tls, .fields = tls_fields},                                                  \
        {FIELD("headers", read_headers, struct otlp_text, headers)},                                              \
        {FIELD("headers_list", cfg_text, struct otlp_text, headers_list)},                                       \
        {FIELD("compression", read_compression, struct otlp_text, compression)},                                  \
        {FIELD("timeout", cfg_number, struct otlp_text, timeout_ms), .max = INT32_MAX},                          \
        {FIELD("max_request_size", cfg_number, struct otlp_text, max_request), .max = INT64_MAX},                \
        {FIELD("max_response_size", read_max_response, struct otlp_text, max_response), .min = 1, .max = INT64_MAX}
static const struct field http_fields[] = {
    OTLP_FIELDS(http_tls_fields), {FIELD("encoding", read_encoding, struct otlp_text, encoding)}, END};
static const struct field grpc_fields[] = {OTLP_FIELDS(grpc_tls_fields), END};

/* As weir_otlp_options wants it: percent-encoded, with commas between. */
static void put_header(struct buf *b, sv name, sv value)
{
    const sv parts[] = {name, value};
    buf_sv(b, b->n ? SV(",") : SV(""));
    for (size_t k = 0; k < 2; k++) {
        buf_sv(b, k ? SV("=") : SV(""));
        for (size_t i = 0; i < parts[k].n; i++)
            buf_fmt(b, "%%%02x", (unsigned char)parts[k].p[i]);
    }
}

struct header_list {
    struct buf *to;
    const struct headers *over; /* these win */
};

static bool put_listed(void *ctx, sv key, sv value)
{
    struct header_list *l = ctx;
    for (size_t i = 0; i < l->over->n; i++)
        if (l->over->at[i].value.p && sv_eq_nocase(key, sv_of(l->over->at[i].name)))
            return true;
    put_header(l->to, key, value);
    return true;
}

static bool join_headers(struct reader *r, const struct place *at, const struct otlp_text *t, const char **ret)
{
    SCOPED(buf_done) struct buf b = {0};
    struct header_list l = {&b, &t->headers};
    struct err why = {0};
    if (t->headers_list && !env_pairs(sv_of(t->headers_list), put_listed, &l, &why)) { /* may hold a secret: no word of it */
        struct place list = {at, yaml_get(at->node, SV("headers_list")), -1};
        return cfg_fail(r, &list, "is not a list of name=value with commas between, percent-encoded");
    }
    for (size_t i = 0; i < t->headers.n; i++)
        if (t->headers.at[i].value.p)
            put_header(&b, sv_of(t->headers.at[i].name), t->headers.at[i].value);
    *ret = b.failed ? NULL : arena_sv(&r->c->mem, buf_view(&b)).p;
    return *ret || err_nomem(r->e);
}

static bool set_where(struct reader *r, const struct place *at, struct config_exporter *x)
{
    SCOPED(buf_done) struct buf b = {0};
    cfg_put_where(r, &b, at, true);
    x->where = b.failed || b.n < 2 ? NULL : arena_sv(&r->c->mem, sv_sub(buf_view(&b), 0, b.n - 2)).p;
    return x->where || cfg_nomem(r);
}

static bool read_otlp(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct config_exporter *x = to;
    struct otlp_text t = {.timeout_ms = 10000};
    if (!set_where(r, at, x) || !cfg_fields(r, at, f->fields, &t) || !join_headers(r, at, &t, &x->otlp.headers))
        return false;
    bool grpc = f->fields == grpc_fields, json = t.encoding && strcmp(t.encoding, "json") == 0;
    x->kind = CONFIG_OTLP;
    x->otlp.struct_size = sizeof x->otlp;
    x->otlp.protocol = grpc ? WEIR_OTLP_GRPC : json ? WEIR_OTLP_HTTP_JSON : WEIR_OTLP_HTTP_PROTOBUF;
    x->otlp.endpoint = t.endpoint;
    x->otlp.timeout_ms = t.timeout_ms ? t.timeout_ms : INT32_MAX; /* 0: no limit */
    x->otlp.compression = t.compression;
    x->otlp.certificate = t.ca_file;
    x->otlp.client_certificate = t.cert_file;
    x->otlp.client_key = t.key_file;
    x->otlp.insecure = t.insecure ? 1 : -1;
    x->max_request_bytes = t.max_request;
    return true;
}

static const struct field file_fields[] = {{FIELD("output_stream", cfg_text, struct config_exporter, path)}, END};

/* stdout, or the file of a file: URL. */
static bool read_otlp_file(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct config_exporter *x = to;
    x->kind = CONFIG_OTLP_FILE;
    if (!set_where(r, at, x) || !cfg_fields(r, at, file_fields, x))
        return false;
    sv s = sv_of(x->path);
    x->path = NULL;
    if (!s.n || sv_eq(s, SV("stdout")))
        return true;
    struct place stream = {at, yaml_get(at->node, SV("output_stream")), -1};
    SCOPED(buf_done) struct buf path = {0};
    if (!sv_starts(s, SV("file:///")) || s.n == strlen("file:///") || !percent_decode(sv_from(s, strlen("file://")), &path, NULL) ||
        sv_find_char(buf_view(&path), 0) != SV_NPOS)
        return cfg_fail(r, &stream, "'" SV_FMT "' is neither stdout nor file:///path", SV_ARG(sv_sub(s, 0, 100)));
    x->path = arena_sv(&r->c->mem, buf_view(&path)).p;
    return x->path || cfg_nomem(r);
}

static bool read_console(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct config_exporter *x = to;
    x->kind = CONFIG_CONSOLE;
    if (!set_where(r, at, x) || !cfg_is_map(r, at))
        return false;
    return !at->node->first || cfg_fail(r, at, "has no settings");
}

static const struct field exporter_kinds[] = {
    {.name = "otlp_http", .read = read_otlp, .fields = http_fields, .component = true},
    {.name = "otlp_grpc", .read = read_otlp, .fields = grpc_fields, .component = true},
    {.name = "otlp_file/development", .read = read_otlp_file, .component = true},
    {.name = "console", .read = read_console, .component = true},
    END,
};

static bool read_exporter(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    return cfg_component(r, at, "exporter", exporter_kinds, to);
}

/* ---- processors ---- */

static const struct field batch_fields[] = {
    {FIELD("schedule_delay", cfg_number, struct config_processor, schedule_delay_ms), .max = INT32_MAX},
    {FIELD("export_timeout", cfg_number, struct config_processor, export_timeout_ms), .max = INT32_MAX},
    {FIELD("max_queue_size", cfg_number, struct config_processor, max_queue_size), .min = 1, .max = INT32_MAX},
    {FIELD("max_export_batch_size", cfg_number, struct config_processor, max_export_batch_size), .min = 1, .max = INT32_MAX},
    {FIELD("exporter", read_exporter, struct config_processor, exporter), .required = true},
    END,
};
static const struct field simple_fields[] = {
    {FIELD("exporter", read_exporter, struct config_processor, exporter), .required = true},
    END,
};

static bool read_batch(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct config_processor *p = to;
    *p = (struct config_processor){true, .schedule_delay_ms = 1000, .export_timeout_ms = 30000, .max_queue_size = 2048};
    if (!cfg_fields(r, at, batch_fields, p))
        return false;
    if (!p->max_export_batch_size)
        p->max_export_batch_size = MIN(p->max_queue_size, (int64_t)512);
    return true;
}

static const struct field processor_kinds[] = {
    {.name = "batch", .read = read_batch, .component = true},
    {.name = "simple", .read = cfg_section, .fields = simple_fields, .component = true},
    END,
};

static bool read_processor(struct reader *r, const struct place *at, void *to)
{
    return cfg_component(r, at, "processor", processor_kinds, to);
}

static bool read_processors(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    return cfg_list(r, at, CONFIG_MAX_PROCESSORS, sizeof *r->c->processors, read_processor, &r->c->processors, &r->c->n_processors);
}

/* ---- loggers ---- */

static const weir_logger_config config_default = {.enabled = true};
static const struct field logger_config_fields[] = {
    {FIELD("enabled", cfg_bool, weir_logger_config, enabled)},
    {FIELD("minimum_severity", read_severity, weir_logger_config, minimum_severity)},
    {FIELD("trace_based", cfg_bool, weir_logger_config, trace_based)},
    END,
};
static const struct field rule_fields[] = {
    {FIELD("name", cfg_name, struct config_rule, name), .required = true},
    {FIELD("config", cfg_section, struct config_rule, config), .fields = logger_config_fields, .required = true},
    END,
};

static bool read_rule(struct reader *r, const struct place *at, void *to)
{
    ((struct config_rule *)to)->config = config_default;
    return cfg_fields(r, at, rule_fields, to);
}

static bool read_rules(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct config_rules *rules = to;
    return cfg_list(r, at, CONFIG_MAX_ENTRIES, sizeof *rules->at, read_rule, &rules->at, &rules->n);
}

static const struct field configurator_fields[] = {
    {FIELD("default_config", cfg_section, struct config_rules, otherwise), .fields = logger_config_fields},
    {.name = "loggers", .read = read_rules},
    END,
};

static bool read_configurator(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct config_rules *rules = ARENA_NEW(&r->c->mem, struct config_rules);
    if (!rules)
        return cfg_nomem(r);
    rules->otherwise = config_default;
    r->c->rules = rules;
    return cfg_fields(r, at, configurator_fields, rules);
}

static const struct field provider_fields[] = {
    {.name = "processors", .read = read_processors, .required = true},
    {FIELD("limits", cfg_section, struct config, log_limits), .fields = limit_fields},
    {.name = "logger_configurator/development", .read = read_configurator},
    END,
};

/* ---- resource ---- */

static bool add_attr(struct config_attrs *to, struct arena *a, weir_attr attr)
{
    weir_attr *grown = arena_grow(a, to->at, to->n, &to->cap, sizeof *grown);
    if (!grown)
        return false;
    to->at = grown;
    to->at[to->n++] = attr;
    return true;
}

struct attr_list {
    struct config_attrs *to;
    struct arena *a;
};

static bool add_listed(void *ctx, sv key, sv value)
{
    struct attr_list *l = ctx;
    sv k = arena_sv(l->a, key), v = arena_sv(l->a, value);
    return k.p && v.p && add_attr(l->to, l->a, (weir_attr){{k.p, k.n}, weir_value_strn(v.p, v.n)});
}

static bool read_attributes_list(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct err why = {0};
    struct attr_list l = {to, &r->c->mem};
    sv s;
    if (!cfg_string(r, at, &s))
        return false;
    if (env_pairs(s, add_listed, &l, &why))
        return true;
    if (why.code == ERR_PARSE)
        return cfg_fail(r, at, "is not a list of name=value with commas between, percent-encoded");
    return cfg_nomem(r);
}

enum attr_type { TYPE_STRING, TYPE_BOOL, TYPE_INT, TYPE_DOUBLE, TYPES };

static bool scalar_value(struct reader *r, const struct place *at, enum attr_type type, weir_value *ret)
{
    struct scalar s = cfg_is_scalar(at->node) ? scalar_of(at->node) : (struct scalar){.kind = SCALAR_STRING};
    sv text;
    switch (type) {
    case TYPE_STRING:
        if (!cfg_string(r, at, &text))
            return false;
        *ret = weir_value_strn(text.p, text.n);
        return true;
    case TYPE_BOOL:
        *ret = weir_value_bool(s.yes);
        return s.kind == SCALAR_BOOL || cfg_fail_kind(r, at, "true or false");
    case TYPE_INT:
        *ret = weir_value_i64(s.integer);
        if (s.kind == SCALAR_INT && !s.fits)
            return cfg_fail(r, at, "does not fit into 64 bits");
        return s.kind == SCALAR_INT || cfg_fail_kind(r, at, "a whole number");
    default:
        *ret = weir_value_f64(s.number);
        return s.kind == SCALAR_INT || s.kind == SCALAR_FLOAT || cfg_fail_kind(r, at, "a number");
    }
}

#define ENTRY_READER(name, type)                                                                                  \
    static bool name(struct reader *r, const struct place *at, void *to)                                          \
    {                                                                                                             \
        return scalar_value(r, at, type, to);                                                                     \
    }
ENTRY_READER(string_entry, TYPE_STRING)
ENTRY_READER(bool_entry, TYPE_BOOL)
ENTRY_READER(int_entry, TYPE_INT)
ENTRY_READER(double_entry, TYPE_DOUBLE)

static bool array_value(struct reader *r, const struct place *at, enum attr_type type, weir_value *ret)
{
    static bool (*const entries[])(struct reader *, const struct place *, void *) = {
        string_entry, bool_entry, int_entry, double_entry};
    weir_value *values;
    size_t n;
    if (!cfg_list(r, at, CONFIG_MAX_ENTRIES, sizeof *values, entries[type], &values, &n))
        return false;
    *ret = weir_value_array(values, n);
    return true;
}

struct attr_text {
    const char *name, *type;
};
static bool read_later(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    return true; /* a value, which is read when its type is known */
}
static const struct field attr_fields[] = {
    {FIELD("name", cfg_name, struct attr_text, name), .required = true},
    {.name = "value", .read = read_later},
    {FIELD("type", cfg_text, struct attr_text, type)},
    END,
};

static bool type_of(struct reader *r, const struct place *at, const char *name, enum attr_type *ret, bool *ret_array)
{
    static const char *const names[TYPES] = {"string", "bool", "int", "double"};
    sv s = sv_of(name ? name : "string");
    struct place type = {at, yaml_get(at->node, SV("type")), -1};
    *ret_array = sv_ends(s, SV("_array"));
    if (*ret_array)
        s.n -= strlen("_array");
    for (*ret = 0; *ret < TYPES; ++*ret)
        if (sv_eq(s, sv_of(names[*ret])))
            return true;
    return cfg_fail(r, &type, "'%.40s' is not a type (string, bool, int, double, string_array, bool_array, int_array and "
                              "double_array are)", name);
}

static bool read_attribute(struct reader *r, const struct place *at, struct config_attrs *to)
{
    struct attr_text t = {0};
    struct place value = {at, yaml_get(at->node, SV("value")), -1};
    enum attr_type type;
    bool array;
    weir_value v;
    if (!cfg_fields(r, at, attr_fields, &t) || !type_of(r, at, t.type, &type, &array))
        return false;
    if (!value.node)
        return cfg_fail(r, at, "'value' is missing");
    if (value.node->kind == YAML_NULL) /* the entry is ignored, says the schema */
        return true;
    if (!(array ? array_value : scalar_value)(r, &value, type, &v))
        return false;
    return add_attr(to, &r->c->mem, (weir_attr){weir_string_of(t.name), v}) || cfg_nomem(r);
}

static bool read_attribute_entry(struct reader *r, const struct place *at, void *to)
{
    return read_attribute(r, at, &r->c->resource.attributes);
}

static bool read_attributes(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    char *nothing;
    size_t n;
    return cfg_list(r, at, CONFIG_MAX_ENTRIES, 1, read_attribute_entry, &nothing, &n);
}

static bool read_detector_kind(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    if (!cfg_is_map(r, at) || (at->node->first && !cfg_fail(r, at, "has no settings")))
        return false;
    *(const char **)to = strcmp(f->name, "host") == 0 ? "host,os" : f->name; /* of the schema's detectors, host says os.* too */
    return true;
}
static const struct field detector_kinds[] = {
    {.name = "container", .read = read_detector_kind, .component = true},
    {.name = "host", .read = read_detector_kind, .component = true},
    {.name = "os", .read = read_detector_kind, .component = true},
    {.name = "process", .read = read_detector_kind, .component = true},
    {.name = "service", .read = read_detector_kind, .component = true},
    END,
};

static bool read_detector(struct reader *r, const struct place *at, void *to)
{
    return cfg_component(r, at, "detector", detector_kinds, to);
}

static bool read_detectors(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    struct config_texts *t = to;
    return cfg_list(r, at, CONFIG_MAX_PROCESSORS, sizeof *t->at, read_detector, &t->at, &t->n);
}

static const struct field include_fields[] = {
    {FIELD("included", cfg_texts, struct config_resource, included)},
    {FIELD("excluded", cfg_texts, struct config_resource, excluded)},
    END,
};
static const struct field detection_fields[] = {
    {.name = "attributes", .read = cfg_section, .fields = include_fields},
    {FIELD("detectors", read_detectors, struct config_resource, detectors)},
    END,
};
static const struct field resource_fields[] = {
    {.name = "attributes", .read = read_attributes},
    {FIELD("attributes_list", read_attributes_list, struct config_resource, list)},
    {FIELD("schema_url", cfg_text, struct config_resource, schema_url)},
    {.name = "detection/development", .read = cfg_section, .fields = detection_fields},
    END,
};

/* ---- the root ---- */

/* "1.0", "1.1-rc.2"; also not in quotes, as it is often written. */
static bool read_format(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    const struct yaml *y = at->node;
    sv rest = y->text, major = sv_cut(&rest, '.');
    uint64_t a, b;
    sv minor = sv_sub(rest, 0, sv_find_char(rest, '-'));
    if (y->kind != YAML_SCALAR || !sv_to_u64(major, &a) || !sv_to_u64(sv_sub(minor, 0, sv_find_char(minor, '.')), &b))
        return cfg_fail(r, at, "is not a version like \"%d.%d\"", FORMAT_MAJOR, FORMAT_MINOR);
    if (a != FORMAT_MAJOR)
        return cfg_fail(r, at, "version " SV_FMT " is not read here, versions %d.x are", SV_ARG(sv_sub(y->text, 0, 40)),
                        FORMAT_MAJOR);
    return b <= FORMAT_MINOR ||
           cfg_note(r, LOG_LEVEL_WARN, "%s:%u:%u: file_format " SV_FMT " is newer than %d.%d, which this libweir knows", r->c->file,
                    y->line, y->column, SV_ARG(sv_sub(y->text, 0, 40)), FORMAT_MAJOR, FORMAT_MINOR);
}

static bool read_other(struct reader *r, const struct place *at, const struct field *f, void *to)
{
    return cfg_note(r, LOG_LEVEL_DEBUG, "%s:%u:%u: %s is not about logs: not read", r->c->file, at->node->key_line,
                    at->node->key_column, f->name);
}

static const struct field root_fields[] = {
    {.name = "file_format", .read = read_format, .required = true},
    {FIELD("disabled", cfg_bool, struct config, disabled)},
    {FIELD("log_level", read_log_level, struct config, log_level)},
    {FIELD("attribute_limits", cfg_section, struct config, limits), .fields = limit_fields},
    {.name = "logger_provider", .read = cfg_section, .fields = provider_fields, .component = true},
    {FIELD("resource", cfg_section, struct config, resource), .fields = resource_fields},
    {.name = "tracer_provider", .read = read_other},
    {.name = "meter_provider", .read = read_other},
    {.name = "propagator", .read = read_other},
    {.name = "instrumentation/development", .read = read_other},
    {.name = "distribution", .read = read_other},
    END,
};

static bool read_root(struct reader *r, const struct yaml *root)
{
    struct place at = {NULL, root, -1};
    if (root->kind != YAML_MAP)
        return cfg_fail(r, &at, "a map with file_format in it is wanted, and this is %s", cfg_what_is(root));
    const struct yaml *format = yaml_get(root, SV("file_format")); /* first: it says how to read the rest */
    struct place first = {&at, format, -1};
    if (!format)
        return cfg_fail(r, &at, "'file_format' is missing: this is no configuration of OpenTelemetry (file_format: \"%d.%d\")",
                        FORMAT_MAJOR, FORMAT_MINOR);
    if (!cfg_member(r, &first, &root_fields[0], r->c))
        return false;
    for (const struct yaml *y = root->first; y; y = y->next) {
        struct place member = {&at, y, -1};
        const struct field *f = cfg_field_of(root_fields, y->key);
        SCOPED(buf_done) struct buf b = {0};
        if (!f)
            cfg_put_unknown(r, &b, &member, root_fields);
        if (f ? y != format && !cfg_member(r, &member, f, r->c)
              : !cfg_note(r, LOG_LEVEL_WARN, SV_FMT ": ignored", SV_ARG(buf_view(&b))))
            return false;
    }
    return true;
}

/* ---- all of it ---- */

/* A long path would leave no room in a message for what is wrong. */
static const char *shown_name(struct arena *a, const char *file)
{
    sv s = sv_of(file);
    if (s.n <= 120)
        return arena_sv(a, s).p;
    SCOPED(buf_done) struct buf b = {0};
    const char *end = file + s.n - 100;
    while (((unsigned char)*end & 0xc0) == 0x80)
        end++;
    buf_fmt(&b, "…%s", end);
    return b.failed ? NULL : arena_sv(a, buf_view(&b)).p;
}

bool config_parse(sv text, const char *file, config_getenv_fn *getenv_fn, struct config **ret, struct err *e)
{
    struct config *c = calloc(1, sizeof *c);
    struct yaml *root = NULL;
    if (!c)
        return err_nomem(e);
    arena_init(&c->mem, (size_t)64 << 20);
    struct reader r = {c, e};
    c->log_level = LOG_LEVEL_INFO;
    c->limits = c->log_limits = (struct config_limits){-1, -1, -1};
    c->file = shown_name(&c->mem, file);
    bool ok = c->file ? text.n <= CONFIG_MAX_BYTES || err_set(e, ERR_LIMIT, "%s: larger than 1 MiB", c->file) : err_nomem(e);
    ok = ok && yaml_load(text, c->file, &c->mem, &root, e) && config_substitute(root, c->file, getenv_fn, &c->mem, e) &&
         read_root(&r, root);
    if (ok)
        *ret = c;
    else
        config_free(c);
    return ok;
}

static const char *process_env(const char *name)
{
    return getenv(name);
}

bool config_read(const char *path, struct config **ret, struct err *e)
{
    SCOPED(buf_done) struct buf text = buf_capped(CONFIG_MAX_BYTES);
    if (!io_read_file(AT_FDCWD, path, &text, e))
        return e->code == ERR_LIMIT ? err_set(e, ERR_LIMIT, "'%.400s' is larger than 1 MiB", path) : false;
    return config_parse(buf_view(&text), path, process_env, ret, e);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    arena_done(&c->mem);
    free(c);
}

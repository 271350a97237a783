/* config.c - a Collector YAML file becomes components and pipelines, or a list of everything that is wrong with it.
 * (1) Upstream's wording is kept where users (and their tools) know it; file, line, column and the nearest right name are
 *     added around it.
 * (2) Components nobody refers to are read and checked all the same; only used ones are started.
 * (3) Only logs pipelines run here: others are a problem, not a silence. */
#include "collector/config.h"
#include "base/io.h"
#include "base/vec.h"
#include "base/log.h"
#include "collector/expand.h"
#include "collector/sender.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX ((size_t)4 << 20)
#define COMPONENTS_MAX 1000

struct builder {
    struct problems *ps;
    const struct yaml *root;
    const struct collector_sink *sinks;
    size_t n_sinks;
    VEC(struct component) components;
    VEC(struct pipeline) pipelines;
};

/* ---- ids ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "type[/name]", blanks around both trimmed; false when it is not of that form. */
static bool split_id(sv id, sv *ret_type, sv *ret_name)
{
    size_t slash = sv_find_char(id, '/');
    sv type = sv_trim(slash == SV_NPOS ? id : sv_sub(id, 0, slash));
    sv name = slash == SV_NPOS ? SV_NULL : sv_trim(sv_from(id, slash + 1));
    bool ok = type.n && type.n <= 63 && is_letter(type.p[0]) && (slash == SV_NPOS || (name.n && name.n <= 1024));
    for (size_t i = 0; ok && i < type.n; i++)
        ok = is_letter(type.p[i]) || (type.p[i] >= '0' && type.p[i] <= '9') || type.p[i] == '_';
    for (size_t i = 0; ok && i < name.n; i++)
        ok = (unsigned char)name.p[i] > ' ' && name.p[i] != 0x7f;
    *ret_type = type;
    *ret_name = name;
    return ok && sv_is_utf8(name);
}

static char *join_id(sv type, sv name)
{
    char *id = malloc(type.n + name.n + 2);
    if (id)
        snprintf(id, type.n + name.n + 2, SV_FMT "%s" SV_FMT, SV_ARG(type), name.n ? "/" : "", SV_ARG(name));
    return id;
}

static bool same_id(sv a, const char *id)
{
    sv ta, na, tb, nb;
    return split_id(a, &ta, &na) && split_id(sv_of(id), &tb, &nb) && sv_eq(ta, tb) && sv_eq(na, nb);
}

/* ---- components ---- */

static const char *const sections[PLUG_KINDS] = {"receivers", "processors", "exporters", "extensions", "connectors"};
static const struct section no_keys;
static const struct plug given_sink = {
    .kind = PLUG_EXPORTER, .type = "", .help = "brought along by the program", .section = &no_keys, .sender = NO_FLAG};

/* Candidates for "did you mean" and for lists of what there is. */
struct names {
    sv at[64];
    size_t n, next;
};

static void add_name(struct names *to, const char *name)
{
    if (name && to->n < ARRAY_LEN(to->at))
        to->at[to->n++] = sv_of(name);
}

static sv next_name(void *ctx)
{
    struct names *names = ctx;
    return names->next < names->n ? names->at[names->next++] : SV_NULL;
}

static void type_names(const struct builder *bd, enum plug_kind kind, struct names *ret)
{
    for (const struct plug *const *p = plugs; *p; p++)
        if ((*p)->kind == kind) {
            add_name(ret, (*p)->type);
            add_name(ret, (*p)->alias);
        }
    for (size_t i = 0; kind == PLUG_EXPORTER && i < bd->n_sinks; i++)
        add_name(ret, bd->sinks[i].type);
}

static void did_you_mean(struct names *names, sv name, char out[100])
{
    sv best = nearest_name(name, next_name, names);
    snprintf(out, 100, best.p ? "; did you mean \"" SV_FMT "\"?" : "", SV_ARG(sv_sub(best, 0, 70)));
}

static void unknown_type(struct builder *bd, enum plug_kind kind, const struct yaml *y, sv type)
{
    if (kind == PLUG_EXPORTER && sv_eq(type, SV("logging"))) {
        problem_at(bd->ps, y->key_line, y->key_column,
                   "'exporters' the logging exporter has been deprecated, use the debug exporter instead");
        return;
    }
    struct names names = {0};
    type_names(bd, kind, &names);
    SCOPED(buf_done) struct buf list = {0};
    for (size_t i = 0; i < names.n; i++)
        buf_fmt(&list, "%s" SV_FMT, i ? " " : "", SV_ARG(names.at[i]));
    char near[100];
    did_you_mean(&names, type, near);
    problem_at(bd->ps, y->key_line, y->key_column,
               "'%s' unknown type: \"" SV_FMT "\" for id: \"" SV_FMT "\" (valid values: [" SV_FMT "])%s", sections[kind],
               SV_ARG(type), SV_ARG(sv_trim(y->key)), SV_ARG(buf_view(&list)), near);
}

static struct component *find_component(const struct builder *bd, enum plug_kind kind, sv id)
{
    for (size_t i = 0; i < bd->components.n; i++)
        if (bd->components.at[i].plug->kind == kind && same_id(id, bd->components.at[i].id))
            return &bd->components.at[i];
    return NULL;
}

static void read_component(struct builder *bd, enum plug_kind kind, const struct yaml *y)
{
    sv type, name;
    if (!split_id(y->key, &type, &name)) {
        problem_at(bd->ps, y->key_line, y->key_column, "'%s' invalid id: \"" SV_FMT "\" (write type or type/name)",
                   sections[kind], SV_ARG(y->key));
        return;
    }
    const struct log_sink *given = NULL;
    for (size_t i = 0; kind == PLUG_EXPORTER && i < bd->n_sinks; i++)
        if (sv_eq(type, sv_of(bd->sinks[i].type)))
            given = &bd->sinks[i].sink;
    const struct plug *plug = given ? &given_sink : plug_find(kind, type);
    if (!plug) {
        unknown_type(bd, kind, y, type);
        return;
    }
    if (find_component(bd, kind, y->key)) {
        problem_at(bd->ps, y->key_line, y->key_column, "'%s' duplicate name \"" SV_FMT "\" after trimming", sections[kind],
                   SV_ARG(y->key));
        return;
    }
    struct component cp = {.plug = plug, .given = given, .line = y->key_line, .column = y->key_column};
    cp.id = join_id(type, name);
    cp.cfg = calloc(1, MAX(plug->cfg_size, (size_t)1));
    struct component *slot = cp.id && cp.cfg ? vec_push(&bd->components) : NULL;
    if (!slot) {
        free(cp.id);
        free(cp.cfg);
        problem_at(bd->ps, y->key_line, y->key_column, "out of memory");
        return;
    }
    *slot = cp;
    char path[300];
    snprintf(path, sizeof path, "%s::%.200s", sections[kind], cp.id);
    section_read(plug->section, cp.cfg, bd->ps, y, path);
}

static void read_components(struct builder *bd, enum plug_kind kind)
{
    const struct yaml *y = yaml_get(bd->root, sv_of(sections[kind]));
    if (!y || y->kind == YAML_NULL)
        return;
    if (y->kind != YAML_MAP) {
        problem_at(bd->ps, y->line, y->column, "'%s' expected a map of components", sections[kind]);
        return;
    }
    size_t n = 0;
    for (const struct yaml *c = y->first; c && n < COMPONENTS_MAX; c = c->next, n++)
        read_component(bd, kind, c);
    if (n == COMPONENTS_MAX)
        problem_at(bd->ps, y->line, y->column, "'%s' more than %d components", sections[kind], COMPONENTS_MAX);
}

/* ---- pipelines ---- */

static void missing_reference(struct builder *bd, enum plug_kind kind, const char *path, const struct yaml *at, sv id)
{
    struct names names = {0};
    for (size_t i = 0; i < bd->components.n; i++)
        if (bd->components.at[i].plug->kind == kind)
            add_name(&names, bd->components.at[i].id);
    char near[100];
    did_you_mean(&names, id, near);
    problem_at(bd->ps, at->line, at->column, "%s: references %s \"" SV_FMT "\" which is not configured%s", path,
               plug_kind_names[kind], SV_ARG(id), near);
}

/* Was it written, and is only what is inside it wrong? Then the reference is no second problem. */
static bool is_written(const struct builder *bd, enum plug_kind kind, sv id)
{
    const struct yaml *all = yaml_get(bd->root, sv_of(sections[kind]));
    for (const struct yaml *c = all && all->kind == YAML_MAP ? all->first : NULL; c; c = c->next) {
        sv ta, na, tb, nb;
        if (split_id(c->key, &ta, &na) && split_id(id, &tb, &nb) && sv_eq(ta, tb) && sv_eq(na, nb))
            return true;
    }
    return false;
}

static void add_reference(struct builder *bd, enum plug_kind kind, const char *path, const struct yaml *at, sv id,
                          const struct component ***list, size_t *n)
{
    sv type, name;
    if (!split_id(id, &type, &name)) {
        problem_at(bd->ps, at->line, at->column, "%s: invalid id: \"" SV_FMT "\"", path, SV_ARG(id));
        return;
    }
    const struct component *cp = find_component(bd, kind, id);
    if (!cp) {
        if (!is_written(bd, kind, id))
            missing_reference(bd, kind, path, at, sv_trim(id));
        return;
    }
    for (size_t i = 0; i < *n; i++)
        if ((*list)[i] == cp) {
            problem_at(bd->ps, at->line, at->column, "%s: references %s \"%s\" multiple times", path,
                       plug_kind_names[kind], cp->id);
            return;
        }
    const struct component **grown = realloc(*list, (*n + 1) * sizeof *grown);
    if (!grown) {
        problem_at(bd->ps, at->line, at->column, "out of memory");
        return;
    }
    *list = grown;
    grown[(*n)++] = cp;
}

/* One of the three lists of a pipeline; "a,b" is a list too. */
static void read_references(struct builder *bd, enum plug_kind kind, const char *path, const struct yaml *y,
                            const struct component ***list, size_t *n)
{
    size_t before = bd->ps->n;
    bool any = false;
    if (y && y->kind == YAML_MAP) {
        problem_at(bd->ps, y->line, y->column, "%s::%s: expected a list", path, sections[kind]);
        return;
    }
    sv rest = y && y->kind == YAML_SCALAR ? y->text : SV_NULL;
    while (rest.p) {
        add_reference(bd, kind, path, y, sv_cut(&rest, ','), list, n);
        any = true;
    }
    for (const struct yaml *c = y ? y->first : NULL; c; c = c->next) {
        any = true;
        if (c->kind == YAML_SCALAR)
            add_reference(bd, kind, path, c, c->text, list, n);
        else
            problem_at(bd->ps, c->line, c->column, "%s::%s: expected a name", path, sections[kind]);
    }
    const struct yaml *service = yaml_get(bd->root, SV("service"));
    const struct yaml *at = y ? y : service;
    if (!any && kind != PLUG_PROCESSOR && bd->ps->n == before)
        problem_at(bd->ps, at->line, at->column, "%s: must have at least one %s", path, plug_kind_names[kind]);
}

static void read_pipeline(struct builder *bd, const struct yaml *y)
{
    sv type, name;
    char path[200];
    snprintf(path, sizeof path, "service::pipelines::" SV_FMT, SV_ARG(sv_sub(sv_trim(y->key), 0, 150)));
    if (!split_id(y->key, &type, &name)) {
        problem_at(bd->ps, y->key_line, y->key_column, "%s: invalid id (write logs or logs/name)", path);
        return;
    }
    if (!sv_eq(type, SV("logs"))) {
        static const sv signals[] = {SV("traces"), SV("metrics"), SV("profiles")};
        bool other = false;
        for (size_t i = 0; i < ARRAY_LEN(signals); i++)
            other |= sv_eq(type, signals[i]);
        problem_at(bd->ps, y->key_line, y->key_column,
                   other ? "%s: only logs are carried here; send this signal elsewhere" : "%s: unknown signal (logs)", path);
        return;
    }
    if (y->kind != YAML_MAP && y->kind != YAML_NULL) {
        problem_at(bd->ps, y->line, y->column, "%s: expected a map", path);
        return;
    }
    struct pipeline pl = {.id = join_id(type, name)};
    struct pipeline *slot = pl.id ? vec_push(&bd->pipelines) : NULL;
    if (!slot) {
        free(pl.id);
        problem_at(bd->ps, y->line, y->column, "out of memory");
        return;
    }
    struct names keys = {0};
    for (size_t k = PLUG_RECEIVER; k <= PLUG_EXPORTER; k++)
        add_name(&keys, sections[k]);
    for (const struct yaml *c = y->first; c; c = c->next) {
        bool known = false;
        for (size_t k = 0; k < keys.n; k++)
            known |= sv_eq(c->key, keys.at[k]);
        char near[100];
        keys.next = 0;
        if (!known) {
            did_you_mean(&keys, c->key, near);
            problem_at(bd->ps, c->key_line, c->key_column, "%s has invalid keys: " SV_FMT "%s", path, SV_ARG(c->key), near);
        }
    }
    read_references(bd, PLUG_RECEIVER, path, yaml_get(y, SV("receivers")), &pl.receivers, &pl.n_receivers);
    read_references(bd, PLUG_PROCESSOR, path, yaml_get(y, SV("processors")), &pl.processors, &pl.n_processors);
    read_references(bd, PLUG_EXPORTER, path, yaml_get(y, SV("exporters")), &pl.exporters, &pl.n_exporters);
    *slot = pl;
}

/* ---- service::telemetry ---- */

static const struct option prometheus_options[] = {
    OPT(STR, struct telemetry, host, "127.0.0.1", "where /metrics listens"),
    OPT(U64, struct telemetry, port, "8888", "its port; 0 picks one"),
    {0}};
static const struct other_key prometheus_others[] = {
    {"without_scope_info", KEY_ALWAYS_ON, "names and labels are always the plain ones"},
    {"without_units", KEY_ALWAYS_ON, "names and labels are always the plain ones"},
    {"without_type_suffix", KEY_ALWAYS_ON, "names and labels are always the plain ones"},
    {"with_resource_constant_labels", KEY_UNSUPPORTED, "resource attributes are not put on series"},
    {0}};
static void prometheus_check(const struct reading *rd, void *cfg)
{
    const struct telemetry *t = cfg;
    if (t->port > 65535)
        section_problem(rd, "port", "invalid port %" PRIu64, t->port);
}
static const struct section prometheus_section = {
    .options = prometheus_options, .others = prometheus_others, .check = prometheus_check};
static const struct sub metrics_exporter_subs[] = {
    {.name = "prometheus", .set = NO_FLAG, .section = &prometheus_section, .help = "the one exporter there is"}, {0}};
static const struct section metrics_exporter_section = {.subs = metrics_exporter_subs};
static const struct sub pull_subs[] = {
    {.name = "exporter", .set = NO_FLAG, .section = &metrics_exporter_section, .help = "how they are read"}, {0}};
static const struct section pull_section = {.subs = pull_subs};
static const struct sub reader_subs[] = {
    {.name = "pull", .set = NO_FLAG, .section = &pull_section, .help = "scraped over HTTP"}, {0}};
static const struct other_key reader_others[] = {
    {"periodic", KEY_UNSUPPORTED, "own metrics are only scraped (pull)"}, {0}};
static const struct section reader_section = {.subs = reader_subs, .others = reader_others};

static void read_readers(const struct reading *rd, void *to, const struct yaml *y)
{
    if (y->kind != YAML_LIST || !y->first || y->first->next) {
        problem_at(rd->ps, y->line, y->column, "%s::readers: expected a list of one reader", rd->path);
        return;
    }
    char path[200];
    snprintf(path, sizeof path, "%.150s::readers[0]", rd->path);
    struct reading inner = {rd->ps, y->first, path};
    section_read_into(&reader_section, to, &inner);
}

static const struct option metrics_options[] = {
    OPT(STR, struct telemetry, level, "normal", "none: no listener; basic, normal and detailed are one"), {0}};
static const struct sub metrics_subs[] = {
    {.name = "readers", .kind = SUB_CUSTOM, .set = NO_FLAG, .section = &reader_section, .read = read_readers,
     .help = "a list of one reader"},
    {0}};
static const struct other_key metrics_others[] = {
    {"address", KEY_UNSUPPORTED, "use readers: [{pull: {exporter: {prometheus: {host: localhost, port: 8888}}}}]"},
    {"views", KEY_UNSUPPORTED, "series cannot be renamed or dropped"},
    {0}};
static void metrics_check(const struct reading *rd, void *cfg)
{
    const struct telemetry *t = cfg;
    static const sv levels[] = {SV("none"), SV("basic"), SV("normal"), SV("detailed")};
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (sv_eq_nocase(sv_of(t->level), levels[i]))
            return;
    section_problem(rd, "level", "unknown metrics level \"%s\" (none, basic, normal, detailed)", t->level);
}
static const struct section metrics_section = {
    .options = metrics_options, .subs = metrics_subs, .others = metrics_others, .check = metrics_check};

struct log_settings {
    char *level, *encoding;
};
static const struct option logs_options[] = {
    OPT(STR, struct log_settings, level, NULL, "debug, info, warn or error; unset: what the program was started with"),
    OPT(STR, struct log_settings, encoding, "console", "console"),
    {0}};
static const struct other_key logs_others[] = {
    {"development", KEY_NO_EFFECT, "there is one log format"},
    {"disable_caller", KEY_NO_EFFECT, "lines name the component, not the source line"},
    {"disable_stacktrace", KEY_NO_EFFECT, "lines carry no stack traces"},
    {"disable_zap_resource", KEY_NO_EFFECT, "lines carry no resource"},
    {"sampling", KEY_NO_EFFECT, "repeated messages are always limited to 10 a second, and the rest counted"},
    {"output_paths", KEY_UNSUPPORTED, "the log goes to stderr"},
    {"error_output_paths", KEY_UNSUPPORTED, "the log goes to stderr"},
    {"initial_fields", KEY_UNSUPPORTED, "lines have no fields"},
    {"processors", KEY_UNSUPPORTED, "own logs are not exported"},
    {0}};
static void logs_check(const struct reading *rd, void *cfg)
{
    const struct log_settings *l = cfg;
    enum log_level level;
    if (l->level && !log_level_of(sv_of(l->level), &level))
        section_problem(rd, "level", "unrecognized level: \"%s\" (debug, info, warn, error)", l->level);
    if (!sv_eq(sv_of(l->encoding), SV("console")))
        section_problem(rd, "encoding", "invalid encoding: %s (console)", l->encoding);
}
static const struct section logs_section = {.options = logs_options, .others = logs_others, .check = logs_check};
struct telemetry_sections {
    struct telemetry metrics;
    struct log_settings logs;
};
static const struct sub telemetry_subs[] = {
    {.name = "metrics", .offset = offsetof(struct telemetry_sections, metrics), .set = NO_FLAG,
     .section = &metrics_section, .help = "own metrics"},
    {.name = "logs", .offset = offsetof(struct telemetry_sections, logs), .set = NO_FLAG, .section = &logs_section,
     .help = "own log"},
    {0}};
static const struct other_key telemetry_others[] = {
    {"traces", KEY_UNSUPPORTED, "the collector does not trace itself"},
    {"resource", KEY_UNSUPPORTED, "own metrics carry no resource"},
    {0}};
static const struct section telemetry_section = {.subs = telemetry_subs, .others = telemetry_others};

static void read_telemetry(struct builder *bd, const struct yaml *y, struct telemetry *ret)
{
    struct telemetry_sections t = {0};
    section_read(&telemetry_section, &t, bd->ps, y, "service::telemetry");
    t.metrics.log_level = TAKE(t.logs.level);
    section_done(&logs_section, &t.logs);
    *ret = t.metrics;
}

/* ---- the file ---- */

static void read_extension_list(struct builder *bd, const struct yaml *y, struct collector_config *cfg)
{
    if (!y || y->kind == YAML_NULL)
        return;
    if (y->kind != YAML_LIST) {
        problem_at(bd->ps, y->line, y->column, "service::extensions: expected a list");
        return;
    }
    for (const struct yaml *c = y->first; c; c = c->next)
        add_reference(bd, PLUG_EXTENSION, "service::extensions", c, c->text, &cfg->extensions, &cfg->n_extensions);
}

static void read_service(struct builder *bd, struct collector_config *cfg)
{
    const struct yaml *y = yaml_get(bd->root, SV("service"));
    unsigned line = y ? y->line : 1, column = y ? y->column : 1;
    read_telemetry(bd, yaml_get(y, SV("telemetry")), &cfg->telemetry);
    for (const struct yaml *c = y && y->kind == YAML_MAP ? y->first : NULL; c; c = c->next) {
        static const char *const known[] = {"pipelines", "telemetry", "extensions"};
        struct names keys = {0};
        bool ok = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
            ok |= sv_eq(c->key, sv_of(known[i]));
            add_name(&keys, known[i]);
        }
        char near[100];
        if (!ok) {
            did_you_mean(&keys, c->key, near);
            problem_at(bd->ps, c->key_line, c->key_column, "service has invalid keys: " SV_FMT "%s", SV_ARG(c->key), near);
        }
    }
    read_extension_list(bd, yaml_get(y, SV("extensions")), cfg);
    const struct yaml *pipelines = yaml_get(y, SV("pipelines"));
    if (!pipelines || pipelines->kind != YAML_MAP || !pipelines->first) {
        problem_at(bd->ps, line, column, "service must have at least one pipeline");
        return;
    }
    size_t n = 0;
    for (const struct yaml *c = pipelines->first; c && n < COMPONENTS_MAX; c = c->next, n++)
        read_pipeline(bd, c);
}

/* A queue's storage must be an extension that is listed in service::extensions. */
static void check_storage(struct builder *bd, const struct collector_config *cfg)
{
    for (size_t i = 0; i < bd->components.n; i++) {
        const struct component *cp = &bd->components.at[i];
        const struct sender_settings *st = cp->plug->kind == PLUG_EXPORTER ? component_sender(cp) : NULL;
        if (!st || !st->queue.storage || !*st->queue.storage)
            continue;
        bool found = false;
        for (size_t k = 0; k < cfg->n_extensions; k++)
            found |= same_id(sv_of(st->queue.storage), cfg->extensions[k]->id) &&
                     cfg->extensions[k]->plug->extension.directory;
        if (!found)
            problem_at(bd->ps, cp->line, cp->column,
                       "exporters::%s::sending_queue::storage: \"%s\" is not a storage extension of service::extensions "
                       "(without storage the queue is on disk too, under the data directory)",
                       cp->id, st->queue.storage);
    }
}

/* An exporter has one queue, so the batch processors in front of it must agree. */
static void check_batching(struct builder *bd)
{
    for (size_t i = 0; i < bd->pipelines.n; i++)
        for (size_t x = 0; x < bd->pipelines.at[i].n_exporters; x++) {
            const struct component *exporter = bd->pipelines.at[i].exporters[x], *seen = NULL;
            for (size_t k = 0; k <= i; k++) {
                const struct pipeline *pl = &bd->pipelines.at[k];
                bool uses = false;
                for (size_t q = 0; q < pl->n_exporters; q++)
                    uses |= pl->exporters[q] == exporter;
                for (size_t q = 0; uses && q < pl->n_processors; q++) {
                    const struct component *cp = pl->processors[q];
                    if (!cp->plug->processor.batching || cp == seen)
                        continue;
                    if (seen)
                        problem_at(bd->ps, cp->line, cp->column,
                                   "exporter \"%s\" has one queue, but pipelines with different batch processors: "
                                   "\"%s\" and \"%s\"; give it one, or use two exporters",
                                   exporter->id, seen->id, cp->id);
                    seen = cp;
                }
            }
        }
}

static void read_file(struct builder *bd, struct collector_config *cfg)
{
    static const char *const top[] = {"receivers", "processors", "exporters", "extensions", "connectors", "service"};
    if (bd->root->kind == YAML_NULL || (bd->root->kind == YAML_MAP && !bd->root->first)) {
        problem_at(bd->ps, 1, 1, "empty configuration file");
        return;
    }
    if (bd->root->kind != YAML_MAP) {
        problem_at(bd->ps, bd->root->line, bd->root->column, "expected a map with receivers, exporters and service");
        return;
    }
    for (const struct yaml *c = bd->root->first; c; c = c->next) {
        struct names keys = {0};
        bool ok = false;
        for (size_t i = 0; i < ARRAY_LEN(top); i++) {
            ok |= sv_eq(c->key, sv_of(top[i]));
            add_name(&keys, top[i]);
        }
        char near[100];
        if (!ok) {
            did_you_mean(&keys, c->key, near);
            problem_at(bd->ps, c->key_line, c->key_column, "'' has invalid keys: " SV_FMT "%s", SV_ARG(c->key), near);
        }
    }
    for (size_t k = 0; k < PLUG_KINDS; k++)
        read_components(bd, (enum plug_kind)k);
    for (size_t k = PLUG_RECEIVER; k <= PLUG_EXPORTER; k += PLUG_EXPORTER - PLUG_RECEIVER) {
        const struct yaml *y = yaml_get(bd->root, sv_of(sections[k]));
        if (!y || y->kind == YAML_NULL || !y->first)
            problem_at(bd->ps, y ? y->line : 1, y ? y->column : 1, "no %s configuration specified in config",
                       plug_kind_names[k]);
    }
    read_service(bd, cfg);
    check_batching(bd);
    check_storage(bd, cfg);
}

static bool parse(sv text, const char *file, const struct collector_sink *sinks, size_t n_sinks, struct problems *ps,
                  struct collector_config *cfg, struct err *e)
{
    struct builder bd = {.ps = ps, .sinks = sinks, .n_sinks = n_sinks};
    struct yaml *root;
    if (!yaml_parse(text, file, ps->a, &root, e)) {
        ps->n++;
        buf_fmt(&ps->text, "%s\n", e->msg);
        return false;
    }
    expand_tree(root, ps, NULL);
    bd.root = root;
    read_file(&bd, cfg);
    cfg->components = bd.components.at;
    cfg->n_components = bd.components.n;
    cfg->pipelines = bd.pipelines.at;
    cfg->n_pipelines = bd.pipelines.n;
    return ps->n == 0 || err_set(e, ERR_INVALID, "%s: %u problem%s", file, ps->n, ps->n == 1 ? "" : "s");
}

void config_batching(const struct collector_config *cfg, const struct component *exporter, struct batching *ret)
{
    for (size_t i = 0; i < cfg->n_pipelines; i++) {
        const struct pipeline *pl = &cfg->pipelines[i];
        bool uses = false;
        for (size_t k = 0; k < pl->n_exporters; k++)
            uses |= pl->exporters[k] == exporter;
        for (size_t k = 0; uses && k < pl->n_processors; k++)
            if (pl->processors[k]->plug->processor.batching) {
                pl->processors[k]->plug->processor.batching(pl->processors[k], ret);
                return;
            }
    }
    /* Nobody asked: what waits anyway is joined, so that a backlog drains fast, but nothing waits for more. */
    *ret = (struct batching){.min_records = 8192};
    const struct sender_settings *st = component_sender(exporter);
    if (st && st->queue.batch_set)
        *ret = (struct batching){.min_records = st->queue.batch.min_size, .max_records = st->queue.batch.max_size,
                                 .timeout_ns = st->queue.batch.flush_timeout};
}

const char *config_queue_dir(const struct collector_config *cfg, const struct component *exporter, const char *data_dir)
{
    const struct sender_settings *st = component_sender(exporter);
    for (size_t i = 0; st && st->queue.storage && i < cfg->n_extensions; i++)
        if (same_id(sv_of(st->queue.storage), cfg->extensions[i]->id))
            return cfg->extensions[i]->plug->extension.directory(cfg->extensions[i]);
    return data_dir;
}

const struct sender_settings *component_sender(const struct component *exporter)
{
    if (exporter->plug->sender == NO_FLAG)
        return NULL;
    return (const struct sender_settings *)((const char *)exporter->cfg + exporter->plug->sender);
}

bool collector_config_parse(sv text, const char *file, const struct collector_sink *sinks, size_t n_sinks,
                            struct collector_config **ret, struct buf *problems, struct buf *warnings, struct err *e)
{
    struct arena a;
    arena_init(&a, (size_t)64 << 20);
    struct problems ps = {.a = &a, .file = file};
    struct collector_config *cfg = calloc(1, sizeof *cfg);
    bool ok = cfg ? parse(text, file, sinks, n_sinks, &ps, cfg, e) : err_nomem(e);
    buf_sv(problems, buf_view(&ps.text));
    buf_sv(warnings, buf_view(&ps.warnings));
    if (ok)
        *ret = cfg;
    else
        collector_config_free(cfg);
    buf_done(&ps.text);
    buf_done(&ps.warnings);
    arena_done(&a);
    return ok;
}

bool collector_config_load(const char *path, const struct collector_sink *sinks, size_t n_sinks,
                           struct collector_config **ret, struct buf *problems, struct buf *warnings, struct err *e)
{
    SCOPED(buf_done) struct buf text = buf_capped(FILE_MAX);
    if (!io_read_file(AT_FDCWD, path, &text, e)) {
        buf_fmt(problems, "%s\n", e->msg);
        return false;
    }
    return collector_config_parse(buf_view(&text), path, sinks, n_sinks, ret, problems, warnings, e);
}

bool collector_check(const char *path, struct buf *problems, struct err *e)
{
    struct collector_config *cfg = NULL;
    bool ok = collector_config_load(path, NULL, 0, &cfg, problems, problems, e);
    collector_config_free(cfg);
    return ok;
}

void collector_config_free(struct collector_config *cfg)
{
    if (!cfg)
        return;
    for (size_t i = 0; i < cfg->n_pipelines; i++) {
        free(cfg->pipelines[i].id);
        free(cfg->pipelines[i].receivers);
        free(cfg->pipelines[i].processors);
        free(cfg->pipelines[i].exporters);
    }
    free(cfg->pipelines);
    free(cfg->extensions);
    for (size_t i = 0; i < cfg->n_components; i++) {
        section_done(cfg->components[i].plug->section, cfg->components[i].cfg);
        free(cfg->components[i].cfg);
        free(cfg->components[i].id);
    }
    free(cfg->components);
    free(cfg->telemetry.level);
    free(cfg->telemetry.host);
    free(cfg->telemetry.log_level);
    free(cfg);
}

void collector_print_reference(struct buf *out)
{
    for (const struct plug *const *p = plugs; *p; p++) {
        buf_fmt(out, "### %s `%s`%s%s%s\n\n%s\n\n| key | default | what |\n|---|---|---|\n", plug_kind_names[(*p)->kind],
                (*p)->type, (*p)->alias ? " (also `" : "", (*p)->alias ? (*p)->alias : "", (*p)->alias ? "`)" : "",
                (*p)->help);
        section_print((*p)->section, "", out);
        buf_char(out, '\n');
    }
    buf_fmt(out, "### service::telemetry\n\nThe collector's own metrics and log.\n\n| key | default | what |\n|---|---|---|\n");
    section_print(&telemetry_section, "", out);
    section_print(&prometheus_section, "metrics.readers[0].pull.exporter.prometheus.", out);
}

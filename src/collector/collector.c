/* collector.c - a checked configuration as running parts.
 *   receiver → fan-out over its pipelines → processors of a pipeline → fan-out over its exporters → sender → exporter
 * (1) Every arrow is a struct log_sink; an answer comes back along the same way, once per push.
 * (2) A fan-out answers when all its branches have: the worst answer wins, and a retry then repeats the request on the
 *     branches that had it (at least once; the store makes it once).
 * (3) Started from the sinks up, stopped from the receivers down. Exporters are closed between the senders' stop and their
 *     close: closing answers what is still under way. */
#include "collector/collector.h"
#include "base/base.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/vec.h"
#include "collector/config.h"
#include "collector/sender.h"
#include "net/server.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOOPS 2
#define LOOPS_MAX 64
#define DRAIN_MAX_MS 10000

struct exporter {
    const struct component *cp;
    struct log_sink inner; /* self NULL: not open, or given */
    bool opened;
    struct sender *sender;
};
struct stage { /* a processor in one pipeline */
    const struct component *cp;
    struct log_sink sink;
};
struct running { /* a receiver or an extension */
    const struct component *cp;
    void *self;
};
struct fanout {
    struct log_sink *sinks;
    size_t n;
};

struct collector {
    const struct collector_config *cfg;
    char *data_dir;
    struct metrics *own_metrics;
    struct runtime rt;
    struct loop *loops[LOOPS_MAX];
    int64_t started_mono_ns;
    struct exporter *exporters;
    size_t n_exporters;
    VEC(struct stage) stages;
    VEC(struct running) extensions;
    VEC(struct running) receivers;
    VEC(struct fanout *) fanouts;
    struct http_server *telemetry;
};

/* ---- fan-out ---- */

struct spread { /* one push on its way to several sinks */
    struct lock mu;
    push_done_fn *done;
    void *ctx;
    size_t left;               /* under mu */
    struct push_result result; /* under mu: the worst so far */
};

static bool is_worse(const struct push_result *a, const struct push_result *than)
{
    static const int weight[] = {[PUSH_SENT] = 0, [PUSH_REJECTED] = 1, [PUSH_RETRY] = 2};
    return weight[a->code] > weight[than->code];
}

static void spread_done(void *ctx, const struct push_result *r)
{
    struct spread *sp = ctx;
    bool last;
    {
        LOCK_SCOPED(&sp->mu);
        uint32_t rejected = MAX(sp->result.n_rejected, r->n_rejected);
        int64_t after = MAX(sp->result.retry_after_ms, r->retry_after_ms);
        if (is_worse(r, &sp->result) || (r->code == sp->result.code && !sp->result.err.msg[0]))
            sp->result = *r;
        sp->result.n_rejected = rejected;
        sp->result.retry_after_ms = after;
        last = --sp->left == 0;
    }
    if (!last)
        return;
    sp->done(sp->ctx, &sp->result);
    lock_done(&sp->mu);
    free(sp);
}

static void fanout_push(void *self, struct batch *b, push_done_fn *done, void *ctx)
{
    const struct fanout *fo = self;
    struct spread *sp = malloc(sizeof *sp);
    if (!sp) {
        struct push_result r = {.code = PUSH_RETRY, .retry_after_ms = -1};
        err_nomem(&r.err);
        done(ctx, &r);
        return;
    }
    *sp = (struct spread){.done = done, .ctx = ctx, .left = fo->n, .result = {.code = PUSH_SENT, .retry_after_ms = -1}};
    lock_init(&sp->mu);
    for (size_t i = 0; i < fo->n; i++)
        sink_push(&fo->sinks[i], b, spread_done, sp);
}

/* A sink for all of `sinks` (taken over; freed with the collector). One sink is itself. */
static bool fan_out(struct collector *c, struct log_sink *sinks, size_t n, struct log_sink *ret, struct err *e)
{
    if (n == 1) {
        *ret = sinks[0];
        free(sinks);
        return true;
    }
    struct fanout *fo = malloc(sizeof *fo), **slot = fo ? vec_push(&c->fanouts) : NULL;
    if (!slot) {
        free(fo);
        free(sinks);
        return err_nomem(e);
    }
    *fo = (struct fanout){sinks, n};
    *slot = fo;
    *ret = (struct log_sink){fanout_push, fo};
    return true;
}

/* ---- own telemetry ---- */

static void collect(void *ctx)
{
    struct collector *c = ctx;
    struct metrics *m = c->own_metrics;
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    metric_set(metrics_get(m, METRIC_COUNTER, "otelcol_process_uptime", "Seconds since the start.", NULL),
               (clock_mono_ns() - c->started_mono_ns) / NS_PER_S);
    metric_set(metrics_get(m, METRIC_COUNTER, "otelcol_process_cpu_seconds", "User and system CPU time, whole seconds.",
                           NULL),
               ru.ru_utime.tv_sec + ru.ru_stime.tv_sec);
    long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%*s %lld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    metric_set(metrics_get(m, METRIC_GAUGE, "otelcol_process_memory_rss", "Resident memory in bytes.", NULL),
               pages * sysconf(_SC_PAGESIZE));
}

static void on_metrics(void *ctx, struct http_exchange *x)
{
    struct collector *c = ctx;
    struct buf text = {0};
    metrics_print(c->rt.metrics, &text);
    const struct http_header headers[] = {{SV("content-type"), SV("text/plain; version=0.0.4; charset=utf-8")}};
    http_reply(x, 200, headers, 1, &text);
}

static void on_telemetry(void *ctx, struct http_exchange *x)
{
    static const struct http_route routes[] = {{"GET HEAD", "/metrics", on_metrics}, {0}};
    http_route(routes, ctx, x);
}

static bool open_telemetry(struct collector *c, struct err *e)
{
    const struct telemetry *t = &c->cfg->telemetry;
    if (sv_eq_nocase(sv_of(t->level), SV("none")))
        return true;
    char address[300];
    bool v6 = strchr(t->host, ':') && t->host[0] != '[';
    snprintf(address, sizeof address, "%s%.250s%s:%" PRIu64, v6 ? "[" : "", t->host, v6 ? "]" : "", t->port);
    struct http_server_config sc = {.address = address, .name = "telemetry", .max_connections = 64,
                                    .max_body_bytes = 1024};
    return http_server_open(&sc, c->rt.loops, c->rt.n_loops, c->rt.metrics, on_telemetry, c, &c->telemetry, e) ||
           err_ctx(e, "own metrics (service::telemetry::metrics: choose another port under readers, or level: none)");
}

/* ---- building ---- */

static struct exporter *exporter_of(struct collector *c, const struct component *cp)
{
    for (size_t i = 0; i < c->n_exporters; i++)
        if (c->exporters[i].cp == cp)
            return &c->exporters[i];
    return NULL;
}

static bool open_exporter(struct collector *c, const struct component *cp, struct err *e)
{
    struct exporter *ex = &c->exporters[c->n_exporters];
    *ex = (struct exporter){.cp = cp};
    if (cp->given) {
        ex->inner = *cp->given;
    } else {
        if (!cp->plug->exporter.open(cp, &c->rt, &ex->inner, e))
            return err_ctx(e, "exporter \"%s\"", cp->id);
        ex->opened = true;
    }
    c->n_exporters++;
    struct sender_config sc = {.id = cp->id, .settings = component_sender(cp),
                               .data_dir = config_queue_dir(c->cfg, cp, c->data_dir),
                               .metrics = c->rt.metrics};
    config_batching(c->cfg, cp, &sc.batching);
    return sender_open(&sc, &ex->inner, &ex->sender, e) || err_ctx(e, "exporter \"%s\"", cp->id);
}

static bool open_exporters(struct collector *c, struct err *e)
{
    size_t most = 0;
    for (size_t i = 0; i < c->cfg->n_pipelines; i++)
        most += c->cfg->pipelines[i].n_exporters;
    c->exporters = calloc(most, sizeof *c->exporters);
    if (!c->exporters)
        return err_nomem(e);
    for (size_t i = 0; i < c->cfg->n_pipelines; i++) {
        const struct pipeline *pl = &c->cfg->pipelines[i];
        for (size_t k = 0; k < pl->n_exporters; k++)
            if (!exporter_of(c, pl->exporters[k]) && !open_exporter(c, pl->exporters[k], e))
                return false;
    }
    return true;
}

static bool is_queue_of_ours(const struct collector *c, const char *name)
{
    for (size_t i = 0; i < c->n_exporters; i++) {
        SCOPED(mem_free) char *dir = sender_queue_dir("", c->exporters[i].cp->id);
        if (dir && strcmp(strrchr(dir, '/') + 1, name) == 0)
            return true;
    }
    return false;
}

/* A renamed or removed exporter leaves its queue behind: nobody would miss it without being told. */
static void report_orphans(const struct collector *c)
{
    char path[1000];
    snprintf(path, sizeof path, "%.900s/queue", c->data_dir);
    DIR *d = opendir(path);
    struct dirent *entry;
    while (d && (entry = readdir(d)))
        if (entry->d_name[0] != '.' && !is_queue_of_ours(c, entry->d_name))
            log_warn("collector", "the queue %s/%s belongs to no exporter of this configuration: what waits in it is not "
                     "sent (give the exporter its old name back, or remove the directory)", path, entry->d_name);
    if (d)
        closedir(d);
}

/* The head of one pipeline: its processors in front of its exporters. */
static bool open_pipeline(struct collector *c, const struct pipeline *pl, struct log_sink *ret, struct err *e)
{
    struct log_sink *sinks = calloc(pl->n_exporters, sizeof *sinks), head;
    if (!sinks)
        return err_nomem(e);
    for (size_t i = 0; i < pl->n_exporters; i++)
        sinks[i] = sender_sink(exporter_of(c, pl->exporters[i])->sender);
    if (!fan_out(c, sinks, pl->n_exporters, &head, e))
        return false;
    for (size_t i = pl->n_processors; i-- > 0;) {
        const struct component *cp = pl->processors[i];
        if (!cp->plug->processor.open)
            continue;
        struct stage *st = vec_push(&c->stages);
        if (!st)
            return err_nomem(e);
        if (!cp->plug->processor.open(cp, &c->rt, &head, &st->sink, e)) {
            c->stages.n--;
            return err_ctx(e, "processor \"%s\"", cp->id);
        }
        st->cp = cp;
        head = st->sink;
    }
    *ret = head;
    return true;
}

static bool is_used_by(const struct pipeline *pl, const struct component *receiver)
{
    for (size_t i = 0; i < pl->n_receivers; i++)
        if (pl->receivers[i] == receiver)
            return true;
    return false;
}

/* One receiver for all pipelines that name it. */
static bool open_receiver(struct collector *c, const struct component *cp, const struct log_sink *heads, struct err *e)
{
    const struct collector_config *cfg = c->cfg;
    struct log_sink *sinks = calloc(cfg->n_pipelines, sizeof *sinks), to;
    size_t n = 0;
    if (!sinks)
        return err_nomem(e);
    for (size_t i = 0; i < cfg->n_pipelines; i++)
        if (is_used_by(&cfg->pipelines[i], cp))
            sinks[n++] = heads[i];
    if (n == 0) {
        free(sinks);
        return true;
    }
    if (!fan_out(c, sinks, n, &to, e))
        return false;
    struct running *rr = vec_push(&c->receivers);
    if (!rr)
        return err_nomem(e);
    *rr = (struct running){.cp = cp};
    if (!cp->plug->receiver.open(cp, &c->rt, &to, &rr->self, e)) {
        c->receivers.n--;
        return false;
    }
    return true;
}

static bool open_extensions(struct collector *c, struct err *e)
{
    for (size_t i = 0; i < c->cfg->n_extensions; i++) {
        const struct component *cp = c->cfg->extensions[i];
        if (!cp->plug->extension.open)
            continue;
        struct running *rx = vec_push(&c->extensions);
        if (!rx)
            return err_nomem(e);
        *rx = (struct running){.cp = cp};
        if (!cp->plug->extension.open(cp, &c->rt, &rx->self, e)) {
            c->extensions.n--;
            return err_ctx(e, "extension \"%s\"", cp->id);
        }
    }
    return true;
}

static void tell_ready(struct collector *c, bool is_ready)
{
    for (size_t i = 0; i < c->extensions.n; i++)
        c->extensions.at[i].cp->plug->extension.ready(c->extensions.at[i].self, is_ready);
}

static bool open_graph(struct collector *c, struct err *e)
{
    const struct collector_config *cfg = c->cfg;
    SCOPED(mem_free) struct log_sink *heads = calloc(cfg->n_pipelines, sizeof *heads);
    if (!heads)
        return err_nomem(e);
    if (!open_exporters(c, e))
        return false;
    report_orphans(c);
    for (size_t i = 0; i < cfg->n_pipelines; i++)
        if (!open_pipeline(c, &cfg->pipelines[i], &heads[i], e))
            return false;
    for (size_t i = 0; i < cfg->n_components; i++)
        if (cfg->components[i].plug->kind == PLUG_RECEIVER && !open_receiver(c, &cfg->components[i], heads, e))
            return false;
    return true;
}

static bool open_loops(struct collector *c, unsigned n, struct err *e)
{
    char name[16];
    if (!loop_open("export", &c->rt.export_loop, e))
        return false;
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "receive-%u", i);
        if (!loop_open(name, &c->loops[i], e))
            return false;
        c->rt.n_loops++;
    }
    return true;
}

static bool start(struct collector *c, const struct collector_options *opt, struct err *e)
{
    unsigned n_loops = opt->n_loops ? MIN(opt->n_loops, (unsigned)LOOPS_MAX) : LOOPS;
    c->started_mono_ns = clock_mono_ns();
    c->data_dir = sv_dup(sv_of(opt->data_dir ? opt->data_dir : "weir-data"));
    if (!opt->metrics)
        c->own_metrics = metrics_new();
    if (!c->data_dir || (!opt->metrics && !c->own_metrics))
        return err_nomem(e);
    c->rt.data_dir = c->data_dir;
    c->rt.loops = c->loops;
    c->rt.metrics = opt->metrics ? opt->metrics : c->own_metrics;
    if (c->own_metrics)
        metrics_on_collect(c->own_metrics, collect, c);
    enum log_level level;
    if (c->cfg->telemetry.log_level && log_level_of(sv_of(c->cfg->telemetry.log_level), &level))
        log_set_level(level);
    if (!open_loops(c, n_loops, e) || !open_telemetry(c, e) || !open_extensions(c, e) || !open_graph(c, e))
        return false;
    tell_ready(c, true);
    log_info("collector", "Everything is ready. Begin running and processing data.");
    return true;
}

bool collector_open(const struct collector_config *cfg, const struct collector_options *opt, struct collector **ret,
                    struct err *e)
{
    struct collector *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    c->cfg = cfg;
    if (!start(c, opt, e)) {
        collector_close(c, 0);
        return false;
    }
    *ret = c;
    return true;
}

static void free_collector(struct collector *c)
{
    for (size_t i = 0; i < c->extensions.n; i++)
        c->extensions.at[i].cp->plug->extension.close(c->extensions.at[i].self);
    http_server_close(c->telemetry, 0);
    for (size_t i = 0; i < c->rt.n_loops; i++)
        loop_close(c->loops[i]);
    loop_close(c->rt.export_loop);
    for (size_t i = 0; i < c->fanouts.n; i++) {
        free(c->fanouts.at[i]->sinks);
        free(c->fanouts.at[i]);
    }
    vec_done(&c->fanouts);
    vec_done(&c->stages);
    vec_done(&c->receivers);
    vec_done(&c->extensions);
    free(c->exporters);
    metrics_free(c->own_metrics);
    free(c->data_dir);
    free(c);
}

void collector_close(struct collector *c, int64_t drain_ms)
{
    if (!c)
        return;
    bool ran = c->receivers.n > 0;
    if (ran)
        log_info("collector", "Starting shutdown...");
    tell_ready(c, false);
    int64_t deadline = clock_mono_ms() + MIN(MAX(drain_ms, (int64_t)0), (int64_t)DRAIN_MAX_MS);
    for (size_t i = 0; i < c->receivers.n; i++)
        c->receivers.at[i].cp->plug->receiver.stop(c->receivers.at[i].self, MAX(deadline - clock_mono_ms(), (int64_t)0));
    for (size_t i = 0; i < c->n_exporters; i++)
        if (c->exporters[i].sender)
            sender_stop(c->exporters[i].sender, deadline * NS_PER_MS);
    for (size_t i = 0; i < c->n_exporters; i++)
        if (c->exporters[i].opened)
            c->exporters[i].cp->plug->exporter.close(c->exporters[i].inner.self);
    for (size_t i = 0; i < c->receivers.n; i++) /* a given sink may still owe answers: they go through the senders */
        c->receivers.at[i].cp->plug->receiver.free(c->receivers.at[i].self);
    for (size_t i = 0; i < c->n_exporters; i++)
        sender_close(c->exporters[i].sender);
    for (size_t i = 0; i < c->stages.n; i++)
        c->stages.at[i].cp->plug->processor.close(c->stages.at[i].sink.self);
    free_collector(c);
    if (ran)
        log_info("collector", "Shutdown complete.");
}

const char *collector_address(const struct collector *c, const char *id, const char *protocol)
{
    if (strcmp(id, "telemetry") == 0)
        return c->telemetry ? http_server_address(c->telemetry) : NULL;
    for (size_t i = 0; i < c->receivers.n; i++)
        if (strcmp(c->receivers.at[i].cp->id, id) == 0)
            return c->receivers.at[i].cp->plug->receiver.address(c->receivers.at[i].self, protocol);
    for (size_t i = 0; i < c->extensions.n; i++)
        if (strcmp(c->extensions.at[i].cp->id, id) == 0)
            return c->extensions.at[i].cp->plug->extension.address(c->extensions.at[i].self, protocol);
    return NULL;
}

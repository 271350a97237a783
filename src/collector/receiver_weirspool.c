/* receiver_weirspool.c - adopts what dead processes that used libweir left on this machine: looks for backlogs without an owner,
 * takes them over one at a time, and pushes their records into the pipeline.
 * (1) One thread. A batch is settled when the pipeline has it (PUSH_SENT), or refused it for good; so a death of ours at any
 *     moment loses nothing, and repeats at most the batch that was under way.
 * (2) Whoever adopts a backlog holds its lock: two adopters never both send it.
 * (3) The bytes come from anybody's files: each batch is checked as if it came over the network.
 * (4) A pipeline that cannot take a batch now is asked again, ever more rarely; nothing is given up.
 * (5) stop() waits for the answer that is under way as long as it may, then leaves the batch unsettled. */
#include "backlog/backlog.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/vec.h"
#include "collector/plug.h"
#include "otlp/request.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH_RECORDS 2048
#define BATCH_BYTES (3u << 20)
#define FIRST_WAIT_MS 200
#define LONGEST_WAIT_MS 5000
#define NAMES_MAX 4096 /* of one look; the next finds the others */
#define SAID_MAX 256   /* backlogs that cannot be read, each named once */

struct weirspool_cfg {
    char *directory;
    int64_t poll_interval;
    struct strings services;
};
static const struct option options[] = {
    OPT(STR, struct weirspool_cfg, directory, NULL,
        "where they lie; unset: WEIR_SPOOL_DIR, else $XDG_STATE_HOME/weir/spool, ~/.local/state/weir/spool or /tmp/weir-spool-UID"),
    OPT(DURATION, struct weirspool_cfg, poll_interval, "10s", "how often to look for processes that have died"),
    {0}};
static const struct sub subs[] = {
    {.name = "services", .kind = SUB_STRINGS, .offset = offsetof(struct weirspool_cfg, services), .set = NO_FLAG,
     .help = "whose records (service.name); unset: everybody's"},
    {0}};
static void check(const struct reading *rd, void *cfg)
{
    const struct weirspool_cfg *c = cfg;
    if (c->poll_interval < NS_PER_MS)
        section_problem(rd, "poll_interval", "'poll_interval' must be at least 1ms");
}
static const struct section section = {.options = options, .subs = subs, .check = check};

typedef VEC(char *) names_t;

struct weirspool {
    const struct weirspool_cfg *cfg; /* set by open, then read-only; so all down to `refused` */
    char *id, *dir;
    struct backlog_config backlog;
    struct log_sink to;
    struct metric *accepted, *refused, *malformed, *torn, *adopted;
    pthread_t thread;
    bool started;

    names_t names, said; /* the thread's */
    bool cannot_look;

    struct lock mu;
    struct cond changed;
    bool stopping;          /* under mu, as the rest */
    int64_t stop_by_ms;     /* with stopping: how long an answer may be waited for */
    unsigned under_way;     /* pushes without an answer: one at most, and perhaps one that was not waited for */
    bool answered;          /* the push of this turn */
    uint64_t turn;
    struct push_result result;
};

/* ---- pushing ---- */

struct push { /* one push on its way; outlives the wait for it */
    struct weirspool *ws;
    uint64_t turn;
};

static void pushed(void *ctx, const struct push_result *r)
{
    struct push *p = ctx;
    struct weirspool *ws = p->ws;
    {
        LOCK_SCOPED(&ws->mu);
        if (p->turn == ws->turn) {
            ws->result = *r;
            ws->answered = true;
        }
        ws->under_way--;
        cond_broadcast(&ws->changed);
    }
    free(p);
}

/* The pipeline's answer. False: the end came first. */
static bool push(struct weirspool *ws, struct batch *b, struct push_result *ret)
{
    struct push *p = malloc(sizeof *p);
    if (!p) {
        *ret = (struct push_result){.code = PUSH_RETRY, .retry_after_ms = -1};
        return err_nomem(&ret->err), true;
    }
    {
        LOCK_SCOPED(&ws->mu);
        *p = (struct push){ws, ++ws->turn};
        ws->answered = false;
        ws->under_way++;
    }
    sink_push(&ws->to, b, pushed, p);
    LOCK_SCOPED(&ws->mu);
    while (!ws->answered) {
        if (!ws->stopping)
            cond_wait(&ws->changed, &ws->mu);
        else if (!cond_wait_until(&ws->changed, &ws->mu, ws->stop_by_ms * NS_PER_MS) && !ws->answered) {
            ws->turn++; /* an answer that comes later is nobody's */
            return false;
        }
    }
    *ret = ws->result;
    return true;
}

/* False: the end came first. */
static bool pause_ms(struct weirspool *ws, int64_t ms)
{
    int64_t until = clock_mono_ns() + ms * NS_PER_MS;
    LOCK_SCOPED(&ws->mu);
    while (!ws->stopping && cond_wait_until(&ws->changed, &ws->mu, until))
        ;
    return !ws->stopping;
}

/* Until the pipeline has decided. False: the end came first. */
static bool push_until_decided(struct weirspool *ws, struct batch *b, struct push_result *ret)
{
    for (int64_t wait = FIRST_WAIT_MS;; wait = MIN(wait * 2, (int64_t)LONGEST_WAIT_MS)) {
        if (!push(ws, b, ret))
            return false;
        if (ret->code != PUSH_RETRY)
            return true;
        log_debug(ws->id, "the pipeline cannot take %" PRIu32 " records now: %s", b->n_records, ret->err.msg);
        if (!pause_ms(ws, ret->retry_after_ms > 0 ? MIN(ret->retry_after_ms, (int64_t)60000) : wait))
            return false;
    }
}

/* ---- one backlog ---- */

/* One batch into the pipeline. False: the end came first. */
static bool hand_on(struct weirspool *ws, const char *name, sv request, uint32_t n)
{
    static const struct otlp_limits limits = {0};
    struct push_result r;
    struct batch *b;
    struct err e = {0};
    while (!otlp_decode_request(OTLP_PROTOBUF, CODEC_NONE, request, 0, &limits, SV_NULL, clock_wall_ns(), &b, &e)) {
        if (e.code == ERR_NOMEM) {
            if (!pause_ms(ws, LONGEST_WAIT_MS))
                return false;
            continue;
        }
        metric_add(ws->malformed, 1);
        metric_add(ws->torn, MIN(n, (uint32_t)(request.n / 2)));
        log_warn(ws->id, "%s/%s: a batch of %" PRIu32 " records is no OTLP and left out: %s", ws->dir, name, n, e.msg);
        return true;
    }
    bool decided = !b->n_records || push_until_decided(ws, b, &r);
    if (decided && b->n_records) {
        metric_add(r.code == PUSH_SENT ? ws->accepted : ws->refused, b->n_records);
        if (r.code != PUSH_SENT)
            log_warn(ws->id, "%s/%s: %" PRIu32 " records were refused for good: %s", ws->dir, name, b->n_records, r.err.msg);
    }
    batch_unref(b);
    return decided;
}

static bool ending(struct weirspool *ws)
{
    LOCK_SCOPED(&ws->mu);
    return ws->stopping;
}

static void drain(struct weirspool *ws, const char *name, struct backlog *bl)
{
    struct backlog_stats st;
    struct err e = {0};
    sv request;
    uint32_t n;
    uint64_t torn = 0;
    int got = 0;
    while (!ending(ws) && (got = backlog_take(bl, &request, &n, &e)) == 1 && hand_on(ws, name, request, n))
        backlog_settle(bl);
    backlog_stats(bl, &st);
    torn = st.torn;
    metric_add(ws->torn, (int64_t)torn);
    if (torn)
        log_warn(ws->id, "%s/%s: %" PRIu64 " records were torn", ws->dir, name, torn);
    if (got < 0)
        log_warn(ws->id, "cannot read what a dead process left, trying again later: %s", e.msg);
}

/* A backlog that nobody can read is said to be so once. */
static void say_once(struct weirspool *ws, const char *name, const struct err *e)
{
    for (size_t i = 0; i < ws->said.n; i++)
        if (strcmp(ws->said.at[i], name) == 0)
            return;
    char **slot = ws->said.n < SAID_MAX ? vec_push(&ws->said) : NULL;
    if (slot && !(*slot = sv_dup(sv_of(name))))
        ws->said.n--;
    log_warn(ws->id, "cannot read what a dead process left: %s", e->msg);
}

static void adopt(struct weirspool *ws, const char *name)
{
    struct backlog *bl;
    struct err e = {0};
    if (!backlog_adopt(&ws->backlog, name, &bl, &e)) {
        if (e.code != ERR_UNAVAILABLE && e.code != ERR_NOT_FOUND)
            say_once(ws, name, &e);
        return;
    }
    metric_add(ws->adopted, 1);
    log_debug(ws->id, "adopted %s/%s", ws->dir, name);
    drain(ws, name, bl);
    backlog_close(bl);
}

/* ---- looking ---- */

static bool keep_name(void *ctx, const char *name)
{
    names_t *names = ctx;
    char **slot = vec_push(names);
    if (slot && !(*slot = sv_dup(sv_of(name))))
        names->n--;
    return names->n < NAMES_MAX;
}

static void names_done(names_t *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->at[i]);
    vec_done(names);
}

static void look(struct weirspool *ws)
{
    const struct strings *services = &ws->cfg->services;
    struct err e = {0};
    bool ok = true;
    if (!services->n)
        ok = backlog_list(ws->dir, SV_NULL, keep_name, &ws->names, &e);
    for (size_t i = 0; ok && i < services->n; i++)
        ok = backlog_list(ws->dir, sv_of(services->at[i]), keep_name, &ws->names, &e);
    if (!ok && !ws->cannot_look)
        log_warn(ws->id, "cannot look for what dead processes left: %s", e.msg);
    ws->cannot_look = !ok;
    for (size_t i = 0; i < ws->names.n && !ending(ws); i++)
        adopt(ws, ws->names.at[i]);
    names_done(&ws->names);
}

static void *run(void *arg)
{
    struct weirspool *ws = arg;
    do
        look(ws);
    while (pause_ms(ws, ws->cfg->poll_interval / NS_PER_MS));
    return NULL;
}

/* ---- life ---- */

static void stop_weirspool(void *self, int64_t drain_ms)
{
    struct weirspool *ws = self;
    {
        LOCK_SCOPED(&ws->mu);
        ws->stopping = true;
        ws->stop_by_ms = clock_mono_ms() + MAX(drain_ms, (int64_t)0);
        cond_broadcast(&ws->changed);
    }
    if (ws->started)
        pthread_join(ws->thread, NULL);
    ws->started = false;
}

static void free_weirspool(void *self)
{
    struct weirspool *ws = self;
    if (!ws)
        return;
    {
        LOCK_SCOPED(&ws->mu);
        while (ws->under_way)
            cond_wait(&ws->changed, &ws->mu);
    }
    names_done(&ws->names);
    names_done(&ws->said);
    cond_done(&ws->changed);
    lock_done(&ws->mu);
    free(ws->id);
    free(ws->dir);
    free(ws);
}

static void declare_metrics(struct weirspool *ws, struct metrics *m)
{
    const char *labels[] = {"receiver", ws->id, "transport", "spool", NULL};
    ws->accepted = metrics_get(m, METRIC_COUNTER, "otelcol_receiver_accepted_log_records",
                               "Records the pipeline took: safe here, or at the next stage.", labels);
    ws->refused = metrics_get(m, METRIC_COUNTER, "otelcol_receiver_refused_log_records",
                              "Records the pipeline did not take; their sender was told so.", labels);
    ws->malformed = metrics_get(m, METRIC_COUNTER, "otelcol_receiver_malformed_requests",
                                "Requests that are not OTLP, or over a limit.", labels);
    ws->torn = metrics_get(m, METRIC_COUNTER, "otelcol_receiver_weirspool_torn_log_records",
                           "Records that were damaged, or never finished by the process that died.", labels);
    ws->adopted = metrics_get(m, METRIC_COUNTER, "otelcol_receiver_weirspool_adopted_backlogs",
                              "Times that something without an owner was taken over.", labels);
}

static bool start(struct weirspool *ws, const struct component *cp, const struct runtime *rt, struct err *e)
{
    const char *given = ws->cfg->directory;
    ws->id = sv_dup(sv_of(cp->id));
    ws->dir = given && *given ? sv_dup(sv_of(given)) : backlog_default_dir(e);
    if (!ws->id || (!ws->dir && given && *given))
        return err_nomem(e);
    declare_metrics(ws, rt->metrics);
    if (!ws->dir && e->code)
        return err_ctx(e, "set 'directory'");
    if (!ws->dir) {
        log_info(ws->id, "WEIR_SPOOL_DIR is \"none\" and no 'directory' is set: nothing to look for");
        return true;
    }
    ws->backlog = (struct backlog_config){.base = ws->dir, .batch_records = BATCH_RECORDS, .batch_bytes = BATCH_BYTES};
    ws->started = pthread_create(&ws->thread, NULL, run, ws) == 0;
    if (ws->started)
        pthread_setname_np(ws->thread, "weirspool");
    return ws->started || err_set(e, ERR_UNAVAILABLE, "cannot start a thread");
}

static bool open_weirspool(const struct component *cp, const struct runtime *rt, const struct log_sink *to, void **ret,
                           struct err *e)
{
    struct weirspool *ws = calloc(1, sizeof *ws);
    struct err why = {0};
    if (!ws)
        return err_nomem(e);
    ws->cfg = cp->cfg;
    ws->to = *to;
    lock_init(&ws->mu);
    cond_init(&ws->changed);
    if (!start(ws, cp, rt, &why)) {
        free_weirspool(ws);
        if (e)
            *e = why;
        return err_ctx(e, "receiver \"%s\"", cp->id);
    }
    *ret = ws;
    return true;
}

static const char *address_of(const void *self, const char *protocol)
{
    return NULL;
}

const struct plug receiver_weirspool = {
    .kind = PLUG_RECEIVER, .type = "weirspool",
    .help = "Adopts the records that processes using libweir (also `weir run`) left on this machine when they died.",
    .section = &section, .cfg_size = sizeof(struct weirspool_cfg), .sender = NO_FLAG,
    .receiver = {.open = open_weirspool, .stop = stop_weirspool, .free = free_weirspool, .address = address_of}};

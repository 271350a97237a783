/* processor_memory_limiter.c - refuses records while the process holds too much memory; their senders try again.
 * The resident set is looked at each check_interval, on the export loop; pushes only read a flag. */
#include "base/clock.h"
#include "base/log.h"
#include "collector/plug.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct limiter_cfg {
    int64_t check_interval;
    uint64_t limit_mib, spike_limit_mib, limit_percentage, spike_limit_percentage;
};

static const struct option options[] = {
    OPT(DURATION, struct limiter_cfg, check_interval, "0s", "how often memory is looked at (required, e.g. 1s)"),
    OPT(U64, struct limiter_cfg, limit_mib, "0", "hard limit in MiB"),
    OPT(U64, struct limiter_cfg, spike_limit_mib, "0", "refuse above limit minus this; 0: 20 % of the limit"),
    OPT(U64, struct limiter_cfg, limit_percentage, "0", "hard limit in percent of the machine's (or the control group's) memory; limit_mib goes first"),
    OPT(U64, struct limiter_cfg, spike_limit_percentage, "0", "the same for the spike"),
    {0}};
static const struct other_key others[] = {
    {"min_gc_interval_when_soft_limited", KEY_NO_EFFECT, "there is no garbage collector"},
    {"min_gc_interval_when_hard_limited", KEY_NO_EFFECT, "there is no garbage collector"},
    {"max_gc_interval_when_soft_limited", KEY_NO_EFFECT, "there is no garbage collector"},
    {"max_gc_interval_when_hard_limited", KEY_NO_EFFECT, "there is no garbage collector"},
    {0}};

static void check(const struct reading *rd, void *cfg)
{
    const struct limiter_cfg *c = cfg;
    if (c->check_interval <= 0)
        section_problem(rd, "check_interval", "'check_interval' must be greater than zero");
    if (!c->limit_mib && !c->limit_percentage)
        section_problem(rd, NULL, "'limit_mib' or 'limit_percentage' must be greater than zero");
    if (c->limit_mib > (uint64_t)1 << 40)
        section_problem(rd, "limit_mib", "'limit_mib' is not a size a machine can have");
    if (c->limit_mib && c->spike_limit_mib >= c->limit_mib)
        section_problem(rd, "spike_limit_mib", "'spike_limit_mib' must be smaller than 'limit_mib'");
    if (c->limit_percentage > 100 || c->spike_limit_percentage > 100)
        section_problem(rd, c->limit_percentage > 100 ? "limit_percentage" : "spike_limit_percentage",
                        "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less than or equal "
                        "to hundred");
    if (!c->limit_mib && c->limit_percentage && c->spike_limit_percentage >= c->limit_percentage)
        section_problem(rd, "spike_limit_percentage", "'spike_limit_percentage' must be smaller than 'limit_percentage'");
}
static const struct section section = {.options = options, .others = others, .check = check};

struct limiter {
    struct log_sink next;
    char *id;
    struct loop *loop;
    struct loop_timer *timer; /* the loop's */
    uint64_t soft;
    int64_t interval_ms;
    _Atomic bool refusing;
    struct metric *accepted, *refused;
};

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%*s %llu", &pages) != 1)
        pages = 0;
    fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What this process may have: the machine's memory, or less when its control group says so. */
static uint64_t total_bytes(void)
{
    uint64_t total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned long long limit;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "re");
    if (f && fscanf(f, "%llu", &limit) == 1)
        total = MIN(total, (uint64_t)limit);
    if (f)
        fclose(f);
    return total;
}

static void look(void *ctx)
{
    struct limiter *lm = ctx;
    uint64_t now = resident_bytes();
    bool refusing = now >= lm->soft;
    if (refusing != atomic_exchange(&lm->refusing, refusing)) {
        if (refusing)
            log_warn(lm->id, "Memory usage is above soft limit. Refusing data. (%" PRIu64 " MiB)", now >> 20);
        else
            log_info(lm->id, "Memory usage back within limits. Resuming normal operation. (%" PRIu64 " MiB)", now >> 20);
    }
    loop_timer_set(lm->timer, lm->interval_ms);
}

static void push(void *self, struct batch *b, push_done_fn *done, void *ctx)
{
    struct limiter *lm = self;
    if (!atomic_load_explicit(&lm->refusing, memory_order_relaxed)) {
        metric_add(lm->accepted, b->n_records);
        sink_push(&lm->next, b, done, ctx);
        return;
    }
    metric_add(lm->refused, b->n_records);
    struct push_result r = {.code = PUSH_RETRY, .retry_after_ms = -1};
    err_set(&r.err, ERR_UNAVAILABLE, "data refused due to high memory usage");
    done(ctx, &r);
}

static void start(void *ctx)
{
    struct limiter *lm = ctx;
    lm->timer = loop_timer_new(lm->loop, look, lm);
    if (lm->timer)
        look(lm);
}

static void stop(void *ctx)
{
    struct limiter *lm = ctx;
    loop_timer_free(lm->timer);
}

static void close_limiter(void *self)
{
    struct limiter *lm = self;
    if (lm->timer)
        loop_run_and_wait(lm->loop, stop, lm);
    free(lm->id);
    free(lm);
}

static bool open_limiter(const struct component *cp, const struct runtime *rt, const struct log_sink *next,
                         struct log_sink *ret, struct err *e)
{
    const struct limiter_cfg *c = cp->cfg;
    struct limiter *lm = calloc(1, sizeof *lm);
    if (!lm || !(lm->id = sv_dup(sv_of(cp->id)))) {
        free(lm);
        return err_nomem(e);
    }
    uint64_t total = total_bytes();
    uint64_t hard = c->limit_mib ? c->limit_mib << 20 : total / 100 * c->limit_percentage;
    uint64_t spike = c->limit_mib ? c->spike_limit_mib << 20 : total / 100 * c->spike_limit_percentage;
    lm->soft = hard - (spike ? spike : hard / 5);
    lm->interval_ms = MAX(c->check_interval / NS_PER_MS, (int64_t)1);
    lm->next = *next;
    lm->loop = rt->export_loop;
    const char *labels[] = {"processor", cp->id, NULL};
    lm->accepted = metrics_get(rt->metrics, METRIC_COUNTER, "otelcol_processor_memory_limiter_accepted_log_records",
                               "Records let through.", labels);
    lm->refused = metrics_get(rt->metrics, METRIC_COUNTER, "otelcol_processor_memory_limiter_refused_log_records",
                              "Records refused for lack of memory.", labels);
    loop_run_and_wait(lm->loop, start, lm);
    if (!lm->timer) {
        close_limiter(lm);
        return err_nomem(e);
    }
    *ret = (struct log_sink){push, lm};
    return true;
}

const struct plug processor_memory_limiter = {
    .kind = PLUG_PROCESSOR, .type = "memory_limiter",
    .help = "Refuses records, to be sent again later, while the process is near its memory limit. Put it first.",
    .section = &section, .cfg_size = sizeof(struct limiter_cfg), .sender = NO_FLAG,
    .processor = {.open = open_limiter, .close = close_limiter}};

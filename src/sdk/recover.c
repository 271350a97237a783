/* recover.c - weir_backlogs() and weir_recover(): what dead processes left on disk, listed and delivered by the calling thread.
 * (1) A backlog is delivered under its lock and settled batch by batch, so whoever comes after a death of ours goes on there.
 * (2) A receiver that is away holds up all of them: giving up ends the whole. A backlog that cannot be read holds up no other.
 * (3) Nothing is thrown away on the word of a receiver that has taken nothing: a wrong address refuses everything. Backlogs that
 *     begin with such a refusal are put off until something was taken. */
#include "backlog/peek.h"
#include "base/clock.h"
#include "sdk/pipeline.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define FIRST_WAIT_MS 500
#define LONGEST_WAIT_MS 5000

/* ---- which ---- */

struct names {
    char *base;
    char *only; /* one backlog of it; NULL: all */
    VEC(char *) v;
    bool no_memory;
};

static void names_done(struct names *n)
{
    for (size_t i = 0; i < n->v.n; i++)
        free(n->v.at[i]);
    vec_done(&n->v);
    free(n->base);
    free(n->only);
}

static bool add_name(void *ctx, const char *name)
{
    struct names *n = ctx;
    if (n->only && strcmp(n->only, name) != 0)
        return true;
    char **slot = vec_push(&n->v);
    if (slot && !(*slot = sv_dup(sv_of(name))))
        n->v.n--;
    n->no_memory = !slot || !n->v.n || !n->v.at[n->v.n - 1];
    return !n->no_memory;
}

static bool is_backlog(const char *path)
{
    SCOPED(buf_done) struct buf ring = {0};
    struct stat st;
    buf_fmt(&ring, "%s/ring", path);
    buf_char(&ring, 0);
    return buf_ok(&ring, NULL) && lstat(ring.p, &st) == 0 && S_ISREG(st.st_mode);
}

/* `dir`, or what it stands for, as base; when it is a backlog itself, as base and name. */
static bool find_base(const char *dir, struct names *n, struct err *e)
{
    struct stat st;
    if (!dir) {
        n->base = backlog_default_dir(e);
        return n->base || (e->code ? err_ctx(e, "no directory to look into")
                                   : err_set(e, ERR_NOT_FOUND, "no directory to look into: WEIR_SPOOL_DIR is \"none\""));
    }
    SCOPED(mem_free) char *path = realpath(dir, NULL);
    if (!path || stat(path, &st) != 0)
        return err_sys(e, "'%s'", dir);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ERR_INVALID, "'%s' is not a directory", dir);
    if (is_backlog(path)) {
        char *slash = strrchr(path, '/');
        n->only = sv_dup(sv_of(slash + 1));
        if (!n->only)
            return err_nomem(e);
        slash[slash == path] = 0;
    }
    n->base = sv_dup(sv_of(path));
    return n->base || err_nomem(e);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool find(const char *dir, const char *service, struct names *n, struct err *e)
{
    if (!find_base(dir, n, e))
        return false;
    if (n->only && !service) /* whatever it is called */
        return add_name(n, n->only) || err_nomem(e);
    if (!backlog_list(n->base, sv_of(service), add_name, n, e))
        return false;
    if (n->v.n)
        qsort(n->v.at, n->v.n, sizeof *n->v.at, by_name);
    return !n->no_memory || err_nomem(e);
}

bool weir_backlogs(const char *dir, const char *service, void (*visit)(void *context, const weir_backlog *backlog), void *context,
                   weir_error *ret_error)
{
    struct names n = {0};
    struct err e = {0};
    bool ok = find(dir, service, &n, &e);
    for (size_t i = 0; ok && i < n.v.n; i++) {
        struct backlog_peek p = {0};
        struct err why = {0};
        char of[BACKLOG_SERVICE_MAX];
        if (!backlog_peek(n.base, n.v.at[i], &p, &why) && why.code == ERR_NOT_FOUND) /* gone meanwhile, or none */
            continue;
        backlog_service(n.v.at[i], of);
        visit(context, &(weir_backlog){.name = n.v.at[i], .service = of, .pid = p.pid, .created_ns = (uint64_t)p.created_wall_ns,
                                       .live = p.live, .waiting = p.waiting, .torn = p.torn, .bytes = p.bytes, .trouble = why.msg});
    }
    if (!ok)
        error_set(ret_error, "%s", e.msg);
    names_done(&n);
    return ok;
}

/* ---- delivering ---- */

enum fate { DONE, /* or not ours */ PUT_OFF, GAVE_UP };

struct recovery {
    weir_exporter *exporter;
    weir_recover_options opt;
    struct backlog_config cfg;
    weir_recover_report report;
    int64_t give_up_ms; /* moves on with each delivery */
    bool taken;         /* the receiver has taken something */
    char why[256];      /* something is left */
};

static void trouble(struct recovery *r, const char *name, uint64_t records, const char *message)
{
    if (!records)
        snprintf(r->why, sizeof r->why, "%.255s", message);
    if (r->opt.on_trouble)
        r->opt.on_trouble(r->opt.context, name, records, message);
}

static void progress(struct recovery *r)
{
    if (r->opt.on_progress)
        r->opt.on_progress(r->opt.context, &r->report);
}

static void sleep_ms(int64_t ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS};
    nanosleep(&ts, NULL);
}

/* Attempts until the receiver has decided. False: given up. */
static bool export_one(struct recovery *r, const weir_batch *batch, weir_export_result *ret)
{
    for (int64_t wait = FIRST_WAIT_MS;; wait = MIN(wait * 2, (int64_t)LONGEST_WAIT_MS)) {
        *ret = (weir_export_result){.retry_after_ms = -1};
        exporter_export(r->exporter, batch, MIN(r->opt.export_timeout_ms, MAX(ms_left(r->give_up_ms), (int64_t)1)), ret);
        if (ret->code != WEIR_EXPORT_RETRY)
            return true;
        int64_t pause = ret->retry_after_ms >= 0 ? MAX(ret->retry_after_ms, (int64_t)1) : wait;
        if (pause >= ms_left(r->give_up_ms)) /* it would come too late */
            return false;
        progress(r);
        sleep_ms(pause);
    }
}

static void count(struct recovery *r, const char *name, uint64_t n, const weir_export_result *x)
{
    uint64_t refused = x->code == WEIR_EXPORT_FAILED ? n : MIN(x->n_rejected, n);
    r->report.delivered += n - refused;
    r->report.refused += refused;
    if (refused)
        trouble(r, name, refused, *x->message ? x->message : "refused without a reason");
}

static enum fate say_left(struct recovery *r, const char *name, const char *what, const char *why, enum fate fate)
{
    char text[400];
    snprintf(text, sizeof text, "%s: %.255s", what, *why ? why : "the receiver does not say why");
    trouble(r, name, 0, text);
    return fate;
}

static enum fate deliver(struct recovery *r, const char *name, struct backlog *bl)
{
    struct err e = {0};
    sv request;
    uint32_t n;
    int got;
    while ((got = backlog_take(bl, &request, &n, &e)) == 1) {
        struct weir_batch batch = {.bytes = request, .n = MIN((size_t)n, request.n / 2)};
        weir_export_result x;
        if (!export_one(r, &batch, &x))
            return say_left(r, name, "given up", x.message, GAVE_UP);
        r->taken |= x.code == WEIR_EXPORT_OK;
        if (!r->taken && !r->opt.discard_refused)
            return say_left(r, name, "kept, as nothing was taken yet by the receiver, which refuses it", x.message, PUT_OFF);
        count(r, name, batch.n, &x);
        backlog_settle(bl);
        r->give_up_ms = deadline_in(r->opt.timeout_ms);
        progress(r);
    }
    if (got < 0)
        trouble(r, name, 0, e.msg);
    return DONE;
}

/* What stays behind there, counted. */
static void leave(struct recovery *r, const char *name)
{
    struct backlog_peek p;
    if (backlog_peek(r->cfg.base, name, &p, NULL))
        r->report.left += p.waiting;
}

static enum fate recover_one(struct recovery *r, const char *name)
{
    struct backlog *bl;
    struct backlog_stats st;
    struct err e = {0};
    if (!backlog_adopt(&r->cfg, name, &bl, &e)) {
        r->report.busy += e.code == ERR_UNAVAILABLE;
        if (e.code == ERR_UNAVAILABLE || e.code == ERR_NOT_FOUND)
            return DONE;
        r->report.backlogs++;
        r->report.unreadable++;
        trouble(r, name, 0, e.msg);
        return DONE;
    }
    enum fate fate = deliver(r, name, bl);
    backlog_stats(bl, &st);
    bool finished = backlog_close(bl) == 0;
    if (fate == PUT_OFF) /* counted when its turn comes again */
        return fate;
    r->report.torn += st.torn;
    r->report.backlogs++;
    r->report.finished += finished;
    if (!finished)
        leave(r, name);
    return fate;
}

/* Not delivered: what does it hold? */
static void pass_over(struct recovery *r, const char *name)
{
    struct backlog_peek p;
    if (!backlog_peek(r->cfg.base, name, &p, NULL))
        return;
    r->report.busy += p.live;
    r->report.backlogs += !p.live;
    r->report.left += p.live ? 0 : p.waiting;
}

/* All of them, and once more those that were put off if something was taken. */
static void recover_all(struct recovery *r, struct names *n)
{
    size_t n_off = 0;
    enum fate fate = DONE;
    for (size_t i = 0; i < n->v.n; i++) {
        if (fate == GAVE_UP) {
            pass_over(r, n->v.at[i]);
            continue;
        }
        fate = recover_one(r, n->v.at[i]);
        if (fate == PUT_OFF) { /* to the front: those have had their turn */
            char *name = n->v.at[i];
            n->v.at[i] = n->v.at[n_off];
            n->v.at[n_off++] = name;
        }
    }
    for (size_t i = 0; i < n_off; i++) {
        if (fate == GAVE_UP || !r->taken)
            pass_over(r, n->v.at[i]);
        else
            fate = recover_one(r, n->v.at[i]);
    }
}

static bool all_done(struct recovery *r, weir_error *ret_error)
{
    const weir_recover_report *rep = &r->report;
    if (rep->finished == rep->backlogs)
        return true;
    error_set(ret_error, "%" PRIu64 " of %" PRIu64 " backlogs are left, with %" PRIu64 " records: %.120s", rep->backlogs - rep->finished,
              rep->backlogs, rep->left, *r->why ? r->why : "they cannot be removed");
    return false;
}

static void set_defaults(struct recovery *r, const weir_recover_options *options)
{
    weir_recover_options *o = &r->opt;
    options_copy(o, sizeof *o, options);
    o->max_export_batch_size = o->max_export_batch_size ? o->max_export_batch_size : 512;
    o->max_export_batch_bytes = o->max_export_batch_bytes ? o->max_export_batch_bytes : 3u << 20;
    o->export_timeout_ms = o->export_timeout_ms > 0 ? o->export_timeout_ms : 30000;
    o->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : 30000;
    r->cfg = (struct backlog_config){.batch_records = o->max_export_batch_size, .batch_bytes = o->max_export_batch_bytes};
    r->report.struct_size = sizeof r->report;
}

bool weir_recover(const char *dir, weir_exporter *exporter, const weir_recover_options *options, weir_recover_report *ret_report,
                  weir_error *ret_error)
{
    struct recovery r = {.exporter = exporter};
    struct names n = {0};
    struct err e = {0};
    if (!exporter) {
        if (ret_error && !*ret_error->message)
            error_set(ret_error, "weir_recover() needs an exporter");
        return false;
    }
    set_defaults(&r, options);
    bool ok = find(dir, r.opt.service, &n, &e);
    if (!ok)
        error_set(ret_error, "%s", e.msg);
    r.cfg.base = n.base;
    r.give_up_ms = deadline_in(r.opt.timeout_ms);
    if (ok)
        recover_all(&r, &n);
    ok = ok && all_done(&r, ret_error);
    if (ret_report) {
        size_t size = ret_report->struct_size;
        memcpy(ret_report, &r.report, MIN(size, sizeof r.report));
        ret_report->struct_size = size;
    }
    names_done(&n);
    return ok;
}

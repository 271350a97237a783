/* merge.c - parts become fewer and larger: which is merge_choose.c's business, how merge_rows.c's. This is the thread between them.
 * (1) Order: outputs written and synced, read back, one catalog edit {add outputs, drop inputs}, swap in the list of parts in one step,
 *     then the inputs' files, once no scan holds them. A crash between any two leaves each row in exactly one listed place.
 * (2) When an edit's outcome is unknown, outputs and inputs stay, and only the edit is repeated.
 * (3) What a merge may take is bounded: memory by merge_rows.h, disk by what is asked for up front and merge_min_free_bytes, bytes a
 *     second by merge_max_rate. A large merge lets small ones go first, so that the young parts do not pile up behind it.
 * (4) A part that cannot be merged (damaged, or too many equal times) stays as it is, and nothing is merged across it. */
#include "store/store_int.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "store/merge_choose.h"
#include "store/merge_rows.h"
#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

#define TICK_NS NS_PER_S
#define JUDGE_NS (60 * NS_PER_S)
#define RETRY_MIN_NS NS_PER_S
#define RETRY_MAX_NS (300 * NS_PER_S)
enum { SYNC_BYTES = 16 << 20, INPUT_BYTES = 16 << 20, NICE = 5 }; /* a block that is open takes 12 MB */

struct swap { /* a catalog edit about parts, until it is in force */
    struct part_set out; /* references */
    struct part_set in;
};

struct merging {
    struct lock mu;
    struct cond wake, idle;
    uint64_t asked, asked_all, done; /* under mu: tickets of store_merge() */
    size_t window_first, window_n;   /* under mu: what merge_window() asks for */
    struct err err;                  /* under mu: of the attempt that ended last */
    _Atomic bool stop;
    pthread_t thread;
    bool started;
    /* the thread's */
    struct swap pending;
    struct part_set garbage; /* dropped parts whose files are there yet */
    int64_t backoff_ns, not_before;
    int64_t looked_ns;       /* at the disk */
    int64_t paced_ns;        /* when the bytes so far are paid for */
    int running;
    bool deferred;           /* for lack of disk; said once */
    int64_t judged_ns;       /* when retention was last looked at */
};

/* A merge to more than that is of the last level: its part is hardly merged again. */
static uint64_t large_bytes(const struct store *st)
{
    return st->cfg->merge_max_bytes / 4;
}

/* ---- the disk ---- */

static void look_at_disk(struct store *st)
{
    struct merging *mg = st->merging;
    struct err ignored;
    uint64_t left;
    int64_t now = clock_mono_ns();
    if (mg->looked_ns && now - mg->looked_ns < TICK_NS / 2)
        return;
    mg->looked_ns = now;
    if (!io_disk_free(st->dirfd, st->cfg->data_dir, &left, &ignored))
        left = UINT64_MAX; /* unknown: a full disk will say so itself */
    atomic_store_explicit(&st->disk_free, left, memory_order_relaxed);
    metric_set(st->m.disk_free, (int64_t)MIN(left, (uint64_t)INT64_MAX));
}

static bool disk_allows(struct store *st, uint64_t bytes, struct err *e)
{
    uint64_t left = atomic_load(&st->disk_free), min = st->cfg->merge_min_free_bytes;
    if (!min || (left >= min && left - min >= bytes))
        return true;
    return err_set(e, ERR_FULL, "a merge of %" PRIu64 " bytes waits: the disk has %" PRIu64
                   " bytes left, of which merge_min_free_bytes=%" PRIu64 " stay free", bytes, left, min);
}

/* Files of dropped parts, as far as no scan reads them: nobody can take a new reference to what is in no list. */
static void collect_garbage(struct store *st)
{
    struct part_set *g = &st->merging->garbage;
    size_t kept = 0;
    for (size_t i = 0; i < g->parts.n; i++) {
        struct part *p = g->parts.at[i];
        struct err e = {0};
        if (atomic_load_explicit(&p->refs, memory_order_acquire) == 1 && io_unlinkat(st->parts_fd, p->name, &e)) {
            catalog_gone(st->catalog, p->id);
            part_unref(p);
        } else {
            g->parts.at[kept++] = p;
        }
        if (e.code)
            log_warn("store", "%s", e.msg); /* it is tried again, and by the next start */
    }
    g->parts.n = kept;
    metric_set(st->m.parts_waiting, (int64_t)kept);
}

/* ---- a merge ---- */

static void swap_done(struct swap *s)
{
    part_set_done(&s->out);
    part_set_done(&s->in);
}

static void swap_parts(struct store *st, struct swap *s)
{
    struct part_set *now = &st->parts;
    size_t kept = 0, k;
    lock_assert_held(&st->head.mu);
    for (size_t i = 0; i < now->parts.n; i++) {
        for (k = 0; k < s->in.parts.n && s->in.parts.at[k] != now->parts.at[i];)
            k++;
        if (k < s->in.parts.n)
            part_unref(now->parts.at[i]); /* the swap has another reference */
        else
            now->parts.at[kept++] = now->parts.at[i];
    }
    ASSERT(kept + s->in.parts.n == now->parts.n);
    now->parts.n = kept;
    for (size_t i = 0; i < s->out.parts.n; i++)
        part_set_add(now, s->out.parts.at[i]);
    s->out.parts.n = 0;
}

static bool edit_catalog(struct store *st, const struct swap *s, struct err *e)
{
    SCOPED(mem_free) struct catalog_part *add = calloc(s->out.parts.n + 1, sizeof *add);
    SCOPED(mem_free) uint64_t *drop = calloc(s->in.parts.n + 1, sizeof *drop);
    if (!add || !drop)
        return err_nomem(e);
    for (size_t i = 0; i < s->out.parts.n; i++) {
        const struct part *p = s->out.parts.at[i];
        add[i] = (struct catalog_part){p->id, p->file_bytes, p->rows, p->line_bytes, p->min_ts, p->max_ts};
    }
    for (size_t i = 0; i < s->in.parts.n; i++)
        drop[i] = s->in.parts.at[i]->id;
    return catalog_edit(st->catalog, &(struct catalog_edit){0, add, s->out.parts.n, drop, s->in.parts.n}, e);
}

/* Puts mg->pending in force. */
static bool publish(struct store *st, struct err *e)
{
    struct merging *mg = st->merging;
    struct swap *s = &mg->pending;
    LOCK_SCOPED(&st->edit_mu);
    lock_acquire(&st->head.mu);
    bool ok = vec_reserve(&st->parts.parts, st->parts.parts.n + s->out.parts.n) &&
              vec_reserve(&mg->garbage.parts, mg->garbage.parts.n + s->in.parts.n);
    lock_release(&st->head.mu);
    if (!ok)
        return err_nomem(e);
    if (!edit_catalog(st, s, e))
        return false;
    lock_acquire(&st->head.mu);
    swap_parts(st, s);
    lock_release(&st->head.mu);
    for (size_t i = 0; i < s->in.parts.n; i++)
        mg->garbage.parts.at[mg->garbage.parts.n++] = s->in.parts.at[i];
    s->in.parts.n = 0;
    swap_done(s);
    return true;
}

static bool pace(struct merging *mg, uint64_t rate, uint64_t bytes)
{
    int64_t now = clock_mono_ns();
    if (rate)
        mg->paced_ns = MAX(mg->paced_ns, now - NS_PER_S / 10) + (int64_t)((double)bytes * 1e9 / (double)rate);
    LOCK_SCOPED(&mg->mu);
    while (rate && !atomic_load(&mg->stop) && clock_mono_ns() < mg->paced_ns)
        (void)cond_wait_until(&mg->wake, &mg->mu, mg->paced_ns);
    return !atomic_load(&mg->stop);
}

static bool merge_small(struct store *st, struct err *e);

struct run { /* a merge under way */
    struct store *st;
    bool large;
    int64_t looked_ns;
};

static bool tick(void *ctx, uint64_t bytes, struct err *e)
{
    struct run *r = ctx;
    struct store *st = r->st;
    int64_t now = clock_mono_ns();
    if (!pace(st->merging, st->cfg->merge_max_rate, bytes))
        return err_set(e, ERR_CANCELLED, "the store is closing");
    if (now - r->looked_ns < TICK_NS)
        return true;
    r->looked_ns = now;
    look_at_disk(st);
    retention_tick(st);
    collect_garbage(st);
    return !r->large || st->merging->running > 1 || merge_small(st, e);
}

static int64_t kept_from(void *ctx, const struct stream *st)
{
    const struct run *r = ctx;
    return retention_kept_from(r->st, st);
}

/* The files that merge_rows() made, opened: a part we cannot read must not replace others. */
static bool open_outputs(struct store *st, const struct merge_result *made, struct part_set *ret, struct err *e)
{
    uint64_t rows = 0;
    bool ok = vec_reserve(&ret->parts, made->ids.n + 1) || err_nomem(e);
    for (size_t i = 0; ok && i < made->ids.n; i++) {
        ok = part_open(st->parts_fd, made->ids.at[i], st->reg, &ret->parts.at[i], e);
        if (!ok)
            break;
        ret->parts.n++;
        rows += ret->parts.at[i]->rows;
        ret->parts.at[i]->added_mono_ns = clock_mono_ns();
    }
    ok = ok && (rows == made->rows_out || err_set(e, ERR_CORRUPT, "a merged part has not the rows it should"));
    for (size_t i = 0; !ok && i < made->ids.n; i++) {
        char name[32];
        struct err ignored;
        part_name(made->ids.at[i], name);
        (void)!io_unlinkat(st->parts_fd, name, &ignored);
    }
    return ok;
}

static void count_merge(struct store *st, const struct merge_result *r)
{
    metric_add(st->m.merges, 1);
    metric_add(st->m.merge_rows, (int64_t)r->rows_out);
    metric_add(st->m.merge_copied, (int64_t)r->rows_copied);
    metric_add(st->m.merge_read, (int64_t)r->bytes_in);
    metric_add(st->m.merge_written, (int64_t)r->bytes_out);
    metric_add(st->m.duplicates, (int64_t)r->duplicates);
    metric_add(st->m.expired_rows, (int64_t)r->expired);
    metric_add(st->m.deleted_rows, (int64_t)r->deleted);
    if ((int64_t)r->memory_peak > metric_value(st->m.merge_memory))
        metric_set(st->m.merge_memory, (int64_t)r->memory_peak);
}

static bool make_swap(struct store *st, struct part *const *in, size_t n, bool last, struct swap *ret, struct merge_result *made,
                      struct err *e)
{
    uint64_t raw = 0, stored = 0;
    for (size_t i = 0; i < n; i++) {
        raw += part_raw_bytes(in[i]);
        stored += in[i]->file_bytes;
    }
    struct run run = {.st = st, .large = raw > large_bytes(st), .looked_ns = clock_mono_ns()};
    struct merge_job job = {
        .dirfd = st->parts_fd,
        .in = in,
        .n = n,
        .level = run.large ? 2 : 1,
        .next_id = &st->next_part_id,
        .writer = {.compression = (int)(run.large || last ? st->cfg->merge_final_compression : st->cfg->merge_compression),
                   .reserve = stored,
                   .sync_every = SYNC_BYTES,
                   .drop_cache = run.large}, /* young parts are what people ask for: they stay in memory */
        .memory_max = st->cfg->merge_max_memory,
        .cutoff = kept_from,
        .tick = tick,
        .ctx = &run,
    };
    if (!vec_reserve(&ret->in.parts, n))
        return err_nomem(e);
    struct deletes *due = deletes_due(st);
    job.deletes = due;
    bool ok = disk_allows(st, stored, e) && merge_rows(&job, made, e) && open_outputs(st, made, &ret->out, e);
    deletes_unref(due);
    if (!ok)
        return false;
    for (size_t i = 0; i < n; i++)
        ret->in.parts.at[ret->in.parts.n++] = part_ref(in[i]);
    return true;
}

/* Damaged inputs, which the message names, or all when it is their being together that fails. A disk that does not take the output
 * is not their fault. */
static void set_apart(struct part *const *in, size_t n, const struct err *e)
{
    bool found = false;
    if (!part_damaged(e) && e->code != ERR_LIMIT)
        return;
    for (size_t i = 0; i < n; i++)
        if (strstr(e->msg, in[i]->name))
            found = in[i]->keep_as_is = true;
    for (size_t i = 0; i < n && !found && e->code != ERR_IO; i++)
        in[i]->keep_as_is = true;
}

static bool merge_parts(struct store *st, struct part *const *in, size_t n, bool last, struct err *e)
{
    struct merging *mg = st->merging;
    struct merge_result made = {0};
    struct swap s = {0};
    struct err why = {0};
    for (size_t i = 0; i < n; i++)
        in[i]->busy = true;
    metric_set(st->m.merge_running, ++mg->running);
    bool ok = make_swap(st, in, n, last, &s, &made, &why);
    metric_set(st->m.merge_running, --mg->running);
    for (size_t i = 0; i < n; i++)
        in[i]->busy = false;
    if (ok) {
        ASSERT(!mg->pending.in.parts.n);
        mg->pending = s;
        count_merge(st, &made);
        ok = publish(st, &why);
    } else {
        swap_done(&s);
        if (why.code == ERR_LIMIT && n > 2) {
            merge_result_done(&made);
            return merge_parts(st, in, MAX(n / 2, (size_t)2), false, e); /* half of them take half the memory */
        }
        set_apart(in, n, &why);
    }
    merge_result_done(&made);
    if (!ok && e)
        *e = why;
    return ok;
}

/* ---- the thread ---- */

static struct plan_limits plan_limits_of(const struct store *st, bool all)
{
    return (struct plan_limits){.max_bytes = st->cfg->merge_max_bytes,
                                .max_inputs = MAX((size_t)(st->cfg->merge_max_memory / INPUT_BYTES), (size_t)2),
                                .now_mono_ns = clock_mono_ns(),
                                .idle_ns = all ? INT64_MIN : st->cfg->merge_idle};
}

/* Merges some of the parts of a survey, which is done with: what it holds would keep files that can go. */
static bool merge_of(struct store *st, struct survey *s, struct part *const *in, size_t n, bool last, struct err *e)
{
    struct part *mine[MERGE_INPUTS_MAX];
    for (size_t i = 0; i < n; i++)
        mine[i] = part_ref(in[i]);
    survey_done(s);
    bool ok = merge_parts(st, mine, n, last, e);
    if (ok)
        deletes_settle(st);
    for (size_t i = 0; i < n; i++)
        part_unref(mine[i]);
    collect_garbage(st);
    return ok;
}

static bool drop_whole(struct store *st, struct part *p, struct err *e)
{
    struct merging *mg = st->merging;
    ASSERT(!mg->pending.in.parts.n);
    if (!vec_reserve(&mg->pending.in.parts, 1))
        return err_nomem(e);
    mg->pending.in.parts.at[mg->pending.in.parts.n++] = part_ref(p);
    metric_add(st->m.expired_parts, 1);
    metric_add(st->m.expired_rows, (int64_t)p->rows);
    return publish(st, e);
}

/* Is the part worth writing again without rows that need not be kept? Deleted ones must go, however few. */
static enum retention_verdict judge(struct store *st, const struct deletes *due, const struct part *p)
{
    enum retention_verdict v = retention_shortest(st) ? retention_judge(st, p) : RETENTION_KEEP;
    return v == RETENTION_KEEP && deletes_concern_part(due, p) ? RETENTION_REWRITE : v;
}

/* What is past its period, and one part that is worth writing again without it or what is deleted; *ret_more: there may be
 * another. */
static bool expire_these(struct store *st, const struct deletes *due, bool *ret_more, struct err *e)
{
    struct survey s = {0};
    bool ok = (!retention_shortest(st) && !due) || survey_make(st, &s, e);
    for (size_t i = 0; ok && !*ret_more && i < s.parts.parts.n; i++) {
        struct part *p = s.parts.parts.at[i];
        enum retention_verdict v = judge(st, due, p);
        if (v == RETENTION_REWRITE && !p->keep_as_is) {
            *ret_more = true; /* others may be merged meanwhile: the survey is no longer true */
            return merge_of(st, &s, &p, 1, p->level > 0, e);
        }
        if (v == RETENTION_DROP)
            ok = drop_whole(st, p, e);
    }
    survey_done(&s);
    collect_garbage(st);
    if (ok)
        st->merging->judged_ns = clock_mono_ns();
    return ok;
}

static bool expire(struct store *st, bool *ret_more, struct err *e)
{
    struct deletes *due = deletes_due(st);
    bool ok = expire_these(st, due, ret_more, e);
    deletes_unref(due);
    return ok;
}

/* Looks for a merge, and makes it. *ret_found: there was one. */
static bool merge_next(struct store *st, const struct plan_limits *l, bool *ret_found, struct err *e)
{
    struct survey s;
    struct choice c;
    uint64_t debt;
    *ret_found = false;
    bool ok = survey_make(st, &s, e) && survey_choose(&s, l, &c, &debt, e);
    if (ok) {
        metric_set(st->m.merge_debt, (int64_t)debt);
        *ret_found = c.n;
        if (c.n)
            return merge_of(st, &s, c.in, c.n, c.settles, e);
    }
    survey_done(&s);
    return ok;
}

/* Beside a large merge. What fails here is tried again behind it; but what waits for its edit must come first. */
static bool merge_small(struct store *st, struct err *e)
{
    struct plan_limits l = plan_limits_of(st, false);
    struct err why = {0};
    bool found = true;
    l.idle_ns = INT64_MAX;
    l.max_bytes = large_bytes(st);
    while (found && st->cfg->merge)
        if (!merge_next(st, &l, &found, &why))
            break;
    if (!st->merging->pending.in.parts.n && why.code != ERR_CANCELLED)
        return true;
    *e = why;
    return false;
}

/* Of the list of parts as it is: what a test asks for. */
static bool merge_those(struct store *st, size_t first, size_t n, struct err *e)
{
    struct survey s;
    bool ok = survey_make(st, &s, e);
    if (ok && (!n || n > MERGE_INPUTS_MAX || first > s.parts.parts.n || n > s.parts.parts.n - first))
        ok = err_set(e, ERR_INVALID, "no such parts");
    if (ok)
        return merge_of(st, &s, s.parts.parts.at + first, n, false, e);
    survey_done(&s);
    return false;
}

static void note_failure(struct store *st, const struct err *e)
{
    struct merging *mg = st->merging;
    mg->backoff_ns = MIN(MAX(mg->backoff_ns * 2, RETRY_MIN_NS), RETRY_MAX_NS);
    mg->not_before = clock_mono_ns() + mg->backoff_ns;
    if (e->code == ERR_CANCELLED)
        return;
    if (e->code == ERR_FULL) {
        metric_add(st->m.merge_deferred, 1);
        mg->not_before = clock_mono_ns() + TICK_NS; /* the disk is looked at all the time */
        mg->backoff_ns = 0;
        if (!mg->deferred)
            log_warn("store", "%s", e->msg);
        mg->deferred = true;
        return;
    }
    metric_add(st->m.merge_failures, 1);
    log_error("store", "merge failed, parts stay as they are: %s", e->msg);
}

/* One step; *ret_more: there may be another. */
static bool work(struct store *st, bool asked, bool all, bool *ret_more, struct err *e)
{
    struct merging *mg = st->merging;
    struct plan_limits l = plan_limits_of(st, all);
    *ret_more = mg->pending.in.parts.n;
    if (*ret_more)
        return publish(st, e);
    if ((asked || !mg->judged_ns || clock_mono_ns() - mg->judged_ns >= JUDGE_NS) && (!expire(st, ret_more, e) || *ret_more))
        return !e->code;
    if (!asked && !st->cfg->merge)
        return true;
    return merge_next(st, &l, ret_more, e);
}

static void answer(struct store *st, uint64_t ticket, const struct err *e)
{
    struct merging *mg = st->merging;
    lock_assert_held(&mg->mu);
    mg->err = *e;
    mg->done = ticket;
    metric_set(st->m.merge_asked, mg->asked != ticket);
    cond_broadcast(&mg->idle);
}

static void *merge_run(void *ctx)
{
    struct store *st = ctx;
    struct merging *mg = st->merging;
    (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* pushes and queries come first */
    LOCK_SCOPED(&mg->mu);
    while (!atomic_load(&mg->stop)) {
        uint64_t ticket = mg->asked;
        bool asked = ticket != mg->done, all = mg->asked_all > mg->done, more = false;
        size_t first = mg->window_first, n = mg->window_n;
        struct err e = {0};
        mg->window_n = 0;
        lock_release(&mg->mu);
        look_at_disk(st);
        retention_tick(st);
        collect_garbage(st);
        bool due = asked || clock_mono_ns() >= mg->not_before, ok = n ? merge_those(st, first, n, &e) : !due || work(st, asked, all, &more, &e);
        if (!ok)
            note_failure(st, &e);
        else if (due)
            mg->backoff_ns = mg->deferred = 0;
        lock_acquire(&mg->mu);
        if (asked && (!ok || !more))
            answer(st, ticket, &e);
        if (!more && mg->asked == mg->done && !atomic_load(&mg->stop))
            (void)cond_wait_until(&mg->wake, &mg->mu, clock_mono_ns() + TICK_NS);
    }
    cond_broadcast(&mg->idle);
    return NULL;
}

bool merge_start(struct store *st, struct err *e)
{
    struct merging *mg = calloc(1, sizeof *mg);
    if (!mg)
        return err_nomem(e);
    lock_init(&mg->mu);
    cond_init(&mg->wake);
    cond_init(&mg->idle);
    st->merging = mg;
    look_at_disk(st);
    int rc = pthread_create(&mg->thread, NULL, merge_run, st);
    if (rc)
        return err_sys_code(e, rc, "cannot start the merge thread");
    mg->started = true;
    pthread_setname_np(mg->thread, "weir-merge");
    return true;
}

void merge_stop(struct store *st)
{
    struct merging *mg = st->merging;
    if (!mg)
        return;
    lock_acquire(&mg->mu);
    atomic_store(&mg->stop, true);
    cond_broadcast(&mg->wake);
    cond_broadcast(&mg->idle);
    lock_release(&mg->mu);
    if (mg->started)
        pthread_join(mg->thread, NULL);
    collect_garbage(st);
    swap_done(&mg->pending); /* what it says is settled by the next start */
    part_set_done(&mg->garbage);
    lock_done(&mg->mu);
    cond_done(&mg->wake);
    cond_done(&mg->idle);
    free(mg);
    st->merging = NULL;
}

void merge_poke(struct store *st)
{
    if (st->merging)
        cond_signal(&st->merging->wake);
}

static uint64_t ask(struct store *st, bool all)
{
    struct merging *mg = st->merging;
    lock_assert_held(&mg->mu);
    uint64_t ticket = ++mg->asked;
    if (all)
        mg->asked_all = ticket;
    metric_set(st->m.merge_asked, 1);
    cond_signal(&mg->wake);
    return ticket;
}

static bool wait_for(struct merging *mg, uint64_t ticket, struct err *e)
{
    lock_assert_held(&mg->mu);
    while (mg->done < ticket && !atomic_load(&mg->stop))
        cond_wait(&mg->idle, &mg->mu);
    if (mg->done < ticket)
        return err_set(e, ERR_CLOSED, "the store is closing");
    if (!mg->err.code)
        return true;
    if (e)
        *e = mg->err;
    return false;
}

bool store_merge(struct store *st, bool all, struct err *e)
{
    LOCK_SCOPED(&st->merging->mu);
    return wait_for(st->merging, ask(st, all), e);
}

bool merge_window(struct store *st, size_t first, size_t n, struct err *e)
{
    LOCK_SCOPED(&st->merging->mu);
    st->merging->window_first = first;
    st->merging->window_n = n;
    return wait_for(st->merging, ask(st, false), e);
}

void store_merge_ask(struct store *st, bool all)
{
    LOCK_SCOPED(&st->merging->mu);
    (void)ask(st, all);
}

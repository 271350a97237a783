/* deletes.c - see deletes.h: the book of requests. Which rows they mean is in delete_rows.c, their bytes in delete_text.c. */
#include "store/delete_int.h"
#include "store/store_int.h"
#include "base/clock.h"
#include "base/log.h"
#include <inttypes.h>

#define KEEP_PROCESSED_NS (30ll * 24 * 3600 * NS_PER_S)
#define SETTLE_EVERY_NS (10 * NS_PER_S)
enum { KEEP_PROCESSED_MAX = 10000 };

struct deletes *deletes_ref(struct deletes *d)
{
    if (d)
        atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    return d;
}

void deletes_unref(struct deletes *d)
{
    if (!d || atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < d->n; i++)
        tombstone_unref(d->at[i]);
    free(d);
}

uint64_t deletes_last(const struct deletes *d)
{
    return d && d->n ? d->at[d->n - 1]->id : 0;
}

void deletes_init(struct delete_book *b)
{
    lock_init(&b->mu);
    b->next_id = 1;
}

void deletes_done(struct delete_book *b)
{
    for (size_t i = 0; i < b->all.n; i++)
        tombstone_unref(b->all.at[i]);
    vec_done(&b->all);
    deletes_unref(b->in_force);
    b->in_force = NULL;
    lock_done(&b->mu);
}

/* Of `all` those that `take` wants; *ret NULL: none. */
static bool set_of(struct delete_book *b, bool (*take)(const void *ctx, const struct tombstone *t), const void *ctx,
                   struct deletes **ret, struct err *e)
{
    lock_assert_held(&b->mu);
    struct deletes *d = malloc(sizeof *d + b->all.n * sizeof *d->at);
    if (!d)
        return err_nomem(e);
    atomic_init(&d->refs, 1);
    d->n = 0;
    for (size_t i = 0; i < b->all.n; i++)
        if (take(ctx, b->all.at[i]))
            d->at[d->n++] = tombstone_ref(b->all.at[i]);
    *ret = d->n ? d : NULL;
    if (!d->n)
        free(d);
    return true;
}

static bool in_force(const void *ctx, const struct tombstone *t)
{
    return !t->processed_ns;
}

/* Scans opened from here on see it. */
static void publish(struct store *st, struct deletes *now)
{
    lock_acquire(&st->head.mu);
    struct deletes *before = st->deletes.in_force;
    st->deletes.in_force = now;
    lock_release(&st->head.mu);
    deletes_unref(before);
    metric_set(st->m.deletes_pending, now ? (int64_t)now->n : 0);
}

bool deletes_load(struct store *st, const struct catalog_state *state, struct err *e)
{
    struct delete_book *b = &st->deletes;
    struct deletes *now;
    LOCK_SCOPED(&b->mu);
    for (size_t i = 0; i < state->deletes.n; i++) {
        struct tombstone **room = vec_push(&b->all);
        if (!room)
            return err_nomem(e);
        if (!tombstone_new(&state->deletes.at[i], room, e)) {
            b->all.n--;
            return err_ctx(e, "request %" PRIx64 " to delete rows", state->deletes.at[i].id);
        }
    }
    b->next_id = MAX(state->next_delete, (uint64_t)1);
    for (size_t i = 0; i < st->parts.parts.n; i++) /* a catalog that was lost knew of more */
        b->next_id = MAX(b->next_id, st->parts.parts.at[i]->deletes_applied + 1);
    if (!set_of(b, in_force, NULL, &now, e))
        return false;
    publish(st, now);
    return true;
}

/* ---- asking ---- */

static bool room_for_one(struct store *st, sv tenant, struct err *e)
{
    uint64_t n = 0, max = st->cfg->max_delete_requests;
    for (size_t i = 0; i < st->deletes.all.n; i++)
        n += !st->deletes.all.at[i]->processed_ns && sv_eq(st->deletes.all.at[i]->tenant, tenant);
    return !max || n < max ||
           err_set(e, ERR_LIMIT,
                   "%" PRIu64 " delete requests are not processed yet, the limit is %" PRIu64 " (max_delete_requests)", n, max);
}

/* The catalog's row for it, in force or with another processed_ns. */
static struct catalog_delete row_of(const struct tombstone *t, int64_t processed_ns)
{
    return (struct catalog_delete){t->id, t->created_ns, processed_ns, t->start_ns, t->end_ns, t->text};
}

static bool add(struct store *st, struct tombstone *t, struct err *e)
{
    struct delete_book *b = &st->deletes;
    struct deletes *now;
    lock_assert_held(&b->mu);
    struct tombstone **room = vec_push(&b->all);
    if (!room)
        return err_nomem(e);
    *room = t;
    if (!set_of(b, in_force, NULL, &now, e)) {
        b->all.n--;
        return false;
    }
    struct catalog_delete row = row_of(t, 0);
    if (!catalog_edit(st->catalog, &(struct catalog_edit){.deletes = &row, .n_deletes = 1}, e)) {
        deletes_unref(now);
        b->all.n--;
        return false;
    }
    publish(st, now);
    return true;
}

static void count_request(struct store *st, const char *name, const char *help, sv tenant)
{
    SCOPED(mem_free) char *who = sv_dup(tenant);
    metric_add(metrics_get(st->metrics, METRIC_COUNTER, name, help, (const char *[]){"user", who ? who : "", NULL}), 1);
}

bool store_delete(struct store *st, const struct delete_request *rq, uint64_t *ret_id, struct err *e)
{
    struct delete_book *b = &st->deletes;
    struct catalog_delete row = {.created_ns = rq->created_ns, .start_ns = rq->start_ns, .end_ns = rq->end_ns};
    SCOPED(tombstone_unref) struct tombstone *t = NULL;
    if (!store_ready(st, e) || !delete_text(rq, &row.text, e))
        return false;
    lock_acquire(&b->mu);
    row.id = b->next_id++; /* an id whose edit failed may be on disk all the same: no other request gets it */
    bool ok = room_for_one(st, rq->tenant, e) && tombstone_new(&row, &t, e) && add(st, t, e);
    lock_release(&b->mu);
    catalog_text_unref(row.text);
    if (!ok)
        return err_ctx(e, "delete request");
    t = NULL; /* the book's */
    count_request(st, "loki_compactor_delete_requests_received_total", "Requests to delete rows.", rq->tenant);
    *ret_id = row.id;
    return true;
}

void store_deletes(struct store *st, sv tenant, void (*fn)(void *ctx, const struct delete_info *d), void *ctx)
{
    LOCK_SCOPED(&st->deletes.mu);
    for (size_t i = 0; i < st->deletes.all.n; i++) {
        const struct tombstone *t = st->deletes.all.at[i];
        struct delete_info d = {t->id, t->query, t->start_ns, t->end_ns, t->created_ns, t->processed_ns != 0};
        if (sv_eq(t->tenant, tenant))
            fn(ctx, &d);
    }
}

/* ---- cancelling ---- */

static bool may_be_partly_gone(struct store *st, const struct tombstone *t)
{
    if (t->hide_only)
        return false;
    if (t->id <= st->deletes.removing)
        return true;
    LOCK_SCOPED(&st->head.mu);
    for (size_t i = 0; i < st->parts.parts.n; i++)
        if (st->parts.parts.at[i]->deletes_applied >= t->id)
            return true;
    return false;
}

static bool cancel_at(struct store *st, size_t at, struct err *e)
{
    struct delete_book *b = &st->deletes;
    struct tombstone *t = b->all.at[at];
    struct deletes *now;
    int64_t processed = t->processed_ns;
    t->processed_ns = INT64_MAX; /* for set_of() alone; nobody else reads it without mu */
    bool ok = set_of(b, in_force, NULL, &now, e);
    t->processed_ns = processed;
    if (!ok)
        return false;
    if (!catalog_edit(st->catalog, &(struct catalog_edit){.forget = &t->id, .n_forget = 1}, e)) {
        deletes_unref(now);
        return false;
    }
    memmove(&b->all.at[at], &b->all.at[at + 1], (b->all.n - at - 1) * sizeof *b->all.at);
    b->all.n--;
    publish(st, now);
    tombstone_unref(t);
    return true;
}

bool store_delete_cancel(struct store *st, sv tenant, uint64_t id, bool force, struct err *e)
{
    struct delete_book *b = &st->deletes;
    LOCK_SCOPED(&b->mu);
    for (size_t i = 0; i < b->all.n; i++) {
        const struct tombstone *t = b->all.at[i];
        if (t->id != id || !sv_eq(t->tenant, tenant))
            continue;
        if (t->processed_ns)
            return err_set(e, ERR_INVALID, "deletion of request which is in process or already processed is not allowed");
        if (!force && may_be_partly_gone(st, t))
            return err_set(e, ERR_INVALID,
                           "Unable to cancel partially completed delete request. To force, use the ?force query parameter");
        return cancel_at(st, i, e);
    }
    return err_set(e, ERR_NOT_FOUND, "could not find delete request with given id");
}

/* ---- removing, and being done ---- */

/* When the requests were made whose rows may go. */
static int64_t due_before(const struct store *st)
{
    return clock_wall_ns() - st->cfg->delete_request_cancel_period;
}

/* The first request that is not due: all before it are, but for those that only hide. */
static uint64_t due_end(struct store *st)
{
    int64_t bound = due_before(st);
    for (size_t i = 0; i < st->deletes.all.n; i++) {
        const struct tombstone *t = st->deletes.all.at[i];
        if (!t->processed_ns && !t->hide_only && t->created_ns > bound)
            return t->id;
    }
    return st->deletes.next_id;
}

static bool is_due(const void *ctx, const struct tombstone *t)
{
    return !t->processed_ns && !t->hide_only && t->id < *(const uint64_t *)ctx;
}

struct deletes *deletes_due(struct store *st)
{
    struct deletes *d = NULL;
    struct err e = {0};
    LOCK_SCOPED(&st->deletes.mu);
    uint64_t end = due_end(st);
    if (!st->deletes.all.n || !set_of(&st->deletes, is_due, &end, &d, &e))
        return NULL;
    st->deletes.removing = MAX(st->deletes.removing, deletes_last(d));
    return d;
}

static bool head_concerned(struct store *st, const struct tombstone *t)
{
    lock_assert_held(&st->head.mu);
    const struct chunk_list *lists[] = {&st->head.sealed, &st->head.active};
    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        for (size_t k = 0; k < lists[l]->chunks.n; k++) {
            const struct chunk *c = lists[l]->chunks.at[k];
            for (uint32_t i = 0; tombstone_in_range(t, c->min_ts, c->max_ts) && i < c->n_streams; i++)
                if (tombstone_in_range(t, c->streams[i].min_ts, c->streams[i].max_ts) && tombstone_means(t, c->streams[i].st))
                    return true;
        }
    return false;
}

/* Is there anything left that it might mean? The head under its lock, parts without: matching streams takes its time. */
static bool is_done(struct store *st, const struct store_view *v, const struct tombstone *t)
{
    for (size_t i = 0; i < v->n_parts; i++)
        if (tombstone_concerns_part(t, v->parts[i]))
            return false;
    LOCK_SCOPED(&st->head.mu);
    return !head_concerned(st, t);
}

/* Ids of requests that were processed so long ago, or with so many after them, that nobody asks. */
static bool too_old(struct delete_book *b, struct catalog_edit *edit, uint64_t *to, int64_t now)
{
    size_t n_processed = 0;
    for (size_t i = b->all.n; i-- > 0;) {
        const struct tombstone *t = b->all.at[i];
        if (t->processed_ns && (now - t->processed_ns > KEEP_PROCESSED_NS || ++n_processed > KEEP_PROCESSED_MAX))
            to[edit->n_forget++] = t->id;
    }
    edit->forget = to;
    return edit->n_forget > 0;
}

static void mark_processed(struct store *st, const struct catalog_edit *edit)
{
    struct delete_book *b = &st->deletes;
    size_t kept = 0;
    for (size_t i = 0, d = 0; i < b->all.n; i++) {
        struct tombstone *t = b->all.at[i];
        bool drop = false;
        for (size_t k = 0; k < edit->n_forget; k++)
            drop |= edit->forget[k] == t->id;
        if (d < edit->n_deletes && edit->deletes[d].id == t->id) {
            t->processed_ns = edit->deletes[d++].processed_ns;
            count_request(st, "loki_compactor_delete_requests_processed_total", "Requests whose rows are removed.", t->tenant);
        }
        if (drop)
            tombstone_unref(t);
        else
            b->all.at[kept++] = t;
    }
    b->all.n = kept;
}

static bool settle(struct store *st, struct err *e)
{
    struct delete_book *b = &st->deletes;
    lock_assert_held(&b->mu);
    int64_t now = clock_wall_ns();
    struct catalog_edit edit = {0};
    struct store_view v;
    struct deletes *set;
    SCOPED(mem_free) struct catalog_delete *rows = malloc(b->all.n * sizeof *rows);
    SCOPED(mem_free) uint64_t *old = malloc(b->all.n * sizeof *old);
    if (!rows || !old)
        return err_nomem(e);
    if (!store_view_take(st, &v, e))
        return false;
    uint64_t end = due_end(st);
    for (size_t i = 0; i < b->all.n; i++)
        if (is_due(&end, b->all.at[i]) && is_done(st, &v, b->all.at[i]))
            rows[edit.n_deletes++] = row_of(b->all.at[i], now);
    store_view_done(&v);
    edit.deletes = rows;
    if (!too_old(b, &edit, old, now) && !edit.n_deletes)
        return true;
    if (!catalog_edit(st->catalog, &edit, e))
        return false;
    mark_processed(st, &edit);
    if (!set_of(b, in_force, NULL, &set, e)) /* they hide on until the next attempt: nothing they mean is left */
        return false;
    publish(st, set);
    return true;
}

static void settle_locked(struct store *st)
{
    struct err e = {0};
    lock_assert_held(&st->deletes.mu);
    st->deletes.settled_mono_ns = clock_mono_ns();
    if (st->deletes.all.n && !settle(st, &e))
        log_error("store", "cannot note which delete requests are processed, tried again soon: %s", e.msg);
}

void deletes_settle(struct store *st)
{
    LOCK_SCOPED(&st->deletes.mu);
    settle_locked(st);
}

void deletes_settle_now_and_then(struct store *st)
{
    LOCK_SCOPED(&st->deletes.mu);
    if (clock_mono_ns() - st->deletes.settled_mono_ns >= SETTLE_EVERY_NS)
        settle_locked(st);
}

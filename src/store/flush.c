/* flush.c - the head becomes parts: by size, by age, by size of the log, or asked for.
 * (1) Order: parts written and synced, catalog edit durable, parts visible and rows gone from the head in one step, log
 *     trimmed. A crash between any two leaves the rows in exactly one place that recovery reads.
 * (2) A failure keeps the rows in the head and is tried again, slower and slower; reads and pushes go on meanwhile.
 * (3) When an edit's outcome is unknown, the parts it names stay, and only the edit is repeated: a catalog that did take it
 *     must find them after a crash. */
#include "store/store_int.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "store/flush_rows.h"
#include <inttypes.h>

#define TICK_NS NS_PER_S
#define RETRY_MIN_NS (NS_PER_S / 2)
#define RETRY_MAX_NS (30 * NS_PER_S)

void part_set_done(struct part_set *s)
{
    for (size_t i = 0; i < s->parts.n; i++)
        part_unref(s->parts.at[i]);
    vec_done(&s->parts);
}

void part_set_add(struct part_set *s, struct part *p)
{
    size_t i = s->parts.n++;
    ASSERT(s->parts.n <= s->parts.cap);
    for (; i > 0 && part_order(s->parts.at[i - 1], p) > 0; i--)
        s->parts.at[i] = s->parts.at[i - 1];
    s->parts.at[i] = p;
}

/* Removes files of an attempt that failed: nobody lists them. What stays all the same, recovery removes. */
static void remove_files(struct store *st, const struct parts_written *made)
{
    for (size_t i = 0; i < made->v.n; i++) {
        char name[32];
        struct err e = {0};
        part_name(made->v.at[i].id, name);
        if (!io_unlinkat(st->parts_fd, name, &e))
            log_warn("store", "%s", e.msg);
    }
    part_set_done(&st->written);
}

/* Read back at once: a part we cannot read must not replace rows. */
static bool open_written(struct store *st, const struct parts_written *made, struct err *e)
{
    if (!vec_reserve(&st->written.parts, made->v.n))
        return err_nomem(e);
    for (size_t i = 0; i < made->v.n; i++) {
        if (!part_open(st->parts_fd, made->v.at[i].id, st->reg, &st->written.parts.at[i], e))
            return false;
        st->written.parts.n++;
    }
    return true;
}

/* Writes the sealed rows; the parts go to st->written. */
static bool write_parts(struct store *st, struct err *e)
{
    struct parts_written made = {0};
    struct part_flush f = {.chunks = st->head.sealed.chunks.at,
                           .n_chunks = st->head.sealed.chunks.n,
                           .first_seq = st->head.sealed.first_seq,
                           .end_seq = st->head.sealed.end_seq,
                           .compression = (int)st->cfg->flush_compression};
    bool ok = part_write(st->parts_fd, &f, &st->next_part_id, &made, e) && open_written(st, &made, e);
    if (!ok)
        remove_files(st, &made);
    for (size_t i = 0; ok && i < made.v.n; i++)
        metric_add(st->m.duplicates, (int64_t)made.v.at[i].duplicates);
    st->is_written = ok;
    vec_done(&made.v);
    return ok;
}

static bool edit_catalog(struct store *st, struct err *e)
{
    struct part_set *w = &st->written;
    SCOPED(mem_free) struct catalog_part *rows = calloc(w->parts.n ? w->parts.n : 1, sizeof *rows);
    if (!rows)
        return err_nomem(e);
    for (size_t i = 0; i < w->parts.n; i++) {
        const struct part *p = w->parts.at[i];
        rows[i] = (struct catalog_part){p->id, p->file_bytes, p->rows, p->line_bytes, p->min_ts, p->max_ts};
    }
    struct catalog_edit edit = {.covered_seq = st->head.sealed.end_seq, .add = rows, .n_add = w->parts.n};
    return catalog_edit(st->catalog, &edit, e);
}

static bool publish(struct store *st, uint64_t *ret_covered, struct err *e)
{
    struct chunk_list old;
    struct part_set *w = &st->written;
    LOCK_SCOPED(&st->edit_mu);
    lock_acquire(&st->head.mu);
    bool ok = vec_reserve(&st->parts.parts, st->parts.parts.n + w->parts.n);
    lock_release(&st->head.mu);
    if (!ok)
        return err_nomem(e);
    if (!edit_catalog(st, e))
        return false;
    lock_acquire(&st->head.mu);
    for (size_t i = 0; i < w->parts.n; i++) {
        w->parts.at[i]->added_mono_ns = clock_mono_ns();
        part_set_add(&st->parts, w->parts.at[i]);
    }
    *ret_covered = st->head.sealed.end_seq;
    head_drop_sealed(&st->head, &old);
    lock_release(&st->head.mu);
    for (size_t i = 0; i < w->parts.n; i++)
        metric_add(st->m.flush_bytes, (int64_t)w->parts.at[i]->file_bytes);
    w->parts.n = 0;
    st->is_written = false;
    chunk_list_done(&old);
    merge_poke(st);
    return true;
}

/* Rows sealed earlier, if an attempt failed, or else the active ones. *ret_more: something else waits behind them. */
static bool flush_list(struct store *st, bool *ret_more, struct err *e)
{
    uint64_t covered = 0;
    lock_acquire(&st->head.mu);
    bool waiting = st->head.sealed.chunks.n > 0, active = st->head.active.chunks.n > 0;
    lock_release(&st->head.mu);
    *ret_more = waiting && active;
    if (!waiting && !active)
        return true;
    if (!waiting && !head_seal(&st->head))
        return err_nomem(e);
    if ((!st->is_written && !write_parts(st, e)) || !publish(st, &covered, e))
        return false;
    metric_add(st->m.flushes, 1);
    return spool_consume(st->wal, covered, e);
}

bool flush_once(struct store *st, struct err *e)
{
    bool more = true;
    while (more)
        if (!flush_list(st, &more, e))
            return false;
    return true;
}

static bool memory_pressed(const struct store *st)
{
    lock_assert_held(&st->head.mu);
    return st->head.active.memory + st->head.sealed.memory > st->cfg->memory_max_bytes / 2;
}

bool flush_pressed(struct store *st)
{
    LOCK_SCOPED(&st->head.mu);
    return memory_pressed(st);
}

/* Size or age of the head, or size of the log, ask for a flush. */
bool flush_due(struct store *st)
{
    struct spool_stats ws;
    lock_acquire(&st->head.mu);
    const struct chunk_list *a = &st->head.active;
    bool any = a->chunks.n > 0 || st->head.sealed.chunks.n > 0;
    bool due = st->head.sealed.chunks.n > 0 || a->line_bytes >= st->cfg->head_max_bytes ||
               a->rows >= st->cfg->head_max_rows || memory_pressed(st) ||
               (a->oldest_mono_ns && clock_mono_ns() - a->oldest_mono_ns >= st->cfg->head_max_age);
    lock_release(&st->head.mu);
    if (due || !any)
        return due;
    spool_stats(st->wal, &ws);
    return ws.bytes >= st->cfg->wal_max_bytes;
}

void flush_poke(struct store *st)
{
    if (flush_due(st))
        cond_signal(&st->flush_wake);
}

static void attempt(struct store *st, int64_t *backoff_ns)
{
    struct err e = {0};
    lock_release(&st->flush_mu);
    bool ok = flush_once(st, &e);
    deletes_settle(st);
    store_gauges(st);
    if (!ok) {
        metric_add(st->m.flush_failures, 1);
        log_error("store", "flush failed, rows stay in memory and in the log: %s", e.msg);
    }
    lock_acquire(&st->flush_mu);
    st->flush_err = ok ? (struct err){0} : e;
    *backoff_ns = ok ? 0 : MIN(MAX(*backoff_ns * 2, RETRY_MIN_NS), RETRY_MAX_NS);
}

static void *flush_run(void *ctx)
{
    struct store *st = ctx;
    int64_t backoff_ns = 0, not_before = 0;
    LOCK_SCOPED(&st->flush_mu);
    while (!st->flush_stop) {
        uint64_t ticket = st->flush_asked;
        bool asked = ticket != st->flush_done;
        if (asked || (clock_mono_ns() >= not_before && flush_due(st))) {
            attempt(st, &backoff_ns);
            not_before = clock_mono_ns() + backoff_ns;
            st->flush_done = ticket;
            cond_broadcast(&st->flush_idle);
            continue;
        }
        if (!cond_wait_until(&st->flush_wake, &st->flush_mu, MAX(not_before, clock_mono_ns() + TICK_NS))) {
            lock_release(&st->flush_mu);
            store_gauges(st);
            deletes_settle_now_and_then(st);
            lock_acquire(&st->flush_mu);
        }
    }
    return NULL;
}

bool flush_start(struct store *st, struct err *e)
{
    int rc = pthread_create(&st->flusher, NULL, flush_run, st);
    if (rc)
        return err_sys_code(e, rc, "cannot start the flush thread");
    st->flusher_started = true;
    pthread_setname_np(st->flusher, "weir-flush");
    return true;
}

void flush_stop(struct store *st)
{
    if (!st->flusher_started)
        return;
    lock_acquire(&st->flush_mu);
    st->flush_stop = true;
    cond_broadcast(&st->flush_wake);
    cond_broadcast(&st->flush_idle);
    lock_release(&st->flush_mu);
    pthread_join(st->flusher, NULL);
    st->flusher_started = false;
}

/* One attempt that began after the call: waits for it. */
bool store_flush(struct store *st, struct err *e)
{
    LOCK_SCOPED(&st->flush_mu);
    uint64_t ticket = ++st->flush_asked;
    cond_signal(&st->flush_wake);
    while (st->flush_done < ticket && !st->flush_stop)
        cond_wait(&st->flush_idle, &st->flush_mu);
    if (st->flush_done < ticket)
        return err_set(e, ERR_CLOSED, "the store is closing");
    if (!st->flush_err.code)
        return true;
    if (e)
        *e = st->flush_err;
    return false;
}

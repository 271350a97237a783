/* recover.c - from what lies on disk to a store that serves.
 * (1) The catalog says which parts count. A listed part that is damaged or missing is set aside in quarantine/, counted, and
 *     the rest serves. One that the disk fails to read is counted, too, and stays listed: its bytes may be well, and the next
 *     start tries again.
 * (2) A file that nobody lists is what a crash left between writing a part and listing it, and its rows are in the log, or in the
 *     parts it was merged from: it goes. So does one that was dropped and not yet removed. But when its rows are nowhere else (the
 *     catalog was lost, or its last edit), the part is taken in: it says itself what it covers and what it stands for.
 * (3) The log is read from the first frame no part covers, by the rules each frame was taken under. */
#include "store/store_int.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "store/ingest.h"
#include "store/wal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

struct found { /* a file in parts/ */
    uint64_t id;
    struct part *part; /* NULL: set aside, or unread */
    bool listed, keep;
    bool replaced;     /* a part that counts was merged from it */
    bool unread;       /* the disk failed */
};

struct recovery {
    struct store *st;
    struct catalog_state state;
    struct err damage; /* of the catalog */
    VEC(struct found) files;
    uint64_t max_end_seq;
};

static bool each_name(int dirfd, const char *dir, bool (*fn)(void *ctx, const char *name, struct err *e), void *ctx,
                      struct err *e)
{
    int fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return true;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        io_close(fd);
        return err_sys(e, "cannot list '%s'", dir);
    }
    bool ok = true;
    for (struct dirent *en; ok && (en = readdir(d));)
        ok = fn(ctx, en->d_name, e);
    closedir(d);
    return ok;
}

static bool set_aside(struct store *st, const char *dir, const char *name, const char *why)
{
    char from[80], to[80];
    struct err e = {0};
    snprintf(from, sizeof from, "%s/%s", dir, name);
    snprintf(to, sizeof to, "quarantine/%s", name);
    metric_add(st->m.quarantined, 1);
    log_error("store", "'%s' is set aside in quarantine: %s", from, why);
    if ((mkdirat(st->dirfd, "quarantine", 0750) != 0 && errno != EEXIST) || !io_renameat(st->dirfd, from, to, &e)) {
        log_error("store", "cannot move '%s' to quarantine: %s", from, e.msg);
        return false;
    }
    return true;
}

static bool note_id(void *ctx, const char *name, struct err *e)
{
    struct recovery *r = ctx;
    uint64_t id;
    if (part_id_of_name(sv_of(name), &id))
        r->st->next_part_id = MAX(atomic_load(&r->st->next_part_id), id + 1);
    return true;
}

static bool note_file(void *ctx, const char *name, struct err *e)
{
    struct recovery *r = ctx;
    uint64_t id;
    if (sv_ends(sv_of(name), SV(".tmp")))
        return io_unlinkat(r->st->parts_fd, name, e);
    if (!part_id_of_name(sv_of(name), &id))
        return true; /* not ours */
    struct found *f = vec_push(&r->files);
    if (!f)
        return err_nomem(e);
    *f = (struct found){.id = id};
    return note_id(r, name, e);
}

/* Ids of files that are gone are not used again while somebody may still speak of them. */
static void note_ids(struct recovery *r)
{
    uint64_t next = atomic_load(&r->st->next_part_id);
    for (size_t i = 0; i < r->state.parts.n; i++)
        next = MAX(next, r->state.parts.at[i].id + 1);
    for (size_t i = 0; i < r->state.dead.n; i++)
        next = MAX(next, r->state.dead.at[i] + 1);
    atomic_store(&r->st->next_part_id, next);
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = ((const struct found *)a)->id, y = ((const struct found *)b)->id;
    return (x > y) - (x < y);
}

static struct found *file_of(struct recovery *r, uint64_t id)
{
    struct found key = {.id = id};
    return r->files.n ? bsearch(&key, r->files.at, r->files.n, sizeof key, by_id) : NULL;
}

/* Opens every part there is. Damaged ones are set aside; those of a newer release stop the start. */
static bool open_parts(struct recovery *r, struct err *e)
{
    if (r->files.n)
        qsort(r->files.at, r->files.n, sizeof *r->files.at, by_id);
    for (size_t i = 0; i < r->state.parts.n; i++) {
        struct found *f = file_of(r, r->state.parts.at[i].id);
        if (f)
            f->listed = true;
    }
    for (size_t i = 0; i < r->files.n; i++) {
        struct found *f = &r->files.at[i];
        struct err why = {0};
        char name[32];
        if (!part_open(r->st->parts_fd, f->id, r->st->reg, &f->part, &why)) {
            if (!part_damaged(&why)) {
                *e = why;
                return false;
            }
            part_name(f->id, name);
            if (why.code == ERR_IO) {
                f->unread = true;
                metric_add(r->st->m.quarantined, 1);
                log_error("store", "'parts/%s' cannot be read and is left out until the next start: %s", name, why.msg);
                continue;
            }
            if (!set_aside(r->st, "parts", name, why.msg))
                return err_set(e, ERR_IO, "cannot set a damaged part aside: %s", why.msg);
            continue;
        }
        r->max_end_seq = MAX(r->max_end_seq, f->part->end_seq);
    }
    return true;
}

static bool same_origin(const struct part *p, const struct part *q)
{
    return p->first_seq == q->first_seq && p->end_seq == q->end_seq && p->n_inputs == q->n_inputs &&
           (!p->n_inputs || memcmp(p->inputs, q->inputs, p->n_inputs * sizeof *p->inputs) == 0);
}

/* Are all parts of this one's flush or merge there? */
static bool origin_complete(const struct recovery *r, const struct part *p)
{
    unsigned n = 0, of = 0;
    for (size_t i = 0; i < r->files.n; i++) {
        const struct part *q = r->files.at[i].part;
        if (!q || !same_origin(p, q))
            continue;
        n++;
        of = MAX(of, q->of);
    }
    return of && n >= of;
}

static bool log_has(struct store *st, const struct part *p)
{
    return spool_first_seq(st->wal) <= p->first_seq && spool_next_seq(st->wal) >= p->end_seq;
}

/* Are the parts that this one was merged from all there, and those that count? */
static bool inputs_serve(struct recovery *r, const struct part *p)
{
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        const struct found *f = file_of(r, p->inputs[i]);
        if (!f || !f->part || !f->listed)
            return false;
    }
    return true;
}

static bool is_dead(const struct recovery *r, uint64_t id)
{
    for (size_t i = 0; i < r->state.dead.n; i++)
        if (r->state.dead.at[i] == id)
            return true;
    return false;
}

/* Is there a part that came to be only after this one was listed? A younger flush, or a merge of parts as young. */
static bool was_listed(const struct recovery *r, const struct part *p)
{
    for (size_t i = 0; i < r->files.n; i++) {
        const struct part *q = r->files.at[i].part;
        if (q && (q->end_seq > p->end_seq || (q->end_seq == p->end_seq && q->n_inputs)))
            return true;
    }
    return false;
}

/* Should a part be kept that no edit lists? */
static bool keep_unlisted(struct recovery *r, const struct part *p)
{
    if (is_dead(r, p->id))
        return false;
    if (p->n_inputs)
        return !inputs_serve(r, p);
    return !log_has(r->st, p) || (r->damage.code && (origin_complete(r, p) || was_listed(r, p)));
}

static void replace_inputs(struct recovery *r, const struct part *p)
{
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        struct found *f = file_of(r, p->inputs[i]);
        if (f)
            f->replaced = true;
    }
}

/* Which parts count. From the youngest down: what a merged part stands for was there before it. */
static void judge_parts(struct recovery *r)
{
    for (size_t i = r->files.n; i-- > 0;) {
        struct found *f = &r->files.at[i];
        if (!f->part)
            continue;
        f->keep = !f->replaced && (f->listed || keep_unlisted(r, f->part));
        if ((f->keep || f->replaced) && origin_complete(r, f->part))
            replace_inputs(r, f->part);
        if (f->keep && !f->listed)
            log_warn("store", "part '%s' was not in the catalog and is taken in", f->part->name);
    }
}

/* Files of parts that do not count; the listed among them once the catalog knows. */
static bool remove_others(struct recovery *r, bool listed, struct err *e)
{
    for (size_t i = 0; i < r->files.n; i++) {
        struct found *f = &r->files.at[i];
        if (f->part && !f->keep && f->listed == listed && !io_unlinkat(r->st->parts_fd, f->part->name, e))
            return false;
    }
    return true;
}

static bool take_part(struct recovery *r, struct found *f, struct catalog_state *now, struct err *e)
{
    struct part **room = vec_push(&r->st->parts.parts), *p = f->part;
    struct catalog_part *row = room ? vec_push(&now->parts) : NULL;
    if (!row) {
        r->st->parts.parts.n -= room != NULL;
        return err_nomem(e);
    }
    *row = (struct catalog_part){p->id, p->file_bytes, p->rows, p->line_bytes, p->min_ts, p->max_ts};
    p->added_mono_ns = clock_mono_ns(); /* a start settles no day at once */
    *room = part_ref(f->part);
    return true;
}

static bool keep_listed(const struct catalog_part *row, struct catalog_state *now, struct err *e)
{
    struct catalog_part *room = vec_push(&now->parts);
    if (!room)
        return err_nomem(e);
    *room = *row;
    return true;
}

/* Is there a part that counts and was merged from this one? Then its file may be gone. */
static bool stood_for(const struct recovery *r, uint64_t id)
{
    for (size_t i = 0; i < r->files.n; i++) {
        const struct found *f = &r->files.at[i];
        for (uint32_t k = 0; f->keep && f->part && k < f->part->n_inputs; k++)
            if (f->part->inputs[k] == id)
                return true;
    }
    return false;
}

static int in_order(const void *a, const void *b)
{
    return part_order(*(struct part *const *)a, *(struct part *const *)b);
}

/* Brings catalog and list of parts to what was found. */
static bool settle_catalog(struct recovery *r, struct err *e)
{
    struct catalog_state now = {.covered_seq = r->state.covered_seq};
    bool changed = r->damage.code != 0, ok = true;
    for (size_t i = 0; ok && i < r->state.parts.n; i++) {
        struct found *f = file_of(r, r->state.parts.at[i].id);
        if (f && f->part && f->keep) {
            ok = take_part(r, f, &now, e);
            continue;
        }
        if (f && f->unread) {
            ok = keep_listed(&r->state.parts.at[i], &now, e);
            continue;
        }
        changed = true;
        if (!f && !stood_for(r, r->state.parts.at[i].id)) {
            metric_add(r->st->m.quarantined, 1);
            log_error("store", "part %016" PRIx64 " is listed and missing", r->state.parts.at[i].id);
        }
    }
    for (size_t i = 0; ok && i < r->files.n; i++) {
        struct found *f = &r->files.at[i];
        if (!f->part || f->listed || !f->keep)
            continue;
        changed = true;
        now.covered_seq = MAX(now.covered_seq, f->part->end_seq);
        ok = take_part(r, f, &now, e);
    }
    ok = ok && (!changed || catalog_reset(r->st->catalog, &now, e));
    for (size_t i = 0; ok && i < r->state.dead.n; i++)
        if (!file_of(r, r->state.dead.at[i]) || !file_of(r, r->state.dead.at[i])->unread)
            catalog_gone(r->st->catalog, r->state.dead.at[i]);
    r->state.covered_seq = now.covered_seq;
    catalog_state_done(&now);
    struct part_set *set = &r->st->parts;
    if (set->parts.n)
        qsort(set->parts.at, set->parts.n, sizeof *set->parts.at, in_order);
    return ok;
}

/* A frame whose checksum is right and whose content is not: kept for inspection, since the log will be trimmed. */
static void keep_frame(struct store *st, uint64_t seq, sv frame, const char *why)
{
    char name[64];
    struct err e = {0};
    snprintf(name, sizeof name, "quarantine/frame-%" PRIu64, seq);
    metric_add(st->m.replay_skipped, 1);
    log_error("store", "log frame %" PRIu64 " cannot be read back: %s", seq, why);
    if ((mkdirat(st->dirfd, "quarantine", 0750) != 0 && errno != EEXIST) ||
        !io_replace_file(st->dirfd, name, frame, &e))
        log_error("store", "cannot keep it in '%s': %s", name, e.msg);
}

static bool replay_rows(struct store *st, const struct wal_frame *f, uint64_t seq, uint32_t *ret_refused, struct err *e)
{
    struct ingest_request rq = {.bytes = f->payload,
                                .loki = f->type == WAL_LOKI,
                                .rules = f->rules,
                                .arrived_wall_ns = f->arrived_wall_ns,
                                .pool = st->ingest,
                                .cut = f->cut,
                                .refused = f->refused.at,
                                .n_refused = f->refused.n};
    SCOPED(ingest_result_done) struct ingest_result rows = {0};
    if (!registry_tenant(st->reg, f->tenant, &rq.tenant, e) || !ingest(&rq, &rows, e))
        return false;
    if (!head_reserve(&st->head, rows.chunks.n))
        return err_nomem(e);
    head_add(&st->head, rows.chunks.at, rows.chunks.n, seq, clock_mono_ns());
    rows.chunks.n = 0;
    *ret_refused = rows.rejects.total;
    metric_add(st->m.replayed_frames, 1);
    return true;
}

static bool replay_frame(struct store *st, uint64_t seq, sv bytes, struct buf *body, struct err *e)
{
    struct wal_frame f;
    struct err why = {0};
    uint32_t refused = 0;
    bool ok = wal_frame_read(bytes, body, &f, &why);
    if (ok) {
        ok = replay_rows(st, &f, seq, &refused, &why);
        wal_frame_done(&f);
    }
    if (ok && refused) { /* taken then, refused now: another release's rules */
        err_set(&why, ERR_INVALID, "%u records that were taken once are refused by this release", refused);
        keep_frame(st, seq, bytes, why.msg);
    }
    if (ok) /* what is merely due is written once the store serves */
        return !flush_pressed(st) || flush_once(st, e);
    if (why.code != ERR_CORRUPT && why.code != ERR_PARSE) {
        *e = why;
        return err_ctx(e, "log frame %" PRIu64, seq);
    }
    keep_frame(st, seq, bytes, why.msg);
    return true;
}

static bool replay(struct store *st, uint64_t covered, struct err *e)
{
    struct spool_reader *rd;
    SCOPED(buf_done) struct buf body = {0};
    uint64_t from = MAX(covered, spool_first_seq(st->wal)), seq;
    sv frame;
    int got = 1;
    head_start(&st->head, from);
    if (!spool_reader_open(st->wal, from, &rd, e))
        return false;
    bool ok = true;
    while (ok && (got = spool_read(rd, &frame, &seq, e)) > 0)
        ok = replay_frame(st, seq, frame, &body, e);
    spool_reader_close(rd);
    return ok && got == 0 && spool_consume(st->wal, from, e);
}

/* What catalog and log lost at their ends, and the log elsewhere: a crash tears an end, and so may a bad disk. */
static void tell_losses(struct store *st, const struct spool_recovery *wal)
{
    struct spool_stats log;
    uint64_t torn = catalog_torn_bytes(st->catalog);
    spool_stats(st->wal, &log);
    metric_add(st->m.torn_bytes, (int64_t)wal->torn_bytes);
    metric_add(st->m.log_damaged, (int64_t)log.bad_bytes);
    metric_add(st->m.catalog_torn, (int64_t)torn);
    if (torn)
        log_warn("store", "the catalog ended in %" PRIu64 " bytes that are no edit, cut off: one that a crash cut short, or a damaged one; a "
                          "request to delete that it may have been is to be made again", torn);
}

static bool recover(struct recovery *r, struct err *e)
{
    struct store *st = r->st;
    struct spool_recovery wal = {0};
    if (!catalog_open(st->dirfd, &st->catalog, &r->state, &r->damage, e))
        return false;
    if (r->damage.code) {
        metric_add(st->m.quarantined, 1);
        log_error("store", "the catalog is damaged and made anew from the parts; of requests to delete, %zu are known: %s",
                  r->state.deletes.n, r->damage.msg);
    }
    if (!each_name(st->parts_fd, ".", note_file, r, e) || !each_name(st->dirfd, "quarantine", note_id, r, e) ||
        !open_parts(r, e) || !wal_open(st, MAX(r->state.covered_seq, r->max_end_seq), &wal, e))
        return false;
    note_ids(r);
    judge_parts(r);
    if (!remove_others(r, false, e) || !settle_catalog(r, e) || !remove_others(r, true, e) || !deletes_load(st, &r->state, e) ||
        !replay(st, r->state.covered_seq, e))
        return false;
    tell_losses(st, &wal);
    return true;
}

bool store_recover(struct store *st, struct err *e)
{
    struct recovery r = {.st = st};
    struct err why = {0};
    bool ok = recover(&r, &why);
    for (size_t i = 0; i < r.files.n; i++)
        part_unref(r.files.at[i].part);
    vec_done(&r.files);
    catalog_state_done(&r.state);
    if (!ok && e)
        *e = why;
    return ok;
}

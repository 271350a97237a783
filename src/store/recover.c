/* recover.c - from what lies on disk to a store that serves.
 * (1) The catalog says which parts count. A listed part that is damaged or missing is set aside in quarantine/, counted, and
 *     the rest serves. One that the disk fails to read is counted, too, and stays listed: its bytes may be well, and the next
 *     start tries again.
 * (2) A file that nobody lists is what a crash left between writing a part and listing it, and its rows are in the log: it
 *     goes. But when the log does not have them (the catalog was lost), the part is taken in: it says itself what it covers.
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

/* Are all parts of this one's flush there? */
static bool flush_complete(const struct recovery *r, const struct part *p)
{
    unsigned n = 0;
    for (size_t i = 0; i < r->files.n; i++) {
        const struct part *q = r->files.at[i].part;
        n += q && q->first_seq == p->first_seq && q->end_seq == p->end_seq && q->of == p->of;
    }
    return n >= p->of;
}

static bool log_has(struct store *st, const struct part *p)
{
    return spool_first_seq(st->wal) <= p->first_seq && spool_next_seq(st->wal) >= p->end_seq;
}

/* Parts nobody lists: kept when the log cannot give their rows again. */
static bool judge_unlisted(struct recovery *r, struct err *e)
{
    for (size_t i = 0; i < r->files.n; i++) {
        struct found *f = &r->files.at[i];
        if (!f->part)
            continue;
        f->keep = f->listed || !log_has(r->st, f->part) || (r->damage.code && flush_complete(r, f->part));
        if (!f->keep && !io_unlinkat(r->st->parts_fd, f->part->name, e))
            return false;
        if (f->keep && !f->listed)
            log_warn("store", "part '%s' was not in the catalog and is taken in", f->part->name);
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
    *room = TAKE(f->part);
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

/* Brings catalog and list of parts to what was found. */
static bool settle_catalog(struct recovery *r, struct err *e)
{
    struct catalog_state now = {.covered_seq = r->state.covered_seq};
    bool changed = r->damage.code != 0, ok = true;
    for (size_t i = 0; ok && i < r->state.parts.n; i++) {
        struct found *f = file_of(r, r->state.parts.at[i].id);
        if (f && f->part) {
            ok = take_part(r, f, &now, e);
            continue;
        }
        if (f && f->unread) {
            ok = keep_listed(&r->state.parts.at[i], &now, e);
            continue;
        }
        changed = true;
        if (!f) {
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
    r->state.covered_seq = now.covered_seq;
    catalog_state_done(&now);
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

static bool recover(struct recovery *r, struct err *e)
{
    struct store *st = r->st;
    struct spool_recovery wal = {0};
    if (!catalog_open(st->dirfd, &st->catalog, &r->state, &r->damage, e))
        return false;
    if (r->damage.code) {
        metric_add(st->m.quarantined, 1);
        log_error("store", "the catalog is damaged and made anew from the parts: %s", r->damage.msg);
    }
    if (!each_name(st->parts_fd, ".", note_file, r, e) || !each_name(st->dirfd, "quarantine", note_id, r, e) ||
        !open_parts(r, e) || !wal_open(st, MAX(r->state.covered_seq, r->max_end_seq), &wal, e))
        return false;
    metric_add(st->m.torn_bytes, (int64_t)wal.torn_bytes);
    return judge_unlisted(r, e) && settle_catalog(r, e) && replay(st, r->state.covered_seq, e);
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

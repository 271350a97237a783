/* catalog.c - see catalog.h.
 * Manifest, LE: head, 16 bytes: 0 magic | 8 major u16 | 10 minor u16 | 12 crc32c of the 12 bytes before u32; then frames:
 * payload bytes u32 | crc32c of the payload u32 | payload. A payload is items: tag varint, length varint, value. Tags below 64
 * must be known to a reader; others may be passed over. */
#include "store/catalog.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include "base/lock.h"
#include "base/varint.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_MAGIC "\x89WEIRMF\n"
enum { MANIFEST_MAJOR = 1, MANIFEST_HEAD = 16, FRAME_HEAD = 8, FRAME_MAX = 16 << 20, REWRITE_BYTES = 8 << 20, FILE_MAX = 1 << 30, FRAME_PARTS = 4096 };
enum { TAG_COVERED = 1, TAG_ADD, TAG_DROP, TAG_RESET, TAG_DELETE, TAG_FORGET, TAG_NEXT_DELETE, TAG_END, TAG_OPTIONAL = 64, TAG_DEAD = 64 };

struct catalog {
    int dirfd;                  /* borrowed */
    struct lock mu;
    int fd;                     /* under mu: the manifest; -1 after a failed append */
    uint64_t number;            /* under mu: highest one used by a manifest, or by an attempt at one */
    uint64_t in_force;          /* under mu: number of the manifest in `name` */
    uint64_t bytes;             /* under mu */
    uint64_t bytes_fresh;       /* under mu: what the state alone takes */
    uint64_t torn_bytes;        /* cut off by opening */
    char name[32];              /* under mu */
    struct catalog_state state; /* under mu: what the manifest says */
};

struct catalog_text *catalog_text_new(sv s)
{
    struct catalog_text *t = malloc(sizeof *t + s.n);
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    t->n = s.n;
    if (s.n)
        memcpy(t->p, s.p, s.n);
    return t;
}

struct catalog_text *catalog_text_ref(struct catalog_text *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void catalog_text_unref(struct catalog_text *t)
{
    if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1)
        free(t);
}

static void deletes_drop(struct catalog_state *s)
{
    for (size_t i = 0; i < s->deletes.n; i++)
        catalog_text_unref(s->deletes.at[i].text);
    s->deletes.n = 0;
}

void catalog_state_done(struct catalog_state *s)
{
    deletes_drop(s);
    vec_done(&s->deletes);
    vec_done(&s->parts);
    vec_done(&s->dead);
}

static void put_item(struct buf *out, unsigned tag, const uint64_t *numbers, size_t n)
{
    uint8_t value[8 * VARINT_MAX];
    size_t len = 0;
    ASSERT(n <= 8);
    for (size_t i = 0; i < n; i++)
        len += varint_put(value + len, numbers[i]);
    buf_varint(out, tag);
    buf_varint(out, len);
    buf_put(out, value, len);
}

/* Its text follows the numbers, without a length: it goes to the item's end. */
static void put_delete(struct buf *out, const struct catalog_delete *d)
{
    const uint64_t numbers[] = {d->id, zigzag(d->created_ns), zigzag(d->processed_ns), zigzag(d->start_ns), zigzag(d->end_ns)};
    size_t len = d->text->n;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        len += varint_size(numbers[i]);
    buf_varint(out, TAG_DELETE);
    buf_varint(out, len);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        buf_varint(out, numbers[i]);
    buf_sv(out, catalog_text_sv(d->text));
}

static void put_payload(struct buf *out, struct buf *p)
{
    uint8_t h[FRAME_HEAD];
    put_le32(h, (uint32_t)p->n);
    put_le32(h + 4, crc32c(0, p->p ? p->p : "", p->n));
    buf_put(out, h, sizeof h);
    buf_sv(out, buf_view(p));
    if (p->failed || p->n > FRAME_MAX)
        out->failed = p->failed ? p->failed : ERR_LIMIT;
}

/* `dead`: the frame forgets what was before, but for the dead of this state; NULL: it does not. */
static void put_frame(struct buf *out, const struct catalog_edit *edit, const struct catalog_state *dead)
{
    SCOPED(buf_done) struct buf p = {0};
    if (dead)
        put_item(&p, TAG_RESET, NULL, 0);
    for (size_t i = 0; i < edit->n_drop; i++)
        put_item(&p, TAG_DROP, &edit->drop[i], 1);
    for (size_t i = 0; i < edit->n_add; i++) {
        const struct catalog_part *a = &edit->add[i];
        put_item(&p, TAG_ADD,
                 (uint64_t[]){a->id, a->file_bytes, a->rows, a->line_bytes, zigzag(a->min_ts), zigzag(a->max_ts)}, 6);
    }
    for (size_t i = 0; i < edit->n_forget; i++)
        put_item(&p, TAG_FORGET, &edit->forget[i], 1);
    for (size_t i = 0; i < edit->n_deletes; i++)
        put_delete(&p, &edit->deletes[i]);
    if (edit->covered_seq || dead)
        put_item(&p, TAG_COVERED, &edit->covered_seq, 1);
    for (size_t i = 0; dead && i < dead->dead.n; i++)
        put_item(&p, TAG_DEAD, &dead->dead.at[i], 1);
    put_payload(out, &p);
}

/* The state as frames: only the first says "forget what was before". Each delete has a frame: their texts may be long. */
static void put_state(struct buf *out, const struct catalog_state *s)
{
    size_t i = 0;
    do {
        size_t n = MIN(s->parts.n - i, (size_t)FRAME_PARTS);
        struct catalog_edit edit = {.covered_seq = s->covered_seq, .n_add = n};
        if (n)
            edit.add = s->parts.at + i;
        put_frame(out, &edit, i == 0 ? s : NULL);
        i += n;
    } while (i < s->parts.n);
    for (i = 0; i < s->deletes.n; i++)
        put_frame(out, &(struct catalog_edit){.deletes = &s->deletes.at[i], .n_deletes = 1}, NULL);
    if (!s->next_delete) /* a store without deletes is one that older releases read */
        return;
    SCOPED(buf_done) struct buf next = {0};
    put_item(&next, TAG_NEXT_DELETE, &s->next_delete, 1);
    put_payload(out, &next);
}

static void forget_dead(struct catalog_state *s, uint64_t id)
{
    for (size_t i = 0; i < s->dead.n; i++)
        if (s->dead.at[i] == id)
            s->dead.at[i--] = s->dead.at[--s->dead.n];
}

static bool note_dead(struct catalog_state *s, uint64_t id)
{
    uint64_t *room = vec_push(&s->dead);
    if (room)
        *room = id;
    return room;
}

static bool drop_part(struct catalog_state *s, uint64_t id, bool *nomem)
{
    for (size_t i = 0; i < s->parts.n; i++)
        if (s->parts.at[i].id == id) {
            if ((*nomem = !note_dead(s, id)))
                return false;
            memmove(&s->parts.at[i], &s->parts.at[i + 1], (s->parts.n - i - 1) * sizeof *s->parts.at);
            s->parts.n--;
            return true;
        }
    return false;
}

static struct catalog_delete *delete_find(struct catalog_state *s, uint64_t id)
{
    size_t lo = 0, hi = s->deletes.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->deletes.at[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->deletes.n && s->deletes.at[lo].id == id ? &s->deletes.at[lo] : NULL;
}

static bool forget_delete(struct catalog_state *s, uint64_t id)
{
    struct catalog_delete *d = delete_find(s, id);
    if (!d)
        return false;
    catalog_text_unref(d->text);
    memmove(d, d + 1, (size_t)(s->deletes.at + s->deletes.n - (d + 1)) * sizeof *d);
    s->deletes.n--;
    return true;
}

/* Takes over the reference to its text. False: its id is not the newest, and nobody's; or no memory. */
static bool put_in_delete(struct catalog_state *s, const struct catalog_delete *d, bool *nomem)
{
    struct catalog_delete *at = delete_find(s, d->id);
    if (at) {
        catalog_text_unref(at->text);
    } else if (!d->id || d->id < s->next_delete || d->id == UINT64_MAX || !(at = vec_push(&s->deletes))) {
        *nomem = d->id >= s->next_delete && d->id && d->id != UINT64_MAX;
        return false;
    } else {
        s->next_delete = d->id + 1;
    }
    *at = *d;
    return true;
}

static bool delete_apply(const uint64_t *v, size_t n, sv text, struct catalog_state *s, bool *nomem)
{
    if (n != 5)
        return false;
    struct catalog_delete d = {v[0], unzigzag(v[1]), unzigzag(v[2]), unzigzag(v[3]), unzigzag(v[4]), catalog_text_new(text)};
    *nomem = !d.text;
    if (!d.text || put_in_delete(s, &d, nomem))
        return d.text != NULL;
    catalog_text_unref(d.text);
    return false;
}

static bool item_apply(uint64_t tag, const uint64_t *v, size_t n, sv rest, struct catalog_state *s, bool *nomem)
{
    switch (tag) {
    case TAG_COVERED:
        s->covered_seq = v[0];
        return n == 1;
    case TAG_DROP:
        return n == 1 && drop_part(s, v[0], nomem);
    case TAG_DEAD:
        *nomem = n == 1 && !note_dead(s, v[0]);
        return n == 1 && !*nomem;
    case TAG_RESET:
        s->parts.n = s->dead.n = 0;
        s->covered_seq = 0;
        deletes_drop(s);
        s->next_delete = 0;
        return true;
    case TAG_DELETE:
        return delete_apply(v, n, rest, s, nomem);
    case TAG_FORGET:
        return n == 1 && forget_delete(s, v[0]);
    case TAG_NEXT_DELETE:
        s->next_delete = MAX(s->next_delete, v[0]);
        return n == 1;
    case TAG_ADD: {
        struct catalog_part *room = n >= 6 ? vec_push(&s->parts) : NULL;
        *nomem = n >= 6 && !room;
        if (!room)
            return false;
        forget_dead(s, v[0]);
        *room = (struct catalog_part){.id = v[0],
                                      .file_bytes = v[1],
                                      .rows = v[2],
                                      .line_bytes = v[3],
                                      .min_ts = unzigzag(v[4]),
                                      .max_ts = unzigzag(v[5])};
        return true;
    }
    default:
        return tag >= TAG_OPTIONAL;
    }
}

static bool payload_apply(sv payload, struct catalog_state *s, struct err *e)
{
    const uint8_t *at = (const uint8_t *)payload.p, *end = at + payload.n;
    while (at < end) {
        uint64_t tag, len, v[8] = {0};
        size_t n = 0;
        bool nomem = false;
        if (!varint_get(&at, end, &tag) || !varint_get(&at, end, &len) || len > (uint64_t)(end - at))
            return err_set(e, ERR_CORRUPT, "manifest item");
        if (tag < TAG_OPTIONAL && (tag < TAG_COVERED || tag >= TAG_END))
            return err_set(e, ERR_UNSUPPORTED, "manifest item %" PRIu64 " is of a newer release", tag);
        const uint8_t *stop = at + len;
        size_t n_max = tag == TAG_DELETE ? 5 : ARRAY_LEN(v); /* text follows */
        while (tag <= TAG_DEAD && at < stop && n < n_max)
            if (!varint_get(&at, stop, &v[n++]))
                return err_set(e, ERR_CORRUPT, "manifest item");
        sv rest = sv_make(at, (size_t)(stop - at));
        at = stop;
        if (!item_apply(tag, v, n, rest, s, &nomem))
            return nomem ? err_nomem(e) : err_set(e, ERR_CORRUPT, "manifest item");
    }
    return true;
}

/* A whole frame at `at`, its checksum right. */
static bool frame_at(sv bytes, size_t at, sv *ret_payload)
{
    if (bytes.n - at < FRAME_HEAD)
        return false;
    uint32_t n = get_le32(bytes.p + at);
    if (n > FRAME_MAX || n == 0 || n > bytes.n - at - FRAME_HEAD)
        return false;
    *ret_payload = sv_sub(bytes, at + FRAME_HEAD, n);
    return crc32c(0, ret_payload->p, n) == get_le32(bytes.p + at + 4);
}

/* Do items fill these bytes exactly? Cheap, and no accident: asked before a checksum over a guessed length. */
static bool items_fill(sv payload)
{
    const uint8_t *at = (const uint8_t *)payload.p, *end = at + payload.n;
    uint64_t tag, len;
    while (at < end) {
        if (!varint_get(&at, end, &tag) || !tag || !varint_get(&at, end, &len) || len > (uint64_t)(end - at))
            return false;
        at += len;
    }
    return true;
}

/* Does anything readable follow a bad frame? Then it is damage and no torn end. */
static bool more_behind(sv bytes, size_t at)
{
    sv payload;
    for (size_t i = at + 1; i + FRAME_HEAD < bytes.n; i++) {
        uint32_t n = get_le32(bytes.p + i);
        if (n && n <= bytes.n - i - FRAME_HEAD && items_fill(sv_sub(bytes, i + FRAME_HEAD, n)) &&
            frame_at(bytes, i, &payload))
            return true;
    }
    return false;
}

bool manifest_read(sv bytes, struct catalog_state *ret, size_t *ret_good, struct err *e)
{
    *ret_good = 0;
    if (bytes.n < MANIFEST_HEAD || memcmp(bytes.p, MANIFEST_MAGIC, 8) != 0 ||
        get_le32(bytes.p + 12) != crc32c(0, bytes.p, 12))
        return err_at(e, ERR_CORRUPT, 0, "manifest head is damaged");
    if (get_le16(bytes.p + 8) != MANIFEST_MAJOR)
        return err_set(e, ERR_UNSUPPORTED, "manifest format %u; this release reads format %d", get_le16(bytes.p + 8),
                       MANIFEST_MAJOR);
    for (size_t at = MANIFEST_HEAD;;) {
        sv payload;
        *ret_good = at;
        if (at == bytes.n)
            return true;
        if (!frame_at(bytes, at, &payload))
            return !more_behind(bytes, at) || err_at(e, ERR_CORRUPT, at, "manifest is damaged at offset %zu", at);
        if (!payload_apply(payload, ret, e)) {
            if (e)
                e->pos = at;
            return err_ctx(e, "manifest at offset %zu", at);
        }
        at += FRAME_HEAD + payload.n;
    }
}

size_t manifest_edits(sv bytes, size_t good)
{
    size_t n = 0;
    for (size_t at = MANIFEST_HEAD; at < good && good <= bytes.n; n++)
        at += FRAME_HEAD + get_le32(bytes.p + at);
    return n;
}

static void manifest_name(uint64_t number, char to[static 32])
{
    snprintf(to, 32, "MANIFEST-%06" PRIu64, number);
}

static bool manifest_write(struct catalog *c, const char *name, sv bytes, int *ret_fd, struct err *e)
{
    SCOPED(io_close) int fd = -1;
    if (!io_openat(c->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0640, &fd, e) ||
        !io_write_all(fd, bytes, name, e) || !io_datasync(fd, name, e) || !io_sync_dir(c->dirfd, name, e))
        return false;
    *ret_fd = TAKE_FD(fd);
    return true;
}

/* Does CURRENT say so, as far as one can see? Then the next start may find it so, too, synced or not. */
static bool current_names(struct catalog *c, sv current)
{
    SCOPED(buf_done) struct buf b = buf_capped(64);
    struct err ignored;
    return !io_read_file(c->dirfd, "CURRENT", &b, &ignored) || sv_eq(buf_view(&b), current);
}

/* The manifests before the one in force. One that stays all the same is harmless: CURRENT does not name it. */
static void remove_older(struct catalog *c)
{
    for (; *c->name && c->in_force < c->number; c->in_force++) {
        char name[32];
        struct err ignored;
        manifest_name(c->in_force, name);
        (void)!io_unlinkat(c->dirfd, name, &ignored);
    }
    c->in_force = c->number;
}

/* A new manifest with the state of `c`, then CURRENT. The old one is removed last. Every attempt has a number of its own:
 * one that failed may have got as far as CURRENT, and what that names is never written again. */
static bool rewrite(struct catalog *c, struct err *e)
{
    lock_assert_held(&c->mu);
    SCOPED(buf_done) struct buf out = {0};
    char name[32], current[40];
    uint8_t h[MANIFEST_HEAD] = {0};
    struct err ignored;
    memcpy(h, MANIFEST_MAGIC, 8);
    put_le16(h + 8, MANIFEST_MAJOR);
    put_le32(h + 12, crc32c(0, h, 12));
    buf_put(&out, h, sizeof h);
    put_state(&out, &c->state);
    if (!buf_ok(&out, e))
        return false;
    manifest_name(++c->number, name);
    snprintf(current, sizeof current, "%s\n", name);
    SCOPED(io_close) int fd = -1;
    if (!manifest_write(c, name, buf_view(&out), &fd, e)) {
        (void)!io_unlinkat(c->dirfd, name, &ignored); /* nothing names it */
        return false;
    }
    io_close(c->fd); /* from here on the old manifest may be out of force: it takes no more edits */
    c->fd = -1;
    if (!io_replace_file(c->dirfd, "CURRENT", sv_of(current), e)) {
        if (!current_names(c, sv_of(current)))
            (void)!io_unlinkat(c->dirfd, name, &ignored);
        return false;
    }
    remove_older(c);
    memcpy(c->name, name, sizeof name);
    c->bytes = c->bytes_fresh = out.n;
    c->fd = TAKE_FD(fd);
    return true;
}

static bool quarantine(struct catalog *c, const char *name, struct err *e)
{
    char to[64];
    snprintf(to, sizeof to, "quarantine/%s", name);
    return (mkdirat(c->dirfd, "quarantine", 0750) == 0 || errno == EEXIST || err_sys(e, "cannot make 'quarantine'")) &&
           io_renameat(c->dirfd, name, to, e);
}

/* CURRENT's content as a manifest name. */
static bool current_read(struct catalog *c, bool *ret_there, struct err *e)
{
    SCOPED(buf_done) struct buf b = buf_capped(64);
    struct stat st;
    *ret_there = fstatat(c->dirfd, "CURRENT", &st, 0) == 0;
    if (!*ret_there)
        return true;
    if (!io_read_file(c->dirfd, "CURRENT", &b, e))
        return false;
    sv name = sv_trim(buf_view(&b));
    uint64_t number;
    if (!sv_starts(name, SV("MANIFEST-")) || name.n >= sizeof c->name || !sv_to_u64(sv_from(name, 9), &number))
        return err_set(e, ERR_CORRUPT, "CURRENT does not name a manifest");
    memcpy(c->name, name.p, name.n);
    c->name[name.n] = 0;
    c->number = c->in_force = number;
    return true;
}

static bool load(struct catalog *c, struct err *e)
{
    SCOPED(buf_done) struct buf b = buf_capped(FILE_MAX);
    size_t good;
    if (!io_read_file(c->dirfd, c->name, &b, e) || !manifest_read(buf_view(&b), &c->state, &good, e))
        return false;
    SCOPED(io_close) int fd = -1;
    if (!io_openat(c->dirfd, c->name, O_WRONLY | O_APPEND, 0, &fd, e) ||
        (good < b.n && (!io_truncate(fd, good, c->name, e) || !io_datasync(fd, c->name, e))))
        return false;
    c->bytes = good;
    c->torn_bytes = b.n - good;
    c->fd = TAKE_FD(fd);
    return true;
}

static bool state_copy(const struct catalog_state *from, struct catalog_state *to, struct err *e)
{
    to->covered_seq = from->covered_seq;
    if (!vec_reserve(&to->parts, from->parts.n) || !vec_reserve(&to->dead, from->dead.n))
        return err_nomem(e);
    if (from->dead.n)
        memcpy(to->dead.at, from->dead.at, from->dead.n * sizeof *to->dead.at);
    to->dead.n = from->dead.n;
    if (from->parts.n)
        memcpy(to->parts.at, from->parts.at, from->parts.n * sizeof *to->parts.at);
    to->parts.n = from->parts.n;
    if (!vec_reserve(&to->deletes, from->deletes.n))
        return err_nomem(e);
    for (; to->deletes.n < from->deletes.n; to->deletes.n++) {
        to->deletes.at[to->deletes.n] = from->deletes.at[to->deletes.n];
        catalog_text_ref(to->deletes.at[to->deletes.n].text);
    }
    to->next_delete = from->next_delete;
    return true;
}

/* A new manifest must not take the name of one that is still there. */
static bool pass_numbers(struct catalog *c, struct err *e)
{
    int fd = openat(c->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        io_close(fd);
        return err_sys(e, "cannot list the data directory");
    }
    for (struct dirent *en; (en = readdir(d));) {
        uint64_t n;
        sv name = sv_of(en->d_name);
        if (sv_starts(name, SV("MANIFEST-")) && sv_to_u64(sv_from(name, 9), &n) && n < UINT64_MAX / 2)
            c->number = MAX(c->number, n);
    }
    closedir(d);
    return true;
}

static bool set_aside(struct catalog *c, bool missing, struct err *e)
{
    char name[sizeof c->name];
    memcpy(name, c->name, sizeof name);
    c->state.parts.n = c->state.dead.n = 0;
    c->state.covered_seq = 0;
    c->name[0] = 0;
    return quarantine(c, "CURRENT", e) && (!*name || missing || quarantine(c, name, e)) && pass_numbers(c, e);
}

static bool open_locked(struct catalog *c, struct err *ret_damage, struct err *e)
{
    bool there = false;
    struct err why = {0};
    if (current_read(c, &there, &why) && (!there || load(c, &why)))
        return there || (pass_numbers(c, e) && rewrite(c, e));
    bool missing = why.sys == ENOENT;
    if (why.code != ERR_CORRUPT && !missing) { /* of a newer release, unreadable, no memory: not ours to repair */
        if (e)
            *e = why;
        return false;
    }
    *ret_damage = why;
    return set_aside(c, missing, e);
}

bool catalog_open(int dirfd, struct catalog **ret, struct catalog_state *ret_state, struct err *ret_damage,
                  struct err *e)
{
    struct catalog *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    lock_init(&c->mu);
    c->dirfd = dirfd;
    c->fd = -1;
    lock_acquire(&c->mu);
    bool ok = open_locked(c, ret_damage, e) && state_copy(&c->state, ret_state, e);
    lock_release(&c->mu);
    if (!ok) {
        catalog_close(c);
        return err_ctx(e, "catalog");
    }
    *ret = c;
    return true;
}

uint64_t catalog_torn_bytes(const struct catalog *c)
{
    return c->torn_bytes;
}

void catalog_close(struct catalog *c)
{
    if (!c)
        return;
    io_close(c->fd);
    catalog_state_done(&c->state);
    lock_done(&c->mu);
    free(c);
}

static bool deletes_apply(struct catalog_state *s, const struct catalog_edit *edit, struct err *e)
{
    for (size_t i = 0; i < edit->n_forget; i++)
        if (!forget_delete(s, edit->forget[i]))
            return err_set(e, ERR_INVALID, "delete %" PRIx64 " is not listed", edit->forget[i]);
    for (size_t i = 0; i < edit->n_deletes; i++) {
        bool nomem = false;
        if (put_in_delete(s, &edit->deletes[i], &nomem))
            catalog_text_ref(edit->deletes[i].text);
        else
            return nomem ? err_nomem(e) : err_set(e, ERR_INVALID, "delete %" PRIx64 " has an old id", edit->deletes[i].id);
    }
    return true;
}

static bool state_apply(struct catalog_state *s, const struct catalog_edit *edit, struct err *e)
{
    for (size_t i = 0; i < edit->n_drop; i++) {
        bool nomem = false;
        if (!drop_part(s, edit->drop[i], &nomem))
            return nomem ? err_nomem(e) : err_set(e, ERR_INVALID, "part %" PRIx64 " is not listed", edit->drop[i]);
    }
    if (!vec_reserve(&s->parts, s->parts.n + edit->n_add))
        return err_nomem(e);
    if (edit->n_add)
        memcpy(s->parts.at + s->parts.n, edit->add, edit->n_add * sizeof *edit->add);
    s->parts.n += edit->n_add;
    for (size_t i = 0; i < edit->n_add; i++)
        forget_dead(s, edit->add[i].id);
    if (edit->covered_seq)
        s->covered_seq = edit->covered_seq;
    return deletes_apply(s, edit, e);
}

bool catalog_edit(struct catalog *c, const struct catalog_edit *edit, struct err *e)
{
    LOCK_SCOPED(&c->mu);
    struct catalog_state next = {0};
    SCOPED(buf_done) struct buf frame = {0};
    put_frame(&frame, edit, NULL);
    if (!buf_ok(&frame, e) || !state_copy(&c->state, &next, e) || !state_apply(&next, edit, e)) {
        catalog_state_done(&next);
        return false;
    }
    struct catalog_state before = c->state;
    bool ok;
    if (c->fd >= 0 && c->bytes + frame.n <= REWRITE_BYTES + 2 * c->bytes_fresh) {
        ok = io_write_all(c->fd, buf_view(&frame), c->name, e) && io_datasync(c->fd, c->name, e);
        if (ok) {
            c->bytes += frame.n;
        } else { /* whether the frame is on disk is unknown: this file takes no more, the next edit starts another */
            io_close(c->fd);
            c->fd = -1;
        }
        if (ok)
            c->state = next;
    } else {
        c->state = next;
        ok = rewrite(c, e);
        if (!ok)
            c->state = before;
    }
    catalog_state_done(ok ? &before : &next);
    return ok || err_ctx(e, "catalog");
}

void catalog_gone(struct catalog *c, uint64_t id)
{
    LOCK_SCOPED(&c->mu);
    forget_dead(&c->state, id);
}

bool catalog_reset(struct catalog *c, const struct catalog_state *state, struct err *e)
{
    LOCK_SCOPED(&c->mu);
    struct catalog_state next = {0}, before = c->state, parts_only = *state;
    parts_only.deletes = (__typeof__(parts_only.deletes)){c->state.deletes.at, c->state.deletes.n, 0};
    parts_only.next_delete = c->state.next_delete;
    if (!state_copy(&parts_only, &next, e)) {
        catalog_state_done(&next);
        return false;
    }
    c->state = next;
    bool ok = rewrite(c, e);
    if (!ok)
        c->state = before;
    catalog_state_done(ok ? &before : &next);
    return ok || err_ctx(e, "catalog");
}

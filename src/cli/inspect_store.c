/* inspect_store.c - see inspect_store.h.
 * (1) In a data directory the files are listed first and the catalog is read afterwards: what a running store lists, merges or removes
 *     meanwhile is then no damage. A listed part that is gone is looked up in the catalog once more before it counts as missing.
 * (2) A part's file is judged by itself, then against what the catalog says of it.
 * (3) Damage set aside in quarantine/ before is told and not counted: nothing is served from there. */
#include "cli/inspect_store.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/vec.h"
#include "cli/cli.h"
#include "spool/spool.h"
#include "store/delete_int.h"
#include "store/part_check.h"
#include "store/stream.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MANIFEST_BYTES_MAX = 1 << 30, TRIES = 5 };

bool inspect_is_part(sv first)
{
    return sv_eq(first, SV("\x89WEIRPT\n"));
}

bool inspect_is_manifest(sv first)
{
    return sv_eq(first, SV("\x89WEIRMF\n"));
}

static bool there(const char *dir, const char *name)
{
    char path[PATH_MAX];
    return (size_t)snprintf(path, sizeof path, "%s/%s", dir, name) < sizeof path && access(path, F_OK) == 0;
}

bool inspect_is_store(const char *dir, char *ret_store, size_t n)
{
    static const char *const below[] = {"", "/store"};
    for (size_t i = 0; i < ARRAY_LEN(below); i++)
        if ((size_t)snprintf(ret_store, n, "%s%s", dir, below[i]) < n && (there(ret_store, "CURRENT") || there(ret_store, "parts")))
            return true;
    return false;
}

/* The directory a path is in, links followed, and its name there. */
static bool split(const char *path, char real[static PATH_MAX], int *ret_dirfd, const char **ret_name, struct err *e)
{
    if (!realpath(path, real))
        return err_sys(e, "cannot find '%s'", path);
    char *slash = strrchr(real, '/');
    *slash = 0;
    *ret_name = slash + 1;
    return io_open_dir(*real ? real : "/", ret_dirfd, e);
}

/* ---- parts ---- */

struct place {
    const char *file; /* NULL: the only one */
    uint64_t n_bad;
};

static void on_damage(void *ctx, uint64_t offset, uint64_t n_bytes, const char *what)
{
    struct place *at = ctx;
    at->n_bad++;
    printf("  %s%soffset %" PRIu64 ", %" PRIu64 " bytes: %s\n", at->file ? at->file : "", at->file ? " " : "", offset, n_bytes, what);
}

static void print_times(const char *what, int64_t from, int64_t to)
{
    char a[36], b[36];
    clock_format_rfc3339(from, 9, a);
    clock_format_rfc3339(to, 9, b);
    printf("  %s: %s to %s\n", what, a, b);
}

static void print_spent(const char *on, uint64_t bytes, uint64_t rows)
{
    if (bytes)
        printf("    %-24s %14" PRIu64 "  %10.3f a row\n", on, bytes, rows ? (double)bytes / (double)rows : 0.0);
}

static void print_sums(const struct part_sums *s)
{
    printf("  bytes by kind of column:\n");
    for (int c = 0; c < COL_COUNT; c++)
        print_spent(part_column_name(c), s->bytes[c], s->rows);
    print_spent("tables", s->tables, s->rows);
    print_spent("headers and footers", s->ends, s->rows);
    print_spent("all", s->file_bytes, s->rows);
    if (s->bytes[COL_DICT])
        printf("  lines: %" PRIu64 " templates, counted in each block; %" PRIu64 " rows kept whole\n", s->templates, s->whole_rows);
}

static void print_about(const struct part_about *a, const struct part *p)
{
    char creator[sizeof a->creator];
    memcpy(creator, a->creator, sizeof creator);
    printf("  version %u.%u, features %" PRIx32 "%s, made by %s", a->major, a->minor, a->features, a->features & 1 ? " (columns)" : "",
           *creator ? cli_plain(creator) : "nobody");
    for (size_t i = 0; p && i < sizeof p->uuid; i++)
        printf("%s%02x", i == 0 ? ", uuid " : i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", p->uuid[i]);
    putchar('\n');
}

static void print_part(const struct part_about *a, const struct part *p)
{
    print_about(a, p);
    print_times("times", p->min_ts, p->max_ts);
    printf("  %" PRIu64 " rows of %" PRIu32 " streams in %" PRIu32 " blocks, %" PRIu64 " bytes of lines; %" PRIu64 " duplicates were left out\n",
           p->rows, p->n_streams, p->n_blocks, p->line_bytes, a->duplicates);
    printf("  level %" PRIu32 "; covers log sequences from %" PRIu64 " to below %" PRIu64 ", ", p->level, p->first_seq, p->end_seq);
    if (p->of)
        printf("part %u of %u of its %s", p->index + 1u, p->of, p->n_inputs ? "merge" : "flush");
    else
        printf("part %u of its merge, and not the last", p->index + 1u);
    printf("; went through requests to delete up to %" PRIu64 "\n", p->deletes_applied);
    if (p->n_inputs)
        printf("  merged from %" PRIu32 " parts:", p->n_inputs);
    for (uint32_t i = 0; i < p->n_inputs; i++)
        printf(" %016" PRIx64, p->inputs[i]);
    if (p->n_inputs)
        putchar('\n');
}

/* One file with a registry of its own: it and the labels in it go when it has been looked at. */
struct opened {
    struct registry *reg;
    struct part *p;
};
static void opened_done(struct opened *o)
{
    part_unref(o->p);
    registry_free(o->reg);
}

static bool open_one(int dirfd, const char *name, uint64_t id, struct opened *ret, struct err *e)
{
    *ret = (struct opened){0};
    if (registry_new(UINT64_MAX, &ret->reg, e) && part_open_named(dirfd, name, id, ret->reg, &ret->p, e))
        return true;
    opened_done(ret);
    return false;
}

bool inspect_part(const char *path, uint64_t *ret_bad, struct err *e)
{
    SCOPED(io_close) int dirfd = -1;
    char real[PATH_MAX];
    const char *name;
    struct part_about about;
    struct part_sums sums = {0};
    struct place at = {0};
    struct opened o;
    struct err why = {0};
    uint64_t id = 0;
    if (!split(path, real, &dirfd, &name, e))
        return false;
    printf("part %s\n", path);
    bool head = part_about(dirfd, name, &about, &why);
    (void)part_id_of_name(sv_of(name), &id);
    if (!open_one(dirfd, name, id, &o, &why)) {
        if (head)
            print_about(&about, NULL);
        if (!part_damaged(&why)) {
            *e = why;
            return false;
        }
        printf("  %s\n", why.msg);
        *ret_bad = 1;
        return true;
    }
    print_part(&about, o.p);
    bool ok = part_check(o.p, &sums, on_damage, &at, e);
    if (ok) {
        print_sums(&sums);
        printf("%s\n", at.n_bad ? "part: damaged" : "part: all pages are sound, all blocks can be decoded");
    }
    *ret_bad = at.n_bad;
    opened_done(&o);
    return ok;
}

/* ---- manifests ---- */

static inline void catalog_state_done_scoped(struct catalog_state *s)
{
    catalog_state_done(s);
}

static void print_text(const char *what, sv text)
{
    char shown[400];
    snprintf(shown, sizeof shown, "%.*s", (int)MIN(text.n, sizeof shown - 1), text.n ? text.p : "");
    printf(", %s %s%s", what, cli_plain(shown), text.n >= sizeof shown ? "..." : "");
}

static void print_delete(const struct catalog_delete *d)
{
    char created[36], from[36], to[36];
    struct tombstone *t = NULL;
    struct err why = {0};
    clock_format_rfc3339(d->created_ns, 3, created);
    clock_format_rfc3339(d->start_ns, 9, from);
    clock_format_rfc3339(d->end_ns, 9, to);
    bool ok = tombstone_new(d, &t, &why);
    printf("  request to delete %" PRIu64 " of %s, %s: %s to %s", d->id, created, d->processed_ns ? "processed" : ok && t->hide_only ? "in force, hides only" : "in force",
           from, to);
    if (ok) {
        print_text("tenant", t->tenant);
        print_text("query", t->query);
        putchar('\n');
        tombstone_unref(t);
    } else {
        printf(": its text cannot be read: %s\n", why.msg);
    }
}

static void print_catalog_part(const struct catalog_part *p)
{
    char from[36], to[36];
    clock_format_rfc3339(p->min_ts, 3, from);
    clock_format_rfc3339(p->max_ts, 3, to);
    printf("  part %016" PRIx64 ": %" PRIu64 " bytes, %" PRIu64 " rows, %" PRIu64 " bytes of lines, %s to %s\n", p->id, p->file_bytes, p->rows,
           p->line_bytes, from, to);
}

static void print_manifest(sv bytes, const struct catalog_state *s, size_t good)
{
    printf("  %zu bytes, %zu edits; log frames below sequence %" PRIu64 " are in parts\n", bytes.n, manifest_edits(bytes, good), s->covered_seq);
    for (size_t i = 0; i < s->deletes.n; i++)
        print_delete(&s->deletes.at[i]);
    printf("  %zu parts, %zu requests to delete, %zu dropped parts whose files may be there yet\n", s->parts.n, s->deletes.n, s->dead.n);
}

static bool read_manifest(int dirfd, const char *name, struct buf *bytes, struct catalog_state *s, size_t *ret_good, struct err *e)
{
    *bytes = buf_capped(MANIFEST_BYTES_MAX);
    return io_read_file(dirfd, name, bytes, e) && manifest_read(buf_view(bytes), s, ret_good, e);
}

static void print_rest(sv bytes, size_t good)
{
    if (good < bytes.n)
        printf("  offset %zu, %zu bytes: no whole edit; it is being written, or was cut off by a crash: a start passes over it\n", good,
               bytes.n - good);
}

bool inspect_manifest(const char *path, uint64_t *ret_bad, struct err *e)
{
    SCOPED(io_close) int dirfd = -1;
    SCOPED(buf_done) struct buf bytes = {0};
    SCOPED(catalog_state_done) struct catalog_state s = {0};
    char real[PATH_MAX];
    const char *name;
    size_t good = 0;
    struct err why = {0};
    if (!split(path, real, &dirfd, &name, e))
        return false;
    printf("manifest %s\n", path);
    if (!read_manifest(dirfd, name, &bytes, &s, &good, &why) && why.code != ERR_CORRUPT) {
        *e = why;
        return false;
    }
    for (size_t i = 0; i < s.parts.n; i++)
        print_catalog_part(&s.parts.at[i]);
    print_manifest(buf_view(&bytes), &s, good);
    *ret_bad = why.code != 0;
    if (why.code)
        printf("  offset %zu: %s; what is told is what stands before\n", good, why.msg);
    else
        print_rest(buf_view(&bytes), good);
    return true;
}

/* ---- data directories ---- */

struct listed_file {
    char name[NAME_MAX + 1];
    uint64_t size;
};
struct listing {
    VEC(struct listed_file) files;
};
static inline void listing_done_scoped(struct listing *l)
{
    vec_done(&l->files);
}

/* Regular files of a directory; none when it is not there. */
static bool list_files(int dirfd, const char *dir, struct listing *ret, struct err *e)
{
    int fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return true;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        err_sys(e, "cannot list '%s'", dir);
        io_close(fd);
        return false;
    }
    bool ok = true;
    for (struct dirent *en; ok && (en = readdir(d));) {
        struct stat st;
        if (fstatat(fd, en->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
        struct listed_file *room = vec_push(&ret->files);
        ok = room || err_nomem(e);
        if (room) {
            snprintf(room->name, sizeof room->name, "%s", en->d_name);
            room->size = (uint64_t)st.st_size;
        }
    }
    closedir(d);
    return ok;
}

struct look {
    int dirfd, parts_fd;
    struct catalog_state s;
    bool catalog; /* it could be read */
    struct part_sums sums;
    uint64_t n_bad;
};

/* What CURRENT names; a running store may put another in its place between the two reads. */
static bool read_current(int dirfd, struct catalog_state *s, char name[static 64], struct buf *bytes, size_t *good, struct err *e)
{
    struct err why = {0};
    for (int i = 0; i < TRIES; i++) {
        SCOPED(buf_done) struct buf current = buf_capped(63);
        why = (struct err){0};
        catalog_state_done(s);
        *s = (struct catalog_state){0};
        buf_done(bytes);
        *name = 0;
        if (!io_read_file(dirfd, "CURRENT", &current, &why))
            break;
        sv n = sv_trim(buf_view(&current));
        uint64_t number;
        if (!sv_starts(n, SV("MANIFEST-")) || !sv_to_u64(sv_from(n, 9), &number)) {
            (void)!err_set(&why, ERR_CORRUPT, "CURRENT does not name a manifest");
            break;
        }
        snprintf(name, 64, SV_FMT, SV_ARG(n));
        if (read_manifest(dirfd, name, bytes, s, good, &why))
            return true;
        if (why.sys != ENOENT)
            break;
    }
    if (e)
        *e = why;
    return false;
}

static bool look_at_catalog(struct look *k, struct err *e)
{
    SCOPED(buf_done) struct buf bytes = {0};
    char name[64];
    size_t good = 0;
    struct err why = {0};
    k->catalog = read_current(k->dirfd, &k->s, name, &bytes, &good, &why);
    if (!k->catalog && why.code != ERR_CORRUPT && why.sys != ENOENT) {
        *e = why;
        return false;
    }
    if (!k->catalog) {
        k->n_bad++;
        printf("  %s%scatalog: %s; the next start makes it anew from the parts\n", name, *name ? ", " : "", why.msg);
        return true;
    }
    printf("  catalog %s\n", name);
    print_manifest(buf_view(&bytes), &k->s, good);
    print_rest(buf_view(&bytes), good);
    return true;
}

static const struct catalog_part *row_of(const struct catalog_state *s, uint64_t id)
{
    for (size_t i = 0; i < s->parts.n; i++)
        if (s->parts.at[i].id == id)
            return &s->parts.at[i];
    return NULL;
}

/* Has the catalog dropped the part meanwhile? Then a merge took its place, or it was past its time. */
static bool dropped_meanwhile(struct look *k, uint64_t id)
{
    SCOPED(buf_done) struct buf bytes = {0};
    SCOPED(catalog_state_done) struct catalog_state now = {0};
    char name[64];
    size_t good;
    return read_current(k->dirfd, &now, name, &bytes, &good, NULL) && !row_of(&now, id);
}

/* It could not be opened. */
static bool part_unread(struct look *k, uint64_t id, const struct catalog_part *row, const struct err *why, struct err *e)
{
    char name[32];
    bool gone = why->sys == ENOENT;
    part_name(id, name);
    if (gone && (!row || dropped_meanwhile(k, id))) {
        printf("  %s went meanwhile: merged, or past its time\n", name);
        return true;
    }
    if (!gone && !part_damaged(why) && why->code != ERR_UNSUPPORTED) { /* of a newer release: a start stops at it */
        *e = *why;
        return false;
    }
    k->n_bad++;
    printf("  %s: %s%s\n", name, gone ? "listed and missing: " : "", why->msg);
    return true;
}

static bool look_at_part(struct look *k, uint64_t id, const struct catalog_part *row, struct err *e)
{
    struct opened o;
    struct err why = {0};
    char name[32];
    struct place at = {.file = name};
    part_name(id, name);
    if (k->parts_fd < 0 ? !err_sys_code(&why, ENOENT, "no directory") : !open_one(k->parts_fd, NULL, id, &o, &why))
        return part_unread(k, id, row, &why, e);
    if (row && (row->file_bytes != o.p->file_bytes || row->rows != o.p->rows || row->line_bytes != o.p->line_bytes)) {
        at.n_bad++;
        printf("  %s is not the part that the catalog lists: %" PRIu64 " rows, %" PRIu64 " bytes, where it says %" PRIu64 " and %" PRIu64 "\n", name,
               o.p->rows, o.p->file_bytes, row->rows, row->file_bytes);
    }
    printf("  %s: level %" PRIu32 ", %" PRIu64 " rows, %" PRIu32 " streams, %" PRIu32 " blocks, %" PRIu64 " bytes, %.3f a row\n", name, o.p->level,
           o.p->rows, o.p->n_streams, o.p->n_blocks, o.p->file_bytes, o.p->rows ? (double)o.p->file_bytes / (double)o.p->rows : 0.0);
    bool ok = part_check(o.p, &k->sums, on_damage, &at, &why);
    k->n_bad += at.n_bad;
    opened_done(&o);
    return ok || part_unread(k, id, row, &why, e);
}

static bool is_dead(const struct catalog_state *s, uint64_t id)
{
    for (size_t i = 0; i < s->dead.n; i++)
        if (s->dead.at[i] == id)
            return true;
    return false;
}

static void print_unlisted(const struct look *k, const struct listing *files)
{
    uint64_t id;
    for (size_t i = 0; k->catalog && i < files->files.n; i++) {
        char name[NAME_MAX + 1];
        const struct listed_file *f = &files->files.at[i];
        bool part = part_id_of_name(sv_of(f->name), &id);
        if ((part && row_of(&k->s, id)) || (k->parts_fd >= 0 && faccessat(k->parts_fd, f->name, F_OK, AT_SYMLINK_NOFOLLOW) != 0))
            continue; /* listed, or gone meanwhile */
        memcpy(name, f->name, sizeof name);
        printf("  no edit lists parts/%s, %" PRIu64 " bytes: %s\n", cli_plain(name), f->size,
               part && is_dead(&k->s, id)          ? "it was dropped and is about to go"
               : part                              ? "it is being published, or a crash left it; a start removes it, or takes it in when its rows are nowhere else"
               : sv_ends(sv_of(name), SV(".tmp")) ? "a part being written, or what a crash left of one; a start removes it"
                                                  : "no file of the store");
    }
}

static bool look_at_parts(struct look *k, struct err *e)
{
    SCOPED(listing_done) struct listing files = {0};
    if (!list_files(k->dirfd, "parts", &files, e) || !look_at_catalog(k, e))
        return false;
    for (size_t i = 0; i < k->s.parts.n; i++)
        if (!look_at_part(k, k->s.parts.at[i].id, &k->s.parts.at[i], e))
            return false;
    for (size_t i = 0; !k->catalog && i < files.files.n; i++) {
        uint64_t id;
        if (part_id_of_name(sv_of(files.files.at[i].name), &id) && !look_at_part(k, id, NULL, e))
            return false;
    }
    print_unlisted(k, &files);
    return true;
}

static bool look_at_log(struct look *k, const char *dir, struct err *e)
{
    static const struct spool_peek_fns none = {0};
    char path[PATH_MAX];
    struct spool_peek p;
    if (!there(dir, "wal"))
        return true;
    if ((size_t)snprintf(path, sizeof path, "%s/wal", dir) >= sizeof path)
        return err_set(e, ERR_INVALID, "path '%s' is too long", dir);
    if (!spool_peek(path, &none, NULL, &p, e))
        return err_ctx(e, "write-ahead log");
    printf("  write-ahead log: %" PRIu64 " bytes in %" PRIu64 " segments, %" PRIu64 " frames not in parts", p.bytes, p.segments, p.frames);
    if (p.bad_frames || p.missing_segments) {
        k->n_bad++;
        printf("; %" PRIu64 " damaged bytes, %" PRIu64 " frames lost, %" PRIu64 " segments missing: weir inspect %s/wal says where", p.bad_bytes,
               p.bad_frames, p.missing_segments, dir);
    } else if (p.bad_bytes) {
        printf("; %" PRIu64 " bytes at its end are no frame: being written, or cut off by a crash", p.bad_bytes);
    }
    putchar('\n');
    return true;
}

static bool look_at_quarantine(struct look *k, struct err *e)
{
    SCOPED(listing_done) struct listing l = {0};
    uint64_t bytes = 0;
    if (!list_files(k->dirfd, "quarantine", &l, e))
        return false;
    for (size_t i = 0; i < l.files.n; i++)
        bytes += l.files.at[i].size;
    printf("  quarantine: %zu files, %" PRIu64 " bytes\n", l.files.n, bytes);
    return true;
}

bool inspect_store(const char *dir, uint64_t *ret_bad, struct err *e)
{
    SCOPED(io_close) int dirfd = -1;
    SCOPED(io_close) int parts_fd = -1;
    if (!io_open_dir(dir, &dirfd, e))
        return false;
    struct look k = {.dirfd = dirfd, .parts_fd = -1};
    struct err why = {0};
    printf("store %s\n", dir);
    if (io_openat(dirfd, "parts", O_RDONLY | O_DIRECTORY, 0, &parts_fd, &why))
        k.parts_fd = parts_fd;
    else if (why.sys != ENOENT) {
        *e = why;
        return false;
    } else {
        printf("  there is no directory parts\n");
    }
    bool ok = look_at_parts(&k, e) && look_at_log(&k, dir, e) && look_at_quarantine(&k, e);
    if (ok) {
        print_sums(&k.sums);
        printf("store: %" PRIu64 " parts, %" PRIu64 " rows, %" PRIu64 " bytes of lines, %" PRIu64 " bytes in parts; %s\n", k.sums.parts, k.sums.rows,
               k.sums.line_bytes, k.sums.file_bytes, k.n_bad ? "damaged" : "all pages are sound, all blocks can be decoded");
    }
    *ret_bad = k.n_bad;
    catalog_state_done(&k.s);
    return ok;
}

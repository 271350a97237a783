/* cmd_inspect.c - `weir inspect`: what is in a ring, a backlog, a spool or a segment of one, or in a store's files
 * (inspect_store.h), for people with a file and a question.
 * (1) Nothing is locked and nothing is changed: the owner may be at it, and what it does meanwhile may show or not.
 * (2) What the file says is hostile: every length is checked by the readers that everybody else uses.
 * (3) A frame of a spool says nothing about whose it is: it is taken for what its bytes make sense as.
 * Bytes: docs/formats.md. */
#include "backlog/peek.h"
#include "base/clock.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/inspect_store.h"
#include "collector/queue.h"
#include "otlp/json.h"
#include "otlp/walk.h"
#include "otlp/write.h"
#include "spool/segment.h"
#include "store/wal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct inspect_options {
    bool records;
};
static const struct option table[] = {
    OPT(BOOL, struct inspect_options, records, "false",
        "print the records too, as OTLP/JSON, one request a line; the other lines then begin with '#'"),
    {0},
};

struct inspection {
    bool records;
    const char *path;
    const struct ring *ring; /* while one is walked */
    struct buf request, json;
    bool in_segment;
    uint64_t n_frames, n_waiting, first, last; /* of the segment */
    uint64_t n_records;
    uint64_t n_bad; /* places with damage */
    bool damaged;   /* of those, files that a store serves from */
};

static void say(struct inspection *in, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(struct inspection *in, const char *fmt, ...)
{
    va_list ap;
    if (in->records)
        fputs("# ", stdout);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

static void print_request(struct inspection *in, sv request)
{
    struct otlp_counts counts;
    struct err e = {0};
    if (!in->records)
        return;
    buf_reset(&in->json);
    if (!otlp_check(request, NULL, &counts, &e)) {
        say(in, "  no OTLP: %s", e.msg);
        return;
    }
    otlp_to_json(request, &in->json);
    if (buf_ok(&in->json, &e))
        printf(SV_FMT "\n", SV_ARG(buf_view(&in->json)));
    else
        say(in, "  %s", e.msg);
}

/* ---- rings ---- */

/* Where a position lies in the file. */
static uint64_t offset_of(const struct ring *r, uint64_t pos)
{
    return RING_PAGE + r->dict_cap + (pos & (r->cap - 1));
}

static void on_record(void *ctx, const struct ring_frame *f)
{
    struct inspection *in = ctx;
    if (!in->records)
        return;
    buf_reset(&in->request);
    size_t resource = otlp_open(&in->request, 1);
    buf_sv(&in->request, ring_defined(in->ring, RING_FIRST));
    size_t scope = otlp_open(&in->request, 2);
    buf_sv(&in->request, f->scope ? ring_defined(in->ring, f->scope) : f->inline_scope);
    otlp_put_bytes(&in->request, 2, f->record);
    otlp_close(&in->request, scope);
    otlp_close(&in->request, resource);
    if (buf_ok(&in->request, NULL))
        print_request(in, buf_view(&in->request));
}

static void on_gap(void *ctx, uint64_t pos, uint64_t next, bool unfinished)
{
    struct inspection *in = ctx;
    in->n_bad++;
    say(in, "  offset %" PRIu64 ", %" PRIu64 " bytes: %s", offset_of(in->ring, pos), next - pos,
        unfinished ? "a record that is not finished" : "no record (damaged)");
}

static void describe_ring(struct inspection *in, const struct ring *r, uint64_t n_entries)
{
    const struct ring_head *h = r->h;
    char made[36];
    uint64_t head = atomic_load(&h->head);
    clock_format_rfc3339((int64_t)h->created_wall_ns, 3, made);
    say(in, "  version %u.%u, made by process %" PRIu32 " at %s", h->major, h->minor, h->pid, made);
    say(in, "  records: %" PRIu64 " bytes from offset %" PRIu64 "; dictionary: %" PRIu64 " bytes from offset %u, %" PRIu64 " used for %" PRIu64
            " entries", r->cap, RING_PAGE + r->dict_cap, r->dict_cap, RING_PAGE, atomic_load(&h->dict_used), n_entries);
    say(in, "  head %" PRIu64 "%s, tail %" PRIu64 ", chunks of %" PRIu32 " bytes", (uint64_t)(head & ~RING_CLOSED),
        head & RING_CLOSED ? " (closed)" : "", ring_tail(r), r->chunk);
}

/* Entries of the dictionary that are sound, from its start on. */
static uint64_t entries(const struct ring *r)
{
    uint64_t n = 0, used = MIN(atomic_load(&r->h->dict_used), r->dict_cap);
    for (uint64_t at = RING_FIRST; at + 8 <= used; n++) {
        sv bytes = ring_defined(r, (uint32_t)at);
        if (!bytes.p)
            break;
        at += 8 + (bytes.n + 7) / 8 * 8;
    }
    return n;
}

static bool inspect_ring(struct inspection *in, int fd, const char *name, uint64_t from, struct err *e)
{
    static const struct ring_walk_fns fns = {on_record, on_gap};
    struct ring_copy c;
    struct ring_walked w;
    if (!ring_copy(fd, name, &c, e))
        return false;
    say(in, "ring %s", name);
    in->ring = &c.ring;
    describe_ring(in, &c.ring, entries(&c.ring));
    if (from > ring_tail(&c.ring) && from - ring_tail(&c.ring) <= c.ring.cap && from % RING_ALIGN == 0)
        say(in, "  records below position %" PRIu64 " are in the spool already", from);
    else
        from = ring_tail(&c.ring);
    ring_walk(&c.ring, from, &fns, in, &w);
    say(in, "  %" PRIu64 " records wait, %" PRIu64 " places are damaged, %" PRIu64 " records not finished", w.records, w.torn, w.unfinished);
    in->n_records += w.records;
    ring_copy_done(&c);
    return true;
}

/* ---- spools ---- */

enum kind { OPAQUE, BACKLOG, QUEUE, WAL };

struct frame_view {
    enum kind kind;
    uint64_t records;
    sv request, tenant; /* OTLP, or for WAL whatever came */
    bool otlp;
    struct buf body; /* unpacked */
};

static bool is_request_of(sv request, uint64_t records)
{
    struct otlp_counts counts;
    return otlp_check(request, NULL, &counts, NULL) && counts.records == records;
}

static bool wal_view(sv frame, struct frame_view *ret)
{
    struct wal_frame wf = {0};
    struct otlp_counts counts;
    bool ok = wal_frame_read(frame, &ret->body, &wf, NULL);
    if (ok) {
        ret->otlp = wf.type == WAL_OTLP && otlp_check(wf.payload, NULL, &counts, NULL);
        ret->kind = WAL;
        ret->records = ret->otlp ? counts.records : 0;
        ret->request = wf.payload;
        ret->tenant = wf.tenant;
        ok = ret->otlp || wf.type == WAL_LOKI;
    }
    wal_frame_done(&wf);
    return ok;
}

static void view(sv frame, struct frame_view *ret)
{
    struct queue_frame qf;
    uint32_t n;
    uint64_t below;
    sv request;
    *ret = (struct frame_view){.request = frame};
    if (queue_frame_read(frame, &qf, NULL) && is_request_of(qf.bytes, qf.records)) {
        ret->kind = QUEUE;
        ret->records = qf.records;
        ret->request = qf.bytes;
        ret->tenant = qf.tenant;
        ret->otlp = true;
    } else if (backlog_frame(frame, &n, &below, &request) && is_request_of(request, n)) {
        ret->kind = BACKLOG;
        ret->records = n;
        ret->request = request;
        ret->otlp = true;
    } else if (!wal_view(frame, ret)) {
        buf_done(&ret->body);
        *ret = (struct frame_view){.request = frame};
    }
}

static void end_segment(struct inspection *in)
{
    if (!in->in_segment)
        return;
    if (in->n_frames)
        say(in, "  %" PRIu64 " frames, %" PRIu64 " to %" PRIu64 "; %" PRIu64 " wait", in->n_frames, in->first, in->last, in->n_waiting);
    else
        say(in, "  no frames");
    in->in_segment = false;
}

static void on_segment(void *ctx, const struct spool_peek_segment *s)
{
    struct inspection *in = ctx;
    end_segment(in);
    in->in_segment = true;
    in->n_frames = in->n_waiting = in->first = in->last = 0;
    if (s->header_err.code) {
        in->n_bad++;
        say(in, "segment %" PRIu64 ", %" PRIu64 " bytes: %s", s->no, s->size, s->header_err.msg);
        return;
    }
    say(in, "segment %" PRIu64 ", %" PRIu64 " bytes%s", s->no, s->size, s->abandoned ? ", abandoned by a failed append: nothing in it counts" : "");
    say(in, "  first sequence %" PRIu64 ", frames from offset %" PRIu64 "; the segment before: %" PRIu64 ", up to sequence %" PRIu64
            "; consumed then: below %" PRIu64, s->first_seq, s->header_len, s->prev_no, s->prev_end_seq, s->cursor);
}

static void on_frame(void *ctx, uint64_t seq, sv frame, bool waits)
{
    static const char *const kinds[] = {"opaque", "of a backlog", "of a sending queue", "of a write-ahead log"};
    struct inspection *in = ctx;
    struct frame_view v;
    in->first = in->n_frames++ ? in->first : seq;
    in->last = seq;
    in->n_waiting += waits;
    if (!in->records && !waits)
        return;
    view(frame, &v);
    in->n_records += waits ? v.records : 0;
    if (in->records) {
        char tenant[80];
        snprintf(tenant, sizeof tenant, "%.*s", (int)MIN(v.tenant.n, sizeof tenant - 1), v.tenant.n ? v.tenant.p : "");
        say(in, "  frame %" PRIu64 "%s: %zu bytes, %s, %" PRIu64 " records%s%s", seq, waits ? "" : " (consumed)", frame.n, kinds[v.kind],
            v.records, *tenant ? ", tenant " : "", cli_plain(tenant));
        if (v.otlp)
            print_request(in, v.request);
    }
    buf_done(&v.body);
}

static void on_bad(void *ctx, uint64_t offset, uint64_t n_bytes, uint64_t n_frames)
{
    struct inspection *in = ctx;
    in->n_bad++;
    say(in, "  offset %" PRIu64 ", %" PRIu64 " bytes: no frame; %" PRIu64 " frames lost", offset, n_bytes, n_frames);
}

static bool inspect_spool(struct inspection *in, const char *dir, struct err *e)
{
    static const struct spool_peek_fns fns = {on_segment, on_frame, on_bad};
    struct spool_peek p;
    say(in, "spool %s", dir);
    bool ok = spool_peek(dir, &fns, in, &p, e);
    end_segment(in);
    if (!ok)
        return false;
    in->n_bad += p.missing_segments;
    say(in, "spool: %" PRIu64 " segments of %" PRIu64 " bytes, %" PRIu64 " missing; consumed below sequence %" PRIu64 "; %" PRIu64 " frames with %" PRIu64
            " records wait; %" PRIu64 " damaged bytes, %" PRIu64 " frames lost", p.segments, p.bytes, p.missing_segments, p.cursor, p.frames,
        in->n_records, p.bad_bytes, p.bad_frames);
    return true;
}

/* One segment by itself: nothing says what of it was consumed. */
static bool inspect_segment(struct inspection *in, int fd, uint64_t size, const char *name, struct err *e)
{
    struct spool_peek_segment s = {.size = size, .first_seq = 1, .header_len = SEG_HEADER_BYTES};
    struct seg_header h = {0};
    char b[SEG_HEADER_BYTES] = {0};
    const char *slash = strrchr(name, '/');
    if (!io_pread_all(fd, b, (size_t)MIN(size, (uint64_t)sizeof b), 0, name, e))
        return false;
    if (seg_header_get(sv_make(b, sizeof b), &h, &s.header_err))
        s = (struct spool_peek_segment){.no = h.no, .size = size, .first_seq = h.first_seq, .prev_no = h.prev_no,
                                        .prev_end_seq = h.prev_end_seq, .cursor = h.cursor, .header_len = h.len};
    else if (!sv_to_u64(sv_sub(sv_of(slash ? slash + 1 : name), 0, 20), &s.no))
        return err_set(e, s.header_err.code, "'%s': %s, and its name has no number", name, s.header_err.msg);
    on_segment(in, &s);
    if (s.header_len > size)
        return err_set(e, ERR_CORRUPT, "'%s' ends inside its header", name);
    struct seg_walk w;
    seg_walk_init(&w, fd, SV_NULL, s.no, s.header_len, s.first_seq);
    w.anchored = !s.header_err.code;
    seg_walk_extend(&w, size);
    enum seg_step step;
    while ((step = seg_walk_step(&w, e)) == SEG_FRAME || step == SEG_BAD) {
        if (step == SEG_FRAME)
            on_frame(in, w.frame_seq, w.frame, true);
        else
            on_bad(in, w.bad_off, w.bad_bytes, w.bad_frames);
    }
    seg_walk_done(&w);
    end_segment(in);
    say(in, "%" PRIu64 " records in all; how many of them were consumed is in the file cursor, and in later segments", in->n_records);
    return step == SEG_END;
}

/* ---- backlogs ---- */

static void note_below(void *ctx, uint64_t seq, sv frame, bool waits)
{
    uint64_t below, *top = ctx;
    uint32_t n;
    sv request;
    if (waits && backlog_frame(frame, &n, &below, &request))
        *top = MAX(*top, below);
}

static bool inspect_backlog(struct inspection *in, const char *dir, int ring_fd, const char *ring, struct err *e)
{
    static const struct spool_peek_fns fns = {.frame = note_below};
    SCOPED(buf_done) struct buf spool = {0};
    struct spool_peek p;
    struct stat st;
    char service[BACKLOG_SERVICE_MAX];
    uint64_t below = 0;
    const char *slash = strrchr(dir, '/');
    backlog_service(slash ? slash + 1 : dir, service);
    say(in, "backlog %s, of service %s", dir, cli_plain(service));
    buf_fmt(&spool, "%s/spool", dir);
    buf_char(&spool, 0);
    if (!buf_ok(&spool, e))
        return false;
    bool spilled = lstat(spool.p, &st) == 0 && S_ISDIR(st.st_mode);
    if (spilled && (!spool_peek(spool.p, &fns, &below, &p, e) || !inspect_spool(in, spool.p, e)))
        return false;
    if (!inspect_ring(in, ring_fd, ring, below, e))
        return false;
    say(in, "backlog: %" PRIu64 " records wait", in->n_records);
    return true;
}

/* ---- what is it? ---- */

static bool has_segments(const char *dir)
{
    static const struct spool_peek_fns none = {0};
    struct spool_peek p;
    struct err e = {0};
    return (spool_peek(dir, &none, NULL, &p, &e) && p.segments) || e.code == ERR_UNSUPPORTED;
}

typedef bool inspect_stored_fn(const char *path, uint64_t *ret_bad, struct err *e);

static bool inspect_stored(struct inspection *in, inspect_stored_fn *fn, const char *path, struct err *e)
{
    if (in->records)
        return err_set(e, ERR_INVALID, "'%s': --records is for rings and spools; rows of a store are shown by weir query", path);
    bool ok = fn(path, &in->n_bad, e);
    in->damaged = in->n_bad;
    return ok;
}

static bool inspect_dir(struct inspection *in, const char *dir, struct err *e)
{
    char store[PATH_MAX];
    SCOPED(buf_done) struct buf ring = {0};
    SCOPED(io_close) int fd = -1;
    buf_fmt(&ring, "%s/ring", dir);
    buf_char(&ring, 0);
    if (!buf_ok(&ring, e))
        return false;
    if (io_openat(AT_FDCWD, ring.p, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd, NULL))
        return inspect_backlog(in, dir, fd, ring.p, e);
    if (inspect_is_store(dir, store, sizeof store))
        return inspect_stored(in, inspect_store, store, e);
    if (has_segments(dir))
        return inspect_spool(in, dir, e);
    return err_set(e, ERR_INVALID, "'%s' is neither a backlog (no file ring in it) nor a spool (no segments) nor a store (no CURRENT, no parts); what backlogs are in it "
                   "says weir recover --list", dir);
}

static bool inspect_file(struct inspection *in, int fd, uint64_t size, const char *path, struct err *e)
{
    char magic[8] = {0};
    if (!io_pread_all(fd, magic, (size_t)MIN(size, (uint64_t)sizeof magic), 0, path, e))
        return false;
    if (memcmp(magic, "WEIRRING", 8) == 0)
        return inspect_ring(in, fd, path, 0, e);
    if (memcmp(magic, "WEIRSPOL", 8) == 0 || sv_ends(sv_of(path), SV(".seg")))
        return inspect_segment(in, fd, size, path, e);
    sv name = sv_of(strrchr(path, '/') ? strrchr(path, '/') + 1 : path), first = sv_make(magic, sizeof magic);
    if (inspect_is_part(first) || sv_ends(name, SV(".part")))
        return inspect_stored(in, inspect_part, path, e);
    if (inspect_is_manifest(first) || sv_starts(name, SV("MANIFEST-")))
        return inspect_stored(in, inspect_manifest, path, e);
    return err_set(e, ERR_INVALID, "'%s' is neither a ring nor a segment of a spool, nor a part or a manifest of a store", path);
}

static bool inspect(struct inspection *in, const char *path, struct err *e)
{
    SCOPED(io_close) int fd = -1;
    struct stat st;
    if (!io_openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0, &fd, e))
        return false;
    if (fstat(fd, &st) != 0)
        return err_sys(e, "cannot stat '%s'", path);
    if (S_ISDIR(st.st_mode))
        return inspect_dir(in, path, e);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_INVALID, "'%s' is neither a file nor a directory", path);
    return inspect_file(in, fd, (uint64_t)st.st_size, path, e);
}

int cmd_inspect(const struct command *cmd, int argc, char **argv)
{
    struct inspect_options o = {0};
    struct option_group group = {"Options", table, &o};
    struct err e = {0};
    int at, rc = EXIT_USAGE;
    if (!options_defaults(table, &o, &e))
        return cli_fail(cmd, &e);
    if (!cli_options(cmd, &group, 1, argc, argv, &at, &rc))
        return rc;
    if (argc - at != 1) {
        fprintf(stderr, "weir inspect: expected one FILE or DIR; see weir inspect --help\n");
        return EXIT_USAGE;
    }
    size_t n = strlen(argv[at]);
    while (n > 1 && argv[at][n - 1] == '/')
        argv[at][--n] = 0;
    struct inspection in = {.records = o.records, .path = argv[at]};
    rc = inspect(&in, argv[at], &e) ? EXIT_DONE : cli_fail(cmd, &e);
    if (rc == EXIT_DONE && in.n_bad)
        say(&in, "%" PRIu64 " places are damaged%s", in.n_bad, in.damaged ? "" : " or not finished");
    if (rc == EXIT_DONE && in.damaged)
        rc = EXIT_FAILED;
    buf_done(&in.request);
    buf_done(&in.json);
    return rc;
}

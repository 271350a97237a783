/* backlog.c - see backlog.h. A batch is put together in memory, from the spool's next frame or the ring's next records, and is
 * "out" until it is settled. Where it is stored meanwhile changes under it: spilling moves it from the ring into the spool, and
 * dropping the oldest may leave nothing of it but the copy in memory, which is still sent. */
#include "backlog/backlog_int.h"
#include "backlog/peek.h"
#include "base/clock.h"
#include "base/endian.h"
#include "base/io.h"
#include "otlp/write.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A spool frame: 0 records u32 | 4 flags u32 | 8 u64: the ring's position below which its records are in the spool, with this
 * frame | 16 ExportLogsServiceRequest. So a death between appending the frame and releasing the ring repeats nothing. */
enum { FRAME_HEAD = 16, FRAME_FOREIGN = 1 /* another process's records */ };
#define SCOPES_MAX 64        /* distinct scopes of a batch; more are sent in further batches */
#define STUCK_LOOKS 100      /* a put that is still under way after so many looks, */
#define STUCK_EVERY_MS 100   /* this far apart, is not waited for any longer; looks, as a process may be stopped for long */
#define READ_TRIES 5         /* a spool that cannot be read this often in a row is set aside */
#define BATCH_BYTES_KEPT (1u << 20)

struct item {
    uint32_t scope; /* index into the batch's scopes */
    sv record;
};
struct piece { /* a run of the ring's frames */
    uint64_t end;
    uint32_t n, torn;
};
enum out { OUT_NONE, OUT_RING, OUT_SPOOL, OUT_MEMORY };

struct backlog {
    struct backlog_config cfg; /* base and service are not used after the start */
    struct place place;
    struct ring ring;
    bool adopted;
    uint64_t n_gone; /* puts that left the ring */
    struct item *items; /* cfg.batch_records of them */

    enum out out;
    struct buf batch; /* FRAME_HEAD bytes, then the request */
    struct piece out_piece; /* OUT_RING */
    uint64_t out_seq;       /* OUT_SPOOL */
    uint32_t out_n;

    struct spool *spool; /* NULL: never needed */
    struct spool_reader *reader; /* opened when there is something to read */
    uint64_t next_seq;      /* frames below are gone, or out */
    uint64_t spool_records; /* not yet out */
    struct buf scratch;     /* a batch on its way from ring to spool */

    uint64_t pending_pos; /* a put under way there… */
    uint32_t pending_looks; /* …was seen so often… */
    int64_t pending_ms;   /* …and last then */
    uint32_t read_failures; /* in a row */
    bool out_foreign;
    uint64_t extra; /* records accepted past the ring */
    uint64_t spilled, dropped, torn;
};

/* ---- opening, closing ---- */

static void close_spool(struct backlog *bl)
{
    spool_reader_close(TAKE(bl->reader));
    spool_close(TAKE(bl->spool));
}

void backlog_free(struct backlog *bl)
{
    if (!bl)
        return;
    close_spool(bl);
    place_done(&bl->place);
    buf_done(&bl->batch);
    buf_done(&bl->scratch);
    free(bl->items);
    free(bl);
}
DEFINE_SCOPED(struct backlog *, backlog_free)

static struct backlog *backlog_alloc(const struct backlog_config *cfg)
{
    struct backlog *bl = calloc(1, sizeof *bl);
    if (!bl)
        return NULL;
    place_init(&bl->place);
    bl->cfg = *cfg;
    bl->cfg.batch_records = MAX(cfg->batch_records, 1u);
    bl->items = calloc(bl->cfg.batch_records, sizeof *bl->items);
    if (!bl->items) {
        backlog_free(bl);
        return NULL;
    }
    return bl;
}

/* What is written into a directory that was removed is lost; and one that is made anew has no ring, so nobody looks into it. */
static bool still_there(const struct backlog *bl, struct err *e)
{
    return !place_is_gone(&bl->place) || err_set(e, ERR_NOT_FOUND, "'%s' was removed while it was in use", bl->place.dir);
}

/* The spool is there when it is needed, and not before. */
static bool open_spool(struct backlog *bl, struct err *e)
{
    if (bl->spool)
        return true;
    char path[4200];
    snprintf(path, sizeof path, "%s/" SPOOL_NAME, bl->place.dir);
    struct spool_config c = {.dir = path,
                             .at_name = SPOOL_NAME, /* in the directory that we hold, whatever its path leads to by now */
                             .at_fd = bl->place.dir_fd,
                             .max_bytes = bl->cfg.spill_max_bytes,
                             .when_full = SPOOL_REFUSE,
                             .sync = bl->cfg.durable ? SPOOL_SYNC_ALWAYS : SPOOL_SYNC_OFF};
    if (!spool_open(&c, &bl->spool, NULL, e))
        return false;
    bl->next_seq = spool_first_seq(bl->spool);
    return true;
}

bool backlog_new(const struct backlog_config *cfg, sv resource, struct backlog **ret, struct err *e)
{
    SCOPED(backlog_free) struct backlog *bl = backlog_alloc(cfg);
    uint64_t data = cfg->ring_bytes, dict = cfg->dict_bytes + resource.n;
    size_t n = ring_size(&data, &dict);
    if (!bl)
        return err_nomem(e);
    if (!(cfg->base ? place_make(&bl->place, cfg->base, cfg->service, n, e) : place_make_memory(&bl->place, n, e)))
        return false;
    ring_init(&bl->ring, bl->place.map, data, dict, (uint32_t)getpid());
    if (!ring_define(&bl->ring, resource)) {
        place_remove(&bl->place);
        return err_set(e, ERR_LIMIT, "the resource of %zu bytes does not fit into the ring's dictionary", resource.n);
    }
    if (cfg->base && !place_show(&bl->place, cfg->durable, e))
        return false;
    *ret = TAKE(bl);
    return true;
}

bool backlog_adopt(const struct backlog_config *cfg, const char *name, struct backlog **ret, struct err *e)
{
    SCOPED(backlog_free) struct backlog *bl = backlog_alloc(cfg);
    if (!bl)
        return err_nomem(e);
    bl->adopted = true;
    if (!place_take(&bl->place, cfg->base, name, e) || !ring_attach(&bl->ring, bl->place.map, bl->place.map_bytes, e) ||
        (place_has_spool(&bl->place) && !open_spool(bl, e)))
        return err_ctx(e, "backlog '%s/%s'", cfg->base, name);
    *ret = TAKE(bl);
    return true;
}

static uint64_t ring_waiting(const struct backlog *bl)
{
    uint64_t n_put = ring_puts(&bl->ring);
    return n_put > bl->n_gone ? n_put - bl->n_gone : 0;
}

/* The rest goes into the spool, and the ring's blocks back to the disk: a process that ends with one record left does not leave a
 * whole ring behind. */
static void shrink(struct backlog *bl)
{
    bl->cfg.drop_oldest = false; /* nothing is given up for it */
    if (bl->adopted || !backlog_spill(bl, false, NULL) || !ring_is_empty(&bl->ring))
        return;
    size_t head = bl->place.map_bytes - bl->ring.cap;
    (void)!fallocate(bl->place.ring_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)head, (off_t)bl->ring.cap);
}

int64_t backlog_finish(struct backlog *bl, uint64_t *ret_lost)
{
    sv request;
    uint32_t n;
    int64_t left = -1;
    bool memory = bl->place.ring_fd < 0;
    uint64_t lost = bl->out == OUT_MEMORY ? bl->out_n : 0;
    ring_close(&bl->ring);
    if (!bl->adopted)
        left = (int64_t)(ring_waiting(bl) + bl->spool_records + (bl->out == OUT_SPOOL ? bl->out_n : 0));
    if (memory) {
        lost += (uint64_t)left;
        left = 0;
    } else if ((bl->out == OUT_NONE || bl->out == OUT_MEMORY) &&
               (bl->out = OUT_NONE, backlog_take(bl, &request, &n, NULL) == 0) &&
               (bl->adopted || ring_is_empty(&bl->ring))) {
        close_spool(bl);
        place_remove(&bl->place);
        left = 0;
    } else {
        shrink(bl);
    }
    close_spool(bl);
    place_unlock(&bl->place);
    if (ret_lost)
        *ret_lost = lost;
    return left;
}

int64_t backlog_close(struct backlog *bl)
{
    int64_t left = bl ? backlog_finish(bl, NULL) : 0;
    backlog_free(bl);
    return left;
}

void backlog_forget(struct backlog *bl)
{
    if (!bl)
        return;
    spool_reader_close(TAKE(bl->reader));
    spool_forget(TAKE(bl->spool));
    backlog_free(bl);
}

struct ring *backlog_ring(struct backlog *bl)
{
    return &bl->ring;
}

const char *backlog_dir(const struct backlog *bl)
{
    return bl->place.dir;
}

/* ---- from the ring into a batch ---- */

/* Is the put at `pos` beyond hope? An adopted ring's always is; in our own, when it takes far too long. */
static bool is_lost(struct backlog *bl, uint64_t pos)
{
    if (bl->adopted)
        return true;
    int64_t now = clock_mono_ms();
    if (bl->pending_pos != pos) {
        bl->pending_pos = pos;
        bl->pending_looks = 0;
        bl->pending_ms = now;
    }
    if (now - bl->pending_ms >= STUCK_EVERY_MS) {
        bl->pending_looks++;
        bl->pending_ms = now;
    }
    return bl->pending_looks >= STUCK_LOOKS;
}

/* How far records may be looked for. What a power cut left of an adopted ring may reach beyond its `head`. */
static uint64_t ring_limit(const struct backlog *bl)
{
    return bl->adopted ? ring_tail(&bl->ring) + bl->ring.cap : ring_end(&bl->ring);
}

struct scopes {
    uint32_t n, ref[SCOPES_MAX];
    sv text[SCOPES_MAX];
};

/* The index of a scope, SCOPES_MAX when there is no room for another. */
static uint32_t scope_index(struct backlog *bl, struct scopes *s, const struct ring_frame *f)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->ref[i] == f->scope && (f->scope || sv_eq(s->text[i], f->inline_scope)))
            return i;
    if (s->n == SCOPES_MAX)
        return SCOPES_MAX;
    s->ref[s->n] = f->scope;
    s->text[s->n] = f->scope ? ring_defined(&bl->ring, f->scope) : f->inline_scope;
    return s->n++;
}

/* Picks up to a batch's records from the ring's tail on. */
static struct piece collect(struct backlog *bl, struct scopes *s)
{
    struct piece pc = {.end = ring_tail(&bl->ring)};
    struct ring_frame f;
    uint64_t limit = ring_limit(bl), bytes = 0, last_put = ring_end(&bl->ring);
    for (uint64_t pos = pc.end; pc.n < bl->cfg.batch_records;) {
        enum ring_got got = ring_look(&bl->ring, pos, limit, &f);
        if (got == RING_END || (got == RING_PENDING && !is_lost(bl, f.pos))) {
            pc.end = MAX(pc.end, MIN(f.pos, last_put)); /* what was passed over is free; records behind the last put lie further */
            break;
        }
        if (got != RING_RECORD) {
            pos = got == RING_TORN ? f.next : ring_pass(&bl->ring, f.pos, limit);
            if (f.pos < last_put) {
                pc.torn++;
                pc.end = MIN(pos, last_put);
            }
            continue;
        }
        uint32_t scope = 0;
        if ((pc.n && bytes + f.record.n > bl->cfg.batch_bytes) || (scope = scope_index(bl, s, &f)) == SCOPES_MAX)
            break;
        bl->items[pc.n++] = (struct item){scope, f.record};
        bytes += f.record.n + 16;
        pos = pc.end = f.next;
    }
    return pc;
}

/* ExportLogsServiceRequest.resource_logs 1, ResourceLogs.scope_logs 2, ScopeLogs.log_records 2 */
static void write_request(struct backlog *bl, const struct scopes *s, uint32_t n, struct buf *out)
{
    size_t resource = otlp_open(out, 1);
    buf_sv(out, ring_defined(&bl->ring, RING_FIRST));
    for (uint32_t i = 0; i < s->n; i++) {
        size_t scope = otlp_open(out, 2);
        buf_sv(out, s->text[i]);
        for (uint32_t k = 0; k < n; k++)
            if (bl->items[k].scope == i)
                otlp_put_bytes(out, 2, bl->items[k].record);
        otlp_close(out, scope);
    }
    otlp_close(out, resource);
}

/* The collected items as a frame of the spool. */
static void put_frame(struct backlog *bl, struct buf *out, uint32_t n, uint64_t ring_below, const struct scopes *s)
{
    char head[FRAME_HEAD] = {0};
    put_le32(head, n);
    put_le64(head + 8, ring_below);
    buf_put(out, head, sizeof head);
    write_request(bl, s, n, out);
}

/* The puts are counted before the ring is seen empty: so none is counted that is still in it. */
static void release(struct backlog *bl, const struct piece *pc)
{
    ring_release(&bl->ring, pc->end);
    bl->n_gone += pc->n + pc->torn;
    bl->torn += pc->torn;
    uint64_t n_put = ring_puts(&bl->ring);
    if (!bl->adopted && ring_is_empty(&bl->ring)) /* where damage hid how many there were, an empty ring tells */
        bl->n_gone = n_put;
    bl->pending_pos = UINT64_MAX;
}

/* The ring's oldest records as a frame of the spool. n 0: there are none. False: no memory, nothing changed. */
static bool build(struct backlog *bl, struct buf *out, struct piece *ret, struct err *e)
{
    struct scopes s = {0};
    do {
        s.n = 0;
        *ret = collect(bl, &s);
        if (!ret->n && ret->end > ring_tail(&bl->ring))
            release(bl, ret);
    } while (!ret->n && ret->torn);
    if (out->cap > BATCH_BYTES_KEPT && bl->cfg.batch_bytes < BATCH_BYTES_KEPT)
        buf_done(out);
    buf_reset(out);
    if (!ret->n)
        return true;
    put_frame(bl, out, ret->n, ret->end, &s);
    return buf_ok(out, e);
}

bool backlog_frame(sv frame, uint32_t *ret_records, uint64_t *ret_ring_below, sv *ret_request)
{
    if (frame.n <= FRAME_HEAD)
        return false;
    *ret_records = get_le32(frame.p);
    *ret_ring_below = get_le64(frame.p + 8);
    *ret_request = sv_from(frame, FRAME_HEAD);
    return true;
}

/* ---- sending ---- */

/* The spool's next frame, valid until the next call. 1, 0 (none), -1. Frames that are none of ours are passed over. */
static int read_frame(struct backlog *bl, sv *ret, uint64_t *ret_seq, struct err *e)
{
    int got;
    if (!bl->reader && !spool_reader_open(bl->spool, bl->next_seq, &bl->reader, e))
        return -1;
    while ((got = spool_read(bl->reader, ret, ret_seq, e)) == 1 && (*ret_seq < bl->next_seq || ret->n <= FRAME_HEAD))
        if (*ret_seq >= bl->next_seq) {
            bl->torn++;
            bl->next_seq = *ret_seq + 1;
        }
    return got;
}

/* What the spool holds of the ring is released there, should its owner have died before it could. */
static void release_spilled(struct backlog *bl, sv frame)
{
    uint64_t below = get_le64(frame.p + 8), tail = ring_tail(&bl->ring);
    if (bl->adopted && below > tail && below - tail <= bl->ring.cap && below % RING_ALIGN == 0)
        ring_release(&bl->ring, below);
}

/* A spool that the disk does not give back is in the way of all that follows: it is renamed, for somebody to look at, and what
 * was in it counts as torn. -1 with the reason, or 0: there is none any more. */
static int set_aside(struct backlog *bl, struct err *e)
{
    char name[40];
    for (int i = 1; i < 100; i++) {
        snprintf(name, sizeof name, SPOOL_NAME ".damaged-%d", i);
        if (faccessat(bl->place.dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            break;
    }
    close_spool(bl);
    if (!io_renameat(bl->place.dir_fd, SPOOL_NAME, name, e))
        return -1;
    bl->torn += bl->spool_records;
    bl->spool_records = 0;
    bl->read_failures = 0;
    return 0;
}

/* The same, when somebody removed files of the spool: what is left of it is read, and what is not there any more is lost. */
static int read_what_is_there(struct backlog *bl, sv *ret, uint64_t *ret_seq, struct err *e)
{
    struct err why = {0};
    int got = read_frame(bl, ret, ret_seq, &why);
    if (got < 0 && why.sys == ENOENT) {
        close_spool(bl);
        got = still_there(bl, NULL) && open_spool(bl, NULL) ? read_frame(bl, ret, ret_seq, &why) : 0;
    }
    if (got == 0) {
        bl->torn += bl->spool_records;
        bl->spool_records = 0;
    }
    if (got < 0 && e)
        *e = why;
    return got;
}

static int take_from_spool(struct backlog *bl, struct err *e)
{
    sv frame;
    uint64_t seq;
    int got = read_what_is_there(bl, &frame, &seq, e);
    if (got < 0 && ++bl->read_failures >= READ_TRIES)
        return set_aside(bl, e);
    if (got != 1)
        return got;
    bl->read_failures = 0;
    buf_reset(&bl->batch);
    buf_sv(&bl->batch, frame);
    if (!buf_ok(&bl->batch, e)) { /* the reader is past the frame: the next take begins anew */
        spool_reader_close(TAKE(bl->reader));
        return -1;
    }
    release_spilled(bl, frame);
    bl->out = OUT_SPOOL;
    bl->out_seq = seq;
    bl->out_n = get_le32(frame.p);
    bl->out_foreign = get_le32(frame.p + 4) & FRAME_FOREIGN;
    bl->next_seq = seq + 1;
    bl->spool_records -= MIN(bl->spool_records, (uint64_t)bl->out_n);
    return 1;
}

int backlog_take(struct backlog *bl, sv *ret_request, uint32_t *ret_records, struct err *e)
{
    int got = bl->out != OUT_NONE;
    if (!got && bl->spool && (got = take_from_spool(bl, e)) < 0)
        return -1;
    if (!got) {
        if (!build(bl, &bl->batch, &bl->out_piece, e))
            return -1;
        if (!bl->out_piece.n)
            return 0;
        bl->out = OUT_RING;
        bl->out_n = bl->out_piece.n;
        bl->out_foreign = false;
    }
    *ret_request = sv_from(buf_view(&bl->batch), FRAME_HEAD);
    *ret_records = bl->out_n;
    return 1;
}

void backlog_settle(struct backlog *bl)
{
    if (bl->batch.cap > BATCH_BYTES_KEPT + bl->cfg.batch_bytes && bl->out != OUT_NONE) /* after a large record */
        buf_done(&bl->batch);
    if (bl->out == OUT_RING)
        release(bl, &bl->out_piece);
    else if (bl->out == OUT_SPOOL)
        (void)!spool_consume(bl->spool, bl->out_seq + 1, NULL);
    bl->out = OUT_NONE;
}

/* ---- making room ---- */

/* Gives up the spool's oldest frame. False: there is none that is not out. */
static bool drop_frame(struct backlog *bl)
{
    sv frame;
    uint64_t seq;
    if (bl->out == OUT_SPOOL) /* in the way of all that follow; its copy in memory is still sent */
        bl->out = OUT_MEMORY;
    bool found = read_frame(bl, &frame, &seq, NULL) == 1;
    if (found) {
        uint32_t n = get_le32(frame.p);
        bl->dropped += n;
        bl->spool_records -= MIN(bl->spool_records, (uint64_t)n);
        bl->next_seq = seq + 1;
    }
    return spool_consume(bl->spool, bl->next_seq, NULL) && found;
}

static bool append(struct backlog *bl, sv frame, bool must, uint64_t *ret_seq, struct err *e)
{
    for (;;) {
        struct err why = {0};
        if (spool_append(bl->spool, frame, ret_seq, &why))
            return true;
        bool disk_full = why.sys != 0; /* else the cap: waiting would not help */
        if (why.code != ERR_FULL || !bl->cfg.drop_oldest || (disk_full && !must) || !drop_frame(bl)) {
            if (e)
                *e = why;
            return false;
        }
    }
}

bool backlog_spill(struct backlog *bl, bool must, struct err *e)
{
    struct piece pc;
    if (bl->place.dir_fd < 0)
        return err_set(e, ERR_UNSUPPORTED, "there is no directory to spill into");
    if (!still_there(bl, e) || !open_spool(bl, e))
        return false;
    if (bl->out == OUT_RING) {
        if (!append(bl, buf_view(&bl->batch), must, &bl->out_seq, e))
            return false;
        release(bl, &bl->out_piece);
        bl->out = OUT_SPOOL;
        bl->next_seq = bl->out_seq + 1;
        bl->spilled += bl->out_n;
    }
    while (build(bl, &bl->scratch, &pc, e)) {
        uint64_t seq;
        if (!pc.n)
            return true;
        if (!append(bl, buf_view(&bl->scratch), must, &seq, e))
            return false;
        release(bl, &pc);
        bl->spilled += pc.n;
        bl->spool_records += pc.n;
    }
    return false;
}

bool backlog_put_large(struct backlog *bl, sv scope, sv record, struct err *e)
{
    struct scopes s = {.n = 1, .text = {scope}};
    uint64_t seq;
    if (!backlog_spill(bl, true, e))
        return false;
    bl->items[0] = (struct item){0, record};
    buf_reset(&bl->scratch);
    put_frame(bl, &bl->scratch, 1, ring_tail(&bl->ring), &s);
    bool ok = buf_ok(&bl->scratch, e) && append(bl, buf_view(&bl->scratch), true, &seq, e);
    bl->spilled += ok;
    bl->spool_records += ok;
    bl->extra += ok;
    if (bl->scratch.cap > BATCH_BYTES_KEPT + bl->cfg.batch_bytes)
        buf_done(&bl->scratch);
    return ok;
}

bool backlog_put_batch(struct backlog *bl, sv request, uint32_t n_records, struct err *e)
{
    char head[FRAME_HEAD] = {0};
    uint64_t seq;
    if (!backlog_spill(bl, true, e))
        return false;
    put_le32(head, n_records);
    put_le32(head + 4, FRAME_FOREIGN);
    put_le64(head + 8, ring_tail(&bl->ring));
    buf_reset(&bl->scratch);
    buf_put(&bl->scratch, head, sizeof head);
    buf_sv(&bl->scratch, request);
    if (!buf_ok(&bl->scratch, e) || !append(bl, buf_view(&bl->scratch), true, &seq, e))
        return false;
    bl->spool_records += n_records;
    bl->extra += n_records;
    return true;
}

bool backlog_is_foreign(const struct backlog *bl)
{
    return bl->out_foreign;
}

uint64_t backlog_drop(struct backlog *bl, uint64_t keep)
{
    uint64_t before = bl->dropped;
    struct ring_frame f;
    if (bl->out == OUT_RING && ring_waiting(bl) - bl->out_n > keep) {
        release(bl, &bl->out_piece);
        bl->out = OUT_MEMORY;
    }
    while (bl->out != OUT_RING && ring_waiting(bl) > keep) {
        struct piece pc = {0};
        enum ring_got got = ring_look(&bl->ring, ring_tail(&bl->ring), ring_end(&bl->ring), &f);
        if (got == RING_END || (got == RING_PENDING && !is_lost(bl, f.pos)))
            break;
        pc.n = got == RING_RECORD;
        pc.torn = got != RING_RECORD;
        pc.end = got == RING_PENDING ? ring_pass(&bl->ring, f.pos, ring_end(&bl->ring)) : f.next;
        release(bl, &pc);
        bl->dropped += pc.n;
    }
    return bl->dropped - before;
}

bool backlog_sync(struct backlog *bl, struct err *e)
{
    return bl->place.ring_fd < 0 || io_datasync(bl->place.ring_fd, bl->place.dir, e);
}

void backlog_stats(const struct backlog *bl, struct backlog_stats *ret)
{
    struct spool_stats ss = {0};
    if (bl->spool)
        spool_stats(bl->spool, &ss);
    *ret = (struct backlog_stats){
        .accepted = ring_puts(&bl->ring) + bl->extra,
        .ring_records = ring_waiting(bl),
        .spilled = bl->spilled,
        .dropped = bl->dropped,
        .torn = bl->torn + (bl->adopted ? ss.bad_frames : 0), /* of our own we know how many records are missing in the end */
        .spool_bytes = ss.bytes,
    };
    ret->waiting = ret->ring_records + bl->spool_records + (bl->out == OUT_SPOOL || bl->out == OUT_MEMORY ? bl->out_n : 0);
}

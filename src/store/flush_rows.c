/* flush_rows.c - see flush_rows.h: from the head's chunks to parts. Rows are put in the part's order by sort keys, never moved. */
#include "store/flush_rows.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/map.h"
#include "base/varint.h"
#include "store/dedup.h"
#include "store/part_format.h"
#include "store/part_write.h"
#include "store/rows.h"

#define DAY_NS (86400 * NS_PER_S)

struct row_at {
    uint32_t chunk, row;
};

struct stream_rows { /* one stream of the flush */
    struct stream *st;
    struct row_key *keys; /* into sorted.keys; by time once place_rows() ran */
    size_t n;
    uint64_t bytes;
};

struct sorted { /* the rows of a flush */
    const struct part_flush *f;
    struct row_at *rows;         /* every row, in the order of acceptance */
    struct row_key *keys, *spare;
    struct stream_rows *streams; /* in the part's order */
    size_t n_streams, n_rows;
    struct dedup seen;
};

static int stream_order(const void *a, const void *b)
{
    return part_stream_cmp(((const struct stream_rows *)a)->st, ((const struct stream_rows *)b)->st);
}

/* Every stream of the flush once, in order; and its rows' keys, in the order of acceptance. */
static bool collect(struct sorted *w, struct err *e)
{
    struct map by_stream = {0};
    bool ok = true;
    size_t cap = 0;
    for (size_t i = 0; i < w->f->n_chunks; i++) {
        const struct chunk *c = w->f->chunks[i];
        w->n_rows += c->n;
        cap += c->n_streams;
    }
    if (w->n_rows >= UINT32_MAX)
        return err_set(e, ERR_LIMIT, "%zu rows are too many for one flush", w->n_rows);
    w->rows = calloc(w->n_rows ? w->n_rows : 1, sizeof *w->rows);
    w->keys = calloc(w->n_rows ? w->n_rows : 1, sizeof *w->keys);
    w->spare = calloc(w->n_rows ? w->n_rows : 1, sizeof *w->spare);
    w->streams = calloc(cap ? cap : 1, sizeof *w->streams);
    ok = w->rows && w->keys && w->spare && w->streams;
    for (size_t i = 0; ok && i < w->f->n_chunks; i++)
        for (uint32_t s = 0; ok && s < w->f->chunks[i]->n_streams; s++) {
            const struct chunk_stream *cs = &w->f->chunks[i]->streams[s];
            struct map_slot *slot = map_put(&by_stream, sv_make(&cs->st, sizeof cs->st));
            if (!(ok = slot))
                break;
            if (!slot->value) {
                w->streams[w->n_streams].st = cs->st;
                slot->key = sv_make(&cs->st, sizeof cs->st);
                slot->value = &w->streams[w->n_streams++];
            }
            struct stream_rows *sr = slot->value;
            sr->n += cs->rows;
            sr->bytes += cs->bytes;
        }
    map_done(&by_stream);
    if (!ok)
        return err_nomem(e);
    qsort(w->streams, w->n_streams, sizeof *w->streams, stream_order);
    return true;
}

static bool place_rows(struct sorted *w, struct err *e)
{
    struct map by_stream = {0};
    struct row_key *at = w->keys;
    bool ok = true;
    for (size_t i = 0; ok && i < w->n_streams; i++) {
        struct stream_rows *sr = &w->streams[i];
        struct map_slot *slot = map_put(&by_stream, sv_make(&sr->st, sizeof sr->st));
        if ((ok = slot))
            slot->value = sr;
        sr->keys = at;
        at += sr->n;
        sr->n = 0;
    }
    uint32_t r = 0;
    for (size_t i = 0; ok && i < w->f->n_chunks; i++) {
        const struct chunk *c = w->f->chunks[i];
        struct stream_rows **of = calloc(c->n_streams ? c->n_streams : 1, sizeof *of);
        if (!(ok = of))
            break;
        for (uint32_t s = 0; s < c->n_streams; s++)
            of[s] = map_get(&by_stream, sv_make(&c->streams[s].st, sizeof c->streams[s].st));
        for (uint32_t k = 0; k < c->n; k++, r++) {
            struct stream_rows *sr = of[c->stream[k]];
            w->rows[r] = (struct row_at){(uint32_t)i, k};
            sr->keys[sr->n++] = (struct row_key){.ts = c->ts[k], .row = r};
        }
        free(of);
    }
    map_done(&by_stream);
    if (!ok)
        return err_nomem(e);
    for (size_t i = 0; i < w->n_streams; i++)
        row_keys_sort(w->streams[i].keys, w->streams[i].n, w->spare);
    return true;
}

/* The stream's rows in [from, to] become the part's next stream, when there are any. */
static bool stream_put(struct sorted *w, const struct stream_rows *sr, int64_t from, int64_t to, struct part_writer *out,
                       uint64_t *ret_duplicates, struct err *e)
{
    bool any = false;
    dedup_reset(&w->seen);
    for (size_t i = 0; i < sr->n; i++) {
        if (sr->keys[i].ts < from || sr->keys[i].ts > to)
            continue;
        struct row_at at = w->rows[sr->keys[i].row];
        const struct chunk *c = w->f->chunks[at.chunk];
        if (!any && !part_writer_stream(out, sr->st, sr->bytes, e))
            return false;
        any = true;
        bool twice;
        if (!dedup_row(&w->seen, sr->keys[i].ts, c, at.row, &twice))
            return err_nomem(e);
        if (twice)
            ++*ret_duplicates;
        else if (!part_writer_row(out, c, at.row, e))
            return false;
    }
    return true;
}

struct part_plan { /* rows of [from, to] of the streams [first, end) */
    int64_t from, to;
    size_t first, end;
};
struct plan {
    VEC(struct part_plan) parts;
};

/* One part, under its final name but with the directory not yet synced. */
static bool part_make(struct sorted *w, int dirfd, uint64_t id, const struct part_plan *pl, uint16_t index, uint16_t of,
                      uint64_t *ret_duplicates, struct err *e)
{
    SCOPED(part_writer_close) struct part_writer *out = NULL;
    struct part_writer_options o = {.compression = w->f->compression ? w->f->compression : 1};
    struct part_tail tail = {.first_seq = w->f->first_seq, .end_seq = w->f->end_seq, .index = index, .of = of};
    if (!part_writer_open(dirfd, id, &o, &out, e))
        return false;
    for (size_t i = pl->first; i < pl->end; i++)
        if (!stream_put(w, &w->streams[i], pl->from, pl->to, out, &tail.duplicates, e))
            return false;
    *ret_duplicates = tail.duplicates;
    return part_writer_finish(out, &tail, e);
}

/* Time of the stream's first row from `at` on. */
static bool first_from(const struct stream_rows *sr, int64_t at, int64_t *ret)
{
    size_t lo = 0, hi = sr->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (sr->keys[mid].ts < at)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < sr->n)
        *ret = sr->keys[lo].ts;
    return lo < sr->n;
}

/* Most that the stream takes in a part's table. */
static size_t table_bytes(const struct stream *st)
{
    size_t n = tenant_name(st->tenant).n + 8 * VARINT_MAX;
    for (size_t i = 0; i < st->labels.n; i++)
        n += st->labels.at[i].name.n + st->labels.at[i].value.n + 2 * VARINT_MAX;
    return n;
}

/* The parts of the rows in [from, to]: cut where the streams met so far would pass the size of a table. A stream alone is a
 * part whatever its size: its labels are less than a request. */
static bool plan_streams(const struct sorted *w, int64_t from, int64_t to, struct plan *ret, struct err *e)
{
    size_t max = w->f->table_max ? w->f->table_max : (size_t)PART_TABLE_BYTES, bytes = 0;
    struct part_plan *pl = NULL;
    for (size_t i = 0; i < w->n_streams; i++) {
        int64_t ts;
        if (!first_from(&w->streams[i], from, &ts) || ts > to)
            continue;
        size_t more = table_bytes(w->streams[i].st);
        if (!pl || bytes + more > max) {
            if (ret->parts.n == PART_FLUSH_MAX)
                return err_set(e, ERR_LIMIT, "more than %d parts of one flush", PART_FLUSH_MAX);
            if (!(pl = vec_push(&ret->parts)))
                return err_nomem(e);
            *pl = (struct part_plan){.from = from, .to = to, .first = i};
            bytes = 0;
        }
        bytes += more;
        pl->end = i + 1;
    }
    return true;
}

/* By the UTC days that have rows, the last of them open-ended beyond PART_FLUSH_DAYS. */
static bool plan_days(const struct sorted *w, struct plan *ret, struct err *e)
{
    int64_t at = INT64_MIN;
    for (int day = 1;; day++) {
        int64_t first = INT64_MAX, ts, next;
        bool any = false;
        for (size_t i = 0; i < w->n_streams; i++)
            if (first_from(&w->streams[i], at, &ts) && ts <= first) {
                first = ts;
                any = true;
            }
        if (!any)
            return true;
        int64_t number = first / DAY_NS - (first % DAY_NS < 0);
        if (day == PART_FLUSH_DAYS || __builtin_mul_overflow(number + 1, DAY_NS, &next))
            return plan_streams(w, first, INT64_MAX, ret, e);
        if (!plan_streams(w, first, next - 1, ret, e))
            return false;
        at = next;
    }
}

static void sorted_done(struct sorted *w)
{
    free(w->rows);
    free(w->keys);
    free(w->spare);
    free(w->streams);
    dedup_done(&w->seen);
}

static bool write_plan(struct sorted *w, int dirfd, const struct plan *plan, uint64_t next_id, struct parts_written *ret,
                       struct err *e)
{
    if (!vec_reserve(&ret->v, ret->v.n + plan->parts.n))
        return err_nomem(e);
    for (size_t i = 0; i < plan->parts.n; i++) {
        struct part_written *made = &ret->v.at[ret->v.n];
        made->id = next_id + i;
        if (!part_make(w, dirfd, made->id, &plan->parts.at[i], (uint16_t)i, (uint16_t)plan->parts.n, &made->duplicates, e))
            return false;
        ret->v.n++;
    }
    return io_sync_dir(dirfd, "parts", e);
}

bool part_write(int dirfd, const struct part_flush *f, _Atomic uint64_t *next_id, struct parts_written *ret, struct err *e)
{
    struct sorted w = {.f = f};
    struct plan plan = {0};
    size_t before = ret->v.n;
    bool ok = collect(&w, e) && place_rows(&w, e) && plan_days(&w, &plan, e);
    /* the ids are gone also after a failure: a name is never used twice */
    ok = ok && write_plan(&w, dirfd, &plan, atomic_fetch_add(next_id, plan.parts.n), ret, e);
    sorted_done(&w);
    for (; !ok && ret->v.n > before; ret->v.n--) {
        char name[32];
        struct err ignored;
        part_name(ret->v.at[ret->v.n - 1].id, name);
        (void)!io_unlinkat(dirfd, name, &ignored); /* recovery removes what nobody lists */
    }
    vec_done(&plan.parts);
    return ok ? true : err_ctx(e, "cannot write a part");
}

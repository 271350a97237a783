/* part_read.c - see part.h: opening a part. All lengths are checked against the file before use, all pages against their hash; what a
 * page says is checked again while it is decoded. Blocks: block_read.c. */
#include "store/part.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include "base/varint.h"
#include "store/part_format.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

struct part *part_ref(struct part *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void part_unref(struct part *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(p->streams);
    free(p->blocks);
    free(p->inputs);
    free(p);
}

int part_stream_cmp(const struct stream *x, const struct stream *y)
{
    if (x == y)
        return 0;
    int c = x->tenant == y->tenant ? 0 : sv_cmp(tenant_name(x->tenant), tenant_name(y->tenant));
    if (!c)
        c = sv_cmp(labels_get(x->labels, SV("service_name")), labels_get(y->labels, SV("service_name")));
    return c ? c : labels_cmp(x->labels, y->labels);
}

int part_order(const struct part *x, const struct part *y)
{
    int c = (x->first_seq > y->first_seq) - (x->first_seq < y->first_seq);
    if (!c)
        c = (x->end_seq > y->end_seq) - (x->end_seq < y->end_seq);
    return c ? c : (x->id > y->id) - (x->id < y->id);
}

bool part_id_of_name(sv name, uint64_t *ret)
{
    uint64_t id = 0;
    if (name.n != 21 || !sv_ends(name, SV(".part")))
        return false;
    for (size_t i = 0; i < 16; i++) {
        char c = name.p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        id = id << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret = id;
    return true;
}

struct footer {
    uint64_t table_at, index_at, rows, line_bytes;
    uint32_t table_n, n_streams, index_n, n_blocks;
};

static bool corrupt(struct err *e, const char *what)
{
    return err_set(e, ERR_CORRUPT, "%s", what);
}

static bool version_known(uint16_t major, uint32_t features, struct err *e)
{
    if (major != PART_MAJOR || (features & ~(uint32_t)PART_FEATURES_KNOWN))
        return err_set(e, ERR_UNSUPPORTED, "part format %u with features %x; this release reads format %d", major, features,
                       PART_MAJOR);
    return true;
}

static bool head_read(int fd, struct part *p, uint32_t *ret_features, struct err *e)
{
    uint8_t h[PART_HEAD];
    if (!io_pread_all(fd, h, sizeof h, 0, p->name, e))
        return false;
    if (memcmp(h, PART_MAGIC, 8) != 0 || get_le32(h + 60) != crc32c(0, h, 60))
        return corrupt(e, "not a part file, or its header is damaged");
    memcpy(p->uuid, h + 16, 16);
    *ret_features = get_le32(h + 12);
    return version_known(get_le16(h + 8), *ret_features, e);
}

/* Of the footer and what the trailer says beside it. */
static uint32_t trailer_crc(sv footer, const uint8_t t[static PART_TRAILER])
{
    return crc32c(crc32c(crc32c(0, footer.p, footer.n), t, 4), t + 8, PART_TRAILER - 8);
}

/* Items behind the fixed fields; what this release does not know is passed over. */
static bool footer_items(const uint8_t *at, const uint8_t *end, struct part *p, struct err *e)
{
    while (at < end) {
        if (end - at < PART_ITEM_HEAD)
            return corrupt(e, "footer items");
        size_t n = at[1] | (size_t)at[2] << 8 | (size_t)at[3] << 16;
        unsigned tag = *at;
        at += PART_ITEM_HEAD;
        if (n > (size_t)(end - at) || (tag == PART_ITEM_INPUTS && (n % 8 || !n || p->inputs)))
            return corrupt(e, "footer items");
        if (tag == PART_ITEM_INPUTS) {
            if (!(p->inputs = malloc(n)))
                return err_nomem(e);
            for (; p->n_inputs < n / 8; p->n_inputs++)
                p->inputs[p->n_inputs] = get_le64(at + 8 * (size_t)p->n_inputs);
        }
        at += n;
    }
    return true;
}

static bool footer_read(int fd, struct part *p, uint32_t features, struct footer *ret, struct err *e)
{
    uint8_t t[PART_TRAILER], f[PART_FOOTER];
    if (p->file_bytes < PART_HEAD + PART_FOOTER + PART_TRAILER)
        return corrupt(e, "file is shorter than an empty part");
    if (!io_pread_all(fd, t, sizeof t, p->file_bytes - sizeof t, p->name, e))
        return false;
    if (memcmp(t + 24, PART_MAGIC, 8) != 0 || get_le64(t + 16) != p->file_bytes || get_le16(t + 8) != PART_MAJOR ||
        get_le32(t + 12) != features)
        return corrupt(e, "trailer is damaged or the file was cut");
    uint32_t n = get_le32(t);
    if (n < PART_FOOTER || n > PART_FOOTER_MAX || n > p->file_bytes - PART_HEAD - PART_TRAILER)
        return corrupt(e, "footer length");
    SCOPED(buf_done) struct buf all = {0};
    uint64_t footer_at = p->file_bytes - PART_TRAILER - n;
    if (!buf_reserve(&all, n))
        return err_nomem(e);
    if (!io_pread_all(fd, all.p, n, footer_at, p->name, e))
        return false;
    if (trailer_crc(sv_make(all.p, n), t) != get_le32(t + 4))
        return corrupt(e, "footer checksum");
    memcpy(f, all.p, sizeof f);
    *ret = (struct footer){.table_at = get_le64(f),
                           .table_n = get_le32(f + 8),
                           .n_streams = get_le32(f + 12),
                           .index_at = get_le64(f + 16),
                           .index_n = get_le32(f + 24),
                           .n_blocks = get_le32(f + 28),
                           .rows = get_le64(f + 32),
                           .line_bytes = get_le64(f + 40)};
    p->min_ts = (int64_t)get_le64(f + 48);
    p->max_ts = (int64_t)get_le64(f + 56);
    p->first_seq = get_le64(f + 64);
    p->end_seq = get_le64(f + 72);
    p->index = get_le16(f + 80);
    p->of = get_le16(f + 82);
    p->level = get_le32(f + 84);
    p->deletes_applied = get_le64(f + 88);
    const uint8_t *items = (const uint8_t *)all.p + PART_FOOTER;
    if (!footer_items(items, items + (n - PART_FOOTER), p, e))
        return false;
    if (ret->table_at < PART_HEAD || ret->table_at > footer_at || ret->table_n > footer_at - ret->table_at ||
        ret->index_at != ret->table_at + ret->table_n || ret->index_n != footer_at - ret->index_at)
        return corrupt(e, "footer sections");
    p->tables_end = footer_at;
    return true;
}

struct table_reader {
    const uint8_t *at, *end;
};
#define LEFT(r) ((uint64_t)((r)->end - (r)->at))

static bool get_number(struct table_reader *r, uint64_t max, uint64_t *ret)
{
    return varint_get(&r->at, r->end, ret) && *ret <= max;
}

static bool get_sv(struct table_reader *r, sv *ret)
{
    uint64_t n;
    if (!get_number(r, LEFT(r), &n) || n > LEFT(r))
        return false;
    *ret = sv_make(r->at, n);
    r->at += n;
    return true;
}

static bool get_range(struct table_reader *r, int64_t *ret_min, int64_t *ret_max)
{
    uint64_t min, span;
    if (!varint_get(&r->at, r->end, &min) || !varint_get(&r->at, r->end, &span))
        return false;
    *ret_min = unzigzag(min);
    *ret_max = (int64_t)((uint64_t)*ret_min + span);
    return *ret_max >= *ret_min;
}

/* One label set of the table, in `a`. Damage that the checksum let pass (a hostile file) must still give a valid set. */
static bool get_labels(struct table_reader *r, struct arena *a, struct labels *ret, bool *nomem)
{
    uint64_t n;
    if (!get_number(r, LEFT(r) / 2, &n))
        return false;
    struct label *at = arena_array(a, n ? n : 1, sizeof *at);
    if (!at) {
        *nomem = true;
        return false;
    }
    for (uint64_t i = 0; i < n; i++)
        if (!get_sv(r, &at[i].name) || !get_sv(r, &at[i].value) || !at[i].value.n ||
            (i && sv_cmp(at[i - 1].name, at[i].name) >= 0))
            return false;
    *ret = (struct labels){at, n};
    return true;
}

static bool streams_read(struct table_reader *r, struct part *p, struct registry *reg, struct err *e)
{
    SCOPED(arena_done) struct arena a;
    arena_init(&a, 0);
    struct tenant *t = NULL;
    bool nomem = false;
    for (uint32_t i = 0; i < p->n_streams; i++) {
        struct part_stream *ps = &p->streams[i];
        uint64_t fresh;
        sv name;
        struct labels l;
        arena_reset(&a);
        if (!get_number(r, 1, &fresh) || (fresh && !get_sv(r, &name)) || (!fresh && !t))
            return corrupt(e, "stream table");
        if (fresh && !registry_tenant(reg, name, &t, e))
            return false;
        if (!get_labels(r, &a, &l, &nomem))
            return nomem ? err_nomem(e) : corrupt(e, "stream table");
        if (!get_number(r, UINT64_MAX, &ps->rows) || !get_number(r, UINT64_MAX, &ps->bytes) ||
            !get_range(r, &ps->min_ts, &ps->max_ts))
            return corrupt(e, "stream table");
        if (!stream_get(t, l, STREAMS_STORED, &ps->st, e))
            return false;
    }
    return r->at == r->end || corrupt(e, "stream table");
}

static bool blocks_read(struct table_reader *r, struct part *p, uint64_t pages_end, struct err *e)
{
    uint64_t at = PART_HEAD, v, rows = 0;
    for (uint32_t i = 0; i < p->n_blocks; i++) {
        struct part_block *b = &p->blocks[i];
        b->offset = at;
        for (int c = 0; c < COL_COUNT; c++) {
            bool lies = p->columns ? c != COL_LINE : c <= COL_LINE || c == COL_META;
            if (!lies)
                continue;
            if (!get_number(r, UINT32_MAX, &v) || (v < PAGE_HEAD && !(p->columns && v == 0)) || v > pages_end - at)
                return corrupt(e, "block index");
            b->stored[c] = (uint32_t)v;
            at += v;
        }
        if (!get_number(r, PART_BLOCK_ROWS, &v) || !v)
            return corrupt(e, "block index");
        rows += b->rows = (uint32_t)v;
        if (!get_number(r, PAGE_MAX_RAW, &v))
            return corrupt(e, "block index");
        b->line_bytes = (uint32_t)v;
        if (!get_number(r, p->n_streams, &v) || v >= p->n_streams)
            return corrupt(e, "block index");
        b->first = (uint32_t)v;
        if (!get_number(r, p->n_streams, &v) || v >= p->n_streams - b->first)
            return corrupt(e, "block index");
        b->last = b->first + (uint32_t)v;
        if (!get_range(r, &b->min_ts, &b->max_ts))
            return corrupt(e, "block index");
    }
    return (r->at == r->end && at == pages_end && rows == p->rows) || corrupt(e, "block index");
}

static bool table_page(int fd, struct part *p, uint64_t at, uint32_t n, uint32_t rows, struct page_reader *pr,
                       struct buf *raw, struct err *e)
{
    SCOPED(buf_done) struct buf stored = {0};
    struct page_head h;
    if (!buf_reserve(&stored, n ? n : 1))
        return err_nomem(e);
    if (!io_pread_all(fd, stored.p, n, at, p->name, e))
        return false;
    stored.n = n;
    if (!page_read(pr, buf_view(&stored), PAGE_TABLE, raw, &h, e))
        return false;
    /* a stream takes at least 6 bytes of its table, a block 12 */
    return h.rows == rows && rows <= raw->n ? true : corrupt(e, "table size");
}

static bool tables_read(int fd, struct part *p, const struct footer *f, struct registry *reg, struct page_reader *pr,
                        struct err *e)
{
    SCOPED(buf_done) struct buf raw = {0};
    if (!table_page(fd, p, f->table_at, f->table_n, f->n_streams, pr, &raw, e))
        return err_ctx(e, "stream table at %llu, %u bytes", (unsigned long long)f->table_at, f->table_n);
    p->n_streams = f->n_streams;
    p->rows = f->rows;
    p->line_bytes = f->line_bytes;
    if (!(p->streams = calloc(p->n_streams ? p->n_streams : 1, sizeof *p->streams)))
        return err_nomem(e);
    struct table_reader r = {(const uint8_t *)raw.p, (const uint8_t *)raw.p + raw.n};
    if (!streams_read(&r, p, reg, e))
        return false;
    if (!table_page(fd, p, f->index_at, f->index_n, f->n_blocks, pr, &raw, e))
        return err_ctx(e, "block index at %llu, %u bytes", (unsigned long long)f->index_at, f->index_n);
    p->n_blocks = f->n_blocks;
    if (!(p->blocks = calloc(p->n_blocks ? p->n_blocks : 1, sizeof *p->blocks)))
        return err_nomem(e);
    r = (struct table_reader){(const uint8_t *)raw.p, (const uint8_t *)raw.p + raw.n};
    return blocks_read(&r, p, f->table_at, e);
}

DEFINE_SCOPED(struct page_reader *, page_reader_free)

bool part_damaged(const struct err *e)
{
    return e->code == ERR_CORRUPT || (e->code == ERR_IO && e->sys == EIO);
}

bool part_open(int dirfd, uint64_t id, struct registry *reg, struct part **ret, struct err *e)
{
    return part_open_named(dirfd, NULL, id, reg, ret, e);
}

bool part_open_named(int dirfd, const char *name, uint64_t id, struct registry *reg, struct part **ret, struct err *e)
{
    SCOPED(part_unref) struct part *p = calloc(1, sizeof *p);
    SCOPED(page_reader_free) struct page_reader *pr = page_reader_new();
    SCOPED(io_close) int fd = -1;
    struct footer f = {0};
    uint32_t features = 0;
    struct stat st;
    if (!p || !pr)
        return err_nomem(e);
    atomic_init(&p->refs, 1);
    p->id = id;
    p->dirfd = dirfd;
    part_name(id, p->name);
    if (name && (size_t)snprintf(p->name, sizeof p->name, "%s", name) >= sizeof p->name)
        return err_set(e, ERR_INVALID, "file name '%s' is too long", name);
    if (!io_openat(dirfd, p->name, O_RDONLY, 0, &fd, e))
        return false;
    if (fstat(fd, &st) != 0)
        return err_sys(e, "cannot stat '%s'", p->name);
    p->file_bytes = (uint64_t)st.st_size;
    if (!head_read(fd, p, &features, e))
        return err_ctx(e, "part '%s'", p->name);
    p->columns = features & PART_FEATURE_COLUMNS;
    if (!footer_read(fd, p, features, &f, e) || !tables_read(fd, p, &f, reg, pr, e))
        return err_ctx(e, "part '%s'", p->name);
    *ret = TAKE(p);
    return true;
}

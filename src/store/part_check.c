/* part_check.c - see part_check.h. A block whose pages are all as they were written can still be one that nobody can decode (a bug, a
 * hostile file): so both are looked at, and decoding only when the checksums are right. */
#include "store/part_check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include "store/part_format.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

bool part_about(int dirfd, const char *name, struct part_about *ret, struct err *e)
{
    SCOPED(io_close) int fd = -1;
    uint8_t h[PART_HEAD], t[PART_TRAILER], dup[8];
    struct stat st;
    *ret = (struct part_about){0};
    if (!io_openat(dirfd, name, O_RDONLY, 0, &fd, e) || !io_pread_all(fd, h, sizeof h, 0, name, e))
        return false;
    if (memcmp(h, PART_MAGIC, 8) != 0 || get_le32(h + 60) != crc32c(0, h, 60))
        return err_set(e, ERR_CORRUPT, "'%s' has no part's header, or a damaged one", name);
    ret->major = get_le16(h + 8);
    ret->minor = get_le16(h + 10);
    ret->features = get_le32(h + 12);
    memcpy(ret->creator, h + 32, 24);
    if (ret->major != PART_MAJOR || fstat(fd, &st) != 0 || st.st_size < PART_HEAD + PART_FOOTER + PART_TRAILER)
        return true;
    uint64_t size = (uint64_t)st.st_size;
    if (!io_pread_all(fd, t, sizeof t, size - sizeof t, name, NULL))
        return true;
    uint64_t n = get_le32(t);
    if (n >= PART_FOOTER && n <= size - PART_HEAD - PART_TRAILER && io_pread_all(fd, dup, sizeof dup, size - sizeof t - n + 96, name, NULL))
        ret->duplicates = get_le64(dup);
    return true;
}

const char *part_column_name(enum part_column c)
{
    static const char *const names[COL_COUNT] = {
        [COL_TIME] = "times", [COL_STREAM] = "streams", [COL_LENGTH] = "line lengths", [COL_LINE] = "lines",
        [COL_DICT] = "lines: dictionary", [COL_IDS] = "lines: templates of rows", [COL_SLOTS] = "lines: slots", [COL_TEXT] = "lines: text",
        [COL_KEYS] = "metadata: keys", [COL_KEY_IDS] = "metadata: ids", [COL_KEY_WIDE] = "metadata: wide values",
        [COL_SIEVE] = "content filter", [COL_META] = "metadata: no columns"};
    return names[c];
}

struct check {
    struct part *p;
    struct part_reader *r;
    int fd;
    struct buf page;
    struct part_sums *sums;
    part_damage_fn *damage;
    void *ctx;
};

/* The file's fault? Then it is told, and the look goes on. */
static bool tell(struct check *k, uint64_t offset, uint64_t n, const struct err *why, uint32_t block, const char *column, struct err *e)
{
    char what[sizeof why->msg + 100];
    if (!part_damaged(why) && why->code != ERR_UNSUPPORTED) {
        if (e)
            *e = *why;
        return false;
    }
    snprintf(what, sizeof what, "block %u%s%s: %s", block, *column ? ", " : "", column, why->msg);
    k->damage(k->ctx, offset, n, what);
    return true;
}

static bool check_page(struct check *k, uint32_t block, enum part_column c, uint64_t at, bool *sound, struct err *e)
{
    const struct part_block *b = &k->p->blocks[block];
    struct err why = {0};
    buf_reset(&k->page);
    if (!buf_reserve(&k->page, b->stored[c]))
        return err_nomem(e);
    if (io_pread_all(k->fd, k->page.p, b->stored[c], at, k->p->name, &why)) {
        if (page_intact(sv_make(k->page.p, b->stored[c]), b->rows))
            return true;
        (void)!err_set(&why, ERR_CORRUPT, "page fails its checksum");
    }
    *sound = false;
    return tell(k, at, b->stored[c], &why, block, part_column_name(c), e);
}

static bool decode(struct check *k, uint32_t block, uint32_t *ret_templates, uint32_t *ret_whole, struct err *e)
{
    struct part_asked any = {.name = SV("")}; /* opens the content filter */
    struct chunk *c;
    bool may;
    if (!part_open_block(k->r, block, &c, e))
        return false;
    bool ok = part_read_columns(k->r, block, c, BLOCK_TIMES | BLOCK_STREAMS | BLOCK_LENGTHS, e) && part_read_lines(k->r, block, c, e) &&
              part_count_templates(k->r, block, c, ret_templates, ret_whole, e) && part_read_metadata(k->r, block, c, e) &&
              part_may_pass(k->r, block, NULL, 0, &any, 1, &may, e);
    chunk_unref(c);
    return ok;
}

static bool check_block(struct check *k, uint32_t block, struct err *e)
{
    const struct part_block *b = &k->p->blocks[block];
    uint64_t at = b->offset;
    uint32_t templates = 0, whole = 0;
    struct err why = {0};
    bool sound = true;
    for (int c = 0; c < COL_COUNT; at += b->stored[c++]) {
        k->sums->bytes[c] += b->stored[c];
        if (b->stored[c] && !check_page(k, block, c, at, &sound, e))
            return false;
    }
    if (!sound)
        return true;
    if (!decode(k, block, &templates, &whole, &why))
        return tell(k, b->offset, at - b->offset, &why, block, "", e);
    k->sums->templates += templates;
    k->sums->whole_rows += whole;
    return true;
}

/* What the tables say of the same things. */
static void check_totals(struct check *k)
{
    const struct part *p = k->p;
    uint64_t rows = 0, stream_bytes = 0, block_bytes = 0;
    for (uint32_t i = 0; i < p->n_streams; i++) {
        rows += p->streams[i].rows;
        stream_bytes += p->streams[i].bytes;
    }
    for (uint32_t i = 0; i < p->n_blocks; i++)
        block_bytes += p->blocks[i].line_bytes;
    if (rows != p->rows || stream_bytes != p->line_bytes || block_bytes != p->line_bytes)
        k->damage(k->ctx, 0, p->file_bytes, "stream table, block index and footer differ in their rows or bytes of lines");
}

bool part_check(struct part *p, struct part_sums *sums, part_damage_fn *damage, void *ctx, struct err *e)
{
    struct check k = {.p = p, .fd = -1, .sums = sums, .damage = damage, .ctx = ctx};
    uint64_t pages = 0, footer_at = p->tables_end;
    bool ok = part_reader_open(p, &k.r, e) && io_openat(p->dirfd, p->name, O_RDONLY, 0, &k.fd, e);
    sums->parts += ok;
    for (uint32_t i = 0; ok && i < p->n_blocks; i++) {
        ok = check_block(&k, i, e);
        for (int c = 0; c < COL_COUNT; c++)
            pages += p->blocks[i].stored[c];
    }
    if (ok) {
        check_totals(&k);
        sums->file_bytes += p->file_bytes;
        sums->rows += p->rows;
        sums->line_bytes += p->line_bytes;
        sums->streams += p->n_streams;
        sums->blocks += p->n_blocks;
        sums->tables += footer_at - PART_HEAD - pages;
        sums->ends += p->file_bytes - footer_at + PART_HEAD;
    }
    part_reader_close(k.r);
    io_close(k.fd);
    buf_done(&k.page);
    return ok;
}

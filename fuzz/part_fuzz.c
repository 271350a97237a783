/* A part file with any content. Checksums are put right first, so that what they protect is reached: the reader must stay
 * within its bounds on its own. The first byte chooses: a whole file, or the raw bytes of one metadata page. */
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include "store/part.h"
#include "store/part_format.h"
#include "store/part_meta.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int dirfd_of_run(void)
{
    static int fd = -1;
    static char dir[] = "/tmp/weir-part-fuzz-XXXXXX";
    struct err e;
    if (fd < 0 && mkdtemp(dir) && !io_open_dir(dir, &fd, &e))
        abort();
    return fd;
}

static void seal_pages(char *p, uint64_t from, uint64_t to)
{
    while (to - from >= PAGE_HEAD) {
        uint64_t n = PAGE_HEAD + (uint64_t)get_le32(p + from + 12);
        if (n > to - from)
            return;
        page_seal(p + from, n);
        from += n;
    }
}

static void repair(char *p, size_t n)
{
    if (n < PART_HEAD + PART_FOOTER + PART_TRAILER)
        return;
    char *t = p + n - PART_TRAILER;
    memcpy(p, PART_MAGIC, 8);
    put_le32(p + 60, crc32c(0, p, 60));
    memcpy(t + 24, PART_MAGIC, 8);
    put_le64(t + 16, n);
    uint32_t footer_n = get_le32(t);
    if (footer_n > n - PART_HEAD - PART_TRAILER)
        return;
    uint64_t footer_at = n - PART_TRAILER - footer_n;
    seal_pages(p, PART_HEAD, footer_at);
    put_le32(t + 4, crc32c(crc32c(crc32c(0, p + footer_at, footer_n), t, 4), t + 8, PART_TRAILER - 8));
}

static void read_all(struct part *p)
{
    struct part_reader *r;
    struct err e;
    if (!part_reader_open(p, &r, &e))
        return;
    for (uint32_t b = 0; b < p->n_blocks; b++) {
        struct chunk *c;
        if (!part_read_block(r, b, &c, &e))
            continue;
        bool lines = part_read_lines(r, b, c, &e), meta = part_read_metadata(r, b, c, &e);
        size_t sum = 0;
        for (uint32_t i = 0; i < c->n; i++) {
            uint32_t k = 0;
            const uint32_t *ids = meta ? chunk_meta(c, i, &k) : NULL;
            sum += lines && chunk_line(c, i).n ? (size_t)chunk_line(c, i).p[0] : 0;
            while (k-- > 0)
                sum += chunk_pair(c, ids[k]).value.n;
            sum += c->streams[c->stream[i]].st->labels.n;
        }
        if (sum == SIZE_MAX) /* so that all of it is read */
            abort();
        chunk_unref(c);
    }
    part_reader_close(r);
}

static void whole_file(const uint8_t *data, size_t n)
{
    struct err e;
    struct part *p;
    struct registry *reg;
    char name[32], *copy = malloc(n ? n : 1);
    int fd, dir = dirfd_of_run();
    if (!copy || !registry_new(1 << 30, &reg, &e))
        abort();
    memcpy(copy, data, n);
    repair(copy, n);
    part_name(1, name);
    if (!io_openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, &e) || !io_write_all(fd, sv_make(copy, n), name, &e))
        abort();
    io_close(fd);
    if (part_open(dir, 1, reg, &p, &e)) {
        read_all(p);
        part_unref(p);
    }
    if (!io_unlinkat(dir, name, &e))
        abort();
    registry_free(reg);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n)
        return 0;
    if (data[0] & 1) {
        whole_file(data + 1, n - 1);
        return 0;
    }
    struct err e;
    struct chunk *c = calloc(1, sizeof *c);
    if (!c)
        return 0;
    atomic_init(&c->refs, 1);
    c->n = n > 1 ? data[1] : 0;
    if (meta_read(sv_make(data + MIN(n, (size_t)2), n > 2 ? n - 2 : 0), c, &e))
        for (uint32_t i = 0, k; i < c->n; i++) {
            const uint32_t *ids = chunk_meta(c, i, &k);
            while (k-- > 0)
                if (chunk_pair(c, ids[k]).name.n > n)
                    abort();
        }
    chunk_unref(c);
    return 0;
}

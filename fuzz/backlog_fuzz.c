/* backlog_fuzz.c - hostile bytes as a whole backlog: a ring, and a segment in its spool. Looked at, adopted, all of it taken and
 * settled, closed; then it is gone, or what is left is adopted again.
 * First byte: 1 the ring's header is put right, 2 the segment's, 4 its frames, 8 their payloads begin as a backlog's frames, 16 there is
 * no spool, 32 the adopter stops after a batch and a second one goes on, 64 it spills first. The next two: bytes of the ring's part. */
#include "backlog/peek.h"
#include "base/endian.h"
#include "base/io.h"
#include "spool/segment.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DATA = 64 << 10, DICT = 4096, ALL = RING_PAGE + DICT + DATA };
#define NAME "fuzz-1-1"

static char base[64];

static void remove_files(const char *sub)
{
    char dir[200], path[500];
    snprintf(dir, sizeof dir, "%s%s", base, sub);
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (entry->d_type != DT_DIR)
            unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}
static void remove_all(void)
{
    remove_files("/" NAME "/spool");
    remove_files("/" NAME);
    remove_files("");
}

static void put_file(const char *name, sv bytes, size_t size)
{
    char path[200];
    int fd;
    snprintf(path, sizeof path, "%s/" NAME "/%s", base, name);
    ASSERT(io_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, NULL));
    ASSERT(io_write_all(fd, bytes, path, NULL) && ftruncate(fd, (off_t)size) == 0);
    io_close(fd);
}

/* The input: 64 bytes of the header's first line, 24 of positions (head, nothing, tail), then dictionary (1 KiB at most) and data. */
static void make_ring(const uint8_t *in, size_t n, bool right)
{
    enum { LINE = 64, POSITIONS = 24, ENTRIES = 1024 };
    uint8_t *map = calloc(1, ALL), all[LINE + POSITIONS] = {0};
    struct ring_head *h = (struct ring_head *)(void *)map;
    struct ring r;
    ASSERT(map);
    if (n)
        memcpy(all, in, MIN(n, sizeof all));
    uint64_t head = get_le64(all + LINE), tail = get_le64(all + LINE + 16);
    if (right) {
        ring_init(&r, map, DATA, DICT, 1);
        uint64_t used = ((head & ~RING_CLOSED) - tail) % (DATA + RING_ALIGN);
        tail = tail % (1ull << 40) & ~(uint64_t)(RING_ALIGN - 1);
        head = tail + (used & ~(uint64_t)(RING_ALIGN - 1));
    } else {
        memcpy(map, all, LINE);
    }
    atomic_store(&h->head, head);
    atomic_store(&h->tail, tail);
    size_t at = MIN(n, sizeof all), dict = MIN(n - at, (size_t)ENTRIES), rest = MIN(n - at - dict, (size_t)DATA);
    if (dict)
        memcpy(map + RING_PAGE, in + at, dict);
    if (rest)
        memcpy(map + RING_PAGE + DICT, in + at + dict, rest);
    put_file("ring", sv_make(map, ALL), ALL);
    free(map);
}

static void make_spool(const uint8_t *in, size_t n, unsigned mode)
{
    uint8_t *p = malloc(n + SEG_HEADER_BYTES);
    char path[200];
    ASSERT(p);
    if (n)
        memcpy(p, in, n);
    if (mode & 2 && n >= SEG_HEADER_BYTES) {
        struct seg_header h = {.no = 1, .first_seq = 1, .cursor = get_le64(p + 48) % 8};
        seg_header_put((char *)p, &h);
    }
    uint64_t seq = 1;
    for (size_t off = SEG_HEADER_BYTES; mode & 4 && off < n && n - off >= SEG_FRAME_BYTES; seq++) {
        uint32_t len = get_le32(p + off + 4) % 2048;
        if (len > n - off - SEG_FRAME_BYTES)
            break;
        if (mode & 8 && len > 16) {
            put_le32(p + off + 16, get_le32(p + off + 16) % 100);
            put_le64(p + off + 24, get_le64(p + off + 24) % (1ull << 40) & ~(uint64_t)(RING_ALIGN - 1));
        }
        seg_frame_put((char *)p + off, seg_seed(1), seq, len);
        off += SEG_FRAME_BYTES + len;
    }
    snprintf(path, sizeof path, "%s/" NAME "/spool", base);
    ASSERT(io_mkdir_all(path, NULL));
    put_file("spool/00000000000000000001.seg", sv_make(p, n), n);
    free(p);
}

/* Takes up to `most` batches. Each is taken twice: the same until it is settled. */
static uint64_t take(struct backlog *bl, uint64_t most)
{
    sv request, again;
    uint32_t n, m;
    uint64_t batches = 0;
    while (batches < most && backlog_take(bl, &request, &n, NULL) == 1) {
        ASSERT(backlog_take(bl, &again, &m, NULL) == 1 && again.p == request.p && again.n == request.n && m == n);
        backlog_settle(bl);
        batches++;
        ASSERT(batches < 1 << 16); /* it comes to an end */
    }
    return batches;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > 1 << 16)
        return 0;
    unsigned mode = data[0];
    size_t n_ring = MIN((size_t)get_le16(data + 1), size - 3);
    if (!*base) {
        snprintf(base, sizeof base, "%s/weir-fuzz-backlog-%d", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", getpid());
        atexit(remove_all);
    }
    char path[200];
    remove_all();
    snprintf(path, sizeof path, "%s/" NAME, base);
    ASSERT(io_mkdir_all(path, NULL));
    make_ring(data + 3, n_ring, mode & 1);
    if (!(mode & 16))
        make_spool(data + 3 + n_ring, size - 3 - n_ring, mode);

    struct backlog_config cfg = {.base = base, .batch_records = 16, .batch_bytes = 4096, .spill_max_bytes = 1 << 20};
    struct backlog_peek look;
    struct backlog_stats st;
    struct backlog *bl;
    (void)!backlog_peek(base, NAME, &look, NULL);
    if (!backlog_adopt(&cfg, NAME, &bl, NULL))
        return 0;
    if (mode & 64)
        (void)!backlog_spill(bl, true, NULL);
    take(bl, mode & 32 ? 1 : UINT64_MAX);
    backlog_stats(bl, &st);
    int64_t left = backlog_close(bl);
    if (left != 0 && backlog_adopt(&cfg, NAME, &bl, NULL)) {
        take(bl, UINT64_MAX);
        left = backlog_close(bl);
    }
    ASSERT(left != 0 || access(path, F_OK) != 0);
    return 0;
}

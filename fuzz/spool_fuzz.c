/* spool_fuzz.c - hostile bytes in a spool's directory: scanned as a segment, then opened, read, appended to, reopened.
 * The first byte says what is put right before, so that the fuzzer gets past the checksums: 1 the header of the segment,
 * 2 its frames, 4 the bytes are also the next segment, 8 they are the cursor file too. */
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include "spool/segment.h"
#include "spool/spool.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];
static void remove_dir(void)
{
    char path[128];
    for (int i = 0; i < 8; i++) {
        snprintf(path, sizeof path, "%s/%020d.seg", dir, i);
        unlink(path);
    }
    const char *const others[] = {"cursor", "cursor.tmp", "LOCK"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, others[i]);
        unlink(path);
    }
    rmdir(dir);
}

static void put_file(const char *name, const uint8_t *p, size_t n)
{
    char path[128];
    int fd;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    ASSERT(io_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, NULL));
    ASSERT(io_write_all(fd, sv_make(p, n), path, NULL));
    io_close(fd);
}

static void repair(uint8_t *p, size_t n, uint64_t no, bool frames)
{
    if (n < SEG_HEADER_BYTES)
        return;
    struct seg_header h = {.no = no, .first_seq = get_le64(p + 24), .prev_no = get_le64(p + 32),
                           .prev_end_seq = get_le64(p + 40), .cursor = get_le64(p + 48)};
    seg_header_put((char *)p, &h);
    for (size_t off = SEG_HEADER_BYTES; frames && n - off >= SEG_FRAME_BYTES;) {
        uint32_t len = get_le32(p + off + 4);
        if (len > n - off - SEG_FRAME_BYTES)
            break;
        seg_frame_put((char *)p + off, seg_seed(no), get_le64(p + off + 8), len);
        off += SEG_FRAME_BYTES + len;
    }
}

static void on_frame(void *ctx, uint64_t seq, sv frame)
{
    *(uint64_t *)ctx += frame.n;
}
static void on_bad(void *ctx, size_t offset, size_t n, const char *why)
{
    *(uint64_t *)ctx += n;
}

static uint64_t read_all(struct spool *sp)
{
    struct spool_reader *rd;
    uint64_t n = 0, seq, last = 0;
    sv frame;
    ASSERT(spool_reader_open(sp, 0, &rd, NULL));
    while (spool_read(rd, &frame, &seq, NULL) == 1) {
        ASSERT(seq > last && seq < spool_next_seq(sp));
        last = seq;
        n++;
    }
    spool_reader_close(rd);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16)
        return 0;
    uint8_t mode = data[0], *bytes = malloc(size);
    size_t n = size - 1;
    ASSERT(bytes);
    memcpy(bytes, data + 1, n);
    if (!*dir) {
        snprintf(dir, sizeof dir, "%s/weir-fuzz-spool-%d", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", getpid());
        atexit(remove_dir);
    }
    remove_dir();
    ASSERT(io_mkdir_all(dir, NULL));
    if (mode & 8)
        put_file("cursor", bytes, n);
    if (mode & 4) {
        repair(bytes, n, 2, mode & 2);
        put_file("00000000000000000002.seg", bytes, n);
    }
    if (mode & 1)
        repair(bytes, n, 1, mode & 2);
    put_file("00000000000000000001.seg", bytes, n);
    uint64_t sum = 0;
    if (!spool_scan_segment(sv_make(bytes, n), on_frame, on_bad, &sum, NULL))
        sum = 0;
    ASSERT(sum <= n);

    struct spool_config c = {.dir = dir, .sync = SPOOL_SYNC_OFF};
    struct spool *sp;
    if (spool_open(&c, &sp, NULL, NULL)) {
        uint64_t frames = read_all(sp);
        ASSERT(spool_append(sp, SV("appended"), NULL, NULL));
        ASSERT(read_all(sp) == frames + 1);
        spool_close(sp);
        ASSERT(spool_open(&c, &sp, NULL, NULL));
        ASSERT(read_all(sp) >= 1 && read_all(sp) <= frames + 1);
        spool_close(sp);
    }
    free(bytes);
    return 0;
}

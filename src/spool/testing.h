/* testing.h - what the spool's tests share: frames whose content follows from their number, so that any frame read back
 * can be checked without remembering what was written. */
#pragma once
#include "base/io.h"
#include "base/test.h"
#include "spool/segment.h"
#include "spool/spool.h"
#include <fcntl.h>
#include <unistd.h>

#define CONTENT_MAX 70000

static UNUSED sv content_of(uint64_t seq, size_t scale, char buf[static CONTENT_MAX])
{
    size_t n = (size_t)(seq * 37 % scale);
    ASSERT(n <= CONTENT_MAX);
    for (size_t i = 0; i < n; i++)
        buf[i] = (char)(seq * 131 + i * 7 + 1);
    return (sv){buf, n};
}

/* A configuration for <test directory>/<name>. The path lives until the fourth call after. */
static UNUSED struct spool_config config_in(const char *name)
{
    static char paths[4][200];
    static int turn;
    char *path = paths[turn++ & 3];
    snprintf(path, sizeof paths[0], "%s/%s", test_dir(), name);
    return (struct spool_config){.dir = path};
}

static UNUSED bool append_n(struct spool *sp, uint64_t n, size_t scale, struct err *e)
{
    static char buf[CONTENT_MAX];
    for (uint64_t i = 0; i < n; i++) {
        uint64_t want = spool_next_seq(sp), seq = 0;
        if (!spool_append(sp, content_of(want, scale, buf), &seq, e))
            return false;
        CHECK_EQ(seq, want);
    }
    return true;
}

/* Reads all from `from`: ascending, each frame with the content of its number. Returns how many. */
static UNUSED uint64_t read_all(struct spool *sp, uint64_t from, size_t scale, uint64_t *ret_last)
{
    static char buf[CONTENT_MAX];
    struct err e = {0};
    struct spool_reader *rd;
    uint64_t n = 0, seq, last = from ? from - 1 : 0;
    sv frame;
    int got;
    if (!spool_reader_open(sp, from, &rd, &e))
        return 0;
    while ((got = spool_read(rd, &frame, &seq, &e)) == 1) {
        CHECK(seq > last);
        last = seq;
        CHECK_SV(frame, content_of(seq, scale, buf));
        n++;
    }
    CHECK_OK(got == 0, &e);
    spool_reader_close(rd);
    if (ret_last)
        *ret_last = last;
    return n;
}

/* Files by hand, for damage. `name` is below the test directory. */
static UNUSED void file_put(const char *name, sv bytes)
{
    int dirfd, fd;
    char dir[220];
    snprintf(dir, sizeof dir, "%s/%s", test_dir(), name);
    *strrchr(dir, '/') = 0;
    ASSERT(io_mkdir_all(dir, NULL) && io_open_dir(test_dir(), &dirfd, NULL));
    ASSERT(io_openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, NULL) &&
           io_write_all(fd, bytes, "test file", NULL));
    io_close(fd);
    io_close(dirfd);
}

static UNUSED struct buf file_get(const char *name)
{
    struct buf b = {0};
    int dirfd;
    ASSERT(io_open_dir(test_dir(), &dirfd, NULL) && io_read_file(dirfd, name, &b, NULL));
    io_close(dirfd);
    return b;
}

static UNUSED void file_remove(const char *name)
{
    int dirfd;
    ASSERT(io_open_dir(test_dir(), &dirfd, NULL) && io_unlinkat(dirfd, name, NULL));
    io_close(dirfd);
}

/* One frame, as it stands in segment `no`, appended to `b`. */
static UNUSED void put_frame(struct buf *b, uint64_t no, uint64_t seq, sv payload)
{
    char *at = buf_reserve(b, SEG_FRAME_BYTES + payload.n);
    if (payload.n)
        memcpy(at + SEG_FRAME_BYTES, payload.p, payload.n);
    seg_frame_put(at, seg_seed(no), seq, payload.n);
    b->n += SEG_FRAME_BYTES + payload.n;
}

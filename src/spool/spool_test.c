/* spool_test.c - round trips, restarts, caps, faults at every call, damage in every byte, many threads, kill -9. */
#include "base/test.h"
#include "base/io.h"
#include "base/vec.h"
#include "spool/segment.h"
#include "spool/spool.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static struct spool_config config(bool own_thread)
{
    static char dir[200];
    snprintf(dir, sizeof dir, "%s/spool", test_dir());
    return (struct spool_config){.dir = dir, .own_thread = own_thread};
}

/* Frame `seq` has a content that tells it from all others: length and bytes follow from the number. */
static sv content_of(uint64_t seq, size_t scale, char *buf, size_t cap)
{
    size_t n = (size_t)(seq * 37 % scale);
    ASSERT(n <= cap);
    for (size_t i = 0; i < n; i++)
        buf[i] = (char)(seq * 131 + i * 7);
    return (sv){buf, n};
}

static bool append_n(struct spool *sp, uint64_t n, size_t scale, struct err *e)
{
    static char buf[70000];
    for (uint64_t i = 0; i < n; i++) {
        uint64_t want = spool_next_seq(sp), seq;
        if (!spool_append(sp, content_of(want, scale, buf, sizeof buf), &seq, e))
            return false;
        CHECK_EQ(seq, want);
    }
    return true;
}

/* Reads all from `from`; each frame must have the content of its number. Returns how many; *ret_last the last number. */
static uint64_t read_all(struct spool *sp, uint64_t from, size_t scale, uint64_t *ret_last)
{
    static char buf[70000];
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
        CHECK_SV(frame, content_of(seq, scale, buf, sizeof buf));
        n++;
    }
    CHECK_OK(got == 0, &e);
    spool_reader_close(rd);
    if (ret_last)
        *ret_last = last;
    return n;
}

TEST(round_trip_and_restart)
{
    for (int own = 0; own < 2; own++) {
        struct spool_config c = config(own);
        struct err e = {0};
        struct spool *sp;
        struct spool_recovery rec;
        uint64_t before = own ? 60 : 0;
        REQUIRE_OK(spool_open(&c, &sp, &rec, &e), &e);
        CHECK_EQ(rec.frames, before);
        CHECK_EQ(spool_next_seq(sp), before + 1);
        CHECK_EQ(read_all(sp, 1, 500, NULL), before);
        REQUIRE_OK(append_n(sp, 30, 500, &e), &e);
        CHECK_EQ(read_all(sp, 1, 500, NULL), before + 30);
        spool_close(sp);
        REQUIRE_OK(spool_open(&c, &sp, &rec, &e), &e);
        CHECK_EQ(rec.frames, before + 30);
        CHECK_EQ(rec.torn_bytes + rec.bad_bytes + rec.bad_frames + rec.missing_segments, 0);
        REQUIRE_OK(append_n(sp, 30, 500, &e), &e);
        CHECK_EQ(read_all(sp, 1, 500, NULL), before + 60);
        CHECK_EQ(read_all(sp, before + 20, 500, NULL), 41);
        spool_close(sp);
    }
}

TEST(second_opener_is_told_that_it_is_in_use)
{
    struct spool_config c = config(false);
    struct err e = {0};
    struct spool *sp, *other;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    CHECK(!spool_open(&c, &other, NULL, &e));
    CHECK_ERR(&e, ERR_UNAVAILABLE, "in use");
    spool_close(sp);
}

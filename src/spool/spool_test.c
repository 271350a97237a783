/* spool_test.c - what the spool promises while nothing fails: order, restarts, caps, cursor, threads. */
#include "spool/testing.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

TEST(round_trip_and_restart)
{
    for (int own = 0; own < 2; own++) {
        struct spool_config c = config_in("spool");
        struct err e = {0};
        struct spool *sp;
        struct spool_recovery rec;
        uint64_t before = own ? 60 : 0;
        c.own_thread = own;
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
    struct spool_config c = config_in("spool");
    struct err e = {0};
    struct spool *sp, *other;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    CHECK(!spool_open(&c, &other, NULL, &e));
    CHECK_ERR(&e, ERR_UNAVAILABLE, "in use");
    spool_close(sp);
}

TEST(many_segments_and_a_reader_that_follows)
{
    static char buf[CONTENT_MAX];
    struct spool_config c = config_in("spool");
    c.segment_bytes = 4096;
    c.sync = SPOOL_SYNC_OFF;
    struct err e = {0};
    struct spool *sp;
    struct spool_reader *rd;
    struct spool_stats st;
    sv frame;
    uint64_t seq, n = 0;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    REQUIRE_OK(spool_reader_open(sp, 0, &rd, &e), &e);
    CHECK_EQ(spool_read(rd, &frame, &seq, &e), 0);
    for (int i = 0; i < 50; i++) {
        REQUIRE_OK(append_n(sp, 7, 1500, &e), &e);
        while (spool_read(rd, &frame, &seq, &e) == 1) {
            CHECK_EQ(seq, ++n);
            CHECK_SV(frame, content_of(seq, 1500, buf));
        }
        CHECK_EQ(n, (i + 1) * 7);
    }
    spool_stats(sp, &st);
    CHECK(st.segments > 50);
    CHECK_EQ(st.frames, 350);
    CHECK_EQ(st.appended, 350);
    CHECK_EQ(st.failures, 0);
    spool_reader_close(rd);
    spool_close(sp);
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    CHECK_EQ(read_all(sp, 100, 1500, NULL), 251);
    spool_close(sp);
}

TEST(frames_of_every_size)
{
    struct spool_config c = config_in("spool");
    c.segment_bytes = 4096;
    c.max_frame_bytes = 3 << 20;
    struct err e = {0};
    struct spool *sp;
    struct spool_reader *rd;
    sv frame;
    uint64_t seq;
    static char big[(3 << 20) + 1];
    const size_t sizes[] = {0, 1, 4096, 0, sizeof big - 1, 70000, 262144, 1};
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 13);
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        REQUIRE_OK(spool_append(sp, (sv){big, sizes[i]}, NULL, &e), &e);
    CHECK(!spool_append(sp, (sv){big, sizeof big}, NULL, &e));
    CHECK_ERR(&e, ERR_LIMIT, "max_frame_bytes");
    for (int again = 0; again < 2; again++) {
        REQUIRE_OK(spool_reader_open(sp, 1, &rd, &e), &e);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            CHECK_EQ(spool_read(rd, &frame, &seq, &e), 1);
            CHECK_EQ(seq, i + 1);
            CHECK(sv_eq(frame, (sv){big, sizes[i]}));
        }
        CHECK_EQ(spool_read(rd, &frame, &seq, &e), 0);
        spool_reader_close(rd);
        spool_close(sp);
        REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    }
    spool_close(sp);
}

TEST(a_smaller_frame_limit_loses_no_stored_frame)
{
    struct spool_config c = config_in("spool");
    struct spool_recovery rec;
    struct err e = {0};
    struct spool *sp;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    REQUIRE_OK(append_n(sp, 136, 5000, &e), &e); /* the next two have 69 and 106 bytes */
    spool_close(sp);
    c.max_frame_bytes = 110;
    for (uint64_t again = 0; again < 2; again++) { /* as frames of the last segment, and of an earlier one */
        REQUIRE_OK(spool_open(&c, &sp, &rec, &e), &e);
        CHECK_EQ(rec.torn_bytes + rec.bad_bytes, 0);
        CHECK_EQ(read_all(sp, 1, 5000, NULL), 136 + again);
        REQUIRE_OK(append_n(sp, 1, 5000, &e), &e);
        spool_close(sp);
    }
}

TEST(consumed_segments_go_and_the_cursor_stays)
{
    for (int own = 0; own < 2; own++) {
        struct spool_config c = config_in(own ? "own" : "spool");
        c.segment_bytes = 4096;
        c.own_thread = own;
        struct err e = {0};
        struct spool *sp;
        struct spool_stats st;
        struct spool_recovery rec;
        REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
        CHECK_EQ(spool_first_seq(sp), 1);
        REQUIRE_OK(append_n(sp, 100, 1500, &e), &e);
        spool_stats(sp, &st);
        uint64_t segments = st.segments;
        CHECK(segments > 10);
        REQUIRE_OK(spool_consume(sp, 51, &e), &e);
        REQUIRE_OK(spool_consume(sp, 40, &e), &e); /* never goes back */
        CHECK_EQ(spool_first_seq(sp), 51);
        CHECK_SOON((spool_stats(sp, &st), st.segments < segments * 2 / 3), 2000);
        CHECK_EQ(st.frames, 50);
        CHECK(read_all(sp, 1, 1500, NULL) >= 50);
        CHECK(!spool_consume(sp, 102, &e));
        CHECK_ERR(&e, ERR_INVALID, "not appended");
        spool_close(sp);

        REQUIRE_OK(spool_open(&c, &sp, &rec, &e), &e);
        CHECK_EQ(spool_first_seq(sp), 51);
        CHECK_EQ(rec.frames, 50);
        CHECK_EQ(rec.missing_segments, 0);
        REQUIRE_OK(spool_consume(sp, 101, &e), &e);
        CHECK_SOON((spool_stats(sp, &st), st.segments == 1), 2000); /* the last one carries the numbering */
        spool_close(sp);
        REQUIRE_OK(spool_open(&c, &sp, &rec, &e), &e);
        CHECK_EQ(rec.frames, 0);
        CHECK_EQ(spool_next_seq(sp), 101);
        CHECK_EQ(read_all(sp, 101, 1500, NULL), 0);
        REQUIRE_OK(append_n(sp, 1, 1500, &e), &e);
        CHECK_EQ(read_all(sp, spool_first_seq(sp), 1500, NULL), 1);
        spool_close(sp);
    }
}

TEST(a_reader_passes_over_what_is_trimmed_under_it)
{
    struct spool_config c = config_in("spool");
    c.segment_bytes = 4096;
    struct err e = {0};
    struct spool *sp;
    struct spool_reader *rd;
    sv frame;
    uint64_t seq, last = 0;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    REQUIRE_OK(append_n(sp, 60, 1500, &e), &e);
    REQUIRE_OK(spool_reader_open(sp, 1, &rd, &e), &e);
    CHECK_EQ(spool_read(rd, &frame, &seq, &e), 1);
    REQUIRE_OK(spool_consume(sp, 50, &e), &e);
    while (spool_read(rd, &frame, &seq, &e) == 1) {
        CHECK(last ? seq == last + 1 : seq > 40 && seq <= 50);
        last = seq;
    }
    CHECK_EQ(last, 60);
    spool_reader_close(rd);
    spool_close(sp);
}

TEST(numbers_start_where_the_user_wants_at_least)
{
    struct spool_config c = config_in("spool");
    struct err e = {0};
    struct spool *sp;
    c.next_seq_min = 1000;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    CHECK_EQ(spool_next_seq(sp), 1000);
    REQUIRE_OK(append_n(sp, 2, 100, &e), &e);
    spool_close(sp);
    c.next_seq_min = 5;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    CHECK_EQ(spool_next_seq(sp), 1002);
    spool_close(sp);
    c.next_seq_min = 5000;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    REQUIRE_OK(append_n(sp, 2, 100, &e), &e);
    spool_close(sp);
    struct spool_recovery rec;
    REQUIRE_OK(spool_open(&c, &sp, &rec, &e), &e);
    CHECK_EQ(rec.frames, 4);
    CHECK_EQ(rec.bad_frames + rec.missing_segments, 0);
    CHECK_EQ(read_all(sp, 1, 100, NULL), 4);
    spool_close(sp);
}

/* ---- caps ---- */

static uint64_t bytes_on_disk(struct spool *sp)
{
    struct spool_stats st;
    spool_stats(sp, &st);
    return st.bytes;
}

TEST(a_full_spool_refuses_until_something_is_consumed)
{
    for (int own = 0; own < 2; own++) {
        struct spool_config c = config_in(own ? "own" : "spool");
        c.max_bytes = 40000;
        c.own_thread = own;
        struct err e = {0};
        struct spool *sp;
        sv frame = {memset((char[1000]){0}, 'x', 1000), 1000};
        uint64_t seq = 0, n = 0;
        REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
        while (spool_append(sp, frame, &seq, &e)) {
            n++;
            CHECK(bytes_on_disk(sp) <= c.max_bytes);
        }
        CHECK_ERR(&e, ERR_FULL, "max_bytes");
        CHECK(n >= 36);
        CHECK_EQ(seq, n);
        REQUIRE_OK(spool_consume(sp, n / 2, &e), &e);
        CHECK_SOON(bytes_on_disk(sp) < c.max_bytes - 2000, 2000);
        CHECK_OK(spool_append(sp, frame, &seq, &e), &e);
        CHECK_EQ(seq, n + 1); /* the refused one used no number */
        static char big[39000];
        CHECK(!spool_append(sp, (sv){big, sizeof big}, &seq, &e));
        CHECK_ERR(&e, ERR_FULL, "max_bytes");
        REQUIRE_OK(spool_consume(sp, spool_next_seq(sp), &e), &e);
        CHECK_OK(spool_append(sp, (sv){big, sizeof big}, &seq, &e), &e); /* what is consumed goes when it is in the way */
        CHECK(bytes_on_disk(sp) <= c.max_bytes);
        CHECK(!spool_append(sp, (sv){big, sizeof big}, &seq, &e));
        REQUIRE_OK(spool_consume(sp, spool_next_seq(sp), &e), &e);
        CHECK_OK(spool_append(sp, (sv){big, sizeof big}, &seq, &e), &e);
        static char above[40000];
        CHECK(!spool_append(sp, (sv){above, sizeof above}, &seq, &e));
        CHECK_ERR(&e, ERR_LIMIT, "max_bytes");
        spool_close(sp);
    }
}

TEST(a_full_spool_drops_the_oldest_and_counts)
{
    struct spool_config c = config_in("spool");
    c.max_bytes = 65536;
    c.when_full = SPOOL_DROP_OLDEST;
    c.sync = SPOOL_SYNC_OFF;
    struct err e = {0};
    struct spool *sp;
    struct spool_stats st;
    struct spool_recovery rec;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    for (int i = 0; i < 500; i++) {
        REQUIRE_OK(append_n(sp, 1, 2000, &e), &e);
        CHECK(bytes_on_disk(sp) <= c.max_bytes);
    }
    spool_stats(sp, &st);
    CHECK_EQ(st.frames + st.dropped_frames, 500);
    CHECK(st.dropped_frames > 300);
    CHECK(st.bytes > c.max_bytes * 3 / 4); /* whole segments go, but not many at once */
    CHECK_EQ(spool_first_seq(sp), st.dropped_frames + 1);
    CHECK_EQ(read_all(sp, 1, 2000, NULL), st.frames);
    REQUIRE_OK(spool_append(sp, (sv){(char[65000]){0}, 65000}, NULL, &e), &e); /* takes it all */
    CHECK(bytes_on_disk(sp) <= c.max_bytes);
    spool_stats(sp, &st);
    CHECK_EQ(st.frames, 1);
    CHECK_EQ(st.dropped_frames, 500);
    spool_close(sp);
    REQUIRE_OK(spool_open(&c, &sp, &rec, &e), &e);
    CHECK_EQ(rec.frames, 1);
    CHECK_EQ(rec.missing_segments, 0);
    spool_close(sp);
}

/* ---- the committer thread ---- */

struct tally {
    _Atomic uint64_t done, failed, last_seq, out_of_order, readable;
};
static void tally_done(void *ctx, uint64_t seq, const struct err *e)
{
    struct tally *t = ctx;
    atomic_fetch_add(e ? &t->failed : &t->done, 1);
    if (seq <= atomic_exchange(&t->last_seq, seq))
        atomic_fetch_add(&t->out_of_order, 1);
}
static void tally_readable(void *ctx)
{
    atomic_fetch_add(&((struct tally *)ctx)->readable, 1);
}

TEST(async_appends_call_back_in_order_and_share_syncs)
{
    struct spool_config c = config_in("spool");
    c.segment_bytes = 8192;
    struct err e = {0};
    struct spool *sp;
    struct tally t = {0};
    struct spool_stats st;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    CHECK(!spool_append_async(sp, &SV("x"), 1, tally_done, &t, &e));
    CHECK_ERR(&e, ERR_INVALID, "no committer thread");
    spool_close(sp);
    c.own_thread = true;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    spool_on_readable(sp, tally_readable, &t);
    static char buf[CONTENT_MAX];
    for (uint64_t i = 1; i <= 2000; i++) {
        sv whole = content_of(i, 90, buf);
        sv parts[3] = {sv_sub(whole, 0, 10), SV_NULL, sv_from(whole, 10)};
        REQUIRE_OK(spool_append_async(sp, parts, 3, tally_done, &t, &e), &e);
    }
    CHECK_SOON(atomic_load(&t.done) == 2000, 10000);
    CHECK_EQ(t.out_of_order, 0);
    CHECK(t.readable > 0);
    CHECK_EQ(read_all(sp, 1, 90, NULL), 2000);
    spool_on_readable(sp, NULL, NULL);
    spool_stats(sp, &st);
    CHECK(st.syncs < 2000);
    REQUIRE_OK(spool_append_async(sp, &SV("last"), 1, tally_done, &t, &e), &e);
    spool_close(sp); /* commits what is queued */
    CHECK_EQ(t.done, 2001);
}

struct hold {
    pthread_mutex_t mu;
    _Atomic int entered;
};
static void hold_done(void *ctx, uint64_t seq, const struct err *e)
{
    struct hold *h = ctx;
    atomic_fetch_add(&h->entered, 1);
    pthread_mutex_lock(&h->mu);
    pthread_mutex_unlock(&h->mu);
}

TEST(uncommitted_bytes_are_bounded)
{
    struct spool_config c = config_in("spool");
    c.own_thread = true;
    c.sync = SPOOL_SYNC_OFF;
    struct err e = {0};
    struct spool *sp;
    struct hold h = {.mu = PTHREAD_MUTEX_INITIALIZER};
    static char mib[1 << 20];
    sv frame = {mib, sizeof mib};
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    pthread_mutex_lock(&h.mu); /* the committer hangs in the first callback */
    REQUIRE_OK(spool_append_async(sp, &SV("first"), 1, hold_done, &h, &e), &e);
    CHECK_SOON(atomic_load(&h.entered) == 1, 5000);
    int n = 0;
    while (n < 100 && spool_append_async(sp, &frame, 1, hold_done, &h, &e))
        n++;
    CHECK_ERR(&e, ERR_FULL, "wait for the disk");
    CHECK_EQ(n, 63);
    pthread_mutex_unlock(&h.mu);
    CHECK_OK(spool_append(sp, frame, NULL, &e), &e); /* this one waits for room */
    spool_close(sp);
    CHECK_EQ(h.entered, 1 + n);
}

struct worker {
    struct spool *sp;
    pthread_t thread;
    uint64_t seqs[200];
    int id;
    bool ok;
};
static void *append_many(void *arg)
{
    struct worker *w = arg;
    struct err e = {0};
    char text[64];
    w->ok = true;
    for (size_t i = 0; i < ARRAY_LEN(w->seqs); i++) {
        int n = snprintf(text, sizeof text, "worker %d item %zu", w->id, i);
        w->ok &= spool_append(w->sp, (sv){text, (size_t)n}, &w->seqs[i], &e);
    }
    return NULL;
}
struct follower {
    struct spool *sp;
    pthread_t thread;
    uint64_t n, want;
    bool ok;
};
static void *follow(void *arg)
{
    struct follower *f = arg;
    struct err e = {0};
    struct spool_reader *rd;
    uint64_t seq;
    sv frame;
    f->ok = spool_reader_open(f->sp, 1, &rd, &e);
    while (f->ok && f->n < f->want) {
        int got = spool_read(rd, &frame, &seq, &e);
        f->ok = got >= 0 && (got == 0 || (seq == f->n + 1 && sv_starts(frame, SV("worker "))));
        f->n += got == 1;
        if (got == 0)
            test_sleep_ms(1);
    }
    spool_reader_close(rd);
    return NULL;
}

TEST(many_threads_append_while_others_read)
{
    for (int own = 0; own < 2; own++) {
        struct spool_config c = config_in(own ? "own" : "spool");
        c.own_thread = own;
        c.segment_bytes = 8192;
        struct err e = {0};
        struct spool *sp;
        struct worker w[6] = {0};
        struct follower f[2] = {0};
        REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
        for (size_t i = 0; i < ARRAY_LEN(f); i++) {
            f[i] = (struct follower){.sp = sp, .want = ARRAY_LEN(w) * ARRAY_LEN(w->seqs)};
            pthread_create(&f[i].thread, NULL, follow, &f[i]);
        }
        for (size_t i = 0; i < ARRAY_LEN(w); i++) {
            w[i].sp = sp;
            w[i].id = (int)i;
            pthread_create(&w[i].thread, NULL, append_many, &w[i]);
        }
        static char got[2000];
        memset(got, 0, sizeof got);
        for (size_t i = 0; i < ARRAY_LEN(w); i++) {
            pthread_join(w[i].thread, NULL);
            CHECK(w[i].ok);
            for (size_t k = 0; k < ARRAY_LEN(w[i].seqs); k++) {
                REQUIRE(w[i].seqs[k] < sizeof got);
                CHECK_EQ(got[w[i].seqs[k]]++, 0);
                CHECK(k == 0 || w[i].seqs[k] > w[i].seqs[k - 1]);
            }
        }
        for (size_t i = 0; i < ARRAY_LEN(f); i++) {
            pthread_join(f[i].thread, NULL);
            CHECK(f[i].ok);
            CHECK_EQ(f[i].n, f[i].want);
        }
        spool_close(sp);
    }
}

struct opener {
    struct spool *sp;
    pthread_t thread;
    _Atomic bool stop;
    uint64_t errors, opened;
    struct err err;
};
static void *open_and_read(void *arg)
{
    struct opener *o = arg;
    while (!o->stop) {
        struct spool_reader *rd;
        uint64_t seq;
        sv frame;
        int got;
        if (!spool_reader_open(o->sp, 1, &rd, &o->err))
            break;
        while ((got = spool_read(rd, &frame, &seq, &o->err)) == 1)
            ;
        o->errors += got < 0;
        o->opened++;
        spool_reader_close(rd);
    }
    return NULL;
}

TEST(segments_that_go_while_readers_come_are_no_error)
{
    struct spool_config c = config_in("spool");
    c.segment_bytes = 4096;
    c.sync = SPOOL_SYNC_OFF;
    struct err e = {0};
    struct spool *sp;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    struct opener o = {.sp = sp};
    pthread_create(&o.thread, NULL, open_and_read, &o);
    for (int i = 0; i < 1500; i++) {
        CHECK_OK(append_n(sp, 2, 4000, &e), &e);
        CHECK_OK(spool_consume(sp, spool_next_seq(sp), &e), &e);
    }
    o.stop = true;
    pthread_join(o.thread, NULL);
    CHECK(o.opened > 0);
    if (o.errors)
        test_fail(__FILE__, __LINE__, "%" PRIu64 " of %" PRIu64 " readers failed: %s", o.errors, o.opened, o.err.msg);
    spool_close(sp);
}

TEST(interval_syncs_in_the_background_and_off_never)
{
    struct spool_config c = config_in("spool");
    c.own_thread = true;
    c.sync = SPOOL_SYNC_INTERVAL;
    c.interval_ns = 5 * NS_PER_MS;
    struct err e = {0};
    struct spool *sp;
    struct spool_stats st;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    REQUIRE_OK(append_n(sp, 3, 100, &e), &e);
    CHECK_EQ(read_all(sp, 1, 100, NULL), 3);
    CHECK_SOON((spool_stats(sp, &st), st.syncs >= 1), 5000);
    spool_close(sp);
    c.interval_ns = 3600 * NS_PER_S;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    REQUIRE_OK(append_n(sp, 3, 100, &e), &e);
    spool_stats(sp, &st);
    CHECK_EQ(st.syncs, 0);
    uint64_t before = io_op_count(IO_SYNC);
    spool_close(sp); /* syncs what is written */
    CHECK(io_op_count(IO_SYNC) > before);
    c.sync = SPOOL_SYNC_OFF;
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    before = io_op_count(IO_SYNC);
    REQUIRE_OK(append_n(sp, 3, 100, &e), &e);
    CHECK_EQ(io_op_count(IO_SYNC), before);
    CHECK_EQ(read_all(sp, 1, 100, NULL), 9);
    spool_close(sp);
}

struct peeked {
    uint64_t segments, frames, waiting, first, last, bad;
};
static void peek_segment(void *ctx, const struct spool_peek_segment *s)
{
    struct peeked *p = ctx;
    p->segments++;
    CHECK(!s->header_err.code && !s->abandoned);
}
static void peek_frame(void *ctx, uint64_t seq, sv frame, bool waits)
{
    static char buf[CONTENT_MAX];
    struct peeked *p = ctx;
    CHECK_SV(frame, content_of(seq, 900, buf));
    p->first = p->frames++ ? p->first : seq;
    p->last = seq;
    p->waiting += waits;
}
static void peek_bad(void *ctx, uint64_t offset, uint64_t n_bytes, uint64_t n_frames)
{
    struct peeked *p = ctx;
    CHECK(offset >= SEG_HEADER_BYTES && n_bytes && n_frames == 1);
    p->bad++;
}

TEST(a_spool_is_looked_at_while_it_is_open_elsewhere)
{
    static const struct spool_peek_fns fns = {peek_segment, peek_frame, peek_bad};
    struct spool_config c = config_in("spool");
    c.segment_bytes = 4096;
    c.sync = SPOOL_SYNC_OFF;
    struct err e = {0};
    struct spool *sp;
    struct spool_peek look;
    struct peeked p = {0};
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    REQUIRE_OK(append_n(sp, 100, 900, &e), &e);
    REQUIRE_OK(spool_consume(sp, 41, &e), &e);
    CHECK_OK(spool_peek(c.dir, &fns, &p, &look, &e), &e);
    struct spool_stats st;
    spool_stats(sp, &st);
    CHECK_EQ(look.cursor, 41);
    CHECK_EQ(look.frames, 60);
    CHECK_EQ(look.segments, st.segments);
    CHECK_EQ(p.segments, st.segments);
    CHECK_EQ(p.waiting, 60);
    CHECK_EQ(p.last, 100);
    CHECK_EQ(p.bad + look.bad_bytes + look.missing_segments, 0);
    spool_close(sp);
    /* a flipped byte in the third segment that is left costs one frame, and is named */
    char name[64];
    DIR *d = opendir(c.dir);
    uint64_t lowest = UINT64_MAX;
    for (struct dirent *entry; d && (entry = readdir(d));)
        if (strstr(entry->d_name, ".seg"))
            lowest = MIN(lowest, strtoull(entry->d_name, NULL, 10));
    closedir(d);
    snprintf(name, sizeof name, "spool/%020" PRIu64 ".seg", lowest + 2);
    struct buf b = file_get(name);
    b.p[SEG_HEADER_BYTES + SEG_FRAME_BYTES + 3] ^= 1;
    file_put(name, buf_view(&b));
    buf_done(&b);
    p = (struct peeked){0};
    CHECK_OK(spool_peek(c.dir, &fns, &p, &look, &e), &e);
    CHECK_EQ(p.bad, 1);
    CHECK_EQ(look.bad_frames, 1);
    CHECK_EQ(p.waiting, 59);
    CHECK(!spool_peek("/nonexistent/spool", &fns, &p, &look, &e));
}

TEST(a_look_makes_of_the_headers_what_opening_does)
{
    static const struct spool_peek_fns none = {0};
    struct spool_config c = config_in("spool");
    struct err e = {0};
    struct spool *sp;
    struct spool_peek look;
    c.sync = SPOOL_SYNC_OFF;
    c.segment_bytes = 4096;
    for (uint32_t skip = 0; skip < 12; skip++) { /* failed appends abandon segments and leave frames that do not count */
        struct io_fault f = {.op = skip % 2 ? IO_WRITE : IO_TRUNCATE, .match = NULL, .skip = skip / 2, .times = 3, .sys = EIO,
                             .short_by = skip * 5};
        REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
        io_faults_set(&f, 1);
        (void)!append_n(sp, 5, 900, NULL);
        io_faults_set(NULL, 0);
        (void)!append_n(sp, 5, 900, NULL);
        spool_close(sp);
        CHECK_OK(spool_peek(c.dir, &none, NULL, &look, &e), &e);
        struct spool_recovery rec;
        REQUIRE_OK(spool_open(&c, &sp, &rec, &e), &e);
        CHECK_EQ(look.frames, read_all(sp, 1, 900, NULL));
        spool_close(sp);
    }
}

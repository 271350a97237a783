/* spool_fault_test.c - what the spool promises when things break: torn tails, flipped bits, lost files, calls that fail at
 * any point, and kill -9 at any moment. */
#include "spool/testing.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SCALE 61

/* Three sessions of three, four and three frames: three segments, frames 1 to 10, the cursor on 2. */
static const char *const files[] = {"sp/00000000000000000001.seg", "sp/00000000000000000002.seg",
                                    "sp/00000000000000000003.seg", "sp/cursor"};
static struct buf originals[4];

static void make_spool(void)
{
    struct spool_config c = config_in("sp");
    struct err e = {0};
    struct spool *sp;
    for (int i = 0; i < 3; i++) {
        REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
        REQUIRE_OK(append_n(sp, i == 1 ? 4 : 3, SCALE, &e), &e);
        REQUIRE_OK(spool_consume(sp, 2, &e), &e);
        spool_close(sp);
    }
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        originals[i] = file_get(files[i]);
}

static void restore(void)
{
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        file_put(files[i], buf_view(&originals[i]));
    for (int i = 4; i < 8; i++) {
        char name[64];
        snprintf(name, sizeof name, "sp/%020d.seg", i);
        file_remove(name);
    }
}

static void free_originals(void)
{
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        buf_done(&originals[i]);
}

/* Opens, reads, appends, reopens: whatever the damage, the spool works. Returns how many of the ten frames were there. */
static uint64_t use_damaged(struct spool_recovery *ret_rec, struct spool_stats *ret_st)
{
    struct spool_config c = config_in("sp");
    struct err e = {0};
    struct spool *sp;
    uint64_t last;
    c.sync = SPOOL_SYNC_OFF;
    if (!spool_open(&c, &sp, ret_rec, &e)) {
        test_fail(__FILE__, __LINE__, "open: %s", e.msg);
        return 0;
    }
    uint64_t n = read_all(sp, 1, SCALE, &last);
    CHECK(spool_next_seq(sp) > last);
    CHECK_EQ(read_all(sp, 1, SCALE, NULL), n); /* a second reader counts no damage again */
    spool_stats(sp, ret_st);
    CHECK_OK(append_n(sp, 2, SCALE, &e), &e);
    CHECK_EQ(read_all(sp, 1, SCALE, NULL), n + 2);
    spool_close(sp);
    if (!spool_open(&c, &sp, NULL, &e)) {
        test_fail(__FILE__, __LINE__, "reopen: %s", e.msg);
        return 0;
    }
    CHECK_EQ(read_all(sp, 1, SCALE, NULL), n + 2);
    spool_close(sp);
    return n;
}

TEST(a_torn_tail_of_every_length)
{
    make_spool();
    sv whole = buf_view(&originals[2]);
    size_t ends[4] = {SEG_HEADER_BYTES};
    for (uint64_t i = 0; i < 3; i++) {
        static char buf[CONTENT_MAX];
        ends[i + 1] = ends[i] + SEG_FRAME_BYTES + content_of(8 + i, SCALE, buf).n;
    }
    CHECK_EQ(whole.n, ends[3]);
    for (size_t n = 0; n <= whole.n; n++) {
        for (int garbage = 0; garbage < 3; garbage++) { /* nothing behind; preallocated zeros; something else */
            struct spool_recovery rec;
            struct spool_stats st;
            struct buf b = {0};
            restore();
            buf_sv(&b, sv_sub(whole, 0, n));
            for (int i = 0; i < 50 && garbage; i++)
                buf_char(&b, garbage == 1 ? 0 : 'g');
            file_put(files[2], buf_view(&b));
            uint64_t frames = 0;
            while (frames < 3 && ends[frames + 1] <= n)
                frames++;
            CHECK_EQ(use_damaged(&rec, &st), 7 + frames);
            CHECK_EQ(rec.missing_segments + rec.bad_frames + rec.bad_bytes, 0);
            CHECK_EQ(st.bad_frames + st.bad_bytes, 0);
            if (garbage == 0)
                CHECK(rec.torn_bytes <= n - (frames || n >= ends[0] ? ends[frames] : 0));
            if (garbage == 1 && n == ends[frames])
                CHECK_EQ(rec.torn_bytes, 0);
            buf_done(&b);
        }
    }
    free_originals();
}

TEST(a_flipped_bit_anywhere_costs_one_frame_at_most)
{
    make_spool();
    for (size_t f = 0; f < ARRAY_LEN(files); f++) {
        for (size_t i = 0; i < originals[f].n; i++) {
            struct spool_recovery rec;
            struct spool_stats st;
            restore();
            originals[f].p[i] ^= (char)(1 << (i * 5 % 8));
            file_put(files[f], buf_view(&originals[f]));
            originals[f].p[i] ^= (char)(1 << (i * 5 % 8));
            uint64_t n = use_damaged(&rec, &st);
            bool in_frame = f < 3 && i >= SEG_HEADER_BYTES;
            CHECK_EQ(n, in_frame ? 9 : 10);
            CHECK_EQ(rec.missing_segments, 0);
            if (in_frame && !rec.torn_bytes) {
                CHECK_EQ(st.bad_frames, 1);
                CHECK(st.bad_bytes >= SEG_FRAME_BYTES);
            }
        }
    }
    free_originals();
}

TEST(lost_and_swapped_files)
{
    struct spool_recovery rec;
    struct spool_stats st;
    make_spool();
    restore();
    file_remove(files[1]); /* in the middle: noticed, with the number of frames */
    CHECK_EQ(use_damaged(&rec, &st), 6);
    CHECK_EQ(rec.missing_segments, 1);
    CHECK_EQ(st.bad_frames, 4);
    restore();
    file_remove(files[2]); /* the last: cannot be noticed */
    CHECK_EQ(use_damaged(&rec, &st), 7);
    restore();
    file_remove(files[3]);
    CHECK_EQ(use_damaged(&rec, &st), 10);
    CHECK_EQ(rec.frames, 9); /* the last header has a copy of the cursor */
    restore();
    file_put(files[1], buf_view(&originals[0])); /* another segment's bytes never count */
    CHECK_EQ(use_damaged(&rec, &st), 6);
    restore();
    file_put("sp/00000000000000000002.seg.bak", SV("not ours")); /* other files are left alone */
    file_put("sp/notes", SV("not ours"));
    CHECK_EQ(use_damaged(&rec, &st), 10);
    free_originals();
}

TEST(a_newer_format_is_refused_not_guessed)
{
    make_spool();
    const struct {
        size_t at;
        char value;
        const char *want;
    } cases[] = {{8, 2, "version 2"}, {56, 1, "features 0x1"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct spool_config c = config_in("sp");
        struct err e = {0};
        struct spool *sp;
        restore();
        struct buf *b = &originals[1];
        char was = b->p[cases[i].at];
        b->p[cases[i].at] = cases[i].value;
        char header[SEG_HEADER_BYTES];
        memcpy(header, b->p, sizeof header);
        put_le32(header + 60, crc32c(0, header, 60));
        file_put(files[1], (sv){header, sizeof header});
        b->p[cases[i].at] = was;
        CHECK(!spool_open(&c, &sp, NULL, &e));
        CHECK_ERR(&e, ERR_UNSUPPORTED, cases[i].want);
    }
    free_originals();
}

/* A payload that looks like frames of the very same segment, damaged in front: nothing in it is taken for a frame. */
TEST(a_forged_frame_inside_a_payload_is_not_believed)
{
    make_spool();
    struct spool_config c = config_in("sp");
    struct err e = {0};
    struct spool *sp;
    struct buf forged = {0};
    buf_sv(&forged, SV("some payload "));
    put_frame(&forged, 4, 12, SV("forged"));
    buf_sv(&forged, SV("and more"));
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    REQUIRE_OK(spool_append(sp, buf_view(&forged), NULL, &e), &e);
    REQUIRE_OK(append_n(sp, 1, SCALE, &e), &e);
    spool_close(sp);
    struct buf file = file_get("sp/00000000000000000004.seg");
    file.p[SEG_HEADER_BYTES + SEG_FRAME_BYTES] ^= 1;
    file_put("sp/00000000000000000004.seg", buf_view(&file));
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    CHECK_EQ(read_all(sp, 1, SCALE, NULL), 11); /* 1..10 and 12, with its own content */
    spool_close(sp);
    buf_done(&file);
    buf_done(&forged);
    free_originals();
}

/* ---- calls that fail ---- */

#define N_FRAMES 24
struct outcome {
    uint64_t acked[2 * N_FRAMES], n;
    uint64_t failed;
};

static void append_some(struct spool *sp, struct outcome *o)
{
    static char buf[CONTENT_MAX];
    for (int i = 0; i < N_FRAMES; i++) {
        struct err e = {0};
        uint64_t seq;
        if (spool_append(sp, content_of(spool_next_seq(sp), 1500, buf), &seq, &e)) {
            CHECK(o->n == 0 || seq > o->acked[o->n - 1]);
            o->acked[o->n++] = seq;
        } else {
            CHECK(e.code == ERR_FULL || e.code == ERR_IO);
            o->failed++;
        }
    }
}

static void check_all_there(struct spool *sp, const struct outcome *o)
{
    struct spool_reader *rd;
    struct err e = {0};
    uint64_t seq, i = 0, first = spool_first_seq(sp);
    static char buf[CONTENT_MAX];
    sv frame;
    REQUIRE_OK(spool_reader_open(sp, first, &rd, &e), &e);
    while (i < o->n && o->acked[i] < first)
        i++;
    while (spool_read(rd, &frame, &seq, &e) == 1) {
        CHECK_SV(frame, content_of(seq, 1500, buf));
        i += i < o->n && seq == o->acked[i];
    }
    CHECK_EQ(i, o->n);
    spool_reader_close(rd);
}

/* Writes with `fault` in force, then without. Returns how often the operation was called. */
static uint64_t run_with(const struct io_fault *fault, bool own_thread, struct outcome *o)
{
    struct spool_config c = config_in("faulty");
    struct err e = {0};
    struct spool *sp;
    struct spool_recovery rec;
    struct spool_stats st;
    c.segment_bytes = 8192;
    c.own_thread = own_thread;
    *o = (struct outcome){0};
    uint64_t before = io_op_count(fault->op);
    io_faults_set(fault, 1);
    bool opened = spool_open(&c, &sp, NULL, &e);
    if (opened) {
        append_some(sp, o);
        if (o->n > 10 && !spool_consume(sp, o->acked[5], &e))
            CHECK(e.code == ERR_IO || e.code == ERR_FULL);
        check_all_there(sp, o);
        io_faults_set(NULL, 0);
        uint64_t failed = o->failed;
        append_some(sp, o); /* the disk is well again: so is the spool */
        CHECK_EQ(o->failed, failed);
        check_all_there(sp, o);
        spool_stats(sp, &st);
        CHECK(st.failures >= (o->failed > 0));
        spool_close(sp);
    }
    io_faults_set(NULL, 0);
    uint64_t calls = io_op_count(fault->op) - before;
    if (spool_open(&c, &sp, &rec, &e)) {
        check_all_there(sp, o);
        CHECK_EQ(rec.bad_frames + rec.bad_bytes + rec.missing_segments, 0);
        CHECK(!o->n || spool_next_seq(sp) > o->acked[o->n - 1]);
        CHECK_OK(spool_consume(sp, spool_next_seq(sp), &e), &e);
        spool_close(sp);
    } else {
        test_fail(__FILE__, __LINE__, "reopen: %s", e.msg);
    }
    return calls;
}

static void fail_each_in_turn(enum io_op op, int sys, size_t short_by)
{
    for (uint32_t times = 1; times <= 2; times++) {
        uint64_t failed = 0, calls = 1;
        for (uint32_t n = 0; n < calls || n < 8; n++) { /* one that stops the opening leaves few calls */
            struct outcome o;
            struct io_fault f = {.op = op, .skip = n, .times = times, .sys = sys, .short_by = short_by};
            calls = run_with(&f, (n & 1) != 0, &o);
            failed += o.failed;
        }
        if (op == IO_WRITE || op == IO_SYNC)
            CHECK(failed > 0);
    }
    for (uint32_t n = 0; n < 24; n += 3) { /* from then on for ever, that is until the disk is changed */
        struct outcome o;
        struct io_fault f = {.op = op, .skip = n, .sys = sys, .short_by = short_by};
        run_with(&f, (n & 1) != 0, &o);
    }
}

TEST(each_write_fails_in_turn)
{
    fail_each_in_turn(IO_WRITE, ENOSPC, 0);
}
TEST(each_write_is_cut_short_in_turn)
{
    fail_each_in_turn(IO_WRITE, EIO, 7);
}
TEST(each_sync_fails_in_turn)
{
    fail_each_in_turn(IO_SYNC, EIO, 0);
}
TEST(each_directory_sync_fails_in_turn)
{
    fail_each_in_turn(IO_SYNC_DIR, EIO, 0);
}
TEST(each_open_fails_in_turn)
{
    fail_each_in_turn(IO_OPEN, ENOSPC, 0);
}
TEST(each_allocation_truncation_removal_or_renaming_fails_in_turn)
{
    fail_each_in_turn(IO_ALLOCATE, ENOSPC, 0);
    fail_each_in_turn(IO_TRUNCATE, EIO, 0);
    fail_each_in_turn(IO_UNLINK, EIO, 0);
    fail_each_in_turn(IO_RENAME, EIO, 0);
}

TEST(when_writing_and_cutting_back_both_fail)
{
    struct spool_config c = config_in("sp");
    struct err e = {0};
    struct spool *sp;
    struct spool_recovery rec;
    struct outcome o = {0};
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    append_some(sp, &o);
    /* the frame reaches the file, its sync fails, it cannot be cut off: it stays in the file, refused */
    const struct io_fault f[] = {{.op = IO_SYNC, .match = ".seg", .times = 1, .sys = EIO},
                                 {.op = IO_TRUNCATE, .sys = EIO}};
    io_faults_set(f, 2);
    CHECK(!spool_append(sp, SV("refused"), NULL, &e));
    CHECK_ERR(&e, ERR_IO, "cannot sync");
    append_some(sp, &o);
    io_faults_set(NULL, 0);
    CHECK_EQ(o.n, 2 * N_FRAMES);
    CHECK_EQ(read_all(sp, 1, 1500, NULL), 2 * N_FRAMES);
    spool_close(sp);
    REQUIRE_OK(spool_open(&c, &sp, &rec, &e), &e);
    CHECK_EQ(read_all(sp, 1, 1500, NULL), 2 * N_FRAMES);
    CHECK_EQ(rec.bad_frames + rec.bad_bytes + rec.missing_segments + rec.torn_bytes, 0);
    spool_close(sp);
}

TEST(a_failed_background_sync_is_counted_and_writing_goes_on)
{
    struct spool_config c = config_in("sp");
    struct err e = {0};
    struct spool *sp;
    struct spool_stats st;
    c.sync = SPOOL_SYNC_INTERVAL;
    c.interval_ns = NS_PER_MS;
    c.own_thread = true;
    const struct io_fault f = {.op = IO_SYNC, .match = ".seg", .times = 1, .sys = EIO};
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    io_faults_set(&f, 1);
    REQUIRE_OK(append_n(sp, 3, 100, &e), &e);
    CHECK_SOON((spool_stats(sp, &st), st.failures == 1), 5000);
    REQUIRE_OK(append_n(sp, 3, 100, &e), &e);
    CHECK_SOON((spool_stats(sp, &st), st.syncs >= 1), 5000);
    io_faults_set(NULL, 0);
    CHECK_EQ(read_all(sp, 1, 100, NULL), 6);
    spool_close(sp);
}

/* ---- kill -9 ---- */

struct report {
    uint64_t seq, id;
};
struct child {
    struct spool *sp;
    int pipe;
    uint64_t id;
};

static sv frame_for(uint64_t id, char buf[static 4096])
{
    size_t n = 8 + id * 77 % 4000;
    memcpy(buf, &id, 8);
    for (size_t i = 8; i < n; i++)
        buf[i] = (char)(id + i);
    return (sv){buf, n};
}

static void *append_and_report(void *arg)
{
    struct child *ch = arg;
    char buf[4096];
    for (;;) {
        struct report r = {.id = ch->id};
        if (!spool_append(ch->sp, frame_for(ch->id++, buf), &r.seq, NULL))
            _exit(3);
        if (write(ch->pipe, &r, sizeof r) != sizeof r)
            _exit(4);
    }
}

static void child_main(int pipe, int round)
{
    struct spool_config c = config_in("sp");
    struct spool *sp;
    struct child ch[3];
    pthread_t thread;
    c.segment_bytes = 65536;
    c.own_thread = true;
    if (!spool_open(&c, &sp, NULL, NULL))
        _exit(2);
    for (uint64_t i = 0; i < ARRAY_LEN(ch); i++) {
        ch[i] = (struct child){sp, pipe, ((uint64_t)round << 40) + (i << 32)};
        pthread_create(&thread, NULL, append_and_report, &ch[i]);
    }
    for (;;)
        pause();
}

static void check_after_kill(const struct report *reports, size_t n)
{
    struct spool_config c = config_in("sp");
    struct err e = {0};
    struct spool *sp;
    struct spool_recovery rec;
    struct spool_reader *rd;
    size_t found = 0;
    static struct report by_seq[1 << 16]; /* of this round, from the cursor on */
    char buf[4096];
    uint64_t seq;
    sv frame;
    REQUIRE_OK(spool_open(&c, &sp, &rec, &e), &e);
    uint64_t first = spool_first_seq(sp);
    CHECK_EQ(rec.bad_frames + rec.bad_bytes + rec.missing_segments, 0);
    memset(by_seq, 0, sizeof by_seq);
    for (size_t i = 0; i < n; i++) {
        REQUIRE(reports[i].seq >= first && reports[i].seq - first < ARRAY_LEN(by_seq));
        by_seq[reports[i].seq - first] = reports[i];
    }
    REQUIRE_OK(spool_reader_open(sp, first, &rd, &e), &e);
    int got;
    while ((got = spool_read(rd, &frame, &seq, &e)) == 1) {
        uint64_t id;
        REQUIRE(frame.n >= 8 && seq - first < ARRAY_LEN(by_seq));
        memcpy(&id, frame.p, 8);
        CHECK_SV(frame, frame_for(id, buf));
        if (by_seq[seq - first].seq) {
            CHECK_EQ(by_seq[seq - first].id, id);
            found++;
        }
    }
    CHECK_OK(got == 0, &e);
    CHECK_EQ(found, n);
    spool_reader_close(rd);
    REQUIRE_OK(spool_consume(sp, spool_next_seq(sp), &e), &e);
    spool_close(sp);
}

TEST(kill_9_at_any_moment_loses_nothing_acknowledged)
{
    static struct report reports[1 << 16];
    size_t total = 0;
    test_dir(); /* the same for all children */
    for (int round = 0; round < 30; round++) {
        int ends[2];
        REQUIRE(pipe(ends) == 0);
        pid_t pid = fork();
        REQUIRE(pid >= 0);
        if (pid == 0) {
            close(ends[0]);
            child_main(ends[1], round);
        }
        close(ends[1]);
        size_t bytes = 0;
        ssize_t k = read(ends[0], reports, sizeof(struct report)); /* it is under way */
        bytes += k > 0 ? (size_t)k : 0;
        usleep((useconds_t)(rand_u64() % 12000));
        kill(pid, SIGKILL);
        while (bytes < sizeof reports && (k = read(ends[0], (char *)reports + bytes, sizeof reports - bytes)) > 0)
            bytes += (size_t)k;
        close(ends[0]);
        int status;
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFSIGNALED(status));
        total += bytes / sizeof(struct report);
        check_after_kill(reports, bytes / sizeof(struct report));
    }
    CHECK(total > 30);
}

/* ---- scanning a file ---- */

struct seen {
    uint64_t frames, last_seq, bad, bad_off, bad_bytes;
};
static void see_frame(void *ctx, uint64_t seq, sv frame)
{
    struct seen *s = ctx;
    s->frames++;
    s->last_seq = seq;
}
static void see_bad(void *ctx, size_t offset, size_t n, const char *why)
{
    struct seen *s = ctx;
    s->bad++;
    s->bad_off = offset;
    s->bad_bytes = n;
}

TEST(scan_shows_frames_and_damage)
{
    make_spool();
    struct err e = {0};
    struct seen s = {0};
    struct buf *b = &originals[1];
    CHECK_OK(spool_scan_segment(buf_view(b), see_frame, see_bad, &s, &e), &e);
    CHECK_EQ(s.frames, 4);
    CHECK_EQ(s.last_seq, 7);
    CHECK_EQ(s.bad, 0);
    b->p[SEG_HEADER_BYTES + 3] ^= 1;
    s = (struct seen){0};
    CHECK_OK(spool_scan_segment(buf_view(b), see_frame, see_bad, &s, &e), &e);
    CHECK_EQ(s.frames, 3);
    CHECK_EQ(s.bad, 1);
    CHECK_EQ(s.bad_off, SEG_HEADER_BYTES);
    CHECK(!spool_scan_segment(SV("short"), see_frame, see_bad, &s, &e));
    CHECK_ERR(&e, ERR_CORRUPT, "no spool segment header");
    b->p[20] ^= 1;
    CHECK(!spool_scan_segment(buf_view(b), see_frame, see_bad, &s, &e));
    CHECK_ERR(&e, ERR_CORRUPT, "checksum");
    free_originals();
}

/* ---- a directory that somebody else has filled ---- */

static void put_link(const char *at, const char *to)
{
    char name[300], target[300];
    snprintf(name, sizeof name, "%s/%s", test_dir(), at);
    snprintf(target, sizeof target, "%s/%s", test_dir(), to);
    file_remove(at);
    ASSERT(symlink(target, name) == 0);
}

static void put_fifo(const char *at)
{
    char name[300];
    snprintf(name, sizeof name, "%s/%s", test_dir(), at);
    file_remove(at);
    ASSERT(mkfifo(name, 0600) == 0);
}

static void check_victim(sv want)
{
    struct buf b = file_get("victim");
    CHECK_SV(buf_view(&b), want);
    buf_done(&b);
}

/* Opens, reads all, appends, closes: whatever that comes to. Returns whether it opened. */
static bool use(void)
{
    struct spool_config c = config_in("sp");
    struct err e = {0};
    struct spool *sp;
    struct spool_reader *rd;
    sv frame;
    uint64_t seq;
    if (!spool_open(&c, &sp, NULL, &e))
        return false;
    ASSERT(spool_reader_open(sp, 1, &rd, &e));
    while (spool_read(rd, &frame, &seq, &e) == 1)
        ;
    spool_reader_close(rd);
    CHECK_OK(append_n(sp, 3, SCALE, &e), &e);
    CHECK_OK(spool_consume(sp, 2, &e), &e);
    spool_close(sp);
    return true;
}

TEST(links_in_the_directory_lead_nowhere)
{
    static const char *const names[] = {"sp/00000000000000000001.seg", "sp/00000000000000000002.seg", "sp/00000000000000000003.seg",
                                        "sp/00000000000000000004.seg", "sp/cursor", "sp/cursor.tmp", "sp/LOCK"};
    static const bool opens[] = {false, false, false, false, true, true, false};
    make_spool();
    for (int kind = 0; kind < 3; kind++) { /* the victim is any file; one that looks like a segment; like a cursor */
        sv content = kind == 0 ? SV("precious, and longer than the header of a segment, so that there would be something to cut off")
                     : kind == 1 ? buf_view(&originals[2]) : buf_view(&originals[3]);
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            restore();
            file_put("victim", content);
            put_link(names[i], "victim");
            if (i == 5)
                file_remove("sp/cursor"); /* so that a new one is made */
            CHECK_EQ(use(), opens[i]);
            check_victim(content);
            file_remove("sp/LOCK");
            file_remove(names[i]);
        }
    }
    free_originals();
}

TEST(a_second_name_of_a_file_elsewhere_is_not_cut)
{
    char from[300], to[300];
    sv content = SV("precious, and longer than the header of a segment, so that there would be something to cut off");
    make_spool();
    file_put("victim", content);
    snprintf(from, sizeof from, "%s/victim", test_dir());
    snprintf(to, sizeof to, "%s/sp/%020d.seg", test_dir(), 4);
    REQUIRE(link(from, to) == 0);
    CHECK(use());
    check_victim(content);
    free_originals();
}

TEST(a_fifo_in_the_directory_does_not_block)
{
    static const char *const names[] = {"sp/00000000000000000001.seg", "sp/00000000000000000003.seg", "sp/cursor", "sp/cursor.tmp",
                                        "sp/LOCK"};
    static const bool opens[] = {false, false, true, true, false};
    static const struct spool_peek_fns none = {0};
    make_spool();
    alarm(60); /* blocked is blocked for ever */
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct spool_config c = config_in("sp");
        struct spool_peek peek;
        struct err e = {0};
        restore();
        put_fifo(names[i]);
        if (i == 3)
            file_remove("sp/cursor");
        CHECK_OK(spool_peek(c.dir, &none, NULL, &peek, &e), &e);
        CHECK_EQ(use(), opens[i]);
        file_remove(names[i]);
    }
    alarm(0);
    free_originals();
}

TEST(a_segment_that_turns_into_something_else_stops_its_reader_only)
{
    struct spool_config c = config_in("sp");
    struct err e = {0};
    struct spool *sp;
    struct spool_reader *rd;
    sv frame;
    uint64_t seq;
    make_spool();
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    REQUIRE_OK(spool_reader_open(sp, 4, &rd, &e), &e);
    put_fifo(files[1]);
    alarm(20);
    CHECK_EQ(spool_read(rd, &frame, &seq, &e), -1);
    CHECK_ERR(&e, ERR_CORRUPT, "not a regular file");
    alarm(0);
    file_remove(files[1]);
    file_put(files[1], buf_view(&originals[1]));
    CHECK_EQ(spool_read(rd, &frame, &seq, &e), 1);
    CHECK_EQ(seq, 4);
    spool_reader_close(rd);
    spool_close(sp);
    free_originals();
}

TEST(the_directory_itself_is_no_link)
{
    struct spool_config c = config_in("sp");
    struct err e = {0};
    struct spool *sp;
    int dirfd;
    make_spool();
    put_link("link", "sp");
    c = config_in("link");
    CHECK(!spool_open(&c, &sp, NULL, &e));
    CHECK_ERR(&e, ERR_IO, "links are not followed");
    REQUIRE_OK(io_open_dir(test_dir(), &dirfd, &e), &e);
    c.at_fd = dirfd;
    c.at_name = "link";
    CHECK(!spool_open(&c, &sp, NULL, &e));
    CHECK_ERR(&e, ERR_IO, "links are not followed");
    io_close(dirfd);
    free_originals();
}

TEST(a_spool_in_an_open_directory_is_found_wherever_that_went)
{
    struct spool_config c = {.dir = "no/such/path", .at_name = "sp"};
    struct err e = {0};
    struct spool *sp;
    char was[300], is[300];
    int dirfd;
    snprintf(was, sizeof was, "%s/was", test_dir());
    snprintf(is, sizeof is, "%s/is", test_dir());
    REQUIRE_OK(io_mkdir_all(was, &e) && io_open_dir(was, &dirfd, &e), &e);
    REQUIRE(rename(was, is) == 0 && symlink("/nowhere", was) == 0);
    c.at_fd = dirfd;
    io_faults_set((struct io_fault[]){{.op = IO_SYNC_DIR, .match = "sp", .times = 1, .sys = EIO}}, 1);
    CHECK(!spool_open(&c, &sp, NULL, &e));
    CHECK_ERR(&e, ERR_IO, "no/such/path");
    io_faults_set(NULL, 0);
    uint64_t syncs = io_op_count(IO_SYNC_DIR);
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    CHECK(io_op_count(IO_SYNC_DIR) >= syncs + 2); /* its own name is not taken for an old one after the failure; the cursor's */
    REQUIRE_OK(append_n(sp, 5, SCALE, &e), &e);
    spool_close(sp);
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    CHECK_EQ(read_all(sp, 1, SCALE, NULL), 5);
    spool_close(sp);
    io_close(dirfd);
    c = config_in("is/sp");
    REQUIRE_OK(spool_open(&c, &sp, NULL, &e), &e);
    CHECK_EQ(read_all(sp, 1, SCALE, NULL), 5);
    spool_close(sp);
}

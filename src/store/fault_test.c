/* What a disk, a kill or a flipped bit may do to the store: nothing acknowledged is lost, nothing is shown twice, nothing wrong
 * is shown, and it goes on by itself when the fault is gone. */
#include "store/store_test.h"
#include "store/store_image.h"
#include "base/io.h"
#include "base/vec.h"
#include "store/store_int.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static bool push_line(struct store *st, int64_t ts, struct push_result *ret)
{
    char line[32];
    snprintf(line, sizeof line, "row %lld", (long long)ts);
    *ret = push_records(st, "web", &(struct rec){.ts = ts, .line = line}, 1);
    return ret->code == PUSH_SENT;
}

/* How often each row 1 .. n is there; a row that is not what was pushed fails the test. */
static void count_rows(struct store *st, unsigned *seen, size_t n)
{
    struct scan_request rq = {.tenant = SV("fake"), .start_ns = INT64_MIN, .end_ns = INT64_MAX, .columns = SCAN_LINES};
    struct scan *sc;
    struct scan_batch b;
    struct err e = {0};
    int got;
    memset(seen, 0, (n + 1) * sizeof *seen);
    REQUIRE_OK(scan_open(st, &rq, &sc, &e), &e);
    while ((got = scan_next(sc, &b, &e)) > 0)
        for (size_t i = 0; i < b.n; i++) {
            char line[32];
            snprintf(line, sizeof line, "row %lld", (long long)b.ts[i]);
            if (b.ts[i] < 1 || b.ts[i] > (int64_t)n)
                test_fail(__FILE__, __LINE__, "a row of time %lld", (long long)b.ts[i]);
            else
                seen[b.ts[i]]++;
            CHECK_SV(b.line[i], sv_of(line));
        }
    CHECK_OK(got == 0, &e);
    scan_close(sc);
}

static void check_rows(struct store *st, const bool *acked, size_t n)
{
    unsigned *seen = calloc(n + 1, sizeof *seen);
    count_rows(st, seen, n);
    for (size_t i = 1; i <= n; i++)
        if (seen[i] > 1 || (acked[i] && !seen[i]))
            test_fail(__FILE__, __LINE__, "row %zu: acknowledged %d, seen %u times", i, acked[i], seen[i]);
    free(seen);
}

enum { FAULT_ROWS = 6 };

/* Pushes, flushes, pushes with a fault at the skip-th call of `op`. True: the fault was met. */
static bool run_with_fault(enum io_op op, int sys, uint32_t skip, size_t short_by)
{
    struct fixture f;
    struct push_result r;
    struct err e = {0};
    bool acked[FAULT_ROWS + 2] = {false};
    fixture_config(&f);
    if (!fixture_open(&f))
        return false;
    struct io_fault fault = {.op = op, .skip = skip, .times = 1, .sys = sys, .short_by = short_by};
    io_faults_set(&fault, 1);
    uint64_t before = io_op_count(op);
    for (int i = 1; i <= FAULT_ROWS; i++) {
        acked[i] = push_line(f.st, i, &r);
        if (!acked[i])
            CHECK_EQ(r.code, PUSH_RETRY);
        if (i % 2 == 0 && !store_flush(f.st, &e))
            CHECK(e.code == ERR_FULL || e.code == ERR_IO);
        check_rows(f.st, acked, FAULT_ROWS);
    }
    bool met = io_op_count(op) - before > skip;
    io_faults_set(NULL, 0);
    for (int i = 1; i <= FAULT_ROWS; i++) /* what a sender does with PUSH_RETRY */
        if (!acked[i])
            acked[i] = push_line(f.st, i, &r);
    acked[FAULT_ROWS + 1] = push_line(f.st, FAULT_ROWS + 1, &r);
    CHECK(acked[FAULT_ROWS + 1]);
    check_rows(f.st, acked, FAULT_ROWS + 1);
    fixture_close(&f);
    if (fixture_open(&f))
        check_rows(f.st, acked, FAULT_ROWS + 1);
    CHECK_OK(store_flush(f.st, &e), &e);
    check_rows(f.st, acked, FAULT_ROWS + 1);
    fixture_done(&f);
    return met;
}

TEST(each_failing_call_in_turn)
{
    static const enum io_op ops[] = {IO_WRITE, IO_SYNC, IO_SYNC_DIR, IO_OPEN, IO_RENAME, IO_ALLOCATE};
    for (size_t o = 0; o < ARRAY_LEN(ops); o++)
        for (int i = 0; i < 2; i++)
            for (uint32_t skip = 0; skip < 64 && !test_failures; skip++) {
                bool met = run_with_fault(ops[o], i ? EIO : ENOSPC, skip, ops[o] == IO_WRITE && i ? 5 : 0);
                if (test_failures)
                    test_fail(__FILE__, __LINE__, "op %d, errno %d, call %u", (int)ops[o], i ? EIO : ENOSPC, skip);
                if (!met)
                    break;
            }
}

TEST(a_full_disk_defers_pushes_and_reads_go_on)
{
    struct fixture f;
    struct push_result r;
    bool acked[10] = {false};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    acked[1] = push_line(f.st, 1, &r);
    struct io_fault faults[] = {{.op = IO_WRITE, .sys = ENOSPC}, {.op = IO_ALLOCATE, .sys = ENOSPC}};
    io_faults_set(faults, 2);
    for (int i = 2; i <= 4; i++) {
        CHECK(!push_line(f.st, i, &r));
        CHECK_EQ(r.code, PUSH_RETRY);
        CHECK_ERR(&r.err, ERR_FULL, "No space left on device");
        check_rows(f.st, acked, 9);
    }
    io_faults_set(NULL, 0);
    for (int i = 2; i <= 4; i++) {
        acked[i] = push_line(f.st, i, &r);
        CHECK(acked[i]);
    }
    check_rows(f.st, acked, 9);
    fixture_done(&f);
}

TEST(a_flush_that_fails_keeps_rows_and_is_repeated)
{
    struct fixture f;
    struct push_result r;
    struct err e = {0};
    bool acked[5] = {false, true, true, true, true};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    CHECK(push_line(f.st, 1, &r) && push_line(f.st, 2, &r));
    struct io_fault fault = {.op = IO_SYNC, .match = "MANIFEST", .sys = EIO};
    io_faults_set(&fault, 1);
    CHECK(!store_flush(f.st, &e));
    CHECK_EQ(e.code, ERR_IO);
    CHECK(push_line(f.st, 3, &r));
    check_rows(f.st, acked, 4 - 1);
    io_faults_set(NULL, 0);
    CHECK(push_line(f.st, 4, &r));
    CHECK_OK(store_flush(f.st, &e), &e);
    check_rows(f.st, acked, 4);
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    check_rows(f.st, acked, 4);
    fixture_done(&f);
}

TEST(too_much_memory_defers_pushes)
{
    struct fixture f;
    struct push_result r;
    fixture_config(&f);
    f.cfg.head_max_bytes = 64 << 10;
    f.cfg.memory_max_bytes = 64 << 10;
    REQUIRE(fixture_open(&f));
    struct io_fault fault = {.op = IO_WRITE, .match = ".part", .sys = ENOSPC};
    io_faults_set(&fault, 1);
    char big[20000];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = 0;
    int sent = 0;
    do
        r = push_records(f.st, "web", &(struct rec){.ts = ++sent, .line = big}, 1);
    while (r.code == PUSH_SENT && sent < 50);
    CHECK_EQ(r.code, PUSH_RETRY);
    CHECK_ERR(&r.err, ERR_FULL, "memory_max_bytes");
    io_faults_set(NULL, 0);
    struct err e = {0};
    CHECK_OK(store_flush(f.st, &e), &e);
    CHECK(push_line(f.st, 1000, &r));
    fixture_done(&f);
}

/* ---- kill -9 ---- */

static void child_pushes(struct fixture *f, int fd, int first)
{
    struct err e = {0};
    if (!store_open(&f->cfg, f->metrics, &f->st, &e))
        _exit(3);
    for (int i = first;; i++) {
        struct push_result r;
        if (!push_line(f->st, i, &r))
            _exit(4);
        if (write(fd, &i, sizeof i) != sizeof i)
            _exit(5);
        if (i % 16 == 0 && !store_flush(f->st, &e))
            _exit(6);
    }
}

TEST(acknowledged_rows_outlive_kill_9)
{
    enum { ROUNDS = 12, MAX = 200000 };
    struct fixture f;
    bool *acked = calloc(MAX + 1, 1);
    int last = 0, first = 1;
    fixture_config(&f);
    for (int round = 0; round < ROUNDS && !test_failures; round++) {
        int p[2], status, row;
        REQUIRE(pipe(p) == 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(p[0]);
            child_pushes(&f, p[1], first);
        }
        close(p[1]);
        int64_t until = clock_mono_ns() + (2 + round * 7) * NS_PER_MS;
        bool killed = false;
        while (read(p[0], &row, sizeof row) == sizeof row) {
            if (row < MAX)
                acked[row] = true;
            last = row;
            if (!killed && clock_mono_ns() > until)
                killed = kill(pid, SIGKILL) == 0;
        }
        close(p[0]);
        REQUIRE(waitpid(pid, &status, 0) == pid);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        int64_t began = clock_mono_ns();
        REQUIRE(fixture_open(&f));
        CHECK(clock_mono_ns() - began < 10 * NS_PER_S);
        check_rows(f.st, acked, (size_t)last + 1); /* the next one may be there without its acknowledgement */
        fixture_close(&f);
        first = last + 2;
    }
    CHECK(last > ROUNDS);
    free(acked);
    fixture_done(&f);
}

/* ---- flipped bytes ---- */

/* A store with two parts and rows 1 .. FLIP_ROWS, all of them trimmed from the log. */
enum { FLIP_ROWS = 8 };
static void make_image(struct image *im)
{
    struct fixture f;
    struct push_result r;
    struct err e = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    for (int i = 1; i <= FLIP_ROWS; i++) {
        CHECK(push_line(f.st, i, &r));
        if (i % 4 == 0)
            CHECK_OK(store_flush(f.st, &e), &e);
    }
    fixture_close(&f);
    image_read(im, f.cfg.data_dir);
    fixture_done(&f);
}

/* Opens the image in a new directory and counts its rows. */
static bool open_image(const struct image *im, struct fixture *f, unsigned seen[static FLIP_ROWS + 1])
{
    struct err e = {0};
    fixture_config(f);
    image_write(im, f->cfg.data_dir);
    bool ok = store_open(&f->cfg, f->metrics, &f->st, &e);
    if (ok)
        count_rows(f->st, seen, FLIP_ROWS);
    else
        test_fail(__FILE__, __LINE__, "store_open: %s", e.msg);
    fixture_close(f);
    remove_tree(f->cfg.data_dir);
    fixture_done(f);
    return ok;
}

static void flip_all(struct image *im, const char *which, bool all_rows_stay)
{
    for (size_t i = 0; i < im->files.n; i++) {
        if (!strstr(im->files.at[i].path, which))
            continue;
        size_t step = im->files.at[i].n > 400 ? im->files.at[i].n / 400 : 1;
        for (size_t at = 0; at < im->files.at[i].n && !test_failures; at += step) {
            struct fixture f;
            unsigned seen[FLIP_ROWS + 1];
            char was = im->files.at[i].bytes[at];
            im->files.at[i].bytes[at] = (char)(was ^ (1 << at % 8));
            bool ok = open_image(im, &f, seen);
            for (int r = 1; ok && r <= FLIP_ROWS; r++) {
                CHECK(seen[r] <= 1);
                if (all_rows_stay)
                    CHECK_EQ(seen[r], 1);
            }
            im->files.at[i].bytes[at] = was;
            if (test_failures)
                test_fail(__FILE__, __LINE__, "file %s, byte %zu", im->files.at[i].path, at);
        }
    }
}

TEST(flipped_bytes_in_parts_show_nothing_wrong)
{
    struct image im = {0};
    make_image(&im);
    flip_all(&im, ".part", false);
    image_done(&im);
}

TEST(flipped_bytes_in_the_catalog_cost_no_rows)
{
    struct image im = {0};
    make_image(&im);
    flip_all(&im, "MANIFEST", true);
    flip_all(&im, "CURRENT", true);
    image_done(&im);
}

TEST(cut_files_cost_at_most_their_rows)
{
    struct image im = {0};
    make_image(&im);
    for (size_t i = 0; i < im.files.n; i++) {
        bool part = strstr(im.files.at[i].path, ".part");
        size_t n = im.files.at[i].n;
        if (!part && !strstr(im.files.at[i].path, "MANIFEST"))
            continue;
        for (size_t k = 0; k < n && !test_failures; k += 1 + n / 60) {
            struct fixture f;
            unsigned seen[FLIP_ROWS + 1], there = 0;
            im.files.at[i].n = k;
            if (open_image(&im, &f, seen))
                for (int r = 1; r <= FLIP_ROWS; r++)
                    there += seen[r];
            CHECK(there >= (part ? FLIP_ROWS / 2 : FLIP_ROWS) && there <= FLIP_ROWS);
        }
        im.files.at[i].n = n;
    }
    image_done(&im);
}

TEST(files_a_crash_left_behind_are_removed)
{
    struct image im = {0};
    make_image(&im);
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    image_write(&im, f.cfg.data_dir);
    char path[700];
    snprintf(path, sizeof path, "%s/parts/00000000000000ff.part.tmp", f.cfg.data_dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0640);
    REQUIRE(fd >= 0);
    close(fd);
    REQUIRE_OK(store_open(&f.cfg, f.metrics, &f.st, &e), &e);
    CHECK(access(path, F_OK) != 0);
    unsigned seen[FLIP_ROWS + 1];
    count_rows(f.st, seen, FLIP_ROWS);
    for (int r = 1; r <= FLIP_ROWS; r++)
        CHECK_EQ(seen[r], 1);
    image_done(&im);
    fixture_done(&f);
}

TEST(a_part_written_but_not_listed_is_not_doubled)
{
    struct fixture f;
    struct push_result r;
    bool acked[4] = {false, true, true, true};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    CHECK(push_line(f.st, 1, &r) && push_line(f.st, 2, &r) && push_line(f.st, 3, &r));
    /* the part reaches the disk, the catalog does not take it, the process "dies" */
    struct io_fault faults[] = {{.op = IO_WRITE, .match = "MANIFEST", .sys = EIO}, {.op = IO_OPEN, .match = "MANIFEST", .sys = EIO}};
    struct err e = {0};
    io_faults_set(faults, 2);
    CHECK(!store_flush(f.st, &e));
    fixture_close(&f);
    io_faults_set(NULL, 0);
    REQUIRE(fixture_open(&f));
    check_rows(f.st, acked, 3);
    lock_acquire(&f.st->head.mu);
    CHECK_EQ(f.st->parts.parts.n, 0);
    CHECK_EQ(f.st->head.active.rows, 3);
    lock_release(&f.st->head.mu);
    CHECK_OK(store_flush(f.st, &e), &e);
    check_rows(f.st, acked, 3);
    fixture_done(&f);
}

/* Bad sectors, as a failing disk gives them: neither a start nor a query fails over one part. */
TEST(a_part_that_the_disk_fails_to_read_is_left_out_and_tried_again)
{
    struct fixture f;
    struct push_result r;
    struct err e = {0};
    struct io_fault fault = {.op = IO_PREAD, .match = "0000000000000000.part", .sys = EIO};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    for (int i = 1; i <= 2; i++) {
        CHECK(push_line(f.st, i, &r));
        CHECK_OK(store_flush(f.st, &e), &e);
    }
    io_faults_set(&fault, 1);
    CHECK_ROWS(&f, NULL, 0, 0, "2 row 2\n");
    CHECK_EQ(metric_value(f.st->m.damaged_blocks), 1);
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    CHECK_ROWS(&f, NULL, 0, 0, "2 row 2\n");
    CHECK_EQ(metric_value(f.st->m.quarantined), 1);
    CHECK(push_line(f.st, 3, &r));
    CHECK_OK(store_flush(f.st, &e), &e);
    fixture_close(&f);
    io_faults_set(NULL, 0);
    REQUIRE(fixture_open(&f));
    CHECK_ROWS(&f, NULL, 0, 0, "1 row 1\n2 row 2\n3 row 3\n");
    fixture_done(&f);
}

TEST(a_second_process_is_refused)
{
    struct fixture f;
    struct store *second;
    struct err e = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    CHECK(!store_open(&f.cfg, f.metrics, &second, &e));
    CHECK_ERR(&e, ERR_UNAVAILABLE, "is in use by another process");
    fixture_done(&f);
}

/* A frame with a right checksum and a content nobody understands: kept for inspection, counted, and the rest is read. */
TEST(a_log_frame_that_means_nothing_is_kept)
{
    struct fixture f;
    struct push_result r;
    struct err e = {0};
    struct spool *sp;
    bool acked[3] = {false, true, true};
    char wal[600], kept[600];
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    CHECK(push_line(f.st, 1, &r));
    fixture_close(&f);
    snprintf(wal, sizeof wal, "%s/wal", f.cfg.data_dir);
    REQUIRE_OK(spool_open(&(struct spool_config){.dir = wal}, &sp, NULL, &e), &e);
    uint64_t seq;
    REQUIRE_OK(spool_append(sp, SV("garbage"), &seq, &e), &e);
    spool_close(sp);
    REQUIRE(fixture_open(&f));
    CHECK(push_line(f.st, 2, &r));
    check_rows(f.st, acked, 2);
    snprintf(kept, sizeof kept, "%s/quarantine/frame-%llu", f.cfg.data_dir, (unsigned long long)seq);
    CHECK(access(kept, F_OK) == 0);
    CHECK_EQ(metric_value(f.st->m.replay_skipped), 1);
    fixture_done(&f);
}

/* More frames than are read ahead, one of them without meaning in their midst: each row comes back, in the order of the log. */
TEST(many_frames_are_read_back_in_their_order)
{
    enum { FRAMES = 300, BAD = 150 };
    struct fixture f;
    struct push_result r;
    struct err e = {0};
    fixture_config(&f);
    uint64_t seq;
    REQUIRE(fixture_open(&f));
    for (int i = 1; i <= FRAMES; i++) {
        CHECK(push_line(f.st, i, &r));
        if (i == BAD)
            CHECK_OK(spool_append(f.st->wal, SV("nonsense"), &seq, &e), &e);
    }
    uint64_t end_seq = f.st->head.active.end_seq;
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    CHECK_EQ(metric_value(f.st->m.replayed_frames), FRAMES);
    CHECK_EQ(metric_value(f.st->m.replay_skipped), 1);
    CHECK_EQ(f.st->head.active.end_seq, end_seq);
    int next = 1;
    for (size_t c = 0; c < f.st->head.active.chunks.n; c++)
        for (uint32_t i = 0; i < f.st->head.active.chunks.at[c]->n; i++)
            CHECK_EQ(f.st->head.active.chunks.at[c]->ts[i], next++);
    CHECK_EQ(next, FRAMES + 1);
    fixture_done(&f);
}

TEST(a_part_that_is_gone_is_counted_and_the_rest_serves)
{
    struct fixture f;
    struct push_result r;
    struct err e = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    for (int i = 1; i <= 2; i++) {
        CHECK(push_line(f.st, i, &r));
        CHECK_OK(store_flush(f.st, &e), &e);
    }
    fixture_close(&f);
    char path[600];
    snprintf(path, sizeof path, "%s/parts/0000000000000000.part", f.cfg.data_dir);
    REQUIRE(unlink(path) == 0);
    for (int round = 0; round < 2; round++) {
        REQUIRE(fixture_open(&f));
        CHECK_ROWS(&f, NULL, 0, 0, "2 row 2\n");
        CHECK_EQ(metric_value(f.st->m.quarantined), 1); /* once: the catalog lists it no more */
        fixture_close(&f);
    }
    fixture_done(&f);
}

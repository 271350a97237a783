/* Merging: rows come out as before, whatever fails and wherever it is cut off; which parts are merged, and when their files go. */
#include "store/merge_plan.h"
#include "store/store_test.h"
#include "base/io.h"
#include "store/store_int.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAY_NS (86400 * NS_PER_S)

static size_t part_files(const struct fixture *f, bool temps)
{
    char path[600];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/parts", f->cfg.data_dir);
    DIR *d = opendir(path);
    CHECK(d);
    for (struct dirent *en; d && (en = readdir(d));)
        n += sv_ends(sv_of(en->d_name), temps ? SV(".tmp") : SV(".part"));
    if (d)
        closedir(d);
    return n;
}

static size_t parts_of(struct fixture *f)
{
    LOCK_SCOPED(&f->st->head.mu);
    return f->st->parts.parts.n;
}

static uint64_t stored(struct fixture *f)
{
    uint64_t rows = 0;
    LOCK_SCOPED(&f->st->head.mu);
    for (size_t i = 0; i < f->st->parts.parts.n; i++)
        rows += f->st->parts.parts.at[i]->rows;
    return rows;
}

static void push_flush(struct fixture *f, const struct rec *r, size_t n)
{
    struct err e = {0};
    CHECK_EQ(push_records(f->st, "web", r, n).code, PUSH_SENT);
    CHECK_OK(store_flush(f->st, &e), &e);
}

static void all_rows(struct fixture *f, bool backward, struct buf *out)
{
    struct err e = {0};
    struct scan_request rq = {.tenant = SV("fake"), .start_ns = INT64_MIN, .end_ns = INT64_MAX, .backward = backward};
    CHECK_OK(scan_text(f->st, &rq, SHOW_LABELS | SHOW_METADATA, out, NULL, &e), &e);
}

/* Merges and checks that a scan in either direction shows what it did. */
static void merge_and_compare(struct fixture *f, size_t first, size_t n)
{
    struct err e = {0};
    struct buf before[2] = {{0}, {0}}, after[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++)
        all_rows(f, i, &before[i]);
    CHECK_OK(merge_window(f->st, first, n, &e), &e);
    for (int i = 0; i < 2; i++) {
        all_rows(f, i, &after[i]);
        CHECK_SV(buf_view(&after[i]), buf_view(&before[i]));
        buf_done(&before[i]);
        buf_done(&after[i]);
    }
}

TEST(equal_times_keep_the_order_of_acceptance)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.limits.discover_log_levels = false;
    REQUIRE(fixture_open(&f));
    push_flush(&f, (struct rec[]){{.ts = 5, .line = "c"}, {.ts = 5, .line = "a"}}, 2);
    push_flush(&f, (struct rec[]){{.ts = 5, .line = "b"}, {.ts = 5, .line = "a"}, {.ts = 4, .line = "late"}}, 3);
    push_flush(&f, (struct rec[]){{.ts = 5, .line = "a", .attrs = {"k", "v"}}, {.ts = 5, .line = "c"}, {.ts = 9, .line = "z"}}, 3);
    push_flush(&f, (struct rec[]){{.ts = 5, .line = "b"}, {.ts = 5, .line = "0"}}, 2);
    static const char want[] = "4 late\n5 c\n5 a\n5 b\n5 a k=v\n5 0\n9 z\n";
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, want);
    merge_and_compare(&f, 1, 2); /* in the middle: its place among the others must stay */
    CHECK_EQ(parts_of(&f), 3);
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, want);
    fixture_close(&f);
    REQUIRE(fixture_open(&f)); /* the catalog lists it last */
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, want);
    merge_and_compare(&f, 0, 3);
    CHECK_EQ(parts_of(&f), 1);
    CHECK_EQ(part_files(&f, false), 1);
    CHECK_EQ(f.st->parts.parts.at[0]->rows, 7);
    CHECK_EQ(f.st->parts.parts.at[0]->level, 1);
    CHECK_ROWS(&f, NULL, 0, SHOW_METADATA, want);
    fixture_done(&f);
}

TEST(many_streams_and_blocks)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    char line[3000];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = 0;
    for (int p = 0; p < 5; p++) {
        for (int s = 0; s < 40; s++) {
            SCOPED(buf_done) struct buf b = {0};
            struct rec r[60];
            char service[20], lines[60][40], ids[60][20];
            size_t n = s == 7 ? 60 : s % 3 == p % 3 ? 5 : 0;
            snprintf(service, sizeof service, "svc%d", s);
            for (size_t i = 0; i < n; i++) {
                snprintf(lines[i], sizeof lines[i], "part %d line %zu", p, i % 11);
                snprintf(ids[i], sizeof ids[i], "%d", (int)i % 13);
                r[i] = (struct rec){.ts = 1000 + (int64_t)(i * 7 % 50), .line = s == 7 ? line : lines[i], .attrs = {"id", ids[i]}};
            }
            if (n) {
                put_records(&b, service, r, n);
                CHECK_EQ(push_bytes(f.st, s % 2 ? "fake" : "other", buf_view(&b), 1).code, PUSH_SENT);
            }
        }
        CHECK_OK(store_flush(f.st, &e), &e);
    }
    CHECK_EQ(parts_of(&f), 5);
    merge_and_compare(&f, 0, 5);
    CHECK_EQ(parts_of(&f), 1);
    fixture_close(&f);
    REQUIRE(fixture_open(&f));
    SCOPED(buf_done) struct buf text = {0};
    all_rows(&f, false, &text);
    CHECK(text.n > 1000);
    fixture_done(&f);
}

/* Parts of some MB of one stream, and a second one whose rows stand between: where times do not overlap blocks are copied. */
TEST(whole_blocks_are_copied)
{
    enum { ROWS_EACH = 4800 };
    for (int overlap = 0; overlap < 3; overlap++) { /* not, at one time, all over */
        struct fixture f;
        struct err e = {0};
        static char lines[ROWS_EACH][2000];
        fixture_config(&f);
        REQUIRE(fixture_open(&f));
        for (int p = 0; p < 3; p++) {
            struct rec *r = calloc(ROWS_EACH, sizeof *r);
            for (int i = 0; i < ROWS_EACH; i++) {
                memset(lines[i], 'a' + i % 26, sizeof lines[i] - 1);
                int n = snprintf(lines[i], 60, "part %d row %d of a request %d", p, i, i * 7919 % 1000);
                lines[i][n] = ' ';
                r[i].line = lines[i];
                r[i].ts = overlap == 2 ? 1 + i : 1 + p * (ROWS_EACH - (overlap == 1)) + i;
            }
            CHECK_EQ(push_records(f.st, "fat", r, ROWS_EACH).code, PUSH_SENT);
            CHECK_EQ(push_records(f.st, "thin", r, 10).code, PUSH_SENT);
            CHECK_OK(store_flush(f.st, &e), &e);
            free(r);
        }
        merge_and_compare(&f, 0, 3);
        CHECK_EQ(parts_of(&f), 1);
        int64_t copied = metric_value(f.st->m.merge_copied);
        if (overlap == 2)
            CHECK_EQ(copied, 0);
        else
            CHECK(copied > ROWS_EACH && copied < 3 * ROWS_EACH);
        merge_and_compare(&f, 0, 1); /* what was copied is read as well as what was not */
        fixture_done(&f);
    }
}

TEST(files_stay_as_long_as_a_scan_reads_them)
{
    struct fixture f;
    struct err e = {0};
    struct scan *sc;
    struct scan_batch b;
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    for (int i = 1; i <= 3; i++)
        push_flush(&f, &(struct rec){.ts = i, .line = "x"}, 1);
    struct scan_request rq = {.tenant = SV("fake"), .start_ns = 0, .end_ns = 100, .columns = SCAN_LINES};
    REQUIRE_OK(scan_open(f.st, &rq, &sc, &e), &e);
    CHECK_OK(merge_window(f.st, 0, 3, &e), &e);
    CHECK_EQ(parts_of(&f), 1);
    CHECK_EQ(part_files(&f, false), 4);
    size_t rows = 0;
    while (scan_next(sc, &b, &e) > 0)
        rows += b.n;
    CHECK_EQ(rows, 3);
    scan_close(sc);
    CHECK_OK(store_merge(f.st, false, &e), &e); /* comes by the files, too */
    CHECK_EQ(part_files(&f, false), 1);
    fixture_done(&f);
}

TEST(days_are_not_merged_with_each_other)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    for (int i = 0; i < 6; i++)
        push_flush(&f, (struct rec[]){{.ts = DAY_NS * 10 + i, .line = "x"}, {.ts = DAY_NS * 11 + i, .line = "y"}}, 2);
    CHECK_EQ(parts_of(&f), 12);
    CHECK_OK(store_merge(f.st, true, &e), &e);
    CHECK_EQ(parts_of(&f), 2);
    CHECK_EQ(part_files(&f, false), 2);
    CHECK_ROWS(&f, NULL, 0, 0, "864000000000000 x\n864000000000001 x\n864000000000002 x\n864000000000003 x\n864000000000004 x\n"
                               "864000000000005 x\n950400000000000 y\n950400000000001 y\n950400000000002 y\n950400000000003 y\n"
                               "950400000000004 y\n950400000000005 y\n");
    CHECK_EQ(metric_value(f.st->m.merge_debt), 0);
    fixture_done(&f);
}

TEST(merging_goes_on_by_itself)
{
    struct fixture f;
    fixture_config(&f);
    f.cfg.merge = true;
    f.cfg.merge_idle = 3600 * NS_PER_S;
    REQUIRE(fixture_open(&f));
    for (int i = 0; i < 40; i++)
        push_flush(&f, &(struct rec){.ts = i + 1, .line = "x"}, 1);
    int64_t until = clock_mono_ns() + 60 * NS_PER_S;
    while (parts_of(&f) >= PLAN_GAIN * 2 && clock_mono_ns() < until)
        usleep(10000);
    CHECK(parts_of(&f) < PLAN_GAIN * 2);
    CHECK(metric_value(f.st->m.merges) > 0);
    fixture_done(&f);
}

TEST(a_damaged_part_stays_and_the_others_are_merged)
{
    struct fixture f;
    struct err e = {0};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    for (int i = 1; i <= 5; i++)
        push_flush(&f, &(struct rec){.ts = i, .line = "some line"}, 1);
    char path[600];
    snprintf(path, sizeof path, "%s/parts/%s", f.cfg.data_dir, f.st->parts.parts.at[2]->name);
    int fd = open(path, O_WRONLY);
    REQUIRE(fd >= 0 && pwrite(fd, "????", 4, 80) == 4);
    close(fd);
    CHECK(!store_merge(f.st, true, &e));
    CHECK_EQ(e.code, ERR_CORRUPT);
    CHECK_OK(store_merge(f.st, true, &e), &e);
    CHECK_EQ(parts_of(&f), 3);
    CHECK_EQ(metric_value(f.st->m.merge_failures), 1);
    CHECK_ROWS(&f, NULL, 0, 0, "1 some line\n2 some line\n4 some line\n5 some line\n");
    fixture_done(&f);
}

/* Six parts of a block each that overlap in time, and memory for some three. */
TEST(short_of_memory_fewer_parts_are_merged)
{
    enum { PARTS = 6, EACH = 100 };
    struct fixture f;
    struct err e = {0};
    static char lines[EACH][8000];
    fixture_config(&f);
    f.cfg.merge_max_memory = 3 << 20;
    REQUIRE(fixture_open(&f));
    for (int p = 0; p < PARTS; p++) {
        struct rec r[EACH];
        for (int i = 0; i < EACH; i++) {
            memset(lines[i], 'a' + i % 26, sizeof lines[i] - 1);
            lines[i][0] = (char)('0' + p);
            r[i] = (struct rec){.ts = 1 + i, .line = lines[i]};
        }
        push_flush(&f, r, EACH);
    }
    merge_and_compare(&f, 0, PARTS);
    CHECK(parts_of(&f) < PARTS && parts_of(&f) > 1);
    CHECK_EQ(stored(&f), PARTS * EACH);
    CHECK(metric_value(f.st->m.merge_memory) <= 4 << 20);
    fixture_close(&f);
    f.cfg.merge_max_memory = 64 << 10; /* not enough for two */
    REQUIRE(fixture_open(&f));
    CHECK(!store_merge(f.st, true, &e));
    CHECK_ERR(&e, ERR_LIMIT, "merge_max_memory=65536");
    while (!store_merge(f.st, true, &e)) /* each says so once, then stays as it is */
        CHECK_EQ(e.code, ERR_LIMIT);
    CHECK_EQ(stored(&f), PARTS * EACH);
    fixture_done(&f);
}

/* ---- faults ---- */

enum { ROWS = 8, PER_PART = 2 };

static void fill(struct fixture *f)
{
    fixture_config(f);
    REQUIRE(fixture_open(f));
    for (int i = 1; i <= ROWS; i += PER_PART) {
        struct rec r[PER_PART + 1];
        char lines[PER_PART + 1][20];
        for (int k = 0; k < PER_PART + 1; k++) { /* the first row of the next is there twice */
            snprintf(lines[k], sizeof lines[k], "row %d", MIN(i + k, ROWS));
            r[k] = (struct rec){.ts = MIN(i + k, ROWS), .line = lines[k]};
        }
        push_flush(f, r, PER_PART + 1);
    }
}

static void check_filled(struct fixture *f)
{
    SCOPED(buf_done) struct buf want = {0};
    for (int i = 1; i <= ROWS; i++)
        buf_fmt(&want, "%d row %d\n", i, i);
    buf_char(&want, 0);
    CHECK_ROWS(f, NULL, 0, 0, want.p);
}

/* After a start: every file is listed, every listed one is there, no row is in two parts but those that were pushed twice. */
static void check_settled(struct fixture *f)
{
    uint64_t rows = 0;
    check_filled(f);
    CHECK_EQ(part_files(f, false), parts_of(f));
    CHECK_EQ(part_files(f, true), 0);
    CHECK_EQ(metric_value(f->st->m.quarantined), 0);
    for (size_t i = 0; i < f->st->parts.parts.n; i++)
        rows += f->st->parts.parts.at[i]->rows;
    CHECK(rows >= ROWS && rows <= ROWS + ROWS / PER_PART);
    for (size_t i = 1; i < f->st->parts.parts.n; i++)
        CHECK(f->st->parts.parts.at[i - 1]->end_seq <= f->st->parts.parts.at[i]->first_seq);
}

/* One merge with a fault at the skip-th call of `op`: once, or from there on, as if the process had died. */
static bool merge_with_fault(enum io_op op, int sys, uint32_t skip, bool for_ever)
{
    struct fixture f;
    struct err e = {0};
    struct io_fault faults[IO_OP_COUNT] = {{.op = op, .skip = skip, .times = for_ever ? 0 : 1, .sys = sys}};
    fill(&f);
    io_faults_set(faults, 1);
    uint64_t before = io_op_count(op);
    bool ok = merge_window(f.st, 0, ROWS / PER_PART, &e);
    CHECK(ok || e.code == ERR_FULL || e.code == ERR_IO);
    bool met = io_op_count(op) - before > skip;
    if (!for_ever) {
        if (op == IO_PREAD) /* reading is the scan's business, too */
            io_faults_set(NULL, 0);
        check_filled(&f);
        io_faults_set(NULL, 0);
        CHECK_OK(store_merge(f.st, true, &e), &e); /* repeats what was left */
        CHECK_EQ(parts_of(&f), 1);
        check_settled(&f);
        push_flush(&f, &(struct rec){.ts = ROWS, .line = "row 8"}, 1);
    }
    fixture_close(&f);
    io_faults_set(NULL, 0);
    if (fixture_open(&f))
        check_settled(&f);
    CHECK_OK(store_merge(f.st, true, &e), &e);
    CHECK_EQ(parts_of(&f), 1);
    CHECK_EQ(f.st->parts.parts.at[0]->rows, ROWS);
    check_settled(&f);
    fixture_done(&f);
    return met;
}

TEST(each_failing_call_of_a_merge)
{
    static const enum io_op ops[] = {IO_WRITE, IO_SYNC, IO_SYNC_DIR, IO_OPEN, IO_RENAME, IO_ALLOCATE, IO_TRUNCATE, IO_UNLINK, IO_PREAD};
    for (size_t o = 0; o < ARRAY_LEN(ops); o++)
        for (int i = 0; i < 4; i++)
            for (uint32_t skip = 0; skip < 64 && !test_failures; skip++) {
                if (ops[o] == IO_PREAD && i % 2)
                    break; /* EIO: the input is damaged, which is another test */
                bool met = merge_with_fault(ops[o], i % 2 ? EIO : ENOSPC, skip, i / 2);
                if (test_failures)
                    test_fail(__FILE__, __LINE__, "op %d, errno %d, call %u, %s", (int)ops[o], i % 2 ? EIO : ENOSPC, skip,
                              i / 2 ? "for ever" : "once");
                if (!met)
                    break;
            }
}

/* Everything fails from the k-th call on, whatever call that is: what a crash leaves. */
TEST(cut_off_anywhere)
{
    for (uint32_t cut = 0; cut < 200 && !test_failures; cut++) {
        struct fixture f;
        struct err e = {0};
        struct io_fault faults[IO_OP_COUNT];
        size_t n = 0;
        fill(&f);
        for (int op = 0; op < IO_OP_COUNT; op++)
            if (op != IO_PREAD && op != IO_STATFS)
                faults[n++] = (struct io_fault){.op = (enum io_op)op, .skip = cut / 4 + (cut % 4 > (uint32_t)op % 4), .sys = EIO};
        io_faults_set(faults, n);
        bool ok = merge_window(f.st, 0, ROWS / PER_PART, &e);
        fixture_close(&f);
        io_faults_set(NULL, 0);
        if (fixture_open(&f))
            check_settled(&f);
        fixture_done(&f);
        if (test_failures)
            test_fail(__FILE__, __LINE__, "cut %u", cut);
        if (ok && cut > 60)
            break;
    }
}

static void child_merges(struct fixture *f, int fd, int first)
{
    struct err e = {0};
    f->cfg.merge = true;
    f->cfg.merge_idle = 0;
    if (!store_open(&f->cfg, f->metrics, &f->st, &e))
        _exit(3);
    for (int i = first;; i++) {
        char line[20];
        snprintf(line, sizeof line, "row %d", i);
        if (push_records(f->st, "web", &(struct rec){.ts = i, .line = line}, 1).code != PUSH_SENT)
            _exit(4);
        if (write(fd, &i, sizeof i) != sizeof i)
            _exit(5);
        if (i % 3 == 0 && !store_flush(f->st, &e))
            _exit(6);
    }
}

TEST(merges_outlive_kill_9)
{
    enum { ROUNDS = 12 };
    struct fixture f;
    int last = 0;
    fixture_config(&f);
    for (int round = 0; round < ROUNDS && !test_failures; round++) {
        int p[2], status, row;
        REQUIRE(pipe(p) == 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(p[0]);
            child_merges(&f, p[1], last + 1);
        }
        close(p[1]);
        int64_t until = clock_mono_ns() + (5 + round * 9) * NS_PER_MS;
        bool killed = false;
        while (read(p[0], &row, sizeof row) == sizeof row) {
            last = row;
            if (!killed && clock_mono_ns() > until)
                killed = kill(pid, SIGKILL) == 0;
        }
        close(p[0]);
        REQUIRE(waitpid(pid, &status, 0) == pid);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        f.cfg.merge = false;
        REQUIRE(fixture_open(&f));
        CHECK_EQ(part_files(&f, false), parts_of(&f));
        struct scan_request rq = {.tenant = SV("fake"), .start_ns = INT64_MIN, .end_ns = INT64_MAX};
        struct scan_batch b;
        struct scan *sc;
        struct err e = {0};
        int64_t next = 1;
        REQUIRE_OK(scan_open(f.st, &rq, &sc, &e), &e);
        while (scan_next(sc, &b, &e) > 0)
            for (size_t i = 0; i < b.n; i++)
                CHECK_EQ(b.ts[i], next++);
        scan_close(sc);
        CHECK(next > last);
        last = (int)next - 1; /* one more may be there without its acknowledgement */
        uint64_t in_parts = 0, in_head = f.st->head.active.rows;
        for (size_t i = 0; i < f.st->parts.parts.n; i++)
            in_parts += f.st->parts.parts.at[i]->rows;
        CHECK_EQ(in_parts + in_head, last); /* each in one place */
        fixture_close(&f);
    }
    CHECK(last > ROUNDS);
    fixture_done(&f);
}

/* ---- what a start finds ---- */

static void link_parts(const struct fixture *f, const char *from, const char *to)
{
    char src[600], dst[600], one[900], two[900];
    snprintf(src, sizeof src, "%s/%s", f->cfg.data_dir, from);
    snprintf(dst, sizeof dst, "%s/%s", f->cfg.data_dir, to);
    (void)!mkdir(dst, 0750);
    DIR *d = opendir(src);
    REQUIRE(d);
    for (struct dirent *en; (en = readdir(d));) {
        snprintf(one, sizeof one, "%s/%s", src, en->d_name);
        snprintf(two, sizeof two, "%s/%s", dst, en->d_name);
        if (en->d_type == DT_REG && link(one, two) != 0)
            CHECK_EQ(errno, EEXIST);
    }
    closedir(d);
}

static void remove_file(const struct fixture *f, const char *name)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", f->cfg.data_dir, name);
    CHECK_EQ(unlink(path), 0);
}

TEST(inputs_that_came_back_are_removed_again)
{
    for (int lost = 0; lost < 3; lost++) { /* nothing, CURRENT, the manifest */
        struct fixture f;
        struct err e = {0};
        fill(&f);
        link_parts(&f, "parts", "kept");
        CHECK_OK(merge_window(f.st, 0, 2, &e), &e);
        link_parts(&f, "parts", "kept");
        CHECK_OK(merge_window(f.st, 0, 2, &e), &e);
        fixture_close(&f);
        link_parts(&f, "kept", "parts");
        CHECK_EQ(part_files(&f, false), ROWS / PER_PART + 2);
        if (lost == 1)
            remove_file(&f, "CURRENT");
        if (lost == 2)
            remove_file(&f, "MANIFEST-000001");
        REQUIRE(fixture_open(&f));
        check_filled(&f);
        CHECK_EQ(parts_of(&f), 2);
        CHECK_EQ(part_files(&f, false), 2);
        fixture_done(&f);
    }
}

TEST(a_merge_whose_edit_is_torn_counts_when_its_inputs_are_gone)
{
    for (int input_back = 0; input_back < 2; input_back++) {
        struct fixture f;
        struct err e = {0};
        char path[700];
        fill(&f);
        link_parts(&f, "parts", "kept");
        CHECK_OK(merge_window(f.st, 0, 3, &e), &e);
        fixture_close(&f);
        snprintf(path, sizeof path, "%s/MANIFEST-000001", f.cfg.data_dir);
        struct stat st;
        REQUIRE(stat(path, &st) == 0 && truncate(path, st.st_size - 1) == 0);
        if (input_back) {
            char one[700], two[700];
            snprintf(one, sizeof one, "%s/kept/0000000000000001.part", f.cfg.data_dir);
            snprintf(two, sizeof two, "%s/parts/0000000000000001.part", f.cfg.data_dir);
            REQUIRE(link(one, two) == 0);
        }
        for (int round = 0; round < 2; round++) {
            REQUIRE(fixture_open(&f));
            check_settled(&f);
            CHECK_EQ(parts_of(&f), 2);
            fixture_close(&f);
        }
        fixture_done(&f);
    }
}

/* ---- room ---- */

TEST(short_of_disk_merging_stops_first_then_pushing)
{
    struct fixture f;
    struct err e = {0};
    fill(&f);
    fixture_close(&f);
    f.cfg.merge_min_free_bytes = UINT64_MAX; /* less is always left */
    REQUIRE(fixture_open(&f));
    CHECK(!store_merge(f.st, true, &e));
    CHECK_ERR(&e, ERR_FULL, "merge_min_free_bytes");
    CHECK_EQ(metric_value(f.st->m.merge_deferred), 1);
    CHECK_EQ(push_records(f.st, "web", &(struct rec){.ts = ROWS, .line = "row 8"}, 1).code, PUSH_SENT);
    fixture_close(&f);
    f.cfg.min_free_bytes = 1 << 20;
    f.cfg.merge_min_free_bytes = 2 << 20;
    REQUIRE(fixture_open(&f));
    struct io_fault full = {.op = IO_STATFS, .sys = ENOSPC};
    io_faults_set(&full, 1);
    struct push_result r = {0};
    int64_t until = clock_mono_ns() + 60 * NS_PER_S;
    do {
        r = push_records(f.st, "web", &(struct rec){.ts = ROWS, .line = "row 8"}, 1);
        usleep(1000);
    } while (r.code == PUSH_SENT && clock_mono_ns() < until);
    CHECK_EQ(r.code, PUSH_RETRY);
    CHECK_ERR(&r.err, ERR_FULL, "min_free_bytes=1048576");
    check_filled(&f);
    CHECK(!store_merge(f.st, true, &e));
    io_faults_set(NULL, 0);
    do {
        r = push_records(f.st, "web", &(struct rec){.ts = ROWS, .line = "row 8"}, 1);
        usleep(1000);
    } while (r.code != PUSH_SENT && clock_mono_ns() < until);
    CHECK_EQ(r.code, PUSH_SENT);
    CHECK_OK(store_merge(f.st, true, &e), &e);
    CHECK_EQ(parts_of(&f), 1);
    check_filled(&f);
    fixture_done(&f);
}

TEST(small_merges_go_before_a_large_one)
{
    enum { LARGE = 5, SMALL = 6 };
    struct fixture f;
    fixture_config(&f);
    f.cfg.merge = true;
    f.cfg.merge_max_bytes = 512 << 10;
    f.cfg.merge_idle = 3600 * NS_PER_S;
    REQUIRE(fixture_open(&f));
    static char lines[LARGE][24000];
    for (int i = 0; i < LARGE; i++) { /* the last makes the merge worth it */
        for (size_t k = 0; k < sizeof lines[i] - 1; k++)
            lines[i][k] = (char)('!' + rand_u64() % 90);
        if (i == LARGE - 1) {
            fixture_close(&f);
            f.cfg.merge_max_rate = 15000; /* many seconds */
            REQUIRE(fixture_open(&f));
        }
        push_flush(&f, &(struct rec){.ts = i + 1, .line = lines[i]}, 1);
    }
    int64_t until = clock_mono_ns() + 60 * NS_PER_S;
    while (!metric_value(f.st->m.merge_running) && clock_mono_ns() < until)
        usleep(1000);
    for (int i = 0; i < SMALL; i++)
        push_flush(&f, &(struct rec){.ts = 100 + i, .line = "x"}, 1);
    bool beside = false;
    while (!beside && metric_value(f.st->m.merge_running) && clock_mono_ns() < until) {
        beside |= metric_value(f.st->m.merges) == 1 && metric_value(f.st->m.merge_running) == 1;
        usleep(1000);
    }
    CHECK(beside);
    fixture_close(&f); /* the large one need not end */
    REQUIRE(fixture_open(&f));
    CHECK_EQ(part_files(&f, false), parts_of(&f));
    CHECK_EQ(stored(&f), LARGE + SMALL);
    fixture_done(&f);
}

TEST(a_slow_merge_ends_when_the_store_closes)
{
    struct fixture f;
    struct err e = {0};
    fill(&f);
    fixture_close(&f);
    f.cfg.merge_idle = 0;
    f.cfg.merge_max_rate = 1;
    f.cfg.merge = true;
    REQUIRE(fixture_open(&f));
    int64_t until = clock_mono_ns() + 60 * NS_PER_S;
    while (!metric_value(f.st->m.merge_running) && clock_mono_ns() < until)
        usleep(1000);
    CHECK_EQ(metric_value(f.st->m.merge_running), 1);
    check_filled(&f);
    fixture_close(&f); /* returns */
    f.cfg.merge = false;
    REQUIRE(fixture_open(&f));
    check_settled(&f);
    CHECK_OK(store_flush(f.st, &e), &e);
    fixture_done(&f);
}

/* ---- the plan ---- */

#define MB (1ull << 20)
static struct plan_window pick(const uint64_t *mb, size_t n, int64_t idle_for)
{
    struct plan_part parts[64];
    struct plan_limits l = {.max_bytes = 4096 * MB, .max_inputs = 16, .now_mono_ns = 1000, .idle_ns = 100};
    for (size_t i = 0; i < n; i++)
        parts[i] = (struct plan_part){.bytes = mb[i] * MB, .added_mono_ns = 1000 - idle_for, .fixed = !mb[i]};
    return plan_pick(parts, n, &l);
}

TEST(the_plan_waits_for_gain)
{
    uint64_t equal[20];
    for (size_t i = 0; i < 20; i++)
        equal[i] = 64;
    CHECK_EQ(pick(equal, 5, 0).n, 0);
    CHECK_EQ(pick(equal, 6, 0).n, 6);
    CHECK_EQ(pick(equal, 20, 0).n, 16);
    CHECK_EQ(pick(equal, 5, 100).n, 5); /* nothing came for a while */
    CHECK_EQ(pick(equal, 1, 100).n, 0);
    struct plan_window w = pick((uint64_t[]){4000, 1024, 1000, 1100, 64, 64}, 6, 0);
    CHECK(w.first == 1 && w.n == 5); /* fills a part */
    w = pick((uint64_t[]){4000, 64, 64, 64, 0, 64, 64, 64}, 8, 0);
    CHECK_EQ(w.n, 0); /* six, but not neighbours */
    w = pick((uint64_t[]){4000, 64, 60}, 3, 100);
    CHECK(w.first == 1 && w.n == 2);
    CHECK_EQ(pick((uint64_t[]){2000, 100, 40}, 3, 100).n, 0);  /* a crumb is not worth writing the rest again */
    CHECK_EQ(pick((uint64_t[]){3000, 3000}, 2, 100).n, 0);     /* too large together */
    CHECK_EQ(pick((uint64_t[]){3000, 40, 10}, 3, 100).n, 2);
}

/* Parts of 64 MB come in one by one: how often is each byte written, how many parts are there at most? */
TEST(the_plan_writes_little)
{
    VEC(struct plan_part) parts = {0};
    struct plan_limits l = {.max_bytes = 4096 * MB, .max_inputs = 16, .idle_ns = INT64_MAX};
    uint64_t written = 0, came = 0;
    size_t most = 0;
    for (int i = 0; i < 1024; i++) {
        *vec_push(&parts) = (struct plan_part){.bytes = (40 + (unsigned)i * 7 % 48) * MB};
        came += parts.at[parts.n - 1].bytes;
        for (struct plan_window w; (w = plan_pick(parts.at, parts.n, &l)).n;) {
            written += w.bytes;
            parts.at[w.first].bytes = w.bytes;
            memmove(&parts.at[w.first + 1], &parts.at[w.first + w.n], (parts.n - w.first - w.n) * sizeof *parts.at);
            parts.n -= w.n - 1;
        }
        size_t small = 0;
        for (size_t k = 0; k < parts.n; k++)
            small += parts.at[k].bytes < 2048 * MB;
        most = MAX(most, small);
    }
    CHECK((double)written / (double)came < 2.2);
    CHECK(most <= 20);
    vec_done(&parts);
}

/* base_test.c - the small things everything stands on. */
#include <math.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/option.h"
#include "base/pool.h"
#include "base/test.h"
#include "base/varint.h"
#include "base/vec.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(finding_a_text_is_what_memmem_does)
{
    char text[300], needle[40];
    for (int round = 0; round < 200000; round++) {
        unsigned letters = 1 + (unsigned)(rand_u64() % 3);
        size_t n = rand_u64() % sizeof text, m = 1 + rand_u64() % (round % 4 ? 4 : sizeof needle);
        for (size_t i = 0; i < n; i++)
            text[i] = (char)('a' + rand_u64() % letters);
        for (size_t i = 0; i < m; i++)
            needle[i] = (char)('a' + rand_u64() % letters);
        char *own = malloc(n + 1); /* its end is the end of the memory */
        ASSERT(own);
        memcpy(own, text, n);
        const char *want = memmem(own, n, needle, m);
        REQUIRE(sv_find(sv_make(own, n), sv_make(needle, m)) == (want ? (size_t)(want - own) : SV_NPOS));
        free(own);
    }
}

TEST(sv_parts_of_nothing_are_nothing)
{
    sv none = SV_NULL;
    CHECK(sv_sub(none, 0, 5).p == NULL && sv_sub(none, 0, 5).n == 0);
    CHECK(sv_from(none, 3).p == NULL && sv_from(none, 3).n == 0);
    sv rest = none;
    CHECK(sv_cut(&rest, ',').n == 0 && rest.p == NULL);
}

TEST(sv_splits_and_finds)
{
    sv rest = SV("a,bb,");
    CHECK_SV(sv_cut(&rest, ','), SV("a"));
    CHECK_SV(sv_cut(&rest, ','), SV("bb"));
    CHECK(rest.p && rest.n == 0);
    CHECK_SV(sv_cut(&rest, ','), SV(""));
    CHECK(!rest.p);
    CHECK_EQ(sv_find(SV("hello"), SV("llo")), 2);
    CHECK(sv_find(SV("hello"), SV("lo!")) == SV_NPOS);
    CHECK_EQ(sv_find(SV_NULL, SV("")), 0);
    CHECK_SV(sv_trim(SV(" \t x y\r\n")), SV("x y"));
    CHECK(sv_cmp(SV("ab"), SV("abc")) < 0 && sv_cmp(SV("b"), SV("abc")) > 0 && sv_cmp(SV(""), SV_NULL) == 0);
}

TEST(sv_numbers_take_the_whole_view)
{
    uint64_t u = 7;
    int64_t i = 7;
    double d;
    CHECK(sv_to_u64(SV("18446744073709551615"), &u) && u == UINT64_MAX);
    CHECK(!sv_to_u64(SV("18446744073709551616"), &u) && u == UINT64_MAX);
    CHECK(!sv_to_u64(SV(""), &u) && !sv_to_u64(SV("1 "), &u) && !sv_to_u64(SV("-1"), &u));
    CHECK(sv_to_i64(SV("-9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(!sv_to_i64(SV("9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(sv_to_double(SV("-1.5e3"), &d) && d == -1500);
    CHECK(!sv_to_double(SV("0x10"), &d) && !sv_to_double(SV("1,5"), &d) && !sv_to_double(SV(" 1"), &d));
}

TEST(sv_utf8_follows_rfc3629)
{
    CHECK(sv_is_utf8(SV("gr\xc3\xb6\xc3\x9f" "e \xf0\x9f\x98\x80 plain ascii that is long")));
    CHECK(!sv_is_utf8(SV("\xc0\xaf")));         /* overlong */
    CHECK(!sv_is_utf8(SV("\xed\xa0\x80")));     /* surrogate */
    CHECK(!sv_is_utf8(SV("\xf4\x90\x80\x80"))); /* beyond U+10FFFF */
    CHECK_EQ(sv_utf8_prefix(SV("abcdefgh\xe2\x82")), 8);
}

TEST(err_context_goes_in_front)
{
    struct err e = {0};
    errno = ENOSPC;
    CHECK(!err_sys(&e, "cannot write %d bytes", 812));
    CHECK(!err_ctx(&e, "segment %d", 42));
    CHECK_ERR(&e, ERR_FULL, "segment 42: cannot write 812 bytes: No space left on device");
    CHECK_EQ(e.sys, ENOSPC);
    for (int i = 0; i < 100; i++)
        err_ctx(&e, "a rather long context to fill the message");
    CHECK(strlen(e.msg) < sizeof e.msg);
    CHECK(!err_set(NULL, ERR_IO, "nobody listens"));
    CHECK(!err_set(&e, ERR_LIMIT, "%400s", "text")); /* texts of the query API are that long */
    CHECK_EQ(strlen(e.msg), 400);
}

TEST(buf_failure_sticks)
{
    struct buf b = buf_capped(10);
    struct err e = {0};
    buf_sv(&b, SV("12345678"));
    CHECK_OK(buf_ok(&b, &e), &e);
    buf_sv(&b, SV("too much"));
    buf_sv(&b, SV("x"));
    CHECK_SV(buf_view(&b), SV("12345678"));
    CHECK(!buf_ok(&b, &e));
    CHECK_ERR(&e, ERR_LIMIT, "10 bytes");
    buf_reset(&b);
    buf_fmt(&b, "%d-%s", 12, "ab");
    buf_i64(&b, -7);
    CHECK_SV(buf_view(&b), SV("12-ab-7"));
    buf_done(&b);
}

TEST(buf_fmt_grows)
{
    struct buf b = {0};
    for (int i = 0; i < 1000; i++)
        buf_fmt(&b, "%04d,", i);
    CHECK_EQ(b.n, 5000);
    CHECK_SV(sv_sub(buf_view(&b), 4995, 5), SV("0999,"));
    buf_done(&b);
}

TEST(arena_counts_and_caps)
{
    struct arena a;
    struct err e = {0};
    arena_init(&a, 300000);
    char *first = arena_alloc(&a, 1);
    CHECK(first && ((uintptr_t)first & 15) == 0);
    CHECK(arena_alloc(&a, 200000) != NULL);
    CHECK(arena_alloc(&a, 200000) == NULL);
    CHECK(!arena_err(&a, &e, "max_query_memory"));
    CHECK_ERR(&e, ERR_LIMIT, "max_query_memory");
    arena_reset(&a);
    CHECK(arena_alloc(&a, 200000) != NULL);
    CHECK(arena_array(&a, SIZE_MAX / 2, 16) == NULL);
    arena_done(&a);
}

TEST(map_survives_many_puts_and_removes)
{
    struct map m = {0};
    static char keys[5000][8];
    for (int i = 0; i < 5000; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        struct map_slot *s = map_put(&m, sv_of(keys[i]));
        REQUIRE(s && !s->value);
        s->value = keys[i];
    }
    for (int i = 0; i < 5000; i += 2)
        CHECK(map_remove(&m, sv_of(keys[i])));
    CHECK(!map_remove(&m, SV("k0")));
    CHECK_EQ(m.n, 2500);
    for (int i = 0; i < 5000; i++)
        CHECK(map_get(&m, sv_of(keys[i])) == (i % 2 ? keys[i] : NULL));
    size_t seen = 0;
    for (struct map_slot *s = NULL; (s = map_next(&m, s));)
        seen++;
    CHECK_EQ(seen, 2500);
    map_done(&m);
}

TEST(crc32c_known_values)
{
    CHECK_EQ(crc32c(0, "123456789", 9), 0xe3069283u);
    uint8_t zeros[32] = {0};
    CHECK_EQ(crc32c(0, zeros, 32), 0x8a9136aau);
    CHECK_EQ(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}

/* One word into a lane, by the plain function: which complements what goes in and what comes out. */
static uint32_t lane_step(uint32_t lane, uint64_t word)
{
    uint8_t b[8];
    put_le64(b, word);
    return ~crc32c(~lane, b, sizeof b);
}

TEST(crc32c_lanes_are_three_crcs_in_turn)
{
    uint64_t words[40];
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        words[i] = rand_u64();
    for (size_t n = 0; n <= ARRAY_LEN(words); n++) {
        uint32_t lane[3] = {lane_step(0, 5), lane_step(0, 6), 0x9e3779b9u};
        for (size_t i = 0; i < n; i++)
            lane[i % 3] = lane_step(lane[i % 3], words[i]);
        CHECK_EQ(crc32c_lanes(5, 6, words, n * 8), lane_step(lane[0], (uint64_t)lane[1] << 32 | lane[2]));
    }
}

TEST(varint_round_trip_and_limits)
{
    uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX >> 1, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        uint8_t bytes[VARINT_MAX];
        size_t n = varint_put(bytes, values[i]);
        CHECK_EQ(n, varint_size(values[i]));
        const uint8_t *p = bytes;
        uint64_t v;
        CHECK(varint_get(&p, bytes + n, &v) && v == values[i] && p == bytes + n);
        p = bytes;
        CHECK(!varint_get(&p, bytes + n - 1, &v) && p == bytes);
    }
    uint8_t eleven[11] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1};
    const uint8_t *p = eleven;
    uint64_t v;
    CHECK(!varint_get(&p, eleven + 11, &v));
    CHECK_EQ(unzigzag(zigzag(-5)), -5);
    CHECK_EQ(unzigzag(zigzag(INT64_MIN)), INT64_MIN);
}

TEST(durations_and_sizes)
{
    int64_t ns;
    uint64_t n;
    struct err e = {0};
    CHECK(parse_duration(SV("1h30m"), &ns, &e) && ns == 5400 * NS_PER_S);
    CHECK(parse_duration(SV("200ms"), &ns, &e) && ns == 200 * NS_PER_MS);
    CHECK(parse_duration(SV("1.5s"), &ns, &e) && ns == 1500 * NS_PER_MS);
    CHECK(parse_duration(SV("0"), &ns, &e) && ns == 0);
    CHECK(!parse_duration(SV("5"), &ns, &e));
    CHECK_ERR(&e, ERR_PARSE, "not a duration: '5'");
    CHECK(!parse_duration(SV("5 s"), &ns, &e) && !parse_duration(SV(""), &ns, &e));
    CHECK(parse_bytes(SV("64MiB"), &n, &e) && n == 64u << 20);
    CHECK(parse_bytes(SV("20MB"), &n, &e) && n == 20000000);
    CHECK(parse_bytes(SV("512"), &n, &e) && n == 512);
    CHECK(!parse_bytes(SV("MB"), &n, &e) && !parse_bytes(SV("5X"), &n, &e));
}

struct settings {
    bool verbose;
    uint64_t size;
    int64_t wait;
    char *data_dir;
};
static const struct option settings_table[] = {
    OPT(BOOL, struct settings, verbose, "false", "say more"),
    OPT(BYTES, struct settings, size, "1MiB", "how much"),
    OPT(DURATION, struct settings, wait, "5s", "how long"),
    OPT_ARG(STR, struct settings, data_dir, "./weir-data", "DIR", "where"),
    {0},
};

TEST(options_from_arguments)
{
    struct settings s = {0};
    struct err e = {0};
    REQUIRE_OK(options_defaults(settings_table, &s, &e), &e);
    CHECK_STR(s.data_dir, "./weir-data");
    struct option_group g = {"Settings", settings_table, &s};
    char *argv[] = {"weir", "--verbose", "--data-dir=/x", "--size", "2k", "rest", "--wait", NULL};
    int at = 1;
    REQUIRE_OK(options_parse_args(&g, 1, 7, argv, &at, &e), &e);
    CHECK(s.verbose && s.size == 2000 && at == 5);
    CHECK_STR(s.data_dir, "/x");
    at = 6;
    CHECK(!options_parse_args(&g, 1, 7, argv, &at, &e));
    CHECK_ERR(&e, ERR_INVALID, "needs a value");
    char *typo[] = {"weir", "--data-dri", "/y", NULL};
    at = 1;
    CHECK(!options_parse_args(&g, 1, 3, typo, &at, &e));
    CHECK_ERR(&e, ERR_INVALID, "did you mean '--data-dir'");
    CHECK(!options_set_by_name(&g, 1, SV("sise"), SV("1"), &e));
    CHECK_ERR(&e, ERR_INVALID, "did you mean 'size'?");
    struct buf help = {0};
    options_print_help(&g, 1, &help);
    CHECK(sv_find(buf_view(&help), SV("Settings:\n  --verbose")) == 0);
    CHECK(sv_find(buf_view(&help), SV("--data-dir DIR")) != SV_NPOS);
    buf_done(&help);
    options_done(settings_table, &s);
}

TEST(metrics_print_in_prometheus_format)
{
    struct metrics *m = metrics_new();
    struct buf out = {0};
    metric_add(metrics_get(m, METRIC_COUNTER, "weir_test_total", "A test.",
                           (const char *[]){"reason", "quoted \"x\"\n", NULL}), 3);
    metric_add(metrics_get(m, METRIC_COUNTER, "weir_test_total", "A test.",
                           (const char *[]){"reason", "quoted \"x\"\n", NULL}), 2);
    struct metric *h = metrics_histogram(m, "weir_size", "Sizes.", NULL, (double[]){1, 10}, 2);
    metric_observe(h, 0.5);
    metric_observe(h, 10);
    metric_observe(h, 11);
    metrics_print(m, &out);
    CHECK_SV(buf_view(&out), SV("# HELP weir_test_total A test.\n# TYPE weir_test_total counter\n"
                                "weir_test_total{reason=\"quoted \\\"x\\\"\\n\"} 5\n"
                                "# HELP weir_size Sizes.\n# TYPE weir_size histogram\n"
                                "weir_size_bucket{le=\"1\"} 1\nweir_size_bucket{le=\"10\"} 2\n"
                                "weir_size_bucket{le=\"+Inf\"} 3\nweir_size_sum 21.5\nweir_size_count 3\n"));
    buf_done(&out);
    metrics_free(m);
}

struct job {
    struct pool_task task;
    _Atomic int *sum;
};
static void add_one(struct pool_task *t)
{
    atomic_fetch_add(CONTAINER_OF(t, struct job, task)->sum, 1);
}

TEST(pool_runs_everything_before_it_closes)
{
    struct pool *p;
    struct err e = {0};
    _Atomic int sum = 0;
    static struct job jobs[1000];
    REQUIRE_OK(pool_open("test", 3, 1000, &p, &e), &e);
    int taken = 0;
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        jobs[i] = (struct job){.task.fn = add_one, .sum = &sum};
        taken += pool_submit(p, &jobs[i].task);
    }
    pool_close(p);
    CHECK_EQ(taken, 1000);
    CHECK_EQ(atomic_load(&sum), 1000);
}

TEST(io_faults_hit_the_chosen_call)
{
    struct err e = {0};
    int dir;
    REQUIRE_OK(io_open_dir(test_dir(), &dir, &e), &e);
    REQUIRE_OK(io_replace_file(dir, "a", SV("old"), &e), &e);
    io_faults_set((struct io_fault[]){{.op = IO_SYNC, .match = "a.tmp", .times = 1, .sys = EIO}}, 1);
    CHECK(!io_replace_file(dir, "a", SV("new"), &e));
    CHECK_ERR(&e, ERR_IO, "cannot sync 'a.tmp'");
    struct buf b = {0};
    CHECK_OK(io_read_file(dir, "a", &b, &e), &e);
    CHECK_SV(buf_view(&b), SV("old"));
    CHECK_OK(io_replace_file(dir, "a", SV("new"), &e), &e); /* the rule was for one call */
    buf_reset(&b);
    CHECK_OK(io_read_file(dir, "a", &b, &e), &e);
    CHECK_SV(buf_view(&b), SV("new"));
    io_faults_set((struct io_fault[]){{.op = IO_WRITE, .sys = ENOSPC, .short_by = 1}}, 1);
    CHECK(!io_replace_file(dir, "b", SV("xyz"), &e));
    CHECK_ERR(&e, ERR_FULL, "No space left");
    int fd;
    char got[3];
    REQUIRE_OK(io_openat(dir, "a", O_RDONLY, 0, &fd, &e), &e);
    io_faults_set((struct io_fault[]){{.op = IO_PREAD, .match = "a", .times = 1, .sys = EIO}}, 1);
    CHECK(!io_pread_all(fd, got, sizeof got, 0, "a", &e));
    CHECK_EQ(e.sys, EIO);
    CHECK_OK(io_pread_all(fd, got, sizeof got, 0, "a", &e), &e);
    io_close(fd);
    io_faults_set(NULL, 0);
    buf_done(&b);
    io_close(dir);
}

TEST(io_mkdir_all_makes_new_names_last)
{
    struct err e = {0};
    char path[300];
    snprintf(path, sizeof path, "%s/m//n/o/", test_dir());
    uint64_t syncs = io_op_count(IO_SYNC_DIR);
    CHECK_OK(io_mkdir_all(path, &e), &e);
    CHECK_EQ(io_op_count(IO_SYNC_DIR) - syncs, 3);
    CHECK_OK(io_mkdir_all(path, &e), &e);
    CHECK_EQ(io_op_count(IO_SYNC_DIR) - syncs, 3);

    snprintf(path, sizeof path, "%s/p", test_dir());
    io_faults_set((struct io_fault[]){{.op = IO_SYNC_DIR, .times = 1, .sys = EIO}}, 1);
    CHECK(!io_mkdir_all(path, &e));
    CHECK_ERR(&e, ERR_IO, path);
    io_faults_set(NULL, 0);
    CHECK_OK(io_mkdir_all(path, &e), &e);
    CHECK_EQ(io_op_count(IO_SYNC_DIR) - syncs, 5); /* not taken for an old one after the failure */
}

TEST(io_lock_dir_is_exclusive)
{
    struct err e = {0};
    int dir, one = -1, two = -1;
    REQUIRE_OK(io_open_dir(test_dir(), &dir, &e), &e);
    REQUIRE_OK(io_lock_dir(dir, "data", &one, &e), &e);
    CHECK(!io_lock_dir(dir, "data", &two, &e));
    CHECK_ERR(&e, ERR_UNAVAILABLE, "'data' is in use");
    io_close(one);
    CHECK_OK(io_lock_dir(dir, "data", &two, &e), &e);
    io_close(two);
    io_close(dir);
}

TEST(io_follows_no_link_and_waits_for_no_fifo_in_a_directory)
{
    struct err e = {0};
    int dir, fd = -1;
    char path[300];
    struct buf b = {0};
    REQUIRE_OK(io_open_dir(test_dir(), &dir, &e), &e);
    REQUIRE_OK(io_replace_file(dir, "victim", SV("precious"), &e), &e);
    REQUIRE(symlinkat("victim", dir, "link") == 0 && mkfifoat(dir, "fifo", 0600) == 0);
    alarm(20); /* for the FIFO */
    CHECK(!io_openat(dir, "link", O_RDWR, 0, &fd, &e));
    CHECK_EQ(e.sys, ELOOP);
    CHECK(!io_openat(dir, "link", O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, &e));
    CHECK_EQ(e.sys, ELOOP);
    CHECK(!io_openat(dir, "fifo", O_RDONLY, 0, &fd, &e));
    CHECK_ERR(&e, ERR_CORRUPT, "'fifo' is not a regular file");
    CHECK(!io_openat(dir, "fifo", O_RDWR, 0, &fd, &e));
    CHECK(!io_openat(dir, ".", O_RDONLY, 0, &fd, &e));
    CHECK(!io_read_file(dir, "fifo", &b, &e));
    CHECK(!io_read_file(dir, "link", &b, &e));
    REQUIRE(symlinkat("victim", dir, "LOCK") == 0);
    CHECK(!io_lock_dir(dir, "data", &fd, &e));
    CHECK_ERR(&e, ERR_IO, "links are not followed");
    REQUIRE(unlinkat(dir, "LOCK", 0) == 0 && symlinkat("nowhere", dir, "LOCK") == 0);
    CHECK(!io_lock_dir(dir, "data", &fd, &e));
    CHECK(faccessat(dir, "nowhere", F_OK, 0) != 0);

    REQUIRE(symlinkat("victim", dir, "a.tmp") == 0 && symlinkat("victim", dir, "a") == 0);
    CHECK_OK(io_replace_file(dir, "a", SV("new"), &e), &e);
    CHECK_OK(io_read_file(dir, "a", &b, &e), &e);
    CHECK_SV(buf_view(&b), SV("new"));
    buf_reset(&b);
    CHECK_OK(io_read_file(dir, "victim", &b, &e), &e);
    CHECK_SV(buf_view(&b), SV("precious"));
    buf_reset(&b);
    snprintf(path, sizeof path, "%s/link", test_dir()); /* a path is the user's own */
    CHECK_OK(io_read_file(AT_FDCWD, path, &b, &e), &e);
    CHECK_SV(buf_view(&b), SV("precious"));
    alarm(0);
    buf_done(&b);
    io_close(dir);
}

/* Runs in a child, which a SIGXFSZ would kill. Returns the step that failed, 0: none. */
static int outgrow(int fd)
{
    static char bytes[100000];
    struct err e = {0};
    sigset_t set, now;
    sv all = sv_make(bytes, sizeof bytes);
    signal(SIGXFSZ, SIG_DFL);
    if (setrlimit(RLIMIT_CORE, &(struct rlimit){0}) != 0 || setrlimit(RLIMIT_FSIZE, &(struct rlimit){65536, RLIM_INFINITY}) != 0)
        return 1;
    if (io_write_all(fd, all, "f", &e) || e.sys != EFBIG)
        return 2;
    if (io_pwrite_all(fd, all, 10, "f", &e) || e.sys != EFBIG)
        return 3;
    if (io_reserve(fd, sizeof bytes, "f", &e) || e.sys != EFBIG)
        return 4;
    if (io_truncate(fd, sizeof bytes, "f", &e) || e.sys != EFBIG)
        return 5;
    if (!io_allocate(fd, sizeof bytes, "f", &e) && e.sys != EFBIG)
        return 6;
    if (pthread_sigmask(SIG_BLOCK, NULL, &now) != 0 || sigismember(&now, SIGXFSZ) || sigpending(&now) != 0 ||
        sigismember(&now, SIGXFSZ))
        return 7;
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (io_pwrite_all(fd, all, 10, "f", NULL) || sigpending(&now) != 0 || sigismember(&now, SIGXFSZ))
        return 8;
    raise(SIGXFSZ); /* one that is not ours waits on */
    if (io_pwrite_all(fd, all, 10, "f", NULL) || sigpending(&now) != 0 || !sigismember(&now, SIGXFSZ))
        return 9;
    return io_pwrite_all(fd, sv_sub(all, 0, 65536), 0, "f", NULL) ? 0 : 10;
}

TEST(io_gives_an_error_and_no_signal_when_a_file_grows_too_large)
{
    struct err e = {0};
    int dir, fd, status = -1;
    REQUIRE_OK(io_open_dir(test_dir(), &dir, &e), &e);
    REQUIRE_OK(io_openat(dir, "f", O_RDWR | O_CREAT, 0600, &fd, &e), &e);
    pid_t pid = fork();
    if (pid == 0)
        _exit(outgrow(fd));
    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(!WIFSIGNALED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    io_close(fd);
    io_close(dir);
}

/* The short way gives what the library's gives. */
TEST(short_decimals_read_as_long_ones)
{
    uint64_t seed = 7;
#define NEXT(n) ((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 33) % (n)
    for (int i = 0; i < 200000; i++) {
        char text[40];
        size_t n = 0, digits = 1 + NEXT(17), point = NEXT(20);
        if (NEXT(3) == 0)
            text[n++] = '-';
        for (size_t k = 0; k < digits; k++) {
            if (k == point)
                text[n++] = '.';
            text[n++] = (char)('0' + NEXT(10));
        }
        text[n] = 0;
        double got = 0, want = strtod(text, NULL);
        CHECK(sv_to_double(sv_make(text, n), &got));
        if (memcmp(&got, &want, sizeof got) != 0)
            test_fail(__FILE__, __LINE__, "%s: %.17g, not %.17g", text, got, want);
    }
#undef NEXT
    double v = 5;
    CHECK(sv_to_double(SV("-0"), &v) && v == 0 && signbit(v));
    CHECK(sv_to_double(SV("5."), &v) && v == 5);
    CHECK(sv_to_double(SV(".5"), &v) && v == .5);
    CHECK(!sv_to_double(SV("-"), &v));
    CHECK(!sv_to_double(SV("."), &v));
    CHECK(!sv_to_double(SV("1.2.3"), &v));
    CHECK(!sv_to_double(SV("1-2"), &v));
}

/* place_test.c - directories of backlogs as hostile or unlucky hands leave them: links, FIFOs, other users' files, half-made
 * ones, power cuts, limits on files; and which directory is taken when none is named. */
#include "backlog/backlog_int.h"
#include "backlog/peek.h"
#include "base/io.h"
#include "base/test.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *path(const char *name)
{
    static char paths[4][500];
    static unsigned turn;
    char *p = paths[turn++ & 3];
    snprintf(p, sizeof paths[0], "%s/%s", test_dir(), name);
    return p;
}

static bool exists(const char *name)
{
    struct stat st;
    return lstat(path(name), &st) == 0;
}

static struct backlog_config config(sv service)
{
    static char base[300];
    snprintf(base, sizeof base, "%s/base", test_dir());
    return (struct backlog_config){.base = base, .service = service, .ring_bytes = 64 << 10, .dict_bytes = 4096,
                                   .spill_max_bytes = 64 << 20, .batch_records = 10, .batch_bytes = 1 << 20};
}

struct found {
    int n;
    char last[256];
};
static bool found_one(void *ctx, const char *name)
{
    struct found *f = ctx;
    f->n++;
    snprintf(f->last, sizeof f->last, "%s", name);
    return true;
}
static struct found list(sv service)
{
    struct found f = {0};
    struct err e = {0};
    CHECK_OK(backlog_list(path("base"), service, found_one, &f, &e), &e);
    return f;
}

/* A backlog whose owner is gone, with a record that is not sent. */
static struct found orphan(sv service)
{
    struct backlog_config c = config(service);
    struct backlog *bl = NULL;
    struct ring_slot slot;
    struct err e = {0};
    if (!backlog_new(&c, SV("r"), &bl, &e))
        test_fail(__FILE__, __LINE__, "no backlog: %s", e.msg);
    ASSERT(bl && ring_reserve(backlog_ring(bl), 8, &slot) == RING_PUT);
    memcpy(slot.record, "\x09" "1234567", 8);
    CHECK(ring_publish(backlog_ring(bl), &slot, 0, 0));
    backlog_forget(bl); /* as a death does: the lock goes, all else stays */
    return list(service);
}

static const char *in_base(const struct found *f, const char *name)
{
    static char at[8][600];
    static unsigned turn;
    char *p = at[turn++ & 7];
    snprintf(p, sizeof at[0], "base/%s%s%s", f->last, *name ? "/" : "", name);
    return p;
}

/* What taking the backlog comes to; ERR_NONE: taken. */
static enum err_code taken(const struct found *f)
{
    struct place p;
    struct err e = {0};
    place_init(&p);
    bool ok = place_take(&p, path("base"), f->last, &e);
    place_done(&p);
    return ok ? ERR_NONE : e.code;
}

TEST(a_fifo_or_a_link_in_place_of_the_ring_stops_nobody)
{
    struct found f = orphan(SV("svc"));
    const char *ring = in_base(&f, RING_NAME);
    CHECK_EQ(taken(&f), ERR_NONE);
    REQUIRE(rename(path(ring), path("elsewhere")) == 0);
    REQUIRE(mkfifo(path(ring), 0600) == 0);
    alarm(20); /* a program that waits for a writer of the FIFO waits for ever */
    CHECK_EQ(taken(&f), ERR_CORRUPT);
    alarm(0);
    REQUIRE(unlink(path(ring)) == 0 && symlink(path("elsewhere"), path(ring)) == 0);
    CHECK_EQ(taken(&f), ERR_NOT_FOUND);
    CHECK(exists("elsewhere"));
}

TEST(a_ring_whose_header_never_reached_the_disk_is_removed)
{
    static char zeros[RING_PAGE];
    for (int kind = 0; kind < 4; kind++) { /* zeros; nothing at all; zeros beside a spool; not zeros */
        struct found f = orphan(SV("svc"));
        const char *ring = in_base(&f, RING_NAME);
        int fd = open(path(ring), O_WRONLY);
        REQUIRE(fd >= 0);
        if (kind == 3)
            CHECK_EQ(pwrite(fd, "x", 1, RING_PAGE - 1), 1);
        if (kind == 1)
            CHECK(ftruncate(fd, 0) == 0);
        else
            CHECK_EQ(pwrite(fd, zeros, sizeof zeros - (kind == 3), 0), sizeof zeros - (kind == 3));
        close(fd);
        if (kind == 2)
            CHECK(mkdir(path(in_base(&f, SPOOL_NAME)), 0700) == 0);
        CHECK_EQ(taken(&f), kind < 2 ? ERR_NOT_FOUND : ERR_NONE); /* ring_attach() says what is wrong with the others */
        CHECK_EQ(exists(in_base(&f, "")), kind >= 2);
        if (kind == 2)
            CHECK(rmdir(path(in_base(&f, SPOOL_NAME))) == 0);
        if (kind >= 2)
            CHECK(unlink(path(ring)) == 0 && rmdir(path(in_base(&f, ""))) == 0);
    }
}

/* As another user: the exit status is the test's result there. */
static int taken_as_nobody(const struct found *f)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(setegid(65534) == 0 && seteuid(65534) == 0 ? (int)taken(f) : 99);
    ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(what_belongs_to_another_user_is_left_alone)
{
    if (geteuid() != 0)
        SKIP("needs root, to become somebody else");
    struct found f = orphan(SV("svc"));
    const char *dir = in_base(&f, ""), *ring = in_base(&f, RING_NAME);
    REQUIRE(chmod(test_dir(), 0755) == 0 && chmod(path("base"), 0777) == 0 && chmod(path(dir), 0777) == 0 &&
            chmod(path(ring), 0666) == 0); /* as inviting as can be */
    CHECK_EQ(taken_as_nobody(&f), ERR_UNAVAILABLE);
    REQUIRE(chown(path(dir), 65534, 65534) == 0);
    CHECK_EQ(taken_as_nobody(&f), ERR_UNAVAILABLE); /* the ring alone is another's */
    REQUIRE(chown(path(ring), 65534, 65534) == 0);
    CHECK_EQ(taken_as_nobody(&f), ERR_NONE);
    CHECK_EQ(taken(&f), ERR_NONE); /* root takes all */
}

/* ---- half-made ones ---- */

static void make_old(const char *name)
{
    struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    REQUIRE(utimensat(AT_FDCWD, path(name), times, 0) == 0);
}

static void make_file(const char *name)
{
    int fd = open(path(name), O_CREAT | O_WRONLY, 0600);
    REQUIRE(fd >= 0);
    close(fd);
}

TEST(half_made_backlogs_go_when_it_is_sure_that_nobody_makes_them)
{
    REQUIRE(mkdir(path("base"), 0700) == 0);
    REQUIRE(mkdir(path("base/.new-1-dead"), 0700) == 0 && mkdir(path("base/.new-2-empty"), 0700) == 0 &&
            mkdir(path("base/.new-3-other"), 0700) == 0 && mkdir(path("base/.new-4-young"), 0700) == 0 &&
            mkdir(path("base/.new-5-held"), 0700) == 0 && mkdir(path("base/.new-6-fifo"), 0700) == 0);
    make_file("base/.new-1-dead/ring");
    make_file("base/.new-3-other/something");
    make_file("base/.new-4-young/ring");
    make_file("base/.new-5-held/ring");
    REQUIRE(mkfifo(path("base/.new-6-fifo/ring"), 0600) == 0);
    make_old("base/.new-1-dead");
    make_old("base/.new-2-empty");
    make_old("base/.new-3-other");
    make_old("base/.new-5-held");
    make_old("base/.new-6-fifo");
    int held = open(path("base/.new-5-held/ring"), O_RDWR);
    REQUIRE(held >= 0);
    struct err e = {0};
    REQUIRE_OK(io_lock_file(held, "ring", &e), &e);

    io_faults_set((struct io_fault[]){{.op = IO_OPEN, .match = RING_NAME, .sys = EMFILE}}, 1);
    list(SV_NULL);
    io_faults_set(NULL, 0);
    CHECK(exists("base/.new-1-dead/ring") && exists("base/.new-2-empty")); /* who cannot look does not know */

    alarm(20);
    CHECK_EQ(list(SV_NULL).n, 0);
    alarm(0);
    CHECK(!exists("base/.new-1-dead"));
    CHECK(!exists("base/.new-2-empty"));
    CHECK(exists("base/.new-3-other/something"));
    CHECK(exists("base/.new-4-young/ring"));
    CHECK(exists("base/.new-5-held/ring"));
    CHECK(exists("base/.new-6-fifo/ring"));
    close(held);
}

/* ---- names ---- */

TEST(a_service_without_a_name_is_one_of_its_own)
{
    struct found named = orphan(SV("svc")), percent = orphan(SV("%")), nameless = orphan(SV(""));
    CHECK_EQ(named.n, 1);
    CHECK_EQ(percent.n, 1);
    CHECK_EQ(nameless.n, 1);
    CHECK(nameless.last[0] == '%' && nameless.last[1] == '-');
    CHECK_EQ(list(SV("svc")).n, 1);
    CHECK_EQ(list(SV_NULL).n, 3);
    char service[BACKLOG_SERVICE_MAX];
    backlog_service(nameless.last, service);
    CHECK_STR(service, "");
    backlog_service(percent.last, service);
    CHECK_STR(service, "%");
}

/* ---- limits ---- */

/* Runs in a child, which a SIGXFSZ would kill. Returns the step that failed, 0: none. */
static int under_a_file_limit(void)
{
    struct backlog_config c = config(SV("svc"));
    struct backlog *bl;
    struct err e = {0};
    static char big[3 << 20];
    if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){1 << 20, RLIM_INFINITY}) != 0)
        return 1;
    c.ring_bytes = 4 << 20;
    if (backlog_new(&c, SV("r"), &bl, &e) || e.sys != EFBIG)
        return 2;
    c.ring_bytes = 64 << 10;
    if (!backlog_new(&c, SV("r"), &bl, &e))
        return 3;
    if (backlog_put_large(bl, SV("s"), sv_make(big, sizeof big), &e) || e.sys != EFBIG)
        return 4;
    for (int i = 0; i < 20; i++) /* what fits into a file goes on, in several */
        if (!backlog_put_large(bl, SV("s"), sv_make(big, 200000), &e) && e.sys != EFBIG)
            return 5;
    struct backlog_stats st;
    backlog_stats(bl, &st);
    if (st.waiting < 10)
        return 6;
    return backlog_close(bl) >= 10 ? 0 : 7;
}

TEST(a_limit_on_file_sizes_is_an_error_and_no_signal)
{
    int status = -1;
    struct rlimit core = {0};
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGXFSZ, SIG_DFL);
        _exit(setrlimit(RLIMIT_CORE, &core) == 0 ? under_a_file_limit() : 99);
    }
    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(!WIFSIGNALED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

/* ---- the default directory ---- */

/* The default directory is what `want` and `tail` make. */
static void check_default(const char *want, const char *tail)
{
    struct err e = {0};
    SCOPED(mem_free) char *got = backlog_default_dir(&e);
    SCOPED(buf_done) struct buf b = {0};
    buf_fmt(&b, "%s%s", want, tail);
    CHECK_OK(got, &e);
    if (got)
        CHECK_SV(sv_of(got), buf_view(&b));
}

TEST(the_default_directory_is_ours_alone)
{
    unsetenv("WEIR_SPOOL_DIR");
    setenv("XDG_STATE_HOME", path("state"), 1);
    setenv("HOME", path("home"), 1);
    REQUIRE(mkdir(path("state"), 0700) == 0);
    check_default(path("state"), "/weir/spool");
    REQUIRE(chmod(path("state/weir/spool"), 0770) == 0);
    check_default(path("home"), "/.local/state/weir/spool");
    REQUIRE(chmod(path("state/weir/spool"), 0702) == 0);
    check_default(path("home"), "/.local/state/weir/spool");
    REQUIRE(chmod(path("state/weir/spool"), 0750) == 0);
    check_default(path("state"), "/weir/spool");
    REQUIRE(rename(path("state/weir/spool"), path("state/away")) == 0);
    REQUIRE(symlink(path("state/away"), path("state/weir/spool")) == 0);
    check_default(path("home"), "/.local/state/weir/spool");
}

TEST(a_long_home_is_never_cut_to_another_one)
{
    struct buf b = {0};
    unsetenv("WEIR_SPOOL_DIR");
    buf_fmt(&b, "%s", test_dir());
    for (int i = 0; i < 4; i++)
        buf_fmt(&b, "/%0100d", i);
    buf_char(&b, 0);
    REQUIRE(buf_ok(&b, NULL));
    setenv("XDG_STATE_HOME", b.p, 1);
    setenv("HOME", path("home"), 1);
    check_default(b.p, "/weir/spool");
    b.n--;
    for (int i = 0; i < 50; i++) /* longer than any path can be */
        buf_fmt(&b, "/%0100d", i);
    buf_char(&b, 0);
    REQUIRE(buf_ok(&b, NULL));
    setenv("XDG_STATE_HOME", b.p, 1);
    check_default(path("home"), "/.local/state/weir/spool");
    setenv("HOME", b.p, 1);
    setenv("XDG_STATE_HOME", path("state"), 1);
    check_default(path("state"), "/weir/spool");
    buf_done(&b);
}

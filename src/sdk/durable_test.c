/* durable_test.c - the batch processor with its ring and spool on disk: outages, full disks, deaths, forks. */
#include "base/io.h"
#include "base/lock.h"
#include "base/test.h"
#include "otlp/walk.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

/* An exporter that looks at the numbers of the records it takes, and refuses for now while it is told to. */
struct sink {
    struct lock mu;
    uint64_t n, first, last, disorder, batches; /* under mu; numbers: the attribute `i` */
    _Atomic bool away, hang;
    _Atomic bool down;
};

static void look(struct sink *s, sv record)
{
    struct otlp_attr a;
    for (struct otlp_attr_iter it = otlp_attrs(record, OTLP_RECORD_ATTRS); otlp_next_attr(&it, &a);)
        if (sv_eq(a.key, SV("i"))) {
            uint64_t i = (uint64_t)otlp_read_value(a.value).i;
            s->disorder += s->n && i <= s->last;
            s->first = s->n ? s->first : i;
            s->last = i;
            s->n++;
        }
}
static void sink_export(void *self, const weir_batch *batch, int64_t timeout_ms, weir_export_result *ret)
{
    struct sink *s = self;
    int64_t until = clock_mono_ms() + timeout_ms;
    while (s->hang && !s->down && clock_mono_ms() < until) {
        usleep(500);
        weir_batch_tend(batch);
    }
    if (s->away || s->hang) {
        ret->code = WEIR_EXPORT_RETRY;
        ret->retry_after_ms = 5;
        return;
    }
    weir_string bytes = weir_batch_otlp(batch);
    struct otlp_counts counts;
    struct otlp_resource_logs rl;
    struct otlp_scope_logs sl;
    struct otlp_record r;
    LOCK_SCOPED(&s->mu);
    CHECK(otlp_check(sv_make(bytes.data, bytes.size), NULL, &counts, NULL) && counts.records == weir_batch_size(batch));
    s->batches++;
    for (struct otlp_iter i = otlp_resources(sv_make(bytes.data, bytes.size)); otlp_next_resource(&i, &rl);)
        for (struct otlp_iter j = otlp_scopes(&rl); otlp_next_scope(&j, &sl);)
            for (struct otlp_iter k = otlp_records(&sl); otlp_next_record(&k, &r);)
                look(s, r.raw);
}
static weir_result sink_shutdown(void *self, int64_t timeout_ms UNUSED)
{
    ((struct sink *)self)->down = true;
    return WEIR_OK;
}
static void sink_after_fork(void *self)
{
    struct sink *s = self;
    *s = (struct sink){.away = s->away};
    lock_init(&s->mu);
}

static weir_batch_options options(void)
{
    static char dir[300];
    snprintf(dir, sizeof dir, "%s/spool", test_dir());
    weir_batch_options o = weir_batch_options_init();
    o.spool_dir = dir;
    o.ring_bytes = 64 << 10;
    o.schedule_delay_ms = 5;
    o.max_export_batch_size = 100;
    return o;
}

static weir_provider *provider(struct sink *s, const weir_batch_options *o)
{
    static const weir_exporter_ops ops = {sizeof ops, sink_export, NULL, sink_shutdown, sink_after_fork, NULL};
    weir_error e = {""};
    *s = (struct sink){0};
    lock_init(&s->mu);
    weir_attr name = weir_str("service.name", "durable");
    weir_resource *r = weir_resource_new(&name, 1, NULL);
    weir_provider_options po = weir_provider_options_init();
    po.resource = r;
    weir_processor *p = weir_batch_processor_new(weir_exporter_new(&ops, s), o, &e);
    weir_provider *got = weir_provider_new(&po, &p, 1, &e);
    if (!got)
        test_fail(__FILE__, __LINE__, "no provider: %s", e.message);
    weir_resource_free(r);
    return got;
}
static weir_logger *logger(weir_provider *p)
{
    return weir_provider_logger(p, "t", NULL, NULL, NULL, 0);
}
static weir_stats stats(weir_provider *p)
{
    weir_stats s = {.struct_size = sizeof s};
    weir_provider_stats(p, &s);
    return s;
}
static void log_i(weir_logger *lg, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        weir_info(lg, "record {i} of many, long enough to fill a ring soon", weir_i64("i", (int64_t)i));
}
/* A record that found no room in the ring is emitted again, until it did: so what follows does not depend on how fast the thread
 * moves records to disk. */
static void log_surely(weir_provider *p, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        for (uint64_t before = stats(p).dropped_ring_full;; before = stats(p).dropped_ring_full) {
            log_i(logger(p), i, i + 1);
            if (stats(p).dropped_ring_full == before)
                break;
            usleep(100);
        }
}

static int entries(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));)
        n += entry->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

TEST(an_outage_goes_to_disk_and_comes_back_in_order)
{
    struct sink s;
    weir_batch_options o = options();
    weir_provider *p = provider(&s, &o);
    s.away = true;
    log_surely(p, 0, 20000);
    weir_stats st = stats(p);
    CHECK_EQ(st.queued, 20000);
    CHECK(st.spilled > 10000 && st.spool_bytes > 1000000);
    s.away = false;
    CHECK_EQ(weir_provider_force_flush(p, 30000), WEIR_OK);
    st = stats(p);
    CHECK_EQ(s.n, 20000);
    CHECK_EQ(s.disorder, 0);
    CHECK_EQ(st.exported, s.n);
    CHECK_EQ(st.queued, 0);
    CHECK_EQ(weir_provider_shutdown(p, 10000), WEIR_OK);
    CHECK_EQ(entries(o.spool_dir), 0);
    weir_provider_free(p);
}

TEST(an_export_that_hangs_does_not_keep_records_from_the_disk)
{
    struct sink s;
    weir_batch_options o = options();
    weir_provider *p = provider(&s, &o);
    s.hang = true;
    log_i(logger(p), 0, 10);
    usleep(20000);
    log_surely(p, 10, 5000);
    CHECK(stats(p).spilled > 3000);
    s.hang = false;
    CHECK_EQ(weir_provider_force_flush(p, 30000), WEIR_OK);
    CHECK_EQ(s.n, 5000);
    CHECK_EQ(s.disorder, 0);
    weir_provider_free(p);
}

TEST(a_full_spool_drops_the_oldest_and_counts_exactly)
{
    struct sink s;
    weir_batch_options o = options();
    o.spool_max_bytes = 300 << 10;
    weir_provider *p = provider(&s, &o);
    s.away = true;
    log_surely(p, 0, 10000);
    CHECK(stats(p).spool_bytes <= o.spool_max_bytes);
    s.away = false;
    CHECK(weir_provider_force_flush(p, 30000) != WEIR_TIMEOUT);
    weir_stats st = stats(p);
    CHECK(st.dropped_queue_full > 5000);
    CHECK_EQ(st.exported + st.dropped_queue_full, 10000);
    CHECK_EQ(s.n, st.exported);
    CHECK_EQ(s.last, 9999);
    CHECK_EQ(s.disorder, 0);
    weir_provider_free(p);
}

TEST(drop_newest_keeps_what_came_first)
{
    struct sink s;
    weir_batch_options o = options();
    o.spool_max_bytes = 200 << 10;
    o.when_full = WEIR_DROP_NEWEST;
    weir_provider *p = provider(&s, &o);
    s.away = true;
    for (int i = 0; i < 60; i++) {
        log_i(logger(p), (uint64_t)i * 100, (uint64_t)i * 100 + 100);
        usleep(500);
    }
    s.away = false;
    CHECK_EQ(weir_provider_force_flush(p, 30000), WEIR_OK);
    weir_stats st = stats(p);
    CHECK(st.dropped_ring_full > 1000);
    CHECK_EQ(st.dropped_queue_full, 0);
    CHECK_EQ(s.n + st.dropped_ring_full, 6000);
    CHECK_EQ(s.first, 0);
    CHECK_EQ(s.disorder, 0);
    weir_provider_free(p);
}

static void *log_many(void *arg)
{
    log_i(arg, 0, 6000);
    return NULL;
}

TEST(block_waits_for_room)
{
    struct sink s;
    weir_batch_options o = options();
    o.spool_max_bytes = 200 << 10;
    o.when_full = WEIR_BLOCK;
    weir_provider *p = provider(&s, &o);
    s.away = true;
    pthread_t t;
    REQUIRE(pthread_create(&t, NULL, log_many, logger(p)) == 0);
    CHECK_SOON(stats(p).queued > 1000, 10000);
    usleep(50000);
    CHECK(stats(p).emitted < 6000);
    s.away = false;
    pthread_join(t, NULL);
    CHECK_EQ(weir_provider_force_flush(p, 30000), WEIR_OK);
    CHECK_EQ(s.n, 6000);
    CHECK_EQ(s.disorder, 0);
    weir_stats st = stats(p);
    CHECK_EQ(st.dropped_ring_full + st.dropped_queue_full, 0);
    /* and whoever waits is let go by the end */
    s.away = true;
    REQUIRE(pthread_create(&t, NULL, log_many, logger(p)) == 0);
    usleep(20000);
    weir_provider_shutdown(p, 50);
    pthread_join(t, NULL);
    st = stats(p);
    CHECK(st.exported + st.left_behind <= st.emitted && st.exported + st.left_behind + st.dropped_after_shutdown >= st.emitted);
    weir_provider_free(p);
}

TEST(a_large_record_goes_to_disk_by_itself)
{
    struct sink s;
    weir_batch_options o = options();
    weir_provider *p = provider(&s, &o);
    static char text[200000];
    memset(text, 'x', sizeof text - 1);
    s.away = true;
    log_i(logger(p), 0, 20);
    weir_info(logger(p), text, weir_i64("i", 20));
    log_i(logger(p), 21, 40);
    s.away = false;
    CHECK_EQ(weir_provider_force_flush(p, 30000), WEIR_OK);
    CHECK_EQ(s.n, 40);
    CHECK_EQ(s.disorder, 0);
    weir_provider_free(p);
}

TEST(shutdown_leaves_the_rest_on_disk_for_the_next_start)
{
    struct sink s, next;
    weir_batch_options o = options();
    weir_provider *p = provider(&s, &o);
    s.away = true;
    log_surely(p, 0, 3000);
    CHECK_EQ(weir_provider_shutdown(p, 20), WEIR_TIMEOUT);
    CHECK_EQ(stats(p).left_behind, 3000);
    CHECK_EQ(stats(p).dropped_at_shutdown, 0);
    CHECK_EQ(entries(o.spool_dir), 1);
    weir_provider *again = provider(&next, &o);
    log_i(logger(again), 5000, 5001); /* the thread starts with the first record */
    CHECK_SOON(stats(again).adopted == 3000, 20000);
    CHECK_SOON(entries(o.spool_dir) == 1, 10000);
    weir_provider_shutdown(again, 10000);
    CHECK_EQ(entries(o.spool_dir), 0);
    CHECK_EQ(stats(again).exported, 1);
    weir_provider_free(p);
    weir_provider_free(again);
}

/* ---- processes ---- */

static _Noreturn void log_and_crash(const weir_batch_options *o, int how)
{
    static struct sink s;
    weir_provider *p = provider(&s, o);
    s.away = true;
    log_surely(p, 0, how == SIGSEGV ? 2000 : 100);
    if (how == SIGABRT)
        abort();
    kill(getpid(), how);
    for (;;)
        pause();
}

TEST(what_a_crashed_process_had_emitted_is_sent_by_the_next)
{
#if defined(__SANITIZE_THREAD__)
    SKIP("ThreadSanitizer cannot follow the threads of a forked child");
#endif
    weir_batch_options o = options();
    int signals[] = {SIGKILL, SIGABRT, SIGSEGV};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        pid_t child = fork();
        if (child == 0) {
            signal(signals[i], SIG_DFL);
            log_and_crash(&o, signals[i]);
        }
        int status;
        waitpid(child, &status, 0);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
        uint64_t want = signals[i] == SIGSEGV ? 2000 : 100;
        struct sink s;
        weir_provider *p = provider(&s, &o);
        log_i(logger(p), 100000, 100001);
        CHECK_SOON(stats(p).adopted >= want, 10000);
        CHECK_EQ(stats(p).adopted, want);
        weir_provider_shutdown(p, 10000);
        CHECK_EQ(s.n, want + 1);
        CHECK_EQ(entries(o.spool_dir), 0);
        weir_provider_free(p);
    }
}

/* With nobody to send to, what dead processes left does not pile up beside our own: it joins it, under its cap. */
TEST(what_cannot_be_sent_for_the_dead_is_taken_over)
{
#if defined(__SANITIZE_THREAD__)
    SKIP("ThreadSanitizer cannot follow the threads of a forked child");
#endif
    weir_batch_options o = options();
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0)
            log_and_crash(&o, SIGKILL);
        waitpid(child, NULL, 0);
    }
    CHECK_EQ(entries(o.spool_dir), 3);
    struct sink s;
    weir_provider *p = provider(&s, &o);
    s.away = true;
    log_i(logger(p), 100000, 100010);
    CHECK_SOON(entries(o.spool_dir) == 1, 20000);
    CHECK_EQ(stats(p).queued, 310);
    CHECK_EQ(stats(p).emitted, 10);
    s.away = false;
    CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_OK);
    CHECK_EQ(s.n, 310);
    CHECK_EQ(stats(p).exported, 10);
    CHECK_EQ(stats(p).adopted, 300);
    weir_provider_free(p);
    CHECK_EQ(entries(o.spool_dir), 0);
}

TEST(a_forked_child_has_a_ring_of_its_own)
{
#if defined(__SANITIZE_THREAD__)
    SKIP("ThreadSanitizer cannot follow the threads of a forked child");
#endif
    struct sink s;
    weir_batch_options o = options();
    weir_provider *p = provider(&s, &o);
    s.away = true;
    log_surely(p, 0, 1500); /* in the ring and on disk */
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            s.away = false;
            log_i(logger(p), 7, 10);
            bool ok = weir_provider_shutdown(p, 10000) == WEIR_OK && s.n == 3 && s.first == 7 && stats(p).emitted == 3;
            _exit(ok ? 0 : 1);
        }
        int status = -1;
        waitpid(child, &status, 0);
        CHECK_EQ(status, 0);
    }
    CHECK_EQ(entries(o.spool_dir), 1);
    s.away = false;
    CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_OK);
    CHECK_EQ(s.n, 1500);
    CHECK_EQ(s.disorder, 0);
    weir_provider_free(p);
    CHECK_EQ(entries(o.spool_dir), 0);
}

/* Several processes of a service start at once and find what one left: one of them sends it. */
TEST(two_starts_at_once_send_it_once)
{
#if defined(__SANITIZE_THREAD__)
    SKIP("ThreadSanitizer cannot follow the threads of a forked child");
#endif
    weir_batch_options o = options();
    pid_t child = fork();
    if (child == 0)
        log_and_crash(&o, SIGKILL);
    waitpid(child, NULL, 0);
    int fds[2], sum = 0;
    REQUIRE(pipe(fds) == 0);
    enum { STARTS = 5 };
    for (int i = 0; i < STARTS; i++)
        if (fork() == 0) {
            static struct sink s;
            weir_provider *p = provider(&s, &o);
            log_i(logger(p), 500, 501);
            usleep(300000);
            weir_provider_shutdown(p, 10000);
            int n = (int)s.n - 1;
            _exit(write(fds[1], &n, sizeof n) == sizeof n ? 0 : 1);
        }
    for (int i = 0, n; i < STARTS; i++)
        if (read(fds[0], &n, sizeof n) == sizeof n)
            sum += n;
    for (int i = 0; i < STARTS; i++)
        wait(NULL);
    CHECK_EQ(sum, 100);
    CHECK_EQ(entries(o.spool_dir), 0);
    close(fds[0]);
    close(fds[1]);
}

/* ---- disks ---- */

static void *log_large_for_ever(void *arg)
{
    static char text[30000];
    memset(text, 'x', sizeof text - 1);
    for (;;) {
        weir_info(arg, "{text}", weir_str("text", text));
        pthread_testcancel();
    }
    return NULL;
}

TEST(a_thread_that_is_cancelled_while_it_emits_leaves_no_lock_behind)
{
#ifdef __SANITIZE_ADDRESS__
    SKIP("AddressSanitizer takes the stack that a cancelled thread leaves for a stack in use");
#endif
    struct sink s;
    weir_batch_options o = options();
    weir_provider *p = provider(&s, &o);
    for (int i = 0; i < 50; i++) {
        pthread_t t;
        REQUIRE(pthread_create(&t, NULL, log_large_for_ever, logger(p)) == 0);
        usleep((useconds_t)i * 97 % 1000);
        REQUIRE(pthread_cancel(t) == 0 && pthread_join(t, NULL) == 0);
    }
    CHECK_EQ(weir_provider_shutdown(p, 30000), WEIR_OK);
    weir_stats st = stats(p);
    CHECK(st.emitted > 0 && st.exported == st.emitted);
    weir_provider_free(p);
}

TEST(a_limit_on_the_size_of_files_does_not_kill_the_program)
{
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        struct sink s;
        weir_batch_options o = options();
        weir_provider *p = provider(&s, &o);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, 0});
        log_i(logger(p), 0, 100); /* no ring on disk, then */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        _exit(weir_provider_force_flush(p, 30000) == WEIR_OK && s.n == 100 ? 0 : 1);
    }
    int status;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(without_a_directory_it_goes_on_in_memory)
{
    struct sink s;
    weir_batch_options o = options();
    struct io_fault f = {.op = IO_ALLOCATE, .sys = ENOSPC};
    weir_provider *p = provider(&s, &o);
    io_faults_set(&f, 1);
    log_i(logger(p), 0, 50);
    io_faults_set(NULL, 0);
    CHECK_EQ(weir_provider_force_flush(p, 10000), WEIR_OK);
    CHECK_EQ(s.n, 50);
    CHECK_EQ(entries(o.spool_dir), 0);
    weir_provider_free(p);
}

TEST(a_disk_that_fills_up_costs_the_oldest)
{
    struct sink s;
    weir_batch_options o = options();
    weir_provider *p = provider(&s, &o);
    s.away = true;
    log_surely(p, 0, 3000);
    struct io_fault f = {.op = IO_WRITE, .match = ".seg", .sys = ENOSPC};
    io_faults_set(&f, 1);
    for (int i = 0; i < 60; i++) {
        log_i(logger(p), 3000 + (uint64_t)i * 50, 3050 + (uint64_t)i * 50);
        usleep(2000);
    }
    io_faults_set(NULL, 0);
    log_surely(p, 6000, 6100);
    s.away = false;
    CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_OK);
    weir_stats st = stats(p);
    CHECK(st.dropped_queue_full > 0);
    CHECK_EQ(st.exported + st.dropped_queue_full + st.dropped_ring_full, st.emitted);
    CHECK_EQ(s.last, 6099);
    CHECK_EQ(s.disorder, 0);
    weir_provider_free(p);
}

TEST(the_sync_interval_syncs_what_was_emitted)
{
    struct sink s;
    weir_batch_options o = options();
    o.sync_interval_ms = 5;
    o.schedule_delay_ms = 60000;
    weir_provider *p = provider(&s, &o);
    log_i(logger(p), 0, 1);
    uint64_t before = io_op_count(IO_SYNC);
    log_i(logger(p), 1, 5);
    CHECK_SOON(io_op_count(IO_SYNC) > before, 10000);
    usleep(30000);
    before = io_op_count(IO_SYNC); /* nothing new: no sync */
    usleep(50000);
    CHECK_EQ(io_op_count(IO_SYNC), before);
    weir_provider_free(p);
}

/* ---- bugs of ours ---- */

static void break_down(void *self UNUSED, const weir_batch *batch UNUSED, int64_t timeout_ms UNUSED, weir_export_result *ret UNUSED)
{
    ASSERT(!"this is a test of what follows");
}

TEST(a_broken_invariant_stops_the_processor_and_not_the_program)
{
    static const weir_exporter_ops ops = {.struct_size = sizeof ops, .export_logs = break_down};
    weir_batch_options o = options();
    weir_processor *pr = weir_batch_processor_new(weir_exporter_new(&ops, NULL), &o, NULL);
    weir_provider *p = weir_provider_new(NULL, &pr, 1, NULL);
    log_i(logger(p), 0, 3);
    CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_FAILED);
    log_i(logger(p), 3, 5);
    CHECK_EQ(stats(p).dropped_after_shutdown, 2);
    CHECK_EQ(weir_provider_shutdown(p, 1000), WEIR_FAILED);
    CHECK_EQ(entries(o.spool_dir), 1); /* what was accepted is still there */
    weir_provider_free(p);
}

/* ---- threads ---- */

static void *log_some(void *arg)
{
    log_i(arg, 0, 20000);
    return NULL;
}

TEST(many_threads_many_loggers_nothing_uncounted)
{
    struct sink s;
    weir_batch_options o = options();
    o.ring_bytes = 1 << 20;
    weir_provider *p = provider(&s, &o);
    pthread_t threads[4];
    char name[20];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "scope-%d", i);
        REQUIRE(pthread_create(&threads[i], NULL, log_some, weir_provider_logger(p, name, NULL, NULL, NULL, 0)) == 0);
    }
    for (int i = 0; i < 1200; i++) { /* more scopes than the dictionary holds */
        snprintf(name, sizeof name, "many-%d", i);
        weir_info(weir_provider_logger(p, name, NULL, NULL, NULL, 0), "x", weir_i64("i", i));
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(weir_provider_shutdown(p, 30000), WEIR_OK);
    weir_stats st = stats(p);
    CHECK_EQ(st.emitted, 81200);
    CHECK_EQ(st.exported + st.dropped_ring_full, 81200);
    CHECK_EQ(s.n, st.exported);
    CHECK_EQ(st.torn, 0);
    weir_provider_free(p);
    CHECK_EQ(entries(o.spool_dir), 0);
}

/* recover_test.c - what processes left behind, listed and delivered by somebody else. */
#include "base/io.h"
#include "base/test.h"
#include "otlp/walk.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

/* An exporter that counts, and answers as it is told. */
struct sink {
    _Atomic uint64_t n, batches, away, refuse, reject; /* the last three: how many calls yet answer so */
    _Atomic int64_t retry_after_ms;
    _Atomic uint64_t die_after; /* batches; 0: never */
};
static bool one_less(_Atomic uint64_t *left)
{
    return *left && (*left)--;
}
static void sink_export(void *self, const weir_batch *batch, int64_t timeout_ms UNUSED, weir_export_result *ret)
{
    struct sink *s = self;
    weir_string bytes = weir_batch_otlp(batch);
    struct otlp_counts counts;
    CHECK(otlp_check(sv_make(bytes.data, bytes.size), NULL, &counts, NULL) && counts.records == weir_batch_size(batch));
    s->batches++;
    if (one_less(&s->away)) {
        *ret = (weir_export_result){.code = WEIR_EXPORT_RETRY, .retry_after_ms = s->retry_after_ms, .message = "away"};
        return;
    }
    if (one_less(&s->refuse)) {
        *ret = (weir_export_result){.code = WEIR_EXPORT_FAILED, .message = "too old"};
        return;
    }
    uint64_t rejected = one_less(&s->reject);
    ret->n_rejected = rejected;
    s->n += counts.records - rejected;
    if (s->die_after && s->batches == s->die_after)
        kill(getpid(), SIGKILL);
}
static weir_exporter *exporter(struct sink *s)
{
    static const weir_exporter_ops ops = {sizeof ops, sink_export, NULL, NULL, NULL, NULL};
    return weir_exporter_new(&ops, s);
}

static const char *dir(void)
{
    static _Thread_local char path[300]; /* threads ask, too */
    snprintf(path, sizeof path, "%s/spool", test_dir());
    return path;
}

static weir_provider *provider(struct sink *s, const char *service)
{
    weir_batch_options o = weir_batch_options_init();
    o.spool_dir = dir();
    o.ring_bytes = 64 << 10;
    o.schedule_delay_ms = 5;
    o.max_export_batch_size = 100;
    weir_attr name = weir_str("service.name", service);
    weir_resource *r = weir_resource_new(&name, 1, NULL);
    weir_provider_options po = weir_provider_options_init();
    po.resource = r;
    weir_error e = {""};
    weir_processor *p = weir_batch_processor_new(exporter(s), &o, &e);
    weir_provider *got = weir_provider_new(&po, &p, 1, &e);
    if (!got)
        test_fail(__FILE__, __LINE__, "no provider: %s", e.message);
    weir_resource_free(r);
    return got;
}

/* A record that finds no room in the ring is emitted again: the thread moves them to disk. */
static void log_n(weir_provider *p, uint64_t n)
{
    weir_logger *lg = weir_provider_logger(p, "t", NULL, NULL, NULL, 0);
    weir_stats st = {.struct_size = sizeof st};
    for (uint64_t i = 0; i < n; i++)
        for (uint64_t full = UINT64_MAX; full != st.dropped_ring_full;) {
            weir_provider_stats(p, &st);
            full = st.dropped_ring_full;
            weir_info(lg, "record {i} of many, long enough to fill a ring soon", weir_i64("i", (int64_t)i));
            weir_provider_stats(p, &st);
            if (full != st.dropped_ring_full)
                usleep(100);
        }
}

/* A backlog of this service with n records, without an owner. */
static void leave(const char *service, uint64_t n)
{
    struct sink s = {.away = UINT64_MAX, .retry_after_ms = 5};
    weir_provider *p = provider(&s, service);
    log_n(p, n);
    weir_stats st = {.struct_size = sizeof st};
    weir_provider_shutdown(p, 20);
    weir_provider_stats(p, &st);
    CHECK_EQ(st.left_behind, n);
    weir_provider_free(p);
}

static int entries(char name[256])
{
    int n = 0;
    DIR *d = opendir(dir());
    for (struct dirent *entry; d && (entry = readdir(d));)
        if (entry->d_name[0] != '.') {
            snprintf(name, 256, "%s", entry->d_name);
            n++;
        }
    if (d)
        closedir(d);
    return n;
}

struct told {
    weir_recover_report last;
    uint64_t progress, records, troubles, listed, waiting, live, unreadable;
    char message[300], service[100];
};
static void on_progress(void *context, const weir_recover_report *so_far)
{
    struct told *t = context;
    CHECK(so_far->delivered >= t->last.delivered);
    t->last = *so_far;
    t->progress++;
}
static void on_trouble(void *context, const char *name, uint64_t records, const char *message)
{
    struct told *t = context;
    CHECK(*name);
    t->records += records;
    t->troubles++;
    snprintf(t->message, sizeof t->message, "%s", message);
}
static weir_recover_options options(struct told *t)
{
    weir_recover_options o = weir_recover_options_init();
    *t = (struct told){0};
    o.max_export_batch_size = 100;
    o.on_progress = on_progress;
    o.on_trouble = on_trouble;
    o.context = t;
    return o;
}
static void on_backlog(void *context, const weir_backlog *b)
{
    struct told *t = context;
    t->listed++;
    t->waiting += b->waiting;
    t->live += b->live;
    t->unreadable += *b->trouble != 0;
    snprintf(t->service, sizeof t->service, "%s", b->service);
    CHECK(*b->trouble || (b->pid == getpid() && b->created_ns > 1700000000000000000u));
    CHECK((b->bytes > 0) == (b->waiting > 0));
}

TEST(what_was_left_is_listed_and_delivered)
{
    struct sink s = {0};
    struct told t;
    weir_error e = {""};
    char name[256];
    weir_recover_options o = options(&t);
    weir_recover_report rep = {.struct_size = sizeof rep};
    leave("shop/orders", 1500); /* more than the ring holds */
    leave("till", 7);
    CHECK(weir_backlogs(dir(), NULL, on_backlog, &t, &e));
    CHECK_EQ(t.listed, 2);
    CHECK_EQ(t.waiting, 1507);
    CHECK_EQ(t.live, 0);
    t = (struct told){0};
    CHECK(weir_backlogs(dir(), "shop/orders", on_backlog, &t, &e));
    CHECK_EQ(t.waiting, 1500);
    CHECK_STR(t.service, "shop/orders");
    weir_exporter *x = exporter(&s);
    o.service = "till";
    CHECK(weir_recover(dir(), x, &o, &rep, &e));
    CHECK_EQ(rep.delivered, 7);
    CHECK_EQ(rep.backlogs, 1);
    o.service = NULL;
    CHECK(weir_recover(dir(), x, &o, &rep, &e));
    CHECK_EQ(rep.delivered, 1500);
    CHECK_EQ(rep.finished, 1);
    CHECK_EQ(rep.left + rep.refused + rep.busy + rep.unreadable + rep.torn, 0);
    CHECK_EQ(s.n, 1507);
    CHECK_EQ(t.last.delivered, 1500);
    CHECK(t.progress >= 15);
    CHECK_EQ(entries(name), 0);
    CHECK(weir_recover(dir(), x, NULL, NULL, NULL)); /* nothing is there: fine */
    weir_exporter_free(x);
}

TEST(the_directory_of_one_backlog_will_do)
{
    struct sink s = {0};
    weir_error e = {""};
    struct told t = {0};
    char name[256], path[700], odd[700];
    leave("one", 5);
    CHECK_EQ(entries(name), 1);
    snprintf(path, sizeof path, "%s/%s", dir(), name);
    snprintf(odd, sizeof odd, "%s/../copy", dir());
    REQUIRE(rename(path, odd) == 0); /* somebody put it aside, under a name of their own */
    leave("two", 6);
    CHECK(weir_backlogs(odd, NULL, on_backlog, &t, &e));
    CHECK_EQ(t.waiting, 5);
    weir_exporter *x = exporter(&s);
    CHECK(weir_recover(odd, x, NULL, NULL, &e));
    CHECK_EQ(s.n, 5);
    CHECK_EQ(access(odd, F_OK), -1);
    CHECK_EQ(entries(name), 1);
    snprintf(path, sizeof path, "%s/%s/", dir(), name);
    CHECK(weir_recover(path, x, NULL, NULL, &e));
    CHECK_EQ(s.n, 11);
    CHECK(!weir_recover(path, x, NULL, NULL, &e));
    CHECK(strstr(e.message, "No such file"));
    CHECK(!weir_recover(dir(), NULL, NULL, NULL, &e));
    weir_exporter_free(x);
}

TEST(the_living_are_left_alone)
{
    struct sink s = {.away = UINT64_MAX, .retry_after_ms = 5}, mine = {0};
    struct told t = {0};
    weir_recover_report rep = {.struct_size = sizeof rep};
    weir_error e = {""};
    weir_provider *p = provider(&s, "alive");
    log_n(p, 10);
    weir_exporter *x = exporter(&mine);
    CHECK(weir_recover(dir(), x, NULL, &rep, &e));
    CHECK_EQ(rep.busy, 1);
    CHECK_EQ(rep.backlogs, 0);
    CHECK_EQ(mine.n, 0);
    CHECK(weir_backlogs(dir(), NULL, on_backlog, &t, &e));
    CHECK_EQ(t.live, 1);
    CHECK_EQ(t.waiting, 10);
    weir_exporter_free(x);
    s.away = 0;
    weir_provider_shutdown(p, 10000);
    CHECK_EQ(s.n, 10);
    weir_provider_free(p);
}

TEST(a_receiver_that_is_away_is_waited_for)
{
    struct sink s = {.away = 3, .retry_after_ms = 5};
    struct told t;
    weir_recover_options o = options(&t);
    weir_recover_report rep = {.struct_size = sizeof rep};
    weir_error e = {""};
    leave("waits", 50);
    weir_exporter *x = exporter(&s);
    CHECK(weir_recover(dir(), x, &o, &rep, &e));
    CHECK_EQ(rep.delivered, 50);
    CHECK_EQ(t.troubles, 0);
    weir_exporter_free(x);
}

TEST(what_cannot_be_delivered_is_left_counted_and_said)
{
    struct sink s = {.away = UINT64_MAX, .retry_after_ms = 1};
    struct told t;
    weir_recover_options o = options(&t);
    weir_recover_report rep = {.struct_size = sizeof rep};
    weir_error e = {""};
    char name[256];
    leave("a", 250);
    leave("b", 30);
    weir_exporter *x = exporter(&s);
    o.timeout_ms = 30;
    CHECK(!weir_recover(dir(), x, &o, &rep, &e));
    CHECK(strstr(e.message, "2 of 2 backlogs are left, with 280 records: given up: away"));
    CHECK_EQ(rep.left, 280);
    CHECK_EQ(rep.delivered, 0);
    CHECK_EQ(t.troubles, 1);
    CHECK_STR(t.message, "given up: away");
    s.away = 0;
    s.retry_after_ms = 3600000; /* longer than we wait */
    o = options(&t);
    CHECK_EQ(entries(name), 2);
    CHECK(weir_recover(dir(), x, &o, &rep, &e));
    CHECK_EQ(s.n, 280);
    weir_exporter_free(x);
}

TEST(what_is_refused_for_good_is_counted_and_named)
{
    struct sink s = {.reject = 1};
    struct told t;
    weir_recover_options o = options(&t);
    weir_recover_report rep = {.struct_size = sizeof rep};
    weir_error e = {""};
    char name[256];
    leave("picky", 250);
    weir_exporter *x = exporter(&s);
    CHECK(weir_recover(dir(), x, &o, &rep, &e));
    CHECK_EQ(rep.refused, 1);
    CHECK_EQ(rep.delivered, 249);
    s.refuse = 1;
    o = options(&t);
    o.discard_refused = true;
    leave("picky", 250);
    uint64_t before = s.batches;
    CHECK(weir_recover(dir(), x, &o, &rep, &e));
    CHECK(s.batches - before >= 3);
    CHECK_EQ(rep.refused + rep.delivered, 250);
    CHECK(rep.refused > 0 && rep.refused <= 100);
    CHECK_EQ(t.records, rep.refused);
    CHECK_EQ(t.troubles, 1);
    CHECK_STR(t.message, "too old");
    CHECK_EQ(entries(name), 0);
    weir_exporter_free(x);
}

TEST(a_receiver_that_refuses_everything_costs_nothing)
{
    struct sink s = {.refuse = UINT64_MAX};
    struct told t;
    weir_recover_options o = options(&t);
    weir_recover_report rep = {.struct_size = sizeof rep};
    weir_error e = {""};
    char name[256];
    leave("a", 250);
    leave("b", 30);
    weir_exporter *x = exporter(&s);
    CHECK(!weir_recover(dir(), x, &o, &rep, &e));
    CHECK_EQ(rep.refused + rep.delivered + rep.finished, 0);
    CHECK_EQ(rep.backlogs, 2);
    CHECK_EQ(rep.left, 280);
    CHECK(strstr(e.message, "too old"));
    /* once something was taken, what was refused first is offered again, and then believed */
    s.refuse = 1;
    CHECK(weir_recover(dir(), x, &o, &rep, &e));
    CHECK_EQ(rep.refused, 0);
    CHECK_EQ(s.n, 280);
    CHECK_EQ(rep.finished, 2);
    CHECK_EQ(entries(name), 0);
    weir_exporter_free(x);
}

TEST(what_cannot_be_read_is_named_and_holds_up_no_other)
{
    struct sink s = {0};
    struct told t;
    weir_recover_options o = options(&t);
    weir_recover_report rep = {.struct_size = sizeof rep};
    weir_error e = {""};
    char name[256], path[600];
    leave("broken", 5);
    CHECK_EQ(entries(name), 1);
    snprintf(path, sizeof path, "%s/%s/ring", dir(), name);
    int fd = open(path, O_RDWR);
    char byte;
    REQUIRE(fd >= 0 && pread(fd, &byte, 1, 20) == 1);
    byte ^= 1;
    REQUIRE(pwrite(fd, &byte, 1, 20) == 1);
    close(fd);
    leave("sound", 8);
    CHECK(weir_backlogs(dir(), NULL, on_backlog, &t, &e));
    CHECK_EQ(t.listed, 2);
    CHECK_EQ(t.unreadable, 1);
    t = (struct told){0};
    weir_exporter *x = exporter(&s);
    CHECK(!weir_recover(dir(), x, &o, &rep, &e));
    CHECK_EQ(rep.unreadable, 1);
    CHECK_EQ(rep.delivered, 8);
    CHECK_EQ(s.n, 8);
    CHECK(strstr(t.message, "checksum"));
    CHECK(strstr(e.message, "1 of 2 backlogs"));
    weir_exporter_free(x);
}

/* Killed after some batches, and started again: each record once, but for the batch that was under way. */
TEST(a_recovery_that_is_killed_goes_on_where_it_was)
{
#if defined(__SANITIZE_THREAD__)
    SKIP("ThreadSanitizer cannot follow the threads of a forked child");
#endif
    struct sink s = {0};
    struct told t;
    weir_recover_options o = options(&t);
    weir_recover_report rep = {.struct_size = sizeof rep};
    weir_error e = {""};
    leave("dies", 1000);
    for (uint64_t i = 1; i <= 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            struct sink dying = {.die_after = 3};
            (void)weir_recover(dir(), exporter(&dying), &o, NULL, NULL);
            _exit(1);
        }
        int status = 0;
        waitpid(child, &status, 0);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    CHECK(weir_backlogs(dir(), NULL, on_backlog, &t, &e));
    weir_exporter *x = exporter(&s);
    CHECK(weir_recover(dir(), x, &o, &rep, &e));
    CHECK_EQ(s.n, t.waiting);
    CHECK(s.n <= 1000 - 6 && s.n >= 1000 - 9 * 100); /* of each, two batches of up to 100 were settled, the third sent */
    weir_exporter_free(x);
}

static void *recover_all(void *arg)
{
    weir_exporter *x = exporter(arg);
    weir_recover_report rep = {.struct_size = sizeof rep};
    CHECK(weir_recover(dir(), x, NULL, &rep, NULL));
    weir_exporter_free(x);
    return NULL;
}

TEST(several_at_once_deliver_each_record_once)
{
    enum { THREADS = 4 };
    struct sink s = {0};
    pthread_t t[THREADS];
    char name[256];
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "service-%d", i); /* of one service, the next start takes over what is there */
        leave(name, 60);
    }
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&t[i], NULL, recover_all, &s) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    CHECK_EQ(s.n, 360);
    CHECK_EQ(entries(name), 0);
}

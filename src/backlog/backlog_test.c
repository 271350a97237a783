/* backlog_test.c - backlogs made, filled, sent from, spilled, adopted; and processes that die at any moment of it. */
#include "backlog/backlog.h"
#include "backlog/peek.h"
#include "base/io.h"
#include "base/test.h"
#include "otlp/walk.h"
#include "otlp/write.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct backlog_config config(void)
{
    static char base[300];
    snprintf(base, sizeof base, "%s/base", test_dir());
    return (struct backlog_config){.base = base, .service = SV("shop/orders"), .ring_bytes = 64 << 10, .dict_bytes = 4096,
                                   .spill_max_bytes = 4 << 20, .drop_oldest = true, .batch_records = 10, .batch_bytes = 1 << 20};
}

/* Resource with one attribute. */
static sv resource(void)
{
    static struct buf b;
    buf_reset(&b);
    size_t mark = otlp_open(&b, 1);
    otlp_put_attr_str(&b, 1, SV("service.name"), SV("shop/orders"));
    otlp_close(&b, mark);
    return buf_view(&b);
}
static sv scope(const char *name)
{
    static struct buf b;
    buf_reset(&b);
    size_t mark = otlp_open(&b, 1);
    otlp_put_bytes(&b, 1, sv_of(name));
    otlp_close(&b, mark);
    return buf_view(&b);
}

static struct backlog *make(const struct backlog_config *cfg)
{
    struct backlog *bl = NULL;
    struct err e = {0};
    if (!backlog_new(cfg, resource(), &bl, &e))
        test_fail(__FILE__, __LINE__, "no backlog: %s", e.msg);
    ASSERT(bl);
    return bl;
}

/* A record that says its number as its time, with some text. */
static bool put(struct backlog *bl, uint64_t i, uint32_t ref, size_t text)
{
    struct ring_slot slot;
    static _Thread_local char buf[20000];
    struct buf b = {.p = buf, .cap = sizeof buf};
    otlp_put_fixed64(&b, 1, i);
    size_t body = otlp_open(&b, 5);
    otlp_put_bytes(&b, 1, sv_make((memset(buf + 10000, 'x', text), buf + 10000), text));
    otlp_close(&b, body);
    sv s = ref ? SV_NULL : scope("inline");
    if (ring_reserve(backlog_ring(bl), (uint32_t)(s.n + b.n), &slot) != RING_PUT)
        return false;
    if (s.n)
        memcpy(slot.record, s.p, s.n);
    memcpy(slot.record + s.n, b.p, b.n);
    CHECK(ring_publish(backlog_ring(bl), &slot, ref, (uint32_t)s.n));
    return true;
}

/* Takes one batch and looks at its records' numbers, which ascend; 0: there was none. */
struct seen {
    uint64_t n, first, last, batches;
    bool jumps; /* numbers may be left out */
};
static uint32_t take(struct backlog *bl, struct seen *s, bool settle)
{
    sv request;
    uint32_t n = 0;
    struct err e = {0};
    struct otlp_counts counts;
    struct otlp_resource_logs rl;
    struct otlp_scope_logs sl;
    struct otlp_record r;
    int got = backlog_take(bl, &request, &n, &e);
    CHECK_OK(got >= 0, &e);
    if (got <= 0)
        return 0;
    CHECK_OK(otlp_check(request, NULL, &counts, &e), &e);
    CHECK_EQ(counts.records, n);
    CHECK_EQ(counts.resources, 1);
    for (struct otlp_iter i = otlp_resources(request); otlp_next_resource(&i, &rl);) {
        CHECK(sv_find(rl.resource, SV("shop/orders")) != SV_NPOS);
        for (struct otlp_iter j = otlp_scopes(&rl); otlp_next_scope(&j, &sl);)
            for (struct otlp_iter k = otlp_records(&sl); otlp_next_record(&k, &r);) {
                if (s->n && (s->jumps ? r.time_ns <= s->last : r.time_ns != s->last + 1))
                    test_fail(__FILE__, __LINE__, "record %" PRIu64 " behind %" PRIu64, r.time_ns, s->last);
                s->first = s->n ? s->first : r.time_ns;
                s->last = r.time_ns;
                s->n++;
            }
    }
    s->batches++;
    if (settle)
        backlog_settle(bl);
    return n;
}
static struct seen take_all(struct backlog *bl, bool jumps)
{
    struct seen s = {.jumps = jumps};
    while (take(bl, &s, true))
        ;
    return s;
}

static bool count_name(void *ctx, const char *name)
{
    snprintf(ctx, 256, "%s", name);
    return true;
}
static int backlogs(const struct backlog_config *cfg, sv service, char name[256])
{
    struct err e = {0};
    int n = 0;
    name[0] = 0;
    CHECK_OK(backlog_list(cfg->base, service, count_name, name, &e), &e);
    DIR *d = opendir(cfg->base);
    for (struct dirent *entry; d && (entry = readdir(d));)
        n += entry->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

TEST(records_leave_in_batches_and_nothing_stays_behind)
{
    struct backlog_config cfg = config();
    struct backlog *bl = make(&cfg);
    char name[256];
    uint32_t ref = ring_define(backlog_ring(bl), scope("lib"));
    for (uint64_t i = 0; i < 25; i++)
        CHECK(put(bl, i, ref, i % 100));
    CHECK_EQ(backlogs(&cfg, SV("shop/orders"), name), 1);
    CHECK(sv_starts(sv_of(name), SV("shop%2forders-")));
    backlogs(&cfg, SV("shop"), name);
    CHECK_STR(name, "");
    struct backlog_stats st;
    backlog_stats(bl, &st);
    CHECK_EQ(st.waiting, 25);
    struct seen s = {0};
    CHECK_EQ(take(bl, &s, false), 10);
    s = (struct seen){0};
    CHECK_EQ(take(bl, &s, true), 10); /* the same again until it is settled */
    CHECK_EQ(s.first, 0);
    s = take_all(bl, false);
    CHECK_EQ(s.first, 10);
    CHECK_EQ(s.n, 15);
    backlog_stats(bl, &st);
    CHECK_EQ(st.waiting, 0);
    CHECK_EQ(backlog_close(bl), 0);
    CHECK_EQ(backlogs(&cfg, SV_NULL, name), 0);
}

TEST(scopes_of_a_batch_are_kept_apart)
{
    struct backlog_config cfg = config();
    struct backlog *bl = make(&cfg);
    uint32_t a = ring_define(backlog_ring(bl), scope("a")), b = ring_define(backlog_ring(bl), scope("b"));
    uint32_t refs[] = {a, b, 0, a, 0, b};
    for (uint64_t i = 0; i < ARRAY_LEN(refs); i++)
        CHECK(put(bl, i, refs[i], 3));
    sv request;
    uint32_t n;
    struct otlp_resource_logs rl;
    struct otlp_scope_logs sl;
    struct otlp_record r;
    struct otlp_scope sc;
    REQUIRE(backlog_take(bl, &request, &n, NULL) == 1);
    SCOPED(buf_done) struct buf text = {0};
    for (struct otlp_iter i = otlp_resources(request); otlp_next_resource(&i, &rl);)
        for (struct otlp_iter j = otlp_scopes(&rl); otlp_next_scope(&j, &sl);) {
            otlp_read_scope(sl.scope, &sc);
            buf_fmt(&text, SV_FMT ":", SV_ARG(sc.name));
            for (struct otlp_iter k = otlp_records(&sl); otlp_next_record(&k, &r);)
                buf_fmt(&text, "%d", (int)r.time_ns);
            buf_char(&text, ' ');
        }
    CHECK_SV(buf_view(&text), SV("a:03 b:15 inline:24 "));
    backlog_settle(bl);
    backlog_close(bl);
}

TEST(spilling_keeps_the_order)
{
    struct backlog_config cfg = config();
    struct backlog *bl = make(&cfg);
    struct err e = {0};
    uint32_t ref = ring_define(backlog_ring(bl), scope("lib"));
    struct seen s = {0};
    uint64_t in = 0;
    for (int round = 0; round < 300; round++) {
        for (uint64_t n = rand_u64() % 40; n-- > 0;)
            in += put(bl, in, ref, rand_u64() % 500);
        switch (rand_u64() % 4) {
        case 0:
            CHECK_OK(backlog_spill(bl, false, &e), &e);
            break;
        case 1:
            take(bl, &s, true);
            break;
        case 2: { /* spilled while it is out */
            struct seen again = s;
            take(bl, &again, false);
            CHECK_OK(backlog_spill(bl, false, &e), &e);
            take(bl, &s, true);
        }
        }
    }
    while (take(bl, &s, true))
        ;
    CHECK_EQ(s.n, in);
    CHECK_EQ(s.first, 0);
    struct backlog_stats st;
    backlog_stats(bl, &st);
    CHECK(st.spilled > 0);
    CHECK_EQ(st.waiting, 0);
    CHECK_EQ(st.dropped, 0);
    char name[256];
    CHECK_EQ(backlog_close(bl), 0);
    CHECK_EQ(backlogs(&cfg, SV_NULL, name), 0);
}

TEST(a_full_spool_gives_up_its_oldest_and_counts_them)
{
    struct backlog_config cfg = config();
    cfg.spill_max_bytes = 300 << 10;
    struct backlog *bl = make(&cfg);
    struct err e = {0};
    uint32_t ref = ring_define(backlog_ring(bl), scope("lib"));
    struct seen s = {.jumps = true}, out = {0};
    enum { N = 5000 };
    for (uint64_t i = 0; i < N; i++) {
        REQUIRE(put(bl, i, ref, 100 + i % 300));
        if (i == 20)
            take(bl, &out, false); /* is out all the time: the copy is sent whatever becomes of it on disk */
        if (i % 50 == 49)
            CHECK_OK(backlog_spill(bl, false, &e), &e);
    }
    struct backlog_stats st;
    backlog_stats(bl, &st);
    CHECK(st.spool_bytes <= cfg.spill_max_bytes);
    CHECK(st.dropped > N / 2);
    CHECK_EQ(st.dropped + st.waiting, N);
    while (take(bl, &s, true))
        ;
    CHECK_EQ(s.first, 0);
    CHECK_EQ(s.last, N - 1);
    CHECK_EQ(s.n + st.dropped, N);
    backlog_close(bl);
}

TEST(a_full_spool_that_may_not_drop_says_so)
{
    struct backlog_config cfg = config();
    cfg.spill_max_bytes = 100 << 10;
    cfg.drop_oldest = false;
    struct backlog *bl = make(&cfg);
    struct err e = {0};
    uint32_t ref = ring_define(backlog_ring(bl), scope("lib"));
    uint64_t in = 0;
    bool ok = true;
    while (ok) {
        in += put(bl, in, ref, 400);
        ok = in % 50 || backlog_spill(bl, false, &e);
    }
    CHECK_ERR(&e, ERR_FULL, "max_bytes");
    while (put(bl, in, ref, 400))
        in++;
    struct seen s = take_all(bl, false);
    CHECK_EQ(s.n, in); /* nothing of what was put is lost */
    CHECK(backlog_spill(bl, false, &e));
    CHECK_EQ(backlog_close(bl), 0);
}

TEST(a_disk_that_fails_costs_nothing_but_room)
{
    struct backlog_config cfg = config();
    struct backlog *bl = make(&cfg);
    uint32_t ref = ring_define(backlog_ring(bl), scope("lib"));
    struct seen s = {0};
    uint64_t in = 0;
    for (enum io_op op = IO_OPEN; op <= IO_UNLINK; op++)
        for (uint32_t skip = 0; skip < 6; skip++) {
            struct io_fault f = {.op = op, .skip = skip, .times = 2, .sys = skip % 2 ? ENOSPC : EIO, .short_by = skip * 7};
            for (int n = 0; n < 15; n++, in++)
                REQUIRE(put(bl, in, ref, 50));
            io_faults_set(&f, 1);
            for (int n = 0; n < 3; n++)
                (void)!backlog_spill(bl, false, &(struct err){0});
            take(bl, &s, true);
            io_faults_set(NULL, 0);
            (void)!backlog_spill(bl, false, NULL);
            take(bl, &s, true);
        }
    while (take(bl, &s, true))
        ;
    CHECK_EQ(s.n, in);
    CHECK_EQ(backlog_close(bl), 0);
}

TEST(a_full_disk_costs_the_oldest_when_there_is_no_other_room)
{
    struct backlog_config cfg = config();
    cfg.spill_max_bytes = 1 << 20;
    struct backlog *bl = make(&cfg);
    struct err e = {0};
    uint32_t ref = ring_define(backlog_ring(bl), scope("lib"));
    uint64_t in = 0;
    for (; in < 600; in++) {
        REQUIRE(put(bl, in, ref, 400));
        if (in % 30 == 29)
            CHECK_OK(backlog_spill(bl, false, &e), &e);
    }
    for (; in < 620; in++)
        REQUIRE(put(bl, in, ref, 400));
    struct io_fault f = {.op = IO_WRITE, .match = ".seg", .times = 3, .sys = ENOSPC};
    io_faults_set(&f, 1);
    CHECK(!backlog_spill(bl, false, &e));
    CHECK_ERR(&e, ERR_FULL, "No space left");
    CHECK_OK(backlog_spill(bl, true, &e), &e);
    io_faults_set(NULL, 0);
    struct backlog_stats st;
    backlog_stats(bl, &st);
    CHECK(st.dropped > 0 && st.dropped < 100);
    struct seen s = take_all(bl, true);
    CHECK_EQ(s.n + st.dropped, in);
    CHECK_EQ(s.last, in - 1);
    CHECK_EQ(backlog_close(bl), 0);
}

TEST(memory_keeps_the_newest)
{
    struct backlog_config cfg = config();
    cfg.base = NULL;
    struct backlog *bl = make(&cfg);
    struct err e = {0};
    uint32_t ref = ring_define(backlog_ring(bl), scope("lib"));
    struct seen s = {0};
    CHECK_STR(backlog_dir(bl), "");
    for (uint64_t i = 0; i < 100; i++)
        CHECK(put(bl, i, ref, 10));
    CHECK(!backlog_spill(bl, false, &e));
    take(bl, &s, false);
    CHECK_EQ(backlog_drop(bl, 30), 60);
    s = (struct seen){.jumps = true};
    CHECK_EQ(take(bl, &s, true), 10);
    CHECK_EQ(s.first, 0);
    while (take(bl, &s, true))
        ;
    CHECK_EQ(s.last, 99);
    CHECK_EQ(s.n, 40);
    CHECK(put(bl, 1, ref, 10));
    uint64_t lost;
    CHECK_EQ(backlog_finish(bl, &lost), 0);
    CHECK_EQ(lost, 1);
    backlog_free(bl);
}

/* ---- processes ---- */

static int run_child(void (*fn)(const struct backlog_config *cfg), const struct backlog_config *cfg)
{
    pid_t child = fork();
    if (child == 0) {
        fn(cfg);
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}
static void put_and_die(const struct backlog_config *cfg)
{
    struct backlog *bl = make(cfg);
    uint32_t ref = ring_define(backlog_ring(bl), scope("lib"));
    for (uint64_t i = 0; i < 60; i++) {
        put(bl, i, ref, 100);
        if (i == 29 && !backlog_spill(bl, false, NULL))
            _exit(1);
    }
    struct ring_slot slot;
    if (ring_reserve(backlog_ring(bl), 50, &slot) != RING_PUT) /* never published */
        _exit(1);
    put(bl, 60, ref, 10);
    kill(getpid(), SIGKILL);
}

TEST(what_a_dead_process_left_is_adopted_once)
{
    struct backlog_config cfg = config();
    struct err e = {0};
    char name[256];
    struct backlog *first, *second;
    CHECK_EQ(run_child(put_and_die, &cfg), SIGKILL);
    CHECK_EQ(backlogs(&cfg, SV("shop/orders"), name), 1);
    REQUIRE_OK(backlog_adopt(&cfg, name, &first, &e), &e);
    CHECK(!backlog_adopt(&cfg, name, &second, &e));
    CHECK_ERR(&e, ERR_UNAVAILABLE, "in use by another process");
    struct seen s = {0};
    for (int i = 0; i < 2; i++)
        take(first, &s, true);
    CHECK_EQ(s.n, 20);
    backlog_close(first); /* this adopter dies, too */
    REQUIRE_OK(backlog_adopt(&cfg, name, &first, &e), &e);
    while (take(first, &s, true))
        ;
    CHECK_EQ(s.n, 61);
    CHECK_EQ(s.last, 60);
    struct backlog_stats st;
    backlog_stats(first, &st);
    CHECK_EQ(st.torn, 1);
    CHECK_EQ(backlog_close(first), 0);
    CHECK_EQ(backlogs(&cfg, SV_NULL, name), 0);
    CHECK(!backlog_adopt(&cfg, "gone-1-1", &first, &e));
    CHECK_ERR(&e, ERR_NOT_FOUND, "is not a backlog");
}

static _Atomic uint64_t *shared;
static void spill_for_ever(const struct backlog_config *cfg);

TEST(a_look_counts_what_waits_and_takes_nothing)
{
    struct backlog_config cfg = config();
    struct backlog *bl = make(&cfg), *other;
    struct backlog_peek look;
    struct err e = {0};
    char name[256], service[BACKLOG_SERVICE_MAX];
    uint32_t ref = ring_define(backlog_ring(bl), scope("lib"));
    backlogs(&cfg, SV_NULL, name);
    CHECK_OK(backlog_peek(cfg.base, name, &look, &e), &e);
    CHECK(look.live);
    CHECK_EQ(look.waiting + look.bytes + look.torn, 0);
    CHECK_EQ(look.pid, (uint64_t)getpid());
    backlog_service(name, service);
    CHECK_STR(service, "shop/orders");
    for (uint64_t i = 0; i < 40; i++)
        put(bl, i, ref, 100);
    CHECK_OK(backlog_spill(bl, false, &e), &e);
    for (uint64_t i = 40; i < 47; i++)
        put(bl, i, 0, 100);
    CHECK_OK(backlog_peek(cfg.base, name, &look, &e), &e);
    CHECK(look.live);
    CHECK_EQ(look.ring_records, 7);
    CHECK_EQ(look.spool_records, 40);
    CHECK_EQ(look.spool_frames, 4);
    CHECK_EQ(look.waiting, 47);
    CHECK(look.bytes > 47 * 100);
    struct seen s = {0};
    take(bl, &s, true);
    CHECK_OK(backlog_peek(cfg.base, name, &look, &e), &e);
    CHECK_EQ(look.waiting, 37);
    CHECK_EQ(backlog_close(bl), 37);
    CHECK_OK(backlog_peek(cfg.base, name, &look, &e), &e);
    CHECK(!look.live);
    CHECK_EQ(look.waiting, 37);
    REQUIRE_OK(backlog_adopt(&cfg, name, &other, &e), &e); /* the look has left no lock behind */
    while (take(other, &s, true))
        ;
    CHECK_EQ(s.n, 47);
    backlog_close(other);
    CHECK(!backlog_peek(cfg.base, name, &look, &e));
    CHECK_EQ(e.code, ERR_NOT_FOUND);
    backlog_service("a%2fb-c-12-0000abcd", service);
    CHECK_STR(service, "a/b-c");
    backlog_service("odd%2", service);
    CHECK_STR(service, "odd%2");
}

/* While records are put, sent and spilled, a look sees no more than there were, and none twice. */
TEST(a_look_at_the_living_sees_no_record_twice)
{
    struct backlog_config cfg = config();
    cfg.spill_max_bytes = 64 << 20;
    struct err e = {0};
    char name[256];
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    pid_t child = fork();
    if (child == 0)
        spill_for_ever(&cfg);
    int64_t until = clock_mono_ms() + 20000;
    while (atomic_load(shared) < 100 && clock_mono_ms() < until)
        usleep(100);
    backlogs(&cfg, SV_NULL, name);
    for (int i = 0; i < 200; i++) {
        struct backlog_peek look;
        uint64_t before = atomic_load(shared);
        CHECK_OK(backlog_peek(cfg.base, name, &look, &e), &e);
        CHECK(look.live);
        CHECK(look.waiting >= before && look.waiting <= atomic_load(shared) + 1);
        if (before > 200000)
            break;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    munmap((void *)shared, 4096);
}

TEST(the_living_are_not_adopted)
{
    struct backlog_config cfg = config();
    struct backlog *bl = make(&cfg), *other;
    struct err e = {0};
    char name[256];
    backlogs(&cfg, SV_NULL, name);
    CHECK(!backlog_adopt(&cfg, name, &other, &e));
    CHECK_EQ(e.code, ERR_UNAVAILABLE);
    put(bl, 1, ring_define(backlog_ring(bl), scope("x")), 1);
    CHECK_EQ(backlog_close(bl), 1); /* left behind */
    REQUIRE_OK(backlog_adopt(&cfg, name, &other, &e), &e);
    struct seen s = take_all(other, false);
    CHECK_EQ(s.n, 1);
    backlog_close(other);
}

/* A death between appending to the spool and releasing the ring must not show a record twice: the spool knows. */
static void spill_for_ever(const struct backlog_config *cfg)
{
    struct backlog *bl = make(cfg);
    uint32_t ref = ring_define(backlog_ring(bl), scope("lib"));
    for (uint64_t i = 0;;) {
        if (put(bl, i, ref, 20))
            atomic_store(shared, ++i);
        else if (!backlog_spill(bl, false, NULL))
            _exit(1);
        if (i % 64 == 0 && !backlog_spill(bl, false, NULL))
            _exit(1);
    }
}

TEST(killed_at_any_moment_each_record_is_there_once)
{
    struct backlog_config cfg = config();
    cfg.spill_max_bytes = 64 << 20;
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    for (int round = 0; round < 200; round++) {
        struct err e = {0};
        struct backlog *bl;
        char name[256];
        atomic_store(shared, 0);
        pid_t child = fork();
        if (child == 0)
            spill_for_ever(&cfg);
        int64_t until = clock_mono_ms() + 20000;
        while (atomic_load(shared) < 100 && clock_mono_ms() < until)
            usleep(100);
        usleep((useconds_t)(rand_u64() % 3000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        REQUIRE(backlogs(&cfg, SV_NULL, name) == 1);
        struct backlog_peek look;
        CHECK_OK(backlog_peek(cfg.base, name, &look, &e), &e);
        REQUIRE_OK(backlog_adopt(&cfg, name, &bl, &e), &e);
        struct seen s = take_all(bl, false); /* 0, 1, 2 …, each once */
        CHECK(s.n >= atomic_load(shared) && s.n <= atomic_load(shared) + 1 && s.first == 0);
        CHECK_EQ(look.waiting, s.n);
        CHECK(!look.live);
        CHECK_EQ(backlog_close(bl), 0);
    }
    munmap((void *)shared, 4096);
}

TEST(killed_while_it_is_made_nothing_is_left_that_cannot_be_adopted)
{
    struct backlog_config cfg = config();
    for (int round = 0; round < 300; round++) {
        struct backlog *bl;
        struct err e = {0};
        pid_t pid = fork();
        REQUIRE(pid >= 0);
        if (pid == 0)
            for (;;)
                (void)!backlog_new(&cfg, resource(), &bl, NULL); /* never closed: as many as it has time for */
        usleep(500 + (useconds_t)round * 7 % 1000);
        kill(pid, SIGKILL);
        REQUIRE(waitpid(pid, NULL, 0) == pid);
        char name[256];
        while (backlogs(&cfg, SV_NULL, name)) {
            REQUIRE_OK(backlog_adopt(&cfg, name, &bl, &e), &e);
            CHECK_EQ(backlog_close(bl), 0);
        }
    }
}

TEST(a_directory_that_is_removed_costs_what_was_in_it_and_no_more)
{
    struct backlog_config cfg = config();
    struct backlog *bl = make(&cfg);
    struct err e = {0};
    struct backlog_stats st;
    char command[600];
    uint32_t ref = ring_define(backlog_ring(bl), scope("lib"));
    for (uint64_t i = 0; i < 100; i++)
        CHECK(put(bl, i, ref, 20));
    CHECK_OK(backlog_spill(bl, false, &e), &e);
    snprintf(command, sizeof command, "rm -r '%s'", cfg.base);
    REQUIRE(system(command) == 0);
    for (uint64_t i = 100; i < 130; i++)
        CHECK(put(bl, i, ref, 20));
    struct seen s = take_all(bl, false);
    CHECK_EQ(s.n, 30);
    CHECK_EQ(s.first, 100);
    backlog_stats(bl, &st);
    CHECK_EQ(st.torn, 100);
    CHECK_EQ(st.waiting, 0);
    CHECK(put(bl, 130, ref, 20));
    CHECK(!backlog_spill(bl, true, &e));
    CHECK_ERR(&e, ERR_NOT_FOUND, "was removed while it was in use");
    take_all(bl, false);
    CHECK_EQ(backlog_close(bl), 0);
    CHECK(access(cfg.base, F_OK) != 0);
}

/* Two children of one process may get the same pid, when that is long enough ago: their backlogs are not to meet. */
TEST(forked_siblings_have_backlogs_of_different_names)
{
    struct backlog_config cfg = config();
    char names[2][256], *random[2];
    (void)rand_u64(); /* the state that both inherit */
    for (int i = 0; i < 2; i++) {
        char base[400];
        struct backlog *bl;
        snprintf(base, sizeof base, "%s/%d", test_dir(), i);
        cfg.base = base;
        pid_t pid = fork();
        REQUIRE(pid >= 0);
        if (pid == 0)
            _exit(backlog_new(&cfg, resource(), &bl, NULL) ? 0 : 1); /* left as it is */
        REQUIRE(waitpid(pid, NULL, 0) == pid);
        CHECK_EQ(backlogs(&cfg, SV_NULL, names[i]), 1);
        random[i] = strrchr(names[i], '-');
        REQUIRE(random[i]);
    }
    CHECK(strcmp(random[0], random[1]) != 0);
}

TEST(a_forked_child_leaves_its_parents_backlog_alone)
{
    struct backlog_config cfg = config();
    struct backlog *bl = make(&cfg);
    struct err e = {0};
    uint32_t ref = ring_define(backlog_ring(bl), scope("lib"));
    for (uint64_t i = 0; i < 30; i++)
        put(bl, i, ref, 10);
    CHECK_OK(backlog_spill(bl, false, &e), &e);
    put(bl, 30, ref, 10);
    pid_t child = fork();
    if (child == 0) {
        backlog_forget(bl);
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK_EQ(status, 0);
    char name[256];
    struct backlog *other;
    backlogs(&cfg, SV_NULL, name);
    CHECK(!backlog_adopt(&cfg, name, &other, &e)); /* still locked */
    struct seen s = take_all(bl, false);
    CHECK_EQ(s.n, 31);
    CHECK_EQ(backlog_close(bl), 0);
}

TEST(directories_that_cannot_be_used_say_why)
{
    struct err e = {0};
    struct backlog *bl;
    struct backlog_config cfg = config();
    char path[400];
    snprintf(path, sizeof path, "%s/file", test_dir());
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    REQUIRE(fd >= 0);
    close(fd);
    cfg.base = path;
    CHECK(!backlog_new(&cfg, resource(), &bl, &e));
    CHECK_ERR(&e, ERR_IO, "file");
    cfg = config();
    struct io_fault f = {.op = IO_ALLOCATE, .sys = ENOSPC, .times = 1};
    io_faults_set(&f, 1);
    CHECK(!backlog_new(&cfg, resource(), &bl, &e));
    io_faults_set(NULL, 0);
    CHECK_ERR(&e, ERR_FULL, "No space left");
    int n = 0;
    DIR *d = opendir(cfg.base);
    while (d && readdir(d))
        n++;
    CHECK_EQ(n, 2); /* nothing half-made is left */
    closedir(d);
}

TEST(the_default_directory_follows_the_environment)
{
    char dir[300], want[330];
    struct err e = {0};
    snprintf(dir, sizeof dir, "%s/state", test_dir());
    setenv("WEIR_SPOOL_DIR", "none", 1);
    CHECK(backlog_default_dir(&e) == NULL);
    CHECK_EQ(e.code, ERR_NONE);
    setenv("WEIR_SPOOL_DIR", dir, 1);
    SCOPED(mem_free) char *given = backlog_default_dir(&e);
    CHECK_STR(given, dir);
    unsetenv("WEIR_SPOOL_DIR");
    setenv("XDG_STATE_HOME", dir, 1);
    SCOPED(mem_free) char *state = backlog_default_dir(&e);
    snprintf(want, sizeof want, "%s/weir/spool", dir);
    CHECK_STR(state, want);
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", dir, 1);
    SCOPED(mem_free) char *home = backlog_default_dir(&e);
    snprintf(want, sizeof want, "%s/.local/state/weir/spool", dir);
    CHECK_STR(home, want);
    REQUIRE(chmod(want, 0777) == 0); /* anybody's: not used */
    SCOPED(mem_free) char *other = backlog_default_dir(&e);
    CHECK(other && strncmp(other, "/tmp/weir-spool-", 16) == 0);
}

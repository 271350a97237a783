/* ring_test.c - the ring against a model, many threads, damage, and processes that are killed in the middle. */
#include "backlog/ring.h"
#include "base/test.h"
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define DATA (64u << 10)

static size_t map_bytes;
static void ring_make(struct ring *r)
{
    uint64_t data = DATA, dict = 4096;
    map_bytes = ring_size(&data, &dict);
    void *map = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(map != MAP_FAILED);
    ring_init(r, map, data, dict, 1);
}
static void ring_drop(struct ring *r)
{
    munmap(r->h, map_bytes);
}

/* A record whose content follows from a number. */
static uint32_t record_n(uint64_t i)
{
    return (uint32_t)(8 + i * 7919 % (i % 10 ? 300 : 9000));
}
static enum ring_put put(struct ring *r, uint64_t i, uint32_t scope)
{
    struct ring_slot slot;
    uint32_t n = record_n(i);
    enum ring_put got = ring_reserve(r, n, &slot);
    if (got != RING_PUT)
        return got;
    memset(slot.record, (int)(i * 31), n);
    memcpy(slot.record, &i, sizeof i);
    CHECK(ring_publish(r, &slot, scope, scope ? 0 : 4));
    return RING_PUT;
}
static bool is_record(const struct ring_frame *f, uint64_t i)
{
    sv all = f->scope ? f->record : sv_make(f->inline_scope.p, f->inline_scope.n + f->record.n);
    uint64_t number;
    if (all.n != record_n(i))
        return false;
    memcpy(&number, all.p, sizeof number);
    for (size_t k = 8; k < all.n; k++)
        if (all.p[k] != (char)(i * 31))
            return false;
    return number == i;
}

TEST(records_come_out_as_they_went_in)
{
    struct ring r;
    struct ring_frame f;
    ring_make(&r);
    uint32_t scope = ring_define(&r, SV("scope"));
    uint64_t in = 0, out = 0, pos = 0;
    for (int step = 0; step < 20000; step++) {
        if (rand_u64() % 3) {
            enum ring_put got = put(&r, in, in % 5 ? scope : 0);
            CHECK(got == RING_PUT || got == RING_FULL);
            if (got == RING_FULL)
                REQUIRE(in > out); /* an empty ring takes any record */
            in += got == RING_PUT;
        } else if (out < in) {
            REQUIRE(ring_look(&r, pos, ring_end(&r), &f) == RING_RECORD);
            REQUIRE(is_record(&f, out));
            CHECK_EQ(f.scope, out % 5 ? scope : 0);
            CHECK_EQ(f.inline_scope.n, out % 5 ? 0 : 4);
            pos = f.next;
            out++;
            if (rand_u64() % 4 == 0)
                ring_release(&r, pos);
        }
    }
    while (out < in && ring_look(&r, pos, ring_end(&r), &f) == RING_RECORD && is_record(&f, out)) {
        pos = f.next;
        out++;
    }
    CHECK_EQ(out, in);
    CHECK_EQ(ring_look(&r, pos, ring_end(&r), &f), RING_END);
    ring_release(&r, pos);
    for (size_t i = 0; i < r.cap; i++)
        if (r.data[i])
            test_fail(__FILE__, __LINE__, "byte %zu of an empty ring is not zero", i);
    CHECK(ring_is_empty(&r));
    CHECK_EQ(ring_puts(&r), in);
    ring_close(&r);
    CHECK_EQ(put(&r, 1, scope), RING_IS_CLOSED);
    CHECK(ring_is_empty(&r));
    ring_drop(&r);
}

TEST(the_largest_record_fits_wherever_the_ring_stands)
{
    struct ring r;
    struct ring_slot slot;
    struct ring_frame f;
    ring_make(&r);
    uint32_t max = ring_record_max(&r), scope = ring_define(&r, SV(""));
    CHECK_EQ(max, DATA / 4 - 16);
    for (int i = 0; i < 1000; i++) {
        REQUIRE(ring_reserve(&r, i % 2 ? max : (uint32_t)(i * 37 % 500), &slot) == RING_PUT);
        CHECK(ring_publish(&r, &slot, scope, 0));
        REQUIRE(ring_look(&r, ring_tail(&r), ring_end(&r), &f) == RING_RECORD);
        ring_release(&r, f.next);
    }
    ring_drop(&r);
}

/* A put that was killed before it could say its length. */
static uint64_t put_without_length(struct ring *r)
{
    struct ring_slot slot;
    ASSERT(ring_reserve(r, 100, &slot) == RING_PUT);
    memset(slot.record - RING_FRAME_BYTES, 0, 8);
    return slot.pos;
}

TEST(a_put_that_never_ends_is_passed_over)
{
    struct ring r;
    struct ring_frame f;
    struct ring_slot lost, slot;
    ring_make(&r);
    uint32_t scope = ring_define(&r, SV("s"));
    CHECK_EQ(put(&r, 1, scope), RING_PUT);
    REQUIRE(ring_reserve(&r, 100, &lost) == RING_PUT);
    memset(lost.record, 7, 50);
    CHECK_EQ(put(&r, 2, scope), RING_PUT);
    uint64_t before = put_without_length(&r);
    CHECK_EQ(put(&r, 3, scope), RING_PUT);

    REQUIRE(ring_look(&r, 0, ring_end(&r), &f) == RING_RECORD && is_record(&f, 1));
    REQUIRE(ring_look(&r, f.next, ring_end(&r), &f) == RING_PENDING);
    CHECK_EQ(f.next, f.pos + 16 + 112);
    uint64_t pos = ring_pass(&r, f.pos, ring_end(&r));
    CHECK_EQ(pos, f.next);
    REQUIRE(ring_look(&r, pos, ring_end(&r), &f) == RING_RECORD && is_record(&f, 2));
    REQUIRE(ring_look(&r, f.next, ring_end(&r), &f) == RING_PENDING);
    CHECK(f.pos == before && f.next == 0);
    pos = ring_pass(&r, f.pos, ring_end(&r));
    REQUIRE(ring_look(&r, pos, ring_end(&r), &f) == RING_RECORD && is_record(&f, 3));
    CHECK_EQ(ring_look(&r, f.next, ring_end(&r), &f), RING_END);
    CHECK(!ring_is_empty(&r));

    before = put_without_length(&r); /* the last one */
    pos = ring_pass(&r, before, ring_end(&r));
    CHECK_EQ(pos % r.chunk, 0);
    ring_release(&r, pos); /* gives up the lane's chunk */
    REQUIRE(ring_reserve(&r, 100, &slot) == RING_PUT && slot.pos >= pos);
    ring_drop(&r);
}

/* ---- chunks ---- */

struct one_put {
    struct ring *r;
    uint64_t i;
};
static void *put_one(void *arg)
{
    struct one_put *p = arg;
    CHECK_EQ(put(p->r, p->i, 8), RING_PUT);
    return NULL;
}
static void put_from_another_thread(struct ring *r, uint64_t i)
{
    pthread_t t;
    struct one_put p = {r, i};
    ASSERT(pthread_create(&t, NULL, put_one, &p) == 0);
    pthread_join(t, NULL);
}

/* A thread that goes quiet, or dies, keeps nobody else's records from being taken; the chunk that it leaves is used no more. */
TEST(a_chunk_that_nobody_fills_is_closed_when_it_is_in_the_way)
{
    struct ring r;
    struct ring_frame f;
    ring_make(&r);
    (void)ring_define(&r, SV("s"));
    CHECK_EQ(put(&r, 1, 8), RING_PUT);
    REQUIRE(ring_look(&r, 0, ring_end(&r), &f) == RING_RECORD);
    uint64_t open = f.next;
    CHECK_EQ(ring_look(&r, open, ring_end(&r), &f), RING_END); /* the last one is left open */
    CHECK_EQ(f.pos, open);
    CHECK_EQ(put(&r, 2, 8), RING_PUT);
    REQUIRE(ring_look(&r, open, ring_end(&r), &f) == RING_RECORD && is_record(&f, 2));
    uint64_t rest = f.next;
    put_from_another_thread(&r, 3);
    REQUIRE(ring_look(&r, rest, ring_end(&r), &f) == RING_RECORD && is_record(&f, 3));
    CHECK_EQ(f.pos, r.chunk);
    CHECK_EQ(put(&r, 4, 8), RING_PUT); /* in a chunk of its own again */
    REQUIRE(ring_look(&r, f.next, ring_end(&r), &f) == RING_RECORD && is_record(&f, 4));
    CHECK_EQ(f.pos, 2 * r.chunk);
    REQUIRE(ring_look(&r, rest, ring_end(&r), &f) == RING_RECORD && is_record(&f, 3)); /* again: it stays closed */
    ring_close(&r);
    ring_release(&r, ring_end(&r));
    CHECK(ring_is_empty(&r));
    ring_drop(&r);
}

static uint64_t torn_of_a_dead_ring(struct ring *r, uint64_t *ret_records)
{
    struct ring dead;
    struct ring_frame f;
    uint64_t torn = 0;
    *ret_records = 0;
    ASSERT(ring_attach(&dead, r->h, map_bytes, NULL));
    for (uint64_t pos = 0, limit = dead.cap;;) {
        enum ring_got got = ring_look(&dead, pos, limit, &f);
        if (got == RING_END)
            return torn;
        pos = got == RING_PENDING ? ring_pass(&dead, f.pos, limit) : f.next;
        *ret_records += got == RING_RECORD;
        torn += got != RING_RECORD && f.pos < ring_end(&dead);
    }
}

/* What a dead process's threads had not used of their chunks is no damage; a page that never reached the disk is. */
TEST(the_open_ends_of_a_dead_ring_are_no_records)
{
    struct ring r;
    uint64_t n;
    ring_make(&r);
    (void)ring_define(&r, SV("s"));
    for (uint64_t i = 1; i < 4; i++) {
        put_from_another_thread(&r, i);
        CHECK_EQ(put(&r, 10 + i, 8), RING_PUT);
    }
    CHECK_EQ(torn_of_a_dead_ring(&r, &n), 0);
    CHECK_EQ(n, 6);
    put_without_length(&r);
    CHECK_EQ(torn_of_a_dead_ring(&r, &n), 0); /* its length is all that could tell that it was there */
    CHECK_EQ(put(&r, 20, 8), RING_PUT);
    CHECK_EQ(torn_of_a_dead_ring(&r, &n), 1);
    CHECK_EQ(n, 7);
    memset(r.data, 0, r.chunk);
    CHECK_EQ(torn_of_a_dead_ring(&r, &n), 2);
    CHECK_EQ(n, 6);
    ring_drop(&r);
}

TEST(the_alarm_comes_with_the_put_that_was_asked_for)
{
    for (int coarse = 0; coarse < 2; coarse++) {
        struct ring r;
        struct ring_slot slot;
        ring_make(&r);
        if (coarse)
            ring_coarse(&r, 16);
        ring_alarm(&r, 100, UINT64_MAX);
        for (int i = 1; i <= 100; i++) {
            REQUIRE(ring_reserve(&r, 100, &slot) == RING_PUT);
            CHECK_EQ(slot.alarm, i == 100);
            CHECK(ring_publish(&r, &slot, 8, 0));
        }
        ring_alarm(&r, UINT64_MAX, 3 * DATA / 4);
        uint64_t used = 0;
        for (slot.alarm = false; !slot.alarm && ring_reserve(&r, 100, &slot) == RING_PUT;)
            used = ring_end(&r);
        CHECK(slot.alarm && used > 3 * DATA / 4 && used <= 3 * DATA / 4 + r.chunk);
        ring_drop(&r);
    }
}

TEST(the_dictionary_keeps_what_it_was_given)
{
    struct ring r;
    char text[1000];
    ring_make(&r);
    CHECK_EQ(ring_define(&r, SV("first")), RING_FIRST);
    CHECK_SV(ring_defined(&r, RING_FIRST), SV("first"));
    uint32_t refs[10], n = 0;
    for (uint32_t ref; n < 10 && (memset(text, 'a' + (int)n, sizeof text), ref = ring_define(&r, sv_make(text, sizeof text))); n++)
        refs[n] = ref;
    CHECK_EQ(n, 4); /* 4096 bytes */
    for (uint32_t i = 0; i < n; i++) {
        memset(text, 'a' + (int)i, sizeof text);
        CHECK_SV(ring_defined(&r, refs[i]), sv_make(text, sizeof text));
    }
    CHECK_EQ(ring_define(&r, sv_make(text, SIZE_MAX)), 0);
    uint32_t bad[] = {0, 4, 7, refs[0] + 8, 4096, 4088, UINT32_MAX, UINT32_MAX - 7};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(ring_defined(&r, bad[i]).p == NULL);
    r.dict[refs[1] + 20] ^= 1;
    CHECK(ring_defined(&r, refs[1]).p == NULL);
    ring_drop(&r);
}

/* Whatever byte is changed: what comes out went in, and only the records concerned are missing. */
TEST(a_changed_byte_costs_its_record_only)
{
    struct ring r;
    struct ring_frame f;
    for (int round = 0; round < 3000; round++) {
        ring_make(&r);
        uint32_t scope = ring_define(&r, SV("s"));
        enum { N = 12 };
        for (uint64_t i = 1; i <= N; i++)
            put(&r, i, scope);
        uint64_t end = ring_end(&r);
        r.data[rand_u64() % end] ^= (uint8_t)(1 + rand_u64() % 255);
        uint64_t seen = 0, last = 0, torn = 0;
        for (uint64_t pos = 0; pos < end;) {
            enum ring_got got = ring_look(&r, pos, end, &f);
            if (got == RING_END)
                break;
            if (got == RING_RECORD) {
                uint64_t i;
                memcpy(&i, f.record.p, sizeof i);
                CHECK(i > last && is_record(&f, i));
                last = i;
                seen++;
                pos = f.next;
            } else {
                torn++;
                pos = got == RING_TORN ? f.next : ring_pass(&r, f.pos, end);
            }
        }
        CHECK(seen >= N - 1 || torn == 1);
        CHECK(seen + 2 >= N);
        ring_drop(&r);
    }
}

TEST(attaching_refuses_what_it_cannot_read)
{
    struct ring r, again;
    struct err e = {0};
    ring_make(&r);
    REQUIRE_OK(ring_attach(&again, r.h, map_bytes, &e), &e);
    CHECK_EQ(again.cap, DATA);
    CHECK(!ring_attach(&again, r.h, map_bytes - 4096, &e));
    CHECK_ERR(&e, ERR_CORRUPT, "does not fit");
    CHECK(!ring_attach(&again, r.h, 100, &e));
    CHECK_ERR(&e, ERR_CORRUPT, "no ring");
    r.h->data_bytes *= 2;
    CHECK(!ring_attach(&again, r.h, map_bytes, &e));
    CHECK_ERR(&e, ERR_CORRUPT, "checksum");
    r.h->byte_order = 0x04030201;
    CHECK(!ring_attach(&again, r.h, map_bytes, &e));
    CHECK_ERR(&e, ERR_UNSUPPORTED, "byte order");
    ring_drop(&r);
}

/* ---- threads ---- */

struct many {
    struct ring *r;
    uint32_t scope;
    uint64_t first, n;
    _Atomic uint64_t *returned; /* how many of its records were put */
};
static void *put_many(void *arg)
{
    struct many *m = arg;
    for (uint64_t i = 0; i < m->n;) {
        if (put(m->r, m->first + i, m->scope) == RING_PUT)
            atomic_store(m->returned, ++i);
        else
            sched_yield();
    }
    return NULL;
}

/* No checksum covers the positions: whatever they say, what is whole is found, and the looking comes to an end. */
TEST(positions_that_cannot_be_cost_no_record)
{
    const uint64_t odd[][2] = {{UINT64_MAX, 0}, {1ull << 60, 0}, {0, 1ull << 62}, {5000, 77}, {3, 3}, {RING_CLOSED | 7, 1}, {0, 16}, {77, 0}};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        struct ring r, again;
        struct ring_frame f;
        uint64_t pos, n = 0, steps = 0;
        ring_make(&r);
        for (uint64_t k = 0; k < 20; k++)
            CHECK_EQ(put(&r, k, 8), RING_PUT);
        atomic_store(&r.h->head, odd[i][0]);
        atomic_store(&r.h->tail, odd[i][1]);
        REQUIRE(ring_attach(&again, r.h, map_bytes, NULL));
        CHECK(ring_tail(&again) <= ring_end(&again) && ring_end(&again) - ring_tail(&again) <= again.cap);
        uint64_t first = ring_tail(&again), limit = first + again.cap;
        for (pos = first; steps < 1000 && pos < limit; steps++) {
            enum ring_got got = ring_look(&again, pos, limit, &f);
            if (got == RING_END)
                break;
            pos = got == RING_PENDING ? ring_pass(&again, f.pos, limit) : f.next;
            n += got == RING_RECORD;
        }
        CHECK(steps < 1000);
        CHECK(first > 100 || n >= 18); /* positions are in the checksums: from a wrong tail on, what lies before it is not looked at */
        ring_drop(&r);
    }
}

/* Each word claims a record up to shortly before the end, where nothing begins: without a limit, looking through a ring of 16 MiB takes a quarter of an hour. */
TEST(bytes_made_to_cost_time_cost_little)
{
    uint64_t data = 16 << 20, dict = 4096;
    size_t n = ring_size(&data, &dict);
    void *map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct ring r;
    struct ring_frame f;
    REQUIRE(map != MAP_FAILED);
    ring_init(&r, map, data, dict, 1);
    for (uint64_t pos = 0; pos < data - 2 * RING_ALIGN; pos += RING_ALIGN) {
        uint64_t word = 2ull << 28 | (data - pos - RING_FRAME_BYTES - RING_ALIGN);
        memcpy(r.data + pos, &word, sizeof word);
    }
    atomic_store(&r.h->head, data);
    CHECK_EQ(ring_look(&r, 0, data, &f), RING_TORN);
    CHECK_EQ(f.next, data);
    CHECK_EQ(r.budget, 0);
    ring_release(&r, data);
    CHECK(r.budget > 0);
    munmap(map, n);
}

TEST(many_threads_lose_and_repeat_nothing)
{
    enum { THREADS = 4, EACH = 20000 };
    struct ring r;
    struct ring_frame f;
    ring_make(&r);
    pthread_t threads[THREADS];
    struct many many[THREADS];
    _Atomic uint64_t returned[THREADS] = {0};
    uint64_t next[THREADS] = {0}, seen = 0, pos = 0;
    uint32_t scope = ring_define(&r, SV("s"));
    for (int t = 0; t < THREADS; t++) {
        many[t] = (struct many){&r, scope, (uint64_t)t << 32, EACH, &returned[t]};
        REQUIRE(pthread_create(&threads[t], NULL, put_many, &many[t]) == 0);
    }
    while (seen < (uint64_t)THREADS * EACH) {
        enum ring_got got = ring_look(&r, pos, ring_end(&r), &f);
        if (got == RING_RECORD) {
            uint64_t i;
            memcpy(&i, f.record.p, sizeof i);
            REQUIRE((i >> 32) < THREADS && (uint32_t)i == next[i >> 32] && is_record(&f, i));
            next[i >> 32]++;
            seen++;
            pos = f.next;
            if (seen % 16 == 0)
                ring_release(&r, pos);
        } else {
            REQUIRE(got != RING_TORN);
            ring_release(&r, pos);
            sched_yield();
        }
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    CHECK_EQ(ring_look(&r, pos, ring_end(&r), &f), RING_END);
    ring_drop(&r);
}

/* A process of many threads is killed at a random moment: what had been put is there, each once, in order per thread. */
TEST(what_a_killed_process_had_put_is_found)
{
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer cannot follow the threads of a forked child");
#endif
    enum { THREADS = 4, ROUNDS = 150 };
    for (int round = 0; round < ROUNDS; round++) {
        struct ring r;
        struct ring_frame f;
        ring_make(&r);
        uint32_t scope = ring_define(&r, SV("s"));
        _Atomic uint64_t *returned = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ASSERT(returned != MAP_FAILED);
        pid_t child = fork();
        if (child == 0) {
            struct many many[THREADS];
            pthread_t threads[THREADS];
            for (int t = 0; t < THREADS; t++) {
                many[t] = (struct many){&r, scope, (uint64_t)t << 32, 1 << 20, &returned[8 * t]};
                pthread_create(&threads[t], NULL, put_many, &many[t]);
            }
            pause();
        }
        REQUIRE(child > 0);
        usleep((useconds_t)(rand_u64() % 2000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        uint64_t next[THREADS] = {0}, end = ring_tail(&r) + r.cap, torn = 0;
        REQUIRE_OK(ring_attach(&r, r.h, map_bytes, &(struct err){0}), &(struct err){0});
        for (uint64_t pos = 0; pos < end;) {
            enum ring_got got = ring_look(&r, pos, end, &f);
            if (got == RING_END)
                break;
            if (got != RING_RECORD) {
                torn += f.pos < ring_end(&r);
                CHECK(got == RING_PENDING);
                pos = ring_pass(&r, f.pos, end);
                continue;
            }
            uint64_t i;
            memcpy(&i, f.record.p, sizeof i);
            REQUIRE((i >> 32) < THREADS && (uint32_t)i == next[i >> 32] && is_record(&f, i));
            next[i >> 32]++;
            pos = f.next;
        }
        for (int t = 0; t < THREADS; t++)
            CHECK(next[t] >= returned[8 * t] && next[t] <= returned[8 * t] + 1);
        CHECK(torn <= THREADS);
        munmap((void *)returned, 4096);
        ring_drop(&r);
    }
}

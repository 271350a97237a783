/* crew_test.c - every item once, slots that do not overlap, jobs that take turns, more askers than threads. */
#include "base/lock.h"
#include "base/test.h"
#include "store/crew.h"

struct counted {
    struct crew_job job;
    _Atomic uint8_t done[1000];
    _Atomic bool in_slot[CREW_MAX];
    _Atomic unsigned inside, most;
    size_t stop_at; /* item that ends the job */
};

static bool count_item(struct crew_job *job, size_t item, unsigned slot)
{
    struct counted *c = CONTAINER_OF(job, struct counted, job);
    unsigned inside = atomic_fetch_add(&c->inside, 1) + 1, most = atomic_load(&c->most);
    while (inside > most && !atomic_compare_exchange_weak(&c->most, &most, inside))
        ;
    CHECK(!atomic_exchange(&c->in_slot[slot], true));
    atomic_fetch_add(&c->done[item], 1);
    for (volatile int i = 0; i < 2000; i++)
        ;
    atomic_store(&c->in_slot[slot], false);
    atomic_fetch_sub(&c->inside, 1);
    return item != c->stop_at;
}

static void *ask(void *arg)
{
    struct crew *c = arg;
    for (int i = 0; i < 20; i++) {
        struct counted x = {.job = {.fn = count_item, .n_items = (size_t)(i * 53 % 1000)}, .stop_at = SIZE_MAX};
        crew_run(c, &x.job);
        for (size_t k = 0; k < 1000; k++)
            CHECK_EQ(x.done[k], k < x.job.n_items);
        CHECK(x.most <= crew_slots(c));
    }
    return NULL;
}

TEST(every_item_is_done_once)
{
    for (unsigned n = 1; n <= 5; n += 2) {
        struct crew *c;
        struct err e = {0};
        pthread_t askers[6];
        REQUIRE_OK(crew_open(n, &c, &e), &e);
        CHECK_EQ(crew_slots(c), n);
        for (size_t i = 0; i < ARRAY_LEN(askers); i++)
            CHECK_EQ(pthread_create(&askers[i], NULL, ask, c), 0);
        for (size_t i = 0; i < ARRAY_LEN(askers); i++)
            pthread_join(askers[i], NULL);
        crew_close(c);
    }
}

TEST(a_failing_item_is_the_last)
{
    struct crew *c;
    struct err e = {0};
    REQUIRE_OK(crew_open(2, &c, &e), &e);
    struct counted x = {.job = {.fn = count_item, .n_items = 1000}, .stop_at = 10};
    crew_run(c, &x.job);
    CHECK_EQ(x.done[10], 1);
    CHECK_EQ(x.done[999], 0);
    crew_close(c);
}

/* A job of one thread that does not end until another one, asked for later, is done: so they take turns. */
static struct counted late;
static _Atomic bool long_started, long_over, late_done;

static bool long_item(struct crew_job *job, size_t item, unsigned slot)
{
    (void)job, (void)slot;
    atomic_store(&long_started, true);
    test_sleep_ms(1);
    return !atomic_load(&late_done) && item < 19999;
}

static void *ask_long(void *arg)
{
    struct crew_job job = {.fn = long_item, .n_items = 20000};
    crew_run(arg, &job);
    atomic_store(&long_over, true);
    return NULL;
}

TEST(a_short_job_does_not_wait_for_a_long_one)
{
    struct crew *c;
    struct err e = {0};
    pthread_t asker;
    REQUIRE_OK(crew_open(1, &c, &e), &e);
    CHECK_EQ(pthread_create(&asker, NULL, ask_long, c), 0);
    CHECK_SOON(atomic_load(&long_started), 30000);
    late.job = (struct crew_job){.fn = count_item, .n_items = 5};
    late.stop_at = SIZE_MAX;
    crew_run(c, &late.job);
    CHECK_EQ(late.done[4], 1);
    CHECK(!atomic_load(&long_over));
    atomic_store(&late_done, true);
    pthread_join(asker, NULL);
    crew_close(c);
}

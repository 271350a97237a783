#include "base/lock.h"
#include "base/test.h"
#include "net/loop.h"
#include <stdatomic.h>

enum { N = 1000 };

struct numbered {
    struct loop_task task;
    int n;
};
static int order[2 * N];
static _Atomic int n_run;
static struct loop *the_loop;

static void note(struct loop_task *t)
{
    order[atomic_fetch_add(&n_run, 1)] = CONTAINER_OF(t, struct numbered, task)->n;
    CHECK(loop_is_current(the_loop));
}

static struct loop *open_loop(void)
{
    struct err e = {0};
    the_loop = NULL;
    atomic_store(&n_run, 0);
    CHECK_OK(loop_open("a name longer than fifteen", &the_loop, &e), &e);
    return the_loop;
}

TEST(tasks_run_in_order_and_before_close)
{
    static struct numbered tasks[N];
    struct loop *l = open_loop();
    REQUIRE(l);
    CHECK(!loop_is_current(l));
    for (int i = 0; i < N; i++) {
        tasks[i] = (struct numbered){.task.fn = note, .n = i};
        loop_post(l, &tasks[i].task);
    }
    loop_close(l);
    CHECK_EQ(atomic_load(&n_run), N);
    for (int i = 0; i < N; i++)
        CHECK_EQ(order[i], i);
}

static struct numbered again[2];

static void post_more(struct loop_task *t)
{
    again[1] = (struct numbered){.task.fn = note, .n = 7};
    loop_post(the_loop, &again[1].task);
}

TEST(closing_runs_what_tasks_post)
{
    struct loop *l = open_loop();
    REQUIRE(l);
    again[0].task.fn = post_more;
    loop_post(l, &again[0].task);
    loop_close(l);
    CHECK_EQ(atomic_load(&n_run), 1);
    CHECK_EQ(order[0], 7);
    loop_close(NULL);
}

static void *post_many(void *ctx)
{
    struct numbered *tasks = ctx;
    for (int i = 0; i < N; i++)
        loop_post(the_loop, &tasks[i].task);
    return NULL;
}

TEST(threads_post_at_once)
{
    static struct numbered tasks[2][N];
    struct loop *l = open_loop();
    REQUIRE(l);
    pthread_t threads[2];
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < N; i++)
            tasks[k][i] = (struct numbered){.task.fn = note, .n = k * N + i};
        pthread_create(&threads[k], NULL, post_many, tasks[k]);
    }
    for (int k = 0; k < 2; k++)
        pthread_join(threads[k], NULL);
    loop_close(l);
    CHECK_EQ(atomic_load(&n_run), 2 * N);
    int last[2] = {-1, -1};
    for (int i = 0; i < 2 * N; i++) { /* each thread's own order is kept */
        int k = order[i] / N;
        CHECK(order[i] > last[k]);
        last[k] = order[i];
    }
}

static void set_flag(void *ctx)
{
    atomic_store((_Atomic bool *)ctx, true);
}

TEST(run_and_wait_waits)
{
    struct loop *l = open_loop();
    REQUIRE(l);
    for (int i = 0; i < 100; i++) {
        _Atomic bool done = false;
        loop_run_and_wait(l, set_flag, (void *)&done);
        CHECK(atomic_load(&done));
    }
    loop_close(l);
}

static struct {
    struct loop_timer *moved, *stopped, *fires;
    _Atomic bool moved_fired, stopped_fired, fired;
} timers;

static void set_timers(void *ctx)
{
    timers.moved = loop_timer_new(the_loop, set_flag, (void *)&timers.moved_fired);
    timers.stopped = loop_timer_new(the_loop, set_flag, (void *)&timers.stopped_fired);
    timers.fires = loop_timer_new(the_loop, set_flag, (void *)&timers.fired);
    loop_timer_set(timers.moved, 0);
    loop_timer_set(timers.moved, INT64_MAX); /* again: moves it; absurd waits are long, not short */
    loop_timer_set(timers.stopped, 0);
    loop_timer_set(timers.stopped, -1);
    loop_timer_set(timers.fires, 20);
}

static void free_timers(void *ctx)
{
    loop_timer_free(timers.moved);
    loop_timer_free(timers.stopped);
    loop_timer_free(timers.fires);
    loop_timer_free(NULL);
}

TEST(timers)
{
    struct loop *l = open_loop();
    REQUIRE(l);
    memset(&timers, 0, sizeof timers);
    loop_run_and_wait(l, set_timers, NULL);
    CHECK_SOON(atomic_load(&timers.fired), 5000);
    CHECK(!atomic_load(&timers.moved_fired));
    CHECK(!atomic_load(&timers.stopped_fired));
    loop_run_and_wait(l, free_timers, NULL);
    loop_close(l);
}

/* queue_test.c - the ring of records against a simple model. */
#include "sdk/queue.h"
#include "base/test.h"

static struct weir_logger *const logger = (struct weir_logger *)(void *)&test_failures; /* any non-NULL pointer */

TEST(frames_come_out_as_they_went_in)
{
    struct queue q;
    struct err e = {0};
    REQUIRE_OK(queue_init(&q, 50, 4096, &e), &e);
    uint32_t next_in = 0, next_out = 0;
    char text[1200];
    for (int step = 0; step < 20000; step++) {
        size_t n = 4 + rand_u64() % (rand_u64() % 8 ? 60 : 1000);
        memset(text, (char)next_in, sizeof text);
        memcpy(text, &next_in, 4);
        if (rand_u64() % 3) {
            while (!queue_push(&q, logger, sv_make(text, n))) {
                REQUIRE(q.n > 0); /* an empty queue takes what fits into it */
                queue_drop(&q);
                next_out++;
            }
            next_in++;
        } else if (q.n) {
            queue_drop(&q);
            next_out++;
        }
        REQUIRE(q.n == next_in - next_out && q.used <= q.cap && q.n <= 50);
        uint32_t want = next_out;
        struct queue_frame f;
        for (size_t at = SIZE_MAX; queue_next(&q, &at, &f); want++) {
            uint32_t got;
            memcpy(&got, f.record.p, 4);
            REQUIRE(got == want && f.logger == logger);
            REQUIRE(f.record.n == 4 || f.record.p[f.record.n - 1] == (char)want);
        }
        REQUIRE(want == next_in);
    }
    queue_done(&q);
}

TEST(records_are_capped_by_number)
{
    struct queue q;
    struct err e = {0};
    REQUIRE_OK(queue_init(&q, 2, 1 << 20, &e), &e);
    CHECK(queue_push(&q, logger, SV("a")) && queue_push(&q, logger, SV_NULL));
    CHECK(!queue_push(&q, logger, SV("c")));
    queue_clear(&q);
    CHECK_EQ(q.n, 0);
    CHECK(queue_push(&q, logger, SV("c")));
    queue_done(&q);
    queue_done(&q);
}

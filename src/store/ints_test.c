/* ints_test.c - packed numbers and times come back, whatever they are; cut or changed bytes do no harm; a content filter has what was put
 * in, and hardly anything else. */
#include "store/ints.h"
#include "base/test.h"
#include "store/sieve.h"

static uint64_t number(unsigned kind, size_t i)
{
    switch (kind % 6) {
    case 0: return 7;
    case 1: return i * 1000;
    case 2: return rand_u64();
    case 3: return rand_u64() % 100;
    case 4: return i % 2 ? UINT64_MAX : 0;
    default: return rand_u64() >> (rand_u64() % 64);
    }
}

/* A copy with nothing but slack behind it. */
static uint8_t *exactly(const struct buf *b, size_t n)
{
    uint8_t *p = calloc(1, n + BITS_SLACK);
    ASSERT(p);
    if (n)
        memcpy(p, b->p, n);
    return p;
}

TEST(numbers_come_back)
{
    uint64_t in[1000], out[1000];
    for (unsigned round = 0; round < 600; round++) {
        SCOPED(buf_done) struct buf b = {0};
        size_t n = rand_u64() % (round % 3 ? 300 : 1000);
        for (size_t i = 0; i < n; i++)
            in[i] = number(round, i);
        ints_put(&b, in, n);
        uint8_t *p = exactly(&b, b.n);
        const uint8_t *at = p;
        REQUIRE(ints_get(&at, p + b.n, out, n));
        CHECK(at == p + b.n && (!n || memcmp(in, out, n * sizeof *in) == 0));
        free(p);
        size_t less = b.n ? rand_u64() % b.n : 0;
        p = exactly(&b, less);
        at = p;
        CHECK(!n || !ints_get(&at, p + less, out, n));
        free(p);
    }
}

TEST(times_come_back_and_even_ones_cost_nothing)
{
    int64_t in[1000], out[1000];
    for (unsigned round = 0; round < 600; round++) {
        SCOPED(buf_done) struct buf b = {0};
        size_t n = 1 + rand_u64() % 1000;
        const int64_t unit[] = {1, 1000, 1000000, 1000000000};
        for (size_t i = 0; i < n; i++)
            in[i] = round % 7 == 6 ? (int64_t)rand_u64() : (int64_t)(1764000000 + (round % 2 ? i * 3 : rand_u64() % 100)) * unit[round % 4];
        times_put(&b, in, n);
        uint8_t *p = exactly(&b, b.n);
        REQUIRE(times_get(p, p + b.n, out, n));
        CHECK(memcmp(in, out, n * sizeof *in) == 0);
        CHECK(round % 2 == 0 || round % 7 == 6 || b.n < 80);
        if (b.n)
            p[rand_u64() % b.n] ^= (uint8_t)(1 + rand_u64() % 255);
        (void)!times_get(p, p + b.n, out, n); /* other times, or none */
        free(p);
    }
}

TEST(a_filter_has_what_was_put_in)
{
    enum { N = 5000 };
    SCOPED(buf_done) struct buf b = {0};
    struct sieve_keys keys = {.flags = SIEVE_UUIDS, .longest = 36}, none = {0};
    struct sieve s;
    unsigned wrong = 0;
    for (uint32_t i = 0; i < N; i++)
        sieve_add(&keys, sieve_key(SV("trace_id"), sv_make(&i, sizeof i)));
    sieve_put(&b, (const struct sieve_keys *const[]){&keys, &none}, 2);
    CHECK(b.n <= SIEVE_HEAD + N * SIEVE_BITS / 8 + SIEVE_BLOCK);
    REQUIRE(sieve_open(buf_view(&b), &s));
    CHECK(s.flags == SIEVE_UUIDS && s.longest == 36);
    for (uint32_t i = 0; i < N; i++)
        CHECK(sieve_may_have(&s, sieve_key(SV("trace_id"), sv_make(&i, sizeof i))));
    for (uint32_t i = 0; i < N; i++)
        wrong += sieve_may_have(&s, sieve_key(SV("span_id"), sv_make(&i, sizeof i)));
    CHECK(wrong < N / 50);
    CHECK(!sieve_open(sv_make(b.p, b.n - 1), &s));
    REQUIRE(sieve_open(SV_NULL, &s));
    CHECK(!sieve_may_have(&s, 1));
    vec_done(&keys.keys);
}

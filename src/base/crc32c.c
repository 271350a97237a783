/* crc32c.c - SSE4.2 or ARMv8 instruction when present (asked once), else slicing by 8 over tables made at first use. */
#include "base/crc32c.h"
#include "base/endian.h"
#include <pthread.h>
#include <stdatomic.h>

static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;
/* What is called: at first a function that finds out. Both are set before either is used by somebody else. */
static uint32_t impl_first(uint32_t crc, const uint8_t *p, size_t n);
static uint32_t lanes_first(uint64_t s1, uint64_t s2, const uint64_t *w, size_t n);
static _Atomic(uint32_t (*)(uint32_t, const uint8_t *, size_t)) impl = impl_first;
static _Atomic(uint32_t (*)(uint64_t, uint64_t, const uint64_t *, size_t)) lanes_impl = lanes_first;

static uint32_t by_table(uint32_t crc, const uint8_t *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t w = get_le64(p) ^ crc;
        crc = table[7][w & 255] ^ table[6][w >> 8 & 255] ^ table[5][w >> 16 & 255] ^ table[4][w >> 24 & 255] ^
              table[3][w >> 32 & 255] ^ table[2][w >> 40 & 255] ^ table[1][w >> 48 & 255] ^ table[0][w >> 56];
    }
    while (n--)
        crc = table[0][(crc ^ *p++) & 255] ^ crc >> 8;
    return crc;
}

static uint32_t word_by_table(uint32_t crc, uint64_t word)
{
    uint8_t b[8];
    put_le64(b, word);
    return by_table(crc, b, sizeof b);
}

/* The three lanes, over a step that takes one word; forced inline, so that each way of stepping gets a loop of its own. */
#define LANE_3 0x9e3779b9u
#define DEFINE_LANES(name, step)                                                                                      \
    name(uint64_t s1, uint64_t s2, const uint64_t *w, size_t n)                                                       \
    {                                                                                                                 \
        uint32_t a = step(0, s1), b = step(0, s2), c = LANE_3;                                                        \
        for (; n >= 3; n -= 3, w += 3) {                                                                              \
            a = step(a, w[0]);                                                                                        \
            b = step(b, w[1]);                                                                                        \
            c = step(c, w[2]);                                                                                        \
        }                                                                                                             \
        if (n >= 1)                                                                                                   \
            a = step(a, w[0]);                                                                                        \
        if (n >= 2)                                                                                                   \
            b = step(b, w[1]);                                                                                        \
        return step(a, (uint64_t)b << 32 | c);                                                                        \
    }
static uint32_t DEFINE_LANES(lanes_by_table, word_by_table)

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_cpu(uint32_t crc, const uint8_t *p, size_t n)
{
    uint64_t c = crc;
    for (; n >= 8; p += 8, n -= 8)
        c = __builtin_ia32_crc32di(c, get_le64(p));
    crc = (uint32_t)c;
    while (n--)
        crc = __builtin_ia32_crc32qi(crc, *p++);
    return crc;
}
#define WORD_BY_CPU(crc, word) ((uint32_t)__builtin_ia32_crc32di((crc), (word)))
__attribute__((target("sse4.2"))) static uint32_t DEFINE_LANES(lanes_by_cpu, WORD_BY_CPU)
static bool cpu_has(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#else
#define by_cpu by_table
#define lanes_by_cpu lanes_by_table
static bool cpu_has(void)
{
    return false;
}
#endif

static void set_up(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
        table[0][i] = c;
    }
    for (int t = 1; t < 8; t++)
        for (int i = 0; i < 256; i++)
            table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
    atomic_store_explicit(&impl, cpu_has() ? by_cpu : by_table, memory_order_release);
    atomic_store_explicit(&lanes_impl, cpu_has() ? lanes_by_cpu : lanes_by_table, memory_order_release);
}

static uint32_t impl_first(uint32_t crc, const uint8_t *p, size_t n)
{
    pthread_once(&once, set_up);
    return atomic_load_explicit(&impl, memory_order_acquire)(crc, p, n);
}
static uint32_t lanes_first(uint64_t s1, uint64_t s2, const uint64_t *w, size_t n)
{
    pthread_once(&once, set_up);
    return atomic_load_explicit(&lanes_impl, memory_order_acquire)(s1, s2, w, n);
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
    return ~atomic_load_explicit(&impl, memory_order_acquire)(~crc, p, n);
}

uint32_t crc32c_lanes(uint64_t s1, uint64_t s2, const void *p, size_t n)
{
    return atomic_load_explicit(&lanes_impl, memory_order_acquire)(s1, s2, p, n / 8);
}

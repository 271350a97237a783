/* clock.c - see clock.h. */
#include "base/clock.h"
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

static _Atomic int64_t wall_shift, mono_shift;

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME) + atomic_load_explicit(&wall_shift, memory_order_relaxed);
}

int64_t clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC) + atomic_load_explicit(&mono_shift, memory_order_relaxed);
}

void clock_shift_for_test(int64_t wall_ns, int64_t mono_ns)
{
    atomic_fetch_add(&wall_shift, wall_ns);
    atomic_fetch_add(&mono_shift, mono_ns);
}

uint64_t rand_u64(void)
{
    static _Thread_local uint64_t s[2];
    if (!s[0] && !s[1] && getrandom(s, sizeof s, GRND_NONBLOCK) != sizeof s) {
        s[0] = (uint64_t)read_clock(CLOCK_REALTIME);
        s[1] = (uint64_t)(uintptr_t)&s;
    }
    uint64_t a = s[0], b = s[1]; /* xorshift128+ */
    s[0] = b;
    a ^= a << 23;
    s[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
    return s[1] + b;
}

double rand_unit(void)
{
    return (double)(rand_u64() >> 11) * 0x1p-53;
}

void clock_format_rfc3339(int64_t wall_ns, int digits, char out[36])
{
    int64_t sec = wall_ns / NS_PER_S, frac = wall_ns % NS_PER_S;
    if (frac < 0) {
        frac += NS_PER_S;
        sec--;
    }
    time_t t = (time_t)sec;
    struct tm tm;
    gmtime_r(&t, &tm);
    size_t n = strftime(out, 36, "%Y-%m-%dT%H:%M:%S", &tm);
    if (digits > 0) {
        char nine[16];
        snprintf(nine, sizeof nine, "%09lld", (long long)frac);
        n += (size_t)snprintf(out + n, 36 - n, ".%.*s", MIN(digits, 9), nine);
    }
    snprintf(out + n, 36 - n, "Z");
}

/* clock.c - preloaded into an app: its wall clock jumps by hours, twenty times a second, to and fro. The monotonic clock is left
 * alone, as a kernel leaves it alone when somebody sets the time. */
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))
enum { JUMP_EVERY_MS = 50, HOUR = 3600 };

static long offset_s(void)
{
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
    uint64_t at = ((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000) / JUMP_EVERY_MS;
    return (long)((at * 0x9e3779b97f4a7c15u >> 32) % (10 * HOUR)) - 5 * HOUR;
}

API int clock_gettime(clockid_t clock, struct timespec *t)
{
    long r = syscall(SYS_clock_gettime, clock, t);
    if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI))
        t->tv_sec += offset_s();
    return (int)r;
}

API int gettimeofday(struct timeval *tv, void *zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    *tv = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}

API time_t time(time_t *ret)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (ret)
        *ret = t.tv_sec;
    return t.tv_sec;
}

/* clock.h - the two clocks. Wall time is for timestamps people see; monotonic time for every wait and deadline, so that
 * a jump of the wall clock neither stalls nor hurries anything. Tests may shift both. */
#pragma once
#include "base/def.h"

#define NS_PER_MS 1000000ll
#define NS_PER_S 1000000000ll

int64_t clock_wall_ns(void); /* since 1970 UTC */
int64_t clock_mono_ns(void);
static inline int64_t clock_mono_ms(void)
{
    return clock_mono_ns() / NS_PER_MS;
}
/* Adds to what the clocks report from now on; for tests. Any thread. */
void clock_shift_for_test(int64_t wall_ns, int64_t mono_ns);

/* Uniform random numbers for jitter and ids, seeded from the kernel per thread. Not for secrets. */
uint64_t rand_u64(void);
double rand_unit(void); /* [0, 1) */

/* "2026-08-21T10:00:00.123456789Z"; `digits` (0..9) of the fraction. `out` needs 36 bytes. */
void clock_format_rfc3339(int64_t wall_ns, int digits, char out[36]);

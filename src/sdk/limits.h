/* limits.h - attribute limits, resolved: INT64_MAX is none. */
#pragma once
#include <stdint.h>

struct limits {
    int64_t count, length, depth;
};

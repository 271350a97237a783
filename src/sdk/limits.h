/* limits.h - attribute limits, resolved: INT64_MAX is none. */
#pragma once
#include <stdint.h>

struct limits {
    int64_t count, length, depth;
};

/* Deepest value that every receiver takes. The usual protobuf decoders stop at 100 nested messages, and refuse the whole request over
 * them; a map in a map costs three, and six stand above the first value. */
#define DEPTH_SAFE 30

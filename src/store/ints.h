/* ints.h - columns of whole numbers, in runs of INTS_RUN: least value as a varint, bits as a byte, then each value minus the least in so
 * many bits (bits.h), up to whole bytes. */
#pragma once
#include "store/bits.h"

enum { INTS_RUN = 128 };

void ints_put(struct buf *out, const uint64_t *v, size_t n);
/* Reads n values at *at, which moves behind them; false when they do not fit before `end`, behind which BITS_SLACK bytes are readable. */
MUST_USE bool ints_get(const uint8_t **at, const uint8_t *end, uint64_t *v, size_t n);

/* Times: 10^exponent ns as a byte, the first in that unit as a zigzag varint, then the differences, as zigzag in runs whose least is
 * told as zigzag. Times that rise evenly cost nothing. */
void times_put(struct buf *out, const int64_t *ts, size_t n);
MUST_USE bool times_get(const uint8_t *at, const uint8_t *end, int64_t *ts, size_t n);

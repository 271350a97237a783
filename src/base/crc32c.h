/* crc32c.h - the Castagnoli CRC, by the CPU's instruction where it has one. Chainable: crc32c(crc32c(0, a), b). */
#pragma once
#include "base/def.h"

uint32_t crc32c(uint32_t crc, const void *p, size_t n);

/* A checksum for short-lived memory that must be cheap above all: three CRCs over the words taken in turn, folded into one,
 * which keeps the CPU's CRC unit busy where a single chain waits for itself. `p` is aligned to 8, `n` a multiple of 8; s1 and
 * s2 seed it. Not the CRC-32C of the bytes; the same on every host of one byte order. */
uint32_t crc32c_lanes(uint64_t s1, uint64_t s2, const void *p, size_t n);

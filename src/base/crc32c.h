/* crc32c.h - the Castagnoli CRC, by the CPU's instruction where it has one. Chainable: crc32c(crc32c(0, a), b). */
#pragma once
#include "base/def.h"

uint32_t crc32c(uint32_t crc, const void *p, size_t n);

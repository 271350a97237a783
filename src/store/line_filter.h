/* line_filter.h - line filters over the lines of a chunk. */
#pragma once
#include "store/chunk.h"
#include "store/scan.h"

/* Clears pass[row] of the rows that do not pass all filters: exactly, regexes included. Rows already cleared stay so. The chunk
 * has its lines. False: out of memory. */
MUST_USE bool lines_pass(const struct chunk *c, const struct scan_filter *f, size_t n, uint8_t *pass);

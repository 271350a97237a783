/* line_filter.h - line filters over the lines of a chunk. */
#pragma once
#include "store/chunk.h"
#include "store/scan.h"

/* Does the line have what the filter looks for? Whether that is wanted is another question. */
bool scan_filter_hits(const struct scan_filter *f, sv line);
/* Clears pass[row] of the rows that do not pass all filters: exactly, regexes included. Rows already cleared stay so. The chunk
 * has its lines. False: out of memory. */
MUST_USE bool lines_pass(const struct chunk *c, const struct scan_filter *f, size_t n, uint8_t *pass);

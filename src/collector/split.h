/* split.h - part of a request, cut at records. Joining needs no code: two requests concatenated are one. */
#pragma once
#include "base/buf.h"

/* Appends to `out` the records [from, from + n) of a checked request, each under its resource and scope, with all other
 * fields of these (schema URLs, unknown ones) as they were. Groups without a record in the range are left out. */
void split_records(sv request, uint64_t from, uint64_t n, struct buf *out);

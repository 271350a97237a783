/* simple_record.h - the quick way from a record to its bytes, for the records that nearly all are: texts that are valid UTF-8, a
 * few attributes with plain values, nothing over a limit, no key twice. Their exact size is known beforehand, so they are
 * written where they go, in one pass and without a check. All others take encode_record(), which knows every case. */
#pragma once
#include "sdk/limits.h"
#include "base/sv.h"
#include <weir/log.h>

#define SIMPLE_ATTRS_MAX 16
/* What the first pass found out. */
struct simple {
    uint32_t n; /* bytes of the record; 0: not a simple one */
    uint32_t body;
    uint32_t values[SIMPLE_ATTRS_MAX]; /* bytes of each attribute's AnyValue */
    uint32_t trace;
};
/* False: not a simple one. `site`: the attributes that site_bytes() gave. */
bool simple_plan(const weir_log_record *r, sv site, const struct limits *limits, struct simple *ret);
/* Writes it, exactly plan->n bytes; returns where it ends. */
uint8_t *simple_put(uint8_t *to, const weir_log_record *r, sv site, const struct simple *plan);
/* The code.* attributes of a place in the source, encoded once and kept with it. SV_NULL: no memory for that. */
sv site_bytes(const weir_site *site);

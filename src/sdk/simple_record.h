/* simple_record.h - the quick way from a record to its bytes, for the records that nearly all are: texts that are valid UTF-8, a
 * few attributes with plain values, nothing over a limit, no key twice. Their exact size is known beforehand, so they are
 * written where they go, in one pass and without a check. All others take encode_record(), which knows every case. */
#pragma once
#include "sdk/limits.h"
#include "base/sv.h"
#include <weir/log.h>

/* 0: not a simple one. `site`: the attributes that site_bytes() gave. */
size_t simple_size(const weir_log_record *r, sv site, const struct limits *limits);
/* Writes it, exactly simple_size() bytes; returns where it ends. */
uint8_t *simple_put(uint8_t *to, const weir_log_record *r, sv site);
/* The code.* attributes of a place in the source, encoded once and kept with it. SV_NULL: no memory for that. */
sv site_bytes(const weir_site *site);

/* encode.h - values and records of the API as OTLP bytes. Invalid UTF-8 becomes U+FFFD here: receivers may refuse a whole
 * batch over one bad byte. Views may be anything a caller can build: depth is capped, NULL data counts as empty. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "sdk/limits.h"
#include <weir/log.h>
#include <weir/logs.h>

static inline sv sv_of_weir(weir_string s)
{
    return s.data ? sv_make(s.data, s.size) : SV_NULL;
}

/* The record's bytes (a LogRecord message). `site`: where it was logged, or NULL. `dropped`: attributes discarded before.
 * Returns how many attributes were discarded in all. */
uint32_t encode_record(struct buf *out, const weir_log_record *r, const weir_site *site, uint32_t dropped,
                       const struct limits *limits);
void encode_site(struct buf *out, const weir_site *site); /* its code.* attributes */
/* Attributes without limits, as `field` of the message being written. */
void encode_attrs(struct buf *out, uint32_t field, const weir_attr *attrs, size_t n);
void encode_text(struct buf *out, uint32_t field, sv text); /* nothing for an empty one */

/* A deep copy in the arena; false when it is full. */
MUST_USE bool value_copy(struct arena *a, weir_value v, weir_value *ret);
MUST_USE bool attr_copy(struct arena *a, weir_attr attr, weir_attr *ret);
/* The value as text, for message templates: strings as they are, the rest as otlp_value_text() shows it. */
void value_text(struct buf *out, weir_value v);

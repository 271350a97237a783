/* env.h - OTEL_* environment variables (specification, "Environment Variables"): empty counts as unset, what cannot be read
 * is warned about and counts as unset. */
#pragma once
#include "base/buf.h"

const char *env_get(const char *name); /* NULL when unset or empty */
/* The first of two names that is set; the second may be NULL. *ret_name: which. */
const char *env_get2(const char *name, const char *general, const char **ret_name);
/* A whole decimal number in [min, max] into *ret; false: none. */
bool env_i64(const char *name, const char *general, int64_t min, int64_t max, int64_t *ret);
bool env_bool(const char *name, const char *general); /* only "true", in any case */

/* From now on OTEL_* variables count as unset in the calling thread, or count again; returns what it was. A configuration file takes
 * their place. */
bool env_hide_otel(bool hide);

MUST_USE bool percent_decode(sv text, struct buf *out, struct err *e);
/* "k=v,k2=v2" with percent-encoding (W3C Baggage without properties): calls fn for each pair, decoded, blanks around keys
 * and values cut. False: malformed, and fn was called for none. */
MUST_USE bool env_pairs(sv text, bool (*fn)(void *ctx, sv key, sv value), void *ctx, struct err *e);

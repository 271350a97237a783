/* limits_int.h - the overrides file as a table: tenant -> limits. */
#pragma once
#include "base/lock.h"
#include "store/limits.h"

struct retention_rule { /* retention_stream */
    struct matcher *matchers;
    size_t n_matchers;
    int64_t priority, period_ns;
};
struct tenant_limits {
    struct limits limits;
    struct retention_rule *rules; /* highest priority first; of equal ones the earlier */
    size_t n_rules;
};
struct limits_table; /* immutable */
/* `file` is for messages, which have line and column. */
MUST_USE bool limits_table_read(sv text, const char *file, const struct limits *defaults, struct limits_table **ret, struct err *e);
void limits_table_free(struct limits_table *t); /* NULL is fine */
int64_t limits_table_shortest(const struct limits_table *t); /* of the retention periods in it; 0: none */
const struct tenant_limits *limits_table_get(const struct limits_table *t, sv tenant); /* NULL: none of its own */

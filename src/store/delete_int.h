/* delete_int.h - what the files about deletes share: a request as it is kept in memory. */
#pragma once
#include "store/deletes.h"

struct line_test {
    bool negative, regex;
    sv *texts;
    struct regex **re; /* of regex; NULL-filled beyond what was compiled */
    size_t n;
};

struct tombstone { /* immutable, but for processed_ns */
    _Atomic uint32_t refs;
    uint64_t id;
    int64_t created_ns, start_ns, end_ns;
    int64_t processed_ns; /* under the book's mu */
    bool hide_only;
    sv tenant, query;
    struct matcher *matchers;
    struct line_test *tests;
    size_t n_matchers, n_tests;
    struct catalog_text *text; /* what the views above point into */
    struct arena a;
};
/* From its row in the catalog. ERR_CORRUPT; ERR_UNSUPPORTED: of a newer release. */
MUST_USE bool tombstone_new(const struct catalog_delete *row, struct tombstone **ret, struct err *e);
struct tombstone *tombstone_ref(struct tombstone *t);
void tombstone_unref(struct tombstone *t); /* NULL is fine */
DEFINE_SCOPED(struct tombstone *, tombstone_unref)
/* A request's bytes, docs/formats.md. ERR_LIMIT: too long. */
MUST_USE bool delete_text(const struct delete_request *rq, struct catalog_text **ret, struct err *e);

static inline bool tombstone_in_range(const struct tombstone *t, int64_t min_ts, int64_t max_ts)
{
    return max_ts >= t->start_ns && min_ts <= t->end_ns;
}
bool tombstone_means(const struct tombstone *t, const struct stream *st); /* but for times and lines */
bool tombstone_concerns_part(const struct tombstone *t, const struct part *p);

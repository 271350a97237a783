/* deletes.h - rows that somebody asked to delete: which they are, who may see them, and when they are gone.
 * (1) A request is in the catalog, durably, before it is answered, and hides what it means from every scan opened later.
 * (2) It means rows by what they are and not by when they came: one pushed afterwards with a time in its range is hidden, too,
 *     and removed, until the request is processed (docs/decisions.md).
 * (3) Rows go when parts are rewritten, not before delete_request_cancel_period has passed. Requests have ascending ids, and
 *     those that are due are a beginning of all: so a part says with one number which requests it went through.
 * (4) A request is processed when it is due and nothing it might mean is left in a part that did not go through it, or in the
 *     head. Then it hides nothing any more.
 * A store without requests pays a NULL check per scan. */
#pragma once
#include "store/catalog.h"
#include "store/part.h"
#include "store/store.h"

/* ---- asking, listing, cancelling: any thread ---- */

struct delete_filter { /* a line passes when it has one of the texts (`negative`: none of them) */
    bool negative, regex;
    const sv *texts;
    size_t n;
};
struct delete_request {
    sv tenant, query; /* query: as it was asked, for the list */
    const struct matcher *matchers;
    size_t n_matchers;
    const struct delete_filter *filters;
    size_t n_filters;
    int64_t start_ns, end_ns; /* start <= ts <= end */
    int64_t created_ns;       /* wall */
    bool hide_only;           /* deletion_mode filter-only: never removed, never processed */
};
/* True: hidden, and safe on disk. ERR_LIMIT: max_delete_requests. */
MUST_USE bool store_delete(struct store *st, const struct delete_request *rq, uint64_t *ret_id, struct err *e);

struct delete_info {
    uint64_t id;
    sv query; /* during the call only */
    int64_t start_ns, end_ns, created_ns;
    bool processed;
};
/* A tenant's requests, oldest first. fn must not call the store. */
void store_deletes(struct store *st, sv tenant, void (*fn)(void *ctx, const struct delete_info *d), void *ctx);
/* What it hid is seen again. ERR_NOT_FOUND; ERR_INVALID: processed, or (without `force`) some rows may be gone already. */
MUST_USE bool store_delete_cancel(struct store *st, sv tenant, uint64_t id, bool force, struct err *e);

/* ---- which rows: scans and merges ---- */

struct tombstone;
struct deletes { /* requests at one moment, ascending by id; immutable */
    _Atomic uint32_t refs;
    size_t n;
    struct tombstone *at[];
};
struct deletes *deletes_ref(struct deletes *d); /* NULL is fine; so below */
void deletes_unref(struct deletes *d);
uint64_t deletes_last(const struct deletes *d); /* the highest id; 0: none */

/* The requests whose rows may be removed now, with a reference; NULL: none. A part written from rows that all went through
 * deletes_hide() of these has deletes_applied = MAX(deletes_last(), least of the parts it is made of). */
struct deletes *deletes_due(struct store *st);

/* What is deleted of one stream. Made once per stream, then asked per row. */
struct stream_deletes {
    const struct tombstone **at;
    size_t n; /* 0: nothing, the usual case */
    int64_t min_ts, max_ts;
    bool lines; /* some of it depends on lines */
};
MUST_USE bool deletes_of_stream(const struct deletes *d, const struct stream *st, struct stream_deletes *ret, struct err *e);
void stream_deletes_done(struct stream_deletes *sd);
bool deletes_hide_slow(const struct stream_deletes *sd, int64_t ts, sv line);
/* `line` is not looked at unless sd->lines. */
static inline bool deletes_hide(const struct stream_deletes *sd, int64_t ts, sv line)
{
    return sd->n && ts >= sd->min_ts && ts <= sd->max_ts && deletes_hide_slow(sd, ts, line);
}
/* Does the part have rows that a request may mean that it did not go through? From its stream table; no block is read. */
bool deletes_concern_part(const struct deletes *d, const struct part *p);

/* A scan's rows. */
struct hidden;
/* Streams of these tenants ("a|b"), by rank. *ret NULL: nothing of these streams and times is deleted. */
MUST_USE bool hidden_make(const struct deletes *d, sv tenants, struct stream *const *streams, size_t n, int64_t start_ns, int64_t end_ns,
                          struct hidden **ret, struct err *e);
void hidden_free(struct hidden *h); /* NULL is fine */
const struct stream_deletes *hidden_of(const struct hidden *h, uint32_t rank); /* NULL: nothing of this stream */
/* `of` by the chunk's streams. Are lines wanted to tell which of the rows that pass are hidden? */
bool hidden_needs_lines(const struct stream_deletes *const *of, const struct chunk *c, const uint8_t *pass);
/* Clears pass[row] of hidden rows. */
void hidden_clear(const struct stream_deletes *const *of, const struct chunk *c, uint8_t *pass);

/* Takes from [*min, *max] what requests without line filters cover at either end. False: nothing is left. */
bool deletes_leave(const struct deletes *d, const struct stream *st, int64_t *min_ts, int64_t *max_ts);

/* ---- the store's book of them ---- */

struct delete_book {
    struct lock mu;                /* outermost of the store's, but for the catalog's below it */
    VEC(struct tombstone *) all;   /* under mu: by id, processed ones, too */
    uint64_t next_id;              /* under mu */
    uint64_t removing;             /* under mu: up to this id rows may be gone */
    int64_t settled_mono_ns;       /* under mu */
    struct deletes *in_force;      /* under head.mu; NULL: none */
};
void deletes_init(struct delete_book *b);
void deletes_done(struct delete_book *b);
/* What the catalog says. */
MUST_USE bool deletes_load(struct store *st, const struct catalog_state *state, struct err *e);
/* Which requests are processed by now? To be called when parts were replaced, and now and then. */
void deletes_settle(struct store *st);
void deletes_settle_now_and_then(struct store *st);

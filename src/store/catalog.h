/* catalog.h - which parts the store consists of, and what of them is deleted: an append-only manifest of edits. Bytes: docs/formats.md, "Manifest".
 * (1) An edit is one checksummed frame, so it happens whole or not at all: parts come, parts go, the log is covered so far.
 * (2) A torn last frame is cut off. Damage anywhere else sets the manifest aside; the parts, which describe themselves, are
 *     then the catalog.
 * (3) CURRENT names the manifest in force. A manifest grown large is rewritten: new file, sync, CURRENT replaced. */
#pragma once
#include "base/err.h"
#include "base/sv.h"
#include "base/vec.h"
#include <stdatomic.h>

struct catalog_part {
    uint64_t id, file_bytes, rows, line_bytes;
    int64_t min_ts, max_ts;
};

/* A request to delete rows. What it says is between those who write and read it (deletes.h): bytes to the catalog. */
struct catalog_text {
    _Atomic uint32_t refs;
    size_t n;
    char p[];
};
struct catalog_text *catalog_text_new(sv s); /* one reference; NULL when out of memory */
struct catalog_text *catalog_text_ref(struct catalog_text *t);
void catalog_text_unref(struct catalog_text *t); /* NULL is fine */
static inline sv catalog_text_sv(const struct catalog_text *t)
{
    return (sv){t->p, t->n};
}
struct catalog_delete {
    uint64_t id;
    int64_t created_ns, processed_ns; /* processed: 0 while it is in force */
    int64_t start_ns, end_ns;         /* start <= time of a row <= end */
    struct catalog_text *text;        /* the edit's own reference stays its owner's; the state has one of its own */
};

struct catalog_state {
    uint64_t covered_seq; /* log frames below it are in parts */
    VEC(struct catalog_part) parts; /* in the order they were added */
    VEC(uint64_t) dead; /* parts dropped whose files may still be there */
    VEC(struct catalog_delete) deletes; /* by id */
    uint64_t next_delete;               /* no delete has had an id from it on */
};
void catalog_state_done(struct catalog_state *s);

struct catalog_edit {
    uint64_t covered_seq; /* 0: as before */
    const struct catalog_part *add;
    size_t n_add;
    const uint64_t *drop;
    size_t n_drop;
    const struct catalog_delete *deletes; /* new ones, or with an id that is there: in its place. Ids ascend */
    size_t n_deletes;
    const uint64_t *forget; /* ids of deletes */
    size_t n_forget;
};

struct catalog;
/* dir: where CURRENT and MANIFEST-* lie. *ret_state is what the manifest says; empty for a new store.
 * *ret_damage: a manifest was damaged or missing where one was needed; it has been moved to quarantine/, *ret_state has no
 * parts, and the caller finds them out anew (catalog_reset). Deletes are those that were read before the damage. */
MUST_USE bool catalog_open(int dirfd, struct catalog **ret, struct catalog_state *ret_state, struct err *ret_damage,
                           struct err *e);
uint64_t catalog_torn_bytes(const struct catalog *c); /* cut off the manifest's end by opening it: a torn edit, or a damaged last one */
void catalog_close(struct catalog *c);
/* Durable when it returns true. After a failure nothing of the edit is in force; the next edit starts a new manifest. */
MUST_USE bool catalog_edit(struct catalog *c, const struct catalog_edit *edit, struct err *e);
/* The file of a dropped part is gone: it need not be told any more. Nothing is written now; the next manifest leaves it out. */
void catalog_gone(struct catalog *c, uint64_t id);
/* Replaces parts and what is covered by those of `state`, in a new manifest. Deletes stay. */
MUST_USE bool catalog_reset(struct catalog *c, const struct catalog_state *state, struct err *e);

/* The edits in a manifest's bytes, applied to *ret. *ret_good: length of the undamaged beginning. False: damaged beyond a
 * torn end (ERR_CORRUPT with pos) or of a newer release (ERR_UNSUPPORTED). For recovery, `weir inspect` and fuzzing. */
MUST_USE bool manifest_read(sv bytes, struct catalog_state *ret, size_t *ret_good, struct err *e);
size_t manifest_edits(sv bytes, size_t good); /* in that beginning */

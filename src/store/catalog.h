/* catalog.h - which parts the store consists of: an append-only manifest of edits. Bytes: docs/formats.md, "Manifest".
 * (1) An edit is one checksummed frame, so it happens whole or not at all: parts come, parts go, the log is covered so far.
 * (2) A torn last frame is cut off. Damage anywhere else sets the manifest aside; the parts, which describe themselves, are
 *     then the catalog.
 * (3) CURRENT names the manifest in force. A manifest grown large is rewritten: new file, sync, CURRENT replaced. */
#pragma once
#include "base/err.h"
#include "base/sv.h"
#include "base/vec.h"

struct catalog_part {
    uint64_t id, file_bytes, rows, line_bytes;
    int64_t min_ts, max_ts;
};

struct catalog_state {
    uint64_t covered_seq; /* log frames below it are in parts */
    VEC(struct catalog_part) parts; /* in the order they were added */
    VEC(uint64_t) dead; /* parts dropped whose files may still be there */
};
void catalog_state_done(struct catalog_state *s);

struct catalog_edit {
    uint64_t covered_seq; /* 0: as before */
    const struct catalog_part *add;
    size_t n_add;
    const uint64_t *drop;
    size_t n_drop;
};

struct catalog;
/* dir: where CURRENT and MANIFEST-* lie. *ret_state is what the manifest says; empty for a new store.
 * *ret_damage: a manifest was damaged or missing where one was needed; it has been moved to quarantine/, *ret_state is empty,
 * and the caller rebuilds the state from the parts (catalog_reset). */
MUST_USE bool catalog_open(int dirfd, struct catalog **ret, struct catalog_state *ret_state, struct err *ret_damage,
                           struct err *e);
void catalog_close(struct catalog *c);
/* Durable when it returns true. After a failure nothing of the edit is in force; the next edit starts a new manifest. */
MUST_USE bool catalog_edit(struct catalog *c, const struct catalog_edit *edit, struct err *e);
/* The file of a dropped part is gone: it need not be told any more. Nothing is written now; the next manifest leaves it out. */
void catalog_gone(struct catalog *c, uint64_t id);
/* Replaces everything by `state`, in a new manifest. */
MUST_USE bool catalog_reset(struct catalog *c, const struct catalog_state *state, struct err *e);

/* The edits in a manifest's bytes, applied to *ret. *ret_good: length of the undamaged beginning. False: damaged beyond a
 * torn end (ERR_CORRUPT with pos) or of a newer release (ERR_UNSUPPORTED). For recovery, `weir inspect` and fuzzing. */
MUST_USE bool manifest_read(sv bytes, struct catalog_state *ret, size_t *ret_good, struct err *e);

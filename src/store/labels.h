/* labels.h - label sets and matchers: what a stream is, and how a selector picks streams. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/regex.h"

struct label {
    sv name, value;
};
struct labels { /* sorted by name, names unique, no empty values */
    const struct label *at;
    size_t n;
};
sv labels_get(struct labels l, sv name); /* SV_NULL when absent */
int labels_cmp(struct labels a, struct labels b);
bool labels_eq(struct labels a, struct labels b);
uint64_t labels_hash(struct labels l); /* xxh3 of the canonical text; stable across hosts: part of formats */
/* {a="b", c="d"} with Go-style escapes, as Loki writes it in messages. */
void labels_text(struct labels l, struct buf *out);
/* Reads what a Loki push sends: {a="b", c='d', e=`f`,} with Go's escapes in the first two kinds of quotes; blanks anywhere
 * between words, labels without a value left out. Sorted; lives in `a` or points into `text`. ERR_PARSE with pos and
 * "1:3: parse error: ..."; ERR_INVALID: a name comes twice. */
MUST_USE bool labels_parse(sv text, struct arena *a, struct labels *ret, struct err *e);
/* A deep copy in `a`; at is NULL when out of memory. */
struct labels labels_copy(struct arena *a, struct labels l);
void labels_sort(struct label *at, size_t n); /* by name; stable */

enum match_op { MATCH_EQ, MATCH_NEQ, MATCH_RE, MATCH_NRE };
struct matcher {
    sv name, value;
    enum match_op op;
    struct regex *re; /* for RE and NRE: compiled with REGEX_FULL */
};
/* {a="b", c!="d", e=~"f", g!~"h"} with the quotes of labels_parse(); what ret points to lives in `a` or in `text`, regexes are the
 * caller's to free, those of *ret_n matchers also after a failure. */
MUST_USE bool matchers_parse(sv text, struct arena *a, struct matcher **ret, size_t *ret_n, struct err *e);
bool matcher_accepts(const struct matcher *m, sv value); /* a missing label is "" */
bool matchers_accept(const struct matcher *m, size_t n, struct labels l);

/* line_parse.h - the stages that take labels out of a line. None of them ever drops a line: what cannot be read sets
 * __error__, and what was found so far stays. */
#pragma once
#include "logql/ast.h"
#include "logql/label_row.h"

/* What the query needs from parsers. A metric query often needs a few names or none. */
struct parse_hints {
    bool all;  /* everything */
    bool skip; /* nothing: parsers need not run */
    const sv *names; /* with x_extracted goes x, from which it is made */
    size_t n;
    bool first[256], last[256]; /* bytes that names begin and end with */
};
void parse_hints_set(struct parse_hints *h, const sv *names, size_t n);
/* False: this key, as it stands in a line, cannot become a label that may be needed; told by its ends alone. `nested`: other keys' names come in
 * front of it. */
static inline bool parse_may_want(const struct parse_hints *h, sv key, bool nested)
{
    if (h->all || !key.n)
        return true;
    unsigned char first = (unsigned char)key.p[0], last = (unsigned char)key.p[key.n - 1];
    bool plain_first = first == '_' || ((first | 32) >= 'a' && (first | 32) <= 'z');
    bool plain_last = last == '_' || (last >= '0' && last <= '9') || ((last | 32) >= 'a' && (last | 32) <= 'z');
    return (!plain_last || h->last[last]) && (nested || !plain_first || h->first[first]);
}
/* May this label be needed? Asked before its value is worked out. */
bool parse_wants(const struct parse_hints *h, const struct label_row *r, sv name);
/* Extracts the label if the query needs it; true when it was needed and new. */
bool extract_if_wanted(const struct parse_hints *h, struct label_row *r, sv name, sv value);

void json_extract_all(sv line, const struct parse_hints *h, struct label_row *r);
void json_extract(sv line, const struct extract *x, size_t n, struct label_row *r);
/* `*line` becomes the value of _entry. */
void json_unpack(sv *line, struct label_row *r);
void logfmt_extract_all(sv line, bool strict, bool keep_empty, const struct parse_hints *h, struct label_row *r);
void logfmt_extract(sv line, bool strict, const struct extract *x, size_t n, struct label_row *r);
void regexp_extract(sv line, const struct regex *re, struct label_row *r);
void pattern_extract(sv line, const struct pattern *pt, struct label_row *r);

/* A label name made of `name`: blanks trimmed, other characters than letters, digits and _ become _, no leading digit.
 * With `prefix` (a finished name) in front and a _ between. SV_NULL when nothing is left or memory is out. */
sv sanitised_name(struct arena *a, sv prefix, sv name);
/* JSON escapes decoded and bytes that are not UTF-8 replaced by blanks; `*ok` false for a bad escape. */
sv json_decoded(struct arena *a, sv raw, bool *ok);

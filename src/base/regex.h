/* regex.h - regular expressions with Go's syntax in linear time (RE2 behind a C face). A compiled regex is immutable:
 * any number of threads may match with it. */
#pragma once
#include "base/buf.h"

struct regex;
enum { REGEX_FULL = 1 /* must match the whole text */, REGEX_NOCASE = 2 };

/* `.` does not match a newline. ERR_PARSE has Go's wording: error parsing regexp: missing argument to repetition
 * operator: `*`. ERR_LIMIT: the program would need more than 8 MB. */
MUST_USE bool regex_compile(sv pattern, unsigned flags, struct regex **ret, struct err *e);
void regex_free(struct regex *re); /* NULL is fine */
bool regex_match(const struct regex *re, sv text);
/* groups[0] is the whole match, groups[i] the i-th capture (p NULL when it took no part); n at most 1 + regex_groups. */
bool regex_match_groups(const struct regex *re, sv text, sv *groups, size_t n);
size_t regex_groups(const struct regex *re);
sv regex_group_name(const struct regex *re, size_t i); /* i from 1; SV_NULL when unnamed */
bool regex_matches_empty(const struct regex *re);
/* Replaces every match; $1, ${1}, ${name} in `with` as in Go unless `literal`. */
void regex_replace_all(const struct regex *re, sv text, sv with, bool literal, struct buf *out);
/* When the regex matches exactly a set of literal strings (`a|b|c`, no flags), hands them out, at most `max`; 0 if not. */
size_t regex_literals(const struct regex *re, sv *ret, size_t max);

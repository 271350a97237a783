/* rules.h - what becomes of names, levels and resource attributes on the way in: the rules of Loki's current development
 * version (its documentation: "Ingest OpenTelemetry logs", "Labels", "log level detection"), as pure functions. */
#pragma once
#include "base/arena.h"
#include "store/labels.h"

/* A label or metadata name: [A-Za-z0-9] stay, a run of anything else becomes one '_', "key_" goes before a digit, `__x__`
 * stays as it is. *ret is `name` itself when nothing changes, else lives in `a`. ERR_INVALID: empty, or only '_' is left. */
MUST_USE bool rules_name(sv name, struct arena *a, sv *ret, struct err *e);

/* Is a resource attribute of this (raw) name an index label? */
bool rules_index_attribute(sv name);

/* The label whose value stands in for a missing service_name: first of the well-known names present; SV_NULL when none.
 * `at` need not be sorted. */
sv rules_service_name(const struct label *at, size_t n);

/* The fixed word for a level's many spellings ("WARNING" -> "warn"); `value` itself when it is none of them. */
sv rules_level_word(sv value);
/* The level a label or metadata set states: the value of the first of the level names that is present, as a word. SV_NULL
 * when none. `at` need not be sorted; of equal names the last counts. */
sv rules_level_of_labels(const struct label *at, size_t n);
bool rules_is_level_name(sv name);
sv rules_level_of_number(int64_t severity_number);
/* From the text alone: JSON (two levels deep), logfmt, then plain words; "unknown" when nothing is found. */
sv rules_level_of_line(sv line);

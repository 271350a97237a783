/* detect.h - what a record's text says about itself: its severity, and when it is a JSON object, everything. Text in, a record
 * of the SDK out; no clock, no descriptor.
 *
 * A text is a JSON object or a plain line; what looks like an object but does not parse, or is nested deeper than
 * DETECT_DEPTH_MAX, is a plain line. Docs with the tables: docs/run.md. */
#pragma once
#include "base/err.h"
#include "base/sv.h"
#include <weir/logs.h>

enum { DETECT_DEPTH_MAX = 32, DETECT_SPARE = 4 };
struct detect_config {
    bool json;          /* look for JSON objects */
    bool keep_ansi;     /* leave escape sequences in the body */
    uint64_t max_bytes; /* longest text */
};
struct detector;
MUST_USE bool detector_new(const struct detect_config *cfg, struct detector **ret, struct err *e);
void detector_free(struct detector *d); /* NULL is fine */
DEFINE_SCOPED(struct detector *, detector_free)

/* Fills body, severity number and text (0 and empty: it does not say), attributes; timestamp and trace only if the text has them.
 * The text of a severity is the object's own word; for a plain line it is left to the caller. Views into `text`, which must
 * not be longer than max_bytes, and into `d`, valid until its next call. Cannot fail: short of memory, an object is a plain line. */
void detect(struct detector *d, sv text, weir_log_record *ret);
/* One more attribute for the record that detect() filled last; at most DETECT_SPARE. */
void detect_add(struct detector *d, weir_log_record *r, weir_attr attribute);

/* The severity number of a level's name in any case: "warn", "ERROR", "crit"; 0 when it is none. */
int detect_level_word(sv word);

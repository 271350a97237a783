/* rejects.h - records that broke a limit: counted by reason, worded as Loki words them, grouped for one answer. */
#pragma once
#include "base/metrics.h"
#include "store/labels.h"

enum reject_reason {
    REJECT_MISSING_LABELS,
    REJECT_INVALID_LABELS,
    REJECT_LABEL_COUNT,
    REJECT_LABEL_NAME,
    REJECT_LABEL_VALUE,
    REJECT_DUPLICATE_NAME,
    REJECT_TOO_OLD,
    REJECT_TOO_NEW,
    REJECT_LINE,
    REJECT_METADATA_SIZE,
    REJECT_METADATA_COUNT,
    REJECT_STREAM_LIMIT,
    REJECT_STREAM_MEMORY,
    REJECT_RATE,
    REJECT_STREAM_RATE,
    REJECT_METADATA,
    REJECT_REASONS
};

enum { REJECT_TEXT = 400 };

struct rejects {
    struct reject {
        enum reject_reason reason;
        const void *key; /* errors of one reason and key (a stream, a source) are one kind: the first text stands for all */
        uint32_t n;
        char text[REJECT_TEXT];
    } at[8];
    size_t n;
    uint32_t total; /* of all kinds, also those beyond the array */
    uint32_t records[REJECT_REASONS];
    uint64_t bytes[REJECT_REASONS];
};

/* True: the first of its kind; the caller words it into *ret_text (REJECT_TEXT bytes). */
bool rejects_add(struct rejects *r, enum reject_reason reason, const void *key, uint64_t bytes, char **ret_text);
/* One error: its text; several: "2 errors like: a; 1 errors like: b" in text order. ERR_LIMIT when all are of the kind
 * that may pass later (429), else ERR_INVALID. */
void rejects_err(const struct rejects *r, struct err *ret);
/* As metrics call it. */
const char *reject_reason_name(enum reject_reason reason);

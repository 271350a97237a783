/* rejects.c - see rejects.h. */
#include "store/rejects.h"
#include <stdio.h>
#include <stdlib.h>

static const char *const reason_names[REJECT_REASONS] = {
    [REJECT_MISSING_LABELS] = "missing_labels",
    [REJECT_INVALID_LABELS] = "invalid_labels",
    [REJECT_LABEL_COUNT] = "max_label_names_per_series",
    [REJECT_LABEL_NAME] = "label_name_too_long",
    [REJECT_LABEL_VALUE] = "label_value_too_long",
    [REJECT_DUPLICATE_NAME] = "duplicate_label_names",
    [REJECT_TOO_OLD] = "greater_than_max_sample_age",
    [REJECT_TOO_NEW] = "too_far_in_future",
    [REJECT_LINE] = "line_too_long",
    [REJECT_METADATA_SIZE] = "structured_metadata_too_large",
    [REJECT_METADATA_COUNT] = "structured_metadata_too_many",
    [REJECT_STREAM_LIMIT] = "stream_limit",
    [REJECT_STREAM_MEMORY] = "stream_memory_full",
    [REJECT_RATE] = "rate_limited",
    [REJECT_STREAM_RATE] = "per_stream_rate_limit",
    [REJECT_METADATA] = "disallowed_structured_metadata",
};

const char *reject_reason_name(enum reject_reason reason)
{
    return reason_names[reason];
}

bool rejects_add(struct rejects *r, enum reject_reason reason, const void *key, uint64_t bytes, char **ret_text)
{
    r->total++;
    r->records[reason]++;
    r->bytes[reason] += bytes;
    for (size_t i = 0; i < r->n; i++)
        if (r->at[i].reason == reason && r->at[i].key == key) {
            r->at[i].n++;
            return false;
        }
    if (r->n == ARRAY_LEN(r->at))
        return false;
    struct reject *x = &r->at[r->n++];
    *x = (struct reject){.reason = reason, .key = key, .n = 1};
    *ret_text = x->text;
    return true;
}

static int by_text(const void *a, const void *b)
{
    const struct reject *const *x = a, *const *y = b;
    return strcmp((*x)->text, (*y)->text);
}

void rejects_err(const struct rejects *r, struct err *ret)
{
    enum err_code code = ERR_LIMIT;
    const struct reject *order[ARRAY_LEN(r->at)];
    for (size_t i = 0; i < r->n; i++)
        order[i] = &r->at[i];
    for (int i = 0; i < REJECT_REASONS; i++)
        if (r->records[i] && i != REJECT_STREAM_LIMIT && i != REJECT_STREAM_MEMORY && i != REJECT_STREAM_RATE)
            code = ERR_INVALID;
    qsort(order, r->n, sizeof *order, by_text);
    if (r->total == 1) {
        err_set(ret, code, "%s", order[0]->text);
        return;
    }
    char text[sizeof ret->msg] = "";
    size_t at = 0;
    for (size_t i = 0; i < r->n && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%u errors like: %s", i ? "; " : "", order[i]->n,
                               order[i]->text);
    err_set(ret, code, "%s", text);
}

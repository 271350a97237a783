/* label_row.h - the labels of one entry on its way through a pipeline.
 * They come from three places, and each label keeps its category: the stored stream, the entry's structured metadata, and
 * what stages made ("parsed"). The first two are borrowed and only marked as gone; nothing is copied for a row that no
 * stage changes. Looking up prefers parsed, then metadata, then stream. */
#pragma once
#include "store/labels.h"

struct label_row {
    struct labels stream, metadata;
    bool *stream_gone, *metadata_gone; /* NULL until something goes */
    struct label *parsed;              /* unsorted, names unique */
    size_t n_parsed, cap_parsed;
    sv error, error_details; /* __error__, __error_details__; p NULL when unset */
    struct arena *a;         /* of this row: names and values that had to be made */
    bool failed;             /* the arena is exhausted */
};

void label_row_start(struct label_row *r, struct labels stream, struct labels metadata, struct arena *a);
sv label_row_get(const struct label_row *r, sv name); /* SV_NULL: none */
/* What a parser's label is called in this row: the name, or name_extracted; SV_NULL when out of memory. */
sv label_row_extracted_name(struct label_row *r, sv name);
/* A label that a parser found. A name that the stream or the metadata uses gets "_extracted"; an earlier one wins. */
void label_row_extract(struct label_row *r, sv name, sv value);
bool label_row_has_parsed(const struct label_row *r, sv name);
/* A label that label_format makes: parsed, in place of any of that name. */
void label_row_set(struct label_row *r, sv name, sv value);
void label_row_drop(struct label_row *r, sv name);
void label_row_set_error(struct label_row *r, sv error, sv details);

enum { LABEL_STREAM = 1, LABEL_METADATA = 2, LABEL_PARSED = 4, LABEL_ERRORS = 8 };
/* The labels of these categories, sorted, names unique, in `a`; at is NULL when out of memory (n is then 0, too). */
struct labels label_row_labels(const struct label_row *r, unsigned categories, struct arena *a);

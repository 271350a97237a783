/* lines_int.h - a block's lines opened: what lines_read.c and lines_find.c share. */
#pragma once
#include "store/bits.h"
#include "store/lines.h"
#include "store/lines_format.h"

struct column {
    enum lines_column enc;
    uint8_t width, bits, width_bits;
    uint32_t min_len, max_len; /* of a value's text */
    uint64_t base;             /* DELTA: the first */
    int64_t step;              /* DELTA: the least */
    uint64_t chars;            /* that its values may hold: lines_char_bit() */
    uint64_t slots_at, values_at; /* in `slots`; WIDTHS: widths, numbers */
    uint64_t text_at;          /* in `text` */
    uint32_t n_dict, dict_at;  /* in `numbers` or `words` */
    uint32_t made_at;          /* in `made`, + 1; 0: not made yet. DELTA: the numbers; TEXT: ends */
};

struct template {
    uint32_t text_at, text_n;
    uint32_t slot_at, n_slots; /* in `places` and `columns` */
    uint32_t rows;
};

struct lines {
    struct lines_source from;
    const uint32_t *line_end;
    uint32_t n_rows, raw_rows, n_templates; /* template 0, whose rows are raw_rows, not counted */
    const char *texts;
    uint32_t texts_n;
    struct template *templates; /* n_templates + 1; NULL: not read yet, as what follows */
    bool whole;                 /* the templates and their columns are all there */
    uint32_t *places;
    struct column *columns;
    uint32_t n_columns;
    VEC(uint64_t) numbers;
    VEC(sv) words;
    VEC(uint64_t *) made;
    size_t made_bytes;
    uint64_t slots_n, text_n, raw_at; /* what the directory says; raw_at: whole lines in `text` */
    uint16_t *id;   /* by row; NULL: not read yet */
    uint32_t *rank; /* by row: which of its template's */
    uint32_t *raw_end; /* by rank of template 0 */
    const uint8_t *slots; /* NULL: not read yet */
    const char *text;
    uint64_t chars; /* of all columns */
    sv rest;        /* of the dictionary, until lines_need_templates() */
    uint64_t built;
};

MUST_USE bool lines_need_templates(struct lines *l, struct err *e);
MUST_USE bool lines_need_ids(struct lines *l, struct err *e);
MUST_USE bool lines_need_columns(struct lines *l, struct err *e); /* and the ids */
/* One row, into room for its length. False: ERR_CORRUPT. */
MUST_USE bool lines_row(struct lines *l, uint32_t row, char *to, struct err *e);
static inline sv template_text(const struct lines *l, const struct template *t)
{
    return sv_make(l->texts + t->text_at, t->text_n);
}
static inline uint32_t lines_row_from(const struct lines *l, uint32_t row)
{
    return row ? l->line_end[row - 1] : 0;
}

/* lines.h - the lines of a block as templates and typed slots: a line is the text that many lines share, with numbers and ids in
 * places of it. "GET /orders/4711 took 12ms" is the template "GET /orders/# took #ms" and the numbers 4711 and 12.
 * (1) Four strings hold a block's lines (docs/formats.md, "Lines"): `dict`, the templates and what their slots hold; `ids`, each
 *     row's template; `slots`, the numbers, column by column, a column for each slot of each template; `text`, what is no number.
 * (2) Nothing rests on the parser: whatever it takes for a slot is put back byte by byte, and a line that no template fits, or that
 *     would be a template for itself alone, is kept whole, as template 0.
 * (3) A search looks at the dictionary first: a text that is in a template is in all its lines, one that neither the template nor
 *     what its slots may hold can make is in none; only what is left is put together and looked at.
 * (4) Reading treats all four strings as hostile, although their checksums were right. */
#pragma once
#include "base/buf.h"
#include "base/vec.h"
#include "store/scan.h"
#include "store/sieve.h"

enum { LINES_SLOTS_MAX = 64, LINES_TEMPLATES_MAX = 16384, LINES_TEMPLATE_BYTES = 16 << 10 };

/* ---- writing ---- */

struct lines_encoder;
struct lines_encoder *lines_encoder_new(void);
void lines_encoder_free(struct lines_encoder *x); /* NULL is fine */
struct lines_encoded { /* owned by the encoder, until its next call */
    struct buf dict, ids, slots, text;
    uint32_t n_templates, raw_rows; /* raw: kept whole */
    struct sieve_keys tokens; /* what slots hold, other than numbers */
};
/* Rows of `bytes`: row i ends at end[i] and begins where the one before ends. What was made is put together again and held against
 * them; should it differ, which would be a bug, it is reported and all lines are kept whole. NULL: out of memory. */
const struct lines_encoded *lines_encode(struct lines_encoder *x, const char *bytes, const uint32_t *end, uint32_t n);

/* Words of a text that are a slot in any line that they are a word of, and no number. */
struct lines_token {
    sv text;
    bool uuid, hex; /* hex: digits and a-f alone */
    bool inside;    /* the text goes on before and behind it, with what belongs to no word */
};
size_t lines_tokens(sv text, struct lines_token *ret, size_t max);

/* ---- reading ---- */

/* Where the other strings come from, when they are needed: a search that the dictionary settles asks for none of them. What is handed
 * out stays until lines_close(); `slots` has BITS_SLACK readable bytes behind it. */
struct lines_source {
    bool (*ids)(void *ctx, sv *ret, struct err *e);
    bool (*columns)(void *ctx, sv *ret_slots, sv *ret_text, struct err *e);
    void *ctx;
};

struct lines;
/* `dict` and `line_end` (where each row ends, as in chunk.h) are borrowed. ERR_CORRUPT, ERR_NOMEM. */
MUST_USE bool lines_open(sv dict, const struct lines_source *from, const uint32_t *line_end, uint32_t n_rows, struct lines **ret,
                         struct err *e);
void lines_close(struct lines *l); /* NULL is fine */
/* Writes each row whose want[] is not 0 (NULL: all) to its place in `to`. */
MUST_USE bool lines_build(struct lines *l, const uint8_t *want, char *to, struct err *e);
/* Clears pass[] of rows that do not pass all filters: exactly, regexes included. Looks at no row whose pass[] is 0. */
MUST_USE bool lines_filter(struct lines *l, const struct scan_filter *filters, size_t n_filters, uint8_t *pass, struct err *e);
/* May rows be left by a filter, by the texts of the dictionary and the sieve? Reads nothing else, and is not always right that they may. */
bool lines_may_pass(const struct lines *l, const struct sieve *s, const struct scan_filter *filters, size_t n_filters);
void lines_count(const struct lines *l, uint32_t *ret_templates, uint32_t *ret_whole_rows); /* whole: rows that have no template */
size_t lines_memory(const struct lines *l);       /* bytes it holds by itself */
uint64_t lines_rows_built(const struct lines *l); /* so far */

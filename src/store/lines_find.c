/* lines_find.c - line filters on a block that stays as it is encoded. Each template gets a verdict from its text and from what its slots
 * may hold; rows of those left open are put together and looked at.
 * Could a needle be in a line of a template, other than in its text? It would have to touch a slot. So it is laid over the template in
 * all ways that begin in a slot, or with the end of the text in front of one, and followed from there: text must be the same, a slot's
 * characters ones that it holds. What no way fits is not there. */
#include "store/line_filter.h"
#include "store/lines_int.h"

enum verdict { NONE, ALL, OPEN };
enum { STEPS_MAX = 4096 }; /* of following a needle; past it, the rows are looked at */

struct search {
    struct lines *l;
    const struct template *t;
    sv needle;
    unsigned steps;
};

static bool holds(const struct column *c, uint8_t ch)
{
    return (c->chars & lines_char_bit(ch)) != 0;
}

/* The text behind slot s (0: in front of the first is s = -1). */
static sv text_behind(const struct search *q, int s)
{
    const uint32_t *places = q->l->places + q->t->slot_at;
    uint32_t from = s < 0 ? 0 : places[s] + 1, to = (uint32_t)(s + 1) < q->t->n_slots ? places[s + 1] : q->t->text_n;
    return sv_make(q->l->texts + q->t->text_at + from, to - from);
}

static bool follows_text(struct search *q, int s, size_t at);

/* The needle from `at` on, beginning in slot s; `whole`: at its start. */
static bool follows_slot(struct search *q, uint32_t s, size_t at, bool whole)
{
    const struct column *c = &q->l->columns[q->t->slot_at + s];
    for (size_t k = 0; k < c->max_len && holds(c, (uint8_t)q->needle.p[at]);) {
        at++;
        k++;
        if (at == q->needle.n || ((!whole || k >= c->min_len) && follows_text(q, (int)s, at)))
            return true;
    }
    return false;
}

/* The needle from `at` on, beginning with the text behind slot s. */
static bool follows_text(struct search *q, int s, size_t at)
{
    sv text = text_behind(q, s);
    size_t n = MIN(text.n, q->needle.n - at);
    if (q->steps++ > STEPS_MAX)
        return true;
    if (n && memcmp(text.p, q->needle.p + at, n) != 0)
        return false;
    at += n;
    return at == q->needle.n || ((uint32_t)(s + 1) < q->t->n_slots && follows_slot(q, (uint32_t)(s + 1), at, true));
}

/* Needles with bytes that stand for slots are left to the rows. */
static bool has_marks(sv needle)
{
    for (size_t i = 0; i < needle.n; i++)
        if ((uint8_t)needle.p[i] <= SLOT_WORD)
            return true;
    return false;
}

static enum verdict contains(struct search *q)
{
    if (!q->needle.n)
        return ALL;
    if (has_marks(q->needle))
        return OPEN;
    if (sv_find(template_text(q->l, q->t), q->needle) != SV_NPOS)
        return ALL;
    q->steps = 0;
    for (uint32_t s = 0; s < q->t->n_slots; s++) {
        sv before = text_behind(q, (int)s - 1);
        for (size_t n = MIN(before.n, q->needle.n - 1); n > 0; n--) /* the end of the text is the needle's start */
            if (before.p[before.n - n] == q->needle.p[0] && memcmp(before.p + before.n - n, q->needle.p, n) == 0 &&
                follows_slot(q, s, n, true))
                return OPEN;
        if (follows_slot(q, s, 0, false))
            return OPEN;
    }
    return NONE;
}

/* The longest part of the needle that no slot of the block can hold: if that is in no template, the needle is in none. */
static sv firm_part(const struct lines *l, sv needle)
{
    sv best = SV_NULL;
    for (size_t i = 0, from = 0; i <= needle.n; i++) {
        uint8_t c = i < needle.n ? (uint8_t)needle.p[i] : 0;
        if (i < needle.n && !(l->chars & lines_char_bit(c)))
            continue;
        if (i - from > best.n)
            best = sv_make(needle.p + from, i - from);
        from = i + 1;
    }
    return best;
}

static bool nowhere(const struct lines *l, sv needle)
{
    sv firm = has_marks(needle) ? SV_NULL : firm_part(l, needle);
    return firm.n && sv_find(sv_make(l->texts, l->texts_n), firm) == SV_NPOS;
}

/* A template without slots is its line. */
static enum verdict of_one_line(const struct scan_filter *f, sv line)
{
    return scan_filter_hits(f, line) ? ALL : NONE;
}

static enum verdict turned(const struct scan_filter *f, enum verdict v)
{
    bool negated = f->op == SCAN_NOT_CONTAINS || f->op == SCAN_NOT_REGEX;
    return !negated || v == OPEN ? v : v == ALL ? NONE : ALL;
}

static enum verdict any_of(struct search *q, const sv *texts, size_t n)
{
    enum verdict best = NONE;
    for (size_t i = 0; best != ALL && i < n; i++) {
        q->needle = texts[i];
        enum verdict v = contains(q);
        best = v == NONE ? best : v;
    }
    return best;
}

/* What the filter lets pass of template t's lines. `gone`: by filter, whether one of its texts is nowhere in the block. */
static enum verdict verdict(struct search *q, const struct scan_filter *f, bool gone)
{
    enum verdict v = OPEN;
    if (!q->t->n_slots)
        v = of_one_line(f, template_text(q->l, q->t));
    else if (gone)
        v = NONE;
    else if (f->op == SCAN_CONTAINS || f->op == SCAN_NOT_CONTAINS)
        v = (q->needle = f->text, contains(q));
    else if (f->n_literals)
        v = any_of(q, f->literals, f->n_literals);
    else
        for (size_t i = 0; v == OPEN && i < f->n_required; i++) {
            q->needle = f->required[i];
            v = contains(q) == NONE ? NONE : OPEN;
        }
    return turned(f, v);
}

static bool is_gone(const struct lines *l, const struct scan_filter *f)
{
    bool gone = false;
    if (f->op == SCAN_CONTAINS || f->op == SCAN_NOT_CONTAINS)
        return nowhere(l, f->text);
    for (size_t i = 0; !gone && i < f->n_required; i++)
        gone = nowhere(l, f->required[i]);
    return gone;
}

static bool line_passes(const struct scan_filter *filters, size_t n, sv line)
{
    for (size_t i = 0; i < n; i++) {
        const struct scan_filter *f = &filters[i];
        if (scan_filter_hits(f, line) == (f->op == SCAN_NOT_CONTAINS || f->op == SCAN_NOT_REGEX))
            return false;
    }
    return true;
}

/* Verdicts of all templates, template 0 first; *ret_any: which of them there are, as bits. */
static void verdicts(struct lines *l, const struct scan_filter *filters, size_t n, const bool *gone, uint8_t *ret, unsigned *ret_any)
{
    ret[0] = l->templates[0].rows ? OPEN : NONE;
    *ret_any = l->templates[0].rows ? 1u << OPEN : 0;
    for (uint32_t t = 1; t <= l->n_templates; t++) {
        struct search q = {.l = l, .t = &l->templates[t]};
        enum verdict all = ALL;
        for (size_t i = 0; all != NONE && i < n; i++) {
            enum verdict v = verdict(&q, &filters[i], gone[i]);
            all = v == ALL ? all : v;
        }
        ret[t] = (uint8_t)all;
        *ret_any |= 1u << all;
    }
}

/* Rows whose template left it open, one by one. */
static bool look_at_rows(struct lines *l, const struct scan_filter *filters, size_t n, const uint8_t *of, uint8_t *pass, struct err *e)
{
    SCOPED(buf_done) struct buf line = {0};
    if (!lines_need_columns(l, e))
        return false;
    for (uint32_t r = 0; r < l->n_rows; r++) {
        if (!pass[r] || of[l->id[r]] != OPEN)
            continue;
        size_t len = l->line_end[r] - lines_row_from(l, r);
        buf_reset(&line);
        if (!buf_reserve(&line, len + 1))
            return err_nomem(e);
        if (!lines_row(l, r, line.p, e))
            return false;
        pass[r] = line_passes(filters, n, sv_make(line.p, len));
    }
    return true;
}

/* Is one of the needle's words not in the block? A word at its end may be part of a longer one, if there are longer ones; and one of a
 * UUID's parts may be that. */
static bool sifted_out(const struct lines *l, const struct sieve *s, sv needle)
{
    struct lines_token t[8];
    if (s->flags & SIEVE_PARTIAL || has_marks(needle))
        return false;
    for (size_t i = 0, n = lines_tokens(needle, t, ARRAY_LEN(t)); i < n; i++) {
        bool part = t[i].hex && !t[i].uuid && s->flags & (SIEVE_UUIDS | SIEVE_ODD_UUID) &&
                    (t[i].inside ? t[i].text.n == 4 || t[i].text.n == 8 || t[i].text.n == 12 : t[i].text.n <= 12);
        bool whole = t[i].uuid ? !(s->flags & SIEVE_ODD_UUID) : !part && (t[i].inside || t[i].text.n >= s->longest);
        if (whole && !sieve_may_have(s, sieve_key(SV_NULL, t[i].text)) && sv_find(sv_make(l->texts, l->texts_n), t[i].text) == SV_NPOS)
            return true;
    }
    return false;
}

static bool cannot_pass(const struct lines *l, const struct sieve *s, const struct scan_filter *f)
{
    bool all = f->n_literals;
    if (f->op == SCAN_CONTAINS)
        return nowhere(l, f->text) || sifted_out(l, s, f->text);
    if (f->op != SCAN_REGEX)
        return false;
    for (size_t i = 0; i < f->n_required; i++)
        if (nowhere(l, f->required[i]) || sifted_out(l, s, f->required[i]))
            return true;
    for (size_t i = 0; all && i < f->n_literals; i++)
        all = nowhere(l, f->literals[i]) || sifted_out(l, s, f->literals[i]);
    return all;
}

bool lines_may_pass(const struct lines *l, const struct sieve *s, const struct scan_filter *filters, size_t n_filters)
{
    for (size_t i = 0; i < n_filters && !l->raw_rows; i++)
        if (cannot_pass(l, s, &filters[i]))
            return false;
    return true;
}

static bool filter(struct lines *l, const struct scan_filter *filters, size_t n, const bool *gone, uint8_t *of, uint8_t *pass, struct err *e)
{
    unsigned any = 0;
    verdicts(l, filters, n, gone, of, &any);
    if (any == 1u << NONE)
        memset(pass, 0, l->n_rows);
    if (any == 1u << NONE || any == 1u << ALL)
        return true;
    if (!lines_need_ids(l, e))
        return false;
    for (uint32_t r = 0; r < l->n_rows; r++)
        pass[r] &= of[l->id[r]] != NONE;
    return !(any & 1u << OPEN) || look_at_rows(l, filters, n, of, pass, e);
}

bool lines_filter(struct lines *l, const struct scan_filter *filters, size_t n_filters, uint8_t *pass, struct err *e)
{
    uint8_t *of = malloc(l->n_templates + 1);
    bool *gone = calloc(n_filters + 1, sizeof *gone), none = false;
    bool ok = (of && gone) || err_nomem(e);
    for (size_t i = 0; ok && i < n_filters; i++) {
        gone[i] = is_gone(l, &filters[i]);
        none |= gone[i] && !l->raw_rows && (filters[i].op == SCAN_CONTAINS || filters[i].op == SCAN_REGEX);
    }
    if (ok && none)
        memset(pass, 0, l->n_rows);
    else if (ok)
        ok = lines_need_templates(l, e) && filter(l, filters, n_filters, gone, of, pass, e);
    free(of);
    free(gone);
    return ok;
}

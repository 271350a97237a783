/* line_filter.c - see line_filter.h. A text is looked for in all lines at once, so that the usual miss costs one pass over the bytes;
 * a regex is asked only about lines that have what its matches must have. */
#include "store/line_filter.h"
#include "base/regex.h"
#include <stdlib.h>
#include <string.h>

bool scan_filter_hits(const struct scan_filter *f, sv line)
{
    if (f->op == SCAN_CONTAINS || f->op == SCAN_NOT_CONTAINS)
        return sv_find(line, f->text) != SV_NPOS;
    for (size_t i = 0; i < f->n_literals; i++)
        if (sv_find(line, f->literals[i]) != SV_NPOS)
            return true;
    return !f->n_literals && regex_match(f->re, line);
}

static uint32_t alive(const uint8_t *pass, uint32_t n)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++)
        k += pass[i] != 0;
    return k;
}

/* Sets hit[row] of the rows that contain `needle`, which is not empty. */
static void find_in_all(const struct chunk *c, sv needle, uint8_t *hit)
{
    sv all = {c->lines, c->n ? c->line_end[c->n - 1] : 0};
    size_t from = 0;
    uint32_t row = 0;
    for (;;) {
        size_t at = sv_find(sv_from(all, from), needle);
        if (at == SV_NPOS)
            return;
        at += from;
        while (c->line_end[row] <= at)
            row++;
        if (at + needle.n > c->line_end[row]) { /* it runs over the line's end: no match, look on behind its start */
            from = at + 1;
            continue;
        }
        hit[row] = 1;
        from = c->line_end[row];
    }
}

/* hit[row] of rows that are alive: does the line contain the text? Of others: anything. */
static void find_text(const struct chunk *c, sv needle, const uint8_t *pass, uint32_t n_alive, uint8_t *hit)
{
    if (!needle.n) {
        memset(hit, 1, c->n);
        return;
    }
    if (n_alive > c->n / 8) {
        find_in_all(c, needle, hit);
        return;
    }
    for (uint32_t i = 0; i < c->n; i++)
        if (pass[i] && !hit[i])
            hit[i] = sv_find(chunk_line(c, i), needle) != SV_NPOS;
}

static void find_regex(const struct chunk *c, const struct scan_filter *f, const uint8_t *pass, uint32_t n_alive,
                       uint8_t *hit, uint8_t *spare)
{
    if (f->n_literals) { /* the regex is one of these texts */
        for (size_t k = 0; k < f->n_literals; k++)
            find_text(c, f->literals[k], pass, n_alive, hit);
        return;
    }
    memcpy(spare, pass, c->n);
    for (size_t k = 0; k < f->n_required && n_alive; k++) {
        memset(hit, 0, c->n);
        find_text(c, f->required[k], spare, n_alive, hit);
        for (uint32_t i = 0; i < c->n; i++)
            spare[i] &= hit[i];
        n_alive = alive(spare, c->n);
    }
    for (uint32_t i = 0; i < c->n; i++)
        hit[i] = spare[i] && regex_match(f->re, chunk_line(c, i));
}

bool lines_pass(const struct chunk *c, const struct scan_filter *f, size_t n, uint8_t *pass)
{
    uint8_t *hit = malloc(c->n ? 2 * (size_t)c->n : 1), *spare = hit ? hit + c->n : NULL;
    if (!hit)
        return false;
    for (size_t i = 0; i < n; i++, f++) {
        bool negates = f->op == SCAN_NOT_CONTAINS || f->op == SCAN_NOT_REGEX;
        uint32_t n_alive = alive(pass, c->n);
        if (!n_alive)
            break;
        memset(hit, 0, c->n);
        if (f->op == SCAN_CONTAINS || f->op == SCAN_NOT_CONTAINS)
            find_text(c, f->text, pass, n_alive, hit);
        else
            find_regex(c, f, pass, n_alive, hit, spare);
        for (uint32_t r = 0; r < c->n; r++)
            pass[r] = pass[r] && (hit[r] != 0) != negates;
    }
    free(hit);
    return true;
}

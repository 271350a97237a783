/* store_lines_fuzz.c - lines as templates and slots. First byte even: the rest is lines, which must come back byte by byte, and filters
 * on them must say what looking at each line says. Odd: the rest is the four strings of a block that nobody wrote. */
#include "base/endian.h"
#include "store/bits.h"
#include "store/hash.h"
#include "store/lines.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS_MAX = 4096 };
struct strings {
    sv ids, slots, text;
};
static bool give_ids(void *ctx, sv *ret, struct err *e UNUSED)
{
    *ret = ((struct strings *)ctx)->ids;
    return true;
}
static bool give_columns(void *ctx, sv *ret_slots, sv *ret_text, struct err *e UNUSED)
{
    *ret_slots = ((struct strings *)ctx)->slots;
    *ret_text = ((struct strings *)ctx)->text;
    return true;
}

static char *slack(sv s)
{
    char *p = calloc(1, s.n + BITS_SLACK);
    ASSERT(p);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

static void filters(struct lines *l, const struct sieve *sieve, const char *text, const uint32_t *end, uint32_t n, sv needle)
{
    uint8_t pass[ROWS_MAX];
    for (int negated = 0; negated < 2; negated++) {
        struct scan_filter f = {.op = negated ? SCAN_NOT_CONTAINS : SCAN_CONTAINS, .text = needle};
        memset(pass, 1, sizeof pass);
        bool ok = lines_filter(l, &f, 1, pass, NULL), any = false;
        for (uint32_t r = 0; text && r < n; r++) {
            sv line = sv_make(text + (r ? end[r - 1] : 0), end[r] - (r ? end[r - 1] : 0));
            bool hit = sv_find(line, needle) != SV_NPOS;
            ASSERT(ok && (hit != (negated != 0)) == (pass[r] != 0));
            any |= pass[r];
        }
        ASSERT(!text || !any || lines_may_pass(l, sieve, &f, 1));
    }
}

static void round_trip(sv in)
{
    static struct lines_encoder *x;
    uint32_t end[ROWS_MAX], n = 0;
    size_t head = in.n ? (uint8_t)in.p[0] % 24 : 0;
    sv needle = sv_sub(in, 1, head), text = sv_from(in, 1 + head);
    char *bytes = malloc(text.n + 1), *back = malloc(text.n + 1);
    ASSERT(bytes && back && (x || (x = lines_encoder_new())));
    uint32_t at = 0;
    for (sv rest = text; rest.n && n < ROWS_MAX; n++) {
        sv line = sv_cut(&rest, '\n');
        if (line.n)
            memcpy(bytes + at, line.p, line.n);
        end[n] = at += (uint32_t)line.n;
    }
    const struct lines_encoded *y = n ? lines_encode(x, bytes, end, n) : NULL;
    if (y) {
        SCOPED(buf_done) struct buf filter = {0};
        char *slots = slack(buf_view(&y->slots));
        struct strings s = {buf_view(&y->ids), sv_make(slots, y->slots.n), buf_view(&y->text)};
        struct lines_source from = {give_ids, give_columns, &s};
        struct sieve sieve;
        struct lines *l;
        sieve_put(&filter, (const struct sieve_keys *const[]){&y->tokens}, 1);
        ASSERT(sieve_open(buf_view(&filter), &sieve));
        ASSERT(lines_open(buf_view(&y->dict), &from, end, n, &l, NULL) && lines_build(l, NULL, back, NULL));
        ASSERT(!at || memcmp(back, bytes, at) == 0);
        filters(l, &sieve, bytes, end, n, needle);
        filters(l, &sieve, bytes, end, n, sv_sub(sv_make(bytes, at), head * 7, head)); /* may run over a line's end */
        lines_close(l);
        free(slots);
    }
    free(bytes);
    free(back);
}

static void hostile(sv in)
{
    uint32_t end[64], n = 1 + (uint32_t)in.p[0] % 60, at = 0;
    if (in.n < 8 + 64)
        return;
    for (uint32_t r = 0; r < n; r++)
        end[r] = at += (uint8_t)in.p[8 + r] % 40;
    size_t dict_n = get_le16(in.p + 1), ids_n = get_le16(in.p + 3), slots_n = get_le16(in.p + 5);
    sv rest = sv_from(in, 8 + 64), dict = sv_sub(rest, 0, dict_n), ids = sv_sub(rest, dict_n, ids_n), slots = sv_sub(rest, dict_n + ids_n, slots_n);
    char *padded = slack(slots), *back = malloc(at + 1);
    struct strings s = {ids, sv_make(padded, slots.n), sv_from(rest, dict_n + ids_n + slots_n)};
    struct lines_source from = {give_ids, give_columns, &s};
    struct lines *l;
    struct sieve none = {.flags = SIEVE_PARTIAL};
    ASSERT(back);
    if (lines_open(dict, &from, end, n, &l, NULL)) {
        (void)!lines_build(l, NULL, back, NULL);
        filters(l, &none, NULL, end, n, SV("a1b 7"));
        (void)lines_may_pass(l, &none, &(struct scan_filter){.op = SCAN_CONTAINS, .text = SV("xyz")}, 1);
        lines_close(l);
    }
    free(padded);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hash_start();
    if (size >= 2)
        (data[0] % 2 ? hostile : round_trip)(sv_make(data + 1, size - 1));
    return 0;
}

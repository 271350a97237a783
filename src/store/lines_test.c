/* lines_test.c - lines go through templates and slots and come back byte by byte; filters on the encoded form say what searching each
 * line says; and bytes that nobody wrote do no harm. */
#include "base/regex.h"
#include "base/test.h"
#include "store/bits.h"
#include "store/hash.h"
#include "store/lines.h"
#include "store/lines_format.h"

struct block {
    struct buf text;
    VEC(uint32_t) end;
};
static void block_done(struct block *b)
{
    buf_done(&b->text);
    vec_done(&b->end);
}
static void add(struct block *b, sv line)
{
    buf_sv(&b->text, line);
    uint32_t *room = vec_push(&b->end);
    ASSERT(room);
    *room = (uint32_t)b->text.n;
}
static sv line_of(const struct block *b, uint32_t r)
{
    uint32_t from = r ? b->end.at[r - 1] : 0;
    return sv_make(b->text.p + from, b->end.at[r] - from);
}

/* The encoded strings, and how many were asked for. */
struct stored {
    struct buf dict, ids, slots, text;
    unsigned asked_ids, asked_columns;
    bool refuse;
};
static bool give_ids(void *ctx, sv *ret, struct err *e)
{
    struct stored *s = ctx;
    s->asked_ids++;
    *ret = buf_view(&s->ids);
    return !s->refuse || err_set(e, ERR_IO, "refused");
}
static bool give_columns(void *ctx, sv *ret_slots, sv *ret_text, struct err *e)
{
    struct stored *s = ctx;
    s->asked_columns++;
    *ret_slots = sv_make(s->slots.p, s->slots.n - BITS_SLACK);
    *ret_text = buf_view(&s->text);
    return !s->refuse || err_set(e, ERR_IO, "refused");
}
static void store(struct stored *s, const struct lines_encoded *x)
{
    static const char slack[BITS_SLACK];
    *s = (struct stored){0};
    buf_sv(&s->dict, buf_view(&x->dict));
    buf_sv(&s->ids, buf_view(&x->ids));
    buf_sv(&s->slots, buf_view(&x->slots));
    buf_put(&s->slots, slack, sizeof slack);
    buf_sv(&s->text, buf_view(&x->text));
}
static void stored_done(struct stored *s)
{
    struct buf *all[] = {&s->dict, &s->ids, &s->slots, &s->text};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_done(all[i]);
}
static struct lines *open_lines(struct stored *s, const struct block *b, struct err *e)
{
    struct lines *l = NULL;
    struct lines_source from = {give_ids, give_columns, s};
    return lines_open(buf_view(&s->dict), &from, b->end.at, (uint32_t)b->end.n, &l, e) ? l : NULL;
}

static struct lines_encoder *encoder;
static const struct lines_encoded *encode(const struct block *b)
{
    hash_start();
    if (!encoder)
        encoder = lines_encoder_new();
    const struct lines_encoded *x = lines_encode(encoder, b->text.p, b->end.at, (uint32_t)b->end.n);
    ASSERT(x);
    return x;
}

/* All lines come back, together and one by one. */
static void check_round_trip(const struct block *b)
{
    struct stored s;
    struct err e = {0};
    store(&s, encode(b));
    struct lines *l = open_lines(&s, b, &e);
    REQUIRE_OK(l != NULL, &e);
    char *all = malloc(b->text.n + 1), *some = malloc(b->text.n + 1);
    uint8_t *want = malloc(b->end.n + 1);
    ASSERT(all && some && want);
    REQUIRE_OK(lines_build(l, NULL, all, &e), &e);
    for (uint32_t r = 0; r < b->end.n; r++) {
        sv line = line_of(b, r), got = sv_make(all + (line.p - b->text.p), line.n);
        if (!sv_eq(got, line))
            test_fail(__FILE__, __LINE__, "row %u: '" SV_FMT "' came back as '" SV_FMT "'", r, SV_ARG(line), SV_ARG(got));
        want[r] = r % 3 == 0;
    }
    memset(some, '~', b->text.n);
    REQUIRE_OK(lines_build(l, want, some, &e), &e);
    for (uint32_t r = 0; r < b->end.n; r++) {
        sv line = line_of(b, r);
        if (want[r] && !sv_eq(sv_make(some + (line.p - b->text.p), line.n), line))
            test_fail(__FILE__, __LINE__, "row %u of some", r);
    }
    lines_close(l);
    free(all);
    free(some);
    free(want);
    stored_done(&s);
}

static void check_filter(const struct block *b, struct scan_filter *f, size_t n)
{
    struct stored s;
    struct err e = {0};
    const struct lines_encoded *x = encode(b);
    store(&s, x);
    struct lines *l = open_lines(&s, b, &e);
    uint8_t *pass = malloc(b->end.n + 1);
    ASSERT(l && pass);
    for (uint32_t r = 0; r < b->end.n; r++)
        pass[r] = r % 7 != 3;
    REQUIRE_OK(lines_filter(l, f, n, pass, &e), &e);
    for (uint32_t r = 0; r < b->end.n; r++) {
        bool should = r % 7 != 3;
        for (size_t i = 0; i < n; i++) {
            bool hit = f[i].op == SCAN_REGEX || f[i].op == SCAN_NOT_REGEX ? regex_match(f[i].re, line_of(b, r))
                                                                          : sv_find(line_of(b, r), f[i].text) != SV_NPOS;
            should = should && hit == (f[i].op == SCAN_CONTAINS || f[i].op == SCAN_REGEX);
        }
        if (should != (pass[r] != 0))
            test_fail(__FILE__, __LINE__, "filter %d '" SV_FMT "' on '" SV_FMT "': %d", f[0].op, SV_ARG(f[0].text), SV_ARG(line_of(b, r)), pass[r]);
    }
    bool any = false;
    SCOPED(buf_done) struct buf filter = {0};
    struct sieve sieve;
    sieve_put(&filter, (const struct sieve_keys *const[]){&x->tokens}, 1);
    REQUIRE(sieve_open(buf_view(&filter), &sieve));
    for (uint32_t r = 0; r < b->end.n; r++)
        any |= pass[r];
    if (any && !lines_may_pass(l, &sieve, f, n))
        test_fail(__FILE__, __LINE__, "filter %d '" SV_FMT "' passes, but not by the block's filter", f[0].op, SV_ARG(f[0].text));
    lines_close(l);
    free(pass);
    stored_done(&s);
}
static void check_contains(const struct block *b, sv needle)
{
    for (int negated = 0; negated < 2; negated++)
        check_filter(b, &(struct scan_filter){.op = negated ? SCAN_NOT_CONTAINS : SCAN_CONTAINS, .text = needle}, 1);
}

static void add_made_up(struct block *b, uint64_t kind)
{
    static const char *const words[] = {"GET", "user", "needle", "error", "v2", "x86", "0", "00", "007", "-", "deadbeef01", "zz9plural", "\xc3\xa9"};
    char line[400];
    uint64_t a = rand_u64(), c = rand_u64();
    int n;
    switch (kind % 8) {
    case 0:
        n = snprintf(line, sizeof line, "2026-11-28 %02u:%02u:%02u,%03u INFO worker-%u: took %llums for id=%llu", (unsigned)(a % 24), (unsigned)(a % 60),
                     (unsigned)(c % 60), (unsigned)(a % 1000), (unsigned)(c % 8), (unsigned long long)(a % 5000), (unsigned long long)c);
        break;
    case 1:
        n = snprintf(line, sizeof line, "trace %016llx%016llx span %08llx", (unsigned long long)a, (unsigned long long)c, (unsigned long long)(a ^ c) & 0xffffffff);
        break;
    case 2:
        n = snprintf(line, sizeof line, "req %08x-%04x-%04x-%04x-%012llx done status=%d", (unsigned)a, (unsigned)(c & 0xffff), (unsigned)(a >> 48),
                     (unsigned)(c >> 48), (unsigned long long)(a & 0xffffffffffff), (int)(c % 5 ? 200 : 503));
        break;
    case 3:
        n = snprintf(line, sizeof line, "seq %llu of %llu", (unsigned long long)(1000000 + b->end.n), 99999999999999999ull + b->end.n * 3);
        break;
    case 4: { /* words at random */
        n = 0;
        for (unsigned k = 0; k < a % 12; k++)
            n += snprintf(line + n, sizeof line - (size_t)n, "%s%s", words[rand_u64() % ARRAY_LEN(words)], rand_u64() % 3 ? " " : "");
        break;
    }
    case 5: /* any bytes */
        n = (int)(a % 40);
        for (int i = 0; i < n; i++)
            line[i] = (char)rand_u64();
        break;
    case 6:
        n = snprintf(line, sizeof line, "%0*llu|%llx", (int)(1 + a % 19), (unsigned long long)(c % 1000), (unsigned long long)a);
        break;
    default:
        n = snprintf(line, sizeof line, "code %d user%llu q%lluz", (int)(a % 3) * 100, (unsigned long long)(a % 100000), (unsigned long long)(c % 100));
    }
    add(b, sv_make(line, (size_t)n));
}

TEST(lines_come_back_byte_by_byte)
{
    for (int round = 0; round < 60; round++) {
        struct block b = {0};
        uint64_t kinds = rand_u64();
        for (uint64_t r = 0, n = rand_u64() % (round % 10 ? 300 : 4000); r < n; r++)
            add_made_up(&b, round % 2 ? rand_u64() : kinds + rand_u64() % 2);
        if (b.end.n)
            check_round_trip(&b);
        block_done(&b);
    }
}

TEST(odd_lines_come_back)
{
    struct block b = {0};
    char *huge = malloc(100000);
    ASSERT(huge);
    memset(huge, '7', 100000);
    const sv odd[] = {SV(""), SV("0"), SV("00"), SV("18446744073709551615"), SV("9999999999999999999"), SV("10000000000000000000"), SV("\1 1\2\3\4 2"),
                      SV("\0\0" "5"), SV("a1b2c3d4"), SV("A1B2C3D4"), SV("deadbeef-0000-0000-0000-00000000000g"), SV("12345678-1234-1234-1234-123456789abc"),
                      SV("12345678-1234-1234-1234-123456789abcd"), SV("x12345678-1234-1234-1234-123456789abc"), SV("1a"), SV("a1"), SV("a1a"), SV("1a1"),
                      sv_make(huge, 100000), sv_make(huge, 300), sv_make(huge, 20), sv_make(huge, 19), SV("1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0")};
    for (int times = 0; times < 3; times++)
        for (size_t i = 0; i < ARRAY_LEN(odd); i++)
            add(&b, odd[i]);
    check_round_trip(&b);
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        if (odd[i].n < 50)
            check_contains(&b, odd[i]);
    block_done(&b);
    free(huge);
}

TEST(lines_of_one_form_become_numbers)
{
    struct block b = {0};
    char line[200];
    for (int i = 0; i < 10000; i++) {
        uint64_t x = rand_u64();
        add(&b, sv_make(line, (size_t)snprintf(line, sizeof line, "connection from 10.%u.%u.7 port %u closed after %u ms, 100%% of %d", (unsigned)(x % 256),
                                               (unsigned)(x >> 8) % 256, 30000 + (unsigned)(x >> 20) % 10000, (unsigned)(x >> 40) % 1000, 5 * i)));
    }
    const struct lines_encoded *x = encode(&b);
    CHECK_EQ(x->n_templates, 1);
    CHECK_EQ(x->raw_rows, 0);
    CHECK_EQ(x->text.n, 0);
    CHECK(x->slots.n <= 10000 * (8 + 8 + 14 + 10) / 8 + 10 && x->dict.n < 200);
    check_round_trip(&b);
    block_done(&b);
}

TEST(a_search_says_what_searching_each_line_says)
{
    static const sv needles[] = {SV(""), SV("zzqq"), SV("error"), SV("needle"), SV("0"), SV("7"), SV("took 4"), SV("ms for"), SV("INFO worker-3: took "), SV("worker-1"),
                                 SV("-"), SV(" "), SV("\n"), SV("user12"), SV("er1"), SV("status=503"), SV("us=20"), SV("1: took"), SV("id=1"), SV("deadbeef01"),
                                 SV("\xc3"), SV("\1"), SV("28 0"), SV(":0"), SV("of 1000"), SV("q7z"), SV("z"), SV("q"), SV("100 user"), SV("0 u")};
    for (int round = 0; round < 30; round++) {
        struct block b = {0};
        for (uint64_t r = 0, n = 1 + rand_u64() % 300; r < n; r++)
            add_made_up(&b, rand_u64());
        for (size_t i = 0; i < ARRAY_LEN(needles); i++)
            check_contains(&b, needles[i]);
        for (int i = 0; i < 60; i++) { /* parts of lines, and parts with one byte changed */
            char copy[64];
            sv line = line_of(&b, (uint32_t)(rand_u64() % b.end.n)), part = sv_sub(line, rand_u64() % (line.n + 1), 1 + rand_u64() % 40);
            check_contains(&b, part);
            memcpy(copy, part.n ? part.p : "", part.n);
            if (part.n)
                copy[rand_u64() % part.n] = "0a-z1 "[rand_u64() % 6];
            check_contains(&b, sv_make(copy, part.n));
        }
        block_done(&b);
    }
}

TEST(regexes_and_several_filters_hold)
{
    struct regex *re, *other;
    struct err e = {0};
    REQUIRE_OK(regex_compile(SV("took \\d{2}ms|status=5.."), 0, &re, &e), &e);
    REQUIRE_OK(regex_compile(SV("user\\d*5"), 0, &other, &e), &e);
    static const sv user[] = {SV("user")};
    for (int round = 0; round < 20; round++) {
        struct block b = {0};
        for (uint64_t r = 0, n = 1 + rand_u64() % 300; r < n; r++)
            add_made_up(&b, rand_u64());
        struct scan_filter f[] = {{.op = SCAN_REGEX, .re = re}, {.op = SCAN_NOT_REGEX, .re = re}, {.op = SCAN_REGEX, .re = other, .required = user, .n_required = 1},
                                  {.op = SCAN_NOT_REGEX, .re = other, .required = user, .n_required = 1}, {.op = SCAN_CONTAINS, .text = SV("worker")},
                                  {.op = SCAN_NOT_CONTAINS, .text = SV("-2")}};
        for (size_t i = 0; i < ARRAY_LEN(f); i++)
            check_filter(&b, &f[i], 1);
        check_filter(&b, &f[4], 2);
        check_filter(&b, (struct scan_filter[]){f[0], f[4], f[5]}, 3);
        block_done(&b);
    }
    regex_free(re);
    regex_free(other);
}

/* What the dictionary settles asks for nothing else. */
TEST(a_search_reads_no_more_than_it_needs)
{
    struct block b = {0};
    struct stored s;
    struct err e = {0};
    uint8_t pass[1000];
    char line[100];
    for (int i = 0; i < 1000; i++)
        add(&b, sv_make(line, (size_t)snprintf(line, sizeof line, i % 2 ? "took %d ms" : "failed with %d", i)));
    store(&s, encode(&b));
    const struct { sv needle; unsigned ids, columns; uint32_t rows; } rows[] = {
        {SV("zzqq"), 0, 0, 0}, {SV("failed"), 1, 0, 500}, {SV("h 99"), 1, 1, 5}, {SV("took 1 m"), 1, 1, 1}, {SV("9z"), 0, 0, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct lines *l = open_lines(&s, &b, &e);
        memset(pass, 1, sizeof pass);
        s.asked_ids = s.asked_columns = 0;
        REQUIRE_OK(lines_filter(l, &(struct scan_filter){.op = SCAN_CONTAINS, .text = rows[i].needle}, 1, pass, &e), &e);
        uint32_t n = 0;
        for (size_t r = 0; r < sizeof pass; r++)
            n += pass[r];
        CHECK_EQ(s.asked_ids, rows[i].ids);
        CHECK_EQ(s.asked_columns, rows[i].columns);
        CHECK_EQ(n, rows[i].rows);
        lines_close(l);
    }
    struct lines *l = open_lines(&s, &b, &e);
    s.refuse = true;
    memset(pass, 1, sizeof pass);
    CHECK(!lines_filter(l, &(struct scan_filter){.op = SCAN_CONTAINS, .text = SV("1")}, 1, pass, &e));
    CHECK_ERR(&e, ERR_IO, "refused");
    lines_close(l);
    stored_done(&s);
    block_done(&b);
}

/* The checksums were right, and the bytes are not ours. */
TEST(changed_bytes_do_no_harm)
{
    for (int round = 0; round < 4000; round++) {
        struct block b = {0};
        struct stored s;
        struct err e = {0};
        for (uint64_t r = 0, n = 1 + rand_u64() % 60; r < n; r++)
            add_made_up(&b, rand_u64());
        store(&s, encode(&b));
        struct buf *of[] = {&s.dict, &s.dict, &s.dict, &s.ids, &s.slots, &s.text};
        struct buf *hit = of[rand_u64() % ARRAY_LEN(of)];
        if (hit->n)
            for (uint64_t k = 0; k < 1 + rand_u64() % 3; k++)
                hit->p[rand_u64() % hit->n] = (char)rand_u64();
        if (rand_u64() % 8 == 0 && s.dict.n)
            s.dict.n = rand_u64() % s.dict.n;
        struct lines *l = open_lines(&s, &b, &e);
        char *to = malloc(b.text.n + 1);
        uint8_t *pass = malloc(b.end.n);
        ASSERT(to && pass);
        memset(pass, 1, b.end.n);
        if (l) {
            if (!lines_build(l, NULL, to, &e))
                CHECK_EQ(e.code, ERR_CORRUPT);
            (void)!lines_filter(l, &(struct scan_filter){.op = SCAN_CONTAINS, .text = SV("took 1")}, 1, pass, &e);
        }
        lines_close(l);
        free(to);
        free(pass);
        stored_done(&s);
        block_done(&b);
    }
    lines_encoder_free(encoder);
    encoder = NULL;
}

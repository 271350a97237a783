/* damage_test.c - a byte of any file of a store is another one than was written. Whatever it is: nothing crashes, no row is shown
 * that was not written, no line, label or metadata of another; a row is missing only where the damage was seen and counted.
 * The unit suite takes bytes at random, WEIR_DAMAGE_ALL=1 all of the parts, catalog and log; WEIR_DAMAGE_SEED repeats a choice. */
#include "store/store_image.h"
#include "store/store_int.h"
#include <stdlib.h>

enum {
    ROWS = 700,
    LOGGED = 660, /* from here on rows are in the log alone */
    WIDE = 500,   /* from here on rows have keys of their own, so that a block has more than get a column */
    DELETED = 20, /* every so many-th row of the first hundred is deleted */
    SAMPLE = 150, /* bytes of a file in the unit suite */
};
static const int64_t T0 = 1700000000 * NS_PER_S;

struct scene {
    struct image files;
    char *row[ROWS]; /* labels, line, metadata as a sound store shows them */
    uint64_t seed;
    bool all;
};

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

static int64_t time_of(int i)
{
    return T0 + i * NS_PER_MS;
}

static bool is_deleted(int i)
{
    return i < 100 && i % DELETED == 7;
}

/* Every kind of slot and of column: numbers, hexadecimal, UUIDs, words that repeat and that do not, lines of no template; keys that
 * all rows have, some, and hardly any. */
static const char *line_of(int i, uint64_t *x, char to[static 200])
{
    uint64_t a = next_random(x), b = next_random(x);
    if (is_deleted(i))
        snprintf(to, 200, "secret of card %llu", (unsigned long long)(a % 10000));
    else if (i % 5 == 0)
        snprintf(to, 200, "GET /orders/%llu took %llums", (unsigned long long)(a % 100000), (unsigned long long)(b % 1000));
    else if (i % 5 == 1)
        snprintf(to, 200, "span %016llx of needle req-%04llu", (unsigned long long)a, (unsigned long long)(b % 10000));
    else if (i % 5 == 2)
        snprintf(to, 200, "user %08x-%04x-%04x-%04x-%012llx logged in", (unsigned)a, (unsigned)(a >> 32) & 0xffff,
                 (unsigned)(a >> 48) & 0xffff, (unsigned)b & 0xffff, (unsigned long long)(b >> 16));
    else if (i % 5 == 3)
        snprintf(to, 200, "node%llu says w%llx at 00%02llu", (unsigned long long)(a % 3), (unsigned long long)(b % 999983),
                 (unsigned long long)(a % 60));
    else
        snprintf(to, 200, "%c%c alone %c\xc3\xa9 %s", 'a' + (char)(a % 26), 'a' + (char)(b % 26), 'A' + (char)(a / 26 % 26),
                 a % 2 ? "needle" : "");
    return to;
}

static void push_rows(struct fixture *f, int from, int to, uint64_t *x)
{
    for (int i = from; i < to; i += 20) {
        struct rec r[20];
        char line[20][200], key[20][3][24];
        for (int k = 0; k < 20; k++) {
            uint64_t a = next_random(x);
            memset(key[k], 0, sizeof key[k]);
            snprintf(key[k][0], sizeof key[k][0], "%d", i / 20 + k % 3);
            snprintf(key[k][1], sizeof key[k][1], "v%llx", (unsigned long long)a);
            snprintf(key[k][2], sizeof key[k][2], i + k >= WIDE && i + k < LOGGED ? "own%d" : "rare", i + k);
            r[k] = (struct rec){.ts = time_of(i + k), .line = line_of(i + k, x, line[k]), .severity_number = 9,
                                .attrs = {"code", key[k][0], "id", key[k][1]}};
            if (k % 4 == 0 || (i + k >= WIDE && i + k < LOGGED))
                r[k].attrs[4] = key[k][2], r[k].attrs[5] = "yes";
            if (k % 3 == 0)
                r[k].trace_id = key[k][1];
        }
        CHECK_EQ(push_records(f->st, i / 20 % 2 ? "web" : "shop", r, 20).code, PUSH_SENT);
    }
}

/* ---- what a store shows ---- */

static void put_row(struct buf *out, const struct scan_batch *b, size_t i)
{
    labels_text(b->stream[i]->labels, out);
    buf_fmt(out, " %u " SV_FMT, b->line_bytes[i], SV_ARG(b->line[i]));
    put_metadata(out, b->metadata[i]);
}

/* Which rows a scan shows; one that is not what was written fails the test. False: the scan failed. */
static bool shown(struct scene *sc, struct store *st, const struct scan_filter *f, const struct scan_key_filter *k,
                  unsigned char seen[static ROWS], uint64_t *ret_damaged)
{
    struct scan_request rq = {.tenant = SV("fake"), .start_ns = INT64_MIN, .end_ns = INT64_MAX, .columns = SCAN_LINES | SCAN_METADATA,
                              .filters = f, .n_filters = f != NULL, .key_filters = k, .n_key_filters = k != NULL};
    struct scan *s;
    struct scan_batch b;
    struct scan_stats stats;
    struct err e = {0};
    int got;
    memset(seen, 0, ROWS);
    if (!scan_open(st, &rq, &s, &e))
        return false;
    while ((got = scan_next(s, &b, &e)) > 0)
        for (size_t i = 0; i < b.n; i++) {
            SCOPED(buf_done) struct buf text = {0};
            int64_t n = (b.ts[i] - T0) / NS_PER_MS;
            put_row(&text, &b, i);
            if (n < 0 || n >= ROWS || b.ts[i] != time_of((int)n)) {
                test_fail(__FILE__, __LINE__, "a row of time %lld", (long long)b.ts[i]);
                continue;
            }
            CHECK(!seen[n]);
            seen[n] = 1;
            if (sc->row[n])
                CHECK_SV(buf_view(&text), sv_of(sc->row[n]));
            else
                sc->row[n] = sv_dup(buf_view(&text));
        }
    scan_stats(s, &stats);
    scan_close(s);
    *ret_damaged += stats.blocks_damaged;
    return got == 0;
}

/* The same block by block, with lines and two keys as columns. */
struct tally {
    struct scene *sc;
    struct lock mu;
    int seen[ROWS]; /* under mu */
};

static void put_key(struct buf *out, const struct key_column *k, uint32_t row, const char *name)
{
    uint32_t id = key_column_id(k, row);
    if (id && id > k->n_values)
        test_fail(__FILE__, __LINE__, "%s: value %u of %u", name, id, k->n_values);
    else if (id)
        buf_fmt(out, "%s=" SV_FMT, name, SV_ARG(k->values[id - 1]));
}

static bool tally_rows(void *ctx, unsigned slot, const struct scan_rows *r, struct err *e)
{
    struct tally *t = ctx;
    LOCK_SCOPED(&t->mu);
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t row = r->at ? r->at[i] : i, from = row ? r->line_end[row - 1] : 0;
        int64_t n = (r->ts[row] - T0) / NS_PER_MS;
        SCOPED(buf_done) struct buf code = {0}, id = {0}, line = {0};
        if (n < 0 || n >= ROWS || r->ts[row] != time_of((int)n)) {
            test_fail(__FILE__, __LINE__, "a row of time %lld", (long long)r->ts[row]);
            continue;
        }
        t->seen[n] += r->sign;
        put_key(&code, &r->keys[0], row, " code");
        put_key(&id, &r->keys[1], row, ",id");
        buf_fmt(&line, " %u " SV_FMT, r->line_end[row] - from, (int)(r->line_end[row] - from), r->lines + from);
        buf_fmt(&code, ",");
        buf_fmt(&id, ",");
        buf_char(&line, ' ');
        struct buf *parts[] = {&code, &id, &line};
        for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
            buf_char(parts[k], 0);
            if (!strstr(t->sc->row[n], parts[k]->p))
                test_fail(__FILE__, __LINE__, "row %d is '%s', and not '%s'", (int)n, t->sc->row[n], parts[k]->p);
        }
    }
    return true;
}

static bool tallied(struct scene *sc, struct store *st, const struct scan_filter *f, const struct scan_key_filter *k,
                    unsigned char seen[static ROWS], uint64_t *ret_damaged)
{
    static const sv keys[] = {SV("code"), SV("id")};
    struct scan_request rq = {.tenant = SV("fake"), .start_ns = INT64_MIN, .end_ns = INT64_MAX, .columns = SCAN_LINES,
                              .filters = f, .n_filters = f != NULL, .key_filters = k, .n_key_filters = k != NULL,
                              .keys = keys, .n_keys = ARRAY_LEN(keys)};
    struct tally t = {.sc = sc, .mu = LOCK_INIT};
    struct scan_stats stats = {0};
    struct err e = {0};
    bool ok = scan_each(st, &rq, &(struct scan_sink){tally_rows, &t}, &stats, &e);
    for (int i = 0; i < ROWS; i++) {
        CHECK(t.seen[i] == 0 || t.seen[i] == 1);
        seen[i] = t.seen[i] == 1;
    }
    lock_done(&t.mu);
    *ret_damaged += stats.blocks_damaged;
    return ok;
}

static bool is_code(const void *ctx, sv value)
{
    return value.p && sv_eq(value, *(const sv *)ctx);
}

/* Was damage seen at the start, as an operator sees it? */
static uint64_t counted(struct store *st)
{
    return (uint64_t)metric_value(st->m.quarantined) + (uint64_t)metric_value(st->m.replay_skipped) +
           (uint64_t)metric_value(st->m.torn_bytes) + (uint64_t)metric_value(st->m.log_damaged) +
           (uint64_t)metric_value(st->m.catalog_torn);
}

/* Asks for all rows, and for some in two ways, both in order and block by block. Rows that are missing, or deleted ones that are there, have been counted. */
static void look(struct scene *sc, struct store *st)
{
    static const sv code = SV("5");
    static const struct scan_filter needle = {.op = SCAN_CONTAINS, .text = SV("needle")};
    static const struct scan_key_filter key = {.name = SV("code"), .accept = is_code, .ctx = &code, .equal = SV("5")};
    const struct { const struct scan_filter *f; const struct scan_key_filter *k; const char *text; } queries[] = {
        {NULL, NULL, ""}, {&needle, NULL, "needle"}, {NULL, &key, "code=5,"}};
    for (size_t way = 0; way < 2 * ARRAY_LEN(queries); way++) {
        unsigned char seen[ROWS];
        size_t q = way / 2, n = 0;
        uint64_t damaged = counted(st);
        if (!(way % 2 ? tallied : shown)(sc, st, queries[q].f, queries[q].k, seen, &damaged))
            test_fail(__FILE__, __LINE__, "query %zu fails", q);
        for (int i = 0; i < ROWS; i++) {
            bool meant = strstr(sc->row[i], queries[q].text);
            n += seen[i];
            if (seen[i] && !meant)
                test_fail(__FILE__, __LINE__, "query %zu shows row %d", q, i);
            if (!damaged && seen[i] != (meant && !is_deleted(i)))
                test_fail(__FILE__, __LINE__, "query %zu: row %d is %s, and nothing says why", q, i, seen[i] ? "there" : "missing");
            if (test_failures)
                return;
        }
        CHECK(damaged || n);
    }
}

/* ---- the store ---- */

/* Is there all that can be damaged? */
static void check_scene(struct store *st)
{
    bool merged = false, there[COL_COUNT] = {[COL_LINE] = true}; /* which only parts of the first releases have */
    for (size_t i = 0; i < st->parts.parts.n; i++) {
        const struct part *p = st->parts.parts.at[i];
        merged |= p->n_inputs > 0;
        for (uint32_t b = 0; b < p->n_blocks; b++)
            for (int c = 0; c < COL_COUNT; c++)
                there[c] |= p->blocks[b].stored[c] > 0;
    }
    CHECK(merged);
    for (int c = 0; c < COL_COUNT; c++)
        if (!there[c])
            test_fail(__FILE__, __LINE__, "no block has column %d", c);
}

static void make_scene(struct scene *sc)
{
    struct fixture f;
    struct err e = {0};
    uint64_t x = 88172645463325252, damaged = 0, id;
    unsigned char seen[ROWS];
    struct matcher m = {.name = SV("service_name"), .value = SV("none"), .op = MATCH_NEQ};
    const sv secret = SV("secret");
    const struct delete_filter filter = {.texts = &secret, .n = 1};
    struct delete_request rq = {.tenant = SV("fake"), .matchers = &m, .n_matchers = 1, .query = SV("{service_name!=\"none\"} |= \"secret\""), .filters = &filter,
                                .n_filters = 1, .start_ns = 0, .end_ns = INT64_MAX, .created_ns = clock_wall_ns()};
    fixture_config(&f);
    REQUIRE(fixture_open(&f));
    static const int flushes[] = {100, 200, 500, LOGGED};
    for (size_t i = 0, from = 0; i < ARRAY_LEN(flushes); from = (size_t)flushes[i++]) {
        push_rows(&f, (int)from, flushes[i], &x);
        CHECK_OK(store_flush(f.st, &e), &e);
    }
    CHECK_OK(merge_window(f.st, 0, 2, &e), &e);
    push_rows(&f, LOGGED, ROWS, &x);
    check_scene(f.st);
    CHECK(shown(sc, f.st, NULL, NULL, seen, &damaged));
    for (int i = 0; i < ROWS; i++)
        REQUIRE(seen[i] && sc->row[i]);
    CHECK_OK(store_delete(f.st, &rq, &id, &e), &e);
    CHECK(shown(sc, f.st, NULL, NULL, seen, &damaged));
    for (int i = 0; i < ROWS; i++)
        CHECK_EQ(seen[i], !is_deleted(i));
    CHECK_EQ(damaged, 0);
    look(sc, f.st);
    fixture_close(&f);
    image_read(&sc->files, f.cfg.data_dir);
    remove_tree(f.cfg.data_dir);
    fixture_done(&f);
}

static void scene_done(struct scene *sc)
{
    image_done(&sc->files);
    for (int i = 0; i < ROWS; i++)
        free(sc->row[i]);
}

/* One store with one byte changed. */
static void try_byte(struct scene *sc, size_t file, size_t at)
{
    struct fixture f;
    struct err e = {0};
    char *byte = &sc->files.files.at[file].bytes[at], was = *byte;
    char change = (char)(1 + next_random(&sc->seed) % 255);
    *byte = (char)(was ^ change);
    fixture_config(&f);
    f.cfg.query_threads = 1;
    image_write(&sc->files, f.cfg.data_dir);
    if (store_open(&f.cfg, f.metrics, &f.st, &e))
        look(sc, f.st);
    else
        CHECK(*e.msg && e.code != ERR_NOMEM);
    fixture_close(&f);
    remove_tree(f.cfg.data_dir);
    fixture_done(&f);
    *byte = was;
    if (test_failures)
        test_fail(__FILE__, __LINE__, "%s, byte %zu xor %#x", sc->files.files.at[file].path, at, (unsigned char)change);
}

static void try_files(const char *which)
{
    struct scene sc = {.all = getenv("WEIR_DAMAGE_ALL"), .seed = 20000731};
    const char *seed = getenv("WEIR_DAMAGE_SEED");
    if (seed)
        sc.seed = strtoull(seed, NULL, 10) | 1;
    make_scene(&sc);
    for (size_t i = 0; i < sc.files.files.n && !test_failures; i++) {
        size_t n = sc.files.files.at[i].n, step = sc.all || n <= SAMPLE ? 1 : n / SAMPLE;
        if (!strstr(sc.files.files.at[i].path, which))
            continue;
        for (size_t at = next_random(&sc.seed) % step; at < n && !test_failures; at += 1 + next_random(&sc.seed) % (2 * step - 1))
            try_byte(&sc, i, at);
    }
    scene_done(&sc);
}

TEST(a_changed_byte_of_a_part)
{
    try_files(".part");
}

TEST(a_changed_byte_of_the_catalog)
{
    try_files("MANIFEST");
    try_files("CURRENT");
}

TEST(a_changed_byte_of_the_log)
{
    try_files("wal/");
}

#include "store/part.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include "base/test.h"
#include "store/flush_rows.h"
#include "store/hash.h"
#include "store/part_check.h"
#include "store/part_format.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

struct made { /* a directory with a registry, and chunks to write */
    struct registry *reg;
    int dirfd;
    struct chunk_builder b;
    VEC(struct chunk *) chunks;
};

static bool made_init(struct made *m)
{
    struct err e = {0};
    *m = (struct made){.dirfd = -1};
    return registry_new(1 << 30, &m->reg, &e) && io_open_dir(test_dir(), &m->dirfd, &e);
}

static void made_done(struct made *m)
{
    for (size_t i = 0; i < m->chunks.n; i++)
        chunk_unref(m->chunks.at[i]);
    vec_done(&m->chunks);
    chunk_builder_done(&m->b);
    registry_free(m->reg);
    io_close(m->dirfd);
}

static struct stream *stream_of(struct made *m, const char *tenant, const char *service, const char *pod)
{
    struct err e = {0};
    struct tenant *t;
    struct stream *st = NULL;
    struct label l[] = {{SV("pod"), sv_of(pod)}, {SV("service_name"), sv_of(service)}};
    CHECK_OK(registry_tenant(m->reg, sv_of(tenant), &t, &e) && stream_get(t, (struct labels){l, 2}, 0, &st, &e), &e);
    return st;
}

static void add(struct made *m, struct stream *st, int64_t ts, const char *line, const char *name, const char *value)
{
    uint32_t id = 0;
    struct label l = {sv_of(name), sv_of(value)};
    CHECK(!name || chunk_builder_pair(&m->b, l, row_hash_pair(l), &id));
    CHECK(chunk_builder_add(&m->b, ts, st, sv_of(line), &id, name != NULL));
}

static void close_chunk(struct made *m)
{
    struct chunk **room = vec_push(&m->chunks);
    if (room)
        *room = chunk_builder_take(&m->b);
}

static bool write_one(struct made *m, struct part **ret)
{
    struct err e = {0};
    struct parts_written w = {0};
    _Atomic uint64_t id = 1;
    struct part_flush f = {.chunks = m->chunks.at, .n_chunks = m->chunks.n, .first_seq = 3, .end_seq = 9};
    CHECK_OK(part_write(m->dirfd, &f, &id, &w, &e), &e);
    CHECK_EQ(w.v.n, 1);
    vec_done(&w.v);
    bool ok = part_open(m->dirfd, 1, m->reg, ret, &e);
    CHECK_OK(ok, &e);
    return ok;
}

/* All rows as "labels ts line name=value". */
static void part_text(struct part *p, struct buf *out)
{
    struct err e = {0};
    struct part_reader *r;
    REQUIRE_OK(part_reader_open(p, &r, &e), &e);
    for (uint32_t b = 0; b < p->n_blocks; b++) {
        struct chunk *c;
        REQUIRE_OK(part_read_block(r, b, &c, &e) && part_read_lines(r, b, c, &e) && part_read_metadata(r, b, c, &e), &e);
        for (uint32_t i = 0; i < c->n; i++) {
            uint32_t n;
            const uint32_t *ids = chunk_meta(c, i, &n);
            sv line = chunk_line(c, i);
            buf_fmt(out, SV_FMT " " SV_FMT " %lld " SV_FMT, SV_ARG(tenant_name(c->streams[c->stream[i]].st->tenant)),
                    SV_ARG(c->streams[c->stream[i]].st->text), (long long)c->ts[i], SV_ARG(line));
            for (uint32_t k = 0; k < n; k++) {
                struct label l = chunk_pair(c, ids[k]);
                buf_fmt(out, " " SV_FMT "=" SV_FMT, SV_ARG(l.name), SV_ARG(l.value));
            }
            buf_char(out, '\n');
        }
        chunk_unref(c);
    }
    part_reader_close(r);
}

static void fill_small(struct made *m)
{
    struct stream *a = stream_of(m, "t1", "api", "z"), *w = stream_of(m, "t1", "web", "a"), *o = stream_of(m, "t0", "web", "a");
    add(m, w, 2000000, "w late", "k", "1");
    add(m, w, 1000000, "w early", "k", "1");
    close_chunk(m);
    add(m, a, 5, "a", NULL, NULL);
    add(m, w, 1000000, "w early", "k", "1"); /* again */
    add(m, w, 1000000, "w early", "k", "2");
    add(m, o, 7, "", "trace_id", "00ff");
    close_chunk(m);
}

static const char small_text[] = "t0 {pod=\"a\", service_name=\"web\"} 7  trace_id=00ff\n"
                                 "t1 {pod=\"z\", service_name=\"api\"} 5 a\n"
                                 "t1 {pod=\"a\", service_name=\"web\"} 1000000 w early k=1\n"
                                 "t1 {pod=\"a\", service_name=\"web\"} 1000000 w early k=2\n"
                                 "t1 {pod=\"a\", service_name=\"web\"} 2000000 w late k=1\n";

TEST(rows_are_sorted_and_come_once)
{
    struct made m;
    struct part *p;
    SCOPED(buf_done) struct buf b = {0};
    REQUIRE(made_init(&m));
    fill_small(&m);
    REQUIRE(write_one(&m, &p));
    part_text(p, &b);
    CHECK_SV(buf_view(&b), sv_of(small_text));
    CHECK_EQ(p->rows, 5);
    CHECK_EQ(p->line_bytes, 21);
    CHECK_EQ(p->min_ts, 5);
    CHECK_EQ(p->max_ts, 2000000);
    CHECK_EQ(p->first_seq, 3);
    CHECK_EQ(p->end_seq, 9);
    CHECK_EQ(p->n_streams, 3);
    CHECK_EQ(p->streams[2].rows, 3);
    CHECK_EQ(p->streams[2].min_ts, 1000000);
    part_unref(p);
    made_done(&m);
}

TEST(streams_too_many_for_one_table_go_to_several_parts)
{
    struct made m;
    struct err e = {0};
    struct parts_written w = {0};
    _Atomic uint64_t id = 1;
    SCOPED(buf_done) struct buf got = {0};
    REQUIRE(made_init(&m));
    fill_small(&m);
    struct part_flush f = {.chunks = m.chunks.at, .n_chunks = m.chunks.n, .first_seq = 3, .end_seq = 9, .table_max = 300};
    REQUIRE_OK(part_write(m.dirfd, &f, &id, &w, &e), &e);
    CHECK_EQ(w.v.n, 2);
    CHECK_EQ(id, 3);
    for (size_t i = 0; i < w.v.n; i++) {
        struct part *p;
        REQUIRE_OK(part_open(m.dirfd, w.v.at[i].id, m.reg, &p, &e), &e);
        CHECK(p->index == i && p->of == 2 && p->first_seq == 3 && p->end_seq == 9);
        CHECK_EQ(p->n_streams, i == 0 ? 2 : 1);
        part_text(p, &got);
        part_unref(p);
    }
    CHECK_SV(buf_view(&got), sv_of(small_text));
    vec_done(&w.v);
    made_done(&m);
}

TEST(a_value_new_in_every_row_costs_its_bytes)
{
    enum { ROWS = 20000 };
    struct made m;
    struct part *p;
    REQUIRE(made_init(&m));
    struct stream *st = stream_of(&m, "t", "web", "a");
    for (int i = 0; i < ROWS; i++) {
        char id[40];
        snprintf(id, sizeof id, "%016llx%016llx", (unsigned long long)rand_u64(), (unsigned long long)rand_u64());
        add(&m, st, i * 1000000ll, "the same line in every row, more or less", "trace_id", id);
    }
    close_chunk(&m);
    REQUIRE(write_one(&m, &p));
    uint64_t meta = 0, other = 0;
    for (uint32_t i = 0; i < p->n_blocks; i++)
        for (int c = 0; c < COL_COUNT; c++)
            *(c >= COL_KEYS ? &meta : &other) += p->blocks[i].stored[c];
    CHECK(meta < ROWS * 20ull); /* 16 random bytes in hex digits */
    CHECK(other < ROWS / 2);
    part_unref(p);
    made_done(&m);
}

TEST(many_blocks_and_odd_times)
{
    struct made m;
    struct part *p;
    struct err e = {0};
    SCOPED(buf_done) struct buf b = {0};
    REQUIRE(made_init(&m));
    struct stream *st[3] = {stream_of(&m, "t", "a", "1"), stream_of(&m, "t", "b", "1"), stream_of(&m, "t", "c", "1")};
    static char line[40000];
    memset(line, 'x', sizeof line - 1);
    for (int i = 0; i < 600; i++)
        add(&m, st[i % 3], i % 7 * 1000 + i, line + i, i % 2 ? "n" : "m", i % 5 ? "v" : "");
    close_chunk(&m);
    REQUIRE(write_one(&m, &p));
    CHECK(p->n_blocks >= 5);
    part_text(p, &b);
    size_t rows = 0;
    for (size_t i = 0; i < b.n; i++)
        rows += b.p[i] == '\n';
    CHECK_EQ(rows, 600);
    CHECK_OK(true, &e);
    part_unref(p);
    made_done(&m);
}

/* tests/data/store/v1 holds a part as release 0.1 writes it; every later release reads it. */
TEST(the_golden_part_of_version_1_is_read)
{
    struct made m;
    struct part *p;
    struct err e = {0};
    SCOPED(buf_done) struct buf b = {0};
    int fd;
    REQUIRE(made_init(&m));
    REQUIRE_OK(io_open_dir(STORE_DATA "/v1", &fd, &e), &e);
    REQUIRE_OK(part_open(fd, 1, m.reg, &p, &e), &e);
    part_text(p, &b);
    CHECK_SV(buf_view(&b), sv_of(small_text));
    part_unref(p);
    io_close(fd);
    made_done(&m);
}

/* Rows that need every kind of column there is: the same for ever, since a golden part holds them. */
struct varied {
    uint64_t state;
    char text[400][64];
    struct label pairs[400];
    size_t n;
};
static uint64_t next(struct varied *v)
{
    v->state = v->state * 6364136223846793005u + 1442695040888963407u;
    return v->state >> 20;
}
static void pair(struct varied *v, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void pair(struct varied *v, const char *name, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(v->text[v->n], sizeof v->text[0], fmt, args);
    va_end(args);
    v->pairs[v->n] = (struct label){sv_of(name), sv_make(v->text[v->n], (size_t)n)};
    v->n++;
}
static int by_pair_name(const void *a, const void *b)
{
    return sv_cmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

static void varied_row(struct varied *v, struct made *m, struct stream *st, int i)
{
    static const char *const words[] = {"GET", "PUT", "DELETE"};
    static char rare[200][8];
    uint64_t a = next(v), b = next(v), c = next(v);
    char line[300];
    uint32_t ids[400];
    int n = 0;
    switch (i % 7) {
    case 0:
        n = snprintf(line, sizeof line, "%s /orders/%u took %ums status=%d", words[a % 3], (unsigned)(b % 100000), (unsigned)(c % 900), c % 9 ? 200 : 503);
        break;
    case 1:
        n = snprintf(line, sizeof line, "2026-11-28 %02u:%02u:%02u,%03u seq %d", (unsigned)(a % 24), (unsigned)(b % 60), (unsigned)(c % 60), (unsigned)(a % 1000), 1000000 + i);
        break;
    case 2:
        n = snprintf(line, sizeof line, "span %016llx of %08llx-%04llx-%04llx-%04llx-%012llx", (unsigned long long)a, (unsigned long long)(b & 0xffffffff),
                     (unsigned long long)(c & 0xffff), (unsigned long long)(a & 0xffff), (unsigned long long)(b >> 20 & 0xffff), (unsigned long long)(c & 0xffffffffffff));
        break;
    case 3:
        n = snprintf(line, sizeof line, "%0*llu of x%uy%uz in R%u-M%u", (int)(1 + a % 12), (unsigned long long)(b % 1000), (unsigned)(a % 100), (unsigned)(c % 100), (unsigned)(a % 4), (unsigned)(b % 2));
        break;
    case 4:
        n = snprintf(line, sizeof line, "token q%lluw%llue is gone", (unsigned long long)(a % 100000), (unsigned long long)b);
        break;
    case 5:
        for (; n < 90; n++)
            line[n] = (char)(n % 2 ? ' ' : '0' + (char)(next(v) % 10)); /* more slots than a template may have, at times */
        break;
    default:
        n = snprintf(line, sizeof line, "\x01 a line without numbers \xc3\xa9");
    }
    v->n = 0;
    pair(v, "observed_timestamp", "%lld", 1000000ll * i + 1000);
    pair(v, "always", "the same");
    pair(v, "function", "%s", words[b % 3]);
    pair(v, "lineno", "%u", (unsigned)(c % 5000));
    if (i % 5 == 0)
        pair(v, "trace_id", "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
    if (i % 3 == 0)
        pair(v, "user", "user %llu of %llx", (unsigned long long)a, (unsigned long long)c);
    if (i % 100 == 17)
        for (int k = 0; k < 200; k++) { /* more keys than have columns */
            snprintf(rare[k], sizeof rare[k], "r%d", k);
            pair(v, rare[k], "%d", k % 7);
        }
    qsort(v->pairs, v->n, sizeof *v->pairs, by_pair_name);
    for (size_t k = 0; k < v->n; k++)
        CHECK(chunk_builder_pair(&m->b, v->pairs[k], row_hash_pair(v->pairs[k]), &ids[k]));
    CHECK(chunk_builder_add(&m->b, 1000000ll * i, st, sv_make(line, (size_t)n), ids, v->n));
}

static void fill_varied(struct made *m)
{
    struct stream *st[] = {stream_of(m, "t1", "api", "z"), stream_of(m, "t1", "web", "a"), stream_of(m, "t2", "web", "a")};
    struct varied *v = calloc(1, sizeof *v);
    ASSERT(v);
    for (int i = 0; i < 900; i++) {
        varied_row(v, m, st[i / 50 % 3], i);
        if (i % 300 == 299)
            close_chunk(m);
    }
    free(v);
}

static void check_golden(const char *dir, void (*fill)(struct made *m))
{
    struct made m;
    struct part *p;
    struct err e = {0};
    SCOPED(buf_done) struct buf old = {0}, now = {0};
    int fd;
    REQUIRE(made_init(&m));
    REQUIRE_OK(io_open_dir(dir, &fd, &e), &e);
    REQUIRE_OK(part_open(fd, 1, m.reg, &p, &e), &e);
    part_text(p, &old);
    part_unref(p);
    fill(&m);
    REQUIRE(write_one(&m, &p));
    part_text(p, &now);
    CHECK(old.n > 100000);
    CHECK(sv_eq(buf_view(&old), buf_view(&now)));
    part_unref(p);
    io_close(fd);
    made_done(&m);
}

TEST(the_golden_part_of_version_1_1_is_read)
{
    check_golden(STORE_DATA "/v1.1", fill_varied);
}

/* Two parts of the same rows differ in their names alone: no hash's seed and no address is in them. */
TEST(the_same_rows_are_the_same_bytes)
{
    struct buf files[2] = {{0}};
    for (int i = 0; i < 2; i++) {
        struct made m;
        struct part *p;
        struct err e = {0};
        REQUIRE(made_init(&m));
        fill_varied(&m);
        REQUIRE(write_one(&m, &p));
        REQUIRE_OK(io_read_file(m.dirfd, p->name, &files[i], &e), &e);
        part_unref(p);
        made_done(&m);
        hash_seed += 12345;
    }
    REQUIRE(files[0].n == files[1].n && files[0].n > 20000);
    memset(files[0].p + 16, 0, 16); /* the uuid, and the checksum of the header */
    memset(files[1].p + 16, 0, 16);
    memset(files[0].p + 60, 0, 4);
    memset(files[1].p + 60, 0, 4);
    CHECK(sv_eq(buf_view(&files[0]), buf_view(&files[1])));
    buf_done(&files[0]);
    buf_done(&files[1]);
}

TEST(a_part_of_a_newer_release_is_told_from_damage)
{
    struct made m;
    struct part *p, *q;
    struct err e = {0};
    REQUIRE(made_init(&m));
    fill_small(&m);
    REQUIRE(write_one(&m, &p));
    int fd;
    uint8_t h[PART_HEAD];
    REQUIRE_OK(io_openat(m.dirfd, p->name, O_RDWR, 0, &fd, &e) && io_pread_all(fd, h, sizeof h, 0, "part", &e), &e);
    put_le16(h + 8, PART_MAJOR + 1);
    put_le32(h + 60, crc32c(0, h, 60));
    REQUIRE_OK(io_pwrite_all(fd, sv_make(h, sizeof h), 0, "part", &e), &e);
    CHECK(!part_open(m.dirfd, 1, m.reg, &q, &e));
    CHECK_ERR(&e, ERR_UNSUPPORTED, "part format 2");
    put_le16(h + 8, PART_MAJOR);
    put_le32(h + 12, 4);
    put_le32(h + 60, crc32c(0, h, 60));
    REQUIRE_OK(io_pwrite_all(fd, sv_make(h, sizeof h), 0, "part", &e), &e);
    CHECK(!part_open(m.dirfd, 1, m.reg, &q, &e));
    CHECK_ERR(&e, ERR_UNSUPPORTED, "features 4");
    io_close(fd);
    part_unref(p);
    made_done(&m);
}

struct noted {
    unsigned n;
    uint64_t offset, bytes;
    char what[300];
};
static void note_damage(void *ctx, uint64_t offset, uint64_t n_bytes, const char *what)
{
    struct noted *d = ctx;
    d->n++;
    d->offset = offset;
    d->bytes = n_bytes;
    snprintf(d->what, sizeof d->what, "%s", what);
}

static uint64_t spent(const struct part_sums *s)
{
    uint64_t n = s->tables + s->ends;
    for (int c = 0; c < COL_COUNT; c++)
        n += s->bytes[c];
    return n;
}

TEST(a_check_accounts_for_every_byte_and_finds_pages_that_lie)
{
    struct made m;
    struct part *p;
    struct err e = {0};
    struct noted d = {0};
    struct part_sums sums = {0};
    int fd;
    char page[200];
    REQUIRE(made_init(&m));
    fill_small(&m);
    REQUIRE(write_one(&m, &p));
    CHECK_OK(part_check(p, &sums, note_damage, &d, &e), &e);
    CHECK(d.n == 0 && sums.parts == 1 && sums.blocks == 1 && sums.rows == 5 && sums.line_bytes == 21 && sums.streams == 3);
    CHECK_EQ(spent(&sums), p->file_bytes);
    CHECK_EQ(sums.ends, PART_HEAD + PART_FOOTER + PART_TRAILER);
    /* the exponent of the times becomes one that there is not, and the checksum right again */
    uint32_t n = p->blocks[0].stored[COL_TIME];
    REQUIRE(n > PAGE_HEAD && n <= sizeof page);
    REQUIRE_OK(io_openat(m.dirfd, p->name, O_RDWR, 0, &fd, &e) && io_pread_all(fd, page, n, PART_HEAD, "part", &e), &e);
    REQUIRE(page[1] == PAGE_PLAIN);
    page[PAGE_HEAD] = 5;
    page_seal(page, n);
    REQUIRE_OK(io_pwrite_all(fd, sv_make(page, n), PART_HEAD, "part", &e), &e);
    sums = (struct part_sums){0};
    CHECK_OK(part_check(p, &sums, note_damage, &d, &e), &e);
    CHECK(d.n == 1 && d.offset == PART_HEAD && d.bytes > n);
    CHECK(sv_find(sv_of(d.what), SV("block 0: part '0000000000000001.part': times of a block")) != SV_NPOS);
    CHECK_EQ(spent(&sums), p->file_bytes);
    /* a page that fails its checksum is named, and its block not decoded */
    page[PAGE_HEAD] ^= 1;
    REQUIRE_OK(io_pwrite_all(fd, sv_make(page, n), PART_HEAD, "part", &e), &e);
    d = (struct noted){0};
    CHECK_OK(part_check(p, &sums, note_damage, &d, &e), &e);
    CHECK(d.n == 1 && d.offset == PART_HEAD && d.bytes == n);
    CHECK_STR(d.what, "block 0, times: page fails its checksum");
    io_close(fd);
    part_unref(p);
    made_done(&m);
}

TEST(part_names)
{
    char name[32];
    uint64_t id = 0;
    part_name(0xabc, name);
    CHECK_STR(name, "0000000000000abc.part");
    CHECK(part_id_of_name(sv_of(name), &id));
    CHECK_EQ(id, 0xabc);
    CHECK(!part_id_of_name(SV("0000000000000ABC.part"), &id));
    CHECK(!part_id_of_name(SV("abc.part"), &id));
}

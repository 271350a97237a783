#include "store/catalog.h"
#include "base/crc32c.h"
#include "base/io.h"
#include "base/test.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct opened {
    int dirfd;
    struct catalog *c;
    struct catalog_state state;
    struct err damage;
};

static bool open_at(struct opened *o, const char *dir)
{
    struct err e = {0};
    *o = (struct opened){.dirfd = -1};
    bool ok = io_open_dir(dir, &o->dirfd, &e) && catalog_open(o->dirfd, &o->c, &o->state, &o->damage, &e);
    CHECK_OK(ok, &e);
    return ok;
}

static void opened_done(struct opened *o)
{
    catalog_close(o->c);
    catalog_state_done(&o->state);
    io_close(o->dirfd);
}

static struct catalog_part part_row(uint64_t id)
{
    return (struct catalog_part){id, id * 100, id * 10, id * 50, -(int64_t)id, (int64_t)id};
}

static bool add_part(struct catalog *c, uint64_t id, uint64_t covered, struct err *e)
{
    struct catalog_part p = part_row(id);
    return catalog_edit(c, &(struct catalog_edit){.covered_seq = covered, .add = &p, .n_add = 1}, e);
}

TEST(edits_are_there_after_reopening)
{
    struct opened o;
    struct err e = {0};
    REQUIRE(open_at(&o, test_dir()));
    CHECK_EQ(o.state.parts.n, 0);
    CHECK_OK(add_part(o.c, 1, 10, &e) && add_part(o.c, 2, 20, &e), &e);
    struct catalog_part merged = part_row(3);
    CHECK_OK(catalog_edit(o.c, &(struct catalog_edit){20, &merged, 1, (uint64_t[]){1, 2}, 2}, &e), &e);
    CHECK_OK(add_part(o.c, 4, 30, &e), &e);
    CHECK(!catalog_edit(o.c, &(struct catalog_edit){40, NULL, 0, (uint64_t[]){1}, 1}, &e)); /* gone already */
    opened_done(&o);
    REQUIRE(open_at(&o, test_dir()));
    CHECK_EQ(o.damage.code, ERR_NONE);
    CHECK_EQ(o.state.covered_seq, 30);
    REQUIRE(o.state.parts.n == 2);
    CHECK_EQ(o.state.parts.at[0].id, 3);
    CHECK_EQ(o.state.parts.at[1].id, 4);
    CHECK_EQ(o.state.parts.at[1].min_ts, -4);
    CHECK_EQ(o.state.parts.at[1].file_bytes, 400);
    opened_done(&o);
}

static void manifest_bytes(const char *dir, struct buf *b)
{
    struct err e = {0};
    int fd;
    SCOPED(buf_done) struct buf name = {0};
    REQUIRE_OK(io_open_dir(dir, &fd, &e) && io_read_file(fd, "CURRENT", &name, &e), &e);
    name.p[name.n - 1] = 0;
    CHECK_OK(io_read_file(fd, name.p, b, &e), &e);
    io_close(fd);
}

TEST(a_torn_last_edit_is_cut)
{
    struct opened o;
    struct err e = {0};
    SCOPED(buf_done) struct buf b = {0};
    REQUIRE(open_at(&o, test_dir()));
    for (uint64_t i = 1; i <= 3; i++)
        CHECK_OK(add_part(o.c, i, i, &e), &e);
    opened_done(&o);
    manifest_bytes(test_dir(), &b);
    size_t before = SIZE_MAX;
    for (size_t n = b.n; n > 16; n--) { /* whatever the length, what is read is a beginning of the history */
        struct catalog_state s = {0};
        size_t good;
        CHECK_OK(manifest_read(sv_sub(buf_view(&b), 0, n), &s, &good, &e), &e);
        CHECK(good <= n && s.parts.n <= before && s.covered_seq == s.parts.n);
        before = s.parts.n;
        catalog_state_done(&s);
    }
    CHECK_EQ(before, 0);
    struct catalog_state s = {0};
    size_t good;
    CHECK(!manifest_read(sv_sub(buf_view(&b), 0, 15), &s, &good, &e));
    CHECK_EQ(e.code, ERR_CORRUPT);
}

TEST(a_torn_end_of_zeros_is_cut)
{
    struct opened o;
    struct err e = {0};
    SCOPED(buf_done) struct buf b = {0};
    REQUIRE(open_at(&o, test_dir()));
    CHECK_OK(add_part(o.c, 1, 1, &e), &e);
    opened_done(&o);
    manifest_bytes(test_dir(), &b);
    for (int i = 0; i < 100; i++)
        buf_char(&b, 0);
    struct catalog_state s = {0};
    size_t good;
    CHECK_OK(manifest_read(buf_view(&b), &s, &good, &e), &e);
    CHECK_EQ(good, b.n - 100);
    CHECK_EQ(s.parts.n, 1);
    catalog_state_done(&s);
}

TEST(damage_before_the_end_is_no_torn_end)
{
    struct opened o;
    struct err e = {0};
    SCOPED(buf_done) struct buf b = {0};
    REQUIRE(open_at(&o, test_dir()));
    for (uint64_t i = 1; i <= 3; i++)
        CHECK_OK(add_part(o.c, i, i, &e), &e);
    opened_done(&o);
    manifest_bytes(test_dir(), &b);
    b.p[16 + 8 + 2] ^= 1;
    struct catalog_state s = {0};
    size_t good;
    CHECK(!manifest_read(buf_view(&b), &s, &good, &e));
    CHECK_ERR(&e, ERR_CORRUPT, "manifest is damaged at offset 16");
    catalog_state_done(&s);
}

TEST(a_newer_manifest_stops_the_start)
{
    struct catalog_state s = {0};
    size_t good;
    struct err e = {0};
    uint8_t h[16] = "\x89WEIRMF\n";
    h[8] = 2;
    uint32_t crc = crc32c(0, h, 12);
    memcpy(h + 12, &crc, 4);
    CHECK(!manifest_read(sv_make(h, sizeof h), &s, &good, &e));
    CHECK_ERR(&e, ERR_UNSUPPORTED, "manifest format 2");
}

TEST(a_long_manifest_is_rewritten)
{
    enum { BATCH = 20000, ROUNDS = 12 }; /* about 1.1 MB an edit */
    struct opened o;
    struct err e = {0};
    struct catalog_part *rows = calloc(BATCH, sizeof *rows);
    REQUIRE(open_at(&o, test_dir()));
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (uint64_t i = 0; i < BATCH; i++)
            rows[i] = (struct catalog_part){round * BATCH + i, UINT64_MAX / 2, UINT64_MAX / 2, UINT64_MAX / 2, INT64_MIN,
                                            INT64_MAX};
        CHECK_OK(catalog_edit(o.c, &(struct catalog_edit){.covered_seq = round, .add = rows, .n_add = BATCH}, &e), &e);
    }
    free(rows);
    CHECK(faccessat(o.dirfd, "MANIFEST-000001", F_OK, 0) != 0);
    opened_done(&o);
    REQUIRE(open_at(&o, test_dir()));
    CHECK_EQ(o.state.parts.n, ROUNDS * BATCH);
    CHECK_EQ(o.state.covered_seq, ROUNDS - 1);
    opened_done(&o);
}

TEST(a_failed_edit_is_not_in_force_and_the_next_one_is)
{
    struct opened o;
    struct err e = {0};
    REQUIRE(open_at(&o, test_dir()));
    CHECK_OK(add_part(o.c, 1, 1, &e), &e);
    struct io_fault fault = {.op = IO_SYNC, .match = "MANIFEST", .sys = EIO, .times = 1};
    io_faults_set(&fault, 1);
    CHECK(!add_part(o.c, 2, 2, &e));
    CHECK_EQ(e.code, ERR_IO);
    io_faults_set(NULL, 0);
    CHECK_OK(add_part(o.c, 3, 3, &e), &e);
    opened_done(&o);
    REQUIRE(open_at(&o, test_dir()));
    CHECK_EQ(o.state.covered_seq, 3);
    REQUIRE(o.state.parts.n == 2);
    CHECK_EQ(o.state.parts.at[1].id, 3);
    opened_done(&o);
}

static unsigned n_manifests(struct opened *o)
{
    unsigned n = 0;
    for (unsigned i = 0; i < 32; i++) {
        char name[32];
        snprintf(name, sizeof name, "MANIFEST-%06u", i);
        n += faccessat(o->dirfd, name, F_OK, 0) == 0;
    }
    return n;
}

/* CURRENT may name what a failed attempt left: the next one must not touch it. */
TEST(an_attempt_after_a_failed_rewrite_takes_a_new_number)
{
    struct opened o;
    struct err e = {0};
    REQUIRE(open_at(&o, test_dir()));
    CHECK_OK(add_part(o.c, 1, 1, &e), &e);
    struct io_fault at_append = {.op = IO_SYNC, .match = "MANIFEST", .sys = EIO, .times = 1},
                    at_current = {.op = IO_SYNC_DIR, .match = "CURRENT", .sys = EIO, .times = 1},
                    at_rewrite = {.op = IO_WRITE, .match = "MANIFEST", .sys = EIO, .times = 8};
    io_faults_set(&at_append, 1);
    CHECK(!add_part(o.c, 2, 2, &e)); /* so the next edit is a new manifest */
    io_faults_set(&at_current, 1);
    CHECK(!add_part(o.c, 2, 2, &e));
    io_faults_set(&at_rewrite, 1);
    for (int i = 0; i < 8; i++)
        CHECK(!add_part(o.c, 2, 2, &e));
    io_faults_set(NULL, 0);
    CHECK_EQ(n_manifests(&o), 2); /* the old one and what CURRENT may name */
    opened_done(&o);
    REQUIRE(open_at(&o, test_dir()));
    CHECK_EQ(o.damage.code, 0);
    REQUIRE(o.state.parts.n == 2);
    CHECK_OK(add_part(o.c, 3, 3, &e), &e);
    io_faults_set(&at_append, 1);
    CHECK(!add_part(o.c, 4, 4, &e));
    io_faults_set(&at_current, 1);
    CHECK(!add_part(o.c, 4, 4, &e));
    io_faults_set(NULL, 0);
    CHECK_OK(add_part(o.c, 4, 4, &e), &e);
    CHECK_EQ(n_manifests(&o), 2); /* the oldest lost its owner at the first close */
    opened_done(&o);
    REQUIRE(open_at(&o, test_dir()));
    CHECK_EQ(o.damage.code, 0);
    CHECK_EQ(o.state.parts.n, 4);
    opened_done(&o);
}

/* Made by hand from docs/formats.md, with an item that a reader may pass over; every later release reads it. */
TEST(the_golden_manifest_of_version_1_is_read)
{
    SCOPED(buf_done) struct buf b = {0};
    struct err e = {0};
    struct catalog_state s = {0};
    size_t good;
    int fd;
    REQUIRE_OK(io_open_dir(STORE_DATA "/v1", &fd, &e) && io_read_file(fd, "MANIFEST-000001", &b, &e), &e);
    CHECK_OK(manifest_read(buf_view(&b), &s, &good, &e), &e);
    CHECK_EQ(good, b.n);
    CHECK_EQ(s.covered_seq, 12);
    REQUIRE(s.parts.n == 1);
    CHECK_EQ(s.parts.at[0].id, 2);
    CHECK_EQ(s.parts.at[0].rows, 6);
    CHECK_EQ(s.parts.at[0].min_ts, -1);
    CHECK_EQ(s.parts.at[0].max_ts, 1);
    catalog_state_done(&s);
    io_close(fd);
}

/* ---- deletes ---- */

static bool put_delete(struct catalog *c, uint64_t id, int64_t processed_ns, const char *text, struct err *e)
{
    struct catalog_delete d = {id, 1000 + (int64_t)id, processed_ns, -5, 5, catalog_text_new(sv_of(text))};
    bool ok = d.text && catalog_edit(c, &(struct catalog_edit){.deletes = &d, .n_deletes = 1}, e);
    catalog_text_unref(d.text);
    return ok;
}

static bool forget(struct catalog *c, uint64_t id, struct err *e)
{
    return catalog_edit(c, &(struct catalog_edit){.forget = &id, .n_forget = 1}, e);
}

TEST(deletes_are_there_after_reopening)
{
    struct opened o;
    struct err e = {0};
    REQUIRE(open_at(&o, test_dir()));
    CHECK_EQ(o.state.next_delete, 0);
    CHECK_OK(add_part(o.c, 1, 10, &e) && put_delete(o.c, 1, 0, "one", &e) && put_delete(o.c, 2, 0, "", &e) &&
                 put_delete(o.c, 7, 0, "seven", &e) && put_delete(o.c, 8, 0, "eight", &e), &e);
    CHECK(!put_delete(o.c, 6, 0, "an id passed over", &e));
    CHECK_ERR(&e, ERR_INVALID, "has an old id");
    CHECK(!forget(o.c, 6, &e));
    CHECK_ERR(&e, ERR_INVALID, "is not listed");
    CHECK_OK(put_delete(o.c, 2, 99, "two", &e), &e); /* in its place */
    CHECK_OK(forget(o.c, 8, &e), &e);
    for (int round = 0; round < 2; round++) { /* read from edits, then from a manifest made of the state */
        opened_done(&o);
        REQUIRE(open_at(&o, test_dir()));
        CHECK_EQ(o.state.covered_seq, 10);
        CHECK_EQ(o.state.parts.n, 1);
        CHECK_EQ(o.state.next_delete, 9); /* although 8 is gone */
        REQUIRE(o.state.deletes.n == 3);
        CHECK_EQ(o.state.deletes.at[0].id, 1);
        CHECK_EQ(o.state.deletes.at[0].created_ns, 1001);
        CHECK_EQ(o.state.deletes.at[0].start_ns, -5);
        CHECK_EQ(o.state.deletes.at[0].end_ns, 5);
        CHECK_SV(catalog_text_sv(o.state.deletes.at[0].text), SV("one"));
        CHECK_EQ(o.state.deletes.at[1].processed_ns, 99);
        CHECK_SV(catalog_text_sv(o.state.deletes.at[1].text), SV("two"));
        CHECK_EQ(o.state.deletes.at[2].id, 7);
        CHECK_OK(catalog_reset(o.c, &(struct catalog_state){.covered_seq = 10, .parts = o.state.parts}, &e), &e);
    }
    opened_done(&o);
}

TEST(a_delete_that_was_not_synced_is_not_in_force)
{
    struct opened o;
    struct err e = {0};
    REQUIRE(open_at(&o, test_dir()));
    CHECK_OK(put_delete(o.c, 1, 0, "one", &e), &e);
    struct io_fault fault = {.op = IO_SYNC, .match = "MANIFEST", .sys = EIO, .times = 1};
    io_faults_set(&fault, 1);
    CHECK(!put_delete(o.c, 2, 0, "two", &e) && e.code == ERR_IO);
    io_faults_set(NULL, 0);
    CHECK_OK(put_delete(o.c, 3, 0, "three", &e), &e);
    opened_done(&o);
    REQUIRE(open_at(&o, test_dir()));
    REQUIRE(o.state.deletes.n == 2);
    CHECK_EQ(o.state.deletes.at[1].id, 3);
    opened_done(&o);
}

TEST(deletes_before_damage_are_kept)
{
    struct opened o;
    struct err e = {0};
    SCOPED(buf_done) struct buf b = {0};
    REQUIRE(open_at(&o, test_dir()));
    CHECK_OK(put_delete(o.c, 1, 0, "one", &e) && add_part(o.c, 1, 10, &e) && add_part(o.c, 2, 20, &e), &e);
    manifest_bytes(test_dir(), &b);
    size_t part_1 = sv_find(buf_view(&b), SV("one")) + 3;
    int fd = openat(o.dirfd, "MANIFEST-000001", O_WRONLY);
    CHECK(pwrite(fd, "\x55", 1, (off_t)part_1 + 9) == 1);
    close(fd);
    opened_done(&o);
    REQUIRE(open_at(&o, test_dir()));
    CHECK_EQ(o.damage.code, ERR_CORRUPT);
    CHECK_EQ(o.state.parts.n, 0);
    CHECK_EQ(o.state.deletes.n, 1);
    CHECK_OK(catalog_reset(o.c, &(struct catalog_state){.covered_seq = 20}, &e), &e);
    opened_done(&o);
    REQUIRE(open_at(&o, test_dir()));
    CHECK_EQ(o.damage.code, 0);
    REQUIRE(o.state.deletes.n == 1);
    CHECK_SV(catalog_text_sv(o.state.deletes.at[0].text), SV("one"));
    opened_done(&o);
}

/* Made by hand from docs/formats.md; every later release reads it. */
TEST(the_golden_manifest_with_deletes_is_read)
{
    SCOPED(buf_done) struct buf b = {0};
    struct err e = {0};
    struct catalog_state s = {0};
    size_t good;
    int fd;
    REQUIRE_OK(io_open_dir(STORE_DATA "/v1", &fd, &e) && io_read_file(fd, "MANIFEST-deletes", &b, &e), &e);
    CHECK_OK(manifest_read(buf_view(&b), &s, &good, &e), &e);
    CHECK_EQ(good, b.n);
    CHECK_EQ(s.covered_seq, 12);
    CHECK_EQ(s.next_delete, 10);
    REQUIRE(s.deletes.n == 1);
    CHECK_EQ(s.deletes.at[0].id, 3);
    CHECK_EQ(s.deletes.at[0].created_ns, 1000);
    CHECK_EQ(s.deletes.at[0].processed_ns, 0);
    CHECK_EQ(s.deletes.at[0].start_ns, -1);
    CHECK_EQ(s.deletes.at[0].end_ns, 300);
    CHECK_EQ(s.deletes.at[0].text->n, 46);
    catalog_state_done(&s);
    io_close(fd);
}

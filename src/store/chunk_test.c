#include "store/chunk.h"
#include "base/test.h"
#include "store/hash.h"
#include "store/head.h"
#include <stdio.h>

static uint64_t public_hash(sv s) /* what a peer can compute */
{
    return XXH3_64bits(s.p, s.n);
}

static uint64_t public_pair_hash(struct label l)
{
    return hash_join(public_hash(l.name), public_hash(l.value));
}

enum { MEET = 64, SLOTS = 4096 };

/* Values whose public hashes agree in the bits that choose a slot must not agree in ours. */
TEST(keys_made_to_meet_do_not)
{
    struct registry *reg;
    struct err e = {0};
    REQUIRE_OK(registry_new(1 << 20, &reg, &e), &e);
    bool line_taken[SLOTS] = {0}, pair_taken[SLOTS] = {0};
    unsigned lines = 0, pairs = 0, line_slots = 0, pair_slots = 0;
    for (unsigned i = 0; lines < MEET || pairs < MEET; i++) {
        char text[16];
        struct label l = {SV("k"), sv_make(text, (size_t)snprintf(text, sizeof text, "%u", i))};
        if (public_hash(l.value) % SLOTS == 0 && lines++ < MEET) {
            bool *at = &line_taken[row_hash_line(l.value) % SLOTS];
            line_slots += !*at;
            *at = true;
        }
        if (public_pair_hash(l) % SLOTS == 0 && pairs++ < MEET) {
            bool *at = &pair_taken[row_hash_pair(l) % SLOTS];
            pair_slots += !*at;
            *at = true;
        }
    }
    CHECK(line_slots > MEET / 2);
    CHECK(pair_slots > MEET / 2);
    registry_free(reg);
}

/* Rows without a line still end their chunk: by new metadata, and by many pairs that the rows share. */
TEST(a_chunk_is_full_by_metadata_alone)
{
    struct registry *reg;
    struct tenant *t;
    struct stream *st;
    struct err e = {0};
    struct label one = {SV("a"), SV("b")};
    uint32_t ids[100];
    static char value[64 << 10];
    REQUIRE_OK(registry_new(1 << 20, &reg, &e) && registry_tenant(reg, SV("fake"), &t, &e) &&
                   stream_get(t, (struct labels){&one, 1}, STREAMS_ANY, &st, &e), &e);
    for (int shared = 0; shared < 2; shared++) {
        struct chunk_builder b = {0};
        size_t rows = 0;
        for (uint32_t i = 0; shared && i < ARRAY_LEN(ids); i++)
            CHECK(chunk_builder_pair(&b, (struct label){sv_make(&i, sizeof i), SV("v")}, i, &ids[i]));
        for (; rows < CHUNK_MAX_ROWS - 1 && !chunk_builder_full(&b); rows++) {
            struct label fat = {SV("fat"), sv_make(value, sizeof value)};
            memcpy(value, &rows, sizeof rows);
            CHECK(shared || chunk_builder_pair(&b, fat, rows, &ids[0]));
            CHECK(chunk_builder_add(&b, 1, st, SV(""), ids, shared ? ARRAY_LEN(ids) : 1));
        }
        CHECK(rows < CHUNK_MAX_ROWS - 1);
        struct chunk *c = chunk_builder_take(&b);
        REQUIRE(c);
        CHECK(c->memory < 9 << 20);
        chunk_unref(c);
        chunk_builder_done(&b);
    }
    registry_free(reg);
}

/* What the committer joins stays small whatever of a row is large. */
TEST(fat_metadata_is_not_joined)
{
    struct registry *reg;
    struct tenant *t;
    struct stream *st;
    struct err e = {0};
    struct head h;
    struct label one = {SV("a"), SV("b")};
    static char value[64 << 10];
    REQUIRE_OK(registry_new(1 << 20, &reg, &e) && registry_tenant(reg, SV("fake"), &t, &e) &&
                   stream_get(t, (struct labels){&one, 1}, STREAMS_ANY, &st, &e), &e);
    head_init(&h);
    for (uint64_t i = 0; i < 256; i++) {
        struct chunk_builder b = {0};
        uint32_t id;
        memcpy(value, &i, sizeof i);
        CHECK(chunk_builder_pair(&b, (struct label){SV("fat"), sv_make(value, sizeof value)}, i, &id));
        CHECK(chunk_builder_add(&b, 1, st, SV(""), &id, 1));
        struct chunk *c = chunk_builder_take(&b);
        chunk_builder_done(&b);
        REQUIRE(c && head_reserve(&h, 1));
        head_add(&h, &c, 1, i, 1);
    }
    CHECK_EQ(h.active.rows, 256);
    CHECK(h.active.chunks.n > 8);
    for (size_t i = 0; i < h.active.chunks.n; i++)
        CHECK(h.active.chunks.at[i]->memory <= 1 << 20);
    head_done(&h);
    registry_free(reg);
}

/* Chunks of all kinds, joined again and again, hold the rows they were made of; the builder keeps nothing of the one before. */
TEST(joined_chunks_hold_the_same_rows)
{
    struct registry *reg;
    struct tenant *t;
    struct stream *st[3];
    struct err e = {0};
    struct chunk_builder made = {0}, joiner = {0};
    REQUIRE_OK(registry_new(1 << 20, &reg, &e) && registry_tenant(reg, SV("fake"), &t, &e), &e);
    for (int i = 0; i < 3; i++) {
        char name[] = {(char)('a' + i)};
        struct label one = {SV("s"), sv_make(name, 1)};
        REQUIRE_OK(stream_get(t, (struct labels){&one, 1}, STREAMS_ANY, &st[i], &e), &e);
    }
    for (unsigned round = 0; round < 40; round++) {
        struct chunk *all = NULL;
        unsigned made_rows = 0, size = round % 5 == 0 ? 300 : 1 + round % 7;
        for (unsigned k = 0; k < 12; k++) {
            for (unsigned r = 0; r < size; r++, made_rows++) {
                char text[64];
                uint32_t ids[3];
                struct label fixed = {SV("fixed"), SV("same")}, some = {SV("some"), sv_make(text, (size_t)snprintf(text, sizeof text, "%u", made_rows % 9))};
                CHECK(chunk_builder_pair(&made, fixed, made_rows % 2 ? row_hash_pair(fixed) : 0, &ids[0]));
                CHECK(chunk_builder_pair(&made, some, row_hash_pair(some), &ids[1]));
                some = (struct label){SV("zero"), sv_make(text, (size_t)snprintf(text, sizeof text, "new %u", made_rows))};
                CHECK(chunk_builder_new_pair(&made, some, &ids[2]));
                CHECK(chunk_builder_add(&made, made_rows, st[made_rows / 5 % 3], some.value, ids, 3));
            }
            struct chunk *c = chunk_builder_take(&made), *both = all && c ? chunk_join(&joiner, all, c) : NULL;
            REQUIRE(c && (both || !all));
            if (both) {
                chunk_unref(all);
                chunk_unref(c);
            }
            all = both ? both : c;
        }
        REQUIRE(all->n == made_rows);
        uint32_t rows = 0;
        for (uint32_t s = 0; s < all->n_streams; s++)
            rows += all->streams[s].rows;
        CHECK_EQ(rows, made_rows);
        for (uint32_t r = 0; r < all->n; r++) {
            char want[64], number[16];
            uint32_t n;
            const uint32_t *ids = chunk_meta(all, r, &n);
            snprintf(want, sizeof want, "new %u", r);
            snprintf(number, sizeof number, "%u", r % 9);
            CHECK_EQ(all->ts[r], r);
            CHECK_EQ(all->streams[all->stream[r]].st == st[r / 5 % 3], true);
            CHECK_SV(chunk_line(all, r), sv_of(want));
            REQUIRE(n == 3);
            CHECK_SV(chunk_pair(all, ids[0]).value, SV("same"));
            CHECK_SV(chunk_pair(all, ids[1]).value, sv_of(number));
            CHECK_SV(chunk_pair(all, ids[2]).name, SV("zero"));
            CHECK_SV(chunk_pair(all, ids[2]).value, sv_of(want));
        }
        CHECK(all->n_pairs <= made_rows + 9 + 2);
        chunk_unref(all);
    }
    chunk_builder_done(&made);
    chunk_builder_done(&joiner);
    registry_free(reg);
}

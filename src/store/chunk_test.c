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

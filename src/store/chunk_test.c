#include "store/chunk.h"
#include "base/test.h"
#include "store/hash.h"
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

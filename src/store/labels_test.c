#include "store/labels.h"
#include "base/test.h"

static struct labels L(const struct label *at, size_t n)
{
    return (struct labels){at, n};
}

TEST(labels_get_finds_by_name)
{
    struct label at[] = {{SV("a"), SV("1")}, {SV("b"), SV("2")}, {SV("cc"), SV("3")}};
    CHECK_SV(labels_get(L(at, 3), SV("a")), SV("1"));
    CHECK_SV(labels_get(L(at, 3), SV("cc")), SV("3"));
    CHECK(!labels_get(L(at, 3), SV("c")).p);
    CHECK(!labels_get(L(NULL, 0), SV("a")).p);
}

TEST(labels_order_and_equality)
{
    struct label a[] = {{SV("a"), SV("1")}, {SV("b"), SV("2")}}, b[] = {{SV("a"), SV("1")}, {SV("b"), SV("3")}};
    CHECK(labels_cmp(L(a, 2), L(b, 2)) < 0);
    CHECK(labels_cmp(L(a, 1), L(a, 2)) < 0);
    CHECK(labels_cmp(L(b, 2), L(a, 2)) > 0);
    CHECK_EQ(labels_cmp(L(a, 2), L(a, 2)), 0);
    CHECK(labels_eq(L(a, 2), L(a, 2)));
    CHECK(!labels_eq(L(a, 2), L(b, 2)));
    CHECK(!labels_eq(L(a, 1), L(a, 2)));
}

TEST(labels_text_is_canonical_and_hash_is_frozen)
{
    struct label at[] = {{SV("app"), SV("we\"b\\\n\x01\xff é")}, {SV("env"), SV("x")}};
    SCOPED(buf_done) struct buf b = {0};
    labels_text(L(at, 2), &b);
    CHECK_SV(buf_view(&b), SV("{app=\"we\\\"b\\\\\\n\\x01\\xff é\", env=\"x\"}"));
    struct label plain[] = {{SV("service_name"), SV("web")}};
    /* XXH3-64 of {service_name="web"}: formats rest on this number */
    CHECK(labels_hash(L(plain, 1)) == 0x216288a8c7fb7da2ull);
    CHECK(labels_hash(L(at, 2)) != labels_hash(L(at, 1)));
}

TEST(labels_sort_is_stable)
{
    struct label at[] = {{SV("b"), SV("1")}, {SV("a"), SV("2")}, {SV("b"), SV("0")}, {SV(""), SV("3")}};
    labels_sort(at, 4);
    CHECK_SV(at[0].value, SV("3"));
    CHECK_SV(at[1].value, SV("2"));
    CHECK_SV(at[2].value, SV("1"));
    CHECK_SV(at[3].value, SV("0"));
}

TEST(labels_copy_owns_its_bytes)
{
    SCOPED(arena_done) struct arena a;
    arena_init(&a, 0);
    char v[] = "one";
    struct label at[] = {{SV("k"), sv_of(v)}};
    struct labels c = labels_copy(&a, L(at, 1));
    memset(v, 'x', 3);
    CHECK_SV(labels_get(c, SV("k")), SV("one"));
    CHECK(labels_copy(&a, L(NULL, 0)).at != NULL);
    SCOPED(arena_done) struct arena small;
    arena_init(&small, 8);
    CHECK(!labels_copy(&small, L(at, 1)).at);
}

TEST(matchers_treat_missing_as_empty)
{
    struct label at[] = {{SV("app"), SV("web")}};
    struct matcher eq = {SV("app"), SV("web"), MATCH_EQ, NULL}, none = {SV("env"), SV(""), MATCH_EQ, NULL},
                   some = {SV("env"), SV(""), MATCH_NEQ, NULL}, neq = {SV("app"), SV("api"), MATCH_NEQ, NULL};
    CHECK(matchers_accept(&eq, 1, L(at, 1)));
    CHECK(matchers_accept(&none, 1, L(at, 1)));
    CHECK(!matchers_accept(&some, 1, L(at, 1)));
    CHECK(matchers_accept(&neq, 1, L(at, 1)));
    struct matcher both[] = {eq, some};
    CHECK(!matchers_accept(both, 2, L(at, 1)));
    CHECK(matchers_accept(NULL, 0, L(at, 1)));
}

TEST(regex_matchers_match_whole_values)
{
    struct err e = {0};
    struct regex *re;
    REQUIRE_OK(regex_compile(SV("we.|x"), REGEX_FULL, &re, &e), &e);
    struct matcher yes = {SV("app"), SV("we.|x"), MATCH_RE, re}, no = {SV("app"), SV("we.|x"), MATCH_NRE, re};
    CHECK(matcher_accepts(&yes, SV("web")));
    CHECK(!matcher_accepts(&yes, SV("webs")));
    CHECK(!matcher_accepts(&no, SV("web")));
    CHECK(matcher_accepts(&no, SV("")));
    regex_free(re);
}

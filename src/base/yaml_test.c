/* yaml_test.c - trees, marks, and files that mean harm. */
#include "base/yaml.h"
#include "base/buf.h"
#include "base/test.h"

static void dump(const struct yaml *y, struct buf *out)
{
    switch (y->kind) {
    case YAML_NULL:
        buf_fmt(out, "null");
        break;
    case YAML_SCALAR:
        buf_fmt(out, y->quoted ? "'" SV_FMT "'" : SV_FMT, SV_ARG(y->text));
        break;
    case YAML_MAP:
    case YAML_LIST:
        buf_char(out, y->kind == YAML_MAP ? '{' : '[');
        for (const struct yaml *c = y->first; c; c = c->next) {
            if (c != y->first)
                buf_char(out, ' ');
            if (y->kind == YAML_MAP)
                buf_fmt(out, SV_FMT ":", SV_ARG(c->key));
            dump(c, out);
        }
        buf_char(out, y->kind == YAML_MAP ? '}' : ']');
        break;
    }
}

TEST(documents_become_trees)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", "null"},
        {"# nothing\n", "null"},
        {"---\n...\n", "null"},
        {"a: 1\nb: [x, 'y', \"z\\n\", ~, ]\n", "{a:1 b:[x 'y' 'z\n' null]}"},
        {"a:\nb: {}\nc: {d: null, e: 'null'}\n", "{a:null b:{} c:{d:null e:'null'}}"},
        {"a: |\n  one\n  two\nb: >-\n  three\n  four\n", "{a:'one\ntwo\n' b:'three four'}"},
        {"- a\n- - b\n  - c\n- d: e\n", "[a [b c] {d:e}]"},
        {"a: &x {k: 1, l: [2]}\nb: *x\nc: [*x, *x]\n", "{a:{k:1 l:[2]} b:{k:1 l:[2]} c:[{k:1 l:[2]} {k:1 l:[2]}]}"},
        {"a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3, m: 4}\n", "{a:{k:1 l:2} b:{l:3 m:4 k:1}}"},
        {"a: &x {k: 1}\nb: &y {k: 2, n: 3}\nc: {<<: [*x, *y], m: 4}\n", "{a:{k:1} b:{k:2 n:3} c:{m:4 k:1 n:3}}"},
        {"a: !!str 5\nb: !!int 5\n", "{a:'5' b:5}"},
        {"a: ${env:X:-y}\nb: http://h:1/p\nc: $$1\n", "{a:${env:X:-y} b:http://h:1/p c:$$1}"},
        {"{\"json\": [true, 1.5]}", "{json:[true 1.5]}"},
        {"x: &a 1\ny: &a 2\nz: *a\n", "{x:1 y:2 z:2}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a;
        arena_init(&a, 1 << 20);
        struct yaml *y;
        struct err e = {0};
        CHECK_OK(yaml_parse(sv_of(cases[i].text), "f", &a, &y, &e), &e);
        if (!e.code) {
            SCOPED(buf_done) struct buf b = {0};
            dump(y, &b);
            CHECK_SV(buf_view(&b), sv_of(cases[i].want));
        }
        arena_done(&a);
    }
}

TEST(marks_point_at_keys_and_values)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct yaml *y;
    struct err e = {0};
    REQUIRE_OK(yaml_parse(SV("a:\n  bb: 12\n  c: [x,\n      y]\nd: \"q\"\ne:\nf: 'x'\n"), "f", &a, &y, &e), &e);
    const struct yaml *v = yaml_get(yaml_get(y, SV("a")), SV("bb"));
    REQUIRE(v);
    CHECK_EQ(v->key_line, 2);
    CHECK_EQ(v->key_column, 3);
    CHECK_EQ(v->line, 2);
    CHECK_EQ(v->column, 7);
    v = yaml_get(yaml_get(y, SV("a")), SV("c"));
    REQUIRE(v);
    CHECK_EQ(v->first->next->line, 4);
    CHECK_EQ(v->first->next->column, 7);
    v = yaml_get(y, SV("d")); /* a quoted value begins with its quote */
    REQUIRE(v);
    CHECK_EQ(v->column, 4);
    v = yaml_get(y, SV("e")); /* one left out is where its key is */
    REQUIRE(v);
    CHECK_EQ(v->line, 6);
    CHECK_EQ(v->column, 1);
    CHECK(!yaml_get(v, SV("x")) && !yaml_get(NULL, SV("x")));
    arena_done(&a);
}

TEST(errors_name_the_place)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n", "f:3:1: duplicate key: a"},
        {"a: [1, 2\nb: 3\n", "f:3:1: flow sequence without a closing bracket"},
        {"a: *x\n", "f:1:4: no value is anchored before this as &x"},
        {"a: &x [*x]\n", "no value is anchored before this as &x"},
        {"a: 1\n---\nb: 2\n", "f:2:1: a second document in one file"},
        {"? [1, 2]\n: 3\n", "a key must be a plain word"},
        {"a: \"\\q\"\n", "f:1:"},
        {"a: b: c\n", "f:1:"},
        {"a: !secret x\n", "unknown tag !secret"},
        {"a: {<<: 5}\n", "<< takes a map or a list of maps"},
        {"a: 1\nb: \xff\n", "f:2:4: not UTF-8"},
        {"\ta: 1\n", "f:1:"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a;
        arena_init(&a, 1 << 20);
        struct yaml *y;
        struct err e = {0};
        CHECK(!yaml_parse(sv_of(cases[i].text), "f", &a, &y, &e));
        if (sv_find(sv_of(e.msg), sv_of(cases[i].want)) == SV_NPOS)
            test_fail(__FILE__, __LINE__, "case %zu: \"%s\" lacks \"%s\"", i, e.msg, cases[i].want);
        arena_done(&a);
    }
    struct arena a;
    arena_init(&a, 1 << 20);
    struct yaml *y;
    struct err e = {0};
    CHECK(!yaml_parse(SV("a: 1\nb\0: 2\n"), "f", &a, &y, &e));
    CHECK_ERR(&e, ERR_PARSE, "f:2:2: a NUL byte");
    arena_done(&a);
}

TEST(an_alias_bomb_is_an_error)
{
    SCOPED(buf_done) struct buf b = {0};
    buf_fmt(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 12; i++) {
        buf_fmt(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            buf_fmt(&b, "%s*a%d", k ? "," : "", i - 1);
        buf_fmt(&b, "]\n");
    }
    struct yaml *y;
    struct err e = {0};
    struct arena a;
    arena_init(&a, 0);
    CHECK(!yaml_parse(buf_view(&b), "f", &a, &y, &e));
    CHECK_ERR(&e, ERR_LIMIT, "more than 100000 values");
    arena_done(&a);
    arena_init(&a, 100000);
    CHECK(!yaml_parse(buf_view(&b), "f", &a, &y, &e));
    CHECK_EQ(e.code, ERR_LIMIT);
    arena_done(&a);
}

TEST(nesting_is_capped)
{
    SCOPED(buf_done) struct buf b = {0};
    struct yaml *y;
    struct arena a;
    for (int shape = 0; shape < 2; shape++) {
        buf_reset(&b);
        for (int i = 0; i < 3000; i++)
            if (shape)
                buf_fmt(&b, "%*sk:\n", i, "");
            else
                buf_char(&b, '[');
        struct err e = {0};
        arena_init(&a, 0);
        CHECK(!yaml_parse(buf_view(&b), "f", &a, &y, &e));
        CHECK(sv_find(sv_of(e.msg), SV("f:")) == 0);
        arena_done(&a);
    }
    /* an alias cannot go around it */
    buf_reset(&b);
    buf_fmt(&b, "a: &a %.*s%.*s\nb: %.*s*a%.*s\n", 40, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 40,
            "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", 40, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 40,
            "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    struct err e = {0};
    arena_init(&a, 0);
    CHECK(!yaml_parse(buf_view(&b), "f", &a, &y, &e));
    CHECK_ERR(&e, ERR_LIMIT, "nested deeper than 64");
    arena_done(&a);
}

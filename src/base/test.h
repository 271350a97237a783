/* test.h - the test kit. A test file is `#include "base/test.h"`, TEST(name) { … } blocks, and nothing else: main() and
 * the list come from here. Output is TAP, which Meson counts test by test. CHECKs go on after a failure, REQUIREs leave
 * the test. `./x_test name…` runs only tests whose name contains one of the words. */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "base/sv.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct test_case {
    const char *name;
    void (*fn)(void);
    struct test_case *next;
};
extern struct test_case *test_first, **test_last;
extern int test_failures;  /* of the running test */
extern const char *test_skip_reason;

#define TEST(id)                                                                                                  \
    static void test_##id(void);                                                                                  \
    static struct test_case test_case_##id = {#id, test_##id, NULL};                                              \
    __attribute__((constructor)) static void test_add_##id(void)                                                  \
    {                                                                                                             \
        *test_last = &test_case_##id;                                                                             \
        test_last = &test_case_##id.next;                                                                         \
    }                                                                                                             \
    static void test_##id(void)

void test_fail(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
void test_check_eq_sv(const char *file, int line, const char *what, sv got, sv want);

#define CHECK(cond) ((cond) ? (void)0 : test_fail(__FILE__, __LINE__, "%s is false", #cond))
#define REQUIRE(cond)                                                                                             \
    do {                                                                                                          \
        if (!(cond)) {                                                                                            \
            test_fail(__FILE__, __LINE__, "%s is false", #cond);                                                  \
            return;                                                                                               \
        }                                                                                                         \
    } while (0)
#define CHECK_OK(cond, e)                                                                                         \
    ((cond) ? (void)0 : test_fail(__FILE__, __LINE__, "%s failed: %s: %s", #cond, err_code_name((e)->code), (e)->msg))
#define REQUIRE_OK(cond, e)                                                                                       \
    do {                                                                                                          \
        if (!(cond)) {                                                                                            \
            test_fail(__FILE__, __LINE__, "%s failed: %s: %s", #cond, err_code_name((e)->code), (e)->msg);        \
            return;                                                                                               \
        }                                                                                                         \
    } while (0)
#define CHECK_EQ(got, want)                                                                                       \
    do {                                                                                                          \
        int64_t got_ = (int64_t)(got), want_ = (int64_t)(want);                                                   \
        if (got_ != want_)                                                                                        \
            test_fail(__FILE__, __LINE__, "%s is %" PRId64 ", not %" PRId64, #got, got_, want_);                  \
    } while (0)
#define CHECK_SV(got, want) test_check_eq_sv(__FILE__, __LINE__, #got, (got), (want))
#define CHECK_STR(got, want) test_check_eq_sv(__FILE__, __LINE__, #got, sv_of(got), sv_of(want))
/* The message of an error contains `part`. */
#define CHECK_ERR(e, want_code, part)                                                                             \
    do {                                                                                                          \
        CHECK_EQ((e)->code, (want_code));                                                                         \
        if (sv_find(sv_of((e)->msg), sv_of(part)) == SV_NPOS)                                                     \
            test_fail(__FILE__, __LINE__, "error \"%s\" lacks \"%s\"", (e)->msg, (part));                         \
    } while (0)
#define SKIP(reason)                                                                                              \
    do {                                                                                                          \
        test_skip_reason = (reason);                                                                              \
        return;                                                                                                   \
    } while (0)

/* A fresh empty directory, removed with all its content when the test ends. */
const char *test_dir(void);
/* Waits up to `ms` for an expression to become true, polling each millisecond. */
#define CHECK_SOON(cond, ms)                                                                                      \
    do {                                                                                                          \
        int64_t until_ = clock_mono_ms() + (ms);                                                                  \
        while (!(cond) && clock_mono_ms() < until_)                                                               \
            test_sleep_ms(1);                                                                                     \
        if (!(cond))                                                                                              \
            test_fail(__FILE__, __LINE__, "%s stayed false for %d ms", #cond, (int)(ms));                         \
    } while (0)
void test_sleep_ms(int ms);

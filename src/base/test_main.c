/* test_main.c - runs the TESTs linked with it and prints TAP; see test.h. */
#include "base/test.h"
#include <ftw.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct test_case *test_first, **test_last = &test_first;
int test_failures;
const char *test_skip_reason;
static char dir[64];

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("# %s:%d: ", file, line);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    test_failures++;
}

static void print_quoted(sv s)
{
    for (size_t i = 0; i < s.n && i < 400; i++)
        printf(s.p[i] >= 0x20 && s.p[i] < 0x7f ? "%c" : "\\x%02x", (unsigned char)s.p[i]);
}

void test_check_eq_sv(const char *file, int line, const char *what, sv got, sv want)
{
    if (sv_eq(got, want))
        return;
    test_fail(file, line, "%s differs:", what);
    printf("#   got  \"");
    print_quoted(got);
    printf("\"\n#   want \"");
    print_quoted(want);
    printf("\"\n");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    chmod(path, 0700);
    return remove(path);
}

const char *test_dir(void)
{
    if (!*dir) {
        const char *tmp = getenv("TMPDIR");
        snprintf(dir, sizeof dir, "%.40s/weir-test-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(dir)) {
            perror(dir);
            exit(1);
        }
    }
    return dir;
}

void test_sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * NS_PER_MS};
    nanosleep(&t, NULL);
}

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i]))
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    int n = 0, failed = 0;
    for (struct test_case *t = test_first; t; t = t->next) {
        if (!wanted(t->name, argc, argv))
            continue;
        test_failures = 0;
        test_skip_reason = NULL;
        t->fn();
        if (*dir) {
            nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
            *dir = 0;
        }
        n++;
        failed += test_failures > 0;
        if (test_skip_reason)
            printf("ok %d - %s # SKIP %s\n", n, t->name, test_skip_reason);
        else
            printf("%s %d - %s\n", test_failures ? "not ok" : "ok", n, t->name);
    }
    printf("1..%d\n", n);
    return failed > 0;
}

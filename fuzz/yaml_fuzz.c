/* yaml_fuzz.c - any bytes as a YAML file: a tree or an error, in bounded memory. */
#include "base/yaml.h"

static size_t count(const struct yaml *y)
{
    size_t n = 1;
    for (const struct yaml *c = y->first; c; c = c->next)
        n += count(c);
    return n;
}

/* libfyaml 0.7 loses a buffer of its own on some malformed files; leaks of ours still count. */
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    arena_init(&a, 4 << 20);
    struct yaml *y = NULL;
    struct err e = {0};
    if (yaml_parse(sv_make(data, size), "fuzz", &a, &y, &e))
        ASSERT(y && count(y) <= 100000);
    else
        ASSERT(e.code != ERR_NONE && e.msg[0]);
    arena_done(&a);
    return 0;
}

/* collector_config_fuzz.c - any bytes as a Collector's configuration: a configuration, or problems with their places. */
#include "collector/collector.h"

/* libfyaml 0.7 loses a buffer of its own on some malformed files; leaks of ours still count. */
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct collector_sink sinks[] = {{"store", {0}}};
    sv text = sv_make(data, size);
    if (sv_find(text, SV("file:")) != SV_NPOS) /* no reading of what happens to lie around */
        return 0;
    struct collector_config *cfg = NULL;
    struct buf problems = {0}, warnings = {0};
    struct err e = {0};
    if (collector_config_parse(text, "fuzz", sinks, 1, &cfg, &problems, &warnings, &e))
        ASSERT(cfg && problems.n == 0);
    else
        ASSERT(!cfg && e.code != ERR_NONE && problems.n > 0);
    collector_config_free(cfg);
    buf_done(&problems);
    buf_done(&warnings);
    return 0;
}

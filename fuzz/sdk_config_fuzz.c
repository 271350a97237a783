/* sdk_config_fuzz.c - any bytes as a declarative configuration of the SDK: a configuration within its limits, or an error with a
 * message; and any bytes as a pattern and what it is held against. */
#include "sdk/config.h"
#include <dlfcn.h>

/* libfyaml 0.7 loses a buffer of its own on some malformed files; leaks of ours still count. */
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so\n";
}

static const char *fake_env(const char *name)
{
    switch (name[0]) {
    case 'A':
        return "text: [a]";
    case 'B':
        return "17";
    case 'C':
        return "true";
    case 'D':
        return "$${A} ${B}";
    default:
        return NULL;
    }
}

static void check(const struct config *c)
{
    ASSERT(c->n_processors <= CONFIG_MAX_PROCESSORS && (!c->rules || c->rules->n <= CONFIG_MAX_ENTRIES));
    for (size_t i = 0; i < c->n_processors; i++) {
        const struct config_processor *p = &c->processors[i];
        ASSERT(p->exporter.where && p->exporter.kind <= CONFIG_CONSOLE);
        ASSERT(!p->batch || (p->max_queue_size > 0 && p->max_export_batch_size > 0 && p->schedule_delay_ms >= 0));
    }
    for (size_t i = 0; i < c->resource.attributes.n; i++)
        ASSERT(c->resource.attributes.at[i].key.size > 0 && c->resource.attributes.at[i].value.kind != WEIR_EMPTY);
    for (size_t i = 0; c->rules && i < c->rules->n; i++) {
        const struct config_rule *r = &c->rules->at[i];
        ASSERT(r->name && r->config.minimum_severity >= 0 && r->config.minimum_severity <= 24);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void *library; /* stays loaded, so that its leaks have its name */
    if (!library)
        library = dlopen("libfyaml.so.0", RTLD_NOW | RTLD_LOCAL);
    sv text = sv_make(data, size);
    struct config *c = NULL;
    struct err e = {0};
    if (config_parse(text, "fuzz", fake_env, &c, &e))
        check(c);
    else
        ASSERT(!c && e.code != ERR_NONE && e.msg[0]);
    config_free(c);
    sv rest = text, pattern = sv_sub(sv_cut(&rest, '\n'), 0, 1000);
    rest = sv_sub(rest, 0, 1000);
    ASSERT(!config_matches(SV("?"), SV_NULL) && config_matches(SV("*"), rest));
    (void)config_matches(pattern, rest);
    return 0;
}

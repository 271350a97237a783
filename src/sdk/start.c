/* start.c - weir_start() and weir_stop(): everything from the environment, in one call. */
#include "base/log.h"
#include "sdk/env.h"
#include "sdk/pipeline.h"
#include <stdlib.h>

static struct lock mu = LOCK_INIT;
static struct weir_provider *started;       /* under mu */
static VEC(struct weir_provider *) retired; /* under mu: stopped; their loggers stay valid */

static void at_exit(void)
{
    (void)weir_stop(5000);
}
static void at_exit_once(void)
{
    atexit(at_exit);
}

/* ---- OTEL_LOGS_EXPORTER ---- */

static struct weir_processor *make_otlp(weir_error *ret_error)
{
    return weir_batch_processor_new(weir_otlp_exporter_new(NULL, ret_error), NULL, ret_error);
}
static struct weir_processor *make_console(weir_error *ret_error)
{
    return weir_simple_processor_new(weir_console_exporter_new(ret_error), ret_error);
}
static struct weir_processor *make_otlp_stdout(weir_error *ret_error)
{
    return weir_batch_processor_new(weir_otlp_file_exporter_new(NULL, ret_error), NULL, ret_error);
}

static const struct choice {
    const char *name;
    struct weir_processor *(*make)(weir_error *ret_error); /* NULL: no exporter */
} choices[] = {
    {"otlp", make_otlp}, {"console", make_console}, {"otlp/stdout", make_otlp_stdout}, {"none", NULL},
};

static const struct choice *choice_of(sv name)
{
    if (sv_eq_nocase(name, SV("logging"))) {
        log_warn("sdk", "OTEL_LOGS_EXPORTER: 'logging' is the old name of console: taken as that");
        name = SV("console");
    }
    for (const struct choice *c = choices; c < choices + ARRAY_LEN(choices); c++)
        if (sv_eq_nocase(name, sv_of(c->name)))
            return c;
    log_warn("sdk", "OTEL_LOGS_EXPORTER: '" SV_FMT "' is not known here (otlp, console, otlp/stdout and none are): ignored",
             SV_ARG(name));
    return NULL;
}

struct chain { /* one processor for each choice at most */
    struct weir_processor *at[ARRAY_LEN(choices)];
    size_t n;
};

/* Each exporter of the list once. False: one of them cannot be made; nothing is left behind. */
static bool make_processors(struct chain *ret, weir_error *ret_error)
{
    bool wanted[ARRAY_LEN(choices)] = {false};
    const char *text = env_get("OTEL_LOGS_EXPORTER");
    sv rest = sv_of(text ? text : "otlp");
    while (rest.n) {
        sv name = sv_trim(sv_cut(&rest, ','));
        const struct choice *c = name.n ? choice_of(name) : NULL;
        if (!c || !c->make || wanted[c - choices])
            continue;
        wanted[c - choices] = true;
        ret->at[ret->n] = c->make(ret_error);
        if (!ret->at[ret->n]) {
            while (ret->n)
                weir_processor_free(ret->at[--ret->n]);
            return false;
        }
        ret->n++;
    }
    return true;
}

/* ---- the rest of the environment ---- */

static void set_log_level(void)
{
    enum log_level level;
    const char *text = env_get("OTEL_LOG_LEVEL");
    if (!text)
        return;
    if (log_level_of(sv_trim(sv_of(text)), &level))
        log_set_level(level);
    else
        log_warn("sdk", "OTEL_LOG_LEVEL: '%s' is not known (debug, info, warn and error are): ignored", text);
}

static void warn_of_config_file(void)
{
    static bool said; /* under mu */
    const char *text = env_get("OTEL_CONFIG_FILE");
    if (text && !said)
        log_warn("sdk", "OTEL_CONFIG_FILE: declarative configuration is not supported, '%s' is not read: the other variables are used",
                 text);
    said = said || text;
}

static struct weir_provider *make(const char *service_name, weir_error *ret_error)
{
    struct chain chain = {0};
    set_log_level();
    warn_of_config_file();
    if (!env_bool("OTEL_SDK_DISABLED", NULL) && !make_processors(&chain, ret_error))
        return NULL;
    weir_attr name = weir_str("service.name", service_name);
    weir_provider_options o = weir_provider_options_init();
    weir_resource *own = weir_resource_new(&name, service_name && *service_name, NULL);
    o.resource = own;
    struct weir_provider *p = weir_provider_new(&o, chain.at, chain.n, ret_error);
    weir_resource_free(own);
    return p;
}

weir_provider *weir_start(const char *service_name, weir_error *ret_error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (ret_error)
        ret_error->message[0] = 0;
    LOCK_SCOPED(&mu);
    if (started) {
        error_set(ret_error, "weir_start() was called before: weir_stop() first");
        return NULL;
    }
    started = make(service_name, ret_error);
    if (!started)
        return NULL;
    weir_provider_set_global(started);
    pthread_once(&once, at_exit_once);
    return started;
}

weir_result weir_stop(int64_t timeout_ms)
{
    lock_acquire(&mu);
    struct weir_provider *p = started;
    started = NULL;
    struct weir_provider **slot = p ? vec_push(&retired) : NULL;
    if (slot)
        *slot = p;
    lock_release(&mu);
    if (!p)
        return WEIR_SHUT_DOWN;
    if (weir_provider_global() == p)
        weir_provider_set_global(NULL);
    return weir_provider_shutdown(p, timeout_ms);
}

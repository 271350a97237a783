/* start.c - weir_start() and weir_stop(): everything from the environment, or from a configuration file, in one call.
 * (1) A file that is asked for and cannot be used starts nothing: falling back on the environment would send records to where
 *     nobody meant them to go. It is said in our log as well, since programs tend to go on without a word. */
#include "base/log.h"
#include "sdk/config.h"
#include "sdk/env.h"
#include "sdk/pipeline.h"
#include <stdlib.h>

static struct lock mu = LOCK_INIT;
static struct weir_provider *started;       /* under mu */
static VEC(struct weir_provider *) retired; /* under mu: stopped; their loggers stay valid */
static VEC(struct config *) configs;        /* under mu: of providers that are, or were, started */

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

static struct weir_provider *make(const char *service_name, weir_error *ret_error)
{
    struct chain chain = {0};
    set_log_level();
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

/* ---- from a file ---- */

/* The file that the environment names, and in which variable; NULL: none. */
static const char *config_variable(const char **ret_name)
{
    const char *path = env_get2("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE", ret_name);
    static _Atomic bool said;
    if (path && strcmp(*ret_name, "OTEL_EXPERIMENTAL_CONFIG_FILE") == 0 && !atomic_exchange(&said, true))
        log_warn("sdk", "OTEL_EXPERIMENTAL_CONFIG_FILE is the old name of OTEL_CONFIG_FILE: taken as that");
    return path;
}

static bool make_of_config(const char *path, const char *service_name, struct weir_provider **ret, struct err *e)
{
    struct config *c, **kept = vec_push(&configs);
    if (!kept)
        return err_nomem(e);
    configs.n--;
    if (!config_read(path, &c, e))
        return false;
    if (!config_create(c, service_name, ret, e)) {
        config_free(c);
        return false;
    }
    *kept = c;
    configs.n++;
    return true;
}

/* `variable`: which one names the file; NULL: the program does. */
static struct weir_provider *make_of_file(const char *path, const char *variable, const char *service_name, weir_error *ret_error)
{
    struct err e = {0};
    struct weir_provider *p;
    if (make_of_config(path, service_name, &p, &e))
        return p;
    if (variable)
        err_ctx(&e, "%s", variable);
    log_error("sdk", "%s (nothing is logged through OpenTelemetry until the file is right%s%s)", e.msg,
              variable ? ", or without " : "", variable ? variable : "");
    error_set(ret_error, "%s", e.msg);
    return NULL;
}

/* ---- starting and stopping ---- */

static weir_provider *start(const char *path, const char *service_name, weir_error *ret_error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *variable = NULL;
    if (ret_error)
        ret_error->message[0] = 0;
    LOCK_SCOPED(&mu);
    if (started) {
        error_set(ret_error, "weir_start() was called before: weir_stop() first");
        return NULL;
    }
    if (!path)
        path = config_variable(&variable);
    started = path ? make_of_file(path, variable, service_name, ret_error) : make(service_name, ret_error);
    if (!started)
        return NULL;
    weir_provider_set_global(started);
    pthread_once(&once, at_exit_once);
    return started;
}

weir_provider *weir_start(const char *service_name, weir_error *ret_error)
{
    return start(NULL, service_name, ret_error);
}

weir_provider *weir_start_from_file(const char *path, const char *service_name, weir_error *ret_error)
{
    return start(path ? path : "", service_name, ret_error);
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

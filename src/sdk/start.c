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

/* OTEL_LOGS_EXPORTER: a list; otlp and none are known. False: no records are to be exported. */
static bool wants_otlp(void)
{
    const char *text = env_get("OTEL_LOGS_EXPORTER");
    sv rest = sv_of(text ? text : "otlp");
    bool otlp = false;
    while (rest.n) {
        sv name = sv_trim(sv_cut(&rest, ','));
        if (sv_eq_nocase(name, SV("otlp")))
            otlp = true;
        else if (name.n && !sv_eq_nocase(name, SV("none")))
            log_warn("sdk", "OTEL_LOGS_EXPORTER: '" SV_FMT "' is not known here (otlp and none are): ignored", SV_ARG(name));
    }
    return otlp;
}

static struct weir_provider *make(const char *service_name, weir_error *ret_error)
{
    struct weir_processor *batch = NULL;
    bool otlp = !env_bool("OTEL_SDK_DISABLED", NULL) && wants_otlp();
    if (otlp) {
        batch = weir_batch_processor_new(weir_otlp_exporter_new(NULL, ret_error), NULL, ret_error);
        if (!batch)
            return NULL;
    }
    weir_attr name = weir_str("service.name", service_name);
    weir_provider_options o = weir_provider_options_init();
    weir_resource *own = weir_resource_new(&name, service_name && *service_name, NULL);
    o.resource = own;
    struct weir_provider *p = weir_provider_new(&o, &batch, otlp, ret_error);
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

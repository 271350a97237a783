/* unload_test.c - a plug-in host: opens libweir with dlopen(), logs, closes it, and lives on. The library's thread is still there
 * after the dlclose(), and so are a destructor of thread-local data and an exit handler: they must find their code. */
#include "base/test.h"
#include <dlfcn.h>
#include <pthread.h>
#include <weir/weir.h>

static void (*emit)(weir_logger *, const weir_log_record *);

static void *emit_in_a_thread(void *lg)
{
    weir_log_record r = weir_log_record_init();
    r.body = weir_value_str("from a thread");
    emit(lg, &r);
    return NULL; /* the thread's encoding buffer is freed by the library, now */
}

TEST(the_library_stays_after_dlclose)
{
    const char *path = getenv("WEIR_LIBRARY");
    if (!path)
        SKIP("WEIR_LIBRARY does not name the library (meson test does)");
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", 1); /* nobody listens: the thread keeps trying */
    setenv("OTEL_BLRP_SCHEDULE_DELAY", "1", 1);
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        test_fail(__FILE__, __LINE__, "%s", dlerror());
    REQUIRE(lib != NULL);
    weir_provider *(*start)(const char *, weir_error *) = (weir_provider * (*)(const char *, weir_error *)) dlsym(lib, "weir_start");
    weir_logger *(*get)(const char *) = (weir_logger * (*)(const char *)) dlsym(lib, "weir_logger_get");
    void (*count)(weir_provider *, weir_stats *) = (void (*)(weir_provider *, weir_stats *))dlsym(lib, "weir_provider_stats");
    weir_result (*stop)(int64_t) = (weir_result(*)(int64_t))dlsym(lib, "weir_stop");
    emit = (void (*)(weir_logger *, const weir_log_record *))dlsym(lib, "weir_logger_emit");
    REQUIRE(start && get && emit && count && stop);
    weir_error e = {""};
    weir_provider *p = start("plugin", &e);
    REQUIRE(p != NULL);
    weir_logger *lg = get("plugin");
    weir_log_record r = weir_log_record_init();
    emit(lg, &r);
    CHECK_EQ(dlclose(lib), 0);
    Dl_info in;
    REQUIRE(dladdr((void *)emit, &in) != 0); /* still mapped */
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, emit_in_a_thread, lg) == 0);
    pthread_join(thread, NULL);
    weir_stats s = {.struct_size = sizeof s};
    count(p, &s);
    CHECK_EQ(s.emitted, 2);
    CHECK(stop(100) != WEIR_SHUT_DOWN);
    count(p, &s);
    CHECK_EQ(s.queued, 0);
    CHECK(stop(100) == WEIR_SHUT_DOWN); /* exit() calls it once more */
}

/* sdk_bench.c - what a log call costs: weir_info() with a message and three attributes, into the ring, exported by an exporter
 * that takes everything at once. Bursts of BURST calls, each timed; between them the thread catches up, so that what is measured
 * is emitting and not a full ring.
 *
 * usage: sdk_bench [DIR...]        where the rings lie; default: /dev/shm, the current directory, and none (memory)
 *        sdk_bench --calls N       N calls and nothing else, in memory: for valgrind --tool=callgrind */
#include "base/clock.h"
#include "base/def.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <weir/weir.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { BURST = 1000, BURSTS = 200, THREADS_MAX = 4 };

static void accept_all(void *self UNUSED, const weir_batch *batch UNUSED, int64_t timeout_ms UNUSED, weir_export_result *ret)
{
    ret->code = WEIR_EXPORT_OK;
}

static uint64_t ticks(void)
{
#if defined(__x86_64__)
    unsigned cpu;
    return __rdtscp(&cpu);
#else
    return (uint64_t)clock_mono_ns();
#endif
}
static double ns_per_tick(void)
{
    int64_t from_ns = clock_mono_ns();
    uint64_t from = ticks();
    usleep(50000);
    return (double)(clock_mono_ns() - from_ns) / (double)(ticks() - from);
}

static weir_provider *open_provider(const char *dir)
{
    static const weir_exporter_ops ops = {.struct_size = sizeof ops, .export_logs = accept_all};
    weir_error error = {""};
    weir_batch_options o = weir_batch_options_init();
    o.spool_dir = dir;
    weir_processor *p = weir_batch_processor_new(weir_exporter_new(&ops, NULL), &o, &error);
    weir_provider *provider = weir_provider_new(NULL, &p, 1, &error);
    if (!provider)
        fprintf(stderr, "%s\n", error.message);
    return provider;
}

static weir_stats stats(weir_provider *p)
{
    weir_stats s = {.struct_size = sizeof s};
    weir_provider_stats(p, &s);
    return s;
}

struct run {
    weir_provider *provider;
    weir_logger *logger;
    pthread_barrier_t *barrier;
    uint32_t *took; /* ticks of each call */
};

static void log_once(weir_logger *lg, int i)
{
    weir_info(lg, "user logged in after two attempts", weir_str("user.name", "monstera"), weir_i64("attempts", i),
              weir_str("http.route", "/api/v1/login"));
}

static void *emitter(void *arg)
{
    struct run *r = arg;
    for (int burst = 0; burst < BURSTS; burst++) {
        pthread_barrier_wait(r->barrier);
        for (int i = 0; i < BURST; i++) {
            uint64_t from = ticks();
            log_once(r->logger, i);
            r->took[burst * BURST + i] = (uint32_t)MIN(ticks() - from, (uint64_t)UINT32_MAX);
        }
        while (stats(r->provider).queued > 1000)
            usleep(200);
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void measure(const char *dir, int n_threads, double ns)
{
    enum { EACH = BURST * BURSTS };
    pthread_t threads[THREADS_MAX];
    pthread_barrier_t barrier;
    struct run runs[THREADS_MAX];
    weir_provider *p = open_provider(dir);
    uint32_t *took = calloc((size_t)EACH * (size_t)n_threads, sizeof *took);
    if (!p || !took)
        exit(1);
    pthread_barrier_init(&barrier, NULL, (unsigned)n_threads);
    for (int t = 0; t < n_threads; t++) {
        runs[t] = (struct run){p, weir_provider_logger(p, "bench", NULL, NULL, NULL, 0), &barrier, took + (size_t)t * EACH};
        if (pthread_create(&threads[t], NULL, emitter, &runs[t]) != 0)
            exit(1);
    }
    for (int t = 0; t < n_threads; t++)
        pthread_join(threads[t], NULL);
    weir_stats s = stats(p);
    size_t n = (size_t)EACH * (size_t)n_threads;
    qsort(took, n, sizeof *took, by_value);
    printf("%-12s %d thread%s  median %5.0f ns   p99 %6.0f ns   p99.9 %7.0f ns   max %9.0f ns   no room %" PRIu64 "\n", dir, n_threads,
           n_threads > 1 ? "s" : " ", took[n / 2] * ns, took[n / 100 * 99] * ns, took[n / 1000 * 999] * ns, took[n - 1] * ns,
           s.dropped_ring_full);
    weir_provider_free(p);
    pthread_barrier_destroy(&barrier);
    free(took);
}

/* What timing itself costs. */
static double overhead_ns(double ns)
{
    uint32_t took[10001];
    for (size_t i = 0; i < ARRAY_LEN(took); i++) {
        uint64_t from = ticks();
        took[i] = (uint32_t)(ticks() - from);
    }
    qsort(took, ARRAY_LEN(took), sizeof *took, by_value);
    return took[ARRAY_LEN(took) / 2] * ns;
}

int main(int argc, char **argv)
{
    static char *usual[] = {"/dev/shm/weir-sdk-bench", "./weir-sdk-bench", "none"};
    char **dirs = argc > 1 ? argv + 1 : usual;
    int n_dirs = argc > 1 ? argc - 1 : (int)ARRAY_LEN(usual);
    if (argc == 3 && strcmp(argv[1], "--calls") == 0) {
        weir_provider *p = open_provider("none");
        weir_logger *lg = weir_provider_logger(p, "bench", NULL, NULL, NULL, 0);
        for (int i = 0, n = (int)strtol(argv[2], NULL, 10); i < n; i++) {
            log_once(lg, i);
            if (i % BURST == BURST - 1) /* so that none is counted that found no room, and so cost less */
                (void)weir_provider_force_flush(p, 60000);
        }
        _exit(0); /* what the thread does is not counted */
    }
    double ns = ns_per_tick();
    printf("a log call with a message, three attributes and its place in the source; timing itself costs %.0f ns of each\n",
           overhead_ns(ns));
    for (int d = 0; d < n_dirs; d++) {
        measure(dirs[d], 1, ns);
        measure(dirs[d], 4, ns);
        if (strcmp(dirs[d], "none") != 0)
            rmdir(dirs[d]);
    }
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("peak RSS of this program: %ld KiB\n", u.ru_maxrss);
    return 0;
}

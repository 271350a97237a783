/* outage_app.c - an app that logs at a steady rate, whatever happens around it, and times each log call.
 *
 * usage: outage_app RATE THREADS      in bodies: #THREAD.NUMBER#, one logger a thread; what to do next comes in lines on stdin:
 *   rate N        records a second from now on, of all threads together
 *   phase NAME    what is timed from now on is told apart under this name
 *   stats         answers with where the records are: "stats NAME=VALUE …"
 *   stop MS       ends the threads, then weir_stop(MS), then says "emitted THREAD NUMBER" for each thread, "phase NAME …" in
 *                 microseconds, "cpu SECONDS", "stats …", "done RESULT" */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <weir/weir.h>

enum { THREADS_MAX = 8, PHASES_MAX = 8, SUB = 32, SLOTS = 64 * SUB };

struct worker {
    pthread_t thread;
    int number;
    weir_logger *logger;
    uint64_t n;
    uint64_t took[PHASES_MAX][SLOTS], most[PHASES_MAX]; /* how many calls took so long */
};
static struct worker workers[THREADS_MAX];
static int n_workers;
static char phase_names[PHASES_MAX][40] = {"start"};
static _Atomic int phase;
static _Atomic long rate;
static _Atomic bool end;
static weir_provider *provider;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- times: 32 slots for each power of two ---- */

static int slot_of(uint64_t ns)
{
    if (ns < SUB)
        return (int)ns;
    int top = 63 - __builtin_clzll(ns);
    return (top - 4) * SUB + (int)(ns >> (top - 5)) - SUB;
}
static uint64_t slot_top(int slot)
{
    return slot < SUB ? (uint64_t)slot : ((uint64_t)(slot % SUB + SUB + 1) << (slot / SUB - 1)) - 1;
}

static uint64_t quantile(int p, double q)
{
    uint64_t all = 0, seen = 0;
    for (int w = 0; w < n_workers; w++)
        for (int s = 0; s < SLOTS; s++)
            all += workers[w].took[p][s];
    for (int s = 0; s < SLOTS; s++) {
        for (int w = 0; w < n_workers; w++)
            seen += workers[w].took[p][s];
        if (seen >= (uint64_t)((double)all * q) && seen)
            return slot_top(s);
    }
    return 0;
}

/* ---- threads ---- */

static void emit_one(struct worker *w)
{
    uint64_t began = now_ns();
    weir_infof(w->logger, "#%d.%llu# an order of a customer who lives far away, and who would like to have it delivered soon", w->number,
               (unsigned long long)w->n);
    uint64_t took = now_ns() - began;
    int p = phase;
    w->n++;
    w->took[p][slot_of(took)]++;
    w->most[p] = took > w->most[p] ? took : w->most[p];
}

/* A tick is a millisecond; what was missed because the machine was busy is made up for, up to a second. */
static void *work(void *arg)
{
    struct worker *w = arg;
    double due = 0;
    for (uint64_t last = now_ns(); !end;) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        uint64_t now = now_ns();
        double passed = (double)(now - last) / 1e9;
        due += (passed < 1 ? passed : 1) * (double)rate / n_workers;
        last = now;
        for (; due >= 1 && !end; due--)
            emit_one(w);
    }
    return NULL;
}

static void say_stats(void)
{
    weir_stats s = {.struct_size = sizeof s};
    weir_provider_stats(provider, &s);
#define SAY(field) printf(" " #field "=%llu", (unsigned long long)s.field)
    printf("stats");
    SAY(emitted), SAY(exported), SAY(dropped_queue_full), SAY(dropped_too_large), SAY(dropped_no_memory), SAY(dropped_after_shutdown);
    SAY(dropped_at_shutdown), SAY(dropped_export_failed), SAY(dropped_rejected), SAY(queued), SAY(dropped_ring_full), SAY(torn);
    SAY(spilled), SAY(spool_bytes), SAY(left_behind), SAY(adopted);
    printf("\n");
}

static void stop(long ms)
{
    struct rusage u;
    end = true;
    for (int i = 0; i < n_workers; i++)
        pthread_join(workers[i].thread, NULL);
    weir_result result = weir_stop(ms);
    for (int i = 0; i < n_workers; i++)
        printf("emitted %d %llu\n", i, (unsigned long long)workers[i].n);
    for (int p = 0; p <= phase; p++) {
        uint64_t most = 0;
        for (int w = 0; w < n_workers; w++)
            most = workers[w].most[p] > most ? workers[w].most[p] : most;
        printf("phase %s p50 %.1f p99 %.1f p99.9 %.1f max %.1f\n", phase_names[p], (double)quantile(p, 0.5) / 1e3,
               (double)quantile(p, 0.99) / 1e3, (double)quantile(p, 0.999) / 1e3, (double)most / 1e3);
    }
    getrusage(RUSAGE_SELF, &u);
    printf("cpu %.3f\n", (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
    say_stats();
    printf("done %d\n", (int)result);
}

int main(int argc, char **argv)
{
    weir_error error = {""};
    if (argc != 3 || !(provider = weir_start(NULL, &error))) {
        fprintf(stderr, "outage_app: %s\n", error.message);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    rate = strtol(argv[1], NULL, 10);
    n_workers = (int)strtol(argv[2], NULL, 10) % (THREADS_MAX + 1);
    for (int i = 0; i < n_workers; i++) {
        char name[20];
        snprintf(name, sizeof name, "outage.%d", i);
        workers[i].number = i;
        workers[i].logger = weir_logger_get(name);
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return 3;
    }
    char line[100], word[40];
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "phase %39s", word) == 1 && phase + 1 < PHASES_MAX) {
            memcpy(phase_names[phase + 1], word, sizeof word);
            phase++;
            printf("ok\n");
        } else if (sscanf(line, "rate %39s", word) == 1) {
            rate = strtol(word, NULL, 10);
            printf("ok\n");
        } else if (strcmp(line, "stats\n") == 0) {
            say_stats();
        } else if (sscanf(line, "stop %39s", word) == 1) {
            stop(strtol(word, NULL, 10));
            return 0;
        }
    }
    return 4; /* nobody is there to tell it what to do */
}

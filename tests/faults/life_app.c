/* life_app.c - what happens in the life of a process, while it logs: threads that are cancelled, forks of all kinds, exit handlers,
 * storms of signals, limits that are reached.
 *
 * usage: life_app SCENE N         bodies: #ID.NUMBER#, the numbers of an ID are 0, 1, 2, …
 * On stdout "emitted ID RETURNED BEGAN" for each ID: numbers below RETURNED are to arrive, from BEGAN on none; and what else a
 * scene has to say. Exit code 0 when all went as it should. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <weir/weir.h>

enum { IDS = 4096, LARGE = 40000 };

struct count { /* of one ID; shared with children */
    _Atomic unsigned long began, returned;
};
static struct count *counts;
static weir_provider *provider;
static weir_logger *logger;
static char filling[LARGE + 1];
static _Atomic bool end;
extern char **environ;

#define MUST(cond)                                                                                                    \
    do {                                                                                                              \
        if (!(cond)) {                                                                                                \
            fprintf(stderr, "life_app:%d: %s: %s\n", __LINE__, #cond, strerror(errno));                               \
            _exit(99);                                                                                                \
        }                                                                                                             \
    } while (0)

static void start(void)
{
    weir_error error = {""};
    provider = weir_start(NULL, &error);
    if (!provider)
        fprintf(stderr, "life_app: %s\n", error.message);
    MUST(provider);
    logger = weir_logger_get("life");
}

static void emit_sized(int id, size_t extra)
{
    unsigned long n = counts[id].began++;
    weir_infof(logger, "#%d.%lu# %.*s", id, n, (int)extra, filling);
    counts[id].returned++;
}
static void emit(int id)
{
    emit_sized(id, 0);
}

static void *emit_on(void *arg)
{
    int id = (int)(intptr_t)arg;
    while (!end) {
        emit_sized(id, counts[id].began % 97 == 96 ? LARGE / 2 : counts[id].began % 50);
        nanosleep(&(struct timespec){0, 200000}, NULL);
    }
    return NULL;
}
static pthread_t start_thread(int id)
{
    pthread_t t;
    MUST(pthread_create(&t, NULL, emit_on, (void *)(intptr_t)id) == 0);
    return t;
}

static weir_stats stats(void)
{
    weir_stats s = {.struct_size = sizeof s};
    weir_provider_stats(provider, &s);
    return s;
}

/* All is delivered, as there is a receiver. */
static void stop_well(void)
{
    weir_result r = weir_stop(20000);
    weir_stats s = stats();
    if (r != WEIR_OK)
        fprintf(stderr, "life_app: weir_stop() says %d: emitted %llu, exported %llu, left behind %llu\n", (int)r,
                (unsigned long long)s.emitted, (unsigned long long)s.exported, (unsigned long long)s.left_behind);
    MUST(r == WEIR_OK);
}

static void pause_us(long us)
{
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

/* ---- threads ---- */

/* Emits without a pause, records of all sizes, until it is cancelled: in emit or not. */
static void *emit_until_cancelled(void *arg)
{
    int id = (int)(intptr_t)arg;
    for (;;) {
        emit_sized(id, counts[id].began % 7 == 6 ? LARGE : 10);
        pthread_testcancel();
    }
    return NULL;
}
static void cancel(int n)
{
    start();
    for (int i = 1; i <= n; i++) {
        pthread_t t;
        MUST(pthread_create(&t, NULL, emit_until_cancelled, (void *)(intptr_t)i) == 0);
        pause_us(i * 37 % 2000);
        MUST(pthread_cancel(t) == 0);
        MUST(pthread_join(t, NULL) == 0);
        emit(0);
    }
    stop_well();
}

static void *emit_one_and_leave(void *arg)
{
    emit((int)(intptr_t)arg);
    if ((intptr_t)arg % 2)
        pthread_exit(NULL);
    return NULL;
}
static void short_threads(int n)
{
    start();
    for (int i = 0; i < n; i += 8) {
        pthread_t t[8];
        for (int k = 0; k < 8; k++)
            MUST(pthread_create(&t[k], NULL, emit_one_and_leave, (void *)(intptr_t)(i + k)) == 0);
        for (int k = 0; k < 8; k++)
            pthread_join(t[k], NULL);
    }
    stop_well();
}

/* ---- the end of a process ---- */

static void log_late(void) /* registered first, so it runs after the library's own handler */
{
    weir_infof(logger, "#1.0# dropped: all is over");
    weir_infof(weir_logger_get("late"), "#1.1# dropped: there is no provider");
}
static void log_at_exit(void)
{
    emit(0);
}
__attribute__((destructor)) static void log_last(void)
{
    weir_infof(logger, "#1.2# dropped: later still");
}
static void exit_handlers(int n)
{
    (void)n;
    atexit(log_late);
    start();
    atexit(log_at_exit);
    emit(0);
    /* counted before it happens: there is nobody to say it afterwards */
    printf("emitted 0 2 2\n");
}
static void after_stop(int n)
{
    (void)n;
    start();
    emit(0);
    stop_well();
    weir_log_record r = weir_log_record_init();
    r.body = weir_value_str("#1.0# dropped");
    for (int i = 0; i < 1000; i++) {
        weir_infof(logger, "#1.%d# not even begun, and counted", i);
        weir_logger_emit(logger, &r);
    }
    MUST(stats().dropped_after_shutdown == 2000 && stats().exported == 1);
    MUST(weir_stop(1000) == WEIR_SHUT_DOWN);
    start(); /* and once more, in the same process */
    emit(0);
    stop_well();
}

/* ---- forks ---- */

static void reap(pid_t *at)
{
    int status;
    if (*at > 0)
        MUST(waitpid(*at, &status, 0) == *at && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    *at = 0;
}

static void child_of_forks(int i)
{
    emit(100 + i);
    emit(100 + i);
    if (i % 4 == 1)
        stop_well();
    if (i % 4 == 2)
        exit(0);
    if (i % 4 == 3)
        execl("/bin/true", "true", (char *)NULL);
    _exit(0);
}
static void forks(int n)
{
    enum { AT_A_TIME = 8 };
    pid_t pids[AT_A_TIME] = {0};
    start();
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        t[i] = start_thread(i);
    for (int i = 0; i < n; i++) {
        reap(&pids[i % AT_A_TIME]);
        pids[i % AT_A_TIME] = fork();
        MUST(pids[i % AT_A_TIME] >= 0);
        if (pids[i % AT_A_TIME] == 0) {
            signal(SIGALRM, SIG_DFL);
            alarm(60); /* a child that hangs is a failure, and does not stay */
            child_of_forks(i);
        }
    }
    for (int i = 0; i < AT_A_TIME; i++)
        reap(&pids[i]);
    end = true;
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    stop_well();
}

static void spawns(int n)
{
    char *const argv[] = {"true", NULL};
    start();
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        t[i] = start_thread(i);
    for (int i = 0; i < n; i++) {
        pid_t pid = 0;
        emit(3);
        if (i % 2) {
            MUST(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) == 0);
        } else if ((pid = vfork()) == 0) {
            execv("/bin/true", argv);
            _exit(1);
        }
        MUST(pid > 0);
        reap(&pid);
    }
    end = true;
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    stop_well();
}

/* As daemon(3) does it, twice over; what was emitted before belongs to the first process, which ends without a word. */
static void daemons(int n)
{
    int done[2], status;
    char c;
    MUST(pipe(done) == 0);
    start();
    for (int i = 0; i < n; i++) {
        emit(0);
        pid_t pid = fork();
        MUST(pid >= 0);
        if (pid > 0) {
            MUST(waitpid(pid, &status, 0) == pid && status == 0);
            continue;
        }
        emit(1 + 2 * i);
        MUST(setsid() >= 0);
        if (fork() != 0)
            _exit(0);
        close(0), close(1), close(2);
        MUST(chdir("/") == 0 && open("/dev/null", O_RDWR) == 0 && dup(0) == 1 && dup(0) == 2);
        for (int k = 0; k < 5; k++)
            emit(2 + 2 * i);
        stop_well();
        MUST(write(done[1], "x", 1) == 1);
        _exit(0);
    }
    for (int i = 0; i < n; i++)
        MUST(read(done[0], &c, 1) == 1);
    stop_well();
}

/* A server with four workers, each killed and made anew, n times in all. */
static void prefork(int n)
{
    enum { WORKERS = 4 };
    pid_t pids[WORKERS] = {0};
    start();
    emit(0);
    for (int i = 0; i < n + WORKERS; i++) {
        pid_t *at = &pids[i % WORKERS];
        if (*at) {
            pause_us(1000 + i * 773 % 9000);
            kill(*at, i % 3 == 2 ? SIGABRT : SIGKILL);
            MUST(waitpid(*at, NULL, 0) == *at);
        }
        emit(0);
        *at = i < n ? fork() : 0;
        MUST(*at >= 0);
        if (*at == 0 && i < n) {
            MUST(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
            pthread_t t = start_thread(1000 + i);
            emit_on((void *)(intptr_t)(1 + i));
            pthread_join(t, NULL);
        }
    }
    stop_well();
}

/* ---- signals ---- */

static _Atomic unsigned long n_signals;
static void on_alarm(int sig)
{
    (void)sig;
    n_signals++;
}
static void storm(int n)
{
    struct sigaction sa = {.sa_handler = on_alarm}; /* no SA_RESTART */
    MUST(sigaction(SIGALRM, &sa, NULL) == 0);
    struct itimerval every = {{0, 1000}, {0, 1000}};
    MUST(setitimer(ITIMER_REAL, &every, NULL) == 0);
    start();
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        t[i] = start_thread(1 + i);
    for (int i = 0; i < n || n_signals < 500; i++) {
        emit_sized(0, i % 101 == 100 ? LARGE : 20);
        if (i % 20 == 0)
            pause_us(500);
    }
    end = true;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    stop_well();
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
}

/* ---- limits ---- */

static void limit(int what, rlim_t n)
{
    struct rlimit r;
    MUST(getrlimit(what, &r) == 0);
    r.rlim_cur = n;
    MUST(setrlimit(what, &r) == 0);
}

/* Every record is accounted for: which ones are gone is not known here. */
static void end_with_losses(void)
{
    (void)weir_stop(20000);
    weir_stats s = stats();
    unsigned long lost = (unsigned long)(s.dropped_queue_full + s.dropped_too_large + s.dropped_no_memory + s.dropped_ring_full +
                                         s.dropped_export_failed + s.dropped_at_shutdown);
    printf("delivered %llu lost %lu\n", (unsigned long long)s.exported, lost);
    MUST(s.emitted == s.exported + lost);
    printf("dropping\n");
}

/* No file may be larger than n KiB: SIGXFSZ is not to kill the app. */
static void file_size(int n)
{
    limit(RLIMIT_FSIZE, (rlim_t)n << 10);
    start();
    for (int i = 0; i < 3000; i++) {
        emit_sized(0, i % 100 == 99 ? LARGE : 100);
        if (i % 50 == 49)
            pause_us(1000);
    }
    end_with_losses();
}

static int use_up_files(int *fds, int n)
{
    limit(RLIMIT_NOFILE, 64);
    int k = 0;
    while (k < n && (fds[k] = open("/dev/null", O_RDONLY)) >= 0)
        k++;
    return k;
}
/* No descriptor is left: n 0: when it starts; 1: later. When there are some again, all is delivered. */
static void no_files(int n)
{
    int fds[64], k = 0;
    if (n == 0)
        k = use_up_files(fds, 64);
    start();
    emit(0);
    if (n == 1)
        k = use_up_files(fds, 64);
    for (int i = 0; i < 1000; i++)
        emit(0);
    pause_us(100000);
    while (k)
        close(fds[--k]);
    for (int i = 0; i < 100; i++)
        emit(0);
    stop_well();
}

/* Hardly any memory is left: n 0: when it starts; 1: later. */
static void no_memory(int n)
{
    static char line[4096];
    unsigned long pages = 0;
    if (n == 1) {
        start();
        emit(0);
    }
    int fd = open("/proc/self/statm", O_RDONLY);
    MUST(fd >= 0 && read(fd, line, sizeof line - 1) > 0 && (pages = strtoul(line, NULL, 10)) > 0);
    close(fd);
    limit(RLIMIT_AS, (rlim_t)pages * 4096 + (1 << 20));
    if (n == 0)
        start();
    for (int i = 0; i < 2000; i++)
        emit_sized(0, i % 10 == 9 ? LARGE : 100);
    pause_us(100000);
    limit(RLIMIT_AS, RLIM_INFINITY);
    for (int i = 0; i < 100; i++)
        emit(0);
    end_with_losses();
}

static const struct scene {
    const char *name;
    void (*play)(int n);
} scenes[] = {
    {"cancel", cancel}, {"short_threads", short_threads}, {"exit_handlers", exit_handlers}, {"after_stop", after_stop},
    {"forks", forks}, {"spawns", spawns}, {"daemons", daemons}, {"prefork", prefork}, {"storm", storm},
    {"file_size", file_size}, {"no_files", no_files}, {"no_memory", no_memory},
};

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    limit(RLIMIT_CORE, 0);
    memset(filling, 'x', LARGE);
    counts = mmap(NULL, IDS * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(counts != MAP_FAILED);
    for (size_t i = 0; argc == 3 && i < sizeof scenes / sizeof *scenes; i++)
        if (strcmp(argv[1], scenes[i].name) == 0) {
            scenes[i].play((int)strtol(argv[2], NULL, 10));
            for (int id = 0; id < IDS; id++)
                if (counts[id].began && strcmp(argv[1], "exit_handlers") != 0)
                    printf("emitted %d %lu %lu\n", id, (unsigned long)counts[id].returned, (unsigned long)counts[id].began);
            return 0;
        }
    return 2;
}

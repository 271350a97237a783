/* crash_app.c - an app that emits numbered records from several threads until it dies, and keeps a book of what it emitted.
 *
 * usage: crash_app RUN BOOKS HOW AFTER_US [FORKS]      HOW: kill segv abort term _exit exit stop exec; all but kill by itself
 *        crash_app drain SPOOL SECONDS                 sends what dead processes left in SPOOL; 0: nothing is left there
 *
 * (1) A record's body begins with RUN.THREAD.NUMBER, the numbers of a thread are 0, 1, 2, …
 * (2) The book of a thread is the file BOOKS/RUN.THREAD: how many emits began, how many returned, two numbers of 8 bytes, each
 *     written by a pwrite() of its own at the time. So what was killed has emitted numbers below `returned` for sure, and none from
 *     `began` on; in between, at most one, nobody knows. What pwrite() wrote outlives the process, whatever becomes of it.
 * (3) SIGKILL comes from the parent process, which does nothing but wait for the moment. Right before the end all threads stop
 *     pausing, so that it comes in the middle of emitting; but not where what finds no room is dropped (WEIR_SPOOL_WHEN_FULL),
 *     as no book is kept of that.
 * (4) With FORKS, the process forks so many children while its threads emit; each is a process with threads like it, under thread
 *     numbers of its own (CHILD_THREADS apart), and is killed with it, or dies on its own before. */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <weir/weir.h>

enum { THREADS = 4, CHILD_THREADS = 100, BURST = 16, PAUSE_US = 8000, LARGE = 60000 };

struct shared { /* of the process that dies and the one that kills it */
    _Atomic bool dense; /* (3) */
};
static struct shared *shared;
static const char *run, *books, *how;
static _Atomic bool end;
static _Atomic int dying = -1; /* the thread that has to die; -1: none yet */
static bool waits; /* for room */
static weir_logger *loggers[3];
static char filling[LARGE + 1];

static void fail(const char *what)
{
    fprintf(stderr, "crash_app: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void pause_us(long us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

/* ---- records of all kinds ---- */

/* Bodies and values that are not what a line of text usually is. */
static void emit_odd(weir_logger *lg, const char *id, uint32_t dice)
{
    static const char broken[] = {'\xff', '\xc3', 0, '\xed', '\xa0', '\x80', 'x'};
    weir_value deep = weir_value_i64(INT64_MIN);
    weir_value levels[20];
    for (size_t i = 0; i < 20; i++) {
        levels[i] = deep;
        deep = weir_value_array(&levels[i], 1);
    }
    weir_attr inner[] = {weir_str("id", id), weir_f64("nan", NAN), weir_bytes("bytes", broken, sizeof broken)};
    weir_attr attributes[] = {weir_str("k", "\n"), weir_strn("broken", broken, sizeof broken), weir_f64("inf", -INFINITY),
                              weir_any("deep", deep), weir_any("empty", weir_value_empty()), weir_map("map", inner, 3),
                              weir_str("twice", "1"), weir_str("twice", "2")};
    weir_trace_context trace;
    weir_trace_context_new(&trace);
    weir_log_record r = weir_log_record_init();
    r.severity_number = (int32_t)(dice % 30);
    r.severity_text = weir_string_of(dice & 1 ? "" : "odd");
    r.body = dice & 2 ? weir_value_map(inner, 3) : weir_value_str(id);
    r.attributes = attributes;
    r.n_attributes = dice / 4 % 9;
    r.event_name = weir_string_of(dice & 64 ? "odd.event" : "");
    r.trace = dice & 128 ? &trace : NULL;
    weir_logger_emit(lg, &r);
}

static void emit(const char *id, uint32_t dice)
{
    weir_logger *lg = loggers[dice % 3];
    uint32_t kind = dice / 3 % 256;
    if (kind == 0)
        weir_warn(lg, "{id} {filling}", weir_str("id", id), weir_strn("filling", filling, LARGE / 3 + dice % (LARGE / 3)));
    else if (kind < 10)
        weir_error(lg, "{id} {filling}", weir_str("id", id), weir_strn("filling", filling, 1000 + dice % 6000));
    else if (kind < 40)
        emit_odd(lg, id, dice / 768);
    else if (kind < 100)
        weir_infof(lg, "%s is one of many", id);
    else
        weir_info(lg, "{id} for {user}", weir_str("id", id), weir_i64("user", dice % 1000), weir_bool("paid", dice & 1));
}

/* ---- dying ---- */

static void die(void)
{
    if (strcmp(how, "segv") == 0) {
        volatile int *volatile nowhere = NULL;
        *nowhere = 1;
    }
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "term") == 0)
        kill(getpid(), SIGTERM);
    if (strcmp(how, "_exit") == 0)
        _exit(0);
    if (strcmp(how, "exec") == 0)
        execl("/bin/true", "true", (char *)NULL);
    for (;;) /* kill: somebody else does it */
        pause();
}

/* ---- threads ---- */

struct worker {
    pthread_t thread;
    int number, book;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    uint32_t seed = (uint32_t)(w->number * 7919 + getpid() + 1);
    for (uint64_t n = 0; !end; n++) {
        char id[64];
        uint64_t count = n + 1;
        snprintf(id, sizeof id, "%s.%d.%llu", run, w->number, (unsigned long long)n);
        if (pwrite(w->book, &count, 8, 0) != 8)
            fail("book");
        emit(id, next_random(&seed));
        if (pwrite(w->book, &count, 8, 8) != 8)
            fail("book");
        if (dying == w->number)
            die();
        /* where there are many processes, not all of them never pause: the one that sees to the end would come too late */
        unsigned burst = !shared->dense ? BURST : w->number >= CHILD_THREADS ? 8 * BURST : 0;
        if (burst && n % burst == burst - 1)
            pause_us(PAUSE_US / 2 + next_random(&seed) % PAUSE_US);
    }
    return NULL;
}

static void start_workers(struct worker *workers, int first, int n)
{
    for (int i = 0; i < n; i++) {
        char path[500];
        snprintf(path, sizeof path, "%s/%s.%d", books, run, first + i);
        workers[i] = (struct worker){.number = first + i, .book = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
        if (workers[i].book < 0)
            fail(path);
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            fail("pthread_create");
    }
}

/* What is emitted while the provider shuts down is dropped, and right so: the threads are done before. */
static void leave(struct worker *workers, int n, long stop_ms)
{
    end = true;
    shared->dense = false;
    for (int i = 0; i < n; i++)
        pthread_join(workers[i].thread, NULL);
    if (strcmp(how, "stop") == 0)
        weir_stop(stop_ms);
    exit(0);
}

/* A process of many: emits for a while, then ends in a way of its own; every second one lives until all are killed. */
static void run_child(int number, long us)
{
    static const char *const ways[] = {"kill", "segv", "_exit", "abort", "exit"};
    struct worker workers[2];
    how = ways[number % 5];
    start_workers(workers, number * CHILD_THREADS, 2);
    pause_us(us);
    if (strcmp(how, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(how, "exit") == 0)
        leave(workers, 2, 0);
    dying = number * CHILD_THREADS;
    pthread_join(workers[0].thread, NULL);
}

static void run_app(long after_us, int forks)
{
    weir_error error = {""};
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    setpgid(0, 0);
    if (!weir_start(NULL, &error))
        fail(error.message);
    for (int i = 0; i < 3; i++) {
        char name[20];
        snprintf(name, sizeof name, "crash.%d", i);
        loggers[i] = weir_logger_get(name);
    }
    struct worker workers[THREADS];
    start_workers(workers, 0, THREADS);
    for (int i = 1; i <= forks; i++) {
        pause_us(after_us / (forks + 1) * 2 / 3);
        pid_t pid = fork();
        if (pid < 0)
            fail("fork");
        if (pid == 0) {
            run_child(i, i % 2 ? after_us / 4 : after_us * 10);
            _exit(0);
        }
    }
    if (strcmp(how, "kill") == 0)
        for (;;)
            pause();
    pause_us(forks ? after_us / 3 : after_us);
    shared->dense = waits;
    pause_us(after_us % 2000);
    if (strcmp(how, "stop") == 0 || strcmp(how, "exit") == 0)
        leave(workers, THREADS, after_us % 3 * 50);
    dying = (int)(after_us % THREADS);
    for (;;)
        pause();
}

/* ---- drain ---- */

static int left_in(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (d)
        closedir(d);
    return n;
}

static int drain(const char *spool, int seconds)
{
    weir_error error = {""};
    if (!weir_start(NULL, &error))
        fail(error.message);
    weir_info(weir_logger_get("drain"), "drain");
    for (int i = 0; i < seconds * 100 && left_in(spool) > 1; i++)
        pause_us(10000);
    weir_stop(10000);
    return left_in(spool) != 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "drain") == 0)
        return drain(argv[2], (int)strtol(argv[3], NULL, 10));
    if (argc < 5)
        return 2;
    run = argv[1];
    books = argv[2];
    how = argv[3];
    const char *full = getenv("WEIR_SPOOL_WHEN_FULL");
    waits = full && strcmp(full, "block") == 0;
    long after_us = strtol(argv[4], NULL, 10);
    memset(filling, 'x', LARGE);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        fail("mmap");
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0)
        run_app(after_us, argc > 5 ? (int)strtol(argv[5], NULL, 10) : 0);
    setpgid(pid, pid);
    if (strcmp(how, "kill") == 0) {
        pause_us(after_us);
        shared->dense = waits;
        pause_us(after_us % 2000);
        kill(pid, SIGKILL);
    }
    int status;
    waitpid(pid, &status, 0);
    kill(-pid, SIGKILL); /* its children */
    if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
        return 99;
    printf("%s %d\n", WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return 0;
}

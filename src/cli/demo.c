/* demo.c - `weir demo`: a small plant shop whose services log through libweir, each a process of its own.
 * (1) The parent makes things happen (customers, time, bugs), paced by --rate, and tells every service concerned through
 *     its pipe; a service logs what it has to say. So records of one request carry one trace across processes.
 * (2) Stopping is closing the pipes: each service then delivers what it has and ends. The parent reaps all of them, and
 *     kills what does not end in time. A service outlives its parent by nothing.
 * What the services say is demo_shop.c. */
#include "cli/demo.h"
#include "base/clock.h"
#include "cli/cli.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct demo_options {
    char *endpoint;
    double rate, bugs;
    bool bug_mode;
    uint64_t seconds;
};
static const struct option demo_options[] = {
    OPT_ARG(STR, struct demo_options, endpoint, "http://127.0.0.1:4317", "URL", "OTLP/gRPC address that takes the records"),
    OPT(DOUBLE, struct demo_options, rate, "20", "records per second, of all services together"),
    OPT(DOUBLE, struct demo_options, bugs, "2", "bugs per minute that bug_service triggers"),
    OPT(BOOL, struct demo_options, bug_mode, "false", "at least 30 bugs per minute"),
    OPT(U64, struct demo_options, seconds, "0", "stop after that long; 0: run until told to stop"),
    {0},
};

/* How long a service may take to deliver what it has when it stops, and when the parent loses patience. */
#define DELIVER_MS 4000
#define PATIENCE_MS 8000

struct shop {
    struct demo_options opt;
    pid_t pids[SHOP_SERVICES]; /* 0: not running */
    int pipes[SHOP_SERVICES];  /* write ends; -1: closed */
    sigset_t before;           /* the signal mask we were called with */
    uint32_t n_events;
    bool failed; /* a service ended by itself */
};

/* ---- a service ---- */

static weir_provider *service_provider(const struct shop *shop, enum shop_service s)
{
    weir_error e = {""};
    char host[256] = "", instance[64];
    gethostname(host, sizeof host - 1);
    snprintf(instance, sizeof instance, "%s-1", shop_service_name(s));
    weir_attr attrs[] = {weir_str("service.name", shop_service_name(s)), weir_str("service.instance.id", instance),
                         weir_str("service.version", "1.4.2"), weir_str("service.namespace", "plant-shop"),
                         weir_str("deployment.environment.name", "demo"), weir_str("host.name", host)};
    weir_otlp_options oo = weir_otlp_options_init();
    oo.endpoint = shop->opt.endpoint;
    oo.protocol = WEIR_OTLP_GRPC;
    oo.insecure = 1;
    weir_batch_options bo = weir_batch_options_init();
    bo.schedule_delay_ms = 500; /* the demo is there to be watched live */
    weir_provider_options po = weir_provider_options_init();
    weir_resource *resource = weir_resource_new(attrs, ARRAY_LEN(attrs), NULL);
    po.resource = resource;
    weir_processor *p = weir_batch_processor_new(weir_otlp_exporter_new(&oo, &e), &bo, &e);
    weir_provider *provider = weir_provider_new(&po, &p, 1, &e);
    weir_resource_free(resource);
    if (!provider)
        fprintf(stderr, "weir demo: %s\n", e.message);
    return provider;
}

/* The life of a service: until its pipe ends. */
static int service_main(const struct shop *shop, enum shop_service s, int fd)
{
    struct shop_work w;
    ssize_t n;
    weir_provider *provider = service_provider(shop, s);
    if (!provider)
        return 1;
    weir_logger *lg = weir_provider_logger(provider, shop_service_name(s), "1.4.2", NULL, NULL, 0);
    weir_info(lg, "{service} started", weir_str("service", shop_service_name(s)));
    while ((n = read(fd, &w, sizeof w)) == sizeof w || (n < 0 && errno == EINTR))
        if (n == sizeof w)
            shop_log(lg, s, &w);
    weir_info(lg, "{service} stops", weir_str("service", shop_service_name(s)));
    weir_provider_shutdown(provider, DELIVER_MS); /* says itself what could not be delivered */
    weir_provider_free(provider);
    return 0;
}

/* ---- the parent ---- */

static bool service_start(struct shop *shop, enum shop_service s)
{
    int fds[2];
    pid_t parent = getpid();
    if (pipe2(fds, O_CLOEXEC) < 0)
        return false;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        for (int i = 0; i < SHOP_SERVICES; i++)
            if (shop->pipes[i] >= 0)
                close(shop->pipes[i]);
        close(fds[1]);
        signal(SIGINT, SIG_IGN); /* Ctrl-C reaches all of us: the parent decides */
        sigprocmask(SIG_SETMASK, &shop->before, NULL);
        _exit(service_main(shop, s, fds[0]));
    }
    close(fds[0]);
    if (pid < 0) {
        close(fds[1]);
        return false;
    }
    fcntl(fds[1], F_SETFL, O_NONBLOCK); /* a service that hangs misses things; it does not hold up the shop */
    shop->pids[s] = pid;
    shop->pipes[s] = fds[1];
    return true;
}

static void reap(struct shop *shop, bool stopping)
{
    int status;
    for (int s = 0; s < SHOP_SERVICES; s++) {
        if (!shop->pids[s] || waitpid(shop->pids[s], &status, WNOHANG) != shop->pids[s])
            continue;
        shop->pids[s] = 0;
        if (stopping && WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        shop->failed = true;
        if (WIFSIGNALED(status))
            fprintf(stderr, "weir demo: %s was ended by signal %d\n", shop_service_name((enum shop_service)s), WTERMSIG(status));
        else
            fprintf(stderr, "weir demo: %s ended with code %d\n", shop_service_name((enum shop_service)s), WEXITSTATUS(status));
    }
}

static bool any_running(const struct shop *shop)
{
    for (int s = 0; s < SHOP_SERVICES; s++)
        if (shop->pids[s])
            return true;
    return false;
}

/* Waits for one of our signals until `until_ms`; 0: none came. */
static int signal_until(int64_t until_ms)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGCHLD);
    int64_t ms = MAX(until_ms - clock_mono_ms(), (int64_t)0);
    struct timespec t = {ms / 1000, ms % 1000 * NS_PER_MS};
    int sig = sigtimedwait(&ours, NULL, &t);
    return sig > 0 ? sig : 0;
}

static void stop_all(struct shop *shop)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    for (int s = 0; s < SHOP_SERVICES; s++) {
        if (shop->pipes[s] >= 0)
            close(shop->pipes[s]);
        shop->pipes[s] = -1;
    }
    for (reap(shop, true); any_running(shop) && clock_mono_ms() < until; reap(shop, true))
        signal_until(until);
    for (int s = 0; s < SHOP_SERVICES; s++)
        if (shop->pids[s]) {
            kill(shop->pids[s], SIGKILL);
            waitpid(shop->pids[s], NULL, 0);
            fprintf(stderr, "weir demo: %s did not end in time and was killed\n", shop_service_name((enum shop_service)s));
            shop->pids[s] = 0;
            shop->failed = true;
        }
}

/* Tells the services concerned; returns how many records that makes. */
static unsigned happen(struct shop *shop, enum shop_event event)
{
    struct shop_work w = {.event = event, .number = ++shop->n_events, .dice = rand_u64()};
    unsigned n = 0;
    weir_trace_context_new(&w.trace);
    for (int s = 0; s < SHOP_SERVICES; s++) {
        unsigned lines = shop_lines(event, (enum shop_service)s);
        if (lines && write(shop->pipes[s], &w, sizeof w) == sizeof w)
            n += lines;
    }
    return n;
}

static enum shop_event something(void)
{
    static const enum shop_event usual[] = {SHOP_LOGIN, SHOP_LOGIN, SHOP_BROWSE, SHOP_BROWSE, SHOP_BROWSE, SHOP_WATER, SHOP_WATER,
                                            SHOP_TICK,  SHOP_TICK,  SHOP_TICK,   SHOP_WATCH,  SHOP_WATCH,  SHOP_IDLE};
    return usual[rand_u64() % ARRAY_LEN(usual)];
}

/* Lets things happen until a signal, the end of the time, or the end of a service. Only records count towards the rate,
 * and lost time is not made up for. */
static void run(struct shop *shop)
{
    double rate = shop->opt.rate, bugs = shop->opt.bug_mode ? MAX(shop->opt.bugs, 30.0) : shop->opt.bugs;
    int64_t start = clock_mono_ms(), end = shop->opt.seconds ? start + (int64_t)shop->opt.seconds * 1000 : INT64_MAX;
    double due = rate > 0 ? (double)start : (double)INT64_MAX, bug_due = bugs > 0 ? (double)start + MIN(60000 / bugs, 2000.0) : (double)INT64_MAX;
    while (clock_mono_ms() < end && !shop->failed) {
        int64_t next = (int64_t)MIN(MIN(due, bug_due), MIN((double)end, (double)clock_mono_ms() + 60000));
        int sig = signal_until(next);
        if (sig == SIGTERM || sig == SIGINT)
            return;
        if (sig == SIGCHLD)
            reap(shop, false);
        double now = (double)clock_mono_ms();
        if (now >= bug_due) {
            happen(shop, SHOP_BREAK);
            bug_due = now + 60000 / bugs * (0.5 + rand_unit());
        }
        for (; due <= now; due += MAX(happen(shop, something()), 1u) * 1000 / rate)
            if (due < now - 1000)
                due = now;
    }
}

static bool start_all(struct shop *shop)
{
    for (int s = 0; s < SHOP_SERVICES; s++)
        if (!service_start(shop, (enum shop_service)s)) {
            fprintf(stderr, "weir demo: cannot start %s: %s\n", shop_service_name((enum shop_service)s), strerror(errno));
            return false;
        }
    return true;
}

static int demo(struct shop *shop)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ours, &shop->before);
    signal(SIGPIPE, SIG_IGN);
    bool started = start_all(shop);
    if (started) {
        printf("%d services log %g records per second to %s\n", SHOP_SERVICES, shop->opt.rate, shop->opt.endpoint);
        fflush(stdout);
        run(shop);
    }
    stop_all(shop);
    sigprocmask(SIG_SETMASK, &shop->before, NULL);
    return started && !shop->failed ? EXIT_DONE : EXIT_FAILED;
}

int cmd_demo(const struct command *cmd, int argc, char **argv)
{
    struct shop shop = {.pipes = {-1, -1, -1, -1, -1}};
    const struct option_group group = {"Options", demo_options, &shop.opt};
    struct err e = {0};
    int at = 1, rc = EXIT_USAGE;
    if (!options_defaults(demo_options, &shop.opt, &e)) {
        rc = cli_fail(cmd, &e);
    } else if (cli_options(cmd, &group, 1, argc, argv, &at, &rc)) {
        if (at < argc)
            fprintf(stderr, "weir demo: unexpected '%s'; see weir demo --help\n", argv[at]);
        else if (!(shop.opt.rate >= 0 && shop.opt.rate <= 1e6 && shop.opt.bugs >= 0 && shop.opt.bugs <= 1e5))
            fprintf(stderr, "weir demo: --rate is 0 to 1000000 and --bugs 0 to 100000\n");
        else
            rc = demo(&shop);
    }
    options_done(demo_options, &shop.opt);
    return rc;
}

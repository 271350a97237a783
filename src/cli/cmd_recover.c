/* cmd_recover.c - `weir recover`: delivers what dead processes left below a spool directory, through libweir as any app could. */
#include "base/clock.h"
#include "cli/cli.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <weir/weir.h>

#define QUIET_MS 2000      /* work this short says nothing while it goes on */
#define TERMINAL_MS 500    /* between two lines of progress */
#define NO_TERMINAL_MS 10000

struct recover_options {
    char *endpoint, *protocol, *service;
    int64_t timeout;
    bool list, dry_run, discard_refused;
};
static const struct option table[] = {
    OPT_ARG(STR, struct recover_options, endpoint, NULL, "URL",
            "OTLP receiver, for HTTP with or without /v1/logs; else OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:4317"),
    OPT_ARG(STR, struct recover_options, protocol, NULL, "PROTOCOL",
            "grpc, http/protobuf or http/json; else OTEL_EXPORTER_OTLP_PROTOCOL, else grpc"),
    OPT_ARG(STR, struct recover_options, service, NULL, "NAME", "only what this service left (its service.name)"),
    OPT(DURATION, struct recover_options, timeout, "30s", "give up when nothing could be delivered for this long"),
    OPT(BOOL, struct recover_options, discard_refused, "false",
        "remove what is refused for good even when nothing was taken yet; else that is kept, as the address may be the wrong one"),
    OPT(BOOL, struct recover_options, list, "false", "only show what is there, of the living too, and deliver nothing"),
    OPT(BOOL, struct recover_options, dry_run, "false", "the same"),
    {0},
};

/* ---- showing ---- */

static void put_bytes(uint64_t n, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t u = 0;
    double v = (double)n;
    for (; v >= 1024 && u + 1 < ARRAY_LEN(units); u++)
        v /= 1024;
    snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
}

static void put_age(int64_t ns, char out[32])
{
    int64_t s = MAX(ns, (int64_t)0) / NS_PER_S;
    if (s < 60)
        snprintf(out, 32, "%" PRId64 "s", s);
    else if (s < 3600)
        snprintf(out, 32, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
    else if (s < 48 * 3600)
        snprintf(out, 32, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(out, 32, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
}

struct listing {
    uint64_t n;
};

static void show(void *context, const weir_backlog *b)
{
    struct listing *l = context;
    char bytes[32], age[32], service[128], name[260];
    snprintf(service, sizeof service, "%s", b->service);
    snprintf(name, sizeof name, "%s", b->name);
    cli_plain(service);
    cli_plain(name);
    if (!l->n++)
        printf("%-24s %8s %8s %-5s %10s %8s %10s  %s\n", "SERVICE", "PID", "AGE", "OWNER", "RECORDS", "TORN", "BYTES", "NAME");
    if (*b->trouble) {
        printf("%-24s %8s %8s %-5s %s\n", service, "-", "-", b->live ? "live" : "dead", b->trouble);
        return;
    }
    put_bytes(b->bytes, bytes);
    put_age(clock_wall_ns() - (int64_t)b->created_ns, age);
    printf("%-24s %8" PRId64 " %8s %-5s %10" PRIu64 " %8" PRIu64 " %10s  %s\n", service, b->pid, age, b->live ? "live" : "dead",
           b->waiting, b->torn, bytes, name);
}

static int list(const struct recover_options *o, const char *dir)
{
    struct listing l = {0};
    weir_error error = {""};
    if (!weir_backlogs(dir, o->service, show, &l, &error)) {
        fprintf(stderr, "weir recover: %s\n", error.message);
        return EXIT_FAILED;
    }
    if (!l.n)
        printf("nothing is there\n");
    return EXIT_DONE;
}

/* ---- delivering ---- */

struct telling {
    bool terminal, shown;
    int64_t next_ms;
};

static void clear_line(struct telling *t)
{
    if (t->terminal && t->shown)
        fprintf(stderr, "\r\033[K");
    t->shown = false;
}

static void on_progress(void *context, const weir_recover_report *so_far)
{
    struct telling *t = context;
    int64_t now = clock_mono_ms();
    if (now < t->next_ms)
        return;
    clear_line(t);
    fprintf(stderr, "%" PRIu64 " records delivered, %" PRIu64 " of %" PRIu64 " backlogs so far finished%s", so_far->delivered,
            so_far->finished, so_far->backlogs, t->terminal ? "" : "\n");
    t->shown = true;
    t->next_ms = now + (t->terminal ? TERMINAL_MS : NO_TERMINAL_MS);
}

static void on_trouble(void *context, const char *name, uint64_t records, const char *message)
{
    char plain[260], why[400];
    clear_line(context);
    snprintf(plain, sizeof plain, "%s", name);
    snprintf(why, sizeof why, "%s", message);
    if (records)
        fprintf(stderr, "weir recover: %s: %" PRIu64 " records refused for good: %s\n", cli_plain(plain), records, cli_plain(why));
    else
        fprintf(stderr, "weir recover: %s: %s\n", cli_plain(plain), cli_plain(why));
}

static void sum_up(const weir_recover_report *r)
{
    printf("%" PRIu64 " records delivered from %" PRIu64 " backlogs", r->delivered, r->finished);
    if (r->refused)
        printf(", %" PRIu64 " refused for good", r->refused);
    if (r->torn)
        printf(", %" PRIu64 " were torn", r->torn);
    if (r->left)
        printf(", %" PRIu64 " left", r->left);
    printf("\n");
}

static int deliver(const struct recover_options *o, const char *dir, weir_exporter *exporter)
{
    struct telling t = {.terminal = isatty(STDERR_FILENO), .next_ms = clock_mono_ms() + QUIET_MS};
    weir_recover_options ro = weir_recover_options_init();
    weir_recover_report report = {.struct_size = sizeof report};
    weir_error error = {""};
    ro.service = o->service;
    ro.discard_refused = o->discard_refused;
    ro.timeout_ms = MAX(o->timeout / NS_PER_MS, (int64_t)1);
    ro.on_progress = on_progress;
    ro.on_trouble = on_trouble;
    ro.context = &t;
    bool ok = weir_recover(dir, exporter, &ro, &report, &error);
    clear_line(&t);
    sum_up(&report);
    if (!ok)
        fprintf(stderr, "weir recover: %s\n", error.message);
    return ok && !report.refused ? EXIT_DONE : EXIT_FAILED;
}

static bool protocol_of(const char *name, weir_otlp_protocol *ret)
{
    static const struct {
        const char *name;
        weir_otlp_protocol protocol;
    } rows[] = {{"grpc", WEIR_OTLP_GRPC}, {"http/protobuf", WEIR_OTLP_HTTP_PROTOBUF}, {"http/json", WEIR_OTLP_HTTP_JSON}};
    for (size_t i = 0; name && i < ARRAY_LEN(rows); i++)
        if (strcmp(name, rows[i].name) == 0) {
            *ret = rows[i].protocol;
            return true;
        }
    return !name;
}

/* As the variable of the same meaning: a base, unless the path of the signal is there. */
static void set_endpoint(const char *url)
{
    if (!url)
        return;
    bool whole = sv_ends(sv_of(url), SV("/v1/logs"));
    unsetenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT");
    setenv(whole ? "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT" : "OTEL_EXPORTER_OTLP_ENDPOINT", url, 1);
}

static int recover(const struct command *cmd, const struct recover_options *o, int argc, char **argv, int at)
{
    weir_otlp_options oo = weir_otlp_options_init();
    weir_error error = {""};
    const char *dir = at < argc ? argv[at] : NULL;
    set_endpoint(o->endpoint);
    if (argc - at > 1)
        snprintf(error.message, sizeof error.message, "unexpected '%.200s'; see weir recover --help", argv[at + 1]);
    else if (!protocol_of(o->protocol, &oo.protocol))
        snprintf(error.message, sizeof error.message, "--protocol is grpc, http/protobuf or http/json, not '%.100s'", o->protocol);
    else if (o->timeout < 0)
        snprintf(error.message, sizeof error.message, "--timeout is not negative");
    else if (o->list || o->dry_run)
        return list(o, dir);
    weir_exporter *exporter = *error.message ? NULL : weir_otlp_exporter_new(&oo, &error);
    if (!exporter) {
        fprintf(stderr, "weir %s: %s\n", cmd->name, error.message);
        return EXIT_USAGE;
    }
    int rc = deliver(o, dir, exporter);
    weir_exporter_free(exporter);
    return rc;
}

int cmd_recover(const struct command *cmd, int argc, char **argv)
{
    struct recover_options o = {0};
    struct option_group group = {"Options", table, &o};
    struct err e = {0};
    int at, rc = EXIT_FAILED;
    if (!options_defaults(table, &o, &e))
        rc = cli_fail(cmd, &e);
    else if (cli_options(cmd, &group, 1, argc, argv, &at, &rc))
        rc = recover(cmd, &o, argc, argv, at);
    options_done(table, &o);
    return rc;
}

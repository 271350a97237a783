/* cmd_run.c - `weir run -- COMMAND`: runs any program, and ships what it prints as log records through libweir.
 * (1) One loop with poll(): its two pipes, our stdout and stderr, signals. Nothing in it waits for the network: records go into
 *     the SDK's queue, whose thread sends them.
 * (2) Bytes pass through before anything else is done with them, and unchanged. Only who reads our output can hold the
 *     program up, as without us: above PENDING_MAX unwritten bytes we stop reading. When our output is closed, shipping goes on.
 * (3) The order of the start: fork, then the SDK (the resource has the child's pid), then exec. So the child exists, but is nothing
 *     yet, when the SDK says that its settings are wrong.
 * Bytes to records: lines.c, detect.c. Processes and signals: run_child.c. */
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/regex.h"
#include "base/vec.h"
#include "cli/cli.h"
#include "cli/detect.h"
#include "cli/lines.h"
#include "cli/run_child.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

#define READ_BYTES (256u << 10)
#define PENDING_MAX (1u << 20)
#define DRAIN_MORE (4u << 20) /* what is read at most once the time for draining is over */
/* What a write to a pipe that poll() calls ready takes without waiting (PIPE_BUF); files take all. */
#define WRITE_CAREFUL 4096u
#define WRITE_FILE (256u << 10)

struct run_options {
    char *service, *attr, *endpoint, *protocol, *multiline, *json, *stdout_severity, *stderr_severity, *spool_dir;
    bool quiet, keep_ansi, no_command_args, no_exit_record;
    uint64_t record_lines, record_bytes, ring_bytes, spool_max_bytes;
    int64_t flush_after, drain_timeout, shutdown_timeout;
};
static const struct option run_options[] = {
    OPT_ARG(STR, struct run_options, service, NULL, "NAME",
            "service.name of the records; else OTEL_SERVICE_NAME, else the program's name"),
    OPT_ARG(STR, struct run_options, attr, NULL, "KEY=VALUE", "a further resource attribute; may be given several times"),
    OPT_ARG(STR, struct run_options, endpoint, NULL, "URL",
            "OTLP receiver; else OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:4317"),
    OPT_ARG(STR, struct run_options, protocol, NULL, "PROTOCOL",
            "grpc or http/protobuf; else OTEL_EXPORTER_OTLP_PROTOCOL, else grpc"),
    OPT(BOOL, struct run_options, quiet, "false", "do not show the program's output, only ship it"),
    OPT_ARG(STR, struct run_options, multiline, "auto", "HOW",
            "which lines make one record: auto (stack traces, indented lines), off, or a regex of first lines"),
    OPT_ARG(STR, struct run_options, json, "auto", "auto|off", "read lines that are JSON objects: attributes, time, severity, trace"),
    OPT_ARG(STR, struct run_options, stdout_severity, "info", "LEVEL", "severity of lines on stdout that do not say theirs"),
    OPT_ARG(STR, struct run_options, stderr_severity, "unspecified", "LEVEL", "the same on stderr"),
    OPT(BOOL, struct run_options, keep_ansi, "false", "leave terminal colours in the records"),
    OPT(U64, struct run_options, record_lines, "1000", "most lines of one record; more come in parts"),
    OPT(BYTES, struct run_options, record_bytes, "256KiB", "most bytes of one record, at most 1MiB; more come in parts"),
    OPT(DURATION, struct run_options, flush_after, "500ms", "how long a record waits for a further line"),
    OPT(BOOL, struct run_options, no_command_args, "false", "do not send the arguments along (process.command_args)"),
    OPT(BOOL, struct run_options, no_exit_record, "false", "no last record with the exit code (process.exit.code)"),
    OPT_ARG(STR, struct run_options, spool_dir, NULL, "DIR",
            "where records wait until they are delivered, and outlive a crash; else WEIR_SPOOL_DIR; none: in memory"),
    OPT(BYTES, struct run_options, spool_max_bytes, "256MiB", "most bytes that wait there; then the oldest are dropped and counted"),
    OPT(BYTES, struct run_options, ring_bytes, "16MiB", "of them in memory, for bursts; at least four times --record-bytes"),
    OPT(DURATION, struct run_options, drain_timeout, "5s",
        "how long to read on when the program has ended but something it started has its output open"),
    OPT(DURATION, struct run_options, shutdown_timeout, "5s", "how long delivering the last records may take"),
    {0},
};

/* One of the program's outputs. */
struct stream {
    struct run *run;
    const char *name; /* of log.iostream */
    int severity;     /* of a record that does not say its own */
    int from;         /* its pipe; -1: at its end */
    int to;           /* ours; -1: closed, or not wanted */
    size_t careful;   /* bytes that a write to `to` takes at once */
    struct buf pending; /* for `to` */
    size_t written;     /* of `pending` */
    struct lines *lines;
    int64_t last_ns;    /* time of its latest record */
};

struct run {
    struct run_options opt;
    VEC(char *) attrs; /* "KEY=VALUE", as given */
    char **argv;       /* the program and its arguments */
    const char *program; /* its name without directories */
    struct regex *start;
    struct run_signals signals;
    struct run_child child;
    weir_provider *provider; /* NULL: switched off by the environment */
    weir_logger *logger;
    struct detector *detector;
    struct stream streams[2];
    char *bytes; /* READ_BYTES of them */
};

/* ---- settings ---- */

static bool severity_setting(const char *name, const char *text, int *ret, struct err *e)
{
    *ret = detect_level_word(sv_of(text));
    return *ret || sv_eq(sv_of(text), SV("unspecified")) ||
           err_set(e, ERR_INVALID, "--%s is trace, debug, info, warn, error, fatal or unspecified, not '%s'", name, text);
}

static bool check_settings(struct run *run, struct lines_config *lines, struct detect_config *detect, struct err *e)
{
    const struct run_options *o = &run->opt;
    sv how = sv_of(o->multiline), json = sv_of(o->json), protocol = sv_of(o->protocol);
    *lines = (struct lines_config){.max_lines = o->record_lines, .max_bytes = o->record_bytes, .flush_ns = o->flush_after};
    *detect = (struct detect_config){.json = sv_eq(json, SV("auto")), .keep_ansi = o->keep_ansi, .max_bytes = o->record_bytes};
    if (o->record_lines < 1 || o->record_bytes < LINES_BYTES_MIN || o->record_bytes > LINES_BYTES_MAX)
        return err_set(e, ERR_INVALID, "--record-lines is at least 1, --record-bytes %d to %d", LINES_BYTES_MIN, LINES_BYTES_MAX);
    if (o->flush_after < 0 || o->drain_timeout < 0 || o->shutdown_timeout < 0)
        return err_set(e, ERR_INVALID, "--flush-after, --drain-timeout and --shutdown-timeout are not negative");
    if (o->ring_bytes < 4 * o->record_bytes || o->ring_bytes > 1u << 30 || !o->spool_max_bytes)
        return err_set(e, ERR_INVALID, "--ring-bytes is four times --record-bytes to 1GiB, --spool-max-bytes at least 1");
    if (!detect->json && !sv_eq(json, SV("off")))
        return err_set(e, ERR_INVALID, "--json is auto or off, not '%s'", o->json);
    if (protocol.n && !sv_eq(protocol, SV("grpc")) && !sv_eq(protocol, SV("http/protobuf")))
        return err_set(e, ERR_INVALID, "--protocol is grpc or http/protobuf, not '%s'", o->protocol);
    if (sv_eq(how, SV("off"))) {
        lines->join = LINES_OFF;
    } else if (!sv_eq(how, SV("auto"))) {
        lines->join = LINES_REGEX;
        if (!regex_compile(how, 0, &run->start, e))
            return err_ctx(e, "--multiline");
        lines->start = run->start;
    }
    for (size_t i = 0; i < run->attrs.n; i++)
        if (!strchr(run->attrs.at[i], '=') || run->attrs.at[i][0] == '=')
            return err_set(e, ERR_INVALID, "--attr is KEY=VALUE, not '%s'", run->attrs.at[i]);
    return severity_setting("stdout-severity", o->stdout_severity, &run->streams[0].severity, e) &&
           severity_setting("stderr-severity", o->stderr_severity, &run->streams[1].severity, e);
}

static bool is_word(const char *word, const char *want)
{
    return word && strcmp(word, want) == 0;
}

/* Where the next --attr or --help stands, or the end. */
static int next_special(int argc, char **argv, int at)
{
    while (at < argc && !is_word(argv[at], "--help") && !is_word(argv[at], "--attr") && strncmp(argv[at], "--attr=", 7) != 0)
        at++;
    return at;
}

/* Options end at the program's name: what follows is its own. --attr may come several times, so they are read up to each.
 * False: the command is over. */
static bool read_options(const struct command *cmd, struct run *run, int argc, char **argv, int *ret_exit)
{
    const struct option_group group = {"Options", run_options, &run->opt};
    struct err e = {0};
    int at = 1;
    bool ok = options_defaults(run_options, &run->opt, &e), more = ok;
    while (more && !is_word(argv[at], "--help")) {
        int limit = next_special(argc, argv, at);
        limit = MIN(limit + (is_word(argv[limit], "--attr") ? 2 : limit < argc && !is_word(argv[limit], "--help")), argc);
        ok = options_parse_args(&group, 1, limit, argv, &at, &e);
        more = ok && at == limit && limit < argc && !is_word(argv[at - 1], "--");
        char **attr = ok && run->opt.attr ? vec_push(&run->attrs) : NULL;
        if (attr)
            *attr = TAKE(run->opt.attr);
    }
    if (ok && (more || (at < argc && is_word(argv[at], "-h") && !is_word(argv[at - 1], "--")))) {
        char *help[] = {argv[0], argv[at], NULL};
        return cli_options(cmd, &group, 1, 2, help, &at, ret_exit);
    }
    if (ok && at == argc)
        ok = err_set(&e, ERR_INVALID, "which program? see weir run --help");
    run->argv = argv + at;
    if (!ok) {
        cli_fail(cmd, &e);
        *ret_exit = EXIT_USAGE;
    }
    return ok;
}

/* ---- the SDK ---- */

static bool env_says(const char *name, const char *text)
{
    const char *value = getenv(name);
    return value && sv_eq_nocase(sv_trim(sv_of(value)), sv_of(text));
}

/* Whether OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES name the service. */
static bool service_named(void)
{
    size_t n = 0;
    weir_resource *usual = weir_resource_default();
    const weir_attr *a = weir_resource_attributes(usual, &n);
    bool named = false;
    for (size_t i = 0; i < n; i++)
        if (sv_eq(sv_make(a[i].key.data, a[i].key.size), SV("service.name")))
            named = !sv_starts(sv_make(a[i].value.as.string.data, a[i].value.as.string.size), SV("unknown_service"));
    weir_resource_free(usual);
    return named;
}

/* NULL when out of memory. */
static weir_resource *make_resource(const struct run *run)
{
    size_t n_args = 0, n = 0;
    while (run->argv[n_args])
        n_args++;
    weir_value *args = calloc(n_args, sizeof *args);
    weir_attr *attrs = calloc(run->attrs.n + 4, sizeof *attrs);
    weir_resource *resource = NULL;
    if (args && attrs) {
        for (size_t i = 0; i < n_args; i++)
            args[i] = weir_value_str(run->argv[i]);
        attrs[n++] = weir_i64("process.pid", run->child.pid);
        attrs[n++] = weir_str("process.executable.name", run->program);
        if (!run->opt.no_command_args)
            attrs[n++] = weir_array("process.command_args", args, n_args);
        if (run->opt.service || !service_named())
            attrs[n++] = weir_str("service.name", run->opt.service ? run->opt.service : run->program);
        for (size_t i = 0; i < run->attrs.n; i++) {
            sv value = sv_of(run->attrs.at[i]), key = sv_cut(&value, '=');
            attrs[n] = weir_any(NULL, weir_value_strn(value.p, value.n));
            attrs[n++].key = (weir_string){key.p, key.n};
        }
        resource = weir_resource_new(attrs, n, NULL);
    }
    free(args);
    free(attrs);
    return resource;
}

static weir_processor *make_processor(const struct run_options *o, weir_error *error)
{
    weir_otlp_options oo = weir_otlp_options_init();
    oo.endpoint = o->endpoint;
    if (o->protocol)
        oo.protocol = strcmp(o->protocol, "grpc") == 0 ? WEIR_OTLP_GRPC : WEIR_OTLP_HTTP_PROTOBUF;
    weir_batch_options bo = weir_batch_options_init();
    if (!getenv("OTEL_BLRP_MAX_QUEUE_SIZE"))
        bo.max_queue_size = (uint32_t)(o->ring_bytes / 1024);
    if (!getenv("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"))
        bo.max_export_batch_size = MIN(bo.max_queue_size, 2048u);
    if (!getenv("OTEL_BLRP_SCHEDULE_DELAY"))
        bo.schedule_delay_ms = 1000; /* somebody may be watching */
    bo.ring_bytes = o->ring_bytes;
    bo.spool_dir = o->spool_dir;
    bo.spool_max_bytes = o->spool_max_bytes;
    return weir_batch_processor_new(weir_otlp_exporter_new(&oo, error), &bo, error);
}

/* A directory that was asked for has to be there: libweir would go on in memory without it. */
static bool check_spool_dir(const char *dir, struct err *e)
{
    if (!dir || strcmp(dir, "none") == 0)
        return true;
    if (!io_mkdir_all(dir, e))
        return err_ctx(e, "--spool-dir");
    return access(dir, W_OK | X_OK) == 0 || err_sys(e, "--spool-dir: cannot write to '%s'", dir);
}

/* True with no provider: the environment wants no records. */
static bool start_sdk(struct run *run, struct err *e)
{
    if (env_says("OTEL_SDK_DISABLED", "true") || env_says("OTEL_LOGS_EXPORTER", "none"))
        return true;
    if (!check_spool_dir(run->opt.spool_dir, e))
        return false;
    weir_error error = {""};
    weir_resource *resource = make_resource(run);
    weir_provider_options po = weir_provider_options_init();
    po.resource = resource;
    if (!getenv("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT") && !getenv("OTEL_ATTRIBUTE_COUNT_LIMIT"))
        po.limits.attribute_count = 1024; /* fields of a program's JSON */
    weir_processor *batch = resource ? make_processor(&run->opt, &error) : NULL;
    run->provider = batch ? weir_provider_new(&po, &batch, 1, &error) : NULL;
    weir_resource_free(resource);
    if (!run->provider)
        return err_set(e, ERR_INVALID, "%s", *error.message ? error.message : "out of memory");
    run->logger = weir_provider_logger(run->provider, run->program, NULL, NULL, NULL, 0);
    return true;
}

/* ---- records ---- */

static void emit(struct run *run, weir_log_record *r)
{
    if (!r->severity_text.size)
        r->severity_text = weir_string_of(weir_severity_text(r->severity_number));
    weir_logger_emit(run->logger, r);
}

/* A record of lines.c is ready. */
static void ship(void *ctx, const struct lines_record *lr)
{
    struct stream *s = ctx;
    struct run *run = s->run;
    weir_log_record r;
    /* Lines that came in one read came one after the other: their order shows, and two equal ones are two records. */
    s->last_ns = MAX(lr->time_ns, s->last_ns + 1);
    detect(run->detector, lr->text, &r);
    if (!r.severity_number)
        r.severity_number = lr->failure ? WEIR_SEVERITY_ERROR : s->severity;
    if (!r.timestamp_ns)
        r.timestamp_ns = (uint64_t)s->last_ns;
    r.observed_timestamp_ns = (uint64_t)s->last_ns;
    detect_add(run->detector, &r, weir_str("log.iostream", s->name));
    if (lr->part) {
        detect_add(run->detector, &r, weir_i64("weir.line.part", lr->part));
        detect_add(run->detector, &r, weir_bool("weir.line.last", lr->last));
    }
    emit(run, &r);
}

/* How the program ended; `trouble` when it could not be run. */
static void ship_exit(struct run *run, int code, const char *trouble)
{
    char text[700];
    weir_log_record r = weir_log_record_init();
    int status = run->child.status, sig = !trouble && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    weir_attr attrs[2] = {weir_i64("process.exit.code", code)};
    if (trouble)
        snprintf(text, sizeof text, "%s", trouble);
    else if (sig)
        snprintf(text, sizeof text, "%s was ended by signal %d (%s)", run->program, sig, strsignal(sig));
    else
        snprintf(text, sizeof text, "%s ended with code %d", run->program, code);
    if (sig)
        attrs[1] = weir_i64("weir.exit.signal", sig);
    r.timestamp_ns = r.observed_timestamp_ns = (uint64_t)clock_wall_ns();
    r.severity_number = code ? WEIR_SEVERITY_ERROR : WEIR_SEVERITY_INFO;
    r.body = weir_value_str(text);
    r.attributes = attrs;
    r.n_attributes = sig ? 2 : 1;
    emit(run, &r);
}

/* ---- bytes ---- */

static void give_up_output(struct stream *s)
{
    s->to = -1;
    s->written = 0;
    buf_done(&s->pending);
}

/* Writes what our own output takes now, of `bytes`; how much that was. */
static size_t write_now(struct stream *s, sv bytes)
{
    size_t done = 0;
    while (s->to >= 0 && done < bytes.n) {
        struct pollfd ready = {.fd = s->to, .events = POLLOUT};
        if (poll(&ready, 1, 0) <= 0)
            break;
        ssize_t n = write(s->to, bytes.p + done, MIN(bytes.n - done, s->careful));
        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno == EAGAIN)
            break;
        else if (n == 0 || errno != EINTR)
            give_up_output(s); /* nobody reads it any more, or its disk is full: shipping goes on */
    }
    return done;
}

static void write_pending(struct stream *s)
{
    s->written += write_now(s, sv_from(buf_view(&s->pending), s->written));
    if (s->written == s->pending.n) {
        buf_reset(&s->pending);
        s->written = 0;
    }
}

static void pass(struct stream *s, sv bytes)
{
    size_t done = s->pending.n ? 0 : write_now(s, bytes);
    if (s->to < 0)
        return;
    buf_sv(&s->pending, sv_from(bytes, done));
    if (s->pending.failed) {
        log_error("run", "no memory to pass the program's %s through: it is not shown any more, but still shipped", s->name);
        give_up_output(s);
    }
}

/* One read. False: there is nothing now, or no more. */
static bool read_some(struct stream *s)
{
    struct run *run = s->run;
    ssize_t n = read(s->from, run->bytes, READ_BYTES);
    if (n > 0) {
        sv bytes = sv_make(run->bytes, (size_t)n);
        pass(s, bytes);
        lines_feed(s->lines, bytes, clock_wall_ns(), clock_mono_ns());
        return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(s->from);
        s->from = -1;
    }
    return false;
}

static bool reads_now(const struct stream *s)
{
    return s->from >= 0 && s->pending.n - s->written < PENDING_MAX;
}

/* Waits for something to do, until `until_ns`, and does it; the signal that asked for an end, or 0. */
static int turn(struct run *run, int64_t until_ns)
{
    struct pollfd fds[5] = {{.fd = run->signals.fd, .events = POLLIN}};
    for (int i = 0; i < 2; i++) {
        struct stream *s = &run->streams[i];
        fds[1 + i] = (struct pollfd){.fd = reads_now(s) ? s->from : -1, .events = POLLIN};
        fds[3 + i] = (struct pollfd){.fd = s->pending.n ? s->to : -1, .events = POLLOUT};
        until_ns = MIN(until_ns, lines_due(s->lines));
    }
    int64_t ns = until_ns == INT64_MAX ? -1 : MAX(until_ns - clock_mono_ns(), (int64_t)0);
    struct timespec wait = {ns / NS_PER_S, ns % NS_PER_S};
    if (ppoll(fds, ARRAY_LEN(fds), ns < 0 ? NULL : &wait, NULL) < 0)
        return 0;
    int asked = fds[0].revents ? run_child_signals(&run->child, &run->signals) : 0;
    for (int i = 0; i < 2; i++) {
        struct stream *s = &run->streams[i];
        if (fds[3 + i].revents)
            write_pending(s);
        if (fds[1 + i].revents)
            read_some(s);
        lines_tick(s->lines, clock_mono_ns());
    }
    return asked;
}

/* Until the program has ended and its pipes have; or the time for that is over. */
static void follow(struct run *run)
{
    int64_t until = INT64_MAX;
    bool asked = false;
    while (!run->child.ended || run->streams[0].from >= 0 || run->streams[1].from >= 0) {
        if (run->child.ended && until == INT64_MAX)
            until = clock_mono_ns() + run->opt.drain_timeout;
        if (clock_mono_ns() >= until || (run->child.ended && asked))
            break;
        asked |= turn(run, until) && run->child.ended;
    }
    for (int i = 0; i < 2; i++) {
        struct stream *s = &run->streams[i];
        for (size_t k = 0; s->from >= 0 && k < DRAIN_MORE / READ_BYTES && read_some(s); k++)
            ; /* what it wrote before it ended is there already */
        if (s->from >= 0)
            log_warn("run", "%s has ended, but something it started still holds its %s: not read any further (--drain-timeout)",
                     run->program, s->name);
        lines_end(s->lines);
    }
}

/* Our own output may be slower than the program was; a signal ends the waiting. */
static void write_rest(struct run *run)
{
    for (int i = 0; i < 2; i++)
        if (run->streams[i].from >= 0)
            close(TAKE_FD(run->streams[i].from));
    while (run->streams[0].pending.n || run->streams[1].pending.n)
        if (turn(run, INT64_MAX))
            return;
}

/* ---- all of it ---- */

static bool open_stream(struct run *run, int i, const struct lines_config *lines, struct err *e)
{
    struct stream *s = &run->streams[i];
    struct stat st;
    s->run = run;
    s->name = i ? "stderr" : "stdout";
    s->from = -1;
    s->to = run->opt.quiet ? -1 : i + 1;
    s->careful = fstat(i + 1, &st) == 0 && S_ISREG(st.st_mode) ? WRITE_FILE : WRITE_CAREFUL;
    return lines_new(lines, ship, s, &s->lines, e);
}

/* 0, 1 and 2 are to be what their numbers say: pipes of ours must not take their places. */
static void hold_standard_fds(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static bool prepare(const struct command *cmd, struct run *run, int *ret_exit)
{
    struct err e = {0};
    struct lines_config lines;
    struct detect_config detect;
    *ret_exit = EXIT_USAGE;
    bool ok = check_settings(run, &lines, &detect, &e);
    if (ok) {
        *ret_exit = EXIT_FAILED;
        run->bytes = malloc(READ_BYTES);
        ok = (run->bytes || err_nomem(&e)) && open_stream(run, 0, &lines, &e) && open_stream(run, 1, &lines, &e) &&
             detector_new(&detect, &run->detector, &e) && run_signals_take(&run->signals, &e) &&
             run_child_fork(run->argv, &run->signals, &run->child, &e);
    }
    if (ok && !start_sdk(run, &e)) {
        run_child_forget(&run->child);
        *ret_exit = EXIT_USAGE;
        ok = false;
    }
    if (!ok)
        cli_fail(cmd, &e);
    return ok;
}

static int run_program(const struct command *cmd, struct run *run)
{
    struct err e = {0};
    int code;
    run->streams[0].from = run->child.out;
    run->streams[1].from = run->child.err;
    bool ran = run_child_go(&run->child, run->argv[0], &e);
    if (ran) {
        follow(run);
        code = run_child_exit_code(&run->child);
    } else {
        cli_fail(cmd, &e);
        code = e.sys == ENOENT ? 127 : 126;
    }
    if (!run->opt.no_exit_record)
        ship_exit(run, code, ran ? NULL : e.msg);
    write_rest(run);
    if (run->provider) /* says itself what could not be delivered */
        weir_provider_shutdown(run->provider, run->opt.shutdown_timeout / NS_PER_MS);
    return code;
}

static void done(struct run *run)
{
    weir_provider_free(run->provider);
    for (int i = 0; i < 2; i++) {
        lines_free(run->streams[i].lines);
        buf_done(&run->streams[i].pending);
    }
    detector_free(run->detector);
    regex_free(run->start);
    free(run->bytes);
    for (size_t i = 0; i < run->attrs.n; i++)
        free(run->attrs.at[i]);
    vec_done(&run->attrs);
    options_done(run_options, &run->opt);
}

int cmd_run(const struct command *cmd, int argc, char **argv)
{
    struct run run = {.signals.fd = -1};
    int rc;
    hold_standard_fds();
    if (read_options(cmd, &run, argc, argv, &rc)) {
        const char *slash = strrchr(run.argv[0], '/');
        run.program = slash && slash[1] ? slash + 1 : run.argv[0];
        if (prepare(cmd, &run, &rc))
            rc = run_program(cmd, &run);
    }
    done(&run);
    return rc;
}

/* text_exporters_test.c - the file and console exporters: what they write, and that no line is torn or written twice. */
#include "base/io.h"
#include "base/log.h"
#include "base/test.h"
#include "otlp/json.h"
#include "otlp/write.h"
#include "sdk/pipeline.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

static void path_of(char path[200], const char *name)
{
    snprintf(path, 200, "%s/%s", test_dir(), name);
}

static void put_request(struct buf *b, const char *text)
{
    SCOPED(buf_done) struct buf json = {0};
    struct err e = {0};
    buf_fmt(&json, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"%s\"}}]}]}]}", text);
    CHECK_OK(otlp_from_json(buf_view(&json), NULL, b, &e), &e);
}

static weir_export_result export_text(weir_exporter *ex, const char *text, int64_t timeout_ms)
{
    SCOPED(buf_done) struct buf b = {0};
    weir_export_result r = {.code = 77};
    put_request(&b, text);
    ex->ops.export_logs(ex->self, &(struct weir_batch){.bytes = buf_view(&b), .n = 1}, timeout_ms, &r);
    return r;
}

/* A file's bodies, one a line: "a b c"; "torn" where a line is none. */
static void check_file(int line, const char *path, const char *want)
{
    SCOPED(buf_done) struct buf text = {0}, got = {0};
    struct err e = {0};
    CHECK_OK(io_read_file(AT_FDCWD, path, &text, &e), &e);
    CHECK(text.n == 0 || text.p[text.n - 1] == '\n');
    for (sv rest = buf_view(&text); rest.n;) {
        SCOPED(buf_done) struct buf bytes = {0};
        struct otlp_resource_logs rl;
        struct otlp_scope_logs sl;
        struct otlp_record r;
        sv one = sv_cut(&rest, '\n');
        bool whole = otlp_from_json(one, NULL, &bytes, NULL);
        struct otlp_iter i = otlp_resources(buf_view(&bytes)), k, n;
        whole = whole && otlp_next_resource(&i, &rl) && (k = otlp_scopes(&rl), otlp_next_scope(&k, &sl)) &&
                (n = otlp_records(&sl), otlp_next_record(&n, &r));
        sv body = whole ? otlp_read_value(r.body).text : SV("torn");
        buf_sv(&got, got.n ? SV(" ") : SV(""));
        buf_sv(&got, sv_sub(body, 0, 10));
    }
    if (!sv_eq(buf_view(&got), sv_of(want)))
        test_fail(__FILE__, line, "the file holds '" SV_FMT "', not '%s'", SV_ARG(buf_view(&got)), want);
}
#define CHECK_FILE(path, want) check_file(__LINE__, path, want)

static weir_exporter *file_exporter(const char *path)
{
    weir_error e = {""};
    weir_exporter *ex = weir_otlp_file_exporter_new(path, &e);
    if (!ex)
        test_fail(__FILE__, __LINE__, "no exporter: %s", e.message);
    return ex;
}

TEST(lines_are_appended)
{
    char path[200], moved[200];
    weir_error e = {""};
    path_of(path, "logs.jsonl");
    path_of(moved, "logs.jsonl.1");
    weir_exporter *ex = file_exporter(path), *other = file_exporter(path);
    REQUIRE(ex && other);
    CHECK_EQ(export_text(ex, "a", 1000).code, WEIR_EXPORT_OK);
    CHECK_EQ(export_text(other, "b", 1000).code, WEIR_EXPORT_OK);
    CHECK_EQ(export_text(ex, "c", 1000).code, WEIR_EXPORT_OK);
    CHECK_FILE(path, "a b c");
    REQUIRE(rename(path, moved) == 0);
    CHECK_EQ(export_text(ex, "d", 1000).code, WEIR_EXPORT_OK);
    CHECK_FILE(moved, "a b c");
    CHECK_FILE(path, "d");
    int fd = open(path, O_WRONLY | O_APPEND);
    CHECK(write(fd, "{\"half", 6) == 6 && close(fd) == 0);
    CHECK_EQ(export_text(ex, "e", 1000).code, WEIR_EXPORT_OK);
    CHECK_FILE(path, "d torn e"); /* a stranger's line; ours stands alone */
    CHECK_EQ(ex->ops.shutdown(ex->self, 0), WEIR_OK);
    CHECK_EQ(export_text(ex, "f", 1000).code, WEIR_EXPORT_RETRY);
    weir_exporter_free(ex);
    weir_exporter_free(other);
    CHECK(weir_otlp_file_exporter_new("/no/such/place", &e) == NULL);
    CHECK(strstr(e.message, "OTLP file exporter: cannot open '/no/such/place'") != NULL);
    CHECK(weir_otlp_file_exporter_new(test_dir(), &e) == NULL);
}

/* Each way that a write can fail: the line is not there, and is there once after the next try. */
TEST(a_full_disk_tears_no_line)
{
    char path[200];
    path_of(path, "full.jsonl");
    weir_exporter *ex = file_exporter(path);
    REQUIRE(ex != NULL);
    CHECK_EQ(export_text(ex, "a", 1000).code, WEIR_EXPORT_OK);
    static const size_t short_by[] = {0, 1, 30};
    for (size_t i = 0; i < ARRAY_LEN(short_by); i++)
        for (int cut = 0; cut < 3; cut++) { /* cutting back works, fails once, fails twice */
            struct io_fault faults[] = {
                {.op = IO_WRITE, .match = "full.jsonl", .times = 1, .sys = ENOSPC, .short_by = short_by[i]},
                {.op = IO_TRUNCATE, .match = "full.jsonl", .times = (uint32_t)cut, .sys = EIO},
            };
            io_faults_set(faults, cut ? 2 : 1);
            weir_export_result r = export_text(ex, "b", 1000);
            CHECK_EQ(r.code, WEIR_EXPORT_RETRY);
            CHECK(strstr(r.message, "full.jsonl': No space left on device") != NULL);
            if (cut == 2 && short_by[i])
                CHECK_EQ(export_text(ex, "b", 1000).code, WEIR_EXPORT_RETRY);
            CHECK_EQ(export_text(ex, "b", 1000).code, WEIR_EXPORT_OK);
            io_faults_set(NULL, 0);
            CHECK_FILE(path, "a b");
            CHECK(truncate(path, 0) == 0);
            CHECK_EQ(export_text(ex, "a", 1000).code, WEIR_EXPORT_OK);
        }
    weir_exporter_free(ex);
    weir_exporter *none = file_exporter("/dev/full");
    CHECK_EQ(export_text(none, "b", 1000).code, WEIR_EXPORT_RETRY);
    weir_exporter_free(none);
}

static void tend(void *ctx)
{
    ++*(int *)ctx;
}

TEST(a_locked_file_is_waited_for)
{
    char path[200];
    int turns = 0;
    path_of(path, "locked.jsonl");
    weir_exporter *ex = file_exporter(path);
    REQUIRE(ex != NULL);
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && flock(fd, LOCK_EX) == 0);
    SCOPED(buf_done) struct buf b = {0};
    put_request(&b, "a");
    struct weir_batch batch = {.bytes = buf_view(&b), .n = 1, .tend = tend, .tend_ctx = &turns};
    weir_export_result r;
    ex->ops.export_logs(ex->self, &batch, 20, &r);
    CHECK_EQ(r.code, WEIR_EXPORT_RETRY);
    CHECK(strstr(r.message, "locked by another process") != NULL);
    CHECK(turns > 0);
    close(fd);
    ex->ops.export_logs(ex->self, &batch, 1000, &r);
    CHECK_EQ(r.code, WEIR_EXPORT_OK);
    CHECK_FILE(path, "a");
    weir_exporter_free(ex);
}

TEST(processes_share_a_file)
{
    char path[200];
    SCOPED(buf_done) struct buf want = {0};
    path_of(path, "shared.jsonl");
    weir_exporter *ex = file_exporter(path);
    REQUIRE(ex != NULL);
    pid_t child[3];
    for (size_t i = 0; i < ARRAY_LEN(child); i++) {
        child[i] = fork();
        if (child[i] == 0) {
            ex->ops.after_fork(ex->self);
            int bad = 0;
            for (int n = 0; n < 100; n++)
                bad += export_text(ex, "same", 60000).code != WEIR_EXPORT_OK;
            _exit(bad != 0);
        }
        REQUIRE(child[i] > 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(child); i++) {
        int status = -1;
        CHECK(waitpid(child[i], &status, 0) == child[i] && status == 0);
    }
    for (int n = 0; n < 300; n++)
        buf_fmt(&want, "%ssame", n ? " " : "");
    buf_char(&want, 0);
    CHECK_FILE(path, want.p);
    weir_exporter_free(ex);
}

/* Standard output becomes a pipe that nobody empties for a while: what is left of a line comes first, and comes once. */
static int stdout_becomes(int fd)
{
    fflush(stdout);
    int was = dup(STDOUT_FILENO);
    dup2(fd, STDOUT_FILENO);
    return was;
}

static void stdout_is_back(int was)
{
    fflush(stdout);
    dup2(was, STDOUT_FILENO);
    close(was);
}

TEST(a_full_pipe_gets_the_rest_later)
{
    int end[2];
    SCOPED(buf_done) struct buf got = {0}, want = {0};
    char big[60000], room[4096];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    REQUIRE(pipe2(end, O_CLOEXEC) == 0);
    weir_exporter *ex = file_exporter(NULL);
    REQUIRE(ex != NULL);
    int was = stdout_becomes(end[1]);
    weir_export_result first = export_text(ex, "first", 1000), second = export_text(ex, big, 20), third = export_text(ex, big, 20),
                       again = export_text(ex, big, 20), other;
    for (ssize_t n; got.n < 30000 && (n = read(end[0], room, sizeof room)) > 0;)
        buf_put(&got, room, (size_t)n);
    again = export_text(ex, big, 20); /* the rest of the second, or of the one before it */
    fcntl(end[0], F_SETFL, O_NONBLOCK);
    do {
        for (ssize_t n; (n = read(end[0], room, sizeof room)) > 0;)
            buf_put(&got, room, (size_t)n);
        other = export_text(ex, "other", 20);
    } while (other.code == WEIR_EXPORT_RETRY);
    for (ssize_t n; (n = read(end[0], room, sizeof room)) > 0;)
        buf_put(&got, room, (size_t)n);
    close(end[0]);
    weir_export_result gone = export_text(ex, "nobody reads", 1000); /* and no SIGPIPE */
    stdout_is_back(was);
    close(end[1]);
    CHECK_EQ(first.code, WEIR_EXPORT_OK);
    CHECK_EQ(gone.code, WEIR_EXPORT_FAILED);
    int ok = (second.code == WEIR_EXPORT_OK) + (third.code == WEIR_EXPORT_OK) + (again.code == WEIR_EXPORT_OK);
    CHECK(ok < 3);
    /* whole lines only: first, those that were accepted and at most one that was not, other */
    int n_big = 0;
    sv rest = buf_view(&got);
    while (rest.n) {
        SCOPED(buf_done) struct buf bytes = {0};
        sv line = sv_cut(&rest, '\n');
        CHECK(otlp_from_json(line, NULL, &bytes, NULL));
        n_big += line.n > 1000;
    }
    CHECK(n_big == ok || n_big == ok + 1);
    CHECK(got.n && got.p[got.n - 1] == '\n');
    weir_exporter_free(ex);
}

TEST(the_console_shows_a_line_a_record)
{
    char path[200];
    weir_error e = {""};
    path_of(path, "console.txt");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    weir_processor *p = weir_simple_processor_new(weir_console_exporter_new(&e), &e);
    weir_attr name = weir_str("service.name", "my shop");
    weir_resource *r = weir_resource_new(&name, 1, NULL);
    weir_provider_options o = weir_provider_options_init();
    o.resource = r;
    weir_provider *provider = weir_provider_new(&o, &p, 1, &e);
    REQUIRE(provider != NULL);
    weir_logger *lg = weir_provider_logger(provider, "shop.orders", NULL, NULL, NULL, 0);
    weir_value list[] = {weir_value_i64(1), weir_value_str("two")};
    weir_attr attrs[] = {weir_i64("order", 7), weir_str("by", "a \"b\""), weir_str("empty", ""), weir_str("plain", "x\x1b[31m\xc2\x9b\xff\n"),
                         weir_array("list", list, 2)};
    weir_log_record rec = weir_log_record_init();
    rec.timestamp_ns = 1787306400123456789;
    rec.severity_number = WEIR_SEVERITY_INFO;
    rec.body = weir_value_str("order 7\r\naccepted \xc3\xa4");
    rec.attributes = attrs;
    rec.n_attributes = ARRAY_LEN(attrs);
    weir_log_record other = weir_log_record_init();
    other.timestamp_ns = 1787306400000000000;
    other.severity_number = WEIR_SEVERITY_WARN3;
    other.event_name = weir_string_of("moved");
    int was = stdout_becomes(fd);
    weir_logger_emit(lg, &rec);
    weir_logger_emit(lg, &other);
    stdout_is_back(was);
    SCOPED(buf_done) struct buf text = {0};
    struct err err = {0};
    CHECK_OK(io_read_file(AT_FDCWD, path, &text, &err), &err);
    CHECK_SV(buf_view(&text),
             SV("2026-08-21T10:00:00.123456Z INFO  shop.orders: order 7\\x0d\\x0aaccepted \xc3\xa4 order=7 by=\"a \\\"b\\\"\" empty=\"\""
                " plain=x\\x1b[31m\\x9b\xef\xbf\xbd\\x0a list=[1,\"two\"] service.name=\"my shop\"\n"
                "2026-08-21T10:00:00.000000Z WARN3 shop.orders:  event=moved service.name=\"my shop\"\n"));
    weir_provider_free(provider);
    weir_resource_free(r);
    close(fd);
}

/* weir_start() with this list of exporters; what one record then prints. */
static bool printed_with(const char *exporters, struct buf *ret)
{
    char path[200];
    weir_error e = {""};
    struct err err = {0};
    path_of(path, "start.txt");
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    setenv("OTEL_LOGS_EXPORTER", exporters, 1);
    int was = stdout_becomes(fd);
    weir_provider *p = weir_start("shop", &e);
    weir_info(weir_logger_get("start"), "hello");
    weir_result stopped = weir_stop(20000);
    stdout_is_back(was);
    close(fd);
    unsetenv("OTEL_LOGS_EXPORTER");
    CHECK(p != NULL && stopped == WEIR_OK);
    return io_read_file(AT_FDCWD, path, ret, &err);
}

static size_t count(sv text, sv what)
{
    size_t n = 0, at;
    for (; (at = sv_find(text, what)) != SV_NPOS; n++)
        text = sv_from(text, at + 1);
    return n;
}

TEST(start_takes_a_list_of_exporters)
{
    static const struct {
        const char *list;
        size_t console, json;
    } rows[] = {
        {"console", 1, 0}, {"logging", 1, 0}, {"otlp/stdout", 0, 1}, {"OTLP/stdout, Console,console", 1, 1}, {"none", 0, 0}, {",,", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(buf_done) struct buf got = {0};
        REQUIRE(printed_with(rows[i].list, &got));
        CHECK_EQ(count(buf_view(&got), SV(" INFO  start: hello code.")), rows[i].console);
        CHECK_EQ(count(buf_view(&got), SV("\"body\":{\"stringValue\":\"hello\"}")), rows[i].json);
        CHECK_EQ(count(buf_view(&got), SV("\n")), rows[i].console + rows[i].json);
    }
    weir_error e = {""};
    setenv("OTEL_LOGS_EXPORTER", "console,otlp", 1);
    setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke", 1);
    CHECK(weir_start(NULL, &e) == NULL);
    CHECK(strstr(e.message, "OTEL_EXPORTER_OTLP_PROTOCOL: 'smoke'") != NULL);
    unsetenv("OTEL_EXPORTER_OTLP_PROTOCOL");
    unsetenv("OTEL_LOGS_EXPORTER");
}

TEST(start_says_what_it_prints_itself)
{
    char path[200];
    weir_error e = {""};
    SCOPED(buf_done) struct buf got = {0};
    struct err err = {0};
    path_of(path, "stderr.txt");
    setenv("OTEL_LOGS_EXPORTER", "none", 1);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), was = dup(STDERR_FILENO);
    REQUIRE(fd >= 0 && was >= 0);
    dup2(fd, STDERR_FILENO);
    static const char *const levels[] = {"loud", "info", "ERROR", "warn"};
    bool warns[ARRAY_LEN(levels)];
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        setenv("OTEL_LOG_LEVEL", levels[i], 1);
        CHECK(weir_start(NULL, &e) != NULL && weir_stop(1000) == WEIR_OK);
        warns[i] = log_enabled(LOG_LEVEL_WARN);
    }
    dup2(was, STDERR_FILENO);
    close(was);
    close(fd);
    log_set_level(LOG_LEVEL_INFO);
    CHECK(warns[0] && warns[1] && !warns[2] && warns[3]);
    REQUIRE_OK(io_read_file(AT_FDCWD, path, &got, &err), &err);
    CHECK_EQ(count(buf_view(&got), SV("OTEL_LOG_LEVEL: 'loud' is not known")), 1);
    unsetenv("OTEL_LOG_LEVEL");
    unsetenv("OTEL_LOGS_EXPORTER");
}

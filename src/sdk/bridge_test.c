/* bridge_test.c - syslog(3) and lines of a FILE as records. */
#include "sdk/api_test.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/syslog.h>

static weir_provider *global_provider(struct seen *s)
{
    weir_provider *p = seen_provider(s, NULL);
    weir_provider_set_global(p);
    return p;
}
static void done(struct seen *s, weir_provider *p)
{
    closelog();
    openlog(NULL, 0, LOG_USER);
    setlogmask(LOG_UPTO(LOG_DEBUG));
    weir_provider_free(p);
    seen_done(s);
}

/* The first test, in a child: no message yet. It makes a provider, from the environment. */
TEST(an_unchanged_program_gets_a_provider)
{
    pid_t child = fork();
    if (child == 0) {
        setenv("OTEL_LOGS_EXPORTER", "none", 1);
        openlog("shopd", 0, LOG_USER);
        bool none_yet = weir_provider_global() == NULL;
        syslog(LOG_INFO, "hello");
        weir_provider *p = weir_provider_global();
        weir_stats st = {.struct_size = sizeof st};
        if (p)
            weir_provider_stats(p, &st);
        weir_error e = {""};
        bool ok = none_yet && p && st.emitted == 0; /* nothing to emit to, so not even formatted */
        ok = ok && !weir_start("x", &e) && *e.message;
        weir_stop(1000);
        syslog(LOG_INFO, "after the end"); /* is not a new beginning */
        _exit(ok && !weir_provider_global() ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
}

TEST(syslog_levels_become_severities)
{
    static const struct {
        int level, severity;
        const char *text;
    } want[] = {{LOG_EMERG, 21, "emerg"}, {LOG_ALERT, 19, "alert"},   {LOG_CRIT, 18, "crit"}, {LOG_ERR, 17, "err"},
                {LOG_WARNING, 13, "warning"}, {LOG_NOTICE, 10, "notice"}, {LOG_INFO, 9, "info"},  {LOG_DEBUG, 5, "debug"}};
    struct seen s;
    weir_provider *p = global_provider(&s);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        syslog(want[i].level, "level %zu of %s", i, "eight");
        CHECK_EQ(s.n, i + 1);
        CHECK_EQ(s.last.severity_number, want[i].severity);
        CHECK_SV(buf_view(&s.severity_text), sv_of(want[i].text));
    }
    CHECK_SV(buf_view(&s.body), SV("level 7 of eight"));
    CHECK_SV(buf_view(&s.scope), SV("sdk_bridge_test")); /* no openlog(): the program's name */
    CHECK_SV(buf_view(&s.attrs), SV("syslog.facility.code=1\nsyslog.facility.name=user\n"));
    CHECK(s.last.timestamp_ns > 0 && s.last.timestamp_ns == s.last.observed_timestamp_ns);
    done(&s, p);
}

TEST(openlog_gives_ident_facility_and_pid)
{
    struct seen s;
    char pid[24], ident[] = "shopd";
    weir_provider *p = global_provider(&s);
    openlog(ident, LOG_PID | LOG_NDELAY, LOG_LOCAL3);
    ident[0] = 'X'; /* copied */
    syslog(LOG_INFO, "x");
    snprintf(pid, sizeof pid, "%d", getpid());
    CHECK_SV(buf_view(&s.scope), SV("shopd"));
    CHECK_SV(seen_attr(&s, "syslog.facility.name"), SV("local3"));
    CHECK_SV(seen_attr(&s, "syslog.procid"), sv_of(pid));
    syslog(LOG_MAIL | LOG_INFO, "x"); /* its own facility wins */
    CHECK_SV(seen_attr(&s, "syslog.facility.code"), SV("2"));
    openlog(NULL, 0, 0); /* leaves ident and facility */
    syslog(LOG_INFO, "x");
    CHECK_SV(buf_view(&s.scope), SV("shopd"));
    CHECK_SV(seen_attr(&s, "syslog.facility.name"), SV("local3"));
    CHECK(seen_attr(&s, "syslog.procid").p == NULL);
    closelog();
    syslog(LOG_INFO | (99 << 3), "x"); /* a facility that nobody knows */
    CHECK_SV(buf_view(&s.scope), SV("sdk_bridge_test"));
    CHECK_SV(seen_attr(&s, "syslog.facility.code"), SV("99"));
    CHECK_SV(seen_attr(&s, "syslog.facility.name"), SV(""));
    done(&s, p);
}

TEST(the_mask_and_percent_m)
{
    struct seen s;
    weir_provider *p = global_provider(&s);
    CHECK_EQ(setlogmask(0), 0xff);
    CHECK_EQ(setlogmask(LOG_UPTO(LOG_WARNING)), 0xff);
    syslog(LOG_INFO, "not this");
    CHECK_EQ(s.n, 0);
    CHECK_EQ(setlogmask(0), LOG_UPTO(LOG_WARNING));
    errno = ENOENT;
    syslog(LOG_ERR, "open: %m, %d\n", 5);
    CHECK_EQ(errno, ENOENT);
    CHECK_SV(buf_view(&s.body), SV("open: No such file or directory, 5"));
    errno = EACCES;
    syslog(LOG_ERR, "%01999d %m", 7); /* longer than the room on the stack */
    CHECK_EQ(s.body.n, 2000 + strlen("Permission denied"));
    CHECK(sv_ends(buf_view(&s.body), SV("7 Permission denied")));
    syslog(LOG_ERR, "%s", "");
    CHECK_EQ(s.body.n, 0);
    CHECK_EQ(s.n, 3);
    done(&s, p);
}

TEST(perror_prints_too)
{
    struct seen s;
    char path[300], got[400] = "", want[200];
    weir_provider *p = global_provider(&s);
    snprintf(path, sizeof path, "%s/stderr", test_dir());
    int file = open(path, O_RDWR | O_CREAT, 0600), stderr_was = dup(STDERR_FILENO);
    REQUIRE(file >= 0 && stderr_was >= 0);
    dup2(file, STDERR_FILENO);
    openlog("shopd", LOG_PERROR | LOG_PID, LOG_DAEMON);
    syslog(LOG_INFO, "one %d\n", 1);
    openlog("shopd", LOG_PERROR, LOG_DAEMON);
    syslog(LOG_INFO, "two");
    openlog("shopd", 0, LOG_DAEMON);
    syslog(LOG_INFO, "three");
    dup2(stderr_was, STDERR_FILENO);
    CHECK(pread(file, got, sizeof got - 1, 0) > 0);
    snprintf(want, sizeof want, "shopd[%d]: one 1\nshopd: two\n", getpid());
    CHECK_STR(got, want);
    CHECK_EQ(s.n, 3);
    close(file);
    close(stderr_was);
    done(&s, p);
}

/* ---- lines ---- */

TEST(lines_of_a_stream_become_records)
{
    struct seen s;
    weir_provider *p = seen_provider(&s, NULL);
    FILE *f = weir_file_new(weir_provider_logger(p, "child", NULL, NULL, NULL, 0), WEIR_SEVERITY_WARN2, NULL);
    REQUIRE(f != NULL);
    fprintf(f, "one %d\n", 1);
    CHECK_EQ(s.n, 1); /* line buffered: at once */
    CHECK_SV(buf_view(&s.body), SV("one 1"));
    CHECK_EQ(s.last.severity_number, WEIR_SEVERITY_WARN2);
    CHECK_SV(buf_view(&s.severity_text), SV("WARN2"));
    fputs("\n\r\n", f); /* empty lines are none */
    CHECK_EQ(s.n, 1);
    fputs("two", f);
    fflush(f);
    CHECK_EQ(s.n, 1);
    fputs(" and a half\r", f);
    fflush(f);
    fputs("\nthree\rfour\n", f);
    CHECK_EQ(s.n, 3);
    CHECK_SV(buf_view(&s.body), SV("three\rfour")); /* a lone CR is text */
    fputs("a\nb\nc\nunfinished", f);
    CHECK_EQ(s.n, 6);
    CHECK_EQ(fclose(f), 0);
    CHECK_EQ(s.n, 7);
    CHECK_SV(buf_view(&s.body), SV("unfinished"));
    f = weir_file_new(NULL, 0, NULL);
    REQUIRE(f != NULL);
    CHECK(fputs("nowhere\n", f) >= 0 && fclose(f) == 0);
    weir_provider_free(p);
    seen_done(&s);
}

/* `n` bytes of x, then `end`, then LF. */
static void write_long(FILE *f, size_t n, const char *end)
{
    for (size_t i = 0; i < n; i++)
        putc('x', f);
    fputs(end, f);
    putc('\n', f);
}

TEST(long_lines_are_cut_between_characters)
{
    struct seen s;
    weir_provider *p = seen_provider(&s, NULL);
    FILE *f = weir_file_new(weir_provider_logger(p, "child", NULL, NULL, NULL, 0), WEIR_SEVERITY_INFO, NULL);
    REQUIRE(f != NULL);
    write_long(f, WEIR_FILE_LINE_MAX, "");
    CHECK_EQ(s.n, 1); /* not one more, empty */
    CHECK_EQ(s.body.n, WEIR_FILE_LINE_MAX);
    write_long(f, WEIR_FILE_LINE_MAX - 1, "\xc3\xa4");
    CHECK_EQ(s.n, 3);
    CHECK_SV(buf_view(&s.body), SV("\xc3\xa4"));
    write_long(f, WEIR_FILE_LINE_MAX - 3, "\xf0\x9f\x8c\xb5tail");
    CHECK_EQ(s.n, 5);
    CHECK_SV(buf_view(&s.body), SV("\xf0\x9f\x8c\xb5tail"));
    write_long(f, WEIR_FILE_LINE_MAX - 5, "\x80\x80\x80\x80\x80\x80\x80"); /* not UTF-8: cut anywhere, nothing lost */
    CHECK_EQ(s.n, 7);
    CHECK_EQ(sv_of_weir(s.last.body.as.string).n, 2);
    write_long(f, 3 * WEIR_FILE_LINE_MAX + 1, "");
    CHECK_EQ(s.n, 11);
    CHECK_SV(buf_view(&s.body), SV("x"));
    fclose(f);
    weir_provider_free(p);
    seen_done(&s);
}

/* api_test.c - the API against the specification, point by point: "Logs API" and "Logs SDK" of the OpenTelemetry specification.
 * Each point is a test of that name, here or (in brackets) elsewhere.
 *
 * LoggerProvider
 *   the same name, version, schema URL, attributes: the same logger  [sdk_test: loggers_are_the_same_for_the_same_scope]
 *   an empty name: a working logger, its name kept, a message        a_logger_without_a_name_works
 *   after shutdown: a no-op logger; emitting does nothing            after_shutdown_all_is_a_no_op
 *   global provider: set, get                                        [sdk_test: loggers_are_the_same_for_the_same_scope]
 *   flush and shutdown reach each processor, once for shutdown       flush_and_shutdown_reach_every_processor
 * Logger
 *   every field of a record                                          [sdk_test: a_record_arrives_with_all_its_fields]
 *   observed time: now, unless given; time: stays unset              times_of_a_record
 *   severity number and text: as given, none made up                 nothing_is_made_up
 *   trace context: the given one, else the thread's                  the_trace_context_is_the_given_or_the_current_one
 *   event name                                                       events_have_a_name
 *   exception: becomes attributes; the caller's win                  an_exception_becomes_attributes_unless_they_are_there
 *   Enabled: severity, event name and context; asks processors       enabled_asks_the_processors
 *   Enabled: false without processors                                nobody_listens
 *   emit does not ask Enabled                                        emit_does_not_ask_enabled
 *   no-op: nothing happens, nothing is checked, nothing is said      the_no_op_logger_is_silent
 *   any thread                                                       [sdk_test: many_threads_lose_nothing_uncounted]
 * LoggerConfig: enabled, minimum severity, trace based; updates      a_configurator_decides_for_each_logger,
 *                                                                    a_trace_based_logger_drops_what_is_not_sampled
 * Processors in order, changes seen by the next                      [sdk_test: a_processor_changes_what_the_next_one_sees]
 * Attribute limits                                                   [sdk_test: limits_discard_and_count]
 * Resource                                                           [resource_test, detect_test] */
#include "sdk/api_test.h"
#include <fcntl.h>
#include <unistd.h>

/* ---- LoggerProvider ---- */

/* What is written on stderr from begin to end, as text. */
static int stderr_was, stderr_file;
static void stderr_begin(void)
{
    char path[300];
    snprintf(path, sizeof path, "%s/stderr", test_dir());
    stderr_file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    stderr_was = dup(STDERR_FILENO);
    dup2(stderr_file, STDERR_FILENO);
}
static const char *stderr_end(void)
{
    static char text[4096];
    dup2(stderr_was, STDERR_FILENO);
    ssize_t n = pread(stderr_file, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    close(stderr_was);
    close(stderr_file);
    return text;
}

TEST(a_logger_without_a_name_works)
{
    struct seen s;
    weir_provider *p = seen_provider(&s, NULL);
    stderr_begin();
    weir_logger *empty = weir_provider_logger(p, "", NULL, NULL, NULL, 0), *null = weir_provider_logger(p, NULL, NULL, NULL, NULL, 0);
    const char *said = stderr_end();
    CHECK(strstr(said, "a logger without a name") != NULL);
    CHECK(strstr(strstr(said, "without a name") + 1, "without a name") == NULL); /* once */
    CHECK(empty && null == empty);
    weir_info(empty, "x");
    CHECK_EQ(s.n, 1);
    CHECK_EQ(s.scope.n, 0);
    weir_provider_free(p);
    seen_done(&s);
}

TEST(after_shutdown_all_is_dropped_and_counted)
{
    struct seen s;
    weir_provider *p = seen_provider(&s, NULL);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    CHECK(weir_logger_enabled(lg, WEIR_SEVERITY_INFO, NULL));
    CHECK_EQ(weir_provider_shutdown(p, 1000), WEIR_OK);
    CHECK(!weir_logger_enabled(lg, WEIR_SEVERITY_INFO, NULL));
    weir_log_record r = weir_log_record_init();
    weir_logger_emit(lg, &r);
    weir_info(lg, "x");
    weir_infof(lg, "%d", 1);
    weir_event(lg, WEIR_SEVERITY_INFO, "x");
    weir_info(NULL, "x");
    CHECK_EQ(s.n, 0);
    weir_stats st = {.struct_size = sizeof st};
    weir_provider_stats(p, &st);
    CHECK_EQ(st.dropped_after_shutdown, 4);
    CHECK_EQ(st.emitted, 0);
    CHECK(weir_provider_logger(p, "x", NULL, NULL, NULL, 0) == NULL);
    CHECK_EQ(weir_provider_shutdown(p, 1000), WEIR_SHUT_DOWN);
    CHECK_EQ(weir_provider_force_flush(p, 1000), WEIR_SHUT_DOWN);
    weir_provider_free(p);
    seen_done(&s);
}

TEST(what_is_not_wanted_anyway_is_not_counted_as_dropped)
{
    struct seen s;
    weir_provider_options o = weir_provider_options_init();
    o.minimum_severity = WEIR_SEVERITY_WARN;
    weir_provider *p = seen_provider(&s, &o);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    CHECK_EQ(weir_provider_shutdown(p, 1000), WEIR_OK);
    weir_info(lg, "too low");
    weir_error(lg, "high enough");
    weir_stats st = {.struct_size = sizeof st};
    weir_provider_stats(p, &st);
    CHECK_EQ(st.dropped_after_shutdown, 1);
    weir_provider_free(p);
    seen_done(&s);
}

TEST(a_negative_severity_is_none)
{
    struct seen s;
    weir_provider_options o = weir_provider_options_init();
    o.minimum_severity = WEIR_SEVERITY_WARN; /* which records without a severity pass */
    weir_provider *p = seen_provider(&s, &o);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    CHECK(weir_logger_enabled(lg, -1, NULL));
    weir_log_record r = weir_log_record_init();
    r.severity_number = INT32_MIN;
    weir_logger_emit(lg, &r);
    CHECK_EQ(s.n, 1);
    CHECK_EQ(s.last.severity_number, 0);
    weir_log(lg, -7, "x");
    CHECK_EQ(s.n, 2);
    CHECK_EQ(s.last.severity_number, 0);
    weir_provider_free(p);
    seen_done(&s);
}

struct counted { /* a processor that counts what it is asked */
    int emits, flushes, shutdowns, asked, last_severity;
    bool enabled;
    weir_result answer;
    char last_event[20];
};
static void counted_emit(void *self, weir_record *record UNUSED)
{
    ((struct counted *)self)->emits++;
}
static bool counted_enabled(void *self, int severity_number, const char *event_name)
{
    struct counted *c = self;
    c->asked++;
    c->last_severity = severity_number;
    snprintf(c->last_event, sizeof c->last_event, "%s", event_name ? event_name : "(none)");
    return c->enabled;
}
static weir_result counted_flush(void *self, int64_t timeout_ms UNUSED)
{
    struct counted *c = self;
    c->flushes++;
    return c->answer;
}
static weir_result counted_shutdown(void *self, int64_t timeout_ms UNUSED)
{
    struct counted *c = self;
    c->shutdowns++;
    return c->answer;
}
static const weir_processor_ops counted_ops = {sizeof counted_ops, counted_emit, counted_enabled, counted_flush, counted_shutdown, NULL};

TEST(flush_and_shutdown_reach_every_processor)
{
    struct counted a = {.answer = WEIR_TIMEOUT}, b = {.answer = WEIR_OK};
    weir_processor *ps[] = {weir_processor_new(&counted_ops, &a), weir_processor_new(&counted_ops, &b)};
    weir_provider *p = weir_provider_new(NULL, ps, 2, NULL);
    CHECK_EQ(weir_provider_force_flush(p, 1000), WEIR_TIMEOUT); /* the first trouble is told, and stops nothing */
    CHECK(a.flushes == 1 && b.flushes == 1);
    a.answer = WEIR_OK;
    CHECK_EQ(weir_provider_force_flush(p, 1000), WEIR_OK);
    b.answer = WEIR_FAILED;
    CHECK_EQ(weir_provider_shutdown(p, 1000), WEIR_FAILED);
    CHECK_EQ(weir_provider_shutdown(p, 1000), WEIR_SHUT_DOWN);
    weir_provider_free(p);
    CHECK(a.shutdowns == 1 && b.shutdowns == 1 && a.flushes == 2);
}

/* ---- Logger ---- */

TEST(times_of_a_record)
{
    struct seen s;
    weir_provider *p = seen_provider(&s, NULL);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    weir_log_record r = weir_log_record_init();
    uint64_t before = (uint64_t)clock_wall_ns();
    weir_logger_emit(lg, &r);
    CHECK(s.last.observed_timestamp_ns >= before && s.last.observed_timestamp_ns <= (uint64_t)clock_wall_ns());
    CHECK_EQ(s.last.timestamp_ns, 0);
    r.timestamp_ns = 5;
    r.observed_timestamp_ns = 7;
    weir_logger_emit(lg, &r);
    CHECK(s.last.timestamp_ns == 5 && s.last.observed_timestamp_ns == 7);
    weir_provider_free(p);
    seen_done(&s);
}

TEST(nothing_is_made_up)
{
    struct seen s;
    weir_provider *p = seen_provider(&s, NULL);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    weir_log_record r = weir_log_record_init();
    weir_logger_emit(lg, &r);
    CHECK_EQ(s.last.severity_number, 0);
    CHECK(s.severity_text.n == 0 && s.event.n == 0 && s.attrs.n == 0);
    CHECK_EQ(s.last.body.kind, WEIR_EMPTY);
    r.severity_number = WEIR_SEVERITY_INFO;
    weir_logger_emit(lg, &r);
    CHECK_EQ(s.severity_text.n, 0); /* the text is the source's own word: there was none */
    r.severity_number = 0;
    r.severity_text = weir_string_of("notice");
    r.n_attributes = 3; /* of none */
    weir_logger_emit(lg, &r);
    CHECK_EQ(s.last.severity_number, 0);
    CHECK_SV(buf_view(&s.severity_text), SV("notice"));
    CHECK_EQ(s.n, 3);
    weir_provider_free(p);
    seen_done(&s);
}

TEST(the_trace_context_is_the_given_or_the_current_one)
{
    struct seen s;
    weir_provider *p = seen_provider(&s, NULL);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    weir_log_record r = weir_log_record_init();
    weir_trace_context current, own, none = {{0}, {0}, 0};
    weir_trace_context_new(&current);
    weir_trace_context_new(&own);
    weir_logger_emit(lg, &r);
    CHECK(memcmp(&s.trace, &none, sizeof none) == 0);
    weir_trace_context_set_current(&current);
    weir_logger_emit(lg, &r);
    CHECK(memcmp(&s.trace, &current, sizeof current) == 0);
    r.trace = &own;
    weir_logger_emit(lg, &r);
    CHECK(memcmp(&s.trace, &own, sizeof own) == 0);
    r.trace = &none; /* expressly none */
    weir_logger_emit(lg, &r);
    CHECK(memcmp(&s.trace, &none, sizeof none) == 0);
    weir_trace_context_set_current(NULL);
    weir_provider_free(p);
    seen_done(&s);
}

TEST(events_have_a_name)
{
    struct seen s;
    int evaluated = 0;
    weir_provider_options o = weir_provider_options_init();
    o.minimum_severity = WEIR_SEVERITY_INFO;
    weir_provider *p = seen_provider(&s, &o);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    weir_event(lg, WEIR_SEVERITY_WARN, "order.lost", weir_i64("id", ++evaluated));
    CHECK_SV(buf_view(&s.event), SV("order.lost"));
    CHECK_EQ(s.last.body.kind, WEIR_EMPTY);
    CHECK_EQ(s.last.severity_number, WEIR_SEVERITY_WARN);
    CHECK_SV(seen_attr(&s, "id"), SV("1"));
    CHECK_SV(seen_attr(&s, "code.function.name"), sv_of(__func__));
    CHECK(s.last.timestamp_ns > 0);
    weir_event(lg, WEIR_SEVERITY_DEBUG, "order.lost", weir_i64("id", ++evaluated));
    weir_event(NULL, WEIR_SEVERITY_WARN, "order.lost", weir_i64("id", ++evaluated));
    weir_event(lg, WEIR_SEVERITY_UNSPECIFIED, "plain");
    CHECK(s.n == 2 && evaluated == 1);
    weir_provider_free(p);
    seen_done(&s);
}

TEST(enabled_asks_the_processors)
{
    struct counted a = {.enabled = false}, b = {.enabled = true};
    weir_processor *ps[] = {weir_processor_new(&counted_ops, &a), weir_processor_new(&counted_ops, &b)};
    weir_provider *p = weir_provider_new(NULL, ps, 2, NULL);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    CHECK(weir_logger_enabled(lg, WEIR_SEVERITY_WARN, "order.lost"));
    CHECK(a.last_severity == WEIR_SEVERITY_WARN && b.last_severity == WEIR_SEVERITY_WARN);
    CHECK_STR(a.last_event, "order.lost");
    b.enabled = false;
    CHECK(!weir_logger_enabled(lg, 0, NULL)); /* asked anew each time, and all say no */
    CHECK_STR(b.last_event, "(none)");
    weir_provider_free(p);
}

TEST(emit_does_not_ask_enabled)
{
    struct counted a = {.enabled = false};
    weir_processor *pr = weir_processor_new(&counted_ops, &a);
    weir_provider *p = weir_provider_new(NULL, &pr, 1, NULL);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    weir_log_record r = weir_log_record_init();
    weir_logger_emit(lg, &r);
    CHECK(a.emits == 1 && a.asked == 0);
    weir_info(lg, "x"); /* the macros do */
    CHECK(a.emits == 1 && a.asked == 1);
    weir_provider_free(p);
}

TEST(nobody_listens)
{
    weir_provider *p = weir_provider_new(NULL, NULL, 0, NULL);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    REQUIRE(lg != NULL);
    CHECK(!weir_logger_enabled(lg, WEIR_SEVERITY_FATAL4, NULL));
    weir_log_record r = weir_log_record_init();
    weir_logger_emit(lg, &r);
    CHECK_EQ(weir_provider_force_flush(p, 1000), WEIR_OK);
    weir_provider_free(p);
}

TEST(the_no_op_logger_is_silent)
{
    weir_log_record r = weir_log_record_init();
    stderr_begin();
    weir_logger *lg = weir_logger_get(NULL), *other = weir_provider_logger(NULL, "", NULL, NULL, NULL, 7);
    weir_logger_emit(lg, &r);
    weir_logger_emit(lg, NULL);
    weir_log_at(lg, NULL, 99, NULL, NULL, 5);
    weir_logf_at(lg, NULL, -1, "%d", 1);
    weir_event_at(lg, NULL, 0, NULL, NULL, 0);
    bool enabled = weir_logger_enabled(lg, 9, NULL) || weir_logger_enabled_in(lg, NULL, 9, "e");
    CHECK_STR(stderr_end(), "");
    CHECK(!lg && !other && !enabled);
}

TEST(an_exception_becomes_attributes_unless_they_are_there)
{
    struct seen s;
    weir_provider *p = seen_provider(&s, NULL);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    weir_exception x = {weir_string_of("shop::out_of_stock"), weir_string_of("no monstera"), weir_string_of("#0 buy")};
    weir_log_record r = weir_log_record_init();
    weir_attr own[] = {weir_str("exception.message", "my own"), weir_i64("n", 1)};
    r.exception = &x;
    weir_logger_emit(lg, &r);
    CHECK_SV(buf_view(&s.attrs),
             SV("exception.type=shop::out_of_stock\nexception.message=no monstera\nexception.stacktrace=#0 buy\n"));
    r.attributes = own;
    r.n_attributes = 2;
    weir_logger_emit(lg, &r);
    CHECK_SV(buf_view(&s.attrs), SV("exception.message=my own\nn=1\nexception.type=shop::out_of_stock\nexception.stacktrace=#0 buy\n"));
    x = (weir_exception){0}; /* nothing is known of it: nothing is said */
    weir_logger_emit(lg, &r);
    CHECK_SV(buf_view(&s.attrs), SV("exception.message=my own\nn=1\n"));
    weir_provider_free(p);
    seen_done(&s);
}

/* A program built against an older header has a shorter record: what lies behind it is not read. */
TEST(a_shorter_record_has_no_exception)
{
    struct seen s;
    weir_provider *p = seen_provider(&s, NULL);
    weir_logger *lg = weir_provider_logger(p, "x", NULL, NULL, NULL, 0);
    weir_log_record r = weir_log_record_init();
    r.struct_size = offsetof(weir_log_record, exception);
    r.exception = (const weir_exception *)(uintptr_t)8;
    weir_logger_emit(lg, &r);
    CHECK_EQ(s.n, 1);
    CHECK_EQ(s.attrs.n, 0);
    weir_provider_free(p);
    seen_done(&s);
}

TEST(a_backtrace_is_whole_lines)
{
    char all[8192], some[8192];
    size_t n = weir_backtrace(all, sizeof all);
    CHECK(n > 0 && n == strlen(all) && all[n - 1] == '\n');
    CHECK(sv_starts(sv_of(all), SV("#0 0x")));
    CHECK(strstr(all, "api_test") != NULL); /* the program's own frames are among them */
    CHECK(strstr(all, "\n#1 0x") != NULL);
    for (size_t room = 1; room < 300; room++) {
        memset(some, 'x', sizeof some);
        size_t got = weir_backtrace(some, room);
        CHECK(got < room && some[got] == 0 && (got == 0 || some[got - 1] == '\n'));
        CHECK(some[room] == 'x');
    }
    CHECK_EQ(weir_backtrace(NULL, 0), 0);
}

/* ---- LoggerConfig ---- */

struct rules { /* of the configurator below */
    size_t calls;
    weir_logger_config for_db;
    bool db_only_of_team_a;
};

static void configure(void *context, const weir_scope *scope, weir_logger_config *config)
{
    struct rules *r = context;
    r->calls++;
    CHECK(config->enabled && config->minimum_severity == WEIR_SEVERITY_INFO && !config->trace_based); /* the defaults */
    bool team_a = scope->n_attributes == 1 && sv_eq(sv_of_weir(scope->attributes[0].value.as.string), SV("a"));
    if (sv_eq(sv_of_weir(scope->name), SV("db")) && (!r->db_only_of_team_a || team_a))
        *config = r->for_db;
    if (sv_eq(sv_of_weir(scope->version), SV("9")) && sv_eq(sv_of_weir(scope->schema_url), SV("https://s")))
        config->enabled = false;
}

static bool gets_through(struct seen *s, weir_logger *lg, int severity)
{
    weir_log_record r = weir_log_record_init();
    size_t before = s->n;
    r.severity_number = severity;
    bool enabled = weir_logger_enabled(lg, severity, NULL);
    weir_logger_emit(lg, &r);
    CHECK_EQ(s->n - before, enabled); /* both apply the same rules, each by itself */
    return enabled;
}

TEST(a_configurator_decides_for_each_logger)
{
    struct seen s;
    struct rules rules = {.for_db = {true, WEIR_SEVERITY_WARN, false}};
    weir_provider_options o = weir_provider_options_init();
    o.minimum_severity = WEIR_SEVERITY_INFO;
    o.configure_logger = configure;
    o.configure_context = &rules;
    weir_provider *p = seen_provider(&s, &o);
    weir_attr team = weir_str("team", "a");
    weir_logger *db = weir_provider_logger(p, "db", NULL, NULL, NULL, 0), *web = weir_provider_logger(p, "web", "1", NULL, NULL, 0);
    weir_logger *db_a = weir_provider_logger(p, "db", NULL, NULL, &team, 1);
    weir_logger *off = weir_provider_logger(p, "web", "9", "https://s", NULL, 0);
    CHECK_EQ(rules.calls, 4);
    CHECK(weir_provider_logger(p, "db", NULL, NULL, NULL, 0) == db);
    CHECK_EQ(rules.calls, 4); /* asked once for each, not each time one is asked for */
    CHECK(gets_through(&s, web, WEIR_SEVERITY_INFO) && !gets_through(&s, web, WEIR_SEVERITY_DEBUG));
    CHECK(gets_through(&s, db, WEIR_SEVERITY_WARN) && !gets_through(&s, db, WEIR_SEVERITY_INFO));
    CHECK(gets_through(&s, db, WEIR_SEVERITY_UNSPECIFIED)); /* has no severity that could be too low */
    CHECK(!gets_through(&s, off, WEIR_SEVERITY_FATAL) && !gets_through(&s, off, WEIR_SEVERITY_UNSPECIFIED));

    rules.for_db.enabled = false;
    rules.db_only_of_team_a = true;
    CHECK(gets_through(&s, db_a, WEIR_SEVERITY_WARN)); /* not before the update */
    weir_provider_update_loggers(p);
    CHECK_EQ(rules.calls, 8);
    CHECK(!gets_through(&s, db_a, WEIR_SEVERITY_FATAL));
    CHECK(gets_through(&s, db, WEIR_SEVERITY_INFO)); /* the default again */
    weir_provider_update_loggers(NULL);
    weir_provider_free(p);
    seen_done(&s);
}

TEST(a_trace_based_logger_drops_what_is_not_sampled)
{
    struct seen s;
    struct rules rules = {.for_db = {true, WEIR_SEVERITY_WARN, true}};
    weir_provider_options o = weir_provider_options_init();
    o.minimum_severity = WEIR_SEVERITY_INFO;
    o.configure_logger = configure;
    o.configure_context = &rules;
    weir_provider *p = seen_provider(&s, &o);
    weir_logger *db = weir_provider_logger(p, "db", NULL, NULL, NULL, 0);
    weir_trace_context t;
    CHECK(gets_through(&s, db, WEIR_SEVERITY_WARN)); /* no span, no sampling decision */
    weir_trace_context_new(&t);
    weir_trace_context_set_current(&t);
    CHECK(gets_through(&s, db, WEIR_SEVERITY_WARN));
    CHECK(!gets_through(&s, db, WEIR_SEVERITY_INFO)); /* severity first */
    t.flags = 2;                                      /* whatever else is set, not sampled */
    weir_trace_context_set_current(&t);
    CHECK(!gets_through(&s, db, WEIR_SEVERITY_WARN));
    CHECK(!gets_through(&s, db, WEIR_SEVERITY_UNSPECIFIED));
    weir_log_record r = weir_log_record_init();
    weir_trace_context sampled;
    weir_trace_context_new(&sampled);
    CHECK(weir_logger_enabled_in(db, &sampled, 0, NULL) && !weir_logger_enabled_in(db, &t, 0, NULL));
    r.trace = &sampled; /* its own context counts, not the thread's */
    size_t before = s.n;
    weir_logger_emit(db, &r);
    CHECK_EQ(s.n, before + 1);
    r.trace = &t;
    weir_trace_context_set_current(&sampled);
    weir_logger_emit(db, &r);
    CHECK_EQ(s.n, before + 1);
    weir_trace_context_set_current(NULL);
    weir_provider_free(p);
    seen_done(&s);
}

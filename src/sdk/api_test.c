/* api_test.c - the API against the specification, point by point: "Logs API" and "Logs SDK" of the OpenTelemetry specification.
 * Each point is a test of that name, here or (in brackets) elsewhere.
 *
 * Exceptions: given ones become attributes; the caller's attributes win. */
#include "sdk/api_test.h"

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

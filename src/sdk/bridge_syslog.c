/* bridge_syslog.c - syslog(3)'s functions as records: see weir/bridge.h. Their state is the process's, as in libc: one ident, one set
 * of options. Severities: OpenTelemetry, "Logs Data Model", appendix B, the same way as our syslog receivers read them. */
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "sdk/fork.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>
#include <weir/log.h>
#include <weir/bridge.h>
#include <weir/sdk.h>

static const struct {
    int severity;
    const char *text;
} levels[8] = {
    [LOG_EMERG] = {WEIR_SEVERITY_FATAL, "emerg"},  [LOG_ALERT] = {WEIR_SEVERITY_ERROR3, "alert"},
    [LOG_CRIT] = {WEIR_SEVERITY_ERROR2, "crit"},   [LOG_ERR] = {WEIR_SEVERITY_ERROR, "err"},
    [LOG_WARNING] = {WEIR_SEVERITY_WARN, "warning"}, [LOG_NOTICE] = {WEIR_SEVERITY_INFO2, "notice"},
    [LOG_INFO] = {WEIR_SEVERITY_INFO, "info"},     [LOG_DEBUG] = {WEIR_SEVERITY_DEBUG, "debug"},
};
static const char *const facilities[] = {
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
};

struct settings {
    char ident[256]; /* empty: the program's name */
    int option, facility;
};
static struct lock mu = LOCK_INIT;
static struct settings current = {.facility = LOG_USER}; /* under mu */
static _Atomic int mask = 0xff;

static void before_fork(struct fork_hook *h UNUSED)
{
    lock_acquire(&mu);
}
static void after_fork_parent(struct fork_hook *h UNUSED)
{
    lock_release(&mu);
}
static void after_fork_child(struct fork_hook *h UNUSED)
{
    lock_init(&mu);
}
static struct fork_hook hook = {before_fork, after_fork_parent, after_fork_child, NULL};

static void watch_forks(void)
{
    fork_hook_add(&hook);
}
static struct lock *settings_lock(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    return &mu;
}

void weir_openlog(const char *ident, int option, int facility)
{
    LOCK_SCOPED(settings_lock());
    if (ident)
        snprintf(current.ident, sizeof current.ident, "%s", ident);
    current.option = option;
    if (facility && !(facility & ~LOG_FACMASK))
        current.facility = facility;
}

void weir_closelog(void)
{
    LOCK_SCOPED(settings_lock());
    current.ident[0] = 0;
}

int weir_setlogmask(int new_mask)
{
    return new_mask ? atomic_exchange(&mask, new_mask) : atomic_load(&mask);
}

/* A program that knows nothing of us has no provider. */
static void start(void)
{
    weir_error error = {""};
    if (!weir_provider_global() && !weir_start(NULL, &error))
        log_warn("sdk", "syslog messages go nowhere: %s", error.message);
}

/* The message, in `room` or, when it is longer, in memory of its own; without memory cut to the room. */
static PRINTF_LIKE(3, 0) char *format_message(char *room, size_t size, const char *format, va_list arguments, int error, size_t *ret_n)
{
    va_list again;
    va_copy(again, arguments);
    errno = error; /* for %m */
    int n = vsnprintf(room, size, format, arguments);
    char *text = room, *more;
    if (n >= (int)size && (more = malloc((size_t)n + 1))) {
        errno = error;
        n = vsnprintf(more, (size_t)n + 1, format, again);
        text = more;
    }
    va_end(again);
    *ret_n = n < 0 ? 0 : text == room ? MIN((size_t)n, size - 1) : (size_t)n;
    return text;
}

static void emit(weir_logger *lg, int priority, const struct settings *s, sv message)
{
    int level = LOG_PRI(priority), facility = (priority & LOG_FACMASK) >> 3;
    char pid[24];
    snprintf(pid, sizeof pid, "%d", getpid());
    const weir_attr attrs[] = {
        weir_i64("syslog.facility.code", facility),
        weir_str("syslog.facility.name", facility < (int)ARRAY_LEN(facilities) ? facilities[facility] : NULL),
        weir_str("syslog.procid", pid),
    };
    weir_log_record r = weir_log_record_init();
    r.timestamp_ns = r.observed_timestamp_ns = (uint64_t)clock_wall_ns();
    r.severity_number = levels[level].severity;
    r.severity_text = weir_string_of(levels[level].text);
    r.body = weir_value_strn(message.p, message.n);
    r.attributes = attrs;
    r.n_attributes = s->option & LOG_PID ? 3 : 2;
    weir_logger_emit(lg, &r);
}

void weir_vsyslog(int priority, const char *format, va_list arguments)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int error = errno;
    char room[1024];
    size_t n;
    if (!(LOG_MASK(LOG_PRI(priority)) & atomic_load_explicit(&mask, memory_order_relaxed)))
        return;
    pthread_once(&once, start);
    lock_acquire(settings_lock());
    struct settings s = current;
    lock_release(&mu);
    if (!*s.ident)
        snprintf(s.ident, sizeof s.ident, "%s", program_invocation_short_name);
    if (!(priority & LOG_FACMASK))
        priority |= s.facility;
    weir_logger *lg = weir_logger_get(s.ident);
    if ((s.option & LOG_PERROR) || weir_log_wanted(lg, levels[LOG_PRI(priority)].severity, NULL)) {
        char *text = format_message(room, sizeof room, format, arguments, error, &n);
        if (n && text[n - 1] == '\n')
            n--;
        emit(lg, priority, &s, sv_make(text, n));
        char pid[24] = "";
        if (s.option & LOG_PID)
            snprintf(pid, sizeof pid, "[%d]", getpid());
        if (s.option & LOG_PERROR)
            dprintf(STDERR_FILENO, "%s%s: %.*s\n", s.ident, pid, (int)n, text);
        if (text != room)
            free(text);
    }
    errno = error;
}

void weir_syslog(int priority, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    weir_vsyslog(priority, format, arguments);
    va_end(arguments);
}

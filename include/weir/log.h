/** @file log.h
 *  The comfortable layer: one line of code per log line.
 *
 *      weir_info(lg, "user {user} logged in after {ms} ms", weir_str("user", name), weir_i64("ms", took));
 *      weir_warnf(lg, "retrying in %d s", delay);
 *
 *  weir_trace, weir_debug, weir_info, weir_warn, weir_error, weir_fatal take a message and any number of attributes
 *  (value.h). A `{key}` in the message shows the attribute of that key; other braces stay as they are, and so does a
 *  message without attributes. The attributes are sent as such, so nothing is said twice.
 *  The same names with an `f` behind them take a printf format and its arguments, checked by the compiler.
 *
 *  weir_event(lg, severity, "order.lost", attributes...) is an event: a name for its class, attributes, no message.
 *
 *  Every record carries the severity, the time, and where it was logged: code.file.path, code.line.number,
 *  code.function.name (semantic conventions, "Code"). Arguments are not evaluated when the logger is not enabled for
 *  the severity. Any thread; C11 and C++11. */
#ifndef WEIR_LOG_H
#define WEIR_LOG_H

#include <weir/logs.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One place in the source that logs; made by the macros, one static per place. */
typedef struct weir_site {
    const char *file, *function;
    uint32_t line;
    uint32_t reserved;
    void *cache; /* the library's own */
} weir_site;

/** What the macros call; `attributes` may be NULL when n_attributes is 0. First,
 *  weir_logger_enabled() for who is about to emit: a record that is not wanted because the provider was shut down is counted. */
WEIR_API bool weir_log_wanted(weir_logger *logger, int severity_number, const char *event_name);
WEIR_API void weir_log_at(weir_logger *logger, weir_site *site, int severity_number, const char *message,
                          const weir_attr *attributes, size_t n_attributes);
WEIR_API void weir_logf_at(weir_logger *logger, weir_site *site, int severity_number, const char *format, ...)
    WEIR_PRINTF(4, 5);
WEIR_API void weir_event_at(weir_logger *logger, weir_site *site, int severity_number, const char *event_name,
                            const weir_attr *attributes, size_t n_attributes);

#ifdef __cplusplus
}
namespace weir_detail
{
inline weir_attr end() { return weir_strn(nullptr, nullptr, 0); }
typedef void (*call)(weir_logger *, weir_site *, int, const char *, const weir_attr *, size_t);
template <class... Attrs>
inline void with_list(call function, weir_logger *logger, weir_site *site, int severity, const char *text, const Attrs &...attrs)
{
    const weir_attr list[] = {attrs...};
    function(logger, site, severity, text, list, sizeof...(attrs) - 1);
}
}
#define WEIR_END_ weir_detail::end()
#define WEIR_CALL_(function, logger, site, severity, text, ...)                                                        \
    weir_detail::with_list(function, logger, site, severity, text, __VA_ARGS__)
#else
#define WEIR_END_ weir_strn(NULL, NULL, 0)
#define WEIR_CALL_(function, logger, site, severity, text, ...)                                                        \
    function(logger, site, severity, text, (const weir_attr[]){__VA_ARGS__},                                          \
             sizeof((const weir_attr[]){__VA_ARGS__}) / sizeof(weir_attr) - 1)
#endif

/* The attribute list always ends with one that is not counted, so that it may be empty otherwise. */
#define WEIR_LOG_(logger, severity, ...)                                                                              \
    do {                                                                                                              \
        static weir_site weir_site_ = {__FILE__, __func__, __LINE__, 0, NULL};                                        \
        weir_logger *weir_logger_ = (logger);                                                                         \
        if (weir_log_wanted(weir_logger_, severity, NULL))                                                            \
            WEIR_CALL_(weir_log_at, weir_logger_, &weir_site_, severity, __VA_ARGS__);                                \
    } while (0)
#define WEIR_EVENT_(logger, severity, name, ...)                                                                      \
    do {                                                                                                              \
        static weir_site weir_site_ = {__FILE__, __func__, __LINE__, 0, NULL};                                        \
        weir_logger *weir_logger_ = (logger);                                                                         \
        const char *weir_name_ = (name);                                                                              \
        if (weir_log_wanted(weir_logger_, severity, weir_name_))                                                      \
            WEIR_CALL_(weir_event_at, weir_logger_, &weir_site_, severity, weir_name_, __VA_ARGS__);                  \
    } while (0)
#define WEIR_LOGF_(logger, severity, ...)                                                                             \
    do {                                                                                                              \
        static weir_site weir_site_ = {__FILE__, __func__, __LINE__, 0, NULL};                                        \
        weir_logger *weir_logger_ = (logger);                                                                         \
        if (weir_log_wanted(weir_logger_, severity, NULL))                                                            \
            weir_logf_at(weir_logger_, &weir_site_, severity, __VA_ARGS__);                                           \
    } while (0)

/** Any severity number: weir_log(lg, WEIR_SEVERITY_INFO2, "message", attributes...). */
#define weir_log(logger, severity, ...) WEIR_LOG_(logger, severity, __VA_ARGS__, WEIR_END_)
#define weir_trace(logger, ...) WEIR_LOG_(logger, WEIR_SEVERITY_TRACE, __VA_ARGS__, WEIR_END_)
#define weir_debug(logger, ...) WEIR_LOG_(logger, WEIR_SEVERITY_DEBUG, __VA_ARGS__, WEIR_END_)
#define weir_info(logger, ...) WEIR_LOG_(logger, WEIR_SEVERITY_INFO, __VA_ARGS__, WEIR_END_)
#define weir_warn(logger, ...) WEIR_LOG_(logger, WEIR_SEVERITY_WARN, __VA_ARGS__, WEIR_END_)
#define weir_error(logger, ...) WEIR_LOG_(logger, WEIR_SEVERITY_ERROR, __VA_ARGS__, WEIR_END_)
#define weir_fatal(logger, ...) WEIR_LOG_(logger, WEIR_SEVERITY_FATAL, __VA_ARGS__, WEIR_END_)

/** weir_event(lg, WEIR_SEVERITY_INFO, "order.lost", attributes...): the severity, then the name of the event's class. */
#define weir_event(logger, severity, ...) WEIR_EVENT_(logger, severity, __VA_ARGS__, WEIR_END_)

#define weir_logf(logger, severity, ...) WEIR_LOGF_(logger, severity, __VA_ARGS__)
#define weir_tracef(logger, ...) WEIR_LOGF_(logger, WEIR_SEVERITY_TRACE, __VA_ARGS__)
#define weir_debugf(logger, ...) WEIR_LOGF_(logger, WEIR_SEVERITY_DEBUG, __VA_ARGS__)
#define weir_infof(logger, ...) WEIR_LOGF_(logger, WEIR_SEVERITY_INFO, __VA_ARGS__)
#define weir_warnf(logger, ...) WEIR_LOGF_(logger, WEIR_SEVERITY_WARN, __VA_ARGS__)
#define weir_errorf(logger, ...) WEIR_LOGF_(logger, WEIR_SEVERITY_ERROR, __VA_ARGS__)
#define weir_fatalf(logger, ...) WEIR_LOGF_(logger, WEIR_SEVERITY_FATAL, __VA_ARGS__)

#endif

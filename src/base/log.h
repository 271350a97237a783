/* log.h - our own log: one line on stderr per event, `2026-08-21T10:00:00.000Z info collector: message`.
 * Only mains and pipeline edges log; libraries return errors. Repeated messages from one place are rate-limited: at most
 * 10 a second, then a count of how many were left out. Any thread. */
#pragma once
#include "base/sv.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct log_site {
    _Atomic int64_t window; /* second of the current window */
    _Atomic uint32_t n, left_out;
};

void log_set_level(enum log_level level);
bool log_level_of(sv name, enum log_level *ret); /* "debug", "info", "warn", "error" */
bool log_enabled(enum log_level level);
void log_write(struct log_site *site, enum log_level level, const char *part, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* part: the module or component, e.g. "store" or "otlphttp/logs". */
#define LOG(level, part, ...)                                                                                     \
    do {                                                                                                          \
        static struct log_site log_site_;                                                                         \
        if (log_enabled(level))                                                                                   \
            log_write(&log_site_, (level), (part), __VA_ARGS__);                                                  \
    } while (0)
#define log_debug(part, ...) LOG(LOG_LEVEL_DEBUG, part, __VA_ARGS__)
#define log_info(part, ...) LOG(LOG_LEVEL_INFO, part, __VA_ARGS__)
#define log_warn(part, ...) LOG(LOG_LEVEL_WARN, part, __VA_ARGS__)
#define log_error(part, ...) LOG(LOG_LEVEL_ERROR, part, __VA_ARGS__)

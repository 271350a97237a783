/* log.c - see log.h. A line is built in a fixed buffer and written by one write(2), so lines of threads do not mix;
 * control characters of quoted input are shown as escapes, so nobody can forge a line or colour a terminal. */
#include "base/log.h"
#include "base/clock.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define PER_SECOND 10

static _Atomic int threshold = LOG_LEVEL_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, (int)level);
}

bool log_level_of(sv name, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
        if (sv_eq_nocase(name, sv_of(level_names[i]))) {
            *ret = (enum log_level)i;
            return true;
        }
    return false;
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

/* True when this line may go out; *left_out gets the number suppressed since the last one that did. */
static bool admit(struct log_site *site, uint32_t *left_out)
{
    int64_t now = clock_mono_ns() / NS_PER_S, was = atomic_load(&site->window);
    *left_out = 0;
    if (was != now && atomic_compare_exchange_strong(&site->window, &was, now)) {
        atomic_store(&site->n, 0);
        *left_out = atomic_exchange(&site->left_out, 0);
    }
    if (atomic_fetch_add(&site->n, 1) < PER_SECOND)
        return true;
    atomic_fetch_add(&site->left_out, 1);
    return false;
}

void log_write(struct log_site *site, enum log_level level, const char *part, const char *fmt, ...)
{
    uint32_t left_out;
    if (!admit(site, &left_out))
        return;
    char when[36], text[1024], line[4300];
    clock_format_rfc3339(clock_wall_ns(), 3, when);
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (len < 0)
        return;
    size_t n = (size_t)snprintf(line, sizeof line, "%s %-5s %s: ", when, level_names[level], part);
    for (size_t i = 0; text[i] && n < sizeof line - 64; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f)
            n += (size_t)snprintf(line + n, sizeof line - n, "\\x%02x", c);
        else
            line[n++] = (char)c;
    }
    if (left_out)
        n += (size_t)snprintf(line + n, sizeof line - n, " (%u more like this left out)", left_out);
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, n) < 0)
        return; /* nowhere left to say it */
}

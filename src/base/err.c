/* err.c - see err.h. */
#include "base/err.h"
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill(struct err *e, enum err_code code, int sys, size_t pos, const char *fmt, va_list ap)
{
    e->code = code;
    e->sys = sys;
    e->pos = pos;
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    if (sys && n >= 0 && (size_t)n < sizeof e->msg) {
        char text[96];
        snprintf(e->msg + n, sizeof e->msg - (size_t)n, ": %s", strerror_r(sys, text, sizeof text));
    }
}

bool err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    if (!e)
        return false;
    va_list ap;
    va_start(ap, fmt);
    fill(e, code, 0, 0, fmt, ap);
    va_end(ap);
    return false;
}

bool err_at(struct err *e, enum err_code code, size_t pos, const char *fmt, ...)
{
    if (!e)
        return false;
    va_list ap;
    va_start(ap, fmt);
    fill(e, code, 0, pos, fmt, ap);
    va_end(ap);
    return false;
}

static enum err_code code_of(int sys)
{
    switch (sys) {
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case ENOMEM:
        return ERR_NOMEM;
    case ENOENT:
        return ERR_NOT_FOUND;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    default:
        return ERR_IO;
    }
}

bool err_sys(struct err *e, const char *fmt, ...)
{
    int sys = errno;
    if (!e)
        return false;
    va_list ap;
    va_start(ap, fmt);
    fill(e, code_of(sys), sys, 0, fmt, ap);
    va_end(ap);
    return false;
}

bool err_sys_code(struct err *e, int sys, const char *fmt, ...)
{
    if (!e)
        return false;
    va_list ap;
    va_start(ap, fmt);
    fill(e, code_of(sys), sys, 0, fmt, ap);
    va_end(ap);
    return false;
}

bool err_ctx(struct err *e, const char *fmt, ...)
{
    if (!e)
        return false;
    char head[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(head, sizeof head, fmt, ap);
    va_end(ap);
    if (n < 0)
        return false;
    size_t len = MIN((size_t)n, sizeof head - 3);
    size_t room = sizeof e->msg - len - 3; /* ": " and the NUL */
    size_t tail = strnlen(e->msg, sizeof e->msg - 1);
    if (tail > room)
        tail = room;
    memmove(e->msg + len + 2, e->msg, tail);
    memcpy(e->msg, head, len);
    memcpy(e->msg + len, ": ", 2);
    e->msg[len + 2 + tail] = 0;
    return false;
}

bool err_nomem(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory");
}

const char *err_code_name(enum err_code code)
{
    static const char *const names[] = {
        [ERR_NONE] = "none",         [ERR_PARSE] = "parse",       [ERR_INVALID] = "invalid",
        [ERR_LIMIT] = "limit",       [ERR_UNSUPPORTED] = "unsupported", [ERR_NOT_FOUND] = "not_found",
        [ERR_IO] = "io",             [ERR_FULL] = "full",         [ERR_CORRUPT] = "corrupt",
        [ERR_NOMEM] = "no_memory",   [ERR_TIMEOUT] = "timeout",   [ERR_CANCELLED] = "cancelled",
        [ERR_UNAVAILABLE] = "unavailable", [ERR_CLOSED] = "closed",
    };
    return (size_t)code < ARRAY_LEN(names) && names[code] ? names[code] : "unknown";
}

static _Atomic(void (*)(void)) on_failure;

void assert_on_failure(void (*fn)(void))
{
    atomic_store(&on_failure, fn);
}

void assert_failed(const char *cond, const char *file, int line, const char *func)
{
    fprintf(stderr, "weir: internal error: %s is false at %s:%d (%s). Please report this.\n", cond, file, line, func);
    void (*fn)(void) = atomic_load(&on_failure);
    if (fn)
        fn();
    abort();
}

void mem_free(void *p)
{
    free(p);
}

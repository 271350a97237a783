/* exception.c - what a record says of an exception (weir/logs.h), and the stack as text. An exception is rare and costly anyway,
 * so it becomes plain attributes before the processors run: they, the limits and the encoder need not know of it. */
#include "sdk/encode.h"
#include "sdk/pipeline.h"
#include <dlfcn.h>
#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>

static bool has(const weir_log_record *r, sv key)
{
    for (size_t i = 0; i < r->n_attributes; i++)
        if (sv_eq(sv_of_weir(r->attributes[i].key), key))
            return true;
    return false;
}

void record_add_exception(struct weir_record *rec)
{
    const weir_exception *x = rec->r.exception;
    const struct {
        const char *key;
        weir_string text;
    } facts[] = {{"exception.type", x->type}, {"exception.message", x->message}, {"exception.stacktrace", x->stacktrace}};
    for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
        sv text = sv_of_weir(facts[i].text);
        if (text.n && !has(weir_record_get(rec), sv_of(facts[i].key)))
            (void)!weir_record_set_attribute(rec, weir_strn(facts[i].key, text.p, text.n));
    }
    rec->r.exception = NULL; /* said */
}

/* ---- the stack ---- */

#define FRAMES_MAX 128

/* Appends a whole line, or nothing. */
static PRINTF_LIKE(3, 4) bool line(sv room, size_t *n, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf((char *)room.p + *n, room.n - *n, fmt, ap);
    va_end(ap);
    if (len < 0 || (size_t)len >= room.n - *n) {
        ((char *)room.p)[*n] = 0;
        return false;
    }
    *n += (size_t)len;
    return true;
}

/* A return address stands behind its call, maybe already in the next function: one less is inside. */
static bool frame_line(sv room, size_t *n, int i, const void *address)
{
    Dl_info in = {0};
    const char *at = (const char *)address - 1;
    if (!dladdr(at, &in) || !in.dli_fname)
        return line(room, n, "#%d %p\n", i, address);
    if (!in.dli_sname)
        return line(room, n, "#%d %p (%s+%#tx)\n", i, address, in.dli_fname, at - (const char *)in.dli_fbase);
    return line(room, n, "#%d %p %s+%#tx (%s+%#tx)\n", i, address, in.dli_sname, at - (const char *)in.dli_saddr, in.dli_fname,
                at - (const char *)in.dli_fbase);
}

__attribute__((noinline)) size_t weir_backtrace(char *buffer, size_t size)
{
    void *frames[FRAMES_MAX];
    size_t len = 0;
    if (!size)
        return 0;
    buffer[0] = 0;
    int n = backtrace(frames, FRAMES_MAX);
    for (int i = 1; i < n && frame_line(sv_make(buffer, size), &len, i - 1, frames[i]); i++)
        ;
    return len;
}

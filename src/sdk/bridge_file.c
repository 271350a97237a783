/* bridge_file.c - weir_file_new(): a stdio stream whose lines become records. stdio's own lock on the stream is what makes the
 * functions here run one at a time. */
#include "base/clock.h"
#include "base/sv.h"
#include "sdk/pipeline.h"
#include <stdlib.h>
#include <weir/bridge.h>

struct file {
    weir_logger *lg;
    int severity;
    size_t n;
    char line[WEIR_FILE_LINE_MAX]; /* the unfinished one */
};

static void emit_line(struct file *f, sv line)
{
    if (!line.n)
        return;
    weir_log_record r = weir_log_record_init();
    r.timestamp_ns = r.observed_timestamp_ns = (uint64_t)clock_wall_ns();
    r.severity_number = f->severity;
    r.severity_text = weir_string_of(weir_severity_text(f->severity));
    r.body = weir_value_strn(line.p, line.n);
    weir_logger_emit(f->lg, &r);
}

/* The line is full: emits it up to the end of its last whole character. */
static void emit_full(struct file *f)
{
    size_t keep = 0;
    while (keep < 3 && ((unsigned char)f->line[f->n - 1 - keep] & 0xc0) == 0x80)
        keep++;
    if ((unsigned char)f->line[f->n - 1 - keep] >= 0xc0)
        keep++; /* the first byte of a character goes with the rest of it, */
    else
        keep = 0; /* unless these are not UTF-8 */
    emit_line(f, sv_make(f->line, f->n - keep));
    memmove(f->line, f->line + f->n - keep, keep);
    f->n = keep;
}

static ssize_t file_write(void *cookie, const char *bytes, size_t size)
{
    struct file *f = cookie;
    for (sv rest = sv_make(bytes, size); rest.n;) {
        size_t lf = sv_find_char(rest, '\n');
        sv part = sv_sub(rest, 0, MIN(lf, sizeof f->line - f->n));
        memcpy(f->line + f->n, part.p, part.n);
        f->n += part.n;
        rest = sv_from(rest, part.n);
        if (part.n == lf) {
            if (f->n && f->line[f->n - 1] == '\r')
                f->n--;
            emit_line(f, sv_make(f->line, f->n));
            f->n = 0;
            rest = sv_from(rest, 1);
        } else if (f->n == sizeof f->line) {
            emit_full(f);
        }
    }
    return (ssize_t)size;
}

static int file_close(void *cookie)
{
    struct file *f = cookie;
    emit_line(f, sv_make(f->line, f->n));
    free(f);
    return 0;
}

FILE *weir_file_new(weir_logger *logger, int severity_number, weir_error *ret_error)
{
    struct file *f = malloc(sizeof *f);
    FILE *stream = NULL;
    if (f) {
        f->lg = logger;
        f->severity = severity_number;
        f->n = 0;
        stream = fopencookie(f, "w", (cookie_io_functions_t){.write = file_write, .close = file_close});
    }
    if (!stream) {
        free(f);
        error_set(ret_error, "out of memory");
        return NULL;
    }
    setvbuf(stream, NULL, _IOLBF, BUFSIZ);
    return stream;
}

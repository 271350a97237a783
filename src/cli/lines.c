/* lines.c - see lines.h.
 * (1) `line` holds the beginning of a line whose end has not come; `text` the record that may still grow. A line that comes
 *     whole is used where it lies.
 * (2) Each line is asked one question: does it continue the open record? joins() answers from what the record has been so far
 *     (`shape`), which is a small automaton a language: a record's first line chooses it, shape_of_head().
 * (3) A record never grows past its limits, and what does not fit begins the next part. */
#include "cli/lines.h"
#include "base/buf.h"
#include "base/regex.h"
#include <stdlib.h>

/* Blank lines in a row that a record keeps. */
#define BLANK_MAX 16

/* What kind of record is open, and where in it we are. */
enum shape {
    PLAIN,        /* goes on with lines that begin with white space */
    SEALED,       /* goes on with nothing */
    PY_FRAMES,    /* "Traceback …": frames, then the line with the exception */
    PY_RAISED,    /* behind that line */
    PY_CHAINED,   /* "During handling of the above exception …": another traceback follows */
    GO_PANIC,     /* "panic: …", up to the first goroutine */
    GO_STACK,
    RUST_PANIC,   /* "thread 'main' panicked at …:": its message is the next line */
    RUST_BACKTRACE,
    NODE_PLACE,   /* "/app/x.js:3": then the line of source, the caret, the error, the frames */
    NODE_SOURCE,
    NODE_CARET,
    NODE_ERROR,
    PHP_STACK
};

struct lines {
    struct lines_config cfg;
    lines_sink_fn *sink;
    void *ctx;
    struct buf line, text;
    int64_t line_time;    /* of the first byte in `line` */
    bool in_cut;          /* earlier pieces of the line in `line` have been handed out */
    bool open;            /* there is a record in `text` */
    bool indented;        /* its last line began with white space */
    bool failure;
    enum shape shape;
    unsigned part, blanks; /* blank lines behind its last line */
    uint64_t n_lines;
    int64_t time, due;
};

/* ---- looking at a line ---- */

#define STARTS(s, literal) sv_starts(s, SV(literal))

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}
static sv skip_blanks(sv s)
{
    size_t i = 0;
    while (i < s.n && is_blank(s.p[i]))
        i++;
    return sv_from(s, i);
}
static bool digit_at(sv s, size_t i)
{
    return i < s.n && s.p[i] >= '0' && s.p[i] <= '9';
}

/* Behind ESC ] and its like: up to BEL or ESC \. 0: it does not end within reason. */
static size_t escape_string(sv s)
{
    for (size_t i = 2; i < s.n && i < 4096; i++) {
        if (s.p[i] == '\a')
            return i + 1;
        if (s.p[i] == '\033' && i + 1 < s.n && s.p[i + 1] == '\\')
            return i + 2;
    }
    return 0;
}

size_t ansi_escape(sv s)
{
    if (!s.n || s.p[0] != '\033')
        return 0;
    if (s.n == 1)
        return 1;
    unsigned char kind = (unsigned char)s.p[1];
    if (kind == '[') {
        size_t i = 2;
        while (i < s.n && s.p[i] >= 0x20 && s.p[i] <= 0x3f)
            i++;
        return i < s.n && s.p[i] >= 0x40 && s.p[i] <= 0x7e ? i + 1 : i;
    }
    if (strchr("]P^_X", kind) && kind)
        return MAX(escape_string(s), (size_t)2);
    if (kind >= 0x20 && kind <= 0x2f) /* character sets */
        return MIN(s.n, (size_t)3);
    return kind >= 0x30 && kind <= 0x7e ? 2 : 1;
}

/* Colours before the first character do not hide what it is. */
static sv skip_escapes(sv s)
{
    for (size_t n; (n = ansi_escape(s));)
        s = sv_from(s, n);
    return s;
}

/* "main.(*T).Run(0xc000, {0x1, 0x2})" */
static bool is_go_call(sv s)
{
    size_t open = sv_find_char(s, '(');
    return open != SV_NPOS && open > 0 && s.p[s.n - 1] == ')' && sv_find_char(sv_sub(s, 0, open), ' ') == SV_NPOS;
}
/* "rax    0x2a" */
static bool is_go_register(sv s)
{
    size_t name = MIN(sv_find_char(s, ' '), s.n);
    return name && name <= 6 && STARTS(skip_blanks(sv_from(s, name)), "0x");
}
static bool is_go_signal(sv s)
{
    size_t n = 3;
    while (n < s.n && s.p[n] >= 'A' && s.p[n] <= 'Z')
        n++;
    return STARTS(s, "SIG") && n > 5 && STARTS(sv_from(s, n), ": ");
}
static bool is_goroutine(sv s)
{
    return STARTS(s, "goroutine ") && digit_at(s, 10) && s.p[s.n - 1] == ':';
}
/* "thread 'main' panicked at src/main.rs:2:5:" */
static bool is_rust_panic(sv s)
{
    return STARTS(s, "thread '") && sv_find(s, SV("panicked at ")) != SV_NPOS;
}
/* "/app/server.js:12", "node:internal/process/promises:288", "file:///app/x.mjs:3" */
static bool is_node_place(sv s)
{
    size_t colon = sv_rfind_char(s, ':');
    if (colon == SV_NPOS || colon + 1 == s.n || sv_find_char(s, ' ') != SV_NPOS)
        return false;
    for (size_t i = colon + 1; i < s.n; i++)
        if (!digit_at(s, i))
            return false;
    sv path = sv_sub(s, 0, colon);
    return STARTS(path, "node:") ||
           ((STARTS(path, "/") || STARTS(path, "file:///")) && (sv_ends(path, SV("js")) || sv_ends(path, SV("ts"))));
}
static bool is_caret(sv s)
{
    s = sv_trim(s);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '^')
            return false;
    return s.n > 0;
}
/* "}", "],": the end of something that was printed over several lines */
static bool is_closing(sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("}]),; ", s.p[i]) || !s.p[i])
            return false;
    return s.n > 0 && s.p[0] != ',' && s.p[0] != ';';
}
static bool is_python_group(sv s)
{
    return STARTS(skip_blanks(s), "+ Exception Group Traceback (most recent call last):");
}

static enum shape shape_of_head(sv s)
{
    sv end = sv_trim(s);
    if (STARTS(s, "{") && sv_ends(end, SV("}")))
        return SEALED;
    if (STARTS(s, "Traceback (most recent call last):") || STARTS(s, "  File \""))
        return PY_FRAMES;
    if (is_python_group(s))
        return PY_RAISED; /* everything else of it is indented */
    if (STARTS(s, "panic: ") || STARTS(s, "fatal error: ") || is_go_signal(s))
        return GO_PANIC;
    if (is_goroutine(s))
        return GO_STACK;
    if (is_rust_panic(s))
        return sv_ends(end, SV(":")) ? RUST_PANIC : RUST_BACKTRACE;
    if (is_node_place(s))
        return NODE_PLACE;
    return PLAIN;
}

/* ---- does it go on? ---- */

static bool go_on_with(struct lines *ln, enum shape next)
{
    ln->shape = next;
    return true;
}

static bool joins_plain(struct lines *ln, sv s, bool indented)
{
    if (ln->blanks)
        return false;
    if (indented)
        return !is_python_group(s) && !STARTS(s, "  File \"");
    if (STARTS(s, "Stack trace:"))
        return go_on_with(ln, PHP_STACK);
    return ln->indented && (STARTS(s, "Caused by: ") || STARTS(s, "Suppressed: ") || is_closing(s) ||
                            (STARTS(s, "... ") && digit_at(s, 4)));
}

static bool joins_python(struct lines *ln, sv s, bool indented)
{
    if (ln->shape == PY_FRAMES)
        return indented ? true : go_on_with(ln, PY_RAISED);
    if (ln->shape == PY_CHAINED)
        return is_python_group(s) ? go_on_with(ln, PY_RAISED) : STARTS(s, "Traceback (") && go_on_with(ln, PY_FRAMES);
    if (STARTS(s, "During handling of the above exception") || STARTS(s, "The above exception was the direct cause"))
        return go_on_with(ln, PY_CHAINED);
    return indented && !ln->blanks && !is_python_group(s);
}

static bool joins_go(struct lines *ln, sv s, bool indented)
{
    if (is_goroutine(s) || STARTS(s, "runtime stack:"))
        return go_on_with(ln, GO_STACK);
    if (indented || STARTS(s, "[signal ") || STARTS(s, "PC=") || STARTS(s, "panic: "))
        return true;
    if (ln->shape == GO_PANIC)
        return false;
    return is_go_register(s) ||
           (!ln->blanks && (is_go_call(s) || STARTS(s, "created by ") || STARTS(s, "...") || STARTS(s, "exit status ")));
}

static bool joins_node(struct lines *ln, sv s, bool indented)
{
    switch (ln->shape) {
    case NODE_PLACE:
        return !ln->blanks && go_on_with(ln, NODE_SOURCE);
    case NODE_SOURCE:
        return is_caret(s) && go_on_with(ln, NODE_CARET);
    case NODE_CARET:
        return go_on_with(ln, NODE_ERROR);
    default:
        return STARTS(s, "Node.js v") || (!ln->blanks && (indented || is_closing(s)));
    }
}

/* Whether the line, not a blank one, continues the open record; moves its shape on. */
static bool joins(struct lines *ln, sv line)
{
    if (ln->cfg.join != LINES_AUTO)
        return ln->cfg.join == LINES_REGEX && !regex_match(ln->cfg.start, line);
    sv s = skip_escapes(line);
    bool indented = s.n && is_blank(s.p[0]);
    switch (ln->shape) {
    case PLAIN:
        return joins_plain(ln, s, indented);
    case SEALED:
        return false;
    case PY_FRAMES:
    case PY_RAISED:
    case PY_CHAINED:
        return joins_python(ln, s, indented);
    case GO_PANIC:
    case GO_STACK:
        return joins_go(ln, s, indented);
    case RUST_PANIC:
        return go_on_with(ln, RUST_BACKTRACE);
    case RUST_BACKTRACE:
        return !ln->blanks && (indented || STARTS(s, "stack backtrace:") || STARTS(s, "note: "));
    case NODE_PLACE:
    case NODE_SOURCE:
    case NODE_CARET:
    case NODE_ERROR:
        return joins_node(ln, s, indented);
    case PHP_STACK:
        return !ln->blanks && (indented || (STARTS(s, "#") && digit_at(s, 1)));
    }
    return false;
}

/* ---- records ---- */

static void hand_out(struct lines *ln, sv text, bool last)
{
    struct lines_record r = {.text = text, .time_ns = ln->time, .part = ln->part, .last = last, .failure = ln->failure};
    ln->sink(ln->ctx, &r);
}

static void close_record(struct lines *ln)
{
    if (ln->open)
        hand_out(ln, buf_view(&ln->text), true);
    ln->open = false;
    ln->part = ln->blanks = 0;
    buf_reset(&ln->text);
}

/* Something that belongs to the open record does not fit any more: what is there goes, as a part. */
static void close_part(struct lines *ln)
{
    ln->part = MAX(ln->part, 1u);
    hand_out(ln, buf_view(&ln->text), false);
    ln->part++;
    buf_reset(&ln->text);
}

static void set_shape(struct lines *ln, sv line)
{
    ln->shape = ln->cfg.join == LINES_AUTO ? shape_of_head(skip_escapes(line)) : PLAIN;
    ln->failure = ln->shape != PLAIN && ln->shape != SEALED;
}

/* A record that begins with this line; part and shape are set. */
static void begin(struct lines *ln, sv line, int64_t time)
{
    buf_sv(&ln->text, line);
    ln->time = time;
    ln->open = true;
    ln->n_lines = 1;
    ln->blanks = 0;
}

static void append(struct lines *ln, sv line)
{
    for (unsigned i = 0; i <= ln->blanks; i++)
        buf_char(&ln->text, '\n');
    buf_sv(&ln->text, line);
    ln->n_lines++;
    ln->blanks = 0;
}

static bool is_blank_line(sv line)
{
    line = skip_escapes(line);
    for (size_t i = 0; i < line.n; i++)
        if (!is_blank(line.p[i]) && line.p[i] != '\r')
            return false;
    return true;
}

/* A whole line that is not longer than a record may be. */
static void take_line(struct lines *ln, sv line, int64_t time, int64_t mono_ns)
{
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    if (ln->in_cut) { /* the last piece of a long one */
        ln->in_cut = false;
        ln->part++;
        begin(ln, line, time);
    } else if (is_blank_line(line)) {
        ln->blanks = MIN(ln->blanks + 1, (unsigned)BLANK_MAX);
        return;
    } else if (ln->open && joins(ln, line)) {
        if (ln->n_lines < ln->cfg.max_lines && ln->text.n + ln->blanks + 1 + line.n <= ln->cfg.max_bytes) {
            append(ln, line);
        } else {
            close_part(ln);
            begin(ln, line, time);
        }
    } else {
        close_record(ln);
        set_shape(ln, line);
        begin(ln, line, time);
    }
    sv seen = skip_escapes(line);
    ln->indented = seen.n && is_blank(seen.p[0]);
    ln->failure |= ln->shape != PLAIN && ln->shape != SEALED;
    ln->due = mono_ns + ln->cfg.flush_ns;
    if (ln->cfg.join == LINES_OFF || ln->shape == SEALED)
        close_record(ln);
}

/* Where to cut `n` bytes off so that no character is cut. */
static size_t cut_at(sv s, size_t n)
{
    for (size_t back = 0; back < 4 && back < n; back++)
        if (((unsigned char)s.p[n - back] & 0xc0) != 0x80)
            return n - back;
    return n;
}

/* `line` is longer than a record may be, and has not ended: hands its beginning out. */
static void take_piece(struct lines *ln)
{
    sv whole = buf_view(&ln->line), piece = sv_sub(whole, 0, cut_at(whole, ln->cfg.max_bytes));
    if (ln->in_cut) {
        ln->part++;
    } else if (ln->open && joins(ln, piece)) {
        close_part(ln);
    } else {
        close_record(ln);
        set_shape(ln, piece);
        ln->part = 1;
    }
    ln->open = false;
    ln->in_cut = true;
    ln->blanks = 0;
    ln->time = ln->line_time;
    hand_out(ln, piece, false);
    memmove(ln->line.p, ln->line.p + piece.n, ln->line.n - piece.n);
    ln->line.n -= piece.n;
}

static void add_to_line(struct lines *ln, sv bytes, int64_t wall_ns)
{
    if (!ln->line.n && !ln->in_cut)
        ln->line_time = wall_ns;
    while (bytes.n) {
        sv some = sv_sub(bytes, 0, ln->cfg.max_bytes + 1 - ln->line.n);
        buf_sv(&ln->line, some);
        bytes = sv_from(bytes, some.n);
        if (ln->line.n > ln->cfg.max_bytes)
            take_piece(ln);
    }
}

void lines_feed(struct lines *ln, sv bytes, int64_t wall_ns, int64_t mono_ns)
{
    for (size_t end; (end = sv_find_char(bytes, '\n')) != SV_NPOS; bytes = sv_from(bytes, end + 1)) {
        sv line = sv_sub(bytes, 0, end);
        if (!ln->line.n && !ln->in_cut && line.n <= ln->cfg.max_bytes) {
            take_line(ln, line, wall_ns, mono_ns);
            continue;
        }
        add_to_line(ln, line, wall_ns);
        take_line(ln, buf_view(&ln->line), ln->line_time, mono_ns);
        buf_reset(&ln->line);
    }
    add_to_line(ln, bytes, wall_ns);
}

int64_t lines_due(const struct lines *ln)
{
    return ln->open ? ln->due : INT64_MAX;
}

void lines_tick(struct lines *ln, int64_t mono_ns)
{
    if (ln->open && mono_ns >= ln->due)
        close_record(ln);
}

void lines_end(struct lines *ln)
{
    if (ln->line.n || ln->in_cut)
        take_line(ln, buf_view(&ln->line), ln->line_time, 0);
    buf_reset(&ln->line);
    close_record(ln);
}

bool lines_new(const struct lines_config *cfg, lines_sink_fn *sink, void *ctx, struct lines **ret, struct err *e)
{
    ASSERT(cfg->max_lines >= 1 && cfg->max_bytes >= LINES_BYTES_MIN && cfg->max_bytes <= LINES_BYTES_MAX);
    ASSERT(cfg->join != LINES_REGEX || cfg->start);
    SCOPED(lines_free) struct lines *ln = calloc(1, sizeof *ln);
    if (!ln)
        return err_nomem(e);
    *ln = (struct lines){.cfg = *cfg, .sink = sink, .ctx = ctx};
    if (!buf_reserve(&ln->line, cfg->max_bytes + 1) || !buf_reserve(&ln->text, cfg->max_bytes + 1))
        return err_nomem(e);
    *ret = TAKE(ln);
    return true;
}

void lines_free(struct lines *ln)
{
    if (!ln)
        return;
    buf_done(&ln->line);
    buf_done(&ln->text);
    free(ln);
}

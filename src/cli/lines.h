/* lines.h - what a program prints, cut into lines, and lines that belong together joined into records: a stack trace is one
 * record, not forty. Bytes in, records out; no descriptor, and time is handed in.
 *
 * Joining. `auto` knows how Python, the JVM, Go, Node, .NET, Ruby, Rust and PHP print their failures, and besides that takes a
 * line that begins with white space as part of the one before. A line from { to } stands for itself. With a regular expression
 * a record begins at each line that matches. Blank lines are kept inside of a record; alone they are none.
 * A record ends at the next one's first line, and at the latest `flush_ns` after its last line: what a person waits for is not
 * held back. A line that has not ended yet is not a line: it waits for its newline, the end, or the limit.
 * Nothing is dropped: what is larger than the limits comes as several records, numbered by `part`. */
#pragma once
#include "base/err.h"
#include "base/sv.h"

struct regex;
enum lines_join { LINES_AUTO, LINES_OFF, LINES_REGEX };
enum { LINES_BYTES_MIN = 256, LINES_BYTES_MAX = 1 << 20 };
struct lines_config {
    enum lines_join join;
    const struct regex *start; /* LINES_REGEX; borrowed */
    uint64_t max_lines;        /* of one record; at least 1 */
    uint64_t max_bytes;        /* of one record; LINES_BYTES_MIN to LINES_BYTES_MAX */
    int64_t flush_ns;
};

struct lines_record {
    sv text;          /* its lines with newlines between them; valid during the call */
    int64_t time_ns;  /* when its first byte came */
    unsigned part;    /* 0: whole; else which part of what was too large, from 1 */
    bool last;        /* no further part follows */
    bool failure;     /* it looks like a stack trace or a panic */
};
typedef void lines_sink_fn(void *ctx, const struct lines_record *r);

struct lines;
/* All memory is taken here, so nothing can fail later. */
MUST_USE bool lines_new(const struct lines_config *cfg, lines_sink_fn *sink, void *ctx, struct lines **ret, struct err *e);
void lines_free(struct lines *ln); /* NULL is fine; what is held is lost: lines_end() first */
DEFINE_SCOPED(struct lines *, lines_free)
/* `wall_ns`: when the bytes came. `mono_ns`: the same on the clock of lines_due(). */
void lines_feed(struct lines *ln, sv bytes, int64_t wall_ns, int64_t mono_ns);
int64_t lines_due(const struct lines *ln); /* when lines_tick() has something to do; INT64_MAX: nothing is waiting */
void lines_tick(struct lines *ln, int64_t mono_ns);
void lines_end(struct lines *ln); /* no more bytes: hands out what is left */

/* Length of the terminal's escape sequence that `s` begins with; 0 when it does not begin with one. */
size_t ansi_escape(sv s);

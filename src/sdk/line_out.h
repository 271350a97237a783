/* line_out.h - whole lines into a file of our own, or onto standard output, for the exporters that write text.
 * One thread at a time, but for line_out_stop(). */
#pragma once
#include "base/buf.h"
#include <weir/sdk.h>

struct line_out;
/* NULL: standard output. A file is made (mode 0640) or appended to, in its directory as it is now. Errors name the path. */
MUST_USE bool line_out_open(const char *path, struct line_out **ret, struct err *e);
void line_out_close(struct line_out *o); /* NULL is fine */
/* Writes lines, each with its newline, or none of them: what cannot be written whole is cut off again. Where that is not
 * possible (pipes, terminals, standard output) the rest is kept, and comes before everything else as soon as there is room; the
 * same lines put again are then not written twice. Tends to `batch` while it waits.
 * ret->code: OK; RETRY (full disk, no room in the pipe within the time); FAILED (nobody reads any more). */
void line_out_put(struct line_out *o, sv lines, const weir_batch *batch, int64_t timeout_ms, weir_export_result *ret);
void line_out_stop(struct line_out *o); /* any thread: waits end soon, also later ones */
void line_out_after_fork(struct line_out *o);

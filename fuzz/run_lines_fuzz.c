/* run_lines_fuzz.c - any output of a program through `weir run`'s lines and detection. The first byte chooses how lines are joined
 * and how small the limits are. (1) How the bytes were cut into reads changes nothing. (2) Whatever is no white space comes out,
 * once and in order; lines of escape sequences alone may not. (3) No record is larger than allowed; severities are severities. */
#include "base/buf.h"
#include "base/regex.h"
#include "cli/detect.h"
#include "cli/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORD_BYTES (32u << 10) /* the larger limit: below what the fuzzer makes */

struct seen {
    struct buf all, dense; /* records with their parts; their text without white space */
    struct detector *detector;
    uint64_t max_bytes, max_lines;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
static void put_dense(struct buf *out, sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_space(s.p[i]))
            buf_char(out, s.p[i]);
}

static void look(void *ctx, const struct lines_record *lr)
{
    struct seen *seen = ctx;
    weir_log_record r;
    size_t n_lines = 1;
    ASSERT(lr->text.n <= seen->max_bytes && (lr->part || lr->last));
    for (size_t i = 0; i < lr->text.n; i++)
        n_lines += lr->text.p[i] == '\n' && i && lr->text.p[i - 1] != '\n';
    ASSERT(n_lines <= seen->max_lines);
    buf_fmt(&seen->all, "[%u %d %d]", lr->part, lr->last, lr->failure);
    buf_sv(&seen->all, lr->text);
    put_dense(&seen->dense, lr->text);
    detect(seen->detector, lr->text, &r);
    ASSERT(r.severity_number >= 0 && r.severity_number <= 24 && (int64_t)r.timestamp_ns >= 0);
    ASSERT(r.body.kind == WEIR_STRING && r.body.as.string.size <= MAX(lr->text.n * 3, (size_t)1));
    detect_add(seen->detector, &r, weir_i64("k", 1));
}

static void run(const struct lines_config *cfg, sv in, size_t piece, struct seen *seen)
{
    struct lines *ln;
    struct err e = {0};
    if (!lines_new(cfg, look, seen, &ln, &e))
        return;
    buf_reset(&seen->all);
    buf_reset(&seen->dense);
    for (; in.n; in = sv_from(in, piece))
        lines_feed(ln, sv_sub(in, 0, piece), 1, 1);
    lines_end(ln);
    ASSERT(lines_due(ln) == INT64_MAX);
    lines_free(ln);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct regex *start;
    static struct detector *detectors[4];
    static struct seen whole, pieces;
    uint8_t how = size ? data[0] : 0;
    sv in = size ? sv_make(data + 1, size - 1) : SV_NULL;
    struct detect_config dc = {.json = !(how & 4), .keep_ansi = (how & 8) != 0, .max_bytes = RECORD_BYTES};
    struct detector **d = &detectors[(how >> 2) & 3];
    if ((!start && !regex_compile(SV("^[#A-Z]"), 0, &start, NULL)) || (!*d && !detector_new(&dc, d, NULL)))
        return 0;
    struct lines_config cfg = {.join = (enum lines_join)((how & 3) % 3), .start = start, .max_lines = how & 16 ? 3 : 1000,
                               .max_bytes = how & 32 ? LINES_BYTES_MIN : RECORD_BYTES};
    whole.detector = pieces.detector = *d;
    whole.max_bytes = pieces.max_bytes = cfg.max_bytes;
    whole.max_lines = pieces.max_lines = cfg.max_lines;
    run(&cfg, in, SIZE_MAX, &whole);
    run(&cfg, in, 1 + (how >> 6) * 5, &pieces);
    ASSERT(sv_eq(buf_view(&whole.all), buf_view(&pieces.all)));
    if (sv_find_char(in, '\033') == SV_NPOS) {
        SCOPED(buf_done) struct buf want = {0};
        put_dense(&want, in);
        ASSERT(sv_eq(buf_view(&want), buf_view(&whole.dense)));
    }
    return 0;
}

/* Lines and what is joined to records; every case also byte by byte. */
#include "cli/lines.h"
#include "base/buf.h"
#include "base/regex.h"
#include "base/test.h"

/* What came out: each record in angle brackets, failures with a '!', parts with their number and a '+' while more follow. */
struct seen {
    struct buf text;
    int64_t times[64];
    size_t n;
};

static void note(void *ctx, const struct lines_record *r)
{
    struct seen *seen = ctx;
    if (seen->n < ARRAY_LEN(seen->times))
        seen->times[seen->n] = r->time_ns;
    seen->n++;
    if (r->part)
        buf_fmt(&seen->text, "%u%s", r->part, r->last ? "" : "+");
    buf_fmt(&seen->text, "%s<" SV_FMT ">", r->failure ? "!" : "", SV_ARG(r->text));
}

static struct lines_config usual(void)
{
    return (struct lines_config){.max_lines = 1000, .max_bytes = 256 << 10, .flush_ns = 500 * NS_PER_MS};
}

static void run_pieces(const struct lines_config *cfg, sv in, size_t piece, struct seen *seen)
{
    struct lines *ln;
    struct err e = {0};
    buf_reset(&seen->text);
    seen->n = 0;
    REQUIRE_OK(lines_new(cfg, note, seen, &ln, &e), &e);
    for (int64_t t = 1; in.n; in = sv_from(in, piece), t++)
        lines_feed(ln, sv_sub(in, 0, piece), t, t);
    lines_end(ln);
    CHECK_EQ(lines_due(ln), INT64_MAX);
    lines_free(ln);
}

static void check(const struct lines_config *cfg, const char *in, const char *want)
{
    struct seen seen = {0};
    static const size_t pieces[] = {SIZE_MAX, 1, 2, 7};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        run_pieces(cfg, sv_of(in), pieces[i], &seen);
        CHECK_SV(buf_view(&seen.text), sv_of(want));
    }
    buf_done(&seen.text);
}

static void joined(const char *in, const char *want)
{
    struct lines_config cfg = usual();
    check(&cfg, in, want);
}

TEST(plain_lines)
{
    joined("", "");
    joined("a\nb\n", "<a><b>");
    joined("a\r\nb", "<a><b>");
    joined("\n\na\n \t\n\nb\n\n", "<a><b>");
    joined("a\n  b\n\tc\nd\n", "<a\n  b\n\tc><d>");
    joined("  first\nb\n", "<  first><b>");
    joined("a\n\n  not of a\n", "<a><  not of a>");
    joined("\033[31m  red\n\033[1m\n\033[31mb\n\033[0;1m  c\n", "<\033[31m  red><\033[31mb\n\033[0;1m  c>");
}

TEST(objects_stand_for_themselves)
{
    joined("{\"a\":1}\n  b\n{\"a\":2}\n", "<{\"a\":1}><  b><{\"a\":2}>");
    joined("{\n  \"a\": 1\n}\nnext\n", "<{\n  \"a\": 1\n}><next>");
}

TEST(python)
{
    joined("before\nTraceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nValueError: bad\nafter\n",
           "<before>!<Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nValueError: bad><after>");
    joined("Traceback (most recent call last):\n  File \"a\"\nKeyError: 1\n\nDuring handling of the above exception, another exception "
           "occurred:\n\nTraceback (most recent call last):\n  File \"b\"\nValueError\n\nnext\n",
           "!<Traceback (most recent call last):\n  File \"a\"\nKeyError: 1\n\nDuring handling of the above exception, another "
           "exception occurred:\n\nTraceback (most recent call last):\n  File \"b\"\nValueError><next>");
    joined("Traceback (most recent call last):\n  File \"a\"\nA\nTraceback (most recent call last):\n  File \"b\"\nB\n",
           "!<Traceback (most recent call last):\n  File \"a\"\nA>!<Traceback (most recent call last):\n  File \"b\"\nB>");
    joined("x\n  File \"a.py\", line 1\n    f(\n     ^\nSyntaxError: '(' was never closed\nnext\n",
           "<x>!<  File \"a.py\", line 1\n    f(\n     ^\nSyntaxError: '(' was never closed><next>");
    joined("x\n  + Exception Group Traceback (most recent call last):\n  |   File \"a\"\n  | ExceptionGroup: g (1 sub-exception)\n"
           "  +-+---------------- 1 ----------------\n    | ValueError: 1\n    +------------------------------------\nnext\n",
           "<x>!<  + Exception Group Traceback (most recent call last):\n  |   File \"a\"\n  | ExceptionGroup: g (1 sub-exception)\n"
           "  +-+---------------- 1 ----------------\n    | ValueError: 1\n    +------------------------------------><next>");
}

TEST(java_dotnet_ruby)
{
    joined("Exception in thread \"main\" java.lang.RuntimeException: x\n\tat a.B.c(B.java:1)\n\tSuppressed: y\n\t\tat a.B.d(B.java:2)\n"
           "Caused by: java.io.IOException: z\n\tat a.B.e(B.java:3)\n\t... 2 more\nnext\n",
           "<Exception in thread \"main\" java.lang.RuntimeException: x\n\tat a.B.c(B.java:1)\n\tSuppressed: y\n\t\tat a.B.d(B.java:2)\n"
           "Caused by: java.io.IOException: z\n\tat a.B.e(B.java:3)\n\t... 2 more><next>");
    joined("plain\nCaused by: nothing above\n", "<plain><Caused by: nothing above>");
    joined("Unhandled exception. System.Exception: x\n ---> System.Exception: inner\n   at P.Inner() in a.cs:line 3\n"
           "   --- End of inner exception stack trace ---\n   at P.Main()\nnext\n",
           "<Unhandled exception. System.Exception: x\n ---> System.Exception: inner\n   at P.Inner() in a.cs:line 3\n"
           "   --- End of inner exception stack trace ---\n   at P.Main()><next>");
    joined("x.rb:1:in `f': bad (RuntimeError)\n\tfrom x.rb:4:in `<main>'\nnext\n",
           "<x.rb:1:in `f': bad (RuntimeError)\n\tfrom x.rb:4:in `<main>'><next>");
}

TEST(go)
{
    joined("x\npanic: runtime error: index out of range [5] with length 3\n[signal SIGSEGV: x code=1]\n\ngoroutine 1 [running]:\n"
           "main.(*T).f(0xc000, {0x1, 0x2})\n\t/x.go:8 +0x1d\ncreated by main.g in goroutine 1\n\t/x.go:9\n\ngoroutine 5 [select]:\n"
           "main.h()\n\t/x.go:1\nexit status 2\nnext line (not a call)\n",
           "<x>!<panic: runtime error: index out of range [5] with length 3\n[signal SIGSEGV: x code=1]\n\ngoroutine 1 [running]:\n"
           "main.(*T).f(0xc000, {0x1, 0x2})\n\t/x.go:8 +0x1d\ncreated by main.g in goroutine 1\n\t/x.go:9\n\ngoroutine 5 [select]:\n"
           "main.h()\n\t/x.go:1\nexit status 2><next line (not a call)>");
    joined("panic: mine\nnext\n", "!<panic: mine><next>");
    joined("SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\ngoroutine 1 [running]:\nmain.f()\n\t/x.go:8\n\nrax    0xca\nrbx    0x0\n",
           "!<SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\ngoroutine 1 [running]:\nmain.f()\n\t/x.go:8\n\nrax    0xca\nrbx    0x0>");
}

TEST(rust_node_php)
{
    joined("thread 'main' panicked at src/main.rs:2:5:\nindex out of bounds\nstack backtrace:\n   0: rust_begin_unwind\n             at "
           "/rustc/x\nnote: run with `RUST_BACKTRACE=1`\nnext\n",
           "!<thread 'main' panicked at src/main.rs:2:5:\nindex out of bounds\nstack backtrace:\n   0: rust_begin_unwind\n             at "
           "/rustc/x\nnote: run with `RUST_BACKTRACE=1`><next>");
    joined("thread 'main' panicked at 'x', src/main.rs:2:5\nnext\n", "!<thread 'main' panicked at 'x', src/main.rs:2:5><next>");
    joined("/app/x.js:1\nthrow new Error('x')\n^\n\nError: x\n    at f (/app/x.js:1:7) {\n  code: 'E'\n}\n\nNode.js v18.19.0\nnext\n",
           "!</app/x.js:1\nthrow new Error('x')\n^\n\nError: x\n    at f (/app/x.js:1:7) {\n  code: 'E'\n}\n\nNode.js v18.19.0><next>");
    joined("Error: x\n    at f (/app/x.js:1:7)\nnext\n", "<Error: x\n    at f (/app/x.js:1:7)><next>");
    joined("PHP Fatal error:  Uncaught Exception: x in /x.php:3\nStack trace:\n#0 {main}\n  thrown in /x.php on line 3\n#hash\n",
           "!<PHP Fatal error:  Uncaught Exception: x in /x.php:3\nStack trace:\n#0 {main}\n  thrown in /x.php on line 3><#hash>");
}

TEST(off_and_regex)
{
    struct lines_config cfg = usual();
    cfg.join = LINES_OFF;
    check(&cfg, "a\n  b\n\nTraceback (most recent call last):\n  c\n", "<a><  b><Traceback (most recent call last):><  c>");
    struct err e = {0};
    struct regex *re = NULL;
    REQUIRE_OK(regex_compile(SV("^\\d{4}-"), 0, &re, &e), &e);
    cfg.join = LINES_REGEX;
    cfg.start = re;
    check(&cfg, "x\ny\n2026-01-01 a\nb\n\n  c\n\n2026-01-02 d\n", "<x\ny><2026-01-01 a\nb\n\n  c><2026-01-02 d>");
    regex_free(re);
}

TEST(limits_make_parts_and_lose_nothing)
{
    struct lines_config cfg = usual();
    cfg.max_lines = 2;
    check(&cfg, "a\n b\n c\n d\n e\nf\n", "1+<a\n b>2+< c\n d>3< e><f>");
    cfg = usual();
    cfg.max_bytes = LINES_BYTES_MIN;
    char in[LINES_BYTES_MIN * 3 + 100], want[LINES_BYTES_MIN * 3 + 200];
    memset(in, 'x', sizeof in);
    snprintf(in + 600, sizeof in - 600, "\n y\nz\n");
    snprintf(want, sizeof want, "1+<%.256s>2+<%.256s>3<%.88s\n y><z>", in, in, in);
    check(&cfg, in, want);
    in[256] = '\n'; /* exactly as long as it may be */
    in[257] = 0;
    snprintf(want, sizeof want, "<%.256s>", in);
    check(&cfg, in, want);
    memset(in, 'x', 256); /* a joined line that does not fit, a long one that joins */
    snprintf(in, sizeof in, "head\n %0255d\nend\n", 7);
    snprintf(want, sizeof want, "1+<head>2< %0255d><end>", 7);
    check(&cfg, in, want);
    snprintf(in, sizeof in, "head\n %0300d", 7);
    snprintf(want, sizeof want, "1+<head>2+< %0255d>3<%045d>", 0, 7);
    check(&cfg, in, want);
}

TEST(a_cut_leaves_characters_whole)
{
    struct lines_config cfg = usual();
    cfg.max_bytes = LINES_BYTES_MIN;
    char in[400], want[420];
    snprintf(in, sizeof in, "%0255d\xe2\x82\xac" "end\n", 1);
    snprintf(want, sizeof want, "1+<%0255d>2<\xe2\x82\xac" "end>", 1);
    check(&cfg, in, want);
    memset(in, '\x80', 300); /* no character at all */
    snprintf(in + 300, 2, "\n");
    snprintf(want, sizeof want, "1+<%.256s>2<%.44s>", in, in);
    check(&cfg, in, want);
}

TEST(times_and_the_flush)
{
    struct lines_config cfg = usual();
    struct seen seen = {0};
    struct lines *ln;
    struct err e = {0};
    REQUIRE_OK(lines_new(&cfg, note, &seen, &ln, &e), &e);
    CHECK_EQ(lines_due(ln), INT64_MAX);
    lines_feed(ln, SV("Pass"), 100, 1000);
    CHECK_EQ(lines_due(ln), INT64_MAX); /* no line yet */
    lines_feed(ln, SV("word: \n"), 200, 2000);
    CHECK_EQ(lines_due(ln), 2000 + cfg.flush_ns);
    lines_feed(ln, SV("  more\nbegin"), 300, 3000);
    lines_tick(ln, 2999 + cfg.flush_ns);
    CHECK_EQ(seen.n, 0);
    lines_tick(ln, 3000 + cfg.flush_ns);
    CHECK_SV(buf_view(&seen.text), SV("<Password: \n  more>"));
    CHECK_EQ(seen.times[0], 100);
    CHECK_EQ(lines_due(ln), INT64_MAX);
    lines_feed(ln, SV(" end\n{\"a\":1}\n"), 400, 4000); /* an object does not wait */
    CHECK_SV(buf_view(&seen.text), SV("<Password: \n  more><begin end><{\"a\":1}>"));
    CHECK_EQ(seen.times[1], 300);
    CHECK_EQ(seen.times[2], 400);
    lines_free(ln);
    buf_done(&seen.text);
}

TEST(escape_sequences)
{
    static const struct {
        sv text;
        size_t n;
    } cases[] = {
        {SV("x"), 0}, {SV(""), 0}, {SV("\033"), 1}, {SV("\033[31mx"), 5}, {SV("\033[1;31"), 6}, {SV("\033[\n"), 2},
        {SV("\033]8;;http://x\033\\y"), 15}, {SV("\033]0;title\ay"), 10}, {SV("\033]never"), 2}, {SV("\033(Bx"), 3},
        {SV("\0337x"), 2}, {SV("\033\n"), 1}, {SV("\033(") , 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (ansi_escape(cases[i].text) != cases[i].n)
            test_fail(__FILE__, __LINE__, "case %zu: %zu, not %zu", i, ansi_escape(cases[i].text), cases[i].n);
}

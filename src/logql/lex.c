/* lex.c - LogQL text to tokens.
 * (1) Words are case-insensitive. Reserved words are never identifiers; function words are functions only in front of a
 *     `(` or of `by (` and `without (`, so that labels may be called `rate` or `bytes`.
 * (2) A number directly followed by unit letters is a duration if it reads as one, else a size, else just a number.
 * (3) Columns in messages count characters, not bytes; a message about a range or a flag reports line 0, as Loki's does. */
#include "logql/lex.h"
#include "logql/ast.h"
#include "logql/units.h"
#include <stdarg.h>
#include <stdio.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static char peek(const struct lexer *lx, size_t ahead)
{
    return lx->at + ahead < lx->src.n ? lx->src.p[lx->at + ahead] : 0;
}

static void skip_blank(struct lexer *lx)
{
    while (lx->at < lx->src.n) {
        char c = lx->src.p[lx->at];
        if (c == '#')
            while (lx->at < lx->src.n && lx->src.p[lx->at] != '\n')
                lx->at++;
        else if (is_space(c))
            lx->at++;
        else
            return;
    }
}

bool lex_error(const struct lexer *lx, const struct token *t, struct err *e, const char *fmt, ...)
{
    char msg[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    if (!lx->src.n)
        return err_at(e, ERR_PARSE, 0, "parse error : %s", msg);
    size_t line = 1, col = 1;
    for (size_t i = 0; i < t->pos && i < lx->src.n; i++) {
        if (lx->src.p[i] == '\n') {
            line++;
            col = 1;
        } else if (((unsigned char)lx->src.p[i] & 0xc0) != 0x80) {
            col++;
        }
    }
    if (t->kind == T_RANGE || t->kind == T_FLAG)
        line = 0;
    return err_at(e, ERR_PARSE, t->pos, "parse error at line %zu, col %zu: %s", line, col, msg);
}

/* ---- strings ---- */

static bool put_rune(struct buf *out, uint32_t r)
{
    if (r > 0x10ffff || (r >= 0xd800 && r < 0xe000))
        return false;
    if (r < 0x80) {
        buf_char(out, (char)r);
    } else if (r < 0x800) {
        buf_char(out, (char)(0xc0 | r >> 6));
        buf_char(out, (char)(0x80 | (r & 63)));
    } else {
        if (r < 0x10000) {
            buf_char(out, (char)(0xe0 | r >> 12));
        } else {
            buf_char(out, (char)(0xf0 | r >> 18));
            buf_char(out, (char)(0x80 | (r >> 12 & 63)));
        }
        buf_char(out, (char)(0x80 | (r >> 6 & 63)));
        buf_char(out, (char)(0x80 | (r & 63)));
    }
    return true;
}

/* `n` digits of `base` from *s. */
static bool take_digits(sv *s, size_t n, uint32_t base, uint32_t *ret)
{
    uint32_t v = 0;
    if (s->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = s->p[i];
        uint32_t d = is_digit(c) ? (uint32_t)(c - '0') : (c | 32) >= 'a' && (c | 32) <= 'f' ? (uint32_t)((c | 32) - 'a' + 10) : 99;
        if (d >= base)
            return false;
        v = v * base + d;
    }
    *s = sv_from(*s, n);
    *ret = v;
    return true;
}

bool lex_unescape(sv *s, struct buf *out)
{
    static const char from[] = "abfnrtv\\\"", to[] = "\a\b\f\n\r\t\v\\\"";
    if (!s->n)
        return false;
    char c = s->p[0];
    const char *simple = c ? strchr(from, c) : NULL;
    uint32_t r;
    if (simple) {
        *s = sv_from(*s, 1);
        buf_char(out, to[simple - from]);
        return true;
    }
    if (c >= '0' && c <= '7') {
        if (!take_digits(s, 3, 8, &r) || r > 255)
            return false;
        buf_char(out, (char)r);
        return true;
    }
    *s = sv_from(*s, 1);
    if (c == 'x') {
        if (!take_digits(s, 2, 16, &r))
            return false;
        buf_char(out, (char)r);
        return true;
    }
    if (c == 'u')
        return take_digits(s, 4, 16, &r) && put_rune(out, r);
    return c == 'U' && take_digits(s, 8, 16, &r) && put_rune(out, r);
}

static bool lex_quoted(struct lexer *lx, struct token *t, struct err *e)
{
    SCOPED(buf_done) struct buf out = {0};
    size_t end = lx->at + 1;
    while (end < lx->src.n && lx->src.p[end] != '"' && lx->src.p[end] != '\n')
        end += lx->src.p[end] == '\\' && end + 1 < lx->src.n && lx->src.p[end + 1] != '\n' ? 2 : 1;
    bool closed = end < lx->src.n && lx->src.p[end] == '"';
    sv body = sv_sub(lx->src, lx->at + 1, end - lx->at - 1);
    while (body.n) {
        char c = body.p[0];
        body = sv_from(body, 1);
        if (c != '\\')
            buf_char(&out, c);
        else if (!lex_unescape(&body, &out))
            return lex_error(lx, t, e, "invalid char escape");
    }
    if (!closed)
        return lex_error(lx, t, e, "literal not terminated");
    lx->at = end + 1;
    if (!buf_ok(&out, e))
        return false;
    t->text = arena_sv(lx->a, buf_view(&out));
    return t->text.p ? true : arena_err(lx->a, e, "query text");
}

static bool lex_raw(struct lexer *lx, struct token *t, struct err *e)
{
    sv body = sv_from(lx->src, lx->at + 1);
    size_t n = sv_find_char(body, '`');
    if (n == SV_NPOS)
        return lex_error(lx, t, e, "literal not terminated");
    lx->at += n + 2;
    t->text = arena_sv(lx->a, sv_sub(body, 0, n));
    if (!t->text.p)
        return arena_err(lx->a, e, "query text");
    char *p = (char *)(uintptr_t)t->text.p; /* our copy: carriage returns are no part of a raw string */
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] != '\r')
            p[kept++] = p[i];
    t->text.n = kept;
    return true;
}

/* 'x' is a character in Go and nothing in LogQL. */
static bool lex_char(struct lexer *lx, struct token *t, struct err *e)
{
    size_t end = lx->at + 1;
    while (end < lx->src.n && lx->src.p[end] != '\'' && lx->src.p[end] != '\n')
        end += lx->src.p[end] == '\\' ? 2 : 1;
    if (end >= lx->src.n || lx->src.p[end] != '\'')
        return lex_error(lx, t, e, "literal not terminated");
    sv body = sv_sub(lx->src, lx->at + 1, end - lx->at - 1);
    size_t runes = 0;
    for (size_t i = 0; i < body.n; i++)
        runes += ((unsigned char)body.p[i] & 0xc0) != 0x80;
    if (runes != 1 && !(body.n && body.p[0] == '\\'))
        return lex_error(lx, t, e, "invalid char literal");
    lx->at = end + 1;
    t->kind = T_OTHER;
    return true;
}

/* ---- numbers ---- */

static size_t run_of_digits(sv s, size_t at)
{
    while (at < s.n && (is_digit(s.p[at]) || s.p[at] == '_'))
        at++;
    return at;
}

/* The length of Go's integer or float literal at the start of `s`. */
static size_t number_length(sv s)
{
    if (s.n > 2 && s.p[0] == '0' && strchr("xXbBoO", s.p[1]) && s.p[1]) {
        size_t n = 2;
        while (n < s.n && ((s.p[1] | 32) == 'x' ? is_digit(s.p[n]) || ((s.p[n] | 32) >= 'a' && (s.p[n] | 32) <= 'f')
                                                : is_digit(s.p[n])))
            n++;
        if (n > 2)
            return n;
    }
    size_t n = run_of_digits(s, 0);
    if (n < s.n && s.p[n] == '.')
        n = run_of_digits(s, n + 1);
    if (n < s.n && (s.p[n] | 32) == 'e') {
        size_t sign = n + 1 < s.n && (s.p[n + 1] == '+' || s.p[n + 1] == '-');
        size_t exponent = run_of_digits(s, n + 1 + sign);
        if (exponent > n + 1 + sign)
            n = exponent;
    }
    return n;
}

static bool read_duration(sv s, int64_t *ret)
{
    return duration_prometheus(s, ret, NULL) || duration_go(s, ret, NULL);
}

/* The longest run of `s` from `from` made of digits, dots and the given letters. */
static size_t unit_run(sv s, size_t from, const char *letters)
{
    while (from < s.n && s.p[from] && (is_digit(s.p[from]) || s.p[from] == '.' || strchr(letters, s.p[from])))
        from++;
    return from;
}

static bool lex_number(struct lexer *lx, struct token *t)
{
    sv s = sv_from(lx->src, lx->at);
    size_t sign = s.p[0] == '-';
    size_t n = sign + number_length(sv_from(s, sign));
    size_t d = unit_run(s, n, "nsu\xc2\xb5\xce\xbcmhdwy");
    t->kind = T_DURATION;
    if (d > n && read_duration(sv_sub(s, 0, d), &t->ns)) {
        n = d;
    } else if (sign) {
        return false; /* a minus in front of anything but a duration is an operator */
    } else {
        size_t b = unit_run(s, n, "bBkKmMgGtTpPi");
        t->kind = b > n && bytes_humanised(sv_sub(s, 0, b), &t->value, NULL) ? T_BYTES : T_NUMBER;
        if (t->kind == T_BYTES)
            n = b;
    }
    t->text = sv_sub(s, 0, n);
    lx->at += n;
    return true;
}

static bool lex_range(struct lexer *lx, struct token *t, struct err *e)
{
    t->kind = T_RANGE;
    sv body = sv_from(lx->src, lx->at + 1);
    size_t n = sv_find_char(body, ']');
    if (n == SV_NPOS)
        return lex_error(lx, t, e, "missing closing ']' in duration");
    struct err cause = {0};
    t->text = sv_sub(body, 0, n);
    if (!duration_prometheus(t->text, &t->ns, &cause))
        return lex_error(lx, t, e, "%s", cause.msg);
    lx->at += n + 2;
    return true;
}

/* ---- words and punctuation ---- */

struct word {
    const char *text;
    enum token_kind kind;
    int op;
};
static const struct word reserved[] = {
    {"by", T_BY, 0},
    {"without", T_WITHOUT, 0},
    {"bool", T_BOOL, 0},
    {"on", T_ON, 0},
    {"ignoring", T_IGNORING, 0},
    {"group_left", T_GROUP_LEFT, 0},
    {"group_right", T_GROUP_RIGHT, 0},
    {"or", T_OR, 0},
    {"and", T_AND, 0},
    {"unless", T_UNLESS, 0},
    {"offset", T_OFFSET, 0},
    {"unwrap", T_UNWRAP, 0},
    {"json", T_JSON, 0},
    {"logfmt", T_LOGFMT, 0},
    {"regexp", T_REGEXP, 0},
    {"unpack", T_UNPACK, 0},
    {"pattern", T_PATTERN, 0},
    {"line_format", T_LINE_FORMAT, 0},
    {"label_format", T_LABEL_FORMAT, 0},
    {"decolorize", T_DECOLORIZE, 0},
    {"drop", T_DROP, 0},
    {"keep", T_KEEP, 0},
};
static const struct word functions[] = {
    {"count_over_time", T_RANGE_OP, RANGE_COUNT},
    {"rate", T_RANGE_OP, RANGE_RATE},
    {"rate_counter", T_RANGE_OP, RANGE_RATE_COUNTER},
    {"bytes_over_time", T_RANGE_OP, RANGE_BYTES},
    {"bytes_rate", T_RANGE_OP, RANGE_BYTES_RATE},
    {"avg_over_time", T_RANGE_OP, RANGE_AVG},
    {"sum_over_time", T_RANGE_OP, RANGE_SUM},
    {"min_over_time", T_RANGE_OP, RANGE_MIN},
    {"max_over_time", T_RANGE_OP, RANGE_MAX},
    {"stdvar_over_time", T_RANGE_OP, RANGE_STDVAR},
    {"stddev_over_time", T_RANGE_OP, RANGE_STDDEV},
    {"quantile_over_time", T_RANGE_OP, RANGE_QUANTILE},
    {"first_over_time", T_RANGE_OP, RANGE_FIRST},
    {"last_over_time", T_RANGE_OP, RANGE_LAST},
    {"absent_over_time", T_RANGE_OP, RANGE_ABSENT},
    {"sum", T_VECTOR_OP, VECTOR_SUM},
    {"avg", T_VECTOR_OP, VECTOR_AVG},
    {"count", T_VECTOR_OP, VECTOR_COUNT},
    {"max", T_VECTOR_OP, VECTOR_MAX},
    {"min", T_VECTOR_OP, VECTOR_MIN},
    {"stddev", T_VECTOR_OP, VECTOR_STDDEV},
    {"stdvar", T_VECTOR_OP, VECTOR_STDVAR},
    {"topk", T_VECTOR_OP, VECTOR_TOPK},
    {"bottomk", T_VECTOR_OP, VECTOR_BOTTOMK},
    {"sort", T_VECTOR_OP, VECTOR_SORT},
    {"sort_desc", T_VECTOR_OP, VECTOR_SORT_DESC},
    {"approx_topk", T_VECTOR_OP, VECTOR_APPROX_TOPK},
    {"vector", T_VECTOR, 0},
    {"label_replace", T_LABEL_REPLACE, 0},
    {"bytes", T_CONV, UNWRAP_BYTES},
    {"duration", T_CONV, UNWRAP_DURATION},
    {"duration_seconds", T_CONV, UNWRAP_DURATION_SECONDS},
    {"ip", T_IP, 0},
};

static const struct word *word_find(const struct word *w, size_t n, sv text)
{
    for (size_t i = 0; i < n; i++)
        if (sv_eq_nocase(text, sv_of(w[i].text)))
            return &w[i];
    return NULL;
}

static sv take_word(struct lexer *lx)
{
    size_t from = lx->at;
    while (lx->at < lx->src.n && (is_letter(lx->src.p[lx->at]) || is_digit(lx->src.p[lx->at])))
        lx->at++;
    return sv_sub(lx->src, from, lx->at - from);
}

/* Does a call follow: "(", "by (" or "without ("? */
static bool call_follows(struct lexer lx)
{
    skip_blank(&lx);
    if (peek(&lx, 0) == '(')
        return true;
    sv word = take_word(&lx);
    skip_blank(&lx);
    return (sv_eq_nocase(word, SV("by")) || sv_eq_nocase(word, SV("without"))) && peek(&lx, 0) == '(';
}

static void lex_word(struct lexer *lx, struct token *t)
{
    t->text = take_word(lx);
    const struct word *w = word_find(reserved, ARRAY_LEN(reserved), t->text);
    if (!w && call_follows(*lx))
        w = word_find(functions, ARRAY_LEN(functions), t->text);
    t->kind = w ? w->kind : T_IDENT;
    t->op = w ? w->op : 0;
    if (w)
        t->text = sv_of(w->text);
}

static void lex_punctuation(struct lexer *lx, struct token *t)
{
    static const struct {
        char text[3];
        enum token_kind kind;
    } marks[] = {{"|=", T_PIPE_EXACT}, {"|~", T_PIPE_MATCH}, {"|>", T_PIPE_PATTERN}, {"!>", T_NOT_PATTERN},
                 {"!=", T_NEQ},        {"!~", T_NRE},        {"=~", T_RE},           {"==", T_CMP_EQ},
                 {">=", T_GTE},        {"<=", T_LTE},        {"{", T_LBRACE},        {"}", T_RBRACE},
                 {"(", T_LPAREN},      {")", T_RPAREN},      {",", T_COMMA},         {".", T_DOT},
                 {"|", T_PIPE},        {"=", T_EQ},          {">", T_GT},            {"<", T_LT},
                 {"+", T_ADD},         {"-", T_SUB},         {"*", T_MUL},           {"/", T_DIV},
                 {"%", T_MOD},         {"^", T_POW}};
    sv rest = sv_from(lx->src, lx->at);
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (sv_starts(rest, sv_of(marks[i].text))) {
            t->kind = marks[i].kind;
            t->text = sv_sub(rest, 0, strlen(marks[i].text));
            lx->at += t->text.n;
            return;
        }
    t->kind = T_OTHER;
    lx->at++;
}

static bool lex_flag(struct lexer *lx, struct token *t)
{
    static const char *const flags[] = {"--strict", "--keep-empty"};
    sv rest = sv_from(lx->src, lx->at);
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        sv flag = sv_of(flags[i]);
        if (!sv_starts(rest, flag) || (rest.n > flag.n && (is_letter(rest.p[flag.n]) || rest.p[flag.n] == '-')))
            continue;
        t->kind = T_FLAG;
        t->text = flag;
        lx->at += flag.n;
        return true;
    }
    return false;
}

static bool lex_token(struct lexer *lx, struct token *t, struct err *e)
{
    char c = peek(lx, 0);
    if (c == '"' || c == '`') {
        t->kind = T_STRING;
        return c == '"' ? lex_quoted(lx, t, e) : lex_raw(lx, t, e);
    }
    if (c == '\'')
        return lex_char(lx, t, e);
    if (c == '[')
        return lex_range(lx, t, e);
    if (is_digit(c) || (c == '.' && is_digit(peek(lx, 1)))) {
        lex_number(lx, t);
        return true;
    }
    if (c == '-' && (lex_flag(lx, t) || (is_digit(peek(lx, 1)) && lex_number(lx, t))))
        return true;
    if (is_letter(c))
        lex_word(lx, t);
    else
        lex_punctuation(lx, t);
    return true;
}

bool lex_next(struct lexer *lx, struct token *ret, struct err *e)
{
    skip_blank(lx);
    *ret = (struct token){.pos = lx->at};
    if (lx->at < lx->src.n && !lex_token(lx, ret, e))
        return false;
    ret->end = lx->at;
    return true;
}

sv token_name(const struct lexer *lx, const struct token *t)
{
    switch (t->kind) {
    case T_END:
        return SV("$end");
    case T_OTHER:
    case T_IDENT:
        return SV("IDENTIFIER");
    case T_STRING:
        return SV("STRING");
    case T_NUMBER:
        return SV("NUMBER");
    case T_DURATION:
        return SV("DURATION");
    case T_BYTES:
        return SV("BYTES");
    case T_RANGE:
        return SV("RANGE");
    case T_FLAG:
        return SV("FUNCTION_FLAG");
    default:
        return t->text;
    }
}

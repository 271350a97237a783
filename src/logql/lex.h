/* lex.h - LogQL text to tokens. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

enum token_kind {
    T_END,
    T_OTHER, /* a character the grammar has no use for; named IDENTIFIER in messages, accepted nowhere */
    T_IDENT,
    T_STRING,   /* text: the unquoted value */
    T_NUMBER,   /* text: as written */
    T_DURATION, /* ns */
    T_BYTES,    /* value */
    T_RANGE,    /* [5m]: ns */
    T_FLAG,     /* --strict, --keep-empty: text */
    T_LBRACE,
    T_RBRACE,
    T_LPAREN,
    T_RPAREN,
    T_COMMA,
    T_DOT,
    T_PIPE,
    T_EQ,
    T_NEQ,
    T_RE,
    T_NRE,
    T_PIPE_EXACT,
    T_PIPE_MATCH,
    T_PIPE_PATTERN,
    T_NOT_PATTERN,
    T_CMP_EQ,
    T_GT,
    T_GTE,
    T_LT,
    T_LTE,
    T_ADD,
    T_SUB,
    T_MUL,
    T_DIV,
    T_MOD,
    T_POW,
    T_BY,
    T_WITHOUT,
    T_BOOL,
    T_ON,
    T_IGNORING,
    T_GROUP_LEFT,
    T_GROUP_RIGHT,
    T_OR,
    T_AND,
    T_UNLESS,
    T_OFFSET,
    T_UNWRAP,
    T_JSON,
    T_LOGFMT,
    T_REGEXP,
    T_UNPACK,
    T_PATTERN,
    T_LINE_FORMAT,
    T_LABEL_FORMAT,
    T_DECOLORIZE,
    T_DROP,
    T_KEEP,
    T_RANGE_OP,  /* op: enum range_op */
    T_VECTOR_OP, /* op: enum vector_op */
    T_VECTOR,
    T_LABEL_REPLACE,
    T_CONV, /* op: enum unwrap_conv */
    T_IP,
};
struct token {
    enum token_kind kind;
    size_t pos, end; /* bytes of the query */
    sv text;
    int op;
    int64_t ns;
    double value;
};
struct lexer {
    sv src;
    size_t at;
    struct arena *a; /* of unquoted strings */
};

/* ERR_PARSE with the position: bad literals and ranges. After T_END, T_END again. */
MUST_USE bool lex_next(struct lexer *lx, struct token *ret, struct err *e);
/* Takes what follows a backslash off *s, by Go's rules, and appends what it means; false for a bad escape. */
bool lex_unescape(sv *s, struct buf *out);
sv token_name(const struct lexer *lx, const struct token *t); /* as messages spell it */
/* Fills `e` with "parse error at line L, col C: msg" for a message at `t`; false. */
bool lex_error(const struct lexer *lx, const struct token *t, struct err *e, const char *fmt, ...) PRINTF_LIKE(4, 5);

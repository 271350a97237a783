/* ast.h - what a LogQL text means, as a tree. Everything lives in the arena of logql_parse(); compiled regexes hang off the
 * root, because they are not arena memory. Names follow the grammar of the LogQL documentation. */
#pragma once
#include "logql/ip.h"
#include "logql/json_path.h"
#include "logql/logql.h"
#include "logql/pattern.h"

struct template;

enum { LOGQL_MAX_TEXT = 131072, LOGQL_MAX_DEPTH = 100, LOGQL_MAX_NESTING = 320, LOGQL_MAX_MATCHERS = 1000, LOGQL_MAX_STAGES = 1000 };

enum line_op { LINE_CONTAINS, LINE_NOT_CONTAINS, LINE_MATCH, LINE_NOT_MATCH, LINE_PATTERN, LINE_NOT_PATTERN };
struct line_arg {
    sv text;
    struct regex *re;           /* LINE_MATCH, LINE_NOT_MATCH */
    const sv *literals;         /* when the regex is one of these texts and nothing else: faster to look for */
    size_t n_literals;
    const struct ip_range *ip;  /* ip("…"); else NULL */
    struct pattern pattern;     /* LINE_PATTERN, LINE_NOT_PATTERN */
};
struct line_filter { /* any of the arguments; the NOT forms: none of them */
    enum line_op op;
    struct line_arg *args;
    size_t n;
};

enum cmp_op { CMP_EQ, CMP_NEQ, CMP_GT, CMP_GTE, CMP_LT, CMP_LTE };
enum label_filter_kind { LF_AND, LF_OR, LF_STRING, LF_NUMBER, LF_DURATION, LF_BYTES, LF_IP };
struct label_filter {
    enum label_filter_kind kind;
    size_t depth;
    struct label_filter **kids; /* AND, OR: in order of evaluation */
    size_t n, cap;
    struct matcher m; /* STRING; name also for the other leaves */
    enum cmp_op cmp;  /* IP: EQ or NEQ */
    double value;     /* DURATION: seconds; BYTES: bytes */
    sv text;          /* the operand as written */
    struct ip_range ip;
};

struct extract { /* json a="x.y", logfmt a="b" */
    sv name, text;         /* text: the path or key as given, the name when not */
    struct json_path path; /* of json */
};
struct label_format { /* dst=src moves, dst="template" computes */
    sv dst, src;
    struct template *tmpl; /* of src; NULL: move */
};
struct name_match { /* drop a, b="x" */
    struct matcher m;
    bool has_matcher; /* else the name alone */
};

enum stage_kind {
    STAGE_LINE_FILTER,
    STAGE_JSON,
    STAGE_LOGFMT,
    STAGE_UNPACK,
    STAGE_REGEXP,
    STAGE_PATTERN,
    STAGE_LABEL_FILTER,
    STAGE_LINE_FORMAT,
    STAGE_LABEL_FORMAT,
    STAGE_DECOLORIZE,
    STAGE_DROP,
    STAGE_KEEP,
};
struct stage {
    enum stage_kind kind;
    struct line_filter line;      /* LINE_FILTER */
    struct extract *extracts;     /* JSON, LOGFMT: empty means all */
    struct label_filter *filter;  /* LABEL_FILTER */
    struct label_format *formats; /* LABEL_FORMAT */
    struct name_match *names;     /* DROP, KEEP */
    size_t n, cap;                /* of the one list above that the kind uses */
    bool strict, keep_empty;      /* LOGFMT */
    sv text;                      /* REGEXP, PATTERN, LINE_FORMAT: the argument */
    struct regex *re;             /* REGEXP */
    struct pattern pattern;       /* PATTERN */
    struct template *tmpl;        /* LINE_FORMAT */
};

struct log_query { /* a selector and its pipeline */
    struct matcher *matchers;
    size_t n_matchers, cap_matchers;
    struct stage *stages;
    size_t n_stages, cap_stages;
};

struct grouping {
    bool present, without;
    sv *names;
    size_t n, cap;
};

enum range_op {
    RANGE_COUNT,
    RANGE_RATE,
    RANGE_RATE_COUNTER,
    RANGE_BYTES,
    RANGE_BYTES_RATE,
    RANGE_AVG,
    RANGE_SUM,
    RANGE_MIN,
    RANGE_MAX,
    RANGE_STDVAR,
    RANGE_STDDEV,
    RANGE_QUANTILE,
    RANGE_FIRST,
    RANGE_LAST,
    RANGE_ABSENT,
};
enum unwrap_conv { UNWRAP_NUMBER, UNWRAP_BYTES, UNWRAP_DURATION, UNWRAP_DURATION_SECONDS };
struct unwrap {
    bool present;
    sv name;
    enum unwrap_conv conv;
    struct label_filter **filters; /* run after the value is known */
    size_t n, cap;
};
struct range_agg {
    enum range_op op;
    bool has_param;
    double param;
    struct log_query log;
    struct unwrap unwrap;
    int64_t range_ns, offset_ns;
    struct grouping by;
};

enum vector_op {
    VECTOR_SUM,
    VECTOR_AVG,
    VECTOR_COUNT,
    VECTOR_MAX,
    VECTOR_MIN,
    VECTOR_STDDEV,
    VECTOR_STDVAR,
    VECTOR_TOPK,
    VECTOR_BOTTOMK,
    VECTOR_SORT,
    VECTOR_SORT_DESC,
    VECTOR_APPROX_TOPK,
};
struct vector_agg {
    enum vector_op op;
    int64_t k; /* TOPK, BOTTOMK, APPROX_TOPK */
    struct logql_expr *inner;
    struct grouping by;
};

enum bin_op {
    BIN_OR,
    BIN_AND,
    BIN_UNLESS,
    BIN_EQ,
    BIN_NEQ,
    BIN_GT,
    BIN_GTE,
    BIN_LT,
    BIN_LTE,
    BIN_ADD,
    BIN_SUB,
    BIN_MUL,
    BIN_DIV,
    BIN_MOD,
    BIN_POW,
};
enum bin_match { MATCH_ALL, MATCH_ON, MATCH_IGNORING };
enum bin_group { GROUP_NONE, GROUP_LEFT, GROUP_RIGHT };
struct binary {
    enum bin_op op;
    struct logql_expr *left, *right;
    bool returns_bool;
    enum bin_match match;
    enum bin_group group;
    sv *names, *include;
    size_t n_names, cap_names, n_include, cap_include;
};

struct label_replace {
    struct logql_expr *inner;
    sv dst, replacement, src, pattern;
    struct regex *re;
};

enum expr_kind { EXPR_LOG, EXPR_RANGE, EXPR_VECTOR_AGG, EXPR_BINARY, EXPR_LITERAL, EXPR_VECTOR, EXPR_LABEL_REPLACE };
struct regex_owner {
    struct regex_owner *next;
    struct regex *re;
};
struct logql_expr {
    enum expr_kind kind;
    size_t depth;                /* of the tree below, 1 for a leaf */
    struct regex_owner *regexes; /* of the root: all that the tree uses */
    union {
        struct log_query log;
        struct range_agg range;
        struct vector_agg agg;
        struct binary bin;
        double value; /* LITERAL, VECTOR */
        struct label_replace replace;
    };
};

/* The words of the language, by enum value; for printing and for messages. */
extern const char *const range_op_names[], *const vector_op_names[], *const bin_op_names[], *const cmp_op_names[],
    *const line_op_names[], *const match_op_names[], *const unwrap_conv_names[];

static inline bool bin_op_is_set(enum bin_op op)
{
    return op <= BIN_UNLESS;
}
static inline bool bin_op_is_comparison(enum bin_op op)
{
    return op >= BIN_EQ && op <= BIN_LTE;
}
/* Two numbers joined; comparisons give 1 or 0. x / 0 and x % 0 are NaN. */
double bin_op_numbers(enum bin_op op, double a, double b);

/* print.c: parts of the canonical text, for messages. */
void print_stage(const struct stage *s, struct buf *out);
void print_log_query(const struct log_query *q, struct buf *out);
void print_quoted(sv s, struct buf *out);

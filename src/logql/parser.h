/* parser.h - what the parts of the parser share: parse.c and parse_binary.c have expressions, parse_pipeline.c selectors and
 * stages. */
#pragma once
#include "logql/ast.h"
#include "logql/lex.h"

struct parser {
    struct lexer lx;
    struct token t; /* the current token */
    struct arena *a;
    struct err *e;
    size_t nesting; /* of parentheses and calls around the current token */
    size_t n_matchers;
    struct regex_owner *regexes;
};

/* All return false (or NULL) with the error filled. */
bool p_next(struct parser *p);
/* "syntax error: unexpected X[, expecting …]"; `expecting` lists at most four, NULL when there would be more. */
bool p_unexpected(struct parser *p, const char *expecting);
bool p_expect(struct parser *p, enum token_kind kind, const char *expecting);
bool p_take_text(struct parser *p, enum token_kind kind, const char *expecting, sv *ret);
bool p_fail(struct parser *p, const char *fmt, ...) PRINTF_LIKE(2, 3); /* "parse error : …", no position */
bool p_nomem(struct parser *p);
bool p_enter(struct parser *p); /* one level deeper; the caller decrements p->nesting on the way out */
bool p_regex(struct parser *p, sv pattern, unsigned flags, struct regex **ret);
bool p_names(struct parser *p, sv **names, size_t *n, size_t *cap); /* "(" [ IDENT { "," IDENT } ] ")" */
/* Room for one more item in an arena vector, cleared; NULL when out of memory. */
#define p_push(p, list) ((__typeof__((list).at))p_push_((p), (void **)&(list).at, &(list).n, &(list).cap, sizeof *(list).at))
void *p_push_(struct parser *p, void **at, size_t *n, size_t *cap, size_t size);

struct logql_expr *p_expr(struct parser *p);
struct logql_expr *p_primary(struct parser *p); /* an expression without operators around it */
struct logql_expr *p_node(struct parser *p, enum expr_kind kind, size_t depth); /* cleared; NULL: too deep, no memory */

bool p_selector(struct parser *p, struct log_query *q);
bool p_starts_stage(const struct parser *p); /* at a line filter operator or `|` */
/* Stages up to the first token that starts none. With `uw`, `| unwrap …` is taken, too, and ends the pipeline. */
bool p_pipeline(struct parser *p, struct log_query *q, struct unwrap *uw);
bool p_unwrap_filters(struct parser *p, struct unwrap *uw);
bool p_label_filter(struct parser *p, struct label_filter **ret);
/* At least one matcher must not accept the empty string. */
bool p_check_matchers(struct parser *p, const struct log_query *q);

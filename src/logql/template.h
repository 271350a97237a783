/* template.h - the text/template of line_format and label_format: text, fields, pipelines, functions, if/else. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/regex.h"

struct template;

/* ERR_PARSE has Go's wording: template: line:1: function "nofunc" not defined. `name` is "line" or "label". */
MUST_USE bool template_compile(sv text, const char *name, struct arena *a, struct template **ret, struct err *e);
/* What the template uses that is valid, but not done here; SV_NULL when nothing. */
sv template_unsupported(const struct template *t);

/* The names of all fields ({{.x}}), one by one, perhaps more than once. */
void template_fields(const struct template *t, void (*fn)(void *ctx, sv name), void *ctx);

struct template_env {
    sv (*label)(void *ctx, sv name); /* SV_NULL: missing */
    void *ctx;
    sv line;
    int64_t ts_ns;
    struct arena *a; /* of intermediate values; may be reset by the caller after the call */
    struct template_regexes *regexes;
};
/* Patterns that templates compiled while running; one cache serves all templates of a run. */
struct template_regexes {
    struct regex *re[32];
    sv pattern[32]; /* malloc'd */
    size_t n;
};
void template_regexes_done(struct template_regexes *c);
/* Appends to `out`. False: a template error (ERR_INVALID: the text of __error_details__) or ERR_NOMEM, ERR_LIMIT. */
MUST_USE bool template_run(const struct template *t, const struct template_env *env, struct buf *out, struct err *e);

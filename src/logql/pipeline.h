/* pipeline.h - the stages of a log query, applied to one row after another. */
#pragma once
#include "logql/ast.h"
#include "logql/label_row.h"
#include "logql/line_parse.h"
#include "logql/template.h"

struct pipeline {
    const struct log_query *q;
    struct parse_hints hints;
    struct arena scratch; /* of the current row */
    struct template_regexes regexes;
    /* the current row, after pipeline_row() said true */
    struct label_row row;
    sv line;
    int64_t ts;
};

/* ERR_UNSUPPORTED names what cannot be evaluated, as written. */
MUST_USE bool pipeline_check(const struct log_query *q, struct err *e);
/* `hints`: what to parse; its names must outlive the pipeline. */
void pipeline_init(struct pipeline *pl, const struct log_query *q, struct parse_hints hints);
void pipeline_done(struct pipeline *pl);
/* 1: the row passes; 0: it is filtered out; -1: error. Views into the row's memory live until the next call. */
int pipeline_row(struct pipeline *pl, int64_t ts, sv line, struct labels stream, struct labels metadata, struct err *e);
bool label_filter_row(const struct label_filter *f, struct label_row *r);
/* False: the filter, all of whose names have this value (p NULL: none), drops the row. Any thread. */
bool label_filter_may_accept(const struct label_filter *f, sv value);

/* What the stages read and do: for the planner. */
bool pipeline_reads_lines(const struct log_query *q);
bool pipeline_reads_labels(const struct log_query *q);
bool pipeline_changes_lines(const struct log_query *q);
bool pipeline_parses(const struct log_query *q);
/* Label names that the stages need, handed to fn one by one (more than once is fine). */
void pipeline_needed_names(const struct log_query *q, void (*fn)(void *ctx, sv name), void *ctx);
void label_filter_names(const struct label_filter *f, void (*fn)(void *ctx, sv name), void *ctx);

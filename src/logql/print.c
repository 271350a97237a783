/* print.c - the canonical one-line text of an expression. Parsing it gives the same tree and the same text again. */
#include "logql/ast.h"
#include "logql/units.h"
#include <math.h>

void print_quoted(sv s, struct buf *out)
{
    buf_char(out, '"');
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t utf8 = c < 0x80 ? 1 : sv_utf8_prefix(sv_sub(s, i, 4));
        const char *simple = c ? strchr("\a\a\b\b\f\f\n\n\r\r\t\t\v\v\"\"\\\\", c) : NULL;
        if (simple)
            buf_fmt(out, "\\%c", "aabbffnnrrttvv\"\"\\\\"[simple - "\a\a\b\b\f\f\n\n\r\r\t\t\v\v\"\"\\\\"]);
        else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
            buf_fmt(out, "\\x%02x", c);
        else
            buf_put(out, s.p + i, c < 0x80 ? 1 : (utf8 = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2));
        i += c < 0x80 || !utf8 ? 1 : utf8;
    }
    buf_char(out, '"');
}

static void print_matcher(const struct matcher *m, struct buf *out)
{
    buf_sv(out, m->name);
    buf_sv(out, sv_of(match_op_names[m->op]));
    print_quoted(m->value, out);
}

static void print_names(const sv *names, size_t n, struct buf *out)
{
    buf_char(out, '(');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_char(out, ',');
        buf_sv(out, names[i]);
    }
    buf_char(out, ')');
}

static void print_ip(sv text, struct buf *out)
{
    buf_sv(out, SV("ip("));
    print_quoted(text, out);
    buf_char(out, ')');
}

static void print_line_filter(const struct line_filter *f, struct buf *out)
{
    buf_sv(out, sv_of(line_op_names[f->op]));
    for (size_t i = 0; i < f->n; i++) {
        buf_sv(out, i ? SV(" or ") : SV(" "));
        if (f->args[i].ip)
            print_ip(f->args[i].text, out);
        else
            print_quoted(f->args[i].text, out);
    }
}

static void print_label_filter(const struct label_filter *f, struct buf *out)
{
    switch (f->kind) {
    case LF_AND:
    case LF_OR:
        buf_sv(out, SV("( "));
        for (size_t i = 0; i < f->n; i++) {
            if (i)
                buf_sv(out, f->kind == LF_AND ? SV(" and ") : SV(" or "));
            print_label_filter(f->kids[i], out);
        }
        buf_sv(out, SV(" )"));
        break;
    case LF_STRING:
        print_matcher(&f->m, out);
        break;
    case LF_IP:
        buf_sv(out, f->m.name);
        buf_sv(out, sv_of(cmp_op_names[f->cmp]));
        print_ip(f->text, out);
        break;
    case LF_NUMBER:
    case LF_DURATION:
    case LF_BYTES:
        buf_sv(out, f->m.name);
        buf_sv(out, sv_of(cmp_op_names[f->cmp]));
        buf_sv(out, f->text);
        break;
    }
}

static void print_extracts(const struct stage *s, struct buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        buf_sv(out, i ? SV(",") : SV(" "));
        buf_sv(out, s->extracts[i].name);
        buf_char(out, '=');
        print_quoted(s->extracts[i].text, out);
    }
}

static void print_formats(const struct stage *s, struct buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        buf_sv(out, i ? SV(",") : SV(" "));
        buf_sv(out, s->formats[i].dst);
        buf_char(out, '=');
        if (s->formats[i].tmpl || !s->formats[i].src.n)
            print_quoted(s->formats[i].src, out);
        else
            buf_sv(out, s->formats[i].src);
    }
}

static void print_name_matches(const struct stage *s, struct buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        buf_sv(out, i ? SV(",") : SV(" "));
        if (s->names[i].has_matcher)
            print_matcher(&s->names[i].m, out);
        else
            buf_sv(out, s->names[i].m.name);
    }
}

void print_stage(const struct stage *s, struct buf *out)
{
    static const char *const words[] = {
        [STAGE_JSON] = "json",           [STAGE_LOGFMT] = "logfmt",   [STAGE_UNPACK] = "unpack",
        [STAGE_REGEXP] = "regexp ",      [STAGE_PATTERN] = "pattern ", [STAGE_LABEL_FILTER] = "",
        [STAGE_LINE_FORMAT] = "line_format ", [STAGE_LABEL_FORMAT] = "label_format", [STAGE_DECOLORIZE] = "decolorize",
        [STAGE_DROP] = "drop",           [STAGE_KEEP] = "keep",
    };
    if (s->kind == STAGE_LINE_FILTER) {
        print_line_filter(&s->line, out);
        return;
    }
    buf_sv(out, SV("| "));
    buf_sv(out, sv_of(words[s->kind]));
    if (s->strict)
        buf_sv(out, SV(" --strict"));
    if (s->keep_empty)
        buf_sv(out, SV(" --keep-empty"));
    switch (s->kind) {
    case STAGE_JSON:
    case STAGE_LOGFMT:
        print_extracts(s, out);
        break;
    case STAGE_REGEXP:
    case STAGE_PATTERN:
    case STAGE_LINE_FORMAT:
        print_quoted(s->text, out);
        break;
    case STAGE_LABEL_FILTER:
        print_label_filter(s->filter, out);
        break;
    case STAGE_LABEL_FORMAT:
        print_formats(s, out);
        break;
    case STAGE_DROP:
    case STAGE_KEEP:
        print_name_matches(s, out);
        break;
    case STAGE_LINE_FILTER:
    case STAGE_UNPACK:
    case STAGE_DECOLORIZE:
        break;
    }
}

void print_log_query(const struct log_query *q, struct buf *out)
{
    buf_char(out, '{');
    for (size_t i = 0; i < q->n_matchers; i++) {
        if (i)
            buf_sv(out, SV(", "));
        print_matcher(&q->matchers[i], out);
    }
    buf_char(out, '}');
    for (size_t i = 0; i < q->n_stages; i++) {
        buf_char(out, ' ');
        print_stage(&q->stages[i], out);
    }
}

static void print_unwrap(const struct unwrap *uw, struct buf *out)
{
    buf_sv(out, SV(" | unwrap "));
    buf_sv(out, sv_of(unwrap_conv_names[uw->conv]));
    if (uw->conv != UNWRAP_NUMBER)
        buf_char(out, '(');
    buf_sv(out, uw->name);
    if (uw->conv != UNWRAP_NUMBER)
        buf_char(out, ')');
    for (size_t i = 0; i < uw->n; i++) {
        buf_sv(out, SV(" | "));
        print_label_filter(uw->filters[i], out);
    }
}

/* What no literal can say is written as the sum that gives it. */
static void print_number(double v, struct buf *out)
{
    if (isnan(v))
        buf_sv(out, SV("(0 / 0)"));
    else if (isinf(v))
        buf_sv(out, v > 0 ? SV("(1e308 * 10)") : SV("(-1e308 * 10)"));
    else
        print_float(v, out);
}

static void print_grouping(const struct grouping *by, struct buf *out)
{
    if (!by->present)
        return;
    buf_sv(out, by->without ? SV(" without ") : SV(" by "));
    print_names(by->names, by->n, out);
}

static void print_range_agg(const struct range_agg *r, struct buf *out)
{
    buf_sv(out, sv_of(range_op_names[r->op]));
    buf_char(out, '(');
    if (r->has_param) {
        print_number(r->param, out);
        buf_char(out, ',');
    }
    print_log_query(&r->log, out);
    if (r->unwrap.present)
        print_unwrap(&r->unwrap, out);
    buf_char(out, '[');
    print_duration_prometheus(r->range_ns, out);
    buf_char(out, ']');
    if (r->offset_ns) {
        buf_sv(out, SV(" offset "));
        print_duration_go(r->offset_ns, out);
    }
    buf_char(out, ')');
    print_grouping(&r->by, out);
}

static void print_vector_agg(const struct vector_agg *v, struct buf *out)
{
    buf_sv(out, sv_of(vector_op_names[v->op]));
    print_grouping(&v->by, out);
    buf_char(out, '(');
    if (v->k) {
        buf_i64(out, v->k);
        buf_char(out, ',');
    }
    logql_print(v->inner, out);
    buf_char(out, ')');
}

static void print_binary(const struct binary *b, struct buf *out)
{
    buf_char(out, '(');
    logql_print(b->left, out);
    buf_fmt(out, " %s", bin_op_names[b->op]);
    if (b->returns_bool)
        buf_sv(out, SV(" bool"));
    if (b->match != MATCH_ALL) {
        buf_sv(out, b->match == MATCH_ON ? SV(" on ") : SV(" ignoring "));
        print_names(b->names, b->n_names, out);
    }
    if (b->group != GROUP_NONE) {
        buf_sv(out, b->group == GROUP_LEFT ? SV(" group_left ") : SV(" group_right "));
        print_names(b->include, b->n_include, out);
    }
    buf_char(out, ' ');
    logql_print(b->right, out);
    buf_char(out, ')');
}

static void print_label_replace(const struct label_replace *r, struct buf *out)
{
    const sv texts[] = {r->dst, r->replacement, r->src, r->pattern};
    buf_sv(out, SV("label_replace("));
    logql_print(r->inner, out);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        buf_char(out, ',');
        print_quoted(texts[i], out);
    }
    buf_char(out, ')');
}

void logql_print(const struct logql_expr *x, struct buf *out)
{
    switch (x->kind) {
    case EXPR_LOG:
        print_log_query(&x->log, out);
        break;
    case EXPR_RANGE:
        print_range_agg(&x->range, out);
        break;
    case EXPR_VECTOR_AGG:
        print_vector_agg(&x->agg, out);
        break;
    case EXPR_BINARY:
        print_binary(&x->bin, out);
        break;
    case EXPR_LITERAL:
        print_number(x->value, out);
        break;
    case EXPR_VECTOR:
        buf_sv(out, SV("vector("));
        print_number(x->value, out);
        buf_char(out, ')');
        break;
    case EXPR_LABEL_REPLACE:
        print_label_replace(&x->replace, out);
        break;
    }
}

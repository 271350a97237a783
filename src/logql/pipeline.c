/* pipeline.c - the stages of a log query.
 * (1) Stages run as written, on one row at a time; a stage either drops the row or leaves it to the next one.
 * (2) Only filters drop rows. What goes wrong in a stage is noted in __error__ and the row goes on.
 * (3) The row's memory (scratch) is released when the next row starts. */
#include "logql/pipeline.h"

static const size_t scratch_keep = 32 << 10, scratch_max = 64 << 20;

void pipeline_init(struct pipeline *pl, const struct log_query *q, struct parse_hints hints)
{
    *pl = (struct pipeline){.q = q, .hints = hints};
    arena_init(&pl->scratch, scratch_max);
}

void pipeline_done(struct pipeline *pl)
{
    arena_done(&pl->scratch);
    template_regexes_done(&pl->regexes);
}

/* ---- line filters ---- */

static bool arg_matches(const struct line_filter *f, const struct line_arg *arg, sv line)
{
    if (arg->ip)
        return ip_range_in_line(arg->ip, line);
    switch (f->op) {
    case LINE_CONTAINS:
    case LINE_NOT_CONTAINS:
        return sv_find(line, arg->text) != SV_NPOS;
    case LINE_MATCH:
    case LINE_NOT_MATCH:
        for (size_t i = 0; i < arg->n_literals; i++)
            if (sv_find(line, arg->literals[i]) != SV_NPOS)
                return true;
        return !arg->n_literals && regex_match(arg->re, line);
    case LINE_PATTERN:
    case LINE_NOT_PATTERN:
        return pattern_matches(&arg->pattern, line);
    }
    return false;
}

static bool line_op_negates(enum line_op op)
{
    return op == LINE_NOT_CONTAINS || op == LINE_NOT_MATCH || op == LINE_NOT_PATTERN;
}

static bool line_filter_row(const struct line_filter *f, sv line)
{
    bool any = false;
    for (size_t i = 0; i < f->n && !any; i++)
        any = arg_matches(f, &f->args[i], line);
    return any != line_op_negates(f->op);
}

/* ---- formatting ---- */

static sv env_label(void *ctx, sv name)
{
    return label_row_get(ctx, name);
}

/* False: no result; the row has the error, or e is filled when memory is out. */
static bool run_template(struct pipeline *pl, const struct template *t, sv *ret, struct err *e)
{
    SCOPED(buf_done) struct buf out = buf_capped(1 << 20);
    struct err cause = {0};
    struct template_env env = {.label = env_label,
                               .ctx = &pl->row,
                               .line = pl->line,
                               .ts_ns = pl->ts,
                               .a = &pl->scratch,
                               .regexes = &pl->regexes};
    if (template_run(t, &env, &out, &cause)) {
        *ret = arena_sv(&pl->scratch, buf_view(&out));
        if (!ret->p)
            pl->row.failed = true;
        return ret->p != NULL;
    }
    if (cause.code == ERR_NOMEM) {
        if (e)
            *e = cause;
        pl->row.failed = true;
        return false;
    }
    label_row_set_error(&pl->row, SV("TemplateFormatErr"), arena_sv(&pl->scratch, sv_of(cause.msg)));
    return false;
}

/* Templates see the labels as they were before the first template of the stage, so all results come first. */
static void label_format_row(struct pipeline *pl, const struct stage *s, struct err *e)
{
    sv *results = arena_zalloc(&pl->scratch, s->n * sizeof *results);
    bool ran = false;
    if (!results) {
        pl->row.failed = true;
        return;
    }
    for (size_t i = 0; i < s->n && !pl->row.failed; i++) {
        const struct label_format *f = &s->formats[i];
        if (!f->tmpl) {
            sv value = label_row_get(&pl->row, f->src);
            if (value.p) {
                label_row_set(&pl->row, f->dst, value);
                if (!sv_eq(f->dst, f->src))
                    label_row_drop(&pl->row, f->src);
            }
            continue;
        }
        for (size_t j = i; !ran && j < s->n; j++)
            if (s->formats[j].tmpl && !run_template(pl, s->formats[j].tmpl, &results[j], e))
                results[j] = SV_NULL;
        ran = true;
        if (results[i].p)
            label_row_set(&pl->row, f->dst, results[i]);
    }
}

/* ---- drop, keep, decolorize ---- */

static bool name_match_accepts(const struct name_match *m, sv name, sv value)
{
    return sv_eq(m->m.name, name) && (!m->has_matcher || matcher_accepts(&m->m, value));
}

static void drop_row(struct label_row *r, const struct stage *s)
{
    for (size_t i = 0; i < s->n; i++) {
        sv value = label_row_get(r, s->names[i].m.name);
        if (value.p && name_match_accepts(&s->names[i], s->names[i].m.name, value))
            label_row_drop(r, s->names[i].m.name);
    }
}

static void keep_row(struct label_row *r, const struct stage *s)
{
    struct labels all = label_row_labels(r, LABEL_STREAM | LABEL_METADATA | LABEL_PARSED, r->a);
    r->failed |= !all.at;
    for (size_t i = 0; i < all.n; i++) {
        bool keep = false;
        for (size_t j = 0; j < s->n && !keep; j++)
            keep = name_match_accepts(&s->names[j], all.at[i].name, all.at[i].value);
        if (!keep)
            label_row_drop(r, all.at[i].name);
    }
}

/* Without its ANSI control sequences: ESC [ parameters, ended by a letter. */
static sv decolorized(sv line, struct label_row *r)
{
    if (sv_find_char(line, '\x1b') == SV_NPOS)
        return line;
    char *p = arena_alloc(r->a, line.n);
    size_t n = 0;
    if (!p) {
        r->failed = true;
        return line;
    }
    for (size_t i = 0; i < line.n;) {
        size_t end = i + 2;
        if (line.p[i] == '\x1b' && i + 1 < line.n && line.p[i + 1] == '[') {
            while (end < line.n && line.p[end] >= 0x20 && line.p[end] < 0x40)
                end++;
            if (end < line.n && line.p[end] >= 0x40 && line.p[end] < 0x7f) {
                i = end + 1;
                continue;
            }
        }
        p[n++] = line.p[i++];
    }
    return sv_make(p, n);
}

/* ---- the walk ---- */

static void json_row(struct pipeline *pl, const struct stage *s)
{
    if (s->n)
        json_extract(pl->line, s->extracts, s->n, &pl->row);
    else
        json_extract_all(pl->line, &pl->hints, &pl->row);
}

static void logfmt_row(struct pipeline *pl, const struct stage *s)
{
    if (s->n)
        logfmt_extract(pl->line, s->strict, s->extracts, s->n, &pl->row);
    else
        logfmt_extract_all(pl->line, s->strict, s->keep_empty, &pl->hints, &pl->row);
}

static bool is_parser(enum stage_kind k)
{
    return k == STAGE_JSON || k == STAGE_LOGFMT || k == STAGE_REGEXP || k == STAGE_PATTERN;
}

/* False: the row is filtered out. */
static bool stage_row(struct pipeline *pl, const struct stage *s, struct err *e)
{
    sv text;
    switch (s->kind) {
    case STAGE_LINE_FILTER:
        return line_filter_row(&s->line, pl->line);
    case STAGE_LABEL_FILTER:
        return label_filter_row(s->filter, &pl->row);
    case STAGE_JSON:
        json_row(pl, s);
        break;
    case STAGE_LOGFMT:
        logfmt_row(pl, s);
        break;
    case STAGE_UNPACK:
        json_unpack(&pl->line, &pl->row);
        break;
    case STAGE_REGEXP:
        regexp_extract(pl->line, s->re, &pl->row);
        break;
    case STAGE_PATTERN:
        pattern_extract(pl->line, &s->pattern, &pl->row);
        break;
    case STAGE_LINE_FORMAT:
        if (run_template(pl, s->tmpl, &text, e))
            pl->line = text;
        break;
    case STAGE_LABEL_FORMAT:
        label_format_row(pl, s, e);
        break;
    case STAGE_DECOLORIZE:
        pl->line = decolorized(pl->line, &pl->row);
        break;
    case STAGE_DROP:
        drop_row(&pl->row, s);
        break;
    case STAGE_KEEP:
        keep_row(&pl->row, s);
        break;
    }
    return true;
}

int pipeline_row(struct pipeline *pl, int64_t ts, sv line, struct labels stream, struct labels metadata, struct err *e)
{
    if (pl->scratch.used > scratch_keep || pl->scratch.failed)
        arena_reset(&pl->scratch);
    label_row_start(&pl->row, stream, metadata, &pl->scratch);
    pl->line = line;
    pl->ts = ts;
    for (size_t i = 0; i < pl->q->n_stages; i++) {
        const struct stage *s = &pl->q->stages[i];
        if (pl->hints.skip && is_parser(s->kind))
            continue;
        if (!stage_row(pl, s, e))
            return 0;
        if (pl->row.failed) {
            arena_err(&pl->scratch, e, "memory of one entry");
            return -1;
        }
    }
    return 1;
}

/* ---- what the stages need ---- */

static bool unsupported_template(const struct template *t, const struct stage *s, struct err *e)
{
    sv what = t ? template_unsupported(t) : SV_NULL;
    if (!what.n)
        return false;
    SCOPED(buf_done) struct buf text = {0};
    print_stage(s, &text);
    err_set(e, ERR_UNSUPPORTED, "not supported yet: %.*s in the template of %.*s", (int)MIN(what.n, (size_t)60), what.p,
            (int)MIN(text.n, (size_t)300), text.p ? text.p : "");
    return true;
}

bool pipeline_check(const struct log_query *q, struct err *e)
{
    for (size_t i = 0; i < q->n_stages; i++) {
        const struct stage *s = &q->stages[i];
        if (unsupported_template(s->tmpl, s, e))
            return false;
        for (size_t j = 0; s->kind == STAGE_LABEL_FORMAT && j < s->n; j++)
            if (unsupported_template(s->formats[j].tmpl, s, e))
                return false;
    }
    return true;
}

bool pipeline_changes_lines(const struct log_query *q)
{
    for (size_t i = 0; i < q->n_stages; i++)
        if (q->stages[i].kind == STAGE_LINE_FORMAT || q->stages[i].kind == STAGE_UNPACK ||
            q->stages[i].kind == STAGE_DECOLORIZE)
            return true;
    return false;
}

static bool stage_reads_line(const struct stage *s)
{
    switch (s->kind) {
    case STAGE_LABEL_FILTER:
    case STAGE_DROP:
    case STAGE_KEEP:
        return false;
    case STAGE_LABEL_FORMAT:
        for (size_t i = 0; i < s->n; i++)
            if (s->formats[i].tmpl)
                return true;
        return false;
    default:
        return true;
    }
}

bool pipeline_reads_lines(const struct log_query *q)
{
    for (size_t i = 0; i < q->n_stages; i++)
        if (stage_reads_line(&q->stages[i]))
            return true;
    return false;
}

bool pipeline_reads_labels(const struct log_query *q)
{
    for (size_t i = 0; i < q->n_stages; i++)
        if (q->stages[i].kind != STAGE_LINE_FILTER && q->stages[i].kind != STAGE_DECOLORIZE)
            return true;
    return false;
}

bool pipeline_parses(const struct log_query *q)
{
    for (size_t i = 0; i < q->n_stages; i++)
        if (is_parser(q->stages[i].kind))
            return true;
    return false;
}

static void stage_needed_names(const struct stage *s, void (*fn)(void *ctx, sv name), void *ctx)
{
    switch (s->kind) {
    case STAGE_LABEL_FILTER:
        label_filter_names(s->filter, fn, ctx);
        break;
    case STAGE_LINE_FORMAT:
        template_fields(s->tmpl, fn, ctx);
        break;
    case STAGE_LABEL_FORMAT:
        for (size_t i = 0; i < s->n; i++) {
            if (s->formats[i].tmpl)
                template_fields(s->formats[i].tmpl, fn, ctx);
            else
                fn(ctx, s->formats[i].src);
        }
        break;
    case STAGE_DROP:
    case STAGE_KEEP:
        for (size_t i = 0; i < s->n; i++)
            if (s->names[i].has_matcher || s->kind == STAGE_KEEP)
                fn(ctx, s->names[i].m.name);
        break;
    default:
        break;
    }
}

void pipeline_needed_names(const struct log_query *q, void (*fn)(void *ctx, sv name), void *ctx)
{
    for (size_t i = 0; i < q->n_stages; i++)
        stage_needed_names(&q->stages[i], fn, ctx);
}

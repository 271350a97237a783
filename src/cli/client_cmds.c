/* client_cmds.c - `weir query`, `labels`, `series`: a command-line client for any Loki-compatible server.
 * One request, one answer; entries of all streams are merged by time before printing. While a query takes long, a terminal
 * sees a line of progress on stderr. */
#include "cli/cli.h"
#include "base/base.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/json_out.h"
#include "base/lock.h"
#include "base/vec.h"
#include "net/client.h"
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define RESPONSE_MAX (1ull << 30)
#define JSON_DEPTH 64

struct client_options {
    char *addr, *org_id, *since, *from, *to, *output, *step;
    uint64_t limit;
    bool forward, instant, explain;
    int64_t timeout;
};
static const struct option client_table[] = {
    OPT_ARG(STR, struct client_options, addr, NULL, "URL",
            "server (environment: WEIR_ADDR, LOKI_ADDR; otherwise http://127.0.0.1:3100)"),
    OPT_ARG(STR, struct client_options, org_id, NULL, "TENANT", "tenant, sent as X-Scope-OrgID (LOKI_ORG_ID)"),
    OPT_ARG(STR, struct client_options, since, "1h", "1h", "look back this far from now, unless --from is given"),
    OPT_ARG(STR, struct client_options, from, NULL, "TIME", "start: RFC 3339 or Unix time"),
    OPT_ARG(STR, struct client_options, to, NULL, "TIME", "end: RFC 3339 or Unix time"),
    OPT(DURATION, struct client_options, timeout, "60s", "give up after"),
    {0},
};
static const struct option query_table[] = {
    OPT(U64, struct client_options, limit, "100", "most log lines to show"),
    OPT(BOOL, struct client_options, forward, "false", "oldest first"),
    OPT(BOOL, struct client_options, instant, "false", "evaluate a metric query at one instant (--to, or now)"),
    OPT_ARG(STR, struct client_options, step, NULL, "15s", "distance between the points of a metric query"),
    OPT(BOOL, struct client_options, explain, "false", "say what was read for the answer, instead of the answer"),
    OPT_ARG(STR, struct client_options, output, "table", "table|raw|jsonl", "how to print"),
    {0},
};

/* ---- one request, waited for ---- */

struct call {
    struct lock mu;
    struct cond done_cv;
    bool done;  /* under mu */
    int status; /* set before done */
    struct buf body;
    struct err err;
};

static void on_answer(void *ctx, const struct client_response *r)
{
    struct call *c = ctx;
    LOCK_SCOPED(&c->mu);
    c->status = r->status;
    c->err = r->err;
    buf_sv(&c->body, r->body);
    c->done = true;
    cond_signal(&c->done_cv);
}

static void wait_with_progress(struct call *c)
{
    int64_t started = clock_mono_ns(), next = started + 2 * NS_PER_S;
    bool tty = isatty(STDERR_FILENO), shown = false;
    lock_acquire(&c->mu);
    while (!c->done) {
        if (cond_wait_until(&c->done_cv, &c->mu, next) || c->done)
            continue;
        if (tty)
            fprintf(stderr, "\rwaiting for the answer… %lld s", (long long)((clock_mono_ns() - started) / NS_PER_S));
        shown = tty;
        next += NS_PER_S;
    }
    lock_release(&c->mu);
    if (shown)
        fprintf(stderr, "\r\033[K");
}

static bool fetch(const struct client_options *o, const char *url, struct buf *ret, struct err *e)
{
    struct loop *loop = NULL;
    struct http_client *client = NULL;
    struct call c = {0};
    lock_init(&c.mu);
    cond_init(&c.done_cv);
    struct http_client_config cfg = {.name = "query", .max_response_bytes = RESPONSE_MAX};
    bool ok = loop_open("query", &loop, e) && http_client_open(&cfg, loop, &client, e);
    if (ok) {
        struct http_header tenant = {SV("x-scope-orgid"), sv_of(o->org_id)};
        struct client_request req = {.method = "GET",
                                     .url = url,
                                     .headers = &tenant,
                                     .n_headers = o->org_id && *o->org_id ? 1 : 0,
                                     .timeout_ms = o->timeout / NS_PER_MS};
        http_client_send(client, &req, on_answer, &c);
        wait_with_progress(&c);
        if (!c.status) {
            *e = c.err;
            ok = err_ctx(e, "%s", o->addr);
        } else if (c.status != 200) {
            sv text = sv_trim(buf_view(&c.body));
            ok = err_set(e, ERR_INVALID, "%s answered %d: " SV_FMT, o->addr, c.status, SV_ARG(text));
        } else {
            ok = buf_ok(&c.body, e);
            *ret = c.body;
            c.body = (struct buf){0};
        }
    }
    http_client_close(client);
    loop_close(loop);
    buf_done(&c.body);
    cond_done(&c.done_cv);
    lock_done(&c.mu);
    return ok;
}

/* ---- building the URL ---- */

static void put_escaped(struct buf *url, sv value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char ch = (unsigned char)value.p[i];
        bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
                     strchr("-_.~", ch);
        if (plain && ch)
            buf_char(url, (char)ch);
        else
            buf_fmt(url, "%%%02X", ch);
    }
}

static void put_param(struct buf *url, const char *name, sv value)
{
    bool first = sv_find_char(buf_view(url), '?') == SV_NPOS;
    buf_fmt(url, "%c%s=", first ? '?' : '&', name);
    put_escaped(url, value);
}

static void put_range(struct buf *url, const struct client_options *o)
{
    if (o->from && *o->from)
        put_param(url, "start", sv_of(o->from));
    else
        put_param(url, "since", sv_of(o->since));
    if (o->to && *o->to)
        put_param(url, "end", sv_of(o->to));
}

static void put_base(struct buf *url, const struct client_options *o, const char *path)
{
    sv addr = sv_of(o->addr);
    while (sv_ends(addr, SV("/")))
        addr.n--;
    buf_sv(url, addr);
    buf_fmt(url, "%s", path);
}

static bool client_defaults(struct client_options *o, struct err *e)
{
    static const char *const addr_names[] = {"WEIR_ADDR", "LOKI_ADDR", NULL};
    const char *addr = "http://127.0.0.1:3100", *org = getenv("LOKI_ORG_ID");
    for (int i = 0; addr_names[i]; i++)
        if (getenv(addr_names[i]) && *getenv(addr_names[i])) {
            addr = getenv(addr_names[i]);
            break;
        }
    return options_defaults(client_table, o, e) && options_defaults(query_table, o, e) &&
           option_set(options_find(client_table, SV("addr")), o, sv_of(addr), e) &&
           (!org || option_set(options_find(client_table, SV("org_id")), o, sv_of(org), e));
}

/* ---- printing ---- */

struct row {
    int64_t ts;
    size_t order; /* as received, for equal times */
    struct json labels;
    sv line;
};

static int rows_ascending(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return x->ts != y->ts ? (x->ts > y->ts) - (x->ts < y->ts) : (x->order > y->order) - (x->order < y->order);
}
static int rows_descending(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return x->ts != y->ts ? (x->ts < y->ts) - (x->ts > y->ts) : (x->order > y->order) - (x->order < y->order);
}

static void put_labels_json(struct buf *out, struct json labels)
{
    buf_char(out, '{');
    bool first = true;
    for (struct json_iter it = json_iter(labels); json_next(&it); first = false) {
        if (!first)
            buf_char(out, ',');
        json_put_string(out, it.key);
        buf_char(out, ':');
        json_put_string(out, json_string(it.value));
    }
    buf_char(out, '}');
}

static void put_labels_text(struct buf *out, struct json labels)
{
    buf_char(out, '{');
    bool first = true;
    for (struct json_iter it = json_iter(labels); json_next(&it); first = false) {
        buf_fmt(out, "%s" SV_FMT "=", first ? "" : ", ", SV_ARG(it.key));
        json_put_string(out, json_string(it.value)); /* its escapes are LogQL's: what is printed can be asked for */
    }
    buf_char(out, '}');
}

/* The labels a person looks for first; the rest stays in --output jsonl. */
static void put_short_labels(struct buf *out, struct json labels)
{
    struct json level = {0}, service = {0};
    bool has_level = json_get(labels, SV("level"), &level) || json_get(labels, SV("detected_level"), &level);
    bool has_service = json_get(labels, SV("service_name"), &service);
    sv l = has_level && json_kind(level) == JSON_STRING ? json_string(level) : SV("-");
    sv s = has_service && json_kind(service) == JSON_STRING ? json_string(service) : SV("-");
    buf_fmt(out, "%-5.*s  %-20.*s  ", SV_ARG(l), SV_ARG(s));
}

static void put_local_time(struct buf *out, int64_t ns)
{
    time_t sec = (time_t)(ns / NS_PER_S);
    struct tm tm;
    char text[40];
    localtime_r(&sec, &tm);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
    buf_fmt(out, "%s.%03d", text, (int)(ns % NS_PER_S / NS_PER_MS));
}

static bool print_streams(struct json result, const struct client_options *o, struct buf *out, struct err *e)
{
    VEC(struct row) rows = {0};
    for (struct json_iter s = json_iter(result); json_next(&s);) {
        struct json labels, values;
        if (!json_get(s.value, SV("stream"), &labels) || !json_get(s.value, SV("values"), &values))
            continue;
        for (struct json_iter v = json_iter(values); json_next(&v);) {
            struct json_iter pair = json_iter(v.value);
            struct row r = {.order = rows.n, .labels = labels};
            if (!json_next(&pair) || json_kind(pair.value) != JSON_STRING || !sv_to_i64(json_string(pair.value), &r.ts) ||
                !json_next(&pair) || json_kind(pair.value) != JSON_STRING)
                continue;
            r.line = json_string(pair.value);
            struct row *slot = vec_push(&rows);
            if (!slot) {
                vec_done(&rows);
                return err_nomem(e);
            }
            *slot = r;
        }
    }
    if (rows.n)
        qsort(rows.at, rows.n, sizeof *rows.at, o->forward ? rows_ascending : rows_descending);
    for (size_t i = 0; i < rows.n; i++) {
        const struct row *r = &rows.at[i];
        if (strcmp(o->output, "jsonl") == 0) {
            buf_fmt(out, "{\"timestamp\":\"%lld\",\"labels\":", (long long)r->ts);
            put_labels_json(out, r->labels);
            buf_sv(out, SV(",\"line\":"));
            json_put_string(out, r->line);
            buf_sv(out, SV("}"));
        } else {
            if (strcmp(o->output, "table") == 0) {
                put_local_time(out, r->ts);
                buf_sv(out, SV("  "));
                put_short_labels(out, r->labels);
            }
            buf_sv(out, r->line);
        }
        buf_char(out, '\n');
    }
    vec_done(&rows);
    return true;
}

static void put_point(struct buf *out, struct json point)
{
    struct json_iter p = json_iter(point);
    if (!json_next(&p))
        return;
    put_local_time(out, llround(json_double(p.value) * 1e3) * NS_PER_MS); /* the protocol knows milliseconds */
    if (json_next(&p) && json_kind(p.value) == JSON_STRING)
        buf_fmt(out, "  " SV_FMT "\n", SV_ARG(json_string(p.value)));
}

static void print_series(struct json result, struct buf *out)
{
    for (struct json_iter s = json_iter(result); json_next(&s);) {
        struct json metric, values;
        if (json_get(s.value, SV("metric"), &metric)) {
            put_labels_text(out, metric);
            buf_char(out, '\n');
        }
        if (json_get(s.value, SV("values"), &values))
            for (struct json_iter v = json_iter(values); json_next(&v);)
                put_point(out, v.value);
        else if (json_get(s.value, SV("value"), &values))
            put_point(out, values);
    }
}

/* ---- what a query cost ---- */

static double stat_of(struct json stats, const char *group, const char *name)
{
    struct json g, v;
    return json_get(stats, sv_of(group), &g) && json_get(g, sv_of(name), &v) ? json_double(v) : 0;
}

/* 1234567 as "1,234,567". */
static void put_count(struct buf *out, double n)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%.0f", n);
    for (int i = 0; i < len; i++)
        buf_fmt(out, "%s%c", i && (len - i) % 3 == 0 ? "," : "", digits[i]);
}

/* "name  text with # for each number", the numbers from the server's own statistics. */
static void put_explained(struct buf *out, struct json stats, const char *title, const char *text, const char *const *names)
{
    buf_fmt(out, "%-9s", title);
    for (; *text; text++) {
        if (*text == '#')
            put_count(out, stat_of(stats, "weir", *names++));
        else
            buf_char(out, *text);
    }
    buf_char(out, '\n');
}
#define EXPLAIN(title, text, ...) put_explained(out, stats, title, text, (const char *const[]){__VA_ARGS__})

static bool print_explained(struct json data, const struct client_options *o, struct buf *out, struct err *e)
{
    struct json stats, weir;
    if (!json_get(data, SV("stats"), &stats) || !json_get(stats, SV("weir"), &weir))
        return err_set(e, ERR_UNSUPPORTED, "%s does not say what it read (--explain needs a Weir server)", o->addr);
    EXPLAIN("streams", "# chosen, # of them with rows that passed", "streams", "streamsReturned");
    EXPLAIN("sources", "# parts, # chunks in memory", "parts", "headChunks");
    EXPLAIN("blocks", "#: # outside the time range, # without the streams, # without what is looked for, # opened; others were not needed",
            "blocks", "blocksOutsideTime", "blocksWithoutStreams", "blocksWithoutContent", "blocksOpened");
    EXPLAIN("", "  of the opened # had no row that passed; lines read from #, metadata from #; # damaged", "blocksFilteredOut", "blocksLinesRead",
            "blocksMetadataRead", "blocksDamaged");
    EXPLAIN("rows", "# considered, # passed the scan's filters, # the query's; # copies left out", "rowsConsidered", "rowsGiven",
            "rowsAfterPipeline", "rowsCopies");
    EXPLAIN("bytes", "# of lines considered; # read from parts, # made of them in memory", "bytesConsidered", "bytesRead", "bytesDecoded");
    buf_fmt(out, "%-9s%.1f ms, and %.1f ms waiting\n", "time", stat_of(stats, "summary", "execTime") * 1e3,
            stat_of(stats, "summary", "queueTime") * 1e3);
    return true;
}

static bool print_query(struct json root, const struct client_options *o, struct buf *out, struct err *e)
{
    struct json data, type, result;
    if (!json_get(root, SV("data"), &data) || !json_get(data, SV("resultType"), &type) ||
        !json_get(data, SV("result"), &result) || json_kind(type) != JSON_STRING)
        return err_set(e, ERR_PARSE, "%s: the answer is not a Loki query result", o->addr);
    sv kind = json_string(type);
    if (o->explain)
        return print_explained(data, o, out, e);
    if (sv_eq(kind, SV("streams")))
        return print_streams(result, o, out, e);
    if (sv_eq(kind, SV("scalar")))
        put_point(out, result);
    else
        print_series(result, out);
    return true;
}

static bool print_list(struct json root, const struct client_options *o, struct buf *out, struct err *e)
{
    struct json data;
    if (!json_get(root, SV("data"), &data))
        return true; /* nothing to say: Loki leaves data out */
    if (json_kind(data) != JSON_ARRAY)
        return err_set(e, ERR_PARSE, "%s: the answer is not a list", o->addr);
    for (struct json_iter it = json_iter(data); json_next(&it);) {
        if (json_kind(it.value) == JSON_STRING)
            buf_sv(out, json_string(it.value));
        else
            put_labels_text(out, it.value);
        buf_char(out, '\n');
    }
    return true;
}

typedef bool print_fn(struct json root, const struct client_options *o, struct buf *out, struct err *e);

static int ask(const struct command *cmd, const struct client_options *o, struct buf *url, print_fn *print)
{
    struct err e = {0};
    SCOPED(buf_done) struct buf body = {0};
    SCOPED(buf_done) struct buf out = {0};
    struct json_parser *parser = NULL;
    struct json root;
    buf_char(url, 0);
    bool ok = buf_ok(url, &e) && fetch(o, url->p, &body, &e) && json_parser_new(RESPONSE_MAX, JSON_DEPTH, &parser, &e) &&
              json_parse(parser, buf_view(&body), &root, &e) && print(root, o, &out, &e) && buf_ok(&out, &e);
    if (ok && (fwrite(out.p, 1, out.n, stdout) != out.n || fflush(stdout) != 0))
        ok = err_sys(&e, "cannot write the result");
    json_parser_free(parser);
    return ok ? EXIT_DONE : cli_fail(cmd, &e);
}

static void options_free(struct client_options *o)
{
    options_done(client_table, o);
    options_done(query_table, o);
}
static inline void options_free_scoped(struct client_options *o)
{
    options_free(o);
}

/* Parses options; false when the command is over. */
static bool start(const struct command *cmd, bool is_query, int argc, char **argv, struct client_options *o, int *at,
                  int *ret_exit)
{
    struct err e = {0};
    struct option_group groups[] = {{"Options", client_table, o}, {"Query", query_table, o}};
    if (!client_defaults(o, &e)) {
        *ret_exit = cli_fail(cmd, &e);
        return false;
    }
    return cli_options(cmd, groups, is_query ? 2 : 1, argc, argv, at, ret_exit);
}

int cmd_query(const struct command *cmd, int argc, char **argv)
{
    SCOPED(options_free) struct client_options o = {0};
    SCOPED(buf_done) struct buf url = {0};
    int at, rc;
    if (!start(cmd, true, argc, argv, &o, &at, &rc))
        return rc;
    if (argc - at != 1) {
        fprintf(stderr, "weir query: expected one QUERY, e.g. weir query '{service_name=~\".+\"}'\n");
        return EXIT_USAGE;
    }
    if (strcmp(o.output, "table") != 0 && strcmp(o.output, "raw") != 0 && strcmp(o.output, "jsonl") != 0) {
        fprintf(stderr, "weir query: --output is table, raw or jsonl, not '%s'\n", o.output);
        return EXIT_USAGE;
    }
    put_base(&url, &o, o.instant ? "/loki/api/v1/query" : "/loki/api/v1/query_range");
    put_param(&url, "query", sv_of(argv[at]));
    if (o.instant) {
        if (o.to && *o.to)
            put_param(&url, "time", sv_of(o.to));
    } else {
        put_range(&url, &o);
        char limit[24];
        snprintf(limit, sizeof limit, "%llu", (unsigned long long)o.limit);
        put_param(&url, "limit", sv_of(limit));
        put_param(&url, "direction", o.forward ? SV("FORWARD") : SV("BACKWARD"));
        if (o.step && *o.step)
            put_param(&url, "step", sv_of(o.step));
    }
    return ask(cmd, &o, &url, print_query);
}

int cmd_labels(const struct command *cmd, int argc, char **argv)
{
    SCOPED(options_free) struct client_options o = {0};
    SCOPED(buf_done) struct buf url = {0};
    int at, rc;
    if (!start(cmd, false, argc, argv, &o, &at, &rc))
        return rc;
    if (argc - at > 1) {
        fprintf(stderr, "weir labels: expected at most one label NAME\n");
        return EXIT_USAGE;
    }
    put_base(&url, &o, at < argc ? "/loki/api/v1/label/" : "/loki/api/v1/labels");
    if (at < argc) {
        put_escaped(&url, sv_of(argv[at]));
        buf_sv(&url, SV("/values"));
    }
    put_range(&url, &o);
    return ask(cmd, &o, &url, print_list);
}

int cmd_series(const struct command *cmd, int argc, char **argv)
{
    SCOPED(options_free) struct client_options o = {0};
    SCOPED(buf_done) struct buf url = {0};
    int at, rc;
    if (!start(cmd, false, argc, argv, &o, &at, &rc))
        return rc;
    put_base(&url, &o, "/loki/api/v1/series");
    for (; at < argc; at++)
        put_param(&url, "match[]", sv_of(argv[at]));
    put_range(&url, &o);
    return ask(cmd, &o, &url, print_list);
}

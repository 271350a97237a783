/* exporter_debug.c - prints what passes to the log or to stdout; for looking, not for keeping. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "collector/debug_print.h"
#include "collector/plug.h"
#include <stdio.h>
#include <stdlib.h>

struct debug_cfg {
    char *verbosity;
    uint64_t sampling_initial, sampling_thereafter;
};

static const struct option options[] = {
    OPT(STR, struct debug_cfg, verbosity, "basic", "basic: counts in the log; normal: also a line per record on stdout; detailed: everything"),
    OPT(U64, struct debug_cfg, sampling_initial, "2", "requests printed each second"),
    OPT(U64, struct debug_cfg, sampling_thereafter, "1", "then every n-th of that second; 1: all, 0: none"),
    {0}};
static const struct other_key others[] = {
    {"use_internal_logger", KEY_ALWAYS_ON, "counts go to the log, records to stdout"},
    {"output_paths", KEY_UNSUPPORTED, "records go to stdout"},
    {"sending_queue", KEY_UNSUPPORTED, "printing needs no queue"},
    {0}};
static void check(const struct reading *rd, void *cfg)
{
    const struct debug_cfg *c = cfg;
    sv v = sv_of(c->verbosity);
    if (!sv_eq_nocase(v, SV("basic")) && !sv_eq_nocase(v, SV("normal")) && !sv_eq_nocase(v, SV("detailed")))
        section_problem(rd, "verbosity", "verbosity level \"%s\" is not supported (basic, normal, detailed)", c->verbosity);
}
static const struct section section = {.options = options, .others = others, .check = check};

struct debug {
    const struct debug_cfg *cfg;
    const char *id;
    void (*print)(sv request, struct buf *out); /* NULL: counts only */
    struct lock mu;
    int64_t second; /* under mu, as n */
    uint64_t n;
};

static bool sampled(struct debug *db)
{
    LOCK_SCOPED(&db->mu);
    int64_t now = clock_mono_ns() / NS_PER_S;
    if (now != db->second) {
        db->second = now;
        db->n = 0;
    }
    uint64_t n = db->n++, after = db->cfg->sampling_thereafter;
    return n < db->cfg->sampling_initial || (after && (n - db->cfg->sampling_initial) % after == 0);
}

/* What a record says must not steer the terminal it is shown on. */
static void show(struct buf *text)
{
    for (size_t i = 0; i < text->n; i++)
        if (((unsigned char)text->p[i] < 0x20 && text->p[i] != '\n' && text->p[i] != '\t') || text->p[i] == 0x7f)
            text->p[i] = '?';
    fwrite(text->p, 1, text->n, stdout);
    fflush(stdout);
}

static void push(void *self, struct batch *b, push_done_fn *done, void *ctx)
{
    struct debug *db = self;
    if (sampled(db)) {
        log_info(db->id, "Logs {\"log records\": %u, \"bytes\": %zu}", b->n_records, b->bytes.n);
        SCOPED(buf_done) struct buf text = buf_capped((size_t)64 << 20);
        if (db->print)
            db->print(b->bytes, &text);
        if (text.n)
            show(&text);
    }
    struct push_result r = {.code = PUSH_SENT, .retry_after_ms = -1};
    done(ctx, &r);
}

static bool open_debug(const struct component *cp, const struct runtime *rt, struct log_sink *ret, struct err *e)
{
    (void)rt;
    struct debug *db = calloc(1, sizeof *db);
    if (!db)
        return err_nomem(e);
    db->cfg = cp->cfg;
    db->id = cp->id;
    if (sv_eq_nocase(sv_of(db->cfg->verbosity), SV("normal")))
        db->print = debug_print_normal;
    else if (sv_eq_nocase(sv_of(db->cfg->verbosity), SV("detailed")))
        db->print = debug_print_detailed;
    lock_init(&db->mu);
    *ret = (struct log_sink){push, db};
    return true;
}

static void close_debug(void *self)
{
    struct debug *db = self;
    lock_done(&db->mu);
    free(db);
}

const struct plug exporter_debug = {
    .kind = PLUG_EXPORTER, .type = "debug", .help = "Prints records, for looking at what arrives.", .section = &section,
    .cfg_size = sizeof(struct debug_cfg), .sender = NO_FLAG, .exporter = {.open = open_debug, .close = close_debug}};

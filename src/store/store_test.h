/* store_test.h - what the store's tests share: a store in a fresh directory, requests made by hand, pushes that wait for
 * their answer, scans read into text. */
#pragma once
#include "base/lock.h"
#include "base/test.h"
#include "otlp/write.h"
#include "store/scan.h"
#include "store/store.h"

struct fixture {
    struct store_config cfg;
    struct metrics *metrics;
    struct store *st;
};

/* Settings as a user has them, with a small head and no waiting for the disk's age limits. */
static inline UNUSED void fixture_config(struct fixture *f)
{
    struct err e = {0};
    *f = (struct fixture){0};
    if (!options_defaults(store_options, &f->cfg, &e) || !options_defaults(limits_options, &f->cfg.limits, &e) ||
        !options_defaults(limits_config_options, &f->cfg.overrides, &e))
        test_fail(__FILE__, __LINE__, "defaults: %s", e.msg);
    f->cfg.merge = false; /* tests that want it say so */
    f->cfg.min_free_bytes = f->cfg.merge_min_free_bytes = 0;
    free(f->cfg.data_dir);
    static int n;
    char dir[512];
    snprintf(dir, sizeof dir, "%s/store-%d", test_dir(), ++n);
    f->cfg.data_dir = sv_dup(sv_of(dir));
    f->metrics = metrics_new();
}

static inline UNUSED bool fixture_open(struct fixture *f)
{
    struct err e = {0};
    bool ok = store_open(&f->cfg, f->metrics, &f->st, &e);
    if (!ok)
        test_fail(__FILE__, __LINE__, "store_open: %s", e.msg);
    return ok;
}

static inline UNUSED void fixture_close(struct fixture *f)
{
    store_close(f->st);
    f->st = NULL;
}

static inline UNUSED void fixture_done(struct fixture *f)
{
    store_close(f->st);
    metrics_free(f->metrics);
    options_done(store_options, &f->cfg);
    options_done(limits_config_options, &f->cfg.overrides);
}

struct rec { /* a record to push; zero fields are left out */
    int64_t ts;
    const char *line, *severity_text;
    int32_t severity_number;
    const char *attrs[8]; /* name, value, ... */
    const char *trace_id; /* 16 bytes */
};

/* Appends a ResourceLogs with these records. `service` NULL: a resource without attributes. */
static inline UNUSED void put_records(struct buf *b, const char *service, const struct rec *r, size_t n)
{
    size_t rl = otlp_open(b, 1);
    size_t res = otlp_open(b, 1);
    if (service)
        otlp_put_attr_str(b, 1, SV("service.name"), sv_of(service));
    otlp_close(b, res);
    size_t sl = otlp_open(b, 2);
    for (size_t i = 0; i < n; i++) {
        size_t lr = otlp_open(b, 2);
        if (r[i].ts)
            otlp_put_fixed64(b, 1, (uint64_t)r[i].ts);
        if (r[i].severity_number)
            otlp_put_varint(b, 2, (uint64_t)r[i].severity_number);
        if (r[i].severity_text)
            otlp_put_bytes(b, 3, sv_of(r[i].severity_text));
        if (r[i].line) {
            size_t body = otlp_open(b, 5);
            otlp_put_bytes(b, 1, sv_of(r[i].line));
            otlp_close(b, body);
        }
        for (size_t k = 0; k + 1 < ARRAY_LEN(r[i].attrs) && r[i].attrs[k]; k += 2)
            otlp_put_attr_str(b, 6, sv_of(r[i].attrs[k]), sv_of(r[i].attrs[k + 1]));
        if (r[i].trace_id)
            otlp_put_bytes(b, 9, sv_make(r[i].trace_id, 16));
        otlp_close(b, lr);
    }
    otlp_close(b, sl);
    otlp_close(b, rl);
}

struct waiting_push {
    struct lock mu;
    struct cond cv;
    bool done;
    struct push_result r;
};

static inline UNUSED void waiting_done(void *ctx, const struct push_result *r)
{
    struct waiting_push *w = ctx;
    LOCK_SCOPED(&w->mu);
    w->r = *r;
    w->done = true;
    cond_signal(&w->cv);
}

static inline UNUSED struct push_result waiting_wait(struct waiting_push *w)
{
    lock_acquire(&w->mu);
    while (!w->done)
        cond_wait(&w->cv, &w->mu);
    lock_release(&w->mu);
    return w->r;
}

#define PUSH_WAIT(call)                                                                                           \
    __extension__({                                                                                               \
        struct waiting_push w_ = {.mu = LOCK_INIT};                                                               \
        cond_init(&w_.cv);                                                                                        \
        call;                                                                                                     \
        waiting_wait(&w_);                                                                                        \
    })

static inline UNUSED struct push_result push_bytes(struct store *st, const char *tenant, sv bytes, int64_t arrived)
{
    struct batch *b = batch_new(bytes, sv_of(tenant), 0, arrived);
    struct push_result r = PUSH_WAIT(store_push(st, b, waiting_done, &w_));
    batch_unref(b);
    return r;
}

static inline UNUSED struct push_result push_records(struct store *st, const char *service, const struct rec *r, size_t n)
{
    SCOPED(buf_done) struct buf b = {0};
    put_records(&b, service, r, n);
    return push_bytes(st, "fake", buf_view(&b), 1000);
}

static inline UNUSED void put_metadata(struct buf *out, struct labels l)
{
    for (size_t i = 0; i < l.n; i++)
        buf_fmt(out, "%s" SV_FMT "=" SV_FMT, i ? "," : " ", SV_ARG(l.at[i].name), SV_ARG(l.at[i].value));
}

/* Rows as text, one a line: "ts line", with `metadata` "ts line a=b,c=d", with `labels` the stream in front. */
enum { SHOW_METADATA = 1, SHOW_LABELS = 2 };
static inline UNUSED bool scan_text(struct store *st, const struct scan_request *rq, unsigned show, struct buf *out,
                                    struct scan_stats *ret_stats, struct err *e)
{
    struct scan_request full = *rq;
    struct scan *sc;
    struct scan_batch b;
    int got;
    full.columns |= SCAN_LINES | (show & SHOW_METADATA ? SCAN_METADATA : 0u);
    if (!scan_open(st, &full, &sc, e))
        return false;
    while ((got = scan_next(sc, &b, e)) > 0)
        for (size_t i = 0; i < b.n; i++) {
            if (show & SHOW_LABELS) {
                labels_text(b.stream[i]->labels, out);
                buf_char(out, ' ');
            }
            buf_fmt(out, "%lld " SV_FMT, (long long)b.ts[i], SV_ARG(b.line[i]));
            if (b.line_bytes[i] != b.line[i].n)
                buf_fmt(out, " (line_bytes %u)", b.line_bytes[i]);
            if (show & SHOW_METADATA)
                put_metadata(out, b.metadata[i]);
            buf_char(out, '\n');
        }
    if (ret_stats)
        scan_stats(sc, ret_stats);
    scan_close(sc);
    return got == 0;
}

/* All rows of tenant "fake" that match `m`. */
#define CHECK_ROWS(f, m_, n_m, show, want)                                                                        \
    do {                                                                                                          \
        struct err e_ = {0};                                                                                      \
        SCOPED(buf_done) struct buf b_ = {0};                                                                     \
        struct scan_request rq_ = {.tenant = SV("fake"), .matchers = (m_), .n_matchers = (n_m),                   \
                                   .start_ns = INT64_MIN, .end_ns = INT64_MAX};                                   \
        CHECK_OK(scan_text((f)->st, &rq_, (show), &b_, NULL, &e_), &e_);                                          \
        CHECK_SV(buf_view(&b_), sv_of(want));                                                                     \
    } while (0)

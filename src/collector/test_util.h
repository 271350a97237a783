/* test_util.h - requests to push and sinks that do as told; for the collector's tests. */
#pragma once
#include "base/lock.h"
#include "base/test.h"
#include "base/vec.h"
#include "otlp/batch.h"
#include "otlp/walk.h"
#include "otlp/write.h"

/* n records "prefix-<from>", …, each under one resource {service.name: prefix} and one scope. */
static inline UNUSED void put_request(struct buf *out, const char *prefix, unsigned from, unsigned n)
{
    size_t rl = otlp_open(out, 1), res = otlp_open(out, 1);
    otlp_put_attr_str(out, 1, SV("service.name"), sv_of(prefix));
    otlp_close(out, res);
    size_t sl = otlp_open(out, 2), scope = otlp_open(out, 1);
    otlp_put_bytes(out, 1, SV("tests"));
    otlp_close(out, scope);
    for (unsigned i = from; i < from + n; i++) {
        char text[100];
        snprintf(text, sizeof text, "%s-%u", prefix, i);
        size_t lr = otlp_open(out, 2);
        otlp_put_fixed64(out, 1, 1700000000000000000ull + i);
        size_t body = otlp_open(out, 5);
        otlp_put_bytes(out, 1, sv_of(text));
        otlp_close(out, body);
        otlp_close(out, lr);
    }
    otlp_put_bytes(out, 3, SV("http://schema/scope"));
    otlp_close(out, sl);
    otlp_put_bytes(out, 3, SV("http://schema/resource"));
    otlp_close(out, rl);
}

static inline UNUSED struct batch *make_batch(const char *prefix, unsigned from, unsigned n, const char *tenant)
{
    struct buf b = {0};
    put_request(&b, prefix, from, n);
    struct batch *batch = batch_new(buf_view(&b), sv_of(tenant), n, 42);
    buf_done(&b);
    return batch;
}

/* The bodies of a request's records, one a line, resources named. */
static inline UNUSED void put_bodies(sv request, struct buf *out)
{
    struct otlp_iter ri = otlp_resources(request);
    struct otlp_resource_logs rl;
    while (otlp_next_resource(&ri, &rl)) {
        struct otlp_iter si = otlp_scopes(&rl);
        struct otlp_scope_logs sl;
        while (otlp_next_scope(&si, &sl)) {
            struct otlp_iter li = otlp_records(&sl);
            struct otlp_record r;
            while (otlp_next_record(&li, &r)) {
                otlp_value_text(r.body, 0, out);
                buf_char(out, ' ');
            }
        }
    }
}

/* A sink that answers from a script, and remembers what it was pushed. Past the end of the script: PUSH_SENT. */
struct script_step {
    enum push_code code;
    enum err_code err;
    int64_t retry_after_ms;
    uint32_t n_rejected;
    bool hold; /* no answer until script_release() */
};
struct script {
    struct lock mu;
    const struct script_step *steps;
    size_t n_steps;
    uint32_t max_records; /* larger batches are refused with ERR_LIMIT; 0: no limit */
    const char *poison;   /* batches with this text are refused */
    VEC(struct batch *) got; /* under mu: every push, in order */
    size_t n_sent;           /* under mu */
    push_done_fn *held;      /* under mu */
    void *held_ctx;
};

static inline UNUSED void script_push(void *self, struct batch *b, push_done_fn *done, void *ctx)
{
    struct script *sc = self;
    struct push_result r = {.code = PUSH_SENT, .retry_after_ms = -1};
    {
        LOCK_SCOPED(&sc->mu);
        size_t i = sc->got.n;
        struct batch **slot = vec_push(&sc->got);
        ASSERT(slot);
        *slot = batch_ref(b);
        if (i < sc->n_steps) {
            const struct script_step *st = &sc->steps[i];
            r.code = st->code;
            r.n_rejected = st->n_rejected;
            if (st->code != PUSH_SENT)
                r.retry_after_ms = st->retry_after_ms;
            if (st->err)
                err_set(&r.err, st->err, "scripted");
            if (st->hold) {
                sc->held = done;
                sc->held_ctx = ctx;
                return;
            }
        } else if (sc->max_records && b->n_records > sc->max_records) {
            r.code = PUSH_REJECTED;
            err_set(&r.err, ERR_LIMIT, "too large");
        } else if (sc->poison && sv_find(b->bytes, sv_of(sc->poison)) != SV_NPOS) {
            r.code = PUSH_REJECTED;
            err_set(&r.err, ERR_INVALID, "poison");
        }
        sc->n_sent += r.code == PUSH_SENT ? b->n_records : 0;
    }
    done(ctx, &r);
}

static inline UNUSED void script_release(struct script *sc, enum push_code code, enum err_code err)
{
    struct push_result r = {.code = code, .retry_after_ms = -1};
    if (err)
        err_set(&r.err, err, "released");
    push_done_fn *done;
    void *ctx;
    {
        LOCK_SCOPED(&sc->mu);
        done = sc->held;
        ctx = sc->held_ctx;
        sc->held = NULL;
    }
    done(ctx, &r);
}

static inline UNUSED size_t script_pushes(struct script *sc)
{
    LOCK_SCOPED(&sc->mu);
    return sc->got.n;
}
static inline UNUSED size_t script_sent(struct script *sc)
{
    LOCK_SCOPED(&sc->mu);
    return sc->n_sent;
}
static inline UNUSED void script_init(struct script *sc, const struct script_step *steps, size_t n)
{
    *sc = (struct script){.steps = steps, .n_steps = n};
    lock_init(&sc->mu);
}
static inline UNUSED void script_done(struct script *sc)
{
    for (size_t i = 0; i < sc->got.n; i++)
        batch_unref(sc->got.at[i]);
    vec_done(&sc->got);
    lock_done(&sc->mu);
}

/* Answers of pushes. */
struct answers {
    _Atomic unsigned sent, retry, rejected;
};
static inline UNUSED void answer(void *ctx, const struct push_result *r)
{
    struct answers *an = ctx;
    atomic_fetch_add(r->code == PUSH_SENT ? &an->sent : r->code == PUSH_RETRY ? &an->retry : &an->rejected, 1);
}

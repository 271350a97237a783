/* otlp_exporter.c - weir_otlp_exporter_new(): OTLP over gRPC or HTTP, to one endpoint or several. Attempts are otlp_client.c's.
 * (1) One export at a time, under the lock; it ends by its deadline, retries and waits between them included.
 * (2) A round offers the batch to each endpoint in turn until one takes it or one refuses it for good: from then on nobody else
 *     sees it. Only when all of a round failed for now there is a wait, then another round. An answer that gets lost on its
 *     way is such a failure too: OTLP delivers at least once.
 * (3) An endpoint that failed rests for failback_ms: others come before it, but where none of them works, it is tried too. One
 *     that asked for time is left alone until then.
 * (4) shutdown() and wake() need no lock. */
#include "base/clock.h"
#include "base/endian.h"
#include "otlp/json.h"
#include "sdk/otlp_client.h"
#include "sdk/pipeline.h"
#include <stdio.h>
#include <stdlib.h>

struct endpoint {
    int64_t failed_ms;     /* when its last call failed; 0: it did not */
    int64_t not_before_ms; /* it asked not to be called before; 0: it did not */
    bool tried;            /* in this round */
};

struct otlp_exporter {
    struct otlp_settings set;
    struct otlp_client client; /* under mu, but for what its header names */
    struct lock mu;
    struct endpoint *endpoints; /* under mu, as everything below; set.endpoints.n of them */
    size_t first;               /* round robin: where the next export begins */
    struct buf json, frame;     /* the message as JSON; what is sent */
};

/* ---- whom to ask ---- */

/* The next endpoint of this round; false: none is left. In order of preference, those that rest come last. */
static bool next_endpoint(struct otlp_exporter *x, size_t first, size_t *ret)
{
    int64_t now = clock_mono_ms();
    size_t n = x->set.endpoints.n, resting = SIZE_MAX;
    for (size_t k = 0; k < n; k++) {
        size_t i = (first + k) % n;
        struct endpoint *p = &x->endpoints[i];
        if (p->tried || p->not_before_ms > now)
            continue;
        if (!p->failed_ms || now - p->failed_ms >= x->set.failback_ms) {
            *ret = i;
            return true;
        }
        resting = resting == SIZE_MAX ? i : resting;
    }
    *ret = resting;
    return resting != SIZE_MAX;
}

/* The one that may be called soonest. */
static size_t soonest(const struct otlp_exporter *x)
{
    size_t best = 0;
    for (size_t i = 1; i < x->set.endpoints.n; i++)
        if (x->endpoints[i].not_before_ms < x->endpoints[best].not_before_ms)
            best = i;
    return best;
}

/* How many this round has yet to ask. */
static size_t n_callable(const struct otlp_exporter *x)
{
    size_t n = 0;
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < x->set.endpoints.n; i++)
        n += !x->endpoints[i].tried && x->endpoints[i].not_before_ms <= now;
    return MAX(n, (size_t)1);
}

/* Its fair part of the time that is left, so that a silent endpoint leaves some for the others. */
static void call(struct otlp_exporter *x, size_t i, int64_t deadline, weir_export_result *ret)
{
    struct endpoint *p = &x->endpoints[i];
    int64_t part = ms_left(deadline) / (int64_t)n_callable(x);
    p->tried = true;
    client_call(&x->client, i, buf_view(&x->frame), clock_mono_ms() + part, ret);
    bool again = ret->code == WEIR_EXPORT_RETRY;
    p->failed_ms = again ? clock_mono_ms() : 0;
    p->not_before_ms = again && ret->retry_after_ms > 0 ? clock_mono_ms() + ret->retry_after_ms : 0;
}

/* True: the export is over, *ret has its result. False: all failed for now. */
static bool run_round(struct otlp_exporter *x, size_t first, bool must, int64_t deadline, weir_export_result *ret)
{
    size_t i;
    bool asked = false;
    for (size_t k = 0; k < x->set.endpoints.n; k++)
        x->endpoints[k].tried = false;
    for (;;) {
        if (client_stopped(&x->client) || (asked && ms_left(deadline) == 0))
            return true;
        bool found = next_endpoint(x, first, &i);
        if (!found && (asked || !must))
            return false;
        call(x, found ? i : soonest(x), deadline, ret); /* an export does not fail without having tried */
        asked = true;
        if (ret->code != WEIR_EXPORT_RETRY)
            return true;
    }
}

/* ---- export ---- */

/* What is sent: the message, perhaps as JSON, perhaps compressed; for gRPC with a flag that says so and the length before it. */
static void frame_build(struct otlp_exporter *x, sv message)
{
    struct buf *b = &x->frame;
    bool grpc = x->set.protocol == WEIR_OTLP_GRPC;
    uint8_t prefix[5] = {x->set.gzip != NULL};
    buf_reset(b);
    buf_reset(&x->json);
    if (grpc)
        buf_put(b, prefix, sizeof prefix);
    if (x->set.protocol == WEIR_OTLP_HTTP_JSON) {
        otlp_to_json(message, &x->json);
        message = buf_view(&x->json);
        b->failed = x->json.failed;
    }
    if (x->set.gzip)
        (void)!gzip_put(x->set.gzip, message, b);
    else
        buf_sv(b, message);
    if (grpc && !b->failed)
        put_be32((uint8_t *)b->p + 1, (uint32_t)(b->n - sizeof prefix));
}

/* The wait before round number n (from 1): 1 s, then 1.5 times more each, at most 5 s, give or take a fifth. */
static int64_t backoff_ms(int n)
{
    double ms = 1000;
    while (--n > 0 && ms < 5000)
        ms *= 1.5;
    return (int64_t)(MIN(ms, 5000.0) * (0.8 + 0.4 * rand_unit()));
}

static void run_rounds(struct otlp_exporter *x, int64_t deadline, weir_export_result *ret)
{
    size_t first = x->first;
    if (x->set.balance == WEIR_OTLP_ROUND_ROBIN)
        x->first = (first + 1) % x->set.endpoints.n;
    snprintf(ret->message, sizeof ret->message, "the exporter was shut down"); /* unless an attempt has more to say */
    for (int n = 1;; n++) {
        bool over = run_round(x, first, n == 1, deadline, ret);
        if (ret->code != WEIR_EXPORT_RETRY)
            return;
        int64_t asked = x->endpoints[soonest(x)].not_before_ms; /* 0, if one did not ask for time */
        ret->retry_after_ms = asked ? ms_left(asked) : -1;
        if (over)
            return;
        int64_t wait = MAX(backoff_ms(n), ret->retry_after_ms);
        if (wait >= ms_left(deadline) || !atomic_load(&x->client.multi)) /* or there was no memory for it */
            return;
        client_wait(&x->client, clock_mono_ms() + wait);
    }
}

static void otlp_export(void *self, const weir_batch *batch, int64_t timeout_ms, weir_export_result *ret)
{
    struct otlp_exporter *x = self;
    LOCK_SCOPED(&x->mu);
    int64_t deadline = deadline_in(MIN(timeout_ms, x->set.timeout_ms));
    *ret = (weir_export_result){.code = WEIR_EXPORT_RETRY, .retry_after_ms = -1};
    x->client.last = (struct outcome){0};
    frame_build(x, batch->bytes);
    if (x->frame.failed)
        snprintf(ret->message, sizeof ret->message, "no memory for a request");
    else
        run_rounds(x, deadline, ret);
}

static weir_result otlp_shutdown(void *self, int64_t timeout_ms)
{
    struct otlp_exporter *x = self;
    client_stop(&x->client);
    return WEIR_OK;
}

static void otlp_set_tend(void *self, void (*tend)(void *ctx), void *ctx)
{
    struct otlp_exporter *x = self;
    LOCK_SCOPED(&x->mu);
    x->client.tend = tend;
    x->client.tend_ctx = ctx;
}

static void otlp_wake(void *self)
{
    struct otlp_exporter *x = self;
    client_wake(&x->client);
}

static void otlp_outcome(void *self, struct outcome *ret)
{
    struct otlp_exporter *x = self;
    LOCK_SCOPED(&x->mu);
    *ret = x->client.last;
}

static void otlp_after_fork(void *self)
{
    struct otlp_exporter *x = self;
    lock_init(&x->mu);
    client_after_fork(&x->client);
    x->json = x->frame = (struct buf){0};
}

static void otlp_destroy(void *self)
{
    struct otlp_exporter *x = self;
    client_done(&x->client);
    otlp_settings_done(&x->set);
    free(x->endpoints);
    buf_done(&x->json);
    buf_done(&x->frame);
    lock_done(&x->mu);
    free(x);
}

/* ---- making ---- */

weir_exporter *weir_otlp_exporter_new(const weir_otlp_options *options, weir_error *ret_error)
{
    weir_otlp_options o;
    struct err e = {0};
    error_set(ret_error, "%s", ""); /* the innermost part of a chain: no earlier reason to keep */
    options_copy(&o, sizeof o, options);
    struct otlp_exporter *x = calloc(1, sizeof *x);
    if (!x) {
        error_set(ret_error, "out of memory");
        return NULL;
    }
    lock_init(&x->mu);
    if (!otlp_settings_resolve(&o, &x->set, &e)) {
        error_set(ret_error, "OTLP exporter: %s", e.msg);
        lock_done(&x->mu);
        free(x);
        return NULL;
    }
    weir_exporter *ex = NULL;
    weir_exporter_ops ops = {sizeof ops, otlp_export, NULL, otlp_shutdown, otlp_after_fork, otlp_destroy};
    x->endpoints = calloc(x->set.endpoints.n, sizeof *x->endpoints);
    if (client_init(&x->client, &x->set) && x->endpoints)
        ex = weir_exporter_new(&ops, x);
    else
        otlp_destroy(x);
    if (!ex) {
        error_set(ret_error, "out of memory");
        return NULL;
    }
    ex->component = x->set.protocol == WEIR_OTLP_GRPC        ? "otlp_grpc_log_exporter"
                    : x->set.protocol == WEIR_OTLP_HTTP_JSON ? "otlp_http_json_log_exporter"
                                                             : "otlp_http_log_exporter";
    if (x->set.endpoints.n == 1) {
        ex->server = x->set.endpoints.at[0].host;
        ex->port = x->set.endpoints.at[0].port;
    }
    ex->outcome = otlp_outcome;
    ex->set_tend = otlp_set_tend;
    ex->wake = otlp_wake;
    return ex;
}

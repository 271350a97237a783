/* sender.c - see sender.h.
 * (1) With a queue: a push is answered when it is on disk; consumer threads take batches from the queue and make attempts
 *     until the peer has them. Without: a push is one attempt, and the answer is the peer's.
 * (2) A batch that is refused for good is taken apart before it is given up: first into the requests it was joined from,
 *     then, when the peer found it too large, into halves. What is still refused is counted, logged and kept under
 *     <data_dir>/rejected, oldest dropped first past REJECTED_BYTES. A refusal that does not speak of the records
 *     (sender_unreadable_answer) divides nothing: each part would meet the same, and the peer may have all of it.
 * (3) A result with ERR_CANCELLED while stopping is no result: the batch stays in the queue.
 * (4) The exporter may be closed once sender_stop() has returned: pushes are counted while a thread is inside one, none
 *     begins after the stop, and the stop waits for those under way whatever its deadline. A push does not wait for the
 *     peer (batch.h (3)), so that is short; its answer comes later, with the closing of the exporter at the latest. */
#include "collector/sender.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "collector/split.h"
#include "spool/spool.h"
#include <pthread.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CONSUMERS_MAX 100
#define QUEUE_BYTES ((uint64_t)1 << 30)
#define REJECTED_BYTES ((uint64_t)64 << 20)

static const struct option batch_options[] = {
    OPT(DURATION, struct batch_settings, flush_timeout, "200ms", "longest wait for more"),
    OPT(U64, struct batch_settings, min_size, "8192", "records that make a batch full"),
    OPT(U64, struct batch_settings, max_size, "0", "most records of a batch; 0: no splitting"),
    OPT(STR, struct batch_settings, sizer, "items", "items"),
    {0}};
static void batch_check(const struct reading *rd, void *cfg)
{
    const struct batch_settings *b = cfg;
    if (!sv_eq(sv_of(b->sizer), SV("items")))
        section_problem(rd, "sizer", "`batch` supports only `items` sizer here, found \"%s\"", b->sizer ? b->sizer : "");
    if (b->flush_timeout <= 0)
        section_problem(rd, "flush_timeout", "`flush_timeout` must be positive");
    if (b->max_size && b->max_size < b->min_size)
        section_problem(rd, "max_size", "`max_size` (%" PRIu64 ") must be greater or equal to `min_size` (%" PRIu64 ")",
                        b->max_size, b->min_size);
}
static const struct other_key batch_others[] = {
    {"partition", KEY_UNSUPPORTED, "requests of different tenants are never joined; there are no other partitions"}, {0}};
static const struct section batch_section = {.options = batch_options, .others = batch_others, .check = batch_check};

static const struct option queue_options[] = {
    OPT(BOOL, struct queue_settings, enabled, "true",
        "false: the receiver's answer waits for the exporter's, and a failure goes back to the sender"),
    OPT(U64, struct queue_settings, num_consumers, "1", "batches under way at a time; 1 keeps the order (upstream: 10)"),
    OPT(U64, struct queue_settings, queue_size, NULL,
        "most that may wait, in units of the sizer; unset: 1 GiB (upstream: 1000 requests)"),
    OPT(STR, struct queue_settings, storage, NULL, "a file_storage extension, for another directory than the data directory"),
    OPT(STR, struct queue_settings, sizer, NULL, "requests, items (records) or bytes; unset: requests"),
    {0}};
static const struct sub queue_subs[] = {
    {.name = "batch", .offset = offsetof(struct queue_settings, batch), .set = offsetof(struct queue_settings, batch_set),
     .section = &batch_section, .help = "joins requests as the batch processor does"},
    {0}};
static const struct other_key queue_others[] = {
    {"block_on_overflow", KEY_UNSUPPORTED, "a full queue is answered with 503 or UNAVAILABLE, and the sender tries again"},
    {"wait_for_result", KEY_UNSUPPORTED, "the queue is on disk; set enabled: false to wait for the exporter's answer"},
    {0}};
static void queue_check(const struct reading *rd, void *cfg)
{
    const struct queue_settings *q = cfg;
    sv sizer = sv_of(q->sizer);
    if (sizer.n && !sv_eq(sizer, SV("requests")) && !sv_eq(sizer, SV("items")) && !sv_eq(sizer, SV("bytes")))
        section_problem(rd, "sizer", "invalid sizer: %s (requests, items, bytes)", q->sizer);
    if (!q->enabled)
        return;
    if (q->num_consumers == 0)
        section_problem(rd, "num_consumers", "`num_consumers` must be positive");
    if (q->num_consumers > CONSUMERS_MAX)
        section_problem(rd, "num_consumers", "`num_consumers` must be at most %d", CONSUMERS_MAX);
    if (q->queue_size == 0 && section_has(rd, "queue_size"))
        section_problem(rd, "queue_size", "`queue_size` must be positive");
}
const struct section queue_section = {
    .options = queue_options, .subs = queue_subs, .others = queue_others, .check = queue_check};

struct sender {
    char *id;                                /* set by sender_open(), then read-only */
    struct log_sink to;
    const struct sender_settings *settings;  /* NULL: no queue */
    struct queue *queue;                     /* NULL likewise */
    char *rejected_dir;
    pthread_t *threads;
    unsigned n_threads;
    struct metric *sent, *failed, *enqueue_failed, *partial, *in_flight;
    struct metric *queue_size, *queue_capacity, *queue_records, *damaged;
    struct metric *batch_records, *by_size, *by_timeout; /* the batch processor's; NULL: none */

    _Atomic bool stopping;
    struct lock mu;
    struct cond changed;
    unsigned busy;   /* under mu: threads with a batch */
    unsigned inside; /* under mu: threads in a push of `to` */
    struct lock gauges_mu;
    struct lock keep_mu;
    struct spool *rejected; /* under keep_mu: opened when first needed */
};

/* ---- into the exporter ---- */

/* False, and nothing is pushed: stopping. */
static bool push_unless_stopping(struct sender *sd, struct batch *b, push_done_fn *done, void *ctx)
{
    {
        LOCK_SCOPED(&sd->mu);
        if (atomic_load(&sd->stopping))
            return false;
        sd->inside++;
    }
    metric_add(sd->in_flight, 1);
    sink_push(&sd->to, b, done, ctx);
    LOCK_SCOPED(&sd->mu);
    if (--sd->inside == 0)
        cond_broadcast(&sd->changed);
    return true;
}

/* ---- the push side ---- */

static void set_gauges(struct sender *sd)
{
    struct queue_stats st;
    LOCK_SCOPED(&sd->gauges_mu); /* so that the last to set has also read last */
    queue_stats(sd->queue, &st);
    metric_set(sd->queue_size, (int64_t)st.size);
    metric_set(sd->queue_capacity, (int64_t)st.capacity);
    metric_set(sd->queue_records, (int64_t)st.items);
    metric_set(sd->damaged, (int64_t)st.damaged);
}

struct forward { /* one push without a queue, or into it */
    struct sender *sd;
    push_done_fn *done;
    void *ctx;
    uint32_t n;
};

static void note_partial(struct sender *sd, const struct push_result *r)
{
    if (r->n_rejected || r->err.msg[0])
        log_warn(sd->id, "Partial success response: %s (dropped_log_records %u)", r->err.msg, r->n_rejected);
    metric_add(sd->partial, r->n_rejected);
}

static void forwarded(void *ctx, const struct push_result *r)
{
    struct forward *fw = ctx;
    struct sender *sd = fw->sd;
    if (sd->queue) {
        if (r->code != PUSH_SENT)
            metric_add(sd->enqueue_failed, fw->n);
        set_gauges(sd);
    } else {
        metric_add(sd->in_flight, -1);
        metric_add(r->code == PUSH_SENT ? sd->sent : sd->failed, fw->n);
        if (r->code == PUSH_SENT)
            note_partial(sd, r);
        else
            log_warn(sd->id, "Exporting failed. Rejecting data. %s (dropped_items %u)", r->err.msg, fw->n);
    }
    fw->done(fw->ctx, r);
    free(fw);
}

static void refuse_for_now(push_done_fn *done, void *ctx, enum err_code code, const char *why)
{
    struct push_result r = {.code = PUSH_RETRY, .retry_after_ms = -1};
    err_set(&r.err, code, "%s", why);
    done(ctx, &r);
}

static void sender_push(void *self, struct batch *b, push_done_fn *done, void *ctx)
{
    struct sender *sd = self;
    struct forward *fw = malloc(sizeof *fw);
    if (!fw) {
        refuse_for_now(done, ctx, ERR_NOMEM, "out of memory");
        return;
    }
    *fw = (struct forward){sd, done, ctx, b->n_records};
    if (sd->queue && !atomic_load(&sd->stopping)) {
        queue_push(sd->queue, b, forwarded, fw);
    } else if (sd->queue || !push_unless_stopping(sd, b, forwarded, fw)) {
        free(fw);
        refuse_for_now(done, ctx, ERR_UNAVAILABLE, "the collector is stopping");
    }
}

struct log_sink sender_sink(struct sender *sd)
{
    return (struct log_sink){sender_push, sd};
}

/* ---- attempts ---- */

struct attempt {
    struct sender *sd;
    bool ended; /* under sd->mu */
    struct push_result result;
};

static void attempt_ended(void *ctx, const struct push_result *r)
{
    struct attempt *at = ctx;
    struct sender *sd = at->sd;
    LOCK_SCOPED(&sd->mu);
    at->result = *r;
    at->ended = true;
    cond_broadcast(&sd->changed);
}

static struct push_result attempt(struct sender *sd, struct batch *b)
{
    struct attempt at = {.sd = sd};
    if (!push_unless_stopping(sd, b, attempt_ended, &at)) {
        at.result = (struct push_result){.code = PUSH_RETRY, .retry_after_ms = -1};
        err_set(&at.result.err, ERR_CANCELLED, "the collector is stopping");
        return at.result;
    }
    LOCK_SCOPED(&sd->mu);
    while (!at.ended)
        cond_wait(&sd->changed, &sd->mu);
    metric_add(sd->in_flight, -1);
    return at.result;
}

static void sleep_unless_stopping(struct sender *sd, int64_t ns)
{
    int64_t until = clock_mono_ns() + ns;
    LOCK_SCOPED(&sd->mu);
    while (!atomic_load(&sd->stopping) && cond_wait_until(&sd->changed, &sd->mu, until))
        ;
}

enum outcome { DELIVERED, REFUSED, STOPPED };

/* Attempts until the peer has it, refuses it, or the retries are over. *ret_why: the last result. */
static enum outcome deliver(struct sender *sd, struct batch *b, struct push_result *ret_why)
{
    const struct retry_settings *rs = &sd->settings->retry;
    struct retry_state st = {0};
    int64_t start = clock_mono_ns();
    while (!atomic_load(&sd->stopping)) {
        struct push_result r = attempt(sd, b);
        *ret_why = r;
        if (r.code == PUSH_SENT) {
            metric_add(sd->sent, b->n_records);
            note_partial(sd, &r);
            return DELIVERED;
        }
        if (atomic_load(&sd->stopping))
            break;
        if (r.code == PUSH_REJECTED || !rs->enabled)
            return REFUSED;
        int64_t asked = r.retry_after_ms < 0 ? 0 : MIN(r.retry_after_ms, (int64_t)86400000) * NS_PER_MS;
        int64_t wait = retry_next(rs, &st, r.err.code == ERR_UNAVAILABLE && r.retry_after_ms < 0, asked,
                                  clock_mono_ns() - start, rand_unit());
        if (wait == RETRY_NO_MORE) {
            err_ctx(&ret_why->err, "no more retries left");
            return REFUSED;
        }
        log_warn(sd->id, "Exporting failed. Will retry the request after interval. %s (interval %.1fs, %u records)",
                 r.err.msg, (double)wait / NS_PER_S, b->n_records);
        sleep_unless_stopping(sd, wait);
    }
    return STOPPED;
}

/* ---- what is refused for good ---- */

static bool keep(struct sender *sd, const struct batch *b, struct err *e)
{
    LOCK_SCOPED(&sd->keep_mu);
    struct spool_config sc = {.dir = sd->rejected_dir, .segment_bytes = REJECTED_BYTES / 8, .max_bytes = REJECTED_BYTES,
                              .when_full = SPOOL_DROP_OLDEST, .sync = SPOOL_SYNC_ALWAYS};
    if (!sd->rejected && !spool_open(&sc, &sd->rejected, NULL, e))
        return false;
    SCOPED(buf_done) struct buf frame = {0};
    uint8_t header[QUEUE_HEADER];
    queue_frame_header(b, header);
    buf_put(&frame, header, sizeof header);
    buf_sv(&frame, b->tenant);
    buf_sv(&frame, b->bytes);
    uint64_t seq;
    return buf_ok(&frame, e) && spool_append(sd->rejected, buf_view(&frame), &seq, e);
}

static void give_up(struct sender *sd, const struct batch *b, const struct push_result *why)
{
    struct err e = {0};
    bool kept = keep(sd, b, &e);
    metric_add(sd->failed, b->n_records);
    log_error(sd->id, "Exporting failed. Dropping data. %s (dropped_items %u; %s%s)", why->err.msg, b->n_records,
              kept ? "kept in " : "not kept: ", kept ? sd->rejected_dir : e.msg);
}

#define UNREADABLE ERR_UNSUPPORTED /* no peer's answer is read as this */

void sender_unreadable_answer(struct push_result *r)
{
    r->code = PUSH_REJECTED;
    r->err.code = UNREADABLE;
    err_ctx(&r->err, "unreadable answer, the records may have been taken");
}

static bool deliver_or_divide(struct sender *sd, struct batch *b);

/* False: stopping. */
static bool deliver_bytes(struct sender *sd, const struct batch *like, sv bytes, uint32_t n)
{
    struct batch *b = batch_new(bytes, like->tenant, n, like->arrived_wall_ns);
    if (!b) {
        log_error(sd->id, "out of memory; the batch stays in the queue until the next start");
        return false;
    }
    bool ok = deliver_or_divide(sd, b);
    batch_unref(b);
    return ok;
}

static bool deliver_halves(struct sender *sd, struct batch *b)
{
    SCOPED(buf_done) struct buf left = {0}, right = {0};
    struct split cut = {0};
    uint32_t half = b->n_records / 2;
    split_start(&cut, b->bytes);
    split_take(&cut, half, &left);
    split_take(&cut, UINT64_MAX, &right);
    split_done(&cut);
    return !left.failed && !right.failed && deliver_bytes(sd, b, buf_view(&left), half) &&
           deliver_bytes(sd, b, buf_view(&right), b->n_records - half);
}

static bool deliver_or_divide(struct sender *sd, struct batch *b)
{
    struct push_result why;
    switch (deliver(sd, b, &why)) {
    case DELIVERED:
        return true;
    case STOPPED:
        return false;
    case REFUSED:
        break;
    }
    if (why.code == PUSH_REJECTED && why.err.code == ERR_LIMIT && b->n_records > 1)
        return deliver_halves(sd, b);
    give_up(sd, b, &why);
    return true;
}

static bool deliver_taken(struct sender *sd, const struct queue_batch *qb)
{
    if (qb->n_parts == 1)
        return deliver_or_divide(sd, qb->batch);
    struct push_result why;
    enum outcome o = deliver(sd, qb->batch, &why);
    if (o == REFUSED && (why.code != PUSH_REJECTED || why.err.code == UNREADABLE)) /* the parts would fare no better */
        give_up(sd, qb->batch, &why);
    else if (o == REFUSED)
        for (size_t i = 0; i < qb->n_parts; i++)
            if (!deliver_bytes(sd, qb->batch, sv_sub(qb->batch->bytes, qb->parts[i].at, qb->parts[i].n),
                               qb->parts[i].records))
                return false;
    return o != STOPPED;
}

static void count_batch(struct sender *sd, const struct queue_batch *qb)
{
    if (!sd->batch_records)
        return;
    metric_observe(sd->batch_records, (double)qb->batch->n_records);
    metric_add(qb->by_size ? sd->by_size : sd->by_timeout, 1);
}

static void *consume(void *ctx)
{
    struct sender *sd = ctx;
    struct queue_batch qb;
    while (queue_take(sd->queue, &qb)) {
        count_batch(sd, &qb);
        {
            LOCK_SCOPED(&sd->mu);
            sd->busy++;
        }
        bool ended = deliver_taken(sd, &qb);
        if (ended) {
            queue_done(sd->queue, &qb);
            set_gauges(sd);
        }
        {
            LOCK_SCOPED(&sd->mu);
            sd->busy--;
            cond_broadcast(&sd->changed);
        }
        if (!ended) {
            queue_stop(sd->queue); /* a batch that stays must not be overtaken by later ones */
            queue_drop(sd->queue, &qb);
            break;
        }
    }
    return NULL;
}

/* ---- life ---- */

static void declare_metrics(struct sender *sd, const struct sender_config *cfg)
{
    static const double bounds[] = {10,   25,   50,   75,   100,  250,  500,  750,   1000,  2000,  3000,
                                    4000, 5000, 6000, 7000, 8000, 9000, 10000, 20000, 30000, 50000, 100000};
    const char *labels[] = {"exporter", cfg->id, NULL};
    const char *queue_labels[] = {"exporter", cfg->id, "data_type", "logs", NULL};
    struct metrics *m = cfg->metrics;
    sd->sent = metrics_get(m, METRIC_COUNTER, "otelcol_exporter_sent_log_records", "Records the destination took.", labels);
    sd->failed = metrics_get(m, METRIC_COUNTER, "otelcol_exporter_send_failed_log_records",
                             "Records given up: refused for good, or out of retries.", labels);
    sd->enqueue_failed = metrics_get(m, METRIC_COUNTER, "otelcol_exporter_enqueue_failed_log_records",
                                     "Records the queue did not take; their sender was told to try again.", labels);
    sd->partial = metrics_get(m, METRIC_COUNTER, "otelcol_exporter_partial_rejected_log_records",
                              "Of the records sent, those the destination said it dropped (partial success).", labels);
    sd->in_flight = metrics_get(m, METRIC_GAUGE, "otelcol_exporter_in_flight_requests", "Attempts under way.", labels);
    sd->queue_size = metrics_get(m, METRIC_GAUGE, "otelcol_exporter_queue_size", "Waiting, in units of the sizer.",
                                 queue_labels);
    sd->queue_capacity = metrics_get(m, METRIC_GAUGE, "otelcol_exporter_queue_capacity",
                                     "Most that may wait, in units of the sizer.", queue_labels);
    sd->queue_records = metrics_get(m, METRIC_GAUGE, "otelcol_exporter_queue_log_records", "Records waiting.", queue_labels);
    sd->damaged = metrics_get(m, METRIC_COUNTER, "otelcol_exporter_queue_damaged_requests",
                              "Requests in the queue that could not be read back.", queue_labels);
    if (!cfg->batching.processor)
        return;
    const char *batch_labels[] = {"processor", cfg->batching.processor, NULL};
    sd->batch_records = metrics_histogram(m, "otelcol_processor_batch_batch_send_size", "Records per batch.", batch_labels,
                                          bounds, ARRAY_LEN(bounds));
    sd->by_size = metrics_get(m, METRIC_COUNTER, "otelcol_processor_batch_batch_size_trigger_send",
                              "Batches sent because they were full.", batch_labels);
    sd->by_timeout = metrics_get(m, METRIC_COUNTER, "otelcol_processor_batch_timeout_trigger_send",
                                 "Batches sent because their time was up.", batch_labels);
}

/* An id as a file name: what is not [A-Za-z0-9._-] becomes ~ and its code in hex, as upstream's file_storage does it. */
static char *path_of(const char *data_dir, const char *what, const char *id)
{
    struct buf b = {0};
    buf_fmt(&b, "%s/%s/", data_dir, what);
    for (const char *p = id; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_' ||
                     *p == '-' || (*p == '.' && p != id);
        buf_fmt(&b, plain ? "%c" : "~%04X", plain ? *p : (unsigned char)*p);
    }
    buf_char(&b, 0);
    if (b.failed) {
        buf_done(&b);
        return NULL;
    }
    size_t n;
    return buf_take(&b, &n);
}

char *sender_queue_dir(const char *data_dir, const char *id)
{
    return path_of(data_dir, "queue", id);
}

static bool open_queue(struct sender *sd, const struct sender_config *cfg, struct err *e)
{
    const struct queue_settings *qs = &cfg->settings->queue;
    SCOPED(mem_free) char *dir = sender_queue_dir(cfg->data_dir, cfg->id);
    sd->rejected_dir = path_of(cfg->data_dir, "rejected", cfg->id);
    sd->threads = calloc(qs->num_consumers, sizeof *sd->threads);
    if (!dir || !sd->rejected_dir || !sd->threads)
        return err_nomem(e);
    sv sizer = sv_of(qs->sizer);
    struct queue_config qc = {.id = cfg->id, .dir = dir, .batching = cfg->batching, .capacity = qs->queue_size,
                              .n_takers = (unsigned)qs->num_consumers,
                              .sizer = sv_eq(sizer, SV("bytes"))   ? SIZE_BYTES
                                       : sv_eq(sizer, SV("items")) ? SIZE_ITEMS
                                                                   : SIZE_REQUESTS};
    if (!qs->queue_size) {
        qc.sizer = SIZE_BYTES;
        qc.capacity = QUEUE_BYTES;
    }
    if (!queue_open(&qc, &sd->queue, e))
        return false;
    set_gauges(sd);
    for (; sd->n_threads < qs->num_consumers; sd->n_threads++) {
        int r = pthread_create(&sd->threads[sd->n_threads], NULL, consume, sd);
        if (r)
            return err_sys_code(e, r, "cannot start a consumer of \"%s\"", cfg->id);
    }
    return true;
}

bool sender_open(const struct sender_config *cfg, const struct log_sink *to, struct sender **ret, struct err *e)
{
    struct sender *sd = calloc(1, sizeof *sd);
    if (!sd)
        return err_nomem(e);
    lock_init(&sd->mu);
    lock_init(&sd->keep_mu);
    lock_init(&sd->gauges_mu);
    cond_init(&sd->changed);
    sd->to = *to;
    sd->settings = cfg->settings;
    sd->id = sv_dup(sv_of(cfg->id));
    bool ok = sd->id ? true : err_nomem(e);
    if (ok) {
        declare_metrics(sd, cfg);
        ok = !cfg->settings || !cfg->settings->queue.enabled || open_queue(sd, cfg, e);
    }
    if (!ok) {
        sender_stop(sd, 0);
        sender_close(sd);
        return false;
    }
    *ret = sd;
    return true;
}

void sender_stop(struct sender *sd, int64_t deadline_mono_ns)
{
    if (sd->queue)
        queue_stop(sd->queue);
    LOCK_SCOPED(&sd->mu);
    atomic_store(&sd->stopping, true);
    cond_broadcast(&sd->changed);
    while (sd->busy && clock_mono_ns() < deadline_mono_ns)
        if (!cond_wait_until(&sd->changed, &sd->mu, deadline_mono_ns))
            break;
    while (sd->inside)
        cond_wait(&sd->changed, &sd->mu);
}

void sender_close(struct sender *sd)
{
    if (!sd)
        return;
    for (unsigned i = 0; i < sd->n_threads; i++)
        pthread_join(sd->threads[i], NULL);
    queue_close(sd->queue);
    spool_close(sd->rejected);
    free(sd->threads);
    free(sd->rejected_dir);
    free(sd->id);
    cond_done(&sd->changed);
    lock_done(&sd->mu);
    lock_done(&sd->keep_mu);
    lock_done(&sd->gauges_mu);
    free(sd);
}

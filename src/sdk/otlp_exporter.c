/* otlp_exporter.c - weir_otlp_exporter_new(): OTLP over gRPC or HTTP with libcurl. Both carry the same message; gRPC puts a
 * five-byte prefix before it and the verdict into trailers, HTTP has a status. curl does HTTP/2, TLS and connection reuse.
 * (1) One export at a time, under the lock; it ends by its deadline, retries and waits between them included.
 * (2) shutdown() only sets a flag and wakes the transfer: it needs no lock.
 * (3) After fork() the child closes its copies of the connection's descriptors and starts afresh, without a word to the
 *     peer: the connection is still the parent's. curl's own objects of that time are left alone.
 * Sources: OTLP specification; gRPC over HTTP/2 (doc/PROTOCOL-HTTP2.md of grpc). */
#include "base/clock.h"
#include "base/endian.h"
#include "base/json_out.h"
#include "base/log.h"
#include "otlp/reply.h"
#include "sdk/otlp_options.h"
#include "sdk/pipeline.h"
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Largest answer that is read (OTLP specification: 4 MiB). */
#define MAX_ANSWER (4 << 20)
#define MAX_FDS 4

struct answer { /* of one attempt */
    long http_status;
    int grpc_status; /* -1: none came */
    struct buf grpc_message, details, body;
    int64_t retry_after_ms; /* -1: none */
};

struct otlp_exporter {
    struct otlp_settings set;
    struct curl_slist *headers;
    struct lock mu;
    CURL *easy;              /* under mu */
    struct buf frame;        /* under mu: gRPC prefix and message */
    struct answer answer;    /* under mu */
    char curl_error[CURL_ERROR_SIZE];
    _Atomic(CURLM *) multi;  /* made under mu; woken by any thread */
    _Atomic bool down;
    void (*tend)(void *ctx); /* set before the first export */
    void *tend_ctx;
    _Atomic bool woken;      /* tend() is due at once */
    int64_t tended_ms;       /* under mu */
    _Atomic int fds[MAX_FDS]; /* + 1, so that 0 is none: open connections */
};

/* ---- what curl calls ---- */

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct otlp_exporter *x = ctx;
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    for (int i = 0; fd >= 0 && i < MAX_FDS; i++) {
        int none = 0;
        if (atomic_compare_exchange_strong(&x->fds[i], &none, fd + 1))
            break;
    }
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int close_socket(void *ctx, curl_socket_t fd)
{
    struct otlp_exporter *x = ctx;
    for (int i = 0; i < MAX_FDS; i++) {
        int it = fd + 1;
        if (atomic_compare_exchange_strong(&x->fds[i], &it, 0))
            break;
    }
    return close(fd);
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct answer *a = ctx;
    buf_put(&a->body, p, size * n);
    return a->body.failed ? 0 : size * n;
}

static void percent_decode(sv text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t byte;
        bool escaped = text.p[i] == '%' && hex_get(sv_sub(text, i + 1, 2), &byte, 1, NULL);
        buf_char(out, escaped ? (char)byte : text.p[i]);
        i += escaped ? 2 : 0;
    }
}

/* Header and trailer lines alike. */
static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct answer *a = ctx;
    sv value = sv_trim(sv_make(p, size * n));
    if (sv_starts(value, SV("HTTP/")))
        return size * n;
    sv name = sv_cut(&value, ':');
    value = sv_trim(value);
    uint64_t status;
    if (sv_eq_nocase(name, SV("grpc-status"))) {
        a->grpc_status = sv_to_u64(value, &status) && status <= 16 ? (int)status : GRPC_UNKNOWN;
    } else if (sv_eq_nocase(name, SV("grpc-message"))) {
        buf_reset(&a->grpc_message);
        percent_decode(value, &a->grpc_message);
    } else if (sv_eq_nocase(name, SV("grpc-status-details-bin"))) {
        buf_reset(&a->details);
        if (!base64_get(value, &a->details, NULL))
            buf_reset(&a->details);
    } else if (sv_eq_nocase(name, SV("retry-after"))) {
        a->retry_after_ms = retry_after_ms(value, clock_wall_ns());
    }
    return size * n;
}

/* libcurl 7.88.0 and .1 fail each request that reuses a cleartext HTTP/2 connection (curl issue 10634). */
static bool reuse_is_broken(void)
{
    unsigned v = curl_version_info(CURLVERSION_NOW)->version_num;
    return v == 0x075800 || v == 0x075801;
}

static bool easy_new(struct otlp_exporter *x)
{
    bool grpc = x->set.protocol == WEIR_OTLP_GRPC, tls = strncmp(x->set.url, "https", 5) == 0;
    CURL *c = curl_easy_init();
    if (!c)
        return false;
    curl_easy_setopt(c, CURLOPT_URL, x->set.url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a name lookup that was given up */
    curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION,
                     (long)(!grpc ? CURL_HTTP_VERSION_2TLS
                            : tls ? CURL_HTTP_VERSION_2TLS
                                  : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
    if (grpc && !tls && reuse_is_broken()) {
        curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
    }
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(c, CURLOPT_POST, 1L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &x->answer);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, &x->answer);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, x);
    curl_easy_setopt(c, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(c, CURLOPT_CLOSESOCKETDATA, x);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, x->curl_error);
    if (x->set.ca_file)
        curl_easy_setopt(c, CURLOPT_CAINFO, x->set.ca_file);
    if (x->set.cert_file)
        curl_easy_setopt(c, CURLOPT_SSLCERT, x->set.cert_file);
    if (x->set.key_file)
        curl_easy_setopt(c, CURLOPT_SSLKEY, x->set.key_file);
    x->easy = c;
    return true;
}

static bool ready(struct otlp_exporter *x)
{
    if (!atomic_load(&x->multi))
        atomic_store(&x->multi, curl_multi_init());
    return atomic_load(&x->multi) && (x->easy || easy_new(x));
}

/* ---- waiting ---- */

/* Waits for the connection, a wake-up, or until `until` (mono ms), but never long: the caller loops. Whoever piles up records
 * behind this export is tended to meanwhile. */
static void wait_some(struct otlp_exporter *x, int64_t until)
{
    int64_t longest = MIN(ms_left(until), (int64_t)1000);
    if (x->tend) {
        if (atomic_exchange(&x->woken, false) || ms_left(x->tended_ms + TEND_EVERY_MS) == 0) {
            x->tend(x->tend_ctx);
            x->tended_ms = clock_mono_ms();
        }
        longest = MIN(longest, ms_left(x->tended_ms + TEND_EVERY_MS));
    }
    curl_multi_poll(atomic_load(&x->multi), NULL, 0, (int)longest, NULL);
}

static void otlp_set_tend(void *self, void (*tend)(void *ctx), void *ctx)
{
    struct otlp_exporter *x = self;
    LOCK_SCOPED(&x->mu);
    x->tend = tend;
    x->tend_ctx = ctx;
}

static void otlp_wake(void *self)
{
    struct otlp_exporter *x = self;
    CURLM *m = atomic_load(&x->multi);
    if (!atomic_exchange(&x->woken, true) && m)
        curl_multi_wakeup(m);
}

/* ---- one attempt ---- */

/* Runs the transfer until it ends, the time is over, or shutdown() was called. */
static CURLcode transfer(struct otlp_exporter *x, int64_t deadline_ms)
{
    CURLM *m = atomic_load(&x->multi);
    CURLcode code = CURLE_OPERATION_TIMEDOUT;
    int running = 1, left;
    curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, (long)MAX(ms_left(deadline_ms), (int64_t)1));
    if (curl_multi_add_handle(m, x->easy) != CURLM_OK)
        return CURLE_OUT_OF_MEMORY;
    while (curl_multi_perform(m, &running) == CURLM_OK && running) {
        if (atomic_load(&x->down) || ms_left(deadline_ms) == 0)
            break;
        wait_some(x, deadline_ms);
    }
    for (CURLMsg *msg; (msg = curl_multi_info_read(m, &left));)
        if (msg->msg == CURLMSG_DONE)
            code = msg->data.result;
    curl_multi_remove_handle(m, x->easy);
    return code;
}

/* A write to a connection that the peer closed raises SIGPIPE in OpenSSL; on a thread of the host (simple processor) it
 * must not be seen. */
struct pipe_guard {
    sigset_t before;
    bool was_pending;
};
static void sigpipe_block(struct pipe_guard *g)
{
    sigset_t pipe, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    g->was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &g->before);
}
static void sigpipe_restore(const struct pipe_guard *g)
{
    sigset_t pipe, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    if (!g->was_pending && sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &g->before, NULL);
}

static void set_message(weir_export_result *ret, const struct otlp_exporter *x, const char *what, sv detail)
{
    snprintf(ret->message, sizeof ret->message, "%.100s: %.80s%s%.*s", x->set.url, what, detail.n ? ": " : "",
             (int)MIN(detail.n, (size_t)60), detail.n ? detail.p : "");
}

static weir_export_code export_code(enum push_code c)
{
    return c == PUSH_SENT ? WEIR_EXPORT_OK : c == PUSH_RETRY ? WEIR_EXPORT_RETRY : WEIR_EXPORT_FAILED;
}

/* ExportLogsServiceResponse: a partial success is a success that says how many records it leaves out. */
static void read_response(struct otlp_exporter *x, sv body, weir_export_result *ret)
{
    SCOPED(buf_done) struct buf message = {0};
    uint64_t rejected = 0;
    if (!otlp_read_response_pb(body, &rejected, &message, NULL))
        return; /* it was accepted, whatever it says */
    ret->n_rejected = rejected;
    if (rejected || message.n)
        set_message(ret, x, rejected ? "records rejected" : "accepted with a warning", buf_view(&message));
}

static void judge_grpc(struct otlp_exporter *x, weir_export_result *ret)
{
    struct answer *a = &x->answer;
    if (a->grpc_status < 0 && a->http_status == 200) {
        ret->code = WEIR_EXPORT_RETRY; /* the stream broke off */
        set_message(ret, x, "no grpc-status came", SV_NULL);
        return;
    }
    int status = a->grpc_status >= 0 ? a->grpc_status : (int)grpc_status_of_http(a->http_status), inner;
    SCOPED(buf_done) struct buf text = {0};
    int64_t retry_ms = -1;
    if (a->details.n && !otlp_read_status_pb(buf_view(&a->details), &inner, &text, &retry_ms, NULL))
        retry_ms = -1;
    ret->code = export_code(push_code_of_grpc(status, retry_ms >= 0));
    ret->retry_after_ms = retry_ms;
    if (status == GRPC_OK) {
        SCOPED(buf_done) struct buf plain = buf_capped(MAX_ANSWER);
        sv body = buf_view(&a->body), message = sv_from(body, 5);
        if (body.n < 5 || get_be32(body.p + 1) != message.n)
            return;
        if (!body.p[0])
            read_response(x, message, ret);
        else if (body.p[0] == 1 && x->set.gzip && gzip_get(x->set.gzip, message, &plain, NULL))
            read_response(x, buf_view(&plain), ret);
    } else {
        set_message(ret, x, grpc_code_name(status), buf_view(&a->grpc_message));
    }
}

static void judge_http(struct otlp_exporter *x, weir_export_result *ret)
{
    struct answer *a = &x->answer;
    SCOPED(buf_done) struct buf text = {0};
    char what[32];
    int code;
    int64_t retry_ms = -1;
    ret->code = export_code(push_code_of_http((int)a->http_status));
    ret->retry_after_ms = a->retry_after_ms;
    if (ret->code == WEIR_EXPORT_OK) {
        read_response(x, buf_view(&a->body), ret);
        return;
    }
    snprintf(what, sizeof what, "HTTP status %ld", a->http_status);
    if (!otlp_read_status_pb(buf_view(&a->body), &code, &text, &retry_ms, NULL))
        buf_reset(&text);
    set_message(ret, x, what, buf_view(&text));
}

static void attempt(struct otlp_exporter *x, int64_t deadline_ms, weir_export_result *ret)
{
    struct answer *a = &x->answer;
    struct pipe_guard guard;
    *ret = (weir_export_result){.code = WEIR_EXPORT_RETRY, .retry_after_ms = -1};
    if (!ready(x)) {
        set_message(ret, x, "no memory", SV_NULL);
        return;
    }
    buf_reset(&a->grpc_message);
    buf_reset(&a->details);
    buf_reset(&a->body);
    a->grpc_status = -1;
    a->retry_after_ms = -1;
    x->curl_error[0] = 0;
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, x->frame.p);
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->frame.n);
    sigpipe_block(&guard);
    CURLcode code = transfer(x, deadline_ms);
    sigpipe_restore(&guard);
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &a->http_status);
    if (code == CURLE_WRITE_ERROR) { /* OTLP specification: an answer over the limit is not retried */
        ret->code = WEIR_EXPORT_FAILED;
        set_message(ret, x, "the answer is too large", SV_NULL);
    } else if (code != CURLE_OK) {
        set_message(ret, x, atomic_load(&x->down) ? "shutting down" : *x->curl_error ? x->curl_error : curl_easy_strerror(code),
                    SV_NULL);
    } else if (x->set.protocol == WEIR_OTLP_GRPC) {
        judge_grpc(x, ret);
    } else {
        judge_http(x, ret);
    }
}

/* ---- export with retries ---- */

/* The wait before attempt number n (from 1): 1 s, then 1.5 times more each, at most 5 s, give or take a fifth. */
static int64_t backoff_ms(int n)
{
    double ms = 1000;
    while (--n > 0 && ms < 5000)
        ms *= 1.5;
    return (int64_t)(MIN(ms, 5000.0) * (0.8 + 0.4 * rand_unit()));
}

/* What is sent: the message, compressed or not; for gRPC with a flag that says which and the length before it. */
static void frame_build(struct otlp_exporter *x, sv message)
{
    struct buf *b = &x->frame;
    bool grpc = x->set.protocol == WEIR_OTLP_GRPC;
    uint8_t prefix[5] = {x->set.gzip != NULL};
    buf_reset(b);
    if (grpc)
        buf_put(b, prefix, sizeof prefix);
    if (x->set.gzip)
        (void)!gzip_put(x->set.gzip, message, b);
    else
        buf_sv(b, message);
    if (grpc && !b->failed)
        put_be32((uint8_t *)b->p + 1, (uint32_t)(b->n - sizeof prefix));
}

static void otlp_export(void *self, const weir_batch *batch, int64_t timeout_ms, weir_export_result *ret)
{
    struct otlp_exporter *x = self;
    LOCK_SCOPED(&x->mu);
    int64_t deadline = deadline_in(MIN(timeout_ms, x->set.timeout_ms));
    frame_build(x, batch->bytes);
    *ret = (weir_export_result){.code = WEIR_EXPORT_RETRY, .retry_after_ms = -1};
    if (x->frame.failed) {
        set_message(ret, x, "no memory", SV_NULL);
        return;
    }
    for (int n = 1;; n++) {
        if (atomic_load(&x->down)) {
            if (n == 1) /* else the trouble of the last attempt says more */
                set_message(ret, x, "the exporter was shut down", SV_NULL);
            return;
        }
        attempt(x, deadline, ret);
        int64_t wait = MAX(backoff_ms(n), ret->retry_after_ms);
        if (ret->code != WEIR_EXPORT_RETRY || wait >= ms_left(deadline))
            return;
        if (!atomic_load(&x->multi)) /* no memory for it */
            return;
        int64_t until = clock_mono_ms() + wait;
        while (ms_left(until) > 0 && !atomic_load(&x->down))
            wait_some(x, until);
    }
}

static weir_result otlp_shutdown(void *self, int64_t timeout_ms)
{
    struct otlp_exporter *x = self;
    atomic_store(&x->down, true);
    CURLM *m = atomic_load(&x->multi);
    if (m)
        curl_multi_wakeup(m);
    return WEIR_OK;
}

static void otlp_after_fork(void *self)
{
    struct otlp_exporter *x = self;
    for (int i = 0; i < MAX_FDS; i++) {
        int fd = atomic_exchange(&x->fds[i], 0);
        if (fd)
            close(fd - 1);
    }
    lock_init(&x->mu);
    x->easy = NULL;
    atomic_store(&x->multi, NULL);
    x->frame = (struct buf){0};
    x->answer = (struct answer){.body = buf_capped(MAX_ANSWER)};
}

static void otlp_destroy(void *self)
{
    struct otlp_exporter *x = self;
    if (x->easy)
        curl_easy_cleanup(x->easy);
    if (atomic_load(&x->multi))
        curl_multi_cleanup(atomic_load(&x->multi));
    curl_slist_free_all(x->headers);
    otlp_settings_done(&x->set);
    buf_done(&x->frame);
    buf_done(&x->answer.grpc_message);
    buf_done(&x->answer.details);
    buf_done(&x->answer.body);
    lock_done(&x->mu);
    free(x);
}

/* ---- making ---- */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void curl_start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool add_line(struct otlp_exporter *x, const char *line)
{
    struct curl_slist *list = curl_slist_append(x->headers, line);
    if (list)
        x->headers = list;
    return list != NULL;
}

static bool make_headers(struct otlp_exporter *x)
{
    bool grpc = x->set.protocol == WEIR_OTLP_GRPC;
    bool ok = add_line(x, grpc ? "content-type: application/grpc+proto" : "content-type: application/x-protobuf") &&
              add_line(x, "user-agent: OTel-OTLP-Exporter-Weir/" WEIR_VERSION) && add_line(x, "expect:") &&
              (!grpc || add_line(x, "te: trailers")) &&
              (!x->set.gzip || add_line(x, grpc ? "grpc-encoding: gzip" : "content-encoding: gzip")) &&
              (!x->set.gzip || !grpc || add_line(x, "grpc-accept-encoding: gzip"));
    for (size_t i = 0; ok && i < x->set.headers.n; i++)
        ok = add_line(x, x->set.headers.at[i]);
    return ok;
}

weir_exporter *weir_otlp_exporter_new(const weir_otlp_options *options, weir_error *ret_error)
{
    weir_otlp_options o;
    struct otlp_settings set;
    struct err e = {0};
    error_set(ret_error, "%s", ""); /* the innermost part of a chain: no earlier reason to keep */
    options_copy(&o, sizeof o, options);
    if (!otlp_settings_resolve(&o, &set, &e)) {
        error_set(ret_error, "OTLP exporter: %s", e.msg);
        return NULL;
    }
    pthread_once(&curl_once, curl_start);
    struct otlp_exporter *x = calloc(1, sizeof *x);
    if (!x) {
        otlp_settings_done(&set);
        error_set(ret_error, "out of memory");
        return NULL;
    }
    x->set = set;
    x->answer.body = buf_capped(MAX_ANSWER);
    lock_init(&x->mu);
    weir_exporter *ex = NULL;
    weir_exporter_ops ops = {sizeof ops, otlp_export, NULL, otlp_shutdown, otlp_after_fork, otlp_destroy};
    if (make_headers(x))
        ex = weir_exporter_new(&ops, x);
    else
        otlp_destroy(x);
    if (!ex) {
        error_set(ret_error, "out of memory");
        return NULL;
    }
    ex->component = set.protocol == WEIR_OTLP_GRPC ? "otlp_grpc_log_exporter" : "otlp_http_log_exporter";
    ex->set_tend = otlp_set_tend;
    ex->wake = otlp_wake;
    return ex;
}

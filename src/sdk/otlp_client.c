/* otlp_client.c - see otlp_client.h. gRPC puts a five-byte prefix before the message and the verdict into trailers, HTTP has a
 * status. curl does HTTP/2, TLS and connection reuse; each endpoint keeps a connection of its own.
 * Sources: OTLP specification; gRPC over HTTP/2 (doc/PROTOCOL-HTTP2.md of grpc). */
#include "sdk/otlp_client.h"
#include "base/clock.h"
#include "base/endian.h"
#include "base/json_out.h"
#include "otlp/json.h"
#include "otlp/reply.h"
#include "sdk/pipeline.h"
#include "sdk/host_thread.h"
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Largest answer that is read (OTLP specification: 4 MiB). */
#define MAX_ANSWER (4 << 20)
/* Descriptors one endpoint may have open at a time: an old connection, and a new one tried over IPv4 and IPv6. */
#define FDS_EACH 4

/* ---- what curl calls ---- */

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct otlp_client *c = ctx;
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    for (size_t i = 0; fd >= 0 && i < c->n_fds; i++) {
        int none = 0;
        if (atomic_compare_exchange_strong(&c->fds[i], &none, fd + 1))
            break;
    }
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int close_socket(void *ctx, curl_socket_t fd)
{
    struct otlp_client *c = ctx;
    for (size_t i = 0; i < c->n_fds; i++) {
        int it = fd + 1;
        if (atomic_compare_exchange_strong(&c->fds[i], &it, 0))
            break;
    }
    return close(fd);
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct otlp_answer *a = ctx;
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
    struct otlp_answer *a = ctx;
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

/* ---- handles ---- */

/* libcurl 7.88.0 and .1 fail each request that reuses a cleartext HTTP/2 connection (curl issue 10634). */
static bool reuse_is_broken(void)
{
    unsigned v = curl_version_info(CURLVERSION_NOW)->version_num;
    return v == 0x075800 || v == 0x075801;
}

static bool easy_new(struct otlp_client *c, size_t endpoint)
{
    const struct otlp_settings *set = c->set;
    const char *url = set->endpoints.at[endpoint].url;
    bool grpc = set->protocol == WEIR_OTLP_GRPC, tls = strncmp(url, "https", 5) == 0;
    CURL *h = curl_easy_init();
    if (!h)
        return false;
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a name lookup that was given up */
    curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)(grpc && !tls ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE : CURL_HTTP_VERSION_2TLS));
    if (grpc && !tls && reuse_is_broken()) {
        curl_easy_setopt(h, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(h, CURLOPT_FORBID_REUSE, 1L);
    }
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(h, CURLOPT_POST, 1L);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, &c->answer);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, &c->answer);
    curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, c);
    curl_easy_setopt(h, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(h, CURLOPT_CLOSESOCKETDATA, c);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->curl_error);
    if (set->ca_file)
        curl_easy_setopt(h, CURLOPT_CAINFO, set->ca_file);
    if (set->cert_file)
        curl_easy_setopt(h, CURLOPT_SSLCERT, set->cert_file);
    if (set->key_file)
        curl_easy_setopt(h, CURLOPT_SSLKEY, set->key_file);
    c->easy[endpoint] = h;
    return true;
}

static bool ready(struct otlp_client *c, size_t endpoint)
{
    if (!atomic_load(&c->multi)) {
        CURLM *m = curl_multi_init();
        if (m)
            curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)MAX(c->set->endpoints.n, (size_t)4));
        atomic_store(&c->multi, m);
    }
    return atomic_load(&c->multi) && (c->easy[endpoint] || easy_new(c, endpoint));
}

/* ---- waiting ---- */

/* Waits for the connection, a wake-up, or until `until` (mono ms), but never long: the caller loops. Whoever piles up records
 * behind this export is tended to meanwhile. */
static void wait_some(struct otlp_client *c, int64_t until)
{
    int64_t longest = MIN(ms_left(until), (int64_t)1000);
    if (c->tend) {
        if (atomic_exchange(&c->woken, false) || ms_left(c->tended_ms + TEND_EVERY_MS) == 0) {
            c->tend(c->tend_ctx);
            c->tended_ms = clock_mono_ms();
        }
        longest = MIN(longest, ms_left(c->tended_ms + TEND_EVERY_MS));
    }
    curl_multi_poll(atomic_load(&c->multi), NULL, 0, (int)longest, NULL);
}

void client_wait(struct otlp_client *c, int64_t until_ms)
{
    while (ms_left(until_ms) > 0 && !client_stopped(c))
        wait_some(c, until_ms);
}

void client_wake(struct otlp_client *c)
{
    CURLM *m = atomic_load(&c->multi);
    if (!atomic_exchange(&c->woken, true) && m)
        curl_multi_wakeup(m);
}

void client_stop(struct otlp_client *c)
{
    atomic_store(&c->stopped, true);
    CURLM *m = atomic_load(&c->multi);
    if (m)
        curl_multi_wakeup(m);
}

/* ---- one call ---- */

/* Runs the transfer until it ends, the time is over, or client_stop() was called. */
static CURLcode transfer(struct otlp_client *c, CURL *h, int64_t deadline_ms)
{
    CURLM *m = atomic_load(&c->multi);
    CURLcode code = CURLE_OPERATION_TIMEDOUT;
    int running = 1, left;
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)MAX(ms_left(deadline_ms), (int64_t)1));
    if (curl_multi_add_handle(m, h) != CURLM_OK)
        return CURLE_OUT_OF_MEMORY;
    while (curl_multi_perform(m, &running) == CURLM_OK && running) {
        if (client_stopped(c) || ms_left(deadline_ms) == 0)
            break;
        wait_some(c, deadline_ms);
    }
    for (CURLMsg *msg; (msg = curl_multi_info_read(m, &left));)
        if (msg->msg == CURLMSG_DONE)
            code = msg->data.result;
    curl_multi_remove_handle(m, h);
    return code;
}

struct call {
    struct otlp_client *client;
    const char *name; /* the endpoint's, for messages */
    weir_export_result *ret;
};

static void set_message(const struct call *k, const char *what, sv detail)
{
    snprintf(k->ret->message, sizeof k->ret->message, "%.100s: %.80s%s%.*s", k->name, what, detail.n ? ": " : "",
             (int)MIN(detail.n, (size_t)60), detail.n ? detail.p : "");
}

static weir_export_code export_code(enum push_code c)
{
    return c == PUSH_SENT ? WEIR_EXPORT_OK : c == PUSH_RETRY ? WEIR_EXPORT_RETRY : WEIR_EXPORT_FAILED;
}

static bool speaks_json(const struct call *k)
{
    return k->client->set->protocol == WEIR_OTLP_HTTP_JSON;
}

/* ExportLogsServiceResponse: a partial success is a success that says how many records it leaves out. */
static void read_response(const struct call *k, sv body)
{
    SCOPED(buf_done) struct buf message = {0};
    uint64_t rejected = 0;
    if (!otlp_read_response(body, speaks_json(k), &rejected, &message, NULL))
        return; /* it was accepted, whatever it says */
    k->ret->n_rejected = rejected;
    if (rejected || message.n)
        set_message(k, rejected ? "records rejected" : "accepted with a warning", buf_view(&message));
}

/* The one message in the body: behind its prefix, perhaps compressed. */
static void read_grpc_response(const struct call *k, sv body)
{
    SCOPED(buf_done) struct buf plain = buf_capped(MAX_ANSWER);
    sv message = sv_from(body, 5);
    struct gzip *gzip = k->client->set->gzip;
    if (body.n < 5 || get_be32(body.p + 1) != message.n)
        return;
    if (!body.p[0])
        read_response(k, message);
    else if (body.p[0] == 1 && gzip && gzip_get(gzip, message, &plain, NULL))
        read_response(k, buf_view(&plain));
}

static void judge_grpc(const struct call *k)
{
    struct otlp_answer *a = &k->client->answer;
    if (a->grpc_status < 0 && a->http_status == 200) {
        set_message(k, "no grpc-status came", SV_NULL); /* the stream broke off: RETRY */
        k->client->last.error = "no_grpc_status";
        return;
    }
    int status = a->grpc_status >= 0 ? a->grpc_status : (int)grpc_status_of_http(a->http_status), inner;
    SCOPED(buf_done) struct buf text = {0};
    int64_t retry_ms = -1;
    if (a->details.n && !otlp_read_status_pb(buf_view(&a->details), &inner, &text, &retry_ms, NULL))
        retry_ms = -1;
    if (a->grpc_status >= 0)
        k->client->last.rpc_status = grpc_code_name(status);
    if (status != GRPC_OK)
        k->client->last.error = grpc_code_name(status);
    k->ret->code = export_code(push_code_of_grpc(status, retry_ms >= 0));
    k->ret->retry_after_ms = retry_ms;
    if (status == GRPC_OK)
        read_grpc_response(k, buf_view(&a->body));
    else
        set_message(k, grpc_code_name(status), buf_view(&a->grpc_message));
}

static void judge_http(const struct call *k)
{
    struct otlp_answer *a = &k->client->answer;
    SCOPED(buf_done) struct buf text = {0};
    char what[32];
    int code;
    int64_t retry_ms = -1;
    k->client->last.http_status = (int)a->http_status;
    k->client->last.error = ""; /* of one that fails */
    k->ret->code = export_code(push_code_of_http((int)a->http_status));
    k->ret->retry_after_ms = a->retry_after_ms;
    if (k->ret->code == WEIR_EXPORT_OK) {
        read_response(k, buf_view(&a->body));
        return;
    }
    snprintf(what, sizeof what, "HTTP status %ld", a->http_status);
    if (!otlp_read_status(buf_view(&a->body), speaks_json(k), &code, &text, &retry_ms, NULL))
        buf_reset(&text);
    set_message(k, what, buf_view(&text));
}

static void judge(const struct call *k, CURLcode code)
{
    struct otlp_client *c = k->client;
    if (code == CURLE_WRITE_ERROR) { /* OTLP specification: an answer over the limit is not retried */
        k->ret->code = WEIR_EXPORT_FAILED;
        set_message(k, "the answer is too large", SV_NULL);
        c->last.error = "answer_too_large";
    } else if (code != CURLE_OK) {
        c->last.error = client_stopped(c) ? "shutdown" : code == CURLE_OPERATION_TIMEDOUT ? "timeout" : "connection_failed";
        set_message(k, client_stopped(c) ? "shutting down" : *c->curl_error ? c->curl_error : curl_easy_strerror(code), SV_NULL);
    } else if (c->set->protocol == WEIR_OTLP_GRPC) {
        judge_grpc(k);
    } else {
        judge_http(k);
    }
    k->ret->retry_after_ms = MIN(k->ret->retry_after_ms, c->set->max_retry_after_ms);
}

void client_call(struct otlp_client *c, size_t endpoint, sv frame, int64_t deadline_ms, weir_export_result *ret)
{
    struct otlp_answer *a = &c->answer;
    struct call call = {c, c->set->endpoints.at[endpoint].name, ret};
    struct host_guard guard;
    *ret = (weir_export_result){.code = WEIR_EXPORT_RETRY, .retry_after_ms = -1};
    c->last = (struct outcome){.server = c->set->endpoints.at[endpoint].host, .port = c->set->endpoints.at[endpoint].port};
    if (!ready(c, endpoint)) {
        set_message(&call, "no memory", SV_NULL);
        return;
    }
    CURL *h = c->easy[endpoint];
    buf_reset(&a->grpc_message);
    buf_reset(&a->details);
    buf_reset(&a->body);
    a->grpc_status = -1;
    a->retry_after_ms = -1;
    c->curl_error[0] = 0;
    curl_easy_setopt(h, CURLOPT_POSTFIELDS, frame.p);
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)frame.n);
    host_enter(&guard);
    CURLcode code = transfer(c, h, deadline_ms);
    host_leave(&guard);
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &a->http_status);
    judge(&call, code);
}

/* ---- making ---- */

static bool add_line(struct otlp_client *c, const char *line)
{
    struct curl_slist *list = curl_slist_append(c->headers, line);
    if (list)
        c->headers = list;
    return list != NULL;
}

static bool make_headers(struct otlp_client *c)
{
    static const char *const types[] = {
        [WEIR_OTLP_GRPC] = "content-type: application/grpc+proto",
        [WEIR_OTLP_HTTP_PROTOBUF] = "content-type: application/x-protobuf",
        [WEIR_OTLP_HTTP_JSON] = "content-type: application/json",
    };
    const struct otlp_settings *set = c->set;
    bool grpc = set->protocol == WEIR_OTLP_GRPC;
    bool ok = add_line(c, types[set->protocol]) && add_line(c, "user-agent: OTel-OTLP-Exporter-Weir/" WEIR_VERSION) &&
              add_line(c, "expect:") && (!grpc || add_line(c, "te: trailers")) &&
              (!set->gzip || add_line(c, grpc ? "grpc-encoding: gzip" : "content-encoding: gzip")) &&
              (!set->gzip || !grpc || add_line(c, "grpc-accept-encoding: gzip"));
    for (size_t i = 0; ok && i < set->headers.n; i++)
        ok = add_line(c, set->headers.at[i]);
    return ok;
}

static void curl_start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

bool client_init(struct otlp_client *c, const struct otlp_settings *set)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, curl_start);
    *c = (struct otlp_client){.set = set, .answer.body = buf_capped(MAX_ANSWER)};
    c->n_fds = FDS_EACH * set->endpoints.n;
    c->fds = calloc(c->n_fds, sizeof *c->fds);
    c->easy = calloc(set->endpoints.n, sizeof *c->easy);
    return c->fds && c->easy && make_headers(c);
}

void client_after_fork(struct otlp_client *c)
{
    for (size_t i = 0; i < c->n_fds; i++) {
        int fd = atomic_exchange(&c->fds[i], 0);
        if (fd)
            close(fd - 1);
    }
    for (size_t i = 0; i < c->set->endpoints.n; i++)
        c->easy[i] = NULL;
    atomic_store(&c->multi, NULL);
    c->answer = (struct otlp_answer){.body = buf_capped(MAX_ANSWER)};
}

void client_done(struct otlp_client *c)
{
    for (size_t i = 0; c->easy && i < c->set->endpoints.n; i++)
        if (c->easy[i])
            curl_easy_cleanup(c->easy[i]);
    if (atomic_load(&c->multi))
        curl_multi_cleanup(atomic_load(&c->multi));
    curl_slist_free_all(c->headers);
    free(c->easy);
    free(c->fds);
    buf_done(&c->answer.grpc_message);
    buf_done(&c->answer.details);
    buf_done(&c->answer.body);
}

/* client.c - see client.h: libcurl's multi interface on our loop.
 * (1) The multi handle and all easy handles belong to the loop's thread. http_client_send() copies what it is
 * given and posts it. (2) A call ends in exactly one place, finish(), whatever happened. (3) libcurl 7.88.0
 * and .1 (Debian 12) fail every request that reuses a prior-knowledge HTTP/2 connection (curl issue 10634). A
 * connection made that way may be reused by requests that merely prefer HTTP/2, though. So with those
 *     versions only the first request opens a connection with prior knowledge; later ones ask for what is
 * open. When nothing is open any more such a request goes out as HTTP/1.1, which no gRPC server executes: it
 * is sent again, once, with prior knowledge. (4) A peer may send at most max_response_bytes of body and
 * libcurl's own cap of headers; it cannot redirect us, set cookies, or choose another protocol. */
#include "net/client.h"
#include "base/clock.h"
#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { H2_BELIEVED_OPEN_MS = 60000 };

struct http_client {
    struct http_client_config cfg; /* strings and settings are ours; read-only */
    struct loop *loop;
    bool reuse_bug; /* (3); read-only */
    CURLM *multi;   /* loop thread from here on */
    struct event timer;
    struct client_call *first;
    int64_t h2_seen_ms;     /* (3): when an HTTP/2 connection last worked; 0: none is believed to be open */
    _Atomic size_t n_calls; /* not yet finished, from http_client_send() on */
    _Atomic bool closing;
};

struct client_call {
    struct loop_task task;
    struct http_client *c;
    struct client_call *prev, *next; /* loop thread; of those that libcurl works on */
    bool linked;
    bool hopeful, retried; /* (3) */
    CURL *easy;
    struct arena arena; /* the request's copy, then the response's headers */
    struct client_request req;
    struct curl_slist *headers, *connect_to;
    struct buf body; /* of the response */
    char error[CURL_ERROR_SIZE];
    client_done_fn *done;
    void *ctx;
};

/* --- one call's end --- */

static void call_free(struct client_call *k)
{
    curl_slist_free_all(k->headers);
    curl_slist_free_all(k->connect_to);
    if (k->easy)
        curl_easy_cleanup(k->easy);
    buf_done(&k->body);
    arena_done(&k->arena);
    free(k);
}

static bool call_link(struct client_call *k)
{
    if (curl_multi_add_handle(k->c->multi, k->easy) != CURLM_OK)
        return false;
    k->prev = NULL;
    k->next = k->c->first;
    if (k->next)
        k->next->prev = k;
    k->c->first = k;
    k->linked = true;
    return true;
}

static void call_unlink(struct client_call *k)
{
    if (!k->linked)
        return;
    curl_multi_remove_handle(k->c->multi, k->easy);
    *(k->prev ? &k->prev->next : &k->c->first) = k->next;
    if (k->next)
        k->next->prev = k->prev;
    k->linked = false;
}

static void finish(struct client_call *k, const struct client_response *r)
{
    struct http_client *c = k->c;
    call_unlink(k);
    k->done(k->ctx, r);
    call_free(k);
    atomic_fetch_sub(&c->n_calls, 1);
}

static void fail(struct client_call *k, const struct err *e)
{
    struct client_response r = {.err = *e};
    finish(k, &r);
}

/* The URL as messages show it: without credentials and query. */
static sv public_url(sv url)
{
    url = sv_sub(url, 0, sv_find_char(url, '?'));
    size_t scheme = sv_find(url, SV("://")), from = scheme == SV_NPOS ? 0 : scheme + 3;
    size_t at = sv_find_char(sv_sub(sv_from(url, from), 0, sv_find_char(sv_from(url, from), '/')), '@');
    return at == SV_NPOS ? url : sv_from(url, from + at + 1);
}

static enum err_code code_of(CURLcode rc)
{
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
        return ERR_NOMEM;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return ERR_INVALID;
    default:
        return ERR_UNAVAILABLE;
    }
}

static void fail_curl(struct client_call *k, CURLcode rc)
{
    struct err e = {0};
    if (k->body.failed == ERR_LIMIT)
        err_set(&e, ERR_LIMIT, "the response is larger than %llu bytes (limit: max_response_bytes)",
                (unsigned long long)k->c->cfg.max_response_bytes);
    else if (k->body.failed)
        err_nomem(&e);
    else
        err_set(&e, code_of(rc), "%s", k->error[0] ? k->error : curl_easy_strerror(rc));
    sv url = public_url(sv_of(k->req.url));
    err_ctx(&e, "%s " SV_FMT, k->req.method, SV_ARG(sv_sub(url, 0, 100)));
    fail(k, &e);
}

/* libcurl's headers of one origin, names in lower case. */
static bool collect_headers(struct client_call *k, unsigned origin, struct http_header **ret, size_t *ret_n)
{
    struct http_header *at = NULL;
    size_t n = 0, cap = 0;
    for (struct curl_header *h = NULL; (h = curl_easy_nextheader(k->easy, origin, -1, h));) {
        struct http_header *grown = arena_grow(&k->arena, at, n, &cap, sizeof *at);
        sv name = arena_sv(&k->arena, sv_of(h->name)), value = arena_sv(&k->arena, sv_of(h->value));
        if (!grown || !name.p || !value.p)
            return false;
        for (size_t i = 0; i < name.n; i++)
            if (name.p[i] >= 'A' && name.p[i] <= 'Z')
                ((char *)(uintptr_t)name.p)[i] |= 0x20;
        at = grown;
        at[n++] = (struct http_header){name, value};
    }
    *ret = at;
    *ret_n = n;
    return true;
}

static void set_prior_knowledge(struct client_call *k)
{
    k->hopeful = k->c->reuse_bug && k->c->h2_seen_ms &&
                 clock_mono_ms() - k->c->h2_seen_ms < H2_BELIEVED_OPEN_MS && !k->retried;
    curl_easy_setopt(k->easy, CURLOPT_HTTP_VERSION,
                     k->hopeful ? CURL_HTTP_VERSION_2_0 : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
    curl_easy_setopt(k->easy, CURLOPT_FRESH_CONNECT, k->c->reuse_bug && !k->hopeful ? 1L : 0L);
}

/* (3): whether the call hoped for an open connection, found none, and is on its way again. */
static bool call_retry(struct client_call *k, CURLcode rc)
{
    long connects = 0, version = 0;
    curl_off_t us = 0;
    curl_easy_getinfo(k->easy, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo(k->easy, CURLINFO_HTTP_VERSION, &version);
    if (rc == CURLE_OK && version == CURL_HTTP_VERSION_2_0) {
        k->c->h2_seen_ms = clock_mono_ms();
        return false;
    }
    bool unreachable =
        rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_CONNECT || rc == CURLE_OPERATION_TIMEDOUT;
    bool wrong_version = rc == CURLE_OK || connects > 0;
    if (!k->hopeful || unreachable || !wrong_version)
        return false;
    curl_easy_getinfo(k->easy, CURLINFO_TOTAL_TIME_T, &us);
    int64_t left_ms = MAX(k->req.timeout_ms - us / 1000, (int64_t)1);
    call_unlink(k);
    buf_reset(&k->body);
    k->retried = true;
    k->c->h2_seen_ms = 0;
    set_prior_knowledge(k);
    curl_easy_setopt(k->easy, CURLOPT_TIMEOUT_MS, (long)MIN(left_ms, (int64_t)INT32_MAX));
    return call_link(k);
}

static void call_complete(struct client_call *k, CURLcode rc)
{
    long status = 0;
    if (call_retry(k, rc))
        return;
    struct client_response r = {.body = buf_view(&k->body)};
    curl_easy_getinfo(k->easy, CURLINFO_RESPONSE_CODE, &status);
    if (rc != CURLE_OK) {
        fail_curl(k, rc);
    } else if (!collect_headers(k, CURLH_HEADER, &r.headers, &r.n_headers) ||
               !collect_headers(k, CURLH_TRAILER, &r.trailers, &r.n_trailers)) {
        fail_curl(k, CURLE_OUT_OF_MEMORY);
    } else {
        r.status = (int)status;
        finish(k, &r);
    }
}

uint64_t http_client_max_response(const struct http_client *c)
{
    return c->cfg.max_response_bytes;
}

sv client_header(const struct client_response *r, sv lower_case_name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (sv_eq(r->headers[i].name, lower_case_name))
            return r->headers[i].value;
    for (size_t i = 0; i < r->n_trailers; i++)
        if (sv_eq(r->trailers[i].name, lower_case_name))
            return r->trailers[i].value;
    return SV_NULL;
}

/* --- libcurl on the loop --- */

static void take_results(struct http_client *c)
{
    int left;
    for (CURLMsg *msg; (msg = curl_multi_info_read(c->multi, &left));) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        struct client_call *k;
        CURLcode rc = msg->data.result; /* msg dies with the handle's removal */
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&k);
        call_complete(k, rc);
    }
}

static void on_socket_event(evutil_socket_t fd, short what, void *ctx)
{
    struct http_client *c = ctx;
    int action = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0), running;
    curl_multi_socket_action(c->multi, fd, action, &running);
    take_results(c);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct http_client *c = ctx;
    int running;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_results(c);
}

/* libcurl wants to be told about these events of fd. `assigned` is what we gave it for this socket. */
static int want_events(CURL *easy, curl_socket_t fd, int what, void *ctx, void *assigned)
{
    struct http_client *c = ctx;
    struct event *ev = assigned;
    if (ev)
        event_free(ev);
    ev = NULL;
    if (what != CURL_POLL_REMOVE) {
        short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
        ev = event_new(loop_base(c->loop), fd, (short)(events | EV_PERSIST), on_socket_event, c);
        if (!ev || event_add(ev, NULL) < 0) {
            if (ev)
                event_free(ev);
            curl_multi_assign(c->multi, fd, NULL);
            return -1; /* libcurl fails the transfers */
        }
    }
    curl_multi_assign(c->multi, fd, ev);
    return 0;
}

static int want_timer(CURLM *multi, long ms, void *ctx)
{
    struct http_client *c = ctx;
    if (ms < 0) {
        evtimer_del(&c->timer);
        return 0;
    }
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    return evtimer_add(&c->timer, &tv);
}

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
    struct client_call *k = ctx;
    buf_put(&k->body, p, n);
    return k->body.failed ? 0 : n;
}

/* --- one call's settings --- */

static bool add_header(struct client_call *k, struct buf *line)
{
    buf_char(line, '\0');
    struct curl_slist *more = line->failed ? NULL : curl_slist_append(k->headers, line->p);
    buf_reset(line);
    if (more)
        k->headers = more;
    return more;
}

static bool set_headers(struct client_call *k)
{
    SCOPED(buf_done) struct buf line = {0};
    bool has_type = false;
    for (size_t i = 0; i < k->req.n_headers; i++) {
        const struct http_header *h = &k->req.headers[i];
        has_type |= sv_eq_nocase(h->name, SV("content-type"));
        buf_sv(&line, h->name);
        buf_sv(&line, h->value.n ? SV(": ") : SV(";")); /* libcurl's way to say "empty" */
        buf_sv(&line, h->value);
        for (size_t j = 0; j < line.n; j++)
            if ((unsigned char)line.p[j] < 0x20)
                line.p[j] = ' ';
        if (!add_header(k, &line))
            return false;
    }
    buf_sv(&line, SV("Expect:")); /* do not wait for 100 Continue */
    if (!add_header(k, &line))
        return false;
    if (!has_type) {
        buf_sv(&line, SV("Content-Type:")); /* libcurl would claim a form */
        if (!add_header(k, &line))
            return false;
    }
    curl_easy_setopt(k->easy, CURLOPT_HTTPHEADER, k->headers);
    return true;
}

static void set_method(struct client_call *k)
{
    const struct client_request *q = &k->req;
    if (strcmp(q->method, "GET") == 0 && !q->body.n) {
        curl_easy_setopt(k->easy, CURLOPT_HTTPGET, 1L);
    } else if (strcmp(q->method, "HEAD") == 0) {
        curl_easy_setopt(k->easy, CURLOPT_NOBODY, 1L);
    } else {
        bool post = strcmp(q->method, "POST") == 0;
        if (post || q->body.n) {
            curl_easy_setopt(k->easy, CURLOPT_POST, 1L);
            curl_easy_setopt(k->easy, CURLOPT_POSTFIELDS, q->body.n ? q->body.p : "");
            curl_easy_setopt(k->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.n);
        }
        if (!post)
            curl_easy_setopt(k->easy, CURLOPT_CUSTOMREQUEST, q->method);
    }
}

/* The certificate is checked for another name than the URL's: libcurl checks the URL's host, so the name goes
 * there, the connection still to where the URL said, and the Host header keeps what it said. */
static CURLcode override_server_name(struct client_call *k, const char *name)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL, *url = NULL;
    bool ok = u && !curl_url_set(u, CURLUPART_URL, k->req.url, 0) &&
              !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
              !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
              !curl_url_set(u, CURLUPART_HOST, name, 0) && !curl_url_get(u, CURLUPART_URL, &url, 0);
    SCOPED(buf_done) struct buf to = {0}, line = {0};
    if (ok) {
        buf_fmt(&to, "::%s:%s", host, port);
        buf_char(&to, '\0');
        k->connect_to = to.failed ? NULL : curl_slist_append(NULL, to.p);
        buf_fmt(&line, "Host: %s:%s", host, port);
        ok = k->connect_to && add_header(k, &line);
    }
    if (ok) {
        curl_easy_setopt(k->easy, CURLOPT_URL, url);
        curl_easy_setopt(k->easy, CURLOPT_CONNECT_TO, k->connect_to);
        curl_easy_setopt(k->easy, CURLOPT_HTTPHEADER, k->headers);
    }
    curl_free(host);
    curl_free(port);
    curl_free(url);
    curl_url_cleanup(u);
    return ok ? CURLE_OK : CURLE_URL_MALFORMAT;
}

static CURLcode set_tls(struct client_call *k)
{
    const struct tls_client_config *tls = &k->c->cfg.tls;
    CURLcode rc = CURLE_OK;
    curl_easy_setopt(k->easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (tls->insecure_skip_verify) {
        curl_easy_setopt(k->easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(k->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (tls->ca_file && *tls->ca_file)
        rc = curl_easy_setopt(k->easy, CURLOPT_CAINFO, tls->ca_file);
    if (!rc && tls->cert_file && *tls->cert_file)
        rc = curl_easy_setopt(k->easy, CURLOPT_SSLCERT, tls->cert_file);
    if (!rc && tls->key_file && *tls->key_file)
        rc = curl_easy_setopt(k->easy, CURLOPT_SSLKEY, tls->key_file);
    if (!rc && tls->server_name_override && *tls->server_name_override)
        rc = override_server_name(k, tls->server_name_override);
    return rc;
}

static void set_http_version(struct client_call *k)
{
    const struct http_client *c = k->c;
    bool tls = sv_eq_nocase(sv_sub(sv_of(k->req.url), 0, 6), SV("https:"));
    if (!c->cfg.http2_prior_knowledge) {
        curl_easy_setopt(k->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    } else if (tls) {
        curl_easy_setopt(k->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
    } else {
        set_prior_knowledge(k);
    }
}

static CURLcode prepare(struct client_call *k)
{
    const struct http_client *c = k->c;
    if (!k->easy || !set_headers(k))
        return CURLE_OUT_OF_MEMORY;
    CURL *easy = k->easy;
    CURLcode rc = curl_easy_setopt(easy, CURLOPT_URL, k->req.url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, k);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, k->error);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, c->cfg.user_agent);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)MIN(k->req.timeout_ms, (int64_t)INT32_MAX));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)MIN(c->cfg.connect_timeout_ms, (int64_t)INT32_MAX));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, k);
    set_method(k);
    set_http_version(k);
    return rc ? rc : set_tls(k);
}

static void start_call(struct loop_task *t)
{
    struct client_call *k = CONTAINER_OF(t, struct client_call, task);
    struct http_client *c = k->c;
    struct err e = {0};
    if (atomic_load(&c->closing)) {
        err_set(&e, ERR_CANCELLED, "client '%s' is closing", c->cfg.name);
        fail(k, &e);
        return;
    }
    k->easy = curl_easy_init();
    CURLcode rc = prepare(k);
    if (!rc && !call_link(k))
        rc = CURLE_OUT_OF_MEMORY;
    if (rc)
        fail_curl(k, rc);
}

static bool copy_request(struct client_call *k, const struct client_request *req)
{
    struct arena *a = &k->arena;
    k->req = *req;
    k->req.method = arena_sv(a, sv_of(req->method)).p;
    k->req.url = arena_sv(a, sv_of(req->url)).p;
    k->req.timeout_ms = req->timeout_ms ? req->timeout_ms : 30000;
    struct http_header *h = arena_array(a, req->n_headers, sizeof *h);
    for (size_t i = 0; h && i < req->n_headers; i++) {
        h[i] = (struct http_header){arena_sv(a, req->headers[i].name), arena_sv(a, req->headers[i].value)};
        if (!h[i].name.p || !h[i].value.p)
            return false;
    }
    k->req.headers = h;
    return h && k->req.method && k->req.url;
}

void http_client_send(struct http_client *c, const struct client_request *req, client_done_fn *done,
                      void *ctx)
{
    struct client_call *k = calloc(1, sizeof *k);
    if (k)
        arena_init(&k->arena, 0);
    if (!k || !copy_request(k, req)) {
        struct client_response r = {0};
        err_nomem(&r.err);
        done(ctx, &r);
        if (k)
            call_free(k);
        return;
    }
    k->c = c;
    k->done = done;
    k->ctx = ctx;
    k->body.max = c->cfg.max_response_bytes;
    k->task.fn = start_call;
    atomic_fetch_add(&c->n_calls, 1);
    loop_post(c->loop, &k->task);
}

/* --- life --- */

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool has_reuse_bug(void)
{
    unsigned v = curl_version_info(CURLVERSION_NOW)->version_num;
    return v == 0x075800 || v == 0x075801;
}

static char *dup_text(const char *s)
{
    return s ? sv_dup(sv_of(s)) : NULL;
}

static void client_free(struct http_client *c)
{
    if (!c)
        return;
    if (c->multi)
        curl_multi_cleanup(c->multi);
    free((char *)(uintptr_t)c->cfg.name);
    free((char *)(uintptr_t)c->cfg.user_agent);
    options_done(tls_client_options, &c->cfg.tls);
    free(c);
}
DEFINE_SCOPED(struct http_client *, client_free)

static bool copy_config(struct http_client *c, const struct http_client_config *cfg)
{
    const struct tls_client_config *tls = &cfg->tls;
    c->cfg = *cfg;
    c->cfg.name = dup_text(cfg->name ? cfg->name : "http");
    c->cfg.user_agent = dup_text(cfg->user_agent ? cfg->user_agent : "weir/" WEIR_VERSION);
    c->cfg.tls = (struct tls_client_config){
        .insecure = tls->insecure,
        .insecure_skip_verify = tls->insecure_skip_verify,
        .ca_file = dup_text(tls->ca_file),
        .cert_file = dup_text(tls->cert_file),
        .key_file = dup_text(tls->key_file),
        .server_name_override = dup_text(tls->server_name_override),
    };
    c->cfg.max_connections = cfg->max_connections ? cfg->max_connections : 16;
    c->cfg.max_response_bytes = cfg->max_response_bytes ? cfg->max_response_bytes : 4 << 20;
    c->cfg.connect_timeout_ms = cfg->connect_timeout_ms ? cfg->connect_timeout_ms : 5000;
    return c->cfg.name && c->cfg.user_agent && (!tls->ca_file || c->cfg.tls.ca_file) &&
           (!tls->cert_file || c->cfg.tls.cert_file) && (!tls->key_file || c->cfg.tls.key_file) &&
           (!tls->server_name_override || c->cfg.tls.server_name_override);
}

bool http_client_open(const struct http_client_config *cfg, struct loop *l, struct http_client **ret,
                      struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    SCOPED(client_free) struct http_client *c = calloc(1, sizeof *c);
    if (!c || !copy_config(c, cfg) || !(c->multi = curl_multi_init()))
        return err_nomem(e);
    c->loop = l;
    c->reuse_bug = has_reuse_bug();
    evtimer_assign(&c->timer, loop_base(l), on_timer, c);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_events);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)c->cfg.max_connections);
    *ret = TAKE(c);
    return true;
}

static void cancel_all(void *ctx)
{
    struct http_client *c = ctx;
    struct err e = {0};
    err_set(&e, ERR_CANCELLED, "client '%s' is closing", c->cfg.name);
    while (c->first)
        fail(c->first, &e);
}

static void cleanup(void *ctx)
{
    struct http_client *c = ctx;
    curl_multi_cleanup(TAKE(c->multi)); /* still calls want_events and want_timer */
    evtimer_del(&c->timer);
}

void http_client_close(struct http_client *c)
{
    if (!c)
        return;
    atomic_store(&c->closing, true);
    do /* `done` functions may have posted more */
        loop_run_and_wait(c->loop, cancel_all, c);
    while (atomic_load(&c->n_calls));
    loop_run_and_wait(c->loop, cleanup, c);
    client_free(c);
}

/* otlp_client.h - calls of OTLP peers: one message to one endpoint, and what it answered. Behind it libcurl. Internal to the OTLP
 * exporter, which decides whom to call and what to do about the answer.
 * One thread at a time, but for client_stop() and client_wake(), which any thread may call at any time. */
#pragma once
#include "sdk/durations.h"
#include "sdk/otlp_options.h"
#include <curl/curl.h>
#include <stdatomic.h>

struct otlp_answer { /* of one call */
    long http_status;
    int grpc_status; /* -1: none came */
    struct buf grpc_message, details, body;
    int64_t retry_after_ms; /* -1: none */
};

struct otlp_client {
    const struct otlp_settings *set;
    struct curl_slist *headers;
    _Atomic(CURLM *) multi; /* made by the first call */
    CURL **easy;            /* one per endpoint, made by its first call */
    _Atomic int *fds;       /* of open connections, + 1, so that 0 is none */
    size_t n_fds;
    struct otlp_answer answer;
    struct outcome last; /* of the last call, for metrics */
    char curl_error[CURL_ERROR_SIZE];
    _Atomic bool stopped;
    void (*tend)(void *ctx); /* pipeline.h; or NULL */
    void *tend_ctx;
    _Atomic bool woken; /* tend() is due at once */
    int64_t tended_ms;
};

/* `set` must outlive it. False: no memory; client_done() then as well. */
MUST_USE bool client_init(struct otlp_client *c, const struct otlp_settings *set);
void client_done(struct otlp_client *c);
/* One attempt, over by the deadline (mono ms). ret->code tells: accepted, worth another attempt, refused for good. A wait that
 * the peer asks for is cut to max_retry_after_ms. */
void client_call(struct otlp_client *c, size_t endpoint, sv frame, int64_t deadline_ms, weir_export_result *ret);
/* Waits until then (mono ms), or until client_stop(). */
void client_wait(struct otlp_client *c, int64_t until_ms);
/* Calls and waits end soon, also later ones. */
void client_stop(struct otlp_client *c);
static inline bool client_stopped(struct otlp_client *c)
{
    return atomic_load(&c->stopped);
}
void client_wake(struct otlp_client *c);
/* In a forked child: closes its copies of the descriptors and starts afresh, without a word to the peer: the connections are
 * still the parent's. curl's own objects of that time are left alone. */
void client_after_fork(struct otlp_client *c);

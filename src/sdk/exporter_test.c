/* exporter_test.c - the OTLP exporter against a server of ours that answers as told: gRPC and HTTP over loopback. */
#include "base/clock.h"
#include "sdk/encode.h"
#include "sdk/pipeline.h"
#include "sdk/test_peer.h"
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A certificate for 127.0.0.1 that vouches for itself. */
static void make_certificate(char cert_file[128], char key_file[128])
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"peer", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(cert, san, -1);
    X509_sign(cert, key, EVP_sha256());
    snprintf(cert_file, 128, "%s/cert.pem", test_dir());
    snprintf(key_file, 128, "%s/key.pem", test_dir());
    FILE *f = fopen(cert_file, "w");
    CHECK(f && PEM_write_X509(f, cert) && fclose(f) == 0);
    f = fopen(key_file, "w");
    CHECK(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) && fclose(f) == 0);
    X509_EXTENSION_free(san);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static const struct way {
    weir_otlp_protocol protocol;
    const char *compression;
} ways[] = {
    {WEIR_OTLP_GRPC, "none"}, {WEIR_OTLP_GRPC, "gzip"}, {WEIR_OTLP_HTTP_PROTOBUF, "none"}, {WEIR_OTLP_HTTP_PROTOBUF, "gzip"},
    {WEIR_OTLP_HTTP_JSON, "none"}, {WEIR_OTLP_HTTP_JSON, "gzip"},
};

static weir_otlp_options way_options(const struct peer *p, const struct way *w)
{
    weir_otlp_options o = options(w->protocol == WEIR_OTLP_GRPC ? p->grpc_url : p->http_url, w->protocol, 0);
    o.compression = w->compression;
    return o;
}

TEST(records_arrive_each_way)
{
    for (const struct way *w = ways; w < ways + ARRAY_LEN(ways); w++) {
        struct peer peer;
        REQUIRE(peer_open(&peer));
        weir_otlp_options o = way_options(&peer, w);
        weir_provider *p = provider_of(&o);
        emit(p, 1200);
        CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_OK);
        CHECK_EQ(peer.records, 1200);
        CHECK(peer.calls >= 3);
        char room[64];
        CHECK_STR(seen(&peer, peer.header, room), "se cret");
        CHECK_STR(seen(&peer, peer.agent, room), "OTel-OTLP-Exporter-Weir/" WEIR_VERSION);
        CHECK_STR(seen(&peer, peer.encoding, room), strcmp(w->compression, "gzip") == 0 ? "gzip" : "");
        CHECK_EQ(stats(p).exported, 1200);
        weir_provider_free(p);
        peer_close(&peer);
    }
}

TEST(answers_are_understood)
{
    for (const struct way *w = ways; w < ways + ARRAY_LEN(ways); w++) {
        struct peer peer;
        REQUIRE(peer_open(&peer));
        weir_otlp_options o = way_options(&peer, w);
        weir_provider *p = provider_of(&o);
        peer.mode = PARTIAL;
        emit(p, 5);
        CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_FAILED);
        CHECK_EQ(stats(p).dropped_rejected, 2);
        CHECK_EQ(stats(p).exported, 3);
        peer.mode = REFUSE;
        emit(p, 4);
        CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_FAILED);
        CHECK_EQ(stats(p).dropped_export_failed, 4);
        peer.calls = 0;
        peer.mode = BUSY_ONCE;
        emit(p, 3);
        CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_OK);
        CHECK_EQ(peer.calls, 2);
        CHECK_EQ(stats(p).exported, 6);
        weir_provider_free(p);
        peer_close(&peer);
    }
}

/* "server:port status error count\n" of each duration; of other metrics of the exporter "server:port" must be the same. */
struct seen_durations {
    struct buf text;
    const char *want; /* "127.0.0.1:4317" */
};
static void see_duration(void *context, const weir_metric *m)
{
    struct seen_durations *s = context;
    struct buf where = {0}, status = {0}, error = {0};
    for (size_t i = 0; i < m->n_attributes; i++) {
        sv key = sv_of_weir(m->attributes[i].key), text = sv_of_weir(m->attributes[i].value.as.string);
        if (sv_eq(key, SV("server.address")))
            buf_fmt(&where, SV_FMT, SV_ARG(text));
        else if (sv_eq(key, SV("server.port")))
            buf_fmt(&where, ":%" PRId64, m->attributes[i].value.as.integer);
        else if (sv_eq(key, SV("http.response.status_code")))
            buf_fmt(&status, "%" PRId64, m->attributes[i].value.as.integer);
        else if (sv_eq(key, SV("rpc.response.status_code")))
            buf_sv(&status, text);
        else if (sv_eq(key, SV("error.type")))
            buf_sv(&error, text);
    }
    bool of_exporter = strncmp(m->name, "otel.sdk.exporter.", 18) == 0;
    if (m->kind == WEIR_HISTOGRAM || of_exporter)
        CHECK(sv_eq(buf_view(&where), sv_of(s->want)));
    else
        CHECK_EQ(where.n, 0);
    if (m->kind == WEIR_HISTOGRAM)
        buf_fmt(&s->text, SV_FMT " '" SV_FMT "' %" PRIu64 "\n", SV_ARG(buf_view(&status)), SV_ARG(buf_view(&error)), m->value);
    buf_done(&where);
    buf_done(&status);
    buf_done(&error);
}

static void check_durations(int line, weir_provider *p, const char *where, const char *want)
{
    struct seen_durations s = {.want = where};
    weir_provider_metrics(p, see_duration, &s);
    test_check_eq_sv(__FILE__, line, "the durations", buf_view(&s.text), sv_of(want));
    buf_done(&s.text);
}

TEST(durations_name_the_server_and_its_answer)
{
    for (const struct way *w = ways; w < ways + ARRAY_LEN(ways); w++) {
        struct peer peer;
        REQUIRE(peer_open(&peer));
        weir_otlp_options o = way_options(&peer, w);
        weir_provider *p = provider_of(&o);
        const char *where = strstr(o.endpoint, "127.");
        char server[32];
        snprintf(server, sizeof server, "%.*s", (int)strcspn(where, "/"), where);
        const enum mode modes[] = {ACCEPT, BUSY_ONCE, PARTIAL, REFUSE};
        for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
            peer.calls = 0;
            peer.mode = modes[i];
            emit(p, 3);
            CHECK_EQ(weir_provider_force_flush(p, 20000), i < 2 ? WEIR_OK : WEIR_FAILED);
        }
        check_durations(__LINE__, p, server, /* an export that was tried twice is one */
                        w->protocol == WEIR_OTLP_GRPC ? "OK '' 2\nOK 'rejected' 1\nINVALID_ARGUMENT 'INVALID_ARGUMENT' 1\n"
                                                      : "200 '' 2\n200 'rejected' 1\n400 '400' 1\n");
        peer_close(&peer);
        emit(p, 1);
        CHECK_EQ(weir_provider_shutdown(p, 300), WEIR_TIMEOUT);
        weir_provider_free(p);
    }
}

TEST(durations_of_a_server_that_is_not_there)
{
    weir_provider *p = provider("http://127.0.0.1:9", WEIR_OTLP_HTTP_PROTOBUF, 300);
    emit(p, 1);
    CHECK_EQ(weir_provider_force_flush(p, 2000), WEIR_TIMEOUT);
    weir_provider_shutdown(p, 100);
    struct seen_durations s = {.want = "127.0.0.1:9"};
    weir_provider_metrics(p, see_duration, &s);
    CHECK(sv_starts(buf_view(&s.text), SV(" 'connection_failed' ")));
    buf_done(&s.text);
    weir_provider_free(p);
}

TEST(the_server_of_an_endpoint)
{
    static const struct {
        const char *endpoint, *host;
        weir_otlp_protocol protocol;
        uint16_t port;
    } cases[] = {
        {"http://collector", "collector", WEIR_OTLP_HTTP_PROTOBUF, 80},
        {"https://collector/v1/logs", "collector", WEIR_OTLP_HTTP_PROTOBUF, 443},
        {"http://me:secret:x@collector:4318/a:9", "collector", WEIR_OTLP_HTTP_JSON, 4318},
        {"https://[::1]:4317", "::1", WEIR_OTLP_GRPC, 4317},
        {"http://[fe80::1]/", "fe80::1", WEIR_OTLP_HTTP_PROTOBUF, 80},
        {"http://c:99999", "c", WEIR_OTLP_GRPC, 80},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        weir_otlp_options o = options(cases[i].endpoint, cases[i].protocol, 0);
        weir_exporter *x = weir_otlp_exporter_new(&o, NULL);
        REQUIRE(x != NULL);
        CHECK_STR(x->server, cases[i].host);
        CHECK_EQ(x->port, cases[i].port);
        weir_exporter_free(x);
    }
    weir_otlp_options o = options("http://a:1,http://b:2", WEIR_OTLP_GRPC, 0);
    weir_exporter *x = weir_otlp_exporter_new(&o, NULL);
    REQUIRE(x != NULL);
    CHECK(x->server == NULL); /* which it is, only durations tell */
    weir_exporter_free(x);
}

TEST(tls_is_spoken_and_checked)
{
    char cert[128], key[128];
    make_certificate(cert, key);
    for (const struct way *w = ways; w < ways + ARRAY_LEN(ways); w++) {
        struct peer peer;
        REQUIRE(peer_open_tls(&peer, cert, key, NULL));
        weir_otlp_options o = way_options(&peer, w);
        o.certificate = cert;
        weir_provider *p = provider_of(&o);
        emit(p, 1200);
        CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_OK);
        CHECK_EQ(peer.records, 1200);
        weir_provider_free(p);
        o.certificate = NULL;
        p = provider_of(&o); /* nobody vouches for the certificate: not a byte is sent */
        emit(p, 1);
        CHECK_EQ(weir_provider_shutdown(p, 300), WEIR_TIMEOUT);
        CHECK_EQ(peer.records, 1200);
        weir_provider_free(p);
        peer_close(&peer);
    }
}

TEST(a_client_certificate_is_shown)
{
    char cert[128], key[128];
    make_certificate(cert, key);
    for (const struct way *w = ways; w < ways + ARRAY_LEN(ways); w++) {
        struct peer peer;
        REQUIRE(peer_open_tls(&peer, cert, key, cert));
        weir_otlp_options o = way_options(&peer, w);
        o.certificate = o.client_certificate = cert;
        o.client_key = key;
        weir_provider *p = provider_of(&o);
        emit(p, 600);
        CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_OK);
        CHECK_EQ(peer.records, 600);
        weir_provider_free(p);
        o.client_certificate = o.client_key = NULL;
        p = provider_of(&o);
        emit(p, 1);
        CHECK_EQ(weir_provider_shutdown(p, 300), WEIR_TIMEOUT);
        CHECK_EQ(peer.records, 600);
        weir_provider_free(p);
        peer_close(&peer);
    }
}

/* The connection fails for a while: the records wait and arrive later. */
TEST(an_outage_loses_nothing)
{
    struct peer peer;
    REQUIRE(peer_open(&peer));
    char url[80];
    snprintf(url, sizeof url, "%s", peer.grpc_url);
    weir_provider *p = provider(url, WEIR_OTLP_GRPC, 100);
    peer.mode = HOLD;
    emit(p, 10);
    CHECK_EQ(weir_provider_force_flush(p, 400), WEIR_TIMEOUT);
    CHECK_EQ(stats(p).queued, 10);
    peer.mode = ACCEPT;
    CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_OK);
    CHECK_EQ(peer.records, 10);
    lock_acquire(&peer.mu);
    struct grpc_call *held = peer.held;
    lock_release(&peer.mu);
    REQUIRE(held != NULL);
    grpc_reply(held, 0, SV_NULL, NULL, -1);
    weir_provider_free(p);
    peer_close(&peer);
}

/* While an answer is waited for, and between attempts, whoever is behind the exporter has its turn, and at once when woken. */
struct tending {
    weir_exporter *ex;
    struct peer *peer; /* has to hold a call before it is enough; or NULL */
    _Atomic int turns;
    int enough;
};
static bool peer_holds(struct peer *p)
{
    LOCK_SCOPED(&p->mu);
    return p->held != NULL;
}
static void tend(void *ctx)
{
    struct tending *t = ctx;
    if (++t->turns >= t->enough && (!t->peer || peer_holds(t->peer)))
        t->ex->ops.shutdown(t->ex->self, 0);
}
static void *wake_until_tended(void *ctx)
{
    struct tending *t = ctx;
    for (int seen = t->turns; t->turns < t->enough; seen = t->turns) {
        t->ex->wake(t->ex->self);
        for (int64_t until = clock_mono_ms() + 20000; t->turns == seen && clock_mono_ms() < until;)
            usleep(100);
    }
    return NULL;
}

TEST(the_processor_has_its_turn_while_the_exporter_waits)
{
    struct peer peer;
    REQUIRE(peer_open(&peer));
    for (int round = 0; round < 3; round++) { /* a held answer; woken meanwhile; nobody there */
        weir_otlp_options o = weir_otlp_options_init();
        weir_error e = {""};
        pthread_t waker;
        o.endpoint = round < 2 ? peer.grpc_url : "http://127.0.0.1:1";
        o.timeout_ms = 60000;
        struct tending t = {weir_otlp_exporter_new(&o, &e), round < 2 ? &peer : NULL, 0, round == 1 ? 200 : 5};
        REQUIRE(t.ex && t.ex->set_tend && t.ex->wake);
        peer.mode = HOLD;
        t.ex->set_tend(t.ex->self, tend, &t);
        struct weir_batch batch = {.n = 1};
        weir_export_result r;
        if (round == 1)
            REQUIRE(pthread_create(&waker, NULL, wake_until_tended, &t) == 0);
        t.ex->ops.export_logs(t.ex->self, &batch, 60000, &r); /* ends by the shutdown in tend() */
        if (round == 1)
            pthread_join(waker, NULL);
        CHECK_EQ(r.code, WEIR_EXPORT_RETRY);
        CHECK(t.turns >= t.enough);
        weir_exporter_free(t.ex);
        if (round < 2) {
            lock_acquire(&peer.mu);
            grpc_reply(peer.held, 0, SV_NULL, NULL, -1);
            peer.held = NULL;
            lock_release(&peer.mu);
        }
    }
    peer_close(&peer);
}

TEST(a_custom_exporter_tends_through_its_batch)
{
    struct tending t = {.enough = INT32_MAX};
    weir_batch_tend(&(struct weir_batch){.tend = tend, .tend_ctx = &t});
    weir_batch_tend(&(struct weir_batch){0});
    CHECK_EQ(t.turns, 1);
}

TEST(shutdown_does_not_wait_for_a_dead_peer)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* accepts in the kernel, never answers */
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    char url[64];
    REQUIRE(bind(fd, (void *)&a, len) == 0 && listen(fd, 4) == 0 && getsockname(fd, (void *)&a, &len) == 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(a.sin_port));
    weir_provider *p = provider(url, WEIR_OTLP_GRPC, 60000);
    emit(p, 3);
    CHECK_EQ(weir_provider_shutdown(p, 200), WEIR_TIMEOUT);
    CHECK_EQ(stats(p).dropped_at_shutdown, 3);
    weir_provider_free(p);
    close(fd);
}

TEST(parent_and_child_both_send)
{
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer cannot follow the threads of a forked child");
#endif
    struct peer peer;
    REQUIRE(peer_open(&peer));
    weir_provider *p = provider(peer.grpc_url, WEIR_OTLP_GRPC, 0);
    emit(p, 2);
    CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_OK); /* the connection is open now */
    char mine[64], room[64];
    seen(&peer, peer.instance, mine);
    emit(p, 1); /* queued: the parent's */
    pid_t child = fork();
    if (child == 0) {
        emit(p, 5);
        weir_result r = weir_provider_shutdown(p, 20000);
        _exit(r == WEIR_OK ? 0 : 1);
    }
    REQUIRE(child > 0);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    CHECK_EQ(strlen(mine), 36);
    CHECK(strcmp(mine, seen(&peer, peer.instance, room)) != 0);
    emit(p, 1);
    CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_OK); /* over the old connection, which the child left alone */
    CHECK_EQ(peer.records, 2 + 1 + 5 + 1);
    CHECK_STR(seen(&peer, peer.instance, room), mine);
    weir_provider_free(p);
    peer_close(&peer);
}

TEST(start_and_stop_from_the_environment)
{
    struct peer peer;
    weir_error e = {""};
    REQUIRE(peer_open(&peer));
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", peer.grpc_url, 1);
    weir_provider *p = weir_start("shop", &e);
    REQUIRE(p != NULL);
    CHECK(weir_start("again", &e) == NULL);
    CHECK(strstr(e.message, "called before") != NULL);
    weir_logger *lg = weir_logger_get("shop.orders");
    weir_info(lg, "hello");
    CHECK_EQ(weir_stop(20000), WEIR_OK);
    CHECK_EQ(weir_stop(20000), WEIR_SHUT_DOWN);
    CHECK_EQ(peer.records, 1);
    weir_info(lg, "nobody hears"); /* a logger outlives the stop */
    CHECK_EQ(stats(p).dropped_after_shutdown, 1);
    CHECK(weir_logger_get("x") == NULL);
    setenv("OTEL_SDK_DISABLED", "true", 1);
    p = weir_start(NULL, &e);
    REQUIRE(p != NULL);
    CHECK(!weir_logger_enabled(weir_logger_get("x"), 9, NULL));
    CHECK_EQ(weir_stop(1000), WEIR_OK);
    unsetenv("OTEL_SDK_DISABLED");
    setenv("OTEL_LOGS_EXPORTER", "none,zipkin", 1);
    p = weir_start(NULL, &e);
    REQUIRE(p != NULL);
    CHECK(!weir_logger_enabled(weir_logger_get("x"), 9, NULL));
    CHECK_EQ(weir_stop(1000), WEIR_OK);
    unsetenv("OTEL_LOGS_EXPORTER");
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "gopher://x", 1);
    CHECK(weir_start(NULL, &e) == NULL);
    CHECK(strstr(e.message, "OTEL_EXPORTER_OTLP_ENDPOINT") != NULL);
    peer_close(&peer);
}

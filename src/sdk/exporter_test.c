/* exporter_test.c - the OTLP exporter against a server of ours that answers as told: gRPC and HTTP over loopback. */
#include "base/lock.h"
#include "base/test.h"
#include "net/grpc.h"
#include "net/server.h"
#include "otlp/walk.h"
#include "otlp/write.h"
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

enum mode { ACCEPT, PARTIAL, BUSY_ONCE, REFUSE, HOLD };

struct peer {
    struct loop *loop;
    struct metrics *metrics;
    struct http_server *server;
    char grpc_url[80], http_url[80];
    _Atomic int mode, calls, records, bad;
    struct lock mu;
    char header[64], agent[64], instance[64]; /* of the last call, under mu */
    struct grpc_call *held;                   /* under mu */
};

static void count(struct peer *p, const struct http_request *r, sv message)
{
    struct otlp_counts counts = {0};
    struct otlp_resource_logs rl;
    struct otlp_attr a;
    if (!otlp_check(message, NULL, &counts, NULL))
        p->bad++;
    LOCK_SCOPED(&p->mu);
    snprintf(p->header, sizeof p->header, SV_FMT, SV_ARG(http_header(r, SV("x-key"))));
    snprintf(p->agent, sizeof p->agent, SV_FMT, SV_ARG(http_header(r, SV("user-agent"))));
    for (struct otlp_iter it = otlp_resources(message); otlp_next_resource(&it, &rl);)
        for (struct otlp_attr_iter at = otlp_attrs(rl.resource, OTLP_RESOURCE_ATTRS); otlp_next_attr(&at, &a);)
            if (sv_eq(a.key, SV("service.instance.id")))
                snprintf(p->instance, sizeof p->instance, SV_FMT, SV_ARG(otlp_read_value(a.value).text));
    p->records += (int)counts.records;
}

/* A copy of one of the texts, for the test's thread. */
static const char *seen(struct peer *p, const char *text, char room[64])
{
    LOCK_SCOPED(&p->mu);
    snprintf(room, 64, "%s", text);
    return room;
}

static void export_call(void *ctx, struct grpc_call *c)
{
    struct peer *p = ctx;
    struct buf body = {0};
    int call = p->calls++;
    switch ((enum mode)p->mode) {
    case BUSY_ONCE:
        if (call == 0) {
            grpc_reply(c, 14, SV("busy 100%"), NULL, 20);
            return;
        }
        break;
    case REFUSE:
        grpc_reply(c, 3, SV("bad \xc3\xa4"), NULL, -1);
        return;
    case HOLD:
        lock_acquire(&p->mu);
        p->held = c;
        lock_release(&p->mu);
        return;
    case PARTIAL:
        otlp_put_response(&body, 2, SV("too old"));
        break;
    case ACCEPT:
        break;
    }
    count(p, grpc_request(c), grpc_message(c));
    grpc_reply(c, 0, SV_NULL, &body, -1);
}

static void http_call(void *ctx, struct http_exchange *x)
{
    struct peer *p = ctx;
    struct buf body = {0};
    int call = p->calls++;
    if (p->mode == REFUSE) {
        otlp_put_status(&body, 3, SV("bad line"), -1);
        http_reply(x, 400, NULL, 0, &body);
    } else if (p->mode == BUSY_ONCE && call == 0) {
        http_reply(x, 503, &(struct http_header){SV("retry-after"), SV("0")}, 1, NULL);
    } else {
        count(p, http_request_of(x), http_request_of(x)->body);
        if (p->mode == PARTIAL)
            otlp_put_response(&body, 2, SV("too old"));
        http_reply(x, 200, NULL, 0, &body);
    }
}

static void handle(void *ctx, struct http_exchange *x)
{
    static const struct grpc_method methods[] = {
        {"/opentelemetry.proto.collector.logs.v1.LogsService/Export", export_call}, {0}};
    static const struct grpc_config cfg = {0};
    if (sv_eq(http_request_of(x)->path, SV("/v1/logs")))
        http_call(ctx, x);
    else
        grpc_serve(&cfg, methods, ctx, x);
}

/* Plain text without a certificate. */
static bool peer_open_tls(struct peer *p, char *cert_file, char *key_file)
{
    struct err e = {0};
    struct http_server_config cfg = {.address = "127.0.0.1:0", .name = "peer", .tls = {.cert_file = cert_file, .key_file = key_file}};
    const char *scheme = cert_file ? "https" : "http";
    *p = (struct peer){0};
    lock_init(&p->mu);
    p->metrics = metrics_new();
    CHECK_OK(loop_open("peer", &p->loop, &e), &e);
    CHECK_OK(http_server_open(&cfg, &p->loop, 1, p->metrics, handle, p, &p->server, &e), &e);
    if (!p->server)
        return false;
    snprintf(p->grpc_url, sizeof p->grpc_url, "%s://%s", scheme, http_server_address(p->server));
    snprintf(p->http_url, sizeof p->http_url, "%s://%s/v1/logs", scheme, http_server_address(p->server));
    return true;
}

static bool peer_open(struct peer *p)
{
    return peer_open_tls(p, NULL, NULL);
}

static void peer_close(struct peer *p)
{
    CHECK_EQ(p->bad, 0);
    http_server_close(p->server, 1000);
    loop_close(p->loop);
    metrics_free(p->metrics);
    lock_done(&p->mu);
}

static weir_provider *provider_tls(const char *url, weir_otlp_protocol protocol, int64_t timeout_ms, const char *ca_file)
{
    weir_error e = {""};
    weir_otlp_options o = weir_otlp_options_init();
    o.endpoint = url;
    o.certificate = ca_file;
    o.protocol = protocol;
    o.headers = "x-key=se%20cret";
    o.timeout_ms = timeout_ms;
    weir_processor *p = weir_batch_processor_new(weir_otlp_exporter_new(&o, &e), NULL, &e);
    weir_provider *got = weir_provider_new(NULL, &p, 1, &e);
    if (!got)
        test_fail(__FILE__, __LINE__, "no provider: %s", e.message);
    return got;
}

static weir_provider *provider(const char *url, weir_otlp_protocol protocol, int64_t timeout_ms)
{
    return provider_tls(url, protocol, timeout_ms, NULL);
}

static weir_stats stats(weir_provider *p)
{
    weir_stats s = {.struct_size = sizeof s};
    weir_provider_stats(p, &s);
    return s;
}

static void emit(weir_provider *p, int n)
{
    weir_logger *lg = weir_provider_logger(p, "t", NULL, NULL, NULL, 0);
    for (int i = 0; i < n; i++)
        weir_info(lg, "{i}", weir_i64("i", i));
}

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

static const struct {
    const char *name;
    weir_otlp_protocol protocol;
} protocols[] = {{"gRPC", WEIR_OTLP_GRPC}, {"HTTP", WEIR_OTLP_HTTP_PROTOBUF}};

TEST(records_arrive_over_grpc_and_http)
{
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        struct peer peer;
        REQUIRE(peer_open(&peer));
        weir_provider *p = provider(i ? peer.http_url : peer.grpc_url, protocols[i].protocol, 0);
        emit(p, 1200);
        CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_OK);
        CHECK_EQ(peer.records, 1200);
        CHECK(peer.calls >= 3);
        char room[64];
        CHECK_STR(seen(&peer, peer.header, room), "se cret");
        CHECK_STR(seen(&peer, peer.agent, room), "OTel-OTLP-Exporter-Weir/" WEIR_VERSION);
        CHECK_EQ(stats(p).exported, 1200);
        weir_provider_free(p);
        peer_close(&peer);
    }
}

TEST(answers_are_understood)
{
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        struct peer peer;
        REQUIRE(peer_open(&peer));
        weir_provider *p = provider(i ? peer.http_url : peer.grpc_url, protocols[i].protocol, 0);
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

TEST(tls_is_spoken_and_checked)
{
    char cert[128], key[128];
    make_certificate(cert, key);
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        struct peer peer;
        REQUIRE(peer_open_tls(&peer, cert, key));
        const char *url = i ? peer.http_url : peer.grpc_url;
        weir_provider *p = provider_tls(url, protocols[i].protocol, 0, cert);
        emit(p, 1200);
        CHECK_EQ(weir_provider_force_flush(p, 20000), WEIR_OK);
        CHECK_EQ(peer.records, 1200);
        weir_provider_free(p);
        p = provider(url, protocols[i].protocol, 0); /* nobody vouches for the certificate: not a byte is sent */
        emit(p, 1);
        CHECK_EQ(weir_provider_shutdown(p, 300), WEIR_TIMEOUT);
        CHECK_EQ(peer.records, 1200);
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
    CHECK(weir_logger_get("x") == NULL);
    setenv("OTEL_SDK_DISABLED", "true", 1);
    p = weir_start(NULL, &e);
    REQUIRE(p != NULL);
    CHECK(!weir_logger_enabled(weir_logger_get("x"), 9, NULL));
    CHECK_EQ(weir_stop(1000), WEIR_OK);
    unsetenv("OTEL_SDK_DISABLED");
    setenv("OTEL_LOGS_EXPORTER", "none,console", 1);
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

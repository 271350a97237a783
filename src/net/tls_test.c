/* TLS both ways, with certificates made for the occasion. */
#include "base/test.h"
#include "base/lock.h"
#include "net/client.h"
#include "net/grpc.h"
#include "net/server.h"
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- certificates --- */

struct identity {
    X509 *cert;
    EVP_PKEY *key;
    char cert_file[200], key_file[200];
};

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
}

/* Signed by `ca`, or by itself. `san`: "IP:127.0.0.1", NULL for a CA. */
static void identity_new(struct identity *id, const char *name, const char *san, const struct identity *ca)
{
    static long serial = 1;
    id->key = EVP_EC_gen("P-256");
    id->cert = X509_new();
    X509_set_version(id->cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(id->cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(id->cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(id->cert), 3600);
    X509_set_pubkey(id->cert, id->key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(id->cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509 *issuer = ca ? ca->cert : id->cert;
    X509_set_issuer_name(id->cert, X509_get_subject_name(issuer));
    add_extension(id->cert, issuer, NID_basic_constraints, san ? "CA:FALSE" : "critical,CA:TRUE");
    if (san)
        add_extension(id->cert, issuer, NID_subject_alt_name, san);
    X509_sign(id->cert, ca ? ca->key : id->key, EVP_sha256());
    snprintf(id->cert_file, sizeof id->cert_file, "%s/%s.pem", test_dir(), name);
    snprintf(id->key_file, sizeof id->key_file, "%s/%s.key", test_dir(), name);
    FILE *f = fopen(id->cert_file, "w");
    PEM_write_X509(f, id->cert);
    fclose(f);
    f = fopen(id->key_file, "w");
    PEM_write_PrivateKey(f, id->key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
}

static void identity_free(struct identity *id)
{
    X509_free(id->cert);
    EVP_PKEY_free(id->key);
}

/* --- a server and a client --- */

static struct {
    struct identity ca, other_ca, server, client, stranger;
    struct loop *loop;
    struct metrics *metrics;
    struct http_server *server_;
    struct lock mu;
    struct cond cv;
    bool done;
    int status;
    struct err err;
    struct buf body;
} t;

static void m_echo(void *ctx, struct grpc_call *c)
{
    struct buf body = {0};
    buf_sv(&body, grpc_message(c));
    grpc_reply(c, GRPC_OK, SV_NULL, &body, -1);
}

static void handle(void *ctx, struct http_exchange *x)
{
    static const struct grpc_method methods[] = {{"/t.T/Echo", m_echo}, {0}};
    static const struct grpc_config cfg;
    const struct http_request *r = http_request_of(x);
    struct buf body = {0};
    if (!sv_eq(r->path, SV("/big")) && r->version == 20) {
        grpc_serve(&cfg, methods, NULL, x);
        return;
    }
    if (sv_eq(r->path, SV("/big")))
        while (body.n < 3000000)
            buf_fmt(&body, "%01000d", (int)(body.n / 1000));
    else
        buf_fmt(&body, SV_FMT " %d " SV_FMT, SV_ARG(r->scheme), r->version, SV_ARG(r->authority));
    http_reply(x, 200, NULL, 0, &body);
}

static bool start(bool mutual, const char *min_version)
{
    struct err e = {0};
    memset(&t, 0, sizeof t);
    lock_init(&t.mu);
    cond_init(&t.cv);
    identity_new(&t.ca, "ca", NULL, NULL);
    identity_new(&t.other_ca, "other-ca", NULL, NULL);
    identity_new(&t.server, "server", "IP:127.0.0.1,DNS:logs.example", &t.ca);
    identity_new(&t.client, "client", "DNS:client", &t.ca);
    identity_new(&t.stranger, "stranger", "DNS:client", &t.other_ca);
    t.metrics = metrics_new();
    struct http_server_config cfg = {.address = "127.0.0.1:0", .name = "t"};
    cfg.tls = (struct tls_server_config){t.server.cert_file, t.server.key_file,
                                         mutual ? t.ca.cert_file : NULL, (char *)(uintptr_t)min_version};
    bool ok = loop_open("t", &t.loop, &e) &&
              http_server_open(&cfg, &t.loop, 1, t.metrics, handle, NULL, &t.server_, &e);
    if (!ok)
        fprintf(stderr, "# %s\n", e.msg);
    return ok;
}

static void stop(void)
{
    http_server_close(t.server_, 1000);
    loop_close(t.loop);
    metrics_free(t.metrics);
    buf_done(&t.body);
    identity_free(&t.ca);
    identity_free(&t.other_ca);
    identity_free(&t.server);
    identity_free(&t.client);
    identity_free(&t.stranger);
    lock_done(&t.mu);
    cond_done(&t.cv);
}

static void set_done(void)
{
    LOCK_SCOPED(&t.mu);
    t.done = true;
    cond_signal(&t.cv);
}

static void on_http(void *ctx, const struct client_response *r)
{
    t.status = r->status;
    t.err = r->err;
    buf_sv(&t.body, r->body);
    set_done();
}

static void on_grpc(void *ctx, const struct grpc_client_response *r)
{
    t.status = r->answered ? r->status : -1;
    buf_sv(&t.body, r->body);
    set_done();
}

/* One request by a client of its own; the status, 0 when there was no answer. */
static int get(struct tls_client_config tls, const char *path, bool grpc)
{
    struct http_client *c;
    struct err e = {0};
    char url[200];
    struct http_client_config cfg = {.name = "t", .tls = tls, .http2_prior_knowledge = grpc};
    t.done = false;
    t.err = (struct err){0};
    buf_reset(&t.body);
    if (!http_client_open(&cfg, t.loop, &c, &e))
        return -1;
    snprintf(url, sizeof url, "https://%s%s", http_server_address(t.server_), grpc ? "" : path);
    if (grpc)
        grpc_client_call(c, &(struct grpc_client_request){.url = url, .method = path, .message = SV("hi")},
                         on_grpc, NULL);
    else
        http_client_send(c, &(struct client_request){.method = "GET", .url = url}, on_http, NULL);
    lock_acquire(&t.mu);
    while (!t.done)
        cond_wait(&t.cv, &t.mu);
    lock_release(&t.mu);
    http_client_close(c);
    return t.status;
}

static int64_t handshakes_refused(void)
{
    return metric_value(metrics_get(t.metrics, METRIC_COUNTER, "weir_http_rejected_total",
                                    "Connections and requests refused, by reason",
                                    (const char *[]){"server", "t", "reason", "tls_handshake", NULL}));
}

TEST(https)
{
    REQUIRE(start(false, NULL));
    struct tls_client_config tls = {.ca_file = t.ca.cert_file};
    CHECK_EQ(get(tls, "/x", false), 200);
    CHECK(sv_starts(buf_view(&t.body), SV("https 11 127.0.0.1:")));
    CHECK_EQ(get(tls, "/big", false), 200); /* many records, partial writes */
    CHECK_EQ(t.body.n, 3000000);
    CHECK_EQ(get(tls, "/t.T/Echo", true), GRPC_OK); /* HTTP/2 by ALPN */
    CHECK_SV(buf_view(&t.body), SV("hi"));
    stop();
}

TEST(names_and_authorities_are_checked)
{
    REQUIRE(start(false, "1.3"));
    CHECK_EQ(get((struct tls_client_config){.ca_file = t.other_ca.cert_file}, "/x", false), 0);
    CHECK_EQ(t.err.code, ERR_UNAVAILABLE);
    CHECK_EQ(get((struct tls_client_config){.ca_file = t.other_ca.cert_file, .insecure_skip_verify = true},
                 "/x", false),
             200);
    CHECK_EQ(
        get((struct tls_client_config){.ca_file = t.ca.cert_file, .server_name_override = "logs.example"},
            "/x", false),
        200);
    CHECK(sv_starts(buf_view(&t.body), SV("https 11 127.0.0.1:"))); /* the Host stays */
    CHECK_EQ(
        get((struct tls_client_config){.ca_file = t.ca.cert_file, .server_name_override = "other.example"},
            "/x", false),
        0);
    CHECK_EQ(get((struct tls_client_config){.ca_file = "/no/such/file"}, "/x", false), 0);
    CHECK_EQ(t.err.code, ERR_INVALID);
    stop();
}

TEST(mutual_tls)
{
    REQUIRE(start(true, "1.2"));
    struct tls_client_config tls = {.ca_file = t.ca.cert_file};
    CHECK_EQ(get(tls, "/x", false), 0);
    CHECK_SOON(handshakes_refused() == 1, 5000);
    tls.cert_file = t.stranger.cert_file;
    tls.key_file = t.stranger.key_file;
    CHECK_EQ(get(tls, "/x", false), 0);
    CHECK_SOON(handshakes_refused() == 2, 5000);
    tls.cert_file = t.client.cert_file;
    tls.key_file = t.client.key_file;
    CHECK_EQ(get(tls, "/x", false), 200);
    CHECK_EQ(get(tls, "/t.T/Echo", true), GRPC_OK);
    stop();
}

TEST(plain_text_on_a_tls_port)
{
    REQUIRE(start(false, NULL));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET};
    uint64_t port;
    REQUIRE(sv_to_u64(sv_of(strrchr(http_server_address(t.server_), ':') + 1), &port));
    sa.sin_port = htons((uint16_t)port);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0);
    CHECK_EQ(send(fd, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    CHECK_SOON(handshakes_refused() == 1, 5000);
    close(fd);
    stop();
}

TEST(bad_settings_name_the_file)
{
    struct identity ca, id;
    struct ssl_ctx_st *ctx = NULL;
    struct err e = {0};
    memset(&t, 0, sizeof t);
    identity_new(&ca, "ca", NULL, NULL);
    identity_new(&id, "id", "DNS:x", &ca);
    struct tls_server_config cfg = {.cert_file = "/no/such.pem", .key_file = id.key_file};
    CHECK(!tls_server_new(&cfg, &ctx, &e));
    CHECK_ERR(&e, ERR_INVALID, "cert_file '/no/such.pem': No such file");
    cfg = (struct tls_server_config){.cert_file = id.cert_file, .key_file = ca.key_file};
    CHECK(!tls_server_new(&cfg, &ctx, &e));
    CHECK_ERR(&e, ERR_INVALID, "key values mismatch");
    cfg.key_file = id.cert_file;
    CHECK(!tls_server_new(&cfg, &ctx, &e));
    CHECK_ERR(&e, ERR_INVALID, "key_file '");
    cfg.key_file = NULL;
    CHECK(!tls_server_new(&cfg, &ctx, &e));
    CHECK_ERR(&e, ERR_INVALID, "key_file is not");
    cfg =
        (struct tls_server_config){.cert_file = id.cert_file, .key_file = id.key_file, .min_version = "1.1"};
    CHECK(!tls_server_new(&cfg, &ctx, &e));
    CHECK_ERR(&e, ERR_INVALID, "min_version '1.1'");
    cfg.min_version = NULL;
    cfg.client_ca_file = id.key_file;
    CHECK(!tls_server_new(&cfg, &ctx, &e));
    CHECK_ERR(&e, ERR_INVALID, "client_ca_file '");
    cfg.client_ca_file = ca.cert_file;
    CHECK_OK(tls_server_new(&cfg, &ctx, &e), &e);
    tls_free(ctx);
    identity_free(&ca);
    identity_free(&id);
}

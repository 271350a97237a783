/* tls.c - see tls.h. TLS 1.2 and 1.3, no renegotiation, no compression, the system's OpenSSL defaults for
 * ciphers. */
#include "net/tls.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

const struct option tls_server_options[] = {
    OPT(STR, struct tls_server_config, cert_file, NULL, "PEM file with the server's certificate chain"),
    OPT(STR, struct tls_server_config, key_file, NULL, "PEM file with its private key"),
    OPT(STR, struct tls_server_config, client_ca_file, NULL,
        "clients must present a certificate signed by one of these"),
    OPT(STR, struct tls_server_config, min_version, "1.2", "lowest TLS version: 1.2 or 1.3"),
    {0},
};
const struct option tls_client_options[] = {
    OPT(BOOL, struct tls_client_config, insecure, "false", "plain text, no TLS"),
    OPT(BOOL, struct tls_client_config, insecure_skip_verify, "false",
        "do not verify the server's certificate"),
    OPT(STR, struct tls_client_config, ca_file, NULL, "PEM file with the CA certificates to trust"),
    OPT(STR, struct tls_client_config, cert_file, NULL, "PEM file with the client's certificate"),
    OPT(STR, struct tls_client_config, key_file, NULL, "PEM file with its private key"),
    OPT(STR, struct tls_client_config, server_name_override, NULL,
        "host name to expect in the server's certificate"),
    {0},
};

static void tls_ctx_free(struct ssl_ctx_st *ctx)
{
    SSL_CTX_free(ctx);
}
DEFINE_SCOPED(struct ssl_ctx_st *, tls_ctx_free)

void tls_free(struct ssl_ctx_st *ctx)
{
    SSL_CTX_free(ctx);
}

static bool tls_err(struct err *e, const char *setting, const char *file)
{
    unsigned long code = ERR_peek_error(); /* the first: what went wrong at the bottom */
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    char text[120];
    snprintf(text, sizeof text, "%s", reason ? reason : "unknown reason");
    if (code && ERR_SYSTEM_ERROR(code))
        snprintf(text, sizeof text, "%s", strerror(ERR_GET_REASON(code)));
    ERR_clear_error();
    return err_set(e, ERR_INVALID, "tls: %s '%s': %s", setting, file, text);
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                       unsigned in_n, void *ctx)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_n, ours, sizeof ours - 1, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 §3.2 */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool set_min_version(SSL_CTX *ctx, const char *text, struct err *e)
{
    int version = !text || !*text || strcmp(text, "1.2") == 0 ? TLS1_2_VERSION
                  : strcmp(text, "1.3") == 0                  ? TLS1_3_VERSION
                                                              : 0;
    if (!version)
        return err_set(e, ERR_INVALID, "tls: min_version '%s': expected 1.2 or 1.3", text);
    SSL_CTX_set_min_proto_version(ctx, version);
    return true;
}

static bool load_client_ca(SSL_CTX *ctx, const char *file, struct err *e)
{
    if (SSL_CTX_load_verify_locations(ctx, file, NULL) != 1)
        return tls_err(e, "client_ca_file", file);
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);
    if (!names)
        return tls_err(e, "client_ca_file", file);
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return true;
}

bool tls_server_new(const struct tls_server_config *cfg, struct ssl_ctx_st **ret, struct err *e)
{
    if (!cfg->key_file || !*cfg->key_file)
        return err_set(e, ERR_INVALID, "tls: cert_file is set, key_file is not");
    ERR_clear_error();
    SCOPED(tls_ctx_free) SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return err_nomem(e);
    if (!set_min_version(ctx, cfg->min_version, e))
        return false;
    SSL_CTX_set_options(ctx,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"weir", 4);
    if (SSL_CTX_use_certificate_chain_file(ctx, cfg->cert_file) != 1)
        return tls_err(e, "cert_file", cfg->cert_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, cfg->key_file, SSL_FILETYPE_PEM) != 1)
        return tls_err(e, "key_file", cfg->key_file);
    if (cfg->client_ca_file && *cfg->client_ca_file && !load_client_ca(ctx, cfg->client_ca_file, e))
        return false;
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    *ret = TAKE(ctx);
    return true;
}

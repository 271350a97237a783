/* tls.h - TLS settings of a listener or an outgoing connection, with the Collector's key names (configtls). */
#pragma once
#include "base/option.h"

struct tls_server_config { /* enabled when cert_file is set */
    char *cert_file, *key_file;
    char *client_ca_file; /* set: clients must present a certificate it signs */
    char *min_version;    /* "1.2" (default), "1.3" */
};
extern const struct option tls_server_options[];

struct tls_client_config {
    bool insecure; /* plain text */
    bool insecure_skip_verify;
    char *ca_file, *cert_file, *key_file, *server_name_override;
};
extern const struct option tls_client_options[];

struct ssl_ctx_st;
/* ALPN offers h2 and http/1.1. Errors name the file. Free with tls_free. */
MUST_USE bool tls_server_new(const struct tls_server_config *cfg, struct ssl_ctx_st **ret, struct err *e);
void tls_free(struct ssl_ctx_st *ctx);

/* otlp_options.h - the OTLP exporter's settings, resolved from options and environment. */
#pragma once
#include "base/err.h"
#include "base/vec.h"
#include "sdk/gzip.h"
#include <weir/sdk.h>

#define OTLP_MAX_ENDPOINTS 32
struct otlp_endpoint {
    char *url;  /* of the call */
    char *name; /* for messages: without user, password and query */
    char *host; /* of the authority; of an IPv6 address without brackets */
    uint16_t port;
};
struct otlp_settings {
    weir_otlp_protocol protocol;
    VEC(struct otlp_endpoint) endpoints; /* at least one */
    weir_otlp_balance balance;           /* a real one */
    int64_t failback_ms, max_retry_after_ms;
    VEC(char *) headers; /* "name: value" */
    int64_t timeout_ms;
    struct gzip *gzip; /* NULL: uncompressed */
    char *ca_file, *cert_file, *key_file; /* or NULL */
};
MUST_USE bool otlp_settings_resolve(const weir_otlp_options *o, struct otlp_settings *ret, struct err *e);
void otlp_settings_done(struct otlp_settings *s);

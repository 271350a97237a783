/* otlp_options.h - the OTLP exporter's settings, resolved from options and environment. */
#pragma once
#include "base/err.h"
#include "base/vec.h"
#include "sdk/gzip.h"
#include <weir/sdk.h>

struct otlp_settings {
    weir_otlp_protocol protocol;
    char *url; /* of the call */
    VEC(char *) headers; /* "name: value" */
    int64_t timeout_ms;
    struct gzip *gzip; /* NULL: uncompressed */
    char *ca_file, *cert_file, *key_file; /* or NULL */
};
MUST_USE bool otlp_settings_resolve(const weir_otlp_options *o, struct otlp_settings *ret, struct err *e);
void otlp_settings_done(struct otlp_settings *s);

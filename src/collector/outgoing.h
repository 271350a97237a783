/* outgoing.h - what exporters over HTTP have in common: TLS keys, headers of every request, the User-Agent. */
#pragma once
#include "collector/section.h"
#include "net/http.h"
#include "net/tls.h"

#define OUTGOING_HEADERS_MAX 64

extern const struct section outgoing_tls_section; /* of a struct tls_client_config */
void outgoing_check_headers(const struct reading *rd, const struct pairs *headers);

struct outgoing_headers {
    struct http_header at[OUTGOING_HEADERS_MAX + 4]; /* views into the configuration, literals and `names` */
    size_t n;
    bool own_tenant; /* the configuration names a tenant: the requests' own are not passed on */
    char *names;     /* lowered names */
};
/* Adds the configured headers behind those already there. */
MUST_USE bool outgoing_add_headers(struct outgoing_headers *h, const struct pairs *configured, struct err *e);
void outgoing_headers_done(struct outgoing_headers *h);
/* Copies them with the tenant of a request, when there is one to pass on; returns their number. */
size_t outgoing_headers_for(const struct outgoing_headers *h, sv tenant,
                            struct http_header ret[static OUTGOING_HEADERS_MAX + 4]);
/* "Weir Collector/0.1.0 (Linux/x86_64)" */
void outgoing_user_agent(char out[static 200]);

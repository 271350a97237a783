/* outgoing.c - see outgoing.h. */
#include "collector/outgoing.h"
#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

static const struct other_key tls_others[] = {
    {"ca_pem", KEY_UNSUPPORTED, "use ca_file"},
    {"cert_pem", KEY_UNSUPPORTED, "use cert_file"},
    {"key_pem", KEY_UNSUPPORTED, "use key_file"},
    {"include_system_ca_certs_pool", KEY_UNSUPPORTED, "with ca_file only that file is trusted"},
    {"min_version", KEY_UNSUPPORTED, "1.2 is the minimum"},
    {"max_version", KEY_UNSUPPORTED, "the newest both sides know is used"},
    {"cipher_suites", KEY_UNSUPPORTED, "the library's choice is used"},
    {"curve_preferences", KEY_UNSUPPORTED, "the library's choice is used"},
    {"reload_interval", KEY_UNSUPPORTED, "certificates are read again on SIGHUP"},
    {"tpm", KEY_UNSUPPORTED, "keys come from files"},
    {0}};
const struct section outgoing_tls_section = {.options = tls_client_options, .others = tls_others};

/* RFC 9110: a header's name. */
static bool is_token(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
              strchr("!#$%&'*+-.^_`|~", *p)))
            return false;
    return *s;
}

void outgoing_check_headers(const struct reading *rd, const struct pairs *headers)
{
    if (headers->n > OUTGOING_HEADERS_MAX)
        section_problem(rd, "headers", "more than %d headers", OUTGOING_HEADERS_MAX);
    for (size_t i = 0; i < headers->n; i++)
        if (!is_token(headers->at[i].name))
            section_problem(rd, "headers", "not a header's name: \"%s\"", headers->at[i].name);
}

bool outgoing_add_headers(struct outgoing_headers *h, const struct pairs *configured, struct err *e)
{
    size_t total = 1;
    for (size_t i = 0; i < configured->n; i++)
        total += strlen(configured->at[i].name);
    char *at = h->names = malloc(total);
    if (!at)
        return err_nomem(e);
    for (size_t i = 0; i < configured->n; i++) {
        const struct pair *p = &configured->at[i];
        sv name = {at, strlen(p->name)};
        for (size_t k = 0; k < name.n; k++)
            *at++ = p->name[k] >= 'A' && p->name[k] <= 'Z' ? (char)(p->name[k] + 32) : p->name[k];
        h->own_tenant |= sv_eq(name, SV("x-scope-orgid"));
        ASSERT(h->n < ARRAY_LEN(h->at) - 1);
        h->at[h->n++] = (struct http_header){name, sv_of(p->value)};
    }
    return true;
}

void outgoing_headers_done(struct outgoing_headers *h)
{
    free(h->names);
    h->names = NULL;
}

size_t outgoing_headers_for(const struct outgoing_headers *h, sv tenant,
                            struct http_header ret[static OUTGOING_HEADERS_MAX + 4])
{
    size_t n = h->n;
    memcpy(ret, h->at, n * sizeof *ret);
    if (tenant.n && !h->own_tenant)
        ret[n++] = (struct http_header){SV("x-scope-orgid"), tenant};
    return n;
}

void outgoing_user_agent(char out[static 200])
{
    struct utsname un;
    if (uname(&un) < 0)
        memset(&un, 0, sizeof un);
    snprintf(out, 200, "Weir Collector/%s (%.30s/%.30s)", weir_version_text(), un.sysname, un.machine);
}

/* otlp_options.c - see otlp_options.h. Source: specification, "OpenTelemetry Protocol Exporter". An option of the caller that
 * cannot be is an error; the same from the environment is too where nothing sensible can be done without it (endpoint,
 * headers, protocol), else a warning. */
#include "sdk/otlp_options.h"
#include "base/buf.h"
#include "base/log.h"
#include "sdk/env.h"
#include <stdlib.h>

#define LOGS(name) "OTEL_EXPORTER_OTLP_LOGS_" name
#define BASE(name) "OTEL_EXPORTER_OTLP_" name

/* The option, else the two variables; *ret_name says where it is from. */
static const char *text_setting(const char *given, const char *logs, const char *base, const char *option,
                                const char **ret_name)
{
    if (given && *given) {
        *ret_name = option;
        return given;
    }
    return env_get2(logs, base, ret_name);
}

static bool resolve_protocol(const weir_otlp_options *o, weir_otlp_protocol *ret, struct err *e)
{
    const char *name, *text = env_get2(LOGS("PROTOCOL"), BASE("PROTOCOL"), &name);
    *ret = o->protocol;
    if (o->protocol != WEIR_OTLP_DEFAULT)
        return true;
    static const struct {
        const char *name;
        weir_otlp_protocol protocol;
    } known[] = {{"grpc", WEIR_OTLP_GRPC}, {"http/protobuf", WEIR_OTLP_HTTP_PROTOBUF}, {"http/json", WEIR_OTLP_HTTP_JSON}};
    *ret = WEIR_OTLP_GRPC;
    for (size_t i = 0; text && i < ARRAY_LEN(known); i++)
        if (sv_eq_nocase(sv_of(text), sv_of(known[i].name))) {
            *ret = known[i].protocol;
            return true;
        }
    return !text || err_set(e, ERR_UNSUPPORTED, "%s: '%s' is not spoken here (grpc, http/protobuf and http/json are)", name, text);
}

static bool has_control(sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

/* http://, https:// or, for a gRPC endpoint that names none, what the `insecure` option says; *url loses it. */
static bool take_scheme(const weir_otlp_options *o, bool grpc, const char *name, sv *url, sv *ret, struct err *e)
{
    size_t at = sv_find(*url, SV("://"));
    sv scheme = sv_sub(*url, 0, at);
    *ret = SV("http://");
    if (at == SV_NPOS && grpc) {
        if (o->insecure < 0 || (o->insecure == 0 && !env_bool(LOGS("INSECURE"), BASE("INSECURE"))))
            *ret = SV("https://");
        return true;
    }
    if (at != SV_NPOS && sv_eq_nocase(scheme, SV("https")))
        *ret = SV("https://");
    else if (at == SV_NPOS || !sv_eq_nocase(scheme, SV("http")))
        return err_set(e, ERR_INVALID, "%s: '" SV_FMT "' begins with neither http:// nor https://", name, SV_ARG(*url));
    *url = sv_from(*url, at + 3);
    return true;
}

/* "user:password@host:port": the host, and its port or the scheme's. What is no port is found out by the first call. */
static void split_authority(sv authority, bool tls, sv *ret_host, uint16_t *ret_port)
{
    uint64_t port;
    size_t user = sv_rfind_char(authority, '@');
    sv host = user == SV_NPOS ? authority : sv_from(authority, user + 1);
    size_t bracket = sv_rfind_char(host, ']'), colon = sv_rfind_char(host, ':');
    bool has_port = colon != SV_NPOS && (bracket == SV_NPOS || colon > bracket);
    *ret_port = tls ? 443 : 80;
    if (has_port && sv_to_u64(sv_from(host, colon + 1), &port) && port <= UINT16_MAX)
        *ret_port = (uint16_t)port;
    host = has_port ? sv_sub(host, 0, colon) : host;
    *ret_host = host.n > 2 && host.p[0] == '[' ? sv_sub(host, 1, host.n - 2) : host;
}

/* gRPC: scheme and authority of the endpoint, then the method's path. HTTP: the endpoint; a general one from the
 * environment (`base`) gets v1/logs behind it, and one without a path a "/". */
static bool add_endpoint(struct otlp_settings *s, const weir_otlp_options *o, const char *name, sv url, bool base, struct err *e)
{
    SCOPED(buf_done) struct buf full = {0}, shown = {0}, host = {0};
    sv host_name;
    uint16_t port;
    bool grpc = s->protocol == WEIR_OTLP_GRPC;
    sv rest = url, scheme;
    if (s->endpoints.n == OTLP_MAX_ENDPOINTS)
        return err_set(e, ERR_LIMIT, "%s: more than %d addresses", name, OTLP_MAX_ENDPOINTS);
    if (!take_scheme(o, grpc, name, &rest, &scheme, e))
        return false;
    size_t slash = sv_find_char(rest, '/');
    sv authority = sv_sub(rest, 0, slash), path = sv_from(rest, slash);
    if (!authority.n || has_control(url) || sv_find_char(url, ' ') != SV_NPOS)
        return err_set(e, ERR_INVALID, "%s: '" SV_FMT "' is not an address", name, SV_ARG(url));
    buf_sv(&full, scheme);
    buf_sv(&full, authority);
    if (grpc) {
        buf_sv(&full, SV("/opentelemetry.proto.collector.logs.v1.LogsService/Export"));
    } else {
        buf_sv(&full, path.n ? path : SV("/"));
        if (base)
            buf_sv(&full, sv_ends(buf_view(&full), SV("/")) ? SV("v1/logs") : SV("/v1/logs"));
    }
    buf_char(&full, 0);
    size_t user = sv_rfind_char(authority, '@'); /* a password is not for messages, nor is what a query may hold */
    buf_sv(&shown, scheme);
    buf_sv(&shown, user == SV_NPOS ? authority : sv_from(authority, user + 1));
    buf_sv(&shown, grpc ? SV_NULL : sv_sub(path, 0, sv_find_char(path, '?')));
    buf_char(&shown, 0);
    split_authority(authority, sv_eq(scheme, SV("https://")), &host_name, &port);
    buf_sv(&host, host_name);
    buf_char(&host, 0);
    if (!buf_ok(&full, e) || !buf_ok(&shown, e) || !buf_ok(&host, e))
        return false;
    struct otlp_endpoint *p = vec_push(&s->endpoints);
    if (!p)
        return err_nomem(e);
    *p = (struct otlp_endpoint){buf_take(&full, NULL), buf_take(&shown, NULL), buf_take(&host, NULL), port};
    return true;
}

static bool resolve_endpoints(struct otlp_settings *s, const weir_otlp_options *o, struct err *e)
{
    const char *name = "endpoint";
    const char *text = text_setting(o->endpoint, LOGS("ENDPOINT"), BASE("ENDPOINT"), name, &name);
    bool base = text && strcmp(name, BASE("ENDPOINT")) == 0;
    sv list = sv_of(text ? text : s->protocol == WEIR_OTLP_GRPC ? "http://localhost:4317" : "http://localhost:4318/v1/logs");
    while (list.n) {
        sv url = sv_trim(sv_cut(&list, ','));
        if (url.n && !add_endpoint(s, o, name, url, base, e))
            return false;
    }
    return s->endpoints.n || err_set(e, ERR_INVALID, "%s: '%s' names no address", name, text);
}

static void resolve_balance(struct otlp_settings *s, const weir_otlp_options *o)
{
    const char *name = "WEIR_EXPORTER_OTLP_BALANCE", *text = env_get(name);
    s->balance = o->balance;
    if (o->balance != WEIR_OTLP_BALANCE_DEFAULT)
        return;
    s->balance = text && sv_eq_nocase(sv_trim(sv_of(text)), SV("round_robin")) ? WEIR_OTLP_ROUND_ROBIN : WEIR_OTLP_FAILOVER;
    if (text && s->balance == WEIR_OTLP_FAILOVER && !sv_eq_nocase(sv_trim(sv_of(text)), SV("failover")))
        log_warn("sdk", "%s: '%s' is not known (failover and round_robin are): failover it is", name, text);
}

static bool add_header(void *ctx, sv key, sv value)
{
    struct otlp_settings *s = ctx;
    struct buf b = {0};
    if (has_control(key) || has_control(value) || sv_find_char(key, ':') != SV_NPOS) {
        log_warn("sdk", "header '" SV_FMT "' of the OTLP exporter holds characters that headers cannot: left out", SV_ARG(key));
        return true;
    }
    for (size_t i = 0; i < key.n; i++) /* HTTP/2 field names are lower case */
        buf_char(&b, key.p[i] >= 'A' && key.p[i] <= 'Z' ? (char)(key.p[i] + 32) : key.p[i]);
    buf_sv(&b, SV(": "));
    buf_sv(&b, value);
    buf_char(&b, 0);
    char **slot = b.failed ? NULL : vec_push(&s->headers);
    if (!slot) {
        buf_done(&b);
        return false;
    }
    *slot = buf_take(&b, NULL);
    return true;
}

/* What the caller asks for in code must be; what the environment asks for is done as far as it goes. */
static bool resolve_compression(const weir_otlp_options *o, struct gzip **ret, struct err *e)
{
    const char *name = "compression", *text = text_setting(o->compression, LOGS("COMPRESSION"), BASE("COMPRESSION"), name, &name);
    bool in_code = o->compression && *o->compression;
    struct err why = {0};
    if (!text || sv_eq_nocase(sv_of(text), SV("none")))
        return true;
    if (!sv_eq_nocase(sv_of(text), SV("gzip")))
        err_set(&why, ERR_INVALID, "'%s' is not known (gzip and none are)", text);
    else if (gzip_open(ret, &why))
        return true;
    else
        err_ctx(&why, "no gzip");
    if (in_code)
        return err_set(e, why.code, "%s: %s", name, why.msg);
    log_warn("sdk", "%s: %s: sending uncompressed", name, why.msg);
    return true;
}

static bool copy_text(const char *given, const char *logs, const char *base, char **ret)
{
    const char *name, *text = text_setting(given, logs, base, "", &name);
    *ret = text ? sv_dup(sv_of(text)) : NULL;
    return !text || *ret;
}

bool otlp_settings_resolve(const weir_otlp_options *o, struct otlp_settings *s, struct err *e)
{
    const char *name, *headers = text_setting(o->headers, LOGS("HEADERS"), BASE("HEADERS"), "headers", &name);
    *s = (struct otlp_settings){
        .timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : 10000,
        .failback_ms = o->failback_ms > 0 ? o->failback_ms : 30000,
        .max_retry_after_ms = o->max_retry_after_ms > 0 ? o->max_retry_after_ms : 300000,
    };
    resolve_balance(s, o);
    if (o->timeout_ms <= 0 && env_i64(LOGS("TIMEOUT"), BASE("TIMEOUT"), 0, INT32_MAX, &s->timeout_ms) && !s->timeout_ms)
        s->timeout_ms = INT32_MAX; /* 0: no limit */
    bool ok = resolve_protocol(o, &s->protocol, e) && resolve_endpoints(s, o, e) && resolve_compression(o, &s->gzip, e);
    if (ok && headers && !env_pairs(sv_of(headers), add_header, s, e))
        ok = err_ctx(e, "%s", name);
    if (ok && (!copy_text(o->certificate, LOGS("CERTIFICATE"), BASE("CERTIFICATE"), &s->ca_file) ||
               !copy_text(o->client_certificate, LOGS("CLIENT_CERTIFICATE"), BASE("CLIENT_CERTIFICATE"), &s->cert_file) ||
               !copy_text(o->client_key, LOGS("CLIENT_KEY"), BASE("CLIENT_KEY"), &s->key_file)))
        ok = err_nomem(e);
    if (!ok)
        otlp_settings_done(s);
    return ok;
}

void otlp_settings_done(struct otlp_settings *s)
{
    for (size_t i = 0; i < s->headers.n; i++)
        free(s->headers.at[i]);
    vec_done(&s->headers);
    for (size_t i = 0; i < s->endpoints.n; i++) {
        free(s->endpoints.at[i].url);
        free(s->endpoints.at[i].name);
        free(s->endpoints.at[i].host);
    }
    vec_done(&s->endpoints);
    gzip_close(s->gzip);
    free(s->ca_file);
    free(s->cert_file);
    free(s->key_file);
    *s = (struct otlp_settings){0};
}

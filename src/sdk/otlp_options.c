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
    *ret = WEIR_OTLP_GRPC;
    if (!text || sv_eq_nocase(sv_of(text), SV("grpc")))
        return true;
    *ret = WEIR_OTLP_HTTP_PROTOBUF;
    if (sv_eq_nocase(sv_of(text), SV("http/protobuf")))
        return true;
    return err_set(e, ERR_UNSUPPORTED, "%s: '%s' is not spoken here (grpc and http/protobuf are)", name, text);
}

static bool has_control(sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

/* gRPC: scheme and authority of the endpoint, then the method's path. HTTP: the endpoint; a general one from the
 * environment gets v1/logs behind it, and one without a path a "/". */
static bool resolve_url(const weir_otlp_options *o, weir_otlp_protocol protocol, char **ret, struct err *e)
{
    bool grpc = protocol == WEIR_OTLP_GRPC;
    const char *name = "endpoint";
    const char *text = text_setting(o->endpoint, LOGS("ENDPOINT"), BASE("ENDPOINT"), "endpoint", &name);
    sv url = sv_trim(sv_of(text ? text : grpc ? "http://localhost:4317" : "http://localhost:4318/v1/logs"));
    sv scheme = SV("http://"), rest = url;
    size_t at = sv_find(url, SV("://"));
    if (at != SV_NPOS) {
        scheme = sv_eq_nocase(sv_sub(url, 0, at), SV("https")) ? SV("https://") : SV("http://");
        if (!sv_eq_nocase(sv_sub(url, 0, at), SV("http")) && scheme.n == 7)
            return err_set(e, ERR_INVALID, "%s: '" SV_FMT "' begins with neither http:// nor https://", name, SV_ARG(url));
        rest = sv_from(url, at + 3);
    } else if (!grpc) {
        return err_set(e, ERR_INVALID, "%s: '" SV_FMT "' begins with neither http:// nor https://", name, SV_ARG(url));
    } else if (o->insecure < 0 || (o->insecure == 0 && !env_bool(LOGS("INSECURE"), BASE("INSECURE")))) {
        scheme = SV("https://");
    }
    size_t slash = sv_find_char(rest, '/');
    sv authority = sv_sub(rest, 0, slash), path = sv_from(rest, slash);
    if (!authority.n || has_control(url) || sv_find_char(url, ' ') != SV_NPOS)
        return err_set(e, ERR_INVALID, "%s: '" SV_FMT "' is not an address", name, SV_ARG(url));
    struct buf b = {0};
    buf_sv(&b, scheme);
    buf_sv(&b, authority);
    if (grpc) {
        buf_sv(&b, SV("/opentelemetry.proto.collector.logs.v1.LogsService/Export"));
    } else {
        buf_sv(&b, path.n ? path : SV("/"));
        if (text && strcmp(name, BASE("ENDPOINT")) == 0)
            buf_sv(&b, sv_ends(buf_view(&b), SV("/")) ? SV("v1/logs") : SV("/v1/logs"));
    }
    buf_char(&b, 0);
    if (!buf_ok(&b, e)) {
        buf_done(&b);
        return false;
    }
    *ret = buf_take(&b, NULL);
    return true;
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
    *s = (struct otlp_settings){.timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : 10000};
    if (o->timeout_ms <= 0 && env_i64(LOGS("TIMEOUT"), BASE("TIMEOUT"), 0, INT32_MAX, &s->timeout_ms) && !s->timeout_ms)
        s->timeout_ms = INT32_MAX; /* 0: no limit */
    bool ok = resolve_protocol(o, &s->protocol, e) && resolve_url(o, s->protocol, &s->url, e) && resolve_compression(o, &s->gzip, e);
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
    gzip_close(s->gzip);
    free(s->url);
    free(s->ca_file);
    free(s->cert_file);
    free(s->key_file);
    *s = (struct otlp_settings){0};
}

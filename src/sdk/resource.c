/* resource.c - see weir/sdk.h. Sources: specification, "Resource SDK"; semantic conventions, "Service" and "Telemetry". */
#include "sdk/resource.h"
#include "base/clock.h"
#include "base/json_out.h"
#include "base/log.h"
#include "otlp/write.h"
#include "sdk/encode.h"
#include "sdk/env.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

void random_bytes(void *to, size_t n)
{
    uint8_t *p = to;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got <= 0) { /* no system call (very old kernel, a strict sandbox): better a weak id than none */
            uint64_t v = rand_u64() ^ (uint64_t)clock_mono_ns() ^ (uint64_t)getpid() << 32;
            got = (ssize_t)MIN(n, sizeof v);
            memcpy(p, &v, (size_t)got);
        }
        p += got;
        n -= (size_t)got;
    }
}

void uuid_v4(char out[37])
{
    uint8_t b[16];
    random_bytes(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 9562: version 4, variant 1 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4],
             b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static struct weir_resource *resource_empty(void)
{
    struct weir_resource *r = calloc(1, sizeof *r);
    if (r) {
        arena_init(&r->mem, 0);
        r->schema_url = "";
    }
    return r;
}

void weir_resource_free(weir_resource *r)
{
    if (!r)
        return;
    arena_done(&r->mem);
    free(r);
}

/* Adds a copy, over an older one of the same key. */
static bool resource_set(struct weir_resource *r, weir_attr attr)
{
    weir_attr copy;
    if (!attr_copy(&r->mem, attr, &copy))
        return false;
    for (size_t i = 0; i < r->n; i++)
        if (sv_eq(sv_of_weir(r->attrs[i].key), sv_of_weir(copy.key))) {
            r->attrs[i] = copy;
            return true;
        }
    weir_attr *grown = arena_grow(&r->mem, r->attrs, r->n, &r->cap, sizeof *grown);
    if (!grown)
        return false;
    r->attrs = grown;
    r->attrs[r->n++] = copy;
    return true;
}

static bool set_pair(void *ctx, sv key, sv value)
{
    return resource_set(ctx, (weir_attr){{key.p, key.n}, weir_value_strn(value.p, value.n)});
}

static bool set_schema_url(struct weir_resource *r, const char *url)
{
    r->schema_url = arena_sv(&r->mem, sv_of(url ? url : "")).p;
    return r->schema_url != NULL;
}

weir_resource *weir_resource_new(const weir_attr *attributes, size_t n_attributes, const char *schema_url)
{
    struct weir_resource *r = resource_empty();
    bool ok = r && set_schema_url(r, schema_url);
    for (size_t i = 0; ok && i < n_attributes; i++)
        ok = resource_set(r, attributes[i]);
    if (ok)
        return r;
    weir_resource_free(r);
    return NULL;
}

static bool set_defaults(struct weir_resource *r)
{
    char exe[4096], name[300], id[37];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    const char *base = strrchr(exe, '/');
    snprintf(name, sizeof name, "unknown_service%s%.255s", base ? ":" : "", base ? base + 1 : "");
    uuid_v4(id);
    return resource_set(r, weir_str("telemetry.sdk.name", "weir")) && resource_set(r, weir_str("telemetry.sdk.language", "c")) &&
           resource_set(r, weir_str("telemetry.sdk.version", WEIR_VERSION)) && resource_set(r, weir_str("service.name", name)) &&
           resource_set(r, weir_str("service.instance.id", id)) &&
           (r->made_up_instance_id = arena_sv(&r->mem, sv_of(id))).p;
}

weir_resource *weir_resource_default(void)
{
    struct err e = {0};
    struct weir_resource *r = resource_empty();
    if (!r || !set_defaults(r)) {
        weir_resource_free(r);
        return NULL;
    }
    const char *text = env_get("OTEL_RESOURCE_ATTRIBUTES");
    if (text && !env_pairs(sv_of(text), set_pair, r, &e))
        log_warn("sdk", "OTEL_RESOURCE_ATTRIBUTES: %s: the variable is ignored", e.msg);
    text = env_get("OTEL_SERVICE_NAME");
    if (text && !resource_set(r, weir_str("service.name", text))) {
        weir_resource_free(r);
        return NULL;
    }
    return r;
}

static const char *merged_schema_url(const struct weir_resource *old, const struct weir_resource *updating)
{
    const char *a = weir_resource_schema_url(old), *b = weir_resource_schema_url(updating);
    if (*a && *b && strcmp(a, b) != 0) {
        log_warn("sdk", "merged resources have different schema URLs, '%s' and '%s': the result has none", a, b);
        return "";
    }
    return *b ? b : a;
}

weir_resource *weir_resource_merge(const weir_resource *old, const weir_resource *updating)
{
    struct weir_resource *r = weir_resource_new(old ? old->attrs : NULL, old ? old->n : 0, merged_schema_url(old, updating));
    bool ok = r != NULL;
    for (size_t i = 0; ok && updating && i < updating->n; i++)
        ok = resource_set(r, updating->attrs[i]);
    sv id = old && old->made_up_instance_id.n ? old->made_up_instance_id
            : updating                        ? updating->made_up_instance_id
                                              : SV_NULL;
    for (size_t i = 0; ok && id.n && i < r->n; i++)
        if (sv_eq(sv_of_weir(r->attrs[i].key), SV("service.instance.id")) &&
            sv_eq(sv_of_weir(r->attrs[i].value.as.string), id))
            ok = (r->made_up_instance_id = arena_sv(&r->mem, id)).p != NULL;
    if (ok)
        return r;
    weir_resource_free(r);
    return NULL;
}

const weir_attr *weir_resource_attributes(const weir_resource *r, size_t *ret_n)
{
    *ret_n = r ? r->n : 0;
    return r ? r->attrs : NULL;
}

const char *weir_resource_schema_url(const weir_resource *r)
{
    return r ? r->schema_url : "";
}

void resource_encode(const struct weir_resource *r, struct buf *out)
{
    size_t mark = otlp_open(out, 1);
    encode_attrs(out, 1, r->attrs, r->n);
    otlp_close(out, mark);
    encode_text(out, 3, sv_of(r->schema_url));
}

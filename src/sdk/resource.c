/* resource.c - see weir/sdk.h. Sources: specification, "Resource SDK"; semantic conventions, "Service" and "Telemetry". */
#include "sdk/resource.h"
#include "base/clock.h"
#include "base/json_out.h"
#include "base/log.h"
#include "otlp/write.h"
#include "sdk/detect.h"
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

struct weir_resource *resource_empty(void)
{
    struct weir_resource *r = calloc(1, sizeof *r);
    if (r) {
        arena_init(&r->mem, 0);
        r->schema_url = "";
        r->made_in = getpid();
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

bool resource_set(struct weir_resource *r, weir_attr attr)
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

bool resource_make_up_instance_id(struct weir_resource *r)
{
    char id[37];
    uuid_v4(id);
    return resource_set(r, weir_str("service.instance.id", id)) && (r->made_up_instance_id = arena_sv(&r->mem, sv_of(id))).p;
}

static bool set_defaults(struct weir_resource *r)
{
    char exe[4096], name[300];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    const char *base = strrchr(exe, '/');
    snprintf(name, sizeof name, "unknown_service%s%.255s", base ? ":" : "", base ? base + 1 : "");
    return resource_set(r, weir_str("telemetry.sdk.name", "weir")) && resource_set(r, weir_str("telemetry.sdk.language", "c")) &&
           resource_set(r, weir_str("telemetry.sdk.version", WEIR_VERSION)) && resource_set(r, weir_str("service.name", name)) &&
           resource_make_up_instance_id(r);
}

weir_resource *weir_resource_default(void)
{
    struct err e = {0};
    struct weir_resource *r = resource_empty();
    if (!r || !set_defaults(r)) {
        weir_resource_free(r);
        return NULL;
    }
    const char *text = env_get(DETECTORS_VARIABLE);
    if (text && !resource_detect(r, sv_of(text), DETECTORS_VARIABLE, &e)) {
        weir_resource_free(r);
        return NULL;
    }
    text = env_get("OTEL_RESOURCE_ATTRIBUTES");
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

static weir_attr *find(const struct weir_resource *r, sv key)
{
    for (size_t i = 0; i < r->n; i++)
        if (sv_eq(sv_of_weir(r->attrs[i].key), key))
            return &r->attrs[i];
    return NULL;
}

static bool holds_int(const struct weir_resource *r, sv key, int64_t value)
{
    const weir_attr *a = find(r, key);
    return a && a->value.kind == WEIR_INT && a->value.as.integer == value;
}

static bool holds_id(const struct weir_resource *r, sv id)
{
    const weir_attr *a = find(r, SV("service.instance.id"));
    return id.n && a && a->value.kind == WEIR_STRING && sv_eq(sv_of_weir(a->value.as.string), id);
}

/* What of `from` was made up or detected stays marked as that if it came into *r. */
static bool keep_marks(struct weir_resource *r, const struct weir_resource *from)
{
    if (!from)
        return true;
    if (from->pid && holds_int(r, SV("process.pid"), from->pid))
        r->pid = from->pid;
    if (from->parent_pid && holds_int(r, SV("process.parent_pid"), from->parent_pid))
        r->parent_pid = from->parent_pid;
    if (from->made_in != getpid())
        r->made_in = from->made_in;
    if (!holds_id(r, from->made_up_instance_id))
        return true;
    r->made_up_instance_id = arena_sv(&r->mem, from->made_up_instance_id);
    return r->made_up_instance_id.p != NULL;
}

static void renew_int(struct weir_resource *r, sv key, int64_t *mark, int64_t value)
{
    if (*mark && holds_int(r, key, *mark))
        find(r, key)->value.as.integer = *mark = value;
}

/* The program or the environment may have put something else over an attribute of ours: that stays. */
void resource_renew(struct weir_resource *r)
{
    char fresh[37];
    if (holds_id(r, r->made_up_instance_id)) { /* twice in the arena: the id, and the attribute's copy of it */
        uuid_v4(fresh);
        memcpy((char *)find(r, SV("service.instance.id"))->value.as.string.data, fresh, r->made_up_instance_id.n);
        memcpy((char *)r->made_up_instance_id.p, fresh, r->made_up_instance_id.n);
    }
    renew_int(r, SV("process.pid"), &r->pid, getpid());
    renew_int(r, SV("process.parent_pid"), &r->parent_pid, getppid());
    r->made_in = getpid();
}

weir_resource *weir_resource_merge(const weir_resource *old, const weir_resource *updating)
{
    struct weir_resource *r = weir_resource_new(old ? old->attrs : NULL, old ? old->n : 0, merged_schema_url(old, updating));
    bool ok = r != NULL;
    for (size_t i = 0; ok && updating && i < updating->n; i++)
        ok = resource_set(r, updating->attrs[i]);
    ok = ok && keep_marks(r, old) && keep_marks(r, updating);
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

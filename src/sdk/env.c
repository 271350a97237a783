/* env.c - see env.h. */
#include "sdk/env.h"
#include "base/json_out.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdlib.h>

static _Thread_local bool otel_hidden;

bool env_hide_otel(bool hide)
{
    bool was = otel_hidden;
    otel_hidden = hide;
    return was;
}

const char *env_get(const char *name)
{
    bool hidden = otel_hidden && sv_starts(sv_of(name), SV("OTEL_"));
    const char *v = name && !hidden ? getenv(name) : NULL;
    return v && *v ? v : NULL;
}

const char *env_get2(const char *name, const char *general, const char **ret_name)
{
    const char *v = env_get(name);
    *ret_name = v ? name : general;
    return v ? v : env_get(general);
}

bool env_i64(const char *name, const char *general, int64_t min, int64_t max, int64_t *ret)
{
    const char *which, *text = env_get2(name, general, &which);
    int64_t v;
    if (!text)
        return false;
    if (!sv_to_i64(sv_trim(sv_of(text)), &v) || v < min || v > max) {
        log_warn("sdk", "%s: '%s' is not a number from %" PRId64 " to %" PRId64 ": ignored", which, text, min, max);
        return false;
    }
    *ret = v;
    return true;
}

bool env_bool(const char *name, const char *general)
{
    const char *which, *text = env_get2(name, general, &which);
    if (!text)
        return false;
    sv v = sv_trim(sv_of(text));
    if (sv_eq_nocase(v, SV("true")))
        return true;
    if (!sv_eq_nocase(v, SV("false")))
        log_warn("sdk", "%s: '%s' is neither true nor false: taken as false", which, text);
    return false;
}

bool percent_decode(sv text, struct buf *out, struct err *e)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t byte;
        if (text.p[i] != '%') {
            buf_char(out, text.p[i]);
            continue;
        }
        if (!hex_get(sv_sub(text, i + 1, 2), &byte, 1, NULL))
            return err_set(e, ERR_PARSE, "'%%' without two hex digits in '" SV_FMT "'", SV_ARG(text));
        buf_char(out, (char)byte);
        i += 2;
    }
    return buf_ok(out, e);
}

static bool each_pair(sv text, bool (*fn)(void *ctx, sv key, sv value), void *ctx, struct err *e)
{
    SCOPED(buf_done) struct buf key = {0}, value = {0};
    while (text.n) {
        sv pair = sv_cut(&text, ',');
        if (!sv_trim(pair).n)
            continue;
        size_t eq = sv_find_char(pair, '=');
        if (eq == SV_NPOS)
            return err_set(e, ERR_PARSE, "'" SV_FMT "' is not key=value", SV_ARG(pair));
        buf_reset(&key);
        buf_reset(&value);
        if (!percent_decode(sv_trim(sv_sub(pair, 0, eq)), &key, e) ||
            !percent_decode(sv_trim(sv_from(pair, eq + 1)), &value, e))
            return false;
        if (!key.n)
            return err_set(e, ERR_PARSE, "'" SV_FMT "' has no key", SV_ARG(pair));
        if (fn && !fn(ctx, buf_view(&key), buf_view(&value)))
            return err_nomem(e);
    }
    return true;
}

bool env_pairs(sv text, bool (*fn)(void *ctx, sv key, sv value), void *ctx, struct err *e)
{
    return each_pair(text, NULL, NULL, e) && each_pair(text, fn, ctx, e);
}

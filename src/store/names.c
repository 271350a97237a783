/* names.c - see rules.h: names and index labels. Levels are in level.c. */
#include "store/rules.h"

static bool alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_normal(sv s)
{
    if (s.p[0] >= '0' && s.p[0] <= '9')
        return false;
    bool some = false;
    for (size_t i = 0; i < s.n; i++) {
        if (alnum(s.p[i]))
            some = true;
        else if (s.p[i] != '_' || (i > 0 && s.p[i - 1] == '_'))
            return false;
    }
    return some;
}

static bool is_reserved_form(sv s)
{
    if (s.n < 5 || !sv_starts(s, SV("__")) || !sv_ends(s, SV("__")))
        return false;
    for (size_t i = 2; i < s.n - 2; i++)
        if (!alnum(s.p[i]) && s.p[i] != '_')
            return false;
    return true;
}

bool rules_name(sv name, struct arena *a, sv *ret, struct err *e)
{
    if (!name.n)
        return err_set(e, ERR_INVALID, "label name is empty");
    if (is_normal(name) || is_reserved_form(name)) {
        *ret = name;
        return true;
    }
    char *out = arena_alloc(a, name.n + 4);
    if (!out)
        return arena_err(a, e, "label names");
    size_t n = 0;
    bool some = false;
    if (name.p[0] >= '0' && name.p[0] <= '9') {
        memcpy(out, "key_", 4);
        n = 4;
    }
    for (size_t i = 0; i < name.n; i++) {
        if (alnum(name.p[i])) {
            out[n++] = name.p[i];
            some = true;
        } else if (i == 0 || out[n - 1] != '_') {
            out[n++] = '_';
        }
    }
    if (!some)
        return err_set(e, ERR_INVALID, "normalization for label name \"" SV_FMT "\" resulted in invalid name \"" SV_FMT "\"",
                       SV_ARG(sv_sub(name, 0, 64)), SV_ARG(sv_make(out, n)));
    *ret = sv_make(out, n);
    return true;
}

bool rules_index_attribute(sv name)
{
    static const sv list[] = {
        SV("service.name"), SV("service.namespace"), SV("service.instance.id"), SV("deployment.environment"),
        SV("deployment.environment.name"), SV("cloud.region"), SV("cloud.availability_zone"), SV("k8s.cluster.name"),
        SV("k8s.namespace.name"), SV("k8s.pod.name"), SV("k8s.container.name"), SV("container.name"),
        SV("k8s.replicaset.name"), SV("k8s.deployment.name"), SV("k8s.statefulset.name"), SV("k8s.daemonset.name"),
        SV("k8s.cronjob.name"), SV("k8s.job.name"),
    };
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        if (sv_eq(list[i], name))
            return true;
    return false;
}

sv rules_service_name(const struct label *at, size_t n)
{
    static const sv list[] = {
        SV("service"), SV("app"), SV("application"), SV("app_name"), SV("name"), SV("app_kubernetes_io_name"),
        SV("container"), SV("container_name"), SV("k8s_container_name"), SV("component"), SV("workload"), SV("job"),
        SV("k8s_job_name"),
    };
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        for (size_t k = 0; k < n; k++)
            if (at[k].value.n && sv_eq(at[k].name, list[i]))
                return at[k].value;
    return SV_NULL;
}

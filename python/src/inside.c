/* inside.c - the only file of the extension that looks inside libweir: a service.instance.id that the Python Resource made up
 * is marked as such, so that a forked child gets one of its own, and is read again there. */
#include "sdk/encode.h"
#include "sdk/pipeline.h"
#include <unistd.h>

weir_resource *inside_resource_new(const weir_attr *attrs, size_t n, const char *schema_url, const char *made_up_id);
const weir_resource *inside_provider_resource(const weir_provider *provider);
const char *inside_made_up_id(const weir_resource *resource);
void inside_set_made_up_id(weir_provider *provider, const char *id);

weir_resource *inside_resource_new(const weir_attr *attrs, size_t n, const char *schema_url, const char *made_up_id)
{
    weir_resource *r = weir_resource_new(attrs, n, schema_url);
    if (!r || !made_up_id)
        return r;
    r->made_up_instance_id = arena_sv(&r->mem, sv_of(made_up_id));
    r->made_in = getpid();
    if (r->made_up_instance_id.p)
        return r;
    weir_resource_free(r);
    return NULL;
}

const weir_resource *inside_provider_resource(const weir_provider *provider)
{
    return provider->resource;
}

const char *inside_made_up_id(const weir_resource *resource)
{
    return resource && resource->made_up_instance_id.n ? resource->made_up_instance_id.p : NULL;
}

/* Both ids are as long as a UUID is written: it is replaced where it stands. */
void inside_set_made_up_id(weir_provider *provider, const char *id)
{
    sv before = provider->resource->made_up_instance_id;
    size_t at = sv_find(buf_view(&provider->head), before);
    if (!before.n || before.n != strlen(id) || at == SV_NPOS)
        return;
    memcpy(provider->head.p + at, id, before.n);
    for (size_t i = 0; i < provider->resource->n; i++)
        if (sv_eq(sv_of_weir(provider->resource->attrs[i].key), SV("service.instance.id")))
            memcpy((char *)provider->resource->attrs[i].value.as.string.data, id, before.n);
    memcpy((char *)before.p, id, before.n);
}

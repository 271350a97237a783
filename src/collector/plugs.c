/* plugs.c - the components there are. */
#include "collector/plug.h"

const struct plug *const plugs[] = {
    &receiver_otlp, &receiver_weirspool, &processor_batch, &processor_memory_limiter, &exporter_otlphttp, &exporter_otlp_grpc,
    &exporter_debug, &extension_file_storage, &extension_health_check, NULL,
};
const char *const plug_kind_names[PLUG_KINDS] = {"receiver", "processor", "exporter", "extension", "connector"};

const struct plug *plug_find(enum plug_kind kind, sv type)
{
    for (const struct plug *const *p = plugs; *p; p++)
        if ((*p)->kind == kind && (sv_eq(type, sv_of((*p)->type)) || (type.n && sv_eq(type, sv_of((*p)->alias)))))
            return *p;
    return NULL;
}

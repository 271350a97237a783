/* yaml_linked.c - yaml_parse() with the libfyaml that is linked. */
#include "base/fyaml.h"

static const struct fyaml linked = {
#define FYAML_LINKED(name) .name = name,
    FYAML_CALLS(FYAML_LINKED)
#undef FYAML_LINKED
};

bool yaml_parse(sv text, const char *file, struct arena *a, struct yaml **ret, struct err *e)
{
    return yaml_parse_by(&linked, text, file, a, ret, e);
}

/* yaml.h - a YAML document as a tree with line and column marks (libfyaml behind a C face). */
#pragma once
#include "base/arena.h"

enum yaml_kind { YAML_NULL, YAML_SCALAR, YAML_MAP, YAML_LIST };
struct yaml {
    enum yaml_kind kind;
    sv key;          /* when a member of a map */
    sv text;         /* scalar, decoded */
    bool quoted;     /* a scalar written in quotes is always a string */
    unsigned line, column;         /* of the value, from 1 */
    unsigned key_line, key_column; /* of the key */
    struct yaml *first, *next; /* children in order; siblings */
};

/* Everything lives in `a`. An empty document is YAML_NULL. Errors: "file:line:column: what"; duplicate keys, anchors that
 * expand beyond the arena's cap and nesting deeper than 64 are errors. `file` is for messages. */
MUST_USE bool yaml_parse(sv text, const char *file, struct arena *a, struct yaml **ret, struct err *e);
/* NULL when absent or not a map. */
static inline struct yaml *yaml_get(const struct yaml *map, sv key)
{
    for (struct yaml *c = map && map->kind == YAML_MAP ? map->first : NULL; c; c = c->next)
        if (sv_eq(c->key, key))
            return c;
    return NULL;
}

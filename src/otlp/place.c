/* place.c - see place.h. */
#include "otlp/place.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void place_path(const struct place *in, char out[PLACE_MAX])
{
    const struct place *chain[1024];
    size_t depth = 0, n = 0;
    out[0] = 0;
    for (; in && depth < ARRAY_LEN(chain); in = in->up)
        chain[depth++] = in;
    while (depth) {
        const struct place *pl = chain[--depth];
        char index[24] = "";
        if (pl->index >= 0)
            snprintf(index, sizeof index, "[%" PRId64 "]", pl->index);
        if (n + strlen(pl->name) + strlen(index) + 5 > PLACE_MAX) {
            snprintf(out + n, PLACE_MAX - n, "...");
            return;
        }
        n += (size_t)snprintf(out + n, PLACE_MAX - n, "%s%s%s", n ? "." : "", pl->name, index);
    }
}

/* ui.c - looking up embedded files. There are about five of them, so a walk over the list is all it takes. */
#include "ui/ui.h"
#include "ui/ui_files.h"
#include <string.h>

const struct ui_file *ui_find(const char *path, size_t n)
{
    for (size_t i = 0; i < ui_n_files; i++) {
        const struct ui_file *f = &ui_files[i];
        if (strlen(f->path) == n && memcmp(f->path, path, n) == 0)
            return f;
    }
    return NULL;
}

bool ui_available(void)
{
    return ui_built;
}

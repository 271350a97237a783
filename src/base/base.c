/* base.c - the version text; the library faces of base have a file each. */
#include "base/base.h"

const char *weir_version_text(void)
{
    return WEIR_VERSION;
}

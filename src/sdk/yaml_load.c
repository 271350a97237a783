/* yaml_load.c - see yaml_load.h. The functions and structs that yaml.c uses are the same in all versions of libfyaml that have this
 * name (0.7 to 1.0); one that lacks a function is refused. */
#include "sdk/yaml_load.h"
#ifdef HAVE_FYAML_HEADER
#include "base/fyaml.h"
#include <dlfcn.h>

#define LIBRARY "libfyaml.so.0"
static const char *library_name = LIBRARY;
void yaml_library_for_test(const char *name)
{
    library_name = name ? name : LIBRARY;
}

/* ISO C has no conversion between object and function pointers; POSIX promises that the bytes can be taken over. */
static bool find(void *library, const char *name, void *to)
{
    void *p = dlsym(library, name);
    memcpy(to, &p, sizeof p);
    return p != NULL;
}

bool yaml_load(sv text, const char *file, struct arena *a, struct yaml **ret, struct err *e)
{
    struct fyaml fy;
    bool all = true;
    void *library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return err_set(e, ERR_UNSUPPORTED, "%s: reading YAML needs libfyaml, and there is no %s here: install it (Debian, Ubuntu: "
                                           "apt install libfyaml0; Fedora: dnf install libfyaml; Alpine: apk add libfyaml)",
                       file, library_name);
#define FIND(name) all = find(library, #name, &fy.name) && all;
    FYAML_CALLS(FIND)
#undef FIND
    bool ok = all ? yaml_parse_by(&fy, text, file, a, ret, e)
                  : err_set(e, ERR_UNSUPPORTED, "%s: reading YAML needs libfyaml, and %s is none that is known here", file,
                            library_name);
    dlclose(library);
    return ok;
}
#else
void yaml_library_for_test(const char *name)
{
    (void)name;
}

bool yaml_load(sv text, const char *file, struct arena *a, struct yaml **ret, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "%s: this libweir was built without libfyaml's header and reads no YAML: build it where "
                                       "libfyaml-dev is installed", file);
}
#endif

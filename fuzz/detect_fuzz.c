/* What the resource detectors read from files of the system: whatever is in them, an id has an id's shape and lies in the text. */
#include "sdk/detect.h"

static void check(sv text, sv got, size_t min, size_t max)
{
    ASSERT(got.n == 0 || (got.n >= min && got.n <= max && got.p >= text.p && got.p + got.n <= text.p + text.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sv text = sv_make(data, size);
    check(text, container_id_of_cgroup(text), 34, 64); /* Fargate's: 32 digits, a dash, a number of up to 20 */
    check(text, container_id_of_mountinfo(text), 64, 64);
    check(text, machine_id_of(text), 32, 32);
    check(text, os_release_value(text, SV("NAME")), 0, size);
    return 0;
}

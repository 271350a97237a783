/* A manifest with any content, and the requests to delete in it; checksums of the head and of frames that fit are put right
 * first. */
#include "base/crc32c.h"
#include "base/endian.h"
#include "store/delete_int.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct catalog_state s = {0};
    struct err e = {0};
    size_t good = 0;
    uint8_t *p = malloc(n ? n : 1);
    if (!p)
        return 0;
    memcpy(p, data, n);
    if (n >= 16) {
        memcpy(p, "\x89WEIRMF\n", 8);
        put_le32(p + 12, crc32c(0, p, 12));
    }
    for (size_t at = 16; at + 8 <= n;) {
        uint32_t len = get_le32(p + at);
        if (len > n - at - 8)
            break;
        put_le32(p + at + 4, crc32c(0, p + at + 8, len));
        at += 8 + (size_t)len;
    }
    if (manifest_read(sv_make(p, n), &s, &good, &e) && good > n)
        abort();
    for (size_t i = 0; i < s.deletes.n; i++) {
        struct tombstone *t = NULL;
        if (tombstone_new(&s.deletes.at[i], &t, &e))
            tombstone_unref(t);
    }
    catalog_state_done(&s);
    free(p);
    return 0;
}

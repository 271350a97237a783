/* endian.h - numbers in byte order, read and written by hand: nothing on disk or wire is a dumped struct. */
#pragma once
#include "base/def.h"
#include <string.h>

#define ENDIAN_RW(name, type, swap)                                                                               \
    static inline type get_##name(const void *p)                                                                  \
    {                                                                                                             \
        type v;                                                                                                   \
        memcpy(&v, p, sizeof v);                                                                                  \
        return swap(v);                                                                                           \
    }                                                                                                             \
    static inline void put_##name(void *p, type v)                                                                \
    {                                                                                                             \
        v = swap(v);                                                                                              \
        memcpy(p, &v, sizeof v);                                                                                  \
    }
#define ENDIAN_SAME(v) (v)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
ENDIAN_RW(le16, uint16_t, ENDIAN_SAME)
ENDIAN_RW(le32, uint32_t, ENDIAN_SAME)
ENDIAN_RW(le64, uint64_t, ENDIAN_SAME)
ENDIAN_RW(be16, uint16_t, __builtin_bswap16)
ENDIAN_RW(be32, uint32_t, __builtin_bswap32)
ENDIAN_RW(be64, uint64_t, __builtin_bswap64)
#else
ENDIAN_RW(le16, uint16_t, __builtin_bswap16)
ENDIAN_RW(le32, uint32_t, __builtin_bswap32)
ENDIAN_RW(le64, uint64_t, __builtin_bswap64)
ENDIAN_RW(be16, uint16_t, ENDIAN_SAME)
ENDIAN_RW(be32, uint32_t, ENDIAN_SAME)
ENDIAN_RW(be64, uint64_t, ENDIAN_SAME)
#endif

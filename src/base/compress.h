/* compress.h - one face for the compression libraries: zlib, zstd, lz4 and snappy.
 * Output is capped by out->max: a bomb costs at most that. Any thread. */
#pragma once
#include "base/buf.h"

enum codec {
    CODEC_NONE,
    CODEC_GZIP,        /* one or more members */
    CODEC_ZLIB,        /* HTTP "deflate" as RFC 9110 means it */
    CODEC_DEFLATE_RAW, /* HTTP "deflate" as Loki means it */
    CODEC_ZSTD,
    CODEC_LZ4,          /* frame format */
    CODEC_SNAPPY,       /* block format: Loki push */
    CODEC_SNAPPY_FRAMED /* x-snappy-framed */
};

/* Content-Encoding names: "", identity, gzip, deflate, zlib, zstd, lz4, snappy, x-snappy-framed (ASCII case ignored).
 * "deflate" gives CODEC_ZLIB; a caller that wants Loki's reading maps it. False: unknown. */
bool codec_of_name(sv name, enum codec *ret);
const char *codec_name(enum codec c);

/* Appends to `out`. ERR_PARSE: damaged input ("gzip: invalid header", "snappy: corrupt input"); ERR_LIMIT: the output
 * would pass out->max. On failure out holds what it held before. */
MUST_USE bool decompress(enum codec c, sv in, struct buf *out, struct err *e);
/* level 0: the library's default. Codecs a caller cannot compress to give ERR_UNSUPPORTED. */
MUST_USE bool compress(enum codec c, int level, sv in, struct buf *out, struct err *e);

/* gzip.h - gzip through the zlib that libcurl brings into the process: libweir itself links no compressor.
 * One thread at a time. After fork() a child may go on with it, whatever the parent's threads were doing. */
#pragma once
#include "base/buf.h"

struct gzip;
/* ERR_UNSUPPORTED: there is no zlib here, or a version that we do not know. */
MUST_USE bool gzip_open(struct gzip **ret, struct err *e);
void gzip_close(struct gzip *g); /* NULL is fine */
/* Appends `in` as one gzip member. False: no memory, or out's cap; out is then as sticky as after any failed append. */
MUST_USE bool gzip_put(struct gzip *g, sv in, struct buf *out);
/* Appends what one gzip member holds. ERR_PARSE: damaged, or more behind it; ERR_LIMIT: out's cap. */
MUST_USE bool gzip_get(struct gzip *g, sv in, struct buf *out, struct err *e);
/* The library to load instead of libz.so.1; NULL: that one again. For tests, before gzip_open(). */
void gzip_library_for_test(const char *name);

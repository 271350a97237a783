/* encode_int.h - what encode.c and encode_streams.c share. */
#pragma once
#include "api/encode.h"

MUST_USE bool encode_streams(const struct logql_result *r, const struct encode_opts *o, struct arena *a,
                             struct buf *out, struct err *e);

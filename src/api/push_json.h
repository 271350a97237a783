/* push_json.h - Loki's JSON push bodies as logproto.PushRequest bytes, which the store takes. */
#pragma once
#include "base/json.h"
#include "base/buf.h"

/* Appends the protobuf form of {"streams":[{"stream":{...},"values":[["<ns>","line",{...}]]}]}. With `legacy` (the
 * /api/prom/push route) {"streams":[{"labels":"{...}","entries":[{"ts":"RFC 3339","line":"..."}]}]} is read as well.
 * ERR_PARSE: no JSON; ERR_INVALID: not this shape, with the path; ERR_LIMIT: larger than out->max. On failure `out` holds
 * garbage behind what it held. `p` is any parser; its documents are overwritten. */
MUST_USE bool push_json_to_proto(struct json_parser *p, sv body, bool legacy, struct buf *out, struct err *e);

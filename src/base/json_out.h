/* json_out.h - JSON text appended to a buf. Values are the caller's order; commas and brackets are written by the
 * caller too, since every writer of ours has a fixed shape. */
#pragma once
#include "base/buf.h"

/* A quoted string. Control characters, '"' and '\' are escaped; invalid UTF-8 becomes U+FFFD. */
void json_put_string(struct buf *out, sv s);
/* The same without the quotes around it. */
void json_put_escaped(struct buf *out, sv s);
/* Shortest text that reads back as the same double; "NaN", "Infinity" and "-Infinity" come as quoted strings. */
void json_put_double(struct buf *out, double v);
/* The shortest round-trip text of a double in ES6 style (1e-7, 1e+21, no ".0"); `out` needs 32 bytes; the length. */
size_t double_to_text(double v, char out[32]);
void base64_put(struct buf *out, sv bytes); /* standard alphabet, padded */
/* Standard or URL alphabet, padding optional; ERR_PARSE otherwise. */
MUST_USE bool base64_get(sv text, struct buf *out, struct err *e);
void hex_put(struct buf *out, sv bytes);                                /* lower case */
MUST_USE bool hex_get(sv text, uint8_t *to, size_t n, struct err *e);   /* exactly n bytes, any case */

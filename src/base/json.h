/* json.h - strict JSON parsing (simdjson behind a C face). A parser is reusable and belongs to one thread at a time; the
 * values of a document live until its parser parses the next one or is freed. */
#pragma once
#include "base/err.h"
#include "base/sv.h"

struct json_parser;
struct json { /* one value inside a document: copy freely */
    const void *doc;
    size_t at;
};
enum json_kind { JSON_NULL, JSON_BOOL, JSON_I64, JSON_U64 /* above INT64_MAX */, JSON_DOUBLE, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* max_bytes: longest document; max_depth: deepest nesting. */
MUST_USE bool json_parser_new(size_t max_bytes, size_t max_depth, struct json_parser **ret, struct err *e);
void json_parser_free(struct json_parser *p); /* NULL is fine */
/* Copies `text` as needed. ERR_PARSE says what and, where the library knows, where; ERR_LIMIT for size or depth. */
MUST_USE bool json_parse(struct json_parser *p, sv text, struct json *ret, struct err *e);

enum json_kind json_kind(struct json v);
const char *json_kind_name(enum json_kind k); /* "an object", "a string", … for messages */
bool json_bool(struct json v);
int64_t json_i64(struct json v);
uint64_t json_u64(struct json v);
double json_double(struct json v); /* also of I64 and U64 */
sv json_string(struct json v);     /* decoded, valid UTF-8 */

/* First member named `key`; false when absent. */
bool json_get(struct json object, sv key, struct json *ret);
/* In document order: struct json_iter it = json_iter(v); while (json_next(&it)) use it.key (objects) and it.value. */
struct json_iter {
    const void *doc;
    size_t at, end;
    bool object;
    sv key;
    struct json value;
};
struct json_iter json_iter(struct json container);
bool json_next(struct json_iter *it);

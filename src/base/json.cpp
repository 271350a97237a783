/* json.cpp - see json.h. simdjson's dom parser writes a document as a tape of 64-bit words, a documented format
 * (simdjson, doc/tape.md): the type character in the top byte, below it an offset. A struct json is a place on that
 * tape, so reading a value makes no objects. No exceptions: simdjson's error codes only. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* C leaves members out and means zero */
extern "C" {
#include "base/json.h"
}
#pragma GCC diagnostic pop
#include <new>
#include <simdjson.h>

struct json_parser {
    simdjson::dom::parser parser;
    size_t max_bytes, max_depth;
    json_parser(size_t bytes, size_t depth) : parser(simdjson::SIMDJSON_MAXSIZE_BYTES), max_bytes(bytes), max_depth(depth) {}
};

static const size_t max_document = simdjson::SIMDJSON_MAXSIZE_BYTES;

static const uint64_t *tape(const void *doc)
{
    return static_cast<const simdjson::dom::document *>(doc)->tape.get();
}
static char type_at(const void *doc, size_t at)
{
    return char(tape(doc)[at] >> 56);
}
static uint64_t payload_at(const void *doc, size_t at)
{
    return tape(doc)[at] & ((uint64_t(1) << 56) - 1);
}

/* The place behind the value at `at`. */
static size_t behind(const void *doc, size_t at)
{
    switch (type_at(doc, at)) {
    case '{':
    case '[':
        return uint32_t(payload_at(doc, at)); /* what points behind the closing bracket */
    case 'l':
    case 'u':
    case 'd':
        return at + 2;
    default:
        return at + 1;
    }
}

extern "C" bool json_parser_new(size_t max_bytes, size_t max_depth, struct json_parser **ret, struct err *e)
{
    /* 32-bit offsets on the tape: simdjson itself stops at 4 GiB */
    json_parser *p = new (std::nothrow) json_parser(MIN(max_bytes, max_document), max_depth);
    if (!p || p->parser.allocate(64, max_depth)) {
        delete p;
        return err_nomem(e);
    }
    *ret = p;
    return true;
}

extern "C" void json_parser_free(struct json_parser *p)
{
    delete p;
}

static bool parse_failed(const json_parser *p, simdjson::error_code code, struct err *e)
{
    switch (code) {
    case simdjson::DEPTH_ERROR:
        return err_set(e, ERR_LIMIT, "JSON nested deeper than %zu", p->max_depth);
    case simdjson::MEMALLOC:
        return err_nomem(e);
    case simdjson::EMPTY:
        return err_set(e, ERR_PARSE, "empty JSON document");
    case simdjson::TAPE_ERROR:
        return err_set(e, ERR_PARSE, "malformed JSON: brackets, commas or colons out of place");
    case simdjson::STRING_ERROR:
        return err_set(e, ERR_PARSE, "malformed JSON: bad escape in a string");
    case simdjson::T_ATOM_ERROR:
    case simdjson::F_ATOM_ERROR:
    case simdjson::N_ATOM_ERROR:
        return err_set(e, ERR_PARSE, "malformed JSON: a word that is not true, false or null");
    case simdjson::NUMBER_ERROR:
        return err_set(e, ERR_PARSE, "malformed JSON: a number that is malformed or does not fit");
    case simdjson::UTF8_ERROR:
        return err_set(e, ERR_PARSE, "malformed JSON: not UTF-8");
    case simdjson::UNESCAPED_CHARS:
        return err_set(e, ERR_PARSE, "malformed JSON: control character in a string");
    case simdjson::UNCLOSED_STRING:
        return err_set(e, ERR_PARSE, "malformed JSON: a string is not closed");
    default:
        return err_set(e, ERR_PARSE, "malformed JSON: %s", simdjson::error_message(code));
    }
}

extern "C" bool json_parse(struct json_parser *p, sv text, struct json *ret, struct err *e)
{
    if (text.n > p->max_bytes)
        return err_set(e, ERR_LIMIT, "JSON of %zu bytes: more than %zu", text.n, p->max_bytes);
    if (text.n == 0)
        return parse_failed(p, simdjson::EMPTY, e);
    simdjson::error_code code = p->parser.parse(text.p, text.n, true).error();
    if (code)
        return parse_failed(p, code, e);
    *ret = json{&p->parser.doc, 1}; /* word 0 is the root's own */
    return true;
}

extern "C" enum json_kind json_kind(struct json v)
{
    switch (type_at(v.doc, v.at)) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 'l':
        return JSON_I64;
    case 'u':
        return JSON_U64;
    case 'd':
        return JSON_DOUBLE;
    case 't':
    case 'f':
        return JSON_BOOL;
    default:
        return JSON_NULL;
    }
}

extern "C" const char *json_kind_name(enum json_kind k)
{
    switch (k) {
    case JSON_NULL:
        return "null";
    case JSON_BOOL:
        return "a boolean";
    case JSON_I64:
    case JSON_U64:
    case JSON_DOUBLE:
        return "a number";
    case JSON_STRING:
        return "a string";
    case JSON_ARRAY:
        return "an array";
    default:
        return "an object";
    }
}

extern "C" bool json_bool(struct json v)
{
    return type_at(v.doc, v.at) == 't';
}

extern "C" int64_t json_i64(struct json v)
{
    char type = type_at(v.doc, v.at);
    ASSERT(type == 'l' || type == 'u');
    return int64_t(tape(v.doc)[v.at + 1]);
}

extern "C" uint64_t json_u64(struct json v)
{
    return uint64_t(json_i64(v));
}

extern "C" double json_double(struct json v)
{
    double d;
    switch (type_at(v.doc, v.at)) {
    case 'l':
        return double(json_i64(v));
    case 'u':
        return double(json_u64(v));
    default:
        ASSERT(type_at(v.doc, v.at) == 'd');
        memcpy(&d, tape(v.doc) + v.at + 1, sizeof d);
        return d;
    }
}

extern "C" sv json_string(struct json v)
{
    ASSERT(type_at(v.doc, v.at) == '"');
    const uint8_t *p = static_cast<const simdjson::dom::document *>(v.doc)->string_buf.get() + payload_at(v.doc, v.at);
    uint32_t n;
    memcpy(&n, p, sizeof n); /* length, bytes, NUL */
    return sv_make(p + sizeof n, n);
}

extern "C" struct json_iter json_iter(struct json container)
{
    char type = type_at(container.doc, container.at);
    ASSERT(type == '{' || type == '[');
    struct json_iter it = {};
    it.doc = container.doc;
    it.at = container.at + 1;
    it.end = behind(container.doc, container.at) - 1; /* the closing bracket */
    it.object = type == '{';
    return it;
}

extern "C" bool json_next(struct json_iter *it)
{
    if (it->at >= it->end)
        return false;
    if (it->object) {
        it->key = json_string(json{it->doc, it->at});
        it->at++;
    }
    it->value = json{it->doc, it->at};
    it->at = behind(it->doc, it->at);
    return true;
}

extern "C" bool json_get(struct json object, sv key, struct json *ret)
{
    if (json_kind(object) != JSON_OBJECT)
        return false;
    struct json_iter it = json_iter(object);
    while (json_next(&it))
        if (sv_eq(it.key, key)) {
            *ret = it.value;
            return true;
        }
    return false;
}

/** @file value.h
 *  Values and attributes (OpenTelemetry specification, "Common", AnyValue and Attribute).
 *
 *  Everything here is a borrowed view: strings, arrays and maps point at memory of the caller, who keeps it alive
 *  until the call they are passed to returns. Every function that takes them copies what it keeps.
 *  Strings are UTF-8; bytes that are not are sent as U+FFFD. Build values with the functions below: they work the
 *  same in C and C++. */
#ifndef WEIR_VALUE_H
#define WEIR_VALUE_H

#include <string.h>
#include <weir/api.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes with a length; no NUL needed. A zeroed one is the empty string. */
typedef struct weir_string {
    const char *data;
    size_t size;
} weir_string;

typedef enum weir_kind {
    WEIR_EMPTY = 0, /**< no value, "null": differs from an empty string */
    WEIR_STRING,
    WEIR_BOOL,
    WEIR_INT,    /**< 64 bits, signed */
    WEIR_DOUBLE, /**< IEEE 754, 64 bits */
    WEIR_BYTES,
    WEIR_ARRAY, /**< values of any kinds */
    WEIR_MAP    /**< attributes with values of any kinds */
} weir_kind;

typedef struct weir_attr weir_attr;
typedef struct weir_value weir_value;

struct weir_value {
    weir_kind kind;
    union {
        weir_string string; /**< WEIR_STRING, WEIR_BYTES */
        bool boolean;
        int64_t integer;
        double number;
        struct {
            const weir_value *data;
            size_t size;
        } array;
        struct {
            const weir_attr *data;
            size_t size;
        } map;
    } as;
};

/** A named value. Keys should be unique within a list: of equal ones the last counts. */
struct weir_attr {
    weir_string key;
    weir_value value;
};

/** A view of a NUL-terminated text; NULL gives the empty string. */
static inline weir_string weir_string_of(const char *text)
{
    weir_string s;
    s.data = text;
    s.size = text ? strlen(text) : 0;
    return s;
}

/* Values, for bodies, arrays and maps. */

static inline weir_value weir_value_empty(void)
{
    weir_value v;
    memset(&v, 0, sizeof v);
    return v;
}
static inline weir_value weir_value_strn(const char *data, size_t size)
{
    weir_value v = weir_value_empty();
    v.kind = WEIR_STRING;
    v.as.string.data = data;
    v.as.string.size = size;
    return v;
}
/** NULL gives the empty value. */
static inline weir_value weir_value_str(const char *text)
{
    return text ? weir_value_strn(text, strlen(text)) : weir_value_empty();
}
static inline weir_value weir_value_bool(bool boolean)
{
    weir_value v = weir_value_empty();
    v.kind = WEIR_BOOL;
    v.as.boolean = boolean;
    return v;
}
static inline weir_value weir_value_i64(int64_t integer)
{
    weir_value v = weir_value_empty();
    v.kind = WEIR_INT;
    v.as.integer = integer;
    return v;
}
static inline weir_value weir_value_f64(double number)
{
    weir_value v = weir_value_empty();
    v.kind = WEIR_DOUBLE;
    v.as.number = number;
    return v;
}
static inline weir_value weir_value_bytes(const void *data, size_t size)
{
    weir_value v = weir_value_strn((const char *)data, size);
    v.kind = WEIR_BYTES;
    return v;
}
static inline weir_value weir_value_array(const weir_value *data, size_t size)
{
    weir_value v = weir_value_empty();
    v.kind = WEIR_ARRAY;
    v.as.array.data = data;
    v.as.array.size = size;
    return v;
}
static inline weir_value weir_value_map(const weir_attr *data, size_t size)
{
    weir_value v = weir_value_empty();
    v.kind = WEIR_MAP;
    v.as.map.data = data;
    v.as.map.size = size;
    return v;
}

/* Attributes: weir_str("user", name), weir_i64("ms", took) … Each field is set where it stands: an attribute is a part of every
 * log call, and copying half-built ones around costs more than all the rest of it. */

static inline weir_attr weir_any(const char *key, weir_value value)
{
    weir_attr a;
    a.key = weir_string_of(key);
    a.value = value;
    return a;
}
static inline weir_attr weir_strn(const char *key, const char *data, size_t size)
{
    weir_attr a;
    a.key.data = key;
    a.key.size = key ? strlen(key) : 0;
    a.value.kind = WEIR_STRING;
    a.value.as.string.data = data;
    a.value.as.string.size = size;
    return a;
}
/** NULL gives the empty value. */
static inline weir_attr weir_str(const char *key, const char *text)
{
    weir_attr a = weir_strn(key, text, text ? strlen(text) : 0);
    a.value.kind = text ? WEIR_STRING : WEIR_EMPTY;
    return a;
}
static inline weir_attr weir_bool(const char *key, bool boolean)
{
    weir_attr a = weir_strn(key, NULL, 0);
    a.value.kind = WEIR_BOOL;
    a.value.as.boolean = boolean;
    return a;
}
static inline weir_attr weir_i64(const char *key, int64_t integer)
{
    weir_attr a = weir_strn(key, NULL, 0);
    a.value.kind = WEIR_INT;
    a.value.as.integer = integer;
    return a;
}
static inline weir_attr weir_f64(const char *key, double number)
{
    weir_attr a = weir_strn(key, NULL, 0);
    a.value.kind = WEIR_DOUBLE;
    a.value.as.number = number;
    return a;
}
static inline weir_attr weir_bytes(const char *key, const void *data, size_t size)
{
    weir_attr a = weir_strn(key, (const char *)data, size);
    a.value.kind = WEIR_BYTES;
    return a;
}
static inline weir_attr weir_array(const char *key, const weir_value *data, size_t size)
{
    return weir_any(key, weir_value_array(data, size));
}
static inline weir_attr weir_map(const char *key, const weir_attr *data, size_t size)
{
    return weir_any(key, weir_value_map(data, size));
}

#ifdef __cplusplus
}
#endif
#endif

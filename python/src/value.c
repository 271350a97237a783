/* value.c - Python objects as weir values.
 * None, bool, int, float, str, bytes as themselves; an int beyond 64 bits as its decimal digits (hexadecimal where Python
 * refuses so many); sequences and mappings of collections.abc as arrays and maps; anything else as str() of it, if its class
 * says how, else as the empty value.
 * (1) What raises costs the value it was raised for, never the record.
 * (2) Depth, number of values and bytes of text of a record are capped: what is beyond becomes empty, or is cut. */
#include "ext.h"
#include <stdlib.h>

#define DEPTH_MAX 30 /* three nested messages each: what decoders of protocol buffers take is 100 in all */

struct conv_block {
    struct conv_block *next;
    max_align_t data[];
};

static PyObject *abc_sequence, *abc_mapping, *object_str, *object_repr, *s_str, *s_repr;

void conv_init(struct conv *c)
{
    c->keep = c->keep_room;
    c->n_keep = 0;
    c->cap_keep = sizeof c->keep_room / sizeof *c->keep_room;
    c->blocks = NULL;
    c->at = c->room;
    c->end = c->room + sizeof c->room;
    c->items = c->text = 0;
    conv_all_limits(c);
    c->body = false;
}

void conv_done(struct conv *c)
{
    for (size_t i = 0; i < c->n_keep; i++)
        Py_DECREF(c->keep[i]);
    if (c->keep != c->keep_room)
        free(c->keep);
    for (struct conv_block *b = c->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
}

void *conv_alloc(struct conv *c, size_t n, size_t size)
{
    size_t want = (n * size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (want > (size_t)(c->end - c->at)) {
        size_t room = want < 4096 ? 4096 : want;
        struct conv_block *b = malloc(sizeof *b + room);
        if (!b) {
            PyErr_NoMemory();
            return NULL;
        }
        b->next = c->blocks;
        c->blocks = b;
        c->at = (char *)b->data;
        c->end = c->at + room;
    }
    void *p = c->at;
    c->at += want;
    return p;
}

bool conv_keep(struct conv *c, PyObject *obj)
{
    if (c->n_keep == c->cap_keep) {
        size_t cap = c->cap_keep * 2;
        PyObject **grown = malloc(cap * sizeof *grown);
        if (!grown) {
            PyErr_NoMemory();
            return false;
        }
        memcpy(grown, c->keep, c->n_keep * sizeof *grown);
        if (c->keep != c->keep_room)
            free(c->keep);
        c->keep = grown;
        c->cap_keep = cap;
    }
    Py_INCREF(obj);
    c->keep[c->n_keep++] = obj;
    return true;
}

/* Keeps `obj` and gives up the caller's reference to it. */
static bool conv_take(struct conv *c, PyObject *obj)
{
    bool ok = conv_keep(c, obj);
    Py_DECREF(obj);
    return ok;
}

enum conv_result conv_failed(void)
{
    if (!PyErr_Occurred())
        return CONV_LOST;
    if (!PyErr_ExceptionMatches(PyExc_Exception) || PyErr_ExceptionMatches(PyExc_MemoryError))
        return CONV_RAISED;
    PyErr_Clear();
    return CONV_LOST;
}

/* ---- text ---- */

/* Lone surrogates have no UTF-8: each becomes U+FFFD. */
static PyObject *without_surrogates(PyObject *unicode)
{
    PyObject *bytes = PyUnicode_AsEncodedString(unicode, "utf-16-le", "surrogatepass");
    char *p;
    Py_ssize_t n;
    if (!bytes || PyBytes_AsStringAndSize(bytes, &p, &n) < 0) {
        Py_XDECREF(bytes);
        return NULL;
    }
    PyObject *clean = PyUnicode_Decode(p, n, "utf-16-le", "replace");
    Py_DECREF(bytes);
    return clean;
}

/* The room that is left for text, taken by a text of n bytes: its first bytes that fit, whole characters. */
static size_t cut(struct conv *c, const char *p, size_t n)
{
    size_t left = c->text_max > c->text ? c->text_max - c->text : 0;
    if (n > left)
        for (n = left; n && ((unsigned char)p[n] & 0xc0) == 0x80;)
            n--;
    c->text += n;
    return n;
}

enum conv_result conv_text(struct conv *c, PyObject *unicode, weir_string *ret)
{
    Py_ssize_t n;
    if (!conv_keep(c, unicode))
        return CONV_RAISED;
    const char *p = PyUnicode_AsUTF8AndSize(unicode, &n);
    if (!p) {
        if (conv_failed() == CONV_RAISED)
            return CONV_RAISED;
        PyObject *clean = without_surrogates(unicode);
        if (!clean)
            return conv_failed();
        p = PyUnicode_AsUTF8AndSize(clean, &n);
        if (!conv_take(c, clean))
            return CONV_RAISED;
        if (!p)
            return conv_failed();
    }
    ret->data = p;
    ret->size = cut(c, p, (size_t)n);
    return CONV_OK;
}

enum conv_result conv_str(struct conv *c, PyObject *obj, weir_string *ret)
{
    PyObject *text = PyObject_Str(obj);
    if (!text)
        return conv_failed();
    enum conv_result r = conv_text(c, text, ret);
    Py_DECREF(text);
    return r;
}

/* ---- values ---- */

static enum conv_result value_at(struct conv *c, PyObject *obj, weir_value *ret, int depth);

static enum conv_result integer(struct conv *c, PyObject *obj, weir_value *ret)
{
    int overflow;
    long long v = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (!overflow) {
        if (v == -1 && PyErr_Occurred())
            return conv_failed();
        *ret = weir_value_i64(v);
        return CONV_OK;
    }
    PyObject *digits = PyNumber_ToBase(obj, 10);
    if (!digits && conv_failed() == CONV_RAISED)
        return CONV_RAISED;
    if (!digits)
        digits = PyNumber_ToBase(obj, 16);
    if (!digits)
        return conv_failed();
    ret->kind = WEIR_STRING;
    enum conv_result r = conv_text(c, digits, &ret->as.string);
    Py_DECREF(digits);
    return r;
}

static enum conv_result sequence(struct conv *c, PyObject *obj, weir_value *ret, int depth)
{
    Py_ssize_t n = PySequence_Size(obj);
    if (n < 0)
        return conv_failed();
    if ((size_t)n > c->items_max - c->items)
        n = (Py_ssize_t)(c->items_max - c->items);
    weir_value *items = conv_alloc(c, (size_t)n, sizeof *items);
    PyObject *it = items ? PyObject_GetIter(obj) : NULL;
    if (!it)
        return conv_failed();
    enum conv_result r = CONV_OK;
    size_t filled = 0;
    for (PyObject *item; (Py_ssize_t)filled < n && (item = PyIter_Next(it)); filled++) {
        r = value_at(c, item, &items[filled], depth + 1);
        Py_DECREF(item);
        if (r == CONV_RAISED)
            break;
        if (r == CONV_LOST)
            items[filled] = weir_value_empty();
        r = CONV_OK;
    }
    Py_DECREF(it);
    if (r == CONV_OK && PyErr_Occurred() && conv_failed() == CONV_RAISED)
        return CONV_RAISED;
    *ret = weir_value_array(items, filled);
    return r;
}

/* Whether the class of obj says how it is written. */
static bool has_text(PyObject *obj)
{
    PyObject *type = (PyObject *)Py_TYPE(obj);
    PyObject *str = PyObject_GetAttr(type, s_str), *repr = PyObject_GetAttr(type, s_repr);
    bool has = str != object_str || repr != object_repr;
    PyErr_Clear();
    Py_XDECREF(str);
    Py_XDECREF(repr);
    return has;
}

/* A key: false with *ret_result CONV_OK or CONV_LOST when it is to be left out. */
static bool map_key(struct conv *c, PyObject *key, weir_string *ret, enum conv_result *ret_result)
{
    *ret_result = CONV_LOST;
    if (!c->body) {
        int there = PyObject_IsTrue(key);
        if (there <= 0) {
            *ret_result = there < 0 ? conv_failed() : CONV_LOST;
            return false;
        }
        if (!PyUnicode_Check(key) && !has_text(key))
            return false;
    }
    *ret_result = PyUnicode_Check(key) ? conv_text(c, key, ret) : conv_str(c, key, ret);
    return *ret_result == CONV_OK;
}

static enum conv_result entry(struct conv *c, PyObject *key, PyObject *value, weir_attr *ret, int depth)
{
    enum conv_result r;
    if (!map_key(c, key, &ret->key, &r))
        return r;
    return value_at(c, value, &ret->value, depth + 1);
}

/* The entries of a mapping as they are now; a list of pairs. */
static PyObject *entries_of(PyObject *obj)
{
    if (!PyDict_Check(obj))
        return PyMapping_Items(obj);
    return PyDict_Items(obj);
}

static enum conv_result map_entries(struct conv *c, PyObject *obj, const weir_attr **ret, size_t *ret_n, int depth)
{
    PyObject *list = entries_of(obj);
    if (!list)
        return conv_failed();
    Py_ssize_t n = PyList_Size(list);
    if ((size_t)n > c->items_max - c->items)
        n = (Py_ssize_t)(c->items_max - c->items);
    weir_attr *attrs = conv_alloc(c, (size_t)n, sizeof *attrs);
    enum conv_result r = attrs ? CONV_OK : CONV_RAISED;
    size_t filled = 0;
    for (Py_ssize_t i = 0; r != CONV_RAISED && i < n; i++) {
        PyObject *pair = PyList_GetItem(list, i);
        if (!pair || !PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
            PyErr_Clear();
            continue;
        }
        r = entry(c, PyTuple_GetItem(pair, 0), PyTuple_GetItem(pair, 1), &attrs[filled], depth);
        filled += r == CONV_OK;
    }
    Py_DECREF(list);
    *ret = attrs;
    *ret_n = filled;
    return r == CONV_RAISED ? r : CONV_OK;
}

static enum conv_result other(struct conv *c, PyObject *obj, weir_value *ret, int depth)
{
    int is = PyObject_IsInstance(obj, abc_sequence);
    if (is < 0)
        return conv_failed();
    if (is)
        return sequence(c, obj, ret, depth);
    is = PyObject_IsInstance(obj, abc_mapping);
    if (is < 0)
        return conv_failed();
    if (is) {
        ret->kind = WEIR_MAP;
        return map_entries(c, obj, &ret->as.map.data, &ret->as.map.size, depth);
    }
    if (!c->body && !has_text(obj))
        return CONV_OK; /* <... object at 0x7f...> says nothing */
    ret->kind = WEIR_STRING;
    return conv_str(c, obj, &ret->as.string);
}

static enum conv_result value_at(struct conv *c, PyObject *obj, weir_value *ret, int depth)
{
    *ret = weir_value_empty();
    if (c->items >= c->items_max || obj == Py_None)
        return CONV_OK;
    c->items++;
    if (PyUnicode_Check(obj)) {
        ret->kind = WEIR_STRING;
        return conv_text(c, obj, &ret->as.string);
    }
    if (PyBool_Check(obj)) {
        *ret = weir_value_bool(obj == Py_True);
        return CONV_OK;
    }
    if (PyLong_Check(obj))
        return integer(c, obj, ret);
    if (PyFloat_Check(obj)) {
        *ret = weir_value_f64(PyFloat_AsDouble(obj));
        return CONV_OK;
    }
    if (PyBytes_Check(obj)) {
        char *p;
        Py_ssize_t n;
        if (!conv_keep(c, obj) || PyBytes_AsStringAndSize(obj, &p, &n) < 0)
            return CONV_RAISED;
        size_t left = c->text_max > c->text ? c->text_max - c->text : 0, size = (size_t)n < left ? (size_t)n : left;
        c->text += size;
        *ret = weir_value_bytes(p, size);
        return CONV_OK;
    }
    if (depth > DEPTH_MAX)
        return CONV_OK;
    if (PyList_Check(obj) || PyTuple_Check(obj))
        return sequence(c, obj, ret, depth);
    if (PyDict_Check(obj)) {
        ret->kind = WEIR_MAP;
        return map_entries(c, obj, &ret->as.map.data, &ret->as.map.size, depth);
    }
    return other(c, obj, ret, depth);
}

enum conv_result conv_value(struct conv *c, PyObject *obj, weir_value *ret)
{
    return value_at(c, obj, ret, 1);
}

enum conv_result conv_attrs(struct conv *c, PyObject *mapping, const weir_attr **ret, size_t *ret_n)
{
    *ret = NULL;
    *ret_n = 0;
    return mapping == Py_None ? CONV_OK : map_entries(c, mapping, ret, ret_n, 0);
}

/* ---- back ---- */

PyObject *attrs_to_python(const weir_attr *attrs, size_t n)
{
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < n; i++) {
        PyObject *key = PyUnicode_DecodeUTF8(attrs[i].key.data, (Py_ssize_t)attrs[i].key.size, "replace");
        PyObject *value = key ? value_to_python(attrs[i].value) : NULL;
        if (!value || PyDict_SetItem(dict, key, value) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return dict;
}

static PyObject *tuple_of(const weir_value *items, size_t n)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; tuple && i < n; i++) {
        PyObject *item = value_to_python(items[i]);
        if (!item || PyTuple_SetItem(tuple, (Py_ssize_t)i, item) < 0)
            Py_CLEAR(tuple);
    }
    return tuple;
}

PyObject *value_to_python(weir_value v)
{
    switch (v.kind) {
    case WEIR_STRING:
        return PyUnicode_DecodeUTF8(v.as.string.data, (Py_ssize_t)v.as.string.size, "replace");
    case WEIR_BOOL:
        return PyBool_FromLong(v.as.boolean);
    case WEIR_INT:
        return PyLong_FromLongLong(v.as.integer);
    case WEIR_DOUBLE:
        return PyFloat_FromDouble(v.as.number);
    case WEIR_BYTES:
        return PyBytes_FromStringAndSize(v.as.string.data, (Py_ssize_t)v.as.string.size);
    case WEIR_ARRAY:
        return tuple_of(v.as.array.data, v.as.array.size);
    case WEIR_MAP:
        return attrs_to_python(v.as.map.data, v.as.map.size);
    default:
        Py_INCREF(Py_None);
        return Py_None;
    }
}

bool values_init(void)
{
    PyObject *abc = PyImport_ImportModule("collections.abc");
    if (!abc)
        return false;
    abc_sequence = PyObject_GetAttrString(abc, "Sequence");
    abc_mapping = PyObject_GetAttrString(abc, "Mapping");
    Py_DECREF(abc);
    s_str = PyUnicode_InternFromString("__str__");
    s_repr = PyUnicode_InternFromString("__repr__");
    if (!abc_sequence || !abc_mapping || !s_str || !s_repr)
        return false;
    object_str = PyObject_GetAttr((PyObject *)&PyBaseObject_Type, s_str);
    object_repr = PyObject_GetAttr((PyObject *)&PyBaseObject_Type, s_repr);
    return object_str && object_repr;
}

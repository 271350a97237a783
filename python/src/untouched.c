/* untouched.c - whether logging's classes, those an app derives from them, and their objects still do what logging's own code does.
 * (1) A class is untouched while every definition of a watched method in its MRO is logging's own function or ours, and no class of
 *     it defines what is read from its objects' dicts. Logging's own is known by its code's file and name, so that what somebody
 *     had wrapped before we were loaded is not taken for it.
 * (2) A verdict is kept for each class, with what it was made from: the methods' addresses and the sizes of the classes' dicts. Both
 *     are looked at for every record. Replacing a method changes an address; adding anything changes a size.
 * (3) Where in a dict something was is remembered as well, and only ever taken as a hint: what PyDict_Next() finds there is compared.
 *     That costs a fifth of looking it up. */
#include "handler.h"

static PyObject *function_type, *source_file, *get_referents;
static PyObject *s_mro, *s_dict, *s_code, *s_filename, *s_co_name;

#define CLASSES_MAX 8
#define SEEN_MAX 16
struct verdict {
    const struct watch *watch;
    PyObject *type;
    bool good;
    size_t n_dicts, n_seen;
    PyObject *dicts[CLASSES_MAX];
    Py_ssize_t sizes[CLASSES_MAX];
    struct place seen[SEEN_MAX]; /* `dict` is one of the above, `key` the watch's */
};

/* One verdict of each class that came by; they hold what they name. */
#define VERDICTS_MAX 16
static struct verdict verdicts[VERDICTS_MAX];
static size_t next_verdict;

bool logging_own(PyObject *function, PyObject *name)
{
    if ((PyObject *)Py_TYPE(function) != function_type)
        return false;
    PyObject *code = PyObject_GetAttr(function, s_code);
    PyObject *file = code ? PyObject_GetAttr(code, s_filename) : NULL, *own_name = code ? PyObject_GetAttr(code, s_co_name) : NULL;
    bool own = file && own_name && PyUnicode_Check(file) && PyUnicode_Check(own_name) && PyUnicode_Check(source_file) &&
               PyUnicode_Compare(file, source_file) == 0 && PyUnicode_Compare(own_name, name) == 0;
    Py_XDECREF(code);
    Py_XDECREF(file);
    Py_XDECREF(own_name);
    PyErr_Clear();
    return own;
}

static void verdict_done(struct verdict *v)
{
    for (size_t i = 0; i < v->n_dicts; i++)
        Py_DECREF(v->dicts[i]);
    for (size_t i = 0; i < v->n_seen; i++)
        Py_DECREF(v->seen[i].value);
    Py_XDECREF(v->type);
}

/* Which watched name this is, or n_names. */
static size_t name_at(const struct watch *w, PyObject *key)
{
    for (size_t i = 0; i < w->n_names; i++)
        if (w->names[i] == key)
            return i;
    for (size_t i = 0; i < w->n_names && PyUnicode_Check(key); i++)
        if (PyUnicode_Compare(w->names[i], key) == 0)
            return i;
    return w->n_names;
}

/* The dict behind a class's __dict__, which is a proxy; a new reference, or NULL. */
static PyObject *class_dict(PyObject *class)
{
    PyObject *proxy = PyObject_GetAttr(class, s_dict);
    PyObject *behind = proxy ? PyObject_CallFunctionObjArgs(get_referents, proxy, NULL) : NULL;
    PyObject *dict = behind && PyList_Check(behind) && PyList_Size(behind) == 1 ? PyList_GetItem(behind, 0) : NULL;
    if (dict && !PyDict_Check(dict))
        dict = NULL;
    Py_XINCREF(dict);
    Py_XDECREF(proxy);
    Py_XDECREF(behind);
    return dict;
}

/* What is said of the class whose dict this is; false: something there is not for us to judge. */
static bool judge_class(struct verdict *v, PyObject *dict)
{
    const struct watch *w = v->watch;
    PyObject *key, *value;
    for (Py_ssize_t pos = 0, at = 0; PyDict_Next(dict, &pos, &key, &value); at = pos) {
        size_t i = name_at(w, key);
        if (i == w->n_names)
            continue;
        if (i >= w->n_methods || v->n_seen == SEEN_MAX || key != w->names[i])
            return false;
        Py_INCREF(value);
        v->seen[v->n_seen++] = (struct place){dict, key, value, at};
        if (value != w->ours[0] && value != w->ours[1] && !logging_own(value, key))
            v->good = false;
    }
    return true;
}

static void judge(struct verdict *v)
{
    PyObject *mro = PyObject_GetAttr(v->type, s_mro);
    Py_ssize_t n = mro && PyTuple_Check(mro) ? PyTuple_Size(mro) : 0;
    v->good = n > 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *class = PyTuple_GetItem(mro, i);
        if (class == (PyObject *)&PyBaseObject_Type)
            continue;
        PyObject *dict = v->n_dicts < CLASSES_MAX ? class_dict(class) : NULL;
        if (!dict) {
            v->good = false;
            break;
        }
        v->sizes[v->n_dicts] = PyDict_Size(dict);
        v->dicts[v->n_dicts++] = dict;
        if (!judge_class(v, dict))
            v->good = false;
    }
    Py_XDECREF(mro);
    PyErr_Clear();
}

bool in_place(struct place *p)
{
    PyObject *key, *value;
    Py_ssize_t pos = p->at;
    if (PyDict_Next(p->dict, &pos, &key, &value) && key == p->key)
        return value == p->value;
    pos = p->at = 0; /* it has moved, or is not there */
    while (PyDict_Next(p->dict, &pos, &key, &value)) {
        if (key == p->key)
            return value == p->value;
        p->at = pos;
    }
    return false;
}

/* Whether all is as it was when the verdict was made. */
static bool holds(struct verdict *v)
{
    for (size_t i = 0; i < v->n_dicts; i++)
        if (PyDict_Size(v->dicts[i]) != v->sizes[i])
            return false;
    for (size_t i = 0; i < v->n_seen; i++)
        if (!in_place(&v->seen[i]))
            return false;
    return true;
}

static struct verdict *verdict_of(PyTypeObject *type, const struct watch *w)
{
    for (size_t i = 0; i < VERDICTS_MAX && verdicts[i].type; i++)
        if (verdicts[i].type == (PyObject *)type && verdicts[i].watch == w)
            return &verdicts[i];
    return NULL;
}

bool untouched(PyTypeObject *type, const struct watch *w)
{
    struct verdict *v = verdict_of(type, w);
    if (v && holds(v))
        return v->good;
    struct verdict fresh = {.watch = w, .type = (PyObject *)type}, old;
    Py_INCREF(type);
    judge(&fresh);
    v = verdict_of(type, w); /* looked for again: judging may have let other threads in */
    if (!v)
        v = &verdicts[next_verdict++ % VERDICTS_MAX];
    old = *v;
    *v = fresh;
    verdict_done(&old);
    return fresh.good;
}

/* Learns the order of the dict's keys. False: more than can be known. */
static bool shape_learn(struct watch *w, PyObject *dict)
{
    PyObject *key, *value;
    Py_ssize_t pos = 0;
    struct shape *s = &w->shape;
    while (s->n > 0)
        Py_DECREF(s->keys[--s->n]);
    s->shadowed = false;
    while (PyDict_Next(dict, &pos, &key, &value)) {
        size_t i = name_at(w, key);
        if (s->n == SHAPE_MAX)
            return false;
        s->shadowed |= i < w->n_methods;
        s->slots[s->n] = (unsigned char)i;
        s->keys[s->n++] = key;
        Py_INCREF(key);
    }
    return true;
}

bool object_read(PyObject *dict, struct watch *w, PyObject **ret)
{
    PyObject *key, *value;
    struct shape *s = &w->shape;
    for (int tries = 0; tries < 2; tries++) {
        size_t n = 0;
        Py_ssize_t pos = 0;
        for (size_t i = 0; i < w->n_names; i++)
            ret[i] = NULL;
        for (; PyDict_Next(dict, &pos, &key, &value) && n < s->n && key == s->keys[n]; n++)
            ret[s->slots[n]] = value; /* that of any other name goes to the end */
        if (n == s->n && n == (size_t)PyDict_Size(dict))
            return !s->shadowed;
        if (!shape_learn(w, dict))
            return false;
    }
    return false;
}

bool watch_init(struct watch *w, const char *const *names, size_t n_methods, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++)
        if (!(w->names[i] = PyUnicode_InternFromString(names[i])))
            return false;
    w->n_methods = n_methods;
    w->n_names = n_names;
    return true;
}

bool untouched_init(void)
{
    PyObject *logging = PyImport_ImportModule("logging"), *types = PyImport_ImportModule("types"), *gc = PyImport_ImportModule("gc");
    bool ok = logging && types && gc && (get_referents = PyObject_GetAttrString(gc, "get_referents")) &&
              (s_mro = PyUnicode_InternFromString("__mro__")) && (s_dict = PyUnicode_InternFromString("__dict__")) &&
              (s_code = PyUnicode_InternFromString("__code__")) && (s_filename = PyUnicode_InternFromString("co_filename")) &&
              (s_co_name = PyUnicode_InternFromString("co_name")) && (function_type = PyObject_GetAttrString(types, "FunctionType")) &&
              (source_file = PyObject_GetAttrString(logging, "_srcfile"));
    Py_XDECREF(logging);
    Py_XDECREF(types);
    Py_XDECREF(gc);
    return ok;
}

/* logger.c - Logger.debug(), info(), warning(), error(), critical() and log() in C, for programs that ask for it
 * (weir.accelerate_logging()). logging's own way from info() to a handler makes a LogRecord of 22 fields and walks frames in
 * Python: several times what our handler costs.
 * (1) Taken only where the result is the same: the one handler on the way is ours and bare, the logger has no filter, records
 *     are made by logging.LogRecord, and of Logger's methods in between none is replaced. All of it is looked at for every record.
 * (2) Everything else (exc_info, stack_info, stacklevel, other handlers, a format that fails) goes to the method that was there
 *     before, with the same arguments, so that its frames, errors and messages are the usual ones. */
#include "handler.h"
#include <time.h>

#ifndef METH_FASTCALL
#define METH_FASTCALL 0x0080 /* of the limited API since 3.10, the same in 3.9 */
#endif

static PyObject *logger_type, *logging_dict, *level_to_name, *source_file, *abc_mapping;
static PyObject *s_factory, *s_handlers, *s_filters, *s_propagate, *s_parent, *s_disabled, *s_cache, *s_isEnabledFor;
static PyObject *s_level, *s_name;
static PyObject *s_f_back, *s_f_lasti, *s_co_filename, *s_co_name, *s_extra;

/* Logger's methods between info() and a handler. */
static struct {
    const char *name;
    PyObject *key, *function;
} between[] = {{"_log", NULL, NULL}, {"makeRecord", NULL, NULL}, {"findCaller", NULL, NULL},
               {"handle", NULL, NULL}, {"callHandlers", NULL, NULL}};

enum { DEBUG, INFO, WARNING, ERROR, CRITICAL, LOG, N_METHODS };
static struct {
    const char *name;
    int level;
    PyObject *number, *before, *ours;
} methods[N_METHODS] = {{"debug", 10, NULL, NULL, NULL}, {"info", 20, NULL, NULL, NULL}, {"warning", 30, NULL, NULL, NULL},
                        {"error", 40, NULL, NULL, NULL}, {"critical", 50, NULL, NULL, NULL}, {"log", 0, NULL, NULL, NULL}};

/* ---- may we? ---- */

/* An attribute that is to be `wanted`. */
static bool attribute_is(PyObject *obj, PyObject *name, PyObject *wanted)
{
    PyObject *value = PyObject_GetAttr(obj, name);
    if (!value)
        PyErr_Clear();
    Py_XDECREF(value);
    return value == wanted;
}

static bool empty_list(PyObject *obj, PyObject *name)
{
    PyObject *list = PyObject_GetAttr(obj, name);
    bool empty = list && PyList_Check(list) && PyList_Size(list) == 0;
    if (!list)
        PyErr_Clear();
    Py_XDECREF(list);
    return empty;
}

/* 1, 0, or -1: an exception is set. */
static int enabled(PyObject *logger, PyObject *level)
{
    PyObject *cache = PyObject_GetAttr(logger, s_cache);
    if (!cache)
        PyErr_Clear();
    PyObject *known = cache && PyDict_Check(cache) ? PyDict_GetItemWithError(cache, level) : NULL;
    int yes = known == Py_True ? 1 : known == Py_False ? 0 : -1;
    Py_XDECREF(cache);
    if (yes >= 0)
        return yes && attribute_is(logger, s_disabled, Py_False);
    PyErr_Clear();
    PyObject *said = PyObject_CallMethodObjArgs(logger, s_isEnabledFor, level, NULL);
    yes = said ? PyObject_IsTrue(said) : -1;
    Py_XDECREF(said);
    return yes;
}

static bool untouched(PyObject *logger)
{
    PyObject *type = (PyObject *)Py_TYPE(logger);
    for (size_t i = 0; i < sizeof between / sizeof *between; i++)
        if (!attribute_is(type, between[i].key, between[i].function))
            return false;
    return PyDict_GetItemWithError(logging_dict, s_factory) == record_type && empty_list(logger, s_filters);
}

/* The one handler that a record of this logger comes to; a new reference. NULL: none, or several. */
static PyObject *only_handler(PyObject *logger)
{
    PyObject *found = NULL, *at = logger;
    bool good = true;
    Py_INCREF(at);
    while (at && good) {
        PyObject *handlers = PyObject_GetAttr(at, s_handlers), *parent = NULL;
        Py_ssize_t n = handlers && PyList_Check(handlers) ? PyList_Size(handlers) : -1;
        good = n == 0 || (n == 1 && !found);
        if (good && n) {
            found = PyList_GetItem(handlers, 0);
            Py_INCREF(found);
        }
        if (good && attribute_is(at, s_propagate, Py_True))
            parent = PyObject_GetAttr(at, s_parent);
        else if (good)
            good = attribute_is(at, s_propagate, Py_False);
        Py_XDECREF(handlers);
        Py_DECREF(at);
        at = parent == Py_None ? NULL : parent;
        if (parent == Py_None)
            Py_DECREF(parent);
    }
    Py_XDECREF(at);
    PyErr_Clear();
    if (!good)
        Py_CLEAR(found);
    return found;
}

/* ---- where ---- */

/* Places that log, by code object and instruction, which are found sooner than a line number. Each holds what it names. */
#define SITES_CACHED 1024
struct site {
    PyObject *code, *file, *function, *line;
    long instruction;
    bool internal; /* logging's own, to be passed over as findCaller() does */
};
static struct site sites[SITES_CACHED];

static struct site *site_of(PyObject *frame)
{
    PyObject *code = (PyObject *)PyFrame_GetCode((PyFrameObject *)frame), *lasti = PyObject_GetAttr(frame, s_f_lasti);
    long instruction = lasti ? PyLong_AsLong(lasti) : -1;
    Py_XDECREF(lasti);
    struct site *s = &sites[(((uintptr_t)code >> 5) + (size_t)instruction) % SITES_CACHED];
    if (s->code == code && s->instruction == instruction) {
        Py_DECREF(code);
        return s;
    }
    struct site fresh = {.code = code, .instruction = instruction}, old;
    fresh.file = PyObject_GetAttr(code, s_co_filename);
    fresh.function = PyObject_GetAttr(code, s_co_name);
    fresh.line = PyLong_FromLong(PyFrame_GetLineNumber((PyFrameObject *)frame));
    bool ok = fresh.file && fresh.function && fresh.line && PyUnicode_Check(fresh.file);
    if (ok) {
        fresh.internal = PyUnicode_Compare(fresh.file, source_file) == 0;
        old = *s; /* as it is now: making `fresh` may have let other threads in */
        *s = fresh;
    } else {
        old = fresh;
    }
    Py_XDECREF(old.code);
    Py_XDECREF(old.file);
    Py_XDECREF(old.function);
    Py_XDECREF(old.line);
    return ok ? s : NULL;
}

/* File, function and line of the caller; false when it cannot be told. */
static bool where(struct conv *c, struct fields *f)
{
    PyObject *frame = (PyObject *)PyEval_GetFrame();
    struct site *s = NULL;
    Py_XINCREF(frame);
    while (frame && frame != Py_None && (s = site_of(frame)) && s->internal) {
        PyObject *back = PyObject_GetAttr(frame, s_f_back);
        Py_DECREF(frame);
        frame = back;
        s = NULL;
    }
    Py_XDECREF(frame);
    PyErr_Clear();
    if (!s)
        return false;
    f->at[PATHNAME] = s->file;
    f->at[FUNCNAME] = s->function;
    f->at[LINENO] = s->line;
    bool ok = conv_keep(c, s->file) && conv_keep(c, s->function) && conv_keep(c, s->line);
    PyErr_Clear();
    return ok;
}

/* ---- what ---- */

/* False: the usual way must have it. */
static bool extras_take(struct conv *c, PyObject *extra, struct fields *f)
{
    PyObject *key, *value;
    Py_ssize_t pos = 0;
    if (extra == Py_None)
        return true;
    if (!PyDict_CheckExact(extra))
        return false;
    while (PyDict_Next(extra, &pos, &key, &value)) {
        PyObject *known = PyUnicode_CheckExact(key) ? PyDict_GetItemWithError(slot_of, key) : NULL;
        if (!PyUnicode_CheckExact(key) || known || !add_extra(c, f, key, value)) /* a field's name is an error */
            return false;
    }
    return true;
}

/* The arguments of the % as LogRecord takes them: a single mapping that is not empty is the arguments. A new reference. */
static PyObject *format_arguments(PyObject *const *args, Py_ssize_t n)
{
    if (n == 1 && !PyUnicode_Check(args[0]) && !PyLong_Check(args[0]) && !PyFloat_Check(args[0])) {
        int mapping = PyDict_Check(args[0]) ? 1 : PyObject_IsInstance(args[0], abc_mapping);
        if (mapping > 0)
            mapping = PyObject_IsTrue(args[0]);
        if (mapping < 0)
            return NULL;
        if (mapping) {
            Py_INCREF(args[0]);
            return args[0];
        }
    }
    PyObject *tuple = PyTuple_New(n);
    for (Py_ssize_t i = 0; tuple && i < n; i++) {
        Py_INCREF(args[i]);
        PyTuple_SetItem(tuple, i, args[i]);
    }
    return tuple;
}

/* CONV_LOST: the usual way must have it. */
static enum conv_result message(struct conv *c, struct handler *h, PyObject *const *args, Py_ssize_t n, weir_value *ret)
{
    PyObject *msg = args[0];
    if (n == 1 && (PyUnicode_CheckExact(msg) || (!PyUnicode_Check(msg) && !h->contrib))) {
        c->body = true;
        enum conv_result r = conv_value(c, msg, ret);
        c->body = false;
        return r;
    }
    if (n == 1 || !PyUnicode_CheckExact(msg))
        return CONV_LOST;
    PyObject *arguments = format_arguments(args + 1, n - 1);
    PyObject *text = arguments ? PyUnicode_Format(msg, arguments) : NULL;
    Py_XDECREF(arguments);
    if (!text)
        return conv_failed();
    ret->kind = WEIR_STRING;
    enum conv_result r = conv_text(c, text, &ret->as.string);
    Py_DECREF(text);
    return r;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Emits, through the handler's pipelines. CONV_LOST: nothing was emitted, the usual way must have it. */
static enum conv_result emit(PyObject *logger, struct handler *h, struct core *core, PyObject *level, PyObject *const *args,
                             Py_ssize_t n, PyObject *extra)
{
    struct conv c;
    struct fields f;
    weir_log_record r = weir_log_record_init();
    weir_trace_context trace;
    PyObject *levelname = PyDict_GetItemWithError(level_to_name, level), *name = PyObject_GetAttr(logger, s_name);
    enum conv_result result = CONV_LOST;
    conv_init(&c);
    fields_init(&f);
    f.at[EXC_INFO] = Py_None;
    r.timestamp_ns = r.observed_timestamp_ns = now_ns();
    r.severity_number = severity_of(level);
    if (name && PyUnicode_Check(name) && levelname && extras_take(&c, extra, &f) && where(&c, &f))
        result = severity_text(&c, levelname, &r.severity_text);
    conv_body_limits(&c);
    if (result == CONV_OK)
        result = message(&c, h, args, n, &r.body);
    conv_all_limits(&c);
    if (result == CONV_OK)
        result = attributes_of(&c, h, &f, &r) == CONV_RAISED ? CONV_RAISED : CONV_OK;
    if (result == CONV_OK) {
        if (otel_trace_current(&trace))
            r.trace = &trace;
        pipelines_emit(core->pipelines, name, &r);
    }
    conv_done(&c);
    Py_XDECREF(name);
    if (result == CONV_LOST)
        PyErr_Clear();
    return result;
}

/* ---- the methods ---- */

static PyObject *the_usual_way(int which, PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    Py_ssize_t n_names = names ? PyTuple_Size(names) : 0;
    PyObject *tuple = PyTuple_New(n + 1), *kwargs = n_names ? PyDict_New() : NULL, *ret = NULL;
    bool ok = tuple && (kwargs || !n_names);
    for (Py_ssize_t i = 0; ok && i <= n; i++) {
        PyObject *item = i ? args[i - 1] : self;
        Py_INCREF(item);
        ok = PyTuple_SetItem(tuple, i, item) == 0;
    }
    for (Py_ssize_t i = 0; ok && i < n_names; i++)
        ok = PyDict_SetItem(kwargs, PyTuple_GetItem(names, i), args[n + i]) == 0;
    if (ok)
        ret = PyObject_Call(methods[which].before, tuple, kwargs);
    Py_XDECREF(tuple);
    Py_XDECREF(kwargs);
    return ret;
}

/* The level that the handler lets through. */
static bool passes(PyObject *handler, PyObject *level)
{
    PyObject *at_least = PyObject_GetAttr(handler, s_level);
    int yes = at_least && PyLong_Check(at_least) ? PyObject_RichCompareBool(level, at_least, Py_GE) : -1;
    Py_XDECREF(at_least);
    PyErr_Clear();
    return yes == 1;
}

static enum conv_result by_ourselves(PyObject *self, PyObject *level, PyObject *const *args, Py_ssize_t n, PyObject *extra)
{
    if (exporting || nesting >= NESTING_MAX || !untouched(self))
        return CONV_LOST;
    PyObject *handler = only_handler(self);
    PyObject *core = handler && handler_is_bare(handler) && passes(handler, level) ? core_of((struct handler *)handler) : NULL;
    enum conv_result r = CONV_LOST;
    if (core && !((struct core *)core)->slow && ((struct core *)core)->pipelines) {
        nesting++;
        r = emit(self, (struct handler *)handler, (struct core *)core, level, args, n, extra);
        nesting--;
    } else if (PyErr_Occurred()) {
        r = conv_failed();
    }
    Py_XDECREF(core);
    Py_XDECREF(handler);
    return r;
}

static PyObject *log_at(int which, PyObject *self, PyObject *level, PyObject *const *args, Py_ssize_t n, PyObject *names,
                        PyObject *const *all, Py_ssize_t n_all)
{
    PyObject *extra = Py_None;
    if (n < 1 || (names && PyTuple_Size(names) > 1))
        return the_usual_way(which, self, all, n_all, names);
    if (names && PyTuple_Size(names) == 1) {
        if (PyUnicode_Compare(PyTuple_GetItem(names, 0), s_extra) != 0)
            return the_usual_way(which, self, all, n_all, names);
        extra = args[n];
    }
    int yes = enabled(self, level);
    if (yes < 0)
        return NULL;
    if (!yes)
        Py_RETURN_NONE;
    enum conv_result r = by_ourselves(self, level, args, n, extra);
    if (r == CONV_RAISED)
        return NULL;
    if (r == CONV_LOST)
        return the_usual_way(which, self, all, n_all, names);
    Py_RETURN_NONE;
}

#define METHOD(name, which)                                                                                           \
    static PyObject *name(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)                        \
    {                                                                                                                 \
        return log_at(which, self, methods[which].number, args, n, names, args, n);                                    \
    }
METHOD(log_debug, DEBUG)
METHOD(log_info, INFO)
METHOD(log_warning, WARNING)
METHOD(log_error, ERROR)
METHOD(log_critical, CRITICAL)

static PyObject *log_log(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    if (n < 2 || !PyLong_CheckExact(args[0]))
        return the_usual_way(LOG, self, args, n, names);
    return log_at(LOG, self, args[0], args + 1, n - 1, names, args, n);
}

#define FAST METH_FASTCALL | METH_KEYWORDS
static PyMethodDef definitions[N_METHODS] = {
    {"debug", (PyCFunction)(void (*)(void))log_debug, FAST, "Logs at DEBUG."},
    {"info", (PyCFunction)(void (*)(void))log_info, FAST, "Logs at INFO."},
    {"warning", (PyCFunction)(void (*)(void))log_warning, FAST, "Logs at WARNING."},
    {"error", (PyCFunction)(void (*)(void))log_error, FAST, "Logs at ERROR."},
    {"critical", (PyCFunction)(void (*)(void))log_critical, FAST, "Logs at CRITICAL."},
    {"log", (PyCFunction)(void (*)(void))log_log, FAST, "Logs at a level."},
};

/* accelerate(on): puts our methods in the place of Logger's, or Logger's back; those that somebody else replaced stay. */
static PyObject *accelerate(PyObject *module, PyObject *on)
{
    int yes = PyObject_IsTrue(on);
    for (int i = 0; yes >= 0 && i < N_METHODS; i++) {
        PyObject *from = yes ? methods[i].before : methods[i].ours, *to = yes ? methods[i].ours : methods[i].before;
        PyObject *now = PyObject_GetAttrString(logger_type, methods[i].name);
        if (now == from && PyObject_SetAttrString(logger_type, methods[i].name, to) < 0)
            yes = -1;
        Py_XDECREF(now);
    }
    if (yes < 0)
        return NULL;
    Py_RETURN_NONE;
}

static bool names_init(void)
{
    const struct {
        PyObject **at;
        const char *text;
    } names[] = {
        {&s_factory, "_logRecordFactory"}, {&s_handlers, "handlers"}, {&s_filters, "filters"}, {&s_propagate, "propagate"},
        {&s_parent, "parent"}, {&s_disabled, "disabled"}, {&s_cache, "_cache"}, {&s_isEnabledFor, "isEnabledFor"},
        {&s_level, "level"}, {&s_name, "name"}, {&s_f_back, "f_back"}, {&s_f_lasti, "f_lasti"},
        {&s_co_filename, "co_filename"}, {&s_co_name, "co_name"},
        {&s_extra, "extra"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!(*names[i].at = PyUnicode_InternFromString(names[i].text)))
            return false;
    return true;
}

static bool once(void)
{
    PyObject *logging = PyImport_ImportModule("logging"), *abc = PyImport_ImportModule("collections.abc");
    bool ok = logging && abc && names_init() && (logger_type = PyObject_GetAttrString(logging, "Logger")) &&
              (logging_dict = PyObject_GetAttrString(logging, "__dict__")) &&
              (level_to_name = PyObject_GetAttrString(logging, "_levelToName")) &&
              (source_file = PyObject_GetAttrString(logging, "_srcfile")) && (abc_mapping = PyObject_GetAttrString(abc, "Mapping"));
    for (size_t i = 0; ok && i < sizeof between / sizeof *between; i++)
        ok = (between[i].key = PyUnicode_InternFromString(between[i].name)) &&
             (between[i].function = PyObject_GetAttr(logger_type, between[i].key));
    for (int i = 0; ok && i < N_METHODS; i++)
        ok = (methods[i].number = PyLong_FromLong(methods[i].level)) &&
             (methods[i].before = PyObject_GetAttrString(logger_type, methods[i].name)) &&
             (methods[i].ours = PyDescr_NewMethod((PyTypeObject *)logger_type, &definitions[i]));
    Py_XDECREF(logging);
    Py_XDECREF(abc);
    return ok;
}

bool loggers_init(PyObject *module)
{
    static PyMethodDef functions[] = {{"accelerate", accelerate, METH_O, "Logger's methods in C, or as they were."},
                                      {NULL, NULL, 0, NULL}};
    return (logger_type || once()) && PyModule_AddFunctions(module, functions) == 0;
}

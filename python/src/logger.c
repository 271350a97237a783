/* logger.c - Logger._log() in C: what Logger.info() and its like call when a record is to be made. Logging's own makes a LogRecord of
 * 22 fields and walks frames in Python: several times what our handler costs.
 * (1) Taken only where the result is the same: the one handler on the way is ours and bare, the logger has no filter, records are
 *     made by logging.LogRecord, and of what logging calls in between nothing is replaced, in its classes, their subclasses, the
 *     objects or the module. All of it is looked at for every record.
 * (2) Everything else (exc_info, stack_info, stacklevel, other handlers, a format that fails) goes to the method that was there
 *     before, with the same arguments, so that its frames, errors and messages are the usual ones.
 * (3) The public methods stay logging's own: what wraps, inspects or overrides them, and isEnabledFor(), sees no difference. */
#include "handler.h"
#include <stdio.h>
#include <time.h>

#ifndef METH_FASTCALL
#define METH_FASTCALL 0x0080 /* of the limited API since 3.10, the same in 3.9 */
#endif

static PyObject *logger_type, *logging_dict, *time_dict, *level_to_name, *source_file, *abc_mapping, *get_frame, *one;
static PyObject *s_f_back, *s_f_lasti, *s_co_filename, *s_co_name, *s_log;
static struct watch logger_watch, parent_watch, record_watch;
enum { LOGGER_METHODS = 5, L_NAME = LOGGER_METHODS, L_HANDLERS, L_FILTERS, L_PROPAGATE, L_PARENT, L_DISABLED };
enum { P_HANDLERS, P_PROPAGATE, P_PARENT };

static PyObject *before, *ours; /* Logger._log */
static bool accelerated;

/* What logging's functions find in the module, and in `time`. */
#define GLOBALS_MAX 6
static struct global {
    struct place place;
    PyCFunction function; /* of a built-in one, whose code can be replaced under the same object */
} globals[GLOBALS_MAX];
static size_t n_globals;
static bool skips_importlib; /* findCaller() passes over the import system's frames, too */

/* ---- may we? ---- */

static bool globals_untouched(void)
{
    for (size_t i = 0; i < n_globals; i++)
        if (!in_place(&globals[i].place) ||
            (globals[i].function && PyCFunction_GetFunction(globals[i].place.value) != globals[i].function))
            return false;
    return true;
}

static bool empty_list(PyObject *list)
{
    return list && PyList_CheckExact(list) && PyList_Size(list) == 0;
}

/* 1, 0, or -1: neither. fileConfig() sets numbers. */
static int truth(PyObject *obj)
{
    if (obj == Py_True || obj == Py_False)
        return obj == Py_True;
    return obj && PyLong_CheckExact(obj) ? PyObject_IsTrue(obj) : -1;
}

/* The attributes of a logger, borrowed, by their places in the watch; false: it is not as logging made it. */
static bool logger_read(PyObject *logger, struct watch *w, PyObject **ret)
{
    PyObject *dict = PyObject_GenericGetDict(logger, NULL);
    bool ok = dict && object_read(dict, w, ret);
    if (!dict)
        PyErr_Clear();
    Py_XDECREF(dict);
    return ok;
}

/* The handlers of one logger on the way: one at most, of all. */
static bool handlers_add(PyObject *handlers, PyObject **found)
{
    Py_ssize_t n = handlers && PyList_CheckExact(handlers) ? PyList_Size(handlers) : -1;
    if (n == 1 && !*found)
        *found = PyList_GetItem(handlers, 0);
    else if (n != 0)
        return false;
    return true;
}

/* The one handler that a record of this logger comes to, and the logger's name; new references. False: none, or several, or something
 * in between is not logging's own. What most often is in the way is looked at first; no Python code runs, but to judge a class. */
static bool only_handler(PyObject *logger, PyObject **ret_handler, PyObject **ret_name)
{
    PyObject *v[WATCHED_MAX], *found = NULL, *at;
    PyTypeObject *type = Py_TYPE(logger), *other = type;
    if (!logger_read(logger, &logger_watch, v))
        return false;
    PyObject *name = v[L_NAME], *parent = v[L_PARENT];
    int on = truth(v[L_PROPAGATE]);
    if (truth(v[L_DISABLED]) != 0 || !empty_list(v[L_FILTERS]) || !name || !PyUnicode_Check(name) || !handlers_add(v[L_HANDLERS], &found))
        return false;
    while (on > 0 && parent && parent != Py_None) {
        at = parent;
        if (!logger_read(at, &parent_watch, v) || !handlers_add(v[P_HANDLERS], &found))
            return false;
        on = truth(v[P_PROPAGATE]);
        parent = v[P_PARENT];
        if (Py_TYPE(at) != type) {
            if (other != type && other != Py_TYPE(at))
                return false;
            other = Py_TYPE(at);
        }
    }
    if (on < 0 || !parent || !found)
        return false;
    Py_INCREF(found);
    Py_INCREF(name);
    Py_INCREF(other);
    *ret_handler = found;
    *ret_name = name;
    bool same = untouched(type, &logger_watch) && (other == type || untouched(other, &parent_watch)) &&
                untouched((PyTypeObject *)record_type, &record_watch) && globals_untouched();
    Py_DECREF(other);
    if (!same) {
        Py_DECREF(found);
        Py_DECREF(name);
    }
    return same;
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

static bool contains(PyObject *text, const char *part)
{
    Py_ssize_t n;
    const char *p = PyUnicode_AsUTF8AndSize(text, &n);
    if (!p)
        PyErr_Clear();
    return p && strstr(p, part);
}

/* A file whose frames findCaller() passes over. */
static bool is_internal(PyObject *file)
{
    return PyUnicode_Compare(file, source_file) == 0 ||
           (skips_importlib && contains(file, "importlib") && contains(file, "_bootstrap"));
}

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
        fresh.internal = is_internal(fresh.file);
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

/* The frame that findCaller() asks first. Ours has none, and that of Logger.info() or another of logging's is left out without making
 * an object of it; Python 3.9 and 3.10 leave out the first whosever it is. A new reference, or NULL. */
static PyObject *first_frame(void)
{
    if (!skips_importlib || PyEval_GetGlobals() == logging_dict)
        return PyObject_CallFunctionObjArgs(get_frame, one, NULL);
    PyObject *frame = (PyObject *)PyEval_GetFrame();
    Py_XINCREF(frame);
    return frame;
}

/* File, function and line of the caller; false when it cannot be told. */
static bool where(struct conv *c, struct fields *f)
{
    PyObject *frame = first_frame();
    struct site *s = NULL;
    while (frame && frame != Py_None && (s = site_of(frame)) && s->internal) {
        PyObject *back = PyObject_GetAttr(frame, s_f_back);
        Py_DECREF(frame);
        frame = back;
        s = NULL;
    }
    Py_XDECREF(frame);
    if (!s) {
        PyErr_Clear();
        return false;
    }
    f->at[PATHNAME] = s->file;
    f->at[FUNCNAME] = s->function;
    f->at[LINENO] = s->line;
    bool ok = conv_keep(c, s->file) && conv_keep(c, s->function) && conv_keep(c, s->line);
    if (!ok)
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
static PyObject *format_arguments(PyObject *args)
{
    PyObject *only = PyTuple_Size(args) == 1 ? PyTuple_GetItem(args, 0) : NULL;
    if (only && !PyUnicode_Check(only) && !PyLong_Check(only) && !PyFloat_Check(only)) {
        int mapping = PyDict_Check(only) ? 1 : PyObject_IsInstance(only, abc_mapping);
        if (mapping > 0)
            mapping = PyObject_IsTrue(only);
        if (mapping < 0)
            return NULL;
        if (mapping)
            args = only;
    }
    Py_INCREF(args);
    return args;
}

/* CONV_LOST: the usual way must have it. */
static enum conv_result message(struct conv *c, struct handler *h, PyObject *msg, PyObject *args, weir_value *ret)
{
    bool alone = PyTuple_Size(args) == 0;
    if (alone && (PyUnicode_CheckExact(msg) || (!PyUnicode_Check(msg) && !h->contrib))) {
        c->body = true;
        enum conv_result r = conv_value(c, msg, ret);
        c->body = false;
        return r;
    }
    if (alone || !PyUnicode_CheckExact(msg))
        return CONV_LOST;
    PyObject *arguments = format_arguments(args);
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
static enum conv_result emit(PyObject *name, struct handler *h, struct core *core, PyObject *level, PyObject *msg,
                             PyObject *args, PyObject *extra)
{
    struct conv c;
    struct fields f;
    weir_log_record r = weir_log_record_init();
    weir_trace_context trace;
    PyObject *levelname = PyDict_GetItemWithError(level_to_name, level);
    enum conv_result result = CONV_LOST;
    conv_init(&c);
    fields_init(&f);
    f.at[EXC_INFO] = Py_None;
    r.timestamp_ns = r.observed_timestamp_ns = now_ns();
    r.severity_number = severity_of(level);
    if (levelname && extras_take(&c, extra, &f) && where(&c, &f))
        result = severity_text(&c, levelname, &r.severity_text);
    conv_body_limits(&c);
    if (result == CONV_OK)
        result = message(&c, h, msg, args, &r.body);
    conv_all_limits(&c);
    if (result == CONV_OK)
        result = attributes_of(&c, h, &f, &r) == CONV_RAISED ? CONV_RAISED : CONV_OK;
    if (result == CONV_OK) {
        if (otel_trace_current(&trace))
            r.trace = &trace;
        PyObject *pipelines = core->pipelines;
        Py_INCREF(pipelines);
        pipelines_emit(pipelines, name, &r);
        Py_DECREF(pipelines);
    }
    conv_done(&c);
    if (result == CONV_LOST)
        PyErr_Clear();
    return result;
}

/* ---- the method ---- */

static PyObject *the_usual_way(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
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
        ret = PyObject_Call(before, tuple, kwargs);
    Py_XDECREF(tuple);
    Py_XDECREF(kwargs);
    return ret;
}

/* _log(level, msg, args, exc_info=None, extra=None, stack_info=False, stacklevel=1) */
enum { P_LEVEL, P_MSG, P_ARGS, P_EXC_INFO, P_EXTRA, P_STACK_INFO, P_STACKLEVEL, N_PARAMETERS };
static const char *const parameters[N_PARAMETERS] = {"level", "msg", "args", "exc_info", "extra", "stack_info", "stacklevel"};
static PyObject *parameter_names[N_PARAMETERS];

/* False: a call for the usual way. */
static bool call_taken(PyObject *const *args, Py_ssize_t n, PyObject *names, PyObject **p)
{
    Py_ssize_t n_names = names ? PyTuple_Size(names) : 0;
    if (n < P_EXC_INFO || n > N_PARAMETERS)
        return false;
    for (Py_ssize_t i = 0; i < N_PARAMETERS; i++)
        p[i] = i < n ? args[i] : NULL;
    for (Py_ssize_t i = 0; i < n_names; i++) {
        int at = P_EXC_INFO;
        while (at < N_PARAMETERS && PyUnicode_Compare(PyTuple_GetItem(names, i), parameter_names[at]) != 0)
            at++;
        if (at == N_PARAMETERS || p[at])
            return false;
        p[at] = args[n + i];
    }
    return PyLong_CheckExact(p[P_LEVEL]) && PyTuple_CheckExact(p[P_ARGS]) &&
           (!p[P_EXC_INFO] || p[P_EXC_INFO] == Py_None || p[P_EXC_INFO] == Py_False) &&
           (!p[P_STACK_INFO] || p[P_STACK_INFO] == Py_False) &&
           (!p[P_STACKLEVEL] || (PyLong_CheckExact(p[P_STACKLEVEL]) && PyLong_AsLong(p[P_STACKLEVEL]) == 1));
}

static enum conv_result by_ourselves(PyObject *self, PyObject **p)
{
    PyObject *handler, *name;
    enum conv_result r = CONV_LOST;
    if (exporting || nesting >= NESTING_MAX || !only_handler(self, &handler, &name))
        return CONV_LOST;
    struct core *core = handler_takes(handler, p[P_LEVEL]) ? (struct core *)core_of((struct handler *)handler) : NULL;
    if (core && !core->slow && core->pipelines) {
        nesting++;
        r = emit(name, (struct handler *)handler, core, p[P_LEVEL], p[P_MSG], p[P_ARGS], p[P_EXTRA] ? p[P_EXTRA] : Py_None);
        nesting--;
    } else if (PyErr_Occurred()) {
        r = conv_failed();
    }
    Py_XDECREF(core);
    Py_DECREF(handler);
    Py_DECREF(name);
    return r;
}

static PyObject *log_log(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    PyObject *p[N_PARAMETERS];
    bool taken = accelerated && call_taken(args, n, names, p);
    PyErr_Clear();
    enum conv_result r = taken ? by_ourselves(self, p) : CONV_LOST;
    if (r == CONV_RAISED)
        return NULL;
    if (r == CONV_LOST)
        return the_usual_way(self, args, n, names);
    Py_RETURN_NONE;
}

/* Inspected, it looks as it did. */
static PyMethodDef definition = {"_log", (PyCFunction)(void (*)(void))log_log, METH_FASTCALL | METH_KEYWORDS,
                                 "_log($self, level, msg, args, exc_info=None, extra=None,\n     stack_info=False, stacklevel=1)\n"
                                 "--\n\nMakes a record and hands it to the handlers: weir's, in C, where none is in the way."};

/* ---- on and off ---- */

/* Whether it is logging's own, with the parameters we know. */
static bool is_logging_s_log(PyObject *function)
{
    PyObject *code = logging_own(function, s_log) ? PyObject_GetAttrString(function, "__code__") : NULL;
    PyObject *names = code ? PyObject_GetAttrString(code, "co_varnames") : NULL;
    PyObject *count = code ? PyObject_GetAttrString(code, "co_argcount") : NULL;
    bool same = names && count && PyTuple_Check(names) && PyTuple_Size(names) > N_PARAMETERS && PyLong_AsLong(count) == N_PARAMETERS + 1;
    for (int i = 0; same && i < N_PARAMETERS; i++)
        same = PyUnicode_Compare(PyTuple_GetItem(names, i + 1), parameter_names[i]) == 0;
    Py_XDECREF(code);
    Py_XDECREF(names);
    Py_XDECREF(count);
    PyErr_Clear();
    return same;
}

/* accelerate(on): puts our _log() in the place of Logger's, or Logger's back. One that somebody put there stays; what it calls of
 * ours goes the usual way when off. */
static PyObject *accelerate(PyObject *module, PyObject *on)
{
    int yes = PyObject_IsTrue(on);
    PyObject *now = yes < 0 ? NULL : PyObject_GetAttr(logger_type, s_log);
    if (!now)
        return NULL;
    bool ok = true;
    accelerated = yes;
    if (yes && now != ours && is_logging_s_log(now)) {
        PyObject *old = before;
        Py_INCREF(now);
        before = now;
        Py_XDECREF(old);
        ok = PyObject_SetAttr(logger_type, s_log, ours) == 0;
    } else if (!yes && now == ours) {
        ok = PyObject_SetAttr(logger_type, s_log, before) == 0;
    }
    Py_DECREF(now);
    if (!ok)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- once ---- */

static bool names_init(void)
{
    const struct {
        PyObject **at;
        const char *text;
    } names[] = {
        {&s_f_back, "f_back"}, {&s_f_lasti, "f_lasti"},
        {&s_co_filename, "co_filename"}, {&s_co_name, "co_name"}, {&s_log, "_log"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!(*names[i].at = PyUnicode_InternFromString(names[i].text)))
            return false;
    for (size_t i = 0; i < N_PARAMETERS; i++)
        if (!(parameter_names[i] = PyUnicode_InternFromString(parameters[i])))
            return false;
    return true;
}

/* Watches a global; what is there now is right if it is what it seems to be. */
static bool global_add(PyObject *dict, const char *name, const char *function_name, PyObject *right)
{
    struct global *of = &globals[n_globals++];
    struct place *g = &of->place;
    g->dict = dict;
    g->key = PyUnicode_InternFromString(name);
    PyObject *now = g->key ? PyDict_GetItemWithError(dict, g->key) : NULL, *own_name = PyUnicode_FromString(function_name);
    bool genuine = now && own_name && (PyCFunction_Check(now) || logging_own(now, own_name));
    g->value = right ? right : genuine ? now : Py_Ellipsis; /* which is never found */
    Py_INCREF(g->value);
    of->function = PyCFunction_Check(g->value) ? PyCFunction_GetFunction(g->value) : NULL;
    Py_XDECREF(own_name);
    return g->key && own_name;
}

static bool globals_init(PyObject *time)
{
    skips_importlib = PyDict_GetItemString(logging_dict, "_is_internal_frame") != NULL;
    int minor = 0;
    sscanf(Py_GetVersion(), "3.%d", &minor);
    const char *clock = minor >= 13 ? "time_ns" : "time"; /* which LogRecord() asks */
    return global_add(logging_dict, "_logRecordFactory", "", record_type) && global_add(logging_dict, "_srcfile", "", source_file) &&
           global_add(logging_dict, "time", "", time) && global_add(time_dict, clock, "", NULL) &&
           global_add(logging_dict, "currentframe", "<lambda>", NULL) &&
           (!skips_importlib || global_add(logging_dict, "_is_internal_frame", "_is_internal_frame", NULL));
}

static bool watches_init(void)
{
    static const char *const logger[] = {"makeRecord", "findCaller", "handle", "callHandlers", "filter", "name", "handlers", "filters",
                                         "propagate", "parent", "disabled", "__getattribute__", "__bool__", "__len__"};
    _Static_assert(sizeof logger / sizeof *logger < WATCHED_MAX, "object_read() wants one place more");
    static const char *const parent[] = {"handlers", "propagate", "parent", "__getattribute__", "__bool__", "__len__"};
    static const char *const record[] = {"__init__", "getMessage", "__new__", "__setattr__", "__getattribute__"};
    return watch_init(&logger_watch, logger, LOGGER_METHODS, sizeof logger / sizeof *logger) &&
           watch_init(&parent_watch, parent, 0, sizeof parent / sizeof *parent) &&
           watch_init(&record_watch, record, 2, sizeof record / sizeof *record);
}

static bool once(void)
{
    PyObject *logging = PyImport_ImportModule("logging"), *abc = PyImport_ImportModule("collections.abc");
    PyObject *time = PyImport_ImportModule("time");
    bool ok = logging && abc && time && names_init() && watches_init() && (logger_type = PyObject_GetAttrString(logging, "Logger")) &&
              (logging_dict = PyObject_GetAttrString(logging, "__dict__")) && (time_dict = PyObject_GetAttrString(time, "__dict__")) &&
              (level_to_name = PyObject_GetAttrString(logging, "_levelToName")) &&
              (source_file = PyObject_GetAttrString(logging, "_srcfile")) && (abc_mapping = PyObject_GetAttrString(abc, "Mapping")) &&
              (get_frame = PySys_GetObject("_getframe")) && (one = PyLong_FromLong(1)) && globals_init(time) &&
              (ours = PyDescr_NewMethod((PyTypeObject *)logger_type, &definition));
    Py_XINCREF(get_frame); /* borrowed so far */
    Py_XDECREF(logging);
    Py_XDECREF(abc);
    Py_XDECREF(time);
    return ok;
}

bool loggers_init(PyObject *module)
{
    static PyMethodDef functions[] = {{"accelerate", accelerate, METH_O, "Logger._log() in C, or as it was."}, {NULL, NULL, 0, NULL}};
    return (ours || once()) && PyModule_AddFunctions(module, functions) == 0;
}

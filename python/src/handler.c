/* handler.c - HandlerBase: what logging calls for every record. weir.sdk._logs.LoggingHandler is this and logging.Handler.
 * A logging.LogRecord becomes a weir_log_record on the stack and is emitted; the rules are those of the stock handlers:
 *   scope: the logger's name.  time: record.created.  severity: levelno by table, levelname with WARN and FATAL.
 *   body: with a formatter, what it makes; else the message; else, for a message that is no string and has no arguments, itself.
 *   attributes: what `extra=` added to the record, code.*, exception.*.
 * (1) The handler's own lock is not taken: everything here is safe between threads under the GIL. So an exporter that logs
 *     cannot deadlock with a flush that holds it.
 * (2) Python code runs in between (a __str__, a formatter) and may do anything: change the record, log, switch threads. What we
 *     took from the record we hold; nested records are counted and, beyond a depth, dropped.
 * (3) A record is never lost to a failing __str__ or format: logging's handleError() says what failed, the rest is sent.
 * (4) handle(), emit() and filter() that a subclass or an instance overrides, or somebody replaced in logging's own classes, are called
 *     as logging.Handler would. */
#include "handler.h"

_Thread_local int exporting;

/* ---- the record's fields ---- */

static PyObject *s_dict, *s_filter, *s_formatter, *s_emit, *s_handle, *s_complain, *s_body_of, *s_resolve;
static PyObject *s_getMessage;
static PyObject *s_name, *s_args;
PyObject *record_type;
static PyObject *record_get_message, *format_exception, *std_handler;
static PyTypeObject *handler_type;
/* Of what a handle() of ours relies on; of what callHandlers() does, and then is left out. */
static struct watch emit_watch, handle_watch;
enum { EMITTING_METHODS = 2, HANDLING_METHODS = 3, FILTERS = HANDLING_METHODS, FORMATTER, LEVEL };
PyObject *empty_text;
PyObject *slot_of;

/* The fields of a LogRecord in the order this Python puts them, so that most are found by comparing one pointer. */
#define EXPECTED_MAX 40
static struct {
    PyObject *key;
    enum slot slot;
} expected[EXPECTED_MAX];
static int n_expected;

bool add_extra(struct conv *c, struct fields *f, PyObject *key, PyObject *value)
{
    if (f->n == f->cap) {
        struct extra *grown = conv_alloc(c, f->cap * 2, sizeof *grown);
        if (!grown)
            return false;
        memcpy(grown, f->extras, f->n * sizeof *grown);
        f->extras = grown;
        f->cap *= 2;
    }
    f->extras[f->n++] = (struct extra){key, value};
    return conv_keep(c, key) && conv_keep(c, value);
}

/* One walk over the record's dict; no Python code runs meanwhile. */
static bool fields_take(struct conv *c, PyObject *dict, bool code, struct fields *f)
{
    PyObject *key, *value;
    Py_ssize_t pos = 0;
    for (int i = 0; PyDict_Next(dict, &pos, &key, &value); i++) {
        enum slot slot = N_SLOTS;
        if (i < n_expected && key == expected[i].key) {
            slot = expected[i].slot;
        } else if (PyUnicode_CheckExact(key)) {
            PyObject *known = PyDict_GetItemWithError(slot_of, key);
            if (known)
                slot = (enum slot)PyLong_AsLong(known);
        }
        if (slot < N_TAKEN)
            f->at[slot] = value;
        else if ((slot == N_SLOTS || (slot == CODE && !code)) && PyUnicode_Check(key) && !add_extra(c, f, key, value))
            return false;
    }
    for (int i = 0; i < N_TAKEN; i++)
        if (!f->at[i])
            f->at[i] = Py_None;
        else if (!conv_keep(c, f->at[i]))
            return false;
    return true;
}

/* ---- severity ---- */

int severity_of(PyObject *levelno)
{
    int overflow = 0;
    long long n = PyLong_Check(levelno) ? PyLong_AsLongLongAndOverflow(levelno, &overflow) : 0;
    if (overflow > 0)
        return WEIR_SEVERITY_FATAL4;
    if (n < 10)
        return 0;
    if (n > 53)
        return WEIR_SEVERITY_FATAL4;
    int range = (int)(n / 10), within = (int)(n % 10);
    return 4 * range + 1 + (within < 3 ? within : 3);
}

enum conv_result severity_text(struct conv *c, PyObject *levelname, weir_string *ret)
{
    if (!PyUnicode_Check(levelname))
        return conv_str(c, levelname, ret);
    enum conv_result r = conv_text(c, levelname, ret);
    if (ret->size == 7 && memcmp(ret->data, "WARNING", 7) == 0)
        *ret = weir_string_of("WARN");
    else if (ret->size == 8 && memcmp(ret->data, "CRITICAL", 8) == 0)
        *ret = weir_string_of("FATAL");
    return r;
}

/* ---- body ---- */

/* By Python code: a formatter, a getMessage() of somebody's, or a format that failed and is to be complained about. */
static enum conv_result body_by_handler(struct conv *c, PyObject *self, PyObject *record, weir_value *ret)
{
    PyObject *body = PyObject_CallMethodObjArgs(self, s_body_of, record, NULL);
    if (!body)
        return conv_failed();
    enum conv_result r = conv_value(c, body, ret);
    if (r == CONV_OK && !conv_keep(c, body))
        r = CONV_RAISED;
    Py_DECREF(body);
    return r;
}

/* Whether record.getMessage() is logging's own. */
static bool plain_record(PyObject *record)
{
    if ((PyObject *)Py_TYPE(record) == record_type)
        return true;
    PyObject *get = PyObject_GetAttr((PyObject *)Py_TYPE(record), s_getMessage);
    PyErr_Clear();
    Py_XDECREF(get);
    return get == record_get_message;
}

static enum conv_result body_of(struct conv *c, struct handler *h, PyObject *record, struct fields *f, weir_value *ret)
{
    PyObject *msg = f->at[MSG], *args = f->at[ARGS];
    PyObject *formatter = PyObject_GetAttr((PyObject *)h, s_formatter);
    bool plain = formatter == Py_None && plain_record(record);
    if (!formatter)
        PyErr_Clear();
    Py_XDECREF(formatter);
    int has_args = args == Py_None ? 0 : PyTuple_Check(args) ? PyTuple_Size(args) > 0 : PyObject_IsTrue(args);
    if (has_args < 0 && conv_failed() == CONV_RAISED)
        return CONV_RAISED;
    if (!plain || (!PyUnicode_Check(msg) && (has_args || h->contrib)))
        return body_by_handler(c, (PyObject *)h, record, ret);
    if (!has_args && (!PyUnicode_Check(msg) || PyUnicode_CheckExact(msg))) {
        c->body = true;
        enum conv_result r = conv_value(c, msg, ret);
        c->body = false;
        return r == CONV_LOST ? body_by_handler(c, (PyObject *)h, record, ret) : r;
    }
    if (!PyUnicode_CheckExact(msg))
        return body_by_handler(c, (PyObject *)h, record, ret);
    PyObject *text = PyUnicode_Format(msg, args);
    if (!text)
        return conv_failed() == CONV_RAISED ? CONV_RAISED : body_by_handler(c, (PyObject *)h, record, ret);
    ret->kind = WEIR_STRING;
    enum conv_result r = conv_text(c, text, &ret->as.string);
    Py_DECREF(text);
    return r;
}

/* ---- attributes ---- */

/* A text attribute, or an empty one; what cannot be had is left out. */
static enum conv_result put_text(struct conv *c, weir_attr *attrs, size_t *n, const char *key, PyObject *text)
{
    weir_attr *a = &attrs[*n];
    *a = weir_str(key, text == Py_None ? NULL : "");
    enum conv_result r = text == Py_None ? CONV_OK
                         : PyUnicode_Check(text) ? conv_text(c, text, &a->value.as.string) : conv_str(c, text, &a->value.as.string);
    *n += r == CONV_OK;
    return r;
}

static enum conv_result put_stacktrace(struct conv *c, weir_attr *attrs, size_t *n, PyObject *exc_info)
{
    PyObject *lines = PyObject_CallObject(format_exception, exc_info);
    PyObject *text = lines ? PyUnicode_Join(empty_text, lines) : NULL;
    enum conv_result r = text ? put_text(c, attrs, n, "exception.stacktrace", text) : conv_failed();
    Py_XDECREF(lines);
    Py_XDECREF(text);
    return r;
}

static enum conv_result put_exception(struct conv *c, weir_attr *attrs, size_t *n, PyObject *exc_info)
{
    enum conv_result r = CONV_OK;
    if (!PyTuple_Check(exc_info) || PyTuple_Size(exc_info) != 3)
        return CONV_LOST;
    PyObject *type = PyTuple_GetItem(exc_info, 0), *value = PyTuple_GetItem(exc_info, 1);
    if (type != Py_None) {
        PyObject *name = PyObject_GetAttr(type, s_name);
        r = name ? put_text(c, attrs, n, "exception.type", name) : conv_failed();
        Py_XDECREF(name);
    }
    if (r != CONV_RAISED && value != Py_None) {
        PyObject *args = PyObject_GetAttr(value, s_args);
        if (args && PyTuple_Check(args) && PyTuple_Size(args) > 0) {
            PyObject *first = PyObject_Str(PyTuple_GetItem(args, 0));
            r = first ? put_text(c, attrs, n, "exception.message", first) : conv_failed();
            Py_XDECREF(first);
        } else if (!args) {
            r = conv_failed();
        }
        Py_XDECREF(args);
    }
    if (r != CONV_RAISED && PyTuple_GetItem(exc_info, 2) != Py_None)
        r = put_stacktrace(c, attrs, n, exc_info);
    return r;
}

static bool is_exception_key(weir_string key)
{
    static const char *const names[] = {"exception.type", "exception.message", "exception.stacktrace"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (key.size == strlen(names[i]) && memcmp(key.data, names[i], key.size) == 0)
            return true;
    return false;
}

/* An extra attribute, or with contrib's rules the event name. */
static enum conv_result put_extra(struct conv *c, struct handler *h, struct extra *x, bool exception, weir_attr *attrs, size_t *n,
                                  weir_string *event)
{
    weir_attr *a = &attrs[*n];
    enum conv_result r = conv_text(c, x->key, &a->key);
    if (r != CONV_OK || !a->key.size || (exception && is_exception_key(a->key)))
        return r;
    if (h->contrib && a->key.size <= 15) {
        bool newer = a->key.size == 15 && memcmp(a->key.data, "otel.event.name", 15) == 0;
        if (newer || (a->key.size == 10 && memcmp(a->key.data, "event.name", 10) == 0)) {
            weir_string name = {NULL, 0};
            if (x->value == Py_None)
                return CONV_OK;
            r = conv_str(c, x->value, &name);
            if (r == CONV_OK && name.size && (newer || !event->size))
                *event = name;
            return r;
        }
    }
    r = conv_value(c, x->value, &a->value);
    *n += r == CONV_OK;
    return r;
}

enum conv_result attributes_of(struct conv *c, struct handler *h, struct fields *f, weir_log_record *r)
{
    weir_attr *attrs = conv_alloc(c, f->n + 6, sizeof *attrs);
    size_t n = 0;
    if (!attrs)
        return CONV_RAISED;
    enum conv_result result = CONV_OK;
    if (h->code) { /* first, so that the limit of attributes does not take them */
        put_text(c, attrs, &n, "code.file.path", f->at[PATHNAME]);
        put_text(c, attrs, &n, "code.function.name", f->at[FUNCNAME]);
        attrs[n] = weir_i64("code.line.number", 0);
        if (PyLong_Check(f->at[LINENO]))
            result = conv_value(c, f->at[LINENO], &attrs[n++].value);
    }
    size_t before = n;
    if (result != CONV_RAISED && f->at[EXC_INFO] != Py_None && f->at[EXC_INFO] != Py_False)
        result = put_exception(c, attrs, &n, f->at[EXC_INFO]);
    bool exception = n > before;
    for (size_t i = 0; result != CONV_RAISED && i < f->n; i++)
        result = put_extra(c, h, &f->extras[i], exception, attrs, &n, &r->event_name);
    r->attributes = attrs;
    r->n_attributes = n;
    return result;
}

/* ---- a record ---- */

static enum conv_result translate(struct conv *c, struct handler *h, PyObject *record, PyObject **ret_name, weir_log_record *r)
{
    struct fields f;
    PyObject *dict = PyObject_GetAttr(record, s_dict);
    if (!dict)
        return CONV_RAISED;
    fields_init(&f);
    bool taken = PyDict_Check(dict) && fields_take(c, dict, h->code, &f);
    Py_DECREF(dict);
    if (!taken) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "not a logging.LogRecord");
        return CONV_RAISED;
    }
    *ret_name = f.at[NAME];
    double created = PyFloat_Check(f.at[CREATED]) ? PyFloat_AsDouble(f.at[CREATED]) : 0;
    if (created > 0 && created < 1.8e10)
        r->timestamp_ns = (uint64_t)(created * 1e9);
    r->severity_number = severity_of(f.at[LEVELNO]);
    enum conv_result result = severity_text(c, f.at[LEVELNAME], &r->severity_text);
    conv_body_limits(c);
    if (result != CONV_RAISED)
        result = body_of(c, h, record, &f, &r->body);
    conv_all_limits(c);
    return result == CONV_RAISED ? result : attributes_of(c, h, &f, r);
}

_Thread_local int nesting;
uint64_t n_nested;

static bool emit_native(struct handler *h, PyObject *pipelines, PyObject *record)
{
    struct conv c;
    weir_log_record r = weir_log_record_init();
    weir_trace_context trace;
    PyObject *name = NULL;
    conv_init(&c);
    enum conv_result result = translate(&c, h, record, &name, &r);
    if (result != CONV_RAISED) {
        if (otel_trace_current(&trace))
            r.trace = &trace;
        pipelines_emit(pipelines, PyUnicode_Check(name) ? name : empty_text, &r);
    }
    conv_done(&c);
    return result != CONV_RAISED;
}

PyObject *core_of(struct handler *h)
{
    if (h->core) {
        Py_INCREF(h->core);
        return h->core;
    }
    PyObject *core = PyObject_CallMethodObjArgs((PyObject *)h, s_resolve, NULL);
    if (core && Py_TYPE(core) != core_type)
        Py_CLEAR(core);
    return core;
}

static bool emit_record(struct handler *h, PyObject *record)
{
    if (exporting || nesting >= NESTING_MAX) {
        n_nested++;
        return true;
    }
    PyObject *core = core_of(h);
    if (!core)
        return !PyErr_Occurred();
    struct core *to = (struct core *)core;
    bool ok = true;
    nesting++;
    if (to->slow) {
        PyObject *slow = to->slow;
        Py_INCREF(slow);
        PyObject *done = PyObject_CallFunctionObjArgs(slow, (PyObject *)h, record, NULL);
        ok = done != NULL;
        Py_XDECREF(done);
        Py_DECREF(slow);
    } else if (to->pipelines && PyTuple_Size(to->pipelines) > 0) {
        PyObject *pipelines = to->pipelines;
        Py_INCREF(pipelines);
        ok = emit_native(h, pipelines, record);
        Py_DECREF(pipelines);
    }
    nesting--;
    Py_DECREF(core);
    return ok;
}

/* An Exception goes to logging's handleError(), as with every handler; others go on. */
static bool complain(PyObject *self, PyObject *record)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return false;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PyObject *said = value ? PyObject_CallMethodObjArgs(self, s_complain, record, value, NULL) : NULL;
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    Py_XDECREF(said);
    return said != NULL;
}

static PyObject *handler_emit(PyObject *self, PyObject *record)
{
    if (!emit_record((struct handler *)self, record) && !complain(self, record))
        return NULL;
    Py_RETURN_NONE;
}

/* Applies the filters as logging.Handler.handle() does: *ret_record is the record to go on with, a new reference; NULL: it was
 * filtered out, or an exception is set. */
static PyObject *filtered(PyObject *self, PyObject *record, PyObject **ret_verdict)
{
    PyObject *verdict = PyObject_CallMethodObjArgs(self, s_filter, record, NULL);
    *ret_verdict = verdict;
    int passes = verdict ? PyObject_IsTrue(verdict) : -1;
    if (passes <= 0)
        return NULL;
    int replaced = PyObject_IsInstance(verdict, record_type);
    if (replaced < 0)
        return NULL;
    PyObject *go_on = replaced ? verdict : record;
    Py_INCREF(go_on);
    return go_on;
}

static bool is_empty_list(PyObject *obj)
{
    return obj && PyList_CheckExact(obj) && PyList_Size(obj) == 0;
}

/* Whether nobody's methods are in between, of its class or its own; `values` are its attributes by the watch's names then. */
static bool plain_handler(PyObject *self, struct watch *w, PyObject **values)
{
    PyObject *dict = untouched(Py_TYPE(self), w) ? PyObject_GenericGetDict(self, NULL) : NULL;
    bool plain = dict && object_read(dict, w, values);
    if (!dict)
        PyErr_Clear();
    Py_XDECREF(dict);
    return plain;
}

bool handler_takes(PyObject *obj, PyObject *level)
{
    PyObject *v[WATCHED_MAX];
    return PyObject_TypeCheck(obj, handler_type) && plain_handler(obj, &handle_watch, v) && is_empty_list(v[FILTERS]) &&
           v[FORMATTER] == Py_None && v[LEVEL] && PyLong_CheckExact(v[LEVEL]) && PyObject_RichCompareBool(level, v[LEVEL], Py_GE) == 1;
}

/* As logging.Handler does, or whoever replaced that. */
static PyObject *usual_handle(PyObject *self, PyObject *record)
{
    PyObject *handle = PyObject_GetAttr(std_handler, s_handle), *ret = NULL;
    if (handle)
        ret = PyObject_CallFunctionObjArgs(handle, self, record, NULL);
    Py_XDECREF(handle);
    return ret;
}

static PyObject *handler_handle(PyObject *self, PyObject *record)
{
    struct handler *h = (struct handler *)self;
    PyObject *v[WATCHED_MAX];
    if (!untouched((PyTypeObject *)std_handler, &handle_watch) || !plain_handler(self, &emit_watch, v))
        return usual_handle(self, record);
    if (is_empty_list(v[EMITTING_METHODS])) {
        if (!emit_record(h, record) && !complain(self, record))
            return NULL;
        Py_RETURN_TRUE;
    }
    PyObject *verdict, *go_on = filtered(self, record, &verdict);
    if (go_on) {
        bool ok = emit_record(h, go_on) || complain(self, go_on);
        Py_DECREF(go_on);
        if (!ok)
            Py_CLEAR(verdict);
    }
    return go_on || !PyErr_Occurred() ? verdict : (Py_XDECREF(verdict), NULL);
}

/* ---- the type ---- */

static int handler_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((struct handler *)self)->core);
    return 0;
}
static int handler_clear(PyObject *self)
{
    Py_CLEAR(((struct handler *)self)->core);
    return 0;
}
static void handler_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    handler_clear(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef handler_methods[] = {
    {"handle", handler_handle, METH_O, "Filters a logging.LogRecord and emits it."},
    {"emit", handler_emit, METH_O, "Emits a logging.LogRecord."},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef handler_members[] = {
    {"_core", T_OBJECT, offsetof(struct handler, core), 0, NULL},
    {"_contrib", T_BOOL, offsetof(struct handler, contrib), 0, NULL},
    {"_code", T_BOOL, offsetof(struct handler, code), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};
static PyType_Slot handler_slots[] = {{Py_tp_new, PyType_GenericNew},    {Py_tp_dealloc, handler_dealloc},
                                      {Py_tp_traverse, handler_traverse}, {Py_tp_clear, handler_clear},
                                      {Py_tp_methods, handler_methods},   {Py_tp_members, handler_members},
                                      {0, NULL}};
static PyType_Spec handler_spec = {"weir._weir.HandlerBase", sizeof(struct handler), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, handler_slots};

static PyObject *begin_export(PyObject *module, PyObject *none)
{
    exporting++;
    Py_RETURN_NONE;
}
static PyObject *end_export(PyObject *module, PyObject *none)
{
    exporting -= exporting > 0;
    Py_RETURN_NONE;
}
static PyObject *nested_dropped(PyObject *module, PyObject *none)
{
    return PyLong_FromUnsignedLongLong(n_nested);
}

/* ---- once ---- */

static bool slots_init(void)
{
    static const struct {
        const char *name;
        enum slot slot;
    } all[] = {
        {"name", NAME}, {"msg", MSG}, {"args", ARGS}, {"levelname", LEVELNAME}, {"levelno", LEVELNO}, {"pathname", PATHNAME},
        {"lineno", LINENO}, {"funcName", FUNCNAME}, {"created", CREATED}, {"exc_info", EXC_INFO}, {"asctime", IGNORED},
        {"exc_text", IGNORED}, {"filename", IGNORED}, {"getMessage", IGNORED}, {"message", IGNORED}, {"module", IGNORED},
        {"msecs", IGNORED}, {"process", IGNORED}, {"processName", IGNORED}, {"relativeCreated", IGNORED},
        {"stack_info", IGNORED}, {"thread", IGNORED}, {"threadName", IGNORED}, {"taskName", IGNORED},
        {"code.file.path", CODE}, {"code.function.name", CODE}, {"code.line.number", CODE},
    };
    slot_of = PyDict_New();
    for (size_t i = 0; slot_of && i < sizeof all / sizeof *all; i++) {
        PyObject *slot = PyLong_FromLong(all[i].slot);
        if (!slot || PyDict_SetItemString(slot_of, all[i].name, slot) < 0)
            Py_CLEAR(slot_of);
        Py_XDECREF(slot);
    }
    return slot_of != NULL;
}

/* The order of a record's fields, from one that is made for it. */
static bool expected_init(void)
{
    PyObject *record = PyObject_CallFunction(record_type, "sisisOO", "", 20, "", 1, "", Py_None, Py_None), *key, *value;
    PyObject *dict = record ? PyObject_GetAttr(record, s_dict) : NULL;
    Py_ssize_t pos = 0;
    while (dict && n_expected < EXPECTED_MAX && PyDict_Next(dict, &pos, &key, &value)) {
        PyObject *slot = PyDict_GetItemWithError(slot_of, key);
        if (!slot)
            break;
        Py_INCREF(key);
        expected[n_expected].key = key;
        expected[n_expected++].slot = (enum slot)PyLong_AsLong(slot);
    }
    Py_XDECREF(dict);
    Py_XDECREF(record);
    return dict != NULL;
}

static bool logging_init(void)
{
    PyObject *logging = PyImport_ImportModule("logging"), *traceback = PyImport_ImportModule("traceback");
    std_handler = logging ? PyObject_GetAttrString(logging, "Handler") : NULL;
    record_type = logging ? PyObject_GetAttrString(logging, "LogRecord") : NULL;
    format_exception = traceback ? PyObject_GetAttrString(traceback, "format_exception") : NULL;
    record_get_message = record_type ? PyObject_GetAttr(record_type, s_getMessage) : NULL;
    Py_XDECREF(logging);
    Py_XDECREF(traceback);
    return format_exception && std_handler && record_get_message;
}

static bool names_init(void)
{
    const struct {
        PyObject **at;
        const char *text;
    } names[] = {
        {&s_dict, "__dict__"}, {&s_filter, "filter"}, {&s_formatter, "formatter"}, {&s_emit, "emit"},
        {&s_handle, "handle"},
        {&s_complain, "_complain"}, {&s_body_of, "_body_of"}, {&s_resolve, "_resolve"}, {&s_getMessage, "getMessage"},
        {&s_name, "__name__"}, {&s_args, "args"}, {&empty_text, ""},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!(*names[i].at = PyUnicode_InternFromString(names[i].text)))
            return false;
    return true;
}

bool handlers_init(PyObject *module)
{
    static PyMethodDef functions[] = {
        {"begin_export", begin_export, METH_NOARGS, "What this thread logs from now on is not for our handlers."},
        {"end_export", end_export, METH_NOARGS, "Undoes begin_export()."},
        {"nested_dropped", nested_dropped, METH_NOARGS, "Records dropped: logged by an exporter, or by too deep a conversion."},
        {NULL, NULL, 0, NULL}};
    static const char *const watched[] = {"emit", "filter", "handle", "filters", "formatter", "level", "__getattribute__"};
    const size_t n = sizeof watched / sizeof *watched;
    static const char *const emitting[] = {"emit", "filter", "filters", "__getattribute__"};
    bool first = !handler_type;
    if (first && !(names_init() && slots_init() && untouched_init() && logging_init() && expected_init()))
        return false;
    if (PyModule_AddFunctions(module, functions) < 0 || !add_type(module, "HandlerBase", &handler_spec, &handler_type))
        return false;
    if (first) {
        PyObject *emit = PyObject_GetAttr((PyObject *)handler_type, s_emit), *handle = PyObject_GetAttr((PyObject *)handler_type, s_handle);
        if (!emit || !handle || !watch_init(&handle_watch, watched, HANDLING_METHODS, n) ||
            !watch_init(&emit_watch, emitting, EMITTING_METHODS, sizeof emitting / sizeof *emitting))
            return false;
        emit_watch.ours[0] = handle_watch.ours[0] = emit;
        handle_watch.ours[1] = handle;
    }
    return loggers_init(module);
}

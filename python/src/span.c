/* span.c - trace and span id of the current span, from the OpenTelemetry API if the app has loaded it: it is never imported for
 * this. Without it a record takes libweir's own thread context. */
#include "ext.h"

bool id_bytes(PyObject *id, uint8_t *to, Py_ssize_t n)
{
    char *p;
    Py_ssize_t got;
    PyObject *bytes = PyLong_Check(id) ? PyObject_CallMethod(id, "to_bytes", "ns", n, "big") : NULL;
    bool ok = bytes && PyBytes_AsStringAndSize(bytes, &p, &got) == 0 && got == n;
    if (ok)
        memcpy(to, p, (size_t)n);
    Py_XDECREF(bytes);
    PyErr_Clear();
    while (ok && n && !*to)
        to++, n--;
    return ok && n;
}

uint64_t u64_of(PyObject *number)
{
    if (!PyLong_Check(number))
        return 0;
    int overflow;
    long long v = PyLong_AsLongLongAndOverflow(number, &overflow);
    return overflow || v < 0 ? 0 : (uint64_t)v;
}

static PyObject *s_trace_module, *s_context_module, *s_get_span_context, *s_trace_id, *s_span_id, *s_trace_flags;
static PyObject *get_current, *get_current_span; /* once the app has loaded opentelemetry.trace */

/* What contexts held, by their address. A context never changes, nor do its span's ids; a weak reference tells whether the address
 * is still that of the same one. */
#define CONTEXTS_CACHED 16
static struct {
    PyObject *weak;
    bool has_span;
    weir_trace_context trace;
} contexts[CONTEXTS_CACHED];

/* opentelemetry.context.get_current(), or what that comes to with the API's usual runtime context: get() of a ContextVar. */
static PyObject *find_get_current(PyObject *module)
{
    PyObject *runtime = PyObject_GetAttrString(module, "_RUNTIME_CONTEXT");
    PyObject *variable = runtime ? PyObject_GetAttrString(runtime, "_current_context") : NULL;
    PyObject *contextvars = variable ? PyImport_ImportModule("contextvars") : NULL;
    PyObject *type = contextvars ? PyObject_GetAttrString(contextvars, "ContextVar") : NULL;
    PyObject *get = type && PyObject_IsInstance(variable, type) == 1 ? PyObject_GetAttrString(variable, "get") : NULL;
    Py_XDECREF(runtime);
    Py_XDECREF(variable);
    Py_XDECREF(contextvars);
    Py_XDECREF(type);
    PyErr_Clear();
    return get ? get : PyObject_GetAttrString(module, "get_current");
}

static bool trace_find(void)
{
    PyObject *trace = PyDict_GetItemWithError(PyImport_GetModuleDict(), s_trace_module);
    PyObject *context = trace ? PyDict_GetItemWithError(PyImport_GetModuleDict(), s_context_module) : NULL;
    if (!context)
        return false;
    PyObject *span = PyObject_GetAttrString(trace, "get_current_span"); /* not yet, while it is being imported */
    PyObject *current = span ? find_get_current(context) : NULL;
    if (current) {
        get_current = current;
        get_current_span = span;
    } else {
        Py_XDECREF(span);
    }
    PyErr_Clear();
    return current;
}

static bool span_ids(PyObject *span, weir_trace_context *ret)
{
    PyObject *context = PyObject_CallMethodObjArgs(span, s_get_span_context, NULL);
    PyObject *trace_id = context ? PyObject_GetAttr(context, s_trace_id) : NULL;
    PyObject *span_id = trace_id ? PyObject_GetAttr(context, s_span_id) : NULL;
    PyObject *flags = span_id ? PyObject_GetAttr(context, s_trace_flags) : NULL;
    bool ok = flags && id_bytes(trace_id, ret->trace_id, sizeof ret->trace_id);
    if (ok) {
        id_bytes(span_id, ret->span_id, sizeof ret->span_id);
        ret->flags = (uint8_t)u64_of(flags);
    }
    Py_XDECREF(context);
    Py_XDECREF(trace_id);
    Py_XDECREF(span_id);
    Py_XDECREF(flags);
    PyErr_Clear();
    return ok;
}

static bool trace_of_context(PyObject *context, weir_trace_context *ret)
{
    size_t at = ((uintptr_t)context >> 5) % CONTEXTS_CACHED;
    if (contexts[at].weak && PyWeakref_GetObject(contexts[at].weak) == context) {
        *ret = contexts[at].trace;
        return contexts[at].has_span;
    }
    weir_trace_context trace = {0};
    PyObject *span = PyObject_CallFunctionObjArgs(get_current_span, context, NULL);
    bool has = span && span_ids(span, &trace);
    Py_XDECREF(span);
    PyErr_Clear();
    PyObject *weak = PyWeakref_NewRef(context, NULL), *before = contexts[at].weak;
    PyErr_Clear();
    contexts[at].weak = weak;
    contexts[at].has_span = has;
    contexts[at].trace = trace;
    Py_XDECREF(before);
    *ret = trace;
    return has;
}

bool otel_trace_current(weir_trace_context *ret)
{
    if (!get_current && !trace_find()) {
        PyErr_Clear();
        return false;
    }
    PyObject *context = PyObject_CallObject(get_current, NULL);
    bool has = context && trace_of_context(context, ret);
    Py_XDECREF(context);
    PyErr_Clear();
    return has;
}

bool spans_init(void)
{
    const struct {
        PyObject **at;
        const char *text;
    } names[] = {
        {&s_trace_module, "opentelemetry.trace"}, {&s_context_module, "opentelemetry.context"},
        {&s_get_span_context, "get_span_context"}, {&s_trace_id, "trace_id"},
        {&s_span_id, "span_id"}, {&s_trace_flags, "trace_flags"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!*names[i].at && !(*names[i].at = PyUnicode_InternFromString(names[i].text)))
            return false;
    return true;
}
